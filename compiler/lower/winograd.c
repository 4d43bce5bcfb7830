/* Convolutions by windows of 3 by 3 with stride 1, forward or the gradient of their input, by
 * Winograd's algorithm F(2x2, 3x3) (Lavin and Gray, "Fast algorithms for convolutional neural
 * networks", 2016): four points of the result, a tile, take 16 products instead of 36.
 *
 *   U = G g G'    of each filter g: 16 numbers, in a phase of their own
 *   V = B' d B    of each tile's 4 by 4 points d: sums and differences
 *   M = U V       at each of the 16 places a matmul over the channels, lanes over tiles
 *   y = A' M A    sums and differences again, then whatever follows the contraction
 *
 * Factors are 1 and 1/2 only; against the direct sum the error of f32 stays within a few units of
 * the last place of the largest term. Tiles are counted along one axis t that stands for images,
 * rows and columns of tiles; columns are filled up so that half a vector of tiles, interleaved, is
 * a whole vector of one row of the result. */
#include "lower/contract.h"

#define I64 ((struct lo_type){NN_i64, 1})
enum { PLACES = 16 };

/* ---- which contractions ---- */

/* Whether all that is read depends on a and b by a + b or by a - b alone. */
struct tie {
    uint32_t a, b;
    int sign; /* 0: on neither, so far */
    bool broken;
};

static void tie_index(struct tie *t, const struct fx *x, const struct ix *e)
{
    for (uint32_t i = 0; i < e->n; i++) {
        const struct ix_atom *p = &e->part[i].a;
        if (p->e && (fx_ix_axes(x, p->e) & (1u << t->a | 1u << t->b)))
            t->broken = true;
    }
    int64_t a = ix_coef(e, t->a), b = ix_coef(e, t->b);
    int sign = a == b ? 1 : -1;
    if (!a && !b)
        return;
    t->broken = t->broken || (a != b && a != -b) || (t->sign && t->sign != sign);
    t->sign = sign;
}

static void tie_value(void *ctx, const struct fx *x, fx_id id)
{
    struct tie *t = ctx;
    const struct fx_val *v = &x->val.p[id];
    if (v->at)
        tie_index(t, x, v->at);
    t->broken = t->broken || v->kind == FX_RANDOM || v->kind == FX_BOUND;
    for (int i = 0; i < 2; i++)
        for (uint32_t c = i ? v->pick : v->cond; c; c = x->cond.p[c].up) {
            tie_index(t, x, x->cond.p[c].g.e);
            t->broken = t->broken || x->cond.p[c].g.strict;
        }
}

/* 1 or -1 where col depends on them by their sum or difference, else 0. */
static int tied(const struct con *c, uint32_t a, uint32_t b)
{
    struct tie t = {.a = a, .b = b};
    uint8_t *seen = xcalloc(c->s->x.val.n, 1);
    fx_walk(&c->s->x, c->col, seen, tie_value, &t);
    free(seen);
    return t.broken ? 0 : t.sign;
}

/* The product's factor in the space that s is in. */
static fx_id factor(const struct win *w, const struct con *c, uint32_t operand)
{
    const struct ix *at[IR_MAX_AXES];
    fuse_member_coords(&c->s->x, c->s->c, &c->s->c->members.p[c->member], at);
    return fx_operand(&c->s->x, w->product, operand, at);
}

/* The node that multiplies, each of its points folded at the same point; which factor is col. */
static bool find_product(struct win *w, const struct con *c)
{
    const struct ir_graph *g = c->s->plan->g;
    const struct ir_node *n = ir_at(g, c->node);
    w->product = n->in[0].node;
    if (ir_at(g, w->product)->op != IR_mul || !ir_access_is_identity(&n->in[0].a, n))
        return false;
    w->operand = factor(w, c, 1) == c->col;
    return factor(w, c, w->operand) == c->col;
}

