/* Which contractions are matrix products that the device's library (cuBLAS) could do as well: two
 * stored factors read as they lie, nothing before the product and nothing after it. */
#include "lower/skeleton.h"

/* One matrix: steps in elements of a row's (column's) flat number, and of the batch's. */
struct matrix {
    int64_t row, col, batch;
};

/* The factor of the axes' flat number (the last axis fastest) in e; false if it has none. */
static bool step_of(const struct fx *x, const struct ix *e, uint32_t mask, int64_t *step)
{
    int64_t size = 1;
    bool first = true;
    *step = 0;
    for (uint32_t i = x->n; i-- > 0;) {
        if (!(mask >> i & 1))
            continue;
        if (first)
            *step = ix_coef(e, i);
        if (ix_coef(e, i) != *step * size)
            return false;
        size *= x->dim[i];
        first = false;
    }
    return true;
}

static bool matrix_of(const struct fx *x, const struct ix *e, uint32_t rows, uint32_t cols,
                      uint32_t batch, struct matrix *m)
{
    return ix_is_affine(e) && e->c0 == 0 && step_of(x, e, rows, &m->row) &&
           step_of(x, e, cols, &m->col) && step_of(x, e, batch, &m->batch);
}

static int64_t size_of(const struct fx *x, uint32_t mask)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < x->n; i++)
        n *= mask >> i & 1 ? x->dim[i] : 1;
    return n;
}

/* Stored by rows (rows of `cols` elements, a stride apart) or by columns. */
static bool stored(const struct matrix *m, int64_t rows, int64_t cols, uint8_t *trans, int64_t *ld)
{
    *trans = m->col != 1;
    *ld = *trans ? m->col : m->row;
    return (*trans ? m->row == 1 : true) && *ld >= (*trans ? rows : cols) && *ld <= INT32_MAX;
}

/* A factor that is a stored value as it lies: its load; an exact cast to f32 does not matter, and
 * rounding to tf32 the library does itself. */
static const struct fx_val *factor(const struct fx *x, fx_id id, bool *tf32)
{
    const struct fx_val *v = &x->val.p[id];
    *tf32 = v->kind == FX_OP && v->op == IR_round_tf32;
    if (*tf32)
        v = &x->val.p[v->in[0]];
    if (v->kind == FX_OP && v->op == IR_cast && v->dtype == NN_f32 &&
        (x->val.p[v->in[0]].dtype == NN_bf16 || x->val.p[v->in[0]].dtype == NN_f16))
        v = &x->val.p[v->in[0]];
    return v->kind == FX_LOAD && !v->cond ? v : NULL;
}

static bool types(struct nn_gemm_rec *g, bool tf32)
{
    bool f32 = g->type_a == NN_f32, half = g->type_a == NN_bf16 || g->type_a == NN_f16;
    g->compute = g->type_a == NN_f64 ? NN_GEMM_F64 : f32 && tf32 ? NN_GEMM_TF32 : NN_GEMM_F32;
    return g->type_a == g->type_b && (g->type_c == g->type_a || (half && g->type_c == NN_f32)) &&
           (f32 || half || g->type_a == NN_f64);
}

bool low_is_gemm(struct sk *s, struct low_gemm *out)
{
    struct fx *x = &s->x;
    struct fuse_contraction f;
    if (s->c->members.n != 1 || s->c->members.p[0].role != FUSE_REDUCE ||
        !fuse_contraction(x, s->c, sk_member(s, 0), &f))
        return false;
    ir_id node = s->c->members.p[0].node;
    const struct ix *to = sk_member_address(s, 0);
    struct matrix a, b, c;
    bool tf32_a, tf32_b;
    bool turned = f.m > f.n; /* the result's last axis is a row's: C' = B' A' */
    fx_id left = turned ? f.b : f.a, right = turned ? f.a : f.b;
    uint32_t m = turned ? f.n : f.m, n = turned ? f.m : f.n;
    const struct fx_val *va = factor(x, left, &tf32_a), *vb = factor(x, right, &tf32_b);
    if (!va || !vb || tf32_a != tf32_b || f.ka || f.kb ||
        !matrix_of(x, va->at, m, f.k, f.batch, &a) || !matrix_of(x, vb->at, f.k, n, f.batch, &b) ||
        !matrix_of(x, to, m, n, f.batch, &c))
        return false;
    int64_t sizes[] = {size_of(x, m), size_of(x, n), size_of(x, f.k), size_of(x, f.batch)};
    for (size_t i = 0; i < COUNT(sizes); i++)
        if (sizes[i] < 1 || sizes[i] > INT32_MAX)
            return false;
    struct nn_gemm_rec g = {.m = (int32_t)sizes[0],
                            .n = (int32_t)sizes[1],
                            .k = (int32_t)sizes[2],
                            .batch = (int32_t)sizes[3],
                            .stride_a = a.batch,
                            .stride_b = b.batch,
                            .stride_c = c.batch,
                            .type_a = va->dtype,
                            .type_b = vb->dtype,
                            .type_c = ir_at(s->plan->g, node)->dtype};
    uint8_t trans_c;
    if (!stored(&a, g.m, g.k, &g.trans_a, &g.lda) || !stored(&b, g.k, g.n, &g.trans_b, &g.ldb) ||
        !stored(&c, g.m, g.n, &trans_c, &g.ldc) || trans_c || !types(&g, tf32_a))
        return false;
    *out = (struct low_gemm){g, va->node, vb->node, node};
    return true;
}

void low_make_gemm(struct sk *s, const struct low_gemm *gemm)
{
    struct low_launch *l = s->launch;
    l->gemm = xmalloc(sizeof *l->gemm);
    *l->gemm = gemm->rec;
    l->args.n = 0;
    vec_push(&l->args, ((struct low_arg){.node = gemm->a}));
    vec_push(&l->args, ((struct low_arg){.node = gemm->b}));
    vec_push(&l->args, ((struct low_arg){.node = gemm->c, .write = true}));
    lo_kernel_free(l->kernel);
    l->kernel = NULL;
}
