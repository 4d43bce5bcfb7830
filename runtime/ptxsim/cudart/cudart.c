/* The runtime API's calls that are the driver's with other names. */
#include "cudart.h"
#include "cudart_calls.h"
#include <stdio.h>
#include <string.h>

static _Thread_local cudaError_t last;
static _Thread_local int chosen; /* device */

cudaError_t rt_end(cudaError_t error)
{
    if (error && error != CUDA_ERROR_NOT_READY)
        last = error;
    return error;
}

cudaError_t rt_enter(void)
{
    CUcontext c = NULL;
    CUdevice d;
    CUresult r = cuInit(0);
    if (!r)
        r = cuCtxGetCurrent(&c);
    if (r || (c && !cuCtxGetDevice(&d)))
        return (cudaError_t)r;
    r = cuDevicePrimaryCtxRetain(&c, chosen);
    return (cudaError_t)(r ? r : cuCtxSetCurrent(c));
}

/* ---- errors ---- */

cudaError_t cudaGetLastError(void)
{
    cudaError_t e = last;
    last = 0;
    return e;
}

cudaError_t cudaPeekAtLastError(void) { return last; }

const char *cudaGetErrorString(cudaError_t error)
{
    const char *text = NULL;
    switch (error) {
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorInvalidSymbol: return "invalid device symbol";
    case cudaErrorInvalidMemcpyDirection: return "invalid copy direction for memcpy";
    case cudaErrorInvalidDeviceFunction: return "invalid device function";
    }
    cuGetErrorString((CUresult)error, &text);
    return text ? text : "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t error)
{
    static const struct {
        cudaError_t error;
        const char *name;
    } names[] = {
        {0, "cudaSuccess"},
        {1, "cudaErrorInvalidValue"},
        {2, "cudaErrorMemoryAllocation"},
        {3, "cudaErrorInitializationError"},
        {4, "cudaErrorCudartUnloading"},
        {9, "cudaErrorInvalidConfiguration"},
        {13, "cudaErrorInvalidSymbol"},
        {21, "cudaErrorInvalidMemcpyDirection"},
        {98, "cudaErrorInvalidDeviceFunction"},
        {100, "cudaErrorNoDevice"},
        {101, "cudaErrorInvalidDevice"},
        {200, "cudaErrorInvalidKernelImage"},
        {201, "cudaErrorDeviceUninitialized"},
        {209, "cudaErrorNoKernelImageForDevice"},
        {218, "cudaErrorInvalidPtx"},
        {222, "cudaErrorUnsupportedPtxVersion"},
        {400, "cudaErrorInvalidResourceHandle"},
        {401, "cudaErrorIllegalState"},
        {500, "cudaErrorSymbolNotFound"},
        {600, "cudaErrorNotReady"},
        {700, "cudaErrorIllegalAddress"},
        {701, "cudaErrorLaunchOutOfResources"},
        {702, "cudaErrorLaunchTimeout"},
        {709, "cudaErrorContextIsDestroyed"},
        {710, "cudaErrorAssert"},
        {712, "cudaErrorHostMemoryAlreadyRegistered"},
        {713, "cudaErrorHostMemoryNotRegistered"},
        {715, "cudaErrorIllegalInstruction"},
        {716, "cudaErrorMisalignedAddress"},
        {717, "cudaErrorInvalidAddressSpace"},
        {719, "cudaErrorLaunchFailure"},
        {720, "cudaErrorCooperativeLaunchTooLarge"},
        {800, "cudaErrorNotPermitted"},
        {801, "cudaErrorNotSupported"},
        {900, "cudaErrorStreamCaptureUnsupported"},
        {901, "cudaErrorStreamCaptureInvalidated"},
        {902, "cudaErrorStreamCaptureMerge"},
        {903, "cudaErrorStreamCaptureUnmatched"},
        {904, "cudaErrorStreamCaptureUnjoined"},
        {905, "cudaErrorStreamCaptureIsolation"},
        {906, "cudaErrorStreamCaptureImplicit"},
        {907, "cudaErrorCapturedEvent"},
        {910, "cudaErrorGraphExecUpdateFailure"},
        {999, "cudaErrorUnknown"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].error == error)
            return names[i].name;
    return "unrecognized error code";
}

/* ---- devices ---- */

cudaError_t cudaDriverGetVersion(int *version)
{
    return rt_end((cudaError_t)cuDriverGetVersion(version));
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    if (!version)
        return rt_end(CUDA_ERROR_INVALID_VALUE);
    *version = CUDART * 1000;
    return 0;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    CUresult r = cuInit(0);
    return rt_end((cudaError_t)(r ? r : cuDeviceGetCount(count)));
}

cudaError_t cudaGetDevice(int *device) { DO(cuCtxGetDevice(device)); }

cudaError_t cudaSetDevice(int device)
{
    CUdevice d;
    CUcontext c;
    CUresult r = cuInit(0);
    if (!r)
        r = cuDeviceGet(&d, device);
    if (!r)
        r = cuDevicePrimaryCtxRetain(&c, d);
    if (!r)
        r = cuCtxSetCurrent(c);
    if (!r)
        chosen = device;
    return rt_end((cudaError_t)r);
}

cudaError_t cudaDeviceReset(void)
{
    CUdevice d;
    RT_ENTER();
    CUresult r = cuCtxGetDevice(&d);
    if (!r)
        r = cuDevicePrimaryCtxReset_v2(d);
    rt_forget();
    return rt_end((cudaError_t)r);
}

cudaError_t cudaDeviceSynchronize(void) { DO(cuCtxSynchronize()); }

/* The numbers of the runtime's attributes are the driver's. */
cudaError_t cudaDeviceGetAttribute(int *value, int attribute, int device)
{
    DO(cuDeviceGetAttribute(value, (CUdevice_attribute)attribute, device));
}

static void fill(struct cudaDeviceProp *p, int device)
{
    static const struct {
        int attribute;
        size_t offset;
    } ints[] = {
#define AT(attribute, field)                                                                       \
    {CU_DEVICE_ATTRIBUTE_##attribute, offsetof(struct cudaDeviceProp, field)}
        AT(MAX_REGISTERS_PER_BLOCK, regsPerBlock),
        AT(WARP_SIZE, warpSize),
        AT(MAX_THREADS_PER_BLOCK, maxThreadsPerBlock),
        AT(MAX_BLOCK_DIM_X, maxThreadsDim[0]),
        AT(MAX_BLOCK_DIM_Y, maxThreadsDim[1]),
        AT(MAX_BLOCK_DIM_Z, maxThreadsDim[2]),
        AT(MAX_GRID_DIM_X, maxGridSize[0]),
        AT(MAX_GRID_DIM_Y, maxGridSize[1]),
        AT(MAX_GRID_DIM_Z, maxGridSize[2]),
        AT(COMPUTE_CAPABILITY_MAJOR, major),
        AT(COMPUTE_CAPABILITY_MINOR, minor),
        AT(MULTIPROCESSOR_COUNT, multiProcessorCount),
        AT(CAN_MAP_HOST_MEMORY, canMapHostMemory),
        AT(CONCURRENT_KERNELS, concurrentKernels),
        AT(PCI_BUS_ID, pciBusID),
        AT(ASYNC_ENGINE_COUNT, asyncEngineCount),
        AT(UNIFIED_ADDRESSING, unifiedAddressing),
        AT(GLOBAL_MEMORY_BUS_WIDTH, memoryBusWidth),
        AT(L2_CACHE_SIZE, l2CacheSize),
        AT(MAX_THREADS_PER_MULTIPROCESSOR, maxThreadsPerMultiProcessor),
        AT(STREAM_PRIORITIES_SUPPORTED, streamPrioritiesSupported),
        AT(GLOBAL_L1_CACHE_SUPPORTED, globalL1CacheSupported),
        AT(LOCAL_L1_CACHE_SUPPORTED, localL1CacheSupported),
        AT(MAX_REGISTERS_PER_MULTIPROCESSOR, regsPerMultiprocessor),
        AT(MANAGED_MEMORY, managedMemory),
        AT(COMPUTE_PREEMPTION_SUPPORTED, computePreemptionSupported),
        AT(CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, canUseHostPointerForRegisteredMem),
        AT(COOPERATIVE_LAUNCH, cooperativeLaunch),
        AT(MAX_BLOCKS_PER_MULTIPROCESSOR, maxBlocksPerMultiProcessor),
        AT(HOST_REGISTER_SUPPORTED, hostRegisterSupported),
        AT(MEMORY_POOLS_SUPPORTED, memoryPoolsSupported),
        AT(CLUSTER_LAUNCH, clusterLaunch),
#if CUDART == 12
        AT(CLOCK_RATE, clockRate),
        AT(MEMORY_CLOCK_RATE, memoryClockRate),
        AT(GPU_OVERLAP, deviceOverlap),
        AT(SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO, singleToDoublePrecisionPerfRatio),
#endif
#undef AT
    };
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        cuDeviceGetAttribute((int *)(void *)((char *)p + ints[i].offset),
                             (CUdevice_attribute)ints[i].attribute, device);
}

static size_t size_attribute(CUdevice_attribute attribute, int device)
{
    int v = 0;
    cuDeviceGetAttribute(&v, attribute, device);
    return (size_t)v;
}

/* The name that this version's header gives it. */
#if CUDART == 12
#define cudaGetDeviceProperties cudaGetDeviceProperties_v2
#endif
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device)
{
    RT_ENTER();
    if (!p)
        return rt_end(CUDA_ERROR_INVALID_VALUE);
    memset(p, 0, sizeof *p);
    CUresult r = cuDeviceGetName(p->name, sizeof p->name, device);
    if (!r)
        r = cuDeviceGetUuid_v2(&p->uuid, device);
    if (!r)
        r = cuDeviceTotalMem_v2(&p->totalGlobalMem, device);
    if (r)
        return rt_end((cudaError_t)r);
    fill(p, device);
    p->sharedMemPerBlock = size_attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, device);
    p->memPitch = size_attribute(CU_DEVICE_ATTRIBUTE_MAX_PITCH, device);
    p->totalConstMem = size_attribute(CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY, device);
    p->textureAlignment = size_attribute(CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT, device);
    p->sharedMemPerMultiprocessor =
        size_attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, device);
    p->sharedMemPerBlockOptin =
        size_attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, device);
    p->reservedSharedMemPerBlock =
        size_attribute(CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK, device);
    return 0;
}

