/* What the host code that nvcc writes tells the runtime before main: fat binaries, their kernels
 * and variables; and the launches of <<< >>>. A fat binary is loaded when something of it is first
 * used, into the context that is current then. A __managed__ variable is the module's own: device
 * memory lies where the host can touch it. */
#include "cudart.h"
#include "cudart_calls.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct binary {
    void *image;
    CUlibrary library; /* NULL: not loaded */
    bool managed;      /* it has __managed__ variables, */
    CUcontext home;    /* which are in this context alone */
    struct binary *next;
};
/* A kernel or variable: the address that host code knows it by. */
struct entry {
    const void *host;
    const char *name;
    struct binary *binary;
    CUkernel kernel;
    void **managed; /* the host's pointer to it */
    bool variable;
    struct entry *next;
};
static struct binary *binaries;
static struct entry *entries;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- registering: there is nobody to give an error to ---- */

void **__cudaRegisterFatBinary(void *image)
{
    struct binary *b = calloc(1, sizeof *b);
    if (!b) {
        fprintf(stderr, "nncsim: out of memory\n");
        abort();
    }
    b->image = image;
    pthread_mutex_lock(&lock);
    b->next = binaries;
    binaries = b;
    pthread_mutex_unlock(&lock);
    return (void **)b;
}

void __cudaRegisterFatBinaryEnd(void **handle) { (void)handle; }

void __cudaUnregisterFatBinary(void **handle)
{
    struct binary *b = (struct binary *)handle;
    pthread_mutex_lock(&lock);
    for (struct binary **at = &binaries; *at; at = &(*at)->next)
        if (*at == b) {
            *at = b->next;
            break;
        }
    for (struct entry **at = &entries; *at;) {
        struct entry *e = *at;
        if (e->binary != b) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        free(e);
    }
    pthread_mutex_unlock(&lock);
    free(b); /* the driver ends with the process */
}

static void enter(void **handle, const void *host, const char *name, void **managed, bool variable)
{
    struct entry *e = calloc(1, sizeof *e);
    if (!e) {
        fprintf(stderr, "nncsim: out of memory\n");
        abort();
    }
    *e = (struct entry){.host = host,
                        .name = name,
                        .binary = (struct binary *)handle,
                        .managed = managed,
                        .variable = variable};
    pthread_mutex_lock(&lock);
    e->next = entries;
    entries = e;
    pthread_mutex_unlock(&lock);
}

void __cudaRegisterFunction(void **handle, const char *host, char *device, const char *name,
                            int limit, uint3 *tid, uint3 *bid, dim3 *block, dim3 *grid, int *warp)
{
    (void)device, (void)limit, (void)tid, (void)bid, (void)block, (void)grid, (void)warp;
    enter(handle, host, name, NULL, false);
}

void __cudaRegisterVar(void **handle, char *host, char *device, const char *name, int external,
                       size_t bytes, int constant, int global)
{
    (void)device, (void)external, (void)bytes, (void)constant, (void)global;
    enter(handle, host, name, NULL, true);
}

void __cudaRegisterManagedVar(void **handle, void **host, char *device, const char *name,
                              int external, size_t bytes, int constant, int global)
{
    (void)device, (void)external, (void)bytes, (void)constant, (void)global;
    enter(handle, host, name, host, true);
    ((struct binary *)handle)->managed = true;
}

/* ---- finding ---- */

static struct entry *find(const void *host, bool variable)
{
    for (struct entry *e = entries; e; e = e->next)
        if (e->variable == variable && (e->host == host || (e->managed && *e->managed == host)))
            return e;
    return NULL;
}

