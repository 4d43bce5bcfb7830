/* Graphs that run: a clone whose nodes are in an order that their dependencies allow; it may be
 * changed without changing its shape. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

struct step {
    uint64_t id; /* of the node it comes from */
    struct op op;
    bool off;
    size_t on_count, *on; /* steps, for updates by another graph */
};
struct exec {
    struct object o;
    unsigned long long flags;
    bool busy;
    size_t steps;
    struct step *step;
};

static void exec_end(struct exec *x)
{
    for (size_t i = 0; i < x->steps; i++) {
        op_free(&x->step[i].op);
        free(x->step[i].on);
    }
    object_remove(&x->o);
    free(x->step);
    free(x);
}

static CUresult step_of(struct step *s, const struct node *n)
{
    s->id = n->id;
    s->on = calloc(n->on_count + 1, sizeof *s->on);
    CUresult r = s->on ? op_copy(&s->op, &n->op) : CUDA_ERROR_OUT_OF_MEMORY;
    if (r)
        return r;
    if (s->op.kind == OP_CHILD)
        s->op.child->child = true;
    s->on_count = n->on_count;
    for (size_t i = 0; i < n->on_count; i++)
        s->on[i] = n->on[i]->index;
    return CUDA_SUCCESS;
}

static CUresult instantiate(CUgraphExec *out, CUgraph graph, unsigned long long flags)
{
    struct graph *g = object_get(KIND_GRAPH, graph);
    bool cycle;
    if (!out || !g || flags > 15)
        return CUDA_ERROR_INVALID_VALUE;
    if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH)
        return not_simulated("cuGraphInstantiate", "kernels cannot launch graphs");
    struct node **order = graph_order(g, &cycle);
    if (!order)
        return cycle ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_OUT_OF_MEMORY;
    struct exec *x = calloc(1, sizeof *x);
    CUresult r = CUDA_ERROR_OUT_OF_MEMORY;
    if (x && (x->step = calloc(g->nodes + 1, sizeof *x->step)) &&
        object_add(&x->o, KIND_EXEC, NULL)) {
        r = CUDA_SUCCESS;
        x->flags = flags;
        for (size_t i = 0; !r && i < g->nodes; i++) {
            r = step_of(&x->step[i], order[i]);
            x->steps = i + 1;
        }
        if (r)
            exec_end(x);
        else
            *out = x->o.handle;
    } else if (x) {
        free(x->step);
        free(x);
    }
    free(order);
    return r;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
    ENTER(NEED_CONTEXT);
    return instantiate(exec, graph, flags);
}

CUresult cuGraphInstantiate_v2(CUgraphExec *exec, CUgraph graph, CUgraphNode *bad, char *log,
                               size_t bytes)
{
    ENTER(NEED_CONTEXT);
    if (bad)
        *bad = NULL;
    if (log && bytes)
        *log = 0;
    return instantiate(exec, graph, 0);
}

CUresult cuGraphInstantiate(CUgraphExec *exec, CUgraph graph, CUgraphNode *bad, char *log,
                            size_t bytes)
{
    return cuGraphInstantiate_v2(exec, graph, bad, log, bytes);
}

CUresult cuGraphInstantiateWithParams(CUgraphExec *exec, CUgraph graph,
                                      CUDA_GRAPH_INSTANTIATE_PARAMS *p)
{
    ENTER(NEED_CONTEXT);
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = instantiate(exec, graph, p->flags);
    p->hErrNode_out = NULL;
    p->result_out = !r ? CUDA_GRAPH_INSTANTIATE_SUCCESS
                    : r == CUDA_ERROR_NOT_SUPPORTED
                        ? CUDA_GRAPH_INSTANTIATE_NODE_OPERATION_NOT_SUPPORTED
                        : CUDA_GRAPH_INSTANTIATE_ERROR;
    return r;
}

CUresult cuGraphExecGetFlags(CUgraphExec exec, cuuint64_t *flags)
{
    ENTER(NEED_INIT);
    struct exec *x = object_get(KIND_EXEC, exec);
    if (!x || !flags)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = x->flags;
    return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec exec)
{
    ENTER(NEED_INIT);
    struct exec *x = object_get(KIND_EXEC, exec);
    if (!x)
        return CUDA_ERROR_INVALID_VALUE;
    while (x->busy) { /* another thread launches it */
        lock_wait();
        if (object_get(KIND_EXEC, exec) != x)
            return CUDA_ERROR_INVALID_VALUE;
    }
    exec_end(x);
    return CUDA_SUCCESS;
}

/* ---- running ---- */

/* Without the lock. After a fault what is left is not run, and the context says so. */
static CUresult run_op(const struct op *op)
{
    lock_acquire();
    CUresult r = op_ready(op);
    lock_release();
    return r ? r : op_run(op);
}

