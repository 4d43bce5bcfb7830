/* A program of somebody else's: CUDA's own header, the library by its own name; every entry once
 * through the linker and once through cuGetProcAddress. */
#include <cuda.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(call)                                                                                \
    do {                                                                                           \
        CUresult r_ = (call);                                                                      \
        const char *name_ = "?";                                                                   \
        cuGetErrorName(r_, &name_);                                                                \
        if (r_) {                                                                                  \
            printf("line %d: %s: %s\n", __LINE__, #call, name_);                                   \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)
#define TEST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: %s is not so\n", __LINE__, #condition);                               \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

enum { N = 3000 };

int main(int argc, char **argv)
{
    CUdevice d;
    CUcontext context;
    CUmodule module;
    CUfunction f;
    CUdeviceptr x, y;
    CUstream s;
    CUevent e;
    CUgraph graph;
    CUgraphExec exec;
    CUgraphNode node;
    int n = N, major, version;
    float a = 3, *host, got[N];
    char name[100];
    CUresult (*launch)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                       unsigned, CUstream, void **, void **);
    TEST(argc == 2);
    CHECK(cuInit(0));
    CHECK(cuDriverGetVersion(&version));
    TEST(version >= CUDA_VERSION / 1000 * 1000);
    CHECK(cuDeviceGet(&d, 0));
    CHECK(cuDeviceGetName(name, sizeof name, d));
    CHECK(cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, d));
    TEST(strstr(name, "sm_90") && major == 9);
    CHECK(cuDevicePrimaryCtxRetain(&context, d));
    CHECK(cuCtxPushCurrent(context));
    CHECK(cuModuleLoad(&module, argv[1]));
    CHECK(cuModuleGetFunction(&f, module, "saxpy"));
    CHECK(cuMemHostAlloc((void **)&host, sizeof got, CU_MEMHOSTALLOC_DEVICEMAP));
    for (int i = 0; i < N; i++)
        host[i] = (float)i;
    CHECK(cuMemAlloc(&x, sizeof got));
    CHECK(cuMemAlloc(&y, sizeof got));
    CHECK(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    CHECK(cuEventCreate(&e, CU_EVENT_DISABLE_TIMING));
    CHECK(cuMemcpyHtoDAsync(x, host, sizeof got, s));
    CHECK(cuMemsetD32Async(y, 0x3f800000, N, s)); /* 1.0f */
    CHECK(cuGetProcAddress("cuLaunchKernel", (void **)&launch, CUDA_VERSION,
                           CU_GET_PROC_ADDRESS_DEFAULT, NULL));
    void *params[] = {&n, &a, &x, &y};
    CHECK(launch(f, (N + 255) / 256, 1, 1, 256, 1, 1, 0, s, params, NULL));
    CHECK(cuEventRecord(e, s));
    CHECK(cuEventSynchronize(e));
    CHECK(cuMemcpyDtoH(got, y, sizeof got));
    for (int i = 0; i < N; i++)
        TEST(got[i] == 3.f * (float)i + 1);

    CUDA_KERNEL_NODE_PARAMS p = {.func =
                                     f, /* the kernel again, twice in a graph, y += 3 x each time */
                                 .gridDimX = (N + 255) / 256,
                                 .gridDimY = 1,
                                 .gridDimZ = 1,
                                 .blockDimX = 256,
                                 .blockDimY = 1,
                                 .blockDimZ = 1,
                                 .kernelParams = params};
    CHECK(cuGraphCreate(&graph, 0));
    CHECK(cuGraphAddKernelNode(&node, graph, NULL, 0, &p));
    CHECK(cuGraphAddKernelNode(&node, graph, &node, 1, &p));
    CHECK(cuGraphInstantiate(&exec, graph, 0));
    CHECK(cuGraphLaunch(exec, s));
    CHECK(cuStreamSynchronize(s));
    CHECK(cuMemcpy((CUdeviceptr)(size_t)got, y, sizeof got));
    for (int i = 0; i < N; i++)
        TEST(got[i] == 9.f * (float)i + 1);
    x += 4; /* a bad address: the launch is well, what follows is not */
    CHECK(cuLaunchKernel(f, (N + 255) / 256, 1, 1, 256, 1, 1, 0, s, params, NULL));
    TEST(cuStreamSynchronize(s) == CUDA_ERROR_ILLEGAL_ADDRESS);
    TEST(cuMemFree(y) == CUDA_ERROR_ILLEGAL_ADDRESS);
    puts("all is well");
    return 0;
}
