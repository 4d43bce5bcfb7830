/* nnc bench FILE [--batches 1,8,32]: the median time of a training step (of a forward pass, where
 * the file has no train block) on made-up data, beside the machine's measured peak. */
#include "common.h"
#include "cuda/cuda.h"
#include "nnc/nnc.h"

#include <ctype.h>

enum { BATCHES = 16, LEAST_RUNS = 10, MOST_RUNS = 2000, WARM_RUNS = 3 };
#define SECONDS 1.0 /* at least, for each size */

struct bench {
    struct nnc_session s;
    struct nnc_options o;
    int64_t batch[BATCHES];
    size_t n;
    bool forward, sized; /* a forward pass; it has a free dim that `batch` sets */
    const char *dim;
    double peak;
};

struct figures {
    double seconds, flops;
    uint32_t launches;
};

/* ---- what to run ---- */

static int parse_batches(struct bench *b, const char *text)
{
    for (const char *p = text; *p || !b->n;) {
        char *end;
        long long v = strtoll(p, &end, 10);
        if (end == p || v <= 0 || v > 1 << 24 || (*end && *end != ',') || b->n == BATCHES) {
            fprintf(stderr, "nnc: --batches %s: up to %d sizes, as in 1,8,32\n", text, BATCHES);
            return EXIT_USAGE;
        }
        b->batch[b->n++] = v;
        p = *end ? end + 1 : end;
    }
    return 0;
}

/* The first free dim of the model's inputs: a bare name. */
static const char *free_dim(const struct front_model *m)
{
    for (uint32_t i = 0; m && i < m->ninputs; i++)
        for (uint32_t k = 0; k < m->input[i].rank; k++) {
            const char *d = m->input[i].dim[k];
            size_t n = 0;
            while (isalnum((unsigned char)d[n]) || d[n] == '_')
                n++;
            if (!d[n] && !isdigit((unsigned char)d[0]))
                return d;
        }
    return NULL;
}

static int choose(struct bench *b)
{
    const struct nnc_options *o = &b->o;
    b->forward = !b->s.train || !b->s.train->present;
    b->dim = b->forward ? free_dim(front_model(b->s.front)) : NULL;
    b->sized = !b->forward || b->dim;
    if (o->batches) {
        if (!b->sized) {
            fprintf(stderr, "nnc: --batches: the model has no free dim\n");
            return EXIT_USAGE;
        }
        return parse_batches(b, o->batches);
    }
    b->batch[b->n++] = !b->forward ? b->s.train->batch : o->batch > 0 ? o->batch : 1;
    return 0;
}

static void graph_name(const struct bench *b, size_t i, char *name, size_t size)
{
    snprintf(name, size, "%s.%lld", b->forward ? "forward" : "step", (long long)b->batch[i]);
}

static int compile(struct bench *b)
{
    int bad = b->forward ? 0 : nnc_session_graph(&b->s, FRONT_INIT, "init", 0, NULL, 0);
    for (size_t i = 0; !bad && i < b->n; i++) {
        char name[64];
        struct front_dim dim = {b->dim, b->batch[i], false, 0};
        graph_name(b, i, name, sizeof name);
        bad = nnc_session_graph(&b->s, b->forward ? FRONT_FORWARD : FRONT_STEP, name,
                                b->forward ? 0 : b->batch[i], &dim, b->dim ? 1 : 0);
    }
    return bad ? bad : nnc_session_link(&b->s, &b->o);
}

/* ---- running it ---- */

/* Floats in [0, 1), integers in [0, limit). */
static void make_up(const struct nn_value_rec *v, void *p, uint64_t limit)
{
    enum nn_dtype t = (enum nn_dtype)v->dtype;
    for (size_t i = 0; i < v->bytes / nn_dtype_size(t); i++) {
        uint64_t r = nn_mix(v->name, i);
        nn_set(t, p, i, nn_dtype_float(t) ? (double)(r >> 40) * 0x1p-24 : (double)(r % limit));
    }
}

/* Integers may be indices whose range is not known here: smaller ones are tried until none is out
 * of range. */
