/* What a team does at its task: the sweeps over the row, one for each level of reductions, each
 * thread at its turns; what is known once a row by the team's first thread. */
#include "lower/gpu.h"

/* ---- where we stand ---- */

void gpu_stand(struct gpu *g, const struct gpu_axes *list, struct lo_lin at)
{
    struct sk *s = g->s;
    for (uint32_t i = 0; i < list->n; i++) {
        struct lo_lin here = at;
        if (i + 1 < list->n)
            gpu_split(s, at, gpu_trip(g, list->axis[i]), &at, &here);
        if ((int)list->axis[i] == g->x && g->lanes > 1)
            sk_vector(s, list->axis[i], lo_lin_mul(&s->b, here, g->lanes), g->lanes, 0);
        else
            sk_axis(s, list->axis[i], here);
    }
}

static bool x_inner(const struct gpu *g) { return g->x >= (int)g->s->c->outer; }

/* Nothing stands at a point of the row. */
static void leave_row(struct gpu *g)
{
    if (x_inner(g))
        sk_scalar(g->s);
}

/* ---- turns ---- */

static struct lo_lin minus_shift(struct gpu *g, struct lo_lin q)
{
    struct lo_builder *b = &g->s->b;
    return g->pad ? lo_lin_add(b, q, lo_lin_mul(b, g->shift, -1)) : q;
}

/* Behind the row's last step. */
static struct lo_lin row_end(struct gpu *g)
{
    struct lo_lin end = lo_lin_c(g->points);
    return g->pad ? lo_lin_add(&g->s->b, end, g->shift) : end;
}

/* The same in a run whose sizes end the slowest of the row's axes. */
static struct lo_lin live_end(struct gpu *g)
{
    struct lo_builder *b = &g->s->b;
    uint32_t axis = g->inner.n ? g->inner.axis[g->inner.n - 1] : 0;
    const struct ir_live *l = g->inner.n ? fuse_axis_live(g->s->plan, g->s->c, axis) : NULL;
    bool vectors = (int)axis == g->x && g->lanes > 1;
    if (!l || g->pad)
        return row_end(g);
    struct lo_lin end = sk_extent(g->s, l);
    if (vectors) {
        lo_id up = lo_value(b, lo_lin_add(b, end, lo_lin_c(g->lanes - 1)));
        end = lo_lin_v(b, lo_op(b, IR_idiv, GPU_I64, up, lo_const_i(b, GPU_I64, g->lanes), 0));
    }
    return lo_lin_mul(b, end, g->points / gpu_trip(g, axis));
}

/* The row's sector begins so many steps before it. */
void gpu_find_shift(struct gpu *g)
{
    struct sk *s = g->s;
    struct lo_lin at;
    if (!g->pad)
        return;
    sk_axis(s, g->inner.axis[0], lo_lin_c(0));
    at = sk_address(s, g->shift_of, NN_i64).base;
    gpu_split(s, at, g->lanes, &at, &g->shift);
    gpu_split(s, at, g->pad + 1, &at, &g->shift);
}

/* The team's step number q of the row, this thread's `turn`-th. */
static void at_step(struct gpu *g, struct lo_lin q, struct lo_lin turn)
{
    struct sk *s = g->s;
    struct lo_lin point = minus_shift(g, q);
    gpu_stand(g, &g->inner, point);
    if (g->turns || g->in_tail)
        s->held_at[GPU_OWN] = turn;
    else if (g->shared)
        s->held_at[GPU_OWN] = lo_lin_mul(
            &s->b, lo_lin_add(&s->b, q, lo_lin_mul(&s->b, g->team.g, g->held)), g->lanes);
    s->held_at[GPU_EVERY] = lo_lin_mul(&s->b, point, g->lanes);
}

typedef void step_fn(struct gpu *g, void *ctx);

/* Of `count` steps from `from` some may lie before the row, or behind it. */
struct edges {
    bool first, last;
};

static struct edges edges(const struct gpu *g, int64_t from, int64_t count)
{
    return (struct edges){from<g->pad, from + count> g->points};
}

static void one_step(struct gpu *g, struct lo_lin q, struct lo_lin turn, struct edges e,
                     step_fn *body, void *ctx)
{
    struct sk *s = g->s;
    uint32_t mark = sk_open(s);
    lo_id inside = e.last ? gpu_below(s, minus_shift(g, q), g->points) : 0;
    if (e.first) {
        lo_id after = lo_op(&s->b, IR_ge, GPU_I64, lo_value(&s->b, minus_shift(g, q)),
                            lo_const_i(&s->b, GPU_I64, 0), 0);
        inside =
            inside ? lo_op(&s->b, IR_and, (struct lo_type){NN_bool, 1}, inside, after, 0) : after;
    }
    if (inside)
        lo_if(&s->b, inside);
    at_step(g, q, turn);
    body(g, ctx);
    sk_close(s, mark);
    if (inside)
        lo_end(&s->b);
}

