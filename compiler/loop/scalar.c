/* What each operator does to a lane: the semantics that the interpreter, constant folding and every
 * back end follow. Lanes are kept in their type's own memory form, f16 and bf16 as bits.
 * Built without contraction (C11 mode), so that a product and a sum are two roundings. */
#include "loop/private.h"

/* ---- f16 and bf16 ---- */

static uint32_t float_bits(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}
static float bits_float(uint32_t u)
{
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

float lo_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = (h >> 10) & 31, m = h & 0x3ff;
    if (e == 31)
        return bits_float(sign | 0x7f800000 | m << 13);
    if (e)
        return bits_float(sign | (e + 112) << 23 | m << 13);
    if (!m)
        return bits_float(sign);
    e = 113;
    for (; !(m & 0x400); m <<= 1)
        e--;
    return bits_float(sign | e << 23 | (m & 0x3ff) << 13);
}

/* Half to even; denormals are kept. */
uint16_t lo_f32_to_f16(float v)
{
    uint32_t u = float_bits(v), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    if (a > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
    if (a >= 0x47800000)
        return (uint16_t)(sign | 0x7c00);
    uint32_t drop = 13, m = a - (112u << 23);
    if (a < 113u << 23) { /* a denormal or zero: the significand moves right */
        uint32_t e = a >> 23;
        if (e < 102)
            return (uint16_t)sign;
        drop = 126 - e;
        m = (a & 0x7fffff) | 0x800000;
    }
    uint32_t half = 1u << (drop - 1), low = m & (2 * half - 1);
    m >>= drop;
    return (uint16_t)(sign | (m + (low > half || (low == half && (m & 1)))));
}

float lo_bf16_to_f32(uint16_t h) { return bits_float((uint32_t)h << 16); }

uint16_t lo_f32_to_bf16(float v)
{
    uint32_t u = float_bits(v);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* ---- one number ---- */

double lo_num_f(enum nn_dtype t, union lo_num v)
{
    return t == NN_f64   ? v.f64
           : t == NN_f32 ? (double)v.f32
           : t == NN_f16 ? (double)lo_f16_to_f32(v.h)
                         : (double)lo_bf16_to_f32(v.h);
}

union lo_num lo_num_from_f(enum nn_dtype t, double f)
{
    union lo_num v = {0};
    if (t == NN_f64)
        v.f64 = f;
    else if (t == NN_f32)
        v.f32 = (float)f;
    else
        v.h = t == NN_f16 ? lo_f32_to_f16((float)f) : lo_f32_to_bf16((float)f);
    return v;
}

int64_t lo_num_i(enum nn_dtype t, union lo_num v)
{
    return t == NN_i64 ? v.i64 : t == NN_i32 ? v.i32 : t == NN_i8 ? v.i8 : v.u8;
}

union lo_num lo_num_from_i(enum nn_dtype t, int64_t i)
{
    union lo_num v = {0};
    if (t == NN_i64)
        v.i64 = i;
    else if (t == NN_i32)
        v.i32 = (int32_t)i;
    else if (t == NN_i8)
        v.i8 = (int8_t)i;
    else
        v.u8 = t == NN_bool ? i != 0 : (uint8_t)i;
    return v;
}

/* ---- casts ---- */

static int64_t saturate(double v, int64_t lo, int64_t hi)
{
    return v != v ? 0 : v <= (double)lo ? lo : v >= (double)hi ? hi : (int64_t)v;
}

static union lo_num cast_float(enum nn_dtype to, double v)
{
    switch (to) {
    case NN_f64:
    case NN_f32:
    case NN_f16:
    case NN_bf16: return lo_num_from_f(to, v);
    case NN_i64: return (union lo_num){.i64 = saturate(v, INT64_MIN, INT64_MAX)};
    case NN_i32: return lo_num_from_i(to, saturate(v, INT32_MIN, INT32_MAX));
    case NN_i8: return lo_num_from_i(to, saturate(v, -128, 127));
    case NN_u8: return lo_num_from_i(to, saturate(v, 0, 255));
    case NN_bool:
    case NN_DTYPE_COUNT: break;
    }
    return lo_num_from_i(NN_bool, v != 0);
}

union lo_num lo_cast_num(enum nn_dtype from, enum nn_dtype to, union lo_num v)
{
    if (nn_is_float(from))
        return cast_float(to, lo_num_f(from, v));
    int64_t i = lo_num_i(from, v);
    if (!nn_is_float(to))
        return lo_num_from_i(to, i);
    if (to == NN_f64)
        return lo_num_from_f(to, (double)i);
    return lo_num_from_f(to, (double)(float)i); /* one rounding for f32 */
}

static void cast_lanes(enum nn_dtype from, enum nn_dtype to, uint32_t n, const void *x, void *out)
{
    size_t a = nn_dtype_size(from), b = nn_dtype_size(to);
    for (uint32_t i = 0; i < n; i++) {
        union lo_num v = {0};
        memcpy(&v, (const char *)x + i * a, a);
        v = lo_cast_num(from, to, v);
        memcpy((char *)out + i * b, &v, b);
    }
}

/* ---- operators over lanes, one function a type ---- */

/* a and b are the lane's operands, r the result, T its type. */
#define EACH(expr)                                                                                 \
    for (uint32_t i = 0; i < n; i++) {                                                             \
        const T a = x[i];                                                                          \
        r[i] = (expr);                                                                             \
    }                                                                                              \
    return true
#define EACH2(expr)                                                                                \
    for (uint32_t i = 0; i < n; i++) {                                                             \
        const T a = x[i], b = y[i];                                                                \
        r[i] = (expr);                                                                             \
    }                                                                                              \
    return true
#define COMPARE(rel)                                                                               \
    for (uint32_t i = 0; i < n; i++)                                                               \
        p[i] = x[i] rel y[i];                                                                      \
    return true
#define COMPARES                                                                                   \
    case IR_eq: COMPARE(==);                                                                       \
    case IR_ne: COMPARE(!=);                                                                       \
    case IR_lt: COMPARE(<);                                                                        \
    case IR_le: COMPARE(<=);                                                                       \
    case IR_gt: COMPARE(>);                                                                        \
    case IR_ge: COMPARE(>=)
/* Rows that a function for numbers of one type has no case for. */
#define NO_CASE                                                                                    \
    case IR_not:                                                                                   \
    case IR_and:                                                                                   \
    case IR_or:                                                                                    \
    case IR_select:                                                                                \
    case IR_cast:                                                                                  \
    case IR_copy:                                                                                  \
    case IR_const:                                                                                 \
    case IR_iota:                                                                                  \
    case IR_random:                                                                                \
    case IR_input:                                                                                 \
    case IR_slot:                                                                                  \
    case IR_reduce:                                                                                \
    case IR_cumsum:                                                                                \
    case IR_reshape:                                                                               \
    case IR_scatter:                                                                               \
    case IR_stop:                                                                                  \
    case IR_custom:                                                                                \
    case IR_hole:                                                                                  \
    case IR_grad:                                                                                  \
    case IR_OP_COUNT: return false

/* Rounded to 11 significant bits, half away from zero; a NaN stays one. */
static int32_t tf32_bits(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    u = v != v ? u | 0x400000 : isinf(v) ? u : u + 0x1000;
    return (int32_t)(u & ~(uint32_t)0x1fff);
}

static float round_tf32(float v)
{
    int32_t bits = tf32_bits(v);
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* SUFFIX: of libm's exact functions. Transcendentals are computed in f64 and rounded once. */
#define FLOAT_LANES(NAME, TYPE, SUFFIX)                                                            \
    static bool NAME(enum ir_op op, uint32_t n, const TYPE *x, const TYPE *y, TYPE *r, uint8_t *p) \
    {                                                                                              \
        typedef TYPE T;                                                                            \
        switch (op) {                                                                              \
        case IR_neg: EACH(-a);                                                                     \
        case IR_abs: EACH(fabs##SUFFIX(a));                                                        \
        case IR_sign: EACH(a > 0 ? 1 : a < 0 ? -1 : a);                                            \
        case IR_floor: EACH(floor##SUFFIX(a));                                                     \
        case IR_ceil: EACH(ceil##SUFFIX(a));                                                       \
        case IR_round: EACH(rint##SUFFIX(a));                                                      \
        case IR_sqrt: EACH(sqrt##SUFFIX(a));                                                       \
        case IR_rsqrt: EACH(1 / sqrt##SUFFIX(a));                                                  \
        case IR_exp: EACH((T)exp((double)a));                                                      \
        case IR_log: EACH((T)log((double)a));                                                      \
        case IR_sin: EACH((T)sin((double)a));                                                      \
        case IR_cos: EACH((T)cos((double)a));                                                      \
        case IR_tanh: EACH((T)tanh((double)a));                                                    \
        case IR_sigmoid: EACH((T)(1 / (1 + exp(-(double)a))));                                     \
        case IR_erf: EACH((T)erf((double)a));                                                      \
        case IR_round_tf32: EACH((T)round_tf32((float)a));                                         \
        case IR_add: EACH2(a + b);                                                                 \
        case IR_sub: EACH2(a - b);                                                                 \
        case IR_mul: EACH2(a *b);                                                                  \
        case IR_div: EACH2(a / b);                                                                 \
        case IR_idiv: EACH2(floor##SUFFIX(a / b));                                                 \
        case IR_mod: EACH2(a - b * floor##SUFFIX(a / b));                                          \
        case IR_pow: EACH2((T)pow((double)a, (double)b));                                          \
        case IR_min: EACH2(a != a ? a : a < b ? a : b);                                            \
        case IR_max:                                                                               \
            EACH2(a != a ? a : a > b ? a : b);                                                     \
            COMPARES;                                                                              \
            NO_CASE;                                                                               \
        }                                                                                          \
        return false;                                                                              \
    }
FLOAT_LANES(lanes_f64, double, )
FLOAT_LANES(lanes_f32, float, f)

static int64_t floor_div(int64_t a, int64_t b)
{
    if (!b)
        return 0;
    if (b == -1)
        return (int64_t)(0 - (uint64_t)a);
    return a / b - (a % b && (a < 0) != (b < 0));
}
static int64_t floor_mod(int64_t a, int64_t b)
{
    if (!b || b == -1)
        return 0;
    int64_t m = a % b;
    return m && (m < 0) != (b < 0) ? m + b : m;
}
static int sign_of(int64_t a) { return (a > 0) - (a < 0); }
static int64_t wrap(enum ir_op op, int64_t a, int64_t b)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    return (int64_t)(op == IR_add ? x + y : op == IR_sub ? x - y : x * y);
}

#define INT_LANES(NAME, TYPE)                                                                      \
    static bool NAME(enum ir_op op, uint32_t n, const TYPE *x, const TYPE *y, TYPE *r, uint8_t *p) \
    {                                                                                              \
        typedef TYPE T;                                                                            \
        switch (op) {                                                                              \
        case IR_neg: EACH((T)wrap(IR_sub, 0, a));                                                  \
        case IR_abs: EACH((T)(sign_of(a) < 0 ? wrap(IR_sub, 0, a) : a));                           \
        case IR_sign: EACH((T)sign_of(a));                                                         \
        case IR_add:                                                                               \
        case IR_sub:                                                                               \
        case IR_mul: EACH2((T)wrap(op, a, b));                                                     \
        case IR_idiv: EACH2((T)floor_div(a, b));                                                   \
        case IR_mod: EACH2((T)floor_mod(a, b));                                                    \
        case IR_min: EACH2(a < b ? a : b);                                                         \
        case IR_max: EACH2(a > b ? a : b); COMPARES;                                               \
        case IR_floor:                                                                             \
        case IR_ceil:                                                                              \
        case IR_round:                                                                             \
        case IR_sqrt:                                                                              \
        case IR_rsqrt:                                                                             \
        case IR_exp:                                                                               \
        case IR_log:                                                                               \
        case IR_sin:                                                                               \
        case IR_cos:                                                                               \
        case IR_tanh:                                                                              \
        case IR_sigmoid:                                                                           \
        case IR_erf:                                                                               \
        case IR_round_tf32:                                                                        \
        case IR_div:                                                                               \
        case IR_pow: return false; NO_CASE;                                                        \
        }                                                                                          \
        return false;                                                                              \
    }
INT_LANES(lanes_i64, int64_t)
INT_LANES(lanes_i32, int32_t)
INT_LANES(lanes_i8, int8_t)
INT_LANES(lanes_u8, uint8_t)

static void select_lanes(size_t size, uint32_t n, const uint8_t *c, const char *x, const char *y,
                         char *out)
{
    for (uint32_t i = 0; i < n; i++)
        memcpy(out + i * size, (c[i] ? x : y) + i * size, size);
}

static void logic_lanes(enum ir_op op, uint32_t n, const uint8_t *x, const uint8_t *y, uint8_t *r)
{
    for (uint32_t i = 0; i < n; i++)
        r[i] = op == IR_not ? !x[i] : op == IR_and ? x[i] & y[i] : x[i] | y[i];
}

bool lo_lanes_op(enum ir_op op, enum nn_dtype from, enum nn_dtype to, uint32_t n,
                 const void *const in[3], void *out)
{
    if (op == IR_cast) {
        cast_lanes(from, to, n, in[0], out);
        return true;
    }
    if (op == IR_select) {
        select_lanes(nn_dtype_size(to), n, in[0], in[1], in[2], out);
        return true;
    }
    if (op == IR_copy) {
        memcpy(out, in[0], n * nn_dtype_size(to));
        return true;
    }
    if (from == NN_bool && ir_op_class(op) == IRC_LOGIC) {
        logic_lanes(op, n, in[0], in[1], out);
        return true;
    }
    switch (from) {
    case NN_f64: return lanes_f64(op, n, in[0], in[1], out, out);
    case NN_f32: return lanes_f32(op, n, in[0], in[1], out, out);
    case NN_i64: return lanes_i64(op, n, in[0], in[1], out, out);
    case NN_i32: return lanes_i32(op, n, in[0], in[1], out, out);
    case NN_i8: return lanes_i8(op, n, in[0], in[1], out, out);
    case NN_u8: return lanes_u8(op, n, in[0], in[1], out, out);
    case NN_bool: return ir_op_class(op) == IRC_CMP && lanes_u8(op, n, in[0], in[1], out, out);
    case NN_f16:
    case NN_bf16:
    case NN_DTYPE_COUNT: break;
    }
    return false;
}

void lo_lanes_fma(enum nn_dtype t, uint32_t n, const void *const in[3], void *out)
{
    const float *x = in[0], *y = in[1], *z = in[2];
    const double *xd = in[0], *yd = in[1], *zd = in[2];
    for (uint32_t i = 0; i < n; i++)
        if (t == NN_f32)
            ((float *)out)[i] = fmaf(x[i], y[i], z[i]);
        else
            ((double *)out)[i] = fma(xd[i], yd[i], zd[i]);
}

enum ir_op lo_monoid_op(enum ir_monoid m)
{
    static const uint8_t op[] = {
#define MONOID(name, identity, combine) IR_##combine,
#include "ir/monoids.def"
#undef MONOID
    };
    return op[m];
}

/* ---- bits ---- */

static uint64_t mulhi(uint64_t x, uint64_t y)
{
    uint64_t xl = (uint32_t)x, xh = x >> 32, yl = (uint32_t)y, yh = y >> 32;
    uint64_t middle = (uint32_t)(xh * yl) + xl * yh + (xl * yl >> 32);
    return xh * yh + (xh * yl >> 32) + (middle >> 32);
}

static int64_t bit_i64(enum lo_bit op, int64_t a, int64_t b)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    switch (op) {
    case LO_AND: return a & b;
    case LO_OR: return a | b;
    case LO_XOR: return a ^ b;
    case LO_SHL: return (int64_t)(x << (y & 63));
    case LO_SHR: return (int64_t)(x >> (y & 63));
    case LO_SAR: return a >> (y & 63);
    case LO_MULHI: return (int64_t)mulhi(x, y);
    case LO_BITCAST:
    case LO_ROUND_INT:
    case LO_TF32:
    case LO_BIT_COUNT: break;
    }
    return 0;
}

static int32_t bit_i32(enum lo_bit op, int32_t a, int32_t b)
{
    uint32_t x = (uint32_t)a, y = (uint32_t)b;
    switch (op) {
    case LO_AND: return a & b;
    case LO_OR: return a | b;
    case LO_XOR: return a ^ b;
    case LO_SHL: return (int32_t)(x << (y & 31));
    case LO_SHR: return (int32_t)(x >> (y & 31));
    case LO_SAR: return a >> (y & 31);
    case LO_MULHI: return (int32_t)((uint64_t)x * y >> 32);
    case LO_BITCAST:
    case LO_ROUND_INT:
    case LO_TF32:
    case LO_BIT_COUNT: break;
    }
    return 0;
}

void lo_lanes_bit(enum lo_bit op, enum nn_dtype from, enum nn_dtype to, uint32_t n,
                  const void *const in[3], void *out)
{
    const int32_t *x = in[0], *y = in[1];
    const int64_t *x8 = in[0], *y8 = in[1];
    if (op == LO_BITCAST) {
        memcpy(out, in[0], n * nn_dtype_size(to));
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (op == LO_ROUND_INT && from == NN_f32) {
            float v = rintf(((const float *)in[0])[i]);
            ((int32_t *)out)[i] = v >= -0x1p31f && v < 0x1p31f ? (int32_t)v : INT32_MIN;
        } else if (op == LO_TF32) {
            ((int32_t *)out)[i] = tf32_bits(((const float *)in[0])[i]);
        } else if (op == LO_ROUND_INT) {
            double v = rint(((const double *)in[0])[i]);
            ((int64_t *)out)[i] = v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN;
        } else if (from == NN_i32) {
            ((int32_t *)out)[i] = bit_i32(op, x[i], y[i]);
        } else {
            ((int64_t *)out)[i] = bit_i64(op, x8[i], y8[i]);
        }
    }
}

/* ---- folding: only what has the same bits on every machine and with denormals flushed ---- */

/* Denormals are flushed at run time, and a NaN's bits differ between machines. */
static bool exact(enum nn_dtype t, union lo_num v)
{
    if (t == NN_f64)
        return !isnan(v.f64) && fpclassify(v.f64) != FP_SUBNORMAL;
    if (t == NN_f32)
        return !isnan(v.f32) && fpclassify(v.f32) != FP_SUBNORMAL;
    return !nn_is_float(t) || !isnan(lo_num_f(t, v));
}

static bool transcendental(enum ir_op op) { return (op >= IR_exp && op <= IR_erf) || op == IR_pow; }

bool lo_fold_op(enum ir_op op, enum nn_dtype from, enum nn_dtype to, const union lo_num v[3],
                union lo_num *r)
{
    if (transcendental(op))
        return false;
    for (int i = 0; i < ir_op_arity(op); i++) {
        enum nn_dtype t = op == IR_select && i ? to : from;
        if (!exact(t, v[i]))
            return false;
    }
    *r = (union lo_num){0};
    return lo_lanes_op(op, from, to, 1, (const void *const[3]){&v[0], &v[1], &v[2]}, r) &&
           exact(to, *r);
}

bool lo_fold_fma(enum nn_dtype t, const union lo_num v[3], union lo_num *r)
{
    for (int i = 0; i < 3; i++)
        if (!exact(t, v[i]))
            return false;
    *r = (union lo_num){0};
    lo_lanes_fma(t, 1, (const void *const[3]){&v[0], &v[1], &v[2]}, r);
    return exact(t, *r);
}

bool lo_fold_bit(enum lo_bit op, enum nn_dtype from, enum nn_dtype to, const union lo_num v[2],
                 union lo_num *r)
{
    if (nn_is_float(from))
        return false; /* a rounding out of range is not the same everywhere; bits are rare here */
    *r = (union lo_num){0};
    lo_lanes_bit(op, from, to, 1, (const void *const[3]){&v[0], &v[1], NULL}, r);
    return exact(to, *r);
}
