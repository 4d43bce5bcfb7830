/* Types of signatures: binding dims, packs and dtype variables from values (rule 2), and back from
 * what is wanted (rule 3). The current frame holds the names. */
#include "front/elab.h"

enum config_type type_config(const struct tree_type *t)
{
    static const char *const word[] = {"int", "float", "bool", "str", "dtype", "fn", "layer"};
    if (t->kind == TREE_TYPE_LIST)
        return CONFIG_LIST;
    if (t->kind != TREE_TYPE_NAMED || t->named.shaped)
        return CONFIG_NONE;
    for (size_t i = 0; i < COUNT(word); i++)
        if (!strcmp(t->named.name, word[i]))
            return CONFIG_INT + (enum config_type)i;
    return CONFIG_NONE;
}

static bool is_variable(const char *name) { return name[0] >= 'A' && name[0] <= 'Z' && !name[1]; }

/* In types, a local of the body does not hide a dim of its name, and is no size unless an integer.
 */
static struct binding *type_name(struct elab *e, const char *name)
{
    e->in_type++;
    struct binding *b = env_find(e, name);
    e->in_type--;
    return b && (b->fixed || !v_is_tensor(b->v)) ? b : NULL;
}

/* The dtype that a type's name stands for: NN_DTYPE_COUNT for a variable that is not bound yet. */
static bool type_dtype(struct elab *e, const struct tree_type *t, enum nn_dtype *out)
{
    const char *name = t->named.name;
    if (ir_dtype_find(name, out))
        return true;
    struct binding *b = type_name(e, name);
    if (b && b->v->kind == V_DTYPE) {
        *out = b->v->dtype;
        *b->used = true;
        return true;
    }
    *out = NN_DTYPE_COUNT;
    if (is_variable(name))
        return true;
    static const char *const known[] = {
#define X(n, c, b) #n,
        NN_DTYPES(X)
#undef X
    };
    elab_error(e, t->at, "no dtype `%s`%s", name, elab_suggest(e, name, known, COUNT(known)));
    return false;
}

static const char *source_text(struct elab *e, struct loc at)
{
    size_t size;
    const char *text = diag_file_text(e->d, at.file, &size);
    return arena_strndup(e->mem, text + at.lo, at.hi - at.lo);
}

/* ---- names in dims ---- */

struct fresh { /* a name that this match binds */
    struct dim_sym *sym;
    const char *name;
};
struct equation {
    const struct dim *p, *actual;
    const struct tree_expr *x;
    uint32_t axis;
    const struct match *m;
    bool done;
};
struct solving {
    struct elab *e;
    const char *what;
    VEC(struct fresh) fresh;
    VEC(struct equation) eq;
    bool good;
};

/* What is matched, for messages: fc: `x`; GPT: the result; `y` of a typed binding. */
static const char *subject(const struct solving *s, const struct match *m)
{
    const char *name = m->name ? arena_printf(s->e->mem, "`%s`", m->name) : "the result";
    return s->what ? arena_printf(s->e->mem, "%s: %s", s->what, name) : name;
}

bool name_is_known(struct elab *e, const char *name)
{
    if (type_name(e, name))
        return true;
    struct module *in;
    const struct tree_decl *d = module_decl(e->frame->mod, name, &in);
    return d && d->kind == TREE_CONST;
}

static void add_fresh(struct solving *s, const char *name, struct loc at)
{
    struct elab *e = s->e;
    if (name_is_known(e, name))
        return;
    struct dim_sym *y = dim_symbol(e->dims, name);
    vec_push(&s->fresh, ((struct fresh){y, name}));
    env_fix(e, name, v_int(e, dim_of_symbol(e->dims, y), at), at);
}

static void fresh_names(struct solving *s, const struct tree_expr *x, struct loc at)
{
    switch (x->kind) {
    case TREE_NAME: add_fresh(s, x->name, at); break;
    case TREE_UNARY: fresh_names(s, x->unary.x, at); break;
    case TREE_BINARY:
        fresh_names(s, x->binary.l, at);
        fresh_names(s, x->binary.r, at);
        break;
    default: /* others bind no names */ break;
    }
}

