/* cuBLASLt: products described by layouts and a descriptor, with a bias and a function on the way
 * out. There is one algorithm, which needs no workspace. Descriptors may lie in the caller's own
 * memory: they begin with a mark by which they are known. */
#include "blas_calls.h"
#include "gemm.h"
#include <stdlib.h>
#include <string.h>

struct lt {
    struct object o;
};

enum {
    MARK_LAYOUT = 0x4c544c59,
    MARK_DESC = 0x4c544453,
    MARK_PREFERENCE = 0x4c545052,
    MARK_ALGO = 0x4c544147
};

struct layout {
    uint32_t mark;
    int32_t type, order, count;
    uint64_t rows, cols;
    int64_t ld, stride, plane;
};
struct desc {
    uint32_t mark;
    int32_t compute, scale, pointers, op_a, op_b, op_c, fill, bias_type;
    uint32_t epilogue;
    uint64_t bias, aux;
    int64_t bias_stride, aux_ld, aux_stride;
    int32_t multiprocessors;
    int8_t fast;
};
struct preference {
    uint32_t mark;
    uint32_t search, reductions, align[4];
    float waves;
    uint64_t workspace, implementations;
};
_Static_assert(sizeof(struct layout) <= 64 && sizeof(struct preference) <= 64,
               "room in opaque structs");

#define LT_ENTER(need)                                                                             \
    struct call call __attribute__((cleanup(call_end))) = call_begin(__func__, need);              \
    if (call.result)                                                                               \
    return blas_status(call.result)

/* ---- handles ---- */

const char *cublasLtGetStatusName(cublasStatus_t status) { return cublasGetStatusName(status); }
const char *cublasLtGetStatusString(cublasStatus_t status) { return cublasGetStatusString(status); }
cublasStatus_t cublasLtGetProperty(int type, int *value) { return cublasGetProperty(type, value); }
size_t cublasLtGetCudartVersion(void) { return cublasGetCudartVersion(); }

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    blas_context();
    LT_ENTER(NEED_CONTEXT);
    if (!handle)
        return CUBLAS_STATUS_INVALID_VALUE;
    struct lt *l = calloc(1, sizeof *l);
    if (!l || !object_add(&l->o, KIND_BLAS_LT, NULL)) {
        free(l);
        return CUBLAS_STATUS_ALLOC_FAILED;
    }
    *handle = l->o.handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    LT_ENTER(NEED_NOTHING);
    struct lt *l = object_get(KIND_BLAS_LT, handle);
    if (!l)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    object_remove(&l->o);
    free(l);
    return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion(void) { return 130000; }

/* A cublasHandle_t serves as well, as cuBLAS documents. */
static bool handle_known(const void *handle)
{
    return object_get(KIND_BLAS_LT, handle) || object_get(KIND_BLAS, handle);
}

/* ---- attributes: a field of a descriptor ---- */

struct field {
    void *at;
    size_t bytes;
};
#define FIELD(x) ((struct field){&(x), sizeof(x)})

