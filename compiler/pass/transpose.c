/* Which points of a domain read element u of an operand: the transposition that gradients rest on.
 *
 * Each coordinate of the access is an equation between u and the domain's axes; a floor division or
 * modulus f//q, f%q brings two unknowns, f = q*d + m. The equations are linear, so axes are
 * eliminated as by Gauss, in integers: the largest axes first, for what is not solved is summed
 * over. Before that, an equation whose unknowns are the digits of a mixed-radix number (h*8 + r
 * with r < 8: merged axes, windows that do not overlap) is solved for all of them at once by // and
 * %. An equation with no unknown left becomes a guard. Equations with a gathered coordinate (@k)
 * are solved like others if the index is known once the axes are; else they are left to be matched,
 * or the caller scatters. */
#include "pass/pass.h"

#define MAX_VARS (2 * IR_MAX_AXES)

enum state { UNKNOWN, FREE, PIVOT, DIGIT, ZERO };
struct var {
    enum state state;
    uint32_t eq;         /* PIVOT */
    struct ir_term term; /* solved: over all variables at first, at the end over the new domain */
};
struct digits { /* f = q*quotient + rest, both variables; the quotient counts from `low` */
    const struct ix *f;
    int64_t q, low;
    uint32_t quotient, rest;
};
/* Variables: u 0..rank, the domain's axes rank..rank+nd, then the digits. */
struct solver {
    struct ir_module *m;
    struct arena *a;
    const struct ir_node *user;
    const struct ir_access *access;
    uint32_t rank, nd, nvar, neq, ndigits;
    struct var var[MAX_VARS + IR_MAX_AXES];
    int64_t size[MAX_VARS + IR_MAX_AXES];
    const struct ix *eq[MAX_VARS + IR_MAX_AXES]; /* == 0 */
    bool used[MAX_VARS + IR_MAX_AXES];
    struct digits digits[IR_MAX_AXES];
    bool failed;
};

static const struct ix *sub(struct arena *a, const struct ix *x, const struct ix *y)
{
    return ix_add(a, x, ix_mul(a, y, -1));
}

static int64_t magnitude(int64_t c) { return c < 0 ? -c : c; }

static uint32_t add_var(struct solver *s, int64_t size)
{
    if (s->nvar == COUNT(s->var)) {
        s->failed = true;
        return 0;
    }
    s->size[s->nvar] = size;
    s->var[s->nvar].state = size == 1 ? ZERO : UNKNOWN;
    return s->nvar++;
}

static const struct ix *var_ix(struct solver *s, uint32_t v)
{
    return s->var[v].state == ZERO ? ix_const(s->a, 0) : ix_axis(s->a, v);
}

static void add_eq(struct solver *s, const struct ix *e)
{
    if (s->neq == COUNT(s->eq))
        s->failed = true;
    else
        s->eq[s->neq++] = e;
}

/* Some term of the access holds only where q divides f. */
static bool exact(struct solver *s, const struct ix *f, int64_t q, const struct ix *const *to)
{
    const struct ir_access *x = s->access;
    for (uint32_t i = 0; i < x->rank + x->nguard; i++) {
        const struct ir_term *t = i < x->rank ? &x->at[i] : &x->guard[i - x->rank];
        if (t->q % q || !ix_is_affine(t->e))
            continue;
        const struct ix *e = ix_subst(s->a, t->e, to, NULL, s->size);
        int64_t rest;
        if (ix_is_const(ix_mod(s->a, sub(s->a, e, f), q, s->size), &rest) && rest == 0)
            return true;
    }
    return false;
}

