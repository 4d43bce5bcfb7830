/* Elements that move to places which hang on a size that a run chooses: each place is computed from
 * the sizes, as an index of its own along the axes that it takes. What moves among numbers only, or
 * by the first axis of a group, is a plain reshape: at the bounds it puts elements where it would
 * at any size. */
#include "front/elab.h"

/* ---- indices, computed where they are read and never stored ---- */

static val of_size(struct elab *e, const struct dim *d, enum nn_dtype t)
{
    val v = v_tensor(e, t, shape_scalar(), e->place);
    v->t.node = emit_const(e, t, v_int(e, d, e->place));
    return v;
}

static val combine(struct elab *e, enum ir_op op, val x, val y)
{
    return emit_binary(e, op, x, y, e->place);
}

static val position(struct elab *e, const struct shape *s, uint32_t axis, enum nn_dtype t)
{
    val v = v_tensor(e, t, *s, e->place);
    v->t.node = emit_iota(e, t, s, axis);
    return v;
}

/* The index is an operand of the read, at these axes of its domain from `first` on. */
static const struct ix *gather(struct elab *e, struct gathers *g, val index, uint32_t first)
{
    const struct shape *s = &index->t.s;
    struct ir_term *at = ARENA_ARRAY(e->m->mem, struct ir_term, s->rank);
    for (uint32_t i = 0; i < s->rank; i++)
        at[i] = (struct ir_term){ix_axis(e->m->mem, first + i), 1, emit_size(e, s->dim[i])};
    index->t.size = true;
    g->v[g->n] = index;
    g->at[g->n] = at;
    return ix_operand(e->m->mem, ++g->n);
}

const struct ix *live_wrapped(struct elab *e, const struct shape *dom, uint32_t axis,
                              const struct dim *plus, const struct dim *n, struct gathers *g)
{
    struct shape line = shape_of(e, 1, &dom->dim[axis]);
    bool inlined = e->b->inlined;
    e->b->inlined = true;
    val i = position(e, &line, 0, NN_i64);
    i = combine(e, IR_add, i, of_size(e, plus, NN_i64));
    i = combine(e, IR_mod, i, of_size(e, n, NN_i64));
    e->b->inlined = inlined;
    return gather(e, g, i, dom->nix + axis);
}

/* ---- reshape ---- */

/* Axes of both sides whose products are equal, as few as may be. */
struct group {
    uint32_t from, from_end, to, to_end;
};
struct reshape {
    struct elab *e;
    uint32_t nfrom, nto, n;
    const struct dim *from[IR_MAX_AXES], *to[IR_MAX_AXES];
    struct group group[IR_MAX_AXES];
};

static uint32_t all_dims(const struct shape *s, const struct dim **d)
{
    for (uint32_t i = 0; i < s->nix; i++)
        d[i] = s->ix[i]->n;
    for (uint32_t i = 0; i < s->rank; i++)
        d[s->nix + i] = s->dim[i];
    return s->nix + s->rank;
}

static void find_groups(struct reshape *r)
{
    struct elab *e = r->e;
    const struct dim *one = dim_const(e->dims, 1);
    for (uint32_t i = 0, j = 0; i < r->nfrom || j < r->nto;) {
        struct group g = {.from = i, .to = j};
        const struct dim *p = i < r->nfrom ? r->from[i++] : one, *q = j < r->nto ? r->to[j++] : one;
        while (p != q && (i < r->nfrom || j < r->nto)) {
            bool left = j == r->nto || (i < r->nfrom && emit_size(e, p) < emit_size(e, q));
            if (left)
                p = dim_mul(e->dims, p, r->from[i++]);
            else
                q = dim_mul(e->dims, q, r->to[j++]);
        }
        g.from_end = i;
        g.to_end = j;
        r->group[r->n++] = g;
    }
}

/* The elements of these axes at their bounds; 0 where a size that is not the first to count is a
 * run's. */
