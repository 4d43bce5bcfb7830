/* Calls: arguments to parameters, functions inlined, layers made and applied. */
#include "front/elab.h"

enum { MAX_CALLS = 200 }; /* calls within calls; a recursion ends here */

/* ---- frames ---- */

void frame_push(struct elab *e, struct frame *f, struct module *m, const struct tree_decl *d,
                struct loc call)
{
    memset(f, 0, sizeof *f);
    f->up = e->frame;
    f->mod = m;
    f->decl = d;
    f->call = call;
    f->act = e->frame ? e->frame->act : NULL;
    e->frame = f;
    e->depth++;
}

void frame_pop(struct elab *e, struct frame *f)
{
    CHECK(e->frame == f, "frames out of order");
    e->frame = f->up;
    e->depth--;
    vec_free(&f->env);
}

void env_bind(struct elab *e, const char *name, val v, struct loc at)
{
    bool *used = ARENA_NEW(e->mem, bool);
    vec_push(&e->frame->env, ((struct binding){.name = name, .v = v, .at = at, .used = used}));
}

void env_fix(struct elab *e, const char *name, val v, struct loc at)
{
    env_bind(e, name, v, at);
    vec_last(&e->frame->env).fixed = true;
}

struct binding *env_find(struct elab *e, const char *name)
{
    struct frame *f = e->frame;
    struct binding *found = NULL;
    for (uint32_t i = f ? f->env.n : 0; i-- > 0 && !(found && !e->in_type);) {
        struct binding *b = &f->env.p[i];
        if (b->name == name && (!found || b->fixed))
            found = b;
        if (found && found->fixed)
            break;
    }
    return found;
}

/* ---- arguments ---- */

void args_eval(struct elab *e, const struct tree_items *items, struct args *a)
{
    for (uint32_t i = 0; i < items->n; i++) {
        const struct tree_item *t = &items->p[i];
        val *p;
        uint32_t n;
        val v = v_poison(e);
        switch (t->kind) {
        case TREE_ITEM_VALUE:
        case TREE_ITEM_NAMED:
        case TREE_ITEM_SPREAD: v = eval(e, t->value, NULL); break;
        case TREE_ITEM_SLICE:
        case TREE_ITEM_ELLIPSIS:
            elab_error(e, t->at, "a slice stands in a subscript, not in a call");
            break;
        }
        a->bad = a->bad || v_bad(v);
        if (t->kind != TREE_ITEM_SPREAD) {
            const char *name = t->kind == TREE_ITEM_NAMED ? t->name.s : NULL;
            vec_push(&a->v, ((struct arg){name, v, t->value ? t->value->at : t->at}));
        } else if (!v_bad(v) && members(e, v, t->at, &p, &n)) {
            for (uint32_t k = 0; k < n; k++)
                vec_push(&a->v, ((struct arg){NULL, p[k], t->at}));
        } else {
            a->bad = true;
        }
    }
}

/* Each parameter's argument, or NULL; false after a report. */
static bool place_args(struct elab *e, const struct tree_params *p, const struct args *a,
                       const char *what, const struct arg **slot)
{
    uint32_t next = 0;
    bool named = false;
    for (uint32_t i = 0; i < a->v.n; i++) {
        const struct arg *x = &a->v.p[i];
        uint32_t k = next;
        if (x->name) {
            const char *names[64];
            uint32_t n = 0;
            named = true;
            for (k = 0; k < p->n && p->p[k].name.s != x->name; k++)
                if (n < COUNT(names))
                    names[n++] = p->p[k].name.s;
            if (k == p->n) {
                elab_error(e, x->at, "%s has no parameter `%s`%s", what, x->name,
                           elab_suggest(e, x->name, names, n));
                return false;
            }
        } else if (named) {
            elab_error(e, x->at, "%s: arguments by position come before those by name", what);
            return false;
        } else if (k >= p->n) {
            elab_error(e, x->at, "%s takes %u argument%s, not %u", what, p->n, p->n == 1 ? "" : "s",
                       a->v.n);
            return false;
        } else {
            next++;
        }
        if (slot[k]) {
            elab_error(e, x->at, "%s: `%s` is given twice", what, p->p[k].name.s);
            return false;
        }
        slot[k] = x;
    }
    for (uint32_t k = 0; k < p->n; k++)
        if (!slot[k] && !p->p[k].value) {
            if (elab_error(e, a->at, "%s needs an argument for `%s`", what, p->p[k].name.s))
                diag_note(e->d, p->p[k].at, "declared here");
            return false;
        }
    return true;
}

