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

/* The axis of the mask with the most points, 32 if the mask is empty. */
static uint32_t largest(const struct con *c, uint32_t mask)
{
    uint32_t best = 32;
    for (uint32_t i = 0; i < c->s->x.n; i++)
        if (con_has(mask, i) && (best == 32 || con_dim(c, i) > con_dim(c, best)))
            best = i;
    return best;
}

static uint32_t last_of(uint32_t mask) { return 31 - (uint32_t)__builtin_clz(mask); }

/* ---- tiles ---- */

/* The accumulators, the step's columns and one row are registers at once. */
static bool fits(const struct con *c, int64_t rows, int64_t cols)
{
    return rows * cols + cols + 1 <= c->s->t->vector_registers;
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
                           (double)(us / su) * con_step(rows, su * sv);
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
            double t = (double)con_ceil(m, rows) * (double)con_ceil(n, cols) * con_step(rows, cols);
            if (best < 0 || t < best) {
                best = t;
                c->rows = rows;
                c->cols = cols;
            }
        }
    int64_t want = 2 * c->acc.lanes;
    c->block = n <= want ? n : c->cols * con_ceil(want, c->cols);
}

/* ---- the parts of a decision ---- */

/* The second axis for slots: where one vector covers v. Conditions on it would differ by slot. */
static void choose_second(struct con *c)
{
    int64_t lanes = c->acc.lanes;
    if (con_dim(c, c->v) > lanes || !c->walk.n)
        return;
    uint32_t u = c->walk.axis[c->walk.n - 1];
    if (con_has(c->s->x.val.p[c->row].axes, u) || con_guarded(c, c->col, u))
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
    if (tiles < 2 || c->relay_col.on)
        return false;
    if (!con_plain(c, c->col) || !con_contiguous(c, c->col, c->v))
        return true;
    int64_t step = ix_coef(c->s->x.val.p[c->col].at, c->vector_k);
    return c->depth >= 64 && tiles >= 4 && (step >= 64 || step <= -64);
}

/* Few panels, which would be packed again for each part of the rows: once for all of them. */
static bool wants_shared(const struct con *c)
{
    int64_t n = c->tasks * c->depth * c->su * c->sv * c->acc.lanes;
    return c->pack && c->form == CON_OUTER && !c->s->within && c->tasks < 8 && n <= 1 << 20;
}

/* Rows of memory of which a step over k takes a few elements each, in many places. */
static bool crowded_rows(const struct con *c)
{
    if (c->form == CON_OUTER && c->relay_col.on)
        return !con_contiguous(c, c->row, c->vector_k);
    if (c->form == CON_DOT || !con_contiguous(c, c->row, c->r) || c->depth < 64 || c->v_tiles < 4)
        return false;
    int64_t step = ix_coef(c->s->x.val.p[c->row].at, c->vector_k);
    return step >= 64 || step <= -64;
}

/* A temporary for the rows where they are computed or crowded, in the order that tiles read them.
 */
