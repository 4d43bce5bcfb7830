/* cuBLAS and cuBLASLt on the software GPU: against sums in f64, all transposes, types, batches,
 * epilogues, capture; arguments that are wrong. */
#include "ptxsim/driver/blas_calls.h"
#include "simdriver.h"

enum { M = 7, N = 5, K = 9, ROOM = 200 };

static cublasHandle_t handle;
static float host_a[ROOM], host_b[ROOM], host_c[ROOM];

static float value(int i)
{
    return (float)((i * 37 + 11) % 64 - 32) / 16; /* exact in every type */
}

static uint16_t bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return (uint16_t)(u >> 16);
}

static CUdeviceptr upload(const void *p, size_t bytes)
{
    CUdeviceptr at;
    ok(cuMemAlloc_v2(&at, bytes));
    ok(cuMemcpyHtoD_v2(at, p, bytes));
    return at;
}

#define P(x) ((void *)(uintptr_t)(x))

/* op(A) is M × K, op(B) K × N, column-major, with leading dimensions larger than they must be. */
static double wanted(int ta, int tb, int lda, int ldb, int i, int j)
{
    double sum = 0;
    for (int p = 0; p < K; p++)
        sum +=
            (double)host_a[ta ? i * lda + p : p * lda + i] * host_b[tb ? p * ldb + j : j * ldb + p];
    return sum;
}

static void transposes(void)
{
    float one = 2, zero = 0.5f;
    CUdeviceptr a = upload(host_a, sizeof host_a), b = upload(host_b, sizeof host_b);
    for (int t = 0; t < 4; t++) {
        int ta = t & 1, tb = t >> 1, lda = (ta ? K : M) + 2, ldb = (tb ? N : K) + 1, ldc = M + 3;
        CUdeviceptr c = upload(host_c, sizeof host_c);
        float got[ROOM];
        test(!cublasSgemm_v2(handle, (cublasOperation_t)ta, (cublasOperation_t)tb, M, N, K, &one,
                             P(a), lda, P(b), ldb, &zero, P(c), ldc));
        ok(cuMemcpyDtoH_v2(got, c, sizeof got));
        for (int j = 0; j < N; j++)
            for (int i = 0; i < ldc; i++) {
                double w = host_c[j * ldc + i];
                if (i < M)
                    w = 2 * wanted(ta, tb, lda, ldb, i, j) + 0.5 * w;
                test_near(got[j * ldc + i], w, 1e-5);
            }
        ok(cuMemFree_v2(c));
    }
    ok(cuMemFree_v2(a));
    ok(cuMemFree_v2(b));
}

/* bf16 in, f32 and bf16 out; beta 0 must not read what was never written. */
static void types(void)
{
    uint16_t ha[ROOM], hb[ROOM], out16[M * N];
    float one = 1, zero = 0, out[M * N];
    for (int i = 0; i < ROOM; i++) {
        ha[i] = bf16(host_a[i]);
        hb[i] = bf16(host_b[i]);
    }
    CUdeviceptr a = upload(ha, sizeof ha), b = upload(hb, sizeof hb), c;
    ok(cuMemAlloc_v2(&c, sizeof out));
    test(!cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, M, N, K, &one, P(a), CUDA_R_16BF, M, P(b),
                       CUDA_R_16BF, K, &zero, P(c), CUDA_R_32F, M, CUBLAS_COMPUTE_32F, -1));
    ok(cuMemcpyDtoH_v2(out, c, sizeof out));
    test(!cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, M, N, K, &one, P(a), CUDA_R_16BF, M, P(b),
                       CUDA_R_16BF, K, &zero, P(c), CUDA_R_16BF, M, CUBLAS_COMPUTE_32F, -1));
    ok(cuMemcpyDtoH_v2(out16, c, sizeof out16));
    for (int i = 0; i < M * N; i++) {
        double w = wanted(0, 0, M, K, i % M, i / M);
        uint32_t u = (uint32_t)out16[i] << 16;
        float f;
        memcpy(&f, &u, sizeof f);
        test_near(out[i], w, 1e-6);
        test_near(f, w, fabs(w) / 256 + 1e-30);
    }
    test(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, M, N, K, &one, P(a), CUDA_R_16BF, M, P(b),
                      CUDA_R_16F, K, &zero, P(c), CUDA_R_32F, M, CUBLAS_COMPUTE_32F,
                      -1) == CUBLAS_STATUS_NOT_SUPPORTED);
    ok(cuMemFree_v2(a));
    ok(cuMemFree_v2(b));
    ok(cuMemFree_v2(c));
}

