/* Long sums: their error against f64, relative to the sum of magnitudes, for numbers of one sign,
 * of both, and all alike (of which a plain sum's errors add up), in machine code of CPUs and in the
 * interpreter for GPUs; short ones at the edges of blocks. */
#include "back/back.h"
#include "lower/lower.h"
#include "test.h"

struct machine {
    const struct target *target;
    struct back_jit *jit; /* NULL: a GPU's, for the interpreter */
};
static struct machine machine[3];
static uint32_t machines;

enum data { ONE_SIGN, MIXED, ALIKE, DATA_COUNT };
static const char *const data_name[] = {"of one sign", "of both signs", "alike"};

static uint64_t state;
static double number(enum data d)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    double u = (double)(state >> 40) * 0x1p-24;
    return d == ONE_SIGN ? u : d == MIXED ? 4 * u - 2 : (double)0.1f;
}

static void *aligned(size_t n)
{
    void *p = aligned_alloc(256, (n + 511) / 256 * 256);
    CHECK(p, "no memory");
    memset(p, 0xff, (n + 511) / 256 * 256);
    return p;
}

static struct ir_module *read_module(const char *what, const char *text, size_t n)
{
    struct diag *d = diag_new();
    struct ir_module *m = ir_read(d, diag_add_file(d, what, text, n));
    diag_print(d, stdout);
    CHECK(m, "the graph of %s", what);
    m->diag = NULL;
    diag_free(d);
    return m;
}

/* An input's numbers, by its name: the same in all graphs. */
static double *numbers(const struct ir_node *n, enum data d)
{
    double *v = xcalloc((size_t)ir_count(n) + 1, sizeof *v);
    state = hash_bytes(0, n->name, strlen(n->name));
    for (int64_t k = 0; k < ir_count(n); k++)
        v[k] = (double)(float)number(d);
    return v;
}

/* The graph's one output, in f64. */
static double *evaluate(const struct ir_graph *g, enum data d)
{
    struct ir_eval *e = ir_eval_new(g, false);
    double **given = xcalloc(g->nodes.n, sizeof *given);
    char *message;
    for (ir_id i = 1; i < g->nodes.n; i++) {
        if (ir_at(g, i)->op != IR_input)
            continue;
        given[i] = numbers(ir_at(g, i), d);
        ir_eval_input(e, ir_at(g, i)->name, given[i]);
    }
    test(ir_eval_run(e, &message));
    ir_id out = g->outputs.p[0].node;
    size_t bytes = (size_t)ir_count(ir_at(g, out)) * sizeof(double);
    double *v = memcpy(xmalloc(bytes), ir_eval_value(e, out), bytes);
    for (ir_id i = 1; i < g->nodes.n; i++)
        free(given[i]);
    free(given);
    ir_eval_free(e);
    return v;
}

static void launch(const struct machine *m, const struct low_launch *l, void **arg)
{
    char *message = NULL;
    struct lo_run r = {.buf = arg};
    struct nn_fault fault = {0};
    struct nn_args a = {.buf = arg, .fault = &fault};
    nn_kernel *fn;
    if (!m->jit) {
        bool ok = lo_interpret(l->kernel, &r);
        CHECK(ok, "%s: %s", l->kernel->name, r.message);
        return;
    }
    void *scratch = a.scratch = aligned(back_scratch(l->kernel));
    bool ok = back_jit_add(m->jit, &l->kernel, 1, &fn, &message);
    CHECK(ok, "%s: %s", l->kernel->name, message);
    for (uint32_t p = 0; p < l->kernel->phases.n; p++)
        fn(&a, (int32_t)p, 0, l->kernel->phases.p[p].chunks);
    free(scratch);
}

/* The same by the machine's kernels. */
static float *run(const struct machine *m, struct ir_graph *g, enum data d)
{
    struct fuse_plan *plan = fuse_graph(g, m->target, "greedy", FUSE_GEMM_OWN);
    struct low_launches *l = lower_plan(plan);
    void **buf = xcalloc(g->nodes.n, sizeof *buf);
    for (uint32_t i = 0; i < l->p.n; i++) {
        const struct low_launch *p = &l->p.p[i];
        void **arg = xcalloc(p->args.n, sizeof *arg);
        for (uint32_t k = 0; k < p->args.n; k++) {
            ir_id id = p->args.p[k].node;
            const struct ir_node *n = id ? ir_at(g, id) : NULL;
            if (id && !buf[id])
                buf[id] = aligned((size_t)ir_count(n) * sizeof(float));
            if (id && n->op == IR_input) {
                double *v = numbers(n, d);
                for (int64_t j = 0; j < ir_count(n); j++)
                    ((float *)buf[id])[j] = (float)v[j];
                free(v);
            }
            arg[k] = id ? buf[id] : aligned((size_t)p->args.p[k].bytes);
        }
        launch(m, p, arg);
        for (uint32_t k = 0; k < p->args.n; k++)
            if (!p->args.p[k].node)
                free(arg[k]);
        free(arg);
    }
    ir_id out = g->outputs.p[0].node;
    float *y = buf[out];
    buf[out] = NULL;
    for (ir_id i = 1; i < g->nodes.n; i++)
        free(buf[i]);
    free(buf);
    lower_free(l);
    fuse_free(plan);
    return y;
}