/* Which axes they are: rows and columns of the result, of the filter, and the channels. */
static bool find_axes(struct win *w, const struct con *c)
{
    w->j = c->s->c->outer - 1;
    if (c->batch || c->k.n != 3 || c->rest.n || !con_has(c->cols_only, w->j))
        return false;
    for (uint32_t p = 0; p < 6; p++) {
        static const uint8_t order[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                            {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        w->q = c->k.axis[order[p][0]];
        w->r = c->k.axis[order[p][1]];
        w->c = c->k.axis[order[p][2]];
        if (con_dim(c, w->r) != 3 || con_dim(c, w->c) != 3 || !(w->sign_j = tied(c, w->j, w->c)))
            continue;
        for (w->i = 0; w->i < w->j; w->i++)
            if (con_has(c->cols_only, w->i) && (w->sign_i = tied(c, w->i, w->r)))
                return true;
    }
    return false;
}

/* ---- sizes and price ---- */

static bool fits(const struct con *c, int64_t rows, int64_t slots)
{
    return rows * slots + slots + 1 <= c->s->t->vector_registers;
}

/* The tiles of a step: the least cycles; slots divide the vectors of tiles. */
static bool choose_step(struct win *w, const struct con *c)
{
    double best = -1;
    for (int64_t slots = 1; slots <= 4; slots++)
        for (int64_t rows = 1; rows <= w->rows_n && fits(c, rows, slots); rows++) {
            if (w->vectors % slots)
                continue;
            double t = (double)con_ceil(w->rows_n, rows) * (double)(w->vectors / slots) *
                       con_step(rows, slots);
            if (best >= 0 && t >= best)
                continue;
            best = t;
            w->rows = rows;
            w->slots = slots;
        }
    return best >= 0;
}

/* Few tasks are cut into parts of the rows; V is then made once for all of them. */
static void cut(struct win *w, const struct con *c)
{
    w->tasks = w->vectors / w->slots;
    w->share = w->tasks < 8;
    w->row_tiles = con_ceil(w->rows_n, w->rows);
    int64_t want = w->share ? con_ceil(16, w->tasks) : 1;
    w->part_tiles = con_ceil(w->row_tiles, want);
    w->parts = con_ceil(w->row_tiles, w->part_tiles);
    w->chunk_tasks = w->share ? 1 : con_ceil(w->tasks, c->s->t->max_chunks);
    w->u_place = w->rows_n * w->deep + 2 * c->acc.lanes; /* or all would be of one cache set */
    w->v_place = w->depth * w->slots * c->acc.lanes + 2 * c->acc.lanes;
    w->v_size = PLACES * w->v_place;
}

/* Lanes of V's loads follow a pattern that does not change: no gather is needed. */
static bool regular(const struct win *w, const struct con *c)
{
    bool inside = !con_guarded(c, c->col, w->i) && !con_guarded(c, c->col, w->j) &&
                  2 * w->columns == con_dim(c, w->j) && 2 * w->lines == con_dim(c, w->i);
    return inside && (w->columns % c->acc.lanes == 0 || c->acc.lanes % w->columns == 0);
}

static double price(const struct win *w, const struct con *c)
{
    double n = (double)w->depth, out = (double)(w->vectors * w->rows_n);
    double load = regular(w, c) && con_plain(c, c->col) ? 2 : 12 + sk_cost(c->s, c->col);
    double filter = con_plain(c, c->row) ? 10 : 20 + sk_cost(c->s, c->row); /* read by turns */
    double filters = (double)(w->rows_n * w->deep / c->acc.lanes) * (9 * filter + 30);
    double steps = n * con_step(w->rows, w->slots) + 10 + (double)(w->rows * w->slots);
    return filters + (double)w->vectors * n * (16 * load + 40) +
           (double)(w->tasks * w->row_tiles) * PLACES * steps + 60 * out;
}

bool con_winograd(struct win *w, const struct con *c)
{
    *w = (struct win){0};
    if (c->s->within || !find_axes(w, c) || !find_product(w, c))
        return false;
    int64_t half = c->acc.lanes / 2, images = 1;
    for (uint32_t i = 0; i < c->s->x.n; i++)
        if (con_has(c->cols_only, i) && i != w->i && i != w->j) {
            w->images.axis[w->images.n++] = i;
            images *= con_dim(c, i);
        }
    w->depth = con_dim(c, w->q);
    w->deep = con_ceil(w->depth, c->acc.lanes) * c->acc.lanes;
    w->rows_n = con_dim(c, c->r);
    w->columns = con_ceil(con_ceil(con_dim(c, w->j), 2), half) * half;
    w->lines = con_ceil(con_dim(c, w->i), 2);
    w->lines += images * w->lines * w->columns % c->acc.lanes != 0;
    w->vectors = images * w->lines * w->columns / c->acc.lanes;
    if (w->depth < 1 || w->vectors < 1 || !choose_step(w, c))
        return false;
    cut(w, c);
    w->cycles = price(w, c);
    return w->v_size * (int64_t)nn_dtype_size((enum nn_dtype)c->acc.dtype) <= (int64_t)c->s->t->l2;
}

/* ---- emission ---- */

/* The space of the tiles' points: t for the result's columns, a and b (4 each) for the filter's
 * axes; what the members call i and j are the points' places, with the filter standing at 0. */
static const struct fuse_cluster *tile_space(const struct win *w, const struct con *c)
{
    const struct ix **through;
    struct fuse_cluster *p = sk_space(c->s, &through);
    struct arena *m = c->s->spaces;
    int64_t stands = 1;
    p->dim[w->j] = w->vectors * c->acc.lanes;
    p->dim[w->r] = p->dim[w->c] = 4;
    const struct ix *t = ix_axis(m, w->j), *line = ix_div(m, t, w->columns, p->dim);
    const struct ix *i = ix_mul(m, ix_mod(m, line, w->lines, p->dim), 2);
    const struct ix *j = ix_mul(m, ix_mod(m, t, w->columns, p->dim), 2);
    i = ix_add(m, i, ix_add(m, ix_axis(m, w->r), ix_const(m, w->sign_i < 0 ? -2 : 0)));
    j = ix_add(m, j, ix_add(m, ix_axis(m, w->c), ix_const(m, w->sign_j < 0 ? -2 : 0)));
    for (uint32_t k = w->images.n; k-- > 0;) {
        uint32_t axis = w->images.axis[k];
        const struct ix *at = ix_div(m, t, w->columns * w->lines * stands, p->dim);
        stands *= con_dim(c, axis);
        through[axis] = k ? ix_mod(m, at, con_dim(c, axis), p->dim) : at;
    }
    for (uint32_t k = 0; k < w->images.n; k++)
        p->dim[w->images.axis[k]] = 1;
    p->dim[w->i] = 1;
    through[w->i] = i;
    through[w->j] = j;
    through[w->r] = through[w->c] = ix_const(m, 0);
    return p;
}

static lo_id sum(struct con *c, lo_id x, lo_id y)
{
    return lo_op(&c->s->b, IR_add, c->acc, x, y, 0);
}

static lo_id less(struct con *c, lo_id x, lo_id y)
{
    return lo_op(&c->s->b, IR_sub, c->acc, x, y, 0);
}

static lo_id half_of(struct con *c, lo_id x)
{
    return lo_op(&c->s->b, IR_mul, c->acc, x, lo_const_f(&c->s->b, c->acc, 0.5), 0);
}

/* A line of three, four or four numbers, `step` apart, by G, B' or A'. */
static void by_g(struct con *c, const lo_id *g, int step, lo_id *u)
{
    lo_id outer = half_of(c, sum(c, g[0], g[2 * step])), inner = half_of(c, g[step]);
    u[0] = g[0];
    u[step] = sum(c, outer, inner);
    u[2 * step] = less(c, outer, inner);
    u[3 * step] = g[2 * step];
}

static void by_b(struct con *c, lo_id *d, int step)
{
    lo_id v[4] = {less(c, d[0], d[2 * step]), sum(c, d[step], d[2 * step]),
                  less(c, d[2 * step], d[step]), less(c, d[step], d[3 * step])};
    for (int i = 0; i < 4; i++)
        d[i * step] = v[i];
}

static void by_a(struct con *c, lo_id *m, int step)
{
    lo_id plus = sum(c, m[step], m[2 * step]), minus = less(c, m[step], m[2 * step]);
    m[0] = sum(c, m[0], plus);
    m[step] = less(c, minus, m[3 * step]);
}

/* ---- U: element (place)(row)(channel) ---- */

static struct lo_lin u_at(struct win *w, struct con *c, struct lo_lin place, struct lo_lin row,
                          struct lo_lin channel)
{
    struct lo_builder *b = &c->s->b;
    struct lo_lin l = lo_lin_mul(b, place, w->u_place);
    return lo_lin_add(b, lo_lin_add(b, l, lo_lin_mul(b, row, w->deep)), channel);
}

static void filters_phase(struct win *w, struct con *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    struct lo_lin from, to;
    int64_t vectors = w->deep / c->acc.lanes;
    sk_phase(s, sk_chunks(s, w->rows_n * vectors, 64), &from, &to);
    uint32_t mark = sk_open(s);
    lo_id v, row = con_split(c, lo_for(b, LO_SERIAL, from, to, 1), vectors, &v);
    struct lo_lin channel = lo_lin_mul(b, lo_lin_v(b, v), c->acc.lanes);
    lo_id mask = w->deep == w->depth ? 0 : con_lanes_below(c, channel, w->depth);
    lo_id g[PLACES] = {0}, u[PLACES];
    sk_axis(s, c->r, lo_lin_v(b, row));
    sk_vector(s, w->q, channel, c->acc.lanes, mask);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            sk_axis(s, w->r, lo_lin_c(w->sign_i < 0 ? 2 - i : i));
            sk_axis(s, w->c, lo_lin_c(w->sign_j < 0 ? 2 - j : j));
            g[4 * i + j] = sk_lanes(s, c->row);
        }
    for (int j = 0; j < 3; j++)
        by_g(c, g + j, 4, u + j);
    memcpy(g, u, sizeof g);
    for (int i = 0; i < 4; i++)
        by_g(c, g + 4 * i, 1, u + 4 * i);
    for (int i = 0; i < PLACES; i++)
        lo_store(b, w->u, u_at(w, c, lo_lin_c(i), lo_lin_v(b, row), channel), u[i], 0);
    lo_end(b);
    sk_close(s, mark);
    sk_phase_end(s);
    sk_scalar(s);
}

/* ---- V: element (task, where shared)(place)(channel)(tile of the task) ---- */

static struct lo_lin v_at(struct win *w, struct con *c, struct lo_lin place, struct lo_lin channel,
                          int64_t slot)
{
    struct lo_builder *b = &c->s->b;
    struct lo_lin l = lo_lin_mul(b, place, w->v_place);
    l = lo_lin_add(b, l, lo_lin_mul(b, channel, w->slots * c->acc.lanes));
    if (w->share)
        l = lo_lin_add(b, l, lo_lin_mul(b, c->at_task, w->v_size));
    return con_plus(c, l, slot * c->acc.lanes);
}

/* The task's tiles at one channel; in the space of tiles. */
static void points(struct win *w, struct con *c, struct lo_lin channel)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    fx_id col = factor(w, c, w->operand);
    sk_axis(s, w->q, channel);
    for (int64_t slot = 0; slot < w->slots; slot++) {
        lo_id d[PLACES];
        struct lo_lin t = con_plus(c, lo_lin_mul(b, c->at_task, w->slots), slot);
        sk_vector(s, w->j, lo_lin_mul(b, t, c->acc.lanes), c->acc.lanes, 0);
        for (int i = 0; i < PLACES; i++) {
            sk_axis(s, w->r, lo_lin_c(i / 4));
            sk_axis(s, w->c, lo_lin_c(i % 4));
            d[i] = sk_lanes(s, col);
        }
        for (int i = 0; i < 4; i++)
            by_b(c, d + i, 4);
        for (int i = 0; i < 4; i++)
            by_b(c, d + 4 * i, 1);
        for (int i = 0; i < PLACES; i++)
            lo_store(b, w->v, v_at(w, c, lo_lin_c(i), channel, slot), d[i], 0);
    }
}

