/* Polynomials over symbols. A monomial is a sorted run of atoms; a polynomial a run of terms sorted
 * by monomial, constant first. All are interned, so that equality is identity. An atom is a symbol
 * or a floor division whose multiples have been taken out: (8*h - 1)//2 becomes 4*h - 1. */
#include "front/dims.h"

enum { MAX_TERMS = 128, MAX_DEGREE = 12, MAX_NESTED = 4 };

struct mono {
    uint32_t id, n;
    const uint32_t *atom;
};

struct term {
    int64_t c;
    const struct mono *m;
};

struct dim {
    uint32_t id, n;
    const struct term *t;
};

struct atom {
    struct dim_sym *sym; /* NULL: num // den */
    const struct dim *num, *den;
};

struct table {
    void **slot;
    uint32_t n, cap;
};

struct dims {
    struct arena *mem;
    VEC(struct atom) atoms;
    struct table monos, polys;
    const struct mono *one;
    bool overflow;
    uint32_t nested; /* calls of over_common */
};

struct dims *dims_new(void)
{
    struct dims *s = xcalloc(1, sizeof *s);
    s->mem = arena_new();
    return s;
}

void dims_free(struct dims *s)
{
    if (!s)
        return;
    vec_free(&s->atoms);
    free(s->monos.slot);
    free(s->polys.slot);
    arena_free(s->mem);
    free(s);
}

bool dims_overflow(struct dims *s)
{
    bool o = s->overflow;
    s->overflow = false;
    return o;
}

/* ---- interning ---- */

static uint64_t mono_hash(const void *p)
{
    const struct mono *m = p;
    return hash_bytes(0, m->atom, m->n * sizeof *m->atom);
}

static uint64_t poly_hash(const void *p)
{
    const struct dim *d = p;
    uint64_t h = d->n;
    for (uint32_t i = 0; i < d->n; i++) {
        h = hash_bytes(h, &d->t[i].c, sizeof d->t[i].c);
        h = hash_bytes(h, &d->t[i].m->id, sizeof d->t[i].m->id);
    }
    return h;
}

static bool mono_same(const void *p, const void *q)
{
    const struct mono *a = p, *b = q;
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->atom[i] != b->atom[i])
            return false;
    return true;
}

static bool poly_same(const void *p, const void *q)
{
    const struct dim *a = p, *b = q;
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->t[i].c != b->t[i].c || a->t[i].m != b->t[i].m)
            return false;
    return true;
}

typedef uint64_t hash_fn(const void *);
typedef bool same_fn(const void *, const void *);

static void table_grow(struct table *t, hash_fn *hash)
{
    uint32_t cap = t->cap ? t->cap * 2 : 64;
    void **slot = xcalloc(cap, sizeof *slot);
    for (uint32_t i = 0; i < t->cap; i++)
        if (t->slot[i]) {
            uint32_t k = (uint32_t)hash(t->slot[i]) & (cap - 1);
            while (slot[k])
                k = (k + 1) & (cap - 1);
            slot[k] = t->slot[i];
        }
    free(t->slot);
    t->slot = slot;
    t->cap = cap;
}

/* The equal member, or NULL with *at the free slot for the new one. */
static void *table_find(struct table *t, const void *key, hash_fn *hash, same_fn *same,
                        uint32_t *at)
{
    if (2 * (t->n + 1) > t->cap)
        table_grow(t, hash);
    uint32_t k = (uint32_t)hash(key) & (t->cap - 1);
    while (t->slot[k]) {
        if (same(t->slot[k], key))
            return t->slot[k];
        k = (k + 1) & (t->cap - 1);
    }
    *at = k;
    return NULL;
}

static const struct mono *mono_of(struct dims *s, const uint32_t *atom, uint32_t n)
{
    if (n > MAX_DEGREE) {
        s->overflow = true;
        n = 0;
    }
    struct mono key = {0, n, atom};
    uint32_t at;
    struct mono *m = table_find(&s->monos, &key, mono_hash, mono_same, &at);
    if (!m) {
        key.id = s->monos.n++;
        key.atom = arena_dup(s->mem, atom, n * sizeof *atom);
        s->monos.slot[at] = m = arena_dup(s->mem, &key, sizeof key);
    }
    return m;
}

