/* The train block: its models and datasets, settings, losses, optimizers, metrics. Bindings and
 * optimizers are computed in order; then each loss with the names as they stood at its place, so
 * that it sees the updates before it; then the metrics. */
#include "common.h"
#include "front/elab.h"

static const char *const settings[] = {"batch", "epochs",     "steps",     "seed",     "shuffle",
                                       "clip",  "accumulate", "precision", "evaluate", "save",
                                       "best",  "loss",       "optimizer"};

const struct tree_decl *train_decl(struct front *f, struct module **m)
{
    *m = f->module.p[0];
    for (uint32_t i = 0; i < (*m)->tree->decls.n; i++)
        if ((*m)->tree->decls.p[i]->kind == TREE_TRAIN)
            return (*m)->tree->decls.p[i];
    return NULL;
}

void train_free(struct train *t)
{
    if (!t)
        return;
    vec_free(&t->field);
    vec_free(&t->loss);
    vec_free(&t->rule);
    vec_free(&t->metric);
    free(t);
}

const char *root_name(const struct train *t, uint32_t root) { return t->name[root]; }

void train_limit(struct elab *e, struct field_mark of, const struct dim *n)
{
    int64_t v;
    if (!e->train || of.field > e->train->field.n || !dim_value(e->dims, n, &v) || v < 1)
        return;
    struct front_field *f = &e->train->field.p[of.field - 1].out;
    bool spares = of.how == MARK_SPARED;
    if (!f->limit) {
        f->spares = spares;
        f->spare = spares ? of.value : 0;
    } else if (!spares || f->spare != of.value) { /* one of the uses does not spare it */
        f->spares = false;
    }
    if (!f->limit || v < f->limit)
        f->limit = v;
}

struct field_mark mark_moved(struct elab *e, struct field_mark of, uint64_t how)
{
    of.stamp = how ? nn_mix(of.stamp, how) : ++e->stamps;
    return of;
}

/* ---- the models ---- */

static bool add_model(struct elab *e, struct train *t, const struct tree_item *x)
{
    val v = eval(e, x->value, NULL);
    if (v->kind == V_DEF) {
        struct args none = {.at = x->value->at};
        v = call_value(e, v, &none, NULL);
    }
    if (v_bad(v))
        return false;
    if (v->kind != V_INST || v->inst->decl->kind != TREE_MODEL) {
        elab_error(e, x->value->at, "`train` takes models, not %s", v_text(e, v));
        return false;
    }
    const char *name = x->kind == TREE_ITEM_NAMED ? x->name.s : v->inst->decl->name.s;
    for (uint32_t i = 0; i < t->ninst; i++)
        if (t->name[i] == name) {
            elab_error(e, x->at,
                       "two models are called `%s`: name them, as in `train a = %s, b = %s`", name,
                       name, name);
            return false;
        }
    v->inst->is_root = true;
    v->inst->root = t->ninst;
    v->inst->path = t->decl->train.models.n == 1 ? "" : name;
    t->name[t->ninst] = name;
    t->inst[t->ninst++] = v->inst;
    vec_push(&e->insts, v->inst);
    env_bind(e, name, v, x->at);
    return true;
}

bool train_models(struct elab *e, struct train *t)
{
    const struct tree_items *models = &t->decl->train.models;
    bool good = true;
    t->inst = ARENA_ARRAY(e->mem, struct inst *, models->n);
    t->name = ARENA_ARRAY(e->mem, const char *, models->n);
    if (models->n > 64) {
        elab_error(e, t->decl->at, "a train block takes at most 64 models");
        return false;
    }
    for (uint32_t i = 0; i < models->n; i++)
        good = add_model(e, t, &models->p[i]) && good;
    return good;
}

/* ---- the datasets ---- */

static const struct tree_decl *dataset_named(struct elab *e, struct train *t, struct tree_name name,
                                             struct module **in)
{
    const struct tree_decl *d = module_decl(t->mod, name.s, in);
    if (d && d->kind == TREE_DATASET)
        return d;
    const char *names[256];
    uint32_t n = 0;
    for (uint32_t k = 0; k < e->f->module.n; k++)
        for (uint32_t i = 0; i < e->f->module.p[k]->tree->decls.n && n < COUNT(names); i++)
            if (e->f->module.p[k]->tree->decls.p[i]->kind == TREE_DATASET)
                names[n++] = e->f->module.p[k]->tree->decls.p[i]->name.s;
    elab_error(e, name.at, d ? "`%s` is no dataset%s" : "no dataset `%s`%s", name.s,
               elab_suggest(e, name.s, names, n));
    return NULL;
}

