/* Values: making them, and saying what they are in messages. */
#include "front/elab.h"

val v_new(struct elab *e, enum value_kind k, struct loc at)
{
    val v = ARENA_NEW(e->mem, struct value);
    v->kind = k;
    v->at = at;
    return v;
}

val v_poison(struct elab *e) { return v_new(e, V_POISON, (struct loc){0}); }

val v_none(struct elab *e, struct loc at) { return v_new(e, V_NONE, at); }

val v_int(struct elab *e, const struct dim *i, struct loc at)
{
    if (dims_overflow(e->dims)) {
        elab_error(e, at, "this size does not fit in 64 bits");
        return v_poison(e);
    }
    val v = v_new(e, V_INT, at);
    v->i = i;
    return v;
}

val v_number(struct elab *e, int64_t i, struct loc at)
{
    return v_int(e, dim_const(e->dims, i), at);
}

val v_float(struct elab *e, double f, bool known, struct loc at)
{
    val v = v_new(e, V_FLOAT, at);
    v->f.v = f;
    v->f.known = known;
    return v;
}

val v_bool(struct elab *e, bool b, bool known, struct loc at)
{
    val v = v_new(e, V_BOOL, at);
    v->b.v = b;
    v->b.known = known;
    return v;
}

val v_string(struct elab *e, const char *s, struct loc at)
{
    val v = v_new(e, V_STRING, at);
    v->string = s;
    return v;
}

val v_dtype(struct elab *e, enum nn_dtype t, struct loc at)
{
    val v = v_new(e, V_DTYPE, at);
    v->dtype = t;
    return v;
}

val v_list(struct elab *e, enum value_kind k, val const *p, uint32_t n, struct loc at)
{
    val v = v_new(e, k, at);
    v->list.n = n;
    v->list.p = arena_dup(e->mem, p, n * sizeof *p);
    return v;
}

val v_tensor(struct elab *e, enum nn_dtype t, struct shape s, struct loc at)
{
    val v = v_new(e, V_TENSOR, at);
    v->t.dtype = t;
    v->t.s = s;
    v->t.init = e->initial;
    return v;
}

val v_moved(struct elab *e, val v, struct loc at)
{
    val c = arena_dup(e->mem, v, sizeof *v);
    c->at = at;
    return c;
}

bool v_is_const_int(val v, int64_t *i) { return v->kind == V_INT && dim_is_const(v->i, i); }

double v_double(struct elab *e, val v, bool *known)
{
    int64_t i = 0;
    *known = true;
    switch (v->kind) {
    case V_INT: *known = dim_value(e->dims, v->i, &i); return (double)i;
    case V_FLOAT: *known = v->f.known; return v->f.v;
    case V_BOOL: *known = v->b.known; return v->b.v;
    default: /* the caller asks for numbers only */ *known = false; return 0;
    }
}

const char *v_dim_text(struct elab *e, const struct dim *d)
{
    struct text t = {0};
    dim_print(e->dims, d, &t);
    const char *s = arena_strndup(e->mem, t.p, t.n);
    text_free(&t);
    return s;
}

const char *v_type_text(struct elab *e, enum nn_dtype dtype, uint32_t rank,
                        const struct dim *const *dim)
{
    struct text t = {0};
    text_printf(&t, "%s", dtype == NN_DTYPE_COUNT ? "T" : nn_dtype_name(dtype));
    for (uint32_t i = 0; i < rank; i++)
        text_printf(&t, "%s%s", i ? ", " : "[", dim[i] ? v_dim_text(e, dim[i]) : "?");
    text_printf(&t, "%s", rank ? "]" : "");
    const char *s = arena_strndup(e->mem, t.p, t.n);
    text_free(&t);
    return s;
}

static const char *list_text(struct elab *e, val v)
{
    struct text t = {0};
    const char *word = v->kind == V_LIST ? "list" : "tuple";
    text_printf(&t, v->list.n ? "a %s of %u" : "an empty %s", word, v->list.n);
    const char *s = arena_strndup(e->mem, t.p, t.n);
    text_free(&t);
    return s;
}

static const char *decl_text(struct elab *e, const struct tree_decl *d)
{
    static const char *const word[] = {"a module",    "the constant", "the function",
                                       "the layer",   "the model",    "the optimizer",
                                       "the dataset", "a train block"};
    return arena_printf(e->mem, "%s %s", word[d->kind], d->name.s ? d->name.s : "");
}

const char *v_text(struct elab *e, val v)
{
    switch (v->kind) {
    case V_POISON: return "a value that is in error";
    case V_NONE: return "none";
    case V_TENSOR: return v_type_text(e, v->t.dtype, v->t.s.rank, v->t.s.dim);
    case V_INT: return arena_printf(e->mem, "the number %s", v_dim_text(e, v->i));
    case V_FLOAT: return v->f.known ? arena_printf(e->mem, "the number %g", v->f.v) : "a number";
    case V_BOOL: return !v->b.known ? "a bool" : v->b.v ? "true" : "false";
    case V_STRING: return arena_printf(e->mem, "the string \"%s\"", v->string);
    case V_DTYPE: return arena_printf(e->mem, "the dtype %s", nn_dtype_name(v->dtype));
    case V_LIST:
    case V_TUPLE: return list_text(e, v);
    case V_RANGE:
        return arena_printf(e->mem, "the range %s..%s", v_dim_text(e, v->range.lo),
                            v_dim_text(e, v->range.hi));
    case V_FN:
    case V_DEF: return decl_text(e, v->def.decl);
    case V_INST:
        return arena_printf(e->mem, "%s %s",
                            v->inst->decl->kind == TREE_OPTIMIZER ? "an optimizer" : "a layer",
                            v->inst->decl->name.s);
    case V_BUILTIN: return arena_printf(e->mem, "the function %s", v->builtin->name);
    case V_MODULE: return arena_printf(e->mem, "the module %s", v->module->name);
    case V_DATASET: return arena_printf(e->mem, "the dataset %s", v->dataset.s);
    }
    BUG("value kind %d", v->kind);
}
