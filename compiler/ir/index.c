/* Index expressions: quasi-affine, kept canonical as they are built, so that equality is
 * structural.
 *
 * A floor division by q first gives up what divides: x = q*A + R leaves A + R//q, with every
 * coefficient of R below q in size. R//q then falls to ranges (R stays within one multiple of q),
 * to a common factor g of q and some coefficients whose remaining part stays within one multiple of
 * g, or to the nested forms (e//p)//q and (e%p)//q. Modulus goes the same way with the same R,
 * which is why q*(e//q) + e%q and its relatives cancel when a sum is formed: splitting an axis and
 * merging it again leaves the axis. */
#include "ir/ir.h"

#define LIMIT (INT64_MAX / 4)

static int64_t floor_div(int64_t x, int64_t q)
{
    int64_t r = x / q;
    return r - (x % q < 0);
}

static int64_t floor_mod(int64_t x, int64_t q)
{
    int64_t r = x % q;
    return r < 0 ? r + q : r;
}

static int64_t gcd(int64_t x, int64_t y)
{
    x = x < 0 ? -x : x;
    y = y < 0 ? -y : y;
    while (y) {
        int64_t t = x % y;
        x = y;
        y = t;
    }
    return x;
}

/* ---- order and equality ---- */

static int compare(const struct ix *x, const struct ix *y);

static int compare_atom(const struct ix_atom *x, const struct ix_atom *y)
{
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->kind == IX_AXIS || x->kind == IX_OPERAND)
        return (x->v > y->v) - (x->v < y->v);
    if (x->q != y->q)
        return x->q < y->q ? -1 : 1;
    return x->e == y->e ? 0 : compare(x->e, y->e);
}

static int compare(const struct ix *x, const struct ix *y)
{
    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    for (uint32_t i = 0; i < x->n; i++) {
        int o = compare_atom(&x->part[i].a, &y->part[i].a);
        if (o)
            return o;
        if (x->part[i].c != y->part[i].c)
            return x->part[i].c < y->part[i].c ? -1 : 1;
    }
    return (x->c0 > y->c0) - (x->c0 < y->c0);
}

bool ix_equal(const struct ix *x, const struct ix *y) { return x == y || compare(x, y) == 0; }

/* ---- sums ---- */

static struct ix *make(struct arena *a, uint32_t parts, int64_t c0)
{
    struct ix *x = arena_alloc(a, sizeof *x + parts * sizeof x->part[0]);
    x->c0 = c0;
    return x;
}

static const struct ix *from_atom(struct arena *a, struct ix_atom t)
{
    struct ix *x = make(a, 1, 0);
    x->n = 1;
    x->part[0] = (struct ix_part){1, t};
    return x;
}

const struct ix *ix_const(struct arena *a, int64_t c) { return make(a, 0, c); }

const struct ix *ix_axis(struct arena *a, uint32_t axis)
{
    return from_atom(a, (struct ix_atom){.kind = IX_AXIS, .v = axis});
}

const struct ix *ix_operand(struct arena *a, uint32_t operand)
{
    return from_atom(a, (struct ix_atom){.kind = IX_OPERAND, .v = operand});
}

const struct ix *ix_mul(struct arena *a, const struct ix *x, int64_t c)
{
    if (c == 1)
        return x;
    if (c == 0)
        return ix_const(a, 0);
    struct ix *r = make(a, x->n, x->c0 * c);
    r->n = x->n;
    for (uint32_t i = 0; i < x->n; i++)
        r->part[i] = (struct ix_part){x->part[i].c * c, x->part[i].a};
    return r;
}

static struct ix *merge(struct arena *a, const struct ix *x, const struct ix *y)
{
    struct ix *r = make(a, x->n + y->n, x->c0 + y->c0);
    uint32_t i = 0, j = 0;
    while (i < x->n || j < y->n) {
        int o = i == x->n ? 1 : j == y->n ? -1 : compare_atom(&x->part[i].a, &y->part[j].a);
        struct ix_part p = o <= 0 ? x->part[i] : y->part[j];
        if (o == 0)
            p.c += y->part[j].c;
        i += o <= 0;
        j += o >= 0;
        if (p.c)
            r->part[r->n++] = p;
    }
    return r;
}

/* x without parts i and j. */
static struct ix *without(struct arena *a, const struct ix *x, uint32_t i, uint32_t j)
{
    struct ix *r = make(a, x->n, x->c0);
    for (uint32_t k = 0; k < x->n; k++)
        if (k != i && k != j)
            r->part[r->n++] = x->part[k];
    return r;
}