static const struct mono *mono_one(struct dims *s)
{
    if (!s->one)
        s->one = mono_of(s, (uint32_t[]){0}, 0);
    return s->one;
}

struct build { /* a polynomial on the way */
    uint32_t n;
    struct term t[MAX_TERMS];
};

static const struct dim *poly_of(struct dims *s, const struct build *b)
{
    struct dim key = {0, b->n, b->t};
    uint32_t at;
    struct dim *d = table_find(&s->polys, &key, poly_hash, poly_same, &at);
    if (!d) {
        key.id = s->polys.n++;
        key.t = arena_dup(s->mem, b->t, b->n * sizeof *b->t);
        s->polys.slot[at] = d = arena_dup(s->mem, &key, sizeof key);
    }
    return d;
}

static void build_add(struct dims *s, struct build *b, int64_t c, const struct mono *m)
{
    uint32_t i = 0;
    while (i < b->n && b->t[i].m->id < m->id)
        i++;
    if (i < b->n && b->t[i].m == m) {
        if (__builtin_add_overflow(b->t[i].c, c, &b->t[i].c))
            s->overflow = true;
        if (!b->t[i].c)
            memmove(b->t + i, b->t + i + 1, (--b->n - i) * sizeof *b->t);
        return;
    }
    if (!c)
        return;
    if (b->n == MAX_TERMS) {
        s->overflow = true;
        return;
    }
    memmove(b->t + i + 1, b->t + i, (b->n++ - i) * sizeof *b->t);
    b->t[i] = (struct term){c, m};
}

/* ---- arithmetic ---- */

struct dim_sym *dim_symbol(struct dims *s, const char *name)
{
    mono_one(s); /* the constant's monomial is the first of all */
    struct dim_sym *y = ARENA_NEW(s->mem, struct dim_sym);
    y->name = name;
    y->lo = 1;
    y->atom = s->atoms.n;
    vec_push(&s->atoms, ((struct atom){y, NULL, NULL}));
    return y;
}

static const struct dim *dim_of_atom(struct dims *s, uint32_t atom)
{
    mono_one(s);
    struct build b = {0};
    build_add(s, &b, 1, mono_of(s, &atom, 1));
    return poly_of(s, &b);
}

const struct dim *dim_of_symbol(struct dims *s, struct dim_sym *y)
{
    return dim_of_atom(s, y->atom);
}

const struct dim *dim_const(struct dims *s, int64_t v)
{
    struct build b = {0};
    build_add(s, &b, v, mono_one(s));
    return poly_of(s, &b);
}

static const struct dim *add_times(struct dims *s, const struct dim *a, const struct dim *b,
                                   int64_t c)
{
    struct build r = {0};
    for (uint32_t i = 0; i < a->n; i++)
        r.t[r.n++] = a->t[i];
    for (uint32_t i = 0; i < b->n; i++) {
        int64_t k;
        if (__builtin_mul_overflow(b->t[i].c, c, &k))
            s->overflow = true;
        build_add(s, &r, k, b->t[i].m);
    }
    return poly_of(s, &r);
}

const struct dim *dim_add(struct dims *s, const struct dim *a, const struct dim *b)
{
    return add_times(s, a, b, 1);
}

const struct dim *dim_sub(struct dims *s, const struct dim *a, const struct dim *b)
{
    return add_times(s, a, b, -1);
}

static const struct mono *mono_mul(struct dims *s, const struct mono *a, const struct mono *b)
{
    uint32_t atom[2 * MAX_DEGREE], n = 0, i = 0, j = 0;
    while (i < a->n || j < b->n)
        if (j == b->n || (i < a->n && a->atom[i] <= b->atom[j]))
            atom[n++] = a->atom[i++];
        else
            atom[n++] = b->atom[j++];
    return mono_of(s, atom, n);
}

