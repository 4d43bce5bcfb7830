/* front: what a train block means, run by the reference evaluator beside the same computed by hand:
 * steps of an optimizer, gating by `every` and `accumulate`, clipping, metrics over uneven batches.
 */
#include "front/front.h"
#include "image.h"
#include "pass/pass.h"
#include "test.h"
#include <math.h>
#include <unistd.h>

struct machine {
    struct diag *d;
    struct front *f;
    struct ir_module *m;
    double *slot[64];
    double out[16];
};

static int64_t slot_count(const struct ir_slot *s)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < s->rank; i++)
        n *= s->dim[i];
    return n;
}

static bool try_machine(struct machine *x, const char *source)
{
    const char *include[] = {TEST_SOURCE "/stdlib"};
    struct front_options o = {
        .include = include, .include_count = 1, .epochs = -1, .steps = -1, .seed = -1};
    char path[] = "/tmp/nnc-train-XXXXXX.nn";
    int fd = mkstemps(path, 3);
    close(fd);
    test(!file_write_atomic(path, source, strlen(source)));
    memset(x, 0, sizeof *x);
    x->d = diag_new();
    x->f = front_open(x->d, path, &o);
    unlink(path);
    x->m = ir_module_new("test", x->d);
    return x->f && front_check(x->f);
}

static void open_machine(struct machine *x, const char *source)
{
    if (!try_machine(x, source)) {
        diag_print(x->d, stdout);
        test(false);
        exit(1);
    }
}

static void close_machine(struct machine *x)
{
    for (uint32_t i = 0; i < COUNT(x->slot); i++)
        free(x->slot[i]);
    ir_module_free(x->m);
    front_close(x->f);
    diag_free(x->d);
}

static struct ir_graph *graph(struct machine *x, enum front_graph which, const char *name,
                              int64_t batch)
{
    struct ir_graph *g = front_build(x->f, x->m, which, name, batch, NULL, 0);
    if (!g) {
        diag_print(x->d, stdout);
        test(false);
        exit(1);
    }
    pass_run(pass_find("gradient"), g);
    for (uint32_t s = 0; s < x->m->slots.n; s++)
        if (!x->slot[s]) {
            const struct ir_slot *slot = &x->m->slots.p[s];
            x->slot[s] = xcalloc((size_t)slot_count(slot), sizeof(double));
            for (int64_t k = 0; k < slot_count(slot); k++)
                x->slot[s][k] = slot->kind == NN_SLOT_ACC ? slot->identity : 0;
        }
    return g;
}

static double *slot(struct machine *x, const char *name)
{
    uint32_t s = ir_slot_find(x->m, name);
    if (s == UINT32_MAX) {
        printf("no slot %s\n", name);
        test(false);
        exit(1);
    }
    return x->slot[s];
}

static void run(struct machine *x, struct ir_graph *g, const double *xs, const double *ys)
{
    struct ir_eval *e = ir_eval_new(g, false);
    char *message = NULL;
    for (uint32_t i = 1; i < g->nodes.n; i++)
        if (ir_at(g, i)->op == IR_input)
            ir_eval_input(e, ir_at(g, i)->name, strcmp(ir_at(g, i)->name, "x") ? ys : xs);
    for (uint32_t s = 0; s < x->m->slots.n; s++)
        ir_eval_slot(e, s, x->slot[s]);
    test(ir_eval_run(e, &message));
    double *fresh[64];
    for (uint32_t u = 0; u < g->updates.n; u++) {
        size_t n = (size_t)slot_count(&x->m->slots.p[g->updates.p[u].slot]) * sizeof(double);
        fresh[u] = xmalloc(n);
        memcpy(fresh[u], ir_eval_value(e, g->updates.p[u].node), n);
    }
    for (uint32_t u = 0; u < g->updates.n; u++) {
        uint32_t s = g->updates.p[u].slot;
        free(x->slot[s]);
        x->slot[s] = fresh[u];
    }
    for (uint32_t o = 0; o < g->outputs.n && o < COUNT(x->out); o++)
        x->out[o] = *ir_eval_value(e, g->outputs.p[o].node);
    free(message);
    ir_eval_free(e);
}

