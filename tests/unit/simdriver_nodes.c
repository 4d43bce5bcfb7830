/* The software GPU's driver: parameters of graph nodes of every type, in the graph and in what
 * runs; edges; captures that are looked at and changed. */
#include "simdriver.h"

enum { COUNT = 64 };
static CUcontext context;
static CUdeviceptr a, b, out;
static CUfunction add;
static int calls;

static void count(void *data) { calls += *(int *)data; }

static int word(CUdeviceptr at)
{
    int v = -1;
    ok(cuMemcpyDtoH_v2(&v, at, sizeof v));
    return v;
}

static float number(CUdeviceptr at)
{
    float v = -1;
    ok(cuMemcpyDtoH_v2(&v, at, sizeof v));
    return v;
}

static void launch(CUgraph g)
{
    CUgraphExec x;
    ok(cuGraphInstantiateWithFlags(&x, g, 0));
    ok(cuGraphLaunch(x, NULL));
    ok(cuGraphExecDestroy(x));
}

static void kernels(void)
{
    int n = COUNT, none = 0;
    void *params[] = {&a, &b, &out, &n}, *doubled[] = {&a, &a, &out, &n},
         *nothing[] = {&a, &b, &out, &none};
    CUDA_KERNEL_NODE_PARAMS_v1 p = {.func = add,
                                    .gridDimX = 1,
                                    .gridDimY = 1,
                                    .gridDimZ = 1,
                                    .blockDimX = COUNT,
                                    .blockDimY = 1,
                                    .blockDimZ = 1,
                                    .kernelParams = params},
                               got;
    CUDA_KERNEL_NODE_PARAMS q = {0};
    CUlaunchAttributeValue v = {.cooperative = 1};
    CUgraph g;
    CUgraphNode node, second;
    CUgraphExec x;
    cuuint64_t flags;
    ok(cuGraphCreate(&g, 0));
    ok(cuGraphAddKernelNode(&node, g, NULL, 0, &p));
    gives(cuGraphAddKernelNode(&second, g, NULL, 0, NULL), INVALID);
    launch(g);
    test(number(out + 4) == 3);
    ok(cuGraphKernelNodeGetParams(node, &got));
    test(got.func == add && got.blockDimX == COUNT);
    gives(cuGraphKernelNodeGetParams(node, NULL), INVALID);
    p.kernelParams = doubled;
    ok(cuGraphKernelNodeSetParams(node, &p));
    launch(g);
    test(number(out + 4) == 2);
    p.blockDimX = 2000;
    gives(cuGraphKernelNodeSetParams(node, &p), INVALID);
    p.blockDimX = COUNT;
    p.kernelParams = params;
    memcpy(&q, &p, sizeof p);
    q.ctx = context;
    ok(cuGraphKernelNodeSetParams_v2(node, &q));
    ok(cuGraphInstantiateWithFlags(&x, g, CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH));
    gives(cuGraphInstantiateWithFlags(&x, g, CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH),
          CUDA_ERROR_NOT_SUPPORTED);
    gives(cuGraphInstantiateWithFlags(&x, g, 64), INVALID);
    ok(cuGraphExecGetFlags(x, &flags));
    test(flags == CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH);
    ok(cuGraphUpload(x, NULL));
    gives(cuGraphUpload((CUgraphExec)g, NULL), INVALID);
    p.kernelParams = nothing;
    ok(cuGraphExecKernelNodeSetParams(x, node, &p));
    ok(cuMemsetD32_v2(out, 0, COUNT));
    ok(cuGraphLaunch(x, NULL));
    test(number(out + 4) == 0);
    gives(cuGraphExecKernelNodeSetParams(x, (CUgraphNode)g, &p), INVALID);
    ok(cuGraphExecDestroy(x));
    ok(cuGraphAddKernelNode_v2(&second, g, &node, 1, &q));
    ok(cuGraphKernelNodeCopyAttributes(second, node));
    gives(cuGraphKernelNodeCopyAttributes(second, (CUgraphNode)g), INVALID);
    ok(cuGraphKernelNodeSetAttribute(node, CU_LAUNCH_ATTRIBUTE_PRIORITY, &v));
    ok(cuGraphKernelNodeSetAttribute(node, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &v));
    v.cooperative = 0;
    ok(cuGraphKernelNodeGetAttribute(node, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &v));
    test(v.cooperative == 1);
    ok(cuGraphKernelNodeGetAttribute(node, CU_LAUNCH_ATTRIBUTE_PRIORITY, &v));
    gives(cuGraphKernelNodeGetAttribute(node, CU_LAUNCH_ATTRIBUTE_PRIORITY, NULL), INVALID);
    ok(cuGraphDestroy(g));
}

