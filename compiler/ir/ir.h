/* ir: the graph. A module has slots (lasting tensors) and graphs over them; a graph is pure: nodes,
 * named outputs, slot updates. A node is one operator over a domain of axes, with one value;
 * operands are read through accesses. Dims are integers here (symbols are resolved by front/).
 *
 * Ids are 32-bit and index arrays that may move: never keep a node pointer across an append.
 * Everything that hangs off a node (axes, accesses, names) is immutable, in the module's arena, and
 * may be shared between nodes: replace, never edit.
 *
 * Sections: ops.c (the tables), index.c (ix, terms, accesses), build.c, verify.c, print.c, read.c,
 * scalar.c, eval.c, random.c. */
#ifndef NNC_IR_H
#define NNC_IR_H

#include "base/base.h"
#include "nnrt.h"

typedef uint32_t ir_id; /* a node of its graph; 0 is none */

enum ir_op {
#define OP(name, arity, class) IR_##name,
#include "ir/ops.def"
#undef OP
    IR_OP_COUNT
};
enum ir_class { IRC_ARITH, IRC_FLOAT, IRC_CMP, IRC_LOGIC, IRC_ELEM, IRC_LEAF, IRC_SHAPE, IRC_MARK };
enum ir_monoid {
#define MONOID(name, identity, combine) IRM_##name,
#include "ir/monoids.def"
#undef MONOID
    IRM_COUNT
};
const char *ir_op_name(enum ir_op op);
enum ir_class ir_op_class(enum ir_op op);
int ir_op_arity(enum ir_op op);        /* -1: any */
bool ir_op_elementwise(enum ir_op op); /* ARITH FLOAT CMP LOGIC ELEM */
const char *ir_monoid_name(enum ir_monoid m);
double ir_monoid_identity(enum ir_monoid m, enum nn_dtype t);
bool ir_op_whole(enum ir_op op); /* reads its operands as wholes: no accesses */
enum ir_op ir_monoid_combine(enum ir_monoid m);
bool ir_op_find(const char *name, enum ir_op *op); /* by the names of the tables */
bool ir_monoid_find(const char *name, enum ir_monoid *m);
bool ir_dtype_find(const char *name, enum nn_dtype *t);
static inline bool nn_is_float(enum nn_dtype t) { return t <= NN_bf16; }
static inline bool nn_is_int(enum nn_dtype t) { return t >= NN_i64 && t <= NN_u8; }

#define IR_MAX_AXES 24

/* ---- index.c: index expressions ----
 * Quasi-affine, immutable, canonical: c0 + Σ c·atom, atoms distinct and in a fixed order, no c is
 * 0. An atom is a domain axis, an integer operand's element (@k, operand k of the node), or a floor
 * division or modulus by a positive number of another expression. */
struct ix;
enum ix_kind { IX_AXIS, IX_OPERAND, IX_DIV, IX_MOD };
struct ix_atom {
    enum ix_kind kind;
    uint32_t v;         /* axis position in the domain, or operand position */
    const struct ix *e; /* DIV, MOD */
    int64_t q;          /* DIV, MOD: > 0 */
};
struct ix_part {
    int64_t c;
    struct ix_atom a;
};
struct ix {
    int64_t c0;
    uint32_t n;
    struct ix_part part[];
};
struct ix_range { /* inclusive; lo > hi: empty */
    int64_t lo, hi;
};

const struct ix *ix_const(struct arena *a, int64_t c);
const struct ix *ix_axis(struct arena *a, uint32_t axis);
const struct ix *ix_operand(struct arena *a, uint32_t operand);
const struct ix *ix_add(struct arena *a, const struct ix *x, const struct ix *y);
const struct ix *ix_mul(struct arena *a, const struct ix *x, int64_t c);
/* Simplified where the axes' sizes (dim[axis]; NULL: unknown) show it: (8*h + r)//8 is h for r < 8.
 */
const struct ix *ix_div(struct arena *a, const struct ix *x, int64_t q, const int64_t *dim);
const struct ix *ix_mod(struct arena *a, const struct ix *x, int64_t q, const int64_t *dim);
bool ix_equal(const struct ix *x, const struct ix *y);
bool ix_is_const(const struct ix *x, int64_t *c);
bool ix_is_axis(const struct ix *x, uint32_t *axis); /* exactly one axis, factor 1, no constant */
bool ix_is_affine(const struct ix *x);               /* only axes */
bool ix_uses_axis(const struct ix *x, uint32_t axis);
bool ix_uses_operand(const struct ix *x);
bool ix_mentions_operand(const struct ix *x, uint32_t operand);
int64_t ix_coef(const struct ix *x, uint32_t axis);               /* of the plain axis atom */
struct ix_range ix_range(const struct ix *x, const int64_t *dim); /* @k is unknown: all of i64/4 */
/* Replaces axis i by to[i] and operand k by operand[k] (each NULL: itself). `dim`: sizes of the
 * axes of the new domain, for simplification. */
