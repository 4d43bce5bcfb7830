/* Builders of the tree: one function for each kind of part. They copy nothing that is already in
 * the arena, resolve nothing, and report only what the grammar lets through and no tree can hold.
 */
#include "front/parser.h"

static const char *const op_text[TREE_OP_COUNT] = {
    [TREE_NEG] = "-",   [TREE_NOT] = "not", [TREE_PIPE] = "|>",  [TREE_OR] = "or",
    [TREE_AND] = "and", [TREE_EQ] = "==",   [TREE_NE] = "!=",    [TREE_LT] = "<",
    [TREE_LE] = "<=",   [TREE_GT] = ">",    [TREE_GE] = ">=",    [TREE_RANGE] = "..",
    [TREE_ADD] = "+",   [TREE_SUB] = "-",   [TREE_MUL] = "*",    [TREE_DIV] = "/",
    [TREE_IDIV] = "//", [TREE_MOD] = "%",   [TREE_MATMUL] = "@", [TREE_POW] = "**"};

const char *tree_op_text(enum tree_op op) { return op_text[op]; }

void *tree_grow(struct nn_parser *p, const void *old, uint32_t *cap, size_t size)
{
    uint32_t n = *cap;
    *cap = n ? n * 2 : 4;
    void *to = arena_alloc(p->mem, *cap * size);
    if (old)
        memcpy(to, old, n * size);
    return to;
}

static uint32_t max(uint32_t a, uint32_t b) { return a > b ? a : b; }

static uint32_t height(const struct tree_expr *e) { return e ? e->depth : 0; }

static uint32_t items_height(const struct tree_items *items)
{
    uint32_t h = 0;
    for (uint32_t i = 0; items && i < items->n; i++) {
        const struct tree_item *t = &items->p[i];
        h = max(h, max(max(height(t->value), height(t->lo)), max(height(t->hi), height(t->step))));
    }
    return h;
}

static uint32_t exprs_height(const struct tree_exprs *x)
{
    uint32_t h = 0;
    for (uint32_t i = 0; i < x->n; i++)
        h = max(h, height(x->p[i]));
    return h;
}

static uint32_t block_height(const struct tree_block *b)
{
    uint32_t h = 0;
    for (uint32_t i = 0; b && i < b->n; i++)
        h = max(h, b->p[i]->depth);
    return h;
}

/* Said once: an outer part of a part that is too deep is so too. */
static uint32_t grown(struct nn_parser *p, uint32_t below, struct loc at)
{
    if (below >= TREE_MAX_DEPTH && !p->too_deep) {
        p->too_deep = true;
        nn_mistake(p, at, "more than %d parts in each other: name some of them", TREE_MAX_DEPTH);
    }
    return below + 1;
}

/* ---- expressions ---- */

static struct tree_expr *new_expr(struct nn_parser *p, enum tree_expr_kind kind, struct loc at,
                                  uint32_t below)
{
    struct tree_expr *e = ARENA_NEW(p->mem, struct tree_expr);
    e->kind = kind;
    e->at = at;
    e->depth = grown(p, below, at);
    return e;
}

struct tree_expr *tree_name_expr(struct nn_parser *p, struct tree_name name)
{
    struct tree_expr *e = new_expr(p, TREE_NAME, name.at, 0);
    e->name = name.s;
    return e;
}

struct tree_expr *tree_int(struct nn_parser *p, enum tree_expr_kind kind, int64_t i, struct loc at)
{
    struct tree_expr *e = new_expr(p, kind, at, 0);
    e->i = i;
    return e;
}

struct tree_expr *tree_float(struct nn_parser *p, double f, struct loc at)
{
    struct tree_expr *e = new_expr(p, TREE_FLOAT, at, 0);
    e->f = f;
    return e;
}

struct tree_expr *tree_string(struct nn_parser *p, const char *s, struct loc at)
{
    struct tree_expr *e = new_expr(p, TREE_STRING, at, 0);
    e->string = s;
    return e;
}

struct tree_expr *tree_unary(struct nn_parser *p, enum tree_op op, struct tree_expr *x,
                             struct loc at)
{
    struct tree_expr *e = new_expr(p, TREE_UNARY, at, x->depth);
    e->unary.op = op;
    e->unary.x = x;
    return e;
}

