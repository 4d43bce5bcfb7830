/* launch: a kernel's launch. Clusters of blocks (of one, if nothing is said) are handed to workers
 * in their order, each with memory for one block; the first faulty block's report counts. */
#include "exec.h"
#include <fenv.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- workers ---- */
static bool worker_warps(struct sim_worker *k)
{
    struct sim_job *j = k->job;
    struct sim_block_state *b = &k->block;
    b->warp = aligned_alloc(64, j->warps * sizeof *b->warp);
    if (!b->warp)
        return false;
    memset(b->warp, 0, j->warps * sizeof *b->warp);
    b->warps = j->warps;
    for (uint32_t i = 0; i < j->warps; i++) {
        struct sim_warp *w = &b->warp[i];
        uint64_t first = (uint64_t)i * SIM_LANES, n = j->threads - first;
        w->worker = k, w->block = b, w->index = i;
        w->lanes = n >= SIM_LANES ? SIM_ALL : (1u << n) - 1;
        w->entry = sim_frame_new(w, j->kernel->f);
        w->seen = calloc(j->warps, sizeof *w->seen);
        w->local = calloc(1, (size_t)j->local_stride * SIM_LANES + 64);
        w->local_known = calloc(1, (size_t)j->local_stride * SIM_LANES + 64);
        if (!w->entry || !w->seen || !w->local || !w->local_known)
            return false;
        w->frame = w->entry;
        w->r = w->entry->regs;
        sim_fill_presets(w, w->entry, false);
    }
    return true;
}

static bool worker_begin(struct sim_worker *k)
{
    struct sim_job *j = k->job;
    struct sim_block_state *b = &k->block;
    size_t words = (j->shared_bytes + 3) / 4 + 32;
    b->shared_bytes = j->shared_bytes;
    b->shared = aligned_alloc(1024, (words * 4 + 1023) & ~(size_t)1023);
    if (j->checked) {
        b->shared_known = calloc(words, 1);
        b->reads = calloc(words, sizeof *b->reads);
        b->writes = calloc(words, sizeof *b->writes);
        if (!b->shared_known || !b->reads || !b->writes)
            return false;
    }
    return b->shared && worker_warps(k);
}

static void worker_end(struct sim_worker *k)
{
    struct sim_block_state *b = &k->block;
    for (uint32_t i = 0; b->warp && i < b->warps; i++) {
        struct sim_warp *w = &b->warp[i];
        for (uint32_t g = 0; g < w->groups; g++) /* a failed block leaves frames of calls */
            for (struct sim_frame *fr = w->group[g].frame, *up; fr && fr->caller; fr = up) {
                up = fr->caller;
                fr->inside &= ~w->group[g].mask;
                if (!fr->inside)
                    sim_frame_drop(w, fr);
            }
        sim_frame_delete(w->entry);
        for (struct sim_frame *fr = w->spare, *next; fr; fr = next) {
            next = fr->next_free;
            sim_frame_delete(fr);
        }
        sim_tensor_free(w);
        free(w->seen);
        free(w->by_lane);
        free(w->local);
        free(w->local_known);
    }
    free(b->warp);
    free(b->shared);
    free(b->shared_known);
    free(b->mbar);
    free((void *)b->reads);
    free((void *)b->writes);
}

static void add_counters(struct sim_counters *to, const struct sim_worker *k)
{
    const struct sim_counters *n = &k->n;
    to->instructions += n->instructions;
    to->warp_instructions += n->warp_instructions;
    to->alu += k->classes[SIM_ALU];
    to->fma += k->classes[SIM_FMA];
    to->special += k->classes[SIM_SPECIAL];
    to->control += k->classes[SIM_CONTROL];
    to->memory += k->classes[SIM_MEMORY];
    to->mma += k->classes[SIM_MMA];
    to->global_load_bytes += n->global_load_bytes;
    to->global_store_bytes += n->global_store_bytes;
    to->global_load_sectors += n->global_load_sectors;
    to->global_store_sectors += n->global_store_sectors;
    to->shared_accesses += n->shared_accesses;
    to->shared_conflicts += n->shared_conflicts;
    to->atomics += n->atomics;
    to->barriers += n->barriers;
    to->shuffles += n->shuffles;
    to->async_copies += n->async_copies;
    to->divergent_branches += n->divergent_branches;
}

/* ---- blocks under way ----
 * A thread of the launch runs a block to its end, then takes the next. Blocks may wait for each
 * other: one that goes on and on gets another beside it, and so do all blocks of a cooperative
 * launch from the start; they take turns. */
#define TURNS_ALONE 64
#define TURNS_BESIDE 4
#define MOST_BESIDE 256
#define SPINS_BESIDE 8    /* rounds of spinning before a block gets another beside it */
#define SPINS_WAITING 256 /* turns of it after which a block counts as going on and on */

