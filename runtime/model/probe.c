/* Made-up weights and inputs are pure functions of names and positions: alike on all machines. */
#include "model/probe.h"
#include "common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* SAMPLES, of an output and of a slot; the rest of a slot is in its means. SIZE: of what a call of
 * `forward` chooses. In the middle of training no schedule's rate is next to nothing. */
enum { OUTPUT_SAMPLES = 200, SLOT_SAMPLES = 2, SIZE = 5, LENGTH = 1000, MIDDLE = 500 };

static uint64_t name_key(const char *name) { return nn_hash(name, strlen(name)); }

static uint64_t made_up_key(const struct nn_probe *p, const char *name)
{
    return nn_mix(name_key(name), p->fillings);
}

/* In [0, 1), with the 24 bits that an f32 holds. */
static double unit(uint64_t key, uint64_t i) { return (double)(nn_mix(key, i) >> 40) * 0x1p-24; }

/* ---- slots ---- */

/* Matrices as Kaiming's bound would have them; scales, shifts and states stay away from 0. An
 * optimiser's are averages that fit each other: one of squares is more than another's square, and
 * no division by next to nothing turns a gradient's last digits into a weight's first. */
static double made_up(const struct nn_slot_rec *s, uint64_t key, uint64_t i, double shake)
{
    double in = 1, u = unit(key, i) * (1 + shake * unit(~key, i));
    for (uint32_t k = 1; k < s->rank; k++)
        in *= (double)s->dim[k];
    if (s->kind == NN_SLOT_OPT)
        return 0.3 + 0.15 * u;
    return s->kind == NN_SLOT_PARAM && s->rank > 1 ? (2 * u - 1) * sqrt(3 / (in + 1)) : u + 0.25;
}

/* The same as the slot's type holds it. */
static double stored(const struct nn_slot_rec *s, uint64_t key, uint64_t i, double shake)
{
    double room;
    nn_set((enum nn_dtype)s->dtype, &room, 0, made_up(s, key, i, shake));
    return nn_get((enum nn_dtype)s->dtype, &room, 0);
}

static uint32_t bit(enum nn_slot_kind k) { return 1u << k; }

static bool is_one(const struct nn_slot_rec *s, uint32_t kinds) { return kinds >> s->kind & 1; }

/* Made-up floats; with `constant` all elements are that, also integers. */
static void fill(struct nn_exec *e, const struct nn_probe *p, uint32_t kinds,
                 const double *constant)
{
    for (uint32_t n = 0; n < nn_exec_image(e)->slot_count; n++) {
        const struct nn_slot_rec *r = nn_exec_slot_rec(e, (int)n);
        enum nn_dtype t = (enum nn_dtype)r->dtype;
        uint64_t key = made_up_key(p, nn_exec_text(e, r->name));
        if (!is_one(r, kinds) || !(constant || nn_dtype_float(t)))
            continue;
        for (size_t i = 0; i < r->bytes / nn_dtype_size(t); i++)
            nn_set(t, nn_exec_slot(e, (int)n), i,
                   constant ? *constant : made_up(r, key, i, p->shake));
        nn_exec_changed(e, (int)n);
    }
}

/* ---- results ---- */

static enum nn_status note(struct nn_probe *p, const struct nn_probe_result *r,
                           struct nn_message *m)
{
    if (p->count == p->room) {
        uint32_t room = p->room ? 2 * p->room : 256;
        struct nn_probe_result *more = realloc(p->result, room * sizeof *more);
        if (!more)
            return nn_fail(m, NN_MACHINE, "out of memory for the self-test's results");
        p->result = more;
        p->room = room;
    }
    p->result[p->count++] = *r;
    return NN_OK;
}

/* Where element i of a run lies in memory laid out for the largest. */
static size_t position(const struct nn_value_rec *v, const int64_t *live, size_t i)
{
    size_t at = 0, step = 1;
    for (uint32_t k = v->rank; k-- > 0;) {
        at += i % (size_t)live[k] * step;
        i /= (size_t)live[k];
        step *= (size_t)v->dim[k];
    }
    return at;
}