/* Tasks (`each` numbers for one) up to `to`, but none that has only images beyond the run's. */
static struct lo_lin live_tasks(struct win *w, struct con *c, int64_t each, struct lo_lin to)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    uint32_t images = w->images.n ? w->images.axis[0] : 0;
    const struct ir_live *l = w->images.n ? fuse_axis_live(s->plan, w->own, images) : NULL;
    int64_t tiles = w->columns * w->lines, task = w->slots * c->acc.lanes;
    if (!l)
        return to;
    for (uint32_t k = 1; k < w->images.n; k++)
        tiles *= w->own->dim[w->images.axis[k]];
    struct lo_lin n = con_plus(c, lo_lin_mul(b, sk_extent(s, l), tiles), task - 1);
    n = lo_lin_v(b, lo_op(b, IR_idiv, I64, lo_value(b, n), lo_const_i(b, I64, task), 0));
    return lo_lin_v(b,
                    lo_op(b, IR_min, I64, lo_value(b, to), lo_value(b, lo_lin_mul(b, n, each)), 0));
}

static void points_phase(struct win *w, struct con *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    struct lo_lin from, to;
    sk_phase(s, sk_chunks(s, w->tasks * w->depth, 16), &from, &to);
    to = live_tasks(w, c, w->depth, to);
    uint32_t mark = sk_open(s);
    lo_id channel, task = con_split(c, lo_for(b, LO_SERIAL, from, to, 1), w->depth, &channel);
    c->at_task = lo_lin_v(b, task);
    points(w, c, lo_lin_v(b, channel));
    lo_end(b);
    sk_close(s, mark);
    sk_phase_end(s);
    sk_scalar(s);
}