static const struct digits *find_digits(struct solver *s, const struct ix *f, int64_t q,
                                        const struct ix *const *to)
{
    for (uint32_t i = 0; i < s->ndigits; i++)
        if (s->digits[i].q == q && ix_equal(s->digits[i].f, f))
            return &s->digits[i];
    struct ix_range r = ix_range(f, s->size);
    if (s->ndigits == COUNT(s->digits) || ix_uses_operand(f) || r.lo > r.hi) {
        s->failed = true;
        return NULL;
    }
    struct digits *d = &s->digits[s->ndigits++];
    d->f = f;
    d->q = q;
    int64_t lo = r.lo - (r.lo % q + q) % q, hi = r.hi - (r.hi % q + q) % q;
    d->low = lo / q;
    d->quotient = add_var(s, hi / q - d->low + 1);
    d->rest = add_var(s, exact(s, f, q, to) ? 1 : q);
    const struct ix *whole = ix_add(s->a, var_ix(s, d->quotient), ix_const(s->a, d->low));
    add_eq(s, sub(s->a, sub(s->a, f, ix_mul(s->a, whole, q)), var_ix(s, d->rest)));
    return d;
}

/* The expression over the variables, // and % replaced by their digits. */
static const struct ix *linear(struct solver *s, const struct ix *e, const struct ix *const *to)
{
    const struct ix *sum = ix_const(s->a, e->c0);
    for (uint32_t i = 0; i < e->n && !s->failed; i++) {
        const struct ix_atom *t = &e->part[i].a;
        const struct ix *v = NULL;
        const struct digits *d;
        switch (t->kind) {
        case IX_AXIS: v = to[t->v]; break;
        case IX_OPERAND: v = ix_operand(s->a, t->v); break;
        case IX_DIV:
        case IX_MOD:
            d = find_digits(s, linear(s, t->e, to), t->q, to);
            if (!d)
                return sum;
            v = t->kind == IX_MOD ? var_ix(s, d->rest)
                                  : ix_add(s->a, var_ix(s, d->quotient), ix_const(s->a, d->low));
            break;
        }
        sum = ix_add(s->a, sum, ix_mul(s->a, v, e->part[i].c));
    }
    return sum;
}

/* guards: those that are equations, too. */
static void build_equations(struct solver *s, bool guards)
{
    const struct ir_access *x = s->access;
    const struct ix **to = ARENA_ARRAY(s->a, const struct ix *, s->nd);
    for (uint32_t j = 0; j < s->nd; j++)
        to[j] = var_ix(s, s->rank + j);
    for (uint32_t i = 0; i < x->rank; i++) {
        const struct ix *e = linear(s, x->at[i].e, to);
        const struct ix *u = s->size[i] == 1 ? ix_const(s->a, 0) : ix_axis(s->a, i);
        add_eq(s, sub(s->a, e, ix_mul(s->a, u, x->at[i].q)));
    }
    for (uint32_t i = 0; i < x->nguard && guards; i++)
        if (x->guard[i].n == 1 && !ix_uses_operand(x->guard[i].e))
            add_eq(s, linear(s, x->guard[i].e, to));
}

static bool unknown(const struct solver *s, const struct ix_part *p)
{
    return p->a.kind == IX_AXIS && s->var[p->a.v].state == UNKNOWN;
}

static uint32_t unknowns(const struct solver *s, const struct ix *e)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->n; i++)
        n += unknown(s, &e->part[i]);
    return n;
}

static int64_t gcd(int64_t x, int64_t y)
{
    while (y) {
        int64_t t = x % y;
        x = y;
        y = t;
    }
    return magnitude(x);
}

/* An equation divided by what divides it all. */
static const struct ix *primitive(struct arena *a, const struct ix *e)
{
    int64_t g = magnitude(e->c0);
    for (uint32_t i = 0; i < e->n; i++)
        g = gcd(g, e->part[i].c);
    return g > 1 ? ix_div(a, e, g, NULL) : e;
}

/* Solves equation q for v and takes v out of all the others. */
static void pivot(struct solver *s, uint32_t q, uint32_t v)
{
    int64_t c = ix_coef(s->eq[q], v);
    s->var[v].state = PIVOT;
    s->var[v].eq = q;
    s->used[q] = true;
    for (uint32_t i = 0; i < s->neq; i++) {
        int64_t d = ix_coef(s->eq[i], v);
        if (i == q || !d)
            continue;
        int64_t g = gcd(c, d);
        s->eq[i] = primitive(
            s->a, sub(s->a, ix_mul(s->a, s->eq[i], c / g), ix_mul(s->a, s->eq[q], d / g)));
    }
}

