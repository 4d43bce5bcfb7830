/* Values at points. Reading a node means substituting the point's index expressions into the
 * accesses on the way to what is stored; equal values get one number, so a shared subexpression
 * stays shared. Integer arithmetic on index values stays an index expression: positions computed by
 * the user's own arithmetic, and gathers by them, end up affine where they are. */
#include "fuse/fuse.h"

/* ---- numbering ---- */

static uint64_t hash_ix(uint64_t h, const struct ix *e)
{
    h = hash_words(h, &(uint64_t){(uint64_t)e->c0}, 1);
    for (uint32_t i = 0; i < e->n; i++) {
        const struct ix_part *p = &e->part[i];
        uint64_t w[4] = {(uint64_t)p->c, (uint64_t)p->a.kind, p->a.v, (uint64_t)p->a.q};
        h = hash_words(h, w, COUNT(w));
        if (p->a.e)
            h = hash_ix(h, p->a.e);
    }
    return h;
}

static bool same_double(double x, double y) { return memcmp(&x, &y, sizeof x) == 0; }

static bool same(const struct fx_val *x, const struct fx_val *y)
{
    if (x->hash != y->hash || x->kind != y->kind || x->op != y->op || x->dtype != y->dtype ||
        x->node != y->node || x->cond != y->cond || x->pick != y->pick || x->i != y->i ||
        x->rank != y->rank || !same_double(x->f, y->f) || memcmp(x->in, y->in, sizeof x->in) ||
        !x->at != !y->at || (x->at && !ix_equal(x->at, y->at)))
        return false;
    for (uint32_t i = 0; i < x->rank; i++)
        if (!ix_equal(x->coord[i], y->coord[i]))
            return false;
    return true;
}

static uint64_t hash_val(const struct fx_val *v)
{
    uint64_t w[8] = {v->kind | (uint64_t)v->op << 8 | (uint64_t)v->dtype << 16,
                     v->node,
                     v->in[0] | (uint64_t)v->in[1] << 32,
                     v->in[2],
                     v->cond | (uint64_t)v->pick << 32,
                     (uint64_t)v->i,
                     0,
                     v->rank};
    memcpy(&w[6], &v->f, sizeof v->f);
    uint64_t h = hash_words(0, w, COUNT(w));
    if (v->at)
        h = hash_ix(h, v->at);
    for (uint32_t i = 0; i < v->rank; i++)
        h = hash_ix(h, v->coord[i]);
    return h;
}

static void grow_table(struct fx *x)
{
    free(x->table);
    x->table_size = x->table_size ? x->table_size * 2 : 256;
    x->table = xcalloc(x->table_size, sizeof *x->table);
    for (fx_id i = 1; i < x->val.n; i++) {
        uint32_t s = (uint32_t)x->val.p[i].hash & (x->table_size - 1);
        while (x->table[s])
            s = (s + 1) & (x->table_size - 1);
        x->table[s] = i;
    }
}

uint32_t fx_ix_axes(const struct fx *x, const struct ix *e)
{
    uint32_t m = 0;
    for (uint32_t i = 0; i < e->n; i++) {
        const struct ix_atom *a = &e->part[i].a;
        switch (a->kind) {
        case IX_AXIS: m |= 1u << a->v; break;
        case IX_OPERAND: m |= x->val.p[a->v].axes; break;
        case IX_DIV:
        case IX_MOD: m |= fx_ix_axes(x, a->e); break;
        }
    }
    return m;
}

static uint32_t axes_of(const struct fx *x, const struct fx_val *v)
{
    uint32_t m = x->cond.p[v->cond].axes | x->cond.p[v->pick].axes;
    for (int i = 0; i < 3; i++)
        m |= v->in[i] ? x->val.p[v->in[i]].axes : 0;
    if (v->at)
        m |= fx_ix_axes(x, v->at);
    for (uint32_t i = 0; i < v->rank; i++)
        m |= fx_ix_axes(x, v->coord[i]);
    return m;
}

static bool ix_bound(const struct fx *x, const struct ix *e)
{
    for (uint32_t i = 0; i < e->n; i++) {
        const struct ix_atom *a = &e->part[i].a;
        if (a->kind == IX_OPERAND ? x->val.p[a->v].bound : a->e && ix_bound(x, a->e))
            return true;
    }
    return false;
}

