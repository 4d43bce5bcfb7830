/* gradient: requires a sound graph; afterwards it has no grad, stop, custom or hole.
 *
 * Reverse mode. The graph is built anew in its order; at the first `grad` of a loss one sweep goes
 * backward from the loss over the nodes that some wanted node leads to, and every `grad` of that
 * loss is taken from it. Contributions are read lazily (struct ref) and summed in the order of
 * arrival. An operand's contribution is the rule's value (gradient_rules.c) seen through the
 * transposed access (transpose.c), summed over what the access leaves open. A sweep works on nodes
 * already expanded, so a loss may depend on a grad.
 *
 * stop and custom become copies that the sweep knows (marks); copies that change nothing are taken
 * out at the end. What a custom says stands in the old graph as nodes over a hole: they are
 * instantiated with the gradient in the hole's place. */
#include "pass/gradient.h"

struct contribution {
    struct ref r;
    uint32_t next;
};
/* new ids of old nodes within one instance of a template */
struct env {
    const struct env *up;
    struct binding {
        ir_id from, to;
        const struct binding *next;
    } * first;
};
struct mark { /* what the copy `id` stands for */
    ir_id id;
    bool stop;
    ir_id custom; /* old id */
    struct env *env;
};
struct pick { /* node is `value` where coordinate `axis` is one index, else 0; the index is in range
               */
    ir_id node;
    uint32_t axis;
    struct ref value;
};
struct hoist { /* node, the argmax of a reduction, belongs right behind it; 0: stays */
    ir_id node, behind, of;
};
struct gradient {
    struct ir_graph *g;
    struct ir_module *m;
    const struct ir_node *old;
    uint32_t nold;
    ir_id *map;         /* old to new */
    bool *from_hole;    /* old: part of a template */
    ir_id *result;      /* old grad to new */
    bool *wanted;       /* new, of one sweep: leads to the loss from a wanted node */
    uint32_t *adjoint;  /* new: first contribution, 0 none */
    uint32_t *backward; /* origin to origin */
    uint32_t norigin;
    VEC(struct contribution) pool;
    VEC(struct mark) marks;
    VEC(struct pick) picks;
    VEC(struct hoist) hoists;
};

/* ---- refs ---- */

static struct ref whole(const struct gradient *s, ir_id id)
{
    const struct ir_node *n = ir_at(s->g, id);
    return (struct ref){id, ir_identity(s->m, ir_rank(n), ir_axes(n))};
}

static void dims(uint32_t nd, const struct ir_axis *dom, int64_t *dim)
{
    for (uint32_t i = 0; i < nd; i++)
        dim[i] = dom[i].n;
}

static bool uses_operand(const struct ir_access *a)
{
    for (uint32_t i = 0; i < a->rank + a->nguard; i++)
        if (ix_uses_operand((i < a->rank ? &a->at[i] : &a->guard[i - a->rank])->e))
            return true;
    return false;
}

static bool uses_axis(const struct ir_access *a, uint32_t axis)
{
    for (uint32_t i = 0; i < a->rank + a->nguard; i++)
        if (ix_uses_axis((i < a->rank ? &a->at[i] : &a->guard[i - a->rank])->e, axis))
            return true;
    return false;
}

bool rule_same(const struct rule *r, struct ref x, struct ref y)
{
    (void)r;
    if (x.node != y.node || x.a.nguard != y.a.nguard || x.a.fill != y.a.fill)
        return false;
    for (uint32_t i = 0; i < x.a.rank; i++)
        if (!ir_term_equal(&x.a.at[i], &y.a.at[i]))
            return false;
    for (uint32_t i = 0; i < x.a.nguard; i++)
        if (!ir_term_equal(&x.a.guard[i], &y.a.guard[i]))
            return false;
    return true;
}

bool rule_is_const(const struct rule *r, struct ref x, double *v)
{
    const struct ir_node *n = ir_at(r->g, x.node);
    int64_t dim[2 * IR_MAX_AXES];
    dims(r->nd, r->dom, dim);
    if (n->op != IR_const || !nn_is_float(n->dtype) || !ir_access_total(&x.a, dim))
        return false;
    *v = n->attr.f;
    return true;
}

bool rule_wanted(const struct rule *r, uint32_t k) { return r->s->wanted[r->n.in[k].node]; }

/* ---- new nodes ---- */