/* An equation with one unknown is solved for it. */
static bool solve_single(struct solver *s)
{
    for (uint32_t q = 0; q < s->neq; q++) {
        if (s->used[q] || unknowns(s, s->eq[q]) != 1)
            continue;
        for (uint32_t i = 0; i < s->eq[q]->n; i++)
            if (unknown(s, &s->eq[q]->part[i])) {
                pivot(s, q, s->eq[q]->part[i].a.v);
                return true;
            }
    }
    return false;
}

static bool elsewhere(const struct solver *s, uint32_t q, uint32_t v)
{
    for (uint32_t i = 0; i < s->neq; i++)
        if (i != q && !s->used[i] && ix_coef(s->eq[i], v))
            return true;
    return false;
}

/* The unknowns of an equation as digits: factors of one sign, ascending, each more than the digits
 * below it can reach. */
static bool mixed_radix(struct solver *s, uint32_t q, struct ix_part *digit, uint32_t *count)
{
    const struct ix *e = s->eq[q];
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->n; i++) {
        if (!unknown(s, &e->part[i]))
            continue;
        uint32_t k = n++;
        for (; k && magnitude(digit[k - 1].c) > magnitude(e->part[i].c); k--)
            digit[k] = digit[k - 1];
        digit[k] = e->part[i];
    }
    int64_t reach = 0;
    for (uint32_t k = 0; k < n; k++) {
        int64_t c = magnitude(digit[k].c);
        if ((digit[k].c < 0) != (digit[0].c < 0) || reach >= c || elsewhere(s, q, digit[k].a.v))
            return false;
        reach += c * (s->size[digit[k].a.v] - 1);
    }
    *count = n;
    return n > 1;
}

static bool solve_digits(struct solver *s)
{
    for (uint32_t q = 0; q < s->neq; q++) {
        struct ix_part digit[COUNT(s->var)];
        uint32_t n;
        if (s->used[q] || !mixed_radix(s, q, digit, &n))
            continue;
        const struct ix *v = s->eq[q];
        for (uint32_t k = 0; k < n; k++)
            v = sub(s->a, v, ix_mul(s->a, ix_axis(s->a, digit[k].a.v), digit[k].c));
        if (digit[0].c > 0)
            v = ix_mul(s->a, v, -1);
        while (n-- > 1) {
            struct var *x = &s->var[digit[n].a.v];
            int64_t c = magnitude(digit[n].c), size = s->size[digit[n].a.v];
            x->state = DIGIT;
            x->term = (struct ir_term){ix_div(s->a, v, c, s->size), 1, size};
            v = ix_mod(s->a, v, c, s->size);
        }
        s->var[digit[0].a.v].state = DIGIT;
        s->var[digit[0].a.v].term =
            ir_term_make(s->a, v, magnitude(digit[0].c), s->size[digit[0].a.v]);
        s->used[q] = true;
        return true;
    }
    return false;
}

/* The largest axis that some equation can be solved for; of equals the one with the smaller factor.
 */
static bool solve_largest(struct solver *s)
{
    uint32_t best = 0, equation = 0;
    int64_t size = -1, factor = 0;
    for (uint32_t q = 0; q < s->neq; q++)
        for (uint32_t i = 0; i < s->eq[q]->n && !s->used[q]; i++) {
            const struct ix_part *p = &s->eq[q]->part[i];
            if (!unknown(s, p))
                continue;
            int64_t n = s->size[p->a.v], c = magnitude(p->c);
            if (n < size || (n == size && c >= factor))
                continue;
            best = p->a.v;
            equation = q;
            size = n;
            factor = c;
        }
    if (size >= 0)
        pivot(s, equation, best);
    return size >= 0;
}

