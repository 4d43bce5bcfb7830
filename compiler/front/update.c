/* What a training step does after the loss: gradients, their mean, clipping, and each parameter's
 * optimizer. */
#include "front/elab.h"
#include <fnmatch.h>
#include <math.h>

struct update {
    struct param *p;
    val old, g, fresh;
};

/* ---- which optimizer ---- */

static bool item_matches(struct elab *e, const struct tree_item *x, const struct param *p,
                         bool *bad)
{
    uint32_t env = e->frame->env.n;
    env_bind(e, intern(e->names, "rank"), v_number(e, p->rank, x->at), x->at);
    val v = x->kind == TREE_ITEM_VALUE ? eval(e, x->value, NULL) : v_none(e, x->at);
    e->frame->env.n = env;
    if (v->kind == V_STRING)
        return !fnmatch(v->string, p->path, 0);
    if (v->kind == V_BOOL && v->b.known)
        return v->b.v;
    if (v->kind == V_INST && v->inst->is_root)
        return v->inst->root == p->root;
    *bad = true;
    if (!v_bad(v) && elab_error(e, x->at,
                                "optimizer[…] takes name patterns, conditions on `rank` and "
                                "models, not %s",
                                v_text(e, v)))
        diag_label(e->d, "as in optimizer[\"*.bias\", rank < 2]");
    return false;
}

/* The last rule that one of the items fits. */
static struct rule *rule_of(struct elab *e, struct train *t, const struct param *p)
{
    struct rule *found = NULL;
    bool bad = false;
    for (uint32_t i = 0; i < t->rule.n && !bad; i++) {
        struct rule *r = &t->rule.p[i];
        bool fits = !r->items;
        for (uint32_t k = 0; r->items && k < r->items->n; k++)
            fits = item_matches(e, &r->items->p[k], p, &bad) || fits;
        if (!fits)
            continue;
        r->hits++;
        found = r;
    }
    return bad ? NULL : found;
}

bool unmatched(struct elab *e, struct train *t)
{
    bool good = true;
    for (uint32_t i = 0; i < t->rule.n; i++) {
        const struct rule *r = &t->rule.p[i];
        if (r->hits || !r->items)
            continue;
        const char *names[1024];
        uint32_t n = 0;
        for (uint32_t k = 0; k < e->params.n && n < COUNT(names); k++)
            if (e->params.p[k]->kind == NN_SLOT_PARAM)
                names[n++] = e->params.p[k]->path;
        const struct tree_expr *x = r->items->n ? r->items->p[0].value : NULL;
        const char *name = x && x->kind == TREE_STRING ? x->string : "";
        elab_error(e, r->at, "this optimizer fits no parameter%s", elab_suggest(e, name, names, n));
        good = false;
    }
    return good;
}

/* ---- arithmetic on the nodes of a step ---- */

static val f_const(struct elab *e, double v, enum nn_dtype t)
{
    return to_tensor(e, v_float(e, v, true, (struct loc){0}), t, (struct loc){0});
}

static val op2(struct elab *e, enum ir_op op, val x, val y)
{
    return emit_binary(e, op, x, y, (struct loc){0});
}

static val square_sum(struct elab *e, val g)
{
    bool fold[NN_MAX_RANK];
    memset(fold, true, sizeof fold);
    val x = to_dtype(e, g, g->t.dtype == NN_f64 ? NN_f64 : NN_f32, g->at), s = op2(e, IR_mul, x, x);
    val r = v_tensor(e, s->t.dtype, shape_scalar(), g->at);
    r->t.node = emit_reduce(e, IRM_sum, s, fold);
    return to_dtype(e, r, NN_f32, g->at);
}

/* Scales all gradients so that their norm is at most t->clip, as PyTorch's clip_grad_norm_ does. */
static void clip(struct elab *e, struct train *t, struct update *u, uint32_t n)
{
    val sum = NULL;
    for (uint32_t i = 0; i < n; i++) {
        val s = square_sum(e, u[i].g);
        sum = sum ? op2(e, IR_add, sum, s) : s;
    }
    if (!sum)
        return;
    val norm = op2(e, IR_add, emit_unary(e, IR_sqrt, sum, sum->at), f_const(e, 1e-6, NN_f32));
    val scale =
        op2(e, IR_min, f_const(e, 1, NN_f32), op2(e, IR_div, f_const(e, t->clip, NN_f32), norm));
    for (uint32_t i = 0; i < n; i++)
        u[i].g = op2(e, IR_mul, u[i].g, to_dtype(e, scale, u[i].g->t.dtype, scale->at));
}

static val choose(struct elab *e, val due, val yes, val no)
{
    val v[3] = {due, yes, no}, r = v_tensor(e, yes->t.dtype, yes->t.s, yes->at);
    r->t.node = emit_elem(e, IR_select, r->t.dtype, &r->t.s, 3, v);
    return r;
}

