/* Scatter on a GPU, each element of the value summed in the order of the points, without atomics.
 * Axes of the space that are a coordinate of the value (an embedding's columns) are its owners:
 * points of other owners never meet. Two ways: linked  where a point lands does not depend on the
 * owners (an embedding): a key for each of the other points; each finds the next with its key, and
 * how many follow if it is the first; then owners at first points walk these chains and store each
 * sum once walk    each owner walks all other points and adds to the value in memory */
#include "lower/gpu.h"

enum { MOST_LINKED = 1 << 18 };

struct scatter {
    struct sk *s;
    const struct ir_node *n;
    struct sk_target to;
    struct gpu_axes own, walk; /* own: the fastest first; walk: the outermost first */
    uint32_t lanes;            /* of own.axis[0] */
    int64_t owners, points;    /* vectors of owners */
    const struct ix *key;      /* the target without its owners' part */
    fx_id value;
    uint32_t keys, next, count; /* temporaries, for each point */
};

/* ---- owners ---- */

static bool listed(const struct gpu_axes *list, uint32_t axis)
{
    for (uint32_t i = 0; i < list->n; i++)
        if (list->axis[i] == axis)
            return true;
    return false;
}

static void find_axes(struct scatter *c)
{
    const struct sk *s = c->s;
    for (uint32_t i = c->n->out->rank; i-- > 0;) {
        uint32_t axis;
        if (ix_is_axis(c->to.coord[i], &axis) && s->x.dim[axis] == c->n->val[i].n &&
            !listed(&c->own, axis))
            c->own.axis[c->own.n++] = axis;
    }
    c->owners = c->points = 1;
    for (uint32_t i = 0; i < c->own.n; i++)
        c->owners *= s->x.dim[c->own.axis[i]];
    for (uint32_t i = 0; i < s->c->outer + s->c->inner; i++)
        if (!listed(&c->own, i)) {
            c->walk.axis[c->walk.n++] = i;
            c->points *= s->x.dim[i];
        }
    c->lanes = 1;
    uint32_t last = c->own.n ? c->own.axis[0] : 0, wide = nn_dtype_size(c->n->dtype) == 8 ? 2 : 4;
    if (c->own.n && s->x.dim[last] % wide == 0 && sk_stride(s, c->to.flat, last) == 1)
        c->lanes = wide;
    c->owners /= c->lanes;
}

/* The key, if where a point lands is the same for all owners; else NULL. */
static const struct ix *find_key(const struct scatter *c)
{
    struct fx *x = &c->s->x;
    const struct ix *key = c->to.flat;
    uint32_t own = 0;
    for (uint32_t i = 0; i < c->own.n; i++) {
        uint32_t axis = c->own.axis[i];
        own |= 1u << axis;
        key = ix_add(x->mem, key, ix_mul(x->mem, ix_axis(x->mem, axis), -ix_coef(key, axis)));
    }
    return (fx_ix_axes(x, key) | x->cond.p[c->to.cond].axes) & own ? NULL : key;
}

/* ---- where we stand ---- */

static void stand_owner(struct scatter *c, struct lo_lin at)
{
    struct sk *s = c->s;
    for (uint32_t i = 0; i < c->own.n; i++) {
        uint32_t axis = c->own.axis[i], lanes = i == 0 ? c->lanes : 1;
        struct lo_lin here = at;
        if (i + 1 < c->own.n)
            gpu_split(s, at, s->x.dim[axis] / lanes, &at, &here);
        if (lanes > 1)
            sk_vector(s, axis, lo_lin_mul(&s->b, here, lanes), lanes, 0);
        else
            sk_axis(s, axis, here);
    }
}

static void stand_point(struct scatter *c, struct lo_lin at)
{
    struct sk *s = c->s;
    for (uint32_t i = c->walk.n; i-- > 0;) {
        struct lo_lin here = at;
        if (i)
            gpu_split(s, at, s->x.dim[c->walk.axis[i]], &at, &here);
        sk_axis(s, c->walk.axis[i], here);
    }
}

/* A phase of one thread for each of n things; *at: the thread's, which is below n inside of the
 * branch that it opens. lo_end twice closes. */
static void each_of(struct sk *s, int64_t n, struct lo_lin *at)
{
    struct lo_builder *b = &s->b;
    int64_t block = s->t->block;
    lo_id chunk = lo_phase_gpu(b, n ? gpu_ceil(n, block) : 1, (int32_t)block);
    *at = lo_lin_add(b, lo_lin_mul(b, lo_lin_v(b, chunk), block), lo_lin_v(b, lo_thread(b)));
    lo_if(b, gpu_below(s, *at, n));
}

