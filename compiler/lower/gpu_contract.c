/* The GPU's contraction skeleton: matmuls, convolutions and their gradients, whatever is a sum of
 * products over shared axes. A block of threads computes a tile of the result: tiles of the
 * operands come to shared memory, several steps of k ahead (gpu_stage.c), where threads multiply
 * them by fma or warps by tensor cores (gpu_multiply.c); what follows the sum is done as the tile
 * is stored (gpu_finish.c). Where the tiles of the result are few, k is cut into parts, whose sums
 * a second phase adds in order.
 *
 * What is decided here comes from the shape and the level alone: tile, parts, order of every sum.
 */
#include "lower/gpu_contract.h"

#define I64 ((struct lo_type){NN_i64, 1})

/* ---- small things ---- */

lo_id gc_split(struct gc *c, lo_id x, int64_t q, lo_id *rest)
{
    struct lo_builder *b = &c->s->b;
    if (q == 1) {
        *rest = lo_const_i(b, I64, 0);
        return x;
    }
    *rest = lo_op(b, IR_mod, I64, x, lo_const_i(b, I64, q), 0); /* its bounds are known */
    return lo_op(b, IR_idiv, I64, x, lo_const_i(b, I64, q), 0);
}

struct lo_lin gc_plus(struct gc *c, struct lo_lin l, int64_t k)
{
    return lo_lin_add(&c->s->b, l, lo_lin_c(k));
}

struct lo_lin gc_plus_v(struct gc *c, struct lo_lin l, lo_id v, int64_t factor)
{
    struct lo_builder *b = &c->s->b;
    return lo_lin_add(b, l, lo_lin_mul(b, lo_lin_v(b, v), factor));
}

lo_id gc_below(struct gc *c, struct lo_lin l, int64_t n)
{
    struct lo_builder *b = &c->s->b;
    return lo_op(b, IR_lt, I64, lo_value(b, l), lo_const_i(b, I64, n), 0);
}

lo_id gc_both(struct gc *c, lo_id x, lo_id y)
{
    struct lo_builder *b = &c->s->b;
    if (!x || !y)
        return x ? x : y;
    struct lo_type tx = b->k->insns.p[x].type, ty = b->k->insns.p[y].type;
    return lo_op(b, IR_and, tx.lanes > ty.lanes ? tx : ty, x, y, 0);
}

void gc_decode(struct gc *c, const struct gc_group *g, struct lo_lin flat, struct gc_spot *spot)
{
    struct lo_builder *b = &c->s->b;
    for (uint32_t i = g->n; i-- > 1;) {
        int64_t dim = gc_dim(c, g->axis[i]);
        lo_id q = lo_op(b, IR_idiv, I64, lo_value(b, flat), lo_const_i(b, I64, dim), 0);
        spot->at[i] = gc_plus_v(c, flat, q, -dim);
        flat = lo_lin_v(b, q);
    }
    spot->at[0] = flat;
}

void gc_stand(struct gc *c, const struct gc_group *g, const struct gc_spot *spot, int64_t lanes)
{
    for (uint32_t i = 0; i < g->n; i++)
        if (i + 1 == g->n && lanes > 1)
            sk_vector(c->s, g->axis[i], spot->at[i], (uint32_t)lanes, 0);
        else
            sk_axis(c->s, g->axis[i], spot->at[i]);
}

void gc_begin_threads(struct gc *c) { c->warp = gc_split(c, lo_thread(&c->s->b), 32, &c->lane); }

/* ---- tiles ---- */

static struct matmul product(const struct gc *c)
{
    return (struct matmul){.t = c->s->t,
                           .unit = c->unit,
                           .m = c->a.x.size,
                           .n = c->b.x.size,
                           .k = c->k.size,
                           .batch = c->batch.size,
                           .way_a = gc_way(c, &c->a),
                           .way_b = gc_way(c, &c->b)};
}

/* threads: of the block that a stage of a chain runs in, in the shared memory that fuse leaves it
 * (tiles of f32 and of 16 bits may be side by side); 0: as the tile wants. */
