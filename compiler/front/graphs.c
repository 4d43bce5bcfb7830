/* What the other rooms ask for: the check, the train block's facts, the graphs, a model's
 * signature. */
#include "front/elab.h"

/* ---- a model on its own ---- */

void model_dim(struct elab *e, struct dim_sym *y)
{
    for (uint32_t i = 0; i < e->given.n; i++)
        if (!strcmp(e->given.p[i].name, y->name)) {
            if (e->given.p[i].live) {
                live_symbol(e, y, e->given.p[i].n);
                if (e->given.p[i].parts > 1)
                    live_parts(e, y, e->given.p[i].parts);
                return;
            }
            y->known = true;
            y->value = e->given.p[i].n;
            if (e->apart && !strcmp(e->apart, y->name))
                e->batch = y;
            return;
        }
    val v = front_defined(e, y->name, false);
    int64_t n;
    if (v && v_is_const_int(v, &n) && n >= 1) {
        y->known = true;
        y->value = n;
    }
}

void input_node(struct elab *e, val v, const char *name)
{
    const struct dim **dims;
    if (!e->b)
        return;
    struct ir_axis *ax = emit_axes(e, &v->t.s, &dims);
    struct ir_node n = {.op = IR_input,
                        .dtype = (uint8_t)v->t.dtype,
                        .nd = (uint16_t)v->t.s.rank,
                        .dom = ax,
                        .name = name};
    emit_place(e, v->at, name);
    v->t.node = emit_append(e, &n, dims);
}

void model_input(struct elab *e, const struct tree_param *p, struct model_run *r)
{
    enum nn_dtype t;
    struct shape s;
    if (!p->type || type_config(p->type) != CONFIG_NONE) {
        elab_error(e, p->at, "the input `%s` needs a tensor's type", p->name.s);
        return;
    }
    if (!type_symbols(e, p->type, &t, &s))
        return;
    val v = v_tensor(e, t, s, p->at);
    for (uint32_t i = 0; e->b && i < s.rank; i++) {
        struct dim_sym *y;
        int64_t lo, hi;
        if (dim_bounds(e->dims, s.dim[i], &lo, &hi))
            continue;
        dim_symbols(e->dims, s.dim[i], &y, 1);
        elab_error(e, p->at, "the size `%s` has no value here: give it with -D %s=…", y->name,
                   y->name);
        return;
    }
    input_node(e, v, p->name.s);
    r->input[r->ninput++] = v;
    env_bind(e, p->name.s, v, p->name.at);
}

/* The instance's body with its free names as symbols. */
static bool model_body(struct elab *e, struct inst *i, struct model_run *r)
{
    const struct tree_decl *d = i->decl;
    struct activation act = {.inst = i};
    struct frame f;
    frame_push(e, &f, i->mod, d, (struct loc){0});
    f.act = &act;
    i->used = d->at;
    r->input = ARENA_ARRAY(e->mem, val, d->fn.input.n);
    for (uint32_t k = 0; k < i->nconfig; k++)
        vec_push(&f.env, i->config[k]);
    for (uint32_t k = 0; k < i->nconfig; k++)
        inst_name(e, i->config[k].v, i->config[k].name, i->config[k].at);
    for (uint32_t k = 0; k < d->fn.input.n; k++)
        model_input(e, &d->fn.input.p[k], r);
    const struct tree_type **type = ARENA_ARRAY(e->mem, const struct tree_type *, d->fn.input.n);
    for (uint32_t k = 0; k < d->fn.input.n; k++)
        type[k] = d->fn.input.p[k].type;
    bool good =
        r->ninput == d->fn.input.n && (e->b || types_solvable(e, type, r->input, r->ninput));
    r->result = good ? run_declared(e, d, NULL) : v_poison(e);
    if (v_is_number(r->result)) /* known without a run, as in `-> bool = true` */
        r->result = to_tensor(e, r->result, NN_DTYPE_COUNT, d->name.at);
    elab_overflow(e, d->name.at);
    frame_pop(e, &f);
    vec_free(&act.names);
    vec_free(&act.loop);
    return !v_bad(r->result) && !e->failed;
}

/* The model as it is configured without a train block: defaults and -D. NULL: a configuration is
 * missing (*missing names it), or after a report. */