static cublasStatus_t put(struct field f, const void *from, size_t bytes)
{
    if (!f.at || !from || bytes != f.bytes)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(f.at, from, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t get(struct field f, void *to, size_t bytes, size_t *written)
{
    if (!f.at || (!bytes && !written) || (bytes && (!to || bytes < f.bytes)))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (bytes)
        memcpy(to, f.at, f.bytes);
    if (written)
        *written = f.bytes;
    return CUBLAS_STATUS_SUCCESS;
}

static struct field layout_field(struct layout *l, cublasLtMatrixLayoutAttribute_t attribute)
{
    if (!l || l->mark != MARK_LAYOUT)
        return (struct field){0};
    switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE: return FIELD(l->type);
    case CUBLASLT_MATRIX_LAYOUT_ORDER: return FIELD(l->order);
    case CUBLASLT_MATRIX_LAYOUT_ROWS: return FIELD(l->rows);
    case CUBLASLT_MATRIX_LAYOUT_COLS: return FIELD(l->cols);
    case CUBLASLT_MATRIX_LAYOUT_LD: return FIELD(l->ld);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT: return FIELD(l->count);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET: return FIELD(l->stride);
    case CUBLASLT_MATRIX_LAYOUT_PLANE_OFFSET: return FIELD(l->plane);
    }
    return (struct field){0};
}

static struct field desc_field(struct desc *d, cublasLtMatmulDescAttributes_t attribute)
{
    if (!d || d->mark != MARK_DESC)
        return (struct field){0};
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE: return FIELD(d->compute);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE: return FIELD(d->scale);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE: return FIELD(d->pointers);
    case CUBLASLT_MATMUL_DESC_TRANSA: return FIELD(d->op_a);
    case CUBLASLT_MATMUL_DESC_TRANSB: return FIELD(d->op_b);
    case CUBLASLT_MATMUL_DESC_TRANSC: return FIELD(d->op_c);
    case CUBLASLT_MATMUL_DESC_FILL_MODE: return FIELD(d->fill);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return FIELD(d->epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return FIELD(d->bias);
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE: return FIELD(d->bias_stride);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER: return FIELD(d->aux);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD: return FIELD(d->aux_ld);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE: return FIELD(d->aux_stride);
    case CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET: return FIELD(d->multiprocessors);
    case CUBLASLT_MATMUL_DESC_FAST_ACCUM: return FIELD(d->fast);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return FIELD(d->bias_type);
    }
    return (struct field){0};
}

static struct field preference_field(struct preference *p,
                                     cublasLtMatmulPreferenceAttributes_t attribute)
{
    if (!p || p->mark != MARK_PREFERENCE)
        return (struct field){0};
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_SEARCH_MODE: return FIELD(p->search);
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return FIELD(p->workspace);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: return FIELD(p->reductions);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return FIELD(p->align[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES]);
    case CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT: return FIELD(p->waves);
    case CUBLASLT_MATMUL_PREF_IMPL_MASK: return FIELD(p->implementations);
    }
    return (struct field){0};
}

/* ---- layouts ---- */

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t bytes,
                                                 cudaDataType type, uint64_t rows, uint64_t cols,
                                                 int64_t ld)
{
    if (!layout || bytes < sizeof *layout)
        return layout ? CUBLAS_STATUS_ALLOC_FAILED : CUBLAS_STATUS_INVALID_VALUE;
    *layout = (struct layout){.mark = MARK_LAYOUT,
                              .type = (int32_t)type,
                              .count = 1,
                              .rows = rows,
                              .cols = cols,
                              .ld = ld};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld)
{
    if (!layout)
        return CUBLAS_STATUS_INVALID_VALUE;
    *layout = malloc(sizeof **layout);
    return *layout
               ? cublasLtMatrixLayoutInit_internal(*layout, sizeof **layout, type, rows, cols, ld)
               : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    if (layout)
        layout->mark = 0;
    free(layout);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void *from, size_t bytes)
{
    return put(layout_field(layout, attribute), from, bytes);
}

cublasStatus_t cublasLtMatrixLayoutGetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, void *to,
                                                size_t bytes, size_t *written)
{
    return get(layout_field(layout, attribute), to, bytes, written);
}

/* ---- descriptors ---- */

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t desc, size_t bytes,
                                               cublasComputeType_t compute, cudaDataType scale)
{
    if (!desc || bytes < sizeof *desc)
        return desc ? CUBLAS_STATUS_ALLOC_FAILED : CUBLAS_STATUS_INVALID_VALUE;
    *desc = (struct desc){.mark = MARK_DESC,
                          .compute = (int32_t)compute,
                          .scale = (int32_t)scale,
                          .bias_type = -1,
                          .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute,
                                        cudaDataType scale)
{
    if (!desc)
        return CUBLAS_STATUS_INVALID_VALUE;
    *desc = malloc(sizeof **desc);
    return *desc ? cublasLtMatmulDescInit_internal(*desc, sizeof **desc, compute, scale)
                 : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    if (desc)
        desc->mark = 0;
    free(desc);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *from, size_t bytes)
{
    return put(desc_field(desc, attribute), from, bytes);
}

cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute, void *to,
                                              size_t bytes, size_t *written)
{
    return get(desc_field(desc, attribute), to, bytes, written);
}

