/* Contractions, emitted: the copy of computed rows, tasks, panels, tiles, loops over k, and what is
 * done with a finished tile. Accumulators are registers; a step over k loads each of the tile's
 * columns and rows once. Loops over k skip where a condition that is the same for the whole tile
 * makes a factor 0. */
#include "lower/contract.h"

#define I64 ((struct lo_type){NN_i64, 1})

typedef void body_fn(struct con *c);

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static struct lo_lin plus(struct con *c, struct lo_lin l, int64_t k)
{
    return lo_lin_add(&c->s->b, l, lo_lin_c(k));
}

/* The first n lanes, or 0 for all of them. */
static lo_id first_lanes(struct con *c, int64_t n)
{
    if (n >= c->acc.lanes)
        return 0;
    struct lo_type t = {NN_i32, c->acc.lanes};
    struct lo_builder *b = &c->s->b;
    return lo_op(b, IR_lt, t, lo_lanes(b, t, lo_lin_c(0)), lo_const_i(b, t, n), 0);
}

/* Puts the axes of the list where the flat number t says, the last one running fastest. */
static void decode(struct con *c, struct lo_lin t, const struct con_axes *list)
{
    struct lo_builder *b = &c->s->b;
    for (uint32_t i = list->n; i-- > 0;) {
        int64_t dim = con_dim(c, list->axis[i]);
        if (!i) {
            sk_axis(c->s, list->axis[i], t);
            return;
        }
        lo_id q = lo_op(b, IR_idiv, I64, lo_value(b, t), lo_const_i(b, I64, dim), 0);
        struct lo_lin ql = lo_lin_v(b, q);
        sk_axis(c->s, list->axis[i], lo_lin_add(b, t, lo_lin_mul(b, ql, -dim)));
        t = ql;
    }
}

static struct lo_lin strided(struct con *c, const int64_t *stride)
{
    struct lo_lin l = lo_lin_c(0);
    for (uint32_t i = 0; i < c->s->x.n; i++)
        if (stride[i])
            l = lo_lin_add(&c->s->b, l, lo_lin_mul(&c->s->b, c->s->axis[i], stride[i]));
    return l;
}

/* ---- loops over k ---- */

/* Of the factor's own conditions (reads outside give 0) those that hold or fail for a whole tile
 * and are known once k's axis `depth` stands: their conjunction, or 0. */
static lo_id skip_condition(struct con *c, fx_id factor, uint32_t depth)
{
    struct sk *s = c->s;
    const struct fx_val v = s->x.val.p[factor];
    if (v.kind != FX_PICK || v.f != 0)
        return 0;
    uint32_t never = 1u << c->r | 1u << c->v | 1u << c->u, here = 1u << c->k.axis[depth];
    if (c->form == CON_DOT)
        never |= 1u << c->vector_k;
    for (uint32_t i = depth + 1; i < c->k.n; i++)
        never |= 1u << c->k.axis[i];
    lo_id all = 0;
    for (uint32_t g = v.pick; g && g != v.cond; g = s->x.cond.p[g].up) {
        const struct fx_cond *cond = &s->x.cond.p[g];
        uint32_t axes = fx_ix_axes(&s->x, cond->g.e);
        if (cond->g.strict || (axes & never) || !(axes & here))
            continue;
        lo_id one = sk_condition(s, g, s->x.cond.p[g].up);
        all = all ? lo_op(&s->b, IR_and, (struct lo_type){NN_bool, 1}, all, one, 0) : one;
    }
    return all;
}

static void k_loops(struct con *c, uint32_t depth, body_fn *body);

/* The axis of k in the lanes: whole vectors, then the rest. */
static void k_vectors(struct con *c, body_fn *body)
{
    struct sk *s = c->s;
    int64_t lanes = c->acc.lanes, n = con_dim(c, c->vector_k), whole = n / lanes * lanes;
    if (whole) {
        uint32_t mark = sk_open(s);
        lo_id at = lo_for(&s->b, LO_SERIAL, lo_lin_c(0), lo_lin_c(whole), lanes);
        sk_vector(s, c->vector_k, lo_lin_v(&s->b, at), (uint32_t)lanes, 0);
        body(c);
        lo_end(&s->b);
        sk_close(s, mark);
    }
    if (whole < n) {
        uint32_t mark = sk_open(s);
        lo_id mask = first_lanes(c, n - whole);
        sk_vector(s, c->vector_k, lo_lin_c(whole), (uint32_t)lanes, mask);
        body(c);
        sk_close(s, mark);
    }
    sk_scalar(s);
}