static struct inst *default_inst(struct elab *e, struct module *m, const struct tree_decl *d,
                                 const char **missing)
{
    struct args a = {.at = d->name.at};
    struct frame f;
    frame_push(e, &f, m, NULL, (struct loc){0});
    for (uint32_t k = 0; d->fn.has_config && k < d->fn.config.n; k++) {
        const struct tree_param *p = &d->fn.config.p[k];
        val v = front_defined(e, p->name.s, false);
        if (v)
            vec_push(&a.v, ((struct arg){p->name.s, v, p->at}));
        else if (!p->value)
            *missing = p->name.s;
    }
    val v = NULL;
    if (!*missing) {
        val def = v_new(e, V_DEF, d->name.at);
        def->def.decl = d;
        def->def.mod = m;
        struct args none = {.at = d->name.at};
        v = d->fn.has_config ? call_value(e, def, &a, NULL) : call_value(e, def, &none, NULL);
    }
    vec_free(&a.v);
    frame_pop(e, &f);
    if (!v || v->kind != V_INST)
        return NULL;
    v->inst->path = "";
    vec_push(&e->insts, v->inst);
    return v->inst;
}

/* The train block's instances, configured, without the rest of the block. */
static struct train *models_only(struct elab *e)
{
    struct train *t = xcalloc(1, sizeof *t);
    struct frame f;
    t->decl = train_decl(e->f, &t->mod);
    e->train = t;
    frame_push(e, &f, t->mod, NULL, (struct loc){0});
    bool good = train_models(e, t);
    frame_pop(e, &f);
    return good ? t : NULL;
}

static bool is_model(const struct tree_decl *d, const char *name)
{
    return d->kind == TREE_MODEL && (!name || !strcmp(d->name.s, name));
}

/* The model that the command is about: --model, else the train block's first, else the only one. */
static struct inst *chosen_inst(struct elab *e)
{
    struct module *m = e->f->module.p[0];
    const char *wanted = e->f->o.model, *missing = NULL;
    struct module *unused;
    if (train_decl(e->f, &unused)) {
        struct train *t = models_only(e);
        if (!t)
            return NULL;
        uint32_t at = 0, fits = 0;
        for (uint32_t i = 0; i < t->ninst; i++) {
            if (!wanted || !strcmp(wanted, t->name[i]))
                return t->inst[i];
            if (is_model(t->inst[i]->decl, wanted) && !fits++)
                at = i;
        }
        if (fits > 1) {
            elab_error(e, (struct loc){0},
                       "%u models of the train block are of %s: name one with --model %s", fits,
                       wanted, t->name[at]);
            return NULL;
        }
        if (fits)
            return t->inst[at];
    }
    const struct tree_decl *found = NULL;
    const char *names[64];
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->tree->decls.n; i++) {
        const struct tree_decl *d = m->tree->decls.p[i];
        if (d->kind == TREE_MODEL && n < COUNT(names))
            names[n++] = d->name.s;
        if (is_model(d, wanted) && !found)
            found = d;
    }
    struct loc nowhere = {0};
    if (!found && !wanted)
        elab_error(e, nowhere, "there is no model in %s", m->path);
    else if (!found)
        elab_error(e, nowhere, "no model `%s` in %s%s", wanted, m->path,
                   elab_suggest(e, wanted, names, n));
    else if (!wanted && n > 1)
        elab_error(e, nowhere, "%s has several models: name one with --model %s", m->path,
                   names[0]);
    if (!found || (!wanted && n > 1))
        return NULL;
    struct inst *i = default_inst(e, m, found, &missing);
    if (missing)
        elab_error(e, found->name.at, "the model %s needs a value for `%s`: give it with -D %s=…",
                   found->name.s, missing, missing);
    return i;
}

/* ---- the check ---- */

static bool check_model(struct front *f, const struct tree_decl *d)
{
    bool good = true;
    for (int training = 0; training < 2 && good; training++) {
        struct elab *e = elab_new(f);
        const char *missing = NULL;
        struct inst *i = default_inst(e, f->module.p[0], d, &missing);
        struct model_run r = {0};
        e->training = training;
        good = i ? model_body(e, i, &r) : !e->failed;
        elab_free(e);
    }
    return good;
}

