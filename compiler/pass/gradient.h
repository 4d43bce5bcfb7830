/* gradient: what its files share. gradient.c sweeps, gradient_rule.c is what a rule has at hand,
 * gradient_rules.c holds the rules, gradient_forms.c what is better differentiated as a whole. */
#ifndef NNC_PASS_GRADIENT_H
#define NNC_PASS_GRADIENT_H

#include "pass/pass.h"

/* A value read over some domain: not yet a node of that shape, so that broadcasts, slices and
 * permutations of gradients cost nothing until they are needed. Its access has no @k, and fill 0
 * where it is a gradient. node 0: no gradient. */
struct ref {
    ir_id node;
    struct ir_access a;
};

struct contribution {
    struct ref r;
    uint32_t next;
};
/* new ids of old nodes within one instance of a template */
struct env {
    const struct env *up;
    struct binding {
        ir_id from, to;
        const struct binding *next;
    } * first;
};
struct mark { /* what the copy `id` stands for */
    ir_id id;
    bool stop;
    ir_id custom; /* old id */
    struct env *env;
};
struct pick { /* node: `value` where coordinate `axis` is one index that is in range, else 0 */
    ir_id node;
    uint32_t axis;
    struct ref value;
};
struct sum { /* node: the parts, over its own axes, added */
    ir_id node;
    uint32_t n;
    const struct ref *part;
};
struct hoist { /* node, the argmax of a reduction, belongs right behind it; 0: stays */
    ir_id node, behind, of;
};

struct gradient {
    struct ir_graph *g;
    struct ir_module *m;
    const struct ir_node *old;
    uint32_t nold;
    ir_id *map;         /* old to new */
    bool *from_hole;    /* old: part of a template */
    ir_id *result;      /* old grad to new */
    ir_id loss;         /* new, of one sweep; */
    bool *wanted;       /* leads to the loss from a wanted node; */
    uint32_t *adjoint;  /* first contribution, 0 none */
    uint32_t *backward; /* origin to origin */
    uint32_t norigin;
    VEC(struct contribution) pool;
    VEC(struct mark) marks;
    VEC(struct pick) picks;
    VEC(struct sum) sums;
    VEC(struct hoist) hoists;
};

/* One operand of one node, being differentiated. */
struct rule {
    struct gradient *s;
    struct ir_graph *g;
    ir_id id;                   /* the node, */
    struct ir_node n;           /* a copy of it */
    struct ref grad;            /* of its value, over its axes */
    uint32_t nd;                /* the domain on which the rule computes: the node's own, or */
    const struct ir_axis *dom;  /* the operand's axes and what is left to sum */
    const struct ir_access *at; /* the node's axes over that domain; NULL: it is the node's own */
    bool inlined;               /* of the nodes that the rule makes */
    bool negate, divide;        /* left to do after summing: neg, and div by the operand itself */
};

/* ---- gradient.c ---- */
void gradient_contribute(struct gradient *s, ir_id to, struct ref x);
struct rule gradient_rule(struct gradient *s, ir_id id);

/* ---- gradient_rule.c ---- */
uint32_t gradient_origin(struct gradient *s, uint32_t origin); /* of a derivative */
void rule_dims(uint32_t nd, const struct ir_axis *dom, int64_t *dim);
bool rule_uses_operand(const struct ir_access *a);
bool rule_uses_axis(const struct ir_access *a, uint32_t axis);
struct ref rule_whole(const struct gradient *s, ir_id id); /* a node over its own axes */
struct ref rule_grad(struct rule *r);           /* the node's gradient, over the domain */
struct ref rule_in(struct rule *r, uint32_t k); /* operand k */
struct ref rule_out(struct rule *r);            /* the node's own value */
struct ref rule_num(struct rule *r, enum nn_dtype t, double v);
/* An element-wise node over those of the domain's axes that its operands use; constants are folded,
 * factors 1 and terms 0 dropped. */
struct ref rule_emit(struct rule *r, enum ir_op op, enum nn_dtype t, uint32_t n,
                     const struct ref *x);
/* A node of its own domain, which its value's axes are read over. */
struct ref rule_append(struct rule *r, struct ir_node n);
/* Brings what is read over the node's axes to the domain. */
struct ref rule_through(struct rule *r, struct ref x);
/* The same, but where the domain's point is none of the node's the value may be any: for linear
 * rules, whose gradient is 0 there. */
struct ref rule_within(struct rule *r, struct ref x);
/* x, read over the node's own axes, through `at` over another domain. */
struct ref rule_compose(struct rule *r, const struct ir_access *at, struct ref x, uint32_t nd,
                        const struct ir_axis *dom);
ir_id rule_materialise(struct rule *r, struct ref x); /* a node of the domain's shape */
bool rule_is_const(const struct rule *r, struct ref x, double *v);
bool rule_same(const struct ir_in *x, const struct ir_in *y);
bool rule_wanted(const struct rule *r, uint32_t k); /* operand k has a gradient */
struct ref rule_argument(struct rule *r,
                         enum ir_monoid m); /* argmax, argmin of a reduce's operand */
struct ref rule_reshaped(struct rule *r);   /* over the operand's axes */
struct ref rule_gathered(struct rule *r);   /* where a scatter had put its value */
/* d, read over the node's own domain, over the transposed one (a scatter: over the operand). */
struct ref rule_turn(struct rule *r, uint32_t k, struct pass_transposed *t, struct ref d);

/* ---- gradient_forms.c ---- */
/* Sums x over the domain's axes from `rank` on; the domain is then the axes before. node 0: it is
 * 0. */
struct ref rule_sum(struct rule *r, struct ref x, uint32_t rank);
/* Differentiates a softmax as a whole; false if the node is none. */
bool rule_softmax(struct rule *r);

/* ---- gradient_rules.c: one function an operator of ops.def ----
 * d loss / d operand k over the rule's domain, before summing. */
typedef struct ref grad_rule(struct rule *r, uint32_t k);
extern grad_rule *const grad_rules[IR_OP_COUNT];
/* Where the gradient is 0 and operands read as 0, the rule gives 0: it may compute on the operand's
 * side, whose domain has points that are none of the node's. */
bool rule_is_linear(const struct ir_node *n);

#endif
