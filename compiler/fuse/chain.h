/* chain: what the files of fuse/ that make chains share: square.c finds the values between a
 * softmax and its contractions, chain.c makes chains of what computes them. */
#ifndef NNC_FUSE_CHAIN_H
#define NNC_FUSE_CHAIN_H

#include "fuse/private.h"

/* A square value as the chain keeps it: which axis of the value each row of the chain is. */
struct square {
    ir_id node;
    uint8_t row[IR_MAX_AXES];
    bool read; /* by a stage of the chain */
};
struct chain {
    uint32_t rows; /* axes */
    int64_t dim[IR_MAX_AXES];
    VEC(struct fuse_cluster) stage;
    VEC(struct square) local;
    VEC(uint32_t) final; /* the clusters that it takes the place of */
    bool softmax;        /* one of its stages reduces its rows */
};
struct parted { /* a cluster that was parted, as it was */
    uint32_t at;
    struct fuse_cluster c;
};
struct chains {
    struct fuse_plan *p;
    VEC(struct parted) parted;
    uint32_t *owner; /* of each node: its cluster, UINT32_MAX none */
    uint8_t *square; /* of each node */
    uint8_t *taken;  /* of each cluster: a chain's own stage already */
    bool always;     /* whatever it costs in time */
    VEC(struct chain) all;
};

static inline double chain_bytes(const struct ir_node *n)
{
    return (double)ir_count(n) * (double)nn_dtype_size(n->dtype);
}
struct fuse_cluster chain_copy_cluster(const struct fuse_cluster *c);

/* Marks the square values; false: there are none. */
bool chain_find_squares(struct chains *w);
/* A row cluster that folds no square value may hold some for the size's sake alone (a head has as
 * many elements as there are keys): they become clusters of their own, of whose number the plan had
 * `clusters` before; and back. */
void chain_part_rows(struct chains *w);
void chain_join_rows(struct chains *w, uint32_t clusters);

#endif
