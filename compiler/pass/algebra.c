/* simplify's element-wise rules: identities, constants folded. What each may change of a result
 * beyond nothing stands over simplify.c. */
#include "pass/simplify.h"
#include <math.h>

/* Operand k is a node that may be looked through: read everywhere, without gathers. */
static const struct ir_node *plain(struct simplify *s, const struct ir_node *n, uint32_t k,
                                   enum ir_op op)
{
    const struct ir_node *x = ir_at(s->g, n->in[k].node);
    int64_t dim[IR_MAX_AXES];
    if (x->op != op || x->nin != ir_op_arity(op))
        return NULL;
    ir_dims(n, dim);
    for (uint32_t i = 0; i < x->nin; i++)
        if (access_uses_operand(&x->in[i].a))
            return NULL;
    return ir_access_total(&n->in[k].a, dim) ? x : NULL;
}

/* Operand k of n, seen through to x's operand i; x is what plain() gave. */
static struct ir_in through(struct simplify *s, const struct ir_node *n, uint32_t k,
                            const struct ir_node *x, uint32_t i)
{
    int64_t dim[IR_MAX_AXES];
    const struct ix *to[IR_MAX_AXES];
    ir_dims(n, dim);
    for (uint32_t axis = 0; axis < n->in[k].a.rank; axis++)
        to[axis] = n->in[k].a.at[axis].e;
    return (struct ir_in){x->in[i].node, access_subst(s, &x->in[i].a, to, NULL, dim)};
}

/* n becomes op over the given operands, which name no others. */
static bool become(struct simplify *s, struct ir_node *n, enum ir_op op, uint32_t nin,
                   const struct ir_in *in)
{
    *n = simplify_like(n, op, n->dtype, nin, arena_dup(s->mem, in, nin * sizeof *in));
    return true;
}

static struct ir_in scalar(ir_id id) { return (struct ir_in){.node = id}; }

static bool gathers(const struct ir_node *n) { return n->nin > ir_op_arity(n->op); }

/* ---- constants ---- */

bool algebra_constants(struct simplify *s, struct ir_node *n, ir_id *is)
{
    double x[3];
    (void)is;
    if (!ir_op_elementwise(n->op) && n->op != IR_stop)
        return false;
    for (uint32_t k = 0; k < (uint32_t)ir_op_arity(n->op); k++)
        if (!simplify_uniform(s, n, k, &x[k]))
            return false;
    enum ir_op op = n->op == IR_stop ? IR_copy : (enum ir_op)n->op;
    double v = ir_scalar(op, ir_at(s->g, n->in[0].node)->dtype, n->dtype, x);
    if (!nn_is_float(n->dtype) && fabs(v) > 0x1p53)
        return false;
    simplify_to_const(n, v);
    return true;
}

/* ---- one operand ---- */

static bool involution(struct simplify *s, struct ir_node *n, enum ir_op op)
{
    const struct ir_node *x = plain(s, n, 0, op);
    if (!x)
        return false;
    struct ir_in in = through(s, n, 0, x, 0);
    return become(s, n, IR_copy, 1, &in);
}

static bool unary_neg(struct simplify *s, struct ir_node *n)
{
    const struct ir_node *x = plain(s, n, 0, IR_sub);
    if (x) {
        struct ir_in in[] = {through(s, n, 0, x, 1), through(s, n, 0, x, 0)};
        return become(s, n, IR_sub, 2, in);
    }
    return involution(s, n, IR_neg);
}

/* op(inner(x)) is op(x): abs of abs or neg, floor of floor, sign of sign. */
static bool absorbs(struct simplify *s, struct ir_node *n, enum ir_op inner)
{
    const struct ir_node *x = plain(s, n, 0, inner);
    if (!x)
        return false;
    struct ir_in in = through(s, n, 0, x, 0);
    return become(s, n, n->op, 1, &in);
}

bool algebra_unary(struct simplify *s, struct ir_node *n, ir_id *is)
{
    (void)is;
    if (gathers(n))
        return false;
    switch ((int)n->op) {
    case IR_neg: return unary_neg(s, n);
    case IR_not: return involution(s, n, IR_not);
    case IR_abs: return absorbs(s, n, IR_abs) || absorbs(s, n, IR_neg);
    case IR_floor:
    case IR_ceil:
    case IR_round:
    case IR_sign: return absorbs(s, n, n->op);
    case IR_stop: return absorbs(s, n, IR_stop);
    }
    return false;
}

