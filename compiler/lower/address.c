/* Addresses, conditions and memory: from index expressions to loop IR. An expression becomes an
 * affine scalar, a factor of the lane number and, where the lanes do not follow a line, a vector.
 * Addresses into buffers of less than 2^31 elements are formed in i32: lanes whose conditions fail
 * are masked, so that it does not matter what they hold. */
#include "lower/skeleton.h"

#define I64 ((struct lo_type){NN_i64, 1})

static bool on_vector(const struct sk *s, const struct ix *e)
{
    return s->vaxis >= 0 && (fx_ix_axes(&s->x, e) >> s->vaxis & 1);
}

static bool fits_i32(const struct sk *s, const struct ix *e)
{
    struct ix_range r = ix_range(e, s->x.dim);
    return r.lo > INT32_MIN / 2 && r.hi < INT32_MAX / 2;
}

/* An index as one vector of its type. */
static lo_id as_vector(struct sk *s, struct sk_index i, enum nn_dtype type)
{
    struct lo_type t = {(uint8_t)type, (uint16_t)s->lanes};
    lo_id v = 0;
    if (i.lane == 1) {
        v = lo_lanes(&s->b, t, i.base);
    } else {
        lo_id base = lo_splat(&s->b, lo_cast(&s->b, type, lo_value(&s->b, i.base)), s->lanes);
        v = base;
        if (i.lane) {
            lo_id lane = lo_op(&s->b, IR_mul, t, lo_lanes(&s->b, t, lo_lin_c(0)),
                               lo_const_i(&s->b, t, i.lane), 0);
            v = lo_op(&s->b, IR_add, t, lane, base, 0);
        }
    }
    return i.vec ? lo_op(&s->b, IR_add, t, v, i.vec, 0) : v;
}

/* By shift and mask where q is a power of two (floor semantics hold for both signs). */
lo_id sk_divide(struct sk *s, enum ix_kind kind, struct lo_type t, lo_id x, int64_t q)
{
    if ((q & (q - 1)) == 0) {
        int shift = __builtin_ctzll((unsigned long long)q);
        if (kind == IX_MOD)
            return lo_bit(&s->b, LO_AND, t, x, lo_const_i(&s->b, t, q - 1));
        return lo_bit(&s->b, LO_SAR, t, x, lo_const_i(&s->b, t, shift));
    }
    return lo_op(&s->b, kind == IX_DIV ? IR_idiv : IR_mod, t, x, lo_const_i(&s->b, t, q), 0);
}

static void add_vector(struct sk *s, struct sk_index *r, enum nn_dtype type, lo_id v, int64_t c)
{
    struct lo_type t = {(uint8_t)type, (uint16_t)s->lanes};
    v = lo_cast(&s->b, type, v);
    if (c != 1)
        v = lo_op(&s->b, IR_mul, t, v, lo_const_i(&s->b, t, c), 0);
    r->vec = r->vec ? lo_op(&s->b, IR_add, t, r->vec, v, 0) : v;
}

static void add_scalar(struct sk *s, struct sk_index *r, lo_id v, int64_t c)
{
    struct lo_lin l = lo_lin_v(&s->b, lo_cast(&s->b, NN_i64, v));
    r->base = lo_lin_add(&s->b, r->base, lo_lin_mul(&s->b, l, c));
}

/* The sum is a multiple of n at all times. */
static bool multiple(const struct sk *s, struct lo_lin l, int64_t n, int depth)
{
    if (l.c0 % n)
        return false;
    for (uint32_t i = 0; i < l.n; i++) {
        const struct lo_insn *v = &s->b.k->insns.p[l.part[i].v];
        if (l.part[i].c % n == 0)
            continue;
        if (l.part[i].c != 1 || depth == 0 || v->kind != LO_FOR || v->step % n ||
            !multiple(s, v->lin, n, depth - 1))
            return false;
    }
    return true;
}

/* Lanes that follow a line within one multiple of q: the quotient is the same for all, the rest
 * goes on along the line. */
static bool add_aligned(struct sk *s, struct sk_index *r, const struct ix_part *p,
                        struct sk_index inner)
{
    if (inner.vec || inner.lane != 1 || p->a.q % s->lanes || !multiple(s, inner.base, s->lanes, 4))
        return false;
    struct lo_type t = {NN_i64, 1};
    add_scalar(s, r, sk_divide(s, p->a.kind, t, lo_value(&s->b, inner.base), p->a.q), p->c);
    r->lane += p->a.kind == IX_MOD ? p->c : 0;
    return true;
}

