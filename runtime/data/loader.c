/* The loader: a thread and two sets of buffers. The caller computes on the batch in one set while
 * the thread gathers the next into the other. */
#include "common.h"
#include "data/data.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SETS = 2 };

struct nn_loader {
    const struct nn_data *data;
    int64_t batch;
    uint32_t fields;
    void **buffer;              /* [set][field] */
    const void **pointer[SETS]; /* the same, as handed out */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under the lock: batches are numbered by ticket within a plan; ticket t lives in set t % SETS
     */
    struct nn_plan plan;
    bool *skip;            /* by field, of this plan */
    int64_t filled, taken; /* tickets ready, tickets handed out */
    bool filling, stop, idle;
};

/* Which samples ticket t is; false after the last. */
static bool place(const struct nn_plan *p, int64_t batch, int64_t t, struct nn_walk *w,
                  int64_t *first, int64_t *n)
{
    int64_t k = p->first + t;
    *w = p->walk;
    *n = batch;
    if (p->epochs && p->batches > 0) {
        w->epoch += k / p->batches;
        k %= p->batches;
    }
    *first = k * batch;
    if (k < p->batches)
        return true;
    *n = p->tail;
    return k == p->batches && p->tail > 0;
}

static void *run_loader(void *arg)
{
    struct nn_loader *l = arg;
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        struct nn_walk w;
        int64_t first, n, t = l->filled;
        /* One set stays with the caller: ticket taken - 1 is in use until the next is taken. */
        bool room = t - l->taken < SETS - (l->taken > 0);
        if (l->idle || !room || !place(&l->plan, l->batch, t, &w, &first, &n)) {
            pthread_cond_wait(&l->changed, &l->lock);
            continue;
        }
        l->filling = true;
        pthread_mutex_unlock(&l->lock);
        for (uint32_t f = 0; f < l->fields; f++)
            if (!l->skip[f])
                nn_data_gather(l->data, f, &w, first, n, l->buffer[(t % SETS) * l->fields + f]);
        pthread_mutex_lock(&l->lock);
        l->filling = false;
        l->filled++;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

void nn_loader_start(struct nn_loader *l, const struct nn_plan *p)
{
    pthread_mutex_lock(&l->lock);
    l->idle = true;
    while (l->filling)
        pthread_cond_wait(&l->changed, &l->lock);
    l->plan = *p;
    for (uint32_t f = 0; f < l->fields; f++)
        l->skip[f] = p->field && !p->field[f];
    l->filled = l->taken = 0;
    l->idle = false;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

const void *const *nn_loader_next(struct nn_loader *l)
{
    struct nn_walk w;
    int64_t first, n;
    const void *const *result = NULL;
    pthread_mutex_lock(&l->lock);
    int64_t t = l->taken;
    if (!l->idle && place(&l->plan, l->batch, t, &w, &first, &n)) {
        l->taken++;
        pthread_cond_broadcast(&l->changed);
        while (l->filled <= t)
            pthread_cond_wait(&l->changed, &l->lock);
        result = l->pointer[t % SETS];
    }
    pthread_mutex_unlock(&l->lock);
    return result;
}

static enum nn_status allocate(struct nn_loader *l, struct nn_message *m)
{
    l->buffer = calloc(SETS * (size_t)l->fields + 1, sizeof *l->buffer);
    l->skip = calloc(l->fields + 1u, sizeof *l->skip);
    if (!l->buffer || !l->skip)
        return nn_fail(m, NN_MACHINE, "out of memory");
    for (int s = 0; s < SETS; s++) {
        l->pointer[s] = calloc(l->fields + 1u, sizeof *l->pointer[s]);
        for (uint32_t f = 0; l->pointer[s] && f < l->fields; f++) {
            size_t bytes;
            if (!nn_mul(nn_data_sample_bytes(l->data, f), (size_t)l->batch, &bytes))
                return nn_fail(m, NN_MACHINE, "out of memory: the batch is too large");
            void *p = nn_alloc(NULL, bytes);
            if (!p)
                return nn_fail(m, NN_MACHINE, "out of memory: %zu bytes of batches", bytes);
            l->pointer[s][f] = l->buffer[(uint32_t)s * l->fields + f] = p;
        }
        if (!l->pointer[s])
            return nn_fail(m, NN_MACHINE, "out of memory");
    }
    return NN_OK;
}

enum nn_status nn_loader_open(struct nn_loader **out, const struct nn_data *d, int64_t batch,
                              struct nn_message *m)
{
    *out = NULL;
    struct nn_loader *l = calloc(1, sizeof *l);
    if (!l)
        return nn_fail(m, NN_MACHINE, "out of memory");
    l->data = d;
    l->batch = batch;
    l->fields = nn_data_fields(d);
    l->idle = true;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    enum nn_status s =
        batch > 0 ? allocate(l, m) : nn_fail(m, NN_USAGE, "a batch of %lld", (long long)batch);
    if (!s) {
        l->started = !pthread_create(&l->thread, NULL, run_loader, l);
        if (!l->started)
            s = nn_fail(m, NN_MACHINE, "the system refused the loader's thread");
    }
    if (s)
        nn_loader_close(l);
    else
        *out = l;
    return s;
}

void nn_loader_close(struct nn_loader *l)
{
    if (!l)
        return;
    if (l->started) {
        pthread_mutex_lock(&l->lock);
        l->stop = true;
        pthread_cond_broadcast(&l->changed);
        pthread_mutex_unlock(&l->lock);
        pthread_join(l->thread, NULL);
    }
    for (size_t i = 0; l->buffer && i < SETS * (size_t)l->fields; i++)
        nn_release(NULL, l->buffer[i], 0);
    for (int s = 0; s < SETS; s++)
        free(l->pointer[s]);
    free(l->buffer);
    free(l->skip);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->changed);
    free(l);
}
