/* Data sets: splits that partition, windows, orders that are permutations, limits, mismatches, and
 * the loader's batches, which are those that gathering gives. */
#include "data/data.h"
#include "test.h"

#include <unistd.h>

static char dir[] = "/tmp/nnc-dataset-XXXXXX";
static struct nn_message m;

static void put(const char *name, const void *data, size_t n)
{
    char p[128];
    snprintf(p, sizeof p, "%s/%s", dir, name);
    test(file_write_atomic(p, data, n) == 0);
}

static int says(const char *part)
{
    if (strstr(m.text, part))
        return 1;
    printf("the message is: %s\n", m.text);
    return 0;
}

/* n samples u8[2] {i, 2*i} and n labels i % 10, as IDX. */
static void put_idx(const char *image, const char *label, int n)
{
    unsigned char x[12 + 2 * 256] = {0, 0, 8, 2, 0, 0, 0, (unsigned char)n, 0, 0, 0, 2};
    unsigned char y[8 + 256] = {0, 0, 8, 1, 0, 0, 0, (unsigned char)n};
    for (int i = 0; i < n; i++) {
        x[12 + 2 * i] = (unsigned char)i;
        x[13 + 2 * i] = (unsigned char)(2 * i);
        y[8 + i] = (unsigned char)(i % 10);
    }
    put(image, x, 12 + 2 * (size_t)n);
    put(label, y, 8 + (size_t)n);
}

static struct nn_field fields[2];
static struct nn_data_options options(const char *test_image, double test_share)
{
    fields[0] = (struct nn_field){.name = "image", .dtype = NN_u8, .rank = 1, .dim = {2}};
    fields[1] = (struct nn_field){.name = "label", .dtype = NN_i32, .limit = 10};
    fields[0].source[NN_TRAIN].file = "image";
    fields[1].source[NN_TRAIN].file = "label";
    fields[0].source[NN_TEST].file = test_image;
    fields[1].source[NN_TEST].file = test_image ? "test-label" : NULL;
    struct nn_data_options o = {.dir = dir, .field = fields, .fields = 2};
    fields[0].share[NN_TEST] = fields[1].share[NN_TEST] = test_share;
    return o;
}

static void blocks(void)
{
    struct nn_data *d;
    struct nn_walk w = {.split = NN_TEST};
    put_idx("image", "label", 100);
    put_idx("test-image", "test-label", 7);
    struct nn_data_options o = options("test-image", 0);
    test(nn_data_open(&d, &o, &m) == NN_OK);
    test(nn_data_count(d, NN_TRAIN) == 100 && nn_data_count(d, NN_TEST) == 7 &&
         nn_data_count(d, NN_VALID) == 0);
    test(nn_data_find(d, "label") == 1 && nn_data_find(d, "labels") == -1);
    unsigned char x[4];
    int32_t y[2];
    nn_data_gather(d, 0, &w, 5, 2, x);
    nn_data_gather(d, 1, &w, 5, 2, y);
    test(x[0] == 5 && x[1] == 10 && x[2] == 6 && x[3] == 12 && y[0] == 5 && y[1] == 6);
    nn_data_close(d);

    fields[1].limit = 9;
    test(nn_data_open(&d, &o, &m) == NN_REFUSED && !d);
    test(says("/label: entry 9 is 9; label must be in 0..9"));
    fields[1].limit = 10;
    fields[0].dim[0] = 3;
    test(nn_data_open(&d, &o, &m) == NN_REFUSED);
    test(says("/image holds u8[100, 2], but image is declared u8[3] a sample"));
    o = options("test-image", 0.1);
    test(nn_data_open(&d, &o, &m) == NN_REFUSED && says("image has a test file and a test share"));
    o = options("test-image", 0);
    fields[1].source[NN_TEST].file = NULL;
    test(nn_data_open(&d, &o, &m) == NN_REFUSED && says("field label has no test file"));
    put_idx("test-image", "other", 6);
    o = options("test-image", 0);
    test(nn_data_open(&d, &o, &m) == NN_REFUSED &&
         says("test: image has 6 samples, but label has 7"));
    put_idx("image", "other", 90);
    o = options(NULL, 0.1);
    test(nn_data_open(&d, &o, &m) == NN_REFUSED &&
         says("image has 90 samples (image), but label has 100 (label)"));
    put_idx("image", "label", 100);
    o.dir = "/nonexistent";
    test(nn_data_open(&d, &o, &m) == NN_REFUSED && says("cannot open /nonexistent/image: No such"));
}

/* Each of `total` samples is in exactly one split; the draw does not depend on the seed. */
static void shares(void)
{
    struct nn_data *d;
    put_idx("image", "label", 100);
    struct nn_data_options o = options(NULL, 0.2);
    fields[0].share[NN_VALID] = fields[1].share[NN_VALID] = 0.15;
    test(nn_data_open(&d, &o, &m) == NN_OK);
    static const int64_t sizes[NN_SPLITS] = {65, 20, 15};
    for (uint64_t seed = 0; seed < 3; seed++) {
        int seen[100] = {0}, moved = 0, together = 1;
        for (int s = 0; s < NN_SPLITS; s++) {
            struct nn_walk w = {(enum nn_split)s, s == NN_TRAIN, seed, 4};
            test(nn_data_count(d, (enum nn_split)s) == sizes[s]);
            for (int64_t i = 0; i < sizes[s]; i++) {
                unsigned char x[2];
                int32_t y;
                nn_data_gather(d, 0, &w, i, 1, x);
                nn_data_gather(d, 1, &w, i, 1, &y);
                seen[x[0]] += 1 + 100 * s;
                moved += s == NN_TEST && x[0] != i;
                together &= y == x[0] % 10;
            }
        }
        int train = 0, others = 0;
        for (int i = 0; i < 100; i++) {
            train += seen[i] == 1;
            others += seen[i] == 101 || seen[i] == 201;
        }
        test(train == 65 && others == 35 && moved > 10 && together);
    }
    nn_data_close(d);
    fields[1].share[NN_TEST] = 0.9;
    test(nn_data_open(&d, &o, &m) == NN_REFUSED && says("less than 1 in all"));
}

