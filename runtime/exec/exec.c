/* A context: one block of memory on its device for slots, arena, outputs and, where the device's
 * memory is its own, inputs; for every graph the list of its launches with their arguments'
 * addresses filled in. */
#include "common.h"
#include "exec/private.h"

#include <stdlib.h>
#include <string.h>

/* A launch shorter than this runs on the calling thread alone; the estimate takes the nominal rates
 * of one core. Only who runs a chunk depends on it. */
#define SERIAL_SECONDS 10e-6
#define CORE_FLOPS 40e9
#define CORE_BYTES 8e9

/* ---- opening ---- */

/* Lays `bytes` into a block of *size bytes; false if that cannot be. */
static bool lay(size_t bytes, uint32_t align, size_t *size, size_t *at)
{
    if (*size > SIZE_MAX / 4 || bytes > SIZE_MAX / 4)
        return false;
    *at = nn_round_up(*size, align);
    *size = *at + bytes;
    return true;
}

static bool lay_values(const struct nn_value_rec *v, uint32_t n, uint32_t align, size_t *at,
                       size_t *bytes)
{
    *bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        if (!lay(v[i].bytes, align, bytes, &at[i]))
            return false;
    *bytes = nn_round_up(*bytes, align);
    return true;
}

/* Inputs that go through in parts: each part is aligned as an input is. What is read whole, too,
 * lies there once more. */
static bool lay_inputs(const struct nn_value_rec *v, struct nn_graph *g, uint32_t align)
{
    size_t parts = nn_graph_parts(g), bytes;
    g->input_bytes = 0;
    for (uint32_t i = 0; i < g->rec->input_count; i++) {
        g->input_step[i] = nn_round_up(v[i].bytes / parts, align);
        if (v[i].bytes > SIZE_MAX / 4 || !nn_mul(g->input_step[i], parts, &bytes) ||
            !lay(bytes, align, &g->input_bytes, &g->input_at[i]) ||
            (g->input_whole[i].read &&
             !lay(v[i].bytes, align, &g->input_bytes, &g->input_whole[i].at)))
            return false;
    }
    g->input_bytes = nn_round_up(g->input_bytes, align);
    return true;
}

static enum nn_status out_of_memory(struct nn_message *m)
{
    return nn_fail(m, NN_MACHINE, "out of memory");
}

static enum nn_status too_large(struct nn_message *m)
{
    return nn_fail(m, NN_MACHINE, "out of memory: the image asks for more than there can be");
}

static enum nn_status open_graph(struct nn_exec *e, struct nn_graph *g, struct nn_message *m)
{
    const struct nn_graph_rec *r = g->rec;
    const struct nn_launch_rec *l = nn_image_at(e->c.image, r->launches_at);
    uint32_t align = e->device->ops->alignment;
    size_t args = 0, patches = 0;
    for (uint32_t i = 0; i < r->launch_count; i++) {
        const struct nn_arg_rec *a = nn_image_at(e->c.image, l[i].args_at);
        args += l[i].arg_count;
        for (uint32_t k = 0; k < l[i].arg_count; k++)
            patches += a[k].space == NN_SPACE_INPUT;
    }
    g->launch = calloc(r->launch_count + 1u, sizeof *g->launch);
    g->args = calloc(args + 1, sizeof *g->args);
    g->patch = calloc(patches + 1, sizeof *g->patch);
    g->input_at = calloc(r->input_count + 1u, sizeof *g->input_at);
    g->input_step = calloc(r->input_count + 1u, sizeof *g->input_step);
    g->input_whole = calloc(r->input_count + 1u, sizeof *g->input_whole);
    g->output_at = calloc(r->output_count + 1u, sizeof *g->output_at);
    if (!g->launch || !g->args || !g->patch || !g->input_at || !g->input_step || !g->input_whole ||
        !g->output_at)
        return out_of_memory(m);
    for (uint32_t i = 0; i < r->launch_count; i++) {
        const struct nn_arg_rec *a = nn_image_at(e->c.image, l[i].args_at);
        for (uint32_t k = 0; k < l[i].arg_count; k++)
            if (a[k].whole)
                g->input_whole[a[k].offset].read = true;
    }
    bool fits = lay_inputs(nn_image_at(e->c.image, r->inputs_at), g, align) &&
                lay_values(nn_image_at(e->c.image, r->outputs_at), r->output_count, align,
                           g->output_at, &g->output_bytes);
    return fits ? NN_OK : too_large(m);
}

