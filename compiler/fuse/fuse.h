/* fuse: which nodes are stored, and which stored nodes share a kernel. Reads a graph after
 * fold_moves and dce, writes clusters in an order in which they can run. Legality stands apart from
 * profit: a merge is refused with a reason, and a policy (a row of a table) only chooses among
 * legal ones.
 *
 * Sections: fx.c (values at points), store.c, cluster.c, merge.c, across.c, chain.c, chain_place.c,
 * square.c, stream.c, product.c, bundle.c, policy.c, pad.c, print.c. */
#ifndef NNC_FUSE_H
#define NNC_FUSE_H

#include "image.h"
#include "ir/ir.h"
#include "target/target.h"

/* ---- fx.c: a node's value at a point, by substitution of index expressions ----
 * A space is a list of axes with sizes. A point's coordinates are index expressions over them;
 * reading a node at a point follows its accesses down to what is stored (or bound by the kernel at
 * hand), so that moves, broadcasts and index notation are gone: what is left is loads at flat
 * addresses, operators, and picks (a guarded read: where its conditions hold the operand, else a
 * constant). Equal values are one value. In an index expression here, operand k is the value number
 * k. */
typedef uint32_t fx_id; /* 0 is none */

enum fx_kind {
    FX_LOAD,   /* an element of a stored node, at flat address `at` */
    FX_BOUND,  /* the value that the kernel has computed for node, at coordinates `coord` */
    FX_CONST,  /* f, or i for integers and bool */
    FX_INDEX,  /* the index expression `at` as a number */
    FX_RANDOM, /* in[0] seed, in[1] step, flat index `at`, stream i, word op */
    FX_OP,     /* element-wise operator op */
    FX_PICK,   /* in[0] where the conditions of `pick` that are not in `cond` hold, else f */
};
enum fx_mode { FX_INLINE, FX_STORED, FX_BIND };

struct fx_guard { /* e is a multiple of q and e/q is in [0, n) */
    const struct ix *e;
    int64_t q, n;
    bool strict; /* where only such ones fail, the run stops */
    uint32_t origin;
};
/* A conjunction: its last guard and the rest (0: true). */
struct fx_cond {
    uint32_t up;
    struct fx_guard g;
    uint32_t axes;
};
struct fx_val {
    uint8_t kind, op, dtype;
    ir_id node;
    fx_id in[3];
    const struct ix *at;
    const struct ix *const *coord; /* LOAD, BOUND: one for each axis of the node's value */
    uint32_t rank;
    uint32_t cond; /* it is wanted only where this holds: loads are masked by it */
    uint32_t pick;
    double f;
    int64_t i;
    uint32_t axes;   /* the axes of the space on which it depends, a mask */
    bool bound;      /* a FX_BOUND is below it */
    uint32_t origin; /* of the node that first asked for it; no part of the number */
    uint64_t hash;
};
/* A value that only the stages of one chain see: of its axes those in `apart` are one point of each
 * block of rows, the one at `split` has dim[split] rows of it, the others are there whole. */
struct fx_local {
    ir_id node;
    uint32_t apart, split;
    int64_t dim[IR_MAX_AXES]; /* 1 where apart */
};
struct fx {
    const struct ir_graph *g;
    struct arena *mem;
    const uint8_t *mode; /* enum fx_mode of each node; inputs and slots count as stored */
    uint32_t n;
    int64_t dim[IR_MAX_AXES];
    VEC(struct fx_val) val;   /* p[0] unused; operands before users */
    VEC(struct fx_cond) cond; /* p[0]: true */
    uint32_t *table;          /* of value numbers, by hash */
    uint32_t table_size;
    uint32_t origin;              /* of the node being read */
    const struct fx_local *local; /* of a chain's stage, else none */
    uint32_t nlocal, first_row;   /* the axis that says where the block's rows begin */
};
void fx_begin(struct fx *x, const struct ir_graph *g, const uint8_t *mode, uint32_t n,
              const int64_t *dim);
