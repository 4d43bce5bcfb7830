/* fold_moves: requires a sound graph without marks; afterwards operands are read past copies, and
 * past reshapes where that leaves affine coordinates, through composed accesses. The moves that
 * nothing reads any more are left to dce.
 *
 * A copy stays where it gathers (its indices would be checked again by each user) and where two
 * fills cannot be told apart. A reshape stays where reading past it would take // or %: what it
 * reads is then stored, and the reshape of stored elements costs nothing. A node that is not
 * inlined keeps a copy of inlined values: that is where they are stored. */
#include "pass/pass.h"

static bool uses_operand(const struct ir_access *a)
{
    for (uint32_t i = 0; i < a->rank + a->nguard; i++)
        if (ix_uses_operand((i < a->rank ? &a->at[i] : &a->guard[i - a->rank])->e))
            return true;
    return false;
}

/* Non-affine atoms in the access. */
static uint32_t divisions(const struct ir_access *a)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < a->rank + a->nguard; i++)
        n += !ix_is_affine((i < a->rank ? &a->at[i] : &a->guard[i - a->rank])->e);
    return n;
}

struct ir_access pass_reshape_access(struct ir_module *m, uint32_t nd, const struct ir_axis *dom,
                                     uint32_t rank, const struct ir_axis *ax)
{
    struct arena *mem = m->mem;
    const struct ix *flat = ix_const(mem, 0);
    int64_t dim[IR_MAX_AXES], stride = 1;
    for (uint32_t i = nd; i--; stride *= dom[i].n) {
        dim[i] = dom[i].n;
        flat = ix_add(mem, flat, ix_mul(mem, ix_axis(mem, i), stride));
    }
    struct ir_term *at = ARENA_ARRAY(mem, struct ir_term, rank);
    for (uint32_t i = rank; i--;) {
        int64_t q = ax[i].n ? ax[i].n : 1;
        at[i] = (struct ir_term){i ? ix_mod(mem, flat, q, dim) : flat, 1, ax[i].n};
        flat = ix_div(mem, flat, q, dim);
    }
    return (struct ir_access){.rank = rank, .at = at};
}

bool pass_see_through(const struct ir_graph *g, const int64_t *dim, struct ir_in *in)
{
    const struct ir_node *x = ir_at(g, in->node);
    const struct ir_node *from = x->nin ? ir_at(g, x->in[0].node) : NULL;
    struct ir_access inner, both;
    if (x->op == IR_copy && x->nin == 1)
        inner = x->in[0].a;
    else if (x->op == IR_reshape)
        inner = pass_reshape_access(g->m, x->nd, x->dom, ir_rank(from), ir_axes(from));
    else
        return false;
    if (from->inlined && !x->inlined)
        return false;
    if (!ir_compose(g->m, &in->a, &inner, dim, 0, &both))
        return false;
    if (x->op == IR_reshape && (divisions(&both) > divisions(&in->a) || uses_operand(&both)))
        return false;
    *in = (struct ir_in){x->in[0].node, both};
    return true;
}

void pass_fold_moves(struct ir_graph *g)
{
    for (ir_id id = 1; id < g->nodes.n; id++) {
        struct ir_node *n = &g->nodes.p[id];
        int64_t dim[IR_MAX_AXES];
        if (ir_op_whole(n->op))
            continue;
        ir_dims(n, dim);
        struct ir_in *in = arena_dup(g->m->mem, n->in, n->nin * sizeof *in);
        bool changed = false;
        for (uint32_t k = 0; k < n->nin; k++)
            while (pass_see_through(g, dim, &in[k]))
                changed = true;
        if (changed)
            n->in = in;
    }
}
