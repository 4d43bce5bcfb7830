/* Sizes that a run chooses: each model is compiled once, at its bounds, and runs for many sizes;
 * the reference evaluator says what a graph of that very size gives. What lies beyond the sizes
 * (inputs, the arena, outputs) is poisoned before every run: NaN, or integers out of any range. */
#include "back/back.h"
#include "cuda/cuda.h"
#include "exec/private.h"
#include "front/front.h"
#include "pass/pass.h"
#include "program/program.h"
#include "test.h"

enum { MOST = 1 << 14 }; /* elements of an array */

/* ---- a model ---- */

struct world {
    struct diag *d;
    struct front *f;
    struct ir_module *m;
};

static void open_world(struct world *w, const char *model)
{
    static const char *const include[] = {TEST_SOURCE "/stdlib"};
    struct front_options o = {.include = include,
                              .include_count = 1,
                              .model = model,
                              .epochs = -1,
                              .steps = -1,
                              .seed = -1};
    w->d = diag_new();
    w->f = front_open(w->d, TEST_SOURCE "/tests/unit/sizes.nn", &o);
    w->m = ir_module_new(model, w->d);
}

static void close_world(struct world *w)
{
    ir_module_free(w->m);
    front_close(w->f);
    diag_free(w->d);
}

static double noise(uint64_t key, int64_t i)
{
    uint64_t x = (key * 0x9e3779b97f4a7c15u + (uint64_t)i + 1) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 29) * 0x94d049bb133111ebu;
    return (double)(x >> 40) * 0x1p-23 - 1;
}

static double element(const char *name, bool whole, int64_t i)
{
    double v = noise(hash_bytes(0, name, strlen(name)), i);
    return whole ? floor((v + 1) * 3.5) : v;
}

/* ---- the reference ---- */

struct values {
    uint32_t n;
    double *p[4];
    int64_t count[4];
};

static void evaluate(struct world *w, const struct front_dim *dim, size_t dims, struct values *out)
{
    struct front_dim fixed[4];
    for (size_t i = 0; i < dims; i++)
        fixed[i] = (struct front_dim){dim[i].name, dim[i].n, false, 0};
    struct ir_graph *g = front_build(w->f, w->m, FRONT_FORWARD, "forward", 0, fixed, dims);
    diag_print(w->d, stdout);
    test(g != NULL);
    if (!g)
        return;
    struct ir_eval *e = ir_eval_new(g, false);
    double *array[64] = {0};
    uint32_t n = 0;
    for (ir_id id = 1; id < g->nodes.n; id++) {
        const struct ir_node *x = ir_at(g, id);
        if (x->op != IR_input && x->op != IR_slot)
            continue;
        const char *name = x->op == IR_input ? x->name : w->m->slots.p[x->attr.i].name;
        double *p = array[n++] = xcalloc((size_t)ir_count(x) + 1, sizeof(double));
        for (int64_t i = 0; i < ir_count(x); i++)
            p[i] = (float)fabs(element(name, !nn_is_float(x->dtype), i) + 1e-3);
        if (x->op == IR_input)
            ir_eval_input(e, name, p);
        else
            ir_eval_slot(e, (uint32_t)x->attr.i, p);
    }
    char *message = NULL;
    test(ir_eval_run(e, &message));
    out->n = g->outputs.n;
    for (uint32_t k = 0; k < out->n; k++) {
        const struct ir_node *x = ir_at(g, g->outputs.p[k].node);
        out->count[k] = ir_count(x);
        out->p[k] = xcalloc((size_t)out->count[k] + 1, sizeof(double));
        memcpy(out->p[k], ir_eval_value(e, g->outputs.p[k].node),
               (size_t)out->count[k] * sizeof(double));
    }
    free(message);
    for (uint32_t i = 0; i < n; i++)
        free(array[i]);
    ir_eval_free(e);
}

/* ---- the compiled graph ---- */

