/* From a graph's text to a running image: passes, fusion, lowering, memory plan, machine code,
 * context. Outputs and slots agree with the evaluator over several runs in a row, bit for bit
 * between one and three threads. What a kernel alone gives is tests/lower's business; here it is
 * the plan: what shares memory, the order of reads and updates in place, phases and joins. */
#include "program/program.h"
#include "back/back.h"
#include "common.h"
#include "exec/exec.h"
#include "pass/pass.h"
#include "test.h"

enum { RUNS = 3 };

static uint64_t state;
static double made_up(enum nn_dtype t, bool positive)
{
    double u = (double)(nn_mix(7, state++) >> 40) * 0x1p-24;
    if (t == NN_bool)
        return u < 0.5;
    if (!nn_is_float(t))
        return floor(u * 3);
    return (double)(float)(positive ? 0.1 + u : u * 4 - 2);
}

struct model {
    struct ir_module *m;
    struct program *p;
    struct nn_image *image;
    struct back_jit *jit;
    nn_kernel **kernel;
    double **slot; /* the reference's */
};

static void prepare(struct ir_graph *g)
{
    bool marks = false;
    for (ir_id i = 1; i < g->nodes.n; i++)
        marks |= ir_op_class(ir_at(g, i)->op) == IRC_MARK;
    if (marks)
        pass_run(pass_find("gradient"), g);
    pass_pipeline(g);
}

static void compile(struct model *x)
{
    char *message = NULL;
    size_t n;
    x->p = program_new(x->m);
    for (uint32_t i = 0; i < x->m->graphs.n; i++) {
        prepare(x->m->graphs.p[i]);
        struct fuse_plan *plan =
            fuse_graph(x->m->graphs.p[i], target_host(), "greedy", FUSE_GEMM_OWN);
        program_add(x->p, x->m->graphs.p[i], NULL, lower_plan(plan));
        fuse_free(plan);
    }
    struct lo_kernel *const *k = program_kernels(x->p, &n);
    x->kernel = xcalloc(n + 1, sizeof *x->kernel);
    x->jit = back_jit_new(target_host(), &message);
    test(x->jit && back_jit_add(x->jit, k, n, x->kernel, &message));
    x->image = program_image(x->p);
}

static int64_t slot_count(const struct ir_slot *s)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < s->rank; i++)
        n *= s->dim[i];
    return n;
}

static void reset(struct model *x, struct nn_exec **e, size_t n)
{
    state = 1;
    for (uint32_t i = 0; i < x->m->slots.n; i++) {
        const struct ir_slot *s = &x->m->slots.p[i];
        for (int64_t k = 0; k < slot_count(s); k++) {
            x->slot[i][k] = made_up(s->dtype, s->kind == NN_SLOT_OPT);
            for (size_t j = 0; j < n; j++)
                nn_set(s->dtype, nn_exec_slot(e[j], (int)i), (size_t)k, x->slot[i][k]);
        }
    }
}

/* Both have the same values, but for rounding on the scale of the largest. */
static int near_all(const char *name, enum nn_dtype t, const void *got, const double *want,
                    size_t n)
{
    double scale = 1e-30, bound = t == NN_f64 ? 1e-11 : t == NN_f32 ? 3e-5 : 2e-2;
    for (size_t i = 0; i < n; i++)
        scale = isfinite(want[i]) && fabs(want[i]) > scale ? fabs(want[i]) : scale;
    for (size_t i = 0; i < n; i++) {
        double g = nn_get(t, got, i);
        bool same = g == want[i] || (isnan(g) && isnan(want[i]));
        if (!same && !(nn_is_float(t) && fabs(g - want[i]) <= bound * scale)) {
            printf("%s[%zu] is %.9g, wanted %.9g\n", name, i, g, want[i]);
            return 0;
        }
    }
    return 1;
}

static void compare(struct model *x, struct nn_exec **e, const struct ir_graph *g, int graph,
                    struct ir_eval *ev)
{
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        const struct ir_node *n = ir_at(g, g->outputs.p[i].node);
        const void *a = nn_exec_output(e[0], graph, (int)i),
                   *b = nn_exec_output(e[1], graph, (int)i);
        size_t count = (size_t)ir_count(n);
        test(near_all(g->outputs.p[i].name, n->dtype, a, ir_eval_value(ev, g->outputs.p[i].node),
                      count));
        test(!memcmp(a, b, count * nn_dtype_size(n->dtype)));
    }
    for (uint32_t i = 0; i < g->updates.n; i++) {
        uint32_t s = g->updates.p[i].slot;
        memcpy(x->slot[s], ir_eval_value(ev, g->updates.p[i].node),
               (size_t)slot_count(&x->m->slots.p[s]) * sizeof(double));
    }
    for (uint32_t i = 0; i < x->m->slots.n; i++) {
        const struct ir_slot *s = &x->m->slots.p[i];
        const void *a = nn_exec_slot(e[0], (int)i), *b = nn_exec_slot(e[1], (int)i);
        test(near_all(s->name, s->dtype, a, x->slot[i], (size_t)slot_count(s)));
        test(!memcmp(a, b, (size_t)slot_count(s) * nn_dtype_size(s->dtype)));
        for (int64_t k = 0; k < slot_count(s); k++) /* the reference goes on from the same bits */
            x->slot[i][k] = nn_get(s->dtype, a, (size_t)k);
    }
}

