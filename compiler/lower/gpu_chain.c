/* Chains on a GPU (attention): a block of threads has a block of rows at one place of the other
 * rows' axes. The stages run one after another over it: contractions by tiles, rows by a warp each,
 * the rest by all threads; what is between them lies in shared memory. */
#include "lower/gpu_contract.h"

#define I64 ((struct lo_type){NN_i64, 1})
enum { THREADS = 128, WARPS = THREADS / 32 };

static lo_id number(struct sk *s, int64_t v) { return lo_const_i(&s->b, I64, v); }

static lo_id below(struct sk *s, struct lo_lin l, int64_t n)
{
    return lo_op(&s->b, IR_lt, I64, lo_value(&s->b, l), number(s, n), 0);
}

/* x / q and *rest, by operators whose ranges are known. */
static lo_id split(struct sk *s, lo_id x, int64_t q, lo_id *rest)
{
    *rest = lo_op(&s->b, IR_mod, I64, x, number(s, q), 0);
    return lo_op(&s->b, IR_idiv, I64, x, number(s, q), 0);
}

/* Axes from..to of the space where the flat number says, the last one running fastest. */
static void stand(struct sk *s, uint32_t from, uint32_t to, lo_id flat)
{
    for (uint32_t i = to; i-- > from;) {
        lo_id rest = flat;
        if (i > from)
            flat = split(s, flat, s->x.dim[i], &rest);
        sk_axis(s, i, lo_lin_v(&s->b, rest));
    }
}

static int64_t points(const struct sk *s, uint32_t from, uint32_t to)
{
    int64_t n = 1;
    for (uint32_t i = from; i < to; i++)
        n *= s->x.dim[i];
    return n;
}

/* ---- rows: a warp each ---- */

static bool in_sweep(const struct sk *s, uint32_t i, enum fuse_role role, uint32_t level)
{
    const struct fuse_member *m = &s->c->members.p[i];
    return m->role == (uint8_t)role && m->level == level && (m->stored || role == FUSE_REDUCE);
}

/* Adds this point to the sums, stores what is computed of it. */
static void point(struct sk *s, const uint32_t *reg, uint32_t level)
{
    struct lo_builder *b = &s->b;
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        const struct ir_node *n = ir_at(s->plan->g, s->c->members.p[i].node);
        if (in_sweep(s, i, FUSE_REDUCE, level)) {
            lo_id v = sk_value(s, sk_member(s, i));
            lo_id old = lo_get(b, reg[i], lo_lin_c(0));
            lo_set(b, reg[i], lo_lin_c(0), sk_combine(s, (enum ir_monoid)n->monoid, old, v));
        } else if (in_sweep(s, i, FUSE_ELEM, level)) {
            sk_store(s, i, sk_value(s, sk_member(s, i)));
        }
    }
}

/* What of the row is known after the sweep: sums to all lanes, and stored by the first. */
static void row_end(struct sk *s, const uint32_t *reg, uint32_t level, lo_id first)
{
    struct lo_builder *b = &s->b;
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        ir_id node = s->c->members.p[i].node;
        bool reduced = in_sweep(s, i, FUSE_REDUCE, level);
        if (!reduced && !in_sweep(s, i, FUSE_KEPT, level))
            continue;
        lo_id v = 0;
        if (reduced) {
            v = lo_get(b, reg[i], lo_lin_c(0));
            v = lo_warp_fold(b, (enum ir_monoid)ir_at(s->plan->g, node)->monoid, v, 32);
            sk_bind(s, node, v);
        }
        if (!s->c->members.p[i].stored)
            continue;
        uint32_t mark = sk_open(s);
        lo_if(b, first);
        sk_store(s, i, reduced ? v : sk_value(s, sk_member(s, i)));
        lo_end(b);
        sk_close(s, mark);
    }
}

