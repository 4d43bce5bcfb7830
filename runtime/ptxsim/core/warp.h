/* warp: the state of a running warp, block and worker. */
#ifndef SIM_WARP_H
#define SIM_WARP_H

#include "code.h"

/* A call's registers: the window of a function that some lanes are inside of. */
struct sim_frame {
    const struct sim_function *f;
    uint8_t *regs;
    uint8_t
        *undef; /* the window's shadow: set bits were never written; NULL while all is defined */
    uint32_t capacity;
    uint32_t local_base;
    uint32_t inside; /* lanes that have not returned */
    uint32_t depth, return_pc;
    const struct sim_call *call;
    struct sim_frame *caller, *next_free;
};

enum sim_state { SIM_RUN, SIM_AT_SYNC, SIM_AT_WARPBAR, SIM_AT_BARRIER, SIM_AT_CLUSTER };
/* Lanes that are at one place. */
struct sim_group {
    uint32_t mask, pc;
    struct sim_frame *frame;
    enum sim_state state;
    uint32_t members; /* of AT_SYNC, AT_WARPBAR: who has to come */
    uint32_t barrier; /* of AT_BARRIER */
    uint32_t expected;
};

enum { SIM_NEAR = 1, SIM_FAR = 2 };

struct sim_block_state;
struct sim_worker;
struct sim_warp {
    uint8_t *r; /* the window of the group that runs */
    struct sim_frame *frame, *entry;
    uint8_t *local; /* SIM_LANES stacks, local_stride bytes each */
    uint8_t *local_known;
    bool local_dirty;
    uint32_t index, lanes, exited; /* lanes: those that exist */
    /* Lanes that came to the cluster's barrier: which is not complete; which is, but they have not
     * waited yet. */
    uint32_t came, may_go;
    uint32_t pc;         /* of the instruction under way, for reports */
    uint32_t active;     /* lanes of the group under way */
    bool tainted;        /* some register has undefined bits */
    bool changes;        /* the atomic under way leaves memory other than it was */
    bool reaches;        /* the access under way may go to other blocks' shared memory */
    uint32_t undef_line; /* the PTX line that loaded such bits last */
    struct sim_worker *worker;
    struct sim_block_state *block;
    /* race.c: of the scopes SIM_NEAR (within the block) and SIM_FAR, as bits */
    uint32_t fenced; /* a fence since the last plain store or release */
    uint32_t stored; /* a plain store since the last fence, or none yet */
    /* The clocks below which a fence, not yet a release, has what it did. */
    uint32_t fenced_below, fenced_far;
    uint32_t clock;   /* race.c: grows at what orders the warp's accesses */
    uint32_t learned; /* the clock when it last learned of another warp's release */
    uint32_t *seen;   /* by warp: all of its accesses below this clock are ordered before ours */
    /* by lane: the same of each lane of the warp, where only some of it met (`parted`); or NULL */
    uint32_t (*by_lane)[SIM_LANES];
    bool parted;
    uint32_t groups;
    struct sim_group group[SIM_LANES];
    struct sim_frame *spare; /* frames to use again */
    _Alignas(64) uint32_t carry[SIM_LANES];
    bool yield;                /* it waits for another warp: that one's turn */
    bool awaits;               /* … at an mbarrier */
    bool spins;                /* … for memory that it asked for again and found as it was */
    uint32_t skip;             /* lanes that yielded: the warp's others go first */
    uint32_t spin_pc, spun;    /* where it last asked so, how often */
    uint64_t spin_found;       /* what it found, hashed */
    struct sim_copies *copies; /* tensor.c: asynchronous copies under way */
};

static inline uint32_t *sim_pred(struct sim_warp *w, uint32_t at)
{
    return (uint32_t *)(void *)(w->r + at);
}
static inline uint32_t *sim_row32(struct sim_warp *w, uint32_t at)
{
    return (uint32_t *)(void *)(w->r + at);
}
static inline uint64_t *sim_row64(struct sim_warp *w, uint32_t at)
{
    return (uint64_t *)(void *)(w->r + at);
}
static inline int sim_first(uint32_t mask) { return __builtin_ctz(mask); }

#endif