/* y = w x + b on two samples: loss = mean((w x + b - y)²). */
#define HEAD                                                                                       \
    "use std\n"                                                                                    \
    "dataset d { x: f32 from npy(\"x.npy\")\n y: f32 from npy(\"y.npy\")\n test = 0.5 }\n"         \
    "model M(x: f32[n]) -> f32[n] {\n param w: f32 = 2\n param b: f32 = -1\n return w * x + b }\n" \
    "optimizer Plain(lr: float)(p, g, step) { state m = 0\n m = m + g\n return p - lr * g * step " \
    "}\n"

static const double XS[] = {1, 3, 2, 5}, YS[] = {4, 2, 0, 1};

static void gradients(double w, double b, const double *x, const double *y, int n, double *gw,
                      double *gb)
{
    *gw = *gb = 0;
    for (int i = 0; i < n; i++) {
        double r = 2 * (w * x[i] + b - y[i]) / n;
        *gw += r * x[i];
        *gb += r;
    }
}

static void steps(void)
{
    struct machine x;
    open_machine(&x, HEAD "train M on d { batch = 2\n steps = 9\n"
                          "nought = step * 0\n loss = mean((M(x) - y)**2) + nought\n "
                          "optimizer = Plain(0.1)\n optimizer[\"b\"] = none }\n");
    struct ir_graph *init = graph(&x, FRONT_INIT, "init", 0),
                    *step = graph(&x, FRONT_STEP, "step", 0);
    run(&x, init, NULL, NULL);
    test_near(*slot(&x, "w"), 2, 0);
    double gw, gb, w = 2, m = 0;
    for (int i = 1; i <= 3; i++) {
        gradients(w, -1, XS, YS, 2, &gw, &gb);
        run(&x, step, XS, YS);
        w -= 0.1 * gw * i;
        m += gw;
    }
    test_near(*slot(&x, "w"), w, 1e-9 * fabs(w));
    test_near(*slot(&x, "w.m"), m, 1e-9 * fabs(m));
    test_near(*slot(&x, "b"), -1, 0);
    test_near(*slot(&x, "step"), 3, 0);
    test_near(x.out[1], 0.1, 1e-7);
    close_machine(&x);
}

static void accumulation(void)
{
    struct machine x;
    open_machine(&x, HEAD "train M on d { batch = 2\n steps = 9\n accumulate = 2\n"
                          "loss = mean((M(x) - y)**2)\n optimizer = Plain(0.1) }\n");
    struct ir_graph *init = graph(&x, FRONT_INIT, "init", 0),
                    *step = graph(&x, FRONT_STEP, "step", 0);
    run(&x, init, NULL, NULL);
    double gw, gb;
    gradients(2, -1, XS, YS, 4, &gw, &gb);
    run(&x, step, XS, YS);
    test_near(*slot(&x, "w"), 2, 0);
    test_near(*slot(&x, "w.m"), 0, 0);
    run(&x, step, XS + 2, YS + 2);
    test_near(*slot(&x, "w"), 2 - 0.1 * gw, 1e-9);
    test_near(*slot(&x, "b"), -1 - 0.1 * gb, 1e-9);
    test_near(*slot(&x, "w.m"), gw, 1e-9);
    test_near(*slot(&x, "w.grad"), 0, 0);
    close_machine(&x);
}

static void clipping(void)
{
    struct machine x;
    open_machine(&x, HEAD "train M on d { batch = 2\n steps = 9\n clip = 0.5\n"
                          "loss = mean((M(x) - y)**2)\n optimizer = SGD(0.1) }\n");
    struct ir_graph *init = graph(&x, FRONT_INIT, "init", 0),
                    *step = graph(&x, FRONT_STEP, "step", 0);
    run(&x, init, NULL, NULL);
    double gw, gb;
    gradients(2, -1, XS, YS, 2, &gw, &gb);
    double scale = 0.5 / (sqrt(gw * gw + gb * gb) + 1e-6);
    test(scale < 1);
    run(&x, step, XS, YS);
    test_near(*slot(&x, "w"), 2 - 0.1 * gw * scale, 1e-8);
    close_machine(&x);
}

