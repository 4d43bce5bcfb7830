/* simplify: requires nothing; runs before and after gradient. Algebraic identities, constants
 * folded, moves composed with moves, conditions on indices turned into guards, trivial reductions
 * removed; dead nodes are left to dce. Repeated until nothing changes.
 *
 * What results may differ in: the sign of a zero (x + 0, 0 - x, sums of one term); the last bit
 * where a power becomes products or a root, where a sum of n equal terms becomes a product by n,
 * and where a function of constants is folded (it is rounded correctly here); pow(-inf, 0.5), which
 * is inf and becomes NaN; a product under a sum and a condition, which is 0 where the condition
 * fails, and becomes 0 * (the other factor): NaN if that is not finite. No other NaN or infinity
 * appears or is lost; x * 0, x - x, x / x stay for floats. */
#include "pass/simplify.h"
#include <math.h>

#define MAX_STEPS 64 /* rules fired on one node */
#define MAX_SWEEPS 8

static simplify_rule *const rules[] = {
    moves_access,   indices_gather, algebra_constants,     indices_value,  algebra_unary,
    algebra_binary, algebra_cast,   algebra_select,        indices_select, moves_copy,
    moves_reshape,  moves_reduce,   moves_guarded_product,
};

static bool any_rule(struct simplify *s, struct ir_node *n, ir_id *is)
{
    for (size_t i = 0; i < COUNT(rules); i++)
        if (rules[i](s, n, is))
            return true;
    return false;
}

ir_id simplify_place(struct simplify *s, struct ir_node n)
{
    ir_id is = 0;
    for (int step = 0; step < MAX_STEPS && any_rule(s, &n, &is); step++) {
        s->changed = true;
        if (is)
            return is;
    }
    const struct ix *index = indices_of(s, &n);
    vec_push(&s->index, index);
    struct ix_range range = indices_range(s, &n);
    vec_push(&s->range, range);
    return ir_append_shared(s->g, &n);
}

static bool sweep(struct ir_graph *g)
{
    struct simplify s = {.g = g, .mem = g->m->mem};
    pass_rewrite_begin(&s.r, g);
    vec_push(&s.index, NULL);
    vec_push(&s.range, (struct ix_range){0});
    for (ir_id id = 1; id < s.r.old.nodes.n; id++)
        s.r.map[id] = simplify_place(&s, pass_rewrite_map(&s.r, id));
    pass_rewrite_end(&s.r);
    vec_free(&s.index);
    vec_free(&s.range);
    return s.changed;
}

void pass_simplify(struct ir_graph *g)
{
    for (int i = 0; i < MAX_SWEEPS && sweep(g); i++)
        ;
}

/* ---- what the rules share ---- */

struct ir_node simplify_like(const struct ir_node *n, enum ir_op op, enum nn_dtype t, uint32_t nin,
                             const struct ir_in *in)
{
    return (struct ir_node){.op = (uint8_t)op,
                            .dtype = (uint8_t)t,
                            .inlined = n->inlined,
                            .nd = n->nd,
                            .nin = (uint16_t)nin,
                            .checkpoint = n->checkpoint,
                            .again = n->again,
                            .origin = n->origin,
                            .dom = n->dom,
                            .in = in};
}

void simplify_to_const(struct ir_node *n, double v)
{
    uint16_t rank = (uint16_t)ir_rank(n);
    const struct ir_axis *ax = ir_axes(n);
    *n = simplify_like(n, IR_const, n->dtype, 0, NULL);
    n->nd = rank;
    n->dom = ax;
    if (nn_is_float(n->dtype))
        n->attr.f = ir_round(n->dtype, v);
    else
        n->attr.i = (int64_t)v;
}

ir_id simplify_const(struct simplify *s, const struct ir_node *like, enum nn_dtype t, double v)
{
    struct ir_node n = simplify_like(like, IR_const, t, 0, NULL);
    n.nd = 0;
    n.inlined = false;
    simplify_to_const(&n, v);
    return simplify_place(s, n);
}

