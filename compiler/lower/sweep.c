/* What happens at a row: the sweeps over its inner axes, one for each level of reductions, then
 * stores of what is known once a row. Several vectors side by side (copies) have accumulators of
 * their own, added at the end in a fixed order, so that a sum does not wait for itself. */
#include "lower/nest.h"

static const struct fuse_member *member(const struct nest *n, uint32_t i)
{
    return &n->s->c->members.p[i];
}

static const struct ir_node *node_of(const struct nest *n, uint32_t i)
{
    return ir_at(n->s->plan->g, member(n, i)->node);
}

static bool is_arg(const struct ir_node *n)
{
    return n->op == IR_reduce && (n->monoid == IRM_argmax || n->monoid == IRM_argmin);
}

/* Where copy u of a block stands. */
static void stand(struct nest *n, const struct nest_block *b, uint32_t u)
{
    struct sk *s = n->s;
    struct lo_lin at = lo_lin_add(&s->b, b->at, lo_lin_c((int64_t)u * n->lanes));
    sk_vector(s, (uint32_t)n->v, at, n->lanes, u + 1 == b->copies ? b->mask : 0);
}

/* The same along an outer vector axis, where every copy has its own reductions. */
static void stand_outer(struct nest *n, uint32_t u)
{
    if (!nest_v_outer(n))
        return;
    stand(n, &n->block, u);
    for (uint32_t i = 0; i < n->s->c->members.n; i++)
        if (member(n, i)->role == FUSE_REDUCE && n->fold[i].done)
            sk_bind(n->s, member(n, i)->node, n->fold[i].value[u]);
}

/* ---- folding one value ---- */

enum nn_dtype nest_folded_type(struct nest *n, uint32_t i)
{
    return sk_compute_type(is_arg(node_of(n, i)) ? n->s->x.val.p[sk_member(n->s, i)].dtype
                                                 : node_of(n, i)->dtype);
}

/* The lanes of a fold's registers: vectors unless it sees no vector axis. */
static uint32_t fold_lanes(const struct nest *n, uint32_t i)
{
    if (n->v < 0)
        return 1;
    const struct fuse_member *m = member(n, i);
    const struct ir_node *x = node_of(n, i);
    for (uint32_t k = 0; k < x->nd; k++)
        if (m->axis[k] == n->v)
            return n->lanes;
    return 1;
}

void nest_make_folds(struct nest *n)
{
    struct lo_kernel *k = n->s->b.k;
    for (uint32_t i = 0; i < n->s->c->members.n; i++) {
        if (member(n, i)->role != FUSE_REDUCE && member(n, i)->role != FUSE_FOLD)
            continue;
        uint16_t lanes = (uint16_t)fold_lanes(n, i);
        struct lo_type t = {(uint8_t)nest_folded_type(n, i), lanes};
        n->fold[i].reg = lo_buffer(k, LO_REG, "acc", t, n->copies);
        t.dtype = NN_i32;
        if (is_arg(node_of(n, i)))
            n->fold[i].index = lo_buffer(k, LO_REG, "best", t, n->copies);
        nest_make_total(n, i);
    }
}

void nest_start_fold(struct nest *n, uint32_t i, uint32_t copies)
{
    struct sk *s = n->s;
    const struct nest_fold *f = &n->fold[i];
    uint32_t lanes = fold_lanes(n, i);
    lo_id v = sk_identity(s, node_of(n, i)->monoid, nest_folded_type(n, i), lanes);
    for (uint32_t u = 0; u < copies; u++) {
        lo_set(&s->b, f->reg, lo_lin_c(u), v);
        if (f->index)
            lo_set(&s->b, f->index, lo_lin_c(u),
                   lo_const_i(&s->b, (struct lo_type){NN_i32, (uint16_t)lanes}, 0));
    }
    if (f->total)
        nest_start_total(n, i, copies);
}

