/* Evaluation: accumulators to their identities, every sample of a split once, then the metrics. */
#include "train/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- graphs and fields ---- */

static enum nn_status bind_input(struct binding *b, const struct nn_exec *e,
                                 const struct nn_data *d, uint32_t i, int64_t batch,
                                 struct nn_message *m)
{
    const struct nn_value_rec *v = &nn_exec_inputs(e, b->graph)[i];
    const char *name = nn_exec_text(e, v->name);
    int at = nn_data_find(d, name);
    if (at < 0)
        return nn_fail(m, NN_USAGE, "the image wants a field %s, which the data set lacks", name);
    const struct nn_field *f = nn_data_field(d, (uint32_t)at);
    int64_t dim[NN_MAX_RANK + 1] = {batch};
    memcpy(dim + 1, f->dim, f->rank * sizeof *dim);
    b->field[i] = (uint32_t)at;
    if (v->dtype == f->dtype && v->rank == f->rank + 1 &&
        !memcmp(v->dim, dim, v->rank * sizeof *dim))
        return NN_OK;
    char want[128], have[128];
    nn_type_text(want, sizeof want, (enum nn_dtype)v->dtype, v->rank, v->dim);
    nn_type_text(have, sizeof have, f->dtype, f->rank + 1, dim);
    return nn_fail(m, NN_USAGE, "the image wants %s as %s, the data set gives %s", name, want,
                   have);
}

enum nn_status binding_open(struct binding *b, const struct nn_exec *e, const struct nn_data *d,
                            int graph, int64_t batch, struct nn_message *m)
{
    *b = (struct binding){.graph = graph, .inputs = nn_exec_graph_rec(e, graph)->input_count};
    b->field = calloc(b->inputs + 1u, sizeof *b->field);
    b->in = calloc(b->inputs + 1u, sizeof *b->in);
    if (!b->field || !b->in)
        return nn_fail(m, NN_MACHINE, "out of memory");
    for (uint32_t i = 0; i < b->inputs; i++) {
        enum nn_status s = bind_input(b, e, d, i, batch, m);
        if (s)
            return s;
    }
    return NN_OK;
}

void binding_close(struct binding *b)
{
    free(b->field);
    free(b->in);
    *b = (struct binding){0};
}

enum nn_status binding_start(struct binding *b, struct nn_exec *e, const void *const *fields,
                             struct nn_message *m)
{
    for (uint32_t i = 0; i < b->inputs; i++)
        b->in[i] = fields[b->field[i]];
    return nn_exec_start(e, b->graph, b->in, m);
}

static bool is_loss(const char *name)
{
    return !strcmp(name, "loss") || !strncmp(name, "loss.", 5);
}

enum nn_status values_open(struct values *v, const struct nn_exec *e, int graph,
                           struct nn_message *m)
{
    uint32_t n = nn_exec_graph_rec(e, graph)->output_count;
    const struct nn_value_rec *o = nn_exec_outputs(e, graph);
    *v = (struct values){0};
    v->v = calloc(n + 1u, sizeof *v->v);
    v->output = calloc(n + 1u, sizeof *v->output);
    if (!v->v || !v->output)
        return nn_fail(m, NN_MACHINE, "out of memory");
    for (int losses = 1; losses >= 0; losses--) {
        for (uint32_t i = 0; i < n; i++) {
            const char *name = nn_exec_text(e, o[i].name);
            bool one = o[i].bytes == nn_dtype_size((enum nn_dtype)o[i].dtype);
            if (is_loss(name) == (losses == 1) && strcmp(name, "lr") && one) {
                v->output[v->n] = (int)i;
                v->v[v->n++].name = name;
            }
        }
        v->losses = losses ? v->n : v->losses;
    }
    return NN_OK;
}

void values_close(struct values *v)
{
    free(v->v);
    free(v->output);
    *v = (struct values){0};
}

void values_read(struct values *v, const struct nn_exec *e, int graph)
{
    const struct nn_value_rec *o = nn_exec_outputs(e, graph);
    for (uint32_t i = 0; i < v->n; i++)
        v->v[i].value =
            nn_get((enum nn_dtype)o[v->output[i]].dtype, nn_exec_output(e, graph, v->output[i]), 0);
}

double values_loss(const struct values *v)
{
    double sum = 0;
    for (uint32_t i = 0; i < v->losses; i++)
        sum += v->v[i].value;
    return sum;
}

/* ---- the evaluator ---- */

/* The graphs over one combination of data sets: one for whole batches, one for the last samples of
 * each split. */
struct part {
    const char *sets; /* ".a.b"; "" for all */
    bool *field;      /* those of its data sets */
    struct binding full, tail[NN_SPLITS];
    int64_t count[NN_SPLITS]; /* samples: those of the smallest of its data sets */
};

struct nn_evaluator {
    struct nn_exec *exec;
    const struct nn_data *data;
    struct nn_loader *loader, *own;
    int64_t batch;
    uint32_t parts;
    struct part *part;
    int metrics;
    struct values values;
};