/* image, and a.image by the dataset's name. */
static void bind_fields(struct elab *e, struct train *t, uint32_t from, struct tree_name alias)
{
    uint32_t n = t->field.n - from;
    val *p = ARENA_ARRAY(e->mem, val, n);
    val v = NULL;
    const char **name = ARENA_ARRAY(e->mem, const char *, n);
    for (uint32_t i = 0; i < n; i++) {
        struct field *f = &t->field.p[from + i];
        p[i] = f->v;
        name[i] = f->out.own;
        if (!env_find(e, name[i]))
            env_bind(e, name[i], f->v, f->out.at);
    }
    v = v_list(e, V_TUPLE, p, n, alias.at);
    v->list.name = name;
    if (!env_find(e, alias.s))
        env_bind(e, alias.s, v, alias.at);
}

static bool train_datasets(struct elab *e, struct train *t)
{
    const struct tree_names *sets = &t->decl->train.datasets;
    bool good = true;
    const char **name = ARENA_ARRAY(e->f->mem, const char *, sets->n);
    t->out.set = name;
    t->out.nsets = sets->n;
    if (sets->n > 64) {
        elab_error(e, sets->p[64].at, "a train block takes at most 64 datasets");
        return false;
    }
    for (uint32_t i = 0; i < sets->n; i++) {
        name[i] = sets->p[i].s;
        for (uint32_t k = 0; k < i; k++)
            if (name[k] == name[i]) {
                elab_error(e, sets->p[i].at, "the dataset `%s` is named twice", name[i]);
                return false;
            }
        struct module *in;
        const struct tree_decl *d = dataset_named(e, t, sets->p[i], &in);
        uint32_t from = t->field.n;
        if (!d || !dataset_fields(e, t, d, in, sets->n > 1 ? sets->p[i].s : NULL)) {
            good = false;
            continue;
        }
        for (uint32_t k = from; k < t->field.n; k++)
            t->field.p[k].out.set = i;
        bind_fields(e, t, from, sets->p[i]);
    }
    return good;
}

static bool dataset_leaves_free(struct elab *e, struct train *t, const char *name)
{
    for (uint32_t i = 0; i < t->decl->train.datasets.n; i++) {
        struct module *in;
        const struct tree_decl *d = module_decl(t->mod, t->decl->train.datasets.p[i].s, &in);
        if (d && d->kind == TREE_DATASET && dataset_free_name(e, d, in, name))
            return true;
    }
    return false;
}

/* ---- settings ---- */

static bool is_setting(const char *name)
{
    for (size_t i = 0; i < COUNT(settings); i++)
        if (!strcmp(settings[i], name))
            return true;
    return false;
}

static bool whole(struct elab *e, const struct tree_stmt *s, val v, int64_t least, int64_t *out)
{
    if (v_is_const_int(v, out) && *out >= least)
        return true;
    if (!v_bad(v))
        elab_error(e, s->bind.value->at, "`%s` is an integer of %lld or more, not %s",
                   s->bind.targets.p[0].s, (long long)least, v_text(e, v));
    return false;
}

static bool set_shuffle(struct elab *e, struct train *t, const struct tree_stmt *s, val v)
{
    if (v->kind == V_BOOL && v->b.known) {
        t->out.shuffle = v->b.v;
        return true;
    }
    if (!v_bad(v))
        elab_error(e, s->bind.value->at, "`shuffle` is true or false, not %s", v_text(e, v));
    return false;
}

static bool set_clip(struct elab *e, struct train *t, const struct tree_stmt *s, val v)
{
    bool known = false;
    t->clip = v_is_number(v) ? v_double(e, v, &known) : 0;
    if (known && t->clip > 0)
        return true;
    if (!v_bad(v))
        elab_error(e, s->bind.value->at, "`clip` is a number above 0, not %s", v_text(e, v));
    return false;
}

