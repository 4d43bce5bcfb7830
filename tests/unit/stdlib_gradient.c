/* The gradient of every layer, activation and loss of stdlib, against differences: a small model
 * around each, elaborated as `nnc grad` does, through the pipeline's passes, in f64 by the
 * evaluator. `shift` is a parameter added to the input, so that the gradient of the input is
 * checked too. */
#include "front/front.h"
#include "image.h"
#include "pass/pass.h"
#include "test.h"
#include <unistd.h>

struct sample {
    const char *dims; /* of one sample of x */
    const char *body; /* of the model; its value is the output */
    const char *loss; /* NULL: mean(out**3 + out) */
};

static const struct sample samples[] = {
    {"5", "return Linear(4)(x)", NULL},
    {"2, 5", "return Linear(4, bias = false)(x)", NULL},
    {"4, 9", "return Conv1d(6, 3, stride = 2, pad = 1, groups = 2)(x)", NULL},
    {"3, 7, 6", "return Conv2d(4, 3)(x)", NULL},
    {"3, 7, 6", "return Conv2d(4, 3, stride = 2, pad = 1)(x)", NULL},
    {"2, 9, 8", "return Conv2d(2, 3, dilation = 2, pad = 2)(x)", NULL},
    {"4, 5, 5", "return Conv2d(6, 3, pad = 1, groups = 2, bias = false)(x)", NULL},
    {"4, 5, 5", "return Conv2d(4, 3, pad = 1, groups = 4)(x)", NULL},
    {"3, 6, 6", "return Conv2d(4, 1, stride = 2)(x)", NULL},
    {"3, 4, 5", "return ConvTranspose2d(2, 3)(x)", NULL},
    {"3, 4, 3", "return ConvTranspose2d(2, 3, stride = 2, pad = 1, output_pad = 1)(x)", NULL},
    {"4, 3, 3", "return ConvTranspose2d(6, 4, stride = 2, pad = 1, groups = 2)(x)", NULL},
    {"2, 6, 7", "return MaxPool2d(2)(x)", NULL},
    {"2, 7, 7", "return MaxPool2d(3, stride = 2, pad = 1)(x)", NULL},
    {"2, 6, 7", "return AvgPool2d(2)(x)", NULL},
    {"2, 7, 7", "return AvgPool2d(3, stride = 2, pad = 1)(x)", NULL},
    {"2, 3, 2", "return upsample(x, 2)", NULL},
    {"4, 5", "return Dropout(0.4)(x)", NULL},
    {"4, 5", "return PReLU()(x)", NULL},
    {"3, 4, 2", "return BatchNorm()(x)", NULL},
    {"6", "return BatchNorm(affine = false)(x)", NULL},
    {"3, 6", "return LayerNorm()(x)", NULL},
    {"6, 4", "return GroupNorm(2)(x)", NULL},
    {"4, 3, 2", "return GroupNorm(4, affine = false)(x)", NULL},
    {"3, 6", "return RMSNorm()(x)", NULL},
    {"7", "return relu(x)", NULL},
    {"7", "return leaky_relu(x)", NULL},
    {"7", "return relu6(4 * x)", NULL},
    {"7", "return elu(x)", NULL},
    {"7", "return silu(x)", NULL},
    {"7", "return softplus(x)", NULL},
    {"7", "return log_sigmoid(x)", NULL},
    {"7", "return mish(x)", NULL},
    {"7", "return gelu(x)", NULL},
    {"7", "return gelu(x, tanh_form = true)", NULL},
    {"7", "return hardswish(4 * x)", NULL},
    {"7", "return hardsigmoid(4 * x)", NULL},
    {"3, 5", "return softmax(x)", NULL},
    {"3, 5", "return softmax(x, 1)", NULL},
    {"3, 5", "return log_softmax(x)", NULL},
    {"3, 5", "return normalize(x)", NULL},
    {"5, 4", "return MultiHeadAttention(2)(x)", NULL},
    {"5, 4", "return MultiHeadAttention(2, causal = true)(x)", NULL},
    {"5, 4", "return MultiHeadAttention(2, causal = true, drop = 0.3, bias = false)(x)", NULL},
    {"5, 4", "return CrossAttention(2)(x, x[:, 1:4])", NULL},
    {"3, 3", "return diagonal(x)", NULL},
    {"3, 3", "return trace(x)", NULL},
    {"3", "return outer(x[0], x[1])", NULL},
    {"2, 4, 5", "return random_flip(x)", NULL},
    {"2, 4, 5", "return random_crop(x, 1)", NULL},
    {"4", "e = Embedding(3, 4)\n  return e(i32(x > 0)) * unsqueeze(x, -1)", NULL},
    {"4",
     "e = Embedding(4, 5)\n  y = e(i32(x > 0))\n"
     "  return Linear(5)(x) @ e.weight.T + unsqueeze(mean(y, (1, 2)), 1)",
     NULL},
    {"5", "return x", "cross_entropy(out, label)"},
    {"5", "return x", "cross_entropy(out, label, smooth = 0.2)"},
    {"5", "return x", "cross_entropy(out, label, ignore = 1)"},
    {"3, 5", "return x", "cross_entropy(out, i32(x[:, :, 0] > 0))"},
    {"5", "return x", "mse(out, x)"},
    {"5", "return x", "l1(out, 0.1 * x)"},
    {"5", "return x", "huber(out, 0.1 * x)"},
    {"5", "return x", "smooth_l1(out, 0.1 * x, beta = 0.5)"},
    {"5", "return x", "bce_with_logits(out, sigmoid(x))"},
    {"5", "return sigmoid(x)", "bce(out, sigmoid(x))"},
    {"5", "return log_softmax(x)", "kl_div(out, softmax(x))"},
    {"4, 3",
     "checkpoint { x = relu(Linear(5)(x)) }\n  checkpoint { x = tanh(Linear(3)(x)) }\n  return x",
     NULL},
    {"2, 5, 4", "param k: f32[2, 3, 3] = 0\n  return depthwise(x, k)", NULL},
    {"2, 3, 4", "return bilinear(x, 5, 7)", NULL},
    {"6, 3", "return windowed(x, 3)", NULL},
    {"5", "return cubed(x) + cubed(cubed(x))", NULL},
    {"3", "p, q = both(x, 2 * x + 1)\n  return p * p + unsqueeze(q, 1)", NULL},
    {"3", "p, q = both(x, x * x)\n  return q", NULL},
    {"4, 3", "return distances(x)", NULL},
    {"6, 4", "return patches(x, 2) @ patches(x, 2).T", NULL},
    {"4, 4", "return [b < 2: sum(i < 4, j < 4: where(j < i, x[b, i, j] * x[b, j, i], 0))]", NULL},
    {"4", "return [b < 2, i < 4: sum(j < 4: where(j <= i, x[b, j]**2, 0))]", NULL},
    {"6", "return [b < 2, i < 3: max(j < 3: x[b, 2*i + j - 1])]", NULL},
    {"6", "return [b < 2, i < 6: prod(j < 3: x[b, i + j - 1])]", NULL},
    {"6", "return cumsum(x, 1)", NULL},
    {"6", "return concat([x[:, 3:], x[:, :3] * x[:, 1:4]], 1)", NULL},
    {"2, 3, 4", "return prod(x, 2) + max(x, 1)[:, :2] + logsumexp(x, (1, 2), keep = true)[:, 0]",
     NULL},
};