struct blocks {
    struct sim_worker *running, *idle;
    uint64_t count; /* running */
    uint32_t spun;  /* rounds on end in which all of them spun */
};

static struct sim_worker *worker_new(struct sim_job *j)
{
    struct sim_worker *k = aligned_alloc(64, (sizeof *k + 63) & ~(size_t)63);
    if (!k)
        return NULL;
    memset(k, 0, sizeof *k);
    k->job = j;
    if (worker_begin(k))
        return k;
    worker_end(k);
    free(k);
    return NULL;
}

static void workers_free(struct sim_job *j, struct sim_worker *k)
{
    for (struct sim_worker *next; k; k = next) {
        next = k->next;
        pthread_mutex_lock(&j->lock);
        add_counters(&j->total, k);
        pthread_mutex_unlock(&j->lock);
        worker_end(k);
        free(k);
    }
}

static struct sim_worker *worker_get(struct sim_job *j, struct blocks *b)
{
    struct sim_worker *k = b->idle ? b->idle : worker_new(j);
    if (k)
        b->idle = k->next;
    return k;
}

static void worker_put(struct blocks *b, struct sim_worker *k)
{
    k->next = b->idle;
    b->idle = k;
}

/* Workers for a cluster's blocks, one in a list of `next`; false: no memory. */
static bool cluster_get(struct sim_job *j, struct blocks *b, struct sim_worker **block)
{
    for (uint32_t r = 0; r < j->cluster_size; r++)
        if (!(block[r] = worker_get(j, b))) {
            while (r)
                worker_put(b, block[--r]);
            pthread_mutex_lock(&j->lock);
            j->out_of_memory = true;
            pthread_mutex_unlock(&j->lock);
            return false;
        }
    return true;
}

/* Begins the launch's next cluster; false: there is none for this thread. */
static bool cluster_take(struct sim_job *j, struct blocks *b)
{
    struct sim_worker *block[SIM_MAX_CLUSTER];
    uint64_t i = atomic_load(&j->next_cluster);
    if (i >= j->clusters || atomic_load(&j->faulty) != UINT64_MAX || !cluster_get(j, b, block))
        return false;
    i = atomic_fetch_add(&j->next_cluster, 1);
    if (i >= j->clusters) {
        for (uint32_t r = j->cluster_size; r-- > 0;)
            worker_put(b, block[r]);
        return false;
    }
    struct sim_cluster *c = &block[0]->own;
    sim_cluster_begin(c, j);
    for (uint32_t r = j->cluster_size; r-- > 0;) {
        c->block[r] = block[r];
        sim_block_begin(block[r], c, i, r);
        block[r]->next = b->running;
        b->running = block[r];
        b->count++;
    }
    return true;
}

/* The block's memory serves the others of its cluster until all have ended. */
static void block_ended(struct blocks *b, struct sim_worker *k)
{
    struct sim_cluster *c = k->block.cluster;
    b->count--;
    if (!--c->live)
        for (uint32_t r = c->size; r-- > 0;)
            worker_put(b, c->block[r]);
}

/* Some turns of each block, one after the other; false: all of them only went on. */
static bool blocks_round(struct blocks *b, int turns)
{
    bool ended = false;
    for (struct sim_worker **at = &b->running; *at;) {
        struct sim_worker *k = *at;
        bool end = false;
        for (int t = 0; t < turns && !end && (!t || !k->spins); t++)
            end = sim_block_turn(k);
        if (!end) {
            at = &k->next;
            continue;
        }
        *at = k->next;
        block_ended(b, k);
        ended = true;
    }
    return ended;
}

/* Each block's turns; false: all of them only went on. */
static bool blocks_turn(struct sim_job *j, struct blocks *b)
{
    bool together = j->cluster_size > 1 && !j->launch->cooperative, ended = false;
    for (int round = 0; together && round < TURNS_ALONE && !ended; round++)
        ended = blocks_round(b, 1);
    if (!together)
        ended = blocks_round(b, j->launch->cooperative ? 1
                                : b->count > 1         ? TURNS_BESIDE
                                                       : TURNS_ALONE);
    for (struct sim_worker *k = b->running; k && (!together || !ended); k = k->next)
        k->waits = k->waits || !k->spins || k->spins > SPINS_WAITING;
    return ended;
}

/* All blocks under way ask for memory that does not change. Another one is begun beside them after
 * a few rounds: what they wait for may come from another thread of the launch. */
static bool only_spin(struct blocks *b)
{
    const struct sim_worker *k = b->running;
    while (k && k->spins)
        k = k->next;
    b->spun = k || !b->running ? 0 : b->spun + 1;
    if (b->spun)
        sched_yield();
    return b->spun % SPINS_BESIDE;
}

