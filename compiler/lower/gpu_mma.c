/* The products of one step of k by tensor cores. A warp holds a part of the tile as fragments of 16
 * by 8 sums; lane l = 4 * g + t has in each the columns 2t, 2t + 1 of the rows g and g + 8.
 * Operands of 16 bits come by ldmatrix (transposed from rows of k), tf32 as single elements rounded
 * on the way. */
#include "lower/gpu_contract.h"

#define I64 ((struct lo_type){NN_i64, 1})

static int64_t depth_of(const struct gc *c) /* k of one mma */
{
    return c->unit == MATMUL_TF32 || c->unit == MATMUL_F16_K8 ? 8 : 16;
}

enum lo_mma gc_instruction(const struct gc *c)
{
    switch (c->unit) {
    case MATMUL_BF16: return LO_MMA_M16N8K16_BF16;
    case MATMUL_F16: return LO_MMA_M16N8K16_F16;
    case MATMUL_F16_K8: return LO_MMA_M16N8K8_F16;
    case MATMUL_FMA:
    case MATMUL_TF32: break;
    }
    return LO_MMA_M16N8K8_TF32;
}

lo_id gc_bit(struct gc *c, enum lo_bit op, lo_id x, int64_t v)
{
    return lo_bit(&c->s->b, op, I64, x, lo_const_i(&c->s->b, I64, v));
}

lo_id gc_pair(struct gc *c, lo_id x, lo_id y)
{
    struct lo_builder *b = &c->s->b;
    return lo_trade(b, lo_splat(b, x, 2), lo_splat(b, y, 2), 1, false);
}

lo_id gc_four(struct gc *c, const lo_id *x)
{
    struct lo_builder *b = &c->s->b;
    lo_id low = lo_trade(b, lo_splat(b, x[0], 4), lo_splat(b, x[1], 4), 1, false);
    lo_id high = lo_trade(b, lo_splat(b, x[2], 4), lo_splat(b, x[3], 4), 1, false);
    return lo_trade(b, low, high, 2, false);
}

/* ---- where fragments lie ---- */

/* The element of an operand's tile at x and k of the step: each a number of the lane (below 16) and
 * a sum of the warp's place and constants that is a multiple of 8 (of 4 along a row of shared
 * memory), so that the swizzle depends on the lane alone; `rest`: elements into the 16 bytes. */
static struct lo_lin element(struct gc *c, const struct gc_side *d, struct lo_lin x, lo_id lane_x,
                             int64_t k, lo_id lane_k, struct lo_lin stage)
{
    struct lo_builder *b = &c->s->b;
    int64_t piece = 16 / gc_elem(c);
    struct lo_lin row = d->rows_x ? x : lo_lin_c(k), col = d->rows_x ? lo_lin_c(k) : x;
    lo_id lane_row = d->rows_x ? lane_x : lane_k, lane_col = d->rows_x ? lane_k : lane_x;
    lo_id rest, number = gc_split(c, lane_col, piece, &rest);
    struct lo_lin at = lo_lin_v(b, number);
    at.c0 += col.c0 / piece;
    for (uint32_t i = 0; i < col.n; i++)
        at = gc_plus_v(c, at, col.part[i].v, col.part[i].c / piece);
    number = lo_bit(b, LO_XOR, I64, lo_value(b, at), gc_swizzle(c, d, lane_row));
    struct lo_lin l = lo_lin_mul(b, gc_plus_v(c, row, lane_row, 1), d->pitch);
    l = gc_plus_v(c, gc_plus_v(c, l, number, piece), rest, 1);
    return lo_lin_add(b, gc_plus(c, l, d->at), lo_lin_mul(b, stage, d->size));
}

static struct lo_lin warp_rows(struct gc *c, int64_t i)
{
    return gc_plus(c, lo_lin_mul(&c->s->b, lo_lin_v(&c->s->b, c->ty), c->tile.tm), i * 16);
}

static struct lo_lin warp_cols(struct gc *c, int64_t i)
{
    return gc_plus(c, lo_lin_mul(&c->s->b, lo_lin_v(&c->s->b, c->tx), c->tile.tn), i * 8);
}

/* ---- fragments ---- */

/* Lane l gives a row's address of matrix l / 8; by `x_low` the first pair of matrices differs in x,
 * the second in k, else the other way round. From rows of k, the matrices come transposed. */
static lo_id matrices(struct gc *c, const struct gc_side *d, struct lo_lin x, int64_t k, int n,
                      bool x_low, struct lo_lin stage)
{
    struct lo_builder *b = &c->s->b;
    lo_id row = gc_bit(c, LO_AND, c->lane, 7);
    lo_id one = gc_bit(c, LO_AND, c->lane, 8),
          two = gc_bit(c, LO_SHR, gc_bit(c, LO_AND, c->lane, 16), 1);
    lo_id half_x = x_low ? one : two, half_k = x_low ? two : one;
    if (depth_of(c) == 8) { /* all matrices side by side in x */
        half_x = gc_bit(c, LO_AND, c->lane, n == 2 ? 8 : 24);
        half_k = lo_const_i(b, I64, 0);
    }
    lo_id lane_x = d->rows_x ? lo_value(b, gc_plus_v(c, lo_lin_v(b, row), half_x, 1)) : half_x;
    lo_id lane_k = d->rows_x ? half_k : lo_value(b, gc_plus_v(c, lo_lin_v(b, row), half_k, 1));
    return lo_ldmatrix(b, d->shared, element(c, d, x, lane_x, k, lane_k, stage), n, !d->rows_x);
}

