/* front: what expressions mean. Each case is a model's result on x = [[0, 1, 2], [3, 4, 5]] and
 * i = [2, 0, 1, 2], computed by the reference evaluator, beside the numbers it must have. */
#include "front/front.h"
#include "test.h"
#include <math.h>
#include <unistd.h>

struct built {
    struct diag *d;
    struct front *f;
    struct ir_module *m;
    struct ir_graph *g;
};

static bool build(struct built *b, const char *source, enum front_graph which, const char *name)
{
    const char *include[] = {TEST_SOURCE "/stdlib"};
    struct front_options o = {
        .include = include, .include_count = 1, .epochs = -1, .steps = -1, .seed = -1};
    char path[] = "/tmp/nnc-front-XXXXXX.nn";
    int fd = mkstemps(path, 3);
    test(fd >= 0);
    close(fd);
    test(!file_write_atomic(path, source, strlen(source)));
    *b = (struct built){.d = diag_new()};
    b->f = front_open(b->d, path, &o);
    unlink(path);
    b->m = ir_module_new("test", b->d);
    b->g = b->f ? front_build(b->f, b->m, which, name, 0, NULL, 0) : NULL;
    if (diag_errors(b->d))
        diag_print(b->d, stdout);
    char *bad = b->g ? ir_verify(b->g) : NULL;
    if (bad)
        printf("%s: %s\n", source, bad);
    test(b->g && !bad);
    free(bad);
    return b->g != NULL;
}

static void drop(struct built *b)
{
    ir_module_free(b->m);
    front_close(b->f);
    diag_free(b->d);
}

static const double X[] = {0, 1, 2, 3, 4, 5}, I[] = {2, 0, 1, 2};

static void result_is(const char *decls, const char *body, uint32_t n, const double *wanted)
{
    struct built b;
    char source[4096];
    snprintf(source, sizeof source, "use std\n%s\nmodel M(x: f64[2, 3], i: i32[4]) { %s }\n", decls,
             body);
    if (build(&b, source, FRONT_FORWARD, "forward")) {
        struct ir_eval *e = ir_eval_new(b.g, false);
        char *message = NULL;
        ir_eval_input(e, "x", X);
        ir_eval_input(e, "i", I);
        static const double zeros[64];
        for (uint32_t s = 0; s < b.m->slots.n; s++)
            ir_eval_slot(e, s, zeros);
        test(ir_eval_run(e, &message));
        ir_id out = b.g->outputs.p[0].node;
        bool same = ir_count(ir_at(b.g, out)) == n;
        for (uint32_t k = 0; same && k < n; k++) {
            double v = ir_eval_value(e, out)[k];
            same = fabs(v - wanted[k]) <= 1e-6 || v == wanted[k];
        }
        test(same);
        if (!same) {
            printf("%s gives", body);
            for (int64_t k = 0; k < ir_count(ir_at(b.g, out)); k++)
                printf(" %g", ir_eval_value(e, out)[k]);
            printf("\n");
        }
        free(message);
        ir_eval_free(e);
    } else {
        printf("in: %s\n", body);
    }
    drop(&b);
}
#define IS(body, ...)                                                                              \
    result_is("", "return " body, COUNT(((double[]){__VA_ARGS__})), (double[]){__VA_ARGS__})
#define RUNS(decls, body, ...)                                                                     \
    result_is(decls, body, COUNT(((double[]){__VA_ARGS__})), (double[]){__VA_ARGS__})

static void type_is(const char *body, const char *wanted)
{
    struct built b;
    char source[4096];
    snprintf(
        source, sizeof source,
        "use std\nmodel M(x: f64[2, 3], i: i32[4], h: f16[4], u: u8[4], b: bool[4], l: i64[4]) {\n"
        "  return %s\n}\n",
        body);
    if (build(&b, source, FRONT_FORWARD, "forward")) {
        const struct ir_node *n = ir_at(b.g, b.g->outputs.p[0].node);
        struct text t = {0};
        text_printf(&t, "%s", nn_dtype_name((enum nn_dtype)n->dtype));
        for (uint32_t k = 0; k < ir_rank(n); k++)
            text_printf(&t, " %lld", (long long)ir_axes(n)[k].n);
        test_text(t.p, wanted);
        text_free(&t);
    }
    drop(&b);
}