static bool set_precision(struct elab *e, struct train *t, const struct tree_stmt *s)
{
    static const char *const names[] = {"f32", "bf16", "f16", "tf32", "fp16"};
    static const char *const meant[] = {"f32", "bf16", "f16", "tf32", "f16"};
    const struct tree_expr *x = s->bind.value;
    val given = front_defined(e, "precision", true);
    const char *name = given ? given->string : x->kind == TREE_NAME ? x->name : "";
    for (size_t i = 0; i < COUNT(names); i++)
        if (!strcmp(names[i], name)) {
            t->out.precision = meant[i];
            t->out.precision_at = x->at;
            return true;
        }
    elab_error(e, x->at, "`precision` is f32, bf16, f16 (fp16) or tf32%s",
               elab_suggest(e, name, names, COUNT(names)));
    return false;
}

/* A metric's name: maximised, or with a minus minimised; the loss is only minimised. Checked
 * against the metrics at the end. */
static bool set_best(struct elab *e, struct train *t, const struct tree_stmt *s)
{
    const struct tree_expr *x = s->bind.value;
    bool minus = x->kind == TREE_UNARY && x->unary.op == TREE_NEG;
    const struct tree_expr *of = minus ? x->unary.x : x;
    if (of->kind == TREE_NAME && (minus || strcmp(of->name, "loss"))) {
        t->out.best = minus ? arena_printf(e->f->mem, "-%s", of->name) : of->name;
        t->out.best_at = x->at;
        return true;
    }
    elab_error(
        e, x->at,
        "`best` is the name of a metric to maximise, or -NAME of one to minimise; -loss too");
    return false;
}

/* A setting that the command line may replace: --epochs 3, -D batch=64. */
static val setting_value(struct elab *e, struct train *t, const struct tree_stmt *s)
{
    const char *name = s->bind.targets.p[0].s;
    const struct front_options *o = &e->f->o;
    const struct {
        const char *name;
        int64_t v;
    } given[] = {{"batch", t->batch   ? t->batch
                           : o->batch ? o->batch
                                      : -1},
                 {"epochs", o->epochs},
                 {"steps", o->steps},
                 {"seed", o->seed}};
    for (size_t i = 0; i < COUNT(given); i++)
        if (!strcmp(given[i].name, name) && given[i].v >= 0)
            return v_number(e, given[i].v, s->bind.value->at);
    val v = front_defined(e, name, false);
    return v ? v : eval(e, s->bind.value, NULL);
}

static bool setting(struct elab *e, struct train *t, const struct tree_stmt *s)
{
    const char *name = s->bind.targets.p[0].s;
    if (!strcmp(name, "precision"))
        return set_precision(e, t, s);
    if (!strcmp(name, "best"))
        return set_best(e, t, s);
    bool batch = !strcmp(name, "batch"); /* a symbol with a value, known ahead */
    val v = setting_value(e, t, s);
    int64_t known;
    if (batch && !v_bad(v) && (!v_is_const_int(v, &known) || known != t->out.batch))
        elab_error(e, s->bind.value->at, "`batch` is needed before other settings: it is a number");
    if (batch)
        v = v_int(e, dim_of_symbol(e->dims, e->batch), s->bind.value->at);
    struct front_train *o = &t->out;
    bool good = batch                         ? true
                : !strcmp(name, "epochs")     ? whole(e, s, v, 1, &o->epochs)
                : !strcmp(name, "steps")      ? whole(e, s, v, 1, &o->steps)
                : !strcmp(name, "seed")       ? whole(e, s, v, 0, &o->seed)
                : !strcmp(name, "accumulate") ? whole(e, s, v, 1, &o->accumulate)
                : !strcmp(name, "evaluate")   ? whole(e, s, v, 1, &o->evaluate)
                : !strcmp(name, "save")       ? whole(e, s, v, 1, &o->save)
                : !strcmp(name, "shuffle")    ? set_shuffle(e, t, s, v)
                                              : set_clip(e, t, s, v);
    env_bind(e, name, v_bad(v) ? v_poison(e) : v, s->bind.targets.p[0].at);
    *vec_last(&e->frame->env).used = true;
    return good;
}

