/* A data set: fields read from files, split into train, test and valid, gathered by sample. Files
 * are kept as they are stored; integers widen when they are gathered. */
#include "common.h"
#include "data/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAW_KEY 0x6e6e2064726177u /* the draw of shares, the same for every seed */

/* How one field's samples of one split lie in an array. */
struct view {
    const struct nn_array *a; /* NULL: the split does not exist */
    size_t row;               /* elements */
    int64_t window;           /* rows a sample */
    int64_t first, stride;    /* rows; not read if drawn */
    int64_t count;            /* samples */
    bool drawn;               /* sample i is row order(base + i) of all rows */
    int64_t base;
};

struct field {
    struct nn_field f;
    size_t elements; /* a sample's */
    struct nn_array file[NN_SPLITS];
    struct view view[NN_SPLITS];
    int64_t total; /* samples of the training file, before shares are taken */
    uint32_t group;
};

struct nn_data {
    uint32_t fields;
    struct field *field;
    int64_t count[NN_SPLITS];
};

const char *nn_split_name(enum nn_split s)
{
    switch (s) {
    case NN_TRAIN: return "train";
    case NN_TEST: return "test";
    case NN_VALID: return "valid";
    case NN_SPLITS: break;
    }
    return "?";
}

/* ---- reading ---- */

static char *join(const char *dir, const char *file)
{
    if (!dir || !*dir || file[0] == '/')
        return strdup(file);
    char *p = malloc(strlen(dir) + strlen(file) + 2);
    if (p)
        sprintf(p, "%s/%s", dir, file);
    return p;
}

static enum nn_status read_file(const struct nn_source *src, const struct nn_schema *schema,
                                const char *path, struct nn_array *a, struct nn_message *m)
{
    enum nn_status s = NN_OK;
    switch (src->kind) {
    case NN_SOURCE_IDX: return nn_idx_read(path, schema, a, m);
    case NN_SOURCE_NPY: return nn_npy_read(path, schema, a, m);
    case NN_SOURCE_BYTES:
        s = nn_bytes_read(path, a, m);
        return s ? s : nn_schema_check(schema, a, path, m);
    }
    return nn_fail(m, NN_USAGE, "%s: unknown kind of source", path);
}

static enum nn_status check_limit(const struct nn_field *f, const struct nn_array *a,
                                  const char *path, struct nn_message *m)
{
    size_t n = a->bytes / nn_dtype_size(a->dtype), row = 1;
    for (uint32_t i = 1; i < a->rank; i++)
        row *= (size_t)a->dim[i];
    if (!f->limit || nn_dtype_float(a->dtype) || (a->dtype == NN_u8 && f->limit > 255))
        return NN_OK;
    for (size_t i = 0; i < n; i++) {
        int64_t v = nn_get_int(a->dtype, a->data, i);
        if ((v >= 0 && v < f->limit) || (f->spares && v == f->spare))
            continue;
        nn_fail(m, NN_REFUSED, "%s: entry %zu is %lld; %s must be in 0..%lld", path, i / row,
                (long long)v, f->name, (long long)f->limit);
        if (f->spares && (f->spare >= 0 || a->dtype != NN_u8))
            nn_append(m->text, sizeof m->text, " or %lld", (long long)f->spare);
        return NN_REFUSED;
    }
    return NN_OK;
}

static enum nn_status read_source(struct field *x, enum nn_split split, const char *dir,
                                  struct nn_message *m)
{
    const struct nn_source *src = &x->f.source[split];
    struct nn_schema schema = {x->f.dtype, x->f.rank, x->f.dim, x->f.name};
    if (src->windows && !x->f.rank)
        return nn_fail(m, NN_REFUSED, "%s is a scalar; windows need an axis to run along",
                       x->f.name);
    if (src->windows) {
        schema.rank--;
        schema.dim++;
    }
    char *path = join(dir, src->file);
    if (!path)
        return nn_fail(m, NN_MACHINE, "out of memory");
    enum nn_status s = read_file(src, &schema, path, &x->file[split], m);
    if (!s && x->file[split].rank == 0)
        s = nn_fail(m, NN_REFUSED, "%s holds a single number, not samples", path);
    if (!s)
        s = check_limit(&x->f, &x->file[split], path, m);
    free(path);
    return s;
}

/* ---- splits ---- */

static struct view view_of(const struct nn_array *a, const struct nn_field *f,
                           const struct nn_source *src)
{
    struct view v = {.a = a, .row = 1, .window = 1, .stride = 1};
    for (uint32_t i = 1; i < a->rank; i++)
        v.row *= (size_t)a->dim[i];
    if (src->windows) {
        v.window = f->dim[0];
        v.stride = src->stride > 0 ? src->stride : v.window;
    }
    return v;
}

