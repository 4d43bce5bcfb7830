/* gpu: blocks of threads for map, row and column clusters. Private to gpu_*.c.
 *
 * A task is a point of the outer axes, or a vector of points where the threads run along an outer
 * axis. A team of threads shares a task, taking turns at the points of its row; the teams of a
 * block work side by side. Two ways to lay them: along   consecutive threads at consecutive points
 * of the row; a task's sums meet by shuffles and, past a warp, in shared memory across  consecutive
 * threads at consecutive tasks; sums meet in shared memory Everything that orders a sum comes from
 * the shape and the target. */
#ifndef NNC_GPU_H
#define NNC_GPU_H

#include "lower/nest.h"

#define GPU_I64 ((struct lo_type){NN_i64, 1})

struct gpu_axes { /* the fastest first */
    uint32_t n, axis[IR_MAX_AXES];
};
struct gpu_team {
    bool along;
    int64_t count, group; /* threads of a team, teams of a block: both powers of two */
    struct lo_lin t, g;   /* the thread's number in its team, the team's in the block */
};
/* Partial results of a reduction or fold, one a split or a block: index for argmax and argmin. */
struct gpu_part {
    uint32_t value, index;
};
/* A value that several sweeps over a row want, or every row (`always`), and the sweeps from the one
 * that computes it to the last that wants it. on: it is kept. */
struct gpu_kept {
    fx_id id;
    uint32_t first, last;
    bool always, on;
};
enum { GPU_NEAR = 4 }; /* turns of a thread beside each other where none has registers of its own */
/* The members that are a row's maximum and the sum of exp(x - shift) in one sweep (gpu_online.c).
 */
struct gpu_online {
    bool on;
    uint32_t max, sum;
    fx_id shift; /* what the maximum is made to */
};
enum { GPU_OWN, GPU_EVERY }; /* sk.held_at: a thread's own place, a row's place for all rows */
struct gpu {
    struct nest n;
    struct sk *s;
    int x;          /* the axis that threads run along; -1: there is none */
    uint32_t lanes; /* of x, for each thread */
    uint32_t threads;
    struct gpu_team team;
    struct gpu_axes outer, inner; /* x counts in vectors */
    int64_t tasks, points;        /* of a task: steps that the team takes turns at */
    /* Rows that begin anywhere in a sector: a row's first step is number `shift` of at most `pad`,
     * so that what a warp takes at once begins with a sector. */
    int64_t pad;
    const struct ix *shift_of; /* the address that counts */
    struct lo_lin shift;
    struct gpu_part *part;
    struct gpu_online online;
    uint32_t *column; /* of each FUSE_ACROSS member: registers for each turn */

    /* what a block does */
    bool written_out;    /* one thread's own row is */
    int64_t blocks, per; /* runs of teams side by side; how many of them one after another */
    int loop;            /* an axis that a thread walks by itself, `run` points of it; -1 */
    int64_t run, runs;
    int64_t splits, split; /* of a row among blocks: each `split` steps */
    VEC(struct gpu_kept) kept;
    int64_t turns;             /* of a thread at a row, if values are kept in registers; else 0 */
    bool shared;               /* values are kept in shared memory: */
    int64_t held;              /* of the row's first so many steps; behind them, */
    int64_t tail;              /* in registers, of so many turns of a thread */
    struct sk_held *held_tail; /* where: in place of s->held */
    bool in_tail;
    bool every; /* what every row wants lies in shared memory, once for the block */

    /* where we stand */
    lo_id chunk, thread;
    lo_id valid; /* the team has a task; 0: always */
    struct lo_lin task, at_split;
};

static inline int64_t gpu_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline const struct fuse_member *gpu_member(const struct gpu *g, uint32_t i)
{
    return &g->s->c->members.p[i];
}
static inline uint32_t gpu_mask(uint32_t from, uint32_t to)
{
    return ((to < 32 ? 1u << to : 0) - 1) & ~((1u << from) - 1);
}
static inline uint32_t gpu_inner_mask(const struct gpu *g)
{
    return gpu_mask(g->s->c->outer, g->s->c->outer + g->s->c->inner);
}
/* Steps along the axis: x counts in vectors. */
static inline int64_t gpu_trip(const struct gpu *g, uint32_t axis)
{
    return (int)axis == g->x ? g->n.trip[axis] / g->lanes : g->n.trip[axis];
}