/* `train M on d`, without the body. */
static struct loc header_at(const struct train *t)
{
    struct loc at = t->decl->at;
    at.hi = t->decl->train.body->at.lo;
    while (at.hi > at.lo + 1 &&
           at.hi > t->decl->train.datasets.p[t->decl->train.datasets.n - 1].at.hi)
        at.hi--;
    return at;
}

/* batch and the names that a dataset leaves free are needed before its fields exist: what is known
 * at compile time without them is computed ahead, and again in its place. */
static void ahead(struct elab *e, struct train *t)
{
    const struct tree_block *b = t->decl->train.body;
    uint32_t env = e->frame->env.n;
    val batch = NULL;
    struct loc at = header_at(t);
    VEC(struct binding) free_names = {0};
    struct look look;
    look_begin(e, &look);
    for (uint32_t i = 0; i < b->n; i++) {
        const struct tree_stmt *s = b->p[i];
        if (s->kind != TREE_BIND || s->bind.targets.n != 1 || s->bind.type)
            continue;
        const char *name = s->bind.targets.p[0].s;
        bool is_batch = !strcmp(name, "batch"), is_free = dataset_leaves_free(e, t, name);
        if (!is_batch && !is_free && is_setting(name))
            continue;
        val v = is_batch || is_free ? setting_value(e, t, s) : eval(e, s->bind.value, NULL);
        if (is_batch && !batch) {
            batch = v;
            at = s->bind.value->at;
        }
        if (v->kind != V_INT && v->kind != V_FLOAT && v->kind != V_BOOL && v->kind != V_LIST)
            continue;
        env_bind(e, name, v, s->bind.targets.p[0].at);
        if (is_free)
            vec_push(&free_names, vec_last(&e->frame->env));
    }
    look_end(e, &look);
    e->frame->env.n = env;
    for (uint32_t i = 0; i < free_names.n; i++) {
        *free_names.p[i].used = true;
        vec_push(&e->frame->env, free_names.p[i]);
    }
    vec_free(&free_names);
    if (!batch && (t->batch || e->f->o.batch))
        batch = v_number(e, t->batch ? t->batch : e->f->o.batch, at);
    if (!batch || !v_is_const_int(batch, &t->out.batch) || t->out.batch < 1) {
        if (!batch)
            elab_error(e, at, "the train block needs `batch = …`: how many samples a step takes");
        else if (!v_bad(batch)) /* else its statement reports it */
            elab_error(e, at, "`batch` is an integer of 1 or more");
        t->out.batch = 1;
    }
    e->batch = dim_symbol(e->dims, "batch");
    e->batch->known = true;
    e->batch->value = t->out.batch;
}

/* ---- statements ---- */

static struct env snapshot(struct elab *e)
{
    const struct frame *f = e->frame;
    return (struct env){
        arena_dup(e->mem, f->env.n ? (const void *)f->env.p : "", f->env.n * sizeof *f->env.p),
        f->env.n};
}

static val eval_in(struct elab *e, const struct env *env, const struct tree_expr *x, val loss)
{
    struct frame *f = e->frame;
    struct binding *p = f->env.p;
    uint32_t n = f->env.n, cap = f->env.cap;
    f->env.p = NULL;
    f->env.n = f->env.cap = 0;
    for (uint32_t i = 0; i < env->n; i++)
        vec_push(&f->env, env->p[i]);
    if (loss)
        env_bind(e, intern(e->names, "loss"), loss, loss->at);
    val v = eval(e, x, NULL);
    vec_free(&f->env);
    f->env.p = p;
    f->env.n = n;
    f->env.cap = cap;
    return v;
}

static bool loss_model(struct elab *e, struct train *t, const struct tree_item *x, struct loss *l)
{
    const struct tree_expr *v = x->value;
    int64_t n;
    if (x->kind == TREE_ITEM_NAMED && !strcmp(x->name.s, "every")) {
        val every = eval(e, v, NULL);
        if (v_is_const_int(every, &n) && n >= 1) {
            l->every = n;
            return true;
        }
        elab_error(e, v->at, "`every` is an integer of 1 or more, not %s", v_text(e, every));
        return false;
    }
    for (uint32_t i = 0; x->kind == TREE_ITEM_VALUE && v->kind == TREE_NAME && i < t->ninst; i++)
        if (t->name[i] == v->name) {
            l->models |= (uint64_t)1 << i;
            l->name = l->name ? l->name : t->name[i];
            return true;
        }
    elab_error(e, x->at, "loss[…] names models of this train block, and `every = n`%s",
               v && v->kind == TREE_NAME ? elab_suggest(e, v->name, t->name, t->ninst) : "");
    return false;
}

