/* Exported functions: each stands on its own, like a model, and becomes a graph of its own for `nnc
 * build --kernels`; its gradient another. Sizes, dtypes and configuration come from -D. */
#include "front/elab.h"

struct missing { /* what has no value, as -D wants it: `n=…`, `s=[…]` */
    const char *name[32];
    bool pack[32];
    uint32_t n;
    bool whole; /* a run of axes or a configuration: without it the body means nothing */
};

static void add_missing(struct missing *m, const char *name, bool pack, bool whole)
{
    m->whole |= whole;
    for (uint32_t i = 0; i < m->n; i++)
        if (!strcmp(m->name[i], name))
            return;
    if (m->n == COUNT(m->name))
        return;
    m->pack[m->n] = pack;
    m->name[m->n++] = name;
}

/* ---- names of the signature ---- */

/* A run of axes: a list of sizes, or one. */
static void bind_pack(struct elab *e, const struct tree_item *item, struct missing *m)
{
    if (item->value->kind != TREE_NAME || name_is_known(e, item->value->name))
        return;
    const char *name = item->value->name;
    val v = front_defined(e, name, false), one[1] = {v}, *p = one;
    uint32_t n = 1;
    if (!v) {
        add_missing(m, name, true, true);
        return;
    }
    if (v->kind == V_LIST || v->kind == V_TUPLE) {
        p = v->list.p;
        n = v->list.n;
    }
    for (uint32_t i = 0; i < n; i++) {
        int64_t size;
        if (v_bad(p[i]) || (v_is_const_int(p[i], &size) && size >= 1))
            continue;
        elab_error(e, item->at, "`...%s` is a list of sizes, as in -D %s=[8,128]", name, name);
        return;
    }
    env_fix(e, name, v_list(e, V_TUPLE, p, n, item->at), item->at);
}

static void dim_names(struct elab *e, const struct tree_expr *x, struct missing *m)
{
    switch (x->kind) {
    case TREE_NAME:
        if (!name_is_known(e, x->name) && !front_defined(e, x->name, false))
            add_missing(m, x->name, false, false);
        break;
    case TREE_UNARY: dim_names(e, x->unary.x, m); break;
    case TREE_BINARY:
        dim_names(e, x->binary.l, m);
        dim_names(e, x->binary.r, m);
        break;
    default: /* others bind no names */ break;
    }
}

static void signature_names(struct elab *e, const struct tree_type *t, struct missing *m)
{
    for (uint32_t i = 0; t->kind == TREE_TYPE_NAMED && i < t->named.dims.n; i++) {
        const struct tree_item *item = &t->named.dims.p[i];
        if (item->kind == TREE_ITEM_SPREAD)
            bind_pack(e, item, m);
        else
            dim_names(e, item->value, m);
    }
}

static bool is_config(const struct tree_param *p)
{
    return p->type && type_config(p->type) != CONFIG_NONE;
}

/* From -D; defaults that need no size too. `waits`: those that do. */
static bool bind_config(struct elab *e, const struct tree_param *p, struct missing *m, bool *waits)
{
    val v = front_defined(e, p->name.s, type_config(p->type) == CONFIG_STR);
    if (!v && p->value)
        return bind_default(e, p, false, waits);
    if (!v) {
        add_missing(m, p->name.s, false, true);
        return true;
    }
    v = config_value(e, v, p->type, p->name.s, p->at);
    env_bind(e, p->name.s, v, p->name.at);
    return !v_bad(v);
}

static bool bind_names(struct elab *e, const struct tree_params *p, struct missing *m, bool *waits)
{
    bool good = true;
    for (uint32_t k = 0; k < p->n && good; k++)
        if (is_config(&p->p[k]))
            good = bind_config(e, &p->p[k], m, &waits[k]);
    for (uint32_t k = 0; k < p->n && good; k++)
        if (p->p[k].type && !is_config(&p->p[k]))
            signature_names(e, p->p[k].type, m);
    return good && !e->failed;
}

static void report_missing(struct elab *e, const struct tree_decl *d, const struct missing *m)
{
    struct text names = {0}, options = {0};
    for (uint32_t i = 0; i < m->n; i++) {
        text_printf(&names, "%s`%s`", i ? ", " : "", m->name[i]);
        text_printf(&options, " -D %s=%s", m->name[i], m->pack[i] ? "[…]" : "…");
    }
    if (elab_error(e, d->name.at, "`%s` needs a value for %s", d->name.s, names.p))
        diag_label(e->d, "give it with%s, or with --instance %s:%s=…", options.p, d->name.s,
                   m->name[0]);
    text_free(&names);
    text_free(&options);
}

