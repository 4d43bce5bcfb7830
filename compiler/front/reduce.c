/* Reductions, by axes and by indices; mean, var and logsumexp are composed of the monoids. */
#include "front/elab.h"
#include <math.h>

/* What is folded: own axes, or indices. */
struct fold {
    uint32_t n; /* indices */
    struct index *const *ix;
    const bool *axis;
    struct shape kept, folded; /* the result; likewise with 1 for each folded axis */
    const struct dim *count;
};

static val fold_value(struct elab *e, enum ir_monoid m, val x, const struct fold *f, struct loc at)
{
    bool arg = m == IRM_argmax || m == IRM_argmin;
    emit_node_of(e, x);
    val r = v_tensor(e, arg ? NN_i32 : x->t.dtype, f->kept, at);
    r->t.weak = x->t.weak && !arg;
    r->t.node = f->axis ? emit_reduce(e, m, x, f->axis) : emit_reduce_indices(e, m, x, f->n, f->ix);
    return r;
}

/* A folded value beside the values it was folded from. */
static val beside(struct elab *e, val v, const struct fold *f)
{
    if (!f->axis)
        return v;
    val r = v_moved(e, v, v->at);
    r->t.s = f->folded;
    r->t.node = emit_reshape(e, v, &f->folded);
    return r;
}

static val number(struct elab *e, enum nn_dtype t, val n, struct loc at)
{
    return to_tensor(e, n, t, at);
}

static val mean(struct elab *e, val x, const struct fold *f, struct loc at)
{
    val n = number(e, x->t.dtype, v_int(e, f->count, at), at);
    if (v_bad(n))
        return n;
    val r = emit_binary(e, IR_div, fold_value(e, IRM_sum, x, f, at), n, at);
    r->t.weak = x->t.weak;
    return r;
}

static val variance(struct elab *e, val x, const struct fold *f, struct loc at)
{
    val m = mean(e, x, f, at);
    val c = emit_binary(e, IR_sub, x, beside(e, m, f), at);
    val r = mean(e, emit_binary(e, IR_mul, c, c, at), f, at);
    if (e->b && !v_bad(r)) { /* both are quotients of a sum */
        struct node_fact *fact = &e->fact.p[ir_at(e->b->g, r->t.node)->in[0].node];
        fact->spread_of = ir_at(e->b->g, m->t.node)->in[0].node;
        fact->spread_n = f->count;
    }
    return r;
}

/* log Σ exp(x - m) + m with m the maximum, or 0 where that is infinite. */
static val logsumexp(struct elab *e, val x, const struct fold *f, struct loc at)
{
    enum nn_dtype t = x->t.dtype;
    val most = fold_value(e, IRM_max, x, f, at);
    val m = emit_unary(e, IR_stop, most, at);
    val infinite = number(e, t, v_float(e, (double)INFINITY, true, at), at);
    val zero = number(e, t, v_float(e, 0, true, at), at);
    val finite = emit_binary(e, IR_lt, emit_unary(e, IR_abs, m, at), infinite, at);
    m = select_value(e, finite, m, zero, at);
    m->t.nguard = 0;
    m->t.valid = NULL;
    val p = emit_unary(e, IR_exp, emit_binary(e, IR_sub, x, beside(e, m, f), at), at);
    if (!f->axis && (x->t.nguard || x->t.valid)) { /* a term left out adds nothing */
        p->t.guard = x->t.guard;
        p->t.nguard = x->t.nguard;
        p->t.valid = x->t.valid;
    }
    val s = v_tensor(e, t, f->kept, at);
    emit_node_of(e, p);
    s->t.node = f->axis ? emit_reduce(e, IRM_sum, p, f->axis) : emit_sum_guarded(e, p, f->n, f->ix);
    s = emit_unary(e, IR_log, s, at);
    s = emit_binary(e, IR_add, s, m, at);
    if (e->b && !v_bad(s))
        e->fact.p[s->t.node].logsumexp_of = most->t.node;
    return s;
}

