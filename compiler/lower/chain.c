/* The chain skeleton: a task is a block of rows at one place of the other rows' axes. Its stages
 * run one after another, each by its own skeleton over the block alone; what is between them lies
 * in scratch. Columns that a condition on row and column (a causal mask) takes out of everything
 * are left out: chain_limits.c. */
#include "lower/chain.h"

#define I64 ((struct lo_type){NN_i64, 1})

static uint32_t *make_locals(struct sk *s)
{
    uint32_t *buf = xcalloc(s->plan->g->nodes.n, sizeof *buf);
    for (uint32_t i = 0; i < s->c->nlocal; i++) {
        const struct fx_local *l = &s->c->local[i];
        const struct ir_node *n = ir_at(s->plan->g, l->node);
        struct lo_type t = {n->dtype, 1};
        int64_t count = 1;
        for (uint32_t k = 0; k < ir_rank(n); k++)
            count *= l->dim[k];
        buf[l->node] = lo_buffer(s->b.k, LO_SCRATCH, "block", t, count);
    }
    return buf;
}

/* Where the rows stand: at[i] of all but the last, and where the block of that begins. The block's
 * number. */
static lo_id decode(struct sk *s, lo_id task, struct lo_lin *at)
{
    struct lo_builder *b = &s->b;
    const struct fuse_cluster *c = s->c;
    lo_id block = 0;
    for (uint32_t i = c->outer; i-- > 0;) {
        bool last = i + 1 == c->outer;
        int64_t size = last ? (c->dim[i] + c->block - 1) / c->block : c->dim[i];
        lo_id rest = i ? lo_op(b, IR_idiv, I64, task, lo_const_i(b, I64, size), 0) : 0;
        at[i] = lo_lin_v(b, task);
        if (i)
            at[i] = lo_lin_add(b, at[i], lo_lin_mul(b, lo_lin_v(b, rest), -size));
        if (last) {
            block = lo_value(b, at[i]);
            at[i] = lo_lin_mul(b, at[i], c->block);
        }
        task = rest;
    }
    return block;
}

static double work(const struct sk *s, const struct fuse_cluster *stage)
{
    double flops = 0;
    for (uint32_t i = 0; i < stage->members.n; i++) {
        const struct ir_node *n = ir_at(s->plan->g, stage->members.p[i].node);
        double points = 1;
        for (uint32_t k = 0; k < n->nd; k++)
            points *= (double)n->dom[k].n;
        flops += n->op == IR_reduce && stage->skeleton == FUSE_CONTRACT ? 2 * points : points;
    }
    return flops;
}

void sk_chain_figures(struct sk *s)
{
    for (uint32_t i = 0; i < s->c->stages.n; i++)
        s->b.k->flops += work(s, &s->c->stages.p[i]);
}

/* The stages over a block of `rows` rows that begins at `at`. */
static void stages(struct sk *s, const uint32_t *buf, const struct lo_lin *at, int64_t rows,
                   const struct chain_limits *limits)
{
    const struct fuse_cluster *c = s->c;
    struct fx_local *local = xcalloc(c->nlocal, sizeof *local);
    for (uint32_t i = 0; i < c->nlocal; i++) {
        local[i] = c->local[i];
        local[i].dim[local[i].split] = rows;
    }
    for (uint32_t i = 0; i < c->stages.n; i++) {
        struct fuse_cluster one = c->stages.p[i];
        struct sk stage;
        one.local = local;
        one.dim[one.split] = rows;
        one.dim[one.outer + one.inner + one.fixed - 1] = c->dim[c->outer - 1] - rows + 1;
        sk_begin_stage(&stage, s, &one, buf);
        for (uint32_t k = 0; k < c->outer; k++)
            sk_axis(&stage, one.outer + one.inner + k, at[k]);
        if (limits->from || limits->to)
            stage.limit[limits->column[i]] =
                chain_limit(&stage, limits, limits->column[i], at[c->outer - 1], rows);
        sk_stage(&stage);
        sk_end_stage(&stage, s);
    }
    free(local);
}

/* What a skeleton does beyond the columns that are wanted reads what was never computed. */
static void clear(struct sk *s, const uint32_t *buf)
{
    struct lo_builder *b = &s->b;
    for (uint32_t i = 0; i < s->c->nlocal; i++) {
        const struct lo_buffer *x = &b->k->buffers.p[buf[s->c->local[i].node]];
        struct lo_type t = x->type;
        lo_id zero = lo_const_f(b, t, 0),
              k = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(x->count), 1);
        lo_store(b, buf[s->c->local[i].node], lo_lin_v(b, k), zero, 0);
        lo_end(b);
    }
}

void sk_chain(struct sk *s)
{
    struct lo_builder *b = &s->b;
    const struct fuse_cluster *c = s->c;
    uint32_t *buf = make_locals(s);
    struct chain_limits limits = chain_find_limits(s->plan, c);
    int64_t n = c->dim[c->outer - 1], blocks = (n + c->block - 1) / c->block, tasks = blocks;
    for (uint32_t i = 0; i + 1 < c->outer; i++)
        tasks *= c->dim[i];
    struct lo_lin from, to, at[IR_MAX_AXES];
    sk_phase(s, sk_chunks(s, tasks, 1), &from, &to);
    if (limits.from || limits.to)
        clear(s, buf);
    lo_id task = lo_for(b, LO_SERIAL, from, to, 1), block = decode(s, task, at);
    for (uint32_t i = 0; i < c->outer; i++)
        sk_axis(s, i, at[i]);
    lo_id wanted = sk_wanted(s, (1u << c->outer) - 1);
    if (wanted)
        lo_if(b, wanted);
    bool rest = n % c->block != 0;
    if (rest)
        lo_if(b, lo_op(b, IR_lt, I64, block, lo_const_i(b, I64, blocks - 1), 0));
    stages(s, buf, at, c->block, &limits);
    if (rest) {
        lo_else(b);
        stages(s, buf, at, n % c->block, &limits);
        lo_end(b);
    }
    if (wanted)
        lo_end(b);
    lo_end(b);
    sk_phase_end(s);
    sk_chain_figures(s);
    free(buf);
}
