/* Chains: a softmax between two contractions (attention), and what its backward pass makes of the
 * same values, without the square matrix in memory. A *square* value stands between the
 * contractions: it has the rows of the one's result and what the other sums over. For a block of
 * rows all of it is computed in a buffer of the thread's, stage by stage: each stage is a cluster
 * as it would be alone, over the block's rows only. The chain that has the softmax's own rows
 * stores its two numbers a row; the others take these and compute its values again. */
#include "fuse/chain.h"

enum { MOST_STAGES = 16, MOST_LOCALS = 16, NONE = FUSE_NO_AXIS };

bool chain_has_member(const struct fuse_cluster *c, ir_id node)
{
    for (uint32_t i = 0; i < c->members.n; i++)
        if (c->members.p[i].node == node)
            return true;
    return false;
}

/* ---- a stage ---- */

static void note_square(void *ctx, const struct fx *x, fx_id id)
{
    struct square_reads *r = ctx;
    const struct fx_val *v = &x->val.p[id];
    if (v->kind != FX_LOAD || !r->w->square[v->node] || chain_has_member(r->c, v->node))
        return;
    struct read one = {.node = v->node, .plain = true};
    uint32_t axis;
    for (uint32_t i = 0; i < v->rank; i++) {
        bool single = ir_axes(ir_at(x->g, v->node))[i].n == 1;
        one.axis[i] = NONE;
        if (ix_is_axis(v->coord[i], &axis))
            one.axis[i] = (uint8_t)axis;
        else if (!single)
            one.plain = false;
    }
    for (uint32_t i = 0; i < r->p.n; i++)
        if (r->p.p[i].node == v->node) {
            r->p.p[i].plain =
                r->p.p[i].plain && one.plain && !memcmp(r->p.p[i].axis, one.axis, v->rank);
            return;
        }
    vec_push(&r->p, one);
}

void chain_read_squares(const struct chains *w, const struct fuse_cluster *c,
                        struct square_reads *r)
{
    struct fx x;
    uint8_t *mode;
    *r = (struct square_reads){.w = w, .c = c};
    fuse_fx(&x, w->p, c, &mode);
    for (uint32_t i = 0; i < c->members.n; i++) {
        fx_id v = fuse_member_value(&x, c, i);
        uint8_t *seen = xcalloc(x.val.n, 1);
        fx_walk(&x, v, seen, note_square, r);
        free(seen);
    }
    fx_end(&x);
    free(mode);
}

/* The cluster's axes anew: `row` of them, in the order of the chain, apart from the loops but for
 * the last one, which is the block's. False: a row is not an outer axis. */
static bool set_space(struct fuse_cluster *c, uint32_t rows, const uint8_t *row, int64_t block)
{
    uint8_t to[IR_MAX_AXES];
    int64_t dim[IR_MAX_AXES];
    uint32_t n = 0, outer = 0, all = c->outer + c->inner;
    memset(to, NONE, sizeof to);
    if (all + 1 > IR_MAX_AXES)
        return false;
    for (uint32_t i = 0; i < rows; i++) {
        if (row[i] == NONE || row[i] >= c->outer || to[row[i]] != NONE)
            return false;
        to[row[i]] = (uint8_t)(all - (rows - 1) + i);
    }
    to[row[rows - 1]] = NONE;
    for (uint32_t i = 0; i < all; i++) {
        if (to[i] != NONE)
            continue;
        outer += i < c->outer;
        dim[n] = i == row[rows - 1] ? block : c->dim[i];
        to[i] = (uint8_t)n++;
    }
    for (uint32_t i = 0; i + 1 < rows; i++)
        dim[n + i] = c->dim[row[i]];
    dim[n + rows - 1] = c->dim[row[rows - 1]] - block + 1;
    for (uint32_t i = 0; i < c->members.n; i++)
        for (uint32_t k = 0; k < IR_MAX_AXES; k++)
            if (c->members.p[i].axis[k] < all)
                c->members.p[i].axis[k] = to[c->members.p[i].axis[k]];
    c->split = to[row[rows - 1]];
    c->inner = n - outer;
    c->outer = outer;
    c->fixed = rows;
    memcpy(c->dim, dim, (n + rows) * sizeof *dim);
    return true;
}

/* ---- building ---- */

struct square *chain_local(struct chain *c, ir_id node)
{
    for (uint32_t i = 0; i < c->local.n; i++)
        if (c->local.p[i].node == node)
            return &c->local.p[i];
    return NULL;
}