bool simplify_uniform(const struct simplify *s, const struct ir_node *n, uint32_t k, double *v)
{
    const struct ir_node *x = ir_at(s->g, n->in[k].node);
    int64_t dim[IR_MAX_AXES];
    if (x->op != IR_const || (!nn_is_float(x->dtype) && llabs((long long)x->attr.i) > 1LL << 53))
        return false;
    *v = nn_is_float(x->dtype) ? ir_round(x->dtype, x->attr.f) : (double)x->attr.i;
    ir_dims(n, dim);
    if (ir_access_total(&n->in[k].a, dim))
        return true;
    double fill = ir_convert(NN_f64, x->dtype, n->in[k].a.fill);
    return !n->in[k].a.strict && fill == *v && signbit(fill) == signbit(*v);
}

bool access_uses_axis(const struct ir_access *a, uint32_t axis)
{
    for (uint32_t i = 0; i < a->rank; i++)
        if (ix_uses_axis(a->at[i].e, axis))
            return true;
    for (uint32_t i = 0; i < a->nguard; i++)
        if (ix_uses_axis(a->guard[i].e, axis))
            return true;
    return false;
}

bool access_uses_operand(const struct ir_access *a)
{
    for (uint32_t i = 0; i < a->rank; i++)
        if (ix_uses_operand(a->at[i].e))
            return true;
    for (uint32_t i = 0; i < a->nguard; i++)
        if (ix_uses_operand(a->guard[i].e))
            return true;
    return false;
}

struct ir_access access_subst(struct simplify *s, const struct ir_access *a,
                              const struct ix *const *to, const struct ix *const *operand,
                              const int64_t *dim)
{
    struct ir_access r = *a;
    struct ir_term *at = arena_dup(s->mem, a->at, a->rank * sizeof *at);
    struct ir_term *guard = arena_dup(s->mem, a->guard, a->nguard * sizeof *guard);
    for (uint32_t i = 0; i < a->rank; i++)
        at[i] = ir_term_make(s->mem, ix_subst(s->mem, at[i].e, to, operand, dim), at[i].q, at[i].n);
    for (uint32_t i = 0; i < a->nguard; i++)
        guard[i] = ir_term_make(s->mem, ix_subst(s->mem, guard[i].e, to, operand, dim), guard[i].q,
                                guard[i].n);
    r.at = at;
    r.guard = guard;
    return r;
}

static uint32_t least_operand(const struct ix *x)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < x->n; i++) {
        const struct ix_atom *t = &x->part[i].a;
        uint32_t k = t->kind == IX_OPERAND ? t->v : t->e ? least_operand(t->e) : UINT32_MAX;
        least = k < least ? k : least;
    }
    return least;
}

static uint32_t access_least_operand(const struct ir_access *a)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < a->rank + a->nguard; i++) {
        const struct ir_term *t = i < a->rank ? &a->at[i] : &a->guard[i - a->rank];
        uint32_t k = least_operand(t->e);
        least = k < least ? k : least;
    }
    return least;
}

bool simplify_to_operand(struct simplify *s, struct ir_node *n, uint32_t k)
{
    uint32_t arity = (uint32_t)ir_op_arity(n->op), count = n->nin - arity + 1u;
    struct ir_in *in = ARENA_ARRAY(s->mem, struct ir_in, count);
    const struct ix **operand = ARENA_ARRAY(s->mem, const struct ix *, n->nin);
    int64_t dim[IR_MAX_AXES];
    ir_dims(n, dim);
    for (uint32_t p = arity; p < n->nin; p++)
        operand[p] = ix_operand(s->mem, p - arity + 1);
    for (uint32_t i = 0; i < count; i++) {
        in[i] = n->in[i ? arity + i - 1 : k];
        if (access_least_operand(&in[i].a) < arity)
            return false;
        if (access_uses_operand(&in[i].a))
            in[i].a = access_subst(s, &in[i].a, NULL, operand, dim);
    }
    *n = simplify_like(n, IR_copy, ir_at(s->g, in[0].node)->dtype, count, in);
    return true;
}