static void own_points(struct win *w, struct con *c)
{
    struct sk *s = c->s;
    sk_enter(s, w->tiles);
    uint32_t mark = sk_open(s);
    lo_id channel = lo_for(&s->b, LO_SERIAL, lo_lin_c(0), lo_lin_c(w->depth), 1);
    points(w, c, lo_lin_v(&s->b, channel));
    lo_end(&s->b);
    sk_close(s, mark);
    sk_scalar(s);
    sk_enter(s, w->own);
}

/* ---- M: element (place)(row of the tile)(tile of the task) ---- */

static struct lo_lin m_at(struct win *w, struct con *c, struct lo_lin place, struct lo_lin row,
                          struct lo_lin slot)
{
    struct lo_builder *b = &c->s->b;
    int64_t line = w->slots * c->acc.lanes;
    struct lo_lin l = lo_lin_mul(b, place, w->rows * line);
    l = lo_lin_add(b, l, lo_lin_mul(b, row, line));
    return lo_lin_add(b, l, lo_lin_mul(b, slot, c->acc.lanes));
}

static void products(struct win *w, struct con *c)
{
    struct lo_builder *b = &c->s->b;
    struct lo_lin place = lo_lin_v(b, lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(PLACES), 1));
    con_clear(c, c->now_rows * w->slots);
    struct lo_lin q = lo_lin_v(b, lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(w->depth), 1));
    lo_id v[4];
    for (int64_t i = 0; i < w->slots; i++)
        v[i] = lo_load(b, w->v, v_at(w, c, place, q, i), c->acc.lanes, 0, 0);
    for (int64_t r = 0; r < c->now_rows; r++) {
        lo_id u = lo_load(b, w->u, u_at(w, c, place, con_plus(c, c->at_r, r), q), 1, 0, 0);
        for (int64_t i = 0; i < w->slots; i++)
            con_multiply_add(c, r * w->slots + i, u, v[i]);
    }
    lo_end(b);
    for (int64_t r = 0; r < c->now_rows; r++)
        for (int64_t i = 0; i < w->slots; i++)
            lo_store(b, w->m, m_at(w, c, place, lo_lin_c(r), lo_lin_c(i)),
                     lo_get(b, c->reg, lo_lin_c(r * w->slots + i)), 0);
    lo_end(b);
}

