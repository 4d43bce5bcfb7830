/* Shapes and dtypes of operands: broadcasting, what numbers become beside tensors, casts. */
#include "front/elab.h"

struct shape shape_scalar(void) { return (struct shape){0}; }

struct shape shape_of(struct elab *e, uint32_t rank, const struct dim *const *dim)
{
    return (struct shape){0, rank, NULL, arena_dup(e->mem, dim, rank * sizeof *dim)};
}

struct shape shape_with(struct elab *e, struct shape s, uint32_t rank, const struct dim *const *dim)
{
    struct shape r = shape_of(e, rank, dim);
    r.nix = s.nix;
    r.ix = s.ix;
    return r;
}

bool shape_equal(struct shape a, struct shape b)
{
    if (a.rank != b.rank)
        return false;
    for (uint32_t i = 0; i < a.rank; i++)
        if (a.dim[i] != b.dim[i])
            return false;
    return true;
}

/* The union of the indices, by rising id. */
static void join_indices(struct elab *e, uint32_t n, val const *v, struct shape *out)
{
    uint32_t total = 0;
    for (uint32_t k = 0; k < n; k++)
        total += v_is_tensor(v[k]) ? v[k]->t.s.nix : 0;
    struct index **ix = ARENA_ARRAY(e->mem, struct index *, total);
    uint32_t m = 0;
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t i = 0; v_is_tensor(v[k]) && i < v[k]->t.s.nix; i++) {
            struct index *x = v[k]->t.s.ix[i];
            uint32_t at = 0;
            while (at < m && ix[at]->id < x->id)
                at++;
            if (at < m && ix[at] == x)
                continue;
            memmove(ix + at + 1, ix + at, (m++ - at) * sizeof *ix);
            ix[at] = x;
        }
    out->nix = m;
    out->ix = ix;
}

static bool join_error(struct elab *e, struct loc at, const char *what, uint32_t n, val const *v,
                       uint32_t k, const struct dim *have, const struct dim *got)
{
    if (elab_error(e, at, "%s: the sizes %s and %s do not fit together", what, v_dim_text(e, have),
                   v_dim_text(e, got))) {
        uint32_t first = 0;
        while (first + 1 < n && (!v_is_tensor(v[first]) || first == k))
            first++;
        diag_label(e->d, "%s is %s", n == 2 ? "left" : "one", v_text(e, v[first]));
        diag_note(e->d, v[k]->at, "%s is %s, from here", n == 2 ? "right" : "another",
                  v_text(e, v[k]));
        elab_called(e);
    }
    return false;
}

bool shape_join(struct elab *e, struct loc at, const char *what, uint32_t n, val const *v,
                struct shape *out)
{
    uint32_t rank = 0;
    for (uint32_t k = 0; k < n; k++)
        if (v_is_tensor(v[k]) && v[k]->t.s.rank > rank)
            rank = v[k]->t.s.rank;
    const struct dim **dim = ARENA_ARRAY(e->mem, const struct dim *, rank);
    const struct dim *one = dim_const(e->dims, 1);
    for (uint32_t i = 0; i < rank; i++)
        dim[i] = one;
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t i = 0; v_is_tensor(v[k]) && i < v[k]->t.s.rank; i++) {
            const struct dim **d = &dim[rank - v[k]->t.s.rank + i];
            const struct dim *got = v[k]->t.s.dim[i];
            if (got == *d || got == one)
                continue;
            if (*d != one)
                return join_error(e, at, what, n, v, k, *d, got);
            *d = got;
        }
    out->rank = rank;
    out->dim = dim;
    join_indices(e, n, v, out);
    return true;
}

static bool fits_dtype(struct elab *e, val v, enum nn_dtype t, struct loc at)
{
    int64_t i;
    unsigned bits = 8 * (unsigned)nn_dtype_size(t);
    if (v->kind != V_INT || !nn_is_int(t) || t == NN_i64 || !dim_value(e->dims, v->i, &i))
        return true;
    int64_t most = t == NN_u8 ? 255 : ((int64_t)1 << (bits - 1)) - 1;
    if (i <= most && i >= (t == NN_u8 ? 0 : -most - 1))
        return true;
    if (elab_error(e, at, "the number %lld does not fit in %s", (long long)i, nn_dtype_name(t))) {
        diag_label(e->d, "cast the other side to a wider type, as in i64(…)");
        elab_called(e);
    }
    return false;
}

val to_tensor(struct elab *e, val v, enum nn_dtype t, struct loc at)
{
    if (v_is_tensor(v) || v_bad(v))
        return v;
    if (!v_is_number(v)) {
        if (elab_error(e, at, "a tensor is wanted here, not %s", v_text(e, v)))
            elab_called(e);
        return v_poison(e);
    }
    bool weak = t == NN_DTYPE_COUNT;
    if (weak)
        t = v->kind == V_FLOAT ? NN_f32 : v->kind == V_INT ? NN_i32 : NN_bool;
    if (!fits_dtype(e, v, t, at))
        return v_poison(e);
    val r = v_tensor(e, t, shape_scalar(), v->at);
    r->t.weak = weak && v->kind != V_BOOL;
    r->t.node = emit_const(e, t, v);
    return r;
}

val to_dtype(struct elab *e, val v, enum nn_dtype t, struct loc at)
{
    if (v_bad(v))
        return v;
    if (!v_is_tensor(v))
        return to_tensor(e, v, t, at);
    val r = v_tensor(e, t, v->t.s, v->at);
    bool integer = t != NN_bool && !nn_is_float(t);
    r->t.form = integer && v->t.form ? v->t.form : NULL;
    r->t.nguard = v->t.nguard;
    r->t.guard = v->t.guard;
    r->t.valid = v->t.valid;
    if (integer)
        r->t.of = v->t.of;
    r->t.init = v->t.init;
    if (!e->b)
        return r;
    ir_id x = emit_node_of(e, v);
    v->t.node = x;
    r->t.node = v->t.dtype == t ? x : emit_elem(e, IR_cast, t, &r->t.s, 1, &v);
    return r;
}