void nest_start_folds(struct nest *n)
{
    for (uint32_t i = 0; i < n->s->c->members.n; i++)
        if (member(n, i)->role == FUSE_FOLD)
            nest_start_fold(n, i, n->copies);
}

static lo_id masked(struct nest *n, lo_id take, lo_id keep)
{
    struct lo_type t = n->s->b.k->insns.p[take].type;
    return n->s->mask && t.lanes > 1 ? lo_op(&n->s->b, IR_select, t, n->s->mask, take, keep) : take;
}

/* x beats the best so far: further out, or the first NaN. */
static lo_id beats(struct nest *n, enum ir_monoid m, lo_id x, lo_id best)
{
    struct lo_builder *b = &n->s->b;
    struct lo_type t = b->k->insns.p[best].type, bits = {NN_bool, t.lanes};
    lo_id out = lo_op(b, m == IRM_argmax ? IR_gt : IR_lt, t, x, best, 0);
    if (!nn_is_float(t.dtype))
        return out;
    lo_id nan =
        lo_op(b, IR_and, bits, lo_op(b, IR_ne, t, x, x, 0), lo_op(b, IR_eq, t, best, best, 0), 0);
    return lo_op(b, IR_or, bits, out, nan, 0);
}

static lo_id value_lanes(struct nest *n, fx_id v, uint32_t lanes)
{
    lo_id r = sk_value(n->s, v);
    return lo_splat(&n->s->b, r, lanes);
}

static void fold_arg(struct nest *n, uint32_t i, uint32_t u, uint32_t lanes)
{
    struct lo_builder *b = &n->s->b;
    const struct nest_fold *f = &n->fold[i];
    enum ir_monoid m = node_of(n, i)->monoid;
    lo_id x = value_lanes(n, sk_member(n->s, i), lanes), best = lo_get(b, f->reg, lo_lin_c(u));
    lo_id at = lo_splat(b, sk_number(n->s, nest_fold_index(n, i), NN_i32), lanes);
    lo_id old = lo_get(b, f->index, lo_lin_c(u)), win = beats(n, m, x, best);
    if (n->s->mask && lanes > 1)
        win = lo_op(b, IR_and, (struct lo_type){NN_bool, (uint16_t)lanes}, win, n->s->mask, 0);
    struct lo_type t = b->k->insns.p[best].type, ti = b->k->insns.p[old].type;
    lo_set(b, f->reg, lo_lin_c(u), lo_op(b, IR_select, t, win, x, best));
    lo_set(b, f->index, lo_lin_c(u), lo_op(b, IR_select, ti, win, at, old));
}

/* Copy u's accumulator takes in the member's value where we stand. */
static void fold(struct nest *n, uint32_t i, uint32_t u)
{
    struct sk *s = n->s;
    const struct nest_fold *f = &n->fold[i];
    const struct ir_node *x = node_of(n, i);
    uint32_t lanes = fold_lanes(n, i);
    if (f->index) {
        fold_arg(n, i, u, lanes);
        return;
    }
    const struct fx_val v = s->x.val.p[sk_member(s, i)];
    lo_id acc = lo_get(&s->b, f->reg, lo_lin_c(u)), sum;
    bool exact = v.dtype == NN_f32 || v.dtype == NN_f64;
    if (x->monoid == IRM_sum && s->t->fma && v.kind == FX_OP && v.op == IR_mul && exact)
        sum = lo_fma(&s->b, value_lanes(n, v.in[0], lanes), value_lanes(n, v.in[1], lanes), acc);
    else
        sum = sk_combine(s, x->monoid, acc, value_lanes(n, sk_member(s, i), lanes));
    lo_set(&s->b, f->reg, lo_lin_c(u), masked(n, sum, acc));
}

/* ---- a fold's result ---- */

