/* cluster: blocks that share their shared memory and a barrier. All blocks of one run on the same
 * thread in turns, so that nothing here is locked. The barrier has two halves: a thread arrives,
 * and later waits; those that have left the kernel count as arrived. */
#include "exec.h"

void sim_cluster_begin(struct sim_cluster *c, const struct sim_job *j)
{
    *c = (struct sim_cluster){.size = j->cluster_size,
                              .live = j->cluster_size,
                              .threads = (uint32_t)j->threads * j->cluster_size};
}

/* ---- the barrier ---- */
/* The waiting group goes on: what all knew that came is known to its warp. */
static void learn(struct sim_warp *w, const struct sim_inst *i)
{
    if (!w->worker->job->checked || !(i->mods & MOD_ACQUIRE))
        return;
    sim_race_warp_sync(w, SIM_ALL);
    sim_race_take(w, w->block->came);
    if (w->block->cluster->size > 1)
        sim_race_far_acquire(w);
}

static void release(struct sim_block_state *b)
{
    bool any = false;
    for (uint32_t k = 0; k < b->warps; k++) {
        any = any || b->coming[k];
        b->came[k] = b->coming[k] > b->came[k] ? b->coming[k] : b->came[k];
    }
    memset(b->coming, 0, sizeof b->coming);
    if (any && b->cluster->size > 1)
        sim_race_far_release(&b->warp[0], b->came);
}

static void complete(struct sim_cluster *c)
{
    bool checked = c->block[0]->job->checked;
    c->generation++;
    c->arrived = 0;
    for (uint32_t r = 0; r < c->size && checked; r++)
        release(&c->block[r]->block);
    for (uint32_t r = 0; r < c->size; r++)
        for (uint32_t k = 0; k < c->block[r]->block.warps; k++) {
            struct sim_warp *w = &c->block[r]->block.warp[k];
            w->may_go |= w->came;
            w->came = 0;
            for (uint32_t j = 0; j < w->groups; j++) {
                struct sim_group *g = &w->group[j];
                if (g->state != SIM_AT_CLUSTER)
                    continue;
                learn(w, &g->frame->f->code[g->pc]);
                w->may_go &= ~g->mask;
                g->state = SIM_RUN;
                g->pc++;
            }
        }
    c->block[0]->n.barriers++;
}

bool sim_cluster_arrive(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    struct sim_cluster *c = w->block->cluster;
    uint32_t twice = (w->came | w->may_go) & mask;
    if (twice) {
        sim_report(w, SIM_FAULT_BARRIER, sim_first(twice),
                   "divergent barrier: a thread arrives at the cluster's barrier a second time and "
                   "has not waited for the first");
        return false;
    }
    if (i->mods & MOD_RELEASE && w->worker->job->checked)
        sim_race_arrive(w, w->block->coming, true);
    w->came |= mask;
    c->arrived += (uint32_t)__builtin_popcount(mask);
    if (c->arrived == c->threads)
        complete(c);
    return true;
}

uint32_t sim_cluster_wait(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint32_t go = mask & w->may_go, never = mask & ~(w->may_go | w->came);
    if (never) {
        sim_report(w, SIM_FAULT_BARRIER, sim_first(never),
                   "divergent barrier: a thread waits for the cluster's barrier and has not "
                   "arrived at it");
        return 0;
    }
    w->may_go &= ~go;
    if (go)
        learn(w, i);
    return go;
}

void sim_cluster_exit(struct sim_warp *w, uint32_t mask)
{
    struct sim_cluster *c = w->block->cluster;
    w->block->threads -= (uint32_t)__builtin_popcount(mask);
    c->threads -= (uint32_t)__builtin_popcount(mask);
    c->arrived -= (uint32_t)__builtin_popcount(mask & w->came);
    w->came &= ~mask;
    w->may_go &= ~mask;
    if (c->arrived && c->arrived == c->threads)
        complete(c);
}

/* ---- shared memory of other blocks ---- */
const char sim_block_has_ended[] = "of a block of the cluster that has ended";

struct sim_block_state *sim_shared_block(struct sim_warp *w, uint64_t *at, const char **why)
{
    struct sim_block_state *b = w->block;
    struct sim_cluster *c = b->cluster;
    uint64_t rank = *at >> SIM_RANK_AT;
    if (rank == 0 || *at - b->window < b->shared_bytes) {
        *at -= rank ? b->window : 0;
        return b;
    }
    if (c->size == 1 || rank > c->size) {
        *why = "which is of no block of the cluster";
        return NULL;
    }
    *at &= SIM_OFFSET_MASK;
    b = &c->block[rank - 1]->block;
    if (!b->threads)
        *why = sim_block_has_ended;
    else if (b != w->block && !c->generation && !w->block->acquired)
        *why = "of another block before a barrier of the cluster says that it has begun";
    else
        return b;
    return NULL;
}

static uint64_t address_of(struct sim_warp *w, const struct sim_inst *i, int lane)
{
    return i->size == 8 ? sim_row64(w, i->a)[lane] : sim_row32(w, i->a)[lane];
}

void sim_mapa(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint32_t size = w->block->cluster->size;
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        uint64_t a = address_of(w, i, l), rank = sim_row32(w, i->b)[l];
        if (rank >= size) {
            sim_report(w, SIM_FAULT_BOUNDS, l, "mapa to block %llu of a cluster of %u",
                       (unsigned long long)rank, size);
            return;
        }
        if (size > 1)
            a = (a & (SIM_WINDOW_MASK | SIM_OFFSET_MASK)) | (rank + 1) << SIM_RANK_AT;
        if (i->size == 8)
            sim_row64(w, i->d)[l] = a;
        else
            sim_row32(w, i->d)[l] = (uint32_t)a;
    }
}

void sim_getctarank(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    for (int l = 0; l < SIM_LANES; l++) {
        uint32_t rank = (uint32_t)((address_of(w, i, l) & ~SIM_WINDOW_MASK) >> SIM_RANK_AT);
        if (mask >> l & 1)
            sim_row32(w, i->d)[l] = rank ? rank - 1 : w->block->rank;
    }
}
