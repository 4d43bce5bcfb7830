/* Streamed chains on a GPU (attention): a block of threads has a block of rows, whose factors stay
 * in shared memory, and goes over the columns tile by tile. The softmax's maximum and total run
 * along, sums over the columns are scaled anew where the maximum grows. Nothing square leaves the
 * processor, however long a row is; tiles in which a mask leaves nothing are not visited. */
#include "lower/gpu_stream.h"

#define I64 ((struct lo_type){NN_i64, 1})

static lo_id number(struct gs *g, int64_t v) { return lo_const_i(&g->s->b, I64, v); }

struct lo_lin gs_row(struct gs *g, int64_t r)
{
    struct lo_lin l = gc_plus_v(&g->c, lo_lin_v(&g->s->b, g->i), g->warp, GS_WARP_ROWS);
    return gc_plus(&g->c, l, r * (gs_fma(g) ? 4 : 8));
}

struct lo_lin gs_col(struct gs *g, int64_t c)
{
    struct lo_builder *b = &g->s->b;
    if (gs_fma(g))
        return gc_plus(&g->c, lo_lin_v(b, g->j), c * 8);
    return gc_plus(&g->c, lo_lin_mul(b, lo_lin_v(b, g->j), 2), c / 2 * 8 + c % 2);
}

/* ---- a tile of columns ---- */

static void load_columns(struct gs *g, lo_id t, struct lo_lin stage)
{
    struct lo_lin from = lo_lin_mul(&g->s->b, lo_lin_v(&g->s->b, t), g->wide);
    for (uint32_t i = 0; i < g->ntile; i++)
        if (!g->tile[i].rows)
            gs_load(g, &g->tile[i], from, stage);
    gs_load_columns(g, from, stage);
}

static void compute(struct gs *g, lo_id t)
{
    struct lo_builder *b = &g->s->b;
    g->col0 = lo_lin_mul(b, lo_lin_v(b, t), g->wide);
    for (uint32_t i = 0; i < g->f.nscore; i++)
        gs_score(g, i);
    gs_points(g);
    if (gs_fma(g))
        lo_barrier(b);
    for (uint32_t i = 0; i < g->f.nsum; i++)
        gs_add(g, i);
}

static bool any_async(const struct gs *g)
{
    bool any = false;
    for (uint32_t i = 0; i < g->ntile; i++)
        any = any || g->tile[i].async;
    return any;
}

/* One tile at a time: the block waits for it; other blocks of the multiprocessor do not. */
static void loop_single(struct gs *g, struct lo_lin from, struct lo_lin to)
{
    struct lo_builder *b = &g->s->b;
    uint32_t mark = sk_open(g->s);
    lo_id t = lo_for(b, LO_SERIAL, from, to, 1);
    lo_barrier(b);
    g->stage = lo_lin_c(0);
    load_columns(g, t, g->stage);
    if (any_async(g)) {
        lo_commit(b);
        lo_wait(b, 0);
    }
    lo_barrier(b);
    compute(g, t);
    lo_end(b);
    sk_close(g->s, mark);
}

static struct lo_lin stage_of(struct gs *g, lo_id t)
{
    lo_id rest;
    gc_split(&g->c, t, 2, &rest);
    return lo_lin_v(&g->s->b, rest);
}

/* The next tile is on its way while one is used. */
static void loop_double(struct gs *g, struct lo_lin from, struct lo_lin to)
{
    struct lo_builder *b = &g->s->b;
    uint32_t mark = sk_open(g->s);
    lo_id first = lo_value(b, from);
    load_columns(g, first, stage_of(g, first));
    lo_commit(b);
    sk_close(g->s, mark);
    lo_id t = lo_for(b, LO_SERIAL, from, to, 1);
    lo_wait(b, 0);
    lo_barrier(b);
    uint32_t inner = sk_open(g->s);
    lo_id next = lo_value(b, gc_plus(&g->c, lo_lin_v(b, t), 1));
    lo_if(b, lo_op(b, IR_lt, I64, next, lo_value(b, to), 0));
    load_columns(g, next, stage_of(g, next));
    lo_end(b);
    sk_close(g->s, inner);
    lo_commit(b);
    g->stage = stage_of(g, t);
    compute(g, t);
    lo_end(b);
    sk_close(g->s, mark);
}

