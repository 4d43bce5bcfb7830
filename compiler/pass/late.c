/* late: a softmax's total behind a contraction. Sums over j of p(i, j) v(j, d) with p = e /
 * total(i) and e = exp(x - max) are the sums of e v, divided by the total. Where factors are
 * rounded to few bits that is the better order: the largest e is 1, which no rounding touches, and
 * a kernel that does not know the total until its row has ended (a GPU's attention) rounds the same
 * numbers as any other. */
#include "image.h"
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

/* The choice leaves out what the softmax that is divided there has left out, too: a row may have
 * nothing else, and its total is NaN then. */
static bool same_choice(const struct ir_graph *g, const struct ir_node *choice, ir_id division)
{
    const struct ir_node *e = ir_at(g, ir_at(g, division)->in[0].node);
    const struct ir_node *x = ir_at(g, ir_at(g, e->in[0].node)->in[0].node);
    return choice->op == IR_select && x->op == IR_select && x->in[0].node == choice->in[0].node;
}

/* The division by a total below the value, its operands from there to the value; 0: none. *masked
 * becomes true where a row's elements between them may all be zeros by choice. */
static ir_id find_division(const struct ir_graph *g, ir_id id, uint32_t depth, bool *masked)
{
    enum { DEEP = 8 };
    const struct ir_node *n = ir_at(g, id);
    if (n->op == IR_div && is_exponential(g, n->in[0].node) &&
        ir_access_is_identity(&n->in[0].a, n))
        return id;
    for (uint32_t k = 0; k < n->nin && depth < DEEP; k++) {
        if (way_down(g, n, k) < 0)
            continue;
        ir_id found = find_division(g, n->in[k].node, depth + 1, masked);
        *masked = *masked || (found && same_choice(g, n, found));
        if (found)
            return found;
    }
    return 0;
}

/* The guard holds where these axes are at 0, whatever the others and the run's sizes. */
static bool holds_at_first(const struct ir_graph *g, const struct ir_node *n,
                           const struct ir_term *t, uint32_t axes)
{
    int64_t zero[IR_MAX_AXES] = {0}, *least = ARENA_ARRAY(g->m->mem, int64_t, n->nin);
    for (uint32_t a = 0; a < n->nd; a++)
        if (ix_uses_axis(t->e, a) && !(axes >> a & 1))
            return false;
    for (uint32_t k = 0; k < n->nin; k++) {
        const struct ir_node *x = ir_at(g, n->in[k].node);
        const struct ir_slot *size = x->op == IR_slot ? &g->m->slots.p[x->attr.i] : NULL;
        if (!ix_mentions_operand(t->e, k))
            continue;
        if (!size || size->kind != NN_SLOT_SIZE)
            return false;
        least[k] = size->least;
    }
    return t->q == 1 && ix_eval(t->e, zero, least) >= 0;
}

/* Operand k's access as it is where its guards hold; false: elsewhere it finds something else than
 * 0. folded: the axes of n that are summed. */
static bool unguarded(const struct ir_graph *g, const struct ir_node *n, uint32_t k,
                      uint32_t folded, struct pass_late *late, struct ir_access *a)
{
    *a = n->in[k].a;
    for (uint32_t i = 0; i < a->nguard; i++)
        late->masked = late->masked || !holds_at_first(g, n, &a->guard[i], folded);
    bool zeros = !a->nguard || a->fill == 0;
    a->nguard = 0;
    return zeros;
}

/* How the sum's points see the total, under guards (a size that the run chooses has them) or not;
 * false: some of what is summed has one of its own. */
static bool see_total(const struct ir_graph *g, const struct ir_node *sum,
                      const struct ir_node *division, struct pass_late *late)
{
    const struct ir_node *product = ir_at(g, sum->in[0].node);
    struct ir_access outer, inner, value;
    int64_t dim[IR_MAX_AXES], within[IR_MAX_AXES];
    uint32_t axis, first = (uint32_t)sum->nd - sum->nred, folded = 0;
    ir_dims(sum, dim);
    ir_dims(product, within);
    for (uint32_t i = 0; i < product->nd; i++)
        if (ix_is_axis(sum->in[0].a.at[i].e, &axis) && axis >= first)
            folded |= 1u << i;
    if (!unguarded(g, sum, 0, ~0u << first, late, &outer) ||
        !unguarded(g, product, late->factor, folded, late, &inner) ||
        !ir_access_total(&outer, dim) || !ir_access_total(&inner, within) ||
        !ir_compose(g->m, &outer, &inner, dim, 0, &value) ||
        !ir_compose(g->m, &value, &division->in[1].a, dim, 0, &late->at) ||
        !ir_access_total(&late->at, dim))
        return false;
    for (uint32_t i = 0; i < late->at.rank; i++)
        for (uint32_t a = first; a < sum->nd; a++)
            if (ix_uses_axis(late->at.at[i].e, a))
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
    for (uint32_t k = 0; k < n.nin; k++) {
        bool masked = false;
        if (way_down(&r->old, old, k) >= 0 &&
            find_division(&r->old, old->in[k].node, 0, &masked) == division)
            in[k].node = undivided(r, old->in[k].node, division);
    }
    n.in = in;
    return ir_append_shared(r->g, &n);
}

bool pass_find_late(struct pass_rewrite *r, ir_id id, struct pass_late *late)
{
    const struct ir_node *sum = ir_at(&r->old, id), *product = ir_at(&r->old, sum->in[0].node);
    for (uint32_t k = 0; k < 2; k++) {
        *late = (struct pass_late){.factor = k};
        ir_id at = find_division(&r->old, product->in[k].node, 0, &late->masked);
        const struct ir_node *division = at ? ir_at(&r->old, at) : NULL;
        if (!at || !see_total(&r->old, sum, division, late))
            continue;
        late->total = r->map[division->in[1].node];
        late->value = undivided(r, product->in[k].node, at);
        return true;
    }
    return false;
}

ir_id pass_divide_late(struct ir_graph *g, ir_id sum, const struct pass_late *late)
{
    struct ir_in in[3] = {pass_identity(g, sum), {late->total, late->at}};
    ir_id quotient = pass_element(g, sum, IR_div, NN_f32, in);
    if (!late->masked)
        return quotient;
    /* a sum of nothing is 0, whatever the total of what was left out */
    struct ir_builder b = {.g = g, .origin = ir_at(g, sum)->origin};
    ir_id zero = ir_const_f(&b, NN_f32, 0);
    in[1] = (struct ir_in){.node = zero};
    in[0] = pass_identity(g, pass_element(g, sum, IR_eq, NN_bool, in));
    in[2] = pass_identity(g, quotient);
    return pass_element(g, sum, IR_select, NN_f32, in);
}
