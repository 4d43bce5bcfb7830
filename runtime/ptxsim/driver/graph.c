/* Graphs: nodes with what they depend on, by capture or one by one. A node owns a copy of its
 * operation. */
#include "driver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- nodes ---- */

struct graph *graph_new(void)
{
    struct graph *g = calloc(1, sizeof *g);
    if (!g || !object_add(&g->o, KIND_GRAPH, NULL)) {
        free(g);
        return NULL;
    }
    return g;
}

static void node_free(struct node *n)
{
    op_free(&n->op);
    object_remove(&n->o);
    free(n->on);
    free(n);
}

void graph_end(struct graph *g)
{
    for (size_t i = 0; i < g->nodes; i++)
        node_free(g->node[i]);
    object_remove(&g->o);
    free(g->node);
    free(g);
}

CUresult nodes_of(struct graph *g, const CUgraphNode *handles, size_t n, struct node ***nodes)
{
    *nodes = NULL;
    if (n && !handles)
        return CUDA_ERROR_INVALID_VALUE;
    if (n > g->nodes)
        return CUDA_ERROR_INVALID_VALUE; /* some would be twice */
    struct node **list = calloc(n + 1, sizeof *list);
    if (!list)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < n; i++) {
        list[i] = object_get(KIND_NODE, handles[i]);
        bool twice = false;
        for (size_t k = 0; k < i; k++)
            twice = twice || list[k] == list[i];
        if (!list[i] || list[i]->graph != g || twice) {
            free(list);
            return CUDA_ERROR_INVALID_VALUE;
        }
    }
    *nodes = list;
    return CUDA_SUCCESS;
}

CUresult node_new(struct graph *g, const struct op *op, struct node *const *on, size_t on_count,
                  struct node **out)
{
    static uint64_t ids;
    if (g->nodes == g->room) {
        size_t room = g->room ? g->room * 2 : 16;
        struct node **grown = realloc(g->node, room * sizeof(struct node *));
        if (!grown)
            return CUDA_ERROR_OUT_OF_MEMORY;
        g->node = grown;
        g->room = room;
    }
    struct node *n = calloc(1, sizeof *n);
    if (!n)
        return CUDA_ERROR_OUT_OF_MEMORY;
    n->graph = g;
    n->id = ++ids;
    n->on = calloc(on_count + 1, sizeof(struct node *));
    CUresult r = n->on ? op_copy(&n->op, op) : CUDA_ERROR_OUT_OF_MEMORY;
    if (!r && !object_add(&n->o, KIND_NODE, NULL))
        r = CUDA_ERROR_OUT_OF_MEMORY;
    if (r) {
        node_free(n);
        return r;
    }
    if (n->op.kind == OP_CHILD)
        n->op.child->child = true;
    for (size_t i = 0; i < on_count; i++)
        n->on[i] = on[i];
    n->on_count = on_count;
    g->node[g->nodes++] = n;
    *out = n;
    return CUDA_SUCCESS;
}

/* The walk marks nodes by `seen`, which the caller's number makes fresh. */
static bool reaches(struct node *from, const struct node *to, uint64_t walk)
{
    if (from == to)
        return true;
    from->seen = walk;
    for (size_t i = 0; i < from->on_count; i++)
        if (from->on[i]->seen != walk && reaches(from->on[i], to, walk))
            return true;
    return false;
}

bool node_reaches(struct node *from, const struct node *to)
{
    static uint64_t walks;
    return reaches(from, to, ++walks);
}

/* Each after what it depends on, otherwise as they were added (or, of those that may run, the last
 * first, if NN_SIM_GRAPH_ORDER=last: what depends on the order of independent nodes then shows). */
struct node **graph_order(struct graph *g, bool *cycle)
{
    struct node **order = calloc(g->nodes + 1, sizeof(struct node *));
    const char *wish = getenv("NN_SIM_GRAPH_ORDER");
    bool last = wish && !strcmp(wish, "last");
    *cycle = false;
    if (!order)
        return NULL;
    for (size_t i = 0; i < g->nodes; i++)
        g->node[i]->index = SIZE_MAX;
    size_t done = 0, before;
    do {
        before = done;
        for (size_t k = 0; k < g->nodes; k++) {
            struct node *n = g->node[last ? g->nodes - 1 - k : k];
            bool ready = n->index == SIZE_MAX;
            for (size_t i = 0; ready && i < n->on_count; i++)
                ready = n->on[i]->index != SIZE_MAX;
            if (!ready)
                continue;
            n->index = done;
            order[done++] = n;
        }
    } while (done > before);
    if (done == g->nodes)
        return order;
    *cycle = true;
    free(order);
    return NULL;
}