static void k_loops(struct con *c, uint32_t depth, body_fn *body)
{
    struct sk *s = c->s;
    if (depth == c->k.n) {
        body(c);
        return;
    }
    uint32_t axis = c->k.axis[depth];
    if (c->form == CON_DOT && axis == c->vector_k) {
        k_vectors(c, body);
        return;
    }
    int64_t n = con_dim(c, axis);
    bool small = depth + 1 == c->k.n && n * c->rows * c->su * c->sv <= 72;
    uint32_t mark = sk_open(s);
    sk_for(s, axis, small ? LO_UNROLL : LO_SERIAL, lo_lin_c(0), lo_lin_c(n), 1);
    lo_id skip = skip_condition(c, c->col, depth), row = skip_condition(c, c->row, depth);
    if (skip && row)
        skip = lo_op(&s->b, IR_and, (struct lo_type){NN_bool, 1}, skip, row, 0);
    skip = skip ? skip : row;
    if (skip)
        lo_if(&s->b, skip);
    k_loops(c, depth + 1, body);
    if (skip)
        lo_end(&s->b);
    lo_end(&s->b);
    sk_close(s, mark);
}

/* ---- the two factors ---- */

/* What masked lanes of it hold is 0: loads give that. */
static bool zero_outside(const struct con *c, fx_id v)
{
    const struct fx_val *x = &c->s->x.val.p[v];
    if (x->kind == FX_PICK && x->f == 0)
        x = &c->s->x.val.p[x->in[0]];
    return x->kind == FX_LOAD;
}

/* A factor along k; lanes outside are 0. */
static lo_id along_k(struct con *c, fx_id v)
{
    lo_id x = sk_lanes(c->s, v);
    if (!c->s->mask || zero_outside(c, v))
        return x;
    return lo_op(&c->s->b, IR_select, c->acc, c->s->mask, x, lo_const_f(&c->s->b, c->acc, 0));
}

static lo_id row_value(struct con *c, int64_t i)
{
    struct sk *s = c->s;
    sk_axis(s, c->r, plus(c, c->at_r, i));
    bool vector = c->form == CON_DOT;
    if (c->copy)
        return lo_load(&s->b, c->temp, strided(c, c->copy_stride), vector ? c->acc.lanes : 1,
                       vector ? s->mask : 0, 0);
    return vector ? along_k(c, c->row) : sk_value(s, c->row);
}

static int64_t now_slots(const struct con *c) { return c->su * c->now_slots_v; }

static void place_slot(struct con *c, int64_t slot)
{
    struct sk *s = c->s;
    int64_t iu = slot / c->now_slots_v, iv = slot % c->now_slots_v;
    if (c->u != c->v)
        sk_axis(s, c->u, plus(c, c->at_u, iu));
    sk_vector(s, c->v, plus(c, c->at_v, iv * c->acc.lanes), c->acc.lanes,
              iv + 1 == c->now_slots_v ? c->tail : 0);
}

static struct lo_lin panel_at(struct con *c, int64_t slot)
{
    return plus(c, strided(c, c->panel_stride), slot * c->acc.lanes);
}

/* ---- steps over k ---- */

static void multiply_add(struct con *c, int64_t reg, lo_id x, lo_id y)
{
    struct lo_builder *b = &c->s->b;
    lo_id sum = lo_get(b, c->reg, lo_lin_c(reg));
    sum = c->s->t->fma ? lo_fma(b, x, y, sum)
                       : lo_op(b, IR_add, c->acc, lo_op(b, IR_mul, c->acc, x, y, 0), sum, 0);
    lo_set(b, c->reg, lo_lin_c(reg), sum);
}

static void clear(struct con *c, int64_t regs)
{
    for (int64_t i = 0; i < regs; i++)
        lo_set(&c->s->b, c->reg, lo_lin_c(i), lo_const_f(&c->s->b, c->acc, 0));
}

static void outer_step(struct con *c)
{
    lo_id col[32];
    int64_t slots = now_slots(c);
    for (int64_t i = 0; i < slots; i++) {
        place_slot(c, i);
        col[i] = c->pack ? lo_load(&c->s->b, c->panel, panel_at(c, i), c->acc.lanes, 0, 0)
                         : sk_lanes(c->s, c->col);
    }
    for (int64_t r = 0; r < c->now_rows; r++) {
        lo_id row = row_value(c, r);
        for (int64_t i = 0; i < slots; i++)
            multiply_add(c, r * slots + i, row, col[i]);
    }
}