static bool choose_tile(struct gc *c, int32_t threads)
{
    struct matmul p = product(c);
    struct matmul_choice best =
        threads ? matmul_choose_within(&p, threads, FUSE_TILE_BYTES * 2 / 3) : matmul_choose(&p);
    c->tile = best.tile;
    c->splits = best.splits;
    c->stages = best.stages;
    return best.cycles >= 0;
}

static void count_tiles(struct gc *c)
{
    c->threads = (int32_t)matmul_threads(c->unit, &c->tile);
    c->tiles_m = gc_ceil(c->a.x.size, c->tile.m);
    c->tiles_n = gc_ceil(c->b.x.size, c->tile.n);
    c->tiles_k = gc_ceil(c->k.size, c->tile.k);
    c->part_k = gc_ceil(c->tiles_k, c->splits);
    c->splits = gc_ceil(c->tiles_k, c->part_k);
    c->a.tile = c->tile.m;
    c->b.tile = c->tile.n;
    c->grid_y = c->tile.m / c->tile.tm;
    c->grid_x = c->tile.n / c->tile.tn;
}

/* ---- classes ---- */

static bool fill_group(const struct gc *c, struct gc_group *g, uint32_t mask)
{
    *g = (struct gc_group){.mask = mask, .size = 1};
    for (uint32_t i = 0; i < c->s->x.n; i++)
        if (mask >> i & 1) {
            g->axis[g->n++] = i;
            g->size *= gc_dim(c, i);
        }
    return g->size > 0;
}

/* The factor that owns the result's last axis gives the columns: stores are contiguous along it. */
static bool classify(struct gc *c, const struct fuse_contraction *f)
{
    bool right = f->n > f->m;
    c->a.v = right ? f->a : f->b;
    c->b.v = right ? f->b : f->a;
    return fill_group(c, &c->batch, f->batch) && fill_group(c, &c->a.x, right ? f->m : f->n) &&
           fill_group(c, &c->b.x, right ? f->n : f->m) &&
           fill_group(c, &c->k, f->k | f->ka | f->kb);
}

/* ---- emission ---- */

/* Shared memory: the tiles on their way, and a slab of results: the same where the types allow. */
static struct gc_room room_of(struct gc *c)
{
    c->out_pitch = c->tile.n + (c->unit == MATMUL_FMA ? 4 : 8); /* stores to it meet all banks */
    struct gc_room r = {.elements = c->stages * (c->a.size + c->b.size),
                        .sums = c->tile.m / gc_slabs(c) * c->out_pitch};
    if (gc_elem(c) == 4 && r.elements < r.sums)
        r.elements = r.sums;
    return r;
}

/* Temporaries first: arguments stand before all other buffers. `within`: shared memory that a
 * chain's stages use one after another; NULL: its own. */
static void make_buffers(struct gc *c, struct gc_room *within)
{
    struct sk *s = c->s;
    struct lo_type f32 = {NN_f32, 1};
    if (c->splits > 1) {
        c->temp_n = gc_ceil(c->b.x.size, 4) * 4;
        c->temp =
            sk_temporary(s, "parts", NN_f32, c->splits * c->batch.size * c->a.x.size * c->temp_n);
    }
    struct gc_room room = room_of(c);
    int64_t sums = c->tile.tm * c->tile.tn / 4;
    if (!within)
        within = &room;
    if (!within->tiles)
        within->tiles =
            lo_buffer(s->b.k, LO_SHARED, "tiles", (struct lo_type){(uint8_t)gc_shared_type(c), 1},
                      within->elements);
    if (!within->slab)
        within->slab = gc_elem(c) == 4 ? within->tiles
                                       : lo_buffer(s->b.k, LO_SHARED, "slab", f32, within->sums);
    c->a.shared = c->b.shared = within->tiles;
    c->out = within->slab;
    c->a.at = 0;
    c->b.at = c->stages * c->a.size;
    c->acc = lo_buffer(s->b.k, LO_REG, "acc", (struct lo_type){NN_f32, 4},
                       c->unit == MATMUL_FMA ? sums : sums / 32);
    for (int i = 0; i < 2; i++) {
        struct gc_side *d = i ? &c->b : &c->a;
        if (!d->async)
            d->reg = lo_buffer(s->b.k, LO_REG, i ? "next_b" : "next_a",
                               (struct lo_type){NN_f32, (uint16_t)d->vec}, d->xs * d->ks);
    }
}

