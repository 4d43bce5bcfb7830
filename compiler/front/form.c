/* Index forms: integers as affine expressions of the notation's indices, kept beside their values
 * so that a subscript becomes an access and not a gather. */
#include "front/elab.h"

static struct form *form_new(struct elab *e, uint32_t n)
{
    return arena_alloc(e->mem, sizeof(struct form) + n * sizeof(struct form_part));
}

static const struct form *form_part(struct elab *e, struct form_part p)
{
    struct form *f = form_new(e, 1);
    f->c0 = dim_const(e->dims, 0);
    p.c = dim_const(e->dims, 1);
    f->n = 1;
    f->part[0] = p;
    return f;
}

const struct form *form_index(struct elab *e, struct index *ix)
{
    return form_part(e, (struct form_part){.kind = PART_INDEX, .ix = ix});
}

const struct form *form_value(struct elab *e, val v)
{
    return form_part(e, (struct form_part){.kind = PART_VALUE, .v = v});
}

const struct form *form_of(struct elab *e, val v)
{
    if (v->kind == V_INT) {
        struct form *f = form_new(e, 0);
        f->c0 = v->i;
        return f;
    }
    if (!v_is_tensor(v) || v->t.s.rank || !nn_is_int(v->t.dtype))
        return NULL;
    return v->t.form ? v->t.form : form_value(e, v);
}

static bool part_same(const struct form_part *a, const struct form_part *b)
{
    return a->kind == b->kind && a->ix == b->ix && a->v == b->v && a->of == b->of && a->q == b->q;
}

const struct form *form_add(struct elab *e, const struct form *a, const struct form *b,
                            int64_t sign)
{
    struct form *f = form_new(e, a->n + b->n);
    const struct dim *k = dim_const(e->dims, sign), *zero = dim_const(e->dims, 0);
    f->c0 = dim_add(e->dims, a->c0, dim_mul(e->dims, k, b->c0));
    for (uint32_t i = 0; i < a->n; i++)
        f->part[f->n++] = a->part[i];
    for (uint32_t i = 0; i < b->n; i++) {
        struct form_part p = b->part[i];
        uint32_t at = 0;
        p.c = dim_mul(e->dims, k, p.c);
        while (at < f->n && !part_same(&f->part[at], &p))
            at++;
        if (at == f->n)
            f->part[f->n++] = p;
        else
            f->part[at].c = dim_add(e->dims, f->part[at].c, p.c);
    }
    uint32_t m = 0;
    for (uint32_t i = 0; i < f->n; i++)
        if (f->part[i].c != zero)
            f->part[m++] = f->part[i];
    f->n = m;
    return f;
}

const struct form *form_mul(struct elab *e, const struct form *a, const struct form *b)
{
    if (a->n && b->n)
        return NULL;
    if (a->n) {
        const struct form *t = a;
        a = b;
        b = t;
    }
    struct form *f = form_new(e, b->n);
    f->c0 = dim_mul(e->dims, a->c0, b->c0);
    if (a->c0 == dim_const(e->dims, 0))
        return f;
    f->n = b->n;
    for (uint32_t i = 0; i < b->n; i++) {
        f->part[i] = b->part[i];
        f->part[i].c = dim_mul(e->dims, a->c0, b->part[i].c);
    }
    return f;
}

const struct form *form_div(struct elab *e, const struct form *a, const struct form *b, bool mod)
{
    const struct dim *zero = dim_const(e->dims, 0);
    int64_t q;
    if (b->n || b->c0 == zero || (dim_is_const(b->c0, &q) && q < 0))
        return NULL;
    if (!a->n) {
        struct form *f = form_new(e, 0);
        f->c0 = mod ? dim_mod(e->dims, a->c0, b->c0) : dim_div(e->dims, a->c0, b->c0);
        return f;
    }
    struct form_part p = {.kind = mod ? PART_MOD : PART_DIV, .of = a, .q = b->c0};
    return form_part(e, p);
}

bool form_is_index(const struct form *f, struct index **ix)
{
    int64_t c;
    if (f->n != 1 || f->part[0].kind != PART_INDEX || !dim_is_const(f->c0, &c) || c ||
        !dim_is_const(f->part[0].c, &c) || c != 1)
        return false;
    *ix = f->part[0].ix;
    return true;
}

bool form_has_value(const struct form *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (f->part[i].kind == PART_VALUE || (f->part[i].of && form_has_value(f->part[i].of)))
            return true;
    return false;
}

static const struct ix *part_ix(struct elab *e, const struct form_part *p, const struct shape *dom,
                                const int64_t *dim, val *gathered, uint32_t *n)
{
    struct arena *mem = e->m->mem;
    switch (p->kind) {
    case PART_INDEX:
        for (uint32_t i = 0; i < dom->nix; i++)
            if (dom->ix[i] == p->ix)
                return ix_axis(mem, i);
        BUG("index %s is not in the domain", p->ix->name);
    case PART_VALUE: gathered[*n] = p->v; return ix_operand(mem, ++*n);
    case PART_DIV:
        return ix_div(mem, form_ix(e, p->of, dom, gathered, n), emit_number(e, p->q), dim);
    case PART_MOD:
        return ix_mod(mem, form_ix(e, p->of, dom, gathered, n), emit_number(e, p->q), dim);
    }
    BUG("part kind %d", p->kind);
}

