/* skeleton: what every skeleton lowers with: emission of values at points. A skeleton opens loops,
 * says where each axis of the space stands (sk_axis) and which one runs over the lanes (sk_vector),
 * and asks for values of the cluster's fx. A value that does not depend on the vector axis comes as
 * a scalar; sk_lanes makes it a vector. Index arithmetic, loads (contiguous, strided, gathered),
 * masks, fills and traps are made here and nowhere else.
 *
 * Sections: skeleton.c (context, loops, values), address.c (index expressions, conditions, loads),
 * nest.c (map, row, column), contract.c, scatter.c, prefix.c; gpu_*.c (the same for a GPU). */
#ifndef NNC_SKELETON_H
#define NNC_SKELETON_H

#include "lower/lower.h"

/* A costly value that several sweeps over a row want: the first stores it to a buffer, the others
 * load it: a local one at Σ held_stride·axis; registers and shared memory at held_at[at]. */
struct sk_held {
    uint32_t buf; /* 0: not held */
    bool ready;
    uint8_t at;
};

/* Of an axis only the points from..to are wanted; a skeleton may do more. */
struct sk_limit {
    bool on;
    struct lo_lin from, to;
};

/* Emission of one cluster. fx's axes 0..n-1 are the cluster's space (fuse_cluster.dim). */
struct sk {
    const struct fuse_plan *plan;
    const struct fuse_cluster *c;
    struct arena *spaces; /* sk_space's, or NULL */
    const struct target *t;
    struct fx x;
    uint8_t *mode; /* fuse_modes */
    struct lo_builder b;
    struct low_launch *launch;
    bool within; /* a chain's stage: no phases and no temporaries of its own */
    struct sk_limit limit[IR_MAX_AXES];
    uint32_t *buf; /* of each node: its LO_ARG, 0 none */
    uint32_t *out; /* of each node: the LO_ARG that its value is stored to */

    struct lo_lin axis[IR_MAX_AXES]; /* sk_at: where each axis stands; of the vector axis: lane 0 */
    uint32_t stands;                 /* the axes that stand somewhere, a mask; others have no place */
    uint32_t placed[IR_MAX_AXES];    /* where in the journal that was written down, and one */
    uint32_t scope;                  /* the mark of the last sk_open or sk_close */
    int vaxis;                       /* -1: none, everything is scalar */
    uint32_t lanes;
    lo_id mask; /* lanes that are inside of the vector axis; 0: all */

    lo_id *memo, *cond_memo; /* of each value and condition: what was emitted and still holds */
    uint32_t memo_n, cond_n;
    struct sk_held *held; /* by value, held_n of them */
    uint32_t held_n;
    int64_t held_stride[IR_MAX_AXES];
    struct lo_lin held_at[2];
    lo_id *binding;        /* of each node: sk_bind */
    fx_id *member;         /* sk_member */
    VEC(uint32_t) journal; /* of values, conditions and axes: what was emitted or placed, in order */
};

/* ---- setting up: arguments are made for every input and output of the cluster ---- */
void sk_begin(struct sk *s, const struct fuse_plan *p, const struct fuse_cluster *c,
              struct low_launch *launch);
/* A stage of the chain that `chain` lowers: in its kernel, where its builder stands. buf: by node,
 * what the chain keeps. sk_end_stage moves the chain's builder on. */
void sk_begin_stage(struct sk *s, const struct sk *chain, const struct fuse_cluster *stage,
                    const uint32_t *buf);
void sk_end_stage(struct sk *s, struct sk *chain);
/* A copy of the cluster whose space is to be another (dim, outer, inner are the caller's to
 * change): through[a] is axis a as it was. They live until sk_end. */
struct fuse_cluster *sk_space(struct sk *s, const struct ix ***through);
/* Goes on in this space. All fx_ids and what was emitted for them are void then. */
void sk_enter(struct sk *s, const struct fuse_cluster *space);
/* Verifies nothing: lower_plan does. Frees all but the kernel. */
void sk_end(struct sk *s);
/* A temporary argument of the launch, global memory that all phases see. */
uint32_t sk_temporary(struct sk *s, const char *name, enum nn_dtype t, int64_t count);