/* The operand's dtype: sums of bools and small integers are i32, means are floats. */
static val operand(struct elab *e, int kind, val x, struct loc at)
{
    enum nn_dtype t = x->t.dtype;
    bool weak = x->t.weak;
    if (kind == IRM_any || kind == IRM_all) {
        if (t == NN_bool)
            return x;
        if (elab_error(e, at, "%s is of bools, not of %s", ir_monoid_name((enum ir_monoid)kind),
                       v_text(e, x)))
            elab_called(e);
        return v_poison(e);
    }
    bool composed = kind == REDUCE_mean || kind == REDUCE_var || kind == REDUCE_logsumexp;
    bool adds = kind == IRM_sum || kind == IRM_prod;
    if (composed && !nn_is_float(t))
        t = NN_f32;
    else if (t == NN_bool || (adds && (t == NN_u8 || t == NN_i8)))
        t = NN_i32;
    if (t != x->t.dtype) {
        x = to_dtype(e, x, t, at);
        x->t.weak = weak;
    }
    return x;
}

static val run(struct elab *e, int kind, val x, const struct fold *f, struct loc at)
{
    x = operand(e, kind, x, at);
    if (v_bad(x))
        return x;
    emit_node_of(e, x);
    if (kind == REDUCE_mean)
        return mean(e, x, f, at);
    if (kind == REDUCE_var)
        return variance(e, x, f, at);
    if (kind == REDUCE_logsumexp)
        return logsumexp(e, x, f, at);
    return fold_value(e, (enum ir_monoid)kind, x, f, at);
}

val reduce_indices(struct elab *e, int kind, val x, uint32_t n, struct index *const *ix,
                   struct loc at)
{
    struct fold f = {.n = n, .ix = ix, .count = dim_const(e->dims, 1)};
    if (!n)
        return x;
    emit_node_of(e, x);
    struct index **kept = ARENA_ARRAY(e->mem, struct index *, x->t.s.nix);
    for (uint32_t i = 0; i < x->t.s.nix; i++)
        if (x->t.s.ix[i]->id < ix[0]->id)
            kept[f.kept.nix++] = x->t.s.ix[i];
    f.kept.ix = kept;
    for (uint32_t i = 0; i < n; i++)
        f.count = dim_mul(e->dims, f.count, ix[i]->n);
    return run(e, kind, x, &f, at);
}

val builtin_reduce(struct builtin_call *c)
{
    struct elab *e = c->e;
    val x;
    bool axis[NN_MAX_RANK] = {false}, keep = false;
    if (!want_tensor(c, 0, &x) ||
        !want_axes(e, c->arg[1], x->t.s.rank, c->arg[1] ? c->arg_at[1] : c->at, c->row->name, axis))
        return v_poison(e);
    if (c->arg[2]) {
        if (c->arg[2]->kind != V_BOOL || !c->arg[2]->b.known) {
            elab_error(e, c->arg_at[2], "%s: `keep` is true or false", c->row->name);
            return v_poison(e);
        }
        keep = c->arg[2]->b.v;
    }
    struct fold f = {.axis = axis, .count = dim_const(e->dims, 1)};
    const struct dim *kept[NN_MAX_RANK], *folded[NN_MAX_RANK];
    uint32_t n = 0, rank = x->t.s.rank;
    for (uint32_t i = 0; i < rank; i++) {
        folded[i] = axis[i] ? dim_const(e->dims, 1) : x->t.s.dim[i];
        if (axis[i])
            f.count = dim_mul(e->dims, f.count, x->t.s.dim[i]);
        else
            kept[n++] = x->t.s.dim[i];
    }
    f.kept = shape_with(e, x->t.s, n, kept);
    f.folded = shape_with(e, x->t.s, rank, folded);
    val r = run(e, c->row->sub, x, &f, c->at);
    return keep && !v_bad(r) ? beside(e, r, &f) : r;
}

val builtin_cumsum(struct builtin_call *c)
{
    struct elab *e = c->e;
    val x;
    uint32_t axis;
    if (!want_tensor(c, 0, &x))
        return v_poison(e);
    x = operand(e, IRM_sum, x, c->at);
    if (!want_axis(e, c->arg[1] ? c->arg[1] : v_none(e, c->at), x->t.s.rank, c->at, "cumsum",
                   &axis))
        return v_poison(e);
    val r = v_tensor(e, x->t.dtype, x->t.s, c->at);
    r->t.node = emit_cumsum(e, x, axis);
    return r;
}
