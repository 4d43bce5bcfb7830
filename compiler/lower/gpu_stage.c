/* Tiles of a contraction's operands on their way to shared memory: by asynchronous copies where raw
 * bytes will do, else through registers: read before the tile at hand is multiplied, stored after.
 * How the threads are laid over a tile makes reads of memory contiguous and stores to shared memory
 * free of bank conflicts. */
#include "lower/gpu_contract.h"

#define I64 ((struct lo_type){NN_i64, 1})

/* ---- deciding ---- */

enum nn_dtype gc_shared_type(const struct gc *c)
{
    switch (c->unit) {
    case MATMUL_FMA:
    case MATMUL_TF32: return NN_f32;
    case MATMUL_BF16: return NN_bf16;
    case MATMUL_F16:
    case MATMUL_F16_K8: break;
    }
    return NN_f16;
}

/* Lanes along what lies beside each other in memory. */
static void choose_direction(const struct gc *c, struct gc_side *d)
{
    int64_t vec = 16 / gc_elem(c);
    d->vec = vec;
    d->along_k = false;
    if (gc_wide(c, d->v, &d->x, vec) && gc_contiguous(c, d->v, &d->x))
        return;
    d->along_k = true;
    bool turned =
        c->unit == MATMUL_FMA && d->tile < 16; /* too few rows for stores of single elements */
    if (!turned && gc_wide(c, d->v, &c->k, vec) && gc_contiguous(c, d->v, &c->k))
        return;
    d->vec = 1;
    d->along_k = gc_contiguous(c, d->v, &c->k) && !gc_contiguous(c, d->v, &d->x);
}

static bool may_copy(const struct gc *c, const struct gc_side *d)
{
    uint32_t cond;
    if (!c->s->t->async || !gc_plain(c, d->v) ||
        (c->unit == MATMUL_FMA && d->along_k && d->vec > 1))
        return false;
    const struct fx_val *v = gc_plain_load(c, d->v, &cond);
    if (c->s->b.k->buffers.p[c->s->buf[v->node]].space != LO_ARG) /* a chain's own */
        return false;
    return v->dtype == gc_shared_type(c) && d->vec * gc_elem(c) >= 4;
}

/* How a warp's 32 reads lie over the tile. Elements that are stored apart (FMA along k) go to
 * different banks by the pitch of 4 more than a multiple of 32. */
static void choose_lanes(const struct gc *c, struct gc_side *d)
{
    int64_t x = d->tile / (d->along_k ? 1 : d->vec), k = c->tile.k / (d->along_k ? d->vec : 1);
    if (d->along_k) {
        d->lk = c->unit != MATMUL_FMA ? 32 : d->vec > 1 ? 2 : 8;
        d->lk = d->lk < k ? d->lk : k;
        d->lx = 32 / d->lk < x ? 32 / d->lk : x;
    } else {
        d->lx = x < 32 ? x : 32;
        d->lk = 32 / d->lx < k ? 32 / d->lx : k;
    }
    d->nx = x / d->lx;
    d->nk = k / d->lk;
    int64_t warps = c->threads / 32;
    d->xs = d->nx > warps ? d->nx / warps : 1;
    d->ks = d->nx > warps ? d->nk : gc_ceil(d->nk, warps / d->nx);
    CHECK(d->lx * d->lk == 32, "%s: %lld by %lld reads of a warp", c->s->b.k->name,
          (long long)d->lx, (long long)d->lk);
    CHECK(d->xs * d->ks <= GC_STEPS, "%s: a tile of %lld reads a thread", c->s->b.k->name,
          (long long)(d->xs * d->ks));
}

enum matmul_way gc_way(const struct gc *c, const struct gc_side *d)
{
    struct gc_side large = {.v = d->v, .x = d->x, .tile = 64};
    choose_direction(c, &large);
    if (may_copy(c, &large))
        return MATMUL_COPIED;
    return gc_guarded(c, d->v) || c->k.n > 2 ? MATMUL_GUARDED : MATMUL_STAGED;
}

void gc_choose_staging(struct gc *c, struct gc_side *d)
{
    choose_direction(c, d);
    d->plain = gc_plain(c, d->v);
    d->async = may_copy(c, d);
    d->rows_x = c->unit != MATMUL_FMA && d->along_k;
    d->swizzled = c->unit != MATMUL_FMA;
    d->pitch = d->rows_x ? c->tile.k : d->tile + (d->swizzled ? 0 : 4);
    d->size = d->pitch * (d->rows_x ? d->tile : c->tile.k);
    choose_lanes(c, d);
}

/* ---- places ---- */