/* 1 + 2^-11 is 1 in tf32 (ties go away from zero: 1 + 2^-10), and more than that in f32. */
static void tf32(void)
{
    float x = 1 + 0x1p-12f, one = 1, zero = 0, got;
    CUdeviceptr a = upload(&x, 4), b = upload(&one, 4), c = upload(&zero, 4);
    cublasComputeType_t how[] = {CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32};
    for (int i = 0; i < 2; i++) {
        test(!cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, P(a), CUDA_R_32F, 1,
                           P(b), CUDA_R_32F, 1, &zero, P(c), CUDA_R_32F, 1, how[i], -1));
        ok(cuMemcpyDtoH_v2(&got, c, 4));
        test(got == (i ? 1 : x));
    }
    test(!cublasSetMathMode(handle, CUBLAS_TF32_TENSOR_OP_MATH));
    test(!cublasSgemm_v2(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, P(a), 1, P(b), 1, &zero,
                         P(c), 1));
    ok(cuMemcpyDtoH_v2(&got, c, 4));
    test(got == 1);
    test(!cublasSetMathMode(handle, CUBLAS_DEFAULT_MATH));
    ok(cuMemFree_v2(a));
    ok(cuMemFree_v2(b));
    ok(cuMemFree_v2(c));
}

static void batches_captured(void)
{
    float one = 1, zero = 0, got[2 * M * N];
    CUdeviceptr a = upload(host_a, sizeof host_a), b = upload(host_b, sizeof host_b), c;
    CUstream s;
    CUgraph g;
    CUgraphExec x;
    CUgraphNode node;
    CUgraphNodeType type;
    size_t n = 1;
    ok(cuMemAlloc_v2(&c, sizeof got));
    ok(cuMemsetD32_v2(c, 0, 2 * M * N));
    ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    test(!cublasSetStream_v2(handle, s));
    ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
    test(!cublasGemmStridedBatchedEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, M, N, K, &one, P(a),
                                     CUDA_R_32F, M, M * K, P(b), CUDA_R_32F, K, K * N, &zero, P(c),
                                     CUDA_R_32F, M, M * N, 2, CUBLAS_COMPUTE_32F, -1));
    one = 1000; /* the graph has its own copy */
    ok(cuStreamEndCapture(s, &g));
    ok(cuGraphGetNodes(g, &node, &n));
    ok(cuGraphNodeGetType(node, &type));
    test(n == 1 && type == CU_GRAPH_NODE_TYPE_KERNEL);
    ok(cuMemcpyDtoH_v2(got, c, sizeof got));
    test(got[0] == 0);
    ok(cuGraphInstantiateWithFlags(&x, g, 0));
    ok(cuGraphDestroy(g));
    ok(cuGraphLaunch(x, s));
    ok(cuMemcpyDtoH_v2(got, c, sizeof got));
    for (int i = 0; i < M * N; i++) {
        double second = 0;
        for (int p = 0; p < K; p++)
            second += (double)host_a[M * K + p * M + i % M] * host_b[K * N + i / M * K + p];
        test_near(got[i], wanted(0, 0, M, K, i % M, i / M), 1e-5);
        test_near(got[M * N + i], second, 1e-5);
    }
    ok(cuGraphExecDestroy(x));
    test(!cublasSetStream_v2(handle, NULL));
    ok(cuStreamDestroy_v2(s));
    ok(cuMemFree_v2(a));
    ok(cuMemFree_v2(b));
    ok(cuMemFree_v2(c));
}

