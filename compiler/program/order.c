/* The order of launches. Data flow comes first; then each launch that writes a slot's new value in
 * place waits for all other launches that read the old one. Where both cannot hold, the value of
 * one slot goes through the arena and is copied when everything else is done. */
#include "program/program_internal.h"

struct edges {
    VEC(uint32_t) * to; /* for each launch, the launches that wait for it */
    uint32_t *waits;    /* for each launch, how many it waits for */
};

static void edge(struct edges *e, uint32_t from, uint32_t to)
{
    if (from == to)
        return;
    vec_push(&e->to[from], to);
    e->waits[to]++;
}

/* The launch that writes the node, or UINT32_MAX. */
static uint32_t *writers(const struct ir_graph *g, const struct low_launches *l)
{
    uint32_t *w = xmalloc(g->nodes.n * sizeof *w);
    memset(w, 0xff, g->nodes.n * sizeof *w);
    for (uint32_t i = 0; i < l->p.n; i++)
        for (uint32_t k = 0; k < l->p.p[i].args.n; k++) {
            const struct low_arg *a = &l->p.p[i].args.p[k];
            if (a->node && a->write)
                w[a->node] = i;
        }
    return w;
}

static bool reads_slot(const struct ir_graph *g, const struct low_arg *a, uint32_t slot)
{
    const struct ir_node *n = ir_at(g, a->node);
    return a->node && !a->write && n->op == IR_slot && n->attr.i == (int64_t)slot;
}

static void add_edges(const struct ir_graph *g, const struct low_launches *l,
                      const uint32_t *writer, const bool *direct, struct edges *e)
{
    for (uint32_t i = 0; i < l->p.n; i++)
        for (uint32_t k = 0; k < l->p.p[i].args.n; k++) {
            const struct low_arg *a = &l->p.p[i].args.p[k];
            if (a->node && !a->write && writer[a->node] != UINT32_MAX)
                edge(e, writer[a->node], i);
        }
    for (uint32_t u = 0; u < g->updates.n; u++) {
        uint32_t w = writer[g->updates.p[u].node];
        for (uint32_t i = 0; direct[u] && i < l->p.n; i++)
            for (uint32_t k = 0; k < l->p.p[i].args.n; k++)
                if (reads_slot(g, &l->p.p[i].args.p[k], g->updates.p[u].slot))
                    edge(e, i, w);
    }
}

/* Of the launches that are ready, always the first one. Returns how many could be ordered. */
static uint32_t sort(struct edges *e, uint32_t n, uint32_t *order, bool *done)
{
    uint32_t count = 0;
    for (uint32_t scan = 0; scan < n;) {
        if (done[scan] || e->waits[scan]) {
            scan++;
            continue;
        }
        done[scan] = true;
        order[count++] = scan;
        uint32_t next = scan + 1;
        for (uint32_t k = 0; k < e->to[scan].n; k++) {
            uint32_t t = e->to[scan].p[k];
            if (!--e->waits[t] && t < next)
                next = t;
        }
        scan = next;
    }
    return count;
}

/* A slot may be overwritten in place by a launch that also reads it only element by element. */
static bool writes_in_place(const struct ir_graph *g, const struct low_launch *l, uint32_t slot)
{
    for (uint32_t k = 0; k < l->args.n; k++)
        if (reads_slot(g, &l->args.p[k], slot) && !l->args.p[k].pointwise)
            return false;
    return true;
}

uint32_t *program_order(const struct ir_graph *g, const struct low_launches *l, bool *direct)
{
    uint32_t n = l->p.n, *order = xmalloc(n * sizeof *order), *writer = writers(g, l);
    for (uint32_t u = 0; u < g->updates.n; u++) {
        uint32_t w = writer[g->updates.p[u].node];
        CHECK(w != UINT32_MAX, "graph %s: no launch writes the update of slot %s", g->name,
              g->m->slots.p[g->updates.p[u].slot].name);
        direct[u] = writes_in_place(g, &l->p.p[w], g->updates.p[u].slot);
    }
    for (;;) {
        struct edges e = {xcalloc(n, sizeof *e.to), xcalloc(n, sizeof *e.waits)};
        bool *done = xcalloc(n, sizeof *done);
        add_edges(g, l, writer, direct, &e);
        uint32_t count = sort(&e, n, order, done), u = 0;
        /* In a cycle: the first direct update whose writer is stuck goes through the arena. */
        if (count < n)
            while (u < g->updates.n && !(direct[u] && !done[writer[g->updates.p[u].node]]))
                u++;
        for (uint32_t i = 0; i < n; i++)
            vec_free(&e.to[i]);
        free(e.to);
        free(e.waits);
        free(done);
        if (count == n)
            break;
        CHECK(u < g->updates.n, "graph %s: launches wait for one another", g->name);
        direct[u] = false;
    }
    free(writer);
    return order;
}
