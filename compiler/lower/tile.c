/* Contractions, emitted: the copy of computed rows, tasks, panels, tiles, loops over k, and what is
 * done with a finished tile. Accumulators are registers; a step over k loads each of the tile's
 * columns and rows once. Loops over k skip where a condition that is the same for the whole tile
 * makes a factor 0. */
#include "lower/contract.h"

#define I64 ((struct lo_type){NN_i64, 1})

struct lo_lin con_plus(struct con *c, struct lo_lin l, int64_t k)
{
    return lo_lin_add(&c->s->b, l, lo_lin_c(k));
}

struct lo_lin con_at_most(struct con *c, struct lo_lin l, int64_t n)
{
    struct lo_builder *b = &c->s->b;
    return lo_lin_v(b, lo_op(b, IR_min, I64, lo_value(b, l), lo_const_i(b, I64, n), 0));
}

/* The first n lanes, or 0 for all of them. */
lo_id con_first_lanes(struct con *c, int64_t n)
{
    if (n >= c->acc.lanes)
        return 0;
    struct lo_type t = {NN_i32, c->acc.lanes};
    struct lo_builder *b = &c->s->b;
    return lo_op(b, IR_lt, t, lo_lanes(b, t, lo_lin_c(0)), lo_const_i(b, t, n), 0);
}

lo_id con_lanes_below(struct con *c, struct lo_lin at, int64_t n)
{
    struct lo_type t = {NN_i32, c->acc.lanes};
    struct lo_builder *b = &c->s->b;
    return lo_op(b, IR_lt, t, lo_lanes(b, t, at), lo_const_i(b, t, n), 0);
}

/* Puts the axes of the list where the flat number t says, the last one running fastest. */
void con_decode(struct con *c, struct lo_lin t, const struct con_axes *list)
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
    bool vector = c->form == CON_DOT;
    sk_axis(s, c->r, con_plus(c, c->at_r, i));
    if (c->relay_row.on)
        return con_relay_load(c, &c->relay_row, sk_at(s, c->vector_k), 0);
    if (c->copy)
        return lo_load(&s->b, c->temp, con_copy_at(c, i), vector ? c->acc.lanes : 1,
                       vector ? s->mask : 0, 0);
    return vector ? along_k(c, c->row) : sk_value(s, c->row);
}

static int64_t now_slots(const struct con *c) { return c->su * c->now_slots_v; }

static void place_slot(struct con *c, int64_t slot)
{
    struct sk *s = c->s;
    int64_t iu = slot / c->now_slots_v, iv = slot % c->now_slots_v;
    if (c->u != c->v)
        sk_axis(s, c->u, con_plus(c, c->at_u, iu));
    sk_vector(s, c->v, con_plus(c, c->at_v, iv * c->acc.lanes), c->acc.lanes,
              iv + 1 == c->now_slots_v ? c->tail : 0);
}

/* The vector of a slot or, in the dot form, of a column of the block, at the point of k. */
static struct lo_lin panel_at(struct con *c, struct lo_lin slot)
{
    struct lo_builder *b = &c->s->b;
    struct lo_lin l =
        lo_lin_add(b, con_strided(c, c->panel_stride), lo_lin_mul(b, slot, c->acc.lanes));
    if (c->share)
        return lo_lin_add(b, l, lo_lin_mul(b, c->at_task, c->panel_size));
    if (!c->keep)
        return l;
    struct lo_lin task = lo_lin_add(b, c->at_task, lo_lin_mul(b, c->from, -1));
    l = lo_lin_add(b, l, lo_lin_mul(b, task, c->panel_size));
    return lo_lin_add(b, l, lo_lin_mul(b, c->k_from, -c->panel_stride[c->k.axis[0]]));
}

static lo_id panel_load(struct con *c, struct lo_lin slot)
{
    return lo_load(&c->s->b, c->panel, panel_at(c, slot), c->acc.lanes, 0, 0);
}

/* ---- steps over k ---- */

void con_multiply_add(struct con *c, int64_t reg, lo_id x, lo_id y)
{
    struct lo_builder *b = &c->s->b;
    lo_id sum = lo_get(b, c->reg, lo_lin_c(reg));
    sum = c->s->t->fma ? lo_fma(b, x, y, sum)
                       : lo_op(b, IR_add, c->acc, lo_op(b, IR_mul, c->acc, x, y, 0), sum, 0);
    lo_set(b, c->reg, lo_lin_c(reg), sum);
}