const struct dim *dim_mul(struct dims *s, const struct dim *a, const struct dim *b)
{
    struct build r = {0};
    for (uint32_t i = 0; i < a->n; i++)
        for (uint32_t j = 0; j < b->n; j++) {
            int64_t c;
            if (__builtin_mul_overflow(a->t[i].c, b->t[j].c, &c))
                s->overflow = true;
            build_add(s, &r, c, mono_mul(s, a->t[i].m, b->t[j].m));
        }
    return poly_of(s, &r);
}

bool dim_is_const(const struct dim *a, int64_t *v)
{
    if (a->n > 1 || (a->n == 1 && a->t[0].m->n))
        return false;
    *v = a->n ? a->t[0].c : 0;
    return true;
}

int64_t dim_at_zero(const struct dim *a) { return a->n && !a->t[0].m->n ? a->t[0].c : 0; }

/* m without the atoms of k, or NULL if it does not have them all. */
static const struct mono *mono_less(struct dims *s, const struct mono *m, const struct mono *k)
{
    uint32_t atom[MAX_DEGREE], n = 0, j = 0;
    for (uint32_t i = 0; i < m->n; i++)
        if (j < k->n && k->atom[j] == m->atom[i])
            j++;
        else
            atom[n++] = m->atom[i];
    return j == k->n ? mono_of(s, atom, n) : NULL;
}

static int64_t gcd64(int64_t a, int64_t b)
{
    while (b) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

static const struct dim *div_atom(struct dims *s, const struct dim *a, const struct dim *b)
{
    for (uint32_t i = 0; i < s->atoms.n; i++)
        if (!s->atoms.p[i].sym && s->atoms.p[i].num == a && s->atoms.p[i].den == b)
            return dim_of_atom(s, i);
    vec_push(&s->atoms, ((struct atom){NULL, a, b}));
    return dim_of_atom(s, s->atoms.n - 1);
}

/* The rest of a division by q > 0, its multiples taken out, as an atom or simpler. */
static const struct dim *div_rest(struct dims *s, const struct dim *a, int64_t q)
{
    int64_t lo, hi;
    dim_range(s, a, &lo, &hi);
    if (lo >= 0 && hi < q)
        return dim_const(s, 0);
    int64_t g = q;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->t[i].m->n)
            g = gcd64(g, a->t[i].c);
    struct build r = {0};
    for (uint32_t i = 0; i < a->n; i++)
        build_add(s, &r, floor_div(a->t[i].c, g), a->t[i].m);
    q /= g;
    const struct dim *num = poly_of(s, &r);
    if (q == 1)
        return num;
    const struct term *last = r.n ? &r.t[r.n - 1] : NULL;
    bool single =
        last && (r.n == 1 || (r.n == 2 && !r.t[0].m->n)) && last->c == 1 && last->m->n == 1;
    const struct atom *inner = single ? &s->atoms.p[last->m->atom[0]] : NULL;
    int64_t p, pq;
    if (inner && !inner->sym && dim_is_const(inner->den, &p) &&
        !__builtin_mul_overflow(p, q, &pq)) {
        const struct dim *c = dim_sub(s, num, dim_of_atom(s, last->m->atom[0]));
        const struct dim *n = dim_add(s, inner->num, dim_mul(s, c, dim_const(s, p)));
        return dim_div(s, n, dim_const(s, pq));
    }
    return div_atom(s, num, dim_const(s, q));
}

static const struct dim *div_const(struct dims *s, const struct dim *a, int64_t q)
{
    if (q < 0)
        return div_const(s, add_times(s, dim_const(s, 0), a, -1), -q);
    struct build whole = {0}, rest = {0};
    for (uint32_t i = 0; i < a->n; i++) {
        int64_t k = floor_div(a->t[i].c, q);
        build_add(s, &whole, k, a->t[i].m);
        build_add(s, &rest, a->t[i].c - k * q, a->t[i].m);
    }
    const struct dim *w = poly_of(s, &whole), *r = poly_of(s, &rest);
    return rest.n ? dim_add(s, w, div_rest(s, r, q)) : w;
}

