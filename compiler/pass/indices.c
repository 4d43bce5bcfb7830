/* simplify's integer rules. An integer node that is a function of the axes alone (built from iota)
 * is an index: as such it goes into accesses in place of a gather, and a condition on it becomes a
 * guard. */
#include "pass/simplify.h"

#define MAX_CONDITIONS 16
#define WIDE ((int64_t)1 << 40) /* the range of a guard that only asks for divisibility */

static bool fits(const struct ix *e, enum nn_dtype t, const int64_t *dim)
{
    struct ix_range r = ix_range(e, dim);
    return r.lo > r.hi ||
           ((double)r.lo >= ir_monoid_identity(IRM_max, t) &&
            (double)r.hi <= ir_monoid_identity(IRM_min, t) && r.lo > -WIDE && r.hi < WIDE);
}

/* Operand k of n over n's domain, or NULL. */
static const struct ix *operand_index(struct simplify *s, const struct ir_node *n, uint32_t k,
                                      const int64_t *dim)
{
    const struct ix *e = s->index.p[n->in[k].node], *to[IR_MAX_AXES];
    if (!e || access_uses_operand(&n->in[k].a) || !ir_access_total(&n->in[k].a, dim))
        return NULL;
    for (uint32_t i = 0; i < n->in[k].a.rank; i++)
        to[i] = n->in[k].a.at[i].e;
    return ix_subst(s->mem, e, to, NULL, dim);
}

static const struct ix *binary_index(struct simplify *s, enum ir_op op, const struct ix *x,
                                     const struct ix *y, const int64_t *dim)
{
    int64_t c;
    switch ((int)op) {
    case IR_add: return ix_add(s->mem, x, y);
    case IR_sub: return ix_add(s->mem, x, ix_mul(s->mem, y, -1));
    case IR_mul:
        if (ix_is_const(y, &c))
            return ix_mul(s->mem, x, c);
        return ix_is_const(x, &c) ? ix_mul(s->mem, y, c) : NULL;
    case IR_idiv: return ix_is_const(y, &c) && c > 0 ? ix_div(s->mem, x, c, dim) : NULL;
    case IR_mod: return ix_is_const(y, &c) && c > 0 ? ix_mod(s->mem, x, c, dim) : NULL;
    case IR_min:
    case IR_max: {
        struct ix_range r = ix_range(ix_add(s->mem, x, ix_mul(s->mem, y, -1)), dim); /* x - y */
        if (r.hi <= 0)
            return op == IR_min ? x : y;
        return r.lo >= 0 ? (op == IR_min ? y : x) : NULL;
    }
    }
    return NULL;
}

const struct ix *indices_of(struct simplify *s, const struct ir_node *n)
{
    int64_t dim[IR_MAX_AXES];
    const struct ix *e = NULL, *x, *y;
    if (!nn_is_int(n->dtype) || n->nred)
        return NULL;
    ir_dims(n, dim);
    if (n->op == IR_const)
        e = llabs((long long)n->attr.i) < WIDE ? ix_const(s->mem, n->attr.i) : NULL;
    else if (n->op == IR_iota)
        e = ix_axis(s->mem, (uint32_t)n->attr.i);
    else if (!ir_op_elementwise(n->op) || n->nin != ir_op_arity(n->op) || n->op == IR_select)
        return NULL;
    else if (!(x = operand_index(s, n, 0, dim)))
        return NULL;
    else if (n->op == IR_copy || n->op == IR_cast)
        e = x;
    else if (n->op == IR_neg)
        e = ix_mul(s->mem, x, -1);
    else if (n->nin == 2 && (y = operand_index(s, n, 1, dim)))
        e = binary_index(s, n->op, x, y, dim);
    return e && fits(e, n->dtype, dim) ? e : NULL;
}

/* An integer node whose value is one number, or plainly one axis, is a constant or an iota. */
bool indices_value(struct simplify *s, struct ir_node *n, ir_id *is)
{
    int64_t c;
    uint32_t axis;
    (void)is;
    if (n->op == IR_const || n->op == IR_iota)
        return false;
    const struct ix *e = indices_of(s, n);
    if (!e)
        return false;
    if (ix_is_const(e, &c)) {
        simplify_to_const(n, (double)c);
        return true;
    }
    if (!ix_is_axis(e, &axis))
        return false;
    *n = simplify_like(n, IR_iota, n->dtype, 0, NULL);
    n->attr.i = axis;
    return true;
}

/* ---- ranges ---- */

