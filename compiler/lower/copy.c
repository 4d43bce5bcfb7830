/* What runs before a contraction: rows that are computed, or that tiles would pick out of many
 * places, are copied in the order in which tiles read them; factors whose lanes lie apart are laid
 * anew. */
#include "lower/contract.h"

#define I64 ((struct lo_type){NN_i64, 1})

static bool has_axis(const struct con_axes *list, uint32_t axis)
{
    for (uint32_t i = 0; i < list->n; i++)
        if (list->axis[i] == axis)
            return true;
    return false;
}

struct lo_lin con_strided(struct con *c, const int64_t *stride)
{
    struct lo_lin l = lo_lin_c(0);
    for (uint32_t i = 0; i < c->s->x.n; i++)
        if (stride[i])
            l = lo_lin_add(&c->s->b, l, lo_lin_mul(&c->s->b, sk_at(c->s, i), stride[i]));
    return l;
}

/* Where the row's copy has the point, i rows into the tile. */
struct lo_lin con_copy_at(struct con *c, int64_t i)
{
    struct lo_lin l = con_strided(c, c->copy_stride);
    if (c->copy_k)
        return l;
    int64_t tall = c->depth + con_ceil(c->acc.lanes, c->rows);
    return con_plus(c, lo_lin_add(&c->s->b, l, lo_lin_mul(&c->s->b, c->at_r, tall)), i);
}

/* ---- the copy of rows ---- */

/* A tile's rows beside each other, at one point of k. Stores are whole vectors (masked ones are
 * slow): what they write past the tile's rows, the next point of k overwrites. */
static void copy_step(struct con *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    int64_t lanes = c->acc.lanes;
    struct lo_type t = {NN_i32, c->acc.lanes};
    for (int64_t i = 0; i < c->rows; i += lanes) {
        struct lo_lin at = con_plus(c, c->at_r, i);
        lo_id mask = lo_op(b, IR_lt, t, lo_lanes(b, t, at), lo_const_i(b, t, con_dim(c, c->r)), 0);
        lo_id tile = con_first_lanes(c, c->rows - i);
        if (tile)
            mask = lo_op(b, IR_and, (struct lo_type){NN_bool, c->acc.lanes}, mask, tile, 0);
        sk_vector(s, c->r, at, (uint32_t)lanes, mask);
        lo_store(b, c->temp, con_copy_at(c, i), sk_lanes(s, c->row), 0);
    }
}

/* Along k's last axis. */
static void copy_line(struct con *c)
{
    struct sk *s = c->s;
    int64_t lanes = c->acc.lanes, n = con_dim(c, c->vector_k), whole = n / lanes * lanes;
    if (whole) {
        uint32_t mark = sk_open(s);
        lo_id at = lo_for(&s->b, LO_SERIAL, lo_lin_c(0), lo_lin_c(whole), lanes);
        sk_vector(s, c->vector_k, lo_lin_v(&s->b, at), (uint32_t)lanes, 0);
        lo_store(&s->b, c->temp, con_copy_at(c, 0), sk_lanes(s, c->row), 0);
        lo_end(&s->b);
        sk_close(s, mark);
    }
    if (whole < n) {
        uint32_t mark = sk_open(s);
        lo_id mask = con_first_lanes(c, n - whole);
        sk_vector(s, c->vector_k, lo_lin_c(whole), (uint32_t)lanes, mask);
        lo_store(&s->b, c->temp, con_copy_at(c, 0), sk_lanes(s, c->row), mask);
        sk_close(s, mark);
    }
}

/* What a run of the copy's loop takes: a line of k, or a tile of rows over all of k. */
void con_phase_copy(struct con *c)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    int64_t count = c->copy_k ? 1 : c->r_tiles;
    int64_t each = c->copy_k ? con_dim(c, c->vector_k) : c->depth * c->rows;
    struct con_axes list = {0};
    for (uint32_t i = 0; i < s->x.n; i++) {
        bool folded = has_axis(&c->k, i);
        if (!c->copy_stride[i] || (c->copy_k ? i == c->vector_k : folded))
            continue;
        list.axis[list.n++] = i;
        count *= con_dim(c, i);
    }
    struct lo_lin from, to;
    sk_phase(s, sk_chunks(s, count, con_ceil(8192, each > 0 ? each : 1)), &from, &to);
    uint32_t mark = sk_open(s);
    lo_id tile = 0, t = lo_for(b, LO_SERIAL, from, to, 1);
    if (!c->copy_k)
        t = con_split(c, t, c->r_tiles, &tile);
    con_decode(c, lo_lin_v(b, t), &list);
    uint32_t axes = 0;
    for (uint32_t i = 0; i < list.n; i++)
        axes |= 1u << list.axis[i];
    if (!c->copy_k) {
        c->at_r = lo_lin_mul(b, lo_lin_v(b, tile), c->rows);
        sk_axis(s, c->r, c->at_r);
        axes |= 1u << c->r;
    }
    lo_id wanted = sk_wanted(s, axes);
    if (wanted)
        lo_if(b, wanted);
    if (c->copy_k) {
        copy_line(c);
    } else {
        c->k_from = lo_lin_c(0); /* all of k, whatever blocks the product takes */
        c->k_to = lo_lin_c(con_padded(c, c->k.axis[0]));
        con_k_loops(c, copy_step);
    }
    if (wanted)
        lo_end(b);
    lo_end(b);
    sk_close(s, mark);
    lo_end(b);
    sk_scalar(s);
}