static bool is_bound(const struct fx *x, const struct fx_val *v)
{
    if (v->kind == FX_BOUND || (v->at && ix_bound(x, v->at)))
        return true;
    for (int i = 0; i < 3; i++)
        if (v->in[i] && x->val.p[v->in[i]].bound)
            return true;
    for (int i = 0; i < 2; i++)
        for (uint32_t c = i ? v->pick : v->cond; c; c = x->cond.p[c].up)
            if (ix_bound(x, x->cond.p[c].g.e))
                return true;
    return false;
}

static fx_id number(struct fx *x, struct fx_val v)
{
    v.hash = hash_val(&v);
    if (2 * x->val.n >= x->table_size)
        grow_table(x);
    uint32_t s = (uint32_t)v.hash & (x->table_size - 1);
    for (; x->table[s]; s = (s + 1) & (x->table_size - 1))
        if (same(&x->val.p[x->table[s]], &v))
            return x->table[s];
    v.axes = axes_of(x, &v);
    v.bound = is_bound(x, &v);
    v.origin = x->origin;
    vec_push(&x->val, v);
    return x->table[s] = x->val.n - 1;
}

void fx_begin(struct fx *x, const struct ir_graph *g, const uint8_t *mode, uint32_t n,
              const int64_t *dim)
{
    *x = (struct fx){.g = g, .mem = arena_new(), .mode = mode, .n = n};
    memcpy(x->dim, dim, n * sizeof *dim);
    vec_push(&x->val, (struct fx_val){0});
    vec_push(&x->cond, (struct fx_cond){0});
}

void fx_end(struct fx *x)
{
    vec_free(&x->val);
    vec_free(&x->cond);
    free(x->table);
    arena_free(x->mem);
    *x = (struct fx){0};
}

/* ---- constants and index values ---- */

static fx_id constant_f(struct fx *x, enum nn_dtype t, double f)
{
    struct fx_val v = {.kind = FX_CONST, .dtype = (uint8_t)t};
    if (nn_is_float(t))
        v.f = f;
    else if (t == NN_bool)
        v.i = f != 0;
    else
        v.i = f <= -9.2233720368547758e18  ? INT64_MIN
              : f >= 9.2233720368547758e18 ? INT64_MAX
              : f != f                     ? 0
                                           : (int64_t)f;
    return number(x, v);
}

static fx_id constant_i(struct fx *x, enum nn_dtype t, int64_t i)
{
    if (nn_is_float(t))
        return constant_f(x, t, (double)i);
    return number(x, (struct fx_val){.kind = FX_CONST, .dtype = (uint8_t)t, .i = i});
}

static fx_id index_value(struct fx *x, enum nn_dtype t, const struct ix *e)
{
    int64_t c;
    if (ix_is_const(e, &c))
        return constant_i(x, t, c);
    return number(x, (struct fx_val){.kind = FX_INDEX, .dtype = (uint8_t)t, .at = e});
}

static bool index_type(enum nn_dtype t) { return t == NN_i32 || t == NN_i64; }

/* The index expression that an integer value is, or NULL. */
static const struct ix *as_index(struct fx *x, fx_id id)
{
    const struct fx_val *v = &x->val.p[id];
    if (!index_type(v->dtype))
        return NULL;
    if (v->kind == FX_CONST)
        return ix_const(x->mem, v->i);
    return v->kind == FX_INDEX ? v->at : NULL;
}

static bool fits(const struct fx *x, enum nn_dtype t, const struct ix *e)
{
    struct ix_range r = ix_range(e, x->dim);
    int64_t limit = t == NN_i32 ? INT32_MAX : INT64_MAX / 8;
    return r.lo >= -limit && r.hi <= limit;
}

