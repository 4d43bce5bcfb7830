/* The range of every integer value and a power of two that divides it: from these back/ sees which
 * addresses are aligned and what fits 32 bits. */
#include "loop/private.h"

#define MOST ((uint32_t)1 << 20)

/* The largest power of two, at most MOST, that divides v. */
static uint32_t power(int64_t v)
{
    uint64_t u = (uint64_t)v & (0 - (uint64_t)v);
    return !u || u > MOST ? MOST : (uint32_t)u;
}

static uint32_t least(uint32_t x, uint32_t y) { return x < y ? x : y; }

static uint32_t product(uint32_t x, uint32_t y)
{
    uint64_t p = (uint64_t)x * y;
    return p > MOST ? MOST : (uint32_t)p;
}

uint32_t lo_lin_multiple(struct lo_lin l, const struct lo_fact *f)
{
    uint32_t m = power(l.c0);
    for (uint32_t i = 0; i < l.n; i++)
        m = least(m, product(power(l.part[i].c), f[l.part[i].v].multiple));
    return m;
}

static uint32_t op_multiple(const struct lo_kernel *k, const struct lo_insn *in,
                            const struct lo_fact *f)
{
    uint32_t x = f[in->in[0]].multiple, y = f[in->in[1]].multiple;
    const struct lo_fact *by = &f[in->in[1]];
    if (in->op == IR_add || in->op == IR_sub || in->op == IR_min || in->op == IR_max)
        return least(x, y);
    if (in->op == IR_mod) /* x - y q */
        return least(x, y);
    if (in->op == IR_mul)
        return product(x, y);
    if (in->op == IR_neg || in->op == IR_copy)
        return x;
    if (in->op == IR_cast)
        return nn_is_float(k->insns.p[in->in[0]].type.dtype) ? 1 : x;
    if (in->op == IR_select)
        return least(y, f[in->in[2]].multiple);
    bool known = by->known && by->lo == by->hi && by->lo == (int64_t)y;
    return in->op == IR_idiv && known && x >= y ? x / y : 1;
}

static uint32_t bit_multiple(const struct lo_insn *in, const struct lo_fact *f)
{
    uint32_t x = f[in->in[0]].multiple, y = f[in->in[1]].multiple;
    const struct lo_fact *by = &f[in->in[1]];
    if (in->op == LO_AND)
        return x > y ? x : y;
    if (in->op == LO_OR || in->op == LO_XOR)
        return least(x, y);
    if (in->op == LO_SHL && by->known && by->lo == by->hi && by->lo >= 0 && by->lo < 20)
        return product(x, (uint32_t)1 << by->lo);
    return 1;
}

static uint32_t multiple(const struct lo_kernel *k, const struct lo_insn *in,
                         const struct lo_fact *f)
{
    if (in->kind == LO_CONST)
        return power(in->i);
    if (in->kind == LO_LIN)
        return lo_lin_multiple(in->lin, f);
    if (in->kind == LO_FOR)
        return least(lo_lin_multiple(in->lin, f), power(in->step));
    if (in->kind == LO_SPLAT || in->kind == LO_EXTRACT || in->kind == LO_SHUFFLE)
        return f[in->in[0]].multiple;
    if (in->kind == LO_OP)
        return op_multiple(k, in, f);
    return in->kind == LO_BIT ? bit_multiple(in, f) : 1;
}

static struct lo_range range_of(void *own, lo_id v)
{
    const struct lo_fact *f = &((const struct lo_fact *)own)[v];
    return (struct lo_range){f->known, f->lo, f->hi};
}

/* What any value of the type lies in. */
static struct lo_range type_range(enum nn_dtype t)
{
    if (t == NN_i32)
        return (struct lo_range){true, INT32_MIN, INT32_MAX};
    if (t == NN_i8)
        return (struct lo_range){true, INT8_MIN, INT8_MAX};
    if (t == NN_u8 || t == NN_bool)
        return (struct lo_range){true, 0, t == NN_bool ? 1 : UINT8_MAX};
    return (struct lo_range){0};
}

static void walk(const struct lo_kernel *k, uint32_t block, struct lo_fact *f)
{
    for (uint32_t i = 0; i < k->blocks.p[block].insn.n; i++) {
        lo_id id = k->blocks.p[block].insn.p[i];
        const struct lo_insn *in = &k->insns.p[id];
        if (lo_has_value(in->kind) && !nn_is_float(in->type.dtype)) {
            struct lo_range r = lo_range(in, range_of, f);
            if (!r.known)
                r = type_range(in->type.dtype);
            f[id] = (struct lo_fact){r.known, r.lo, r.hi, multiple(k, in, f)};
        }
        if (in->body)
            walk(k, in->body, f);
        if (in->other)
            walk(k, in->other, f);
    }
}

struct lo_fact *lo_facts(const struct lo_kernel *k)
{
    struct lo_fact *f = xcalloc(k->insns.n, sizeof *f);
    for (uint32_t i = 0; i < k->insns.n; i++)
        f[i].multiple = 1;
    for (uint32_t i = 0; i < k->phases.n; i++) {
        const struct lo_phase *p = &k->phases.p[i];
        f[p->chunk] = (struct lo_fact){p->chunks > 0, 0, p->chunks - 1, 1};
        if (p->thread)
            f[p->thread] = (struct lo_fact){true, 0, p->threads - 1, 1};
        walk(k, p->body, f);
    }
    return f;
}
