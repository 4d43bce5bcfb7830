/* Which contractions are left to a library's matrix product: the record, carried out naively, gives
 * what the evaluator gives; what reads or writes otherwise is refused. */
#include "lower/skeleton.h"
#include "test.h"

static const double *matrix_at(const double *p, int64_t batch, int64_t i, int64_t j, bool trans,
                               int64_t ld, int64_t stride)
{
    return p + batch * stride + (trans ? j * ld + i : i * ld + j);
}

static void carry_out(const struct low_gemm *g, struct ir_eval *e)
{
    const struct nn_gemm_rec *r = &g->rec;
    const double *a = ir_eval_value(e, g->a), *b = ir_eval_value(e, g->b);
    const double *c = ir_eval_value(e, g->c);
    int64_t bad = 0;
    for (int64_t batch = 0; batch < r->batch; batch++)
        for (int64_t i = 0; i < r->m; i++)
            for (int64_t j = 0; j < r->n; j++) {
                double sum = 0;
                for (int64_t k = 0; k < r->k; k++)
                    sum += *matrix_at(a, batch, i, k, r->trans_a, r->lda, r->stride_a) *
                           *matrix_at(b, batch, k, j, r->trans_b, r->ldb, r->stride_b);
                bad += *matrix_at(c, batch, i, j, false, r->ldc, r->stride_c) != sum;
            }
    test(bad == 0);
}

static void fill(struct ir_graph *g, struct ir_eval *e, double **value)
{
    uint64_t state = 7;
    for (ir_id i = 1; i < g->nodes.n; i++) {
        const struct ir_node *n = ir_at(g, i);
        if (n->op != IR_input)
            continue;
        value[i] = xcalloc((size_t)ir_count(n), sizeof **value);
        for (int64_t k = 0; k < ir_count(n); k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            value[i][k] = (double)((int)(state >> 33) % 5) - 2;
        }
        ir_eval_input(e, n->name, value[i]);
    }
}

/* m, n, k, batch of the last cluster's product; m 0: none. */
static void expect(const char *body, int m, int n, int k, int batch)
{
    struct text t = {0};
    text_printf(&t, "graph g {\n%s\n}\n", body);
    struct diag *d = diag_new();
    struct ir_module *mod = ir_read(d, diag_add_file(d, "t", t.p, t.n));
    diag_print(d, stdout);
    struct ir_graph *g = mod->graphs.p[0];
    struct fuse_plan *plan = fuse_graph(g, target_find("sm_80"), "greedy");
    struct ir_eval *e = ir_eval_new(g, true);
    double **value = xcalloc(g->nodes.n, sizeof *value);
    char *message = NULL;
    fill(g, e, value);
    test(ir_eval_run(e, &message));
    struct low_launch l = {0};
    struct low_gemm gemm;
    struct sk s;
    sk_begin(&s, plan, &plan->clusters.p[plan->clusters.n - 1], &l);
    bool is = low_is_gemm(&s, &gemm);
    test(is == (m > 0));
    if (is) {
        test(gemm.rec.m == m && gemm.rec.n == n && gemm.rec.k == k && gemm.rec.batch == batch);
        carry_out(&gemm, e);
    }
    plan->gemm = FUSE_GEMM_OWN;
    test(!sk_gpu_library(&s, &gemm));
    plan->gemm = FUSE_GEMM_LIBRARY;
    test(sk_gpu_library(&s, &gemm) == (m > 0));
    if (is) {
        low_make_gemm(&s, &gemm);
        test(!l.kernel && l.gemm && l.args.n == 3 && l.args.p[2].write && !l.args.p[0].write);
    }
    sk_end(&s);
    lo_kernel_free(l.kernel);
    free(l.gemm);
    vec_free(&l.args);
    for (ir_id i = 1; i < g->nodes.n; i++)
        free(value[i]);
    free(value);
    ir_eval_free(e);
    fuse_free(plan);
    ir_module_free(mod);
    diag_free(d);
    text_free(&t);
}

