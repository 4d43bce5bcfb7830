/* Runs a graph file's graphs: fused by each policy, raw and after the passes, lowered, then in the
 * interpreter (both orders of chunks) and as machine code (both orders), and compares every output
 * and update with the evaluator: floats within a bound of the largest magnitude, the rest exactly;
 * the second order must give the same bits. Inputs are made up from their names: `nan…` holds some
 * NaN, `tie…` few different values, `grid…` multiples of 1/4; integers are in [0, 3). */
#include "back/back.h"
#include "lower/lower.h"
#include "pass/pass.h"
#include "tool.h"
#include <math.h>
#include <time.h>

struct machine {
    const struct target *t;
    struct back_jit *jit;
    struct tool_gpu *gpu; /* of a GPU's target, in place of the interpreter and the jit */
};

/* ---- numbers ---- */

static uint64_t state;
static double unit(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 40) * 0x1p-24;
}

static double made_up(enum nn_dtype t, const char *name, bool positive)
{
    double u = unit();
    if (t == NN_bool)
        return u < 0.5;
    if (t == NN_u8)
        return strncmp(name, "tie", 3) ? floor(u * 200) : floor(u * 3);
    if (t == NN_i8)
        return floor(u * 7) - 3;
    if (!nn_is_float(t))
        return floor(u * 3);
    if (!strncmp(name, "nan", 3) && unit() < 0.05)
        return (double)NAN;
    if (!strncmp(name, "tie", 3))
        return floor(u * 4) - 2;
    if (!strncmp(name, "grid", 4))
        return floor(u * 25 - 12) / 4;
    return ir_round(t, positive ? 0.1 + u : u * 4 - 2);
}

static void put(enum nn_dtype t, void *p, int64_t i, double v)
{
    union lo_num x = nn_is_float(t) ? lo_num_from_f(t, v) : lo_num_from_i(t, (int64_t)v);
    memcpy((char *)p + (size_t)i * nn_dtype_size(t), &x, nn_dtype_size(t));
}

static double get(enum nn_dtype t, const void *p, int64_t i)
{
    union lo_num x = {0};
    memcpy(&x, (const char *)p + (size_t)i * nn_dtype_size(t), nn_dtype_size(t));
    return nn_is_float(t) ? lo_num_f(t, x) : (double)lo_num_i(t, x);
}

static void *aligned(size_t n)
{
    void *p = aligned_alloc(64, (n + 127) / 64 * 64);
    CHECK(p, "no memory");
    memset(p, 0xff, (n + 127) / 64 * 64);
    return p;
}

/* ---- one graph, one plan ---- */

struct run {
    struct ir_graph *g;
    double **given; /* of each input and slot node */
    struct low_launches *l;
    void **buf;  /* of each node: its bytes */
    void ***arg; /* of each launch: its arguments */
    struct nn_fault fault;
    char *message;
    double bound; /* of f32, relative to the largest magnitude */
};

static const char *given_name(const struct ir_graph *g, const struct ir_node *n)
{
    return n->op == IR_slot ? g->m->slots.p[n->attr.i].name : n->name;
}

static bool is_given(const struct ir_node *n) { return n->op == IR_input || n->op == IR_slot; }

static void make_up(struct run *r)
{
    state = 42;
    r->given = xcalloc(r->g->nodes.n, sizeof *r->given);
    for (ir_id i = 1; i < r->g->nodes.n; i++) {
        const struct ir_node *n = ir_at(r->g, i);
        if (!is_given(n))
            continue;
        bool positive = n->op == IR_slot && r->g->m->slots.p[n->attr.i].kind == NN_SLOT_OPT;
        state = hash_bytes(0, given_name(r->g, n), strlen(given_name(r->g, n)));
        r->given[i] = xcalloc((size_t)ir_count(n), sizeof(double));
        for (int64_t k = 0; k < ir_count(n); k++)
            r->given[i][k] = made_up(n->dtype, given_name(r->g, n), positive);
    }
}

static void give(struct run *r, struct ir_eval *e)
{
    for (ir_id i = 1; i < r->g->nodes.n; i++) {
        const struct ir_node *n = ir_at(r->g, i);
        if (n->op == IR_input)
            ir_eval_input(e, n->name, r->given[i]);
        else if (n->op == IR_slot)
            ir_eval_slot(e, (uint32_t)n->attr.i, r->given[i]);
    }
}

