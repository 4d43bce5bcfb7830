/* Functions of kernels.nn launched by their helpers, against the CPU's; the fault that one leaves;
 * pointers that are refused. */
#include <cuda.h>

#include "kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(x) ((x) ? (void)0 : exit(printf("%s:%d: %s\n", __FILE__, __LINE__, #x)))
#define COUNT(a) ((int)(sizeof(a) / sizeof(a)[0]))

static CUdeviceptr to_gpu(const void *p, size_t bytes)
{
    CUdeviceptr at;
    CHECK(!cuMemAlloc(&at, bytes));
    CHECK(!cuMemcpyHtoD(at, p, bytes));
    return at;
}

static float value(int i, int seed) { return (float)sin(i * 1.7 + seed) / 8; }

static void fill(float *p, int n, int seed)
{
    for (int i = 0; i < n; i++)
        p[i] = value(i, seed);
}

static void gradient(const struct kernels_gpu *gpu)
{
    static float x[PRODUCT_X_SIZE], w[PRODUCT_W_SIZE], g[PRODUCT_OUT_SIZE];
    static float d_x[COUNT(x)], d_w[COUNT(w)], gpu_x[COUNT(x)], gpu_w[COUNT(w)];
    fill(x, COUNT(x), 1);
    fill(w, COUNT(w), 2);
    fill(g, COUNT(g), 3);
    void *s = aligned_alloc(64, PRODUCT_GRAD_SCRATCH_BYTES);
    product_grad(x, w, g, d_x, d_w, s);
    free(s);
    CUdeviceptr gx = to_gpu(x, sizeof x), gw = to_gpu(w, sizeof w), gg = to_gpu(g, sizeof g);
    CUdeviceptr dx = to_gpu(x, sizeof x), dw = to_gpu(w, sizeof w), scratch;
    CHECK(!cuMemAlloc(&scratch, PRODUCT_GRAD_GPU_SCRATCH_BYTES));
    CHECK(!product_grad_launch(gpu, NULL, gx, gw, gg, dx, dw, scratch));
    CHECK(!cuMemcpyDtoH(gpu_x, dx, sizeof gpu_x) && !cuMemcpyDtoH(gpu_w, dw, sizeof gpu_w));
    for (int i = 0; i < COUNT(x); i++)
        CHECK(fabsf(gpu_x[i] - d_x[i]) < 1e-5f);
    for (int i = 0; i < COUNT(w); i++)
        CHECK(fabsf(gpu_w[i] - d_w[i]) < 1e-5f);
    CHECK(product_grad_launch(gpu, NULL, gx, gw, gg, dx, dw + 4, scratch) ==
          CUDA_ERROR_MISALIGNED_ADDRESS);
    cuMemFree(gx), cuMemFree(gw), cuMemFree(gg), cuMemFree(dx), cuMemFree(dw), cuMemFree(scratch);
}

static void fault(const struct kernels_gpu *gpu)
{
    static float table[LOOKUP_TABLE_SIZE] = {1, 2}, more[LOOKUP_OUT_SIZE], out[LOOKUP_OUT__SIZE];
    int32_t ids[LOOKUP_IDS_SIZE] = {0};
    struct {
        int32_t line, pad;
        int64_t index;
    } f = {0};
    CUdeviceptr gt = to_gpu(table, sizeof table), gi = to_gpu(ids, sizeof ids);
    CUdeviceptr gm = to_gpu(more, sizeof more), go = to_gpu(out, sizeof out),
                gf = to_gpu(&f, sizeof f);
    CHECK(!lookup_launch(gpu, NULL, gt, gi, gm, go, gf));
    CHECK(!cuMemcpyDtoH(out, go, sizeof out) && !cuMemcpyDtoH(&f, gf, sizeof f));
    CHECK(out[1] == 2 && !f.line);
    ids[1] = 99;
    CHECK(!cuMemcpyHtoD(gi, ids, sizeof ids));
    CHECK(!lookup_launch(gpu, NULL, gt, gi, gm, go, gf));
    CHECK(!cuMemcpyDtoH(&f, gf, sizeof f));
    CHECK(f.line == 7 && f.index == 99);
    cuMemFree(gt), cuMemFree(gi), cuMemFree(gm), cuMemFree(go), cuMemFree(gf);
}

int main(void)
{
    CUdevice device;
    CUcontext context;
    struct kernels_gpu gpu;
    CHECK(!cuInit(0) && !cuDeviceGet(&device, 0));
    CHECK(!cuDevicePrimaryCtxRetain(&context, device) && !cuCtxSetCurrent(context));
    CHECK(!kernels_load(&gpu, kernels_ptx));
    gradient(&gpu);
    fault(&gpu);
    CHECK(!kernels_unload(&gpu) && !cuDevicePrimaryCtxRelease(device));
    CHECK(kernels_load(&gpu, ".version 7.0\n.target sm_80\n.address_size 64\n"));
    return 0;
}
