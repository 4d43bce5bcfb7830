/* Expressions: names, literals, lists, fields; the rest is dispatched to its file. */
#include "front/elab.h"
#include <math.h>

/* An unrolled GPT-2 of 48 layers takes about 200,000 evaluations. */
enum { MAX_NEST = 4000, MAX_MEMBERS = 65536, MAX_EVALS = 2000000 };

static val special(struct elab *e, const char *name, struct loc at)
{
    enum nn_dtype t;
    if (!strcmp(name, "training"))
        return v_bool(e, e->training, true, at);
    if (!strcmp(name, "step"))
        return sys_value(e, SYS_STEP);
    if (!strcmp(name, "steps"))
        return sys_value(e, SYS_STEPS);
    if (!strcmp(name, "epoch"))
        return sys_epoch(e, at);
    if (!strcmp(name, "none"))
        return v_none(e, at);
    if (!strcmp(name, "pi"))
        return v_float(e, 3.14159265358979323846, true, at);
    if (!strcmp(name, "inf"))
        return v_float(e, (double)INFINITY, true, at);
    if (!strcmp(name, "nan"))
        return v_float(e, (double)NAN, true, at);
    if (ir_dtype_find(name, &t))
        return v_dtype(e, t, at);
    return NULL;
}

static val unknown_name(struct elab *e, const char *name, struct loc at)
{
    static const char *const words[] = {"training", "step", "steps", "epoch", "none", "pi", "inf"};
    const char *seen[1024];
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->frame->env.n && n < COUNT(seen) / 2; i++)
        seen[n++] = e->frame->env.p[i].name;
    for (size_t i = 0; i < COUNT(words); i++)
        seen[n++] = words[i];
    n += module_names(e->frame->mod, seen + n, (uint32_t)COUNT(seen) - n);
    const char *hint = module_std_has(e, e->frame->mod, name)
                           ? "; it is in the standard library: begin the file with `use std`"
                           : elab_suggest(e, name, seen, n);
    if (elab_error(e, at, "no name `%s` here%s", name, hint))
        elab_called(e);
    return v_poison(e);
}

val eval_name(struct elab *e, const char *name, struct loc at)
{
    struct binding *b = env_find(e, name);
    if (b) {
        *b->used = true;
        if (e->initial && v_is_tensor(b->v) && !b->v->t.init) {
            if (elab_error(e, at, "an initial value cannot hang on the tensor `%s`", name))
                elab_called(e);
            return v_poison(e);
        }
        return b->v;
    }
    val v = module_lookup(e, e->frame->mod, name, at);
    if (!v)
        v = special(e, name, at);
    return v ? v : unknown_name(e, name, at);
}

bool members(struct elab *e, val v, struct loc at, val **p, uint32_t *n)
{
    int64_t lo, hi;
    if (v->kind == V_LIST || v->kind == V_TUPLE) {
        *p = v->list.p;
        *n = v->list.n;
        return true;
    }
    if (v->kind != V_RANGE) {
        if (!v_bad(v) &&
            elab_error(e, at, "a list, tuple or range is wanted here, not %s", v_text(e, v)))
            elab_called(e);
        return false;
    }
    if (!dim_is_const(v->range.lo, &lo) || !dim_is_const(v->range.hi, &hi)) {
        if (elab_error(e, at, "%s is not known at compile time", v_text(e, v)))
            elab_called(e);
        return false;
    }
    if (hi > lo && hi - lo > MAX_MEMBERS) {
        elab_error(e, at, "%s has more than %d members", v_text(e, v), MAX_MEMBERS);
        return false;
    }
    *n = hi > lo ? (uint32_t)(hi - lo) : 0;
    *p = ARENA_ARRAY(e->mem, val, *n);
    for (uint32_t i = 0; i < *n; i++)
        (*p)[i] = v_number(e, lo + i, at);
    return true;
}

static val list_expr(struct elab *e, const struct tree_expr *x)
{
    struct args a = {.at = x->at};
    for (uint32_t i = 0; i < x->list.n; i++)
        if (x->list.p[i].kind == TREE_ITEM_NAMED)
            elab_error(e, x->list.p[i].at, "a list's members have no names");
    args_eval(e, &x->list, &a);
    val *p = ARENA_ARRAY(e->mem, val, a.v.n);
    for (uint32_t i = 0; i < a.v.n; i++)
        p[i] = a.v.p[i].v;
    val v = a.bad ? v_poison(e) : v_list(e, V_LIST, p, a.v.n, x->at);
    vec_free(&a.v);
    return v;
}

static val tuple_expr(struct elab *e, const struct tree_expr *x)
{
    val *p = ARENA_ARRAY(e->mem, val, x->tuple.n);
    bool bad = false;
    for (uint32_t i = 0; i < x->tuple.n; i++) {
        p[i] = eval(e, x->tuple.p[i], NULL);
        bad = bad || v_bad(p[i]);
    }
    return bad ? v_poison(e) : v_list(e, V_TUPLE, p, x->tuple.n, x->at);
}

val eval_each(struct elab *e, const struct tree_expr *x)
{
    val over = eval(e, x->each.over, NULL), *p;
    uint32_t n;
    if (v_bad(over) || !members(e, over, x->each.over->at, &p, &n))
        return v_poison(e);
    val *q = ARENA_ARRAY(e->mem, val, n);
    bool bad = false;
    for (uint32_t i = 0; i < n; i++) {
        env_bind(e, x->each.name.s, p[i], x->each.name.at);
        q[i] = eval(e, x->each.value, NULL);
        e->frame->env.n--;
        bad = bad || v_bad(q[i]);
    }
    return bad ? v_poison(e) : v_list(e, V_LIST, q, n, x->at);
}

