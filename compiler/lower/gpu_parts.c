/* Sums of more than one block: each leaves a part in global memory, a phase behind folds the parts,
 * threads taking turns at them in a fixed order. Folds leave one part a block; a row that is split
 * among blocks one a split. */
#include "lower/gpu.h"

enum { FEW = 16, TURNS = 8 };

static const struct ir_node *node_of(const struct gpu *g, uint32_t i)
{
    return ir_at(g->s->plan->g, gpu_member(g, i)->node);
}

static bool is_arg(const struct ir_node *n)
{
    return n->monoid == IRM_argmax || n->monoid == IRM_argmin;
}

/* Lanes of a row's results: those of an outer x. */
static uint32_t row_lanes(const struct gpu *g)
{
    return g->x >= 0 && g->x < (int)g->s->c->outer ? g->lanes : 1;
}

/* The members of a role; the list is the caller's. */
static uint32_t *members(const struct gpu *g, enum fuse_role role, uint32_t *n)
{
    uint32_t *list = xcalloc(g->s->c->members.n + 1, sizeof *list);
    *n = 0;
    for (uint32_t i = 0; i < g->s->c->members.n; i++)
        if (gpu_member(g, i)->role == role)
            list[(*n)++] = i;
    return list;
}

void gpu_make_parts(struct gpu *g)
{
    struct sk *s = g->s;
    g->part = xcalloc(s->c->members.n, sizeof *g->part);
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        bool fold = gpu_member(g, i)->role == FUSE_FOLD && g->blocks > 1;
        bool split = gpu_member(g, i)->role == FUSE_REDUCE && g->splits > 1;
        bool column = gpu_member(g, i)->role == FUSE_ACROSS;
        if (!fold && !split && !column)
            continue;
        int64_t count = split    ? g->splits * g->tasks * row_lanes(g)
                        : column ? g->blocks * g->points * g->lanes
                                 : g->blocks;
        g->part[i].value = sk_temporary(s, "part", nest_folded_type(&g->n, i), count);
        if (is_arg(node_of(g, i)))
            g->part[i].index = sk_temporary(s, "index", NN_i32, count);
    }
}

/* ---- folding parts ---- */

/* Part number k is at base + k*stride; a thread takes first, first + by, … below n. */
struct parts {
    struct lo_lin base, first;
    int64_t stride, by, n;
    uint32_t lanes;
};

static lo_id load_part(struct gpu *g, const struct parts *p, uint32_t buf, lo_id k)
{
    struct lo_builder *b = &g->s->b;
    struct lo_lin at = lo_lin_add(b, p->base, lo_lin_mul(b, lo_lin_v(b, k), p->stride));
    return lo_load(b, buf, at, p->lanes, 0, 0);
}

/* This thread's parts of member i, or (best: the value that all agreed on) their least index. */
static lo_id fold_parts(struct gpu *g, const struct parts *p, uint32_t i, lo_id best)
{
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    enum ir_monoid m = best ? IRM_min : nest_value_monoid(node_of(g, i)->monoid);
    enum nn_dtype dtype = best ? NN_i32 : nest_folded_type(&g->n, i);
    struct lo_type t = {(uint8_t)dtype, (uint16_t)p->lanes};
    uint32_t reg = lo_buffer(b->k, LO_REG, best ? "best" : "sum", t, 1);
    lo_set(b, reg, lo_lin_c(0), sk_identity(s, m, dtype, p->lanes));
    lo_id k = lo_for(b, LO_SERIAL, p->first, lo_lin_c(p->n), p->by);
    lo_id v = load_part(g, p, g->part[i].value, k);
    if (best)
        v = nest_index_where(b, v, best, load_part(g, p, g->part[i].index, k));
    lo_set(b, reg, lo_lin_c(0), sk_combine(s, m, lo_get(b, reg, lo_lin_c(0)), v));
    lo_end(b);
    return lo_get(b, reg, lo_lin_c(0));
}

static void bind_results(struct gpu *g, const struct gpu_team *team, const struct parts *p,
                         const uint32_t *list, uint32_t n)
{
    struct gpu_meet *v = xcalloc(n + 1, sizeof *v), *at = xcalloc(n + 1, sizeof *at);
    uint32_t indices = 0;
    for (uint32_t i = 0; i < n; i++) {
        v[i].m = nest_value_monoid(node_of(g, list[i])->monoid);
        v[i].v = fold_parts(g, p, list[i], 0);
    }
    gpu_meet(g->s, g->thread, team, v, n);
    for (uint32_t i = 0; i < n; i++)
        if (g->part[list[i]].index)
            at[indices++] = (struct gpu_meet){IRM_min, fold_parts(g, p, list[i], v[i].v)};
    gpu_meet(g->s, g->thread, team, at, indices);
    for (uint32_t i = 0, k = 0; i < n; i++) {
        lo_id r = g->part[list[i]].index ? at[k++].v : v[i].v;
        g->n.fold[list[i]].value[0] = r;
        g->n.fold[list[i]].done = true;
        sk_bind(g->s, gpu_member(g, list[i])->node, r);
    }
    free(v);
    free(at);
}