/* ---- memory ---- */

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    CUdeviceptr at = 0;
    RT_ENTER();
    if (!p)
        return rt_end(CUDA_ERROR_INVALID_VALUE);
    CUresult r = bytes ? cuMemAlloc_v2(&at, bytes) : CUDA_SUCCESS; /* none is well */
    if (!r)
        *p = (void *)(uintptr_t)at;
    return rt_end((cudaError_t)r);
}

cudaError_t cudaFree(void *p) { DO(p ? cuMemFree_v2(ADDRESS(p)) : CUDA_SUCCESS); }

cudaError_t cudaMallocManaged(void **p, size_t bytes, unsigned flags)
{
    CUdeviceptr at = 0;
    RT_ENTER();
    CUresult r = p ? cuMemAllocManaged(&at, bytes, flags) : CUDA_ERROR_INVALID_VALUE;
    if (!r)
        *p = (void *)(uintptr_t)at;
    return rt_end((cudaError_t)r);
}

cudaError_t cudaMallocPitch(void **p, size_t *pitch, size_t width, size_t height)
{
    CUdeviceptr at = 0;
    RT_ENTER();
    CUresult r = p ? cuMemAllocPitch_v2(&at, pitch, width, height, 4) : CUDA_ERROR_INVALID_VALUE;
    if (!r)
        *p = (void *)(uintptr_t)at;
    return rt_end((cudaError_t)r);
}