static bool is_config(const struct tree_param *p)
{
    return p->type && type_config(p->type) != CONFIG_NONE;
}

/* Defaults are computed where they stand. */
bool bind_default(struct elab *e, const struct tree_param *p, bool late, bool *waits)
{
    e->quiet += !late;
    bool failed = e->failed;
    val v = eval(e, p->value, NULL);
    e->quiet -= !late;
    if (v_bad(v) && !late) {
        e->failed = failed;
        return *waits = true;
    }
    v = config_value(e, v, is_config(p) ? p->type : NULL, p->name.s, p->value->at);
    env_bind(e, p->name.s, v, p->name.at);
    return !v_bad(v);
}

static bool bind_params(struct elab *e, const struct tree_params *p, struct args *a,
                        const char *what)
{
    const struct arg **slot = ARENA_ARRAY(e->mem, const struct arg *, p->n);
    bool *waits = ARENA_ARRAY(e->mem, bool, p->n);
    struct match *m = ARENA_ARRAY(e->mem, struct match, p->n);
    uint32_t n = 0;
    if (a->bad || !place_args(e, p, a, what, slot))
        return false;
    for (uint32_t k = 0; k < p->n; k++) {
        const struct tree_param *q = &p->p[k];
        if (!slot[k] && !bind_default(e, q, false, &waits[k]))
            return false;
        if (!slot[k])
            continue;
        if (q->type && !is_config(q)) {
            m[n++] = (struct match){q->type, slot[k]->v, q->name.s, slot[k]->at, NULL};
            continue;
        }
        val v = config_value(e, slot[k]->v, q->type, q->name.s, slot[k]->at);
        if (v_bad(v))
            return false;
        env_bind(e, q->name.s, v, slot[k]->at);
    }
    if (!types_match(e, m, n, what))
        return false;
    for (uint32_t k = 0; k < n; k++)
        env_bind(e, m[k].name, m[k].out, m[k].out->at);
    for (uint32_t k = 0; k < p->n; k++)
        if (waits[k] && !bind_default(e, &p->p[k], true, &waits[k]))
            return false;
    return true;
}

/* ---- functions ---- */

static struct loc result_at(const struct tree_decl *d)
{
    if (d->fn.value)
        return d->fn.value->at;
    for (uint32_t i = d->fn.body ? d->fn.body->n : 0; i-- > 0;)
        if (d->fn.body->p[i]->kind == TREE_RETURN)
            return d->fn.body->p[i]->value->at;
    return d->name.at;
}

static val check_tuple(struct elab *e, const struct tree_decl *d, val v, struct loc at)
{
    const struct tree_type *t = d->fn.result;
    uint32_t n = t->tuple.n;
    if ((v->kind != V_TUPLE && v->kind != V_LIST) || v->list.n != n) {
        if (elab_error(e, at, "%s: the result is %s, but a tuple of %u is declared", d->name.s,
                       v_text(e, v), n))
            elab_called(e);
        return v_poison(e);
    }
    struct match *m = ARENA_ARRAY(e->mem, struct match, n);
    val *p = ARENA_ARRAY(e->mem, val, n);
    for (uint32_t i = 0; i < n; i++) {
        const char *name = t->tuple.name[i].s;
        m[i] = (struct match){t->tuple.type[i], v->list.p[i], name, at, NULL};
    }
    if (!types_match(e, m, n, d->name.s))
        return v_poison(e);
    for (uint32_t i = 0; i < n; i++)
        p[i] = m[i].out;
    val r = v_list(e, V_TUPLE, p, n, v->at);
    r->list.name = ARENA_ARRAY(e->mem, const char *, n);
    for (uint32_t i = 0; i < n; i++)
        r->list.name[i] = t->tuple.name[i].s;
    return r;
}

