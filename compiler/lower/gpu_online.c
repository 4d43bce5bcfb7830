/* A row's maximum and the sum of exp(x - g(maximum)) in one sweep, where the row is not kept and a
 * second sweep would read it again: each thread (and lane) has a maximum and a sum of its own,
 * which is rescaled when the maximum grows; at the end all sums are rescaled to the row's maximum.
 *
 * The two are a softmax's. g is what stands between: the maximum itself, or 0 where it is infinite.
 * After M. Milakov and N. Gimelshein, "Online normalizer calculation for softmax" (2018). */
#include "lower/gpu.h"
#include <math.h>

#define NONE UINT32_MAX

/* Only operators, constants and the maximum, in f32: then it can be told for a thread's own. */
static bool is_of(const struct gpu *g, fx_id id, ir_id max)
{
    const struct fx_val *v = &g->s->x.val.p[id];
    bool operands = v->kind == FX_OP && v->op != IR_cast;
    if (v->kind == FX_BOUND)
        return v->node == max;
    for (int i = 0; operands && i < ir_op_arity(v->op); i++)
        operands = is_of(g, v->in[i], max);
    return operands || v->kind == FX_CONST;
}

/* The sum's value is exp(x - g), x what the maximum is of. */
static fx_id shift_of(struct gpu *g, uint32_t sum, uint32_t max)
{
    const struct fx *x = &g->s->x;
    const struct fx_val *e = &x->val.p[sk_member(g->s, sum)];
    const struct fx_val *d = e->kind == FX_OP && e->op == IR_exp ? &x->val.p[e->in[0]] : NULL;
    bool fits = d && d->kind == FX_OP && d->op == IR_sub && d->dtype == NN_f32 &&
                d->in[0] == sk_member(g->s, max) &&
                !(x->val.p[d->in[1]].axes & gpu_inner_mask(g)) &&
                is_of(g, d->in[1], gpu_member(g, max)->node);
    return fits ? d->in[1] : 0;
}

/* The only reduction of a sweep that stores nothing; NONE: it is not so. */
static uint32_t alone(const struct gpu *g, uint32_t sweep, enum ir_monoid m)
{
    uint32_t found = NONE;
    for (uint32_t i = 0; i < g->s->c->members.n; i++) {
        if (!nest_in_sweep(&g->n, i, sweep))
            continue;
        if (found != NONE || gpu_member(g, i)->role != FUSE_REDUCE ||
            ir_at(g->s->plan->g, gpu_member(g, i)->node)->monoid != m)
            return NONE;
        found = i;
    }
    return found;
}

bool gpu_find_online(struct gpu *g)
{
    for (uint32_t k = 0; k + 1 < g->n.sweeps; k++) {
        uint32_t max = alone(g, k, IRM_max), sum = alone(g, k + 1, IRM_sum);
        if (max == NONE || sum == NONE || nest_folded_type(&g->n, max) != NN_f32 ||
            nest_folded_type(&g->n, sum) != NN_f32)
            continue;
        fx_id between = shift_of(g, sum, max);
        if (!between)
            continue;
        g->online = (struct gpu_online){true, max, sum, between};
        g->n.sweep[sum] = NONE; /* no sweep of its own */
        return true;
    }
    return false;
}

bool gpu_online_in(const struct gpu *g, uint32_t sweep)
{
    return g->online.on && nest_in_sweep(&g->n, g->online.max, sweep);
}

/* ---- a thread's own ---- */

static lo_id constant(struct gpu *g, lo_id like, double f)
{
    return lo_const_f(&g->s->b, g->s->b.k->insns.p[like].type, f);
}

/* g of a maximum. */
static lo_id shift(struct gpu *g, fx_id id, lo_id max)
{
    struct lo_builder *b = &g->s->b;
    const struct fx_val v = g->s->x.val.p[id];
    struct lo_type t = {v.dtype, b->k->insns.p[max].type.lanes};
    lo_id in[3] = {0};
    if (v.kind == FX_BOUND)
        return max;
    if (v.kind == FX_CONST)
        return nn_is_float(v.dtype) ? lo_const_f(b, t, v.f) : lo_const_i(b, t, v.i);
    for (int i = 0; i < ir_op_arity(v.op); i++)
        in[i] = shift(g, v.in[i], max);
    return lo_op(b, v.op, t, in[0], in[1], in[2]);
}

/* exp(x - g(max)); 0 where max is -infinity: then x is, and what follows will tell. */
static lo_id term(struct gpu *g, lo_id x, lo_id max)
{
    struct lo_builder *b = &g->s->b;
    struct lo_type t = b->k->insns.p[max].type;
    lo_id d = lo_op(b, IR_sub, t, x, shift(g, g->online.shift, max), 0);
    lo_id e = lo_op(b, IR_exp, t, d, 0, 0);
    lo_id none = lo_op(b, IR_eq, t, max, constant(g, max, -INFINITY), 0);
    return lo_op(b, IR_select, t, none, constant(g, max, 0), e);
}

/* A sum up to the maximum `from` as one up to `to`; up to -infinity it is 0. */
static lo_id rescaled(struct gpu *g, lo_id sum, lo_id from, lo_id to)
{
    struct lo_builder *b = &g->s->b;
    struct lo_type t = b->k->insns.p[sum].type;
    lo_id same = lo_op(b, IR_eq, t, from, to, 0);
    lo_id none = lo_op(b, IR_eq, t, from, constant(g, from, -INFINITY), 0);
    lo_id r = lo_op(b, IR_mul, t, sum, term(g, shift(g, g->online.shift, from), to), 0);
    r = lo_op(b, IR_select, t, none, constant(g, from, 0), r);
    return lo_op(b, IR_select, t, same, sum, r);
}

void gpu_online_start(struct gpu *g) { nest_start_fold(&g->n, g->online.sum, 1); }

void gpu_online_point(struct gpu *g, lo_id before)
{
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    struct nest_fold *max = &g->n.fold[g->online.max], *sum = &g->n.fold[g->online.sum];
    lo_id now = lo_get(b, max->reg, lo_lin_c(0)), old = lo_get(b, sum->reg, lo_lin_c(0));
    struct lo_type t = b->k->insns.p[now].type;
    lo_id x = lo_splat(b, sk_value(s, sk_member(s, g->online.max)), t.lanes);
    lo_id all = lo_op(b, IR_add, t, rescaled(g, old, before, now), term(g, x, now), 0);
    lo_set(b, sum->reg, lo_lin_c(0), all);
}

/* The thread's sum, up to the row's maximum. A row that has nothing else than -infinity has the sum
 * of exp(-infinity - g), 0 or NaN. */
void gpu_online_end(struct gpu *g, lo_id before, lo_id row)
{
    struct lo_builder *b = &g->s->b;
    struct nest_fold *sum = &g->n.fold[g->online.sum];
    lo_id old = lo_get(b, sum->reg, lo_lin_c(0));
    struct lo_type t = b->k->insns.p[old].type;
    lo_id max = lo_splat(b, row, t.lanes), none = constant(g, old, -INFINITY);
    lo_id least = lo_op(b, IR_sub, t, none, shift(g, g->online.shift, max), 0);
    lo_id all = rescaled(g, old, before, max);
    lo_id empty = lo_op(b, IR_eq, t, max, none, 0);
    all = lo_op(b, IR_select, t, empty, lo_op(b, IR_exp, t, least, 0, 0), all);
    lo_set(b, sum->reg, lo_lin_c(0), all);
}