/* A dim's polynomial; NULL after a report. */
static const struct dim *dim_expr(struct elab *e, const struct tree_expr *x)
{
    e->in_type++;
    val v = eval(e, x, NULL);
    e->in_type--;
    int64_t lo, hi;
    if (v->kind == V_INT) {
        dim_range(e->dims, v->i, &lo, &hi);
        if (hi >= 0)
            return v->i;
        if (elab_error(e, x->at, "a size cannot be negative: this is %s", v_dim_text(e, v->i)))
            elab_called(e);
        return NULL;
    }
    if (!v_bad(v))
        elab_error(e, x->at, "a size is an integer, not %s", v_text(e, v));
    return NULL;
}

/* ---- matching one tensor ---- */

/* The other place of a conflict: where the type stands, unless that is the line of the value. */
static void declared_here(struct solving *s, const struct match *m)
{
    struct elab *e = s->e;
    uint32_t column;
    struct loc type = m->type->at;
    if (type.file != m->at.file ||
        diag_line(e->d, type, &column) != diag_line(e->d, m->at, &column))
        diag_note(e->d, type, "declared here");
}

static bool rank_error(struct solving *s, const struct match *m, uint32_t given, bool pack)
{
    struct elab *e = s->e;
    s->good = false;
    if (elab_error(e, m->at, "%s has %u %s, but %s has %s%u", subject(s, m), m->v->t.s.rank,
                   m->v->t.s.rank == 1 ? "axis" : "axes", source_text(e, m->type->at),
                   pack ? "at least " : "", given)) {
        diag_label(e->d, "this is %s", v_text(e, m->v));
        if (m->v->at.file && (m->v->at.lo < m->at.lo || m->v->at.hi > m->at.hi))
            diag_note(e->d, m->v->at, "it is from here");
        declared_here(s, m);
        elab_called(e);
    }
    return false;
}

static bool match_pack(struct solving *s, const struct match *m, const struct tree_item *item,
                       uint32_t first, uint32_t count)
{
    struct elab *e = s->e;
    const struct dim *const *dim = m->v->t.s.dim + first;
    if (item->value->kind != TREE_NAME) {
        elab_error(e, item->at, "`...` in a type is followed by a name");
        return s->good = false;
    }
    struct binding *b = type_name(e, item->value->name);
    if (!b) {
        val *p = ARENA_ARRAY(e->mem, val, count);
        for (uint32_t i = 0; i < count; i++)
            p[i] = v_int(e, dim[i], m->at);
        env_fix(e, item->value->name, v_list(e, V_TUPLE, p, count, m->at), m->at);
        return true;
    }
    if (b->v->kind != V_TUPLE)
        return true;
    bool same = b->v->list.n == count;
    for (uint32_t i = 0; same && i < count; i++)
        same = b->v->list.p[i]->kind == V_INT && b->v->list.p[i]->i == dim[i];
    if (same)
        return true;
    s->good = false;
    const struct dim **have = ARENA_ARRAY(e->mem, const struct dim *, b->v->list.n);
    for (uint32_t i = 0; i < b->v->list.n; i++)
        have[i] = b->v->list.p[i]->i;
    if (elab_error(e, m->at, "the axes `...%s` of %s are %s, but %s before", item->value->name,
                   subject(s, m), count ? v_type_text(e, NN_DTYPE_COUNT, count, dim) + 1 : "none",
                   b->v->list.n ? v_type_text(e, NN_DTYPE_COUNT, b->v->list.n, have) + 1
                                : "none")) {
        diag_label(e->d, "this is %s", v_text(e, m->v));
        if (b->at.file)
            diag_note(e->d, b->at, "`...%s` is bound here", item->value->name);
        elab_called(e);
    }
    return false;
}

