/* Matrix products by cuBLAS, opened at run time; the software GPU's library has the same entry
 * points. Its matrices are column-major: a row-major C = A B is there C' = B' A'. */
#include "cuda/private.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum {
    CUBLAS_OP_N = 0,
    CUBLAS_OP_T = 1,
    CUDA_R_32F = 0,
    CUDA_R_64F = 1,
    CUDA_R_16F = 2,
    CUDA_R_16BF = 14,
    CUBLAS_COMPUTE_32F = 68,
    CUBLAS_COMPUTE_64F = 70,
    CUBLAS_COMPUTE_32F_FAST_TF32 = 77,
    CUBLAS_GEMM_DEFAULT = -1,
};

struct blas {
    void *library, *handle;
    const char *name;
#define CALL(name, symbol, params) int(*name) params;
#include "cuda/blas.def"
#undef CALL
};

static enum nn_status failed(const struct blas *b, int status, const char *call,
                             struct nn_message *m)
{
    static const struct {
        int status;
        const char *text;
    } known[] = {{1, "CUBLAS_STATUS_NOT_INITIALIZED"}, {3, "CUBLAS_STATUS_ALLOC_FAILED"},
                 {7, "CUBLAS_STATUS_INVALID_VALUE"},   {8, "CUBLAS_STATUS_ARCH_MISMATCH"},
                 {11, "CUBLAS_STATUS_MAPPING_ERROR"},  {13, "CUBLAS_STATUS_EXECUTION_FAILED"},
                 {14, "CUBLAS_STATUS_INTERNAL_ERROR"}, {15, "CUBLAS_STATUS_NOT_SUPPORTED"}};
    const char *text = "an unknown status";
    for (size_t i = 0; i < NN_COUNT(known); i++)
        if (known[i].status == status)
            text = known[i].text;
    return nn_fail(m, NN_MACHINE, "%s: %s fails with %s (%d)", b->name, call, text, status);
}
#define BLAS(b, m, name, ...)                                                                      \
    (blas_status = (b)->name(__VA_ARGS__),                                                         \
     blas_status ? failed((b), blas_status, #name, (m)) : NN_OK)

/* ---- opening ---- */

static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11"};

static bool look_up(void *library, const char *symbol, void *function)
{
    void *p = dlsym(library, symbol);
    memcpy(function, &p, sizeof p);
    return p != NULL;
}

static enum nn_status find_library(struct blas *b, const struct nn_cuda *c, struct nn_message *m)
{
    const char *missing = NULL;
    if (c && c->sim) {
        b->library = c->library;
        b->name = c->name;
    }
    for (size_t i = 0; !b->library && i < NN_COUNT(names); i++) {
        b->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        b->name = names[i];
    }
    if (!b->library)
        return nn_fail(m, NN_MACHINE, "no cuBLAS: looked for %s, %s, %s; --gemm own does without",
                       names[0], names[1], names[2]);
#define CALL(call, symbol, params)                                                                 \
    if (!look_up(b->library, symbol, &b->call))                                                    \
        missing = symbol;
#include "cuda/blas.def"
#undef CALL
    return missing ? nn_fail(m, NN_MACHINE, "%s has no %s", b->name, missing) : NN_OK;
}

enum nn_status blas_open(struct blas **out, const struct nn_cuda *c, void *stream,
                         struct nn_message *m)
{
    int blas_status;
    *out = NULL;
    struct blas *b = calloc(1, sizeof *b);
    if (!b)
        return nn_fail(m, NN_MACHINE, "out of memory");
    enum nn_status s = find_library(b, c, m);
    if (!s)
        s = BLAS(b, m, cublasCreate, &b->handle);
    if (!s)
        s = BLAS(b, m, cublasSetStream, b->handle, stream);
    if (s)
        blas_close(b);
    else
        *out = b;
    return s;
}

void blas_close(struct blas *b)
{
    if (!b)
        return;
    if (b->handle)
        b->cublasDestroy(b->handle);
    free(b);
}

/* Without one of its own it would allocate in the middle of a capture. */
enum nn_status blas_workspace(struct blas *b, void *workspace, size_t bytes, struct nn_message *m)
{
    int blas_status;
    return BLAS(b, m, cublasSetWorkspace, b->handle, workspace, bytes);
}

enum nn_status nn_cuda_blas(const struct nn_cuda *c, char *name, size_t size, struct nn_message *m)
{
    struct blas b = {0};
    enum nn_status s = find_library(&b, c, m);
    if (!s) {
        name[0] = 0;
        nn_append(name, size, "%s", b.name);
    }
    return s;
}

/* ---- products ---- */

static int type_of(uint8_t t)
{
    switch ((enum nn_dtype)t) {
    case NN_f64: return CUDA_R_64F;
    case NN_f32: return CUDA_R_32F;
    case NN_f16: return CUDA_R_16F;
    case NN_bf16: return CUDA_R_16BF;
    case NN_i64:
    case NN_i32:
    case NN_i8:
    case NN_u8:
    case NN_bool:
    case NN_DTYPE_COUNT: break;
    }
    return -1;
}

static int compute_of(uint8_t c)
{
    switch ((enum nn_gemm_compute)c) {
    case NN_GEMM_F32: return CUBLAS_COMPUTE_32F;
    case NN_GEMM_TF32: return CUBLAS_COMPUTE_32F_FAST_TF32;
    case NN_GEMM_F64: return CUBLAS_COMPUTE_64F;
    }
    return CUBLAS_COMPUTE_32F;
}

static bool fits_int(int64_t v) { return v >= 0 && v <= INT32_MAX; }

enum nn_status blas_gemm(struct blas *b, const struct nn_gemm_rec *g, void *const *arg,
                         struct nn_message *m)
{
    static const union {
        float f;
        double d;
    } one32 = {.f = 1}, one64 = {.d = 1}, zero = {.d = 0};
    int blas_status;
    const void *one = g->compute == NN_GEMM_F64 ? &one64 : &one32;
    int ta = g->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, tb = g->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    int a = type_of(g->type_a), x = type_of(g->type_b), c = type_of(g->type_c);
    if (!fits_int(g->lda) || !fits_int(g->ldb) || !fits_int(g->ldc) || a < 0 || x < 0 || c < 0)
        return nn_fail(m, NN_USAGE, "the image has a matrix product that %s lacks", b->name);
    if (!g->m || !g->n || !g->batch)
        return NN_OK;
    int lda = (int)g->lda, ldb = (int)g->ldb, ldc = (int)g->ldc, how = compute_of(g->compute);
    if (g->batch == 1)
        return BLAS(b, m, cublasGemmEx, b->handle, tb, ta, g->n, g->m, g->k, one, arg[1], x, ldb,
                    arg[0], a, lda, &zero, arg[2], c, ldc, how, CUBLAS_GEMM_DEFAULT);
    return BLAS(b, m, cublasGemmStridedBatchedEx, b->handle, tb, ta, g->n, g->m, g->k, one, arg[1],
                x, ldb, g->stride_b, arg[0], a, lda, g->stride_a, &zero, arg[2], c, ldc,
                g->stride_c, g->batch, how, CUBLAS_GEMM_DEFAULT);
}
