/* The software GPU's driver: modules, functions, launches, occupancy, libraries, links, faults that
 * stay, counters, graphs of kernels. */
#include "simdriver.h"
#include <pthread.h>

enum { COUNT = 1000 };
static float host[COUNT];
static CUdeviceptr a, b, out;
static CUmodule module;
static CUfunction add;
static int faults;

static void on_fault(void *data, const struct sim_fault *f)
{
    (void)data;
    faults++;
    test(f->kind != SIM_FAULT_NONE && f->text[0]);
}

static void modules(void)
{
    char log[400] = "", info[400] = "x";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
                              CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
                              CU_JIT_WALL_TIME};
    void *values[] = {log, (void *)(uintptr_t)sizeof log, info, (void *)(uintptr_t)sizeof info,
                      NULL};
    static const unsigned char elf[64] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    CUmodule bad = NULL;
    CUfunction f;
    CUdeviceptr at = 0;
    size_t bytes = 0;
    unsigned n = 0;
    float scale = 0;
    gives(cuModuleLoadDataEx(
              &bad, ".version 7.0\n.target sm_70\n.address_size 64\n.entry k() { add.s32 ; }", 5,
              options, values),
          CUDA_ERROR_INVALID_PTX);
    test(strstr(log, "4") != NULL); /* the line */
    test((size_t)(uintptr_t)values[1] == strlen(log));
#define BODY(version, target, body)                                                                \
    ".version " version "\n.target " target "\n.address_size 64\n.visible .entry k() {\n" body     \
    ";\n}"
    values[1] = (void *)(uintptr_t)sizeof log;
    gives(cuModuleLoadDataEx(&bad, BODY("7.0", "sm_70", "frobnicate.b32"), 5, options, values),
          CUDA_ERROR_INVALID_PTX);
    test(!strcmp(log, "ptx line 5: unknown instruction `frobnicate`\n"));
    values[1] = (void *)(uintptr_t)sizeof log;
    gives(cuModuleLoadDataEx(
              &bad, ".version 7.0\n.target sm_70\n.address_size 64\n.extern .global .u32 x;", 5,
              options, values),
          CUDA_ERROR_NOT_SUPPORTED);
    test(!strcmp(log, "ptx line 4: an external variable (linking) is not simulated\n"));
    gives(cuModuleLoadData(&bad, BODY("7.0", "sm_70", "ld.zigzag.b32")), CUDA_ERROR_INVALID_PTX);
    gives(cuModuleLoadData(&bad, BODY("99.0", "sm_70", "ret")), CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
    gives(cuModuleLoadData(&bad, BODY("8.0", "sm_121", "ret")), CUDA_ERROR_INVALID_PTX);
    gives(cuModuleLoadData(&bad, ".target sm_70\n"), CUDA_ERROR_INVALID_IMAGE);
    gives(cuModuleLoadData(&bad, "hello"), CUDA_ERROR_INVALID_IMAGE);
    gives(cuModuleLoadData(&bad, elf), CUDA_ERROR_NO_BINARY_FOR_GPU);
    gives(cuModuleLoadData(&bad, NULL), INVALID);
    gives(cuModuleLoadData(NULL, ptx_add), INVALID);
    gives(cuModuleLoad(&bad, "/nonexistent.ptx"), CUDA_ERROR_FILE_NOT_FOUND);
    values[1] = (void *)(uintptr_t)sizeof log;
    ok(cuModuleLoadDataEx(&module, ptx_add, 5, options, values));
    test(log[0] == 0);
    ok(cuModuleGetFunction(&add, module, "add"));
    ok(cuModuleGetFunction(&f, module, "add"));
    test(f == add);
    gives(cuModuleGetFunction(&f, module, "sub"), CUDA_ERROR_NOT_FOUND);
    gives(cuModuleGetFunction(&f, (CUmodule)add, "add"), BAD_HANDLE);
    gives(cuModuleGetFunction(NULL, module, "add"), INVALID);
    ok(cuModuleGetFunctionCount(&n, module));
    test(n == 1);
    ok(cuModuleGetGlobal_v2(&at, &bytes, module, "scale"));
    ok(cuMemcpyDtoH_v2(&scale, at, sizeof scale));
    test(bytes == 4 && scale == 2);
    ok(cuMemGetAddressRange_v2(&at, &bytes, at + 2));
    gives(cuModuleGetGlobal_v2(&at, &bytes, module, "shift"), CUDA_ERROR_NOT_FOUND);
    gives(cuModuleUnload((CUmodule)&n), BAD_HANDLE);
}

