/* Made-up weights and inputs are pure functions of names and positions: alike on all machines. */
#include "model/probe.h"
#include "common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 200 /* results of one output */, STEPS = 2 };

static uint64_t name_key(const char *name) { return nn_hash(name, strlen(name)); }

/* In [0, 1), with the 24 bits that an f32 holds. */
static double unit(uint64_t key, uint64_t i) { return (double)(nn_mix(key, i) >> 40) * 0x1p-24; }

/* Matrices as Kaiming's bound would have them; scales, shifts and states stay away from 0. */
static double made_up_weight(const struct nn_slot_rec *s, uint64_t key, uint64_t i)
{
    double in = 1;
    for (uint32_t k = 1; k < s->rank; k++)
        in *= (double)s->dim[k];
    double u = unit(key, i);
    return s->kind == NN_SLOT_PARAM && s->rank > 1 ? (2 * u - 1) * sqrt(3 / (in + 1)) : u + 0.25;
}

/* What the initialisers give to optimiser and step, then made-up parameters and states. */
static enum nn_status fill_slots(struct nn_exec *e, struct nn_message *m)
{
    int init = nn_exec_graph(e, "init");
    nn_exec_set_scalar(e, "step", 0);
    nn_exec_set_scalar(e, "steps", 100);
    nn_exec_set_scalar(e, "steps_per_epoch", 10);
    nn_exec_set_scalar(e, "seed", 42);
    enum nn_status s = init < 0 ? NN_OK : nn_exec_run(e, init, NULL, m);
    if (!s)
        s = nn_exec_fetch(e, m);
    for (uint32_t n = 0; n < nn_exec_image(e)->slot_count; n++) {
        const struct nn_slot_rec *r = nn_exec_slot_rec(e, (int)n);
        enum nn_dtype t = (enum nn_dtype)r->dtype;
        uint64_t key = name_key(nn_exec_text(e, r->name));
        bool real = nn_dtype_float(t) && (r->kind == NN_SLOT_PARAM || r->kind == NN_SLOT_STATE);
        for (size_t i = 0; real && i < r->bytes / nn_dtype_size(t); i++)
            nn_set(t, nn_exec_slot(e, (int)n), i, made_up_weight(r, key, i));
        if (real)
            nn_exec_changed(e, (int)n);
    }
    nn_exec_reset_accumulators(e);
    return s;
}

static void fill_input(const struct nn_exec *e, const struct nn_value_rec *v, uint64_t limit,
                       void *p)
{
    enum nn_dtype t = (enum nn_dtype)v->dtype;
    uint64_t key = name_key(nn_exec_text(e, v->name));
    limit = v->limit ? (uint64_t)v->limit : t == NN_bool && limit > 2 ? 2 : limit;
    for (size_t i = 0; i < v->bytes / nn_dtype_size(t); i++)
        nn_set(t, p, i,
               nn_dtype_float(t) ? unit(key, i) : (double)(nn_mix(key, i) % (limit ? limit : 1)));
}

static void note(struct nn_probe *p, enum nn_dtype t, double v)
{
    if (p->count == NN_PROBE_MOST)
        return;
    p->dtype[p->count] = (uint8_t)t;
    p->group[p->count] = p->groups;
    p->result[p->count++] = v;
}

/* Some elements of every output, evenly spread. */
static void note_outputs(const struct nn_exec *e, int graph, bool losses, struct nn_probe *p)
{
    const struct nn_value_rec *v = nn_exec_outputs(e, graph);
    for (uint32_t o = 0; o < nn_exec_graph_rec(e, graph)->output_count; o++) {
        enum nn_dtype t = (enum nn_dtype)v[o].dtype;
        size_t n = v[o].bytes / nn_dtype_size(t), by = n / SAMPLES + 1;
        if (!losses || !strncmp(nn_exec_text(e, v[o].name), "loss", 4))
            for (size_t i = 0; nn_dtype_float(t) && i < n; i += by)
                note(p, t, nn_get(t, nn_exec_output(e, graph, (int)o), i));
        p->groups++;
    }
}

static enum nn_status run(struct nn_exec *e, int graph, int times, uint64_t limit,
                          struct nn_probe *p, struct nn_message *m)
{
    const struct nn_graph_rec *g = nn_exec_graph_rec(e, graph);
    const struct nn_value_rec *v = nn_exec_inputs(e, graph);
    void **in = calloc(g->input_count + 1u, sizeof *in);
    enum nn_status s = in ? NN_OK : nn_fail(m, NN_MACHINE, "out of memory");
    for (uint32_t i = 0; !s && i < g->input_count; i++) {
        in[i] = nn_alloc(NULL, v[i].bytes);
        if (in[i])
            fill_input(e, &v[i], limit, in[i]);
        else
            s = nn_fail(m, NN_MACHINE, "out of memory");
    }
    for (int k = 0; !s && k < times; k++) {
        s = nn_exec_run(e, graph, (const void *const *)in, m);
        if (!s)
            note_outputs(e, graph, times > 1, p);
    }
    for (uint32_t i = 0; in && i < g->input_count; i++)
        nn_release(NULL, in[i], v[i].bytes);
    free(in);
    return s;
}

/* The `forward…` graph with the least input; -1: none. */
static int smallest_forward(const struct nn_exec *e)
{
    int best = -1;
    uint64_t least = 0;
    for (uint32_t g = 0; g < nn_exec_image(e)->graph_count; g++) {
        const struct nn_graph_rec *r = nn_exec_graph_rec(e, (int)g);
        uint64_t bytes = 0;
        for (uint32_t i = 0; i < r->input_count; i++)
            bytes += nn_exec_inputs(e, (int)g)[i].bytes;
        if (strncmp(nn_exec_text(e, r->name), "forward", 7) || (best >= 0 && bytes >= least))
            continue;
        best = (int)g;
        least = bytes;
    }
    return best;
}

enum nn_status nn_probe_run(struct nn_exec *e, struct nn_probe *p, struct nn_message *m)
{
    int forward = smallest_forward(e), step = nn_exec_graph(e, "step");
    p->count = p->groups = 0;
    enum nn_status s = fill_slots(e, m);
    if (!s && forward >= 0)
        s = run(e, forward, 1, p->forward_limit, p, m);
    if (!s && step >= 0)
        s = run(e, step, STEPS, p->step_limit, p, m);
    return s;
}
