/* Cumulative sums on a GPU. Where the sum runs along memory a block walks a row: each thread sums
 * its own elements, a warp and then the block scan these sums, and what came before is added; else
 * each thread walks a row of its own, beside its neighbours. What runs along a row is in f64, so
 * that its error does not grow with the row. */
#include "lower/gpu.h"

enum { WARP = 32, LANES = 4 };

struct prefix {
    struct sk *s;
    const struct ir_node *n;
    int64_t along, trip, rows;
    bool line;
    fx_id value;
    enum nn_dtype type;
    lo_id thread;
};

/* The rows' axes from a row's number. */
static void stand_row(struct prefix *p, lo_id row)
{
    struct sk *s = p->s;
    struct lo_lin at = lo_lin_v(&s->b, row), here;
    for (uint32_t i = s->c->outer + s->c->inner; i-- > 0;) {
        if ((int64_t)i == p->along)
            continue;
        gpu_split(s, at, s->c->dim[i], &at, &here);
        sk_axis(s, i, s->c->dim[i] == 1 ? lo_lin_c(0) : here);
    }
}

/* The k-th element in the sum's order. */
static void stand_at(struct prefix *p, struct lo_lin k)
{
    struct lo_builder *b = &p->s->b;
    if (p->n->reverse)
        k = lo_lin_add(b, lo_lin_c(p->trip - 1), lo_lin_mul(b, k, -1));
    if (p->line)
        sk_axis(p->s, (uint32_t)p->along, k);
}

/* Whether the run wants the row where we stand; 0: always. */
static lo_id row_wanted(struct prefix *p)
{
    struct sk *s = p->s;
    lo_id in = 0;
    for (uint32_t i = 0; i < s->c->outer + s->c->inner; i++)
        if ((int64_t)i != p->along)
            in = sk_reaches(s, &i, &s->c->dim[i], 1, 0, sk_at(s, i), 1, in);
    return in;
}

/* The row's end in this run; a sum from there back begins at the bound. */
static struct lo_lin row_end(struct prefix *p)
{
    const struct ir_live *l =
        p->line ? fuse_axis_live(p->s->plan, p->s->c, (uint32_t)p->along) : NULL;
    return l && !p->n->reverse ? sk_extent(p->s, l) : lo_lin_c(p->trip);
}

/* Of a running sum. */
static struct lo_type running(const struct prefix *p)
{
    return (struct lo_type){(uint8_t)(p->type == NN_f32 ? NN_f64 : p->type), 1};
}

/* ---- a thread a row ---- */

static void thread_rows(struct prefix *p)
{
    struct sk *s = p->s;
    struct lo_builder *b = &s->b;
    int64_t block = s->t->block;
    struct lo_type t = running(p);
    uint32_t acc = lo_buffer(b->k, LO_REG, "acc", t, 1);
    lo_id chunk = lo_phase_gpu(b, p->rows ? gpu_ceil(p->rows, block) : 1, (int32_t)block);
    struct lo_lin row =
        lo_lin_add(b, lo_lin_mul(b, lo_lin_v(b, chunk), block), lo_lin_v(b, lo_thread(b)));
    lo_if(b, gpu_below(s, row, p->rows));
    uint32_t mark = sk_open(s);
    stand_row(p, lo_value(b, row));
    lo_id wanted = row_wanted(p);
    if (wanted)
        lo_if(b, wanted);
    lo_set(b, acc, lo_lin_c(0), sk_identity(s, IRM_sum, t.dtype, 1));
    lo_id k = lo_for(b, LO_SERIAL, lo_lin_c(0), row_end(p), 1);
    stand_at(p, lo_lin_v(b, k));
    lo_id value = lo_cast(b, t.dtype, sk_value(s, p->value));
    lo_id sum = sk_combine(s, IRM_sum, lo_get(b, acc, lo_lin_c(0)), value);
    lo_set(b, acc, lo_lin_c(0), sum);
    sk_store(s, 0, lo_cast(b, p->type, sum));
    lo_end(b);
    if (wanted)
        lo_end(b);
    sk_close(s, mark);
    lo_end(b);
    lo_end(b);
}

