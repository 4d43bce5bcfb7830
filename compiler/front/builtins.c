/* Calling a built-in function: its row's parameters take the arguments, its function checks them.
 */
#include "front/elab.h"

static const struct builtin table[] = {
#define BUILTIN(name, params, fn, sub) {#name, params, builtin_##fn, sub},
#include "front/builtins.def"
#undef BUILTIN
};

const struct builtin *builtin_find(const char *name)
{
    for (size_t i = 0; i < COUNT(table); i++)
        if (!strcmp(table[i].name, name))
            return &table[i];
    return NULL;
}

uint32_t builtin_names(const char **out, uint32_t cap)
{
    uint32_t n = 0;
    for (size_t i = 0; i < COUNT(table) && n < cap; i++)
        out[n++] = table[i].name;
    return n;
}

struct parameter {
    const char *name;
    size_t len;
    bool optional;
};

static uint32_t parameters(const struct builtin *row, struct parameter *p, bool *rest)
{
    uint32_t n = 0;
    *rest = false;
    for (const char *s = row->params; *s;) {
        size_t len = strcspn(s, " ");
        if (*s == '*') {
            *rest = true;
        } else {
            bool optional = s[len - 1] == '?';
            p[n++] = (struct parameter){s, len - optional, optional};
        }
        s += len + (s[len] == ' ');
    }
    return n;
}

static bool named_arg(struct builtin_call *c, const struct parameter *p, uint32_t n,
                      const struct arg *x)
{
    struct elab *e = c->e;
    const char *names[BUILTIN_MAX_ARGS];
    for (uint32_t k = 0; k < n; k++) {
        names[k] = arena_strndup(e->mem, p[k].name, p[k].len);
        if (strcmp(names[k], x->name))
            continue;
        if (c->arg[k]) {
            elab_error(e, x->at, "%s: `%s` is given twice", c->row->name, x->name);
            return false;
        }
        c->arg[k] = x->v;
        c->arg_at[k] = x->at;
        return true;
    }
    if (elab_error(e, x->at, "%s has no parameter `%s`%s", c->row->name, x->name,
                   elab_suggest(e, x->name, names, n)))
        elab_called(e);
    return false;
}

static bool place(struct builtin_call *c, const struct args *a)
{
    struct elab *e = c->e;
    struct parameter p[BUILTIN_MAX_ARGS];
    bool rest;
    uint32_t n = parameters(c->row, p, &rest), next = 0;
    c->rest = ARENA_ARRAY(e->mem, val, a->v.n);
    for (uint32_t i = 0; i < a->v.n; i++) {
        const struct arg *x = &a->v.p[i];
        if (x->name) {
            if (!named_arg(c, p, n, x))
                return false;
            continue;
        }
        /* where `*` follows, what may be left out is given by name only */
        while (rest && next < n && p[next].optional)
            next++;
        if (next < n && !c->arg[next]) {
            c->arg[next] = x->v;
            c->arg_at[next++] = x->at;
        } else if (rest) {
            c->rest[c->nrest++] = x->v;
        } else {
            if (elab_error(e, x->at, "%s takes at most %u argument%s", c->row->name, n,
                           n == 1 ? "" : "s"))
                elab_called(e);
            return false;
        }
    }
    for (uint32_t k = 0; k < n; k++)
        if (!c->arg[k] && !p[k].optional) {
            if (elab_error(e, a->at, "%s needs an argument for `%.*s`", c->row->name, (int)p[k].len,
                           p[k].name))
                elab_called(e);
            return false;
        }
    return true;
}

val builtin_call(struct elab *e, const struct builtin *row, struct args *a, const struct want *w)
{
    struct builtin_call c = {.e = e, .row = row, .at = a->at, .want = w};
    if (a->bad || !place(&c, a))
        return v_poison(e);
    for (uint32_t i = 0; i < BUILTIN_MAX_ARGS; i++)
        if (c.arg[i] && c.arg[i]->kind == V_NONE)
            c.arg[i] = NULL;
    emit_origin(e, a->at, row->name);
    return row->run(&c);
}

/* ---- argument checks ---- */

static bool complain(struct builtin_call *c, uint32_t i, const char *wanted)
{
    struct elab *e = c->e;
    struct loc at = c->arg[i] ? c->arg_at[i] : c->at;
    if (elab_error(e, at, "%s: %s is wanted here, not %s", c->row->name, wanted,
                   c->arg[i] ? v_text(e, c->arg[i]) : "none"))
        elab_called(e);
    return false;
}

