/* What a rule of gradient_rules.c has at hand: values read over its domain, new nodes, and the way
 * from its domain to the operand's axes. */
#include "pass/gradient.h"
#include <math.h>

/* ---- refs ---- */

struct ref rule_whole(const struct gradient *s, ir_id id)
{
    const struct ir_node *n = ir_at(s->g, id);
    return (struct ref){id, ir_identity(s->m, ir_rank(n), ir_axes(n))};
}

void rule_dims(uint32_t nd, const struct ir_axis *dom, int64_t *dim)
{
    for (uint32_t i = 0; i < nd; i++)
        dim[i] = dom[i].n;
}

bool rule_uses_operand(const struct ir_access *a)
{
    for (uint32_t i = 0; i < a->rank + a->nguard; i++)
        if (ix_uses_operand((i < a->rank ? &a->at[i] : &a->guard[i - a->rank])->e))
            return true;
    return false;
}

bool rule_uses_axis(const struct ir_access *a, uint32_t axis)
{
    for (uint32_t i = 0; i < a->rank + a->nguard; i++)
        if (ix_uses_axis((i < a->rank ? &a->at[i] : &a->guard[i - a->rank])->e, axis))
            return true;
    return false;
}

bool rule_same(const struct ir_in *x, const struct ir_in *y)
{
    if (x->node != y->node || x->a.nguard != y->a.nguard || x->a.fill != y->a.fill)
        return false;
    for (uint32_t i = 0; i < x->a.rank; i++)
        if (!ir_term_equal(&x->a.at[i], &y->a.at[i]))
            return false;
    for (uint32_t i = 0; i < x->a.nguard; i++)
        if (!ir_term_equal(&x->a.guard[i], &y->a.guard[i]))
            return false;
    return true;
}

bool rule_is_const(const struct rule *r, struct ref x, double *v)
{
    const struct ir_node *n = ir_at(r->g, x.node);
    int64_t dim[2 * IR_MAX_AXES];
    rule_dims(r->nd, r->dom, dim);
    if (n->op != IR_const || !nn_is_float(n->dtype) || !ir_access_total(&x.a, dim))
        return false;
    *v = n->attr.f;
    return true;
}

bool rule_wanted(const struct rule *r, uint32_t k) { return r->s->wanted[r->n.in[k].node]; }

/* ---- new nodes ---- */

/* The origin of the derivative of a node of that origin. */
uint32_t gradient_origin(struct gradient *s, uint32_t origin)
{
    if (!origin || origin >= s->norigin)
        return origin;
    if (!s->backward[origin]) {
        struct ir_origin o = s->m->origins.p[origin];
        const char *dot = o.path ? strrchr(o.path, '.') : NULL;
        const char *role = arena_printf(s->m->mem, "d.%s", dot ? dot + 1 : o.path ? o.path : "");
        s->backward[origin] = ir_origin_add(s->m, o.at, o.path, role);
    }
    return s->backward[origin];
}

struct ref rule_append(struct rule *r, struct ir_node n)
{
    n.origin = gradient_origin(r->s, r->n.origin);
    n.checkpoint = 0;
    return rule_whole(r->s, ir_append(r->g, &n));
}

struct ref rule_num(struct rule *r, enum nn_dtype t, double v)
{
    struct ir_node n = {.op = IR_const, .dtype = (uint8_t)t, .attr = {.f = v}};
    return rule_append(r, n);
}

static bool is(const struct rule *r, struct ref x, double v)
{
    double c;
    return rule_is_const(r, x, &c) && c == v;
}

/* The operand that a sum or product is equal to, or a constant; node 0: neither. */
static struct ref fold(struct rule *r, enum ir_op op, enum nn_dtype t, const struct ref *x)
{
    double a, b;
    bool both = ir_op_arity(op) == 2 && rule_is_const(r, x[0], &a) && rule_is_const(r, x[1], &b);
    if (op == IR_mul) {
        if (both)
            return rule_num(r, t, a * b);
        if (is(r, x[0], 1))
            return x[1];
        if (is(r, x[1], 1))
            return x[0];
    } else if (op == IR_add) {
        if (both)
            return rule_num(r, t, a + b);
        if (is(r, x[0], 0))
            return x[1];
        if (is(r, x[1], 0))
            return x[0];
    } else if (op == IR_div && is(r, x[1], 1)) {
        return x[0];
    } else if (op == IR_neg && rule_is_const(r, x[0], &a)) {
        return rule_num(r, t, -a);
    } else if (op == IR_cast && ir_at(r->g, x[0].node)->dtype == t) {
        return x[0];
    }
    return (struct ref){0};
}

