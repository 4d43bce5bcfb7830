/* cuBLAS's entry points: matrices are column-major; arguments are checked as its documentation
 * says, and what is not simulated gives CUBLAS_STATUS_NOT_SUPPORTED and a line on stderr. */
#include "blas.h"
#include <stdio.h>
#include <stdlib.h>

#define VERSION 130000 /* major * 10000 + minor * 100 + patch */

cublasStatus_t blas_not_supported(const char *what)
{
    say("cuBLAS: %s is not simulated", what);
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

/* Like the runtime, cuBLAS takes the first device's primary context where there is none. */
void blas_context(void)
{
    CUcontext c = NULL;
    if (!cuCtxGetCurrent(&c) && c)
        return;
    if (!cuInit(0) && !cuDevicePrimaryCtxRetain(&c, 0))
        cuCtxSetCurrent(c);
}

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    blas_context();
    BLAS_ENTER(NEED_CONTEXT);
    if (!handle)
        return CUBLAS_STATUS_INVALID_VALUE;
    struct blas *b = calloc(1, sizeof *b);
    if (!b || !object_add(&b->o, KIND_BLAS, NULL)) {
        free(b);
        return CUBLAS_STATUS_ALLOC_FAILED;
    }
    b->context = call.context->o.handle;
    b->atomics = CUBLAS_ATOMICS_NOT_ALLOWED;
    *handle = b->o.handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    BLAS_ENTER(NEED_NOTHING);
    HANDLE(b);
    object_remove(&b->o);
    free(b);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t handle, int *version)
{
    BLAS_ENTER(NEED_NOTHING);
    (void)handle;
    if (!version)
        return CUBLAS_STATUS_INVALID_VALUE;
    *version = VERSION;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetProperty(int type, int *value)
{
    if (!value || type < 0 || type > 2)
        return CUBLAS_STATUS_INVALID_VALUE;
    *value = type == 0 ? VERSION / 10000 : type == 1 ? VERSION / 100 % 100 : VERSION % 100;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, CUstream stream)
{
    BLAS_ENTER(NEED_CONTEXT);
    HANDLE(b);
    struct stream *s;
    if (stream_get(call.context, stream, &s))
        return CUBLAS_STATUS_INVALID_VALUE;
    b->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, CUstream *stream)
{
    BLAS_ENTER(NEED_NOTHING);
    HANDLE(b);
    if (!stream)
        return CUBLAS_STATUS_INVALID_VALUE;
    *stream = b->stream;
    return CUBLAS_STATUS_SUCCESS;
}

/* Of use to hardware only, but it must be what hardware could use. */
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes)
{
    BLAS_ENTER(NEED_CONTEXT);
    HANDLE(b);
    (void)b;
    uint64_t at = (uint64_t)(uintptr_t)workspace;
    if (!bytes)
        return CUBLAS_STATUS_SUCCESS;
    struct memory *m = memory_find(at);
    if (at % 256 || !m || bytes > m->at + m->bytes - at)
        return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode)
{
    BLAS_ENTER(NEED_NOTHING);
    HANDLE(b);
    if (mode != CUBLAS_POINTER_MODE_HOST && mode != CUBLAS_POINTER_MODE_DEVICE)
        return CUBLAS_STATUS_INVALID_VALUE;
    b->pointers = mode;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t *mode)
{
    BLAS_ENTER(NEED_NOTHING);
    HANDLE(b);
    if (!mode)
        return CUBLAS_STATUS_INVALID_VALUE;
    *mode = b->pointers;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    BLAS_ENTER(NEED_NOTHING);
    HANDLE(b);
    unsigned plain = (unsigned)mode & ~(unsigned)CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
    if (plain > CUBLAS_TF32_TENSOR_OP_MATH)
        return CUBLAS_STATUS_INVALID_VALUE;
    b->math = mode;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t *mode)
{
    BLAS_ENTER(NEED_NOTHING);
    HANDLE(b);
    if (!mode)
        return CUBLAS_STATUS_INVALID_VALUE;
    *mode = b->math;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode)
{
    BLAS_ENTER(NEED_NOTHING);
    HANDLE(b);
    if (mode != CUBLAS_ATOMICS_NOT_ALLOWED && mode != CUBLAS_ATOMICS_ALLOWED)
        return CUBLAS_STATUS_INVALID_VALUE;
    b->atomics = mode;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t *mode)
{
    BLAS_ENTER(NEED_NOTHING);
    HANDLE(b);
    if (!mode)
        return CUBLAS_STATUS_INVALID_VALUE;
    *mode = b->atomics;
    return CUBLAS_STATUS_SUCCESS;
}

size_t cublasGetCudartVersion(void) { return VERSION / 10; }