/* The origin of the derivative of a node of that origin. */
static uint32_t backward_origin(struct gradient *s, uint32_t origin)
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
    n.origin = backward_origin(r->s, r->n.origin);
    n.checkpoint = 0;
    return whole(r->s, ir_append(r->g, &n));
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
    struct ir_in in[3];
    for (uint32_t i = 0; i < n; i++)
        in[i] = (struct ir_in){x[i].node, x[i].a};
    struct ir_node node = {.op = (uint8_t)op,
                           .dtype = (uint8_t)t,
                           .inlined = r->inlined,
                           .nd = (uint16_t)r->nd,
                           .dom = r->dom,
                           .nin = (uint16_t)n,
                           .in = in};
    return rule_append(r, node);
}

/* The node that has x's elements in the order of the domain. */
static ir_id materialise(struct rule *r, struct ref x)
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
    if (!uses_operand(&a))
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
static struct ref compose(struct rule *r, const struct ir_access *at, struct ref x, uint32_t nd,
                          const struct ir_axis *dom)
{
    int64_t dim[2 * IR_MAX_AXES];
    struct ir_access a;
    dims(nd, dom, dim);
    if (!ir_compose(r->s->m, at, &x.a, dim, 0, &a)) {
        x = stored(r, x);
        if (!ir_compose(r->s->m, at, &x.a, dim, 0, &a))
            BUG("an access over an identity does not compose");
    }
    return (struct ref){x.node, a};
}

struct ref rule_through(struct rule *r, struct ref x)
{
    return r->at ? compose(r, r->at, x, r->nd, r->dom) : x;
}

struct ref rule_grad(struct rule *r) { return rule_through(r, r->grad); }

struct ref rule_in(struct rule *r, uint32_t k) { return rule_through(r, operand(r, k)); }

struct ref rule_out(struct rule *r) { return rule_through(r, whole(r->s, r->id)); }

struct ref rule_argument(struct rule *r, enum ir_monoid m)
{
    struct gradient *s = r->s;
    for (uint32_t i = 0; i < s->hoists.n; i++)
        if (s->hoists.p[i].of == r->id)
            return rule_through(r, whole(s, s->hoists.p[i].node));
    struct ir_node n = r->n;
    n.dtype = NN_i32;
    n.monoid = (uint8_t)m;
    n.inlined = false;
    struct ref which = rule_append(r, n);
    vec_push(&s->hoists, ((struct hoist){which.node, r->n.checkpoint ? 0 : r->id, r->id}));
    return rule_through(r, which);
}

struct ref rule_gathered(struct rule *r)
{
    struct ir_access out = *r->n.out;
    out.strict = false;
    out.fill = 0;
    struct ref x = compose(r, &out, r->grad, r->n.nd, r->n.dom);
    if (!uses_operand(&x.a))
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
    struct ref y = compose(r, &a, r->grad, rank, ax);
    bool affine = true;
    for (uint32_t i = 0; i < y.a.rank + y.a.nguard; i++)
        affine &= ix_is_affine((i < y.a.rank ? &y.a.at[i] : &y.a.guard[i - y.a.rank])->e);
    if (affine)
        return y;
    struct ir_in in = {.node = materialise(r, r->grad)};
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
        if (uses_operand(&fwd[k].a) || !nn_is_int(ir_at(s->g, fwd[k].node)->dtype))
            continue;
        struct ref x = {fwd[k].node, fwd[k].a};
        fwd[k].a = unconditional(s->m->mem, compose(r, &t->at, x, t->nd, t->dom).a);
    }
    n.in = fwd;
    uint32_t count = take_indices(s, &n, compose(r, &t->at, d, t->nd, t->dom).a, in);
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
        v = compose(r, at, operand(r, p->v), r->nd, r->dom);
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
    struct ref g = compose(r, &t->at, d, t->nd, t->dom), same;
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
    if (plain && r->n.in[k].a.strict && !uses_axis(&t->at, axis) && !uses_axis(&g.a, axis))
        vec_push(&s->picks, ((struct pick){x.node, axis, g}));
    return x;
}

/* d, read over the node's own domain, over the transposed one. */
static struct ref turn(struct rule *r, uint32_t k, struct pass_transposed *t, struct ref d)
{
    switch (t->how) {
    case PASS_GATHER:
        return uses_operand(&t->at) ? gather(r, t, d) : compose(r, &t->at, d, t->nd, t->dom);
    case PASS_MATCH: return match(r, k, t, d);
    case PASS_SCATTER: break;
    }
    return whole(r->s, scatter(r, k, t, d));
}

