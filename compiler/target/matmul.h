/* matmul: how a GPU multiplies matrices, and what it takes: the tiles of own kernels with their
 * prices, and the price of a library's product. All comes from shape and level. */
#ifndef NNC_MATMUL_H
#define NNC_MATMUL_H

#include "nnrt.h"
#include "target/target.h"

/* What multiplies. */
enum matmul_unit {
    MATMUL_FMA,    /* f32, a tile of registers a thread */
    MATMUL_TF32,   /* mma.sync m16n8k8 */
    MATMUL_BF16,   /* mma.sync m16n8k16 */
    MATMUL_F16,    /* the same */
    MATMUL_F16_K8, /* mma.sync m16n8k8 (sm_75) */
};

/* How an operand comes to shared memory. */
enum matmul_way {
    MATMUL_COPIED,  /* by asynchronous copies */
    MATMUL_STAGED,  /* by way of registers, of 32 bits an element */
    MATMUL_GUARDED, /* … with conditions on the way, or places that many axes make */
};

/* A tile of the result, `k` deep. FMA: a thread holds tm by tn of it; tensor cores: a warp. */
struct matmul_tile {
    int16_t m, n, k, tm, tn;
};

/* C[m, n] = A[m, k] B[k, n], `batch` times. */
struct matmul {
    const struct target *t;
    enum matmul_unit unit;
    int64_t m, n, k, batch;
    enum matmul_way way_a, way_b;
};

/* k is summed in `splits` parts; `stages` tiles of the operands are on their way at a time. */
struct matmul_choice {
    struct matmul_tile tile;
    int64_t splits, stages;
    double cycles; /* of a multiprocessor, start to end */
};

/* Where both factors have elements of this type (`tf32`: f32 that are rounded so) and the level has
 * tensor cores for it: these; else FMA. */
enum matmul_unit matmul_unit(const struct target *t, enum nn_dtype factor, bool tf32);
int64_t matmul_element(enum matmul_unit u); /* bytes of an operand's element in shared memory */
int64_t matmul_threads(enum matmul_unit u, const struct matmul_tile *t); /* of a block */
/* Bytes of shared memory: tiles on their way, and the slab of results where it has a buffer of its
 * own type. */
int64_t matmul_shared(enum matmul_unit u, const struct matmul_tile *t, int64_t stages);
struct matmul_choice matmul_choose(const struct matmul *p);
/* For a block of `threads` threads that goes over the whole result, in `bytes` of shared memory. */
struct matmul_choice matmul_choose_within(const struct matmul *p, int32_t threads, int64_t bytes);
/* Microseconds of a card of the level: by the chosen tile; by the library. */
double matmul_own_us(const struct matmul *p, const struct matmul_choice *c);
double matmul_library_us(const struct matmul *p);

#endif
