/* core: the inside of the software GPU. Its rooms, each a file or two:
 *
 *   chip.c, chips.def  the table of chips
 *   memory.c           allocations, their shadows, host copies
 *   ptx.c, grammar/    text to a tree
 *   decode*.c          tree to a table of fixed-size instructions
 *   registers.c        how many registers the hardware would need
 *   lanes.*            arithmetic on 32 lanes, built twice: plain and AVX2
 *   launch.c           workers, and the blocks that each has under way
 *   exec.c, frame.c    a block: its warps, control instructions, calls
 *   access.c           ld, st, atom
 *   race.c, taint.c    who touched which word; bits that were never written
 *   warp.c             shuffles, votes
 *   tensor.c           mma, ldmatrix, cp.async
 *   tensor_async.c     mbarriers, bulk copies, tensor maps; wgmma.c
 *   builtin.c          printf, assertions, malloc
 *   report.c           faults in words
 *
 * A row is a register of a warp: 32 lanes of 32 or 64 bits; a predicate is one 32-bit mask. */
#ifndef SIM_CORE_H
#define SIM_CORE_H

#include "../sim.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#if defined(__GNUC__)
#define SIM_PRINTF(a, b) __attribute__((format(printf, a, b)))
#define SIM_NO_TSAN __attribute__((no_sanitize("thread")))
#else
#define SIM_PRINTF(a, b)
#define SIM_NO_TSAN
#endif
#define SIM_LANES 32
#define SIM_ALL 0xFFFFFFFFu

/* ---- memory.c ---- */
/* One allocation. A word is 4 bytes. `known` has a byte a word: bit b says that byte b of it was
 * written; `reads` and `writes` have a cell a word (race.c), zero between launches; `pages` has a
 * byte for every SIM_PAGE bytes: touched in this launch. One mapping holds all of it, lazily
 * backed. */
#define SIM_PAGE 4096
struct sim_block_of_memory {
    uint64_t at, bytes;
    uint32_t kind;
    bool host, freed, read_only;
    _Atomic bool gone; /* freed by the kernel under way */
    bool whole;        /* every byte is known to be written: `known` is not consulted */
    uint8_t *known;
    uint64_t settled; /* words from the begin that are known */
    _Atomic uint64_t *reads, *writes;
    uint8_t *pages;
    void *map, *shadow; /* what was mapped: data (not for host memory), shadows */
    size_t map_bytes, shadow_bytes;
};
typedef struct sim_block_of_memory sim_mem;
#define SIM_KIND_HEAP 0x48454150u /* of what kernels allocate */

struct sim_device {
    const struct sim_chip *chip;
    uint64_t total, used;
    uint32_t live;
    int workers;
    pthread_mutex_t table; /* guards the table of allocations */
    pthread_mutex_t run;   /* one launch at a time; frees wait for it */
    sim_mem **mem;         /* sorted by address; freed ones stay for a while, for better reports */
    size_t mems, mem_cap, freed;
};

/* The allocation, live or freed, whose bytes hold the address; else NULL. The table must be still.
 */
sim_mem *sim_mem_find(struct sim_device *d, uint64_t address);
/* The nearest one that does not hold the address, for reports; NULL: none within 16 MB. */
sim_mem *sim_mem_nearest(struct sim_device *d, uint64_t address);
/* A kernel frees what its malloc gave: no access finds it any more, the addresses stay taken.
 * *twice: it was freed before. False: it is none of malloc's. */
bool sim_heap_free(struct sim_device *d, uint64_t at, bool *twice);
void sim_heap_settle(struct sim_device *d); /* the launch is done: such blocks are freed */
void sim_known_set(sim_mem *m, uint64_t at, uint64_t bytes); /* these were written now */
bool sim_known_all(const sim_mem *m, uint64_t at, uint64_t bytes);
void sim_mem_settle(sim_mem *m); /* sets `whole` where it holds */

#endif