/* The result as the signature declares it. */
static val check_result(struct elab *e, const struct tree_decl *d, val v)
{
    const struct tree_type *t = d->fn.result;
    struct loc at = e->frame->return_at.file ? e->frame->return_at : result_at(d);
    if (v_bad(v) || !t)
        return v;
    if (v->kind == V_NONE) {
        elab_error(e, at, "%s does not return a value", d->name.s);
        return v_poison(e);
    }
    if (type_of_number(t, v))
        return config_value(e, v, t, "the result", at);
    if (d->kind == TREE_MODEL && !type_names_bound(e, t))
        return v_poison(e);
    if (t->kind == TREE_TYPE_TUPLE)
        return check_tuple(e, d, v, at);
    struct match m = {t, v, NULL, at, NULL};
    return types_match(e, &m, 1, d->name.s) ? m.out : v_poison(e);
}

static void run_body(struct elab *e, const struct tree_decl *d)
{
    struct frame *f = e->frame;
    if (d->fn.value) {
        f->result = eval(e, d->fn.value, f->want);
        f->return_at = d->fn.value->at;
    } else if (d->fn.body) {
        block_run(e, d->fn.body);
    }
    if (!f->result)
        f->result = v_none(e, d->name.at);
}

/* The frame's body with its result wanted as declared, else as the caller wants it. */
val run_declared(struct elab *e, const struct tree_decl *d, const struct want *w)
{
    struct want own;
    type_bind_wanted(e, d->fn.result, w);
    if (d->fn.result && type_want(e, d->fn.result, &own))
        e->frame->want = &own;
    else
        e->frame->want = d->fn.result ? NULL : w;
    run_body(e, d);
    val r = check_result(e, d, e->frame->result);
    e->frame->want = NULL;
    return r;
}

/* ---- `gradient (g) = …`: the value with derivatives of the author's own ---- */

struct inputs { /* the tensors that it is differentiated by */
    uint32_t n;
    val *v;
    const char **name;
};

static struct inputs tensor_inputs(struct elab *e, const struct tree_decl *d)
{
    uint32_t n = d->fn.input.n;
    struct inputs in = {0, ARENA_ARRAY(e->mem, val, n), ARENA_ARRAY(e->mem, const char *, n)};
    for (uint32_t i = 0; i < n; i++) {
        struct binding *b = env_find(e, d->fn.input.p[i].name.s);
        if (b && v_is_tensor(b->v) && !is_config(&d->fn.input.p[i])) {
            in.name[in.n] = d->fn.input.p[i].name.s;
            in.v[in.n++] = b->v;
        }
    }
    return in;
}

/* The result as one tensor: the parts of a tuple one after the other. NULL after a report. */
static val gradient_whole(struct elab *e, const struct tree_decl *d, val value)
{
    val one[1] = {value}, *p = value->kind == V_TUPLE ? value->list.p : one;
    uint32_t n = value->kind == V_TUPLE ? value->list.n : 1;
    bool good = n == d->fn.gradient_names.n;
    for (uint32_t i = 0; good && i < n; i++)
        good = v_is_tensor(p[i]) && nn_is_float(p[i]->t.dtype) && p[i]->t.dtype == p[0]->t.dtype;
    if (good)
        return value->kind == V_TUPLE ? join_flat(e, p, n, value->at) : value;
    elab_error(e, d->fn.gradient_at,
               "a gradient takes one name for each tensor of the result (%u), all of one float "
               "dtype",
               n);
    return NULL;
}