/* Exact division by long division on the last (highest interned) terms. */
const struct dim *dim_exact(struct dims *s, const struct dim *a, const struct dim *b)
{
    if (!b->n)
        return NULL;
    const struct term *lead = &b->t[0];
    for (uint32_t i = 1; i < b->n; i++)
        if (b->t[i].m->n > lead->m->n ||
            (b->t[i].m->n == lead->m->n && b->t[i].m->id > lead->m->id))
            lead = &b->t[i];
    const struct dim *q = dim_const(s, 0);
    for (int steps = 0; a->n && steps < MAX_TERMS; steps++) {
        const struct mono *m = NULL;
        int64_t c = 0;
        for (uint32_t i = 0; i < a->n && !m; i++)
            if (a->t[i].c % lead->c == 0 && (m = mono_less(s, a->t[i].m, lead->m)))
                c = a->t[i].c / lead->c;
        if (!m)
            return NULL;
        struct build one = {0};
        build_add(s, &one, c, m);
        const struct dim *k = poly_of(s, &one);
        q = dim_add(s, q, k);
        a = dim_sub(s, a, dim_mul(s, k, b));
    }
    return a->n ? NULL : q;
}

/* Atoms common to all terms of both are cancelled: (n*k)//(2*k) is n//2, since sizes are positive.
 */
static const struct mono *common(struct dims *s, const struct dim *a, const struct dim *b)
{
    uint32_t atom[MAX_DEGREE], n = 0;
    const struct mono *first = b->t[0].m, *found = mono_one(s);
    for (uint32_t i = 0; i < first->n; i++) {
        if (!s->atoms.p[first->atom[i]].sym || s->atoms.p[first->atom[i]].sym->lo < 1)
            continue;
        atom[n] = first->atom[i];
        const struct mono *m = mono_of(s, atom, n + 1);
        bool all = true;
        for (uint32_t j = 0; j < a->n && all; j++)
            all = mono_less(s, a->t[j].m, m) != NULL;
        for (uint32_t j = 0; j < b->n && all; j++)
            all = mono_less(s, b->t[j].m, m) != NULL;
        if (all) {
            found = m;
            n++;
        }
    }
    return found;
}

static const struct dim *without(struct dims *s, const struct dim *a, const struct mono *m)
{
    struct build r = {0};
    for (uint32_t i = 0; i < a->n; i++)
        build_add(s, &r, a->t[i].c, mono_less(s, a->t[i].m, m));
    return poly_of(s, &r);
}

const struct dim *dim_div(struct dims *s, const struct dim *a, const struct dim *b)
{
    int64_t q;
    CHECK(b->n, "division by the constant 0");
    if (dim_is_const(b, &q))
        return div_const(s, a, q);
    if (!a->n)
        return a;
    const struct mono *m = common(s, a, b);
    if (m->n) {
        a = without(s, a, m);
        b = without(s, b, m);
        if (dim_is_const(b, &q))
            return div_const(s, a, q);
    }
    const struct dim *exact = dim_exact(s, a, b);
    if (exact)
        return exact;
    const struct dim *whole = dim_const(s, 0);
    if (b->n == 1) { /* terms that are multiples of a one-term divisor */
        struct build w = {0};
        for (uint32_t i = 0; i < a->n; i++) {
            const struct mono *k = mono_less(s, a->t[i].m, b->t[0].m);
            if (k && a->t[i].c % b->t[0].c == 0)
                build_add(s, &w, a->t[i].c / b->t[0].c, k);
        }
        whole = poly_of(s, &w);
        a = dim_sub(s, a, dim_mul(s, whole, b));
    }
    if (dim_shown_ge(s, a, dim_const(s, 0)) && dim_shown_ge(s, dim_sub(s, b, a), dim_const(s, 1)))
        return whole;
    return dim_add(s, whole, div_atom(s, a, b));
}

const struct dim *dim_mod(struct dims *s, const struct dim *a, const struct dim *b)
{
    return dim_sub(s, a, dim_mul(s, b, dim_div(s, a, b)));
}

/* ---- values and bounds ---- */