CUresult graph_clone(struct graph *from, struct graph **to)
{
    struct graph *g = graph_new();
    if (!g)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < from->nodes; i++)
        from->node[i]->index = i;
    CUresult r = CUDA_SUCCESS;
    for (size_t i = 0; !r && i < from->nodes; i++) {
        struct node *n;
        r = node_new(g, &from->node[i]->op, NULL, 0, &n);
        if (!r)
            n->original = from->node[i]->id;
    }
    for (size_t i = 0; !r && i < from->nodes; i++)
        for (size_t k = 0; !r && k < from->node[i]->on_count; k++)
            r = node_depend(g->node[i], g->node[from->node[i]->on[k]->index]);
    if (r) {
        graph_end(g);
        return r;
    }
    *to = g;
    return CUDA_SUCCESS;
}

CUresult node_depend(struct node *n, struct node *on)
{
    struct node **grown = realloc(n->on, (n->on_count + 1) * sizeof(struct node *));
    if (!grown)
        return CUDA_ERROR_OUT_OF_MEMORY;
    n->on = grown;
    n->on[n->on_count++] = on;
    return CUDA_SUCCESS;
}

static bool node_independ(struct node *n, const struct node *on)
{
    for (size_t i = 0; i < n->on_count; i++)
        if (n->on[i] == on) {
            n->on[i] = n->on[--n->on_count];
            return true;
        }
    return false;
}

CUgraphNodeType node_type(const struct op *op)
{
    switch (op->kind) {
    case OP_EMPTY: return CU_GRAPH_NODE_TYPE_EMPTY;
    case OP_KERNEL:
    case OP_CODE: return CU_GRAPH_NODE_TYPE_KERNEL;
    case OP_COPY: return CU_GRAPH_NODE_TYPE_MEMCPY;
    case OP_SET: return CU_GRAPH_NODE_TYPE_MEMSET;
    case OP_HOST: return CU_GRAPH_NODE_TYPE_HOST;
    case OP_RECORD: return CU_GRAPH_NODE_TYPE_EVENT_RECORD;
    case OP_WAIT: return CU_GRAPH_NODE_TYPE_WAIT_EVENT;
    case OP_CHILD: return CU_GRAPH_NODE_TYPE_GRAPH;
    }
    return CU_GRAPH_NODE_TYPE_EMPTY;
}

/* ---- graphs ---- */

CUresult cuGraphCreate(CUgraph *graph, unsigned flags)
{
    ENTER(NEED_INIT);
    if (!graph || flags)
        return CUDA_ERROR_INVALID_VALUE;
    struct graph *g = graph_new();
    if (!g)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *graph = g->o.handle;
    return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph)
{
    ENTER(NEED_INIT);
    struct graph *g = object_get(KIND_GRAPH, graph);
    if (!g || g->child || g->capturing)
        return CUDA_ERROR_INVALID_VALUE;
    graph_end(g);
    return CUDA_SUCCESS;
}

CUresult cuGraphClone(CUgraph *clone, CUgraph graph)
{
    ENTER(NEED_INIT);
    struct graph *g = object_get(KIND_GRAPH, graph), *copy;
    if (!clone || !g)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = graph_clone(g, &copy);
    if (!r)
        *clone = copy->o.handle;
    return r;
}

CUresult cuGraphNodeFindInClone(CUgraphNode *found, CUgraphNode original, CUgraph clone)
{
    ENTER(NEED_INIT);
    struct node *n = object_get(KIND_NODE, original);
    struct graph *g = object_get(KIND_GRAPH, clone);
    if (!found || !n || !g)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < g->nodes; i++)
        if (g->node[i]->original == n->id) {
            *found = g->node[i]->o.handle;
            return CUDA_SUCCESS;
        }
    return CUDA_ERROR_INVALID_VALUE;
}

/* ---- queries: a NULL array asks for the number; what is left of one too long is set to NULL ----
 */