/* Where everything lies in the block, given as offsets from a base of NULL. */
static enum nn_status lay_out(struct nn_exec *e, struct nn_message *m)
{
    struct nn_memory *b = &e->c.memory;
    struct nn_exec_memory *n = &e->memory;
    uint32_t align = e->device->ops->alignment, graphs = e->c.image->graph_count;
    size_t at[4 + NN_RUNS * 2] = {0};
    n->slots = e->c.image->slot_bytes;
    for (uint32_t g = 0; g < graphs; g++) {
        const struct nn_graph *x = &e->c.graph[g];
        n->arena = x->rec->arena_bytes > n->arena ? x->rec->arena_bytes : n->arena;
        b->input_bytes = x->input_bytes > b->input_bytes ? x->input_bytes : b->input_bytes;
        if (n->outputs > SIZE_MAX / 4)
            return too_large(m);
        n->outputs += x->output_bytes;
    }
    n->inputs = e->device->ops->apart ? NN_RUNS * b->input_bytes : 0;
    bool fits =
        lay(n->slots, align, &b->bytes, &at[0]) && lay(n->arena, align, &b->bytes, &at[1]) &&
        lay(n->outputs, align, &b->bytes, &at[2]) && lay(b->own_bytes, align, &b->bytes, &at[3]);
    for (int k = 0; k < NN_RUNS && fits && e->device->ops->apart; k++)
        fits = lay(b->input_bytes, align, &b->bytes, &at[4 + k]) &&
               lay(sizeof(struct nn_fault), align, &b->bytes, &at[4 + NN_RUNS + k]);
    if (!fits)
        return too_large(m);
    void *base;
    enum nn_status s = e->device->ops->alloc(e->device, b->bytes, &base, m);
    if (s && m && e->device->ops->apart)
        nn_append(m->text, sizeof m->text,
                  " (slots %.1f MB, arena %.1f, outputs %.1f, batches %.1f, workspace %.1f)",
                  (double)n->slots / 1e6, (double)n->arena / 1e6, (double)n->outputs / 1e6,
                  (double)n->inputs / 1e6, (double)b->own_bytes / 1e6);
    if (s)
        return s;
    b->base = base;
    b->slots = b->base + at[0];
    b->arena = b->base + at[1];
    b->outputs = b->base + at[2];
    b->own = b->base + at[3];
    for (int k = 0; k < NN_RUNS && e->device->ops->apart; k++) {
        b->inputs[k] = b->base + at[4 + k];
        b->fault[k] = (struct nn_fault *)(void *)(b->base + at[4 + NN_RUNS + k]);
    }
    return NN_OK;
}

static bool short_launch(const struct nn_launch_rec *l)
{
    double flops = l->flops / CORE_FLOPS, bytes = l->bytes / CORE_BYTES;
    return (flops > bytes ? flops : bytes) < SERIAL_SECONDS;
}

static void *argument(const struct nn_exec *e, const struct nn_graph *g, const struct nn_arg_rec *a)
{
    switch ((enum nn_space)a->space) {
    case NN_SPACE_SLOT: return e->c.memory.slots + a->offset;
    case NN_SPACE_ARENA: return e->c.memory.arena + a->offset;
    case NN_SPACE_OUTPUT: return g->output + g->output_at[a->offset];
    case NN_SPACE_INPUT: break;
    }
    return NULL;
}

static void fill_launches(struct nn_exec *e, struct nn_graph *g)
{
    const struct nn_launch_rec *l = nn_image_at(e->c.image, g->rec->launches_at);
    void **arg = g->args;
    for (uint32_t i = 0; i < g->rec->launch_count; i++) {
        const struct nn_arg_rec *a = nn_image_at(e->c.image, l[i].args_at);
        g->launch[i] = (struct nn_launch){
            .rec = &l[i],
            .arg_rec = a,
            .phase = nn_image_at(e->c.image, l[i].phases_at),
            .gemm = l[i].kind == NN_LAUNCH_GEMM ? nn_image_at(e->c.image, l[i].gemm_at) : NULL,
            .arg = arg,
            .serial = short_launch(&l[i]),
        };
        for (uint32_t k = 0; k < l[i].arg_count; k++, arg++) {
            *arg = argument(e, g, &a[k]);
            if (a[k].space == NN_SPACE_INPUT)
                g->patch[g->patches++] = (struct nn_patch){arg, (uint32_t)a[k].offset, a[k].whole};
        }
    }
}

