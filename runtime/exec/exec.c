/* A context: one allocation each for slots, arena, scratch and outputs, and for every graph the
 * list of its launches with their argument pointers filled in; a run only sets the inputs' and
 * calls. */
#include "exec/exec.h"
#include "common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A launch shorter than this runs on the calling thread alone; the estimate takes the nominal rates
 * of one core. Only who runs a chunk depends on it. */
#define SERIAL_SECONDS 10e-6
#define CORE_FLOPS 40e9
#define CORE_BYTES 8e9

struct patch { /* an argument that is an input */
    void **at;
    uint32_t input;
};

struct launch {
    nn_kernel *kernel;
    void **arg;
    const struct nn_arg_rec *arg_rec;
    const struct nn_phase_rec *phase;
    uint32_t args, phases, origin;
    bool serial;
};

struct graph {
    const struct nn_graph_rec *rec;
    struct launch *launch;
    struct patch *patch;
    void **args; /* of all launches */
    void **output;
    uint32_t patches;
};

struct nn_exec {
    const struct nn_image *image;
    const struct nn_allocator *allocator;
    struct nn_pool *pool;
    bool check_nan;
    double *times; /* of each launch, or NULL */
    unsigned char *slots, *arena, *scratch, *outputs;
    struct nn_exec_memory memory;
    size_t scratch_stride; /* a thread */
    struct graph *graph;
    struct nn_fault fault;
};

/* ---- opening ---- */

static bool output_bytes(const struct nn_exec *e, size_t *bytes)
{
    size_t n = 0;
    for (uint32_t g = 0; g < e->image->graph_count; g++)
        for (uint32_t o = 0; o < e->graph[g].rec->output_count; o++) {
            n += nn_round_up(nn_exec_outputs(e, (int)g)[o].bytes, 64);
            if (n > SIZE_MAX / 2) /* one value is at most a quarter */
                return false;
        }
    *bytes = n;
    return true;
}

static enum nn_status allocate(struct nn_exec *e, struct nn_message *m)
{
    uint64_t scratch = 0;
    const struct nn_graph_rec *g = nn_image_graphs(e->image);
    for (uint32_t i = 0; i < e->image->graph_count; i++) {
        e->memory.arena = g[i].arena_bytes > e->memory.arena ? g[i].arena_bytes : e->memory.arena;
        scratch = g[i].scratch_bytes > scratch ? g[i].scratch_bytes : scratch;
    }
    size_t threads = e->pool ? (size_t)nn_pool_threads(e->pool) : 1;
    e->memory.slots = e->image->slot_bytes;
    if (!output_bytes(e, &e->memory.outputs) || scratch > SIZE_MAX / 2 ||
        e->memory.arena > SIZE_MAX / 2 || e->memory.slots > SIZE_MAX / 2)
        return nn_fail(m, NN_MACHINE, "out of memory: the image asks for more than there can be");
    e->scratch_stride = nn_round_up(scratch, 128);
    if (!nn_mul(e->scratch_stride, threads, &e->memory.scratch))
        return nn_fail(m, NN_MACHINE, "out of memory: scratch for %zu threads", threads);
    e->slots = nn_alloc(e->allocator, e->memory.slots);
    e->arena = nn_alloc(e->allocator, e->memory.arena);
    e->scratch = nn_alloc(e->allocator, e->memory.scratch);
    e->outputs = nn_alloc(e->allocator, e->memory.outputs);
    if (!e->slots || !e->arena || !e->scratch || !e->outputs)
        return nn_fail(m, NN_MACHINE,
                       "out of memory: the model needs %zu bytes of slots, %zu of arena, %zu of "
                       "scratch, %zu of outputs",
                       e->memory.slots, e->memory.arena, e->memory.scratch, e->memory.outputs);
    return NN_OK;
}

static void count_arguments(const struct nn_exec *e, const struct nn_graph_rec *g, size_t *args,
                            size_t *patches)
{
    const struct nn_launch_rec *l = nn_image_at(e->image, g->launches_at);
    for (uint32_t i = 0; i < g->launch_count; i++) {
        const struct nn_arg_rec *a = nn_image_at(e->image, l[i].args_at);
        *args += l[i].arg_count;
        for (uint32_t k = 0; k < l[i].arg_count; k++)
            *patches += a[k].space == NN_SPACE_INPUT;
    }
}

