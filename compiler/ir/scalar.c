/* One element of an element-wise operator, in f64; integers are exact and wrap as their type does.
 * The evaluator and constant folding use it; it is the meaning of the rows of ops.def. */
#include "ir/ir.h"
#include <math.h>

/* v to the nearest number of `bits` mantissa bits and least exponent `low`, ties to even. */
static double round_bits(double v, int bits, int low, double largest)
{
    int e;
    if (v == 0 || !isfinite(v))
        return v;
    frexp(v, &e);
    e = e - 1 < low ? low : e - 1;
    double r = ldexp(rint(ldexp(v, bits - e)), e - bits);
    return fabs(r) > largest ? copysign(INFINITY, v) : r;
}

/* Of the bits of the nearest f32: half of the 11th is added, then all below the 10th cut off. */
static double round_tf32(double v)
{
    union {
        float f;
        uint32_t u;
    } x = {.f = (float)v};
    if (isnan(v))
        return v;
    x.u = (x.u + 0x1000) & ~UINT32_C(0x1fff);
    return (double)x.f;
}

static int64_t wrap(enum nn_dtype t, int64_t v)
{
    switch (t) {
    case NN_i32: return (int32_t)(uint32_t)(uint64_t)v;
    case NN_i8: return (int8_t)(uint8_t)(uint64_t)v;
    case NN_u8: return (uint8_t)(uint64_t)v;
    case NN_bool: return v != 0;
    case NN_f64:
    case NN_f32:
    case NN_f16:
    case NN_bf16:
    case NN_i64:
    case NN_DTYPE_COUNT: break;
    }
    return v;
}

double ir_round(enum nn_dtype t, double v)
{
    switch (t) {
    case NN_f32: return (double)(float)v;
    case NN_f16: return round_bits(v, 10, -14, 65504);
    case NN_bf16: return round_bits(v, 7, -126, 0x1.fep127);
    case NN_f64:
    case NN_i64:
    case NN_i32:
    case NN_i8:
    case NN_u8:
    case NN_bool:
    case NN_DTYPE_COUNT: break;
    }
    return v;
}

/* An integral double in i64's range; others saturate, NaN is 0. */
static int64_t to_int(double v)
{
    if (isnan(v))
        return 0;
    return v >= 0x1p63 ? INT64_MAX : v <= -0x1p63 ? INT64_MIN : (int64_t)v;
}

double ir_convert(enum nn_dtype from, enum nn_dtype to, double v)
{
    if (nn_is_float(to))
        return v;
    if (to == NN_bool)
        return v != 0;
    if (!nn_is_float(from))
        return (double)wrap(to, to_int(v));
    double lo = ir_monoid_identity(IRM_max, to), hi = ir_monoid_identity(IRM_min, to);
    return isnan(v) ? 0 : v < lo ? lo : v > hi ? hi : trunc(v);
}

static double float_min(double x, double y) { return isnan(x) || x < y ? x : y; }
static double float_max(double x, double y) { return isnan(x) || x > y ? x : y; }

static int64_t floor_div(int64_t x, int64_t y)
{
    if (y == 0)
        return 0;
    if (y == -1)
        return (int64_t) - (uint64_t)x;
    return x / y - (x % y != 0 && (x < 0) != (y < 0));
}

static int64_t mul(int64_t x, int64_t y) { return (int64_t)((uint64_t)x * (uint64_t)y); }
static int64_t add(int64_t x, int64_t y) { return (int64_t)((uint64_t)x + (uint64_t)y); }
static int64_t sub(int64_t x, int64_t y) { return (int64_t)((uint64_t)x - (uint64_t)y); }

/* ARITH on integers, before it wraps to the type. */
static int64_t int_op(enum ir_op op, int64_t x, int64_t y)
{
    switch ((int)op) {
    case IR_neg: return sub(0, x);
    case IR_abs: return x < 0 ? sub(0, x) : x;
    case IR_sign: return (x > 0) - (x < 0);
    case IR_add: return add(x, y);
    case IR_sub: return sub(x, y);
    case IR_mul: return mul(x, y);
    case IR_idiv: return floor_div(x, y);
    case IR_mod: return y ? sub(x, mul(y, floor_div(x, y))) : 0;
    case IR_min: return x < y ? x : y;
    case IR_max: return x > y ? x : y;
    }
    BUG("%s on integers", ir_op_name(op));
}

static double float_unary(enum ir_op op, double x)
{
    switch ((int)op) {
    case IR_neg: return -x;
    case IR_abs: return fabs(x);
    case IR_sign: return x > 0 ? 1 : x < 0 ? -1 : x;
    case IR_floor: return floor(x);
    case IR_ceil: return ceil(x);
    case IR_round: return rint(x);
    case IR_sqrt: return sqrt(x);
    case IR_rsqrt: return 1 / sqrt(x);
    case IR_exp: return exp(x);
    case IR_log: return log(x);
    case IR_sin: return sin(x);
    case IR_cos: return cos(x);
    case IR_tanh: return tanh(x);
    case IR_sigmoid: return 1 / (1 + exp(-x));
    case IR_erf: return erf(x);
    case IR_round_tf32: return round_tf32(x);
    }
    BUG("%s on floats", ir_op_name(op));
}

static double float_binary(enum ir_op op, double x, double y)
{
    switch ((int)op) {
    case IR_add: return x + y;
    case IR_sub: return x - y;
    case IR_mul: return x * y;
    case IR_div: return x / y;
    case IR_idiv: return floor(x / y);
    case IR_mod: return x - y * floor(x / y);
    case IR_pow: return pow(x, y);
    case IR_min: return float_min(x, y);
    case IR_max: return float_max(x, y);
    }
    BUG("%s on floats", ir_op_name(op));
}

static bool compare(enum ir_op op, double x, double y)
{
    switch ((int)op) {
    case IR_eq: return x == y;
    case IR_ne: return x != y;
    case IR_lt: return x < y;
    case IR_le: return x <= y;
    case IR_gt: return x > y;
    case IR_ge: return x >= y;
    case IR_not: return x == 0;
    case IR_and: return x != 0 && y != 0;
    case IR_or: return x != 0 || y != 0;
    }
    BUG("%s is no predicate", ir_op_name(op));
}

double ir_scalar(enum ir_op op, enum nn_dtype from, enum nn_dtype to, const double *x)
{
    int arity = ir_op_arity(op);
    double y = arity > 1 ? x[1] : 0;
    switch (ir_op_class(op)) {
    case IRC_ARITH:
        if (!nn_is_float(to))
            return (double)wrap(to, int_op(op, to_int(x[0]), to_int(y)));
        return arity == 1 ? float_unary(op, x[0]) : float_binary(op, x[0], y);
    case IRC_FLOAT: return arity == 1 ? float_unary(op, x[0]) : float_binary(op, x[0], y);
    case IRC_CMP:
    case IRC_LOGIC: return compare(op, x[0], y);
    case IRC_ELEM:
        if (op == IR_cast)
            return ir_convert(from, to, x[0]);
        return op == IR_select ? (x[0] != 0 ? x[1] : x[2]) : x[0];
    case IRC_LEAF:
    case IRC_SHAPE:
    case IRC_MARK: break;
    }
    BUG("%s is not element-wise", ir_op_name(op));
}
