/* Chains whose columns a GPU goes over tile by tile, so that nothing of a row's length is ever
 * kept: contractions that give square values (scores), what follows point by point, a softmax's two
 * folds of a row, and contractions that sum over the columns. The folds can be had as the columns
 * come (a running maximum, with all sums scaled anew where it grows) if every sum over the columns
 * is of exp(x - maximum) or exp(x - maximum) / total, times something that knows neither. */
#include "fuse/private.h"
#include <math.h>

/* ---- the columns ---- */

enum { UNKNOWN = UINT32_MAX, SEVERAL = UINT32_MAX - 1 };

struct look {
    const struct fuse_plan *p;
    const struct fuse_cluster *chain;
    uint32_t column; /* of the stage's space: UNKNOWN, SEVERAL */
};

static const struct fx_local *local_of(const struct fuse_cluster *chain, ir_id node)
{
    for (uint32_t i = 0; i < chain->nlocal; i++)
        if (chain->local[i].node == node)
            return &chain->local[i];
    return NULL;
}

uint32_t fuse_local_column(const struct fuse_plan *p, const struct fx_local *v)
{
    const struct ir_node *n = ir_at(p->g, v->node);
    uint32_t found = UNKNOWN;
    for (uint32_t i = 0; i < ir_rank(n); i++) {
        if ((v->apart >> i & 1) || i == v->split || ir_axes(n)[i].n == 1)
            continue;
        found = found == UNKNOWN ? i : SEVERAL;
    }
    return found == UNKNOWN ? SEVERAL : found;
}

static void note_column(struct look *l, uint32_t axis)
{
    l->column = l->column == UNKNOWN || l->column == axis ? axis : SEVERAL;
}

static void read_column(void *ctx, const struct fx *x, fx_id id)
{
    struct look *l = ctx;
    const struct fx_val *v = &x->val.p[id];
    const struct fx_local *own = v->kind == FX_LOAD ? local_of(l->chain, v->node) : NULL;
    if (!own)
        return;
    uint32_t axis, column = fuse_local_column(l->p, own);
    note_column(l, column == SEVERAL || !ix_is_axis(v->coord[column], &axis) ? SEVERAL : axis);
}

bool fuse_stage_column(const struct fuse_plan *p, const struct fuse_cluster *chain,
                       const struct fuse_cluster *stage, uint32_t *column)
{
    struct look l = {p, chain, UNKNOWN};
    struct fx x;
    uint8_t *mode;
    fuse_fx(&x, p, stage, &mode);
    for (uint32_t i = 0; i < stage->members.n; i++) {
        const struct fuse_member *m = &stage->members.p[i];
        const struct fx_local *own = local_of(chain, m->node);
        if (own) {
            uint32_t c = fuse_local_column(p, own);
            note_column(&l, c == SEVERAL || m->axis[c] == FUSE_NO_AXIS ? SEVERAL : m->axis[c]);
        }
        fx_id v = fuse_member_value(&x, stage, i);
        uint8_t *seen = xcalloc(x.val.n, 1);
        fx_walk(&x, v, seen, read_column, &l);
        free(seen);
    }
    fx_end(&x);
    free(mode);
    *column = l.column;
    return l.column < SEVERAL;
}

/* ---- one space for all stages ---- */

/* The stage's axes in the common space: rows, the column, then a pool of others, of which those of
 * equal size are one. */
static bool map_axes(const struct fuse_cluster *chain, const struct fuse_cluster *stage,
                     uint32_t column, struct fuse_cluster *all, uint8_t *to)
{
    uint32_t used = 0, rows = chain->outer, own = stage->outer + stage->inner;
    memset(to, FUSE_NO_AXIS, IR_MAX_AXES);
    to[stage->split] = (uint8_t)(rows - 1);
    to[column] = (uint8_t)rows;
    all->dim[rows] = stage->dim[column];
    for (uint32_t k = 0; k + 1 < rows; k++)
        to[own + k] = (uint8_t)k;
    for (uint32_t a = 0; a < own; a++) {
        uint32_t at = rows + 1;
        if (a == stage->split || a == column)
            continue;
        while (at < all->outer && (all->dim[at] != stage->dim[a] || used >> at & 1))
            at++;
        if (at == IR_MAX_AXES)
            return false;
        if (at == all->outer)
            all->dim[all->outer++] = stage->dim[a];
        used |= 1u << at;
        to[a] = (uint8_t)at;
    }
    return true;
}