/* The mean of two batches' gradients is what is clipped, once they are all there. */
static void clipped_accumulation(void)
{
    struct machine x;
    open_machine(&x, HEAD "train M on d { batch = 2\n steps = 9\n clip = 0.5\n accumulate = 2\n"
                          "loss = mean((M(x) - y)**2)\n optimizer = Plain(0.1) }\n");
    struct ir_graph *init = graph(&x, FRONT_INIT, "init", 0),
                    *step = graph(&x, FRONT_STEP, "step", 0);
    run(&x, init, NULL, NULL);
    double gw, gb, whole, half, unused;
    gradients(2, -1, XS, YS, 2, &half, &unused);
    gradients(2, -1, XS, YS, 4, &gw, &gb);
    whole = sqrt(gw * gw + gb * gb);
    test(whole > 0.5);
    run(&x, step, XS, YS);
    test_near(*slot(&x, "w.grad"), half / 2, 1e-8);
    test_near(*slot(&x, "w"), 2, 0);
    run(&x, step, XS + 2, YS + 2);
    double mw = gw * 0.5 / (whole + 1e-6), mb = gb * 0.5 / (whole + 1e-6);
    test_near(*slot(&x, "w"), 2 - 0.1 * mw, 1e-8);
    test_near(*slot(&x, "b"), -1 - 0.1 * mb, 1e-8);
    test_near(*slot(&x, "w.m"), mw, 1e-8);
    test_near(*slot(&x, "w.grad"), 0, 0);
    close_machine(&x);
}

/* A trains each step; B every other one, and its loss sees the A just updated. */
static void two_losses(void)
{
    struct machine x;
    open_machine(&x, HEAD "model S(z: f32[n]) -> f32[n] { param k: f32 = 3\n return k * z }\n"
                          "train M, s = S on d { batch = 2\n steps = 9\n"
                          "loss[M] = mean((M(x) - y)**2)\n"
                          "loss[s, every = 2] = mean(s(M(x)))\n"
                          "optimizer = SGD(0.1)\n optimizer[s] = SGD(0.01) }\n");
    struct ir_graph *init = graph(&x, FRONT_INIT, "init", 0),
                    *step = graph(&x, FRONT_STEP, "step", 0);
    test_text(step->outputs.p[0].name, "loss.M");
    test_text(step->outputs.p[1].name, "loss.s");
    run(&x, init, NULL, NULL);
    double gw, gb, w = 2, b = -1;
    for (int i = 0; i < 2; i++) {
        gradients(w, b, XS, YS, 2, &gw, &gb);
        run(&x, step, XS, YS);
        w -= 0.1 * gw;
        b -= 0.1 * gb;
        test_near(*slot(&x, "M.w"), w, 1e-8);
        double mean = (w * 4 + 2 * b) / 2;
        test_near(x.out[1], 3 * mean, 1e-6);
        test_near(*slot(&x, "s.k"), i ? 3 - 0.01 * mean : 3, 1e-8);
    }
    close_machine(&x);
}

static void metrics(void)
{
    struct machine x;
    open_machine(&x, HEAD
                 "train M on d { batch = 3\n steps = 9\n p = M(x)\n"
                 "loss = mean((p - y)**2)\n"
                 "metric r2 = 1 - sum((p - y)**2) / (sum(y**2) - sum(y)**2 / sum(ones(batch)))\n"
                 "metric root = sqrt(loss)\n metric worst = max(abs(p - y))\n"
                 "metric n = sum(y) / batch\n optimizer = SGD(0.1) }\n");
    struct ir_graph *init = graph(&x, FRONT_INIT, "init", 0);
    struct ir_graph *full = graph(&x, FRONT_EVAL, "eval", 3),
                    *tail = graph(&x, FRONT_EVAL, "eval.tail", 1);
    struct ir_graph *end = graph(&x, FRONT_METRICS, "metrics", 0);
    run(&x, init, NULL, NULL);
    run(&x, full, XS, YS);
    run(&x, tail, XS + 3, YS + 3);
    run(&x, end, NULL, NULL);
    double se = 0, worst = 0, sy = 0, syy = 0;
    for (int i = 0; i < 4; i++) {
        double r = 2 * XS[i] - 1 - YS[i];
        se += r * r;
        worst = fmax(worst, fabs(r));
        sy += YS[i];
        syy += YS[i] * YS[i];
    }
    test_near(x.out[0], se / 4, 1e-9);
    test_near(x.out[1], 1 - se / (syy - sy * sy / 4), 1e-9);
    test_near(x.out[2], sqrt(se / 4), 1e-9);
    test_near(x.out[3], worst, 1e-9);
    test_near(x.out[4], sy / 4, 1e-9);
    close_machine(&x);
}

