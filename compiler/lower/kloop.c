/* Loops over k. A read outside of its tensor makes a factor 0, and nothing is added: where the
 * condition is the same for a whole tile and its coordinate moves with the loop at hand, it becomes
 * the loop's bounds and step, else a branch around the loops inside. What a copy or a panel is made
 * of is known before all axes of the product stand: then fewer conditions hold it back than the
 * product, never others, so that whatever the product reads was written. */
#include "lower/contract.h"

#define I64 ((struct lo_type){NN_i64, 1})

/* A guard that is known once an axis of k stands, by what it becomes. */
struct known {
    uint32_t cond;
    enum { BOUND, STEP, BRANCH } as;
};
struct guards {
    VEC(struct known) p;
};

struct range {
    lo_id from, to; /* 0: as the axis */
    int64_t step;
};

uint32_t con_tile_axes(const struct con *c)
{
    uint32_t axes = 1u << c->r | 1u << c->v | 1u << c->u;
    return c->form == CON_DOT ? axes | 1u << c->vector_k : axes;
}

static lo_id number(struct con *c, int64_t v) { return lo_const_i(&c->s->b, I64, v); }

static lo_id op(struct con *c, enum ir_op o, lo_id x, lo_id y)
{
    return lo_op(&c->s->b, o, I64, x, y, 0);
}

static lo_id extreme(struct con *c, enum ir_op o, lo_id x, lo_id y)
{
    return x ? op(c, o, x, y) : y;
}

/* The factor of the axis in e if it stands there alone, and nowhere below a division or in what is
 * gathered; else 0. */
static int64_t moves_with(const struct con *c, const struct ix *e, uint32_t axis)
{
    for (uint32_t i = 0; i < e->n; i++) {
        const struct ix_atom *a = &e->part[i].a;
        if ((a->e && con_has(fx_ix_axes(&c->s->x, a->e), axis)) ||
            (a->kind == IX_OPERAND && con_has(c->s->x.val.p[a->v].axes, axis)))
            return 0;
    }
    return ix_coef(e, axis);
}

/* Adds the factor's guards that are known first at k's axis `depth`, -1: before all of them; what
 * they read stands by then. One guard gives the loop's step; blocks of k keep step 1. */
static void find_guards(const struct con *c, fx_id factor, int depth, struct guards *list)
{
    const struct fx *x = &c->s->x;
    const struct fx_val *v = &x->val.p[factor];
    if (v->kind != FX_PICK || v->f != 0)
        return;
    uint32_t own = depth < 0 ? 0 : 1u << c->k.axis[depth], k_axes = 0;
    for (uint32_t a = 0; a < c->k.n; a++)
        k_axes |= 1u << c->k.axis[a];
    uint32_t known = (c->s->stands | own) & ~con_tile_axes(c);
    bool stepped = c->keep && depth == 0;
    for (uint32_t i = 0; i < list->p.n; i++)
        stepped = stepped || list->p.p[i].as == STEP;
    for (uint32_t i = v->pick; i && i != v->cond; i = x->cond.p[i].up) {
        const struct fx_guard *g = &x->cond.p[i].g;
        uint32_t axes = fx_ix_axes(x, g->e);
        bool here = own ? (axes & own) != 0 : !(axes & k_axes);
        if (g->strict || (axes & ~known) || !here)
            continue;
        int64_t k = own ? moves_with(c, g->e, c->k.axis[depth]) : 0;
        bool step = g->q > 1 && (k == 1 || k == -1) && !stepped;
        vec_push(&list->p, ((struct known){i, k && g->q == 1 ? BOUND : step ? STEP : BRANCH}));
        stepped = stepped || step;
    }
}

