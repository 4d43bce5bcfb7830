/* gpu_contract: what the files of the GPU's contraction skeleton share. gpu_contract.c decides
 * (operands, tile, how each is brought to shared memory, parts of k), gpu_stage.c fills shared
 * memory, gpu_multiply.c multiplies, gpu_finish.c does what follows from a finished tile.
 *
 * A contraction is a matmul of flat axes: rows m, columns n, k and batch are each a list of axes of
 * the space, counted as one number, the last axis fastest. So a convolution is one too (implicit
 * GEMM): a thread turns flat numbers into the axes, and reads are as everywhere. */
#ifndef NNC_GPU_CONTRACT_H
#define NNC_GPU_CONTRACT_H

#include "lower/skeleton.h"
#include "target/matmul.h"

/* Axes counted as one flat number, the last one fastest. */
struct gc_group {
    uint32_t n, axis[IR_MAX_AXES], mask;
    int64_t size;
};

/* Where a group's axes stand for one flat number. */
struct gc_spot {
    struct lo_lin at[IR_MAX_AXES];
};

enum { GC_STEPS = 64 };

/* An operand: how its tile goes to shared memory. There it lies by rows of k, each all of x (m or
 * n), or, for tensor cores whose operand is contiguous along k, by rows of x. */
struct gc_side {
    fx_id v;
    struct gc_group x;
    int64_t tile;  /* of x */
    bool plain;    /* one read of a stored value, 0 where its conditions fail */
    bool async;    /* by asynchronous copies of raw bytes */
    bool along_k;  /* lanes and vectors of a read run along k, else along x */
    int64_t vec;   /* elements of a read */
    bool rows_x;   /* shared memory by rows of x */
    bool swizzled; /* pieces of 16 bytes of a row change places, by the row's number */
    int64_t pitch; /* of a row, in elements */
    int64_t size;  /* of a tile in shared memory, in elements */
    int64_t at;    /* of the first tile in the buffer */
    uint32_t shared, reg;
    int64_t lx, lk; /* a warp's reads: lx along x by lk along k */
    int64_t nx, nk; /* such reads of warps in a tile */
    int64_t xs, ks; /* different places of a thread's reads, along x and along k */
    /* While a phase is emitted: places of the thread's reads within a tile. */
    struct lo_lin x_at[GC_STEPS], k_at[GC_STEPS], to[GC_STEPS];
    struct gc_spot spot[GC_STEPS]; /* of the result's axes, for each of xs */
};

struct gc {
    struct sk *s;
    uint32_t member;
    ir_id node;
    enum matmul_unit unit;
    struct gc_group batch, k;
    struct gc_side a, b; /* rows, columns */
    struct matmul_tile tile;
    int32_t threads;
    int64_t stages;
    int64_t tiles_m, tiles_n, tiles_k;
    int64_t splits, part_k; /* parts of k, each of so many tiles */
    int64_t end_vec;        /* elements of a store of the result */
    int64_t temp_n;         /* columns in the temporary of partial sums */
    uint32_t acc, temp, out;
    int64_t out_pitch;
    int64_t grid_y,
        grid_x; /* threads of the block (FMA) or warps (tensor cores) by rows and columns */

    /* while a phase is emitted */
    lo_id lane, warp;
    struct lo_lin m0, n0, k0, part, flat_batch;
    lo_id ty, tx; /* this thread's (warp's) place in the grid */
};

static inline int64_t gc_dim(const struct gc *c, uint32_t axis) { return c->s->x.dim[axis]; }
static inline int64_t gc_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }
/* Bytes of an operand's element in shared memory. */
static inline int64_t gc_elem(const struct gc *c) { return matmul_element(c->unit); }

/* ---- gpu_contract.c ---- */
/* Shared memory of a contraction; `half`: tiles are of 16-bit elements, the slab has its own
 * buffer. */
struct gc_room {
    int64_t elements, sums;
    bool half;
    uint32_t tiles, slab; /* buffers, 0: to be made */
};
/* A stage of a chain (gpu_chain.c), by all threads of a block: what it needs, false if it is none;
 * emitted in the place where the builder is. */
