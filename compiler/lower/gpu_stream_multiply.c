/* A streamed chain's products. Scores: rows times columns over the depth; by fma both factors are
 * read four deep at once. Sums: a square factor times columns; by fma the square factor comes from
 * shared memory, for tensor cores it is in the thread's registers already: fragments of sums lie as
 * fragments of factors do (tf32: with the columns of each eight in another order, in which the
 * other factor's points are read, too). */
#include "lower/gpu_stream.h"

#define I64 ((struct lo_type){NN_i64, 1})
#define I32 ((struct lo_type){NN_i32, 1})

/* The element at a point of the tile, `deep` into its depth. */
static struct lo_lin place(struct gs *g, const struct gs_tile *t, struct lo_lin point,
                           struct lo_lin deep)
{
    struct lo_builder *b = &g->s->b;
    struct lo_lin l = lo_lin_add(b, lo_lin_mul(b, point, t->pitch), deep);
    return t->rows ? l : lo_lin_add(b, l, lo_lin_mul(b, g->stage, t->size));
}

static lo_id tf32(struct gs *g, const struct gs_tile *t, struct lo_lin point, struct lo_lin deep)
{
    struct lo_builder *b = &g->s->b;
    return lo_bit(b, LO_TF32, I32, lo_load(b, t->buf, place(g, t, point, deep), 1, 0, 0), 0);
}

/* ---- scores ---- */

static void score_fma(struct gs *g, uint32_t i, struct lo_lin k)
{
    struct lo_builder *b = &g->s->b;
    const struct gs_tile *rows = &g->tile[g->row_tile[i]], *cols = &g->tile[g->col_tile[i]];
    lo_id row[GS_ROWS];
    for (int64_t r = 0; r < g->rows; r++)
        row[r] = lo_load(b, rows->buf, place(g, rows, gs_row(g, r), k), 4, 0, 0);
    for (int64_t c = 0; c < g->cols; c++) {
        lo_id col = lo_load(b, cols->buf, place(g, cols, gs_col(g, c), k), 4, 0, 0);
        for (int64_t r = 0; r < g->rows; r++) {
            struct lo_lin at = lo_lin_c(r * g->cols + c);
            lo_id sum = lo_get(b, g->score[i], at);
            for (int l = 0; l < 4; l++)
                sum = lo_fma(b, lo_extract(b, row[r], l), lo_extract(b, col, l), sum);
            lo_set(b, g->score[i], at, sum);
        }
    }
}

/* The warp's 16 rows, at k of the depth. */
static lo_id row_fragment(struct gs *g, const struct gs_tile *t, struct lo_lin k)
{
    struct lo_builder *b = &g->s->b;
    if (g->c.unit == MATMUL_TF32) {
        lo_id v[4];
        for (int64_t e = 0; e < 4; e++)
            v[e] = tf32(g, t, gs_row(g, e % 2),
                        gc_plus_v(&g->c, gc_plus(&g->c, k, e / 2 * 4), g->j, 1));
        return gc_four(&g->c, v);
    }
    struct lo_lin point =
        gc_plus_v(&g->c, lo_lin_v(b, gc_bit(&g->c, LO_AND, g->lane, 15)), g->warp, GS_WARP_ROWS);
    if (gs_step(g) == 16)
        k = gc_plus_v(&g->c, k, gc_bit(&g->c, LO_SHR, g->lane, 4), 8);
    return lo_ldmatrix(b, t->buf, place(g, t, point, k), gs_step(g) == 16 ? 4 : 2, false);
}

/* The two factors of eight columns each that a matrix load brought. */
static void both_fragments(struct gs *g, lo_id loaded, lo_id *out)
{
    struct lo_builder *b = &g->s->b;
    for (int e = 0; e < 2; e++)
        out[e] = gs_step(g) == 16 ? gc_pair(&g->c, lo_extract(b, loaded, 2 * e),
                                            lo_extract(b, loaded, 2 * e + 1))
                                  : lo_extract(b, loaded, e);
}

/* sums[at], sums[at + 1] += row times the two factors of eight columns. */
static void multiply_both(struct gs *g, uint32_t sums, int64_t at, lo_id row, const lo_id *col)
{
    struct lo_builder *b = &g->s->b;
    for (int64_t e = 0; e < 2; e++) {
        struct lo_lin l = lo_lin_c(at + e);
        lo_id sum = lo_get(b, sums, l);
        lo_set(b, sums, l, lo_mma(b, gc_instruction(&g->c), row, col[e], sum));
    }
}

