/* Accesses: when they hold, and one seen through another. */
#include "ir/ir.h"

struct ir_access ir_identity(struct ir_module *m, uint32_t rank, const struct ir_axis *ax)
{
    struct ir_term *at = ARENA_ARRAY(m->mem, struct ir_term, rank);
    for (uint32_t i = 0; i < rank; i++)
        at[i] = (struct ir_term){ix_axis(m->mem, i), 1, ax[i].n};
    return (struct ir_access){.rank = rank, .at = at};
}

bool ir_access_is_identity(const struct ir_access *a, const struct ir_node *user)
{
    if (a->rank != user->nd || a->nguard)
        return false;
    for (uint32_t i = 0; i < a->rank; i++) {
        uint32_t axis;
        if (a->at[i].q != 1 || a->at[i].n != user->dom[i].n || !ix_is_axis(a->at[i].e, &axis) ||
            axis != i)
            return false;
    }
    return true;
}

static bool empty(const struct ix *x, const int64_t *dim)
{
    struct ix_range r = ix_range(x, dim);
    return r.lo > r.hi;
}

bool ir_term_total(const struct ir_term *t, const int64_t *dim)
{
    if (empty(t->e, dim))
        return true;
    struct ix_range r = ix_range(t->e, dim);
    return t->q == 1 && r.lo >= 0 && r.hi < t->n;
}

bool ir_access_total(const struct ir_access *a, const int64_t *dim)
{
    for (uint32_t i = 0; i < a->rank; i++)
        if (!ir_term_total(&a->at[i], dim))
            return false;
    for (uint32_t i = 0; i < a->nguard; i++)
        if (!ir_term_total(&a->guard[i], dim))
            return false;
    return true;
}

static int64_t gcd(int64_t x, int64_t y)
{
    x = x < 0 ? -x : x;
    while (y) {
        int64_t t = x % y;
        x = y < 0 ? -y : y;
        y = t;
    }
    return x;
}

struct ir_term ir_term_make(struct arena *a, const struct ix *e, int64_t q, int64_t n)
{
    CHECK(q > 0, "a term over %lld", (long long)q);
    int64_t g = gcd(q, e->c0);
    for (uint32_t i = 0; i < e->n && g > 1; i++)
        g = gcd(g, e->part[i].c);
    if (g > 1) { /* everything divides by g: so does the sum, exactly */
        e = ix_div(a, e, g, NULL);
        q /= g;
    }
    return (struct ir_term){e, q, n};
}

bool ir_term_equal(const struct ir_term *x, const struct ir_term *y)
{
    return x->q == y->q && x->n == y->n && ix_equal(x->e, y->e);
}

/* Where t holds, g does: g.e is d + t.e or d - t.e, over the same q. */
static bool implies(struct arena *a, const struct ir_term *t, const struct ir_term *g)
{
    int64_t d;
    if (t->q != g->q)
        return false;
    if (ix_is_const(ix_add(a, g->e, ix_mul(a, t->e, -1)), &d))
        return d % g->q == 0 && d / g->q >= 0 && t->n + d / g->q <= g->n;
    if (ix_is_const(ix_add(a, g->e, t->e), &d))
        return d % g->q == 0 && d / g->q - t->n + 1 >= 0 && d / g->q < g->n;
    return false;
}

static bool implied(struct arena *a, const struct ir_access *by, uint32_t guards,
                    const struct ir_term *g)
{
    for (uint32_t i = 0; i < by->rank; i++)
        if (implies(a, &by->at[i], g))
            return true;
    for (uint32_t i = 0; i < guards; i++)
        if (implies(a, &by->guard[i], g))
            return true;
    return false;
}

