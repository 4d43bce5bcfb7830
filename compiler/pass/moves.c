/* simplify's rules for what moves values and for reductions that are none. */
#include "pass/simplify.h"
#include <math.h>

static bool identity(const struct simplify *s, const struct ir_node *n, uint32_t k)
{
    const struct ir_node *x = ir_at(s->g, n->in[k].node);
    if (ir_rank(x) != n->nd || !ir_access_is_identity(&n->in[k].a, n))
        return false;
    for (uint32_t i = 0; i < n->nd; i++)
        if (ir_axes(x)[i].n != n->dom[i].n)
            return false;
    return true;
}

/* ---- accesses ---- */

/* g, an exact division by q, says that x is a multiple of q. */
static bool divisible(struct simplify *s, const struct ir_term *g, const struct ix *x, int64_t q)
{
    if (g->q % q != 0)
        return false;
    const struct ix *d = ix_add(s->mem, g->e, ix_mul(s->mem, x, -1));
    bool ok = d->c0 % q == 0;
    for (uint32_t i = 0; i < d->n; i++)
        ok = ok && d->part[i].c % q == 0;
    return ok;
}

/* A coordinate with x//q, where a guard says that x is a multiple of q, is an exact division. */
static bool exact(struct simplify *s, struct ir_term *t, const struct ir_access *a)
{
    for (uint32_t i = 0; i < t->e->n && t->q == 1; i++) {
        const struct ix_part *p = &t->e->part[i];
        for (uint32_t k = 0; k < a->nguard; k++) {
            if (p->a.kind != IX_DIV || p->c != 1 || !divisible(s, &a->guard[k], p->a.e, p->a.q))
                continue;
            struct ix *rest = arena_dup(s->mem, t->e, sizeof *t->e + t->e->n * sizeof *p);
            memmove(&rest->part[i], &rest->part[i + 1], (t->e->n - i - 1) * sizeof *p);
            rest->n--;
            const struct ix *e = ix_add(s->mem, ix_mul(s->mem, rest, p->a.q), p->a.e);
            *t = ir_term_make(s->mem, e, p->a.q, t->n);
            return true;
        }
    }
    return false;
}

/* Guards that say nothing go, divisions that guards make exact become so, the fill of an access
 * that never fails is 0. */
static bool better_access(struct simplify *s, struct ir_access *a, const int64_t *dim)
{
    struct ir_access r = *a;
    struct ir_term *at = arena_dup(s->mem, a->at, a->rank * sizeof *at);
    bool changed = false;
    r.at = at;
    for (uint32_t i = 0; i < a->rank; i++)
        changed |= exact(s, &at[i], a);
    if (a->nguard)
        r = ir_access_make(s->g->m, r, dim);
    changed |= r.nguard < a->nguard;
    if ((r.fill != 0 || signbit(r.fill)) && !r.strict && ir_access_total(&r, dim)) {
        r.fill = 0;
        changed = true;
    }
    if (changed)
        *a = r;
    return changed;
}

/* A constant that is read everywhere is read as a scalar. */
static bool scalar_const(struct simplify *s, struct ir_in *in, const int64_t *dim)
{
    struct ir_node x = *ir_at(s->g, in->node);
    if (x.op != IR_const || !x.nd || !ir_access_total(&in->a, dim))
        return false;
    x.nd = 0;
    *in = (struct ir_in){.node = simplify_place(s, x)};
    return true;
}

bool moves_access(struct simplify *s, struct ir_node *n, ir_id *is)
{
    int64_t dim[IR_MAX_AXES];
    bool changed = false;
    (void)is;
    if (ir_op_whole(n->op))
        return false;
    ir_dims(n, dim);
    for (uint32_t k = 0; k < n->nin; k++) {
        struct ir_in x = n->in[k];
        if (!better_access(s, &x.a, dim) && !scalar_const(s, &x, dim))
            continue;
        struct ir_in *in = arena_dup(s->mem, n->in, n->nin * sizeof *in);
        in[k] = x;
        n->in = in;
        changed = true;
    }
    return changed;
}