/* ---- two operands ---- */

static bool add_rules(struct simplify *s, struct ir_node *n)
{
    for (uint32_t k = 0; k < 2 && !gathers(n); k++) {
        const struct ir_node *x = plain(s, n, k, IR_neg);
        if (x) { /* a + -b is a - b */
            struct ir_in in[] = {n->in[1 - k], through(s, n, k, x, 0)};
            return become(s, n, IR_sub, 2, in);
        }
    }
    return false;
}

static bool sub_rules(struct simplify *s, struct ir_node *n)
{
    double v;
    if (gathers(n))
        return false;
    const struct ir_node *x = plain(s, n, 1, IR_neg);
    if (x) { /* a - -b is a + b */
        struct ir_in in[] = {n->in[0], through(s, n, 1, x, 0)};
        return become(s, n, IR_add, 2, in);
    }
    if (simplify_uniform(s, n, 0, &v) && v == 0)
        return become(s, n, IR_neg, 1, &n->in[1]);
    return false;
}

static bool mul_rules(struct simplify *s, struct ir_node *n)
{
    double v;
    for (uint32_t k = 0; k < 2; k++)
        if (simplify_uniform(s, n, k, &v)) {
            if (v == 0 && !nn_is_float(n->dtype)) {
                simplify_to_const(n, 0);
                return true;
            }
            if (v == -1 && !gathers(n))
                return become(s, n, IR_neg, 1, &n->in[1 - k]);
        }
    if (gathers(n))
        return false;
    const struct ir_node *x = plain(s, n, 0, IR_neg), *y = plain(s, n, 1, IR_neg);
    if (!x || !y)
        return false;
    struct ir_in in[] = {through(s, n, 0, x, 0), through(s, n, 1, y, 0)};
    return become(s, n, IR_mul, 2, in);
}

/* Division by a power of two is multiplication by another, to the bit; 1 / sqrt(x) is rsqrt(x). */
static bool div_rules(struct simplify *s, struct ir_node *n)
{
    double v;
    int e;
    if (gathers(n))
        return false;
    if (simplify_uniform(s, n, 1, &v) && v != 0 && isfinite(v) && fabs(frexp(v, &e)) == 0.5 &&
        abs(e) < 14) {
        struct ir_in in[] = {n->in[0], scalar(simplify_const(s, n, n->dtype, 1 / v))};
        return become(s, n, IR_mul, 2, in);
    }
    if (simplify_uniform(s, n, 0, &v) && v == 1) {
        const struct ir_node *x = plain(s, n, 1, IR_sqrt);
        if (x) {
            struct ir_in in = through(s, n, 1, x, 0);
            return become(s, n, IR_rsqrt, 1, &in);
        }
    }
    return false;
}

static bool pow_rules(struct simplify *s, struct ir_node *n)
{
    double v;
    if (gathers(n) || !simplify_uniform(s, n, 1, &v))
        return false;
    struct ir_in x = n->in[0];
    struct ir_in twice[] = {x, x};
    if (v == 0) {
        simplify_to_const(n, 1);
        return true;
    }
    if (v == 2)
        return become(s, n, IR_mul, 2, twice);
    if (v == 3) {
        ir_id square = simplify_place(
            s, simplify_like(n, IR_mul, n->dtype, 2, arena_dup(s->mem, twice, sizeof twice)));
        twice[0] = (struct ir_in){square, ir_identity(s->g->m, n->nd, n->dom)};
        return become(s, n, IR_mul, 2, twice);
    }
    if (v == 0.5)
        return become(s, n, IR_sqrt, 1, &x);
    if (v == -0.5)
        return become(s, n, IR_rsqrt, 1, &x);
    if (v == -1) {
        struct ir_in in[] = {scalar(simplify_const(s, n, n->dtype, 1)), x};
        return become(s, n, IR_div, 2, in);
    }
    return false;
}

/* The value v on side k (0: only left, 1: only right, 2: either) leaves the other operand as it is.
 */
static bool neutral(enum ir_op op, double *v, uint32_t *side)
{
    *side = 2;
    switch ((int)op) {
    case IR_add:
    case IR_or: *v = 0; return true;
    case IR_mul:
    case IR_and: *v = 1; return true;
    case IR_sub:
        *side = 1;
        *v = 0;
        return true;
    case IR_div:
    case IR_pow:
        *side = 1;
        *v = 1;
        return true;
    case IR_min: *v = INFINITY; return true;
    case IR_max: *v = -INFINITY; return true;
    }
    return false;
}

