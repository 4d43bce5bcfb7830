/* The contract skeleton: shapes of every class against the evaluator, exactly (small integers), in
 * machine code and, where small, in the interpreter; other orders of the chunks give the same bits.
 */
#include "back/back.h"
#include "contraction.h"
#include "test.h"

static const struct target *target;
static struct back_jit *jit;
static uint32_t by_tiles; /* kernels that transform filters and tiles (winograd.c) */

static uint64_t hash_outputs(const struct run *r)
{
    uint64_t h = 0;
    for (uint32_t i = 0; i < r->launch.args.n; i++) {
        const struct low_arg *a = &r->launch.args.p[i];
        if (!a->node || !a->write)
            continue;
        const struct ir_node *d = ir_at(r->g, a->node);
        h = hash_bytes(h, r->buf[i], (size_t)ir_count(d) * nn_dtype_size(d->dtype));
    }
    return h;
}

/* The compiled kernel, with buffers made anew: its chunks in one call, or one by one from the last.
 */
static void run_kernel(struct run *r, struct ir_eval *e, nn_kernel *fn, bool backwards)
{
    struct nn_fault fault = {0};
    make_buffers(r, e);
    struct nn_args args = {.buf = r->buf, .fault = &fault};
    void *scratch = args.scratch = poisoned(back_scratch(r->launch.kernel));
    for (uint32_t p = 0; p < r->launch.kernel->phases.n; p++) {
        int64_t n = r->launch.kernel->phases.p[p].chunks;
        if (!backwards)
            fn(&args, (int32_t)p, 0, n);
        for (int64_t c = n; backwards && c-- > 0;)
            fn(&args, (int32_t)p, c, c + 1);
    }
    free(scratch);
}

static void check_cluster(struct ir_graph *g, const struct fuse_plan *plan,
                          const struct fuse_cluster *c, struct ir_eval *e, bool interpret)
{
    struct run r = {.g = g};
    struct sk s;
    sk_begin(&s, plan, c, &r.launch);
    bool taken = sk_contract(&s);
    sk_end(&s);
    test(taken);
    if (!taken)
        return;
    for (uint32_t i = 1; i < r.launch.kernel->buffers.n; i++)
        by_tiles += !strcmp(r.launch.kernel->buffers.p[i].name, "filters");
    char *wrong = lo_verify(r.launch.kernel), *message = NULL;
    if (wrong)
        printf("%s\n", wrong);
    test(!wrong);
    free(wrong);
    if (interpret) {
        make_buffers(&r, e);
        struct lo_run run = {.buf = r.buf};
        test(lo_interpret(r.launch.kernel, &run));
        if (run.message)
            printf("%s: %s\n", r.launch.kernel->name, run.message);
        free(run.message);
        compare(&r, e, "interpreted");
        free_buffers(&r);
    }
    nn_kernel *fn;
    bool ok = back_jit_add(jit, &r.launch.kernel, 1, &fn, &message);
    test(ok);
    if (ok) {
        run_kernel(&r, e, fn, false);
        compare(&r, e, "compiled");
        uint64_t h = hash_outputs(&r);
        free_buffers(&r);
        run_kernel(&r, e, fn, true);
        test(hash_outputs(&r) == h);
        free_buffers(&r);
    } else {
        printf("%s\n", message);
        free(message);
    }
    lo_kernel_free(r.launch.kernel);
    vec_free(&r.launch.args);
}

/* A graph's body whose values follow from inputs by one contraction cluster. */
static void check(const char *body, bool interpret)
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
                check_cluster(g, plan, &plan->clusters.p[i], e, interpret);
            }
        test(contractions == 1); /* a border may be copied before it */
        if (contractions != 1) {
            struct text out = {0};
            fuse_print(plan, &out);
            printf("%s%s\n", t.p, out.p);
            text_free(&out);
        }
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

static void checkf(bool interpret, const char *fmt, ...) NNC_PRINTF(2, 3);
static void checkf(bool interpret, const char *fmt, ...)
{
    char body[2000];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(body, sizeof body, fmt, ap);
    va_end(ap);
    check(body, interpret);
}

/* y[i, j] = sum over k of a, b in the four layouts. */
static void matmul(int m, int k, int n, bool ta, bool tb)
{
    checkf((int64_t)m * k * n < 40000,
           "%%a = input a : f32[x %d, y %d]\n%%b = input b : f32[x %d, y %d]\n"
           "%%p = mul %%a[%s] %%b[%s] : f32[i %d, j %d, k %d] inline\n"
           "%%y = reduce sum(k %d) %%p[i, j, k] : f32[i %d, j %d]\noutput y %%y",
           ta ? k : m, ta ? m : k, tb ? n : k, tb ? k : n, ta ? "k, i" : "i, k",
           tb ? "j, k" : "k, j", m, n, k, k, m, n);
}