#define STATUSES(X)                                                                                \
    X(CUBLAS_STATUS_SUCCESS, "success")                                                            \
    X(CUBLAS_STATUS_NOT_INITIALIZED, "the library was not initialized")                            \
    X(CUBLAS_STATUS_ALLOC_FAILED, "the resource allocation failed")                                \
    X(CUBLAS_STATUS_INVALID_VALUE, "an unsupported value or parameter was passed to the function") \
    X(CUBLAS_STATUS_ARCH_MISMATCH, "the function requires an architectural feature absent here")   \
    X(CUBLAS_STATUS_MAPPING_ERROR, "an access to GPU memory space failed")                         \
    X(CUBLAS_STATUS_EXECUTION_FAILED, "the GPU program failed to execute")                         \
    X(CUBLAS_STATUS_INTERNAL_ERROR, "an internal operation failed")                                \
    X(CUBLAS_STATUS_NOT_SUPPORTED, "the functionality requested is not supported")                 \
    X(CUBLAS_STATUS_LICENSE_ERROR, "license error")

const char *cublasGetStatusName(cublasStatus_t status)
{
    switch (status) {
#define NAME(name, text)                                                                           \
    case name: return #name;
        STATUSES(NAME)
#undef NAME
    }
    return "unknown";
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    switch (status) {
#define TEXT(name, text)                                                                           \
    case name: return text;
        STATUSES(TEXT)
#undef TEXT
    }
    return "unknown";
}

/* ---- products ---- */

/* A column-major matrix with leading dimension ld, taken transposed or not. */
static struct gemm_matrix matrix(const void *at, cudaDataType type, int64_t ld, int64_t batch,
                                 bool transposed)
{
    struct gemm_matrix x = {.at = (uint64_t)(uintptr_t)at, .type = type, .batch = batch};
    x.row = transposed ? ld : 1;
    x.column = transposed ? 1 : ld;
    return x;
}

static bool op_known(cublasOperation_t op)
{
    return op == CUBLAS_OP_N || op == CUBLAS_OP_T || op == CUBLAS_OP_C;
}

static bool ld_fits(int64_t ld, int64_t rows) { return ld >= (rows > 1 ? rows : 1); }

static bool algorithm_known(cublasGemmAlgo_t a)
{
    return (a >= -1 && a <= 23) || (a >= 99 && a <= 115) || a == 999;
}

struct request {
    const char *call;
    cublasOperation_t op_a, op_b;
    int64_t m, n, k, lda, ldb, ldc;
    const void *alpha, *a, *b, *beta;
    void *c;
    long long stride_a, stride_b, stride_c;
    int64_t batch;
    cudaDataType type_a, type_b, type_c;
    cublasComputeType_t compute;
    cublasGemmAlgo_t algorithm;
};

static bool aligned(const void *p, cudaDataType type)
{
    return (uintptr_t)p % gemm_bytes(type) == 0;
}

static cublasStatus_t check(const struct request *q, cudaDataType scale)
{
    if (!op_known(q->op_a) || !op_known(q->op_b) || q->m < 0 || q->n < 0 || q->k < 0 ||
        q->batch < 0 || !ld_fits(q->lda, q->op_a == CUBLAS_OP_N ? q->m : q->k) ||
        !ld_fits(q->ldb, q->op_b == CUBLAS_OP_N ? q->k : q->n) || !ld_fits(q->ldc, q->m) ||
        !algorithm_known(q->algorithm))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!gemm_types(q->compute, scale, q->type_a, q->type_b, q->type_c, q->type_c))
        return blas_not_supported("this combination of types");
    if (!q->m || !q->n || !q->batch)
        return CUBLAS_STATUS_SUCCESS;
    if (!q->alpha || !q->beta || !q->c || (q->k && (!q->a || !q->b)))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!aligned(q->a, q->type_a) || !aligned(q->b, q->type_b) || !aligned(q->c, q->type_c))
        return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}

/* What the compute type and the math mode come to on this chip. */
static cublasComputeType_t effective(const struct blas *b, const struct request *q,
                                     const struct sim_chip *chip)
{
    bool tf32 = q->compute == CUBLAS_COMPUTE_32F_FAST_TF32 ||
                (q->compute == CUBLAS_COMPUTE_32F && q->type_a == CUDA_R_32F &&
                 (b->math & 3) == CUBLAS_TF32_TENSOR_OP_MATH);
    if (tf32)
        return chip->major >= 8 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    return q->compute;
}

