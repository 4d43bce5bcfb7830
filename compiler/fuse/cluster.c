/* Clusters: one for each stored node to begin with; what a cluster reads, the levels of its
 * members, and the order of all clusters once merging is done. */
#include "fuse/private.h"

/* ---- members ---- */

void fuse_member_coords(struct fx *x, const struct fuse_cluster *c, const struct fuse_member *m,
                        const struct ix **at)
{
    const struct ir_node *n = ir_at(x->g, m->node);
    for (uint32_t i = 0; i < n->nd; i++) {
        if (m->axis[i] == FUSE_NO_AXIS)
            at[i] = ix_const(x->mem, 0);
        else
            at[i] = c->through ? c->through[m->axis[i]] : ix_axis(x->mem, m->axis[i]);
        if (c->fixed && m->axis[i] == c->split)
            at[i] = ix_add(x->mem, at[i], ix_axis(x->mem, x->first_row));
    }
}

fx_id fuse_member_value(struct fx *x, const struct fuse_cluster *c, uint32_t i)
{
    const struct fuse_member *m = &c->members.p[i];
    const struct ix *at[IR_MAX_AXES];
    fuse_member_coords(x, c, m, at);
    if (ir_op_class(ir_at(x->g, m->node)->op) == IRC_SHAPE &&
        ir_at(x->g, m->node)->op != IR_reshape)
        return fx_operand(x, m->node, 0, at);
    return fx_compute(x, m->node, at);
}

uint8_t *fuse_modes(const struct fuse_plan *p, const struct fuse_cluster *c)
{
    uint8_t *mode = xmalloc(p->g->nodes.n);
    memcpy(mode, p->mode, p->g->nodes.n);
    for (uint32_t i = 0; i < c->nlocal; i++)
        mode[c->local[i].node] = FX_STORED;
    for (uint32_t i = 0; i < c->members.n; i++) {
        const struct fuse_member *m = &c->members.p[i];
        bool reduced = m->role == FUSE_REDUCE || m->role == FUSE_FOLD || m->role == FUSE_ALONE ||
                       m->role == FUSE_ACROSS;
        mode[m->node] = reduced ? FX_BIND : FX_INLINE;
    }
    return mode;
}

void fuse_fx_begin(struct fx *x, const struct fuse_plan *p, const struct fuse_cluster *c,
                   const uint8_t *mode)
{
    fx_begin(x, p->g, mode, c->outer + c->inner + c->fixed, c->dim);
    x->local = c->local;
    x->nlocal = c->nlocal;
    x->first_row = c->outer + c->inner + c->fixed - 1;
}

void fuse_fx(struct fx *x, const struct fuse_plan *p, const struct fuse_cluster *c, uint8_t **mode)
{
    *mode = fuse_modes(p, c);
    fuse_fx_begin(x, p, c, *mode);
}

bool fuse_contraction(const struct fx *x, const struct fuse_cluster *c, fx_id value,
                      struct fuse_contraction *out)
{
    const struct fx_val *v = &x->val.p[value];
    if (v->kind != FX_OP || v->op != IR_mul)
        return false;
    uint32_t all = c->outer + c->inner < 32 ? (1u << (c->outer + c->inner)) - 1 : UINT32_MAX;
    uint32_t outer = (1u << c->outer) - 1, inner = all & ~outer;
    uint32_t a = x->val.p[v->in[0]].axes & all, b = x->val.p[v->in[1]].axes & all;
    if ((a | b) != all)
        return false;
    *out = (struct fuse_contraction){.value = value,
                                     .a = v->in[0],
                                     .b = v->in[1],
                                     .batch = outer & a & b,
                                     .m = outer & a & ~b,
                                     .n = outer & b & ~a,
                                     .k = inner & a & b,
                                     .ka = inner & a & ~b,
                                     .kb = inner & b & ~a};
    return out->m && out->n && out->k;
}

static int64_t size_of(const struct fuse_cluster *c, uint32_t axes)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < c->outer + c->inner; i++)
        n *= axes >> i & 1 ? c->dim[i] : 1;
    return n;
}

