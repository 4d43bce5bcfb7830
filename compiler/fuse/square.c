/* Square values: what stands between a softmax and its two contractions, rows by columns. It
 * begins with what a contraction of two tensors' rows gives to a softmax, and goes on with all that
 * is computed point by point from such a value, or together with one. Sizes alone say little: there
 * may be as many keys as a head has elements. */
#include "fuse/chain.h"

enum {
    LEAST_BYTES = 16 << 10, /* CPU, of a square value: less than that stays in the first cache */
    LONG_ROWS = 1 << 20,    /* greedy, CPU: of one matrix, or */
    LARGE_BYTES = 16 << 20, /* of all: below, computing again costs more than the memory */
};

static int by_size(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

/* Sizes in ascending order, those of one element left out; how many. */
static uint32_t sizes(uint32_t n, const int64_t *dim, int64_t *sorted)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++)
        if (dim[i] != 1)
            sorted[k++] = dim[i];
    qsort(sorted, k, sizeof *sorted, by_size);
    return k;
}

/* A CPU's caches hold what is not large: storing it is quicker than computing it again. */
static bool large(const struct chains *w, const struct ir_node *n, const struct fuse_cluster *row)
{
    int64_t rows = 1, columns = 1;
    for (uint32_t i = 0; i < row->outer; i++)
        rows = row->dim[i] > rows ? row->dim[i] : rows;
    for (uint32_t i = row->outer; i < row->outer + row->inner; i++)
        columns *= row->dim[i];
    double matrix = (double)rows * (double)columns * (double)nn_dtype_size(n->dtype);
    if (w->p->target->kind == TARGET_GPU)
        return true;
    return chain_bytes(n) >= LEAST_BYTES &&
           (w->always || matrix >= LONG_ROWS || chain_bytes(n) >= LARGE_BYTES);
}

/* A value over axes of the row cluster's sizes, in whatever order. */
static bool may_be_square(const struct chains *w, ir_id node, const struct fuse_cluster *row)
{
    const struct ir_node *n = ir_at(w->p->g, node);
    int64_t dim[IR_MAX_AXES], a[IR_MAX_AXES], b[IR_MAX_AXES];
    if (w->owner[node] == UINT32_MAX || fuse_is_root(w->p, node) || !nn_is_float(n->dtype) ||
        !large(w, n, row))
        return false;
    for (uint32_t i = 0; i < ir_rank(n); i++)
        dim[i] = ir_axes(n)[i].n;
    uint32_t k = sizes(ir_rank(n), dim, a);
    return k == sizes(row->outer + row->inner, row->dim, b) && !memcmp(a, b, k * sizeof *a);
}

static int64_t points(const struct fuse_cluster *c, uint32_t axes)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < c->outer + c->inner; i++)
        n *= axes >> i & 1 ? c->dim[i] : 1;
    return n;
}

static void note_slot(void *ctx, const struct fx *x, fx_id id)
{
    const struct fx_val *v = &x->val.p[id];
    *(bool *)ctx = *(bool *)ctx || (v->kind == FX_LOAD && ir_at(x->g, v->node)->op == IR_slot);
}

static bool has_weights(const struct fx *x, fx_id id)
{
    bool found = false;
    uint8_t *seen = xcalloc(x->val.n, 1);
    fx_walk(x, id, seen, note_slot, &found);
    free(seen);
    return found;
}

static bool has_maximum(const struct chains *w, const struct fuse_cluster *row)
{
    for (uint32_t i = 0; i < row->members.n; i++) {
        const struct fuse_member *m = &row->members.p[i];
        if (m->role == FUSE_REDUCE && ir_at(w->p->g, m->node)->monoid == IRM_max)
            return true;
    }
    return false;
}

/* Products of rows of two tensors, for each place of a batch (or as many rows as columns, or
 * without weights: a layer is no such thing). It makes much of little, by few operations a point;
 * before a softmax a GPU saves launches anyway. */