static void *work(void *arg)
{
    struct sim_job *j = arg;
    struct blocks b = {0};
    bool more = true;
    fenv_t env;
    fegetenv(&env);
    fesetenv(FE_DFL_ENV); /* kernels say themselves where they flush */
    do {
        while (b.count < j->resident && (more || b.count < j->share) && cluster_take(j, &b))
            more = false;
        more = !blocks_turn(j, &b) || !b.running;
        more = !only_spin(&b) && more;
    } while (b.running || (!j->out_of_memory && atomic_load(&j->faulty) == UINT64_MAX &&
                           atomic_load(&j->next_cluster) < j->clusters));
    workers_free(j, b.running);
    workers_free(j, b.idle);
    fesetenv(&env);
    return NULL;
}

/* ---- launches ---- */
#define GRID_WORKSPACE 256 /* for the barrier of a cooperative launch: %envreg1, %envreg2 */

/* The launch's cluster or that of the kernel's directive, which must agree. */
/* Why the sizes do not fit, in f->text (f: NULL is fine). False. */
__attribute__((format(printf, 2, 3))) static bool misfit(struct sim_fault *f, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (f)
        vsnprintf(f->text, sizeof f->text, fmt, args);
    va_end(args);
    return false;
}

static bool cluster_fits(const struct sim_device *d, const struct sim_kernel *k,
                         const struct sim_launch *l, struct sim_job *j, struct sim_fault *f)
{
    const uint32_t *own = k->facts.cluster, *to = l->cluster[0] ? l->cluster : own;
    j->cluster_size = 1;
    j->explicit_cluster = to[0];
    if (!to[0] && k->facts.explicit_cluster)
        return misfit(f, "the kernel wants clusters");
    for (int i = 0; i < 3; i++) {
        j->cluster[i] = to[0] ? to[i] : 1;
        if (own[0] && own[i] != j->cluster[i])
            return misfit(f, "the kernel wants clusters of %u,%u,%u", own[0], own[1], own[2]);
        if (!j->cluster[i] || j->cluster[i] > SIM_MAX_CLUSTER)
            return misfit(f, "a cluster has 1 to %d blocks", SIM_MAX_CLUSTER);
        if (l->grid[i] % j->cluster[i])
            return misfit(f, "a grid of %u,%u,%u in clusters of %u,%u,%u", l->grid[0], l->grid[1],
                          l->grid[2], to[0], to[1], to[2]);
        j->cluster_size *= j->cluster[i];
    }
    j->clusters = j->blocks / j->cluster_size;
    if (j->cluster_size > SIM_MAX_CLUSTER)
        return misfit(f, "a cluster has 1 to %d blocks", SIM_MAX_CLUSTER);
    if (j->cluster_size > 1 && d->chip->major < 9)
        return misfit(f, "%s has no clusters", d->chip->name);
    return true;
}

static bool block_fits(const struct sim_kernel *k, const struct sim_launch *l, struct sim_job *j,
                       struct sim_fault *f)
{
    static const uint32_t most[3] = {1024, 1024, 64}, grids[3] = {0x7FFFFFFF, 65535, 65535};
    const uint32_t *required = k->facts.required;
    j->threads = j->blocks = 1;
    for (int i = 0; i < 3; i++) {
        if (!l->grid[i] || l->grid[i] > grids[i])
            return misfit(f, "a grid has 1 to %u,%u,%u blocks", grids[0], grids[1], grids[2]);
        if (!l->block[i] || l->block[i] > most[i])
            return misfit(f, "a block has 1 to %u,%u,%u threads", most[0], most[1], most[2]);
        if (required[0] && l->block[i] != required[i])
            return misfit(f, "the kernel wants blocks of %u,%u,%u", required[0], required[1],
                          required[2]);
        j->threads *= l->block[i];
        j->blocks *= l->grid[i];
    }
    if (j->threads > k->facts.max_threads || j->threads > 1024)
        return misfit(f, "%llu threads a block; the kernel takes %u",
                      (unsigned long long)j->threads, k->facts.max_threads);
    return true;
}

