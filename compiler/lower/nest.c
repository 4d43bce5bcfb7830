/* Map, row and column clusters: chunks over the outer axes, a row at each of their points (or a
 * block of vectors of points, where the vector axis is an outer one), partial results of folds a
 * chunk, and a last phase that adds them in order. How many chunks there are is decided by shape
 * alone. */
#include "lower/nest.h"

enum { LEAST_WORK = 12000 }; /* vector instructions that are worth a chunk of their own */

/* ---- planning ---- */

static const struct fuse_member *member(const struct nest *n, uint32_t i)
{
    return &n->s->c->members.p[i];
}

/* A fold over outer axes only takes one value a row. */
static bool folds_rows(const struct nest *n, uint32_t i)
{
    const struct fuse_member *m = member(n, i);
    const struct ir_node *x = ir_at(n->s->plan->g, m->node);
    for (uint32_t k = 0; k < x->nd; k++)
        if (m->axis[k] != FUSE_NO_AXIS && m->axis[k] >= n->s->c->outer)
            return false;
    return true;
}

void nest_assign_sweeps(struct nest *n)
{
    uint32_t count = n->s->c->members.n, last = 0;
    n->sweep = xcalloc(count, sizeof *n->sweep);
    for (uint32_t i = 0; i < count; i++) {
        const struct fuse_member *m = member(n, i);
        n->sweep[i] = m->role == FUSE_FOLD && folds_rows(n, i) ? UINT32_MAX : m->level;
        bool swept = m->role == FUSE_REDUCE || m->role == FUSE_ACROSS ||
                     (m->role == FUSE_ELEM && m->stored) ||
                     (m->role == FUSE_FOLD && n->sweep[i] != UINT32_MAX);
        if (swept && m->level > last)
            last = m->level;
    }
    n->sweeps = last + 1;
    for (uint32_t i = 0; i < count; i++)
        if (member(n, i)->role == FUSE_ELEM)
            n->sweep[i] = last;
}

/* Instructions at an innermost point. */
static double point_cost(const struct nest *n)
{
    const struct fuse_cluster *c = n->s->c;
    uint32_t all = (1u << (c->outer + c->inner)) - 1, outer = (1u << c->outer) - 1;
    uint32_t deep = c->inner ? all & ~outer : all;
    double cost = 0;
    for (uint32_t i = 0; i < n->work.n; i++)
        if (n->work.p[i].axes & deep)
            cost += n->work.p[i].cost;
    return cost;
}

static uint32_t folds(const struct nest *n)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->s->c->members.n; i++)
        count += member(n, i)->role == FUSE_REDUCE || member(n, i)->role == FUSE_FOLD;
    return count;
}

/* How many vectors side by side: enough to hide the latency of folding and, along an outer axis, to
 * use whole cache lines of every row; no more than registers allow. */
static void choose_copies(struct nest *n)
{
    uint32_t f = folds(n), copies = n->cost >= 12 ? 1 : 2;
    if (f && nest_v_outer(n))
        copies = n->cost >= 24 ? 2 : f <= 1 ? NEST_COPIES : f <= 2 ? 4 : 2;
    else if (f)
        copies = n->cost < 12 && f <= 2 ? 4 : f <= 4 ? 2 : 1;
    n->copies = 1;
    while (n->v >= 0 && n->copies < copies && n->trip[n->v] >= 2 * (int64_t)n->copies * n->lanes)
        n->copies *= 2;
}

static int64_t product(const struct nest *n, uint32_t from, uint32_t to)
{
    int64_t p = 1;
    for (uint32_t i = from; i < to; i++)
        p *= (int)i == n->v ? 1 : n->trip[i];
    return p;
}

/* ---- phases ---- */

/* What the chunks run over: the outer axes before `split` as one number, or the blocks of the outer
 * vector axis. */
struct plan {
    bool by_blocks;
    uint32_t split;
    int64_t whole; /* full blocks of the outer vector axis */
    struct sk_chunks chunks;
};