struct compiled {
    struct world w;
    struct program *program;
    struct back_jit *jit;
    nn_kernel *kernel[64];
    struct text ptx;
    struct nn_code code;
    struct nn_device *device; /* the software GPU; NULL: the CPU */
    struct nn_image *image;
    struct nn_exec *e;
};

/* The software GPU: one for all; NULL: there is none, or LLVM makes no code for it. */
static struct nn_cuda *gpu;
static const struct target *gpu_target;

static void link_gpu(struct compiled *c, struct lo_kernel *const *kernels, size_t n)
{
    char *message = NULL;
    const char *symbol[COUNT(c->kernel)];
    struct nn_message m;
    back_symbols(kernels, n, symbol);
    for (size_t i = 0; i < n; i++)
        kernels[i]->name = symbol[i];
    c->image = program_image(c->program);
    test(back_emit(gpu_target, kernels, n, BACK_ASM, &c->ptx, &message));
    c->code = (struct nn_code){c->ptx.p, c->ptx.n, gpu_target->name, NULL};
    test(!nn_cuda_device(&c->device, gpu, 0, &m));
}

static void link_host(struct compiled *c, struct lo_kernel *const *kernels, size_t n)
{
    char *message = NULL;
    c->image = program_image(c->program);
    c->jit = back_jit_new(target_host(), &message);
    test(back_jit_add(c->jit, kernels, n, c->kernel, &message));
}

static bool compile(struct compiled *c, const char *model, const struct front_dim *dim, size_t dims,
                    const char *policy, const struct target *target)
{
    struct nn_message m;
    size_t n;
    open_world(&c->w, model);
    struct ir_graph *g = front_build(c->w.f, c->w.m, FRONT_FORWARD, "forward", 0, dim, dims);
    if (!g)
        return false;
    for (size_t i = 0; i < dims; i++) {
        char slot[40];
        snprintf(slot, sizeof slot, "dim.%s", dim[i].name);
        if (ir_slot_find(c->w.m, slot) != UINT32_MAX)
            vec_push(&g->sizes, ((struct ir_size){dim[i].name, ir_slot_find(c->w.m, slot) + 1, 0}));
    }
    pass_pipeline(g);
    struct fuse_plan *plan = fuse_graph(g, target, policy, FUSE_GEMM_OWN);
    c->program = program_new(c->w.m);
    program_for(c->program, target);
    program_add(c->program, g, NULL, lower_plan(plan));
    fuse_free(plan);
    struct lo_kernel *const *kernels = program_kernels(c->program, &n);
    test(n <= COUNT(c->kernel));
    (target == gpu_target ? link_gpu : link_host)(c, kernels, n);
    struct nn_exec_options o = {.device = c->device, .code = c->device ? &c->code : NULL};
    test(!nn_exec_open(&c->e, c->image, c->image->bytes, c->kernel, n, &o, &m));
    for (uint32_t k = 0; k < c->image->slot_count; k++) {
        const struct nn_slot_rec *s = nn_exec_slot_rec(c->e, (int)k);
        const char *name = nn_exec_text(c->e, s->name);
        for (int64_t i = 0; s->dtype == NN_f32 && i < (int64_t)s->bytes / 4; i++)
            ((float *)nn_exec_slot(c->e, (int)k))[i] = (float)fabs(element(name, false, i) + 1e-3);
        nn_exec_changed(c->e, (int)k);
    }
    return true;
}

static void close_compiled(struct compiled *c)
{
    nn_exec_close(c->e);
    nn_device_close(c->device);
    text_free(&c->ptx);
    back_jit_free(c->jit);
    free(c->image);
    program_free(c->program);
    close_world(&c->w);
}

