/* package: a compiled model as constant data. compiler/pack writes it into an object, runtime/model
 * runs it. All members are 8 bytes wide, so that a record is a list of words. */
#ifndef NN_PACKAGE_H
#define NN_PACKAGE_H

#include "image.h"

#define NN_PACKAGE_VERSION 1

/* The code for one kind of machine. */
struct nn_level {
    const char *target;   /* x86-64-v3 */
    const void *image;    /* a struct nn_image, 64-byte aligned */
    uint64_t bytes, hash; /* of the image; nn_hash */
    nn_kernel *const *kernel;
    uint64_t kernels;
};

/* What a machine must compute: results of a probe (runtime/model/probe.h). */
struct nn_probe_rec {
    uint64_t count; /* of results; 0: the library carries none */
    const double *result;
    uint64_t forward_limit, step_limit; /* integer inputs were drawn from [0, limit) */
    double tolerance;                   /* relative to the results' size */
};

struct nn_model {
    uint64_t version; /* NN_PACKAGE_VERSION */
    const char *name; /* MLP */
    uint64_t levels;
    const struct nn_level *const *level; /* the best first */
    int64_t epochs, steps, seed;         /* of the train block; epochs or steps -1: not given */
    int64_t batch;                       /* of `step` and `eval`; 0: no training */
    const struct nn_probe_rec *probe;
};

#endif