/* Parts are one value a chunk: an index alone would not tell which chunk's is best. */
static bool folds_index(const struct nest *n)
{
    for (uint32_t i = 0; i < n->s->c->members.n; i++) {
        const struct ir_node *x = ir_at(n->s->plan->g, member(n, i)->node);
        if (member(n, i)->role == FUSE_FOLD && (x->monoid == IRM_argmax || x->monoid == IRM_argmin))
            return true;
    }
    return false;
}

static struct plan make_plan(const struct nest *n)
{
    const struct fuse_cluster *c = n->s->c;
    struct plan p = {.split = c->outer};
    int64_t rows = product(n, 0, c->outer), blocks = 1, tasks = 1;
    if (nest_v_outer(n)) {
        p.whole = n->trip[n->v] / ((int64_t)n->lanes * n->copies);
        blocks = p.whole;
    }
    if (nest_v_outer(n) && rows < 64 && blocks > rows) {
        p.by_blocks = true;
        tasks = blocks;
    } else {
        for (p.split = 0; p.split < c->outer && tasks < 256 && !n->s->within; p.split++)
            tasks *= (int)p.split == n->v ? 1 : n->trip[p.split];
    }
    double each = n->time / (double)(tasks ? tasks : 1);
    int64_t least = (int64_t)(LEAST_WORK / (each > 1 ? each : 1)) + 1;
    p.chunks = sk_chunks(n->s, tasks, folds_index(n) ? tasks : least);
    return p;
}

/* The rest of the outer vector axis at the current point of the others. */
static void whole_block(struct nest *n, const struct nest_block *b)
{
    n->block = *b;
    nest_row(n);
}

static void rest_block(struct nest *n)
{
    if (nest_rest(n, &n->block))
        nest_row(n);
}

struct walk {
    const struct plan *p;
    struct lo_lin from, to; /* blocks of the vector axis */
    lo_id last;             /* by_blocks, several chunks: this is the last one */
};

static void at_outer(struct nest *n, const struct walk *w)
{
    struct sk *s = n->s;
    if (!nest_v_outer(n)) {
        n->block = (struct nest_block){.copies = 1};
        nest_row(n);
        return;
    }
    struct lo_lin from = w->from, to = w->to;
    if (w->p->whole && n->trip[n->v] == s->x.dim[n->v])
        sk_limited(s, (uint32_t)n->v, (int64_t)n->lanes * n->copies, &from, &to);
    nest_blocks(n, from, to, whole_block);
    uint32_t mark = sk_open(s);
    if (n->trip[n->v] % ((int64_t)n->lanes * n->copies) == 0)
        return;
    if (w->last)
        lo_if(&s->b, w->last);
    rest_block(n);
    sk_close(s, mark);
    if (w->last)
        lo_end(&s->b);
}

/* Loops over outer axes that the chunks do not run over. */
static void outer_loops(struct nest *n, const struct walk *w, uint32_t axis)
{
    struct sk *s = n->s;
    while (axis < s->c->outer && (n->trip[axis] == 1 || (int)axis == n->v))
        axis++;
    if (axis >= s->c->outer) {
        at_outer(n, w);
        return;
    }
    uint32_t mark = sk_open(s);
    struct lo_lin from = lo_lin_c(0), to = lo_lin_c(n->trip[axis]);
    if (n->trip[axis] == s->x.dim[axis])
        sk_limited(s, axis, 1, &from, &to);
    nest_open_run(n, axis, &from, &to);
    sk_for(s, axis, LO_SERIAL, from, to, 1);
    outer_loops(n, w, axis + 1);
    sk_close(s, mark);
    lo_end(&s->b);
    nest_close_run(n, axis);
}