struct ir_access ir_access_make(struct ir_module *m, struct ir_access x, const int64_t *dim)
{
    struct arena *a = m->mem;
    struct ir_term *guard = ARENA_ARRAY(a, struct ir_term, x.nguard);
    uint32_t n = 0;
    struct ir_access r = x;
    r.guard = guard;
    for (uint32_t i = 0; i < x.nguard; i++) {
        struct ir_term t = ir_term_make(a, x.guard[i].e, x.guard[i].q, x.guard[i].n);
        if (!ir_term_total(&t, dim) && !implied(a, &r, n, &t))
            guard[n++] = t;
    }
    r.nguard = n;
    return r;
}

struct ir_access ir_access_subst(struct ir_module *m, struct ir_access x,
                                 const struct ix *const *to, const struct ix *const *operand,
                                 const int64_t *dim)
{
    struct ir_term *t = ARENA_ARRAY(m->mem, struct ir_term, x.rank + x.nguard);
    for (uint32_t i = 0; i < x.rank + x.nguard; i++) {
        t[i] = i < x.rank ? x.at[i] : x.guard[i - x.rank];
        t[i].e = ix_subst(m->mem, t[i].e, to, operand, dim);
    }
    x.at = t;
    x.guard = t + x.rank;
    return x;
}

static bool term_has_operand(const struct ir_access *x)
{
    for (uint32_t i = 0; i < x->rank; i++)
        if (ix_uses_operand(x->at[i].e))
            return true;
    for (uint32_t i = 0; i < x->nguard; i++)
        if (ix_uses_operand(x->guard[i].e))
            return true;
    return false;
}

/* One of inner's terms over outer's domain: axis i is at[i].e / at[i].q, exactly. */
static struct ir_term compose_term(struct arena *a, const struct ir_term *t,
                                   const struct ir_access *outer,
                                   const struct ix *const *whole, /* at[i].e // at[i].q */
                                   const struct ix *const *operand, const int64_t *dim)
{
    int64_t q = 1;
    bool affine = true;
    for (uint32_t i = 0; i < t->e->n; i++) {
        const struct ix_atom *p = &t->e->part[i].a;
        if (p->kind == IX_AXIS)
            q = q / gcd(q, outer->at[p->v].q) * outer->at[p->v].q;
        else
            affine = false;
    }
    if (q == 1 || !affine)
        return ir_term_make(a, ix_subst(a, t->e, whole, operand, dim), t->q, t->n);
    const struct ix *e = ix_const(a, t->e->c0 * q);
    for (uint32_t i = 0; i < t->e->n; i++) {
        const struct ir_term *s = &outer->at[t->e->part[i].a.v];
        e = ix_add(a, e, ix_mul(a, s->e, t->e->part[i].c * (q / s->q)));
    }
    return ir_term_make(a, e, q * t->q, t->n);
}

/* The largest operand number + 1 that inner mentions. */
static uint32_t operand_bound(const struct ix *x)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        const struct ix_atom *t = &x->part[i].a;
        uint32_t k = t->kind == IX_OPERAND ? t->v + 1 : t->e ? operand_bound(t->e) : 0;
        n = k > n ? k : n;
    }
    return n;
}

static const struct ix *const *shifted_operands(struct arena *a, const struct ir_access *inner,
                                                uint32_t base)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < inner->rank + inner->nguard; i++) {
        const struct ir_term *t = i < inner->rank ? &inner->at[i] : &inner->guard[i - inner->rank];
        uint32_t k = operand_bound(t->e);
        n = k > n ? k : n;
    }
    const struct ix **to = ARENA_ARRAY(a, const struct ix *, n);
    for (uint32_t k = 0; k < n; k++)
        to[k] = ix_operand(a, base + k);
    return to;
}

static const struct ix **quotients(struct arena *a, const struct ir_access *outer,
                                   const int64_t *dim)
{
    const struct ix **whole = ARENA_ARRAY(a, const struct ix *, outer->rank);
    for (uint32_t i = 0; i < outer->rank; i++)
        whole[i] = ix_div(a, outer->at[i].e, outer->at[i].q, dim);
    return whole;
}

