/* pass: graph to graph. A pass is one file, one row of passes.def. It may rewrite the graph's node
 * array as a whole; ids change, outputs and updates follow. Verified after each (pass_run). */
#ifndef NNC_PASS_H
#define NNC_PASS_H

#include "ir/ir.h"

#define PASS(name, help) void pass_##name(struct ir_graph *g);
#include "pass/passes.def"
#undef PASS

typedef void pass_fn(struct ir_graph *g);
struct pass {
    const char *name, *help;
    pass_fn *run;
};
extern const struct pass pass_table[];
extern const size_t pass_count;
const struct pass *pass_find(const char *name);
/* Runs the pass, on the graph's part too, and verifies; a broken graph aborts with the pass's name
 * and a dump. */
void pass_run(const struct pass *p, struct ir_graph *g);
/* All passes of a compile, in order: from the front's graph to what fuse/ reads. */
void pass_pipeline(struct ir_graph *g);

/* ---- rewrite.c: building the graph anew, node by node. ----
 * `map[old]` is the new id; ir_rewrite_node copies one node with its operands mapped. */
struct pass_rewrite {
    struct ir_graph *g;  /* the graph: its nodes are the new ones while the rewrite lasts */
    struct ir_graph old; /* the nodes as they were */
    ir_id *map;
};
void pass_rewrite_begin(struct pass_rewrite *r, struct ir_graph *g);
struct ir_node pass_rewrite_map(const struct pass_rewrite *r,
                                ir_id old);                 /* a copy, operands mapped */
ir_id pass_rewrite_copy(struct pass_rewrite *r, ir_id old); /* appends, sets and returns map[old] */
void pass_rewrite_end(struct pass_rewrite *r);              /* outputs and updates are mapped */
struct ir_in pass_identity(const struct ir_graph *g, ir_id x); /* x, element by element */
/* An element-wise node over the axes of like's value, in its place. */
ir_id pass_element(struct ir_graph *g, ir_id like, enum ir_op op, enum nn_dtype t,
                   const struct ir_in *in);

/* ---- late.c ---- */
/* A factor of a sum of products that is divided by a softmax's total: which, without the division,
 * and the total as the sum's points see it. `masked`: some of what is summed may be left out. */
struct pass_late {
    uint32_t factor;
    bool masked;
    ir_id value, total;
    struct ir_access at;
};
/* Of the old graph's sum `id`; the factor without the division is appended. */
bool pass_find_late(struct pass_rewrite *r, ir_id id, struct pass_late *late);
ir_id pass_divide_late(struct ir_graph *g, ir_id sum, const struct pass_late *late);

/* ---- recompute.c ---- */
bool pass_is_backward(const struct ir_module *m, const struct ir_node *n); /* by its role */
/* Nodes of the backward pass read clones of what is not kept, each put before its first user. */
void pass_recompute_all(struct ir_graph *g, const bool *kept);
/* What is never cloned: leaves, outputs, updates. */
void pass_keep_leaves(const struct ir_graph *g, bool *kept);

/* ---- extent.c ---- How much of the forward pass is computed again in the backward pass. */
struct pass_extents;
/* Of a graph that all passes have been over, its forward pass in so many segments; it must stay as
 * it is while extents are tried on copies. */
struct pass_extents *pass_extents_new(const struct ir_graph *g, uint32_t segments);
void pass_extents_free(struct pass_extents *x); /* NULL is fine */
/* Extents 1 … so many, each of more work and less memory (mostly) than the one before. */
uint32_t pass_extents_count(const struct pass_extents *x);
double
pass_work(const struct ir_graph *g); /* points of all domains: how much there is to compute */
/* Carries one out on a copy of the graph. How much more work it does, as a share of all; `choice`
 * is a hash of what it keeps: where equal, so are the graphs. */
double pass_extent(const struct pass_extents *x, struct ir_graph *copy, uint32_t extent,
                   uint64_t *choice);

/* ---- microbatch.c ---- */
struct pass_refusal {
    uint32_t origin; /* of the node; not one of the backward pass where the cause is not */
    const char *why; /* what it does that stands against it: "sets samples against each other" */
    uint32_t random; /* 0, or where the graph did go: the origin of a random tensor that each part
                      * computes for the whole batch, and what hangs on it, since that stood
                      * against parts of it */
};
/* Pass microbatch on a graph that wants parts. False: refused, the graph is as it was. */
bool pass_split(struct ir_graph *g, struct pass_refusal *why);

/* ---- transpose.c: an access turned round. ----
 * An access reads x[a(p)] for the points p of a domain. Turned round it says which points p read
 * x[u]: `at` has one term for each axis of that domain, over a new one: the axes of x's value
 * first, then what is left to sum over. Where a term or guard fails, no point reads there. */
enum pass_transpose {
    PASS_GATHER,  /* `at` says it all; @k in it: the same operands, read along `at` */
    PASS_MATCH,   /* and `match` == 0 (has @k); nothing is left to sum over */
    PASS_SCATTER, /* cannot be said by reading: several points of a gather may meet anywhere */
};
struct pass_transposed {
    enum pass_transpose how;
    uint32_t nd, rank; /* rank: axes of x's value */
    struct ir_axis dom[2 * IR_MAX_AXES];
    struct ir_access at;
    const struct ix *match;
};
/* `user` reads its operand k, of these value axes. */
void pass_transpose(struct ir_module *m, const struct ir_node *user, uint32_t k, uint32_t rank,
                    const struct ir_axis *val, struct pass_transposed *t);

/* ---- fold_moves.c ---- */
/* One step past the move that an operand, read over a domain of sizes dim, reads; false if it
 * stays. */
bool pass_see_through(const struct ir_graph *g, const int64_t *dim, struct ir_in *in);
/* A reshape as an access: axes `ax` read over the domain `dom`, in flat order. */
struct ir_access pass_reshape_access(struct ir_module *m, uint32_t nd, const struct ir_axis *dom,
                                     uint32_t rank, const struct ir_axis *ax);

#endif
