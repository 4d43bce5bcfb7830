/* The software GPU's driver with two devices of different chips: each has its own memory; copies go
 * between them, kernels do not reach over, and a fault on one leaves the other well. */
#include "simdriver.h"

enum { COUNT = 100000 };
static int faults;

static void on_fault(void *data, const struct sim_fault *f)
{
    (void)data;
    faults += f->kind == SIM_FAULT_BOUNDS;
}

int main(void)
{
    int n = 0, few = 10, last[2] = {0};
    char name[64];
    CUcontext a, b;
    CUdeviceptr x, y;
    CUmodule m;
    CUfunction f;
    test(nnsim_select("sm_80,sm_90a"));
    ok(cuInit(0));
    ok(cuDeviceGetCount(&n));
    test(n == 2);
    ok(cuDeviceGetName(name, sizeof name, 1));
    test(strstr(name, "sm_90a") != NULL);
    ok(cuCtxCreate_v2(&a, 0, 0));
    ok(cuMemAlloc_v2(&x, 4 * COUNT));
    ok(cuMemsetD32_v2(x, 7, COUNT));
    ok(cuCtxCreate_v2(&b, 0, 1));
    ok(cuMemAlloc_v2(&y, 4 * COUNT));
    ok(cuMemcpyPeer(y, b, x, a, 4 * COUNT));
    ok(cuMemcpyDtoH_v2(last, y + 4 * COUNT - 8, 8));
    test(last[1] == 7);
    ok(cuPointerGetAttribute(&n, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, x));
    test(n == 0);
    ok(cuDeviceCanAccessPeer(&n, 0, 1));
    test(n == 0);
    gives(cuCtxEnablePeerAccess(a, 0), CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
    ok(cuModuleLoadData(&m, ptx_add));
    ok(cuModuleGetFunction(&f, m, "add"));
    void *params[] = {&x, &y, &y, &few};
    nnsim_on_fault(on_fault, NULL);
    ok(cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, NULL, params, NULL));
    test(faults == 1);
    gives(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
    ok(cuCtxSetCurrent(a));
    ok(cuCtxSynchronize());
    ok(cuMemFree_v2(x));
    ok(cuCtxDestroy_v2(b));
    ok(cuCtxDestroy_v2(a));
    return test_done();
}