static void choose_copy(struct con *c)
{
    if (c->s->within || c->relay_row.on || (con_plain(c, c->row) && !crowded_rows(c)))
        return;
    c->copy = true;
    c->copy_k = c->form == CON_DOT || con_contiguous(c, c->row, c->vector_k) ||
                !con_contiguous(c, c->row, c->r);
    int64_t n = c->copy_k ? 1 : c->rows;
    for (uint32_t i = c->k.n; i-- > 0;) {
        c->copy_stride[c->k.axis[i]] = n;
        n *= con_dim(c, c->k.axis[i]);
    }
    if (!c->copy_k) /* a tile ends with room for a whole vector past its last rows */
        n = (c->depth + con_ceil(c->acc.lanes, c->rows)) * c->rows * c->r_tiles;
    for (uint32_t i = c->s->x.n; i-- > 0;) {
        bool mine = con_has(c->s->x.val.p[c->row].axes, i) && !c->copy_stride[i];
        if (!mine || (i == c->r && !c->copy_k))
            continue;
        if (c->copy_k && n % 512 == 0) /* or a tile's rows would crowd into one cache set */
            n += 16;
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
    if (c->form == CON_DOT && c->relay_col.on) {
        c->block_k = c->acc.lanes * con_ceil(64, rest ? rest : 1);
        c->keep = c->k.axis[0] == c->vector_k && c->block_k < first;
        return;
    }
    if (c->form == CON_OUTER) {
        c->block_k = 512 / (rest ? rest : 1);
        c->block_k = c->block_k < 1 ? 1 : c->block_k;
        c->keep = c->depth >= 1024 && c->block_k < first;
        return;
    }
    if (c->k.n < 2 || c->k.axis[0] == c->vector_k)
        return;
    int64_t n = con_dim(c, c->vector_k), vectors = con_ceil(n, c->acc.lanes);
    c->block_k = con_ceil(64, rest / (n ? n : 1) * vectors);
    c->keep = c->block_k < first;
    c->pack = c->keep && c->r_tiles * c->rests >= 3 &&
              !(con_plain(c, c->col) && con_contiguous(c, c->col, c->vector_k));
}

/* Parts of r where there are few tasks, but so that a panel serves some tiles; chunks of some
 * 20,000 cycles at least. Tasks that share blocks of k are best in one chunk. */
static void cut(struct con *c)
{
    c->parts = 1;
    c->part_tiles = c->r_tiles;
    c->chunk_tasks = c->tasks;
    c->chunks = 1;
    if (c->s->within)
        return;
    int64_t few = c->keep ? con_ceil(c->tasks, 8) : c->tasks;
    bool own = c->pack && !c->share; /* a part packs panels of its own */
    int64_t most = own ? con_ceil(c->r_tiles, 4) : c->r_tiles;
    int64_t runs = c->keep && own ? 8 : 16;
    int64_t want = few >= runs || few == 0 ? 1 : con_ceil(runs, few);
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
           (c->group + 1) * (task_sums(c) + (c->pack && !c->share ? c->panel_size : 0)) <= 3 << 15)
        c->group++;
}

/* A task's panel: for each point of k (of a block) its slots' or columns' vectors. In the dot form
 * a vector stands where its first point of k would. */
static void shape_panel(struct con *c)
{
    int64_t n = c->form == CON_DOT ? c->block : c->su * c->sv * c->acc.lanes;
    for (uint32_t i = c->k.n; i-- > 0;) {
        uint32_t axis = c->k.axis[i];
        int64_t size = i == 0 && c->keep && !c->share ? c->block_k : con_dim(c, axis);
        if (c->form == CON_DOT && axis == c->vector_k)
            size = con_ceil(size, c->acc.lanes) * c->acc.lanes;
        c->panel_stride[axis] = n;
        n *= size;
    }
    c->panel_size = n;
}

/* All that follows once form, axes and relays stand. */
static void settle(struct con *c)
{
    c->su = c->sv = 1;
    if (c->form == CON_DOT) {
        choose_dot_tile(c);
    } else {
        choose_outer_tile(c);
        if (!c->relay_col.on)
            choose_second(c);
        c->pack = wants_panel(c);
    }
    count_tiles(c);
    choose_keep(c);
    c->share = wants_shared(c);
    cut(c);
    shape_panel(c);
    choose_group(c);
    if (!c->keep)
        shape_panel(c);
    choose_copy(c);
    c->relay_col.tile = c->form == CON_DOT ? c->acc.lanes : c->v_size;
    c->relay_row.tile = c->acc.lanes;
}

/* ---- deciding ---- */

/* Rows from row's own axes, the largest one tiled; v tiled of col's; the others walked. */
static void set_axes(struct con *c, uint32_t v)
{
    c->v = c->u = v;
    c->r = largest(c, c->rows_only);
    c->walk.n = c->rest.n = 0;
    for (uint32_t i = 0; i < c->s->x.n; i++) {
        if (con_has(c->batch | c->cols_only, i) && i != v)
            add_axis(&c->walk, i);
        if (con_has(c->rows_only, i) && i != c->r)
            add_axis(&c->rest, i);
    }
}

