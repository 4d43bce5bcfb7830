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

/* ---- the sweep ---- */

void gradient_contribute(struct gradient *s, ir_id to, struct ref x)
{
    uint32_t *p = &s->adjoint[to];
    while (*p)
        p = &s->pool.p[*p].next;
    uint32_t at = s->pool.n; /* the pool may move: p is into it */
    *p = at;
    vec_push(&s->pool, ((struct contribution){x, 0}));
}

/* What is left to do behind a rule, over the operand's axes or those that stand for them. */
static struct ref finish(struct rule *r, uint32_t k, struct ref d)
{
    enum nn_dtype t = (enum nn_dtype)ir_at(r->g, d.node)->dtype;
    if (r->divide)
        d = rule_emit(r, IR_div, t, 2, (struct ref[]){d, rule_whole(r->s, r->n.in[k].node)});
    return r->negate ? rule_emit(r, IR_neg, t, 1, &d) : d;
}

/* On the node's domain, or (side) on the operand's. */
static void differentiate_at(struct rule r, uint32_t k, struct pass_transposed *t, bool side)
{
    struct gradient *s = r.s;
    ir_id to = r.n.in[k].node;
    const struct ir_node x = *ir_at(r.g, to);
    if (side) {
        r.nd = t->nd;
        r.dom = t->dom;
        r.at = &t->at;
        r.inlined = r.n.inlined || t->nd > t->rank;
    }
    struct ref d = grad_rules[r.n.op](&r, k);
    if (!d.node)
        return;
    if (!side) {
        d = rule_turn(&r, k, t, d);
        r.nd = t->how == PASS_SCATTER ? ir_rank(&x) : t->nd;
        r.dom = t->how == PASS_SCATTER ? ir_axes(&x) : t->dom;
    }
    r.at = NULL;
    d = rule_sum(&r, d, ir_rank(&x));
    if (!d.node)
        return;
    gradient_contribute(s, to, finish(&r, k, d));
}

/* The domain of a node with the axes that an access uses first: dom, and the node's axes over it.
 */
static uint32_t axes_first(struct gradient *s, const struct ir_node *n, const struct ir_access *a,
                           struct ir_axis *dom, struct ir_access *at, const struct ix **to)
{
    struct ir_term *term = ARENA_ARRAY(s->m->mem, struct ir_term, n->nd);
    uint32_t used = 0, nd = 0;
    for (int rest = 0; rest < 2; rest++) {
        for (uint32_t i = 0; i < n->nd; i++) {
            if (rule_uses_axis(a, i) == rest)
                continue;
            to[i] = ix_axis(s->m->mem, nd);
            term[i] = (struct ir_term){to[i], 1, n->dom[i].n};
            dom[nd++] = n->dom[i];
        }
        if (!rest)
            used = nd;
    }
    *at = (struct ir_access){.rank = n->nd, .at = term};
    return used;
}

/* An inlined product whose operand is read at a place of its own for each point of the axes that
 * the access uses, but not plainly: a slice, merged axes, a stride. Summed over the other axes
 * first, it is a contraction with no condition, of no more points than the node's; then it is
 * moved. */
static bool differentiate_compact(struct rule r, uint32_t k)
{
    struct gradient *s = r.s;
    ir_id to = r.n.in[k].node;
    const struct ir_node x = *ir_at(r.g, to);
    const struct ix **axis = ARENA_ARRAY(s->m->mem, const struct ix *, r.n.nd);
    struct ir_axis dom[IR_MAX_AXES];
    struct ir_access at;
    struct pass_transposed t;
    uint32_t used = axes_first(s, &r.n, &r.n.in[k].a, dom, &at, axis);
    if (used == r.n.nd)
        return false;
    struct ir_in in = {to, ir_access_subst(s->m, r.n.in[k].a, axis, NULL, NULL)};
    struct ir_node move = {
        .op = IR_copy, .dtype = x.dtype, .nd = (uint16_t)used, .dom = dom, .nin = 1, .in = &in};
    pass_transpose(s->m, &move, 0, ir_rank(&x), ir_axes(&x), &t);
    if (t.how != PASS_GATHER || t.nd != t.rank)
        return false;
    r.dom = dom;
    r.at = &at;
    struct ref d = grad_rules[r.n.op](&r, k);
    if (!d.node)
        return true;
    r.at = NULL;
    d = rule_sum(&r, d, used);
    if (d.node) {
        d = finish(&r, k, d);
        gradient_contribute(s, to, rule_compose(&r, &t.at, d, t.nd, t.dom));
    }
    return true;
}

/* Affine coordinates that are always in range. */
static bool is_plain(const struct pass_transposed *t)
{
    int64_t dim[2 * IR_MAX_AXES];
    rule_dims(t->nd, t->dom, dim);
    for (uint32_t i = 0; i < t->at.rank; i++)
        if (!ix_is_affine(t->at.at[i].e))
            return false;
    return ir_access_total(&t->at, dim);
}