/* x[0] y[0] x[1] y[1] …, in two vectors. */
static void interleave(struct con *c, lo_id *x, lo_id *y)
{
    for (uint32_t block = 1; block < c->acc.lanes; block *= 2) {
        lo_id low = lo_trade(&c->s->b, *x, *y, block, false);
        *y = lo_trade(&c->s->b, *x, *y, block, true);
        *x = low;
    }
}

/* A vector of the result: the half's row a. */
static void finish_row(struct win *w, struct con *c, struct lo_lin line, struct lo_lin j, int a,
                       lo_id y)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    struct lo_lin i = con_plus(c, lo_lin_mul(b, line, 2), a);
    bool over = 2 * w->lines > con_dim(c, w->i);
    uint32_t mark = sk_open(s);
    if (over)
        lo_if(b, lo_op(b, IR_lt, I64, lo_value(b, i), lo_const_i(b, I64, con_dim(c, w->i)), 0));
    sk_axis(s, w->i, i);
    bool whole = con_dim(c, w->j) % c->acc.lanes == 0;
    sk_vector(s, w->j, j, c->acc.lanes, whole ? 0 : con_lanes_below(c, j, con_dim(c, w->j)));
    sk_finish(s, c->member, y);
    sk_bind(s, c->node, 0);
    sk_scalar(s);
    if (over)
        lo_end(b);
    sk_close(s, mark);
}

