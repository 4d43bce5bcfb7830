/* The runtime's calls that this library has, and what nvcc's host code calls. */
#ifndef NN_SIM_CUDART_CALLS_H
#define NN_SIM_CUDART_CALLS_H

#include "cudart.h"

#pragma GCC visibility push(default)

/* ---- cudart.c ---- */
cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);
const char *cudaGetErrorString(cudaError_t error);
const char *cudaGetErrorName(cudaError_t error);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceReset(void);
cudaError_t cudaDeviceSynchronize(void);
cudaError_t cudaDeviceGetAttribute(int *value, int attribute, int device);
#if CUDART == 12
cudaError_t cudaGetDeviceProperties_v2(struct cudaDeviceProp *p, int device);
#else
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device);
#endif
cudaError_t cudaMalloc(void **p, size_t bytes);
cudaError_t cudaFree(void *p);
cudaError_t cudaMallocManaged(void **p, size_t bytes, unsigned flags);
cudaError_t cudaMallocPitch(void **p, size_t *pitch, size_t width, size_t height);
cudaError_t cudaMallocAsync(void **p, size_t bytes, CUstream stream);
cudaError_t cudaFreeAsync(void *p, CUstream stream);
cudaError_t cudaMallocHost(void **p, size_t bytes);
cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaHostRegister(void *p, size_t bytes, unsigned flags);
cudaError_t cudaHostUnregister(void *p);
cudaError_t cudaHostGetDevicePointer(void **device, void *p, unsigned flags);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total);
#if CUDART == 12
cudaError_t cudaMemPrefetchAsync(const void *p, size_t bytes, int device, CUstream stream);
cudaError_t cudaMemPrefetchAsync_v2(const void *p, size_t bytes, struct cudaMemLocation where,
                                    unsigned flags, CUstream stream);
#else
cudaError_t cudaMemPrefetchAsync(const void *p, size_t bytes, struct cudaMemLocation where,
                                 unsigned flags, CUstream stream);
#endif
cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *a, const void *p);
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, int kind);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, CUstream stream);
cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                         size_t width, size_t height, int kind);
cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, int kind, CUstream stream);
cudaError_t cudaMemset(void *to, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, CUstream stream);
cudaError_t cudaMemset2D(void *to, size_t pitch, int value, size_t width, size_t height);
cudaError_t cudaMemcpyToSymbol(const void *symbol, const void *from, size_t bytes, size_t offset,
                               int kind);
cudaError_t cudaMemcpyToSymbolAsync(const void *symbol, const void *from, size_t bytes,
                                    size_t offset, int kind, CUstream stream);
cudaError_t cudaMemcpyFromSymbol(void *to, const void *symbol, size_t bytes, size_t offset,
                                 int kind);
cudaError_t cudaGetSymbolAddress(void **p, const void *symbol);
cudaError_t cudaGetSymbolSize(size_t *bytes, const void *symbol);
cudaError_t cudaStreamCreate(CUstream *stream);
cudaError_t cudaStreamCreateWithFlags(CUstream *stream, unsigned flags);
cudaError_t cudaStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority);
cudaError_t cudaStreamDestroy(CUstream stream);
cudaError_t cudaStreamSynchronize(CUstream stream);
cudaError_t cudaStreamQuery(CUstream stream);
cudaError_t cudaStreamWaitEvent(CUstream stream, CUevent event, unsigned flags);
cudaError_t cudaLaunchHostFunc(CUstream stream, CUhostFn function, void *data);
cudaError_t cudaStreamAddCallback(CUstream stream, CUstreamCallback callback, void *data,
                                  unsigned flags);
cudaError_t cudaStreamBeginCapture(CUstream stream, int mode);
cudaError_t cudaStreamEndCapture(CUstream stream, CUgraph *graph);
cudaError_t cudaStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status);
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest);
cudaError_t cudaEventCreate(CUevent *event);
cudaError_t cudaEventCreateWithFlags(CUevent *event, unsigned flags);
cudaError_t cudaEventRecord(CUevent event, CUstream stream);
cudaError_t cudaEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags);
cudaError_t cudaEventSynchronize(CUevent event);
cudaError_t cudaEventQuery(CUevent event);
cudaError_t cudaEventElapsedTime(float *ms, CUevent begin, CUevent end);
cudaError_t cudaEventDestroy(CUevent event);
cudaError_t cudaGraphInstantiate(CUgraphExec *exec, CUgraph graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(CUgraphExec exec, CUstream stream);
cudaError_t cudaGraphExecDestroy(CUgraphExec exec);
cudaError_t cudaGraphDestroy(CUgraph graph);
cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned version,
                                             unsigned long long flags,
                                             CUdriverProcAddressQueryResult *status);

