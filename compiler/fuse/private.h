/* What the files of fuse/ share. */
#ifndef NNC_FUSE_PRIVATE_H
#define NNC_FUSE_PRIVATE_H

#include "fuse/fuse.h"

/* Users of each node, and of each stored node the cluster that computes it (UINT32_MAX: none). */
struct fuse_users {
    uint32_t *first; /* of node i: user[first[i]] .. user[first[i + 1]] */
    ir_id *user;
};
struct fuse_users fuse_users(const struct ir_graph *g);
void fuse_users_free(struct fuse_users *u);

bool fuse_is_root(const struct fuse_plan *p, ir_id id); /* an output or update */
bool fuse_computed(const struct ir_node *n);            /* a kernel computes it if it is stored */

/* ---- pad.c ---- */
void fuse_pad(struct ir_graph *g);

/* ---- store.c ---- sets plan->mode. */
void fuse_store_all(struct fuse_plan *p); /* every node that may be stored */
void fuse_store_greedy(struct fuse_plan *p);

/* ---- cluster.c ---- */
void fuse_cluster_each(struct fuse_plan *p); /* one for each stored node */
struct fuse_cluster fuse_own_cluster(const struct fuse_plan *p, ir_id id);
void fuse_read_inputs(const struct fuse_plan *p, struct fuse_cluster *c);
/* Levels, what is stored, and an order in which the clusters can run. */
void fuse_finish(struct fuse_plan *p, bool bundles);
void fuse_fx(struct fx *x, const struct fuse_plan *p, const struct fuse_cluster *c, uint8_t **mode);

/* ---- product.c ---- */
/* Fills plan->library and prices for plan->gemm, from the clusters as they are with own kernels. */
void fuse_choose_library(struct fuse_plan *p);
/* The product `sum` and the node of its shape that is computed from it, as one. */
bool fuse_holds(const struct fuse_plan *p, ir_id sum, ir_id next, struct fuse_product *out);
/* What is stored for the library to read this factor. */
ir_id fuse_library_reads(const struct fuse_plan *p, ir_id factor);

/* ---- chain.c ---- Softmax between contractions, forward and backward: one kernel each. */
/* `always`: also where a CPU would be quicker with the square matrix in memory. */
void fuse_chains(struct fuse_plan *p, bool always);

/* ---- bundle.c ---- Numbers the clusters that are launched together. */
void fuse_bundle(struct fuse_plan *p, uint32_t *owner);

/* ---- merge.c ---- */
/* Merges cluster b into a (a's place; b becomes empty) if that is legal. */
enum fuse_reason fuse_merge(struct fuse_plan *p, uint32_t a, uint32_t b, bool commit);

/* Whether another cluster than the two reads the node, or the graph gives it out. */
bool fuse_wanted(const struct fuse_plan *p, uint32_t a, uint32_t b, ir_id node);

/* One has clones that are computed again for the backward pass, the other is of the forward pass:
 * as one kernel they would be computed too early. */
bool fuse_later(const struct fuse_plan *p, const struct fuse_cluster *a,
                const struct fuse_cluster *b);

/* A path from a to b, or back, that leaves the pair. */
bool fuse_cycle(const struct fuse_plan *p, uint32_t a, uint32_t b);

/* ---- across.c ---- for a GPU: column sums into the loops over rows that read the same. */
void fuse_across(struct fuse_plan *p);

/* ---- policy.c ---- */
struct fuse_policy {
    const char *name, *help;
    void (*store)(struct fuse_plan *p);
    void (*cluster)(struct fuse_plan *p);
    bool bundles;
};
extern const struct fuse_policy fuse_policy_table[];
extern const size_t fuse_policy_count;

#endif