static void stand_batch(struct gc *c)
{
    struct gc_spot spot;
    if (c->batch.n) {
        gc_decode(c, &c->batch, c->flat_batch, &spot);
        gc_stand(c, &c->batch, &spot, 1);
    }
}

/* Tiles that share operands run at about the same time: eight rows of tiles at once, so that what a
 * wave of blocks reads stays in the second cache. */
static void place_block(struct gc *c, lo_id chunk)
{
    enum { BAND = 8 };
    struct lo_builder *b = &c->s->b;
    lo_id n, m, part, band, in;
    lo_id rest = gc_split(c, chunk, c->tiles_m * c->tiles_n, &in);
    rest = gc_split(c, rest, c->splits, &part);
    if (c->tiles_m % BAND == 0 && c->tiles_m > BAND) {
        band = gc_split(c, in, BAND * c->tiles_n, &in);
        n = gc_split(c, in, BAND, &m);
        m = lo_value(b, gc_plus_v(c, lo_lin_v(b, m), band, BAND));
    } else {
        m = gc_split(c, in, c->tiles_n, &n);
    }
    c->m0 = lo_lin_mul(b, lo_lin_v(b, m), c->tile.m);
    c->n0 = lo_lin_mul(b, lo_lin_v(b, n), c->tile.n);
    c->part = lo_lin_v(b, part);
    c->k0 = lo_lin_mul(b, c->part, c->part_k);
    c->flat_batch = lo_lin_v(b, rest);
    stand_batch(c);
}

/* `before`, and one of the group's numbers from `at` on is wanted. */
static lo_id group_wanted(struct gc *c, const struct gc_group *x, struct lo_lin at, int64_t span,
                          lo_id before)
{
    int64_t places[IR_MAX_AXES];
    for (uint32_t i = 0; i < x->n; i++)
        places[i] = c->s->x.dim[x->axis[i]];
    return sk_reaches(c->s, x->axis, places, x->n, 0, at, span, before);
}

/* Whether the block has a point that the run wants; 0: always. */
static lo_id block_wanted(struct gc *c)
{
    lo_id in = group_wanted(c, &c->batch, c->flat_batch, 1, 0);
    in = group_wanted(c, &c->a.x, c->m0, c->tile.m, in);
    return group_wanted(c, &c->b.x, c->n0, c->tile.n, in);
}

static void load_both(struct gc *c, struct lo_lin t, struct lo_lin stage)
{
    gc_stage_load(c, &c->a, lo_lin_add(&c->s->b, c->k0, t), stage);
    gc_stage_load(c, &c->b, lo_lin_add(&c->s->b, c->k0, t), stage);
}

static void store_both(struct gc *c, struct lo_lin stage)
{
    gc_stage_store(c, &c->a, stage);
    gc_stage_store(c, &c->b, stage);
}

static struct lo_lin stage_of(struct gc *c, struct lo_lin t)
{
    lo_id rest;
    gc_split(c, lo_value(&c->s->b, t), c->stages, &rest);
    return lo_lin_v(&c->s->b, rest);
}

/* The steps from..to of k. `more`: while one is multiplied, the one `stages` - 1 ahead is on its
 * way (else nothing is left to load: groups of copies are empty, so that waiting counts alike). */
static void steps(struct gc *c, struct lo_lin from, struct lo_lin to, bool more)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    int64_t ahead = c->stages - 1;
    bool async = c->a.async || c->b.async;
    if (!from.n && !to.n && from.c0 >= to.c0)
        return;
    uint32_t mark = sk_open(s);
    lo_id t = lo_for(b, LO_SERIAL, from, to, 1);
    struct lo_lin next = gc_plus(c, lo_lin_v(b, t), ahead), stage = stage_of(c, next);
    if (async)
        lo_wait(b, (int)ahead - 1);
    lo_barrier(b);
    if (more)
        load_both(c, next, stage);
    if (async)
        lo_commit(b);
    gc_multiply(c, stage_of(c, lo_lin_v(b, t)));
    if (more)
        store_both(c, stage);
    lo_end(b);
    sk_close(s, mark);
}