struct tree_expr *tree_binary(struct nn_parser *p, enum tree_op op, struct tree_expr *l,
                              struct tree_expr *r, struct loc at, struct loc op_at)
{
    struct tree_expr *e = new_expr(p, TREE_BINARY, at, max(l->depth, r->depth));
    e->binary.op = op;
    e->binary.op_at = op_at;
    e->binary.l = l;
    e->binary.r = r;
    return e;
}

struct tree_expr *tree_list(struct nn_parser *p, const struct tree_items *items, struct loc at)
{
    struct tree_expr *e = new_expr(p, TREE_LIST, at, items_height(items));
    for (uint32_t i = 0; items && i < items->n; i++)
        if (items->p[i].kind == TREE_ITEM_NAMED)
            nn_mistake(p, items->p[i].at, "a list's members have no names");
    if (items)
        e->list = *items;
    return e;
}

struct tree_expr *tree_tuple(struct nn_parser *p, struct tree_exprs parts, struct loc at)
{
    if (parts.n == 1)
        return parts.p[0];
    struct tree_expr *e = new_expr(p, TREE_TUPLE, at, exprs_height(&parts));
    e->tuple = parts;
    return e;
}

struct tree_expr *tree_tuple_of(struct nn_parser *p, struct tree_expr *first,
                                struct tree_exprs rest, struct loc at)
{
    struct tree_exprs all = {0};
    TREE_PUSH(p, &all, first);
    for (uint32_t i = 0; i < rest.n; i++)
        TREE_PUSH(p, &all, rest.p[i]);
    return tree_tuple(p, all, at);
}

struct tree_expr *tree_each(struct nn_parser *p, struct tree_expr *value, struct tree_name name,
                            struct tree_expr *over, struct loc at)
{
    struct tree_expr *e = new_expr(p, TREE_EACH, at, max(value->depth, over->depth));
    e->each.value = value;
    e->each.name = name;
    e->each.over = over;
    return e;
}

/* Reads an item as an index: i, i < n, ...s */
static struct tree_index item_index(struct nn_parser *p, const struct tree_item *t)
{
    struct tree_index x = {.at = t->at};
    const struct tree_expr *v = t->value;
    if (t->kind == TREE_ITEM_VALUE && v->kind == TREE_BINARY && v->binary.op == TREE_LT) {
        x.limit = v->binary.r;
        v = v->binary.l;
    }
    x.pack = t->kind == TREE_ITEM_SPREAD;
    if (t->kind != TREE_ITEM_NAMED && v->kind == TREE_NAME)
        x.name = v->name;
    else
        nn_mistake(p, t->at, "an index is written `i`, `i < n` or `...s`");
    return x;
}

struct tree_expr *tree_index(struct nn_parser *p, struct tree_expr *fn, struct tree_items items,
                             struct tree_expr *value, struct loc at)
{
    uint32_t h = max(max(height(fn), items_height(&items)), value->depth);
    struct tree_expr *e = new_expr(p, fn ? TREE_REDUCE : TREE_TENSOR, at, h);
    if (fn && fn->kind != TREE_NAME)
        nn_mistake(p, fn->at, "a reduction over indices is written `sum(i: …)`, `max(i: …)`");
    if (items.n > PARSE_MAX_NAMED) {
        nn_mistake(p, at, "more than %d indices", PARSE_MAX_NAMED);
        items.n = 0;
    }
    for (uint32_t i = 0; i < items.n; i++) {
        struct tree_index x = item_index(p, &items.p[i]);
        for (uint32_t k = 0; k < i && x.name; k++)
            if (e->index.indices.p[k].name == x.name) {
                nn_mistake(p, x.at, "the index `%s` stands here twice", x.name);
                nn_note(p, e->index.indices.p[k].at, "the first is here");
            }
        TREE_PUSH(p, &e->index.indices, x);
    }
    e->index.fn = fn;
    e->index.value = value;
    return e;
}

static void check_names_once(struct nn_parser *p, const struct tree_items *items)
{
    const struct tree_item *seen[PARSE_MAX_NAMED];
    uint32_t n = 0;
    for (uint32_t i = 0; i < items->n; i++) {
        const struct tree_item *t = &items->p[i];
        if (t->kind != TREE_ITEM_NAMED)
            continue;
        if (n == PARSE_MAX_NAMED) {
            nn_mistake(p, t->at, "more than %d named arguments", PARSE_MAX_NAMED);
            return;
        }
        for (uint32_t k = 0; k < n; k++)
            if (seen[k]->name.s == t->name.s) {
                nn_mistake(p, t->name.at, "`%s` is given twice", t->name.s);
                nn_note(p, seen[k]->name.at, "the first is here");
                break;
            }
        seen[n++] = t;
    }
}