static void sweep(struct sk *s, const uint32_t *reg, uint32_t level, lo_id lane, lo_id live)
{
    struct lo_builder *b = &s->b;
    uint32_t from = s->c->outer, to = s->c->outer + s->c->inner;
    int64_t n = points(s, from, to);
    for (uint32_t i = 0; i < s->c->members.n; i++)
        if (in_sweep(s, i, FUSE_REDUCE, level)) {
            const struct ir_node *r = ir_at(s->plan->g, s->c->members.p[i].node);
            lo_set(b, reg[i], lo_lin_c(0),
                   sk_identity(s, (enum ir_monoid)r->monoid, (enum nn_dtype)r->dtype, 1));
        }
    uint32_t mark = sk_open(s);
    lo_id i = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c((n + 31) / 32), 1);
    struct lo_lin at = lo_lin_add(b, lo_lin_v(b, lane), lo_lin_mul(b, lo_lin_v(b, i), 32));
    lo_id inside = lo_op(b, IR_and, (struct lo_type){NN_bool, 1}, live, below(s, at, n), 0);
    lo_if(b, inside);
    stand(s, from, to, lo_value(b, at));
    point(s, reg, level);
    lo_end(b);
    lo_end(b);
    sk_close(s, mark);
}

static void stage_rows(struct sk *s)
{
    struct lo_builder *b = &s->b;
    int64_t rows = points(s, 0, s->c->outer);
    uint32_t levels = 0, *reg = xcalloc(s->c->members.n, sizeof *reg), mark = sk_open(s);
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        const struct fuse_member *m = &s->c->members.p[i];
        levels = m->level > levels ? m->level : levels;
        enum nn_dtype t = sk_compute_type((enum nn_dtype)ir_at(s->plan->g, m->node)->dtype);
        if (m->role == FUSE_REDUCE)
            reg[i] = lo_buffer(b->k, LO_REG, "fold", (struct lo_type){(uint8_t)t, 1}, 1);
    }
    lo_id lane, warp = split(s, lo_thread(b), 32, &lane);
    lo_id i = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c((rows + WARPS - 1) / WARPS), 1);
    struct lo_lin row = lo_lin_add(b, lo_lin_v(b, warp), lo_lin_mul(b, lo_lin_v(b, i), WARPS));
    lo_id live = below(s, row, rows);
    if (rows % WARPS)
        row = lo_lin_v(b, lo_op(b, IR_min, I64, lo_value(b, row), number(s, rows - 1), 0));
    stand(s, 0, s->c->outer, lo_value(b, row));
    lo_id first = lo_op(b, IR_eq, I64, lane, number(s, 0), 0);
    first = lo_op(b, IR_and, (struct lo_type){NN_bool, 1}, live, first, 0);
    for (uint32_t level = 0; level <= levels; level++) {
        sweep(s, reg, level, lane, live);
        row_end(s, reg, level, first);
    }
    for (uint32_t k = 0; k < s->c->members.n; k++)
        if (reg[k])
            sk_bind(s, s->c->members.p[k].node, 0);
    lo_end(b);
    sk_close(s, mark);
    free(reg);
}

/* ---- points ---- */

static void stage_points(struct sk *s)
{
    struct lo_builder *b = &s->b;
    uint32_t axes = s->c->outer + s->c->inner;
    int64_t n = points(s, 0, axes);
    uint32_t mark = sk_open(s);
    lo_id i = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c((n + THREADS - 1) / THREADS), 1);
    struct lo_lin at =
        lo_lin_add(b, lo_lin_v(b, lo_thread(b)), lo_lin_mul(b, lo_lin_v(b, i), THREADS));
    lo_if(b, below(s, at, n));
    stand(s, 0, axes, lo_value(b, at));
    lo_id *value = xcalloc(s->c->members.n, sizeof *value);
    for (uint32_t k = 0; k < s->c->members.n; k++)
        if (s->c->members.p[k].stored)
            value[k] = sk_value(s, sk_member(s, k));
    for (uint32_t k = 0; k < s->c->members.n; k++)
        if (value[k])
            sk_store(s, k, value[k]);
    free(value);
    lo_end(b);
    lo_end(b);
    sk_close(s, mark);
}

/* ---- the chain ---- */

struct gpu_chain {
    struct sk *s;
    uint32_t *buf;              /* of each node that the chain keeps */
    struct gc_room whole, half; /* of tiles of f32, and of 16-bit ones */
};

static void keep(struct gc_room *all, const struct gc_room *one)
{
    all->elements = one->elements > all->elements ? one->elements : all->elements;
    all->sums = one->sums > all->sums ? one->sums : all->sums;
}