/* ---- the update ---- */

/* A slot of the training's own, saved with its state; it starts as `first`. */
static struct param *training_slot(struct elab *e, struct param like, const char *path,
                                   double first)
{
    struct param *p = param_find(e, path);
    if (p)
        return p;
    p = ARENA_NEW(e->mem, struct param);
    *p = like;
    p->path = path;
    p->kind = NN_SLOT_OPT;
    p->slot = UINT32_MAX;
    p->first = p->now = NULL;
    vec_push(&e->params, p);
    if (e->m)
        param_slot(e, p);
    if (e->init) {
        struct ir_builder *b = e->b;
        struct shape s = {0, p->rank, NULL, p->dim};
        e->b = e->init;
        val v = broadcast_to(e, f_const(e, first, p->dtype), s, p->at);
        struct ir_update u = {p->slot, v->t.node};
        vec_push(&e->init->g->updates, u);
        e->b = b;
    }
    return p;
}

/* Gradients summed over the micro-batches: a slot beside the parameter, empty after each update. */
static struct param *accumulator(struct elab *e, struct param *of)
{
    struct param like = *of;
    like.of = of;
    return training_slot(e, like, intern(e->names, arena_printf(e->mem, "%s.grad", of->path)), 0);
}

struct beat { /* when the update happens, and how often it has: NULL: at every step */
    val due, count;
};

static struct beat beat_of(struct elab *e, int64_t period)
{
    struct loc at = {0};
    val one = to_tensor(e, v_number(e, 1, at), NN_i64, at);
    val step = op2(e, IR_add, sys_value(e, SYS_STEP), one);
    struct beat b = {NULL, step};
    if (period > 1) {
        val n = to_tensor(e, v_number(e, period, at), NN_i64, at);
        val zero = to_tensor(e, v_number(e, 0, at), NN_i64, at);
        b.due = op2(e, IR_eq, op2(e, IR_mod, step, n), zero);
        b.count = op2(e, IR_idiv, step, n);
    }
    b.count->t.weak = true;
    return b;
}

/* The mean gradient of the micro-batches so far; it starts anew after an update. */
static void accumulate(struct elab *e, const struct train *t, struct update *u,
                       const struct beat *beat)
{
    emit_place(e, u->p->at, u->p->path);
    struct param *acc = accumulator(e, u->p);
    val share = f_const(e, 1 / (double)t->out.accumulate, u->g->t.dtype);
    val old = param_value(e, acc, acc->at), part = op2(e, IR_mul, u->g, share);
    u->g = op2(e, IR_add, old, part);
    val zero = broadcast_to(e, f_const(e, 0, u->g->t.dtype), u->g->t.s, u->g->at);
    param_set(e, acc, choose(e, beat->due, zero, u->g));
}

/* ---- f16: gradients of a scaled loss ---- */

/* The gradients of f16 products would be lost below 2^-24: the loss is multiplied by a scale, the
 * gradients divided by it. An update whose gradients are not all finite is skipped and the scale
 * halved; it is doubled after so many updates in a row that were good. */
enum { SCALE_FIRST = 65536, SCALE_MOST = 1 << 24, SCALE_GROWS = 2000 };
struct loss_scale {
    struct param *scale, *good; /* NULL: not scaled */
};

static struct loss_scale loss_scale(struct elab *e, const struct train *t, const struct loss *l)
{
    struct loss_scale s = {NULL, NULL};
    if (!t->out.precision || strcmp(t->out.precision, "f16") != 0)
        return s;
    const char *of = l->name ? arena_printf(e->mem, ".%s", l->name) : "";
    struct param like = {.dtype = NN_f32, .at = l->at, .used = l->at};
    s.scale = training_slot(
        e, like, intern(e->names, arena_printf(e->mem, "optimizer.loss_scale%s", of)), SCALE_FIRST);
    s.good = training_slot(
        e, like, intern(e->names, arena_printf(e->mem, "optimizer.good_updates%s", of)), 0);
    return s;
}

static val all_finite(struct elab *e, val g)
{
    bool fold[NN_MAX_RANK];
    memset(fold, true, sizeof fold);
    val zero = f_const(e, 0, g->t.dtype), r = v_tensor(e, NN_bool, shape_scalar(), g->at);
    val finite = op2(e, IR_eq, op2(e, IR_sub, g, g), zero);
    r->t.node = emit_reduce(e, IRM_all, finite, fold);
    return r;
}

/* Divides the gradients by the scale. */
static void unscale(struct elab *e, struct loss_scale s, struct update *u, uint32_t n)
{
    val by = op2(e, IR_div, f_const(e, 1, NN_f32), param_value(e, s.scale, s.scale->at));
    for (uint32_t i = 0; i < n; i++)
        u[i].g = op2(e, IR_mul, u[i].g, to_dtype(e, by, u[i].g->t.dtype, by->at));
}

