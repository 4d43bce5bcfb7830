/* elab: the inside of front/: values, frames and the elaborator that turns the tree into graphs.
 *
 * One elaborator does two jobs. Without a builder it checks: sizes stay symbols, shapes and dtypes
 * are inferred, no node is made. With a builder every size has a value and the same walk also emits
 * nodes. A mistake is reported once, where it is found, and its value becomes POISON, which
 * silences what follows from it.
 *
 * Sections: modules.c, values.c, shapes.c, form.c, emit.c, types.c, instance.c, call.c, stmt.c,
 * expr.c, operators.c, subscript.c, notation.c, builtins.c (with arith.c, reduce.c, moves.c,
 * make.c), dataset.c, train.c, update.c, metrics.c, samples.c, graphs.c, export.c. */
#ifndef NNC_FRONT_ELAB_H
#define NNC_FRONT_ELAB_H

#include "front/dims.h"
#include "front/front.h"
#include "front/tree.h"
#include "image.h"

struct elab;
struct frame;
struct inst;
struct module;
struct builtin;
typedef struct value *val;

/* ---- values ---- */

enum value_kind {
    V_POISON,
    V_NONE,
    V_TENSOR,
    V_INT,   /* polynomial */
    V_FLOAT, /* double; not known where it hangs on a symbol without a value */
    V_BOOL,  /* compile-time; not known likewise */
    V_STRING,
    V_DTYPE,
    V_LIST,
    V_TUPLE,
    V_RANGE,
    V_FN,   /* decl */
    V_DEF,  /* a layer, model or optimizer, before its configuration */
    V_INST, /* one made from it: a layer with its parameters, or a configured optimizer */
    V_BUILTIN,
    V_MODULE,
    V_DATASET,
};

/* An index of the notation: `i` in [i, j: …]. Its range may become known after it is made. */
struct index {
    const char *name;
    uint32_t id; /* rising: the indices of an enclosing notation have smaller ones */
    const struct dim *n;
    struct loc at;
    struct loc lone; /* where it stands alone, if that gave its range */
};

/* An integer as an affine form of indices, for subscripts: c0 + Σ c·part. */
enum part_kind { PART_INDEX, PART_VALUE, PART_DIV, PART_MOD };
struct form_part {
    enum part_kind kind;
    const struct dim *c;
    struct index *ix;      /* INDEX */
    val v;                 /* VALUE: an integer tensor's element: a gather */
    const struct form *of; /* DIV, MOD */
    const struct dim *q;   /* DIV, MOD */
};
struct form {
    const struct dim *c0;
    uint32_t n;
    struct form_part part[];
};

/* The axes of a tensor: first the indices of the notation it stands in, by rising id, then its own.
 */
struct shape {
    uint32_t nix, rank;
    struct index *const *ix;
    const struct dim *const *dim;
};

struct guard { /* 0 <= e < n, else the read was outside */
    const struct form *e;
    const struct dim *n;
};

/* Where elements come from: a dataset's field, so that its files can be checked when they are read.
 * Marks with one stamp are of the same elements at the same places. */
struct field_mark {
    uint32_t field; /* 1 + its number, or 0 */
    /* Of integers: they are the field's, SPARED: but those that are `value`, which were replaced.
     * Of bools: EQUAL, DIFFERS: they tell where the field's elements are `value`, or are not. */
    enum { MARK_AS_IS, MARK_SPARED, MARK_EQUAL, MARK_DIFFERS } how;
    int64_t value;
    uint64_t stamp;
};

struct tensor {
    enum nn_dtype dtype;
    bool weak; /* takes the other side's dtype */
    bool init; /* made while an initial value is computed */
    bool bent; /* of indices alone, but not affine: no subscript */
    bool size; /* a number made of sizes that a run chooses */
    struct shape s;
    ir_id node;              /* 0 when checking, and for a form that is not computed yet */
    const struct form *form; /* of rank 0 integers */
    uint32_t nguard; /* reads in it that may be outside: max and its like leave the term out */
    const struct guard *guard;
    val valid; /* bool: a further condition of that kind, or NULL */
    struct field_mark of;
};

struct value {
    enum value_kind kind;
    struct loc at; /* where it came to be */
    union {
        struct tensor t;
        const struct dim *i;
        struct {
            double v;
            bool known;
            bool of_batch; /* hangs on the batch size */
            ir_id node;    /* not known, but computed by the run: in f64; else 0 */
        } f;
        struct {
            bool v, known;
        } b;
        const char *string;
        enum nn_dtype dtype;
        struct {
            uint32_t n;
            val *p;
            const char **name; /* of a tuple's parts: NULL, or NULL each */
            bool *used;        /* of a dataset's fields, else NULL */
        } list;
        struct {
            const struct dim *lo, *hi;
        } range;
        struct {
            const struct tree_decl *decl;
            struct module *mod;
        } def; /* FN, DEF */
        struct inst *inst;
        const struct builtin *builtin;
        const struct module_use *module;
        struct tree_name dataset;
    };
};

