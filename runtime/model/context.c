/* A context: the level that fits the machine, checked and set up; then each call is a run or two of
 * the image's graphs. */
#include "model/context.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local struct nn_message open_message;

void nn_context_log(const struct nn_context *c, const char *fmt, ...)
{
    if (!c->options.log)
        return;
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->options.log(c->options.log_user, text);
}

/* ---- opening ---- */

static void append_levels(const struct nn_model *m, char *text, size_t size)
{
    for (uint64_t i = 0; i < m->levels; i++)
        nn_append(text, size, "%s%s", i ? ", " : "", m->level[i]->target);
}

/* The device asked for; a library that is for GPUs only asks by itself. */
static const char *wanted(const struct nn_context *c)
{
    return c->options.device || !c->model->level[0]->code ? c->options.device : "cuda";
}

static bool is_gpu(const char *device)
{
    return device && (!strncmp(device, "cuda", 4) || !strncmp(device, "sim", 3));
}

static enum nn_status choose_level(struct nn_context *c, struct nn_message *m)
{
    const char *want = wanted(c);
    bool any = !want || !strcmp(want, "cpu");
    if (is_gpu(want) && !c->model->gpu)
        return nn_fail(m, NN_USAGE, "device %.100s: %s was built for no GPU", want, c->model->name);
    if (is_gpu(want)) {
        enum nn_status s = c->model->gpu->open(&c->gpu, c->model, want, m);
        c->level = c->gpu.level;
        return s;
    }
    for (uint64_t i = 0; i < c->model->levels && !c->level; i++) {
        const struct nn_level *l = c->model->level[i];
        if (!l->code && nn_cpu_runs(l->target) && (any || !strcmp(want, l->target)))
            c->level = l;
    }
    if (c->level)
        return NN_OK;
    char have[300] = "";
    append_levels(c->model, have, sizeof have);
    return any ? nn_fail(m, NN_REFUSED, "%s was built for %s; this processor runs %s",
                         c->model->name, have, nn_cpu_level())
               : nn_fail(m, NN_USAGE, "device %.100s: %s was built for %s; this processor runs %s",
                         want, c->model->name, have, nn_cpu_level());
}

enum nn_status nn_level_exec(const struct nn_context *c, struct nn_exec **e,
                             struct nn_gpu_device *gpu, struct nn_message *m)
{
    const struct nn_level *l = c->level;
    struct nn_code code = {l->code, l->code_bytes, l->target, l->cubin};
    struct nn_exec_options o = {.allocator = c->options.allocator, .pool = c->pool};
    if (l->code && !gpu->device) {
        enum nn_status s = c->model->gpu->open(gpu, c->model, wanted(c), m);
        if (s)
            return s;
    }
    if (l->code) {
        o.device = gpu->device;
        o.code = &code;
    }
    return nn_exec_open(e, l->image, l->bytes, l->kernel, l->kernels, &o, m);
}

static enum nn_status check_content(const struct nn_context *c, struct nn_message *m)
{
    const struct nn_level *l = c->level;
    const char *bad = NULL;
    if (nn_hash(l->image, l->bytes) != l->hash)
        bad = "table";
    else if (l->text_bytes && nn_hash_code(l->function - l->function_at, l->text_bytes, l->skip,
                                           l->skips) != l->text_hash)
        bad = "machine code";
    else if (l->code && nn_hash(l->code, l->code_bytes) != l->code_hash)
        bad = "code";
    else if (l->cubin && nn_hash(l->cubin, l->cubin_bytes) != l->cubin_hash)
        bad = "machine code";
    return bad ? nn_fail(m, NN_REFUSED,
                         "%s, level %s: the library is damaged: its %s has another hash",
                         c->model->name, l->target, bad)
               : NN_OK;
}

static enum nn_status open_pool(struct nn_context *c, struct nn_message *m)
{
    if (c->level->code)
        return NN_OK;
    int threads = c->options.threads ? (int)c->options.threads : nn_pool_cores();
    return threads == 1 ? NN_OK : nn_pool_open(&c->pool, threads, m);
}