/* ---- sums ---- */

/* A picked element summed over the axis it is picked from is the element. */
static struct ref sum_pick(struct rule *r, struct ref x, uint32_t rank, bool *summed)
{
    struct gradient *s = r->s;
    for (uint32_t i = 0; i < s->picks.n; i++) {
        const struct pick *p = &s->picks.p[i];
        uint32_t axis, times = 0;
        if (p->node != x.node || x.a.nguard || x.a.at[p->axis].q != 1 ||
            !ix_is_axis(x.a.at[p->axis].e, &axis) || axis < rank || summed[axis] ||
            r->dom[axis].n != x.a.at[p->axis].n)
            continue;
        for (uint32_t j = 0; j < x.a.rank; j++)
            times += ix_uses_axis(x.a.at[j].e, axis);
        if (times != 1)
            continue;
        summed[axis] = true;
        return compose(r, &x.a, p->value, r->nd, r->dom);
    }
    return x;
}

/* Sums x over the domain's axes from `rank` on. */
static struct ref sum_left(struct rule *r, struct ref x, uint32_t rank)
{
    bool summed[2 * IR_MAX_AXES] = {false};
    struct arena *mem = r->s->m->mem;
    enum nn_dtype t = (enum nn_dtype)ir_at(r->g, x.node)->dtype;
    if (r->nd == rank)
        return x;
    x = sum_pick(r, x, rank, summed);
    struct ir_axis dom[2 * IR_MAX_AXES];
    const struct ix **to = ARENA_ARRAY(mem, const struct ix *, r->nd);
    uint32_t nd = 0;
    double times = 1;
    for (uint32_t i = 0; i < r->nd; i++) {
        bool keep = i < rank || (!summed[i] && uses_axis(&x.a, i));
        if (!keep && !summed[i])
            times *= (double)r->dom[i].n;
        to[i] = keep ? ix_axis(mem, nd) : ix_const(mem, 0);
        if (keep)
            dom[nd++] = r->dom[i];
    }
    int64_t dim[2 * IR_MAX_AXES];
    dims(nd, dom, dim);
    x.a = ir_access_subst(r->s->m, x.a, to, NULL, dim);
    if (nd > rank) {
        CHECK(nd <= IR_MAX_AXES, "a gradient over %u axes", nd);
        struct ir_in in = {x.node, x.a};
        struct ir_node n = {.op = IR_reduce,
                            .dtype = (uint8_t)t,
                            .monoid = IRM_sum,
                            .nd = (uint16_t)nd,
                            .nred = (uint16_t)(nd - rank),
                            .dom = dom,
                            .nin = 1,
                            .in = &in};
        x = rule_append(r, n);
    }
    r->nd = rank;
    r->dom = arena_dup(mem, dom, rank * sizeof *dom);
    r->inlined = false;
    return rule_emit(r, IR_mul, t, 2, (struct ref[]){x, rule_num(r, t, times)});
}

/* ---- the sweep ---- */

static void contribute(struct gradient *s, ir_id to, struct ref x)
{
    uint32_t *p = &s->adjoint[to];
    while (*p)
        p = &s->pool.p[*p].next;
    uint32_t at = s->pool.n; /* the pool may move: p is into it */
    *p = at;
    vec_push(&s->pool, ((struct contribution){x, 0}));
}