static bool same_operand(const struct ir_node *n)
{
    const struct ir_in *x = &n->in[0], *y = &n->in[1];
    if (x->node != y->node || x->a.rank != y->a.rank || x->a.nguard || y->a.nguard ||
        x->a.fill != y->a.fill)
        return false;
    for (uint32_t i = 0; i < x->a.rank; i++)
        if (!ir_term_equal(&x->a.at[i], &y->a.at[i]))
            return false;
    return true;
}

static bool predicate_rules(struct simplify *s, struct ir_node *n)
{
    double v;
    for (uint32_t k = 0; k < 2; k++)
        if (simplify_uniform(s, n, k, &v) && v == (n->op == IR_or)) {
            simplify_to_const(n, n->op == IR_or);
            return true;
        }
    return false;
}

bool algebra_binary(struct simplify *s, struct ir_node *n, ir_id *is)
{
    double v, w;
    uint32_t side;
    (void)is;
    if (ir_op_arity(n->op) != 2 || !ir_op_elementwise(n->op))
        return false;
    if (neutral(n->op, &v, &side))
        for (uint32_t k = 0; k < 2; k++)
            if ((side == 2 || side == k) && simplify_uniform(s, n, k, &w) && w == v &&
                simplify_to_operand(s, n, 1 - k))
                return true;
    bool idempotent = n->op == IR_min || n->op == IR_max || n->op == IR_and || n->op == IR_or;
    if (idempotent && same_operand(n) && simplify_to_operand(s, n, 0))
        return true;
    switch ((int)n->op) {
    case IR_add: return add_rules(s, n);
    case IR_sub: return sub_rules(s, n);
    case IR_mul: return mul_rules(s, n);
    case IR_div: return div_rules(s, n);
    case IR_pow: return pow_rules(s, n);
    case IR_and:
    case IR_or: return predicate_rules(s, n);
    }
    return false;
}

/* ---- select, cast ---- */

bool algebra_select(struct simplify *s, struct ir_node *n, ir_id *is)
{
    double v, x, y;
    (void)is;
    if (n->op != IR_select)
        return false;
    if (simplify_uniform(s, n, 0, &v))
        return simplify_to_operand(s, n, v != 0 ? 1 : 2);
    if (simplify_uniform(s, n, 1, &x) && simplify_uniform(s, n, 2, &y) && x == y &&
        signbit(x) == signbit(y))
        return simplify_to_operand(s, n, 1);
    if (gathers(n))
        return false;
    const struct ir_node *c = plain(s, n, 0, IR_not);
    if (!c)
        return false;
    struct ir_in in[] = {through(s, n, 0, c, 0), n->in[2], n->in[1]};
    return become(s, n, IR_select, 3, in);
}

/* Every value of `from` is one of `to`. */
static bool holds_all(enum nn_dtype to, enum nn_dtype from)
{
    static const uint8_t mantissa[] = {[NN_f64] = 53, [NN_f32] = 24, [NN_f16] = 11, [NN_bf16] = 8};
    if (to == from || from == NN_bool)
        return true;
    if (to == NN_bool)
        return false;
    if (nn_is_float(from))
        return to == NN_f64 || (to == NN_f32 && from != NN_f64);
    int bits = (int)nn_dtype_size(from) * 8 - (from != NN_u8);
    if (nn_is_float(to))
        return mantissa[to] >= bits;
    return (int)nn_dtype_size(to) * 8 - (to != NN_u8) >= bits && (to != NN_u8 || from == NN_u8);
}

bool algebra_cast(struct simplify *s, struct ir_node *n, ir_id *is)
{
    (void)is;
    if (n->op != IR_cast)
        return false;
    if (ir_at(s->g, n->in[0].node)->dtype == n->dtype)
        return simplify_to_operand(s, n, 0);
    const struct ir_node *x = gathers(n) ? NULL : plain(s, n, 0, IR_cast);
    if (!x)
        return false;
    enum nn_dtype from = ir_at(s->g, x->in[0].node)->dtype, over = x->dtype, to = n->dtype;
    /* An integer that goes through a float saturates where a direct cast wraps. */
    bool same_rule =
        nn_is_float(from) == nn_is_float(over) || nn_is_float(to) || holds_all(to, from);
    if (!holds_all(over, from) || !same_rule)
        return false;
    struct ir_in in = through(s, n, 0, x, 0);
    return become(s, n, IR_cast, 1, &in);
}