/* ---- from the solved system to the new domain ---- */

/* New positions of u and of the free variables; the domain of the result. */
static void lay_out(struct solver *s, const struct ir_axis *val, const struct ix **to,
                    struct pass_transposed *t)
{
    t->rank = s->rank;
    t->nd = s->rank;
    for (uint32_t v = 0; v < s->nvar; v++) {
        to[v] = NULL;
        if (v < s->rank) {
            t->dom[v] = val[v];
            to[v] = ix_axis(s->a, v);
        } else if (s->var[v].state == UNKNOWN) {
            s->var[v].state = FREE;
            const char *name = v < s->rank + s->nd ? s->user->dom[v - s->rank].name : NULL;
            if (t->nd == IR_MAX_AXES) {
                s->failed = true;
                return;
            }
            t->dom[t->nd] = (struct ir_axis){name, s->size[v], NULL};
            to[v] = ix_axis(s->a, t->nd++);
        } else if (s->var[v].state == ZERO)
            to[v] = ix_const(s->a, 0);
    }
}

/* Brings a solved expression to the new domain; digits may hang on other digits. */
static const struct ix *place(struct solver *s, const struct ix *e, const struct ix **to,
                              const int64_t *dim, uint32_t depth)
{
    for (uint32_t v = 0; v < s->nvar; v++) {
        if (to[v] || !ix_uses_axis(e, v))
            continue;
        struct ir_term *x = &s->var[v].term;
        if (s->var[v].state != DIGIT || depth > s->nvar) {
            s->failed = true;
            return e;
        }
        to[v] = ix_div(s->a, place(s, x->e, to, dim, depth + 1), x->q, dim);
    }
    return ix_subst(s->a, e, to, NULL, dim);
}

static struct ir_term solved(struct solver *s, uint32_t v, const struct ix **to, const int64_t *dim)
{
    const struct ix *e;
    int64_t c;
    struct var *x = &s->var[v];
    switch (x->state) {
    case PIVOT:
        c = ix_coef(s->eq[x->eq], v);
        e = sub(s->a, s->eq[x->eq], ix_mul(s->a, ix_axis(s->a, v), c));
        e = place(s, c > 0 ? ix_mul(s->a, e, -1) : e, to, dim, 0);
        return ir_term_make(s->a, e, magnitude(c), s->size[v]);
    case DIGIT: return ir_term_make(s->a, place(s, x->term.e, to, dim, 0), x->term.q, s->size[v]);
    case FREE:
    case ZERO: return (struct ir_term){to[v], 1, s->size[v]};
    case UNKNOWN: break;
    }
    BUG("an axis is neither solved nor free");
}

/* The index operands mentioned must be known before the axes: no term of an axis that an index is
 * read along may hang on a gathered value. */
static bool indices_known(const struct solver *s, const struct ir_term *at)
{
    for (uint32_t j = 0; j < s->nd; j++) {
        if (!ix_uses_operand(at[j].e))
            continue;
        for (uint32_t k = 1; k < s->user->nin; k++) {
            const struct ir_access *x = &s->user->in[k].a;
            for (uint32_t i = 0; i < x->rank + x->nguard; i++) {
                const struct ir_term *t = i < x->rank ? &x->at[i] : &x->guard[i - x->rank];
                if (ix_uses_axis(t->e, j))
                    return false;
            }
        }
    }
    return true;
}

static bool uses_operand(const struct ir_access *x)
{
    for (uint32_t i = 0; i < x->rank + x->nguard; i++)
        if (ix_uses_operand((i < x->rank ? &x->at[i] : &x->guard[i - x->rank])->e))
            return true;
    return false;
}

/* A gather whose indices cannot be used from the other side: nested, or in a guard. */
static bool hopeless(const struct solver *s)
{
    const struct ir_access *x = s->access;
    if (!uses_operand(x))
        return false;
    for (uint32_t i = 0; i < x->nguard; i++)
        if (ix_uses_operand(x->guard[i].e))
            return true;
    for (uint32_t k = 1; k < s->user->nin; k++)
        if (uses_operand(&s->user->in[k].a))
            return true;
    return false;
}

