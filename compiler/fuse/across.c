/* Sums over rows and columns of the same values in one kernel: a norm's backward pass sums along
 * each row for dx and down each column for the weights' gradients. The columns' cluster goes into
 * the rows': its loops are theirs the other way round, what it folds becomes FUSE_ACROSS, what
 * follows FUSE_AFTER. For a GPU, whose threads keep the columns' sums in registers while their
 * block goes down the rows. */
#include "fuse/private.h"

enum { NONE = FUSE_NO_AXIS, MOST_COLUMNS = 8192, LEAST_ROWS = 32, MOST_MEMBERS = 64 };

struct match {
    const struct fuse_cluster *a, *b;
    struct fx ax, bx;
    uint8_t to[IR_MAX_AXES]; /* b's axis: a's, or NONE */
    bool wrong, shares;      /* shares: a read of all of the space */
};

static bool plain(const struct fx_val *v, uint32_t *axis)
{
    for (uint32_t i = 0; i < v->rank; i++)
        if (!ix_is_axis(v->coord[i], &axis[i]))
            return false;
    return true;
}

static void tie(struct match *t, uint32_t b_axis, uint8_t a_axis)
{
    for (uint32_t i = 0; i < t->b->outer + t->b->inner; i++)
        if (i != b_axis && t->to[i] == a_axis)
            t->wrong = true;
    if (t->b->dim[b_axis] != t->a->dim[a_axis] ||
        (t->to[b_axis] != NONE && t->to[b_axis] != a_axis))
        t->wrong = true;
    t->to[b_axis] = a_axis;
}

static bool whole(const struct match *t, const struct fx_val *v)
{
    return v->rank == t->a->outer + t->a->inner;
}

/* The last coordinate runs along a column axis: threads beside each other read beside each other.
 */
static void note_whole(struct match *t, const struct fx_val *v, const uint32_t *axis)
{
    if (!whole(t, v))
        return;
    t->shares = true;
    t->wrong = t->wrong || axis[v->rank - 1] >= t->b->outer;
}

/* b reads a member of a: at the point where it is computed. */
static bool tie_member(struct match *t, const struct fx_val *v)
{
    uint32_t axis[IR_MAX_AXES];
    for (uint32_t i = 0; i < t->a->members.n; i++) {
        const struct fuse_member *m = &t->a->members.p[i];
        if (m->node != v->node)
            continue;
        if (v->cond || !plain(v, axis) || m->role == FUSE_ACROSS || m->role == FUSE_AFTER) {
            t->wrong = true;
            return true;
        }
        for (uint32_t k = 0; k < v->rank && !t->wrong; k++) {
            if (m->axis[k] == NONE)
                t->wrong = true;
            else
                tie(t, axis[k], m->axis[k]);
        }
        if (!t->wrong)
            note_whole(t, v, axis);
        return true;
    }
    return false;
}

/* Both read a tensor of the whole space: its coordinates say which axis is which. */
static void tie_shared(struct match *t, const struct fx_val *v)
{
    uint32_t axis[IR_MAX_AXES], other[IR_MAX_AXES];
    if (!whole(t, v) || !plain(v, axis))
        return;
    for (fx_id id = 1; id < t->ax.val.n; id++) {
        const struct fx_val *o = &t->ax.val.p[id];
        if (o->kind != FX_LOAD || o->node != v->node || !plain(o, other))
            continue;
        for (uint32_t k = 0; k < v->rank && !t->wrong; k++)
            tie(t, axis[k], (uint8_t)other[k]);
        if (!t->wrong)
            note_whole(t, v, axis);
        return;
    }
}

static void note_read(void *ctx, const struct fx *x, fx_id id)
{
    struct match *t = ctx;
    const struct fx_val *v = &x->val.p[id];
    if (v->kind == FX_LOAD && !t->wrong && !tie_member(t, v))
        tie_shared(t, v);
}

/* A sum over all columns of what they give, or what follows from it: it stays behind, as a cluster
 * that reads the columns. */
static bool stays(const struct fuse_member *m)
{
    return m->role == FUSE_FOLD || m->role == FUSE_FINISH;
}

/* Sums and what follows from them, and none waits for another. */
static bool is_columns(struct match *t)
{
    const struct fuse_cluster *b = t->b;
    for (uint32_t i = 0; i < b->members.n; i++) {
        const struct fuse_member *m = &b->members.p[i];
        const struct ir_node *n = ir_at(t->bx.g, m->node);
        fx_id v = fuse_member_value(&t->bx, b, i);
        bool plain_sum = n->op == IR_reduce && n->monoid != IRM_argmax && n->monoid != IRM_argmin;
        bool sum = m->role == FUSE_REDUCE && plain_sum && !t->bx.val.p[v].bound;
        for (uint32_t k = 0; m->role == FUSE_FOLD && k < n->nd; k++)
            if (m->axis[k] != NONE && m->axis[k] >= b->outer)
                return false;
        if (!sum && m->role != FUSE_KEPT && !stays(m))
            return false;
    }
    return true;
}