struct tree_expr *tree_call(struct nn_parser *p, enum tree_expr_kind kind, struct tree_expr *fn,
                            const struct tree_items *items, struct loc at)
{
    struct tree_expr *e = new_expr(p, kind, at, max(fn->depth, items_height(items)));
    e->call.fn = fn;
    if (items)
        e->call.items = *items;
    check_names_once(p, &e->call.items);
    return e;
}

struct tree_expr *tree_member(struct nn_parser *p, struct tree_expr *of, struct tree_name name,
                              struct loc at)
{
    struct tree_expr *e = new_expr(p, TREE_FIELD, at, of->depth);
    e->field.of = of;
    e->field.name = name;
    return e;
}

struct tree_expr *tree_scan(struct nn_parser *p, struct tree_name name, struct tree_expr *over,
                            struct tree_block *body, struct loc at)
{
    struct tree_expr *e = new_expr(p, TREE_SCAN, at, max(over->depth, block_height(body)));
    e->scan.name = name;
    e->scan.over = over;
    e->scan.body = body;
    return e;
}

struct tree_item tree_value_item(struct tree_expr *value, struct loc at)
{
    return (struct tree_item){.kind = TREE_ITEM_VALUE, .at = at, .value = value};
}

struct tree_item tree_spread_item(struct tree_expr *value, struct loc at)
{
    return (struct tree_item){.kind = TREE_ITEM_SPREAD, .at = at, .value = value};
}

struct tree_item tree_named_item(struct tree_name name, struct tree_expr *value, struct loc at)
{
    return (struct tree_item){.kind = TREE_ITEM_NAMED, .at = at, .name = name, .value = value};
}

struct tree_item tree_slice(struct tree_expr *lo, struct tree_expr *hi, struct tree_expr *step,
                            struct loc at)
{
    return (struct tree_item){.kind = TREE_ITEM_SLICE, .at = at, .lo = lo, .hi = hi, .step = step};
}

/* ---- types ---- */

static struct tree_type *new_type(struct nn_parser *p, enum tree_type_kind kind, struct loc at)
{
    struct tree_type *t = ARENA_NEW(p->mem, struct tree_type);
    t->kind = kind;
    t->at = at;
    return t;
}

struct tree_type *tree_type_named(struct nn_parser *p, const char *name,
                                  const struct tree_items *dims, struct loc at)
{
    struct tree_type *t = new_type(p, TREE_TYPE_NAMED, at);
    t->named.name = name;
    t->named.shaped = dims != NULL;
    if (dims)
        t->named.dims = *dims;
    return t;
}

struct tree_type *tree_type_list(struct nn_parser *p, struct tree_type *of, struct loc at)
{
    struct tree_type *t = new_type(p, TREE_TYPE_LIST, at);
    t->list = of;
    return t;
}

struct tree_type *tree_type_tuple(struct nn_parser *p, struct tree_params members, struct loc at)
{
    struct tree_type *t = new_type(p, TREE_TYPE_TUPLE, at);
    t->tuple.n = t->tuple.cap = members.n;
    t->tuple.type = ARENA_ARRAY(p->mem, struct tree_type *, members.n);
    t->tuple.name = ARENA_ARRAY(p->mem, struct tree_name, members.n);
    for (uint32_t i = 0; i < members.n; i++) {
        t->tuple.type[i] = members.p[i].type;
        t->tuple.name[i] = members.p[i].name;
    }
    return t;
}

/* ---- statements ---- */

/* The `##` lines right above `at`, without their `##`; NULL if there are none. */
static const char *doc_above(struct nn_parser *p, struct loc at)
{
    uint32_t n = p->tree->comments.n, first;
    const struct tree_comment *c = p->tree->comments.p;
    while (n && c[n - 1].at.lo >= at.lo)
        n--;
    for (first = n; first && c[first - 1].doc && c[first - 1].own_line; first--) {
        uint32_t lines = 0;
        for (uint32_t i = c[first - 1].at.hi; i < (first == n ? at : c[first].at).lo; i++)
            lines += p->text[i] == '\n';
        if (lines != 1)
            break;
    }
    if (first == n)
        return NULL;
    struct text t = {0};
    for (uint32_t i = first; i < n; i++) {
        uint32_t lo = c[i].at.lo + 2, hi = c[i].at.hi;
        lo += lo < hi && p->text[lo] == ' ';
        while (hi > lo && (p->text[hi - 1] == '\r' || p->text[hi - 1] == ' '))
            hi--;
        text_printf(&t, "%s", i > first ? "\n" : "");
        text_write(&t, p->text + lo, hi - lo);
    }
    const char *doc = arena_strndup(p->mem, t.p, t.n);
    text_free(&t);
    return doc;
}

