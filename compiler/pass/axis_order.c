/* axis_order: after fold_moves, before fusion. A value that is only read transposed is computed
 * transposed: the gradient of x @ w.T comes out as w.T, and the optimiser that reads it beside w
 * wants w's order. The readers asked are stored element-wise nodes; contractions and reductions
 * read any order alike. Outputs, updates and values that are read as wholes keep their order. Only
 * the axes' order changes, of the node and in its readers' accesses; breaks nothing. */
#include "pass/pass.h"

struct use {
    ir_id user;
    uint32_t operand;
};

/* All uses, grouped by the node used: those of node id are [first[id], first[id + 1]). */
struct uses {
    uint32_t *first;
    struct use *use;
};

static struct uses find_uses(const struct ir_graph *g)
{
    struct uses u = {xcalloc(g->nodes.n + 2, sizeof *u.first), NULL};
    for (ir_id id = 1; id < g->nodes.n; id++)
        for (uint32_t k = 0; k < ir_at(g, id)->nin; k++)
            u.first[ir_at(g, id)->in[k].node + 1]++;
    for (ir_id id = 0; id <= g->nodes.n; id++)
        u.first[id + 1] += u.first[id];
    uint32_t *at = xcalloc(g->nodes.n, sizeof *at);
    u.use = xcalloc(u.first[g->nodes.n + 1], sizeof *u.use);
    for (ir_id id = 1; id < g->nodes.n; id++)
        for (uint32_t k = 0; k < ir_at(g, id)->nin; k++) {
            ir_id x = ir_at(g, id)->in[k].node;
            u.use[u.first[x] + at[x]++] = (struct use){id, k};
        }
    free(at);
    return u;
}

/* Its axes may be computed in another order: nothing stored is read along them by itself. */
static bool movable(const struct ir_graph *g, const struct ir_node *n)
{
    if (n->op == IR_reduce)
        return true;
    if (!ir_op_elementwise(n->op))
        return false;
    for (uint32_t k = 0; k < n->nin; k++) {
        const struct ir_node *x = ir_at(g, n->in[k].node);
        if ((x->op == IR_input || x->op == IR_slot) && ir_rank(x) > 1)
            return false;
    }
    return true;
}

/* The order in which the user walks the value's axes, outermost first. False: not axis by axis. */
static bool order_wanted(const struct ir_access *a, uint32_t *order)
{
    uint32_t axis[IR_MAX_AXES];
    for (uint32_t i = 0; i < a->rank; i++) {
        if (a->at[i].q != 1 || !ix_is_axis(a->at[i].e, &axis[i]))
            return false;
        uint32_t k = i;
        for (; k && axis[order[k - 1]] > axis[i]; k--)
            order[k] = order[k - 1];
        if (k && axis[order[k - 1]] == axis[i])
            return false;
        order[k] = i;
    }
    return true;
}

static bool identity(uint32_t rank, const uint32_t *order)
{
    for (uint32_t i = 0; i < rank; i++)
        if (order[i] != i)
            return false;
    return true;
}

/* The order that all who are asked want; false if it is the present one, or they differ. */
static bool agreed(const struct ir_graph *g, const struct uses *u, ir_id id, uint32_t *order)
{
    uint32_t rank = ir_rank(ir_at(g, id)), votes = 0, wanted[IR_MAX_AXES];
    for (uint32_t i = u->first[id]; i < u->first[id + 1]; i++) {
        const struct ir_node *user = ir_at(g, u->use[i].user);
        if (ir_op_whole(user->op))
            return false;
        if (user->inlined || !ir_op_elementwise(user->op))
            continue;
        if (!order_wanted(&user->in[u->use[i].operand].a, wanted))
            return false;
        if (votes++ && memcmp(wanted, order, rank * sizeof *order) != 0)
            return false;
        memcpy(order, wanted, rank * sizeof *order);
    }
    return votes && !identity(rank, order);
}

static const struct ir_in *with_access(struct ir_graph *g, const struct ir_node *n, uint32_t k,
                                       struct ir_access a)
{
    struct ir_in *in = arena_dup(g->m->mem, n->in, n->nin * sizeof *in);
    in[k].a = a;
    return in;
}

/* The node's own axes in the new order. */
static void reorder_node(struct ir_graph *g, ir_id id, const uint32_t *order)
{
    struct ir_node *n = &g->nodes.p[id];
    struct arena *mem = g->m->mem;
    struct ir_axis *dom = arena_dup(mem, n->dom, n->nd * sizeof *dom);
    const struct ix *to[IR_MAX_AXES] = {NULL};
    int64_t dim[IR_MAX_AXES];
    for (uint32_t i = 0; i < ir_rank(n); i++) {
        dom[i] = n->dom[order[i]];
        to[order[i]] = ix_axis(mem, i);
    }
    n->dom = dom;
    ir_dims(n, dim);
    for (uint32_t k = 0; k < n->nin; k++) {
        struct ir_access a = n->in[k].a;
        struct ir_term *t = ARENA_ARRAY(mem, struct ir_term, a.rank + a.nguard);
        for (uint32_t i = 0; i < a.rank + a.nguard; i++) {
            t[i] = i < a.rank ? a.at[i] : a.guard[i - a.rank];
            t[i].e = ix_subst(mem, t[i].e, to, NULL, dim);
        }
        a.at = t;
        a.guard = t + a.rank;
        n->in = with_access(g, n, k, a);
    }
}

static void reorder_use(struct ir_graph *g, struct use u, const uint32_t *order)
{
    struct ir_node *n = &g->nodes.p[u.user];
    struct ir_access a = n->in[u.operand].a;
    struct ir_term *at = ARENA_ARRAY(g->m->mem, struct ir_term, a.rank);
    for (uint32_t i = 0; i < a.rank; i++)
        at[i] = a.at[order[i]];
    a.at = at;
    n->in = with_access(g, n, u.operand, a);
}

void pass_axis_order(struct ir_graph *g)
{
    struct uses u = find_uses(g);
    bool *fixed = xcalloc(g->nodes.n, sizeof *fixed);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        fixed[g->outputs.p[i].node] = true;
    for (uint32_t i = 0; i < g->updates.n; i++)
        fixed[g->updates.p[i].node] = true;
    for (ir_id id = g->nodes.n;
         id-- > 1;) { /* readers first: a value may follow one that followed */
        uint32_t order[IR_MAX_AXES];
        if (fixed[id] || !movable(g, ir_at(g, id)) || !agreed(g, &u, id, order))
            continue;
        reorder_node(g, id, order);
        for (uint32_t i = u.first[id]; i < u.first[id + 1]; i++)
            reorder_use(g, u.use[i], order);
    }
    free(fixed);
    free(u.first);
    free(u.use);
}
