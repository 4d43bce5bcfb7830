/* Columns that count for nothing. A value that is picked under the condition has its fill where
 * that fails; what follows from constants is known: exp(-inf) is 0, 0 * x is 0. A chain's columns
 * are left out where whatever it folds over columns is then the fold's identity, and nothing is
 * stored by column. */
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
    const double *outside; /* of each local: what it is where the condition fails; NaN: not known */
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

static bool is_guard(const struct look *l, const struct fx_guard *g, int *sign, int64_t *first)
{
    uint32_t row = l->c->split, block = l->x.first_row, axes = fx_ix_axes(&l->x, g->e);
    int64_t k = ix_coef(g->e, l->column);
    if (g->q != 1 || g->strict || axes != (1u << l->column | 1u << row | 1u << block) ||
        !ix_is_affine(g->e) || (k != 1 && k != -1) || ix_coef(g->e, row) != -k ||
        ix_coef(g->e, block) != -k)
        return false;
    *sign = (int)k;
    *first = g->e->c0;
    return true;
}

/* The first such condition of a pick is the chain's. */
static void find_guard(void *ctx, const struct fx *x, fx_id id)
{
    struct look *l = ctx;
    const struct fx_val *v = &x->val.p[id];
    int sign;
    int64_t first;
    for (uint32_t i = v->kind == FX_PICK ? v->pick : 0; i && i != v->cond; i = x->cond.p[i].up)
        if (!l->limits->sign && is_guard(l, &x->cond.p[i].g, &sign, &first)) {
            l->limits->sign = sign;
            l->limits->first = first;
        }
}

/* ---- values where the condition fails ---- */

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
    int sign;
    int64_t first;
    switch ((enum fx_kind)v->kind) {
    case FX_CONST: return nn_is_float(v->dtype) ? v->f : (double)v->i;
    case FX_LOAD: return local_of(l->chain, v->node, &index) ? l->outside[index] : NAN;
    case FX_OP: return of_op(l, v);
    case FX_PICK:
        for (uint32_t i = v->pick; i && i != v->cond; i = l->x.cond.p[i].up)
            if (is_guard(l, &l->x.cond.p[i].g, &sign, &first) && sign == l->limits->sign &&
                first == l->limits->first)
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

struct chain_limits chain_find_limits(const struct fuse_plan *p, const struct fuse_cluster *c)
{
    struct chain_limits limits = {0};
    double known[64];
    struct look l = {.p = p, .chain = c, .limits = &limits, .outside = known};
    bool good = c->stages.n <= COUNT(limits.column) && c->nlocal <= COUNT(known);
    for (uint32_t i = 0; i < COUNT(known); i++)
        known[i] = NAN;
    for (uint32_t i = 0; i < c->stages.n && good; i++) {
        good = fuse_stage_column(p, c, &c->stages.p[i], &limits.column[i]);
        if (!good)
            break;
        begin(&l, &c->stages.p[i]);
        l.column = limits.column[i];
        each_value(&l, find_guard);
        end(&l);
    }
    for (uint32_t i = 0; i < c->stages.n && good && limits.sign; i++) {
        begin(&l, &c->stages.p[i]);
        l.column = limits.column[i];
        for (uint32_t k = 0; k < l.c->members.n && good; k++)
            good = may_leave_out(&l, k, known);
        end(&l);
    }
    /* below 0 some rows have no column at all: they are NaN, and so is all that sums over them */
    limits.on = good && limits.sign && limits.first >= 0;
    return limits;
}

struct sk_limit chain_limit(struct sk *s, const struct chain_limits *l, uint32_t column,
                            struct lo_lin at, int64_t rows)
{
    struct lo_builder *b = &s->b;
    struct lo_type t = {NN_i64, 1};
    int64_t n = s->c->dim[column];
    struct sk_limit r = {true, lo_lin_c(0), lo_lin_c(n)};
    bool up_to = l->sign < 0;
    struct lo_lin edge = lo_lin_add(b, at, lo_lin_c(up_to ? rows + l->first : -l->first));
    lo_id v = lo_op(b, IR_max, t, lo_value(b, edge), lo_const_i(b, t, up_to ? 1 : 0), 0);
    v = lo_op(b, IR_min, t, v, lo_const_i(b, t, up_to ? n : n - 1), 0);
    *(up_to ? &r.to : &r.from) = lo_lin_v(b, v);
    return r;
}