void con_clear(struct con *c, int64_t regs)
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
        col[i] = c->relay_col.on ? con_relay_load(c, &c->relay_col, c->at_v, i * c->acc.lanes)
                 : c->pack       ? panel_load(c, lo_lin_c(i))
                                 : sk_lanes(c->s, c->col);
    }
    for (int64_t r = 0; r < c->now_rows; r++) {
        lo_id row = row_value(c, r);
        for (int64_t i = 0; i < slots; i++)
            con_multiply_add(c, r * slots + i, row, col[i]);
    }
}

static void dot_step(struct con *c)
{
    lo_id col[32];
    for (int64_t i = 0; i < c->now_cols; i++) {
        sk_axis(c->s, c->v, con_plus(c, c->at_v, i));
        col[i] = c->relay_col.on ? con_relay_load(c, &c->relay_col, sk_at(c->s, c->vector_k), 0)
                 : c->pack       ? panel_load(c, con_plus(c, c->at_sub, i))
                                 : along_k(c, c->col);
    }
    for (int64_t r = 0; r < c->now_rows; r++) {
        lo_id row = row_value(c, r);
        for (int64_t i = 0; i < c->now_cols; i++)
            con_multiply_add(c, r * c->now_cols + i, row, col[i]);
    }
}

static void pack_step(struct con *c)
{
    struct lo_builder *b = &c->s->b;
    int64_t n = c->form == CON_DOT ? c->now_v : now_slots(c);
    for (int64_t i = 0; i < n; i++) {
        if (c->form == CON_DOT)
            sk_axis(c->s, c->v, con_plus(c, c->at_block, i));
        else
            place_slot(c, i);
        lo_id v = c->form == CON_DOT ? along_k(c, c->col) : sk_lanes(c->s, c->col);
        lo_store(b, c->panel, panel_at(c, lo_lin_c(i)), v, 0);
    }
}

/* ---- finished tiles ---- */

/* Slots outside, rows inside: what depends on the column alone is read once a slot. */
static void outer_finish(struct con *c)
{
    struct sk *s = c->s;
    int64_t slots = now_slots(c);
    uint32_t mark = sk_open(s);
    for (int64_t i = 0; i < slots; i++) {
        place_slot(c, i);
        for (int64_t r = 0; r < c->now_rows; r++) {
            sk_axis(s, c->r, con_plus(c, c->at_r, r));
            sk_finish(c->s, c->member, lo_get(&s->b, c->reg, lo_lin_c(r * slots + i)));
        }
    }
    sk_bind(s, c->node, 0);
    sk_close(s, mark);
    sk_scalar(s);
}

static int64_t tile_width(const struct con *c)
{
    return con_ceil(c->block, c->acc.lanes) * c->acc.lanes;
}

/* The tile of scalars that the dot form leaves, by vectors along v; `n` columns from `from`. */
static void dot_finish(struct con *c, struct lo_lin from, int64_t n)
{
    struct sk *s = c->s;
    int64_t lanes = c->acc.lanes;
    uint32_t mark = sk_open(s);
    for (int64_t at = 0; at < n; at += lanes) {
        lo_id mask = con_first_lanes(c, n - at);
        sk_vector(s, c->v, con_plus(c, from, at), (uint32_t)lanes, mask);
        for (int64_t r = 0; r < c->now_rows; r++) {
            sk_axis(s, c->r, con_plus(c, c->at_r, r));
            struct lo_lin l = lo_lin_c(r * tile_width(c) + at);
            sk_finish(c->s, c->member, lo_load(&s->b, c->tile, l, (uint32_t)lanes, mask, 0));
        }
    }
    sk_bind(s, c->node, 0);
    sk_close(s, mark);
    sk_scalar(s);
}

/* ---- tiles ---- */

/* Where the sums of the tile wait: register i of the columns `from` of the block. */
static struct lo_lin sums_at(struct con *c, int64_t i)
{
    struct lo_builder *b = &c->s->b;
    bool dot = c->form == CON_DOT;
    int64_t blocks = dot ? con_ceil(c->block, c->cols) : 1;
    int64_t size = c->rows * (dot ? c->cols : c->su * c->sv) * c->acc.lanes;
    struct lo_lin l = lo_lin_add(b, c->at_task, lo_lin_mul(b, c->from, -1));
    for (uint32_t a = 0; a < c->rest.n; a++) {
        l = lo_lin_mul(b, l, con_dim(c, c->rest.axis[a]));
        l = lo_lin_add(b, l, sk_at(c->s, c->rest.axis[a]));
    }
    l = lo_lin_add(b, lo_lin_mul(b, l, c->part_tiles), c->at_tile);
    l = lo_lin_mul(b, l, blocks * size);
    if (dot) /* at_sub is a multiple of cols: at_sub / cols * size without the division */
        l = lo_lin_add(b, l, lo_lin_mul(b, c->at_sub, c->rows * c->acc.lanes));
    return con_plus(c, l, i * c->acc.lanes);
}

