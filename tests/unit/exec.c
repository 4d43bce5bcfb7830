/* exec: a hand-built image whose kernels are C functions runs, in phases, on one and on three
 * threads; faults and NaN name their origin; running allocates nothing; damaged images are refused.
 */
#include "exec/exec.h"
#include "hand.h"

enum { N = 1000, CHUNKS = 10 };
static int allocations, allowed;
static size_t live;

static void *take(void *user, size_t n)
{
    (void)user;
    allocations++;
    live += n;
    return allowed && n < (1u << 20) ? aligned_alloc(64, n) : NULL;
}

static void give(void *user, void *p, size_t n)
{
    (void)user;
    live -= n;
    free(p);
}
static const struct nn_allocator counting = {take, give, NULL};

/* phase 0: partial sums of x into tmp, by way of scratch; phase 1: out = w = Σ tmp + w */
static void sum_kernel(const struct nn_args *a, int32_t phase, int64_t c0, int64_t c1)
{
    const float *x = a->buf[0];
    float *tmp = a->buf[1], *w = a->buf[2], *out = a->buf[3], *scratch = a->scratch;
    for (int64_t c = c0; c < c1; c++) {
        if (phase == 0) {
            scratch[0] = 0;
            for (int i = 0; i < N / CHUNKS; i++)
                scratch[0] += x[c * (N / CHUNKS) + i];
            tmp[c] = scratch[0];
        } else {
            for (int i = 0; i < CHUNKS; i++)
                w[0] += tmp[i];
            out[0] = w[0];
        }
    }
}

