/* The software GPU's driver: devices, contexts, memory, copies, memsets, pointers; and every call
 * once with an argument that is wrong. */
#include "simdriver.h"
#include <pthread.h>

static void before_init(void)
{
    int n;
    CUcontext c;
    CUdeviceptr at;
    gives(cuDeviceGetCount(&n), CUDA_ERROR_NOT_INITIALIZED);
    gives(cuCtxCreate_v2(&c, 0, 0), CUDA_ERROR_NOT_INITIALIZED);
    gives(cuMemAlloc_v2(&at, 16), CUDA_ERROR_NOT_INITIALIZED);
    gives(cuDriverGetVersion(NULL), INVALID);
    ok(cuDriverGetVersion(&n));
    test(n == 13000);
    gives(cuInit(1), INVALID);
    test(!nnsim_select("sm_1"));
    test(nnsim_select("sm_90a"));
    ok(cuInit(0));
    test(!nnsim_select("sm_80"));
    test(nnsim_select("sm_90a"));
}

static void device(void)
{
    int n = 0, major = 0, minor = 0;
    CUdevice d = -1;
    char name[64], bus[16];
    size_t bytes = 0;
    CUuuid id;
    CUdevprop p;
    ok(cuDeviceGetCount(&n));
    test(n == 1);
    gives(cuDeviceGetCount(NULL), INVALID);
    gives(cuDeviceGet(&d, 1), CUDA_ERROR_INVALID_DEVICE);
    gives(cuDeviceGet(NULL, 0), INVALID);
    ok(cuDeviceGet(&d, 0));
    ok(cuDeviceGetName(name, sizeof name, d));
    test(strstr(name, "sm_90a") != NULL);
    gives(cuDeviceGetName(NULL, 1, d), INVALID);
    gives(cuDeviceGetName(name, sizeof name, 7), CUDA_ERROR_INVALID_DEVICE);
    ok(cuDeviceTotalMem_v2(&bytes, d));
    test(bytes > 1u << 30);
    gives(cuDeviceTotalMem_v2(NULL, d), INVALID);
    ok(cuDeviceComputeCapability(&major, &minor, d));
    test(major == 9 && minor == 0);
    gives(cuDeviceComputeCapability(&major, NULL, d), INVALID);
    for (int a = 1; a < 148; a++)
        ok(cuDeviceGetAttribute(&n, (CUdevice_attribute)a, d));
    ok(cuDeviceGetAttribute(&n, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, d));
    test(n == 227 * 1024);
    ok(cuDeviceGetAttribute(&n, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, d));
    test(n == 48 * 1024);
    ok(cuDeviceGetAttribute(&n, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, d));
    test(n == 9);
    gives(cuDeviceGetAttribute(&n, (CUdevice_attribute)9999, d), INVALID);
    gives(cuDeviceGetAttribute(NULL, CU_DEVICE_ATTRIBUTE_WARP_SIZE, d), INVALID);
    gives(cuDeviceGetAttribute(&n, CU_DEVICE_ATTRIBUTE_WARP_SIZE, -1), CUDA_ERROR_INVALID_DEVICE);
    ok(cuDeviceGetUuid_v2(&id, d));
    gives(cuDeviceGetUuid_v2(&id, 9), CUDA_ERROR_INVALID_DEVICE);
    ok(cuDeviceGetProperties(&p, d));
    test(p.SIMDWidth == 32);
    ok(cuDeviceGetPCIBusId(bus, sizeof bus, d));
    gives(cuDeviceGetPCIBusId(bus, 2, d), INVALID);
    ok(cuDeviceGetByPCIBusId(&d, bus));
    test(d == 0);
    gives(cuDeviceGetByPCIBusId(&d, "0000:77:00.0"), CUDA_ERROR_INVALID_DEVICE);
    ok(cuDeviceCanAccessPeer(&n, 0, 0));
    test(n == 0);
    gives(cuDeviceCanAccessPeer(&n, 0, 1), CUDA_ERROR_INVALID_DEVICE);
    gives(cuDeviceGetP2PAttribute(&n, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 0, 0),
          CUDA_ERROR_INVALID_DEVICE);
}

