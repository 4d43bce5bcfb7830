/* A matrix product in the stated precision: operands are widened (or rounded to tf32, f16, bf16, as
 * the compute type says) to f32 panels and multiplied with f32 sums, f64 with f64 sums; results are
 * rounded to nearest even. Every byte is checked against the allocations. */
#include "gemm.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t gemm_bytes(cudaDataType type)
{
    switch (type) {
    case CUDA_R_64F: return 8;
    case CUDA_R_32F: return 4;
    case CUDA_R_16F:
    case CUDA_R_16BF: return 2;
    case CUDA_R_8I:
    case CUDA_R_32I: break;
    }
    return 0;
}

bool gemm_types(cublasComputeType_t compute, cudaDataType scale, cudaDataType a, cudaDataType b,
                cudaDataType c, cudaDataType d)
{
    if (a != b || c != d)
        return false;
    switch (compute) {
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
        return scale == CUDA_R_64F && a == CUDA_R_64F && c == CUDA_R_64F;
    case CUBLAS_COMPUTE_32F_FAST_16F:
    case CUBLAS_COMPUTE_32F_FAST_16BF:
    case CUBLAS_COMPUTE_32F_FAST_TF32:
        return scale == CUDA_R_32F && a == CUDA_R_32F && c == CUDA_R_32F;
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
        return scale == CUDA_R_32F && (a == CUDA_R_32F || a == CUDA_R_16F || a == CUDA_R_16BF) &&
               (c == a || c == CUDA_R_32F);
    case CUBLAS_COMPUTE_16F:
    case CUBLAS_COMPUTE_16F_PEDANTIC:
    case CUBLAS_COMPUTE_32I:
    case CUBLAS_COMPUTE_32I_PEDANTIC: break;
    }
    return false;
}

/* ---- numbers ---- */

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float of_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static float from_bf16(uint16_t h) { return of_bits((uint32_t)h << 16); }

