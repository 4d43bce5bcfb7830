/* What a streamed chain computes point by point: from scores to the square factors of sums, with
 * the softmax between them; and what follows when all columns have been. A thread's points are
 * written out, so that all of it stays in registers. */
#include "lower/gpu_stream.h"
#include <math.h>

#define I64 ((struct lo_type){NN_i64, 1})
#define F32 ((struct lo_type){NN_f32, 1})

static const struct fuse_member *member(const struct gs *g, uint32_t i)
{
    return &g->s->c->members.p[i];
}

static bool softmax(const struct gs *g) { return g->f.max != UINT32_MAX; }

/* ---- rows ---- */

static void stand_row(struct gs *g, int64_t r)
{
    struct lo_builder *b = &g->s->b;
    sk_axis(g->s, g->row, lo_lin_v(b, g->row_at[r]));
    for (uint32_t i = 0; i < g->by_row.n; i++)
        if (g->by_row.p[i].buf)
            sk_known(g->s, g->by_row.p[i].v, lo_get(b, g->by_row.p[i].buf, lo_lin_c(r)));
}

static void make_registers(struct gs *g)
{
    struct lo_kernel *k = g->s->b.k;
    struct lo_type four = {NN_f32, 4};
    int64_t points = g->rows * g->cols;
    for (uint32_t i = 0; i < g->f.nscore; i++)
        g->score[i] = gs_fma(g) ? lo_buffer(k, LO_REG, "score", F32, points)
                                : lo_buffer(k, LO_REG, "score", four, points / 4);
    g->square_pitch = gs_up(g->wide, 32) + 8; /* stores of scalars and reads of 16 bytes meet all
                                                 banks */
    for (uint32_t i = 0; i < g->f.nsum; i++) {
        g->square[i] = gs_fma(g)
                           ? lo_buffer(k, LO_SHARED, "square", F32, g->block * g->square_pitch)
                           : lo_buffer(k, LO_REG, "square", F32, points);
        g->sum[i] =
            lo_buffer(k, LO_REG, "sum", four, gs_fma(g) ? g->rows * (g->n[i] / 32) : g->n[i] / 8);
    }
    for (uint32_t i = 0; i < g->by_column.n; i++) {
        enum nn_dtype t = sk_compute_type((enum nn_dtype)g->s->x.val.p[g->by_column.p[i].v].dtype);
        g->by_column.p[i].buf =
            lo_buffer(k, LO_SHARED, "column", (struct lo_type){(uint8_t)t, 1}, g->stages * g->wide);
    }
    if (!softmax(g))
        return;
    g->x = lo_buffer(k, LO_REG, "x", F32, points);
    g->max = lo_buffer(k, LO_REG, "max", F32, g->rows);
    g->total = lo_buffer(k, LO_REG, "total", F32, g->rows);
}

void gs_begin_rows(struct gs *g)
{
    struct lo_builder *b = &g->s->b;
    make_registers(g);
    for (uint32_t i = 0; i < g->by_row.n; i++) {
        fx_id v = g->by_row.p[i].v;
        enum nn_dtype t = sk_compute_type((enum nn_dtype)g->s->x.val.p[v].dtype);
        uint32_t buf = lo_buffer(b->k, LO_REG, "row", (struct lo_type){(uint8_t)t, 1}, g->rows);
        for (int64_t r = 0; r < g->rows; r++) {
            stand_row(g, r);
            lo_set(b, buf, lo_lin_c(r), sk_value(g->s, v));
        }
        g->by_row.p[i].buf = buf;
    }
    for (uint32_t i = 0; i < g->f.nsum; i++)
        for (int64_t k = 0; k < (gs_fma(g) ? g->rows * (g->n[i] / 32) : g->n[i] / 8); k++)
            lo_set(b, g->sum[i], lo_lin_c(k), lo_const_f(b, (struct lo_type){NN_f32, 4}, 0));
    for (int64_t r = 0; softmax(g) && r < g->rows; r++) {
        lo_set(b, g->max, lo_lin_c(r), lo_const_f(b, F32, -INFINITY));
        lo_set(b, g->total, lo_lin_c(r), lo_const_f(b, F32, 0));
    }
}

/* ---- columns ---- */

/* Where a column stands that may be past the last one. */
static lo_id inside(struct gs *g, struct lo_lin at)
{
    struct lo_builder *b = &g->s->b;
    lo_id v = lo_value(b, at);
    if (g->ncolumn % g->wide)
        v = lo_op(b, IR_min, I64, v, lo_const_i(b, I64, g->ncolumn - 1), 0);
    return v;
}