/* -1 unknown, else the comparison's truth everywhere; d is left - right. */
static int decide(const struct fx *x, enum ir_op op, const struct ix *d)
{
    struct ix_range r = ix_range(d, x->dim);
    bool below = r.hi<0, above = r.lo> 0, not_above = r.hi <= 0, not_below = r.lo >= 0;
    if (op == IR_lt || op == IR_ge)
        return below ? op == IR_lt : not_below ? op == IR_ge : -1;
    if (op == IR_gt || op == IR_le)
        return above ? op == IR_gt : not_above ? op == IR_le : -1;
    if (op == IR_eq || op == IR_ne)
        return below || above ? op == IR_ne : r.lo == 0 && r.hi == 0 ? op == IR_eq : -1;
    return -1;
}

/* The operator on index values as an index expression, or NULL where it is none. */
static const struct ix *index_op(struct fx *x, enum ir_op op, const struct ix *a,
                                 const struct ix *b)
{
    int64_t c;
    if (op == IR_neg)
        return ix_mul(x->mem, a, -1);
    if (op == IR_add)
        return ix_add(x->mem, a, b);
    if (op == IR_sub)
        return ix_add(x->mem, a, ix_mul(x->mem, b, -1));
    if (op == IR_mul && ix_is_const(b, &c) && llabs(c) < INT32_MAX)
        return ix_mul(x->mem, a, c);
    if (op == IR_mul && ix_is_const(a, &c) && llabs(c) < INT32_MAX)
        return ix_mul(x->mem, b, c);
    if (op == IR_idiv && ix_is_const(b, &c) && c > 0)
        return ix_div(x->mem, a, c, x->dim);
    if (op == IR_mod && ix_is_const(b, &c) && c > 0)
        return ix_mod(x->mem, a, c, x->dim);
    return NULL;
}

static fx_id index_fold(struct fx *x, enum ir_op op, enum nn_dtype t, const fx_id *in, int arity)
{
    const struct ix *a = as_index(x, in[0]), *b = arity > 1 ? as_index(x, in[1]) : NULL;
    if (!a || (arity > 1 && !b) || arity > 2)
        return 0;
    if (op == IR_cast)
        return index_type(t) && fits(x, t, a) ? index_value(x, t, a) : 0;
    if (ir_op_class(op) == IRC_CMP) {
        int known = decide(x, op, ix_add(x->mem, a, ix_mul(x->mem, b, -1)));
        return known < 0 ? 0 : constant_i(x, NN_bool, known);
    }
    const struct ix *e = index_op(x, op, a, b);
    return e && fits(x, t, e) ? index_value(x, t, e) : 0;
}

static fx_id op_value(struct fx *x, ir_id node, enum ir_op op, enum nn_dtype t, const fx_id *in)
{
    int arity = ir_op_arity(op);
    const struct fx_val *v = x->val.p;
    if (op == IR_cast && v[in[0]].dtype == t)
        return in[0];
    if (op == IR_select && v[in[0]].kind == FX_CONST)
        return v[in[0]].i ? in[1] : in[2];
    if (op == IR_select && in[1] == in[2])
        return in[1];
    if (op == IR_cast && v[in[0]].kind == FX_CONST && !nn_is_float(v[in[0]].dtype) &&
        nn_is_float(t) && llabs(v[in[0]].i) < 1 << 24)
        return constant_i(x, t, v[in[0]].i);
    fx_id folded = index_fold(x, op, t, in, arity);
    if (folded)
        return folded;
    struct fx_val r = {.kind = FX_OP, .op = (uint8_t)op, .dtype = (uint8_t)t};
    (void)node;
    for (int i = 0; i < arity; i++)
        r.in[i] = in[i];
    return number(x, r);
}

/* ---- conditions ---- */

static bool same_guard(const struct fx_guard *a, const struct fx_guard *b)
{
    return a->q == b->q && a->n == b->n && a->strict == b->strict && ix_equal(a->e, b->e);
}

/* Where `by` holds, so does g: the same quotient, in no larger a range. */
static bool implies(struct fx *x, const struct fx_guard *by, const struct fx_guard *g)
{
    if (g->q != 1 || by->q == 1 || by->n > g->n)
        return false;
    return ix_equal(ix_div(x->mem, by->e, by->q, x->dim), g->e);
}

