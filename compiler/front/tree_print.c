/* The tree as text: `nnc emit ast`. It is the language again, with every operator inside another in
 * parentheses, defaults of layout and no comments; what it prints parses to the same tree. */
#include "front/tree.h"

static void print_block(const struct tree_block *b, int indent, struct text *out);

static void pad(int indent, struct text *out) { text_printf(out, "%*s", 2 * indent, ""); }

static void print_string(const char *s, struct text *out)
{
    text_printf(out, "\"");
    for (; *s; s++)
        if (*s == '\n' || *s == '\t')
            text_printf(out, *s == '\n' ? "\\n" : "\\t");
        else
            text_printf(out, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
    text_printf(out, "\"");
}

static void print_nested(const struct tree_expr *e, struct text *out)
{
    bool parens = e->kind == TREE_BINARY || e->kind == TREE_UNARY;
    text_printf(out, parens ? "(" : "");
    tree_print_expr(e, out);
    text_printf(out, parens ? ")" : "");
}

static void print_item(const struct tree_item *t, struct text *out)
{
    switch (t->kind) {
    case TREE_ITEM_VALUE: tree_print_expr(t->value, out); return;
    case TREE_ITEM_NAMED:
        text_printf(out, "%s = ", t->name.s);
        tree_print_expr(t->value, out);
        return;
    case TREE_ITEM_SPREAD:
        text_printf(out, "...");
        print_nested(t->value, out);
        return;
    case TREE_ITEM_ELLIPSIS: text_printf(out, "..."); return;
    case TREE_ITEM_SLICE:
        if (t->lo)
            tree_print_expr(t->lo, out);
        text_printf(out, ":");
        if (t->hi)
            tree_print_expr(t->hi, out);
        if (t->step) {
            text_printf(out, ":");
            tree_print_expr(t->step, out);
        }
        return;
    }
}

static void print_items(const struct tree_items *l, struct text *out)
{
    for (uint32_t i = 0; i < l->n; i++) {
        text_printf(out, i ? ", " : "");
        print_item(&l->p[i], out);
    }
}

static void print_index(const struct tree_expr *e, struct text *out)
{
    text_printf(out, "%s%s", e->index.fn ? e->index.fn->name : "", e->index.fn ? "(" : "[");
    for (uint32_t i = 0; i < e->index.indices.n; i++) {
        const struct tree_index *x = &e->index.indices.p[i];
        text_printf(out, "%s%s%s", i ? ", " : "", x->pack ? "..." : "", x->name);
        if (x->limit) {
            text_printf(out, " < ");
            print_nested(x->limit, out);
        }
    }
    text_printf(out, ": ");
    tree_print_expr(e->index.value, out);
    text_printf(out, e->index.fn ? ")" : "]");
}

static void print_float(double f, struct text *out)
{
    size_t from = out->n;
    text_double(out, f);
    if (!strpbrk(out->p + from, ".e"))
        text_printf(out, ".0");
}

static void print_expr(const struct tree_expr *e, int indent, struct text *out)
{
    switch (e->kind) {
    case TREE_NAME: text_printf(out, "%s", e->name); return;
    case TREE_INT: text_printf(out, "%lld", (long long)e->i); return;
    case TREE_FLOAT: print_float(e->f, out); return;
    case TREE_STRING: print_string(e->string, out); return;
    case TREE_BOOL: text_printf(out, e->i ? "true" : "false"); return;
    case TREE_LIST:
        text_printf(out, "[");
        print_items(&e->list, out);
        text_printf(out, "]");
        return;
    case TREE_TUPLE:
        text_printf(out, "(");
        for (uint32_t i = 0; i < e->tuple.n; i++) {
            text_printf(out, i ? ", " : "");
            tree_print_expr(e->tuple.p[i], out);
        }
        text_printf(out, ")");
        return;
    case TREE_EACH:
        text_printf(out, "[");
        tree_print_expr(e->each.value, out);
        text_printf(out, " for %s in ", e->each.name.s);
        tree_print_expr(e->each.over, out);
        text_printf(out, "]");
        return;
    case TREE_TENSOR:
    case TREE_REDUCE: print_index(e, out); return;
    case TREE_CALL:
    case TREE_SUBSCRIPT:
        print_nested(e->call.fn, out);
        text_printf(out, e->kind == TREE_CALL ? "(" : "[");
        print_items(&e->call.items, out);
        text_printf(out, e->kind == TREE_CALL ? ")" : "]");
        return;
    case TREE_FIELD:
        print_nested(e->field.of, out);
        text_printf(out, ".%s", e->field.name.s);
        return;
    case TREE_UNARY:
        text_printf(out, "%s%s", tree_op_text(e->unary.op), e->unary.op == TREE_NOT ? " " : "");
        print_nested(e->unary.x, out);
        return;
    case TREE_BINARY: {
        const char *gap = e->binary.op == TREE_RANGE ? "" : " ";
        print_nested(e->binary.l, out);
        text_printf(out, "%s%s%s", gap, tree_op_text(e->binary.op), gap);
        print_nested(e->binary.r, out);
        return;
    }
    case TREE_SCAN:
        text_printf(out, "scan %s in ", e->scan.name.s);
        tree_print_expr(e->scan.over, out);
        text_printf(out, " ");
        print_block(e->scan.body, indent, out);
        return;
    }
}

void tree_print_expr(const struct tree_expr *e, struct text *out) { print_expr(e, 0, out); }

void tree_print_type(const struct tree_type *t, struct text *out)
{
    switch (t->kind) {
    case TREE_TYPE_NAMED:
        text_printf(out, "%s", t->named.name);
        if (t->named.shaped) {
            text_printf(out, "[");
            print_items(&t->named.dims, out);
            text_printf(out, "]");
        }
        return;
    case TREE_TYPE_LIST:
        text_printf(out, "[");
        tree_print_type(t->list, out);
        text_printf(out, "]");
        return;
    case TREE_TYPE_TUPLE:
        text_printf(out, "(");
        for (uint32_t i = 0; i < t->tuple.n; i++) {
            text_printf(out, i ? ", " : "");
            if (t->tuple.name[i].s)
                text_printf(out, "%s: ", t->tuple.name[i].s);
            tree_print_type(t->tuple.type[i], out);
        }
        text_printf(out, ")");
        return;
    }
}

/* ---- statements ---- */

static void print_names(const struct tree_names *l, const char *between, struct text *out)
{
    for (uint32_t i = 0; i < l->n; i++)
        text_printf(out, "%s%s", i ? between : "", l->p[i].s);
}

static void print_typed(const char *name, const struct tree_type *type,
                        const struct tree_expr *value, struct text *out)
{
    text_printf(out, "%s", name);
    if (type) {
        text_printf(out, ": ");
        tree_print_type(type, out);
    }
    if (value) {
        text_printf(out, " = ");
        tree_print_expr(value, out);
    }
}

static void print_bind(const struct tree_stmt *s, int indent, struct text *out)
{
    print_names(&s->bind.targets, ", ", out);
    if (s->bind.type) {
        text_printf(out, ": ");
        tree_print_type(s->bind.type, out);
    }
    text_printf(out, s->bind.targets.n ? " = " : "");
    print_expr(s->bind.value, indent, out);
}

static void print_if(const struct tree_stmt *s, int indent, struct text *out)
{
    text_printf(out, "if ");
    tree_print_expr(s->branch.test, out);
    text_printf(out, " ");
    print_block(s->branch.then, indent, out);
    if (s->branch.other) {
        text_printf(out, " else ");
        print_block(s->branch.other, indent, out);
    }
}

static void print_stmt(const struct tree_stmt *s, int indent, struct text *out)
{
    switch (s->kind) {
    case TREE_BIND: print_bind(s, indent, out); return;
    case TREE_SET:
        text_printf(out, "%s[", s->set.name.s);
        print_items(&s->set.items, out);
        text_printf(out, "] = ");
        tree_print_expr(s->set.value, out);
        return;
    case TREE_METRIC:
    case TREE_PARAM:
    case TREE_STATE:
        text_printf(out, "%s ",
                    s->kind == TREE_METRIC  ? "metric"
                    : s->kind == TREE_PARAM ? "param"
                                            : "state");
        print_typed(s->var.name.s, s->var.type, s->var.value, out);
        return;
    case TREE_RETURN:
    case TREE_YIELD:
        text_printf(out, s->kind == TREE_RETURN ? "return " : "yield ");
        tree_print_expr(s->value, out);
        return;
    case TREE_IF: print_if(s, indent, out); return;
    case TREE_FOR:
        text_printf(out, "for %s in ", s->loop.name.s);
        tree_print_expr(s->loop.over, out);
        text_printf(out, " ");
        print_block(s->loop.body, indent, out);
        return;
    case TREE_CHECKPOINT:
        text_printf(out, "checkpoint ");
        print_block(s->body, indent, out);
        return;
    }
}

static void print_block(const struct tree_block *b, int indent, struct text *out)
{
    text_printf(out, "{\n");
    for (uint32_t i = 0; i < b->n; i++) {
        pad(indent + 1, out);
        print_stmt(b->p[i], indent + 1, out);
        text_printf(out, "\n");
    }
    pad(indent, out);
    text_printf(out, "}");
}

/* ---- declarations ---- */

static void print_params(const struct tree_params *l, struct text *out)
{
    text_printf(out, "(");
    for (uint32_t i = 0; i < l->n; i++) {
        text_printf(out, i ? ", " : "");
        print_typed(l->p[i].name.s, l->p[i].type, l->p[i].value, out);
    }
    text_printf(out, ")");
}

static void print_function(const char *word, const struct tree_decl *d, struct text *out)
{
    const struct tree_function *f = &d->fn;
    text_printf(out, "%s%s %s", f->exported ? "export " : "", word, d->name.s);
    if (f->has_config)
        print_params(&f->config, out);
    print_params(&f->input, out);
    if (f->result) {
        text_printf(out, " -> ");
        tree_print_type(f->result, out);
    }
    text_printf(out, f->body ? " " : " = ");
    if (f->body)
        print_block(f->body, 0, out);
    else
        tree_print_expr(f->value, out);
    if (f->has_gradient) {
        text_printf(out, "\n  gradient (");
        print_names(&f->gradient_names, ", ", out);
        text_printf(out, f->gradient_body ? ") " : ") = ");
        if (f->gradient_body)
            print_block(f->gradient_body, 1, out);
        else
            tree_print_expr(f->gradient, out);
    }
}

static void print_fields(const struct tree_fields *l, int indent, struct text *out)
{
    for (uint32_t i = 0; i < l->n; i++) {
        const struct tree_field *f = &l->p[i];
        pad(indent, out);
        print_typed(f->name.s, f->type, NULL, out);
        text_printf(out, " from ");
        tree_print_expr(f->source, out);
        text_printf(out, "\n");
    }
}

static void print_dataset(const struct tree_decl *d, struct text *out)
{
    text_printf(out, "dataset %s {\n", d->name.s);
    print_fields(&d->dataset.fields, 1, out);
    for (uint32_t i = 0; i < d->dataset.splits.n; i++) {
        const struct tree_split *s = &d->dataset.splits.p[i];
        text_printf(out, "  %s %s", s->name.s, s->share ? "= " : "{\n");
        if (s->share) {
            tree_print_expr(s->share, out);
            text_printf(out, "\n");
        } else {
            print_fields(&s->fields, 2, out);
            text_printf(out, "  }\n");
        }
    }
    text_printf(out, "}");
}

static void print_decl(const struct tree_decl *d, struct text *out)
{
    switch (d->kind) {
    case TREE_USE:
        text_printf(out, "use ");
        print_names(&d->use, ".", out);
        if (d->name.s)
            text_printf(out, " as %s", d->name.s);
        break;
    case TREE_CONST:
        text_printf(out, "const ");
        print_typed(d->name.s, NULL, d->value, out);
        break;
    case TREE_FN: print_function("fn", d, out); break;
    case TREE_LAYER: print_function("layer", d, out); break;
    case TREE_MODEL: print_function("model", d, out); break;
    case TREE_OPTIMIZER: print_function("optimizer", d, out); break;
    case TREE_DATASET: print_dataset(d, out); break;
    case TREE_TRAIN:
        text_printf(out, "train ");
        print_items(&d->train.models, out);
        text_printf(out, " on ");
        print_names(&d->train.datasets, ", ", out);
        text_printf(out, " ");
        print_block(d->train.body, 0, out);
        break;
    }
    text_printf(out, "\n");
}

void tree_print(const struct tree_file *t, struct text *out)
{
    for (uint32_t i = 0; i < t->decls.n; i++) {
        text_printf(out, i ? "\n" : "");
        print_decl(t->decls.p[i], out);
    }
}