/* One row and vector of tiles: two halves of two rows each. */
static void finish_tiles(struct win *w, struct con *c, struct lo_lin row, struct lo_lin slot)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    lo_id m[PLACES];
    for (int i = 0; i < PLACES; i++)
        m[i] = lo_load(b, w->m, m_at(w, c, lo_lin_c(i), row, slot), c->acc.lanes, 0, 0);
    for (int i = 0; i < 4; i++)
        by_a(c, m + i, 4);
    for (int i = 0; i < 2; i++)
        by_a(c, m + 4 * i, 1);
    interleave(c, &m[0], &m[1]);
    interleave(c, &m[4], &m[5]);
    struct lo_lin t = lo_lin_add(b, lo_lin_mul(b, c->at_task, w->slots), slot);
    for (int half = 0; half < 2; half++) {
        uint32_t mark = sk_open(s);
        lo_id x, line, at = lo_value(b, con_plus(c, lo_lin_mul(b, t, 2), half));
        at = con_split(c, at, 2 * w->columns / c->acc.lanes, &x);
        at = con_split(c, at, w->lines, &line);
        con_decode(c, lo_lin_v(b, at), &w->images);
        struct lo_lin j = lo_lin_mul(b, lo_lin_v(b, x), c->acc.lanes);
        finish_row(w, c, lo_lin_v(b, line), j, 0, m[half]);
        finish_row(w, c, lo_lin_v(b, line), j, 1, m[4 + half]);
        sk_close(s, mark);
    }
}

static void row_tile(struct win *w, struct con *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    products(w, c);
    uint32_t mark = sk_open(s);
    struct lo_lin row = lo_lin_v(b, lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(c->now_rows), 1));
    struct lo_lin slot = lo_lin_v(b, lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(w->slots), 1));
    sk_axis(s, c->r, lo_lin_add(b, c->at_r, row));
    finish_tiles(w, c, row, slot);
    lo_end(b);
    lo_end(b);
    sk_close(s, mark);
}

/* The rows' tiles of a part: whole ones in a loop, the short one after them. */
static void row_tiles(struct win *w, struct con *c)
{
    struct lo_builder *b = &c->s->b;
    int64_t whole = w->rows_n / w->rows, rest = w->rows_n % w->rows;
    struct lo_lin from = lo_lin_mul(b, lo_lin_v(b, c->part), w->part_tiles);
    struct lo_lin to = con_at_most(c, con_plus(c, from, w->part_tiles), whole);
    c->now_rows = w->rows;
    if (whole) {
        c->at_r = lo_lin_mul(b, lo_lin_v(b, lo_for(b, LO_SERIAL, from, to, 1)), w->rows);
        row_tile(w, c);
        lo_end(b);
    }
    if (!rest)
        return;
    lo_if(b, lo_op(b, IR_eq, I64, c->part, lo_const_i(b, I64, w->parts - 1), 0));
    c->at_r = lo_lin_c(whole * w->rows);
    c->now_rows = rest;
    row_tile(w, c);
    lo_end(b);
}

static void multiply_phase(struct win *w, struct con *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    int64_t chunks = con_ceil(w->tasks, w->chunk_tasks);
    lo_id chunk = lo_phase(b, chunks * w->parts);
    sk_live(s);
    lo_id run = con_split(c, chunk, w->parts, &c->part);
    struct lo_lin from = lo_lin_mul(b, lo_lin_v(b, run), w->chunk_tasks);
    struct lo_lin to = con_at_most(c, con_plus(c, from, w->chunk_tasks), w->tasks);
    to = live_tasks(w, c, 1, to);
    c->at_task = lo_lin_v(b, lo_for(b, LO_SERIAL, from, to, 1));
    if (!w->share)
        own_points(w, c);
    row_tiles(w, c);
    lo_end(b);
    sk_phase_end(s);
}

void con_winograd_emit(struct win *w, struct con *c)
{
    struct sk *s = c->s;
    struct lo_type scalar = {c->acc.dtype, 1};
    enum nn_dtype t = (enum nn_dtype)c->acc.dtype;
    w->own = s->c;
    w->tiles = tile_space(w, c);
    w->u = sk_temporary(s, "filters", t, PLACES * w->u_place);
    if (w->share)
        w->v = sk_temporary(s, "points", t, w->tasks * w->v_size);
    else
        w->v = lo_buffer(s->b.k, LO_SCRATCH, "points", scalar, w->v_size);
    w->m = lo_buffer(s->b.k, LO_LOCAL, "sums", scalar, PLACES * w->rows * w->slots * c->acc.lanes);
    c->reg = lo_buffer(s->b.k, LO_REG, "acc", c->acc, w->rows * w->slots);
    filters_phase(w, c);
    if (w->share) {
        sk_enter(s, w->tiles);
        points_phase(w, c);
        sk_enter(s, w->own);
    }
    multiply_phase(w, c);
}
