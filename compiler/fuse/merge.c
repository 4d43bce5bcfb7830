/* Two clusters into one kernel, if that is legal. The consumer's reads of what the producer
 * computes must all be at the very point where it is computed: that ties the consumer's axes to the
 * producer's space. What remains is whether every member then has a place in the loops. */
#include "fuse/private.h"

struct tie {
    const struct fuse_cluster *a, *b;
    uint8_t to[IR_MAX_AXES]; /* b's axis: a's, or NONE */
    enum fuse_reason why;
    bool reads;  /* b reads a */
    bool after;  /* b reads a fold of a (or what follows one) */
    bool during; /* b reads something that exists within the loops */
};
enum { NONE = FUSE_NO_AXIS };

static const struct fuse_member *find_member(const struct fuse_cluster *c, ir_id node)
{
    for (uint32_t i = 0; i < c->members.n; i++)
        if (c->members.p[i].node == node)
            return &c->members.p[i];
    return NULL;
}

static bool taken(const struct tie *t, uint8_t own)
{
    for (uint32_t i = 0; i < t->b->outer + t->b->inner; i++)
        if (t->to[i] == own)
            return true;
    return false;
}

/* Coordinate e of a member's value must be where axis `own` of a's space stands. */
static void tie_axis(struct tie *t, const struct ix *e, uint8_t own)
{
    int64_t c;
    uint32_t axis;
    if (own == NONE) {
        if (!ix_is_const(e, &c) || c != 0)
            t->why = FUSE_POINT;
    } else if (!ix_is_axis(e, &axis) || t->b->dim[axis] != t->a->dim[own]) {
        t->why = FUSE_POINT;
    } else if (t->to[axis] == NONE && !taken(t, own)) {
        t->to[axis] = own;
    } else if (t->to[axis] != own) {
        t->why = FUSE_POINT;
    }
}

static void tie_read(void *ctx, const struct fx *x, fx_id id)
{
    struct tie *t = ctx;
    const struct fx_val *v = &x->val.p[id];
    const struct fuse_member *m = v->kind == FX_LOAD ? find_member(t->a, v->node) : NULL;
    if (!m || t->why != FUSE_LEGAL)
        return;
    t->reads = true;
    if (m->role == FUSE_FOLD || m->role == FUSE_FINISH)
        t->after = true;
    else
        t->during = true;
    if (v->cond) {
        t->why = FUSE_GUARD;
        return;
    }
    for (uint32_t i = 0; i < v->rank; i++)
        tie_axis(t, v->coord[i], m->axis[i]);
}

/* The axes of b that no read tied go to free axes of a of their size, in order. False if one
 * cannot. */
static bool tie_rest(struct tie *t)
{
    bool all = true;
    for (uint32_t i = 0; i < t->b->outer + t->b->inner; i++) {
        for (uint32_t k = 0; t->to[i] == NONE && k < t->a->outer + t->a->inner; k++)
            if (t->a->dim[k] == t->b->dim[i] && !taken(t, (uint8_t)k))
                t->to[i] = (uint8_t)k;
        all = all && t->to[i] != NONE;
    }
    return all;
}

static bool has_role(const struct fuse_cluster *c, enum fuse_role r)
{
    for (uint32_t i = 0; i < c->members.n; i++)
        if (c->members.p[i].role == r)
            return true;
    return false;
}

static uint32_t low_mask(uint32_t n) { return (1u << n) - 1; }

static uint32_t member_axes(const struct fuse_member *m, uint32_t from, uint32_t to)
{
    uint32_t axes = 0;
    for (uint32_t i = from; i < to; i++)
        axes |= m->axis[i] == NONE ? 0 : 1u << m->axis[i];
    return axes;
}

/* The role of a member with these axes in a space of `outer` and `inner` axes; false: no place. */
static bool place(const struct ir_graph *g, struct fuse_member *m, uint32_t outer, uint32_t inner,
                  bool after)
{
    const struct ir_node *n = ir_at(g, m->node);
    uint32_t out = low_mask(outer), in = low_mask(outer + inner) & ~out;
    uint32_t kept = member_axes(m, 0, (uint32_t)n->nd - n->nred);
    uint32_t folded = member_axes(m, (uint32_t)n->nd - n->nred, n->nd);
    if (after) {
        m->role = FUSE_FINISH;
        return !(kept | folded) && n->op != IR_reduce;
    }
    if (n->op == IR_reduce) {
        m->role = m->role == FUSE_FOLD || m->role == FUSE_REDUCE ? m->role : FUSE_REDUCE;
        if (m->role == FUSE_REDUCE)
            return kept == out && folded == in;
        return !kept && (folded == out || folded == (out | in));
    }
    if (m->role == FUSE_FINISH)
        return !kept;
    m->role = kept & in ? FUSE_ELEM : FUSE_KEPT;
    return m->role == FUSE_KEPT ? kept == out : kept == (out | in);
}

