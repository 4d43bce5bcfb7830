/* Cumulative sums: a running value along one axis, all other points side by side. It runs in f64,
 * since one in f32 would lose digits with the axis's length. */
#include "lower/skeleton.h"

void sk_prefix(struct sk *s)
{
    const struct fuse_member *m = &s->c->members.p[0];
    const struct ir_node *n = ir_at(s->plan->g, m->node);
    uint32_t axes = s->c->outer + s->c->inner, along = m->axis[n->attr.i];
    bool line = along != FUSE_NO_AXIS;
    int64_t rows = 1, trip = line ? s->c->dim[along] : 1;
    for (uint32_t i = 0; i < axes; i++)
        rows *= i == along ? 1 : s->c->dim[i];
    fx_id value = sk_member(s, 0);
    struct lo_type i64 = {NN_i64, 1}, t = sk_type(s, n->dtype, false);
    enum nn_dtype type = (enum nn_dtype)t.dtype;
    t.dtype = (uint8_t)(type == NN_f32 ? NN_f64 : type);
    uint32_t acc = lo_buffer(s->b.k, LO_REG, "acc", t, 1);
    struct lo_lin from, to;
    sk_phase(s, sk_chunks(s, rows, 4096 / (trip + 1) + 1), &from, &to);
    uint32_t mark = sk_open(s);
    lo_id row = lo_for(&s->b, LO_SERIAL, from, to, 1);
    for (uint32_t i = axes; i-- > 0;) {
        if (i == along)
            continue;
        lo_id size = lo_const_i(&s->b, i64, s->c->dim[i]);
        sk_axis(s, i, lo_lin_v(&s->b, lo_op(&s->b, IR_mod, i64, row, size, 0)));
        row = lo_op(&s->b, IR_idiv, i64, row, size, 0);
    }
    lo_set(&s->b, acc, lo_lin_c(0), sk_identity(s, IRM_sum, t.dtype, 1));
    lo_id k = lo_for(&s->b, LO_SERIAL, lo_lin_c(0), lo_lin_c(trip), 1);
    struct lo_lin at = lo_lin_v(&s->b, k);
    if (n->reverse)
        at = lo_lin_add(&s->b, lo_lin_c(trip - 1), lo_lin_mul(&s->b, at, -1));
    if (line)
        sk_axis(s, along, at);
    lo_id sum = lo_cast(&s->b, t.dtype, sk_value(s, value));
    sum = sk_combine(s, IRM_sum, lo_get(&s->b, acc, lo_lin_c(0)), sum);
    lo_set(&s->b, acc, lo_lin_c(0), sum);
    sk_store(s, 0, lo_cast(&s->b, type, sum));
    lo_end(&s->b);
    sk_close(s, mark);
    lo_end(&s->b);
    lo_end(&s->b);
}
