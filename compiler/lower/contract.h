/* contract: what the files of the contraction skeleton share. contract.c decides (which operand
 * gives the rows, which axis lies in the lanes, tile, what is copied beforehand, how chunks are
 * cut), tile.c emits loops over k and tiles; winograd.c does both in another way. */
#ifndef NNC_LOWER_CONTRACT_H
#define NNC_LOWER_CONTRACT_H

#include "lower/skeleton.h"

/* Two ways to lay a tile of accumulators. Both sum over k in one fixed order, whatever the tile. */
enum con_form {
    CON_OUTER, /* lanes along an axis of the result: acc[row][slot] += a[row] * b[slot] */
    CON_DOT,   /* lanes along k: acc[row][col] += a[row] * b[col], folded across lanes at the end */
};

/* What the visit of a tile does. */
enum con_visit {
    CON_WHOLE, /* all of it */
    CON_MORE,  /* one more block of k */
    CON_END,   /* what follows the last block */
};

struct con_axes {
    uint32_t n, axis[IR_MAX_AXES];
};

/* A factor that is one plain read of a stored value, laid anew so that an axis which lies far apart
 * in memory (images) is beside itself: element (tile of the axis)(other coordinates)(place in the
 * tile), the last tile filled up with zeros. What the loops inside run over comes last of the
 * others. */
struct con_relay {
    bool on;
    ir_id node;
    uint32_t axis, buf;
    uint32_t rank, dim;          /* of the node's value, and which coordinate the axis is */
    int64_t tile;                /* a multiple of the lanes */
    int64_t size;                /* of a tile: the others' elements times tile */
    int64_t stride[IR_MAX_AXES]; /* of each other coordinate */
    const struct ix *at;         /* the others' place in a tile */
};

struct con {
    struct sk *s;
    uint32_t member; /* the reduction */
    ir_id node;
    struct lo_type acc; /* of an accumulator */
    enum con_form form;

    fx_id row, col; /* the factors: row does not depend on v, col not on r */
    uint32_t r, v;  /* the axes that tiles are cut from: of row alone, of col alone */
    uint32_t u;     /* outer form: slots also run along this axis of col alone; v: none */
    uint32_t batch, rows_only,
        cols_only;        /* masks of the result's axes, by the factors they are in */
    struct con_axes k;    /* folded, outer loop first */
    struct con_axes walk; /* axes of tasks: batch and col's, but for v and u */
    struct con_axes rest; /* row's other axes: loops inside of a task */
    uint32_t vector_k;    /* dot form: the axis of k in the lanes: the last, or the relaid one */
    struct con_relay relay_row, relay_col; /* outer form: col's v; dot form: vector_k of both */

    int64_t rows;        /* of a tile */
    int64_t su, sv;      /* outer form: slots along u and v */
    int64_t cols, block; /* dot form: columns of a tile, columns of a task (a multiple of cols) */
    int64_t depth;       /* points of k */

    bool pack;   /* col goes to a panel first, as vectors in the order that tiles read them: */
    bool share;  /* in a phase of its own, for all tasks and parts; else by the task, in scratch */
    bool copy;   /* row goes to a temporary first, in a phase of its own: */
    bool copy_k; /* row by row along k; else tile by tile, a tile's rows beside each other */
    bool keep;   /* k is walked in blocks; sums wait in memory for the next one */
    int64_t block_k; /* points of k's first axis in a block */
    uint32_t run_k;  /* which of k's loops is cut into runs, k.n: none; */
    int64_t run;     /* so many steps each, behind which the tile's sums go to `totals` */
    int64_t group; /* tasks that take a block together: their panels and sums stand side by side */
    int64_t copy_stride[IR_MAX_AXES], copy_count;
    int64_t panel_stride[IR_MAX_AXES], panel_size; /* of a task */
    uint32_t temp, panel, reg, tile, sums, totals; /* buffers */
    int64_t now_summed; /* registers of the tile in work whose sums go to `totals`; 0: none do */

    /* how the work is cut: a task is a tile (outer) or block (dot) along v, at one place of u and
     * the walked axes, against a part of r's tiles */
    int64_t v_size, v_tiles, v_rest; /* along v; the last one's elements if it is short, else 0 */
    int64_t u_tiles, r_tiles, rests; /* rests: points of the rest axes */
    int64_t parts, part_tiles;       /* runs of r's tiles */
    int64_t tasks, chunk_tasks, chunks;

    /* where the tile in work stands */
    lo_id part;
    struct lo_lin from, to; /* this chunk's tasks */
    struct lo_lin at_task, at_tile, at_r, at_u, at_v, at_block, at_sub, k_from, k_to;
    int64_t now_rows, now_slots_v, now_cols, now_v;
    lo_id tail; /* mask of the last slot, 0: full */
};