struct ref rule_emit(struct rule *r, enum ir_op op, enum nn_dtype t, uint32_t n,
                     const struct ref *x)
{
    struct ref folded = nn_is_float(t) ? fold(r, op, t, x) : (struct ref){0};
    if (folded.node)
        return folded;
    struct arena *mem = r->s->m->mem;
    struct ir_axis *dom = ARENA_ARRAY(mem, struct ir_axis, r->nd);
    struct ir_term *at = ARENA_ARRAY(mem, struct ir_term, r->nd);
    const struct ix **to = ARENA_ARRAY(mem, const struct ix *, r->nd);
    uint32_t nd = 0;
    bool smaller = false;
    for (uint32_t i = 0; i < r->nd; i++) {
        bool used = false;
        for (uint32_t k = 0; k < n; k++)
            used = used || rule_uses_axis(&x[k].a, i);
        to[i] = used ? ix_axis(mem, nd) : ix_const(mem, 0);
        smaller = smaller || (!used && r->dom[i].n != 1);
        if (!used)
            continue;
        at[nd] = (struct ir_term){ix_axis(mem, i), 1, r->dom[i].n};
        dom[nd++] = r->dom[i];
    }
    int64_t dim[2 * IR_MAX_AXES];
    struct ir_in in[3];
    rule_dims(nd, dom, dim);
    for (uint32_t i = 0; i < n; i++)
        in[i] = (struct ir_in){x[i].node, ir_access_subst(r->s->m, x[i].a, to, NULL, dim)};
    struct ir_node node = {.op = (uint8_t)op,
                           .dtype = (uint8_t)t,
                           .inlined = r->inlined && !smaller,
                           .nd = (uint16_t)nd,
                           .dom = dom,
                           .nin = (uint16_t)n,
                           .in = in};
    return (struct ref){rule_append(r, node).node, {.rank = nd, .at = at}};
}

/* The node that has x's elements in the order of the domain. */
ir_id rule_materialise(struct rule *r, struct ref x)
{
    struct ir_in in = {x.node, x.a};
    struct ir_node node = {.op = IR_copy,
                           .dtype = ir_at(r->g, x.node)->dtype,
                           .nd = (uint16_t)r->nd,
                           .dom = r->dom,
                           .nin = 1,
                           .in = &in};
    if (ir_rank(ir_at(r->g, x.node)) == r->nd && ir_access_is_identity(&x.a, &node))
        return x.node;
    return rule_append(r, node).node;
}

/* ---- reading through gathers ---- */

/* The operands that an access of n mentions, and those that their own accesses mention, become
 * operands 1, 2, … behind it. Returns how many; in[0].a is the access renumbered. */
static uint32_t take_indices(struct gradient *s, const struct ir_node *n, struct ir_access a,
                             struct ir_in *in)
{
    struct arena *mem = s->m->mem;
    const struct ix **to = ARENA_ARRAY(mem, const struct ix *, n->nin);
    bool *used = ARENA_ARRAY(mem, bool, n->nin);
    uint32_t count = 0;
    for (uint32_t k = 0; k < n->nin; k++) {
        const struct ir_access *x = k ? &n->in[k].a : &a;
        if (k && !used[k])
            continue;
        for (uint32_t i = 0; i < x->rank + x->nguard; i++) {
            const struct ix *e = (i < x->rank ? &x->at[i] : &x->guard[i - x->rank])->e;
            for (uint32_t v = 1; v < n->nin; v++)
                used[v] = used[v] || ix_mentions_operand(e, v);
        }
    }
    for (uint32_t k = 1; k < n->nin; k++)
        if (used[k]) {
            to[k] = ix_operand(mem, ++count);
            in[count] = n->in[k];
        }
    in[0].a = a;
    for (uint32_t k = 0; k <= count; k++)
        in[k].a = ir_access_subst(s->m, in[k].a, NULL, to, NULL);
    return count;
}