/* A bool as a metric is 1 or 0, over the whole split. */
static void bool_metrics(void)
{
    struct machine x;
    open_machine(&x, HEAD "train M on d { batch = 3\n steps = 9\n p = M(x)\n"
                          "loss = mean((p - y)**2)\n metric small = all(y < 4)\n"
                          "metric far = any(x > 4)\n metric good = loss < 1e6\n"
                          "metric fixed = batch < 2\n optimizer = SGD(0.1) }\n");
    struct ir_graph *init = graph(&x, FRONT_INIT, "init", 0);
    struct ir_graph *full = graph(&x, FRONT_EVAL, "eval", 3),
                    *tail = graph(&x, FRONT_EVAL, "eval.tail", 1);
    struct ir_graph *end = graph(&x, FRONT_METRICS, "metrics", 0);
    run(&x, init, NULL, NULL);
    run(&x, full, XS, YS);
    run(&x, tail, XS + 3, YS + 3);
    run(&x, end, NULL, NULL);
    test_near(x.out[1], 0, 0);
    test_near(x.out[2], 1, 0);
    test_near(x.out[3], 1, 0);
    test_near(x.out[4], 0, 0);
    close_machine(&x);
}

/* A variance and a logsumexp over batches of 3 and 1 are those of the 4 samples. */
static void exact_metrics(void)
{
    struct machine x;
    open_machine(&x, HEAD "train M on d { batch = 3\n steps = 9\n p = M(x)\n"
                          "loss = mean((p - y)**2)\n metric v = var(y)\n"
                          "metric l = logsumexp(100 * y)\n metric far = logsumexp(p, 0) - 1\n"
                          "metric root = sqrt(var(1e4 + 1e-2 * y)) * 1e2\n"
                          "metric none = logsumexp(y - inf)\n"
                          "metric each = sum(var(y.reshape(batch, 1), 0, keep = true))\n"
                          "optimizer = SGD(0.1) }\n");
    struct ir_graph *init = graph(&x, FRONT_INIT, "init", 0);
    struct ir_graph *full = graph(&x, FRONT_EVAL, "eval", 3),
                    *tail = graph(&x, FRONT_EVAL, "eval.tail.1", 1);
    struct ir_graph *end = graph(&x, FRONT_METRICS, "metrics", 0);
    run(&x, init, NULL, NULL);
    run(&x, full, XS, YS);
    run(&x, tail, XS + 3, YS + 3);
    run(&x, end, NULL, NULL);
    double mean = 0, var = 0, most = 0, l = 0, far = 0;
    for (int i = 0; i < 4; i++) {
        mean += YS[i] / 4;
        most = fmax(most, 100 * YS[i]);
        far += exp(2 * XS[i] - 1);
    }
    for (int i = 0; i < 4; i++) {
        var += (YS[i] - mean) * (YS[i] - mean) / 4;
        l += exp(100 * YS[i] - most);
    }
    test_near(x.out[1], var, 1e-12);
    test_near(x.out[2], log(l) + most, 1e-9);
    test_near(x.out[3], log(far) - 1, 1e-9);
    test_near(x.out[4], sqrt(var), 1e-6);
    test(isinf(x.out[5]) && x.out[5] < 0);
    test_near(x.out[6], var, 1e-12);
    close_machine(&x);
}

static bool builds_metric(const char *value, int batch)
{
    struct machine x;
    char source[1024];
    snprintf(source, sizeof source,
             HEAD "train M on d { batch = %d\n steps = 9\n loss = mean((M(x) - y)**2)\n"
                  "metric a = %s\n optimizer = SGD(0.1) }\n",
             batch, value);
    bool built = try_machine(&x, source);
    test(built == !diag_errors(x.d));
    test(built == (front_build(x.f, x.m, FRONT_EVAL, "eval", 0, NULL, 0) != NULL));
    close_machine(&x);
    return built;
}