bool dim_value(struct dims *s, const struct dim *a, int64_t *v)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < a->n; i++) {
        int64_t p = a->t[i].c;
        for (uint32_t j = 0; j < a->t[i].m->n; j++) {
            const struct atom *x = &s->atoms.p[a->t[i].m->atom[j]];
            int64_t k, d;
            if (x->sym) {
                if (!x->sym->known)
                    return false;
                k = x->sym->value;
            } else {
                const struct dim *num = x->num, *den = x->den;
                if (!dim_value(s, num, &k) || !dim_value(s, den, &d) || !d)
                    return false;
                k = d > 0 ? floor_div(k, d) : floor_div(-k, -d);
            }
            if (__builtin_mul_overflow(p, k, &p))
                s->overflow = true;
        }
        if (__builtin_add_overflow(sum, p, &sum))
            s->overflow = true;
    }
    *v = sum;
    return true;
}

bool dim_is_live(struct dims *s, const struct dim *a)
{
    struct dim_sym *y[8];
    uint32_t n = dim_symbols(s, a, y, COUNT(y));
    for (uint32_t i = 0; i < n; i++)
        if (y[i]->most)
            return true;
    return false;
}

/* c*atom + c0 with one atom, whose factors are taken at their values; else false. */
static bool single(struct dims *s, const struct dim *a, struct atom *x, int64_t *c, int64_t *c0)
{
    *c0 = 0;
    *x = (struct atom){0};
    for (uint32_t i = 0; i < a->n; i++) {
        const struct term *t = &a->t[i];
        int64_t k = t->c, v;
        const struct atom *live = NULL;
        for (uint32_t j = 0; j < t->m->n; j++) {
            const struct atom *y = &s->atoms.p[t->m->atom[j]];
            const struct dim *one = dim_of_atom(s, t->m->atom[j]);
            if (dim_is_live(s, one)) {
                if (live || x->sym || x->num)
                    return false;
                live = y;
            } else if (!dim_value(s, one, &v) || __builtin_mul_overflow(k, v, &k))
                return false;
        }
        if (live) {
            *x = *live;
            *c = k;
        } else if (__builtin_add_overflow(*c0, k, c0))
            return false;
    }
    return x->sym || x->num;
}

bool dim_line(struct dims *s, const struct dim *a, struct dim_line *l)
{
    struct atom x, inner;
    int64_t c, c0;
    if (!single(s, a, &x, &c, &c0) || c < 1)
        return false;
    if (x.sym) {
        *l = (struct dim_line){x.sym, c, c0, 1, 1, 0};
        return true;
    }
    *l = (struct dim_line){.times = c, .more = c0};
    if (!dim_value(s, x.den, &l->over) || l->over < 1 ||
        !single(s, x.num, &inner, &l->by, &l->plus) || !inner.sym || l->by < 1)
        return false;
    l->y = inner.sym;
    if (l->over == 1)
        *l = (struct dim_line){inner.sym, c * l->by, c * l->plus + c0, 1, 1, 0};
    return true;
}

uint32_t dim_compute(struct dims *s, const struct dim *a, const struct dim_arithmetic *by)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < a->n; i++) {
        uint32_t product = 0;
        for (uint32_t j = 0; j < a->t[i].m->n; j++) {
            const struct atom x = s->atoms.p[a->t[i].m->atom[j]];
            uint32_t v =
                x.sym ? by->symbol(by->ctx, x.sym)
                      : by->div(by->ctx, dim_compute(s, x.num, by), dim_compute(s, x.den, by));
            product = product ? by->mul(by->ctx, product, v) : v;
        }
        if (!product)
            product = by->number(by->ctx, a->t[i].c);
        else if (a->t[i].c != 1)
            product = by->mul(by->ctx, product, by->number(by->ctx, a->t[i].c));
        sum = sum ? by->add(by->ctx, sum, product) : product;
    }
    return sum ? sum : by->number(by->ctx, 0);
}