static bool sizes_fit(const struct sim_device *d, const struct sim_kernel *k,
                      const struct sim_launch *l, struct sim_job *j, struct sim_fault *f)
{
    uint64_t align = k->f->shared_align ? k->f->shared_align : 16;
    uint64_t dynamic = (k->f->shared_bytes + align - 1) / align * align;
    uint64_t shared = (l->shared ? dynamic : k->f->shared_bytes) + (uint64_t)l->shared;
    uint64_t allowed = l->shared_allowed ? l->shared_allowed : d->chip->shared_block;
    allowed = allowed < d->chip->shared_optin ? allowed : d->chip->shared_optin;
    if (!block_fits(k, l, j, f))
        return false;
    if (l->cooperative && j->blocks > (uint64_t)d->chip->sms * d->chip->blocks_sm)
        return misfit(f, "more blocks than %s holds at once, as a cooperative launch wants",
                      d->chip->name);
    if (shared > allowed)
        return misfit(f, "%llu bytes of shared memory; a block has %llu",
                      (unsigned long long)shared, (unsigned long long)allowed);
    if (!cluster_fits(d, k, l, j, f))
        return false;
    j->warps = (uint32_t)((j->threads + SIM_LANES - 1) / SIM_LANES);
    j->shared_bytes = j->shared_user = (uint32_t)shared;
    if (k->f->module->reserved_shared) /* on hardware it comes first; here it lies behind */
        j->shared_bytes = ((j->shared_user + 127) & ~127u) + SIM_RESERVED_SHARED;
    j->dynamic_at = (uint32_t)dynamic;
    j->local_stride = k->facts.local_bytes;
    return true;
}

/* Counts the distinct bytes that were touched, and clears the cells for the next launch. */
static void sweep(struct sim_device *d, struct sim_job *j)
{
    pthread_mutex_lock(&d->table);
    for (size_t i = 0; i < d->mems; i++)
        if (!d->mem[i]->freed)
            sim_race_sweep(d->mem[i], j->checked ? &j->total : NULL);
    pthread_mutex_unlock(&d->table);
}

static void run_workers(struct sim_device *d, struct sim_job *j)
{
    pthread_t thread[64];
    uint64_t n = (uint64_t)d->workers < j->clusters ? (uint64_t)d->workers : j->clusters;
    n = n > 64 ? 64 : n;
    j->resident = j->launch->cooperative ? j->blocks : MOST_BESIDE;
    j->share = j->launch->cooperative ? (j->blocks + n - 1) / n : 1;
    uint64_t started = 0;
    for (uint64_t i = 1; i < n; i++)
        if (!pthread_create(&thread[started], NULL, work, j))
            started++;
    work(j);
    for (uint64_t i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
}

enum sim_status sim_run(struct sim_device *d, struct sim_kernel *k, const struct sim_launch *l,
                        struct sim_counters *counters, struct sim_fault *fault)
{
    if (k->f->refused)
        return SIM_UNSUPPORTED;
    struct sim_job *j = calloc(1, sizeof *j);
    if (!j)
        return SIM_NO_MEMORY;
    *j = (struct sim_job){
        .device = d, .kernel = k, .launch = l, .checked = !l->unchecked, .quiet = sim_rows().quiet};
    if (!sizes_fit(d, k, l, j, fault)) {
        free(j);
        return SIM_BAD_LAUNCH;
    }
    if (l->cooperative && (sim_alloc(d, GRID_WORKSPACE, 0, &j->workspace) != SIM_OK ||
                           sim_set(d, j->workspace, 0, 1, GRID_WORKSPACE) != SIM_OK)) {
        free(j);
        return SIM_NO_MEMORY;
    }
    atomic_store(&j->faulty, UINT64_MAX);
    pthread_mutex_init(&j->lock, NULL);
    pthread_mutex_lock(&d->run);
    pthread_mutex_lock(&d->table);
    for (size_t i = 0; i < d->mems; i++)
        sim_mem_settle(d->mem[i]);
    pthread_mutex_unlock(&d->table);
    j->began = now();
    run_workers(d, j);
    sweep(d, j);
    sim_heap_settle(d);
    j->total.seconds = now() - j->began;
    enum sim_status s = j->out_of_memory ? SIM_NO_MEMORY : j->fault.kind ? SIM_FAULT : SIM_OK;
    if (fault && s == SIM_FAULT)
        *fault = j->fault;
    if (counters)
        sim_counters_add(counters, &j->total);
    pthread_mutex_unlock(&d->run);
    if (j->workspace)
        sim_free(d, j->workspace);
    sim_race_free(j->sync);
    pthread_mutex_destroy(&j->lock);
    free(j);
    return s;
}

void sim_clock(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    struct sim_job *j = w->worker->job;
    double t = now() - j->began;
    uint64_t v =
        i->sub < 3 ? (uint64_t)(t * 1e3 * j->device->chip->clock_khz) : (uint64_t)(now() * 1e9);
    bool high = i->sub == 1 || i->sub == 5;
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1) {
            if (i->size == 8)
                sim_row64(w, i->d)[l] = v;
            else
                sim_row32(w, i->d)[l] = (uint32_t)(high ? v >> 32 : v);
        }
}

void sim_counters_add(struct sim_counters *to, const struct sim_counters *n)
{
    uint64_t *a = (uint64_t *)to;
    const uint64_t *b = (const uint64_t *)n;
    for (size_t i = 0; i < offsetof(struct sim_counters, seconds) / sizeof *a; i++)
        a[i] += b[i];
    to->seconds += n->seconds;
}
