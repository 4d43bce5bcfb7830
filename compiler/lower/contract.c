/* The contract skeleton: sums of products over shared axes, where some axes of the result belong to
 * one factor only and some to the other: matmul, convolution and its two gradients, a researcher's
 * notation. There is no im2col: a factor is read at addresses, or through the index expressions and
 * conditions of its whole prologue, by the tile that wants it.
 *
 * What is decided here comes from the shape and the level alone, never from the machine's threads:
 * which order a sum has (the form, and in the dot form the lanes) and how tasks are cut. */
#include "lower/contract.h"

/* ---- the classes ---- */

static void add_axis(struct con_axes *list, uint32_t axis) { list->axis[list->n++] = axis; }

static bool has(uint32_t mask, uint32_t axis) { return mask >> axis & 1; }

/* The axis of the mask with the most points, 32 if the mask is empty. */
static uint32_t largest(const struct con *c, uint32_t mask)
{
    uint32_t best = 32;
    for (uint32_t i = 0; i < c->s->x.n; i++)
        if (has(mask, i) && (best == 32 || con_dim(c, i) > con_dim(c, best)))
            best = i;
    return best;
}

static uint32_t last_of(uint32_t mask) { return 31 - (uint32_t)__builtin_clz(mask); }

/* ---- what reads cost along an axis ---- */

struct reads {
    const struct sk *s;
    uint32_t axis;
    int along, across; /* loads with stride 1 or 0; others */
};

static void count_read(void *ctx, const struct fx *x, fx_id id)
{
    struct reads *r = ctx;
    const struct fx_val *v = &x->val.p[id];
    if (v->kind != FX_LOAD)
        return;
    if (sk_stride(r->s, v->at, r->axis) < 0)
        r->across++;
    else
        r->along++;
}

/* Whether all loads below the value are contiguous (or constant) along the axis. */
static bool contiguous(const struct con *c, fx_id v, uint32_t axis)
{
    struct reads r = {c->s, axis, 0, 0};
    uint8_t *seen = xcalloc(c->s->x.val.n, 1);
    fx_walk(&c->s->x, v, seen, count_read, &r);
    free(seen);
    return !r.across;
}

/* A plain load of the accumulators' type, without conditions. */
static bool plain(const struct con *c, fx_id v)
{
    const struct fx_val *x = &c->s->x.val.p[v];
    return x->kind == FX_LOAD && x->dtype == c->acc.dtype && !x->cond;
}

/* Conditions below the value that the axis takes part in. */
struct guards {
    uint32_t axis;
    bool found;
};

static void find_guard(void *ctx, const struct fx *x, fx_id id)
{
    struct guards *g = ctx;
    const struct fx_val *v = &x->val.p[id];
    if (has(x->cond.p[v->cond].axes | x->cond.p[v->pick].axes, g->axis))
        g->found = true;
}

static bool guarded(const struct con *c, fx_id v, uint32_t axis)
{
    struct guards g = {axis, false};
    uint8_t *seen = xcalloc(c->s->x.val.n, 1);
    fx_walk(&c->s->x, v, seen, find_guard, &g);
    free(seen);
    return g.found;
}

/* ---- tiles ---- */

/* Cycles that a step over k takes for a tile of a by b vectors: two fma, two loads a cycle, and a
 * sum may only go on after four. */
static double step_cycles(int64_t a, int64_t b)
{
    double fma = (double)(a * b) / 2, loads = (double)(a + b) / 2;
    double t = fma > loads ? fma : loads;
    return t > 4 ? t : 4;
}

static bool fits(const struct con *c, int64_t a, int64_t b)
{
    int64_t least = a < b ? a : b;
    return a * b + least + 1 <= c->s->t->vector_registers;
}

/* Rows and slots of the outer form: the least cycles for the whole result. */
static void choose_outer_tile(struct con *c)
{
    int64_t m = con_dim(c, c->r), vecs = con_ceil(con_dim(c, c->v), c->acc.lanes);
    int64_t us = c->u != c->v ? con_dim(c, c->u) : 1;
    double best = -1;
    for (int64_t su = 1; su <= us && su <= 4; su++)
        for (int64_t sv = 1; sv <= vecs && su * sv <= 6; sv++) {
            if (us % su || (su > 1 && sv < vecs))
                continue;
            for (int64_t rows = 1; rows <= m && fits(c, rows, su * sv); rows++) {
                double t = (double)con_ceil(m, rows) * (double)con_ceil(vecs, sv) *
                           (double)(us / su) * step_cycles(rows, su * sv);
                bool nicer = best >= 0 && t == best && su * sv * c->acc.lanes <= c->s->t->nr;
                if (best < 0 || t < best || nicer) {
                    best = t;
                    c->rows = rows;
                    c->su = su;
                    c->sv = sv;
                }
            }
        }
}

