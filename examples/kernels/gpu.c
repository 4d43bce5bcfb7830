/* Launches compiled functions with the CUDA Driver API, from plain C.
 *
 *   nnc build kernels.nn --kernels -o lib --target host,sm_80
 *   cc gpu.c -I lib -I /usr/local/cuda/include lib/libkernels.a -lcuda -lm -o gpu */
#include <cuda.h>

#include "kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static float x[SOFTMAX_ROWS_X_SIZE], out[SOFTMAX_ROWS_OUT_SIZE], on_cpu[SOFTMAX_ROWS_OUT_SIZE];

static void check(CUresult status, const char *what)
{
    const char *text = "?";
    if (status == CUDA_SUCCESS)
        return;
    cuGetErrorString(status, &text);
    fprintf(stderr, "%s: %s\n", what, text);
    exit(1);
}
#define CHECK(call) check(call, #call)

int main(void)
{
    CUdevice device;
    CUcontext context;
    CUdeviceptr gx, gout;
    struct kernels_gpu gpu;
    CHECK(cuInit(0));
    CHECK(cuDeviceGet(&device, 0));
    CHECK(cuDevicePrimaryCtxRetain(&context, device));
    CHECK(cuCtxSetCurrent(context));
    CHECK(kernels_load(&gpu, kernels_ptx));

    for (int i = 0; i < SOFTMAX_ROWS_X_SIZE; i++)
        x[i] = (float)(i % 17) / 4;
    CHECK(cuMemAlloc(&gx, sizeof x));
    CHECK(cuMemAlloc(&gout, sizeof out));
    CHECK(cuMemcpyHtoD(gx, x, sizeof x));
    CHECK(softmax_rows_launch(&gpu, NULL, gx, gout));
    CHECK(cuMemcpyDtoH(out, gout, sizeof out)); /* waits for the launch */

    /* An entry by hand, as the header describes it. */
    CUfunction entry;
    void *parameter[] = {&gx, &gout};
    CHECK(cuModuleGetFunction(&entry, gpu.module, "softmax_rows"));
    printf("softmax_rows is an entry with %zu parameters\n", sizeof parameter / sizeof *parameter);

    softmax_rows(x, on_cpu, NULL);
    float most = 0;
    for (int i = 0; i < SOFTMAX_ROWS_OUT_SIZE; i++)
        most = fmaxf(most, fabsf(out[i] - on_cpu[i]));
    printf("out[0] = %g, at most %g from the CPU's\n", (double)out[0], (double)most);

    CHECK(cuMemFree(gx));
    CHECK(cuMemFree(gout));
    CHECK(kernels_unload(&gpu));
    CHECK(cuDevicePrimaryCtxRelease(device));
    return most < 1e-6f ? 0 : 1;
}
