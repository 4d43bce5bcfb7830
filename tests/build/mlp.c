/* The library of examples/mnist/mlp.nn in a C program: argv: folder of the data, weights to write.
 */
#include "mlp.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { STEPS = 6, TRAIN = STEPS * MLP_BATCH, TEST = 1000 };
static uint8_t image[TRAIN][MLP_IMAGE_SIZE], label[TRAIN];
static uint8_t test_image[TEST][MLP_IMAGE_SIZE], test_label[TEST];

static void idx(const char *dir, const char *name, size_t head, void *to, size_t n)
{
    char path[1000], skip[16];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    gzFile f = gzopen(path, "rb");
    if (!f || gzread(f, skip, (unsigned)head) != (int)head || gzread(f, to, (unsigned)n) != (int)n)
        exit(printf("cannot read %s\n", path));
    gzclose(f);
}

#define CHECK(x) ((x) ? (void)0 : exit(printf("line %d: %s: %s\n", __LINE__, #x, mlp_error(ctx))))

/* What it gives is NaN to whoever reads what nobody wrote. */
static void *take(void *user, size_t n)
{
    (void)user;
    void *p = aligned_alloc(64, n);
    return p ? memset(p, 0xff, n) : NULL;
}

static void give(void *user, void *p, size_t n)
{
    (void)user;
    (void)n;
    free(p);
}

static void log_line(void *user, const char *line)
{
    ++*(int *)user;
    printf("%s\n", line);
}

/* Of row i the largest output is j. */
static int argmax(const float *y)
{
    int best = 0;
    for (int j = 1; j < MLP_OUTPUT_SIZE; j++)
        best = y[j] > y[best] ? j : best;
    return best;
}

static void refusals(struct mlp *ctx)
{
    struct nn_options o = {.device = "z80"};
    struct mlp *none = ctx;
    struct nn_dltensor v;
    CHECK(mlp_open(&o, &none) == NN_USAGE && !none && strstr(mlp_error(NULL), "z80"));
    char bound[80], endless[300] = {0};
    o.device = memset(endless, 'x', sizeof endless - 1);
    CHECK(mlp_open(&o, &none) == NN_USAGE && !none && strstr(mlp_error(NULL), "xxx"));
    snprintf(bound, sizeof bound, "batch is %d; MLP was built for 1 to %d", MLP_MAX_BATCH + 1,
             MLP_MAX_BATCH);
    CHECK(mlp_forward(ctx, MLP_MAX_BATCH + 1, image[0], NULL) == NN_USAGE &&
          strstr(mlp_error(ctx), bound));
    CHECK(mlp_forward(ctx, 0, image[0], NULL) == NN_USAGE);
    CHECK(mlp_forward(ctx, 1, NULL, NULL) == NN_USAGE && strstr(mlp_error(ctx), "`image` is NULL"));
    CHECK(mlp_train_step(ctx, image[0], NULL, NULL) == NN_USAGE &&
          strstr(mlp_error(ctx), "`label` is NULL"));
    CHECK(mlp_evaluate(ctx, 1, NULL, NULL) == NN_USAGE &&
          mlp_evaluate(ctx, 0, NULL, NULL) == NN_OK);
    CHECK(mlp_forward(ctx, 1, image[0], (float *)(void *)((char *)&v + 1)) == NN_USAGE &&
          strstr(mlp_error(ctx), "`output` is not aligned to 4 bytes"));
    CHECK(mlp_load(ctx, "/nowhere/w") && strstr(mlp_error(ctx), "/nowhere/w"));
    CHECK(mlp_param(ctx, "fc9.weight", &v) == NN_USAGE && strstr(mlp_error(ctx), "fc9"));
    CHECK(!mlp_param_dlpack(ctx, "fc9.weight"));
    struct mlp_measured m;
    CHECK(mlp_metrics(ctx, &m) == NN_USAGE);
    label[3] = 99; /* no class */
    CHECK(mlp_train_step(ctx, image[0], label, NULL) == NN_REFUSED &&
          !strcmp(mlp_error(ctx), "label: element 3 is 99; it must be in 0..10"));
    CHECK(mlp_evaluate(ctx, 3, image[0], label) == NN_OK);
    CHECK(mlp_evaluate(ctx, 4, image[0], label) == NN_REFUSED && strstr(mlp_error(ctx), "is 99"));
}

static void nothing_given(struct mlp *ctx)
{
    struct nn_dltensor view;
    CHECK(mlp_save(ctx, NULL) == NN_USAGE && strstr(mlp_error(ctx), "the path is NULL"));
    CHECK(mlp_load(ctx, NULL) == NN_USAGE && strstr(mlp_error(ctx), "the path is NULL"));
    CHECK(mlp_save_state(ctx, NULL) == NN_USAGE && mlp_load_state(ctx, NULL) == NN_USAGE);
    CHECK(mlp_param(ctx, NULL, &view) == NN_USAGE && strstr(mlp_error(ctx), "name is NULL"));
    CHECK(mlp_param(ctx, "fc1.weight", NULL) == NN_USAGE && strstr(mlp_error(ctx), "view is NULL"));
    CHECK(!mlp_param_dlpack(ctx, NULL) && strstr(mlp_error(ctx), "name is NULL"));
}

