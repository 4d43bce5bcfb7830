/* A keyed permutation of 0..n: a Feistel network over the next power of four (Luby and Rackoff
 * 1988), walked until it lands inside (cycle walking; four steps on average at most). */
#include "common.h"
#include "data/data.h"

enum { ROUNDS = 6 };

int64_t nn_order(uint64_t key, int64_t n, int64_t i)
{
    unsigned half = 1;
    while (half < 31 && (uint64_t)1 << 2 * half < (uint64_t)n)
        half++;
    uint64_t mask = ((uint64_t)1 << half) - 1, x = (uint64_t)i;
    do {
        uint64_t left = x >> half, right = x & mask;
        for (uint64_t r = 0; r < ROUNDS; r++) {
            uint64_t next = left ^ (nn_mix(key, right << 8 | r) & mask);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= (uint64_t)n);
    return (int64_t)x;
}
