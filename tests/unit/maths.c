/* loop: the transcendentals of f32 against libm in f64, in units of the last place, through the
 * compiled kernel of two levels (with fma and without) and the interpreter. Prints the figures. */
#include "back/back.h"
#include "cpu/pool.h"
#include "loop/loop.h"
#include "test.h"
#include "ulp.h"

enum { N = 4096 }; /* elements a call */

struct function {
    const char *name;
    double (*exact)(double);
    float lo, hi; /* of the samples; 0, 0: every exponent */
    double bound;
};
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static struct lo_kernel *kernel(const char *name, bool binary, int lanes)
{
    struct text t = {0};
    text_printf(&t,
                "kernel k(x f32[%d], z f32[%d], y f32[%d])\nphase 1 %%c {\n"
                "  for %%i = 0 .. %d step %d {\n    %%1 = load x[%%i] : f32x%d\n"
                "    %%2 = load z[%%i] : f32x%d\n    %%3 = %s %%1%s : f32x%d\n"
                "    store y[%%i] %%3\n  }\n}\n",
                N, N, N, N, lanes, lanes, lanes, name, binary ? " %2" : "", lanes);
    struct diag *d = diag_new();
    struct lo_kernel *k = lo_read(d, diag_add_file(d, "k", t.p, t.n));
    diag_print(d, stdout);
    diag_free(d);
    text_free(&t);
    return k;
}

struct worst {
    double ulp;
    float x, z, y;
};

static void note(struct worst *w, double u, float x, float z, float y)
{
    if (u > w->ulp)
        *w = (struct worst){u, x, z, y};
}

/* Runs the kernel on x, z; through `fn`, or interpreted where that is NULL. */
static void run(nn_kernel *fn, const struct lo_kernel *k, float *x, float *z, float *y)
{
    void *buf[] = {x, z, y};
    if (fn) {
        struct nn_fault fault = {0};
        struct nn_args args = {.buf = buf, .fault = &fault};
        uint64_t mode = nn_denormals_flush();
        fn(&args, 0, 0, 1);
        nn_denormals_restore(mode);
        return;
    }
    struct lo_run r = {.buf = buf};
    bool ok = lo_interpret(k, &r);
    test(ok);
    free(r.message);
}

static nn_kernel *compiled(struct back_jit *j, struct lo_kernel *k)
{
    nn_kernel *fn = NULL;
    char *message = NULL;
    test(back_jit_add(j, (struct lo_kernel *const[]){k}, 1, &fn, &message));
    if (message)
        printf("%s\n", message);
    free(message);
    return fn;
}

static double flushed(float x) { return fpclassify(x) == FP_SUBNORMAL ? copysign(0, x) : x; }

static void unary(const struct function *f, nn_kernel *fn, const struct lo_kernel *k,
                  uint64_t stride, struct worst *w)
{
    static float x[N], z[N], y[N];
    for (uint64_t u = 1; u < (uint64_t)1 << 32;) {
        int n = 0;
        for (; n < N && u < (uint64_t)1 << 32; u += stride) {
            float v = from_bits((uint32_t)u);
            if (f->lo == f->hi || (v >= f->lo && v <= f->hi))
                x[n++] = v;
        }
        for (int i = n; i < N; i++)
            x[i] = 1;
        run(fn, k, x, z, y);
        for (int i = 0; i < n; i++)
            note(w, ulps(y[i], f->exact(flushed(x[i]))), x[i], 0, y[i]);
    }
}

static const struct function functions[] = {
    {"exp", exp, 0, 0, 4},      {"exp", exp, -88, 89, 4},       {"log", log, 0, 0, 4},
    {"log", log, 0.5, 2, 4},    {"sin", sin, 0, 0, 4},          {"sin", sin, -40000, 40000, 4},
    {"cos", cos, 0, 0, 4},      {"cos", cos, -40000, 40000, 4}, {"tanh", tanh, 0, 0, 4},
    {"tanh", tanh, -10, 10, 4}, {"sigmoid", sigmoid, 0, 0, 4},  {"sigmoid", sigmoid, -88, 88, 4},
    {"erf", erf, 0, 0, 4},      {"erf", erf, -4.5, 4.5, 4},
};

