/* The software GPU's driver: the calls that the other tests do not come by, right and wrong; and
 * every entry that there is with nothing but zeros, which none may trip over. */
#include "simdriver.h"

static CUcontext context;
static CUdeviceptr memory, other;

static int word(CUdeviceptr at)
{
    int v = -1;
    ok(cuMemcpyDtoH_v2(&v, at, sizeof v));
    return v;
}

static void contexts(void)
{
    CUcontext c, d;
    CUdevice device = -1;
    unsigned flags;
    int n;
    CUsharedconfig bank;
    CUevent e;
    CUuuid id;
    ok(cuCtxAttach(&c, 0));
    test(c == context);
    gives(cuCtxAttach(&c, 1), INVALID);
    ok(cuCtxCreate_v3(&c, NULL, 0, 0, 0));
    gives(cuCtxCreate_v3(&d, &n, 1, 0, 0), CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY);
    ok(cuCtxGetDevice_v2(&device, context));
    test(device == 0);
    gives(cuCtxGetDevice_v2(NULL, c), INVALID);
    gives(cuCtxGetDevice_v2(&device, (CUcontext)&n), CUDA_ERROR_INVALID_CONTEXT);
    ok(cuCtxSetFlags(4));
    ok(cuCtxGetFlags(&flags));
    test(flags == 4);
    gives(cuCtxSetFlags(0x1000), INVALID);
    gives(cuCtxGetFlags(NULL), INVALID);
    ok(cuCtxSetSharedMemConfig(CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE));
    ok(cuCtxGetSharedMemConfig(&bank));
    gives(cuCtxSetSharedMemConfig((CUsharedconfig)7), INVALID);
    gives(cuCtxGetSharedMemConfig(NULL), INVALID);
    ok(cuCtxResetPersistingL2Cache());
    ok(cuCtxSynchronize_v2(c));
    gives(cuCtxSynchronize_v2((CUcontext)&n), CUDA_ERROR_INVALID_CONTEXT);
    ok(cuEventCreate(&e, 0));
    ok(cuCtxRecordEvent(c, e));
    ok(cuCtxWaitEvent(context, e));
    gives(cuCtxRecordEvent(context, e), BAD_HANDLE); /* another's */
    gives(cuCtxWaitEvent(c, (CUevent)&n), BAD_HANDLE);
    gives(cuCtxEnablePeerAccess(context, 0), CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
    gives(cuCtxEnablePeerAccess(context, 1), INVALID);
    gives(cuCtxDisablePeerAccess(context), CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
    ok(cuCtxDetach(c));
    ok(cuCtxGetCurrent(&d));
    test(d == context);
    ok(cuDeviceGetExecAffinitySupport(&n, CU_EXEC_AFFINITY_TYPE_SM_COUNT, 0));
    test(n == 0);
    gives(cuDeviceGetExecAffinitySupport(&n, CU_EXEC_AFFINITY_TYPE_MAX, 0), INVALID);
    ok(cuDeviceGetUuid(&id, 0));
    test(!memcmp(id.bytes, "nncsim", 6));
    ok(cuProfilerStart());
    ok(cuProfilerStop());
}

static void primary_reset(void)
{
    CUcontext p;
    CUdeviceptr at;
    ok(cuDevicePrimaryCtxRetain(&p, 0));
    ok(cuCtxPushCurrent_v2(p));
    ok(cuMemAlloc_v2(&at, 16));
    ok(cuDevicePrimaryCtxReset_v2(0));
    gives(cuMemFree_v2(at), INVALID); /* it went with the old state */
    ok(cuMemAlloc_v2(&at, 16));
    ok(cuCtxPopCurrent_v2(NULL));
    ok(cuDevicePrimaryCtxRelease_v2(0));
    gives(cuDevicePrimaryCtxReset_v2(5), CUDA_ERROR_INVALID_DEVICE);
}

static void pools(void)
{
    CUmemoryPool usual, mine;
    CUmemPoolProps p = {.allocType = 1, .location = {1, 0}, .maxSize = 1000};
    CUmemAccessDesc access = {{1, 0}, 3};
    CUmemLocation here = {1, 0};
    CUdeviceptr at;
    int v = 0;
    uint64_t n = 7;
    ok(cuMemPoolCreate(&mine, &p));
    ok(cuDeviceGetMemPool(&usual, 0));
    ok(cuDeviceSetMemPool(0, mine));
    gives(cuDeviceSetMemPool(0, (CUmemoryPool)&n), INVALID);
    gives(cuDeviceSetMemPool(1, mine), CUDA_ERROR_INVALID_DEVICE);
    ok(cuMemAllocAsync(&at, 600, NULL));
    gives(cuMemAllocFromPoolAsync(&at, 600, mine, NULL),
          CUDA_ERROR_OUT_OF_MEMORY); /* beyond its size */
    ok(cuMemFreeAsync(at, NULL));
    ok(cuMemPoolSetAttribute(mine, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &n));
    n = 0;
    ok(cuMemPoolGetAttribute(mine, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &n));
    test(n == 7);
    ok(cuMemPoolGetAttribute(mine, CU_MEMPOOL_ATTR_USED_MEM_HIGH, &n));
    test(n == 600);
    gives(cuMemPoolSetAttribute(mine, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &n), INVALID);
    gives(cuMemPoolSetAttribute(mine, (CUmemPool_attribute)99, &n), INVALID);
    ok(cuMemPoolSetAttribute(mine, CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, &v));
    ok(cuMemPoolTrimTo(mine, 0));
    ok(cuMemPoolSetAccess(mine, &access, 1));
    access.location.id = 4;
    gives(cuMemPoolSetAccess(mine, &access, 1), INVALID);
    ok(cuMemPoolGetAccess(&v, mine, &here));
    test(v == 3);
    gives(cuMemPoolGetAccess(&v, mine, NULL), INVALID);
    ok(cuDeviceSetMemPool(0, usual));
    ok(cuMemPoolDestroy(mine));
    gives(cuMemPoolTrimTo(mine, 0), INVALID);
}

static void managed(void)
{
    CUdeviceptr at;
    CUmemLocation here = {1, 0};
    ok(cuMemAllocManaged(&at, 256, CU_MEM_ATTACH_HOST));
    ok(cuMemAdvise(at, 256, 1, 0));
    ok(cuMemAdvise_v2(at, 256, 3, here));
    ok(cuMemPrefetchAsync_v2(at, 256, here, 0, NULL));
    ok(cuStreamAttachMemAsync(NULL, at, 0, CU_MEM_ATTACH_GLOBAL));
    gives(cuMemAdvise(at, 256, 99, 0), INVALID);
    gives(cuMemAdvise(at, 256, 1, 8), CUDA_ERROR_INVALID_DEVICE);
    gives(cuMemAdvise_v2(memory, 16, 1, here), INVALID); /* not managed */
    gives(cuMemPrefetchAsync_v2(at, 512, here, 0, NULL), INVALID);
    gives(cuStreamAttachMemAsync(NULL, at, 0, 9), INVALID);
    ok(cuMemFree_v2(at));
}

static void copies(void)
{
    int in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8] = {0};
    ok(cuMemcpyHtoDAsync_v2(memory, in, sizeof in, NULL));
    gives(cuMemcpyHtoDAsync_v2(64, in, sizeof in, NULL), INVALID);
    ok(cuMemcpyAsync(other, memory, sizeof in, NULL));
    ok(cuMemcpyPeer(other + 4, context, memory, context, 4));
    gives(cuMemcpyPeer(other, context, memory, NULL, 4), CUDA_ERROR_INVALID_CONTEXT);
    ok(cuMemcpyPeerAsync(other + 8, context, memory, context, 4, NULL));
    gives(cuMemcpyPeerAsync(other, NULL, memory, context, 4, NULL), CUDA_ERROR_INVALID_CONTEXT);
    ok(cuMemcpyDtoH_v2(out, other, sizeof out));
    test(out[0] == 1 && out[1] == 1 && out[2] == 1 && out[3] == 4);
    CUDA_MEMCPY2D p = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                       .srcDevice = memory,
                       .srcPitch = 16,
                       .dstMemoryType = CU_MEMORYTYPE_HOST,
                       .dstHost = out,
                       .dstPitch = 4,
                       .WidthInBytes = 4,
                       .Height = 2};
    ok(cuMemcpy2DAsync_v2(&p, NULL));
    test(out[0] == 1 && out[1] == 5);
    p.srcXInBytes = 4;
    ok(cuMemcpy2DUnaligned_v2(&p));
    test(out[0] == 2 && out[1] == 6);
    gives(cuMemcpy2DAsync_v2(NULL, NULL), INVALID);
    p.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    gives(cuMemcpy2DUnaligned_v2(&p), CUDA_ERROR_NOT_SUPPORTED);
    CUDA_MEMCPY3D q = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                       .srcDevice = memory + 8,
                       .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                       .dstDevice = other,
                       .WidthInBytes = 4,
                       .Height = 1,
                       .Depth = 1};
    ok(cuMemcpy3DAsync_v2(&q, NULL));
    test(word(other) == 3);
    q.srcLOD = 1;
    gives(cuMemcpy3DAsync_v2(&q, NULL), INVALID);
}

