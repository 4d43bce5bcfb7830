/* Running: whole graphs by the device, or launch by launch where something is to be seen between
 * them; what a fault or a NaN says; the slots' two copies. */
#include "common.h"
#include "exec/private.h"

#include <math.h>
#include <string.h>

/* ---- messages ---- */

static const char *origin_text(const struct nn_exec *e, uint32_t origin)
{
    const char *text = origin < e->c.image->origin_count
                           ? nn_exec_text(e, nn_image_origins(e->c.image)[origin].text)
                           : "";
    return *text ? text : "an unnamed operator";
}

static enum nn_status report_fault(const struct nn_exec *e, const struct nn_fault *f,
                                   uint32_t otherwise, struct nn_message *m)
{
    uint32_t origin = (uint32_t)f->code - 1;
    return nn_fail(m, NN_REFUSED, "%s: index %lld is out of range",
                   origin_text(e, origin < e->c.image->origin_count ? origin : otherwise),
                   (long long)f->value);
}

/* ---- slots on both sides ---- */

enum nn_status nn_exec_push(struct nn_exec *e, struct nn_message *m)
{
    const struct nn_slot_rec *slot = nn_image_slots(e->c.image);
    uint32_t n = e->c.image->slot_count;
    enum nn_status s = NN_OK;
    for (uint32_t i = 0; e->any_changed && !s && i < n;) {
        if (!e->changed[i]) {
            i++;
            continue;
        }
        /* Neighbours go together as long as they lie one behind the other. */
        uint64_t from = slot[i].offset, to = from + slot[i].bytes;
        uint32_t k = i + 1;
        while (k < n && e->changed[k] && slot[k].offset >= to &&
               slot[k].offset - to < NN_IMAGE_ALIGN) {
            to = slot[k].offset + slot[k].bytes;
            k++;
        }
        if (to > from)
            s = e->device->ops->write(e->device, e->c.memory.slots + from, e->mirror + from,
                                      to - from, m);
        if (!s)
            memset(&e->changed[i], 0, (k - i) * sizeof *e->changed);
        i = k;
    }
    if (!s)
        e->any_changed = false;
    return s;
}

enum nn_status nn_exec_fetch(struct nn_exec *e, struct nn_message *m)
{
    if (!e->device->ops->apart)
        return NN_OK;
    enum nn_status s = nn_exec_push(e, m);
    if (!s && (e->stale || e->shared) && e->memory.slots) {
        s = e->device->ops->read(e->device, e->mirror, e->c.memory.slots, e->memory.slots, m);
        e->stale = s != NN_OK;
    }
    return s;
}

enum nn_status nn_exec_slot_device(struct nn_exec *e, int slot, void **at, struct nn_message *m)
{
    enum nn_status s = e->device->ops->apart ? nn_exec_push(e, m) : NN_OK;
    e->shared = true;
    *at = s ? NULL : e->c.memory.slots + nn_image_slots(e->c.image)[slot].offset;
    return s;
}

/* ---- launch by launch ---- */

static bool has_nan(enum nn_dtype t, const void *p, size_t n)
{
    for (size_t i = 0; nn_dtype_float(t) && i < n; i++)
        if (isnan(nn_get(t, p, i)))
            return true;
    return false;
}

static enum nn_status look_for_nan(struct nn_exec *e, const struct nn_launch *l,
                                   struct nn_message *m)
{
    for (uint32_t k = 0; k < l->rec->arg_count; k++) {
        const struct nn_arg_rec *a = &l->arg_rec[k];
        enum nn_dtype t = (enum nn_dtype)a->dtype;
        const void *p = l->arg[k];
        if (!a->written || !nn_dtype_float(t))
            continue;
        if (e->device->ops->apart) {
            enum nn_status s = e->device->ops->read(e->device, e->look, p, a->bytes, m);
            if (s)
                return s;
            p = e->look;
        }
        if (has_nan(t, p, a->bytes / nn_dtype_size(t)))
            return nn_fail(m, NN_REFUSED, "%s: the first result that is not a number (NaN)",
                           origin_text(e, l->rec->origin));
    }
    return NN_OK;
}

/* A part's inputs where the launches look for them: as they lie, or copied into the first set. */
static enum nn_status place_inputs(struct nn_exec *e, struct nn_graph *g, const void *const *inputs,
                                   uint32_t part, struct nn_message *m)
{
    const struct nn_value_rec *v = nn_exec_inputs(e, (int)g->number);
    enum nn_status s = NN_OK;
    for (uint32_t i = 0; e->device->ops->apart && !s && i < g->rec->input_count; i++) {
        size_t bytes = v[i].bytes / nn_graph_parts(g);
        if (bytes)
            s = e->device->ops->write(e->device, e->c.memory.inputs[0] + g->input_at[i],
                                      (const char *)inputs[i] + part * bytes, bytes, m);
        if (bytes && !s && g->input_whole[i].read && !part)
            s = e->device->ops->write(e->device, e->c.memory.inputs[0] + g->input_whole[i].at,
                                      inputs[i], v[i].bytes, m);
    }
    for (uint32_t i = 0; i < g->patches; i++) {
        const struct nn_patch *p = &g->patch[i];
        size_t sample = p->whole ? 0 : part * (v[p->input].bytes / nn_graph_parts(g));
        const char *from = e->device->ops->apart
                               ? (const char *)e->c.memory.inputs[0] + nn_patch_at(g, p, 0)
                               : (const char *)inputs[p->input] + sample;
        memcpy(p->at, &from, sizeof(void *));
    }
    return s;
}