/* The largest float argument that a launch writes. */
static size_t largest_written(const struct nn_exec *e)
{
    size_t most = 0;
    for (uint32_t g = 0; g < e->c.image->graph_count; g++)
        for (uint32_t i = 0; i < e->c.graph[g].rec->launch_count; i++) {
            const struct nn_launch *l = &e->c.graph[g].launch[i];
            for (uint32_t k = 0; k < l->rec->arg_count; k++)
                if (l->arg_rec[k].written && nn_dtype_float((enum nn_dtype)l->arg_rec[k].dtype) &&
                    l->arg_rec[k].bytes > most)
                    most = l->arg_rec[k].bytes;
        }
    return most;
}

/* Copies of slots and outputs on the host, where the device's memory is apart. */
static enum nn_status open_copies(struct nn_exec *e, struct nn_message *m)
{
    e->mirror = e->c.memory.slots;
    e->host_output = e->c.memory.outputs;
    if (!e->device->ops->apart)
        return NN_OK;
    uint32_t slots = e->c.image->slot_count;
    e->mirror = nn_alloc(e->allocator, e->memory.slots);
    e->host_output = nn_alloc(e->allocator, e->memory.outputs);
    e->changed = calloc(slots + 1u, sizeof *e->changed);
    if (!e->mirror || !e->host_output || !e->changed)
        return out_of_memory(m);
    memset(e->changed, 1, slots * sizeof *e->changed);
    e->any_changed = true;
    return NN_OK;
}

static enum nn_status open_all(struct nn_exec *e, struct nn_message *m)
{
    uint32_t graphs = e->c.image->graph_count;
    e->c.graph = calloc(graphs + 1u, sizeof *e->c.graph);
    if (!e->c.graph)
        return out_of_memory(m);
    enum nn_status s = NN_OK;
    for (uint32_t g = 0; !s && g < graphs; g++) {
        e->c.graph[g].rec = &nn_image_graphs(e->c.image)[g];
        e->c.graph[g].number = g;
        uint64_t scratch = e->c.graph[g].rec->scratch_bytes;
        e->c.scratch_bytes = scratch > e->c.scratch_bytes ? scratch : e->c.scratch_bytes;
        s = open_graph(e, &e->c.graph[g], m);
    }
    if (!s)
        s = e->device->ops->load(e->device, &e->c, &e->c.memory.own_bytes, m);
    if (!s)
        s = lay_out(e, m);
    if (!s)
        s = open_copies(e, m);
    size_t output = 0;
    for (uint32_t g = 0; !s && g < graphs; g++) {
        e->c.graph[g].output = e->c.memory.outputs + output;
        e->c.graph[g].host_output = e->host_output + output;
        output += e->c.graph[g].output_bytes;
        fill_launches(e, &e->c.graph[g]);
    }
    if (!s && e->check_nan && e->device->ops->apart) {
        e->look_bytes = largest_written(e);
        e->look = nn_alloc(e->allocator, e->look_bytes);
        s = e->look ? NN_OK : out_of_memory(m);
    }
    return s ? s : e->device->ops->prepare(e->device, &e->c, m);
}

/* Of the memory just taken; the C library's is zero already. */
static enum nn_status clear(struct nn_exec *e, unsigned char *at, size_t bytes,
                            struct nn_message *m)
{
    static unsigned char zero[1 << 16]; /* never written: no bytes of the library */
    enum nn_status s = NN_OK;
    if (!e->device->ops->apart) {
        if (e->allocator)
            memset(at, 0, bytes);
        return s;
    }
    for (size_t n; !s && bytes; at += n, bytes -= n) {
        n = bytes < sizeof zero ? bytes : sizeof zero;
        s = e->device->ops->write(e->device, at, zero, n, m);
    }
    return s;
}

/* Slots on a device of its own are written from their copy, which is zero. */
static enum nn_status open_slots(struct nn_exec *e, struct nn_message *m)
{
    enum nn_status s =
        e->device->ops->apart ? NN_OK : clear(e, e->c.memory.slots, e->memory.slots, m);
    if (!s)
        nn_exec_reset_accumulators(e);
    return s;
}

/* Sizes as the largest. What lies beyond smaller ones is read in vectors and tiles that reach over
 * the end, and has no say; it is something from the start, all the same. */
static enum nn_status open_sizes(struct nn_exec *e, struct nn_message *m)
{
    bool any = false;
    for (uint32_t g = 0; g < e->c.image->graph_count; g++)
        for (uint32_t i = 0; i < e->c.graph[g].rec->size_count; i++) {
            const struct nn_size_rec *z = nn_exec_sizes(e, (int)g) + i;
            any = any || z->slot;
            if (z->slot)
                nn_exec_set_i64(e, (int)z->slot - 1, z->most);
        }
    enum nn_status s = any ? clear(e, e->c.memory.arena, e->memory.arena, m) : NN_OK;
    return any && !s ? clear(e, e->c.memory.outputs, e->memory.outputs, m) : s;
}

