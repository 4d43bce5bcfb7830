/* Ranges of integer values, from constants, loop bounds and chunk counts, through arithmetic.
 * Anything that might wrap around, or is large, is unknown. */
#include "loop/private.h"

#define LIMIT ((int64_t)1 << 60)

static const struct lo_range unknown = {0};

static struct lo_range make(int64_t lo, int64_t hi)
{
    return lo > -LIMIT && hi < LIMIT && lo <= hi ? (struct lo_range){true, lo, hi} : unknown;
}

static struct lo_range sum(struct lo_range x, struct lo_range y)
{
    return x.known && y.known ? make(x.lo + y.lo, x.hi + y.hi) : unknown;
}

static struct lo_range product(struct lo_range x, struct lo_range y)
{
    int64_t v[4], lo, hi;
    if (!x.known || !y.known || __builtin_mul_overflow(x.lo, y.lo, &v[0]) ||
        __builtin_mul_overflow(x.lo, y.hi, &v[1]) || __builtin_mul_overflow(x.hi, y.lo, &v[2]) ||
        __builtin_mul_overflow(x.hi, y.hi, &v[3]))
        return unknown;
    lo = hi = v[0];
    for (int i = 1; i < 4; i++) {
        lo = v[i] < lo ? v[i] : lo;
        hi = v[i] > hi ? v[i] : hi;
    }
    return make(lo, hi);
}

static struct lo_range lin_range(struct lo_lin l, lo_range_fn *of, void *own)
{
    struct lo_range r = make(l.c0, l.c0);
    for (uint32_t i = 0; i < l.n && r.known; i++)
        r = sum(r, product(of(own, l.part[i].v), make(l.part[i].c, l.part[i].c)));
    return r;
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b && (a < 0) != (b < 0)); }

static struct lo_range quotient(enum ir_op op, struct lo_range x, struct lo_range y)
{
    if (!y.known || y.lo != y.hi || y.lo <= 0)
        return unknown;
    if (op == IR_idiv)
        return x.known ? make(floor_div(x.lo, y.lo), floor_div(x.hi, y.lo)) : unknown;
    if (x.known && floor_div(x.lo, y.lo) == floor_div(x.hi, y.lo)) {
        int64_t base = floor_div(x.lo, y.lo) * y.lo;
        return make(x.lo - base, x.hi - base);
    }
    return make(0, y.lo - 1);
}

static struct lo_range op_range(enum ir_op op, struct lo_range x, struct lo_range y,
                                struct lo_range z)
{
    if (op == IR_cast || op == IR_copy)
        return x;
    if (op == IR_idiv || op == IR_mod)
        return quotient(op, x, y);
    if (op == IR_neg)
        return x.known ? make(-x.hi, -x.lo) : unknown;
    if (op == IR_add)
        return sum(x, y);
    if (op == IR_sub)
        return y.known ? sum(x, make(-y.hi, -y.lo)) : unknown;
    if (op == IR_mul)
        return product(x, y);
    if (op == IR_select)
        return y.known && z.known ? make(y.lo < z.lo ? y.lo : z.lo, y.hi > z.hi ? y.hi : z.hi)
                                  : unknown;
    if (op == IR_min && x.known && y.known)
        return make(x.lo < y.lo ? x.lo : y.lo, x.hi < y.hi ? x.hi : y.hi);
    if (op == IR_max && x.known && y.known)
        return make(x.lo > y.lo ? x.lo : y.lo, x.hi > y.hi ? x.hi : y.hi);
    return unknown;
}

/* Of numbers that are not negative; shifts by a known number. */
static struct lo_range bit_range(enum lo_bit op, struct lo_range x, struct lo_range y)
{
    bool shift = y.known && y.lo == y.hi && y.lo >= 0 && y.lo < 60;
    if (op == LO_AND && y.known && y.lo >= 0)
        return make(0, x.known && x.lo >= 0 && x.hi < y.hi ? x.hi : y.hi);
    if (op == LO_AND && x.known && x.lo >= 0)
        return make(0, x.hi);
    if (!x.known || x.lo < 0)
        return unknown;
    if (op == LO_SHR && shift)
        return make(x.lo >> y.lo, x.hi >> y.lo);
    if (op == LO_SHL && shift)
        return product(x, make((int64_t)1 << y.lo, (int64_t)1 << y.lo));
    if ((op == LO_OR || op == LO_XOR) && y.known && y.lo >= 0 && (x.hi | y.hi) > 0)
        return make(0, (int64_t)(UINT64_MAX >> __builtin_clzll((uint64_t)(x.hi | y.hi))));
    return unknown;
}