static bool has_node(const struct fuse_cluster *c, ir_id node, bool *stored)
{
    for (uint32_t i = 0; i < c->members.n; i++)
        if (c->members.p[i].node == node) {
            *stored = c->members.p[i].stored;
            return true;
        }
    return false;
}

bool fuse_stream_space(const struct fuse_plan *p, const struct fuse_cluster *chain,
                       struct fuse_cluster *all)
{
    *all = (struct fuse_cluster){
        .skeleton = FUSE_CHAIN, .anchor = chain->anchor, .outer = chain->outer + 1};
    memcpy(all->dim, chain->dim, chain->outer * sizeof *all->dim);
    for (uint32_t i = 0; i < chain->stages.n; i++) {
        const struct fuse_cluster *stage = &chain->stages.p[i];
        uint8_t to[IR_MAX_AXES];
        uint32_t column;
        if (chain->outer + 1 >= IR_MAX_AXES || !fuse_stage_column(p, chain, stage, &column) ||
            column == stage->split || !map_axes(chain, stage, column, all, to))
            return false;
        for (uint32_t k = 0; k < stage->members.n; k++) {
            struct fuse_member m = stage->members.p[k];
            bool stored = false;
            if (has_node(all, m.node, &stored))
                continue;
            m.stored = has_node(chain, m.node, &stored) && stored;
            m.level = i;
            for (uint32_t a = 0; a < IR_MAX_AXES; a++)
                m.axis[a] = m.axis[a] == FUSE_NO_AXIS ? FUSE_NO_AXIS : to[m.axis[a]];
            vec_push(&all->members, m);
        }
    }
    for (uint32_t i = 0; i < chain->inputs.n; i++)
        vec_push(&all->inputs, chain->inputs.p[i]);
    return true;
}

/* ---- its parts ---- */

struct find {
    const struct fx *x;
    const struct fuse_cluster *chain, *all;
    struct fuse_stream *out;
    uint32_t rows, row, column; /* masks: all rows, the one that is cut */
    ir_id bound, past;          /* while walking: of what is used the node, this one aside, */
    bool several;               /* or of more than one */
    enum fuse_reason why;       /* the last thing that did not fit */
};

static bool refuse(struct find *f, enum fuse_reason why)
{
    f->why = why;
    return false;
}

static uint32_t axes_of(const struct find *f, fx_id id) { return f->x->val.p[id].axes; }
static bool is_bound(const struct find *f, fx_id id) { return f->x->val.p[id].bound; }
static bool within(uint32_t axes, uint32_t of) { return !(axes & ~of); }

static uint32_t mask_of(const struct fuse_member *m, uint32_t from, uint32_t to)
{
    uint32_t axes = 0;
    for (uint32_t k = from; k < to; k++)
        axes |= m->axis[k] == FUSE_NO_AXIS ? 0 : 1u << m->axis[k];
    return axes;
}

static int64_t size_of(const struct find *f, uint32_t axes)
{
    int64_t n = 1;
    for (uint32_t a = 0; a < f->all->outer; a++)
        n *= axes >> a & 1 ? f->all->dim[a] : 1;
    return n;
}

static bool add_score(struct find *f, uint32_t member, const fx_id *in, uint32_t k)
{
    struct fuse_stream *o = f->out;
    uint32_t columns = (f->rows & ~f->row) | f->column;
    bool first = within(axes_of(f, in[0]), f->rows | k) && within(axes_of(f, in[1]), columns | k);
    fx_id row = in[!first], col = in[first];
    if (o->nscore == COUNT(o->score))
        return refuse(f, FUSE_SCORES);
    if (size_of(f, k) > FUSE_STREAM_DEPTH)
        return refuse(f, FUSE_DEPTH);
    if (is_bound(f, row) || is_bound(f, col) || !within(axes_of(f, row), f->rows | k) ||
        !within(axes_of(f, col), columns | k))
        return refuse(f, FUSE_FACTOR);
    o->score[o->nscore++] = (struct fuse_score){member, row, col, k};
    return true;
}