/* Worth a matmul kernel: below this a loop over k inside of a map is as good. */
static bool is_contract(const struct fuse_plan *p, const struct fuse_cluster *c)
{
    const struct ir_node *n = ir_at(p->g, c->anchor);
    struct fuse_contraction k;
    struct fx x;
    uint8_t *mode;
    if (n->monoid != IRM_sum || !nn_is_float(n->dtype))
        return false;
    fuse_fx(&x, p, c, &mode);
    bool yes = fuse_contraction(&x, c, fuse_member_value(&x, c, 0), &k) && !k.ka && !k.kb &&
               size_of(c, k.m) >= 2 && size_of(c, k.n) >= 2 && size_of(c, k.k) >= 8 &&
               size_of(c, k.m | k.n) >= 64;
    fx_end(&x);
    free(mode);
    return yes;
}

/* ---- one node's own cluster ---- */

/* Appends the node's axes from..to to the space; those of one element need no loop. */
static void add_axes(struct fuse_cluster *c, struct fuse_member *m, const struct ir_node *n,
                     uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        m->axis[i] = FUSE_NO_AXIS;
        if (n->dom[i].n == 1)
            continue;
        m->axis[i] = (uint8_t)(c->outer + c->inner);
        c->dim[c->outer + c->inner] = n->dom[i].n;
        c->inner++;
    }
}

struct fuse_cluster fuse_own_cluster(const struct fuse_plan *p, ir_id id)
{
    const struct ir_node *n = ir_at(p->g, id);
    struct fuse_cluster c = {.anchor = id};
    struct fuse_member m = {.node = id, .stored = true};
    if (n->op == IR_reduce && ir_count(n) != 1) {
        add_axes(&c, &m, n, 0, (uint32_t)n->nd - n->nred);
        c.outer = c.inner;
        c.inner = 0;
        add_axes(&c, &m, n, (uint32_t)n->nd - n->nred, n->nd);
        c.skeleton = FUSE_ROW;
        m.role = FUSE_REDUCE;
    } else {
        add_axes(&c, &m, n, 0, n->nd);
        c.outer = c.inner;
        c.inner = 0;
        bool alone = n->op == IR_scatter || n->op == IR_cumsum;
        c.skeleton = n->op == IR_scatter  ? FUSE_SCATTER
                     : n->op == IR_cumsum ? FUSE_PREFIX
                     : n->op == IR_reduce ? FUSE_COLUMN
                                          : FUSE_MAP;
        m.role = alone ? FUSE_ALONE : n->op == IR_reduce ? FUSE_FOLD : FUSE_KEPT;
    }
    vec_push(&c.members, m);
    if (m.role == FUSE_REDUCE && is_contract(p, &c))
        c.skeleton = FUSE_CONTRACT;
    return c;
}

struct reads {
    const struct fuse_plan *p;
    struct fuse_cluster *c;
    uint8_t *have;
};

static void note_read(void *ctx, const struct fx *x, fx_id id)
{
    struct reads *r = ctx;
    const struct fx_val *v = &x->val.p[id];
    if (v->kind != FX_LOAD || r->have[v->node])
        return;
    r->have[v->node] = 1;
    vec_push(&r->c->inputs, v->node);
}

/* A scatter's target and a prefix sum's other operands are read by the skeleton, not by the value.
 */
static void read_indices(struct fx *x, const struct fuse_member *m, struct reads *r)
{
    const struct ir_node *n = ir_at(x->g, m->node);
    const struct ix *at[IR_MAX_AXES];
    fuse_member_coords(x, r->c, m, at);
    for (uint32_t k = 1; m->role == FUSE_ALONE && k < n->nin; k++) {
        fx_id v = fx_operand(x, m->node, k, at);
        uint8_t *seen = xcalloc(x->val.n, 1);
        fx_walk(x, v, seen, note_read, r);
        free(seen);
    }
}

