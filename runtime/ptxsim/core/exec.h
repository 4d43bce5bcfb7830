/* exec: workers, blocks, and what instructions' functions call. */
#ifndef SIM_EXEC_H
#define SIM_EXEC_H

#include "warp.h"

/* Where an access goes: one allocation, or the block's shared memory. */
struct sim_region {
    uint8_t *host;   /* byte of address lo */
    uint64_t lo, hi; /* addresses of the space */
    uint8_t *known;  /* NULL: all is known */
    _Atomic uint64_t *reads, *writes;
    uint8_t *pages;
    sim_mem *mem; /* NULL: shared */
};

/* How the addresses of the access under way lie: computed once, by sim_access_region. */
enum sim_pattern { SIM_SCATTERED, SIM_IN_A_ROW, SIM_UNIFORM };
struct sim_shape {
    const uint64_t *at;
    uint32_t mask, n;
    uint64_t lo, hi;
    enum sim_pattern pattern;
};

struct sim_barrier {
    uint32_t arrived; /* threads */
    uint32_t expected;
    uint32_t generation;
    uint32_t warps, waits; /* bits of the warps that came, and of those that wait */
    uint32_t reduce;       /* of bar.red: the votes so far */
    uint32_t result;
    bool any;
    uint32_t know[SIM_LANES]; /* race.c: by warp, what those that came had done and knew */
};

/* The blocks of a cluster run on one thread of the launch, in turns. */
struct sim_cluster {
    uint32_t size, live; /* blocks; those that have not ended */
    struct sim_worker *block[SIM_MAX_CLUSTER];
    uint32_t threads, arrived; /* of the barrier: those that have not left the kernel */
    uint32_t generation;
    uint32_t still, idle; /* turns of blocks in which nothing moved; in which all waited for
                             mbarriers */
    bool failed;
};

struct sim_block_state {
    uint32_t id[3];
    uint64_t index;        /* linear */
    uint64_t order;        /* the cluster's number, then the rank: whose fault counts */
    uint32_t rank, window; /* window: where its shared memory begins as an address */
    struct sim_cluster *cluster;
    uint32_t threads; /* that have not left the kernel */
    /* race.c: by warp, what those that came to the cluster's barrier knew, now and last time */
    uint32_t coming[SIM_LANES], came[SIM_LANES];
    uint8_t *shared;
    uint32_t shared_bytes;
    uint8_t *shared_known;
    _Atomic uint64_t *reads, *writes; /* cells of shared memory */
    uint32_t warps, clock, base;      /* base: all accesses below this clock are ordered */
    struct sim_barrier barrier[16];
    struct sim_warp *warp;
    struct sim_mbar_clock *mbar; /* tensor_async.c: by address, what waiting for it tells */
    uint32_t mbars, mbar_cap;
    uint64_t acquired;            /* race.c: how much of the launch's log of releases it has seen */
    uint32_t released[SIM_LANES]; /* race.c: by warp, what an acquiring one of the block sees */
    bool releases;                /* there is something in it */
};

struct sim_job { /* one launch */
    struct sim_device *device;
    const struct sim_kernel *kernel;
    const struct sim_launch *launch;
    uint64_t blocks, threads;
    uint64_t clusters; /* of cluster_size blocks */
    uint32_t cluster[3], cluster_size;
    bool explicit_cluster; /* launch or kernel say its size */
    uint32_t warps, shared_bytes, shared_user, dynamic_at, local_stride;
    bool checked;
    sim_quiet_fn *quiet;
    uint64_t resident, share; /* blocks a thread may have under way, and has from the start */
    uint64_t workspace;       /* of a cooperative launch */
    _Atomic uint64_t next_cluster;
    _Atomic uint64_t faulty; /* lowest block with a fault, by its order */
    _Atomic uint64_t executed;
    pthread_mutex_t lock;
    struct sim_fault fault;
    struct sim_counters total;
    struct sim_sync *_Atomic sync; /* race.c */
    double began;
    _Atomic bool out_of_memory;
};

struct sim_worker { /* runs one block */
    struct sim_job *job;
    struct sim_worker *next;
    bool waits;             /* the block has had its turns and goes on */
    uint32_t spins;         /* turns on end in which it asked only for memory that did not change */
    struct sim_cluster own; /* the cluster of which this block is the first */
    struct sim_block_state block;
    struct sim_counters n;
    uint64_t classes[SIM_CLASSES];
    uint64_t steps;                /* since the limit was last looked at */
    struct sim_fault fault, later; /* later: what counts unless a race explains it */
    bool failed;
    struct sim_shape shape;
    struct sim_region last[64]; /* allocations met lately, by instruction */
    uint8_t *arena;             /* everything of the block's that is reused: freed at the end */
    int id;
};

/* ---- exec.c ---- */
/* The block of this rank in the cluster of this number, which is begun. */
void sim_block_begin(struct sim_worker *k, struct sim_cluster *c, uint64_t number, uint32_t rank);
/* Every warp that can goes on for a while; true: the block has ended, its fault is filed. */
bool sim_block_turn(struct sim_worker *k);

/* ---- cluster.c ---- */
void sim_cluster_begin(struct sim_cluster *c, const struct sim_job *j); /* before its blocks */
/* barrier.cluster.arrive; false: reported. */
bool sim_cluster_arrive(struct sim_warp *w, const struct sim_inst *i, uint32_t mask);
/* barrier.cluster.wait: the lanes that go on; the others wait. */
uint32_t sim_cluster_wait(struct sim_warp *w, const struct sim_inst *i, uint32_t mask);
void sim_cluster_exit(struct sim_warp *w, uint32_t mask); /* these lanes leave the kernel */
/* The block whose shared memory holds this shared address, which becomes an offset in it. NULL:
 * there is none, *why says so. */