static int make_up_all(struct bench *b, int graph, void **in)
{
    static const uint64_t limits[] = {128, 10, 2, 1};
    struct nn_message m;
    const struct nn_graph_rec *g = nn_exec_graph_rec(b->s.exec, graph);
    enum nn_status status = NN_REFUSED;
    for (size_t i = 0; status == NN_REFUSED && i < COUNT(limits); i++) {
        for (uint32_t k = 0; k < g->input_count; k++)
            make_up(&nn_exec_inputs(b->s.exec, graph)[k], in[k], limits[i]);
        status = nn_exec_run(b->s.exec, graph, (const void *const *)in, &m);
    }
    return status ? nnc_fail(status, &m) : 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The software GPU's times measure nothing: one run each is enough. */
static bool once(const struct bench *b)
{
    const struct nn_cuda *c = b->s.device.cuda;
    return c && nn_cuda_is_sim(c);
}

static int time_runs(struct bench *b, int graph, const void *const *in, double *median)
{
    static double t[MOST_RUNS];
    struct nn_message m;
    size_t n = 0;
    double begin = 0;
    for (int i = once(b) ? 0 : -WARM_RUNS; n < MOST_RUNS; i++) {
        double from = nn_now();
        enum nn_status status = nn_exec_run(b->s.exec, graph, in, &m);
        if (status)
            return nnc_fail(status, &m);
        if (i < 0)
            continue;
        begin = i == 0 ? from : begin;
        t[n++] = nn_now() - from;
        if (once(b) || (n >= LEAST_RUNS && nn_now() - begin >= SECONDS))
            break;
    }
    qsort(t, n, sizeof *t, by_value);
    *median = t[n / 2];
    return 0;
}

/* How often launch k of the graph runs in a step. */
static double times(const struct nn_graph_rec *g, uint32_t k)
{
    return k < g->part_launches ? g->parts : 1;
}

/* The median time of each launch over some runs, with what it reaches: `--kernels`. */
enum { KERNEL_RUNS = 15 };

static int time_kernels(struct bench *b, int graph, const void *const *in)
{
    const struct nn_graph_rec *g = nn_exec_graph_rec(b->s.exec, graph);
    const struct nn_image *image = nn_exec_image(b->s.exec);
    const struct nn_launch_rec *l = nn_image_at(image, g->launches_at);
    uint32_t n = g->launch_count;
    size_t runs = once(b) ? 1 : KERNEL_RUNS;
    double *t = xcalloc((size_t)n * KERNEL_RUNS + KERNEL_RUNS, sizeof *t),
           *column = t + (size_t)n * KERNEL_RUNS;
    struct nn_message m;
    enum nn_status status = NN_OK;
    for (size_t r = 0; !status && r < runs; r++) {
        nn_exec_time_launches(b->s.exec, t + r * n);
        status = nn_exec_run(b->s.exec, graph, in, &m);
    }
    nn_exec_time_launches(b->s.exec, NULL);
    printf("        us    GFLOP/s       GB/s  kernel\n");
    for (uint32_t i = 0; !status && i < n; i++) {
        for (size_t r = 0; r < runs; r++)
            column[r] = t[r * n + i];
        qsort(column, runs, sizeof *column, by_value);
        double s = column[runs / 2] / times(g, i);
        printf("%10.1f %10.1f %10.1f  %s  %s\n", column[runs / 2] * 1e6, l[i].flops / s * 1e-9,
               l[i].bytes / s * 1e-9,
               l[i].kind == NN_LAUNCH_GEMM
                   ? "cuBLAS"
                   : nn_exec_text(b->s.exec, nn_image_kernels(image)[l[i].kernel].name),
               nn_exec_text(b->s.exec, nn_image_origins(image)[l[i].origin].text));
    }
    free(t);
    return status ? nnc_fail(status, &m) : 0;
}

/* Memory moved, and how often each byte of it. */
static void print_traffic(uint64_t sectors, uint64_t least)
{
    double bytes = 32 * (double)sectors;
    printf(" %12.1f", bytes / 1e3);
    if (least)
        printf(" %9.3f", bytes / (double)least);
    else
        printf(" %9s", "-");
}

/* What the software GPU counts in one run; elsewhere nothing. */
static int count_work(struct bench *b, int graph, const void *const *in)
{
    const struct nn_cuda *c = b->s.device.cuda;
    struct nn_message m;
    struct nn_cuda_work w;
    if (!c || !nn_cuda_count_work(c))
        return 0;
    enum nn_status status = nn_exec_run(b->s.exec, graph, in, &m);
    if (status)
        return nnc_fail(status, &m);
    printf("   instructions     loads KB  of least    stores KB  of least  conflicts        mma"
           "  entry\n");
    for (size_t i = 0; nn_cuda_work(c, i, &w); i++) {
        printf("%15llu", (unsigned long long)w.instructions);
        print_traffic(w.load_sectors, w.least_load_bytes);
        print_traffic(w.store_sectors, w.least_store_bytes);
        printf(" %10llu %10llu  %s\n", (unsigned long long)w.conflicts, (unsigned long long)w.mma,
               w.kernel);
    }
    return 0;
}

static int measure(struct bench *b, size_t i, struct figures *f)
{
    char name[64];
    graph_name(b, i, name, sizeof name);
    int graph = nn_exec_graph(b->s.exec, name), bad = 0;
    const struct nn_graph_rec *g = nn_exec_graph_rec(b->s.exec, graph);
    const struct nn_value_rec *v = nn_exec_inputs(b->s.exec, graph);
    const struct nn_launch_rec *l = nn_image_at(nn_exec_image(b->s.exec), g->launches_at);
    void **in = xcalloc(g->input_count + 1u, sizeof *in);
    *f = (struct figures){.launches = g->launch_count};
    for (uint32_t k = 0; k < g->launch_count; k++)
        f->flops += l[k].flops * times(g, k);
    for (uint32_t k = 0; !bad && k < g->input_count; k++) {
        in[k] = nn_alloc(NULL, v[k].bytes);
        bad = in[k] ? 0 : EXIT_MACHINE;
    }
    if (!bad)
        bad = make_up_all(b, graph, in);
    if (!bad)
        bad = time_runs(b, graph, (const void *const *)in, &f->seconds);
    if (!bad && b->o.kernels && !b->o.json)
        bad = time_kernels(b, graph, (const void *const *)in);
    if (!bad && b->o.kernels && !b->o.json)
        bad = count_work(b, graph, (const void *const *)in);
    for (uint32_t k = 0; k < g->input_count; k++)
        nn_release(NULL, in[k], 0);
    free(in);
    return bad;
}

/* ---- printing it ---- */

static void print_head(const struct bench *b)
{
    struct nn_exec_memory m = nn_exec_memory(b->s.exec);
    const char *model = nn_exec_text(b->s.exec, nn_exec_image(b->s.exec)->model);
    bool gpu = b->s.device.device != NULL;
    int threads = gpu ? 0 : nn_pool_threads(b->s.pool);
    double mib = (double)(m.slots + m.arena + m.scratch + m.outputs + m.inputs) / 1048576;
    if (b->o.json) {
        printf("{\"model\":\"%s\",\"target\":\"%s\",\"device\":\"%s\",\"threads\":%d,"
               "\"peak_gflops\":%.1f,\"memory_mib\":%.1f,\"runs\":[",
               model, b->s.c.target->name, b->s.device.title, threads, b->peak, mib);
        return;
    }
    if (gpu)
        printf("%s, %s, %s, nominal f32 peak", model, b->s.device.title, b->s.c.target->name);
    else
        printf("%s, %s, %d threads, measured peak", model, b->s.c.target->name, threads);
    printf(" %.0f GFLOP/s, %.1f MiB\n   batch    %s ms   samples/s    GFLOP/s  of peak  kernels\n",
           b->peak, mib, b->forward ? "pass" : "step");
}

static void print_run(const struct bench *b, size_t i, const struct figures *f)
{
    double rate = (double)b->batch[i] / f->seconds, gflops = f->flops / f->seconds * 1e-9;
    if (b->o.json)
        printf("%s{\"batch\":%lld,\"step_ms\":%.4f,\"samples_per_s\":%.1f,\"gflops\":%.2f,"
               "\"of_peak\":%.4f,\"kernels\":%u}",
               i ? "," : "", (long long)b->batch[i], f->seconds * 1e3, rate, gflops,
               gflops / b->peak, f->launches);
    else
        printf("%8lld %10.3f %11.0f %10.1f %7.0f%% %8u\n", (long long)b->batch[i], f->seconds * 1e3,
               rate, gflops, 100 * gflops / b->peak, f->launches);
    fflush(stdout);
}

static int run(struct bench *b)
{
    struct figures f, first = {0};
    struct nn_message m;
    int bad = 0, init = nn_exec_graph(b->s.exec, "init");
    if (init >= 0) {
        nn_exec_set_scalar(b->s.exec, "steps", 1000);
        nn_exec_set_scalar(b->s.exec, "steps_per_epoch", 100);
        enum nn_status status = nn_exec_run(b->s.exec, init, NULL, &m);
        bad = status ? nnc_fail(status, &m) : 0;
    }
    b->peak = b->s.device.device ? b->s.c.target->f32_tflops * 1e3 : nn_peak_gflops(b->s.pool);
    if (!bad)
        print_head(b);
    for (size_t i = 0; !bad && i < b->n; i++) {
        bad = measure(b, i, &f);
        if (!bad)
            print_run(b, i, &f);
        first = i ? first : f;
    }
    if (!bad && b->o.json)
        printf("],\"step_ms\":%.4f}\n", first.seconds * 1e3);
    return bad;
}

int cmd_bench(int argc, char **argv)
{
    struct bench b = {0};
    nnc_parse_options(
        &b.o, "bench", argc, argv,
        "define include_opt model device target gemm policy budget threads batch batches seed "
        "json kernels",
        1);
    int bad = nnc_session_open(&b.s, &b.o, NNC_GRAPH);
    if (!bad)
        bad = choose(&b);
    if (!bad)
        bad = compile(&b);
    if (!bad)
        bad = run(&b);
    nnc_session_close(&b.s);
    nnc_free_options(&b.o);
    return bad;
}