/* ---- a factor laid anew ---- */

lo_id con_relay_load(struct con *c, const struct con_relay *r, struct lo_lin first, int64_t slot)
{
    struct lo_builder *b = &c->s->b;
    struct lo_lin l = sk_address(c->s, r->at, NN_i64).base;
    CHECK(r->size % r->tile == 0, "%s: a relaid tile", b->k->name);
    l = lo_lin_add(b, l, lo_lin_mul(b, first, r->size / r->tile));
    return lo_load(b, r->buf, con_plus(c, l, slot), c->acc.lanes, 0, 0);
}

/* Vector i of a tile at one place of the other coordinates; zeros past the axis' end. */
static void relay_vector(struct con *c, const struct con_relay *r, struct lo_lin first,
                         struct lo_lin from, struct lo_lin to, int64_t apart, int64_t n)
{
    struct lo_builder *b = &c->s->b;
    uint32_t buf = c->s->buf[r->node];
    enum nn_dtype t = (enum nn_dtype)b->k->buffers.p[buf].type.dtype;
    struct lo_type i32 = {NN_i32, c->acc.lanes};
    lo_id step = lo_op(b, IR_mul, i32, lo_lanes(b, i32, lo_lin_c(0)), lo_const_i(b, i32, apart), 0);
    lo_id mask = 0;
    if (n % r->tile)
        mask = lo_op(b, IR_lt, i32, lo_lanes(b, i32, first), lo_const_i(b, i32, n), 0);
    from = lo_lin_add(b, from, lo_lin_mul(b, first, apart));
    lo_id v = lo_gather(b, buf, from, step, mask, 0);
    v = lo_cast(b, (enum nn_dtype)c->acc.dtype, lo_cast(b, sk_compute_type(t), v));
    lo_store(b, r->buf, to, v, 0);
}

/* `before`, and the place `at` of the source's axis is one that the run has; 0: always. */
static lo_id relay_wanted(struct con *c, const struct ir_axis *ax, lo_id at, lo_id before)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    if (!ax->live || !s->buf[fuse_size_node(s->plan->g, ax->live->slot)])
        return before;
    lo_id in = lo_op(b, IR_lt, I64, at, lo_value(b, sk_extent(s, ax->live)), 0);
    return before ? lo_op(b, IR_and, (struct lo_type){NN_bool, 1}, before, in, 0) : in;
}

/* A run of the loop is a tile of the axis and all other coordinates but the last, which loops
 * inside walk in the order of the source: one for each vector of the tile, so that its lanes'
 * lines, often of one cache set, stay. */
void con_phase_relay(struct con *c, struct con_relay *r)
{
    struct sk *s = c->s;
    struct lo_builder *b = &s->b;
    const struct ir_axis *ax = ir_axes(ir_at(s->plan->g, r->node));
    int64_t source[IR_MAX_AXES], n = ax[r->dim].n, tiles = con_ceil(n, r->tile), count = tiles;
    uint32_t last = r->dim + 1 == r->rank ? r->rank - 2 : r->rank - 1;
    source[r->rank - 1] = 1;
    for (uint32_t i = r->rank - 1; i-- > 0;)
        source[i] = source[i + 1] * ax[i + 1].n;
    for (uint32_t i = 0; i < r->rank; i++)
        count *= i != r->dim && i != last ? ax[i].n : 1;
    struct lo_lin begin, end;
    sk_phase(s, sk_chunks(s, count, con_ceil(4096, r->tile * ax[last].n)), &begin, &end);
    uint32_t mark = sk_open(s);
    lo_id left = lo_for(b, LO_SERIAL, begin, end, 1);
    struct lo_lin from = lo_lin_c(0), to = lo_lin_c(0);
    lo_id wanted = 0;
    for (uint32_t i = r->rank; i-- > 0;) {
        if (i == r->dim || i == last)
            continue;
        lo_id at;
        left = con_split(c, left, ax[i].n, &at);
        wanted = relay_wanted(c, &ax[i], at, wanted);
        from = lo_lin_add(b, from, lo_lin_mul(b, lo_lin_v(b, at), source[i]));
        to = lo_lin_add(b, to, lo_lin_mul(b, lo_lin_v(b, at), r->stride[i]));
    }
    to = lo_lin_add(b, to, lo_lin_mul(b, lo_lin_v(b, left), r->size));
    lo_id first_at = lo_value(b, lo_lin_mul(b, lo_lin_v(b, left), r->tile));
    wanted = relay_wanted(c, &ax[r->dim], first_at, wanted);
    if (wanted)
        lo_if(b, wanted);
    for (int64_t i = 0; i < r->tile; i += c->acc.lanes) {
        struct lo_lin first = con_plus(c, lo_lin_mul(b, lo_lin_v(b, left), r->tile), i);
        struct lo_lin at = lo_lin_v(b, lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(ax[last].n), 1));
        struct lo_lin dest = lo_lin_add(b, to, lo_lin_mul(b, at, r->stride[last]));
        relay_vector(c, r, first, lo_lin_add(b, from, lo_lin_mul(b, at, source[last])),
                     con_plus(c, dest, i), source[r->dim], n);
        lo_end(b);
    }
    if (wanted)
        lo_end(b);
    lo_end(b);
    sk_close(s, mark);
    lo_end(b);
}