/* ---- copy, reshape ---- */

/* copy of copy. The inner one's gathered indices come first: they are read where the outer one's
 * say. */
static bool copy_of_copy(struct simplify *s, struct ir_node *n, const struct ir_node *x)
{
    int64_t dim[IR_MAX_AXES];
    uint32_t shift = x->nin - 1u, count = n->nin + shift;
    struct ir_in *in = ARENA_ARRAY(s->mem, struct ir_in, count);
    const struct ix **operand = ARENA_ARRAY(s->mem, const struct ix *, n->nin);
    if (count > UINT16_MAX)
        return false;
    ir_dims(n, dim);
    for (uint32_t k = 1; k < n->nin; k++)
        operand[k] = ix_operand(s->mem, k + shift);
    for (uint32_t k = 1; k < n->nin; k++)
        in[k + shift] =
            (struct ir_in){n->in[k].node, access_subst(s, &n->in[k].a, NULL, operand, dim)};
    struct ir_access outer = access_subst(s, &n->in[0].a, NULL, operand, dim);
    for (uint32_t k = 0; k < x->nin; k++) {
        in[k].node = x->in[k].node;
        if (!ir_compose(s->g->m, &outer, &x->in[k].a, dim, 0, &in[k].a))
            return false;
    }
    n->in = in;
    n->nin = (uint16_t)count;
    return true;
}

bool moves_copy(struct simplify *s, struct ir_node *n, ir_id *is)
{
    if (n->op != IR_copy)
        return false;
    const struct ir_node *x = ir_at(s->g, n->in[0].node);
    if (n->nin == 1 && identity(s, n, 0)) {
        if (n->inlined || !x->inlined) {
            *is = n->in[0].node;
            return true;
        }
        *n = *x; /* stored, where the inlined one is not */
        n->inlined = false;
        return true;
    }
    return x->op == IR_copy && copy_of_copy(s, n, x);
}

/* The operand's axes, units dropped, are the new ones, units dropped. */
static bool only_units(const struct ir_node *n, const struct ir_node *x)
{
    uint32_t i = 0, j = 0, rank = ir_rank(x);
    for (;; i++, j++) {
        while (i < n->nd && n->dom[i].n == 1)
            i++;
        while (j < rank && ir_axes(x)[j].n == 1)
            j++;
        if (i == n->nd || j == rank)
            return i == n->nd && j == rank;
        if (n->dom[i].n != ir_axes(x)[j].n)
            return false;
    }
}

static struct ir_access unit_access(struct simplify *s, const struct ir_node *n,
                                    const struct ir_node *x)
{
    uint32_t rank = ir_rank(x), i = 0;
    struct ir_term *at = ARENA_ARRAY(s->mem, struct ir_term, rank);
    for (uint32_t j = 0; j < rank; j++) {
        int64_t size = ir_axes(x)[j].n;
        while (size != 1 && n->dom[i].n == 1)
            i++;
        at[j] = (struct ir_term){size == 1 ? ix_const(s->mem, 0) : ix_axis(s->mem, i++), 1, size};
    }
    return (struct ir_access){.rank = rank, .at = at};
}

bool moves_reshape(struct simplify *s, struct ir_node *n, ir_id *is)
{
    (void)is;
    if (n->op != IR_reshape)
        return false;
    const struct ir_node *x = ir_at(s->g, n->in[0].node);
    if (x->op == IR_const) {
        simplify_to_const(n, nn_is_float(x->dtype) ? x->attr.f : (double)x->attr.i);
        return nn_is_float(x->dtype) || (n->attr.i = x->attr.i, true);
    }
    struct ir_in in = {.node = n->in[0].node};
    if (only_units(n, x)) {
        in.a = unit_access(s, n, x);
        *n = simplify_like(n, IR_copy, n->dtype, 1, arena_dup(s->mem, &in, sizeof in));
        return true;
    }
    if (x->op != IR_reshape)
        return false;
    in.node = x->in[0].node;
    n->in = arena_dup(s->mem, &in, sizeof in);
    return true;
}

