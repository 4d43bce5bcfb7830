/* chain: which columns a chain's stages may leave out. */
#ifndef NNC_LOWER_CHAIN_H
#define NNC_LOWER_CHAIN_H

#include "lower/skeleton.h"

/* Only columns with first <= column - row (`from`) and column - row <= last (`to`) count for
 * anything that the chain gives: first <= 0 <= last. */
struct chain_limits {
    bool from, to;
    int64_t first, last;
    uint32_t column[64]; /* of each stage: the axis of its space */
};
struct chain_limits chain_find_limits(const struct fuse_plan *p, const struct fuse_cluster *c);
/* What is wanted of a stage's column axis for the `rows` rows from `at` on: a column at least, so
 * that rows for which the condition holds nowhere come out as they would. */
struct sk_limit chain_limit(struct sk *s, const struct chain_limits *l, uint32_t column,
                            struct lo_lin at, int64_t rows);

#endif