static bool add_sum(struct find *f, uint32_t member, const fx_id *in, uint32_t n)
{
    struct fuse_stream *o = f->out;
    uint32_t columns = (f->rows & ~f->row) | f->column | n;
    bool first = !is_bound(f, in[1]) && within(axes_of(f, in[1]), columns);
    fx_id square = in[!first], col = in[first];
    if (o->nsum == COUNT(o->sum))
        return refuse(f, FUSE_SCORES);
    if (size_of(f, n) > FUSE_STREAM_DEPTH)
        return refuse(f, FUSE_DEPTH);
    if (is_bound(f, col) || !within(axes_of(f, col), columns) ||
        !within(axes_of(f, square), f->rows | f->column) || !n)
        return refuse(f, FUSE_FACTOR);
    o->sum[o->nsum++] = (struct fuse_sum){.member = member, .square = square, .col = col, .n = n};
    return true;
}

static bool add_fold(struct find *f, uint32_t member, enum ir_monoid monoid)
{
    uint32_t *to = monoid == IRM_max ? &f->out->max : &f->out->total;
    if ((monoid != IRM_max && monoid != IRM_sum) || *to != UINT32_MAX)
        return refuse(f, FUSE_SOFTMAX);
    *to = member;
    return true;
}

/* A reduction of f32 is a score, a sum over the columns, or a fold of rows. */
static bool add_reduce(struct find *f, uint32_t member, fx_id value)
{
    const struct fuse_member *m = &f->all->members.p[member];
    const struct ir_node *n = ir_at(f->x->g, m->node);
    const struct fx_val *v = &f->x->val.p[value];
    uint32_t kept = mask_of(m, 0, n->nd - n->nred), over = mask_of(m, n->nd - n->nred, n->nd);
    if (!nn_is_float(n->dtype) || n->dtype == NN_f64)
        return refuse(f, FUSE_SOFTMAX);
    if (f->chain->stages.p[m->level].skeleton != FUSE_CONTRACT)
        return over == f->column && within(kept, f->rows)
                   ? add_fold(f, member, (enum ir_monoid)n->monoid)
                   : refuse(f, FUSE_SOFTMAX);
    if (v->kind != FX_OP || v->op != IR_mul || n->monoid != IRM_sum)
        return refuse(f, FUSE_FACTOR);
    if (over == f->column)
        return add_sum(f, member, v->in, kept & ~f->rows);
    return over & (f->rows | f->column) ? refuse(f, FUSE_FACTOR)
                                        : add_score(f, member, v->in, over);
}

/* ---- the softmax ---- */

/* A value as exp(x - max)^e * total^l * something that knows neither; zero: or 0. */
struct degree {
    int e, l;
    bool zero, good;
};

static struct degree degree_of(const struct find *f, fx_id id);

static struct degree of_op(const struct find *f, const struct fx_val *v)
{
    struct degree d[3] = {{0}}, none = {0};
    int n = ir_op_arity(v->op);
    bool free = true;
    for (int i = 0; i < n; i++) {
        d[i] = degree_of(f, v->in[i]);
        if (!d[i].good)
            return none;
        free = free && !d[i].e && !d[i].l;
    }
    if (free)
        return (struct degree){.good = true};
    switch ((int)v->op) {
    case IR_cast:
    case IR_round_tf32:
    case IR_neg: return d[0];
    case IR_mul: return (struct degree){d[0].e + d[1].e, d[0].l + d[1].l, false, true};
    case IR_div: return (struct degree){d[0].e - d[1].e, d[0].l - d[1].l, false, true};
    case IR_select:
        if (d[0].e || d[0].l)
            return none;
        if (d[1].zero || d[2].zero)
            return d[1 + d[1].zero];
        return d[1].e == d[2].e && d[1].l == d[2].l ? d[1] : none;
    }
    return none;
}

static struct degree degree_of(const struct find *f, fx_id id)
{
    const struct fx_val *v = &f->x->val.p[id];
    ir_id max = f->all->members.p[f->out->max].node, total = f->all->members.p[f->out->total].node;
    struct degree d = {.good = true};
    if (id == f->out->e) {
        d.e = 1;
        return d;
    }
    switch ((enum fx_kind)v->kind) {
    case FX_BOUND:
        d.l = v->node == total;
        d.good = v->node != max;
        return d;
    case FX_OP: return of_op(f, v);
    case FX_PICK:
        d = degree_of(f, v->in[0]);
        d.good = d.good && (v->f == 0 || (!d.e && !d.l));
        return d;
    case FX_CONST: d.zero = nn_is_float(v->dtype) && v->f == 0; return d;
    case FX_LOAD:
    case FX_INDEX:
    case FX_RANDOM: break;
    }
    return d;
}