static struct tree_stmt *new_stmt(struct nn_parser *p, enum tree_stmt_kind kind, struct loc at,
                                  uint32_t below)
{
    struct tree_stmt *s = ARENA_NEW(p->mem, struct tree_stmt);
    s->kind = kind;
    s->at = at;
    s->depth = grown(p, below, at);
    s->doc = doc_above(p, at);
    return s;
}

struct tree_name tree_word(struct nn_parser *p, const char *word, struct loc at)
{
    return (struct tree_name){intern(p->names, word), at};
}

struct tree_stmt *tree_bind(struct nn_parser *p, struct tree_names targets, struct tree_type *type,
                            struct tree_expr *value, struct loc at)
{
    struct tree_stmt *s = new_stmt(p, TREE_BIND, at, value->depth);
    s->bind.targets = targets;
    s->bind.type = type;
    s->bind.value = value;
    return s;
}

struct tree_stmt *tree_bind_one(struct nn_parser *p, struct tree_name target,
                                struct tree_type *type, struct tree_expr *value, struct loc at)
{
    struct tree_names targets = {0};
    TREE_PUSH(p, &targets, target);
    return tree_bind(p, targets, type, value, at);
}

struct tree_stmt *tree_set(struct nn_parser *p, struct tree_name name, struct tree_items items,
                           struct tree_expr *value, struct loc at)
{
    struct tree_stmt *s = new_stmt(p, TREE_SET, at, max(value->depth, items_height(&items)));
    s->set.name = name;
    s->set.items = items;
    s->set.value = value;
    return s;
}

struct tree_stmt *tree_var(struct nn_parser *p, enum tree_stmt_kind kind, struct tree_name name,
                           struct tree_type *type, struct tree_expr *value, struct loc at)
{
    struct tree_stmt *s = new_stmt(p, kind, at, value->depth);
    s->var.name = name;
    s->var.type = type;
    s->var.value = value;
    return s;
}

struct tree_stmt *tree_give(struct nn_parser *p, enum tree_stmt_kind kind, struct tree_expr *value,
                            struct loc at)
{
    struct tree_stmt *s = new_stmt(p, kind, at, value->depth);
    s->value = value;
    return s;
}

struct tree_stmt *tree_if(struct nn_parser *p, struct tree_expr *test, struct tree_block *then,
                          struct tree_block *other, struct loc at)
{
    uint32_t h = max(test->depth, max(block_height(then), block_height(other)));
    struct tree_stmt *s = new_stmt(p, TREE_IF, at, h);
    s->branch.test = test;
    s->branch.then = then;
    s->branch.other = other;
    return s;
}

struct tree_block *tree_else_if(struct nn_parser *p, struct tree_expr *test,
                                struct tree_block *then, struct tree_block *other, struct loc if_at,
                                struct loc at)
{
    struct tree_block b = {0};
    tree_block_add(p, &b, tree_if(p, test, then, other, (struct loc){at.file, if_at.lo, at.hi}));
    return tree_block_new(p, b, at);
}

struct tree_stmt *tree_for(struct nn_parser *p, struct tree_name name, struct tree_expr *over,
                           struct tree_block *body, struct loc at)
{
    struct tree_stmt *s = new_stmt(p, TREE_FOR, at, max(over->depth, block_height(body)));
    s->loop.name = name;
    s->loop.over = over;
    s->loop.body = body;
    return s;
}

struct tree_stmt *tree_checkpoint(struct nn_parser *p, struct tree_block *body, struct loc at)
{
    struct tree_stmt *s = new_stmt(p, TREE_CHECKPOINT, at, block_height(body));
    s->body = body;
    return s;
}

void tree_block_add(struct nn_parser *p, struct tree_block *b, struct tree_stmt *s)
{
    if (s) /* NULL: recovered from */
        TREE_PUSH(p, b, s);
}

struct tree_block *tree_block_new(struct nn_parser *p, struct tree_block b, struct loc at)
{
    struct tree_block *to = ARENA_NEW(p->mem, struct tree_block);
    *to = b;
    to->at = at;
    return to;
}

/* ---- declarations ---- */