static bool makes_scores(const struct chains *w, const struct fuse_cluster *c,
                         const struct fuse_cluster *row)
{
    struct fx x;
    uint8_t *mode;
    struct fuse_contraction k;
    if (c->skeleton != FUSE_CONTRACT)
        return false;
    fuse_fx(&x, w->p, c, &mode);
    bool good = false, gpu = w->p->target->kind == TARGET_GPU && has_maximum(w, row);
    for (uint32_t i = 0; i < c->members.n; i++) {
        if (c->members.p[i].role != FUSE_REDUCE ||
            !fuse_contraction(&x, c, fuse_member_value(&x, c, i), &k))
            continue;
        bool much = points(c, k.batch | k.m | k.n) >=
                    points(c, k.batch | k.m | k.k) + points(c, k.batch | k.n | k.k);
        bool weights = has_weights(&x, k.a) || has_weights(&x, k.b);
        bool pairs = k.batch || points(c, k.m) == points(c, k.n) || !weights;
        good = pairs && (much || (gpu && !weights));
    }
    fx_end(&x);
    free(mode);
    return good;
}

/* Two values of one size, one of which is computed from the other point by point. */
struct twins {
    ir_id a, b;
};
struct find_twins {
    const struct fuse_cluster *c;
    const struct fuse_member *m;
    uint32_t kept; /* axes of the member's value */
    VEC(struct twins) p;
};

static void note_twin(void *ctx, const struct fx *x, fx_id id)
{
    struct find_twins *f = ctx;
    const struct fx_val *v = &x->val.p[id];
    uint32_t axes = 0, axis;
    if (v->kind != FX_LOAD)
        return;
    for (uint32_t i = 0; i < v->rank; i++) {
        int64_t n = ir_axes(ir_at(x->g, v->node))[i].n;
        if (n == 1)
            continue;
        if (!ix_is_axis(v->coord[i], &axis) || f->c->dim[axis] != n || axes >> axis & 1)
            return;
        axes |= 1u << axis;
    }
    if (axes == f->kept)
        vec_push(&f->p, ((struct twins){f->m->node, v->node}));
}

static void list_twins(const struct chains *w, struct find_twins *f)
{
    for (uint32_t i = 0; i < w->p->clusters.n; i++) {
        struct fx x;
        uint8_t *mode;
        f->c = &w->p->clusters.p[i];
        fuse_fx(&x, w->p, f->c, &mode);
        for (uint32_t k = 0; k < f->c->members.n; k++) {
            const struct ir_node *n = ir_at(w->p->g, f->c->members.p[k].node);
            f->m = &f->c->members.p[k];
            f->kept = 0;
            for (uint32_t a = 0; a < (uint32_t)n->nd - n->nred; a++)
                f->kept |= f->m->axis[a] == FUSE_NO_AXIS ? 0 : 1u << f->m->axis[a];
            fx_id v = fuse_member_value(&x, f->c, k);
            uint8_t *seen = xcalloc(x.val.n, 1);
            fx_walk(&x, v, seen, note_twin, f);
            free(seen);
        }
        fx_end(&x);
        free(mode);
    }
}

/* The row cluster's reads of what a contraction computes for all its points are square; so is what
 * has to do with a square value point by point. */
static bool mark_squares(struct chains *w, const struct fuse_cluster *row,
                         const struct find_twins *f)
{
    bool any = false;
    for (uint32_t i = 0; i < row->inputs.n; i++) {
        ir_id x = row->inputs.p[i];
        if (may_be_square(w, x, row) && makes_scores(w, &w->p->clusters.p[w->owner[x]], row))
            w->square[x] = any = true;
    }
    for (bool again = any; again;) {
        again = false;
        for (uint32_t i = 0; i < f->p.n; i++) {
            ir_id a = f->p.p[i].a, b = f->p.p[i].b;
            if (w->square[a] == w->square[b] || !may_be_square(w, w->square[a] ? b : a, row))
                continue;
            w->square[a] = w->square[b] = again = true;
        }
    }
    return any;
}

