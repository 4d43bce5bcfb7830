/* target: a machine as a row of facts. A level (x86-64-v3, sm_80, …) decides everything that can
 * change a bit: vector width, tile shapes, chunking. */
#ifndef NNC_TARGET_H
#define NNC_TARGET_H

#include "base/base.h"

enum target_kind { TARGET_CPU, TARGET_GPU };
/* What tensor cores multiply: enum lo_mma's shapes, as flags. */
enum { TARGET_F16_K8 = 1, TARGET_F16 = 2, TARGET_BF16 = 4, TARGET_TF32 = 8 };

/* One row of targets.def. */
struct target {
    const char *name; /* x86-64, x86-64-v3, x86-64-v4, aarch64, sm_80, … */
    enum target_kind kind;
    const char *triple;    /* LLVM's */
    const char *cpu;       /* LLVM's name of the processor */
    const char *features;  /* LLVM's feature string */
    uint32_t vector_bytes; /* of a register: 16, 32, 64 */
    uint32_t vector_registers;
    bool fma;
    uint32_t mr, nr;     /* f32 matmul micro-tile: mr rows by nr columns (nr: multiple of lanes) */
    uint32_t kc, mc, nc; /* cache blocks of the packed matmul; cannot change a bit but for kc */
    uint64_t l1, l2, l3; /* bytes, nominal */
    uint32_t max_chunks; /* a phase's at most */
    double launch_us, fork_us; /* nominal cost of a launch, of a fork-join */
    /* GPU only. There the tiles and caches above are 0 but l2, and fork_us is. */
    uint32_t ptx;              /* version, major * 10 + minor */
    uint32_t block;            /* threads a block, where nothing speaks against it */
    uint32_t thread_registers; /* at most */
    uint32_t shared_block;     /* bytes a block may have after opting in; 48 KiB without */
    uint32_t shared_sm, sms;   /* bytes a multiprocessor; multiprocessors of a nominal card */
    bool async;                /* cp.async */
    uint32_t tensor;           /* TARGET_F16_K8 | … */
    double tensor_tflops, f32_tflops,
        gbps; /* of f16, tf32 is half of it; memory in 1e9 bytes a second */
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