/* The factor that owns the result's last axis gives the columns: stores are contiguous along it. */
static bool classify(struct con *c, const struct fuse_contraction *f)
{
    uint32_t last = last_of(f->batch | f->m | f->n);
    if (con_has(f->batch, last))
        return false;
    bool right = con_has(f->n, last);
    c->row = right ? f->a : f->b;
    c->col = right ? f->b : f->a;
    c->batch = f->batch;
    c->rows_only = right ? f->m : f->n;
    c->cols_only = right ? f->n : f->m;
    for (uint32_t i = 0; i < c->s->x.n; i++)
        if (con_has(f->k | f->ka | f->kb, i))
            add_axis(&c->k, i);
    c->vector_k = c->k.axis[c->k.n - 1];
    c->depth = 1;
    for (uint32_t i = 0; i < c->k.n; i++)
        c->depth *= con_dim(c, c->k.axis[i]);
    set_axes(c, last);
    return true;
}

/* Whether the factor is a read of a stored value with `axis` alone as one coordinate, and all its
 * conditions are such that loops over k are bounded by them. */
static bool can_relay(const struct con *c, fx_id factor, uint32_t axis, struct con_relay *r)
{
    const struct fx *x = &c->s->x;
    const struct fx_val *v = &x->val.p[factor];
    if (v->kind == FX_PICK && v->f == 0 && !v->cond) {
        for (uint32_t g = v->pick; g; g = x->cond.p[g].up)
            if (x->cond.p[g].g.strict || (x->cond.p[g].axes & (con_tile_axes(c) | 1u << axis)))
                return false;
        v = &x->val.p[v->in[0]];
    }
    if (v->kind != FX_LOAD || !nn_is_float(v->dtype) || ix_uses_operand(v->at))
        return false;
    const struct ir_axis *ax = ir_axes(ir_at(x->g, v->node));
    *r = (struct con_relay){.on = true, .node = v->node, .axis = axis, .rank = v->rank};
    uint32_t found = 0, alone;
    for (uint32_t i = 0; i < v->rank; i++) {
        if (!con_has(fx_ix_axes(x, v->coord[i]), axis))
            continue;
        if (!ix_is_axis(v->coord[i], &alone) || ax[i].n != con_dim(c, axis))
            return false;
        r->dim = i;
        found++;
    }
    int64_t behind = 1;
    for (uint32_t i = r->dim + 1; i < v->rank; i++)
        behind *= ax[i].n;
    return found == 1 && v->rank > 1 && behind > 1 && behind < INT32_MAX / 64;
}

/* Where the other coordinates stand in the relaid copy: in their order, but in the outer form last
 * those that the innermost loop over k moves by one. */
static void place_relay(struct con *c, fx_id factor, struct con_relay *r)
{
    struct fx *x = &c->s->x;
    const struct fx_val *v = &x->val.p[factor];
    if (v->kind == FX_PICK)
        v = &x->val.p[v->in[0]];
    const struct ir_axis *ax = ir_axes(ir_at(x->g, v->node));
    uint32_t inner = 0, alone;
    for (uint32_t i = 0; i < c->k.n && c->form == CON_OUTER; i++)
        inner |= 1u << c->k.axis[i];
    int64_t stride = r->tile;
    r->at = ix_const(x->mem, 0);
    for (int outside = 0; outside < 2; outside++)
        for (uint32_t i = v->rank; i-- > 0;) {
            bool mine = ix_is_axis(v->coord[i], &alone) && con_has(inner, alone);
            if (i == r->dim || mine == (outside != 0))
                continue;
            r->at = ix_add(x->mem, r->at, ix_mul(x->mem, v->coord[i], stride));
            r->stride[i] = stride;
            stride *= ax[i].n;
            if (stride % 1024 == 0) /* or all would be of one cache set */
                stride += r->tile;
        }
    r->size = stride;
}

/* Loops over k that conditions bound go outside, long plain ones inside. */
static void guarded_first(struct con *c)
{
    struct con_axes k = {0};
    for (int plain = 0; plain < 2; plain++)
        for (uint32_t i = 0; i < c->k.n; i++) {
            bool guarded =
                con_guarded(c, c->col, c->k.axis[i]) || con_guarded(c, c->row, c->k.axis[i]);
            if (guarded == (plain == 0))
                add_axis(&k, c->k.axis[i]);
        }
    c->k = k;
    c->vector_k = k.axis[k.n - 1];
}

