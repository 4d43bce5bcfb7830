/* tensor: what decode_tensor*.c tells tensor*.c, in words of a function's ext. */
#ifndef SIM_TENSOR_H
#define SIM_TENSOR_H

#include "exec.h"

struct decoder;
struct ins;

enum element { EL_F16, EL_BF16, EL_TF32, EL_F32, EL_F64, EL_S8, EL_U8, EL_S32, EL_E4M3, EL_E5M2 };
static inline int sim_element_bits(uint8_t e)
{
    return e == EL_F16 || e == EL_BF16                                ? 16
           : e == EL_F64                                              ? 64
           : e == EL_S8 || e == EL_U8 || e == EL_E4M3 || e == EL_E5M2 ? 8
                                                                      : 32;
}
struct mma_shape {
    const char *text;
    int m, n, k;
};
struct mma {
    uint8_t m, n, k, satfinite;
    uint8_t a, b, c, d;                       /* enum element */
    uint8_t wmma, a_count, b_count, rounding; /* rounding: of f64 */
    uint32_t a_at, b_at, c_at, d_at;          /* in ext: rows */
};
struct wmma_copy {
    uint8_t which, type, col, count; /* which: a b c d */
    uint8_t rows, cols, unused[2];
    uint32_t stride, at; /* row of the stride or NO_OPERAND; rows in ext */
};

sim_handler sim_mma, sim_wmma_load, sim_wmma_store, sim_ldmatrix, sim_stmatrix, sim_movmatrix;
sim_handler sim_cp_async, sim_cp_commit, sim_cp_wait;

/* ---- mbarrier: sim_inst.sub; size is the width of the address ---- */
enum mbar_op {
    MBAR_INIT,
    MBAR_INVAL,
    MBAR_EXPECT,
    MBAR_COMPLETE,
    MBAR_ARRIVE,
    MBAR_ARRIVE_EXPECT,
    MBAR_DROP,
    MBAR_DROP_EXPECT,
    MBAR_CP_ASYNC,
    MBAR_LANDED /* ext bytes of st.async or red.async */
};
struct bulk_place { /* an address: a row, its width, and a number added */
    uint32_t row, width, low, high;
};
struct bulk {
    uint32_t rank, to_shared, from_shared;
    uint32_t reduce, type, size, lanes; /* reduce: 1 + sim_atomic's operation, of such elements */
    uint32_t bytes;                     /* row, of a flat copy */
    uint32_t mask;                      /* row, of a copy to several blocks; or NO_OPERAND */
    uint32_t at[5];                     /* rows of coordinates */
    struct bulk_place shared, global, barrier; /* global: the tensor map's, of a tensor copy */
};
struct wgmma {
    uint16_t n;
    uint8_t k, satfinite;
    uint8_t a, b, d, a_registers;
    uint8_t negative, trans_a, trans_b, scale_not;
    uint32_t a_at, b_at, d_at, scale_d; /* a, d: in ext; b: row; scale_d: predicate */
};
/* ---- tensormap.replace and .cp_fenceproxy: descriptions in ext ---- */
enum map_field {
    MAP_ADDRESS,
    MAP_RANK,
    MAP_BOX,
    MAP_SIZE,
    MAP_STRIDE,
    MAP_STEP,
    MAP_TYPE,
    MAP_INTERLEAVE,
    MAP_SWIZZLE,
    MAP_FILL
};
struct map_change {
    struct bulk_place map;
    uint32_t shared, field, dimension, value, wide; /* value: a row */
};
struct map_copy {
    struct bulk_place to, from;
};
sim_handler sim_mbar, sim_mbar_wait, sim_bulk_tensor, sim_bulk_flat, sim_wgmma;
sim_handler sim_map_replace, sim_map_copy;
/* All copies of a lane's cp.async land now. */
void sim_cp_land(struct sim_warp *w, int lane);
bool decode_bulk(struct decoder *d, struct ins *x); /* cp.async.bulk… */
/* The bytes of st.async or red.async, at their third operand, the mbarrier. */
bool decode_landed(struct decoder *d, struct ins *x, uint32_t bytes);
bool decode_cp_mbarrier(struct decoder *d, struct ins *x); /* cp.async.mbarrier.arrive */

#endif
