/* loop: the transcendentals of f32 on the software GPU against libm in f64, in units of the last
 * place: over every exponent, over the range that matters, the special values, pow with random and
 * special pairs. The simulator's ex2, lg2, rcp, rsqrt are rounded well; the bounds leave room for
 * the hardware's, which the PTX manual bounds by 2 units (ex2) and 1 (rcp, rsqrt). Prints the
 * figures. */
#include "simrun.h"
#include "test.h"
#include "ulp.h"

enum { N = 32768 }; /* elements a launch */

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double rsqrt(double x) { return 1 / sqrt(x); }

static const struct function {
    const char *name;
    double (*exact)(double); /* NULL: pow */
    float lo, hi;            /* the range that matters */
    double bound;
} functions[] = {
    {"exp", exp, -88, 89, 1.25},      {"log", log, 0.5, 2, 2},      {"sin", sin, -40000, 40000, 2},
    {"cos", cos, -40000, 40000, 2},   {"tanh", tanh, -10, 10, 3},   {"rsqrt", rsqrt, 0, 1000, 1},
    {"sigmoid", sigmoid, -88, 88, 3}, {"erf", erf, -4.5, 4.5, 2.5}, {"pow", NULL, 0, 0, 1},
    {"sqrt", sqrt, 0, 1000, 0.5},
};

static struct lo_kernel *kernels[COUNT(functions)];
static const char *symbols[COUNT(functions)];
static struct simrun gpu;
static float x[N], z[N], y[N];

static struct lo_kernel *kernel(const char *name)
{
    struct text t = {0};
    text_printf(
        &t,
        "kernel %s(x f32[%d], z f32[%d], y f32[%d])\nphase %d %%c threads 256 %%t {\n"
        "  %%1 = load x[%%c*1024 + %%t*4] : f32x4\n  %%2 = load z[%%c*1024 + %%t*4] : f32x4\n"
        "  %%3 = %s %%1%s : f32x4\n  store y[%%c*1024 + %%t*4] %%3\n}\n",
        name, N, N, N, N / 1024, name, strcmp(name, "pow") ? "" : " %2");
    struct diag *d = diag_new();
    struct lo_kernel *k = lo_read(d, diag_add_file(d, "k", t.p, t.n));
    diag_print(d, stdout);
    diag_free(d);
    text_free(&t);
    return k;
}

static bool open_gpu(const struct target *t)
{
    struct text ptx = {0};
    char *message = NULL;
    for (uint32_t i = 0; i < COUNT(functions); i++)
        kernels[i] = kernel(functions[i].name);
    back_symbols(kernels, COUNT(functions), symbols);
    bool ok = back_emit(t, kernels, COUNT(functions), BACK_ASM, &ptx, &message) &&
              simrun_open(&gpu, t, &ptx);
    if (!ok)
        printf("%s: %s %s\n", t->name, message ? message : "", gpu.words);
    free(message);
    text_free(&ptx);
    return ok;
}

static void run(uint32_t f)
{
    void *buf[] = {x, z, y};
    struct nn_fault fault;
    bool ok = simrun_kernel(&gpu, kernels[f], symbols[f], buf, &fault);
    test(ok);
    if (!ok)
        printf("%s\n", gpu.words);
}

static double flushed(float v) { return fpclassify(v) == FP_SUBNORMAL ? copysign(0, v) : v; }

static double exact(const struct function *f, float a, float b)
{
    return f->exact ? f->exact(flushed(a)) : pow(flushed(a), flushed(b));
}

static void check(uint32_t i, const char *what)
{
    const struct function *f = &functions[i];
    double worst = 0;
    int at = 0;
    run(i);
    for (int e = 0; e < N; e++) {
        double u = ulps(y[e], exact(f, x[e], z[e]));
        if (u > worst)
            worst = u, at = e;
    }
    test(worst <= f->bound);
    printf("%-8s %s %5.2f ulp at %.9g (%a), %a: %a\n", f->name, what, worst, (double)x[at],
           (double)x[at], (double)z[at], (double)y[at]);
}

static void pairs(void)
{
    uint64_t seed = 7;
    for (int i = 0; i < N; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[i] = from_bits((uint32_t)(seed >> 32));
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        double size = 130 * ((double)(seed >> 40) * 0x1p-24 * 2 - 1) / log2(fabs((double)x[i]));
        z[i] = (float)(i % 4 ? size : rint(size));
    }
}

/* Infinities, NaNs, zeros and their signs: what C says. */
static void specials(uint32_t f)
{
    special_pairs(x, z);
    run(f);
    for (uint32_t i = 0; i < SPECIALS * SPECIALS; i++) {
        float want = (float)exact(&functions[f], x[i], z[i]);
        bool ok = as_wanted(y[i], want, functions[f].bound + 1);
        test(ok);
        if (!ok)
            printf("%s(%g, %g) is %g, not %g\n", functions[f].name, (double)x[i], (double)z[i],
                   (double)y[i], (double)want);
    }
}