static void add_quotient(struct sk *s, struct sk_index *r, const struct ix_part *p,
                         enum nn_dtype type)
{
    if (!on_vector(s, p->a.e)) {
        struct sk_index inner = sk_address(s, p->a.e, NN_i64);
        add_scalar(s, r, sk_divide(s, p->a.kind, I64, lo_value(&s->b, inner.base), p->a.q), p->c);
        return;
    }
    enum nn_dtype w = fits_i32(s, p->a.e) ? NN_i32 : NN_i64;
    struct sk_index inner = sk_address(s, p->a.e, w);
    struct lo_type t = {(uint8_t)w, (uint16_t)s->lanes};
    if (add_aligned(s, r, p, inner))
        return;
    add_vector(s, r, type, sk_divide(s, p->a.kind, t, as_vector(s, inner, w), p->a.q), p->c);
}

struct sk_index sk_address(struct sk *s, const struct ix *e, enum nn_dtype type)
{
    struct sk_index r = {.base = lo_lin_c(e->c0)};
    for (uint32_t i = 0; i < e->n; i++) {
        const struct ix_part *p = &e->part[i];
        switch (p->a.kind) {
        case IX_AXIS:
            r.base = lo_lin_add(&s->b, r.base, lo_lin_mul(&s->b, sk_at(s, p->a.v), p->c));
            if ((int)p->a.v == s->vaxis)
                r.lane += p->c;
            break;
        case IX_OPERAND:
            if (sk_is_vector(s, p->a.v))
                add_vector(s, &r, type, sk_lanes(s, p->a.v), p->c);
            else
                add_scalar(s, &r, sk_value(s, p->a.v), p->c);
            break;
        case IX_DIV:
        case IX_MOD: add_quotient(s, &r, p, type); break;
        }
    }
    return r;
}

lo_id sk_number(struct sk *s, const struct ix *e, enum nn_dtype type)
{
    struct sk_index i = sk_address(s, e, type);
    if (on_vector(s, e))
        return as_vector(s, i, type);
    return lo_cast(&s->b, type, lo_value(&s->b, i.base));
}

/* A quotient whose lanes stay within one multiple of q, if vectors start at multiples of their
 * width. */
static bool aligned(const struct sk *s, const struct ix_atom *a, uint32_t axis)
{
    int64_t lanes = target_lanes(s->t, 4);
    if (a->q % lanes || ix_coef(a->e, axis) != 1 || a->e->c0 % lanes)
        return false;
    for (uint32_t i = 0; i < a->e->n; i++) {
        const struct ix_part *p = &a->e->part[i];
        if (p->a.kind == IX_AXIS ? p->a.v != axis && p->c % lanes : p->c % lanes)
            return false;
    }
    return true;
}

int sk_stride(const struct sk *s, const struct ix *at, uint32_t axis)
{
    int64_t c = 0;
    for (uint32_t i = 0; i < at->n; i++) {
        const struct ix_atom *a = &at->part[i].a;
        if (a->kind == IX_AXIS)
            c += a->v == axis ? at->part[i].c : 0;
        else if (a->kind == IX_OPERAND && (s->x.val.p[a->v].axes >> axis & 1))
            return -1;
        else if (a->e && (fx_ix_axes(&s->x, a->e) >> axis & 1)) {
            if (!aligned(s, a, axis))
                return -1;
            c += a->kind == IX_MOD ? at->part[i].c : 0;
        }
    }
    return c == 0 ? 0 : c == 1 ? 1 : -1;
}

/* ---- conditions ---- */

static lo_id both(struct sk *s, lo_id x, lo_id y)
{
    if (!x || !y)
        return x ? x : y;
    struct lo_type tx = s->b.k->insns.p[x].type, ty = s->b.k->insns.p[y].type;
    return lo_op(&s->b, IR_and, tx.lanes > ty.lanes ? tx : ty, x, y, 0);
}

