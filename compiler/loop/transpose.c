/* Gathers that walk down columns become loads of rows and a transposition. n gathers of n lanes,
 * whose index is stride * lane and whose places follow each other, read an n by n block of memory:
 * n loads in a row and n log n exchanges of half vectors read the same elements in a fraction of
 * the time.
 *
 * First, loops over such places are done n trips at a time, so that the gathers stand side by side;
 * then each group of n in a block is replaced at its first. Only arguments that the kernel never
 * writes are read ahead like this. */
#include "loop/private.h"

#define MAX_BODY 1024 /* instructions of a body written n times */

/* ---- which gathers ---- */

/* The lanes of an index vector as first + stride * lane. */
static bool affine_lanes(const struct lo_kernel *k, lo_id v, int64_t *first, int64_t *stride)
{
    const struct lo_insn *in = &k->insns.p[v];
    int64_t f[2], s[2];
    if (in->kind == LO_CONST || (in->kind == LO_LANES && !in->lin.n)) {
        *first = in->kind == LO_CONST ? in->i : in->lin.c0;
        *stride = in->kind == LO_LANES;
        return *first > -(1 << 20) && *first < 1 << 20;
    }
    if (in->kind != LO_OP || (in->op != IR_add && in->op != IR_sub && in->op != IR_mul) ||
        !affine_lanes(k, in->in[0], &f[0], &s[0]) || !affine_lanes(k, in->in[1], &f[1], &s[1]))
        return false;
    if (in->op == IR_mul && s[0] && s[1])
        return false;
    *first = in->op == IR_add ? f[0] + f[1] : in->op == IR_sub ? f[0] - f[1] : f[0] * f[1];
    *stride = in->op == IR_add   ? s[0] + s[1]
              : in->op == IR_sub ? s[0] - s[1]
                                 : s[0] * f[1] + s[1] * f[0];
    return *first > -(1 << 20) && *first < 1 << 20 && *stride > -(1 << 20) && *stride < 1 << 20;
}

/* The mask as the first so many lanes; lanes for none. */
static bool prefix(const struct lo_kernel *k, lo_id mask, uint32_t lanes, uint32_t *on)
{
    const struct lo_insn *in = &k->insns.p[mask];
    int64_t f[2], s[2];
    *on = lanes;
    if (!mask)
        return true;
    if (in->kind != LO_OP || in->op != IR_lt || !affine_lanes(k, in->in[0], &f[0], &s[0]) ||
        !affine_lanes(k, in->in[1], &f[1], &s[1]) || s[0] != 1 || s[1] || f[1] - f[0] < 1)
        return false;
    if (f[1] - f[0] < lanes)
        *on = (uint32_t)(f[1] - f[0]);
    return true;
}

struct column {
    int64_t first, stride;
    uint32_t on; /* lanes that are read */
};

static bool is_column(const struct lo_kernel *k, const struct lo_insn *in, struct column *c)
{
    const struct lo_buffer *b = &k->buffers.p[in->buf];
    enum nn_dtype t = in->type.dtype;
    if (in->kind != LO_LOAD || !in->in[2] || in->type.lanes < 4 || in->type.lanes > 16 ||
        b->space != LO_ARG || b->written ||
        (t != NN_f32 && t != NN_f64 && t != NN_i32 && t != NN_i64))
        return false;
    return affine_lanes(k, in->in[2], &c->first, &c->stride) &&
           prefix(k, in->in[0], in->type.lanes, &c->on) && c->on > 1 &&
           (c->stride >= in->type.lanes || c->stride <= -(int64_t)in->type.lanes);
}

/* ---- loops ---- */

static int64_t factor(struct lo_lin l, lo_id v)
{
    for (uint32_t i = 0; i < l.n; i++)
        if (l.part[i].v == v)
            return l.part[i].c;
    return 0;
}

static bool defined_in(const struct lo_block *b, lo_id v)
{
    for (uint32_t i = 0; i < b->insn.n; i++)
        if (b->insn.p[i] == v)
            return true;
    return false;
}

