/* The training loop, on a linear regression whose kernels are C functions: it learns; one and three
 * threads, interrupted, killed and resumed runs end in the same bytes; a full disk, NaN and a
 * foreign checkpoint leave what was saved whole; nothing is allocated after the first step. */
#include "train/train.h"
#include "common.h"
#include "hand.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 8, TRAIN = 44, TEST = 19, WIDE = 3000, EPOCHS = 5, STEPS = EPOCHS * 5, CHUNKS = 4 };

/* ---- counting the C library's allocations, where no sanitizer stands in between ---- */
static volatile int counting, allocations;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__)
#define COUNTS 1
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
static void count_one(void)
{
    if (counting)
        __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
}
void *malloc(size_t n)
{
    count_one();
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
    count_one();
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t n)
{
    count_one();
    return __libc_realloc(p, n);
}
void *aligned_alloc(size_t align, size_t n)
{
    count_one();
    return __libc_memalign(align, n);
}
#else
#define COUNTS 0
#endif

/* ---- the model: y = x . w, SGD with momentum, w WIDE long so that files have some size ---- */
static volatile sig_atomic_t stop;
static int64_t stop_at = -1, stop_in_eval_after = -1, nan_at = -1;
static int slow;

static void init_kernel(const struct nn_args *a, int32_t phase, int64_t c0, int64_t c1)
{
    float *w = a->buf[0];
    const int64_t *seed = a->buf[1];
    (void)phase, (void)c0, (void)c1;
    for (uint64_t i = 0; i < WIDE; i++)
        w[i] = (float)(nn_mix((uint64_t)*seed, i) % 1000) * 1e-3f;
}

/* buf: x y w v seen step seed partial loss lr. Phase 0: a chunk's share of the gradient; 1: the
 * rest. */
static void step_kernel(const struct nn_args *a, int32_t phase, int64_t c0, int64_t c1)
{
    const float *x = a->buf[0], *y = a->buf[1];
    float *w = a->buf[2], *v = a->buf[3], *seen = a->buf[4], *partial = a->buf[7];
    int64_t *step = a->buf[5];
    const int64_t *seed = a->buf[6];
    for (int64_t c = c0; phase == 0 && c < c1; c++) {
        float *p = partial + c * 16;
        memset(p, 0, 16 * sizeof *p);
        for (int64_t r = c * BATCH / CHUNKS; r < (c + 1) * BATCH / CHUNKS; r++) {
            float e = -y[r];
            for (int i = 0; i < 4; i++)
                e += x[4 * r + i] * w[i];
            for (int i = 0; i < 4; i++)
                p[i] += e * x[4 * r + i];
            p[4] += e * e;
        }
    }
    if (phase == 0)
        return;
    float sum[5] = {0}, *loss = a->buf[8], *lr = a->buf[9];
    for (int c = 0; c < CHUNKS; c++)
        for (int i = 0; i < 5; i++)
            sum[i] += partial[16 * c + i];
    float noise = (float)(nn_mix((uint64_t)*seed, (uint64_t)*step) % 1000) * 1e-7f;
    *lr = 0.25f;
    *loss = sum[4] / BATCH;
    for (int i = 0; i < 4; i++) {
        v[i] = 0.5f * v[i] + sum[i] / BATCH + noise;
        w[i] -= *lr * v[i];
    }
    seen[0] += BATCH;
    ++*step;
    if (*step == 1)
        counting = 1;
    if (*step == STEPS)
        counting = 0;
    if (*step == stop_at)
        stop = 1;
    if (*step == nan_at)
        *loss = NAN;
    if (slow)
        usleep(300);
}

/* buf: x y w acc; acc = {Σ e², Σ |e| < 0.5, n}; the batch is in the kernel's chunk count */
static void eval_kernel(const struct nn_args *a, int32_t phase, int64_t c0, int64_t c1)
{
    const float *x = a->buf[0], *y = a->buf[1], *w = a->buf[2];
    double *acc = a->buf[3];
    (void)phase, (void)c0;
    for (int64_t r = 0; r < c1; r++) {
        float e = -y[r];
        for (int i = 0; i < 4; i++)
            e += x[4 * r + i] * w[i];
        acc[0] += (double)(e * e);
        acc[1] += fabsf(e) < 0.5f;
        acc[2] += 1;
    }
    if (stop_in_eval_after >= 0 && stop_in_eval_after-- == 0)
        stop = 1;
}