/* l / q, without a division where q divides all of it. */
static struct lo_lin quotient(struct gc *c, struct lo_lin l, int64_t q, struct lo_lin *rest)
{
    struct lo_builder *b = &c->s->b;
    bool exact = l.c0 % q == 0;
    for (uint32_t i = 0; i < l.n; i++)
        exact = exact && l.part[i].c % q == 0;
    if (!exact) {
        lo_id low, high = gc_split(c, lo_value(b, l), q, &low);
        *rest = lo_lin_v(b, low);
        return lo_lin_v(b, high);
    }
    struct lo_lin r = lo_lin_c(l.c0 / q);
    for (uint32_t i = 0; i < l.n; i++)
        r = lo_lin_add(b, r, lo_lin_mul(b, lo_lin_v(b, l.part[i].v), l.part[i].c / q));
    *rest = lo_lin_c(0);
    return r;
}

static lo_id bits(struct gc *c, enum lo_bit op, lo_id x, int64_t v)
{
    return lo_bit(&c->s->b, op, I64, x, lo_const_i(&c->s->b, I64, v));
}

/* What the number of a row's 16-byte piece is xored with, so that the pieces which threads touch at
 * once lie in different banks: eight rows in a row at one piece (ldmatrix, and tf32 fragments by
 * rows of x), or four rows at two pieces in a row (tf32 fragments by rows of k). */
lo_id gc_swizzle(struct gc *c, const struct gc_side *d, lo_id row)
{
    int64_t pieces = d->pitch * gc_elem(c) / 16;
    if (c->unit == MATMUL_TF32 && !d->rows_x)
        return pieces >= 8 ? bits(c, LO_SHL, bits(c, LO_AND, row, 3), 1) : bits(c, LO_AND, row, 2);
    if (pieces >= 8)
        return bits(c, LO_AND, row, 7);
    lo_id by = row;
    for (int64_t i = pieces; i < 8; i *= 2)
        by = bits(c, LO_SHR, by, 1);
    return bits(c, LO_AND, by, pieces - 1);
}

struct lo_lin gc_shared_at(struct gc *c, const struct gc_side *d, struct lo_lin row,
                           struct lo_lin col)
{
    struct lo_builder *b = &c->s->b;
    struct lo_lin l = lo_lin_mul(b, row, d->pitch), rest;
    if (!d->swizzled)
        return lo_lin_add(b, l, col);
    int64_t piece = 16 / gc_elem(c);
    lo_id number = lo_value(b, quotient(c, col, piece, &rest));
    number = lo_bit(b, LO_XOR, I64, number, gc_swizzle(c, d, lo_value(b, row)));
    l = lo_lin_add(b, l, lo_lin_mul(b, lo_lin_v(b, number), piece));
    return lo_lin_add(b, l, rest);
}

void gc_stage_begin(struct gc *c, struct gc_side *d, struct lo_lin x0)
{
    struct lo_builder *b = &c->s->b;
    int64_t warps = c->threads / 32, ux = d->along_k ? 1 : d->vec, uk = d->along_k ? d->vec : 1;
    lo_id x, k, xh = c->warp, kh = lo_const_i(b, I64, 0);
    if (d->along_k)
        x = gc_split(c, c->lane, d->lk, &k);
    else
        k = gc_split(c, c->lane, d->lx, &x);
    if (d->nx <= warps)
        kh = gc_split(c, c->warp, d->nx, &xh);
    struct lo_lin x1 = gc_plus_v(c, lo_lin_mul(b, lo_lin_v(b, x), ux), xh, d->lx * ux);
    struct lo_lin k1 = gc_plus_v(c, lo_lin_mul(b, lo_lin_v(b, k), uk), kh, d->lk * uk);
    int64_t step_k = (d->nx > warps ? 1 : warps / d->nx) * d->lk * uk;
    for (int64_t i = 0; i < d->xs; i++) {
        d->x_at[i] = gc_plus(c, x1, i * warps * d->lx * ux);
        gc_decode(c, &d->x, lo_lin_add(b, x0, d->x_at[i]), &d->spot[i]);
    }
    for (int64_t i = 0; i < d->ks; i++)
        d->k_at[i] = gc_plus(c, k1, i * step_k);
    for (int64_t i = 0; i < d->ks * d->xs; i++) {
        struct lo_lin kx[] = {d->k_at[i / d->xs], d->x_at[i % d->xs]};
        d->to[i] = gc_plus(c, gc_shared_at(c, d, kx[d->rows_x], kx[!d->rows_x]), d->at);
    }
    for (int64_t i = 0; i < d->xs; i++)
        d->x_at[i] = lo_lin_add(b, x0, d->x_at[i]);
}

static struct lo_lin place_in(struct gc *c, const struct gc_side *d, int64_t step,
                              struct lo_lin stage)
{
    return lo_lin_add(&c->s->b, d->to[step], lo_lin_mul(&c->s->b, stage, d->size));
}

/* ---- loads ---- */