void gs_load_columns(struct gs *g, struct lo_lin from, struct lo_lin stage)
{
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    if (!g->by_column.n)
        return;
    uint32_t mark = sk_open(s);
    for (int64_t first = 0; first < g->wide; first += g->threads) {
        struct lo_lin c = gc_plus(&g->c, lo_lin_v(b, lo_thread(b)), first);
        bool some = first + g->threads > g->wide;
        if (some)
            lo_if(b, gc_below(&g->c, c, g->wide));
        sk_axis(s, g->column, lo_lin_v(b, inside(g, lo_lin_add(b, from, c))));
        for (uint32_t i = 0; i < g->by_column.n; i++)
            lo_store(b, g->by_column.p[i].buf, lo_lin_add(b, c, lo_lin_mul(b, stage, g->wide)),
                     sk_value(s, g->by_column.p[i].v), 0);
        if (some)
            lo_end(b);
        sk_close(s, mark);
    }
}

/* A bool, if the column may be past the last one; else 0. */
static lo_id stand_column(struct gs *g, int64_t c)
{
    struct lo_builder *b = &g->s->b;
    struct lo_lin in = gs_col(g, c), at = lo_lin_add(b, g->col0, in);
    sk_axis(g->s, g->column, lo_lin_v(b, inside(g, at)));
    for (uint32_t i = 0; i < g->by_column.n; i++) {
        struct lo_lin l = lo_lin_add(b, in, lo_lin_mul(b, g->stage, g->wide));
        sk_known(g->s, g->by_column.p[i].v, lo_load(b, g->by_column.p[i].buf, l, 1, 0, 0));
    }
    return g->ncolumn % g->wide ? gc_below(&g->c, at, g->ncolumn) : 0;
}

static void stand_point(struct gs *g, int64_t r, int64_t c)
{
    stand_row(g, r);
    for (uint32_t i = 0; i < g->f.nscore; i++)
        sk_bind(g->s, member(g, g->f.score[i].member)->node, gs_get_score(g, i, r, c));
}

static lo_id pick(struct gs *g, lo_id valid, lo_id v, double otherwise)
{
    struct lo_builder *b = &g->s->b;
    return valid ? lo_op(b, IR_select, F32, valid, v, lo_const_f(b, F32, otherwise)) : v;
}

static void set_squares(struct gs *g, int64_t r, int64_t c, lo_id valid)
{
    for (uint32_t i = 0; i < g->f.nsum; i++) {
        lo_id v = lo_cast(&g->s->b, NN_f32, sk_value(g->s, g->f.sum[i].square));
        gs_set_square(g, i, r, c, pick(g, valid, v, 0));
    }
}

/* Whether the thread's row is one. */
static lo_id live(struct gs *g, int64_t r)
{
    struct lo_lin at = lo_lin_add(&g->s->b, g->row0, gs_row(g, r));
    return g->nrow % g->block ? gc_below(&g->c, at, g->nrow) : 0;
}

static void store_point(struct gs *g, int64_t r, lo_id valid)
{
    struct sk *s = g->s;
    uint32_t mark = sk_open(s);
    valid = gc_both(&g->c, live(g, r), valid);
    if (valid)
        lo_if(&s->b, valid);
    sk_store(s, g->f.stored, sk_value(s, sk_member(s, g->f.stored)));
    if (valid)
        lo_end(&s->b);
    sk_close(s, mark);
}

/* ---- the softmax ---- */

static int lanes_of_row(const struct gs *g) { return gs_fma(g) ? 8 : 4; }

/* x of all points; the tile's maximum of each row. */
static void find_x(struct gs *g, lo_id *most)
{
    struct lo_builder *b = &g->s->b;
    for (int64_t c = 0; c < g->cols; c++) {
        lo_id valid = stand_column(g, c);
        for (int64_t r = 0; r < g->rows; r++) {
            stand_point(g, r, c);
            lo_id x = pick(g, valid, sk_value(g->s, g->f.x), -INFINITY);
            lo_set(b, g->x, lo_lin_c(r * g->cols + c), x);
            most[r] = c ? lo_op(b, IR_max, F32, most[r], x, 0) : x;
        }
    }
    for (int64_t r = 0; r < g->rows; r++)
        most[r] = lo_warp_fold(b, IRM_max, most[r], lanes_of_row(g));
}