/* Under conditions: where e is known to be a multiple of q, q*(e//q) is e. */
static const struct ix *exact(struct fx *x, uint32_t cond, const struct ix *e)
{
    for (uint32_t c = cond; c; c = x->cond.p[c].up) {
        const struct fx_guard *g = &x->cond.p[c].g;
        for (uint32_t i = 0; g->q > 1 && i < e->n; i++) {
            const struct ix_part *p = &e->part[i];
            const struct ix *quotient = ix_div(x->mem, g->e, g->q, x->dim);
            if (p->c % g->q || quotient->n != 1 || quotient->c0 || p->a.kind != IX_DIV ||
                !ix_equal(quotient, ix_div(x->mem, p->a.e, p->a.q, x->dim)))
                continue;
            const struct ix *less = ix_add(x->mem, e, ix_mul(x->mem, quotient, -p->c));
            e = ix_add(x->mem, less, ix_mul(x->mem, g->e, p->c / g->q));
            i = UINT32_MAX; /* e is another: from the start */
        }
    }
    return e;
}

uint32_t fx_and(struct fx *x, uint32_t cond, const struct fx_guard *g)
{
    for (uint32_t c = cond; c; c = x->cond.p[c].up)
        if (same_guard(&x->cond.p[c].g, g) || implies(x, &x->cond.p[c].g, g))
            return cond;
    for (uint32_t c = 1; c < x->cond.n; c++)
        if (x->cond.p[c].up == cond && same_guard(&x->cond.p[c].g, g))
            return c;
    uint32_t axes = x->cond.p[cond].axes | fx_ix_axes(x, g->e);
    vec_push(&x->cond, ((struct fx_cond){cond, *g, axes}));
    return x->cond.n - 1;
}

static fx_id read_operand(struct fx *x, ir_id node, uint32_t k, const struct ix *const *at,
                          uint32_t cond);

/* Fills operand[k] for each @k in e. */
static void operands_of(struct fx *x, ir_id node, const struct ix *e, const struct ix *const *at,
                        uint32_t cond, const struct ix **operand)
{
    for (uint32_t i = 0; i < e->n; i++) {
        const struct ix_atom *t = &e->part[i].a;
        if (t->e)
            operands_of(x, node, t->e, at, cond, operand);
        if (t->kind != IX_OPERAND || operand[t->v])
            continue;
        fx_id v = read_operand(x, node, t->v, at, cond);
        const struct ix *known = as_index(x, v);
        operand[t->v] = known ? known : ix_operand(x->mem, v);
    }
}

bool fx_term(struct fx *x, ir_id node, const struct ir_term *t, const struct ix *const *at,
             uint32_t cond, struct fx_guard *g, const struct ix **coord)
{
    const struct ir_node *n = ir_at(x->g, node);
    const struct ix **operand = ARENA_ARRAY(x->mem, const struct ix *, n->nin);
    operands_of(x, node, t->e, at, cond, operand);
    const struct ix *e = ix_subst(x->mem, t->e, at, operand, x->dim);
    struct ir_term r = ir_term_make(x->mem, exact(x, cond, e), t->q, t->n);
    *coord = ix_div(x->mem, r.e, r.q, x->dim);
    if (ir_term_total(&r, x->dim))
        return false;
    *g = (struct fx_guard){.e = r.e, .q = r.q, .n = r.n, .origin = n->origin};
    return true;
}

bool fx_never(const struct fx *x, const struct fx_guard *g)
{
    struct ix_range r = ix_range(g->e, x->dim);
    return r.lo > r.hi ? false : r.hi < 0 || r.lo >= g->n * g->q;
}

/* ---- reading ---- */

const struct ix *fx_flat(struct fx *x, const struct ir_node *n, const struct ix *const *at)
{
    const struct ix *flat = ix_const(x->mem, 0);
    int64_t stride = 1;
    for (uint32_t i = ir_rank(n); i-- > 0;) {
        flat = ix_add(x->mem, flat, ix_mul(x->mem, at[i], stride));
        stride *= ir_axes(n)[i].n;
    }
    return flat;
}

