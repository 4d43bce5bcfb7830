/* Sizes that a run chooses: each model is compiled once, at its bounds, and runs for many sizes;
 * the reference evaluator says what a graph of that very size gives. What lies beyond the sizes
 * (inputs, the arena, outputs) is poisoned before every run: NaN, or integers out of any range. */
#include "back/back.h"
#include "exec/private.h"
#include "front/front.h"
#include "pass/pass.h"
#include "program/program.h"
#include "test.h"

#include <unistd.h>

enum { MOST = 4096 }; /* elements of an array */

static const char source[] =
    "use std\n"
    "model Mlp(x: f32[batch, 12]) -> f32[batch, 5] {\n"
    "  a = Linear(16)\n  b = Linear(5)\n  return b(relu(a(x)))\n}\n"
    "model Conv(x: f32[batch, 8, 8]) -> f32[batch, 3] {\n"
    "  c = Conv2d(4, 3, pad = 1)\n  n = BatchNorm()\n  l = Linear(3)\n"
    "  y = max_pool2d(relu(n(c(unsqueeze(x, 1)))), 2)\n  return l(flatten(y, 1))\n}\n"
    "model Gpt(t: u8[batch, seq]) -> f32[batch, seq, 7] {\n"
    "  e = Embedding(7, 8)\n  param pos: f32[12, 8] = normal(1)\n"
    "  n = LayerNorm()\n  w = Linear(24)\n  o = Linear(8)\n"
    "  x = e(t) + pos[:seq]\n"
    "  q, k, v = [split_heads(z, 2) for z in chunk(w(n(x)), 3, -1)]\n"
    "  x = x + o(join_heads(attention(q, k, v, causal = true)))\n  return x @ e.weight.T\n}\n"
    "model Encoder(t: u8[batch, seq]) -> f32[batch, 6] {\n" /* all keys count; pooled */
    "  e = Embedding(9, 8)\n  a = MultiHeadAttention(2)\n  l = Linear(6)\n"
    "  return l(mean(a(e(t)), 1))\n}\n"
    "model Sums(x: f32[batch, seq, 3]) -> (f32[seq, 3], f32[batch, 3], f32[batch], i32[batch, 3]) "
    "{\n"
    "  return mean(x, 0), var(x, 1) * sqrt(seq), max(x, (1, 2)) + batch, argmin(x, 1)\n}\n"
    "model Wave(x: f32[batch, 2, n]) -> f32[batch, 3, (n + 1)//2] {\n" /* borders move */
    "  c = Conv1d(4, 3, stride = 2, pad = 1)\n  d = Conv1d(3, 5, pad = 2)\n  return "
    "d(relu(c(x)))\n}\n"
    "model Last(x: f32[batch, seq, 4]) -> (f32[batch, 4], f32[batch, seq - 1, 4], f32[batch, seq + "
    "1, 4]) {\n"
    "  param first: f32[1, 1, 4] = 0\n"
    "  d = x[:, 1:] - x[:, :-1]\n"
    "  return x[:, -1], d, concat([expand(first, batch, 1, 4), cumsum(x, 1)], 1)\n}\n"
    "model Pairs(x: f32[m, 4], y: f32[n, 4]) -> f32[m, n] {\n"
    "  return [i, j: sum(k: (x[i, k] - y[j, k])**2) / (m + n)]\n}\n"
    "model Turned(x: f32[seq, 4, batch]) -> f32[batch, 4] = softmax(x, 0).transpose(0, 2)[:, :, "
    "0]\n"
    "model Mixed(x: f32[batch, seq, 2]) -> f32[batch*seq, 2] = x.reshape(batch*seq, 2)\n"
    "model Flip(x: f32[batch, seq]) -> f32[batch, seq] = flip(x, 1)\n"
    "model Short(x: f32[batch, seq]) -> f32[batch] = x[:, 3]\n";

/* ---- a model ---- */

struct world {
    char path[64];
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
    strcpy(w->path, "/tmp/nnc-sizes-XXXXXX.nn");
    int fd = mkstemps(w->path, 3);
    test(fd >= 0 && write(fd, source, sizeof source - 1) == (ssize_t)sizeof source - 1);
    close(fd);
    w->d = diag_new();
    w->f = front_open(w->d, w->path, &o);
    w->m = ir_module_new(model, w->d);
}

static void close_world(struct world *w)
{
    ir_module_free(w->m);
    front_close(w->f);
    diag_free(w->d);
    unlink(w->path);
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
        fixed[i] = (struct front_dim){dim[i].name, dim[i].n, false};
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
    struct nn_image *image;
    struct nn_exec *e;
};

