/* The CPU as a device: memory is the host's, a kernel is a function, its chunks go to the pool's
 * threads. */
#include "common.h"
#include "exec/device.h"

#include <stdlib.h>

struct host {
    struct nn_device d;
    const struct nn_allocator *allocator;
    struct nn_pool *pool;
    unsigned char *scratch;
    size_t stride, scratch_bytes; /* of a thread, of all */
};

static struct host *host_of(struct nn_device *d) { return (struct host *)(void *)d; }

static enum nn_status only_cpu(const struct nn_program *c, struct nn_message *m)
{
    for (uint32_t g = 0; g < c->image->graph_count; g++) {
        const struct nn_graph_rec *r = c->graph[g].rec;
        const struct nn_launch_rec *l = nn_image_at(c->image, r->launches_at);
        for (uint32_t i = 0; i < r->launch_count; i++) {
            const struct nn_phase_rec *p = nn_image_at(c->image, l[i].phases_at);
            bool gpu = l[i].kind != NN_LAUNCH_KERNEL;
            for (uint32_t k = 0; k < l[i].phase_count; k++)
                gpu |= p[k].threads != 0;
            if (gpu)
                return nn_fail(m, NN_USAGE, "the image is for a GPU (%s): it wants a device",
                               c->image->target ? nn_image_text(c->image, c->image->target) : "?");
        }
    }
    return NN_OK;
}

/* Whether the allocator gave what kernels can work in. */
static enum nn_status taken(const void *p, size_t bytes, const char *what, struct nn_message *m)
{
    if (!p)
        return nn_fail(m, NN_MACHINE, "out of memory: the model needs %zu bytes of %s", bytes,
                       what);
    return (uintptr_t)p % 64
               ? nn_fail(m, NN_USAGE, "the allocator's memory for %s is not aligned to 64 bytes",
                         what)
               : NN_OK;
}

static enum nn_status load(struct nn_device *d, const struct nn_program *c, size_t *own_bytes,
                           struct nn_message *m)
{
    struct host *h = host_of(d);
    size_t threads = h->pool ? (size_t)nn_pool_threads(h->pool) : 1;
    *own_bytes = 0;
    enum nn_status s = only_cpu(c, m);
    if (s)
        return s;
    if (c->scratch_bytes > SIZE_MAX / 4)
        return nn_fail(m, NN_MACHINE, "out of memory: the image asks for more than there can be");
    h->stride = nn_round_up(c->scratch_bytes, 128);
    if (!nn_mul(h->stride, threads, &h->scratch_bytes))
        return nn_fail(m, NN_MACHINE, "out of memory: scratch for %zu threads", threads);
    if (!h->scratch_bytes)
        return NN_OK;
    h->scratch = nn_alloc(h->allocator, h->scratch_bytes);
    return taken(h->scratch, h->scratch_bytes, "scratch", m);
}

static enum nn_status alloc(struct nn_device *d, size_t bytes, void **at, struct nn_message *m)
{
    *at = nn_alloc_any(host_of(d)->allocator, bytes);
    enum nn_status s = taken(*at, bytes, "slots, arena and outputs", m);
    if (s) {
        nn_release(host_of(d)->allocator, *at, bytes);
        *at = NULL;
    }
    return s;
}

static enum nn_status prepare(struct nn_device *d, const struct nn_program *c, struct nn_message *m)
{
    (void)d;
    (void)c;
    (void)m;
    return NN_OK;
}

static void unload(struct nn_device *d, struct nn_program *c)
{
    struct host *h = host_of(d);
    nn_release(h->allocator, c->memory.base, c->memory.bytes);
    nn_release(h->allocator, h->scratch, h->scratch_bytes);
    c->memory.base = NULL;
    h->scratch = NULL;
}

struct job {
    const struct host *h;
    const struct nn_launch *l;
    nn_kernel *kernel;
    struct nn_fault *fault;
    int32_t phase;
};

static void run_chunks(void *user, int thread, int64_t chunk0, int64_t chunk1)
{
    const struct job *j = user;
    struct nn_args args = {
        .buf = j->l->arg,
        .scratch = j->h->stride ? j->h->scratch + (size_t)thread * j->h->stride : NULL,
        .fault = j->fault,
    };
    j->kernel(&args, j->phase, chunk0, chunk1);
}

static enum nn_status launch(struct nn_device *d, const struct nn_program *c,
                             const struct nn_launch *l, struct nn_fault *fault, double *seconds,
                             struct nn_message *m)
{
    (void)m;
    struct host *h = host_of(d);
    double from = seconds ? nn_now() : 0;
    uint64_t before = nn_denormals_flush();
    for (uint32_t p = 0; p < l->rec->phase_count && !fault->code; p++) {
        struct job j = {h, l, c->kernel[l->rec->kernel], fault, (int32_t)p};
        int64_t chunks = l->phase[p].chunks;
        if (chunks && (l->serial || !h->pool))
            run_chunks(&j, 0, 0, chunks);
        else if (chunks)
            nn_pool_run(h->pool, run_chunks, &j, chunks);
    }
    nn_denormals_restore(before);
    if (seconds)
        *seconds = nn_now() - from;
    return NN_OK;
}

static void close_host(struct nn_device *d) { free(d); }

static const struct nn_device_ops ops = {
    .alignment = 64,
    .load = load,
    .alloc = alloc,
    .prepare = prepare,
    .unload = unload,
    .launch = launch,
    .close = close_host,
};

enum nn_status nn_host_open(struct nn_device **d, const struct nn_allocator *a,
                            struct nn_pool *pool, struct nn_message *m)
{
    struct host *h = calloc(1, sizeof *h);
    *d = NULL;
    if (!h)
        return nn_fail(m, NN_MACHINE, "out of memory");
    *h = (struct host){.d = {&ops}, .allocator = a, .pool = pool};
    *d = &h->d;
    return NN_OK;
}

size_t nn_host_scratch(const struct nn_device *d)
{
    return ((const struct host *)(const void *)d)->scratch_bytes;
}
