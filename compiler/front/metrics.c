/* Metrics of a whole split. Walking back from a metric's value, the first reductions over the batch
 * axis are where one batch ends and the split begins: each becomes an accumulator that goes on from
 * batch to batch. What stands between them and the value is computed once, at the end, in f64 and
 * i64. */
#include "front/elab.h"

struct split {
    struct elab *e;
    struct ir_graph *g;
    struct ir_builder *into; /* the graph `metrics`; NULL: the accumulators are put into g */
    const char *name;
    uint32_t acc;
    ir_id *map; /* by node of g: its value at the end; 0 not yet */
    struct loc at;
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
    struct node_fact f = id < s->e->fact.n ? s->e->fact.p[id] : (struct node_fact){0};
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

static bool folds_batch(struct split *s, ir_id id)
{
    const struct ir_node *n = ir_at(s->g, id);
    uint32_t axes = id < s->e->fact.n ? s->e->fact.p[id].batch_axes : 0;
    return n->op == IR_reduce && axes >> ir_rank(n);
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
                   val v)
{
    struct split s = {.e = e, .g = g, .into = into, .name = name, .at = v->at, .good = true};
    s.map = xcalloc(g->nodes.n, sizeof *s.map);
    ir_id r = walk(&s, emit_node_of(e, v));
    free(s.map);
    if (s.good && into) {
        struct ir_named out = {intern(g->m->names, name), r};
        vec_push(&into->g->outputs, out);
    }
    return s.good;
}
