/* Index notation: [i, j: value] and sum(k: value). An index is an axis of the nodes that name it;
 * its range is as given, else the axis where it stands alone, else its axis in the wanted result.
 */
#include "front/elab.h"

struct notation {
    struct elab *e;
    const struct tree_expr *x;
    struct index **ix; /* packs opened */
    uint32_t n;
    uint32_t first; /* bindings before the indices' */
};

/* ---- where an index stands alone ---- */

static void scan_expr(struct notation *k, const struct tree_expr *x);

static struct index *index_named(const struct notation *k, const struct tree_expr *x)
{
    if (x->kind != TREE_NAME)
        return NULL;
    struct binding *b = env_find(k->e, x->name);
    struct index *ix = NULL;
    if (!b || !v_is_tensor(b->v) || !b->v->t.form || !form_is_index(b->v->t.form, &ix))
        return NULL;
    for (uint32_t i = 0; i < k->n; i++)
        if (k->ix[i] == ix)
            return ix;
    return NULL;
}

/* The value that is subscripted, looked at without a trace. */
static val peek(struct elab *e, const struct tree_expr *x)
{
    struct look l;
    look_begin(e, &l);
    val v = eval(e, x, NULL);
    look_end(e, &l);
    return v;
}

static void stands_alone(struct elab *e, struct index *ix, const struct dim *n, struct loc at)
{
    if (!ix->n) {
        ix->n = n;
        ix->lone = at;
    } else if (ix->lone.file && ix->n != n &&
               elab_error(e, at, "the index `%s` runs over %s here, but over %s before", ix->name,
                          v_dim_text(e, n), v_dim_text(e, ix->n))) {
        diag_label(e->d, "write `%s < n` to say which", ix->name);
        diag_note(e->d, ix->lone, "it runs over %s here", v_dim_text(e, ix->n));
        elab_called(e);
    }
}

static void scan_subscript(struct notation *k, const struct tree_expr *x)
{
    const struct tree_items *items = &x->call.items;
    bool wanted = false;
    for (uint32_t i = 0; i < items->n; i++) {
        struct index *ix = items->p[i].value ? index_named(k, items->p[i].value) : NULL;
        wanted = wanted || (ix && (!ix->n || ix->lone.file));
    }
    if (!wanted)
        return;
    val v = peek(k->e, x->call.fn);
    if (!v_is_tensor(v))
        return;
    uint32_t axis = 0;
    for (uint32_t i = 0; i < items->n; i++) {
        const struct tree_item *t = &items->p[i];
        if (t->kind == TREE_ITEM_SPREAD) {
            struct binding *b = t->value->kind == TREE_NAME ? env_find(k->e, t->value->name) : NULL;
            axis += b && b->v->kind == V_TUPLE ? b->v->list.n : 0;
        } else if (t->kind == TREE_ITEM_ELLIPSIS) {
            axis = v->t.s.rank + i + 1 - items->n;
        } else {
            struct index *ix = t->value ? index_named(k, t->value) : NULL;
            if (ix && axis < v->t.s.rank)
                stands_alone(k->e, ix, v->t.s.dim[axis], t->at);
            axis++;
        }
    }
}

/* A pack of indices that stands alone: how many axes it has, and their sizes. */
static bool pack_axes(struct elab *e, const struct tree_expr *x, const char *name,
                      const struct dim *const **dim, uint32_t *n)
{
    const struct tree_items *items = &x->call.items;
    for (uint32_t i = 0; i < items->n; i++) {
        const struct tree_item *t = &items->p[i];
        if (t->kind != TREE_ITEM_SPREAD || t->value->kind != TREE_NAME || t->value->name != name)
            continue;
        val v = peek(e, x->call.fn);
        if (!v_is_tensor(v) || v->t.s.rank + 1 < items->n)
            return false;
        *n = v->t.s.rank + 1 - items->n;
        *dim = v->t.s.dim + i;
        return true;
    }
    return false;
}

