/* Metrics of a whole split. Walking back from a metric's value, the first reductions over the batch
 * axis are where one batch ends and the split begins: each becomes an accumulator that goes on from
 * batch to batch. What stands between them and the value is computed once, at the end, in f64 and
 * i64. What is accumulated has to be of each sample by itself: where one sample's value hangs on
 * the others of its batch, the metric is refused. A variance and a logsumexp over the batch hang on
 * its mean and its maximum, but are known by reduce.c's facts and put together exactly. */
#include "front/elab.h"

struct split {
    struct elab *e;
    struct ir_graph *g;
    struct ir_builder *into; /* the graph `metrics`; NULL: the accumulators are put into g */
    const char *name;
    uint64_t sets; /* the datasets that the metric reads */
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

/* The reduction `id` over the batch goes on from batch to batch only where its terms are of single
 * samples. */
static bool of_samples(struct split *s, ir_id id)
{
    ir_id k = id;
    const char *why = samples_met(s->e, id, true, &k);
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
                         const struct ir_axis *ax) /* starts as the monoid's identity */
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

static const struct accumulator *find_acc(struct split *s, ir_id id, bool exact)
{
    for (uint32_t i = 0; i < s->e->acc.n; i++) {
        const struct accumulator *a = &s->e->acc.p[i];
        if (a->node == id && a->sets == s->sets && a->exact == exact)
            return a;
    }
    return NULL;
}

static void update(struct split *s, uint32_t slot, ir_id now)
{
    struct ir_update u = {slot, now};
    vec_push(&s->g->updates, u);
}

static ir_id accumulate(struct split *s, ir_id id, enum ir_monoid m)
{
    const struct ir_node *n = ir_at(s->g, id);
    enum nn_dtype t = wide((enum nn_dtype)n->dtype);
    if (m == IRM_argmax || m == IRM_argmin) {
        fail(s, "takes an argmax over the batch, which does not go on from batch to batch");
        return 0;
    }
    if (!s->implicit && n->op == IR_reduce && !of_samples(s, id))
        return 0;
    const struct accumulator *a = find_acc(s, id, false); /* another metric's already */
    if (a)
        return s->into ? ir_slot_read(s->into, a->slot) : id;
    uint32_t slot = acc_slot(s, t, m, ir_rank(n), ir_axes(n));
    vec_push(&s->e->acc, ((struct accumulator){id, s->sets, false, slot}));
    if (s->into)
        return ir_slot_read(s->into, slot);
    struct ir_builder *b = s->e->b;
    emit_place(s->e, s->at, s->name);
    update(s, slot, ir_binary(b, ir_monoid_combine(m), ir_slot_read(b, slot), ir_cast(b, t, id)));
    return id;
}

/* Σ (x - mean)² of the split: Chan, Golub and LeVeque's way to put two parts together, by their
 * counts, means and sums of squares. `id` is that of the batch. */
static ir_id accumulate_spread(struct split *s, ir_id id)
{
    struct node_fact f = fact_of(s, id);
    const struct accumulator *a = find_acc(s, id, true);
    if (!of_samples(s, f.spread_of))
        return 0;
    if (a)
        return s->into ? ir_slot_read(s->into, a->slot) : id;
    const struct ir_node *n = ir_at(s->g, id);
    uint32_t rank = ir_rank(n);
    const struct ir_axis *ax = ir_axes(n);
    uint32_t squares = acc_slot(s, NN_f64, IRM_sum, rank, ax),
             mean = acc_slot(s, NN_f64, IRM_sum, rank, ax),
             count = acc_slot(s, NN_f64, IRM_sum, 0, NULL);
    vec_push(&s->e->acc, ((struct accumulator){id, s->sets, true, squares}));
    if (s->into)
        return ir_slot_read(s->into, squares);
    struct ir_builder *b = s->e->b;
    emit_place(s->e, s->at, s->name);
    ir_id more = ir_const_f(b, NN_f64, (double)emit_size(s->e, f.spread_n));
    ir_id had = ir_slot_read(b, count), old = ir_slot_read(b, mean);
    ir_id all = ir_binary(b, IR_add, had, more), part = ir_binary(b, IR_div, more, all);
    ir_id own = ir_binary(b, IR_div, ir_cast(b, NN_f64, f.spread_of), more);
    ir_id apart = ir_binary(b, IR_sub, own, old);
    ir_id between =
        ir_binary(b, IR_mul, ir_binary(b, IR_mul, apart, apart), ir_binary(b, IR_mul, had, part));
    ir_id sum = ir_binary(b, IR_add, ir_slot_read(b, squares), ir_cast(b, NN_f64, id));
    update(s, count, all);
    update(s, mean, ir_binary(b, IR_add, old, ir_binary(b, IR_mul, apart, part)));
    update(s, squares, ir_binary(b, IR_add, sum, between));
    return id;
}

/* log Σ exp x of the split from that of each batch: max + log(1 + exp(-|x - y|)). */
static ir_id accumulate_logsumexp(struct split *s, ir_id id)
{
    const struct accumulator *a = find_acc(s, id, true);
    if (!of_samples(s, fact_of(s, id).logsumexp_of))
        return 0;
    if (a)
        return s->into ? ir_slot_read(s->into, a->slot) : id;
    const struct ir_node *n = ir_at(s->g, id);
    uint32_t slot = acc_slot(s, NN_f64, IRM_max, ir_rank(n), ir_axes(n));
    vec_push(&s->e->acc, ((struct accumulator){id, s->sets, true, slot}));
    if (s->into)
        return ir_slot_read(s->into, slot);
    struct ir_builder *b = s->e->b;
    emit_place(s->e, s->at, s->name);
    ir_id x = ir_slot_read(b, slot), y = ir_cast(b, NN_f64, id), zero = ir_const_f(b, NN_f64, 0);
    ir_id same = ir_binary(b, IR_eq, x, y); /* infinities too, whose difference is none */
    ir_id apart = ir_binary(b, IR_sub, ir_select(b, same, zero, x), ir_select(b, same, zero, y));
    ir_id less = ir_unary(b, IR_exp, ir_unary(b, IR_neg, ir_unary(b, IR_abs, apart)));
    ir_id more = ir_unary(b, IR_log, ir_binary(b, IR_add, ir_const_f(b, NN_f64, 1), less));
    update(s, slot, ir_binary(b, IR_add, ir_binary(b, IR_max, x, y), more));
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
    struct node_fact f = fact_of(s, id);
    if (!s->implicit && f.logsumexp_of && samples_folded(s->e, f.logsumexp_of))
        return accumulate_logsumexp(s, id);
    if (!s->implicit && f.spread_of && samples_folded(s->e, id))
        return accumulate_spread(s, id);
    if (samples_folded(s->e, id))
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

uint64_t metrics_sets(struct elab *e, val v)
{
    const struct ir_graph *g = e->b->g;
    const struct train *t = e->train;
    uint64_t sets = 0;
    ir_id from = emit_node_of(e, v);
    bool *seen = xcalloc(from + 1, sizeof *seen);
    seen[from] = true;
    for (ir_id k = from; k; k--) { /* operands come before their users */
        const struct ir_node *n = ir_at(g, k);
        if (!seen[k])
            continue;
        for (uint32_t i = 0; n->op == IR_input && i < t->field.n; i++)
            if (!strcmp(t->field.p[i].name, n->name))
                sets |= (uint64_t)1 << t->field.p[i].out.set;
        for (uint32_t i = 0; i < n->nin; i++)
            seen[n->in[i].node] = true;
    }
    free(seen);
    return sets ? sets : UINT64_MAX >> (64 - t->out.nsets);
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
                      .sets = metrics_sets(e, v),
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