static void contexts(void)
{
    CUcontext a, b, c = NULL;
    CUdevice d;
    CUdeviceptr at;
    unsigned flags;
    int active;
    unsigned long long id_a, id_b;
    gives(cuMemAlloc_v2(&at, 16), CUDA_ERROR_INVALID_CONTEXT);
    gives(cuCtxCreate_v2(&a, 0, 3), CUDA_ERROR_INVALID_DEVICE);
    gives(cuCtxCreate_v2(&a, 0x1000, 0), INVALID);
    gives(cuCtxCreate_v2(NULL, 0, 0), INVALID);
    ok(cuCtxCreate_v2(&a, 0, 0));
    ok(cuCtxCreate_v4(&b, NULL, 0, 0));
    ok(cuCtxGetCurrent(&c));
    test(c == b);
    ok(cuCtxGetId(a, &id_a));
    ok(cuCtxGetId(NULL, &id_b));
    test(id_a != id_b);
    ok(cuCtxPopCurrent_v2(&c));
    test(c == b);
    ok(cuCtxGetCurrent(&c));
    test(c == a);
    ok(cuCtxPushCurrent_v2(b));
    ok(cuCtxGetDevice(&d));
    test(d == 0);
    gives(cuCtxGetDevice(NULL), INVALID);
    gives(cuCtxPushCurrent_v2((CUcontext)&d), CUDA_ERROR_INVALID_CONTEXT);
    gives(cuCtxSetCurrent((CUcontext)(uintptr_t)0x4e4e000000000001), CUDA_ERROR_INVALID_CONTEXT);
    ok(cuCtxSetCurrent(a));
    ok(cuCtxDestroy_v2(b));
    gives(cuCtxDestroy_v2(b), CUDA_ERROR_INVALID_CONTEXT);
    ok(cuCtxDestroy_v2(a));
    gives(cuCtxSynchronize(), CUDA_ERROR_CONTEXT_IS_DESTROYED); /* a is below the top still */
    ok(cuCtxPopCurrent_v2(NULL));
    gives(cuCtxPopCurrent_v2(NULL), CUDA_ERROR_INVALID_CONTEXT);

    gives(cuDevicePrimaryCtxRetain(NULL, 0), INVALID);
    ok(cuDevicePrimaryCtxGetState(0, &flags, &active));
    test(!active);
    ok(cuDevicePrimaryCtxSetFlags_v2(0, 4));
    gives(cuDevicePrimaryCtxSetFlags_v2(0, 0x1000), INVALID);
    ok(cuDevicePrimaryCtxRetain(&a, 0));
    ok(cuDevicePrimaryCtxRetain(&b, 0));
    test(a == b);
    gives(cuCtxDestroy_v2(a), CUDA_ERROR_INVALID_CONTEXT);
    ok(cuDevicePrimaryCtxGetState(0, &flags, &active));
    test(active && flags == 4);
    ok(cuCtxSetCurrent(a));
    ok(cuMemAlloc_v2(&at, 16));
    ok(cuDevicePrimaryCtxRelease_v2(0));
    ok(cuMemFree_v2(at));
    ok(cuDevicePrimaryCtxRelease_v2(0));
    gives(cuDevicePrimaryCtxRelease_v2(0), CUDA_ERROR_INVALID_CONTEXT);
    gives(cuMemAlloc_v2(&at, 16), CUDA_ERROR_CONTEXT_IS_DESTROYED);
    ok(cuCtxSetCurrent(NULL));
}