static bool find_pack(struct elab *e, const struct tree_expr *x, const char *name,
                      const struct dim *const **dim, uint32_t *n)
{
    switch (x->kind) {
    case TREE_SUBSCRIPT:
        if (pack_axes(e, x, name, dim, n))
            return true;
        break;
    case TREE_CALL: break;
    case TREE_TENSOR:
    case TREE_REDUCE: return find_pack(e, x->index.value, name, dim, n);
    case TREE_UNARY: return find_pack(e, x->unary.x, name, dim, n);
    case TREE_BINARY:
        return find_pack(e, x->binary.l, name, dim, n) || find_pack(e, x->binary.r, name, dim, n);
    default: /* the others hold no subscript */ return false;
    }
    if (x->call.fn->kind == TREE_FIELD && find_pack(e, x->call.fn->field.of, name, dim, n))
        return true;
    for (uint32_t i = 0; i < x->call.items.n; i++)
        if (x->call.items.p[i].value && find_pack(e, x->call.items.p[i].value, name, dim, n))
            return true;
    return false;
}

static void scan_items(struct notation *k, const struct tree_items *items)
{
    for (uint32_t i = 0; i < items->n; i++) {
        if (items->p[i].value)
            scan_expr(k, items->p[i].value);
        if (items->p[i].lo)
            scan_expr(k, items->p[i].lo);
        if (items->p[i].hi)
            scan_expr(k, items->p[i].hi);
    }
}

static void scan_expr(struct notation *k, const struct tree_expr *x)
{
    struct elab *e = k->e;
    uint32_t env = e->frame->env.n;
    switch (x->kind) {
    case TREE_SUBSCRIPT:
        scan_subscript(k, x);
        scan_expr(k, x->call.fn);
        scan_items(k, &x->call.items);
        break;
    case TREE_CALL:
        scan_expr(k, x->call.fn);
        scan_items(k, &x->call.items);
        break;
    case TREE_TENSOR:
    case TREE_REDUCE: /* its indices hide ours of the same name */
        for (uint32_t i = 0; i < x->index.indices.n; i++)
            env_bind(e, x->index.indices.p[i].name, v_none(e, x->at), x->at);
        scan_expr(k, x->index.value);
        e->frame->env.n = env;
        break;
    case TREE_FIELD: scan_expr(k, x->field.of); break;
    case TREE_UNARY: scan_expr(k, x->unary.x); break;
    case TREE_BINARY:
        scan_expr(k, x->binary.l);
        scan_expr(k, x->binary.r);
        break;
    case TREE_LIST: scan_items(k, &x->list); break;
    case TREE_TUPLE:
        for (uint32_t i = 0; i < x->tuple.n; i++)
            scan_expr(k, x->tuple.p[i]);
        break;
    case TREE_NAME:
    case TREE_INT:
    case TREE_FLOAT:
    case TREE_STRING:
    case TREE_BOOL:
    case TREE_EACH:
    case TREE_SCAN: break;
    }
}

/* ---- making and binding indices ---- */

static struct index *new_index(struct elab *e, const char *name, const struct dim *n, struct loc at)
{
    struct index *ix = ARENA_NEW(e->mem, struct index);
    ix->name = name;
    ix->id = ++e->indices;
    ix->n = n;
    ix->at = at;
    return ix;
}

static val index_value(struct elab *e, struct index *ix)
{
    struct index **own = arena_dup(e->mem, &ix, sizeof ix);
    val v = v_tensor(e, NN_i32, (struct shape){1, 0, own, NULL}, ix->at);
    v->t.weak = true;
    v->t.form = form_index(e, ix);
    return v;
}