static void accuracy(struct back_jit *j, const char *level)
{
    for (uint32_t i = 0; i < COUNT(functions); i++) {
        const struct function *f = &functions[i];
        struct lo_kernel *k = kernel(f->name, false, 8);
        struct worst w = {0};
        nn_kernel *fn = compiled(j, k);
        unary(f, fn, k, f->lo == f->hi ? 10007 : 4999, &w);
        test(w.ulp <= f->bound);
        printf("%-12s %-8s %s %5.2f ulp at %.9g (%a): %a\n", level, f->name,
               f->lo == f->hi ? "all " : "core", w.ulp, (double)w.x, (double)w.x, (double)w.y);
        lo_kernel_free(k);
    }
}

static void powers(struct back_jit *j, const char *level)
{
    static float x[N], z[N], y[N];
    struct lo_kernel *k = kernel("pow", true, 8);
    nn_kernel *fn = compiled(j, k);
    struct worst w = {0};
    uint64_t seed = 7;
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < N; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            x[i] = from_bits((uint32_t)(seed >> 32));
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            /* y so that the result is mostly finite, whole every fourth time */
            double size = 130 * ((double)(seed >> 40) * 0x1p-24 * 2 - 1) / log2(fabs((double)x[i]));
            z[i] = (float)(i % 4 ? size : rint(size));
        }
        run(fn, k, x, z, y);
        for (int i = 0; i < N; i++)
            note(&w, ulps(y[i], pow(flushed(x[i]), flushed(z[i]))), x[i], z[i], y[i]);
    }
    test(w.ulp <= 4);
    printf("%-12s pow           %5.2f ulp at %a, %a: %a\n", level, w.ulp, (double)w.x, (double)w.z,
           (double)w.y);
    lo_kernel_free(k);
}

static void expect(const char *name, float x, float z, float got, float want)
{
    bool ok = as_wanted(got, want, 4);
    test(ok);
    if (!ok)
        printf("%s(%g, %g) is %g, not %g\n", name, (double)x, (double)z, (double)got, (double)want);
}

/* Infinities, NaNs (with odd payloads), zeros and their signs: what C says; pow with all pairs. */
static void specials(struct back_jit *j)
{
    static float x[N], z[N], y[N];
    special_pairs(x, z);
    const char *const names[] = {"exp", "log", "sin", "cos", "tanh", "sigmoid", "erf", "pow"};
    double (*const exact[])(double) = {exp, log, sin, cos, tanh, sigmoid, erf};
    for (uint32_t f = 0; f < COUNT(names); f++) {
        struct lo_kernel *k = kernel(names[f], f == 7, 8);
        run(compiled(j, k), k, x, z, y);
        for (int i = 0; i < SPECIALS * SPECIALS; i += f == 7 ? 1 : SPECIALS)
            expect(names[f], x[i], z[i], y[i],
                   (float)(f == 7 ? pow((double)x[i], (double)z[i]) : exact[f]((double)x[i])));
        lo_kernel_free(k);
    }
}