lo_id nest_index_where(struct lo_builder *b, lo_id x, lo_id best, lo_id index)
{
    struct lo_type t = b->k->insns.p[x].type, bits = {NN_bool, t.lanes}, ti = {NN_i32, t.lanes};
    lo_id hit = lo_op(b, IR_eq, t, x, best, 0);
    if (nn_is_float(t.dtype))
        hit = lo_op(b, IR_or, bits, hit, lo_op(b, IR_ne, t, x, x, 0), 0);
    return lo_op(b, IR_select, ti, hit, index, lo_const_i(b, ti, INT32_MAX));
}

/* Over all copies and lanes, the least index among the extremes (of NaNs, if there is one). */
static lo_id arg_result(struct nest *n, const struct nest_fold *f, enum ir_monoid m,
                        uint32_t copies, lo_id *extreme)
{
    struct lo_builder *b = &n->s->b;
    enum ir_monoid value = nest_value_monoid(m);
    lo_id best = lo_get(b, f->reg, lo_lin_c(0)), at = 0;
    for (uint32_t u = 1; u < copies; u++)
        best = sk_combine(n->s, value, best, lo_get(b, f->reg, lo_lin_c(u)));
    best = lo_across(b, value, best);
    for (uint32_t u = 0; u < copies; u++) {
        lo_id x = lo_get(b, f->reg, lo_lin_c(u)), index = lo_get(b, f->index, lo_lin_c(u));
        lo_id where = nest_index_where(b, x, best, index);
        at = at ? sk_combine(n->s, IRM_min, at, where) : where;
    }
    *extreme = best;
    return lo_across(b, IRM_min, at);
}

uint32_t nest_fold_copies(const struct nest *n, uint32_t i)
{
    if (member(n, i)->role == FUSE_FOLD)
        return n->copies;
    return nest_v_outer(n) ? n->block.copies : nest_v_inner(n) ? n->copies : 1;
}

/* Copies 0..copies folded into one scalar: neighbours first, then the lanes. */
static lo_id scalar_result(struct nest *n, uint32_t i, uint32_t copies, lo_id *best)
{
    struct sk *s = n->s;
    const struct nest_fold *f = &n->fold[i];
    enum ir_monoid m = node_of(n, i)->monoid;
    lo_id v[NEST_COPIES];
    if (f->index)
        return arg_result(n, f, m, copies, best);
    if (f->total) {
        nest_fill_total(n, i, copies);
        return lo_across(&s->b, m, lo_get(&s->b, f->total, lo_lin_c(0)));
    }
    for (uint32_t u = 0; u < copies; u++)
        v[u] = lo_get(&s->b, f->reg, lo_lin_c(u));
    for (uint32_t step = 1; step < copies; step *= 2)
        for (uint32_t u = 0; u + step < copies; u += 2 * step)
            v[u] = sk_combine(s, m, v[u], v[u + step]);
    return lo_across(&s->b, m, v[0]);
}

lo_id nest_end_fold(struct nest *n, uint32_t i, lo_id *best)
{
    return scalar_result(n, i, n->copies, best);
}

static void finish_reduction(struct nest *n, uint32_t i)
{
    struct sk *s = n->s;
    struct nest_fold *f = &n->fold[i];
    f->done = true;
    enum nn_dtype type = f->index ? NN_i32 : nest_folded_type(n, i);
    if (nest_v_outer(n)) {
        if (f->total)
            nest_fill_total(n, i, n->block.copies);
        uint32_t from = f->index ? f->index : f->total ? f->total : f->reg;
        for (uint32_t u = 0; u < n->block.copies; u++)
            f->value[u] = lo_cast(&s->b, type, lo_get(&s->b, from, lo_lin_c(u)));
        return;
    }
    lo_id best;
    f->value[0] = lo_cast(&s->b, type, scalar_result(n, i, nest_fold_copies(n, i), &best));
    sk_bind(s, member(n, i)->node, f->value[0]);
}

/* ---- blocks of a vector axis ---- */