const struct ix *ix_subst(struct arena *a, const struct ix *x, const struct ix *const *to,
                          const struct ix *const *operand, const int64_t *dim);
int64_t ix_eval(const struct ix *x, const int64_t *axis, const int64_t *operand);

/* A coordinate: e/q, where e must be a multiple of q and the quotient in [0, n); q is 1 mostly. */
struct ir_term {
    const struct ix *e;
    int64_t q, n;
};
/* How an operand is read. Where a term or a guard fails, the value is `fill` (for integers and bool
 * its cast). `strict`: a term or guard with @k that fails is the user's gather out of range: the
 * run stops, unless one without @k fails too. */
struct ir_access {
    uint32_t rank, nguard;
    const struct ir_term *at;    /* one for each axis of the operand's value, in order */
    const struct ir_term *guard; /* further conditions */
    double fill;
    bool strict;
};

/* ---- access.c: terms and accesses (with ir_identity … ir_compose below) ---- */
/* e/q with what divides everything cancelled. */
struct ir_term ir_term_make(struct arena *a, const struct ix *e, int64_t q, int64_t n);
bool ir_term_equal(const struct ir_term *x, const struct ir_term *y);
bool ir_term_total(const struct ir_term *t, const int64_t *dim); /* holds everywhere */

/* How far an axis goes in a run, where a size that the run chooses says so, up to the axis's n:
 * times * ((by * value of the slot + plus) // over) + more; times, by, over > 0; where over is 1,
 * times is 1 and more is 0. */
struct ir_live {
    uint32_t slot; /* of kind NN_SLOT_SIZE */
    int64_t by, plus, over, times, more;
};
struct ir_axis {
    const char *name; /* for people; NULL is fine, need not be unique */
    int64_t n;
    /* NULL, or: what the value is beyond is nobody's business; on a folded axis: what is beyond
     * adds nothing. So loops may end there. The node's meaning is the same. */
    const struct ir_live *live;
};

struct ir_in {
    ir_id node;
    struct ir_access a;
};

bool ir_live_equal(const struct ir_live *x, const struct ir_live *y); /* either may be NULL */

union ir_attr {
    int64_t i;
    double f;
};

/* Operands. A node has its operator's arity of them; after those may come integer ones that only
 * accesses read: @k in operand p's access is operand k's element, and k > p (in a scatter's `out`:
 * k > 0). reshape, random, custom, grad read their operands as wholes: the access is empty (rank 0,
 * at NULL). A hole has no operand. */
/* An input of a part's graph that reads the samples of all parts. */
enum { IR_INPUT_WHOLE = 1 };

struct ir_node {
    uint8_t op, dtype;
    uint8_t monoid; /* reduce */
    bool inlined;   /* never stored, whatever the policy */
    bool reverse;   /* cumsum */
    uint8_t word;   /* random */
    uint16_t nd;    /* axes of the domain */
    uint16_t nred;  /* of them the trailing ones that a reduce folds */
    uint16_t nin;
    uint32_t checkpoint; /* 0, or the number of the `checkpoint` block it stands in */
    bool again;          /* a clone, computed again in the backward pass */
    uint32_t origin;     /* into the module's origins; 0 none */
    const struct ir_axis *dom;
    const struct ir_in *in;
    union ir_attr attr; /* const: f or i; iota, cumsum: axis; slot: number; custom: k;
                         * random: stream; input: 0, or IR_INPUT_WHOLE */
    const char *name;   /* input */
    /* scatter: the value's axes and where a domain point lands in them; else NULL */
    uint16_t nval;
    const struct ir_axis *val;
    const struct ir_access *out;
};

/* A size that follows from others: left OP right. */
struct ir_rule {
    uint8_t op;           /* enum nn_size_op; NN_SIZE_GIVEN (0): a run chooses the size */
    uint32_t left, right; /* 1 + the slot; 0: the number */
    int64_t left_n, right_n;
};

