/* The variants for programs whose default stream is the thread's own: stream 0 is
 * CU_STREAM_PER_THREAD. Those of calls that wait for their end (_ptds) do the same as the plain
 * ones. */
#include "driver.h"

static CUstream mine(CUstream stream) { return stream ? stream : CU_STREAM_PER_THREAD; }

CUresult cuMemcpyAsync_ptsz(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    return cuMemcpyAsync(to, from, bytes, mine(stream));
}

CUresult cuMemcpyPeerAsync_ptsz(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
                                CUcontext from_context, size_t bytes, CUstream stream)
{
    return cuMemcpyPeerAsync(to, to_context, from, from_context, bytes, mine(stream));
}

CUresult cuMemcpyHtoDAsync_v2_ptsz(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    return cuMemcpyHtoDAsync_v2(to, from, bytes, mine(stream));
}

CUresult cuMemcpyDtoHAsync_v2_ptsz(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    return cuMemcpyDtoHAsync_v2(to, from, bytes, mine(stream));
}

CUresult cuMemcpyDtoDAsync_v2_ptsz(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    return cuMemcpyDtoDAsync_v2(to, from, bytes, mine(stream));
}

CUresult cuMemcpy2DAsync_v2_ptsz(const CUDA_MEMCPY2D *p, CUstream stream)
{
    return cuMemcpy2DAsync_v2(p, mine(stream));
}

CUresult cuMemcpy3DAsync_v2_ptsz(const CUDA_MEMCPY3D *p, CUstream stream)
{
    return cuMemcpy3DAsync_v2(p, mine(stream));
}

CUresult cuMemsetD8Async_ptsz(CUdeviceptr to, unsigned char value, size_t n, CUstream stream)
{
    return cuMemsetD8Async(to, value, n, mine(stream));
}

CUresult cuMemsetD16Async_ptsz(CUdeviceptr to, unsigned short value, size_t n, CUstream stream)
{
    return cuMemsetD16Async(to, value, n, mine(stream));
}

CUresult cuMemsetD32Async_ptsz(CUdeviceptr to, unsigned value, size_t n, CUstream stream)
{
    return cuMemsetD32Async(to, value, n, mine(stream));
}

CUresult cuMemsetD2D8Async_ptsz(CUdeviceptr to, size_t pitch, unsigned char value, size_t width,
                                size_t height, CUstream stream)
{
    return cuMemsetD2D8Async(to, pitch, value, width, height, mine(stream));
}

CUresult cuMemsetD2D16Async_ptsz(CUdeviceptr to, size_t pitch, unsigned short value, size_t width,
                                 size_t height, CUstream stream)
{
    return cuMemsetD2D16Async(to, pitch, value, width, height, mine(stream));
}

CUresult cuMemsetD2D32Async_ptsz(CUdeviceptr to, size_t pitch, unsigned value, size_t width,
                                 size_t height, CUstream stream)
{
    return cuMemsetD2D32Async(to, pitch, value, width, height, mine(stream));
}

CUresult cuMemPrefetchAsync_ptsz(CUdeviceptr at, size_t bytes, CUdevice device, CUstream stream)
{
    return cuMemPrefetchAsync(at, bytes, device, mine(stream));
}

CUresult cuMemPrefetchAsync_v2_ptsz(CUdeviceptr at, size_t bytes, CUmemLocation location,
                                    unsigned flags, CUstream stream)
{
    return cuMemPrefetchAsync_v2(at, bytes, location, flags, mine(stream));
}

CUresult cuMemFreeAsync_ptsz(CUdeviceptr at, CUstream stream)
{
    return cuMemFreeAsync(at, mine(stream));
}

CUresult cuMemAllocAsync_ptsz(CUdeviceptr *at, size_t bytes, CUstream stream)
{
    return cuMemAllocAsync(at, bytes, mine(stream));
}

CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *at, size_t bytes, CUmemoryPool pool,
                                      CUstream stream)
{
    return cuMemAllocFromPoolAsync(at, bytes, pool, mine(stream));
}

CUresult cuStreamGetPriority_ptsz(CUstream stream, int *priority)
{
    return cuStreamGetPriority(mine(stream), priority);
}

CUresult cuStreamGetId_ptsz(CUstream stream, unsigned long long *id)
{
    return cuStreamGetId(mine(stream), id);
}

CUresult cuStreamGetFlags_ptsz(CUstream stream, unsigned *flags)
{
    return cuStreamGetFlags(mine(stream), flags);
}

