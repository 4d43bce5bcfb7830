/* Adding nodes one by one, and their parameters. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

static CUresult add(CUgraphNode *out, CUgraph graph, const CUgraphNode *on, size_t n, struct op *op)
{
    struct graph *g = object_get(KIND_GRAPH, graph);
    struct node **nodes, *added;
    if (!out || !g || g->child)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = nodes_of(g, on, n, &nodes);
    if (!r)
        r = node_new(g, op, nodes, n, &added);
    free(nodes);
    if (!r)
        *out = added->o.handle;
    return r;
}

/* Of a node of the given kind, NULL if it is another's. */
static struct node *node_get(CUgraphNode handle, enum op_kind kind)
{
    struct node *n = object_get(KIND_NODE, handle);
    return n && n->op.kind == kind ? n : NULL;
}

/* ---- operations from parameters ---- */

static struct context *context_of(struct context *current, CUcontext wanted)
{
    return wanted ? context_get(wanted) : current;
}

CUresult kernel_node_op(struct context *current, const CUDA_KERNEL_NODE_PARAMS *p, struct op *op)
{
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    struct context *c = context_of(current, p->ctx);
    struct launch l = {p->func ? p->func : (CUfunction)p->kern,
                       {p->gridDimX, p->gridDimY, p->gridDimZ},
                       {p->blockDimX, p->blockDimY, p->blockDimZ},
                       {0},
                       p->sharedMemBytes,
                       p->kernelParams,
                       p->extra,
                       false};
    return c ? launch_op(c, &l, op) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult copy_node_op(struct context *current, const CUDA_MEMCPY3D *p, CUcontext context,
                      struct op *op)
{
    struct context *c = context_of(current, context);
    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult r = copy_check(p);
    if (!r)
        *op = (struct op){.kind = OP_COPY, .context = c, .context_handle = c->o.handle, .copy = *p};
    return r;
}

CUresult set_node_op(struct context *current, const CUDA_MEMSET_NODE_PARAMS *p, CUcontext context,
                     struct op *op)
{
    struct context *c = context_of(current, context);
    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult r = set_check(p);
    if (!r)
        *op = (struct op){.kind = OP_SET, .context = c, .context_handle = c->o.handle, .set = *p};
    return r;
}

CUresult host_node_op(struct context *c, const CUDA_HOST_NODE_PARAMS *p, struct op *op)
{
    if (!p || !p->fn)
        return CUDA_ERROR_INVALID_VALUE;
    *op = (struct op){.kind = OP_HOST, .context = c, .context_handle = c->o.handle};
    op->host.function = p->fn;
    op->host.data = p->userData;
    return CUDA_SUCCESS;
}

CUresult event_node_op(struct context *c, CUevent event, enum op_kind kind, struct op *op)
{
    if (!object_get(KIND_EVENT, event))
        return CUDA_ERROR_INVALID_VALUE;
    *op = (struct op){.kind = kind, .context = c, .context_handle = c->o.handle, .event = event};
    return CUDA_SUCCESS;
}

CUresult child_node_op(struct context *c, CUgraph child, struct op *op)
{
    struct graph *g = object_get(KIND_GRAPH, child);
    if (!g)
        return CUDA_ERROR_INVALID_VALUE;
    *op = (struct op){.kind = OP_CHILD, .context = c, .context_handle = c->o.handle, .child = g};
    return CUDA_SUCCESS;
}

CUresult node_op(struct context *c, const CUgraphNodeParams *p, struct op *op)
{
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_MEMSET_NODE_PARAMS set;
    switch (p->type) {
    case CU_GRAPH_NODE_TYPE_KERNEL: return kernel_node_op(c, &p->kernel, op);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
        return copy_node_op(c, &p->memcpy.copyParams, p->memcpy.copyCtx, op);
    case CU_GRAPH_NODE_TYPE_MEMSET:
        memcpy(&set, &p->memset, sizeof set);
        return set_node_op(c, &set, p->memset.ctx, op);
    case CU_GRAPH_NODE_TYPE_HOST: return host_node_op(c, &p->host, op);
    case CU_GRAPH_NODE_TYPE_GRAPH: return child_node_op(c, p->graph.graph, op);
    case CU_GRAPH_NODE_TYPE_EMPTY:
        *op = (struct op){.kind = OP_EMPTY, .context = c, .context_handle = c->o.handle};
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT: return event_node_op(c, p->eventWait.event, OP_WAIT, op);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
        return event_node_op(c, p->eventRecord.event, OP_RECORD, op);
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
        return not_simulated("cuGraphAddNode", "nodes of this type are not simulated");
    }
    return CUDA_ERROR_INVALID_VALUE;
}

static void release(struct op *op)
{
    if (op->kind != OP_CHILD) /* a child's graph is the caller's */
        op_free(op);
}

/* ---- kernels ---- */

static CUDA_KERNEL_NODE_PARAMS widen(const CUDA_KERNEL_NODE_PARAMS_v1 *p)
{
    CUDA_KERNEL_NODE_PARAMS q = {0};
    memcpy(&q, p, sizeof *p);
    return q;
}

static CUresult add_kernel(struct context *c, CUgraphNode *node, CUgraph graph,
                           const CUgraphNode *on, size_t n, const CUDA_KERNEL_NODE_PARAMS *p)
{
    struct op op;
    CUresult r = kernel_node_op(c, p, &op);
    if (r)
        return r;
    r = add(node, graph, on, n, &op);
    op_free(&op);
    return r;
}

CUresult cuGraphAddKernelNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *on, size_t n,
                                 const CUDA_KERNEL_NODE_PARAMS *p)
{
    ENTER(NEED_CONTEXT);
    return add_kernel(call.context, node, graph, on, n, p);
}