/* Each instance of the train block for all sizes, with its configuration there. */
static bool check_instances(struct front *f)
{
    bool good = true;
    for (uint32_t k = 0, n = 1; k < 2 * n; k++) {
        struct elab *e = elab_new(f);
        struct train *t = models_only(e);
        struct model_run r = {0};
        e->training = k & 1;
        n = t ? t->ninst : 0;
        good = t && model_body(e, t->inst[k / 2], &r) && good;
        elab_free(e);
    }
    return good;
}

/* The train block has this model, by its declaration or (d NULL) a name. */
static bool in_train(struct front *f, const struct tree_decl *d, const char *name)
{
    struct elab *e = elab_new(f);
    struct module *m;
    bool found = false;
    e->quiet++;
    struct train *t = train_decl(f, &m) ? models_only(e) : NULL;
    for (uint32_t i = 0; t && i < t->ninst; i++)
        found = found || (d ? t->inst[i]->decl == d
                            : !strcmp(t->name[i], name) || is_model(t->inst[i]->decl, name));
    elab_free(e);
    return found;
}

bool front_trains(struct front *f, const char *model) { return in_train(f, NULL, model); }

/* --model names a model of the file. */
static bool check_option(struct front *f)
{
    const struct module *m = f->module.p[0];
    const char *wanted = f->o.model, *names[64];
    uint32_t n = 0;
    if (!wanted || front_trains(f, wanted))
        return true;
    for (uint32_t i = 0; i < m->tree->decls.n; i++) {
        const struct tree_decl *d = m->tree->decls.p[i];
        if (d->kind == TREE_MODEL && n < COUNT(names))
            names[n++] = d->name.s;
        if (is_model(d, wanted))
            return true;
    }
    const char *near = nearest_name(wanted, names, n);
    struct text has = {0};
    text_printf(&has, near ? ", did you mean `%s`?" : "%s", near ? near : "");
    for (uint32_t i = 0; i < n && !near; i++)
        text_printf(&has, "%s%s", i ? ", " : "; it has ", names[i]);
    diag_error(f->d, (struct loc){0}, "no model `%s` in %s%s", wanted, m->path, has.p);
    text_free(&has);
    return false;
}

void front_warn_unchecked(struct front *f)
{
    const struct tree_file *t = f->module.p[0]->tree;
    for (uint32_t i = 0; i < t->decls.n; i++) {
        const struct tree_decl *d = t->decls.p[i];
        const char *missing = NULL;
        if (d->kind != TREE_MODEL || in_train(f, d, NULL))
            continue;
        struct elab *e = elab_new(f);
        e->quiet++;
        default_inst(e, f->module.p[0], d, &missing);
        elab_free(e);
        if (!missing)
            continue;
        diag_warn(f->d, d->name.at, "the model %s is not checked: `%s` has no value", d->name.s,
                  missing);
        diag_label(f->d, "give it one with -D %s=…, a default, or in a train block", missing);
    }
}

static bool check_decl(struct front *f, const struct tree_decl *d)
{
    if (d->kind == TREE_MODEL)
        return in_train(f, d, NULL) || check_model(f, d);
    if (d->kind == TREE_FN && d->fn.exported)
        return export_check(f, d);
    if (d->kind != TREE_DATASET && d->kind != TREE_CONST)
        return true;
    struct elab *e = elab_new(f);
    struct frame fr;
    frame_push(e, &fr, f->module.p[0], NULL, (struct loc){0});
    if (d->kind == TREE_DATASET)
        dataset_check(e, d, f->module.p[0]);
    else
        module_lookup(e, f->module.p[0], d->name.s, d->name.at);
    frame_pop(e, &fr);
    bool good = !e->failed;
    elab_free(e);
    return good;
}

static void keep_train(struct front *f, struct train *t)
{
    struct front_train *o = &f->train;
    *o = t->out;
    struct front_field *field = ARENA_ARRAY(f->mem, struct front_field, t->field.n);
    for (uint32_t i = 0; i < t->field.n; i++)
        field[i] = t->field.p[i].out;
    const char **metric = ARENA_ARRAY(f->mem, const char *, t->metric.n);
    for (uint32_t i = 0; i < t->metric.n; i++)
        metric[i] = t->metric.p[i].name.s;
    o->field = field;
    o->nfields = t->field.n;
    o->metric = metric;
    o->nmetrics = t->metric.n;
    o->nlosses = t->loss.n;
    o->instance = arena_dup(f->mem, t->name, t->ninst * sizeof *t->name);
    o->ninstances = t->ninst;
    o->named_losses = t->loss.n && t->loss.p[0].name;
}

