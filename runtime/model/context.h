/* model: a package opened. Sections: context.c (opening, training, inference), inputs.c, sizes.c,
 * params.c (names and views of what lasts), files.c (safetensors), selftest.c, probe.c. */
#ifndef NN_CONTEXT_H
#define NN_CONTEXT_H

#include "common.h"
#include "cpu/pool.h"
#include "exec/exec.h"
#include "package.h"

#include <stdatomic.h>

struct nn_context {
    const struct nn_model *model;
    const struct nn_level *level;
    struct nn_options options; /* `device` points to the copy below, or is NULL */
    char device[120];
    struct nn_pool *pool; /* NULL: the calling thread alone */
    struct nn_exec *exec;
    struct nn_gpu_device gpu;                /* all zero on the CPU */
    atomic_int holders;                      /* the caller, and every DLPack tensor that is out */
    int step, eval, eval_one, metrics, init; /* graphs; -1: none */
    uint32_t losses;
    bool filled;         /* the parameters have values */
    bool length_missing; /* a schedule asks for the number of steps and nobody gave it */
    int64_t evaluated;   /* samples since the last metrics */
    const void **in;     /* room for the inputs of a graph */
    unsigned char *wide; /* for inputs laid out for the largest sizes */
    size_t wide_bytes;
    uint32_t params;
    struct param *param; /* parameters and states */
    struct nn_message message;
};

struct param {
    uint32_t slot;
    int64_t shape[NN_MAX_RANK], strides[NN_MAX_RANK];
};

/* The chosen level as an execution context, what opening and the self-test do alike; on a GPU `gpu`
 * is what it runs on, to be closed after the context (it is opened if it is all zero). */
enum nn_status nn_level_exec(const struct nn_context *c, struct nn_exec **e,
                             struct nn_gpu_device *gpu, struct nn_message *m);
/* Waits for training steps that are under way; to be called before anything else is done. */
enum nn_status nn_context_settle(struct nn_context *c);

/* Refuses a context that is NULL, and a pointer of the caller's that is; `what`: the path. */
enum nn_status nn_context_given(struct nn_context *c, const void *p, const char *what);

/* Sets what schedules read: how long training is, as far as options and model say. */
void nn_context_set_length(struct nn_context *c);

/* ---- inputs.c ---- The arrays for `count` samples; of the graph's inputs `samples` are in each.
 * Nothing was computed where they are refused. */
enum nn_status nn_inputs_given(struct nn_context *c, int graph, int64_t samples, int64_t count,
                               const void *const *in);
/* An output may be NULL. */
enum nn_status nn_outputs_given(struct nn_context *c, int graph, void *const *out);

/* ---- sizes.c ---- */
enum nn_status nn_sizes_open(struct nn_context *c, struct nn_message *m); /* takes memory */
/* The forward graph for these sizes (one for each of its nn_size_rec); its slots are set. */
enum nn_status nn_sizes_set(struct nn_context *c, const int64_t *size, int *graph);
/* The caller's dense arrays as the graph wants them; its outputs as the caller does. */
const void *const *nn_sizes_in(struct nn_context *c, int graph, const void *const *in);
void nn_sizes_out(struct nn_context *c, int graph, void *const *out);

/* ---- params.c ---- Fills c->param. */
enum nn_status nn_params_open(struct nn_context *c, struct nn_message *m);
void nn_context_release(struct nn_context *c); /* one holder less; the last frees */

NN_PRINTF(2, 3) void nn_context_log(const struct nn_context *c, const char *fmt, ...);

#endif