/* What the members call the axis; UINT32_MAX where that is more than one, or a part of one. */
static uint32_t member_axis(const struct fuse_cluster *c, uint32_t axis)
{
    uint32_t found = UINT32_MAX, alone, n = c->outer + c->inner;
    if (!c->through)
        return axis;
    for (uint32_t i = 0; i < n; i++) {
        if (!ix_uses_axis(c->through[i], axis))
            continue;
        if (found != UINT32_MAX || !ix_is_axis(c->through[i], &alone))
            return UINT32_MAX;
        found = i;
    }
    return found;
}

/* Whether all members that have the axis end it where *live says; NULL there: at whatever first
 * one says. */
static bool agree(const struct fuse_plan *p, const struct fuse_cluster *c, uint32_t own,
                  const struct ir_live **live)
{
    for (uint32_t i = 0; i < c->members.n; i++) {
        const struct fuse_member *m = &c->members.p[i];
        const struct ir_node *n = ir_at(p->g, m->node);
        for (uint32_t k = 0; k < n->nd; k++) {
            if (m->axis[k] != own)
                continue;
            if (!n->dom[k].live || (*live && !ir_live_equal(*live, n->dom[k].live)))
                return false;
            *live = n->dom[k].live;
        }
    }
    return true;
}

/* A chain's members are numbered by the spaces that they had; its stages know its axes. */
static const struct ir_live *chain_live(const struct fuse_plan *p, const struct fuse_cluster *c,
                                        uint32_t axis)
{
    const struct ir_live *live = NULL;
    for (uint32_t i = 0; i < c->stages.n; i++) {
        const struct fuse_cluster *stage = &c->stages.p[i];
        bool last = axis + 1 == c->outer;
        if (!agree(p, stage, last ? stage->split : stage->outer + stage->inner + axis, &live))
            return NULL;
    }
    return live;
}

const struct ir_live *fuse_axis_live(const struct fuse_plan *p, const struct fuse_cluster *c,
                                     uint32_t axis)
{
    const struct ir_live *live = NULL;
    if (c->stages.n)
        return chain_live(p, c, axis);
    uint32_t own = member_axis(c, axis);
    return own != UINT32_MAX && agree(p, c, own, &live) ? live : NULL;
}

ir_id fuse_size_node(const struct ir_graph *g, uint32_t slot)
{
    for (ir_id id = 1; id < g->nodes.n; id++)
        if (ir_at(g, id)->op == IR_slot && ir_at(g, id)->attr.i == slot)
            return id;
    return 0;
}

/* The sizes at which loops over the cluster's axes end. */
static void read_sizes(struct reads *r)
{
    for (uint32_t i = 0; i < r->c->outer + r->c->inner; i++) {
        const struct ir_live *l = fuse_axis_live(r->p, r->c, i);
        ir_id size = l ? fuse_size_node(r->p->g, l->slot) : 0;
        if (!size || r->have[size])
            continue;
        r->have[size] = 1;
        vec_push(&r->c->inputs, size);
    }
}

static int by_id(const void *x, const void *y)
{
    ir_id a = *(const ir_id *)x, b = *(const ir_id *)y;
    return (a > b) - (a < b);
}

void fuse_read_inputs(const struct fuse_plan *p, struct fuse_cluster *c)
{
    struct fx x;
    uint8_t *mode;
    c->inputs.n = 0;
    fuse_fx(&x, p, c, &mode);
    struct reads r = {p, c, xcalloc(p->g->nodes.n, 1)};
    for (uint32_t i = 0; i < c->members.n; i++) {
        fx_id v = fuse_member_value(&x, c, i);
        uint8_t *seen = xcalloc(x.val.n, 1);
        fx_walk(&x, v, seen, note_read, &r);
        free(seen);
        read_indices(&x, &c->members.p[i], &r);
    }
    read_sizes(&r);
    if (c->inputs.n)
        qsort(c->inputs.p, c->inputs.n, sizeof *c->inputs.p, by_id);
    free(r.have);
    fx_end(&x);
    free(mode);
}

void fuse_cluster_each(struct fuse_plan *p)
{
    for (ir_id id = 1; id < p->g->nodes.n; id++) {
        if (p->mode[id] != FX_STORED || !fuse_computed(ir_at(p->g, id)))
            continue;
        struct fuse_cluster c = fuse_own_cluster(p, id);
        fuse_read_inputs(p, &c);
        vec_push(&p->clusters, c);
    }
}