static bool check_train(struct front *f);

struct names {
    const char **p;
    uint32_t n, cap;
};

/* What -D may set by this declaration: a constant, a model's or exported function's configuration
 * and free dims, the train block's settings. */
static void names_to_set(const struct tree_decl *d, struct names *to)
{
    bool alone = d->kind == TREE_MODEL || (d->kind == TREE_FN && d->fn.exported);
    if (d->kind == TREE_CONST)
        vec_push(to, d->name.s);
    for (uint32_t i = 0; alone && i < d->fn.config.n; i++)
        vec_push(to, d->fn.config.p[i].name.s);
    for (uint32_t i = 0; alone && i < d->fn.input.n; i++) {
        const struct tree_type *t = d->fn.input.p[i].type;
        for (uint32_t k = 0; t && t->kind == TREE_TYPE_NAMED && k < t->named.dims.n; k++) {
            const struct tree_item *dim = &t->named.dims.p[k];
            if (dim->kind == TREE_ITEM_VALUE && dim->value->kind == TREE_NAME)
                vec_push(to, dim->value->name);
        }
    }
    for (uint32_t i = 0; d->kind == TREE_TRAIN && i < d->train.body->n; i++) {
        const struct tree_stmt *s = d->train.body->p[i];
        if (s->kind == TREE_BIND && s->bind.targets.n == 1)
            vec_push(to, s->bind.targets.p[0].s);
    }
}

static bool check_defines(struct front *f)
{
    bool good = true;
    for (size_t i = 0; i < f->o.define_count; i++)
        if (!f->defined[i]) {
            struct names names = {0};
            const struct tree_file *t = f->module.p[0]->tree;
            for (uint32_t k = 0; k < t->decls.n; k++)
                names_to_set(t->decls.p[k], &names);
            const char *near = nearest_name(f->o.define[i].name, names.p, names.n);
            vec_free(&names);
            diag_error(f->d, (struct loc){0}, "-D %s: nothing of this name to set%s%s%s",
                       f->o.define[i].name, near ? ", did you mean `" : "", near ? near : "",
                       near ? "`?" : "");
            good = false;
        }
    return good;
}

bool front_check(struct front *f)
{
    if (f->checked)
        return f->checked > 0;
    const struct tree_file *t = f->module.p[0]->tree;
    struct module *m;
    bool good = true;
    for (uint32_t i = 0; i < t->decls.n; i++)
        good = check_decl(f, t->decls.p[i]) && good;
    if (train_decl(f, &m))
        good = check_instances(f) && good;
    if (good || !f->train_read)
        good = check_train(f) && good;
    if (good)
        good = check_defines(f);
    good = check_option(f) && good;
    f->checked = good ? 1 : -1;
    return good;
}

const struct front_train *front_train(struct front *f)
{
    if (!f->train_read)
        check_train(f);
    return &f->train;
}

/* ---- graphs ---- */

void add_output(struct building *w, const char *name, val v)
{
    struct ir_named out = {intern(w->g->m->names, name), emit_node_of(w->e, v)};
    vec_push(&w->g->outputs, out);
}

static const char *loss_name(struct elab *e, const struct loss *l)
{
    return l->name ? arena_printf(e->mem, "loss.%s", l->name) : "loss";
}

static val learning_rate(struct elab *e, struct train *t)
{
    const struct inst *i = NULL;
    for (uint32_t k = 0; k < t->rule.n; k++)
        if (t->rule.p[k].v->kind == V_INST && (!i || !t->rule.p[k].items))
            i = t->rule.p[k].v->inst;
    for (uint32_t k = 0; i && k < i->nconfig; k++)
        if (!strcmp(i->config[k].name, "lr"))
            return to_dtype(e, i->config[k].v, NN_f32, i->at);
    return to_tensor(e, v_float(e, 0, true, t->decl->at), NN_f32, t->decl->at);
}