CUresult cuStreamGetDevice_ptsz(CUstream stream, CUdevice *device)
{
    return cuStreamGetDevice(mine(stream), device);
}

CUresult cuStreamGetCtx_ptsz(CUstream stream, CUcontext *context)
{
    return cuStreamGetCtx(mine(stream), context);
}

CUresult cuStreamGetCtx_v2_ptsz(CUstream stream, CUcontext *context, CUgreenCtx *green)
{
    return cuStreamGetCtx_v2(mine(stream), context, green);
}

CUresult cuStreamWaitEvent_ptsz(CUstream stream, CUevent event, unsigned flags)
{
    return cuStreamWaitEvent(mine(stream), event, flags);
}

CUresult cuStreamAddCallback_ptsz(CUstream stream, CUstreamCallback callback, void *data,
                                  unsigned flags)
{
    return cuStreamAddCallback(mine(stream), callback, data, flags);
}

CUresult cuStreamAttachMemAsync_ptsz(CUstream stream, CUdeviceptr at, size_t bytes, unsigned flags)
{
    return cuStreamAttachMemAsync(mine(stream), at, bytes, flags);
}

CUresult cuStreamQuery_ptsz(CUstream stream) { return cuStreamQuery(mine(stream)); }

CUresult cuStreamSynchronize_ptsz(CUstream stream) { return cuStreamSynchronize(mine(stream)); }

CUresult cuStreamBeginCapture_ptsz(CUstream stream) { return cuStreamBeginCapture(mine(stream)); }

CUresult cuStreamBeginCapture_v2_ptsz(CUstream stream, CUstreamCaptureMode mode)
{
    return cuStreamBeginCapture_v2(mine(stream), mode);
}

CUresult cuStreamBeginCaptureToGraph_ptsz(CUstream stream, CUgraph graph, const CUgraphNode *on,
                                          const CUgraphEdgeData *edges, size_t n,
                                          CUstreamCaptureMode mode)
{
    return cuStreamBeginCaptureToGraph(mine(stream), graph, on, edges, n, mode);
}

CUresult cuStreamEndCapture_ptsz(CUstream stream, CUgraph *graph)
{
    return cuStreamEndCapture(mine(stream), graph);
}

CUresult cuStreamIsCapturing_ptsz(CUstream stream, CUstreamCaptureStatus *status)
{
    return cuStreamIsCapturing(mine(stream), status);
}

CUresult cuStreamGetCaptureInfo_ptsz(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id)
{
    return cuStreamGetCaptureInfo(mine(stream), status, id);
}

CUresult cuStreamGetCaptureInfo_v2_ptsz(CUstream stream, CUstreamCaptureStatus *status,
                                        cuuint64_t *id, CUgraph *graph, const CUgraphNode **on,
                                        size_t *n)
{
    return cuStreamGetCaptureInfo_v2(mine(stream), status, id, graph, on, n);
}

CUresult cuStreamGetCaptureInfo_v3_ptsz(CUstream stream, CUstreamCaptureStatus *status,
                                        cuuint64_t *id, CUgraph *graph, const CUgraphNode **on,
                                        const CUgraphEdgeData **edges, size_t *n)
{
    return cuStreamGetCaptureInfo_v3(mine(stream), status, id, graph, on, edges, n);
}

CUresult cuStreamUpdateCaptureDependencies_ptsz(CUstream stream, CUgraphNode *on, size_t n,
                                                unsigned flags)
{
    return cuStreamUpdateCaptureDependencies(mine(stream), on, n, flags);
}

CUresult cuStreamUpdateCaptureDependencies_v2_ptsz(CUstream stream, CUgraphNode *on,
                                                   const CUgraphEdgeData *edges, size_t n,
                                                   unsigned flags)
{
    return cuStreamUpdateCaptureDependencies_v2(mine(stream), on, edges, n, flags);
}

CUresult cuStreamCopyAttributes_ptsz(CUstream to, CUstream from)
{
    return cuStreamCopyAttributes(mine(to), mine(from));
}

CUresult cuStreamGetAttribute_ptsz(CUstream stream, CUlaunchAttributeID attribute,
                                   CUlaunchAttributeValue *value)
{
    return cuStreamGetAttribute(mine(stream), attribute, value);
}

CUresult cuStreamSetAttribute_ptsz(CUstream stream, CUlaunchAttributeID attribute,
                                   const CUlaunchAttributeValue *value)
{
    return cuStreamSetAttribute(mine(stream), attribute, value);
}

