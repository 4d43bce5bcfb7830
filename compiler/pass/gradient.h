/* gradient: what the sweep (gradient.c) and the rules (gradient_rules.c) share. */
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
struct ref rule_grad(struct rule *r);           /* the node's gradient, over the domain */
struct ref rule_in(struct rule *r, uint32_t k); /* operand k */
struct ref rule_out(struct rule *r);            /* the node's own value */
struct ref rule_num(struct rule *r, enum nn_dtype t, double v);
/* An element-wise node over the domain; constants are folded, factors 1 and terms 0 dropped. */
struct ref rule_emit(struct rule *r, enum ir_op op, enum nn_dtype t, uint32_t n,
                     const struct ref *x);
/* A node of its own domain, which its value's axes are read over. */
struct ref rule_append(struct rule *r, struct ir_node n);
/* Brings what is read over the node's axes to the domain. */
struct ref rule_through(struct rule *r, struct ref x);
bool rule_is_const(const struct rule *r, struct ref x, double *v);
bool rule_same(const struct rule *r, struct ref x, struct ref y);
bool rule_wanted(const struct rule *r, uint32_t k); /* operand k has a gradient */
struct ref rule_argument(struct rule *r,
                         enum ir_monoid m); /* argmax, argmin of a reduce's operand */
struct ref rule_reshaped(struct rule *r);   /* over the operand's axes */
struct ref
rule_gathered(struct rule *r); /* the gradient gathered where a scatter had put its value */

/* ---- gradient_rules.c: one function an operator of ops.def ----
 * d loss / d operand k over the rule's domain, before summing. */
typedef struct ref grad_rule(struct rule *r, uint32_t k);
extern grad_rule *const grad_rules[IR_OP_COUNT];
/* Where the gradient is 0 and operands read as 0, the rule gives 0: it may compute on the operand's
 * side, whose domain has points that are none of the node's. */
bool rule_is_linear(const struct ir_node *n);

#endif
