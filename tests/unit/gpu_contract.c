/* The GPU's contraction skeleton: shapes of every class in the interpreter (which reports races,
 * divergent barriers, what is read before it is written) against the evaluator, exactly: small
 * integers. Both orders of the blocks give the same numbers. Then as PTX on the software GPU. */
#include "contraction.h"
#include "simulate.h"
#include "test.h"

static const struct target *target;

static void print_kernel(const struct lo_kernel *k)
{
    struct text t = {0};
    lo_print(k, &t);
    printf("%s\n", t.p);
    text_free(&t);
}

static void check_sound(const struct lo_kernel *k)
{
    char *wrong = lo_verify(k);
    if (wrong) {
        print_kernel(k);
        printf("%s\n", wrong);
    }
    test(!wrong);
    free(wrong);
}

static void interpret(struct run *r, struct ir_eval *e, bool descending)
{
    make_buffers(r, e);
    struct lo_run run = {.buf = r->buf, .descending = descending};
    test(lo_interpret(r->launch.kernel, &run));
    if (run.message)
        printf("%s: %s\n", r->launch.kernel->name, run.message);
    free(run.message);
    compare(r, e, "interpreted");
    free_buffers(r);
}

/* As PTX on the software GPU: the same numbers, no fault, no bank conflict (where tiles are whole).
 */
static void simulate_run(struct run *r, struct ir_eval *e)
{
    uint32_t n = r->launch.args.n;
    size_t *bytes = xcalloc(n, sizeof *bytes);
    bool *given = xcalloc(n, sizeof *given);
    struct simulated s;
    struct text ptx = {0};
    make_buffers(r, e);
    for (uint32_t i = 0; i < n; i++) {
        const struct low_arg *a = &r->launch.args.p[i];
        const struct ir_node *d = a->node ? ir_at(r->g, a->node) : NULL;
        bytes[i] = d ? (size_t)ir_count(d) * nn_dtype_size(d->dtype) : (size_t)a->bytes;
        given[i] = !a->write;
    }
    bool ok = simulate(&s, target, r->launch.kernel, r->buf, bytes, given, &ptx);
    text_free(&ptx);
    test(ok);
    test(s.counters.shared_conflicts == 0);
    if (s.counters.shared_conflicts)
        printf("%s: %llu bank conflicts in %llu accesses\n", r->launch.kernel->name,
               (unsigned long long)s.counters.shared_conflicts,
               (unsigned long long)s.counters.shared_accesses);
    if (ok)
        compare(r, e, "simulated");
    simulated_end(&s);
    free_buffers(r);
    free(bytes);
    free(given);
}

static uint32_t checks;

static void check_cluster(struct ir_graph *g, const struct fuse_plan *plan,
                          const struct fuse_cluster *c, struct ir_eval *e)
{
    struct run r = {.g = g};
    struct sk s;
    sk_begin(&s, plan, c, &r.launch);
    bool taken = sk_gpu_contract(&s);
    sk_end(&s);
    test(taken);
    if (taken) {
        check_sound(r.launch.kernel);
        lo_simplify(r.launch.kernel);
        check_sound(r.launch.kernel);
        if (getenv("PRINT"))
            print_kernel(r.launch.kernel);
        if (checks % 3 == 0)
            interpret(&r, e, false);
        if (checks++ % 9 == 0)
            interpret(&r, e, true);
        simulate_run(&r, e);
    }
    lo_kernel_free(r.launch.kernel);
    vec_free(&r.launch.args);
}

/* A graph's body whose values follow from inputs by one contraction cluster. */
static void check(const char *body)
{
    struct text t = {0};
    text_printf(&t, "graph g {\n%s\n}\n", body);
    struct diag *d = diag_new();
    struct ir_module *m = ir_read(d, diag_add_file(d, "t", t.p, t.n));
    diag_print(d, stdout);
    test(m != NULL);
    if (m) {
        struct ir_graph *g = m->graphs.p[0];
        struct fuse_plan *plan = fuse_graph(g, target, "greedy", FUSE_GEMM_OWN);
        struct ir_eval *e = ir_eval_new(g, true);
        double **value = xcalloc(g->nodes.n, sizeof *value);
        uint64_t state = 42;
        for (ir_id i = 1; i < g->nodes.n; i++) {
            const struct ir_node *n = ir_at(g, i);
            if (n->op != IR_input)
                continue;
            value[i] = xcalloc((size_t)ir_count(n) + 1, sizeof **value);
            for (int64_t k = 0; k < ir_count(n); k++)
                value[i][k] = n->dtype == NN_u8 ? small(&state) + 2 : small(&state);
            ir_eval_input(e, n->name, value[i]);
        }
        char *message = NULL;
        test(ir_eval_run(e, &message));
        uint32_t contractions = 0;
        for (uint32_t i = 0; i < plan->clusters.n; i++)
            if (plan->clusters.p[i].skeleton == FUSE_CONTRACT) {
                contractions++;
                check_cluster(g, plan, &plan->clusters.p[i], e);
            }
        test(contractions == 1); /* a border may be copied before it */
        for (ir_id i = 1; i < g->nodes.n; i++)
            free(value[i]);
        free(value);
        ir_eval_free(e);
        fuse_free(plan);
        ir_module_free(m);
    }
    diag_free(d);
    text_free(&t);
}