/* Two times eight columns from c on. */
static void col_fragments(struct gs *g, const struct gs_tile *t, int64_t c, struct lo_lin k,
                          lo_id *out)
{
    struct lo_builder *b = &g->s->b;
    if (g->c.unit == MATMUL_TF32) {
        struct lo_lin deep = gc_plus_v(&g->c, k, g->j, 1), deeper = gc_plus(&g->c, deep, 4);
        for (int64_t e = 0; e < 2; e++) {
            struct lo_lin point = gc_plus(&g->c, lo_lin_v(b, g->i), c + 8 * e);
            out[e] = gc_pair(&g->c, tf32(g, t, point, deep), tf32(g, t, point, deeper));
        }
        return;
    }
    bool deep = gs_step(g) == 16;
    lo_id low = gc_bit(&g->c, LO_AND, g->lane, 7);
    lo_id other = deep ? gc_bit(&g->c, LO_SHR, g->lane, 4)
                       : gc_bit(&g->c, LO_AND, gc_bit(&g->c, LO_SHR, g->lane, 3), 1);
    struct lo_lin point = gc_plus(&g->c, gc_plus_v(&g->c, lo_lin_v(b, low), other, 8), c);
    if (deep)
        k = gc_plus_v(&g->c, k, gc_bit(&g->c, LO_AND, gc_bit(&g->c, LO_SHR, g->lane, 3), 1), 8);
    both_fragments(g, lo_ldmatrix(b, t->buf, place(g, t, point, k), deep ? 4 : 2, false), out);
}

static void score_mma(struct gs *g, uint32_t i, struct lo_lin k)
{
    const struct gs_tile *rows = &g->tile[g->row_tile[i]], *cols = &g->tile[g->col_tile[i]];
    lo_id row = row_fragment(g, rows, k), col[2];
    for (int64_t c = 0; c < g->wide; c += 16) {
        col_fragments(g, cols, c, k, col);
        multiply_both(g, g->score[i], c / 8, row, col);
    }
}

void gs_score(struct gs *g, uint32_t i)
{
    struct lo_builder *b = &g->s->b;
    int64_t depth = gs_up(g->tile[g->row_tile[i]].dims.size, gs_step(g));
    struct lo_type t = {NN_f32, gs_fma(g) ? 1 : 4};
    for (int64_t k = 0; k < (gs_fma(g) ? g->rows * g->cols : g->wide / 8); k++)
        lo_set(b, g->score[i], lo_lin_c(k), lo_const_f(b, t, 0));
    lo_id k = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(depth), gs_step(g));
    if (gs_fma(g))
        score_fma(g, i, lo_lin_v(b, k));
    else
        score_mma(g, i, lo_lin_v(b, k));
    lo_end(b);
}

lo_id gs_get_score(struct gs *g, uint32_t i, int64_t r, int64_t c)
{
    struct lo_builder *b = &g->s->b;
    if (gs_fma(g))
        return lo_get(b, g->score[i], lo_lin_c(r * g->cols + c));
    return lo_extract(b, lo_get(b, g->score[i], lo_lin_c(c / 2)), (int)(2 * r + c % 2));
}

/* ---- sums ---- */

void gs_set_square(struct gs *g, uint32_t i, int64_t r, int64_t c, lo_id v)
{
    struct lo_builder *b = &g->s->b;
    if (!gs_fma(g)) {
        lo_set(b, g->square[i], lo_lin_c(r * g->cols + c), v);
        return;
    }
    struct lo_lin at = lo_lin_mul(b, gs_row(g, r), g->square_pitch);
    lo_store(b, g->square[i], lo_lin_add(b, at, gs_col(g, c)), v, 0);
}

static void add_fma(struct gs *g, uint32_t i, struct lo_lin k)
{
    struct lo_builder *b = &g->s->b;
    const struct gs_tile *t = &g->tile[g->sum_tile[i]];
    int64_t blocks = g->n[i] / 32;
    lo_id row[GS_ROWS];
    for (int64_t r = 0; r < g->rows; r++)
        row[r] = lo_load(b, g->square[i],
                         lo_lin_add(b, lo_lin_mul(b, gs_row(g, r), g->square_pitch), k), 4, 0, 0);
    for (int64_t l = 0; l < 4; l++)
        for (int64_t n = 0; n < blocks; n++) {
            struct lo_lin deep = gc_plus(&g->c, lo_lin_mul(b, lo_lin_v(b, g->j), 4), 32 * n);
            lo_id col = lo_load(b, t->buf, place(g, t, gc_plus(&g->c, k, l), deep), 4, 0, 0);
            for (int64_t r = 0; r < g->rows; r++) {
                struct lo_lin at = lo_lin_c(r * blocks + n);
                lo_set(b, g->sum[i], at,
                       lo_fma(b, lo_extract(b, row[r], (int)l), col, lo_get(b, g->sum[i], at)));
            }
        }
}