/* Index notation as a user writes it; every model has these. */
static const char functions[] =
    "fn depthwise(x: T[n, c, h, w], k: T[c, size, size]) -> T[n, c, h, w]\n"
    "  = [n, c, i, j: sum(r, s: x[n, c, i + r - size//2, j + s - size//2] * k[c, r, s])]\n"
    "fn bilinear(x: T[n, c, h, w], oh: int, ow: int) -> T[n, c, oh, ow] {\n"
    "  y = clamp([i < oh: (f32(i) + 0.5) * h / oh - 0.5], 0, h - 1)\n"
    "  u = clamp([j < ow: (f32(j) + 0.5) * w / ow - 0.5], 0, w - 1)\n"
    "  y0, x0 = i32(floor(y)), i32(floor(u))\n"
    "  y1, x1 = minimum(y0 + 1, h - 1), minimum(x0 + 1, w - 1)\n"
    "  fy, fx = T(y - floor(y)), T(u - floor(u))\n"
    "  return [n, c, i, j:\n"
    "    (1 - fy[i]) * ((1 - fx[j]) * x[n, c, y0[i], x0[j]] + fx[j] * x[n, c, y0[i], x1[j]]) +\n"
    "    fy[i] * ((1 - fx[j]) * x[n, c, y1[i], x0[j]] + fx[j] * x[n, c, y1[i], x1[j]])]\n}\n"
    "fn windowed(q: T[b, t, d], size: int) -> T[b, t, d] {\n"
    "  s = [b, i, w < size: where(i + w >= size - 1, sum(d: q[b, i, d] * q[b, i + w - size + 1, "
    "d]), -inf)]\n"
    "  p = softmax(s / sqrt(d))\n"
    "  return [b, i, e: sum(w: p[b, i, w] * q[b, i + w - size + 1, e])]\n}\n"
    "fn cubed(x: T[...s]) -> T[...s] = x * x * x\n"
    "  gradient (g) = 3 * g * x * x\n"
    "fn both(x: T[n, k], y: T[n, k]) -> (T[n, k], top: T[n]) = (x * y, sum(x, 1))\n"
    "  gradient (g, h) = (g * y + unsqueeze(h, 1), g * x)\n"
    "fn distances(a: T[b, n, d]) -> T[b, n, n] = [b, i, j: sum(k: (a[b, i, k] - a[b, j, k])**2)]\n"
    "fn patches(x: T[n, h, w], k: int) -> T[n, h // k, w // k, k*k]\n"
    "  = [n, i, j, q < k*k: x[n, i*k + q // k, j*k + q % k]]\n";