/* What the place of an expression expects: for numbers, initialisers, ranges of indices. */
struct want {
    enum nn_dtype dtype; /* NN_DTYPE_COUNT: any */
    bool shaped;
    uint32_t rank;
    const struct dim *const *dim; /* each may be NULL: any */
};

/* ---- modules.c: files, `use`, names of declarations, constants ---- */

struct module {
    const char *path, *folder;
    const char *name; /* mlp */
    bool library;     /* of the standard library */
    struct tree_file *tree;
    struct module_use *use;
    uint32_t nuse;
};
struct module_use { /* a file, or the files of a folder */
    const char *name;
    struct module **mod;
    uint32_t n;
};

struct front {
    struct diag *d;
    struct arena *mem;
    struct intern *names;
    struct front_options o;
    VEC(struct module *) module; /* [0] is the file itself */
    struct tree_expr **define;   /* by -D; NULL until parsed */
    bool *defined;               /* by -D: something read it */
    struct front_train train;
    bool train_read, train_good;
    struct front_model model;
    bool model_read, model_good;
    val *model_input;
    struct elab *of_model;    /* the check that `model` and front_solve read */
    int checked;              /* 0 not yet, 1 good, -1 bad */
    VEC(struct loc) reported; /* until then: pairs, as an elab's, of those that are gone */
};
const struct tree_decl *module_own(const struct module *m, const char *name);
/* The declaration, constant, module or builtin of this name as seen from `m`, or NULL. */
val module_lookup(struct elab *e, struct module *m, const char *name, struct loc at);
/* Likewise, of one used module: vit.Block. */
val module_member(struct elab *e, const struct module_use *u, const char *name, struct loc at);
/* The declaration as seen from `m` (own ones first), and the module it is in. */
const struct tree_decl *module_decl(struct module *m, const char *name, struct module **in);
/* The standard library has this name, but `m` does not use it. */
bool module_std_has(struct elab *e, const struct module *m, const char *name);
/* Every name seen from `m`, for suggestions; the count. */
uint32_t module_names(const struct module *m, const char **out, uint32_t cap);
/* The value of `-D name=…`, or NULL if there is none. With `text_wanted` it may be bare: -D
 * file=in.txt. */
val front_defined(struct elab *e, const char *name, bool text_wanted);

/* ---- the elaborator ---- */

struct binding {
    const char *name;
    val v;
    struct loc at;
    struct param *state; /* a state: assigning goes on to it */
    bool param;          /* a param: not assigned */
    bool weak;           /* a dtype that only weak tensors gave */
    bool *used;          /* something read it; shared by copies of the frame */
    bool fixed; /* a dim, pack or dtype of a signature: types see it, whatever locals are called */
};

/* One running body: a function, a layer's application, a train block. */
struct frame {
    struct frame *up;
    struct module *mod;
    const struct tree_decl *decl; /* NULL: a train block, a constant */
    struct activation *act;       /* where layers get their names; a function shares its caller's */
    struct loc call;              /* the call that made it */
    const struct want *want;      /* of its result */
    VEC(struct binding) env;
    val result;
    struct loc return_at;
    bool returned;
};

/* One application of an instance. */
struct named {
    const char *name;
    struct inst *inst; /* NULL: a parameter */
    struct loc at;
};
struct activation {
    struct inst *inst;
    VEC(struct named) names;
    VEC(uint32_t) loop; /* iteration numbers of the `for`s that run */
    bool bad;           /* a parameter of it is in error: the others say no more */
};

struct inst {
    const struct tree_decl *decl;
    struct module *mod;
    struct loc at;
    uint32_t nconfig;
    struct binding *config;
    const char *path; /* NULL until named; "" is the root */
    uint32_t root;    /* number of the train block's instance it belongs to */
    bool is_root;     /* one of the train block's, or the model itself */
    struct loc used;  /* its first application */
};

/* A parameter, state or optimiser state, by path. */
struct param {
    const char *path;
    enum nn_slot_kind kind;
    enum nn_dtype dtype;
    uint32_t rank, root, slot;
    const struct dim *const *dim;
    struct loc at, used;
    val first, now; /* as the graph found it, and its latest value */
    const struct param *of;
};

/* A size that only a run can check: lo <= hi. */
enum bound { BOUND_FIRST, BOUND_INDEX, BOUND_SLICE, BOUND_SIZE }; /* INDEX: lo is the index + 1 */
struct entry_check {
    const struct dim *lo, *hi;
    struct loc at;
    enum bound what;
};

struct memo { /* an application of one of the train block's instances */
    const struct inst *inst;
    bool training;
    uint32_t version, nargs;
    const val *arg;
    val result;
};

