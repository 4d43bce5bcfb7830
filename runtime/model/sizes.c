/* A call's sizes: which graph takes them, and the caller's dense arrays into and out of memory that
 * is laid out for the largest. */
#include "model/context.h"

#include <stdlib.h>
#include <string.h>

/* ---- which graph ---- */

static bool takes(const struct nn_context *c, int graph, const int64_t *size)
{
    const struct nn_size_rec *z = nn_exec_sizes(c->exec, graph);
    for (uint32_t i = 0; i < nn_exec_graph_rec(c->exec, graph)->size_count; i++)
        if (size[i] < z[i].least || size[i] > z[i].most)
            return false;
    return true;
}

static bool is_forward(const struct nn_context *c, uint32_t graph)
{
    const char *name = nn_exec_text(c->exec, nn_exec_graph_rec(c->exec, (int)graph)->name);
    return !strncmp(name, "forward", 7);
}

static enum nn_status refuse(struct nn_context *c, const char *name, int64_t size, int64_t least,
                             int64_t most)
{
    return nn_fail(&c->message, NN_USAGE,
                   "forward: %s is %lld; %s was built for %lld to %lld (nnc build --max)", name,
                   (long long)size, c->model->name, (long long)least, (long long)most);
}

/* The one for the fewest sizes stands before those that take more. */
static enum nn_status find(struct nn_context *c, const int64_t *size, int *graph)
{
    uint32_t graphs = nn_exec_image(c->exec)->graph_count;
    int last = -1;
    for (uint32_t g = 0; g < graphs; g++) {
        if (!is_forward(c, g))
            continue;
        last = *graph = (int)g;
        if (takes(c, last, size))
            return NN_OK;
    }
    if (last < 0)
        return nn_fail(&c->message, NN_USAGE, "%s has no forward pass", c->model->name);
    const struct nn_size_rec *z = nn_exec_sizes(c->exec, last);
    uint32_t i = 0;
    while (size[i] >= z[i].least && size[i] <= z[i].most)
        i++;
    return refuse(c, nn_exec_text(c->exec, z[i].name), size[i], z[i].least, z[i].most);
}

/* ---- arrays ---- */

enum nn_status nn_sizes_open(struct nn_context *c, struct nn_message *m)
{
    for (uint32_t g = 0; g < nn_exec_image(c->exec)->graph_count; g++) {
        const struct nn_value_rec *v = nn_exec_inputs(c->exec, (int)g);
        size_t bytes = 0;
        for (uint32_t i = 0; i < nn_exec_graph_rec(c->exec, (int)g)->input_count; i++)
            bytes += v[i].extents_at ? nn_round_up(v[i].bytes, 64) : 0;
        c->wide_bytes = bytes > c->wide_bytes ? bytes : c->wide_bytes;
    }
    if (!c->wide_bytes)
        return NN_OK;
    c->wide = nn_alloc(c->options.allocator, c->wide_bytes);
    if (!c->wide)
        return nn_fail(m, NN_MACHINE,
                       "out of memory: inputs laid out for the largest sizes need %zu bytes",
                       c->wide_bytes);
    return NN_OK;
}

enum nn_status nn_sizes_set(struct nn_context *c, const int64_t *size, int *graph)
{
    enum nn_status s = find(c, size, graph);
    const struct nn_size_rec *z = s ? NULL : nn_exec_sizes(c->exec, *graph);
    for (uint32_t i = 0; !s && i < nn_exec_graph_rec(c->exec, *graph)->size_count; i++) {
        int slot = (int)z[i].slot - 1;
        if (slot >= 0 && memcmp(nn_exec_slot(c->exec, slot), &size[i], sizeof size[i]) != 0)
            nn_exec_set_i64(c->exec, slot, size[i]);
    }
    int64_t value;
    const struct nn_rule_rec *r = s ? NULL : nn_exec_beyond(c->exec, *graph, &value);
    if (!r)
        return s;
    const char *name = nn_exec_text(c->exec, nn_exec_slot_rec(c->exec, (int)r->slot)->name);
    return refuse(c, name + strlen("dim."), value, r->least, r->most);
}

const void *const *nn_sizes_in(struct nn_context *c, int graph, const void *const *in)
{
    const struct nn_value_rec *v = nn_exec_inputs(c->exec, graph);
    unsigned char *at = c->wide;
    for (uint32_t i = 0; i < nn_exec_graph_rec(c->exec, graph)->input_count; i++) {
        c->in[i] = in[i];
        if (!v[i].extents_at)
            continue;
        nn_lay_out(c->exec, &v[i], at, in[i]);
        c->in[i] = at;
        at += nn_round_up(v[i].bytes, 64);
    }
    return c->in;
}

void nn_sizes_out(struct nn_context *c, int graph, void *const *out)
{
    const struct nn_value_rec *v = nn_exec_outputs(c->exec, graph);
    for (uint32_t i = 0; i < nn_exec_graph_rec(c->exec, graph)->output_count; i++)
        if (out[i])
            nn_take_out(c->exec, &v[i], nn_exec_output(c->exec, graph, (int)i), out[i]);
}
