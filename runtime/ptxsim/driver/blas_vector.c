/* cuBLAS on vectors: levels 1 and 2 as far as programs use them beside products, in f32 and f64;
 * sums are in f64, in the order of the elements. And the copies of vectors and matrices. */
#include "blas.h"
#include <math.h>
#include <stdio.h>

enum work { AXPY, SCAL, COPY, SWAP, DOT, NRM2, ASUM, AMAX, AMIN, GEMV, GER };
struct vector {
    uint64_t at;
    int64_t inc, n;
};
/* Plain data: it is copied into graphs. Where alpha and beta are in device memory they are read
 * when it runs. */
struct vectors {
    const char *call;
    enum work work;
    cudaDataType type;
    bool transposed;
    double alpha, beta;
    uint64_t alpha_at, beta_at; /* 0: alpha, beta hold them */
    struct vector x, y;
    uint64_t a; /* m × n, column-major */
    int64_t m, n, lda;
    void *result; /* on the host, or */
    uint64_t result_at;
};

static uint64_t place(const struct vectors *v, const struct vector *x, int64_t i)
{
    int64_t k = x->inc < 0 ? (x->n - 1 - i) * -x->inc : i * x->inc;
    return x->at + (uint64_t)k * gemm_bytes(v->type);
}

static double get(const struct vectors *v, uint64_t at)
{
    return gemm_scalar(v->type, (const void *)(uintptr_t)at);
}

static void put(const struct vectors *v, uint64_t at, double value)
{
    if (v->type == CUDA_R_64F)
        *(double *)(uintptr_t)at = value;
    else
        *(float *)(uintptr_t)at = (float)value;
}

static double x_at(const struct vectors *v, int64_t i) { return get(v, place(v, &v->x, i)); }
static double y_at(const struct vectors *v, int64_t i) { return get(v, place(v, &v->y, i)); }

/* ---- checks ---- */
static bool touch(struct sim_device *d, const struct vectors *v, const struct vector *x, bool write)
{
    uint64_t size = gemm_bytes(v->type);
    if (x->n && (x->inc == 1 || x->inc == -1))
        return sim_touch(d, x->at, (uint64_t)x->n * size, write);
    for (int64_t i = 0; i < x->n; i++)
        if (!sim_touch(d, place(v, x, i), size, write))
            return false;
    return true;
}

static bool touch_matrix(struct sim_device *d, const struct vectors *v, bool write)
{
    for (int64_t j = 0; v->a && j < v->n; j++) {
        const struct vector column = {v->a + (uint64_t)(j * v->lda) * gemm_bytes(v->type), 1, v->m};
        if (!touch(d, v, &column, write))
            return false;
    }
    return true;
}

/* The scalars that lie on the device; which operand is not within an allocation, else NULL. */
static const char *outside(struct sim_device *d, struct vectors *v)
{
    uint64_t size = gemm_bytes(v->type), result = v->work == AMAX || v->work == AMIN ? 4 : size;
    bool y_only_written = v->work == COPY || (v->work == GEMV && v->beta == 0 && !v->beta_at);
    if (v->alpha_at && !sim_touch(d, v->alpha_at, size, false))
        return "alpha";
    if (v->beta_at && !sim_touch(d, v->beta_at, size, false))
        return "beta";
    v->alpha = v->alpha_at ? get(v, v->alpha_at) : v->alpha;
    v->beta = v->beta_at ? get(v, v->beta_at) : v->beta;
    if (!touch(d, v, &v->x, v->work == SCAL || v->work == SWAP))
        return "x";
    if (!touch(d, v, &v->y,
               y_only_written || v->work == AXPY || v->work == SWAP || v->work == GEMV))
        return "y";
    if (!touch_matrix(d, v, v->work == GER))
        return "A";
    return v->result_at && !sim_touch(d, v->result_at, result, true) ? "the result" : NULL;
}

static CUresult fault(struct context *c, const struct vectors *v, const char *what)
{
    struct sim_fault f = {.kind = SIM_FAULT_BOUNDS, .kernel = v->call};
    snprintf(f.text, sizeof f.text, "%s: %s is not within an allocation", v->call, what);
    report_fault(c, &f);
    return CUDA_SUCCESS;
}