/* 0 where the conditions of `by`, a pick, leave a column out. */
static bool left_out(const struct find *f, fx_id id, const struct fx_val *by)
{
    const struct fx_val *v = &f->x->val.p[id];
    if (v->kind == FX_PICK)
        return v->f == 0 &&
               ((v->pick == by->pick && v->cond == by->cond) || left_out(f, v->in[0], by));
    if (v->kind != FX_OP)
        return false;
    switch ((int)v->op) {
    case IR_cast:
    case IR_round_tf32:
    case IR_neg:
    case IR_div: return left_out(f, v->in[0], by);
    case IR_mul: return left_out(f, v->in[0], by) || left_out(f, v->in[1], by);
    }
    return false;
}

/* 0 where the choice or the conditions that make known -inf do so. */
static bool masked(const struct find *f, fx_id id)
{
    const struct fx_val *v = &f->x->val.p[id], *known = &f->x->val.p[f->out->known];
    if (v->kind == FX_PICK)
        return (known->kind == FX_PICK && v->pick == known->pick) || masked(f, v->in[0]);
    if (v->kind != FX_OP || id == f->out->e)
        return false;
    switch ((int)v->op) {
    case IR_select:
        return (known->kind == FX_OP && known->op == IR_select && known->in[0] == v->in[0]) ||
               masked(f, v->in[1]) || masked(f, v->in[2]);
    case IR_cast:
    case IR_round_tf32:
    case IR_neg:
    case IR_div: return masked(f, v->in[0]);
    case IR_mul: return masked(f, v->in[0]) || masked(f, v->in[1]);
    }
    return false;
}

/* x, which is -inf where the conditions of `sum` leave a column out, without these; a mask's own
 * conditions may be among x's. */
static fx_id within_columns(const struct find *f, const struct fx_val *x, const struct fx_val *sum)
{
    const struct fx_val *e = &f->x->val.p[sum->in[0]], *z, *known;
    if (x->cond != sum->cond)
        return 0;
    if (x->pick == sum->pick)
        return x->in[0];
    z = &f->x->val.p[e->in[0]];
    known = &f->x->val.p[z->in[0]];
    bool masked = known->kind == FX_PICK && known->f == -INFINITY && known->in[0] == x->in[0] &&
                  known->pick == x->pick && known->cond == sum->pick;
    return masked ? z->in[0] : 0;
}

/* max folds x, total exp(x - max). Where conditions leave columns out of both (beyond a size that
 * the run chooses), x is -inf there, and so what is made of it is 0. */
static bool find_softmax(struct find *f, const fx_id *value)
{
    struct fuse_stream *o = f->out;
    if (o->max == UINT32_MAX || o->total == UINT32_MAX)
        return o->max == o->total;
    o->x = o->known = value[o->max];
    o->e = value[o->total];
    const struct fx_val *x = &f->x->val.p[o->x], *sum = &f->x->val.p[o->e];
    if (x->kind == FX_PICK && x->f == -INFINITY && sum->kind == FX_PICK && sum->f == 0 &&
        (o->known = within_columns(f, x, sum)) != 0)
        o->e = sum->in[0];
    else
        o->known = o->x;
    const struct fx_val *e = &f->x->val.p[o->e], *z = &f->x->val.p[e->in[0]];
    if (e->kind != FX_OP || e->op != IR_exp || z->kind != FX_OP || z->op != IR_sub ||
        z->in[0] != o->known || e->dtype != NN_f32)
        return false;
    const struct fx_val *m = &f->x->val.p[z->in[1]];
    if (m->kind != FX_BOUND || m->node != f->all->members.p[o->max].node)
        return false;
    for (uint32_t i = 0; i < o->nsum; i++) {
        struct degree d = degree_of(f, o->sum[i].square);
        if (!d.good || d.e != 1 || (d.l != -1 && d.l != 0) ||
            (o->known != o->x && !left_out(f, o->sum[i].square, sum)))
            return false;
        o->sum[i].divided = d.l == -1;
        o->sum[i].masked = masked(f, o->sum[i].square);
    }
    return true;
}

/* ---- what follows ---- */

