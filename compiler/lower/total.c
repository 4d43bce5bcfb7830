/* Long sums in two levels. Numbers added one after another in f32 lose digits with their count, and
 * all in one direction where they are alike. So what an accumulator takes in goes, some additions
 * at a time, to a total in f64 of its own: the loop in which the count passes RUN is cut into runs
 * of iterations, and behind each run the accumulators are emptied. That decides an order by shape
 * alone, costs a few instructions a run, and nothing where sums are short. Parts of chunks are
 * added in f64, too. */
#include "lower/nest.h"

enum { RUN = 32 };

static const struct fuse_member *member(const struct nest *n, uint32_t i)
{
    return &n->s->c->members.p[i];
}

static bool is_sum(struct nest *n, uint32_t i)
{
    const struct ir_node *x = ir_at(n->s->plan->g, member(n, i)->node);
    return x->op == IR_reduce && x->monoid == IRM_sum && nest_folded_type(n, i) == NN_f32;
}

static bool swept(const struct nest *n, uint32_t i) { return n->sweep[i] != UINT32_MAX; }

/* ---- which loop is cut ---- */

/* A loop around what takes in `each`: true if it is cut. */
static bool cut(struct nest *n, uint32_t loop, int64_t trip, int64_t *each)
{
    if (trip <= 1 || trip * *each <= 2 * RUN) {
        *each *= trip < 1 ? 1 : trip;
        return false;
    }
    n->run[loop] = sk_run_length(trip, *each, RUN);
    return true;
}

static int64_t vectors(const struct nest *n)
{
    return n->trip[n->v] / ((int64_t)n->lanes * n->copies);
}

/* Loops over a row, from the innermost outwards; *each: what an accumulator takes in a row. */
static bool cut_row(struct nest *n, int64_t *each)
{
    const struct fuse_cluster *c = n->s->c;
    *each = 1;
    if (nest_v_inner(n) && cut(n, (uint32_t)n->v, vectors(n), each))
        return true;
    for (uint32_t i = c->outer + c->inner; i-- > c->outer;)
        if ((int)i != n->v && cut(n, i, n->trip[i], each))
            return true;
    return false;
}

/* Loops around the rows of a chunk: blocks of an outer vector axis, axes from `split` on, tasks. */
static void cut_chunk(struct nest *n, int64_t each, int64_t blocks, uint32_t split, int64_t tasks)
{
    if (nest_v_outer(n) && cut(n, (uint32_t)n->v, blocks, &each))
        return;
    for (uint32_t i = n->s->c->outer; i-- > split;)
        if ((int)i != n->v && cut(n, i, n->trip[i], &each))
            return;
    cut(n, NEST_TASKS, tasks, &each);
}

void nest_choose_runs(struct nest *n, int64_t blocks, uint32_t split, int64_t tasks)
{
    bool sums = false;
    int64_t row, each = 0;
    for (uint32_t i = 0; i < n->s->c->members.n; i++)
        sums = sums || is_sum(n, i);
    if (!sums)
        return;
    n->row_cut = cut_row(n, &row);
    for (uint32_t i = 0; i < n->s->c->members.n; i++) {
        if (member(n, i)->role != FUSE_FOLD || !is_sum(n, i))
            continue;
        int64_t own = !swept(n, i) ? 1 : n->row_cut ? 0 : row;
        each = own > each ? own : each;
    }
    if (each)
        cut_chunk(n, each, blocks, split, tasks);
}

/* ---- totals ---- */

/* Where it has a total: whether that takes in something within a row, else behind rows. */
static bool fills_in_row(const struct nest *n, uint32_t i)
{
    return n->row_cut && (member(n, i)->role == FUSE_REDUCE || swept(n, i));
}

static bool cut_chunks(const struct nest *n)
{
    for (uint32_t i = 0; i <= NEST_TASKS; i++)
        if (n->run[i] && (i < n->s->c->outer || i == NEST_TASKS))
            return true;
    return false;
}

/* One result of all copies, or one each. */
static bool one_result(const struct nest *n, uint32_t i)
{
    return member(n, i)->role == FUSE_FOLD || !nest_v_outer(n);
}

void nest_make_total(struct nest *n, uint32_t i)
{
    bool fold = member(n, i)->role == FUSE_FOLD;
    if (!is_sum(n, i) || !(fills_in_row(n, i) || (fold && cut_chunks(n))))
        return;
    struct lo_kernel *k = n->s->b.k;
    struct lo_type t = {NN_f64, k->buffers.p[n->fold[i].reg].type.lanes};
    n->fold[i].total = lo_buffer(k, LO_REG, "total", t, one_result(n, i) ? 1 : n->copies);
}

void nest_start_total(struct nest *n, uint32_t i, uint32_t copies)
{
    struct lo_builder *b = &n->s->b;
    uint32_t total = n->fold[i].total;
    lo_id zero = lo_const_f(b, b->k->buffers.p[total].type, 0);
    for (uint32_t u = 0; u < (one_result(n, i) ? 1 : copies); u++)
        lo_set(b, total, lo_lin_c(u), zero);
}

void nest_fill_total(struct nest *n, uint32_t i, uint32_t copies)
{
    struct lo_builder *b = &n->s->b;
    const struct nest_fold *f = &n->fold[i];
    lo_id v[NEST_COPIES], zero = lo_const_f(b, b->k->buffers.p[f->reg].type, 0);
    for (uint32_t u = 0; u < copies; u++) {
        v[u] = lo_get(b, f->reg, lo_lin_c(u));
        lo_set(b, f->reg, lo_lin_c(u), zero);
    }
    for (uint32_t step = 1; one_result(n, i) && step < copies; step *= 2)
        for (uint32_t u = 0; u + step < copies; u += 2 * step)
            v[u] = sk_combine(n->s, IRM_sum, v[u], v[u + step]);
    for (uint32_t u = 0; u < (one_result(n, i) ? 1 : copies); u++) {
        lo_id had = lo_get(b, f->total, lo_lin_c(u));
        lo_set(b, f->total, lo_lin_c(u), sk_combine(n->s, IRM_sum, had, lo_cast(b, NN_f64, v[u])));
    }
}

enum nn_dtype nest_part_type(struct nest *n, uint32_t i)
{
    return is_sum(n, i) ? NN_f64 : nest_folded_type(n, i);
}

/* ---- runs ---- */

void nest_open_run(struct nest *n, uint32_t loop, struct lo_lin *from, struct lo_lin *to)
{
    if (n->run[loop])
        sk_open_run(n->s, n->run[loop], 1, from, to);
}

void nest_close_run(struct nest *n, uint32_t loop)
{
    if (!n->run[loop])
        return;
    bool inner = loop >= n->s->c->outer && loop != NEST_TASKS;
    for (uint32_t i = 0; i < n->s->c->members.n; i++) {
        bool mine = inner ? nest_in_sweep(n, i, n->current) : !fills_in_row(n, i);
        if (n->fold[i].total && mine)
            nest_fill_total(n, i, nest_fold_copies(n, i));
    }
    lo_end(&n->s->b);
}