/* Turns from..to of those whose values have registers, written out; the first begins with step
 * `base` of the row. */
static void kept_steps(struct gpu *g, int64_t base, int64_t turns, step_fn *body, void *ctx)
{
    struct lo_builder *b = &g->s->b;
    int64_t count = g->team.count, k = 0;
    while (k < turns) {
        struct edges e = edges(g, base + k * count, count);
        int64_t to = k + 1;
        while (!e.first && !e.last && to < turns && !edges(g, base + to * count, count).last)
            to++;
        struct lo_lin turn = lo_lin_c(k);
        if (to > k + 1)
            turn = lo_lin_v(b, lo_for(b, LO_UNROLL, lo_lin_c(k), lo_lin_c(to), 1));
        struct lo_lin q = lo_lin_add(b, lo_lin_mul(b, turn, count), lo_lin_c(base));
        one_step(g, lo_lin_add(b, q, g->team.t), turn, e, body, ctx);
        if (to > k + 1)
            lo_end(b);
        k = to;
    }
}

/* Steps from..to: several of the thread's beside each other, so that their reads are under way at
 * once, then what is left. */
static void loose_steps(struct gpu *g, struct lo_lin from, struct lo_lin to, step_fn *body,
                        void *ctx)
{
    struct lo_builder *b = &g->s->b;
    int64_t near = g->points >= GPU_NEAR * g->team.count ? GPU_NEAR : 1, by = near * g->team.count;
    struct edges none = {false, false};
    if (!from.n && from.c0 < g->pad) {
        struct lo_lin first = lo_lin_add(b, from, g->team.t);
        one_step(g, first, lo_lin_c(0), edges(g, from.c0, g->team.count), body, ctx);
        from = lo_lin_c(from.c0 + g->team.count);
    }
    struct lo_lin length = lo_lin_add(b, to, lo_lin_mul(b, from, -1)), whole, rest;
    if (near > 1) {
        gpu_split(g->s, length, by, &whole, &rest);
        struct lo_lin mid = lo_lin_add(b, from, lo_lin_mul(b, whole, by));
        struct lo_lin first = lo_lin_v(b, lo_for(b, LO_SERIAL, from, mid, by));
        first = lo_lin_add(b, first, g->team.t);
        for (int64_t u = 0; u < near; u++) {
            struct lo_lin q = lo_lin_add(b, first, lo_lin_c(u * g->team.count));
            one_step(g, q, lo_lin_c(0), none, body, ctx);
        }
        lo_end(b);
        from = mid;
    }
    if (!from.n && !to.n && from.c0 >= to.c0)
        return;
    lo_id q = lo_for(b, LO_SERIAL, lo_lin_add(b, from, g->team.t), to, g->team.count);
    one_step(g, lo_lin_v(b, q), lo_lin_c(0), none, body, ctx);
    lo_end(b);
}

/* A row too long for shared memory: its begin is kept there, what follows in registers, and if
 * that is not all of it the rest not at all. */
static void part_kept_steps(struct gpu *g, step_fn *body, void *ctx)
{
    struct sk *s = g->s;
    struct sk_held *own = s->held;
    uint32_t kept = s->held_n;
    int64_t from = g->held + g->tail * g->team.count;
    loose_steps(g, lo_lin_c(0), lo_lin_c(g->held), body, ctx);
    if (g->tail) {
        s->held = g->held_tail;
        g->in_tail = true;
        kept_steps(g, g->held, g->tail, body, ctx);
        g->in_tail = false;
        s->held = own;
    }
    s->held_n = 0;
    if (from < gpu_steps(g))
        loose_steps(g, lo_lin_c(from), row_end(g), body, ctx);
    s->held_n = kept;
}

/* One thread's own row: loops over the axes. */
static void nested_steps(struct gpu *g, uint32_t depth, step_fn *body, void *ctx)
{
    struct sk *s = g->s;
    if (depth == 0) {
        uint32_t mark = sk_open(s);
        body(g, ctx);
        sk_close(s, mark);
        return;
    }
    uint32_t axis = g->inner.axis[depth - 1], mark = sk_open(s);
    enum lo_loop how = g->written_out ? LO_UNROLL : LO_SERIAL;
    const struct ir_live *l = how == LO_SERIAL ? fuse_axis_live(s->plan, s->c, axis) : NULL;
    struct lo_lin to = l ? sk_extent(s, l) : lo_lin_c(g->n.trip[axis]);
    sk_for(s, axis, how, lo_lin_c(0), to, 1);
    nested_steps(g, depth - 1, body, ctx);
    sk_close(s, mark);
    lo_end(&s->b);
}