/* The square factor's columns k to k + step. */
static lo_id square_fragment(struct gs *g, uint32_t i, int64_t k)
{
    struct lo_builder *b = &g->s->b;
    lo_id v[8], p[4];
    int64_t halves = gs_step(g) / 8;
    for (int64_t e = 0; e < 4 * halves; e++) /* rows r, columns 2j + c of each eight h */
    {
        int64_t c = e % 2, r = e / 2 % 2, h = e / 4;
        v[e] = lo_get(b, g->square[i], lo_lin_c(r * g->cols + k / 4 + 2 * h + c));
    }
    if (g->c.unit == MATMUL_TF32) {
        for (int e = 0; e < 4; e++) /* column 2j is k = j, column 2j + 1 is k = j + 4 */
            p[e] = lo_bit(b, LO_TF32, I32, v[e % 2 * 2 + e / 2], 0);
        return gc_four(&g->c, p);
    }
    for (int64_t e = 0; e < 2 * halves; e++)
        p[e] = lo_pack(b, gc_shared_type(&g->c), v[2 * e], v[2 * e + 1]);
    return halves == 2 ? gc_four(&g->c, p) : gc_pair(&g->c, p[0], p[1]);
}

/* Points k to k + step, two times eight of their depth from n on. */
static void point_fragments(struct gs *g, const struct gs_tile *t, int64_t k, int64_t n, lo_id *out)
{
    struct lo_builder *b = &g->s->b;
    if (g->c.unit == MATMUL_TF32) {
        struct lo_lin point = gc_plus(&g->c, lo_lin_mul(b, lo_lin_v(b, g->j), 2), k);
        for (int64_t e = 0; e < 2; e++) {
            struct lo_lin deep = gc_plus(&g->c, lo_lin_v(b, g->i), n + 8 * e);
            out[e] =
                gc_pair(&g->c, tf32(g, t, point, deep), tf32(g, t, gc_plus(&g->c, point, 1), deep));
        }
        return;
    }
    bool deep = gs_step(g) == 16;
    lo_id low = gc_bit(&g->c, LO_AND, g->lane, 7),
          three = gc_bit(&g->c, LO_AND, gc_bit(&g->c, LO_SHR, g->lane, 3), 1);
    struct lo_lin point = gc_plus(&g->c, lo_lin_v(b, low), k);
    if (deep)
        point = gc_plus_v(&g->c, point, three, 8);
    struct lo_lin at =
        gc_plus_v(&g->c, lo_lin_c(n), deep ? gc_bit(&g->c, LO_SHR, g->lane, 4) : three, 8);
    both_fragments(g, lo_ldmatrix(b, t->buf, place(g, t, point, at), deep ? 4 : 2, true), out);
}

static void add_mma(struct gs *g, uint32_t i)
{
    const struct gs_tile *t = &g->tile[g->sum_tile[i]];
    for (int64_t k = 0; k < g->wide; k += gs_step(g)) {
        lo_id square = square_fragment(g, i, k), col[2];
        for (int64_t n = 0; n < g->n[i]; n += 16) {
            point_fragments(g, t, k, n, col);
            multiply_both(g, g->sum[i], n / 8, square, col);
        }
    }
}

void gs_add(struct gs *g, uint32_t i)
{
    struct lo_builder *b = &g->s->b;
    if (!gs_fma(g)) {
        add_mma(g, i);
        return;
    }
    lo_id k = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(g->wide), 4);
    add_fma(g, i, lo_lin_v(b, k));
    lo_end(b);
}

void gs_scale(struct gs *g, uint32_t i, const lo_id *by)
{
    struct lo_builder *b = &g->s->b;
    struct lo_type t = {NN_f32, 4};
    int64_t n = gs_fma(g) ? g->rows * (g->n[i] / 32) : g->n[i] / 8;
    for (int64_t k = 0; k < n; k++) {
        struct lo_lin at = lo_lin_c(k);
        lo_id f = gs_fma(g) ? lo_splat(b, by[k / (g->n[i] / 32)], 4)
                            : lo_trade(b, lo_splat(b, by[0], 4), lo_splat(b, by[1], 4), 2, false);
        lo_set(b, g->sum[i], at, lo_op(b, IR_mul, t, lo_get(b, g->sum[i], at), f, 0));
    }
}

int64_t gs_pieces(const struct gs *g, uint32_t i)
{
    return g->rows * (g->n[i] / (gs_fma(g) ? 32 : 8));
}

lo_id gs_piece(struct gs *g, uint32_t i, int64_t piece, int64_t *r, struct lo_lin *at)
{
    struct lo_builder *b = &g->s->b;
    int64_t each = gs_pieces(g, i) / g->rows, n = piece % each;
    *r = piece / each;
    *at = gc_plus(&g->c, lo_lin_mul(b, lo_lin_v(b, g->j), gs_fma(g) ? 4 : 2),
                  n * (gs_fma(g) ? 32 : 8));
    if (gs_fma(g))
        return lo_get(b, g->sum[i], lo_lin_c(piece));
    lo_id v = lo_get(b, g->sum[i], lo_lin_c(n));
    return gc_pair(&g->c, lo_extract(b, v, (int)(2 * *r)), lo_extract(b, v, (int)(2 * *r + 1)));
}