CUresult cuGraphAddKernelNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *on, size_t n,
                              const CUDA_KERNEL_NODE_PARAMS_v1 *p)
{
    ENTER(NEED_CONTEXT);
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_KERNEL_NODE_PARAMS q = widen(p);
    return add_kernel(call.context, node, graph, on, n, &q);
}

static CUresult kernel_params(CUgraphNode handle, CUDA_KERNEL_NODE_PARAMS *p)
{
    struct node *n = object_get(KIND_NODE, handle);
    if (!n || !p || node_type(&n->op) != CU_GRAPH_NODE_TYPE_KERNEL)
        return CUDA_ERROR_INVALID_VALUE;
    if (n->op.kind == OP_CODE)
        return not_simulated("cuGraphKernelNodeGetParams",
                             "this node is a library's, without parameters");
    const struct op_kernel *k = &n->op.kernel;
    *p = (CUDA_KERNEL_NODE_PARAMS){
        .func = k->handle,
        .gridDimX = k->grid[0],
        .gridDimY = k->grid[1],
        .gridDimZ = k->grid[2],
        .blockDimX = k->block[0],
        .blockDimY = k->block[1],
        .blockDimZ = k->block[2],
        .sharedMemBytes = k->shared,
        .kernelParams = k->pointers,
        .ctx = n->op.context_handle,
    };
    return CUDA_SUCCESS;
}

CUresult cuGraphKernelNodeGetParams_v2(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS *p)
{
    ENTER(NEED_INIT);
    return kernel_params(node, p);
}

CUresult cuGraphKernelNodeGetParams(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS_v1 *p)
{
    ENTER(NEED_INIT);
    CUDA_KERNEL_NODE_PARAMS q;
    CUresult r = p ? kernel_params(node, &q) : CUDA_ERROR_INVALID_VALUE;
    if (!r)
        memcpy(p, &q, sizeof *p);
    return r;
}

/* The node's operation becomes `op`, which is used up. */
static CUresult exchange(struct node *n, struct op *op)
{
    if (!n) {
        release(op);
        return CUDA_ERROR_INVALID_VALUE;
    }
    op_free(&n->op);
    n->op = *op;
    return CUDA_SUCCESS;
}

CUresult cuGraphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *p)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = kernel_node_op(call.context, p, &op);
    return r ? r : exchange(node_get(node, OP_KERNEL), &op);
}

CUresult cuGraphKernelNodeSetParams(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1 *p)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_KERNEL_NODE_PARAMS q = widen(p);
    CUresult r = kernel_node_op(call.context, &q, &op);
    return r ? r : exchange(node_get(node, OP_KERNEL), &op);
}

