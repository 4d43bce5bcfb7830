/* cuda: a hand-written image with hand-written PTX runs on the software GPU: phases, dynamic shared
 * memory, runs ahead of their results, slots on both sides, faults and NaN by their origins, matrix
 * products, memory that is not there, refused code; each of the first calls to the driver fails
 * once. */
#include "cuda/private.h"
#include "hand.h"

#include <dlfcn.h>
#include <math.h>

enum { N = 1000, CHUNKS = 10, SHARED = 60000, M = 24, K = 40, COLUMNS = 16, BATCH = 3 };

static const char ptx[] =
    ".version 7.0\n.target sm_75\n.address_size 64\n"
    ".extern .shared .align 16 .b8 dyn[];\n"
    /* phase 0: tmp[c] = the sum of x[100 c .. 100 c + 100), thread by thread through shared memory
     */
    ".visible .entry sum_p0(.param .u64 x, .param .u64 tmp, .param .u64 w, .param .u64 out,"
    " .param .u64 fault)\n.reqntid 32, 1, 1\n{\n"
    " .reg .pred %p; .reg .b32 %r<10>; .reg .f32 %f<4>; .reg .b64 %d<8>;\n"
    " ld.param.u64 %d1, [x]; cvta.to.global.u64 %d1, %d1;\n"
    " ld.param.u64 %d2, [tmp]; cvta.to.global.u64 %d2, %d2;\n"
    " mov.u32 %r1, %ctaid.x; mov.u32 %r2, %tid.x;\n"
    " mul.lo.u32 %r3, %r1, 100; add.u32 %r3, %r3, %r2; mul.wide.u32 %d3, %r3, 4;\n"
    " add.u64 %d3, %d1, %d3; mov.f32 %f1, 0f00000000; mov.u32 %r4, %r2;\n"
    "$next:\n setp.ge.u32 %p, %r4, 100; @%p bra $summed;\n"
    " ld.global.f32 %f2, [%d3]; add.rn.f32 %f1, %f1, %f2;\n"
    " add.u64 %d3, %d3, 128; add.u32 %r4, %r4, 32; bra $next;\n"
    "$summed:\n mov.u32 %r5, dyn; shl.b32 %r6, %r2, 2; add.u32 %r6, %r6, %r5;\n"
    " st.shared.f32 [%r6+59000], %f1; bar.sync 0;\n"
    " setp.ne.u32 %p, %r2, 0; @%p ret;\n mov.f32 %f1, 0f00000000; mov.u32 %r7, 0;\n"
    "$fold:\n ld.shared.f32 %f2, [%r5+59000]; add.rn.f32 %f1, %f1, %f2;\n"
    " add.u32 %r5, %r5, 4; add.u32 %r7, %r7, 1; setp.lt.u32 %p, %r7, 32; @%p bra $fold;\n"
    " mul.wide.u32 %d4, %r1, 4; add.u64 %d4, %d2, %d4; st.global.f32 [%d4], %f1; ret;\n}\n"
    /* phase 1: out = w = w + the sum of tmp */
    ".visible .entry sum_p1(.param .u64 x, .param .u64 tmp, .param .u64 w, .param .u64 out,"
    " .param .u64 fault)\n.reqntid 32, 1, 1\n{\n"
    " .reg .pred %p; .reg .b32 %r<4>; .reg .f32 %f<4>; .reg .b64 %d<8>;\n"
    " mov.u32 %r1, %tid.x; setp.ne.u32 %p, %r1, 0; @%p ret;\n"
    " ld.param.u64 %d1, [tmp]; cvta.to.global.u64 %d1, %d1;\n"
    " ld.param.u64 %d2, [w]; cvta.to.global.u64 %d2, %d2;\n"
    " ld.param.u64 %d3, [out]; cvta.to.global.u64 %d3, %d3;\n"
    " ld.global.f32 %f1, [%d2]; mov.u32 %r2, 0;\n"
    "$add:\n ld.global.f32 %f2, [%d1]; add.rn.f32 %f1, %f1, %f2; add.u64 %d1, %d1, 4;\n"
    " add.u32 %r2, %r2, 1; setp.lt.u32 %p, %r2, 10; @%p bra $add;\n"
    " st.global.f32 [%d2], %f1; st.global.f32 [%d3], %f1; ret;\n}\n"
    /* x[3] is an index that must be below 10 */
    ".visible .entry look_p0(.param .u64 x, .param .u64 fault)\n.reqntid 32, 1, 1\n{\n"
    " .reg .pred %p; .reg .b32 %r<4>; .reg .f32 %f<4>; .reg .b64 %d<8>;\n"
    " ld.param.u64 %d1, [x]; cvta.to.global.u64 %d1, %d1;\n"
    " ld.param.u64 %d2, [fault]; cvta.to.global.u64 %d2, %d2;\n"
    " ld.global.f32 %f1, [%d1+12]; setp.ltu.f32 %p, %f1, 0f41200000; @%p ret;\n"
    " atom.global.cas.b32 %r1, [%d2], 0, 2; setp.ne.u32 %p, %r1, 0; @%p ret;\n"
    " cvt.rzi.s64.f32 %d3, %f1; st.global.u64 [%d2+8], %d3; ret;\n}\n";

