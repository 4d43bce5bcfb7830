/* Layers as objects: the names they get, the parameters and states under those names. What lasts is
 * keyed by path: a layer's body runs anew at each application, and finds its parameters again. */
#include "front/elab.h"

val inst_new(struct elab *e, val def, struct binding *config, uint32_t n, struct loc at)
{
    struct inst *i = ARENA_NEW(e->mem, struct inst);
    i->decl = def->def.decl;
    i->mod = def->def.mod;
    i->at = at;
    i->config = arena_dup(e->mem, config ? (const void *)config : "", n * sizeof *config);
    i->nconfig = n;
    val v = v_new(e, V_INST, at);
    v->inst = i;
    return v;
}

/* ---- names ---- */

static const char *join_path(struct elab *e, const char *parent, const char *name)
{
    return intern(e->names, *parent ? arena_printf(e->mem, "%s.%s", parent, name) : name);
}

/* Takes `name` in the running application; false after a report if it is taken. */
static bool take_name(struct elab *e, const char *name, struct inst *i, struct loc at)
{
    struct activation *act = e->frame->act;
    for (uint32_t k = 0; k < act->names.n; k++) {
        const struct named *x = &act->names.p[k];
        if (x->name != name)
            continue;
        if (elab_error(e, at, "two %s under one name: `%s`",
                       i && x->inst   ? "layers"
                       : i || x->inst ? "things, a layer and a parameter,"
                                      : "parameters",
                       name)) {
            diag_note(e->d, x->at, "the first is from here");
            elab_called(e);
        }
        return false;
    }
    vec_push(&act->names, ((struct named){name, i, at}));
    return true;
}

static void name_one(struct elab *e, struct inst *i, const char *name, struct loc at)
{
    if (i->path || i->decl->kind == TREE_OPTIMIZER)
        return;
    struct activation *act = e->frame->act;
    name = intern(e->names, name);
    take_name(e, name, i, at);
    i->path = join_path(e, act->inst->path, name);
    i->root = act->inst->root;
    vec_push(&e->insts, i);
}

static void name_under(struct elab *e, val v, const char *base, struct loc at)
{
    if (v->kind == V_INST)
        name_one(e, v->inst, base, at);
    if (v->kind == V_LIST || v->kind == V_TUPLE)
        for (uint32_t k = 0; k < v->list.n; k++)
            if (v->list.p[k]->kind == V_INST || v->list.p[k]->kind == V_LIST)
                name_under(e, v->list.p[k], arena_printf(e->mem, "%s.%u", base, k), at);
}

void inst_name(struct elab *e, val v, const char *name, struct loc at)
{
    struct activation *act = e->frame->act;
    if (!act || (v->kind != V_INST && v->kind != V_LIST && v->kind != V_TUPLE))
        return;
    const char *base = name;
    for (uint32_t k = 0; k < act->loop.n; k++)
        base = arena_printf(e->mem, "%s.%u", base, act->loop.p[k]);
    name_under(e, v, base, at);
}

void inst_name_unbound(struct elab *e, struct inst *i)
{
    struct activation *act = e->frame->act;
    for (uint32_t k = 0;; k++) {
        const char *name = intern(e->names, arena_printf(e->mem, "%s_%u", i->decl->name.s, k));
        bool taken = false;
        for (uint32_t n = 0; n < act->names.n; n++)
            taken = taken || act->names.p[n].name == name;
        if (!taken) {
            name_one(e, i, name, i->at);
            return;
        }
    }
}

/* ---- parameters ---- */

struct param *param_find(struct elab *e, const char *path)
{
    for (uint32_t i = 0; i < e->params.n; i++)
        if (e->params.p[i]->path == path)
            return e->params.p[i];
    return NULL;
}

static bool same_param(struct elab *e, const struct param *p, enum nn_dtype t, struct shape s)
{
    if (p->dtype == t && shape_equal((struct shape){0, p->rank, NULL, p->dim}, s))
        return true;
    struct loc at = e->frame->call.file ? e->frame->call : e->frame->decl->at;
    if (elab_error(e, at, "`%s` would need other parameters here: %s instead of %s",
                   e->frame->act->inst->path, v_type_text(e, t, s.rank, s.dim),
                   v_type_text(e, p->dtype, p->rank, p->dim))) {
        diag_label(e->d, "for `%s`", p->path);
        diag_note(e->d, p->used, "its first use is here, and made it %s",
                  v_type_text(e, p->dtype, p->rank, p->dim));
    }
    return false;
}

static bool lasting_shape(struct elab *e, const struct tree_stmt *st, struct shape s)
{
    for (uint32_t i = 0; i < s.rank; i++) {
        const struct dim_sym *y = NULL;
        bool batch = e->batch && dim_uses(e->dims, s.dim[i], e->batch);
        if (!batch && !dim_has_free(e->dims, s.dim[i], &y)) {
            int64_t n;
            if (!dim_value(e->dims, s.dim[i], &n) || n >= 0)
                continue;
            elab_error(e, st->var.type ? st->var.type->at : st->at, "axis %u of `%s` is %lld", i,
                       st->var.name.s, (long long)n);
            return false;
        }
        struct loc at = st->var.type ? st->var.type->at : st->at;
        const char *name = batch ? "batch" : y->name;
        if (elab_error(e, at, "the shape of %s `%s` hangs on `%s`, which is free",
                       st->kind == TREE_PARAM ? "param" : "state", st->var.name.s, name)) {
            diag_label(e->d, "its shape is %s: sizes come from configuration and constants",
                       v_type_text(e, NN_DTYPE_COUNT, s.rank, s.dim) + 1);
            elab_called(e);
        }
        return false;
    }
    return true;
}

