/* Datasets: a schema of one sample, and where its fields come from. */
#include "front/elab.h"

/* A source: idx("f"), windows(bytes("f"), stride = 1). The words are not names of functions. */
static const struct {
    const char *name;
    enum front_source source;
} sources[] = {
    {"idx", FRONT_IDX}, {"npy", FRONT_NPY},       {"bytes", FRONT_BYTES},
    {"csv", FRONT_CSV}, {"images", FRONT_IMAGES}, {"folders", FRONT_FOLDERS},
};

static bool bad_source(struct elab *e, struct loc at, const char *name)
{
    const char *known[COUNT(sources) + 1];
    for (size_t i = 0; i < COUNT(sources); i++)
        known[i] = sources[i].name;
    known[COUNT(sources)] = "windows";
    if (elab_error(e, at, "`%s` is no source of data%s", name,
                   elab_suggest(e, name, known, COUNT(known))))
        diag_label(e->d, "idx, npy, bytes, csv, images, folders or windows");
    return false;
}

static bool string_arg(struct elab *e, const struct tree_item *t, const char **out)
{
    val v = eval(e, t->value, NULL);
    if (v->kind == V_STRING) {
        *out = v->string;
        return true;
    }
    if (!v_bad(v))
        elab_error(e, t->at, "a file's name is a string, not %s", v_text(e, v));
    return false;
}

static bool int_arg(struct elab *e, const struct tree_item *t, int64_t *out)
{
    val v = eval(e, t->value, NULL);
    if (v_is_const_int(v, out) && *out >= 1)
        return true;
    if (!v_bad(v))
        elab_error(e, t->at, "`%s` is an integer of 1 or more, not %s", t->name.s, v_text(e, v));
    return false;
}

static bool csv_columns(struct elab *e, const struct tree_item *t, struct front_file *f)
{
    val v = eval(e, t->value, NULL), *p;
    uint32_t n;
    int64_t lo, hi;
    if (v_bad(v))
        return false;
    if (v->kind == V_STRING) {
        f->column_names = arena_dup(e->f->mem, &v->string, sizeof v->string);
        f->ncolumns = 1;
        return true;
    }
    if (v->kind == V_RANGE && dim_is_const(v->range.lo, &lo) && dim_is_const(v->range.hi, &hi) &&
        lo >= 0 && hi > lo) {
        f->column_first = lo;
        f->ncolumns = (uint32_t)(hi - lo);
        return true;
    }
    if (v->kind == V_LIST && members(e, v, t->at, &p, &n) && n) {
        const char **names = ARENA_ARRAY(e->f->mem, const char *, n);
        bool good = true;
        for (uint32_t i = 0; i < n; i++) {
            good = good && p[i]->kind == V_STRING;
            names[i] = good ? p[i]->string : NULL;
        }
        f->column_names = names;
        f->ncolumns = n;
        if (good)
            return true;
    }
    elab_error(e, t->at, "columns are a range, a name, or a list of names, not %s", v_text(e, v));
    return false;
}

static bool source_option(struct elab *e, const struct tree_item *t, const char *what, bool windows,
                          struct front_file *f)
{
    const char *name = t->name.s;
    if (windows && !strcmp(name, "stride"))
        return int_arg(e, t, &f->stride);
    if (!windows && f->source == FRONT_CSV && !strcmp(name, "columns"))
        return csv_columns(e, t, f);
    if (!windows && f->source == FRONT_IMAGES && !strcmp(name, "fit"))
        return string_arg(e, t, &f->fit);
    elab_error(e, t->at, "%s has no option `%s`", what, name);
    return false;
}

static bool source(struct elab *e, const struct tree_expr *x, struct front_file *f)
{
    if (x->kind != TREE_CALL || x->call.fn->kind != TREE_NAME) {
        elab_error(e, x->at, "a source is wanted here, as in idx(\"train-images.gz\")");
        return false;
    }
    const char *name = x->call.fn->name;
    bool windows = !strcmp(name, "windows"), found = windows, given = false;
    for (size_t i = 0; i < COUNT(sources); i++)
        if (!strcmp(name, sources[i].name)) {
            f->source = sources[i].source;
            found = true;
        }
    if (!found)
        return bad_source(e, x->call.fn->at, name);
    f->at = f->at.file ? f->at : x->at;
    for (uint32_t i = 0; i < x->call.items.n; i++) {
        const struct tree_item *t = &x->call.items.p[i];
        bool good = true;
        if (t->kind == TREE_ITEM_NAMED)
            good = source_option(e, t, name, windows, f);
        else if (t->kind != TREE_ITEM_VALUE || given)
            good =
                elab_error(e, t->at, "%s takes one %s", name, windows ? "source" : "file") && false;
        else
            good = windows ? source(e, t->value, f) : string_arg(e, t, &f->file);
        if (!good)
            return false;
        given = given || t->kind == TREE_ITEM_VALUE;
    }
    if (!given) {
        elab_error(e, x->at, "%s needs the name of a file", name);
        return false;
    }
    f->windows = f->windows || windows;
    return true;
}