static void match_tensor(struct solving *s, const struct match *m)
{
    const struct tree_items *dims = &m->type->named.dims;
    uint32_t rank = m->v->t.s.rank, spread = UINT32_MAX;
    for (uint32_t i = 0; i < dims->n; i++)
        if (dims->p[i].kind == TREE_ITEM_SPREAD)
            spread = i;
    bool pack = spread != UINT32_MAX;
    uint32_t fixed = dims->n - pack;
    if (pack ? rank < fixed : rank != fixed) {
        rank_error(s, m, fixed, pack);
        return;
    }
    uint32_t run = rank - fixed, axis = 0;
    for (uint32_t i = 0; i < dims->n; i++) {
        if (i == spread) {
            match_pack(s, m, &dims->p[i], axis, run);
            axis += run;
            continue;
        }
        const struct tree_expr *x = dims->p[i].value;
        fresh_names(s, x, m->at);
        struct equation q = {NULL, m->v->t.s.dim[axis], x, axis, m, false};
        vec_push(&s->eq, q);
        axis++;
    }
}

static bool dtype_error(struct solving *s, const struct match *m, enum nn_dtype t)
{
    struct elab *e = s->e;
    s->good = false;
    struct binding *b = type_name(e, m->type->named.name);
    if (elab_error(e, m->at, "%s is %s, but %s is wanted", subject(s, m),
                   nn_dtype_name(m->v->t.dtype), nn_dtype_name(t))) {
        diag_label(e->d, "this is %s; write %s(…) to cast it", v_text(e, m->v), nn_dtype_name(t));
        if (b && b->at.file && b->v->kind == V_DTYPE)
            diag_note(e->d, b->at, "`%s` is %s from here", b->name, nn_dtype_name(t));
        else
            declared_here(s, m);
        elab_called(e);
    }
    return false;
}

static void match_dtype(struct solving *s, struct match *m, bool weak_turn)
{
    struct elab *e = s->e;
    enum nn_dtype t;
    if (!type_dtype(e, m->type, &t)) {
        s->good = false;
        return;
    }
    if (t == NN_DTYPE_COUNT && m->v->t.weak && !weak_turn)
        return;
    if (t == NN_DTYPE_COUNT) {
        env_fix(e, m->type->named.name, v_dtype(e, m->v->t.dtype, m->at), m->at);
        vec_last(&e->frame->env).weak = m->v->t.weak;
    } else if (t != m->v->t.dtype && !m->v->t.weak) {
        dtype_error(s, m, t);
    }
}

/* ---- solving ---- */

static void mismatch(struct solving *s, const struct equation *q, const struct dim *p)
{
    struct elab *e = s->e;
    s->good = false;
    const char *text = source_text(e, q->x->at), *value = v_dim_text(e, p);
    bool named = strcmp(text, value) != 0;
    if (!elab_error(e, q->m->at, "%s: axis %u is %s, but %s%s%s is wanted", subject(s, q->m),
                    q->axis, v_dim_text(e, q->actual), named ? text : value, named ? " = " : "",
                    named ? value : ""))
        return;
    diag_label(e->d, "this is %s", v_text(e, q->m->v));
    struct binding *b = q->x->kind == TREE_NAME ? type_name(e, q->x->name) : NULL;
    if (b && b->at.file && (b->at.lo != q->m->at.lo || b->at.file != q->m->at.file))
        diag_note(e->d, b->at, "`%s` is %s from here", b->name, value);
    else
        declared_here(s, q->m);
    elab_called(e);
}

static void unsolved(struct solving *s, const struct equation *q, bool linear)
{
    struct elab *e = s->e;
    s->good = false;
    const char *text = source_text(e, q->x->at);
    if (linear) {
        if (elab_error(e, q->m->at, "%s: axis %u is %s, which is not shown to be %s",
                       subject(s, q->m), q->axis, v_dim_text(e, q->actual), text)) {
            diag_label(e->d, "this is %s", v_text(e, q->m->v));
            declared_here(s, q->m);
            elab_called(e);
        }
    } else if (elab_error(e, q->x->at, "the size %s does not say what its new name is", text)) {
        diag_label(e->d, "a sum or multiple of one new name can be solved: `16*h`, `seq + 1`");
    }
}

