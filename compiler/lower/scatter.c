/* Scatter: value[out(point)] += operand(point) in the order of the points, so that the bits do not
 * depend on threads. A chunk owns a run of one axis of the value that the target reads straight
 * from the domain (an embedding's columns), or the whole value if there is none. */
#include "lower/skeleton.h"

struct scatter {
    struct sk *s;
    const struct ir_node *n;
    const struct fuse_member *m;
    struct sk_target to;
    int own; /* axis of the space, or -1 */
    uint32_t axes;
};

void sk_find_target(struct sk *s, struct sk_target *to)
{
    const struct fuse_member *m = &s->c->members.p[0];
    const struct ir_node *n = ir_at(s->plan->g, m->node);
    const struct ix *at[IR_MAX_AXES], *unused;
    *to = (struct sk_target){0};
    fuse_member_coords(&s->x, s->c, m, at);
    for (int strict = 0; strict < 2; strict++)
        for (uint32_t i = 0; i < n->out->rank + n->out->nguard; i++) {
            bool guard = i >= n->out->rank;
            const struct ir_term *t = guard ? &n->out->guard[i - n->out->rank] : &n->out->at[i];
            bool is_strict = n->out->strict && ix_uses_operand(t->e);
            struct fx_guard g;
            if (is_strict != (strict != 0) ||
                !fx_term(&s->x, m->node, t, at, 0, &g, guard ? &unused : &to->coord[i]))
                continue;
            g.strict = is_strict;
            to->dead = to->dead || (!is_strict && fx_never(&s->x, &g));
            to->cond = fx_and(&s->x, to->cond, &g);
        }
    to->flat = fx_flat(&s->x, n, to->coord);
    for (uint32_t i = 0; i < s->c->outer + s->c->inner; i++)
        to->dead = to->dead || s->x.dim[i] == 0;
}

/* The last coordinate that an axis of the space gives by itself. */
static void find_own(struct scatter *c)
{
    c->own = -1;
    for (uint32_t i = c->n->out->rank; i-- > 0 && c->own < 0;) {
        uint32_t axis;
        if (ix_is_axis(c->to.coord[i], &axis) && c->s->x.dim[axis] == c->n->val[i].n)
            c->own = (int)axis;
    }
}

/* The value starts as 0: rows of one axis where there is one, by chunks of the flat value else. */
static void clear(struct scatter *c)
{
    struct sk *s = c->s;
    int64_t count = ir_count(c->n);
    uint32_t buf = s->out[c->m->node], lanes = target_lanes(s->t, 4);
    struct lo_type t = {c->n->dtype, 1};
    int64_t blocks = count / lanes;
    struct lo_lin from, to;
    lo_id chunk = sk_phase(s, sk_chunks(s, blocks, 4096), &from, &to);
    lo_id zero = nn_is_float(t.dtype) ? lo_const_f(&s->b, t, 0) : lo_const_i(&s->b, t, 0);
    lo_id v = lo_for(&s->b, LO_SERIAL, lo_lin_mul(&s->b, from, lanes), lo_lin_mul(&s->b, to, lanes),
                     lanes);
    lo_store(&s->b, buf, lo_lin_v(&s->b, v), lo_splat(&s->b, zero, lanes), 0);
    lo_end(&s->b);
    struct lo_type i64 = {NN_i64, 1};
    lo_if(&s->b, lo_op(&s->b, IR_eq, i64, chunk, lo_const_i(&s->b, i64, 0), 0));
    v = lo_for(&s->b, LO_SERIAL, lo_lin_c(blocks * lanes), lo_lin_c(count), 1);
    lo_store(&s->b, buf, lo_lin_v(&s->b, v), zero, 0);
    lo_end(&s->b);
    lo_end(&s->b);
    lo_end(&s->b);
}