bool want_tensor(struct builtin_call *c, uint32_t i, val *out)
{
    if (!c->arg[i] || (!v_is_tensor(c->arg[i]) && !v_is_number(c->arg[i])))
        return complain(c, i, "a tensor");
    *out = to_tensor(c->e, c->arg[i], NN_DTYPE_COUNT, c->arg_at[i]);
    if (v_bad(*out))
        return false;
    emit_node_of(c->e, *out);
    return true;
}

bool want_int(struct builtin_call *c, uint32_t i, int64_t *out)
{
    if (!c->arg[i])
        return true; /* left out: the caller's default stays */
    return v_is_const_int(c->arg[i], out) || complain(c, i, "an integer known at compile time");
}

bool want_dtype(struct builtin_call *c, uint32_t i, enum nn_dtype *out)
{
    if (!c->arg[i])
        return true;
    if (c->arg[i]->kind != V_DTYPE)
        return complain(c, i, "a dtype");
    *out = c->arg[i]->dtype;
    return true;
}

bool want_axis(struct elab *e, val v, uint32_t rank, struct loc at, const char *what, uint32_t *out)
{
    int64_t i;
    if (!v_is_const_int(v, &i)) {
        if (!v_bad(v) &&
            elab_error(e, at, "%s: an axis is an integer known at compile time, not %s", what,
                       v_text(e, v)))
            elab_called(e);
        return false;
    }
    if (i < -(int64_t)rank || i >= (int64_t)rank) {
        if (elab_error(e, at, "%s: there is no axis %lld in a tensor of rank %u", what,
                       (long long)i, rank))
            elab_called(e);
        return false;
    }
    *out = (uint32_t)(i < 0 ? i + rank : i);
    return true;
}

bool want_axes(struct elab *e, val v, uint32_t rank, struct loc at, const char *what, bool *fold)
{
    val *p = &v;
    uint32_t n = 1, axis;
    if (!v) {
        memset(fold, true, rank);
        return true;
    }
    if ((v->kind == V_TUPLE || v->kind == V_LIST || v->kind == V_RANGE) &&
        !members(e, v, at, &p, &n))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (!want_axis(e, p[i], rank, at, what, &axis))
            return false;
        if (fold[axis]) {
            if (elab_error(e, at, "%s: axis %u is named twice", what, axis))
                elab_called(e);
            return false;
        }
        fold[axis] = true;
    }
    return true;
}

int want_dims(struct elab *e, val const *p, uint32_t n, struct loc at, const char *what, bool minus,
              const struct dim **out)
{
    val *q;
    uint32_t m, open = 0;
    int64_t i;
    if (n == 1 && (p[0]->kind == V_TUPLE || p[0]->kind == V_LIST)) {
        if (!members(e, p[0], at, &q, &m))
            return -1;
        p = q;
        n = m;
    }
    if (n > NN_MAX_RANK) {
        elab_error(e, at, "%s: a tensor has at most %d axes", what, NN_MAX_RANK);
        return -1;
    }
    for (uint32_t k = 0; k < n; k++) {
        if (p[k]->kind != V_INT) {
            if (!v_bad(p[k]) &&
                elab_error(e, at, "%s: a size is an integer, not %s", what, v_text(e, p[k])))
                elab_called(e);
            return -1;
        }
        out[k] = p[k]->i;
        if (minus && dim_is_const(p[k]->i, &i) && i == -1) {
            out[k] = NULL;
            open++;
        } else if (!require_le(e, dim_const(e->dims, 0), p[k]->i, at, BOUND_SIZE)) {
            return -1;
        }
    }
    if (open > 1) {
        if (elab_error(e, at, "%s: one size at most is -1", what))
            elab_called(e);
        return -1;
    }
    return (int)n;
}

val builtin_len(struct builtin_call *c)
{
    val v = c->arg[0], *p;
    uint32_t n;
    if (v && v_is_tensor(v) && v->t.s.rank)
        return v_int(c->e, v->t.s.dim[0], c->at);
    if (!v || !members(c->e, v, c->at, &p, &n))
        return v_poison(c->e);
    return v_number(c->e, n, c->at);
}