/* Rule 6: what numbers, indices, bools and integers become beside each other. */
static void dtypes(void)
{
    type_is("h * 2", "f16 4");
    type_is("h / 2.5", "f16 4");
    type_is("h + [k < 4: k]", "f16 4");
    type_is("h + i", "f16 4");
    type_is("h * b", "f16 4");
    type_is("u + 1", "i32 4");
    type_is("u + u", "i32 4");
    type_is("i + l", "i64 4");
    type_is("b + b", "i32 4");
    type_is("u * 0.5", "f32 4");
    type_is("i / 2", "f32 4");
    type_is("l // 2", "i64 4");
    type_is("b + l", "i64 4");
    type_is("where(b, u, 0)", "u8 4");
    type_is("where(b, h, 0)", "f16 4");
    type_is("where(b, u, -1)", "i32 4");
    type_is("i == u", "bool 4");
    type_is("sum(b)", "i32");
    type_is("sum(u)", "i32");
    type_is("mean(u)", "f32");
    type_is("max(u)", "u8");
    type_is("argmax(h)", "i32");
    type_is("[k < 4: k]", "i32 4");
    type_is("[k < 4: h[k]]", "f16 4");
    type_is("sqrt(i)", "f32 4");
    type_is("x * random_uniform(3)", "f64 2 3");
    type_is("zeros(2, dtype = f16)", "f16 2");
    type_is("x * relu(random_uniform(3))", "f64 2 3");
    type_is("relu(random_uniform(3))", "f32 3");
    type_is("bf16(h)", "bf16 4");
    type_is("x.dtype(i)", "f64 4");
    type_is("x[:, 0] * sqrt(2)", "f64 2");
    type_is("exp(b)", "f32 4");
    type_is("clamp(u, 3, 9)", "i32 4");
    type_is("unsqueeze(x, -1)", "f64 2 3 1");
    type_is("flatten(x)", "f64 6");
}

static void operators(void)
{
    IS("x + 1", 1, 2, 3, 4, 5, 6);
    IS("2 - x[0]", 2, 1, 0);
    IS("x * [j < 3: j]", 0, 1, 4, 0, 4, 10);
    IS("-x[1] / 2", -1.5, -2, -2.5);
    IS("i // 2", 1, 0, 0, 1);
    IS("(i - 3) % 2", 1, 1, 0, 1);
    IS("i / 2", 1, 0, 0.5, 1);
    IS("x[1] ** 2", 9, 16, 25);
    IS("x[1] ** 0.5", sqrt(3), 2, sqrt(5));
    IS("2 ** x[0]", 1, 2, 4);
    IS("i32(x > 1 and x != 4)", 0, 0, 1, 1, 0, 1);
    IS("where(x > 2, x, -1)", -1, -1, -1, 3, 4, 5);
    IS("x @ x.T", 5, 14, 14, 50);
    IS("x @ x[0]", 5, 14);
    IS("x[1] @ x.T", 14, 50);
    IS("x[0] @ x[1]", 14);
    IS("x[:, 1] + 10 * x[:, -1]", 21, 54);
    IS("x[..., ::2]", 0, 2, 3, 5);
    IS("x[1:, 1:]", 4, 5);
    IS("x.shape[1] * x", 0, 3, 6, 9, 12, 15);
    IS("x |> sum(1) |> maximum(10)", 10, 12);
    IS("(7 // 2 + -7 // 2 + -7 % 4) * x[0, 1]", 0);
    IS("where(len(0..3) == 3, x[0], x[1])", 0, 1, 2);
}

