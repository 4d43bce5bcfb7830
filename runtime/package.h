/* package: a compiled model as constant data. compiler/pack writes it into an object, runtime/model
 * runs it. All members are 8 bytes wide, so that a record is a list of words. */
#ifndef NN_PACKAGE_H
#define NN_PACKAGE_H

#include "image.h"

#define NN_PACKAGE_VERSION 6

/* The code for one kind of machine. */
struct nn_level {
    const char *target;       /* x86-64-v3, sm_80 */
    const void *image;        /* a struct nn_image, 64-byte aligned */
    uint64_t bytes, hash;     /* of the image; nn_hash */
    nn_kernel *const *kernel; /* a CPU's */
    uint64_t kernels;
    const char *code; /* a GPU's PTX, 0-terminated; NULL: a CPU's level */
    uint64_t code_bytes, code_hash;
    const void *cubin; /* the same as machine code, where ptxas was there to make it; NULL */
    uint64_t cubin_bytes, cubin_hash;
    /* A CPU's code as it was linked: `function` stands function_at bytes behind its begin. Its hash
     * (nn_hash_code) is without the NN_CODE_SKIP bytes at each of `skip`. text_bytes 0: there is
     * none. */
    const unsigned char *function;
    uint64_t function_at, text_bytes, text_hash;
    const uint32_t *skip;
    uint64_t skips;
};

/* What a machine must compute: results of a probe (runtime/model/probe.h). */
struct nn_probe_rec {
    uint64_t count; /* of results; 0: the library carries none */
    const double *result;
    uint64_t forward_limit, step_limit; /* integer inputs were drawn from [0, limit) */
    double tolerance;                   /* of f32, relative to an output's largest magnitude */
};

struct nn_model;
/* A GPU, opened for one execution context, and the level that it runs. */
struct nn_gpu_device {
    struct nn_cuda *cuda;
    struct nn_device *device;
    int ordinal;
    const struct nn_level *level;
};
/* How a library with levels for GPUs reaches them (runtime/model/gpu.c); one without does not link
 * it. `device`: cuda, cuda:N, sim, sim:CHIP. */
struct nn_gpu_ops {
    enum nn_status (*open)(struct nn_gpu_device *d, const struct nn_model *model,
                           const char *device, struct nn_message *m);
    void (*close)(struct nn_gpu_device *d); /* all zero is fine */
};
extern const struct nn_gpu_ops nn_gpu;

struct nn_model {
    uint64_t version; /* NN_PACKAGE_VERSION */
    const char *name; /* MLP */
    const char *part; /* "G.": one of several that share files of weights; NULL: all of them */
    uint64_t levels;
    const struct nn_level *const *level; /* the CPU's, the best first; then the GPU's likewise */
    int64_t epochs, steps, seed;         /* of the train block; epochs or steps -1: not given */
    int64_t batch;                       /* of `step` and `eval`; 0: no training */
    const struct nn_probe_rec *probe;
    const struct nn_gpu_ops *gpu; /* NULL: no level is a GPU's */
};

#endif