static const struct nn_code code = {.text = ptx, .bytes = sizeof ptx - 1, .target = "sm_75"};

static struct nn_image *build(struct image_builder *b, uint64_t arena, size_t *bytes)
{
    uint64_t w = image_slot(b, "w", NN_SLOT_PARAM, NN_f32, 1, 0);
    image_slot(b, "acc", NN_SLOT_ACC, NN_f32, 3, 0);
    image_slot(b, "step", NN_SLOT_SYS, NN_i64, 0, 0);
    uint64_t last = image_slot(b, "last", NN_SLOT_STATE, NN_f32, BATCH * M, COLUMNS);
    struct nn_value_rec in = image_value(b, "x", NN_f32, N, 0),
                        out = image_value(b, "y", NN_f32, 0, 0);
    uint32_t g = image_graph(b, "sum", &in, 1, &out, 1, arena, 0);
    struct nn_arg_rec args[] = {image_arg(NN_SPACE_INPUT, 0, NN_f32, N, false),
                                image_arg(NN_SPACE_ARENA, 256, NN_f32, CHUNKS, true),
                                image_arg(NN_SPACE_SLOT, w, NN_f32, 1, true),
                                image_arg(NN_SPACE_OUTPUT, 0, NN_f32, 1, true)};
    b->kernel_name[0] = "sum";
    b->kernel_name[1] = "look";
    b->target = "sm_75";
    image_launch(b, g, 1, args, 1, 1, 0);
    image_gpu(b, g, 32, 0);
    image_launch(b, g, 0, args, 4, CHUNKS, 1);
    image_gpu(b, g, 32, SHARED);

    struct nn_value_rec ab[] = {image_value(b, "a", NN_f32, BATCH * M, K),
                                image_value(b, "b", NN_f32, BATCH * COLUMNS, K)};
    struct nn_value_rec c = image_value(b, "c", NN_f32, BATCH * M, COLUMNS);
    uint32_t p = image_graph(b, "product", ab, 2, &c, 1, 0, 0);
    struct nn_arg_rec pargs[] = {image_arg(NN_SPACE_INPUT, 0, NN_f32, BATCH * M * K, false),
                                 image_arg(NN_SPACE_INPUT, 1, NN_f32, BATCH * COLUMNS * K, false),
                                 image_arg(NN_SPACE_OUTPUT, 0, NN_f32, BATCH * M * COLUMNS, true)};
    struct nn_gemm_rec r = {.m = M, .n = COLUMNS, .k = K, .batch = BATCH, .lda = K, .ldb = K};
    r.ldc = COLUMNS;
    r.groups = 1;
    r.alpha = 1;
    r.stride_a = M * K;
    r.stride_b = COLUMNS * K;
    r.stride_c = M * COLUMNS;
    r.trans_b = 1;
    r.type_a = r.type_b = r.type_c = NN_f32;
    image_launch(b, p, 0, pargs, 3, 0, 0);
    image_gemm(b, p, &r);
    pargs[2] = image_arg(NN_SPACE_SLOT, last, NN_f32, BATCH * M * COLUMNS, true);
    r.batch = 1; /* one of them, into a slot */
    image_launch(b, p, 0, pargs, 3, 0, 0);
    image_gemm(b, p, &r);
    return image_done(b, 2, bytes);
}