static enum nn_status check_kernels(const struct nn_image *image, nn_kernel *const *kernel,
                                    size_t kernels, struct nn_message *m)
{
    if (kernels < image->kernel_count)
        return nn_fail(m, NN_USAGE, "the image has %u kernels, %zu were given", image->kernel_count,
                       kernels);
    for (uint32_t i = 0; i < image->kernel_count; i++)
        if (!kernel[i])
            return nn_fail(m, NN_USAGE, "kernel %s is missing",
                           nn_image_text(image, nn_image_kernels(image)[i].name));
    return NN_OK;
}

enum nn_status nn_exec_open(struct nn_exec **out, const struct nn_image *image, size_t bytes,
                            nn_kernel *const *kernel, size_t kernels,
                            const struct nn_exec_options *o, struct nn_message *m)
{
    *out = NULL;
    static const struct nn_exec_options none = {0};
    o = o ? o : &none;
    enum nn_status s = nn_image_check(image, bytes, m);
    if (!s && !o->device)
        s = check_kernels(image, kernel, kernels, m);
    if (s)
        return s;
    struct nn_exec *e = calloc(1, sizeof *e);
    if (!e)
        return out_of_memory(m);
    e->c = (struct nn_program){.image = image, .kernel = kernel, .code = o->code};
    e->allocator = o->allocator;
    e->check_nan = o->check_nan;
    e->device = o->device;
    if (!e->device) {
        s = nn_host_open(&e->own, o->allocator, o->pool, m);
        e->device = e->own;
    }
    if (!s)
        s = open_all(e, m);
    if (s) {
        nn_exec_close(e);
        return s;
    }
    e->memory.scratch = e->own ? nn_host_scratch(e->own) : e->c.memory.own_bytes;
    s = open_slots(e, m);
    if (!s)
        s = open_sizes(e, m);
    if (s) {
        nn_exec_close(e);
        return s;
    }
    *out = e;
    return NN_OK;
}

void nn_exec_close(struct nn_exec *e)
{
    if (!e)
        return;
    if (e->device) {
        bool apart = e->device->ops->apart;
        e->device->ops->unload(e->device, &e->c);
        if (apart) {
            nn_release(e->allocator, e->mirror, e->memory.slots);
            nn_release(e->allocator, e->host_output, e->memory.outputs);
            nn_release(e->allocator, e->look, e->look_bytes);
        }
    }
    for (uint32_t g = 0; e->c.graph && g < e->c.image->graph_count; g++) {
        struct nn_graph *x = &e->c.graph[g];
        free(x->launch);
        free(x->args);
        free(x->patch);
        free(x->input_at);
        free(x->input_whole);
        free(x->input_step);
        free(x->output_at);
    }
    free(e->c.graph);
    free(e->changed);
    nn_device_close(e->own);
    free(e);
}

/* ---- looking around ---- */

const struct nn_image *nn_exec_image(const struct nn_exec *e) { return e->c.image; }

const char *nn_exec_text(const struct nn_exec *e, uint32_t at)
{
    return nn_image_text(e->c.image, at);
}

int nn_exec_graph(const struct nn_exec *e, const char *name)
{
    for (uint32_t g = 0; g < e->c.image->graph_count; g++)
        if (!strcmp(nn_exec_text(e, e->c.graph[g].rec->name), name))
            return (int)g;
    return -1;
}

const struct nn_graph_rec *nn_exec_graph_rec(const struct nn_exec *e, int graph)
{
    return e->c.graph[graph].rec;
}

const struct nn_value_rec *nn_exec_inputs(const struct nn_exec *e, int graph)
{
    return nn_image_at(e->c.image, e->c.graph[graph].rec->inputs_at);
}

const struct nn_value_rec *nn_exec_outputs(const struct nn_exec *e, int graph)
{
    return nn_image_at(e->c.image, e->c.graph[graph].rec->outputs_at);
}

const struct nn_size_rec *nn_exec_sizes(const struct nn_exec *e, int graph)
{
    return nn_image_at(e->c.image, e->c.graph[graph].rec->sizes_at);
}

int nn_exec_find_output(const struct nn_exec *e, int graph, const char *name)
{
    const struct nn_value_rec *o = nn_exec_outputs(e, graph);
    for (uint32_t i = 0; i < e->c.graph[graph].rec->output_count; i++)
        if (!strcmp(nn_exec_text(e, o[i].name), name))
            return (int)i;
    return -1;
}