bool nest_rest(struct nest *n, struct nest_block *b)
{
    struct sk *s = n->s;
    int64_t trip = n->trip[n->v], whole = (int64_t)n->lanes * n->copies;
    int64_t left = trip % whole, last = left % n->lanes;
    *b = (struct nest_block){.at = lo_lin_c(trip - left),
                             .copies = (uint32_t)((left + n->lanes - 1) / n->lanes)};
    if (last) {
        struct lo_type t = {NN_i32, (uint16_t)n->lanes};
        b->mask =
            lo_op(&s->b, IR_lt, t, lo_lanes(&s->b, t, lo_lin_c(0)), lo_const_i(&s->b, t, last), 0);
    }
    return left > 0;
}

void nest_blocks(struct nest *n, struct lo_lin from, struct lo_lin to,
                 void (*body)(struct nest *, const struct nest_block *))
{
    struct sk *s = n->s;
    int64_t whole = (int64_t)n->lanes * n->copies;
    if (!from.n && !to.n && from.c0 >= to.c0)
        return;
    uint32_t mark = sk_open(s);
    nest_open_run(n, (uint32_t)n->v, &from, &to);
    lo_id v = lo_for(&s->b, LO_SERIAL, lo_lin_mul(&s->b, from, whole), lo_lin_mul(&s->b, to, whole),
                     whole);
    struct nest_block b = {.at = lo_lin_v(&s->b, v), .copies = n->copies};
    body(n, &b);
    sk_close(s, mark);
    lo_end(&s->b);
    nest_close_run(n, (uint32_t)n->v);
}

/* ---- sweeps ---- */

bool nest_in_sweep(const struct nest *n, uint32_t i, uint32_t sweep)
{
    const struct fuse_member *m = member(n, i);
    return n->sweep[i] == sweep && (m->role == FUSE_REDUCE || m->role == FUSE_FOLD ||
                                    m->role == FUSE_ACROSS || (m->role == FUSE_ELEM && m->stored));
}

/* One point (or vector) of the sweep: what is stored is computed before anything is. */
void nest_at_point(struct nest *n, uint32_t u)
{
    struct sk *s = n->s;
    uint32_t count = s->c->members.n;
    lo_id *value = xcalloc(count, sizeof *value);
    for (uint32_t i = 0; i < count; i++) {
        if (!nest_in_sweep(n, i, n->current))
            continue;
        if (member(n, i)->role == FUSE_ELEM)
            value[i] = sk_value(s, sk_member(s, i));
        else if (member(n, i)->role != FUSE_ACROSS)
            fold(n, i, u);
    }
    for (uint32_t i = 0; i < count; i++)
        if (value[i])
            sk_store(s, i, value[i]);
    free(value);
}

static void inner_block(struct nest *n, const struct nest_block *b)
{
    for (uint32_t u = 0; u < b->copies; u++) {
        stand(n, b, u);
        nest_at_point(n, u);
    }
}

static void innermost(struct nest *n)
{
    struct sk *s = n->s;
    if (!nest_v_inner(n)) {
        for (uint32_t u = 0; u < n->block.copies; u++) {
            stand_outer(n, u);
            nest_at_point(n, u);
        }
        return;
    }
    struct nest_block rest;
    int64_t whole = n->trip[n->v] / ((int64_t)n->lanes * n->copies);
    struct lo_lin from = lo_lin_c(0), to = lo_lin_c(whole);
    if (whole && n->trip[n->v] == s->x.dim[n->v])
        sk_limited(s, (uint32_t)n->v, (int64_t)n->lanes * n->copies, &from, &to);
    nest_blocks(n, from, to, inner_block);
    if (nest_rest(n, &rest))
        inner_block(n, &rest);
    sk_scalar(s);
}

static int64_t inner_points(const struct nest *n)
{
    int64_t points = 1;
    for (uint32_t i = n->s->c->outer; i < n->s->c->outer + n->s->c->inner; i++)
        points *= n->trip[i];
    return points;
}

