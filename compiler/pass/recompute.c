/* recompute: requires that gradient ran; afterwards nodes of the backward pass (origins of role
 * d.…) read clones of what stands inside of a `checkpoint` block, so that the block's own values
 * need not be kept.
 *
 * What forward nodes outside of the block read (its results) is kept anyway and read as it is;
 * likewise inputs, slots, constants. A clone is put right before its first user and is marked,
 * which keeps cse from merging it with the original and fuse/ from computing it early. The results
 * are the same to the bit. */
#include "pass/pass.h"

struct recompute {
    struct pass_rewrite r;
    const struct ir_graph *old;
    const bool *kept; /* old: read where it stands */
    ir_id *clone;     /* old to new */
};

bool pass_is_backward(const struct ir_module *m, const struct ir_node *n)
{
    const char *role = m->origins.p[n->origin].role;
    return role && !strncmp(role, "d.", 2);
}

static ir_id clone(struct recompute *c, ir_id id)
{
    if (c->kept[id])
        return c->r.map[id];
    if (c->clone[id])
        return c->clone[id];
    struct ir_node n = *ir_at(c->old, id);
    struct ir_in *in = arena_dup(c->old->m->mem, n.in, n.nin * sizeof *in);
    for (uint32_t k = 0; k < n.nin; k++)
        in[k].node = clone(c, in[k].node);
    n.in = in;
    n.again = true;
    return c->clone[id] = ir_append_shared(c->r.g, &n);
}

void pass_recompute_all(struct ir_graph *g, const bool *kept)
{
    struct recompute c = {.kept = kept, .clone = xcalloc(g->nodes.n, sizeof(ir_id))};
    pass_rewrite_begin(&c.r, g);
    c.old = &c.r.old;
    for (ir_id id = 1; id < c.old->nodes.n; id++) {
        if (pass_is_backward(g->m, ir_at(c.old, id)) && !ir_at(c.old, id)->checkpoint) {
            struct ir_node n = *ir_at(c.old, id);
            struct ir_in *in = arena_dup(g->m->mem, n.in, n.nin * sizeof *in);
            for (uint32_t k = 0; k < n.nin; k++)
                in[k].node = clone(&c, in[k].node);
            n.in = in;
            c.r.map[id] = ir_append_shared(g, &n);
        } else {
            pass_rewrite_copy(&c.r, id);
        }
    }
    pass_rewrite_end(&c.r);
    free(c.clone);
}

void pass_keep_leaves(const struct ir_graph *g, bool *kept)
{
    for (ir_id id = 1; id < g->nodes.n; id++) {
        enum ir_op op = (enum ir_op)ir_at(g, id)->op;
        kept[id] |= op == IR_input || op == IR_slot || op == IR_const || op == IR_iota;
    }
    for (uint32_t i = 0; i < g->outputs.n; i++)
        kept[g->outputs.p[i].node] = true;
    for (uint32_t i = 0; i < g->updates.n; i++)
        kept[g->updates.p[i].node] = true;
}

void pass_recompute(struct ir_graph *g)
{
    bool *kept = xcalloc(g->nodes.n, sizeof *kept);
    pass_keep_leaves(g, kept);
    for (ir_id id = 1; id < g->nodes.n; id++) {
        const struct ir_node *n = ir_at(g, id);
        kept[id] |= !n->checkpoint || n->again;
        for (uint32_t k = 0; k < n->nin && !pass_is_backward(g->m, n); k++)
            kept[n->in[k].node] |= ir_at(g, n->in[k].node)->checkpoint != n->checkpoint;
    }
    pass_recompute_all(g, kept);
    free(kept);
}
