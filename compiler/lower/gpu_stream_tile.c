/* A streamed chain's tiles: which factors there are, the size of a block, and how each tile comes
 * to shared memory. All of it lies by points of the row or column, each with its depth: one layout
 * serves products over the depth and sums over the points. */
#include "lower/gpu_stream.h"
#include <math.h>

#define I64 ((struct lo_type){NN_i64, 1})

/* ---- what there is ---- */

static struct gc_group group_of(const struct gs *g, uint32_t axes)
{
    struct gc_group d = {.mask = axes, .size = 1};
    for (uint32_t a = 0; a < g->s->x.n; a++)
        if (axes >> a & 1) {
            d.axis[d.n++] = a;
            d.size *= g->s->x.dim[a];
        }
    return d;
}

static uint32_t tile_of(struct gs *g, fx_id v, uint32_t axis, uint32_t dims, int64_t depth)
{
    uint32_t i = 0;
    while (i < g->ntile &&
           (g->tile[i].v != v || g->tile[i].axis != axis || g->tile[i].dims.mask != dims))
        i++;
    CHECK(i < GS_TILES, "%s: tiles of a chain", g->s->b.k->name);
    struct gs_tile *t = &g->tile[i];
    if (i == g->ntile) {
        *t = (struct gs_tile){
            .v = v, .axis = axis, .rows = axis == g->row, .dims = group_of(g, dims)};
        g->ntile++;
    }
    t->depth = depth > t->depth ? depth : t->depth;
    return i;
}

static void find_tiles(struct gs *g)
{
    g->ntile = 0;
    for (uint32_t i = 0; i < g->f.nscore; i++) {
        const struct fuse_score *p = &g->f.score[i];
        int64_t depth = gs_up(group_of(g, p->k).size, gs_step(g));
        g->row_tile[i] = tile_of(g, p->row, g->row, p->k, depth);
        g->col_tile[i] = tile_of(g, p->col, g->column, p->k, depth);
    }
    for (uint32_t i = 0; i < g->f.nsum; i++) {
        g->n[i] = gs_up(group_of(g, g->f.sum[i].n).size, gs_fma(g) ? 32 : 16);
        g->sum_tile[i] = tile_of(g, g->f.sum[i].col, g->column, g->f.sum[i].n, g->n[i]);
    }
}

/* One unit for all: the layouts of sums must agree. */
static enum matmul_unit find_unit(const struct gs *g)
{
    enum matmul_unit unit = gc_unit_of(g->s, g->f.score[0].row, g->f.score[0].col);
    for (uint32_t i = 0; i < g->f.nscore; i++)
        if (gc_unit_of(g->s, g->f.score[i].row, g->f.score[i].col) != unit)
            unit = MATMUL_FMA;
    for (uint32_t i = 0; i < g->f.nsum; i++)
        if (gc_unit_of(g->s, g->f.sum[i].square, g->f.sum[i].col) != unit)
            unit = MATMUL_FMA;
    return unit;
}

static void note_load(void *ctx, const struct fx *x, fx_id id)
{
    *(bool *)ctx = *(bool *)ctx || x->val.p[id].kind == FX_LOAD;
}

bool gs_reads(struct gs *g, fx_id id)
{
    bool found = false;
    uint8_t *seen = xcalloc(g->s->x.val.n, 1);
    fx_walk(&g->s->x, id, seen, note_load, &found);
    free(seen);
    return found;
}

static void add_kept(struct gs_keeps *k, fx_id v)
{
    for (uint32_t i = 0; i < k->n; i++)
        if (k->p[i].v == v)
            return;
    if (k->n < GS_KEPT)
        k->p[k->n++] = (struct gs_kept){.v = v};
}

/* What depends on the row alone, or on the column alone, and reads memory is kept; the largest such
 * values. */
static void find_kept(struct gs *g, fx_id id)
{
    const struct fx_val *v = &g->s->x.val.p[id];
    if (!id || !gs_reads(g, id))
        return;
    bool small = v->dtype == NN_bool || v->bound;
    if (!small && !(v->axes & gs_bit(g->column)))
        add_kept(&g->by_row, id);
    else if (!small && !(v->axes & gs_bit(g->row)))
        add_kept(&g->by_column, id);
    else
        for (int i = 0; i < 3; i++)
            find_kept(g, v->in[i]);
}