cudaError_t cudaMallocAsync(void **p, size_t bytes, CUstream stream)
{
    CUdeviceptr at = 0;
    RT_ENTER();
    CUresult r = p ? cuMemAllocAsync(&at, bytes, stream) : CUDA_ERROR_INVALID_VALUE;
    if (!r)
        *p = (void *)(uintptr_t)at;
    return rt_end((cudaError_t)r);
}

cudaError_t cudaFreeAsync(void *p, CUstream stream)
{
    DO(p ? cuMemFreeAsync(ADDRESS(p), stream) : CUDA_SUCCESS);
}

cudaError_t cudaMallocHost(void **p, size_t bytes) { DO(cuMemAllocHost_v2(p, bytes)); }

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags)
{
    DO(cuMemHostAlloc(p, bytes, flags));
}

cudaError_t cudaFreeHost(void *p) { DO(p ? cuMemFreeHost(p) : CUDA_SUCCESS); }

cudaError_t cudaHostRegister(void *p, size_t bytes, unsigned flags)
{
    DO(cuMemHostRegister_v2(p, bytes, flags));
}

cudaError_t cudaHostUnregister(void *p) { DO(cuMemHostUnregister(p)); }

cudaError_t cudaHostGetDevicePointer(void **device, void *p, unsigned flags)
{
    CUdeviceptr at = 0;
    RT_ENTER();
    CUresult r = device ? cuMemHostGetDevicePointer_v2(&at, p, flags) : CUDA_ERROR_INVALID_VALUE;
    if (!r)
        *device = (void *)(uintptr_t)at;
    return rt_end((cudaError_t)r);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    DO(cuMemGetInfo_v2(free_bytes, total));
}