/* 0 <= e < n*q with e = base + k*x as bounds of x; where q > 1, and k is 1 or -1, also x's step. */
static void bound(struct con *c, const struct fx_guard *g, uint32_t axis, struct range *r)
{
    struct sk *s = c->s;
    int64_t k = moves_with(c, g->e, axis), by = k > 0 ? k : -k;
    const struct ix *rest = ix_add(s->x.mem, g->e, ix_mul(s->x.mem, ix_axis(s->x.mem, axis), -k));
    lo_id base = lo_value(&s->b, sk_address(s, rest, NN_i64).base);
    lo_id room = op(c, IR_sub, number(c, (g->n - 1) * g->q), base); /* k*x is at most this */
    lo_id up = k > 0 ? room : base, down = k > 0 ? base : room;
    /* by*x <= up and by*x >= -down */
    lo_id to = op(c, IR_add, op(c, IR_idiv, up, number(c, by)), number(c, 1));
    lo_id from = op(c, IR_sub, number(c, 0), op(c, IR_idiv, down, number(c, by)));
    r->to = extreme(c, IR_min, r->to, to);
    r->from = extreme(c, IR_max, r->from, from);
    if (g->q == 1)
        return;
    r->step = g->q;
    lo_id first = op(c, IR_max, r->from, number(c, 0));
    lo_id off = k > 0 ? op(c, IR_sub, number(c, 0), op(c, IR_add, base, first))
                      : op(c, IR_sub, base, first);
    r->from = op(c, IR_add, first, op(c, IR_mod, off, number(c, g->q)));
}

/* The step starts from the bounds, so it comes after them. */
static struct range range_of(struct con *c, uint32_t axis, const struct guards *list)
{
    struct range r = {.step = 1};
    for (int pass = BOUND; pass <= STEP; pass++)
        for (uint32_t i = 0; i < list->p.n; i++) {
            const struct fx_guard g = c->s->x.cond.p[list->p.p[i].cond].g;
            if ((int)list->p.p[i].as == pass)
                bound(c, &g, axis, &r);
        }
    return r;
}

static lo_id branch_of(struct con *c, const struct guards *list)
{
    struct sk *s = c->s;
    struct lo_type t = {NN_bool, 1};
    lo_id all = 0;
    for (uint32_t i = 0; i < list->p.n; i++) {
        if (list->p.p[i].as != BRANCH)
            continue;
        lo_id one = sk_condition(s, list->p.p[i].cond, s->x.cond.p[list->p.p[i].cond].up);
        all = all ? lo_op(&s->b, IR_and, t, all, one, 0) : one;
    }
    return all;
}

/* ---- long sums ---- */

enum { RUN = 256 };

/* Steps that the loop over k's axis `depth` makes, blocks and lanes considered. */
static int64_t steps(const struct con *c, uint32_t depth)
{
    uint32_t axis = c->k.axis[depth];
    int64_t n = con_padded(c, axis);
    if (c->keep && depth == 0 && c->block_k < n)
        n = c->block_k;
    return c->form == CON_DOT && axis == c->vector_k ? con_ceil(n, c->acc.lanes) : n;
}

/* f64 needs no second level; in the others both are about as long where there are very many steps.
 */
void con_choose_runs(struct con *c)
{
    int64_t all = 1, each = 1, most = RUN;
    c->run_k = c->k.n;
    for (uint32_t i = 0; i < c->k.n; i++)
        all *= steps(c, i);
    while (most * most < all)
        most *= 2;
    for (uint32_t i = c->k.n; i-- > 0 && c->acc.dtype == NN_f32;) {
        int64_t n = steps(c, i);
        if (n * each > 2 * most) {
            c->run_k = i;
            c->run = sk_run_length(n, each, most);
            return;
        }
        each *= n;
    }
}

static struct lo_lin total_at(const struct con *c, int64_t i) { return lo_lin_c(i * c->acc.lanes); }

static lo_id with_total(struct con *c, int64_t i)
{
    struct lo_builder *b = &c->s->b;
    lo_id had = lo_load(b, c->totals, total_at(c, i), c->acc.lanes, 0, 0);
    return lo_op(b, IR_add, c->acc, had, lo_get(b, c->reg, lo_lin_c(i)), 0);
}

static bool is_cut(const struct con *c, uint32_t depth)
{
    return c->now_summed && c->run_k == depth;
}

static void close_run(struct con *c)
{
    for (int64_t i = 0; i < c->now_summed; i++)
        lo_store(&c->s->b, c->totals, total_at(c, i), with_total(c, i), 0);
    con_clear(c, c->now_summed);
    lo_end(&c->s->b);
}

void con_k_runs(struct con *c, int64_t regs, void (*step)(struct con *c))
{
    struct lo_builder *b = &c->s->b;
    c->now_summed = c->run_k < c->k.n ? regs : 0;
    for (int64_t i = 0; i < c->now_summed; i++)
        lo_store(b, c->totals, total_at(c, i), lo_const_f(b, c->acc, 0), 0);
    con_k_loops(c, step);
    for (int64_t i = 0; i < c->now_summed; i++)
        lo_set(b, c->reg, lo_lin_c(i), with_total(c, i));
    c->now_summed = 0;
}

