/* The derivative of each operator of ops.def with respect to operand k. A rule multiplies the
 * gradient in; summing over axes that the operand does not have, and turning accesses round, is the
 * sweep's business.
 *
 * Kinks: abs has derivative 0 at 0. max and min between two values that both have gradients give a
 * tie to the first; against a value without gradient a tie gives 0, so that relu has derivative 0
 * at 0. The reductions max and min give to the first extreme. floor, ceil, round, sign,
 * comparisons: none. */
#include "pass/gradient.h"
#include <math.h>

#define TWO_OVER_SQRT_PI 1.12837916709551257390

static struct ref none(void) { return (struct ref){0}; }

static struct ref num(struct rule *r, double v) { return rule_num(r, r->n.dtype, v); }

static struct ref one(struct rule *r, enum ir_op op, struct ref x)
{
    return rule_emit(r, op, r->n.dtype, 1, &x);
}

static struct ref two(struct rule *r, enum ir_op op, struct ref x, struct ref y)
{
    return rule_emit(r, op, r->n.dtype, 2, (struct ref[]){x, y});
}

static struct ref mul(struct rule *r, struct ref x, struct ref y) { return two(r, IR_mul, x, y); }

static struct ref compare(struct rule *r, enum ir_op op, struct ref x, struct ref y)
{
    return rule_emit(r, op, NN_bool, 2, (struct ref[]){x, y});
}

static struct ref choose(struct rule *r, struct ref c, struct ref x, struct ref y)
{
    return rule_emit(r, IR_select, r->n.dtype, 3, (struct ref[]){c, x, y});
}

#define NO_GRADIENT(name)                                                                          \
    static struct ref grad_##name(struct rule *r, uint32_t k)                                      \
    {                                                                                              \
        (void)r;                                                                                   \
        (void)k;                                                                                   \
        return none();                                                                             \
    }
#define RULE(name) static struct ref grad_##name(struct rule *r, uint32_t k)
#define UNARY(name, value)                                                                         \
    RULE(name)                                                                                     \
    {                                                                                              \
        struct ref g = rule_grad(r), x = rule_in(r, k), y = rule_out(r);                           \
        (void)x;                                                                                   \
        (void)y;                                                                                   \
        return value;                                                                              \
    }

NO_GRADIENT(sign)
NO_GRADIENT(floor)
NO_GRADIENT(ceil)
NO_GRADIENT(round)
NO_GRADIENT(idiv)
NO_GRADIENT(eq)
NO_GRADIENT(ne)
NO_GRADIENT(lt)
NO_GRADIENT(le)
NO_GRADIENT(gt)
NO_GRADIENT(ge)
NO_GRADIENT(not )
NO_GRADIENT(and)
NO_GRADIENT(or)
NO_GRADIENT(const)
NO_GRADIENT(iota)
NO_GRADIENT(random)
NO_GRADIENT(input)
NO_GRADIENT(slot)
NO_GRADIENT(stop)
NO_GRADIENT(hole)
NO_GRADIENT(grad)
NO_GRADIENT(custom) /* the sweep puts in what the program says */

UNARY(abs, mul(r, g, one(r, IR_sign, x)))
UNARY(sqrt, two(r, IR_div, mul(r, g, num(r, 0.5)), y))
UNARY(rsqrt, mul(r, mul(r, g, num(r, -0.5)), mul(r, y, mul(r, y, y))))
UNARY(exp, mul(r, g, y))
UNARY(log, two(r, IR_div, g, x))
UNARY(sin, mul(r, g, one(r, IR_cos, x)))
UNARY(cos, mul(r, g, one(r, IR_neg, one(r, IR_sin, x))))
UNARY(tanh, mul(r, g, two(r, IR_sub, num(r, 1), mul(r, y, y))))
UNARY(sigmoid, mul(r, g, mul(r, y, two(r, IR_sub, num(r, 1), y))))
UNARY(erf,
      mul(r, mul(r, g, num(r, TWO_OVER_SQRT_PI)), one(r, IR_exp, one(r, IR_neg, mul(r, x, x)))))

RULE(round_tf32) /* as if it were not there, like a cast */
{
    (void)k;
    return rule_grad(r);
}

RULE(neg)
{
    (void)k;
    r->negate = true;
    return rule_grad(r);
}

RULE(add)
{
    (void)k;
    return rule_grad(r);
}