struct ir_slot {
    const char *name; /* fc1.weight */
    enum nn_dtype dtype;
    uint8_t kind; /* enum nn_slot_kind */
    uint32_t rank;
    const int64_t *dim;
    double identity;     /* NN_SLOT_ACC */
    int64_t least, most; /* NN_SLOT_SIZE */
    struct ir_rule rule; /* likewise */
    uint32_t of;         /* NN_SLOT_OPT: 1 + the slot that it belongs to */
};

struct ir_origin {
    struct loc at;
    const char *path; /* instance path and operator: fc1.matmul */
    const char *role; /* fwd, d.x, upd */
};

struct ir_named {
    const char *name;
    ir_id node;
};
struct ir_update {
    uint32_t slot;
    ir_id node;
};

/* What contractions multiply their f32 operands in; they add up in f32. */
enum ir_precision { IR_F32, IR_TF32, IR_BF16, IR_F16, IR_PRECISION_COUNT };
const char *ir_precision_name(enum ir_precision p); /* f32, tf32, bf16, f16 */
bool ir_precision_find(const char *name, enum ir_precision *p);

/* A size that a graph's caller says: the slot's value, or always n. No part of the text. */
struct ir_size {
    const char *name;
    uint32_t slot; /* 1 + its number; 0: n */
    int64_t n;
};

struct ir_graph {
    const char *name;
    enum ir_precision precision; /* wanted still: pass precision carries it out */
    struct ir_module *m;
    /* More than 1: the graph's batch goes through in so many parts. `part` (this graph owns it)
     * runs once for each, its inputs the next samples (or, IR_INPUT_WHOLE, all of them); then this
     * graph, which has no inputs of its own. The i32 slot of the part's name holds the part's
     * number. NULL: wanted still, pass microbatch carries it out. */
    uint32_t parts;
    struct ir_graph *part;
    VEC(struct ir_node) nodes; /* p[0] is unused; operands come before their users */
    VEC(struct ir_named) outputs;
    VEC(struct ir_update) updates;
    VEC(struct ir_size) sizes;
    VEC(uint32_t) ranges; /* slots of sizes that follow: a call's must be in their ranges */
};

struct ir_module {
    const char *name;
    struct arena *mem;
    struct intern *names;
    struct diag *diag; /* for origins' places; may be NULL */
    VEC(struct ir_slot) slots;
    VEC(struct ir_origin) origins; /* p[0] is none */
    VEC(struct ir_graph *) graphs;
};

/* ---- build.c ----
 * Builders never fail on a user's mistake: front/ has checked. A broken invariant is a BUG. */
struct ir_module *ir_module_new(const char *name, struct diag *d);
void ir_module_free(struct ir_module *m);
struct ir_graph *ir_graph_new(struct ir_module *m, const char *name);
/* One that is not (yet) among the module's: a pass's or a test's scratch. Free it or push it. */
struct ir_graph *ir_graph_loose(struct ir_module *m, const char *name);
struct ir_graph *ir_graph_copy(const struct ir_graph *g); /* a loose one, without a part */
void ir_graph_free(struct ir_graph *g);
struct ir_graph *ir_graph_find(struct ir_module *m, const char *name); /* NULL if there is none */
uint32_t ir_slot_add(struct ir_module *m, struct ir_slot s);
uint32_t ir_slot_find(const struct ir_module *m,
                      const char *name); /* UINT32_MAX if there is none */
uint32_t ir_origin_add(struct ir_module *m, struct loc at, const char *path, const char *role);
/* Copies the node (and its axes, operands, accesses into the arena) and appends it. */
ir_id ir_append(struct ir_graph *g, const struct ir_node *n);
/* As ir_append, but everything that hangs off the node is in the module's arena already. */
ir_id ir_append_shared(struct ir_graph *g, const struct ir_node *n);
static inline const struct ir_node *ir_at(const struct ir_graph *g, ir_id id)
{
    return &g->nodes.p[id];
}
/* The axes of a node's value: the domain less what is reduced, or a scatter's own. */
uint32_t ir_rank(const struct ir_node *n);
const struct ir_axis *ir_axes(const struct ir_node *n);
int64_t ir_count(const struct ir_node *n);           /* elements of its value */
void ir_dims(const struct ir_node *n, int64_t *dim); /* of the whole domain */

struct ir_access ir_identity(struct ir_module *m, uint32_t rank, const struct ir_axis *ax);
bool ir_access_is_identity(const struct ir_access *a, const struct ir_node *user);
/* Every term and guard holds for every point of a domain of these sizes (false if a gather). */
bool ir_access_total(const struct ir_access *a, const int64_t *dim);
/* The access without the guards that its coordinates, earlier guards or the sizes imply. */
struct ir_access ir_access_make(struct ir_module *m, struct ir_access x, const int64_t *dim);
/* inner seen through outer where outer holds: outer's own conditions are left out. */
struct ir_access ir_access_within(struct ir_module *m, const struct ir_access *outer,
                                  const struct ir_access *inner, const int64_t *dim,
                                  uint32_t operand_base);