struct stream { /* random numbers: how many a place has drawn */
    const char *path;
    uint32_t n;
    bool initial;
};

struct accumulator { /* a value of the eval graph that goes on from batch to batch */
    ir_id node;
    uint64_t sets; /* of the metric: the datasets it reads, bit by number */
    bool exact;    /* not the sum over batches, but of the split: a variance, a logsumexp */
    uint32_t slot;
};

struct node_fact {                 /* of each node of the graph that is being built */
    const struct dim *const *dims; /* of its domain; NULL: all are numbers */
    uint32_t batch_axes;           /* bit i: axis i of the domain has the batch size in it */
    uint32_t uneven_axes;          /* likewise, and its size is no multiple of it */
    const struct dim *batch_size;  /* a constant that is this polynomial of the batch size */
    bool batch_fraction;           /* a constant that hangs on the batch size otherwise */
    ir_id spread_of;               /* Σ (x - mean)²: the node Σ x … */
    const struct dim *spread_n;    /* … over so many */
    ir_id logsumexp_of;            /* log Σ exp x: the node max x */
};

/* What the runtime sets: one slot each. */
enum sys { SYS_STEP, SYS_STEPS, SYS_STEPS_PER_EPOCH, SYS_SEED, SYS_COUNT };
struct constant {
    const struct tree_decl *decl;
    val v; /* NULL: it is being computed */
};

struct live { /* a size of the run, as it is read */
    uint32_t slot;
    ir_id node;
};

struct elab {
    struct front *f;
    struct diag *d;
    struct arena *mem;
    struct dims *dims;
    struct intern *names;
    struct ir_module *m;     /* NULL when checking */
    struct ir_builder *b;    /* NULL when checking */
    struct ir_builder *init; /* of the init graph, while that is built */
    struct param *optimized; /* whose update is being computed */
    uint32_t in_type;        /* > 0: names of dims go before locals of that name */
    bool initial;            /* an initial value is being computed */
    const char *initial_path;
    struct frame *frame;
    bool in_reduction; /* of index notation */
    bool leaves_out;   /* and one that leaves terms out whose reads are outside */
    uint32_t depth, nest, evals;
    uint32_t quiet;   /* > 0: mistakes are not reported, only POISON comes out */
    const char *role; /* of the nodes to come; NULL: fwd */
    bool training;
    bool differentiates; /* the graph has gradients of its own, whatever the train block does */
    uint32_t indices;    /* made so far */
    uint64_t stamps;     /* of field marks, likewise */
    uint32_t solved;     /* sizes that front_solve has found */
    uint32_t checkpoints;
    struct dim_sym *batch;
    const char *apart; /* a model's free dim that is the batch; NULL: none is */
    struct {           /* the one that runs take in parts; NULL: none */
        struct dim_sym *y;
        int64_t n;
        uint32_t first; /* the slot */
    } parts;
    uint32_t version;   /* of parameters: rises with each update */
    val sys[SYS_COUNT]; /* as read in this graph; NULL before */
    VEC(struct param *) params;
    VEC(struct inst *) insts; /* the named ones */
    VEC(struct entry_check) entry;
    VEC(struct memo) memo;
    VEC(struct stream) stream;
    VEC(struct front_dim) given; /* values of a model's free dims */
    uint32_t lives;              /* of them chosen by the run */
    VEC(struct live) live;
    VEC(struct node_fact) fact;
    VEC(struct loc) reported; /* pairs: the mistake, the user's line that led to it */
    bool failed;
    struct train *train; /* the train block, while one is elaborated */
    VEC(struct constant) constants;
    struct loc last;       /* what the last report found */
    struct loc last_shown; /* and where it was put */
    struct loc place;      /* of the nodes to come */
    VEC(struct accumulator) acc;
};
struct elab *elab_new(struct front *f);
void elab_free(struct elab *e);

/* Evaluating for a look: nothing is reported, no node is made, what was counted, named or made on
 * the way is forgotten at the end. */
struct look {
    struct ir_builder *b, *init;
    bool failed;
    uint32_t names, memo, insts, streams, params;
    struct stream *stream;
    val sys[SYS_COUNT];
    val (*value)[2]; /* of each parameter: first and now */
};
void look_begin(struct elab *e, struct look *l);
void look_end(struct elab *e, const struct look *l);

/* Reports; false if this place has been reported already (then no label or note may follow). */
bool elab_error(struct elab *e, struct loc at, const char *fmt, ...) NNC_PRINTF(3, 4);
/* Reports a size that overflowed unseen since the last integer. */
void elab_overflow(struct elab *e, struct loc at);
/* Notes for the calls that led into a library: ends a report. */
void elab_called(struct elab *e);
struct loc elab_user_loc(const struct elab *e, struct loc at);
/* `, did you mean "x"?` or an empty string. */
const char *elab_suggest(struct elab *e, const char *name, const char *const *p, uint32_t n);