static int64_t now_regs(const struct con *c)
{
    return c->now_rows * (c->form == CON_DOT ? c->now_cols : now_slots(c));
}

static lo_id waiting_sum(struct con *c, int64_t i)
{
    return lo_load(&c->s->b, c->sums, sums_at(c, i), c->acc.lanes, 0, 0);
}

/* The registers' sums over k, or over a block of it: then they are added to those that wait. A sum
 * does not go on from one block to the next, since many small steps would lose digits beside it. */
static void sum_up(struct con *c, enum con_visit visit, void (*step)(struct con *))
{
    struct lo_builder *b = &c->s->b;
    int64_t n = now_regs(c);
    if (visit == CON_END) {
        for (int64_t i = 0; i < n; i++)
            lo_set(b, c->reg, lo_lin_c(i), waiting_sum(c, i));
        return;
    }
    con_clear(c, n);
    con_k_runs(c, n, step);
    for (int64_t i = 0; visit == CON_MORE && i < n; i++) {
        lo_id sum = lo_op(b, IR_add, c->acc, waiting_sum(c, i), lo_get(b, c->reg, lo_lin_c(i)), 0);
        lo_store(b, c->sums, sums_at(c, i), sum, 0);
    }
}

static void outer_tile(struct con *c, enum con_visit visit)
{
    sum_up(c, visit, outer_step);
    if (visit != CON_MORE)
        outer_finish(c);
}

/* Sums over lanes go to the tile of scalars. */
static void fold(struct con *c, struct lo_lin from)
{
    struct lo_builder *b = &c->s->b;
    for (int64_t r = 0; r < c->now_rows; r++)
        for (int64_t i = 0; i < c->now_cols; i++) {
            lo_id sum = lo_get(b, c->reg, lo_lin_c(r * c->now_cols + i));
            struct lo_lin l = con_plus(c, from, r * tile_width(c) + i);
            lo_store(b, c->tile, l, lo_across(b, IRM_sum, sum), 0);
        }
}

/* Columns from..from + now_cols of the block. */
static void dot_columns(struct con *c, enum con_visit visit, struct lo_lin from)
{
    c->at_sub = from;
    c->at_v = lo_lin_add(&c->s->b, c->at_block, from);
    sum_up(c, visit, dot_step);
    if (visit != CON_MORE)
        fold(c, from);
}

static void dot_tile(struct con *c, enum con_visit visit)
{
    struct sk *s = c->s;
    int64_t n = c->now_v, whole = n / c->cols * c->cols;
    if (whole) {
        uint32_t mark = sk_open(s);
        lo_id sub = lo_for(&s->b, LO_SERIAL, lo_lin_c(0), lo_lin_c(whole), c->cols);
        c->now_cols = c->cols;
        dot_columns(c, visit, lo_lin_v(&s->b, sub));
        lo_end(&s->b);
        sk_close(s, mark);
    }
    if (whole < n) {
        uint32_t mark = sk_open(s);
        c->now_cols = n - whole;
        dot_columns(c, visit, lo_lin_c(whole));
        sk_close(s, mark);
    }
    if (visit != CON_MORE)
        dot_finish(c, c->at_block, n);
}

/* ---- tasks ---- */

/* x // q, and *rest = x % q. */
lo_id con_split(struct con *c, lo_id x, int64_t q, lo_id *rest)
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

/* A visit of all that the loops inside of a task and a row tile (in either order) make. */
typedef void inner_fn(struct con *c, enum con_visit visit);

static void set_slots(struct con *c, int64_t elements)
{
    int64_t lanes = c->acc.lanes;
    c->now_v = elements;
    if (c->form == CON_DOT)
        return;
    c->now_slots_v = con_ceil(elements, lanes);
    c->tail = elements % lanes ? con_first_lanes(c, elements % lanes) : 0;
}

/* The axes that a task's number says the place of. */
static uint32_t task_axes(const struct con *c)
{
    uint32_t axes = 1u << c->v | 1u << c->u;
    for (uint32_t i = 0; i < c->walk.n; i++)
        axes |= 1u << c->walk.axis[i];
    return axes;
}