/* The extents of a value in this run. */
static void extents(const struct compiled *c, const struct nn_value_rec *v, int64_t *n)
{
    const struct nn_extent_rec *x = nn_image_at(c->image, v->extents_at);
    for (uint32_t k = 0; k < v->rank; k++) {
        n[k] = v->dim[k];
        if (v->extents_at && x[k].slot)
            n[k] = nn_extent(&x[k], *(int64_t *)nn_exec_slot(c->e, (int)x[k].slot - 1));
    }
}

/* Where element i of the dense array lies; -1: behind its end. */
static int64_t place(const struct nn_value_rec *v, const int64_t *n, int64_t i)
{
    int64_t at = 0, stride = 1;
    for (uint32_t k = v->rank; k-- > 0;) {
        at += i % n[k] * stride;
        i /= n[k];
        stride *= v->dim[k];
    }
    return i ? -1 : at;
}

static void poison_bytes(struct compiled *c, void *at, size_t n)
{
    struct nn_message m;
    void *bytes = xcalloc(1, n + 1);
    memset(bytes, 0xff, n);
    if (c->device)
        test(!c->device->ops->write(c->device, at, bytes, n, &m));
    else
        memcpy(at, bytes, n);
    free(bytes);
}

static void poison(struct compiled *c)
{
    const struct nn_graph *g = &c->e->c.graph[0];
    poison_bytes(c, c->e->c.memory.arena, g->rec->arena_bytes);
    poison_bytes(c, g->output, g->output_bytes);
}

static bool run(struct compiled *c)
{
    static uint64_t room[4][MOST];
    const void *in[4];
    const struct nn_value_rec *v = nn_exec_inputs(c->e, 0);
    struct nn_message m = {""};
    for (uint32_t k = 0; k < nn_exec_graph_rec(c->e, 0)->input_count; k++) {
        int64_t n[NN_MAX_RANK], at;
        extents(c, &v[k], n);
        memset(room[k], 0xff, v[k].bytes);
        for (int64_t i = 0; (at = place(&v[k], n, i)) >= 0; i++) {
            double x = fabs(element(nn_exec_text(c->e, v[k].name), v[k].dtype != NN_f32, i) + 1e-3);
            if (v[k].dtype == NN_f32)
                ((float *)(void *)room[k])[at] = (float)x;
            else
                ((uint8_t *)room[k])[at] = (uint8_t)x;
        }
        in[k] = room[k];
    }
    poison(c);
    if (!nn_exec_run(c->e, 0, in, &m))
        return true;
    printf("%s\n", m.text);
    return false;
}

/* The largest difference, against the largest number. */
static double distance(const struct compiled *c, const struct values *want)
{
    const struct nn_value_rec *v = nn_exec_outputs(c->e, 0);
    double worst = 0;
    for (uint32_t k = 0; k < want->n; k++) {
        int64_t n[NN_MAX_RANK], count = 1;
        double size = 1e-6, most = 0;
        extents(c, &v[k], n);
        for (uint32_t i = 0; i < v[k].rank; i++)
            count *= n[i];
        if (count != want->count[k])
            return INFINITY;
        for (int64_t i = 0; i < count; i++) {
            const void *p = nn_exec_output(c->e, 0, (int)k);
            int64_t at = place(&v[k], n, i);
            double got = v[k].dtype == NN_i32 ? (double)((const int32_t *)p)[at]
                                              : (double)((const float *)p)[at];
            size = fmax(size, fabs(want->p[k][i]));
            most = got - want->p[k][i] == got - want->p[k][i]
                       ? fmax(most, fabs(got - want->p[k][i]))
                       : INFINITY;
        }
        worst = fmax(worst, most / size);
    }
    return worst;
}