/* One kernel that is not simulated, and one that calls what is not, do not sink their module. */
static void refused(void)
{
    static const char text[] =
        ".version 7.0\n.target sm_70\n.address_size 64\n"
        ".global .texref pictures;\n"
        ".func looks() {\n  .reg .f32 %f<5>;\n"
        "  tex.1d.v4.f32.f32 {%f1, %f2, %f3, %f4}, [pictures, {%f1}];\n  ret;\n}\n"
        ".visible .entry draws() {\n  call looks;\n  ret;\n}\n"
        ".visible .entry marks(.param .u64 p) {\n  .reg .b64 %d;\n  ld.param.u64 %d, [p];\n"
        "  st.global.u32 [%d], 7;\n  ret;\n}\n";
    CUmodule m;
    CUlibrary library;
    CUkernel kernel, kernels[2];
    CUfunction all[2], f = NULL;
    unsigned n = 0, mark = 0;
    int value;
    void *params[] = {&out};
    ok(cuModuleLoadData(&m, text));
    gives(cuModuleGetFunction(&f, m, "draws"), CUDA_ERROR_NOT_SUPPORTED);
    ok(cuModuleGetFunctionCount(&n, m));
    test(n == 2);
    ok(cuModuleEnumerateFunctions(all, 2, m));
    gives(cuLaunchKernel(all[0], 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL), CUDA_ERROR_NOT_SUPPORTED);
    gives(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, all[0]), CUDA_ERROR_NOT_SUPPORTED);
    gives(cuOccupancyMaxActiveBlocksPerMultiprocessor(&value, all[0], 32, 0),
          CUDA_ERROR_NOT_SUPPORTED);
    ok(cuModuleGetFunction(&f, m, "marks"));
    ok(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL));
    ok(cuMemcpyDtoH_v2(&mark, out, sizeof mark));
    test(mark == 7);
    ok(cuModuleUnload(m));
    ok(cuLibraryLoadData(&library, text, NULL, NULL, 0, NULL, NULL, 0));
    gives(cuLibraryGetKernel(&kernel, library, "draws"), CUDA_ERROR_NOT_SUPPORTED);
    ok(cuLibraryEnumerateKernels(kernels, 2, library));
    gives(cuKernelGetFunction(&f, kernels[0]), CUDA_ERROR_NOT_SUPPORTED);
    gives(cuLaunchKernel((CUfunction)kernels[0], 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL),
          CUDA_ERROR_NOT_SUPPORTED);
    ok(cuKernelGetFunction(&f, kernels[1]));
    ok(cuLibraryUnload(library));
}

static void functions(void)
{
    int n = 0;
    size_t offset = 0, bytes = 0;
    const char *name;
    CUmodule m;
    ok(cuFuncGetAttribute(&n, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, add));
    test(n == 1024);
    ok(cuFuncGetAttribute(&n, CU_FUNC_ATTRIBUTE_NUM_REGS, add));
    test(n > 0 && n <= 255);
    ok(cuFuncGetAttribute(&n, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, add));
    test(n == 48 * 1024);
    gives(cuFuncGetAttribute(&n, CU_FUNC_ATTRIBUTE_MAX, add), INVALID);
    gives(cuFuncGetAttribute(&n, CU_FUNC_ATTRIBUTE_NUM_REGS, (CUfunction)module), BAD_HANDLE);
    gives(cuFuncSetAttribute(add, CU_FUNC_ATTRIBUTE_NUM_REGS, 3), INVALID);
    ok(cuFuncGetName(&name, add));
    test_text(name, "add");
    ok(cuFuncGetParamInfo(add, 3, &offset, &bytes));
    test(offset == 24 && bytes == 4);
    gives(cuFuncGetParamInfo(add, 4, &offset, &bytes), INVALID);
    ok(cuFuncGetModule(&m, add));
    test(m == module);
    ok(cuOccupancyMaxActiveBlocksPerMultiprocessor(&n, add, 256, 0));
    test(n == 8); /* 2048 threads on sm_80 */
    ok(cuOccupancyMaxActiveBlocksPerMultiprocessor(&n, add, 256, 80 * 1024));
    test(n == 2);
    gives(cuOccupancyMaxActiveBlocksPerMultiprocessor(&n, add, 0, 0), INVALID);
    int grid, block;
    ok(cuOccupancyMaxPotentialBlockSize(&grid, &block, add, NULL, 0, 0));
    test(block == 1024 && grid == 2 * 108);
}