static void memsets(void)
{
    ok(cuMemsetD32_v2(memory, 0, 64));
    ok(cuMemsetD8Async(memory, 1, 2, NULL));
    test(word(memory) == 0x0101);
    ok(cuMemsetD16Async(memory, 0x0203, 1, NULL));
    test(word(memory) == 0x0203);
    ok(cuMemsetD2D8Async(memory, 16, 5, 1, 2, NULL));
    test(word(memory) == 0x0205 && word(memory + 16) == 5 && word(memory + 32) == 0);
    ok(cuMemsetD2D16_v2(memory, 16, 7, 1, 2));
    ok(cuMemsetD2D16Async(memory, 16, 8, 1, 3, NULL));
    test(word(memory) == 8 && word(memory + 32) == 8 && word(memory + 48) == 0);
    ok(cuMemsetD2D32_v2(memory, 16, 9, 1, 2));
    ok(cuMemsetD2D32Async(memory, 16, 10, 2, 1, NULL));
    test(word(memory) == 10 && word(memory + 4) == 10 && word(memory + 16) == 9);
    gives(cuMemsetD16Async(memory + 1, 1, 1, NULL), INVALID);
    gives(cuMemsetD2D16_v2(memory, 3, 1, 1, 2), INVALID);
    gives(cuMemsetD2D32Async(memory, 4, 1, 2, 2, NULL), INVALID);
}