/* ---- the body ---- */

/* Tensors and tuples of them, with numbers made such. */
static val tensors(struct elab *e, const struct tree_decl *d, val v)
{
    bool tuple = v->kind == V_TUPLE || v->kind == V_LIST, good = true;
    val one[1] = {v}, *p = tuple ? v->list.p : one;
    uint32_t n = tuple ? v->list.n : 1;
    for (uint32_t i = 0; i < n; i++) {
        if (v_is_number(p[i]))
            p[i] = to_tensor(e, p[i], NN_DTYPE_COUNT, d->name.at);
        good = good && v_is_tensor(p[i]);
    }
    if (good && n)
        return tuple ? v : p[0];
    elab_error(e, d->name.at, "an exported function gives a tensor or several: `%s` gives %s",
               d->name.s, v_text(e, v));
    return v_poison(e);
}

/* Inputs as symbols, or (with a builder) as inputs of the graph. False after a report, or where a
 * value is missing without which it cannot go on. */
static bool run_body(struct elab *e, const struct tree_decl *d, struct missing *missing,
                     struct model_run *r)
{
    const struct tree_params *p = &d->fn.input;
    bool *waits = ARENA_ARRAY(e->mem, bool, p->n);
    r->input = ARENA_ARRAY(e->mem, val, p->n);
    if (!bind_names(e, p, missing, waits) || (missing->n && (e->b || missing->whole)))
        return false;
    for (uint32_t k = 0; k < p->n; k++)
        if (!is_config(&p->p[k]))
            model_input(e, &p->p[k], r);
    for (uint32_t k = 0; k < p->n && !e->failed; k++)
        if (waits[k])
            bind_default(e, &p->p[k], true, &waits[k]);
    if (e->failed)
        return false;
    val v = run_function(e, d, NULL, d->name.at);
    r->result = v_bad(v) ? v : tensors(e, d, v);
    elab_overflow(e, d->name.at);
    return !v_bad(r->result) && !e->failed;
}

static bool run(struct elab *e, const struct tree_decl *d, struct missing *missing,
                struct model_run *r)
{
    struct frame fr;
    frame_push(e, &fr, e->f->module.p[0], d, (struct loc){0});
    bool good = run_body(e, d, missing, r);
    frame_pop(e, &fr);
    return good;
}

/* Symbols stand for the sizes; where more than a size is missing there is nothing to check yet. */
bool export_check(struct front *f, const struct tree_decl *d)
{
    struct elab *e = elab_new(f);
    struct model_run r = {0};
    struct missing missing = {0};
    bool good = run(e, d, &missing, &r) || (missing.whole && !e->failed);
    elab_free(e);
    return good;
}

/* ---- graphs ---- */

const struct front_export *front_exports(struct front *f, uint32_t *n)
{
    const struct tree_file *t = f->module.p[0]->tree;
    struct front_export *x = ARENA_ARRAY(f->mem, struct front_export, t->decls.n);
    *n = 0;
    for (uint32_t i = 0; i < t->decls.n; i++) {
        const struct tree_decl *d = t->decls.p[i];
        if (d->kind == TREE_FN && d->fn.exported)
            x[(*n)++] = (struct front_export){d->name.s, d->doc, d->name.at, d};
    }
    return x;
}

/* What result i is called: as its type says, else out, out.0, … */
static const char *result_name(struct elab *e, val result, uint32_t i)
{
    if (result->kind != V_TUPLE)
        return "out";
    const char *given = result->list.name ? result->list.name[i] : NULL;
    return given ? given : arena_printf(e->mem, "out.%u", i);
}

static val const *results(const val *result, uint32_t *n)
{
    bool tuple = (*result)->kind == V_TUPLE;
    *n = tuple ? (*result)->list.n : 1;
    return tuple ? (*result)->list.p : result;
}