#if CUDART == 12
cudaError_t cudaMemPrefetchAsync(const void *p, size_t bytes, int device, CUstream stream)
{
    DO(cuMemPrefetchAsync(ADDRESS(p), bytes, device, stream));
}
#define cudaMemPrefetchAsync cudaMemPrefetchAsync_v2
#endif

cudaError_t cudaMemPrefetchAsync(const void *p, size_t bytes, struct cudaMemLocation where,
                                 unsigned flags, CUstream stream)
{
    CUmemLocation l = {where.type, where.id};
    DO(cuMemPrefetchAsync_v2(ADDRESS(p), bytes, l, flags, stream));
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *a, const void *p)
{
    unsigned type = 0, managed = 0;
    int ordinal = 0;
    CUpointer_attribute which[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                   CU_POINTER_ATTRIBUTE_IS_MANAGED,
                                   CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
    void *data[] = {&type, &managed, &ordinal};
    RT_ENTER();
    if (!a)
        return rt_end(CUDA_ERROR_INVALID_VALUE);
    CUresult r = cuPointerGetAttributes(3, which, data, ADDRESS(p));
    if (r)
        return rt_end((cudaError_t)r);
    memset(a, 0, sizeof *a);
    a->type = managed ? 3 : (int)type;
    a->device = type ? ordinal : -2;
    a->devicePointer = type ? (void *)(uintptr_t)p : NULL;
    a->hostPointer = managed || type != CU_MEMORYTYPE_DEVICE ? (void *)(uintptr_t)p : NULL;
    return 0;
}

/* ---- copies ---- */

static cudaError_t copy(void *to, const void *from, size_t bytes, int kind, CUstream stream,
                        bool wait)
{
    CUdeviceptr d = ADDRESS(to), s = ADDRESS(from);
    if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault)
        return cudaErrorInvalidMemcpyDirection;
    if (!bytes)
        return 0;
    if (kind == cudaMemcpyHostToDevice)
        return (cudaError_t)(wait ? cuMemcpyHtoD_v2(d, from, bytes)
                                  : cuMemcpyHtoDAsync_v2(d, from, bytes, stream));
    if (kind == cudaMemcpyDeviceToHost)
        return (cudaError_t)(wait ? cuMemcpyDtoH_v2(to, s, bytes)
                                  : cuMemcpyDtoHAsync_v2(to, s, bytes, stream));
    if (kind == cudaMemcpyDeviceToDevice)
        return (cudaError_t)(wait ? cuMemcpyDtoD_v2(d, s, bytes)
                                  : cuMemcpyDtoDAsync_v2(d, s, bytes, stream));
    return (cudaError_t)(wait ? cuMemcpy(d, s, bytes) : cuMemcpyAsync(d, s, bytes, stream));
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, int kind)
{
    DO(copy(to, from, bytes, kind, NULL, true));
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, CUstream stream)
{
    DO(copy(to, from, bytes, kind, stream, false));
}