/* Operand k over n's own domain; a gather becomes a node. */
static struct ref operand(struct rule *r, uint32_t k)
{
    struct ir_access a = r->n.in[k].a;
    if (!rule_uses_operand(&a))
        return (struct ref){r->n.in[k].node, a};
    struct ir_in *in = ARENA_ARRAY(r->s->m->mem, struct ir_in, r->n.nin + 1u);
    uint32_t count = take_indices(r->s, &r->n, a, in);
    in[0].node = r->n.in[k].node;
    struct ir_node copy = {.op = IR_copy,
                           .dtype = ir_at(r->g, in[0].node)->dtype,
                           .inlined = true,
                           .nd = r->n.nd,
                           .dom = r->n.dom,
                           .nin = (uint16_t)(count + 1),
                           .in = in};
    return rule_append(r, copy);
}

/* x, read over n's domain, as a node there: for accesses that do not compose. */
static struct ref stored(struct rule *r, struct ref x)
{
    struct ir_in in = {x.node, x.a};
    struct ir_node copy = {.op = IR_copy,
                           .dtype = ir_at(r->g, x.node)->dtype,
                           .inlined = true,
                           .nd = r->n.nd,
                           .dom = r->n.dom,
                           .nin = 1,
                           .in = &in};
    return rule_append(r, copy);
}

/* x, read over the node's own axes, through `at` over the domain (nd, dom). */
struct ref rule_compose(struct rule *r, const struct ir_access *at, struct ref x, uint32_t nd,
                        const struct ir_axis *dom)
{
    int64_t dim[2 * IR_MAX_AXES];
    struct ir_access a;
    rule_dims(nd, dom, dim);
    if (!ir_compose(r->s->m, at, &x.a, dim, 0, &a)) {
        x = stored(r, x);
        if (!ir_compose(r->s->m, at, &x.a, dim, 0, &a))
            BUG("an access over an identity does not compose");
    }
    return (struct ref){x.node, a};
}

struct ref rule_through(struct rule *r, struct ref x)
{
    return r->at ? rule_compose(r, r->at, x, r->nd, r->dom) : x;
}

struct ref rule_grad(struct rule *r) { return rule_through(r, r->grad); }

struct ref rule_within(struct rule *r, struct ref x)
{
    int64_t dim[2 * IR_MAX_AXES];
    if (!r->at || !isfinite(x.a.fill))
        return rule_through(r, x);
    rule_dims(r->nd, r->dom, dim);
    x.a = ir_access_within(r->s->m, r->at, &x.a, dim, 0);
    return x;
}

struct ref rule_in(struct rule *r, uint32_t k) { return rule_within(r, operand(r, k)); }

struct ref rule_out(struct rule *r) { return rule_within(r, rule_whole(r->s, r->id)); }

struct ref rule_argument(struct rule *r, enum ir_monoid m)
{
    struct gradient *s = r->s;
    for (uint32_t i = 0; i < s->hoists.n; i++)
        if (s->hoists.p[i].of == r->id)
            return rule_within(r, rule_whole(s, s->hoists.p[i].node));
    struct ir_node n = r->n;
    n.dtype = NN_i32;
    n.monoid = (uint8_t)m;
    n.inlined = false;
    struct ref which = rule_append(r, n);
    vec_push(&s->hoists, ((struct hoist){which.node, r->n.checkpoint ? 0 : r->id, r->id}));
    return rule_within(r, which);
}

struct ref rule_gathered(struct rule *r)
{
    struct ir_access out = *r->n.out;
    out.strict = false;
    out.fill = 0;
    struct ref x = rule_compose(r, &out, r->grad, r->n.nd, r->n.dom);
    if (!rule_uses_operand(&x.a))
        return x;
    struct ir_in *in = ARENA_ARRAY(r->s->m->mem, struct ir_in, r->n.nin + 1u);
    uint32_t count = take_indices(r->s, &r->n, x.a, in);
    in[0].node = x.node;
    struct ir_node copy = {.op = IR_copy,
                           .dtype = r->n.dtype,
                           .nd = r->n.nd,
                           .dom = r->n.dom,
                           .nin = (uint16_t)(count + 1),
                           .in = in};
    return rule_append(r, copy);
}