static void windows(void)
{
    char text[100];
    for (int i = 0; i < 100; i++)
        text[i] = (char)i;
    put("text", text, 100);
    struct nn_field f = {.name = "text", .dtype = NN_i32, .rank = 1, .dim = {8}, .limit = 256};
    f.source[NN_TRAIN] = (struct nn_source){NN_SOURCE_BYTES, "text", true, 3};
    struct nn_data_options o = {.dir = dir, .field = &f, .fields = 1};
    f.share[NN_TEST] = 0.2;
    struct nn_data *d;
    test(nn_data_open(&d, &o, &m) == NN_OK);
    test(nn_data_count(d, NN_TRAIN) == (80 - 8) / 3 + 1 && nn_data_count(d, NN_TEST) == 2);
    int32_t x[8];
    struct nn_walk w = {.split = NN_TRAIN};
    nn_data_gather(d, 0, &w, 24, 1, x);
    test(x[0] == 72 && x[7] == 79);
    w.split = NN_TEST;
    nn_data_gather(d, 0, &w, 1, 1, x);
    test(x[0] == 88 && x[7] == 95);
    nn_data_close(d);
    f.dim[0] = 30;
    test(nn_data_open(&d, &o, &m) == NN_REFUSED && says("the test split has no samples"));
    f.dim[0] = 8;
    f.limit = 99;
    test(nn_data_open(&d, &o, &m) == NN_REFUSED && says("entry 99 is 99; text must be in 0..99"));
    f.limit = 0;
    f.rank = 0;
    test(nn_data_open(&d, &o, &m) == NN_REFUSED && says("windows need an axis"));
}

static void orders(void)
{
    static const int64_t sizes[] = {1, 2, 3, 5, 16, 17, 1000, 65537};
    for (size_t s = 0; s < COUNT(sizes); s++) {
        int64_t n = sizes[s], fixed = 0, same = 0;
        char *seen = xcalloc((size_t)n, 1);
        for (int64_t i = 0; i < n; i++) {
            int64_t x = nn_order(7, n, i);
            test_checks++;
            if (x < 0 || x >= n || seen[x]++)
                test(!"a permutation");
            fixed += x == i;
            same += x == nn_order(8, n, i);
        }
        test(n < 100 || (fixed < 20 && same < 20));
        free(seen);
    }
    /* Where 0 goes to, over many keys: about evenly (chi squared, 9 degrees of freedom). */
    int count[10] = {0};
    double chi = 0;
    for (uint64_t key = 0; key < 10000; key++)
        count[nn_order(key, 10, 0)]++;
    for (int i = 0; i < 10; i++)
        chi += (count[i] - 1000.0) * (count[i] - 1000.0) / 1000;
    test(chi < 30);
    test(nn_order(42, 1000000007, 123456789) == nn_order(42, 1000000007, 123456789));
}

static int is_batch(const struct nn_data *d, const struct nn_walk *w, int64_t first, int64_t n,
                    const void *const *got)
{
    unsigned char x[64];
    int32_t y[32];
    nn_data_gather(d, 0, w, first, n, x);
    nn_data_gather(d, 1, w, first, n, y);
    return got && !memcmp(x, got[0], 2 * (size_t)n) && !memcmp(y, got[1], 4 * (size_t)n);
}

static void loaders(void)
{
    struct nn_data *d;
    struct nn_loader *l;
    put_idx("image", "label", 100);
    put_idx("test-image", "test-label", 37);
    struct nn_data_options o = options("test-image", 0);
    test(nn_data_open(&d, &o, &m) == NN_OK);
    test(nn_loader_open(&l, d, 0, &m) == NN_USAGE);
    test(nn_loader_open(&l, d, 16, &m) == NN_OK);
    test(!nn_loader_next(l));
    for (int round = 0; round < 20; round++) {
        struct nn_plan p = {.walk = {NN_TRAIN, true, 5, 0}, .batches = 6, .epochs = true};
        p.first = round;
        nn_loader_start(l, &p);
        for (int k = round; k < round + 10; k++) {
            struct nn_walk w = {NN_TRAIN, true, 5, k / 6};
            test(is_batch(d, &w, k % 6 * 16, 16, nn_loader_next(l)));
        }
        struct nn_plan q = {.walk = {.split = NN_TEST}, .batches = 2, .tail = 5};
        nn_loader_start(l, &q);
        for (int k = 0; k < 3; k++)
            test(is_batch(d, &q.walk, k * 16, k < 2 ? 16 : 5, nn_loader_next(l)));
        test(!nn_loader_next(l) && !nn_loader_next(l));
    }
    nn_loader_close(l);
    nn_data_close(d);
}

int main(void)
{
    test(mkdtemp(dir) != NULL);
    blocks();
    shares();
    windows();
    orders();
    loaders();
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    test(system(command) == 0);
    return test_done();
}