static void differentiate(struct rule r, uint32_t k)
{
    struct gradient *s = r.s;
    ir_id to = r.n.in[k].node;
    grad_rule *rule = grad_rules[r.n.op];
    struct ref d;
    r.nd = r.n.nd;
    r.dom = r.n.dom;
    r.inlined = r.n.inlined;
    if (ir_op_whole(r.n.op)) {
        d = rule(&r, k);
        if (d.node)
            contribute(s, to, d);
        return;
    }
    const struct ir_node x = *ir_at(r.g, to);
    struct pass_transposed t;
    pass_transpose(s->m, &r.n, k, ir_rank(&x), ir_axes(&x), &t);
    bool side = t.how == PASS_GATHER && !uses_operand(&t.at) && rule_is_linear(&r.n) &&
                (r.n.inlined || r.n.op == IR_reduce);
    if (side) {
        r.nd = t.nd;
        r.dom = t.dom;
        r.at = &t.at;
        r.inlined = r.n.inlined || t.nd > t.rank;
    }
    d = rule(&r, k);
    if (!d.node)
        return;
    if (!side) {
        d = turn(&r, k, &t, d);
        r.nd = t.how == PASS_SCATTER ? ir_rank(&x) : t.nd;
        r.dom = t.how == PASS_SCATTER ? ir_axes(&x) : t.dom;
    }
    r.at = NULL;
    d = sum_left(&r, d, ir_rank(&x));
    if (r.divide)
        d = rule_emit(&r, IR_div, (enum nn_dtype)x.dtype, 2, (struct ref[]){d, whole(s, to)});
    if (r.negate)
        d = rule_emit(&r, IR_neg, (enum nn_dtype)x.dtype, 1, &d);
    contribute(s, to, d);
}

/* The sum of the contributions. */
static struct ref gradient_of(struct gradient *s, struct rule *r)
{
    uint32_t i = s->adjoint[r->id];
    struct ref sum = s->pool.p[i].r;
    while ((i = s->pool.p[i].next))
        sum =
            rule_emit(r, IR_add, (enum nn_dtype)r->n.dtype, 2, (struct ref[]){sum, s->pool.p[i].r});
    return sum;
}

static ir_id find(const struct gradient *s, const struct env *env, ir_id old)
{
    for (; env; env = env->up)
        for (const struct binding *b = env->first; b; b = b->next)
            if (b->from == old)
                return b->to;
    return s->map[old];
}

static const struct mark *find_mark(const struct gradient *s, ir_id id)
{
    for (uint32_t i = 0; i < s->marks.n; i++)
        if (s->marks.p[i].id == id)
            return &s->marks.p[i];
    return NULL;
}

static void visit_custom(struct gradient *s, struct rule *r, const struct mark *m);

static struct rule rule_at(struct gradient *s, ir_id id)
{
    struct rule r = {.s = s, .g = s->g, .id = id, .n = *ir_at(s->g, id)};
    r.nd = ir_rank(&r.n);
    r.dom = ir_axes(&r.n);
    r.inlined = r.n.inlined;
    return r;
}

static void visit(struct gradient *s, ir_id id)
{
    struct rule r = rule_at(s, id);
    r.grad = gradient_of(s, &r);
    s->adjoint[id] = s->pool.n; /* what a `grad` of this node takes */
    vec_push(&s->pool, ((struct contribution){r.grad, 0}));
    const struct mark *m = r.n.op == IR_copy ? find_mark(s, id) : NULL;
    if (m && m->stop)
        return;
    if (m) {
        struct mark copy = *m;
        visit_custom(s, &r, &copy);
        return;
    }
    int arity = ir_op_arity(r.n.op);
    for (uint32_t k = 0; k < r.n.nin && (int)k < arity; k++)
        if (s->wanted[r.n.in[k].node])
            differentiate(r, k);
}

/* wanted: a float node that depends on some node asked for, by a way that has a derivative. */
static void find_wanted(struct gradient *s, ir_id loss)
{
    for (ir_id id = 1; id <= loss; id++) {
        const struct ir_node *n = ir_at(s->g, id);
        const struct mark *m = n->op == IR_copy ? find_mark(s, id) : NULL;
        if (s->wanted[id] || !nn_is_float(n->dtype) || (m && m->stop))
            continue;
        if (m) {
            const struct ir_node *custom = &s->old[m->custom];
            for (uint32_t k = 0; k < custom->nin / 2u - 1; k++)
                s->wanted[id] |= s->wanted[find(s, m->env, custom->in[1 + k].node)];
            continue;
        }
        int arity = ir_op_arity(n->op);
        for (uint32_t k = 0; k < n->nin && (int)k < arity; k++)
            s->wanted[id] |= s->wanted[n->in[k].node];
    }
}

static ir_id zeros(struct gradient *s, const struct ir_node *like)
{
    struct ir_node n = {.op = IR_const,
                        .dtype = like->dtype,
                        .nd = (uint16_t)ir_rank(like),
                        .dom = ir_axes(like),
                        .origin = like->origin};
    return ir_append(s->g, &n);
}