static bool index_limit(struct elab *e, const struct tree_index *t, const struct dim **n)
{
    *n = NULL;
    if (!t->limit)
        return true;
    val v = eval(e, t->limit, NULL);
    if (v->kind == V_INT) {
        *n = v->i;
        return require_le(e, dim_const(e->dims, 0), v->i, t->limit->at, BOUND_SIZE);
    }
    if (!v_bad(v) && elab_error(e, t->limit->at,
                                "an index's range is an integer known at compile "
                                "time, not %s",
                                v_text(e, v)))
        elab_called(e);
    return false;
}

static bool open_pack(struct notation *k, const struct tree_index *t, const struct want *w,
                      uint32_t others)
{
    struct elab *e = k->e;
    const struct dim *const *dim = NULL;
    uint32_t n = 0;
    bool found = find_pack(e, k->x->index.value, t->name, &dim, &n);
    struct binding *b = env_find(e, t->name);
    if (!found && b && b->v->kind == V_TUPLE) {
        const struct dim **d = ARENA_ARRAY(e->mem, const struct dim *, b->v->list.n);
        found = true;
        n = b->v->list.n;
        for (uint32_t i = 0; i < n; i++) {
            found = found && b->v->list.p[i]->kind == V_INT;
            d[i] = found ? b->v->list.p[i]->i : NULL;
        }
        dim = d;
    }
    if (!found && w && w->shaped && w->rank >= others) {
        n = w->rank - others;
        dim = w->dim + k->n;
        found = true;
    }
    if (!found || n > NN_MAX_RANK) {
        elab_error(e, t->at, "`...%s` has no range: it stands alone in no subscript", t->name);
        return false;
    }
    val *p = ARENA_ARRAY(e->mem, val, n);
    for (uint32_t i = 0; i < n; i++) {
        struct index *ix = new_index(e, t->name, dim[i], t->at);
        k->ix[k->n++] = ix;
        p[i] = index_value(e, ix);
    }
    env_bind(e, t->name, v_list(e, V_TUPLE, p, n, t->at), t->at);
    return true;
}

static void want_range(struct notation *k, const struct want *w)
{
    for (uint32_t i = 0; w && w->shaped && w->rank == k->n && i < k->n; i++)
        if (!k->ix[i]->n)
            k->ix[i]->n = w->dim[i];
}

static bool open(struct notation *k, const struct want *w)
{
    struct elab *e = k->e;
    const struct tree_indices *all = &k->x->index.indices;
    k->first = e->frame->env.n;
    k->ix = ARENA_ARRAY(e->mem, struct index *, all->n * NN_MAX_RANK);
    const struct dim **limit = ARENA_ARRAY(e->mem, const struct dim *, all->n);
    for (uint32_t i = 0; i < all->n; i++) {
        for (uint32_t j = 0; j < i; j++)
            if (all->p[j].name == all->p[i].name) {
                elab_error(e, all->p[i].at, "`%s` is an index twice", all->p[i].name);
                return false;
            }
        if (!index_limit(e, &all->p[i], &limit[i]))
            return false;
    }
    for (uint32_t i = 0; i < all->n; i++) {
        const struct tree_index *t = &all->p[i];
        if (t->pack) {
            if (!open_pack(k, t, w, all->n - 1))
                return false;
            continue;
        }
        struct index *ix = new_index(e, t->name, limit[i], t->at);
        k->ix[k->n++] = ix;
        env_bind(e, t->name, index_value(e, ix), t->at);
    }
    scan_expr(k, k->x->index.value);
    want_range(k, w);
    return true;
}

static bool ranges_known(struct notation *k)
{
    bool good = true;
    for (uint32_t i = 0; i < k->n; i++) {
        const struct index *ix = k->ix[i];
        if (ix->n)
            continue;
        good = false;
        if (elab_error(k->e, ix->at, "the index `%s` has no range", ix->name))
            diag_label(k->e->d, "write `%s < n`, or use it alone as a subscript", ix->name);
    }
    return good;
}