static void reductions(void)
{
    IS("sum(x)", 15);
    IS("mean(x, 1)", 1, 4);
    IS("max(x, 0, keep = true)", 3, 4, 5);
    IS("argmax(x * [j < 3: where(j == 1, 9, 1)], -1)", 1, 1);
    IS("var(x, 1)", 2.0 / 3, 2.0 / 3);
    IS("prod(x + 1, (0, 1))", 720);
    IS("i32(any(x > 4, 1))", 0, 1);
    IS("i32(all(x < 5, 1))", 1, 0);
    IS("logsumexp(x, 1)", log(1 + exp(1) + exp(2)), 3 + log(1 + exp(1) + exp(2)));
    IS("logsumexp(x * 0 - inf, 1)", -INFINITY, -INFINITY);
    IS("cumsum(x, 1)", 0, 1, 3, 3, 7, 12);
    IS("sum(i == 2)", 2);
    IS("mean(i)", 1.25);
    IS("sum(mean(sum(x)))", 15);
    IS("argmax(max(x))", 0);
    IS("sum(x[:, 1:1], 1)", 0, 0);
    IS("max(x[:, 1:1], 1)", -INFINITY, -INFINITY);
    IS("prod(k < 3: 1 + x[0, k + 1])", 6);
    IS("[r < 2, k < 2: prod(d < 2: x[r, 1 + k + d])]", 2, 0, 20, 0);
    IS("prod(k < 4: where(k < 3, 1 + x[0, k], x[0, k]))", 0);
    IS("max(k < 4: -sum(d < 2: x[1, k + d - 1]))", -3);
}

static void moves(void)
{
    IS("x.reshape(3, -1)", 0, 1, 2, 3, 4, 5);
    IS("x.transpose(0, 1)", 0, 3, 1, 4, 2, 5);
    IS("x.T.flatten()", 0, 3, 1, 4, 2, 5);
    IS("concat([x[0], x[1, :2]])", 0, 1, 2, 3, 4);
    IS("stack([x[0], x[1]], 1)", 0, 3, 1, 4, 2, 5);
    IS("chunk(x, 3, 1)[2]", 2, 5);
    IS("split(x, [1, 2], 1)[1]", 1, 2, 4, 5);
    IS("flip(x, 1)", 2, 1, 0, 5, 4, 3);
    IS("roll(x, 1, 1)", 2, 0, 1, 5, 3, 4);
    IS("repeat(x[0], 2)", 0, 1, 2, 0, 1, 2);
    IS("pad(x[0], 1, value = 7)", 7, 0, 1, 2, 7);
    IS("tril(x)", 0, 0, 0, 3, 4, 0);
    IS("triu(x, 1)", 0, 1, 2, 0, 0, 5);
    IS("unsqueeze(x, 1).squeeze(1)[0]", 0, 1, 2);
    IS("x.permute(1, 0)[0]", 0, 3);
    IS("x[0].expand(2, 3)", 0, 1, 2, 0, 1, 2);
    IS("eye(2) * 3", 3, 0, 0, 3);
    IS("one_hot(i, 3)[1]", 1, 0, 0);
    IS("arange(2, 7, 2) + 0", 2, 4, 6);
    IS("full(2.5, 2)", 2.5, 2.5);
    IS("x[i[:2] // 2]", 3, 4, 5, 0, 1, 2);
}

static void notation(void)
{
    IS("[r, c: x[r, c] * 2]", 0, 2, 4, 6, 8, 10);
    IS("[c, r: x[r, c]]", 0, 3, 1, 4, 2, 5);
    IS("sum(r, c: x[r, c])", 15);
    IS("[r: sum(c: x[r, c] * x[0, c])]", 5, 14);
    IS("[r, s: sum(c: x[r, c] * x[s, c])]", 5, 14, 14, 50);
    IS("[k < 5: x[0, k - 1]]", 0, 0, 1, 2, 0);
    IS("[k < 3: max(d < 3: -x[1, k + d - 1])]", -3, -3, -4);
    IS("[k < 3: sum(d < 3: x[1, k + d - 1])]", 7, 12, 9);
    IS("[k < 4: x[0, k // 2]]", 0, 0, 1, 1);
    IS("[k < 4: x[k % 2, 0]]", 0, 3, 0, 3);
    IS("[k: x[0, i[k]]]", 2, 0, 1, 2);
    IS("[k: x[0, (i[k] + k) % 3]]", 2, 1, 0, 2);
    IS("[r, c: where(c <= r, x[r, c], 9)]", 0, 9, 9, 3, 4, 9);
    IS("argmin(r < 2, c: x[1 - r, c])", 3);
    IS("[r: logsumexp(c: x[r, c])]", log(1 + exp(1) + exp(2)), 3 + log(1 + exp(1) + exp(2)));
    IS("[r: mean(c: x[r, c])]", 1, 4);
    IS("[r < 2: sum(c < 3: f64(c) * r)]", 0, 3);
    IS("max(k < 5: where(k < 4, -x[1, k], -9))", -3);
    IS("[k < 2, c: [d: x[d, c]][k]]", 0, 1, 2, 3, 4, 5);
    RUNS("layer A(x: T[n, k]) -> T[n, k] { param w: T[k] = 2\nreturn x + 0 * w }",
         "a = A()\nreturn [k: k * a(x)[1, k]]", 0, 4, 10);
    RUNS("fn f(a: T[...s]) -> T[...s] = [...s: a[...s] + 1]", "return f(x)", 1, 2, 3, 4, 5, 6);
    RUNS("fn mm(a: T[...s, p, q], b: T[...s, q, r]) -> T[...s, p, r]"
         " = [...s, p, r: sum(q: a[...s, p, q] * b[...s, q, r])]",
         "return mm(x, x.T)", 5, 14, 14, 50);
    RUNS("fn pool(a: T[n, w], k: int) -> T[n, w // k] = [n, j: max(d < k: a[n, j*k + d])]",
         "return pool(x, 2)", 1, 4);
}

