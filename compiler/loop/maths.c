/* Random numbers and the transcendentals of f32 become arithmetic, bits and selects (maths_f32.c).
 */
#include "loop/private.h"

/* Philox2x32-10 keyed by seed and stream, counting in step and index: ir/random.c in loop IR. The
 * key depends on scalars only; each round is one 32-bit product, its two halves. */
static lo_id random_uniform(struct lo_builder *b, const struct lo_insn *in)
{
    struct lo_type ti = {NN_i32, in->type.lanes}, tl = {NN_i64, in->type.lanes}, s = LO_I64;
    lo_id z = lo_const_i(b, s, (int64_t)((uint64_t)in->i * 0x9e3779b97f4a7c15u));
    static const struct {
        int shift;
        uint64_t factor;
    } mix[] = {{30, 0xbf58476d1ce4e5b9u}, {27, 0x94d049bb133111ebu}, {31, 1}};
    z = lo_bit(b, LO_XOR, s, in->in[0], z);
    for (uint32_t i = 0; i < COUNT(mix); i++) {
        z = lo_bit(b, LO_XOR, s, z, lo_bit(b, LO_SHR, s, z, lo_const_i(b, s, mix[i].shift)));
        z = lo_op(b, IR_mul, s, z, lo_const_i(b, s, (int64_t)mix[i].factor), 0);
    }
    lo_id key = lo_splat(b, lo_cast(b, NN_i32, z), ti.lanes);
    lo_id high = lo_bit(b, LO_SHR, tl, in->in[2], lo_const_i(b, tl, 32));
    lo_id c0 = lo_cast(b, NN_i32, in->in[2]);
    lo_id c1 = lo_cast(b, NN_i32, lo_bit(b, LO_XOR, tl, high, lo_splat(b, in->in[1], tl.lanes)));
    lo_id factor = lo_const_i(b, ti, (int64_t)0xd256d193u), bump = lo_const_i(b, ti, 0x9e3779b9);
    for (int round = 0; round < 10; round++) {
        lo_id h = lo_bit(b, LO_XOR, ti, lo_bit(b, LO_MULHI, ti, factor, c0), key);
        lo_id l = lo_op(b, IR_mul, ti, factor, c0, 0);
        c0 = lo_bit(b, LO_XOR, ti, h, c1);
        c1 = l;
        key = lo_op(b, IR_add, ti, key, bump, 0);
    }
    lo_id word = lo_bit(b, LO_SHR, ti, in->op ? c1 : c0, lo_const_i(b, ti, 8));
    return lo_op(b, IR_mul, in->type, lo_cast(b, NN_f32, word), lo_const_f(b, in->type, 0x1p-24),
                 0);
}

uint32_t lo_maths_reg(struct lo_maths *m, enum nn_dtype t)
{
    uint32_t log = 0;
    while (1 << log < m->lanes)
        log++;
    uint32_t *reg = &m->reg[t == NN_i32][log];
    if (!*reg)
        *reg = lo_buffer(m->b->k, LO_REG, "angle", (struct lo_type){(uint8_t)t, m->lanes}, 1);
    return *reg;
}

static lo_id expand(struct lo_rewrite *r, lo_id id)
{
    const struct lo_insn *old = &r->old.insns.p[id];
    struct lo_maths *m = r->own;
    if (old->kind == LO_RANDOM) {
        struct lo_insn in = lo_rewrite_operands(r, old);
        return random_uniform(&r->b, &in);
    }
    if (old->kind == LO_OP && old->type.dtype == NN_f32) {
        m->b = &r->b;
        m->lanes = old->type.lanes;
        lo_id y = lo_maths_f32(m, old->op, r->map[old->in[0]], r->map[old->in[1]]);
        if (y)
            return y;
    }
    if (old->kind == LO_OP && old->type.dtype == NN_f64 && m->gpu) {
        m->b = &r->b;
        m->lanes = old->type.lanes;
        lo_id y = lo_maths_f64(m, old->op, r->map[old->in[0]], r->map[old->in[1]]);
        if (y)
            return y;
    }
    return lo_rewrite_copy(r, id);
}

void lo_expand_maths(struct lo_kernel *k, bool fma)
{
    struct lo_maths m = {.fma = fma};
    lo_rewrite(k, expand, &m);
}

void lo_expand_maths_gpu(struct lo_kernel *k)
{
    struct lo_maths m = {.fma = true, .gpu = true};
    lo_rewrite(k, expand, &m);
}