/* Exponents that are constants take other ways, with the same special cases. */
static void constant_powers(struct back_jit *j)
{
    static float x[N], z[N], y[N];
    const char *const exponents[] = {"0", "1", "2", "3", "4", "-1", "0.5", "-0.5", "2.5"};
    const float v[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1, -1, 0.7f, -3, 1e9f, 3e-9f};
    memcpy(x, v, sizeof v);
    for (uint32_t e = 0; e < COUNT(exponents); e++) {
        struct text t = {0};
        text_printf(&t,
                    "kernel k(x f32[8], z f32[8], y f32[8])\nphase 1 %%c {\n"
                    "%%1 = load x[0] : f32x8\n%%2 = const %s : f32x8\n%%3 = pow %%1 %%2 : f32x8\n"
                    "store y[0] %%3\n}\n",
                    exponents[e]);
        for (uint32_t at = 0; at < COUNT(v); at += 4) {
            struct diag *d = diag_new();
            struct lo_kernel *k = lo_read(d, diag_add_file(d, "k", t.p, t.n));
            diag_print(d, stdout);
            diag_free(d);
            run(compiled(j, k), k, x + at, z, y);
            float p = strtof(exponents[e], NULL);
            for (uint32_t i = 0; i < 8 && at + i < COUNT(v); i++)
                expect("pow", x[at + i], p, y[i], (float)pow((double)x[at + i], (double)p));
            lo_kernel_free(k);
        }
        text_free(&t);
    }
}

/* The floats nearest to multiples of pi/2, where sin or cos is all but 0. */
static void quarters(struct back_jit *j, const char *level)
{
    static float x[N], z[N], y[N];
    const char *const names[] = {"sin", "cos"};
    struct worst w = {0};
    for (int f = 0; f < 2; f++) {
        struct lo_kernel *k = kernel(names[f], false, 8);
        nn_kernel *fn = compiled(j, k);
        for (int round = 0; round < 24; round++) {
            for (int i = 0; i < N; i++)
                x[i] = (float)ldexp((i + N * (round % 8)) * 0x1.921fb54442d18p+0, round / 8 * 17);
            run(fn, k, x, z, y);
            for (int i = 0; i < N; i++)
                note(&w, ulps(y[i], f ? cos((double)x[i]) : sin((double)x[i])), x[i], 0, y[i]);
        }
        lo_kernel_free(k);
    }
    test(w.ulp <= 4);
    printf("%-12s sin, cos near quarters %5.2f ulp at %a\n", level, w.ulp, (double)w.x);
}

/* The interpreter on the expanded kernel gives the bits of the compiled one. */
static void same_bits(struct back_jit *j, bool fma)
{
    static float x[N], z[N], y[2][N];
    uint64_t seed = 3;
    for (int i = 0; i < N; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[i] = from_bits((uint32_t)(seed >> 32));
        z[i] = (float)(i % 9 - 4) / 2;
        if (isnan(x[i]) || i % 2)
            x[i] = (float)(i - N / 2) / 64;
    }
    const char *const names[] = {"exp", "log", "sin", "cos", "tanh", "sigmoid", "erf", "pow"};
    for (uint32_t f = 0; f < COUNT(names); f++) {
        struct lo_kernel *k = kernel(names[f], f == 7, 4);
        run(compiled(j, k), k, x, z, y[0]);
        lo_kernel_free(k);
        k = kernel(names[f], f == 7, 4);
        lo_expand_maths(k, fma);
        char *wrong = lo_verify(k);
        test(!wrong);
        free(wrong);
        run(NULL, k, x, z, y[1]);
        int different = 0;
        for (int i = 0; i < N; i++)
            different += !same(y[0][i], y[1][i]);
        test(!different);
        if (different)
            printf("%s: %d of %d differ from the interpreter\n", names[f], different, N);
        lo_kernel_free(k);
    }
}

int main(void)
{
    const char *const levels[] = {"host", "x86-64"};
    for (uint32_t i = 0; i < COUNT(levels); i++) {
        const struct target *t = target_find(levels[i]);
        char *message = NULL;
        if (!t || (i && strncmp(target_host()->name, "x86-64", 6)))
            continue;
        struct back_jit *j = back_jit_new(t, &message);
        if (!j) {
            printf("%s: %s\n", levels[i], message);
            return 1;
        }
        accuracy(j, t->name);
        powers(j, t->name);
        quarters(j, t->name);
        specials(j);
        constant_powers(j);
        same_bits(j, t->fma);
        back_jit_free(j);
    }
    return test_done();
}