static int sums_are_right(void)
{
    float got[COUNT];
    ok(cuMemcpyDtoH_v2(got, out, sizeof got));
    ok(cuMemsetD32_v2(out, 0, COUNT));
    for (int i = 0; i < COUNT; i++)
        if (got[i] != 3 * host[i])
            return 0;
    return 1;
}

static void launches(void)
{
    int n = COUNT;
    void *params[] = {&a, &b, &out, &n};
    struct {
        CUdeviceptr a, b, out;
        int n;
    } packed = {a, b, out, COUNT};
    size_t bytes = 28, wrong = 20;
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes,
                     CU_LAUNCH_PARAM_END};
    ok(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, NULL, params, NULL));
    test(sums_are_right());
    ok(cuLaunchKernel(add, 4, 1, 1, 256, 1, 1, 0, NULL, NULL, extra));
    test(sums_are_right());
    ok(cuLaunchKernel_ptsz(add, 4, 1, 1, 256, 1, 1, 0, NULL, NULL, extra));
    test(sums_are_right());
    extra[3] = &wrong;
    gives(cuLaunchKernel(add, 4, 1, 1, 256, 1, 1, 0, NULL, NULL, extra), INVALID);
    gives(cuLaunchKernel(add, 4, 1, 1, 256, 1, 1, 0, NULL, params, extra), INVALID);
    gives(cuLaunchKernel(add, 4, 1, 1, 256, 1, 1, 0, NULL, NULL, NULL), INVALID);
    gives(cuLaunchKernel(add, 0, 1, 1, 128, 1, 1, 0, NULL, params, NULL), INVALID);
    gives(cuLaunchKernel(add, 1, 65536, 1, 128, 1, 1, 0, NULL, params, NULL), INVALID);
    gives(cuLaunchKernel(add, 1, 1, 1, 1025, 1, 1, 0, NULL, params, NULL), INVALID);
    gives(cuLaunchKernel(add, 1, 1, 1, 64, 32, 1, 0, NULL, params, NULL), INVALID);
    gives(cuLaunchKernel(NULL, 1, 1, 1, 128, 1, 1, 0, NULL, params, NULL), BAD_HANDLE);
    gives(cuLaunchKernel(add, 1, 1, 1, 128, 1, 1, 0, (CUstream)add, params, NULL), BAD_HANDLE);
    gives(cuLaunchKernel(add, 1, 1, 1, 128, 1, 1, 49153, NULL, params, NULL), INVALID);
    ok(cuFuncSetAttribute(add, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100 * 1024));
    ok(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 100 * 1024, NULL, params, NULL));
    test(sums_are_right());
    gives(cuFuncSetAttribute(add, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 164 * 1024),
          INVALID);
    CUlaunchAttribute cluster = {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
                                 .value.clusterDim = {2, 1, 1}};
    CUlaunchConfig config = {.gridDimX = 8,
                             .gridDimY = 1,
                             .gridDimZ = 1,
                             .blockDimX = 128,
                             .blockDimY = 1,
                             .blockDimZ = 1};
    ok(cuLaunchKernelEx(&config, add, params, NULL));
    test(sums_are_right());
    config.attrs = &cluster;
    config.numAttrs = 1;
    gives(cuLaunchKernelEx(&config, add, params, NULL), CUDA_ERROR_INVALID_CLUSTER_SIZE);
    gives(cuLaunchKernelEx(NULL, add, params, NULL), INVALID);
    ok(cuLaunchCooperativeKernel(add, 8, 1, 1, 128, 1, 1, 0, NULL, params));
    gives(cuLaunchCooperativeKernel(add, 2000, 1, 1, 128, 1, 1, 0, NULL, params),
          CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
}

