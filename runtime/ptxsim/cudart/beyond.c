/* The runtime's calls that a program makes beside those of its kernels: limits, peers, pools,
 * hints, what a stream is. And a stub for every other: a line on stderr and cudaErrorNotSupported.
 */
#include "cudart.h"
#include "cudart_calls.h"
#include <stdio.h>

/* ---- devices ---- */

cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer)
{
    DO(cuDeviceCanAccessPeer(can, device, peer));
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags)
{
    (void)peer;
    DO(flags ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
}

cudaError_t cudaDeviceDisablePeerAccess(int peer)
{
    (void)peer;
    DO(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
}

cudaError_t cudaDeviceSetLimit(int limit, size_t value)
{
    DO(cuCtxSetLimit((CUlimit)limit, value));
}

cudaError_t cudaDeviceGetLimit(size_t *value, int limit)
{
    DO(cuCtxGetLimit(value, (CUlimit)limit));
}

cudaError_t cudaDeviceSetCacheConfig(int config) { DO(cuCtxSetCacheConfig((CUfunc_cache)config)); }

cudaError_t cudaDeviceGetPCIBusId(char *id, int length, int device)
{
    DO(cuDeviceGetPCIBusId(id, length, device));
}

cudaError_t cudaDeviceGetByPCIBusId(int *device, const char *id)
{
    DO(cuDeviceGetByPCIBusId(device, id));
}

cudaError_t cudaInitDevice(int device, unsigned flags, unsigned more)
{
    int now;
    (void)flags, (void)more;
    RT_ENTER();
    cudaError_t e = cudaGetDevice(&now);
    if (!e)
        e = cudaSetDevice(device);
    if (!e)
        e = cudaSetDevice(now);
    return rt_end(e);
}

cudaError_t cudaSetDeviceFlags(unsigned flags)
{
    (void)flags; /* how the host waits: work is done when a call returns */
    DO(CUDA_SUCCESS);
}

cudaError_t cudaGetDeviceFlags(unsigned *flags) { DO(cuCtxGetFlags(flags)); }

cudaError_t cudaProfilerStart(void) { DO(cuProfilerStart()); }

cudaError_t cudaProfilerStop(void) { DO(cuProfilerStop()); }

/* ---- memory ---- */

cudaError_t cudaMemcpyPeer(void *to, int to_device, const void *from, int from_device, size_t bytes)
{
    (void)to_device, (void)from_device; /* an address says whose it is */
    DO(cuMemcpy(ADDRESS(to), ADDRESS(from), bytes));
}

cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device,
                                size_t bytes, CUstream stream)
{
    (void)to_device, (void)from_device;
    DO(cuMemcpyAsync(ADDRESS(to), ADDRESS(from), bytes, stream));
}

cudaError_t cudaMemset2DAsync(void *to, size_t pitch, int value, size_t width, size_t height,
                              CUstream stream)
{
    DO(cuMemsetD2D8Async(ADDRESS(to), pitch, (unsigned char)value, width, height, stream));
}

cudaError_t cudaHostGetFlags(unsigned *flags, void *p) { DO(cuMemHostGetFlags(flags, p)); }

/* Hints: managed memory is the host's. */
#if CUDART == 12
cudaError_t cudaMemAdvise(const void *p, size_t bytes, int advice, int device)
{
    (void)p, (void)bytes, (void)advice, (void)device;
    DO(CUDA_SUCCESS);
}
#else
cudaError_t cudaMemAdvise(const void *p, size_t bytes, int advice, struct cudaMemLocation where)
{
    (void)p, (void)bytes, (void)advice, (void)where;
    DO(CUDA_SUCCESS);
}
#endif

cudaError_t cudaDeviceGetDefaultMemPool(CUmemoryPool *pool, int device)
{
    DO(cuDeviceGetDefaultMemPool(pool, device));
}

cudaError_t cudaDeviceGetMemPool(CUmemoryPool *pool, int device)
{
    DO(cuDeviceGetMemPool(pool, device));
}

cudaError_t cudaDeviceSetMemPool(int device, CUmemoryPool pool)
{
    DO(cuDeviceSetMemPool(device, pool));
}

cudaError_t cudaMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *p)
{
    DO(cuMemPoolCreate(pool, p));
}

cudaError_t cudaMemPoolDestroy(CUmemoryPool pool) { DO(cuMemPoolDestroy(pool)); }

cudaError_t cudaMemPoolTrimTo(CUmemoryPool pool, size_t keep) { DO(cuMemPoolTrimTo(pool, keep)); }

cudaError_t cudaMemPoolSetAttribute(CUmemoryPool pool, int attribute, void *value)
{
    DO(cuMemPoolSetAttribute(pool, (CUmemPool_attribute)attribute, value));
}

cudaError_t cudaMemPoolGetAttribute(CUmemoryPool pool, int attribute, void *value)
{
    DO(cuMemPoolGetAttribute(pool, (CUmemPool_attribute)attribute, value));
}

cudaError_t cudaMallocFromPoolAsync(void **p, size_t bytes, CUmemoryPool pool, CUstream stream)
{
    CUdeviceptr at = 0;
    RT_ENTER();
    CUresult r = p ? cuMemAllocFromPoolAsync(&at, bytes, pool, stream) : CUDA_ERROR_INVALID_VALUE;
    if (!r)
        *p = (void *)(uintptr_t)at;
    return rt_end((cudaError_t)r);
}

/* ---- streams and graphs ---- */

cudaError_t cudaStreamGetFlags(CUstream stream, unsigned *flags)
{
    DO(cuStreamGetFlags(stream, flags));
}

cudaError_t cudaStreamGetPriority(CUstream stream, int *priority)
{
    DO(cuStreamGetPriority(stream, priority));
}

cudaError_t cudaStreamGetId(CUstream stream, unsigned long long *id)
{
    DO(cuStreamGetId(stream, id));
}

cudaError_t cudaStreamGetDevice(CUstream stream, int *device)
{
    DO(cuStreamGetDevice(stream, device));
}

cudaError_t cudaThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    DO(cuThreadExchangeStreamCaptureMode(mode));
}

cudaError_t cudaGraphCreate(CUgraph *graph, unsigned flags) { DO(cuGraphCreate(graph, flags)); }

cudaError_t cudaGraphClone(CUgraph *clone, CUgraph graph) { DO(cuGraphClone(clone, graph)); }

cudaError_t cudaGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *count)
{
    DO(cuGraphGetNodes(graph, nodes, count));
}

cudaError_t cudaGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph,
                                          unsigned long long flags)
{
    DO(cuGraphInstantiateWithFlags(exec, graph, flags));
}

cudaError_t cudaGraphUpload(CUgraphExec exec, CUstream stream) { DO(cuGraphUpload(exec, stream)); }

/* ---- the rest ---- */

#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* stubs look at no argument */
#define ABSENT(name)                                                                               \
    __attribute__((visibility("default"))) cudaError_t name(void);                                 \
    cudaError_t name(void)                                                                         \
    {                                                                                              \
        fprintf(stderr, "nncsim: " #name " is not simulated\n");                                   \
        return rt_end(CUDA_ERROR_NOT_SUPPORTED);                                                   \
    }
#include "absent.def"
#undef ABSENT