static void checkf(const char *fmt, ...) NNC_PRINTF(1, 2);
static void checkf(const char *fmt, ...)
{
    char body[2000];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(body, sizeof body, fmt, ap);
    va_end(ap);
    check(body);
}

/* y[i, j] = sum over k of a, b in the four layouts. */
static void matmul(const char *type, int m, int k, int n, bool ta, bool tb)
{
    bool tf32 = !strcmp(type, "tf32");
    const char *t = tf32 ? "f32" : type, *op = tf32 ? "round_tf32" : "copy";
    checkf("%%a = input a : %s[x %d, y %d]\n%%b = input b : %s[x %d, y %d]\n"
           "%%u = %s %%a[x, y] : %s[x %d, y %d]\n%%v = %s %%b[x, y] : %s[x %d, y %d]\n"
           "%%p = mul %%u[%s] %%v[%s] : %s[i %d, j %d, k %d] inline\n"
           "%%y = reduce sum(k %d) %%p[i, j, k] : %s[i %d, j %d]\noutput y %%y",
           t, ta ? k : m, ta ? m : k, t, tb ? n : k, tb ? k : n, op, t, ta ? k : m, ta ? m : k, op,
           t, tb ? n : k, tb ? k : n, ta ? "k, i" : "i, k", tb ? "j, k" : "k, j", t, m, n, k, k, t,
           m, n);
}

static void matmuls(const char *type, size_t count)
{
    static const int size[][3] = {{64, 32, 64},   {13, 9, 21},  {48, 40, 64},  {2, 100, 36},
                                  {128, 24, 128}, {10, 33, 96}, {7, 8, 300},   {300, 17, 8},
                                  {33, 50, 47},   {3, 700, 24}, {130, 20, 132}};
    for (size_t i = 0; i < count && i < COUNT(size); i++)
        for (int t = 0; t < 4; t++)
            if (i < 3 || t == (int)i % 4) /* all layouts, then one a size */
                matmul(type, size[i][0], size[i][1], size[i][2], t & 1, t & 2);
}
/* Batch axes, rows of two axes, several folded axes. */
static void einsums(void)
{
    check("%a = input a : f32[b 3, h 2, i 9, d 8]\n%b = input b : f32[b 3, h 2, j 17, d 8]\n"
          "%p = mul %a[b, h, i, d] %b[b, h, j, d] : f32[b 3, h 2, i 9, j 17, d 8] inline\n"
          "%y = reduce sum(d 8) %p[b, h, i, j, d] : f32[b 3, h 2, i 9, j 17]\noutput y %y");
    check("%a = input a : f32[b 3, i 9, j 11]\n%b = input b : f32[b 3, j 11, d 24]\n"
          "%p = mul %a[b, i, j] %b[b, j, d] : f32[b 3, i 9, d 24, j 11] inline\n"
          "%y = reduce sum(j 11) %p[b, i, d, j] : f32[b 3, i 9, d 24]\noutput y %y");
    check("%a = input a : f32[b 5, t 7, k 19]\n%w = input w : f32[o 33, k 19]\n"
          "%p = mul %a[b, t, k] %w[o, k] : f32[b 5, t 7, o 33, k 19] inline\n"
          "%y = reduce sum(k 19) %p[b, t, o, k] : f32[b 5, t 7, o 33]\noutput y %y");
    check("%g = input g : f32[b 5, t 7, o 33]\n%x = input x : f32[b 5, t 7, k 19]\n"
          "%p = mul %g[b, t, o] %x[b, t, k] : f32[o 33, k 19, b 5, t 7] inline\n"
          "%y = reduce sum(b 5, t 7) %p[o, k, b, t] : f32[o 33, k 19]\noutput y %y");
}

