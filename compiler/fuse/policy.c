/* Policies, and the way of a graph through fuse: roots of their own, what is stored, a cluster for
 * each stored node, merges among the legal ones, an order. */
#include "fuse/private.h"
#include "pass/pass.h"

/* A pair is tried again only where one of the two has changed since. */
struct rounds {
    struct fuse_plan *p;
    uint32_t *owner;   /* of each node: its cluster, UINT32_MAX none */
    uint32_t *changed; /* of each cluster: the last round in which it took another in */
    uint32_t round;
};

static bool worth_trying(const struct rounds *r, uint32_t a, uint32_t b)
{
    return r->round == 1 || r->changed[a] + 1 >= r->round || r->changed[b] + 1 >= r->round;
}

static void refuse(struct fuse_plan *p, uint32_t a, uint32_t b, enum fuse_reason why)
{
    struct fuse_refusal r = {p->clusters.p[a].anchor, p->clusters.p[b].anchor, why};
    vec_push(&p->refusals, r);
}

/* Refusals of pairs that still are two clusters, the last word on each. */
static void settle_refusals(struct rounds *r)
{
    struct fuse_plan *p = r->p;
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->refusals.n; i++) {
        struct fuse_refusal x = p->refusals.p[i];
        uint32_t a = r->owner[x.a], b = r->owner[x.b];
        bool stale = a == b || p->clusters.p[a].anchor != x.a || p->clusters.p[b].anchor != x.b;
        for (uint32_t k = i + 1; !stale && k < p->refusals.n; k++)
            stale = p->refusals.p[k].a == x.a && p->refusals.p[k].b == x.b;
        if (!stale)
            p->refusals.p[n++] = x;
    }
    p->refusals.n = n;
}

static void took_in(struct rounds *r, uint32_t a)
{
    const struct fuse_cluster *c = &r->p->clusters.p[a];
    r->changed[a] = r->round;
    for (uint32_t i = 0; i < c->members.n; i++)
        r->owner[c->members.p[i].node] = a;
}

/* Tries every producer of cluster b; true if one took it in. */
static bool merge_into_producer(struct rounds *r, uint32_t b)
{
    const struct fuse_cluster *c = &r->p->clusters.p[b];
    for (uint32_t k = c->inputs.n; k-- > 0;) {
        uint32_t a = r->owner[c->inputs.p[k]];
        if (a == UINT32_MAX || a == b || !worth_trying(r, a, b))
            continue;
        enum fuse_reason why = fuse_merge(r->p, a, b, true);
        if (why == FUSE_LEGAL) {
            took_in(r, a);
            return true;
        }
        refuse(r->p, a, b, why);
    }
    return false;
}

static bool same_space(const struct fuse_cluster *a, const struct fuse_cluster *b)
{
    return a->outer == b->outer && a->inner == b->inner &&
           !memcmp(a->dim, b->dim, (a->outer + a->inner) * sizeof *a->dim);
}

/* Clusters side by side that run over the same space and read the same. */
static bool merge_siblings(struct rounds *r)
{
    struct fuse_plan *p = r->p;
    bool any = false;
    for (uint32_t a = 0; a < p->clusters.n; a++)
        for (uint32_t b = a + 1; b < p->clusters.n; b++) {
            const struct fuse_cluster *x = &p->clusters.p[a], *y = &p->clusters.p[b];
            if (!x->members.n || !y->members.n || !same_space(x, y) || !worth_trying(r, a, b))
                continue;
            if (x->skeleton == FUSE_CONTRACT || y->skeleton == FUSE_CONTRACT)
                continue;
            if (fuse_merge(p, a, b, true) == FUSE_LEGAL) {
                took_in(r, a);
                any = true;
            }
        }
    return any;
}

static void cluster_none(struct fuse_plan *p) { fuse_cluster_each(p); }