static void check_on(const char *model, const char *a, int64_t na, const char *b, int64_t nb,
                     const char *policy, const struct target *target)
{
    struct front_dim dim[3] = {{a, na, true, 0}, {b, nb, true, 0}, {"batch", 2, true, 0}};
    bool batch = !strcmp(a, "batch") || (b && !strcmp(b, "batch"));
    size_t dims = !b ? 1 : batch ? 2 : 3;
    struct compiled c = {0};
    struct world w;
    open_world(&w, model);
    test(compile(&c, model, dim, dims, policy, target));
    diag_print(c.w.d, stdout);
    const int64_t size[][3] = {{1, 1, 1},  {na, nb, 2}, {1, nb, 2},
                               {na, 2, 1}, {2, 3, 2},   {3, nb - 1, 1}};
    for (size_t i = 0; c.e && i < COUNT(size); i++) {
        struct values want = {0};
        const struct nn_size_rec *z = nn_exec_sizes(c.e, 0);
        for (size_t k = 0; k < nn_exec_graph_rec(c.e, 0)->size_count; k++) {
            dim[k].n = size[i][k] < z[k].least ? z[k].least : size[i][k];
            nn_exec_set_i64(c.e, (int)z[k].slot - 1, dim[k].n);
        }
        evaluate(&w, dim, dims, &want);
        double d = run(&c) ? distance(&c, &want) : INFINITY;
        test(d < 3e-6);
        if (d >= 3e-6)
            printf("%s, policy %s, %s, %lld x %lld: %g\n", model, policy, target->name,
                   (long long)dim[0].n, (long long)(b ? dim[1].n : 0), d);
        for (uint32_t k = 0; k < want.n; k++)
            free(want.p[k]);
    }
    close_world(&w);
    close_compiled(&c);
}

static void check(const char *model, const char *a, int64_t na, const char *b, int64_t nb,
                  const char *policy)
{
    check_on(model, a, na, b, nb, policy, target_host());
    if (gpu)
        check_on(model, a, na, b, nb, policy, gpu_target);
}

/* What no bound can stand for is refused, with words in the message. */
static void refuses(const char *model, const char *a, int64_t na, const char *b, int64_t nb)
{
    struct front_dim dim[2] = {{a, na, true, 0}, {b, nb, true, 0}};
    struct compiled c = {0};
    test(!compile(&c, model, dim, 2, "greedy", target_host()));
    test(diag_errors(c.w.d) == 1);
    close_compiled(&c);
}

/* Threads' instructions of a run at this size. */
static double instructions(struct compiled *c, int64_t batch, int64_t seq)
{
    struct nn_cuda_work w;
    struct nn_message m;
    const struct nn_size_rec *z = nn_exec_sizes(c->e, 0);
    void *x = xcalloc(1, nn_exec_inputs(c->e, 0)->bytes);
    const void *in[1] = {x};
    double sum = 0;
    nn_exec_set_i64(c->e, (int)z[0].slot - 1, batch);
    nn_exec_set_i64(c->e, (int)z[1].slot - 1, seq);
    test(nn_cuda_count_work(gpu) && !nn_exec_run(c->e, 0, in, &m));
    for (size_t i = 0; nn_cuda_work(gpu, i, &w); i++)
        sum += (double)w.instructions;
    free(x);
    return sum;
}

/* A GPU's work goes with the sizes, whatever the kernels: so much of the whole at most. */
static void ends(void)
{
    static const struct {
        int64_t batch, seq;
        double most;
    } part[] = {{1, 256, 0.27}, {4, 32, 0.16}, {1, 1, 0.05}};
    struct front_dim dim[2] = {{"batch", 4, true, 0}, {"seq", 256, true, 0}};
    struct compiled c = {0};
    if (!gpu)
        return;
    test(compile(&c, "Long", dim, 2, "greedy", gpu_target));
    double all = instructions(&c, 4, 256);
    for (size_t i = 0; i < COUNT(part); i++) {
        double took = instructions(&c, part[i].batch, part[i].seq) / all;
        test(took > 0 && took < part[i].most);
        if (took >= part[i].most)
            printf("%lld x %lld takes %g of the whole\n", (long long)part[i].batch,
                   (long long)part[i].seq, took);
    }
    close_compiled(&c);
}