static double noise(uint64_t stream, int64_t i)
{
    return (double)ir_random_uniform(5, 6, stream, 0, (uint64_t)i);
}

static bool write_model(const struct sample *s, const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f)
        return false;
    fprintf(f,
            "use std\n%sdataset d {\n  x: f32[%s] from npy(\"x.npy\")\n  label: i32 from "
            "npy(\"y.npy\")\n}\n"
            "model M(x: f32[batch, %s]) {\n  param shift: f32[%s] = 0\n  x = x + shift\n  %s\n}\n"
            "train M on d {\n  batch = 2; epochs = 1; seed = 1\n  optimizer = SGD(0.1)\n"
            "  out = M(x)\n  loss = %s\n}\n",
            functions, s->dims, s->dims, s->dims, s->body,
            s->loss ? s->loss : "mean(out**3 + out)");
    return fclose(f) == 0;
}

static struct ir_graph *elaborate(struct diag *d, const struct sample *s, struct ir_module *m)
{
    char path[] = "/tmp/nnc-gradient-XXXXXX.nn";
    const char *const include[] = {TEST_SOURCE "/stdlib"};
    struct front_options o = {
        .include = include, .include_count = 1, .epochs = -1, .steps = -1, .seed = -1};
    struct ir_graph *g = NULL;
    int fd = mkstemps(path, 3);
    if (fd < 0)
        return NULL;
    close(fd);
    if (write_model(s, path)) {
        struct front *f = front_open(d, path, &o);
        if (f && front_check(f))
            g = front_build(f, m, FRONT_GRAD, "grad", 0, NULL, 0);
        front_close(f);
    }
    unlink(path);
    return g;
}

/* Arrays of the inputs and slots. */
struct world {
    struct ir_graph *g;
    uint32_t nslots, ninputs;
    double **slot, *input[4];
    const char *name[4];
};

static void fill(struct world *w)
{
    const struct ir_module *m = w->g->m;
    w->nslots = m->slots.n;
    w->slot = xcalloc(w->nslots, sizeof *w->slot);
    for (uint32_t k = 0; k < w->nslots; k++) {
        const struct ir_slot *s = &m->slots.p[k];
        int64_t n = 1;
        for (uint32_t i = 0; i < s->rank; i++)
            n *= s->dim[i];
        w->slot[k] = xcalloc((size_t)n, sizeof(double));
        for (int64_t i = 0; i < n; i++)
            w->slot[k][i] = nn_is_float(s->dtype) ? 0.2 + 0.9 * noise(k + 9, i) : 3;
        for (int64_t i = 0; i < n && s->kind == NN_SLOT_PARAM; i++)
            w->slot[k][i] = 1.4 * noise(k + 9, i) - 0.6;
    }
    for (ir_id id = 1; id < w->g->nodes.n; id++) {
        const struct ir_node *n = ir_at(w->g, id);
        if (n->op != IR_input)
            continue;
        double *v = xcalloc((size_t)ir_count(n), sizeof *v);
        for (int64_t i = 0; i < ir_count(n); i++)
            v[i] = nn_is_float(n->dtype) ? 2 * noise(w->ninputs, i) - 1 : (double)(i % 3);
        w->name[w->ninputs] = n->name;
        w->input[w->ninputs++] = v;
    }
}

