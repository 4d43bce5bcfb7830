/* Moves: the same elements at other places. Each is one reshape or one copy through an access. */
#include "front/elab.h"

/* ---- one copy ---- */

struct move {
    struct elab *e;
    val x, r;
    struct ir_term *t; /* one for each own axis of x; NULL when checking */
    struct gathers g;  /* what the terms read */
};

static void move_begin(struct move *m, struct elab *e, val x, uint32_t rank,
                       const struct dim *const *dim, struct loc at)
{
    *m = (struct move){.e = e, .x = x};
    m->r = v_tensor(e, x->t.dtype, shape_with(e, x->t.s, rank, dim), at);
    m->r->t.weak = x->t.weak;
    m->r->t.of = mark_moved(e, x->t.of, 0);
    guards_join(e, m->r, 1, &x);
    if (e->b)
        m->t = ARENA_ARRAY(e->m->mem, struct ir_term, x->t.s.rank);
}

/* Own axis `axis` of x is read at `ix`. */
static void move_term(struct move *m, uint32_t axis, const struct ix *ix)
{
    m->t[axis] = (struct ir_term){ix, 1, emit_size(m->e, m->x->t.s.dim[axis])};
}

static const struct ix *move_axis(struct move *m, uint32_t axis)
{
    return ix_axis(m->e->m->mem, m->r->t.s.nix + axis);
}

/* A size, which a run may choose, as a position. */
static const struct ix *move_size(struct move *m, const struct dim *d)
{
    if (live_dim(m->e, d))
        return size_ix(m->e, d, m->g.v, &m->g.n);
    return ix_const(m->e->m->mem, emit_size(m->e, d));
}

/* The position along own axis `axis` plus so much, modulo n; itself where n is 0. */
static const struct ix *move_modulo(struct move *m, uint32_t axis, const struct dim *plus,
                                    const struct dim *n)
{
    struct elab *e = m->e;
    const struct ix *ix = move_axis(m, axis);
    if (live_dim(e, n) || live_dim(e, plus))
        return live_wrapped(e, &m->r->t.s, axis, plus, n, &m->g);
    ix = ix_add(e->m->mem, ix, ix_const(e->m->mem, emit_size(e, plus)));
    return emit_size(e, n) ? ix_mod(e->m->mem, ix, emit_size(e, n), NULL) : ix;
}

static val move_end(struct move *m, double fill)
{
    if (m->e->b)
        m->r->t.node =
            emit_move_filled(m->e, m->x, &m->r->t.s, m->t, m->g.n, m->g.v, m->g.at, fill);
    return m->r;
}

static val reshaped(struct elab *e, val x, uint32_t rank, const struct dim *const *dim,
                    struct loc at)
{
    val r = v_tensor(e, x->t.dtype, shape_with(e, x->t.s, rank, dim), at);
    r->t.weak = x->t.weak;
    r->t.of = mark_moved(e, x->t.of, 0);
    guards_join(e, r, 1, &x);
    r->t.node = emit_reshape(e, x, &r->t.s);
    return r;
}

static bool axis_arg(struct builtin_call *c, uint32_t i, uint32_t rank, int64_t otherwise,
                     uint32_t *axis)
{
    val v = c->arg[i] ? c->arg[i] : v_number(c->e, otherwise, c->at);
    return want_axis(c->e, v, rank, c->arg[i] ? c->arg_at[i] : c->at, c->row->name, axis);
}

/* ---- reshape and what is one ---- */

static const struct dim *product(struct elab *e, const struct dim *const *dim, uint32_t n)
{
    const struct dim *p = dim_const(e->dims, 1);
    for (uint32_t i = 0; i < n; i++)
        if (dim[i])
            p = dim_mul(e->dims, p, dim[i]);
    return p;
}