/* ---- values.c ---- */

val v_new(struct elab *e, enum value_kind k, struct loc at);
val v_poison(struct elab *e);
val v_none(struct elab *e, struct loc at);
val v_int(struct elab *e, const struct dim *i, struct loc at);
val v_number(struct elab *e, int64_t i, struct loc at);
val v_float(struct elab *e, double f, bool known, struct loc at);
val v_bool(struct elab *e, bool b, bool known, struct loc at);
val v_string(struct elab *e, const char *s, struct loc at);
val v_dtype(struct elab *e, enum nn_dtype t, struct loc at);
val v_list(struct elab *e, enum value_kind k, val const *p, uint32_t n, struct loc at);
/* A tensor without a node yet. */
val v_tensor(struct elab *e, enum nn_dtype t, struct shape s, struct loc at);
val v_moved(struct elab *e, val v, struct loc at); /* the same value, from another place */
static inline bool v_bad(const struct value *v) { return v->kind == V_POISON; }
static inline bool v_is_number(const struct value *v)
{
    return v->kind == V_INT || v->kind == V_FLOAT || v->kind == V_BOOL;
}
static inline bool v_is_tensor(const struct value *v) { return v->kind == V_TENSOR; }
bool v_is_const_int(val v, int64_t *i);
/* The value of a float or an integer; *known false where a symbol has none. */
double v_double(struct elab *e, val v, bool *known);
/* What it is, for messages: `f32[128, 784]`, `the number 3`, `a list of 2`. */
const char *v_text(struct elab *e, val v);
const char *v_type_text(struct elab *e, enum nn_dtype t, uint32_t rank,
                        const struct dim *const *dim);
const char *v_dim_text(struct elab *e, const struct dim *d);

/* ---- shapes.c: broadcasting, numbers to tensors, dtypes ---- */

struct shape shape_of(struct elab *e, uint32_t rank, const struct dim *const *dim);
struct shape shape_scalar(void);
/* The shape with other dims. */
struct shape shape_with(struct elab *e, struct shape s, uint32_t rank,
                        const struct dim *const *dim);
bool shape_equal(struct shape a, struct shape b); /* of the own axes */
/* Broadcast of n tensors; reports and false if they do not fit. `what`: the operation's name. */
bool shape_join(struct elab *e, struct loc at, const char *what, uint32_t n, val const *v,
                struct shape *out);
/* A number as a rank 0 tensor of this dtype (weak if none is wanted: NN_DTYPE_COUNT). */
val to_tensor(struct elab *e, val v, enum nn_dtype t, struct loc at);
/* Cast, without question. */
val to_dtype(struct elab *e, val v, enum nn_dtype t, struct loc at);
/* The common dtype of tensors and numbers by rule 6; reports two float dtypes. *weak: all are weak.
 */
bool common_dtype(struct elab *e, struct loc at, const char *what, uint32_t n, val const *v,
                  enum nn_dtype *t, bool *weak);
/* v as a tensor of exactly this dtype and shape: numbers fill it, weak values are cast. Reports. */
val to_type(struct elab *e, val v, enum nn_dtype t, struct shape s, struct loc at,
            const char *what);
val broadcast_to(struct elab *e, val v, struct shape s, struct loc at);
/* The reads that may be outside, of all operands. */
void guards_join(struct elab *e, val to, uint32_t n, val const *v);

/* ---- form.c ---- */

const struct form *form_index(struct elab *e, struct index *ix);
const struct form *form_value(struct elab *e, val v);
/* Of a number or a rank 0 integer tensor; NULL for anything else. */
const struct form *form_of(struct elab *e, val v);
const struct form *form_add(struct elab *e, const struct form *a, const struct form *b,
                            int64_t sign);
/* NULL where the result is not affine. */
const struct form *form_mul(struct elab *e, const struct form *a, const struct form *b);
const struct form *form_div(struct elab *e, const struct form *a, const struct form *b, bool mod);
bool form_is_index(const struct form *f, struct index **ix);
bool form_has_value(const struct form *f);
/* Nothing in it comes near the end of 64 bits, as far as that shows without sizes; reports. */
bool form_is_near(struct elab *e, const struct form *f, struct loc at);
void form_indices(struct elab *e, const struct form *f, val *part, uint32_t *n);
/* A size that the run chooses, as one more gathered value. */
const struct ix *size_ix(struct elab *e, const struct dim *d, val *gathered, uint32_t *ngathered);
/* Over the axes of `dom`; operand numbers of gathered values start at *operands and the values are
 * appended to gathered[]. */
const struct ix *form_ix(struct elab *e, const struct form *f, const struct shape *dom,
                         val *gathered, uint32_t *ngathered);

/* ---- emit.c: nodes; all of these give 0 when checking ---- */