/* Parameters are those of the capture; exec updates change them. */
static void graphs(void)
{
    int n = COUNT;
    void *params[] = {&a, &b, &out, &n}, *swapped[] = {&a, &a, &out, &n};
    CUstream s;
    CUgraph g;
    CUgraphExec x;
    CUgraphNode node;
    size_t count = 1;
    CUDA_KERNEL_NODE_PARAMS p;
    float got;
    ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
    ok(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, s, params, NULL));
    n = 0;
    ok(cuStreamEndCapture(s, &g));
    ok(cuGraphInstantiateWithFlags(&x, g, 0));
    ok(cuGraphLaunch(x, s));
    test(sums_are_right());
    ok(cuGraphGetNodes(g, &node, &count));
    ok(cuGraphKernelNodeGetParams_v2(node, &p));
    test(p.func == add && p.gridDimX == 8 && *(int *)p.kernelParams[3] == COUNT);
    n = COUNT;
    p.kernelParams = swapped;
    ok(cuGraphExecKernelNodeSetParams_v2(x, node, &p));
    ok(cuGraphLaunch(x, s));
    ok(cuMemcpyDtoH_v2(&got, out + 40, 4));
    test(got == 2 * host[10]);
    p.gridDimX = 0;
    gives(cuGraphExecKernelNodeSetParams_v2(x, node, &p), INVALID);
    gives(cuGraphAddKernelNode_v2(&node, g, NULL, 0, NULL), INVALID);
    ok(cuGraphExecDestroy(x));
    ok(cuGraphDestroy(g));
    ok(cuStreamDestroy_v2(s));
    ok(cuMemsetD32_v2(out, 0, COUNT));
}

static void libraries(void)
{
    CUlibrary l;
    CUkernel k;
    CUfunction f;
    CUlinkState state;
    void *image;
    size_t bytes;
    CUmodule m;
    int n = COUNT;
    unsigned count = 0;
    void *params[] = {&a, &b, &out, &n};
    ok(cuLibraryLoadData(&l, ptx_add, NULL, NULL, 0, NULL, NULL, 0));
    gives(cuLibraryLoadData(&l, "junk", NULL, NULL, 0, NULL, NULL, 0), CUDA_ERROR_INVALID_IMAGE);
    ok(cuLibraryGetKernel(&k, l, "add"));
    gives(cuLibraryGetKernel(&k, l, "nothing"), CUDA_ERROR_NOT_FOUND);
    ok(cuLibraryGetKernelCount(&count, l));
    test(count == 1);
    ok(cuKernelGetFunction(&f, k));
    ok(cuLaunchKernel(f, 8, 1, 1, 128, 1, 1, 0, NULL, params, NULL));
    test(sums_are_right());
    ok(cuLaunchKernel((CUfunction)k, 8, 1, 1, 128, 1, 1, 0, NULL, params, NULL));
    test(sums_are_right());
    ok(cuLibraryUnload(l));
    gives(cuLibraryUnload(l), BAD_HANDLE);
    gives(cuLaunchKernel(f, 8, 1, 1, 128, 1, 1, 0, NULL, params, NULL), BAD_HANDLE);

    ok(cuLinkCreate_v2(0, NULL, NULL, &state));
    ok(cuLinkAddData_v2(state, CU_JIT_INPUT_PTX, (void *)(uintptr_t)ptx_add, strlen(ptx_add) + 1,
                        "add", 0, NULL, NULL));
    gives(cuLinkAddData_v2(state, CU_JIT_INPUT_NVVM, (void *)(uintptr_t)ptx_add, 4, "x", 0, NULL,
                           NULL),
          CUDA_ERROR_NOT_SUPPORTED);
    ok(cuLinkComplete(state, &image, &bytes));
    ok(cuModuleLoadData(&m, image));
    ok(cuLinkDestroy(state));
    gives(cuLinkDestroy(state), BAD_HANDLE);
    ok(cuModuleGetFunction(&f, m, "add"));
    ok(cuLaunchKernel(f, 8, 1, 1, 128, 1, 1, 0, NULL, params, NULL));
    test(sums_are_right());
    ok(cuModuleUnload(m));
}