static struct ix_range type_range(enum nn_dtype t)
{
    if (nn_is_float(t) || t == NN_i64)
        return (struct ix_range){-WIDE, WIDE};
    return (struct ix_range){(int64_t)ir_monoid_identity(IRM_max, t),
                             (int64_t)ir_monoid_identity(IRM_min, t)};
}

/* x within y's bounds, or y where it may have left them and wrapped. i64 is not known to be in
 * WIDE. */
static struct ix_range within(struct ix_range x, struct ix_range y)
{
    return x.lo < y.lo || x.hi > y.hi ? y : x;
}

static struct ix_range join(struct ix_range x, struct ix_range y)
{
    return (struct ix_range){x.lo < y.lo ? x.lo : y.lo, x.hi > y.hi ? x.hi : y.hi};
}

/* What operand k gives, its fill among it. */
static struct ix_range operand_range(const struct simplify *s, const struct ir_node *n, uint32_t k)
{
    enum nn_dtype t = ir_at(s->g, n->in[k].node)->dtype;
    struct ix_range r = s->range.p[n->in[k].node];
    int64_t dim[IR_MAX_AXES];
    ir_dims(n, dim);
    if (nn_is_float(t) || ir_access_total(&n->in[k].a, dim))
        return r;
    double fill = ir_convert(NN_f64, t, n->in[k].a.fill);
    if (fill <= (double)-WIDE || fill >= (double)WIDE)
        return (struct ix_range){-WIDE, WIDE};
    return join(r, (struct ix_range){(int64_t)fill, (int64_t)fill});
}

static struct ix_range arithmetic_range(enum ir_op op, struct ix_range x, struct ix_range y)
{
    switch ((int)op) {
    case IR_add: return (struct ix_range){x.lo + y.lo, x.hi + y.hi};
    case IR_sub: return (struct ix_range){x.lo - y.hi, x.hi - y.lo};
    case IR_neg: return (struct ix_range){-x.hi, -x.lo};
    case IR_min: return (struct ix_range){x.lo < y.lo ? x.lo : y.lo, x.hi < y.hi ? x.hi : y.hi};
    case IR_max: return (struct ix_range){x.lo > y.lo ? x.lo : y.lo, x.hi > y.hi ? x.hi : y.hi};
    case IR_mod:
        if (y.lo == y.hi && y.lo > 0)
            return (struct ix_range){0, y.lo - 1};
    }
    return (struct ix_range){-WIDE, WIDE};
}

struct ix_range indices_range(const struct simplify *s, const struct ir_node *n)
{
    struct ix_range all = type_range(n->dtype), r = all;
    if (nn_is_float(n->dtype))
        return all;
    if (n->op == IR_const && llabs((long long)n->attr.i) < WIDE)
        r = (struct ix_range){n->attr.i, n->attr.i};
    else if (n->op == IR_iota)
        r = (struct ix_range){0, n->dom[n->attr.i].n - 1};
    else if (n->op == IR_copy || n->op == IR_stop ||
             (n->op == IR_cast && !nn_is_float(ir_at(s->g, n->in[0].node)->dtype)))
        r = operand_range(s, n, 0);
    else if (n->op == IR_reshape)
        r = s->range.p[n->in[0].node];
    else if (n->op == IR_select)
        r = join(operand_range(s, n, 1), operand_range(s, n, 2));
    else if (ir_op_class(n->op) == IRC_ARITH) {
        struct ix_range x = operand_range(s, n, 0);
        r = arithmetic_range(n->op, x, ir_op_arity(n->op) == 2 ? operand_range(s, n, 1) : x);
    }
    return within(r, all);
}

/* What the comparison gives whatever the values: 1, 0, or -1 where they matter. */
static int decided_by_range(const struct simplify *s, const struct ir_node *n)
{
    struct ix_range x = operand_range(s, n, 0), y = operand_range(s, n, 1);
    if (nn_is_float(ir_at(s->g, n->in[0].node)->dtype) || x.lo <= -WIDE || x.hi >= WIDE ||
        y.lo <= -WIDE || y.hi >= WIDE || x.lo > x.hi || y.lo > y.hi)
        return -1;
    bool below = x.hi<y.lo, above = x.lo> y.hi, at_most = x.hi <= y.lo, at_least = x.lo >= y.hi;
    switch ((int)n->op) {
    case IR_eq: return below || above ? 0 : -1;
    case IR_ne: return below || above ? 1 : -1;
    case IR_lt: return below ? 1 : at_least ? 0 : -1;
    case IR_le: return at_most ? 1 : above ? 0 : -1;
    case IR_gt: return above ? 1 : at_most ? 0 : -1;
    case IR_ge: return at_least ? 1 : below ? 0 : -1;
    }
    return -1;
}