/* ---- x.name ---- */

static val shape_value(struct elab *e, val x, struct loc at)
{
    val *p = ARENA_ARRAY(e->mem, val, x->t.s.rank);
    for (uint32_t i = 0; i < x->t.s.rank; i++)
        p[i] = v_int(e, x->t.s.dim[i], at);
    return v_list(e, V_TUPLE, p, x->t.s.rank, at);
}

static val tensor_field(struct elab *e, val x, const char *name, struct loc at)
{
    if (!strcmp(name, "shape"))
        return shape_value(e, x, at);
    if (!strcmp(name, "dtype"))
        return v_dtype(e, x->t.dtype, at);
    if (!strcmp(name, "rank"))
        return v_number(e, x->t.s.rank, at);
    if (!strcmp(name, "T")) {
        if (x->t.s.rank < 2) {
            if (elab_error(e, at, ".T swaps the last two axes, but this is %s", v_text(e, x)))
                elab_called(e);
            return v_poison(e);
        }
        return transpose(e, x, x->t.s.rank - 2, x->t.s.rank - 1, at);
    }
    static const char *const fields[] = {"shape", "dtype", "rank", "T"};
    if (elab_error(e, at, "a tensor has no `%s`%s", name,
                   elab_suggest(e, name, fields, COUNT(fields)))) {
        if (builtin_find(name))
            diag_label(e->d, "to call it, write %s(…)", name);
        elab_called(e);
    }
    return v_poison(e);
}

val field_expr(struct elab *e, const struct tree_expr *x)
{
    val of = eval(e, x->field.of, NULL);
    const char *name = x->field.name.s;
    if (v_bad(of))
        return of;
    if (of->kind == V_MODULE)
        return module_member(e, of->module, name, x->field.name.at);
    if (of->kind == V_INST)
        return inst_field(e, of->inst, name, x->at);
    if (v_is_tensor(of))
        return tensor_field(e, of, name, x->at);
    for (uint32_t i = 0; of->kind == V_TUPLE && of->list.name && i < of->list.n; i++)
        if (of->list.name[i] == name) {
            if (of->list.used)
                of->list.used[i] = true;
            return of->list.p[i];
        }
    if (elab_error(e, x->field.name.at, "%s has no `%s`", v_text(e, of), name))
        elab_called(e);
    return v_poison(e);
}

/* ---- dispatch ---- */

/* `and`, `or` on compile-time bools stop at the first that decides. */
static val logic_expr(struct elab *e, const struct tree_expr *x)
{
    bool any = x->binary.op == TREE_OR;
    val l = eval(e, x->binary.l, NULL);
    if (l->kind == V_BOOL && l->b.known && l->b.v == any)
        return l;
    val r = eval(e, x->binary.r, NULL);
    return operate(e, x->binary.op, l, r, x->at);
}

static bool passes_want(enum tree_op op)
{
    return op == TREE_ADD || op == TREE_SUB || op == TREE_MUL || op == TREE_DIV;
}

static val eval_kind(struct elab *e, const struct tree_expr *x, const struct want *w)
{
    switch (x->kind) {
    case TREE_NAME: return eval_name(e, x->name, x->at);
    case TREE_INT: return v_number(e, x->i, x->at);
    case TREE_FLOAT: return v_float(e, x->f, true, x->at);
    case TREE_STRING: return v_string(e, x->string, x->at);
    case TREE_BOOL: return v_bool(e, x->i != 0, true, x->at);
    case TREE_LIST: return list_expr(e, x);
    case TREE_TUPLE: return tuple_expr(e, x);
    case TREE_EACH: return eval_each(e, x);
    case TREE_TENSOR: return tensor_expr(e, x, w);
    case TREE_REDUCE: return reduce_expr(e, x);
    case TREE_CALL: return call_expr(e, x, w);
    case TREE_SUBSCRIPT: return subscript_expr(e, x);
    case TREE_FIELD: return field_expr(e, x);
    case TREE_UNARY: return operate_unary(e, x->unary.op, eval(e, x->unary.x, w), x->at);
    case TREE_BINARY: break;
    case TREE_SCAN: elab_error(e, x->at, "`scan` cannot be compiled yet"); return v_poison(e);
    }
    if (x->binary.op == TREE_PIPE)
        return pipe_expr(e, x, w);
    if (x->binary.op == TREE_AND || x->binary.op == TREE_OR)
        return logic_expr(e, x);
    if (!passes_want(x->binary.op))
        w = NULL;
    val l = eval(e, x->binary.l, w), r = eval(e, x->binary.r, w);
    return operate(e, x->binary.op, l, r, x->at);
}

val eval(struct elab *e, const struct tree_expr *x, const struct want *w)
{
    if (e->nest >= MAX_NEST) {
        elab_error(e, elab_user_loc(e, x->at), "calls and expressions are nested too deeply here");
        return v_poison(e);
    }
    if (e->evals >= MAX_EVALS) {
        if (e->evals++ == MAX_EVALS)
            elab_error(e, elab_user_loc(e, x->at), "the loops unroll to more than can be compiled");
        return v_poison(e);
    }
    e->evals++;
    e->nest++;
    val v = eval_kind(e, x, w);
    e->nest--;
    return v;
}
