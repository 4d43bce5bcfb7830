/* Two models in one program; contexts of both on threads of their own, with pools of their own. */
#include "ab.h"
#include "b.h"
#include "wide.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(x) ((x) ? (void)0 : exit(printf("line %d: %s\n", __LINE__, #x)))

static int64_t taken, most;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void count(int64_t n)
{
    pthread_mutex_lock(&lock);
    taken += n;
    most = taken > most ? taken : most;
    pthread_mutex_unlock(&lock);
}

static void *take(void *user, size_t n)
{
    (void)user;
    count((int64_t)n);
    void *p = aligned_alloc(64, n);
    return p ? memset(p, 0xff, n) : NULL; /* NaN to whoever reads what nobody wrote */
}

static void give(void *user, void *p, size_t n)
{
    (void)user;
    count(-(int64_t)n);
    free(p);
}

struct job {
    const char *file;
    uint32_t threads;
    float loss_a, loss_b, y[2], of_b[2], of_part[2];
};

static void *train(void *arg)
{
    struct job *j = arg;
    struct nn_allocator a = {take, give, NULL};
    struct nn_options o = {.threads = j->threads, .allocator = &a};
    struct ab *ab;
    struct wide *wide;
    float x[AB_BATCH * AB_X_SIZE], t[AB_BATCH * AB_T_SIZE];
    for (int i = 0; i < (int)(sizeof x / sizeof *x); i++)
        x[i] = (float)(i % 7) / 7;
    for (int i = 0; i < (int)(sizeof t / sizeof *t); i++)
        t[i] = (float)(i % 3);
    CHECK(ab_open(&o, &ab) == NN_OK && wide_open(&o, &wide) == NN_OK);
    CHECK(AB_PEAK_BYTES + j->threads * AB_SCRATCH_BYTES >= 1000);
    for (int i = 0; i < 20; i++)
        CHECK(ab_train_step(ab, x, t, &j->loss_a, &j->loss_b) == NN_OK);
    CHECK(wide_selftest(wide) == NN_OK);
    CHECK(wide_forward(wide, 2, x, j->y) == NN_USAGE); /* no values yet */
    struct nn_dltensor w;
    CHECK(wide_param(wide, "fc.weight", &w) == NN_OK && w.shape[0] == 1);
    for (int64_t i = 0; i < w.shape[1]; i++)
        ((float *)w.data)[i] = 1;
    CHECK(wide_forward(wide, 2, x, j->y) == NN_OK);
    char path[1000];
    snprintf(path, sizeof path, "%s.%u", j->file, j->threads);
    struct b *b;
    CHECK(ab_save(ab, path) == NN_OK && b_open(&o, &b) == NN_OK);
    CHECK(b_load(b, path) == NN_OK && b_forward(b, 1, x, j->of_part) == NN_OK);
    CHECK(ab_forward(ab, 1, x, j->of_b) == NN_OK && j->of_b[0] != 0);
    CHECK(!memcmp(j->of_b, j->of_part, sizeof j->of_b));
    b_close(b);
    ab_close(ab);
    wide_close(wide);
    return NULL;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    struct job job[3] = {{.file = argv[1], .threads = 1},
                         {.file = argv[1], .threads = 2},
                         {.file = argv[1], .threads = 3}};
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        CHECK(!pthread_create(&t[i], NULL, train, &job[i]));
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    for (int i = 1; i < 3; i++) /* the same bits on any number of threads */
        CHECK(!memcmp(&job[0].loss_a, &job[i].loss_a,
                      sizeof(struct job) - offsetof(struct job, loss_a)));
    CHECK(taken == 0 && most > 0);
    CHECK(job[0].y[0] != 0);
    return 0;
}
