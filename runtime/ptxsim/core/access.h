/* access: what access.c, race.c, taint.c and tensor.c share. */
#ifndef SIM_ACCESS_H
#define SIM_ACCESS_H

#include "exec.h"

/* The region of as many of the lanes as lie in one: *part. NULL: reported. */
struct sim_region *sim_access_region(struct sim_warp *w, enum ptx_space space, const uint64_t *at,
                                     uint32_t mask, uint32_t n, bool write, uint32_t *part);
/* The shape of these addresses, which sim_access_region has just seen (else it is computed). */
const struct sim_shape *sim_shape_of(struct sim_warp *w, const uint64_t *at, uint32_t mask,
                                     uint32_t n);
/* Lanes whose generic address lies in the first one's window; takes the window off where it is not
 * global. */
uint32_t sim_generic(uint64_t *at, uint32_t mask, enum ptx_space *space);
bool sim_aligned(struct sim_warp *w, enum ptx_space space, const uint64_t *at, uint32_t mask,
                 uint32_t n, bool write);
void sim_count_shared(struct sim_warp *w, const uint64_t *at, uint32_t mask, uint32_t n);

/* Memory at p becomes its combination with b: i->count says how, i->size and i->ext what it is. */
void sim_atomic_apply(const struct sim_inst *i, uint8_t *p, uint64_t b);

/* ---- race.c ---- */
void sim_race_store(struct sim_warp *w, const struct sim_inst *i, struct sim_region *r,
                    const uint64_t *at, uint32_t mask, uint32_t n);
void sim_race_release(struct sim_warp *w,
                      const struct sim_inst *i); /* before an atomic or strong store */
void sim_race_acquire(struct sim_warp *w, const struct sim_inst *i); /* after one, or such a load */

/* ---- taint.c ---- */
void sim_taint_load(struct sim_warp *w, const struct sim_inst *i, struct sim_region *r,
                    const uint64_t *at, uint32_t mask);
void sim_taint_store(struct sim_warp *w, const struct sim_inst *i, struct sim_region *r,
                     const uint64_t *at, uint32_t mask);
void sim_taint_atomic(struct sim_warp *w, const struct sim_inst *i, struct sim_region *r,
                      const uint64_t *at, uint32_t mask);
void sim_taint_local_load(struct sim_warp *w, const struct sim_inst *i, const uint8_t *known,
                          int lane);
void sim_taint_local_store(struct sim_warp *w, const struct sim_inst *i, uint8_t *known, int lane);
bool sim_taint_address(struct sim_warp *w, const struct sim_inst *i,
                       uint32_t mask); /* false: reported */
/* The register of an address alone. */
bool sim_taint_row(struct sim_warp *w, uint32_t row, uint8_t size, uint32_t mask);
void sim_taint_copy(struct sim_warp *w, uint32_t row, uint8_t size, int lane, uint64_t bits);
/* Reads of n bytes at each lane of global memory: bounds, races, counters. False: reported. */
bool sim_read_rows(struct sim_warp *w, const uint64_t *at, uint32_t mask, uint32_t n);
struct sim_region sim_global_region(struct sim_warp *w, uint64_t at);
void sim_taint_shfl(struct sim_warp *w, const struct sim_inst *i, const int *source, uint32_t mask);

#endif