/* One equation: true if it is settled (or reported). `lone`: only plain names. */
static bool settle(struct solving *s, struct equation *q, bool lone)
{
    struct elab *e = s->e;
    if (!q->p && !(q->p = dim_expr(e, q->x))) {
        s->good = false;
        return true;
    }
    const struct dim *p = dim_subst(e->dims, q->p);
    struct dim_sym *open = NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->fresh.n; i++)
        if (!s->fresh.p[i].sym->solution && dim_uses(e->dims, p, s->fresh.p[i].sym)) {
            open = s->fresh.p[i].sym;
            n++;
        }
    if (n > 1 || (lone && (!n || q->x->kind != TREE_NAME)))
        return false;
    if (!n) {
        if (p != q->actual)
            mismatch(s, q, p);
        return true;
    }
    bool linear;
    const struct dim *v = dim_solve(e->dims, p, open, q->actual, &linear);
    if (!v)
        unsolved(s, q, linear);
    open->solution = v ? v : dim_const(e->dims, 1);
    return true;
}

static void solve(struct solving *s)
{
    for (int lone = 1; lone >= 0; lone--)
        for (bool more = true; more;) {
            more = false;
            for (uint32_t i = 0; i < s->eq.n; i++)
                if (!s->eq.p[i].done && settle(s, &s->eq.p[i], lone))
                    s->eq.p[i].done = more = true;
        }
    for (uint32_t i = 0; i < s->eq.n; i++)
        if (!s->eq.p[i].done)
            unsolved(s, &s->eq.p[i], false);
    for (uint32_t i = 0; i < s->fresh.n; i++) {
        struct binding *b = type_name(s->e, s->fresh.p[i].name);
        if (b && s->fresh.p[i].sym->solution)
            b->v = v_int(s->e, dim_subst(s->e->dims, s->fresh.p[i].sym->solution), b->at);
    }
}

static bool is_tensor_match(const struct match *m)
{
    return m->type && m->type->kind == TREE_TYPE_NAMED && v_is_tensor(m->v);
}

static bool finish_match(struct solving *s, struct match *m)
{
    struct elab *e = s->e;
    enum nn_dtype t;
    struct shape shape;
    if (!m->type || m->type->kind != TREE_TYPE_NAMED || v_bad(m->v)) {
        m->out = m->v;
        return true;
    }
    if (!v_is_tensor(m->v) && !v_is_number(m->v)) {
        if (elab_error(e, m->at, "%s is a tensor, %s, not %s", subject(s, m),
                       source_text(e, m->type->at), v_text(e, m->v)))
            elab_called(e);
        return false;
    }
    if (v_is_number(m->v)) {
        enum nn_dtype own = m->v->kind == V_FLOAT ? NN_f32 : m->v->kind == V_INT ? NN_i32 : NN_bool;
        if (type_dtype(e, m->type, &t) && t == NN_DTYPE_COUNT)
            env_fix(e, m->type->named.name, v_dtype(e, own, m->at), m->at);
    }
    if (!type_known(e, m->type, &t, &shape))
        return false;
    m->out = to_type(e, m->v, t, shape, m->at, subject(s, m));
    struct binding *b = type_name(e, m->type->named.name);
    if (b && b->weak && v_is_tensor(m->v) && v_is_tensor(m->out))
        m->out->t.weak = m->v->t.weak; /* still takes the other side's dtype */
    return !v_bad(m->out);
}

bool types_match(struct elab *e, struct match *m, uint32_t n, const char *what)
{
    struct solving s = {.e = e, .what = what, .good = true};
    for (int weak = 0; weak < 2; weak++)
        for (uint32_t i = 0; i < n; i++)
            if (is_tensor_match(&m[i]))
                match_dtype(&s, &m[i], weak);
    for (uint32_t i = 0; i < n && s.good; i++)
        if (is_tensor_match(&m[i]))
            match_tensor(&s, &m[i]);
    if (s.good)
        solve(&s);
    for (uint32_t i = 0; i < n && s.good; i++)
        s.good = finish_match(&s, &m[i]) && s.good;
    vec_free(&s.fresh);
    vec_free(&s.eq);
    return s.good;
}

/* ---- types as far as they are known ---- */