static void copies_and_hosts(void)
{
    CUgraph g;
    CUgraphNode copy, set, host;
    CUgraphExec x;
    int one = 1, ten = 10;
    CUDA_MEMCPY3D c = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                       .srcDevice = a,
                       .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                       .dstDevice = out,
                       .WidthInBytes = 4,
                       .Height = 1,
                       .Depth = 1},
                  got;
    CUDA_MEMSET_NODE_PARAMS s = {.dst = out + 4,
                                 .value = 5,
                                 .elementSize = 4,
                                 .width = 1,
                                 .height = 1},
                            was;
    CUDA_HOST_NODE_PARAMS h = {count, &one}, had;
    CUDA_GRAPH_INSTANTIATE_PARAMS how = {0};
    ok(cuGraphCreate(&g, 0));
    ok(cuGraphAddMemcpyNode(&copy, g, NULL, 0, &c, context));
    ok(cuGraphAddMemsetNode(&set, g, NULL, 0, &s, context));
    ok(cuGraphAddHostNode(&host, g, NULL, 0, &h));
    ok(cuGraphMemcpyNodeGetParams(copy, &got));
    test(got.srcDevice == a && got.WidthInBytes == 4);
    ok(cuGraphMemsetNodeGetParams(set, &was));
    test(was.value == 5);
    ok(cuGraphHostNodeGetParams(host, &had));
    test(had.fn == count && had.userData == &one);
    gives(cuGraphMemcpyNodeGetParams(set, &got), INVALID);
    gives(cuGraphMemsetNodeGetParams(copy, &was), INVALID);
    gives(cuGraphHostNodeGetParams(copy, &had), INVALID);
    c.srcDevice = a + 8;
    h.userData = &ten;
    ok(cuGraphMemcpyNodeSetParams(copy, &c));
    ok(cuGraphHostNodeSetParams(host, &h));
    gives(cuGraphMemcpyNodeSetParams(set, &c), INVALID);
    gives(cuGraphHostNodeSetParams(set, &h), INVALID);
    ok(cuGraphInstantiateWithParams(&x, g, &how));
    test(how.result_out == CUDA_GRAPH_INSTANTIATE_SUCCESS);
    gives(cuGraphInstantiateWithParams(&x, g, NULL), INVALID);
    calls = 0;
    ok(cuGraphLaunch(x, NULL));
    test(number(out) == 2 && word(out + 4) == 5 && calls == 10);
    c.srcDevice = a + 12;
    h.userData = &one;
    ok(cuGraphExecMemcpyNodeSetParams(x, copy, &c, context));
    ok(cuGraphExecHostNodeSetParams(x, host, &h));
    gives(cuGraphExecMemcpyNodeSetParams(x, host, &c, context), INVALID);
    gives(cuGraphExecHostNodeSetParams(x, copy, &h), INVALID);
    ok(cuGraphLaunch(x, NULL));
    test(number(out) == 3 && calls == 11);
    ok(cuGraphExecDestroy(x));
    ok(cuGraphInstantiate_v2(&x, g, NULL, NULL, 0));
    ok(cuGraphExecDestroy(x));
    ok(cuGraphInstantiate(&x, g, NULL, NULL, 0));
    ok(cuGraphExecDestroy(x));
    ok(cuGraphDestroy(g));
}

static void events(void)
{
    CUgraph g;
    CUgraphNode record, wait;
    CUgraphExec x;
    CUevent e, f, got;
    float ms = -1;
    ok(cuEventCreate(&e, 0));
    ok(cuEventCreate(&f, 0));
    ok(cuGraphCreate(&g, 0));
    ok(cuGraphAddEventRecordNode(&record, g, NULL, 0, e));
    ok(cuGraphAddEventWaitNode(&wait, g, &record, 1, e));
    gives(cuGraphAddEventRecordNode(&record, g, NULL, 0, (CUevent)g), INVALID);
    gives(cuGraphAddEventWaitNode(&wait, g, NULL, 0, NULL), INVALID);
    ok(cuGraphEventRecordNodeGetEvent(record, &got));
    test(got == e);
    ok(cuGraphEventWaitNodeGetEvent(wait, &got));
    test(got == e);
    gives(cuGraphEventRecordNodeGetEvent(wait, &got), INVALID);
    gives(cuGraphEventWaitNodeGetEvent(record, &got), INVALID);
    ok(cuGraphEventWaitNodeSetEvent(wait, f));
    ok(cuGraphEventRecordNodeSetEvent(record, f));
    gives(cuGraphEventRecordNodeSetEvent(record, NULL), INVALID);
    gives(cuGraphEventWaitNodeSetEvent(record, f), INVALID);
    ok(cuEventRecord(e, NULL));
    gives(cuEventElapsedTime_v2(&ms, e, f), BAD_HANDLE);
    ok(cuGraphInstantiateWithFlags(&x, g, 0));
    ok(cuGraphLaunch(x, NULL));
    ok(cuEventElapsedTime_v2(&ms, e, f)); /* the graph recorded it */
    test(ms >= 0);
    ok(cuGraphExecEventRecordNodeSetEvent(x, record, e));
    ok(cuGraphExecEventWaitNodeSetEvent(x, wait, e));
    gives(cuGraphExecEventRecordNodeSetEvent(x, wait, e), INVALID);
    gives(cuGraphExecEventWaitNodeSetEvent(x, record, e), INVALID);
    ok(cuEventDestroy_v2(e));
    gives(cuGraphLaunch(x, NULL), BAD_HANDLE); /* what it records is gone */
    ok(cuGraphExecDestroy(x));
    ok(cuGraphDestroy(g));
    ok(cuEventDestroy_v2(f));
}

