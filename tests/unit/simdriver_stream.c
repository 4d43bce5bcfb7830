/* The software GPU's driver: streams, events, host functions, capture, graphs node by node,
 * updates. */
#include "simdriver.h"
#include <unistd.h>

static CUdeviceptr memory, other;
static int calls;

static void count(void *data)
{
    CUdeviceptr at;
    calls += *(int *)data;
    gives(cuMemAlloc_v2(&at, 4), CUDA_ERROR_NOT_PERMITTED); /* not from within a host function */
}

static void count_too(CUstream s, CUresult r, void *data)
{
    (void)s;
    calls += *(int *)data + (int)r;
}

static int first(CUdeviceptr at)
{
    int v = -1;
    ok(cuMemcpyDtoH_v2(&v, at, sizeof v));
    return v;
}

static void streams(void)
{
    CUstream s, t;
    CUcontext c, now;
    CUevent e;
    unsigned flags;
    int n, one = 1;
    unsigned long long id, id_t;
    ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    ok(cuStreamCreateWithPriority(&t, 0, -99));
    gives(cuStreamCreate(&s, 5), INVALID);
    gives(cuStreamCreate(NULL, 0), INVALID);
    ok(cuStreamGetPriority(t, &n));
    test(n == -5);
    ok(cuStreamGetFlags(s, &flags));
    test(flags == CU_STREAM_NON_BLOCKING);
    ok(cuStreamGetCtx(s, &c));
    ok(cuCtxGetCurrent(&now));
    test(c == now);
    ok(cuStreamGetId(s, &id));
    ok(cuStreamGetId(t, &id_t));
    test(id != id_t);
    ok(cuStreamGetId(CU_STREAM_PER_THREAD, &id));
    ok(cuStreamQuery(s));
    ok(cuStreamSynchronize(NULL));
    ok(cuStreamSynchronize(CU_STREAM_PER_THREAD));
    gives(cuStreamSynchronize((CUstream)&s), BAD_HANDLE);
    gives(cuMemsetD32Async(memory, 1, 4, (CUstream)&s), BAD_HANDLE);
    calls = 0;
    ok(cuLaunchHostFunc(s, count, &one));
    ok(cuStreamAddCallback(s, count_too, &one, 0));
    test(calls == 2);
    gives(cuLaunchHostFunc(s, NULL, &one), INVALID);
    gives(cuStreamAddCallback(s, count_too, &one, 1), INVALID);
    ok(cuEventCreate(&e, 0));
    ok(cuStreamWaitEvent(t, e, 0)); /* never recorded: nothing to wait for */
    gives(cuStreamWaitEvent(t, e, 7), INVALID);
    gives(cuStreamWaitEvent(t, (CUevent)s, 0), BAD_HANDLE);
    ok(cuEventDestroy_v2(e));
    ok(cuStreamDestroy_v2(s));
    ok(cuStreamDestroy_v2(t));
    gives(cuStreamDestroy_v2(t), BAD_HANDLE);
    gives(cuStreamDestroy_v2(NULL), BAD_HANDLE);
}

static void events(void)
{
    CUevent a, b, untimed;
    float ms = -1;
    ok(cuEventCreate(&a, CU_EVENT_BLOCKING_SYNC));
    ok(cuEventCreate(&b, 0));
    ok(cuEventCreate(&untimed, CU_EVENT_DISABLE_TIMING));
    gives(cuEventCreate(&a, 64), INVALID);
    gives(cuEventElapsedTime(&ms, a, b), BAD_HANDLE); /* not recorded */
    ok(cuEventRecord(a, NULL));
    ok(cuMemsetD32_v2(memory, 3, 1000));
    ok(cuEventRecord(b, NULL));
    ok(cuEventRecord(untimed, NULL));
    ok(cuEventSynchronize(b));
    ok(cuEventQuery(b));
    ok(cuEventElapsedTime(&ms, a, b));
    test(ms > 0 && ms < 10000);
    gives(cuEventElapsedTime(&ms, a, untimed), BAD_HANDLE);
    gives(cuEventElapsedTime(NULL, a, b), INVALID);
    gives(cuEventRecord((CUevent)&a, NULL), BAD_HANDLE);
    gives(cuEventRecord(a, (CUstream)&a), BAD_HANDLE);
    ok(cuEventDestroy_v2(a));
    gives(cuEventQuery(a), BAD_HANDLE);
    ok(cuEventDestroy_v2(b));
    ok(cuEventDestroy_v2(untimed));
}