static CUresult list(CUgraphNode *out, size_t *n, struct node *const *nodes, size_t count)
{
    if (out)
        for (size_t i = 0; i < *n; i++)
            out[i] = i < count ? nodes[i]->o.handle : NULL;
    if (!out || *n > count)
        *n = count;
    return CUDA_SUCCESS;
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *n)
{
    ENTER(NEED_INIT);
    struct graph *g = object_get(KIND_GRAPH, graph);
    return g && n ? list(nodes, n, g->node, g->nodes) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphGetRootNodes(CUgraph graph, CUgraphNode *roots, size_t *n)
{
    ENTER(NEED_INIT);
    struct graph *g = object_get(KIND_GRAPH, graph);
    if (!g || !n)
        return CUDA_ERROR_INVALID_VALUE;
    struct node **found = calloc(g->nodes + 1, sizeof(struct node *));
    size_t count = 0;
    if (!found)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < g->nodes; i++)
        if (!g->node[i]->on_count)
            found[count++] = g->node[i];
    CUresult r = list(roots, n, found, count);
    free(found);
    return r;
}

static CUresult edges(CUgraph graph, CUgraphNode *from, CUgraphNode *to, size_t *n)
{
    struct graph *g = object_get(KIND_GRAPH, graph);
    if (!g || !n || !from != !to)
        return CUDA_ERROR_INVALID_VALUE;
    size_t count = 0;
    for (size_t i = 0; i < g->nodes; i++)
        for (size_t k = 0; k < g->node[i]->on_count; k++, count++)
            if (from && count < *n) {
                from[count] = g->node[i]->on[k]->o.handle;
                to[count] = g->node[i]->o.handle;
            }
    for (size_t i = count; from && i < *n; i++)
        from[i] = to[i] = NULL;
    if (!from || *n > count)
        *n = count;
    return CUDA_SUCCESS;
}

CUresult cuGraphGetEdges(CUgraph graph, CUgraphNode *from, CUgraphNode *to, size_t *n)
{
    ENTER(NEED_INIT);
    return edges(graph, from, to, n);
}

CUresult cuGraphGetEdges_v2(CUgraph graph, CUgraphNode *from, CUgraphNode *to,
                            CUgraphEdgeData *data, size_t *n)
{
    ENTER(NEED_INIT);
    CUresult r = edges(graph, from, to, n);
    if (!r && data)
        memset(data, 0, *n * sizeof *data);
    return r;
}

static CUresult dependencies(CUgraphNode handle, CUgraphNode *on, size_t *n)
{
    struct node *node = object_get(KIND_NODE, handle);
    return node && n ? list(on, n, node->on, node->on_count) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode *on, size_t *n)
{
    ENTER(NEED_INIT);
    return dependencies(node, on, n);
}

CUresult cuGraphNodeGetDependencies_v2(CUgraphNode node, CUgraphNode *on, CUgraphEdgeData *data,
                                       size_t *n)
{
    ENTER(NEED_INIT);
    CUresult r = dependencies(node, on, n);
    if (!r && data)
        memset(data, 0, *n * sizeof *data);
    return r;
}

static CUresult dependents(CUgraphNode handle, CUgraphNode *out, size_t *n)
{
    struct node *node = object_get(KIND_NODE, handle);
    if (!node || !n)
        return CUDA_ERROR_INVALID_VALUE;
    struct graph *g = node->graph;
    struct node **found = calloc(g->nodes + 1, sizeof(struct node *));
    size_t count = 0;
    if (!found)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < g->nodes; i++)
        for (size_t k = 0; k < g->node[i]->on_count; k++)
            if (g->node[i]->on[k] == node)
                found[count++] = g->node[i];
    CUresult r = list(out, n, found, count);
    free(found);
    return r;
}

CUresult cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode *out, size_t *n)
{
    ENTER(NEED_INIT);
    return dependents(node, out, n);
}

CUresult cuGraphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode *out, CUgraphEdgeData *data,
                                         size_t *n)
{
    ENTER(NEED_INIT);
    CUresult r = dependents(node, out, n);
    if (!r && data)
        memset(data, 0, *n * sizeof *data);
    return r;
}

CUresult cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType *type)
{
    ENTER(NEED_INIT);
    struct node *n = object_get(KIND_NODE, node);
    if (!n || !type)
        return CUDA_ERROR_INVALID_VALUE;
    *type = node_type(&n->op);
    return CUDA_SUCCESS;
}

/* ---- changing edges ---- */