/* c*(e%q) + c*q*(e//q) is c*e, and c*(e%q) + c*q*((e//q)%r) is c*(e%(q*r)). */
static const struct ix *recombine(struct arena *a, const struct ix *x)
{
    for (uint32_t i = 0; i < x->n; i++) {
        const struct ix_part *p = &x->part[i];
        int64_t step;
        if (p->a.kind != IX_MOD || __builtin_mul_overflow(p->c, p->a.q, &step))
            continue;
        const struct ix *quotient = NULL;
        for (uint32_t j = 0; j < x->n; j++) {
            const struct ix_part *d = &x->part[j];
            if (d->c != step || d->a.kind < IX_DIV)
                continue;
            if (!quotient)
                quotient = ix_div(a, p->a.e, p->a.q, NULL);
            const struct ix *whole = NULL;
            if (d->a.kind == IX_DIV && quotient->n == 1 && quotient->part[0].c == 1 &&
                quotient->c0 == 0 && compare_atom(&quotient->part[0].a, &d->a) == 0)
                whole = p->a.e;
            else if (d->a.kind == IX_MOD && ix_equal(quotient, d->a.e))
                whole = ix_mod(a, p->a.e, p->a.q * d->a.q, NULL);
            if (whole)
                return ix_add(a, without(a, x, i, j), ix_mul(a, whole, p->c));
        }
    }
    return x;
}

const struct ix *ix_add(struct arena *a, const struct ix *x, const struct ix *y)
{
    return recombine(a, merge(a, x, y));
}

/* ---- ranges ---- */

/* A bound at LIMIT or beyond is no bound, and stays none in sums and quotients. */
static int64_t clamp(int64_t x) { return x > LIMIT ? LIMIT : x < -LIMIT ? -LIMIT : x; }

static int64_t clamp_mul(int64_t x, int64_t c)
{
    int64_t r;
    if (c == 0 || x == 0)
        return 0;
    if (x >= LIMIT || x <= -LIMIT || __builtin_mul_overflow(x, c, &r))
        return (x < 0) == (c < 0) ? LIMIT : -LIMIT;
    return clamp(r);
}

static int64_t add_lo(int64_t x, int64_t y)
{
    return x <= -LIMIT || y <= -LIMIT ? -LIMIT : clamp(x + y);
}

static int64_t add_hi(int64_t x, int64_t y)
{
    return x >= LIMIT || y >= LIMIT ? LIMIT : clamp(x + y);
}

static bool bounded(struct ix_range r) { return r.lo > -LIMIT && r.hi < LIMIT; }

static bool range(const struct ix *x, const int64_t *dim, struct ix_range *out);

/* False where the domain is empty. */
static bool atom_range(const struct ix_atom *t, const int64_t *dim, struct ix_range *out)
{
    *out = (struct ix_range){-LIMIT, LIMIT};
    struct ix_range e;
    switch (t->kind) {
    case IX_AXIS: *out = (struct ix_range){0, dim ? dim[t->v] - 1 : LIMIT}; return out->hi >= 0;
    case IX_OPERAND: return true;
    case IX_DIV:
        if (!range(t->e, dim, &e))
            return false;
        if (e.lo > -LIMIT)
            out->lo = floor_div(e.lo, t->q);
        if (e.hi < LIMIT)
            out->hi = floor_div(e.hi, t->q);
        return true;
    case IX_MOD:
        if (!range(t->e, dim, &e))
            return false;
        *out = (struct ix_range){0, t->q - 1};
        if (bounded(e) && floor_div(e.lo, t->q) == floor_div(e.hi, t->q))
            *out = (struct ix_range){floor_mod(e.lo, t->q), floor_mod(e.hi, t->q)};
        return true;
    }
    return true;
}

static bool range(const struct ix *x, const int64_t *dim, struct ix_range *out)
{
    struct ix_range r = {clamp(x->c0), clamp(x->c0)};
    for (uint32_t i = 0; i < x->n; i++) {
        struct ix_range p;
        if (!atom_range(&x->part[i].a, dim, &p))
            return false;
        int64_t c = x->part[i].c;
        r.lo = add_lo(r.lo, clamp_mul(c > 0 ? p.lo : p.hi, c));
        r.hi = add_hi(r.hi, clamp_mul(c > 0 ? p.hi : p.lo, c));
    }
    *out = r;
    return true;
}