static int64_t product(const struct fuse_cluster *c, uint32_t from, uint32_t to)
{
    int64_t p = 1;
    for (uint32_t i = from; i < to; i++)
        p *= c->dim[i];
    return p;
}

static bool turned_round(struct match *t)
{
    const struct fuse_cluster *a = t->a, *b = t->b;
    if (a->skeleton != FUSE_ROW || a->outer != b->inner || a->inner != b->outer ||
        product(b, 0, b->outer) > MOST_COLUMNS ||
        product(b, b->outer, b->outer + b->inner) < LEAST_ROWS || !is_columns(t))
        return false;
    memset(t->to, NONE, sizeof t->to);
    for (uint32_t i = 0; i < a->members.n; i++)
        fuse_member_value(&t->ax, a, i);
    for (uint32_t i = 0; i < b->members.n; i++)
        fuse_member_value(&t->bx, b, i);
    uint8_t *seen = xcalloc(t->bx.val.n, 1);
    for (uint32_t i = 0; i < b->members.n; i++)
        if (!stays(&b->members.p[i]))
            fx_walk(&t->bx, fuse_member_value(&t->bx, b, i), seen, note_read, t);
    free(seen);
    for (uint32_t i = 0; i < b->outer + b->inner; i++)
        t->wrong = t->wrong || t->to[i] == NONE || (t->to[i] < a->outer) != (i >= b->outer);
    return t->shares && !t->wrong;
}

static bool reads(const struct fuse_cluster *a, const struct fuse_cluster *b)
{
    for (uint32_t i = 0; i < a->inputs.n; i++)
        for (uint32_t k = 0; k < b->members.n; k++)
            if (b->members.p[k].node == a->inputs.p[i])
                return true;
    return false;
}

static int by_node(const void *x, const void *y)
{
    const struct fuse_member *a = x, *b = y;
    return (a->node > b->node) - (a->node < b->node);
}

static void take_in(struct fuse_plan *p, struct fuse_cluster *a, struct fuse_cluster *b,
                    const uint8_t *to)
{
    struct fuse_cluster rest = {.skeleton = FUSE_COLUMN, .anchor = b->anchor, .outer = b->outer};
    memcpy(rest.dim, b->dim, sizeof rest.dim);
    for (uint32_t i = 0; i < b->members.n; i++) {
        struct fuse_member m = b->members.p[i];
        if (stays(&m)) {
            rest.anchor = rest.members.n ? rest.anchor : m.node;
            vec_push(&rest.members, m);
            continue;
        }
        for (uint32_t k = 0; k < ir_at(p->g, m.node)->nd; k++)
            m.axis[k] = m.axis[k] == NONE ? (uint8_t)NONE : to[m.axis[k]];
        m.role = m.role == FUSE_REDUCE ? FUSE_ACROSS : FUSE_AFTER;
        vec_push(&a->members, m);
    }
    qsort(a->members.p, a->members.n, sizeof *a->members.p, by_node);
    fuse_cluster_free(b);
    *b = rest;
    if (rest.members.n)
        fuse_read_inputs(p, b);
    fuse_read_inputs(p, a);
}

static bool try_pair(struct fuse_plan *p, uint32_t ai, uint32_t bi)
{
    struct fuse_cluster *a = &p->clusters.p[ai], *b = &p->clusters.p[bi];
    struct match t = {.a = a, .b = b};
    uint8_t *ma, *mb;
    bool columns = b->skeleton == FUSE_ROW || b->skeleton == FUSE_COLUMN;
    if (a->skeleton != FUSE_ROW || !columns || reads(a, b) || fuse_later(p, a, b) ||
        a->members.n + b->members.n > MOST_MEMBERS)
        return false;
    fuse_fx(&t.ax, p, a, &ma);
    fuse_fx(&t.bx, p, b, &mb);
    bool yes = turned_round(&t) && !fuse_cycle(p, ai, bi);
    fx_end(&t.ax);
    fx_end(&t.bx);
    free(ma);
    free(mb);
    if (yes)
        take_in(p, a, b, t.to);
    return yes;
}

void fuse_across(struct fuse_plan *p)
{
    for (uint32_t a = 0; a < p->clusters.n; a++)
        for (uint32_t b = 0; b < p->clusters.n; b++)
            if (a != b && p->clusters.p[a].members.n && p->clusters.p[b].members.n)
                try_pair(p, a, b);
}