/* ---- loops ---- */

static void k_loops(struct con *c, uint32_t depth, void (*body)(struct con *c));

/* The axis of k in the lanes: whole vectors, then the rest under a mask. */
static void k_vectors(struct con *c, uint32_t depth, void (*body)(struct con *c))
{
    struct sk *s = c->s;
    int64_t lanes = c->acc.lanes, n = con_dim(c, c->vector_k), whole = n / lanes * lanes;
    if (whole) {
        uint32_t mark = sk_open(s);
        struct lo_lin from = lo_lin_c(0), to = lo_lin_c(whole / lanes);
        sk_limited(s, c->vector_k, lanes, &from, &to);
        if (is_cut(c, depth))
            sk_open_run(s, c->run, 1, &from, &to);
        lo_id at = lo_for(&s->b, LO_SERIAL, lo_lin_mul(&s->b, from, lanes),
                          lo_lin_mul(&s->b, to, lanes), lanes);
        sk_vector(s, c->vector_k, lo_lin_v(&s->b, at), (uint32_t)lanes, 0);
        k_loops(c, depth + 1, body);
        lo_end(&s->b);
        sk_close(s, mark);
        if (is_cut(c, depth))
            close_run(c);
    }
    if (whole < n) {
        uint32_t mark = sk_open(s);
        sk_vector(s, c->vector_k, lo_lin_c(whole), (uint32_t)lanes, con_first_lanes(c, n - whole));
        k_loops(c, depth + 1, body);
        sk_close(s, mark);
    }
    sk_scalar(s);
}

static void k_axis(struct con *c, uint32_t depth, void (*body)(struct con *c))
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    uint32_t axis = c->k.axis[depth];
    int64_t n = con_padded(c, axis);
    struct lo_lin from = lo_lin_c(0), to = lo_lin_c(n);
    uint32_t mark = sk_open(s);
    struct guards list = {0};
    find_guards(c, c->col, (int)depth, &list);
    find_guards(c, c->row, (int)depth, &list);
    struct range r = range_of(c, axis, &list);
    bool lanes = c->form == CON_DOT && axis == c->vector_k;
    bool blocks = c->keep && depth == 0;
    bool small =
        depth + 1 == c->k.n && !r.from && !blocks && !lanes && n * c->rows * c->su * c->sv <= 72;
    if (blocks) {
        from = c->k_from;
        to = c->k_to;
    }
    if (!lanes && !small)
        sk_limited(s, axis, 1, &from, &to);
    if (r.to)
        to = lo_lin_v(b, op(c, IR_min, r.to, lo_value(b, to)));
    if (r.from && r.step == 1)
        from = lo_lin_v(b, op(c, IR_max, r.from, lo_value(b, from)));
    else if (r.from)
        from = lo_lin_v(b, r.from);
    int64_t by = lanes ? c->acc.lanes : r.step;
    if (is_cut(c, depth))
        sk_open_run(s, c->run, by, &from, &to);
    sk_for(s, axis, small ? LO_UNROLL : LO_SERIAL, from, to, by);
    lo_id branch = branch_of(c, &list);
    if (branch)
        lo_if(b, branch);
    k_loops(c, depth + 1, body);
    if (branch)
        lo_end(b);
    lo_end(b);
    sk_close(s, mark);
    if (is_cut(c, depth))
        close_run(c);
    vec_free(&list.p);
}

static void k_loops(struct con *c, uint32_t depth, void (*body)(struct con *c))
{
    if (depth == c->k.n)
        body(c);
    else if (c->form == CON_DOT && c->k.axis[depth] == c->vector_k && !c->relay_col.on)
        k_vectors(c, depth, body);
    else
        k_axis(c, depth, body);
}

void con_k_loops(struct con *c, void (*body)(struct con *c))
{
    struct guards list = {0};
    uint32_t mark = sk_open(c->s);
    find_guards(c, c->col, -1, &list);
    find_guards(c, c->row, -1, &list);
    lo_id branch = branch_of(c, &list);
    if (branch)
        lo_if(&c->s->b, branch);
    k_loops(c, 0, body);
    if (branch)
        lo_end(&c->s->b);
    sk_close(c->s, mark);
    vec_free(&list.p);
}