/* `eval` and `eval.a.b`, but not `eval.tail.5.a.b`: what follows `eval`. */
static const char *whole_batches(const char *name)
{
    if (strncmp(name, "eval", 4) || (name[4] && name[4] != '.'))
        return NULL;
    bool tail = !strncmp(name + 4, ".tail.", 6) && name[10] >= '0' && name[10] <= '9';
    return tail ? NULL : name + 4;
}

/* Whether the field `a.image` is of the sets `.b.a`. */
static bool field_of(const char *sets, const char *field)
{
    size_t n = strcspn(field, ".");
    for (const char *s = sets; *s; s += 1 + strcspn(s + 1, "."))
        if (strcspn(s + 1, ".") == n && !strncmp(s + 1, field, n))
            return true;
    return !*sets;
}

/* The graph `eval.tail.N` + sets, or -1. */
static int find_tail(const struct nn_exec *e, int64_t n, const char *sets)
{
    uint32_t graphs = nn_exec_image(e)->graph_count;
    for (uint32_t g = 0; g < graphs; g++) {
        const char *name = nn_exec_text(e, nn_exec_graph_rec(e, (int)g)->name);
        char *end;
        if (!strncmp(name, "eval.tail.", 10) && strtoll(name + 10, &end, 10) == n &&
            !strcmp(end, sets))
            return (int)g;
    }
    return -1;
}

static enum nn_status open_part(struct nn_evaluator *ev, struct part *p, int graph,
                                const char *sets, struct nn_message *m)
{
    uint32_t fields = nn_data_fields(ev->data);
    p->sets = sets;
    p->field = calloc(fields + 1u, sizeof *p->field);
    if (!p->field)
        return nn_fail(m, NN_MACHINE, "out of memory");
    for (int k = 0; k < NN_SPLITS; k++)
        p->count[k] = INT64_MAX;
    for (uint32_t i = 0; i < fields; i++) {
        p->field[i] = field_of(sets, nn_data_field(ev->data, i)->name);
        for (int k = 0; k < NN_SPLITS && p->field[i]; k++) {
            int64_t n = nn_data_field_count(ev->data, i, (enum nn_split)k);
            p->count[k] = n < p->count[k] ? n : p->count[k];
        }
    }
    enum nn_status s = p->count[NN_TRAIN] == INT64_MAX
                           ? nn_fail(m, NN_USAGE, "the data has no set for the graph eval%s", sets)
                           : binding_open(&p->full, ev->exec, ev->data, graph, ev->batch, m);
    for (enum nn_split k = NN_TEST; !s && k < NN_SPLITS; k++) {
        int64_t n = p->count[k] % ev->batch;
        int tail = n ? find_tail(ev->exec, n, sets) : -1;
        if (tail >= 0)
            s = binding_open(&p->tail[k], ev->exec, ev->data, tail, n, m);
    }
    return s;
}

static enum nn_status open_parts(struct nn_evaluator *ev, struct nn_message *m)
{
    const struct nn_exec *e = ev->exec;
    uint32_t graphs = nn_exec_image(e)->graph_count;
    ev->metrics = nn_exec_graph(e, "metrics");
    if (ev->metrics < 0)
        return nn_fail(m, NN_USAGE, "the image has no graph `metrics`");
    enum nn_status s = values_open(&ev->values, e, ev->metrics, m);
    ev->part = calloc(graphs + 1u, sizeof *ev->part);
    if (!ev->part)
        return nn_fail(m, NN_MACHINE, "out of memory");
    for (uint32_t g = 0; !s && g < graphs; g++) {
        const char *sets = whole_batches(nn_exec_text(e, nn_exec_graph_rec(e, (int)g)->name));
        if (sets)
            s = open_part(ev, &ev->part[ev->parts++], (int)g, sets, m);
    }
    if (!s && !ev->loader) {
        s = nn_loader_open(&ev->own, ev->data, ev->batch, m);
        ev->loader = ev->own;
    }
    return s;
}

enum nn_status nn_evaluator_open(struct nn_evaluator **out, struct nn_exec *e,
                                 const struct nn_data *d, int64_t batch, struct nn_loader *loader,
                                 struct nn_message *m)
{
    *out = NULL;
    if (batch <= 0)
        return nn_fail(m, NN_USAGE, "a batch of %lld", (long long)batch);
    struct nn_evaluator *ev = calloc(1, sizeof *ev);
    if (!ev)
        return nn_fail(m, NN_MACHINE, "out of memory");
    *ev = (struct nn_evaluator){.exec = e, .data = d, .loader = loader, .batch = batch};
    enum nn_status s = open_parts(ev, m);
    if (s)
        nn_evaluator_close(ev);
    else
        *out = ev;
    return s;
}