/* Convolution forward, stride and padding; its input and weight gradients. */
static void convolution(int n, int c, int o, int h, int r, int stride, int pad)
{
    int q = (h + 2 * pad - r) / stride + 1;
    checkf(
        "%%x = input x : f32[n %d, c %d, h %d, w %d]\n%%f = input f : f32[o %d, c %d, r %d, s %d]\n"
        "%%p = mul %%x[n, c, %d*i + r - %d, %d*j + s - %d] %%f[o, c, r, s]"
        " : f32[n %d, o %d, i %d, j %d, c %d, r %d, s %d] inline\n"
        "%%y = reduce sum(c %d, r %d, s %d) %%p[n, o, i, j, c, r, s]"
        " : f32[n %d, o %d, i %d, j %d]\noutput y %%y",
        n, c, h, h, o, c, r, r, stride, pad, stride, pad, n, o, q, q, c, r, r, c, r, r, n, o, q, q);
    checkf(
        "%%g = input g : f32[n %d, o %d, i %d, j %d]\n%%f = input f : f32[o %d, c %d, r %d, s %d]\n"
        "%%p = mul %%g[n, o, (h - r + %d)/%d, (w - s + %d)/%d] %%f[o, c, r, s]"
        " : f32[n %d, c %d, h %d, w %d, o %d, r %d, s %d] inline\n"
        "%%y = reduce sum(o %d, r %d, s %d) %%p[n, c, h, w, o, r, s]"
        " : f32[n %d, c %d, h %d, w %d]\noutput y %%y",
        n, o, q, q, o, c, r, r, pad, stride, pad, stride, n, c, h, h, o, r, r, o, r, r, n, c, h, h);
    checkf(
        "%%g = input g : f32[n %d, o %d, i %d, j %d]\n%%x = input x : f32[n %d, c %d, h %d, w %d]\n"
        "%%p = mul %%g[n, o, i, j] %%x[n, c, %d*i + r - %d, %d*j + s - %d]"
        " : f32[o %d, c %d, r %d, s %d, n %d, i %d, j %d] inline\n"
        "%%y = reduce sum(n %d, i %d, j %d) %%p[o, c, r, s, n, i, j]"
        " : f32[o %d, c %d, r %d, s %d]\noutput y %%y",
        n, o, q, q, n, c, h, h, stride, pad, stride, pad, o, c, r, r, n, q, q, n, q, q, o, c, r, r);
}

static void convolutions(bool all)
{
    convolution(2, 4, 5, 12, 5, 1, 0);
    convolution(17, 4, 6, 4, 3, 1, 1); /* lanes over images */
    if (!all)
        return;
    convolution(3, 4, 6, 15, 3, 2, 1);
    convolution(1, 4, 9, 32, 3, 1, 1);
    convolution(2, 6, 7, 7, 3, 1, 1);
    convolution(2, 6, 7, 8, 4, 2, 1);
    convolution(16, 5, 8, 7, 3, 2, 1);
}

/* What is computed on the way in and on the way out. */
static void places(void)
{
    check(
        "%x = input x : u8[i 33, k 50]\n%w = input w : f32[j 20, k 50]\n%b = input b : f32[j 20]\n"
        "%h = const 0.5 : f32\n%z = const 0 : f32\n%c = cast %x[i, k] : f32[i 33, k 50]\n"
        "%s = mul %c[i, k] %h[] : f32[i 33, k 50]\n"
        "%p = mul %s[i, k] %w[j, k] : f32[i 33, j 20, k 50] inline\n"
        "%q = reduce sum(k 50) %p[i, j, k] : f32[i 33, j 20]\n"
        "%t = add %q[i, j] %b[j] : f32[i 33, j 20]\n"
        "%y = max %t[i, j] %z[] : f32[i 33, j 20]\noutput y %y");
    check("%g = input g : f32[b 40, o 24]\n%v = input v : f32[b 40, o 24]\n"
          "%x = input x : f32[b 40, k 70]\n%z = const 0 : f32\n"
          "%c = gt %v[b, o] %z[] : bool[b 40, o 24]\n"
          "%m = select %c[b, o] %g[b, o] %z[] : f32[b 40, o 24]\n"
          "%p = mul %m[b, o] %x[b, k] : f32[o 24, k 70, b 40] inline\n"
          "%y = reduce sum(b 40) %p[o, k, b] : f32[o 24, k 70]\noutput y %y");
    check("%g = input g : f32[b 40, o 24]\n%v = input v : f32[b 40, o 24]\n"
          "%w = input w : f32[o 24, k 70]\n%r = input r : f32[b 40, k 70]\n%z = const 0 : f32\n"
          "%c = gt %v[b, o] %z[] : bool[b 40, o 24]\n"
          "%m = select %c[b, o] %g[b, o] %z[] : f32[b 40, o 24]\n"
          "%p = mul %m[b, o] %w[o, k] : f32[b 40, k 70, o 24] inline\n"
          "%q = reduce sum(o 24) %p[b, k, o] : f32[b 40, k 70]\n"
          "%y = add %q[b, k] %r[b, k] : f32[b 40, k 70]\noutput y %y");
}