static lo_id guard(struct sk *s, const struct fx_guard *g)
{
    bool narrow = fits_i32(s, g->e) && g->n < INT32_MAX / 2 / g->q;
    enum nn_dtype type = on_vector(s, g->e) && narrow ? NN_i32 : NN_i64;
    struct sk_index index = sk_address(s, g->e, type);
    bool vector = index.lane || index.vec;
    type = vector ? type : NN_i64;
    struct lo_type t = {(uint8_t)type, (uint16_t)(vector ? s->lanes : 1)};
    struct ix_range r = ix_range(g->e, s->x.dim);
    lo_id v = vector ? as_vector(s, index, type) : lo_value(&s->b, index.base), ok = 0;
    if (r.lo < 0)
        ok = lo_op(&s->b, IR_ge, t, v, lo_const_i(&s->b, t, 0), 0);
    if (r.hi > (g->n - 1) * g->q)
        ok = both(s, ok, lo_op(&s->b, IR_lt, t, v, lo_const_i(&s->b, t, g->n * g->q), 0));
    if (g->q > 1) {
        lo_id rest = sk_divide(s, IX_MOD, t, v, g->q);
        ok = both(s, ok, lo_op(&s->b, IR_eq, t, rest, lo_const_i(&s->b, t, 0), 0));
    }
    struct lo_type b = {NN_bool, 1};
    return ok ? ok : lo_const_i(&s->b, b, 1);
}

/* The guard of one condition alone. */
static lo_id single(struct sk *s, uint32_t c)
{
    if (c < s->cond_n && s->cond_memo[c])
        return s->cond_memo[c];
    struct fx_guard g = s->x.cond.p[c].g;
    lo_id v = guard(s, &g);
    sk_remember_condition(s, c, v);
    return v;
}

lo_id sk_condition(struct sk *s, uint32_t cond, uint32_t under)
{
    lo_id v = 0;
    for (uint32_t c = cond; c && c != under; c = s->x.cond.p[c].up)
        v = both(s, single(s, c), v);
    return v;
}

/* The run stops where everything outside holds and a strict guard does not. */
void sk_traps(struct sk *s, uint32_t cond, uint32_t under)
{
    for (uint32_t c = cond; c && c != under; c = s->x.cond.p[c].up) {
        const struct fx_guard g = s->x.cond.p[c].g;
        if (!g.strict)
            continue;
        lo_id ok = single(s, c), outside = sk_condition(s, s->x.cond.p[c].up, 0);
        lo_id value = sk_number(s, g.e, NN_i64);
        uint32_t lanes = s->b.k->insns.p[ok].type.lanes;
        if (outside && s->b.k->insns.p[outside].type.lanes > lanes)
            lanes = s->b.k->insns.p[outside].type.lanes;
        struct lo_type t = {NN_bool, (uint16_t)lanes};
        lo_id bad = both(s, outside, lo_op(&s->b, IR_not, t, ok, 0, 0));
        if (lanes > 1 && s->mask)
            bad = both(s, s->mask, bad);
        lo_trap(&s->b, bad, lo_splat(&s->b, value, lanes), g.origin);
    }
}

/* ---- memory ---- */

static enum nn_dtype address_type(const struct sk *s, uint32_t buf)
{
    return s->b.k->buffers.p[buf].count < INT32_MAX ? NN_i32 : NN_i64;
}

lo_id sk_load(struct sk *s, uint32_t buf, const struct ix *at, bool vector, lo_id mask, lo_id fill)
{
    enum nn_dtype type = address_type(s, buf);
    struct sk_index i = sk_address(s, at, type);
    if (!vector)
        return lo_load(&s->b, buf, i.base, 1, mask, fill);
    if (s->mask)
        mask = both(s, s->mask, mask);
    if (!i.vec && i.lane == 1)
        return lo_load(&s->b, buf, i.base, s->lanes, mask, fill);
    bool one = !mask || s->b.k->insns.p[mask].type.lanes == 1;
    if (!i.vec && !i.lane && one)
        return lo_splat(&s->b, lo_load(&s->b, buf, i.base, 1, mask, fill), s->lanes);
    struct lo_lin base = i.base;
    i.base = lo_lin_c(0);
    return lo_gather(&s->b, buf, base, as_vector(s, i, type), mask, fill);
}

void sk_store_at(struct sk *s, uint32_t buf, const struct ix *at, lo_id value)
{
    enum nn_dtype type = address_type(s, buf);
    struct sk_index i = sk_address(s, at, type);
    value = lo_cast(&s->b, s->b.k->buffers.p[buf].type.dtype, value);
    if (!on_vector(s, at)) {
        lo_store(&s->b, buf, i.base, value, 0);
        return;
    }
    value = lo_splat(&s->b, value, s->lanes);
    if (!i.vec && i.lane == 1) {
        lo_store(&s->b, buf, i.base, value, s->mask);
        return;
    }
    struct lo_lin base = i.base;
    i.base = lo_lin_c(0);
    lo_scatter(&s->b, buf, base, as_vector(s, i, type), value, s->mask);
}