static void wrong_arguments(void)
{
    float one = 1, zero = 0;
    int version = 0;
    CUdeviceptr a;
    ok(cuMemAlloc_v2(&a, 1024));
    ok(cuMemsetD8_v2(a, 0, 1024));
#define TRY(h, op, m, k, alpha, lda, ldc)                                                          \
    cublasSgemm_v2(h, op, CUBLAS_OP_N, m, 2, k, alpha, P(a), lda, P(a), 4, &zero, P(a), ldc)
    test(TRY(NULL, CUBLAS_OP_N, 2, 2, &one, 4, 4) == CUBLAS_STATUS_NOT_INITIALIZED);
    test(TRY(handle, CUBLAS_OP_N, 2, 2, &one, 4, 4) == CUBLAS_STATUS_SUCCESS);
    test(TRY(handle, (cublasOperation_t)9, 2, 2, &one, 4, 4) == CUBLAS_STATUS_INVALID_VALUE);
    test(TRY(handle, CUBLAS_OP_N, -1, 2, &one, 4, 4) == CUBLAS_STATUS_INVALID_VALUE);
    test(TRY(handle, CUBLAS_OP_N, 2, 2, NULL, 4, 4) == CUBLAS_STATUS_INVALID_VALUE);
    test(TRY(handle, CUBLAS_OP_N, 2, 2, &one, 1, 4) == CUBLAS_STATUS_INVALID_VALUE);
    test(TRY(handle, CUBLAS_OP_T, 2, 3, &one, 2, 4) == CUBLAS_STATUS_INVALID_VALUE);
    test(TRY(handle, CUBLAS_OP_N, 2, 2, &one, 4, 1) == CUBLAS_STATUS_INVALID_VALUE);
    test(cublasSetWorkspace_v2(handle, P(a + 16), 64) == CUBLAS_STATUS_INVALID_VALUE);
    test(cublasSetWorkspace_v2(handle, P(a), 4096) == CUBLAS_STATUS_INVALID_VALUE);
    test(cublasSetWorkspace_v2(handle, P(a), 1024) == CUBLAS_STATUS_SUCCESS);
    test(cublasSetStream_v2(handle, (CUstream)&a) == CUBLAS_STATUS_INVALID_VALUE);
    test(cublasSetMathMode(handle, (cublasMath_t)77) == CUBLAS_STATUS_INVALID_VALUE);
    test(!cublasGetVersion_v2(handle, &version) && version >= 120000);
    test_text(cublasGetStatusName(CUBLAS_STATUS_NOT_SUPPORTED), "CUBLAS_STATUS_NOT_SUPPORTED");
    ok(cuMemFree_v2(a));
}

/* D = gelu(A B + bias), then relu, with the algorithm that the heuristic gives. */
static void lt(void)
{
    cublasLtHandle_t l;
    cublasLtMatmulDesc_t d;
    cublasLtMatrixLayout_t la, lb, lc;
    cublasLtMatmulPreference_t p;
    cublasLtMatmulHeuristicResult_t h;
    int found = 0;
    uint32_t epilogue[] = {36, 6};
    float one = 1, zero = 0, bias[M], got[M * N];
    size_t written;
    for (int i = 0; i < M; i++)
        bias[i] = (float)i - 3;
    CUdeviceptr a = upload(host_a, sizeof host_a), b = upload(host_b, sizeof host_b),
                x = upload(bias, sizeof bias), c = upload(host_c, sizeof host_c);
    test(!cublasLtCreate(&l));
    test(!cublasLtMatmulDescCreate(&d, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    test(!cublasLtMatrixLayoutCreate(&la, CUDA_R_32F, M, K, M));
    test(!cublasLtMatrixLayoutCreate(&lb, CUDA_R_32F, K, N, K));
    test(!cublasLtMatrixLayoutCreate(&lc, CUDA_R_32F, M, N, M));
    test(!cublasLtMatmulPreferenceCreate(&p));
    test(!cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &x, sizeof x));
    test(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &x, 4) ==
         CUBLAS_STATUS_INVALID_VALUE);
    for (int e = 0; e < 2; e++) {
        test(!cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue[e], 4));
        test(!cublasLtMatmulAlgoGetHeuristic(l, d, la, lb, lc, lc, p, 1, &h, &found));
        test(found == 1 && h.workspaceSize == 0);
        test(!cublasLtMatmul(l, d, &one, P(a), la, P(b), lb, &zero, P(c), lc, P(c), lc, &h.algo,
                             NULL, 0, NULL));
        ok(cuMemcpyDtoH_v2(got, c, sizeof got));
        for (int i = 0; i < M * N; i++) {
            double w = wanted(0, 0, M, K, i % M, i / M) + bias[i % M];
            double g =
                0.5 * w * (1 + tanh(sqrt(2 / 3.14159265358979) * (w + 0.044715 * w * w * w)));
            test_near(got[i], e ? fmax(w, 0) : g, 1e-4);
        }
    }
    test(!cublasLtMatmulDescGetAttribute(d, CUBLASLT_MATMUL_DESC_EPILOGUE, &found, 4, &written));
    test(found == 6 && written == 4);
    test(cublasLtMatmul(l, d, &one, P(a), lb, P(b), lb, &zero, P(c), lc, P(c), lc, NULL, NULL, 0,
                        NULL) == CUBLAS_STATUS_INVALID_VALUE); /* shapes do not fit */
    epilogue[0] = 128 | 2;
    test(!cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue[0], 4));
    test(cublasLtMatmulAlgoGetHeuristic(l, d, la, lb, lc, lc, p, 1, &h, &found) ==
         CUBLAS_STATUS_NOT_SUPPORTED);
    test(!cublasLtMatmulPreferenceDestroy(p) && !cublasLtMatrixLayoutDestroy(la) &&
         !cublasLtMatrixLayoutDestroy(lb) && !cublasLtMatrixLayoutDestroy(lc) &&
         !cublasLtMatmulDescDestroy(d) && !cublasLtDestroy(l));
    test(cublasLtDestroy(l) == CUBLAS_STATUS_NOT_INITIALIZED);
    ok(cuMemFree_v2(a));
    ok(cuMemFree_v2(b));
    ok(cuMemFree_v2(c));
    ok(cuMemFree_v2(x));
}

