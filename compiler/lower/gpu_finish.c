/* What follows from finished sums: they go through shared memory, part by part, so that the threads
 * that store have neighbours in a row of the result, 16 bytes each where they can be; there the
 * members of the cluster that depend on the sum are computed, once in the code, and stored. Sums of
 * a part of k go to a temporary, and a second phase adds the parts in order and finishes. */
#include "lower/gpu_contract.h"

#define I64 ((struct lo_type){NN_i64, 1})
enum { FINISH_THREADS = 256 };

/* Whether four columns at once: all that is computed can be had as lanes, and stores are wide. */
void gc_choose_end(struct gc *c)
{
    struct sk *s = c->s;
    bool wide = true;
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        if (!s->c->members.p[i].stored)
            continue;
        wide = wide && gc_wide_address(c, sk_member_address(s, i), &c->b.x, 4);
        if (i != c->member)
            wide = wide && gc_may_vector(c, sk_member(s, i), &c->b.x, 4);
    }
    c->end_vec = wide ? 4 : 1;
}

static void finish(struct gc *c, lo_id sum)
{
    sk_finish(c->s, c->member, sum);
    sk_bind(c->s, c->node, 0);
}

/* Where the sums at (batch, m, n) of a part wait. */
static struct lo_lin temp_at(struct gc *c, struct lo_lin part, struct lo_lin batch, struct lo_lin m,
                             struct lo_lin n)
{
    struct lo_builder *b = &c->s->b;
    struct lo_lin l = lo_lin_add(b, lo_lin_mul(b, part, c->batch.size), batch);
    l = lo_lin_add(b, lo_lin_mul(b, l, c->a.x.size), m);
    return lo_lin_add(b, lo_lin_mul(b, l, c->temp_n), n);
}

static void stand_at(struct gc *c, struct lo_lin m, struct lo_lin n)
{
    struct gc_spot rows, cols;
    gc_decode(c, &c->a.x, m, &rows);
    gc_decode(c, &c->b.x, n, &cols);
    sk_scalar(c->s);
    gc_stand(c, &c->a.x, &rows, 1);
    gc_stand(c, &c->b.x, &cols, c->end_vec);
}

/* A piece of the slab, `vec` columns from n of row m of the result. */
static void piece(struct gc *c, lo_id sum, struct lo_lin m, struct lo_lin n, int64_t vec)
{
    struct sk *s = c->s;
    uint32_t mark = sk_open(s);
    lo_if(&s->b, gc_both(c, gc_below(c, m, c->a.x.size), gc_below(c, n, c->b.x.size)));
    if (c->splits > 1) {
        lo_store(&s->b, c->temp, temp_at(c, c->part, c->flat_batch, m, n), sum, 0);
    } else {
        stand_at(c, m, n);
        finish(c, sum);
    }
    lo_end(&s->b);
    sk_close(s, mark);
    sk_scalar(s);
    (void)vec;
}

/* The pieces of the slab that lies in shared memory. */
static void store_slab(struct gc *c, struct lo_lin slab, int64_t rows)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    int64_t vec = c->splits > 1 ? 4 : c->end_vec, pieces = c->tile.n / vec;
    int64_t step = c->threads / pieces;
    uint32_t mark = sk_open(s);
    lo_id col, row = gc_split(c, lo_thread(b), pieces, &col);
    struct lo_lin from = lo_lin_v(b, row), to = lo_lin_c(rows);
    if (step < 1) { /* rows of more pieces than threads */
        step = 1;
        from = lo_lin_c(0);
    }
    lo_id i = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(gc_ceil(rows, step)), 1);
    row = lo_value(b, gc_plus_v(c, from, i, step));
    bool some = rows % step != 0;
    if (some)
        lo_if(b, gc_below(c, lo_lin_v(b, row), rows));
    struct lo_lin m = lo_lin_add(b, c->m0, gc_slab_row(c, slab, row));
    struct lo_lin at = lo_lin_mul(b, lo_lin_v(b, row), c->out_pitch);
    for (int64_t off = 0; off < pieces; off += c->threads) {
        struct lo_lin n = lo_lin_mul(b, gc_plus(c, lo_lin_v(b, col), off), vec);
        lo_id sum = lo_load(b, c->out, lo_lin_add(b, at, n), (uint32_t)vec, 0, 0);
        piece(c, sum, m, lo_lin_add(b, c->n0, n), vec);
    }
    if (some)
        lo_end(b);
    lo_end(b);
    sk_close(s, mark);
    (void)to;
}

void gc_finish_tile(struct gc *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    int64_t slabs = gc_slabs(c), rows = c->tile.m / slabs;
    uint32_t mark = sk_open(s);
    lo_id slab = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(slabs), 1);
    lo_barrier(b);
    for (int64_t i = 0; i < slabs; i++) {
        lo_if(b, lo_op(b, IR_eq, I64, slab, lo_const_i(b, I64, i), 0));
        gc_write_slab(c, i);
        lo_end(b);
    }
    lo_barrier(b);
    store_slab(c, lo_lin_v(b, slab), rows);
    lo_end(b);
    sk_close(s, mark);
}

void gc_phase_finish(struct gc *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    int64_t width = gc_ceil(c->b.x.size, c->end_vec);
    int64_t n = c->batch.size * c->a.x.size * width;
    lo_id chunk = lo_phase_gpu(b, gc_ceil(n, FINISH_THREADS), FINISH_THREADS);
    uint32_t mark = sk_open(s);
    struct lo_lin at = gc_plus_v(c, lo_lin_v(b, lo_thread(b)), chunk, FINISH_THREADS);
    lo_if(b, gc_below(c, at, n));
    lo_id col, m, batch = gc_split(c, gc_split(c, lo_value(b, at), width, &col), c->a.x.size, &m);
    struct gc_spot spot;
    if (c->batch.n) {
        gc_decode(c, &c->batch, lo_lin_v(b, batch), &spot);
        gc_stand(c, &c->batch, &spot, 1);
    }
    struct lo_lin cols = lo_lin_mul(b, lo_lin_v(b, col), c->end_vec);
    lo_id sum = 0;
    for (int64_t i = 0; i < c->splits; i++) {
        struct lo_lin l = temp_at(c, lo_lin_c(i), lo_lin_v(b, batch), lo_lin_v(b, m), cols);
        lo_id one = lo_load(b, c->temp, l, (uint32_t)c->end_vec, 0, 0);
        struct lo_type t = {NN_f32, (uint16_t)c->end_vec};
        sum = sum ? lo_op(b, IR_add, t, sum, one, 0) : one;
    }
    stand_at(c, lo_lin_v(b, m), cols);
    finish(c, sum);
    lo_end(b);
    lo_end(b);
    sk_close(s, mark);
    sk_scalar(s);
}