static CUgraph one_set(int value)
{
    CUgraph g;
    CUgraphNode n;
    CUDA_MEMSET_NODE_PARAMS p = {
        .dst = out, .value = (unsigned)value, .elementSize = 4, .width = 1, .height = 1};
    ok(cuGraphCreate(&g, 0));
    ok(cuGraphAddMemsetNode(&n, g, NULL, 0, &p, context));
    return g;
}

static void children(void)
{
    CUgraph g, one = one_set(1), two = one_set(2), inner, big = one_set(3);
    CUgraphNode child, more;
    CUgraphExec x;
    CUgraphExecUpdateResult result;
    size_t n = 0;
    ok(cuGraphCreate(&g, 0));
    ok(cuGraphAddChildGraphNode(&child, g, NULL, 0, one));
    gives(cuGraphAddChildGraphNode(&child, g, NULL, 0, (CUgraph)&n), INVALID);
    ok(cuGraphChildGraphNodeGetGraph(child, &inner));
    test(inner != one);
    gives(cuGraphDestroy(inner), INVALID); /* the node's */
    ok(cuGraphGetNodes(inner, NULL, &n));
    test(n == 1);
    ok(cuGraphInstantiateWithFlags(&x, g, 0));
    ok(cuGraphLaunch(x, NULL));
    test(word(out) == 1);
    ok(cuGraphExecChildGraphNodeSetParams(x, child, two));
    ok(cuGraphLaunch(x, NULL));
    test(word(out) == 2);
    ok(cuGraphAddEmptyNode(&more, big, NULL, 0));
    gives(cuGraphExecChildGraphNodeSetParams(x, child, big), INVALID); /* another shape */
    gives(cuGraphExecUpdate(x, big, NULL, &result), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    test(result == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
    ok(cuGraphExecUpdate(x, g, NULL, &result));
    ok(cuGraphLaunch(x, NULL));
    test(word(out) == 1);
    ok(cuGraphExecDestroy(x));
    ok(cuGraphDestroy(g));
    ok(cuGraphDestroy(one));
    ok(cuGraphDestroy(two));
    ok(cuGraphDestroy(big));
}

static void any_type(void)
{
    CUgraph g;
    CUgraphNode set, empty;
    CUgraphExec x;
    CUgraphNodeParams p = {.type = CU_GRAPH_NODE_TYPE_MEMSET},
                      e = {.type = CU_GRAPH_NODE_TYPE_EMPTY},
                      no = {.type = CU_GRAPH_NODE_TYPE_CONDITIONAL};
    p.memset = (CUDA_MEMSET_NODE_PARAMS_v2){
        .dst = out, .value = 21, .elementSize = 4, .width = 1, .height = 1, .ctx = context};
    ok(cuGraphCreate(&g, 0));
    ok(cuGraphAddNode(&empty, g, NULL, 0, &e));
    ok(cuGraphAddNode_v2(&set, g, &empty, NULL, 1, &p));
    gives(cuGraphAddNode(&empty, g, NULL, 0, &no), CUDA_ERROR_NOT_SUPPORTED);
    gives(cuGraphAddNode_v2(&empty, g, NULL, NULL, 0, NULL), INVALID);
    ok(cuGraphInstantiateWithFlags(&x, g, 0));
    p.memset.value = 22;
    ok(cuGraphNodeSetParams(set, &p));
    gives(cuGraphNodeSetParams(set, &e), INVALID);
    ok(cuGraphLaunch(x, NULL));
    test(word(out) == 21);
    p.memset.value = 23;
    ok(cuGraphExecNodeSetParams(x, set, &p));
    gives(cuGraphExecNodeSetParams(x, set, &e), INVALID);
    ok(cuGraphLaunch(x, NULL));
    test(word(out) == 23);
    launch(g);
    test(word(out) == 22);
    ok(cuGraphExecDestroy(x));
    ok(cuGraphDestroy(g));
}

static void edges(void)
{
    CUgraph g;
    CUgraphNode n[3], from[4], to[4];
    CUgraphEdgeData data[4];
    size_t count_of = 4;
    ok(cuGraphCreate(&g, 0));
    for (int i = 0; i < 3; i++)
        ok(cuGraphAddEmptyNode(&n[i], g, NULL, 0));
    ok(cuGraphAddDependencies_v2(g, n, n + 1, NULL, 2)); /* a chain */
    ok(cuGraphGetEdges_v2(g, from, to, data, &count_of));
    test(count_of == 2 && from[0] == n[0] && to[1] == n[2] && !from[2]);
    count_of = 4;
    ok(cuGraphNodeGetDependencies(n[1], from, &count_of));
    test(count_of == 1 && from[0] == n[0]);
    count_of = 4;
    ok(cuGraphNodeGetDependencies_v2(n[0], from, data, &count_of));
    test(count_of == 0);
    count_of = 4;
    ok(cuGraphNodeGetDependentNodes(n[1], to, &count_of));
    test(count_of == 1 && to[0] == n[2]);
    count_of = 4;
    ok(cuGraphNodeGetDependentNodes_v2(n[2], to, data, &count_of));
    test(count_of == 0);
    ok(cuGraphRemoveDependencies_v2(g, n, n + 1, NULL, 1));
    gives(cuGraphRemoveDependencies_v2(g, n, n + 1, NULL, 1), INVALID);
    gives(cuGraphAddDependencies_v2(g, n, n, NULL, 1), INVALID); /* on itself */
    gives(cuGraphNodeGetDependencies((CUgraphNode)g, from, &count_of), INVALID);
    gives(cuGraphNodeGetDependentNodes(n[0], to, NULL), INVALID);
    gives(cuGraphGetEdges_v2(g, from, NULL, data, &count_of), INVALID);
    ok(cuGraphDestroy(g));
}

static void captures(void)
{
    CUstream s;
    CUgraph g, given, shown;
    CUgraphNode node, list[8];
    const CUgraphNode *on;
    const CUgraphEdgeData *data;
    CUstreamCaptureStatus status;
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    cuuint64_t id = 0, again = 0;
    size_t n = 0;
    CUdeviceptr at;
    ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    ok(cuStreamGetCaptureInfo(s, &status, &id));
    test(status == CU_STREAM_CAPTURE_STATUS_NONE);
    ok(cuGraphCreate(&given, 0));
    ok(cuGraphAddEmptyNode(&node, given, NULL, 0));
    ok(cuStreamBeginCaptureToGraph(s, given, &node, NULL, 1, CU_STREAM_CAPTURE_MODE_GLOBAL));
    ok(cuMemsetD32Async(out, 31, 1, s));
    ok(cuStreamGetCaptureInfo(s, &status, &id));
    ok(cuStreamGetCaptureInfo_v2(s, &status, &again, &shown, &on, &n));
    test(status == CU_STREAM_CAPTURE_STATUS_ACTIVE && id == again && shown == given && n == 1);
    ok(cuStreamUpdateCaptureDependencies(s, &node, 1, CU_STREAM_ADD_CAPTURE_DEPENDENCIES));
    ok(cuStreamGetCaptureInfo_v3(s, &status, &id, NULL, &on, &data, &n));
    test(n == 2 && !data);
    ok(cuStreamUpdateCaptureDependencies_v2(s, list, NULL, 0, CU_STREAM_SET_CAPTURE_DEPENDENCIES));
    ok(cuStreamGetCaptureInfo_v3(s, &status, NULL, NULL, NULL, NULL, &n));
    test(n == 0);
    gives(cuStreamUpdateCaptureDependencies(s, (CUgraphNode *)&given, 1, 0), INVALID);
    gives(cuGraphDestroy(given), INVALID); /* being captured into */
    gives(cuGraphDestroyNode(node), INVALID);
    ok(cuStreamEndCapture(s, &g));
    test(g == given);
    n = 8;
    ok(cuGraphGetNodes(g, list, &n));
    test(n == 2);
    launch(g);
    test(word(out) == 31);
    ok(cuGraphDestroy(g));
    gives(cuStreamUpdateCaptureDependencies(s, &node, 1, 0), CUDA_ERROR_ILLEGAL_STATE);
    gives(cuStreamBeginCaptureToGraph(s, given, NULL, NULL, 0, CU_STREAM_CAPTURE_MODE_GLOBAL),
          INVALID);

    ok(cuStreamBeginCapture(
        s)); /* global: this thread may not allocate, unless it says that it knows better */
    ok(cuThreadExchangeStreamCaptureMode(&mode));
    test(mode == CU_STREAM_CAPTURE_MODE_GLOBAL);
    ok(cuMemAlloc_v2(&at, 16));
    ok(cuMemFree_v2(at));
    ok(cuThreadExchangeStreamCaptureMode(&mode));
    gives(cuMemAlloc_v2(&at, 16), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    gives(cuStreamEndCapture(s, &g), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    mode = (CUstreamCaptureMode)9;
    gives(cuThreadExchangeStreamCaptureMode(&mode), INVALID);
    gives(cuThreadExchangeStreamCaptureMode(NULL), INVALID);
    ok(cuStreamDestroy_v2(s));
}

/* A graph's launch that is captured becomes a node; external events become nodes too. */
static void captured_launches(void)
{
    CUstream s;
    CUgraph g, inner = one_set(41);
    CUgraphExec x;
    CUgraphNode list[4];
    CUgraphNodeType type;
    CUevent e;
    size_t n = 4;
    ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    ok(cuEventCreate(&e, 0));
    ok(cuGraphInstantiateWithFlags(&x, inner, 0));
    ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
    ok(cuGraphLaunch(x, s));
    ok(cuEventRecordWithFlags(e, s, CU_EVENT_RECORD_EXTERNAL));
    ok(cuStreamWaitEvent(s, e, CU_EVENT_WAIT_EXTERNAL));
    ok(cuStreamEndCapture(s, &g));
    ok(cuGraphExecDestroy(x));
    ok(cuGraphDestroy(inner));
    ok(cuGraphGetNodes(g, list, &n));
    test(n == 3);
    ok(cuGraphNodeGetType(list[0], &type));
    test(type == CU_GRAPH_NODE_TYPE_GRAPH);
    ok(cuGraphNodeGetType(list[1], &type));
    test(type == CU_GRAPH_NODE_TYPE_EVENT_RECORD);
    ok(cuMemsetD32_v2(out, 0, 1));
    launch(g);
    test(word(out) == 41);
    ok(cuEventQuery(e));
    ok(cuGraphDestroy(g));
    ok(cuStreamDestroy_v2(s));
    ok(cuEventDestroy_v2(e));
}

/* What a graph needs may go before it runs. */
static void gone(void)
{
    CUmodule m;
    CUfunction f;
    CUgraph g;
    CUgraphNode node;
    CUgraphExec x;
    int n = COUNT;
    void *params[] = {&a, &b, &out, &n};
    ok(cuModuleLoadData(&m, ptx_add));
    ok(cuModuleGetFunction(&f, m, "add"));
    CUDA_KERNEL_NODE_PARAMS p = {.func = f,
                                 .gridDimX = 1,
                                 .gridDimY = 1,
                                 .gridDimZ = 1,
                                 .blockDimX = COUNT,
                                 .blockDimY = 1,
                                 .blockDimZ = 1,
                                 .kernelParams = params};
    ok(cuGraphCreate(&g, 0));
    ok(cuGraphAddKernelNode_v2(&node, g, NULL, 0, &p));
    ok(cuGraphInstantiateWithFlags(&x, g, 0));
    ok(cuModuleUnload(m));
    gives(cuGraphLaunch(x, NULL), BAD_HANDLE);
    ok(cuGraphExecDestroy(x));
    ok(cuGraphDestroy(g));
}

int main(void)
{
    float one[COUNT], two[COUNT];
    CUmodule m;
    for (int i = 0; i < COUNT; i++) {
        one[i] = (float)i;
        two[i] = (float)(2 * i);
    }
    context = context_here();
    ok(cuMemAlloc_v2(&a, sizeof one));
    ok(cuMemAlloc_v2(&b, sizeof two));
    ok(cuMemAlloc_v2(&out, sizeof one));
    ok(cuMemcpyHtoD_v2(a, one, sizeof one));
    ok(cuMemcpyHtoD_v2(b, two, sizeof two));
    ok(cuModuleLoadData(&m, ptx_add));
    ok(cuModuleGetFunction(&add, m, "add"));
    kernels();
    copies_and_hosts();
    events();
    children();
    any_type();
    edges();
    captures();
    captured_launches();
    gone();
    ok(cuCtxDestroy_v2(context));
    return test_done();
}