/* Members of one cluster in the merged space: its axis i is to[i] there. */
static bool renamed(const struct ir_graph *g, const struct fuse_cluster *c, const uint8_t *to,
                    const struct fuse_cluster *space, bool after, struct fuse_member *m)
{
    for (uint32_t i = 0; i < c->members.n; i++) {
        m[i] = c->members.p[i];
        for (uint32_t k = 0; k < ir_at(g, m[i].node)->nd; k++)
            m[i].axis[k] = m[i].axis[k] == NONE ? (uint8_t)NONE : to[m[i].axis[k]];
        if (!place(g, &m[i], space->outer, space->inner, after))
            return false;
    }
    return true;
}

static bool is_again(const struct fuse_plan *p, const struct fuse_cluster *c)
{
    for (uint32_t i = 0; i < c->members.n; i++)
        if (ir_at(p->g, c->members.p[i].node)->again)
            return true;
    return false;
}

static bool is_forward(const struct fuse_plan *p, const struct fuse_cluster *c)
{
    const struct ir_module *m = p->g->m;
    for (uint32_t i = 0; i < c->members.n; i++) {
        const struct ir_node *n = ir_at(p->g, c->members.p[i].node);
        const char *role = m->origins.p[n->origin].role;
        if (!n->again && !(role && !strncmp(role, "d.", 2)))
            return true;
    }
    return false;
}

bool fuse_later(const struct fuse_plan *p, const struct fuse_cluster *a,
                const struct fuse_cluster *b)
{
    return (is_again(p, b) && is_forward(p, a)) || (is_again(p, a) && is_forward(p, b));
}

/* How many reductions a row has decides the order of their sums: what is computed again keeps to
 * itself, so that it comes out with the bits that it had. */
static bool folds_again(const struct fuse_plan *p, const struct fuse_cluster *c, bool again)
{
    for (uint32_t i = 0; i < c->members.n; i++) {
        const struct ir_node *n = ir_at(p->g, c->members.p[i].node);
        if (n->op == IR_reduce && n->again == again)
            return true;
    }
    return false;
}

static bool other_bits(const struct fuse_plan *p, const struct fuse_cluster *a,
                       const struct fuse_cluster *b)
{
    return (folds_again(p, a, true) && folds_again(p, b, false)) ||
           (folds_again(p, b, true) && folds_again(p, a, false));
}

/* ---- cycles ---- */

struct search {
    const struct fuse_plan *p;
    uint32_t *owner;
    uint8_t *seen;
    uint32_t goal;
};

/* Whether `goal` is needed, through other clusters, by what `from` reads. */
static bool needs(struct search *s, uint32_t from, bool start)
{
    const struct fuse_cluster *c = &s->p->clusters.p[from];
    if (s->seen[from])
        return false;
    s->seen[from] = 1;
    for (uint32_t k = 0; k < c->inputs.n; k++) {
        uint32_t o = s->owner[c->inputs.p[k]];
        if (o == UINT32_MAX || o == from)
            continue;
        if (o == s->goal) {
            if (!start)
                return true;
            continue;
        }
        if (needs(s, o, false))
            return true;
    }
    return false;
}

bool fuse_cycle(const struct fuse_plan *p, uint32_t a, uint32_t b)
{
    struct search s = {.p = p, .owner = xmalloc(p->g->nodes.n * sizeof(uint32_t))};
    memset(s.owner, 0xff, p->g->nodes.n * sizeof(uint32_t));
    for (uint32_t i = 0; i < p->clusters.n; i++)
        for (uint32_t k = 0; k < p->clusters.p[i].members.n; k++)
            s.owner[p->clusters.p[i].members.p[k].node] = i;
    bool found = false;
    for (int way = 0; way < 2 && !found; way++) {
        s.seen = xcalloc(p->clusters.n, 1);
        s.goal = way ? b : a;
        found = needs(&s, way ? a : b, true);
        free(s.seen);
    }
    free(s.owner);
    return found;
}