static size_t bytes_of(const struct ir_node *n)
{
    return (size_t)ir_count(n) * nn_dtype_size(n->dtype);
}

static void make_buffers(struct run *r)
{
    r->buf = xcalloc(r->g->nodes.n, sizeof *r->buf);
    r->arg = xcalloc(r->l->p.n, sizeof *r->arg);
    for (uint32_t i = 0; i < r->l->p.n; i++) {
        const struct low_launch *l = &r->l->p.p[i];
        r->arg[i] = xcalloc(l->args.n, sizeof **r->arg);
        for (uint32_t k = 0; k < l->args.n; k++) {
            ir_id node = l->args.p[k].node;
            if (node && !r->buf[node])
                r->buf[node] = aligned(bytes_of(ir_at(r->g, node)));
            r->arg[i][k] = node ? r->buf[node] : aligned((size_t)l->args.p[k].bytes);
        }
    }
}

static void free_buffers(struct run *r)
{
    for (uint32_t i = 0; i < r->l->p.n; i++) {
        for (uint32_t k = 0; k < r->l->p.p[i].args.n; k++)
            if (!r->l->p.p[i].args.p[k].node)
                free(r->arg[i][k]);
        free(r->arg[i]);
    }
    for (ir_id i = 1; i < r->g->nodes.n; i++)
        free(r->buf[i]);
    free(r->buf);
    free(r->arg);
}

/* Given values in, everything else poisoned. */
static void reset(struct run *r)
{
    r->fault = (struct nn_fault){0};
    for (ir_id i = 1; i < r->g->nodes.n; i++) {
        const struct ir_node *n = ir_at(r->g, i);
        if (!r->buf[i])
            continue;
        memset(r->buf[i], 0xff, bytes_of(n));
        for (int64_t k = 0; is_given(n) && k < ir_count(n); k++)
            put(n->dtype, r->buf[i], k, r->given[i][k]);
    }
}

static bool interpret(struct run *r, bool descending)
{
    reset(r);
    for (uint32_t i = 0; i < r->l->p.n; i++) {
        struct lo_run run = {.buf = r->arg[i], .descending = descending};
        if (!lo_interpret(r->l->p.p[i].kernel, &run)) {
            tool_complain("%s: %s\n", r->l->p.p[i].kernel->name, run.message ? run.message : "?");
            free(run.message);
            return false;
        }
        if (run.fault_code && !r->fault.code)
            r->fault = (struct nn_fault){run.fault_code, 0, run.fault_value};
    }
    return true;
}

static void call(struct run *r, uint32_t i, nn_kernel *fn, void *scratch, bool descending)
{
    const struct lo_kernel *k = r->l->p.p[i].kernel;
    struct nn_args a = {.buf = r->arg[i], .scratch = scratch, .fault = &r->fault};
    for (uint32_t p = 0; p < k->phases.n; p++) {
        int64_t n = k->phases.p[p].chunks;
        if (!descending)
            fn(&a, (int32_t)p, 0, n);
        for (int64_t c = n; descending && c-- > 0;)
            fn(&a, (int32_t)p, c, c + 1);
    }
}

static nn_kernel **compile(const struct machine *m, struct run *r)
{
    uint32_t n = r->l->p.n;
    char *message = NULL;
    struct lo_kernel **k = xcalloc(n, sizeof *k);
    nn_kernel **fn = xcalloc(n, sizeof *fn);
    for (uint32_t i = 0; i < n; i++)
        k[i] = r->l->p.p[i].kernel;
    if (n && !back_jit_add(m->jit, k, n, fn, &message)) {
        tool_complain("machine code: %s\n", message);
        free(message);
        free(fn);
        fn = NULL;
    }
    free(k);
    return fn;
}

static void *scratch_for(const struct run *r)
{
    uint64_t most = 64;
    for (uint32_t i = 0; i < r->l->p.n; i++) {
        uint64_t want = back_scratch(r->l->p.p[i].kernel);
        most = want > most ? want : most;
    }
    return aligned(most);
}

/* ---- comparing ---- */

static uint64_t hash_results(const struct run *r)
{
    uint64_t h = 0;
    for (uint32_t i = 0; i < r->g->outputs.n; i++) {
        ir_id id = r->g->outputs.p[i].node;
        h = hash_bytes(h, r->buf[id], bytes_of(ir_at(r->g, id)));
    }
    for (uint32_t i = 0; i < r->g->updates.n; i++) {
        ir_id id = r->g->updates.p[i].node;
        h = hash_bytes(h, r->buf[id], bytes_of(ir_at(r->g, id)));
    }
    return h;
}