/* ---- fields ---- */

static bool source_fits(struct elab *e, const struct tree_field *t, const struct front_file *f,
                        enum nn_dtype dtype, struct shape s)
{
    if (f->windows && s.rank != 1) {
        elab_error(e, t->type->at, "windows are runs of a stream: `%s` has one axis, as in u8[seq]",
                   t->name.s);
        return false;
    }
    if (f->source == FRONT_IMAGES && (s.rank != 3 || dtype != NN_u8)) {
        elab_error(e, t->type->at, "images are of type u8[3, h, w]");
        return false;
    }
    if (f->source == FRONT_FOLDERS && (s.rank || !nn_is_int(dtype))) {
        elab_error(e, t->type->at, "folders give a class: an integer");
        return false;
    }
    return true;
}

static bool field_type(struct elab *e, const struct tree_field *t, enum nn_dtype *dtype,
                       struct shape *s)
{
    if (!t->type) {
        elab_error(e, t->name.at,
                   "`%s` needs the type of one sample, as in `%s: u8[28, 28] from …`", t->name.s,
                   t->name.s);
        return false;
    }
    return type_known(e, t->type, dtype, s);
}

static struct field *field_named(struct train *t, const char *name, uint32_t from)
{
    for (uint32_t i = from; i < t->field.n; i++)
        if (t->field.p[i].out.own == name)
            return &t->field.p[i];
    return NULL;
}

static bool split_share(struct elab *e, const struct tree_split *s, double *share)
{
    bool known;
    val v = eval(e, s->share, NULL);
    if (v_bad(v))
        return false;
    *share = v_is_number(v) ? v_double(e, v, &known) : 0;
    if (*share > 0 && *share < 1)
        return true;
    elab_error(e, s->share->at, "a share is a number between 0 and 1, not %s", v_text(e, v));
    return false;
}

static bool split(struct elab *e, struct train *t, const struct tree_split *s, uint32_t from,
                  const char *dataset)
{
    bool test = !strcmp(s->name.s, "test"), good = true;
    if (!test && strcmp(s->name.s, "valid")) {
        static const char *const names[] = {"test", "valid"};
        elab_error(e, s->name.at, "a dataset's parts are `test` and `valid`, not `%s`%s", s->name.s,
                   elab_suggest(e, s->name.s, names, 2));
        return false;
    }
    if (s->share) {
        double share;
        good = split_share(e, s, &share);
        for (uint32_t k = from; good && k < t->field.n; k++) {
            struct front_field *f = &t->field.p[k].out;
            *(test ? &f->test_share : &f->valid_share) = share;
        }
        return good;
    }
    for (uint32_t i = 0; i < s->fields.n; i++) {
        const struct tree_field *x = &s->fields.p[i];
        struct field *f = field_named(t, x->name.s, from);
        struct front_file file = {0};
        if (!f) {
            const char *names[64];
            uint32_t n = 0;
            for (uint32_t k = from; k < t->field.n && n < COUNT(names); k++)
                names[n++] = t->field.p[k].out.own;
            elab_error(e, x->name.at, "the dataset %s has no field `%s`%s", dataset, x->name.s,
                       elab_suggest(e, x->name.s, names, n));
            good = false;
        } else if (x->type) {
            elab_error(e, x->type->at, "the type of `%s` was given before", x->name.s);
            good = false;
        } else if (source(e, x->source, &file)) {
            *(test ? &f->out.test : &f->out.valid) = file;
        } else {
            good = false;
        }
    }
    for (uint32_t k = from; good && k < t->field.n; k++)
        if (!(test ? t->field.p[k].out.test : t->field.p[k].out.valid).file) {
            elab_error(e, s->at, "`%s` gives no source for `%s`", s->name.s, t->field.p[k].out.own);
            good = false;
        }
    return good;
}