static void matmuls(size_t count)
{
    static const int size[][3] = {{13, 9, 21},  {48, 40, 64}, {5, 100, 16},
                                  {64, 70, 10}, {10, 33, 96}, {7, 8, 300},
                                  {300, 17, 8}, {33, 50, 47}, {270, 40, 9}};
    for (size_t i = 0; i < count && i < COUNT(size); i++)
        for (int t = 0; t < 4; t++)
            matmul(size[i][0], size[i][1], size[i][2], t & 1, t & 2);
}

/* Batch axes, rows of two axes, several folded axes. */
static void einsums(void)
{
    check("%a = input a : f32[b 3, h 2, i 9, d 8]\n%b = input b : f32[b 3, h 2, j 17, d 8]\n"
          "%p = mul %a[b, h, i, d] %b[b, h, j, d] : f32[b 3, h 2, i 9, j 17, d 8] inline\n"
          "%y = reduce sum(d 8) %p[b, h, i, j, d] : f32[b 3, h 2, i 9, j 17]\noutput y %y",
          true);
    check("%a = input a : f32[b 3, i 9, j 11]\n%b = input b : f32[b 3, j 11, d 24]\n"
          "%p = mul %a[b, i, j] %b[b, j, d] : f32[b 3, i 9, d 24, j 11] inline\n"
          "%y = reduce sum(j 11) %p[b, i, d, j] : f32[b 3, i 9, d 24]\noutput y %y",
          true);
    check("%a = input a : f32[b 5, t 7, k 19]\n%w = input w : f32[o 33, k 19]\n"
          "%p = mul %a[b, t, k] %w[o, k] : f32[b 5, t 7, o 33, k 19] inline\n"
          "%y = reduce sum(k 19) %p[b, t, o, k] : f32[b 5, t 7, o 33]\noutput y %y",
          true);
    check("%g = input g : f32[b 5, t 7, o 33]\n%x = input x : f32[b 5, t 7, k 19]\n"
          "%p = mul %g[b, t, o] %x[b, t, k] : f32[o 33, k 19, b 5, t 7] inline\n"
          "%y = reduce sum(b 5, t 7) %p[o, k, b, t] : f32[o 33, k 19]\noutput y %y",
          true);
}

/* A convolution with stride and padding, and the gradient of its input. */
static void convolution_ways(int n, int c, int o, int h, int r, int stride, int pad)
{
    int q = (h + 2 * pad - r) / stride + 1;
    bool small_one = n * c * o * q * q * r * r < 600000;
    checkf(
        small_one,
        "%%x = input x : f32[n %d, c %d, h %d, w %d]\n%%f = input f : f32[o %d, c %d, r %d, s %d]\n"
        "%%p = mul %%x[n, c, %d*i + r - %d, %d*j + s - %d] %%f[o, c, r, s]"
        " : f32[n %d, o %d, i %d, j %d, c %d, r %d, s %d] inline\n"
        "%%y = reduce sum(c %d, r %d, s %d) %%p[n, o, i, j, c, r, s]"
        " : f32[n %d, o %d, i %d, j %d]\noutput y %%y",
        n, c, h, h, o, c, r, r, stride, pad, stride, pad, n, o, q, q, c, r, r, c, r, r, n, o, q, q);
    checkf(
        small_one,
        "%%g = input g : f32[n %d, o %d, i %d, j %d]\n%%f = input f : f32[o %d, c %d, r %d, s %d]\n"
        "%%p = mul %%g[n, o, (h - r + %d)/%d, (w - s + %d)/%d] %%f[o, c, r, s]"
        " : f32[n %d, c %d, h %d, w %d, o %d, r %d, s %d] inline\n"
        "%%y = reduce sum(o %d, r %d, s %d) %%p[n, c, h, w, o, r, s]"
        " : f32[n %d, c %d, h %d, w %d]\noutput y %%y",
        n, o, q, q, o, c, r, r, pad, stride, pad, stride, n, c, h, h, o, r, r, o, r, r, n, c, h, h);
}