static void through_two_contexts(CUstream s, CUevent fork)
{
    CUcontext two;
    CUstream t;
    CUgraph g;
    ok(cuCtxCreate_v2(&two, 0, 0));
    ok(cuStreamCreate(&t, CU_STREAM_NON_BLOCKING));
    ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_RELAXED));
    ok(cuEventRecord(fork, s));
    gives(cuStreamWaitEvent(t, fork, 0), CUDA_ERROR_NOT_SUPPORTED);
    gives(cuStreamEndCapture(s, &g), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    ok(cuCtxDestroy_v2(two));
}

/* Two streams: fork by an event, join by another. */
static void capture(void)
{
    CUstream s, t;
    CUevent fork, join;
    CUgraph g = NULL;
    CUgraphExec x;
    CUstreamCaptureStatus status;
    size_t n = 0;
    CUdeviceptr unsafe;
    ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    ok(cuStreamCreate(&t, CU_STREAM_NON_BLOCKING));
    ok(cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING));
    ok(cuEventCreate(&join, CU_EVENT_DISABLE_TIMING));
    ok(cuMemsetD32_v2(memory, 1, 16));
    ok(cuMemsetD32_v2(other, 2, 16));
    gives(cuStreamEndCapture(s, &g), CUDA_ERROR_ILLEGAL_STATE);
    gives(cuStreamBeginCapture_v2(NULL, CU_STREAM_CAPTURE_MODE_GLOBAL),
          CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    gives(cuStreamBeginCapture_v2(s, (CUstreamCaptureMode)9), INVALID);
    ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
    gives(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_ERROR_ILLEGAL_STATE);
    ok(cuStreamIsCapturing(s, &status));
    test(status == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    ok(cuMemsetD32Async(memory, 5, 16, s));
    ok(cuEventRecord(fork, s));
    ok(cuStreamWaitEvent(t, fork, 0));
    ok(cuMemcpyDtoDAsync_v2(other, memory, 64, t));
    ok(cuEventRecord(join, t));
    gives(cuEventQuery(join), CUDA_ERROR_CAPTURED_EVENT);
    ok(cuStreamWaitEvent(s, join, 0));
    ok(cuMemsetD32Async(memory, 6, 16, s));
    ok(cuStreamEndCapture(s, &g));
    test(g != NULL);
    test(first(memory) == 1 && first(other) == 2); /* nothing ran */
    ok(cuGraphGetNodes(g, NULL, &n));
    test(n == 3);
    ok(cuGraphInstantiateWithFlags(&x, g, 0));
    ok(cuGraphLaunch(x, s));
    test(first(memory) == 6 && first(other) == 5);
    ok(cuGraphDestroy(g));
    ok(cuMemsetD32_v2(memory, 1, 16));
    ok(cuGraphLaunch(x, NULL));
    test(first(memory) == 6);
    ok(cuGraphExecDestroy(x));
    gives(cuGraphLaunch(x, s), INVALID);

    ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL)); /* what must not be called */
    gives(cuMemAlloc_v2(&unsafe, 4), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    gives(cuMemsetD32Async(memory, 5, 16, s), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    gives(cuStreamEndCapture(s, &g), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    test(g == NULL);
    ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_RELAXED));
    ok(cuMemAlloc_v2(&unsafe, 4));
    ok(cuMemFree_v2(unsafe));
    gives(cuStreamSynchronize(s), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    gives(cuStreamEndCapture(s, &g), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_RELAXED)); /* not joined */
    ok(cuEventRecord(fork, s));
    ok(cuStreamWaitEvent(t, fork, 0));
    ok(cuMemsetD32Async(memory, 5, 16, t));
    gives(cuStreamEndCapture(t, &g), CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    gives(cuStreamEndCapture(s, &g), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_RELAXED));
    ok(cuEventRecord(fork, s));
    ok(cuStreamWaitEvent(t, fork, 0));
    ok(cuMemsetD32Async(memory, 5, 16, t));
    gives(cuStreamEndCapture(s, &g), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);

    ok(cuEventRecord(join, NULL)); /* an event from outside */
    ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_RELAXED));
    gives(cuStreamWaitEvent(s, join, 0), CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    gives(cuStreamEndCapture(s, &g), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_RELAXED)); /* two captures do not merge */
    ok(cuStreamBeginCapture_v2(t, CU_STREAM_CAPTURE_MODE_RELAXED));
    ok(cuEventRecord(fork, s));
    gives(cuStreamWaitEvent(t, fork, 0), CUDA_ERROR_STREAM_CAPTURE_MERGE);
    gives(cuStreamEndCapture(s, &g), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    gives(cuStreamEndCapture(t, &g), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    ok(cuStreamDestroy_v2(t));
    through_two_contexts(s, fork);
    /* a blocking one: the legacy stream would wait for it */
    ok(cuStreamCreate(&t, CU_STREAM_DEFAULT));
    ok(cuStreamBeginCapture_v2(t, CU_STREAM_CAPTURE_MODE_RELAXED));
    gives(cuMemsetD32Async(memory, 1, 1, NULL), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    ok(cuStreamDestroy_v2(t)); /* ends its capture */
    ok(cuMemsetD32Async(memory, 1, 1, NULL));
    ok(cuStreamDestroy_v2(s));
    ok(cuEventDestroy_v2(fork));
    ok(cuEventDestroy_v2(join));
}

static void drawn(CUgraph g)
{
    char path[] = "/tmp/simdriverXXXXXX", text[1000] = "";
    int fd = mkstemp(path);
    ok(cuGraphDebugDotPrint(g, path, 0));
    test(read(fd, text, sizeof text - 1) > 0);
    test(strstr(text, "n1 [label=\"memcpy\\n64 x 1 x 1 bytes\"];") != NULL);
    test(strstr(text, "n0 -> n1;") && strstr(text, "n3 -> n0;"));
    gives(cuGraphDebugDotPrint(g, "/nonexistent/x", 0), CUDA_ERROR_OPERATING_SYSTEM);
    gives(cuGraphDebugDotPrint((CUgraph)&g, path, 0), INVALID);
    close(fd);
    unlink(path);
}

static void graphs(void)
{
    CUgraph g, child, clone;
    CUgraphNode set, copy, host, empty, inner, found, list[8];
    CUgraphExec x;
    CUgraphNodeType type;
    CUcontext c;
    int one = 1;
    size_t n = 8;
    unsigned on;
    ok(cuCtxGetCurrent(&c));
    CUDA_MEMSET_NODE_PARAMS sp = {
        .dst = memory, .value = 9, .elementSize = 4, .width = 16, .height = 1};
    CUDA_MEMCPY3D cp = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                        .srcDevice = memory,
                        .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                        .dstDevice = other,
                        .WidthInBytes = 64,
                        .Height = 1,
                        .Depth = 1};
    CUDA_HOST_NODE_PARAMS hp = {count, &one};
    ok(cuGraphCreate(&g, 0));
    gives(cuGraphCreate(&g, 1), INVALID);
    ok(cuGraphAddMemsetNode(&set, g, NULL, 0, &sp, c));
    ok(cuGraphAddMemcpyNode(&copy, g, &set, 1, &cp, c));
    ok(cuGraphAddHostNode(&host, g, &copy, 1, &hp));
    ok(cuGraphAddEmptyNode(&empty, g, NULL, 0));
    ok(cuGraphAddDependencies(g, &empty, &set, 1));
    gives(cuGraphAddDependencies(g, &empty, &set, 1), INVALID);
    gives(cuGraphAddMemsetNode(&set, g, (CUgraphNode *)&c, 1, &sp, c), INVALID);
    gives(cuGraphAddHostNode(&host, (CUgraph)&g, NULL, 0, &hp), INVALID);
    sp.elementSize = 3;
    gives(cuGraphAddMemsetNode(&found, g, NULL, 0, &sp, c), INVALID);
    sp.elementSize = 4;
    ok(cuGraphNodeGetType(copy, &type));
    test(type == CU_GRAPH_NODE_TYPE_MEMCPY);
    ok(cuGraphGetNodes(g, list, &n));
    test(n == 4 && list[0] == set);
    ok(cuGraphGetRootNodes(g, NULL, &n));
    test(n == 1);
    ok(cuGraphGetEdges(g, NULL, NULL, &n));
    test(n == 3);
    ok(cuGraphClone(&clone, g));
    ok(cuGraphNodeFindInClone(&found, copy, clone));
    test(found != copy);
    gives(cuGraphNodeFindInClone(&found, copy, g), INVALID);
    drawn(g);
    ok(cuGraphInstantiateWithFlags(&x, g, 0));
    calls = 0;
    ok(cuGraphLaunch(x, NULL));
    test(first(other) == 9 && calls == 1);
    sp.value = 11; /* parameters are copied: the graph's change later */
    ok(cuGraphMemsetNodeSetParams(set, &sp));
    ok(cuGraphLaunch(x, NULL));
    test(first(other) == 9);
    ok(cuGraphExecMemsetNodeSetParams(x, set, &sp, c));
    ok(cuGraphLaunch(x, NULL));
    test(first(other) == 11);
    gives(cuGraphExecMemsetNodeSetParams(x, copy, &sp, c), INVALID);
    ok(cuGraphNodeSetEnabled(x, copy, 0));
    ok(cuGraphNodeGetEnabled(x, copy, &on));
    test(!on);
    ok(cuMemsetD32_v2(other, 0, 16));
    ok(cuGraphLaunch(x, NULL));
    test(first(other) == 0);
    gives(cuGraphNodeSetEnabled(x, host, 0), INVALID);
    ok(cuGraphExecDestroy(x));

    ok(cuGraphCreate(&child, 0)); /* a graph in a graph */
    sp.value = 77;
    ok(cuGraphAddMemsetNode(&inner, child, NULL, 0, &sp, c));
    ok(cuGraphAddChildGraphNode(&found, g, &host, 1, child));
    ok(cuGraphInstantiateWithFlags(&x, g, 0));
    ok(cuGraphLaunch(x, NULL));
    test(first(memory) == 77);
    ok(cuGraphExecDestroy(x));
    ok(cuGraphAddDependencies(g, &found, &empty, 1)); /* a cycle */
    gives(cuGraphInstantiateWithFlags(&x, g, 0), INVALID);
    ok(cuGraphRemoveDependencies(g, &found, &empty, 1));
    ok(cuGraphDestroyNode(found));
    gives(cuGraphDestroyNode(found), INVALID);
    ok(cuGraphInstantiateWithFlags(&x, g, 0));
    ok(cuGraphExecDestroy(x));
    ok(cuGraphDestroy(child));
    ok(cuGraphDestroy(clone));
    ok(cuGraphDestroy(g));
    gives(cuGraphDestroy(g), INVALID);
}

static CUgraph two_sets(int value, int nodes)
{
    CUgraph g;
    CUgraphNode n[3];
    CUcontext c;
    CUDA_MEMSET_NODE_PARAMS p = {
        .dst = memory, .value = (unsigned)value, .elementSize = 4, .width = 16, .height = 1};
    ok(cuCtxGetCurrent(&c));
    ok(cuGraphCreate(&g, 0));
    for (int i = 0; i < nodes; i++) {
        ok(cuGraphAddMemsetNode(&n[i], g, i ? &n[i - 1] : NULL, i ? 1 : 0, &p, c));
        p.dst = other;
    }
    return g;
}

static void updates(void)
{
    CUgraph a = two_sets(1, 2), b = two_sets(2, 2), c = two_sets(3, 3);
    CUgraphExec x;
    CUgraphExecUpdateResultInfo info;
    ok(cuGraphInstantiateWithFlags(&x, a, 0));
    ok(cuGraphExecUpdate_v2(x, b, &info));
    test(info.result == CU_GRAPH_EXEC_UPDATE_SUCCESS);
    ok(cuGraphLaunch(x, NULL));
    test(first(memory) == 2 && first(other) == 2);
    gives(cuGraphExecUpdate_v2(x, c, &info), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    test(info.result == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
    gives(cuGraphExecUpdate_v2(x, (CUgraph)&c, &info), INVALID);
    ok(cuGraphExecDestroy(x));
    ok(cuGraphDestroy(a));
    ok(cuGraphDestroy(b));
    ok(cuGraphDestroy(c));
}

int main(void)
{
    CUcontext c = context_here();
    ok(cuMemAlloc_v2(&memory, 4000));
    ok(cuMemAlloc_v2(&other, 4000));
    streams();
    events();
    capture();
    graphs();
    updates();
    ok(cuCtxDestroy_v2(c));
    return test_done();
}