void nn_evaluator_close(struct nn_evaluator *ev)
{
    if (!ev)
        return;
    nn_loader_close(ev->own);
    for (uint32_t i = 0; i < ev->parts; i++) {
        binding_close(&ev->part[i].full);
        for (int k = 0; k < NN_SPLITS; k++)
            binding_close(&ev->part[i].tail[k]);
        free(ev->part[i].field);
    }
    free(ev->part);
    values_close(&ev->values);
    free(ev);
}

enum nn_status nn_evaluator_check(const struct nn_evaluator *ev, enum nn_split split,
                                  struct nn_message *m)
{
    if (!nn_data_count(ev->data, split))
        return nn_fail(m, NN_REFUSED, "the data set has no %s split", nn_split_name(split));
    if (!ev->parts)
        return nn_fail(m, NN_USAGE, "the image has no graph `eval`");
    for (uint32_t i = 0; i < ev->parts; i++) {
        const struct part *p = &ev->part[i];
        int64_t n = p->count[split] % ev->batch;
        if (n && !p->tail[split].field)
            return nn_fail(m, NN_USAGE,
                           "the image has no graph eval.tail.%lld%s for the last samples of %s",
                           (long long)n, p->sets, nn_split_name(split));
    }
    return NN_OK;
}

/* All that is under way, or as much as makes room for one more run of the graph. */
static enum nn_status finish_runs(struct nn_exec *e, int room, struct nn_message *m)
{
    enum nn_status s = NN_OK;
    while (!s && nn_exec_under_way(e) >= room && nn_exec_under_way(e))
        s = nn_exec_finish(e, m);
    return s;
}

static enum nn_status run_part(struct nn_evaluator *ev, struct part *part, enum nn_split split,
                               const volatile sig_atomic_t *stop, struct nn_message *m)
{
    int64_t n = part->count[split];
    struct nn_plan p = {.walk = {.split = split},
                        .field = part->field,
                        .batches = n / ev->batch,
                        .tail = n % ev->batch};
    enum nn_status s = NN_OK;
    nn_loader_start(ev->loader, &p);
    for (int64_t k = 0; !s && k < p.batches + (p.tail > 0); k++) {
        struct binding *b = k < p.batches ? &part->full : &part->tail[split];
        s = finish_runs(ev->exec, stop && *stop ? 1 : nn_exec_depth(ev->exec, b->graph), m);
        if (!s && stop && *stop)
            return nn_fail(m, NN_INTERRUPTED, "the evaluation was interrupted");
        if (!s)
            s = binding_start(b, ev->exec, nn_loader_next(ev->loader), m);
    }
    return s ? s : finish_runs(ev->exec, 1, m);
}

enum nn_status nn_evaluate(struct nn_evaluator *ev, enum nn_split split,
                           const volatile sig_atomic_t *stop, struct nn_message *m)
{
    enum nn_status s = nn_evaluator_check(ev, split, m);
    if (s)
        return s;
    nn_exec_reset_accumulators(ev->exec);
    for (uint32_t i = 0; !s && i < ev->parts; i++)
        s = run_part(ev, &ev->part[i], split, stop, m);
    if (!s)
        s = nn_exec_run(ev->exec, ev->metrics, NULL, m);
    if (!s)
        values_read(&ev->values, ev->exec, ev->metrics);
    return s;
}

void nn_append_samples(char *text, size_t size, const struct nn_data *d, enum nn_split split,
                       bool json)
{
    bool several = strchr(nn_data_field(d, 0)->name, '.') != NULL;
    if (!several)
        nn_append(text, size, json ? "%lld" : "%lld samples", (long long)nn_data_count(d, split));
    for (uint32_t i = 0; several && i < nn_data_fields(d); i++) {
        const char *name = nn_data_field(d, i)->name;
        int n = (int)strcspn(name, ".");
        long long count = (long long)nn_data_field_count(d, i, split);
        if (i && !strncmp(name, nn_data_field(d, i - 1)->name, (size_t)n + 1))
            continue;
        if (json)
            nn_append(text, size, "%s\"%.*s\":%lld", i ? "," : "{", n, name, count);
        else
            nn_append(text, size, i ? ", %lld of %.*s" : "%lld samples of %.*s", count, n, name);
    }
    nn_append(text, size, several && json ? "}" : "");
}

const struct nn_metric *nn_evaluator_metrics(const struct nn_evaluator *ev, uint32_t *n)
{
    *n = ev->values.n;
    return ev->values.v;
}

static bool by_name(const struct nn_metric *v) { return !strncmp(v->name, "loss.", 5); }

void nn_append_metrics(char *text, size_t size, const struct nn_metric *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        bool named = by_name(&v[i]), opens = named && (i == 0 || !by_name(&v[i - 1]));
        bool closes = named && (i + 1 == n || !by_name(&v[i + 1]));
        nn_append(text, size, "%s%s\"%s\":", i ? "," : "", opens ? "\"loss\":{" : "",
                  named ? v[i].name + 5 : v[i].name);
        nn_append_number(text, size, v[i].value);
        nn_append(text, size, "%s", closes ? "}" : "");
    }
}