/* ---- a block a row ---- */

/* Types that shuffles move. */
static enum nn_dtype moved(enum nn_dtype t) { return nn_dtype_size(t) < 4 ? NN_i32 : t; }

/* x summed over the threads of a group of `width` up to and with this one; lane: its number. */
static lo_id scan(struct prefix *p, lo_id x, lo_id lane, int width)
{
    struct lo_builder *b = &p->s->b;
    struct lo_type i32 = {NN_i32, 1}, t = b->k->insns.p[x].type;
    for (int d = 1; d < width; d *= 2) {
        lo_id far = lo_const_i(b, i32, d);
        lo_id from = lo_op(b, IR_sub, i32, lane, far, 0);
        lo_id before = lo_shuffle_idx(b, x, from);
        lo_id sum = lo_op(b, IR_add, t, before, x, 0);
        x = lo_op(b, IR_select, t, lo_op(b, IR_ge, i32, lane, far, 0), sum, x);
    }
    return x;
}

/* The sum over all threads before this one in the block; *all: over the whole block. */
static lo_id before(struct prefix *p, lo_id x, uint32_t shared, lo_id *all)
{
    struct sk *s = p->s;
    struct lo_builder *b = &s->b;
    int64_t warps = s->t->block / WARP;
    struct lo_type i32 = {NN_i32, 1}, t = b->k->insns.p[x].type;
    struct lo_lin warp, lane;
    gpu_split(s, lo_lin_v(b, p->thread), WARP, &warp, &lane);
    lo_id l = lo_cast(b, NN_i32, lo_value(b, lane));
    lo_id upto = scan(p, x, l, WARP);
    lo_if(b, lo_op(b, IR_eq, i32, l, lo_const_i(b, i32, WARP - 1), 0));
    lo_store(b, shared, warp, upto, 0);
    lo_end(b);
    lo_barrier(b);
    lo_id base = sk_identity(s, IRM_sum, t.dtype, 1), sum = base;
    for (int64_t w = 0; w < warps; w++) {
        lo_id part = lo_load(b, shared, lo_lin_c(w), 1, 0, 0);
        lo_id later = lo_op(b, IR_lt, GPU_I64, lo_const_i(b, GPU_I64, w), lo_value(b, warp), 0);
        sum = lo_op(b, IR_add, t, sum, part, 0);
        base = lo_op(b, IR_select, t, later, sum, base);
    }
    *all = sum;
    lo_barrier(b);
    /* What came before in the warp: the neighbour's sum. */
    lo_id left = lo_shuffle_idx(b, upto, lo_op(b, IR_sub, i32, l, lo_const_i(b, i32, 1), 0));
    lo_id first = lo_op(b, IR_eq, i32, l, lo_const_i(b, i32, 0), 0);
    lo_id own = lo_op(b, IR_select, t, first, sk_identity(s, IRM_sum, t.dtype, 1), left);
    return lo_op(b, IR_add, t, base, own, 0);
}

/* The block's elements from `from` on, thread by thread beside each other: read into shared memory
 * (0 behind the row's end), or stored from there. */
static void move_block(struct prefix *p, struct lo_lin from, uint32_t elements, bool read)
{
    struct sk *s = p->s;
    struct lo_builder *b = &s->b;
    struct lo_type t = {(uint8_t)p->type, 1};
    for (int64_t i = 0; i < LANES; i++) {
        struct lo_lin place = lo_lin_add(b, lo_lin_v(b, p->thread), lo_lin_c(i * s->t->block));
        struct lo_lin at = lo_lin_add(b, from, place);
        uint32_t mark = sk_open(s);
        if (read)
            lo_store(b, elements, place, sk_identity(s, IRM_sum, p->type, 1), 0);
        lo_if(b, gpu_below(s, at, p->trip));
        stand_at(p, at);
        if (read)
            lo_store(b, elements, place, lo_cast(b, t.dtype, sk_value(s, p->value)), 0);
        else
            sk_store(
                s, 0,
                lo_cast(b, sk_compute_type(p->n->dtype), lo_load(b, elements, place, 1, 0, 0)));
        sk_close(s, mark);
        lo_end(b);
    }
    lo_barrier(b);
}