/* The graphs by name, and how many losses the step has. */
static enum nn_status find_graphs(struct nn_context *c, struct nn_message *m)
{
    uint32_t most = 0;
    c->step = nn_exec_graph(c->exec, "step");
    c->eval = nn_exec_graph(c->exec, "eval");
    c->eval_one = nn_exec_graph(c->exec, "eval.1");
    c->metrics = nn_exec_graph(c->exec, "metrics");
    c->init = nn_exec_graph(c->exec, "init");
    for (uint32_t g = 0; g < nn_exec_image(c->exec)->graph_count; g++)
        if (nn_exec_graph_rec(c->exec, (int)g)->input_count > most)
            most = nn_exec_graph_rec(c->exec, (int)g)->input_count;
    const struct nn_value_rec *out = c->step < 0 ? NULL : nn_exec_outputs(c->exec, c->step);
    for (uint32_t i = 0; out && i < nn_exec_graph_rec(c->exec, c->step)->output_count; i++)
        c->losses += !strncmp(nn_exec_text(c->exec, out[i].name), "loss", 4);
    c->in = calloc(most + 1u, sizeof *c->in);
    return c->in ? NN_OK : nn_fail(m, NN_MACHINE, "out of memory");
}

/* Whether a launch of the step reads the slot. */
static bool step_reads(const struct nn_context *c, const char *name)
{
    int slot = nn_exec_find_slot(c->exec, name);
    if (slot < 0 || c->step < 0)
        return false;
    const struct nn_slot_rec *s = nn_exec_slot_rec(c->exec, slot);
    const struct nn_graph_rec *g = nn_exec_graph_rec(c->exec, c->step);
    const struct nn_launch_rec *l = nn_image_at(nn_exec_image(c->exec), g->launches_at);
    for (uint32_t i = 0; i < g->launch_count; i++) {
        const struct nn_arg_rec *a = nn_image_at(nn_exec_image(c->exec), l[i].args_at);
        for (uint32_t k = 0; k < l[i].arg_count; k++)
            if (a[k].space == NN_SPACE_SLOT && a[k].offset == s->offset)
                return true;
    }
    return false;
}

static bool is_zero(const struct nn_context *c, const char *name)
{
    int slot = nn_exec_find_slot(c->exec, name);
    const struct nn_slot_rec *s = slot < 0 ? NULL : nn_exec_slot_rec(c->exec, slot);
    return s && nn_get((enum nn_dtype)s->dtype, nn_exec_slot(c->exec, slot), 0) == 0;
}

void nn_context_set_length(struct nn_context *c)
{
    const struct nn_model *model = c->model;
    int64_t per_epoch = c->options.steps_per_epoch, steps = c->options.steps;
    if (steps <= 0 && model->steps > 0)
        steps = model->steps;
    if (steps <= 0 && model->epochs > 0 && per_epoch > 0 && per_epoch < INT64_MAX / model->epochs)
        steps = model->epochs * per_epoch;
    if (steps > 0)
        nn_exec_set_scalar(c->exec, "steps", (double)steps);
    if (per_epoch > 0)
        nn_exec_set_scalar(c->exec, "steps_per_epoch", (double)per_epoch);
    c->length_missing = (is_zero(c, "steps") && step_reads(c, "steps")) ||
                        (is_zero(c, "steps_per_epoch") && step_reads(c, "steps_per_epoch"));
}

static enum nn_status open_context(struct nn_context *c, struct nn_message *m)
{
    if (c->model->version != NN_PACKAGE_VERSION)
        return nn_fail(m, NN_REFUSED, "%s was built for another version of libnnrt",
                       c->model->name);
    const struct nn_allocator *a = c->options.allocator;
    if (a && (!a->alloc || !a->release))
        return nn_fail(m, NN_USAGE, "options: the allocator lacks alloc or release");
    if (c->options.steps < 0 || c->options.steps_per_epoch < 0)
        return nn_fail(m, NN_USAGE, "options: steps %lld and steps_per_epoch %lld: less than 0",
                       (long long)c->options.steps, (long long)c->options.steps_per_epoch);
    enum nn_status s = choose_level(c, m);
    if (!s)
        s = check_content(c, m);
    if (!s)
        s = open_pool(c, m);
    if (!s)
        s = nn_level_exec(c, &c->exec, &c->gpu, m);
    if (!s)
        s = find_graphs(c, m);
    if (!s)
        s = nn_params_open(c, m);
    if (!s)
        s = nn_sizes_open(c, m);
    if (s)
        return s;
    nn_context_set_length(c);
    c->filled = !c->params;
    if (c->init >= 0 && (s = nn_context_init(c, c->model->seed)))
        *m = c->message;
    return s;
}

/* The device's name is the caller's and may be gone after the call. False: it is too long for one.
 */
static bool copy_options(struct nn_context *c, const struct nn_options *o)
{
    c->options = *o;
    if (!o->device)
        return true;
    int n = snprintf(c->device, sizeof c->device, "%s", o->device);
    c->options.device = c->device;
    return n >= 0 && (size_t)n < sizeof c->device;
}

