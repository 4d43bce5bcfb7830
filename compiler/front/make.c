/* Tensors from nothing: fills, ranges, random numbers. */
#include "front/elab.h"

/* ---- fills ---- */

static val filled(struct elab *e, val number, enum nn_dtype t, struct shape s, struct loc at)
{
    bool weak = t == NN_DTYPE_COUNT;
    val x = to_tensor(e, number, weak ? NN_f32 : t, at);
    if (v_bad(x))
        return x;
    val r = broadcast_to(e, x, s, at);
    r = r == x ? v_moved(e, x, at) : r;
    r->at = at;
    r->t.weak = weak;
    return r;
}

static val fill(struct builtin_call *c, val number, uint32_t dtype_arg)
{
    struct elab *e = c->e;
    const struct dim *dim[NN_MAX_RANK];
    enum nn_dtype t = NN_DTYPE_COUNT;
    int n = want_dims(e, c->rest, c->nrest, c->at, c->row->name, false, dim);
    if (n < 0 || !want_dtype(c, dtype_arg, &t))
        return v_poison(e);
    return filled(e, number, t, shape_of(e, (uint32_t)n, dim), c->at);
}

val builtin_fill(struct builtin_call *c)
{
    return fill(c, v_float(c->e, c->row->sub, true, c->at), 0);
}

val builtin_full(struct builtin_call *c)
{
    val x;
    if (c->arg[0] && v_is_number(c->arg[0]))
        return fill(c, c->arg[0], 1);
    if (!want_tensor(c, 0, &x))
        return v_poison(c->e);
    const struct dim *dim[NN_MAX_RANK];
    enum nn_dtype t = x->t.dtype;
    int n = want_dims(c->e, c->rest, c->nrest, c->at, c->row->name, false, dim);
    if (n < 0 || !want_dtype(c, 1, &t))
        return v_poison(c->e);
    x = to_dtype(c->e, x, t, c->at);
    struct shape s = shape_with(c->e, x->t.s, (uint32_t)n, dim);
    val v[2] = {x, x};
    struct shape joined;
    if (x->t.s.rank &&
        (!shape_join(c->e, c->at, "full", 1, v, &joined) || !shape_equal(x->t.s, s))) {
        elab_error(c->e, c->at, "full: the value is a scalar, not %s", v_text(c->e, x));
        return v_poison(c->e);
    }
    return broadcast_to(c->e, x, s, c->at);
}

val builtin_fill_like(struct builtin_call *c)
{
    val x;
    if (!want_tensor(c, 0, &x))
        return v_poison(c->e);
    return filled(c->e, v_number(c->e, c->row->sub, c->at), x->t.dtype, x->t.s, c->at);
}

/* ---- ranges ---- */

val builtin_arange(struct builtin_call *c)
{
    struct elab *e = c->e;
    enum nn_dtype t = NN_i32;
    if (!want_dtype(c, 0, &t))
        return v_poison(e);
    for (uint32_t i = 0; i < c->nrest; i++)
        if (c->rest[i]->kind != V_INT)
            c->nrest = 0;
    if (c->nrest < 1 || c->nrest > 3) {
        if (elab_error(e, c->at,
                       "arange takes (end), (start, end) or (start, end, step), integers"))
            elab_called(e);
        return v_poison(e);
    }
    const struct dim *one = dim_const(e->dims, 1);
    const struct dim *lo = c->nrest > 1 ? c->rest[0]->i : dim_const(e->dims, 0);
    const struct dim *hi = c->rest[c->nrest > 1]->i, *by = c->nrest > 2 ? c->rest[2]->i : one;
    if (!dim_shown_ge(e->dims, by, one)) {
        elab_error(e, c->at, "arange: the step is 1 or more");
        return v_poison(e);
    }
    const struct dim *run = dim_sub(e->dims, hi, lo);
    if (by != one)
        run = dim_div(e->dims, dim_sub(e->dims, dim_add(e->dims, run, by), one), by);
    if (!require_le(e, dim_const(e->dims, 0), run, c->at, BOUND_SIZE))
        return v_poison(e);
    struct shape s = shape_of(e, 1, &run);
    val r = v_tensor(e, NN_i32, s, c->at);
    r->t.node = emit_iota(e, NN_i32, &s, 0);
    if (by != one)
        r = operate(e, TREE_MUL, r, v_int(e, by, c->at), c->at);
    if (lo != dim_const(e->dims, 0))
        r = operate(e, TREE_ADD, r, v_int(e, lo, c->at), c->at);
    return to_dtype(e, r, t, c->at);
}

/* 1 where two integer tensors agree. */
static val agree(struct elab *e, val x, val y, enum nn_dtype t, struct loc at)
{
    val b = compare(e, IR_eq, x, y, at);
    return v_bad(b) ? b : to_dtype(e, b, t, at);
}

val builtin_eye(struct builtin_call *c)
{
    struct elab *e = c->e;
    enum nn_dtype t = NN_f32;
    const struct dim *dim[2];
    val size[2] = {c->arg[0], c->arg[1] ? c->arg[1] : c->arg[0]};
    if (!size[0] || !want_dtype(c, 2, &t) || want_dims(e, size, 2, c->at, "eye", false, dim) != 2)
        return v_poison(e);
    struct shape s = shape_of(e, 2, dim);
    val i = v_tensor(e, NN_i32, s, c->at), j = v_tensor(e, NN_i32, s, c->at);
    i->t.node = emit_iota(e, NN_i32, &s, 0);
    j->t.node = emit_iota(e, NN_i32, &s, 1);
    return agree(e, i, j, t, c->at);
}

