/* cuBLAS on vectors: every call in f32 and f64, increments of both signs, scalars and results on
 * the device, capture; arguments that are wrong, operands that are not there, results that overlap.
 */
#include "ptxsim/driver/blas_calls.h"
#include "simdriver.h"
#include <math.h>

#define P(x) ((void *)(uintptr_t)(x))
static cublasHandle_t handle;
static int faults;

static CUdeviceptr upload(const void *p, size_t bytes)
{
    CUdeviceptr at;
    ok(cuMemAlloc_v2(&at, bytes));
    ok(cuMemcpyHtoD_v2(at, p, bytes));
    return at;
}

/* The vectors are x = 1 -2 3 4, y = 5 6 7 8; the matrix is 2 × 3, column-major. */
#define TYPE(S, s, T)                                                                              \
    static void all_##S(void)                                                                      \
    {                                                                                              \
        const T xs[] = {1, -2, 3, 4}, ys[] = {5, 6, 7, 8}, ms[] = {1, 2, 3, 4, 5, 6};              \
        T got[6], alpha = 2, beta = 10;                                                            \
        int at;                                                                                    \
        CUdeviceptr x = upload(xs, sizeof xs), y = upload(ys, sizeof ys),                          \
                    m = upload(ms, sizeof ms);                                                     \
        test(!cublas##S##axpy_v2(handle, 4, &alpha, P(x), 1, P(y), 1));                            \
        ok(cuMemcpyDtoH_v2(got, y, sizeof ys));                                                    \
        test(got[0] == 7 && got[1] == 2 && got[2] == 13 && got[3] == 16);                          \
        test(!cublas##S##copy_v2(handle, 2, P(x), -2, P(y), 1)); /* from behind: 3, 1 */           \
        ok(cuMemcpyDtoH_v2(got, y, sizeof ys));                                                    \
        test(got[0] == 3 && got[1] == 1 && got[2] == 13);                                          \
        test(!cublas##S##swap_v2(handle, 2, P(x), 1, P(y), 3));                                    \
        ok(cuMemcpyDtoH_v2(got, y, sizeof ys));                                                    \
        test(got[0] == 1 && got[1] == 1 && got[3] == -2);                                          \
        test(!cublas##S##swap_v2(handle, 2, P(x), 1, P(y), 3));                                    \
        test(!cublas##S##dot_v2(handle, 4, P(x), 1, P(y), 1, got) && got[0] == 3 - 2 + 39 + 64);   \
        test(!cublas##S##asum_v2(handle, 4, P(x), 1, got) && got[0] == 10);                        \
        test(!cublas##S##nrm2_v2(handle, 4, P(x), 1, got) &&                                       \
             fabs((double)got[0] * (double)got[0] - 30) < 1e-5);                                   \
        test(!cublas##S##nrm2_v2(handle, 4, P(x), 0, got) && got[0] == 0);                         \
        test(!cublasI##s##amax_v2(handle, 4, P(x), 1, &at) && at == 4);                            \
        test(!cublasI##s##amin_v2(handle, 3, P(x + sizeof(T)), 1, &at) && at == 1);                \
        test(!cublasI##s##amax_v2(handle, 0, NULL, 1, &at) && at == 0);                            \
        test(!cublas##S##scal_v2(handle, 2, &alpha, P(x), 2));                                     \
        ok(cuMemcpyDtoH_v2(got, x, sizeof xs));                                                    \
        test(got[0] == 2 && got[1] == -2 && got[2] == 6 && got[3] == 4);                           \
        test(!cublas##S##gemv_v2(handle, CUBLAS_OP_N, 2, 3, &alpha, P(m), 2, P(x), 1, &beta, P(y), \
                                 -1));                                                             \
        ok(cuMemcpyDtoH_v2(got, y, sizeof ys));                                                    \
        test(got[1] == 2 * (2 - 6 + 30) + 10 && got[0] == 2 * (4 - 8 + 36) + 30);                  \
        test(!cublas##S##gemv_v2(handle, CUBLAS_OP_T, 2, 3, &alpha, P(m), 2, P(x), 1, &beta,       \
                                 P(y + sizeof(T)), 1));                                            \
        test(!cublas##S##ger_v2(handle, 2, 3, &alpha, P(x), 1, P(x), 1, P(m), 2));                 \
        ok(cuMemcpyDtoH_v2(got, m, sizeof ms));                                                    \
        test(got[0] == 9 && got[1] == -6 && got[3] == 12 && got[5] == -18);                        \
        ok(cuMemFree_v2(x));                                                                       \
        ok(cuMemFree_v2(y));                                                                       \
        ok(cuMemFree_v2(m));                                                                       \
    }
TYPE(S, s, float)
TYPE(D, d, double)

/* A captured call with scalar and result on the device: they are read and written when it runs. */
static void captured(void)
{
    const float xs[] = {1, 2, 3}, two = 2, host = 1;
    float got[3];
    CUdeviceptr x = upload(xs, sizeof xs), alpha = upload(&two, 4), sum;
    CUstream s;
    CUgraph g;
    CUgraphExec e;
    ok(cuMemAlloc_v2(&sum, 4));
    ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    test(!cublasSetStream_v2(handle, s));
    ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
    test(cublasSasum_v2(handle, 3, P(x), 1, got) == CUBLAS_STATUS_NOT_SUPPORTED);
    test(!cublasSetPointerMode_v2(handle, CUBLAS_POINTER_MODE_DEVICE));
    test(!cublasSscal_v2(handle, 3, P(alpha), P(x), 1));
    test(!cublasSasum_v2(handle, 3, P(x), 1, P(sum)));
    ok(cuStreamEndCapture(s, &g));
    ok(cuGraphInstantiateWithFlags(&e, g, 0));
    ok(cuGraphLaunch(e, s));
    ok(cuMemcpyHtoD_v2(alpha, &host, 4));
    ok(cuGraphLaunch(e, s));
    ok(cuMemcpyDtoH_v2(got, sum, 4));
    test(got[0] == 12);
    ok(cuGraphExecDestroy(e));
    ok(cuGraphDestroy(g));
    test(!cublasSetPointerMode_v2(handle, CUBLAS_POINTER_MODE_HOST));
    test(!cublasSetStream_v2(handle, NULL));
    ok(cuStreamDestroy_v2(s));
}

static void copies(void)
{
    const int from[] = {1, 2, 3, 4, 5, 6};
    int to[6] = {0};
    CUdeviceptr d = upload(to, sizeof to);
    test(!cublasSetVector(3, 4, from, 2, P(d), 1)); /* 1 3 5 */
    test(!cublasGetVector(3, 4, P(d), 1, to, 2));
    test(to[0] == 1 && to[1] == 0 && to[2] == 3 && to[4] == 5);
    test(!cublasSetMatrix(2, 2, 4, from, 3, P(d), 2)); /* 1 2, 4 5 */
    test(!cublasGetMatrix(2, 2, 4, P(d), 2, to, 2));
    test(to[0] == 1 && to[1] == 2 && to[2] == 4 && to[3] == 5);
    test(cublasSetMatrix(2, 2, 4, from, 1, P(d), 2) == CUBLAS_STATUS_INVALID_VALUE);
    test(cublasSetVector(1, 0, from, 1, P(d), 1) == CUBLAS_STATUS_INVALID_VALUE);
    test(cublasSetVector(9, 4, from, 1, P(d), 1) == CUBLAS_STATUS_MAPPING_ERROR);
    test(!cublasGetVector(0, 4, NULL, 1, NULL, 1));
}

static void wrong(void)
{
    float one = 1, got;
    CUdeviceptr x = upload(&one, 4);
    test(cublasSaxpy_v2(NULL, 1, &one, P(x), 1, P(x), 1) == CUBLAS_STATUS_NOT_INITIALIZED);
    test(cublasSaxpy_v2(handle, 1, NULL, P(x), 1, P(x), 1) == CUBLAS_STATUS_INVALID_VALUE);
    test(cublasSaxpy_v2(handle, 1, &one, NULL, 1, P(x), 1) == CUBLAS_STATUS_INVALID_VALUE);
    test(cublasSdot_v2(handle, 1, P(x), 1, P(x), 1, NULL) == CUBLAS_STATUS_INVALID_VALUE);
    test(!cublasSaxpy_v2(handle, -1, &one, NULL, 1, NULL, 1));
    test(cublasSgemv_v2(handle, CUBLAS_OP_N, 2, 1, &one, P(x), 1, P(x), 1, &one, P(x), 1) ==
         CUBLAS_STATUS_INVALID_VALUE);
    test(cublasSgemv_v2(handle, (cublasOperation_t)7, 1, 1, &one, P(x), 1, P(x), 1, &one, P(x),
                        1) == CUBLAS_STATUS_INVALID_VALUE);
    test(cublasSger_v2(handle, 1, 1, &one, P(x), 0, P(x), 1, P(x), 1) ==
         CUBLAS_STATUS_INVALID_VALUE);
    test(!cublasSnrm2_v2(handle, 1, P(x), 1, &got) && got == 1);
}

static void on_fault(void *data, const struct sim_fault *f)
{
    (void)data;
    faults += strstr(f->text, "y is not within") || strstr(f->text, "data race") ? 1 : 0;
}

/* Each loses its context. */
static void lost(bool overlap)
{
    float one = 1, zero = 0;
    CUcontext c = context_here();
    CUdeviceptr x;
    ok(cuMemAlloc_v2(&x, 64));
    ok(cuMemsetD8_v2(x, 0, 64));
    test(!cublasCreate_v2(&handle));
    if (overlap) { /* columns of 2 with room for 4: what is between may be another batch's */
        test(!cublasSgemmStridedBatched(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, P(x), 2, 0,
                                        P(x + 16), 2, 0, &zero, P(x + 32), 4, 2, 2));
        ok(cuCtxSynchronize());
        test(!cublasSgemmStridedBatched(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, P(x), 2, 0,
                                        P(x + 16), 2, 0, &zero, P(x + 32), 2, 3, 2));
    } else {
        test(!cublasSaxpy_v2(handle, 4, &one, P(x), 1, P(x), 6));
    }
    gives(cuCtxSynchronize(), overlap ? CUDA_ERROR_LAUNCH_FAILED : CUDA_ERROR_ILLEGAL_ADDRESS);
    test(!cublasDestroy_v2(handle));
    ok(cuCtxDestroy_v2(c));
}

int main(void)
{
    CUcontext c = context_here();
    test(!cublasCreate_v2(&handle));
    all_S();
    all_D();
    captured();
    copies();
    wrong();
    test(!cublasDestroy_v2(handle));
    ok(cuCtxDestroy_v2(c));
    nnsim_on_fault(on_fault, NULL);
    lost(false);
    lost(true);
    test(faults == 2);
    nnsim_on_fault(NULL, NULL);
    return test_done();
}