static void metrics_kernel(const struct nn_args *a, int32_t phase, int64_t c0, int64_t c1)
{
    const double *acc = a->buf[0];
    float *loss = a->buf[1], *near = a->buf[2];
    (void)phase, (void)c0, (void)c1;
    *loss = (float)(acc[0] / acc[2]);
    *near = (float)(acc[1] / acc[2]);
    test(acc[2] == TEST); /* every sample once */
}
static nn_kernel *const kernels[] = {init_kernel, step_kernel, eval_kernel, metrics_kernel};

static void add_eval(struct image_builder *b, const char *name, int64_t batch, uint64_t w,
                     uint64_t acc)
{
    struct nn_value_rec in[] = {image_value(b, "x", NN_f32, batch, 4),
                                image_value(b, "y", NN_f32, batch, 0)};
    uint32_t g = image_graph(b, name, in, 2, NULL, 0, 0, 0);
    struct nn_arg_rec arg[] = {image_arg(NN_SPACE_INPUT, 0, NN_f32, (uint64_t)batch * 4, false),
                               image_arg(NN_SPACE_INPUT, 1, NN_f32, (uint64_t)batch, false),
                               image_arg(NN_SPACE_SLOT, w, NN_f32, WIDE, false),
                               image_arg(NN_SPACE_SLOT, acc, NN_f64, 3, true)};
    image_launch(b, g, 2, arg, 4, batch, 0);
    b->launch[g][0].flops = 0; /* its chunks are one sum: on one thread */
}

static struct nn_image *build(struct image_builder *b, const char *weight, size_t *bytes)
{
    uint64_t w = image_slot(b, weight, NN_SLOT_PARAM, NN_f32, WIDE, 0);
    uint64_t v = image_slot(b, "v", NN_SLOT_OPT, NN_f32, 4, 0);
    uint64_t seen = image_slot(b, "seen", NN_SLOT_STATE, NN_f32, 0, 0);
    uint64_t acc = image_slot(b, "acc", NN_SLOT_ACC, NN_f64, 3, 0);
    uint64_t step = image_slot(b, "step", NN_SLOT_SYS, NN_i64, 0, 0);
    uint64_t seed = image_slot(b, "seed", NN_SLOT_SYS, NN_i64, 0, 0);
    image_slot(b, "steps", NN_SLOT_SYS, NN_i64, 0, 0);

    uint32_t g = image_graph(b, "init", NULL, 0, NULL, 0, 0, 0);
    struct nn_arg_rec init[] = {image_arg(NN_SPACE_SLOT, w, NN_f32, WIDE, true),
                                image_arg(NN_SPACE_SLOT, seed, NN_i64, 1, false)};
    image_launch(b, g, 0, init, 2, 1, 0);

    /* The inputs in another order than the data set's fields. */
    struct nn_value_rec in[] = {image_value(b, "y", NN_f32, BATCH, 0),
                                image_value(b, "x", NN_f32, BATCH, 4)};
    struct nn_value_rec out[] = {image_value(b, "lr", NN_f32, 0, 0),
                                 image_value(b, "loss", NN_f32, 0, 0)};
    g = image_graph(b, "step", in, 2, out, 2, 64 * CHUNKS, 0);
    struct nn_arg_rec arg[] = {image_arg(NN_SPACE_INPUT, 1, NN_f32, BATCH * 4, false),
                               image_arg(NN_SPACE_INPUT, 0, NN_f32, BATCH, false),
                               image_arg(NN_SPACE_SLOT, w, NN_f32, WIDE, true),
                               image_arg(NN_SPACE_SLOT, v, NN_f32, 4, true),
                               image_arg(NN_SPACE_SLOT, seen, NN_f32, 1, true),
                               image_arg(NN_SPACE_SLOT, step, NN_i64, 1, true),
                               image_arg(NN_SPACE_SLOT, seed, NN_i64, 1, false),
                               image_arg(NN_SPACE_ARENA, 0, NN_f32, 16 * CHUNKS, true),
                               image_arg(NN_SPACE_OUTPUT, 1, NN_f32, 1, true),
                               image_arg(NN_SPACE_OUTPUT, 0, NN_f32, 1, true)};
    image_launch(b, g, 1, arg, 10, CHUNKS, 1);
    add_eval(b, "eval", BATCH, w, acc);
    char tail[32];
    snprintf(tail, sizeof tail, "eval.tail.%d", (int)(TEST % BATCH));
    add_eval(b, tail, TEST % BATCH, w, acc);

