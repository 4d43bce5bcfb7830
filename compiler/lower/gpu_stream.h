/* gpu_stream: what the files of streamed chains share (attention, fuse/stream.c). A block of
 * threads has a block of rows and goes over the columns tile by tile; a warp has 16 of the rows, so
 * that what is folded over a row meets within a few neighbouring lanes. Square values are
 * registers: fma           lane = 8 * i + j: rows i, i + 4, i + 8, i + 12 of the warp, columns j, j
 * + 8, … tensor cores  lane = 4 * i + j: rows i, i + 8, columns 2j, 2j + 1 of each 8 (fragments of
 * sums) By fma the square factors of sums go to shared memory; for tensor cores a fragment of sums
 * is one of factors, with no more than a packing of pairs. */
#ifndef NNC_GPU_STREAM_H
#define NNC_GPU_STREAM_H

#include "lower/chain.h"
#include "lower/gpu_contract.h"

enum { GS_TILES = 6, GS_PARTS = 2, GS_KEPT = 8, GS_ROWS = 4, GS_WARP_ROWS = 16 };

/* A factor's tile in shared memory: for each of `points` points of an axis (row or column) the
 * depth, padded by zeros; the pitch is an odd number of 16 bytes. */
struct gs_tile {
    fx_id v;
    uint32_t axis;
    bool rows; /* of the block's rows: loaded once */
    struct gc_group dims;
    int64_t points, depth, pitch, size;
    int64_t vec;               /* elements of a read */
    bool plain, async, across; /* across: neighbouring threads at neighbouring points */
    uint32_t buf;
};

/* A value of a row or of a column that points want. */
struct gs_kept {
    fx_id v;
    uint32_t buf; /* registers, one a row of the thread; shared memory, one a column */
};
struct gs_keeps {
    uint32_t n;
    struct gs_kept p[GS_KEPT];
};

struct gs {
    struct sk *s; /* over all of the chain's members */
    struct gc c;  /* for gc_…: the unit, no more */
    struct fuse_stream f;
    struct chain_limits limits;
    uint32_t row, column;  /* axes */
    int64_t nrow, ncolumn; /* their sizes */
    int64_t block, wide;   /* of a tile: rows, columns */
    int64_t stages;        /* 2: a tile of columns is loaded while the one before is used */
    int32_t threads;
    int64_t rows, cols; /* a thread's share of a square tile */
    struct gs_tile tile[GS_TILES];
    uint32_t ntile;
    uint32_t row_tile[GS_PARTS], col_tile[GS_PARTS]; /* of each score */
    uint32_t sum_tile[GS_PARTS];                     /* of each sum */
    int64_t n[GS_PARTS];                             /* a sum's columns, padded */
    struct gs_keeps by_row, by_column;
    uint32_t score[GS_PARTS], sum[GS_PARTS]; /* registers: sums of products */
    uint32_t square[GS_PARTS];               /* fma: shared memory; else registers */
    int64_t square_pitch;
    uint32_t x, max, total; /* registers of the softmax */

    /* while the phase is emitted */
    lo_id lane, warp, i, j;
    struct lo_lin row0, col0;
    lo_id row_at[GS_ROWS]; /* where the thread's rows stand, inside of the axis */
    struct lo_lin stage;
};

static inline bool gs_fma(const struct gs *g) { return g->c.unit == MATMUL_FMA; }
static inline int64_t gs_elem(const struct gs *g) { return gc_elem(&g->c); }
/* k of an instruction. */
static inline int64_t gs_step(const struct gs *g)
{
    switch (g->c.unit) {
    case MATMUL_FMA: return 4;
    case MATMUL_TF32:
    case MATMUL_F16_K8: return 8;
    case MATMUL_BF16:
    case MATMUL_F16: break;
    }
    return 16;
}
static inline int64_t gs_up(int64_t n, int64_t to) { return gc_ceil(n, to) * to; }
static inline uint32_t gs_bit(uint32_t axis) { return 1u << axis; }
/* The thread's r-th row and c-th column within the tile. */
struct lo_lin gs_row(struct gs *g, int64_t r);
struct lo_lin gs_col(struct gs *g, int64_t c);

/* ---- gpu_stream_tile.c ---- */
void gs_choose(struct gs *g);          /* unit, tiles, what is kept */
bool gs_reads(struct gs *g, fx_id id); /* memory */
void gs_make_tiles(struct gs *g);
void gs_load(struct gs *g, const struct gs_tile *t, struct lo_lin from, struct lo_lin stage);

/* ---- gpu_stream_multiply.c ---- */
void gs_score(struct gs *g, uint32_t i); /* g->score[i] = rows times columns */
lo_id gs_get_score(struct gs *g, uint32_t i, int64_t r, int64_t c);
void gs_set_square(struct gs *g, uint32_t i, int64_t r, int64_t c, lo_id v);
void gs_add(struct gs *g, uint32_t i);                    /* g->sum[i] += square times columns */
void gs_scale(struct gs *g, uint32_t i, const lo_id *by); /* its rows, each by a number */
/* The pieces of a sum that a thread has: a row, columns of the result from `at` on, as many as
 * lanes. */
int64_t gs_pieces(const struct gs *g, uint32_t i);
lo_id gs_piece(struct gs *g, uint32_t i, int64_t piece, int64_t *r, struct lo_lin *at);

/* ---- gpu_stream_point.c ---- */
void gs_begin_rows(struct gs *g);
void gs_load_columns(struct gs *g, struct lo_lin from, struct lo_lin stage);
void gs_points(struct gs *g); /* from scores to squares; sums are scaled */
void gs_finish(struct gs *g);

#endif