static void check_data(const char *what, const struct text *t, enum data d, double bound)
{
    struct ir_module *m = read_module(what, t->p, t->n);
    double *want = evaluate(m->graphs.p[0], d), *scale = evaluate(m->graphs.p[1], d);
    int64_t count = ir_count(ir_at(m->graphs.p[0], m->graphs.p[0]->outputs.p[0].node));
    ir_module_free(m);
    for (uint32_t k = 0; k < machines; k++) {
        m = read_module(what, t->p, t->n);
        float *y = run(&machine[k], m->graphs.p[0], d);
        double error = 0;
        for (int64_t i = 0; i < count; i++) {
            double x = fabs((double)y[i] - want[i]) / scale[i];
            error = x > error || x != x ? x : error;
        }
        test(error <= bound);
        if (!(error <= bound) || getenv("SUMS_SHOW"))
            printf("%s, %s, %s: %.2g\n", machine[k].target->name, what, data_name[d], error);
        free(y);
        ir_module_free(m);
    }
    free(want);
    free(scale);
}

/* The output of `sum` is wanted, that of `magnitudes` is what errors are compared with. `alike`:
 * the bound for numbers that are. */
static void check(const char *what, const char *body, const char *sum, const char *magnitudes,
                  double alike)
{
    struct text t = {0};
    text_printf(&t, "module m\ngraph g {\n%s%s}\ngraph m {\n%s%s}\n", body, sum, body, magnitudes);
    for (int d = 0; d < DATA_COUNT; d++)
        check_data(what, &t, (enum data)d, d == ALIKE ? alike : 1e-6);
    text_free(&t);
}

static const char *say(const char *fmt, ...) NNC_PRINTF(1, 2);
static const char *say(const char *fmt, ...)
{
    static char buf[4][1000];
    static int at;
    va_list ap;
    va_start(ap, fmt);
    at = (at + 1) % 4;
    vsnprintf(buf[at], sizeof buf[at], fmt, ap);
    va_end(ap);
    return buf[at];
}

/* Sums of x[a, n, b] over n; a or b of 0: no such axis. */
static void sums(int64_t a, int64_t n, int64_t b)
{
    const char *in = a && b ? "a, n, b" : a ? "a, n" : b ? "n, b" : "n";
    const char *out = a && b ? say("a %lld, b %lld", (long long)a, (long long)b)
                      : a    ? say("a %lld", (long long)a)
                      : b    ? say("b %lld", (long long)b)
                             : "";
    const char *dims = say("%s%s%s%sn %lld%s%s%s", a ? "a " : "",
                           a ? say("%lld", (long long)a) : "", a ? ", " : "", "", (long long)n,
                           b ? ", b " : "", b ? say("%lld", (long long)b) : "", "");
    char body[600], sum[600], mag[600], what[200], type[100];
    snprintf(type, sizeof type, "%s%s%s", *out ? "[" : "", out, *out ? "]" : "");
    snprintf(body, sizeof body, "%%1 = input x : f32[%s]\n", dims);
    snprintf(what, sizeof what, "sum over n of x[%s]", dims);
    snprintf(sum, sizeof sum, "%%2 = reduce sum(n %lld) %%1[%s] : f32%s\noutput y %%2\n",
             (long long)n, in, type);
    snprintf(
        mag, sizeof mag,
        "%%2 = abs %%1[%s] : f32[%s]\n%%3 = reduce sum(n %lld) %%2[%s] : f32%s\noutput y %%3\n", in,
        dims, (long long)n, in, type);
    check(what, body, sum, mag, 1e-6);
}

/* Sums of products, which runs of some hundred steps make. */
static void products(int64_t m, int64_t k, int64_t n, const char *a, const char *b)
{
    char body[800], what[100];
    snprintf(what, sizeof what, "matmul of a[%s], b[%s]: %lld, %lld, %lld", a, b, (long long)m,
             (long long)k, (long long)n);
    snprintf(body, sizeof body,
             "%%1 = input a : f32[x %lld, y %lld]\n%%2 = input b : f32[x %lld, y %lld]\n"
             "%%3 = mul %%1[%s] %%2[%s] : f32[i %lld, j %lld, k %lld] inline\n",
             (long long)(*a == 'i' ? m : k), (long long)(*a == 'i' ? k : m),
             (long long)(*b == 'j' ? n : k), (long long)(*b == 'j' ? k : n), a, b, (long long)m,
             (long long)n, (long long)k);
    const char *sum =
        say("%%4 = reduce sum(k %lld) %%3[i, j, k] : f32[i %lld, j %lld]\noutput y %%4\n",
            (long long)k, (long long)m, (long long)n);
    const char *mag =
        say("%%4 = abs %%3[i, j, k] : f32[i %lld, j %lld, k %lld] inline\n"
            "%%5 = reduce sum(k %lld) %%4[i, j, k] : f32[i %lld, j %lld]\n"
            "output y %%5\n",
            (long long)m, (long long)n, (long long)k, (long long)k, (long long)m, (long long)n);
    check(what, body, sum, mag, 5e-6);
}