val builtin_reshape(struct builtin_call *c)
{
    struct elab *e = c->e;
    const struct dim *dim[NN_MAX_RANK];
    val x;
    if (!want_tensor(c, 0, &x))
        return v_poison(e);
    int n = want_dims(e, c->rest, c->nrest, c->at, "reshape", true, dim);
    if (n < 0)
        return v_poison(e);
    const struct dim *have = product(e, x->t.s.dim, x->t.s.rank),
                     *got = product(e, dim, (uint32_t)n);
    for (int i = 0; i < n; i++) {
        if (dim[i])
            continue;
        dim[i] = dim_exact(e->dims, have, got);
        if (!dim[i]) {
            if (elab_error(e, c->at, "reshape: %s elements are not shown to be a multiple of %s",
                           v_dim_text(e, have), v_dim_text(e, got))) {
                diag_label(e->d, "of %s", v_text(e, x));
                elab_called(e);
            }
            return v_poison(e);
        }
        got = have;
    }
    if (got == have)
        return reshaped(e, x, (uint32_t)n, dim, c->at);
    if (elab_error(e, c->at, "reshape: %s elements do not make %s", v_dim_text(e, have),
                   v_type_text(e, x->t.dtype, (uint32_t)n, dim))) {
        diag_label(e->d, "this is %s", v_text(e, x));
        elab_called(e);
    }
    return v_poison(e);
}

val builtin_flatten(struct builtin_call *c)
{
    struct elab *e = c->e;
    val x;
    uint32_t a, b, n = 0;
    if (!want_tensor(c, 0, &x))
        return v_poison(e);
    if (!x->t.s.rank)
        return reshaped(e, x, 1, (const struct dim *[]){dim_const(e->dims, 1)}, c->at);
    if (!axis_arg(c, 1, x->t.s.rank, 0, &a) || !axis_arg(c, 2, x->t.s.rank, -1, &b))
        return v_poison(e);
    const struct dim *dim[NN_MAX_RANK];
    for (uint32_t i = 0; i < x->t.s.rank; i++)
        if (i > a && i <= b)
            dim[n - 1] = dim_mul(e->dims, dim[n - 1], x->t.s.dim[i]);
        else
            dim[n++] = x->t.s.dim[i];
    return reshaped(e, x, n, dim, c->at);
}

static val unsqueeze(struct elab *e, val x, uint32_t axis, struct loc at)
{
    const struct dim *dim[NN_MAX_RANK + 1];
    uint32_t n = 0;
    for (uint32_t i = 0; i <= x->t.s.rank; i++) {
        if (i == axis)
            dim[n++] = dim_const(e->dims, 1);
        if (i < x->t.s.rank)
            dim[n++] = x->t.s.dim[i];
    }
    if (n > NN_MAX_RANK) {
        elab_error(e, at, "a tensor has at most %d axes", NN_MAX_RANK);
        return v_poison(e);
    }
    return reshaped(e, x, n, dim, at);
}

val builtin_unsqueeze(struct builtin_call *c)
{
    val x;
    uint32_t axis;
    if (!want_tensor(c, 0, &x) || !axis_arg(c, 1, x->t.s.rank + 1, 0, &axis))
        return v_poison(c->e);
    return unsqueeze(c->e, x, axis, c->at);
}

val builtin_squeeze(struct builtin_call *c)
{
    struct elab *e = c->e;
    val x;
    bool drop[NN_MAX_RANK] = {false};
    const struct dim *dim[NN_MAX_RANK], *one = dim_const(e->dims, 1);
    uint32_t n = 0;
    if (!want_tensor(c, 0, &x))
        return v_poison(e);
    if (c->arg[1] && !want_axes(e, c->arg[1], x->t.s.rank, c->arg_at[1], "squeeze", drop))
        return v_poison(e);
    for (uint32_t i = 0; i < x->t.s.rank; i++) {
        if (c->arg[1] && drop[i] && x->t.s.dim[i] != one) {
            if (elab_error(e, c->at, "squeeze: axis %u is %s, not 1", i,
                           v_dim_text(e, x->t.s.dim[i])))
                elab_called(e);
            return v_poison(e);
        }
        if (c->arg[1] ? !drop[i] : x->t.s.dim[i] != one)
            dim[n++] = x->t.s.dim[i];
    }
    return reshaped(e, x, n, dim, c->at);
}

/* ---- transposes ---- */

static val permuted(struct elab *e, val x, const uint32_t *from, struct loc at)
{
    const struct dim *dim[NN_MAX_RANK];
    struct move m;
    for (uint32_t i = 0; i < x->t.s.rank; i++)
        dim[i] = x->t.s.dim[from[i]];
    move_begin(&m, e, x, x->t.s.rank, dim, at);
    for (uint32_t i = 0; m.t && i < x->t.s.rank; i++)
        move_term(&m, from[i], move_axis(&m, i));
    return move_end(&m, 0);
}