void fx_end(struct fx *x);
/* The value of a node's element at these coordinates of its value, whatever its own mode. */
fx_id fx_compute(struct fx *x, ir_id node, const struct ix *const *at);
/* The same as its users see it: a load if it is stored. */
fx_id fx_value(struct fx *x, ir_id node, const struct ix *const *at, uint32_t cond);
/* Operand k of a node at a point of the node's whole domain: what a reduce folds, a scatter adds.
 */
fx_id fx_operand(struct fx *x, ir_id node, uint32_t k, const struct ix *const *at);
/* A term of an access of the node at a point of its domain, @k being operand k's value: a guard
 * where it may fail (return true), and the coordinate. */
bool fx_term(struct fx *x, ir_id node, const struct ir_term *t, const struct ix *const *at,
             uint32_t cond, struct fx_guard *g, const struct ix **coord);
bool fx_never(const struct fx *x, const struct fx_guard *g); /* fails everywhere */
uint32_t fx_and(struct fx *x, uint32_t cond, const struct fx_guard *g);
const struct ix *fx_flat(struct fx *x, const struct ir_node *n, const struct ix *const *at);
/* Where a stored node's element lies: at its flat index, or at its place in the block's buffer. */
const struct ix *fx_place(struct fx *x, ir_id node, const struct ix *const *at);
uint32_t fx_ix_axes(const struct fx *x, const struct ix *e); /* mask */
/* Calls fn for every value below (and with) id, operands first, each once for one `seen` (val.n
 * bytes, zeroed by the caller). Index values and conditions count as operands. */
void fx_walk(const struct fx *x, fx_id id, uint8_t *seen,
             void (*fn)(void *, const struct fx *, fx_id), void *ctx);

/* ---- clusters ---- */
enum fuse_skeleton {
    FUSE_MAP, /* every point on its own */
    FUSE_ROW, /* outer axes parallel, reductions over the inner ones, several sweeps over a row */
    FUSE_COLUMN, /* as row, and folds of the outer axes: partial results a chunk, a finish phase */
    FUSE_CONTRACT, /* generalised matmul: batch, m, n, k classes; implicit GEMM */
    FUSE_SCATTER,
    FUSE_PREFIX, /* cumsum */
    FUSE_CHAIN,  /* stages one after another for a block of rows, what is between them kept */
};
/* A member is a node that the cluster's loops compute. Its domain's axes are axes of the cluster's
 * space, of which the first `outer` are the rows' and the others lie within a row. */
enum fuse_role {
    FUSE_ELEM,   /* element-wise, over some inner axes too */
    FUSE_KEPT,   /* element-wise over outer axes only: once a row (a point, in a map) */
    FUSE_REDUCE, /* folds all inner axes: a value a row */
    FUSE_FOLD,   /* folds outer axes (all of them), and inner ones or not: known only at the end */
    FUSE_FINISH, /* element-wise on what folds give, after the end */
    FUSE_ALONE,  /* scatter, cumsum: a skeleton of its own */
    FUSE_ACROSS, /* folds all outer axes, keeps the inner ones: known only at the end (GPU) */
    FUSE_AFTER,  /* element-wise over the inner axes on what FUSE_ACROSS gives, after the end (GPU)
                  */
};
struct fuse_member {
    ir_id node;
    uint8_t role;
    bool stored;
    uint32_t level;            /* how many reductions of the row it waits for, one after another */
    uint8_t axis[IR_MAX_AXES]; /* of each axis of the node's domain: the axis of the space, or
                                  FUSE_NO_AXIS for one of size 1, which stands at 0 */
};
enum { FUSE_NO_AXIS = 255 };
struct fuse_cluster {
    enum fuse_skeleton skeleton;
    ir_id anchor;                    /* the node that gives the loops their shape */
    uint32_t outer, inner;           /* axes */
    int64_t dim[IR_MAX_AXES];        /* outer, then inner */
    VEC(struct fuse_member) members; /* operands first */
    VEC(ir_id) inputs;               /* stored nodes, inputs and slots that are read */
    uint32_t
        segment; /* clusters of one number (not 0) are one launch, each a range of its chunks */