/* ---- the block ---- */

static int64_t square_bytes(const struct gs *g, int64_t block, int64_t wide)
{
    return gs_fma(g) ? (int64_t)g->f.nsum * block * (gs_up(wide, 32) + 8) * 4 : 0;
}

static int64_t pitch_of(const struct gs *g, int64_t depth)
{
    int64_t piece = 16 / gs_elem(g), pieces = gc_ceil(depth, piece);
    return (pieces | 1) * piece;
}

static int64_t bytes_of(const struct gs *g, int64_t block, int64_t wide, int64_t stages)
{
    int64_t bytes = square_bytes(g, block, wide) + (int64_t)g->by_column.n * stages * wide * 8;
    for (uint32_t i = 0; i < g->ntile; i++) {
        const struct gs_tile *t = &g->tile[i];
        bytes += (t->rows ? block : wide * stages) * pitch_of(g, t->depth) * gs_elem(g);
    }
    return bytes;
}

/* Registers of a thread: sums of products above all. */
static int64_t registers(const struct gs *g, int64_t wide)
{
    bool softmax = g->f.max != UINT32_MAX;
    int64_t n = 56 + ((int64_t)g->f.nscore + softmax) * wide / 2;
    for (uint32_t i = 0; i < g->f.nsum; i++)
        n += g->n[i] / 2;
    for (uint32_t i = 0; i < g->f.nscore && !gs_fma(g); i++) /* places of fragments */
        n += g->tile[g->row_tile[i]].depth / 16;
    return n;
}

/* Cycles that a warp takes of its multiprocessor for products of 16 rows by n columns, `depth`
 * deep: the products, and reads of shared memory (by fma 16 bytes a thread, some 2.5 cycles). */
static double warp_cycles(const struct gs *g, double n, double depth)
{
    double products = n / 4, reads = 4 + n / 4;
    if (gs_fma(g)) {
        products = n / 2;
        reads = (4 + n / 8) * 2.5;
    }
    double most = products > reads ? products : reads;
    return depth / (double)gs_step(g) * (most + (products + reads - most) / 8);
}

/* Cycles of a multiprocessor: what warps compute (for a point some 20 instructions beside the
 * products), or what comes from the second cache, and the wait at each tile, which other blocks of
 * the multiprocessor (or a second stage) fill. */
static double cycles(const struct gs *g, const struct fuse_cluster *all, int64_t block,
                     int64_t wide, int64_t stages)
{
    const struct target *t = g->s->t;
    int64_t regs = gs_up(registers(g, wide), 8), threads = 2 * block;
    double blocks = (double)gc_ceil(g->nrow, block), fills = 0;
    double warp = 40 + GS_WARP_ROWS * (double)wide * 20 / 128;
    for (uint32_t i = 0; i < g->row; i++)
        blocks *= (double)all->dim[i];
    for (uint32_t i = 0; i < g->f.nscore; i++)
        warp += warp_cycles(g, (double)wide, (double)g->tile[g->row_tile[i]].depth);
    for (uint32_t i = 0; i < g->f.nsum; i++)
        warp += warp_cycles(g, (double)g->n[i], (double)wide);
    for (uint32_t i = 0; i < g->ntile; i++)
        fills += g->tile[i].rows ? 0 : (double)(g->tile[i].depth * gs_elem(g) * wide) / 40;
    double each = ceil(blocks / t->sms), tiles = (double)gc_ceil(g->ncolumn, wide);
    double room = floor((double)t->shared_sm / (double)(bytes_of(g, block, wide, stages) + 1024));
    double most = floor(65536.0 / (double)(regs * threads));
    room = room < most ? room : most;
    room = room < each ? room : each;
    double warps = room * (double)block / GS_WARP_ROWS;
    double busy = warp * (double)block / GS_WARP_ROWS * (warps < 8 ? 8 / warps : 1);
    return each * tiles * ((busy > fills ? busy : fills) + 600.0 / room / (double)stages);
}

