/* A plan's clusters to launches: the skeleton of each lowers it, the result is verified and
 * simplified, and what the memory plan wants to know about the arguments is written down. */
#include "lower/skeleton.h"

/* ---- in place ---- */

struct reads {
    struct sk *s;
    ir_id node;
    bool elsewhere;
};

/* A read of the node at another point than the one that the loops are at, or under a condition. */
static void note_read(void *ctx, const struct fx *x, fx_id id)
{
    struct reads *r = ctx;
    const struct fx_val *v = &x->val.p[id];
    if (v->kind != FX_LOAD || v->node != r->node)
        return;
    uint32_t axes = fx_ix_axes(x, v->at);
    const struct ix *want = NULL;
    for (uint32_t i = 0; i < r->s->c->members.n && !want; i++) {
        const struct fuse_member *m = &r->s->c->members.p[i];
        if (m->stored && m->role != FUSE_FOLD && m->role != FUSE_FINISH)
            want = sk_member_address(r->s, i);
        if (want && !ix_equal(want, v->at))
            want = NULL;
    }
    r->elsewhere = r->elsewhere || !want || axes == 0;
}

static bool at_end(const struct fuse_member *m)
{
    return m->role == FUSE_ACROSS || m->role == FUSE_AFTER;
}

/* A point's value is stored by the thread that reads there; a row's, on a GPU, may still be read by
 * other threads of its team. */
static bool may_follow(const struct sk *s, const struct fuse_member *m)
{
    bool contract = s->c->skeleton == FUSE_CONTRACT;
    bool team = s->t->kind == TARGET_GPU && s->c->inner && !contract;
    return m->role == FUSE_ELEM || (m->role == FUSE_KEPT && !team) ||
           (m->role == FUSE_REDUCE && contract);
}

/* Every output of the node's size is stored once a point, at the point; *end: after all rows. */
static bool outputs_follow(const struct sk *s, ir_id node, bool *end)
{
    int64_t size = ir_count(ir_at(s->plan->g, node));
    const struct ix *first = NULL;
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        const struct fuse_member *m = &s->c->members.p[i];
        if (!m->stored || ir_count(ir_at(s->plan->g, m->node)) != size)
            continue;
        if ((!may_follow(s, m) && !at_end(m)) || (first && *end != at_end(m)))
            return false;
        const struct ix *at = sk_member_address((struct sk *)(uintptr_t)s, i);
        if (first && !ix_equal(first, at))
            return false;
        first = at;
        *end = at_end(m);
    }
    return first != NULL;
}

static bool pointwise(struct sk *s, ir_id node)
{
    bool end = false;
    if (s->c->skeleton == FUSE_SCATTER || s->c->skeleton == FUSE_PREFIX ||
        s->c->skeleton == FUSE_CHAIN)
        return false;
    if (!outputs_follow(s, node, &end))
        return false;
    struct reads r = {s, node, false};
    sk_make_members(s);
    uint8_t *seen = xcalloc(s->x.val.n, 1);
    for (uint32_t i = 0; i < s->c->members.n; i++)
        if (!end || at_end(&s->c->members.p[i])) /* the rows' reads are over by then */
            fx_walk(&s->x, sk_member(s, i), seen, note_read, &r);
    free(seen);
    return !r.elsewhere;
}

/* ---- figures ---- */

struct work {
    const struct fuse_cluster *c;
    double flops;
};

static void add_work(void *ctx, const struct fx *x, fx_id id)
{
    struct work *w = ctx;
    const struct fx_val *v = &x->val.p[id];
    double points = 1;
    if (v->kind != FX_OP || v->op == IR_cast)
        return;
    for (uint32_t i = 0; i < x->n; i++)
        points *= v->axes >> i & 1 ? (double)x->dim[i] : 1;
    w->flops += points;
}

static void set_figures(struct sk *s)
{
    struct work w = {s->c, s->b.k->flops};
    if (s->c->skeleton != FUSE_CHAIN)
        sk_make_members(s);
    uint8_t *seen = xcalloc(s->x.val.n, 1);
    for (uint32_t i = 0; i < s->c->members.n && s->c->skeleton != FUSE_CHAIN; i++) {
        const struct fuse_member *m = &s->c->members.p[i];
        double points = 1;
        fx_walk(&s->x, sk_member(s, i), seen, add_work, &w);
        for (uint32_t k = 0; k < ir_at(s->plan->g, m->node)->nd; k++)
            points *= (double)ir_at(s->plan->g, m->node)->dom[k].n;
        if (m->role == FUSE_REDUCE || m->role == FUSE_FOLD || m->role == FUSE_ALONE ||
            m->role == FUSE_ACROSS)
            w.flops += points;
    }
    free(seen);
    double bytes = 0;
    for (uint32_t i = 0; i < s->launch->args.n; i++) {
        const struct low_arg *a = &s->launch->args.p[i];
        const struct ir_node *n = a->node ? ir_at(s->plan->g, a->node) : NULL;
        bytes += n ? (double)ir_count(n) * (double)nn_dtype_size(n->dtype) : 2.0 * (double)a->bytes;
    }
    s->b.k->flops = w.flops;
    s->b.k->bytes = bytes;
}

/* ---- the plan ---- */

static void run_gpu_skeleton(struct sk *s)
{
    switch (s->c->skeleton) {
    case FUSE_CONTRACT:
        if (!sk_gpu_contract(s))
            sk_gpu_nest(s);
        return;
    case FUSE_MAP:
    case FUSE_ROW:
    case FUSE_COLUMN: sk_gpu_nest(s); return;
    case FUSE_SCATTER: sk_gpu_scatter(s); return;
    case FUSE_PREFIX: sk_gpu_prefix(s); return;
    case FUSE_CHAIN:
        if (s->c->streams)
            sk_gpu_stream(s);
        else
            sk_gpu_chain(s);
        return;
    }
}