/* Attributes are hints, of which none is kept; but for being cooperative, and the cluster. */
CUresult cuGraphKernelNodeSetAttribute(CUgraphNode node, CUlaunchAttributeID attribute,
                                       const CUlaunchAttributeValue *value)
{
    ENTER(NEED_INIT);
    struct node *n = node_get(node, OP_KERNEL);
    if (!n || !value)
        return CUDA_ERROR_INVALID_VALUE;
    struct op_kernel *k = &n->op.kernel;
    if (attribute == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) {
        uint32_t c[3] = {value->clusterDim.x, value->clusterDim.y, value->clusterDim.z};
        return c[0] && c[1] && c[2] ? launch_cluster(k->function, c, k)
                                    : CUDA_ERROR_INVALID_CLUSTER_SIZE;
    }
    if (attribute != CU_LAUNCH_ATTRIBUTE_COOPERATIVE)
        return CUDA_SUCCESS;
    CUresult r = value->cooperative ? cooperative_fits(k->function, k->grid, k->block, k->shared)
                                    : CUDA_SUCCESS;
    if (!r)
        k->cooperative = value->cooperative != 0;
    return r;
}

CUresult cuGraphKernelNodeGetAttribute(CUgraphNode node, CUlaunchAttributeID attribute,
                                       CUlaunchAttributeValue *value)
{
    ENTER(NEED_INIT);
    struct node *n = node_get(node, OP_KERNEL);
    if (!n || !value)
        return CUDA_ERROR_INVALID_VALUE;
    memset(value, 0, sizeof *value);
    if (attribute == CU_LAUNCH_ATTRIBUTE_COOPERATIVE)
        value->cooperative = n->op.kernel.cooperative;
    if (attribute == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) {
        value->clusterDim.x = n->op.kernel.cluster[0];
        value->clusterDim.y = n->op.kernel.cluster[1];
        value->clusterDim.z = n->op.kernel.cluster[2];
    }
    return CUDA_SUCCESS;
}

CUresult cuGraphKernelNodeCopyAttributes(CUgraphNode to, CUgraphNode from)
{
    ENTER(NEED_INIT);
    return node_get(to, OP_KERNEL) && node_get(from, OP_KERNEL) ? CUDA_SUCCESS
                                                                : CUDA_ERROR_INVALID_VALUE;
}

/* ---- copies and memsets ---- */

CUresult cuGraphAddMemcpyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *on, size_t n,
                              const CUDA_MEMCPY3D *p, CUcontext context)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = copy_node_op(call.context, p, context, &op);
    return r ? r : add(node, graph, on, n, &op);
}

CUresult cuGraphMemcpyNodeGetParams(CUgraphNode node, CUDA_MEMCPY3D *p)
{
    ENTER(NEED_INIT);
    struct node *n = node_get(node, OP_COPY);
    if (!n || !p)
        return CUDA_ERROR_INVALID_VALUE;
    *p = n->op.copy;
    return CUDA_SUCCESS;
}

CUresult cuGraphMemcpyNodeSetParams(CUgraphNode node, const CUDA_MEMCPY3D *p)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = copy_node_op(call.context, p, NULL, &op);
    return r ? r : exchange(node_get(node, OP_COPY), &op);
}

CUresult cuGraphAddMemsetNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *on, size_t n,
                              const CUDA_MEMSET_NODE_PARAMS *p, CUcontext context)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = set_node_op(call.context, p, context, &op);
    return r ? r : add(node, graph, on, n, &op);
}

CUresult cuGraphMemsetNodeGetParams(CUgraphNode node, CUDA_MEMSET_NODE_PARAMS *p)
{
    ENTER(NEED_INIT);
    struct node *n = node_get(node, OP_SET);
    if (!n || !p)
        return CUDA_ERROR_INVALID_VALUE;
    *p = n->op.set;
    return CUDA_SUCCESS;
}

CUresult cuGraphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS *p)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = set_node_op(call.context, p, NULL, &op);
    return r ? r : exchange(node_get(node, OP_SET), &op);
}

/* ---- host functions, events, empty nodes, children ---- */

CUresult cuGraphAddHostNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *on, size_t n,
                            const CUDA_HOST_NODE_PARAMS *p)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = host_node_op(call.context, p, &op);
    return r ? r : add(node, graph, on, n, &op);
}

CUresult cuGraphHostNodeGetParams(CUgraphNode node, CUDA_HOST_NODE_PARAMS *p)
{
    ENTER(NEED_INIT);
    struct node *n = node_get(node, OP_HOST);
    if (!n || !p)
        return CUDA_ERROR_INVALID_VALUE;
    p->fn = n->op.host.function;
    p->userData = n->op.host.data;
    return CUDA_SUCCESS;
}