static void finish(struct solver *s, const struct ir_axis *val, struct pass_transposed *t)
{
    const struct ix **to = ARENA_ARRAY(s->a, const struct ix *, s->nvar);
    int64_t dim[2 * IR_MAX_AXES];
    struct ir_term *at = ARENA_ARRAY(s->a, struct ir_term, s->nd);
    struct ir_term *guard = ARENA_ARRAY(s->a, struct ir_term, s->nvar + s->neq);
    uint32_t n = 0;
    lay_out(s, val, to, t);
    for (uint32_t i = 0; i < t->nd; i++)
        dim[i] = t->dom[i].n;
    for (uint32_t j = 0; j < s->nd && !s->failed; j++)
        at[j] = solved(s, s->rank + j, to, dim);
    for (uint32_t v = s->rank + s->nd; v < s->nvar && !s->failed; v++)
        guard[n++] = solved(s, v, to, dim);
    t->match = NULL;
    for (uint32_t q = 0; q < s->neq && !s->failed; q++) {
        int64_t c;
        if (s->used[q] || (ix_is_const(s->eq[q], &c) && c == 0))
            continue;
        const struct ix *e = place(s, s->eq[q], to, dim, 0);
        if (!ix_uses_operand(e))
            guard[n++] = (struct ir_term){e, 1, 1};
        else if (t->match || t->nd > t->rank)
            s->failed = true;
        else
            t->match = e;
    }
    s->failed = s->failed || !indices_known(s, at);
    for (uint32_t j = 0; j < s->nd && t->match && !s->failed; j++)
        s->failed = ix_uses_operand(at[j].e);
    if (s->failed)
        return;
    struct ir_access b = {.rank = s->nd, .at = at, .nguard = n, .guard = guard};
    struct ir_access own = {.nguard = s->access->nguard, .guard = s->access->guard}, all;
    if (!ir_compose(s->m, &b, &own, dim, 0, &all))
        BUG("guards without a fill cannot clash");
    b.guard = all.guard;
    b.nguard = all.nguard;
    t->at = ir_access_make(s->m, b, dim);
    t->how = t->match ? PASS_MATCH : PASS_GATHER;
}

static bool all_solved(const struct solver *s)
{
    for (uint32_t v = s->rank; v < s->nvar; v++)
        if (s->var[v].state == UNKNOWN)
            return false;
    return !s->failed;
}

/* The coordinates alone may say where every axis stands; else guards help. */
static void solve(struct solver *s, const struct ir_axis *val)
{
    const struct solver empty = *s;
    for (int guards = 0; guards < 2; guards++) {
        *s = empty;
        for (uint32_t i = 0; i < s->rank; i++)
            s->var[add_var(s, val[i].n)].state = FREE;
        for (uint32_t j = 0; j < s->nd; j++)
            add_var(s, s->user->dom[j].n);
        build_equations(s, guards);
        while (!s->failed && (solve_single(s) || solve_digits(s)))
            ;
        if (all_solved(s))
            return;
    }
    while (!s->failed && solve_largest(s))
        while (!s->failed && (solve_single(s) || solve_digits(s)))
            ;
}

void pass_transpose(struct ir_module *m, const struct ir_node *user, uint32_t k, uint32_t rank,
                    const struct ir_axis *val, struct pass_transposed *t)
{
    struct solver *s = xcalloc(1, sizeof *s);
    s->m = m;
    s->a = m->mem;
    s->user = user;
    s->access = &user->in[k].a;
    s->rank = rank;
    s->nd = user->nd;
    t->how = PASS_SCATTER;
    s->failed = hopeless(s);
    if (!s->failed)
        solve(s, val);
    if (!s->failed)
        finish(s, val, t);
    free(s);
}
