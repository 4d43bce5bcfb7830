/* The reference evaluator: the meaning of a graph, written down as plainly as possible. Every other
 * executor is compared with it. */
#include "ir/ir.h"
#include <inttypes.h>
#include <math.h>

struct given { /* an input's or a slot's array */
    const char *name;
    uint32_t slot;
    const double *v;
};

struct ir_eval {
    const struct ir_graph *g;
    bool round;
    double **value; /* of each node; NULL where not needed */
    VEC(struct given) inputs;
    VEC(struct given) slots;
    char *message;
};

/* One node's evaluation. */
struct point {
    struct ir_eval *e;
    ir_id id;
    const struct ir_node *n;
    int64_t axis[IR_MAX_AXES];
    int64_t *operand; /* elements of the operands that accesses name */
    bool *indexes;    /* operand k is named by an access */
};

struct ir_eval *ir_eval_new(const struct ir_graph *g, bool round)
{
    struct ir_eval *e = xcalloc(1, sizeof *e);
    e->g = g;
    e->round = round;
    e->value = xcalloc(g->nodes.n, sizeof *e->value);
    return e;
}

static void forget(struct ir_eval *e)
{
    for (ir_id id = 0; id < e->g->nodes.n; id++) {
        free(e->value[id]);
        e->value[id] = NULL;
    }
}

void ir_eval_free(struct ir_eval *e)
{
    if (!e)
        return;
    forget(e);
    free(e->value);
    vec_free(&e->inputs);
    vec_free(&e->slots);
    free(e);
}

void ir_eval_input(struct ir_eval *e, const char *name, const double *v)
{
    vec_push(&e->inputs, ((struct given){name, 0, v}));
}

void ir_eval_whole(struct ir_eval *e, const char *name, const double *v)
{
    vec_push(&e->inputs, ((struct given){name, IR_INPUT_WHOLE, v}));
}

void ir_eval_slot(struct ir_eval *e, uint32_t slot, const double *v)
{
    vec_push(&e->slots, ((struct given){NULL, slot, v}));
}

const double *ir_eval_value(struct ir_eval *e, ir_id id) { return e->value[id]; }

NNC_PRINTF(3, 4) static bool fault(struct ir_eval *e, ir_id id, const char *fmt, ...)
{
    char what[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    struct text t = {0};
    text_printf(&t, "%s: ", what);
    ir_print_node(e->g, id, &t);
    free(e->message);
    e->message = t.p;
    return false;
}

/* ---- reading through accesses ---- */

static bool term_holds(const struct point *p, const struct ir_term *t, int64_t *at)
{
    int64_t v = ix_eval(t->e, p->axis, p->operand);
    *at = v / t->q;
    return v % t->q == 0 && *at >= 0 && *at < t->n;
}

enum place { INSIDE, OUTSIDE, FAULT };

/* Where the access leads at this point: *flat, row-major. A strict one faults where a term with an
 * operand's element fails and none without does. */
static enum place locate(const struct point *p, const struct ir_access *a, int64_t *flat)
{
    bool gather_fails = false;
    int64_t at = 0;
    *flat = 0;
    for (uint32_t i = 0; i < a->rank + a->nguard; i++) {
        const struct ir_term *t = i < a->rank ? &a->at[i] : &a->guard[i - a->rank];
        if (!term_holds(p, t, &at)) {
            if (!ix_uses_operand(t->e))
                return OUTSIDE;
            gather_fails = true;
        }
        if (i < a->rank)
            *flat = *flat * t->n + at;
    }
    return !gather_fails ? INSIDE : a->strict ? FAULT : OUTSIDE;
}

static bool read_operand(struct point *p, uint32_t k, double *v)
{
    const struct ir_in *in = &p->n->in[k];
    int64_t flat;
    switch (locate(p, &in->a, &flat)) {
    case INSIDE: *v = p->e->value[in->node][flat]; return true;
    case OUTSIDE: *v = ir_convert(NN_f64, ir_at(p->e->g, in->node)->dtype, in->a.fill); return true;
    case FAULT: break;
    }
    return fault(p->e, p->id, "a gather's index is out of range");
}

static void mark_ix(const struct ix *e, bool *indexes)
{
    for (uint32_t i = 0; i < e->n; i++) {
        if (e->part[i].a.kind == IX_OPERAND)
            indexes[e->part[i].a.v] = true;
        else if (e->part[i].a.kind != IX_AXIS)
            mark_ix(e->part[i].a.e, indexes);
    }
}

static void mark_access(const struct ir_access *a, bool *indexes)
{
    for (uint32_t i = 0; i < a->rank; i++)
        mark_ix(a->at[i].e, indexes);
    for (uint32_t i = 0; i < a->nguard; i++)
        mark_ix(a->guard[i].e, indexes);
}

/* The elements that accesses name. Operands only name later ones, so last first. */
static bool read_indices(struct point *p)
{
    for (uint32_t k = p->n->nin; k-- > 0;)
        if (p->indexes[k]) {
            double v;
            if (!read_operand(p, k, &v))
                return false;
            p->operand[k] = (int64_t)v;
        }
    return true;
}

/* The operator's own operands at this point. */
static bool read_all(struct point *p, double *x)
{
    if (!read_indices(p))
        return false;
    for (int k = 0; k < ir_op_arity(p->n->op); k++)
        if (!read_operand(p, (uint32_t)k, &x[k]))
            return false;
    return true;
}

/* The next point of the axes [from, to), row-major; false after the last. */
static bool next(struct point *p, uint32_t from, uint32_t to)
{
    for (uint32_t i = to; i-- > from;) {
        if (++p->axis[i] < p->n->dom[i].n)
            return true;
        p->axis[i] = 0;
    }
    return false;
}

static int64_t size(const struct ir_node *n, uint32_t from, uint32_t to)
{
    int64_t count = 1;
    for (uint32_t i = from; i < to; i++)
        count *= n->dom[i].n;
    return count;
}

/* ---- operators ---- */

static double combine(const struct ir_node *n, enum ir_monoid m, double x, double y)
{
    return ir_scalar(ir_monoid_combine(m), n->dtype, n->dtype, (double[]){x, y});
}

/* One fold over the reduced axes, in row-major order. */
static bool fold(struct point *p, double *result)
{
    const struct ir_node *n = p->n;
    enum ir_monoid m = n->monoid;
    enum nn_dtype t = ir_at(p->e->g, n->in[0].node)->dtype;
    double x = 0, best = ir_monoid_identity(m, t);
    uint32_t first = (uint32_t)n->nd - n->nred;
    int64_t count = size(n, first, n->nd), which = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!read_all(p, &x))
            return false;
        if (m == IRM_argmax || m == IRM_argmin) {
            bool better = !isnan(best) && (isnan(x) || (m == IRM_argmax ? x > best : x < best));
            which = better || !i ? i : which;
            best = better || !i ? x : best;
        } else
            best = combine(n, m, best, x);
        next(p, first, n->nd);
    }
    *result = m == IRM_argmax || m == IRM_argmin ? (double)which : best;
    return true;
}