/* A convolution's weight gradient: over images and their pixels. */
static void weight_gradient(int64_t images, int64_t size)
{
    char what[100];
    const char *body =
        say("%%1 = input x : f32[n %lld, c 3, h %lld, w %lld]\n"
            "%%2 = input g : f32[n %lld, o 8, h %lld, w %lld]\n"
            "%%3 = mul %%1[n, c, i + r - 1, j + s - 1] %%2[n, o, i, j] : "
            "f32[o 8, c 3, r 3, s 3, n %lld, i %lld, j %lld] inline\n",
            (long long)images, (long long)size, (long long)size, (long long)images, (long long)size,
            (long long)size, (long long)images, (long long)size, (long long)size);
    const char *sum = say("%%4 = reduce sum(n %lld, i %lld, j %lld) %%3[o, c, r, s, n, i, j] : "
                          "f32[o 8, c 3, r 3, s 3]\noutput y %%4\n",
                          (long long)images, (long long)size, (long long)size);
    const char *mag =
        say("%%4 = abs %%3[o, c, r, s, n, i, j] : f32[o 8, c 3, r 3, s 3, n %lld, i %lld, j %lld] "
            "inline\n%%5 = reduce sum(n %lld, i %lld, j %lld) %%4[o, c, r, s, n, i, j] : "
            "f32[o 8, c 3, r 3, s 3]\noutput y %%5\n",
            (long long)images, (long long)size, (long long)size, (long long)images, (long long)size,
            (long long)size);
    snprintf(what, sizeof what, "weight gradient over %lld images of %lld", (long long)images,
             (long long)size);
    check(what, body, sum, mag, 5e-6);
}

/* The mean of what follows from a sum of each row: a loss. */
static void loss(int64_t n, int64_t d)
{
    char body[800], what[100];
    snprintf(what, sizeof what, "loss over %lld rows of %lld", (long long)n, (long long)d);
    snprintf(body, sizeof body,
             "%%1 = input x : f32[n %lld, d %lld]\n%%2 = mul %%1[n, d] %%1[n, d] : f32[n %lld, d "
             "%lld]\n%%3 = reduce sum(d %lld) %%2[n, d] : f32[n %lld]\n%%4 = sqrt %%3[n] : f32[n "
             "%lld]\n",
             (long long)n, (long long)d, (long long)n, (long long)d, (long long)d, (long long)n,
             (long long)n);
    const char *sum = say("%%5 = reduce sum(n %lld) %%4[n] : f32\noutput y %%5\n", (long long)n);
    check(what, body, sum, sum, 1e-6);
}

static void running(int axis, int64_t a, int64_t n)
{
    char body[200], what[100];
    const char *sum = say("%%2 = cumsum %d %%1 : f32[a %lld, n %lld]\noutput y %%2\n", axis,
                          (long long)a, (long long)n);
    const char *mag =
        say("%%2 = abs %%1[a, n] : f32[a %lld, n %lld]\n%%3 = cumsum %d %%2 : f32[a %lld, n "
            "%lld]\noutput y %%3\n",
            (long long)a, (long long)n, axis, (long long)a, (long long)n);
    snprintf(what, sizeof what, "cumsum %d of %lld rows of %lld", axis, (long long)a, (long long)n);
    snprintf(body, sizeof body, "%%1 = input x : f32[a %lld, n %lld]\n", (long long)a,
             (long long)n);
    check(what, body, sum, mag, 1e-6);
}

int main(void)
{
    const char *const level[] = {"x86-64", "host", "sm_80"};
    for (size_t i = 0; i < COUNT(level); i++) {
        char *message = NULL;
        const struct target *t = target_find(level[i]);
        struct back_jit *jit = t->kind == TARGET_CPU ? back_jit_new(t, &message) : NULL;
        if (jit || t->kind == TARGET_GPU) /* x86-64 is not every machine's */
            machine[machines++] = (struct machine){t, jit};
        free(message);
    }
    sums(2, 1, 0);
    sums(2, 7, 0);
    sums(2, 1000, 0);
    sums(2, 4097, 0);
    sums(1, 70001, 0);
    sums(0, 70001, 0);
    sums(0, 20001, 3);
    sums(0, 5001, 40);
    sums(3, 3001, 10);
    sums(0, 3, 20001);
    loss(5001, 3);
    loss(500, 100);
    running(1, 2, 5001);
    running(0, 5001, 2);
    uint32_t all = machines;
    machines -= machine[machines - 1].jit == NULL; /* a GPU's tiles are slow to interpret */
    products(8, 4301, 8, "i, k", "j, k");
    products(8, 701, 8, "i, k", "k, j");
    products(8, 1101, 8, "k, i", "k, j");
    weight_gradient(3, 10);
    weight_gradient(20, 4);
    for (uint32_t k = 0; k < all; k++)
        back_jit_free(machine[k].jit);
    return test_done();
}