static void dot_step(struct con *c)
{
    lo_id col[32];
    for (int64_t i = 0; i < c->now_cols; i++) {
        sk_axis(c->s, c->v, plus(c, c->at_v, i));
        col[i] = along_k(c, c->col);
    }
    for (int64_t r = 0; r < c->now_rows; r++) {
        lo_id row = row_value(c, r);
        for (int64_t i = 0; i < c->now_cols; i++)
            multiply_add(c, r * c->now_cols + i, row, col[i]);
    }
}

static void pack_step(struct con *c)
{
    for (int64_t i = 0; i < now_slots(c); i++) {
        place_slot(c, i);
        lo_store(&c->s->b, c->panel, panel_at(c, i), sk_lanes(c->s, c->col), 0);
    }
}

/* ---- finished tiles ---- */

/* At the point where we stand: the sum is known, everything that follows from it is stored. */
static void finish(struct con *c, lo_id sum)
{
    struct sk *s = c->s;
    enum nn_dtype t = (enum nn_dtype)ir_at(s->plan->g, c->node)->dtype;
    sum = lo_cast(&s->b, (enum nn_dtype)c->acc.dtype, lo_cast(&s->b, t, sum));
    sk_bind(s, c->node, sum);
    for (uint32_t i = 0; i < s->c->members.n; i++)
        if (s->c->members.p[i].stored)
            sk_store(s, i, i == c->member ? sum : sk_lanes(s, sk_member(s, i)));
}

/* Slots outside, rows inside: what depends on the column alone is read once a slot. */
static void outer_finish(struct con *c)
{
    struct sk *s = c->s;
    int64_t slots = now_slots(c);
    uint32_t mark = sk_open(s);
    for (int64_t i = 0; i < slots; i++) {
        place_slot(c, i);
        for (int64_t r = 0; r < c->now_rows; r++) {
            sk_axis(s, c->r, plus(c, c->at_r, r));
            finish(c, lo_get(&s->b, c->reg, lo_lin_c(r * slots + i)));
        }
    }
    sk_bind(s, c->node, 0);
    sk_close(s, mark);
    sk_scalar(s);
}

static int64_t tile_width(const struct con *c)
{
    return ceil_div(c->block, c->acc.lanes) * c->acc.lanes;
}

/* The tile of scalars that the dot form leaves, by vectors along v; `n` columns from `from`. */
static void dot_finish(struct con *c, struct lo_lin from, int64_t n)
{
    struct sk *s = c->s;
    int64_t lanes = c->acc.lanes;
    uint32_t mark = sk_open(s);
    for (int64_t at = 0; at < n; at += lanes) {
        lo_id mask = first_lanes(c, n - at);
        sk_vector(s, c->v, plus(c, from, at), (uint32_t)lanes, mask);
        for (int64_t r = 0; r < c->now_rows; r++) {
            sk_axis(s, c->r, plus(c, c->at_r, r));
            struct lo_lin l = lo_lin_c(r * tile_width(c) + at);
            finish(c, lo_load(&s->b, c->tile, l, (uint32_t)lanes, mask, 0));
        }
    }
    sk_bind(s, c->node, 0);
    sk_close(s, mark);
    sk_scalar(s);
}

/* ---- tiles ---- */

static void outer_tile(struct con *c)
{
    clear(c, c->now_rows * now_slots(c));
    k_loops(c, 0, outer_step);
    outer_finish(c);
}

/* Columns from..from+now_cols of the block: sums over k, folded, into the tile. */
static void dot_columns(struct con *c, struct lo_lin from, struct lo_lin block)
{
    struct lo_builder *b = &c->s->b;
    c->at_v = lo_lin_add(b, block, from);
    clear(c, c->now_rows * c->now_cols);
    k_loops(c, 0, dot_step);
    for (int64_t r = 0; r < c->now_rows; r++)
        for (int64_t i = 0; i < c->now_cols; i++) {
            lo_id sum = lo_get(b, c->reg, lo_lin_c(r * c->now_cols + i));
            struct lo_lin l = plus(c, from, r * tile_width(c) + i);
            lo_store(b, c->tile, l, lo_across(b, IRM_sum, sum), 0);
        }
}

/* `n` columns of a block that begins at at_u (no use for it otherwise). */
static void dot_tile(struct con *c, int64_t n)
{
    struct sk *s = c->s;
    struct lo_lin block = c->at_u;
    int64_t whole = n / c->cols * c->cols;
    if (whole) {
        uint32_t mark = sk_open(s);
        lo_id sub = lo_for(&s->b, LO_SERIAL, lo_lin_c(0), lo_lin_c(whole), c->cols);
        c->now_cols = c->cols;
        dot_columns(c, lo_lin_v(&s->b, sub), block);
        lo_end(&s->b);
        sk_close(s, mark);
    }
    if (whole < n) {
        uint32_t mark = sk_open(s);
        c->now_cols = n - whole;
        dot_columns(c, lo_lin_c(whole), block);
        sk_close(s, mark);
    }
    dot_finish(c, block, n);
}