/* Some elements of an output, evenly spread; of integers their mean: an argmax may change sides. */
static enum nn_status note_output(const struct nn_exec *e, int graph, uint32_t o, bool loose,
                                  struct nn_probe *p, struct nn_message *m)
{
    const struct nn_value_rec *v = &nn_exec_outputs(e, graph)[o];
    enum nn_dtype t = (enum nn_dtype)v->dtype;
    bool real = nn_dtype_float(t);
    int64_t live[NN_MAX_RANK];
    size_t n = nn_extents(e, v, live), by = real ? n / OUTPUT_SAMPLES + 1 : 1;
    struct nn_probe_result x = {.of = nn_exec_text(e, v->name),
                                .family = name_key("output"),
                                .group = p->groups++,
                                .dtype = (uint8_t)t,
                                .loose = loose || !real};
    double sum = 0;
    enum nn_status s = NN_OK;
    for (size_t i = 0; !s && i < n; i += by) {
        x.value = nn_get(t, nn_exec_output(e, graph, (int)o), position(v, live, i));
        sum += x.value;
        s = real ? note(p, &x, m) : NN_OK;
    }
    x.value = n ? sum / (double)n : 0;
    return s || real ? s : note(p, &x, m);
}

/* All outputs; of a step the losses. */
static enum nn_status note_outputs(const struct nn_exec *e, int graph, struct nn_probe *p,
                                   struct nn_message *m)
{
    const struct nn_graph_rec *g = nn_exec_graph_rec(e, graph);
    const char *name = nn_exec_text(e, g->name);
    enum nn_status s = NN_OK;
    for (uint32_t o = 0; !s && o < g->output_count; o++) {
        const char *of = nn_exec_text(e, nn_exec_outputs(e, graph)[o].name);
        if (strcmp(name, "step") || !strncmp(of, "loss", 4))
            s = note_output(e, graph, o, !strcmp(name, "metrics"), p, m);
    }
    return s;
}

static double rounding_of(enum nn_dtype t)
{
    return t == NN_f64 ? 0x1p-52 : t == NN_f32 ? 0x1p-23 : t == NN_f16 ? 0x1p-10 : 0x1p-7;
}

/* A slot's mean, its root of the mean square, some elements; `moved`: of how far floats are from
 * what `fill` made up. Integers are counters. */
static enum nn_status note_slot(const struct nn_exec *e, int slot, bool moved, bool loose,
                                struct nn_probe *p, struct nn_message *m)
{
    const struct nn_slot_rec *r = nn_exec_slot_rec(e, slot);
    enum nn_dtype t = (enum nn_dtype)r->dtype;
    const char *name = nn_exec_text(e, r->name), *last = strrchr(name, '.');
    uint64_t key = made_up_key(p, name);
    moved &= nn_dtype_float(t) && r->kind != NN_SLOT_SYS;
    size_t n = r->bytes / nn_dtype_size(t), by = n / SLOT_SAMPLES + 1;
    double sum = 0, squares = 0, most = 0;
    struct nn_probe_result x = {.of = name,
                                .family = r->kind == NN_SLOT_OPT && last ? name_key(last) : r->kind,
                                .group = p->groups++,
                                .dtype = (uint8_t)t,
                                .loose = loose && nn_dtype_float(t)};
    for (size_t i = 0; i < n; i++) {
        double v = nn_get(t, nn_exec_slot(e, slot), i);
        most = fabs(v) > most ? fabs(v) : most;
        v -= moved ? stored(r, key, i, p->shake) : 0;
        sum += v;
        squares += v * v;
    }
    x.rounding = moved ? 4 * rounding_of(t) * most : 0;
    double mean[] = {n ? sum / (double)n : 0, n ? sqrt(squares / (double)n) : 0};
    enum nn_status s = NN_OK;
    for (size_t i = 0; !s && i < NN_COUNT(mean); i++) {
        x.value = mean[i];
        s = note(p, &x, m);
    }
    for (size_t i = 0; !s && i < n; i += by) {
        x.value = nn_get(t, nn_exec_slot(e, slot), i) - (moved ? stored(r, key, i, p->shake) : 0);
        s = note(p, &x, m);
    }
    return s;
}

