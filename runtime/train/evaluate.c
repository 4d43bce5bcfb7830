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

struct nn_evaluator {
    struct nn_exec *exec;
    const struct nn_data *data;
    struct nn_loader *loader, *own;
    int64_t batch;
    struct binding full, tail[NN_SPLITS];
    int metrics;
    struct values values;
};

/* The graph `eval.tail…` whose inputs have `n` samples, or -1. */
static int find_tail(const struct nn_exec *e, int64_t n)
{
    uint32_t graphs = nn_exec_image(e)->graph_count;
    for (uint32_t g = 0; g < graphs; g++) {
        const struct nn_graph_rec *r = nn_exec_graph_rec(e, (int)g);
        const struct nn_value_rec *in = nn_exec_inputs(e, (int)g);
        if (!strncmp(nn_exec_text(e, r->name), "eval.tail", 9) && r->input_count && in->rank &&
            in->dim[0] == n)
            return (int)g;
    }
    return -1;
}

static enum nn_status open_parts(struct nn_evaluator *ev, struct nn_message *m)
{
    const struct nn_exec *e = ev->exec;
    enum nn_status s = NN_OK;
    int full = nn_exec_graph(e, "eval");
    ev->metrics = nn_exec_graph(e, "metrics");
    if (ev->metrics < 0)
        return nn_fail(m, NN_USAGE, "the image has no graph `metrics`");
    s = values_open(&ev->values, e, ev->metrics, m);
    if (!s && full >= 0)
        s = binding_open(&ev->full, e, ev->data, full, ev->batch, m);
    for (int k = 0; !s && k < NN_SPLITS; k++) {
        int64_t n = nn_data_count(ev->data, (enum nn_split)k) % ev->batch;
        int tail = n ? find_tail(e, n) : -1;
        if (tail >= 0)
            s = binding_open(&ev->tail[k], e, ev->data, tail, n, m);
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
    binding_close(&ev->full);
    for (int k = 0; k < NN_SPLITS; k++)
        binding_close(&ev->tail[k]);
    values_close(&ev->values);
    free(ev);
}

enum nn_status nn_evaluator_check(const struct nn_evaluator *ev, enum nn_split split,
                                  struct nn_message *m)
{
    int64_t n = nn_data_count(ev->data, split);
    if (!n)
        return nn_fail(m, NN_REFUSED, "the data set has no %s split", nn_split_name(split));
    if (n >= ev->batch && !ev->full.field)
        return nn_fail(m, NN_USAGE, "the image has no graph `eval`");
    if (n % ev->batch && !ev->tail[split].field)
        return nn_fail(m, NN_USAGE,
                       "the image has no graph `eval.tail` for the last %lld samples of %s",
                       (long long)(n % ev->batch), nn_split_name(split));
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

enum nn_status nn_evaluate(struct nn_evaluator *ev, enum nn_split split,
                           const volatile sig_atomic_t *stop, struct nn_message *m)
{
    enum nn_status s = nn_evaluator_check(ev, split, m);
    if (s)
        return s;
    int64_t n = nn_data_count(ev->data, split);
    struct nn_plan p = {.walk = {.split = split}, .batches = n / ev->batch, .tail = n % ev->batch};
    nn_exec_reset_accumulators(ev->exec);
    nn_loader_start(ev->loader, &p);
    for (int64_t k = 0; !s && k < p.batches + (p.tail > 0); k++) {
        struct binding *b = k < p.batches ? &ev->full : &ev->tail[split];
        s = finish_runs(ev->exec, stop && *stop ? 1 : nn_exec_depth(ev->exec, b->graph), m);
        if (!s && stop && *stop)
            return nn_fail(m, NN_INTERRUPTED, "the evaluation was interrupted");
        if (!s)
            s = binding_start(b, ev->exec, nn_loader_next(ev->loader), m);
    }
    if (!s)
        s = finish_runs(ev->exec, 1, m);
    if (!s)
        s = nn_exec_run(ev->exec, ev->metrics, NULL, m);
    if (!s)
        values_read(&ev->values, ev->exec, ev->metrics);
    return s;
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
