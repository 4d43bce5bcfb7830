/* exec: runs an image. Opening checks every byte of it and allocates everything; running allocates
 * nothing. A context is used by one thread at a time.
 * Sections: check.c, exec.c, run.c, weights.c. device.h is what a context asks of its machine. */
#ifndef NN_EXEC_H
#define NN_EXEC_H

#include "cpu/pool.h"
#include "image.h"
#include <stdbool.h>

/* ---- check.c ----
 * Whether every offset, count, name and type of the image is sound. `image` must be 8-byte aligned.
 */
enum nn_status nn_image_check(const void *image, size_t bytes, struct nn_message *m);

/* Records of a checked image. */
static inline const char *nn_image_text(const struct nn_image *i, uint32_t at)
{
    return (const char *)i + at;
}
#define NN_IMAGE_RECORDS(name, type, at_field)                                                     \
    static inline const struct type *name(const struct nn_image *i)                                \
    {                                                                                              \
        return (const struct type *)(const void *)((const char *)i + i->at_field);                 \
    }
NN_IMAGE_RECORDS(nn_image_slots, nn_slot_rec, slots_at)
NN_IMAGE_RECORDS(nn_image_graphs, nn_graph_rec, graphs_at)
NN_IMAGE_RECORDS(nn_image_kernels, nn_kernel_rec, kernels_at)
NN_IMAGE_RECORDS(nn_image_origins, nn_origin_rec, origins_at)
NN_IMAGE_RECORDS(nn_image_rules, nn_rule_rec, rules_at)
#undef NN_IMAGE_RECORDS
static inline const void *nn_image_at(const struct nn_image *i, uint32_t at)
{
    return (const char *)i + at;
}

static inline int64_t nn_extent(const struct nn_extent_rec *x, int64_t size)
{
    int64_t v = x->by * size + x->plus;
    return x->times * (v / x->over - (v % x->over < 0)) + x->more;
}

/* ---- exec.c ---- */
struct nn_exec;
struct nn_device;
struct nn_exec_options {
    const struct nn_allocator *allocator; /* NULL: the C library's; must outlive the context */
    struct nn_pool *pool;                 /* NULL: everything on the calling thread */
    bool check_nan; /* after each launch, look for NaN in what it wrote; slow */
    /* NULL: the CPU. Else where it computes (cuda/cuda.h opens one), with the image's code; both
     * must outlive the context, which does not close the device. */
    struct nn_device *device;
    const struct nn_code *code;
};
/* Checks the image and sets up a context over it. `kernel[i]` runs the image's kernel i (on a
 * device its code does; NULL, 0). The image and the kernels must outlive the context. Slots start
 * as zeros; accumulators as their identity, sizes as the largest. */
enum nn_status nn_exec_open(struct nn_exec **e, const struct nn_image *image, size_t bytes,
                            nn_kernel *const *kernel, size_t kernels,
                            const struct nn_exec_options *o, struct nn_message *m);
void nn_exec_close(struct nn_exec *e); /* NULL is fine */

const struct nn_image *nn_exec_image(const struct nn_exec *e);
/* The graph's number, or -1. */
int nn_exec_graph(const struct nn_exec *e, const char *name);
const struct nn_graph_rec *nn_exec_graph_rec(const struct nn_exec *e, int graph);
const struct nn_value_rec *nn_exec_inputs(const struct nn_exec *e, int graph);
const struct nn_value_rec *nn_exec_outputs(const struct nn_exec *e, int graph);
/* The sizes that the graph's caller says: the slots' values; inputs and outputs are laid out for
 * the largest, and matter up to their extents. */
const struct nn_size_rec *nn_exec_sizes(const struct nn_exec *e, int graph);
const char *nn_exec_text(const struct nn_exec *e, uint32_t at); /* a record's name */
/* An output's number by name, or -1; its memory on the host, which each finished run overwrites. */
int nn_exec_find_output(const struct nn_exec *e, int graph, const char *name);
const void *nn_exec_output(const struct nn_exec *e, int graph, int output);
/* A slot's record by number, and its number by name (-1 if there is none). */
int nn_exec_find_slot(const struct nn_exec *e, const char *name);
const struct nn_slot_rec *nn_exec_slot_rec(const struct nn_exec *e, int slot);
/* A slot's memory on the host. With a device it is a copy: nn_exec_fetch before reading it, and
 * nn_exec_changed once the whole slot was written anew; on the CPU neither is needed. */