/* Axes and operands replaced in every term, as by ix_subst. */
struct ir_access ir_access_subst(struct ir_module *m, struct ir_access x,
                                 const struct ix *const *to, const struct ix *const *operand,
                                 const int64_t *dim);
/* The access of `outer`'s operand seen through `inner`: first outer maps the domain into an inlined
 * or moved node's domain, then inner reads that node's operand. False where it cannot be expressed
 * as one access (fills differ and both may fail; a division of an inexact term). operand_base:
 * added to the @k of inner; outer's @k stay. */
bool ir_compose(struct ir_module *m, const struct ir_access *outer, const struct ir_access *inner,
                const int64_t *dim, uint32_t operand_base, struct ir_access *result);

/* Conveniences. `origin` and `checkpoint` of new nodes are the graph builder's current ones. */
struct ir_builder {
    struct ir_graph *g;
    uint32_t origin, checkpoint;
    bool inlined;
};
ir_id ir_const_f(struct ir_builder *b, enum nn_dtype t, double v);  /* rank 0 */
ir_id ir_const_i(struct ir_builder *b, enum nn_dtype t, int64_t v); /* rank 0; integers and bool */
ir_id ir_input(struct ir_builder *b, const char *name, enum nn_dtype t, uint32_t rank,
               const struct ir_axis *ax);
ir_id ir_slot_read(struct ir_builder *b, uint32_t slot);
/* Element-wise with NumPy broadcasting between the operands' values. The dtype is computed (cast:
 * use ir_cast). Operands' dtypes must agree as ops.def says. */
ir_id ir_elem(struct ir_builder *b, enum ir_op op, uint32_t n, const ir_id *in);
ir_id ir_unary(struct ir_builder *b, enum ir_op op, ir_id x);
ir_id ir_binary(struct ir_builder *b, enum ir_op op, ir_id x, ir_id y);
ir_id ir_select(struct ir_builder *b, ir_id c, ir_id x, ir_id y);
ir_id ir_cast(struct ir_builder *b, enum nn_dtype t, ir_id x); /* x itself where equal */
/* Folds the named axes (ascending positions); the others stay in order. No keep: use ir_reshape. */
ir_id ir_reduce(struct ir_builder *b, enum ir_monoid m, ir_id x, uint32_t n, const uint32_t *axes);
ir_id ir_reshape(struct ir_builder *b, ir_id x, uint32_t rank, const struct ir_axis *ax);
/* copy over `rank` axes through the access (at[] has one term for each axis of x's value). */
ir_id ir_move(struct ir_builder *b, ir_id x, uint32_t rank, const struct ir_axis *ax,
              struct ir_access a);
ir_id ir_transpose(struct ir_builder *b, ir_id x, const uint32_t *perm);
ir_id ir_broadcast(struct ir_builder *b, ir_id x, uint32_t rank, const struct ir_axis *ax);
ir_id ir_iota(struct ir_builder *b, enum nn_dtype t, uint32_t axis, uint32_t rank,
              const struct ir_axis *ax);
ir_id ir_random(struct ir_builder *b, ir_id seed, ir_id step, uint64_t stream, int word,
                uint32_t rank, const struct ir_axis *ax);
/* A custom gradient: make the hole (shaped as the value), write d value / d inputs[i] times the
 * hole in ordinary nodes, then tie them up. */
ir_id ir_hole(struct ir_builder *b, ir_id like);
ir_id ir_custom(struct ir_builder *b, ir_id value, uint32_t k, const ir_id *inputs, ir_id hole,
                const ir_id *derivatives);
ir_id ir_grad(struct ir_builder *b, ir_id loss, ir_id x);

/* ---- verify.c ---- NULL if the graph is sound, else a message (heap, the caller frees). */
char *ir_verify(const struct ir_graph *g);
char *ir_verify_node(const struct ir_graph *g, ir_id id); /* one node, its operands being sound */

