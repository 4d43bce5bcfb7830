/* What a contraction would cost as it is decided: cycles of its steps over k, of reading its
 * factors, of copies and of stores that are not contiguous. Rough, and from the shape and the level
 * alone: it has to tell halves and quarters of the machine apart. */
#include "lower/contract.h"

/* Cycles a vector of eight, or an element where it says so. */
#define GATHER 10.0
#define MASKED 3.0
#define TURNED 1.3 /* an element read or stored apart from its neighbours */
#define FOLDED 3.0 /* a vector of sums across lanes */

struct reads {
    const struct con *c;
    uint32_t axis;
    bool apart, guarded;
};

static void look(void *ctx, const struct fx *x, fx_id id)
{
    struct reads *r = ctx;
    const struct fx_val *v = &x->val.p[id];
    if (con_has(x->cond.p[v->cond].axes | x->cond.p[v->pick].axes, r->axis))
        r->guarded = true;
    if (v->kind == FX_LOAD && sk_stride(r->c->s, v->at, r->axis) < 0)
        r->apart = true;
}

static struct reads look_at(const struct con *c, fx_id v, uint32_t axis)
{
    struct reads r = {c, axis, false, false};
    uint8_t *seen = xcalloc(c->s->x.val.n, 1);
    fx_walk(&c->s->x, v, seen, look, &r);
    free(seen);
    return r;
}

bool con_contiguous(const struct con *c, fx_id v, uint32_t axis)
{
    return !look_at(c, v, axis).apart;
}

bool con_guarded(const struct con *c, fx_id v, uint32_t axis)
{
    return look_at(c, v, axis).guarded;
}

bool con_plain(const struct con *c, fx_id v)
{
    const struct fx_val *x = &c->s->x.val.p[v];
    return x->kind == FX_LOAD && x->dtype == c->acc.dtype && !x->cond;
}

/* ---- conditions ---- */

/* The part of all values of its axes for which the guard holds; 1 where that is much to count. */
static double guard_fraction(const struct con *c, const struct fx_guard *g, uint32_t axes)
{
    int64_t at[IR_MAX_AXES] = {0}, points = 1, good = 0;
    for (uint32_t i = 0; i < c->s->x.n; i++)
        if (con_has(axes, i))
            points *= con_dim(c, i);
    if (points < 1 || points > 1 << 16 || ix_uses_operand(g->e))
        return 1;
    for (int64_t p = 0; p < points; p++) {
        int64_t left = p;
        for (uint32_t i = 0; i < c->s->x.n; i++)
            if (con_has(axes, i)) {
                at[i] = left % con_dim(c, i);
                left /= con_dim(c, i);
            }
        int64_t e = ix_eval(g->e, at, NULL);
        good += e >= 0 && e % g->q == 0 && e / g->q < g->n;
    }
    return (double)good / (double)points;
}

double con_fraction(const struct con *c, fx_id factor)
{
    const struct fx *x = &c->s->x;
    const struct fx_val *v = &x->val.p[factor];
    double f = 1;
    if (v->kind != FX_PICK || v->f != 0)
        return 1;
    for (uint32_t g = v->pick; g && g != v->cond; g = x->cond.p[g].up) {
        const struct fx_guard *guard = &x->cond.p[g].g;
        uint32_t axes = fx_ix_axes(x, guard->e);
        if (!guard->strict && !(axes & con_tile_axes(c)))
            f *= guard_fraction(c, guard, axes);
    }
    return f;
}

/* ---- cycles ---- */

/* Two fma and two loads a cycle; a sum may only go on after four cycles. */
double con_step(int64_t a, int64_t b)
{
    double fma = (double)(a * b) / 2, loads = (double)(a + b) / 2;
    double t = fma > loads ? fma : loads;
    return t > 4 ? t : 4;
}

/* Elements of what is copied: all that the factor depends on. */
static double elements(const struct con *c, fx_id v)
{
    double n = 1;
    for (uint32_t i = 0; i < c->s->x.n; i++)
        if (con_has(c->s->x.val.p[v].axes, i))
            n *= (double)con_dim(c, i);
    return n;
}

static double relay_elements(const struct con_relay *r)
{
    return r->on ? (double)(r->high * r->inner * r->n) : 0;
}

/* One vector of a factor along the axis, made once. */
static double vector_cost(const struct con *c, fx_id v, uint32_t axis)
{
    struct reads r = look_at(c, v, axis);
    if (con_plain(c, v) && !r.apart)
        return 0;
    double cost = sk_cost(c->s, v);
    return cost + (r.apart ? GATHER : 0) + (r.guarded ? MASKED : 0);
}

static double copy_cost(const struct con *c)
{
    if (con_plain(c, c->row) || c->relay_row.on)
        return 0;
    uint32_t axis = con_contiguous(c, c->row, c->vector_k) ? c->vector_k : c->r;
    return elements(c, c->row) * (1 + vector_cost(c, c->row, axis)) / c->acc.lanes;
}

static double outer_cycles(const struct con *c)
{
    double lanes = c->acc.lanes, out = (double)ir_count(ir_at(c->s->plan->g, c->node));
    double steps = (double)(c->tasks * c->rests * c->r_tiles) * (double)c->depth;
    double total = steps * con_fraction(c, c->col) * con_fraction(c, c->row) *
                   con_step(c->rows, c->su * c->sv);
    double vectors = (double)(c->tasks * c->su * c->sv) * (double)c->depth;
    if (c->relay_col.on)
        total += relay_elements(&c->relay_col) * TURNED + out * TURNED;
    else
        total += vectors * vector_cost(c, c->col, c->v);
    (void)lanes;
    return total + copy_cost(c);
}

static double dot_cycles(const struct con *c)
{
    double n = (double)con_dim(c, c->vector_k);
    double vectors = (double)con_ceil(con_dim(c, c->vector_k), c->acc.lanes);
    double steps = (double)c->depth / (n > 0 ? n : 1) * vectors;
    double tiles = (double)(c->tasks * c->rests * c->r_tiles * con_ceil(c->block, c->cols));
    double all = con_fraction(c, c->col) * con_fraction(c, c->row);
    double total =
        tiles * (steps * all * con_step(c->rows, c->cols) + FOLDED * (double)(c->rows * c->cols));
    total += (relay_elements(&c->relay_row) + relay_elements(&c->relay_col)) * TURNED;
    if (!c->relay_col.on)
        total += (double)(c->tasks * c->block) * steps * vector_cost(c, c->col, c->vector_k);
    return total + copy_cost(c);
}

double con_cycles(const struct con *c)
{
    return c->form == CON_DOT ? dot_cycles(c) : outer_cycles(c);
}
