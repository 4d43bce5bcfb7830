/* A CUDA runtime library over the software GPU's driver, from the runtime API's public headers: for
 * programs that nvcc builds with -cudart shared. (The vendor's own runtime library asks a driver
 * for private tables, which this one does not have.) cudart.c: devices, memory, streams, events,
 * graphs; kernels.c: what nvcc's host code registers and launches; beyond.c: the rest. Statuses are
 * the driver's numbers, as in the runtime's headers. */
#ifndef NN_SIM_CUDART_H
#define NN_SIM_CUDART_H

/* The library is built once for each version of the runtime: CUDART is 12 or 13. */
#ifndef CUDART
#error CUDART says for which version of the runtime this is
#endif

#include "../driver/cuda_calls.h"
#include <stdbool.h>

typedef int cudaError_t;
enum {
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInvalidSymbol = 13,
    cudaErrorInvalidMemcpyDirection = 21,
    cudaErrorInvalidDeviceFunction = 98
};
enum {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
};
typedef struct dim3 {
    unsigned x, y, z;
} dim3;
typedef struct uint3 uint3;

struct cudaFuncAttributes {
    size_t sharedSizeBytes, constSizeBytes, localSizeBytes;
    int maxThreadsPerBlock, numRegs, ptxVersion, binaryVersion, cacheModeCA;
    int maxDynamicSharedSizeBytes, preferredShmemCarveout, clusterDimMustBeSet;
    int requiredClusterWidth, requiredClusterHeight, requiredClusterDepth;
    int clusterSchedulingPolicyPreference, nonPortableClusterSizeAllowed;
    int reserved[16];
};
struct cudaPointerAttributes {
    int type; /* 0: unregistered, 1: host, 2: device, 3: managed */
    int device;
    void *devicePointer, *hostPointer;
    long reserved[8];
};
typedef struct cudaLaunchConfig_st {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    CUstream stream;
    CUlaunchAttribute *attrs;
    unsigned int numAttrs;
} cudaLaunchConfig_t;
struct cudaMemLocation {
    int type, id;
};
#if CUDART == 12
#define IN_12(...) __VA_ARGS__
#define SINCE_13(...)
#define RESERVED 63
#else
#define IN_12(...)
#define SINCE_13(...) __VA_ARGS__
#define RESERVED 56
#endif
/* clang-format off */
struct cudaDeviceProp {
    char name[256];
    CUuuid uuid;
    char luid[8];
    unsigned luidDeviceNodeMask;
    size_t totalGlobalMem, sharedMemPerBlock;
    int regsPerBlock, warpSize;
    size_t memPitch;
    int maxThreadsPerBlock, maxThreadsDim[3], maxGridSize[3];
    IN_12(int clockRate;)
    size_t totalConstMem;
    int major, minor;
    size_t textureAlignment, texturePitchAlignment;
    IN_12(int deviceOverlap;)
    int multiProcessorCount;
    IN_12(int kernelExecTimeoutEnabled;)
    int integrated, canMapHostMemory;
    IN_12(int computeMode;)
    int maxTexture1D, maxTexture1DMipmap;
    IN_12(int maxTexture1DLinear;)
    int maxTexture2D[2], maxTexture2DMipmap[2], maxTexture2DLinear[3];
    int maxTexture2DGather[2], maxTexture3D[3], maxTexture3DAlt[3], maxTextureCubemap;
    int maxTexture1DLayered[2], maxTexture2DLayered[3], maxTextureCubemapLayered[2];
    int maxSurface1D, maxSurface2D[2], maxSurface3D[3], maxSurface1DLayered[2];
    int maxSurface2DLayered[3], maxSurfaceCubemap, maxSurfaceCubemapLayered[2];
    size_t surfaceAlignment;
    int concurrentKernels, ECCEnabled, pciBusID, pciDeviceID, pciDomainID, tccDriver;
    int asyncEngineCount, unifiedAddressing;
    IN_12(int memoryClockRate;)
    int memoryBusWidth, l2CacheSize, persistingL2CacheMaxSize, maxThreadsPerMultiProcessor;
    int streamPrioritiesSupported, globalL1CacheSupported, localL1CacheSupported;
    size_t sharedMemPerMultiprocessor;
    int regsPerMultiprocessor, managedMemory, isMultiGpuBoard, multiGpuBoardGroupID;
    int hostNativeAtomicSupported;
    IN_12(int singleToDoublePrecisionPerfRatio;)
    int pageableMemoryAccess, concurrentManagedAccess, computePreemptionSupported;
    int canUseHostPointerForRegisteredMem, cooperativeLaunch;
    IN_12(int cooperativeMultiDeviceLaunch;)
    size_t sharedMemPerBlockOptin;
    int pageableMemoryAccessUsesHostPageTables, directManagedMemAccessFromHost;
    int maxBlocksPerMultiProcessor, accessPolicyMaxWindowSize;
    size_t reservedSharedMemPerBlock;
    int hostRegisterSupported, sparseCudaArraySupported, hostRegisterReadOnlySupported;
    int timelineSemaphoreInteropSupported, memoryPoolsSupported, gpuDirectRDMASupported;
    unsigned gpuDirectRDMAFlushWritesOptions;
    int gpuDirectRDMAWritesOrdering;
    unsigned memoryPoolSupportedHandleTypes;
    int deferredMappingCudaArraySupported, ipcEventSupported, clusterLaunch;
    int unifiedFunctionPointers;
    SINCE_13(int deviceNumaConfig, deviceNumaId, mpsEnabled, hostNumaId;)
    SINCE_13(unsigned gpuPciDeviceID, gpuPciSubsystemID; int hostNumaMultinodeIpcSupported;)
    int reserved[RESERVED];
};
/* clang-format on */

/* Initialises the driver and makes a context current in this thread, the device's primary one if it
 * has none. */
cudaError_t rt_enter(void);
cudaError_t rt_end(cudaError_t error); /* remembers it for cudaGetLastError; gives it back */
#define RT_ENTER()                                                                                 \
    do {                                                                                           \
        cudaError_t entered = rt_enter();                                                          \
        if (entered)                                                                               \
            return rt_end(entered);                                                                \
    } while (0)

/* The body of a call that is one of the driver's. */
#define DO(call)                                                                                   \
    RT_ENTER();                                                                                    \
    return rt_end((cudaError_t)(call))
#define ADDRESS(p) ((CUdeviceptr)(uintptr_t)(p))

cudaError_t rt_symbol(const void *symbol, CUdeviceptr *at,
                      size_t *bytes); /* of a registered variable */
void rt_forget(void);                 /* the context was reset: what was loaded into it is gone */

#endif