static float x[N], a[BATCH * M * K], bt[BATCH * COLUMNS * K];

static float weight(struct nn_exec *e)
{
    struct nn_message m;
    test(nn_exec_fetch(e, &m) == NN_OK);
    return *(float *)nn_exec_slot(e, nn_exec_find_slot(e, "w"));
}

/* Runs one ahead, its batch overwritten at once; then slots set and read. */
static void sums(struct nn_exec *e)
{
    struct nn_message m;
    const void *in[] = {x};
    int g = nn_exec_graph(e, "sum"), w = nn_exec_find_slot(e, "w");
    *(float *)nn_exec_slot(e, w) = 1000;
    nn_exec_changed(e, w);
    test(nn_exec_set_scalar(e, "step", 7));
    test(nn_exec_depth(e, g) == 2);
    float want = 1000;
    for (int r = 0; r < 20; r++) {
        for (int i = 0; i < N; i++)
            x[i] = (float)((i + r) % 9);
        test(nn_exec_start(e, g, in, &m) == NN_OK);
        memset(x, 0, sizeof x);
        if (nn_exec_under_way(e) < 2)
            continue;
        for (int i = 0; i < N; i++)
            want += (float)((i + r - 1) % 9);
        test(nn_exec_finish(e, &m) == NN_OK);
        test(*(const float *)nn_exec_output(e, g, 0) == want);
    }
    test(nn_exec_start(e, g, in, &m) == NN_OK && nn_exec_start(e, g, in, &m) == NN_USAGE);
    test(nn_exec_finish(e, &m) == NN_OK && nn_exec_finish(e, &m) == NN_OK);
    test(nn_exec_under_way(e) == 0);
    for (int i = 0; i < N; i++)
        want += (float)((i + 19) % 9);
    test(weight(e) == want && *(const float *)nn_exec_output(e, g, 0) == want);
    test(*(int64_t *)nn_exec_slot(e, nn_exec_find_slot(e, "step")) == 7);
    x[3] = 12;
    test(nn_exec_run(e, g, in, &m) == NN_REFUSED);
    test_text(m.text, "model.nn:7: layer.op: index 12 is out of range");
    x[3] = 0;
    test(nn_exec_run(e, g, in, &m) == NN_OK);
    double seconds[2] = {-1, -1};
    nn_exec_time_launches(e, seconds);
    test(nn_exec_run(e, g, in, &m) == NN_OK && seconds[0] >= 0 && seconds[1] >= 0);
    nn_exec_time_launches(e, NULL);
}

static double product(int batch, int i, int j)
{
    double sum = 0;
    for (int k = 0; k < K; k++)
        sum += (double)a[(batch * M + i) * K + k] * (double)bt[(batch * COLUMNS + j) * K + k];
    return sum;
}

static void products(struct nn_exec *e)
{
    struct nn_message m;
    const void *in[] = {a, bt};
    int g = nn_exec_graph(e, "product"), last = nn_exec_find_slot(e, "last");
    for (int i = 0; i < BATCH * M * K; i++)
        a[i] = (float)(i * 7 % 13) - 6;
    for (int i = 0; i < BATCH * COLUMNS * K; i++)
        bt[i] = (float)(i * 5 % 11) - 5;
    for (int r = 0; r < 3; r++)
        test(nn_exec_run(e, g, in, &m) == NN_OK);
    test(nn_exec_fetch(e, &m) == NN_OK);
    const float *c = nn_exec_output(e, g, 0), *l = nn_exec_slot(e, last);
    for (int b = 0; b < BATCH; b++)
        for (int i = 0; i < M; i++)
            for (int j = 0; j < COLUMNS; j++)
                test((double)c[(b * M + i) * COLUMNS + j] == product(b, i, j));
    for (int i = 0; i < M; i++)
        for (int j = 0; j < COLUMNS; j++)
            test((double)l[i * COLUMNS + j] == product(0, i, j));
}