/* Axes before `split` from the number of a task. */
static void decode(struct nest *n, uint32_t split, lo_id task)
{
    struct sk *s = n->s;
    struct lo_type t = {NN_i64, 1};
    uint32_t first = 0;
    while (first < split && (n->trip[first] == 1 || (int)first == n->v))
        first++;
    for (uint32_t i = split; i-- > first;) {
        if (n->trip[i] == 1 || (int)i == n->v)
            continue;
        lo_id size = lo_const_i(&s->b, t, n->trip[i]);
        lo_id at = i == first ? task : lo_op(&s->b, IR_mod, t, task, size, 0);
        sk_axis(s, i, lo_lin_v(&s->b, at));
        if (i != first)
            task = lo_op(&s->b, IR_idiv, t, task, size, 0);
    }
}

static void main_phase(struct nest *n, const struct plan *p)
{
    struct sk *s = n->s;
    struct walk w = {.p = p, .from = lo_lin_c(0), .to = lo_lin_c(p->whole)};
    struct lo_lin from, to;
    lo_id chunk = sk_phase(s, p->chunks, &from, &to);
    nest_start_folds(n);
    for (uint32_t i = 0; i < s->c->outer; i++)
        if (n->trip[i] == 0)
            return;
    if (p->by_blocks) {
        w.from = from;
        w.to = to;
        struct lo_type t = {NN_i64, 1};
        if (p->chunks.chunks > 1)
            w.last = lo_op(&s->b, IR_eq, t, chunk, lo_const_i(&s->b, t, p->chunks.chunks - 1), 0);
        outer_loops(n, &w, 0);
        return;
    }
    if (p->chunks.n == 1 && p->chunks.chunks == 1) {
        outer_loops(n, &w, p->split);
        return;
    }
    uint32_t mark = sk_open(s);
    nest_open_run(n, NEST_TASKS, &from, &to);
    lo_id task = lo_for(&s->b, LO_SERIAL, from, to, 1);
    decode(n, p->split, task);
    uint32_t decoded = ((1u << p->split) - 1) & ~(nest_v_outer(n) ? 1u << n->v : 0);
    lo_id wanted = sk_wanted(s, decoded);
    if (wanted)
        lo_if(&s->b, wanted);
    outer_loops(n, &w, p->split);
    sk_close(s, mark);
    if (wanted)
        lo_end(&s->b);
    lo_end(&s->b);
    nest_close_run(n, NEST_TASKS);
}

/* ---- folds: the end ---- */

void nest_store_last(struct nest *n)
{
    struct sk *s = n->s;
    uint32_t count = s->c->members.n;
    lo_id *value = xcalloc(count, sizeof *value);
    sk_scalar(s);
    for (uint32_t i = 0; i < count; i++) {
        const struct fuse_member *m = member(n, i);
        if (m->stored && m->role == FUSE_FOLD)
            value[i] = n->fold[i].value[0];
        else if (m->stored && m->role == FUSE_FINISH)
            value[i] = sk_value(s, sk_member(s, i));
    }
    for (uint32_t i = 0; i < count; i++)
        if (value[i])
            sk_store(s, i, value[i]);
    free(value);
}

static void end_chunk(struct nest *n, struct lo_lin chunk, bool only)
{
    struct sk *s = n->s;
    sk_scalar(s);
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        if (member(n, i)->role != FUSE_FOLD)
            continue;
        const struct nest_fold *f = &n->fold[i];
        lo_id best = 0, v = nest_end_fold(n, i, &best);
        if (!only) {
            lo_id part = lo_cast(&s->b, nest_part_type(n, i), f->where ? best : v);
            lo_store(&s->b, f->temporary, chunk, part, 0);
            if (f->where)
                lo_store(&s->b, f->where, chunk, v, 0);
            continue;
        }
        n->fold[i].value[0] = f->index ? v : lo_cast(&s->b, nest_folded_type(n, i), v);
        sk_bind(s, member(n, i)->node, n->fold[i].value[0]);
    }
    if (only)
        nest_store_last(n);
}

