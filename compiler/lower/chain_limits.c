/* Columns that count for nothing. A value that is picked under the condition has its fill where
 * that fails; what follows from constants is known: exp(-inf) is 0, 0 * x is 0. A chain's columns
 * are left out where whatever it folds over columns is then the fold's identity, and nothing is
 * stored by column. A band has two such sides, each left out for its own reason. */
#include "lower/chain.h"
#include <math.h>

/* ---- a stage's columns ---- */

struct look {
    const struct fuse_plan *p;
    const struct fuse_cluster *chain, *c;
    struct fx x;
    uint8_t *mode;
    uint32_t column; /* axis of c's space */
    struct chain_limits *limits;
    bool to; /* the side in question: columns from `limits->to` on, or before `limits->from` */
    const double *outside; /* of each local: what it is on that side; NaN: not known */
};

static const struct fx_local *local_of(const struct fuse_cluster *chain, ir_id node,
                                       uint32_t *index)
{
    for (uint32_t i = 0; i < chain->nlocal; i++)
        if (chain->local[i].node == node) {
            *index = i;
            return &chain->local[i];
        }
    return NULL;
}

/* ---- the condition ---- */

/* It holds where column - row is in *from .. *to. */
static bool is_guard(const struct look *l, const struct fx_guard *g, int64_t *from, int64_t *to)
{
    uint32_t row = l->c->split, block = l->x.first_row, axes = fx_ix_axes(&l->x, g->e);
    int64_t k = ix_coef(g->e, l->column);
    if (g->q != 1 || g->strict || axes != (1u << l->column | 1u << row | 1u << block) ||
        !ix_is_affine(g->e) || (k != 1 && k != -1) || ix_coef(g->e, row) != -k ||
        ix_coef(g->e, block) != -k)
        return false;
    *from = k > 0 ? -g->e->c0 : g->e->c0 - g->n + 1;
    *to = *from + g->n - 1;
    return true;
}

/* The first such condition of a pick is the chain's, for each side that it says something of. */
static void find_guard(void *ctx, const struct fx *x, fx_id id)
{
    struct look *l = ctx;
    const struct fx_val *v = &x->val.p[id];
    struct chain_limits *limits = l->limits;
    int64_t from, to, rows = l->chain->dim[l->chain->outer - 1], columns = l->c->dim[l->column];
    for (uint32_t i = v->kind == FX_PICK ? v->pick : 0; i && i != v->cond; i = x->cond.p[i].up) {
        if (!is_guard(l, &x->cond.p[i].g, &from, &to))
            continue;
        if (!limits->from && from > -(rows - 1)) {
            limits->from = true;
            limits->first = from;
        }
        if (!limits->to && to < columns - 1) {
            limits->to = true;
            limits->last = to;
        }
    }
}

/* It holds nowhere on that side. */
static bool fails(const struct look *l, const struct fx_guard *g)
{
    int64_t from, to;
    return is_guard(l, g, &from, &to) && (l->to ? to <= l->limits->last : from >= l->limits->first);
}

/* ---- values on a side that may be left out ---- */

static double outside(const struct look *l, fx_id id);

static double of_op(const struct look *l, const struct fx_val *v)
{
    double a[3] = {0};
    bool known = true;
    int n = ir_op_arity(v->op);
    for (int i = 0; i < n; i++) {
        a[i] = outside(l, v->in[i]);
        known = known && !isnan(a[i]);
    }
    if (known && nn_is_float(v->dtype))
        return ir_scalar(v->op, l->x.val.p[v->in[0]].dtype, v->dtype, a);
    switch ((int)v->op) {
    case IR_mul: return a[0] == 0 || a[1] == 0 ? 0 : NAN;
    case IR_div: return a[0] == 0 ? 0 : NAN;
    case IR_add: return a[0] == -INFINITY || a[1] == -INFINITY ? -INFINITY : NAN;
    case IR_sub: return a[0] == -INFINITY ? -INFINITY : NAN;
    }
    return NAN;
}

/* NaN: not known. Numbers that are not finite elsewhere do not count: they make the row NaN anyway.
 */
static double outside(const struct look *l, fx_id id)
{
    const struct fx_val *v = &l->x.val.p[id];
    uint32_t index;
    switch ((enum fx_kind)v->kind) {
    case FX_CONST: return nn_is_float(v->dtype) ? v->f : (double)v->i;
    case FX_LOAD: return local_of(l->chain, v->node, &index) ? l->outside[index] : NAN;
    case FX_OP: return of_op(l, v);
    case FX_PICK:
        for (uint32_t i = v->pick; i && i != v->cond; i = l->x.cond.p[i].up)
            if (fails(l, &l->x.cond.p[i].g))
                return v->f;
        return outside(l, v->in[0]) == v->f ? v->f : NAN;
    case FX_BOUND:
    case FX_INDEX:
    case FX_RANDOM: break;
    }
    return NAN;
}