static void nans(struct nn_device *d, const struct nn_image *image, size_t bytes)
{
    struct nn_message m;
    struct nn_exec *e;
    const void *in[] = {x};
    struct nn_exec_options o = {.device = d, .code = &code, .check_nan = true};
    test(nn_exec_open(&e, image, bytes, NULL, 0, &o, &m) == NN_OK);
    test(nn_exec_depth(e, 0) == 1 && nn_exec_run(e, 0, in, &m) == NN_OK);
    x[500] = NAN;
    test(nn_exec_run(e, 0, in, &m) == NN_REFUSED);
    test_text(m.text, "model.nn:7: layer.op: the first result that is not a number (NaN)");
    x[500] = 0;
    nn_exec_close(e);
}

static void refusals(struct nn_device *d, const struct nn_image *image, size_t bytes)
{
    struct nn_message m;
    struct nn_exec *e;
    const struct nn_code wrong = {".version 7.0\n.target sm_75\n.address_size 64\nnonsense\n", 53,
                                  "sm_75", NULL};
    const struct nn_code empty = {".version 7.0\n.target sm_75\n.address_size 64\n", 44, "sm_75",
                                  NULL};
    struct nn_exec_options o = {.device = d};
    test(nn_exec_open(&e, image, bytes, NULL, 0, &o, &m) == NN_USAGE);
    test_text(m.text, "the image's code for the GPU is missing");
    o.code = &wrong;
    test(nn_exec_open(&e, image, bytes, NULL, 0, &o, &m) == NN_MACHINE);
    test(strstr(m.text, "the kernels for sm_75 were refused: ") && strstr(m.text, "4"));
    o.code = &empty;
    test(nn_exec_open(&e, image, bytes, NULL, 0, &o, &m) == NN_MACHINE);
    test(!strncmp(m.text, "sum_p0: ", 8));
    size_t n;
    struct image_builder *b = xcalloc(1, sizeof *b);
    const struct nn_image *huge = build(b, (uint64_t)1 << 44, &n);
    o.code = &code;
    test(nn_exec_open(&e, huge, n, NULL, 0, &o, &m) == NN_MACHINE);
    test(!strncmp(m.text, "out of memory: the model needs 17592219.", 40) &&
         strstr(m.text, "MB free of"));
    text_free(&b->t);
    free(b);
}

/* A whole life with the n-th call failing: a message, nothing kept. Whether a call failed. */
static bool life(void (*fail)(uint64_t, int), size_t (*alive)(uint64_t *), uint64_t n,
                 const struct nn_image *image, size_t bytes)
{
    struct nn_message m = {""};
    struct nn_cuda *c = NULL;
    struct nn_device *d = NULL;
    struct nn_exec *e = NULL;
    const void *in[] = {x}, *ab[] = {a, bt};
    uint64_t before, after;
    alive(&before);
    fail(n, 2);
    enum nn_status s = nn_cuda_open(&c, &(struct nn_cuda_options){.sim = true}, &m);
    if (!s)
        s = nn_cuda_device(&d, c, 0, &m);
    struct nn_exec_options o = {.device = d, .code = &code};
    if (!s)
        s = nn_exec_open(&e, image, bytes, NULL, 0, &o, &m);
    for (int r = 0; !s && r < 3; r++)
        s = nn_exec_run(e, 0, in, &m);
    if (!s)
        s = nn_exec_run(e, 1, ab, &m);
    if (!s)
        s = nn_exec_fetch(e, &m);
    nn_exec_close(e);
    nn_device_close(d);
    nn_cuda_close(c);
    fail(0, 0);
    alive(&after);
    test(!s || (s == NN_MACHINE && strlen(m.text) > 10));
    test(after <= before || (n && !s)); /* what a failing free leaves is not ours */
    return s != NN_OK;
}