enum nn_status nn_context_open(const struct nn_model *model, const struct nn_options *o,
                               struct nn_context **out)
{
    if (!out)
        return nn_fail(&open_message, NN_USAGE, "there is no place for the context: it is NULL");
    *out = NULL;
    if (!model)
        return nn_fail(&open_message, NN_USAGE, "the model is NULL");
    struct nn_context *c = calloc(1, sizeof *c);
    if (!c)
        return nn_fail(&open_message, NN_MACHINE, "out of memory");
    c->model = model;
    bool known = !o || copy_options(c, o);
    atomic_init(&c->holders, 1);
    enum nn_status s =
        known ? open_context(c, &open_message)
              : nn_fail(&open_message, NN_USAGE, "device %.100s…: there is none", o->device);
    if (s) {
        nn_context_close(c);
        return s;
    }
    struct nn_exec_memory b = nn_exec_memory(c->exec);
    double mb =
        (double)(b.slots + b.arena + b.scratch + b.outputs + b.inputs + c->wide_bytes) / 1e6;
    if (c->level->code)
        nn_context_log(c, "%s: %s, %.*f MB", model->name, c->level->target, mb < 1 ? 4 : 1, mb);
    else
        nn_context_log(c, "%s: %s, %d threads, %.*f MB", model->name, c->level->target,
                       c->pool ? nn_pool_threads(c->pool) : 1, mb < 1 ? 4 : 1, mb);
    *out = c;
    return NN_OK;
}

void nn_context_release(struct nn_context *c)
{
    if (atomic_fetch_sub(&c->holders, 1) > 1)
        return;
    nn_exec_close(c->exec);
    if (c->gpu.device)
        c->model->gpu->close(&c->gpu);
    free(c->in);
    nn_release(c->options.allocator, c->wide, c->wide_bytes);
    free(c->param);
    free(c);
}

/* The threads end here; the memory stays while somebody holds a tensor of it. */
void nn_context_close(struct nn_context *c)
{
    if (!c)
        return;
    if (c->exec)
        nn_context_settle(c);
    nn_pool_close(c->pool);
    c->pool = NULL;
    nn_context_release(c);
}

enum nn_status nn_context_given(struct nn_context *c, const void *p, const char *what)
{
    if (!c)
        return nn_fail(&open_message, NN_USAGE, "the context is NULL");
    return p ? NN_OK : nn_fail(&c->message, NN_USAGE, "%s is NULL", what);
}

const char *nn_context_error(const struct nn_context *c)
{
    return c ? c->message.text : open_message.text;
}

const char *nn_context_device(const struct nn_context *c) { return c ? c->level->target : NULL; }

/* ---- training ---- */

static enum nn_status no_training(struct nn_context *c)
{
    return nn_fail(&c->message, NN_USAGE, "%s was built for inference only", c->model->name);
}

enum nn_status nn_context_init(struct nn_context *c, int64_t seed)
{
    enum nn_status s = nn_context_given(c, c, "the context");
    if (s)
        return s;
    if (c->init < 0)
        return no_training(c);
    int slot = nn_exec_find_slot(c->exec, "seed");
    s = nn_context_settle(c);
    nn_exec_set_scalar(c->exec, "step", 0);
    if (slot >= 0 && nn_exec_slot_rec(c->exec, slot)->dtype == NN_i64)
        nn_exec_set_i64(c->exec, slot, seed);
    if (!s)
        s = nn_exec_run(c->exec, c->init, NULL, &c->message);
    c->filled |= !s;
    return s;
}

enum nn_status nn_context_settle(struct nn_context *c)
{
    enum nn_status s = NN_OK;
    while (!s && nn_exec_under_way(c->exec))
        s = nn_exec_finish(c->exec, &c->message);
    return s;
}

/* Begins a step as soon as a set of buffers is free; waits for it where a loss is wanted. */
static enum nn_status run_step(struct nn_context *c, const void *const *in, float *const *loss)
{
    int depth = nn_exec_depth(c->exec, c->step);
    bool wait = depth == 1;
    for (uint32_t i = 0; i < c->losses; i++)
        wait |= loss[i] != NULL;
    enum nn_status s = NN_OK;
    while (!s && nn_exec_under_way(c->exec) >= depth)
        s = nn_exec_finish(c->exec, &c->message);
    if (!s)
        s = nn_exec_start(c->exec, c->step, in, &c->message);
    return !s && wait ? nn_context_settle(c) : s;
}