/* ---- gathers ---- */

static bool named(const struct ix *x, uint32_t k)
{
    for (uint32_t i = 0; i < x->n; i++) {
        const struct ix_atom *t = &x->part[i].a;
        if ((t->kind == IX_OPERAND && t->v == k) || (t->e && named(t->e, k)))
            return true;
    }
    return false;
}

static bool access_names(const struct ir_access *a, uint32_t k)
{
    for (uint32_t i = 0; i < a->rank; i++)
        if (named(a->at[i].e, k))
            return true;
    for (uint32_t i = 0; i < a->nguard; i++)
        if (named(a->guard[i].e, k))
            return true;
    return false;
}

/* A strict access may lose its last @k only if it then holds everywhere: else the run has to stop.
 */
static bool may_replace(struct simplify *s, const struct ir_access *a, const struct ir_access *to,
                        const int64_t *dim)
{
    (void)s;
    return !a->strict || access_uses_operand(to) || ir_access_total(to, dim);
}

/* The extra operand k replaced by e (NULL: nothing names it), the later ones renumbered. */
static bool drop_extra(struct simplify *s, struct ir_node *n, uint32_t k, const struct ix *e,
                       const int64_t *dim)
{
    const struct ix **operand = ARENA_ARRAY(s->mem, const struct ix *, n->nin);
    struct ir_in *in = ARENA_ARRAY(s->mem, struct ir_in, n->nin);
    for (uint32_t i = 0; i < n->nin; i++)
        operand[i] = i == k ? e : ix_operand(s->mem, i > k ? i - 1 : i);
    for (uint32_t i = 0, to = 0; i < n->nin; i++) {
        if (i == k)
            continue;
        in[to] = n->in[i];
        if (access_uses_operand(&n->in[i].a)) {
            in[to].a = access_subst(s, &n->in[i].a, NULL, operand, dim);
            if (!may_replace(s, &n->in[i].a, &in[to].a, dim))
                return false;
            in[to].a.strict = n->in[i].a.strict && access_uses_operand(&in[to].a);
        }
        to++;
    }
    if (n->out) {
        struct ir_access out = access_subst(s, n->out, NULL, operand, dim);
        if (!may_replace(s, n->out, &out, dim))
            return false;
        out.strict = n->out->strict && access_uses_operand(&out);
        n->out = arena_dup(s->mem, &out, sizeof out);
    }
    n->in = in;
    n->nin--;
    return true;
}

/* A gather by an index is an affine access; operands that no access names go. */
bool indices_gather(struct simplify *s, struct ir_node *n, ir_id *is)
{
    int64_t dim[IR_MAX_AXES];
    int arity = ir_op_arity(n->op);
    (void)is;
    if (arity < 0 || ir_op_whole(n->op))
        return false;
    ir_dims(n, dim);
    for (uint32_t k = (uint32_t)arity; k < n->nin; k++) {
        bool used = n->out && access_names(n->out, k);
        for (uint32_t i = 0; i < n->nin && !used; i++)
            used = access_names(&n->in[i].a, k);
        const struct ix *e = used ? operand_index(s, n, k, dim) : NULL;
        if ((!used || e) && drop_extra(s, n, k, e, dim))
            return true;
    }
    return false;
}

/* ---- conditions ---- */

struct conditions {
    uint32_t n;
    struct ir_term term[MAX_CONDITIONS];
};

static bool push(struct conditions *c, struct ir_term t)
{
    if (c->n == MAX_CONDITIONS)
        return false;
    c->term[c->n++] = t;
    return true;
}

/* e >= 0 */
static bool at_least_zero(struct simplify *s, const struct ix *e, const int64_t *dim,
                          struct conditions *c)
{
    struct ix_range r = ix_range(e, dim);
    if (r.lo > r.hi || r.hi >= WIDE)
        return false;
    return push(c, ir_term_make(s->mem, e, 1, r.hi < 0 ? 0 : r.hi + 1));
}

/* e == 0; where e is x % q - r this is divisibility: (x - r) / q, moved up so that it is not
 * negative. */