/* One task; the short one at v's end has code of its own. */
static void one_task(struct con *c, lo_id left, enum con_visit visit, inner_fn *inner)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    lo_id v, u;
    c->at_task = lo_lin_v(b, left);
    left = con_split(c, left, c->v_tiles, &v);
    left = con_split(c, left, c->u_tiles, &u);
    con_decode(c, lo_lin_v(b, left), &c->walk);
    c->at_block = lo_lin_mul(b, lo_lin_v(b, v), c->v_size);
    c->at_u = lo_lin_mul(b, lo_lin_v(b, u), c->su);
    sk_axis(s, c->v, c->at_block);
    if (c->u != c->v)
        sk_axis(s, c->u, c->at_u);
    lo_id wanted = sk_wanted(s, task_axes(c));
    if (wanted)
        lo_if(b, wanted);
    bool two = c->v_rest && c->v_tiles > 1;
    if (two)
        lo_if(b, lo_op(b, IR_lt, I64, v, lo_const_i(b, I64, c->v_tiles - 1), 0));
    uint32_t branch = sk_open(s);
    set_slots(c, two || !c->v_rest ? c->v_size : c->v_rest);
    inner(c, visit);
    if (two) {
        lo_else(b);
        sk_close(s, branch);
        set_slots(c, c->v_rest);
        inner(c, visit);
        lo_end(b);
    }
    if (wanted)
        lo_end(b);
}

/* This chunk's tasks in a loop. */
static void each_task(struct con *c, enum con_visit visit, inner_fn *inner)
{
    uint32_t mark = sk_open(c->s);
    one_task(c, lo_for(&c->s->b, LO_SERIAL, c->from, c->to, 1), visit, inner);
    lo_end(&c->s->b);
    sk_close(c->s, mark);
}

/* r's tiles of the part: whole ones in a loop, the short one after them. */
static void each_row_tile(struct con *c, enum con_visit visit, inner_fn *inner)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    int64_t whole = con_dim(c, c->r) / c->rows, rest = con_dim(c, c->r) % c->rows;
    struct lo_lin from = lo_lin_c(0), to = lo_lin_c(whole);
    if (c->parts > 1) {
        from = lo_lin_mul(b, lo_lin_v(b, c->part), c->part_tiles);
        to = con_at_most(c, con_plus(c, from, c->part_tiles), whole);
    }
    uint32_t mark = sk_open(s);
    struct lo_lin minus = lo_lin_mul(b, from, -1);
    if (whole)
        sk_limited(s, c->r, c->rows, &from, &to);
    if (whole) {
        lo_id i = lo_for(b, LO_SERIAL, from, to, 1);
        c->at_tile = lo_lin_add(b, lo_lin_v(b, i), minus);
        c->at_r = lo_lin_mul(b, lo_lin_v(b, i), c->rows);
        c->now_rows = c->rows;
        inner(c, visit);
        lo_end(b);
        sk_close(s, mark);
    }
    if (!rest)
        return;
    if (c->parts > 1)
        lo_if(b, lo_op(b, IR_eq, I64, c->part, lo_const_i(b, I64, c->parts - 1), 0));
    c->at_tile = con_plus(c, minus, whole);
    c->at_r = lo_lin_c(whole * c->rows);
    c->now_rows = rest;
    sk_axis(s, c->r, c->at_r);
    lo_id wanted = whole ? sk_wanted(s, 1u << c->r) : 0;
    if (wanted)
        lo_if(b, wanted);
    inner(c, visit);
    if (wanted)
        lo_end(b);
    if (c->parts > 1)
        lo_end(b);
    sk_close(s, mark);
}

static void each_rest(struct con *c, enum con_visit visit, inner_fn *inner)
{
    struct sk *s = c->s;
    uint32_t mark = sk_open(s);
    for (uint32_t i = 0; i < c->rest.n; i++) {
        uint32_t axis = c->rest.axis[i];
        struct lo_lin from = lo_lin_c(0), to = lo_lin_c(con_dim(c, axis));
        sk_limited(s, axis, 1, &from, &to);
        sk_for(s, axis, LO_SERIAL, from, to, 1);
    }
    inner(c, visit);
    for (uint32_t i = 0; i < c->rest.n; i++)
        lo_end(&s->b);
    sk_close(s, mark);
}

static void visit_tile(struct con *c, enum con_visit visit)
{
    c->at_v = c->at_block;
    if (c->form == CON_DOT)
        dot_tile(c, visit);
    else
        outer_tile(c, visit);
}