struct sim_block_state *sim_shared_block(struct sim_warp *w, uint64_t *at, const char **why);
extern const char sim_block_has_ended[]; /* a reason */
sim_handler sim_mapa, sim_getctarank;    /* size: of the address */

/* ---- frame.c ---- */
struct sim_frame *sim_frame_new(struct sim_warp *w, const struct sim_function *f);
void sim_frame_delete(struct sim_frame *fr);
void sim_frame_drop(struct sim_warp *w,
                    struct sim_frame *fr); /* kept for the function's next call */
/* What stands in registers before the first instruction. `varying`: special registers, which differ
 * by thread and block; else all other of them. */
void sim_fill_presets(struct sim_warp *w, struct sim_frame *fr, bool varying);

/* ---- launch.c ---- */
void sim_clock(struct sim_warp *w, const struct sim_inst *i, uint32_t mask);
void sim_counters_add(struct sim_counters *to, const struct sim_counters *n);

/* ---- report.c ---- */
/* Files a report: the first of a block counts. text: what happened, without place. */
void sim_report(struct sim_warp *w, enum sim_fault_kind k, int lane, const char *fmt, ...)
    SIM_PRINTF(4, 5);
/* The block goes on with what was just reported: at its end that counts, unless a race or a missing
 * barrier is found meanwhile, which explains why a value was not there yet. */
void sim_report_later(struct sim_worker *k);
void sim_report_settle(struct sim_worker *k);
void sim_thread_id(const struct sim_warp *w, uint32_t thread, uint32_t id[3]);
void sim_report_stuck(struct sim_cluster *c); /* nothing of its blocks moves any more */
void sim_report_idle(struct sim_cluster *c);  /* all wait for mbarriers that nobody completes */

/* ---- access.c ---- */
sim_handler sim_load, sim_store, sim_atomic, sim_fence, sim_prefetch, sim_param_load;
/* Addresses of the active lanes: register plus offset. */
void sim_addresses(struct sim_warp *w, const struct sim_inst *i, uint64_t *to);
/* Splits generic addresses by window, then finds the region; n bytes at each lane. NULL: reported.
 * Only lanes of the result's mask lie in it; the caller goes on with the rest. */
struct sim_region *sim_resolve(struct sim_warp *w, const struct sim_inst *i, enum ptx_space *space,
                               const uint64_t *at, uint32_t mask, uint32_t n, uint32_t *part,
                               bool write);
/* Marks bytes as read or written by a lane: race and known bits. False: reported. */
void sim_count_global(struct sim_warp *w, const uint64_t *at, uint32_t mask, uint32_t n,
                      bool write);

/* ---- race.c ---- */
void sim_race_access(struct sim_warp *w, struct sim_region *r, const uint64_t *at, uint32_t mask,
                     uint32_t n, bool write, uint32_t mods);
/* A warp comes to a barrier; goes_on: not all of it waits there. */
void sim_race_arrive(struct sim_warp *w, uint32_t *know, bool goes_on);
void sim_race_barrier(struct sim_block_state *b, const struct sim_barrier *x); /* all are there */
void sim_race_warp_sync(struct sim_warp *w, uint32_t mask);                    /* of these lanes */
/* What the warp knows and has done is joined into `know`; its later accesses are not. */
void sim_race_give(struct sim_warp *w, uint32_t *know);
void sim_race_take(struct sim_warp *w, const uint32_t *know);
void sim_race_fence(struct sim_warp *w, uint32_t mods);
/* What the warp, or `knew` (by warp) of its block, did is there for blocks that acquire. */
void sim_race_far_release(struct sim_warp *w, const uint32_t *knew);
void sim_race_far_acquire(struct sim_warp *w);
void sim_race_sweep(sim_mem *m,
                    struct sim_counters *n); /* after a launch: counts and clears the cells */
void sim_race_free(struct sim_sync *s);

/* ---- taint.c ---- */
void sim_taint_step(struct sim_warp *w, const struct sim_inst *i,
                    uint32_t mask); /* before the instruction */
/* Undefined lanes of a row: bits of lanes. */
uint32_t sim_taint_lanes(struct sim_warp *w, uint32_t row, uint8_t size, uint32_t mask);
uint32_t sim_taint_pred(struct sim_warp *w, uint32_t at, uint32_t mask);
void sim_taint_set(struct sim_warp *w, uint32_t row, uint8_t size, int lane, uint64_t bits);
uint64_t sim_taint_get(struct sim_warp *w, uint32_t row, uint8_t size, int lane);
void sim_taint_clear(struct sim_warp *w, uint32_t row, uint8_t size, uint32_t mask);

/* ---- warp.c ---- */
sim_handler sim_shfl, sim_vote, sim_match, sim_redux, sim_activemask, sim_elect;

/* ---- builtin.c ---- */
enum sim_builtin_code { BUILTIN_PRINTF, BUILTIN_ASSERT, BUILTIN_MALLOC, BUILTIN_FREE };
sim_handler sim_builtin; /* sub: the code; imm: the call */
/* The function that is not defined but known, called with as many arguments as it has. */
bool sim_builtin_find(const char *name, const struct sim_call *c, enum sim_builtin_code *code);

/* ---- tensor.c ---- */
void sim_tensor_free(struct sim_warp *w);
void sim_tensor_begin(struct sim_warp *w); /* a block begins */

#endif