static void all_steps(struct gpu *g, step_fn *body, void *ctx)
{
    struct lo_builder *b = &g->s->b;
    struct lo_lin from = lo_lin_c(0), to = from;
    if (g->points == 0)
        return;
    if (g->splits > 1) {
        from = lo_lin_mul(b, g->at_split, g->split);
        struct lo_lin end = lo_lin_add(b, from, lo_lin_c(g->split));
        if (g->points % g->split) {
            lo_id least =
                lo_op(b, IR_min, GPU_I64, lo_value(b, end), lo_const_i(b, GPU_I64, g->points), 0);
            end = lo_lin_v(b, least);
        }
        to = end;
    }
    if (g->turns)
        kept_steps(g, 0, g->turns, body, ctx);
    else if (g->team.count == 1 && !x_inner(g))
        nested_steps(g, g->inner.n, body, ctx);
    else if (g->shared && g->held < gpu_steps(g))
        part_kept_steps(g, body, ctx);
    else
        loose_steps(g, from, g->splits > 1 ? to : live_end(g), body, ctx);
    leave_row(g);
}

/* ---- sweeps ---- */

/* The turn's column takes in the member's value. */
static void add_column(struct gpu *g, uint32_t i)
{
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    enum ir_monoid m = ir_at(s->plan->g, gpu_member(g, i)->node)->monoid;
    const struct fx_val v = s->x.val.p[sk_member(s, i)];
    uint32_t lanes = g->lanes;
    lo_id sum = lo_get(b, g->column[i], s->held_at[GPU_OWN]);
    if (m == IRM_sum && v.kind == FX_OP && v.op == IR_mul && v.dtype == NN_f32)
        sum = lo_fma(b, lo_splat(b, sk_value(s, v.in[0]), lanes),
                     lo_splat(b, sk_value(s, v.in[1]), lanes), sum);
    else
        sum = sk_combine(s, m, sum, lo_splat(b, sk_value(s, sk_member(s, i)), lanes));
    lo_set(b, g->column[i], s->held_at[GPU_OWN], sum);
}

static void at_point(struct gpu *g, void *ctx)
{
    (void)ctx;
    bool online = gpu_online_in(g, g->n.current);
    struct nest_fold *max = &g->n.fold[g->online.max];
    lo_id before = online ? lo_get(&g->s->b, max->reg, lo_lin_c(0)) : 0;
    nest_at_point(&g->n, 0);
    if (online)
        gpu_online_point(g, before);
    for (uint32_t i = 0; i < g->s->c->members.n; i++)
        if (gpu_member(g, i)->role == FUSE_ACROSS && nest_in_sweep(&g->n, i, g->n.current))
            add_column(g, i);
}

static void load_always(struct gpu *g, void *ctx)
{
    (void)ctx;
    for (uint32_t i = 0; i < g->kept.n; i++)
        if (g->kept.p[i].on && g->kept.p[i].always)
            sk_value(g->s, g->kept.p[i].id);
}

/* The block's threads share it if it goes to shared memory, else each thread takes its turns. */
void gpu_load_always(struct gpu *g)
{
    struct lo_builder *b = &g->s->b;
    if (!gpu_has_always(g))
        return;
    if (!g->every) {
        all_steps(g, load_always, NULL);
        return;
    }
    lo_id q = lo_for(b, LO_SERIAL, lo_lin_v(b, g->thread), lo_lin_c(g->points), g->threads);
    one_step(g, lo_lin_v(b, q), lo_lin_c(0), (struct edges){false, false}, load_always, NULL);
    lo_end(b);
    leave_row(g);
    lo_barrier(b);
}

static void bind_results(struct gpu *g, const uint32_t *list, uint32_t n, lo_id *value,
                         lo_id *index)
{
    gpu_results(g, &g->team, list, n, value, index);
    for (uint32_t i = 0; i < n; i++) {
        struct nest_fold *f = &g->n.fold[list[i]];
        f->value[0] = index[i] ? index[i] : value[i];
        f->done = true;
        sk_bind(g->s, gpu_member(g, list[i])->node, f->value[0]);
    }
}

/* A team without a task runs along for the sake of barriers and shuffles: it must touch no memory,
 * since the row that it stands at may be overwritten in place by its owner. */