const void *nn_exec_output(const struct nn_exec *e, int graph, int output)
{
    const struct nn_graph *g = &e->c.graph[graph];
    return g->host_output + g->output_at[output];
}

int nn_exec_find_slot(const struct nn_exec *e, const char *name)
{
    const struct nn_slot_rec *s = nn_image_slots(e->c.image);
    for (uint32_t i = 0; i < e->c.image->slot_count; i++)
        if (!strcmp(nn_exec_text(e, s[i].name), name))
            return (int)i;
    return -1;
}

const struct nn_slot_rec *nn_exec_slot_rec(const struct nn_exec *e, int slot)
{
    return &nn_image_slots(e->c.image)[slot];
}

void *nn_exec_slot(const struct nn_exec *e, int slot)
{
    return e->mirror + nn_exec_slot_rec(e, slot)->offset;
}

void nn_exec_changed(struct nn_exec *e, int slot)
{
    if (!e->changed)
        return;
    e->changed[slot] = true;
    e->any_changed = true;
}

bool nn_exec_set_scalar(struct nn_exec *e, const char *name, double v)
{
    int s = nn_exec_find_slot(e, name);
    const struct nn_slot_rec *r = s < 0 ? NULL : nn_exec_slot_rec(e, s);
    if (!r || r->bytes != nn_dtype_size((enum nn_dtype)r->dtype))
        return false;
    nn_set((enum nn_dtype)r->dtype, nn_exec_slot(e, s), 0, v);
    nn_exec_changed(e, s);
    return true;
}

static void set_i64(struct nn_exec *e, int slot, int64_t v)
{
    memcpy(nn_exec_slot(e, slot), &v, sizeof v);
    nn_exec_changed(e, slot);
}

static int64_t rule_side(const struct nn_exec *e, uint32_t slot, int64_t n)
{
    if (slot)
        memcpy(&n, nn_exec_slot(e, (int)slot - 1), sizeof n);
    return n;
}

/* Operands are within 32 bits (check.c, and what is stored here): nothing overflows. */
static int64_t follow(const struct nn_exec *e, const struct nn_rule_rec *r)
{
    int64_t x = rule_side(e, r->left, r->left_n), y = rule_side(e, r->right, r->right_n);
    return r->op == NN_SIZE_SUM       ? x + y
           : r->op == NN_SIZE_PRODUCT ? x * y
           : y                        ? x / y - (x % y != 0 && (x < 0) != (y < 0))
                                      : 0;
}

const struct nn_rule_rec *nn_exec_beyond(const struct nn_exec *e, int graph, int64_t *value)
{
    const struct nn_graph_rec *g = nn_exec_graph_rec(e, graph);
    const uint32_t *range = nn_image_at(e->c.image, g->ranges_at);
    for (uint32_t i = 0; i < g->range_count; i++) {
        const struct nn_rule_rec *r = &nn_image_rules(e->c.image)[range[i]];
        *value = follow(e, r);
        if (*value < r->least || *value > r->most)
            return r;
    }
    return NULL;
}

void nn_exec_set_i64(struct nn_exec *e, int slot, int64_t v)
{
    const struct nn_rule_rec *r = nn_image_rules(e->c.image);
    set_i64(e, slot, v);
    if (nn_exec_slot_rec(e, slot)->kind != NN_SLOT_SIZE)
        return;
    for (uint32_t i = 0; i < e->c.image->rule_count; i++) {
        v = follow(e, &r[i]);
        v = v < r[i].least ? r[i].least : v > r[i].most ? r[i].most : v;
        if (memcmp(nn_exec_slot(e, (int)r[i].slot), &v, sizeof v) != 0)
            set_i64(e, (int)r[i].slot, v);
    }
}

void nn_exec_reset_accumulators(struct nn_exec *e)
{
    const struct nn_slot_rec *s = nn_image_slots(e->c.image);
    for (uint32_t i = 0; i < e->c.image->slot_count; i++) {
        enum nn_dtype t = (enum nn_dtype)s[i].dtype;
        if (s[i].kind != NN_SLOT_ACC)
            continue;
        for (size_t k = 0; k < s[i].bytes / nn_dtype_size(t); k++)
            nn_set(t, e->mirror + s[i].offset, k, s[i].identity);
        nn_exec_changed(e, (int)i);
    }
}

struct nn_exec_memory nn_exec_memory(const struct nn_exec *e) { return e->memory; }