ir_id emit_node_of(struct elab *e, val v); /* the tensor's node, computing a form if need be */
ir_id emit_const(struct elab *e, enum nn_dtype t, val number);
ir_id emit_append(struct elab *e, const struct ir_node *n, const struct dim *const *axes);
struct ir_axis *emit_axes(struct elab *e, const struct shape *s, const struct dim ***dims);
/* Element-wise over `dom`, operands broadcast. */
ir_id emit_elem(struct elab *e, enum ir_op op, enum nn_dtype t, const struct shape *dom, uint32_t n,
                val const *v);
/* Likewise, with terms for the operands' own axes (each may be NULL: broadcast). */
ir_id emit_elem_at(struct elab *e, enum ir_op op, enum nn_dtype t, const struct shape *dom,
                   uint32_t n, val const *v, const struct ir_term *const *at);
/* copy of x over `dom`, with one term for each of x's own axes; indices by themselves. */
ir_id emit_move(struct elab *e, val x, const struct shape *dom, const struct ir_term *at,
                uint32_t nval, val const *gathered, const struct ir_term *const *gathered_at);
ir_id emit_move_filled(struct elab *e, val x, const struct shape *dom, const struct ir_term *at,
                       uint32_t nval, val const *gathered, const struct ir_term *const *gathered_at,
                       double fill);
ir_id emit_reshape(struct elab *e, val x, const struct shape *to);
/* Folds own axes given by `fold` (one flag each); `drop`: indices folded instead, with guards. */
ir_id emit_reduce(struct elab *e, enum ir_monoid m, val x, const bool *fold);
ir_id emit_reduce_indices(struct elab *e, enum ir_monoid m, val x, uint32_t n,
                          struct index *const *ix);
/* Their sum, where a term whose reads are outside is left out (0 by its own value otherwise). */
ir_id emit_sum_guarded(struct elab *e, val x, uint32_t n, struct index *const *ix);
ir_id emit_cumsum(struct elab *e, val x, uint32_t axis);
ir_id emit_iota(struct elab *e, enum nn_dtype t, const struct shape *dom, uint32_t axis);
ir_id emit_random(struct elab *e, const struct shape *dom, uint64_t stream, int word);
/* The origin of the nodes to come: the running layer's operator, or a path as it is. */
void emit_origin(struct elab *e, struct loc at, const char *op);
void emit_place(struct elab *e, struct loc at, const char *path);
/* Both nodes compute the same; false too where that takes more than *fuel comparisons. */
bool emit_same(const struct ir_graph *g, ir_id a, ir_id b, uint32_t *fuel);
int64_t emit_size(struct elab *e, const struct dim *d);   /* of an axis, at most */
int64_t emit_number(struct elab *e, const struct dim *d); /* refused where a run chooses it */
val emit_unary(struct elab *e, enum ir_op op, val x, struct loc at);
val emit_binary(struct elab *e, enum ir_op op, val x, val y,
                struct loc at); /* dtypes agree already */

/* ---- live.c: sizes that a run chooses, up to a bound ----
 * Axes have the bound's size, and ir_axis.live says how far they go. What is beyond takes part in
 * nothing: reductions, indices and reads at edges get guards that look at the size, a slot. */
/* Makes `y` such a size of the graph, from 1 to `most`. */
void live_symbol(struct elab *e, struct dim_sym *y, int64_t most);
/* Runs take it in so many parts, each of at most `most`. */
void live_parts(struct elab *e, struct dim_sym *y, int64_t parts);
/* A node of random numbers, appended; of samples in parts it reads the part's share of all. */
ir_id live_random(struct elab *e, const struct ir_node *n, const struct dim *const *axes);
static inline bool live_dim(struct elab *e, const struct dim *d)
{
    return e->b && e->lives && dim_is_live(e->dims, d);
}
bool live_value(struct elab *e, val number); /* an integer or float that hangs on such a size */
/* The number computed by the run, as a node of rank 0; 0 where a part of it is not known at all. */
ir_id live_number(struct elab *e, val number, enum nn_dtype t);
/* The result of op on numbers (y: NULL of a unary one) gets a node, if it hangs on such a size. */
val live_float(struct elab *e, val result, enum ir_op op, val x, val y);
/* Completes a node over these axes: extents, guards, the operands that they read. */
void live_node(struct elab *e, struct ir_node *n, const struct dim *const *axes);
/* The expression, over a domain of these axes, stays below n for all sizes. */
bool live_inside(struct elab *e, const struct ix *x, const struct dim *const *axes,
                 const struct dim *n);
/* Where lo <= hi does not hold for all sizes up to one's bound: "--max seq=40 would do", or NULL.
 */
const char *live_better(struct elab *e, const struct dim *lo, const struct dim *hi);
/* What a run's entry must check becomes the least of the sizes; reports what cannot. */
bool live_entry(struct elab *e);

/* ---- live_moves.c: elements that move to places which hang on such sizes ---- */
/* Integers that a read's terms are made of: ix_operand(1 + i) is v[i] where at[i] says; NULL: at
 * the same indices, or a number. */
