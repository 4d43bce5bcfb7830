/* A context's inside, for exec.c and run.c. */
#ifndef NN_EXEC_PRIVATE_H
#define NN_EXEC_PRIVATE_H

#include "exec/device.h"

struct nn_exec {
    struct nn_program c;
    const struct nn_allocator *allocator;
    struct nn_device *device, *own; /* own: the CPU that was opened for this context, else NULL */
    bool check_nan;
    double *times; /* of each launch, or NULL */
    unsigned char *mirror,
        *host_output; /* slots and outputs on the host: the device's, or copies */
    struct nn_exec_memory memory;
    /* Only where the device's memory is apart. */
    bool *changed;           /* slots whose host copy is the newer one */
    bool any_changed, stale; /* stale: the device has written slots since they were read */
    bool shared;             /* others may write them at any time */
    unsigned char *look;     /* room for an argument that is searched for NaN */
    size_t look_bytes;
    /* The runs under way, oldest first. */
    struct {
        int graph, set;
    } run[NN_RUNS];
    int under_way, last_set;
};

/* The slots whose host copy is newer, to the device. */
enum nn_status nn_exec_push(struct nn_exec *e, struct nn_message *m);

#endif