static bool build_step(struct building *w, int64_t batch)
{
    struct elab *e = w->e;
    e->training = true;
    if (!train_run(e, TRAIN_STEP, batch))
        return false;
    for (uint32_t i = 0; i < e->train->loss.n; i++)
        add_output(w, loss_name(e, &e->train->loss.p[i]),
                   to_dtype(e, e->train->loss.p[i].v, NN_f32, e->train->loss.p[i].at));
    e->role = "upd";
    emit_place(e, e->train->decl->at, "lr");
    add_output(w, "lr", learning_rate(e, e->train));
    update_slots(e, w->g);
    emit_place(e, e->train->decl->at, "step");
    ir_id one = ir_const_i(e->b, NN_i64, 1);
    struct ir_update u = {sys_slot(e, SYS_STEP),
                          ir_binary(e->b, IR_add, emit_node_of(e, sys_value(e, SYS_STEP)), one)};
    vec_push(&w->g->updates, u);
    return true;
}

/* Both sides of the metrics come from one walk over the eval graph. `sets`: only what reads exactly
 * these datasets; 0: everything. */
static bool build_eval(struct building *w, int64_t batch, uint64_t sets, struct ir_graph *metrics)
{
    struct elab *e = w->e;
    struct ir_builder into = {.g = metrics};
    if (!train_run(e, TRAIN_EVAL, batch))
        return false;
    bool good = true;
    struct train *t = e->train;
    struct ir_builder *end = metrics ? &into : NULL;
    for (uint32_t i = 0; i < t->loss.n; i++) {
        const struct loss *l = &t->loss.p[i];
        if (!sets || metrics_sets(e, l->v) == sets)
            good = metrics_split(e, w->g, end, loss_name(e, l), NULL, l->v) && good;
    }
    for (uint32_t i = 0; i < t->metric.n; i++) {
        const struct metric *m = &t->metric.p[i];
        if (!sets || metrics_sets(e, m->v) == sets)
            good = metrics_split(e, w->g, end, m->name.s, m, m->v) && good;
    }
    return good;
}

static bool build_init(struct building *w)
{
    struct elab *e = w->e;
    struct module *m;
    e->init = &w->b;
    e->b = NULL;
    e->training = true;
    if (train_decl(e->f, &m))
        return train_run(e, TRAIN_INIT, 0);
    struct inst *i = chosen_inst(e);
    struct model_run r = {0};
    e->training = false;
    return i && model_body(e, i, &r);
}

/* `name`, or name.0, … for a tuple; `named`: its parts by the names that the result type gives. */
static void add_result(struct building *w, val v, const char *name, bool named)
{
    if (v->kind != V_TUPLE) {
        add_output(w, name, v);
        return;
    }
    for (uint32_t i = 0; i < v->list.n; i++) {
        const char *part = named && v->list.name ? v->list.name[i] : NULL;
        add_output(w,
                   part ? arena_printf(w->e->mem, "%s.%s", name, part)
                        : arena_printf(w->e->mem, "%s.%u", name, i),
                   v->list.p[i]);
    }
}

/* What instance k returned last: output; of a further model NAME.output. */
static void add_returned(struct building *w, uint32_t k)
{
    struct elab *e = w->e;
    const struct train *t = e->train;
    const char *name = k ? arena_printf(e->mem, "%s.output", t->name[k]) : "output";
    for (uint32_t i = e->memo.n; i-- > 0;)
        if (e->memo.p[i].inst == t->inst[k]) {
            add_result(w, e->memo.p[i].result, name, false);
            return;
        }
}

static bool build_grad(struct building *w, int64_t batch, bool training)
{
    struct elab *e = w->e;
    e->training = training;
    if (!train_run(e, TRAIN_GRAD, batch))
        return false;
    struct train *t = e->train;
    for (uint32_t i = 0; i < t->loss.n; i++)
        add_output(w, loss_name(e, &t->loss.p[i]), t->loss.p[i].v);
    for (uint32_t i = 0; i < t->ninst; i++)
        add_returned(w, i);
    for (uint32_t i = 0; i < e->params.n; i++) {
        struct param *p = e->params.p[i];
        const char *name =
            arena_printf(e->mem, p->kind == NN_SLOT_PARAM ? "grad.%s" : "state.%s", p->path);
        val now = param_value(e, p, p->at);
        if (p->kind != NN_SLOT_PARAM) {
            add_output(w, name, now);
            continue;
        }
        uint32_t k = 0;
        while (k < t->loss.n && !(t->loss.p[k].models >> p->root & 1))
            k++;
        if (k == t->loss.n)
            continue;
        val g = v_tensor(e, p->dtype, now->t.s, p->at);
        g->t.node = ir_grad(e->b, emit_node_of(e, t->loss.p[k].v), emit_node_of(e, p->first));
        add_output(w, name, g);
    }
    return true;
}