/* A batch is not the split: what a metric adds up has to be of each sample by itself. */
static void whole_split(void)
{
    static const char *const refused[] = {
        "var(y - mean(y))",
        "logsumexp(y * var(y))",
        "mean(where(arange(batch) < 2, y, 0))",
        "mean([i: y[i] * i])",
        "mean([i: y[i] * arange(9)[i % 3]])",
        "sum(i < batch: y[i] * y[i + 1])",
        "sum(max(one_hot(i32(y), 6).reshape(6, batch), 1))",
        "sum(max([i, j < 4: y[i] * j].reshape(4, batch), 0))",
        "sum(max([i < batch * 4: [a, b < 4: y[a] + b][i // 4, i % 4]].reshape(4, batch), 0))",
        "sum(max([i < batch * 4: y[i % batch]].reshape(batch, 4), 1))",
        "mean((y - mean(y))**2)",
        "mean([i, j: y[i] * y[j]])",
        "sum(i, j: M(x)[i] * y[j])",
        "mean(cumsum(y, 0)**2)",
        "mean(flip(y, 0) * y)",
        "mean(y[0] * y)",
        "mean(y[1:] - y[:-1])",
        "sum(y / batch)",
    };
    static const char *const good[] = {
        "exp(loss)",
        "mean(y**2) - mean(y)**2",
        "max(y) - min(y)",
        "sum(y) / batch",
        "mean(y.reshape(batch, 1))",
        "mean(var(y.reshape(batch, 1), 1))",
        "mean(cumsum(y.reshape(batch, 1), 1) * flip(y.reshape(batch, 1), 1))",
        "mean([n, k < 2: y[n] * M(x)[n] + k])",
        "var(y) + var(M(x), 0)",
        "logsumexp(y) - log(sum(ones(batch)))",
        "sum(max([i, j < 4: y[i] * j].reshape(batch, 2, 2).reshape(batch * 2, 2), 1))",
        "sum(max([i < batch * 4: [a, b < 4: y[a] + b][i // 4, i % 4]].reshape(batch, 4), 1))",
        "sum(max([a, b < 4: y[a] + b].reshape(batch * 4)[::2].reshape(batch, 2), 1))",
    };
    for (int batch = 1; batch < 4; batch += 2) {
        for (size_t i = 0; i < COUNT(refused); i++)
            test_at(__FILE__, batch, !builds_metric(refused[i], batch), refused[i]);
        for (size_t i = 0; i < COUNT(good); i++)
            test_at(__FILE__, batch, builds_metric(good[i], batch), good[i]);
    }
}

/* Batch norm's statistics move in training only, and are the state after the step. */
static void states(void)
{
    struct machine x;
    open_machine(
        &x,
        "use std\ndataset d { x: f32[2] from npy(\"x.npy\")\n y: f32 from npy(\"y.npy\")\n test = "
        "0.5 }\n"
        "model M(x: f32[n, 2]) -> f32[n] { bn = BatchNorm()\n return sum(bn(x), 1) }\n"
        "train M on d { batch = 2\n steps = 3\n loss = mse(M(x), y)\n optimizer = Adam(0.1) }\n");
    struct ir_graph *init = graph(&x, FRONT_INIT, "init", 0),
                    *step = graph(&x, FRONT_STEP, "step", 0);
    struct ir_graph *eval = graph(&x, FRONT_EVAL, "eval", 0);
    run(&x, init, NULL, NULL);
    run(&x, step, XS, YS);
    test_near(slot(&x, "bn.running_mean")[0], 0.1 * 1.5, 1e-8);
    test_near(slot(&x, "bn.running_mean")[1], 0.1 * 4, 1e-8);
    test_near(slot(&x, "bn.running_var")[0], 0.9 + 0.1 * 0.5, 1e-8);
    test_near(*slot(&x, "bn.num_batches_tracked"), 1, 0);
    run(&x, eval, XS, YS);
    test_near(*slot(&x, "bn.num_batches_tracked"), 1, 0);
    close_machine(&x);
}

int main(void)
{
    steps();
    accumulation();
    clipping();
    clipped_accumulation();
    two_losses();
    metrics();
    bool_metrics();
    exact_metrics();
    whole_split();
    states();
    return test_done();
}