/* d_ and the result's name, with as many _ as make it no other input's. */
static const char *cotangent_name(struct building *w, val result, uint32_t i)
{
    const char *name = arena_printf(w->e->mem, "d_%s", result_name(w->e, result, i));
    for (ir_id k = 1; k < w->g->nodes.n; k++)
        if (ir_at(w->g, k)->op == IR_input && !strcmp(ir_at(w->g, k)->name, name)) {
            name = arena_printf(w->e->mem, "%s_", name);
            k = 0;
        }
    return intern(w->g->m->names, name);
}

/* Σ result · cotangent, whose gradients are those wanted; the cotangents become inputs. 0: no
 * result is of a float dtype. */
static ir_id weighted_sum(struct building *w, val result, struct loc at)
{
    struct elab *e = w->e;
    uint32_t n, axes[NN_MAX_RANK];
    val const *p = results(&result, &n);
    ir_id sum = 0;
    for (uint32_t k = 0; k < NN_MAX_RANK; k++)
        axes[k] = k;
    for (uint32_t i = 0; i < n; i++) {
        if (!nn_is_float(p[i]->t.dtype))
            continue;
        val g = v_tensor(e, p[i]->t.dtype, p[i]->t.s, at);
        input_node(e, g, cotangent_name(w, result, i));
        ir_id x = ir_cast(e->b, NN_f32,
                          ir_binary(e->b, IR_mul, emit_node_of(e, p[i]), emit_node_of(e, g)));
        if (g->t.s.rank)
            x = ir_reduce(e->b, IRM_sum, x, g->t.s.rank, axes);
        sum = sum ? ir_binary(e->b, IR_add, sum, x) : x;
    }
    return sum;
}

static bool add_gradients(struct building *w, const struct tree_decl *d, const struct model_run *r)
{
    struct elab *e = w->e;
    ir_id sum = weighted_sum(w, r->result, d->name.at);
    uint32_t k = 0, found = 0;
    for (uint32_t i = 0; sum && i < d->fn.input.n; i++) {
        if (is_config(&d->fn.input.p[i]))
            continue;
        val x = r->input[k++];
        if (!nn_is_float(x->t.dtype))
            continue;
        val g = v_tensor(e, x->t.dtype, x->t.s, x->at);
        g->t.node = ir_grad(e->b, sum, emit_node_of(e, x));
        add_output(w, arena_printf(e->mem, "d_%s", d->fn.input.p[i].name.s), g);
        found++;
    }
    if (found)
        return true;
    diag_warn(e->d, d->name.at, "`%s` has no gradient: no %s of it is of a float dtype",
              d->name.s, sum ? "input" : "result");
    return false;
}

static void add_results(struct building *w, val result)
{
    uint32_t n;
    val const *p = results(&result, &n);
    for (uint32_t i = 0; i < n; i++)
        add_output(w, result_name(w->e, result, i), p[i]);
}

/* The seed and the step: nobody would set them. */
static bool needs_nothing(struct building *w, const struct tree_decl *d)
{
    for (ir_id i = 1; i < w->g->nodes.n; i++)
        if (ir_at(w->g, i)->op == IR_slot) {
            elab_error(
                w->e, d->name.at,
                "an exported function draws no random numbers and knows no `step`: `%s` does",
                d->name.s);
            return false;
        }
    return true;
}

/* The first `own` definitions were meant for this function. */
static bool reads_own(struct elab *e, const struct tree_decl *d, size_t own)
{
    bool good = true;
    for (size_t i = 0; i < own; i++)
        if (!e->f->defined[i]) {
            elab_error(e, d->name.at, "`%s` has no `%s` to set", d->name.s, e->f->o.define[i].name);
            good = false;
        }
    return good;
}

struct ir_graph *front_build_export(struct front *f, struct ir_module *m,
                                    const struct front_export *x, const char *name, size_t own,
                                    bool gradient)
{
    struct building w;
    struct model_run r = {0};
    struct missing missing = {0};
    if (!front_check(f))
        return NULL;
    memset(f->defined, 0, own * sizeof *f->defined);
    building_begin(&w, f, m, name);
    w.e->differentiates = gradient;
    bool good = run(w.e, x->decl, &missing, &r) && reads_own(w.e, x->decl, own);
    if (missing.n)
        report_missing(w.e, x->decl, &missing);
    good = good && needs_nothing(&w, x->decl);
    if (good && gradient)
        good = add_gradients(&w, x->decl, &r);
    else if (good)
        add_results(&w, r.result);
    return building_end(&w, m, good);
}