/* Every grad of the old loss, in one sweep. */
static void sweep(struct gradient *s, ir_id old_loss)
{
    ir_id loss = s->map[old_loss], last = s->g->nodes.n - 1;
    s->wanted = xcalloc(last + 1u, sizeof *s->wanted);
    s->adjoint = xcalloc(last + 1u, sizeof *s->adjoint);
    s->pool.n = 0;
    vec_push(&s->pool, ((struct contribution){0}));
    for (ir_id id = 1; id < s->nold; id++)
        if (s->old[id].op == IR_grad && s->old[id].in[0].node == old_loss) {
            ir_id x = s->map[s->old[id].in[1].node];
            if (x)
                s->wanted[x] = true;
        }
    find_wanted(s, loss);
    struct rule seed = rule_at(s, loss);
    if (s->wanted[loss])
        contribute(s, loss, rule_num(&seed, (enum nn_dtype)seed.n.dtype, 1));
    for (ir_id id = loss; id > 0; id--)
        if (s->adjoint[id])
            visit(s, id);
    for (ir_id id = 1; id < s->nold; id++) {
        if (s->old[id].op != IR_grad || s->old[id].in[0].node != old_loss)
            continue;
        ir_id x = s->map[s->old[id].in[1].node];
        if (!x || x > loss || !s->adjoint[x]) {
            s->result[id] = zeros(s, &s->old[id]);
            continue;
        }
        struct rule r = rule_at(s, x);
        r.inlined = false;
        s->result[id] = materialise(&r, s->pool.p[s->adjoint[x]].r);
    }
    free(s->wanted);
    free(s->adjoint);
}

/* ---- templates of custom gradients ---- */

static void bind(struct gradient *s, struct env *env, ir_id from, ir_id to)
{
    struct binding *b = ARENA_NEW(s->m->mem, struct binding);
    *b = (struct binding){from, to, env->first};
    env->first = b;
}

/* Appends old node `id`; stop and custom become copies of their value with a mark. */
static ir_id append_old(struct gradient *s, ir_id id, struct env *env)
{
    struct ir_node n = s->old[id];
    bool mark = n.op == IR_stop || n.op == IR_custom;
    struct ir_in *in = arena_dup(s->m->mem, n.in, n.nin * sizeof *in);
    for (uint32_t k = 0; k < n.nin; k++)
        in[k].node = find(s, env, in[k].node);
    if (n.op == IR_custom) {
        n.nin = 1;
        in[0].a = ir_identity(s->m, n.nd, n.dom);
        n.attr.i = 0;
    }
    if (mark)
        n.op = IR_copy;
    n.in = in;
    ir_id to = ir_append_shared(s->g, &n);
    if (mark)
        vec_push(&s->marks, ((struct mark){to, s->old[id].op == IR_stop, id, env}));
    return to;
}

/* Template node `id` with what env binds. */
static ir_id instantiate(struct gradient *s, struct env *env, ir_id id)
{
    ir_id to = find(s, env, id);
    if (to)
        return to;
    const struct ir_node *n = &s->old[id];
    CHECK(n->op != IR_hole && n->op != IR_grad, "a custom gradient holds a foreign %s",
          ir_op_name(n->op));
    uint32_t count = n->op == IR_custom ? n->nin / 2u : n->nin; /* value and inputs */
    for (uint32_t k = 0; k < count; k++)
        instantiate(s, env, n->in[k].node);
    to = append_old(s, id, env);
    struct ir_node *made = &s->g->nodes.p[to];
    made->origin = backward_origin(s, made->origin);
    made->checkpoint = 0;
    bind(s, env, id, to);
    return to;
}

static void visit_custom(struct gradient *s, struct rule *r, const struct mark *m)
{
    const struct ir_node *custom = &s->old[m->custom];
    uint32_t inputs = custom->nin / 2u - 1;
    struct env *env = ARENA_NEW(s->m->mem, struct env);
    env->up = m->env;
    r->inlined = false;
    bind(s, env, custom->in[inputs + 1].node, materialise(r, r->grad));
    for (uint32_t k = 0; k < inputs; k++) {
        ir_id to = find(s, m->env, custom->in[1 + k].node);
        if (s->wanted[to])
            contribute(s, to, whole(s, instantiate(s, env, custom->in[inputs + 2 + k].node)));
    }
}

/* Old nodes that depend on a hole: not by themselves in the result. A custom's own template is not
 * among what it depends on. */