val transpose(struct elab *e, val x, uint32_t a, uint32_t b, struct loc at)
{
    uint32_t from[NN_MAX_RANK];
    emit_origin(e, at, "transpose");
    emit_node_of(e, x);
    for (uint32_t i = 0; i < x->t.s.rank; i++)
        from[i] = i == a ? b : i == b ? a : i;
    return permuted(e, x, from, at);
}

val builtin_transpose(struct builtin_call *c)
{
    val x;
    uint32_t a, b;
    if (!want_tensor(c, 0, &x) || !axis_arg(c, 1, x->t.s.rank, 0, &a) ||
        !axis_arg(c, 2, x->t.s.rank, 0, &b))
        return v_poison(c->e);
    return transpose(c->e, x, a, b, c->at);
}

val builtin_permute(struct builtin_call *c)
{
    struct elab *e = c->e;
    val x, *p = c->rest;
    uint32_t n = c->nrest, from[NN_MAX_RANK];
    bool seen[NN_MAX_RANK] = {false}, good = true;
    if (!want_tensor(c, 0, &x))
        return v_poison(e);
    if (n == 1 && (p[0]->kind == V_TUPLE || p[0]->kind == V_LIST) &&
        !members(e, p[0], c->at, &p, &n))
        return v_poison(e);
    for (uint32_t i = 0; i < n && good && n == x->t.s.rank; i++) {
        if (!want_axis(e, p[i], n, c->at, "permute", &from[i]))
            return v_poison(e);
        good = !seen[from[i]];
        seen[from[i]] = true;
    }
    if (good && n == x->t.s.rank)
        return permuted(e, x, from, c->at);
    if (elab_error(e, c->at, "permute: every axis of %s is named once", v_text(e, x)))
        elab_called(e);
    return v_poison(e);
}

/* ---- expand, repeat ---- */

val builtin_expand(struct builtin_call *c)
{
    struct elab *e = c->e;
    const struct dim *dim[NN_MAX_RANK];
    val x;
    if (!want_tensor(c, 0, &x))
        return v_poison(e);
    int n = want_dims(e, c->rest, c->nrest, c->at, "expand", true, dim);
    if (n < 0)
        return v_poison(e);
    int lead = n - (int)x->t.s.rank;
    bool good = lead >= 0;
    for (int i = 0; good && i < n; i++) {
        const struct dim *own = i >= lead ? x->t.s.dim[i - lead] : dim_const(e->dims, 1);
        dim[i] = dim[i] ? dim[i] : own;
        good = own == dim[i] || own == dim_const(e->dims, 1);
    }
    if (good)
        return broadcast_to(e, x, shape_with(e, x->t.s, (uint32_t)n, dim), c->at);
    if (elab_error(e, c->at, "expand: %s does not stretch to these %d sizes", v_text(e, x), n))
        elab_called(e);
    return v_poison(e);
}

val builtin_repeat(struct builtin_call *c)
{
    struct elab *e = c->e;
    const struct dim *times[NN_MAX_RANK], *dim[NN_MAX_RANK];
    struct move m;
    val x;
    if (!want_tensor(c, 0, &x))
        return v_poison(e);
    int n = want_dims(e, c->rest, c->nrest, c->at, "repeat", false, times);
    if (n < 0)
        return v_poison(e);
    if ((uint32_t)n < x->t.s.rank) {
        if (elab_error(e, c->at, "repeat: a count for each axis of %s", v_text(e, x)))
            elab_called(e);
        return v_poison(e);
    }
    uint32_t lead = (uint32_t)n - x->t.s.rank;
    for (uint32_t i = 0; i < (uint32_t)n; i++)
        dim[i] = i < lead ? times[i] : dim_mul(e->dims, times[i], x->t.s.dim[i - lead]);
    move_begin(&m, e, x, (uint32_t)n, dim, c->at);
    for (uint32_t i = 0; m.t && i < x->t.s.rank; i++) {
        bool once = dim[lead + i] == x->t.s.dim[i];
        const struct ix *ix = move_axis(&m, lead + i);
        move_term(&m, i,
                  once ? ix : move_modulo(&m, lead + i, dim_const(e->dims, 0), x->t.s.dim[i]));
    }
    return move_end(&m, 0);
}