    /* A chain's outer axes are its rows; the last one is cut into blocks of `block` rows. Its
     * members are what is stored of the stages' results, its inputs what they read from outside. */
    VEC(struct fuse_cluster) stages;
    int64_t block;
    /* A stage's space: outer (of the rows the last alone, with `block` points), inner, then axes
     * that stand still while its loops run: the other rows, and where the block begins. */
    uint32_t fixed, split;
    const struct fx_local *local; /* what the chain keeps; the same for all its stages */
    uint32_t nlocal;
    /* NULL, or what the members call axis a is through[a] over the space's axes: lowering walks the
     * points of a cluster in other orders so, by a copy of it. */
    const struct ix *const *through;
    bool streams;    /* GPU: a chain whose columns come tile by tile (stream.c) */
    uint8_t untiled; /* … or why they do not: enum fuse_reason */
};

/* Why two clusters do not share a kernel. FUSE_REASON(name, text) in reasons.def. */
enum fuse_reason {
#define FUSE_REASON(name, text) FUSE_##name,
#include "fuse/reasons.def"
#undef FUSE_REASON
    FUSE_REASON_COUNT
};
const char *fuse_reason_text(enum fuse_reason r);
struct fuse_refusal {
    ir_id a, b; /* the anchors */
    enum fuse_reason why;
};
/* A matrix between two contractions (attention's scores) that no chain keeps out of memory. */
struct fuse_matrix {
    ir_id node, by;                /* such a value; what stands against it */
    enum fuse_reason why, untiled; /* FUSE_ROWS: and why not by tiles */
};
/* Who computes matrix products on a GPU. */
enum fuse_gemm {
    FUSE_GEMM_OWN,     /* own kernels */
    FUSE_GEMM_AUTO,    /* the library (cuBLAS) where the target's prices say so */
    FUSE_GEMM_LIBRARY, /* the library wherever it can */
};
/* What a product takes on a card of the target's level, in microseconds: by an own kernel with what
 * is fused with it; by the library, with the memory traffic of what cannot be. */
struct fuse_price {
    ir_id sum;
    double own, library;
};
struct fuse_plan {
    struct ir_graph *g;
    const struct target *target;
    const char *policy;
    enum fuse_gemm gemm;
    uint8_t *mode; /* enum fx_mode of each node: FX_STORED or FX_INLINE */
    /* Of each node: it is a sum of products that is left to the library; NULL: none is. */
    uint8_t *library;
    VEC(struct fuse_price) prices; /* of all that the library could compute, if it was asked for */
    VEC(struct fuse_cluster) clusters;
    VEC(struct fuse_refusal) refusals;
    VEC(struct fuse_matrix) matrices;
};

/* Of a GPU's shared memory a chain leaves so much to the tiles of its contractions. */
enum { FUSE_TILE_BYTES = 38 << 10 };

const char *fuse_policy_name(size_t i); /* of the i-th; NULL behind the last */
/* Changes the graph first: pass anchor, borders around what large contractions read (pad.c), reads
 * of sizes.
 * NULL if there is no such policy. */
struct fuse_plan *fuse_graph(struct ir_graph *g, const struct target *t, const char *policy,
                             enum fuse_gemm gemm);
void fuse_free(struct fuse_plan *p);
void fuse_print(const struct fuse_plan *p, struct text *out); /* `nnc emit fused` */

/* The value of member i over the cluster's space, in an fx whose first axes are the space's: for a
 * reduce or fold what is folded. */
fx_id fuse_member_value(struct fx *x, const struct fuse_cluster *c, uint32_t i);
/* An fx over the cluster's space; mode: fuse_modes of it. */
void fuse_fx_begin(struct fx *x, const struct fuse_plan *p, const struct fuse_cluster *c,
                   const uint8_t *mode);
/* The modes inside of the cluster: FX_BIND for its reductions, FX_INLINE for its other members. */
uint8_t *fuse_modes(const struct fuse_plan *p, const struct fuse_cluster *c); /* heap */
/* How far the axis of the cluster's space goes in a run, if all members that have it say the same;
 * else NULL. The slot that says so is among the cluster's inputs: its node. */