    struct nn_value_rec metrics[] = {image_value(b, "loss", NN_f32, 0, 0),
                                     image_value(b, "near", NN_f32, 0, 0)};
    g = image_graph(b, "metrics", NULL, 0, metrics, 2, 0, 0);
    struct nn_arg_rec last[] = {image_arg(NN_SPACE_SLOT, acc, NN_f64, 3, false),
                                image_arg(NN_SPACE_OUTPUT, 0, NN_f32, 1, true),
                                image_arg(NN_SPACE_OUTPUT, 1, NN_f32, 1, true)};
    image_launch(b, g, 3, last, 3, 1, 0);
    return image_done(b, 4, bytes);
}

/* ---- running ---- */
static char dir[64];
static struct nn_message m;

static const char *in_dir(const char *name)
{
    static char p[4][160];
    static int next;
    next = (next + 1) % 4;
    snprintf(p[next], sizeof p[next], "%s/%s", dir, name);
    return p[next];
}

static void put_data(void)
{
    static float x[4 * (TRAIN + TEST)], y[TRAIN + TEST];
    for (uint64_t i = 0; i < TRAIN + TEST; i++) {
        for (uint64_t k = 0; k < 4; k++)
            x[4 * i + k] = (float)(nn_mix(1, 4 * i + k) % 2000) * 1e-3f - 1;
        y[i] = 3 * x[4 * i] - 2 * x[4 * i + 1] + x[4 * i + 2] - x[4 * i + 3];
    }
    int64_t train[] = {TRAIN, 4}, held[] = {TEST, 4};
    test(nn_npy_write(in_dir("x.npy"), NN_f32, 2, train, x, &m) == NN_OK);
    test(nn_npy_write(in_dir("y.npy"), NN_f32, 1, train, y, &m) == NN_OK);
    test(nn_npy_write(in_dir("tx.npy"), NN_f32, 2, held, x + 4 * TRAIN, &m) == NN_OK);
    test(nn_npy_write(in_dir("ty.npy"), NN_f32, 1, held, y + TRAIN, &m) == NN_OK);
}

struct setup {
    const char *out, *weight, *best;
    int threads;
    bool resume;
    int64_t epochs, seed, save;
    enum nn_status status;
    struct nn_train_result result;
};

static enum nn_status train(struct setup *s)
{
    struct nn_field f[] = {{.name = "x", .dtype = NN_f32, .rank = 1, .dim = {4}},
                           {.name = "y", .dtype = NN_f32}};
    f[0].source[NN_TRAIN] = (struct nn_source){.kind = NN_SOURCE_NPY, .file = "x.npy"};
    f[1].source[NN_TRAIN] = (struct nn_source){.kind = NN_SOURCE_NPY, .file = "y.npy"};
    f[0].source[NN_TEST] = (struct nn_source){.kind = NN_SOURCE_NPY, .file = "tx.npy"};
    f[1].source[NN_TEST] = (struct nn_source){.kind = NN_SOURCE_NPY, .file = "ty.npy"};
    struct nn_data_options d = {.dir = dir, .field = f, .fields = 2};
    struct image_builder *b = xcalloc(1, sizeof *b);
    size_t bytes;
    const struct nn_image *image = build(b, s->weight ? s->weight : "w", &bytes);
    struct nn_train_options o = {.batch = BATCH,
                                 .epochs = s->epochs ? s->epochs : EPOCHS,
                                 .seed = s->seed ? s->seed : 7,
                                 .shuffle = true,
                                 .save = s->save,
                                 .best = s->best,
                                 .out = s->out,
                                 .resume = s->resume,
                                 .stop = &stop};
    struct nn_pool *pool;
    struct nn_data *data;
    stop = 0;
    test(nn_pool_open(&pool, s->threads ? s->threads : 1, &m) == NN_OK);
    test(nn_data_open(&data, &d, &m) == NN_OK);
    struct nn_exec_options eo = {.pool = pool};
    test(nn_exec_open(&o.exec, image, bytes, kernels, 4, &eo, &m) == NN_OK);
    o.data = data;
    s->status = nn_train(&o, &s->result, &m);
    counting = 0;
    nn_exec_close(o.exec);
    nn_data_close(data);
    nn_pool_close(pool);
    text_free(&b->t);
    free(b);
    return s->status;
}

static char *contents(const char *out, const char *name, size_t *n)
{
    char p[256];
    snprintf(p, sizeof p, "%s/%s", out, name);
    char *t = file_read(p, 1 << 24, n);
    test(t != NULL);
    return t;
}