static void note_bound(void *ctx, const struct fx *x, fx_id id)
{
    struct find *f = ctx;
    const struct fx_val *v = &x->val.p[id];
    if (v->kind != FX_BOUND || v->node == f->past)
        return;
    f->several = f->several || (f->bound && f->bound != v->node);
    f->bound = v->node;
}

static void find_bound(struct find *f, fx_id value, ir_id past)
{
    uint8_t *seen = xcalloc(f->x->val.n, 1);
    f->bound = 0;
    f->past = past;
    f->several = false;
    fx_walk(f->x, value, seen, note_bound, f);
    free(seen);
}

/* A member that may be stored and is no reduction: of a row, or after one sum, and the total. */
static bool may_follow(struct find *f, uint32_t member, fx_id value)
{
    const struct fuse_member *m = &f->all->members.p[member];
    bool softmax = f->out->total != UINT32_MAX;
    find_bound(f, value, softmax ? f->all->members.p[f->out->total].node : 0);
    for (uint32_t i = 0; i < f->out->nsum; i++) {
        const struct fuse_member *sum = &f->all->members.p[f->out->sum[i].member];
        if (sum->level == m->level)
            return within(axes_of(f, value), f->rows | f->out->sum[i].n) && !f->several &&
                   (!f->bound || f->bound == sum->node);
    }
    find_bound(f, value, 0);
    bool folds = f->out->max != UINT32_MAX && m->level == f->all->members.p[f->out->max].level;
    for (uint32_t i = 0; i < f->out->nscore; i++)
        folds =
            folds && (f->several || f->bound != f->all->members.p[f->out->score[i].member].node);
    return folds && within(axes_of(f, value), f->rows);
}

/* … or of a point, where no softmax goes along with the columns. */
static bool may_store(struct find *f, uint32_t member, fx_id value)
{
    const struct fuse_member *m = &f->all->members.p[member];
    const struct ir_node *n = ir_at(f->x->g, m->node);
    if (f->out->stored != UINT32_MAX || f->out->max != UINT32_MAX || f->out->nsum ||
        mask_of(m, 0, n->nd) != (f->rows | f->column) ||
        !within(axes_of(f, value), f->rows | f->column))
        return false;
    f->out->stored = member;
    return true;
}

enum fuse_reason fuse_stream_find(struct fx *x, const struct fuse_cluster *chain,
                                  const struct fuse_cluster *all, struct fuse_stream *out)
{
    uint32_t rows = chain->outer;
    struct find f = {.x = x, .chain = chain, .all = all, .out = out, .why = FUSE_FACTOR};
    *out = (struct fuse_stream){
        .rows = rows, .max = UINT32_MAX, .total = UINT32_MAX, .stored = UINT32_MAX};
    f.rows = (1u << rows) - 1;
    f.row = 1u << (rows - 1);
    f.column = 1u << rows;
    fx_id *value = xcalloc(all->members.n, sizeof *value);
    bool good = true;
    for (uint32_t i = 0; i < all->members.n; i++)
        value[i] = fuse_member_value(x, all, i);
    for (uint32_t i = 0; i < all->members.n && good; i++)
        if (all->members.p[i].role == FUSE_REDUCE)
            good = add_reduce(&f, i, value[i]);
    good = good && out->nscore && (find_softmax(&f, value) || refuse(&f, FUSE_SOFTMAX));
    for (uint32_t i = 0; i < all->members.n && good; i++) {
        bool stored, final = has_node(chain, all->members.p[i].node, &stored);
        if (final && all->members.p[i].role != FUSE_REDUCE)
            good = may_follow(&f, i, value[i]) || may_store(&f, i, value[i]) ||
                   refuse(&f, FUSE_EPILOGUE);
    }
    good = good && (out->nsum || out->stored != UINT32_MAX);
    free(value);
    return good ? FUSE_LEGAL : f.why;
}

enum fuse_reason fuse_streams(const struct fuse_plan *p, const struct fuse_cluster *chain)
{
    struct fuse_cluster all;
    struct fuse_stream found;
    enum fuse_reason why = FUSE_FACTOR;
    if (fuse_stream_space(p, chain, &all)) {
        struct fx x;
        uint8_t *mode;
        fuse_fx(&x, p, &all, &mode);
        why = fuse_stream_find(&x, chain, &all, &found);
        fx_end(&x);
        free(mode);
    }
    fuse_cluster_free(&all);
    return why;
}