/* ---- along one axis ---- */

/* x with axis `axis` of size n, read at own position + shift. */
static val shifted(struct elab *e, val x, uint32_t axis, const struct dim *n,
                   const struct dim *shift, double fill, struct loc at)
{
    const struct dim *dim[NN_MAX_RANK];
    struct move m;
    memcpy(dim, x->t.s.dim, x->t.s.rank * sizeof *dim);
    dim[axis] = n;
    move_begin(&m, e, x, x->t.s.rank, dim, at);
    if (!m.t)
        return m.r;
    for (uint32_t i = 0; i < x->t.s.rank; i++) {
        const struct ix *ix = move_axis(&m, i);
        move_term(&m, i, i == axis ? ix_add(e->m->mem, ix, move_size(&m, shift)) : ix);
    }
    return move_end(&m, fill);
}

static bool list_arg(struct builtin_call *c, val **p, uint32_t *n)
{
    struct elab *e = c->e;
    val v = c->arg[0] ? c->arg[0] : v_none(e, c->at);
    if (!members(e, v, c->arg_at[0], p, n))
        return false;
    val *q = ARENA_ARRAY(e->mem, val, *n);
    for (uint32_t i = 0; i < *n; i++) {
        q[i] = to_tensor(e, (*p)[i], NN_DTYPE_COUNT, c->at);
        if (v_bad(q[i]))
            return false;
        emit_node_of(e, q[i]);
    }
    *p = q;
    if (!*n)
        elab_error(e, c->at, "%s: the list is empty", c->row->name);
    return *n > 0;
}

static bool concat_fits(struct elab *e, const char *what, val const *p, uint32_t n, uint32_t axis,
                        struct loc at)
{
    for (uint32_t k = 1; k < n; k++) {
        bool same = p[k]->t.s.rank == p[0]->t.s.rank;
        for (uint32_t i = 0; same && i < p[0]->t.s.rank; i++)
            same = i == axis || p[k]->t.s.dim[i] == p[0]->t.s.dim[i];
        if (same)
            continue;
        if (elab_error(e, at, "%s: all sizes but those of axis %u are the same", what, axis)) {
            diag_label(e->d, "the first is %s", v_text(e, p[0]));
            diag_note(e->d, p[k]->at, "number %u is %s, from here", k + 1, v_text(e, p[k]));
            elab_called(e);
        }
        return false;
    }
    return true;
}

/* Each part is read where it is and is 0 elsewhere; the result is their sum (`or` of bools). */
static val concat(struct elab *e, const char *what, val *p, uint32_t n, uint32_t axis,
                  struct loc at)
{
    enum nn_dtype t;
    bool weak;
    if (!concat_fits(e, what, p, n, axis, at) || !common_dtype(e, at, what, n, p, &t, &weak))
        return v_poison(e);
    const struct dim *total = dim_const(e->dims, 0), *zero = total;
    for (uint32_t k = 0; k < n; k++)
        total = dim_add(e->dims, total, p[k]->t.s.dim[axis]);
    val sum = NULL;
    const struct dim *before = zero;
    for (uint32_t k = 0; k < n; k++) {
        val x = to_dtype(e, p[k], t, at);
        val part = shifted(e, x, axis, total, dim_sub(e->dims, zero, before), 0, at);
        part->t.of.field = 0;
        sum = sum ? emit_binary(e, t == NN_bool ? IR_or : IR_add, sum, part, at) : part;
        before = dim_add(e->dims, before, p[k]->t.s.dim[axis]);
    }
    sum->t.weak = weak;
    return sum;
}

val join_flat(struct elab *e, val const *p, uint32_t n, struct loc at)
{
    val *flat = ARENA_ARRAY(e->mem, val, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct dim *size = product(e, p[i]->t.s.dim, p[i]->t.s.rank);
        emit_node_of(e, p[i]);
        flat[i] = reshaped(e, p[i], 1, &size, at);
    }
    return concat(e, "gradient", flat, n, 0, at);
}