static void *argument(struct nn_exec *e, struct graph *g, const struct nn_arg_rec *a)
{
    switch ((enum nn_space)a->space) {
    case NN_SPACE_SLOT: return e->slots + a->offset;
    case NN_SPACE_ARENA: return e->arena + a->offset;
    case NN_SPACE_OUTPUT: return g->output[a->offset];
    case NN_SPACE_INPUT: break;
    }
    return NULL;
}

static bool short_launch(const struct nn_launch_rec *l)
{
    double flops = l->flops / CORE_FLOPS, bytes = l->bytes / CORE_BYTES;
    return (flops > bytes ? flops : bytes) < SERIAL_SECONDS;
}

static void fill_launches(struct nn_exec *e, struct graph *g, nn_kernel *const *kernel)
{
    const struct nn_launch_rec *l = nn_image_at(e->image, g->rec->launches_at);
    void **arg = g->args;
    for (uint32_t i = 0; i < g->rec->launch_count; i++) {
        const struct nn_arg_rec *a = nn_image_at(e->image, l[i].args_at);
        g->launch[i] = (struct launch){
            .kernel = kernel[l[i].kernel],
            .arg = arg,
            .arg_rec = a,
            .args = l[i].arg_count,
            .phase = nn_image_at(e->image, l[i].phases_at),
            .phases = l[i].phase_count,
            .origin = l[i].origin,
            .serial = short_launch(&l[i]),
        };
        for (uint32_t k = 0; k < l[i].arg_count; k++, arg++) {
            *arg = argument(e, g, &a[k]);
            if (a[k].space == NN_SPACE_INPUT)
                g->patch[g->patches++] = (struct patch){arg, (uint32_t)a[k].offset};
        }
    }
}

static enum nn_status open_graph(struct nn_exec *e, struct graph *g, unsigned char **output,
                                 nn_kernel *const *kernel, struct nn_message *m)
{
    size_t args = 0, patches = 0;
    count_arguments(e, g->rec, &args, &patches);
    g->launch = calloc(g->rec->launch_count + 1u, sizeof *g->launch);
    g->args = calloc(args + 1, sizeof *g->args);
    g->patch = calloc(patches + 1, sizeof *g->patch);
    g->output = calloc(g->rec->output_count + 1u, sizeof *g->output);
    if (!g->launch || !g->args || !g->patch || !g->output)
        return nn_fail(m, NN_MACHINE, "out of memory");
    const struct nn_value_rec *o = nn_image_at(e->image, g->rec->outputs_at);
    for (uint32_t i = 0; i < g->rec->output_count; i++) {
        g->output[i] = *output;
        *output += nn_round_up(o[i].bytes, 64);
    }
    fill_launches(e, g, kernel);
    return NN_OK;
}

static enum nn_status open_all(struct nn_exec *e, nn_kernel *const *kernel, size_t kernels,
                               struct nn_message *m)
{
    if (kernels < e->image->kernel_count)
        return nn_fail(m, NN_USAGE, "the image has %u kernels, %zu were given",
                       e->image->kernel_count, kernels);
    for (uint32_t i = 0; i < e->image->kernel_count; i++)
        if (!kernel[i])
            return nn_fail(m, NN_USAGE, "kernel %s is missing",
                           nn_image_text(e->image, nn_image_kernels(e->image)[i].name));
    e->graph = calloc(e->image->graph_count + 1u, sizeof *e->graph);
    if (!e->graph)
        return nn_fail(m, NN_MACHINE, "out of memory");
    for (uint32_t g = 0; g < e->image->graph_count; g++)
        e->graph[g].rec = &nn_image_graphs(e->image)[g];
    enum nn_status s = allocate(e, m);
    unsigned char *output = e->outputs;
    for (uint32_t g = 0; !s && g < e->image->graph_count; g++)
        s = open_graph(e, &e->graph[g], &output, kernel, m);
    return s;
}