/* ---- the merge ---- */

static void tie_reads(const struct fuse_plan *p, struct tie *t)
{
    struct fx x;
    uint8_t *mode;
    fuse_fx(&x, p, t->b, &mode);
    for (uint32_t i = 0; i < t->b->members.n; i++) {
        fx_id v = fuse_member_value(&x, t->b, i);
        uint8_t *seen = xcalloc(x.val.n, 1);
        fx_walk(&x, v, seen, tie_read, t);
        free(seen);
    }
    fx_end(&x);
    free(mode);
}

static bool read_each_other(const struct fuse_cluster *a, const struct fuse_cluster *b)
{
    for (uint32_t i = 0; i < a->inputs.n; i++)
        if (find_member(b, a->inputs.p[i]))
            return true;
    return false;
}

static bool share_input(const struct fuse_plan *p, const struct fuse_cluster *a,
                        const struct fuse_cluster *b)
{
    for (uint32_t i = 0, k = 0; i < a->inputs.n && k < b->inputs.n;) {
        if (a->inputs.p[i] == b->inputs.p[k]) {
            if (ir_count(ir_at(p->g, a->inputs.p[i])) > 1)
                return true;
            i++;
        } else if (a->inputs.p[i] < b->inputs.p[k]) {
            i++;
        } else {
            k++;
        }
    }
    return false;
}

static int by_node(const void *x, const void *y)
{
    const struct fuse_member *a = x, *b = y;
    return (a->node > b->node) - (a->node < b->node);
}

/* Whether the merged space is a's: b's loops are no more and no deeper. */
static bool inside(const struct fuse_cluster *a, const struct fuse_cluster *b)
{
    return b->outer + b->inner <= a->outer + a->inner && !(b->inner && !a->inner);
}

/* The merged space is b's: b's axes stay, and a's must all be tied to one. */
static bool turn(const struct tie *t, uint8_t *from)
{
    uint32_t found = 0;
    memset(from, NONE, IR_MAX_AXES);
    for (uint32_t i = 0; i < t->b->outer + t->b->inner; i++)
        if (t->to[i] != NONE) {
            from[t->to[i]] = (uint8_t)i;
            found++;
        }
    return found == t->a->outer + t->a->inner;
}

static enum fuse_skeleton joint(const struct fuse_cluster *a, const struct fuse_cluster *b)
{
    if (a->skeleton == FUSE_CONTRACT)
        return FUSE_CONTRACT;
    if (a->skeleton == FUSE_COLUMN || b->skeleton == FUSE_COLUMN)
        return FUSE_COLUMN;
    return a->skeleton == FUSE_ROW || b->skeleton == FUSE_ROW ? FUSE_ROW : FUSE_MAP;
}

/* Folds wait for the end of all chunks: nothing that is read within the loops may come after one.
 */
static enum fuse_reason check_roles(const struct tie *t)
{
    const struct fuse_cluster *a = t->a, *b = t->b;
    if (a->skeleton == FUSE_SCATTER || a->skeleton == FUSE_PREFIX || b->skeleton == FUSE_SCATTER ||
        b->skeleton == FUSE_PREFIX)
        return FUSE_OPAQUE;
    if (b->skeleton == FUSE_CONTRACT || (a->skeleton == FUSE_CONTRACT && b->skeleton != FUSE_MAP))
        return FUSE_EPILOGUE;
    return FUSE_LEGAL;
}

enum { MOST_MEMBERS = 64, MOST_ARGUMENTS = 64 };

/* Members of both in the merged space, or why not. */
static enum fuse_reason join(const struct fuse_plan *p, struct tie *t, struct fuse_cluster *space,
                             struct fuse_member *m)
{
    const struct fuse_cluster *a = t->a, *b = t->b;
    uint8_t same[IR_MAX_AXES], from[IR_MAX_AXES];
    bool in_a = t->after || inside(a, b);
    for (uint32_t i = 0; i < IR_MAX_AXES; i++)
        same[i] = (uint8_t)i;
    if (in_a ? !t->after && !tie_rest(t) : !turn(t, from))
        return FUSE_SPACE;
    const struct fuse_cluster *wide = in_a ? a : b;
    space->outer = wide->outer;
    space->inner = wide->inner;
    memcpy(space->dim, wide->dim, sizeof space->dim);
    if (!renamed(p->g, a, in_a ? same : from, space, false, m) ||
        !renamed(p->g, b, in_a ? t->to : same, space, t->after, m + a->members.n))
        return FUSE_SPACE;
    for (uint32_t i = 0; a->skeleton == FUSE_CONTRACT && i < b->members.n; i++)
        if (m[a->members.n + i].role != FUSE_KEPT)
            return FUSE_EPILOGUE;
    return FUSE_LEGAL;
}