static struct ir_eval *run(const struct world *w)
{
    struct ir_eval *e = ir_eval_new(w->g, false);
    char *message = NULL;
    for (uint32_t k = 0; k < w->nslots; k++)
        ir_eval_slot(e, k, w->slot[k]);
    for (uint32_t k = 0; k < w->ninputs; k++)
        ir_eval_input(e, w->name[k], w->input[k]);
    if (!ir_eval_run(e, &message)) {
        printf("%s\n", message);
        ir_eval_free(e);
        e = NULL;
    }
    free(message);
    return e;
}

static ir_id output(const struct ir_graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->outputs.n; i++)
        if (!strcmp(g->outputs.p[i].name, name))
            return g->outputs.p[i].node;
    return 0;
}

static double moved_loss(struct world *w, uint32_t slot, int64_t n, double h)
{
    for (int64_t i = 0; i < n; i++)
        w->slot[slot][i] += h * cos((double)(2 * i + slot));
    struct ir_eval *e = run(w);
    double v = e ? ir_eval_value(e, output(w->g, "loss"))[0] : (double)NAN;
    ir_eval_free(e);
    for (int64_t i = 0; i < n; i++)
        w->slot[slot][i] -= h * cos((double)(2 * i + slot));
    return v;
}

/* Along one direction for each parameter. */
static bool agrees(struct world *w)
{
    const struct ir_module *m = w->g->m;
    struct ir_eval *e = run(w);
    bool good = e != NULL;
    uint32_t checked = 0;
    for (uint32_t k = 0; k < w->nslots && good; k++) {
        char name[128];
        snprintf(name, sizeof name, "grad.%s", m->slots.p[k].name);
        ir_id id = output(w->g, name);
        if (m->slots.p[k].kind != NN_SLOT_PARAM || !id)
            continue;
        int64_t n = ir_count(ir_at(w->g, id));
        const double *d = ir_eval_value(e, id);
        double got = 0, h = 1e-5;
        for (int64_t i = 0; i < n; i++)
            got += d[i] * cos((double)(2 * i + k));
        double slope = (moved_loss(w, k, n, h) - moved_loss(w, k, n, -h)) / (2 * h);
        if (fabs(got - slope) > 1e-7 * (1 + fabs(slope))) {
            printf("%s: gradient %.10g, difference %.10g\n", name, got, slope);
            good = false;
        }
        checked++;
    }
    ir_eval_free(e);
    return good && checked;
}

static void check(const struct sample *s)
{
    static const char *const passes[] = {"cse",      "simplify", "gradient", "recompute",
                                         "cse",      "simplify", "dce",      "fold_moves",
                                         "simplify", "cse",      "dce"};
    struct diag *d = diag_new();
    struct ir_module *m = ir_module_new("model", d);
    struct world w = {.g = elaborate(d, s, m)};
    diag_print(d, stdout);
    for (size_t i = 0; i < COUNT(passes) && w.g; i++)
        pass_run(pass_find(passes[i]), w.g);
    bool good = w.g != NULL;
    if (good) {
        fill(&w);
        good = agrees(&w);
    }
    test(good);
    if (!good)
        printf("f32[%s]: %s; loss %s\n", s->dims, s->body,
               s->loss ? s->loss : "mean(out**3 + out)");
    for (uint32_t k = 0; k < w.nslots; k++)
        free(w.slot[k]);
    for (uint32_t k = 0; k < w.ninputs; k++)
        free(w.input[k]);
    free(w.slot);
    ir_module_free(m);
    diag_free(d);
}

int main(void)
{
    for (size_t i = 0; i < COUNT(samples); i++)
        check(&samples[i]);
    return test_done();
}