bool gc_room_within(struct sk *s, int32_t threads, struct gc_room *room);
void gc_contract_within(struct sk *s, int32_t threads, struct gc_room *room);
/* Tensor cores where both factors have few bits, and the level such cores. */
enum matmul_unit gc_unit_of(const struct sk *s, fx_id a, fx_id b);
/* x // q, and *rest = x % q. */
lo_id gc_split(struct gc *c, lo_id x, int64_t q, lo_id *rest);
struct lo_lin gc_plus(struct gc *c, struct lo_lin l, int64_t k);
struct lo_lin gc_plus_v(struct gc *c, struct lo_lin l, lo_id v, int64_t factor);
lo_id gc_below(struct gc *c, struct lo_lin l, int64_t n); /* l < n */
lo_id gc_both(struct gc *c, lo_id x, lo_id y);            /* 0 is true */
lo_id gc_bit(struct gc *c, enum lo_bit op, lo_id x, int64_t v);
/* Fragments for tensor cores: of two, of four 32-bit values; the instruction that takes them. */
lo_id gc_pair(struct gc *c, lo_id x, lo_id y);
lo_id gc_four(struct gc *c, const lo_id *x);
enum lo_mma gc_instruction(const struct gc *c);
/* The axes of a flat number, and standing there; with lanes > 1 the last axis runs over them. */
void gc_decode(struct gc *c, const struct gc_group *g, struct lo_lin flat, struct gc_spot *spot);
void gc_stand(struct gc *c, const struct gc_group *g, const struct gc_spot *spot, int64_t lanes);
void gc_begin_threads(struct gc *c); /* lane, warp */

/* ---- gpu_reads.c ---- */
/* `vec` neighbours in the group's flat order can be had as lanes. */
bool gc_may_vector(const struct gc *c, fx_id v, const struct gc_group *g, int64_t vec);
/* … and all reads below the value are vectors of memory, aligned; or the same for all lanes. */
bool gc_wide(const struct gc *c, fx_id v, const struct gc_group *g, int64_t vec);
bool gc_wide_address(const struct gc *c, const struct ix *at, const struct gc_group *g,
                     int64_t vec);
/* Neighbours in flat order are neighbours in memory, mostly. */
bool gc_contiguous(const struct gc *c, fx_id v, const struct gc_group *g);
bool gc_plain(const struct gc *c, fx_id v);
/* The stored value that a plain factor reads, and the condition under which. */
const struct fx_val *gc_plain_load(const struct gc *c, fx_id v, uint32_t *cond);
bool gc_guarded(const struct gc *c, fx_id v); /* some read below is under a condition */

/* ---- gpu_stage.c ---- */
/* In tiles that are large. */
enum matmul_way gc_way(const struct gc *c, const struct gc_side *d);
void gc_choose_staging(struct gc *c, struct gc_side *d);
void gc_stage_begin(struct gc *c, struct gc_side *d,
                    struct lo_lin x0); /* places of the thread's reads */
void gc_stage_load(struct gc *c, struct gc_side *d, struct lo_lin k_tile, struct lo_lin stage);
void gc_stage_store(struct gc *c, struct gc_side *d, struct lo_lin stage);
/* Of its elements in shared memory. */
enum nn_dtype gc_shared_type(const struct gc *c);
/* What the number of a row's 16-byte piece is xored with. */
lo_id gc_swizzle(struct gc *c, const struct gc_side *d, lo_id row);
/* Where an element of a tile lies, by row and column of shared memory. */
struct lo_lin gc_shared_at(struct gc *c, const struct gc_side *d, struct lo_lin row,
                           struct lo_lin col);

/* ---- gpu_multiply.c ---- */
void gc_begin_multiply(struct gc *c); /* the thread's place, sums of 0 */
void gc_multiply(struct gc *c, struct lo_lin stage);
int64_t gc_slabs(const struct gc *c); /* parts in which a finished tile goes to shared memory */
void gc_write_slab(struct gc *c, int64_t slab);
struct lo_lin gc_slab_row(struct gc *c, struct lo_lin slab,
                          lo_id row); /* a slab's row in the tile */

/* ---- gpu_mma.c: the same by tensor cores ---- */
void gc_mma(struct gc *c, struct lo_lin stage);
void gc_mma_slab(struct gc *c, int64_t slab);
struct lo_lin gc_mma_slab_row(struct gc *c, struct lo_lin slab, lo_id row);

/* ---- gpu_finish.c ---- */
void gc_finish_tile(struct gc *c);
void gc_phase_finish(struct gc *c);
void gc_choose_end(struct gc *c); /* how results are stored */

#endif