/* ---- print.c, read.c: the text form (docs/internals.md). Reading reports into the module's diag,
 * file `file`; NULL after errors. print(read(t)) == print of the original, node for node, but for
 * places in origins (the source is not here). Node labels may be any word (%loss); an operand
 * without brackets is read along the domain's last axes (an axis of 1 at 0); `module` may be
 * missing; # is a comment. ---- module mlp slot fc1.weight f32[512, 784] param graph step { or:
 * graph step precision bf16 { %1 = input image : u8[n 128, h 28, w 28] %2 = slot fc1.weight : f32[j
 * 512, k 784] %3 = cast %1[n, h, w] : f32[n 128, h 28, w 28] inline %4 = mul %3[i, k] %2[j, k] :
 * f32[i 128, j 512, k 784] inline %5 = reduce sum(k 784) %4[i, j, k] : f32[i 128, j 512]    #
 * mlp.nn:19 fc1.matmul:fwd %6 = copy %5[2*i + r - 1, (j + 3)/2 where i//2 in 7 else -inf] : ...
 * exact /, floor //, % %7 = copy %w[@1, d] strict %ids[b, t] : f32[b 4, t 8, d 16] %8 = scatter
 * [@1, d] %g[b, t, d] %ids[b, t] over (b 4, t 8, d 16) : f32[v 100, d 16] %9 = const 0.5 : f32 %10
 * = iota 1 : i32[i 4, j 8]      %11 = reshape %5 : f32[n 65536] %12 = random stream 77 word 0
 * %seed[] %step[] : f32[n 128] output loss %5 update fc1.weight <- %5
 *   } */
void ir_print(const struct ir_module *m, struct text *out);
void ir_print_graph(const struct ir_graph *g, struct text *out);
void ir_print_node(const struct ir_graph *g, ir_id id, struct text *out); /* no line end */
const char *ir_slot_kind_name(unsigned kind); /* param state opt acc sys size */
struct ir_module *ir_read(struct diag *d, uint32_t file);

/* ---- scalar.c: one element of an element-wise operator, in f64: what the rows of ops.def mean.
 * Integers are exact (|v| < 2^53) and wrap; integers cast to integers wrap too. ---- */
/* `from`: the type of operand 0 (a cast's); `to`: the node's. Not rounded to `to`. */
double ir_scalar(enum ir_op op, enum nn_dtype from, enum nn_dtype to, const double *x);
double ir_convert(enum nn_dtype from, enum nn_dtype to, double v); /* a cast */
double ir_round(enum nn_dtype t, double v); /* to the nearest number of a float type */

/* ---- eval.c: the reference: naive, every node stored, everything in f64 (integers exact, |v| <
 * 2^53). Evaluates what outputs and updates need. With `round` set, values of f32, f16, bf16 nodes
 * are rounded to their type after each node (a reduction once, at its end). A custom is its value;
 * grad and hole cannot be evaluated. ---- */
struct ir_eval;
struct ir_eval *ir_eval_new(const struct ir_graph *g, bool round);
void ir_eval_free(struct ir_eval *e);
/* The array is borrowed: it must outlive the runs. */
void ir_eval_input(struct ir_eval *e, const char *name, const double *v);
void ir_eval_whole(struct ir_eval *e, const char *name, const double *v); /* IR_INPUT_WHOLE */
void ir_eval_slot(struct ir_eval *e, uint32_t slot, const double *v);
/* False: a strict gather out of range, an input that was not given; *message (heap) says which. */
bool ir_eval_run(struct ir_eval *e, char **message);
const double *ir_eval_value(struct ir_eval *e, ir_id id); /* ir_count elements; NULL: not needed */

/* ---- random.c: the uniform number of op random, shared by every executor and exact in all. ----
 * Philox2x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). All
 * arithmetic is unsigned and wraps; u32 unless said otherwise. key    z = seed ^ (stream *
 * 0x9e3779b97f4a7c15)                 (u64, to the last line: splitmix64) z = (z ^ z >> 30) *
 * 0xbf58476d1ce4e5b9 z = (z ^ z >> 27) * 0x94d049bb133111eb key = low 32 bits of z ^ z >> 31 c0 low
 * 32 bits of index c1     low 32 bits of step ^ (index >> 32) ten times: (hi, lo) = 0xd256d193 * c0
 * as u64;  c0 = hi ^ key ^ c1;  c1 = lo;  key += 0x9e3779b9 result (word ? c1 : c0) >> 8, times
 * 2^-24: in [0, 1), exact in f32. index is the row-major flat index over the node's domain. */
uint32_t ir_random_key(int64_t seed, uint64_t stream);
uint32_t ir_random_bits(uint32_t key, uint32_t c0, uint32_t c1, int word);
float ir_random_uniform(int64_t seed, int64_t step, uint64_t stream, int word, uint64_t index);

#endif