struct ix_range ix_range(const struct ix *x, const int64_t *dim)
{
    struct ix_range r;
    return range(x, dim, &r) ? r : (struct ix_range){0, -1};
}

/* x stays within one multiple of q: *k is x//q everywhere. */
static bool one_multiple(const struct ix *x, int64_t q, const int64_t *dim, int64_t *k)
{
    struct ix_range r;
    if (!range(x, dim, &r))
        return false;
    *k = floor_div(r.lo, q);
    return bounded(r) && *k == floor_div(r.hi, q);
}

/* ---- floor division and modulus ---- */

/* x = q*whole + rest, every coefficient of the rest below q in size, its constant in [0, q). */
static void split(struct arena *a, const struct ix *x, int64_t q, const struct ix **whole,
                  const struct ix **rest)
{
    struct ix *w = make(a, x->n, floor_div(x->c0, q)), *r = make(a, x->n, floor_mod(x->c0, q));
    for (uint32_t i = 0; i < x->n; i++) {
        struct ix_part p = x->part[i];
        if (p.c / q)
            w->part[w->n++] = (struct ix_part){p.c / q, p.a};
        if (p.c % q)
            r->part[r->n++] = (struct ix_part){p.c % q, p.a};
    }
    *whole = w;
    *rest = r;
}

/* x = g*high + low with g | q, where low stays within one multiple of g (low//g is added to high,
 * so low ends in [0, g)). False if no g > 1 does. */
static bool factor(struct arena *a, const struct ix *x, int64_t q, const int64_t *dim,
                   int64_t *out_g, const struct ix **high, const struct ix **low)
{
    for (uint32_t i = 0; i < x->n; i++)
        for (uint32_t j = i; j < x->n; j++) {
            int64_t g = gcd(gcd(x->part[i].c, x->part[j].c), q), k;
            if (g == 1)
                continue;
            struct ix *h = make(a, x->n, floor_div(x->c0, g));
            struct ix *l = make(a, x->n, floor_mod(x->c0, g));
            for (uint32_t p = 0; p < x->n; p++) {
                struct ix_part t = x->part[p];
                if (t.c % g == 0)
                    h->part[h->n++] = (struct ix_part){t.c / g, t.a};
                else
                    l->part[l->n++] = t;
            }
            if (!one_multiple(l, g, dim, &k))
                continue;
            h->c0 += k;
            l->c0 -= k * g;
            *out_g = g;
            *high = h;
            *low = l;
            return true;
        }
    return false;
}

static const struct ix *div_rest(struct arena *a, const struct ix *r, int64_t q, const int64_t *dim)
{
    const struct ix *high, *low;
    int64_t k, g;
    if (one_multiple(r, q, dim, &k))
        return ix_const(a, k);
    if (factor(a, r, q, dim, &g, &high, &low))
        return ix_div(a, high, q / g, dim);
    if (r->n == 1 && r->part[0].c == 1) {
        const struct ix_atom *t = &r->part[0].a;
        int64_t both, c0;
        if (t->kind == IX_DIV && !__builtin_mul_overflow(t->q, q, &both) &&
            !__builtin_mul_overflow(t->q, r->c0, &c0))
            return ix_div(a, ix_add(a, t->e, ix_const(a, c0)), both, dim);
        if (t->kind == IX_MOD && r->c0 == 0 && t->q % q == 0)
            return ix_mod(a, ix_div(a, t->e, q, dim), t->q / q, dim);
    }
    return from_atom(a, (struct ix_atom){.kind = IX_DIV, .e = r, .q = q});
}

const struct ix *ix_div(struct arena *a, const struct ix *x, int64_t q, const int64_t *dim)
{
    CHECK(q > 0, "division by %lld in an index", (long long)q);
    const struct ix *whole, *rest;
    if (q == 1)
        return x;
    split(a, x, q, &whole, &rest);
    return rest->n ? ix_add(a, whole, div_rest(a, rest, q, dim)) : whole;
}

/* (c*(e%p) + s) % q is (c*e + s) % q where q divides c*p. */
static const struct ix *drop_inner_mod(struct arena *a, const struct ix *r, int64_t q)
{
    for (uint32_t i = 0; i < r->n; i++) {
        const struct ix_part *p = &r->part[i];
        int64_t step;
        if (p->a.kind == IX_MOD && !__builtin_mul_overflow(p->c, p->a.q, &step) && step % q == 0)
            return ix_add(a, without(a, r, i, i), ix_mul(a, p->a.e, p->c));
    }
    return NULL;
}