static CUresult depend(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to, size_t n,
                       bool add)
{
    struct graph *g = object_get(KIND_GRAPH, graph);
    if (!g || g->child || (n && (!from || !to)))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++) {
        struct node *a = object_get(KIND_NODE, from[i]), *b = object_get(KIND_NODE, to[i]);
        if (!a || !b || a->graph != g || b->graph != g || a == b)
            return CUDA_ERROR_INVALID_VALUE;
        bool there = false;
        for (size_t k = 0; k < b->on_count; k++)
            there = there || b->on[k] == a;
        if (there == add)
            return CUDA_ERROR_INVALID_VALUE;
        CUresult r = add ? node_depend(b, a) : CUDA_SUCCESS;
        if (r)
            return r;
        if (!add)
            node_independ(b, a);
    }
    return CUDA_SUCCESS;
}

/* Edge data may ask for what hardware can start early: the plain order is stricter. */
CUresult cuGraphAddDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                size_t n)
{
    ENTER(NEED_INIT);
    return depend(graph, from, to, n, true);
}

CUresult cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                   const CUgraphEdgeData *data, size_t n)
{
    ENTER(NEED_INIT);
    (void)data;
    return depend(graph, from, to, n, true);
}

CUresult cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                   size_t n)
{
    ENTER(NEED_INIT);
    return depend(graph, from, to, n, false);
}

CUresult cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                      const CUgraphEdgeData *data, size_t n)
{
    ENTER(NEED_INIT);
    (void)data;
    return depend(graph, from, to, n, false);
}

CUresult cuGraphDestroyNode(CUgraphNode node)
{
    ENTER(NEED_INIT);
    struct node *n = object_get(KIND_NODE, node);
    if (!n || n->graph->child || n->graph->capturing)
        return CUDA_ERROR_INVALID_VALUE;
    struct graph *g = n->graph;
    size_t at = 0;
    for (size_t i = 0; i < g->nodes; i++) {
        node_independ(g->node[i], n);
        if (g->node[i] == n)
            at = i;
    }
    memmove(g->node + at, g->node + at + 1, (g->nodes - at - 1) * sizeof(struct node *));
    g->nodes--;
    node_free(n);
    return CUDA_SUCCESS;
}

/* ---- drawing ---- */

static void label(FILE *f, const struct op *op)
{
    switch (op->kind) {
    case OP_EMPTY: fprintf(f, "empty"); break;
    case OP_KERNEL:
        fprintf(f, "%s\\n%ux%ux%u blocks of %ux%ux%u",
                op_ready(op) ? "a kernel" : op->kernel.function->facts->name, op->kernel.grid[0],
                op->kernel.grid[1], op->kernel.grid[2], op->kernel.block[0], op->kernel.block[1],
                op->kernel.block[2]);
        break;
    case OP_CODE: fprintf(f, "cuBLAS"); break;
    case OP_COPY:
        fprintf(f, "memcpy\\n%zu x %zu x %zu bytes", op->copy.WidthInBytes, op->copy.Height,
                op->copy.Depth);
        break;
    case OP_SET:
        fprintf(f, "memset\\n%zu x %zu of %u bytes", op->set.width, op->set.height,
                op->set.elementSize);
        break;
    case OP_HOST: fprintf(f, "host function"); break;
    case OP_RECORD: fprintf(f, "event record"); break;
    case OP_WAIT: fprintf(f, "event wait"); break;
    case OP_CHILD: fprintf(f, "graph of %zu nodes", op->child->nodes); break;
    }
}

CUresult cuGraphDebugDotPrint(CUgraph graph, const char *path, unsigned flags)
{
    ENTER(NEED_INIT);
    struct graph *g = object_get(KIND_GRAPH, graph);
    (void)flags; /* it always says the same */
    if (!g || !path)
        return CUDA_ERROR_INVALID_VALUE;
    FILE *f = fopen(path, "w");
    if (!f)
        return CUDA_ERROR_OPERATING_SYSTEM;
    fprintf(f, "digraph {\n");
    for (size_t i = 0; i < g->nodes; i++) {
        g->node[i]->index = i;
        fprintf(f, "  n%zu [label=\"", i);
        label(f, &g->node[i]->op);
        fprintf(f, "\"];\n");
    }
    for (size_t i = 0; i < g->nodes; i++)
        for (size_t k = 0; k < g->node[i]->on_count; k++)
            fprintf(f, "  n%zu -> n%zu;\n", g->node[i]->on[k]->index, i);
    fprintf(f, "}\n");
    return fclose(f) ? CUDA_ERROR_OPERATING_SYSTEM : CUDA_SUCCESS;
}