struct ir_access ir_access_within(struct ir_module *m, const struct ir_access *outer,
                                  const struct ir_access *inner, const int64_t *dim,
                                  uint32_t operand_base)
{
    struct arena *a = m->mem;
    const struct ix **whole = quotients(a, outer, dim);
    const struct ix *const *operand = shifted_operands(a, inner, operand_base);
    struct ir_term *at = ARENA_ARRAY(a, struct ir_term, inner->rank);
    struct ir_term *guard = ARENA_ARRAY(a, struct ir_term, inner->nguard);
    for (uint32_t i = 0; i < inner->rank; i++)
        at[i] = compose_term(a, &inner->at[i], outer, whole, operand, dim);
    for (uint32_t i = 0; i < inner->nguard; i++)
        guard[i] = compose_term(a, &inner->guard[i], outer, whole, operand, dim);
    struct ir_access r = *inner;
    r.at = at;
    r.guard = guard;
    return ir_access_make(m, r, dim);
}

/* t holds wherever outer does. */
static bool follows(struct arena *a, const struct ir_access *outer, const struct ir_term *t,
                    const int64_t *dim)
{
    return ir_term_total(t, dim) || implied(a, outer, outer->nguard, t);
}

/* Inner may fail where an element that outer gathers leads: a strict outer must stop only for its
 * own coordinates, and one access cannot tell the two apart. */
static bool fails_by_gather(const struct ir_access *outer, const struct ir_access *inner,
                            const int64_t *mid)
{
    for (uint32_t i = 0; i < inner->rank + inner->nguard; i++) {
        const struct ir_term *t = i < inner->rank ? &inner->at[i] : &inner->guard[i - inner->rank];
        for (uint32_t k = 0; k < outer->rank && !ir_term_total(t, mid); k++)
            if (ix_uses_axis(t->e, k) && ix_uses_operand(outer->at[k].e))
                return true;
    }
    return false;
}

bool ir_compose(struct ir_module *m, const struct ir_access *outer, const struct ir_access *inner,
                const int64_t *dim, uint32_t operand_base, struct ir_access *result)
{
    struct arena *a = m->mem;
    int64_t *mid = ARENA_ARRAY(a, int64_t, outer->rank);
    for (uint32_t i = 0; i < outer->rank; i++)
        mid[i] = outer->at[i].n;
    bool outer_gather = term_has_operand(outer), inner_gather = term_has_operand(inner);
    if (outer_gather && inner_gather && outer->strict != inner->strict)
        return false;
    if (outer->strict && fails_by_gather(outer, inner, mid))
        return false;
    struct ir_access r = ir_access_within(m, outer, inner, dim, operand_base);
    bool outer_total = ir_access_total(outer, dim), inner_total = ir_access_total(inner, mid);
    if (!outer_total && !inner_total && outer->fill != inner->fill) {
        for (uint32_t i = 0; i < r.rank; i++)
            if (!follows(a, outer, &r.at[i], dim))
                return false;
        for (uint32_t i = 0; i < r.nguard; i++)
            if (!follows(a, outer, &r.guard[i], dim))
                return false;
    }
    struct ir_term *guard = ARENA_ARRAY(a, struct ir_term, outer->nguard + outer->rank + r.nguard);
    uint32_t n = 0;
    for (uint32_t i = 0; i < outer->nguard; i++)
        guard[n++] = outer->guard[i];
    for (uint32_t i = 0; i < outer->rank; i++)
        guard[n++] = outer->at[i];
    for (uint32_t i = 0; i < r.nguard; i++)
        guard[n++] = r.guard[i];
    r.guard = guard;
    r.nguard = n;
    r.fill = outer_total ? inner->fill : outer->fill;
    r.strict = (outer_gather && outer->strict) || (inner_gather && inner->strict);
    *result = ir_access_make(m, r, dim);
    return true;
}