static int64_t unrolled_trips(const struct nest *n)
{
    int64_t trips = 1;
    for (uint32_t i = n->s->c->outer; i < n->s->c->outer + n->s->c->inner; i++)
        trips *= (int)i == n->v ? 1 : n->trip[i];
    return trips;
}

/* Loops over the inner axes from `axis` on; short ones are written out. */
static void inner_loops(struct nest *n, uint32_t axis, bool unroll)
{
    struct sk *s = n->s;
    uint32_t end = s->c->outer + s->c->inner;
    while (axis < end && (n->trip[axis] == 1 || (int)axis == n->v))
        axis++;
    if (axis >= end) {
        innermost(n);
        return;
    }
    if (unroll) {
        for (int64_t i = 0; i < n->trip[axis]; i++) {
            sk_axis(s, axis, lo_lin_c(i));
            inner_loops(n, axis + 1, unroll);
        }
        return;
    }
    uint32_t mark = sk_open(s);
    struct lo_lin from = lo_lin_c(0), to = lo_lin_c(n->trip[axis]);
    if (n->trip[axis] == s->x.dim[axis])
        sk_limited(s, axis, 1, &from, &to);
    nest_open_run(n, axis, &from, &to);
    sk_for(s, axis, LO_SERIAL, from, to, 1);
    inner_loops(n, axis + 1, unroll);
    sk_close(s, mark);
    lo_end(&s->b);
    nest_close_run(n, axis);
}

/* Values first computed in this sweep are there for the next ones. */
static void held_ready(struct nest *n, uint32_t sweep)
{
    for (fx_id id = 0; id < n->s->held_n; id++)
        n->s->held[id].ready = n->s->held[id].ready || n->first[id] == sweep;
}

static void run_sweep(struct nest *n, uint32_t sweep)
{
    struct sk *s = n->s;
    bool any = false;
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        any = any || nest_in_sweep(n, i, sweep);
        if (nest_in_sweep(n, i, sweep) && member(n, i)->role == FUSE_REDUCE)
            nest_start_fold(n, i, nest_fold_copies(n, i));
    }
    if (!any)
        return;
    n->current = sweep;
    if (inner_points(n))
        inner_loops(n, s->c->outer, nest_v_outer(n) && unrolled_trips(n) * n->block.copies <= 32);
    for (uint32_t i = 0; i < s->c->members.n; i++)
        if (nest_in_sweep(n, i, sweep) && member(n, i)->role == FUSE_REDUCE)
            finish_reduction(n, i);
    held_ready(n, sweep);
}

/* What is known once a row: element-wise members over outer axes, the reductions themselves, and
 * folds of such values. */
void nest_row_values(struct nest *n, uint32_t u)
{
    struct sk *s = n->s;
    uint32_t count = s->c->members.n;
    lo_id *value = xcalloc(count, sizeof *value);
    for (uint32_t i = 0; i < count; i++) {
        const struct fuse_member *m = member(n, i);
        if (m->role == FUSE_KEPT && m->stored)
            value[i] = sk_value(s, sk_member(s, i));
        else if (m->role == FUSE_REDUCE && m->stored)
            value[i] = n->fold[i].value[nest_v_outer(n) ? u : 0];
        else if (m->role == FUSE_FOLD && n->sweep[i] == UINT32_MAX)
            fold(n, i, u);
    }
    for (uint32_t i = 0; i < count; i++)
        if (value[i])
            sk_store(s, i, value[i]);
    free(value);
}

void nest_row(struct nest *n)
{
    for (uint32_t i = 0; i < n->s->c->members.n; i++)
        n->fold[i].done = false;
    for (fx_id id = 0; id < n->s->held_n; id++)
        n->s->held[id].ready = false;
    for (uint32_t k = 0; k < n->sweeps; k++)
        run_sweep(n, k);
    for (uint32_t u = 0; u < n->block.copies; u++) {
        stand_outer(n, u);
        nest_row_values(n, u);
    }
}