val part_flat(struct elab *e, val flat, val like, struct loc at)
{
    val *p = ARENA_ARRAY(e->mem, val, like->list.n);
    const struct dim *before = dim_const(e->dims, 0);
    for (uint32_t i = 0; i < like->list.n; i++) {
        const struct tensor *t = &like->list.p[i]->t;
        const struct dim *size = product(e, t->s.dim, t->s.rank);
        val cut = shifted(e, flat, 0, size, before, 0, at);
        p[i] = reshaped(e, cut, t->s.rank, t->s.dim, at);
        p[i]->t.weak = t->weak;
        before = dim_add(e->dims, before, size);
    }
    val r = v_list(e, V_TUPLE, p, like->list.n, at);
    r->list.name = like->list.name;
    return r;
}

val builtin_concat(struct builtin_call *c)
{
    val *p;
    uint32_t n, axis;
    if (!list_arg(c, &p, &n) || !axis_arg(c, 1, p[0]->t.s.rank, 0, &axis))
        return v_poison(c->e);
    return concat(c->e, c->row->name, p, n, axis, c->at);
}

val builtin_stack(struct builtin_call *c)
{
    val *p;
    uint32_t n, axis;
    if (!list_arg(c, &p, &n) || !axis_arg(c, 1, p[0]->t.s.rank + 1, 0, &axis))
        return v_poison(c->e);
    for (uint32_t i = 0; i < n; i++) {
        p[i] = axis > p[i]->t.s.rank ? v_poison(c->e) : unsqueeze(c->e, p[i], axis, c->at);
        if (v_bad(p[i])) {
            elab_error(c->e, c->at, "stack: all members have one shape");
            return p[i];
        }
    }
    return concat(c->e, c->row->name, p, n, axis, c->at);
}

static val cut(struct builtin_call *c, val x, uint32_t axis, const struct dim *const *size,
               uint32_t n)
{
    struct elab *e = c->e;
    val *p = ARENA_ARRAY(e->mem, val, n);
    const struct dim *at = dim_const(e->dims, 0);
    for (uint32_t k = 0; k < n; k++) {
        p[k] = shifted(e, x, axis, size[k], at, 0, c->at);
        at = dim_add(e->dims, at, size[k]);
    }
    return v_list(e, V_TUPLE, p, n, c->at);
}

val builtin_chunk(struct builtin_call *c)
{
    struct elab *e = c->e;
    val x;
    int64_t n = 0;
    uint32_t axis;
    if (!want_tensor(c, 0, &x) || !want_int(c, 1, &n) || !axis_arg(c, 2, x->t.s.rank, 0, &axis))
        return v_poison(e);
    if (n < 1 || n > 4096) {
        elab_error(e, c->arg_at[1], "chunk: the count is 1 to 4096, not %lld", (long long)n);
        return v_poison(e);
    }
    const struct dim *size = dim_exact(e->dims, x->t.s.dim[axis], dim_const(e->dims, n));
    if (!size) {
        if (elab_error(e, c->at, "chunk: %s is not shown to be a multiple of %lld",
                       v_dim_text(e, x->t.s.dim[axis]), (long long)n)) {
            diag_label(e->d, "axis %u of %s", axis, v_text(e, x));
            elab_called(e);
        }
        return v_poison(e);
    }
    const struct dim **sizes = ARENA_ARRAY(e->mem, const struct dim *, n);
    for (int64_t i = 0; i < n; i++)
        sizes[i] = size;
    return cut(c, x, axis, sizes, (uint32_t)n);
}

val builtin_split(struct builtin_call *c)
{
    struct elab *e = c->e;
    val x, *p;
    uint32_t axis, n;
    if (!want_tensor(c, 0, &x) || !axis_arg(c, 2, x->t.s.rank, 0, &axis))
        return v_poison(e);
    if (!members(e, c->arg[1] ? c->arg[1] : v_none(e, c->at), c->arg_at[1], &p, &n))
        return v_poison(e);
    const struct dim **sizes = ARENA_ARRAY(e->mem, const struct dim *, n);
    const struct dim *sum = dim_const(e->dims, 0);
    for (uint32_t i = 0; i < n; i++) {
        if (p[i]->kind != V_INT) {
            elab_error(e, c->arg_at[1], "split: a size is an integer, not %s", v_text(e, p[i]));
            return v_poison(e);
        }
        sizes[i] = p[i]->i;
        sum = dim_add(e->dims, sum, p[i]->i);
    }
    if (sum != x->t.s.dim[axis]) {
        if (elab_error(e, c->at, "split: the sizes add up to %s, but axis %u of %s is %s",
                       v_dim_text(e, sum), axis, v_text(e, x), v_dim_text(e, x->t.s.dim[axis])))
            elab_called(e);
        return v_poison(e);
    }
    return cut(c, x, axis, sizes, n);
}