static bool add_loss(struct elab *e, struct train *t, const struct tree_stmt *s,
                     const struct tree_items *items, const struct tree_expr *value)
{
    struct loss l = {.stmt = s, .value = value, .at = s->at, .every = 1};
    bool good = true;
    for (uint32_t i = 0; items && i < items->n; i++)
        good = loss_model(e, t, &items->p[i], &l) && good;
    if (!l.models)
        l.models = t->ninst == 64 ? UINT64_MAX : ((uint64_t)1 << t->ninst) - 1;
    for (uint32_t i = 0; good && i < t->loss.n; i++)
        if (t->loss.p[i].name == l.name || !t->loss.p[i].name || !l.name) {
            const char *name = l.name ? l.name : t->loss.p[i].name;
            if (elab_error(e, s->at, name ? "two losses train `%s`" : "two losses", name))
                diag_note(e->d, t->loss.p[i].at, "the first is here");
            good = false;
        }
    l.env = snapshot(e);
    vec_push(&t->loss, l);
    return good;
}

static bool add_rule(struct elab *e, struct train *t, const struct tree_items *items,
                     const struct tree_expr *value, struct loc at)
{
    val v = eval(e, value, NULL);
    t->bad_rule = true;
    if (v->kind == V_DEF && v->def.decl->kind == TREE_OPTIMIZER) {
        struct args none = {.at = value->at};
        v = call_value(e, v, &none, NULL);
    }
    if (v_bad(v))
        return false;
    if (v->kind != V_NONE && (v->kind != V_INST || v->inst->decl->kind != TREE_OPTIMIZER)) {
        elab_error(e, value->at, "an optimizer (or none) is wanted here, as in Adam(1e-3), not %s",
                   v_text(e, v));
        return false;
    }
    vec_push(&t->rule, ((struct rule){items, at, v, 0}));
    t->bad_rule = false;
    return true;
}

static bool add_metric(struct elab *e, struct train *t, const struct tree_stmt *s)
{
    struct metric m = {s->var.name, s->var.value, snapshot(e), NULL};
    if (!strcmp(m.name.s, "loss")) {
        elab_error(e, m.name.at, "`loss` is always among the metrics: give this one another name");
        return false;
    }
    for (uint32_t i = 0; i < t->metric.n; i++)
        if (t->metric.p[i].name.s == m.name.s) {
            elab_error(e, m.name.at, "two metrics are called `%s`", m.name.s);
            return false;
        }
    vec_push(&t->metric, m);
    return true;
}

/* A setting that an earlier statement gives already: reports. */
static bool given_twice(struct elab *e, struct train *t, const struct tree_stmt *s)
{
    const struct tree_block *b = t->decl->train.body;
    const char *name = s->bind.targets.p[0].s;
    for (uint32_t i = 0; i < b->n && b->p[i] != s; i++) {
        const struct tree_stmt *o = b->p[i];
        if (o->kind != TREE_BIND || o->bind.targets.n != 1 || o->bind.type ||
            o->bind.targets.p[0].s != name)
            continue;
        if (elab_error(e, s->at, "`%s` is given twice", name))
            diag_note(e->d, o->at, "the first is here");
        return true;
    }
    return false;
}

