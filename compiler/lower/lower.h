/* lower: a cluster becomes a kernel of loop IR and the list of what its arguments are in the graph.
 * A stored value is dense and row-major over the node's value axes. */
#ifndef NNC_LOWER_H
#define NNC_LOWER_H

#include "fuse/fuse.h"
#include "loop/loop.h"

/* The i-th LO_ARG buffer of the kernel. */
struct low_arg {
    ir_id node;    /* a stored node, an input or a slot read; 0: a temporary of this launch */
    int64_t bytes; /* of a temporary (partial sums between phases) */
    bool write;
    /* The kernel reads an element of it only before, and in the same chunk as, it writes the
     * element at the same flat position of every output of the same size: the output may take its
     * place. */
    bool pointwise;
};
struct low_launch {
    struct lo_kernel *kernel; /* NULL: a matrix product by the device's library */
    struct nn_gemm_rec *gemm; /* then: which one (heap), and the arguments are its. Else NULL */
    VEC(struct low_arg) args;
    uint32_t origin;
};
struct low_launches {
    VEC(struct low_launch) p;
};
/* Lowers, verifies and simplifies every cluster of the plan, in order; neighbours of one segment
 * become one launch. Every output and update has a node of its own (fuse_graph). Kernels still hold
 * maths operators. */
struct low_launches *lower_plan(const struct fuse_plan *p);
/* The same launches and arguments, for a plan of memory: not all kernels are simplified. */
struct low_launches *lower_arguments(const struct fuse_plan *p);
void lower_free(struct low_launches *l);
/* How each contraction of a plan for a GPU is computed (tile, parts of k, or the library), a line
 * each. */
void lower_print(const struct fuse_plan *p, struct text *out);

#endif