/* Binds the names to the gradient, which is shaped as the whole; then the author's value. */
static val gradient_value(struct elab *e, const struct tree_decl *d, val value, val g,
                          struct loc where)
{
    const struct tree_names *names = &d->fn.gradient_names;
    val one[1] = {g};
    const struct value *parts = value->kind == V_TUPLE ? part_flat(e, g, value, g->at) : NULL;
    for (uint32_t i = 0; i < names->n; i++)
        env_bind(e, names->p[i].s, parts ? parts->list.p[i] : one[i], names->p[i].at);
    if (d->fn.gradient)
        return eval(e, d->fn.gradient, NULL);
    e->frame->returned = false;
    e->frame->result = NULL;
    block_run(e, d->fn.gradient_body);
    return e->frame->result ? e->frame->result : v_none(e, where);
}

/* A part for each input, as the input is. */
static bool gradient_parts(struct elab *e, const struct tree_decl *d, val r,
                           const struct inputs *in, enum nn_dtype dtype, struct loc where, val *x)
{
    val one[1] = {r}, *part = r->kind == V_TUPLE ? r->list.p : one;
    uint32_t n = r->kind == V_TUPLE ? r->list.n : 1;
    if (n != in->n) {
        elab_error(e, where, "%s: the gradient has %u parts for %u tensors", d->name.s, n, in->n);
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        enum nn_dtype t = nn_is_float(in->v[i]->t.dtype) ? in->v[i]->t.dtype : dtype;
        x[i] = to_type(e, part[i], t, in->v[i]->t.s, where,
                       arena_printf(e->mem, "%s: the gradient of `%s`", d->name.s, in->name[i]));
        if (v_bad(x[i]))
            return false;
    }
    return true;
}

static val custom_gradient(struct elab *e, const struct tree_decl *d, val value, struct loc at)
{
    struct inputs in = tensor_inputs(e, d);
    val whole = gradient_whole(e, d, value), *x = ARENA_ARRAY(e->mem, val, in.n);
    if (!whole)
        return v_poison(e);
    val g = v_tensor(e, whole->t.dtype, whole->t.s, d->fn.gradient_names.p[0].at);
    if (e->b)
        g->t.node = ir_hole(e->b, emit_node_of(e, whole));
    struct loc where = d->fn.gradient ? d->fn.gradient->at : d->fn.gradient_at;
    val r = gradient_value(e, d, value, g, where);
    if (v_bad(r) || !gradient_parts(e, d, r, &in, whole->t.dtype, where, x))
        return v_poison(e);
    ir_id *from = ARENA_ARRAY(e->mem, ir_id, in.n), *dx = ARENA_ARRAY(e->mem, ir_id, in.n);
    for (uint32_t i = 0; i < in.n; i++) {
        from[i] = emit_node_of(e, in.v[i]);
        dx[i] = emit_node_of(e, x[i]);
    }
    val c = v_tensor(e, whole->t.dtype, whole->t.s, value->at);
    emit_origin(e, at, d->name.s);
    if (e->b)
        c->t.node = ir_custom(e->b, emit_node_of(e, whole), in.n, from, g->t.node, dx);
    return value->kind == V_TUPLE ? part_flat(e, c, value, value->at) : c;
}

/* A graph that computes no gradients has no use for how a function's are made. */
static bool takes_gradients(const struct elab *e)
{
    return !e->b || e->differentiates ||
           (e->train && (e->train->mode == TRAIN_STEP || e->train->mode == TRAIN_GRAD));
}

static bool too_deep(struct elab *e, const struct tree_decl *d, struct loc at)
{
    bool within = false;
    if (e->depth < MAX_CALLS)
        return false;
    for (const struct frame *f = e->frame; f; f = f->up)
        within = within || f->decl == d;
    elab_error(e, elab_user_loc(e, at),
               within ? "`%s` calls itself without end: calls are %d deep here"
                      : "`%s` is called within %d other calls, which is the most",
               d->name.s, MAX_CALLS);
    return true;
}

val run_function(struct elab *e, const struct tree_decl *d, const struct want *w, struct loc at)
{
    val r = run_declared(e, d, w);
    bool custom = d->fn.has_gradient && !v_bad(r) && takes_gradients(e);
    return custom ? custom_gradient(e, d, r, at) : r;
}