static void limits(void)
{
    size_t n = 0;
    int least, greatest;
    unsigned version;
    CUfunc_cache cache;
    ok(cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 4096));
    ok(cuCtxGetLimit(&n, CU_LIMIT_STACK_SIZE));
    test(n == 4096);
    gives(cuCtxGetLimit(&n, CU_LIMIT_MAX), INVALID);
    gives(cuCtxGetLimit(&n, CU_LIMIT_SHMEM_SIZE), CUDA_ERROR_UNSUPPORTED_LIMIT);
    gives(cuCtxGetLimit(NULL, CU_LIMIT_STACK_SIZE), INVALID);
    ok(cuCtxGetStreamPriorityRange(&least, &greatest));
    test(least == 0 && greatest < 0);
    ok(cuCtxGetApiVersion(NULL, &version));
    ok(cuCtxSetCacheConfig(CU_FUNC_CACHE_PREFER_L1));
    ok(cuCtxGetCacheConfig(&cache));
    test(cache == CU_FUNC_CACHE_PREFER_L1);
    gives(cuCtxSetCacheConfig((CUfunc_cache)9), INVALID);
}

static void allocations(void)
{
    CUdeviceptr at = 0, base = 0, managed = 0;
    size_t bytes = 0, free_before, free_after, total, pitch;
    void *host, *registered = malloc(8192);
    unsigned flags;
    ok(cuMemGetInfo_v2(&free_before, &total));
    ok(cuMemAlloc_v2(&at, 1000));
    test(at % 256 == 0);
    ok(cuMemGetInfo_v2(&free_after, &total));
    test(free_after < free_before);
    gives(cuMemGetInfo_v2(NULL, &total), INVALID);
    ok(cuMemGetAddressRange_v2(&base, &bytes, at + 999));
    test(base == at && bytes == 1000);
    gives(cuMemGetAddressRange_v2(&base, &bytes, 4096), CUDA_ERROR_NOT_FOUND);
    gives(cuMemAlloc_v2(&base, 0), INVALID);
    gives(cuMemAlloc_v2(NULL, 4), INVALID);
    gives(cuMemAlloc_v2(&base, (size_t)1 << 50), CUDA_ERROR_OUT_OF_MEMORY);
    gives(cuMemFree_v2(at + 4), INVALID);
    gives(cuMemFree_v2(12345), INVALID);
    ok(cuMemFree_v2(at));
    gives(cuMemFree_v2(at), INVALID);
    ok(cuMemAllocPitch_v2(&at, &pitch, 100, 10, 4));
    test(pitch >= 100 && pitch % 256 == 0);
    ok(cuMemFree_v2(at));
    gives(cuMemAllocPitch_v2(&at, &pitch, 100, 10, 3), INVALID);

    ok(cuMemHostAlloc(&host, 4096, CU_MEMHOSTALLOC_PORTABLE));
    ok(cuMemHostGetDevicePointer_v2(&at, host, 0));
    test(at == (CUdeviceptr)(uintptr_t)host);
    ok(cuMemHostGetFlags(&flags, host));
    test(flags & CU_MEMHOSTALLOC_PORTABLE);
    gives(cuMemHostAlloc(&host, 16, 64), INVALID);
    gives(cuMemHostGetDevicePointer_v2(&at, &flags, 0), INVALID);
    gives(cuMemFree_v2((CUdeviceptr)(uintptr_t)host), INVALID);
    ok(cuMemFreeHost(host));
    gives(cuMemFreeHost(host), INVALID);
    ok(cuMemAllocHost_v2(&host, 16));
    ok(cuMemFreeHost(host));
    ok(cuMemHostRegister_v2(registered, 8192, 0));
    gives(cuMemHostRegister_v2((char *)registered + 100, 8, 0),
          CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    ok(cuMemHostUnregister(registered));
    gives(cuMemHostUnregister(registered), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    gives(cuMemHostRegister_v2(NULL, 8, 0), INVALID);
    ok(cuMemAllocManaged(&managed, 64, CU_MEM_ATTACH_GLOBAL));
    *(int *)(uintptr_t)managed = 5;
    ok(cuMemPrefetchAsync(managed, 64, 0, NULL));
    gives(cuMemPrefetchAsync(managed, 65, 0, NULL), INVALID);
    ok(cuMemFree_v2(managed));
    gives(cuMemAllocManaged(&managed, 64, 0), INVALID);
    free(registered);
}

static void pointers(void)
{
    CUdeviceptr at, out;
    unsigned type = 0, managed = 7;
    int ordinal = -5;
    CUcontext c, now;
    size_t bytes;
    CUpointer_attribute which[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                   CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
                                   CU_POINTER_ATTRIBUTE_IS_MANAGED};
    void *data[] = {&type, &ordinal, &managed};
    ok(cuMemAlloc_v2(&at, 64));
    ok(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, at + 8));
    test(type == CU_MEMORYTYPE_DEVICE);
    ok(cuPointerGetAttribute(&c, CU_POINTER_ATTRIBUTE_CONTEXT, at));
    ok(cuCtxGetCurrent(&now));
    test(c == now);
    ok(cuPointerGetAttribute(&out, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, at + 63));
    test(out == at);
    ok(cuPointerGetAttribute(&bytes, CU_POINTER_ATTRIBUTE_RANGE_SIZE, at));
    test(bytes == 64);
    gives(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                (CUdeviceptr)(uintptr_t)&type),
          INVALID);
    gives(cuPointerGetAttribute(&out, CU_POINTER_ATTRIBUTE_HOST_POINTER, at), INVALID);
    ok(cuPointerGetAttributes(3, which, data, at));
    test(ordinal == 0 && managed == 0);
    ok(cuPointerGetAttributes(3, which, data, (CUdeviceptr)(uintptr_t)&type));
    test(type == 0 && ordinal == CU_DEVICE_INVALID);
    gives(cuPointerGetAttributes(1, NULL, data, at), INVALID);
    type = 1;
    ok(cuPointerSetAttribute(&type, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, at));
    ok(cuMemFree_v2(at));
}