const struct ix *fx_place(struct fx *x, ir_id node, const struct ix *const *at)
{
    const struct fx_local *l = NULL;
    for (uint32_t i = 0; i < x->nlocal && !l; i++)
        l = x->local[i].node == node ? &x->local[i] : NULL;
    if (!l)
        return fx_flat(x, ir_at(x->g, node), at);
    const struct ix *flat = ix_const(x->mem, 0), *e;
    int64_t stride = 1;
    for (uint32_t i = ir_rank(ir_at(x->g, node)); i-- > 0;) {
        if (l->apart >> i & 1)
            continue;
        e = at[i];
        if (i == l->split)
            e = ix_add(x->mem, e, ix_mul(x->mem, ix_axis(x->mem, x->first_row), -1));
        flat = ix_add(x->mem, flat, ix_mul(x->mem, e, stride));
        stride *= l->dim[i];
    }
    return flat;
}

static fx_id load(struct fx *x, ir_id node, const struct ix *const *at, uint32_t cond)
{
    const struct ir_node *n = ir_at(x->g, node);
    uint32_t rank = ir_rank(n);
    bool inside = true;
    for (uint32_t i = 0; i < rank; i++) {
        struct ix_range r = ix_range(at[i], x->dim);
        inside = inside && (r.lo > r.hi || (r.lo >= 0 && r.hi < ir_axes(n)[i].n));
    }
    struct fx_val v = {.kind = FX_LOAD, .dtype = n->dtype, .node = node, .rank = rank};
    v.coord = arena_dup(x->mem, at, rank * sizeof *at);
    v.at = fx_place(x, node, at);
    v.cond = inside ? 0 : cond;
    return number(x, v);
}

static fx_id bound(struct fx *x, ir_id node, const struct ix *const *at)
{
    const struct ir_node *n = ir_at(x->g, node);
    struct fx_val v = {.kind = FX_BOUND, .dtype = n->dtype, .node = node, .rank = ir_rank(n)};
    v.coord = arena_dup(x->mem, at, v.rank * sizeof *at);
    return number(x, v);
}

static bool term_strict(const struct ir_access *a, const struct ir_term *t)
{
    return a->strict && ix_uses_operand(t->e);
}

/* Operand k of a node through its access, under a condition. */
static fx_id read_operand(struct fx *x, ir_id node, uint32_t k, const struct ix *const *at,
                          uint32_t cond)
{
    const struct ir_in in = ir_at(x->g, node)->in[k];
    const struct ir_access *a = &in.a;
    const struct ix **coord = ARENA_ARRAY(x->mem, const struct ix *, a->rank);
    const struct ix *unused;
    uint32_t inner = cond;
    bool dead = false;
    for (int strict = 0; strict < 2; strict++)
        for (uint32_t i = 0; i < a->rank + a->nguard; i++) {
            const struct ir_term *t = i < a->rank ? &a->at[i] : &a->guard[i - a->rank];
            struct fx_guard g;
            if (term_strict(a, t) != (strict != 0) ||
                !fx_term(x, node, t, at, cond, &g, i < a->rank ? &coord[i] : &unused))
                continue;
            g.strict = strict != 0;
            dead = dead || (!strict && fx_never(x, &g));
            inner = fx_and(x, inner, &g);
        }
    enum nn_dtype t = ir_at(x->g, in.node)->dtype;
    if (dead)
        return constant_f(x, t, a->fill);
    fx_id v = fx_value(x, in.node, coord, inner);
    if (inner == cond)
        return v;
    struct fx_val pick = {
        .kind = FX_PICK, .dtype = (uint8_t)t, .in = {v}, .cond = cond, .pick = inner, .f = a->fill};
    return number(x, pick);
}

fx_id fx_operand(struct fx *x, ir_id node, uint32_t k, const struct ix *const *at)
{
    return read_operand(x, node, k, at, 0);
}

static fx_id reshape(struct fx *x, ir_id node, const struct ix *const *at, uint32_t cond)
{
    const struct ir_node *n = ir_at(x->g, node);
    ir_id from = n->in[0].node;
    const struct ir_node *p = ir_at(x->g, from);
    uint32_t rank = ir_rank(p);
    const struct ix *flat = fx_flat(x, n, at);
    const struct ix **coord = ARENA_ARRAY(x->mem, const struct ix *, rank);
    for (uint32_t i = rank; i-- > 0;) {
        int64_t size = ir_axes(p)[i].n;
        size = size ? size : 1;
        coord[i] = i ? ix_mod(x->mem, flat, size, x->dim) : flat;
        flat = ix_div(x->mem, flat, size, x->dim);
    }
    return fx_value(x, from, coord, cond);
}