/* The cheapest block of at least so many rows; its price, negative: none has room. */
static double try_blocks(struct gs *g, int64_t least)
{
    double best = -1;
    for (int64_t block = 128; block >= least; block /= 2)
        for (int64_t wide = 64; wide >= 16; wide /= 2)
            for (int64_t stages = g->s->t->async ? 2 : 1; stages >= 1; stages--) {
                if (bytes_of(g, block, wide, stages) > g->s->t->shared_block ||
                    (registers(g, wide) >= 200 && wide > 16))
                    continue;
                double now = cycles(g, g->s->c, block, wide, stages);
                if (best >= 0 && now >= best)
                    continue;
                best = now;
                g->block = block;
                g->wide = wide;
                g->stages = stages;
            }
    return best;
}

/* Of 64 rows at least, where there are as many and the room: each block reads all columns. */
static void choose_block(struct gs *g)
{
    int64_t least = 64;
    while (least > GS_WARP_ROWS && g->nrow <= least / 2)
        least /= 2;
    while (try_blocks(g, least) < 0) {
        CHECK(least > GS_WARP_ROWS, "%s: no room for a chain's tiles", g->s->b.k->name);
        least /= 2;
    }
    g->threads = (int32_t)(2 * g->block);
    g->rows = gs_fma(g) ? 4 : 2;
    g->cols = g->wide / (gs_fma(g) ? 8 : 4);
}

void gs_choose(struct gs *g)
{
    g->c.unit = find_unit(g);
    find_tiles(g);
    find_kept(g, g->f.x);
    for (uint32_t i = 0; i < g->f.nsum; i++)
        find_kept(g, g->f.sum[i].square);
    if (g->f.stored != UINT32_MAX)
        find_kept(g, sk_member(g->s, g->f.stored));
    choose_block(g);
}

/* ---- staging ---- */

static void note_size(void *ctx, const struct fx *x, fx_id id)
{
    const struct fx_val *v = &x->val.p[id];
    int64_t size = v->kind == FX_LOAD ? (int64_t)nn_dtype_size(v->dtype) : 0, *most = ctx;
    *most = size > *most ? size : *most;
}

/* Elements of a read: 16 bytes of memory and no more of shared memory. */
static int64_t widest(struct gs *g, fx_id v)
{
    int64_t size = gs_elem(g);
    uint8_t *seen = xcalloc(g->s->x.val.n, 1);
    fx_walk(&g->s->x, v, seen, note_size, &size);
    free(seen);
    return 16 / size;
}

static void choose_reads(struct gs *g, struct gs_tile *t)
{
    int64_t vec = widest(g, t->v);
    struct gc_group point = group_of(g, gs_bit(t->axis));
    uint32_t cond;
    t->plain = gc_plain(&g->c, t->v);
    t->vec = gc_wide(&g->c, t->v, &t->dims, vec) && gc_contiguous(&g->c, t->v, &t->dims) ? vec : 1;
    t->across =
        t->vec == 1 && gc_contiguous(&g->c, t->v, &point) && !gc_contiguous(&g->c, t->v, &t->dims);
    t->async = g->s->t->async && t->plain && t->vec * gs_elem(g) >= 4 &&
               gc_plain_load(&g->c, t->v, &cond)->dtype == gc_shared_type(&g->c);
}

void gs_make_tiles(struct gs *g)
{
    struct lo_kernel *k = g->s->b.k;
    struct lo_type type = {(uint8_t)gc_shared_type(&g->c), 1};
    for (uint32_t i = 0; i < g->ntile; i++) {
        struct gs_tile *t = &g->tile[i];
        choose_reads(g, t);
        t->points = t->rows ? g->block : g->wide;
        t->pitch = pitch_of(g, t->depth);
        t->size = t->points * t->pitch;
        t->buf = lo_buffer(k, LO_SHARED, t->rows ? "rows" : "columns", type,
                           t->size * (t->rows ? 1 : g->stages));
    }
}

/* What the loads of a tile share. */
struct load {
    struct gs *g;
    const struct gs_tile *t;
    struct lo_lin from, stage;
};

static lo_id both(struct gs *g, lo_id x, lo_id y) { return gc_both(&g->c, x, y); }

