/* exec: runs an image. Opening checks every byte of it and allocates everything; running allocates
 * nothing. A context is used by one thread at a time.
 * Sections: check.c, exec.c, weights.c. */
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
#undef NN_IMAGE_RECORDS
static inline const void *nn_image_at(const struct nn_image *i, uint32_t at)
{
    return (const char *)i + at;
}

/* ---- exec.c ---- */
struct nn_exec;
struct nn_exec_options {
    const struct nn_allocator *allocator; /* NULL: the C library's; must outlive the context */
    struct nn_pool *pool;                 /* NULL: everything on the calling thread */
    bool check_nan; /* after each launch, look for NaN in what it wrote; slow */
};
/* Checks the image and sets up a context over it. `kernel[i]` runs the image's kernel i. The image
 * and the kernels must outlive the context. Slots start as zeros; accumulators as their identity.
 */
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
const char *nn_exec_text(const struct nn_exec *e, uint32_t at); /* a record's name */
/* An output's number by name, or -1; its memory, which each run overwrites. */
int nn_exec_find_output(const struct nn_exec *e, int graph, const char *name);
const void *nn_exec_output(const struct nn_exec *e, int graph, int output);
/* A slot's memory and record by number, and its number by name (-1 if there is none). */
int nn_exec_find_slot(const struct nn_exec *e, const char *name);
const struct nn_slot_rec *nn_exec_slot_rec(const struct nn_exec *e, int slot);
void *nn_exec_slot(const struct nn_exec *e, int slot);
/* Sets a slot of integers or floats with one element; false if there is no such slot. */
bool nn_exec_set_scalar(struct nn_exec *e, const char *slot, double v);
void nn_exec_reset_accumulators(struct nn_exec *e);
/* Allocated in all, in bytes: slots, arena, scratch of all threads, outputs. */
struct nn_exec_memory {
    size_t slots, arena, scratch, outputs;
};
struct nn_exec_memory nn_exec_memory(const struct nn_exec *e);

/* Runs a graph. inputs[i] is the memory of its input i, dense and row-major, 64-byte aligned; it is
 * only read. NN_REFUSED: an index was out of range (the message names the line of the model), or,
 * with check_nan, a launch wrote NaN; the slots then are those of a broken-off run. */
enum nn_status nn_exec_run(struct nn_exec *e, int graph, const void *const *inputs,
                           struct nn_message *m);

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

/* The same for one model of several that share the file: tensors whose names do not begin with `part`
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