/* ---- all stages ---- */

static void begin(struct look *l, const struct fuse_cluster *stage)
{
    l->c = stage;
    l->mode = fuse_modes(l->p, stage);
    fuse_fx_begin(&l->x, l->p, stage, l->mode);
}

static void end(struct look *l)
{
    fx_end(&l->x);
    free(l->mode);
}

static void each_value(struct look *l, void (*fn)(void *, const struct fx *, fx_id))
{
    for (uint32_t i = 0; i < l->c->members.n; i++) {
        fx_id v = fuse_member_value(&l->x, l->c, i);
        uint8_t *seen = xcalloc(l->x.val.n, 1);
        fx_walk(&l->x, v, seen, fn, l);
        free(seen);
    }
}

static bool has_column(const struct look *l, const struct fuse_member *m, uint32_t from,
                       uint32_t to)
{
    for (uint32_t k = from; k < to; k++)
        if (m->axis[k] == l->column)
            return true;
    return false;
}

/* What member i folds over columns is nothing, what it gives by column is kept in the chain. */
static bool may_leave_out(struct look *l, uint32_t i, double *outside_of)
{
    const struct fuse_member *m = &l->c->members.p[i];
    const struct ir_node *n = ir_at(l->p->g, m->node);
    uint32_t index, kept = (uint32_t)n->nd - n->nred;
    const struct fx_local *own = local_of(l->chain, m->node, &index);
    double v = outside(l, fuse_member_value(&l->x, l->c, i));
    if (n->op == IR_reduce && has_column(l, m, kept, n->nd) &&
        !(v == ir_monoid_identity(n->monoid, n->dtype)))
        return false;
    if (own)
        outside_of[index] = n->op == IR_reduce ? NAN : v;
    return own || !m->stored || !has_column(l, m, 0, kept);
}

/* All stages may do without the columns of that side. */
static bool may_end(struct look *l, bool to)
{
    const struct fuse_cluster *chain = l->chain;
    double known[64];
    bool good = true;
    for (uint32_t i = 0; i < COUNT(known); i++)
        known[i] = NAN;
    l->to = to;
    l->outside = known;
    for (uint32_t i = 0; i < chain->stages.n && good; i++) {
        begin(l, &chain->stages.p[i]);
        l->column = l->limits->column[i];
        for (uint32_t k = 0; k < l->c->members.n && good; k++)
            good = may_leave_out(l, k, known);
        end(l);
    }
    return good && chain->nlocal <= COUNT(known);
}

struct chain_limits chain_find_limits(const struct fuse_plan *p, const struct fuse_cluster *c)
{
    struct chain_limits limits = {0};
    struct look l = {.p = p, .chain = c, .limits = &limits};
    bool good = c->stages.n <= COUNT(limits.column);
    for (uint32_t i = 0; i < c->stages.n && good; i++) {
        good = fuse_stage_column(p, c, &c->stages.p[i], &limits.column[i]);
        if (!good)
            break;
        begin(&l, &c->stages.p[i]);
        l.column = limits.column[i];
        each_value(&l, find_guard);
        end(&l);
    }
    /* beyond the diagonal some rows have no column at all: they are NaN, and so is all that sums
     * over them */
    limits.from = good && limits.from && limits.first <= 0 && may_end(&l, false);
    limits.to = good && limits.to && limits.last >= 0 && may_end(&l, true);
    return limits;
}

struct sk_limit chain_limit(struct sk *s, const struct chain_limits *l, uint32_t column,
                            struct lo_lin at, int64_t rows)
{
    struct lo_builder *b = &s->b;
    struct lo_type t = {NN_i64, 1};
    int64_t n = s->c->dim[column];
    struct sk_limit r = {true, lo_lin_c(0), lo_lin_c(n)};
    lo_id zero = lo_const_i(b, t, 0), one = lo_const_i(b, t, 1);
    if (l->from) {
        lo_id v = lo_value(b, lo_lin_add(b, at, lo_lin_c(l->first)));
        v = lo_op(b, IR_min, t, v, lo_const_i(b, t, n - 1), 0);
        r.from = lo_lin_v(b, lo_op(b, IR_max, t, v, zero, 0));
    }
    if (l->to) {
        lo_id v = lo_value(b, lo_lin_add(b, at, lo_lin_c(rows + l->last)));
        v = lo_op(b, IR_max, t, v, one, 0);
        r.to = lo_lin_v(b, lo_op(b, IR_min, t, v, lo_const_i(b, t, n), 0));
    }
    return r;
}