/* ---- the work ---- */
static double reduced(const struct vectors *v)
{
    double sum = 0, best = 0, scale = 0;
    int64_t found = 0;
    for (int64_t i = 0; v->work == NRM2 && i < v->x.n; i++)
        scale = fmax(scale, fabs(x_at(v, i)));
    for (int64_t i = 0; i < v->x.n; i++) {
        double x = x_at(v, i), size = fabs(x);
        bool better = !found || (v->work == AMAX ? size > best : size < best);
        if (v->work == AMAX || v->work == AMIN) {
            best = better ? size : best;
            found = better ? i + 1 : found;
        } else {
            sum += v->work == DOT    ? x * y_at(v, i)
                   : v->work == ASUM ? size
                   : scale > 0       ? x / scale * (x / scale)
                                     : x * x;
        }
    }
    if (v->work == NRM2)
        return scale > 0 ? scale * sqrt(sum) : sqrt(sum);
    return v->work == AMAX || v->work == AMIN ? (double)found : sum;
}

static void reduce(const struct vectors *v)
{
    double r = reduced(v);
    uint64_t to = v->result ? (uint64_t)(uintptr_t)v->result : v->result_at;
    if (v->work == AMAX || v->work == AMIN)
        *(int *)(uintptr_t)to = (int)r;
    else
        put(v, to, r);
}

static uint64_t matrix_at(const struct vectors *v, int64_t i, int64_t j)
{
    return v->a + (uint64_t)(i + j * v->lda) * gemm_bytes(v->type);
}

static void multiply(const struct vectors *v)
{
    for (int64_t i = 0; i < v->y.n; i++) {
        double sum = 0;
        for (int64_t j = 0; v->alpha != 0 && j < v->x.n; j++)
            sum += get(v, v->transposed ? matrix_at(v, j, i) : matrix_at(v, i, j)) * x_at(v, j);
        put(v, place(v, &v->y, i), v->alpha * sum + (v->beta != 0 ? v->beta * y_at(v, i) : 0));
    }
}

static void elements(const struct vectors *v)
{
    for (int64_t i = 0; i < v->x.n; i++) {
        double x = x_at(v, i), y = v->y.at && v->work != COPY ? y_at(v, i) : 0;
        if (v->work == SCAL || v->work == SWAP)
            put(v, place(v, &v->x, i), v->work == SWAP ? y : v->alpha * x);
        if (v->work != SCAL)
            put(v, place(v, &v->y, i), v->work == AXPY ? v->alpha * x + y : x);
    }
}

static CUresult run(struct context *c, const void *job)
{
    struct vectors v = *(const struct vectors *)job;
    const char *what = outside(c->device->sim, &v);
    if (what)
        return fault(c, &v, what);
    switch (v.work) {
    case AXPY:
    case SCAL:
    case COPY:
    case SWAP: elements(&v); break;
    case DOT:
    case NRM2:
    case ASUM:
    case AMAX:
    case AMIN: reduce(&v); break;
    case GEMV: multiply(&v); break;
    case GER:
        for (int64_t j = 0; j < v.n; j++)
            for (int64_t i = 0; i < v.m; i++)
                put(&v, matrix_at(&v, i, j),
                    get(&v, matrix_at(&v, i, j)) + v.alpha * x_at(&v, i) * y_at(&v, j));
        break;
    }
    return CUDA_SUCCESS;
}

/* ---- calls ---- */
static bool reduces(enum work w) { return w >= DOT && w <= AMIN; }