static val call_fn(struct elab *e, val fn, struct args *a, const struct want *w)
{
    const struct tree_decl *d = fn->def.decl;
    if (a->bad || too_deep(e, d, a->at))
        return v_poison(e);
    struct frame f;
    frame_push(e, &f, fn->def.mod, d, a->at);
    val r = bind_params(e, &d->fn.input, a, d->name.s) ? run_function(e, d, w, a->at) : v_poison(e);
    frame_pop(e, &f);
    return r;
}

/* ---- layers ---- */

static void frame_config(struct elab *e, const struct inst *i)
{
    for (uint32_t k = 0; k < i->nconfig; k++)
        vec_push(&e->frame->env, i->config[k]);
}

/* A layer from its definition: `Linear(512)`. */
static val make(struct elab *e, val def, struct args *a)
{
    const struct tree_decl *d = def->def.decl;
    if (a->bad)
        return v_poison(e);
    static const struct tree_params none;
    struct frame f;
    struct activation *act = e->frame ? e->frame->act : NULL;
    frame_push(e, &f, def->def.mod, d, a->at);
    f.act = act;
    bool good = bind_params(e, d->fn.has_config ? &d->fn.config : &none, a, d->name.s);
    val v = good ? inst_new(e, def, f.env.p, f.env.n, a->at) : v_poison(e);
    frame_pop(e, &f);
    return v;
}

static bool take_training(struct elab *e, struct args *a, bool *training)
{
    for (uint32_t i = 0; i < a->v.n; i++) {
        const struct arg *x = &a->v.p[i];
        if (!x->name || strcmp(x->name, "training"))
            continue;
        if (x->v->kind != V_BOOL || !x->v->b.known) {
            elab_error(e, x->at, "`training` is true or false, not %s", v_text(e, x->v));
            return false;
        }
        *training = x->v->b.v;
        memmove(&a->v.p[i], &a->v.p[i + 1], (--a->v.n - i) * sizeof *a->v.p);
        return true;
    }
    return true;
}

static bool same_arg(const struct elab *e, val a, val b)
{
    if (a == b)
        return true;
    uint32_t fuel = 1000;
    return v_is_tensor(a) && v_is_tensor(b) && a->t.node && b->t.node &&
           emit_same(e->b->g, a->t.node, b->t.node, &fuel);
}

/* The train block's models: the same arguments are the same application. */
static val remembered(struct elab *e, const struct inst *i, const struct args *a)
{
    for (uint32_t k = 0; k < e->memo.n; k++) {
        const struct memo *m = &e->memo.p[k];
        bool same = m->inst == i && m->training == e->training && m->version == e->version &&
                    m->nargs == a->v.n;
        for (uint32_t n = 0; same && n < a->v.n; n++)
            same = same_arg(e, m->arg[n], a->v.p[n].v);
        if (same)
            return m->result;
    }
    return NULL;
}

static void remember(struct elab *e, const struct inst *i, const struct args *a, val r)
{
    val *arg = ARENA_ARRAY(e->mem, val, a->v.n);
    for (uint32_t n = 0; n < a->v.n; n++)
        arg[n] = a->v.p[n].v;
    vec_push(&e->memo, ((struct memo){i, e->training, e->version, a->v.n, arg, r}));
}

static val run_inst(struct elab *e, struct inst *i, struct args *a, const struct want *w)
{
    const struct tree_decl *d = i->decl;
    struct activation act = {.inst = i};
    struct frame f;
    const char *what = i->path && *i->path ? i->path : d->name.s;
    frame_push(e, &f, i->mod, d, a->at);
    f.act = &act;
    if (!i->used.file)
        i->used = a->at;
    frame_config(e, i);
    for (uint32_t k = 0; k < i->nconfig; k++)
        inst_name(e, i->config[k].v, i->config[k].name, i->config[k].at);
    val r = bind_params(e, &d->fn.input, a, what) ? run_declared(e, d, w) : v_poison(e);
    frame_pop(e, &f);
    vec_free(&act.names);
    vec_free(&act.loop);
    return r;
}