/* A convolution of groups; a gather on the way in. */
static void others(void)
{
    check(
        "%x = input x : f32[n 3, g 2, c 4, h 9, w 9]\n%f = input f : f32[g 2, o 5, c 4, r 3, s 3]\n"
        "%p = mul %x[n, g, c, i + r, j + s] %f[g, o, c, r, s]"
        " : f32[n 3, g 2, o 5, i 7, j 7, c 4, r 3, s 3] inline\n"
        "%y = reduce sum(c 4, r 3, s 3) %p[n, g, o, i, j, c, r, s]"
        " : f32[n 3, g 2, o 5, i 7, j 7]\noutput y %y");
    check("%x = input x : f32[n 3, c 4, h 13, w 12]\n%f = input f : f32[o 8, c 4, r 3, s 3]\n"
          "%p = mul %x[n, c, i + 2*r - 1, j + 2*s] %f[o, c, r, s]"
          " : f32[n 3, o 8, i 10, j 8, c 4, r 3, s 3] inline\n"
          "%y = reduce sum(c 4, r 3, s 3) %p[n, o, i, j, c, r, s]"
          " : f32[n 3, o 8, i 10, j 8]\noutput y %y");
    check(
        "%e = input e : f32[v 11, d 32]\n%i = input u : u8[t 30]\n%w = input w : f32[o 24, d 32]\n"
        "%t = cast %i[t] : i32[t 30]\n"
        "%g = copy %e[@1, d] %t[t] : f32[t 30, d 32]\n"
        "%p = mul %g[t, d] %w[o, d] : f32[t 30, o 24, d 32] inline\n"
        "%y = reduce sum(d 32) %p[t, o, d] : f32[t 30, o 24]\noutput y %y");
}

static void here(const char *name)
{
    target = target_find(name);
    matmuls("f32", 11);
    einsums();
    convolutions(true);
    places();
    others();
}

/* Tensor cores: all layouts; large tiles on a small card. */
static void tensor(const char *name, const char *type)
{
    target = target_find(name);
    matmuls(type, 4);
    struct target few = *target;
    few.sms = 1;
    target = &few;
    for (int t = 0; t < 4; t++)
        matmul(type, 128, 40, 128, t & 1, t & 2);
    matmul(type, 64, 200, 64, false, false); /* more steps than are ahead */
    matmul(type, 72, 130, 40, true, true);
}

/* Casts on the way in. */
static void mixed(void)
{
    check("%a = input a : f32[i 70, k 40]\n%b = input b : f32[j 64, k 40]\n"
          "%c = cast %a[i, k] : bf16[i 70, k 40]\n%d = cast %b[j, k] : bf16[j 64, k 40]\n"
          "%e = cast %c[i, k] : f32[i 70, k 40]\n%f = cast %d[j, k] : f32[j 64, k 40]\n"
          "%p = mul %e[i, k] %f[j, k] : f32[i 70, j 64, k 40] inline\n"
          "%y = reduce sum(k 40) %p[i, j, k] : f32[i 70, j 64]\noutput y %y");
    check("%x = input x : bf16[n 3, c 4, h 9, w 9]\n%f = input f : bf16[o 24, c 4, r 3, s 3]\n"
          "%u = cast %x[n, c, h, w] : f32[n 3, c 4, h 9, w 9]\n"
          "%v = cast %f[o, c, r, s] : f32[o 24, c 4, r 3, s 3]\n"
          "%p = mul %u[n, c, i + r - 1, j + s - 1] %v[o, c, r, s]"
          " : f32[n 3, o 24, i 9, j 9, c 4, r 3, s 3] inline\n"
          "%y = reduce sum(c 4, r 3, s 3) %p[n, o, i, j, c, r, s]"
          " : f32[n 3, o 24, i 9, j 9]\noutput y %y");
}

int main(void)
{
    here("sm_80");
    mixed();
    target = target_find("sm_75"); /* no asynchronous copies */
    matmuls("f32", 3);
    tensor("sm_75", "f16");
    tensor("sm_80", "f16");
    tensor("sm_90a", "bf16");
    tensor("sm_80", "tf32");
    struct target few = *target_find("sm_80");
    few.sms = 1;
    target = &few;
    for (int t = 0; t < 4; t++)
        matmul("f32", 128, 40, 128, t & 1, t & 2);
    convolution(4, 4, 40, 14, 3, 1, 1);
    return test_done();
}