static void consider(struct con *best, double *cycles, struct con *c)
{
    settle(c);
    double t = con_cycles(c);
    if (*cycles >= 0 && t >= *cycles)
        return;
    *cycles = t;
    *best = *c;
}

/* Lanes along an axis of col that is far apart in memory, images mostly: where the last axis is
 * short or full of edges. */
static void consider_outer_relays(const struct con *from, struct con *best, double *cycles)
{
    for (uint32_t i = 0; i < from->s->x.n; i++) {
        struct con c = *from;
        if (!con_has(from->cols_only, i) || i == from->v || con_dim(from, i) < from->acc.lanes)
            continue;
        c.form = CON_OUTER;
        set_axes(&c, i);
        guarded_first(&c);
        if (can_relay(&c, c.col, i, &c.relay_col))
            consider(best, cycles, &c);
    }
}

/* The same along an axis of k, which goes first; columns from the axis of col that conditions leave
 * alone. */
static void consider_dot_relays(const struct con *from, struct con *best, double *cycles)
{
    for (uint32_t i = 0; i < from->k.n; i++) {
        struct con c = *from;
        uint32_t axis = from->k.axis[i], free_axes = from->cols_only;
        for (uint32_t a = 0; a < c.s->x.n; a++)
            if (con_guarded(&c, c.col, a))
                free_axes &= ~(1u << a);
        if (con_dim(from, axis) < c.acc.lanes || !free_axes)
            continue;
        c.form = CON_DOT;
        set_axes(&c, largest(&c, free_axes));
        for (uint32_t k = i; k > 0; k--)
            c.k.axis[k] = c.k.axis[k - 1];
        c.k.axis[0] = c.vector_k = axis;
        if (can_relay(&c, c.col, axis, &c.relay_col) && can_relay(&c, c.row, axis, &c.relay_row))
            consider(best, cycles, &c);
    }
}

static void choose(struct con *c)
{
    struct con best = *c, t = *c;
    double cycles = -1;
    t.form = CON_OUTER;
    consider(&best, &cycles, &t);
    t = *c;
    t.form = CON_DOT;
    if (con_dim(c, c->vector_k) >= c->acc.lanes && con_contiguous(c, c->row, c->vector_k))
        consider(&best, &cycles, &t);
    if (!c->s->within) { /* a relay is a temporary, made in a phase of its own */
        consider_outer_relays(c, &best, &cycles);
        consider_dot_relays(c, &best, &cycles);
    }
    *c = best;
    if (c->relay_col.on)
        place_relay(c, c->col, &c->relay_col);
    if (c->relay_row.on)
        place_relay(c, c->row, &c->relay_row);
}

static void relay_buffer(struct con *c, struct con_relay *r, const char *name)
{
    if (!r->on)
        return;
    int64_t count = con_ceil(con_dim(c, r->axis), r->tile) * r->size;
    r->buf = sk_temporary(c->s, name, (enum nn_dtype)c->acc.dtype, count);
}

/* Temporaries first: arguments stand before all other buffers. */
static void make_buffers(struct con *c)
{
    struct sk *s = c->s;
    struct lo_type scalar = {c->acc.dtype, 1};
    if (c->copy)
        c->temp = sk_temporary(s, "rows", c->acc.dtype, c->copy_count);
    relay_buffer(c, &c->relay_row, "rows");
    relay_buffer(c, &c->relay_col, "columns");
    if (c->share)
        c->panel = sk_temporary(s, "columns", c->acc.dtype, c->tasks * c->panel_size);
    else if (c->pack)
        c->panel = lo_buffer(s->b.k, LO_SCRATCH, "panel", scalar, c->group * c->panel_size);
    if (c->keep)
        c->sums = lo_buffer(s->b.k, LO_SCRATCH, "sums", scalar, c->group * task_sums(c));
    if (c->form == CON_DOT) {
        int64_t width = con_ceil(c->block, c->acc.lanes) * c->acc.lanes;
        c->tile = lo_buffer(s->b.k, LO_LOCAL, "tile", scalar, c->rows * width);
    }
    int64_t regs = c->rows * (c->form == CON_DOT ? c->cols : c->su * c->sv);
    c->reg = lo_buffer(s->b.k, LO_REG, "acc", c->acc, regs);
    con_choose_runs(c);
    if (c->run_k < c->k.n)
        c->totals = lo_buffer(s->b.k, LO_LOCAL, "totals", scalar, regs * c->acc.lanes);
}