static inline int64_t gpu_steps(const struct gpu *g) { return g->points + g->pad; }

static inline bool gpu_has_role(const struct gpu *g, enum fuse_role role)
{
    for (uint32_t i = 0; i < g->s->c->members.n; i++)
        if (gpu_member(g, i)->role == role)
            return true;
    return false;
}

/* ---- gpu_team.c: threads' numbers, and values that meet ---- */
lo_id gpu_below(struct sk *s, struct lo_lin x, int64_t n); /* x < n */
/* Two levels of numbers in one: *lo = x % n, *hi = x / n. */
void gpu_split(struct sk *s, struct lo_lin x, int64_t n, struct lo_lin *hi, struct lo_lin *lo);
struct gpu_team gpu_team(struct sk *s, lo_id thread, uint32_t threads, bool along, int64_t count);
/* One value of each thread, folded over the team's threads: all of them get the result. */
struct gpu_meet {
    enum ir_monoid m;
    lo_id v; /* along: a scalar */
};
void gpu_meet(struct sk *s, lo_id thread, const struct gpu_team *team, struct gpu_meet *p,
              uint32_t n);

/* ---- gpu_choose.c: axis, lanes ---- */
void gpu_choose_axis(struct gpu *g);
void gpu_list_axes(struct gpu *g);

/* ---- gpu_keep.c ---- */
/* Registers of 32 bits of a thread that has so many points of a row in work at once: for what it
 * reads, all of which may be under way, or for what one sweep leaves to the next. */
int64_t gpu_registers(struct gpu *g, int64_t points);
void gpu_find_kept(struct gpu *g);
/* The most values that a thread keeps at once: those for good (unless they are in shared memory),
 * those of the busiest sweep, its columns' sums. */
uint32_t gpu_kept_most(const struct gpu *g);
bool gpu_has_always(const struct gpu *g);
int64_t gpu_always_bytes(const struct gpu *g); /* in shared memory */
/* Where each would lie in shared memory, those with lives apart in one place; the bytes of all. */
int64_t gpu_find_places(const struct gpu *g, uint32_t *place);
/* Buffers in registers (g->turns) or shared memory (g->shared) for those that are on. */
void gpu_make_kept(struct gpu *g);
void gpu_row_starts(struct gpu *g);
void gpu_kept_ready(struct gpu *g, uint32_t sweep);
/* Computes what holds as long as only axes of the mask move: for the members of n->current's sweep,
 * or for all of them if sweep is UINT32_MAX. */
void gpu_prefetch(struct gpu *g, uint32_t moving, uint32_t sweep);

/* ---- gpu_row.c ---- */
void gpu_stand(struct gpu *g, const struct gpu_axes *list, struct lo_lin at);
void gpu_load_always(struct gpu *g);
void gpu_find_shift(struct gpu *g); /* of the row where we stand */
void gpu_row(struct gpu *g);
/* Results of the members in the list, folded over the team; index: of argmax and argmin, else 0. */
void gpu_results(struct gpu *g, const struct gpu_team *team, const uint32_t *list, uint32_t n,
                 lo_id *value, lo_id *index);

/* ---- gpu_online.c ---- */
bool gpu_find_online(struct gpu *g); /* true: g->online is, and the sum has no sweep of its own */
bool gpu_online_in(const struct gpu *g, uint32_t sweep);
void gpu_online_start(struct gpu *g);
void gpu_online_point(struct gpu *g, lo_id before); /* the maximum before this point */
/* The thread's sum up to the row's maximum, from one up to its own. */
void gpu_online_end(struct gpu *g, lo_id own, lo_id row);

/* ---- gpu_parts.c: phases that end what blocks leave ---- */
void gpu_make_parts(struct gpu *g);
void gpu_end_folds(struct gpu *g);      /* at the end of a block */
void gpu_finish_folds(struct gpu *g);   /* a phase of one block */
void gpu_store_split(struct gpu *g);    /* a task's part */
void gpu_finish_splits(struct gpu *g);  /* a phase over tasks */
void gpu_store_columns(struct gpu *g);  /* a block's sums of its rows */
void gpu_finish_columns(struct gpu *g); /* a phase over columns */

/* ---- gpu_tile.c ---- what is read along one axis and written along another, through tiles in
 * shared memory; false: there is no such thing. */
bool gpu_tiles(struct gpu *g);

#endif