static CUDA_MEMCPY2D rows(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                          size_t width, size_t height)
{
    return (CUDA_MEMCPY2D){.srcMemoryType = CU_MEMORYTYPE_UNIFIED,
                           .srcDevice = ADDRESS(from),
                           .srcPitch = from_pitch,
                           .dstMemoryType = CU_MEMORYTYPE_UNIFIED,
                           .dstDevice = ADDRESS(to),
                           .dstPitch = to_pitch,
                           .WidthInBytes = width,
                           .Height = height};
}

cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                         size_t width, size_t height, int kind)
{
    CUDA_MEMCPY2D p = rows(to, to_pitch, from, from_pitch, width, height);
    (void)kind; /* the addresses say it */
    DO(cuMemcpy2D_v2(&p));
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, int kind, CUstream stream)
{
    CUDA_MEMCPY2D p = rows(to, to_pitch, from, from_pitch, width, height);
    (void)kind;
    DO(cuMemcpy2DAsync_v2(&p, stream));
}

cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    DO(cuMemsetD8_v2(ADDRESS(to), (unsigned char)value, bytes));
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, CUstream stream)
{
    DO(cuMemsetD8Async(ADDRESS(to), (unsigned char)value, bytes, stream));
}

cudaError_t cudaMemset2D(void *to, size_t pitch, int value, size_t width, size_t height)
{
    DO(cuMemsetD2D8_v2(ADDRESS(to), pitch, (unsigned char)value, width, height));
}

static cudaError_t place(const void *symbol, size_t bytes, size_t offset, void **at)
{
    CUdeviceptr base = 0;
    size_t size = 0;
    cudaError_t e = rt_symbol(symbol, &base, &size);
    if (!e && (offset > size || bytes > size - offset))
        e = CUDA_ERROR_INVALID_VALUE;
    *at = (void *)(uintptr_t)(base + offset);
    return e;
}

cudaError_t cudaMemcpyToSymbol(const void *symbol, const void *from, size_t bytes, size_t offset,
                               int kind)
{
    void *at;
    RT_ENTER();
    cudaError_t e = place(symbol, bytes, offset, &at);
    return rt_end(e ? e : copy(at, from, bytes, kind, NULL, true));
}

cudaError_t cudaMemcpyToSymbolAsync(const void *symbol, const void *from, size_t bytes,
                                    size_t offset, int kind, CUstream stream)
{
    void *at;
    RT_ENTER();
    cudaError_t e = place(symbol, bytes, offset, &at);
    return rt_end(e ? e : copy(at, from, bytes, kind, stream, false));
}

cudaError_t cudaMemcpyFromSymbol(void *to, const void *symbol, size_t bytes, size_t offset,
                                 int kind)
{
    void *at;
    RT_ENTER();
    cudaError_t e = place(symbol, bytes, offset, &at);
    return rt_end(e ? e : copy(to, at, bytes, kind, NULL, true));
}

cudaError_t cudaGetSymbolAddress(void **p, const void *symbol)
{
    RT_ENTER();
    return rt_end(p ? place(symbol, 0, 0, p) : CUDA_ERROR_INVALID_VALUE);
}

