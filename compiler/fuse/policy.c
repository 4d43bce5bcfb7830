/* Policies, and the way of a graph through fuse: roots of their own, what is stored, a cluster for
 * each stored node, merges among the legal ones, an order. */
#include "fuse/private.h"
#include "pass/pass.h"

static void refuse(struct fuse_plan *p, uint32_t a, uint32_t b, enum fuse_reason why)
{
    struct fuse_refusal r = {p->clusters.p[a].anchor, p->clusters.p[b].anchor, why};
    vec_push(&p->refusals, r);
}

static uint32_t owner_of(const struct fuse_plan *p, ir_id node)
{
    for (uint32_t i = 0; i < p->clusters.n; i++)
        for (uint32_t k = 0; k < p->clusters.p[i].members.n; k++)
            if (p->clusters.p[i].members.p[k].node == node)
                return i;
    return UINT32_MAX;
}

/* Tries every producer of cluster b; true if one took it in. */
static bool merge_into_producer(struct fuse_plan *p, uint32_t b)
{
    const struct fuse_cluster *c = &p->clusters.p[b];
    for (uint32_t k = c->inputs.n; k-- > 0;) {
        uint32_t a = owner_of(p, c->inputs.p[k]);
        if (a == UINT32_MAX || a == b)
            continue;
        enum fuse_reason why = fuse_merge(p, a, b, true);
        if (why == FUSE_LEGAL)
            return true;
        refuse(p, a, b, why);
    }
    return false;
}

static bool same_space(const struct fuse_cluster *a, const struct fuse_cluster *b)
{
    return a->outer == b->outer && a->inner == b->inner &&
           !memcmp(a->dim, b->dim, (a->outer + a->inner) * sizeof *a->dim);
}

/* Clusters side by side that run over the same space and read the same. */
static bool merge_siblings(struct fuse_plan *p)
{
    bool any = false;
    for (uint32_t a = 0; a < p->clusters.n; a++)
        for (uint32_t b = a + 1; b < p->clusters.n; b++) {
            const struct fuse_cluster *x = &p->clusters.p[a], *y = &p->clusters.p[b];
            if (!x->members.n || !y->members.n || !same_space(x, y))
                continue;
            if (x->skeleton == FUSE_CONTRACT || y->skeleton == FUSE_CONTRACT)
                continue;
            any = fuse_merge(p, a, b, true) == FUSE_LEGAL || any;
        }
    return any;
}

static void cluster_none(struct fuse_plan *p) { fuse_cluster_each(p); }

static void cluster_greedy(struct fuse_plan *p)
{
    fuse_cluster_each(p);
    for (bool again = true; again;) {
        again = false;
        p->refusals.n = 0;
        for (uint32_t b = 0; b < p->clusters.n; b++)
            if (p->clusters.p[b].members.n)
                again = merge_into_producer(p, b) || again;
        again = merge_siblings(p) || again;
    }
}

/*   name    help    which nodes are stored    which clusters share a kernel    side by side */
const struct fuse_policy fuse_policy_table[] = {
    {"none", "every node is a kernel of its own", fuse_store_all, cluster_none, false},
    {"greedy", "merge what is legal, producers into consumers first", fuse_store_greedy,
     cluster_greedy, true},
};
const size_t fuse_policy_count = COUNT(fuse_policy_table);

struct fuse_plan *fuse_graph(struct ir_graph *g, const struct target *t, const char *policy)
{
    const struct fuse_policy *how = NULL;
    for (size_t i = 0; i < fuse_policy_count; i++)
        if (!strcmp(fuse_policy_table[i].name, policy))
            how = &fuse_policy_table[i];
    if (!how)
        return NULL;
    fuse_pad(g);
    pass_anchor(g); /* last: equal values of two slots are two nodes */
    struct fuse_plan *p = xcalloc(1, sizeof *p);
    p->g = g;
    p->target = t;
    p->policy = how->name;
    p->mode = xcalloc(g->nodes.n, 1);
    how->store(p);
    how->cluster(p);
    fuse_finish(p, how->bundles);
    return p;
}

void fuse_free(struct fuse_plan *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->clusters.n; i++)
        fuse_cluster_free(&p->clusters.p[i]);
    vec_free(&p->clusters);
    vec_free(&p->refusals);
    free(p->mode);
    free(p);
}

const char *fuse_reason_text(enum fuse_reason r)
{
    static const char *const text[] = {
#define FUSE_REASON(name, words) words,
#include "fuse/reasons.def"
#undef FUSE_REASON
    };
    return text[r];
}