/* ---- tasks ---- */

/* What a task is made of: `v_tiles` tiles or blocks along v, the last one with `v_rest` elements if
 * that is not 0; `u_tiles` along u; r's tiles in `parts` runs of `per`. */
struct tasks {
    int64_t v_size, v_tiles, v_rest, u_tiles, r_tiles, parts, per, count;
};

static struct tasks plan_tasks(const struct con *c)
{
    struct tasks t = {.v_size = c->form == CON_DOT ? c->block : c->sv * c->acc.lanes};
    t.v_tiles = ceil_div(con_dim(c, c->v), t.v_size);
    t.v_rest = con_dim(c, c->v) % t.v_size;
    t.u_tiles = c->u != c->v ? con_dim(c, c->u) / c->su : 1;
    t.r_tiles = ceil_div(con_dim(c, c->r), c->rows);
    t.count = t.v_tiles * t.u_tiles;
    for (uint32_t i = 0; i < c->walk.n; i++)
        t.count *= con_dim(c, c->walk.axis[i]);
    int64_t most = c->pack ? ceil_div(t.r_tiles, 4) : t.r_tiles;
    int64_t want = t.count >= 16 ? 1 : ceil_div(16, t.count ? t.count : 1);
    want = want > most ? most : want;
    t.per = ceil_div(t.r_tiles, want > 0 ? want : 1);
    t.parts = ceil_div(t.r_tiles, t.per > 0 ? t.per : 1);
    t.count *= t.parts;
    return t;
}

/* Tasks that a chunk takes at least: some 20,000 cycles' work. */
static int64_t least_tasks(const struct con *c, const struct tasks *t)
{
    double steps = (double)c->depth * (double)t->per;
    for (uint32_t i = 0; i < c->rest.n; i++)
        steps *= (double)con_dim(c, c->rest.axis[i]);
    double cycles = c->form == CON_DOT ? steps / c->acc.lanes * (double)(c->rows * c->block) / 2
                                       : steps * (double)(c->rows * c->su * c->sv) / 2;
    return cycles >= 20000 ? 1 : (int64_t)(20000 / (cycles > 1 ? cycles : 1)) + 1;
}

static void one_tile(struct con *c, int64_t rows, int64_t v_elements)
{
    c->now_rows = rows;
    if (c->form == CON_DOT)
        dot_tile(c, v_elements);
    else
        outer_tile(c);
}

/* r's tiles of the part: whole ones in a loop, the short one after them. */
static void row_tiles(struct con *c, const struct tasks *t, lo_id part, int64_t v_elements)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    int64_t whole = con_dim(c, c->r) / c->rows, rest = con_dim(c, c->r) % c->rows;
    struct lo_lin from = lo_lin_c(0), to = lo_lin_c(whole);
    if (t->parts > 1) {
        from = lo_lin_mul(b, lo_lin_v(b, part), t->per);
        lo_id end = lo_value(b, plus(c, from, t->per));
        to = lo_lin_v(b, lo_op(b, IR_min, I64, end, lo_const_i(b, I64, whole), 0));
    }
    if (whole) {
        uint32_t mark = sk_open(s);
        lo_id i = lo_for(b, LO_SERIAL, from, to, 1);
        c->at_r = lo_lin_mul(b, lo_lin_v(b, i), c->rows);
        one_tile(c, c->rows, v_elements);
        lo_end(b);
        sk_close(s, mark);
    }
    if (!rest)
        return;
    uint32_t mark = sk_open(s);
    if (t->parts > 1)
        lo_if(b, lo_op(b, IR_eq, I64, part, lo_const_i(b, I64, t->parts - 1), 0));
    c->at_r = lo_lin_c(whole * c->rows);
    one_tile(c, rest, v_elements);
    if (t->parts > 1)
        lo_end(b);
    sk_close(s, mark);
}

/* One tile along v (and u) against all rows of the part. */
static void one_task(struct con *c, const struct tasks *t, lo_id part, int64_t v_elements)
{
    struct sk *s = c->s;
    int64_t lanes = c->acc.lanes;
    uint32_t mark = sk_open(s), open = 0;
    c->now_slots_v = c->form == CON_OUTER ? ceil_div(v_elements, lanes) : 1;
    c->tail = c->form == CON_OUTER && v_elements % lanes ? first_lanes(c, v_elements % lanes) : 0;
    if (c->pack)
        k_loops(c, 0, pack_step);
    for (; open < c->rest.n; open++) {
        uint32_t axis = c->rest.axis[open];
        sk_for(s, axis, LO_SERIAL, lo_lin_c(0), lo_lin_c(con_dim(c, axis)), 1);
    }
    row_tiles(c, t, part, v_elements);
    while (open--)
        lo_end(&s->b);
    sk_close(s, mark);
    sk_scalar(s);
}

