/* bench-gemm: matrix products and convolutions through fuse, lower and back, as a model's would go:
 * GFLOP/s on one and on two threads, beside the core's measured peak. Usage: bench-gemm [SUBSTRING]
 */
#include "back/back.h"
#include "cpu/pool.h"
#include "lower/skeleton.h"
#include <time.h>

struct bench {
    const char *name;
    double flops;
    char body[900];
};

struct call {
    nn_kernel *fn;
    struct nn_args args[2];
    int32_t phase;
};

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void work(void *user, int thread, int64_t chunk0, int64_t chunk1)
{
    struct call *c = user;
    c->fn(&c->args[thread], c->phase, chunk0, chunk1);
}

static void run(struct call *c, const struct lo_kernel *k, struct nn_pool *pool)
{
    for (uint32_t p = 0; p < k->phases.n; p++) {
        c->phase = (int32_t)p;
        if (pool)
            nn_pool_run(pool, work, c, k->phases.p[p].chunks);
        else
            work(c, 0, 0, k->phases.p[p].chunks);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The median of short samples. One thread is measured in processor time, and each sample beside the
 * core's peak at that moment: where others keep the machine or the core's other half busy, the
 * share of peak says more than the figure. */
static double gflops(struct call *c, const struct lo_kernel *k, struct nn_pool *pool, double flops,
                     double *share)
{
    enum { SAMPLES = 15 };
    clockid_t clock = pool ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
    double t[SAMPLES], part[SAMPLES];
    run(c, k, pool);
    double from = seconds_of(clock);
    run(c, k, pool);
    double once = seconds_of(clock) - from;
    int times = once > 0.004 ? 1 : (int)(0.004 / (once + 1e-9)) + 1;
    for (int s = 0; s < SAMPLES; s++) {
        double peak = pool ? 1 : nn_peak_gflops(NULL);
        from = seconds_of(clock);
        for (int i = 0; i < times; i++)
            run(c, k, pool);
        t[s] = (seconds_of(clock) - from) / times;
        part[s] = flops / t[s] * 1e-9 / peak;
    }
    qsort(t, SAMPLES, sizeof *t, by_value);
    qsort(part, SAMPLES, sizeof *part, by_value);
    if (share)
        *share = part[SAMPLES / 2];
    return flops / t[SAMPLES / 2] * 1e-9;
}

static void *memory(int64_t bytes)
{
    size_t n = ((size_t)bytes + 127) / 64 * 64;
    void *p = aligned_alloc(64, n);
    CHECK(p, "no memory");
    for (size_t i = 0; i < n / 4; i++)
        ((float *)p)[i] = (float)(i % 7) - 3;
    return p;
}

static void measure(const struct bench *t, struct back_jit *jit, struct nn_pool *pool)
{
    struct diag *d = diag_new();
    struct text body = {0};
    text_printf(&body, "graph g {\n%s\n}\n", t->body);
    struct ir_module *m = ir_read(d, diag_add_file(d, t->name, body.p, body.n));
    diag_print(d, stderr);
    CHECK(m, "%s does not read", t->name);
    struct fuse_plan *plan = fuse_graph(m->graphs.p[0], target_host(), "greedy", FUSE_GEMM_OWN);
    struct low_launch l = {0};
    struct sk s;
    const struct fuse_cluster *last = &plan->clusters.p[plan->clusters.n - 1];
    sk_begin(&s, plan, last, &l); /* borders may be copied before */
    CHECK(sk_contract(&s), "%s is no contraction", t->name);
    sk_end(&s);
    char *message = NULL;
    struct call c = {0};
    double from = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    CHECK(back_jit_add(jit, &l.kernel, 1, &c.fn, &message), "%s", message);
    double compile = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - from;
    void **buf = xcalloc(l.args.n, sizeof *buf);
    for (uint32_t i = 0; i < l.args.n; i++)
        buf[i] = memory(l.args.p[i].node ? 4 * ir_count(ir_at(m->graphs.p[0], l.args.p[i].node))
                                         : l.args.p[i].bytes);
    struct nn_fault fault = {0};
    void *scratch[2];
    for (int i = 0; i < 2; i++) {
        scratch[i] = memory((int64_t)back_scratch(l.kernel));
        c.args[i] = (struct nn_args){.buf = buf, .scratch = scratch[i], .fault = &fault};
    }
    double share, one = gflops(&c, l.kernel, NULL, t->flops, &share);
    double two = gflops(&c, l.kernel, pool, t->flops, NULL);
    printf("%-28s %7.1f %5.0f %% %8.1f %6.2f %9.0f %6.1f\n", t->name, one, 100 * share, two,
           two / one, t->flops / two * 1e-3, compile * 1e3);
    for (uint32_t i = 0; i < l.args.n; i++)
        free(buf[i]);
    free(buf);
    free(scratch[0]);
    free(scratch[1]);
    lo_kernel_free(l.kernel);
    vec_free(&l.args);
    fuse_free(plan);
    ir_module_free(m);
    diag_free(d);
    text_free(&body);
}

/* [m, k] x [k, n]; a and b are written as the letters of their axes. */
static struct bench matmul(const char *name, int m, int k, int n, const char *a, const char *b)
{
    struct bench t = {.name = name, .flops = 2.0 * m * k * n};
    int da[2], db[2];
    for (int i = 0; i < 2; i++) {
        da[i] = a[i] == 'i' ? m : k;
        db[i] = b[i] == 'j' ? n : k;
    }
    snprintf(t.body, sizeof t.body,
             "%%a = input a : f32[x %d, y %d]\n%%b = input b : f32[x %d, y %d]\n"
             "%%p = mul %%a[%c, %c] %%b[%c, %c] : f32[i %d, j %d, k %d] inline\n"
             "%%y = reduce sum(k %d) %%p[i, j, k] : f32[i %d, j %d]\noutput y %%y",
             da[0], da[1], db[0], db[1], a[0], a[1], b[0], b[1], m, n, k, k, m, n);
    return t;
}

enum conv_part { FORWARD, INPUT, WEIGHT };

static struct bench conv(const char *name, enum conv_part part, int n, int c, int o, int h, int r,
                         int st, int pad)
{
    int q = (h + 2 * pad - r) / st + 1;
    struct bench t = {.name = name, .flops = 2.0 * n * c * o * q * q * r * r};
    if (part == FORWARD)
        snprintf(t.body, sizeof t.body,
                 "%%x = input x : f32[n %d, c %d, h %d, w %d]\n"
                 "%%f = input f : f32[o %d, c %d, r %d, s %d]\n"
                 "%%p = mul %%x[n, c, %d*i + r - %d, %d*j + s - %d] %%f[o, c, r, s]"
                 " : f32[n %d, o %d, i %d, j %d, c %d, r %d, s %d] inline\n"
                 "%%y = reduce sum(c %d, r %d, s %d) %%p[n, o, i, j, c, r, s]"
                 " : f32[n %d, o %d, i %d, j %d]\noutput y %%y",
                 n, c, h, h, o, c, r, r, st, pad, st, pad, n, o, q, q, c, r, r, c, r, r, n, o, q,
                 q);
    else if (part == INPUT)
        snprintf(t.body, sizeof t.body,
                 "%%g = input g : f32[n %d, o %d, i %d, j %d]\n"
                 "%%f = input f : f32[o %d, c %d, r %d, s %d]\n"
                 "%%p = mul %%g[n, o, (h - r + %d)/%d, (w - s + %d)/%d] %%f[o, c, r, s]"
                 " : f32[n %d, c %d, h %d, w %d, o %d, r %d, s %d] inline\n"
                 "%%y = reduce sum(o %d, r %d, s %d) %%p[n, c, h, w, o, r, s]"
                 " : f32[n %d, c %d, h %d, w %d]\noutput y %%y",
                 n, o, q, q, o, c, r, r, pad, st, pad, st, n, c, h, h, o, r, r, o, r, r, n, c, h,
                 h);
    else
        snprintf(t.body, sizeof t.body,
                 "%%g = input g : f32[n %d, o %d, i %d, j %d]\n"
                 "%%x = input x : f32[n %d, c %d, h %d, w %d]\n"
                 "%%p = mul %%g[n, o, i, j] %%x[n, c, %d*i + r - %d, %d*j + s - %d]"
                 " : f32[o %d, c %d, r %d, s %d, n %d, i %d, j %d] inline\n"
                 "%%y = reduce sum(n %d, i %d, j %d) %%p[o, c, r, s, n, i, j]"
                 " : f32[o %d, c %d, r %d, s %d]\noutput y %%y",
                 n, o, q, q, n, c, h, h, st, pad, st, pad, o, c, r, r, n, q, q, n, q, q, o, c, r,
                 r);
    return t;
}

int main(int argc, char **argv)
{
    struct bench all[] = {
        matmul("128^3", 128, 128, 128, "ik", "kj"),
        matmul("256^3", 256, 256, 256, "ik", "kj"),
        matmul("512^3", 512, 512, 512, "ik", "kj"),
        matmul("512^3 b transposed", 512, 512, 512, "ik", "jk"),
        matmul("512^3 a transposed", 512, 512, 512, "ki", "kj"),
        matmul("512^3 both transposed", 512, 512, 512, "ki", "jk"),
        matmul("1000^3", 1000, 1000, 1000, "ik", "kj"),
        matmul("1024^3", 1024, 1024, 1024, "ik", "kj"),
        matmul("1024^3 b transposed", 1024, 1024, 1024, "ik", "jk"),
        matmul("mlp fc1 128x784x512", 128, 784, 512, "ik", "jk"),
        matmul("mlp fc1 d.w 512x128x784", 512, 128, 784, "ki", "kj"),
        matmul("mlp fc2 128x512x512", 128, 512, 512, "ik", "jk"),
        matmul("mlp fc2 d.x 128x512x512", 128, 512, 512, "ik", "kj"),
        matmul("mlp fc3 128x512x10", 128, 512, 10, "ik", "jk"),
        matmul("mlp fc3 d.x 128x10x512", 128, 10, 512, "ik", "kj"),
        matmul("mlp fc3 d.w 10x128x512", 10, 128, 512, "ki", "kj"),
        matmul("lenet fc1 128x800x500", 128, 800, 500, "ik", "jk"),
        matmul("gpt fc 4096x128x512", 4096, 128, 512, "ik", "jk"),
        matmul("gpt fc d.w 512x4096x128", 512, 4096, 128, "ki", "kj"),
        matmul("gpt2 256x768x3072", 256, 768, 3072, "ik", "jk"),
        conv("lenet conv1", FORWARD, 128, 1, 20, 28, 5, 1, 0),
        conv("lenet conv1 d.w", WEIGHT, 128, 1, 20, 28, 5, 1, 0),
        conv("lenet conv2", FORWARD, 128, 20, 50, 12, 5, 1, 0),
        conv("lenet conv2 d.x", INPUT, 128, 20, 50, 12, 5, 1, 0),
        conv("lenet conv2 d.w", WEIGHT, 128, 20, 50, 12, 5, 1, 0),
        conv("resnet 64 3x3 32", FORWARD, 16, 64, 64, 32, 3, 1, 1),
        conv("resnet 64 3x3 32 d.x", INPUT, 16, 64, 64, 32, 3, 1, 1),
        conv("resnet 64 3x3 32 d.w", WEIGHT, 16, 64, 64, 32, 3, 1, 1),
        conv("resnet 256 3x3 8", FORWARD, 16, 256, 256, 8, 3, 1, 1),
        conv("resnet 256 3x3 8 d.x", INPUT, 16, 256, 256, 8, 3, 1, 1),
        conv("resnet 256 3x3 8 d.w", WEIGHT, 16, 256, 256, 8, 3, 1, 1),
        conv("resnet 512 3x3 4", FORWARD, 16, 512, 512, 4, 3, 1, 1),
        conv("resnet 64-128 stride 2", FORWARD, 16, 64, 128, 32, 3, 2, 1),
        conv("resnet 64-128 stride 2 d.x", INPUT, 16, 64, 128, 32, 3, 2, 1),
        conv("resnet 64-128 stride 2 d.w", WEIGHT, 16, 64, 128, 32, 3, 2, 1),
    };
    char *message = NULL;
    struct back_jit *jit = back_jit_new(target_host(), &message);
    CHECK(jit, "%s", message);
    struct nn_pool *pool = NULL;
    CHECK(nn_pool_open(&pool, 2, NULL) == NN_OK, "no pool");
    double peak = nn_peak_gflops(NULL);
    printf("%s, peak of a core %.1f GFLOP/s (f32)\n", target_host()->name, peak);
    printf("%-28s %7s %7s %8s %6s %9s %6s\n", "", "1 thr.", "of peak", "2 thr.", "times", "us (2)",
           "jit ms");
    for (size_t i = 0; i < COUNT(all); i++)
        if (argc < 2 || strstr(all[i].name, argv[1]))
            measure(&all[i], jit, pool);
    nn_pool_close(pool);
    back_jit_free(jit);
    return 0;
}
