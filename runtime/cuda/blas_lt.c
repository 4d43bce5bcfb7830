/* Products with an epilogue (a matrix and a vector added, relu, gelu) by cuBLASLt. Row-major
 * matrices are column-major ones the other way round: C = A B is there C' = B' A', so that a vector
 * along C's columns is one along the rows there, which is what its bias is. */
#include "cuda/blas.h"

#include <dlfcn.h>
#include <string.h>

enum {
    CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT = 5,
    CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET = 6,
    CUBLASLT_MATMUL_DESC_TRANSA = 3,
    CUBLASLT_MATMUL_DESC_TRANSB = 4,
    CUBLASLT_MATMUL_DESC_EPILOGUE = 7,
    CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8,
    CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER = 11,
    CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD = 12,
    CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE = 13,
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5,
    CUBLASLT_EPILOGUE_DEFAULT = 1,
    CUBLASLT_EPILOGUE_RELU = 2,
    CUBLASLT_EPILOGUE_BIAS = 4,
    CUBLASLT_EPILOGUE_GELU = 32,
    CUBLASLT_EPILOGUE_AUX = 128,
};
/* cublasLtMatmulHeuristicResult_t */
struct found {
    uint64_t algorithm[8];
    size_t workspace;
    int status;
    float waves;
    int reserved[4];
};

#define LT(b, m, name, ...) blas_check((b)->lt_name, (b)->name(__VA_ARGS__), #name, (m))

/* ---- opening ---- */

static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11"};

enum nn_status blas_lt_find(struct blas *b, const struct nn_cuda *c, struct nn_message *m)
{
    const char *missing = NULL;
    if (c && c->sim) {
        b->lt_library = c->library;
        b->lt_name = c->name;
    }
    for (size_t i = 0; !b->lt_library && i < NN_COUNT(names); i++) {
        b->lt_library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        b->lt_name = names[i];
    }
    if (!b->lt_library)
        return nn_fail(m, NN_MACHINE, "no cuBLASLt: looked for %s, %s, %s; --gemm own does without",
                       names[0], names[1], names[2]);
#define CALL(call, symbol, params)                                                                 \
    if (!blas_look_up(b->lt_library, symbol, &b->call))                                            \
        missing = symbol;
#include "cuda/blas_lt.def"
#undef CALL
    return missing ? nn_fail(m, NN_MACHINE, "%s has no %s", b->lt_name, missing) : NN_OK;
}

enum nn_status blas_lt_open(struct blas *b, const struct nn_cuda *c, struct nn_message *m)
{
    enum nn_status s = blas_lt_find(b, c, m);
    return s ? s : LT(b, m, cublasLtCreate, &b->lt_handle);
}

void blas_lt_close(struct blas *b)
{
    if (b->lt_handle)
        b->cublasLtDestroy(b->lt_handle);
}

/* ---- products ---- */

struct matmul {
    struct blas *b;
    const struct nn_gemm_rec *g;
    void *desc, *a, *x, *c, *preference; /* a: of the record's B, x: of its A */
    const void *add, *bias;
    void *aux;
};

static enum nn_status set(const struct matmul *q, int attribute, const void *from, size_t bytes,
                          struct nn_message *m)
{
    return LT(q->b, m, cublasLtMatmulDescSetAttribute, q->desc, attribute, from, bytes);
}

static enum nn_status describe(struct matmul *q, struct nn_message *m)
{
    const struct nn_gemm_rec *g = q->g;
    int ta = g->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, tb = g->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    int epilogue = (g->epilogue & NN_GEMM_BIAS ? CUBLASLT_EPILOGUE_BIAS : 0) |
                   (g->epilogue & NN_GEMM_RELU ? CUBLASLT_EPILOGUE_RELU : 0) |
                   (g->epilogue & NN_GEMM_GELU ? CUBLASLT_EPILOGUE_GELU : 0) |
                   (g->epilogue & NN_GEMM_AUX ? CUBLASLT_EPILOGUE_AUX : 0);
    epilogue = epilogue ? epilogue : CUBLASLT_EPILOGUE_DEFAULT;
    enum nn_status s =
        LT(q->b, m, cublasLtMatmulDescCreate, &q->desc, blas_compute(g->compute), CUDA_R_32F);
    if (!s)
        s = set(q, CUBLASLT_MATMUL_DESC_TRANSA, &tb, sizeof tb, m);
    if (!s)
        s = set(q, CUBLASLT_MATMUL_DESC_TRANSB, &ta, sizeof ta, m);
    if (!s)
        s = set(q, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue, m);
    if (!s && q->bias)
        s = set(q, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &q->bias, sizeof q->bias, m);
    if (!s && q->aux)
        s = set(q, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &q->aux, sizeof q->aux, m);
    if (!s && q->aux)
        s = set(q, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &g->ldc, sizeof g->ldc, m);
    if (!s && q->aux && g->batch > 1)
        s = set(q, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, &g->stride_c, sizeof g->stride_c,
                m);
    return s;
}

