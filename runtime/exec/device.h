/* device: what a context (exec.c) asks of the machine that computes. The CPU is host.c; cuda/ has
 * another. A device has memory of its own or the host's, and runs launches; it knows nothing of
 * slots' names, of outputs, of how an image was checked.
 *
 * A device serves one context at a time. What it is asked comes from one thread at a time. */
#ifndef NN_DEVICE_H
#define NN_DEVICE_H

#include "exec/exec.h"

enum {
    NN_RUNS = 2, /* runs that may be under way at once, each in a set of buffers of its own */
    NN_RING_BYTES =
        1 << 16, /* outputs up to this are kept apart for each; larger ones are read late */
};

/* A launch of a graph, its arguments' addresses filled in. */
struct nn_launch {
    const struct nn_launch_rec *rec;
    const struct nn_arg_rec *arg_rec;
    const struct nn_phase_rec *phase;
    const struct nn_gemm_rec *gemm; /* NULL: a kernel */
    void **arg;                     /* device addresses; inputs': of the set in use */
    bool serial;                    /* so short that one thread does it */
};
struct nn_patch { /* an argument that is an input */
    void **at;
    uint32_t input;
    bool whole; /* all its samples, in every part */
};
struct nn_whole {
    bool read; /* by some launch */
    size_t at; /* within a set of inputs */
};
struct nn_graph {
    const struct nn_graph_rec *rec;
    uint32_t number;
    struct nn_launch *launch;
    void **args; /* of all launches */
    struct nn_patch *patch;
    uint32_t patches;
    size_t *input_at;                    /* of each input within a set of inputs */
    size_t *input_step;                  /* from each part of an input to the next, there */
    struct nn_whole *input_whole;        /* of each input, where it lies once more, undivided */
    size_t input_bytes;                  /* of all, as they lie in a set */
    unsigned char *output, *host_output; /* where they begin, on the device and on the host */
    size_t *output_at;                   /* of each within them */
    size_t output_bytes;
};

static inline uint32_t nn_graph_parts(const struct nn_graph *g)
{
    return g->rec->parts > 1 ? g->rec->parts : 1;
}

/* Where a patch's samples begin in a set of inputs. */
static inline size_t nn_patch_at(const struct nn_graph *g, const struct nn_patch *p, uint32_t part)
{
    return p->whole ? g->input_whole[p->input].at
                    : g->input_at[p->input] + part * g->input_step[p->input];
}

/* A context's memory on the device: one block. */
struct nn_memory {
    unsigned char *base, *slots, *arena, *outputs;
    unsigned char *inputs[NN_RUNS];       /* NULL where inputs are used where they lie */
    struct nn_fault *fault[NN_RUNS];      /* on the device */
    unsigned char *own;                   /* what the device asked for */
    size_t bytes, own_bytes, input_bytes; /* input_bytes: of one set */
};

/* A program in work: what a device sees of the execution context that it serves. */
struct nn_program {
    const struct nn_image *image;
    nn_kernel *const *kernel;   /* of a CPU */
    const struct nn_code *code; /* of a GPU */
    struct nn_graph *graph;
    uint64_t scratch_bytes; /* a thread */
    struct nn_memory memory;
};

struct nn_device {
    const struct nn_device_ops *ops;
};
struct nn_device_ops {
    bool apart; /* its memory is not the host's: slots and outputs have copies on the host */
    uint32_t alignment; /* of everything that has an address */
    /* Makes the kernels of the context's image ready, says how many bytes it wants for itself. */
    enum nn_status (*load)(struct nn_device *d, const struct nn_program *c, size_t *own_bytes,
                           struct nn_message *m);
    /* One block, zeroed where that is free; refused with both figures where it does not fit. */
    enum nn_status (*alloc)(struct nn_device *d, size_t bytes, void **at, struct nn_message *m);
    /* After alloc, the context's memory being laid out: what runs need. */
    enum nn_status (*prepare)(struct nn_device *d, const struct nn_program *c,
                              struct nn_message *m);
    /* Ends the service: what load, alloc and prepare took is given back; any of them may have
     * failed.
     */
    void (*unload)(struct nn_device *d, struct nn_program *c);
    /* Between host and device, after all that was asked before. Only where memory is apart. */
    enum nn_status (*write)(struct nn_device *d, void *to, const void *from, size_t bytes,
                            struct nn_message *m);
    enum nn_status (*read)(struct nn_device *d, void *to, const void *from, size_t bytes,
                           struct nn_message *m);
    /* One launch, waited for; the fault it met, its seconds where asked. */
    enum nn_status (*launch)(struct nn_device *d, const struct nn_program *c,
                             const struct nn_launch *l, struct nn_fault *fault, double *seconds,
                             struct nn_message *m);
    /* Begins a run of the graph in the set of buffers `set`, its inputs copied from the host: they
     * may be overwritten on return. Runs follow one another. Only where memory is apart. */
    enum nn_status (*start)(struct nn_device *d, const struct nn_program *c, struct nn_graph *g,
                            int set, const void *const *inputs, struct nn_message *m);
    /* Waits for the run in that set; its fault, its outputs into `outputs`, as g->output_at says.
     */
    enum nn_status (*finish)(struct nn_device *d, const struct nn_program *c, struct nn_graph *g,
                             int set, struct nn_fault *fault, unsigned char *outputs,
                             struct nn_message *m);
    /* Frees the device itself. */
    void (*close)(struct nn_device *d);
};
static inline void nn_device_close(struct nn_device *d) /* NULL is fine */
{
    if (d)
        d->ops->close(d);
}

/* ---- host.c ---- The CPU: kernels on the pool's threads (NULL: on the caller's). */
enum nn_status nn_host_open(struct nn_device **d, const struct nn_allocator *a,
                            struct nn_pool *pool, struct nn_message *m);
size_t nn_host_scratch(const struct nn_device *d); /* of all threads */

#endif