/* Sets the host's pointers to the variables; another device would have others of its own. */
static CUresult load_managed(struct binary *b)
{
    CUcontext now = NULL;
    CUresult r = cuCtxGetCurrent(&now);
    if (!r && b->home && now != b->home) {
        fprintf(stderr, "nncsim: __managed__ variables of several devices are not simulated\n");
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    for (struct entry *e = entries; e && !r && !b->home; e = e->next) {
        CUdeviceptr at = 0;
        if (e->binary == b && e->managed)
            r = cuLibraryGetGlobal(&at, NULL, b->library, e->name);
        if (at)
            *e->managed = (void *)(uintptr_t)at;
    }
    b->home = r ? b->home : now;
    return r;
}

static CUresult load(struct binary *b)
{
    CUresult r = CUDA_SUCCESS;
    if (!b->library)
        r = cuLibraryLoadData(&b->library, b->image, NULL, NULL, 0, NULL, NULL, 0);
    return r || !b->managed ? r : load_managed(b);
}

/* Before the host's first use of a __managed__ variable, which takes no error. */
char __cudaInitModule(void **handle)
{
    CUresult r = (CUresult)rt_enter();
    pthread_mutex_lock(&lock);
    if (!r)
        r = load((struct binary *)handle);
    pthread_mutex_unlock(&lock);
    if (r) {
        fprintf(stderr, "nncsim: the program's __managed__ variables cannot be had: error %d\n", r);
        exit(EXIT_FAILURE);
    }
    return 1;
}

/* The kernel behind the address of a __global__ function, or a handle that __cudaGetKernel gave. */
static cudaError_t kernel_of(const void *host, CUfunction *function)
{
    pthread_mutex_lock(&lock);
    struct entry *e = find(host, false);
    CUresult r = e ? load(e->binary) : CUDA_SUCCESS;
    if (e && !r && !e->kernel)
        r = cuLibraryGetKernel(&e->kernel, e->binary->library, e->name);
    CUkernel kernel = e ? e->kernel : (CUkernel)(uintptr_t)host;
    pthread_mutex_unlock(&lock);
    if (!r)
        r = cuKernelGetFunction(function, kernel);
    return r == CUDA_ERROR_INVALID_HANDLE || r == CUDA_ERROR_NOT_FOUND
               ? cudaErrorInvalidDeviceFunction
               : (cudaError_t)r;
}

cudaError_t rt_symbol(const void *symbol, CUdeviceptr *at, size_t *bytes)
{
    pthread_mutex_lock(&lock);
    struct entry *e = find(symbol, true);
    CUresult r = e ? load(e->binary) : CUDA_ERROR_NOT_FOUND;
    if (!r)
        r = cuLibraryGetGlobal(at, bytes, e->binary->library, e->name);
    pthread_mutex_unlock(&lock);
    return r == CUDA_ERROR_NOT_FOUND ? cudaErrorInvalidSymbol : (cudaError_t)r;
}

void rt_forget(void)
{
    pthread_mutex_lock(&lock);
    for (struct entry *e = entries; e; e = e->next)
        e->kernel = NULL;
    for (struct binary *b = binaries; b; b = b->next) {
        if (b->library)
            cuLibraryUnload(b->library);
        b->library = NULL;
        b->home = NULL;
    }
    pthread_mutex_unlock(&lock);
}

/* ---- launches ---- */

#define DEEP 16
static _Thread_local struct {
    dim3 grid, block;
    size_t shared;
    CUstream stream;
} pushed[DEEP];
static _Thread_local unsigned depth;

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, CUstream stream)
{
    if (depth == DEEP)
        return 1;
    pushed[depth].grid = grid;
    pushed[depth].block = block;
    pushed[depth].shared = shared;
    pushed[depth++].stream = stream;
    return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream)
{
    if (!depth)
        return rt_end(cudaErrorInvalidConfiguration);
    depth--;
    *grid = pushed[depth].grid;
    *block = pushed[depth].block;
    *shared = pushed[depth].shared;
    *(CUstream *)stream = pushed[depth].stream;
    return 0;
}

static cudaError_t shape(dim3 grid, dim3 block)
{
    bool ok = grid.x && grid.y && grid.z && grid.y <= 65535 && grid.z <= 65535 &&
              grid.x <= INT32_MAX && block.x && block.y && block.z && block.x <= 1024 &&
              block.y <= 1024 && block.z <= 64 && (uint64_t)block.x * block.y * block.z <= 1024;
    return ok ? 0 : cudaErrorInvalidConfiguration;
}

static cudaError_t launch(const void *function, dim3 grid, dim3 block, void **args, size_t shared,
                          CUstream stream)
{
    CUfunction f = NULL;
    RT_ENTER();
    cudaError_t e = shape(grid, block);
    if (!e)
        e = kernel_of(function, &f);
    if (!e)
        e = (cudaError_t)cuLaunchKernel(f, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                                        (unsigned)shared, stream, args, NULL);
    return rt_end(e);
}

cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **args,
                             size_t shared, CUstream stream)
{
    return launch(function, grid, block, args, shared, stream);
}

/* The handle is the host's address: the kernel is loaded when it is launched. */
cudaError_t __cudaGetKernel(CUkernel *kernel, const void *function)
{
    *kernel = (CUkernel)(uintptr_t)function;
    return 0;
}

cudaError_t __cudaLaunchKernel(CUkernel kernel, dim3 grid, dim3 block, void **args, size_t shared,
                               CUstream stream)
{
    return launch(kernel, grid, block, args, shared, stream);
}

cudaError_t __cudaLaunchKernel_ptsz(CUkernel kernel, dim3 grid, dim3 block, void **args,
                                    size_t shared, CUstream stream)
{
    return launch(kernel, grid, block, args, shared, stream ? stream : CU_STREAM_PER_THREAD);
}