/* Whether the update may be made, and the scale for the next one. */
static val judge(struct elab *e, struct loss_scale s, const struct update *u, uint32_t n, val due)
{
    val finite = all_finite(e, u[0].g);
    for (uint32_t i = 1; i < n; i++)
        finite = op2(e, IR_and, finite, all_finite(e, u[i].g));
    val scale = param_value(e, s.scale, s.scale->at), good = param_value(e, s.good, s.good->at);
    val zero = f_const(e, 0, NN_f32), one = f_const(e, 1, NN_f32), two = f_const(e, 2, NN_f32);
    val run = op2(e, IR_add, good, one);
    val grows = op2(e, IR_ge, run, f_const(e, SCALE_GROWS, NN_f32));
    val more = op2(e, IR_min, op2(e, IR_mul, scale, two), f_const(e, SCALE_MOST, NN_f32));
    val less = op2(e, IR_max, op2(e, IR_div, scale, two), one);
    val next = choose(e, finite, choose(e, grows, more, scale), less);
    val count = choose(e, finite, choose(e, grows, zero, run), zero);
    param_set(e, s.scale, due ? choose(e, due, next, scale) : next);
    param_set(e, s.good, due ? choose(e, due, count, good) : count);
    return due ? op2(e, IR_and, due, finite) : finite;
}

static void optimize(struct elab *e, struct train *t, struct update *u, const struct beat *beat)
{
    struct rule *r = rule_of(e, t, u->p);
    if (!r || r->v->kind == V_NONE)
        return;
    uint32_t n = e->params.n;
    val *before = ARENA_ARRAY(e->mem, val, n);
    for (uint32_t i = 0; i < n; i++)
        before[i] = e->params.p[i]->now;
    emit_place(e, r->at, u->p->path);
    val fresh = apply_optimizer(e, r->v->inst, u->old, u->g, beat->count, u->p, r->at);
    if (v_bad(fresh))
        return;
    u->fresh = beat->due ? choose(e, beat->due, fresh, u->old) : fresh;
    for (uint32_t i = 0; beat->due && i < e->params.n; i++) {
        struct param *q = e->params.p[i];
        val old = i < n && before[i] ? before[i] : q->first;
        if (q->of == u->p && q->now != old)
            q->now = choose(e, beat->due, q->now, old);
    }
}

static val gradient(struct elab *e, val loss, struct param *p)
{
    val g = v_tensor(e, p->dtype, (struct shape){0, p->rank, NULL, p->dim}, p->at);
    if (e->b)
        g->t.node = ir_grad(e->b, loss->t.node, p->now->t.node);
    return g;
}

void update_loss(struct elab *e, struct train *t, struct loss *l)
{
    uint32_t all = e->params.n, n = 0;
    struct update *u = ARENA_ARRAY(e->mem, struct update, all);
    struct rule *r;
    const char *role = e->role;
    e->role = "upd";
    emit_place(e, l->at, l->name ? l->name : "loss");
    struct loss_scale s = loss_scale(e, t, l);
    val of = l->v;
    if (s.scale)
        of = op2(e, IR_mul, of, to_dtype(e, param_value(e, s.scale, l->at), of->t.dtype, l->at));
    for (uint32_t i = 0; i < all; i++) {
        struct param *p = e->params.p[i];
        if (p->kind != NN_SLOT_PARAM || !(l->models >> p->root & 1))
            continue;
        r = rule_of(e, t, p);
        if (!r || r->v->kind == V_NONE)
            continue;
        u[n++] = (struct update){p, param_value(e, p, p->at), gradient(e, of, p), NULL};
    }
    struct beat beat = beat_of(e, l->every > 1 ? l->every : t->out.accumulate);
    if (s.scale)
        unscale(e, s, u, n);
    for (uint32_t i = 0; i < n && t->out.accumulate > 1; i++)
        accumulate(e, t, &u[i], &beat);
    if (s.scale && n)
        beat.due = judge(e, s, u, n, beat.due);
    if (t->clip > 0)
        clip(e, t, u, n);
    for (uint32_t i = 0; i < n; i++)
        optimize(e, t, &u[i], &beat);
    /* A later loss takes the new values as they are: it is not differentiated through the update.
     */
    for (uint32_t i = 0; i < n; i++)
        if (u[i].fresh)
            param_set(e, u[i].p, emit_unary(e, IR_stop, u[i].fresh, l->at));
    e->version++;
    e->role = role;
}

void update_slots(struct elab *e, struct ir_graph *g)
{
    for (uint32_t i = 0; i < e->params.n; i++) {
        struct param *p = e->params.p[i];
        if (!p->now || p->now == p->first)
            continue;
        struct ir_update u = {param_slot(e, p), emit_node_of(e, p->now)};
        vec_push(&g->updates, u);
    }
}
