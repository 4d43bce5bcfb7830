/* Statements of bodies. Loops and conditions run here, at compile time: what comes out is straight.
 */
#include "front/elab.h"

bool test_value(struct elab *e, const struct tree_expr *x, bool *out)
{
    val v = eval(e, x, NULL);
    if (v->kind == V_BOOL && v->b.known) {
        *out = v->b.v;
        return true;
    }
    if (v_bad(v))
        return false;
    if (v->kind == V_BOOL) {
        if (elab_error(e, x->at, "this condition is not decided for all sizes"))
            elab_called(e);
        return false;
    }
    if (elab_error(e, x->at, "a condition is a bool known at compile time, not %s%s",
                   v_is_tensor(v) ? "a tensor, " : "", v_text(e, v))) {
        if (v_is_tensor(v))
            diag_label(e->d, "to choose by element, write where(condition, a, b)");
        elab_called(e);
    }
    return false;
}

static void assign_one(struct elab *e, struct tree_name target, val v)
{
    struct binding *b = env_find(e, target.s);
    inst_name(e, v, target.s, target.at);
    if (b && b->param) {
        if (elab_error(e, target.at, "`%s` is a param: only training changes it", target.s))
            diag_label(e->d, "bind the value under another name");
        return;
    }
    if (b && b->state && !v_bad(v)) {
        struct param *p = b->state;
        struct shape s = {0, p->rank, NULL, p->dim};
        v = to_type(e, v, p->dtype, s, target.at,
                    arena_printf(e->mem, "the new value of `%s`", target.s));
        if (!v_bad(v) && e->training)
            param_set(e, p, v);
    }
    if (b && !b->fixed) {
        b->v = v;
        return;
    }
    env_bind(e, target.s, v, target.at);
}

void assign(struct elab *e, const struct tree_name *targets, uint32_t n, val v, struct loc at)
{
    if (n == 1) {
        assign_one(e, targets[0], v);
        return;
    }
    val *p = NULL;
    uint32_t m = n;
    bool good = !v_bad(v);
    if (good && v_is_tensor(v)) {
        if (elab_error(e, at, "%u names for one tensor, %s", n, v_text(e, v)))
            elab_called(e);
        good = false;
    }
    good = good && members(e, v, at, &p, &m);
    if (good && m != n) {
        if (elab_error(e, at, "%u names for %u values", n, m))
            elab_called(e);
        good = false;
    }
    for (uint32_t i = 0; i < n; i++)
        assign_one(e, targets[i], good ? p[i] : v_poison(e));
}

static void bind(struct elab *e, const struct tree_stmt *s)
{
    struct want w;
    bool typed = s->bind.type && type_want(e, s->bind.type, &w);
    val v = eval(e, s->bind.value, typed ? &w : NULL);
    if (s->bind.type && !v_bad(v)) {
        if (type_of_number(s->bind.type, v)) {
            v = config_value(e, v, s->bind.type, s->bind.targets.p[0].s, s->bind.value->at);
        } else {
            struct match m = {s->bind.type, v, s->bind.targets.p[0].s, s->bind.value->at, NULL};
            v = types_match(e, &m, 1, NULL) ? m.out : v_poison(e);
        }
    }
    if (!s->bind.targets.n)
        return;
    assign(e, s->bind.targets.p, s->bind.targets.n, v, s->bind.value->at);
}

static bool in_layer(struct elab *e, const struct tree_stmt *s)
{
    const struct frame *f = e->frame;
    if (f->decl && (f->decl->kind == TREE_LAYER || f->decl->kind == TREE_MODEL ||
                    (f->decl->kind == TREE_OPTIMIZER && s->kind == TREE_STATE)))
        return true;
    elab_error(e, s->at, "a %s stands in a layer or a model",
               s->kind == TREE_PARAM ? "param" : "state");
    return false;
}