/* The value under the indices: a scalar for each of their points. */
static val body(struct notation *k)
{
    struct elab *e = k->e;
    if (!ranges_known(k))
        return v_poison(e);
    const struct tree_expr *x = k->x->index.value;
    val v = eval(e, x, NULL);
    e->frame->env.n = k->first;
    v = to_tensor(e, v, NN_DTYPE_COUNT, x->at);
    if (v_bad(v) || !v->t.s.rank)
        return v;
    if (elab_error(e, x->at, "every axis is indexed here, but the value still is %s", v_text(e, v)))
        elab_called(e);
    return v_poison(e);
}

/* ---- [i, j: value] ---- */

val tensor_expr(struct elab *e, const struct tree_expr *x, const struct want *w)
{
    struct notation k = {.e = e, .x = x};
    uint32_t env = e->frame->env.n;
    val v = open(&k, w) ? body(&k) : v_poison(e);
    e->frame->env.n = env;
    if (v_bad(v))
        return v;
    if (k.n > NN_MAX_RANK) {
        elab_error(e, x->at, "a tensor has at most %d axes", NN_MAX_RANK);
        return v_poison(e);
    }
    emit_origin(e, x->at, "index");
    emit_node_of(e, v);
    struct index **outer = ARENA_ARRAY(e->mem, struct index *, v->t.s.nix);
    const struct dim **dim = ARENA_ARRAY(e->mem, const struct dim *, k.n);
    uint32_t nouter = 0;
    while (nouter < v->t.s.nix && (!k.n || v->t.s.ix[nouter]->id < k.ix[0]->id)) {
        outer[nouter] = v->t.s.ix[nouter];
        nouter++;
    }
    for (uint32_t i = 0; i < k.n; i++)
        dim[i] = k.ix[i]->n;
    val r = v_tensor(e, v->t.dtype, (struct shape){nouter, k.n, outer, dim}, x->at);
    r->t.of = mark_moved(e, v->t.of, 0);
    if (!e->b)
        return r;
    if (v->t.s.nix == nouter + k.n) {
        r->t.node = v->t.node;
        return r;
    }
    struct index **all = ARENA_ARRAY(e->mem, struct index *, nouter + k.n);
    memcpy(all, outer, nouter * sizeof *all);
    memcpy(all + nouter, k.ix, k.n * sizeof *all);
    struct shape dom = {nouter + k.n, 0, all, NULL};
    r->t.node = emit_elem(e, IR_copy, v->t.dtype, &dom, 1, &v);
    return r;
}

/* ---- sum(k: value) ---- */

val reduce_expr(struct elab *e, const struct tree_expr *x)
{
    const char *name = x->index.fn->kind == TREE_NAME ? x->index.fn->name : "";
    const struct builtin *row = builtin_find(name);
    if (!row || row->run != builtin_reduce || row->sub == REDUCE_var) {
        static const char *const all[] = {"sum", "mean",   "max",    "min",       "prod",
                                          "any", "argmax", "argmin", "logsumexp", "all"};
        if (elab_error(e, x->index.fn->at, "`%s` is no reduction over indices%s", name,
                       elab_suggest(e, name, all, COUNT(all))))
            elab_called(e);
        return v_poison(e);
    }
    struct notation k = {.e = e, .x = x};
    uint32_t env = e->frame->env.n;
    bool was = e->in_reduction, leaves_out = e->leaves_out;
    e->in_reduction = true;
    e->leaves_out = row->sub != IRM_sum && row->sub != IRM_prod && row->sub != IRM_any &&
                    row->sub != IRM_all && row->sub != REDUCE_mean;
    val v = open(&k, NULL) ? body(&k) : v_poison(e);
    e->frame->env.n = env;
    if (!v_bad(v)) {
        emit_origin(e, x->at, name);
        v = reduce_indices(e, row->sub, v, k.n, k.ix, x->at);
    }
    e->in_reduction = was;
    e->leaves_out = leaves_out;
    return v;
}