/* Affine accesses stay lazy; else the gradient is stored and reshaped, which costs nothing. */
struct ref rule_reshaped(struct rule *r)
{
    const struct ir_node x = *ir_at(r->g, r->n.in[0].node);
    uint32_t rank = ir_rank(&x);
    const struct ir_axis *ax = ir_axes(&x);
    struct ir_access a = pass_reshape_access(r->s->m, rank, ax, r->n.nd, r->n.dom);
    struct ref y = rule_compose(r, &a, r->grad, rank, ax);
    bool affine = true;
    for (uint32_t i = 0; i < y.a.rank + y.a.nguard; i++)
        affine &= ix_is_affine((i < y.a.rank ? &y.a.at[i] : &y.a.guard[i - y.a.rank])->e);
    if (affine)
        return y;
    struct ir_in in = {.node = rule_materialise(r, r->grad)};
    struct ir_node n = {.op = IR_reshape,
                        .dtype = r->n.dtype,
                        .nd = (uint16_t)rank,
                        .dom = ax,
                        .nin = 1,
                        .in = &in};
    return rule_append(r, n);
}

/* ---- from the rule's value to the operand's axes ---- */

static ir_id scatter(struct rule *r, uint32_t k, const struct pass_transposed *t, struct ref d)
{
    struct ir_in *in = ARENA_ARRAY(r->s->m->mem, struct ir_in, r->n.nin + 1u);
    const struct ir_node x = *ir_at(r->g, r->n.in[k].node);
    uint32_t count = take_indices(r->s, &r->n, r->n.in[k].a, in);
    struct ir_access out = in[0].a;
    out.strict = false;
    out.fill = 0;
    in[0] = (struct ir_in){d.node, d.a};
    struct ir_node n = {.op = IR_scatter,
                        .dtype = x.dtype,
                        .nd = r->n.nd,
                        .dom = r->n.dom,
                        .nin = (uint16_t)(count + 1),
                        .in = in,
                        .nval = (uint16_t)ir_rank(&x),
                        .val = ir_axes(&x),
                        .out = &out};
    (void)t;
    return rule_append(r, n).node;
}

/* The access without guards on gathered values: an index is read wherever its axes are. */
static struct ir_access unconditional(struct arena *mem, struct ir_access a)
{
    struct ir_term *guard = ARENA_ARRAY(mem, struct ir_term, a.nguard);
    uint32_t n = 0;
    for (uint32_t i = 0; i < a.nguard; i++)
        if (!ix_uses_operand(a.guard[i].e))
            guard[n++] = a.guard[i];
    a.guard = guard;
    a.nguard = n;
    return a;
}

/* Reads d through a transposed access that mentions the node's index operands. */
static struct ref gather(struct rule *r, const struct pass_transposed *t, struct ref d)
{
    struct gradient *s = r->s;
    struct ir_node n = r->n;
    struct ir_in *fwd = ARENA_ARRAY(s->m->mem, struct ir_in, n.nin);
    struct ir_in *in = ARENA_ARRAY(s->m->mem, struct ir_in, n.nin + 1u);
    for (uint32_t k = 1; k < n.nin; k++) {
        fwd[k] = n.in[k];
        if (rule_uses_operand(&fwd[k].a) || !nn_is_int(ir_at(s->g, fwd[k].node)->dtype))
            continue;
        struct ref x = {fwd[k].node, fwd[k].a};
        fwd[k].a = unconditional(s->m->mem, rule_compose(r, &t->at, x, t->nd, t->dom).a);
    }
    n.in = fwd;
    uint32_t count = take_indices(s, &n, rule_compose(r, &t->at, d, t->nd, t->dom).a, in);
    in[0].node = d.node;
    struct ir_node copy = {.op = IR_copy,
                           .dtype = ir_at(s->g, d.node)->dtype,
                           .inlined = true,
                           .nd = (uint16_t)t->nd,
                           .dom = t->dom,
                           .nin = (uint16_t)(count + 1),
                           .in = in};
    return rule_append(r, copy);
}

static struct ref whole_number(struct rule *r, enum nn_dtype t, int64_t v)
{
    struct ir_node n = {.op = IR_const, .dtype = (uint8_t)t, .attr = {.i = v}};
    return rule_append(r, n);
}

static struct ref integer(struct rule *r, const struct ix *e, const struct ir_access *at,
                          enum nn_dtype t);