/* The value is 0 where nothing lands. */
static void clear(struct scatter *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    int64_t count = ir_count(c->n);
    uint32_t lanes = count % 4 ? 1 : 4;
    struct lo_type t = {c->n->dtype, 1};
    struct lo_lin at;
    each_of(s, count / lanes, &at);
    lo_id zero = nn_is_float(t.dtype) ? lo_const_f(b, t, 0) : lo_const_i(b, t, 0);
    lo_store(b, s->out[c->s->c->members.p[0].node], lo_lin_mul(b, at, lanes),
             lo_splat(b, zero, lanes), 0);
    lo_end(b);
    lo_end(b);
}

/* ---- linked ---- */

#define I32 ((struct lo_type){NN_i32, 1})

static enum nn_dtype key_type(const struct scatter *c)
{
    return ir_count(c->n) < INT32_MAX ? NN_i32 : NN_i64;
}

/* Each point's key, in vectors; -1: it lands nowhere. */
static void make_keys(struct scatter *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    struct lo_type t = {(uint8_t)key_type(c), 1};
    struct lo_lin at;
    each_of(s, c->points, &at);
    uint32_t mark = sk_open(s);
    stand_point(c, at);
    sk_traps(s, c->to.cond, 0);
    lo_id ok = sk_condition(s, c->to.cond, 0);
    lo_id key = sk_number(s, c->key, (enum nn_dtype)t.dtype);
    if (c->lanes > 1)
        key = sk_divide(s, IX_DIV, t, key, c->lanes);
    if (ok)
        key = lo_op(b, IR_select, t, ok, key, lo_const_i(b, t, -1));
    lo_store(b, c->keys, at, key, 0);
    sk_close(s, mark);
    lo_end(b);
    lo_end(b);
}

/* The next point with the same key, and for a key's first point how many have it (else 0): every
 * thread looks at all points. */
static void link_keys(struct scatter *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    struct lo_type t = {(uint8_t)key_type(c), 1}, bit = {NN_bool, 1};
    uint32_t next = lo_buffer(b->k, LO_REG, "next", I32, 1);
    uint32_t count = lo_buffer(b->k, LO_REG, "count", I32, 1);
    uint32_t before = lo_buffer(b->k, LO_REG, "before", I32, 1);
    lo_id zero = 0, one = 0, none = 0;
    struct lo_lin at;
    each_of(s, c->points, &at);
    zero = lo_const_i(b, I32, 0);
    one = lo_const_i(b, I32, 1);
    none = lo_const_i(b, I32, c->points);
    lo_id mine = lo_load(b, c->keys, at, 1, 0, 0), me = lo_cast(b, NN_i32, lo_value(b, at));
    lo_set(b, next, lo_lin_c(0), none);
    lo_set(b, count, lo_lin_c(0), zero);
    lo_set(b, before, lo_lin_c(0), zero);
    lo_id j = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(c->points), 1);
    lo_id it = lo_cast(b, NN_i32, lo_value(b, lo_lin_v(b, j)));
    lo_id same = lo_op(b, IR_eq, t, lo_load(b, c->keys, lo_lin_v(b, j), 1, 0, 0), mine, 0);
    lo_id later = lo_op(b, IR_and, bit, same, lo_op(b, IR_gt, I32, it, me, 0), 0);
    lo_id earlier = lo_op(b, IR_and, bit, same, lo_op(b, IR_lt, I32, it, me, 0), 0);
    lo_id n = lo_get(b, next, lo_lin_c(0)), f = lo_get(b, before, lo_lin_c(0));
    lo_id k = lo_get(b, count, lo_lin_c(0));
    lo_set(b, next, lo_lin_c(0),
           lo_op(b, IR_min, I32, n, lo_op(b, IR_select, I32, later, it, none), 0));
    lo_set(b, before, lo_lin_c(0), lo_op(b, IR_select, I32, earlier, one, f));
    lo_set(b, count, lo_lin_c(0),
           lo_op(b, IR_add, I32, k, lo_op(b, IR_select, I32, same, one, zero), 0));
    lo_end(b);
    lo_id first = lo_op(b, IR_eq, I32, lo_get(b, before, lo_lin_c(0)), zero, 0);
    first = lo_op(b, IR_and, bit, first, lo_op(b, IR_ge, t, mine, lo_const_i(b, t, 0), 0), 0);
    lo_id total = lo_get(b, count, lo_lin_c(0));
    lo_store(b, c->next, at, lo_get(b, next, lo_lin_c(0)), 0);
    lo_store(b, c->count, at, lo_op(b, IR_select, I32, first, total, zero), 0);
    lo_end(b);
    lo_end(b);
}

