/* Which contractions are left to the library, and with what of what follows: the record, carried
 * out naively, gives what the evaluator gives; what reads or writes otherwise keeps a kernel. */
#include "lower/skeleton.h"
#include "test.h"
#include <math.h>

/* Element i, j (stored by columns: trans) of a matrix of the batch and group. */
static int64_t place(int64_t i, int64_t j, bool trans, int64_t ld)
{
    return trans ? j * ld + i : i * ld + j;
}

static double gelu(double x)
{
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

static bool near(double x, double y) { return fabs(x - y) <= 1e-6 * (1 + fabs(y)); }

/* C of the record at flat place `at` of row i, column j; *aux: what gelu is applied to. */
static double element(const struct fuse_product *f, struct ir_eval *e, int64_t a, int64_t b,
                      int64_t at, int64_t j, double *aux)
{
    const struct nn_gemm_rec *r = &f->rec;
    const double *x = ir_eval_value(e, f->a) + a, *y = ir_eval_value(e, f->b) + b;
    double sum = 0;
    for (int64_t k = 0; k < r->k; k++)
        sum += x[place(0, k, r->trans_a, r->lda)] * y[place(k, 0, r->trans_b, r->ldb)];
    sum *= (double)r->alpha;
    sum += r->epilogue & NN_GEMM_ADD ? ir_eval_value(e, f->add)[at] : 0;
    sum += r->epilogue & NN_GEMM_BIAS ? ir_eval_value(e, f->bias)[r->at_bias + j] : 0;
    *aux = sum;
    return r->epilogue & NN_GEMM_RELU ? fmax(sum, 0) : r->epilogue & NN_GEMM_GELU ? gelu(sum) : sum;
}

static void carry_out(const struct fuse_product *f, struct ir_eval *e)
{
    const struct nn_gemm_rec *r = &f->rec;
    int64_t bad = 0;
    double aux;
    for (int64_t n = 0; n < (int64_t)r->groups * r->batch * r->m * r->n; n++) {
        int64_t j = n % r->n, i = n / r->n % r->m, b = n / r->n / r->m % r->batch;
        int64_t g = n / r->n / r->m / r->batch;
        int64_t x = r->at_a + g * r->jump_a + b * r->stride_a + place(i, 0, r->trans_a, r->lda);
        int64_t y = r->at_b + g * r->jump_b + b * r->stride_b + place(0, j, r->trans_b, r->ldb);
        int64_t c = r->at_c + g * r->jump_c + b * r->stride_c + i * r->ldc + j;
        bad += !near(element(f, e, x, y, c, j, &aux), ir_eval_value(e, f->c)[c]);
        bad += r->epilogue & NN_GEMM_AUX && !near(aux, ir_eval_value(e, f->aux)[c]);
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

/* ---- one graph ---- */

struct want {
    int m, n, k, batch, groups; /* of the first cluster that is a product; m 0: there is none */
    unsigned epilogue;
    int clusters;
};

static void check_launch(const struct fuse_plan *plan, const struct fuse_cluster *c,
                         const struct fuse_product *f)
{
    struct low_launch l = low_gemm(plan, c, f);
    uint32_t more = 0, written = 0;
    for (unsigned bit = NN_GEMM_ADD; bit <= NN_GEMM_AUX; bit *= 2)
        more += !!(f->rec.epilogue & bit);
    for (uint32_t i = 0; i < l.args.n; i++)
        written += l.args.p[i].write;
    test(!l.kernel && l.gemm && l.args.n == 3 + more && l.args.p[2].write);
    test(written == 1 + !!(f->rec.epilogue & NN_GEMM_AUX));
    free(l.gemm);
    vec_free(&l.args);
}

static void check_plan(struct ir_graph *g, const struct fuse_plan *plan, struct ir_eval *e,
                       struct want w)
{
    struct fuse_product f;
    bool found = false;
    for (uint32_t i = 0; i < plan->clusters.n; i++) {
        if (!fuse_library(plan, &plan->clusters.p[i], &f))
            continue;
        carry_out(&f, e);
        check_launch(plan, &plan->clusters.p[i], &f);
        if (!found && w.m)
            test(f.rec.m == w.m && f.rec.n == w.n && f.rec.k == w.k && f.rec.batch == w.batch &&
                 f.rec.groups == w.groups && f.rec.epilogue == w.epilogue);
        found = true;
    }
    (void)g;
    test(found == (w.m > 0));
    test(!w.clusters || plan->clusters.n == (uint32_t)w.clusters);
}

static void expect_on(const char *target, const char *body, struct want w)
{
    struct text t = {0};
    text_printf(&t, "graph g {\n%s\n}\n", body);
    struct diag *d = diag_new();
    struct ir_module *mod = ir_read(d, diag_add_file(d, "t", t.p, t.n));
    diag_print(d, stdout);
    struct ir_graph *g = mod->graphs.p[0];
    struct fuse_plan *plan = fuse_graph(g, target_find(target), "greedy", FUSE_GEMM_LIBRARY);
    struct ir_eval *e = ir_eval_new(g, true);
    double **value = xcalloc(g->nodes.n, sizeof *value);
    char *message = NULL;
    fill(g, e, value);
    test(ir_eval_run(e, &message));
    check_plan(g, plan, e, w);
    fuse_free(plan);
    plan = fuse_graph(g, target_find(target), "greedy", FUSE_GEMM_OWN);
    check_plan(g, plan, e, (struct want){0});
    for (ir_id i = 1; i < g->nodes.n; i++)
        free(value[i]);
    free(value);
    ir_eval_free(e);
    fuse_free(plan);
    ir_module_free(mod);
    diag_free(d);
    text_free(&t);
}

static void expect(const char *body, struct want w) { expect_on("sm_80", body, w); }

static void products(void)
{
    expect("%a = input a : f32[i 13, k 9]\n%b = input b : f32[k 9, j 21]\n"
           "%p = mul %a[i, k] %b[k, j] : f32[i 13, j 21, k 9] inline\n"
           "%y = reduce sum(k 9) %p[i, j, k] : f32[i 13, j 21]\noutput y %y",
           (struct want){13, 21, 9, 1, 1, 0, 1});
    expect("%a = input a : f32[k 9, i 13]\n%b = input b : f32[j 21, k 9]\n"
           "%p = mul %b[j, k] %a[k, i] : f32[i 13, j 21, k 9] inline\n"
           "%y = reduce sum(k 9) %p[i, j, k] : f32[i 13, j 21]\noutput y %y",
           (struct want){13, 21, 9, 1, 1, 0, 1});
    expect("%a = input a : f32[b 3, h 2, i 9, d 8]\n%b = input b : f32[b 3, h 2, j 17, d 8]\n"
           "%p = mul %a[b, h, i, d] %b[b, h, j, d] : f32[b 3, h 2, i 9, j 17, d 8] inline\n"
           "%y = reduce sum(d 8) %p[b, h, i, j, d] : f32[b 3, h 2, i 9, j 17]\noutput y %y",
           (struct want){9, 17, 8, 6, 1, 0, 1});
    expect("%g = input g : f32[b 5, t 7, o 33]\n%x = input x : f32[b 5, t 7, k 19]\n"
           "%p = mul %g[b, t, o] %x[b, t, k] : f32[o 33, k 19, b 5, t 7] inline\n"
           "%y = reduce sum(b 5, t 7) %p[o, k, b, t] : f32[o 33, k 19]\noutput y %y",
           (struct want){33, 19, 35, 1, 1, 0, 1});
    expect("%a = input a : bf16[i 16, k 32]\n%b = input b : bf16[k 32, j 24]\n"
           "%c = cast %a[i, k] : f32[i 16, k 32] inline\n"
           "%d = cast %b[k, j] : f32[k 32, j 24] inline\n"
           "%p = mul %c[i, k] %d[k, j] : f32[i 16, j 24, k 32] inline\n"
           "%y = reduce sum(k 32) %p[i, j, k] : f32[i 16, j 24]\noutput y %y",
           (struct want){16, 24, 32, 1, 1, 0, 1});
}

static void others(void)
{
    expect("%x = input x : f32[n 2, c 4, h 12, w 12]\n%f = input f : f32[o 5, c 4, r 3, s 3]\n"
           "%p = mul %x[n, c, i + r, j + s] %f[o, c, r, s]"
           " : f32[n 2, o 5, i 10, j 10, c 4, r 3, s 3] inline\n"
           "%y = reduce sum(c 4, r 3, s 3) %p[n, o, i, j, c, r, s] : f32[n 2, o 5, i 10, j 10]\n"
           "output y %y",
           (struct want){0});
    expect("%a = input a : f32[i 13, k 20]\n%b = input b : f32[k 20, j 21]\n"
           "%p = mul %a[i, 2*k] %b[2*k, j] : f32[i 13, j 21, k 10] inline\n" /* every other */
           "%y = reduce sum(k 10) %p[i, j, k] : f32[i 13, j 21]\noutput y %y",
           (struct want){0});
}

/* Parts of stored values: columns of a matrix, heads of one (in groups, a call each). */
static void parts(void)
{
    expect("%a = input a : f32[i 13, k 20]\n%b = input b : f32[k 30, j 40]\n"
           "%p = mul %a[i, k + 4] %b[k + 20, j + 8] : f32[i 13, j 21, k 10] inline\n"
           "%y = reduce sum(k 10) %p[i, j, k] : f32[i 13, j 21]\noutput y %y",
           (struct want){13, 21, 10, 1, 1, 0, 1});
    expect("%q = input q : f32[b 3, i 9, c 48]\n"
           "%p = mul %q[b, i, 8*h + d] %q[b, j, 8*h + d + 16]"
           " : f32[b 3, h 2, i 9, j 9, d 8] inline\n"
           "%y = reduce sum(d 8) %p[b, h, i, j, d] : f32[b 3, h 2, i 9, j 9]\noutput y %y",
           (struct want){9, 9, 8, 2, 3, 0, 1});
    expect("%s = input s : f32[b 3, h 2, i 9, j 9]\n%v = input v : f32[b 3, j 9, c 48]\n"
           "%p = mul %s[b, h, i, j] %v[b, j, 8*h + d + 32] : f32[b 3, i 9, h 2, d 8, j 9] inline\n"
           "%y = reduce sum(j 9) %p[b, i, h, d, j] : f32[b 3, i 9, h 2, d 8]\noutput y %y",
           (struct want){9, 8, 9, 2, 3, 0, 1});
}

#define PRODUCT(j)                                                                                 \
    "%a = input a : f32[i 13, k 9]\n%b = input b : f32[k 9, j " j "]\n"                            \
    "%c = input c : f32[j " j "]\n%r = input r : f32[i 13, j " j "]\n"                             \
    "%p = mul %a[i, k] %b[k, j] : f32[i 13, j " j ", k 9] inline\n"                                \
    "%s = reduce sum(k 9) %p[i, j, k] : f32[i 13, j " j "]\n"
#define GELU(j)                                                                                    \
    "%u = add %s[i, j] %c[j] : f32[i 13, j " j "]\n%h = const 0.5 : f32\n"                         \
    "%u5 = mul %u[i, j] %h[] : f32[i 13, j " j "]\n%u2 = mul %u[i, j] %u[i, j] : f32[i 13, j " j   \
    "]\n%u3 = mul %u[i, j] %u2[i, j] : f32[i 13, j " j "]\n%q = const 0.044715 : f32\n"            \
    "%u4 = mul %q[] %u3[i, j] : f32[i 13, j " j "]\n%v = add %u[i, j] %u4[i, j] : f32[i 13, j " j  \
    "]\n%w = const 0.7978845608028654 : f32\n%x = mul %w[] %v[i, j] : f32[i 13, j " j "]\n"        \
    "%t = tanh %x[i, j] : f32[i 13, j " j "]\n%o = const 1 : f32\n"                                \
    "%g = add %o[] %t[i, j] : f32[i 13, j " j "]\n%y = mul %u5[i, j] %g[i, j] : f32[i 13, j " j    \
    "]\noutput y %y\n"

/* What follows the sum: what the epilogue holds goes with it, the rest is a kernel of its own. */
static void epilogues(void)
{
    struct want w = {13, 24, 9, 1, 1, NN_GEMM_BIAS | NN_GEMM_RELU, 1};
    expect(PRODUCT("24") "%z = const 0 : f32\n%t = add %c[j] %s[i, j] : f32[i 13, j 24]\n"
                         "%y = max %z[] %t[i, j] : f32[i 13, j 24]\noutput y %y",
           w);
    w.epilogue = NN_GEMM_ADD | NN_GEMM_BIAS;
    expect(PRODUCT("24") "%h = const 0.25 : f32\n%x = mul %s[i, j] %h[] : f32[i 13, j 24]\n"
                         "%t = add %x[i, j] %c[j] : f32[i 13, j 24]\n"
                         "%y = add %r[i, j] %t[i, j] : f32[i 13, j 24]\noutput y %y",
           w);
    w.epilogue = NN_GEMM_BIAS | NN_GEMM_GELU;
    expect(PRODUCT("24") GELU("24"), w);
    w.epilogue = NN_GEMM_BIAS | NN_GEMM_GELU | NN_GEMM_AUX;
    expect(PRODUCT("24") GELU("24") "output u %u", w);
    w = (struct want){13, 21, 9, 1, 1, NN_GEMM_BIAS, 2};
    expect(PRODUCT("21") GELU("21") "output u %u", w); /* its columns are no multiple of 8 */
    w.epilogue = 0;
    expect(PRODUCT("21") "%x = exp %s[i, j] : f32[i 13, j 21]\n"
                         "%y = add %x[i, j] %c[j] : f32[i 13, j 21]\noutput y %y",
           w);
    w = (struct want){13, 21, 9, 1, 1, 0, 2}; /* the sum itself is wanted */
    expect(PRODUCT("21") "%y = add %s[i, j] %c[j] : f32[i 13, j 21]\noutput y %y\noutput s %s", w);
    w = (struct want){13, 21, 9, 1, 1, 0, 2}; /* a vector along the rows is no bias */
    expect(PRODUCT("21") "%d = input d : f32[i 13]\n"
                         "%y = add %s[i, j] %d[i] : f32[i 13, j 21]\noutput y %y",
           w);
    w = (struct want){13, 21, 9, 1, 1, NN_GEMM_BIAS, 2}; /* after relu nothing is added */
    expect(PRODUCT("21") "%z = const 0 : f32\n%t = add %s[i, j] %c[j] : f32[i 13, j 21]\n"
                         "%m = max %t[i, j] %z[] : f32[i 13, j 21]\n"
                         "%y = sub %m[i, j] %r[i, j] : f32[i 13, j 21]\noutput y %y",
           (w.epilogue |= NN_GEMM_RELU, w));
}

/* What stands before the product is stored for it, rounding apart. */
static void prologues(void)
{
    expect("%a = input a : f32[i 13, k 9]\n%b = input b : f32[k 9, j 21]\n%h = const 3 : f32\n"
           "%t = mul %a[i, k] %h[] : f32[i 13, k 9]\n"
           "%p = mul %t[i, k] %b[k, j] : f32[i 13, j 21, k 9] inline\n"
           "%y = reduce sum(k 9) %p[i, j, k] : f32[i 13, j 21]\noutput y %y",
           (struct want){13, 21, 9, 1, 1, 0, 2});
    static const char *const tf32 =
        "%a = input a : f32[i 13, k 9]\n%b = input b : f32[k 9, j 21]\n"
        "%s = round_tf32 %a[i, k] : f32[i 13, k 9]\n%t = round_tf32 %b[k, j] : f32[k 9, j 21]\n"
        "%p = mul %s[i, k] %t[k, j] : f32[i 13, j 21, k 9] inline\n"
        "%y = reduce sum(k 9) %p[i, j, k] : f32[i 13, j 21]\noutput y %y";
    expect(tf32, (struct want){13, 21, 9, 1, 1, 0, 1});
    expect_on("sm_75", tf32, (struct want){0}); /* has no tf32: it would not be rounded */
}

int main(void)
{
    products();
    parts();
    epilogues();
    prologues();
    others();
    return test_done();
}