static int64_t mul_sat(int64_t a, int64_t b)
{
    int64_t r;
    if (!a || !b)
        return 0;
    if (a == INT64_MIN || a == INT64_MAX || b == INT64_MIN || b == INT64_MAX ||
        __builtin_mul_overflow(a, b, &r))
        return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
    return r;
}

static int64_t add_sat(int64_t a, int64_t b)
{
    int64_t r;
    if (a == INT64_MIN || a == INT64_MAX)
        return a;
    if (b == INT64_MIN || b == INT64_MAX)
        return b;
    if (__builtin_add_overflow(a, b, &r))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return r;
}

static void mul_range(int64_t *lo, int64_t *hi, int64_t l, int64_t h)
{
    int64_t v[4] = {mul_sat(*lo, l), mul_sat(*lo, h), mul_sat(*hi, l), mul_sat(*hi, h)};
    *lo = *hi = v[0];
    for (int i = 1; i < 4; i++) {
        *lo = v[i] < *lo ? v[i] : *lo;
        *hi = v[i] > *hi ? v[i] : *hi;
    }
}

static void atom_range(struct dims *s, uint32_t atom, int64_t *lo, int64_t *hi)
{
    const struct atom x = s->atoms.p[atom];
    int64_t q, l, h;
    *lo = INT64_MIN;
    *hi = INT64_MAX;
    if (x.sym) {
        *lo = x.sym->lo;
        *hi = x.sym->most ? x.sym->most : *hi;
        return;
    }
    dim_range(s, x.num, &l, &h);
    if (dim_is_const(x.den, &q)) {
        *lo = l == INT64_MIN ? l : floor_div(l, q);
        *hi = h == INT64_MAX ? h : floor_div(h, q);
    } else {
        int64_t most;
        dim_range(s, x.den, &q, &most);
        if (l >= 0 && q >= 1) {
            *lo = 0;
            *hi = h == INT64_MAX ? h : h / q;
        }
    }
}

/* c*(num//q), q a number. */
static bool quotient(struct dims *s, const struct term *t, const struct dim **num, int64_t *q)
{
    if (t->m->n != 1 || s->atoms.p[t->m->atom[0]].sym)
        return false;
    const struct atom x = s->atoms.p[t->m->atom[0]];
    *num = x.num;
    return dim_is_const(x.den, q) && *q > 0;
}

/* The least common multiple of the quotients' divisors; 0: there is none, or it is far too large.
 */
static int64_t common_divisor(struct dims *s, const struct dim *a)
{
    const struct dim *num;
    int64_t all = 1, q;
    bool any = false;
    for (uint32_t i = 0; i < a->n; i++)
        if (quotient(s, &a->t[i], &num, &q)) {
            any = true;
            if (q > INT32_MAX || (all *= q / gcd64(all, q)) > INT32_MAX)
                return 0;
        }
    return any ? all : 0;
}

/* num//q is (num - r)/q with r from 0 to q - 1: over their common divisor quotients meet each other
 * and what else there is, as in (n + 1)//2 - n//2. Bounds that this gives narrow *lo, *hi. */
static void over_common(struct dims *s, const struct dim *a, int64_t *lo, int64_t *hi)
{
    int64_t all = common_divisor(s, a), q, l, h;
    bool before = s->overflow;
    const struct dim *sum = dim_const(s, 0), *num;
    int64_t least = 0, most = 0; /* of the parts with r */
    if (!all || a->n < 2)
        return;
    s->overflow = false;
    for (uint32_t i = 0; i < a->n; i++) {
        struct build one = {.n = 1, .t = {a->t[i]}};
        if (quotient(s, &a->t[i], &num, &q)) {
            l = mul_sat(mul_sat(a->t[i].c, all / q), 1 - q);
            least = l < 0 ? add_sat(least, l) : least;
            most = l > 0 ? add_sat(most, l) : most;
            num = dim_mul(s, num, dim_const(s, a->t[i].c));
            sum = dim_add(s, sum, dim_mul(s, num, dim_const(s, all / q)));
        } else {
            sum = dim_add(s, sum, dim_mul(s, poly_of(s, &one), dim_const(s, all)));
        }
    }
    dim_range(s, sum, &l, &h);
    l = l == INT64_MIN ? l : add_sat(l, least);
    h = h == INT64_MAX ? h : add_sat(h, most);
    if (!s->overflow && l != INT64_MIN && l != INT64_MAX && -floor_div(-l, all) > *lo)
        *lo = -floor_div(-l, all);
    if (!s->overflow && h != INT64_MIN && h != INT64_MAX && floor_div(h, all) < *hi)
        *hi = floor_div(h, all);
    s->overflow = before;
}