/* An owner at a key's first point walks the chain. */
static void add_chains(struct scatter *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    struct lo_type t = {(uint8_t)sk_compute_type(c->n->dtype), (uint16_t)c->lanes};
    uint32_t sum = lo_buffer(b->k, LO_REG, "sum", t, 1);
    uint32_t here = lo_buffer(b->k, LO_REG, "here", I32, 1);
    struct lo_lin at, point, owner;
    each_of(s, c->points * c->owners, &at);
    uint32_t mark = sk_open(s);
    gpu_split(s, at, c->owners, &point, &owner);
    lo_id count = lo_cast(b, NN_i64, lo_load(b, c->count, point, 1, 0, 0));
    lo_if(b, lo_op(b, IR_gt, GPU_I64, count, lo_const_i(b, GPU_I64, 0), 0));
    stand_owner(c, owner);
    lo_set(b, sum, lo_lin_c(0), sk_identity(s, IRM_sum, c->n->dtype, c->lanes));
    lo_set(b, here, lo_lin_c(0), lo_cast(b, NN_i32, lo_value(b, point)));
    lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_v(b, count), 1);
    uint32_t inside = sk_open(s);
    struct lo_lin step = lo_lin_v(b, lo_cast(b, NN_i64, lo_get(b, here, lo_lin_c(0))));
    stand_point(c, step);
    lo_id v = lo_splat(b, sk_value(s, c->value), c->lanes);
    lo_set(b, sum, lo_lin_c(0), sk_combine(s, IRM_sum, lo_get(b, sum, lo_lin_c(0)), v));
    lo_set(b, here, lo_lin_c(0), lo_load(b, c->next, step, 1, 0, 0));
    sk_close(s, inside);
    lo_end(b);
    lo_id key = lo_cast(b, NN_i64, lo_load(b, c->keys, point, 1, 0, 0));
    struct lo_lin to = lo_lin_mul(b, lo_lin_v(b, key), c->lanes);
    for (uint32_t i = 0; i < c->own.n; i++)
        to = lo_lin_add(
            b, to, lo_lin_mul(b, sk_at(s, c->own.axis[i]), ix_coef(c->to.flat, c->own.axis[i])));
    lo_store(b, s->out[s->c->members.p[0].node], to,
             lo_cast(b, c->n->dtype, lo_get(b, sum, lo_lin_c(0))), 0);
    sk_close(s, mark);
    lo_end(b);
    lo_end(b);
    lo_end(b);
    sk_scalar(s);
}

/* ---- walk ---- */

static void add_here(struct scatter *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    uint32_t buf = s->out[s->c->members.p[0].node];
    sk_traps(s, c->to.cond, 0);
    lo_id ok = sk_condition(s, c->to.cond, 0), keep = s->mask;
    bool vector = c->lanes > 1, branch = ok && b->k->insns.p[ok].type.lanes == 1;
    uint32_t mark = sk_open(s);
    if (branch)
        lo_if(b, ok);
    else if (ok)
        s->mask = ok;
    lo_id old = sk_load(s, buf, c->to.flat, vector, 0, 0);
    lo_id v = vector ? sk_lanes(s, c->value) : sk_value(s, c->value);
    old = lo_cast(b, sk_compute_type(c->n->dtype), old);
    sk_store_at(s, buf, c->to.flat, sk_combine(s, IRM_sum, old, v));
    s->mask = keep;
    sk_close(s, mark);
    if (branch)
        lo_end(b);
}

static void walk_points(struct scatter *c, uint32_t depth)
{
    struct sk *s = c->s;
    uint32_t mark = sk_open(s);
    if (depth == c->walk.n) {
        add_here(c);
        sk_close(s, mark);
        return;
    }
    uint32_t axis = c->walk.axis[depth];
    sk_for(s, axis, LO_SERIAL, lo_lin_c(0), lo_lin_c(s->x.dim[axis]), 1);
    walk_points(c, depth + 1);
    sk_close(s, mark);
    lo_end(&s->b);
}

static void walk(struct scatter *c)
{
    struct sk *s = c->s;
    struct lo_lin at;
    each_of(s, c->owners, &at);
    uint32_t mark = sk_open(s);
    stand_owner(c, at);
    walk_points(c, 0);
    sk_close(s, mark);
    lo_end(&s->b);
    lo_end(&s->b);
    sk_scalar(s);
}

void sk_gpu_scatter(struct sk *s)
{
    const struct fuse_member *m = &s->c->members.p[0];
    struct scatter c = {.s = s, .n = ir_at(s->plan->g, m->node)};
    sk_find_target(s, &c.to);
    find_axes(&c);
    c.key = find_key(&c);
    c.value = fuse_member_value(&s->x, s->c, 0);
    bool linked = c.key && c.points <= MOST_LINKED && !c.to.dead;
    if (linked) {
        c.keys = sk_temporary(s, "key", key_type(&c), c.points);
        c.next = sk_temporary(s, "next", NN_i32, c.points);
        c.count = sk_temporary(s, "count", NN_i32, c.points);
    }
    clear(&c);
    if (c.to.dead)
        return;
    if (!linked) {
        walk(&c);
        return;
    }
    make_keys(&c);
    link_keys(&c);
    add_chains(&c);
}
