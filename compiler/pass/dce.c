/* dce: requires nothing. Keeps the nodes that outputs and updates need, in their order; inputs that
 * nothing reads go too. Breaks nothing. */
#include "pass/pass.h"

void pass_dce(struct ir_graph *g)
{
    struct pass_rewrite r;
    bool *need = xcalloc(g->nodes.n, sizeof *need);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        need[g->outputs.p[i].node] = true;
    for (uint32_t i = 0; i < g->updates.n; i++)
        need[g->updates.p[i].node] = true;
    for (ir_id id = g->nodes.n; id-- > 1;) {
        const struct ir_node *n = ir_at(g, id);
        for (uint32_t k = 0; need[id] && k < n->nin; k++)
            need[n->in[k].node] = true;
    }
    pass_rewrite_begin(&r, g);
    for (ir_id id = 1; id < r.old.nodes.n; id++)
        if (need[id])
            pass_rewrite_copy(&r, id);
    pass_rewrite_end(&r);
    free(need);
}