static void differentiate(struct rule r, uint32_t k)
{
    struct gradient *s = r.s;
    ir_id to = r.n.in[k].node;
    r.nd = r.n.nd;
    r.dom = r.n.dom;
    r.inlined = r.n.inlined;
    if (ir_op_whole(r.n.op)) {
        struct ref d = grad_rules[r.n.op](&r, k);
        if (d.node)
            gradient_contribute(s, to, d);
        return;
    }
    const struct ir_node x = *ir_at(r.g, to);
    struct pass_transposed t;
    pass_transpose(s->m, &r.n, k, ir_rank(&x), ir_axes(&x), &t);
    bool side = t.how == PASS_GATHER && !rule_uses_operand(&t.at) && rule_is_linear(&r.n) &&
                (r.n.inlined || r.n.op == IR_reduce);
    if (side && r.n.inlined && !is_plain(&t) && differentiate_compact(r, k))
        return;
    differentiate_at(r, k, &t, side);
}

/* The sum of the contributions. */
static struct ref gradient_of(struct gradient *s, struct rule *r)
{
    uint32_t first = s->adjoint[r->id], n = 0;
    struct ref sum = s->pool.p[first].r;
    for (uint32_t i = first; i; i = s->pool.p[i].next)
        n++;
    if (n == 1)
        return sum;
    struct ref *part = ARENA_ARRAY(s->m->mem, struct ref, n);
    part[0] = sum;
    n = 1;
    for (uint32_t i = s->pool.p[first].next; i; i = s->pool.p[i].next) {
        part[n++] = s->pool.p[i].r;
        sum =
            rule_emit(r, IR_add, (enum nn_dtype)r->n.dtype, 2, (struct ref[]){sum, s->pool.p[i].r});
    }
    if (ir_rank(ir_at(s->g, sum.node)) == r->nd)
        vec_push(&s->sums, ((struct sum){sum.node, n, part}));
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

/* Marks stand in the order of their ids. */
static const struct mark *find_mark(const struct gradient *s, ir_id id)
{
    uint32_t lo = 0, hi = s->marks.n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (s->marks.p[mid].id == id)
            return &s->marks.p[mid];
        if (s->marks.p[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static void visit_custom(struct gradient *s, struct rule *r, const struct mark *m);

struct rule gradient_rule(struct gradient *s, ir_id id)
{
    struct rule r = {.s = s, .g = s->g, .id = id, .n = *ir_at(s->g, id)};
    r.nd = ir_rank(&r.n);
    r.dom = ir_axes(&r.n);
    r.inlined = r.n.inlined;
    return r;
}

static void visit(struct gradient *s, ir_id id)
{
    struct rule r = gradient_rule(s, id);
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
    if (rule_softmax(&r))
        return;
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
    ir_id loss = s->loss = s->map[old_loss], last = s->g->nodes.n - 1;
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
    struct rule seed = gradient_rule(s, loss);
    if (s->wanted[loss])
        gradient_contribute(s, loss, rule_num(&seed, (enum nn_dtype)seed.n.dtype, 1));
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
        struct rule r = gradient_rule(s, x);
        r.inlined = false;
        s->result[id] = rule_materialise(&r, s->pool.p[s->adjoint[x]].r);
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

/* A copy that only orders axes, or adds and drops those of one element. */
static bool reorders(const struct ir_node *n)
{
    if (n->op != IR_copy || n->nin != 1 || n->in[0].a.nguard)
        return false;
    const struct ir_access *a = &n->in[0].a;
    for (uint32_t i = 0; i < a->rank; i++) {
        uint32_t axis, other;
        if (a->at[i].n == 1 && ix_is_const(a->at[i].e, NULL))
            continue;
        if (a->at[i].q != 1 || !ix_is_axis(a->at[i].e, &axis) || n->dom[axis].n != a->at[i].n)
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (ix_is_axis(a->at[j].e, &other) && other == axis)
                return false;
    }
    return true;
}

/* The operand past inlined moves and those that only order axes: others are moves of their own, so
 * that what reads a slice has its gradient on the slice. */
static void look_through(const struct gradient *s, const int64_t *dim, struct ir_in *in)
{
    for (;;) {
        const struct ir_node *x = ir_at(s->g, in->node);
        if (find_mark(s, in->node) || (!x->inlined && !reorders(x)) ||
            !pass_see_through(s->g, dim, in))
            return;
    }
}

/* Appends old node `id`, reading past simple moves; stop and custom become copies of their value
 * with a mark. */
static ir_id append_old(struct gradient *s, ir_id id, struct env *env)
{
    struct ir_node n = s->old[id];
    bool mark = n.op == IR_stop || n.op == IR_custom;
    struct ir_in *in = arena_dup(s->m->mem, n.in, n.nin * sizeof *in);
    int64_t dim[IR_MAX_AXES];
    ir_dims(&n, dim);
    for (uint32_t k = 0; k < n.nin; k++) {
        in[k].node = find(s, env, in[k].node);
        if (!ir_op_whole(n.op))
            look_through(s, dim, &in[k]);
    }
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
    made->origin = gradient_origin(s, made->origin);
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
    bind(s, env, custom->in[inputs + 1].node, rule_materialise(r, r->grad));
    for (uint32_t k = 0; k < inputs; k++) {
        ir_id to = find(s, m->env, custom->in[1 + k].node);
        if (s->wanted[to])
            gradient_contribute(
                s, to, rule_whole(s, instantiate(s, env, custom->in[inputs + 2 + k].node)));
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
    vec_free(&s.sums);
    vec_free(&s.hoists);
    vec_free(&was.nodes);
}