static void copies(void)
{
    CUdeviceptr a, b;
    int in[16], out[16] = {0};
    for (int i = 0; i < 16; i++)
        in[i] = i * 3;
    ok(cuMemAlloc_v2(&a, sizeof in));
    ok(cuMemAlloc_v2(&b, sizeof in));
    ok(cuMemcpyHtoD_v2(a, in, sizeof in));
    ok(cuMemcpyDtoD_v2(b, a, sizeof in));
    ok(cuMemcpyDtoH_v2(out, b, sizeof in));
    test(!memcmp(in, out, sizeof in));
    ok(cuMemcpy((CUdeviceptr)(uintptr_t)out, a + 4, 8)); /* addresses of any memory */
    test(out[0] == 3 && out[1] == 6);
    gives(cuMemcpyHtoD_v2(a, in, sizeof in + 1), INVALID);
    gives(cuMemcpyHtoD_v2((CUdeviceptr)(uintptr_t)out, in, 4), INVALID);
    gives(cuMemcpyDtoH_v2(out, a + 60, 8), INVALID);
    gives(cuMemcpyHtoD_v2(a, NULL, 4), INVALID);
    ok(cuMemcpyHtoD_v2(a, in, 0));
    ok(cuMemsetD32_v2(b, 7, 16));
    ok(cuMemsetD16_v2(b + 4, 0x0101, 2));
    ok(cuMemsetD8_v2(b + 8, 0xff, 4));
    ok(cuMemcpyDtoH_v2(out, b, sizeof out));
    test(out[0] == 7 && out[1] == 0x01010101 && out[2] == -1 && out[3] == 7);
    gives(cuMemsetD32_v2(b + 2, 7, 1), INVALID);
    gives(cuMemsetD32_v2(b, 7, 17), INVALID);
    gives(cuMemsetD8_v2(64, 7, 1), INVALID);
    ok(cuMemsetD2D8_v2(a, 16, 9, 4, 3)); /* 3 rows of 4 bytes */
    ok(cuMemcpyDtoH_v2(out, a, sizeof out));
    test(out[0] == 0x09090909 && out[1] == 3 && out[4] == 0x09090909 && out[12] == 36);
    gives(cuMemsetD2D8_v2(a, 2, 9, 4, 3), INVALID);
    ok(cuMemFree_v2(a));
    gives(cuMemcpyDtoD_v2(b, a, 4), INVALID); /* freed */
    ok(cuMemFree_v2(b));
}