/* ---- values of the cluster's members (fuse_member_value, numbered once) ---- */
fx_id sk_member(struct sk *s, uint32_t member);
/* All of them, before somebody counts the values: a walk over members makes none then. */
void sk_make_members(struct sk *s);
/* The type that a dtype is computed in: f16 and bf16 in f32, else itself. */
enum nn_dtype sk_compute_type(enum nn_dtype t);
struct lo_type sk_type(const struct sk *s, enum nn_dtype t, bool vector);
static inline bool sk_is_vector(const struct sk *s, fx_id v)
{
    return s->vaxis >= 0 && (s->x.val.p[v].axes >> s->vaxis & 1);
}

/* ---- where we stand ----
 * Each forgets what was emitted for values that depend on the axis. A loop or branch that the
 * skeleton opens is bracketed by sk_open and sk_close, so that values of its body are not used
 * outside; an axis that moved within stands nowhere then. To read where such an axis stands, or a
 * value that depends on it, is a bug that stops the compiler. */
void sk_axis(struct sk *s, uint32_t axis, struct lo_lin at);
struct lo_lin sk_at(const struct sk *s, uint32_t axis);
/* Lane l stands at `at` + l of the axis; mask (bool x lanes; 0: none) says which lanes count. */
void sk_vector(struct sk *s, uint32_t axis, struct lo_lin at, uint32_t lanes, lo_id mask);
void sk_scalar(struct sk *s); /* no vector axis any more */
uint32_t sk_open(struct sk *s);
void sk_close(struct sk *s, uint32_t mark);
lo_id sk_for(struct sk *s, uint32_t axis, enum lo_loop how, struct lo_lin from, struct lo_lin to,
             int64_t step); /* lo_for, and the axis stands at its variable; lo_end closes */

/* ---- values ---- */
lo_id sk_value(struct sk *s, fx_id v); /* scalar, or vector where it depends on the vector axis */
lo_id sk_lanes(struct sk *s, fx_id v); /* vector always (scalar if there is no vector axis) */
/* Where we stand the value is known: it was computed before and kept. */
void sk_known(struct sk *s, fx_id v, lo_id value);
/* The kernel has computed this reduction of the cluster (mode FX_BIND): its users get `value`, a
 * scalar or a vector over the vector axis, until the next sk_bind; 0 unbinds. */
void sk_bind(struct sk *s, ir_id node, lo_id value);
/* Stores a member's value (in its compute type) at the point where we stand: contiguous, strided or
 * scattered as the vector axis wants it. */
void sk_store(struct sk *s, uint32_t member, lo_id value);
/* At the point where we stand member's sum is known (in the accumulators' type): what follows from
 * it is computed, then all is stored, so that a result may take the place of what it was computed
 * from. The sum stays bound. */
void sk_finish(struct sk *s, uint32_t member, lo_id sum);
const struct ix *sk_member_address(struct sk *s, uint32_t member); /* flat, where it is stored to */

/* ---- addresses: c0 + Σ axes, as a scalar base, a factor of the lane number, and a vector ---- */
struct sk_index {
    struct lo_lin base;
    int64_t lane; /* factor of the lane number */
    lo_id vec;    /* further vector of `type`, or 0 */
};
/* x // q or x % q (IX_DIV, IX_MOD), t an integer type. */
lo_id sk_divide(struct sk *s, enum ix_kind kind, struct lo_type t, lo_id x, int64_t q);
struct sk_index sk_address(struct sk *s, const struct ix *e, enum nn_dtype type);
lo_id sk_number(struct sk *s, const struct ix *e, enum nn_dtype type); /* scalar or vector */
lo_id sk_load(struct sk *s, uint32_t buf, const struct ix *at, bool vector, lo_id mask, lo_id fill);
void sk_store_at(struct sk *s, uint32_t buf, const struct ix *at, lo_id value);
/* The conditions of `cond` that are not in `under`: a bool scalar or vector; 0: true. */
lo_id sk_condition(struct sk *s, uint32_t cond, uint32_t under);
void sk_remember_condition(struct sk *s, uint32_t cond, lo_id v);
void sk_traps(struct sk *s, uint32_t cond, uint32_t under); /* of the strict ones among them */
/* Every read at this address on a vector axis is contiguous (1), the same for all lanes (0), or -1.
 */
int sk_stride(const struct sk *s, const struct ix *at, uint32_t axis);