struct gathers {
    uint32_t n;
    val v[IR_MAX_AXES];
    const struct ir_term *at[IR_MAX_AXES];
};
/* The position along axis `axis` of the domain's own, plus so much, modulo n. */
const struct ix *live_wrapped(struct elab *e, const struct shape *dom, uint32_t axis,
                              const struct dim *plus, const struct dim *n, struct gathers *g);
/* x with its elements in order in the axes of `to`; 0 where a plain reshape does it. */
ir_id live_reshape(struct elab *e, val x, const struct shape *to);

/* ---- types.c: signatures ---- */

enum config_type {
    CONFIG_NONE,
    CONFIG_INT,
    CONFIG_FLOAT,
    CONFIG_BOOL,
    CONFIG_STR,
    CONFIG_DTYPE,
    CONFIG_FN,
    CONFIG_LAYER,
    CONFIG_LIST
};
enum config_type type_config(const struct tree_type *t); /* CONFIG_NONE: a tensor's */
/* A configuration type for `v`; `bool` is a tensor's too, of rank 0. */
bool type_of_number(const struct tree_type *t, val v);
/* Binds the dims and dtype variables of `t` in the current frame from the value (rule 2). */
struct match { /* tensors of one call on their way */
    const struct tree_type *type;
    val v;
    const char *name; /* NULL: a result */
    struct loc at;
    val out; /* v as the type wants it */
};
bool types_match(struct elab *e, struct match *m, uint32_t n, const char *what);
/* The type as the frame knows it so far; names unknown give NULL dims. */
bool type_want(struct elab *e, const struct tree_type *t, struct want *w);
/* Binds names that only the result type has from what is wanted. */
void type_bind_wanted(struct elab *e, const struct tree_type *t, const struct want *w);
/* The fully known type of a parameter or a result; reports what is missing. */
bool type_known(struct elab *e, const struct tree_type *t, enum nn_dtype *dtype, struct shape *s);
/* Binds every free name of a model's inputs to a symbol, and makes the inputs. */
bool type_symbols(struct elab *e, const struct tree_type *t, enum nn_dtype *dtype, struct shape *s);
bool name_is_known(struct elab *e, const char *name); /* of a dim */
/* Whether the inputs' sizes give every free name in them; reports. */
bool types_solvable(struct elab *e, const struct tree_type *const *t, val const *input, uint32_t n);
/* Whether every name in a result type's sizes is known; reports. */
bool type_names_bound(struct elab *e, const struct tree_type *t);
/* Gives a model's free dim its value, if the graph or -D says one. */
void model_dim(struct elab *e, struct dim_sym *y);
val config_value(struct elab *e, val v, const struct tree_type *t, const char *name, struct loc at);

/* ---- instance.c: layers, their names, parameters ---- */

val inst_new(struct elab *e, val def, struct binding *config, uint32_t n, struct loc at);
/* Gives unnamed instances in v (lists too) the name, numbered by running loops. */
void inst_name(struct elab *e, val v, const char *name, struct loc at);
void inst_name_unbound(struct elab *e, struct inst *i);
struct param *param_find(struct elab *e, const char *path);
struct param *param_use(struct elab *e, enum nn_slot_kind kind, const char *name,
                        const struct tree_stmt *s, enum nn_dtype t, struct shape shape);
val param_value(struct elab *e, struct param *p, struct loc at);
void param_set(struct elab *e, struct param *p, val v);
val inst_field(struct elab *e, struct inst *i, const char *name, struct loc at);
uint32_t param_slot(struct elab *e, struct param *p);

/* ---- call.c ---- */

struct arg {
    const char *name; /* NULL: by position */
    val v;
    struct loc at;
};
struct args {
    VEC(struct arg) v;
    struct loc at; /* the call */
    bool bad;
};
/* A parameter's default; those that need dims wait for the tensors: asked for again `late`. */
bool bind_default(struct elab *e, const struct tree_param *p, bool late, bool *waits);
/* A function's body in the current frame, with the derivatives of its author. */
val run_function(struct elab *e, const struct tree_decl *d, const struct want *w, struct loc at);
void args_eval(struct elab *e, const struct tree_items *items, struct args *a);
val call_value(struct elab *e, val fn, struct args *a, const struct want *w);
val call_expr(struct elab *e, const struct tree_expr *x, const struct want *w);
val pipe_expr(struct elab *e, const struct tree_expr *x, const struct want *w);
val apply_inst(struct elab *e, struct inst *i, struct args *a, const struct want *w);
/* The body of an optimizer with p, g, step. */
val apply_optimizer(struct elab *e, struct inst *i, val p, val g, val step, struct param *of,
                    struct loc at);
void frame_push(struct elab *e, struct frame *f, struct module *m, const struct tree_decl *d,
                struct loc call);