void fuse_cluster_free(struct fuse_cluster *c)
{
    for (uint32_t i = 0; i < c->stages.n; i++)
        fuse_cluster_free(&c->stages.p[i]);
    vec_free(&c->stages);
    vec_free(&c->members);
    vec_free(&c->inputs);
}

/* ---- the end ---- */

struct depth {
    const struct fuse_cluster *c;
    uint32_t level;
};

static void note_level(void *ctx, const struct fx *x, fx_id id)
{
    struct depth *d = ctx;
    const struct fx_val *v = &x->val.p[id];
    if (v->kind != FX_BOUND)
        return;
    for (uint32_t i = 0; i < d->c->members.n; i++)
        if (d->c->members.p[i].node == v->node && d->c->members.p[i].level + 1 > d->level)
            d->level = d->c->members.p[i].level + 1;
}

/* How many reductions each member waits for: members are in the order of their ids. */
static void set_levels(const struct fuse_plan *p, struct fuse_cluster *c)
{
    struct fx x;
    uint8_t *mode;
    fuse_fx(&x, p, c, &mode);
    for (uint32_t i = 0; i < c->members.n; i++) {
        struct depth d = {c, 0};
        fx_id v = fuse_member_value(&x, c, i);
        uint8_t *seen = xcalloc(x.val.n, 1);
        fx_walk(&x, v, seen, note_level, &d);
        free(seen);
        c->members.p[i].level = d.level;
    }
    fx_end(&x);
    free(mode);
}

static void drop_cluster(struct fuse_cluster *c)
{
    fuse_cluster_free(c);
    *c = (struct fuse_cluster){0};
}

/* What a chain's stages read of each other's results: a row's total, say, that divides a later
 * stage's sums. A chain that streams has its folds at hand. */
static void mark_stages(const struct fuse_plan *p, const struct fuse_cluster *c, uint8_t *read)
{
    for (uint32_t i = 0; i < c->stages.n; i++)
        for (uint32_t k = 0; k < c->stages.p[i].inputs.n; k++) {
            ir_id node = c->stages.p[i].inputs.p[k];
            bool at_hand = c->streams && ir_at(p->g, node)->op == IR_reduce;
            for (uint32_t m = 0; m < c->members.n && !at_hand; m++)
                if (c->members.p[m].node == node)
                    read[node] = 1;
        }
}

/* A member that no other cluster reads is not stored; a cluster that stores nothing goes (a read
 * may have turned out to lie outside everywhere). True if one went. */
static bool set_stored(struct fuse_plan *p)
{
    uint8_t *read = xcalloc(p->g->nodes.n, 1);
    bool dropped = false;
    for (uint32_t i = 0; i < p->clusters.n; i++) {
        for (uint32_t k = 0; k < p->clusters.p[i].inputs.n; k++)
            read[p->clusters.p[i].inputs.p[k]] = 1;
        mark_stages(p, &p->clusters.p[i], read);
    }
    for (uint32_t i = 0; i < p->clusters.n; i++) {
        struct fuse_cluster *c = &p->clusters.p[i];
        bool any = false;
        for (uint32_t k = 0; k < c->members.n; k++) {
            struct fuse_member *m = &c->members.p[k];
            m->stored = read[m->node] || fuse_is_root(p, m->node);
            any = any || m->stored;
            if (!m->stored && ir_op_elementwise(ir_at(p->g, m->node)->op))
                p->mode[m->node] = FX_INLINE;
        }
        if (c->members.n && !any) {
            drop_cluster(c);
            dropped = true;
        }
    }
    free(read);
    return dropped;
}