/* x // q, and *rest = x % q. */
static lo_id split(struct con *c, lo_id x, int64_t q, lo_id *rest)
{
    struct lo_builder *b = &c->s->b;
    if (q == 1) {
        *rest = lo_const_i(b, I64, 0);
        return x;
    }
    lo_id high = lo_op(b, IR_idiv, I64, x, lo_const_i(b, I64, q), 0);
    struct lo_lin low = lo_lin_mul(b, lo_lin_v(b, high), -q);
    *rest = lo_value(b, lo_lin_add(b, lo_lin_v(b, x), low));
    return high;
}

static void task(struct con *c, const struct tasks *t, lo_id number)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    lo_id part, v, u, left = split(c, number, t->parts, &part);
    left = split(c, left, t->v_tiles, &v);
    left = split(c, left, t->u_tiles, &u);
    decode(c, lo_lin_v(b, left), &c->walk);
    struct lo_lin at = lo_lin_mul(b, lo_lin_v(b, v), t->v_size);
    if (c->form == CON_DOT)
        c->at_u = at;
    else
        c->at_u = lo_lin_mul(b, lo_lin_v(b, u), c->su);
    c->at_v = at;
    if (!t->v_rest || t->v_tiles == 1) {
        one_task(c, t, part, t->v_rest ? t->v_rest : t->v_size);
        return;
    }
    uint32_t mark = sk_open(s);
    lo_if(b, lo_op(b, IR_lt, I64, v, lo_const_i(b, I64, t->v_tiles - 1), 0));
    one_task(c, t, part, t->v_size);
    c->at_v = at;
    lo_else(b);
    sk_close(s, mark);
    one_task(c, t, part, t->v_rest);
    lo_end(b);
    sk_close(s, mark);
}

void con_phase_multiply(struct con *c)
{
    struct sk *s = c->s;
    struct tasks t = plan_tasks(c);
    struct lo_lin from, to;
    sk_phase(s, sk_chunks(s, t.count, least_tasks(c, &t)), &from, &to);
    uint32_t mark = sk_open(s);
    lo_id i = lo_for(&s->b, LO_SERIAL, from, to, 1);
    task(c, &t, i);
    lo_end(&s->b);
    sk_close(s, mark);
    lo_end(&s->b);
    s->b.k->flops = 2.0 * (double)c->depth * (double)ir_count(ir_at(s->plan->g, c->node));
}

/* ---- the copy of computed rows ---- */
void con_phase_copy(struct con *c)
{
    struct sk *s = c->s;
    uint32_t lane_axis = c->copy_k ? c->vector_k : c->r;
    int64_t lanes = c->acc.lanes, n = con_dim(c, lane_axis), count = 1;
    struct con_axes list = {0};
    for (uint32_t i = 0; i < s->x.n; i++)
        if (c->copy_stride[i] && i != lane_axis) {
            list.axis[list.n++] = i;
            count *= con_dim(c, i);
        }
    struct lo_lin from, to;
    sk_phase(s, sk_chunks(s, count, ceil_div(8192, n > 0 ? n : 1)), &from, &to);
    uint32_t mark = sk_open(s);
    lo_id t = lo_for(&s->b, LO_SERIAL, from, to, 1);
    decode(c, lo_lin_v(&s->b, t), &list);
    for (int64_t whole = n / lanes * lanes, part = 0; part < 2; part++) {
        if (part ? whole == n : !whole)
            continue;
        uint32_t inner = sk_open(s);
        lo_id mask = part ? first_lanes(c, n - whole) : 0;
        lo_id at = part ? 0 : lo_for(&s->b, LO_SERIAL, lo_lin_c(0), lo_lin_c(whole), lanes);
        sk_vector(s, lane_axis, part ? lo_lin_c(whole) : lo_lin_v(&s->b, at), (uint32_t)lanes,
                  mask);
        lo_id v = sk_lanes(s, c->row);
        lo_store(&s->b, c->temp, strided(c, c->copy_stride), v, mask);
        if (!part)
            lo_end(&s->b);
        sk_close(s, inner);
    }
    lo_end(&s->b);
    sk_close(s, mark);
    lo_end(&s->b);
    sk_scalar(s);
}