static cublasStatus_t product(struct context *c, struct blas *b, const struct request *q)
{
    cudaDataType scale =
        q->compute == CUBLAS_COMPUTE_64F || q->compute == CUBLAS_COMPUTE_64F_PEDANTIC ? CUDA_R_64F
                                                                                      : CUDA_R_32F;
    struct stream *s;
    cublasStatus_t r = check(q, scale);
    if (r || !q->m || !q->n || !q->batch)
        return r;
    if (stream_get(c, b->stream, &s) || b->context != c->o.handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    bool on_device = b->pointers == CUBLAS_POINTER_MODE_DEVICE;
    struct gemm g = {
        .call = q->call,
        .a = matrix(q->a, q->type_a, q->lda, q->stride_a, q->op_a != CUBLAS_OP_N),
        .b = matrix(q->b, q->type_b, q->ldb, q->stride_b, q->op_b != CUBLAS_OP_N),
        .c = matrix(q->c, q->type_c, q->ldc, q->stride_c, false),
        .d = matrix(q->c, q->type_c, q->ldc, q->stride_c, false),
        .m = q->m,
        .n = q->n,
        .k = q->k,
        .batch = q->batch,
        .compute = effective(b, q, c->device->chip),
        .scale = scale,
        .alpha = on_device ? 1 : gemm_scalar(scale, q->alpha),
        .beta = on_device ? 0 : gemm_scalar(scale, q->beta),
        .alpha_at = on_device ? (uint64_t)(uintptr_t)q->alpha : 0,
        .beta_at = on_device ? (uint64_t)(uintptr_t)q->beta : 0,
        .epilogue = CUBLASLT_EPILOGUE_DEFAULT,
    };
    return gemm_submit(s, &g);
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a,
                                          cublasOperation_t op_b, int m, int n, int k,
                                          const void *alpha, const void *a, cudaDataType type_a,
                                          int lda, long long stride_a, const void *b,
                                          cudaDataType type_b, int ldb, long long stride_b,
                                          const void *beta, void *c, cudaDataType type_c, int ldc,
                                          long long stride_c, int batch,
                                          cublasComputeType_t compute, cublasGemmAlgo_t algorithm)
{
    BLAS_ENTER(NEED_CONTEXT);
    HANDLE(h);
    struct request q = {__func__, op_a,  op_b,   m,      n,      k,       lda,      ldb,
                        ldc,      alpha, a,      b,      beta,   c,       stride_a, stride_b,
                        stride_c, batch, type_a, type_b, type_c, compute, algorithm};
    return product(call.context, h, &q);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                            int m, int n, int k, const void *alpha, const void *a,
                            cudaDataType type_a, int lda, const void *b, cudaDataType type_b,
                            int ldb, const void *beta, void *c, cudaDataType type_c, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm)
{
    BLAS_ENTER(NEED_CONTEXT);
    HANDLE(h);
    struct request q = {__func__, op_a, op_b, m, n, k, lda,    ldb,    ldc,    alpha,   a,        b,
                        beta,     c,    0,    0, 0, 1, type_a, type_b, type_c, compute, algorithm};
    return product(call.context, h, &q);
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                              int m, int n, int k, const float *alpha, const float *a, int lda,
                              const float *b, int ldb, const float *beta, float *c, int ldc)
{
    BLAS_ENTER(NEED_CONTEXT);
    HANDLE(h);
    struct request q = {
        __func__, op_a, op_b, m, n, k, lda, ldb,        ldc,        alpha,      a,
        b,        beta, c,    0, 0, 0, 1,   CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F,
        -1};
    return product(call.context, h, &q);
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t op_a,
                                         cublasOperation_t op_b, int m, int n, int k,
                                         const float *alpha, const float *a, int lda,
                                         long long stride_a, const float *b, int ldb,
                                         long long stride_b, const float *beta, float *c, int ldc,
                                         long long stride_c, int batch)
{
    BLAS_ENTER(NEED_CONTEXT);
    HANDLE(h);
    struct request q = {__func__,   op_a,
                        op_b,       m,
                        n,          k,
                        lda,        ldb,
                        ldc,        alpha,
                        a,          b,
                        beta,       c,
                        stride_a,   stride_b,
                        stride_c,   batch,
                        CUDA_R_32F, CUDA_R_32F,
                        CUDA_R_32F, CUBLAS_COMPUTE_32F,
                        -1};
    return product(call.context, h, &q);
}

cublasStatus_t cublasDgemm_v2(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                              int m, int n, int k, const double *alpha, const double *a, int lda,
                              const double *b, int ldb, const double *beta, double *c, int ldc)
{
    BLAS_ENTER(NEED_CONTEXT);
    HANDLE(h);
    struct request q = {
        __func__, op_a, op_b, m, n, k, lda, ldb,        ldc,        alpha,      a,
        b,        beta, c,    0, 0, 0, 1,   CUDA_R_64F, CUDA_R_64F, CUDA_R_64F, CUBLAS_COMPUTE_64F,
        -1};
    return product(call.context, h, &q);
}