static bool need(struct chains *w, struct chain *c, ir_id node, const uint8_t *row);

/* Every square value that the cluster reads, whose axis row[r] is the chain's row r. */
static bool need_all(struct chains *w, struct chain *c, const struct fuse_cluster *from,
                     const uint8_t *row)
{
    struct square_reads r;
    chain_read_squares(w, from, &r);
    bool good = true;
    for (uint32_t i = 0; i < r.p.n && good; i++) {
        uint8_t own[IR_MAX_AXES];
        uint32_t rank = ir_rank(ir_at(w->p->g, r.p.p[i].node));
        good = r.p.p[i].plain;
        for (uint32_t k = 0; k < c->rows && good; k++) {
            own[k] = NONE;
            for (uint32_t a = 0; a < rank; a++)
                if (r.p.p[i].axis[a] == row[k])
                    own[k] = own[k] == NONE ? (uint8_t)a : (uint8_t)(NONE - 1);
            good = own[k] < rank;
        }
        good = good && need(w, c, r.p.p[i].node, own);
    }
    vec_free(&r.p);
    return good;
}

/* The stage that computes the value, after those that it needs. */
static bool need(struct chains *w, struct chain *c, ir_id node, const uint8_t *row)
{
    struct square *have = chain_local(c, node);
    if (have) {
        have->read = true;
        return !memcmp(have->row, row, c->rows);
    }
    if (c->local.n == MOST_LOCALS || c->stage.n == MOST_STAGES)
        return false;
    uint32_t from = w->owner[node];
    const struct fuse_cluster *own = &w->p->clusters.p[from];
    struct fuse_cluster stage;
    uint8_t axis[IR_MAX_AXES];
    bool as_is = own->skeleton == FUSE_CONTRACT;
    if (own->skeleton == FUSE_ROW && !w->taken[from]) { /* its rows must be the chain's, and all */
        as_is = true;
        for (uint32_t i = 0; i < own->members.n; i++) {
            const struct fuse_member *m = &own->members.p[i];
            as_is = as_is && m->role != FUSE_ACROSS && m->role != FUSE_AFTER;
            for (uint32_t k = 0; k < c->rows; k++)
                as_is = as_is && (m->node != node || m->axis[row[k]] < own->outer);
        }
    }
    stage = as_is ? chain_copy_cluster(own) : fuse_own_cluster(w->p, node);
    bool good = stage.skeleton == FUSE_CONTRACT || stage.skeleton == FUSE_MAP ||
                (stage.skeleton == FUSE_ROW && as_is);
    for (uint32_t i = 0; i < stage.members.n; i++) { /* a GPU's warp folds numbers, not places */
        const struct ir_node *n = ir_at(w->p->g, stage.members.p[i].node);
        bool place = n->op == IR_reduce && (n->monoid == IRM_argmax || n->monoid == IRM_argmin);
        good = good && !(place && w->p->target->kind == TARGET_GPU);
    }
    for (uint32_t i = 0; i < stage.members.n; i++)
        for (uint32_t k = 0; k < c->rows && stage.members.p[i].node == node; k++)
            axis[k] = stage.members.p[i].axis[row[k]];
    good = good && need_all(w, c, &stage, axis) && set_space(&stage, c->rows, axis, 1);
    if (!good) {
        fuse_cluster_free(&stage);
        return false;
    }
    if (stage.skeleton == FUSE_ROW) {
        w->taken[from] = 1;
        c->softmax = true;
        vec_push(&c->final, from);
    }
    vec_push(&c->stage, stage);
    struct square s = {.node = node, .read = true};
    memcpy(s.row, row, c->rows);
    vec_push(&c->local, s);
    s.read = false;
    for (uint32_t i = 0; i < stage.members.n && stage.skeleton == FUSE_ROW; i++) {
        ir_id other = stage.members.p[i].node; /* further square values of the same loops */
        s.node = other;
        if (other != node && w->square[other] && stage.members.p[i].role == FUSE_ELEM)
            vec_push(&c->local, s);
    }
    return true;
}

/* The rows: those axes of the cluster's result by which it reads square values, in the order of the
 * first one's; the longest last, to be cut into blocks. */
