/* What the grammar lets through and the language does not: which statement may stand where, names
 * given twice in one list. Checked for each declaration as soon as it is read, so that these
 * mistakes and those of the syntax come out in one run. */
#include "front/parser.h"

struct place {
    struct nn_parser *p;
    enum tree_decl_kind in;
    bool scan, top; /* inside a scan's body; the outermost block of the declaration */
};

static void check_block(struct place where, const struct tree_block *b);

static bool is_one_of(const char *s, const char *a, const char *b)
{
    return !strcmp(s, a) || !strcmp(s, b);
}

/* Reports names that stand twice. Lists longer than anyone writes are refused. */
struct once {
    const struct tree_name *name[PARSE_MAX_NAMED];
    uint32_t n;
};

static bool seen(struct nn_parser *p, struct once *o, const struct tree_name *name)
{
    for (uint32_t i = 0; i < o->n; i++)
        if (o->name[i]->s == name->s) {
            nn_mistake(p, name->at, "`%s` stands here twice", name->s);
            nn_note(p, o->name[i]->at, "the first is here");
            return false;
        }
    if (o->n == PARSE_MAX_NAMED) {
        nn_mistake(p, name->at, "more than %d names in one list", PARSE_MAX_NAMED);
        return false;
    }
    o->name[o->n++] = name;
    return true;
}

static void check_params(struct nn_parser *p, struct once *o, const struct tree_params *l)
{
    for (uint32_t i = 0; i < l->n && seen(p, o, &l->p[i].name); i++) {
    }
}

static void check_scan(struct place where, const struct tree_expr *e)
{
    if (e->kind == TREE_SCAN) {
        where.scan = true;
        where.top = false;
        check_block(where, e->scan.body);
    }
}

static void check_bind(struct place where, const struct tree_stmt *s)
{
    struct once o = {.n = 0};
    for (uint32_t i = 0; i < s->bind.targets.n; i++) {
        const struct tree_name *t = &s->bind.targets.p[i];
        if (!seen(where.p, &o, t))
            break;
        if (!strcmp(t->s, "optimizer") && where.in != TREE_TRAIN)
            nn_mistake(where.p, t->at, "`optimizer` is set in a `train` block");
    }
    check_scan(where, s->bind.value);
}

static void check_set(struct place where, const struct tree_stmt *s)
{
    const char *name = s->set.name.s;
    if (!is_one_of(name, "loss", "optimizer"))
        nn_mistake(
            where.p, s->set.name.at,
            "the elements of a tensor are not assigned: `%s` stays as it is bound; build a new "
            "one with `where` or `[i: …]`",
            name);
    else if (where.in != TREE_TRAIN)
        nn_mistake(where.p, s->set.name.at, "`%s[…]` is set in a `train` block", name);
}

static void check_give(struct place where, const struct tree_stmt *s)
{
    if (s->kind == TREE_YIELD && !where.scan)
        nn_mistake(where.p, s->at, "`yield` stands in the body of a `scan`");
    else if (s->kind == TREE_RETURN && where.scan)
        nn_mistake(where.p, s->at, "`return` cannot leave a `scan`: use `yield`");
    else if (s->kind == TREE_RETURN && where.in == TREE_TRAIN)
        nn_mistake(where.p, s->at, "a `train` block returns nothing");
}

static void check_var(struct place where, const struct tree_stmt *s)
{
    bool layer = where.in == TREE_LAYER || where.in == TREE_MODEL;
    switch (s->kind) {
    case TREE_PARAM:
        if (!layer)
            nn_mistake(where.p, s->at, "`param` stands in a layer or a model");
        break;
    case TREE_STATE:
        if (!layer && where.in != TREE_OPTIMIZER)
            nn_mistake(where.p, s->at, "`state` stands in a layer, a model or an optimizer");
        else if (layer && !s->var.type)
            nn_mistake(where.p, s->var.name.at, "a state needs its type: `state %s: f32[n] = …`",
                       s->var.name.s);
        break;
    case TREE_METRIC:
        if (where.in != TREE_TRAIN)
            nn_mistake(where.p, s->at, "`metric` stands in a `train` block");
        break;
    case TREE_BIND:
    case TREE_SET:
    case TREE_RETURN:
    case TREE_YIELD:
    case TREE_IF:
    case TREE_FOR:
    case TREE_CHECKPOINT: BUG("no var");
    }
    if (where.scan)
        nn_mistake(where.p, s->at, "this stands outside of a `scan`, which runs many times");
}