enum nn_status nn_exec_open(struct nn_exec **out, const struct nn_image *image, size_t bytes,
                            nn_kernel *const *kernel, size_t kernels,
                            const struct nn_exec_options *o, struct nn_message *m)
{
    *out = NULL;
    enum nn_status s = nn_image_check(image, bytes, m);
    if (s)
        return s;
    struct nn_exec *e = calloc(1, sizeof *e);
    if (!e)
        return nn_fail(m, NN_MACHINE, "out of memory");
    e->image = image;
    if (o) {
        e->allocator = o->allocator;
        e->pool = o->pool;
        e->check_nan = o->check_nan;
    }
    s = open_all(e, kernel, kernels, m);
    if (s) {
        nn_exec_close(e);
        return s;
    }
    nn_exec_reset_accumulators(e);
    *out = e;
    return NN_OK;
}

void nn_exec_close(struct nn_exec *e)
{
    if (!e)
        return;
    for (uint32_t g = 0; e->graph && g < e->image->graph_count; g++) {
        free(e->graph[g].launch);
        free(e->graph[g].args);
        free(e->graph[g].patch);
        free(e->graph[g].output);
    }
    free(e->graph);
    nn_release(e->allocator, e->slots, e->memory.slots);
    nn_release(e->allocator, e->arena, e->memory.arena);
    nn_release(e->allocator, e->scratch, e->memory.scratch);
    nn_release(e->allocator, e->outputs, e->memory.outputs);
    free(e);
}

/* ---- looking around ---- */

const struct nn_image *nn_exec_image(const struct nn_exec *e) { return e->image; }

const char *nn_exec_text(const struct nn_exec *e, uint32_t at)
{
    return nn_image_text(e->image, at);
}

int nn_exec_graph(const struct nn_exec *e, const char *name)
{
    for (uint32_t g = 0; g < e->image->graph_count; g++)
        if (!strcmp(nn_exec_text(e, e->graph[g].rec->name), name))
            return (int)g;
    return -1;
}

const struct nn_graph_rec *nn_exec_graph_rec(const struct nn_exec *e, int graph)
{
    return e->graph[graph].rec;
}

const struct nn_value_rec *nn_exec_inputs(const struct nn_exec *e, int graph)
{
    return nn_image_at(e->image, e->graph[graph].rec->inputs_at);
}

const struct nn_value_rec *nn_exec_outputs(const struct nn_exec *e, int graph)
{
    return nn_image_at(e->image, e->graph[graph].rec->outputs_at);
}

int nn_exec_find_output(const struct nn_exec *e, int graph, const char *name)
{
    const struct nn_value_rec *o = nn_exec_outputs(e, graph);
    for (uint32_t i = 0; i < e->graph[graph].rec->output_count; i++)
        if (!strcmp(nn_exec_text(e, o[i].name), name))
            return (int)i;
    return -1;
}

const void *nn_exec_output(const struct nn_exec *e, int graph, int output)
{
    return e->graph[graph].output[output];
}

int nn_exec_find_slot(const struct nn_exec *e, const char *name)
{
    const struct nn_slot_rec *s = nn_image_slots(e->image);
    for (uint32_t i = 0; i < e->image->slot_count; i++)
        if (!strcmp(nn_exec_text(e, s[i].name), name))
            return (int)i;
    return -1;
}

const struct nn_slot_rec *nn_exec_slot_rec(const struct nn_exec *e, int slot)
{
    return &nn_image_slots(e->image)[slot];
}

void *nn_exec_slot(const struct nn_exec *e, int slot)
{
    return e->slots + nn_exec_slot_rec(e, slot)->offset;
}

bool nn_exec_set_scalar(struct nn_exec *e, const char *name, double v)
{
    int s = nn_exec_find_slot(e, name);
    const struct nn_slot_rec *r = s < 0 ? NULL : nn_exec_slot_rec(e, s);
    if (!r || r->bytes != nn_dtype_size((enum nn_dtype)r->dtype))
        return false;
    nn_set((enum nn_dtype)r->dtype, nn_exec_slot(e, s), 0, v);
    return true;
}

