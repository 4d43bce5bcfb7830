/* Transposing moves: maps that read along one axis and write along another. A block takes a square
 * of the two: its threads read it along the one, leave it in shared memory (rows padded, so that
 * columns meet no bank twice), and go on along the other. */
#include "lower/gpu.h"

enum { SIDE = 32, PITCH = SIDE + 1, MOST = 8, LEAST_SIDE = 16 };

struct tiles {
    struct gpu *g;
    int u; /* the axis of the reads; x is that of the rest */
    struct gpu_axes others;
    uint32_t n;
    fx_id staged[MOST];
    struct lo_lin u0, x0, row,
        col; /* the square's corner; a thread's row (first of several), column */
};

struct find {
    struct tiles *t;
    VEC(fx_id) reads; /* that lie apart along x */
};

static const struct fx_val *read_of(const struct fx *x, const struct fx_val *v)
{
    if (v->kind == FX_PICK && x->val.p[v->in[0]].kind == FX_LOAD)
        return &x->val.p[v->in[0]];
    return v->kind == FX_LOAD && !v->cond ? v : NULL;
}

static void note_read(void *ctx, const struct fx *x, fx_id id)
{
    struct find *f = ctx;
    const struct fx_val *load = read_of(x, &x->val.p[id]);
    if (load && sk_stride(f->t->g->s, load->at, (uint32_t)f->t->g->x) < 0)
        vec_push(&f->reads, id);
}

static bool line_along(const struct gpu *g, fx_id id, uint32_t axis)
{
    const struct fx_val *load = read_of(&g->s->x, &g->s->x.val.p[id]);
    return sk_stride(g->s, load->at, axis) == 1;
}

/* The axis along which most of these reads are lines, and which they are. */
static bool find_staged(struct tiles *t)
{
    struct gpu *g = t->g;
    struct sk *s = g->s;
    struct find f = {.t = t};
    sk_make_members(s);
    uint8_t *seen = xcalloc(s->x.val.n, 1);
    for (uint32_t i = 0; i < s->c->members.n; i++)
        fx_walk(&s->x, sk_member(s, i), seen, note_read, &f);
    free(seen);
    t->u = -1;
    uint32_t most = 0;
    for (uint32_t axis = 0; axis < s->c->outer; axis++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < f.reads.n; i++)
            n += line_along(g, f.reads.p[i], axis);
        if ((int)axis == g->x || g->n.trip[axis] < LEAST_SIDE || n <= most)
            continue;
        most = n;
        t->u = (int)axis;
    }
    for (uint32_t i = 0; t->u >= 0 && i < f.reads.n && t->n < MOST; i++)
        if (line_along(g, f.reads.p[i], (uint32_t)t->u))
            t->staged[t->n++] = f.reads.p[i];
    vec_free(&f.reads);
    return t->u >= 0;
}

/* Where the block's square lies, from its number: squares along x first. */
static int64_t squares(struct tiles *t)
{
    struct gpu *g = t->g;
    int64_t n = gpu_ceil(g->n.trip[g->x], SIDE) * gpu_ceil(g->n.trip[t->u], SIDE);
    t->others.n = 0;
    for (uint32_t i = g->s->c->outer; i-- > 0;)
        if ((int)i != g->x && (int)i != t->u && g->n.trip[i] != 1) {
            t->others.axis[t->others.n++] = i;
            n *= g->n.trip[i];
        }
    return n;
}

static void stand_block(struct tiles *t)
{
    struct gpu *g = t->g;
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    struct lo_lin at = lo_lin_v(b, g->chunk), x, u;
    gpu_split(s, at, gpu_ceil(g->n.trip[g->x], SIDE), &at, &x);
    if (t->others.n)
        gpu_split(s, at, gpu_ceil(g->n.trip[t->u], SIDE), &at, &u);
    else
        u = at;
    gpu_stand(g, &t->others, at);
    t->x0 = lo_lin_mul(b, x, SIDE);
    t->u0 = lo_lin_mul(b, u, SIDE);
    gpu_split(s, lo_lin_v(b, g->thread), SIDE, &t->row, &t->col);
}

/* Stands at a place of the square if that is inside; true if a branch was opened. */
static bool stand_place(struct tiles *t, struct lo_lin x, struct lo_lin u)
{
    struct gpu *g = t->g;
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    int64_t nx = g->n.trip[g->x], nu = g->n.trip[t->u];
    lo_id inside = 0;
    x = lo_lin_add(b, t->x0, x);
    u = lo_lin_add(b, t->u0, u);
    if (nx % SIDE)
        inside = gpu_below(s, x, nx);
    if (nu % SIDE) {
        lo_id in_u = gpu_below(s, u, nu);
        inside = inside ? lo_op(b, IR_and, (struct lo_type){NN_bool, 1}, inside, in_u, 0) : in_u;
    }
    if (inside)
        lo_if(b, inside);
    sk_axis(s, (uint32_t)g->x, x);
    sk_axis(s, (uint32_t)t->u, u);
    return inside != 0;
}

/* One of the square's rows of this thread: read along u, or computed and stored along x. */
static void do_row(struct tiles *t, int64_t first, bool read)
{
    struct sk *s = t->g->s;
    struct lo_builder *b = &s->b;
    struct lo_lin row = lo_lin_add(b, t->row, lo_lin_c(first));
    struct lo_lin x = read ? row : t->col, u = read ? t->col : row;
    uint32_t mark = sk_open(s);
    bool branch = stand_place(t, x, u);
    s->held_at[0] = lo_lin_add(b, lo_lin_mul(b, x, PITCH), u);
    for (uint32_t i = 0; i < t->n; i++) {
        s->held[t->staged[i]].ready = !read;
        if (read)
            sk_value(s, t->staged[i]);
    }
    if (!read)
        nest_row_values(&t->g->n, 0);
    sk_close(s, mark);
    if (branch)
        lo_end(b);
}

static void make_squares(struct tiles *t)
{
    struct sk *s = t->g->s;
    s->held_n = s->x.val.n;
    s->held = xcalloc(s->held_n, sizeof *s->held);
    for (uint32_t i = 0; i < t->n; i++) {
        struct lo_type type = {(uint8_t)sk_compute_type(s->x.val.p[t->staged[i]].dtype), 1};
        s->held[t->staged[i]].buf =
            lo_buffer(s->b.k, LO_SHARED, "square", type, (int64_t)SIDE * PITCH);
    }
}

bool gpu_tiles(struct gpu *g)
{
    struct sk *s = g->s;
    struct tiles t = {.g = g};
    if (s->c->inner || nest_has_folds(&g->n) || g->x < 0 || g->n.trip[g->x] < LEAST_SIDE)
        return false;
    for (uint32_t i = 0; i < s->c->outer; i++)
        if (g->n.trip[i] == 0)
            return false;
    if (!find_staged(&t))
        return false;
    int64_t blocks = squares(&t), block = s->t->block;
    if (blocks > s->t->max_chunks)
        return false;
    g->lanes = 1;
    g->n.v = -1;
    make_squares(&t);
    g->chunk = lo_phase_gpu(&s->b, blocks, (int32_t)block);
    g->thread = lo_thread(&s->b);
    uint32_t mark = sk_open(s);
    stand_block(&t);
    for (int64_t row = 0; row < SIDE; row += block / SIDE)
        do_row(&t, row, true);
    lo_barrier(&s->b);
    for (int64_t row = 0; row < SIDE; row += block / SIDE)
        do_row(&t, row, false);
    sk_close(s, mark);
    lo_end(&s->b);
    return true;
}