CUresult cuGraphHostNodeSetParams(CUgraphNode node, const CUDA_HOST_NODE_PARAMS *p)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = host_node_op(call.context, p, &op);
    return r ? r : exchange(node_get(node, OP_HOST), &op);
}

CUresult cuGraphAddEmptyNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *on, size_t n)
{
    ENTER(NEED_CONTEXT);
    struct op op = {
        .kind = OP_EMPTY, .context = call.context, .context_handle = call.context->o.handle};
    return add(node, graph, on, n, &op);
}

CUresult cuGraphAddChildGraphNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *on, size_t n,
                                  CUgraph child)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = child_node_op(call.context, child, &op);
    return r ? r : add(node, graph, on, n, &op);
}

CUresult cuGraphChildGraphNodeGetGraph(CUgraphNode node, CUgraph *child)
{
    ENTER(NEED_INIT);
    struct node *n = node_get(node, OP_CHILD);
    if (!n || !child)
        return CUDA_ERROR_INVALID_VALUE;
    *child = n->op.child->o.handle;
    return CUDA_SUCCESS;
}

static CUresult add_event(struct context *c, CUgraphNode *node, CUgraph graph,
                          const CUgraphNode *on, size_t n, CUevent event, enum op_kind kind)
{
    struct op op;
    CUresult r = event_node_op(c, event, kind, &op);
    return r ? r : add(node, graph, on, n, &op);
}

CUresult cuGraphAddEventRecordNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *on,
                                   size_t n, CUevent event)
{
    ENTER(NEED_CONTEXT);
    return add_event(call.context, node, graph, on, n, event, OP_RECORD);
}

CUresult cuGraphAddEventWaitNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *on, size_t n,
                                 CUevent event)
{
    ENTER(NEED_CONTEXT);
    return add_event(call.context, node, graph, on, n, event, OP_WAIT);
}

static CUresult event_of(CUgraphNode node, CUevent *event, enum op_kind kind)
{
    struct node *n = node_get(node, kind);
    if (!n || !event)
        return CUDA_ERROR_INVALID_VALUE;
    *event = n->op.event;
    return CUDA_SUCCESS;
}

CUresult cuGraphEventRecordNodeGetEvent(CUgraphNode node, CUevent *event)
{
    ENTER(NEED_INIT);
    return event_of(node, event, OP_RECORD);
}

CUresult cuGraphEventWaitNodeGetEvent(CUgraphNode node, CUevent *event)
{
    ENTER(NEED_INIT);
    return event_of(node, event, OP_WAIT);
}

CUresult cuGraphEventRecordNodeSetEvent(CUgraphNode node, CUevent event)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = event_node_op(call.context, event, OP_RECORD, &op);
    return r ? r : exchange(node_get(node, OP_RECORD), &op);
}

CUresult cuGraphEventWaitNodeSetEvent(CUgraphNode node, CUevent event)
{
    ENTER(NEED_CONTEXT);
    struct op op;
    CUresult r = event_node_op(call.context, event, OP_WAIT, &op);
    return r ? r : exchange(node_get(node, OP_WAIT), &op);
}

/* ---- nodes of any type ---- */

static CUresult add_any(struct context *c, CUgraphNode *node, CUgraph graph, const CUgraphNode *on,
                        size_t n, const CUgraphNodeParams *p)
{
    struct op op;
    CUresult r = node_op(c, p, &op);
    if (r)
        return r;
    r = add(node, graph, on, n, &op);
    release(&op);
    return r;
}

CUresult cuGraphAddNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *on, size_t n,
                        CUgraphNodeParams *p)
{
    ENTER(NEED_CONTEXT);
    return add_any(call.context, node, graph, on, n, p);
}

CUresult cuGraphAddNode_v2(CUgraphNode *node, CUgraph graph, const CUgraphNode *on,
                           const CUgraphEdgeData *edges, size_t n, CUgraphNodeParams *p)
{
    ENTER(NEED_CONTEXT);
    (void)edges;
    return add_any(call.context, node, graph, on, n, p);
}

CUresult cuGraphNodeSetParams(CUgraphNode node, CUgraphNodeParams *p)
{
    ENTER(NEED_CONTEXT);
    struct node *n = object_get(KIND_NODE, node);
    struct op op, copy;
    if (!n || !p || p->type != node_type(&n->op))
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = node_op(call.context, p, &op);
    if (r)
        return r;
    r = op_copy(&copy, &op);
    release(&op);
    return r ? r : exchange(n, &copy);
}