void dim_range(struct dims *s, const struct dim *a, int64_t *lo, int64_t *hi)
{
    *lo = *hi = 0;
    for (uint32_t i = 0; i < a->n; i++) {
        int64_t l = a->t[i].c, h = l, al, ah;
        for (uint32_t j = 0; j < a->t[i].m->n; j++) {
            atom_range(s, a->t[i].m->atom[j], &al, &ah);
            mul_range(&l, &h, al, ah);
        }
        *lo = *lo == INT64_MIN || l == INT64_MIN ? INT64_MIN : add_sat(*lo, l);
        *hi = *hi == INT64_MAX || h == INT64_MAX ? INT64_MAX : add_sat(*hi, h);
    }
    if (s->nested < MAX_NESTED) {
        s->nested++;
        over_common(s, a, lo, hi);
        s->nested--;
    }
}

/* With each symbol replaced by what `map` gives; NULL: itself. */
typedef const struct dim *symbol_map(struct dims *s, const struct dim_sym *y);
static const struct dim *map_symbols(struct dims *s, const struct dim *a, symbol_map *map)
{
    const struct dim *sum = dim_const(s, 0);
    for (uint32_t i = 0; i < a->n; i++) {
        const struct dim *p = dim_const(s, a->t[i].c);
        for (uint32_t j = 0; j < a->t[i].m->n; j++) {
            uint32_t id = a->t[i].m->atom[j];
            const struct atom x = s->atoms.p[id];
            const struct dim *v;
            if (x.sym) {
                v = map(s, x.sym);
                v = v ? v : dim_of_atom(s, id);
            } else {
                const struct dim *den = map_symbols(s, x.den, map);
                v = den->n ? dim_div(s, map_symbols(s, x.num, map), den) : den;
                s->overflow = s->overflow || !den->n;
            }
            p = dim_mul(s, p, v);
        }
        sum = dim_add(s, sum, p);
    }
    return sum;
}

static const struct dim *solution(struct dims *s, const struct dim_sym *y)
{
    (void)s;
    return y->solution;
}

static const struct dim *known_value(struct dims *s, const struct dim_sym *y)
{
    return y->known ? dim_const(s, y->value) : NULL;
}

const struct dim *dim_known(struct dims *s, const struct dim *a)
{
    return map_symbols(s, a, known_value);
}

bool dim_bounds(struct dims *s, const struct dim *a, int64_t *lo, int64_t *hi)
{
    if (dim_value(s, a, lo)) {
        *hi = *lo;
        return true;
    }
    dim_range(s, dim_known(s, a), lo, hi);
    return *lo > INT64_MIN && *hi < INT64_MAX;
}

bool dim_shown_ge(struct dims *s, const struct dim *a, const struct dim *b)
{
    int64_t lo, hi;
    dim_range(s, dim_sub(s, a, b), &lo, &hi);
    return lo >= 0;
}

/* ---- symbols ---- */

uint32_t dim_symbols(struct dims *s, const struct dim *a, struct dim_sym **out, uint32_t n)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < a->n; i++)
        for (uint32_t j = 0; j < a->t[i].m->n; j++) {
            const struct atom x = s->atoms.p[a->t[i].m->atom[j]];
            struct dim_sym *found[16];
            uint32_t m = 1;
            if (x.sym) {
                found[0] = x.sym;
            } else {
                m = dim_symbols(s, x.num, found, 8);
                m += dim_symbols(s, x.den, found + m, 8);
            }
            for (uint32_t f = 0; f < m; f++) {
                bool old = false;
                for (uint32_t o = 0; o < k; o++)
                    old = old || out[o] == found[f];
                if (!old && k < n)
                    out[k++] = found[f];
            }
        }
    return k;
}