static void plain_load(struct gc *c, struct gc_side *d, int64_t step, lo_id valid,
                       struct lo_lin stage)
{
    struct sk *s = c->s;
    uint32_t cond;
    const struct fx_val v = *gc_plain_load(c, d->v, &cond);
    lo_id mask = gc_both(c, sk_condition(s, cond, 0), valid);
    uint32_t buf = s->buf[v.node];
    if (d->async) {
        struct sk_index i = sk_address(s, v.at, NN_i64);
        CHECK(!i.vec, "%s: a copy of lanes apart", s->b.k->name);
        lo_copy(&s->b, d->shared, place_in(c, d, step, stage), buf, i.base,
                (int)(d->vec * gc_elem(c)), mask);
        return;
    }
    lo_id fill = 0;
    if (mask)
        fill = lo_const_f(&s->b, (struct lo_type){v.dtype, 1}, 0);
    lo_id r = sk_load(s, buf, v.at, d->vec > 1 && sk_is_vector(s, d->v), mask, fill);
    r = lo_splat(&s->b, lo_cast(&s->b, NN_f32, r), (uint32_t)d->vec);
    lo_set(&s->b, d->reg, lo_lin_c(step), r);
}

/* A computed factor, only where the tile is inside of the whole. */
static void computed(struct gc *c, struct gc_side *d, int64_t step, lo_id valid)
{
    struct sk *s = c->s;
    struct lo_type t = {NN_f32, (uint16_t)d->vec};
    uint32_t mark = sk_open(s);
    if (valid) {
        lo_set(&s->b, d->reg, lo_lin_c(step), lo_const_f(&s->b, t, 0));
        lo_if(&s->b, valid);
    }
    lo_id r = lo_cast(&s->b, NN_f32, sk_lanes(s, d->v));
    lo_set(&s->b, d->reg, lo_lin_c(step), lo_splat(&s->b, r, (uint32_t)d->vec));
    if (valid) {
        lo_end(&s->b);
        sk_close(s, mark);
    }
}

/* Whether the last of the thread's reads along k is one of the tile. */
static lo_id has_step(struct gc *c, const struct gc_side *d, int64_t k_step)
{
    bool idle = d->nx <= c->threads / 32 && d->ks * (c->threads / 32 / d->nx) > d->nk;
    return idle ? gc_below(c, d->k_at[k_step], c->tile.k) : 0;
}

void gc_stage_load(struct gc *c, struct gc_side *d, struct lo_lin k_tile, struct lo_lin stage)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    bool whole = c->splits * c->part_k * c->tile.k == c->k.size;
    for (int64_t i = 0; i < d->ks; i++) {
        uint32_t mark = sk_open(s);
        lo_id has = has_step(c, d, i);
        if (has)
            lo_if(b, has);
        struct gc_spot spot;
        struct lo_lin k = lo_lin_add(b, lo_lin_mul(b, k_tile, c->tile.k), d->k_at[i]);
        gc_decode(c, &c->k, k, &spot);
        lo_id valid_k = whole ? 0 : gc_below(c, k, c->k.size);
        sk_scalar(s);
        gc_stand(c, &c->k, &spot, d->along_k ? d->vec : 1);
        for (int64_t x = 0; x < d->xs; x++) {
            gc_stand(c, &d->x, &d->spot[x], d->along_k ? 1 : d->vec);
            lo_id valid = gc_both(c, valid_k, gc_below(c, d->x_at[x], d->x.size));
            if (d->plain)
                plain_load(c, d, i * d->xs + x, valid, stage);
            else
                computed(c, d, i * d->xs + x, valid);
        }
        if (has)
            lo_end(b);
        sk_close(s, mark);
    }
    sk_scalar(s);
}

/* ---- stores ---- */

static void store_step(struct gc *c, struct gc_side *d, int64_t step, struct lo_lin stage)
{
    struct lo_builder *b = &c->s->b;
    struct lo_lin to = place_in(c, d, step, stage);
    lo_id v = lo_cast(b, gc_shared_type(c), lo_get(b, d->reg, lo_lin_c(step)));
    if (c->unit != MATMUL_FMA || !d->along_k || d->vec == 1) {
        lo_store(b, d->shared, to, v, 0);
        return;
    }
    for (int64_t i = 0; i < d->vec; i++)
        lo_store(b, d->shared, gc_plus(c, to, i * d->pitch), lo_extract(b, v, (int)i), 0);
}

void gc_stage_store(struct gc *c, struct gc_side *d, struct lo_lin stage)
{
    if (d->async)
        return;
    for (int64_t i = 0; i < d->ks; i++) {
        lo_id has = has_step(c, d, i);
        if (has)
            lo_if(&c->s->b, has);
        for (int64_t x = 0; x < d->xs; x++)
            store_step(c, d, i * d->xs + x, stage);
        if (has)
            lo_end(&c->s->b);
    }
}