void frame_pop(struct elab *e, struct frame *f);
void env_bind(struct elab *e, const char *name, val v, struct loc at);
void env_fix(struct elab *e, const char *name, val v, struct loc at); /* a signature's */
struct binding *env_find(struct elab *e, const char *name);

/* ---- stmt.c ---- */

/* The body of a declaration, its result as declared. */
val run_declared(struct elab *e, const struct tree_decl *d, const struct want *w);
void stmt_run(struct elab *e, const struct tree_stmt *s);
void block_run(struct elab *e, const struct tree_block *b);
void assign(struct elab *e, const struct tree_name *targets, uint32_t n, val v, struct loc at);
bool test_value(struct elab *e, const struct tree_expr *x, bool *out);

/* ---- expr.c, operators.c, subscript.c, notation.c ---- */

val eval(struct elab *e, const struct tree_expr *x, const struct want *w);
val eval_name(struct elab *e, const char *name, struct loc at);
val eval_each(struct elab *e, const struct tree_expr *x);
/* The members of a list, tuple, range or known-length tensor; false after a report. */
bool members(struct elab *e, val v, struct loc at, val **p, uint32_t *n);
val operate(struct elab *e, enum tree_op op, val l, val r, struct loc at);
val operate_unary(struct elab *e, enum tree_op op, val x, struct loc at);
val power(struct elab *e, val x, val y, struct loc at);
val matmul(struct elab *e, val x, val y, struct loc at);
val transpose(struct elab *e, val x, uint32_t a, uint32_t b, struct loc at);
/* Tensors of one dtype, one after the other as a vector; and the tuple `like` out of such a one. */
val join_flat(struct elab *e, val const *p, uint32_t n, struct loc at);
val part_flat(struct elab *e, val flat, val like, struct loc at);
val sys_value(struct elab *e, enum sys which);
uint32_t sys_slot(struct elab *e, enum sys which);
val sys_epoch(struct elab *e, struct loc at);
/* Integers of a dataset's field index an axis of n. */
void train_limit(struct elab *e, struct field_mark of, const struct dim *n);
/* The mark of elements that were moved: `how` tells moves apart; 0: from all others. */
struct field_mark mark_moved(struct elab *e, struct field_mark of, uint64_t how);
val compare(struct elab *e, enum ir_op op, val x, val y, struct loc at);
val select_value(struct elab *e, val c, val x, val y, struct loc at);
val field_expr(struct elab *e, const struct tree_expr *x);
val subscript_expr(struct elab *e, const struct tree_expr *x);
val tensor_expr(struct elab *e, const struct tree_expr *x, const struct want *w);
val reduce_expr(struct elab *e, const struct tree_expr *x);
/* One index expression: v[…] with a range checked against d. */
bool require_le(struct elab *e, const struct dim *lo, const struct dim *hi, struct loc at,
                enum bound what);
const char *bound_text(struct elab *e, enum bound what, const struct dim *lo, const struct dim *hi);

/* ---- dataset.c, train.c, update.c, metrics.c, graphs.c ---- */

enum train_mode { TRAIN_CHECK, TRAIN_INIT, TRAIN_STEP, TRAIN_EVAL, TRAIN_GRAD };

struct env { /* a copy of a frame's bindings at one place */
    struct binding *p;
    uint32_t n;
};
struct loss {
    const struct tree_stmt *stmt;
    const struct tree_expr *value;
    struct loc at;
    struct env env;
    uint64_t models;  /* bit by root */
    const char *name; /* of its first model; NULL: all */
    int64_t every;
    val v;
};
struct rule {                       /* optimizer[…] = … */
    const struct tree_items *items; /* NULL: the default */
    struct loc at;
    val v; /* an optimizer or none */
    uint32_t hits;
};
struct metric {
    struct tree_name name;
    const struct tree_expr *value;
    struct env env;
    val v;
};
struct field {
    const char *name;
    val v;
    bool *used;
    int64_t limit;
    struct front_field out;
};
struct train {
    const struct tree_decl *decl;
    struct module *mod;
    enum train_mode mode;
    int64_t batch; /* of this graph; 0: as set */
    struct inst **inst;
    const char **name;
    uint32_t ninst;
    VEC(struct field) field;
    VEC(struct loss) loss;
    VEC(struct rule) rule;
    bool bad_rule; /* one was given that is in error */
    VEC(struct metric) metric;
    struct front_train out;
    double clip; /* 0: none */
    val outputs; /* of the first model's last application */
};

/* A model or an exported function on its own. */
struct model_run {
    val *input;
    uint32_t ninput;
    val result;
};
/* Binds the input to a tensor of symbols, or (with a builder) of sizes; not pushed after a report.
 */
void model_input(struct elab *e, const struct tree_param *p, struct model_run *r);
/* The tensor becomes an input of the graph; nothing when checking. */
void input_node(struct elab *e, val v, const char *name);
/* ---- export.c ---- */
bool export_check(struct front *f, const struct tree_decl *d);