static bool names_known(struct elab *e, const struct tree_expr *x, const char **missing)
{
    switch (x->kind) {
    case TREE_NAME:
        if (name_is_known(e, x->name))
            return true;
        *missing = x->name;
        return false;
    case TREE_UNARY: return names_known(e, x->unary.x, missing);
    case TREE_BINARY:
        return names_known(e, x->binary.l, missing) && names_known(e, x->binary.r, missing);
    default: return true;
    }
}

/* Dims into `dim`; the rank, or -1 where a pack is not known (*missing) or there are too many. */
static int known_dims(struct elab *e, const struct tree_type *t, const struct dim **dim,
                      const char **missing, bool *bad)
{
    const struct tree_items *items = &t->named.dims;
    int n = 0;
    for (uint32_t i = 0; i < items->n; i++) {
        const struct tree_item *item = &items->p[i];
        struct binding *b = NULL;
        if (item->kind == TREE_ITEM_SPREAD) {
            const char *name = item->value->kind == TREE_NAME ? item->value->name : "";
            b = type_name(e, name);
            if (!b || b->v->kind != V_TUPLE) {
                *missing = name;
                return -1;
            }
            *b->used = true;
        }
        uint32_t run = b ? b->v->list.n : 1;
        if (n + (int)run > NN_MAX_RANK) {
            elab_error(e, t->at, "a tensor has at most %d axes", NN_MAX_RANK);
            *bad = true;
            return -1;
        }
        for (uint32_t k = 0; b && k < run; k++)
            dim[n++] = b->v->list.p[k]->i;
        if (!b) {
            bool known = names_known(e, item->value, missing);
            dim[n] = known ? dim_expr(e, item->value) : NULL;
            *bad = *bad || (known && !dim[n]);
            n++;
        }
    }
    return n;
}

bool type_want(struct elab *e, const struct tree_type *t, struct want *w)
{
    *w = (struct want){.dtype = NN_DTYPE_COUNT};
    if (!t || t->kind != TREE_TYPE_NAMED || (type_config(t) != CONFIG_NONE))
        return false;
    const struct dim **dim = ARENA_ARRAY(e->mem, const struct dim *, NN_MAX_RANK);
    const char *missing = NULL;
    bool bad = false;
    if (!type_dtype(e, t, &w->dtype))
        return false;
    int n = known_dims(e, t, dim, &missing, &bad);
    w->shaped = n >= 0;
    w->rank = n < 0 ? 0 : (uint32_t)n;
    w->dim = dim;
    return !bad;
}

void type_bind_wanted(struct elab *e, const struct tree_type *t, const struct want *w)
{
    if (!w || !t || t->kind != TREE_TYPE_NAMED || type_config(t) != CONFIG_NONE)
        return;
    enum nn_dtype own;
    if (w->dtype != NN_DTYPE_COUNT && type_dtype(e, t, &own) && own == NN_DTYPE_COUNT)
        env_fix(e, t->named.name, v_dtype(e, w->dtype, t->at), t->at);
    const struct tree_items *items = &t->named.dims;
    uint32_t spread = 0;
    for (uint32_t i = 0; i < items->n; i++)
        spread += items->p[i].kind == TREE_ITEM_SPREAD;
    if (!w->shaped || w->rank + spread < items->n || (!spread && w->rank != items->n))
        return;
    uint32_t run = w->rank + spread - items->n, axis = 0;
    for (uint32_t i = 0; i < items->n; i++) {
        const struct tree_expr *x = items->p[i].value;
        bool pack = items->p[i].kind == TREE_ITEM_SPREAD, whole = true;
        if (x->kind == TREE_NAME && !name_is_known(e, x->name)) {
            val *p = ARENA_ARRAY(e->mem, val, run);
            for (uint32_t k = 0; pack && k < run; k++) {
                whole = whole && w->dim[axis + k];
                p[k] = whole ? v_int(e, w->dim[axis + k], t->at) : NULL;
            }
            if (pack && whole)
                env_fix(e, x->name, v_list(e, V_TUPLE, p, run, t->at), t->at);
            else if (!pack && w->dim[axis])
                env_fix(e, x->name, v_int(e, w->dim[axis], t->at), t->at);
        }
        axis += pack ? run : 1;
    }
}