static enum nn_status note_slots(struct nn_exec *e, uint32_t kinds, bool moved, bool loose,
                                 struct nn_probe *p, struct nn_message *m)
{
    enum nn_status s = nn_exec_fetch(e, m);
    for (uint32_t n = 0; !s && n < nn_exec_image(e)->slot_count; n++)
        if (is_one(nn_exec_slot_rec(e, (int)n), kinds))
            s = note_slot(e, (int)n, moved, loose, p, m);
    return s;
}

/* ---- runs ---- */

static void fill_input(const struct nn_value_rec *v, uint64_t key, uint64_t limit, double shake,
                       void *p)
{
    enum nn_dtype t = (enum nn_dtype)v->dtype;
    limit = v->limit ? (uint64_t)v->limit : t == NN_bool && limit > 2 ? 2 : limit;
    for (size_t i = 0; i < v->bytes / nn_dtype_size(t); i++)
        nn_set(t, p, i,
               nn_dtype_float(t) ? unit(key, i) * (1 + shake)
                                 : (double)(nn_mix(key, i) % (limit ? limit : 1)));
}

/* Few samples, though more than one where there may be more. */
static void set_sizes(struct nn_exec *e, int graph)
{
    const struct nn_size_rec *z = nn_exec_sizes(e, graph);
    for (uint32_t i = 0; i < nn_exec_graph_rec(e, graph)->size_count; i++) {
        int64_t size = z[i].least > SIZE ? z[i].least : SIZE;
        if (z[i].slot)
            nn_exec_set_i64(e, (int)z[i].slot - 1, size < z[i].most ? size : z[i].most);
    }
}

/* With inputs as made up as the slots are. */
static enum nn_status run(struct nn_exec *e, int graph, uint64_t limit, struct nn_probe *p,
                          struct nn_message *m)
{
    const struct nn_graph_rec *g = nn_exec_graph_rec(e, graph);
    const struct nn_value_rec *v = nn_exec_inputs(e, graph);
    void **in = calloc(g->input_count + 1u, sizeof *in);
    enum nn_status s = in ? NN_OK : nn_fail(m, NN_MACHINE, "out of memory");
    for (uint32_t i = 0; !s && i < g->input_count; i++) {
        in[i] = nn_alloc(NULL, v[i].bytes);
        if (in[i])
            fill_input(&v[i], made_up_key(p, nn_exec_text(e, v[i].name)), limit, p->shake, in[i]);
        else
            s = nn_fail(m, NN_MACHINE, "out of memory");
    }
    set_sizes(e, graph);
    if (!s)
        s = nn_exec_run(e, graph, (const void *const *)in, m);
    if (!s)
        s = note_outputs(e, graph, p, m);
    for (uint32_t i = 0; in && i < g->input_count; i++)
        nn_release(NULL, in[i], v[i].bytes);
    free(in);
    return s;
}

static const uint32_t weights = 1u << NN_SLOT_PARAM | 1u << NN_SLOT_STATE;
static const uint32_t trained = 1u << NN_SLOT_PARAM | 1u << NN_SLOT_STATE | 1u << NN_SLOT_OPT;

static enum nn_status fill_and_run(struct nn_exec *e, uint32_t kinds, int graph, uint64_t limit,
                                   struct nn_probe *p, struct nn_message *m)
{
    p->fillings++;
    fill(e, p, kinds, NULL);
    return run(e, graph, limit, p, m);
}