static fx_id compute_node(struct fx *x, ir_id node, const struct ix *const *at, uint32_t cond)
{
    const struct ir_node *n = ir_at(x->g, node);
    enum ir_op op = n->op;
    if (op == IR_const)
        return nn_is_float(n->dtype) ? constant_f(x, n->dtype, n->attr.f)
                                     : constant_i(x, n->dtype, n->attr.i);
    if (op == IR_iota) {
        const struct ix *e = at[n->attr.i];
        if (index_type(n->dtype) && fits(x, n->dtype, e))
            return index_value(x, n->dtype, e);
        return op_value(x, node, IR_cast, n->dtype, (fx_id[3]){index_value(x, NN_i64, e)});
    }
    if (op == IR_reshape)
        return reshape(x, node, at, cond);
    if (op == IR_copy)
        return read_operand(x, node, 0, at, cond);
    if (op == IR_random) {
        struct fx_val v = {.kind = FX_RANDOM, .dtype = n->dtype, .op = n->word, .i = n->attr.i};
        v.at = fx_flat(x, n, at);
        for (int i = 0; i < 2; i++)
            v.in[i] = fx_value(x, n->in[i].node, NULL, 0);
        return number(x, v);
    }
    CHECK(ir_op_elementwise(op), "%%%u: %s is not computed point by point", node, ir_op_name(op));
    fx_id in[3] = {0};
    for (int i = 0; i < ir_op_arity(op); i++)
        in[i] = read_operand(x, node, (uint32_t)i, at, cond);
    return op_value(x, node, op, ir_at(x->g, node)->dtype, in);
}

static fx_id compute(struct fx *x, ir_id node, const struct ix *const *at, uint32_t cond)
{
    uint32_t outer = x->origin;
    x->origin = ir_at(x->g, node)->origin;
    fx_id v = compute_node(x, node, at, cond);
    x->origin = outer;
    return v;
}

fx_id fx_value(struct fx *x, ir_id node, const struct ix *const *at, uint32_t cond)
{
    const struct ir_node *n = ir_at(x->g, node);
    if (n->op == IR_const || n->op == IR_iota)
        return compute(x, node, at, cond);
    if (n->op == IR_input || n->op == IR_slot || x->mode[node] == FX_STORED)
        return load(x, node, at, cond);
    if (x->mode[node] == FX_BIND)
        return bound(x, node, at);
    return compute(x, node, at, cond);
}

fx_id fx_compute(struct fx *x, ir_id node, const struct ix *const *at)
{
    const struct ir_node *n = ir_at(x->g, node);
    if (n->op == IR_input || n->op == IR_slot)
        return load(x, node, at, 0);
    return compute(x, node, at, 0);
}

/* ---- walking ---- */

static void walk_ix(const struct fx *x, const struct ix *e, uint8_t *seen,
                    void (*fn)(void *, const struct fx *, fx_id), void *ctx)
{
    for (uint32_t i = 0; i < e->n; i++) {
        const struct ix_atom *a = &e->part[i].a;
        if (a->kind == IX_OPERAND)
            fx_walk(x, a->v, seen, fn, ctx);
        else if (a->e)
            walk_ix(x, a->e, seen, fn, ctx);
    }
}

void fx_walk(const struct fx *x, fx_id id, uint8_t *seen,
             void (*fn)(void *, const struct fx *, fx_id), void *ctx)
{
    if (!id || seen[id])
        return;
    seen[id] = 1;
    const struct fx_val *v = &x->val.p[id];
    for (int i = 0; i < 3; i++)
        fx_walk(x, v->in[i], seen, fn, ctx);
    if (v->at)
        walk_ix(x, v->at, seen, fn, ctx);
    for (uint32_t i = 0; i < v->rank; i++)
        walk_ix(x, v->coord[i], seen, fn, ctx);
    for (int i = 0; i < 2; i++)
        for (uint32_t c = i ? v->pick : v->cond; c; c = x->cond.p[c].up)
            walk_ix(x, x->cond.p[c].g.e, seen, fn, ctx);
    fn(ctx, x, id);
}