/* The new maximum; what was summed so far is scaled. `safe`: 0 as long as all was -inf. */
static void move_maximum(struct gs *g, const lo_id *most, lo_id *safe)
{
    struct lo_builder *b = &g->s->b;
    lo_id by[GS_ROWS];
    for (int64_t r = 0; r < g->rows; r++) {
        struct lo_lin at = lo_lin_c(r);
        lo_id old = lo_get(b, g->max, at), now = lo_op(b, IR_max, F32, old, most[r], 0);
        lo_id none = lo_op(b, IR_eq, F32, now, lo_const_f(b, F32, -INFINITY), 0);
        safe[r] = lo_op(b, IR_select, F32, none, lo_const_f(b, F32, 0), now);
        by[r] = lo_op(b, IR_exp, F32, lo_op(b, IR_sub, F32, old, safe[r], 0), 0, 0);
        lo_set(b, g->max, at, now);
        lo_set(b, g->total, at, lo_op(b, IR_mul, F32, lo_get(b, g->total, at), by[r], 0));
    }
    for (uint32_t i = 0; i < g->f.nsum; i++)
        gs_scale(g, i, by);
}

static void points_softmax(struct gs *g)
{
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    lo_id most[GS_ROWS], safe[GS_ROWS];
    find_x(g, most);
    move_maximum(g, most, safe);
    sk_bind(s, member(g, g->f.total)->node, lo_const_f(b, F32, 1));
    for (int64_t c = 0; c < g->cols; c++) {
        lo_id valid = stand_column(g, c);
        for (int64_t r = 0; r < g->rows; r++) {
            stand_point(g, r, c);
            sk_bind(s, member(g, g->f.max)->node, safe[r]);
            sk_known(s, g->f.known, lo_get(b, g->x, lo_lin_c(r * g->cols + c)));
            lo_id total = lo_get(b, g->total, lo_lin_c(r));
            total = lo_op(b, IR_add, F32, total, sk_value(s, g->f.e), 0);
            lo_set(b, g->total, lo_lin_c(r), total);
            set_squares(g, r, c, valid);
        }
    }
}

void gs_points(struct gs *g)
{
    uint32_t mark = sk_open(g->s);
    if (softmax(g)) {
        points_softmax(g);
    } else {
        for (int64_t c = 0; c < g->cols; c++) {
            lo_id valid = stand_column(g, c);
            for (int64_t r = 0; r < g->rows; r++) {
                stand_point(g, r, c);
                set_squares(g, r, c, valid);
                if (g->f.stored != UINT32_MAX)
                    store_point(g, r, valid);
            }
        }
    }
    sk_close(g->s, mark);
}

/* ---- the end ---- */

/* A sum as readers of the stored value would see it. */
static void bind(struct gs *g, ir_id node, lo_id v)
{
    enum nn_dtype t = (enum nn_dtype)ir_at(g->s->plan->g, node)->dtype;
    sk_bind(g->s, node, lo_cast(&g->s->b, NN_f32, lo_cast(&g->s->b, t, v)));
}

/* Stores what the stage gives at the point; all is computed first. */
static void store_stage(struct gs *g, uint32_t stage)
{
    struct sk *s = g->s;
    lo_id *value = xcalloc(s->c->members.n, sizeof *value);
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        const struct fuse_member *m = member(g, i);
        if (m->stored && m->level == stage)
            value[i] = m->role == FUSE_REDUCE ? s->binding[m->node] : sk_lanes(s, sk_member(s, i));
    }
    for (uint32_t i = 0; i < s->c->members.n; i++)
        if (value[i])
            sk_store(s, i, value[i]);
    free(value);
}

/* The totals of rows, NaN where the maximum is not finite; what is stored of a row. */
static void finish_rows(struct gs *g, lo_id *total)
{
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    for (int64_t r = 0; r < g->rows; r++) {
        lo_id max = lo_get(b, g->max, lo_lin_c(r));
        lo_id sum = lo_warp_fold(b, IRM_sum, lo_get(b, g->total, lo_lin_c(r)), lanes_of_row(g));
        total[r] = lo_op(b, IR_add, F32, sum, lo_op(b, IR_sub, F32, max, max, 0), 0);
        uint32_t mark = sk_open(s);
        lo_id first = lo_op(b, IR_eq, I64, g->j, lo_const_i(b, I64, 0), 0);
        lo_if(b, gc_both(&g->c, live(g, r), first));
        stand_row(g, r);
        bind(g, member(g, g->f.max)->node, max);
        bind(g, member(g, g->f.total)->node, total[r]);
        store_stage(g, member(g, g->f.max)->level);
        lo_end(b);
        sk_close(s, mark);
    }
}