static void copies_of_rows(void)
{
    CUdeviceptr a;
    size_t pitch;
    char in[4][8], out[4][8] = {{0}};
    for (int i = 0; i < 32; i++)
        in[i / 8][i % 8] = (char)(i + 1);
    ok(cuMemAllocPitch_v2(&a, &pitch, 8, 4, 4));
    ok(cuMemsetD8_v2(a, 0, pitch * 4));
    CUDA_MEMCPY2D p = {.srcMemoryType = CU_MEMORYTYPE_HOST,
                       .srcHost = in,
                       .srcPitch = 8,
                       .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                       .dstDevice = a,
                       .dstPitch = pitch,
                       .WidthInBytes = 8,
                       .Height = 4};
    ok(cuMemcpy2D_v2(&p));
    CUDA_MEMCPY3D q = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                       .srcDevice = a,
                       .srcPitch = pitch,
                       .srcHeight = 2,
                       .srcXInBytes = 4,
                       .srcY = 1,
                       .dstMemoryType = CU_MEMORYTYPE_HOST,
                       .dstHost = out,
                       .dstPitch = 8,
                       .dstHeight = 2,
                       .WidthInBytes = 4,
                       .Height = 1,
                       .Depth = 2};
    ok(cuMemcpy3D_v2(&q));
    test(out[0][0] == 13 && out[0][3] == 16 && out[0][4] == 0 && out[2][0] == 29 && out[1][0] == 0);
    p.dstPitch = 4;
    gives(cuMemcpy2D_v2(&p), INVALID);
    p.dstPitch = pitch;
    p.Height = 5;
    gives(cuMemcpy2D_v2(&p), INVALID); /* beyond the allocation */
    p.srcMemoryType = (CUmemorytype)9;
    gives(cuMemcpy2D_v2(&p), INVALID);
    gives(cuMemcpy2D_v2(NULL), INVALID);
    gives(cuMemcpy3D_v2(NULL), INVALID);
    ok(cuMemFree_v2(a));
}