static void add_scalar(struct scatter *c, fx_id value, lo_id ok)
{
    struct sk *s = c->s;
    uint32_t buf = s->out[c->m->node];
    struct lo_lin at = sk_address(s, c->to.flat, NN_i64).base;
    if (ok)
        lo_if(&s->b, ok);
    uint32_t mark = sk_open(s);
    lo_id old = lo_cast(&s->b, sk_compute_type(c->n->dtype), lo_load(&s->b, buf, at, 1, ok, 0));
    lo_id sum = lo_cast(&s->b, c->n->dtype, sk_combine(s, IRM_sum, old, sk_value(s, value)));
    lo_store(&s->b, buf, at, sum, ok);
    sk_close(s, mark);
    if (ok)
        lo_end(&s->b);
}

static void add_vector(struct scatter *c, fx_id value, lo_id ok)
{
    struct sk *s = c->s;
    uint32_t buf = s->out[c->m->node];
    lo_id old =
        lo_cast(&s->b, sk_compute_type(c->n->dtype), sk_load(s, buf, c->to.flat, true, ok, 0));
    lo_id keep = s->mask;
    if (ok) { /* a condition on the vector axis masks the store too */
        struct lo_type b = {NN_bool, (uint16_t)s->lanes};
        ok = lo_splat(&s->b, ok, s->lanes);
        s->mask = keep ? lo_op(&s->b, IR_and, b, keep, ok, 0) : ok;
    }
    sk_store_at(s, buf, c->to.flat, sk_combine(s, IRM_sum, old, sk_lanes(s, value)));
    s->mask = keep;
}

static void add_point(struct scatter *c)
{
    struct sk *s = c->s;
    fx_id value = fuse_member_value(&s->x, s->c, 0);
    sk_traps(s, c->to.cond, 0);
    lo_id ok = sk_condition(s, c->to.cond, 0);
    if (s->vaxis >= 0)
        add_vector(c, value, ok);
    else
        add_scalar(c, value, ok);
}

/* Loops over all axes but the owned one, in the domain's order; then the owned run. */
static void loops(struct scatter *c, uint32_t axis, struct lo_lin from, struct lo_lin to,
                  uint32_t lanes)
{
    struct sk *s = c->s;
    while ((int)axis == c->own)
        axis++;
    uint32_t mark = sk_open(s);
    if (axis < c->axes) {
        sk_for(s, axis, LO_SERIAL, lo_lin_c(0), lo_lin_c(s->x.dim[axis]), 1);
        loops(c, axis + 1, from, to, lanes);
        sk_close(s, mark);
        lo_end(&s->b);
        return;
    }
    if (c->own < 0) {
        add_point(c);
        sk_close(s, mark);
        return;
    }
    lo_id v = lo_for(&s->b, LO_SERIAL, from, to, lanes);
    lo_id mask = 0;
    if (s->x.dim[c->own] % lanes) {
        struct lo_type t = {NN_i32, (uint16_t)lanes};
        mask = lo_op(&s->b, IR_lt, t, lo_lanes(&s->b, t, lo_lin_v(&s->b, v)),
                     lo_const_i(&s->b, t, s->x.dim[c->own]), 0);
    }
    sk_vector(s, (uint32_t)c->own, lo_lin_v(&s->b, v), lanes, mask);
    add_point(c);
    sk_close(s, mark);
    sk_scalar(s);
    lo_end(&s->b);
}

void sk_scatter(struct sk *s)
{
    const struct fuse_member *m = &s->c->members.p[0];
    struct scatter c = {
        .s = s, .n = ir_at(s->plan->g, m->node), .m = m, .axes = s->c->outer + s->c->inner};
    sk_find_target(s, &c.to);
    find_own(&c);
    clear(&c);
    if (c.to.dead)
        return;
    uint32_t lanes = target_lanes(s->t, 4);
    struct lo_lin from, to;
    int64_t own = c.own < 0 ? 1 : s->x.dim[c.own];
    while (lanes > 2 && lanes / 2 >= own)
        lanes /= 2;
    int64_t blocks = (own + lanes - 1) / lanes;
    sk_phase(s, sk_chunks(s, blocks, 1), &from, &to);
    uint32_t mark = sk_open(s);
    loops(&c, 0, lo_lin_mul(&s->b, from, lanes), lo_lin_mul(&s->b, to, lanes), lanes);
    sk_close(s, mark);
    lo_end(&s->b);
}