static struct lo_lin between(struct gc *c, struct lo_lin x, int64_t least, int64_t most)
{
    struct lo_builder *b = &c->s->b;
    lo_id v = lo_op(b, IR_max, I64, lo_value(b, x), lo_const_i(b, I64, least), 0);
    return lo_lin_v(b, lo_op(b, IR_min, I64, v, lo_const_i(b, I64, most), 0));
}

/* The steps of this part of k: they end where the run's size does, since what is beyond adds
 * nothing. */
static struct lo_lin steps_of_part(struct gc *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    uint32_t slowest = c->k.axis[0];
    const struct ir_live *l = fuse_axis_live(s->plan, s->c, slowest);
    if (!l || (s->c->fixed && slowest == s->c->split))
        return lo_lin_c(c->part_k);
    struct lo_lin end = lo_lin_mul(b, sk_extent(s, l), c->k.size / gc_dim(c, slowest));
    lo_id tiles = lo_op(b, IR_idiv, I64, lo_value(b, gc_plus(c, end, c->tile.k - 1)),
                        lo_const_i(b, I64, c->tile.k), 0);
    end = lo_lin_add(b, lo_lin_v(b, tiles), lo_lin_mul(b, c->k0, -1));
    return between(c, end, 0, c->part_k);
}

static void k_loop(struct gc *c)
{
    struct sk *s = c->s;
    int64_t ahead = c->stages - 1, most = c->part_k > ahead ? c->part_k - ahead : 0;
    struct lo_lin all = steps_of_part(c), full = gc_plus(c, all, -ahead);
    for (int64_t i = 0; i < ahead; i++) {
        uint32_t mark = sk_open(s);
        if (i < c->part_k) {
            load_both(c, lo_lin_c(i), lo_lin_c(i));
            store_both(c, lo_lin_c(i));
        }
        if (c->a.async || c->b.async)
            lo_commit(&s->b);
        sk_close(s, mark);
    }
    full = all.n ? between(c, full, 0, most) : lo_lin_c(most);
    steps(c, lo_lin_c(0), full, true);
    steps(c, full, all, false);
}

static void phase_multiply(struct gc *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    lo_id chunk = lo_phase_gpu(b, c->tiles_m * c->tiles_n * c->splits * c->batch.size, c->threads);
    uint32_t mark = sk_open(s);
    gc_begin_threads(c);
    place_block(c, chunk);
    lo_id wanted = block_wanted(c);
    if (wanted)
        lo_if(b, wanted);
    gc_stage_begin(c, &c->a, c->m0);
    gc_stage_begin(c, &c->b, c->n0);
    gc_begin_multiply(c);
    k_loop(c);
    gc_finish_tile(c);
    if (wanted)
        lo_end(b);
    lo_end(b);
    sk_close(s, mark);
    sk_scalar(s);
}

/* ---- the unit ---- */

/* The type of what the factor's values have the bits of: a 16-bit type (f32 that was cast from it,
 * too), or f32, rounded to tf32 or not. 0 stays itself. */
static enum nn_dtype precision_of(const struct fx *x, fx_id id, bool *tf32)
{
    const struct fx_val *v = &x->val.p[id];
    while (v->dtype == NN_f32 &&
           ((v->kind == FX_PICK && v->f == 0) || (v->kind == FX_OP && v->op == IR_cast)))
        v = &x->val.p[v->in[0]];
    *tf32 = v->kind == FX_OP ? v->op == IR_round_tf32
                             : v->kind == FX_LOAD && ir_at(x->g, v->node)->op == IR_round_tf32;
    return (enum nn_dtype)v->dtype;
}

enum matmul_unit gc_unit_of(const struct sk *s, fx_id va, fx_id vb)
{
    bool tf32_a, tf32_b;
    enum nn_dtype a = precision_of(&s->x, va, &tf32_a), b = precision_of(&s->x, vb, &tf32_b);
    return a == b && tf32_a == tf32_b ? matmul_unit(s->t, a, tf32_a) : MATMUL_FMA;
}