/* How many of a piece's columns go to memory at once. */
static int64_t store_vector(struct gs *g, uint32_t sum, const struct gc_group *n)
{
    int64_t vec = gs_fma(g) ? 4 : 2;
    uint32_t stage = member(g, g->f.sum[sum].member)->level;
    bool wide = true;
    for (uint32_t i = 0; i < g->s->c->members.n; i++) {
        if (!member(g, i)->stored || member(g, i)->level != stage)
            continue;
        wide = wide && gc_wide_address(&g->c, sk_member_address(g->s, i), n, vec);
        if (i != g->f.sum[sum].member)
            wide = wide && gc_may_vector(&g->c, sk_member(g->s, i), n, vec);
    }
    return wide ? vec : 1;
}

static void store_piece(struct gs *g, uint32_t sum, const struct gc_group *n, lo_id v,
                        struct lo_lin at, lo_id valid)
{
    struct sk *s = g->s;
    struct gc_spot spot;
    const struct fuse_member *m = member(g, g->f.sum[sum].member);
    int64_t lanes = s->b.k->insns.p[v].type.lanes;
    uint32_t mark = sk_open(s);
    if (g->n[sum] != n->size)
        valid = gc_both(&g->c, valid, gc_below(&g->c, at, n->size));
    if (valid)
        lo_if(&s->b, valid);
    gc_decode(&g->c, n, at, &spot);
    sk_scalar(s);
    gc_stand(&g->c, n, &spot, lanes);
    bind(g, m->node, v);
    store_stage(g, m->level);
    if (valid)
        lo_end(&s->b);
    sk_close(s, mark);
    sk_scalar(s);
}

/* Whether what is stored with a sum reads more than the sum. */
static bool reads_more(struct gs *g, uint32_t sum)
{
    bool more = false;
    for (uint32_t i = 0; i < g->s->c->members.n; i++)
        more = more || (member(g, i)->stored && i != g->f.sum[sum].member &&
                        member(g, i)->level == member(g, g->f.sum[sum].member)->level &&
                        gs_reads(g, sk_member(g->s, i)));
    return more;
}

/* The sum over the softmax's total; 0 where a mask leaves nothing of a row, whose total is NaN. */
static lo_id divide(struct gs *g, uint32_t sum, lo_id v, lo_id total)
{
    struct lo_builder *b = &g->s->b;
    struct lo_type t = b->k->insns.p[v].type;
    lo_id zero = lo_const_f(b, t, 0), q = lo_op(b, IR_div, t, v, lo_splat(b, total, t.lanes), 0);
    if (!g->f.sum[sum].masked)
        return q;
    return lo_op(b, IR_select, t, lo_op(b, IR_eq, t, v, zero, 0), zero, q);
}

static void finish_sum(struct gs *g, uint32_t sum, const lo_id *total)
{
    struct lo_builder *b = &g->s->b;
    const struct gc_group *n = &g->tile[g->sum_tile[sum]].dims;
    int64_t vec = store_vector(g, sum, n), r, some = gs_fma(g) ? 4 : 8;
    bool more = reads_more(g, sum);
    struct lo_lin at;
    for (int64_t i = 0; i < gs_pieces(g, sum); i++) {
        if (more && i % some == 0) /* else all reads are brought to the begin, into registers */
            lo_barrier(b);
        lo_id v = gs_piece(g, sum, i, &r, &at);
        struct lo_type t = b->k->insns.p[v].type;
        if (softmax(g))
            bind(g, member(g, g->f.total)->node, total[r]);
        if (softmax(g) && g->f.sum[sum].divided)
            v = divide(g, sum, v, total[r]);
        lo_id valid = live(g, r);
        stand_row(g, r);
        for (int64_t l = 0; l < (vec > 1 ? 1 : t.lanes); l++)
            store_piece(g, sum, n, vec > 1 ? v : lo_extract(b, v, (int)l), gc_plus(&g->c, at, l),
                        valid);
    }
}

void gs_finish(struct gs *g)
{
    lo_id total[GS_ROWS] = {0};
    uint32_t mark = sk_open(g->s);
    if (softmax(g))
        finish_rows(g, total);
    for (uint32_t i = 0; i < g->f.nsum; i++)
        finish_sum(g, i, total);
    sk_close(g->s, mark);
}