static void find_templates(struct gradient *s)
{
    for (ir_id id = 1; id < s->nold; id++) {
        const struct ir_node *n = &s->old[id];
        uint32_t count = n->op == IR_custom ? n->nin / 2u : n->nin;
        s->from_hole[id] = n->op == IR_hole;
        for (uint32_t k = 0; k < count; k++)
            s->from_hole[id] |= s->from_hole[n->in[k].node];
    }
}

/* ---- the order at the end ---- */

/* The node that a mark's copy is equal to. */
static ir_id same_as(const struct gradient *s, ir_id id)
{
    const struct ir_node *n = ir_at(s->g, id);
    while (n->op == IR_copy && n->nin == 1 && find_mark(s, id) &&
           ir_rank(ir_at(s->g, n->in[0].node)) == n->nd && ir_access_is_identity(&n->in[0].a, n)) {
        id = n->in[0].node;
        n = ir_at(s->g, id);
    }
    return id;
}

static void move_node(struct gradient *s, const struct ir_node *n, ir_id *to, ir_id id)
{
    struct ir_node c = *n;
    struct ir_in *in = arena_dup(s->m->mem, c.in, c.nin * sizeof *in);
    for (uint32_t k = 0; k < c.nin; k++)
        in[k].node = to[in[k].node];
    c.in = in;
    to[id] = ir_append_shared(s->g, &c);
}

/* Takes out copies that change nothing and puts argmax beside the max it belongs to. */
static ir_id *reorder(struct gradient *s)
{
    struct ir_graph was = *s->g;
    uint32_t n = was.nodes.n;
    ir_id *to = xcalloc(n, sizeof *to), *same = xcalloc(n, sizeof *same);
    bool *late = xcalloc(n, sizeof *late);
    for (ir_id id = 1; id < n; id++)
        same[id] = same_as(s, id);
    for (uint32_t i = 0; i < s->hoists.n; i++)
        late[s->hoists.p[i].node] = s->hoists.p[i].behind != 0;
    s->g->nodes.p = NULL;
    s->g->nodes.n = s->g->nodes.cap = 0;
    vec_push(&s->g->nodes, (struct ir_node){0});
    for (ir_id id = 1; id < n; id++) {
        if (same[id] != id)
            to[id] = to[same[id]];
        else if (!late[id])
            move_node(s, &was.nodes.p[id], to, id);
        for (uint32_t i = 0; i < s->hoists.n; i++)
            if (s->hoists.p[i].behind == id)
                move_node(s, &was.nodes.p[s->hoists.p[i].node], to, s->hoists.p[i].node);
    }
    free(same);
    free(late);
    vec_free(&was.nodes);
    return to;
}

static void expand(struct gradient *s)
{
    for (ir_id id = 1; id < s->nold; id++) {
        if (s->from_hole[id])
            continue;
        if (s->old[id].op != IR_grad) {
            s->map[id] = append_old(s, id, NULL);
            continue;
        }
        if (!s->result[id])
            sweep(s, s->old[id].in[0].node);
        s->map[id] = s->result[id];
    }
}

void pass_gradient(struct ir_graph *g)
{
    struct ir_graph was = *g;
    uint32_t n = was.nodes.n;
    struct gradient s = {.g = g,
                         .m = g->m,
                         .old = was.nodes.p,
                         .nold = n,
                         .map = xcalloc(n, sizeof(ir_id)),
                         .from_hole = xcalloc(n, sizeof(bool)),
                         .result = xcalloc(n, sizeof(ir_id)),
                         .norigin = g->m->origins.n,
                         .backward = xcalloc(g->m->origins.n, sizeof(uint32_t))};
    g->nodes.p = NULL;
    g->nodes.n = g->nodes.cap = 0;
    vec_push(&g->nodes, (struct ir_node){0});
    find_templates(&s);
    expand(&s);
    ir_id *to = reorder(&s);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        g->outputs.p[i].node = to[s.map[g->outputs.p[i].node]];
    for (uint32_t i = 0; i < g->updates.n; i++)
        g->updates.p[i].node = to[s.map[g->updates.p[i].node]];
    free(to);
    free(s.map);
    free(s.from_hole);
    free(s.result);
    free(s.backward);
    vec_free(&s.pool);
    vec_free(&s.marks);
    vec_free(&s.picks);
    vec_free(&s.hoists);
    vec_free(&was.nodes);
}