/* `f32`: the bound of that type. */
static bool near(enum nn_dtype t, double f32, double got, double want, double scale)
{
    double eps = t == NN_f64 ? 1e-11 : t == NN_f32 ? f32 : t == NN_f16 ? 2e-2 : 1e-1;
    if (got == want || (got != got && want != want))
        return true;
    return nn_is_float(t) && fabs(got - want) <= eps * scale + eps * 0.05;
}

static int compare(const struct run *r, struct ir_eval *e, ir_id id, const char *name,
                   const char *where)
{
    const struct ir_node *n = ir_at(r->g, id);
    const double *want = ir_eval_value(e, id);
    double scale = 0;
    int64_t bad = 0, first = -1;
    for (int64_t k = 0; k < ir_count(n); k++)
        if (isfinite(want[k]) && fabs(want[k]) > scale)
            scale = fabs(want[k]);
    for (int64_t k = 0; k < ir_count(n); k++)
        if (!near(n->dtype, r->bound, get(n->dtype, r->buf[id], k), want[k], scale)) {
            first = first < 0 ? k : first;
            bad++;
        }
    if (bad)
        tool_complain("%s: %s: %lld of %lld differ, first at %lld: got %.9g, wanted %.9g\n", where,
                      name, (long long)bad, (long long)ir_count(n), (long long)first,
                      get(n->dtype, r->buf[id], first), want[first]);
    return bad != 0;
}

static int compare_all(const struct run *r, struct ir_eval *e, bool trapped, const char *where)
{
    int bad = 0;
    if (trapped || r->fault.code) {
        if (!trapped != !r->fault.code)
            tool_complain("%s: the evaluator %s, the kernels %s\n", where,
                          trapped ? "stopped" : "ran", r->fault.code ? "stopped" : "ran");
        return !trapped != !r->fault.code;
    }
    for (uint32_t i = 0; i < r->g->outputs.n; i++)
        bad += compare(r, e, r->g->outputs.p[i].node, r->g->outputs.p[i].name, where);
    for (uint32_t i = 0; i < r->g->updates.n; i++)
        bad += compare(r, e, r->g->updates.p[i].node,
                       r->g->m->slots.p[r->g->updates.p[i].slot].name, where);
    return bad;
}

/* `bits`: a hash of the results that the interpreter gave, to be met to the bit; 0: none to meet.
 */
static int run_machine(const struct machine *m, struct run *r, struct ir_eval *e, bool trapped,
                       const char *what, uint64_t bits)
{
    char where[96];
    nn_kernel **fn = compile(m, r);
    if (!fn)
        return 1;
    void *scratch = scratch_for(r);
    uint64_t hash[2];
    int bad = 0;
    for (int way = 0; way < 2; way++) {
        reset(r);
        for (uint32_t i = 0; i < r->l->p.n; i++)
            call(r, i, fn[i], scratch, way);
        snprintf(where, sizeof where, "%s, %s%s", what, m->t->name,
                 way ? ", chunks descending" : "");
        bad += compare_all(r, e, trapped, where);
        hash[way] = hash_results(r);
    }
    if (!trapped && hash[0] != hash[1]) {
        tool_complain("%s, %s: another order of chunks gives other bits\n", what, m->t->name);
        bad++;
    }
    if (!trapped && bits && hash[0] != bits) {
        tool_complain("%s, %s: other bits than the interpreter's\n", what, m->t->name);
        bad++;
    }
    free(scratch);
    free(fn);
    return bad;
}

static int run_interpreter(struct run *r, struct ir_eval *e, bool trapped, const char *what,
                           uint64_t *bits)
{
    uint64_t hash[2];
    int bad = 0;
    for (int way = 0; way < 2; way++) {
        char where[96];
        snprintf(where, sizeof where, "%s, interpreter%s", what, way ? ", descending" : "");
        if (!interpret(r, way))
            return bad + 1;
        bad += compare_all(r, e, trapped, where);
        hash[way] = hash_results(r);
    }
    if (!trapped && hash[0] != hash[1]) {
        tool_complain("%s, interpreter: another order of chunks gives other bits\n", what);
        bad++;
    }
    *bits = hash[0];
    return bad;
}

