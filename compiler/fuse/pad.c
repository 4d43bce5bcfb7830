/* pad: requires folded moves; afterwards the factors of large sums of products that are read past
 * their edges (a convolution's border, its input gradient) are read from copies with the border
 * around them (and, where only every q-th element is there, with the gaps), so that the contraction
 * has no conditions; a condition that both factors have stays with one of them (0 times anything is
 * taken for 0). Adds a copy before the product; breaks nothing. */
#include "fuse/private.h"
#include "pass/pass.h"

enum { LEAST_WORK = 1 << 16 };
#define MOST_GROWTH                                                                                \
    1.15 /* wider borders would be multiplied for nothing: contract.c skips them                   \
          */

/* Products that a large sum folds, with no other user. */
static bool *products(const struct ir_graph *g)
{
    bool *is = xcalloc(g->nodes.n, sizeof *is);
    for (ir_id id = 1; id < g->nodes.n; id++) {
        const struct ir_node *n = ir_at(g, id);
        if (n->op != IR_reduce || n->monoid != IRM_sum)
            continue;
        const struct ir_node *p = ir_at(g, n->in[0].node);
        double work = 1;
        for (uint32_t i = 0; i < n->nd; i++)
            work *= (double)n->dom[i].n;
        if (p->op == IR_mul && p->inlined && work >= LEAST_WORK &&
            ir_access_is_identity(&n->in[0].a, n))
            is[n->in[0].node] = true;
    }
    return is;
}

/* An axis of the copy: the values of an expression over the product's domain. */
struct digit {
    const struct ix *e;
    int64_t n; /* outside of [0, n*q) or between multiples of q there is nothing */
    int64_t q;
    struct ix_range r;
};
struct border {
    struct arena *mem;
    const int64_t *dim;
    uint32_t n;
    struct digit digit[IR_MAX_AXES];
    bool *used; /* guards that became digits */
    bool outside;
};

/* A new axis of the copy; its coordinate, counted as the expression is. */
static const struct ix *add_digit(struct border *b, const struct ix *e, int64_t q, int64_t n)
{
    struct ir_term t = {e, q, n};
    struct digit *d = &b->digit[b->n];
    *d = (struct digit){e, n, q, ix_range(e, b->dim)};
    bool total = ir_term_total(&t, b->dim);
    if (total && q == 1) /* all of the axis, so that the copy is one even where less is read */
        d->r = (struct ix_range){0, n - 1};
    b->outside = b->outside || !total;
    return ix_add(b->mem, ix_axis(b->mem, b->n++), ix_const(b->mem, d->r.lo));
}

/* c such that e - c*g does not depend on an axis of g; 0: there is none. */
static int64_t multiple_of(const struct border *b, const struct ix *e, const struct ix *g)
{
    int64_t own = g->part[0].c, c = ix_coef(e, g->part[0].a.v);
    if (!c || c % own)
        return 0;
    const struct ix *rest = ix_add(b->mem, e, ix_mul(b->mem, g, -(c / own)));
    for (uint32_t i = 0; i < g->n; i++)
        if (ix_uses_axis(rest, g->part[i].a.v))
            return 0;
    return c / own;
}

/* The coordinate of one axis of the operand over the copy's axes. A flat coordinate (a reshape's)
 * comes apart into what its guards ask for. */
static const struct ix *coordinate(struct border *b, const struct ir_access *a,
                                   const struct ir_term *t)
{
    const struct ix *rest = t->e, *at = ix_const(b->mem, 0);
    bool apart = false;
    for (uint32_t k = 0; t->q == 1 && k < a->nguard; k++) {
        const struct ir_term *g = &a->guard[k];
        int64_t c = !b->used[k] && g->q == 1 && g->e->n ? multiple_of(b, rest, g->e) : 0;
        if (!c || b->n + 1 >= IR_MAX_AXES)
            continue;
        b->used[k] = apart = true;
        rest = ix_add(b->mem, rest, ix_mul(b->mem, g->e, -c));
        at = ix_add(b->mem, at, ix_mul(b->mem, add_digit(b, g->e, 1, g->n), c));
    }
    if (!apart)
        return add_digit(b, t->e, t->q, t->n);
    int64_t c;
    if (ix_is_const(rest, &c))
        return ix_add(b->mem, at, rest);
    return ix_add(b->mem, at, add_digit(b, rest, 1, INT64_MAX / 16));
}

static bool affine(const struct ir_access *a)
{
    for (uint32_t i = 0; i < a->rank + a->nguard; i++)
        if (!ix_is_affine(i < a->rank ? a->at[i].e : a->guard[i - a->rank].e))
            return false;
    return !a->strict;
}

/* The operand's axes in a copy where nothing is outside; false if there is no such (or too large a)
 * copy. `at`: each axis of the operand over those of the copy. */
