/* race: who touched which word. */
#include "access.h"
#include <stdlib.h>

void sim_race_access(struct sim_warp *w, struct sim_region *r, const uint64_t *at, uint32_t mask,
                     uint32_t n, bool write, bool strong)
{
    (void)w, (void)r, (void)at, (void)mask, (void)n, (void)write, (void)strong;
}
void sim_race_store(struct sim_warp *w, const struct sim_inst *i, struct sim_region *r,
                    const uint64_t *at, uint32_t mask, uint32_t n)
{
    (void)w, (void)r, (void)at, (void)mask, (void)n, (void)i;
}
void sim_race_strong(struct sim_warp *w, const uint64_t *at, uint32_t mask, bool write)
{
    (void)w, (void)at, (void)mask, (void)write;
}
void sim_race_before_atomic(struct sim_warp *w, const struct sim_inst *i, const uint64_t *at,
                            uint32_t mask)
{
    (void)w, (void)at, (void)mask, (void)i;
}
void sim_race_after_atomic(struct sim_warp *w, const struct sim_inst *i, const uint64_t *at,
                           uint32_t mask)
{
    (void)w, (void)at, (void)mask, (void)i;
}
void sim_race_barrier(struct sim_block_state *b, uint32_t warps) { (void)b, (void)warps; }
void sim_race_warp_sync(struct sim_warp *w) { (void)w; }
void sim_race_release(struct sim_warp *w, uint64_t address) { (void)w, (void)address; }
void sim_race_acquire(struct sim_warp *w, uint64_t address) { (void)w, (void)address; }
void sim_race_fence(struct sim_warp *w) { (void)w; }
void sim_race_sweep(sim_mem *m, struct sim_counters *n) { (void)m, (void)n; }
void sim_race_free(struct sim_sync *s) { (void)s; }