/* ---- kernels.c ---- */
void **__cudaRegisterFatBinary(void *image);
void __cudaRegisterFatBinaryEnd(void **handle);
void __cudaUnregisterFatBinary(void **handle);
void __cudaRegisterFunction(void **handle, const char *host, char *device, const char *name,
                            int limit, uint3 *tid, uint3 *bid, dim3 *block, dim3 *grid, int *warp);
void __cudaRegisterVar(void **handle, char *host, char *device, const char *name, int external,
                       size_t bytes, int constant, int global);
void __cudaRegisterManagedVar(void **handle, void **host, char *device, const char *name,
                              int external, size_t bytes, int constant, int global);
char __cudaInitModule(void **handle);
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, CUstream stream);
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream);
cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **args,
                             size_t shared, CUstream stream);
cudaError_t __cudaGetKernel(CUkernel *kernel, const void *function);
cudaError_t __cudaLaunchKernel(CUkernel kernel, dim3 grid, dim3 block, void **args, size_t shared,
                               CUstream stream);
cudaError_t __cudaLaunchKernel_ptsz(CUkernel kernel, dim3 grid, dim3 block, void **args,
                                    size_t shared, CUstream stream);
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *c, const void *function, void **args);
cudaError_t cudaLaunchCooperativeKernel(const void *function, dim3 grid, dim3 block, void **args,
                                        size_t shared, CUstream stream);
cudaError_t cudaFuncSetAttribute(const void *function, int attribute, int value);
cudaError_t cudaFuncSetCacheConfig(const void *function, int config);
cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *a, const void *function);
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks,
                                                                   const void *function,
                                                                   int threads, size_t shared,
                                                                   unsigned flags);
cudaError_t cudaOccupancyMaxActiveClusters(int *clusters, const void *function,
                                           const cudaLaunchConfig_t *config);
cudaError_t cudaOccupancyMaxPotentialClusterSize(int *size, const void *function,
                                                 const cudaLaunchConfig_t *config);
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function,
                                                          int threads, size_t shared);

/* ---- beyond.c ---- */
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer);
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags);
cudaError_t cudaDeviceDisablePeerAccess(int peer);
cudaError_t cudaDeviceSetLimit(int limit, size_t value);
cudaError_t cudaDeviceGetLimit(size_t *value, int limit);
cudaError_t cudaDeviceSetCacheConfig(int config);
cudaError_t cudaDeviceGetPCIBusId(char *id, int length, int device);
cudaError_t cudaDeviceGetByPCIBusId(int *device, const char *id);
cudaError_t cudaInitDevice(int device, unsigned flags, unsigned more);
cudaError_t cudaSetDeviceFlags(unsigned flags);
cudaError_t cudaGetDeviceFlags(unsigned *flags);
cudaError_t cudaProfilerStart(void);
cudaError_t cudaProfilerStop(void);
cudaError_t cudaMemcpyPeer(void *to, int to_device, const void *from, int from_device,
                           size_t bytes);
cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device,
                                size_t bytes, CUstream stream);
cudaError_t cudaMemset2DAsync(void *to, size_t pitch, int value, size_t width, size_t height,
                              CUstream stream);
