/* target: a machine as a row of facts. A level (x86-64-v3, sm_80, …) decides everything that can change
 * a bit: vector width, tile shapes, chunking. */
#ifndef NNC_TARGET_H
#define NNC_TARGET_H

#include "base/base.h"

enum target_kind { TARGET_CPU, TARGET_GPU };

/* One row of targets.def. */
struct target {
    const char *name;     /* x86-64, x86-64-v3, x86-64-v4, aarch64, sm_80, … */
    enum target_kind kind;
    const char *triple;   /* LLVM's */
    const char *cpu;      /* LLVM's name of the processor */
    const char *features; /* LLVM's feature string */
    uint32_t vector_bytes;    /* of a register: 16, 32, 64 */
    uint32_t vector_registers;
    bool fma;
    uint32_t mr, nr;          /* f32 matmul micro-tile: mr rows by nr columns (nr: multiple of lanes) */
    uint32_t kc, mc, nc;      /* cache blocks of the packed matmul; cannot change a bit but for kc */
    uint64_t l1, l2, l3;      /* bytes, nominal */
    uint32_t max_chunks;      /* a phase's at most */
    double launch_us, fork_us;/* nominal cost of a launch, of a fork-join */
};
extern const struct target target_table[];
extern const size_t target_count;
const struct target *target_find(const char *name); /* NULL if unknown; "host" is target_host() */
const struct target *target_host(void);             /* the highest level that this machine runs */
static inline uint32_t target_lanes(const struct target *t, uint32_t bytes)
{
    return t->vector_bytes / bytes;
}

#endif