static lo_id tf32_at(struct gc *c, const struct gc_side *d, struct lo_lin x, int64_t k,
                     struct lo_lin stage)
{
    struct lo_builder *b = &c->s->b;
    lo_id g = gc_bit(c, LO_SHR, c->lane, 2), t = gc_bit(c, LO_AND, c->lane, 3);
    lo_id v = lo_load(b, d->shared, element(c, d, x, g, k, t, stage), 1, 0, 0);
    return lo_bit(b, LO_TF32, (struct lo_type){NN_i32, 1}, v, 0);
}

static lo_id row_fragment(struct gc *c, int64_t i, int64_t k, struct lo_lin stage)
{
    struct lo_lin x = warp_rows(c, i);
    if (c->unit != MATMUL_TF32)
        return matrices(c, &c->a, x, k, depth_of(c) == 8 ? 2 : 4, true, stage);
    lo_id v[4];
    for (int64_t j = 0; j < 4; j++)
        v[j] = tf32_at(c, &c->a, gc_plus(c, x, j % 2 * 8), k + j / 2 * 4, stage);
    return gc_four(c, v);
}

/* The fragments of all the warp's columns. */
static void col_fragments(struct gc *c, int64_t k, struct lo_lin stage, lo_id *out)
{
    struct lo_builder *b = &c->s->b;
    int64_t n = c->tile.tn / 8, each = c->unit == MATMUL_F16_K8 ? 4 : 2;
    if (n % each)
        each = 2;
    for (int64_t i = 0; i < n && c->unit == MATMUL_TF32; i++) {
        struct lo_lin x = warp_cols(c, i);
        out[i] = gc_pair(c, tf32_at(c, &c->b, x, k, stage), tf32_at(c, &c->b, x, k + 4, stage));
    }
    for (int64_t i = 0; i < n && c->unit != MATMUL_TF32; i += each) {
        int count = depth_of(c) == 8 ? (int)each : 4;
        lo_id m = matrices(c, &c->b, warp_cols(c, i), k, count, false, stage);
        for (int j = 0; j < each; j++)
            out[i + j] = depth_of(c) == 8
                             ? lo_extract(b, m, j)
                             : gc_pair(c, lo_extract(b, m, 2 * j), lo_extract(b, m, 2 * j + 1));
    }
}

void gc_mma(struct gc *c, struct lo_lin stage)
{
    struct lo_builder *b = &c->s->b;
    int64_t rows = c->tile.tm / 16, cols = c->tile.tn / 8;
    lo_id col[16];
    CHECK(cols <= (int64_t)COUNT(col), "%s: a warp's columns", b->k->name);
    for (int64_t k = 0; k < c->tile.k; k += depth_of(c)) {
        col_fragments(c, k, stage, col);
        for (int64_t r = 0; r < rows; r++) {
            lo_id row = row_fragment(c, r, k, stage);
            for (int64_t i = 0; i < cols; i++) {
                struct lo_lin at = lo_lin_c(r * cols + i);
                lo_set(b, c->acc, at,
                       lo_mma(b, gc_instruction(c), row, col[i], lo_get(b, c->acc, at)));
            }
        }
    }
}

/* ---- finished sums ---- */

/* Slab j: of each warp's part the rows 16j to 16j + 15. */
void gc_mma_slab(struct gc *c, int64_t slab)
{
    struct lo_builder *b = &c->s->b;
    int64_t cols = c->tile.tn / 8;
    lo_id g = gc_bit(c, LO_SHR, c->lane, 2), t = gc_bit(c, LO_AND, c->lane, 3);
    struct lo_lin row = gc_plus_v(c, lo_lin_v(b, g), c->ty, 16);
    for (int64_t i = 0; i < cols; i++) {
        lo_id v = lo_get(b, c->acc, lo_lin_c(slab * cols + i));
        struct lo_lin to = lo_lin_add(b, lo_lin_mul(b, row, c->out_pitch), warp_cols(c, i));
        to = gc_plus_v(c, to, t, 2);
        for (int h = 0; h < 2; h++)
            lo_store(b, c->out, gc_plus(c, to, h * 8 * c->out_pitch),
                     gc_pair(c, lo_extract(b, v, 2 * h), lo_extract(b, v, 2 * h + 1)), 0);
    }
}

struct lo_lin gc_mma_slab_row(struct gc *c, struct lo_lin slab, lo_id row)
{
    struct lo_builder *b = &c->s->b;
    lo_id in, warp = gc_split(c, row, 16, &in);
    struct lo_lin l = lo_lin_add(b, lo_lin_mul(b, slab, 16), lo_lin_v(b, in));
    return gc_plus_v(c, l, warp, c->tile.tm);
}