static bool zero(struct simplify *s, const struct ix *e, const int64_t *dim, struct conditions *c)
{
    if (e->n != 1 || e->part[0].a.kind != IX_MOD || llabs((long long)e->part[0].c) != 1)
        return push(c, ir_term_make(s->mem, e, 1, 1));
    int64_t q = e->part[0].a.q, r = e->part[0].c > 0 ? -e->c0 : e->c0;
    if (r < 0 || r >= q)
        return push(c, (struct ir_term){e, 1, 1});
    const struct ix *x = ix_add(s->mem, e->part[0].a.e, ix_const(s->mem, -r));
    struct ix_range range = ix_range(x, dim);
    if (range.lo > range.hi || range.lo <= -WIDE)
        return false;
    int64_t up = range.lo < 0 ? (-range.lo + q - 1) / q : 0;
    return push(c, (struct ir_term){ix_add(s->mem, x, ix_const(s->mem, up * q)), q, WIDE});
}

static bool comparison(struct simplify *s, enum ir_op op, const struct ix *x, const struct ix *y,
                       const int64_t *dim, struct conditions *c)
{
    const struct ix *d = ix_add(s->mem, x, ix_mul(s->mem, y, -1)); /* x - y */
    const struct ix *back = ix_mul(s->mem, d, -1), *one = ix_const(s->mem, -1);
    switch ((int)op) {
    case IR_eq: return zero(s, d, dim, c);
    case IR_lt: return at_least_zero(s, ix_add(s->mem, back, one), dim, c);
    case IR_le: return at_least_zero(s, back, dim, c);
    case IR_gt: return at_least_zero(s, ix_add(s->mem, d, one), dim, c);
    case IR_ge: return at_least_zero(s, d, dim, c);
    }
    return false;
}

static enum ir_op negated(enum ir_op op)
{
    switch ((int)op) {
    case IR_eq: return IR_ne;
    case IR_ne: return IR_eq;
    case IR_lt: return IR_ge;
    case IR_le: return IR_gt;
    case IR_gt: return IR_le;
    case IR_ge: return IR_lt;
    }
    return op;
}

/* Operand k of a comparison over its domain; *magnitude: it is the magnitude of that. NULL: no
 * index. */
static const struct ix *compared(struct simplify *s, const struct ir_node *n, uint32_t k,
                                 const int64_t *dim, bool *magnitude)
{
    const struct ir_node *x = ir_at(s->g, n->in[k].node);
    const struct ir_access *a = &n->in[k].a;
    const struct ix *e = operand_index(s, n, k, dim), *to[IR_MAX_AXES];
    int64_t own[IR_MAX_AXES];
    *magnitude = !e && x->op == IR_abs && x->nin == 1 && !access_uses_operand(a) &&
                 ir_access_total(a, dim);
    if (!*magnitude)
        return e;
    ir_dims(x, own);
    e = operand_index(s, x, 0, own);
    for (uint32_t i = 0; i < a->rank; i++)
        to[i] = a->at[i].e;
    return e ? ix_subst(s->mem, e, to, NULL, dim) : NULL;
}

static enum ir_op mirrored(enum ir_op op)
{
    switch ((int)op) {
    case IR_lt: return IR_gt;
    case IR_le: return IR_ge;
    case IR_gt: return IR_lt;
    case IR_ge: return IR_le;
    }
    return op;
}

/* Comparison x, whose axes are `inside` of the domain that `dim` measures: |e| < y is two. */
static bool comparison_of(struct simplify *s, const struct ir_node *x, const struct ix **inside,
                          const int64_t *dim, bool negate, struct conditions *c)
{
    enum ir_op op = negate ? negated((enum ir_op)x->op) : (enum ir_op)x->op;
    const struct ix *e[2];
    bool magnitude[2];
    int64_t own[IR_MAX_AXES];
    ir_dims(x, own);
    for (uint32_t i = 0; i < 2; i++) {
        e[i] = x->nin == 2 ? compared(s, x, i, own, &magnitude[i]) : NULL;
        if (!e[i])
            return false;
        e[i] = ix_subst(s->mem, e[i], inside, NULL, dim);
    }
    if (!magnitude[0] && !magnitude[1])
        return comparison(s, op, e[0], e[1], dim, c);
    const struct ix *small = e[magnitude[1]], *large = e[!magnitude[1]];
    op = magnitude[1] ? mirrored(op) : op;
    return magnitude[0] != magnitude[1] && (op == IR_lt || op == IR_le) &&
           comparison(s, op, small, large, dim, c) &&
           comparison(s, op, ix_mul(s->mem, small, -1), large, dim, c);
}