static void pack(struct con *c, enum con_visit visit)
{
    (void)visit;
    uint32_t mark = sk_open(c->s);
    c->at_v = c->at_block;
    con_k_loops(c, pack_step);
    sk_close(c->s, mark);
    sk_scalar(c->s);
}

static void task_rows(struct con *c, enum con_visit visit) { each_row_tile(c, visit, visit_tile); }

/* One tile along v (and u) against all rows of the part; its columns may go to a panel before. */
static void whole_task(struct con *c, enum con_visit visit)
{
    if (c->pack && !c->share)
        pack(c, visit);
    each_rest(c, visit, task_rows);
}

static void rest_tiles(struct con *c, enum con_visit visit) { each_rest(c, visit, visit_tile); }

static void tile_tasks(struct con *c, enum con_visit visit) { each_task(c, visit, rest_tiles); }

/* The tasks from..to: blocks of k outside, then rows, then tasks, so that a row tile's block serves
 * all tasks of the group. */
static void blocked(struct con *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    int64_t n = con_padded(c, c->k.axis[0]), count = b->k->buffers.p[c->sums].count;
    lo_id zero = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(count), c->acc.lanes);
    lo_store(b, c->sums, lo_lin_v(b, zero), lo_const_f(b, c->acc, 0), 0);
    lo_end(b);
    uint32_t mark = sk_open(s);
    lo_id from = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(n), c->block_k);
    c->k_from = lo_lin_v(b, from);
    c->k_to = con_plus(c, c->k_from, c->block_k);
    if (n % c->block_k)
        c->k_to = con_at_most(c, c->k_to, n);
    if (c->pack && !c->share)
        each_task(c, CON_MORE, pack);
    each_row_tile(c, CON_MORE, tile_tasks);
    lo_end(b);
    sk_close(s, mark);
    each_row_tile(c, CON_END, tile_tasks);
}

static void groups(struct con *c)
{
    struct sk *s = c->s;
    struct lo_lin to = c->to;
    if (c->chunk_tasks <= c->group) {
        blocked(c);
        return;
    }
    uint32_t mark = sk_open(s);
    lo_id from = lo_for(&s->b, LO_SERIAL, c->from, to, c->group);
    c->from = lo_lin_v(&s->b, from);
    lo_id last = lo_op(&s->b, IR_min, I64, lo_value(&s->b, con_plus(c, c->from, c->group)),
                       lo_value(&s->b, to), 0);
    c->to = lo_lin_v(&s->b, last);
    blocked(c);
    lo_end(&s->b);
    sk_close(s, mark);
}

/* A run of the loop is a task's panel at one place of k's first axis. */
void con_phase_panel(struct con *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    int64_t first = con_dim(c, c->k.axis[0]), each = c->panel_size / (first ? first : 1);
    struct lo_lin from, to;
    bool keep = c->keep;
    sk_phase(s, sk_chunks(s, c->tasks * first, con_ceil(8192, each ? each : 1)), &from, &to);
    uint32_t mark = sk_open(s);
    lo_id k, task = con_split(c, lo_for(b, LO_SERIAL, from, to, 1), first, &k);
    c->keep = true; /* blocks of one point of k's first axis */
    c->k_from = lo_lin_v(b, k);
    c->k_to = con_plus(c, c->k_from, 1);
    one_task(c, task, CON_WHOLE, pack);
    c->keep = keep;
    lo_end(b);
    sk_close(s, mark);
    sk_phase_end(s);
}

void con_phase_multiply(struct con *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    struct sk_chunks all = {c->tasks, c->tasks, 1};
    if (s->within) {
        sk_phase(s, all, &c->from, &c->to);
        if (c->tasks == c->v_tiles)
            sk_limited(s, c->v, c->v_size, &c->from, &c->to);
    } else {
        lo_id chunk = lo_phase(b, c->chunks * c->parts);
        sk_live(s);
        lo_id run = con_split(c, chunk, c->parts, &c->part);
        c->from = lo_lin_mul(b, lo_lin_v(b, run), c->chunk_tasks);
        c->to = con_plus(c, c->from, c->chunk_tasks);
    }
    if (c->tasks % c->chunk_tasks)
        c->to = con_at_most(c, c->to, c->tasks);
    uint32_t mark = sk_open(s);
    if (c->keep)
        groups(c);
    else
        each_task(c, CON_WHOLE, whole_task);
    sk_phase_end(s);
    sk_close(s, mark);
}
