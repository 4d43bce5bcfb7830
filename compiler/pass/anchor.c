/* anchor: requires nothing; afterwards every output and every update has a node of its own that is
 * computed here (no input, slot read or constant), so that program/ can give it the output's or the
 * slot's memory. Adds copies at the end; breaks nothing. */
#include "pass/pass.h"

static ir_id own(struct ir_graph *g, ir_id id, bool *taken)
{
    const struct ir_node *n = ir_at(g, id);
    bool computed = n->op != IR_input && n->op != IR_slot && n->op != IR_const && n->op != IR_iota;
    if (computed && !n->inlined && !taken[id]) {
        taken[id] = true;
        return id;
    }
    struct ir_node copy = {.op = IR_copy, .dtype = n->dtype, .nin = 1, .origin = n->origin};
    copy.nd = (uint16_t)ir_rank(n);
    copy.dom = ir_axes(n);
    struct ir_in in = {id, ir_identity(g->m, ir_rank(n), ir_axes(n))};
    copy.in = &in;
    return ir_append(g, &copy);
}

void pass_anchor(struct ir_graph *g)
{
    bool *taken = xcalloc(g->nodes.n, sizeof *taken);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        g->outputs.p[i].node = own(g, g->outputs.p[i].node, taken);
    for (uint32_t i = 0; i < g->updates.n; i++)
        g->updates.p[i].node = own(g, g->updates.p[i].node, taken);
    free(taken);
}