static bool computes_f64_maths(const struct ir_graph *g)
{
    for (ir_id i = 1; i < g->nodes.n; i++) {
        const struct ir_node *n = ir_at(g, i);
        if (n->dtype == NN_f64 &&
            (n->op == IR_exp || n->op == IR_log || n->op == IR_sin || n->op == IR_cos ||
             n->op == IR_tanh || n->op == IR_sigmoid || n->op == IR_erf || n->op == IR_pow))
            return true;
    }
    return false;
}

/* The software GPU, as it stands for every card of the target's level. */
static int run_gpu(const struct machine *m, struct run *r, struct ir_eval *e, bool trapped,
                   const char *what)
{
    char where[96];
    snprintf(where, sizeof where, "%s, %s", what, m->t->name);
    reset(r);
    if (computes_f64_maths(r->g)) /* what no GPU's target compiles */
        return 0;
    if (!tool_gpu_run(m->gpu, r->l, (void *const *const *)r->arg, &r->fault)) {
        tool_complain("%s: did not run\n", where);
        return 1;
    }
    return compare_all(r, e, trapped, where);
}

static bool has_marks(const struct ir_graph *g)
{
    for (ir_id i = 1; i < g->nodes.n; i++)
        if (ir_op_class(ir_at(g, i)->op) == IRC_MARK)
            return true;
    return false;
}

/* One contraction rounds to few bits what it is given, here as in the evaluator; the next one what
 * is not the same to the last bit, so that some of it is rounded the other way. */
static double bound_of(const struct ir_graph *g, const struct target *t)
{
    static const double few[] = {
        [IR_F32] = 1e-5, [IR_TF32] = 1e-3, [IR_BF16] = 1e-2, [IR_F16] = 1e-3};
    uint32_t reduces = 0;
    for (ir_id i = 1; i < g->nodes.n; i++)
        reduces += ir_at(g, i)->op == IR_reduce;
    bool exact = g->precision == IR_F32 || reduces < 2;
    return !exact ? few[g->precision] : t->kind == TARGET_GPU ? 1e-5 : 2e-5;
}

static int check_graph(const struct machine *m, size_t machines, struct ir_graph *g,
                       const char *policy, bool passes)
{
    char what[64], *message = NULL;
    snprintf(what, sizeof what, "%s, %s%s", g->name, policy, passes ? ", passes" : "");
    double bound[2] = {0};
    CHECK(machines <= COUNT(bound), "%zu machines", machines);
    for (size_t k = 0; k < machines; k++)
        bound[k] = bound_of(g, m[k].t);
    if (has_marks(g))
        pass_run(pass_find("gradient"), g);
    if (passes)
        pass_pipeline(g);
    pass_run(pass_find("anchor"), g);
    int bad = 0;
    for (size_t k = 0; k < machines; k++) {
        struct fuse_plan *plan = fuse_graph(g, m[k].t, policy, FUSE_GEMM_OWN);
        struct run r = {.g = g, .bound = bound[k]};
        uint64_t bits = 0;
        make_up(&r);
        struct ir_eval *e = ir_eval_new(g, true);
        give(&r, e);
        bool trapped = !ir_eval_run(e, &message);
        free(message);
        message = NULL;
        r.l = lower_plan(plan);
        make_buffers(&r);
        for (uint32_t i = 0; i < r.l->p.n && !m[k].gpu; i++) /* as back/ does, for the same bits */
            lo_expand_maths(r.l->p.p[i].kernel, m[k].t->fma);
        if (m[k].gpu)
            bad += run_gpu(&m[k], &r, e, trapped, what);
        else if (k == 0)
            bad += run_interpreter(&r, e, trapped, what, &bits);
        if (m[k].jit)
            bad += run_machine(&m[k], &r, e, trapped, what, k == 0 ? bits : 0);
        free_buffers(&r);
        lower_free(r.l);
        fuse_free(plan);
        ir_eval_free(e);
        for (ir_id i = 1; i < g->nodes.n; i++)
            free(r.given[i]);
        free(r.given);
    }
    return bad;
}

/* argv: the mode and a file. */
static int each_graph(int argc, char **argv, int (*fn)(struct ir_graph *g, void *), void *ctx)
{
    struct ir_module *m = argc >= 2 ? tool_read(argv[argc - 1]) : NULL;
    int bad = !m;
    for (uint32_t i = 0; m && i < m->graphs.n; i++)
        bad += fn(m->graphs.p[i], ctx);
    ir_module_free(m);
    return bad;
}