static void check_stmt(struct place where, const struct tree_stmt *s)
{
    struct place in = where;
    in.top = false;
    switch (s->kind) {
    case TREE_BIND: check_bind(where, s); return;
    case TREE_SET: check_set(where, s); return;
    case TREE_PARAM:
    case TREE_STATE:
    case TREE_METRIC: check_var(where, s); return;
    case TREE_RETURN:
    case TREE_YIELD: check_give(where, s); return;
    case TREE_IF:
        check_block(in, s->branch.then);
        if (s->branch.other)
            check_block(in, s->branch.other);
        return;
    case TREE_FOR: check_block(in, s->loop.body); return;
    case TREE_CHECKPOINT: check_block(in, s->body); return;
    }
}

static void check_block(struct place where, const struct tree_block *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        check_stmt(where, b->p[i]);
        if (b->p[i]->kind == TREE_RETURN && i + 1 < b->n) {
            nn_mistake(where.p, b->p[i + 1]->at, "nothing behind a `return` is reached");
            nn_note(where.p, b->p[i]->at, "it returns here");
            return;
        }
    }
}

static const char *decl_word(enum tree_decl_kind k)
{
    static const char *const word[] = {"use",   "const",     "fn",      "layer",
                                       "model", "optimizer", "dataset", "train"};
    return word[k];
}

static void check_function(struct nn_parser *p, const struct tree_decl *d)
{
    const struct tree_function *f = &d->fn;
    struct once o = {.n = 0};
    check_params(p, &o, &f->config);
    check_params(p, &o, &f->input);
    if (d->kind == TREE_FN && f->has_config)
        nn_mistake(p, f->input_at, "a function has one group of parameters; a layer has two");
    if (d->kind == TREE_OPTIMIZER && !f->has_config)
        nn_mistake(p, f->input_at,
                   "an optimizer has two groups: `optimizer %s(lr: float)(p, g, step)`", d->name.s);
    if (f->has_gradient && d->kind != TREE_FN)
        nn_mistake(p, f->gradient_at, "only a function's gradient can be replaced");
    if (f->exported && d->kind != TREE_FN)
        nn_mistake(p, d->name.at, "`export` stands before a function, not before a %s",
                   decl_word(d->kind));
    if (f->body)
        check_block((struct place){p, d->kind, false, true}, f->body);
    if (f->gradient_body)
        check_block((struct place){p, d->kind, false, true}, f->gradient_body);
}

static void check_dataset(struct nn_parser *p, const struct tree_decl *d)
{
    struct once fields = {.n = 0}, splits = {.n = 0};
    for (uint32_t i = 0; i < d->dataset.fields.n; i++)
        seen(p, &fields, &d->dataset.fields.p[i].name);
    for (uint32_t i = 0; i < d->dataset.splits.n; i++) {
        const struct tree_split *s = &d->dataset.splits.p[i];
        struct once own = {.n = 0};
        if (!is_one_of(s->name.s, "test", "valid"))
            nn_mistake(p, s->name.at,
                       "`%s` is no part of a dataset; besides its fields it has "
                       "`test` and `valid`",
                       s->name.s);
        else
            seen(p, &splits, &s->name);
        for (uint32_t k = 0; k < s->fields.n; k++)
            seen(p, &own, &s->fields.p[k].name);
    }
}

static struct loc head_of(const struct tree_decl *train)
{
    return (struct loc){train->at.file, train->at.lo, train->train.body->at.lo};
}

static void check_one_train(struct nn_parser *p, const struct tree_decl *d)
{
    for (uint32_t i = 0; i < p->tree->decls.n; i++) {
        const struct tree_decl *first = p->tree->decls.p[i];
        if (first->kind != TREE_TRAIN || first == d)
            continue;
        nn_mistake(p, head_of(d),
                   "a file has one `train` block: put the other into a file of its own");
        nn_note(p, head_of(first), "the first is here");
        return;
    }
}

void nn_check_places(struct nn_parser *p, const struct tree_decl *d)
{
    switch (d->kind) {
    case TREE_USE:
    case TREE_CONST: return;
    case TREE_FN:
    case TREE_LAYER:
    case TREE_MODEL:
    case TREE_OPTIMIZER: check_function(p, d); return;
    case TREE_DATASET: check_dataset(p, d); return;
    case TREE_TRAIN:
        check_one_train(p, d);
        check_block((struct place){p, TREE_TRAIN, false, true}, d->train.body);
        return;
    }
}