/* ---- reduce ---- */

/* Leaves out a reduced axis; it is read at 0. */
static void drop_axis(struct simplify *s, struct ir_node *n, uint32_t axis)
{
    struct ir_axis *dom = ARENA_ARRAY(s->mem, struct ir_axis, n->nd);
    struct ir_in *in = arena_dup(s->mem, n->in, n->nin * sizeof *in);
    const struct ix *to[IR_MAX_AXES];
    int64_t dim[IR_MAX_AXES];
    for (uint32_t i = 0, k = 0; i < n->nd; i++) {
        to[i] = i == axis ? ix_const(s->mem, 0) : ix_axis(s->mem, k);
        if (i != axis)
            dom[k++] = n->dom[i];
    }
    n->dom = dom;
    n->nd--;
    n->nred--;
    ir_dims(n, dim);
    for (uint32_t k = 0; k < n->nin; k++)
        in[k].a = access_subst(s, &n->in[k].a, to, NULL, dim);
    n->in = in;
}

static bool uses_axis(const struct ir_node *n, uint32_t axis)
{
    for (uint32_t k = 0; k < n->nin; k++)
        if (access_uses_axis(&n->in[k].a, axis))
            return true;
    return false;
}

/* A sum over an axis that nothing depends on: a product by its size. */
static void sum_to_product(struct simplify *s, struct ir_node *n, uint32_t axis)
{
    int64_t size = n->dom[axis].n;
    drop_axis(s, n, axis);
    struct ir_in *in = ARENA_ARRAY(s->mem, struct ir_in, 2);
    struct ir_node product = simplify_like(n, IR_mul, n->dtype, 2, in);
    product.nd = (uint16_t)ir_rank(n);
    ir_id sum = simplify_place(s, *n);
    in[0] = (struct ir_in){sum, ir_identity(s->g->m, product.nd, product.dom)};
    in[1].node = simplify_const(s, &product, n->dtype, (double)size);
    *n = product;
}

static bool reduce_axis(struct simplify *s, struct ir_node *n, uint32_t axis)
{
    enum ir_monoid m = n->monoid;
    if (n->dom[axis].n == 1) {
        drop_axis(s, n, axis);
        return true;
    }
    if (uses_axis(n, axis))
        return false;
    if (m == IRM_sum && (double)n->dom[axis].n <= 0x1p24) {
        sum_to_product(s, n, axis);
        return true;
    }
    if (m != IRM_max && m != IRM_min && m != IRM_any && m != IRM_all)
        return false;
    drop_axis(s, n, axis);
    return true;
}

bool moves_reduce(struct simplify *s, struct ir_node *n, ir_id *is)
{
    (void)is;
    if (n->op != IR_reduce)
        return false;
    enum ir_monoid m = n->monoid;
    bool which = m == IRM_argmax || m == IRM_argmin;
    uint32_t rank = ir_rank(n);
    for (uint32_t i = rank; i < n->nd; i++)
        if (n->dom[i].n == 0) {
            simplify_to_const(n, which ? 0 : ir_monoid_identity(m, n->dtype));
            return true;
        }
    for (uint32_t i = rank; i < n->nd; i++)
        if (reduce_axis(s, n, i))
            return true;
    if (n->nred)
        return false;
    if (which)
        simplify_to_const(n, 0);
    else
        *n = simplify_like(n, IR_copy, n->dtype, n->nin, n->in);
    return true;
}

/* ---- sum of a product under conditions ---- */

static bool covers(const struct ir_access *a, const struct ir_term *t, uint32_t nd)
{
    for (uint32_t i = 0; i < nd; i++)
        if (ix_uses_axis(t->e, i) && !access_uses_axis(a, i))
            return false;
    return true;
}