/* Mask, fill, index and the rest of the place are the same in each trip. */
static bool is_steady(const struct lo_block *b, const struct lo_insn *in)
{
    for (int i = 0; i < 3; i++)
        if (in->in[i] && defined_in(b, in->in[i]))
            return false;
    for (uint32_t i = 0; i < in->lin.n; i++)
        if (defined_in(b, in->lin.part[i].v))
            return false;
    return true;
}

/* Lanes of the columns that the loop walks down, 0 if none; inner blocks stay as they are. */
static uint32_t walks_columns(const struct lo_kernel *k, lo_id loop)
{
    const struct lo_insn *in = &k->insns.p[loop];
    const struct lo_block *b = &k->blocks.p[in->body];
    uint32_t lanes = 0;
    struct column c;
    if (in->kind != LO_FOR || in->op != LO_SERIAL || in->step != 1 || b->insn.n > MAX_BODY)
        return 0;
    for (uint32_t i = 0; i < b->insn.n; i++) {
        const struct lo_insn *x = &k->insns.p[b->insn.p[i]];
        if (x->body || x->kind == LO_BARRIER || x->kind == LO_TRAP)
            return 0;
        if (is_column(k, x, &c) && factor(x->lin, loop) == 1 && is_steady(b, x))
            lanes = x->type.lanes > lanes ? x->type.lanes : lanes;
    }
    return b->insn.n * lanes <= MAX_BODY ? lanes : 0;
}

/* The loop's trips from `from` to `to`, `copies` at a time. */
static void repeat(struct lo_rewrite *r, lo_id id, struct lo_lin from, struct lo_lin to,
                   uint32_t copies)
{
    uint32_t body = r->old.insns.p[id].body;
    lo_id v = lo_for(&r->b, LO_SERIAL, from, to, copies);
    for (uint32_t i = 0; i < copies; i++) {
        r->map[id] = lo_value(&r->b, lo_lin_add(&r->b, lo_lin_v(&r->b, v), lo_lin_c(i)));
        lo_rewrite_block(r, body);
    }
    lo_end(&r->b);
}

static lo_id widen(struct lo_rewrite *r, lo_id id)
{
    const struct lo_insn *old = &r->old.insns.p[id];
    struct lo_kernel was = r->old;
    was.buffers = r->k->buffers;
    uint32_t lanes = old->kind == LO_FOR ? walks_columns(&was, id) : 0;
    int64_t trips;
    if (!lanes)
        return lo_rewrite_copy(r, id);
    struct lo_lin from = lo_rewrite_lin(r, old->lin), to = lo_rewrite_lin(r, old->hi);
    if (!lo_trips(&r->b, from, to, 1, &trips) || trips < lanes)
        return lo_rewrite_copy(r, id);
    struct lo_lin whole = lo_lin_add(&r->b, from, lo_lin_c(trips - trips % lanes));
    repeat(r, id, from, whole, lanes);
    if (trips % lanes)
        repeat(r, id, whole, to, 1);
    return 0;
}

/* ---- groups ---- */

struct member {     /* a gather of a group */
    uint32_t group; /* 1 + its group; 0: none */
    uint32_t at;    /* its place among the group's */
};
struct group {
    int64_t c0;      /* of the lowest place */
    lo_id value[16]; /* by place, once built */
};
struct plan {
    struct member *of; /* of each old instruction */
    VEC(struct group) groups;
};

/* The same but for the constant of the place. */
static bool side_by_side(const struct lo_insn *a, const struct lo_insn *b)
{
    if (a->buf != b->buf || a->type.dtype != b->type.dtype || a->type.lanes != b->type.lanes ||
        memcmp(a->in, b->in, sizeof a->in) || a->lin.n != b->lin.n)
        return false;
    for (uint32_t i = 0; i < a->lin.n; i++)
        if (a->lin.part[i].c != b->lin.part[i].c || a->lin.part[i].v != b->lin.part[i].v)
            return false;
    return true;
}