struct way {
    const struct machine *m;
    size_t machines;
    const char *policy;
    bool passes;
};

static int check_one(struct ir_graph *g, void *ctx)
{
    const struct way *w = ctx;
    return check_graph(w->m, w->machines, g, w->policy, w->passes);
}

/* The host and, where it is another, the least x86 level. 0: no machine code can be made. */
static size_t open_machines(struct machine m[2])
{
    char *message = NULL;
    m[0] = (struct machine){.t = target_host()};
    m[1] = (struct machine){.t = target_find("x86-64")};
    size_t n = m[1].t && m[0].t != m[1].t && !strncmp(m[0].t->name, "x86", 3) ? 2 : 1;
    for (size_t i = 0; i < n; i++) {
        m[i].jit = back_jit_new(m[i].t, &message);
        if (!m[i].jit) {
            tool_complain("%s\n", message);
            free(message);
            return 0;
        }
    }
    return n;
}

static void close_machines(struct machine *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        back_jit_free(m[i].jit);
}

/* `exec TARGET FILE`: the interpreter alone, for that target's loops. */
int mode_exec(int argc, char **argv)
{
    struct machine m[2] = {{.t = argc == 3 ? target_find(argv[1]) : NULL}};
    size_t machines = argc == 3 ? m[0].t != NULL : open_machines(m);
    int bad = !machines;
    for (int k = 0; k < 4 && machines; k++) {
        struct way w = {m, machines, k & 1 ? "lean" : "none", k & 2};
        bad += each_graph(argc, argv, check_one, &w);
    }
    close_machines(m, machines);
    char *complaints = tool_complaints();
    printf("%s", complaints);
    free(complaints);
    return bad != 0;
}

/* `gpu [TARGET] FILE`: the target's PTX on the software GPU. */
int mode_gpu(int argc, char **argv)
{
    struct machine m = {.t = target_find(argc == 3 ? argv[1] : "sm_80")};
    m.gpu = m.t && m.t->kind == TARGET_GPU ? tool_gpu_open(m.t) : NULL;
    int bad = !m.gpu;
    for (int k = 0; k < 4 && m.gpu; k++) {
        struct way w = {&m, 1, k & 1 ? "lean" : "none", k & 2};
        bad += each_graph(argc, argv, check_one, &w);
    }
    tool_gpu_close(m.gpu);
    char *complaints = tool_complaints();
    printf("%s", complaints);
    free(complaints);
    return bad != 0;
}

char *tool_execute(const struct ir_graph *g, const struct target *t, bool ptx)
{
    struct machine m[2] = {{.t = t, .gpu = ptx ? tool_gpu_open(t) : NULL}};
    size_t machines = ptx ? m[0].gpu != NULL : t ? 1 : open_machines(m);
    int bad = !machines;
    for (int k = 0; k < 4 && machines; k++) {
        struct ir_graph *c = tool_clone(g);
        pass_dce(c);
        bad += check_graph(m, machines, c, k & 1 ? "lean" : "none", k & 2);
        ir_graph_free(c);
    }
    if (!t)
        close_machines(m, machines);
    tool_gpu_close(ptx ? m[0].gpu : NULL);
    char *complaints = tool_complaints();
    if (bad)
        return complaints;
    free(complaints);
    return NULL;
}

/* ---- printing ---- */

static void prepare(struct ir_graph *g)
{
    if (has_marks(g)) {
        pass_run(pass_find("simplify"), g);
        pass_run(pass_find("gradient"), g);
    }
    pass_pipeline(g);
}

static int print_plan(struct ir_graph *g, void *ctx)
{
    prepare(g);
    struct text t = {0};
    struct fuse_plan *p = fuse_graph(g, ctx, "greedy", FUSE_GEMM_OWN);
    ir_print_graph(g, &t);
    fuse_print(p, &t);
    fputs(t.p, stdout);
    text_free(&t);
    fuse_free(p);
    return 0;
}

/* The target that the first word after the mode names, else another. */
static void *target_word(int argc, char **argv, const char *otherwise)
{
    const struct target *t = argc > 2 ? target_find(argv[1]) : NULL;
    return (void *)(uintptr_t)(t ? t : target_find(otherwise));
}

int mode_fuse(int argc, char **argv)
{
    return each_graph(argc, argv, print_plan, target_word(argc, argv, "x86-64-v4"));
}