static bool build_forward(struct building *w, const struct front_dim *dim, size_t dims)
{
    struct elab *e = w->e;
    struct model_run r = {0};
    for (size_t i = 0; i < dims; i++)
        vec_push(&e->given, dim[i]);
    struct inst *i = chosen_inst(e);
    if (!i || !model_body(e, i, &r) || !live_entry(e))
        return false;
    add_result(w, r.result, "output", true);
    return !e->failed;
}

static bool build(struct building *w, enum front_graph which, int64_t batch,
                  const struct front_dim *dim, size_t dims)
{
    switch (which) {
    case FRONT_INIT: return build_init(w);
    case FRONT_STEP: return build_step(w, batch);
    case FRONT_EVAL: return build_eval(w, batch, 0, NULL);
    case FRONT_METRICS: BUG("metrics have their own way");
    case FRONT_GRAD:
    case FRONT_GRAD_EVAL: return build_grad(w, batch, which == FRONT_GRAD);
    case FRONT_FORWARD: return build_forward(w, dim, dims);
    }
    BUG("graph kind %d", which);
}

/* All graphs but a model's own and its first values are of the train block. */
static bool has_train(struct front *f, enum front_graph which)
{
    struct module *m;
    if (which == FRONT_FORWARD || which == FRONT_INIT || train_decl(f, &m))
        return true;
    diag_error(f->d, (struct loc){0}, "%s has no `train` block, which says what to compute here",
               f->module.p[0]->path);
    return false;
}

void building_begin(struct building *w, struct front *f, struct ir_module *m, const char *name)
{
    w->e = elab_new(f);
    w->g = ir_graph_loose(m, name);
    w->b = (struct ir_builder){.g = w->g};
    w->e->m = m;
    w->e->b = &w->b;
    for (int k = 0; k < SYS_COUNT; k++)
        sys_slot(w->e, (enum sys)k);
}

/* What the train block says holds for all graphs with contractions that a user may compare. */
struct ir_graph *building_end(struct building *w, struct ir_module *m, bool good)
{
    const char *precision = w->e->f->train.precision;
    if (precision && !w->e->init)
        ir_precision_find(precision, &w->g->precision);
    elab_free(w->e);
    if (!good) {
        ir_graph_free(w->g);
        return NULL;
    }
    vec_push(&m->graphs, w->g);
    return w->g;
}

static bool evaluates(const struct front *f)
{
    bool any = false;
    for (uint32_t i = 0; i < f->train.nfields; i++) {
        const struct front_field *x = &f->train.field[i];
        any = any || x->test.file || x->valid.file || x->test_share > 0 || x->valid_share > 0;
    }
    return any;
}

/* As it evaluates, with nodes: metrics are refused by them. A batch of one sample shows nothing of
 * what samples have to do with each other. */
static bool check_eval(struct front *f)
{
    struct ir_module *m = ir_module_new("check", f->d);
    struct building w;
    building_begin(&w, f, m, "eval");
    bool good = build_eval(&w, f->train.batch == 1 ? 2 : 0, 0, NULL);
    building_end(&w, m, good);
    ir_module_free(m);
    return good;
}

/* The block as it trains, then as it evaluates. */
static bool check_train(struct front *f)
{
    struct module *m;
    f->train_read = true;
    if (!train_decl(f, &m))
        return f->train_good = true;
    struct elab *e = elab_new(f);
    e->training = true;
    bool good = train_run(e, TRAIN_CHECK, 0);
    if (good)
        keep_train(f, e->train);
    elab_free(e);
    return f->train_good = good && (!evaluates(f) || check_eval(f));
}