/* `rows` stored rows of `cols` elements: a column-major matrix of cols × rows. */
static enum nn_status layout(struct matmul *q, void **to, uint8_t type, int64_t rows, int64_t cols,
                             int64_t ld, int64_t stride, struct nn_message *m)
{
    enum nn_status s = LT(q->b, m, cublasLtMatrixLayoutCreate, to, blas_type(type), (uint64_t)cols,
                          (uint64_t)rows, ld);
    if (!s && q->g->batch > 1)
        s = LT(q->b, m, cublasLtMatrixLayoutSetAttribute, *to, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
               &q->g->batch, sizeof q->g->batch);
    if (!s && q->g->batch > 1)
        s = LT(q->b, m, cublasLtMatrixLayoutSetAttribute, *to,
               CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride);
    return s;
}

static enum nn_status layouts(struct matmul *q, struct nn_message *m)
{
    const struct nn_gemm_rec *g = q->g;
    enum nn_status s = layout(q, &q->x, g->type_a, g->trans_a ? g->k : g->m,
                              g->trans_a ? g->m : g->k, g->lda, g->stride_a, m);
    if (!s)
        s = layout(q, &q->a, g->type_b, g->trans_b ? g->n : g->k, g->trans_b ? g->k : g->n, g->ldb,
                   g->stride_b, m);
    return s ? s : layout(q, &q->c, g->type_c, g->m, g->n, g->ldc, g->stride_c, m);
}

static uint32_t alignment(const void *p)
{
    uint32_t most = 256;
    while ((uintptr_t)p % most)
        most /= 2;
    return most;
}

/* The workspace and the addresses at hand. at: of A, B, C, D there. */
static enum nn_status prefer(struct matmul *q, const void *const *at, struct nn_message *m)
{
    enum nn_status s = LT(q->b, m, cublasLtMatmulPreferenceCreate, &q->preference);
    if (!s)
        s = LT(q->b, m, cublasLtMatmulPreferenceSetAttribute, q->preference,
               CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &q->b->workspace_bytes,
               sizeof q->b->workspace_bytes);
    for (int i = 0; !s && i < 4; i++) {
        uint32_t bytes = alignment(at[i]);
        s = LT(q->b, m, cublasLtMatmulPreferenceSetAttribute, q->preference,
               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES + i, &bytes, sizeof bytes);
    }
    return s;
}

static enum nn_status multiply(struct matmul *q, void *const *at, struct nn_message *m)
{
    const struct nn_gemm_rec *g = q->g;
    const void *there[] = {at[1], at[0], q->add ? q->add : at[2], at[2]};
    float beta = q->add ? 1 : 0;
    struct found best;
    int found = 0;
    enum nn_status s = describe(q, m);
    if (!s)
        s = layouts(q, m);
    if (!s)
        s = prefer(q, there, m);
    if (!s)
        s = LT(q->b, m, cublasLtMatmulAlgoGetHeuristic, q->b->lt_handle, q->desc, q->a, q->x, q->c,
               q->c, q->preference, 1, &best, &found);
    if (!s && !found)
        return nn_fail(m, NN_MACHINE,
                       "%s has no way to compute a product of %d x %d x %d with what follows it; "
                       "--gemm own does",
                       q->b->lt_name, g->m, g->n, g->k);
    return s ? s
             : LT(q->b, m, cublasLtMatmul, q->b->lt_handle, q->desc, &g->alpha, at[1], q->a, at[0],
                  q->x, &beta, there[2], q->c, at[2], q->c, best.algorithm, q->b->workspace,
                  best.workspace, q->b->stream);
}

enum nn_status blas_lt_gemm(struct blas *b, const struct nn_gemm_rec *g, void *const *at,
                            struct nn_message *m)
{
    struct matmul q = {.b = b, .g = g};
    int next = 3;
    q.add = g->epilogue & NN_GEMM_ADD ? at[next++] : NULL;
    q.bias = g->epilogue & NN_GEMM_BIAS ? at[next++] : NULL;
    q.aux = g->epilogue & NN_GEMM_AUX ? at[next] : NULL;
    enum nn_status s = multiply(&q, at, m);
    void *layout[] = {q.a, q.x, q.c};
    for (size_t i = 0; i < NN_COUNT(layout); i++)
        if (layout[i])
            b->cublasLtMatrixLayoutDestroy(layout[i]);
    if (q.preference)
        b->cublasLtMatmulPreferenceDestroy(q.preference);
    if (q.desc)
        b->cublasLtMatmulDescDestroy(q.desc);
    return s;
}
