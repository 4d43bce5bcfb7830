/* Matrix products by cuBLAS, opened at run time; the software GPU's library has the same entry
 * points. Its matrices are column-major: a row-major C = A B is there C' = B' A'. */
#include "cuda/blas.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum nn_status blas_check(const char *library, int status, const char *call, struct nn_message *m)
{
    static const struct {
        int status;
        const char *text;
    } known[] = {{1, "CUBLAS_STATUS_NOT_INITIALIZED"}, {3, "CUBLAS_STATUS_ALLOC_FAILED"},
                 {7, "CUBLAS_STATUS_INVALID_VALUE"},   {8, "CUBLAS_STATUS_ARCH_MISMATCH"},
                 {11, "CUBLAS_STATUS_MAPPING_ERROR"},  {13, "CUBLAS_STATUS_EXECUTION_FAILED"},
                 {14, "CUBLAS_STATUS_INTERNAL_ERROR"}, {15, "CUBLAS_STATUS_NOT_SUPPORTED"}};
    const char *text = "an unknown status";
    if (!status)
        return NN_OK;
    for (size_t i = 0; i < NN_COUNT(known); i++)
        if (known[i].status == status)
            text = known[i].text;
    return nn_fail(m, NN_MACHINE, "%s: %s fails with %s (%d)", library, call, text, status);
}
#define BLAS(b, m, call, ...) blas_check((b)->name, (b)->call(__VA_ARGS__), #call, (m))

/* ---- opening ---- */

static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11"};

bool blas_look_up(void *library, const char *symbol, void *function)
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
    if (!blas_look_up(b->library, symbol, &b->call))                                               \
        missing = symbol;
#include "cuda/blas.def"
#undef CALL
    return missing ? nn_fail(m, NN_MACHINE, "%s has no %s", b->name, missing) : NN_OK;
}

enum nn_status blas_open(struct blas **out, const struct nn_cuda *c, void *stream, bool epilogues,
                         struct nn_message *m)
{
    *out = NULL;
    struct blas *b = calloc(1, sizeof *b);
    if (!b)
        return nn_fail(m, NN_MACHINE, "out of memory");
    enum nn_status s = find_library(b, c, m);
    if (!s)
        s = BLAS(b, m, cublasCreate, &b->handle);
    if (!s)
        s = BLAS(b, m, cublasSetStream, b->handle, stream);
    if (!s && epilogues)
        s = blas_lt_open(b, c, m);
    b->stream = stream;
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
    blas_lt_close(b);
    if (b->handle)
        b->cublasDestroy(b->handle);
    free(b);
}

/* Without one of its own it would allocate in the middle of a capture. */
enum nn_status blas_workspace(struct blas *b, void *workspace, size_t bytes, struct nn_message *m)
{
    b->workspace = workspace;
    b->workspace_bytes = bytes;
    return BLAS(b, m, cublasSetWorkspace, b->handle, workspace, bytes);
}

enum nn_status nn_cuda_blas(const struct nn_cuda *c, char *name, size_t size, struct nn_message *m)
{
    struct blas b = {0};
    enum nn_status s = find_library(&b, c, m);
    if (!s)
        s = blas_lt_find(&b, c, m);
    if (!s) {
        name[0] = 0;
        nn_append(name, size, "%s", b.name);
    }
    return s;
}

/* ---- products ---- */

int blas_type(uint8_t t)
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

int blas_compute(uint8_t c)
{
    switch ((enum nn_gemm_compute)c) {
    case NN_GEMM_F32: return CUBLAS_COMPUTE_32F;
    case NN_GEMM_TF32: return CUBLAS_COMPUTE_32F_FAST_TF32;
    case NN_GEMM_F64: return CUBLAS_COMPUTE_64F;
    }
    return CUBLAS_COMPUTE_32F;
}

static bool fits_int(int64_t v) { return v >= 0 && v <= INT32_MAX; }

/* A group's: `at` A, B, C and what the epilogue names. */
static enum nn_status multiply(struct blas *b, const struct nn_gemm_rec *g, void *const *at,
                               struct nn_message *m)
{
    double alpha64 = (double)g->alpha, zero = 0; /* all bits 0: of either type */
    bool wide = g->compute == NN_GEMM_F64;
    const void *alpha = wide ? (const void *)&alpha64 : &g->alpha;
    int ta = g->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, tb = g->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    int a = blas_type(g->type_a), x = blas_type(g->type_b), c = blas_type(g->type_c);
    int lda = (int)g->lda, ldb = (int)g->ldb, ldc = (int)g->ldc, how = blas_compute(g->compute);
    if (g->epilogue)
        return blas_lt_gemm(b, g, at, m);
    if (g->batch == 1)
        return BLAS(b, m, cublasGemmEx, b->handle, tb, ta, g->n, g->m, g->k, alpha, at[1], x, ldb,
                    at[0], a, lda, &zero, at[2], c, ldc, how, CUBLAS_GEMM_DEFAULT);
    return BLAS(b, m, cublasGemmStridedBatchedEx, b->handle, tb, ta, g->n, g->m, g->k, alpha, at[1],
                x, ldb, g->stride_b, at[0], a, lda, g->stride_a, &zero, at[2], c, ldc, g->stride_c,
                g->batch, how, CUBLAS_GEMM_DEFAULT);
}

/* So many elements on. */
static void *on(void *p, int64_t elements, uint8_t type)
{
    return (char *)p + elements * (int64_t)nn_dtype_size((enum nn_dtype)type);
}

enum nn_status blas_gemm(struct blas *b, const struct nn_gemm_rec *g, void *const *arg,
                         struct nn_message *m)
{
    enum nn_status s = NN_OK;
    void *at[6];
    if (!fits_int(g->lda) || !fits_int(g->ldb) || !fits_int(g->ldc) || blas_type(g->type_a) < 0 ||
        blas_type(g->type_b) < 0 || blas_type(g->type_c) < 0)
        return nn_fail(m, NN_USAGE, "the image has a matrix product that %s lacks", b->name);
    if (!g->m || !g->n || !g->batch)
        return NN_OK;
    for (int32_t i = 0; !s && i < g->groups; i++) {
        int next = 3;
        int64_t c = g->at_c + i * g->jump_c;
        at[0] = on(arg[0], g->at_a + i * g->jump_a, g->type_a);
        at[1] = on(arg[1], g->at_b + i * g->jump_b, g->type_b);
        at[2] = on(arg[2], c, g->type_c);
        for (int bit = NN_GEMM_ADD; bit <= NN_GEMM_AUX; bit *= 2)
            if (g->epilogue & bit) {
                at[next] = on(arg[next], bit == NN_GEMM_BIAS ? g->at_bias : c, g->type_c);
                next++;
            }
        s = multiply(b, g, at, m);
    }
    return s;
}