static enum nn_dtype promote(enum nn_dtype a, enum nn_dtype b) /* neither is a float */
{
    if (a == NN_bool && b == NN_bool)
        return NN_bool;
    return a == NN_i64 || b == NN_i64 ? NN_i64 : NN_i32;
}

static bool two_floats(struct elab *e, struct loc at, const char *what, val const *v, uint32_t k,
                       uint32_t first)
{
    if (elab_error(e, at, "%s: %s and %s do not mix without a cast", what,
                   nn_dtype_name(v[first]->t.dtype), nn_dtype_name(v[k]->t.dtype))) {
        diag_label(e->d, "one is %s; write %s(…) or %s(…)", v_text(e, v[first]),
                   nn_dtype_name(v[first]->t.dtype), nn_dtype_name(v[k]->t.dtype));
        diag_note(e->d, v[k]->at, "the other is %s, from here", v_text(e, v[k]));
        elab_called(e);
    }
    return false;
}

bool common_dtype(struct elab *e, struct loc at, const char *what, uint32_t n, val const *v,
                  enum nn_dtype *t, bool *weak)
{
    int strong = -1, strong_float = -1;
    bool weak_float = false, weak_int = false, wide = false;
    *t = NN_bool;
    for (uint32_t k = 0; k < n; k++) {
        if (!v_is_tensor(v[k]) || v[k]->t.weak) {
            enum nn_dtype own = v_is_tensor(v[k])       ? v[k]->t.dtype
                                : v[k]->kind == V_FLOAT ? NN_f32
                                : v[k]->kind == V_INT   ? NN_i32
                                                        : NN_bool;
            weak_float = weak_float || nn_is_float(own);
            weak_int = weak_int || nn_is_int(own);
            wide = wide || own == NN_i64;
            continue;
        }
        enum nn_dtype d = v[k]->t.dtype;
        if (nn_is_float(d)) {
            if (strong_float >= 0 && v[strong_float]->t.dtype != d)
                return two_floats(e, at, what, v, k, (uint32_t)strong_float);
            strong_float = (int)k;
        } else {
            *t = strong < 0 ? d : *t == d && d == NN_bool ? d : promote(*t, d);
        }
        strong = (int)k;
    }
    *weak = strong < 0 && (weak_float || weak_int);
    if (strong_float >= 0)
        *t = v[strong_float]->t.dtype;
    else if (weak_float)
        *t = NN_f32;
    else if (weak_int && (strong < 0 || *t == NN_bool))
        *t = wide ? NN_i64 : NN_i32;
    return true;
}

val broadcast_to(struct elab *e, val v, struct shape s, struct loc at)
{
    if (shape_equal(v->t.s, s) && v->t.s.nix == s.nix)
        return v;
    val r = v_tensor(e, v->t.dtype, s, v->at);
    r->t.weak = v->t.weak;
    (void)at;
    if (e->b) {
        v->t.node = emit_node_of(e, v);
        r->t.node = emit_elem(e, IR_copy, v->t.dtype, &s, 1, &v);
    }
    return r;
}

static bool converts(val v, enum nn_dtype t)
{
    if (v_is_tensor(v))
        return v->t.dtype == t ||
               (v->t.weak && (nn_is_float(t) || (nn_is_int(t) && !nn_is_float(v->t.dtype))));
    return v->kind == V_BOOL ? true : v->kind == V_INT ? t != NN_bool : nn_is_float(t);
}

val to_type(struct elab *e, val v, enum nn_dtype t, struct shape s, struct loc at, const char *what)
{
    if (v_bad(v))
        return v;
    bool fits = v_is_number(v) || (v_is_tensor(v) && (shape_equal(v->t.s, s) || v->t.s.rank == 0));
    if (v_is_tensor(v) && v->t.s.rank == 0 && s.rank && !v->t.weak && v->t.form == NULL)
        fits = false;
    if (!fits || !converts(v, t)) {
        if (elab_error(e, at, "%s is %s, but %s is wanted", what, v_text(e, v),
                       v_type_text(e, t, s.rank, s.dim))) {
            if (v->at.file && (v->at.lo != at.lo || v->at.file != at.file))
                diag_note(e->d, v->at, "the value is from here");
            elab_called(e);
        }
        return v_poison(e);
    }
    val r = to_dtype(e, v, t, at);
    if (!shape_equal(r->t.s, s)) {
        s.nix = r->t.s.nix;
        s.ix = r->t.s.ix;
        r = broadcast_to(e, r, s, at);
    }
    if (r == v)
        r = v_moved(e, v, v->at);
    r->t.weak = false;
    return r;
}

void guards_join(struct elab *e, val to, uint32_t n, val const *v)
{
    uint32_t total = 0;
    for (uint32_t k = 0; k < n; k++)
        total += v_is_tensor(v[k]) ? v[k]->t.nguard : 0;
    struct guard *g = ARENA_ARRAY(e->mem, struct guard, total);
    total = 0;
    for (uint32_t k = 0; k < n; k++) {
        for (uint32_t i = 0; v_is_tensor(v[k]) && i < v[k]->t.nguard; i++)
            g[total++] = v[k]->t.guard[i];
        val valid = v_is_tensor(v[k]) ? v[k]->t.valid : NULL;
        if (valid)
            to->t.valid = to->t.valid ? emit_binary(e, IR_and, to->t.valid, valid, to->at) : valid;
    }
    to->t.guard = g;
    to->t.nguard = total;
}