/* Which part it is, for those that ask. */
static enum nn_status number_part(struct nn_exec *e, const struct nn_graph *g, uint32_t part,
                                  struct nn_message *m)
{
    int32_t n = (int32_t)part;
    unsigned char *at = e->c.memory.slots + g->rec->part_at;
    if (e->device->ops->apart)
        return e->device->ops->write(e->device, at, &n, sizeof n, m);
    memcpy(at, &n, sizeof n);
    return NN_OK;
}

static enum nn_status run_launches(struct nn_exec *e, struct nn_graph *g, uint32_t from,
                                   uint32_t to, struct nn_message *m)
{
    enum nn_status s = NN_OK;
    for (uint32_t i = from; !s && i < to; i++) {
        const struct nn_launch *l = &g->launch[i];
        struct nn_fault fault = {0};
        double seconds;
        s = e->device->ops->launch(e->device, &e->c, l, &fault, e->times ? &seconds : NULL, m);
        if (e->times)
            e->times[i] += s ? 0 : seconds;
        if (!s && fault.code)
            s = report_fault(e, &fault, l->rec->origin, m);
        if (!s && e->check_nan)
            s = look_for_nan(e, l, m);
    }
    return s;
}

static enum nn_status stepwise(struct nn_exec *e, struct nn_graph *g, const void *const *inputs,
                               struct nn_message *m)
{
    enum nn_status s = NN_OK;
    for (uint32_t i = 0; e->times && i < g->rec->launch_count; i++)
        e->times[i] = 0;
    for (uint32_t p = 0; !s && p < nn_graph_parts(g); p++) {
        s = place_inputs(e, g, inputs, p, m);
        if (!s && g->rec->parts > 1)
            s = number_part(e, g, p, m);
        if (!s)
            s = run_launches(e, g, 0, g->rec->part_launches, m);
    }
    if (!s)
        s = run_launches(e, g, g->rec->part_launches, g->rec->launch_count, m);
    if (!s && e->device->ops->apart && g->output_bytes)
        s = e->device->ops->read(e->device, g->host_output, g->output, g->output_bytes, m);
    return s;
}

/* ---- whole graphs ---- */

static bool in_one_go(const struct nn_exec *e)
{
    return e->device->ops->start && !e->check_nan && !e->times;
}

int nn_exec_depth(const struct nn_exec *e, int graph)
{
    /* Large outputs are read when the run ends, so that no other may begin before. */
    return in_one_go(e) && e->c.graph[graph].output_bytes <= NN_RING_BYTES ? NN_RUNS : 1;
}

int nn_exec_under_way(const struct nn_exec *e) { return e->under_way; }

enum nn_status nn_exec_start(struct nn_exec *e, int graph, const void *const *inputs,
                             struct nn_message *m)
{
    struct nn_graph *g = &e->c.graph[graph];
    if (e->under_way >= nn_exec_depth(e, graph))
        return nn_fail(m, NN_USAGE, "%d runs are under way, one must be finished first",
                       e->under_way);
    int set = e->under_way ? !e->last_set : 0;
    enum nn_status s = e->device->ops->apart ? nn_exec_push(e, m) : NN_OK;
    if (!s)
        s = in_one_go(e) ? e->device->ops->start(e->device, &e->c, g, set, inputs, m)
                         : stepwise(e, g, inputs, m);
    e->stale = true;
    if (s) {
        e->under_way = 0;
        return s;
    }
    e->last_set = set;
    e->run[e->under_way].graph = graph;
    e->run[e->under_way++].set = set;
    return NN_OK;
}

enum nn_status nn_exec_finish(struct nn_exec *e, struct nn_message *m)
{
    if (!e->under_way)
        return nn_fail(m, NN_USAGE, "no run is under way");
    struct nn_graph *g = &e->c.graph[e->run[0].graph];
    int set = e->run[0].set;
    memmove(&e->run[0], &e->run[1], sizeof e->run - sizeof e->run[0]);
    e->under_way--;
    if (!in_one_go(e))
        return NN_OK;
    struct nn_fault fault = {0};
    enum nn_status s = e->device->ops->finish(e->device, &e->c, g, set, &fault, g->host_output, m);
    if (!s && fault.code)
        s = report_fault(e, &fault, 0, m);
    if (s)
        e->under_way = 0;
    return s;
}

enum nn_status nn_exec_run(struct nn_exec *e, int graph, const void *const *inputs,
                           struct nn_message *m)
{
    if (e->under_way)
        return nn_fail(m, NN_USAGE, "another run is under way");
    enum nn_status s = nn_exec_start(e, graph, inputs, m);
    return s ? s : nn_exec_finish(e, m);
}

void nn_exec_time_launches(struct nn_exec *e, double *seconds) { e->times = seconds; }