static bool statement(struct elab *e, struct train *t, const struct tree_stmt *s)
{
    if (s->kind == TREE_METRIC)
        return add_metric(e, t, s);
    if (s->kind == TREE_SET) {
        if (!strcmp(s->set.name.s, "loss"))
            return add_loss(e, t, s, &s->set.items, s->set.value);
        if (!strcmp(s->set.name.s, "optimizer"))
            return add_rule(e, t, &s->set.items, s->set.value, s->at);
        static const char *const names[] = {"loss", "optimizer"};
        elab_error(e, s->set.name.at, "`%s[…] =` is no setting%s", s->set.name.s,
                   elab_suggest(e, s->set.name.s, names, 2));
        return false;
    }
    if (s->kind == TREE_BIND && s->bind.targets.n == 1 && !s->bind.type) {
        const char *name = s->bind.targets.p[0].s;
        if (!strcmp(name, "loss"))
            return add_loss(e, t, s, NULL, s->bind.value);
        bool free_name = dataset_leaves_free(e, t, name);
        if ((is_setting(name) || free_name) && given_twice(e, t, s))
            return false;
        if (!strcmp(name, "optimizer"))
            return add_rule(e, t, NULL, s->bind.value, s->at);
        if (is_setting(name))
            return setting(e, t, s);
        if (free_name) { /* bound ahead; here it is checked, and reads names */
            val v = setting_value(e, t, s);
            int64_t n;
            return whole(e, s, v, 1, &n);
        }
    }
    if (s->kind == TREE_RETURN) {
        elab_error(e, s->at, "`return` stands in a function, layer or model");
        return false;
    }
    stmt_run(e, s);
    return true;
}

/* ---- the whole block ---- */

static bool eval_loss(struct elab *e, struct loss *l)
{
    val v = eval_in(e, &l->env, l->value, NULL);
    l->v = v;
    if (v_bad(v))
        return false;
    if (v_is_tensor(v) && !v->t.s.rank && nn_is_float(v->t.dtype)) {
        emit_node_of(e, v);
        return true;
    }
    if (elab_error(e, l->value->at, "a loss is a float scalar, not %s", v_text(e, v))) {
        if (v_is_tensor(v) && v->t.s.rank)
            diag_label(e->d, "write mean(…) or sum(…) of it");
        elab_called(e);
    }
    l->v = v_poison(e);
    return false;
}

/* `loss` as the metrics read it: a scalar, or loss.G by name. */
static val readable_loss(struct elab *e, struct train *t)
{
    if (t->loss.n == 1 && !t->loss.p[0].name)
        return t->loss.p[0].v;
    val *p = ARENA_ARRAY(e->mem, val, t->loss.n);
    const char **name = ARENA_ARRAY(e->mem, const char *, t->loss.n);
    for (uint32_t i = 0; i < t->loss.n; i++) {
        p[i] = t->loss.p[i].v;
        name[i] = t->loss.p[i].name;
    }
    val v = v_list(e, V_TUPLE, p, t->loss.n, t->decl->at);
    v->list.name = name;
    return v;
}

static bool eval_metric(struct elab *e, struct train *t, struct metric *m)
{
    val v = eval_in(e, &m->env, m->value, readable_loss(e, t));
    v = v_bad(v) ? v : to_tensor(e, v, NN_DTYPE_COUNT, m->value->at);
    m->v = v;
    if (v_bad(v))
        return false;
    emit_node_of(e, v);
    if (!v->t.s.rank) {
        if (v->t.dtype == NN_bool) /* a figure: 1 or 0 */
            m->v = to_dtype(e, v, NN_f64, m->value->at);
        return true;
    }
    if (elab_error(e, m->value->at, "a metric is a scalar, not %s", v_text(e, v)))
        diag_label(e->d, "write mean(…) or sum(…) of it");
    return false;
}

/* Names that nothing reads. */
static bool unread(struct elab *e, struct train *t)
{
    bool good = true;
    const struct tree_block *b = t->decl->train.body;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct tree_stmt *s = b->p[i];
        if (s->kind != TREE_BIND || !s->bind.targets.n)
            continue;
        bool read = false;
        for (uint32_t k = 0; k < s->bind.targets.n; k++) {
            const char *name = s->bind.targets.p[k].s;
            read = read || (s->bind.targets.n == 1 && is_setting(name));
            for (uint32_t n = 0; n < e->frame->env.n && !read; n++)
                read = e->frame->env.p[n].name == name && *e->frame->env.p[n].used;
        }
        if (read)
            continue;
        const char *name = s->bind.targets.p[0].s;
        good = false;
        elab_error(e, s->bind.targets.p[0].at, "nothing reads `%s`%s", name,
                   elab_suggest(e, name, settings, COUNT(settings)));
    }
    return good;
}

