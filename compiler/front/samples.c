/* Whether the samples of a batch stand by themselves in a node: whether each of its values hangs on
 * one sample only, and not on where in its batch that sample stands. Metrics go on from batch to
 * batch, so what they add up must be so. What is not shown here is refused.
 *
 * A batch axis has B·c places, c for each sample: sample b has the places b·c … b·c + c - 1. */
#include "front/elab.h"

struct reader { /* the node that reads, over its domain */
    const struct elab *e;
    const struct ir_node *n;
    struct node_fact fact;
    int64_t dim[IR_MAX_AXES];
};

static struct node_fact fact_of(const struct elab *e, ir_id id)
{
    return id < e->fact.n ? e->fact.p[id] : (struct node_fact){0};
}

/* Places of a batch axis for each sample. */
static int64_t places(const struct reader *r, uint32_t axis)
{
    return r->dim[axis] / r->e->batch->value;
}

static bool of_batch(const struct reader *r, const struct ix_atom *a)
{
    for (uint32_t k = 0; k < r->n->nd; k++)
        if (r->fact.batch_axes >> k & 1 &&
            (a->kind == IX_AXIS ? a->v == k : a->e && ix_uses_axis(a->e, k)))
            return true;
    return false;
}

/* k or k//q of a batch axis k: its places for each sample, else 0. */
static int64_t steps(const struct reader *r, const struct ix_atom *a)
{
    uint32_t k = a->v;
    int64_t q = 1;
    if (a->kind == IX_DIV) {
        q = a->q;
        if (!ix_is_axis(a->e, &k))
            return 0;
    } else if (a->kind != IX_AXIS) {
        return 0;
    }
    int64_t c = places(r, k);
    return c % q ? 0 : c / q;
}

/* An expression that hangs on the place within the sample only: batch axes stand under a `%` that
 * divides their places. */
static bool within_sample(const struct reader *r, const struct ix *e)
{
    for (uint32_t i = 0; i < e->n; i++) {
        const struct ix_atom *a = &e->part[i].a;
        if (!of_batch(r, a))
            continue;
        if (a->kind != IX_MOD || a->e->n != 1 || a->e->c0 || a->e->part[0].c != 1)
            return false;
        int64_t c = steps(r, &a->e->part[0].a);
        if (!c || c % a->q)
            return false;
    }
    return true;
}

/* A term over a batch axis with `c` places a sample reads the reader's own sample: one part steps
 * from sample to sample, the rest stays within its step. */
static bool own_sample(const struct reader *r, const struct ir_term *t, int64_t c)
{
    const struct ix_part *step = NULL;
    int64_t lo = t->e->c0, hi = t->e->c0;
    if (t->q != 1)
        return false;
    for (uint32_t i = 0; i < t->e->n; i++) {
        const struct ix_part *p = &t->e->part[i];
        if (steps(r, &p->a) && of_batch(r, &p->a)) {
            if (step)
                return false;
            step = p;
            continue;
        }
        struct ix *one = arena_alloc(r->e->mem, sizeof *one + sizeof *p);
        *one = (struct ix){.n = 1};
        one->part[0] = *p;
        if (!within_sample(r, one))
            return false;
        struct ix_range range = ix_range(one, r->dim);
        lo += range.lo;
        hi += range.hi;
    }
    return step && step->c > 0 && step->c * steps(r, &step->a) == c && lo >= 0 && hi < step->c;
}

static bool reads_own(const struct reader *r, const struct ir_in *in)
{
    struct node_fact of = fact_of(r->e, in->node);
    const struct ir_node *from = ir_at(r->e->b->g, in->node);
    for (uint32_t i = 0; i < in->a.rank; i++) {
        const struct ir_term *t = &in->a.at[i];
        bool batch = of.batch_axes >> i & 1;
        if (batch ? ix_uses_operand(t->e) ||
                        !own_sample(r, t, ir_axes(from)[i].n / r->e->batch->value)
                  : !within_sample(r, t->e))
            return false;
    }
    for (uint32_t i = 0; i < in->a.nguard; i++)
        if (!ir_term_total(&in->a.guard[i], r->dim) && !within_sample(r, in->a.guard[i].e))
            return false;
    return true;
}

/* Elements of each sample in row-major order, from the batch axis on. */
static int64_t sample_size(const struct reader *r)
{
    int64_t n = 1;
    for (uint32_t i = ir_rank(r->n); i-- > 0;) {
        if (r->fact.batch_axes >> i & 1)
            return n * places(r, i);
        n *= r->dim[i];
    }
    return 0;
}

static struct reader reader(const struct elab *e, ir_id id)
{
    struct reader r = {.e = e, .n = ir_at(e->b->g, id), .fact = fact_of(e, id)};
    ir_dims(r.n, r.dim);
    return r;
}

const char *samples_mixed(const struct elab *e, ir_id id)
{
    static const char others[] = "this reads other samples of the batch",
                      meet[] = "samples meet other samples of their batch here",
                      place[] = "this hangs on the samples' places in their batch";
    struct reader r = reader(e, id);
    const struct ir_node *n = r.n;
    if (e->batch->value == 1) /* checked with more: front_check */
        return NULL;
    if (r.fact.batch_size || r.fact.batch_fraction)
        return "the batch size is used here for each sample";
    if (r.fact.batch_axes & (r.fact.batch_axes - 1) || r.fact.uneven_axes)
        return meet;
    if (n->op == IR_cumsum && r.fact.batch_axes >> n->attr.i & 1)
        return "this goes on from sample to sample";
    if (n->op == IR_iota && r.fact.batch_axes >> n->attr.i & 1)
        return place;
    if (n->op == IR_random && e->apart && r.fact.batch_axes >> 1)
        return "random numbers are counted by the samples here, and not as their first axis";
    if (n->op == IR_reshape) {
        struct reader from = reader(e, n->in[0].node);
        return sample_size(&r) == sample_size(&from) ? NULL : meet;
    }
    for (uint32_t k = 0; k < n->nin && !ir_op_whole((enum ir_op)n->op); k++)
        if (!reads_own(&r, &n->in[k]))
            return fact_of(e, n->in[k].node).batch_axes ? others : place;
    return NULL;
}

bool samples_folded(const struct elab *e, ir_id id)
{
    const struct ir_node *n = ir_at(e->b->g, id);
    return n->op == IR_reduce && fact_of(e, id).batch_axes >> ir_rank(n);
}

const char *samples_met(const struct elab *e, ir_id id, bool folds, ir_id *where)
{
    bool *seen = xcalloc(id + 1, sizeof *seen);
    const char *why = NULL;
    seen[id] = true;
    for (ir_id k = id; k && !why; k--) { /* operands come before their users */
        const struct ir_node *n = ir_at(e->b->g, k);
        if (!seen[k])
            continue;
        if (samples_folded(e, k) && !(k == id && folds))
            why = folds ? "this is over the batch, and what hangs on it is reduced over the batch "
                          "again"
                        : "this is over all samples of the batch";
        else
            why = samples_mixed(e, k);
        *where = k;
        for (uint32_t i = 0; i < (n->op == IR_custom ? 1 : n->nin); i++)
            seen[n->in[i].node] = true;
    }
    free(seen);
    return why;
}

const char *samples_apart(const struct elab *e, ir_id id, ir_id *where)
{
    uint32_t axes = fact_of(e, id).batch_axes & ((1u << ir_rank(ir_at(e->b->g, id))) - 1);
    *where = id;
    if (axes && (axes != 1 || ir_axes(ir_at(e->b->g, id))->n != e->batch->value))
        return "its samples are not its first axis";
    return samples_met(e, id, false, where);
}
