/* x[…]: slices, indices of the notation, gathers. One copy through one access. */
#include "common.h"
#include "front/elab.h"

/* One axis of the tensor that is read. */
struct place {
    struct loc at;
    bool slice;
    const struct dim *lo, *step, *len; /* slice */
    const struct form *form;           /* a single element */
    val gather;                        /* a tensor of indices with axes of its own */
};
struct subscript {
    struct elab *e;
    val x;
    struct place place[NN_MAX_RANK];
    uint32_t n;
    struct loc at;
};

const char *bound_text(struct elab *e, enum bound what, const struct dim *lo, const struct dim *hi)
{
    int64_t l;
    const char *n = v_dim_text(e, hi);
    switch (what) {
    case BOUND_FIRST:
        return arena_printf(e->mem, "an index is before the axis: %s from its begin", n);
    case BOUND_INDEX:
        lo = dim_sub(e->dims, lo, dim_const(e->dims, 1));
        return arena_printf(e->mem, "index %s is outside of an axis of %s", v_dim_text(e, lo), n);
    case BOUND_SLICE:
        if (dim_is_const(lo, &l) && !l)
            return arena_printf(e->mem, "a slice's bound is %s", n);
        return arena_printf(e->mem, "a slice's bound %s is beyond %s", v_dim_text(e, lo), n);
    case BOUND_SIZE: return arena_printf(e->mem, "a size of %s", n);
    }
    BUG("bound %d", what);
}

/* lo <= hi: shown, refuted (reported), or left to the entry of a run. */
bool require_le(struct elab *e, const struct dim *lo, const struct dim *hi, struct loc at,
                enum bound what)
{
    int64_t a, b;
    if (dim_shown_ge(e->dims, hi, lo))
        return true;
    dim_range(e->dims, dim_sub(e->dims, hi, lo), &a, &b);
    bool known = dim_value(e->dims, lo, &a) && dim_value(e->dims, hi, &b) && a > b;
    bool never = b < 0 && !known;
    if (known || never) {
        const char *better = live_better(e, lo, hi);
        if (elab_error(e, at, "%s", bound_text(e, what, lo, hi))) {
            if (better)
                diag_label(e->d, "%s", better);
            elab_called(e);
        }
        return false;
    }
    if (!e->quiet)
        vec_push(&e->entry, ((struct entry_check){lo, hi, at, what}));
    return true;
}

/* A number as a position: negative constants count from the end. */
static const struct dim *position(struct elab *e, val v, const struct dim *n)
{
    int64_t lo, hi;
    dim_range(e->dims, v->i, &lo, &hi);
    return hi < 0 ? dim_add(e->dims, n, v->i) : v->i;
}

static bool slice_part(struct elab *e, const struct tree_expr *x, const struct dim *n,
                       const struct dim *otherwise, const struct dim **out)
{
    *out = otherwise;
    if (!x)
        return true;
    val v = eval(e, x, NULL);
    if (v->kind == V_INT) {
        *out = n ? position(e, v, n) : v->i;
        return true;
    }
    if (!v_bad(v) && elab_error(e, x->at,
                                "a slice's bound is an integer known at compile time, not "
                                "%s",
                                v_text(e, v)))
        elab_called(e);
    return false;
}

static bool slice(struct subscript *s, const struct tree_item *item, const struct dim *n)
{
    struct elab *e = s->e;
    struct place *p = &s->place[s->n++];
    const struct dim *hi, *zero = dim_const(e->dims, 0), *one = dim_const(e->dims, 1);
    *p = (struct place){.at = item->at, .slice = true};
    if (!slice_part(e, item->lo, n, zero, &p->lo) || !slice_part(e, item->hi, n, n, &hi) ||
        !slice_part(e, item->step, NULL, one, &p->step))
        return false;
    if (!dim_shown_ge(e->dims, p->step, one)) {
        elab_error(e, item->at, "a slice's step is 1 or more; flip(x, axis) turns an axis round");
        return false;
    }
    if (!require_le(e, zero, p->lo, item->at, BOUND_SLICE) ||
        !require_le(e, p->lo, hi, item->at, BOUND_SLICE) ||
        !require_le(e, hi, n, item->at, BOUND_SLICE))
        return false;
    const struct dim *run = dim_sub(e->dims, hi, p->lo);
    p->len = p->step == one
                 ? run
                 : dim_div(e->dims, dim_sub(e->dims, dim_add(e->dims, run, p->step), one), p->step);
    return true;
}