RULE(sub)
{
    r->negate = k == 1;
    return rule_grad(r);
}

RULE(mul)
{
    struct ref g = rule_grad(r), x = rule_in(r, 0), y = rule_in(r, 1);
    if (rule_same(&r->n.in[0], &r->n.in[1]))
        return k ? none() : mul(r, mul(r, g, num(r, 2)), x);
    return mul(r, g, k ? x : y);
}

RULE(div)
{
    if (k == 0)
        return two(r, IR_div, rule_grad(r), rule_in(r, 1));
    r->negate = r->divide = true; /* -(g*y)/b: b is read after summing */
    return mul(r, rule_grad(r), rule_out(r));
}

/* a - b*floor(a/b) */
RULE(mod)
{
    if (k == 0)
        return rule_grad(r);
    r->negate = true;
    return mul(r, rule_grad(r), one(r, IR_floor, two(r, IR_div, rule_in(r, 0), rule_in(r, 1))));
}

static struct ref pow_base(struct rule *r)
{
    struct ref g = rule_grad(r), a = rule_in(r, 0), b = rule_in(r, 1);
    double c;
    if (!rule_is_const(r, b, &c)) {
        struct ref less = two(r, IR_sub, b, num(r, 1));
        struct ref slope = mul(r, b, two(r, IR_pow, a, less));
        struct ref flat = compare(r, IR_eq, b, num(r, 0)); /* a**0 is 1 even at 0 */
        return mul(r, g, choose(r, flat, num(r, 0), slope));
    }
    if (c == 0)
        return none();
    g = mul(r, g, num(r, c));
    return c == 1   ? g
           : c == 2 ? mul(r, g, a)
           : c == 3 ? mul(r, g, mul(r, a, a))
                    : mul(r, g, two(r, IR_pow, a, num(r, c - 1)));
}

RULE(pow)
{
    if (k == 0)
        return pow_base(r);
    /* y*log(a); at a = 0 and b >= 0 the value does not move, and log must not be seen there */
    struct ref a = rule_in(r, 0), b = rule_in(r, 1), zero = num(r, 0);
    struct ref still =
        rule_emit(r, IR_and, NN_bool, 2,
                  (struct ref[]){compare(r, IR_eq, a, zero), compare(r, IR_ge, b, zero)});
    struct ref slope = one(r, IR_log, choose(r, still, num(r, 1), a));
    return mul(r, mul(r, rule_grad(r), rule_out(r)), slope);
}

/* max, min: `better` orders the two. */
static struct ref extreme(struct rule *r, uint32_t k, enum ir_op better, enum ir_op better_or_equal)
{
    struct ref g = rule_grad(r), zero = num(r, 0);
    if (!rule_wanted(r,
                     1 - k)) /* the value against the bound: the operand itself need not be kept */
        return choose(r, compare(r, better, rule_out(r), rule_in(r, 1 - k)), g, zero);
    struct ref first = compare(r, better_or_equal, rule_in(r, 0), rule_in(r, 1));
    return k == 0 ? choose(r, first, g, zero) : choose(r, first, zero, g);
}

RULE(max) { return extreme(r, k, IR_gt, IR_ge); }

RULE(min) { return extreme(r, k, IR_lt, IR_le); }

RULE(select)
{
    struct ref g = rule_grad(r), c = rule_in(r, 0), zero = num(r, 0);
    return k == 0 ? none() : k == 1 ? choose(r, c, g, zero) : choose(r, c, zero, g);
}

RULE(cast)
{
    struct ref g = rule_grad(r);
    enum nn_dtype t = (enum nn_dtype)ir_at(r->g, r->n.in[k].node)->dtype;
    return nn_is_float(t) ? rule_emit(r, IR_cast, t, 1, &g) : none();
}

RULE(copy)
{
    (void)k;
    return rule_grad(r);
}

/* ---- shapes ---- */

/* Flat index over the reduced axes, read over the rule's domain from a row of numbers. */
static struct ref flat_index(struct rule *r)
{
    struct ir_module *m = r->g->m;
    const struct ix *flat = ix_const(m->mem, 0);
    int64_t count = 1;
    for (uint32_t i = r->n.nd; i-- > (uint32_t)r->n.nd - r->n.nred; count *= r->n.dom[i].n)
        flat = ix_add(m->mem, flat, ix_mul(m->mem, ix_axis(m->mem, i), count));
    struct ir_axis row = {"k", count, NULL};
    struct ir_node iota = {.op = IR_iota, .dtype = NN_i32, .nd = 1, .dom = &row, .inlined = true};
    struct ir_term *at = ARENA_NEW(m->mem, struct ir_term);
    *at = (struct ir_term){flat, 1, count};
    return (struct ref){rule_append(r, iota).node, {.rank = 1, .at = at}};
}