static bool eval_reduce(struct point *p, double *out)
{
    int64_t count = ir_count(p->n);
    for (int64_t i = 0; i < count; i++) {
        if (!fold(p, &out[i]))
            return false;
        next(p, 0, ir_rank(p->n));
    }
    return true;
}

static bool eval_cumsum(struct point *p, double *out)
{
    const struct ir_node *n = p->n;
    uint32_t axis = (uint32_t)n->attr.i;
    int64_t count = ir_count(n), stride = size(n, axis + 1, n->nd), length = n->dom[axis].n;
    for (int64_t i = 0; i < count; i++) {
        int64_t at = i;
        double x;
        if (n->reverse) { /* the axis is walked from its end */
            int64_t c = p->axis[axis];
            at += (length - 1 - 2 * c) * stride;
            p->axis[axis] = length - 1 - c;
        }
        if (!read_all(p, &x))
            return false;
        if (n->reverse)
            p->axis[axis] = length - 1 - p->axis[axis];
        out[at] =
            p->axis[axis] ? combine(n, IRM_sum, out[n->reverse ? at + stride : at - stride], x) : x;
        next(p, 0, n->nd);
    }
    return true;
}

static bool eval_scatter(struct point *p, double *out)
{
    int64_t count = size(p->n, 0, p->n->nd), flat;
    double x;
    for (int64_t i = 0; i < count; i++) {
        if (!read_all(p, &x))
            return false;
        switch (locate(p, p->n->out, &flat)) {
        case INSIDE: out[flat] = combine(p->n, IRM_sum, out[flat], x); break;
        case OUTSIDE: break;
        case FAULT: return fault(p->e, p->id, "a scatter's index is out of range");
        }
        next(p, 0, p->n->nd);
    }
    return true;
}

static bool eval_elementwise(struct point *p, double *out)
{
    const struct ir_node *n = p->n;
    enum ir_op op = n->op == IR_stop ? IR_copy : (enum ir_op)n->op;
    enum nn_dtype from = ir_at(p->e->g, n->in[0].node)->dtype;
    int64_t count = ir_count(n);
    double x[3];
    for (int64_t i = 0; i < count; i++) {
        if (!read_all(p, x))
            return false;
        out[i] = ir_scalar(op, from, n->dtype, x);
        next(p, 0, n->nd);
    }
    return true;
}

