/* pad: requires folded moves; afterwards the factors of large sums of products that are read past their
 * edges (a convolution's border, its input gradient) are read from copies with the border around them,
 * so that the contraction has no conditions; a condition that both factors have stays with one of them
 * (0 times anything is taken for 0). Adds a copy before the product; breaks nothing. */
#include "fuse/private.h"
#include "pass/pass.h"

enum { LEAST_WORK = 1 << 16 };
#define MOST_GROWTH 1.15 /* wider borders would be multiplied for nothing: contract.c skips them */

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

/* The ranges that the terms of an access reach, and whether padding to them makes it total. */
static bool reach(const struct ir_access *a, const int64_t *dim, struct ix_range *range)
{
    double before = 1, after = 1;
    bool outside = false;
    for (uint32_t i = 0; i < a->rank; i++) {
        const struct ir_term *t = &a->at[i];
        range[i] = (struct ix_range){0, t->n - 1};
        before *= (double)t->n;
        if (!ir_term_total(t, dim)) {
            if (t->q != 1 || !ix_is_affine(t->e))
                return false;
            struct ix_range r = ix_range(t->e, dim);
            range[i].lo = r.lo < 0 ? r.lo : 0;
            range[i].hi = r.hi >= t->n ? r.hi : t->n - 1;
            outside = true;
        }
        after *= (double)(range[i].hi - range[i].lo + 1);
    }
    return outside && !a->nguard && !a->strict && after <= MOST_GROWTH * before;
}

/* A copy of the operand with its border, and the access into it. */
static struct ir_in padded(struct ir_graph *g, struct ir_in in, const struct ix_range *range,
                           uint32_t origin)
{
    struct arena *mem = g->m->mem;
    uint32_t rank = in.a.rank;
    const struct ir_axis *from = ir_axes(ir_at(g, in.node));
    struct ir_axis *ax = ARENA_ARRAY(mem, struct ir_axis, rank);
    struct ir_term *copy = ARENA_ARRAY(mem, struct ir_term, rank);
    struct ir_term *at = ARENA_ARRAY(mem, struct ir_term, rank);
    for (uint32_t i = 0; i < rank; i++) {
        int64_t n = range[i].hi - range[i].lo + 1;
        const struct ix *axis = ix_axis(mem, i);
        ax[i] = (struct ir_axis){from[i].name, n};
        copy[i] = (struct ir_term){ix_add(mem, axis, ix_const(mem, range[i].lo)), 1, in.a.at[i].n};
        at[i] = (struct ir_term){ix_add(mem, in.a.at[i].e, ix_const(mem, -range[i].lo)),
                                 in.a.at[i].q, n};
    }
    struct ir_in read = {in.node, {.rank = rank, .at = copy, .fill = in.a.fill}};
    struct ir_node node = {.op = IR_copy, .dtype = ir_at(g, in.node)->dtype, .origin = origin,
                           .nd = (uint16_t)rank, .dom = ax, .nin = 1, .in = &read};
    ir_id id = ir_append(g, &node);
    return (struct ir_in){id, {.rank = rank, .at = at}};
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
        int64_t dim[IR_MAX_AXES];
        struct ix_range range[IR_MAX_AXES];
        ir_dims(&n, dim);
        drop_guards(g->m->mem, &in[0].a, &in[1].a);
        drop_guards(g->m->mem, &in[1].a, &in[0].a);
        for (uint32_t k = 0; k < n.nin; k++)
            if (reach(&in[k].a, dim, range))
                in[k] = padded(g, in[k], range, n.origin);
        n.in = in;
        r.map[old] = ir_append_shared(g, &n);
    }
    pass_rewrite_end(&r);
    free(is);
}