/* Groups that begin with the place of `low`, if its n - 1 followers are all there. */
static void try_group(struct plan *p, const struct lo_kernel *k, const lo_id *list, uint32_t n,
                      lo_id low)
{
    const struct lo_insn *base = &k->insns.p[low];
    uint32_t lanes = base->type.lanes, found = 0;
    lo_id at[16] = {0};
    struct group g = {.c0 = base->lin.c0};
    for (uint32_t i = 0; i < n; i++) {
        const struct lo_insn *in = &k->insns.p[list[i]];
        int64_t d = in->lin.c0 - base->lin.c0;
        if (p->of[list[i]].group || d < 0 || d >= lanes || at[d] || !side_by_side(in, base))
            continue;
        at[d] = list[i];
        found++;
    }
    if (found < lanes)
        return;
    vec_push(&p->groups, g);
    for (uint32_t i = 0; i < lanes; i++)
        p->of[at[i]] = (struct member){p->groups.n, i};
}

static void find_groups(struct plan *p, const struct lo_kernel *k)
{
    VEC(lo_id) list = {0};
    struct column c;
    for (uint32_t b = 1; b < k->blocks.n; b++) {
        list.n = 0;
        for (uint32_t i = 0; i < k->blocks.p[b].insn.n && list.n < MAX_BODY; i++)
            if (is_column(k, &k->insns.p[k->blocks.p[b].insn.p[i]], &c))
                vec_push(&list, k->blocks.p[b].insn.p[i]);
        /* lowest places first, so that runs longer than a group are cut from their beginning */
        for (uint32_t i = 0; i < list.n; i++)
            for (uint32_t j = i;
                 j > 0 && k->insns.p[list.p[j]].lin.c0 < k->insns.p[list.p[j - 1]].lin.c0; j--) {
                lo_id t = list.p[j];
                list.p[j] = list.p[j - 1];
                list.p[j - 1] = t;
            }
        for (uint32_t i = 0; i < list.n; i++)
            if (!p->of[list.p[i]].group)
                try_group(p, k, list.p, list.n, list.p[i]);
    }
    vec_free(&list);
}

/* The block's rows, exchanged until lane r of value t is element t of row r. */
static void build_group(struct lo_rewrite *r, struct group *g, const struct lo_insn *in,
                        struct column c)
{
    uint32_t n = in->type.lanes;
    lo_id zero = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct lo_lin at = lo_rewrite_lin(r, in->lin);
        at.c0 = g->c0 + c.first + c.stride * i;
        if (i < c.on)
            g->value[i] = lo_load(&r->b, in->buf, at, n, 0, 0);
        else
            g->value[i] = zero =
                zero ? zero
                     : lo_append(&r->b, (struct lo_insn){.kind = LO_CONST, .type = in->type});
    }
    for (uint32_t h = n / 2; h; h /= 2)
        for (uint32_t i = 0; i < n; i++)
            if (!(i & h)) {
                lo_id x = g->value[i], y = g->value[i + h];
                g->value[i] = lo_trade(&r->b, x, y, h, false);
                g->value[i + h] = lo_trade(&r->b, x, y, h, true);
            }
    for (uint32_t i = 0; i < n && in->in[1]; i++)
        g->value[i] =
            lo_op(&r->b, IR_select, in->type, r->map[in->in[0]], g->value[i], r->map[in->in[1]]);
}

static lo_id replace(struct lo_rewrite *r, lo_id id)
{
    struct plan *p = r->own;
    const struct member *m = &p->of[id];
    struct column c;
    if (!m->group)
        return lo_rewrite_copy(r, id);
    struct group *g = &p->groups.p[m->group - 1];
    struct lo_kernel was = r->old;
    was.buffers = r->k->buffers;
    if (!g->value[0]) {
        CHECK(is_column(&was, &was.insns.p[id], &c), "transpose: no column");
        build_group(r, g, &was.insns.p[id], c);
    }
    return g->value[m->at];
}

bool lo_transpose(struct lo_kernel *k)
{
    bool any = false;
    struct column c;
    for (uint32_t i = 1; i < k->insns.n && !any && !lo_is_gpu(k); i++)
        any = is_column(k, &k->insns.p[i], &c);
    if (!any)
        return false;
    struct plan p = {0};
    lo_rewrite(k, widen, NULL);
    p.of = xcalloc(k->insns.n, sizeof *p.of);
    find_groups(&p, k);
    lo_rewrite(k, replace, &p);
    free(p.of);
    vec_free(&p.groups);
    return true;
}