/* Operand k of n, a bool, as conditions over n's domain, all of which must hold. `to`: n's own axes
 * as indices of the domain that `dim` measures; NULL: they are those. */
static bool conditions_of(struct simplify *s, const struct ir_node *n, uint32_t k,
                          const struct ix *const *to, const int64_t *dim, bool negate, int depth,
                          struct conditions *c)
{
    const struct ir_node *x = ir_at(s->g, n->in[k].node);
    struct ir_access a = n->in[k].a;
    const struct ix *inside[IR_MAX_AXES];
    int64_t own[IR_MAX_AXES];
    if (depth > 8 || access_uses_operand(&a))
        return false;
    ir_dims(n, own);
    if (!ir_access_total(&a, own))
        return false;
    for (uint32_t i = 0; i < a.rank; i++)
        inside[i] = to ? ix_subst(s->mem, a.at[i].e, to, NULL, dim) : a.at[i].e;
    switch ((int)x->op) {
    case IR_not:
    case IR_copy:
        return conditions_of(s, x, 0, inside, dim, negate != (x->op == IR_not), depth + 1, c);
    case IR_and:
    case IR_or:
        return (x->op == IR_and) != negate &&
               conditions_of(s, x, 0, inside, dim, negate, depth + 1, c) &&
               conditions_of(s, x, 1, inside, dim, negate, depth + 1, c);
    case IR_eq:
    case IR_ne:
    case IR_lt:
    case IR_le:
    case IR_gt:
    case IR_ge: return comparison_of(s, x, inside, dim, negate, c);
    }
    return false;
}

/* select(condition on indices, x, constant) is x read under guards, the constant elsewhere. Exact.
 */
static bool select_side(struct simplify *s, struct ir_node *n, uint32_t side)
{
    struct conditions c = {0};
    int64_t dim[IR_MAX_AXES];
    double v;
    ir_dims(n, dim);
    struct ir_in in = n->in[side];
    if (access_uses_operand(&in.a) || !simplify_uniform(s, n, 3 - side, &v) ||
        (!ir_access_total(&in.a, dim) && in.a.fill != v) ||
        !conditions_of(s, n, 0, NULL, dim, side == 2, 0, &c))
        return false;
    uint32_t count = in.a.nguard + c.n;
    struct ir_term *guard = ARENA_ARRAY(s->mem, struct ir_term, count);
    for (uint32_t i = 0; i < in.a.nguard; i++)
        guard[i] = in.a.guard[i];
    for (uint32_t i = 0; i < c.n; i++)
        guard[in.a.nguard + i] = c.term[i];
    in.a.nguard = count;
    in.a.guard = guard;
    in.a.fill = v;
    *n = simplify_like(n, IR_copy, n->dtype, 1, arena_dup(s->mem, &in, sizeof in));
    return true;
}

/* A comparison that the ranges or the axes decide everywhere is a constant. */
static bool decided(struct simplify *s, struct ir_node *n)
{
    struct conditions c = {0};
    int64_t dim[IR_MAX_AXES];
    if (ir_op_class(n->op) != IRC_CMP)
        return false;
    int known = decided_by_range(s, n);
    ir_dims(n, dim);
    const struct ix *x = known < 0 && n->nin == 2 ? operand_index(s, n, 0, dim) : NULL;
    const struct ix *y = x ? operand_index(s, n, 1, dim) : NULL;
    if (y && (n->op == IR_eq || n->op == IR_ne)) {
        struct ix_range r = ix_range(ix_add(s->mem, x, ix_mul(s->mem, y, -1)), dim);
        if (r.lo <= r.hi && (r.lo > 0 || r.hi < 0))
            known = n->op == IR_ne;
    }
    for (int negate = 0; y && known < 0 && negate < 2; negate++) {
        c.n = 0;
        bool all = comparison(s, negate ? negated(n->op) : (enum ir_op)n->op, x, y, dim, &c);
        for (uint32_t i = 0; i < c.n; i++)
            all = all && ir_term_total(&c.term[i], dim);
        if (all)
            known = !negate;
    }
    if (known >= 0)
        simplify_to_const(n, known);
    return known >= 0;
}

bool indices_select(struct simplify *s, struct ir_node *n, ir_id *is)
{
    (void)is;
    if (n->op == IR_select && n->nin == 3)
        return select_side(s, n, 1) || select_side(s, n, 2);
    return decided(s, n);
}
