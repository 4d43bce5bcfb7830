/* The products of one step of k: tiles of registers by fma. A thread's tile is of blocks of four by
 * four, so that a read of shared memory is of 16 bytes, and blocks lie apart by threads: a warp
 * reads eight blocks in a row (all 32 banks) of columns and few of rows (broadcast). */
#include "lower/gpu_contract.h"

static void begin_warps(struct gc *c)
{
    struct lo_builder *b = &c->s->b;
    c->ty = gc_split(c, c->warp, c->grid_x, &c->tx);
    for (int64_t i = 0; i < c->tile.tm / 16 * c->tile.tn / 8; i++)
        lo_set(b, c->acc, lo_lin_c(i), lo_const_f(b, (struct lo_type){NN_f32, 4}, 0));
}

void gc_begin_multiply(struct gc *c)
{
    if (c->unit != MATMUL_FMA) {
        begin_warps(c);
        return;
    }
    int64_t lanes_x = c->grid_x < 8 ? c->grid_x : 8;
    if (32 / lanes_x > c->grid_y)
        lanes_x = 32 / c->grid_y;
    lo_id lx, wx, ly = gc_split(c, c->lane, lanes_x, &lx);
    lo_id wy = gc_split(c, c->warp, c->grid_x / lanes_x, &wx);
    struct lo_builder *b = &c->s->b;
    c->tx = lo_value(b, gc_plus_v(c, lo_lin_v(b, lx), wx, lanes_x));
    c->ty = lo_value(b, gc_plus_v(c, lo_lin_v(b, ly), wy, 32 / lanes_x));
    for (int64_t i = 0; i < c->tile.tm * c->tile.tn / 4; i++)
        lo_set(b, c->acc, lo_lin_c(i), lo_const_f(b, (struct lo_type){NN_f32, 4}, 0));
}

/* Block i of the thread's rows (columns) of the tile, at row `k` of the step. */
static lo_id block_of(struct gc *c, const struct gc_side *d, lo_id place, int64_t blocks, int64_t i,
                      int64_t k, struct lo_lin stage)
{
    struct lo_builder *b = &c->s->b;
    struct lo_lin l = lo_lin_mul(b, stage, d->size);
    l = gc_plus_v(c, l, place, 4);
    return lo_load(b, d->shared, gc_plus(c, l, d->at + k * d->pitch + i * (d->tile / blocks)), 4, 0,
                   0);
}

void gc_multiply(struct gc *c, struct lo_lin stage)
{
    struct lo_builder *b = &c->s->b;
    int64_t rows = c->tile.tm / 4, cols = c->tile.tn / 4;
    if (c->unit != MATMUL_FMA) {
        gc_mma(c, stage);
        return;
    }
    for (int64_t k = 0; k < c->tile.k; k++) {
        lo_id row[2], col[2];
        for (int64_t i = 0; i < rows; i++)
            row[i] = block_of(c, &c->a, c->ty, rows, i, k, stage);
        for (int64_t i = 0; i < cols; i++)
            col[i] = block_of(c, &c->b, c->tx, cols, i, k, stage);
        for (int64_t r = 0; r < c->tile.tm; r++) {
            lo_id x = lo_extract(b, row[r / 4], (int)(r % 4));
            for (int64_t i = 0; i < cols; i++) {
                struct lo_lin at = lo_lin_c(r * cols + i);
                lo_set(b, c->acc, at, lo_fma(b, x, col[i], lo_get(b, c->acc, at)));
            }
        }
    }
}

int64_t gc_slabs(const struct gc *c) { return c->unit == MATMUL_FMA ? 4 : c->tile.tm / 16; }

/* Slab j: of each block of four rows the j-th. Row h * grid_y + ty of the slab is row
 * h * (tile / blocks) + 4 * ty + j of the tile. */
void gc_write_slab(struct gc *c, int64_t slab)
{
    struct lo_builder *b = &c->s->b;
    int64_t rows = c->tile.tm / 4, cols = c->tile.tn / 4;
    if (c->unit != MATMUL_FMA) {
        gc_mma_slab(c, slab);
        return;
    }
    for (int64_t h = 0; h < rows; h++)
        for (int64_t i = 0; i < cols; i++) {
            lo_id v = lo_get(b, c->acc, lo_lin_c((h * 4 + slab) * cols + i));
            struct lo_lin to = lo_lin_c(h * c->grid_y * c->out_pitch + i * (c->tile.n / cols));
            to = gc_plus_v(c, gc_plus_v(c, to, c->ty, c->out_pitch), c->tx, 4);
            lo_store(b, c->out, to, v, 0);
        }
}

struct lo_lin gc_slab_row(struct gc *c, struct lo_lin slab, lo_id row)
{
    struct lo_builder *b = &c->s->b;
    if (c->unit != MATMUL_FMA)
        return gc_mma_slab_row(c, slab, row);
    lo_id ty, h = gc_split(c, row, c->grid_y, &ty);
    struct lo_lin l = lo_lin_add(b, slab, lo_lin_mul(b, lo_lin_v(b, ty), 4));
    return gc_plus_v(c, l, h, c->tile.m / (c->tile.tm / 4));
}