static struct ref integer_atom(struct rule *r, const struct ix_atom *p, const struct ir_access *at,
                               enum nn_dtype t)
{
    struct ir_node iota = {.op = IR_iota,
                           .dtype = (uint8_t)t,
                           .inlined = true,
                           .nd = (uint16_t)r->nd,
                           .dom = r->dom,
                           .attr = {.i = p->v}};
    struct ref v;
    switch (p->kind) {
    case IX_AXIS: return rule_append(r, iota);
    case IX_OPERAND:
        v = rule_compose(r, at, operand(r, p->v), r->nd, r->dom);
        return ir_at(r->g, v.node)->dtype == t ? v : rule_emit(r, IR_cast, t, 1, &v);
    case IX_DIV:
    case IX_MOD: break;
    }
    v = integer(r, p->e, at, t);
    return rule_emit(r, p->kind == IX_DIV ? IR_idiv : IR_mod, t, 2,
                     (struct ref[]){v, whole_number(r, t, p->q)});
}

/* The integer value of e over the domain; @k are r->n's operands, read through `at`. */
static struct ref integer(struct rule *r, const struct ix *e, const struct ir_access *at,
                          enum nn_dtype t)
{
    struct ref sum = {0};
    for (uint32_t i = 0; i < e->n; i++) {
        struct ref x = integer_atom(r, &e->part[i].a, at, t);
        if (e->part[i].c != 1)
            x = rule_emit(r, IR_mul, t, 2, (struct ref[]){x, whole_number(r, t, e->part[i].c)});
        sum = sum.node ? rule_emit(r, IR_add, t, 2, (struct ref[]){sum, x}) : x;
    }
    if (!sum.node)
        return whole_number(r, t, e->c0);
    return e->c0 ? rule_emit(r, IR_add, t, 2, (struct ref[]){sum, whole_number(r, t, e->c0)}) : sum;
}

/* match == 0 says which element of each row was read: the others' gradient is 0. */
static struct ref match(struct rule *r, uint32_t k, const struct pass_transposed *t, struct ref d)
{
    struct gradient *s = r->s;
    const struct ix *e = t->match;
    struct arena *mem = s->m->mem;
    enum nn_dtype type = NN_i32;
    uint32_t axis = 0;
    bool plain = e->n == 2 && e->c0 == 0 && e->part[0].a.kind == IX_AXIS &&
                 e->part[1].a.kind == IX_OPERAND && e->part[0].c * e->part[1].c == -1;
    for (uint32_t i = 1; i < r->n.nin; i++)
        if (ir_at(s->g, r->n.in[i].node)->dtype == NN_i64)
            type = NN_i64;
    r->nd = t->nd;
    r->dom = t->dom;
    r->at = NULL;
    r->inlined = true;
    struct ref g = rule_compose(r, &t->at, d, t->nd, t->dom), same;
    if (plain) {
        axis = e->part[0].a.v;
        struct ref at = integer(r, ix_operand(mem, e->part[1].a.v), &t->at, type);
        struct ref here = integer(r, ix_axis(mem, axis), &t->at, type);
        same = rule_emit(r, IR_eq, NN_bool, 2, (struct ref[]){here, at});
    } else {
        same = rule_emit(r, IR_eq, NN_bool, 2,
                         (struct ref[]){integer(r, e, &t->at, type), whole_number(r, type, 0)});
    }
    enum nn_dtype f = (enum nn_dtype)r->n.dtype;
    struct ref x = rule_emit(r, IR_select, f, 3, (struct ref[]){same, g, rule_num(r, f, 0)});
    if (plain && r->n.in[k].a.strict && !rule_uses_axis(&t->at, axis) &&
        !rule_uses_axis(&g.a, axis))
        vec_push(&s->picks, ((struct pick){x.node, axis, g}));
    return x;
}

/* d, read over the node's own domain, over the transposed one. */
struct ref rule_turn(struct rule *r, uint32_t k, struct pass_transposed *t, struct ref d)
{
    switch (t->how) {
    case PASS_GATHER:
        return rule_uses_operand(&t->at) ? gather(r, t, d)
                                         : rule_compose(r, &t->at, d, t->nd, t->dom);
    case PASS_MATCH: return match(r, k, t, d);
    case PASS_SCATTER: break;
    }
    return rule_whole(r->s, scatter(r, k, t, d));
}