/* ---- folding ---- */
lo_id sk_identity(struct sk *s, enum ir_monoid m, enum nn_dtype t, uint32_t lanes);
lo_id sk_combine(struct sk *s, enum ir_monoid m, lo_id x, lo_id y);
/* Around a loop from..to by `step`: from..to becomes a run of so many iterations; lo_end closes. */
void sk_open_run(struct sk *s, int64_t run, int64_t step, struct lo_lin *from, struct lo_lin *to);
/* A run's iterations of `trip`, each of so many additions, for about `most` of them: divides the
 * trip where it can. */
int64_t sk_run_length(int64_t trip, int64_t each, int64_t most);
/* Shared by skeletons: n things in at most max_chunks runs of equal length (the last may be short),
 * each of at least `least` of them. */
struct sk_chunks {
    int64_t n, per, chunks;
};
struct sk_chunks sk_chunks(const struct sk *s, int64_t n, int64_t least);
/* Opens the phase; *from and *to: this chunk's run. Within a chain everything is one run. */
lo_id sk_phase(struct sk *s, struct sk_chunks k, struct lo_lin *from, struct lo_lin *to);
void sk_phase_end(struct sk *s);
/* from..to (blocks of `size` points of the axis) cut to those in which a point is wanted. */
void sk_limited(struct sk *s, uint32_t axis, int64_t size, struct lo_lin *from, struct lo_lin *to);
/* How far an axis goes in this run; the size is among the cluster's inputs. */
struct lo_lin sk_extent(struct sk *s, const struct ir_live *l);
/* Limits axes to what the run's sizes say: at the begin of each phase, where sk_phase does it. */
void sk_live(struct sk *s);
/* `before`, and one of the flat numbers [at, at + span) over these axes, the slowest first, each of
 * so many places, is of a point that the run wants. Axes of the mask `whole` never end. 0: always.
 */
lo_id sk_reaches(struct sk *s, const uint32_t *axis, const int64_t *places, uint32_t n,
                 uint32_t whole, struct lo_lin at, int64_t span, lo_id before);
/* Whether a point is wanted where these axes stand or beyond; 0: always. */
lo_id sk_wanted(struct sk *s, uint32_t axes);
/* A cheap, shape-only guess of a value's cost in vector instructions (transcendentals 12). */
double sk_cost(const struct sk *s, fx_id v);
double sk_value_cost(const struct fx_val *v); /* of one value, its operands apart */

/* ---- skeletons ---- each lowers s->c whole: phases, loops, stores of all stored members. */
void sk_nest(struct sk *s);
bool sk_contract(struct sk *s); /* false: not for it (shape, prologue): sk_nest takes it */
void sk_gpu_chain(struct sk *s);
void sk_gpu_stream(struct sk *s);    /* a chain that streams (gpu_stream.c) */
void sk_chain_figures(struct sk *s); /* adds its stages' work to the kernel's */
bool sk_gpu_contract(struct sk *s);  /* the same on a GPU (gpu_contract.c) */
void sk_scatter(struct sk *s);
void sk_prefix(struct sk *s);
void sk_chain(struct sk *s);
void sk_stage(struct sk *s); /* of a chain: one of the above */
/* The same for a GPU: phases of blocks of threads. */
void sk_gpu_nest(struct sk *s);
void sk_gpu_scatter(struct sk *s);
void sk_gpu_prefix(struct sk *s);

/* ---- scatter.c ---- where the cluster's scatter adds what it has at a point of the space. */
struct sk_target {
    const struct ix *coord[IR_MAX_AXES]; /* in the value */
    const struct ix *flat;
    uint32_t cond; /* where the point lands in the value */
    bool dead;     /* no point does */
};
void sk_find_target(struct sk *s, struct sk_target *to);

/* ---- gemm.c ---- products that are left to the library. */
struct low_launch low_gemm(const struct fuse_plan *p, const struct fuse_cluster *c,
                           const struct fuse_product *x);
void low_print_gemm(const struct fuse_product *x, struct text *out);

/* ---- gpu_contract.c ---- */
void sk_gpu_describe(struct sk *s,
                     struct text *out); /* how the contraction is computed, in words */

/* ---- bundle.c ---- kernels side by side in one: the launches are copied and stay the caller's. */
bool low_may_bundle(const struct lo_kernel *k, const struct lo_kernel *first);
struct low_launch low_bundle(const struct ir_graph *g, const struct low_launch *l, uint32_t n);

#endif