static int64_t windows_in(const struct view *v, int64_t rows)
{
    return rows < v->window || v->window <= 0 ? 0 : (rows - v->window) / v->stride + 1;
}

/* All three splits out of the training file. */
static void share_out(struct field *x)
{
    const double *share = x->f.share;
    const struct nn_source *src = &x->f.source[NN_TRAIN];
    const struct nn_array *a = &x->file[NN_TRAIN];
    int64_t rows = a->dim[0], test = (int64_t)((double)rows * share[NN_TEST] + 1e-9),
            valid = (int64_t)((double)rows * share[NN_VALID] + 1e-9);
    int64_t size[NN_SPLITS] = {
        [NN_TRAIN] = rows - test - valid, [NN_TEST] = test, [NN_VALID] = valid};
    int64_t first[NN_SPLITS] = {
        [NN_TRAIN] = 0, [NN_TEST] = rows - test, [NN_VALID] = rows - test - valid};
    bool cut = test || valid;
    struct view whole = view_of(a, &x->f, src);
    x->total = windows_in(&whole, rows);
    for (int s = 0; s < NN_SPLITS; s++) {
        if (s != NN_TRAIN && share[s] <= 0)
            continue;
        struct view v = whole;
        if (src->windows) {
            if (s != NN_TRAIN)
                v.stride = v.window;
            v.first = first[s];
            v.count = windows_in(&v, size[s]);
        } else {
            v.drawn = cut;
            v.base = first[s];
            v.count = size[s];
        }
        x->view[s] = v;
    }
}

static enum nn_status open_field(struct field *x, const struct nn_data_options *o,
                                 struct nn_message *m)
{
    if (!nn_tensor_bytes(x->f.dtype, x->f.rank, x->f.dim, &x->elements))
        return nn_fail(m, NN_REFUSED, "field %s: the shape is impossible", x->f.name);
    x->elements /= nn_dtype_size(x->f.dtype);
    if (!x->f.source[NN_TRAIN].file)
        return nn_fail(m, NN_REFUSED, "field %s has no file", x->f.name);
    enum nn_status s = read_source(x, NN_TRAIN, o->dir, m);
    if (s)
        return s;
    share_out(x);
    for (enum nn_split k = NN_TEST; k < NN_SPLITS; k++) {
        if (!x->f.source[k].file)
            continue;
        if (x->f.share[k] > 0)
            return nn_fail(m, NN_REFUSED, "field %s has a %s file and a %s share", x->f.name,
                           nn_split_name(k), nn_split_name(k));
        s = read_source(x, k, o->dir, m);
        if (s)
            return s;
        x->view[k] = view_of(&x->file[k], &x->f, &x->f.source[k]);
        x->view[k].count = windows_in(&x->view[k], x->file[k].dim[0]);
    }
    return NN_OK;
}

/* What the training files hold, before a share of it is taken. */
static enum nn_status same_totals(const struct nn_data *d, struct nn_message *m)
{
    for (uint32_t i = 0; i < d->fields; i++)
        for (uint32_t j = 0; j < i; j++) {
            const struct field *a = &d->field[j], *b = &d->field[i];
            if (a->group == b->group && a->total != b->total)
                return nn_fail(m, NN_REFUSED, "%s has %lld samples (%s), but %s has %lld (%s)",
                               a->f.name, (long long)a->total, a->f.source[NN_TRAIN].file,
                               b->f.name, (long long)b->total, b->f.source[NN_TRAIN].file);
        }
    return NN_OK;
}

/* The fields of one data set have the same number of samples; of several, the fewest count. */
static enum nn_status count_split(struct nn_data *d, enum nn_split k, struct nn_message *m)
{
    int64_t fewest = -1;
    uint32_t with = 0;
    for (uint32_t i = 0; i < d->fields; i++) {
        const struct view *v = &d->field[i].view[k];
        with += v->a != NULL;
        if (v->a && (fewest < 0 || v->count < fewest))
            fewest = v->count;
        for (uint32_t j = 0; v->a && j < i; j++)
            if (d->field[j].group == d->field[i].group && d->field[j].view[k].a &&
                d->field[j].view[k].count != v->count)
                return nn_fail(m, NN_REFUSED, "%s: %s has %lld samples, but %s has %lld",
                               nn_split_name(k), d->field[j].f.name,
                               (long long)d->field[j].view[k].count, d->field[i].f.name,
                               (long long)v->count);
    }
    if (with && with < d->fields)
        for (uint32_t i = 0; i < d->fields; i++)
            if (!d->field[i].view[k].a)
                return nn_fail(m, NN_REFUSED, "field %s has no %s file, others have",
                               d->field[i].f.name, nn_split_name(k));
    if (fewest == 0)
        return nn_fail(m, NN_REFUSED, "the %s split has no samples", nn_split_name(k));
    d->count[k] = with ? fewest : 0;
    return NN_OK;
}