/* One run of the graph on made-up inputs, in both contexts and in the evaluator. */
static void run_once(struct model *x, struct nn_exec **e, const struct ir_graph *g, int graph)
{
    struct nn_message m;
    char *message = NULL;
    uint32_t n = nn_exec_graph_rec(e[0], graph)->input_count;
    const struct nn_value_rec *v = nn_exec_inputs(e[0], graph);
    const void **in = xcalloc(n + 1, sizeof *in);
    double **given = xcalloc(n + 1, sizeof *given);
    struct ir_eval *ev = ir_eval_new(g, true);
    for (uint32_t i = 0; i < n; i++) {
        enum nn_dtype t = (enum nn_dtype)v[i].dtype;
        size_t count = v[i].bytes / nn_dtype_size(t);
        void *p = nn_alloc(NULL, v[i].bytes);
        in[i] = p;
        given[i] = xcalloc(count + 1, sizeof(double));
        for (size_t k = 0; k < count; k++) {
            nn_set(t, p, k, made_up(t, false));
            given[i][k] = nn_get(t, p, k);
        }
        ir_eval_input(ev, nn_exec_text(e[0], v[i].name), given[i]);
    }
    for (uint32_t i = 0; i < x->m->slots.n; i++)
        ir_eval_slot(ev, i, x->slot[i]);
    bool ran = ir_eval_run(ev, &message);
    for (int j = 0; j < 2; j++) {
        test(nn_exec_run(e[j], graph, in, &m) == (ran ? NN_OK : NN_REFUSED));
        test(ran || strstr(m.text, " is out of range"));
    }
    if (ran)
        compare(x, e, g, graph, ev);
    for (uint32_t i = 0; i < n; i++) {
        free(given[i]);
        nn_release(NULL, (void *)(uintptr_t)in[i], 0);
    }
    ir_eval_free(ev);
    free(message);
    free(given);
    free(in);
}

static void run_all(struct model *x)
{
    struct nn_message m;
    struct nn_pool *pool;
    struct nn_exec *e[2] = {NULL, NULL};
    test(nn_pool_open(&pool, 3, &m) == NN_OK);
    for (int j = 0; j < 2; j++) {
        struct nn_exec_options o = {.pool = j ? pool : NULL};
        if (nn_exec_open(&e[j], x->image, x->image->bytes, x->kernel, x->image->kernel_count, &o,
                         &m))
            printf("%s\n", m.text);
        test(e[j]);
    }
    x->slot = xcalloc(x->m->slots.n + 1, sizeof *x->slot);
    for (uint32_t i = 0; i < x->m->slots.n; i++)
        x->slot[i] = xcalloc((size_t)slot_count(&x->m->slots.p[i]) + 1, sizeof(double));
    for (uint32_t g = 0; e[0] && e[1] && g < x->m->graphs.n; g++) {
        reset(x, e, 2);
        for (int r = 0; r < RUNS; r++)
            run_once(x, e, x->m->graphs.p[g], (int)g);
    }
    for (uint32_t i = 0; i < x->m->slots.n; i++)
        free(x->slot[i]);
    free(x->slot);
    nn_exec_close(e[0]);
    nn_exec_close(e[1]);
    nn_pool_close(pool);
}

static void check_file(const char *name)
{
    char path[512];
    size_t n;
    struct diag *d = diag_new();
    snprintf(path, sizeof path, TEST_SOURCE "/tests/lower/%s.graph", name);
    char *text = file_read(path, 1 << 20, &n);
    struct model x = {.m = text ? ir_read(d, diag_add_file(d, name, text, n)) : NULL};
    int before = test_failures;
    test(x.m);
    if (x.m) {
        compile(&x);
        run_all(&x);
        back_jit_free(x.jit);
        free(x.image);
        free(x.kernel);
        program_free(x.p);
        ir_module_free(x.m);
    }
    if (test_failures > before)
        printf("in %s.graph\n", name);
    free(text);
    diag_free(d);
}

int main(void)
{
    static const char *const files[] = {"updates",       "mlp",     "lenet",   "gpt",
                                        "batch_norm",    "scatter", "sizes_0", "gather_trap",
                                        "cross_entropy", "cumsum"};
    for (size_t i = 0; i < COUNT(files); i++)
        check_file(files[i]);
    return test_done();
}
