/* The rules of a sound graph. Every pass is followed by this; the reader uses it on a user's text.
 * It trusts nothing but the arrays' own lengths. */
#include "image.h"
#include "ir/ir.h"

#define MAX_ELEMENTS ((int64_t)1 << 56)
#define MAX_LIVE ((int64_t)1 << 30) /* of a live extent's numbers: with an i32 no overflow */
#define MAX_DEPTH 64                /* of nested // and % */

struct check {
    const struct ir_graph *g;
    ir_id id;
    const struct ir_node *n;
    char *message;
};

NNC_PRINTF(2, 3) static bool fail(struct check *c, const char *fmt, ...)
{
    if (c->message)
        return false;
    char what[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    struct text t = {0};
    if (c->id)
        text_printf(&t, "%s: ", c->n->op < IR_OP_COUNT ? ir_op_name(c->n->op) : "node");
    text_printf(&t, "%s", what);
    c->message = t.p;
    return false;
}

static const struct ir_node *operand(const struct check *c, uint32_t k)
{
    return ir_at(c->g, c->n->in[k].node);
}

/* ---- index expressions ---- */

/* `position`: of the operand whose access it is; 0 for a scatter's out. */
static bool check_ix(struct check *c, const struct ix *e, uint32_t position, int depth)
{
    if (!e)
        return fail(c, "an index is missing");
    if (depth > MAX_DEPTH)
        return fail(c, "an index is nested too deeply");
    for (uint32_t i = 0; i < e->n; i++) {
        const struct ix_atom *a = &e->part[i].a;
        if (!e->part[i].c)
            return fail(c, "a factor in an index is 0");
        switch (a->kind) {
        case IX_AXIS:
            if (a->v >= c->n->nd)
                return fail(c, "an index names axis %u of %u", a->v, c->n->nd);
            break;
        case IX_OPERAND:
            if (a->v <= position || a->v >= c->n->nin)
                return fail(c, "@%u in the access of operand %u: not a later operand", a->v,
                            position);
            if (!nn_is_int(operand(c, a->v)->dtype))
                return fail(c, "@%u is %s, not an integer", a->v,
                            nn_dtype_name(operand(c, a->v)->dtype));
            break;
        case IX_DIV:
        case IX_MOD:
            if (a->q <= 0)
                return fail(c, "a division by %lld in an index", (long long)a->q);
            if (!check_ix(c, a->e, position, depth + 1))
                return false;
            break;
        }
    }
    return true;
}

static bool check_term(struct check *c, const struct ir_term *t, uint32_t position)
{
    if (t->q < 1)
        return fail(c, "an exact division by %lld", (long long)t->q);
    if (t->n < 0)
        return fail(c, "a range of %lld", (long long)t->n);
    return check_ix(c, t->e, position, 0);
}

static bool check_access(struct check *c, const struct ir_access *a, uint32_t position,
                         uint32_t rank, const struct ir_axis *ax)
{
    if (a->rank != rank)
        return fail(c, "operand %u has %u axes and an access of %u", position, rank, a->rank);
    for (uint32_t i = 0; i < rank; i++) {
        if (!check_term(c, &a->at[i], position))
            return false;
        if (a->at[i].n != ax[i].n)
            return fail(c, "operand %u: term %u ranges over %lld, the axis over %lld", position, i,
                        (long long)a->at[i].n, (long long)ax[i].n);
    }
    for (uint32_t i = 0; i < a->nguard; i++)
        if (!check_term(c, &a->guard[i], position))
            return false;
    return true;
}

/* ---- axes and operands ---- */

static bool check_live(struct check *c, uint32_t axis, const struct ir_live *l)
{
    const struct ir_slot *s = l->slot < c->g->m->slots.n ? &c->g->m->slots.p[l->slot] : NULL;
    if (!s || s->kind != NN_SLOT_SIZE)
        return fail(c, "axis %u is live up to no size", axis);
    bool plain = l->over != 1 || (l->times == 1 && !l->more);
    if (l->by < 1 || l->over < 1 || l->times < 1 || !plain || l->by > MAX_LIVE ||
        l->times > MAX_LIVE || llabs(l->plus) > MAX_LIVE || llabs(l->more) > MAX_LIVE)
        return fail(c, "axis %u is live up to a size that grows with no slot", axis);
    return true;
}

static bool check_axes(struct check *c, uint32_t n, const struct ir_axis *ax)
{
    int64_t count = 1;
    if (n > IR_MAX_AXES)
        return fail(c, "%u axes", n);
    for (uint32_t i = 0; i < n; i++) {
        if (ax[i].n < 0)
            return fail(c, "axis %u has %lld elements", i, (long long)ax[i].n);
        if (ax[i].n && count > MAX_ELEMENTS / ax[i].n)
            return fail(c, "the domain is too large");
        count *= ax[i].n ? ax[i].n : 1;
        if (ax[i].live && !check_live(c, i, ax[i].live))
            return false;
    }
    return true;
}

static bool check_operands(struct check *c)
{
    const struct ir_node *n = c->n;
    int arity = ir_op_arity(n->op);
    if (arity >= 0 && n->nin < arity)
        return fail(c, "%u operands", n->nin);
    if (arity >= 0 && n->nin > arity && (ir_op_whole(n->op) || !arity))
        return fail(c, "%u operands", n->nin);
    for (uint32_t k = 0; k < n->nin; k++)
        if (!n->in[k].node || n->in[k].node >= c->id)
            return fail(c, "operand %u is %%%u, which does not come before it", k, n->in[k].node);
    for (uint32_t k = 0; k < n->nin; k++) {
        const struct ir_node *x = operand(c, k);
        const struct ir_access *a = &n->in[k].a;
        if (ir_op_whole(n->op) && (a->rank || a->nguard))
            return fail(c, "operand %u has an access", k);
        if (!ir_op_whole(n->op) && !check_access(c, a, k, ir_rank(x), ir_axes(x)))
            return false;
        if (arity >= 0 && (int)k >= arity && !nn_is_int(x->dtype))
            return fail(c, "operand %u is for accesses, but %s", k, nn_dtype_name(x->dtype));
    }
    return true;
}

/* ---- types ---- */

static bool operand_is(struct check *c, uint32_t k, enum nn_dtype t)
{
    return operand(c, k)->dtype == t || fail(c, "operand %u is %s, not %s", k,
                                             nn_dtype_name(operand(c, k)->dtype), nn_dtype_name(t));
}

static bool result_is(struct check *c, enum nn_dtype t)
{
    return c->n->dtype == t ||
           fail(c, "gives %s, not %s", nn_dtype_name(t), nn_dtype_name(c->n->dtype));
}

static bool check_class(struct check *c)
{
    enum nn_dtype t = c->n->dtype;
    uint32_t arity = (uint32_t)ir_op_arity(c->n->op);
    switch (ir_op_class(c->n->op)) {
    case IRC_ARITH:
        if (t == NN_bool)
            return fail(c, "on bool");
        break;
    case IRC_FLOAT:
        if (!nn_is_float(t))
            return fail(c, "on %s", nn_dtype_name(t));
        if (c->n->op == IR_round_tf32 && t != NN_f32)
            return fail(c, "on %s, not f32", nn_dtype_name(t));
        break;
    case IRC_CMP: return result_is(c, NN_bool) && operand_is(c, 1, operand(c, 0)->dtype);
    case IRC_LOGIC:
        if (!result_is(c, NN_bool))
            return false;
        break;
    case IRC_ELEM:
    case IRC_LEAF:
    case IRC_SHAPE:
    case IRC_MARK: return true;
    }
    for (uint32_t k = 0; k < arity; k++)
        if (!operand_is(c, k, t))
            return false;
    return true;
}

/* ---- the operators with rules of their own ---- */

static bool same_axes(struct check *c, uint32_t n, const struct ir_axis *x, uint32_t m,
                      const struct ir_axis *y, const char *what)
{
    if (n != m)
        return fail(c, "%u axes, %s %u", n, what, m);
    for (uint32_t i = 0; i < n; i++)
        if (x[i].n != y[i].n)
            return fail(c, "axis %u has %lld elements, %s %lld", i, (long long)x[i].n, what,
                        (long long)y[i].n);
    return true;
}

static bool like(struct check *c, uint32_t k, uint32_t of)
{
    const struct ir_node *x = operand(c, k), *y = operand(c, of);
    return operand_is(c, k, y->dtype) &&
           same_axes(c, ir_rank(x), ir_axes(x), ir_rank(y), ir_axes(y), "the node it goes with");
}

static bool as_result(struct check *c, uint32_t k)
{
    const struct ir_node *x = operand(c, k);
    return result_is(c, x->dtype) &&
           same_axes(c, c->n->nd, c->n->dom, ir_rank(x), ir_axes(x), "its operand");
}

static bool check_reduce(struct check *c)
{
    const struct ir_node *n = c->n;
    if (n->monoid >= IRM_COUNT)
        return fail(c, "monoid %u", n->monoid);
    switch ((enum ir_monoid)n->monoid) {
    case IRM_argmax:
    case IRM_argmin:
        return operand(c, 0)->dtype != NN_bool ? result_is(c, NN_i32) : fail(c, "on bool");
    case IRM_any:
    case IRM_all: return result_is(c, NN_bool) && operand_is(c, 0, NN_bool);
    case IRM_sum:
    case IRM_prod:
    case IRM_max:
    case IRM_min: return n->dtype != NN_bool ? operand_is(c, 0, n->dtype) : fail(c, "on bool");
    case IRM_COUNT: break;
    }
    return false;
}

static bool check_slot(struct check *c)
{
    const struct ir_module *m = c->g->m;
    if (c->n->attr.i < 0 || c->n->attr.i >= m->slots.n)
        return fail(c, "slot %lld of %u", (long long)c->n->attr.i, m->slots.n);
    const struct ir_slot *s = &m->slots.p[c->n->attr.i];
    if (c->n->nd != s->rank)
        return fail(c, "%u axes, the slot has %u", c->n->nd, s->rank);
    for (uint32_t i = 0; i < s->rank; i++)
        if (c->n->dom[i].n != s->dim[i])
            return fail(c, "axis %u has %lld elements, the slot's %lld", i,
                        (long long)c->n->dom[i].n, (long long)s->dim[i]);
    return result_is(c, s->dtype);
}

static bool check_random(struct check *c)
{
    if (ir_rank(operand(c, 0)) || ir_rank(operand(c, 1)))
        return fail(c, "seed and step are scalars");
    if (c->n->word > 1)
        return fail(c, "word %u", c->n->word);
    return result_is(c, NN_f32) && operand_is(c, 0, NN_i64) && operand_is(c, 1, NN_i64);
}

static bool check_scatter(struct check *c)
{
    if (!c->n->out)
        return fail(c, "no output access");
    if (c->n->dtype == NN_bool)
        return fail(c, "on bool");
    return operand_is(c, 0, c->n->dtype) && check_axes(c, c->n->nval, c->n->val) &&
           check_access(c, c->n->out, 0, c->n->nval, c->n->val);
}

static bool check_custom(struct check *c)
{
    const struct ir_node *n = c->n;
    if (n->nin < 2 || n->nin % 2)
        return fail(c, "%u operands", n->nin);
    uint32_t k = n->nin / 2u - 1;
    if (operand(c, k + 1)->op != IR_hole)
        return fail(c, "operand %u is no hole", k + 1);
    if (!as_result(c, 0) || !like(c, k + 1, 0))
        return false;
    for (uint32_t i = 0; i < k; i++)
        if (!like(c, k + 2 + i, 1 + i))
            return false;
    return true;
}

static bool check_grad(struct check *c)
{
    if (ir_rank(operand(c, 0)) || !nn_is_float(operand(c, 0)->dtype))
        return fail(c, "the loss is not a float scalar");
    if (!nn_is_float(operand(c, 1)->dtype))
        return fail(c, "of %s", nn_dtype_name(operand(c, 1)->dtype));
    return as_result(c, 1);
}

static bool check_axis(struct check *c)
{
    return (c->n->attr.i >= 0 && c->n->attr.i < c->n->nd) ||
           fail(c, "axis %lld of %u", (long long)c->n->attr.i, c->n->nd);
}

static bool check_reshape(struct check *c)
{
    int64_t from = ir_count(operand(c, 0)), to = ir_count(c->n);
    if (from != to)
        return fail(c, "%lld elements become %lld", (long long)from, (long long)to);
    return result_is(c, operand(c, 0)->dtype);
}

static bool check_op(struct check *c)
{
    switch ((enum ir_op)c->n->op) {
    case IR_select:
        return operand_is(c, 0, NN_bool) && operand_is(c, 1, c->n->dtype) &&
               operand_is(c, 2, c->n->dtype);
    case IR_copy:
    case IR_stop: return result_is(c, operand(c, 0)->dtype);
    case IR_iota: return check_axis(c) && (c->n->dtype != NN_bool || fail(c, "on bool"));
    case IR_random: return check_random(c);
    case IR_input: return c->n->name || fail(c, "no name");
    case IR_slot: return check_slot(c);
    case IR_reduce: return check_reduce(c);
    case IR_cumsum:
        return check_axis(c) && operand_is(c, 0, c->n->dtype) &&
               (c->n->dtype != NN_bool || fail(c, "on bool"));
    case IR_reshape: return check_reshape(c);
    case IR_scatter: return check_scatter(c);
    case IR_custom: return check_custom(c);
    case IR_grad: return check_grad(c);
    case IR_cast:
    case IR_const:
    case IR_hole: return true;
#define OP(name, arity, class) CHECK_##class(IR_##name)
#define CHECK_ARITH(op) case op:
#define CHECK_FLOAT(op) case op:
#define CHECK_CMP(op) case op:
#define CHECK_LOGIC(op) case op:
#define CHECK_ELEM(op)
#define CHECK_LEAF(op)
#define CHECK_SHAPE(op)
#define CHECK_MARK(op)
#include "ir/ops.def"
#undef OP
        return check_class(c);
    case IR_OP_COUNT: break;
    }
    return fail(c, "no such operator");
}

static bool check_node(struct check *c)
{
    const struct ir_node *n = c->n;
    if (n->op >= IR_OP_COUNT || n->dtype >= NN_DTYPE_COUNT)
        return fail(c, "operator %u, type %u", n->op, n->dtype);
    if (n->nred > n->nd || (n->nred && n->op != IR_reduce))
        return fail(c, "%u of %u axes reduced", n->nred, n->nd);
    if (n->op != IR_scatter && (n->out || n->nval))
        return fail(c, "has an output access");
    if (n->origin >= c->g->m->origins.n)
        return fail(c, "origin %u of %u", n->origin, c->g->m->origins.n);
    return check_axes(c, n->nd, n->dom) && check_operands(c) && check_op(c);
}

/* ---- the graph ---- */

/* Two nodes may read an input of one name, if their types agree. */
static bool check_inputs(struct check *c)
{
    VEC(ir_id) seen = {0};
    for (ir_id id = 1; id < c->g->nodes.n && !c->message; id++) {
        const struct ir_node *n = ir_at(c->g, id);
        if (n->op != IR_input)
            continue;
        c->id = id;
        c->n = n;
        for (uint32_t i = 0; i < seen.n; i++) {
            const struct ir_node *x = ir_at(c->g, seen.p[i]);
            if (!strcmp(x->name, n->name) && x->attr.i == n->attr.i && result_is(c, x->dtype))
                same_axes(c, n->nd, n->dom, x->nd, x->dom, "another input of that name");
        }
        vec_push(&seen, id);
    }
    vec_free(&seen);
    return !c->message;
}

static bool check_update(struct check *c, uint32_t i)
{
    const struct ir_update *u = &c->g->updates.p[i];
    const struct ir_module *m = c->g->m;
    if (u->slot >= m->slots.n || !u->node || u->node >= c->g->nodes.n)
        return fail(c, "update %u is of slot %u by %%%u", i, u->slot, u->node);
    const struct ir_slot *s = &m->slots.p[u->slot];
    const struct ir_node *n = ir_at(c->g, u->node);
    if (n->dtype != s->dtype)
        return fail(c, "update of %s, which is %s, by %%%u, which is %s", s->name,
                    nn_dtype_name(s->dtype), u->node, nn_dtype_name(n->dtype));
    bool fits = ir_rank(n) == s->rank;
    for (uint32_t k = 0; fits && k < s->rank; k++)
        fits = ir_axes(n)[k].n == s->dim[k];
    if (!fits)
        return fail(c, "update of %s by %%%u: their shapes differ", s->name, u->node);
    for (uint32_t k = 0; k < i; k++)
        if (c->g->updates.p[k].slot == u->slot)
            return fail(c, "two updates of %s", s->name);
    return true;
}

static bool check_outputs(struct check *c)
{
    for (uint32_t i = 0; i < c->g->outputs.n; i++) {
        const struct ir_named *o = &c->g->outputs.p[i];
        if (!o->name || !o->node || o->node >= c->g->nodes.n)
            return fail(c, "output %s is %%%u", o->name ? o->name : "without a name", o->node);
        for (uint32_t k = 0; k < i; k++)
            if (!strcmp(c->g->outputs.p[k].name, o->name))
                return fail(c, "two outputs %s", o->name);
    }
    return true;
}

char *ir_verify_node(const struct ir_graph *g, ir_id id)
{
    struct check c = {.g = g, .id = id, .n = ir_at(g, id)};
    check_node(&c);
    return c.message;
}

/* "graph step: %7 = " before a node's message. */
static char *place(const struct ir_graph *g, ir_id id, char *message)
{
    struct text t = {0};
    text_printf(&t, "graph %s: ", g->name);
    if (id)
        text_printf(&t, "%%%u = ", id);
    text_printf(&t, "%s", message);
    free(message);
    return t.p;
}

/* A whole input has the samples of all parts. */
static bool whole_input(struct check *c, ir_id id)
{
    const struct ir_graph *part = c->g->part;
    const struct ir_node *n = ir_at(part, id);
    if (n->op != IR_input || n->attr.i != IR_INPUT_WHOLE)
        return true;
    bool good = n->nd && n->dom[0].n % c->g->parts == 0;
    for (ir_id k = 1; good && k < part->nodes.n; k++) {
        const struct ir_node *x = ir_at(part, k);
        if (x->op != IR_input || x->attr.i == IR_INPUT_WHOLE || strcmp(x->name, n->name) != 0)
            continue;
        good = x->dtype == n->dtype && x->nd == n->nd && ir_count(x) * c->g->parts == ir_count(n) &&
               x->dom[0].n * c->g->parts == n->dom[0].n;
    }
    return good || fail(c, "%s: whole input %s has not the samples of %u parts", part->name,
                        n->name, c->g->parts);
}

/* What runs before the graph for each part of the batch. */
static bool check_parts(struct check *c)
{
    const struct ir_graph *g = c->g, *part = g->part;
    uint32_t slot = part ? ir_slot_find(g->m, part->name) : 0;
    if (!part)
        return true;
    if (g->parts < 2 || part->parts)
        return fail(c, "%u parts of %s, which has %u itself", g->parts, part->name, part->parts);
    if (slot == UINT32_MAX || g->m->slots.p[slot].dtype != NN_i32 || g->m->slots.p[slot].rank)
        return fail(c, "parts of %s need an i32 slot of that name", part->name);
    for (ir_id id = 1; id < g->nodes.n; id++)
        if (ir_at(g, id)->op == IR_input)
            return fail(c, "%%%u is an input, which the parts of %s have", id, part->name);
    for (ir_id id = 1; id < part->nodes.n; id++)
        if (!whole_input(c, id))
            return false;
    return !part->outputs.n || fail(c, "%s has an output of its own", part->name);
}

char *ir_verify(const struct ir_graph *g)
{
    char *before = g->part ? ir_verify(g->part) : NULL;
    if (before)
        return before;
    for (ir_id id = 1; id < g->nodes.n; id++) {
        char *message = ir_verify_node(g, id);
        if (message)
            return place(g, id, message);
    }
    struct check c = {.g = g};
    bool ok = check_inputs(&c);
    ir_id id = ok ? 0 : c.id;
    c.id = 0;
    ok = ok && check_outputs(&c);
    for (uint32_t i = 0; i < g->updates.n && ok; i++)
        ok = check_update(&c, i);
    ok = ok && check_parts(&c);
    return ok ? NULL : place(g, id, c.message);
}
