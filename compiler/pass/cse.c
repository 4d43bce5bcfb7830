/* cse: requires nothing. Of nodes that compute the same the first stays, its name and origin too.
 * Two nodes are the same if operator, type, domain sizes, operands (for add, mul and their like in
 * any order), accesses and attributes are; constants by their bits, random nodes only with their
 * stream. Not merged: nodes of different `checkpoint` blocks, a clone with what it was cloned from
 * (those are to be computed twice), a node that is inlined with one that is not, holes (each stands
 * for its own custom's gradient). Breaks nothing. */
#include "pass/pass.h"

/* ---- hashing ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t hash_ix(uint64_t h, const struct ix *e)
{
    h = mix(h, (uint64_t)e->c0);
    for (uint32_t i = 0; i < e->n; i++) {
        const struct ix_atom *a = &e->part[i].a;
        h = mix(mix(mix(h, (uint64_t)e->part[i].c), a->kind), a->v);
        if (a->e)
            h = hash_ix(mix(h, (uint64_t)a->q), a->e);
    }
    return h;
}

static uint64_t hash_terms(uint64_t h, uint32_t n, const struct ir_term *t)
{
    h = mix(h, n);
    for (uint32_t i = 0; i < n; i++)
        h = hash_ix(mix(mix(h, (uint64_t)t[i].q), (uint64_t)t[i].n), t[i].e);
    return h;
}

static uint64_t bits(double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static uint64_t hash_access(uint64_t h, const struct ir_access *a)
{
    h = mix(mix(h, a->strict), bits(a->fill));
    return hash_terms(hash_terms(h, a->rank, a->at), a->nguard, a->guard);
}

static uint64_t hash_in(const struct ir_in *in) { return hash_access(mix(1, in->node), &in->a); }

static uint64_t hash_axes(uint64_t h, uint32_t n, const struct ir_axis *ax)
{
    for (uint32_t i = 0; i < n; i++)
        h = mix(h, (uint64_t)ax[i].n);
    return h;
}

static bool commutes(enum ir_op op)
{
    return op == IR_add || op == IR_mul || op == IR_min || op == IR_max || op == IR_eq ||
           op == IR_ne || op == IR_and || op == IR_or;
}

/* Everything of a node but its operands that takes part in equality. */
static uint64_t flags(const struct ir_node *n)
{
    return (uint64_t)n->op | (uint64_t)n->dtype << 8 | (uint64_t)n->monoid << 16 |
           (uint64_t)n->inlined << 24 | (uint64_t)n->reverse << 25 | (uint64_t)n->word << 26 |
           (uint64_t)n->again << 28 | (uint64_t)n->checkpoint << 32;
}

static uint64_t hash_node(const struct ir_node *n)
{
    uint64_t h = mix(mix(flags(n), (uint64_t)n->attr.i), (uint64_t)n->nd << 16 | n->nred);
    uint32_t k = 0;
    h = hash_axes(h, n->nd, n->dom);
    if (n->op == IR_input)
        h = hash_bytes(h, n->name, strlen(n->name));
    if (commutes(n->op)) {
        h = mix(h, hash_in(&n->in[0]) + hash_in(&n->in[1]));
        k = 2;
    }
    for (; k < n->nin; k++)
        h = mix(h, hash_in(&n->in[k]));
    if (n->out)
        h = hash_access(hash_axes(h, n->nval, n->val), n->out);
    return h;
}

/* ---- equality ---- */

static bool same_terms(uint32_t n, const struct ir_term *x, const struct ir_term *y)
{
    for (uint32_t i = 0; i < n; i++)
        if (!ir_term_equal(&x[i], &y[i]))
            return false;
    return true;
}

static bool same_access(const struct ir_access *x, const struct ir_access *y)
{
    return x->rank == y->rank && x->nguard == y->nguard && x->strict == y->strict &&
           bits(x->fill) == bits(y->fill) && same_terms(x->rank, x->at, y->at) &&
           same_terms(x->nguard, x->guard, y->guard);
}

static bool same_in(const struct ir_in *x, const struct ir_in *y)
{
    return x->node == y->node && same_access(&x->a, &y->a);
}

static bool same_axes(uint32_t n, const struct ir_axis *x, const struct ir_axis *y)
{
    for (uint32_t i = 0; i < n; i++)
        if (x[i].n != y[i].n || !ir_live_equal(x[i].live, y[i].live))
            return false;
    return true;
}

static bool same_operands(const struct ir_node *x, const struct ir_node *y)
{
    uint32_t k = 0;
    if (commutes(x->op)) {
        bool straight = same_in(&x->in[0], &y->in[0]) && same_in(&x->in[1], &y->in[1]);
        bool crossed = same_in(&x->in[0], &y->in[1]) && same_in(&x->in[1], &y->in[0]);
        if (!straight && !crossed)
            return false;
        k = 2;
    }
    for (; k < x->nin; k++)
        if (!same_in(&x->in[k], &y->in[k]))
            return false;
    return true;
}

static bool same(const struct ir_node *x, const struct ir_node *y)
{
    if (flags(x) != flags(y) || x->attr.i != y->attr.i || x->nd != y->nd || x->nred != y->nred ||
        x->nin != y->nin || !same_axes(x->nd, x->dom, y->dom))
        return false;
    if (x->op == IR_hole || (x->op == IR_input && strcmp(x->name, y->name) != 0))
        return false;
    if (x->out &&
        (x->nval != y->nval || !same_axes(x->nval, x->val, y->val) || !same_access(x->out, y->out)))
        return false;
    return same_operands(x, y);
}

/* ---- the pass ---- */

struct entry {
    uint64_t hash;
    ir_id id;
};

void pass_cse(struct ir_graph *g)
{
    struct pass_rewrite r;
    uint32_t room = 64;
    while (room < 2 * g->nodes.n)
        room *= 2;
    struct entry *table = xcalloc(room, sizeof *table);
    pass_rewrite_begin(&r, g);
    for (ir_id id = 1; id < r.old.nodes.n; id++) {
        struct ir_node n = pass_rewrite_map(&r, id);
        uint64_t hash = hash_node(&n);
        uint32_t i = (uint32_t)hash & (room - 1);
        while (table[i].id && (table[i].hash != hash || !same(ir_at(g, table[i].id), &n)))
            i = (i + 1) & (room - 1);
        if (!table[i].id)
            table[i] = (struct entry){hash, ir_append_shared(g, &n)};
        r.map[id] = table[i].id;
    }
    pass_rewrite_end(&r);
    free(table);
}
