/* What a contraction would cost as it is decided: cycles of its steps over k, of reading its
 * factors, of copies and of stores that are not contiguous. Rough, and from the shape and the level
 * alone: it has to tell halves and quarters of the machine apart. */
#include "lower/contract.h"
#include <math.h>

/* Cycles a vector of eight, or an element where it says so. */
#define GATHER 10.0
#define MASKED 3.0
#define TURNED 2.0 /* an element read or stored apart from its neighbours */
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

/* Whether a condition of the factor bounds the loop over the axis. */
static bool bounds(const struct con *c, fx_id factor, uint32_t axis)
{
    const struct fx *x = &c->s->x;
    const struct fx_val *v = &x->val.p[factor];
    bool any = false;
    if (v->kind == FX_PICK && v->f == 0)
        for (uint32_t g = v->pick; g && g != v->cond; g = x->cond.p[g].up) {
            uint32_t axes = fx_ix_axes(x, x->cond.p[g].g.e);
            any = any || (con_has(axes, axis) && !(axes & con_tile_axes(c)));
        }
    return any;
}

/* ---- cycles ---- */

/* Two fma and two loads a cycle; a sum may only go on after four cycles, and some room is wanted.
 * The loop itself takes something, too. */
double con_step(int64_t a, int64_t b)
{
    double fma = (double)(a * b) / 2, loads = (double)(a + b) / 2;
    double t = fma > loads ? fma : loads;
    return (t > 5 ? t : 5) + 0.5;
}

/* Trips of the loop over k's i-th axis, on average; *edge: cycles that it costs to begin and end,
 * more where its bounds change from time to time. */
static double trips(const struct con *c, uint32_t i, double *edge)
{
    uint32_t axis = c->k.axis[i], bounded = 0;
    bool lanes = c->form == CON_DOT && axis == c->vector_k;
    double n = (double)(lanes ? con_ceil(con_dim(c, axis), c->acc.lanes) : con_dim(c, axis));
    *edge = 6;
    if (!bounds(c, c->col, axis) && !bounds(c, c->row, axis))
        return n > 1 ? n : 1;
    for (uint32_t k = 0; k < c->k.n; k++)
        bounded += bounds(c, c->col, c->k.axis[k]) || bounds(c, c->row, c->k.axis[k]);
    double part = con_fraction(c, c->col) * con_fraction(c, c->row);
    n *= bounded > 1 ? sqrt(part) : part;
    *edge = 25;
    return n > 1 ? n : 1;
}

/* A step with its part of what the innermost loop (past one that is unrolled) costs. */
static double step_in_loop(const struct con *c, int64_t a, int64_t b)
{
    double edge, n = trips(c, c->k.n - 1, &edge);
    bool unrolled = edge < 10 && n * (double)(a * b) <= 72;
    if (unrolled && c->k.n > 1) {
        n *= trips(c, c->k.n - 2, &edge);
        edge = 8;
    }
    return con_step(a, b) + edge / n;
}

/* Sums of a tile, moved to memory and back once a block of k. */
static double moves(const struct con *c, double tiles, int64_t regs)
{
    int64_t blocks = c->keep ? con_ceil(con_dim(c, c->k.axis[0]), c->block_k) : 0;
    return tiles * (double)blocks * (double)(2 * regs + 20);
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

static double relay_elements(const struct con *c, const struct con_relay *r)
{
    return r->on ? (double)ir_count(ir_at(c->s->plan->g, r->node)) : 0;
}

/* One vector of a factor along the axis, made once. */
static double vector_cost(const struct con *c, fx_id v, uint32_t axis)
{
    struct reads r = look_at(c, v, axis);
    const struct fx_val *x = &c->s->x.val.p[v];
    if (con_plain(c, v) && !r.apart)
        return 0;
    bool read =
        x->kind == FX_LOAD || (x->kind == FX_PICK && c->s->x.val.p[x->in[0]].kind == FX_LOAD);
    return (read ? 1 : sk_cost(c->s, v)) + (r.apart ? GATHER : 0) + (r.guarded ? MASKED : 0);
}

static double copy_cost(const struct con *c)
{
    if (con_plain(c, c->row) || c->relay_row.on)
        return 0;
    uint32_t axis = con_contiguous(c, c->row, c->vector_k) ? c->vector_k : c->r;
    return elements(c, c->row) * (1 + vector_cost(c, c->row, axis)) / c->acc.lanes;
}

/* An element of the result where lanes go apart: all lines may be of one cache set. */
static double scatter_cost(const struct con *c)
{
    const struct ix *at = sk_member_address(c->s, c->member);
    int64_t step = ix_coef(at, c->v);
    return step == 1 ? 0 : step % 1024 == 0 ? 16 : TURNED;
}

static double outer_cycles(const struct con *c)
{
    double out = (double)ir_count(ir_at(c->s->plan->g, c->node));
    double steps = (double)(c->tasks * c->rests * c->r_tiles) * (double)c->depth;
    double total = steps * con_fraction(c, c->col) * con_fraction(c, c->row) *
                   step_in_loop(c, c->rows, c->su * c->sv);
    total += moves(c, (double)(c->tasks * c->rests * c->r_tiles), c->rows * c->su * c->sv);
    double vectors = (double)(c->tasks * c->su * c->sv) * (double)c->depth;
    vectors *= c->share ? 1 : (double)c->parts;
    if (c->relay_col.on)
        total += relay_elements(c, &c->relay_col) * TURNED + out * scatter_cost(c);
    else
        total += vectors * vector_cost(c, c->col, c->v);
    return total + copy_cost(c);
}

static double dot_cycles(const struct con *c)
{
    double n = (double)con_dim(c, c->vector_k);
    double vectors = (double)con_ceil(con_dim(c, c->vector_k), c->acc.lanes);
    double steps = (double)c->depth / (n > 0 ? n : 1) * vectors;
    double tiles = (double)(c->tasks * c->rests * c->r_tiles * con_ceil(c->block, c->cols));
    double all = con_fraction(c, c->col) * con_fraction(c, c->row);
    double total = tiles * (steps * all * step_in_loop(c, c->rows, c->cols) +
                            FOLDED * (double)(c->rows * c->cols));
    total += moves(c, tiles, c->rows * c->cols);
    total += (relay_elements(c, &c->relay_row) + relay_elements(c, &c->relay_col)) * TURNED;
    if (!c->relay_col.on)
        total += (double)(c->tasks * c->block) * steps * vector_cost(c, c->col, c->vector_k);
    return total + copy_cost(c);
}

double con_cycles(const struct con *c)
{
    return c->form == CON_DOT ? dot_cycles(c) : outer_cycles(c);
}