#define FURTHEST ((int64_t)1 << 55) /* of an index: beyond, arithmetic on it could overflow */

static int64_t size_of(int64_t c) { return c == INT64_MIN ? INT64_MAX : c < 0 ? -c : c; }

/* The largest number in an index expression: what it adds up to where no value is gathered, and its
 * coefficients. */
static int64_t reach(const struct ix *x, const int64_t *dim)
{
    struct ix_range r = ix_range(x, dim);
    int64_t most = size_of(x->c0);
    if (!ix_uses_operand(x))
        most = size_of(r.hi) > size_of(r.lo) ? size_of(r.hi) : size_of(r.lo);
    for (uint32_t i = 0; i < x->n; i++)
        most = size_of(x->part[i].c) > most ? size_of(x->part[i].c) : most;
    return most;
}

/* As reach, of a form before its graph exists: sizes that are no numbers count as 1. */
static int64_t form_reach(struct elab *e, const struct form *f)
{
    int64_t most, c, n;
    most = dim_is_const(f->c0, &c) ? size_of(c) : 0;
    for (uint32_t i = 0; i < f->n && most <= FURTHEST; i++) {
        const struct form_part *p = &f->part[i];
        int64_t own = 1;
        if (p->kind == PART_INDEX && p->ix->n && dim_is_const(p->ix->n, &n))
            own = n > 1 ? n - 1 : n;
        if (p->kind == PART_DIV || p->kind == PART_MOD)
            own = form_reach(e, p->of) > FURTHEST ? FURTHEST + 1 : 1;
        c = dim_is_const(p->c, &c) ? size_of(c) : 1;
        most = own > FURTHEST || (c && own > FURTHEST / c) ? FURTHEST + 1 : most + own * c;
    }
    return most;
}

bool form_is_near(struct elab *e, const struct form *f, struct loc at)
{
    if (form_reach(e, f) <= FURTHEST)
        return true;
    if (elab_error(e, at, "an index goes beyond 2**55"))
        elab_called(e);
    return false;
}

/* x + c*p, refused where that would come near the end of 64 bits. */
static const struct ix *add_scaled(struct elab *e, const struct ix *x, const struct ix *p,
                                   int64_t c, const int64_t *dim)
{
    int64_t a = reach(p, dim), b = reach(x, dim), m = size_of(c);
    if (m <= FURTHEST && b <= FURTHEST && (!m || a <= FURTHEST / m))
        return ix_add(e->m->mem, x, ix_mul(e->m->mem, p, c));
    elab_error(e, e->place, "an index goes beyond 2**55");
    return ix_const(e->m->mem, 0);
}

const struct ix *size_ix(struct elab *e, const struct dim *d, val *gathered, uint32_t *ngathered)
{
    val v = v_tensor(e, NN_i64, shape_scalar(), e->place);
    v->t.size = true;
    v->t.node = live_number(e, v_int(e, d, e->place), NN_i64);
    gathered[*ngathered] = v;
    return ix_operand(e->m->mem, ++*ngathered);
}

const struct ix *form_ix(struct elab *e, const struct form *f, const struct shape *dom,
                         val *gathered, uint32_t *ngathered)
{
    struct arena *mem = e->m->mem;
    int64_t dim[IR_MAX_AXES];
    for (uint32_t i = 0; i < dom->nix + dom->rank; i++)
        dim[i] = emit_size(e, i < dom->nix ? dom->ix[i]->n : dom->dim[i - dom->nix]);
    const struct ix *zero = ix_const(mem, 0), *x;
    x = live_dim(e, f->c0) ? size_ix(e, f->c0, gathered, ngathered)
                           : ix_const(mem, emit_size(e, f->c0));
    for (uint32_t i = 0; i < f->n; i++) {
        const struct ix *p = part_ix(e, &f->part[i], dom, dim, gathered, ngathered);
        x = add_scaled(e, x, p, emit_number(e, f->part[i].c), dim);
    }
    return add_scaled(e, zero, x, 1, dim);
}

/* The indices of a form, as rank 0 tensors appended to part[]. */
void form_indices(struct elab *e, const struct form *f, val *part, uint32_t *n)
{
    for (uint32_t i = 0; i < f->n; i++) {
        const struct form_part *p = &f->part[i];
        if (p->of)
            form_indices(e, p->of, part, n);
        if (p->kind == PART_VALUE)
            part[(*n)++] = p->v;
        if (p->kind == PART_INDEX) {
            struct index **ix = arena_dup(e->mem, &p->ix, sizeof p->ix);
            part[(*n)++] = v_tensor(e, NN_i32, (struct shape){1, 0, ix, NULL}, p->ix->at);
        }
    }
}