static void no_context(void)
{
    struct mlp *const ctx = NULL;
    struct mlp_measured m;
    struct nn_dltensor view;
    float y[MLP_OUTPUT_SIZE];
    const char *why = "the context is NULL";
    CHECK(mlp_train_step(ctx, image[0], label, NULL) == NN_USAGE && !strcmp(mlp_error(NULL), why));
    CHECK(mlp_init(ctx, 1) == NN_USAGE && mlp_forward(ctx, 1, image[0], y) == NN_USAGE);
    CHECK(mlp_evaluate(ctx, 0, NULL, NULL) == NN_USAGE && mlp_metrics(ctx, &m) == NN_USAGE);
    CHECK(mlp_save(ctx, "w") == NN_USAGE && mlp_load(ctx, "w") == NN_USAGE);
    CHECK(mlp_save_state(ctx, "w") == NN_USAGE && mlp_load_state(ctx, "w") == NN_USAGE);
    CHECK(mlp_param(ctx, "fc1.weight", &view) == NN_USAGE && !mlp_param_dlpack(ctx, "fc1.weight"));
    CHECK(mlp_selftest(ctx) == NN_USAGE && !mlp_param_name(ctx, 0) && !mlp_device(ctx));
    mlp_close(ctx);
}

static void *take_odd(void *user, size_t n)
{
    char *p = take(user, n + 64);
    return p ? p + 16 : NULL;
}

static void give_odd(void *user, void *p, size_t n) { give(user, (char *)p - 16, n); }

static void bad_allocators(void)
{
    struct mlp *ctx = NULL;
    struct nn_allocator none = {take, NULL, NULL}, odd = {take_odd, give_odd, NULL};
    CHECK(mlp_open(&(struct nn_options){.allocator = &none}, &ctx) == NN_USAGE && !ctx &&
          strstr(mlp_error(NULL), "lacks alloc or release"));
    CHECK(mlp_open(&(struct nn_options){.allocator = &odd}, &ctx) == NN_USAGE && !ctx &&
          strstr(mlp_error(NULL), "not aligned to 64 bytes"));
}

int main(int argc, char **argv)
{
    int lines = 0;
    struct nn_allocator a = {take, give, NULL};
    struct nn_options o = {.threads = 2,
                           .steps = STEPS,
                           .allocator = &a,
                           .log = log_line,
                           .log_user = &lines,
                           .steps_per_epoch = STEPS};
    struct mlp *ctx = NULL;
    struct mlp_measured m, again;
    float loss = 0, first = 0;
    if (argc < 3)
        return 2;
    idx(argv[1], "train-images-idx3-ubyte.gz", 16, image, sizeof image);
    idx(argv[1], "train-labels-idx1-ubyte.gz", 8, label, sizeof label);
    idx(argv[1], "t10k-images-idx3-ubyte.gz", 16, test_image, sizeof test_image);
    idx(argv[1], "t10k-labels-idx1-ubyte.gz", 8, test_label, sizeof test_label);

    CHECK(mlp_open(NULL, &ctx) == NN_OK); /* the schedule wants to know the number of steps */
    CHECK(mlp_train_step(ctx, image[0], label, NULL) == NN_USAGE &&
          strstr(mlp_error(ctx), "steps"));
    mlp_close(ctx);
    CHECK(mlp_open(&(struct nn_options){.steps = -5}, &ctx) == NN_USAGE &&
          strstr(mlp_error(NULL), "steps -5"));
    CHECK(mlp_open(&o, NULL) == NN_USAGE && strstr(mlp_error(NULL), "NULL"));
    CHECK(mlp_open(&o, &ctx) == NN_OK && lines == 1);
    nothing_given(ctx);
    no_context();
    bad_allocators();
    CHECK(mlp_selftest(ctx) == NN_OK && lines == 2);
    for (int s = 0; s < STEPS; s++) {
        CHECK(mlp_train_step(ctx, image[s * MLP_BATCH], label + s * MLP_BATCH,
                             s % 2 ? NULL : &loss) == NN_OK);
        first = s ? first : loss;
    }
    CHECK(loss < first);
    CHECK(mlp_evaluate(ctx, 300, test_image[0], test_label) == NN_OK); /* 2 batches and 44 more */
    CHECK(mlp_evaluate(ctx, TEST - 300, test_image[300], test_label + 300) == NN_OK);
    CHECK(mlp_metrics(ctx, &m) == NN_OK);
    CHECK(mlp_save(ctx, argv[2]) == NN_OK);

    int right = 0;
    for (int i = 0; i < TEST; i++) {
        float y[MLP_OUTPUT_SIZE];
        CHECK(mlp_forward(ctx, 1, test_image[i], y) == NN_OK);
        right += argmax(y) == test_label[i];
    }
    printf("loss %.6f accuracy %.4f\n", (double)m.loss, (double)m.accuracy);
    CHECK(right == (int)(m.accuracy * TEST + 0.5f));

    struct nn_dlmanaged *w = mlp_param_dlpack(ctx, "fc1.weight");
    CHECK(w && w->tensor.rank == 2 && w->tensor.shape[1] == 784 && w->tensor.strides[0] == 784);
    CHECK(mlp_init(ctx, 7) == NN_OK && mlp_load(ctx, argv[2]) == NN_OK);
    CHECK(mlp_evaluate(ctx, TEST, test_image[0], test_label) == NN_OK);
    CHECK(mlp_metrics(ctx, &again) == NN_OK && !memcmp(&m, &again, sizeof m));
    refusals(ctx);
    mlp_close(ctx);
    ((float *)w->tensor.data)[0] = 1; /* the tensor has outlived the context */
    w->deleter(w);
    return 0;
}