const struct ix *ix_mod(struct arena *a, const struct ix *x, int64_t q, const int64_t *dim)
{
    CHECK(q > 0, "modulus by %lld in an index", (long long)q);
    const struct ix *whole, *r, *high, *low;
    int64_t k, g;
    if (q == 1)
        return ix_const(a, 0);
    split(a, x, q, &whole, &r);
    if (one_multiple(r, q, dim, &k))
        return ix_add(a, r, ix_const(a, -k * q));
    const struct ix *inner = drop_inner_mod(a, r, q);
    if (inner)
        return ix_mod(a, inner, q, dim);
    if (factor(a, r, q, dim, &g, &high, &low))
        return ix_add(a, ix_mul(a, ix_mod(a, high, q / g, dim), g), low);
    return from_atom(a, (struct ix_atom){.kind = IX_MOD, .e = r, .q = q});
}

/* ---- questions ---- */

bool ix_is_const(const struct ix *x, int64_t *c)
{
    if (x->n)
        return false;
    if (c)
        *c = x->c0;
    return true;
}

bool ix_is_axis(const struct ix *x, uint32_t *axis)
{
    if (x->n != 1 || x->c0 || x->part[0].c != 1 || x->part[0].a.kind != IX_AXIS)
        return false;
    if (axis)
        *axis = x->part[0].a.v;
    return true;
}

bool ix_is_affine(const struct ix *x)
{
    for (uint32_t i = 0; i < x->n; i++)
        if (x->part[i].a.kind != IX_AXIS)
            return false;
    return true;
}

bool ix_uses_axis(const struct ix *x, uint32_t axis)
{
    for (uint32_t i = 0; i < x->n; i++) {
        const struct ix_atom *t = &x->part[i].a;
        if (t->kind == IX_AXIS ? t->v == axis : t->e && ix_uses_axis(t->e, axis))
            return true;
    }
    return false;
}

bool ix_uses_operand(const struct ix *x)
{
    for (uint32_t i = 0; i < x->n; i++) {
        const struct ix_atom *t = &x->part[i].a;
        if (t->kind == IX_OPERAND || (t->e && ix_uses_operand(t->e)))
            return true;
    }
    return false;
}

bool ix_mentions_operand(const struct ix *x, uint32_t operand)
{
    for (uint32_t i = 0; i < x->n; i++) {
        const struct ix_atom *t = &x->part[i].a;
        if (t->kind == IX_OPERAND ? t->v == operand : t->e && ix_mentions_operand(t->e, operand))
            return true;
    }
    return false;
}

int64_t ix_coef(const struct ix *x, uint32_t axis)
{
    for (uint32_t i = 0; i < x->n; i++)
        if (x->part[i].a.kind == IX_AXIS && x->part[i].a.v == axis)
            return x->part[i].c;
    return 0;
}

/* ---- substitution and evaluation ---- */

const struct ix *ix_subst(struct arena *a, const struct ix *x, const struct ix *const *to,
                          const struct ix *const *operand, const int64_t *dim)
{
    const struct ix *r = ix_const(a, x->c0);
    for (uint32_t i = 0; i < x->n; i++) {
        const struct ix_atom *t = &x->part[i].a;
        const struct ix *v = NULL;
        switch (t->kind) {
        case IX_AXIS: v = to ? to[t->v] : NULL; break;
        case IX_OPERAND: v = operand ? operand[t->v] : NULL; break;
        case IX_DIV: v = ix_div(a, ix_subst(a, t->e, to, operand, dim), t->q, dim); break;
        case IX_MOD: v = ix_mod(a, ix_subst(a, t->e, to, operand, dim), t->q, dim); break;
        }
        if (!v)
            v = from_atom(a, *t);
        r = ix_add(a, r, ix_mul(a, v, x->part[i].c));
    }
    return r;
}

int64_t ix_eval(const struct ix *x, const int64_t *axis, const int64_t *operand)
{
    int64_t sum = x->c0;
    for (uint32_t i = 0; i < x->n; i++) {
        const struct ix_atom *t = &x->part[i].a;
        int64_t v = 0;
        switch (t->kind) {
        case IX_AXIS: v = axis[t->v]; break;
        case IX_OPERAND: v = operand[t->v]; break;
        case IX_DIV: v = floor_div(ix_eval(t->e, axis, operand), t->q); break;
        case IX_MOD: v = floor_mod(ix_eval(t->e, axis, operand), t->q); break;
        }
        sum += x->part[i].c * v;
    }
    return sum;
}
