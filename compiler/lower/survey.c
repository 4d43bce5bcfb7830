/* What a cluster's addresses say about its loops: which neighbouring axes are one, and along which
 * axis the lanes lie best. */
#include "lower/nest.h"

static void note(struct nest *n, const struct ix *e, bool number, bool memory, uint32_t bytes)
{
    struct nest_access a = {e, number, memory, bytes};
    vec_push(&n->access, a);
}

static void note_value(void *ctx, const struct fx *x, fx_id id)
{
    struct nest *n = ctx;
    const struct fx_val *v = &x->val.p[id];
    if (v->kind != FX_LOAD)
        vec_push(&n->work, ((struct nest_work){sk_value_cost(v), v->axes}));
    if (v->kind == FX_LOAD)
        note(n, v->at, false, true, (uint32_t)nn_dtype_size(v->dtype));
    else if (v->at)
        note(n, v->at, v->kind == FX_INDEX, false, 0);
    for (int i = 0; i < 2; i++)
        for (uint32_t c = i ? v->pick : v->cond; c; c = x->cond.p[c].up)
            note(n, x->cond.p[c].g.e, true, false, 0);
}

const struct ix *nest_fold_index(struct nest *n, uint32_t member)
{
    const struct fuse_member *m = &n->s->c->members.p[member];
    const struct ir_node *node = ir_at(n->s->plan->g, m->node);
    struct arena *a = n->s->x.mem;
    const struct ix *flat = ix_const(a, 0);
    int64_t stride = 1;
    for (uint32_t i = node->nd; i-- > (uint32_t)node->nd - node->nred;) {
        if (m->axis[i] != FUSE_NO_AXIS)
            flat = ix_add(a, flat, ix_mul(a, ix_axis(a, m->axis[i]), stride));
        stride *= node->dom[i].n;
    }
    return flat;
}

void nest_survey(struct nest *n)
{
    struct sk *s = n->s;
    sk_make_members(s);
    uint8_t *seen = xcalloc(s->x.val.n, 1);
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        const struct fuse_member *m = &s->c->members.p[i];
        const struct ir_node *node = ir_at(s->plan->g, m->node);
        fx_walk(&s->x, sk_member(s, i), seen, note_value, n);
        if (m->stored && m->role != FUSE_FOLD && m->role != FUSE_FINISH)
            note(n, sk_member_address(s, i), false, true, (uint32_t)nn_dtype_size(node->dtype));
        if (node->op == IR_reduce && (node->monoid == IRM_argmax || node->monoid == IRM_argmin))
            note(n, nest_fold_index(n, i), false, false, 0);
    }
    free(seen);
}

/* The axis stands in a quotient: operands' own addresses are in the list themselves. */
static bool in_quotient(const struct ix *e, uint32_t axis)
{
    for (uint32_t i = 0; i < e->n; i++)
        if (e->part[i].a.e && ix_uses_axis(e->part[i].a.e, axis))
            return true;
    return false;
}

static bool one_axis(const struct nest *n, uint32_t a, uint32_t b)
{
    const struct sk *s = n->s;
    if (fuse_axis_live(s->plan, s->c, a) || fuse_axis_live(s->plan, s->c, b))
        return false;
    for (uint32_t i = 0; i < n->access.n; i++) {
        const struct ix *e = n->access.p[i].e;
        if (in_quotient(e, a) || in_quotient(e, b))
            return false;
        int64_t ca = ix_coef(e, a), cb = ix_coef(e, b);
        if (ca != cb * n->trip[b] || (n->access.p[i].number && (ca || cb)))
            return false;
    }
    return true;
}

/* Axis a, just outside of b, is walked by b: a stays at 0 and b takes a's trips too. Ranges are
 * still proved from the sizes that the axes have in the graph. */
void nest_merge_axes(struct nest *n)
{
    const struct fuse_cluster *c = n->s->c;
    for (uint32_t i = 0; i < c->outer + c->inner; i++)
        n->trip[i] = c->dim[i];
    for (uint32_t b = c->outer + c->inner; b-- > 1;)
        for (uint32_t a = b; a-- > 0 && (b < c->outer || a >= c->outer);) {
            if (n->trip[a] == 1)
                continue;
            if (!one_axis(n, a, b))
                break;
            n->trip[b] *= n->trip[a];
            n->trip[a] = 1;
        }
    for (uint32_t i = 0; i < c->outer + c->inner; i++)
        if (n->trip[i] == 1)
            sk_axis(n->s, i, lo_lin_c(0));
}

static double points(const struct nest *n, uint32_t axes)
{
    double p = 1;
    for (uint32_t i = 0; i < n->s->c->outer + n->s->c->inner; i++)
        p *= axes >> i & 1 ? (double)n->trip[i] : 1;
    return p;
}

/* An access, in instructions a point: its lanes one by one where they are neither a line nor one.
 */
static double access_time(const struct nest *n, const struct nest_access *a, int axis, double lanes)
{
    double p = points(n, fx_ix_axes(&n->s->x, a->e) | (axis >= 0 ? 1u << axis : 0));
    switch (axis < 0 ? -1 : sk_stride(n->s, a->e, (uint32_t)axis)) {
    case 1: return p / lanes * 1.2;
    case 0: return p / (double)n->trip[axis];
    }
    return p * 1.2;
}

/* Instructions of the whole cluster with this vector axis (-1: none): a guess from its shape. */
double nest_time(const struct nest *n, int axis, uint32_t lanes)
{
    const struct fuse_cluster *c = n->s->c;
    double used = 1, time = 0;
    if (axis >= 0)
        used = (double)n->trip[axis] / (double)((n->trip[axis] + lanes - 1) / lanes);
    for (uint32_t i = 0; i < n->work.n; i++) {
        bool vector = axis >= 0 && (n->work.p[i].axes >> axis & 1);
        time += n->work.p[i].cost * points(n, n->work.p[i].axes) / (vector ? used : 1);
    }
    for (uint32_t i = 0; i < n->access.n; i++)
        if (n->access.p[i].memory)
            time += access_time(n, &n->access.p[i], axis, used);
    for (uint32_t i = 0; i < c->members.n; i++) {
        if (c->members.p[i].role != FUSE_REDUCE)
            continue;
        time += points(n, UINT32_MAX) / used * 1.5;
        if (axis >= (int)c->outer) /* across the lanes, once a row */
            time += points(n, (1u << c->outer) - 1) * 10;
    }
    return time;
}

static bool narrow_only(const struct nest *n)
{
    uint32_t least = 8;
    for (uint32_t i = 0; i < n->access.n; i++)
        if (n->access.p[i].memory && n->access.p[i].bytes < least)
            least = n->access.p[i].bytes;
    return least == 8;
}

void nest_choose_vector(struct nest *n)
{
    const struct fuse_cluster *c = n->s->c;
    uint32_t lanes = target_lanes(n->s->t, narrow_only(n) ? 8 : 4);
    lanes = lanes > 16 ? 16 : lanes;
    n->v = -1;
    n->lanes = 1;
    n->time = nest_time(n, -1, 1);
    for (uint32_t i = c->outer + c->inner; i-- > 0 && lanes > 1;) {
        if (n->trip[i] < 2)
            continue;
        double t = nest_time(n, (int)i, lanes);
        if (t < n->time) {
            n->time = t;
            n->v = (int)i;
        }
    }
    if (n->v < 0)
        return;
    while (lanes / 2 >= n->trip[n->v] && lanes > 2)
        lanes /= 2;
    n->lanes = lanes;
}