static void functions(void)
{
    RUNS("fn f(a: float = 2) -> T[...s] = a * ones(...s)", "y: f64[2] = f()\nreturn y", 2, 2);
    RUNS("fn f(x: T[n, 3*h]) -> int = h", "return x[0] * f(x)", 0, 1, 2);
    RUNS("fn f(x: T[...s], k: int = 1, m: int = k + 1) = x * m", "return f(x[0], k = 2)", 0, 3, 6);
    RUNS("", "a, b = chunk(x, 3, 1)[:2]\nreturn a + 10 * b", 10, 43);
    RUNS("", "y = x[0]\nfor k in 0..3 { y = y + k }\nreturn y", 3, 4, 5);
    RUNS("", "y = x[0]\nif x.shape[0] > 1 { z = y * 2 } else { z = y }\nreturn z", 0, 2, 4);
    RUNS("", "fs = [relu, f64] + [flatten]\nreturn fs(x - 4)", 0, 0, 0, 0, 0, 1);
    RUNS("fn f(x: T[...s]) -> bool = all(x < 3)", "b: bool = f(x[0])\nreturn where(b, x[0], x[1])",
         0, 1, 2);
    RUNS("fn f(x: T[...s]) -> (T[...s], bool) = (x, any(x > 9))",
         "y, b = f(x[0])\nreturn where(b, 1, y)", 0, 1, 2);
    RUNS("", "return sum([z for z in [x[0], x[1]]][1])", 12);
    RUNS("fn f(x: T[...s]) -> T[...s] = round(x)\n  gradient (g) = where(x > 1, g, 0)",
         "return f(x[0] / 4)", 0, 0, 0);
    RUNS("fn f(a: T[...s]) -> (T[...s], T) = (a + 1, sum(a))\n  gradient (g, h) = 7 * g + 5 * h",
         "y, z = f(x[0])\nreturn y + 10 * z", 31, 32, 33);
    RUNS("const h = [1, 2]\nconst k = len(h) + 1", "return x[0] * k", 0, 3, 6);
    RUNS("", "return softmax(x[0] * 0)", 1.0 / 3, 1.0 / 3, 1.0 / 3);
    RUNS("layer Twice(n: int)(x: T[...s]) -> T[...s] { return x * n }",
         "l = Twice(2)\nreturn x[0] |> l |> Twice(3)", 0, 6, 12);
    RUNS("layer Half(x: T[...s]) -> T[...s] { return x / 2 }", "return x[1] |> Half |> Half()",
         0.75, 1, 1.25);
    RUNS("layer A(inner: layer)(x: T[...s]) { return inner(inner(x)) }\nfn inc(x: T[...s]) = x + 1",
         "return A(inc)(x[0])", 2, 3, 4);
}

int main(void)
{
    dtypes();
    operators();
    reductions();
    moves();
    notation();
    functions();
    return test_done();
}