/* A stage stores what the chain keeps, and what is stored of the chain's results. */
static void set_stages(const struct fuse_plan *p, struct fuse_cluster *c)
{
    for (uint32_t i = 0; i < c->stages.n; i++) {
        struct fuse_cluster *s = &c->stages.p[i];
        set_levels(p, s);
        for (uint32_t k = 0; k < s->members.n; k++) {
            struct fuse_member *m = &s->members.p[k];
            m->stored = false;
            for (uint32_t l = 0; l < c->nlocal; l++)
                m->stored = m->stored || c->local[l].node == m->node;
            for (uint32_t l = 0; l < c->members.n; l++)
                m->stored =
                    m->stored || (c->members.p[l].stored && c->members.p[l].node == m->node);
        }
    }
}

struct order {
    struct fuse_plan *p;
    uint32_t *owner;
    uint8_t *state;
    VEC(uint32_t) done;
};

/* The clusters that are one launch with i: those of its segment, or i alone. */
static bool together(const struct fuse_plan *p, uint32_t i, uint32_t c)
{
    uint32_t segment = p->clusters.p[i].segment;
    return c == i || (segment && p->clusters.p[c].segment == segment);
}

/* All that cluster i and its segment read is done. */
static bool ready(const struct order *o, uint32_t i)
{
    const struct fuse_plan *p = o->p;
    bool alone = !p->clusters.p[i].segment;
    for (uint32_t c = alone ? i : 0; c < (alone ? i + 1 : p->clusters.n); c++) {
        const struct fuse_cluster *x = &p->clusters.p[c];
        for (uint32_t k = 0; together(p, i, c) && k < x->inputs.n; k++) {
            uint32_t from = o->owner[x->inputs.p[k]];
            if (from != UINT32_MAX && !o->state[from] && !together(p, i, from))
                return false;
        }
    }
    return true;
}

/* Always the first that is ready: nearest to the graph's own order, in which what a backward pass
 * is done with is free soonest (a cluster that waits for the end does not pull it before the
 * others). */
static void list_clusters(struct order *o)
{
    const struct fuse_plan *p = o->p;
    for (;;) {
        uint32_t i = 0, waiting = UINT32_MAX;
        for (; i < p->clusters.n; i++) {
            if (o->state[i] || !p->clusters.p[i].members.n)
                continue;
            waiting = i;
            if (ready(o, i))
                break;
        }
        if (waiting == UINT32_MAX)
            return;
        CHECK(i < p->clusters.n, "clusters wait for each other (%%%u)",
              p->clusters.p[waiting].anchor);
        for (uint32_t c = 0; c < p->clusters.n; c++)
            if (together(p, i, c) && p->clusters.p[c].members.n) {
                o->state[c] = 1;
                vec_push(&o->done, c);
            }
    }
}

void fuse_finish(struct fuse_plan *p, bool bundles)
{
    struct order o = {.p = p,
                      .owner = xmalloc(p->g->nodes.n * sizeof(uint32_t)),
                      .state = xcalloc(p->clusters.n, 1)};
    memset(o.owner, 0xff, p->g->nodes.n * sizeof(uint32_t));
    while (set_stored(p))
        continue;
    for (uint32_t i = 0; i < p->clusters.n; i++)
        for (uint32_t k = 0; k < p->clusters.p[i].members.n; k++)
            o.owner[p->clusters.p[i].members.p[k].node] = i;
    if (bundles)
        fuse_bundle(p, o.owner);
    list_clusters(&o);
    struct fuse_cluster *sorted = xcalloc(o.done.n, sizeof *sorted);
    for (uint32_t i = 0; i < o.done.n; i++)
        sorted[i] = p->clusters.p[o.done.p[i]];
    for (uint32_t i = 0; i < p->clusters.n; i++)
        if (!p->clusters.p[i].members.n)
            fuse_cluster_free(&p->clusters.p[i]);
    for (uint32_t i = 0; i < o.done.n; i++)
        p->clusters.p[i] = sorted[i];
    p->clusters.n = o.done.n;
    for (uint32_t i = 0; i < p->clusters.n; i++)
        if (p->clusters.p[i].skeleton == FUSE_CHAIN)
            set_stages(p, &p->clusters.p[i]);
        else
            set_levels(p, &p->clusters.p[i]);
    free(sorted);
    free(o.owner);
    free(o.state);
    vec_free(&o.done);
}