static void streams(void)
{
    CUstream s, t;
    CUcontext c;
    CUdevice d;
    CUgreenCtx green = (CUgreenCtx)&d;
    CUlaunchAttributeValue v = {.priority = -2};
    CUevent e;
    float ms;
    ok(cuStreamCreate(&s, 0));
    ok(cuStreamCreateWithPriority(&t, 0, -1));
    ok(cuStreamGetCtx_v2(s, &c, &green));
    test(c == context && !green);
    ok(cuStreamGetDevice(s, &d));
    test(d == 0);
    gives(cuStreamGetDevice(s, NULL), INVALID);
    ok(cuStreamSetAttribute(s, CU_LAUNCH_ATTRIBUTE_PRIORITY, &v));
    ok(cuStreamCopyAttributes(t, s));
    v.priority = 0;
    ok(cuStreamGetAttribute(t, CU_LAUNCH_ATTRIBUTE_PRIORITY, &v));
    test(v.priority == -2);
    gives(cuStreamGetAttribute(t, (CUlaunchAttributeID)77, &v), INVALID);
    gives(cuStreamSetAttribute(t, CU_LAUNCH_ATTRIBUTE_PRIORITY, NULL), INVALID);
    gives(cuStreamCopyAttributes(t, (CUstream)&d), BAD_HANDLE);
    ok(cuEventCreate(&e, 0));
    ok(cuEventRecordWithFlags(e, s, 0));
    gives(cuEventRecordWithFlags(e, s, CU_EVENT_RECORD_EXTERNAL), CUDA_ERROR_ILLEGAL_STATE);
    gives(cuEventRecordWithFlags(e, s, 2), INVALID);
    ok(cuEventElapsedTime_v2(&ms, e, e));
    test(ms == 0);
    ok(cuEventDestroy_v2(e));
    ok(cuStreamDestroy_v2(s));
    ok(cuStreamDestroy_v2(t));
}

static char *ptx_file(char *path)
{
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    test(f && fputs(ptx_add, f) >= 0 && !fclose(f));
    return path;
}