/* A damaged rule of what follows from the sizes is found; a rule brings values into its range. */
static void rules(void)
{
    struct front_dim dim[2] = {{"h", 4, true, 0}, {"w", 5, true, 0}};
    struct compiled c = {0};
    struct nn_message m;
    test(compile(&c, "Spots", dim, 2, "greedy", target_host()) && c.image->rule_count == 2);
    struct nn_rule_rec *r = (void *)((char *)c.image + c.image->rules_at), good = *r;
    const struct nn_rule_rec bad[] = {{.slot = c.image->slot_count, .op = NN_SIZE_SUM},
                                      {.slot = good.slot, .op = 9},
                                      {.slot = good.slot, .op = NN_SIZE_SUM, .left = 1},
                                      {.slot = 0, .op = NN_SIZE_SUM},
                                      {.slot = good.slot, .op = NN_SIZE_SUM, .most = 1ll << 40},
                                      {.slot = good.slot, .op = NN_SIZE_SUM, .left_n = 1ll << 40}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        *r = bad[i];
        test(nn_image_check(c.image, c.image->bytes, &m) == NN_REFUSED);
        test_text(m.text, "the image is damaged: rule of sizes 0");
    }
    *r = good;
    test(nn_image_check(c.image, c.image->bytes, &m) == NN_OK);
    const int64_t *product = nn_exec_slot(c.e, (int)r[0].slot), *sum = product;
    sum = nn_exec_slot(c.e, (int)r[1].slot);
    const struct nn_size_rec *z = nn_exec_sizes(c.e, 0);
    test(*product == 20 && *sum == 21); /* the largest */
    nn_exec_set_i64(c.e, (int)z[1].slot - 1, 3);
    test(*product == 12 && *sum == 13);
    nn_exec_set_i64(c.e, (int)z[0].slot - 1, 99);
    test(*product == 20 && *sum == 21);
    close_compiled(&c);
}

int main(void)
{
    static const char *const policies[] = {"greedy", "lean", "none"};
    struct nn_message m;
    gpu_target = target_find("sm_80");
    if (!back_knows(gpu_target) || nn_cuda_open(&gpu, &(struct nn_cuda_options){.sim = true}, &m))
        gpu = NULL;
    for (size_t i = 0; i < COUNT(policies); i++) {
        check("Gpt", "batch", 4, "seq", 12, policies[i]);
        check("Sums", "batch", 4, "seq", 9, policies[i]);
    }
    check("Mlp", "batch", 9, NULL, 0, "greedy");
    check("Conv", "batch", 5, NULL, 0, "greedy");
    check("Encoder", "batch", 3, "seq", 10, "greedy");
    check("Wave", "batch", 3, "n", 11, "greedy");
    check("Last", "batch", 3, "seq", 8, "greedy");
    check("Pairs", "m", 9, "n", 10, "greedy");
    check("Turned", "seq", 5, "batch", 20, "greedy");
    check("Long", "batch", 3, "seq", 72, "lean");
    check("Mixed", "batch", 3, "seq", 7, "greedy");
    check("Turns", "batch", 3, "seq", 8, "greedy");
    check("Tokens", "batch", 3, "seq", 7, "greedy");
    check("Unet", "h", 4, "w", 5, "greedy");
    check("Skew", "batch", 3, "seq", 6, "greedy");
    check("Spots", "h", 4, "w", 5, "greedy");
    check("Cache", "past", 6, "seq", 5, "greedy");
    rules();
    ends();
    refuses("Scaled", "batch", 3, "seq", 8);
    refuses("Best", "batch", 3, "seq", 8);
    refuses("Random", "batch", 3, "seq", 8);
    refuses("Gpt", "batch", 3, "seq", 13);
    refuses("Short", "batch", 3, "seq", 3);
    nn_cuda_close(gpu);
    return test_done();
}