/* ---- f64, against the C library in long double ---- */

enum { WIDE = 8192 };
static long double sigmoidl(long double v) { return 1 / (1 + expl(-v)); }

static const struct wide {
    const char *name;
    long double (*exact)(long double); /* NULL: pow */
    double lo, hi;
} wides[] = {
    {"exp", expl, -708, 709}, {"log", logl, 0, 4},          {"log", logl, 1e-300, 1e300},
    {"sin", sinl, -40, 40},   {"sin", sinl, -1e12, 1e12},   {"cos", cosl, -1e6, 1e6},
    {"tanh", tanhl, -20, 20}, {"tanh", tanhl, -1e-3, 1e-3}, {"sigmoid", sigmoidl, -700, 700},
    {"erf", erfl, -6, 6},     {"pow", NULL, 0, 0}};

static double wide_ulps(double got, long double want)
{
    int e;
    if (isnan((double)want) || isnan(got))
        return isnan((double)want) && isnan(got) ? 0 : INFINITY;
    if (got == (double)want || fabsl(want) < 0x1p-1022L)
        return 0;
    frexpl(want, &e);
    return (double)(fabsl(got - want) / ldexpl(1, (e > 1024 ? 1024 : e) - 53));
}

static void check_wide(const struct target *t, const struct wide *w)
{
    static double a[WIDE], b[WIDE], c[WIDE];
    struct text text = {0}, ptx = {0};
    char *message = NULL;
    const char *symbol;
    struct nn_fault fault;
    text_printf(&text,
                "kernel %s64(x f64[%d], z f64[%d], y f64[%d])\nphase %d %%c threads 256 %%t {\n"
                "  %%1 = load x[%%c*256 + %%t] : f64\n  %%2 = load z[%%c*256 + %%t] : f64\n"
                "  %%3 = %s %%1%s : f64\n  store y[%%c*256 + %%t] %%3\n}\n",
                w->name, WIDE, WIDE, WIDE, WIDE / 256, w->name, w->exact ? "" : " %2");
    struct diag *d = diag_new();
    struct lo_kernel *k = lo_read(d, diag_add_file(d, "k", text.p, text.n));
    uint64_t seed = 9;
    for (int i = 0; i < WIDE; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        double u = (double)(seed >> 11) * 0x1p-53;
        a[i] = w->exact ? w->lo + (w->hi - w->lo) * u : exp(u * 40 - 20) * (i % 5 ? 1 : -1);
        b[i] = i % 5 ? (double)(i % 2000 - 1000) * 0.7 / log(fabs(a[i])) : i % 64 - 32;
    }
    const double special[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1, -1, 0.5};
    for (uint32_t i = 0; i < 64; i++) {
        a[i] = special[i / 8];
        b[i] = special[i % 8];
    }
    struct simrun r = {0};
    back_symbols(&k, 1, &symbol);
    bool ok = back_emit(t, &k, 1, BACK_ASM, &ptx, &message) && simrun_open(&r, t, &ptx) &&
              simrun_kernel(&r, k, symbol, (void *[]){a, b, c}, &fault);
    test(ok);
    if (!ok)
        printf("%s64: %s %s\n", w->name, message ? message : "", r.words);
    double worst = 0;
    int at = 0;
    for (int i = 0; i < WIDE && ok; i++) {
        double u = wide_ulps(c[i], w->exact ? w->exact(a[i]) : powl(a[i], b[i]));
        if (u > worst)
            worst = u, at = i;
    }
    test(worst <= 4);
    printf("%-8s f64   %5.2f ulp at %.17g, %.17g: %.17g\n", w->name, worst, a[at], b[at], c[at]);
    simrun_close(&r);
    free(message);
    text_free(&text);
    text_free(&ptx);
    diag_free(d);
    lo_kernel_free(k);
}

int main(void)
{
    if (!open_gpu(target_find("sm_80")))
        return 1;
    for (uint32_t i = 0; i < COUNT(functions); i++) {
        const struct function *f = &functions[i];
        memset(z, 0, sizeof z);
        if (!f->exact) {
            pairs();
            check(i, "pairs");
        } else {
            for (int e = 0; e < N; e++)
                x[e] = from_bits((uint32_t)e * 131071u + 1);
            check(i, "all  ");
            for (int e = 0; e < N; e++)
                x[e] = (float)(f->lo + ((double)f->hi - f->lo) * (e + 0.5) / N);
            check(i, "core ");
        }
        specials(i);
        lo_kernel_free(kernels[i]);
    }
    simrun_close(&gpu);
    for (uint32_t i = 0; i < COUNT(wides); i++)
        check_wide(target_find("sm_80"), &wides[i]);
    return test_done();
}