bool dim_uses(struct dims *s, const struct dim *a, const struct dim_sym *y)
{
    struct dim_sym *all[8];
    uint32_t n = dim_symbols(s, a, all, COUNT(all));
    for (uint32_t i = 0; i < n; i++)
        if (all[i] == y)
            return true;
    return false;
}

bool dim_has_free(struct dims *s, const struct dim *a, const struct dim_sym **which)
{
    struct dim_sym *all[8];
    uint32_t n = dim_symbols(s, a, all, COUNT(all));
    for (uint32_t i = 0; i < n; i++)
        if (all[i]->free) {
            *which = all[i];
            return true;
        }
    return false;
}

const struct dim *dim_subst(struct dims *s, const struct dim *a)
{
    return map_symbols(s, a, solution);
}

const struct dim *dim_solve(struct dims *s, const struct dim *a, const struct dim_sym *y,
                            const struct dim *actual, bool *linear)
{
    struct build factor = {0}, rest = {0};
    const struct mono *own = mono_of(s, &y->atom, 1);
    for (uint32_t i = 0; i < a->n; i++) {
        const struct mono *k = mono_less(s, a->t[i].m, own);
        build_add(s, k ? &factor : &rest, a->t[i].c, k ? k : a->t[i].m);
    }
    const struct dim *f = poly_of(s, &factor), *r = poly_of(s, &rest);
    *linear = f->n && !dim_uses(s, f, y) && !dim_uses(s, r, y);
    return *linear ? dim_exact(s, dim_sub(s, actual, r), f) : NULL;
}

/* ---- text ---- */

static void print_mono(struct dims *s, const struct mono *m, struct text *out)
{
    for (uint32_t j = 0; j < m->n; j++) {
        const struct atom x = s->atoms.p[m->atom[j]];
        uint32_t power = 1;
        while (j + 1 < m->n && m->atom[j + 1] == m->atom[j]) {
            power++;
            j++;
        }
        if (out->n && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789)",
                             out->p[out->n - 1]))
            text_printf(out, "*");
        if (x.sym) {
            text_printf(out, "%s", x.sym->name);
        } else {
            struct text num = {0}, den = {0};
            dim_print(s, x.num, &num);
            dim_print(s, x.den, &den);
            bool np = x.num->n > 1 || x.num->t[0].c != 1, dp = x.den->n > 1 || x.den->t[0].m->n > 1;
            text_printf(out, np ? "(%s)" : "%s", num.p);
            text_printf(out, dp ? "//(%s)" : "//%s", den.p);
            text_free(&num);
            text_free(&den);
        }
        if (power > 1)
            text_printf(out, "**%u", power);
    }
}

static void print_term(struct dims *s, const struct term *t, bool first, struct text *out)
{
    if (!first)
        text_printf(out, t->c < 0 ? " - " : " + ");
    else if (t->c < 0)
        text_printf(out, "-");
    uint64_t c = t->c < 0 ? 0 - (uint64_t)t->c : (uint64_t)t->c;
    struct text m = {0};
    print_mono(s, t->m, &m);
    bool quotient = t->m->n > 1 || c != 1;
    for (uint32_t j = 0; quotient && j < t->m->n; j++)
        quotient = s->atoms.p[t->m->atom[j]].sym != NULL;
    if (!t->m->n)
        text_printf(out, "%llu", (unsigned long long)c);
    else if (c == 1)
        text_printf(out, "%s", m.p);
    else
        text_printf(out, quotient ? "%llu*%s" : "%llu*(%s)", (unsigned long long)c, m.p);
    text_free(&m);
}

void dim_print(struct dims *s, const struct dim *a, struct text *out)
{
    if (!a->n)
        text_printf(out, "0");
    bool first = true;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->t[i].m->n) {
            print_term(s, &a->t[i], first, out);
            first = false;
        }
    if (a->n && !a->t[0].m->n)
        print_term(s, &a->t[0], first, out);
}