val builtin_flip(struct builtin_call *c)
{
    struct elab *e = c->e;
    bool turn[NN_MAX_RANK] = {false};
    struct move m;
    val x;
    if (!want_tensor(c, 0, &x) ||
        !want_axes(e, c->arg[1], x->t.s.rank, c->arg[1] ? c->arg_at[1] : c->at, "flip", turn))
        return v_poison(e);
    move_begin(&m, e, x, x->t.s.rank, x->t.s.dim, c->at);
    for (uint32_t i = 0; m.t && i < x->t.s.rank; i++) {
        const struct ix *ix = move_axis(&m, i);
        const struct dim *last = dim_sub(e->dims, x->t.s.dim[i], dim_const(e->dims, 1));
        if (turn[i])
            ix = ix_add(e->m->mem, ix_mul(e->m->mem, ix, -1), move_size(&m, last));
        move_term(&m, i, ix);
    }
    return move_end(&m, 0);
}

val builtin_roll(struct builtin_call *c)
{
    struct elab *e = c->e;
    struct move m;
    val x;
    int64_t shift = 0;
    uint32_t axis;
    if (!want_tensor(c, 0, &x) || !want_int(c, 1, &shift) || !axis_arg(c, 2, x->t.s.rank, 0, &axis))
        return v_poison(e);
    move_begin(&m, e, x, x->t.s.rank, x->t.s.dim, c->at);
    for (uint32_t i = 0; m.t && i < x->t.s.rank; i++) {
        const struct dim *n = x->t.s.dim[i], *back = dim_const(e->dims, -shift);
        move_term(&m, i, i == axis ? move_modulo(&m, i, back, n) : move_axis(&m, i));
    }
    return move_end(&m, 0);
}

val builtin_pad(struct builtin_call *c)
{
    struct elab *e = c->e;
    val x, before = c->arg[1], after = c->arg[2] ? c->arg[2] : before;
    uint32_t axis;
    bool known = true;
    if (!want_tensor(c, 0, &x) || !axis_arg(c, 3, x->t.s.rank, -1, &axis))
        return v_poison(e);
    if (!before || before->kind != V_INT || after->kind != V_INT) {
        elab_error(e, c->at, "pad: how much goes before and after is an integer each");
        return v_poison(e);
    }
    if (c->arg[4] && !v_is_number(c->arg[4])) {
        elab_error(e, c->arg_at[4], "pad: the value is a number, not %s", v_text(e, c->arg[4]));
        return v_poison(e);
    }
    const struct dim *n = dim_add(e->dims, x->t.s.dim[axis], dim_add(e->dims, before->i, after->i));
    const struct dim *shift = dim_sub(e->dims, dim_const(e->dims, 0), before->i);
    return shifted(e, x, axis, n, shift, c->arg[4] ? v_double(e, c->arg[4], &known) : 0, c->at);
}

/* The lower (sub 1) or upper triangle of the last two axes. */
val builtin_triangle(struct builtin_call *c)
{
    struct elab *e = c->e;
    val x;
    int64_t d = 0;
    if (!want_tensor(c, 0, &x) || !want_int(c, 1, &d))
        return v_poison(e);
    if (x->t.s.rank < 2) {
        if (elab_error(e, c->at, "%s: a matrix is wanted, not %s", c->row->name, v_text(e, x)))
            elab_called(e);
        return v_poison(e);
    }
    struct shape square = shape_of(e, 2, x->t.s.dim + x->t.s.rank - 2);
    val i = v_tensor(e, NN_i32, square, c->at), j = v_tensor(e, NN_i32, square, c->at);
    i->t.node = emit_iota(e, NN_i32, &square, 0);
    j->t.node = emit_iota(e, NN_i32, &square, 1);
    val edge = operate(e, TREE_ADD, i, v_number(e, d, c->at), c->at);
    val in = compare(e, c->row->sub ? IR_le : IR_ge, j, edge, c->at);
    val r = select_value(e, in, x, v_number(e, 0, c->at), c->at);
    return r;
}