/* LANES elements in a row of each thread, the block's begin at `from`. */
static void block_step(struct prefix *p, struct lo_lin from, uint32_t carry, uint32_t elements,
                       uint32_t shared)
{
    struct lo_builder *b = &p->s->b;
    struct lo_type t = {(uint8_t)p->type, 1}, wide = running(p);
    struct lo_lin mine = lo_lin_mul(b, lo_lin_v(b, p->thread), LANES);
    lo_id upto[LANES], all, sum = 0;
    move_block(p, from, elements, true);
    for (int64_t i = 0; i < LANES; i++) {
        lo_id v = lo_load(b, elements, lo_lin_add(b, mine, lo_lin_c(i)), 1, 0, 0);
        sum = upto[i] = sum ? lo_op(b, IR_add, t, sum, v, 0) : v;
    }
    lo_id base = before(p, sum, shared, &all), had = lo_get(b, carry, lo_lin_c(0));
    base = lo_op(b, IR_add, t, lo_cast(b, t.dtype, had), base, 0);
    all = lo_cast(b, wide.dtype, all);
    lo_set(b, carry, lo_lin_c(0), lo_op(b, IR_add, wide, had, all, 0));
    for (int64_t i = 0; i < LANES; i++)
        lo_store(b, elements, lo_lin_add(b, mine, lo_lin_c(i)),
                 lo_op(b, IR_add, t, base, upto[i], 0), 0);
    lo_barrier(b);
    move_block(p, from, elements, false);
}

static void block_rows(struct prefix *p)
{
    struct sk *s = p->s;
    struct lo_builder *b = &s->b;
    int64_t block = s->t->block, most = s->t->max_chunks;
    struct lo_type t = {(uint8_t)p->type, 1};
    uint32_t carry = lo_buffer(b->k, LO_REG, "carry", running(p), 1);
    uint32_t elements = lo_buffer(b->k, LO_SHARED, "elements", t, block * LANES);
    uint32_t shared = lo_buffer(b->k, LO_SHARED, "warps", t, block / WARP);
    int64_t chunks = p->rows < most ? p->rows : most;
    lo_id chunk = lo_phase_gpu(b, chunks, (int32_t)block);
    p->thread = lo_thread(b);
    uint32_t mark = sk_open(s);
    lo_id row = lo_for(b, LO_SERIAL, lo_lin_v(b, chunk), lo_lin_c(p->rows), chunks);
    stand_row(p, row);
    lo_id wanted = row_wanted(p);
    if (wanted)
        lo_if(b, wanted);
    lo_set(b, carry, lo_lin_c(0), sk_identity(s, IRM_sum, running(p).dtype, 1));
    lo_id from = lo_for(b, LO_SERIAL, lo_lin_c(0), row_end(p), block * LANES);
    block_step(p, lo_lin_v(b, from), carry, elements, shared);
    lo_end(b);
    if (wanted)
        lo_end(b);
    lo_end(b);
    sk_close(s, mark);
    lo_end(b);
}

void sk_gpu_prefix(struct sk *s)
{
    const struct fuse_member *m = &s->c->members.p[0];
    struct prefix p = {.s = s, .n = ir_at(s->plan->g, m->node), .trip = 1, .rows = 1};
    p.along = m->axis[p.n->attr.i];
    p.line = p.along != FUSE_NO_AXIS;
    p.trip = p.line ? s->c->dim[p.along] : 1;
    for (uint32_t i = 0; i < s->c->outer + s->c->inner; i++)
        p.rows *= (int64_t)i == p.along ? 1 : s->c->dim[i];
    p.value = sk_member(s, 0);
    p.type = sk_compute_type(p.n->dtype);
    bool beside = !p.line || sk_stride(s, sk_member_address(s, 0), (uint32_t)p.along) != 1;
    if (beside || p.trip < 2 * WARP || p.rows == 0) {
        thread_rows(&p);
        return;
    }
    p.type = moved(p.type);
    block_rows(&p);
}