struct ir_graph *front_build(struct front *f, struct ir_module *m, enum front_graph which,
                             const char *name, int64_t batch, const struct front_dim *dim,
                             size_t dims)
{
    if (!front_check(f) || !has_train(f, which))
        return NULL;
    struct building w;
    building_begin(&w, f, m, name);
    struct ir_graph *metrics = which == FRONT_METRICS ? ir_graph_loose(m, name) : NULL;
    bool good = metrics ? build_eval(&w, batch, 0, metrics) : build(&w, which, batch, dim, dims);
    if (metrics) {
        ir_graph_free(w.g);
        w.g = metrics;
    }
    return building_end(&w, m, good);
}

bool front_apart(struct front *f, const char *name, const struct front_dim *dim, size_t dims,
                 bool report)
{
    struct ir_module *m = ir_module_new("apart", f->d);
    struct building w;
    building_begin(&w, f, m, "forward");
    w.e->apart = name;
    w.e->quiet = !report;
    bool good = build_forward(&w, dim, dims);
    for (uint32_t i = 0; good && i < w.g->outputs.n; i++) {
        ir_id where;
        const char *why = w.e->batch ? samples_apart(w.e, w.g->outputs.p[i].node, &where)
                                     : "no size of the inputs has this name";
        good = !why;
        if (good || !report)
            continue;
        uint32_t origin = w.e->batch ? ir_at(w.g, where)->origin : 0;
        diag_error(f->d, m->origins.p[origin].at, "%s cannot go through %s in parts: %s",
                   w.g->outputs.p[i].name, name, why);
    }
    building_end(&w, m, good);
    ir_module_free(m);
    return good;
}

struct ir_graph *front_build_eval(struct front *f, struct ir_module *m, const char *name,
                                  int64_t batch, uint64_t sets)
{
    if (!front_check(f) || !has_train(f, FRONT_EVAL))
        return NULL;
    struct building w;
    building_begin(&w, f, m, name);
    return building_end(&w, m, build_eval(&w, batch, sets, NULL));
}

static void add_sets(uint64_t *sets, uint32_t *n, uint64_t one)
{
    for (uint32_t i = 0; i < *n; i++)
        if (sets[i] == one)
            return;
    sets[(*n)++] = one;
}

const uint64_t *front_eval_sets(struct front *f, uint32_t *n)
{
    *n = 0;
    if (!front_check(f) || !f->train.present)
        return NULL;
    uint64_t *sets = ARENA_ARRAY(f->mem, uint64_t, f->train.nmetrics + f->train.nlosses);
    if (f->train.nsets == 1) {
        add_sets(sets, n, 1);
        return sets;
    }
    struct ir_module *m = ir_module_new("sets", f->d);
    struct building w;
    building_begin(&w, f, m, "eval");
    bool good = train_run(w.e, TRAIN_EVAL, 0);
    const struct train *t = w.e->train;
    for (uint32_t i = 0; good && i < t->loss.n; i++)
        add_sets(sets, n, metrics_sets(w.e, t->loss.p[i].v));
    for (uint32_t i = 0; good && i < t->metric.n; i++)
        add_sets(sets, n, metrics_sets(w.e, t->metric.p[i].v));
    building_end(&w, m, good);
    ir_module_free(m);
    return good ? sets : NULL;
}

/* ---- a model's signature ---- */

static struct elab *signature(struct front *f)
{
    if (f->model_read)
        return f->model_good ? f->of_model : NULL;
    struct elab *e = f->of_model = elab_new(f);
    struct inst *i = chosen_inst(e);
    struct model_run r = {0};
    f->model_read = true;
    if (!i || !model_body(e, i, &r))
        return NULL;
    f->model_good = true;
    struct front_param *input = ARENA_ARRAY(f->mem, struct front_param, r.ninput);
    for (uint32_t k = 0; k < r.ninput; k++) {
        const struct tree_param *p = &i->decl->fn.input.p[k];
        enum nn_dtype t;
        input[k].name = p->name.s;
        input[k].dtype = ir_dtype_find(p->type->named.name, &t) ? t : NN_DTYPE_COUNT;
        input[k].rank = r.input[k]->t.s.rank;
        for (uint32_t a = 0; a < input[k].rank; a++)
            input[k].dim[a] = v_dim_text(e, r.input[k]->t.s.dim[a]);
    }
    f->model = (struct front_model){i->decl->name.s, r.ninput, input};
    f->model_input = r.input;
    return e;
}