/* `a.image` and `a.label` are one group, bare names another. */
static uint32_t group_of(const struct nn_data *d, uint32_t i)
{
    const char *name = d->field[i].f.name, *dot = strchr(name, '.');
    size_t n = dot ? (size_t)(dot - name) + 1 : 0;
    for (uint32_t j = 0; j < i; j++) {
        const char *other = d->field[j].f.name;
        if (n ? !strncmp(name, other, n) : !strchr(other, '.'))
            return d->field[j].group;
    }
    return i;
}

static enum nn_status open_all(struct nn_data *d, const struct nn_data_options *o,
                               struct nn_message *m)
{
    enum nn_status s = NN_OK;
    for (uint32_t i = 0; !s && i < d->fields; i++) {
        const double *share = o->field[i].share;
        if (!(share[NN_TEST] >= 0 && share[NN_VALID] >= 0 && share[NN_TEST] + share[NN_VALID] < 1))
            return nn_fail(m, NN_REFUSED,
                           "the shares of test and valid must be less than 1 in all");
        d->field[i].f = o->field[i];
        d->field[i].group = group_of(d, i);
        s = open_field(&d->field[i], o, m);
    }
    if (!s)
        s = same_totals(d, m);
    for (enum nn_split k = NN_TRAIN; !s && k < NN_SPLITS; k++)
        s = count_split(d, k, m);
    return s;
}

enum nn_status nn_data_open(struct nn_data **out, const struct nn_data_options *o,
                            struct nn_message *m)
{
    *out = NULL;
    struct nn_data *d = calloc(1, sizeof *d);
    struct field *f = calloc(o->fields + 1u, sizeof *f);
    if (!d || !f) {
        free(d);
        free(f);
        return nn_fail(m, NN_MACHINE, "out of memory");
    }
    *d = (struct nn_data){.fields = o->fields, .field = f};
    enum nn_status s = open_all(d, o, m);
    if (s)
        nn_data_close(d);
    else
        *out = d;
    return s;
}

void nn_data_close(struct nn_data *d)
{
    if (!d)
        return;
    for (uint32_t i = 0; i < d->fields; i++)
        for (int k = 0; k < NN_SPLITS; k++)
            nn_array_free(&d->field[i].file[k]);
    free(d->field);
    free(d);
}

int64_t nn_data_count(const struct nn_data *d, enum nn_split s) { return d->count[s]; }

uint32_t nn_data_fields(const struct nn_data *d) { return d->fields; }

const struct nn_field *nn_data_field(const struct nn_data *d, uint32_t i) { return &d->field[i].f; }

int64_t nn_data_field_count(const struct nn_data *d, uint32_t field, enum nn_split s)
{
    return d->field[field].view[s].a ? d->field[field].view[s].count : 0;
}

int nn_data_find(const struct nn_data *d, const char *name)
{
    for (uint32_t i = 0; i < d->fields; i++)
        if (!strcmp(d->field[i].f.name, name))
            return (int)i;
    return -1;
}

size_t nn_data_sample_bytes(const struct nn_data *d, uint32_t field)
{
    return d->field[field].elements * nn_dtype_size(d->field[field].f.dtype);
}

void nn_data_gather(const struct nn_data *d, uint32_t field, const struct nn_walk *w, int64_t first,
                    int64_t n, void *out)
{
    const struct field *x = &d->field[field];
    const struct view *v = &x->view[w->split];
    enum nn_dtype from = v->a->dtype, to = x->f.dtype;
    size_t row = v->row * nn_dtype_size(from), sample = x->elements * nn_dtype_size(to);
    uint64_t key = nn_mix(nn_mix(w->seed, 1 + (uint64_t)w->epoch), x->group);
    for (int64_t k = 0; k < n; k++) {
        int64_t i = first + k;
        i = w->shuffle ? nn_order(key, v->count, i) : i;
        i = v->drawn ? nn_order(DRAW_KEY, v->a->dim[0], v->base + i) : v->first + i * v->stride;
        nn_convert(to, (char *)out + (size_t)k * sample, from,
                   (const char *)v->a->data + (size_t)i * row, x->elements);
    }
}