/* ---- preferences ---- */

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference,
                                                     size_t bytes)
{
    if (!preference || bytes < sizeof *preference)
        return preference ? CUBLAS_STATUS_ALLOC_FAILED : CUBLAS_STATUS_INVALID_VALUE;
    *preference = (struct preference){.mark = MARK_PREFERENCE};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    if (!preference)
        return CUBLAS_STATUS_INVALID_VALUE;
    *preference = malloc(sizeof **preference);
    return *preference ? cublasLtMatmulPreferenceInit_internal(*preference, sizeof **preference)
                       : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    if (preference)
        preference->mark = 0;
    free(preference);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *from, size_t bytes)
{
    return put(preference_field(preference, attribute), from, bytes);
}

cublasStatus_t cublasLtMatmulPreferenceGetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    void *to, size_t bytes, size_t *written)
{
    return get(preference_field(preference, attribute), to, bytes, written);
}

/* ---- products ---- */

static bool layout_ok(const struct layout *l)
{
    if (!l || l->mark != MARK_LAYOUT || l->count < 1)
        return false;
    uint64_t line = l->order == CUBLASLT_ORDER_COL ? l->rows : l->cols;
    return l->rows && l->cols && l->rows < 1ull << 40 && l->cols < 1ull << 40 && l->ld > 0 &&
           (uint64_t)l->ld >= line;
}

static struct gemm_matrix matrix(const struct layout *l, const void *at, bool transposed)
{
    bool down = (l->order == CUBLASLT_ORDER_COL) != transposed;
    struct gemm_matrix x = {.at = (uint64_t)(uintptr_t)at,
                            .type = (cudaDataType)l->type,
                            .batch = l->count > 1 ? l->stride : 0};
    x.row = down ? 1 : l->ld;
    x.column = down ? l->ld : 1;
    return x;
}

static bool epilogue_known(uint32_t e)
{
    uint32_t plain = e & ~(uint32_t)CUBLASLT_EPILOGUE_BIAS;
    return e == CUBLASLT_EPILOGUE_BIAS || e == CUBLASLT_EPILOGUE_DEFAULT ||
           e == CUBLASLT_EPILOGUE_DGELU || plain == CUBLASLT_EPILOGUE_RELU ||
           plain == CUBLASLT_EPILOGUE_GELU || plain == CUBLASLT_EPILOGUE_GELU_AUX;
}

/* What cuBLASLt would do with these; SUCCESS: they can be multiplied. */
static cublasStatus_t check(const struct desc *d, const struct layout *a, const struct layout *b,
                            const struct layout *c, const struct layout *r)
{
    if (!d || d->mark != MARK_DESC || !layout_ok(a) || !layout_ok(b) || !layout_ok(c) ||
        !layout_ok(r))
        return CUBLAS_STATUS_INVALID_VALUE;
    if ((uint32_t)d->op_a > CUBLAS_OP_C || (uint32_t)d->op_b > CUBLAS_OP_C)
        return CUBLAS_STATUS_INVALID_VALUE;
    uint64_t k = d->op_a ? a->rows : a->cols;
    if ((d->op_a ? a->cols : a->rows) != r->rows || (d->op_b ? b->rows : b->cols) != r->cols ||
        (d->op_b ? b->cols : b->rows) != k || c->rows != r->rows || c->cols != r->cols)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (a->count != r->count || b->count != r->count || c->count != r->count)
        return CUBLAS_STATUS_INVALID_VALUE;
    uint32_t orders =
        (uint32_t)a->order | (uint32_t)b->order | (uint32_t)c->order | (uint32_t)r->order;
    int bias = d->bias_type < 0 ? r->type : d->bias_type;
    bool simulated =
        orders <= CUBLASLT_ORDER_ROW && !d->op_c && !d->fill && (uint32_t)d->pointers <= 1 &&
        !(a->plane | b->plane | c->plane | r->plane) && epilogue_known(d->epilogue) &&
        gemm_bytes((cudaDataType)bias) &&
        gemm_types((cublasComputeType_t)d->compute, (cudaDataType)d->scale, (cudaDataType)a->type,
                   (cudaDataType)b->type, (cudaDataType)c->type, (cudaDataType)r->type);
    if (!simulated)
        say("cublasLtMatmul: this combination of types, orders or epilogue is not simulated");
    return simulated ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *results, int *found)
{
    LT_ENTER(NEED_CONTEXT);
    if (!handle_known(handle))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!preference || preference->mark != MARK_PREFERENCE || wanted <= 0 || !results || !found)
        return CUBLAS_STATUS_INVALID_VALUE;
    *found = 0;
    cublasStatus_t s = check(desc, a, b, c, d);
    if (s)
        return s;
    results[0] = (cublasLtMatmulHeuristicResult_t){.state = CUBLAS_STATUS_SUCCESS, .wavesCount = 1};
    results[0].algo.data[0] = MARK_ALGO;
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

