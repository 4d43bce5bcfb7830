/* chain: what the files of fuse/ that make chains share: square.c finds the values between a
 * softmax and its contractions, chain.c makes chains of what computes them, chain_place.c puts
 * those that are worth it in place. */
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
    ir_id square;        /* one of the values that it keeps */
    ir_id stored;        /* the one that it stores, for those who want the matrix; 0: none */
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

/* Where a cluster reads a square value: the coordinate of each of its axes, an axis of the space.
 */
struct read {
    ir_id node;
    bool plain; /* every coordinate is one axis, the same for all reads */
    uint8_t axis[IR_MAX_AXES];
};
struct square_reads {
    const struct chains *w;
    const struct fuse_cluster *c;
    VEC(struct read) p;
};

static inline double chain_bytes(const struct ir_node *n)
{
    return (double)ir_count(n) * (double)nn_dtype_size(n->dtype);
}
struct fuse_cluster chain_copy_cluster(const struct fuse_cluster *c);

/* ---- chain.c ---- */
struct square *chain_local(struct chain *c, ir_id node); /* NULL: it keeps no such value */
bool chain_has_member(const struct fuse_cluster *c, ir_id node);
void chain_read_squares(const struct chains *w, const struct fuse_cluster *c,
                        struct square_reads *r);
void chain_free(struct chains *w, struct chain *c);
/* A further chain over `like`'s rows, that stores a value beside which `like` keeps another one. */
bool chain_store(struct chains *w, const struct chain *like, ir_id square, struct chain *c);

/* ---- chain_place.c ---- */
/* Places the chains and frees them all; what stays a square value is in none of those placed. */
void chain_place_all(struct chains *w);

/* ---- square.c ---- */
/* Marks the square values; false: there are none. */
bool chain_find_squares(struct chains *w);
/* A row cluster that folds no square value may hold some for the size's sake alone (a head has as
 * many elements as there are keys): they become clusters of their own. */
void chain_part_rows(struct chains *w);
/* Back, where none of its values is square any more. */
void chain_join_rows(struct chains *w);

#endif