void sk_stage(struct sk *s)
{
    switch (s->c->skeleton) {
    case FUSE_CONTRACT:
        if (!sk_contract(s))
            sk_nest(s);
        return;
    case FUSE_MAP:
    case FUSE_ROW:
    case FUSE_COLUMN: sk_nest(s); return;
    case FUSE_SCATTER: sk_scatter(s); return;
    case FUSE_PREFIX: sk_prefix(s); return;
    case FUSE_CHAIN: sk_chain(s); return;
    }
}

static void check(const struct lo_kernel *k, const char *when)
{
    char *wrong = lo_verify(k);
    if (!wrong)
        return;
    struct text t = {0};
    lo_print(k, &t);
    fprintf(stderr, "%s\n", t.p);
    BUG("after %s: %s", when, wrong);
}

/* What the cluster is to give is stored somewhere, if it has elements. */
static void check_stored(const struct low_launch *l)
{
    for (uint32_t i = 0; i < l->args.n; i++) {
        const struct lo_buffer *b = &l->kernel->buffers.p[i + 1];
        CHECK(!l->args.p[i].write || b->written || !b->count, "%s never stores %%%u",
              l->kernel->name, l->args.p[i].node);
    }
}

static bool is_gpu_contraction(const struct fuse_plan *p, const struct fuse_cluster *c)
{
    return p->target->kind == TARGET_GPU && c->skeleton == FUSE_CONTRACT;
}

static struct low_launch lower_cluster(const struct fuse_plan *p, const struct fuse_cluster *c,
                                       bool simple)
{
    struct low_launch l = {0};
    struct fuse_product product;
    struct sk s;
    if (fuse_library(p, c, &product))
        return low_gemm(p, c, &product);
    sk_begin(&s, p, c, &l);
    if (p->target->kind == TARGET_GPU)
        run_gpu_skeleton(&s);
    else
        sk_stage(&s);
    for (uint32_t i = 0; i < l.args.n; i++)
        if (l.args.p[i].node && !l.args.p[i].write)
            l.args.p[i].pointwise = pointwise(&s, l.args.p[i].node);
    set_figures(&s);
    sk_end(&s);
    if (!simple)
        return l;
    check(l.kernel, "lower");
    check_stored(&l);
    lo_simplify(l.kernel);
    check(l.kernel, "simplify");
    return l;
}

static void free_launch(struct low_launch *l)
{
    if (l->kernel)
        lo_kernel_free(l->kernel);
    free(l->gemm);
    vec_free(&l->args);
}

/* Launches from..n of one segment become one. */
static void bundle(const struct fuse_plan *p, struct low_launches *l, uint32_t from)
{
    uint32_t n = l->p.n - from;
    if (n < 2)
        return;
    struct low_launch r = low_bundle(p->g, &l->p.p[from], n);
    check(r.kernel, "bundle");
    for (uint32_t i = 0; i < n; i++)
        free_launch(&l->p.p[from + i]);
    l->p.n = from;
    vec_push(&l->p, r);
}

static struct low_launches *lower_clusters(const struct fuse_plan *p, bool simple)
{
    struct low_launches *l = xcalloc(1, sizeof *l);
    uint32_t segment = 0, from = 0;
    for (uint32_t i = 0; i < p->clusters.n; i++) {
        const struct fuse_cluster *c = &p->clusters.p[i];
        struct low_launch one = lower_cluster(p, c, simple || c->segment);
        const struct lo_kernel *first = from < l->p.n ? l->p.p[from].kernel : one.kernel;
        bool joins = c->segment && c->segment == segment && low_may_bundle(one.kernel, first);
        if (!joins) {
            bundle(p, l, from);
            from = l->p.n;
            segment = low_may_bundle(one.kernel, one.kernel) ? c->segment : 0;
        }
        vec_push(&l->p, one);
    }
    bundle(p, l, from);
    return l;
}

struct low_launches *lower_plan(const struct fuse_plan *p) { return lower_clusters(p, true); }

struct low_launches *lower_arguments(const struct fuse_plan *p) { return lower_clusters(p, false); }

static void print_price(const struct fuse_plan *p, ir_id sum, struct text *out)
{
    for (uint32_t i = 0; i < p->prices.n; i++)
        if (p->prices.p[i].sum == sum)
            text_printf(out, " (own %.1f us, cublas %.1f us)", p->prices.p[i].own,
                        p->prices.p[i].library);
}

void lower_print(const struct fuse_plan *p, struct text *out)
{
    for (uint32_t i = 0; i < p->clusters.n; i++) {
        const struct fuse_cluster *c = &p->clusters.p[i];
        if (!is_gpu_contraction(p, c))
            continue;
        struct low_launch l = {0};
        struct fuse_product product;
        struct sk s;
        sk_begin(&s, p, c, &l);
        text_printf(out, "contraction %%%u %s: ", c->anchor, l.kernel->name);
        if (fuse_library(p, c, &product))
            low_print_gemm(&product, out);
        else
            sk_gpu_describe(&s, out);
        print_price(p, c->anchor, out);
        text_printf(out, "\n");
        sk_end(&s);
        free_launch(&l);
    }
}

void lower_free(struct low_launches *l)
{
    if (!l)
        return;
    for (uint32_t i = 0; i < l->p.n; i++)
        free_launch(&l->p.p[i]);
    vec_free(&l->p);
    free(l);
}