bool type_known(struct elab *e, const struct tree_type *t, enum nn_dtype *dtype, struct shape *s)
{
    const struct dim *dim[NN_MAX_RANK];
    const char *missing = NULL;
    bool bad = false;
    enum config_type c = type_config(t);
    if (t->kind != TREE_TYPE_NAMED || (c != CONFIG_NONE && c != CONFIG_BOOL)) {
        elab_error(e, t->at, "a tensor's type is wanted here, as in `f32[n, 10]`");
        return false;
    }
    if (!type_dtype(e, t, dtype))
        return false;
    int n = known_dims(e, t, dim, &missing, &bad);
    if (bad)
        return false;
    for (int i = 0; i < n; i++)
        if (!dim[i])
            n = -1;
    if (*dtype == NN_DTYPE_COUNT)
        missing = t->named.name;
    if (missing) {
        if (elab_error(e, t->at, "`%s` is not known here", missing)) {
            if (e->frame->decl)
                diag_label(e->d, "say the type that is wanted, as in `y: f32[n, 3] = …`");
            else
                diag_label(e->d, "a train block gives it a value: `%s = …`", missing);
            elab_called(e);
        }
        return false;
    }
    *s = shape_of(e, (uint32_t)n, dim);
    return true;
}

bool type_symbols(struct elab *e, const struct tree_type *t, enum nn_dtype *dtype, struct shape *s)
{
    struct solving names = {.e = e, .good = true};
    if (t->kind != TREE_TYPE_NAMED || type_config(t) != CONFIG_NONE) {
        elab_error(e, t->at, "a model's input is a tensor");
        return false;
    }
    for (uint32_t i = 0; i < t->named.dims.n; i++) {
        const struct tree_item *item = &t->named.dims.p[i];
        if (item->kind != TREE_ITEM_SPREAD) {
            fresh_names(&names, item->value, item->value->at);
            continue;
        }
        struct binding *b = item->value->kind == TREE_NAME ? type_name(e, item->value->name) : NULL;
        if (!b || b->v->kind != V_TUPLE) {
            elab_error(e, item->at, "a model's input has a fixed number of axes");
            return false;
        }
    }
    for (uint32_t i = 0; i < names.fresh.n; i++) {
        struct dim_sym *y = names.fresh.p[i].sym;
        y->free = true;
        model_dim(e, y);
    }
    vec_free(&names.fresh);
    if (!type_dtype(e, t, dtype))
        return false;
    if (*dtype == NN_DTYPE_COUNT) { /* as -D says, else the letter's usual one */
        val given = front_defined(e, t->named.name, false);
        bool usable = given && given->kind == V_DTYPE;
        *dtype = usable ? given->dtype : t->named.name[0] == 'I' ? NN_i32 : NN_f32;
        env_fix(e, t->named.name, v_dtype(e, *dtype, t->at), t->at);
    }
    return type_known(e, t, dtype, s);
}

/* Free names that `p` leaves open: 1 where there is one and the size gives it. */
static uint32_t open_names(struct elab *e, const struct dim *p, struct dim_sym **open)
{
    struct dim_sym *y[16];
    uint32_t n = dim_symbols(e->dims, p, y, COUNT(y)), left = 0;
    for (uint32_t i = 0; i < n && i < COUNT(y); i++)
        if (y[i]->free && !y[i]->known && !y[i]->solved) {
            *open = y[i];
            left++;
        }
    bool linear = false;
    if (left == 1)
        dim_solve(e->dims, p, *open, dim_const(e->dims, 0), &linear);
    return left == 1 && !linear ? 2 : left;
}

bool types_solvable(struct elab *e, const struct tree_type *const *t, val const *input, uint32_t n)
{
    struct dim_sym *y;
    for (bool more = true; more;) {
        more = false;
        for (uint32_t k = 0; k < n; k++)
            for (uint32_t i = 0; i < input[k]->t.s.rank; i++)
                if (open_names(e, input[k]->t.s.dim[i], &y) == 1)
                    y->solved = more = true;
    }
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t i = 0; i < input[k]->t.s.rank; i++)
            if (open_names(e, input[k]->t.s.dim[i], &y)) {
                struct loc at = t[k]->named.dims.p[i].value->at;
                if (elab_error(e, at, "the size %s does not say what its new name is",
                               source_text(e, at)))
                    diag_label(
                        e->d, "a sum or multiple of one new name can be solved: `16*h`, `seq + 1`");
                return false;
            }
    return true;
}