static bool add_field(struct elab *e, struct train *t, const struct tree_field *x,
                      const char *alias)
{
    enum nn_dtype dtype;
    struct shape s;
    struct field f = {.used = ARENA_NEW(e->mem, bool)};
    if (!field_type(e, x, &dtype, &s) || !source(e, x->source, &f.out.train) ||
        !source_fits(e, x, &f.out.train, dtype, s))
        return false;
    f.out.own = x->name.s;
    f.out.name = f.name = alias ? arena_printf(e->f->mem, "%s.%s", alias, x->name.s) : x->name.s;
    f.out.dtype = dtype;
    f.out.rank = s.rank;
    f.out.at = x->at;
    const struct dim *dim[NN_MAX_RANK + 1];
    dim[0] = dim_of_symbol(e->dims, e->batch);
    if (s.rank + 1 > NN_MAX_RANK) {
        elab_error(e, x->type->at, "a sample has at most %d axes", NN_MAX_RANK - 1);
        return false;
    }
    for (uint32_t i = 0; i < s.rank; i++) {
        dim[i + 1] = s.dim[i];
        if (dim_value(e->dims, s.dim[i], &f.out.dim[i]) && f.out.dim[i] < 1) {
            elab_error(e, x->type->at, "axis %u of `%s` is %lld", i, x->name.s,
                       (long long)f.out.dim[i]);
            return false;
        }
    }
    f.v = v_tensor(e, dtype, shape_of(e, s.rank + 1, dim), x->name.at);
    if (e->b) {
        const struct dim **dims;
        struct ir_axis *ax = emit_axes(e, &f.v->t.s, &dims);
        struct ir_node n = {.op = IR_input,
                            .dtype = (uint8_t)dtype,
                            .nd = (uint16_t)(s.rank + 1),
                            .dom = ax,
                            .name = f.name};
        emit_place(e, x->at, f.name);
        f.v->t.node = emit_append(e, &n, dims);
    }
    vec_push(&t->field, f);
    f.v->t.of = mark_moved(e, (struct field_mark){.field = nn_is_int(dtype) ? t->field.n : 0}, 0);
    return true;
}

bool dataset_fields(struct elab *e, struct train *t, const struct tree_decl *d, struct module *m,
                    const char *alias)
{
    struct frame *of = e->frame, f;
    uint32_t from = t->field.n;
    bool good = true;
    frame_push(e, &f, m, NULL, (struct loc){0});
    for (uint32_t i = 0; i < of->env.n; i++)
        if (of->env.p[i].v->kind == V_INT)
            vec_push(&f.env, of->env.p[i]);
    for (uint32_t i = 0; i < d->dataset.fields.n; i++)
        good = add_field(e, t, &d->dataset.fields.p[i], alias) && good;
    for (uint32_t i = 0; good && i < d->dataset.splits.n; i++)
        good = split(e, t, &d->dataset.splits.p[i], from, d->name.s);
    frame_pop(e, &f);
    return good;
}

/* ---- names that the dataset leaves free ---- */

static bool uses_free(struct elab *e, const struct tree_expr *x, struct module *m, const char *name)
{
    struct module *in;
    switch (x->kind) {
    case TREE_NAME: return x->name == name && !module_decl(m, name, &in);
    case TREE_UNARY: return uses_free(e, x->unary.x, m, name);
    case TREE_BINARY:
        return uses_free(e, x->binary.l, m, name) || uses_free(e, x->binary.r, m, name);
    default: /* the others hold no free size */ return false;
    }
}

bool dataset_free_name(struct elab *e, const struct tree_decl *d, struct module *m,
                       const char *name)
{
    for (uint32_t i = 0; i < d->dataset.fields.n; i++) {
        const struct tree_type *t = d->dataset.fields.p[i].type;
        for (uint32_t k = 0; t && t->kind == TREE_TYPE_NAMED && k < t->named.dims.n; k++)
            if (t->named.dims.p[k].value && uses_free(e, t->named.dims.p[k].value, m, name))
                return true;
    }
    return false;
}

static void bind_free(struct elab *e, const struct tree_expr *x)
{
    struct module *in;
    if (x->kind == TREE_UNARY)
        bind_free(e, x->unary.x);
    if (x->kind == TREE_BINARY) {
        bind_free(e, x->binary.l);
        bind_free(e, x->binary.r);
    }
    if (x->kind == TREE_NAME && !env_find(e, x->name) && !module_decl(e->frame->mod, x->name, &in))
        env_bind(e, x->name, v_int(e, dim_of_symbol(e->dims, dim_symbol(e->dims, x->name)), x->at),
                 x->at);
}

bool dataset_check(struct elab *e, const struct tree_decl *d, struct module *m)
{
    struct train t = {0};
    struct frame f;
    bool own = !e->batch;
    if (own)
        e->batch = dim_symbol(e->dims, "batch");
    frame_push(e, &f, m, NULL, (struct loc){0});
    for (uint32_t i = 0; i < d->dataset.fields.n; i++) {
        const struct tree_type *type = d->dataset.fields.p[i].type;
        for (uint32_t k = 0; type && type->kind == TREE_TYPE_NAMED && k < type->named.dims.n; k++)
            if (type->named.dims.p[k].value)
                bind_free(e, type->named.dims.p[k].value);
    }
    bool good = dataset_fields(e, &t, d, m, NULL);
    frame_pop(e, &f);
    vec_free(&t.field);
    return good;
}