/* The initialisers, over something that none of them gives. */
static enum nn_status run_init(struct nn_exec *e, struct nn_probe *p, struct nn_message *m)
{
    static const double old = 3;
    int init = nn_exec_graph(e, "init");
    nn_exec_set_scalar(e, "step", 0);
    nn_exec_set_scalar(e, "steps", LENGTH);
    nn_exec_set_scalar(e, "steps_per_epoch", LENGTH / 10);
    nn_exec_set_scalar(e, "seed", 42);
    if (init < 0)
        return NN_OK;
    fill(e, p, trained, &old);
    enum nn_status s = run(e, init, 0, p, m);
    return s ? s : note_slots(e, trained, false, false, p, m);
}

/* `forward`, `forward.1`, …: each has kernels of its own. */
static enum nn_status run_forward(struct nn_exec *e, struct nn_probe *p, struct nn_message *m)
{
    enum nn_status s = NN_OK;
    for (uint32_t g = 0; !s && g < nn_exec_image(e)->graph_count; g++)
        if (!strncmp(nn_exec_text(e, nn_exec_graph_rec(e, (int)g)->name), "forward", 7))
            s = fill_and_run(e, weights, (int)g, p->forward_limit, p, m);
    return s;
}

static enum nn_status run_evaluation(struct nn_exec *e, struct nn_probe *p, struct nn_message *m)
{
    static const char *const part[] = {"eval", "eval.1"};
    int metrics = nn_exec_graph(e, "metrics");
    enum nn_status s = NN_OK;
    for (size_t i = 0; !s && metrics >= 0 && i < NN_COUNT(part); i++) {
        nn_exec_reset_accumulators(e);
        s = fill_and_run(e, weights, nn_exec_graph(e, part[i]), p->step_limit, p, m);
        if (!s)
            s = run(e, metrics, 0, p, m);
    }
    return s;
}

/* The first step leaves gradients in the states that the initialisers gave to the optimiser; the
 * second, from made-up ones, is about what the optimiser makes of them. */
static enum nn_status run_steps(struct nn_exec *e, struct nn_probe *p, struct nn_message *m)
{
    int step = nn_exec_graph(e, "step");
    if (step < 0)
        return NN_OK;
    nn_exec_set_scalar(e, "step", MIDDLE);
    enum nn_status s = fill_and_run(e, weights, step, p->step_limit, p, m);
    if (!s)
        s = note_slots(e, bit(NN_SLOT_OPT), false, true, p, m);
    if (!s)
        s = fill_and_run(e, trained, step, p->step_limit, p, m);
    return s ? s : note_slots(e, trained | bit(NN_SLOT_SYS), true, true, p, m);
}

enum nn_status nn_probe_run(struct nn_exec *e, struct nn_probe *p, struct nn_message *m)
{
    p->count = p->groups = p->fillings = 0;
    enum nn_status s = run_init(e, p, m);
    if (!s)
        s = run_forward(e, p, m);
    if (!s)
        s = run_evaluation(e, p, m);
    return s ? s : run_steps(e, p, m);
}

void nn_probe_blur(struct nn_probe *p, const struct nn_probe *shaken, double part)
{
    for (uint32_t first = 0, end; first < p->count && p->count == shaken->count; first = end) {
        double most = 0;
        bool steady = true;
        for (end = first; end < p->count && p->result[end].group == p->result[first].group; end++)
            most = fmax(most, fabs(p->result[end].value));
        for (uint32_t i = first; i < end; i++)
            steady = steady && (!p->result[i].loose ||
                                fabs(p->result[i].value - shaken->result[i].value) <= part * most);
        for (uint32_t i = first; i < end && !steady; i++)
            if (p->result[i].loose)
                p->result[i].value = NAN;
    }
}

void nn_probe_close(struct nn_probe *p)
{
    free(p->result);
    p->result = NULL;
    p->count = p->room = 0;
}