bool fuse_wanted(const struct fuse_plan *p, uint32_t ai, uint32_t bi, ir_id node)
{
    for (uint32_t i = 0; i < p->clusters.n; i++)
        for (uint32_t k = 0; i != ai && i != bi && k < p->clusters.p[i].inputs.n; k++)
            if (p->clusters.p[i].inputs.p[k] == node)
                return true;
    return fuse_is_root(p, node);
}

/* A product that is left to the library takes in what its epilogue holds. */
static enum fuse_reason check_library(const struct fuse_plan *p, uint32_t ai, uint32_t bi,
                                      const struct fuse_cluster *space, const struct fuse_member *m)
{
    const struct fuse_cluster *a = &p->clusters.p[ai], *b = &p->clusters.p[bi];
    if (!p->library || a->skeleton != FUSE_CONTRACT || !p->library[a->anchor])
        return FUSE_LEGAL;
    struct fuse_cluster both = *space;
    struct fuse_product product;
    both.skeleton = FUSE_CONTRACT;
    both.anchor = a->anchor;
    for (uint32_t i = 0; i < a->members.n + b->members.n; i++) {
        vec_push(&both.members, m[i]);
        vec_last(&both.members).stored = fuse_wanted(p, ai, bi, m[i].node);
    }
    qsort(both.members.p, both.members.n, sizeof *both.members.p, by_node);
    bool holds = fuse_product(p, &both, &product);
    vec_free(&both.members);
    return holds ? FUSE_LEGAL : FUSE_LIBRARY;
}

static void commit_merge(struct fuse_plan *p, struct fuse_cluster *a, struct fuse_cluster *b,
                         const struct fuse_cluster *space, const struct fuse_member *m)
{
    uint32_t n = a->members.n + b->members.n;
    a->skeleton = joint(a, b);
    a->outer = space->outer;
    a->inner = space->inner;
    memcpy(a->dim, space->dim, sizeof a->dim);
    a->members.n = 0;
    for (uint32_t i = 0; i < n; i++)
        vec_push(&a->members, m[i]);
    qsort(a->members.p, n, sizeof *a->members.p, by_node);
    fuse_cluster_free(b);
    fuse_read_inputs(p, a);
}

enum fuse_reason fuse_merge(struct fuse_plan *p, uint32_t ai, uint32_t bi, bool commit)
{
    struct fuse_cluster *a = &p->clusters.p[ai], *b = &p->clusters.p[bi], space = {0};
    struct tie t = {.a = a, .b = b};
    memset(t.to, NONE, sizeof t.to);
    enum fuse_reason why = check_roles(&t);
    if (why != FUSE_LEGAL)
        return why;
    if (fuse_later(p, a, b))
        return FUSE_LATER;
    if (other_bits(p, a, b))
        return FUSE_AGAIN;
    if (a->members.n + b->members.n > MOST_MEMBERS || a->inputs.n + b->inputs.n > MOST_ARGUMENTS)
        return FUSE_SIZE;
    tie_reads(p, &t);
    if (t.why != FUSE_LEGAL)
        return t.why;
    bool scalars = !(a->outer + a->inner + b->outer + b->inner);
    if (!t.reads && (read_each_other(a, b) || (!scalars && !share_input(p, a, b))))
        return FUSE_APART;
    if (t.after && (t.during || b->outer + b->inner || has_role(b, FUSE_FOLD)))
        return FUSE_WHOLE;
    struct fuse_member *m = xcalloc(a->members.n + b->members.n, sizeof *m);
    why = join(p, &t, &space, m);
    if (why == FUSE_LEGAL)
        why = check_library(p, ai, bi, &space, m);
    if (why == FUSE_LEGAL && fuse_cycle(p, ai, bi))
        why = FUSE_CYCLE;
    if (why == FUSE_LEGAL && commit)
        commit_merge(p, a, b, &space, m);
    free(m);
    return why;
}