CUresult graph_run(struct graph *g)
{
    bool cycle;
    lock_acquire();
    struct node **order = graph_order(g, &cycle);
    lock_release();
    if (!order)
        return cycle ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_OUT_OF_MEMORY;
    CUresult r = CUDA_SUCCESS;
    for (size_t i = 0; !r && i < g->nodes; i++)
        r = run_op(&order[i]->op);
    free(order);
    return r;
}

static CUresult run(struct stream *s, struct exec *x)
{
    struct context *c = s->o.context;
    CUresult r = CUDA_SUCCESS;
    while (x->busy)
        lock_wait();
    x->busy = true;
    stream_enter(s);
    for (size_t i = 0; !r && i < x->steps; i++)
        if (!x->step[i].off)
            r = run_op(&x->step[i].op);
    x->busy = false;
    stream_leave(s);
    return r == c->sticky && !setting_on("CUDA_LAUNCH_BLOCKING", false) ? CUDA_SUCCESS : r;
}

/* A launch into a stream that is captured becomes a child node. */
static CUresult run_captured(struct stream *s, struct exec *x)
{
    struct graph *g = graph_new();
    CUresult r = g ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; !r && i < x->steps; i++) {
        struct op empty = {
            .kind = OP_EMPTY, .context = s->o.context, .context_handle = s->o.context->o.handle};
        struct node *n, **on = calloc(x->step[i].on_count + 1, sizeof(struct node *));
        for (size_t k = 0; on && k < x->step[i].on_count; k++)
            on[k] = g->node[x->step[i].on[k]];
        r = on ? node_new(g, x->step[i].off ? &empty : &x->step[i].op, on, x->step[i].on_count, &n)
               : CUDA_ERROR_OUT_OF_MEMORY;
        free(on);
    }
    struct op op = {.kind = OP_CHILD,
                    .context = s->o.context,
                    .context_handle = s->o.context->o.handle,
                    .child = g};
    if (!r)
        r = capture_add(s, &op);
    if (g)
        graph_end(g);
    return r;
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    struct exec *x = object_get(KIND_EXEC, exec);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r || !x)
        return r ? r : CUDA_ERROR_INVALID_VALUE;
    if (s->capture)
        return run_captured(s, x);
    r = capture_implicit(s);
    return r ? r : run(s, x);
}

CUresult cuGraphUpload(CUgraphExec exec, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    return r ? r : object_get(KIND_EXEC, exec) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- changing what runs ---- */

static struct step *step_get(CUgraphExec exec, CUgraphNode node)
{
    struct exec *x = object_get(KIND_EXEC, exec);
    struct node *n = object_get(KIND_NODE, node);
    for (size_t i = 0; x && n && i < x->steps; i++)
        if (x->step[i].id == n->id)
            return &x->step[i];
    return NULL;
}

/* `op`, owned, takes the place of the step's, which must be of its type; what hardware could not
 * change in place, a copy's or memset's kinds of memory and the context, may not change here
 * either. */
static CUresult step_set(struct step *s, struct op *op)
{
    bool fits = s && s->op.kind == op->kind && s->op.context_handle == op->context_handle;
    if (fits && op->kind == OP_SET)
        fits = s->op.set.height == 1 && op->set.height == 1;
    if (!fits) {
        op_free(op);
        return CUDA_ERROR_INVALID_VALUE;
    }
    op_free(&s->op);
    s->op = *op;
    return CUDA_SUCCESS;
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                           const CUDA_KERNEL_NODE_PARAMS *p)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = kernel_node_op(call.context, p, &op);
    return r ? r : step_set(step_get(exec, node), &op);
}

CUresult cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const CUDA_KERNEL_NODE_PARAMS_v1 *p)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUDA_KERNEL_NODE_PARAMS q = {0};
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&q, p, sizeof *p);
    CUresult r = kernel_node_op(call.context, &q, &op);
    return r ? r : step_set(step_get(exec, node), &op);
}

CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMCPY3D *p,
                                        CUcontext context)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = copy_node_op(call.context, p, context, &op);
    return r ? r : step_set(step_get(exec, node), &op);
}

CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const CUDA_MEMSET_NODE_PARAMS *p, CUcontext context)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = set_node_op(call.context, p, context, &op);
    return r ? r : step_set(step_get(exec, node), &op);
}

CUresult cuGraphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                      const CUDA_HOST_NODE_PARAMS *p)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = host_node_op(call.context, p, &op);
    return r ? r : step_set(step_get(exec, node), &op);
}

CUresult cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = event_node_op(call.context, event, OP_RECORD, &op);
    return r ? r : step_set(step_get(exec, node), &op);
}

CUresult cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = event_node_op(call.context, event, OP_WAIT, &op);
    return r ? r : step_set(step_get(exec, node), &op);
}