static void counters(void)
{
    int n = COUNT;
    void *params[] = {&a, &b, &out, &n};
    const char *name = NULL;
    uint64_t launches = 0;
    struct sim_counters c;
    nnsim_count(true);
    ok(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, NULL, params, NULL));
    ok(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, NULL, params, NULL));
    nnsim_count(false);
    test(nnsim_counters(0, &name, &launches, &c) && launches == 2);
    test_text(name, "add");
    test(c.global_load_bytes == 2 * 8 * COUNT && c.global_store_bytes == 2 * 4 * COUNT);
    test(!nnsim_counters(1, NULL, NULL, NULL));
    nnsim_counters_reset();
    test(!nnsim_counters(0, NULL, NULL, NULL));
}

/* Streams of several threads: launches, graphs, memory that comes and goes meanwhile. */
static void *worker(void *context)
{
    float got[COUNT];
    int n = COUNT;
    CUdeviceptr mine;
    CUstream s;
    CUgraph g;
    CUgraphExec x;
    intptr_t bad = cuCtxSetCurrent(context) || cuStreamCreate(&s, 0);
    for (int k = 0; k < 10; k++) {
        void *params[] = {&a, &b, &mine, &n};
        bad += cuMemAlloc_v2(&mine, sizeof host) ||
               cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_RELAXED) ||
               cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, s, params, NULL) ||
               cuMemcpyDtoHAsync_v2(got, mine, sizeof got, s) || cuStreamEndCapture(s, &g) ||
               cuGraphInstantiateWithFlags(&x, g, 0) || cuGraphLaunch(x, s) ||
               cuStreamSynchronize(s) || cuGraphExecDestroy(x) || cuGraphDestroy(g) ||
               cuMemFree_v2(mine);
        for (int i = 0; i < COUNT; i++)
            bad += got[i] != 3 * host[i];
    }
    return (void *)(bad + (cuStreamDestroy_v2(s) != CUDA_SUCCESS));
}

static void threads(CUcontext c)
{
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, worker, c);
    for (int i = 0; i < 3; i++) {
        void *bad = NULL;
        pthread_join(t[i], &bad);
        test(!bad);
    }
}

/* After a fault everything in the context fails; another context lives. */
static void sticky(void)
{
    int n = COUNT;
    CUdeviceptr freed, x;
    CUcontext c;
    CUstream s;
    ok(cuStreamCreate(&s, 0));
    ok(cuMemAlloc_v2(&freed, sizeof host));
    ok(cuMemFree_v2(freed));
    void *params[] = {&a, &freed, &out, &n};
    nnsim_on_fault(on_fault, NULL);
    ok(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, s, params,
                      NULL)); /* asynchronous, as far as one sees */
    test(faults == 1);
    gives(cuStreamSynchronize(s), CUDA_ERROR_ILLEGAL_ADDRESS);
    gives(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
    gives(cuMemAlloc_v2(&x, 4), CUDA_ERROR_ILLEGAL_ADDRESS);
    gives(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, s, params, NULL), CUDA_ERROR_ILLEGAL_ADDRESS);
    ok(cuCtxCreate_v2(&c, 0, 0));
    ok(cuMemAlloc_v2(&x, 4));
    gives(cuLaunchKernel(add, 8, 1, 1, 128, 1, 1, 0, NULL, params, NULL),
          BAD_HANDLE); /* another's */
    ok(cuCtxDestroy_v2(c));
}

int main(void)
{
    CUcontext c = context_here();
    float twice[COUNT];
    for (int i = 0; i < COUNT; i++) {
        host[i] = (float)i;
        twice[i] = (float)(2 * i);
    }
    ok(cuMemAlloc_v2(&a, sizeof host));
    ok(cuMemAlloc_v2(&b, sizeof host));
    ok(cuMemAlloc_v2(&out, sizeof host));
    ok(cuMemcpyHtoD_v2(a, host, sizeof host));
    ok(cuMemcpyHtoD_v2(b, twice, sizeof twice));
    modules();
    refused();
    functions();
    launches();
    graphs();
    libraries();
    counters();
    threads(c);
    sticky();
    ok(cuCtxDestroy_v2(c));
    return test_done();
}