/* ---- folds ---- */

/* One thread computes and stores what follows from the folds: others may still read what it writes
 * over if they did too. */
static void store_last(struct gpu *g)
{
    struct sk *s = g->s;
    lo_if(&s->b, gpu_below(s, lo_lin_v(&s->b, g->thread), 1));
    uint32_t mark = sk_open(s);
    nest_store_last(&g->n);
    sk_close(s, mark);
    lo_end(&s->b);
}

void gpu_end_folds(struct gpu *g)
{
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    uint32_t n, *list = members(g, FUSE_FOLD, &n);
    lo_id *value = xcalloc(n + 1, sizeof *value), *index = xcalloc(n + 1, sizeof *index);
    struct gpu_team block = gpu_team(s, g->thread, g->threads, true, g->threads);
    sk_scalar(s);
    if (n)
        gpu_results(g, &block, list, n, value, index);
    if (n && g->blocks > 1) {
        lo_if(b, gpu_below(s, lo_lin_v(b, g->thread), 1));
        for (uint32_t i = 0; i < n; i++) {
            lo_store(b, g->part[list[i]].value, lo_lin_v(b, g->chunk), value[i], 0);
            if (index[i])
                lo_store(b, g->part[list[i]].index, lo_lin_v(b, g->chunk), index[i], 0);
        }
        lo_end(b);
    } else if (n) {
        for (uint32_t i = 0; i < n; i++) {
            g->n.fold[list[i]].value[0] = index[i] ? index[i] : value[i];
            sk_bind(s, gpu_member(g, list[i])->node, g->n.fold[list[i]].value[0]);
        }
        store_last(g);
    }
    free(list);
    free(value);
    free(index);
}

void gpu_finish_folds(struct gpu *g)
{
    struct sk *s = g->s;
    uint32_t n, *list = members(g, FUSE_FOLD, &n);
    g->chunk = lo_phase_gpu(&s->b, 1, (int32_t)g->threads);
    g->thread = lo_thread(&s->b);
    uint32_t mark = sk_open(s);
    struct gpu_team block = gpu_team(s, g->thread, g->threads, true, g->threads);
    struct parts p = {.base = lo_lin_c(0),
                      .first = block.t,
                      .stride = 1,
                      .by = g->threads,
                      .n = g->blocks,
                      .lanes = 1};
    bind_results(g, &block, &p, list, n);
    store_last(g);
    sk_close(s, mark);
    lo_end(&s->b);
    free(list);
}

/* ---- splits ---- */

void gpu_store_split(struct gpu *g)
{
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    uint32_t n, *list = members(g, FUSE_REDUCE, &n);
    lo_id *value = xcalloc(n + 1, sizeof *value), *index = xcalloc(n + 1, sizeof *index);
    gpu_results(g, &g->team, list, n, value, index);
    lo_id own = g->valid, first = gpu_below(s, g->team.t, 1);
    if (g->team.count > 1)
        own = own ? lo_op(b, IR_and, (struct lo_type){NN_bool, 1}, own, first, 0) : first;
    struct lo_lin at = lo_lin_add(b, lo_lin_mul(b, g->at_split, g->tasks), g->task);
    at = lo_lin_mul(b, at, row_lanes(g));
    if (own)
        lo_if(b, own);
    for (uint32_t i = 0; i < n; i++) {
        lo_store(b, g->part[list[i]].value, at, value[i], 0);
        if (index[i])
            lo_store(b, g->part[list[i]].index, at, index[i], 0);
    }
    if (own)
        lo_end(b);
    free(list);
    free(value);
    free(index);
}

/* A phase over tasks: each has `parts` parts of the members with the role; *own: the thread that
 * goes on with the task's results. */