val builtin_one_hot(struct builtin_call *c)
{
    struct elab *e = c->e;
    enum nn_dtype t = NN_f32;
    const struct dim *dim[NN_MAX_RANK + 1];
    val x;
    if (!want_tensor(c, 0, &x) || !want_dtype(c, 2, &t) ||
        want_dims(e, &c->arg[1], 1, c->at, "one_hot", false, dim) != 1)
        return v_poison(e);
    uint32_t rank = x->t.s.rank;
    if (!nn_is_int(x->t.dtype) || rank + 1 > NN_MAX_RANK) {
        if (elab_error(e, c->at, "one_hot: integers are wanted, not %s", v_text(e, x)))
            elab_called(e);
        return v_poison(e);
    }
    const struct dim *count = dim[0];
    memcpy(dim, x->t.s.dim, rank * sizeof *dim);
    dim[rank] = dim_const(e->dims, 1);
    val column = v_tensor(e, x->t.dtype, shape_with(e, x->t.s, rank + 1, dim), c->at);
    column->t.node = emit_reshape(e, x, &column->t.s);
    struct shape s = shape_of(e, 1, &count);
    val k = v_tensor(e, NN_i32, s, c->at);
    k->t.node = emit_iota(e, NN_i32, &s, 0);
    return agree(e, column, k, t, c->at);
}

/* ---- random numbers ---- */

/* A stream of its own for each place: the path of the running layer and a count within it. */
static uint64_t next_stream(struct elab *e)
{
    const struct activation *act = e->frame ? e->frame->act : NULL;
    const char *path = act && act->inst && act->inst->path ? act->inst->path : "";
    if (e->initial)
        path = e->initial_path;
    uint32_t k = 0;
    while (k < e->stream.n && (e->stream.p[k].path != path || e->stream.p[k].initial != e->initial))
        k++;
    if (k == e->stream.n)
        vec_push(&e->stream, ((struct stream){path, 0, e->initial}));
    uint32_t ordinal = e->stream.p[k].n++;
    uint64_t h = hash_bytes(0, path, strlen(path));
    return hash_bytes(h, e->initial ? "init" : "", e->initial ? 4 : 0) * 31 + ordinal;
}

static val uniform(struct elab *e, struct shape s, uint64_t stream, int word, struct loc at)
{
    val r = v_tensor(e, NN_f32, s, at);
    r->t.node = emit_random(e, &s, stream, word);
    return r;
}

static val f32_const(struct elab *e, double v, struct loc at)
{
    return to_tensor(e, v_float(e, v, true, at), NN_f32, at);
}

/* Box and Muller: sqrt(-2 log(1 - u)) cos(2 pi v), where 1 - u is never 0. */
static val normal(struct elab *e, struct shape s, uint64_t stream, struct loc at)
{
    val u = uniform(e, s, stream, 0, at), v = uniform(e, s, stream, 1, at);
    val l = emit_unary(e, IR_log, emit_binary(e, IR_sub, f32_const(e, 1, at), u, at), at);
    val r = emit_unary(e, IR_sqrt, emit_binary(e, IR_mul, f32_const(e, -2, at), l, at), at);
    val a = emit_binary(e, IR_mul, f32_const(e, 6.283185307179586, at), v, at);
    return emit_binary(e, IR_mul, r, emit_unary(e, IR_cos, a, at), at);
}

val builtin_random(struct builtin_call *c)
{
    struct elab *e = c->e;
    const struct dim *dim[NN_MAX_RANK];
    int n = want_dims(e, c->rest, c->nrest, c->at, c->row->name, false, dim);
    if (n < 0)
        return v_poison(e);
    struct shape s = shape_of(e, (uint32_t)n, dim);
    uint64_t stream = next_stream(e);
    val r = c->row->sub ? normal(e, s, stream, c->at) : uniform(e, s, stream, 0, c->at);
    r->t.weak = true;
    return r;
}

val builtin_random_int(struct builtin_call *c)
{
    struct elab *e = c->e;
    const struct dim *dim[NN_MAX_RANK];
    int n = want_dims(e, c->rest, c->nrest, c->at, "random_int", false, dim);
    if (n < 0)
        return v_poison(e);
    if (!c->arg[0] || c->arg[0]->kind != V_INT ||
        !dim_shown_ge(e->dims, c->arg[0]->i, dim_const(e->dims, 1))) {
        if (elab_error(e, c->at, "random_int: the limit is an integer of 1 or more"))
            elab_called(e);
        return v_poison(e);
    }
    struct shape s = shape_of(e, (uint32_t)n, dim);
    val u = uniform(e, s, next_stream(e), 0, c->at);
    val limit = to_tensor(e, c->arg[0], NN_f32, c->at);
    /* u <= 1 - 2**-24, so that the rounded product stays below the limit */
    return to_dtype(e, emit_binary(e, IR_mul, u, limit, c->at), NN_i32, c->at);
}