cudaError_t cudaHostGetFlags(unsigned *flags, void *p);
cudaError_t cudaDeviceGetDefaultMemPool(CUmemoryPool *pool, int device);
cudaError_t cudaDeviceGetMemPool(CUmemoryPool *pool, int device);
cudaError_t cudaDeviceSetMemPool(int device, CUmemoryPool pool);
cudaError_t cudaMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *p);
cudaError_t cudaMemPoolDestroy(CUmemoryPool pool);
cudaError_t cudaMemPoolTrimTo(CUmemoryPool pool, size_t keep);
cudaError_t cudaMemPoolSetAttribute(CUmemoryPool pool, int attribute, void *value);
cudaError_t cudaMemPoolGetAttribute(CUmemoryPool pool, int attribute, void *value);
cudaError_t cudaMallocFromPoolAsync(void **p, size_t bytes, CUmemoryPool pool, CUstream stream);
cudaError_t cudaStreamGetFlags(CUstream stream, unsigned *flags);
cudaError_t cudaStreamGetPriority(CUstream stream, int *priority);
cudaError_t cudaStreamGetId(CUstream stream, unsigned long long *id);
cudaError_t cudaStreamGetDevice(CUstream stream, int *device);
cudaError_t cudaThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode);
cudaError_t cudaGraphCreate(CUgraph *graph, unsigned flags);
cudaError_t cudaGraphClone(CUgraph *clone, CUgraph graph);
cudaError_t cudaGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *count);
cudaError_t cudaGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph,
                                          unsigned long long flags);
cudaError_t cudaGraphUpload(CUgraphExec exec, CUstream stream);
#if CUDART == 12
cudaError_t cudaMemAdvise(const void *p, size_t bytes, int advice, int device);
#else
cudaError_t cudaMemAdvise(const void *p, size_t bytes, int advice, struct cudaMemLocation where);
#endif

/* ---- threads.c ---- */
cudaError_t cudaMallocAsync_ptsz(void **p, size_t bytes, CUstream stream);
cudaError_t cudaFreeAsync_ptsz(void *p, CUstream stream);
cudaError_t cudaMemcpyAsync_ptsz(void *to, const void *from, size_t bytes, int kind,
                                 CUstream stream);
cudaError_t cudaMemcpy2DAsync_ptsz(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                                   size_t width, size_t height, int kind, CUstream stream);
cudaError_t cudaMemsetAsync_ptsz(void *to, int value, size_t bytes, CUstream stream);
cudaError_t cudaMemcpyToSymbolAsync_ptsz(const void *symbol, const void *from, size_t bytes,
                                         size_t offset, int kind, CUstream stream);
cudaError_t cudaStreamSynchronize_ptsz(CUstream stream);
cudaError_t cudaStreamQuery_ptsz(CUstream stream);
cudaError_t cudaStreamWaitEvent_ptsz(CUstream stream, CUevent event, unsigned flags);
cudaError_t cudaLaunchHostFunc_ptsz(CUstream stream, CUhostFn function, void *data);
cudaError_t cudaStreamAddCallback_ptsz(CUstream stream, CUstreamCallback callback, void *data,
                                       unsigned flags);
cudaError_t cudaStreamBeginCapture_ptsz(CUstream stream, int mode);
cudaError_t cudaStreamEndCapture_ptsz(CUstream stream, CUgraph *graph);
cudaError_t cudaStreamIsCapturing_ptsz(CUstream stream, CUstreamCaptureStatus *status);
cudaError_t cudaEventRecord_ptsz(CUevent event, CUstream stream);
cudaError_t cudaEventRecordWithFlags_ptsz(CUevent event, CUstream stream, unsigned flags);
cudaError_t cudaGraphLaunch_ptsz(CUgraphExec exec, CUstream stream);
cudaError_t cudaLaunchKernel_ptsz(const void *function, dim3 grid, dim3 block, void **args,
                                  size_t shared, CUstream stream);
cudaError_t cudaLaunchCooperativeKernel_ptsz(const void *function, dim3 grid, dim3 block,
                                             void **args, size_t shared, CUstream stream);
cudaError_t cudaMemcpy_ptds(void *to, const void *from, size_t bytes, int kind);
cudaError_t cudaMemcpy2D_ptds(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, int kind);
cudaError_t cudaMemset_ptds(void *to, int value, size_t bytes);
cudaError_t cudaMemset2D_ptds(void *to, size_t pitch, int value, size_t width, size_t height);
cudaError_t cudaMemcpyToSymbol_ptds(const void *symbol, const void *from, size_t bytes,
                                    size_t offset, int kind);
cudaError_t cudaMemcpyFromSymbol_ptds(void *to, const void *symbol, size_t bytes, size_t offset,
                                      int kind);
cudaError_t cudaLaunchKernelExC_ptsz(const cudaLaunchConfig_t *config, const void *function,
                                     void **args);

#pragma GCC visibility pop

#endif
