/* The pool. A job is published by storing its chunk count in `left`; a thread takes the next chunks
 * by lowering `left`, and only then reads the job, which cannot change while a taken chunk is not
 * done. The caller returns when `done` has reached the count. Idle threads spin on `left`, then
 * sleep on a condition; `sleepers` tells the caller whether anyone has to be woken (both sides use
 * sequentially consistent accesses: either the caller sees the sleeper, or the sleeper sees the
 * job). */
#include "pool.h"
#include "common.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { SPIN_CHECKS = 64 }; /* pauses between two looks at the clock */
#define SPIN_SECONDS 200e-6

struct worker {
    struct nn_pool *pool;
    pthread_t id;
    int number;
};

struct nn_pool {
    _Alignas(64) _Atomic int64_t left; /* chunks of the job not yet taken */
    _Alignas(64) _Atomic int64_t done; /* chunks of it finished */
    _Alignas(64) nn_pool_work *work;
    void *user;
    int64_t chunks;
    _Alignas(64) atomic_int sleepers;
    atomic_bool stop, caller_sleeps;
    pthread_mutex_t lock;
    pthread_cond_t wake, finished;
    int threads;
    struct worker *worker; /* threads - 1 */
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Takes chunks until none is left. */
static void work_off(struct nn_pool *p, int number)
{
    int64_t left = atomic_load_explicit(&p->left, memory_order_relaxed);
    while (left > 0) {
        int64_t take = left / (2 * p->threads);
        take = take ? take : 1;
        if (!atomic_compare_exchange_weak_explicit(&p->left, &left, left - take,
                                                   memory_order_acquire, memory_order_relaxed))
            continue;
        int64_t chunks = p->chunks, first = chunks - left;
        p->work(p->user, number, first, first + take);
        int64_t done = atomic_fetch_add(&p->done, take) + take;
        if (done == chunks && number && atomic_load(&p->caller_sleeps)) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->finished);
            pthread_mutex_unlock(&p->lock);
        }
        left = atomic_load_explicit(&p->left, memory_order_relaxed);
    }
}

static bool idle(struct nn_pool *p) { return atomic_load(&p->left) <= 0 && !atomic_load(&p->stop); }

static void wait_for_work(struct nn_pool *p)
{
    double until = nn_now() + SPIN_SECONDS;
    while (idle(p)) {
        for (int i = 0; i < SPIN_CHECKS && idle(p); i++)
            relax();
        if (nn_now() < until)
            continue;
        pthread_mutex_lock(&p->lock);
        atomic_fetch_add(&p->sleepers, 1);
        while (idle(p))
            pthread_cond_wait(&p->wake, &p->lock);
        atomic_fetch_sub(&p->sleepers, 1);
        pthread_mutex_unlock(&p->lock);
    }
}

static void *run_worker(void *arg)
{
    struct worker *w = arg;
    nn_denormals_flush();
    while (!atomic_load(&w->pool->stop)) {
        wait_for_work(w->pool);
        work_off(w->pool, w->number);
    }
    return NULL;
}

static void wait_for_others(struct nn_pool *p, int64_t chunks)
{
    double until = nn_now() + SPIN_SECONDS;
    while (atomic_load(&p->done) < chunks) {
        for (int i = 0; i < SPIN_CHECKS && atomic_load(&p->done) < chunks; i++)
            relax();
        if (nn_now() < until)
            continue;
        pthread_mutex_lock(&p->lock);
        atomic_store(&p->caller_sleeps, true);
        while (atomic_load(&p->done) < chunks)
            pthread_cond_wait(&p->finished, &p->lock);
        atomic_store(&p->caller_sleeps, false);
        pthread_mutex_unlock(&p->lock);
    }
}

void nn_pool_run(struct nn_pool *p, nn_pool_work *work, void *user, int64_t chunks)
{
    if (chunks <= 0)
        return;
    if (p->threads == 1 || chunks == 1) {
        work(user, 0, 0, chunks);
        return;
    }
    p->work = work;
    p->user = user;
    p->chunks = chunks;
    atomic_store(&p->done, 0);
    atomic_store(&p->left, chunks);
    if (atomic_load(&p->sleepers)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    work_off(p, 0);
    wait_for_others(p, chunks);
}

int nn_pool_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

int nn_pool_threads(const struct nn_pool *p) { return p->threads; }

/* Stops the `workers` that were started and frees the pool. */
static void shut(struct nn_pool *p, int workers)
{
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < workers; i++)
        pthread_join(p->worker[i].id, NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->finished);
    free(p->worker);
    nn_release(NULL, p, 0);
}

void nn_pool_close(struct nn_pool *p)
{
    if (p)
        shut(p, p->threads - 1);
}

enum nn_status nn_pool_open(struct nn_pool **pool, int threads, struct nn_message *m)
{
    *pool = NULL;
    if (threads < 0 || threads > 4096)
        return nn_fail(m, NN_USAGE, "%d threads: between 1 and 4096 are possible", threads);
    threads = threads ? threads : nn_pool_cores();
    struct nn_pool *p = nn_alloc(NULL, sizeof *p);
    struct worker *w = calloc((size_t)threads, sizeof *w);
    if (!p || !w) {
        nn_release(NULL, p, 0);
        free(w);
        return nn_fail(m, NN_MACHINE, "out of memory");
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->finished, NULL);
    p->worker = w;
    p->threads = threads; /* read by the workers: fixed before the first starts */
    for (int i = 0; i < threads - 1; i++) {
        w[i] = (struct worker){.pool = p, .number = i + 1};
        if (pthread_create(&w[i].id, NULL, run_worker, &w[i])) {
            shut(p, i);
            return nn_fail(m, NN_MACHINE, "the system refused thread %d of %d", i + 2, threads);
        }
    }
    *pool = p;
    return NN_OK;
}
