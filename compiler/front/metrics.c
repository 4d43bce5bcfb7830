/* Metrics of a whole split. Walking back from a metric's value, the first reductions over the batch
 * axis are where one batch ends and the split begins: each becomes an accumulator that goes on from
 * batch to batch. What stands between them and the value is computed once, at the end, in f64 and
 * i64. What is accumulated has to be of each sample by itself: where one sample's value hangs on
 * the others of its batch, the metric is refused. */
#include "front/elab.h"

struct split {
    struct elab *e;
    struct ir_graph *g;
    struct ir_builder *into; /* the graph `metrics`; NULL: the accumulators are put into g */
    const char *name;
    uint32_t acc;
    ir_id *map; /* by node of g: its value at the end; 0 not yet */
    struct loc at;
    bool implicit; /* the loss itself: a mean over batches where it mixes samples */
    bool good;
};

static ir_id walk(struct split *s, ir_id id);

static enum nn_dtype wide(enum nn_dtype t)
{
    return nn_is_float(t) ? NN_f64 : t == NN_bool ? NN_bool : NN_i64;
}

static bool fail(struct split *s, const char *why)
{
    if (s->good)
        elab_error(s->e, s->at, "the metric `%s` %s", s->name, why);
    return s->good = false;
}

/* ---- samples that see each other ---- */

static struct node_fact fact_of(const struct split *s, ir_id id)
{
    return id < s->e->fact.n ? s->e->fact.p[id] : (struct node_fact){0};
}

static bool folds_batch(const struct split *s, ir_id id)
{
    const struct ir_node *n = ir_at(s->g, id);
    return n->op == IR_reduce && fact_of(s, id).batch_axes >> ir_rank(n);
}

/* Does a term over domain axes `axes` (bits: of the batch) read a batch axis sample by sample? So
 * do i, i*seq + t, i//4; not 0, n - 1 - i, i + 1, @k. */
static bool own_sample(const struct ir_term *t, uint32_t axes)
{
    int64_t largest = 0;
    if (ix_uses_operand(t->e))
        return false;
    for (uint32_t i = 0; i < t->e->n; i++) {
        const struct ix_part *p = &t->e->part[i];
        bool of_batch = false;
        for (uint32_t k = 0; k < IR_MAX_AXES; k++) {
            bool uses = p->a.kind == IX_AXIS ? p->a.v == k : ix_uses_axis(p->a.e, k);
            of_batch = of_batch || (axes >> k & 1 && uses);
        }
        if (of_batch && (p->c < 0 || p->a.kind == IX_MOD))
            return false;
        if (of_batch && p->c > largest)
            largest = p->c;
    }
    return largest && t->e->c0 < largest && -t->e->c0 < largest;
}

static bool reads_others(const struct split *s, ir_id id)
{
    const struct ir_node *n = ir_at(s->g, id);
    if (s->e->batch->value == 1)
        return false;
    for (uint32_t k = 0; k < n->nin; k++) {
        ir_id in = n->in[k].node;
        uint32_t axes = fact_of(s, in).batch_axes;
        for (uint32_t i = 0; i < n->in[k].a.rank && i < ir_rank(ir_at(s->g, in)); i++)
            if (axes >> i & 1 && !own_sample(&n->in[k].a.at[i], fact_of(s, id).batch_axes))
                return true;
    }
    return false;
}

/* Why the samples of node `id` do not stand by themselves, or NULL. */
static const char *mixes(const struct split *s, ir_id id)
{
    const struct ir_node *n = ir_at(s->g, id);
    struct node_fact f = fact_of(s, id);
    if (f.batch_size || f.batch_fraction)
        return "the batch size is used here for each sample";
    if (f.batch_axes & (f.batch_axes - 1))
        return "samples meet other samples of their batch here";
    if (n->op == IR_cumsum && f.batch_axes >> n->attr.i & 1)
        return "this goes on from sample to sample";
    if (reads_others(s, id))
        return "this reads other samples of the batch";
    return NULL;
}

/* The reduction `id` over the batch goes on from batch to batch only where its terms are of single
 * samples. */
static bool of_samples(struct split *s, ir_id id)
{
    bool *seen = xcalloc(id + 1, sizeof *seen);
    const char *why = NULL;
    ir_id k = id;
    seen[id] = true;
    for (; k && !why; k--) { /* operands come before their users */
        const struct ir_node *n = ir_at(s->g, k);
        if (!seen[k])
            continue;
        why = k != id && folds_batch(s, k) ? "this is over the batch, and what hangs on it is "
                                             "reduced over the batch again"
                                           : mixes(s, k);
        if (why)
            break;
        for (uint32_t i = 0; i < (n->op == IR_custom ? 1 : n->nin); i++)
            seen[n->in[i].node] = true;
    }
    free(seen);
    if (!why)
        return true;
    uint32_t origin = ir_at(s->g, k)->origin;
    if (s->good && elab_error(s->e, s->at,
                              "the metric `%s` needs the whole split at once, but the split comes "
                              "in batches",
                              s->name)) {
        if (origin)
            diag_note(s->e->d, s->g->m->origins.p[origin].at, "%s", why);
    }
    return s->good = false;
}

/* ---- accumulators ---- */