static cublasStatus_t check(const struct vectors *v, const void *alpha, const void *beta)
{
    bool level2 = v->work == GEMV || v->work == GER;
    if (level2 &&
        (v->m < 0 || v->n < 0 || v->lda < (v->m > 1 ? v->m : 1) || !v->x.inc || !v->y.inc))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (level2 && (!v->m || !v->n))
        return CUBLAS_STATUS_SUCCESS;
    bool scales = level2 || v->work == AXPY || v->work == SCAL;
    bool two = level2 || v->work <= DOT;
    two = two && v->work != SCAL;
    if ((scales && !alpha) || (v->work == GEMV && !beta) || (level2 && !v->a) ||
        (reduces(v->work) && !v->result && !v->result_at) || (v->x.n && !v->x.at) ||
        (two && v->y.n && !v->y.at))
        return CUBLAS_STATUS_INVALID_VALUE;
    uint64_t any = v->x.at | v->y.at | v->a;
    return any % gemm_bytes(v->type) ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t submit(struct context *c, struct blas *b, struct vectors *v,
                             const void *alpha, const void *beta, void *result)
{
    struct stream *s;
    bool on_device = b->pointers == CUBLAS_POINTER_MODE_DEVICE;
    bool one = v->work == SCAL || (reduces(v->work) && v->work != DOT);
    v->x.n = v->x.n < 0 || (one && v->x.inc <= 0) ? 0 : v->x.n;
    v->y.n = v->y.n < 0 ? 0 : v->y.n;
    v->result = on_device ? NULL : result;
    v->result_at = on_device ? (uint64_t)(uintptr_t)result : 0;
    cublasStatus_t r = check(v, alpha, beta);
    if (r || ((!v->x.n || !v->y.n) && !reduces(v->work) && !(v->work == SCAL && v->x.n)))
        return r;
    if (on_device) {
        v->alpha_at = (uint64_t)(uintptr_t)alpha;
        v->beta_at = (uint64_t)(uintptr_t)beta;
    } else {
        v->alpha = alpha ? gemm_scalar(v->type, alpha) : 0;
        v->beta = beta ? gemm_scalar(v->type, beta) : 0;
    }
    if (stream_get(c, b->stream, &s) || b->context != c->o.handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (s->capture && v->result)
        return blas_not_supported("a result in host memory while the stream is captured");
    struct op op = {.kind = OP_CODE,
                    .context = c,
                    .context_handle = c->o.handle,
                    .code = {.run = run, .data = v, .bytes = sizeof *v}};
    return blas_status(stream_submit(s, &op));
}

#define AT(p) ((uint64_t)(uintptr_t)(p))
#define CALL(kind, real, alpha, beta, result, ...)                                                 \
    BLAS_ENTER(NEED_CONTEXT);                                                                      \
    HANDLE(b);                                                                                     \
    struct vectors v = {.call = __func__, .work = kind, .type = real, __VA_ARGS__};                \
    return submit(call.context, b, &v, alpha, beta, result)

#define VECTORS(S, s, T, R)                                                                        \
    cublasStatus_t cublas##S##axpy_v2(cublasHandle_t handle, int n, const T *alpha, const T *x,    \
                                      int incx, T *y, int incy)                                    \
    {                                                                                              \
        CALL(AXPY, R, alpha, NULL, NULL, .x = {AT(x), incx, n}, .y = {AT(y), incy, n});            \
    }                                                                                              \
    cublasStatus_t cublas##S##scal_v2(cublasHandle_t handle, int n, const T *alpha, T *x,          \
                                      int incx)                                                    \
    {                                                                                              \
        CALL(SCAL, R, alpha, NULL, NULL, .x = {AT(x), incx, n});                                   \
    }                                                                                              \
    cublasStatus_t cublas##S##copy_v2(cublasHandle_t handle, int n, const T *x, int incx, T *y,    \
                                      int incy)                                                    \
    {                                                                                              \
        CALL(COPY, R, NULL, NULL, NULL, .x = {AT(x), incx, n}, .y = {AT(y), incy, n});             \
    }                                                                                              \
    cublasStatus_t cublas##S##swap_v2(cublasHandle_t handle, int n, T *x, int incx, T *y,          \
                                      int incy)                                                    \
    {                                                                                              \
        CALL(SWAP, R, NULL, NULL, NULL, .x = {AT(x), incx, n}, .y = {AT(y), incy, n});             \
    }                                                                                              \
    cublasStatus_t cublas##S##dot_v2(cublasHandle_t handle, int n, const T *x, int incx,           \
                                     const T *y, int incy, T *result)                              \
    {                                                                                              \
        CALL(DOT, R, NULL, NULL, result, .x = {AT(x), incx, n}, .y = {AT(y), incy, n});            \
    }                                                                                              \
    cublasStatus_t cublas##S##nrm2_v2(cublasHandle_t handle, int n, const T *x, int incx,          \
                                      T *result)                                                   \
    {                                                                                              \
        CALL(NRM2, R, NULL, NULL, result, .x = {AT(x), incx, n});                                  \
    }                                                                                              \
    cublasStatus_t cublas##S##asum_v2(cublasHandle_t handle, int n, const T *x, int incx,          \
                                      T *result)                                                   \
    {                                                                                              \
        CALL(ASUM, R, NULL, NULL, result, .x = {AT(x), incx, n});                                  \
    }                                                                                              \
    cublasStatus_t cublasI##s##amax_v2(cublasHandle_t handle, int n, const T *x, int incx,         \
                                       int *result)                                                \
    {                                                                                              \
        CALL(AMAX, R, NULL, NULL, result, .x = {AT(x), incx, n});                                  \
    }                                                                                              \
    cublasStatus_t cublasI##s##amin_v2(cublasHandle_t handle, int n, const T *x, int incx,         \
                                       int *result)                                                \
    {                                                                                              \
        CALL(AMIN, R, NULL, NULL, result, .x = {AT(x), incx, n});                                  \
    }                                                                                              \
    cublasStatus_t cublas##S##gemv_v2(cublasHandle_t handle, cublasOperation_t op, int m, int n,   \
                                      const T *alpha, const T *a, int lda, const T *x, int incx,   \
                                      const T *beta, T *y, int incy)                               \
    {                                                                                              \
        bool t = op != CUBLAS_OP_N;                                                                \
        if (op < CUBLAS_OP_N || op > CUBLAS_OP_C)                                                  \
            return CUBLAS_STATUS_INVALID_VALUE;                                                    \
        CALL(GEMV, R, alpha, beta, NULL, .x = {AT(x), incx, t ? m : n},                            \
             .y = {AT(y), incy, t ? n : m}, .a = AT(a), .m = m, .n = n, .lda = lda,                \
             .transposed = t);                                                                     \
    }                                                                                              \
    cublasStatus_t cublas##S##ger_v2(cublasHandle_t handle, int m, int n, const T *alpha,          \
                                     const T *x, int incx, const T *y, int incy, T *a, int lda)    \
    {                                                                                              \
        CALL(GER, R, alpha, NULL, NULL, .x = {AT(x), incx, m}, .y = {AT(y), incy, n}, .a = AT(a),  \
             .m = m, .n = n, .lda = lda);                                                          \
    }