static bool set_rows(const struct chains *w, struct chain *c, const struct fuse_cluster *last,
                     uint8_t *row)
{
    struct square_reads r;
    uint32_t common = UINT32_MAX, split = 0;
    chain_read_squares(w, last, &r);
    for (uint32_t i = 0; i < r.p.n; i++) {
        uint32_t axes = 0;
        for (uint32_t a = 0; a < ir_rank(ir_at(w->p->g, r.p.p[i].node)); a++)
            if (r.p.p[i].axis[a] < last->outer)
                axes |= 1u << r.p.p[i].axis[a];
        common &= axes;
    }
    c->rows = 0;
    for (uint32_t a = 0; r.p.n && a < ir_rank(ir_at(w->p->g, r.p.p[0].node)); a++) {
        uint8_t axis = r.p.p[0].axis[a];
        if (axis >= last->outer || !(common >> axis & 1))
            continue;
        split = last->dim[axis] >= last->dim[row[split]] || !c->rows ? c->rows : split;
        row[c->rows++] = axis;
    }
    vec_free(&r.p);
    if (!c->rows)
        return false;
    uint8_t longest = row[split];
    memmove(row + split, row + split + 1, c->rows - split - 1);
    row[c->rows - 1] = longest;
    for (uint32_t i = 0; i < c->rows; i++)
        c->dim[i] = last->dim[row[i]];
    return true;
}

void chain_free(struct chains *w, struct chain *c)
{
    for (uint32_t i = 0; i < c->stage.n; i++)
        fuse_cluster_free(&c->stage.p[i]);
    for (uint32_t i = 0; i < c->final.n; i++)
        w->taken[c->final.p[i]] = 0;
    vec_free(&c->stage);
    vec_free(&c->local);
    vec_free(&c->final);
}

static bool build(struct chains *w, uint32_t last, struct chain *c)
{
    const struct fuse_cluster *own = &w->p->clusters.p[last];
    uint8_t row[IR_MAX_AXES] = {0};
    *c = (struct chain){0};
    if (set_rows(w, c, own, row)) {
        struct fuse_cluster stage = chain_copy_cluster(own);
        if (need_all(w, c, own, row) && set_space(&stage, c->rows, row, 1)) {
            vec_push(&c->stage, stage);
            vec_push(&c->final, last);
            c->square = c->local.p[0].node;
            return true;
        }
        fuse_cluster_free(&stage);
    }
    chain_free(w, c);
    return false;
}

/* The cluster gives nothing beside the node that another one reads. */
static bool gives_only(const struct chains *w, uint32_t cluster, ir_id node)
{
    const struct fuse_cluster *c = &w->p->clusters.p[cluster];
    for (uint32_t i = 0; i < c->members.n; i++) {
        ir_id other = c->members.p[i].node;
        if (other != node && !w->square[other] && fuse_wanted(w->p, cluster, cluster, other))
            return false;
    }
    return true;
}

static const struct fuse_member *member_of(const struct fuse_cluster *c, ir_id node)
{
    const struct fuse_member *found = NULL;
    for (uint32_t i = 0; i < c->members.n; i++)
        found = c->members.p[i].node == node ? &c->members.p[i] : found;
    return found;
}

/* Which axes of the value the chain's rows are, by what it keeps of the same cluster's. */
static bool rows_of(const struct chains *w, const struct chain *c, ir_id square, uint8_t *row)
{
    const struct fuse_cluster *own = &w->p->clusters.p[w->owner[square]];
    const struct fuse_member *to = member_of(own, square);
    for (uint32_t i = 0; i < c->local.n; i++) {
        const struct square *s = &c->local.p[i];
        const struct fuse_member *from = member_of(own, s->node);
        uint32_t found = 0;
        for (uint32_t k = 0; from && k < c->rows; k++)
            for (uint32_t a = 0; a < ir_rank(ir_at(w->p->g, square)); a++)
                if (to->axis[a] == from->axis[s->row[k]]) {
                    row[k] = (uint8_t)a;
                    found++;
                }
        if (from && found == c->rows)
            return true;
    }
    return false;
}

bool chain_store(struct chains *w, const struct chain *like, ir_id square, struct chain *c)
{
    uint8_t row[IR_MAX_AXES];
    uint32_t from = w->owner[square];
    const struct fuse_cluster *own = &w->p->clusters.p[from];
    if ((own->skeleton != FUSE_CONTRACT && own->skeleton != FUSE_MAP) ||
        !gives_only(w, from, square) || !rows_of(w, like, square, row))
        return false;
    *c = (struct chain){.rows = like->rows, .square = square, .stored = square};
    memcpy(c->dim, like->dim, sizeof c->dim);
    if (!need(w, c, square, row) || c->local.n < 2) {
        chain_free(w, c);
        return false;
    }
    c->local.n--; /* what is stored is not kept; it came last */
    vec_push(&c->final, from);
    return true;
}