static uint32_t acc_slot(struct split *s, enum nn_dtype t, enum ir_monoid m, uint32_t rank,
                         const struct ir_axis *ax)
{
    struct ir_module *mod = s->g->m;
    char name[256];
    snprintf(name, sizeof name, "acc.%s.%u", s->name, s->acc++);
    uint32_t slot = ir_slot_find(mod, name);
    if (slot != UINT32_MAX)
        return slot;
    int64_t *dim = ARENA_ARRAY(mod->mem, int64_t, rank);
    for (uint32_t i = 0; i < rank; i++)
        dim[i] = ax[i].n;
    struct ir_slot a = {.name = intern(mod->names, name),
                        .dtype = t,
                        .kind = NN_SLOT_ACC,
                        .rank = rank,
                        .dim = dim,
                        .identity = ir_monoid_identity(m, t)};
    return ir_slot_add(mod, a);
}

static ir_id accumulate(struct split *s, ir_id id, enum ir_monoid m)
{
    const struct ir_node *n = ir_at(s->g, id);
    enum nn_dtype t = wide((enum nn_dtype)n->dtype);
    if (m == IRM_argmax || m == IRM_argmin) {
        fail(s, "takes an argmax over the batch, which does not go on from batch to batch");
        return 0;
    }
    for (uint32_t i = 0; i < s->e->acc.n; i++) /* another metric's already */
        if (s->e->acc.p[i].node == id)
            return s->into ? ir_slot_read(s->into, s->e->acc.p[i].slot) : id;
    if (!s->implicit && n->op == IR_reduce && !of_samples(s, id))
        return 0;
    uint32_t slot = acc_slot(s, t, m, ir_rank(n), ir_axes(n));
    vec_push(&s->e->acc, ((struct accumulator){id, slot}));
    if (s->into)
        return ir_slot_read(s->into, slot);
    struct ir_builder *b = s->e->b;
    emit_place(s->e, s->at, s->name);
    ir_id old = ir_slot_read(b, slot), now = ir_cast(b, t, id);
    struct ir_update u = {slot, ir_binary(b, ir_monoid_combine(m), old, now)};
    vec_push(&s->g->updates, u);
    return id;
}

/* ---- the end's own computation ---- */

static ir_id copy_const(struct split *s, ir_id id)
{
    struct node_fact f = fact_of(s, id);
    const struct ir_node *n = ir_at(s->g, id);
    if (f.batch_size)
        return accumulate(s, id, IRM_sum);
    if (f.batch_fraction) {
        fail(s, "uses a fraction of the batch size: the last batch may be shorter");
        return 0;
    }
    if (!s->into)
        return id;
    struct ir_node c = *n;
    c.dtype = (uint8_t)wide((enum nn_dtype)n->dtype);
    c.inlined = false;
    return ir_append(s->into->g, &c);
}

static ir_id copy_node(struct split *s, ir_id id)
{
    struct ir_node c = *ir_at(s->g, id);
    struct ir_in in[8];
    if (c.nin > COUNT(in)) {
        fail(s, "is too involved");
        return 0;
    }
    for (uint32_t k = 0; k < c.nin; k++) {
        in[k] = c.in[k];
        in[k].node = walk(s, c.in[k].node);
        if (!in[k].node)
            return 0;
    }
    if (!s->into)
        return id;
    c.in = in;
    c.inlined = false;
    c.checkpoint = 0;
    bool index = c.op == IR_reduce && (c.monoid == IRM_argmax || c.monoid == IRM_argmin);
    enum nn_dtype t = wide((enum nn_dtype)c.dtype);
    if (c.op == IR_cast && (enum nn_dtype)ir_at(s->into->g, in[0].node)->dtype == t)
        c.op = IR_copy;
    if (c.op == IR_stop)
        c.op = IR_copy;
    c.dtype = (uint8_t)(index ? NN_i32 : t);
    ir_id r = ir_append(s->into->g, &c);
    return index ? ir_cast(s->into, NN_i64, r) : r;
}

static ir_id copy_slot(struct split *s, ir_id id)
{
    if (!s->into)
        return id;
    const struct ir_node *n = ir_at(s->g, id);
    return ir_cast(s->into, wide((enum nn_dtype)n->dtype),
                   ir_slot_read(s->into, (uint32_t)n->attr.i));
}

static ir_id walk_new(struct split *s, ir_id id)
{
    const struct ir_node *n = ir_at(s->g, id);
    if (folds_batch(s, id))
        return accumulate(s, id, (enum ir_monoid)n->monoid);
    switch ((enum ir_op)n->op) {
    case IR_const: return copy_const(s, id);
    case IR_slot: return copy_slot(s, id);
    case IR_custom: return walk(s, n->in[0].node);
    case IR_input:
    case IR_random:
        fail(s, "hangs on single samples: reduce it over the batch, with mean(…) or sum(…)");
        return 0;
    case IR_hole:
    case IR_grad: fail(s, "uses a gradient"); return 0;
    default: /* computed from its operands */ return copy_node(s, id);
    }
}

static ir_id walk(struct split *s, ir_id id)
{
    if (!s->map[id] && s->good)
        s->map[id] = walk_new(s, id);
    return s->good ? s->map[id] : 0;
}

bool metrics_split(struct elab *e, struct ir_graph *g, struct ir_builder *into, const char *name,
                   const struct metric *m, val v)
{
    struct split s = {.e = e,
                      .g = g,
                      .into = into,
                      .name = name,
                      .at = m ? m->value->at : v->at,
                      .implicit = !m,
                      .good = true};
    s.map = xcalloc(g->nodes.n, sizeof *s.map);
    ir_id r = walk(&s, emit_node_of(e, v));
    free(s.map);
    if (s.good && into) {
        struct ir_named out = {intern(g->m->names, name), r};
        vec_push(&into->g->outputs, out);
    }
    return s.good;
}