static bool element(struct subscript *s, val v, struct loc at, const struct dim *n)
{
    struct elab *e = s->e;
    struct place *p = &s->place[s->n++];
    struct index *ix;
    *p = (struct place){.at = at};
    if (v->kind == V_INT) {
        const struct dim *i = position(e, v, n);
        p->form = form_of(e, v_int(e, i, at));
        return require_le(e, dim_const(e->dims, 0), i, at, BOUND_FIRST) &&
               require_le(e, dim_add(e->dims, i, dim_const(e->dims, 1)), n, at, BOUND_INDEX);
    }
    if (v_is_tensor(v) && v->t.bent) {
        if (elab_error(e, at, "a subscript is affine in the indices, as in 2*i + j - 1"))
            diag_label(e->d, "with // and %% by numbers; a tensor's elements make a gather");
        return false;
    }
    if (v_is_tensor(v) && nn_is_int(v->t.dtype)) {
        p->form = form_of(e, v);
        p->gather = p->form ? NULL : v;
        if (p->form && form_is_index(p->form, &ix) && !ix->n)
            ix->n = n;
        if (p->form && !form_is_near(e, p->form, at))
            return false;
        if (v->t.of.field && !v->t.weak)
            train_limit(e, v->t.of, n);
        return true;
    }
    if (!v_bad(v) && elab_error(e, at, "an index is an integer, not %s", v_text(e, v)))
        elab_called(e);
    return false;
}

static void whole(struct subscript *s, const struct dim *n)
{
    struct elab *e = s->e;
    s->place[s->n++] = (struct place){.at = s->at,
                                      .slice = true,
                                      .lo = dim_const(e->dims, 0),
                                      .step = dim_const(e->dims, 1),
                                      .len = n};
}

/* ---- what comes out ---- */

/* The domain: all indices that the tensor and its subscripts have, then the axes that stay. */
static struct shape domain(struct subscript *s)
{
    struct elab *e = s->e;
    const struct dim *dim[NN_MAX_RANK * 2];
    uint32_t rank = 0, n = 0;
    val part[NN_MAX_RANK * 2 + 1];
    part[n++] = s->x;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct place *p = &s->place[i];
        if (p->slice)
            dim[rank++] = p->len;
        for (uint32_t k = 0; p->gather && k < p->gather->t.s.rank; k++)
            dim[rank++] = p->gather->t.s.dim[k];
        if (p->gather)
            part[n++] = p->gather;
    }
    struct shape indices;
    for (uint32_t i = 0; i < n; i++) {
        part[i] = v_moved(e, part[i], part[i]->at);
        part[i]->t.s.rank = 0;
    }
    for (uint32_t i = 0; i < s->n; i++)
        if (s->place[i].form)
            form_indices(e, s->place[i].form, part, &n);
    shape_join(e, s->at, "index", n, part, &indices);
    return shape_with(e, indices, rank, dim);
}

static void guard(struct subscript *s, val r, const struct place *p, const struct dim *n,
                  const struct ix *ix, const struct shape *dom)
{
    struct elab *e = s->e;
    int64_t dim[IR_MAX_AXES];
    const struct dim *axes[IR_MAX_AXES];
    for (uint32_t i = 0; i < dom->nix + dom->rank; i++) {
        axes[i] = i < dom->nix ? dom->ix[i]->n : dom->dim[i - dom->nix];
        dim[i] = emit_size(e, axes[i]);
    }
    struct ix_range in = ix_range(ix, dim);
    bool below = live_dim(e, n) ? live_inside(e, ix, axes, n) : in.hi < emit_size(e, n);
    if (form_has_value(p->form) || (in.lo >= 0 && below))
        return;
    struct guard *g = ARENA_ARRAY(e->mem, struct guard, r->t.nguard + 1);
    memcpy(g, r->t.guard, r->t.nguard * sizeof *g);
    g[r->t.nguard++] = (struct guard){p->form, n};
    r->t.guard = g;
}