/* The sum's operand as (mul node, access to it); a copy in between is seen through. */
static const struct ir_node *product_under(struct simplify *s, const struct ir_node *n,
                                           struct ir_access *a, const int64_t *dim)
{
    const struct ir_node *x = ir_at(s->g, n->in[0].node);
    *a = n->in[0].a;
    if (x->op == IR_copy && x->inlined && x->nin == 1) {
        if (!ir_compose(s->g->m, &n->in[0].a, &x->in[0].a, dim, 0, a))
            return NULL;
        x = ir_at(s->g, x->in[0].node);
    }
    bool product = x->op == IR_mul && x->inlined && x->nin == 2;
    if (!product || a->fill != 0 || access_uses_operand(a) || ir_access_total(a, dim) ||
        access_uses_operand(&x->in[0].a) || access_uses_operand(&x->in[1].a))
        return NULL;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->at[i].q != 1)
            return NULL;
    return x;
}

/* One factor of the product, over the sum's domain. */
struct factor {
    struct ir_in in;
    bool total; /* in the product's own domain */
    VEC(struct ir_term) guard;
};

static struct factor factor_of(struct simplify *s, const struct ir_node *x, uint32_t k,
                               const struct ir_access *a, const int64_t *dim)
{
    const struct ix *to[IR_MAX_AXES];
    int64_t own[IR_MAX_AXES];
    struct factor f = {.in = x->in[k]};
    ir_dims(x, own);
    f.total = ir_access_total(&x->in[k].a, own);
    for (uint32_t i = 0; i < a->rank; i++)
        to[i] = a->at[i].e;
    f.in.a = access_subst(s, &x->in[k].a, to, NULL, dim);
    if (f.total)
        f.in.a.fill = 0;
    for (uint32_t i = 0; i < f.in.a.nguard; i++)
        vec_push(&f.guard, f.in.a.guard[i]);
    return f;
}

/* Gives each condition of `a` to the factor that has its axes, the first by preference. */
static bool share_guards(struct factor f[2], const struct ir_access *a, const int64_t *dim,
                         uint32_t nd)
{
    for (uint32_t i = 0; i < a->nguard + a->rank; i++) {
        const struct ir_term *t = i < a->nguard ? &a->guard[i] : &a->at[i - a->nguard];
        if (ir_term_total(t, dim))
            continue;
        uint32_t k = covers(&f[0].in.a, t, nd) ? 0 : 1;
        if (!covers(&f[k].in.a, t, nd) || f[k].in.a.fill != 0)
            return false;
        vec_push(&f[k].guard, *t);
    }
    return isfinite(f[0].in.a.fill) && isfinite(f[1].in.a.fill);
}

/* sum of (x * y under conditions, else 0): the conditions go to the factor whose axes they are
 * about, so that a contraction with bounded or strided reads is what is left. */
bool moves_guarded_product(struct simplify *s, struct ir_node *n, ir_id *is)
{
    int64_t dim[IR_MAX_AXES];
    struct ir_access a;
    (void)is;
    if (n->op != IR_reduce || n->monoid != IRM_sum || n->nin != 1)
        return false;
    ir_dims(n, dim);
    const struct ir_node *x = product_under(s, n, &a, dim);
    if (!x)
        return false;
    struct factor f[2] = {factor_of(s, x, 0, &a, dim), factor_of(s, x, 1, &a, dim)};
    bool ok = share_guards(f, &a, dim, n->nd);
    if (ok) {
        struct ir_in *in = ARENA_ARRAY(s->mem, struct ir_in, 2);
        for (uint32_t k = 0; k < 2; k++) {
            in[k] = f[k].in;
            in[k].a.nguard = f[k].guard.n;
            in[k].a.guard = arena_dup(s->mem, f[k].guard.p, f[k].guard.n * sizeof *f[k].guard.p);
        }
        struct ir_node product = simplify_like(n, IR_mul, n->dtype, 2, in);
        product.inlined = true;
        product.origin = x->origin;
        struct ir_in sum = {simplify_place(s, product), ir_identity(s->g->m, n->nd, n->dom)};
        n->in = arena_dup(s->mem, &sum, sizeof sum);
    }
    vec_free(&f[0].guard);
    vec_free(&f[1].guard);
    return ok;
}