static void modules(void)
{
    char path[] = "/tmp/simdriverXXXXXX";
    CUmodule m, n;
    CUfunction f, list[2];
    CUlibrary l, from;
    CUkernel k, kernels[2];
    CUmoduleLoadingMode mode;
    CUfunctionLoadingState state;
    CUdeviceptr at;
    CUlinkState link;
    size_t bytes, offset;
    int v = 0, grid, block;
    unsigned count;
    const char *name;
    void *image;
    ptx_file(path);
    ok(cuModuleLoad(&m, path));
    ok(cuModuleGetLoadingMode(&mode));
    ok(cuModuleGetFunction(&f, m, "add"));
    ok(cuModuleEnumerateFunctions(list, 2, m));
    test(list[0] == f && !list[1]);
    gives(cuModuleEnumerateFunctions(NULL, 2, m), INVALID);
    ok(cuFuncLoad(f));
    ok(cuFuncIsLoaded(&state, f));
    test(state == CU_FUNCTION_LOADING_STATE_LOADED);
    gives(cuFuncLoad((CUfunction)m), BAD_HANDLE);
    gives(cuFuncIsLoaded(NULL, f), INVALID);
    ok(cuFuncSetCacheConfig(f, CU_FUNC_CACHE_PREFER_SHARED));
    gives(cuFuncSetCacheConfig(f, (CUfunc_cache)8), INVALID);
    ok(cuFuncSetSharedMemConfig(f, CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE));
    gives(cuFuncSetSharedMemConfig(NULL, CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE), BAD_HANDLE);
    ok(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&v, f, 128, 0, 1));
    test(v == 16);
    gives(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&v, f, 128, 0, 4), INVALID);
    ok(cuOccupancyMaxPotentialBlockSizeWithFlags(&grid, &block, f, NULL, 0, 512, 0));
    test(block == 512);
    gives(cuOccupancyMaxPotentialBlockSizeWithFlags(NULL, &block, f, NULL, 0, 0, 0), INVALID);
    ok(cuOccupancyAvailableDynamicSMemPerBlock(&bytes, f, 2, 128));
    test(bytes > 48 * 1024 && bytes < 100 * 1024);
    gives(cuOccupancyAvailableDynamicSMemPerBlock(&bytes, f, 0, 128), INVALID);
    gives(cuModuleLoadFatBinary(&n, "nothing"), CUDA_ERROR_INVALID_IMAGE);

    ok(cuLibraryLoadData(&l, ptx_add, NULL, NULL, 0, NULL, NULL, 0));
    ok(cuLibraryLoadFromFile(&from, path, NULL, NULL, 0, NULL, NULL, 0));
    gives(cuLibraryLoadFromFile(&from, "/nonexistent", NULL, NULL, 0, NULL, NULL, 0),
          CUDA_ERROR_FILE_NOT_FOUND);
    ok(cuLibraryUnload(from));
    ok(cuLibraryGetModule(&n, l));
    gives(cuModuleUnload(n), BAD_HANDLE); /* the library's */
    ok(cuLibraryGetGlobal(&at, &bytes, l, "scale"));
    test(bytes == 4);
    gives(cuLibraryGetGlobal(&at, &bytes, l, "shift"), CUDA_ERROR_NOT_FOUND);
    ok(cuLibraryEnumerateKernels(kernels, 2, l));
    test(kernels[0] && !kernels[1]);
    ok(cuLibraryGetKernel(&k, l, "add"));
    test(k == kernels[0]);
    ok(cuKernelGetName(&name, k));
    test_text(name, "add");
    ok(cuKernelGetLibrary(&from, k));
    test(from == l);
    ok(cuKernelGetParamInfo(k, 1, &offset, &bytes));
    test(offset == 8 && bytes == 8);
    ok(cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 65536, k, 0));
    ok(cuKernelGetAttribute(&v, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, k, 0));
    test(v == 65536);
    gives(cuKernelGetAttribute(&v, CU_FUNC_ATTRIBUTE_NUM_REGS, k, 3), CUDA_ERROR_INVALID_DEVICE);
    gives(cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_NUM_REGS, 1, k, 0), INVALID);
    ok(cuKernelSetCacheConfig(k, CU_FUNC_CACHE_PREFER_L1, 0));
    ok(cuLibraryUnload(l));
    gives(cuKernelGetName(&name, k), BAD_HANDLE);

    ok(cuLinkCreate_v2(0, NULL, NULL, &link));
    gives(cuLinkComplete(link, &image, &bytes), CUDA_ERROR_INVALID_IMAGE);
    ok(cuLinkAddFile_v2(link, CU_JIT_INPUT_PTX, path, 0, NULL, NULL));
    gives(cuLinkAddFile_v2(link, CU_JIT_INPUT_PTX, "/nonexistent", 0, NULL, NULL),
          CUDA_ERROR_FILE_NOT_FOUND);
    ok(cuLinkComplete(link, &image, &bytes));
    ok(cuModuleLoadData(&n, image));
    ok(cuModuleGetFunctionCount(&count, n));
    test(count == 1);
    ok(cuModuleUnload(n));
    ok(cuLinkDestroy(link));
    ok(cuModuleUnload(m));
    gives(cuModuleUnload(m), BAD_HANDLE);
    remove(path);
}