static void products(void)
{
    expect("%a = input a : f32[i 13, k 9]\n%b = input b : f32[k 9, j 21]\n"
           "%p = mul %a[i, k] %b[k, j] : f32[i 13, j 21, k 9] inline\n"
           "%y = reduce sum(k 9) %p[i, j, k] : f32[i 13, j 21]\noutput y %y",
           13, 21, 9, 1);
    expect("%a = input a : f32[k 9, i 13]\n%b = input b : f32[j 21, k 9]\n"
           "%p = mul %b[j, k] %a[k, i] : f32[i 13, j 21, k 9] inline\n"
           "%y = reduce sum(k 9) %p[i, j, k] : f32[i 13, j 21]\noutput y %y",
           13, 21, 9, 1);
    expect("%a = input a : f32[b 3, h 2, i 9, d 8]\n%b = input b : f32[b 3, h 2, j 17, d 8]\n"
           "%p = mul %a[b, h, i, d] %b[b, h, j, d] : f32[b 3, h 2, i 9, j 17, d 8] inline\n"
           "%y = reduce sum(d 8) %p[b, h, i, j, d] : f32[b 3, h 2, i 9, j 17]\noutput y %y",
           9, 17, 8, 6);
    expect("%g = input g : f32[b 5, t 7, o 33]\n%x = input x : f32[b 5, t 7, k 19]\n"
           "%p = mul %g[b, t, o] %x[b, t, k] : f32[o 33, k 19, b 5, t 7] inline\n"
           "%y = reduce sum(b 5, t 7) %p[o, k, b, t] : f32[o 33, k 19]\noutput y %y",
           33, 19, 35, 1);
    expect("%a = input a : bf16[i 16, k 32]\n%b = input b : bf16[k 32, j 24]\n"
           "%c = cast %a[i, k] : f32[i 16, k 32] inline\n"
           "%d = cast %b[k, j] : f32[k 32, j 24] inline\n"
           "%p = mul %c[i, k] %d[k, j] : f32[i 16, j 24, k 32] inline\n"
           "%y = reduce sum(k 32) %p[i, j, k] : f32[i 16, j 24]\noutput y %y",
           16, 24, 32, 1);
}

static void others(void)
{
    expect("%a = input a : f32[i 13, k 9]\n%b = input b : f32[k 9, j 21]\n%z = const 0 : f32\n"
           "%p = mul %a[i, k] %b[k, j] : f32[i 13, j 21, k 9] inline\n"
           "%q = reduce sum(k 9) %p[i, j, k] : f32[i 13, j 21]\n"
           "%y = max %q[i, j] %z[] : f32[i 13, j 21]\noutput y %y",
           0, 0, 0, 0);
    expect("%x = input x : f32[n 2, c 4, h 12, w 12]\n%f = input f : f32[o 5, c 4, r 3, s 3]\n"
           "%p = mul %x[n, c, i + r, j + s] %f[o, c, r, s]"
           " : f32[n 2, o 5, i 10, j 10, c 4, r 3, s 3] inline\n"
           "%y = reduce sum(c 4, r 3, s 3) %p[n, o, i, j, c, r, s] : f32[n 2, o 5, i 10, j 10]\n"
           "output y %y",
           0, 0, 0, 0);
    expect("%a = input a : f32[i 13, k 20]\n%b = input b : f32[k 20, j 21]\n"
           "%p = mul %a[i, k + 4] %b[k, j] : f32[i 13, j 21, k 10] inline\n" /* begins later */
           "%y = reduce sum(k 10) %p[i, j, k] : f32[i 13, j 21]\noutput y %y",
           0, 0, 0, 0);
    expect("%a = input a : f32[i 13, k 20]\n%b = input b : f32[k 20, j 21]\n"
           "%p = mul %a[i, 2*k] %b[2*k, j] : f32[i 13, j 21, k 10] inline\n" /* every other */
           "%y = reduce sum(k 10) %p[i, j, k] : f32[i 13, j 21]\noutput y %y",
           0, 0, 0, 0);
}

int main(void)
{
    products();
    others();
    return test_done();
}