/* Rows and columns of the dot form. */
static void choose_dot_tile(struct con *c)
{
    int64_t m = con_dim(c, c->r), n = con_dim(c, c->v);
    double best = -1;
    for (int64_t cols = 1; cols <= n && cols <= 8; cols++)
        for (int64_t rows = 1; rows <= m && fits(c, rows, cols); rows++) {
            double t =
                (double)con_ceil(m, rows) * (double)con_ceil(n, cols) * step_cycles(rows, cols);
            if (best < 0 || t < best) {
                best = t;
                c->rows = rows;
                c->cols = cols;
            }
        }
    int64_t want = 2 * c->acc.lanes;
    c->block = n <= want ? n : c->cols * con_ceil(want, c->cols);
}

/* ---- deciding ---- */

static bool classify(struct con *c, const struct fuse_contraction *f)
{
    struct sk *s = c->s;
    uint32_t outer = f->batch | f->m | f->n;
    c->v = last_of(outer);
    if (has(f->batch, c->v))
        return false;
    bool right = has(f->n, c->v);
    c->row = right ? f->a : f->b;
    c->col = right ? f->b : f->a;
    uint32_t row_axes = right ? f->m : f->n, col_axes = right ? f->n : f->m;
    c->r = largest(c, row_axes);
    c->u = c->v;
    for (uint32_t i = 0; i < s->x.n; i++) {
        if (has(f->k | f->ka | f->kb, i))
            add_axis(&c->k, i);
        if (has(f->batch | col_axes, i) && i != c->v)
            add_axis(&c->walk, i);
        if (has(row_axes, i) && i != c->r)
            add_axis(&c->rest, i);
    }
    c->vector_k = c->k.axis[c->k.n - 1];
    c->depth = 1;
    for (uint32_t i = 0; i < c->k.n; i++)
        c->depth *= con_dim(c, c->k.axis[i]);
    return true;
}

/* Sums along k where the columns lie apart in memory, or are fewer than the lanes: if k is long and
 * both factors follow it. Many rows make it worth to turn the columns once, in the panel. */
static bool wants_dot(const struct con *c)
{
    int64_t lanes = c->acc.lanes, n = con_dim(c, c->v), k = con_dim(c, c->vector_k);
    if (k < lanes || !contiguous(c, c->col, c->vector_k) || !contiguous(c, c->row, c->vector_k))
        return false;
    if (contiguous(c, c->col, c->v))
        return n < lanes;
    return n < lanes || con_dim(c, c->r) < 256;
}

/* The second axis for slots: where one vector covers v. Conditions on it would differ by slot. */
static void choose_second(struct con *c)
{
    int64_t lanes = c->acc.lanes;
    if (con_dim(c, c->v) > lanes || !c->walk.n)
        return;
    uint32_t u = c->walk.axis[c->walk.n - 1];
    if (has(c->s->x.val.p[c->row].axes, u) || guarded(c, c->col, u))
        return;
    c->u = u;
    choose_outer_tile(c);
    if (c->su == 1)
        c->u = c->v;
    else
        c->walk.n--;
}

/* Whether columns go through a panel: what is computed or gathered, is used by several tiles; and
 * plain rows of memory that lie far apart, when there are enough of them to crowd each other out.
 */
static bool wants_panel(const struct con *c)
{
    int64_t tiles = con_ceil(con_dim(c, c->r), c->rows);
    for (uint32_t i = 0; i < c->rest.n; i++)
        tiles *= con_dim(c, c->rest.axis[i]);
    if (tiles < 2)
        return false;
    if (!plain(c, c->col) || !contiguous(c, c->col, c->v))
        return true;
    int64_t step = ix_coef(c->s->x.val.p[c->col].at, c->vector_k);
    return c->depth >= 64 && tiles >= 4 && (step >= 64 || step <= -64);
}

/* Rows of memory of which a step over k takes a few elements each, in many places. */
static bool crowded_rows(const struct con *c)
{
    if (c->form == CON_DOT || !contiguous(c, c->row, c->r) || c->depth < 64 || c->v_tiles < 4)
        return false;
    int64_t step = ix_coef(c->s->x.val.p[c->row].at, c->vector_k);
    return step >= 64 || step <= -64;
}