/* The same, and the gradient of its filters. */
static void convolution(int n, int c, int o, int h, int r, int stride, int pad)
{
    int q = (h + 2 * pad - r) / stride + 1;
    bool small_one = n * c * o * q * q * r * r < 120000;
    convolution_ways(n, c, o, h, r, stride, pad);
    checkf(
        small_one,
        "%%g = input g : f32[n %d, o %d, i %d, j %d]\n%%x = input x : f32[n %d, c %d, h %d, w %d]\n"
        "%%p = mul %%g[n, o, i, j] %%x[n, c, %d*i + r - %d, %d*j + s - %d]"
        " : f32[o %d, c %d, r %d, s %d, n %d, i %d, j %d] inline\n"
        "%%y = reduce sum(n %d, i %d, j %d) %%p[o, c, r, s, n, i, j]"
        " : f32[o %d, c %d, r %d, s %d]\noutput y %%y",
        n, o, q, q, n, c, h, h, stride, pad, stride, pad, o, c, r, r, n, q, q, n, q, q, o, c, r, r);
}

/* Windows of 3 by 3, stride 1, enough channels to pay for Winograd's transforms: images that fill
 * tiles and vectors or not, with an edge around them or not; several images; a short last tile of
 * rows. */
static void tiles(bool all)
{
    uint32_t before = by_tiles;
    check("%x = input x : f32[n 1, c 16, h 18, w 18]\n%f = input f : f32[o 18, c 16, r 3, s 3]\n"
          "%b = input b : f32[o 18]\n%z = input z : f32[n 1, o 18, i 16, j 16]\n"
          "%p = mul %x[n, c, i + r, j + s] %f[o, c, r, s]"
          " : f32[n 1, o 18, i 16, j 16, c 16, r 3, s 3] inline\n"
          "%q = reduce sum(c 16, r 3, s 3) %p[n, o, i, j, c, r, s] : f32[n 1, o 18, i 16, j 16]\n"
          "%t = add %q[n, o, i, j] %b[o] : f32[n 1, o 18, i 16, j 16]\n"
          "%u = add %t[n, o, i, j] %z[n, o, i, j] : f32[n 1, o 18, i 16, j 16]\n"
          "%e = const 0 : f32\n"
          "%y = max %u[n, o, i, j] %e[] : f32[n 1, o 18, i 16, j 16]\noutput y %y",
          true);
    test(by_tiles == before + 1);
    if (!all)
        return;
    convolution_ways(3, 16, 20, 8, 3, 1, 1);
    convolution_ways(1, 30, 34, 13, 3, 1, 1);
}

static void convolutions(bool all)
{
    convolution(2, 4, 5, 12, 5, 1, 0);
    convolution(2, 5, 8, 14, 3, 1, 1);
    convolution(17, 4, 6, 4, 3, 1, 1);  /* lanes over images */
    convolution(1, 12, 40, 4, 3, 1, 1); /* over both axes of one image */
    if (!all)
        return;
    convolution(2, 6, 14, 12, 5, 1, 0);
    convolution(3, 4, 6, 15, 3, 2, 1);
    convolution(1, 4, 9, 32, 3, 1, 1);
    convolution(2, 6, 7, 7, 3, 1, 1);
    convolution(2, 6, 7, 8, 4, 2, 1);
    convolution(10, 4, 5, 8, 3, 1, 1);
    convolution(10, 4, 6, 9, 3, 1, 0);
    convolution(16, 5, 8, 7, 3, 2, 1);
    convolution(19, 5, 10, 6, 2, 2, 0);
    convolution(1, 150, 26, 7, 3, 2, 1);
    convolution(2, 9, 30, 5, 3, 1, 0);
    convolution(1, 20, 30, 6, 1, 1, 0);
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
        "%y = max %t[i, j] %z[] : f32[i 33, j 20]\noutput y %y",
        true);
    check("%g = input g : f32[b 40, o 24]\n%v = input v : f32[b 40, o 24]\n"
          "%x = input x : f32[b 40, k 70]\n%z = const 0 : f32\n"
          "%c = gt %v[b, o] %z[] : bool[b 40, o 24]\n"
          "%m = select %c[b, o] %g[b, o] %z[] : f32[b 40, o 24]\n"
          "%p = mul %m[b, o] %x[b, k] : f32[o 24, k 70, b 40] inline\n"
          "%y = reduce sum(b 40) %p[o, k, b] : f32[o 24, k 70]\noutput y %y",
          true);
    check("%g = input g : f32[b 40, o 24]\n%v = input v : f32[b 40, o 24]\n"
          "%w = input w : f32[o 24, k 70]\n%r = input r : f32[b 40, k 70]\n%z = const 0 : f32\n"
          "%c = gt %v[b, o] %z[] : bool[b 40, o 24]\n"
          "%m = select %c[b, o] %g[b, o] %z[] : f32[b 40, o 24]\n"
          "%p = mul %m[b, o] %w[o, k] : f32[b 40, k 70, o 24] inline\n"
          "%q = reduce sum(o 24) %p[b, k, o] : f32[b 40, k 70]\n"
          "%y = add %q[b, k] %r[b, k] : f32[b 40, k 70]\noutput y %y",
          true);
}