void *nn_exec_slot(const struct nn_exec *e, int slot);
enum nn_status nn_exec_fetch(struct nn_exec *e, struct nn_message *m);
void nn_exec_changed(struct nn_exec *e, int slot);
/* A slot's memory where it computes (on the CPU that of nn_exec_slot), for others to read and write
 * between runs: from now on what nn_exec_fetch gives is read anew each time. */
enum nn_status nn_exec_slot_device(struct nn_exec *e, int slot, void **at, struct nn_message *m);
/* Sets a slot of integers or floats with one element; false if there is no such slot. */
bool nn_exec_set_scalar(struct nn_exec *e, const char *slot, double v);
/* The same of an i64, exactly; of a size also what follows from it. */
void nn_exec_set_i64(struct nn_exec *e, int slot, int64_t v);
/* What follows from the sizes that are set, and is outside of the range that the graph takes; its
 * value. NULL: there is nothing. */
const struct nn_rule_rec *nn_exec_beyond(const struct nn_exec *e, int graph, int64_t *value);
void nn_exec_reset_accumulators(struct nn_exec *e);
/* Allocated in all, in bytes. On a device `scratch` is what it keeps for itself (a library's
 * workspace) and `inputs` two sets of them; on the CPU `scratch` is that of all threads, and there
 * are no inputs. */
struct nn_exec_memory {
    size_t slots, arena, scratch, outputs, inputs;
};
struct nn_exec_memory nn_exec_memory(const struct nn_exec *e);

/* ---- layout.c ---- */
/* How far each axis of an input or output goes at the sizes that are set; the elements. */
size_t nn_extents(const struct nn_exec *e, const struct nn_value_rec *v, int64_t *n);
/* A dense array of those sizes into memory laid out for the largest (v->bytes), and back. */
void nn_lay_out(const struct nn_exec *e, const struct nn_value_rec *v, void *wide,
                const void *dense);
void nn_take_out(const struct nn_exec *e, const struct nn_value_rec *v, const void *wide,
                 void *dense);

/* ---- run.c ---- */
/* Runs a graph. inputs[i] is the memory of its input i, dense and row-major, 64-byte aligned; it is
 * only read. NN_REFUSED: an index was out of range (the message names the line of the model), or,
 * with check_nan, a launch wrote NaN; the slots then are those of a broken-off run. */
enum nn_status nn_exec_run(struct nn_exec *e, int graph, const void *const *inputs,
                           struct nn_message *m);

/* The same in two halves, so that a device computes while the next run is made ready: `start`
 * begins a run and returns, `finish` waits for the oldest and makes its outputs the current ones.
 * At most nn_exec_depth runs are under way (1 on the CPU, where `start` does it all). Runs follow
 * one another; none is under way when slots are fetched, changed or graphs run by nn_exec_run.
 * After a failure all that were under way are given up. */
int nn_exec_depth(const struct nn_exec *e, int graph);
int nn_exec_under_way(const struct nn_exec *e);
enum nn_status nn_exec_start(struct nn_exec *e, int graph, const void *const *inputs,
                             struct nn_message *m);
enum nn_status nn_exec_finish(struct nn_exec *e, struct nn_message *m);

/* From now on each run writes the seconds of every launch, in order, to `seconds`; NULL ends it. */
void nn_exec_time_launches(struct nn_exec *e, double *seconds);

/* ---- weights.c ---- */
/* Reads the tensors of a safetensors file into the params and states whose names begin with
 * `prefix`
 * ("" all; "G." takes `first.weight` for `G.first.weight`). Shapes must agree; floats convert
 * between widths. Every such slot must be in the file and the other way round, but for PyTorch's
 * num_batches_tracked. Nothing is changed if anything does not fit. */
enum nn_status nn_weights_load(struct nn_exec *e, const char *path, const char *prefix,
                               struct nn_message *m);

/* The same for one model of several that share the file: tensors whose names do not begin with
 * `part`
 * ("G.") are the others'. */
enum nn_status nn_weights_load_part(struct nn_exec *e, const char *path, const char *part,
                                    struct nn_message *m);

/* The resumable state: every slot but the accumulators, named `slot/NAME`, of exactly the slot's
 * type; other tensors of the file are somebody else's. Nothing is changed if anything does not fit.
 */
struct nn_tensors;
enum nn_status nn_state_load(struct nn_exec *e, struct nn_tensors *t, const char *path,
                             struct nn_message *m);

#endif