/* The contraction as the cluster's space has it now. */
static bool decide(struct con *c, struct sk *s)
{
    *c = (struct con){.s = s, .member = UINT32_MAX};
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        const struct fuse_member *m = &s->c->members.p[i];
        if (m->role == FUSE_REDUCE && c->member == UINT32_MAX)
            c->member = i;
        else if (m->role != FUSE_KEPT)
            return false;
    }
    struct fuse_contraction f;
    if (c->member == UINT32_MAX || !fuse_contraction(&s->x, s->c, sk_member(s, c->member), &f) ||
        !classify(c, &f))
        return false;
    c->node = s->c->members.p[c->member].node;
    enum nn_dtype t = sk_compute_type(s->x.val.p[f.value].dtype);
    if (t != NN_f32 && t != NN_f64)
        return false;
    c->acc = (struct lo_type){(uint8_t)t, (uint16_t)target_lanes(s->t, (uint32_t)nn_dtype_size(t))};
    choose(c);
    return true;
}

/* The space with its last two outer axes as one, where both are col's alone and fill vectors and
 * tiles better together: small images. NULL: no such axes. */
static const struct fuse_cluster *paired_space(const struct con *c)
{
    struct sk *s = c->s;
    uint32_t n = s->c->outer + s->c->inner, low = s->c->outer - 1, pair = low - 1;
    if (s->within || !low || !con_has(c->cols_only, low) || !con_has(c->cols_only, pair) ||
        con_dim(c, low) < 2 || con_dim(c, pair) < 2 || con_dim(c, low) >= 4 * c->acc.lanes)
        return NULL;
    const struct ix **through;
    struct fuse_cluster *p = sk_space(s, &through);
    int64_t size = p->dim[low];
    p->dim[pair] *= size;
    p->outer--;
    through[pair] = ix_div(s->spaces, ix_axis(s->spaces, pair), size, p->dim);
    through[low] = ix_mod(s->spaces, ix_axis(s->spaces, pair), size, p->dim);
    for (uint32_t i = low + 1; i < n; i++) {
        through[i] = ix_axis(s->spaces, i - 1);
        p->dim[i - 1] = s->c->dim[i];
    }
    return p;
}

/* What takes the fewest cycles: the sums as they stand, in the cluster's own space or in the other
 * one, or Winograd's (*by). */
static bool decide_best(struct con *c, struct sk *s, struct win *w, bool *by)
{
    const struct fuse_cluster *own = s->c;
    if (!decide(c, s))
        return false;
    double cycles = con_cycles(c);
    *by = con_winograd(w, c) && w->cycles < cycles;
    cycles = *by ? w->cycles : cycles;
    const struct fuse_cluster *paired = paired_space(c);
    if (!paired)
        return true;
    sk_enter(s, paired);
    if (decide(c, s) && con_cycles(c) < cycles) {
        *by = false;
        return true;
    }
    sk_enter(s, own);
    return decide(c, s);
}

bool sk_contract(struct sk *s)
{
    struct con c;
    struct win w;
    bool winograd;
    if (!decide_best(&c, s, &w, &winograd))
        return false;
    if (winograd) {
        con_winograd_emit(&w, &c);
        return true;
    }
    make_buffers(&c);
    if (c.share)
        con_phase_panel(&c);
    if (c.copy)
        con_phase_copy(&c);
    if (c.relay_row.on)
        con_phase_relay(&c, &c.relay_row);
    if (c.relay_col.on)
        con_phase_relay(&c, &c.relay_col);
    con_phase_multiply(&c);
    return true;
}