bool chain_find_squares(struct chains *w)
{
    struct find_twins f = {0};
    bool any = false;
    for (uint32_t i = 0; i < w->p->clusters.n; i++) {
        const struct fuse_cluster *c = &w->p->clusters.p[i];
        if (!c->members.n || c->skeleton != FUSE_ROW || !c->inner)
            continue;
        if (!f.c)
            list_twins(w, &f);
        any = mark_squares(w, c, &f) || any;
    }
    vec_free(&f.p);
    return any;
}

struct fuse_cluster chain_copy_cluster(const struct fuse_cluster *c)
{
    struct fuse_cluster n = *c;
    n.members.p = NULL;
    n.inputs.p = NULL;
    n.members.n = n.members.cap = n.inputs.n = n.inputs.cap = 0;
    for (uint32_t i = 0; i < c->members.n; i++)
        vec_push(&n.members, c->members.p[i]);
    for (uint32_t i = 0; i < c->inputs.n; i++)
        vec_push(&n.inputs, c->inputs.p[i]);
    return n;
}

/* ---- rows that are no softmax's ---- */

static bool reads_square(const struct chains *w, const struct fuse_cluster *c, uint32_t i)
{
    struct fx x;
    uint8_t *mode;
    bool found = false;
    fuse_fx(&x, w->p, c, &mode);
    fuse_member_value(&x, c, i);
    for (fx_id v = 1; v < x.val.n; v++)
        found = found || (x.val.p[v].kind == FX_LOAD && w->square[x.val.p[v].node]);
    fx_end(&x);
    free(mode);
    return found;
}

/* The cluster without its square members, which become clusters of their own. */
static void part(struct chains *w, uint32_t at)
{
    struct fuse_cluster *c = &w->p->clusters.p[at];
    struct parted old = {at, chain_copy_cluster(c)};
    vec_push(&w->parted, old);
    c->members.n = 0;
    for (uint32_t k = 0; k < old.c.members.n; k++) {
        ir_id node = old.c.members.p[k].node;
        if (!w->square[node]) {
            vec_push(&w->p->clusters.p[at].members, old.c.members.p[k]);
            continue;
        }
        struct fuse_cluster own = fuse_own_cluster(w->p, node);
        fuse_read_inputs(w->p, &own);
        w->owner[node] = w->p->clusters.n;
        vec_push(&w->p->clusters, own);
    }
    c = &w->p->clusters.p[at];
    if (w->square[c->anchor])
        c->anchor = c->members.p[0].node;
    fuse_read_inputs(w->p, c);
}

void chain_part_rows(struct chains *w)
{
    for (uint32_t i = 0, n = w->p->clusters.n; i < n; i++) {
        bool folds = false, any = false;
        for (uint32_t k = 0; k < w->p->clusters.p[i].members.n; k++) {
            const struct fuse_member *m = &w->p->clusters.p[i].members.p[k];
            any = any || w->square[m->node];
            folds = folds || (m->role == FUSE_REDUCE && reads_square(w, &w->p->clusters.p[i], k));
        }
        if (w->p->clusters.p[i].skeleton == FUSE_ROW && any && !folds)
            part(w, i);
    }
}

static bool any_square(const struct chains *w, const struct fuse_cluster *c)
{
    for (uint32_t k = 0; k < c->members.n; k++)
        if (w->square[c->members.p[k].node])
            return true;
    return false;
}

void chain_join_rows(struct chains *w)
{
    for (uint32_t i = 0; i < w->parted.n; i++) {
        struct parted *was = &w->parted.p[i];
        if (any_square(w, &was->c))
            continue;
        for (uint32_t k = 0; k < was->c.members.n; k++) {
            uint32_t *owner = &w->owner[was->c.members.p[k].node];
            if (*owner == was->at)
                continue;
            fuse_cluster_free(&w->p->clusters.p[*owner]);
            w->p->clusters.p[*owner] = (struct fuse_cluster){0};
            *owner = was->at;
        }
        fuse_cluster_free(&w->p->clusters.p[was->at]);
        w->p->clusters.p[was->at] = was->c;
        was->c = (struct fuse_cluster){0};
    }
}
