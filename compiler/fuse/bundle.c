/* Side by side: clusters that wait for nothing of each other and do the same to other tensors (the
 * optimiser's updates, the norms of all gradients) are one launch, each with its own range of
 * chunks. */
#include "fuse/private.h"

enum { MOST_ARGUMENTS = 480 }; /* of a launch: a GPU's takes 4 KB of them */

struct groups {
    const struct fuse_plan *p;
    uint32_t *owner;     /* of each node: its cluster, UINT32_MAX none */
    ir_id *first, *last; /* of each cluster: its members' least and greatest */
    uint8_t *seen;
    uint32_t goal;
    ir_id least; /* nothing whose members all come before it can need the goal */
};

static bool together(const struct fuse_plan *p, uint32_t a, uint32_t b)
{
    return a == b ||
           (p->clusters.p[a].segment && p->clusters.p[a].segment == p->clusters.p[b].segment);
}

static bool needs(struct groups *s, uint32_t from);

static bool reads(struct groups *s, uint32_t cluster)
{
    const struct fuse_cluster *c = &s->p->clusters.p[cluster];
    for (uint32_t k = 0; k < c->inputs.n; k++) {
        uint32_t o = s->owner[c->inputs.p[k]];
        if (o == UINT32_MAX || o == cluster)
            continue;
        if (together(s->p, o, s->goal) || needs(s, o))
            return true;
    }
    return false;
}

/* Goes back from a cluster, and all that are launched with it, to what it needs; true if that is
 * the goal or launched with it. */
static bool needs(struct groups *s, uint32_t from)
{
    const struct fuse_plan *p = s->p;
    if (s->seen[from] || (!p->clusters.p[from].segment && s->last[from] < s->least))
        return false;
    s->seen[from] = 1;
    if (!p->clusters.p[from].segment)
        return reads(s, from);
    for (uint32_t i = 0; i < p->clusters.n; i++)
        if (together(p, i, from)) {
            s->seen[i] = 1;
            if (reads(s, i))
                return true;
        }
    return false;
}

static bool reach(struct groups *s, uint32_t from, uint32_t goal)
{
    memset(s->seen, 0, s->p->clusters.n);
    s->goal = goal;
    s->least = UINT32_MAX;
    for (uint32_t i = 0; i < s->p->clusters.n; i++)
        if (together(s->p, i, goal) && s->first[i] < s->least)
            s->least = s->first[i];
    return needs(s, from);
}

static void set_ends(struct groups *s)
{
    uint32_t n = s->p->clusters.n;
    s->first = xcalloc(n, sizeof *s->first);
    s->last = xcalloc(n, sizeof *s->last);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < s->p->clusters.p[i].members.n; k++) {
            ir_id id = s->p->clusters.p[i].members.p[k].node;
            s->first[i] = !s->first[i] || id < s->first[i] ? id : s->first[i];
            s->last[i] = id > s->last[i] ? id : s->last[i];
        }
}

/* What is computed again waits until it is needed. */
static bool candidate(const struct fuse_plan *p, const struct fuse_cluster *c)
{
    for (uint32_t i = 0; i < c->members.n; i++)
        if (ir_at(p->g, c->members.p[i].node)->again)
            return false;
    return c->members.n && !c->inner && c->outer &&
           (c->skeleton == FUSE_MAP || c->skeleton == FUSE_COLUMN);
}

static bool alike(const struct fuse_plan *p, const struct fuse_cluster *a,
                  const struct fuse_cluster *b)
{
    if (a->skeleton != b->skeleton || a->members.n != b->members.n || a->inputs.n != b->inputs.n)
        return false;
    for (uint32_t i = 0; i < a->members.n; i++) {
        const struct fuse_member *x = &a->members.p[i], *y = &b->members.p[i];
        const struct ir_node *n = ir_at(p->g, x->node), *m = ir_at(p->g, y->node);
        if (x->role != y->role || x->stored != y->stored || n->op != m->op ||
            n->dtype != m->dtype || n->monoid != m->monoid)
            return false;
    }
    return true;
}

void fuse_bundle(struct fuse_plan *p, uint32_t *owner)
{
    struct groups s = {.p = p, .owner = owner, .seen = xcalloc(p->clusters.n, 1)};
    uint32_t next = 1;
    set_ends(&s);
    for (uint32_t a = 0; a < p->clusters.n; a++) {
        struct fuse_cluster *c = &p->clusters.p[a];
        uint32_t each = c->members.n + c->inputs.n, size = 1; /* arguments at most */
        if (c->segment || !candidate(p, c))
            continue;
        for (uint32_t b = a + 1; b < p->clusters.n && (size + 1) * each <= MOST_ARGUMENTS; b++) {
            struct fuse_cluster *d = &p->clusters.p[b];
            if (d->segment || !candidate(p, d) || !alike(p, c, d) || reach(&s, a, b) ||
                reach(&s, b, a))
                continue;
            c->segment = d->segment = next;
            size++;
        }
        next += size > 1;
    }
    free(s.seen);
    free(s.first);
    free(s.last);
}