val apply_inst(struct elab *e, struct inst *i, struct args *a, const struct want *w)
{
    bool was = e->training, root = i->path && (i->is_root);
    const char *what = i->decl->name.s;
    if (a->bad || too_deep(e, i->decl, a->at))
        return v_poison(e);
    if (i->decl->kind == TREE_OPTIMIZER) {
        elab_error(e, a->at, "an optimizer is not applied: `optimizer = %s(…)`", what);
        return v_poison(e);
    }
    if (!i->path && (!e->frame->act || !e->frame->act->inst)) {
        if (elab_error(e, a->at, "the layer %s is applied outside of a model", what))
            diag_note(e->d, i->at, "it is made here");
        return v_poison(e);
    }
    if (!i->path)
        inst_name_unbound(e, i);
    if (!take_training(e, a, &e->training))
        return v_poison(e);
    val r = root ? remembered(e, i, a) : NULL;
    if (!r) {
        r = run_inst(e, i, a, w);
        if (root)
            remember(e, i, a, r);
    }
    e->training = was;
    return r;
}

val apply_optimizer(struct elab *e, struct inst *i, val p, val g, val step, struct param *of,
                    struct loc at)
{
    const struct tree_decl *d = i->decl;
    struct frame f;
    val v[3] = {p, g, step};
    frame_push(e, &f, i->mod, d, at);
    f.act = NULL;
    frame_config(e, i);
    for (uint32_t k = 0; k < d->fn.input.n && k < 3; k++)
        env_bind(e, d->fn.input.p[k].name.s, v[k], d->fn.input.p[k].at);
    struct param *was = e->optimized;
    e->optimized = of;
    run_body(e, d);
    e->optimized = was;
    struct loc end = f.return_at.file ? f.return_at : result_at(d);
    val r = v_bad(f.result)
                ? f.result
                : to_type(e, f.result, p->t.dtype, p->t.s, end,
                          arena_printf(e->mem, "%s: the new value of `%s`", d->name.s, of->path));
    frame_pop(e, &f);
    return r;
}

/* ---- whatever stands before the parenthesis ---- */

static val call_def(struct elab *e, val def, struct args *a, const struct want *w)
{
    const struct tree_decl *d = def->def.decl;
    if (d->fn.has_config || !a->v.n)
        return make(e, def, a);
    struct args none = {.at = a->at};
    val i = make(e, def, &none);
    return v_bad(i) ? i : apply_inst(e, i->inst, a, w);
}

static val call_list(struct elab *e, val list, struct args *a, const struct want *w)
{
    if (!list->list.n && a->v.n == 1)
        return a->v.p[0].v;
    val r = v_poison(e);
    struct args now = {.at = a->at, .bad = a->bad};
    for (uint32_t i = 0; i < a->v.n; i++)
        vec_push(&now.v, a->v.p[i]);
    for (uint32_t k = 0; k < list->list.n; k++) {
        r = call_value(e, list->list.p[k], &now, k + 1 == list->list.n ? w : NULL);
        if (v_bad(r))
            break;
        now.v.n = 0;
        vec_push(&now.v, ((struct arg){NULL, r, a->at}));
    }
    vec_free(&now.v);
    return r;
}

static val call_cast(struct elab *e, val t, struct args *a)
{
    if (a->v.n != 1 || a->v.p[0].name) {
        elab_error(e, a->at, "%s(x) casts one tensor", nn_dtype_name(t->dtype));
        return v_poison(e);
    }
    val x = a->v.p[0].v;
    if (!v_is_tensor(x) && !v_is_number(x)) {
        if (elab_error(e, a->at, "%s is not a tensor or a number", v_text(e, x)))
            elab_called(e);
        return v_poison(e);
    }
    emit_origin(e, a->at, "cast");
    val r = to_dtype(e, x, t->dtype, a->at);
    if (r == x)
        r = v_moved(e, x, a->at);
    r->at = a->at;
    r->t.weak = false;
    return r;
}