/* Element 3 of x is an index that must be below 10. */
static void fault_kernel(const struct nn_args *a, int32_t phase, int64_t c0, int64_t c1)
{
    const float *x = a->buf[0];
    (void)phase;
    for (int64_t c = c0; c < c1; c++) {
        int32_t none = 0;
        if (x[3] >= 10 && __atomic_compare_exchange_n(&a->fault->code, &none, 2, 0,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            a->fault->value = (int64_t)x[3];
    }
}
static nn_kernel *const kernels[] = {sum_kernel, fault_kernel};

/* acc = part's number + 10 * (acc but for the first part) + x: digits tell the order. */
static void part_kernel(const struct nn_args *a, int32_t phase, int64_t c0, int64_t c1)
{
    const float *x = a->buf[0];
    const int32_t *part = a->buf[1];
    float *acc = a->buf[2];
    (void)phase;
    for (int64_t c = c0; c < c1; c++)
        acc[0] = (*part ? 10 * acc[0] : 0) + (float)*part + x[0] + x[1];
}

/* y = acc + 1 */
static void rest_kernel(const struct nn_args *a, int32_t phase, int64_t c0, int64_t c1)
{
    const float *acc = a->buf[0];
    float *y = a->buf[1];
    (void)phase;
    for (int64_t c = c0; c < c1; c++)
        y[0] = acc[0] + 1;
}
static nn_kernel *const part_kernels[] = {part_kernel, rest_kernel};

static struct nn_image *build_parts(struct image_builder *b, size_t *bytes)
{
    image_slot(b, "seed", NN_SLOT_SYS, NN_i64, 0, 0);
    uint64_t part = image_slot(b, "sum.part", NN_SLOT_ACC, NN_i32, 0, 0);
    uint64_t acc = image_slot(b, "sum.part.0", NN_SLOT_ACC, NN_f32, 0, 0);
    struct nn_value_rec in = image_value(b, "x", NN_f32, 6, 0),
                        out = image_value(b, "y", NN_f32, 0, 0);
    uint32_t g = image_graph(b, "sum", &in, 1, &out, 1, 0, 0);
    struct nn_arg_rec own[] = {image_arg(NN_SPACE_INPUT, 0, NN_f32, 2, false),
                               image_arg(NN_SPACE_SLOT, part, NN_i32, 1, false),
                               image_arg(NN_SPACE_SLOT, acc, NN_f32, 1, true)};
    struct nn_arg_rec rest[] = {image_arg(NN_SPACE_SLOT, acc, NN_f32, 1, false),
                                image_arg(NN_SPACE_OUTPUT, 0, NN_f32, 1, true)};
    image_launch(b, g, 0, own, 3, 1, 0);
    image_launch(b, g, 1, rest, 2, 1, 0);
    b->graph[g].parts = 3;
    b->graph[g].part_launches = 1;
    b->graph[g].part_at = part;
    return image_done(b, 2, bytes);
}

static struct nn_arg_rec *args_of(struct nn_image *image, uint32_t launch)
{
    char *base = (char *)image;
    struct nn_graph_rec *g = (void *)(base + image->graphs_at);
    struct nn_launch_rec *l = (void *)(base + g->launches_at);
    return (void *)(base + l[launch].args_at);
}

/* An input that every part reads whole. */
static void whole_in_parts(struct nn_image *image, size_t bytes, const void *const *in)
{
    struct nn_message m;
    struct nn_exec *e;
    struct nn_arg_rec *own = args_of(image, 0), *rest = args_of(image, 1), x = own[0];
    own[0].whole = 1;
    test(nn_exec_open(&e, image, bytes, part_kernels, 2, NULL, &m) == NN_OK);
    test(nn_exec_run(e, 0, in, &m) == NN_OK);
    test(*(const float *)nn_exec_output(e, 0, 0) == 124); /* 1 | 1 + 1 | 2 + 1, and 1 */
    nn_exec_close(e);
    own[0].bytes = 6 * sizeof(float);
    test(nn_image_check(image, bytes, &m) == NN_OK);
    own[0].bytes += sizeof(float);
    test(nn_image_check(image, bytes, &m) == NN_REFUSED);
    own[0] = x;
    own[0].whole = 2;
    test(nn_image_check(image, bytes, &m) == NN_REFUSED);
    own[0] = x;
    rest[0].whole = 1; /* of a slot */
    test(nn_image_check(image, bytes, &m) == NN_REFUSED);
    rest[0].whole = 0;
    test(nn_image_check(image, bytes, &m) == NN_OK);
}

/* Launches that repeat for each part of the batch, then those that do not. */
static void in_parts(struct nn_image *image, size_t bytes)
{
    struct nn_message m;
    struct nn_exec *e;
    double seconds[2] = {-1, -1};
    static _Alignas(64) const float x[] = {1, 0, 0, 1, 2, 0};
    const void *in[] = {x};
    test(nn_exec_open(&e, image, bytes, part_kernels, 2, NULL, &m) == NN_OK);
    nn_exec_time_launches(e, seconds);
    for (int r = 0; r < 2; r++) {
        test(nn_exec_run(e, 0, in, &m) == NN_OK);
        test(*(const float *)nn_exec_output(e, 0, 0) == 125); /* 1 | 1 + 1 | 2 + 2, and 1 */
    }
    test(seconds[0] >= 0 && seconds[1] >= 0);
    nn_exec_close(e);
    whole_in_parts(image, bytes, in);
    struct nn_graph_rec *g = (void *)((char *)image + image->graphs_at), good = *g;
    const struct nn_graph_rec bad[] = {
        {.parts = 4, .part_launches = 1},                     /* six samples */
        {.parts = 6, .part_launches = 1},                     /* the launch reads two */
        {.parts = 3, .part_launches = 0},                     /* the rest reads an input */
        {.parts = 3, .part_launches = 3},                     /* there are two */
        {.parts = 3, .part_launches = 1, .part_at = 1},       /* not aligned */
        {.parts = 3, .part_launches = 1, .part_at = 1 << 20}, /* not in the slots */
        {.parts = 1, .part_launches = 1}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        *g = good;
        g->parts = bad[i].parts;
        g->part_launches = bad[i].part_launches;
        g->part_at = bad[i].part_at;
        test(nn_image_check(image, bytes, &m) == NN_REFUSED);
    }
    *g = good;
    test(nn_image_check(image, bytes, &m) == NN_OK);
}

static struct nn_image *build(struct image_builder *b, size_t *bytes)
{
    uint64_t w = image_slot(b, "w", NN_SLOT_PARAM, NN_f32, 1, 0);
    image_slot(b, "acc", NN_SLOT_ACC, NN_f32, 3, 0);
    b->slot[1].identity = -INFINITY;
    image_slot(b, "step", NN_SLOT_SYS, NN_i64, 0, 0);
    struct nn_value_rec in = image_value(b, "x", NN_f32, N, 0),
                        out = image_value(b, "y", NN_f32, 0, 0);
    uint32_t g = image_graph(b, "sum", &in, 1, &out, 1, NN_IMAGE_ALIGN + 4 * CHUNKS, 256);
    struct nn_arg_rec args[] = {image_arg(NN_SPACE_INPUT, 0, NN_f32, N, false),
                                image_arg(NN_SPACE_ARENA, NN_IMAGE_ALIGN, NN_f32, CHUNKS, true),
                                image_arg(NN_SPACE_SLOT, w, NN_f32, 1, true),
                                image_arg(NN_SPACE_OUTPUT, 0, NN_f32, 1, true)};
    image_launch(b, g, 0, args, 4, CHUNKS, 1);
    image_launch(b, g, 1, args, 1, 64, 0);
    return image_done(b, 2, bytes);
}

static void run(const struct nn_image *image, size_t bytes, int threads)
{
    struct nn_message m;
    struct nn_pool *pool;
    struct nn_exec *e;
    test(nn_pool_open(&pool, threads, &m) == NN_OK);
    struct nn_exec_options o = {.allocator = &counting, .pool = pool};
    allocations = 0;
    test(nn_exec_open(&e, image, bytes, kernels, 2, &o, &m) == NN_OK);
    test(allocations == 2);
    int g = nn_exec_graph(e, "sum");
    test(g == 0 && nn_exec_graph(e, "other") == -1);
    test(nn_exec_find_output(e, g, "y") == 0 && nn_exec_find_output(e, g, "z") == -1);
    float *w = nn_exec_slot(e, nn_exec_find_slot(e, "w"));
    float *acc = nn_exec_slot(e, nn_exec_find_slot(e, "acc"));
    test(acc[2] == -INFINITY && nn_exec_find_slot(e, "none") == -1);
    acc[2] = 5;
    nn_exec_reset_accumulators(e);
    test(acc[2] == -INFINITY);
    test(nn_exec_set_scalar(e, "step", 7) && !nn_exec_set_scalar(e, "acc", 7));
    test(*(int64_t *)nn_exec_slot(e, nn_exec_find_slot(e, "step")) == 7);

    static _Alignas(64) float x[N];
    for (int i = 0; i < N; i++)
        x[i] = (float)(i % 10);
    const void *in[] = {x};
    w[0] = 100;
    for (int r = 0; r < 20; r++)
        test(nn_exec_run(e, g, in, &m) == NN_OK);
    test(w[0] == 100 + 20 * 4500 && *(const float *)nn_exec_output(e, g, 0) == w[0]);
    x[3] = 12;
    test(nn_exec_run(e, g, in, &m) == NN_REFUSED);
    test_text(m.text, "model.nn:7: layer.op: index 12 is out of range");
    x[3] = 3;
    test(nn_exec_run(e, g, in, &m) == NN_OK);
    test(allocations == 2);
    nn_exec_close(e);
    test(live == 0);

    o.check_nan = true;
    test(nn_exec_open(&e, image, bytes, kernels, 2, &o, &m) == NN_OK);
    test(nn_exec_run(e, g, in, &m) == NN_OK);
    x[5] = NAN;
    test(nn_exec_run(e, g, in, &m) == NN_REFUSED);
    test_text(m.text, "model.nn:7: layer.op: the first result that is not a number (NaN)");
    nn_exec_close(e);
    nn_pool_close(pool);
}

static void refused(const struct nn_image *image, size_t bytes)
{
    struct nn_message m;
    struct nn_exec *e;
    struct nn_exec_options o = {.allocator = &counting};
    test(nn_exec_open(&e, image, bytes, kernels, 1, &o, &m) == NN_USAGE && !e);
    allowed = 0;
    test(nn_exec_open(&e, image, bytes, kernels, 2, &o, &m) == NN_MACHINE && !e);
    test(!strncmp(m.text, "out of memory: the model needs 256 bytes of scratch", 51));
    allowed = 1;
    live = 0;
    test(nn_image_check(image, bytes - 1, &m) == NN_REFUSED);
    test(nn_image_check("short", 5, &m) == NN_REFUSED);
}

/* Runs in two halves: one may be under way on a CPU. */
static void in_halves(const struct nn_image *image, size_t bytes)
{
    struct nn_message m;
    struct nn_exec *e;
    static _Alignas(64) float x[N];
    const void *in[] = {x};
    x[0] = 3;
    test(nn_exec_open(&e, image, bytes, kernels, 2, NULL, &m) == NN_OK);
    test(nn_exec_depth(e, 0) == 1 && nn_exec_under_way(e) == 0);
    test(nn_exec_finish(e, &m) == NN_USAGE);
    test(nn_exec_start(e, 0, in, &m) == NN_OK && nn_exec_under_way(e) == 1);
    test(nn_exec_start(e, 0, in, &m) == NN_USAGE && nn_exec_run(e, 0, in, &m) == NN_USAGE);
    test(nn_exec_finish(e, &m) == NN_OK && nn_exec_under_way(e) == 0);
    test(*(const float *)nn_exec_output(e, 0, 0) == 3);
    nn_exec_close(e);
}

/* An image of a GPU's launches: sound, but nothing that a CPU runs. */
static struct nn_image *build_gpu(struct image_builder *b, size_t *bytes)
{
    struct nn_value_rec out = image_value(b, "c", NN_f32, 8, 6);
    uint32_t g = image_graph(b, "mul", NULL, 0, &out, 1, 2048, 0);
    struct nn_arg_rec args[] = {image_arg(NN_SPACE_ARENA, 0, NN_f32, 8 * 4, false),
                                image_arg(NN_SPACE_ARENA, 1024, NN_f32, 4 * 6, false),
                                image_arg(NN_SPACE_OUTPUT, 0, NN_f32, 8 * 6, true)};
    struct nn_gemm_rec gemm = {.lda = 4, .ldb = 6, .ldc = 6, .m = 8, .n = 6, .k = 4, .batch = 1};
    gemm.type_a = gemm.type_b = gemm.type_c = NN_f32;
    gemm.groups = 1;
    gemm.alpha = 1;
    b->target = "sm_80";
    image_launch(b, g, 0, args, 3, 4, 0);
    image_gpu(b, g, 64, 1024);
    image_launch(b, g, 0, args, 3, 0, 0);
    image_gemm(b, g, &gemm);
    return image_done(b, 1, bytes);
}

/* Products that reach beyond their arguments, blocks that no GPU runs. */
static void refused_gpu(struct nn_image *image, size_t bytes)
{
    struct nn_message m;
    struct nn_exec *e;
    test(nn_image_check(image, bytes, &m) == NN_OK);
    test(nn_exec_open(&e, image, bytes, kernels, 1, NULL, &m) == NN_USAGE);
    test_text(m.text, "the image is for a GPU (sm_80): it wants a device");
    char *base = (char *)image;
    struct nn_graph_rec *graph = (void *)(base + image->graphs_at);
    struct nn_launch_rec *l = (void *)(base + graph->launches_at);
    struct nn_gemm_rec *g = (void *)(base + l[1].gemm_at), good = *g;
    struct nn_phase_rec *p = (void *)(base + l[0].phases_at);
    const struct nn_gemm_rec bad[] = {{.m = 9},
                                      {.n = 7},
                                      {.k = 5},
                                      {.batch = 2, .stride_a = 1},
                                      {.lda = 3},
                                      {.ldc = INT64_MAX},
                                      {.m = -1},
                                      {.groups = 2, .jump_b = 1},
                                      {.at_a = 1},
                                      {.at_c = -1},
                                      {.epilogue = NN_GEMM_BIAS},
                                      {.epilogue = NN_GEMM_ALL + 1}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        *g = good;
        g->m = bad[i].m ? bad[i].m : g->m;
        g->n = bad[i].n ? bad[i].n : g->n;
        g->k = bad[i].k ? bad[i].k : g->k;
        g->lda = bad[i].lda ? bad[i].lda : g->lda;
        g->ldc = bad[i].ldc ? bad[i].ldc : g->ldc;
        g->batch = bad[i].batch ? bad[i].batch : g->batch;
        g->groups = bad[i].groups ? bad[i].groups : g->groups;
        g->stride_a = bad[i].stride_a;
        g->jump_b = bad[i].jump_b;
        g->at_a = bad[i].at_a;
        g->at_c = bad[i].at_c;
        g->epilogue = bad[i].epilogue;
        test(nn_image_check(image, bytes, &m) == NN_REFUSED);
        test_text(m.text, "the image is damaged: the matrix product of launch 1");
    }
    *g = good;
    for (uint32_t threads = 31; threads <= 2048; threads += 2017) {
        p->threads = threads;
        test(nn_image_check(image, bytes, &m) == NN_REFUSED);
    }
    p->threads = 64;
    p->chunks = (int64_t)1 << 31;
    test(nn_image_check(image, bytes, &m) == NN_REFUSED);
    p->chunks = 4;
    test(nn_image_check(image, bytes, &m) == NN_OK);
}

/* Every byte of the image is changed in several ways; what is accepted must open, nothing may
 * crash. */
static void fuzz(const struct nn_image *image, size_t bytes)
{
    unsigned char *copy = xmalloc(bytes);
    static const unsigned char values[] = {0, 1, 7, 0x7f, 0x80, 0xff};
    int accepted = 0, refusals = 0;
    for (size_t i = 0; i < bytes; i++)
        for (size_t v = 0; v < COUNT(values); v++) {
            struct nn_message m;
            struct nn_exec *e;
            struct nn_exec_options o = {.allocator = &counting};
            memcpy(copy, image, bytes);
            copy[i] = values[v];
            enum nn_status s = nn_exec_open(&e, (const void *)copy, bytes, kernels, 2, &o, &m);
            accepted += s == NN_OK;
            refusals += s == NN_REFUSED;
            nn_exec_close(e);
        }
    for (size_t n = 0; n < bytes; n += 3)
        test(nn_image_check(image, n, NULL) == NN_REFUSED);
    test(accepted > 100 && refusals > 100);
    free(copy);
}

/* The same of an image that is only checked, not opened. */
static void fuzz_check(const struct nn_image *image, size_t bytes)
{
    unsigned char *copy = xmalloc(bytes);
    int refusals = 0;
    for (size_t i = 0; i < bytes; i++)
        for (int v = 0; v < 256; v += 15) {
            memcpy(copy, image, bytes);
            copy[i] = (unsigned char)v;
            refusals += nn_image_check(copy, bytes, NULL) != NN_OK;
        }
    test(refusals > 100);
    free(copy);
}

int main(void)
{
    struct image_builder *b = xcalloc(1, sizeof *b);
    size_t bytes;
    const struct nn_image *image = build(b, &bytes);
    allowed = 1;
    run(image, bytes, 1);
    run(image, bytes, 3);
    refused(image, bytes);
    fuzz(image, bytes);
    in_halves(image, bytes);
    text_free(&b->t);
    *b = (struct image_builder){0};
    struct nn_image *parts = build_parts(b, &bytes);
    in_parts(parts, bytes);
    fuzz_check(parts, bytes);
    text_free(&b->t);
    *b = (struct image_builder){0};
    struct nn_image *gpu = build_gpu(b, &bytes);
    refused_gpu(gpu, bytes);
    fuzz_check(gpu, bytes);
    text_free(&b->t);
    free(b);
    return test_done();
}