/* The type of a param or state; false after a report. */
static bool lasting_type(struct elab *e, const struct tree_stmt *s, enum nn_dtype *t,
                         struct shape *shape)
{
    if (!in_layer(e, s))
        return false;
    if (!s->var.type && e->optimized) { /* an optimizer's state is like its parameter */
        *t = e->optimized->dtype;
        *shape = (struct shape){0, e->optimized->rank, NULL, e->optimized->dim};
        return true;
    }
    if (!s->var.type) {
        elab_error(e, s->var.name.at, "`%s` needs a type, as in `%s: f32[n] = 0`", s->var.name.s,
                   s->var.name.s);
        return false;
    }
    if (!type_known(e, s->var.type, t, shape))
        return false;
    if (s->kind == TREE_STATE || nn_is_float(*t))
        return true;
    if (elab_error(e, s->var.type->at, "a param is trained and so of a float dtype, not %s",
                   nn_dtype_name(*t))) {
        if (e->frame->call.file)
            diag_label(e->d, "cast the input: f32(…)");
        elab_called(e);
    }
    return false;
}

static void lasting(struct elab *e, const struct tree_stmt *s)
{
    enum nn_dtype t;
    struct shape shape;
    struct activation *act = e->optimized ? NULL : e->frame->act;
    struct param *p = NULL;
    enum nn_slot_kind kind = e->optimized            ? NN_SLOT_OPT
                             : s->kind == TREE_PARAM ? NN_SLOT_PARAM
                                                     : NN_SLOT_STATE;
    if (!(act && act->bad) && lasting_type(e, s, &t, &shape))
        p = param_use(e, kind, s->var.name.s, s, t, shape);
    if (!p) {
        env_bind(e, s->var.name.s, v_poison(e), s->var.name.at);
        if (act)
            act->bad = true;
        return;
    }
    env_bind(e, s->var.name.s, param_value(e, p, s->at), s->var.name.at);
    if (kind == NN_SLOT_PARAM)
        vec_last(&e->frame->env).param = true;
    else
        vec_last(&e->frame->env).state = p;
}

static void loop(struct elab *e, const struct tree_stmt *s)
{
    val over = eval(e, s->loop.over, NULL), *p;
    uint32_t n;
    if (v_bad(over))
        return;
    if (v_is_tensor(over)) {
        if (elab_error(e, s->loop.over->at, "`for` runs over values known at compile time, not %s",
                       v_text(e, over)))
            diag_label(e->d, "a loop over a tensor's elements is a `scan`");
        return;
    }
    if (!members(e, over, s->loop.over->at, &p, &n))
        return;
    struct frame *f = e->frame;
    for (uint32_t i = 0; i < n && !f->returned; i++) {
        uint32_t local = f->env.n;
        if (f->act)
            vec_push(&f->act->loop, i);
        env_bind(e, s->loop.name.s, p[i], s->loop.name.at);
        block_run(e, s->loop.body);
        f->env.n = local;
        if (f->act)
            f->act->loop.n--;
    }
}

static void checkpoint(struct elab *e, const struct tree_stmt *s)
{
    uint32_t was = e->b ? e->b->checkpoint : 0;
    if (e->b)
        e->b->checkpoint = ++e->checkpoints;
    block_run(e, s->body);
    if (e->b)
        e->b->checkpoint = was;
}

void stmt_run(struct elab *e, const struct tree_stmt *s)
{
    struct frame *f = e->frame;
    bool yes;
    switch (s->kind) {
    case TREE_BIND: bind(e, s); return;
    case TREE_PARAM:
    case TREE_STATE: lasting(e, s); return;
    case TREE_RETURN:
        f->result = eval(e, s->value, f->want);
        f->return_at = s->value->at;
        f->returned = true;
        return;
    case TREE_YIELD: elab_error(e, s->at, "`yield` stands in a `scan`"); return;
    case TREE_IF:
        if (!test_value(e, s->branch.test, &yes))
            return;
        if (yes)
            block_run(e, s->branch.then);
        else if (s->branch.other)
            block_run(e, s->branch.other);
        return;
    case TREE_FOR: loop(e, s); return;
    case TREE_CHECKPOINT: checkpoint(e, s); return;
    case TREE_SET:
    case TREE_METRIC: elab_error(e, s->at, "this stands in a train block"); return;
    }
}

void block_run(struct elab *e, const struct tree_block *b)
{
    for (uint32_t i = 0; i < b->n && !e->frame->returned; i++)
        stmt_run(e, b->p[i]);
}