/* ---- two chains as one ---- */

static bool reaches(const struct chains *w, uint8_t *seen, uint32_t from, const struct chain *goal)
{
    const struct fuse_cluster *c = &w->p->clusters.p[from];
    if (seen[from])
        return false;
    seen[from] = 1;
    for (uint32_t i = 0; i < goal->final.n; i++)
        if (goal->final.p[i] == from)
            return true;
    for (uint32_t i = 0; i < c->inputs.n; i++) {
        uint32_t o = w->owner[c->inputs.p[i]];
        if (o != UINT32_MAX && reaches(w, seen, o, goal))
            return true;
    }
    return false;
}

static bool depends(const struct chains *w, const struct chain *a, const struct chain *b)
{
    uint8_t *seen = xcalloc(w->p->clusters.n, 1);
    bool found = false;
    for (uint32_t i = 0; i < a->final.n && !found; i++)
        found = reaches(w, seen, a->final.p[i], b);
    free(seen);
    return found;
}

/* They keep a value in common, by the same rows, and wait for nothing of each other. */
static bool alike(const struct chains *w, struct chain *a, struct chain *b)
{
    bool common = false;
    if (a->rows != b->rows || memcmp(a->dim, b->dim, a->rows * sizeof *a->dim) != 0)
        return false;
    for (uint32_t i = 0; i < a->local.n; i++) {
        const struct square *s = chain_local(b, a->local.p[i].node);
        if (s && memcmp(s->row, a->local.p[i].row, a->rows) != 0)
            return false;
        common = common || s;
    }
    return common && a->stage.n + b->stage.n <= MOST_STAGES &&
           a->local.n + b->local.n <= MOST_LOCALS && !depends(w, a, b) && !depends(w, b, a);
}

/* Stages of b that compute what a has not. */
static void join(struct chains *w, struct chain *a, struct chain *b)
{
    for (uint32_t i = 0; i < b->stage.n; i++) {
        bool have = false;
        for (uint32_t k = 0; k < a->stage.n; k++)
            have = have || a->stage.p[k].anchor == b->stage.p[i].anchor;
        if (have)
            fuse_cluster_free(&b->stage.p[i]);
        else
            vec_push(&a->stage, b->stage.p[i]);
    }
    for (uint32_t i = 0; i < b->local.n; i++) {
        struct square *have = chain_local(a, b->local.p[i].node);
        if (have)
            have->read = have->read || b->local.p[i].read;
        else
            vec_push(&a->local, b->local.p[i]);
    }
    for (uint32_t i = 0; i < b->final.n; i++)
        vec_push(&a->final, b->final.p[i]);
    a->softmax = a->softmax || b->softmax;
    b->stage.n = b->final.n = 0;
    chain_free(w, b);
}

void fuse_chains(struct fuse_plan *p, bool always)
{
    struct chains w = {.p = p,
                       .always = always,
                       .owner = xmalloc(p->g->nodes.n * sizeof *w.owner),
                       .square = xcalloc(p->g->nodes.n, 1)};
    memset(w.owner, 0xff, p->g->nodes.n * sizeof *w.owner);
    for (uint32_t i = 0; i < p->clusters.n; i++)
        for (uint32_t k = 0; k < p->clusters.p[i].members.n; k++)
            w.owner[p->clusters.p[i].members.p[k].node] = i;
    bool any = chain_find_squares(&w);
    if (any)
        chain_part_rows(&w);
    w.taken = xcalloc(p->clusters.n, 1);
    for (uint32_t i = 0; i < p->clusters.n && any; i++) {
        const struct fuse_cluster *c = &p->clusters.p[i];
        struct chain one;
        bool squares = false;
        for (uint32_t k = 0; k < c->members.n; k++)
            squares = squares || w.square[c->members.p[k].node];
        if (c->skeleton != FUSE_CONTRACT || squares || !build(&w, i, &one))
            continue;
        for (uint32_t k = 0; k < w.all.n && one.final.n; k++)
            if (alike(&w, &w.all.p[k], &one))
                join(&w, &w.all.p[k], &one);
        if (one.final.n)
            vec_push(&w.all, one);
    }
    chain_place_all(&w);
    chain_join_rows(&w);
    for (uint32_t i = 0; i < w.parted.n; i++)
        fuse_cluster_free(&w.parted.p[i].c);
    vec_free(&w.parted);
    vec_free(&w.all);
    free(w.owner);
    free(w.square);
    free(w.taken);
}