static uint32_t *fold_tasks(struct gpu *g, enum fuse_role role, const struct gpu_axes *axes,
                            int64_t tasks, int64_t parts, uint32_t lanes, uint32_t *n, lo_id *own)
{
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    uint32_t *list = members(g, role, n), threads = s->t->block;
    int64_t count = parts >= FEW ? TURNS : 1, group = threads / count;
    g->chunk = lo_phase_gpu(b, gpu_ceil(tasks, group), (int32_t)threads);
    g->thread = lo_thread(b);
    struct gpu_team team = gpu_team(s, g->thread, threads, false, count);
    struct lo_lin task = lo_lin_add(b, lo_lin_mul(b, lo_lin_v(b, g->chunk), group), team.g);
    *own = 0;
    if (tasks % group) {
        *own = gpu_below(s, task, tasks);
        task = lo_lin_v(
            b, lo_op(b, IR_min, GPU_I64, lo_value(b, task), lo_const_i(b, GPU_I64, tasks - 1), 0));
    }
    sk_scalar(s);
    gpu_stand(g, axes, task);
    struct parts p = {.base = lo_lin_mul(b, task, lanes),
                      .first = team.t,
                      .stride = tasks * lanes,
                      .by = count,
                      .n = parts,
                      .lanes = lanes};
    bind_results(g, &team, &p, list, *n);
    lo_id first = gpu_below(s, team.t, 1);
    if (count > 1)
        *own = *own ? lo_op(b, IR_and, (struct lo_type){NN_bool, 1}, *own, first, 0) : first;
    return list;
}

void gpu_finish_splits(struct gpu *g)
{
    struct sk *s = g->s;
    uint32_t n, mark = sk_open(s);
    lo_id own;
    free(fold_tasks(g, FUSE_REDUCE, &g->outer, g->tasks, g->splits, row_lanes(g), &n, &own));
    uint32_t inside = sk_open(s);
    if (own)
        lo_if(&s->b, own);
    nest_row_values(&g->n, 0);
    sk_close(s, inside);
    if (own)
        lo_end(&s->b);
    sk_close(s, mark);
    lo_end(&s->b);
    sk_scalar(s);
}

/* ---- columns ---- */

/* Teams of a block went down other rows: their sums of a column are added in order. */
static void meet_column(struct gpu *g, uint32_t i)
{
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    enum ir_monoid m = node_of(g, i)->monoid;
    struct lo_type t = {(uint8_t)nest_folded_type(&g->n, i), 1};
    int64_t size = g->points * g->lanes;
    uint32_t shared = lo_buffer(b->k, LO_SHARED, "columns", t, g->team.group * size);
    for (int64_t k = 0; k < g->turns; k++) {
        struct lo_lin q = lo_lin_add(b, g->team.t, lo_lin_c(k * g->team.count));
        struct lo_lin at =
            lo_lin_add(b, lo_lin_mul(b, g->team.g, size), lo_lin_mul(b, q, g->lanes));
        bool guard = (k + 1) * g->team.count > g->points;
        if (guard)
            lo_if(b, gpu_below(s, q, g->points));
        lo_store(b, shared, at, lo_get(b, g->column[i], lo_lin_c(k)), 0);
        if (guard)
            lo_end(b);
    }
    lo_barrier(b);
    struct lo_lin q =
        lo_lin_v(b, lo_for(b, LO_SERIAL, lo_lin_v(b, g->thread), lo_lin_c(g->points), g->threads));
    lo_id sum = 0;
    for (int64_t k = 0; k < g->team.group; k++) {
        struct lo_lin at = lo_lin_add(b, lo_lin_mul(b, q, g->lanes), lo_lin_c(k * size));
        lo_id v = lo_load(b, shared, at, g->lanes, 0, 0);
        sum = sum ? sk_combine(s, m, sum, v) : v;
    }
    struct lo_lin to = lo_lin_add(b, lo_lin_mul(b, lo_lin_v(b, g->chunk), g->points), q);
    lo_store(b, g->part[i].value, lo_lin_mul(b, to, g->lanes), sum, 0);
    lo_end(b);
}

void gpu_store_columns(struct gpu *g)
{
    for (uint32_t i = 0; i < g->s->c->members.n; i++)
        if (g->column[i])
            meet_column(g, i);
}

void gpu_finish_columns(struct gpu *g)
{
    struct sk *s = g->s;
    uint32_t n, mark = sk_open(s), count = s->c->members.n;
    lo_id own, *value = xcalloc(count, sizeof *value);
    free(fold_tasks(g, FUSE_ACROSS, &g->inner, g->points, g->blocks, g->lanes, &n, &own));
    uint32_t inside = sk_open(s);
    if (own)
        lo_if(&s->b, own);
    for (uint32_t i = 0; i < count; i++) {
        const struct fuse_member *m = gpu_member(g, i);
        if (m->stored && m->role == FUSE_ACROSS)
            value[i] = g->n.fold[i].value[0];
        else if (m->stored && m->role == FUSE_AFTER)
            value[i] = sk_value(s, sk_member(s, i));
    }
    for (uint32_t i = 0; i < count; i++)
        if (value[i])
            sk_store(s, i, value[i]);
    sk_close(s, inside);
    if (own)
        lo_end(&s->b);
    sk_close(s, mark);
    lo_end(&s->b);
    sk_scalar(s);
    free(value);
}