static int same_files(const char *a, const char *b)
{
    static const char *const names[] = {"last.safetensors", "best.safetensors",
                                        "state.safetensors"};
    int same = 1;
    for (size_t i = 0; i < COUNT(names); i++) {
        size_t n = 0, k = 0;
        char *x = contents(a, names[i], &n), *y = contents(b, names[i], &k);
        same &= n == k && n > 100 && !memcmp(x, y, n);
        free(x);
        free(y);
    }
    return same;
}

/* The log without times: "seconds" to the end of the line is left out. */
static char *log_text(const char *out)
{
    size_t n;
    char *t = contents(out, "log.jsonl", &n), *w = t;
    for (const char *r = t; *r;) {
        if (!strncmp(r, ",\"seconds\"", 10))
            r += strcspn(r, "\n");
        *w++ = *r++;
    }
    *w = 0;
    return t;
}

static int same_logs(const char *a, const char *b)
{
    char *x = log_text(a), *y = log_text(b);
    int same = !strcmp(x, y);
    if (!same)
        printf("---- one log\n%s---- the other\n%s", x, y);
    free(x);
    free(y);
    return same;
}

/* ---- the tests ---- */

static void learns(void)
{
    struct setup s = {.out = in_dir("ref"), .save = 3};
    counting = 1;
    free(strdup("counted"));
    counting = 0;
    test(!COUNTS || allocations == 1);
    allocations = 0;
    test(train(&s) == NN_OK);
    test(!COUNTS || allocations == 0);
    test(s.result.step == STEPS && s.result.epoch == EPOCHS && s.result.best < 0.05);
    char *log = log_text(in_dir("ref"));
    test(!strncmp(log, "{\"event\":\"step\",\"step\":1,\"epoch\":1,\"loss\":", 42));
    test(strstr(log, ",\"lr\":0.25}\n{\"event\":\"step\",\"step\":2,\"epoch\":1,"));
    test(strstr(log, "{\"event\":\"epoch\",\"epoch\":5,\"step\":25,\"loss\":"));
    test(strstr(log, ",\"test\":{\"loss\":") && strstr(log, ",\"near\":1}"));
    test(strstr(log, "{\"event\":\"done\",\"epoch\":5,\"step\":25,\"best\":"));
    free(log);
    struct nn_tensors *t;
    test(nn_tensors_open(&t, in_dir("ref/best.safetensors"), &m) == NN_OK);
    test(nn_tensors_count(t) == 2 && nn_tensors_find(t, "w") && nn_tensors_find(t, "seen"));
    nn_tensors_close(t);

    struct setup three = {.out = in_dir("three"), .save = 3, .threads = 3};
    test(train(&three) == NN_OK);
    test(same_files(in_dir("ref"), in_dir("three")) && same_logs(in_dir("ref"), in_dir("three")));
    struct setup other = {.out = in_dir("other"), .save = 3, .seed = 8};
    test(train(&other) == NN_OK && !same_files(in_dir("ref"), in_dir("other")));
}

/* Stopped after each step, and within each evaluation, then resumed. */
static void interrupts(void)
{
    for (int64_t at = 1; at < STEPS; at++) {
        struct setup s = {.out = in_dir("int"), .save = 3};
        stop_at = at;
        test(train(&s) == NN_INTERRUPTED && s.result.step == at);
        stop_at = -1;
        s.resume = true;
        test(train(&s) == NN_OK);
        test(same_files(in_dir("ref"), in_dir("int")) && same_logs(in_dir("ref"), in_dir("int")));
    }
    for (int64_t batch = 0; batch < 3 * (EPOCHS - 1); batch++) {
        struct setup s = {.out = in_dir("int"), .save = 3};
        stop_in_eval_after = batch;
        enum nn_status status = train(&s);
        stop_in_eval_after = -1;
        test(status == NN_INTERRUPTED);
        s.resume = true;
        test(train(&s) == NN_OK);
        test(same_files(in_dir("ref"), in_dir("int")) && same_logs(in_dir("ref"), in_dir("int")));
    }
}

/* A run that is killed at any moment and started again until it ends. How long a start takes hangs
 * on what else the machine does: the later attempts get more time. */