static void dtypes(void)
{
    static const char *const name[] = {"f64", "f16", "bf16"};
    for (size_t i = 0; i < COUNT(name); i++) {
        const char *t = name[i];
        checkf(true,
               "%%a = input a : %s[i 19, k 21]\n%%b = input b : %s[j 13, k 21]\n"
               "%%p = mul %%a[i, k] %%b[j, k] : %s[i 19, j 13, k 21] inline\n"
               "%%y = reduce sum(k 21) %%p[i, j, k] : %s[i 19, j 13]\noutput y %%y",
               t, t, t, t);
    }
}

/* Every shape class once, on a level that this machine may not run: lowered, verified, made an
 * object. */
static void elsewhere(const char *name)
{
    static const char *const body[] = {
        "%a = input a : f32[i 70, k 300]\n%b = input b : f32[j 90, k 300]\n"
        "%p = mul %a[i, k] %b[j, k] : f32[i 70, j 90, k 300] inline\n"
        "%y = reduce sum(k 300) %p[i, j, k] : f32[i 70, j 90]",
        "%a = input a : f32[k 3000, i 70]\n%b = input b : f32[k 3000, j 90]\n"
        "%p = mul %a[k, i] %b[k, j] : f32[i 70, j 90, k 3000] inline\n"
        "%y = reduce sum(k 3000) %p[i, j, k] : f32[i 70, j 90]",
        "%x = input x : f32[n 33, c 24, h 7, w 7]\n%f = input f : f32[o 40, c 24, r 3, s 3]\n"
        "%p = mul %x[n, c, 2*i + r - 1, 2*j + s - 1] %f[o, c, r, s]"
        " : f32[n 33, o 40, i 4, j 4, c 24, r 3, s 3] inline\n"
        "%y = reduce sum(c 24, r 3, s 3) %p[n, o, i, j, c, r, s] : f32[n 33, o 40, i 4, j 4]",
        "%x = input x : f32[n 2, c 48, h 33, w 33]\n%f = input f : f32[o 50, c 48, r 3, s 3]\n"
        "%p = mul %x[n, c, i + r - 1, j + s - 1] %f[o, c, r, s]"
        " : f32[n 2, o 50, i 33, j 33, c 48, r 3, s 3] inline\n"
        "%y = reduce sum(c 48, r 3, s 3) %p[n, o, i, j, c, r, s] : f32[n 2, o 50, i 33, j 33]"};
    const struct target *t = target_find(name);
    for (size_t i = 0; i < COUNT(body); i++) {
        struct text source = {0}, object = {0};
        text_printf(&source, "graph g {\n%s\noutput y %%y\n}\n", body[i]);
        struct diag *d = diag_new();
        struct ir_module *m = ir_read(d, diag_add_file(d, "t", source.p, source.n));
        struct fuse_plan *plan = fuse_graph(m->graphs.p[0], t, "greedy", FUSE_GEMM_OWN);
        const struct fuse_cluster *c = &plan->clusters.p[plan->clusters.n - 1];
        struct low_launch l = {0};
        struct sk s;
        sk_begin(&s, plan, c, &l);
        test(sk_contract(&s));
        sk_end(&s);
        char *wrong = lo_verify(l.kernel), *message = NULL;
        test(!wrong);
        free(wrong);
        test(back_emit(t, &l.kernel, 1, BACK_OBJECT, &object, &message) && object.n > 500);
        free(message);
        lo_kernel_free(l.kernel);
        vec_free(&l.args);
        fuse_free(plan);
        ir_module_free(m);
        diag_free(d);
        text_free(&source);
        text_free(&object);
    }
}

/* On a level that this machine runs; `all` shapes, or some of each kind. */
static void here(const char *name, bool all)
{
    target = target_find(name);
    char *message = NULL;
    jit = back_jit_new(target, &message);
    test(jit != NULL);
    if (!jit) {
        printf("%s\n", message);
        free(message);
        return;
    }
    matmuls(all ? 9 : 3);
    einsums();
    convolutions(all);
    tiles(all);
    places();
    dtypes();
    back_jit_free(jit);
}

int main(void)
{
    here("host", true);
#if defined(__x86_64__)
    here("x86-64", false);
#endif
    elsewhere("x86-64-v4");
    elsewhere("aarch64");
    return test_done();
}
