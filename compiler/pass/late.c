/* late: a softmax's total behind a contraction. Sums over j of p(i, j) v(j, d) with p = e /
 * total(i) and e = exp(x - max) are the sums of e v, divided by the total. Where factors are
 * rounded to few bits that is the better order: the largest e is 1, which no rounding touches, and
 * a kernel that does not know the total until its row has ended (a GPU's attention) rounds the same
 * numbers as any other. */
#include "pass/pass.h"

/* A move or a mark that changes no value. */
static ir_id behind_moves(const struct ir_graph *g, ir_id id)
{
    for (;;) {
        const struct ir_node *n = ir_at(g, id);
        if (n->op != IR_stop && n->op != IR_copy && n->op != IR_reshape)
            return id;
        id = n->in[0].node;
    }
}

/* exp(x - max of x): at most 1. */
static bool is_exponential(const struct ir_graph *g, ir_id id)
{
    const struct ir_node *e = ir_at(g, id), *z = e->op == IR_exp ? ir_at(g, e->in[0].node) : NULL;
    if (!z || z->op != IR_sub || e->dtype != NN_f32)
        return false;
    const struct ir_node *max = ir_at(g, behind_moves(g, z->in[1].node));
    return max->op == IR_reduce && max->monoid == IRM_max && max->in[0].node == z->in[0].node;
}

static bool is_zero(const struct ir_graph *g, ir_id id)
{
    const struct ir_node *n = ir_at(g, id);
    return n->op == IR_const && nn_is_float(n->dtype) && n->attr.f == 0;
}

/* The operand of an element-wise node that a quotient may be taken from; -1: none. */
static int way_down(const struct ir_graph *g, const struct ir_node *n, uint32_t k)
{
    bool good = false;
    if (k >= n->nin || !ir_access_is_identity(&n->in[k].a, n))
        return -1;
    switch ((int)n->op) {
    case IR_mul: good = true; break;
    case IR_div: good = k == 0; break;
    case IR_select: good = k > 0 && is_zero(g, n->in[3 - k].node); break;
    }
    return good ? (int)k : -1;
}

/* The division by a total below the value, its operands from there to the value; 0: none. */
static ir_id find_division(const struct ir_graph *g, ir_id id, uint32_t depth)
{
    enum { DEEP = 8 };
    const struct ir_node *n = ir_at(g, id);
    if (n->op == IR_div && is_exponential(g, n->in[0].node) &&
        ir_access_is_identity(&n->in[0].a, n))
        return id;
    for (uint32_t k = 0; k < n->nin && depth < DEEP; k++) {
        ir_id found = way_down(g, n, k) < 0 ? 0 : find_division(g, n->in[k].node, depth + 1);
        if (found)
            return found;
    }
    return 0;
}

/* How the sum's points see the total; false: some of what is summed has one of its own. */
static bool see_total(struct ir_module *m, const struct ir_graph *g, const struct ir_node *sum,
                      uint32_t factor, const struct ir_node *division, struct ir_access *at)
{
    const struct ir_node *product = ir_at(g, sum->in[0].node);
    int64_t dim[IR_MAX_AXES], within[IR_MAX_AXES];
    struct ir_access value;
    ir_dims(sum, dim);
    ir_dims(product, within);
    if (!ir_access_total(&sum->in[0].a, dim) || !ir_access_total(&product->in[factor].a, within) ||
        !ir_compose(m, &sum->in[0].a, &product->in[factor].a, dim, 0, &value) ||
        !ir_compose(m, &value, &division->in[1].a, dim, 0, at) || !ir_access_total(at, dim))
        return false;
    for (uint32_t i = 0; i < at->rank; i++)
        for (uint32_t a = sum->nd - sum->nred; a < sum->nd; a++)
            if (ix_uses_axis(at->at[i].e, a))
                return false;
    return true;
}

/* The factor without the division. */
static ir_id undivided(struct pass_rewrite *r, ir_id id, ir_id division)
{
    const struct ir_node *old = ir_at(&r->old, id);
    if (id == division)
        return r->map[old->in[0].node];
    struct ir_node n = pass_rewrite_map(r, id);
    struct ir_in *in = arena_dup(r->g->m->mem, n.in, n.nin * sizeof *in);
    for (uint32_t k = 0; k < n.nin; k++)
        if (way_down(&r->old, old, k) >= 0 &&
            find_division(&r->old, old->in[k].node, 0) == division)
            in[k].node = undivided(r, old->in[k].node, division);
    n.in = in;
    return ir_append_shared(r->g, &n);
}

bool pass_find_late(struct pass_rewrite *r, ir_id id, struct pass_late *late)
{
    const struct ir_node *sum = ir_at(&r->old, id), *product = ir_at(&r->old, sum->in[0].node);
    for (uint32_t k = 0; k < 2; k++) {
        ir_id at = find_division(&r->old, product->in[k].node, 0);
        const struct ir_node *division = at ? ir_at(&r->old, at) : NULL;
        *late = (struct pass_late){.factor = k};
        if (!at || !see_total(r->g->m, &r->old, sum, k, division, &late->at))
            continue;
        late->total = r->map[division->in[1].node];
        late->value = undivided(r, product->in[k].node, at);
        return true;
    }
    return false;
}

ir_id pass_divide_late(struct ir_graph *g, ir_id sum, const struct pass_late *late)
{
    struct ir_node like = *ir_at(g, sum);
    struct ir_in in[2] = {{sum, ir_identity(g->m, ir_rank(&like), ir_axes(&like))},
                          {late->total, late->at}};
    struct ir_node n = {.op = IR_div,
                        .dtype = NN_f32,
                        .nd = (uint16_t)ir_rank(&like),
                        .nin = 2,
                        .checkpoint = like.checkpoint,
                        .again = like.again,
                        .origin = like.origin,
                        .dom = ir_axes(&like),
                        .in = in};
    return ir_append(g, &n);
}