static void kills(void)
{
    int killed = 0;
    for (uint64_t round = 0; round < 5; round++) {
        const char *out = in_dir("kill");
        char command[128];
        snprintf(command, sizeof command, "rm -rf %s", out);
        test(system(command) == 0);
        for (uint64_t attempt = 0; attempt < 100; attempt++) {
            fflush(stdout);
            pid_t child = fork();
            if (!child) {
                struct setup s = {.out = out, .save = 2, .resume = true, .threads = 2};
                slow = 1;
                _exit(train(&s) != NN_OK);
            }
            usleep((useconds_t)(3000 + nn_mix(round, attempt) % 9000 + attempt * attempt * 100));
            kill(child, SIGKILL);
            int status;
            waitpid(child, &status, 0);
            killed += WIFSIGNALED(status);
            if (WIFEXITED(status)) {
                test(WEXITSTATUS(status) == 0);
                break;
            }
        }
        test(same_files(in_dir("ref"), out) && same_logs(in_dir("ref"), out));
    }
    test(killed > 5);
}

/* Files may not grow past `bytes`: what a full disk does. */
static enum nn_status limited(struct setup *s, rlim_t bytes)
{
    struct rlimit old, now;
    getrlimit(RLIMIT_FSIZE, &old);
    now = (struct rlimit){bytes, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &now);
    enum nn_status status = train(s);
    setrlimit(RLIMIT_FSIZE, &old);
    return status;
}

static void full_disk(void)
{
    struct setup s = {.out = in_dir("full"), .save = 3};
    stop_at = 11;
    test(train(&s) == NN_INTERRUPTED);
    stop_at = -1;
    size_t n, k;
    char *before = contents(s.out, "state.safetensors", &n);
    s.resume = true;
    test(limited(&s, 8000) == NN_MACHINE);
    test(strstr(m.text, "cannot write ") &&
         strstr(m.text, "/full/last.safetensors: File too large"));
    test(limited(&s, 100) == NN_MACHINE && strstr(m.text, "log.jsonl: File too large"));
    char *after = contents(s.out, "state.safetensors", &k);
    test(n == k && !memcmp(before, after, n));
    test(access(in_dir("full/last.safetensors.tmp"), F_OK) != 0);
    test(train(&s) == NN_OK && same_files(in_dir("ref"), s.out));
    free(before);
    free(after);
}

static void wrong(void)
{
    struct setup s = {.out = in_dir("nan"), .save = 3};
    nan_at = 10;
    test(train(&s) == NN_REFUSED);
    test_text(m.text, "loss is NaN at step 10 (epoch 2); what was saved before stays");
    nan_at = -1;
    char *log = log_text(s.out);
    test(strstr(log, "\"step\":10,\"epoch\":2,\"loss\":null"));
    free(log);
    s.resume = true;
    test(train(&s) == NN_OK && same_files(in_dir("ref"), s.out) && same_logs(in_dir("ref"), s.out));

    s.weight = "weight";
    test(train(&s) == NN_REFUSED);
    test(strstr(m.text,
                "nan/state.safetensors does not belong to this model: slot/weight is missing"));
    s.weight = NULL;
    s.seed = 9;
    test(train(&s) == NN_REFUSED && strstr(m.text, "was saved with seed 7, this run has 9"));
    s.seed = 7;
    s.best = "accuracy";
    test(train(&s) == NN_REFUSED);
    test_text(m.text, "best = \"accuracy\": there is no metric accuracy");
    s.best = "near";
    s.out = "/proc/nowhere";
    test(train(&s) == NN_MACHINE && strstr(m.text, "cannot make the folder /proc/nowhere"));
    s.out = NULL;
    s.resume = false;
    test(train(&s) == NN_OK && s.result.best == 1);
    test(same_files(in_dir("ref"), in_dir("nan")));

    s = (struct setup){.out = in_dir("nan"), .save = 3}; /* anew: the old files are set aside */
    test(train(&s) == NN_OK && access(in_dir("nan/state.safetensors.old"), F_OK) == 0);
    test(same_files(in_dir("ref"), s.out));
}

static void metrics_text(void)
{
    static const struct nn_metric v[] = {
        {"loss.G", 0.1f}, {"loss.D", 1.0 / 3}, {"f1", 1e-7}, {"acc", INFINITY}};
    char text[256] = "";
    nn_append_metrics(text, sizeof text, v, 4);
    test_text(text, "\"loss\":{\"G\":0.1,\"D\":0.3333333333333333},\"f1\":1e-07,\"acc\":null");
    text[0] = 0;
    nn_append_metrics(text, sizeof text, v + 2, 1);
    test_text(text, "\"f1\":1e-07");
}

int main(void)
{
    metrics_text();
    snprintf(dir, sizeof dir, "%s/nnc-train-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    test(mkdtemp(dir) != NULL);
    put_data();
    learns();
    interrupts();
    kills();
    full_disk();
    wrong();
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    test(system(command) == 0);
    return test_done();
}