/* A stage over `rows` rows of the block that begins at `at` (NULL: only what room it needs). */
static void stage(struct gpu_chain *g, const struct fuse_cluster *from,
                  const struct fx_local *local, const struct lo_lin *at, int64_t rows)
{
    const struct fuse_cluster *c = g->s->c;
    struct fuse_cluster one = *from;
    struct sk s;
    one.local = local;
    one.dim[one.split] = rows;
    one.dim[one.outer + one.inner + one.fixed - 1] = c->dim[c->outer - 1] - rows + 1;
    sk_begin_stage(&s, g->s, &one, g->buf);
    for (uint32_t k = 0; at && k < c->outer; k++)
        sk_axis(&s, one.outer + one.inner + k, at[k]);
    struct gc_room room = {0};
    bool contract = one.skeleton == FUSE_CONTRACT && gc_room_within(&s, THREADS, &room);
    if (!at && contract) {
        keep(room.half ? &g->half : &g->whole, &room);
    } else if (at && contract) {
        gc_contract_within(&s, THREADS, room.half ? &g->half : &g->whole);
    } else if (at) {
        lo_barrier(&s.b);
        if (one.skeleton == FUSE_MAP)
            stage_points(&s);
        else
            stage_rows(&s);
    }
    sk_end_stage(&s, g->s);
}

static void stages(struct gpu_chain *g, const struct lo_lin *at, int64_t rows)
{
    const struct fuse_cluster *c = g->s->c;
    struct fx_local *local = xcalloc(c->nlocal, sizeof *local);
    for (uint32_t i = 0; i < c->nlocal; i++) {
        local[i] = c->local[i];
        local[i].dim[local[i].split] = rows;
    }
    for (uint32_t i = 0; i < c->stages.n; i++)
        stage(g, &c->stages.p[i], local, at, rows);
    free(local);
}

static void make_shared(struct gpu_chain *g)
{
    struct sk *s = g->s;
    const struct fuse_cluster *c = s->c;
    for (uint32_t i = 0; i < c->nlocal; i++) {
        const struct fx_local *l = &c->local[i];
        const struct ir_node *n = ir_at(s->plan->g, l->node);
        int64_t count = 1;
        for (uint32_t k = 0; k < ir_rank(n); k++)
            count *= l->dim[k];
        g->buf[l->node] =
            lo_buffer(s->b.k, LO_SHARED, "block", (struct lo_type){n->dtype, 1}, count);
    }
    int64_t rest = c->dim[c->outer - 1] % c->block;
    stages(g, NULL, c->block);
    if (rest)
        stages(g, NULL, rest);
    int64_t sums = g->whole.elements > g->half.sums ? g->whole.elements : g->half.sums;
    if (sums)
        g->whole.tiles = lo_buffer(s->b.k, LO_SHARED, "tiles", (struct lo_type){NN_f32, 1}, sums);
    g->whole.slab = g->half.slab = g->whole.tiles;
}

void sk_gpu_chain(struct sk *s)
{
    struct lo_builder *b = &s->b;
    const struct fuse_cluster *c = s->c;
    struct gpu_chain g = {.s = s, .buf = xcalloc(s->plan->g->nodes.n, sizeof *g.buf)};
    int64_t n = c->dim[c->outer - 1], blocks = (n + c->block - 1) / c->block, tasks = blocks;
    for (uint32_t i = 0; i + 1 < c->outer; i++)
        tasks *= c->dim[i];
    make_shared(&g);
    struct lo_lin at[IR_MAX_AXES];
    lo_id block, task = split(s, lo_phase_gpu(b, tasks, THREADS), blocks, &block);
    for (uint32_t i = c->outer - 1; i-- > 0;) {
        lo_id rest = task;
        if (i)
            task = split(s, task, c->dim[i], &rest);
        at[i] = lo_lin_v(b, rest);
    }
    at[c->outer - 1] = lo_lin_mul(b, lo_lin_v(b, block), c->block);
    lo_id wanted = 0;
    for (uint32_t i = 0; i < c->outer; i++)
        wanted = sk_reaches(s, &i, &c->dim[i], 1, 0, at[i], 1, wanted);
    if (wanted)
        lo_if(b, wanted);
    bool rest = n % c->block != 0;
    if (rest)
        lo_if(b, below(s, lo_lin_v(b, block), blocks - 1));
    stages(&g, at, c->block);
    if (rest) {
        lo_else(b);
        stages(&g, at, n % c->block);
        lo_end(b);
    }
    if (wanted)
        lo_end(b);
    lo_end(b);
    sk_chain_figures(s);
    free(g.buf);
}