struct tree_field tree_field(struct nn_parser *p, struct tree_name name, struct tree_type *type,
                             struct tree_expr *source, struct loc from, struct loc to)
{
    struct loc at = {from.file, from.lo, to.hi};
    return (struct tree_field){name, type, source, at, doc_above(p, at)};
}

struct tree_split tree_split(struct tree_name name, struct tree_expr *share,
                             struct tree_fields fields, struct loc from, struct loc to)
{
    return (struct tree_split){name, share, fields, {from.file, from.lo, to.hi}};
}

struct tree_function *tree_signature(struct nn_parser *p, const struct tree_params *config,
                                     const struct tree_params *input, struct loc input_at)
{
    struct tree_function *f = ARENA_NEW(p->mem, struct tree_function);
    f->has_config = config != NULL;
    if (config)
        f->config = *config;
    f->input = *input;
    f->input_at = input_at;
    return f;
}

struct tree_function *tree_body(struct nn_parser *p, struct tree_block *body,
                                struct tree_expr *value)
{
    struct tree_function *f = ARENA_NEW(p->mem, struct tree_function);
    f->body = body;
    f->value = value;
    return f;
}

struct tree_function *tree_gradient(struct nn_parser *p, struct tree_names names,
                                    struct tree_block *body, struct tree_expr *value, struct loc at)
{
    struct tree_function *f = ARENA_NEW(p->mem, struct tree_function);
    f->has_gradient = true;
    f->gradient_at = at;
    f->gradient_names = names;
    f->gradient_body = body;
    f->gradient = value;
    return f;
}

struct tree_decl *tree_head(struct nn_parser *p, enum tree_decl_kind kind, struct tree_name name,
                            struct loc at)
{
    struct tree_decl *d = ARENA_NEW(p->mem, struct tree_decl);
    d->kind = kind;
    d->at = at;
    d->name = name;
    d->doc = doc_above(p, at);
    return d;
}

struct tree_decl *tree_function(struct nn_parser *p, struct tree_decl *head,
                                const struct tree_function *signature, struct tree_type *result,
                                const struct tree_function *body,
                                const struct tree_function *gradient, struct loc at)
{
    (void)p;
    head->at = at;
    head->fn = *signature;
    head->fn.result = result;
    head->fn.body = body->body;
    head->fn.value = body->value;
    if (gradient) {
        head->fn.has_gradient = true;
        head->fn.gradient_at = gradient->gradient_at;
        head->fn.gradient_names = gradient->gradient_names;
        head->fn.gradient = gradient->gradient;
        head->fn.gradient_body = gradient->gradient_body;
    }
    return head;
}

struct tree_decl *tree_export(struct nn_parser *p, struct tree_decl *function, struct loc at)
{
    function->fn.exported = true;
    function->at.lo = at.lo;
    function->doc = doc_above(p, at);
    return function;
}

struct tree_decl *tree_use(struct nn_parser *p, struct tree_names path, struct tree_name alias,
                           struct loc at)
{
    struct tree_decl *d = tree_head(p, TREE_USE, alias, at);
    d->use = path;
    return d;
}

struct tree_decl *tree_const(struct nn_parser *p, struct tree_name name, struct tree_expr *value,
                             struct loc at)
{
    struct tree_decl *d = tree_head(p, TREE_CONST, name, at);
    d->value = value;
    return d;
}

struct tree_decl *tree_dataset(struct nn_parser *p, struct tree_name name, struct nn_entries e,
                               struct loc at)
{
    struct tree_decl *d = tree_head(p, TREE_DATASET, name, at);
    d->dataset.fields = e.fields;
    d->dataset.splits = e.splits;
    return d;
}

struct tree_decl *tree_train(struct nn_parser *p, struct tree_items models,
                             struct tree_names datasets, struct tree_block *body, struct loc at)
{
    struct tree_decl *d = tree_head(p, TREE_TRAIN, (struct tree_name){0}, at);
    d->train.models = models;
    d->train.datasets = datasets;
    d->train.body = body;
    return d;
}

void tree_add(struct nn_parser *p, struct tree_decl *d)
{
    if (!d) /* recovered from */
        return;
    if (p->tree->decls.n == PARSE_MAX_DECLS) {
        nn_mistake(p, d->at, "more than %d declarations in one file", PARSE_MAX_DECLS);
        p->give_up = true;
    }
    TREE_PUSH(p, &p->tree->decls, d);
    nn_check_places(p, d);
}