static void pools(void)
{
    CUmemoryPool pool, mine;
    CUdeviceptr a;
    uint64_t used = 9;
    CUmemPoolProps p = {.allocType = 1, .location = {1, 0}};
    ok(cuDeviceGetDefaultMemPool(&pool, 0));
    ok(cuMemAllocAsync(&a, 100, NULL));
    ok(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
    test(used == 100);
    ok(cuMemFreeAsync(a, NULL));
    gives(cuMemFreeAsync(a, NULL), INVALID);
    ok(cuMemPoolCreate(&mine, &p));
    ok(cuMemAllocFromPoolAsync(&a, 64, mine, NULL));
    ok(cuMemFree_v2(a));
    ok(cuMemPoolDestroy(mine));
    gives(cuMemPoolDestroy(mine), INVALID);
    gives(cuMemPoolDestroy(pool), INVALID);
    gives(cuMemAllocFromPoolAsync(&a, 64, mine, NULL), INVALID);
    p.allocType = 0;
    gives(cuMemPoolCreate(&mine, &p), INVALID);
}

static void failures(void)
{
    CUdeviceptr a;
    CUstream s;
    nnsim_fail(2, 0);
    ok(cuMemAlloc_v2(&a, 16));
    gives(cuStreamCreate(&s, 0), CUDA_ERROR_OUT_OF_MEMORY);
    ok(cuMemFree_v2(a));
    nnsim_fail(1, CUDA_ERROR_ECC_UNCORRECTABLE);
    gives(cuCtxSynchronize(), CUDA_ERROR_ECC_UNCORRECTABLE);
    ok(cuCtxSynchronize());
}

static void texts(void)
{
    const char *s;
    ok(cuGetErrorName(CUDA_ERROR_OUT_OF_MEMORY, &s));
    test_text(s, "CUDA_ERROR_OUT_OF_MEMORY");
    ok(cuGetErrorString(CUDA_ERROR_ILLEGAL_ADDRESS, &s));
    test_text(s, "an illegal memory access was encountered");
    gives(cuGetErrorName((CUresult)12345, &s), INVALID);
    gives(cuGetErrorName(CUDA_SUCCESS, NULL), INVALID);
}

static void addresses(void)
{
    CUdriverProcAddressQueryResult status;
    void *f = NULL, *g = NULL;
    ok(cuGetProcAddress_v2("cuMemAlloc", &f, 12000, 0, &status));
    test(f == (void *)(uintptr_t)cuMemAlloc_v2 && status == CU_GET_PROC_ADDRESS_SUCCESS);
    ok(cuGetProcAddress_v2("cuStreamGetCaptureInfo", &f, 11050, 0, NULL));
    test(f == (void *)(uintptr_t)cuStreamGetCaptureInfo_v2);
    ok(cuGetProcAddress_v2("cuLaunchKernel", &f, 12000, 2, NULL));
    test(f == (void *)(uintptr_t)cuLaunchKernel_ptsz);
    ok(cuGetProcAddress_v2("cuGraphAddNode", &f, 12000, 0, &status));
    test(!f && status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
    ok(cuGetProcAddress_v2("cuNoSuchThing", &f, 12000, 0, &status));
    test(!f && status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
    gives(cuGetProcAddress_v2("cuNoSuchThing", &f, 12000, 0, NULL), CUDA_ERROR_NOT_FOUND);
    ok(cuGetProcAddress_v2("cuIpcGetMemHandle", &g, 12000, 0, NULL));
    CUresult (*ipc)(void *, CUdeviceptr);
    memcpy(&ipc, &g, sizeof ipc);
    gives(ipc(&g, 0), CUDA_ERROR_NOT_SUPPORTED);
}

static void tensor_maps(void)
{
    CUtensorMap m;
    cuuint64_t dim[2] = {64, 100}, stride[1] = {128};
    cuuint32_t box[2] = {64, 16}, step[2] = {1, 1};
    void *at = (void *)0x10000;
#define ENCODE(type, rank, swizzle)                                                                \
    cuTensorMapEncodeTiled(&m, type, rank, at, dim, stride, box, step,                             \
                           CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,                                 \
                           CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE)
    ok(ENCODE(CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2, CU_TENSOR_MAP_SWIZZLE_128B));
    gives(ENCODE(CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 6, CU_TENSOR_MAP_SWIZZLE_128B), INVALID);
    gives(ENCODE(CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2, CU_TENSOR_MAP_SWIZZLE_64B), INVALID);
    stride[0] = 120;
    gives(ENCODE(CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2, CU_TENSOR_MAP_SWIZZLE_128B), INVALID);
    stride[0] = 128;
    box[1] = 257;
    gives(ENCODE(CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2, CU_TENSOR_MAP_SWIZZLE_128B), INVALID);
    ok(cuTensorMapReplaceAddress(&m, (void *)0x20000));
    gives(cuTensorMapReplaceAddress(&m, (void *)0x20001), INVALID);
}

/* Counts what fails by itself: test()'s counters are not for several threads. */
static void *other_thread(void *context)
{
    CUcontext c = (void *)1;
    CUdeviceptr a;
    intptr_t failed = cuCtxGetCurrent(&c) || c || cuCtxSetCurrent(context);
    for (int i = 0; i < 200; i++)
        failed += cuMemAlloc_v2(&a, 64) || cuMemsetD32_v2(a, 1, 16) || cuMemFree_v2(a);
    return (void *)failed;
}

int main(void)
{
    CUcontext c;
    uint64_t bytes;
    before_init();
    device();
    contexts();
    c = context_here();
    limits();
    allocations();
    pointers();
    copies();
    copies_of_rows();
    pools();
    failures();
    texts();
    addresses();
    tensor_maps();
    pthread_t t[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, other_thread, c);
    for (int i = 0; i < 2; i++) {
        void *failed = NULL;
        pthread_join(t[i], &failed);
        test(!failed);
    }
    test(nnsim_alive(&bytes) == 0 && bytes == 0);
    ok(cuCtxDestroy_v2(c));
    return test_done();
}
