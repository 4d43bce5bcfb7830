/* Building a graph anew, node by node: what most passes are made of. */
#include "pass/pass.h"

void pass_rewrite_begin(struct pass_rewrite *r, struct ir_graph *g)
{
    r->g = g;
    r->old = *g;
    r->map = xcalloc(g->nodes.n, sizeof *r->map);
    g->nodes.p = NULL;
    g->nodes.n = g->nodes.cap = 0;
    vec_reserve(&g->nodes, r->old.nodes.n);
    vec_push(&g->nodes, (struct ir_node){0});
}

struct ir_node pass_rewrite_map(const struct pass_rewrite *r, ir_id old)
{
    struct ir_node n = *ir_at(&r->old, old);
    struct ir_in *in = arena_dup(r->g->m->mem, n.in, n.nin * sizeof *in);
    for (uint32_t k = 0; k < n.nin; k++) {
        in[k].node = r->map[in[k].node];
        CHECK(in[k].node, "operand %u of %%%u was dropped before it", k, old);
    }
    n.in = in;
    return n;
}

ir_id pass_rewrite_copy(struct pass_rewrite *r, ir_id old)
{
    struct ir_node n = pass_rewrite_map(r, old);
    return r->map[old] = ir_append_shared(r->g, &n);
}

void pass_rewrite_end(struct pass_rewrite *r)
{
    struct ir_graph *g = r->g;
    for (uint32_t i = 0; i < g->outputs.n; i++)
        g->outputs.p[i].node = r->map[g->outputs.p[i].node];
    for (uint32_t i = 0; i < g->updates.n; i++)
        g->updates.p[i].node = r->map[g->updates.p[i].node];
    vec_free(&r->old.nodes);
    free(r->map);
}

struct ir_in pass_identity(const struct ir_graph *g, ir_id x)
{
    const struct ir_node *n = ir_at(g, x);
    return (struct ir_in){x, ir_identity(g->m, ir_rank(n), ir_axes(n))};
}

ir_id pass_element(struct ir_graph *g, ir_id like, enum ir_op op, enum nn_dtype t,
                   const struct ir_in *in)
{
    struct ir_node of = *ir_at(g, like);
    struct ir_node n = {.op = (uint8_t)op,
                        .dtype = (uint8_t)t,
                        .nd = (uint16_t)ir_rank(&of),
                        .nin = (uint16_t)ir_op_arity(op),
                        .checkpoint = of.checkpoint,
                        .again = of.again,
                        .origin = of.origin,
                        .dom = ir_axes(&of),
                        .in = in};
    return ir_append(g, &n);
}