bool type_names_bound(struct elab *e, const struct tree_type *t)
{
    bool good = true;
    const char *missing;
    for (uint32_t i = 0; t->kind == TREE_TYPE_TUPLE && i < t->tuple.n; i++)
        good = type_names_bound(e, t->tuple.type[i]) && good;
    for (uint32_t i = 0; t->kind == TREE_TYPE_NAMED && i < t->named.dims.n; i++) {
        const struct tree_item *x = &t->named.dims.p[i];
        if (x->kind == TREE_ITEM_SPREAD || names_known(e, x->value, &missing))
            continue;
        good = false;
        if (elab_error(e, x->at, "no input says what `%s` is", missing))
            diag_label(e->d, "a result's size is made of the inputs' names, constants and "
                             "configuration, or the type is left out");
    }
    return good;
}

/* ---- configuration ---- */

static bool config_fits(enum config_type c, val v)
{
    switch (c) {
    case CONFIG_INT: return v->kind == V_INT;
    case CONFIG_FLOAT:
        return v->kind == V_INT || v->kind == V_FLOAT ||
               (v_is_tensor(v) && !v->t.s.rank && v->t.dtype != NN_bool);
    case CONFIG_BOOL: return v->kind == V_BOOL;
    case CONFIG_STR: return v->kind == V_STRING || v->kind == V_NONE;
    case CONFIG_DTYPE: return v->kind == V_DTYPE;
    case CONFIG_FN:
    case CONFIG_LAYER:
        return v->kind == V_FN || v->kind == V_BUILTIN || v->kind == V_DEF || v->kind == V_INST ||
               v->kind == V_LIST || v->kind == V_NONE || v->kind == V_DTYPE;
    case CONFIG_LIST: return v->kind == V_LIST || v->kind == V_TUPLE || v->kind == V_RANGE;
    case CONFIG_NONE: return true;
    }
    BUG("configuration type %d", c);
}

static val as_float(struct elab *e, val v)
{
    if (v_is_tensor(v)) { /* a schedule: takes the dtype of what it works on */
        val w = v_moved(e, nn_is_float(v->t.dtype) ? v : to_dtype(e, v, NN_f32, v->at), v->at);
        w->t.weak = true;
        return w;
    }
    if (v->kind == V_FLOAT)
        return v;
    bool known;
    double d = v_double(e, v, &known);
    val f = v_float(e, d, known, v->at);
    f->f.of_batch = e->batch && dim_uses(e->dims, v->i, e->batch);
    return f;
}

bool type_of_number(const struct tree_type *t, val v)
{
    enum config_type c = type_config(t);
    return c != CONFIG_NONE && !(c == CONFIG_BOOL && v_is_tensor(v));
}

val config_value(struct elab *e, val v, const struct tree_type *t, const char *name, struct loc at)
{
    if (v_bad(v) || !t)
        return v;
    enum config_type c = type_config(t);
    if (!config_fits(c, v)) {
        if (elab_error(e, at, "`%s` is %s %s, not %s", name,
                       strchr("aeiou", source_text(e, t->at)[0]) ? "an" : "a",
                       source_text(e, t->at), v_text(e, v)))
            elab_called(e);
        return v_poison(e);
    }
    if (c == CONFIG_FLOAT)
        return as_float(e, v);
    if (c != CONFIG_LIST)
        return v;
    val *p;
    uint32_t n;
    if (!members(e, v, at, &p, &n))
        return v_poison(e);
    val *q = ARENA_ARRAY(e->mem, val, n);
    for (uint32_t i = 0; i < n; i++) {
        q[i] = config_value(e, p[i], t->list, name, at);
        if (v_bad(q[i]))
            return q[i];
    }
    return v_list(e, V_LIST, q, n, v->at);
}
