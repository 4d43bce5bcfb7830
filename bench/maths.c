/* Nanoseconds an element of the transcendentals of f32, compiled for the host's level at one and at
 * two vectors a step, in the first-level cache, beside the C library's scalar functions. Built and
 * run by hand: cmake --build build --target bench-maths */
#include "back/back.h"
#include "cpu/pool.h"
#include "loop/loop.h"
#include <math.h>
#include <time.h>

enum { N = 1024, ROUNDS = 200, SAMPLES = 15 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static nn_kernel *compile(struct back_jit *j, const char *name, int lanes)
{
    struct text t = {0};
    bool binary = !strcmp(name, "pow");
    text_printf(
        &t,
        "kernel %s_%d(x f32[%d], y f32[%d])\nphase %d %%c {\n  for %%i = 0 .. %d step %d {\n"
        "    %%1 = load x[%%i] : f32x%d\n    %%2 = %s %%1%s : f32x%d\n    store y[%%i] %%2\n"
        "  }\n}\n",
        name, lanes, N, N, ROUNDS, N, lanes, lanes, name, binary ? " %1" : "", lanes);
    struct diag *d = diag_new();
    struct lo_kernel *k = lo_read(d, diag_add_file(d, "bench", t.p, t.n));
    diag_print(d, stderr);
    nn_kernel *fn = NULL;
    char *message = NULL;
    if (!k || !back_jit_add(j, &k, 1, &fn, &message))
        fprintf(stderr, "%s\n", message ? message : "no kernel");
    free(message);
    diag_free(d);
    text_free(&t);
    return fn;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of several samples, ns an element. */
static double median(nn_kernel *fn, float (*scalar)(float), float *x, float *y)
{
    double t[SAMPLES];
    struct nn_fault fault = {0};
    struct nn_args args = {.buf = (void *const[]){x, y}, .fault = &fault};
    int rounds = fn ? ROUNDS : 10;
    for (int s = 0; s < SAMPLES; s++) {
        double start = now();
        if (fn)
            fn(&args, 0, 0, ROUNDS);
        for (int r = 0; !fn && r < rounds; r++)
            for (int i = 0; i < N; i++)
                y[i] = scalar(x[i]);
        t[s] = (now() - start) / rounds / N;
    }
    qsort(t, SAMPLES, sizeof *t, ascending);
    return t[SAMPLES / 2];
}

static float sigmoid(float x) { return 1 / (1 + expf(-x)); }
static float self_power(float x) { return powf(x, x); }

int main(void)
{
    static const struct {
        const char *name;
        float (*scalar)(float);
        float lo, hi;
    } row[] = {
        {"exp", expf, -10, 10},   {"log", logf, 0, 100},       {"tanh", tanhf, -5, 5},
        {"erf", erff, -4, 4},     {"sigmoid", sigmoid, -9, 9}, {"sin", sinf, -100, 100},
        {"cos", cosf, -100, 100}, {"pow", self_power, 0, 10},
    };
    static float x[N], y[N];
    const struct target *t = target_host();
    char *message = NULL;
    struct back_jit *j = back_jit_new(t, &message);
    if (!j) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    int lanes = (int)target_lanes(t, 4);
    uint64_t mode = nn_denormals_flush();
    printf("%s: ns an element\n%-8s %8s %8s %8s\n", t->name, "", "vector", "two", "libm");
    for (size_t i = 0; i < COUNT(row); i++) {
        for (int e = 0; e < N; e++)
            x[e] = row[i].lo + (row[i].hi - row[i].lo) * ((float)e + 0.5f) / N;
        printf("%-8s %8.3f %8.3f %8.3f\n", row[i].name,
               median(compile(j, row[i].name, lanes), NULL, x, y),
               median(compile(j, row[i].name, 2 * lanes), NULL, x, y),
               median(NULL, row[i].scalar, x, y));
    }
    nn_denormals_restore(mode);
    back_jit_free(j);
    return 0;
}