/* The chunks' parts of fold i in order; `best`: the least index of those whose value it is. */
static lo_id fold_parts(struct nest *n, uint32_t i, int64_t chunks, lo_id best)
{
    struct lo_builder *b = &n->s->b;
    const struct nest_fold *f = &n->fold[i];
    enum ir_monoid m = nest_value_monoid(ir_at(n->s->plan->g, member(n, i)->node)->monoid);
    struct lo_type t = {best ? NN_i32 : (uint8_t)nest_part_type(n, i), 1};
    uint32_t reg = lo_buffer(b->k, LO_REG, best ? "best" : "sum", t, 1);
    lo_id c = 0, v = 0;
    for (int k = 0; k < 2; k++) { /* the first part, then a loop over the others */
        if (k)
            c = lo_for(b, LO_SERIAL, lo_lin_c(1), lo_lin_c(chunks), 1);
        struct lo_lin at = k ? lo_lin_v(b, c) : lo_lin_c(0);
        v = lo_load(b, f->temporary, at, 1, 0, 0);
        if (best)
            v = nest_index_where(b, v, best, lo_load(b, f->where, at, 1, 0, 0));
        if (k)
            v = sk_combine(n->s, best ? IRM_min : m, lo_get(b, reg, lo_lin_c(0)), v);
        lo_set(b, reg, lo_lin_c(0), v);
    }
    lo_end(b);
    return lo_get(b, reg, lo_lin_c(0));
}

static void finish_phase(struct nest *n, int64_t chunks)
{
    struct sk *s = n->s;
    lo_phase(&s->b, 1);
    uint32_t mark = sk_open(s);
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        if (member(n, i)->role != FUSE_FOLD)
            continue;
        struct nest_fold *f = &n->fold[i];
        f->value[0] = lo_cast(&s->b, nest_folded_type(n, i), fold_parts(n, i, chunks, 0));
        if (f->where)
            f->value[0] = fold_parts(n, i, chunks, f->value[0]);
        sk_bind(s, member(n, i)->node, f->value[0]);
    }
    nest_store_last(n);
    sk_close(s, mark);
    lo_end(&s->b);
}

bool nest_has_folds(const struct nest *n)
{
    for (uint32_t i = 0; i < n->s->c->members.n; i++)
        if (member(n, i)->role == FUSE_FOLD)
            return true;
    return false;
}

static void make_temporaries(struct nest *n, int64_t chunks)
{
    for (uint32_t i = 0; i < n->s->c->members.n; i++) {
        if (member(n, i)->role != FUSE_FOLD || chunks == 1)
            continue;
        const struct ir_node *x = ir_at(n->s->plan->g, member(n, i)->node);
        n->fold[i].temporary = sk_temporary(n->s, "part", nest_part_type(n, i), chunks);
        if (x->monoid == IRM_argmax || x->monoid == IRM_argmin)
            n->fold[i].where = sk_temporary(n->s, "index", NN_i32, chunks);
    }
}

void sk_nest(struct sk *s)
{
    struct nest n = {.s = s, .v = -1, .lanes = 1, .copies = 1};
    n.fold = xcalloc(s->c->members.n, sizeof *n.fold);
    nest_survey(&n);
    nest_merge_axes(&n);
    nest_choose_vector(&n);
    nest_assign_sweeps(&n);
    n.cost = point_cost(&n);
    choose_copies(&n);
    struct plan p = make_plan(&n);
    bool fold = nest_has_folds(&n), only = p.chunks.chunks == 1;
    nest_choose_runs(&n, p.by_blocks ? p.chunks.per : p.whole, p.by_blocks ? 0 : p.split,
                     p.by_blocks ? 1 : p.chunks.per);
    make_temporaries(&n, p.chunks.chunks);
    nest_make_folds(&n);
    nest_hold(&n);
    uint32_t mark = sk_open(s);
    main_phase(&n, &p);
    if (fold)
        end_chunk(&n, lo_lin_v(&s->b, vec_last(&s->b.k->phases).chunk), only);
    sk_close(s, mark);
    sk_phase_end(s);
    sk_scalar(s);
    if (fold && !only)
        finish_phase(&n, p.chunks.chunks);
    vec_free(&n.access);
    vec_free(&n.work);
    free(n.sweep);
    free(n.fold);
    free(n.first);
}