static bool decide(struct gc *c, struct sk *s, int32_t threads)
{
    *c = (struct gc){.s = s, .member = UINT32_MAX};
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        const struct fuse_member *m = &s->c->members.p[i];
        if (m->role == FUSE_REDUCE && c->member == UINT32_MAX)
            c->member = i;
        else if (m->role != FUSE_KEPT)
            return false;
    }
    struct fuse_contraction f;
    if (c->member == UINT32_MAX || !fuse_contraction(&s->x, s->c, sk_member(s, c->member), &f) ||
        sk_compute_type(s->x.val.p[f.value].dtype) != NN_f32 || !classify(c, &f))
        return false;
    c->node = s->c->members.p[c->member].node;
    c->unit = gc_unit_of(s, c->a.v, c->b.v);
    if (!choose_tile(c, threads))
        return false;
    count_tiles(c);
    gc_choose_staging(c, &c->a);
    gc_choose_staging(c, &c->b);
    gc_choose_end(c);
    return true;
}

bool sk_gpu_contract(struct sk *s)
{
    struct gc c;
    if (!decide(&c, s, 0))
        return false;
    make_buffers(&c, NULL);
    phase_multiply(&c);
    if (c.splits > 1)
        gc_phase_finish(&c);
    return true;
}

/* ---- within a chain ---- */

bool gc_room_within(struct sk *s, int32_t threads, struct gc_room *room)
{
    struct gc c;
    if (!decide(&c, s, threads))
        return false;
    *room = room_of(&c);
    room->half = gc_elem(&c) == 2;
    return true;
}

void gc_contract_within(struct sk *s, int32_t threads, struct gc_room *room)
{
    struct gc c;
    struct lo_builder *b = &s->b;
    bool taken = decide(&c, s, threads);
    CHECK(taken, "%s: a chain's contraction", b->k->name);
    make_buffers(&c, room);
    uint32_t mark = sk_open(s);
    gc_begin_threads(&c);
    lo_id batch = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(c.batch.size), 1);
    c.flat_batch = lo_lin_v(b, batch);
    stand_batch(&c);
    lo_id m = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(c.tiles_m), 1);
    lo_id n = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(c.tiles_n), 1);
    lo_barrier(b); /* what is read was written before, what is overwritten has been read */
    c.m0 = lo_lin_mul(b, lo_lin_v(b, m), c.tile.m);
    c.n0 = lo_lin_mul(b, lo_lin_v(b, n), c.tile.n);
    c.part = c.k0 = lo_lin_c(0);
    gc_stage_begin(&c, &c.a, c.m0);
    gc_stage_begin(&c, &c.b, c.n0);
    gc_begin_multiply(&c);
    k_loop(&c);
    gc_finish_tile(&c);
    lo_end(b);
    lo_end(b);
    lo_end(b);
    sk_close(s, mark);
    sk_scalar(s);
}

/* ---- for reports ---- */

static void print_side(const struct gc_side *d, const char *name, struct text *out)
{
    text_printf(out, ", %s by %s of %lld along %s", name,
                d->async   ? "copies"
                : d->plain ? "loads"
                           : "computed",
                (long long)d->vec, d->along_k ? "k" : name);
}

void sk_gpu_describe(struct sk *s, struct text *out)
{
    static const char *const unit[] = {"fma", "mma tf32", "mma bf16", "mma f16", "mma f16 k8"};
    struct gc c;
    if (!decide(&c, s, 0)) {
        text_printf(out, "own loops");
        return;
    }
    text_printf(out, "own %s %lld x %lld x %lld, batch %lld: tile %d x %d x %d, stages %lld",
                unit[c.unit], (long long)c.a.x.size, (long long)c.b.x.size, (long long)c.k.size,
                (long long)c.batch.size, c.tile.m, c.tile.n, c.tile.k, (long long)c.stages);
    if (c.splits > 1)
        text_printf(out, ", k in %lld parts", (long long)c.splits);
    print_side(&c.a, "m", out);
    print_side(&c.b, "n", out);
}