val call_value(struct elab *e, val fn, struct args *a, const struct want *w)
{
    if (v_bad(fn) || a->bad)
        return v_poison(e);
    switch (fn->kind) {
    case V_FN: return call_fn(e, fn, a, w);
    case V_BUILTIN: return builtin_call(e, fn->builtin, a, w);
    case V_DTYPE: return call_cast(e, fn, a);
    case V_DEF: return call_def(e, fn, a, w);
    case V_INST: return apply_inst(e, fn->inst, a, w);
    case V_LIST: return call_list(e, fn, a, w);
    case V_POISON:
    case V_NONE:
    case V_TENSOR:
    case V_INT:
    case V_FLOAT:
    case V_BOOL:
    case V_STRING:
    case V_TUPLE:
    case V_RANGE:
    case V_MODULE:
    case V_DATASET: break;
    }
    if (elab_error(e, a->at, "%s cannot be called", v_text(e, fn)))
        elab_called(e);
    return v_poison(e);
}

/* What a call's name stands for. Method form: x.f(a) is f(x, a), unless x has an f of its own. */
static val callee(struct elab *e, const struct tree_expr *fn, struct args *a)
{
    if (fn->kind != TREE_FIELD)
        return eval(e, fn, NULL);
    const char *name = fn->field.name.s;
    val of = eval(e, fn->field.of, NULL);
    if (v_bad(of))
        return of;
    if (of->kind == V_MODULE)
        return module_member(e, of->module, name, fn->field.name.at);
    if (of->kind == V_INST) {
        e->quiet++;
        bool failed = e->failed;
        val own = inst_field(e, of->inst, name, fn->at);
        e->quiet--;
        e->failed = failed;
        if (!v_bad(own))
            return own;
    }
    if (v_is_tensor(of) && !strcmp(name, "dtype"))
        return v_dtype(e, of->t.dtype, fn->at);
    struct binding *b = env_find(e, name);
    val f = b && (b->v->kind == V_FN || b->v->kind == V_INST || b->v->kind == V_DEF ||
                  b->v->kind == V_LIST)
                ? b->v
                : module_lookup(e, e->frame->mod, name, fn->field.name.at);
    if (!f) {
        const char *seen[512];
        uint32_t n = module_names(e->frame->mod, seen, COUNT(seen));
        if (elab_error(e, fn->field.name.at, "no function `%s`%s", name,
                       elab_suggest(e, name, seen, n)))
            elab_called(e);
        return v_poison(e);
    }
    vec_push(&a->v, ((struct arg){NULL, of, fn->field.of->at}));
    return f;
}

val call_expr(struct elab *e, const struct tree_expr *x, const struct want *w)
{
    struct args a = {.at = x->at};
    val fn = callee(e, x->call.fn, &a);
    args_eval(e, &x->call.items, &a);
    val r = call_value(e, fn, &a, w);
    vec_free(&a.v);
    return r;
}

/* x |> f(a) is f(x, a); x |> Linear(10) makes the layer and applies it; x |> f applies f. */
val pipe_expr(struct elab *e, const struct tree_expr *x, const struct want *w)
{
    const struct tree_expr *right = x->binary.r;
    val left = eval(e, x->binary.l, NULL), r;
    struct args a = {.at = right->at, .bad = v_bad(left)};
    val fn;
    if (right->kind == TREE_CALL) {
        struct args own = {.at = right->at};
        fn = callee(e, right->call.fn, &own);
        args_eval(e, &right->call.items, &own);
        bool layer = fn->kind == V_DEF && (fn->def.decl->fn.has_config || !own.v.n);
        if (layer && !own.bad)
            fn = make(e, fn, &own);
        vec_push(&a.v, ((struct arg){NULL, left, x->binary.l->at}));
        for (uint32_t i = 0; i < own.v.n && !layer; i++)
            vec_push(&a.v, own.v.p[i]);
        a.bad = a.bad || own.bad;
        vec_free(&own.v);
    } else {
        fn = eval(e, right, NULL);
        if (fn->kind == V_DEF && fn->def.decl->fn.has_config) {
            struct args none = {.at = right->at};
            fn = make(e, fn, &none);
        }
        vec_push(&a.v, ((struct arg){NULL, left, x->binary.l->at}));
    }
    r = call_value(e, fn, &a, w);
    vec_free(&a.v);
    return r;
}
