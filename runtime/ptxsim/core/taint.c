/* taint: bits that were never written. */
#include "access.h"

static void mark(struct sim_region *r, uint64_t at, uint32_t n)
{
    for (uint64_t b = at - r->lo, to = b + n; r->known && b < to; b++)
        r->known[b / 4] = (uint8_t)(r->known[b / 4] | 1u << (b & 3));
}
void sim_taint_step(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    (void)w, (void)i, (void)mask;
}
uint32_t sim_taint_lanes(struct sim_warp *w, uint32_t row, uint8_t size, uint32_t mask)
{
    (void)w, (void)row, (void)size, (void)mask;
    return 0;
}
uint32_t sim_taint_pred(struct sim_warp *w, uint32_t at, uint32_t mask)
{
    (void)w, (void)at, (void)mask;
    return 0;
}
void sim_taint_load(struct sim_warp *w, const struct sim_inst *i, struct sim_region *r,
                    const uint64_t *at, uint32_t mask)
{
    (void)w, (void)i, (void)r, (void)at, (void)mask;
}
void sim_taint_store(struct sim_warp *w, const struct sim_inst *i, struct sim_region *r,
                     const uint64_t *at, uint32_t mask)
{
    (void)w;
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1)
            mark(r, at[l], (uint32_t)i->size * i->count);
}
void sim_taint_atomic(struct sim_warp *w, const struct sim_inst *i, struct sim_region *r,
                      const uint64_t *at, uint32_t mask)
{
    sim_taint_store(w, i, r, at, mask);
}
void sim_taint_local_load(struct sim_warp *w, const struct sim_inst *i, const uint8_t *known,
                          int lane)
{
    (void)w, (void)i, (void)known, (void)lane;
}
void sim_taint_local_store(struct sim_warp *w, const struct sim_inst *i, uint8_t *known, int lane)
{
    (void)w, (void)lane;
    memset(known, 1, (size_t)i->size * i->count);
}
bool sim_taint_address(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    (void)w, (void)i, (void)mask;
    return true;
}
void sim_taint_shfl(struct sim_warp *w, const struct sim_inst *i, const int *source, uint32_t mask)
{
    (void)w, (void)i, (void)source, (void)mask;
}