void nn_exec_reset_accumulators(struct nn_exec *e)
{
    const struct nn_slot_rec *s = nn_image_slots(e->image);
    for (uint32_t i = 0; i < e->image->slot_count; i++) {
        enum nn_dtype t = (enum nn_dtype)s[i].dtype;
        if (s[i].kind == NN_SLOT_ACC)
            for (size_t k = 0; k < s[i].bytes / nn_dtype_size(t); k++)
                nn_set(t, e->slots + s[i].offset, k, s[i].identity);
    }
}

struct nn_exec_memory nn_exec_memory(const struct nn_exec *e) { return e->memory; }

/* ---- running ---- */

struct job {
    struct nn_exec *e;
    const struct launch *l;
    int32_t phase;
};

static void run_chunks(void *user, int thread, int64_t chunk0, int64_t chunk1)
{
    struct job *j = user;
    struct nn_exec *e = j->e;
    size_t stride = e->scratch_stride;
    struct nn_args args = {
        .buf = j->l->arg,
        .scratch = stride ? e->scratch + (size_t)thread * stride : NULL,
        .fault = &e->fault,
    };
    j->l->kernel(&args, j->phase, chunk0, chunk1);
}

static const char *origin_text(const struct nn_exec *e, uint32_t origin)
{
    const char *text = origin < e->image->origin_count
                           ? nn_exec_text(e, nn_image_origins(e->image)[origin].text)
                           : "";
    return *text ? text : "an unnamed operator";
}

static enum nn_status report_fault(const struct nn_exec *e, const struct launch *l,
                                   struct nn_message *m)
{
    uint32_t origin = (uint32_t)e->fault.code - 1;
    return nn_fail(m, NN_REFUSED, "%s: index %lld is out of range",
                   origin_text(e, origin < e->image->origin_count ? origin : l->origin),
                   (long long)e->fault.value);
}

static bool has_nan(enum nn_dtype t, const void *p, size_t n)
{
    for (size_t i = 0; nn_dtype_float(t) && i < n; i++)
        if (isnan(nn_get(t, p, i)))
            return true;
    return false;
}

static enum nn_status look_for_nan(const struct nn_exec *e, const struct launch *l,
                                   struct nn_message *m)
{
    for (uint32_t k = 0; k < l->args; k++) {
        const struct nn_arg_rec *a = &l->arg_rec[k];
        enum nn_dtype t = (enum nn_dtype)a->dtype;
        if (a->written && has_nan(t, l->arg[k], a->bytes / nn_dtype_size(t)))
            return nn_fail(m, NN_REFUSED, "%s: the first result that is not a number (NaN)",
                           origin_text(e, l->origin));
    }
    return NN_OK;
}

static enum nn_status run_launch(struct nn_exec *e, const struct launch *l, struct nn_message *m)
{
    for (uint32_t p = 0; p < l->phases; p++) {
        struct job j = {e, l, (int32_t)p};
        if (l->phase[p].chunks && (l->serial || !e->pool))
            run_chunks(&j, 0, 0, l->phase[p].chunks);
        else if (l->phase[p].chunks)
            nn_pool_run(e->pool, run_chunks, &j, l->phase[p].chunks);
        if (e->fault.code)
            return report_fault(e, l, m);
    }
    return e->check_nan ? look_for_nan(e, l, m) : NN_OK;
}

enum nn_status nn_exec_run(struct nn_exec *e, int graph, const void *const *inputs,
                           struct nn_message *m)
{
    struct graph *g = &e->graph[graph];
    for (uint32_t i = 0; i < g->patches; i++)
        memcpy(g->patch[i].at, &inputs[g->patch[i].input], sizeof(void *));
    e->fault = (struct nn_fault){0};
    uint64_t before = nn_denormals_flush();
    enum nn_status s = NN_OK;
    for (uint32_t i = 0; !s && i < g->rec->launch_count; i++) {
        double from = e->times ? nn_now() : 0;
        s = run_launch(e, &g->launch[i], m);
        if (e->times)
            e->times[i] = nn_now() - from;
    }
    nn_denormals_restore(before);
    return s;
}

void nn_exec_time_launches(struct nn_exec *e, double *seconds) { e->times = seconds; }