/* To the first extreme: where the flat index is the argmax of the same reads. */
static struct ref reduce_extreme(struct rule *r, enum ir_monoid arg)
{
    struct ref at = rule_argument(r, arg), here = rule_within(r, flat_index(r));
    return choose(r, compare(r, IR_eq, here, at), rule_grad(r), num(r, 0));
}

static struct ref reduce_with(struct rule *r, enum ir_monoid m, struct ref x)
{
    struct ir_node n = r->n;
    struct ir_in in = {x.node, x.a};
    n.dtype = ir_at(r->g, x.node)->dtype;
    n.monoid = (uint8_t)m;
    n.inlined = false;
    n.nin = 1;
    n.in = &in;
    return rule_append(r, n);
}

/* The product of the others: of those that are not zero, if no other one is zero. */
static struct ref reduce_prod(struct rule *r)
{
    struct ref x = rule_in(r, 0);
    struct ref is_zero = compare(r, IR_eq, x, num(r, 0));
    struct ref rest = choose(r, is_zero, num(r, 1), x);
    struct ref mine = rule_emit(r, IR_cast, NN_i32, 1, &is_zero);
    struct ref zeros = reduce_with(r, IRM_sum, mine);
    struct ref product = reduce_with(r, IRM_prod, rest);
    struct ref others = two(r, IR_div, product, rest);
    return mul(r, rule_grad(r), choose(r, compare(r, IR_eq, zeros, mine), others, num(r, 0)));
}

RULE(reduce)
{
    (void)k;
    switch ((enum ir_monoid)r->n.monoid) {
    case IRM_sum: return rule_grad(r);
    case IRM_prod: return reduce_prod(r);
    case IRM_max: return reduce_extreme(r, IRM_argmax);
    case IRM_min: return reduce_extreme(r, IRM_argmin);
    case IRM_any:
    case IRM_all:
    case IRM_argmax:
    case IRM_argmin:
    case IRM_COUNT: break;
    }
    return none();
}

RULE(cumsum)
{
    (void)k;
    struct ref g = rule_grad(r);
    struct ir_in in = {g.node, g.a};
    struct ir_node n = r->n;
    n.reverse = !n.reverse;
    n.inlined = false;
    n.nin = 1;
    n.in = &in;
    return rule_append(r, n);
}

RULE(reshape)
{
    (void)k;
    return rule_reshaped(r);
}

RULE(scatter)
{
    (void)k;
    return rule_gathered(r);
}

grad_rule *const grad_rules[IR_OP_COUNT] = {
#define OP(name, arity, class) [IR_##name] = grad_##name,
#include "ir/ops.def"
#undef OP
};

bool rule_is_linear(const struct ir_node *n)
{
    switch ((enum ir_op)n->op) {
    case IR_neg:
    case IR_add:
    case IR_sub:
    case IR_mul:
    case IR_select:
    case IR_cast:
    case IR_copy: return true;
    case IR_reduce: return n->monoid != IRM_prod;
#define NOT(name) case IR_##name:
        NOT(abs)
        NOT(sign)
        NOT(floor)
        NOT(ceil)
        NOT(round)
        NOT(sqrt)
        NOT(rsqrt)
        NOT(exp)
        NOT(log)
        NOT(sin)
        NOT(cos)
        NOT(tanh)
        NOT(sigmoid)
        NOT(erf)
        NOT(round_tf32)
        NOT(div) NOT(idiv) NOT(mod) NOT(pow) NOT(min) NOT(max) NOT(eq) NOT(ne) NOT(lt) NOT(le)
            NOT(gt) NOT(ge) NOT(not ) NOT(and) NOT(or) NOT(const) NOT(iota) NOT(random) NOT(input)
                NOT(slot) NOT(cumsum) NOT(reshape) NOT(scatter) NOT(stop) NOT(custom) NOT(hole)
                    NOT(grad)
#undef NOT
                        case IR_OP_COUNT : return false;
    }
    return false;
}