static bool eval_given(struct point *p, double *out)
{
    const struct ir_node *n = p->n;
    struct ir_eval *e = p->e;
    const double *v = NULL;
    for (uint32_t i = 0; n->op == IR_input && i < e->inputs.n; i++)
        if (!strcmp(e->inputs.p[i].name, n->name) && e->inputs.p[i].slot == n->attr.i)
            v = e->inputs.p[i].v;
    for (uint32_t i = 0; n->op == IR_slot && i < e->slots.n; i++)
        if (e->slots.p[i].slot == n->attr.i)
            v = e->slots.p[i].v;
    if (!v)
        return fault(e, p->id, "its value was not given");
    memcpy(out, v, (size_t)ir_count(n) * sizeof *v);
    return true;
}

static bool eval_whole(struct point *p, double *out)
{
    memcpy(out, p->e->value[p->n->in[0].node], (size_t)ir_count(p->n) * sizeof *out);
    return true;
}

static bool eval_leaf(struct point *p, double *out)
{
    const struct ir_node *n = p->n;
    int64_t count = ir_count(n), seed = 0, step = 0;
    if (n->op == IR_random) {
        seed = (int64_t)p->e->value[n->in[0].node][0];
        step = (int64_t)p->e->value[n->in[1].node][0];
    }
    for (int64_t i = 0; i < count; i++) {
        if (n->op == IR_random)
            out[i] =
                (double)ir_random_uniform(seed, step, (uint64_t)n->attr.i, n->word, (uint64_t)i);
        else if (n->op == IR_iota)
            out[i] = ir_convert(NN_i64, n->dtype, (double)p->axis[n->attr.i]);
        else
            out[i] = nn_is_float(n->dtype) ? n->attr.f : (double)n->attr.i;
        next(p, 0, n->nd);
    }
    return true;
}

static bool eval_node(struct point *p, double *out)
{
    switch ((enum ir_op)p->n->op) {
#define OP(name, arity, class) EVAL_##class(IR_##name)
#define EVAL_ARITH(op) case op:
#define EVAL_FLOAT(op) case op:
#define EVAL_CMP(op) case op:
#define EVAL_LOGIC(op) case op:
#define EVAL_ELEM(op) case op:
#define EVAL_LEAF(op)
#define EVAL_SHAPE(op)
#define EVAL_MARK(op)
#include "ir/ops.def"
#undef OP
    case IR_stop: return eval_elementwise(p, out);
    case IR_const:
    case IR_iota:
    case IR_random: return eval_leaf(p, out);
    case IR_input:
    case IR_slot: return eval_given(p, out);
    case IR_reduce: return eval_reduce(p, out);
    case IR_cumsum: return eval_cumsum(p, out);
    case IR_scatter: return eval_scatter(p, out);
    case IR_reshape:
    case IR_custom: return eval_whole(p, out);
    case IR_hole:
    case IR_grad: return fault(p->e, p->id, "cannot be evaluated before pass gradient");
    case IR_OP_COUNT: break;
    }
    return false;
}

/* ---- the graph ---- */

static bool *needed(const struct ir_graph *g)
{
    bool *need = xcalloc(g->nodes.n, sizeof *need);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        need[g->outputs.p[i].node] = true;
    for (uint32_t i = 0; i < g->updates.n; i++)
        need[g->updates.p[i].node] = true;
    for (ir_id id = g->nodes.n; id-- > 1;) {
        const struct ir_node *n = ir_at(g, id);
        for (uint32_t k = 0; need[id] && k < (n->op == IR_custom ? 1 : n->nin); k++)
            need[n->in[k].node] = true;
    }
    return need;
}

static bool run_node(struct ir_eval *e, ir_id id)
{
    const struct ir_node *n = ir_at(e->g, id);
    struct point p = {.e = e, .id = id, .n = n};
    int64_t count = ir_count(n);
    double *out = e->value[id] = xcalloc((size_t)count, sizeof *out);
    p.operand = xcalloc(n->nin, sizeof *p.operand);
    p.indexes = xcalloc(n->nin, sizeof *p.indexes);
    for (uint32_t k = 0; k < n->nin; k++)
        mark_access(&n->in[k].a, p.indexes);
    if (n->out)
        mark_access(n->out, p.indexes);
    bool ok = !size(n, 0, n->nd) && n->op != IR_reduce ? true : eval_node(&p, out);
    for (int64_t i = 0; i < count && e->round; i++)
        out[i] = ir_round(n->dtype, out[i]);
    free(p.operand);
    free(p.indexes);
    return ok;
}

bool ir_eval_run(struct ir_eval *e, char **message)
{
    bool *need = needed(e->g), ok = true;
    forget(e);
    for (ir_id id = 1; id < e->g->nodes.n && ok; id++)
        if (need[id])
            ok = run_node(e, id);
    free(need);
    *message = e->message;
    e->message = NULL;
    return ok;
}