static struct lo_range loop_range(const struct lo_insn *in, lo_range_fn *of, void *own)
{
    struct lo_range from = lin_range(in->lin, of, own), to = lin_range(in->hi, of, own);
    if (!from.known || !to.known || from.lo >= to.hi)
        return unknown;
    int64_t last = to.hi - 1;
    if (from.lo == from.hi)
        last = from.lo + (last - from.lo) / in->step * in->step;
    return make(from.lo, last);
}

static struct lo_range raw_range(const struct lo_insn *in, lo_range_fn *of, void *own)
{
    struct lo_range v[3];
    if (in->kind == LO_CONST)
        return make(in->i, in->i);
    if (in->kind == LO_FOR)
        return loop_range(in, of, own);
    if (in->kind == LO_LIN)
        return lin_range(in->lin, of, own);
    if (in->kind == LO_LANES)
        return sum(lin_range(in->lin, of, own), make(0, in->type.lanes - 1));
    if (in->kind != LO_OP && in->kind != LO_SPLAT && in->kind != LO_EXTRACT && in->kind != LO_BIT)
        return unknown;
    for (int i = 0; i < 3; i++)
        v[i] = in->in[i] ? of(own, in->in[i]) : unknown;
    if (in->kind == LO_BIT)
        return bit_range(in->op, v[0], v[1]);
    return in->kind == LO_OP ? op_range(in->op, v[0], v[1], v[2]) : v[0];
}

struct lo_range lo_range(const struct lo_insn *in, lo_range_fn *of, void *own)
{
    enum nn_dtype t = in->type.dtype;
    if (t != NN_i64 && t != NN_i32)
        return unknown;
    struct lo_range r = raw_range(in, of, own);
    if (t == NN_i32 && r.known && (r.lo < INT32_MIN || r.hi > INT32_MAX))
        return unknown;
    return r;
}

static bool compare(enum ir_op op, struct lo_range x, struct lo_range y, int64_t *value)
{
    bool below = x.hi < y.lo;
    bool above = x.lo > y.hi;
    bool at_most = x.hi <= y.lo;
    bool at_least = x.lo >= y.hi;
    bool same = at_most && at_least, apart = below || above;
    struct {
        enum ir_op op;
        bool yes, no;
    } row[] = {{IR_lt, below, at_least}, {IR_le, at_most, above}, {IR_gt, above, at_most},
               {IR_ge, at_least, below}, {IR_eq, same, apart},    {IR_ne, apart, same}};
    for (uint32_t i = 0; i < COUNT(row); i++)
        if (row[i].op == op) {
            *value = row[i].yes;
            return row[i].yes || row[i].no;
        }
    return false;
}

bool lo_range_decides(const struct lo_insn *in, lo_range_fn *of, void *own, int64_t *value,
                      lo_id *same)
{
    *same = 0;
    if (in->kind == LO_OP &&
        (ir_op_class(in->op) == IRC_CMP || in->op == IR_min || in->op == IR_max)) {
        struct lo_range x = of(own, in->in[0]), y = of(own, in->in[1]);
        if (!x.known || !y.known)
            return false;
        if (ir_op_class(in->op) == IRC_CMP)
            return compare(in->op, x, y, value);
        if (x.hi <= y.lo || y.hi <= x.lo) {
            bool first = in->op == IR_min ? x.hi <= y.lo : x.lo >= y.hi;
            *same = in->in[!first];
            return true;
        }
    }
    struct lo_range r = in->kind == LO_CONST ? unknown : lo_range(in, of, own);
    *value = r.lo;
    return r.known && r.lo == r.hi;
}