const struct ir_live *fuse_axis_live(const struct fuse_plan *p, const struct fuse_cluster *c,
                                     uint32_t axis);
ir_id fuse_size_node(const struct ir_graph *g, uint32_t slot); /* 0: there is none */
/* A member's coordinates in its value. */
void fuse_member_coords(struct fx *x, const struct fuse_cluster *c, const struct fuse_member *m,
                        const struct ix **at);
/* A contraction seen through its accesses: sum over k of a product of two values, where some outer
 * axis is in one only, some in the other only. False if the member is no such thing. */
struct fuse_contraction {
    fx_id value, a, b;       /* value: what is summed; a * b */
    uint32_t batch, m, n, k; /* masks of axes: outer in both, only a, only b; inner in both */
    uint32_t ka, kb;         /* inner in one only */
};
bool fuse_contraction(const struct fx *x, const struct fuse_cluster *c, fx_id value,
                      struct fuse_contraction *out);

/* ---- product.c: contractions as a library computes them ---- */
struct fuse_product {
    struct nn_gemm_rec rec;
    ir_id a, b, c, add, bias, aux; /* the last three: 0 if the epilogue has none */
};
/* Whether the cluster is such a product as a whole: its members' `stored` says what of it is. */
bool fuse_product(const struct fuse_plan *p, const struct fuse_cluster *c,
                  struct fuse_product *out);
/* … and is left to the library. */
bool fuse_library(const struct fuse_plan *p, const struct fuse_cluster *c,
                  struct fuse_product *out);

/* ---- stream.c ---- chains seen by their columns. */
/* Of a kept value the one axis that is no row, UINT32_MAX - 1 if there is not exactly one; of a
 * stage's space the axis that the columns of what the chain keeps run along (false: no one axis).
 */
uint32_t fuse_local_column(const struct fuse_plan *p, const struct fx_local *v);
bool fuse_stage_column(const struct fuse_plan *p, const struct fuse_cluster *chain,
                       const struct fuse_cluster *stage, uint32_t *column);

/* A chain in one space: the rows, the column, then what contractions sum over or give by. Scores
 * are contractions whose result is square, one factor a row's, the other a column's; sums go over
 * the columns, of a square value times a column's; or a square value itself is stored. With a
 * softmax between them `max` folds x, and `total` e = exp(x - max), and each sum's square value is
 * e / total times what knows neither. */
enum { FUSE_STREAM_DEPTH = 128 };
struct fuse_score {
    uint32_t member;
    fx_id row, col;
    uint32_t k; /* mask of axes */
};
struct fuse_sum {
    uint32_t member;
    fx_id square, col;
    uint32_t n;   /* mask of axes */
    bool divided; /* its terms are divided by the softmax's total */
    bool masked;  /* what a mask leaves out of the softmax is left out here, too: maybe all of a row
                   */
};
struct fuse_stream {
    uint32_t
        rows; /* axes 0 .. rows - 1, of which the last is cut into blocks; the column follows */
    uint32_t nscore, nsum;
    struct fuse_score score[2];
    struct fuse_sum sum[2];
    uint32_t max, total; /* members; UINT32_MAX: no softmax */
    uint32_t stored;     /* a member that is stored by row and column; UINT32_MAX: none */
    fx_id x, e;          /* what max folds; exp(known - max) */
    fx_id known;         /* x, but where x is -inf for want of columns */
};
/* The members of all stages as one cluster in that space, `level` their stage; freed by the caller
 * whatever the result. */
bool fuse_stream_space(const struct fuse_plan *p, const struct fuse_cluster *chain,
                       struct fuse_cluster *all);
/* FUSE_LEGAL, or what does not fit. */
enum fuse_reason fuse_stream_find(struct fx *x, const struct fuse_cluster *chain,
                                  const struct fuse_cluster *all, struct fuse_stream *out);
enum fuse_reason fuse_streams(const struct fuse_plan *p, const struct fuse_cluster *chain);
void fuse_cluster_free(struct fuse_cluster *c);

#endif