static bool compile(struct compiled *c, const char *model, const struct front_dim *dim, size_t dims,
                    const char *policy)
{
    char *message = NULL;
    struct nn_message m;
    size_t n;
    open_world(&c->w, model);
    struct ir_graph *g = front_build(c->w.f, c->w.m, FRONT_FORWARD, "forward", 0, dim, dims);
    if (!g)
        return false;
    for (size_t i = 0; i < dims; i++) {
        char slot[40];
        snprintf(slot, sizeof slot, "dim.%s", dim[i].name);
        vec_push(&g->sizes, ((struct ir_size){dim[i].name, ir_slot_find(c->w.m, slot) + 1, 0}));
    }
    pass_pipeline(g);
    struct fuse_plan *plan = fuse_graph(g, target_host(), policy, FUSE_GEMM_OWN);
    c->program = program_new(c->w.m);
    program_for(c->program, target_host());
    program_add(c->program, g, NULL, lower_plan(plan));
    fuse_free(plan);
    struct lo_kernel *const *kernels = program_kernels(c->program, &n);
    c->image = program_image(c->program);
    c->jit = back_jit_new(target_host(), &message);
    test(n <= COUNT(c->kernel) && back_jit_add(c->jit, kernels, n, c->kernel, &message));
    test(!nn_exec_open(&c->e, c->image, c->image->bytes, c->kernel, n, NULL, &m));
    for (uint32_t k = 0; k < c->image->slot_count; k++) {
        const struct nn_slot_rec *s = nn_exec_slot_rec(c->e, (int)k);
        const char *name = nn_exec_text(c->e, s->name);
        for (int64_t i = 0; s->dtype == NN_f32 && i < (int64_t)s->bytes / 4; i++)
            ((float *)nn_exec_slot(c->e, (int)k))[i] = (float)fabs(element(name, false, i) + 1e-3);
    }
    return true;
}

static void close_compiled(struct compiled *c)
{
    nn_exec_close(c->e);
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

static void poison(struct compiled *c)
{
    const struct nn_graph *g = &c->e->c.graph[0];
    memset(c->e->c.memory.arena, 0xff, g->rec->arena_bytes);
    memset(g->output, 0xff, g->output_bytes);
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

static void check(const char *model, const char *a, int64_t na, const char *b, int64_t nb,
                  const char *policy)
{
    struct front_dim dim[2] = {{a, na, true}, {b, nb, true}};
    size_t dims = b ? 2 : 1;
    struct compiled c = {0};
    struct world w;
    open_world(&w, model);
    test(compile(&c, model, dim, dims, policy));
    diag_print(c.w.d, stdout);
    const int64_t pairs[][2] = {{1, 1}, {na, nb}, {1, nb}, {na, 2}, {2, 3}, {3, nb - 1}};
    for (size_t i = 0; c.e && i < COUNT(pairs); i++) {
        struct values want = {0};
        const struct nn_size_rec *z = nn_exec_sizes(c.e, 0);
        for (size_t k = 0; k < dims; k++) {
            dim[k].n = pairs[i][k] < z[k].least ? z[k].least : pairs[i][k];
            nn_exec_set_i64(c.e, (int)z[k].slot - 1, dim[k].n);
        }
        evaluate(&w, dim, dims, &want);
        double d = run(&c) ? distance(&c, &want) : INFINITY;
        test(d < 3e-6);
        if (d >= 3e-6)
            printf("%s, policy %s, %lld x %lld: %g\n", model, policy, (long long)dim[0].n,
                   (long long)(b ? dim[1].n : 0), d);
        for (uint32_t k = 0; k < want.n; k++)
            free(want.p[k]);
    }
    close_world(&w);
    close_compiled(&c);
}

/* What no bound can stand for is refused, with words in the message. */
static void refuses(const char *model, const char *a, int64_t na, const char *b, int64_t nb)
{
    struct front_dim dim[2] = {{a, na, true}, {b, nb, true}};
    struct compiled c = {0};
    test(!compile(&c, model, dim, 2, "greedy"));
    test(diag_errors(c.w.d) == 1);
    close_compiled(&c);
}

int main(void)
{
    static const char *const policies[] = {"greedy", "lean", "none"};
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
    refuses("Mixed", "batch", 3, "seq", 8);
    refuses("Flip", "batch", 3, "seq", 8);
    refuses("Gpt", "batch", 3, "seq", 13);
    refuses("Short", "batch", 3, "seq", 3);
    return test_done();
}