CUresult cuEventRecord_ptsz(CUevent event, CUstream stream)
{
    return cuEventRecord(event, mine(stream));
}

CUresult cuEventRecordWithFlags_ptsz(CUevent event, CUstream stream, unsigned flags)
{
    return cuEventRecordWithFlags(event, mine(stream), flags);
}

CUresult cuLaunchKernel_ptsz(CUfunction f, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                             unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                             CUstream stream, void **params, void **extra)
{
    return cuLaunchKernel(f, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared,
                          mine(stream), params, extra);
}

CUresult cuLaunchCooperativeKernel_ptsz(CUfunction f, unsigned grid_x, unsigned grid_y,
                                        unsigned grid_z, unsigned block_x, unsigned block_y,
                                        unsigned block_z, unsigned shared, CUstream stream,
                                        void **params)
{
    return cuLaunchCooperativeKernel(f, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared,
                                     mine(stream), params);
}

CUresult cuLaunchHostFunc_ptsz(CUstream stream, CUhostFn function, void *data)
{
    return cuLaunchHostFunc(mine(stream), function, data);
}

CUresult cuGraphLaunch_ptsz(CUgraphExec exec, CUstream stream)
{
    return cuGraphLaunch(exec, mine(stream));
}

CUresult cuGraphUpload_ptsz(CUgraphExec exec, CUstream stream)
{
    return cuGraphUpload(exec, mine(stream));
}

CUresult cuLaunchKernelEx_ptsz(const CUlaunchConfig *config, CUfunction f, void **params,
                               void **extra)
{
    if (!config)
        return cuLaunchKernelEx(config, f, params, extra);
    CUlaunchConfig c = *config;
    c.hStream = mine(c.hStream);
    return cuLaunchKernelEx(&c, f, params, extra);
}

CUresult cuGraphInstantiateWithParams_ptsz(CUgraphExec *exec, CUgraph graph,
                                           CUDA_GRAPH_INSTANTIATE_PARAMS *p)
{
    return cuGraphInstantiateWithParams(exec, graph, p);
}

CUresult cuMemcpy_ptds(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    return cuMemcpy(to, from, bytes);
}

CUresult cuMemcpyPeer_ptds(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
                           CUcontext from_context, size_t bytes)
{
    return cuMemcpyPeer(to, to_context, from, from_context, bytes);
}

CUresult cuMemcpyHtoD_v2_ptds(CUdeviceptr to, const void *from, size_t bytes)
{
    return cuMemcpyHtoD_v2(to, from, bytes);
}

CUresult cuMemcpyDtoH_v2_ptds(void *to, CUdeviceptr from, size_t bytes)
{
    return cuMemcpyDtoH_v2(to, from, bytes);
}

CUresult cuMemcpyDtoD_v2_ptds(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    return cuMemcpyDtoD_v2(to, from, bytes);
}

CUresult cuMemcpy2D_v2_ptds(const CUDA_MEMCPY2D *p) { return cuMemcpy2D_v2(p); }

CUresult cuMemcpy2DUnaligned_v2_ptds(const CUDA_MEMCPY2D *p) { return cuMemcpy2DUnaligned_v2(p); }

CUresult cuMemcpy3D_v2_ptds(const CUDA_MEMCPY3D *p) { return cuMemcpy3D_v2(p); }

CUresult cuMemsetD8_v2_ptds(CUdeviceptr to, unsigned char value, size_t n)
{
    return cuMemsetD8_v2(to, value, n);
}

CUresult cuMemsetD16_v2_ptds(CUdeviceptr to, unsigned short value, size_t n)
{
    return cuMemsetD16_v2(to, value, n);
}

CUresult cuMemsetD32_v2_ptds(CUdeviceptr to, unsigned value, size_t n)
{
    return cuMemsetD32_v2(to, value, n);
}

CUresult cuMemsetD2D8_v2_ptds(CUdeviceptr to, size_t pitch, unsigned char value, size_t width,
                              size_t height)
{
    return cuMemsetD2D8_v2(to, pitch, value, width, height);
}

CUresult cuMemsetD2D16_v2_ptds(CUdeviceptr to, size_t pitch, unsigned short value, size_t width,
                               size_t height)
{
    return cuMemsetD2D16_v2(to, pitch, value, width, height);
}

CUresult cuMemsetD2D32_v2_ptds(CUdeviceptr to, size_t pitch, unsigned value, size_t width,
                               size_t height)
{
    return cuMemsetD2D32_v2(to, pitch, value, width, height);
}
