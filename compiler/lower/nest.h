/* nest: the loops of map, row and column clusters. Private to survey.c, nest.c, total.c, hold.c,
 * sweep.c and to what threads of a GPU make of the same clusters (gpu.h). */
#ifndef NNC_NEST_H
#define NNC_NEST_H

#include "lower/skeleton.h"

enum { NEST_COPIES = 8, NEST_TASKS = IR_MAX_AXES };

struct nest_access {
    const struct ix *e;
    bool number; /* its value matters, not only the address that it is part of */
    bool memory; /* a load or store */
    uint32_t bytes;
};
/* A value's cost in instructions and where it is computed. */
struct nest_work {
    double cost;
    uint32_t axes;
};
/* What a member folds into. */
struct nest_fold {
    uint32_t reg, index;      /* register arrays, one a copy; index: of argmax and argmin */
    uint32_t total;           /* of a long sum: what reg is emptied into; 0: none */
    lo_id value[NEST_COPIES]; /* a reduction's result for each copy, once known; [0] if it is one */
    bool done;
    uint32_t temporary; /* FUSE_FOLD in several chunks: one partial result each, */
    uint32_t where;     /* and its index, for argmax and argmin */
};
/* Vectors side by side along the vector axis, handled in one go. */
struct nest_block {
    struct lo_lin at;
    uint32_t copies;
    lo_id mask; /* of the last copy; 0: full */
};
struct nest {
    struct sk *s;
    VEC(struct nest_access) access;
    VEC(struct nest_work) work;
    int64_t trip[IR_MAX_AXES];   /* of each axis once neighbours are merged: 1 is no loop */
    int v;                       /* the vector axis or -1 */
    int64_t run[NEST_TASKS + 1]; /* of the loop over an axis (its vectors), over a chunk's tasks:
                                    the iterations between fillings of totals; 0: it is not cut */
    bool row_cut;                /* one within a row is */
    uint32_t lanes, copies;
    uint32_t sweeps, current;
    uint32_t *sweep; /* of each member that is computed in a sweep over the row */
    struct nest_fold *fold;
    uint32_t *first;         /* of each held value: the sweep that computes it */
    struct nest_block block; /* along an outer vector axis; copies 1 if there is none */
    double time;             /* instructions of the whole cluster, a guess by shape */
    double cost;             /* of them at an innermost point */
};

/* ---- survey.c ---- */
void nest_survey(struct nest *n);
void nest_merge_axes(struct nest *n);
void nest_choose_vector(struct nest *n);
double nest_time(const struct nest *n, int axis, uint32_t lanes);
const struct ix *nest_fold_index(struct nest *n, uint32_t member);

/* ---- nest.c ---- */
/* Reductions in the sweep of their level; what is stored element by element in the last, so that a
 * buffer read in earlier ones may be written in place. */
void nest_assign_sweeps(struct nest *n);
bool nest_has_folds(const struct nest *n);
void nest_store_last(struct nest *n); /* what folds give, and what follows from them */

/* ---- total.c: long sums (CPU) ----
 * Where totals are filled. A chunk's rows: `blocks` of an outer vector axis, the outer axes from
 * `split` on, `tasks`. */
void nest_choose_runs(struct nest *n, int64_t blocks, uint32_t split, int64_t tasks);
void nest_make_total(struct nest *n, uint32_t member);
void nest_start_total(struct nest *n, uint32_t member, uint32_t copies);
void nest_fill_total(struct nest *n, uint32_t member, uint32_t copies);
enum nn_dtype nest_part_type(struct nest *n, uint32_t member); /* of a chunk's result, in memory */
/* Around a loop, in iterations: from..to becomes one run, totals are filled behind it. */
void nest_open_run(struct nest *n, uint32_t loop, struct lo_lin *from, struct lo_lin *to);
void nest_close_run(struct nest *n, uint32_t loop);

/* ---- hold.c ---- Gives buffers to costly values that several sweeps want. */
void nest_hold(struct nest *n);

/* ---- sweep.c: what happens at a row ---- */
bool nest_in_sweep(const struct nest *n, uint32_t member, uint32_t sweep);
static inline bool nest_v_outer(const struct nest *n)
{
    return n->v >= 0 && (uint32_t)n->v < n->s->c->outer;
}
static inline bool nest_v_inner(const struct nest *n)
{
    return n->v >= 0 && (uint32_t)n->v >= n->s->c->outer;
}
void nest_make_folds(struct nest *n); /* register arrays */
void nest_start_fold(struct nest *n, uint32_t member, uint32_t copies);
enum nn_dtype nest_folded_type(struct nest *n, uint32_t member);
uint32_t nest_fold_copies(const struct nest *n, uint32_t member); /* in use where we stand */
void nest_at_point(struct nest *n, uint32_t u);   /* n->current's members, into copy u */
void nest_row_values(struct nest *n, uint32_t u); /* stores and folds what is known once a row */
void nest_row(struct nest *n);                    /* all sweeps, stores, row values, at n->block */
void nest_start_folds(struct nest *n);            /* of the chunk */
/* The chunk's result, a scalar (of a long sum in f64); of argmax and argmin the index, and in *best
 * the value there. */
lo_id nest_end_fold(struct nest *n, uint32_t member, lo_id *best);
/* `index` where x is the extreme `best` or a NaN, else the largest i32. */
lo_id nest_index_where(struct lo_builder *b, lo_id x, lo_id best, lo_id index);
static inline enum ir_monoid nest_value_monoid(enum ir_monoid m)
{
    return m == IRM_argmax ? IRM_max : m == IRM_argmin ? IRM_min : m;
}
/* Runs body for blocks from..to (in units of copies*lanes; constants for all) of the vector axis,
 * then for what is left if `rest`. */
void nest_blocks(struct nest *n, struct lo_lin from, struct lo_lin to,
                 void (*body)(struct nest *, const struct nest_block *));
bool nest_rest(struct nest *n, struct nest_block *b); /* the block behind the last whole one */

#endif