static uint16_t to_bf16(float f)
{
    uint32_t u = bits_of(f);
    if ((u & 0x7fffffff) > 0x7f800000)
        return 0x7fff;
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static float from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 0x3ff;
    if (!exponent) {
        float f = (float)fraction * 0x1p-24f;
        return sign ? -f : f;
    }
    if (exponent == 31)
        return of_bits(sign | 0x7f800000 | fraction << 13);
    return of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

static uint16_t to_f16(float f)
{
    uint32_t u = bits_of(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    if (a > 0x7f800000)
        return 0x7fff;
    if (a >= 0x477ff000)
        return (uint16_t)(sign | 0x7c00);
    if (a < 0x38800000) /* below the least normal: the addition rounds */
        return (uint16_t)(sign | (bits_of(of_bits(a) + 0.5f) - bits_of(0.5f)));
    return (uint16_t)(sign | (a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13);
}

/* To nearest, ties away from zero, as cvt.rna.tf32 does. */
static float to_tf32(float f)
{
    uint32_t u = bits_of(f);
    return (u & 0x7f800000) == 0x7f800000 ? f : of_bits((u + 0x1000) & ~0x1fffu);
}

static double element(const void *p, cudaDataType type)
{
    float f;
    double d;
    uint16_t h;
    switch (type) {
    case CUDA_R_64F: memcpy(&d, p, sizeof d); return d;
    case CUDA_R_32F: memcpy(&f, p, sizeof f); return f;
    case CUDA_R_16F: memcpy(&h, p, sizeof h); return from_f16(h);
    case CUDA_R_16BF: memcpy(&h, p, sizeof h); return from_bf16(h);
    case CUDA_R_8I:
    case CUDA_R_32I: break;
    }
    return 0;
}

static void store(void *p, cudaDataType type, double v)
{
    float f = (float)v;
    uint16_t h = type == CUDA_R_16F ? to_f16(f) : to_bf16(f);
    if (type == CUDA_R_64F)
        memcpy(p, &v, sizeof v);
    else if (type == CUDA_R_32F)
        memcpy(p, &f, sizeof f);
    else
        memcpy(p, &h, sizeof h);
}

double gemm_scalar(cudaDataType scale, const void *p) { return element(p, scale); }

/* ---- memory ---- */

/* The lines of a matrix that lie side by side are one access. */
static bool touch(struct sim_device *d, const struct gemm_matrix *x, int64_t rows, int64_t columns,
                  int64_t batch, bool write)
{
    int64_t length = x->row == 1 ? rows : columns, lines = x->row == 1 ? columns : rows;
    int64_t step = x->row == 1 ? x->column : x->row;
    uint64_t size = gemm_bytes(x->type);
    if (step == length) {
        length *= lines;
        lines = 1;
    }
    for (int64_t l = 0; l < lines; l++)
        if (!sim_touch(d, x->at + (uint64_t)(batch * x->batch + l * step) * size,
                       (uint64_t)length * size, write))
            return false;
    return true;
}

static const char *at(const struct gemm_matrix *x, int64_t i, int64_t j, int64_t batch)
{
    int64_t n = i * x->row + j * x->column + batch * x->batch;
    return (const char *)(uintptr_t)x->at + n * (int64_t)gemm_bytes(x->type);
}

/* ---- products ---- */

enum { TILE = 8 };
typedef float panel __attribute__((vector_size(TILE * sizeof(float))));

static float narrowed(double v, cublasComputeType_t compute)
{
    float f = (float)v;
    if (compute == CUBLAS_COMPUTE_32F_FAST_TF32)
        return to_tf32(f);
    if (compute == CUBLAS_COMPUTE_32F_FAST_16F)
        return from_f16(to_f16(f));
    if (compute == CUBLAS_COMPUTE_32F_FAST_16BF)
        return from_bf16(to_bf16(f));
    return f;
}

/* Four lines of out[m][n] (row-major, n a multiple of TILE) at a time. a[m][k], b[k][n]. */
static void multiply(const float *a, const float *b, float *out, int64_t m, int64_t n, int64_t k)
{
    for (int64_t j = 0; j < n; j += TILE)
        for (int64_t i = 0; i < m; i += 4) {
            panel sum[4] = {{0}};
            int64_t lines = m - i < 4 ? m - i : 4;
            const float *line[4];
            for (int64_t r = 0; r < 4; r++)
                line[r] = a + (i + (r < lines ? r : 0)) * k;
            for (int64_t p = 0; p < k; p++) {
                panel x;
                memcpy(&x, b + p * n + j, sizeof x);
                for (int r = 0; r < 4; r++)
                    sum[r] += line[r][p] * x;
            }
            for (int64_t r = 0; r < lines; r++)
                memcpy(out + (i + r) * n + j, &sum[r], sizeof sum[r]);
        }
}

/* out[i·n + j] in f32: room for n rounded up to TILE. */
static bool product32(const struct gemm *g, int64_t batch, float **out, int64_t *pitch)
{
    int64_t wide = (g->n + TILE - 1) / TILE * TILE;
    float *a = malloc((size_t)(g->m * g->k + 1) * sizeof *a);
    float *b = calloc((size_t)(g->k * wide + 1), sizeof *b);
    float *c = malloc((size_t)(g->m * wide + 1) * sizeof *c);
    bool ok = a && b && c;
    for (int64_t i = 0; ok && i < g->m; i++)
        for (int64_t p = 0; p < g->k; p++)
            a[i * g->k + p] = narrowed(element(at(&g->a, i, p, batch), g->a.type), g->compute);
    for (int64_t p = 0; ok && p < g->k; p++)
        for (int64_t j = 0; j < g->n; j++)
            b[p * wide + j] = narrowed(element(at(&g->b, p, j, batch), g->b.type), g->compute);
    if (ok)
        multiply(a, b, c, g->m, wide, g->k);
    free(a);
    free(b);
    if (!ok) {
        free(c);
        return false;
    }
    *out = c;
    *pitch = wide;
    return true;
}

static double product64(const struct gemm *g, int64_t i, int64_t j, int64_t batch)
{
    double sum = 0;
    for (int64_t p = 0; p < g->k; p++)
        sum += element(at(&g->a, i, p, batch), CUDA_R_64F) *
               element(at(&g->b, p, j, batch), CUDA_R_64F);
    return sum;
}

/* The tanh form, as cuBLASLt computes it. */
static double gelu(double x)
{
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

static double gelu_slope(double x)
{
    double t = tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
}

static double finished(const struct gemm *g, double v, int64_t i, int64_t j, int64_t batch)
{
    if (g->epilogue & CUBLASLT_EPILOGUE_BIAS) {
        uint64_t size = gemm_bytes(g->bias_type);
        v +=
            element((const char *)(uintptr_t)g->bias + (uint64_t)(i + batch * g->bias_batch) * size,
                    g->bias_type);
    }
    if (g->epilogue == CUBLASLT_EPILOGUE_DGELU)
        return v * gelu_slope(element(at(&g->aux, i, j, batch), g->aux.type));
    if (g->epilogue & CUBLASLT_EPILOGUE_RELU)
        return v > 0 ? v : 0;
    if (g->epilogue & CUBLASLT_EPILOGUE_GELU) {
        if (g->aux.at)
            store((void *)(uintptr_t)at(&g->aux, i, j, batch), g->aux.type, v);
        return gelu(v);
    }
    return v;
}

static bool one_product(const struct gemm *g, double alpha, double beta, int64_t batch)
{
    float *c = NULL;
    int64_t pitch = 0;
    bool wide = g->scale == CUDA_R_64F;
    if (!wide && alpha != 0 && !product32(g, batch, &c, &pitch))
        return false;
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++) {
            double v = c ? c[i * pitch + j] : wide && alpha != 0 ? product64(g, i, j, batch) : 0;
            v *= alpha;
            if (beta != 0)
                v += beta * element(at(&g->c, i, j, batch), g->c.type);
            v = finished(g, v, i, j, batch);
            store((void *)(uintptr_t)at(&g->d, i, j, batch), g->d.type, v);
        }
    free(c);
    return true;
}

/* ---- running ---- */

static bool all_touched(struct sim_device *d, const struct gemm *g, double alpha, double beta,
                        int64_t batch, const char **what)
{
    uint64_t bias_bytes = gemm_bytes(g->bias_type);
    bool ok = true;
#define NEEDS(name, condition)                                                                     \
    if (ok && !(condition)) {                                                                      \
        ok = false;                                                                                \
        *what = name;                                                                              \
    }
    if (alpha != 0 && g->k) {
        NEEDS("A", touch(d, &g->a, g->m, g->k, batch, false));
        NEEDS("B", touch(d, &g->b, g->k, g->n, batch, false));
    }
    if (beta != 0)
        NEEDS("C", touch(d, &g->c, g->m, g->n, batch, false));
    if (g->epilogue & CUBLASLT_EPILOGUE_BIAS)
        NEEDS("the bias", sim_touch(d, g->bias + (uint64_t)(batch * g->bias_batch) * bias_bytes,
                                    (uint64_t)g->m * bias_bytes, false));
    if (g->aux.at)
        NEEDS("the auxiliary matrix",
              touch(d, &g->aux, g->m, g->n, batch, g->epilogue != CUBLASLT_EPILOGUE_DGELU));
    NEEDS("the result", touch(d, &g->d, g->m, g->n, batch, true));
#undef NEEDS
    return ok;
}

static CUresult fault(struct context *c, const struct gemm *g, const char *what, int64_t batch)
{
    struct sim_fault f = {.kind = SIM_FAULT_BOUNDS, .kernel = g->call};
    snprintf(f.text, sizeof f.text,
             "%s: %s is not within an allocation (m %lld, n %lld, k %lld, batch %lld of %lld)",
             g->call, what, (long long)g->m, (long long)g->n, (long long)g->k, (long long)batch,
             (long long)g->batch);
    report_fault(c, &f);
    return CUDA_SUCCESS;
}

/* The first batch whose result shares elements with that of batch 0, or 0: columns (or rows) of
 * `inner` elements begin `outer` apart. */
static int64_t shares(const struct gemm *g)
{
    bool by_row = g->d.row != 1;
    int64_t inner = by_row ? g->n : g->m, lines = by_row ? g->m : g->n;
    int64_t outer = by_row ? g->d.row : g->d.column;
    outer = outer > 0 ? outer : 1;
    for (int64_t b = 1; b < g->batch; b++) {
        int64_t away = b * (g->d.batch < 0 ? -g->d.batch : g->d.batch), line = away / outer;
        if (line > lines)
            return 0;
        if ((line < lines && away - line * outer < inner) ||
            (line + 1 < lines && (line + 1) * outer - away < inner))
            return b;
    }
    return 0;
}

/* cuBLAS leaves the outcome open: as of a race, it is told. */
static CUresult shared(struct context *c, const struct gemm *g, int64_t batch)
{
    struct sim_fault f = {.kind = SIM_FAULT_RACE, .kernel = g->call};
    snprintf(
        f.text, sizeof f.text,
        "%s: data race: the results of batches 0 and %lld overlap (m %lld, n %lld, stride %lld)",
        g->call, (long long)batch, (long long)g->m, (long long)g->n, (long long)g->d.batch);
    report_fault(c, &f);
    return CUDA_SUCCESS;
}

CUresult gemm_run(struct context *c, const void *job)
{
    const struct gemm *g = job;
    struct sim_device *d = c->device->sim;
    double alpha = g->alpha, beta = g->beta;
    uint64_t size = gemm_bytes(g->scale);
    const char *what = NULL;
    if (g->alpha_at) {
        const void *p = sim_touch(d, g->alpha_at, size, false);
        const void *q = sim_touch(d, g->beta_at, size, false);
        if (!p || !q)
            return fault(c, g, p ? "beta" : "alpha", 0);
        alpha = element(p, g->scale);
        beta = element(q, g->scale);
    }
    if (shares(g))
        return shared(c, g, shares(g));
    for (int64_t b = 0; b < g->batch; b++) {
        if (!all_touched(d, g, alpha, beta, b, &what))
            return fault(c, g, what, b);
        if (!one_product(g, alpha, beta, b))
            return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return CUDA_SUCCESS;
}

cublasStatus_t gemm_submit(struct stream *s, const struct gemm *g)
{
    struct context *c = s->o.context;
    struct gemm copy = *g;
    struct op op = {.kind = OP_CODE,
                    .context = c,
                    .context_handle = c->o.handle,
                    .code = {.run = gemm_run, .data = &copy, .bytes = sizeof copy}};
    return blas_status(stream_submit(s, &op));
}

cublasStatus_t blas_status(CUresult r)
{
    if (r == CUDA_SUCCESS)
        return CUBLAS_STATUS_SUCCESS;
    if (r == CUDA_ERROR_OUT_OF_MEMORY)
        return CUBLAS_STATUS_ALLOC_FAILED;
    if (r == CUDA_ERROR_NOT_INITIALIZED || r == CUDA_ERROR_INVALID_CONTEXT ||
        r == CUDA_ERROR_CONTEXT_IS_DESTROYED)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    return CUBLAS_STATUS_EXECUTION_FAILED;
}