static bool complete(struct elab *e, struct train *t)
{
    bool good = true;
    struct loc at = header_at(t);
    if (!t->loss.n)
        good = elab_error(e, at, "the train block needs a `loss`") && false;
    if (!t->rule.n && !t->bad_rule)
        good = elab_error(e, at, "the train block needs an `optimizer`") && false;
    if (t->out.epochs < 0 && t->out.steps < 0)
        good = elab_error(e, at, "the train block needs `epochs` or `steps`") && false;
    bool own = e->f->o.steps < 0 && e->f->o.epochs < 0;
    if (own && t->out.steps >= 0 && t->out.accumulate > t->out.steps)
        good = elab_error(e, at, "no update happens: `accumulate` is %lld and `steps` is %lld",
                          (long long)t->out.accumulate, (long long)t->out.steps) &&
               false;
    for (uint32_t i = 0; i < t->loss.n; i++)
        if (t->loss.p[i].every > 1 && t->out.accumulate > 1)
            good = elab_error(e, t->loss.p[i].at, "`every` and `accumulate` do not go together") &&
                   false;
    if (t->out.best && strcmp(t->out.best, "-loss")) {
        const char *names[64], *best = t->out.best + (*t->out.best == '-');
        bool found = false;
        uint32_t n = 0;
        for (uint32_t i = 0; i < t->metric.n && n < COUNT(names); i++) {
            names[n++] = t->metric.p[i].name.s;
            found = found || !strcmp(t->metric.p[i].name.s, best);
        }
        if (!found)
            good = elab_error(e, t->out.best_at, "no metric `%s`%s", best,
                              elab_suggest(e, best, names, n)) &&
                   false;
    }
    return good;
}

static void override(struct elab *e, struct train *t)
{
    const struct front_options *o = &e->f->o;
    if (o->epochs >= 0) {
        t->out.epochs = o->epochs;
        t->out.steps = -1;
    }
    if (o->steps >= 0) {
        t->out.steps = o->steps;
        t->out.epochs = -1;
    }
    if (o->seed >= 0)
        t->out.seed = o->seed;
    if (t->out.steps >= 0 && t->out.epochs >= 0 && o->epochs < 0 && o->steps < 0)
        elab_error(e, t->decl->at,
                   "`epochs` and `steps` are both given: one says how long to train");
}

static bool run_block(struct elab *e, struct train *t)
{
    bool good = train_models(e, t);
    ahead(e, t);
    if (!train_datasets(e, t) || !good)
        return false;
    for (uint32_t i = 0; i < t->decl->train.body->n; i++)
        good = statement(e, t, t->decl->train.body->p[i]) && good;
    override(e, t);
    bool check = t->mode == TRAIN_CHECK;
    for (uint32_t i = 0; i < t->loss.n; i++) {
        bool sound = eval_loss(e, &t->loss.p[i]);
        if (sound && good && !e->failed && t->rule.n && t->mode != TRAIN_EVAL &&
            t->mode != TRAIN_GRAD)
            update_loss(e, t, &t->loss.p[i]);
        good = good && sound;
    }
    for (uint32_t i = 0; i < t->metric.n && (check || t->mode == TRAIN_EVAL); i++)
        good = eval_metric(e, t, &t->metric.p[i]) && good;
    if (check) {
        good = good && !e->failed && unread(e, t) && unmatched(e, t);
        good = complete(e, t) && good;
    }
    elab_overflow(e, header_at(t));
    return good && !e->failed;
}

bool train_run(struct elab *e, enum train_mode mode, int64_t batch)
{
    struct train *t = xcalloc(1, sizeof *t);
    e->train = t;
    t->mode = mode;
    t->batch = batch;
    t->decl = train_decl(e->f, &t->mod);
    t->out = (struct front_train){.present = true,
                                  .at = t->decl->at,
                                  .epochs = -1,
                                  .steps = -1,
                                  .shuffle = true,
                                  .accumulate = 1};
    struct frame f;
    frame_push(e, &f, t->mod, NULL, (struct loc){0});
    f.act = NULL;
    bool good = run_block(e, t);
    frame_pop(e, &f);
    return good;
}