uint32_t param_slot(struct elab *e, struct param *p)
{
    if (p->slot != UINT32_MAX)
        return p->slot;
    p->slot = ir_slot_find(e->m, p->path);
    if (p->slot != UINT32_MAX)
        return p->slot;
    int64_t *dim = ARENA_ARRAY(e->m->mem, int64_t, p->rank);
    for (uint32_t i = 0; i < p->rank; i++)
        dim[i] = emit_size(e, p->dim[i]);
    struct ir_slot s = {.name = p->path,
                        .dtype = p->dtype,
                        .kind = (uint8_t)p->kind,
                        .rank = p->rank,
                        .dim = dim,
                        .of = p->of ? 1 + p->of->slot : 0};
    return p->slot = ir_slot_add(e->m, s);
}

/* The initial value goes into the init graph while that is being built; a check only looks at it.
 */
static void initial_value(struct elab *e, struct param *p, const struct tree_stmt *st)
{
    if (e->m && !e->init)
        return;
    struct ir_builder *b = e->b;
    bool training = e->training, was = e->initial;
    const char *path = e->initial_path;
    struct want w = {p->dtype, true, p->rank, p->dim};
    struct shape s = {0, p->rank, NULL, p->dim};
    e->b = e->init;
    e->initial = true;
    e->initial_path = p->path;
    emit_origin(e, st->at, "init");
    val v = to_type(e, eval(e, st->var.value, &w), p->dtype, s, st->var.value->at,
                    arena_printf(e->mem, "the initial value of `%s`", st->var.name.s));
    if (e->init && !v_bad(v)) {
        struct ir_update u = {param_slot(e, p), emit_node_of(e, v)};
        vec_push(&e->init->g->updates, u);
    }
    e->b = b;
    e->initial = was;
    e->initial_path = path;
    e->training = training;
}

struct param *param_use(struct elab *e, enum nn_slot_kind kind, const char *name,
                        const struct tree_stmt *st, enum nn_dtype t, struct shape s)
{
    const char *path;
    if (e->optimized) {
        path = join_path(e, e->optimized->path, name);
    } else {
        struct activation *act = e->frame->act;
        const char *full = name;
        for (uint32_t k = 0; k < act->loop.n; k++)
            full = arena_printf(e->mem, "%s.%u", full, act->loop.p[k]);
        full = intern(e->names, full);
        if (!take_name(e, full, NULL, st->var.name.at))
            return NULL;
        path = join_path(e, act->inst->path, full);
    }
    struct param *p = param_find(e, path);
    if (p)
        return same_param(e, p, t, s) ? p : NULL;
    if (!e->optimized && !lasting_shape(e, st, s))
        return NULL;
    p = ARENA_NEW(e->mem, struct param);
    p->path = path;
    p->kind = kind;
    p->dtype = t;
    p->rank = s.rank;
    p->dim = s.dim;
    p->at = st->var.name.at;
    p->used = e->frame->call.file ? e->frame->call : e->frame->decl->at;
    p->root = e->optimized ? e->optimized->root : e->frame->act->inst->root;
    p->of = e->optimized;
    p->slot = UINT32_MAX;
    vec_push(&e->params, p);
    if (e->m)
        param_slot(e, p);
    initial_value(e, p, st);
    return p;
}

val param_value(struct elab *e, struct param *p, struct loc at)
{
    if (!p->now) {
        struct shape s = {0, p->rank, NULL, p->dim};
        p->first = v_tensor(e, p->dtype, s, p->at);
        p->first->t.init = false;
        if (e->b) {
            const struct dim **dims;
            struct ir_axis *ax = emit_axes(e, &s, &dims);
            struct ir_node n = {.op = IR_slot,
                                .dtype = (uint8_t)p->dtype,
                                .nd = (uint16_t)p->rank,
                                .dom = ax,
                                .attr.i = param_slot(e, p)};
            bool inlined = e->b->inlined;
            e->b->inlined = false;
            uint32_t origin = e->b->origin;
            emit_place(e, at, p->path);
            p->first->t.node = emit_append(e, &n, dims);
            e->b->inlined = inlined;
            e->b->origin = origin;
        }
        p->now = p->first;
    }
    return p->now;
}

void param_set(struct elab *e, struct param *p, val v)
{
    param_value(e, p, v->at);
    p->now = v;
}

val inst_field(struct elab *e, struct inst *i, const char *name, struct loc at)
{
    for (uint32_t k = 0; k < i->nconfig; k++)
        if (i->config[k].name == name)
            return i->config[k].v;
    if (i->path) {
        const char *path = join_path(e, i->path, name);
        struct param *p = param_find(e, path);
        if (p)
            return param_value(e, p, at);
        for (uint32_t k = e->insts.n; k-- > 0;)
            if (e->insts.p[k]->path == path) {
                val v = v_new(e, V_INST, at);
                v->inst = e->insts.p[k];
                return v;
            }
    }
    const char *seen[128];
    uint32_t n = 0;
    size_t len = i->path ? strlen(i->path) : 0;
    for (uint32_t k = 0; k < e->params.n && n < COUNT(seen) && len; k++)
        if (!strncmp(e->params.p[k]->path, i->path, len) && e->params.p[k]->path[len] == '.')
            seen[n++] = e->params.p[k]->path + len + 1;
    bool used = i->used.file != 0;
    if (elab_error(e, at, used ? "%s has no `%s`%s" : "%s has no `%s` before its first use%s",
                   i->path && *i->path ? i->path : i->decl->name.s, name,
                   used ? elab_suggest(e, name, seen, n) : ""))
        elab_called(e);
    return v_poison(e);
}