static void failures(const struct nn_cuda *c, const struct nn_image *image, size_t bytes)
{
    void *library = dlopen(nn_cuda_library(c), RTLD_NOW);
    void (*fail)(uint64_t, int);
    size_t (*alive)(uint64_t *);
    void *f = dlsym(library, "nnsim_fail"), *v = dlsym(library, "nnsim_alive");
    test(f && v);
    if (!f || !v)
        return;
    memcpy(&fail, &f, sizeof f);
    memcpy(&alive, &v, sizeof v);
    uint64_t n = 1, silent = 0;
    for (; silent < 12 && n < 1000; n++) /* the calls that close fail in silence */
        silent = life(fail, alive, n, image, bytes) ? 0 : silent + 1;
    test(n > 60 && n < 1000);
    test(!life(fail, alive, 0, image, bytes));
    dlclose(library);
}

/* The assembler, where there is one: its work is kept, what it refuses is told. */
static void assembler(void)
{
    char path[4096], why[200], folder[] = "/tmp/nnc-test-XXXXXX", command[100];
    void *one, *two;
    size_t n;
    if (!nn_cuda_find_ptxas(path, sizeof path))
        return;
    test(mkdtemp(folder) && !setenv("NNC_CACHE", folder, 1));
    test(nn_cuda_assemble(ptx, sizeof ptx - 1, "sm_80", &one, &n, why, sizeof why));
    test(one && n > 4 && !memcmp(one, "\177ELF", 4));
    free(one);
    snprintf(command, sizeof command, "cd %s && test $(ls | wc -l) = 1 && echo kept >$(ls)",
             folder);
    test(system(command) == 0);
    test(nn_cuda_assemble(ptx, sizeof ptx - 1, "sm_80", &two, &n, why, sizeof why));
    test(two && !memcmp(two, "kept", 4));
    free(two);
    test(!nn_cuda_assemble("nonsense\n", 9, "sm_80", &one, &n, why, sizeof why) && !one && *why);
    test(!setenv("NNC_CACHE", "off", 1));
    test(nn_cuda_assemble(ptx, sizeof ptx - 1, "sm_80", &one, &n, why, sizeof why));
    test(one && !memcmp(one, "\177ELF", 4));
    free(one);
    snprintf(command, sizeof command, "rm -r %s", folder);
    test(system(command) == 0);
}

int main(void)
{
    struct nn_message m;
    struct nn_cuda *c;
    struct nn_device *d;
    struct nn_exec *e;
    struct nn_cuda_info info;
    struct image_builder *b = xcalloc(1, sizeof *b);
    size_t bytes;
    test(nn_cuda_open(&c, &(struct nn_cuda_options){.sim = true, .chip = "sm_00"}, &m) == NN_USAGE);
    test(!strncmp(m.text, "the software GPU has no chip sm_00; it has sm_75, ", 50));
    enum nn_status s =
        nn_cuda_open(&c, &(struct nn_cuda_options){.sim = true, .chip = "sm_80"}, &m);
    if (s) {
        printf("%s\n", m.text);
        return 1;
    }
    struct nn_cuda *other;
    test(nn_cuda_open(&other, &(struct nn_cuda_options){.sim = true, .chip = "sm_90"}, &m) ==
         NN_USAGE);
    test(strstr(m.text, "has a software GPU of another chip already: sm_90 ") != NULL);
    char blas[256];
    test(nn_cuda_blas(c, blas, sizeof blas, &m) == NN_OK && !strcmp(blas, nn_cuda_library(c)));
    const struct nn_image *image = build(b, 256 + 4 * CHUNKS, &bytes);
    test(nn_cuda_is_sim(c) && nn_cuda_count(c) >= 1);
    test(nn_cuda_info(c, 0, &info, &m) == NN_OK && info.major == 8 && info.minor == 0);
    test(nn_cuda_device(&d, c, 99, &m) == NN_MACHINE && !d);
    test(nn_cuda_device(&d, c, 0, &m) == NN_OK);
    struct nn_exec_options o = {.device = d, .code = &code};
    test(nn_exec_open(&e, image, bytes, NULL, 0, &o, &m) == NN_OK);
    if (!e) {
        printf("%s\n", m.text);
        return 1;
    }
    sums(e);
    products(e);
    nn_exec_close(e);
    nans(d, image, bytes);
    refusals(d, image, bytes);
    nn_device_close(d);
    failures(c, image, bytes);
    nn_cuda_close(c);
    assembler();
    text_free(&b->t);
    free(b);
    return test_done();
}