/* ---- the phase ---- */

/* Where the block stands; where a mask ends the columns, long blocks begin first. */
static void place_block(struct gs *g, const struct fuse_cluster *chain, lo_id task, int64_t blocks)
{
    struct lo_builder *b = &g->s->b;
    lo_id block;
    task = gc_split(&g->c, task, blocks, &block);
    struct lo_lin at = lo_lin_mul(b, lo_lin_v(b, block), g->block);
    if (g->limits.to && !g->limits.from)
        at = gc_plus(&g->c, lo_lin_mul(b, at, -1), (blocks - 1) * g->block);
    g->row0 = at;
    for (uint32_t i = chain->outer - 1; i-- > 0;) {
        lo_id rest = task;
        if (i)
            task = gc_split(&g->c, task, chain->dim[i], &rest);
        sk_axis(g->s, i, lo_lin_v(b, rest));
    }
    gc_begin_threads(&g->c);
    g->lane = g->c.lane;
    g->warp = g->c.warp;
    g->i = gc_split(&g->c, g->lane, gs_fma(g) ? 8 : 4, &g->j);
    for (int64_t r = 0; r < g->rows; r++) {
        struct lo_lin l = lo_lin_add(b, g->row0, gs_row(g, r));
        g->row_at[r] = lo_value(b, l);
        if (g->nrow % g->block)
            g->row_at[r] = lo_op(b, IR_min, I64, g->row_at[r], number(g, g->nrow - 1), 0);
    }
}

/* Whether the block's rows are some that the run wants; 0: always. */
static lo_id block_wanted(struct gs *g)
{
    struct sk *s = g->s;
    lo_id in = 0;
    for (uint32_t i = 0; i <= g->row; i++)
        in = sk_reaches(s, &i, &s->c->dim[i], 1, 0, i < g->row ? sk_at(s, i) : g->row0, 1, in);
    return in;
}

static lo_id divided(struct gs *g, struct lo_lin x, int64_t q)
{
    return lo_op(&g->s->b, IR_idiv, I64, lo_value(&g->s->b, x), number(g, q), 0);
}

static void go_over_columns(struct gs *g)
{
    struct lo_builder *b = &g->s->b;
    struct lo_lin from = lo_lin_c(0), to = lo_lin_c(gc_ceil(g->ncolumn, g->wide));
    if (g->limits.from || g->limits.to) {
        struct sk_limit l = chain_limit(g->s, &g->limits, g->column, g->row0, g->block);
        from = lo_lin_v(b, divided(g, l.from, g->wide));
        to = lo_lin_v(b, divided(g, gc_plus(&g->c, l.to, g->wide - 1), g->wide));
    }
    const struct ir_live *live = fuse_axis_live(g->s->plan, g->s->c, g->column);
    if (live) { /* what is beyond adds nothing */
        lo_id end = divided(g, gc_plus(&g->c, sk_extent(g->s, live), g->wide - 1), g->wide);
        to = lo_lin_v(b, lo_op(b, IR_min, I64, lo_value(b, to), end, 0));
    }
    if (g->stages == 2)
        loop_double(g, from, to);
    else
        loop_single(g, from, to);
}

static void phase(struct gs *g, const struct fuse_cluster *chain)
{
    struct lo_builder *b = &g->s->b;
    int64_t blocks = gc_ceil(g->nrow, g->block), tasks = blocks;
    for (uint32_t i = 0; i + 1 < chain->outer; i++)
        tasks *= chain->dim[i];
    lo_id task = lo_phase_gpu(b, tasks, g->threads);
    uint32_t mark = sk_open(g->s);
    place_block(g, chain, task, blocks);
    lo_id wanted = block_wanted(g);
    if (wanted)
        lo_if(b, wanted);
    for (uint32_t i = 0; i < g->ntile; i++)
        if (g->tile[i].rows)
            gs_load(g, &g->tile[i], g->row0, lo_lin_c(0));
    gs_begin_rows(g);
    go_over_columns(g);
    gs_finish(g);
    if (wanted)
        lo_end(b);
    lo_end(b);
    sk_close(g->s, mark);
}