cudaError_t cudaGetSymbolSize(size_t *bytes, const void *symbol)
{
    CUdeviceptr at;
    RT_ENTER();
    return rt_end(bytes ? rt_symbol(symbol, &at, bytes) : CUDA_ERROR_INVALID_VALUE);
}

/* ---- streams and events ---- */

cudaError_t cudaStreamCreate(CUstream *stream) { DO(cuStreamCreate(stream, 0)); }

cudaError_t cudaStreamCreateWithFlags(CUstream *stream, unsigned flags)
{
    DO(cuStreamCreate(stream, flags));
}

cudaError_t cudaStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority)
{
    DO(cuStreamCreateWithPriority(stream, flags, priority));
}

cudaError_t cudaStreamDestroy(CUstream stream) { DO(cuStreamDestroy_v2(stream)); }

cudaError_t cudaStreamSynchronize(CUstream stream) { DO(cuStreamSynchronize(stream)); }

cudaError_t cudaStreamQuery(CUstream stream) { DO(cuStreamQuery(stream)); }

cudaError_t cudaStreamWaitEvent(CUstream stream, CUevent event, unsigned flags)
{
    DO(cuStreamWaitEvent(stream, event, flags));
}

cudaError_t cudaLaunchHostFunc(CUstream stream, CUhostFn function, void *data)
{
    DO(cuLaunchHostFunc(stream, function, data));
}

cudaError_t cudaStreamAddCallback(CUstream stream, CUstreamCallback callback, void *data,
                                  unsigned flags)
{
    DO(cuStreamAddCallback(stream, callback, data, flags));
}

cudaError_t cudaStreamBeginCapture(CUstream stream, int mode)
{
    DO(cuStreamBeginCapture_v2(stream, (CUstreamCaptureMode)mode));
}

cudaError_t cudaStreamEndCapture(CUstream stream, CUgraph *graph)
{
    DO(cuStreamEndCapture(stream, graph));
}

cudaError_t cudaStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status)
{
    DO(cuStreamIsCapturing(stream, status));
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    DO(cuCtxGetStreamPriorityRange(least, greatest));
}

cudaError_t cudaEventCreate(CUevent *event) { DO(cuEventCreate(event, 0)); }

cudaError_t cudaEventCreateWithFlags(CUevent *event, unsigned flags)
{
    DO(cuEventCreate(event, flags));
}

cudaError_t cudaEventRecord(CUevent event, CUstream stream) { DO(cuEventRecord(event, stream)); }

cudaError_t cudaEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags)
{
    DO(cuEventRecordWithFlags(event, stream, flags));
}

cudaError_t cudaEventSynchronize(CUevent event) { DO(cuEventSynchronize(event)); }

cudaError_t cudaEventQuery(CUevent event) { DO(cuEventQuery(event)); }

cudaError_t cudaEventElapsedTime(float *ms, CUevent begin, CUevent end)
{
    DO(cuEventElapsedTime_v2(ms, begin, end));
}

cudaError_t cudaEventDestroy(CUevent event) { DO(cuEventDestroy_v2(event)); }

/* ---- graphs ---- */

cudaError_t cudaGraphInstantiate(CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
    DO(cuGraphInstantiateWithFlags(exec, graph, flags));
}

cudaError_t cudaGraphLaunch(CUgraphExec exec, CUstream stream) { DO(cuGraphLaunch(exec, stream)); }

cudaError_t cudaGraphExecDestroy(CUgraphExec exec) { DO(cuGraphExecDestroy(exec)); }

cudaError_t cudaGraphDestroy(CUgraph graph) { DO(cuGraphDestroy(graph)); }

/* ---- the driver's entries ---- */

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned version,
                                             unsigned long long flags,
                                             CUdriverProcAddressQueryResult *status)
{
    return rt_end((cudaError_t)cuGetProcAddress_v2(symbol, function, (int)version, flags, status));
}