static void lookups(void)
{
    void *p;
    const void *table;
    CUuuid id = {{1}};
    ok(cuGetProcAddress("cuMemFree", &p, 12000, 0));
    test(p == (void *)(uintptr_t)cuMemFree_v2);
    gives(cuGetProcAddress("cuNothing", &p, 12000, 0), CUDA_ERROR_NOT_FOUND);
    gives(cuGetProcAddress_v2("cuMemFree", &p, 12000, 9, NULL), INVALID);
    gives(cuGetExportTable(&table, &id), CUDA_ERROR_NOT_FOUND);
    gives(cuGetExportTable(NULL, &id), INVALID);
}

/* Those that zeros are right for: nothing to do, or a default. */
static const char *const fine[] = {"cuInit",
                                   "cuCtxSynchronize",
                                   "cuStreamSynchronize",
                                   "cuStreamQuery",
                                   "cuCtxResetPersistingL2Cache",
                                   "cuProfilerStart",
                                   "cuProfilerStop",
                                   "cuCtxSetCurrent",
                                   "cuCtxSetFlags",
                                   "cuCtxSetCacheConfig",
                                   "cuCtxSetSharedMemConfig",
                                   "cuCtxSetLimit",
                                   "cuCtxGetStreamPriorityRange",
                                   "cuPointerGetAttributes",
                                   "cuDevicePrimaryCtxSetFlags",
                                   "cuDevicePrimaryCtxReset",
                                   "cuDevicePrimaryCtxRelease",
                                   "cuStreamCopyAttributes",
                                   "cuMemsetD8",
                                   "cuMemsetD16",
                                   "cuMemsetD32",
                                   "cuMemsetD2D8",
                                   "cuMemsetD2D16",
                                   "cuMemsetD2D32",
                                   "cuMemcpy",
                                   "cuMemcpyAsync",
                                   "cuMemcpyHtoD",
                                   "cuMemcpyDtoH",
                                   "cuMemcpyDtoD",
                                   "cuMemcpyHtoDAsync",
                                   "cuMemcpyDtoHAsync",
                                   "cuMemcpyDtoDAsync",
                                   "cuCtxPopCurrent"};

static void zeros(void)
{
    static const struct {
        const char *name;
        int version;
    } rows[] = {
#define API(name, version, symbol) {#name, version},
#define APT(name, version, symbol, own) {#name, version},
#define NOT(name, version, symbol) {#name, version},
#include "ptxsim/driver/api.def"
#undef API
#undef APT
#undef NOT
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CUresult (*f)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                      uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
        void *p;
        const char *name = rows[i].name;
        bool well = !strncmp(name, "cuMemsetD", 9);
        for (size_t k = 0; k < sizeof fine / sizeof *fine; k++)
            well = well || !strcmp(name, fine[k]);
        ok(cuGetProcAddress_v2(name, &p, rows[i].version, 0, NULL));
        memcpy(&f, &p, sizeof f);
        CUresult r = f(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        test_at(__FILE__, __LINE__, r != CUDA_SUCCESS || well, name);
        ok(cuCtxSetCurrent(context));
    }
}

int main(void)
{
    context = context_here();
    ok(cuMemAlloc_v2(&memory, 1024));
    ok(cuMemAlloc_v2(&other, 1024));
    ok(cuMemsetD8_v2(other, 0, 1024));
    contexts();
    primary_reset();
    pools();
    managed();
    copies();
    memsets();
    streams();
    modules();
    lookups();
    fclose(stderr); /* each of the entries that are not simulated says so */
    zeros();
    ok(cuCtxDestroy_v2(context));
    return test_done();
}