/* A temporary for the rows where they are computed or crowded, in the order that tiles read them.
 */
static void choose_copy(struct con *c)
{
    if (plain(c, c->row) && !crowded_rows(c))
        return;
    c->copy = true;
    c->copy_k =
        c->form == CON_DOT || contiguous(c, c->row, c->vector_k) || !contiguous(c, c->row, c->r);
    int64_t n = c->copy_k ? 1 : c->rows;
    for (uint32_t i = c->k.n; i-- > 0;) {
        c->copy_stride[c->k.axis[i]] = n;
        n *= con_dim(c, c->k.axis[i]);
    }
    if (!c->copy_k)
        n *= c->r_tiles;
    for (uint32_t i = c->s->x.n; i-- > 0;) {
        bool mine = has(c->s->x.val.p[c->row].axes, i) && !c->copy_stride[i];
        if (!mine || (i == c->r && !c->copy_k))
            continue;
        c->copy_stride[i] = n;
        n *= con_dim(c, i);
    }
    c->copy_count = n;
}

static void count_tiles(struct con *c)
{
    c->v_size = c->form == CON_DOT ? c->block : c->sv * c->acc.lanes;
    c->v_tiles = con_ceil(con_dim(c, c->v), c->v_size);
    c->v_rest = con_dim(c, c->v) % c->v_size;
    c->u_tiles = c->u != c->v ? con_dim(c, c->u) / c->su : 1;
    c->r_tiles = con_ceil(con_dim(c, c->r), c->rows);
    c->rests = 1;
    for (uint32_t i = 0; i < c->rest.n; i++)
        c->rests *= con_dim(c, c->rest.axis[i]);
    c->tasks = c->v_tiles * c->u_tiles;
    for (uint32_t i = 0; i < c->walk.n; i++)
        c->tasks *= con_dim(c, c->walk.axis[i]);
}

/* Elements of the sums of one task. */
static int64_t task_sums(const struct con *c)
{
    int64_t regs = c->form == CON_DOT ? con_ceil(c->block, c->cols) * c->cols : c->su * c->sv;
    return c->rests * c->part_tiles * c->rows * regs * c->acc.lanes;
}

/* Blocks of k, where all of k would not stay in the first caches: in the outer form some 512
 * points, so that a panel of columns and a tile's rows fit. In the dot form, where several axes are
 * folded (images, of which weight gradients share what they read): 64 vectors, enough to pay for
 * moving the sums. */
static void choose_keep(struct con *c)
{
    int64_t first = con_dim(c, c->k.axis[0]), rest = c->depth / (first ? first : 1);
    if (c->form == CON_OUTER) {
        c->block_k = 512 / (rest ? rest : 1);
        c->block_k = c->block_k < 1 ? 1 : c->block_k;
        c->keep = c->depth >= 1024 && c->block_k < first;
        return;
    }
    if (c->k.n < 2)
        return;
    int64_t n = con_dim(c, c->vector_k), vectors = con_ceil(n, c->acc.lanes);
    c->block_k = con_ceil(64, rest / (n ? n : 1) * vectors);
    c->keep = c->block_k < first;
    c->pack = c->keep && c->r_tiles * c->rests >= 3 &&
              !(plain(c, c->col) && contiguous(c, c->col, c->vector_k));
}

/* Parts of r where there are few tasks, but so that a panel serves some tiles; chunks of some
 * 20,000 cycles at least. Tasks that share blocks of k are best in one chunk. */
static void cut(struct con *c)
{
    int64_t few = c->keep ? con_ceil(c->tasks, 8) : c->tasks;
    int64_t most = c->pack ? con_ceil(c->r_tiles, 4) : c->r_tiles;
    int64_t want = few >= 16 || few == 0 ? 1 : con_ceil(16, few);
    want = want > most ? most : want;
    c->part_tiles = con_ceil(c->r_tiles, want > 0 ? want : 1);
    c->parts = con_ceil(c->r_tiles, c->part_tiles > 0 ? c->part_tiles : 1);
    double cycles = (double)(c->depth * c->part_tiles * c->rests * c->rows) *
                    (double)(c->form == CON_DOT ? c->block : c->su * c->sv * c->acc.lanes) /
                    c->acc.lanes / 2;
    int64_t least = (int64_t)(20000 / (cycles > 1 ? cycles : 1)) + 1;
    int64_t chunks = c->s->t->max_chunks / (c->parts ? c->parts : 1) / (c->keep ? 2 : 1);
    c->chunk_tasks = con_ceil(c->tasks, chunks > 0 ? chunks : 1);
    c->chunk_tasks = c->chunk_tasks < least ? least : c->chunk_tasks;
    c->chunk_tasks = c->chunk_tasks > c->tasks && c->tasks ? c->tasks : c->chunk_tasks;
    c->chunks = con_ceil(c->tasks, c->chunk_tasks);
}