static CUlaunchConfig config_of(const cudaLaunchConfig_t *c)
{
    return (CUlaunchConfig){c->gridDim.x,
                            c->gridDim.y,
                            c->gridDim.z,
                            c->blockDim.x,
                            c->blockDim.y,
                            c->blockDim.z,
                            (unsigned)c->dynamicSmemBytes,
                            c->stream,
                            c->attrs,
                            c->numAttrs};
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *c, const void *function, void **args)
{
    CUfunction f = NULL;
    RT_ENTER();
    cudaError_t e = c ? shape(c->gridDim, c->blockDim) : CUDA_ERROR_INVALID_VALUE;
    if (!e)
        e = kernel_of(function, &f);
    if (e)
        return rt_end(e);
    CUlaunchConfig d = config_of(c);
    return rt_end((cudaError_t)cuLaunchKernelEx(&d, f, args, NULL));
}

cudaError_t cudaLaunchCooperativeKernel(const void *function, dim3 grid, dim3 block, void **args,
                                        size_t shared, CUstream stream)
{
    CUfunction f = NULL;
    RT_ENTER();
    cudaError_t e = shape(grid, block);
    if (!e)
        e = kernel_of(function, &f);
    if (!e)
        e = (cudaError_t)cuLaunchCooperativeKernel(f, grid.x, grid.y, grid.z, block.x, block.y,
                                                   block.z, (unsigned)shared, stream, args);
    return rt_end(e);
}

/* ---- functions ---- */

cudaError_t cudaFuncSetAttribute(const void *function, int attribute, int value)
{
    CUfunction f;
    RT_ENTER();
    cudaError_t e = kernel_of(function, &f);
    return rt_end(e ? e
                    : (cudaError_t)cuFuncSetAttribute(f, (CUfunction_attribute)attribute, value));
}

cudaError_t cudaFuncSetCacheConfig(const void *function, int config)
{
    CUfunction f;
    RT_ENTER();
    cudaError_t e = kernel_of(function, &f);
    return rt_end(e ? e : (cudaError_t)cuFuncSetCacheConfig(f, (CUfunc_cache)config));
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *a, const void *function)
{
    CUfunction f;
    int v[CU_FUNC_ATTRIBUTE_MAX] = {0};
    RT_ENTER();
    if (!a)
        return rt_end(CUDA_ERROR_INVALID_VALUE);
    cudaError_t e = kernel_of(function, &f);
    for (int i = 0; !e && i < CU_FUNC_ATTRIBUTE_MAX; i++)
        e = (cudaError_t)cuFuncGetAttribute(&v[i], (CUfunction_attribute)i, f);
    if (e)
        return rt_end(e);
    memset(a, 0, sizeof *a);
    a->maxThreadsPerBlock = v[CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK];
    a->sharedSizeBytes = (size_t)v[CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES];
    a->constSizeBytes = (size_t)v[CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES];
    a->localSizeBytes = (size_t)v[CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES];
    a->numRegs = v[CU_FUNC_ATTRIBUTE_NUM_REGS];
    a->ptxVersion = v[CU_FUNC_ATTRIBUTE_PTX_VERSION];
    a->binaryVersion = v[CU_FUNC_ATTRIBUTE_BINARY_VERSION];
    a->maxDynamicSharedSizeBytes = v[CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES];
    a->preferredShmemCarveout = v[CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT];
    a->clusterDimMustBeSet = v[CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET];
    a->requiredClusterWidth = v[CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH];
    a->requiredClusterHeight = v[CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT];
    a->requiredClusterDepth = v[CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH];
    a->nonPortableClusterSizeAllowed = v[CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED];
    a->clusterSchedulingPolicyPreference =
        v[CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE];
    return 0;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks,
                                                                   const void *function,
                                                                   int threads, size_t shared,
                                                                   unsigned flags)
{
    CUfunction f;
    RT_ENTER();
    cudaError_t e = kernel_of(function, &f);
    return rt_end(e ? e
                    : (cudaError_t)cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
                          blocks, f, threads, shared, flags));
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function,
                                                          int threads, size_t shared)
{
    return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared,
                                                                  0);
}

static cudaError_t of_clusters(int *to, const void *function, const cudaLaunchConfig_t *c,
                               CUresult (*ask)(int *, CUfunction, const CUlaunchConfig *))
{
    CUfunction f;
    RT_ENTER();
    cudaError_t e = c ? kernel_of(function, &f) : CUDA_ERROR_INVALID_VALUE;
    if (e)
        return rt_end(e);
    CUlaunchConfig d = config_of(c);
    return rt_end((cudaError_t)ask(to, f, &d));
}

cudaError_t cudaOccupancyMaxActiveClusters(int *clusters, const void *function,
                                           const cudaLaunchConfig_t *config)
{
    return of_clusters(clusters, function, config, cuOccupancyMaxActiveClusters);
}

cudaError_t cudaOccupancyMaxPotentialClusterSize(int *size, const void *function,
                                                 const cudaLaunchConfig_t *config)
{
    return of_clusters(size, function, config, cuOccupancyMaxPotentialClusterSize);
}