/* The losses stand first among the step's outputs whose names begin so. */
static void read_losses(const struct nn_context *c, int graph, float *const *loss)
{
    const struct nn_value_rec *out = nn_exec_outputs(c->exec, graph);
    uint32_t n = 0;
    for (uint32_t i = 0; i < nn_exec_graph_rec(c->exec, graph)->output_count; i++) {
        if (strncmp(nn_exec_text(c->exec, out[i].name), "loss", 4))
            continue;
        if (loss[n])
            *loss[n] = (float)nn_get((enum nn_dtype)out[i].dtype,
                                     nn_exec_output(c->exec, graph, (int)i), 0);
        n++;
    }
}

enum nn_status nn_context_step(struct nn_context *c, const void *const *in, float *const *loss)
{
    enum nn_status s = nn_context_given(c, loss, "the losses' list");
    if (s)
        return s;
    if (c->step < 0)
        return no_training(c);
    if (c->length_missing)
        return nn_fail(
            &c->message, NN_USAGE,
            "%s's schedule asks how long training is: set steps (and steps_per_epoch) in "
            "the options",
            c->model->name);
    s = nn_inputs_given(c, c->step, c->model->batch, c->model->batch, in);
    if (!s)
        s = run_step(c, in, loss);
    if (!s)
        read_losses(c, c->step, loss);
    return s;
}

/* ---- evaluation ---- */

/* Runs `graph`, which takes `batch` samples, from sample `at` of the caller's arrays on. */
static enum nn_status evaluate_at(struct nn_context *c, int graph, int64_t batch, int64_t at,
                                  const void *const *in)
{
    const struct nn_value_rec *v = nn_exec_inputs(c->exec, graph);
    for (uint32_t i = 0; i < nn_exec_graph_rec(c->exec, graph)->input_count; i++)
        c->in[i] = (const char *)in[i] + (v[i].bytes / (uint64_t)batch) * (uint64_t)at;
    return nn_exec_run(c->exec, graph, c->in, &c->message);
}

enum nn_status nn_context_evaluate(struct nn_context *c, int64_t count, const void *const *in)
{
    enum nn_status s = nn_context_given(c, c, "the context");
    if (s)
        return s;
    if (c->eval < 0 || c->eval_one < 0)
        return no_training(c);
    if (count < 0)
        return nn_fail(&c->message, NN_USAGE, "%lld samples", (long long)count);
    s = count ? nn_inputs_given(c, c->eval, c->model->batch, count, in) : NN_OK;
    if (!s)
        s = nn_context_settle(c);
    for (int64_t at = 0; !s && at < count;) {
        bool whole = count - at >= c->model->batch;
        int64_t n = whole ? c->model->batch : 1;
        s = evaluate_at(c, whole ? c->eval : c->eval_one, n, at, in);
        at += n;
        c->evaluated += s ? 0 : n;
    }
    return s;
}

enum nn_status nn_context_metrics(struct nn_context *c, float *value)
{
    enum nn_status s = nn_context_given(c, value, "the place for the metrics");
    if (s)
        return s;
    if (c->metrics < 0)
        return no_training(c);
    if (!c->evaluated)
        return nn_fail(&c->message, NN_USAGE, "no sample was evaluated since the last metrics");
    s = nn_context_settle(c);
    if (!s)
        s = nn_exec_run(c->exec, c->metrics, NULL, &c->message);
    const struct nn_value_rec *v = nn_exec_outputs(c->exec, c->metrics);
    for (uint32_t i = 0; !s && i < nn_exec_graph_rec(c->exec, c->metrics)->output_count; i++)
        value[i] = (float)nn_get((enum nn_dtype)v[i].dtype,
                                 nn_exec_output(c->exec, c->metrics, (int)i), 0);
    nn_exec_reset_accumulators(c->exec);
    c->evaluated = 0;
    return s;
}

/* ---- inference ---- */

enum nn_status nn_context_forward(struct nn_context *c, const int64_t *size, const void *const *in,
                                  void *const *out)
{
    int graph;
    enum nn_status s = nn_context_given(c, size, "the sizes' list");
    if (s)
        return s;
    if (!c->filled)
        return nn_fail(&c->message, NN_USAGE,
                       "forward: the parameters have no values yet: load them first");
    s = nn_context_settle(c);
    if (!s)
        s = nn_sizes_set(c, size, &graph);
    if (!s)
        s = nn_inputs_given(c, graph, 1, 1, in);
    if (!s)
        s = nn_outputs_given(c, graph, out);
    if (!s)
        s = nn_exec_run(c->exec, graph, nn_sizes_in(c, graph, in), &c->message);
    if (!s)
        nn_sizes_out(c, graph, out);
    return s;
}