VECTORS(S, s, float, CUDA_R_32F)
VECTORS(D, d, double, CUDA_R_64F)

/* ---- copies ---- */
/* `lines` of so many elements; the pitches are in elements. */
static cublasStatus_t copy(bool to_device, int length, int lines, int bytes, const void *from,
                           int pitch_from, void *to, int pitch_to)
{
    if (length < 0 || lines < 0 || bytes <= 0 || pitch_from < length || pitch_to < length ||
        pitch_from <= 0 || pitch_to <= 0)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!length || !lines)
        return CUBLAS_STATUS_SUCCESS;
    if (!from || !to)
        return CUBLAS_STATUS_INVALID_VALUE;
    size_t size = (size_t)bytes;
    CUDA_MEMCPY2D m = {.srcMemoryType = to_device ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE,
                       .dstMemoryType = to_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST,
                       .srcHost = from,
                       .srcDevice = AT(from),
                       .dstHost = to,
                       .dstDevice = AT(to),
                       .srcPitch = (size_t)pitch_from * size,
                       .dstPitch = (size_t)pitch_to * size,
                       .WidthInBytes = (size_t)length * size,
                       .Height = (size_t)lines};
    return cuMemcpy2DUnaligned_v2(&m) ? CUBLAS_STATUS_MAPPING_ERROR : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetVector(int n, int bytes, const void *x, int incx, void *y, int incy)
{
    return copy(true, n > 0, n, bytes, x, incx, y, incy);
}
cublasStatus_t cublasGetVector(int n, int bytes, const void *x, int incx, void *y, int incy)
{
    return copy(false, n > 0, n, bytes, x, incx, y, incy);
}
cublasStatus_t cublasSetMatrix(int rows, int cols, int bytes, const void *a, int lda, void *b,
                               int ldb)
{
    return copy(true, rows, cols, bytes, a, lda, b, ldb);
}
cublasStatus_t cublasGetMatrix(int rows, int cols, int bytes, const void *a, int lda, void *b,
                               int ldb)
{
    return copy(false, rows, cols, bytes, a, lda, b, ldb);
}

/* ---- what is not there ---- */
#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* stubs look at no argument */
#define ABSENT(name)                                                                               \
    __attribute__((visibility("default"))) cublasStatus_t name(void);                              \
    cublasStatus_t name(void) { return blas_not_supported(#name); }
#include "blas_absent.def"
#undef ABSENT