/* alpha and beta in device memory, read when the product runs; f64; batches of f32. */
static void others(void)
{
    double d[4] = {1, 2, 3, 4}, got[4], half = 0.5, none = 0;
    float scalars[2] = {3, 0}, one = 1, zero = 0, x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, y[8];
    CUdeviceptr a = upload(d, sizeof d), c = upload(d, sizeof d),
                s = upload(scalars, sizeof scalars), f = upload(x, sizeof x),
                r = upload(x, sizeof x);
    cublasPointerMode_t mode;
    cublasMath_t math;
    CUstream stream;
    int v;
    test(!cublasDgemm_v2(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &half, P(a), 2, P(a), 2, &none,
                         P(c), 2));
    ok(cuMemcpyDtoH_v2(got, c, sizeof got));
    test(got[0] == 3.5 && got[1] == 5 && got[2] == 7.5 && got[3] == 11);
    test(!cublasSgemmStridedBatched(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, P(f), 2, 4,
                                    P(f), 2, 4, &zero, P(r), 2, 4, 2));
    ok(cuMemcpyDtoH_v2(y, r, sizeof y));
    test(y[0] == 7 && y[3] == 22 && y[4] == 67 && y[7] == 106);
    test(!cublasSetPointerMode_v2(handle, CUBLAS_POINTER_MODE_DEVICE));
    test(!cublasGetPointerMode_v2(handle, &mode) && mode == CUBLAS_POINTER_MODE_DEVICE);
    test(!cublasSgemm_v2(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, P(s), P(f), 1, P(f), 1,
                         P(s + 4), P(r), 1));
    ok(cuMemcpyDtoH_v2(y, r, 4));
    test(y[0] == 3);
    test(!cublasSetPointerMode_v2(handle, CUBLAS_POINTER_MODE_HOST));
    test(cublasSetPointerMode_v2(handle, (cublasPointerMode_t)5) == CUBLAS_STATUS_INVALID_VALUE);
    test(!cublasGetMathMode(handle, &math) && math == CUBLAS_DEFAULT_MATH);
    test(!cublasGetStream_v2(handle, &stream) && !stream);
    test(!cublasSetAtomicsMode(handle, CUBLAS_ATOMICS_ALLOWED));
    test(cublasSetAtomicsMode(handle, (cublasAtomicsMode_t)5) == CUBLAS_STATUS_INVALID_VALUE);
    test(!cublasGetProperty(0, &v) && v == 13);
    test(cublasGetProperty(7, &v) == CUBLAS_STATUS_INVALID_VALUE);
    test(cublasLtGetVersion() / 10000 == 13);
    CUdeviceptr all[] = {a, c, s, f, r};
    for (int i = 0; i < 5; i++)
        ok(cuMemFree_v2(all[i]));
}

/* Row-major layouts in the caller's own memory; what goes into gelu is kept, and its gradient uses
 * it. */