/* Elements as they are in memory. */
static void plain(struct load *l, struct lo_lin to, lo_id valid)
{
    struct sk *s = l->g->s;
    const struct gs_tile *t = l->t;
    uint32_t cond;
    const struct fx_val v = *gc_plain_load(&l->g->c, t->v, &cond);
    lo_id mask = both(l->g, sk_condition(s, cond, 0), valid);
    if (t->async) {
        struct sk_index i = sk_address(s, v.at, NN_i64);
        CHECK(!i.vec, "%s: a copy of lanes apart", s->b.k->name);
        lo_copy(&s->b, t->buf, to, s->buf[v.node], i.base, (int)(t->vec * gs_elem(l->g)), mask);
        return;
    }
    lo_id fill = mask ? lo_const_f(&s->b, (struct lo_type){v.dtype, 1}, 0) : 0;
    lo_id r = sk_load(s, s->buf[v.node], v.at, t->vec > 1, mask, fill);
    r = lo_splat(&s->b, lo_cast(&s->b, NN_f32, r), (uint32_t)t->vec);
    lo_store(&s->b, t->buf, to, lo_cast(&s->b, gc_shared_type(&l->g->c), r), 0);
}

static void computed(struct load *l, struct lo_lin to, lo_id valid)
{
    struct sk *s = l->g->s;
    enum nn_dtype type = gc_shared_type(&l->g->c);
    struct lo_type t = {(uint8_t)type, (uint16_t)l->t->vec};
    uint32_t mark = sk_open(s);
    if (valid)
        lo_if(&s->b, valid);
    lo_id r = lo_splat(&s->b, lo_cast(&s->b, NN_f32, sk_lanes(s, l->t->v)), t.lanes);
    lo_store(&s->b, l->t->buf, to, lo_cast(&s->b, type, r), 0);
    sk_close(s, mark);
    if (valid) {
        lo_else(&s->b);
        lo_store(&s->b, l->t->buf, to, lo_const_f(&s->b, t, 0), 0);
        lo_end(&s->b);
    }
}

/* The piece of that number. */
static void load_piece(struct load *l, lo_id number)
{
    struct gs *g = l->g;
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    const struct gs_tile *t = l->t;
    int64_t limit = t->rows ? g->nrow : g->ncolumn;
    lo_id piece, point;
    if (t->across)
        piece = gc_split(&g->c, number, t->points, &point);
    else
        point = gc_split(&g->c, number, t->depth / t->vec, &piece);
    struct lo_lin at = gc_plus_v(&g->c, l->from, point, 1);
    struct lo_lin deep = lo_lin_mul(b, lo_lin_v(b, piece), t->vec);
    lo_id valid = limit % t->points ? gc_below(&g->c, at, limit) : 0;
    if (t->depth != t->dims.size)
        valid = both(g, valid, gc_below(&g->c, deep, t->dims.size));
    struct gc_spot spot;
    sk_scalar(s);
    sk_axis(s, t->axis, at);
    gc_decode(&g->c, &t->dims, deep, &spot);
    gc_stand(&g->c, &t->dims, &spot, t->vec);
    struct lo_lin to = gc_plus_v(&g->c, deep, point, t->pitch);
    to = lo_lin_add(b, to, lo_lin_mul(b, l->stage, t->size));
    if (t->plain)
        plain(l, to, valid);
    else
        computed(l, to, valid);
    sk_scalar(s);
}

void gs_load(struct gs *g, const struct gs_tile *t, struct lo_lin from, struct lo_lin stage)
{
    enum { UNROLLED = 16 };
    struct lo_builder *b = &g->s->b;
    struct load l = {g, t, from, stage};
    int64_t pieces = t->points * (t->depth / t->vec), steps = gc_ceil(pieces, g->threads);
    uint32_t mark = sk_open(g->s);
    lo_id step = 0;
    if (steps > UNROLLED)
        step = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(steps), 1);
    for (int64_t i = 0; i < (step ? 1 : steps); i++) {
        struct lo_lin n = gc_plus(&g->c, lo_lin_v(b, lo_thread(b)), i * g->threads);
        if (step)
            n = gc_plus_v(&g->c, n, step, g->threads);
        bool some = pieces % g->threads && (step || i + 1 == steps);
        uint32_t inner = sk_open(g->s);
        if (some)
            lo_if(b, gc_below(&g->c, n, pieces));
        load_piece(&l, lo_value(b, n));
        if (some)
            lo_end(b);
        sk_close(g->s, inner);
    }
    if (step)
        lo_end(b);
    sk_close(g->s, mark);
}
