/* Trains LeNet from arrays of this program's own, then infers; no compiler, no framework at run
 * time.
 *
 *   nnc build ../mnist/lenet.nn -o lib
 *   cc train.c -I lib lib/liblenet.a $(pkg-config --cflags --libs nnrt) -lz -o train
 *   ./train ../mnist/data [STEPS]
 *
 * zlib is here for this program's own reading of the data. */
#include "lenet.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

enum { TRAIN = 9000, TEST = 1000 };
static uint8_t image[TRAIN][LENET_IMAGE_SIZE], label[TRAIN];
static uint8_t test_image[TEST][LENET_IMAGE_SIZE], test_label[TEST];

/* An idx file without its header, unpacked. */
static void read_idx(const char *folder, const char *name, int header, void *to, unsigned bytes)
{
    char path[4096], skipped[16];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    gzFile f = gzopen(path, "rb");
    if (!f || gzread(f, skipped, (unsigned)header) != header ||
        gzread(f, to, bytes) != (int)bytes) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    gzclose(f);
}

static void check(enum nn_status status, const struct lenet *ctx)
{
    if (status == NN_OK)
        return;
    fprintf(stderr, "%s: %s\n", nn_status_text(status), lenet_error(ctx));
    exit(1);
}

static void print_line(void *user, const char *line)
{
    (void)user;
    puts(line);
}

int main(int argc, char **argv)
{
    int steps = argc > 2 ? atoi(argv[2]) : 350, batches = TRAIN / LENET_BATCH;
    if (argc < 2 || steps < 1) {
        fprintf(stderr, "usage: %s FOLDER-OF-MNIST [STEPS]\n", argv[0]);
        return 2;
    }
    read_idx(argv[1], "train-images-idx3-ubyte.gz", 16, image, sizeof image);
    read_idx(argv[1], "train-labels-idx1-ubyte.gz", 8, label, sizeof label);
    read_idx(argv[1], "t10k-images-idx3-ubyte.gz", 16, test_image, sizeof test_image);
    read_idx(argv[1], "t10k-labels-idx1-ubyte.gz", 8, test_label, sizeof test_label);

    struct nn_options options = {.steps = steps, .steps_per_epoch = batches, .log = print_line};
    struct lenet *ctx;
    check(lenet_open(&options, &ctx), ctx);
    check(lenet_selftest(ctx), ctx);

    for (int s = 0; s < steps; s++) {
        int at = s % batches * LENET_BATCH, shown = s % 50 == 0 || s == steps - 1;
        float loss;
        check(lenet_train_step(ctx, image[at], label + at, shown ? &loss : NULL), ctx);
        if (shown)
            printf("step %d  loss %.4f\n", s + 1, (double)loss);
    }

    struct lenet_measured m;
    check(lenet_evaluate(ctx, TEST, test_image[0], test_label), ctx);
    check(lenet_metrics(ctx, &m), ctx);
    printf("test loss %.4f, accuracy %.4f\n", (double)m.loss, (double)m.accuracy);

    float logits[LENET_OUTPUT_SIZE];
    int digit = 0;
    check(lenet_forward(ctx, 1, test_image[0], logits), ctx);
    for (int i = 1; i < LENET_OUTPUT_SIZE; i++)
        digit = logits[i] > logits[digit] ? i : digit;
    printf("the first test image shows a %d, its label is %d\n", digit, test_label[0]);

    check(lenet_save(ctx, "lenet.safetensors"), ctx);
    lenet_close(ctx);
    return 0;
}