/* The skeletons that argv names against those of the plan; a chain that streams is `stream`. */
struct wanted {
    const struct target *t;
    int n;
    char **name;
};

static int check_clusters(struct ir_graph *g, void *ctx)
{
    static const char *const name[] = {"map",     "row",    "column", "contract",
                                       "scatter", "prefix", "chain"};
    const struct wanted *w = ctx;
    prepare(g);
    struct fuse_plan *p = fuse_graph(g, w->t, "lean", FUSE_GEMM_OWN);
    bool same = (uint32_t)w->n == p->clusters.n;
    for (uint32_t i = 0; same && i < p->clusters.n; i++)
        same = !strcmp(w->name[i],
                       p->clusters.p[i].streams ? "stream" : name[p->clusters.p[i].skeleton]);
    if (!same) {
        struct text t = {0};
        fuse_print(p, &t);
        fputs(t.p, stdout);
        text_free(&t);
    }
    fuse_free(p);
    return !same;
}

int mode_clusters(int argc, char **argv)
{
    int named = argc > 2 && target_find(argv[1]);
    struct wanted w = {target_word(argc, argv, "x86-64-v4"), argc - 2 - named, argv + 1 + named};
    return each_graph(argc, argv, check_clusters, &w);
}

static int print_loops(struct ir_graph *g, void *ctx)
{
    prepare(g);
    struct fuse_plan *p = fuse_graph(g, ctx, "greedy", FUSE_GEMM_OWN);
    struct low_launches *l = lower_plan(p);
    for (uint32_t i = 0; i < l->p.n; i++) {
        struct text t = {0};
        lo_print(l->p.p[i].kernel, &t);
        fputs(t.p, stdout);
        text_free(&t);
    }
    lower_free(l);
    fuse_free(p);
    return 0;
}

int mode_loops(int argc, char **argv)
{
    return each_graph(argc, argv, print_loops, target_word(argc, argv, "host"));
}

/* ---- timing ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double best_time(struct run *r, uint32_t i, nn_kernel *fn, void *scratch)
{
    double best = 1e9, total = 0;
    for (int k = 0; k < 50 && (k < 3 || total < 0.3); k++) {
        double t = now();
        call(r, i, fn, scratch, false);
        t = now() - t;
        total += t;
        best = t < best ? t : best;
    }
    return best;
}

static int time_graph(struct ir_graph *g, void *ctx)
{
    const struct machine *m = ctx;
    prepare(g);
    struct run r = {.g = g};
    double begin = now();
    struct fuse_plan *p = fuse_graph(g, m->t, "greedy", FUSE_GEMM_OWN);
    double fused = now();
    r.l = lower_plan(p);
    double lowered = now(), sum = 0;
    nn_kernel **fn = compile(m, &r);
    double compiled = now();
    make_up(&r);
    make_buffers(&r);
    reset(&r);
    void *scratch = scratch_for(&r);
    printf("graph %s: %u launches; fuse %.0f ms, lower %.0f ms, compile %.0f ms\n", g->name,
           r.l->p.n, 1e3 * (fused - begin), 1e3 * (lowered - fused), 1e3 * (compiled - lowered));
    for (uint32_t i = 0; fn && i < r.l->p.n; i++) {
        const struct lo_kernel *k = r.l->p.p[i].kernel;
        double t = best_time(&r, i, fn[i], scratch);
        sum += t;
        printf("%9.1f us %7.1f GFLOP/s %7.1f GB/s %3lld chunks  %s\n", 1e6 * t, 1e-9 * k->flops / t,
               1e-9 * k->bytes / t, (long long)(k->phases.n ? k->phases.p[0].chunks : 0), k->name);
    }
    printf("%9.1f us, one thread, fault %d\n", 1e6 * sum, r.fault.code);
    free(fn);
    free(scratch);
    free_buffers(&r);
    lower_free(r.l);
    fuse_free(p);
    for (ir_id i = 1; i < g->nodes.n; i++)
        free(r.given[i]);
    free(r.given);
    return 0;
}

int mode_time(int argc, char **argv)
{
    char *message = NULL;
    struct machine m = {.t = target_host(), .jit = back_jit_new(target_host(), &message)};
    if (!m.jit) {
        printf("%s\n", message);
        return 1;
    }
    int bad = each_graph(argc, argv, time_graph, &m);
    back_jit_free(m.jit);
    return bad;
}