static void emit_read(struct subscript *s, val r)
{
    struct elab *e = s->e;
    struct arena *mem = e->m->mem;
    const struct shape *dom = &r->t.s;
    val gathered[NN_MAX_RANK * 4];
    const struct ir_term *gathered_at[NN_MAX_RANK * 4] = {NULL};
    struct ir_term *t = ARENA_ARRAY(mem, struct ir_term, s->n);
    uint32_t ng = 0, axis = dom->nix;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct place *p = &s->place[i];
        const struct ix *ix;
        if (p->slice) {
            ix = ix_mul(mem, ix_axis(mem, axis++), emit_number(e, p->step));
            ix = ix_add(mem, ix,
                        live_dim(e, p->lo) ? size_ix(e, p->lo, gathered, &ng)
                                           : ix_const(mem, emit_size(e, p->lo)));
        } else if (p->gather) {
            struct ir_term *own = ARENA_ARRAY(mem, struct ir_term, p->gather->t.s.rank);
            for (uint32_t k = 0; k < p->gather->t.s.rank; k++)
                own[k] =
                    (struct ir_term){ix_axis(mem, axis++), 1, emit_size(e, p->gather->t.s.dim[k])};
            gathered_at[ng] = own;
            gathered[ng++] = p->gather;
            ix = ix_operand(mem, ng);
        } else {
            ix = form_ix(e, p->form, dom, gathered, &ng);
        }
        t[i] = (struct ir_term){ix, 1, emit_size(e, s->x->t.s.dim[i])};
    }
    for (uint32_t i = 0; i < s->n; i++)
        if (s->place[i].form && e->leaves_out)
            guard(s, r, &s->place[i], s->x->t.s.dim[i], t[i].e, dom);
    for (uint32_t i = 0; i < ng; i++)
        emit_node_of(e, gathered[i]);
    r->t.node = emit_move(e, s->x, dom, t, ng, gathered, gathered_at);
}

/* The same number for the same slices and lone indices; 0 for all others. */
static uint64_t how_read(const struct subscript *s)
{
    uint64_t how = 1;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct place *p = &s->place[i];
        struct index *ix;
        if (p->slice)
            how = nn_mix(nn_mix(nn_mix(how, (uintptr_t)p->lo), (uintptr_t)p->step),
                         (uintptr_t)p->len);
        else if (p->form && form_is_index(p->form, &ix))
            how = nn_mix(how, ix->id);
        else
            return 0;
    }
    return how;
}

static val read_tensor(struct subscript *s)
{
    struct elab *e = s->e;
    emit_origin(e, s->at, "index");
    emit_node_of(e, s->x);
    struct shape dom = domain(s);
    val r = v_tensor(e, s->x->t.dtype, dom, s->at);
    r->t.weak = s->x->t.weak;
    r->t.of = mark_moved(e, s->x->t.of, how_read(s));
    guards_join(e, r, 1, &s->x);
    if (e->b)
        emit_read(s, r);
    if (dom.rank > NN_MAX_RANK) {
        elab_error(e, s->at, "a tensor has at most %d axes", NN_MAX_RANK);
        return v_poison(e);
    }
    return r;
}

/* ---- the items ---- */

struct flat { /* an item, spreads opened */
    const struct tree_item *item;
    val v; /* NULL: a slice or `...` */
};

static bool flatten(struct elab *e, const struct tree_items *items, struct flat *out, uint32_t *n,
                    uint32_t cap)
{
    *n = 0;
    for (uint32_t i = 0; i < items->n; i++) {
        const struct tree_item *t = &items->p[i];
        val one = NULL, *p = &one;
        uint32_t m = 1;
        if (t->kind == TREE_ITEM_NAMED) {
            elab_error(e, t->at, "a subscript has no names");
            return false;
        }
        if (t->kind == TREE_ITEM_VALUE || t->kind == TREE_ITEM_SPREAD) {
            one = eval(e, t->value, NULL);
            if (v_bad(one))
                return false;
        }
        if (t->kind == TREE_ITEM_SPREAD && !members(e, one, t->at, &p, &m))
            return false;
        for (uint32_t k = 0; k < m && *n < cap; k++)
            out[(*n)++] = (struct flat){t, p[k]};
    }
    return true;
}