const struct front_model *front_model(struct front *f) { return signature(f) ? &f->model : NULL; }

/* One input axis against its size: 0 fits (perhaps now), 1 not yet, -1 reported. */
static int solve_axis(struct elab *e, const char *input, uint32_t axis, const struct dim *d,
                      int64_t n)
{
    const struct dim *p = dim_subst(e->dims, d);
    struct dim_sym *y[8];
    struct loc nowhere = {0};
    uint32_t free = dim_symbols(e->dims, p, y, COUNT(y));
    int64_t have;
    bool linear;
    if (free > 1)
        return 1;
    if (!free) {
        if (dim_is_const(p, &have) && have == n)
            return 0;
        elab_error(e, nowhere, "input `%s`: axis %u is %lld, but the model takes %s", input, axis,
                   (long long)n, v_dim_text(e, p));
        return -1;
    }
    const struct dim *v = dim_solve(e->dims, p, y[0], dim_const(e->dims, n), &linear);
    if (v && dim_is_const(v, &have) && have >= 1) {
        y[0]->solution = v;
        e->solved++;
        return 0;
    }
    elab_error(e, nowhere, "input `%s`: axis %u is %lld, which is not %s for any `%s`", input, axis,
               (long long)n, v_dim_text(e, p), y[0]->name);
    return -1;
}

static bool solve_inputs(struct elab *e, struct front *f, const int64_t *const *shape,
                         const uint32_t *rank)
{
    for (bool more = true; more;) {
        uint32_t open = 0;
        more = false;
        for (uint32_t k = 0; k < f->model.ninputs; k++) {
            const struct front_param *p = &f->model.input[k];
            if (rank[k] != p->rank) {
                elab_error(e, (struct loc){0}, "input `%s` has %u axes, but the model takes %u",
                           p->name, rank[k], p->rank);
                return false;
            }
            for (uint32_t a = 0; a < p->rank; a++) {
                uint32_t before = e->solved;
                int r = solve_axis(e, p->name, a, f->model_input[k]->t.s.dim[a], shape[k][a]);
                if (r < 0)
                    return false;
                open += r > 0;
                more = more || (r == 0 && before != e->solved);
            }
        }
        if (open && !more) {
            elab_error(e, (struct loc){0}, "the inputs' shapes do not give every size");
            return false;
        }
        if (!open)
            return true;
    }
    return true;
}

static bool entry_checks(struct elab *e)
{
    for (uint32_t i = 0; i < e->entry.n; i++) {
        const struct entry_check *c = &e->entry.p[i];
        int64_t lo, hi;
        if (!dim_is_const(dim_subst(e->dims, c->lo), &lo) ||
            !dim_is_const(dim_subst(e->dims, c->hi), &hi) || lo <= hi)
            continue;
        elab_error(e, c->at, "%s",
                   bound_text(e, c->what, dim_const(e->dims, lo), dim_const(e->dims, hi)));
        return false;
    }
    return true;
}

bool front_solve(struct front *f, const int64_t *const *shape, const uint32_t *rank,
                 struct front_dim *dim, size_t *dims)
{
    struct elab *e = signature(f);
    size_t cap = *dims;
    *dims = 0;
    if (!e)
        return false;
    struct dim_sym *all[32];
    uint32_t n = 0;
    for (uint32_t k = 0; k < f->model.ninputs; k++)
        for (uint32_t a = 0; a < f->model.input[k].rank; a++) {
            struct dim_sym *y[8];
            uint32_t m = dim_symbols(e->dims, f->model_input[k]->t.s.dim[a], y, COUNT(y));
            for (uint32_t i = 0; i < m; i++) {
                bool old = false;
                for (uint32_t o = 0; o < n; o++)
                    old = old || all[o] == y[i];
                if (!old && n < COUNT(all)) {
                    y[i]->solution = NULL;
                    all[n++] = y[i];
                }
            }
        }
    e->reported.n = 0;
    if (!solve_inputs(e, f, shape, rank) || !entry_checks(e))
        return false;
    for (uint32_t i = 0; i < n && *dims < cap; i++) {
        int64_t v = 1;
        if (all[i]->solution)
            dim_is_const(all[i]->solution, &v);
        dim[(*dims)++] = (struct front_dim){all[i]->name, v, false, 0};
    }
    return true;
}