static inline int64_t con_dim(const struct con *c, uint32_t axis) { return c->s->x.dim[axis]; }

static inline int64_t con_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Points of vector_k that loops go over: a relaid axis is filled up to whole vectors. */
static inline int64_t con_padded(const struct con *c, uint32_t axis)
{
    int64_t n = con_dim(c, axis);
    bool relaid = c->form == CON_DOT && c->relay_col.on && axis == c->vector_k;
    return relaid ? con_ceil(n, c->acc.lanes) * c->acc.lanes : n;
}
static inline bool con_has(uint32_t mask, uint32_t axis) { return mask >> axis & 1; }

/* ---- cost.c ---- */
/* All loads below the value are contiguous (or constant) along the axis. */
bool con_contiguous(const struct con *c, fx_id v, uint32_t axis);
/* A plain load of the accumulators' type, without conditions. */
bool con_plain(const struct con *c, fx_id v);
/* Conditions below the value take part in the axis. */
bool con_guarded(const struct con *c, fx_id v, uint32_t axis);
/* The part of the factor's points where its own conditions hold that loops over k can skip by. */
double con_fraction(const struct con *c, fx_id factor);
/* Cycles that a step over k takes for a tile of a by b vectors. */
double con_step(int64_t a, int64_t b);
/* Cycles of the whole contraction as it is decided so far. */
double con_cycles(const struct con *c);

/* ---- kloop.c ---- */
/* The axes on which a condition may not depend if loops over k are to be bounded by it. */
uint32_t con_tile_axes(const struct con *c);
/* Loops over k around body, bounded by the factors' conditions that hold for a whole tile. */
void con_k_loops(struct con *c, void (*body)(struct con *c));
/* The same for steps that add to the first `regs` registers: sums of many steps in two levels. */
void con_choose_runs(struct con *c);
void con_k_runs(struct con *c, int64_t regs, void (*step)(struct con *c));

/* ---- copy.c ---- phases before the product. */
void con_phase_copy(struct con *c); /* row to the temporary */
void con_phase_relay(struct con *c, struct con_relay *r);
struct lo_lin con_strided(struct con *c, const int64_t *stride);
struct lo_lin con_copy_at(struct con *c, int64_t i); /* of the tile's i-th row, at the point of k */
/* The vector of the relaid factor at the point where we stand: `slot` elements into the tile of the
 * axis that begins at `first`. */
lo_id con_relay_load(struct con *c, const struct con_relay *r, struct lo_lin first, int64_t slot);

/* ---- tile.c ---- */
void con_phase_panel(struct con *c); /* the shared panels, before the product */
void con_phase_multiply(struct con *c);
lo_id con_first_lanes(struct con *c, int64_t n); /* the first n lanes; 0: all of them */
lo_id con_lanes_below(struct con *c, struct lo_lin at, int64_t n); /* lane l: at + l < n */
void con_clear(struct con *c, int64_t regs);
void con_multiply_add(struct con *c, int64_t reg, lo_id x, lo_id y);
struct lo_lin con_plus(struct con *c, struct lo_lin l, int64_t k);
struct lo_lin con_at_most(struct con *c, struct lo_lin l, int64_t n);
/* x // q, and *rest = x % q. */
lo_id con_split(struct con *c, lo_id x, int64_t q, lo_id *rest);
/* Puts the axes of the list where the flat number t says, the last one running fastest. */
void con_decode(struct con *c, struct lo_lin t, const struct con_axes *list);

/* ---- winograd.c ---- */
struct win {
    uint32_t i, j, r, c, q;   /* axes: the result's rows and columns, the filter's, the channels */
    int sign_i, sign_j;       /* col moves by i + r or by i - r, by j + c or j - c */
    ir_id product;            /* the node that multiplies; */
    uint32_t operand;         /* col among its factors */
    struct con_axes images;   /* the other axes of col */
    int64_t depth, deep;      /* channels; filled up to whole vectors */
    int64_t rows_n;           /* points of the row factor's axis */
    int64_t columns, lines;   /* of tiles in an image */
    int64_t vectors;          /* of tiles */
    int64_t rows, slots;      /* of a step */
    int64_t tasks, row_tiles; /* a task: `slots` vectors of tiles, against row tiles */
    int64_t parts, part_tiles, chunk_tasks;
    int64_t u_place, v_place; /* elements of U and V at one place, and some */
    int64_t v_size;           /* elements of V of a task */
    bool share;               /* V is made in a phase of its own, else by the task, in scratch */
    double cycles;
    const struct fuse_cluster *own, *tiles; /* spaces */
    uint32_t u, v, m;                       /* buffers */
};
/* Whether the contraction, as decided in the cluster's own space, can be done so; w->cycles. */
bool con_winograd(struct win *w, const struct con *c);
void con_winograd_emit(struct win *w, struct con *c); /* all phases */

#endif
