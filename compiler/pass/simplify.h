/* simplify's own: a graph is built anew, and every node passes the rules before it is appended,
 * against operands that have passed them already. A rule changes the node in hand or finds that an
 * existing node has its value; what it needs besides is placed before it. Parts: simplify.c (the
 * pass), algebra.c (element-wise rules), indices.c (integers that are functions of the axes,
 * conditions as guards), moves.c (copy, reshape, reduce). */
#ifndef NNC_PASS_SIMPLIFY_H
#define NNC_PASS_SIMPLIFY_H

#include "pass/pass.h"

struct simplify {
    struct pass_rewrite r;
    struct ir_graph *g;
    struct arena *mem;
    VEC(const struct ix *)
    index;                      /* of each new node: its value as an index over its value's axes */
    VEC(struct ix_range) range; /* of each new integer or bool node: bounds of its values */
    bool changed;
};

/* True if it fired: *n is changed, or *is is set to the node that has n's value. */
typedef bool simplify_rule(struct simplify *s, struct ir_node *n, ir_id *is);

/* ---- simplify.c ---- */
ir_id simplify_place(struct simplify *s, struct ir_node n); /* through the rules, then appended */
/* A node with n's origin and place, of another operator and operands over n's domain. */
struct ir_node simplify_like(const struct ir_node *n, enum ir_op op, enum nn_dtype t, uint32_t nin,
                             const struct ir_in *in);
/* A rank-0 constant, rounded to its type; integers and bool too. */
ir_id simplify_const(struct simplify *s, const struct ir_node *like, enum nn_dtype t, double v);
/* The operand is one constant at every point of the domain. */
bool simplify_uniform(const struct simplify *s, const struct ir_node *n, uint32_t k, double *v);
/* Makes n a copy of its operand k: false where indices in the way forbid it. */
bool simplify_to_operand(struct simplify *s, struct ir_node *n, uint32_t k);
/* n becomes the constant v over its domain. */
void simplify_to_const(struct ir_node *n, double v);
bool access_uses_axis(const struct ir_access *a, uint32_t axis);
bool access_uses_operand(const struct ir_access *a);
/* Axes and operands substituted as ix_subst does; `dim`: the new domain's. */
struct ir_access access_subst(struct simplify *s, const struct ir_access *a,
                              const struct ix *const *to, const struct ix *const *operand,
                              const int64_t *dim);

/* ---- the rules ---- */
simplify_rule algebra_constants, algebra_unary, algebra_binary, algebra_select, algebra_cast;
simplify_rule moves_access, moves_copy, moves_reshape, moves_reduce, moves_guarded_product;
simplify_rule indices_gather, indices_value, indices_select;

/* ---- indices.c ---- */
/* The value of node n (about to be appended) as an index over its value's axes, or NULL. */
const struct ix *indices_of(struct simplify *s, const struct ir_node *n);

/* Bounds of the values of n (about to be appended), an integer or bool; else nothing known. */
struct ix_range indices_range(const struct simplify *s, const struct ir_node *n);

#endif
