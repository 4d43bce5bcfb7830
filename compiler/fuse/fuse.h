/* fuse: which nodes are stored, and which stored nodes share a kernel. Reads a graph after fold_moves
 * and dce, writes clusters in an order in which they can run. Legality apart from profit; policies are
 * rows of a table. The cluster structure is completed here as docs/internals.md describes. */
#ifndef NNC_FUSE_H
#define NNC_FUSE_H

#include "ir/ir.h"
#include "target/target.h"

enum fuse_skeleton {
    FUSE_MAP,      /* every output point on its own, an inner reduction allowed */
    FUSE_ROW,      /* outer axes parallel, reductions over trailing axes, several sweeps over a row */
    FUSE_COLUMN,   /* reductions over leading axes: partial sums a chunk, a finish phase */
    FUSE_CONTRACT, /* generalised matmul: batch, m, n, k classes; implicit GEMM */
    FUSE_SCATTER,
    FUSE_PREFIX,   /* cumsum */
};

struct fuse_cluster {
    enum fuse_skeleton skeleton;
    ir_id anchor;              /* the node that gives the loops their shape */
    VEC(ir_id) members;        /* all nodes computed here, operands first */
    VEC(ir_id) outputs;        /* of them, those stored */
    VEC(ir_id) inputs;         /* stored nodes, inputs and slots that are read */
};
struct fuse_plan {
    struct ir_graph *g;
    const struct target *target;
    VEC(struct fuse_cluster) clusters;
};
struct fuse_plan *fuse_graph(struct ir_graph *g, const struct target *t, const char *policy);
void fuse_free(struct fuse_plan *p);
void fuse_print(const struct fuse_plan *p, struct text *out); /* `nnc emit fused` */

#endif