/* A graph being made. */
struct building {
    struct elab *e;
    struct ir_graph *g;
    struct ir_builder b;
};
void building_begin(struct building *w, struct front *f, struct ir_module *m, const char *name);
/* The graph, one of the module's; NULL if it is not `good`. */
struct ir_graph *building_end(struct building *w, struct ir_module *m, bool good);
void add_output(struct building *w, const char *name, val v);

const struct tree_decl *train_decl(struct front *f, struct module **m);
/* Walks the train block; false after a report. The elaborator keeps it in e->train until elab_free.
 */
bool train_run(struct elab *e, enum train_mode mode, int64_t batch);
void train_free(struct train *t);
/* The train block's models, made with their configuration; nothing else of it. */
bool train_models(struct elab *e, struct train *t);
bool dataset_fields(struct elab *e, struct train *t, const struct tree_decl *d, struct module *m,
                    const char *alias);
/* A dataset that no train block uses: sizes may stay free. */
bool dataset_check(struct elab *e, const struct tree_decl *d, struct module *m);
bool dataset_free_name(struct elab *e, const struct tree_decl *d, struct module *m,
                       const char *name);
/* Gradients, clipping, optimizers of one loss: the parameters' new values. */
void update_loss(struct elab *e, struct train *t, struct loss *l);
bool unmatched(struct elab *e, struct train *t); /* optimizer[…] that fits no parameter: reports */
void update_slots(struct elab *e, struct ir_graph *g); /* update nodes for what changed */
const char *root_name(const struct train *t, uint32_t root);
/* The metrics of the eval graph `g`: accumulators in it (into NULL), or what is done with them at
 * the end, into a graph of its own. `m`: NULL for a loss, which may mix the samples of a batch. */
bool metrics_split(struct elab *e, struct ir_graph *g, struct ir_builder *into, const char *name,
                   const struct metric *m, val v);
/* The datasets whose fields the value is computed from, bit by number; of none: all. */
uint64_t metrics_sets(struct elab *e, val v);
/* ---- samples.c ---- Why the samples of a node of the graph do not stand by themselves, or NULL;
 * NULL too for a batch of one sample. */
const char *samples_mixed(const struct elab *e, ir_id id);
bool samples_folded(const struct elab *e, ir_id id); /* by this node, over the batch */
/* The same of all that node `id` is computed from (*where: the one); a reduction over the batch is
 * such a place, but for `id` itself where it `folds`. */
const char *samples_met(const struct elab *e, ir_id id, bool folds, ir_id *where);
/* Why an output is not one sample behind the other, each computed from its own alone. */
const char *samples_apart(const struct elab *e, ir_id id, ir_id *where);

/* What builtin_reduce does, beside the monoids. */
enum { REDUCE_mean = IRM_COUNT, REDUCE_var, REDUCE_logsumexp };
val reduce_indices(struct elab *e, int kind, val x, uint32_t n, struct index *const *ix,
                   struct loc at);

/* ---- builtins.c ---- */

#define BUILTIN_MAX_ARGS 8
struct builtin_call {
    struct elab *e;
    const struct builtin *row;
    struct loc at;
    val arg[BUILTIN_MAX_ARGS]; /* by the row's parameters; NULL: left out */
    struct loc arg_at[BUILTIN_MAX_ARGS];
    val *rest; /* what `*` takes */
    uint32_t nrest;
    const struct want *want;
};
typedef val builtin_fn(struct builtin_call *c);
struct builtin {
    const char *name, *params;
    builtin_fn *run;
    int sub; /* an operator, a monoid: what the row's function does */
};
#define BUILTIN(name, params, fn, sub) builtin_fn builtin_##fn;
#include "front/builtins.def"
#undef BUILTIN
const struct builtin *builtin_find(const char *name);
uint32_t builtin_names(const char **out, uint32_t cap);
val builtin_call(struct elab *e, const struct builtin *row, struct args *a, const struct want *w);
/* Argument checks: report and false. */
bool want_tensor(struct builtin_call *c, uint32_t i, val *out);
bool want_int(struct builtin_call *c, uint32_t i, int64_t *out);
bool want_dtype(struct builtin_call *c, uint32_t i, enum nn_dtype *out);
bool want_axis(struct elab *e, val v, uint32_t rank, struct loc at, const char *what,
               uint32_t *out);
bool want_axes(struct elab *e, val v, uint32_t rank, struct loc at, const char *what, bool *fold);
/* Sizes given one by one or as one list; `minus`: one may be -1, given back as NULL. At most
 * NN_MAX_RANK; the count, or -1 after a report. */
int want_dims(struct elab *e, val const *p, uint32_t n, struct loc at, const char *what, bool minus,
              const struct dim **out);

#endif