static int64_t counted(struct elab *e, const struct dim *const *d, uint32_t from, uint32_t to)
{
    int64_t n = 1;
    for (uint32_t i = from; i < to; i++) {
        if (live_dim(e, d[i]) && n != 1)
            return 0;
        n *= emit_size(e, d[i]);
    }
    return n;
}

static bool is_plain(const struct reshape *r, const struct group *g)
{
    int64_t n = counted(r->e, r->from, g->from, g->from_end);
    return n && n == counted(r->e, r->to, g->to, g->to_end);
}

/* The number of the element, from positions along the group's axes. */
static val flat_index(const struct reshape *r, const struct group *g, enum nn_dtype t)
{
    struct elab *e = r->e;
    struct shape s = shape_of(e, g->to_end - g->to, r->to + g->to);
    const struct dim *stride = dim_const(e->dims, 1);
    val sum = NULL;
    for (uint32_t i = s.rank; i-- > 0; stride = dim_mul(e->dims, stride, s.dim[i])) {
        val own = position(e, &s, i, t);
        own =
            stride == dim_const(e->dims, 1) ? own : combine(e, IR_mul, own, of_size(e, stride, t));
        sum = sum ? combine(e, IR_add, own, sum) : own;
    }
    return sum;
}

/* Where the element lies along each of the axes that it comes from. */
static void places(const struct reshape *r, const struct group *g, struct gathers *to,
                   struct ir_term *at)
{
    struct elab *e = r->e;
    int64_t count = 1;
    for (uint32_t i = g->to; i < g->to_end; i++)
        count *= emit_size(e, r->to[i]);
    enum nn_dtype t = count > INT32_MAX ? NN_i64 : NN_i32;
    bool inlined = e->b->inlined;
    e->b->inlined = true;
    val flat = flat_index(r, g, t);
    for (uint32_t i = g->from_end; i-- > g->from;) {
        int64_t n = emit_size(e, r->from[i]);
        val own = flat;
        if (i > g->from) {
            val size = of_size(e, r->from[i], t);
            flat = combine(e, IR_idiv, own, size);
            own = combine(e, IR_sub, own, combine(e, IR_mul, flat, size));
        }
        at[i] = (struct ir_term){gather(e, to, own, g->to), 1, n};
    }
    e->b->inlined = inlined;
}

/* The same among numbers, or by the first axis. */
static void plain_places(const struct reshape *r, const struct group *g, struct ir_term *at)
{
    struct arena *mem = r->e->m->mem;
    const struct ix *flat = ix_const(mem, 0);
    int64_t dim[IR_MAX_AXES] = {0}, stride = 1;
    for (uint32_t i = g->to_end; i-- > g->to; stride *= dim[i]) {
        dim[i] = emit_size(r->e, r->to[i]);
        flat = ix_add(mem, flat, ix_mul(mem, ix_axis(mem, i), stride));
    }
    for (uint32_t i = g->from_end; i-- > g->from;) {
        int64_t n = emit_size(r->e, r->from[i]), q = n ? n : 1;
        at[i] = (struct ir_term){i > g->from ? ix_mod(mem, flat, q, dim) : flat, 1, n};
        flat = ix_div(mem, flat, q, dim);
    }
}

ir_id live_reshape(struct elab *e, val x, const struct shape *to)
{
    struct reshape r = {.e = e};
    struct gathers g = {0};
    bool plain = true;
    r.nfrom = all_dims(&x->t.s, r.from);
    r.nto = all_dims(to, r.to);
    find_groups(&r);
    for (uint32_t i = 0; i < r.n; i++)
        plain = plain && is_plain(&r, &r.group[i]);
    if (plain)
        return 0;
    struct ir_term *at = ARENA_ARRAY(e->m->mem, struct ir_term, r.nfrom);
    for (uint32_t i = 0; i < r.n; i++)
        if (is_plain(&r, &r.group[i]))
            plain_places(&r, &r.group[i], at);
        else
            places(&r, &r.group[i], &g, at);
    return emit_move(e, x, to, at + x->t.s.nix, g.n, g.v, g.at);
}
