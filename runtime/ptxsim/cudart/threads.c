/* The variants for programs whose default stream is the thread's own (nvcc --default-stream
 * per-thread). */
#include "cudart_calls.h"

static CUstream mine(CUstream stream) { return stream ? stream : CU_STREAM_PER_THREAD; }

cudaError_t cudaMallocAsync_ptsz(void **p, size_t bytes, CUstream stream)
{
    return cudaMallocAsync(p, bytes, mine(stream));
}

cudaError_t cudaFreeAsync_ptsz(void *p, CUstream stream) { return cudaFreeAsync(p, mine(stream)); }

cudaError_t cudaMemcpyAsync_ptsz(void *to, const void *from, size_t bytes, int kind,
                                 CUstream stream)
{
    return cudaMemcpyAsync(to, from, bytes, kind, mine(stream));
}

cudaError_t cudaMemcpy2DAsync_ptsz(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                                   size_t width, size_t height, int kind, CUstream stream)
{
    return cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, kind, mine(stream));
}

cudaError_t cudaMemsetAsync_ptsz(void *to, int value, size_t bytes, CUstream stream)
{
    return cudaMemsetAsync(to, value, bytes, mine(stream));
}

cudaError_t cudaMemcpyToSymbolAsync_ptsz(const void *symbol, const void *from, size_t bytes,
                                         size_t offset, int kind, CUstream stream)
{
    return cudaMemcpyToSymbolAsync(symbol, from, bytes, offset, kind, mine(stream));
}

cudaError_t cudaStreamSynchronize_ptsz(CUstream stream)
{
    return cudaStreamSynchronize(mine(stream));
}

cudaError_t cudaStreamQuery_ptsz(CUstream stream) { return cudaStreamQuery(mine(stream)); }

cudaError_t cudaStreamWaitEvent_ptsz(CUstream stream, CUevent event, unsigned flags)
{
    return cudaStreamWaitEvent(mine(stream), event, flags);
}

cudaError_t cudaLaunchHostFunc_ptsz(CUstream stream, CUhostFn function, void *data)
{
    return cudaLaunchHostFunc(mine(stream), function, data);
}

cudaError_t cudaStreamAddCallback_ptsz(CUstream stream, CUstreamCallback callback, void *data,
                                       unsigned flags)
{
    return cudaStreamAddCallback(mine(stream), callback, data, flags);
}

cudaError_t cudaStreamBeginCapture_ptsz(CUstream stream, int mode)
{
    return cudaStreamBeginCapture(mine(stream), mode);
}

cudaError_t cudaStreamEndCapture_ptsz(CUstream stream, CUgraph *graph)
{
    return cudaStreamEndCapture(mine(stream), graph);
}

cudaError_t cudaStreamIsCapturing_ptsz(CUstream stream, CUstreamCaptureStatus *status)
{
    return cudaStreamIsCapturing(mine(stream), status);
}

cudaError_t cudaEventRecord_ptsz(CUevent event, CUstream stream)
{
    return cudaEventRecord(event, mine(stream));
}

cudaError_t cudaEventRecordWithFlags_ptsz(CUevent event, CUstream stream, unsigned flags)
{
    return cudaEventRecordWithFlags(event, mine(stream), flags);
}

cudaError_t cudaGraphLaunch_ptsz(CUgraphExec exec, CUstream stream)
{
    return cudaGraphLaunch(exec, mine(stream));
}

cudaError_t cudaLaunchKernel_ptsz(const void *function, dim3 grid, dim3 block, void **args,
                                  size_t shared, CUstream stream)
{
    return cudaLaunchKernel(function, grid, block, args, shared, mine(stream));
}

cudaError_t cudaLaunchCooperativeKernel_ptsz(const void *function, dim3 grid, dim3 block,
                                             void **args, size_t shared, CUstream stream)
{
    return cudaLaunchCooperativeKernel(function, grid, block, args, shared, mine(stream));
}

cudaError_t cudaMemcpy_ptds(void *to, const void *from, size_t bytes, int kind)
{
    return cudaMemcpy(to, from, bytes, kind);
}

cudaError_t cudaMemcpy2D_ptds(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, int kind)
{
    return cudaMemcpy2D(to, to_pitch, from, from_pitch, width, height, kind);
}

cudaError_t cudaMemset_ptds(void *to, int value, size_t bytes)
{
    return cudaMemset(to, value, bytes);
}

cudaError_t cudaMemset2D_ptds(void *to, size_t pitch, int value, size_t width, size_t height)
{
    return cudaMemset2D(to, pitch, value, width, height);
}

cudaError_t cudaMemcpyToSymbol_ptds(const void *symbol, const void *from, size_t bytes,
                                    size_t offset, int kind)
{
    return cudaMemcpyToSymbol(symbol, from, bytes, offset, kind);
}

cudaError_t cudaMemcpyFromSymbol_ptds(void *to, const void *symbol, size_t bytes, size_t offset,
                                      int kind)
{
    return cudaMemcpyFromSymbol(to, symbol, bytes, offset, kind);
}

cudaError_t cudaLaunchKernelExC_ptsz(const cudaLaunchConfig_t *config, const void *function,
                                     void **args)
{
    if (!config)
        return cudaLaunchKernelExC(config, function, args);
    cudaLaunchConfig_t c = *config;
    c.stream = mine(c.stream);
    return cudaLaunchKernelExC(&c, function, args);
}