/* ---- figures ---- */

static void add_bytes(void *ctx, const struct fx *x, fx_id id)
{
    const struct fx_val *v = &x->val.p[id];
    if (v->kind == FX_LOAD)
        *(double *)ctx += (double)nn_dtype_size(v->dtype);
}

/* Of memory, for an element of a factor. */
static double bytes_of(const struct gs *g, fx_id v)
{
    double bytes = 0;
    uint8_t *seen = xcalloc(g->s->x.val.n, 1);
    fx_walk(&g->s->x, v, seen, add_bytes, &bytes);
    free(seen);
    return bytes;
}

/* Columns that block `k` of rows visits. */
static int64_t visited(const struct gs *g, int64_t k)
{
    int64_t from = 0, to = g->ncolumn;
    if (g->limits.from)
        from = k * g->block + g->limits.first;
    if (g->limits.to)
        to = (k + 1) * g->block + g->limits.last;
    from = from < 0 ? 0 : (from < g->ncolumn ? from : g->ncolumn - 1) / g->wide * g->wide;
    to = gs_up(to, g->wide);
    return (to < g->ncolumn ? to : g->ncolumn) - from;
}

/* Each block reads its rows once and the columns of the tiles that it visits; results are written
 * once. */
static void set_tiled(struct gs *g, const struct sk *chain)
{
    double row = 0, column = 0, rows = 0, columns = 0, batch = 1, bytes = 0;
    for (uint32_t i = 0; i < g->ntile; i++)
        *(g->tile[i].rows ? &row : &column) +=
            (double)g->tile[i].dims.size * bytes_of(g, g->tile[i].v);
    for (uint32_t i = 0; i < g->by_row.n; i++)
        row += bytes_of(g, g->by_row.p[i].v);
    for (uint32_t i = 0; i < g->by_column.n; i++)
        column += bytes_of(g, g->by_column.p[i].v);
    for (int64_t k = 0; k < gc_ceil(g->nrow, g->block); k++)
        columns += (double)visited(g, k);
    rows = (double)g->nrow;
    for (uint32_t i = 0; i < g->row; i++)
        batch *= (double)g->s->c->dim[i];
    for (uint32_t i = 0; i < chain->launch->args.n; i++) {
        const struct low_arg *a = &chain->launch->args.p[i];
        const struct ir_node *n = ir_at(chain->plan->g, a->node);
        bytes += a->write ? (double)ir_count(n) * (double)nn_dtype_size(n->dtype) : 0;
    }
    g->s->b.k->tiled = bytes + batch * (rows * row + columns * column);
}

void sk_gpu_stream(struct sk *s)
{
    struct fuse_cluster all;
    struct sk stage;
    uint32_t *buf = xcalloc(s->plan->g->nodes.n, sizeof *buf);
    struct gs g = {.s = &stage, .c = {.s = &stage}, .row = s->c->outer - 1, .column = s->c->outer};
    bool good = fuse_stream_space(s->plan, s->c, &all);
    sk_begin_stage(&stage, s, &all, buf);
    good = good && fuse_stream_find(&stage.x, s->c, &all, &g.f) == FUSE_LEGAL;
    CHECK(good, "%s: a chain that streams", s->b.k->name);
    g.limits = chain_find_limits(s->plan, s->c);
    g.nrow = all.dim[g.row];
    g.ncolumn = all.dim[g.column];
    gs_choose(&g);
    gs_make_tiles(&g);
    phase(&g, s->c);
    set_tiled(&g, s);
    sk_end_stage(&stage, s);
    sk_chain_figures(s);
    fuse_cluster_free(&all);
    free(buf);
}