static void merge_all(struct fuse_plan *p)
{
    fuse_cluster_each(p);
    struct rounds r = {.p = p,
                       .owner = xmalloc(p->g->nodes.n * sizeof *r.owner),
                       .changed = xcalloc(p->clusters.n, sizeof *r.changed)};
    memset(r.owner, 0xff, p->g->nodes.n * sizeof *r.owner);
    for (uint32_t i = 0; i < p->clusters.n; i++)
        r.owner[p->clusters.p[i].anchor] = i;
    for (bool again = true; again;) {
        again = false;
        r.round++;
        for (uint32_t b = 0; b < p->clusters.n; b++)
            if (p->clusters.p[b].members.n)
                again = merge_into_producer(&r, b) || again;
        again = merge_siblings(&r) || again;
    }
    if (p->target->kind == TARGET_GPU)
        fuse_across(p);
    for (uint32_t i = 0; i < p->clusters.n; i++)
        took_in(&r, i);
    settle_refusals(&r);
    free(r.owner);
    free(r.changed);
}

static void cluster_greedy(struct fuse_plan *p)
{
    merge_all(p);
    fuse_chains(p, false);
}

static void cluster_lean(struct fuse_plan *p)
{
    merge_all(p);
    fuse_chains(p, true);
}

/*   name    help    which nodes are stored    which clusters share a kernel    side by side */
const struct fuse_policy fuse_policy_table[] = {
    {"none", "every node is a kernel of its own", fuse_store_all, cluster_none, false},
    {"greedy", "merge what is legal, producers into consumers first", fuse_store_greedy,
     cluster_greedy, true},
    {"lean", "greedy, and attention without its matrix however small", fuse_store_greedy,
     cluster_lean, true},
};
const size_t fuse_policy_count = COUNT(fuse_policy_table);

const char *fuse_policy_name(size_t i)
{
    return i < fuse_policy_count ? fuse_policy_table[i].name : NULL;
}

/* Every size at which an axis ends is read by some node. */
static void add_sizes(struct ir_graph *g)
{
    struct ir_builder b = {.g = g};
    for (ir_id id = 1, end = g->nodes.n; id < end; id++)
        for (uint32_t i = 0; i < ir_at(g, id)->nd; i++) {
            const struct ir_live *l = ir_at(g, id)->dom[i].live;
            if (l && !fuse_size_node(g, l->slot))
                ir_slot_read(&b, l->slot);
        }
}

/* With own kernels first: what then is a product of its own may be left to the library, which
 * changes what is stored and merged. */
static void leave_products(struct fuse_plan *p, const struct fuse_policy *how)
{
    if (p->gemm == FUSE_GEMM_OWN || p->target->kind != TARGET_GPU)
        return;
    fuse_choose_library(p);
    for (uint32_t i = 0; i < p->clusters.n; i++)
        fuse_cluster_free(&p->clusters.p[i]);
    p->clusters.n = p->refusals.n = p->matrices.n = 0;
    memset(p->mode, 0, p->g->nodes.n);
    how->store(p);
    how->cluster(p);
}

struct fuse_plan *fuse_graph(struct ir_graph *g, const struct target *t, const char *policy,
                             enum fuse_gemm gemm)
{
    const struct fuse_policy *how = NULL;
    for (size_t i = 0; i < fuse_policy_count; i++)
        if (!strcmp(fuse_policy_table[i].name, policy))
            how = &fuse_policy_table[i];
    if (!how)
        return NULL;
    fuse_pad(g);
    add_sizes(g);
    pass_anchor(g); /* last: equal values of two slots are two nodes */
    struct fuse_plan *p = xcalloc(1, sizeof *p);
    p->g = g;
    p->target = t;
    p->policy = how->name;
    p->gemm = gemm;
    p->mode = xcalloc(g->nodes.n, 1);
    how->store(p);
    how->cluster(p);
    leave_products(p, how);
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
    vec_free(&p->matrices);
    vec_free(&p->prices);
    free(p->library);
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