static CUresult same_shape(const struct graph *a, const struct graph *b)
{
    bool same = a->nodes == b->nodes;
    for (size_t i = 0; same && i < a->nodes; i++)
        same = a->node[i]->op.kind == b->node[i]->op.kind &&
               a->node[i]->on_count == b->node[i]->on_count;
    return same ? CUDA_SUCCESS : CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
}

CUresult cuGraphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraph child)
{
    ENTER(NEED_CONTEXT);
    struct step *s = step_get(exec, node);
    struct op op, copy;
    CUresult r = child_node_op(call.context, child, &op);
    if (r)
        return r;
    if (!s || s->op.kind != OP_CHILD || same_shape(s->op.child, op.child))
        return CUDA_ERROR_INVALID_VALUE;
    r = op_copy(&copy, &op);
    return r ? r : step_set(s, &copy);
}

CUresult cuGraphExecNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams *p)
{
    ENTER(NEED_CONTEXT);
    struct op op, copy;
    CUresult r = node_op(call.context, p, &op);
    if (r)
        return r;
    r = op_copy(&copy, &op);
    if (op.kind != OP_CHILD)
        op_free(&op);
    return r ? r : step_set(step_get(exec, node), &copy);
}

CUresult cuGraphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, unsigned on)
{
    ENTER(NEED_INIT);
    struct step *s = step_get(exec, node);
    if (!s || (s->op.kind != OP_KERNEL && s->op.kind != OP_CODE && s->op.kind != OP_COPY &&
               s->op.kind != OP_SET))
        return CUDA_ERROR_INVALID_VALUE;
    s->off = !on;
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetEnabled(CUgraphExec exec, CUgraphNode node, unsigned *on)
{
    ENTER(NEED_INIT);
    struct step *s = step_get(exec, node);
    if (!s || !on)
        return CUDA_ERROR_INVALID_VALUE;
    *on = !s->off;
    return CUDA_SUCCESS;
}

/* ---- updates by a whole graph ---- */

static CUgraphExecUpdateResult differs(const struct step *s, const struct node *n)
{
    if (s->op.kind != n->op.kind)
        return CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
    if (s->on_count != n->on_count)
        return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    for (size_t i = 0; i < s->on_count; i++)
        if (s->on[i] != n->on[i]->index)
            return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    if (s->op.context_handle != n->op.context_handle)
        return CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
    if (s->op.kind == OP_CHILD && same_shape(s->op.child, n->op.child))
        return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    return CU_GRAPH_EXEC_UPDATE_SUCCESS;
}

/* Nothing changes unless all of it can. Nodes are matched in the order they run. */
static CUresult exec_update(struct exec *x, struct node **order, size_t n, CUgraphNode *bad,
                            CUgraphExecUpdateResult *result)
{
    *result =
        x->steps == n ? CU_GRAPH_EXEC_UPDATE_SUCCESS : CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    for (size_t i = 0; !*result && i < n; i++) {
        *result = differs(&x->step[i], order[i]);
        *bad = *result ? order[i]->o.handle : NULL;
    }
    if (*result)
        return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    struct op *fresh = calloc(n + 1, sizeof *fresh);
    CUresult r = fresh ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    size_t made = 0;
    for (; !r && made < n; made++)
        r = op_copy(&fresh[made], &order[made]->op);
    for (size_t i = 0; fresh && i < made; i++) {
        op_free(r ? &fresh[i] : &x->step[i].op);
        if (!r)
            x->step[i].op = fresh[i];
    }
    free(fresh);
    return r;
}

static CUresult update(CUgraphExec exec, CUgraph graph, CUgraphNode *bad,
                       CUgraphExecUpdateResult *result)
{
    struct exec *x = object_get(KIND_EXEC, exec);
    struct graph *g = object_get(KIND_GRAPH, graph);
    bool cycle;
    *bad = NULL;
    *result = CU_GRAPH_EXEC_UPDATE_ERROR;
    if (!x || !g)
        return CUDA_ERROR_INVALID_VALUE;
    struct node **order = graph_order(g, &cycle);
    if (!order)
        return cycle ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_OUT_OF_MEMORY;
    CUresult r = exec_update(x, order, g->nodes, bad, result);
    free(order);
    return r;
}

CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo *info)
{
    ENTER(NEED_CONTEXT);
    if (!info)
        return CUDA_ERROR_INVALID_VALUE;
    info->errorFromNode = NULL;
    return update(exec, graph, &info->errorNode, &info->result);
}

CUresult cuGraphExecUpdate(CUgraphExec exec, CUgraph graph, CUgraphNode *bad,
                           CUgraphExecUpdateResult *result)
{
    ENTER(NEED_CONTEXT);
    CUgraphNode ignored;
    return result ? update(exec, graph, bad ? bad : &ignored, result) : CUDA_ERROR_INVALID_VALUE;
}