static bool aligned(const void *p, int type)
{
    return p && (uintptr_t)p % gemm_bytes((cudaDataType)type) == 0;
}

static struct gemm_matrix auxiliary(const struct desc *d, const struct layout *r)
{
    struct gemm_matrix x = {.at = d->aux, .type = (cudaDataType)r->type, .batch = d->aux_stride};
    x.row = 1;
    x.column = d->aux_ld;
    return x;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t la, const void *b,
                              cublasLtMatrixLayout_t lb, const void *beta, const void *c,
                              cublasLtMatrixLayout_t lc, void *d, cublasLtMatrixLayout_t ld,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes,
                              CUstream stream)
{
    LT_ENTER(NEED_CONTEXT);
    struct stream *s;
    if (!handle_known(handle))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    cublasStatus_t r = check(desc, la, lb, lc, ld);
    if (r)
        return r;
    bool bias = desc->epilogue & CUBLASLT_EPILOGUE_BIAS, aux = desc->epilogue & 128;
    int bias_type = desc->bias_type < 0 ? ld->type : desc->bias_type;
    if (!alpha || !beta || !aligned(a, la->type) || !aligned(b, lb->type) ||
        !aligned(d, ld->type) || !aligned(c, lc->type) || (bias && !desc->bias) ||
        (algo && algo->data[0] != MARK_ALGO) ||
        (bytes && (!workspace || (uintptr_t)workspace % 16)) ||
        stream_get(call.context, stream, &s) ||
        (aux &&
         (!desc->aux || desc->aux % 16 || desc->aux_ld % 8 || desc->aux_ld < (int64_t)ld->rows)))
        return CUBLAS_STATUS_INVALID_VALUE;
    bool on_device = desc->pointers == CUBLAS_POINTER_MODE_DEVICE;
    cudaDataType scale = (cudaDataType)desc->scale;
    struct gemm g = {
        .call = __func__,
        .a = matrix(la, a, desc->op_a != CUBLAS_OP_N),
        .b = matrix(lb, b, desc->op_b != CUBLAS_OP_N),
        .c = matrix(lc, c, false),
        .d = matrix(ld, d, false),
        .m = (int64_t)ld->rows,
        .n = (int64_t)ld->cols,
        .k = (int64_t)(desc->op_a ? la->rows : la->cols),
        .batch = ld->count,
        .compute = (cublasComputeType_t)desc->compute,
        .scale = scale,
        .alpha = on_device ? 1 : gemm_scalar(scale, alpha),
        .beta = on_device ? 0 : gemm_scalar(scale, beta),
        .alpha_at = on_device ? (uint64_t)(uintptr_t)alpha : 0,
        .beta_at = on_device ? (uint64_t)(uintptr_t)beta : 0,
        .epilogue = (int)desc->epilogue,
        .bias = desc->bias,
        .bias_type = (cudaDataType)bias_type,
        .bias_batch = desc->bias_stride,
    };
    if (aux)
        g.aux = auxiliary(desc, ld);
    return gemm_submit(s, &g);
}