static void lt_more(void)
{
    uint64_t room[5][32];
    cublasLtMatmulDesc_t d = (cublasLtMatmulDesc_t)room[0];
    cublasLtMatrixLayout_t l = (cublasLtMatrixLayout_t)room[1];
    cublasLtMatmulPreference_t p = (cublasLtMatmulPreference_t)room[2];
    float a[4] = {1, 2, 3, 4}, b[4] = {1, 0, 0, 1}, one = 1, zero = 0, y[4], kept[16] = {0};
    int32_t order = CUBLASLT_ORDER_ROW;
    uint32_t epilogue = CUBLASLT_EPILOGUE_GELU_AUX;
    uint64_t aux_at, workspace = 64;
    int64_t ld = 2;
    size_t written;
    CUdeviceptr da = upload(a, sizeof a), db = upload(b, sizeof b), dy = upload(b, sizeof b),
                aux = upload(kept, sizeof kept);
    test(!cublasLtMatmulDescInit_internal(d, sizeof room[0], CUBLAS_COMPUTE_32F, CUDA_R_32F));
    test(!cublasLtMatrixLayoutInit_internal(l, 64, CUDA_R_32F, 2, 2, 2));
    test(cublasLtMatrixLayoutInit_internal(l, 8, CUDA_R_32F, 2, 2, 2) ==
         CUBLAS_STATUS_ALLOC_FAILED);
    test(!cublasLtMatmulPreferenceInit_internal(p, 64));
    test(!cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &workspace, 8));
    workspace = 0;
    test(!cublasLtMatmulPreferenceGetAttribute(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &workspace, 8, &written));
    test(workspace == 64 && written == 8);
    test(!cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_ORDER, &order, 4));
    test(!cublasLtMatrixLayoutGetAttribute(l, CUBLASLT_MATRIX_LAYOUT_LD, &ld, 8, NULL) && ld == 2);
    aux_at = aux;
    test(!cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, 4));
    test(cublasLtMatmul((cublasLtHandle_t)handle, d, &one, P(da), l, P(db), l, &zero, P(dy), l,
                        P(dy), l, NULL, NULL, 0,
                        NULL) == CUBLAS_STATUS_INVALID_VALUE); /* no place for it */
    test(!cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &aux_at, 8));
    for (ld = 2; ld <= 8; ld += 6) { /* a multiple of 8 is wanted */
        test(!cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &ld, 8));
        test(cublasLtMatmul((cublasLtHandle_t)handle, d, &one, P(da), l, P(db), l, &zero, P(dy), l,
                            P(dy), l, NULL, NULL, 0, NULL) ==
             (ld == 8 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE));
    }
    ok(cuMemcpyDtoH_v2(y, dy, sizeof y));
    ok(cuMemcpyDtoH_v2(kept, aux, sizeof kept));
    test_near(y[1], 1.9545977, 1e-6); /* gelu(2): row-major, a times the unit matrix */
    test(kept[0] == 1 && kept[1] == 3 && kept[8] == 2); /* column-major always */
    epilogue = CUBLASLT_EPILOGUE_DGELU;
    test(!cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, 4));
    test(!cublasLtMatmul((cublasLtHandle_t)handle, d, &one, P(db), l, P(db), l, &zero, P(dy), l,
                         P(dy), l, NULL, NULL, 0, NULL));
    ok(cuMemcpyDtoH_v2(y, dy, sizeof y));
    test_near(y[0], 1.0829641, 1e-6); /* gelu'(1) */
    CUdeviceptr all[] = {da, db, dy, aux};
    for (int i = 0; i < 4; i++)
        ok(cuMemFree_v2(all[i]));
}

static int faults;

static void on_fault(void *data, const struct sim_fault *f)
{
    faults += f->kind == SIM_FAULT_BOUNDS && strstr(f->text, "B is not") && !data;
}

/* A matrix that is not there: the call is well, the context is lost. */
static void outside(void)
{
    float one = 1, zero = 0;
    CUdeviceptr a;
    ok(cuMemAlloc_v2(&a, 64));
    ok(cuMemsetD8_v2(a, 0, 64));
    nnsim_on_fault(on_fault, NULL);
    test(!cublasSgemm_v2(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, P(a), 2, P(a + 52), 2,
                         &zero, P(a), 2));
    test(faults == 1);
    gives(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
    gives(cuMemAlloc_v2(&a, 64), CUDA_ERROR_ILLEGAL_ADDRESS);
    nnsim_on_fault(NULL, NULL);
}

int main(void)
{
    CUcontext c = context_here();
    for (int i = 0; i < ROOM; i++) {
        host_a[i] = value(i);
        host_b[i] = value(i * 3 + 1);
        host_c[i] = value(i * 5 + 2);
    }
    test(!cublasCreate_v2(&handle));
    test(cublasCreate_v2(NULL) == CUBLAS_STATUS_INVALID_VALUE);
    transposes();
    types();
    tf32();
    batches_captured();
    wrong_arguments();
    others();
    lt();
    lt_more();
    outside();
    test(!cublasDestroy_v2(handle));
    ok(cuCtxDestroy_v2(c));
    return test_done();
}
