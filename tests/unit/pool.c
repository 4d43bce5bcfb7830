/* The thread pool: every chunk once, on any number of threads, awake or asleep; denormals flushed.
 */
#include "cpu/pool.h"
#include "test.h"

#include <unistd.h>

enum { MOST = 5000 };
struct job {
    int32_t seen[MOST];
    int32_t not_flushed;
    float tiny;
};

static void count(void *user, int thread, int64_t c0, int64_t c1)
{
    struct job *j = user;
    volatile float tiny = j->tiny, half = tiny * 0.5f;
    if (half != 0)
        __atomic_fetch_add(&j->not_flushed, 1, __ATOMIC_RELAXED);
    for (int64_t c = c0; c < c1; c++)
        j->seen[c] += 1 + 0 * thread;
}

static int all_once(struct job *j, int64_t n, int32_t times)
{
    for (int64_t i = 0; i < MOST; i++)
        if (j->seen[i] != (i < n ? times : 0))
            return 0;
    return 1;
}

static void rounds(struct nn_pool *p)
{
    static const int64_t sizes[] = {0, 1, 2, 3, 7, 64, 1000, MOST};
    for (size_t s = 0; s < COUNT(sizes); s++) {
        struct job *j = xcalloc(1, sizeof *j);
        j->tiny = 1.5e-38f; /* its half is a denormal */
        uint64_t before = nn_denormals_flush();
        for (int r = 0; r < 200; r++)
            nn_pool_run(p, count, j, sizes[s]);
        nn_denormals_restore(before);
        test(all_once(j, sizes[s], 200));
        test(j->not_flushed == 0);
        free(j);
        if (s % 3 == 2)
            usleep(1000); /* long enough for the threads to fall asleep */
    }
    volatile float tiny = 1.5e-38f, half = tiny * 0.5f;
    test(half != 0);
}

int main(void)
{
    struct nn_message m;
    for (int threads = 1; threads <= 4; threads++) {
        struct nn_pool *p;
        test(nn_pool_open(&p, threads, &m) == NN_OK);
        test(nn_pool_threads(p) == threads);
        rounds(p);
        nn_pool_close(p);
    }
    for (int i = 0; i < 50; i++) { /* closed at once, awake and asleep */
        struct nn_pool *p;
        test(nn_pool_open(&p, 3, &m) == NN_OK);
        usleep(i % 2 ? 0 : 500);
        nn_pool_close(p);
    }
    struct nn_pool *p;
    test(nn_pool_open(&p, -1, &m) == NN_USAGE);
    test_text(m.text, "-1 threads: between 1 and 4096 are possible");
    test(nn_pool_cores() >= 1);
    return test_done();
}