static val tensor_subscript(struct elab *e, val x, const struct tree_expr *at)
{
    struct subscript s = {.e = e, .x = x, .at = at->at};
    struct flat item[4 * NN_MAX_RANK];
    uint32_t n, used = 0, rank = x->t.s.rank, dots = 0;
    if (!flatten(e, &at->call.items, item, &n, COUNT(item)))
        return v_poison(e);
    for (uint32_t i = 0; i < n; i++)
        if (item[i].item->kind == TREE_ITEM_ELLIPSIS)
            dots++;
        else
            used++;
    if (used > rank || dots > 1) {
        if (elab_error(e, at->at,
                       dots > 1 ? "`...` stands once in a subscript" : "%u subscripts for %s", used,
                       v_text(e, x)))
            elab_called(e);
        return v_poison(e);
    }
    bool good = true;
    for (uint32_t i = 0; i < n; i++) {
        if (item[i].item->kind == TREE_ITEM_ELLIPSIS) {
            for (uint32_t k = used; k < rank; k++)
                whole(&s, x->t.s.dim[s.n]);
            continue;
        }
        const struct dim *d = x->t.s.dim[s.n];
        good = (item[i].v ? element(&s, item[i].v, item[i].item->at, d)
                          : slice(&s, item[i].item, d)) &&
               good;
    }
    while (s.n < rank)
        whole(&s, x->t.s.dim[s.n]);
    return good ? read_tensor(&s) : v_poison(e);
}

static val list_subscript(struct elab *e, val x, const struct tree_expr *at)
{
    const struct tree_items *items = &at->call.items;
    int64_t i, lo = 0, hi = x->list.n, n = x->list.n;
    if (items->n == 1 && items->p[0].kind == TREE_ITEM_VALUE) {
        val v = eval(e, items->p[0].value, NULL);
        if (v_is_const_int(v, &i)) {
            i += i < 0 ? n : 0;
            if (i >= 0 && i < n)
                return x->list.p[i];
            if (elab_error(e, at->at, "index %lld is outside of %s", (long long)(i < 0 ? i - n : i),
                           v_text(e, x)))
                elab_called(e);
        } else if (!v_bad(v) && elab_error(e, items->p[0].at,
                                           "a list's index is an integer known at compile time, "
                                           "not %s",
                                           v_text(e, v))) {
            elab_called(e);
        }
        return v_poison(e);
    }
    if (items->n == 1 && items->p[0].kind == TREE_ITEM_SLICE && !items->p[0].step) {
        const struct dim *d[2], *size = dim_const(e->dims, n);
        if (!slice_part(e, items->p[0].lo, size, dim_const(e->dims, 0), &d[0]) ||
            !slice_part(e, items->p[0].hi, size, size, &d[1]))
            return v_poison(e);
        if (dim_is_const(d[0], &lo) && dim_is_const(d[1], &hi) && lo >= 0 && lo <= hi && hi <= n)
            return v_list(e, x->kind, x->list.p + lo, (uint32_t)(hi - lo), at->at);
    }
    if (elab_error(e, at->at, "this is no index or slice of %s", v_text(e, x)))
        elab_called(e);
    return v_poison(e);
}

val subscript_expr(struct elab *e, const struct tree_expr *x)
{
    val of = eval(e, x->call.fn, NULL);
    if (v_bad(of))
        return of;
    if (v_is_tensor(of))
        return tensor_subscript(e, of, x);
    if (of->kind == V_LIST || of->kind == V_TUPLE)
        return list_subscript(e, of, x);
    if (elab_error(e, x->at, "%s has no subscripts", v_text(e, of)))
        elab_called(e);
    return v_poison(e);
}