/* How many tasks go over a block of k together: what their sums and panels have room for. */
static void choose_group(struct con *c)
{
    if (task_sums(c) > 1 << 20)
        c->keep = c->form == CON_OUTER && c->chunk_tasks == 1 && task_sums(c) <= 1 << 22;
    c->pack = c->pack && (c->keep || c->form == CON_OUTER);
    c->group = 1;
    while (c->keep && c->group < 8 && c->group < c->chunk_tasks &&
           (c->group + 1) * (task_sums(c) + (c->pack ? c->panel_size : 0)) <= 3 << 15)
        c->group++;
}

/* A task's panel: for each point of k (of a block) its slots' or columns' vectors. In the dot form
 * a vector stands where its first point of k would. */
static void shape_panel(struct con *c)
{
    int64_t n = c->form == CON_DOT ? c->block : c->su * c->sv * c->acc.lanes;
    for (uint32_t i = c->k.n; i-- > 0;) {
        uint32_t axis = c->k.axis[i];
        int64_t size = i == 0 && c->keep ? c->block_k : con_dim(c, axis);
        if (c->form == CON_DOT && axis == c->vector_k)
            size = con_ceil(size, c->acc.lanes) * c->acc.lanes;
        c->panel_stride[axis] = n;
        n *= size;
    }
    c->panel_size = n;
}

static void choose(struct con *c)
{
    c->form = wants_dot(c) ? CON_DOT : CON_OUTER;
    c->su = c->sv = 1;
    if (c->form == CON_DOT) {
        choose_dot_tile(c);
    } else {
        choose_outer_tile(c);
        choose_second(c);
        c->pack = wants_panel(c);
    }
    count_tiles(c);
    choose_keep(c);
    cut(c);
    shape_panel(c);
    choose_group(c);
    if (!c->keep)
        shape_panel(c);
    choose_copy(c);
}

/* Temporaries first: arguments stand before all other buffers. */
static void make_buffers(struct con *c)
{
    struct sk *s = c->s;
    struct lo_type scalar = {c->acc.dtype, 1};
    if (c->copy)
        c->temp = sk_temporary(s, "rows", c->acc.dtype, c->copy_count);
    if (c->pack)
        c->panel = lo_buffer(s->b.k, LO_SCRATCH, "panel", scalar, c->group * c->panel_size);
    if (c->keep)
        c->sums = lo_buffer(s->b.k, LO_SCRATCH, "sums", scalar, c->group * task_sums(c));
    if (c->form == CON_DOT) {
        int64_t width = con_ceil(c->block, c->acc.lanes) * c->acc.lanes;
        c->tile = lo_buffer(s->b.k, LO_LOCAL, "tile", scalar, c->rows * width);
    }
    int64_t regs = c->rows * (c->form == CON_DOT ? c->cols : c->su * c->sv);
    c->reg = lo_buffer(s->b.k, LO_REG, "acc", c->acc, regs);
}

bool sk_contract(struct sk *s)
{
    struct con c = {.s = s, .member = UINT32_MAX};
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        const struct fuse_member *m = &s->c->members.p[i];
        if (m->role == FUSE_REDUCE && c.member == UINT32_MAX)
            c.member = i;
        else if (m->role != FUSE_KEPT)
            return false;
    }
    struct fuse_contraction f;
    if (c.member == UINT32_MAX || !fuse_contraction(&s->x, s->c, sk_member(s, c.member), &f) ||
        !classify(&c, &f))
        return false;
    c.node = s->c->members.p[c.member].node;
    enum nn_dtype t = sk_compute_type(s->x.val.p[f.value].dtype);
    if (t != NN_f32 && t != NN_f64)
        return false;
    c.acc = (struct lo_type){(uint8_t)t, (uint16_t)target_lanes(s->t, (uint32_t)nn_dtype_size(t))};
    choose(&c);
    make_buffers(&c);
    if (c.copy)
        con_phase_copy(&c);
    con_phase_multiply(&c);
    return true;
}