static void run_sweep(struct gpu *g, uint32_t sweep)
{
    struct sk *s = g->s;
    uint32_t count = s->c->members.n, reductions = 0;
    uint32_t *list = xcalloc(count, sizeof *list);
    lo_id *value = xcalloc(count, sizeof *value), *index = xcalloc(count, sizeof *index);
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        any = any || nest_in_sweep(&g->n, i, sweep);
        if (nest_in_sweep(&g->n, i, sweep) && gpu_member(g, i)->role == FUSE_REDUCE) {
            nest_start_fold(&g->n, i, 1);
            list[reductions++] = i;
        }
    }
    g->n.current = sweep;
    if (gpu_online_in(g, sweep))
        gpu_online_start(g);
    if (any) {
        uint32_t mark = sk_open(s);
        if (g->valid)
            lo_if(&s->b, g->valid);
        gpu_prefetch(g, gpu_inner_mask(g), sweep);
        all_steps(g, at_point, NULL);
        if (g->valid) {
            sk_close(s, mark);
            lo_end(&s->b);
        }
    }
    if (g->splits == 1) {
        lo_id own =
            gpu_online_in(g, sweep) ? lo_get(&s->b, g->n.fold[g->online.max].reg, lo_lin_c(0)) : 0;
        bind_results(g, list, reductions, value, index);
        if (own) {
            gpu_online_end(g, own, g->n.fold[g->online.max].value[0]);
            bind_results(g, &g->online.sum, 1, value, index);
        }
    }
    gpu_kept_ready(g, sweep);
    free(list);
    free(value);
    free(index);
}

void gpu_row(struct gpu *g)
{
    struct sk *s = g->s;
    gpu_row_starts(g);
    for (uint32_t k = 0; k < g->n.sweeps; k++)
        run_sweep(g, k);
    if (g->splits > 1) {
        gpu_store_split(g);
        return;
    }
    lo_id own = g->valid;
    if (g->team.count > 1) {
        struct lo_type t = {NN_bool, 1};
        lo_id first = gpu_below(s, g->team.t, 1);
        own = own ? lo_op(&s->b, IR_and, t, own, first, 0) : first;
    }
    uint32_t mark = sk_open(s);
    if (own)
        lo_if(&s->b, own);
    nest_row_values(&g->n, 0);
    sk_close(s, mark);
    if (own)
        lo_end(&s->b);
}

/* ---- results ---- */

static enum ir_monoid monoid_of(const struct gpu *g, uint32_t i)
{
    return ir_at(g->s->plan->g, gpu_member(g, i)->node)->monoid;
}

/* This thread's index, where it has the best value (or a NaN, if there is one). */
static lo_id index_of(struct gpu *g, uint32_t i, lo_id best)
{
    struct lo_builder *b = &g->s->b;
    lo_id x = lo_get(b, g->n.fold[i].reg, lo_lin_c(0));
    lo_id index = lo_get(b, g->n.fold[i].index, lo_lin_c(0));
    struct lo_type t = b->k->insns.p[x].type, bits = {NN_bool, t.lanes}, ti = {NN_i32, t.lanes};
    lo_id hit = lo_op(b, IR_eq, t, x, best, 0);
    if (nn_is_float(t.dtype))
        hit = lo_op(b, IR_or, bits, hit, lo_op(b, IR_ne, t, x, x, 0), 0);
    return lo_op(b, IR_select, ti, hit, index, lo_const_i(b, ti, INT32_MAX));
}

void gpu_results(struct gpu *g, const struct gpu_team *team, const uint32_t *list, uint32_t n,
                 lo_id *value, lo_id *index)
{
    struct lo_builder *b = &g->s->b;
    struct gpu_meet *p = xcalloc(n, sizeof *p), *q = xcalloc(n, sizeof *q);
    uint32_t indices = 0;
    for (uint32_t i = 0; i < n; i++) {
        p[i].m = nest_value_monoid(monoid_of(g, list[i]));
        p[i].v = lo_get(b, g->n.fold[list[i]].reg, lo_lin_c(0));
        if (team->along)
            p[i].v = lo_across(b, p[i].m, p[i].v);
    }
    gpu_meet(g->s, g->thread, team, p, n);
    for (uint32_t i = 0; i < n; i++) {
        value[i] = p[i].v;
        if (!g->n.fold[list[i]].index)
            continue;
        lo_id at = index_of(g, list[i], p[i].v);
        q[indices++] = (struct gpu_meet){IRM_min, team->along ? lo_across(b, IRM_min, at) : at};
    }
    gpu_meet(g->s, g->thread, team, q, indices);
    for (uint32_t i = 0, k = 0; i < n; i++)
        index[i] = g->n.fold[list[i]].index ? q[k++].v : 0;
    free(p);
    free(q);
}