static bool make_border(struct border *b, const struct ir_in *in, const struct ix **at)
{
    double before = 1, after = 1;
    if (!affine(&in->a) || in->a.rank + in->a.nguard > IR_MAX_AXES)
        return false;
    for (uint32_t i = 0; i < in->a.rank; i++) {
        at[i] = coordinate(b, &in->a, &in->a.at[i]);
        before *= (double)(in->a.at[i].n * in->a.at[i].q);
    }
    for (uint32_t k = 0; k < in->a.nguard; k++)
        if (!b->used[k])
            return false;
    for (uint32_t i = 0; i < b->n; i++)
        after *= (double)(b->digit[i].r.hi - b->digit[i].r.lo + 1);
    return b->outside && after <= MOST_GROWTH * before;
}

/* A copy of the operand with its border, and the access into it. */
static struct ir_in padded(struct ir_graph *g, struct ir_in in, const struct border *b,
                           const struct ix *const *from, uint32_t origin)
{
    struct arena *mem = g->m->mem;
    struct ir_axis *ax = ARENA_ARRAY(mem, struct ir_axis, b->n);
    struct ir_term *at = ARENA_ARRAY(mem, struct ir_term, b->n);
    struct ir_term *copy = ARENA_ARRAY(mem, struct ir_term, in.a.rank);
    struct ir_term *guard = ARENA_ARRAY(mem, struct ir_term, b->n);
    uint32_t guards = 0;
    for (uint32_t i = 0; i < in.a.rank; i++)
        copy[i] = (struct ir_term){from[i], in.a.at[i].q, in.a.at[i].n};
    for (uint32_t i = 0; i < b->n; i++) {
        const struct digit *d = &b->digit[i];
        int64_t n = d->r.hi - d->r.lo + 1;
        ax[i] = (struct ir_axis){NULL, n, NULL};
        at[i] = (struct ir_term){ix_add(mem, d->e, ix_const(mem, -d->r.lo)), 1, n};
        if (d->n < INT64_MAX / 16)
            guard[guards++] =
                (struct ir_term){ix_add(mem, ix_axis(mem, i), ix_const(mem, d->r.lo)), d->q, d->n};
    }
    const struct ir_axis *own = ir_axes(ir_at(g, in.node));
    for (uint32_t i = 0, axis; i < in.a.rank; i++)
        if (ix_is_axis(from[i], &axis) && in.a.at[i].q == 1 && ax[axis].n == own[i].n)
            ax[axis].live = own[i].live;
    int64_t *dim = ARENA_ARRAY(mem, int64_t, b->n);
    for (uint32_t i = 0; i < b->n; i++)
        dim[i] = ax[i].n;
    struct ir_access a = {
        .rank = in.a.rank, .at = copy, .nguard = guards, .guard = guard, .fill = in.a.fill};
    struct ir_in read = {in.node, ir_access_make(g->m, a, dim)};
    struct ir_node node = {.op = IR_copy,
                           .dtype = ir_at(g, in.node)->dtype,
                           .origin = origin,
                           .nd = (uint16_t)b->n,
                           .dom = ax,
                           .nin = 1,
                           .in = &read};
    ir_id id = ir_append(g, &node);
    return (struct ir_in){id, {.rank = b->n, .at = at}};
}

static struct ir_in with_border(struct ir_graph *g, const struct ir_node *n, struct ir_in in)
{
    int64_t dim[IR_MAX_AXES];
    const struct ix *at[IR_MAX_AXES];
    struct border b = {.mem = g->m->mem, .dim = dim, .used = xcalloc(in.a.nguard, 1)};
    ir_dims(n, dim);
    if (make_border(&b, &in, at))
        in = padded(g, in, &b, at, n->origin);
    free(b.used);
    return in;
}

/* Where a term of the other factor fails, that one reads 0: this one need not ask again. */
static void drop_guards(struct arena *mem, struct ir_access *a, const struct ir_access *other)
{
    if (a->fill != 0 || other->fill != 0 || a->strict || other->strict)
        return;
    struct ir_term *guard = ARENA_ARRAY(mem, struct ir_term, a->nguard);
    uint32_t n = 0;
    for (uint32_t i = 0; i < a->nguard; i++) {
        bool asked = false;
        for (uint32_t k = 0; k < other->rank; k++)
            asked = asked || ir_term_equal(&a->guard[i], &other->at[k]);
        if (!asked)
            guard[n++] = a->guard[i];
    }
    a->guard = guard;
    a->nguard = n;
}

void fuse_pad(struct ir_graph *g)
{
    struct pass_rewrite r;
    bool *is = products(g);
    pass_rewrite_begin(&r, g);
    for (ir_id old = 1; old < r.old.nodes.n; old++) {
        if (!is[old]) {
            pass_rewrite_copy(&r, old);
            continue;
        }
        struct ir_node n = pass_rewrite_map(&r, old);
        struct ir_in *in = arena_dup(g->m->mem, n.in, n.nin * sizeof *in);
        drop_guards(g->m->mem, &in[0].a, &in[1].a);
        drop_guards(g->m->mem, &in[1].a, &in[0].a);
        for (uint32_t k = 0; k < n.nin; k++)
            in[k] = with_border(g, &n, in[k]);
        n.in = in;
        r.map[old] = ir_append_shared(g, &n);
    }
    pass_rewrite_end(&r);
    free(is);
    pass_cse(g);
}
