/* sim: a GPU in software. It holds device memory, reads PTX modules and runs their kernels,
 * checking what hardware would not tell. The Driver API and cuBLAS over it are in driver/, the
 * command is in nncsim/; they use this header and nothing else of the interpreter.
 *
 * A device pointer is a plain 64-bit number, an address of this process, so that host code may be
 * given one where unified addressing allows it; every access of a kernel is checked against the
 * allocations.
 *
 * Threads: any number of threads may call; one sim_device is locked inside where it must be. A
 * launch runs on `workers` threads and returns when it is done. Nothing here prints or exits. */
#ifndef NN_SIM_H
#define NN_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- chips.def: what is simulated ---- */
struct sim_chip {
    const char *name;  /* sm_75, sm_80, sm_86, sm_89, sm_90, sm_90a, sm_100, sm_100a, sm_120 … */
    const char *title; /* what cuDeviceGetName gives: "nncsim sm_80" */
    int major, minor;
    char family; /* 'a' where arch-specific instructions (wgmma) exist; else 0 */
    uint32_t sms, threads_sm, blocks_sm;
    uint32_t regs_sm, regs_block;
    uint32_t shared_sm, shared_block, shared_optin; /* bytes; 48 KB without opting in */
    uint64_t memory, l2;                            /* bytes */
    uint32_t clock_khz, mem_clock_khz, bus_bits;
};
extern const struct sim_chip sim_chips[];
extern const size_t sim_chip_count;
const struct sim_chip *sim_chip_find(const char *name); /* NULL if unknown */

/* ---- devices and memory ---- */
enum sim_status {
    SIM_OK,
    SIM_NO_MEMORY,   /* device memory is exhausted */
    SIM_BAD_ADDRESS, /* not an allocation of this device, or out of its bounds */
    SIM_BAD_PTX,     /* no PTX: syntax, an unknown instruction or symbol; the log has PTX lines */
    SIM_UNSUPPORTED, /* sound PTX that is not simulated: of a module the log says what, of a kernel
                        its facts */
    SIM_NEWER_PTX,   /* .target or .version above the chip */
    SIM_NOT_FOUND,   /* no such kernel or global */
    SIM_BAD_LAUNCH,  /* sizes that the chip or the kernel's directives do not allow */
    SIM_FAULT,       /* the kernel did something wrong: see sim_fault */
};
struct sim_device;
/* memory: bytes of it, 0 for the chip's (nothing is reserved before it is allocated). workers:
 * threads of a launch, 0 for the machine's cores. NULL: out of memory. */
struct sim_device *sim_device_new(const struct sim_chip *chip, uint64_t memory, int workers);
void sim_device_free(struct sim_device *d);
const struct sim_chip *sim_device_chip(const struct sim_device *d);

/* 256-byte aligned, uninitialised (reads of bytes that were never written are reported). `kind` is
 * the caller's tag: for leak reports and pointer queries. */
enum sim_status sim_alloc(struct sim_device *d, uint64_t bytes, uint32_t kind, uint64_t *at);
enum sim_status sim_free(struct sim_device *d, uint64_t at); /* at: an allocation's begin */
/* Host memory that kernels may touch (cuMemHostAlloc, cuMemHostRegister); counts as initialised. */
enum sim_status sim_map_host(struct sim_device *d, void *p, uint64_t bytes, uint32_t kind);
enum sim_status sim_unmap_host(struct sim_device *d, void *p);
/* The allocation around an address. False: none. */
struct sim_allocation {
    uint64_t at, bytes;
    uint32_t kind;
    bool host;
};
bool sim_find(struct sim_device *d, uint64_t address, struct sim_allocation *a);
void sim_usage(struct sim_device *d, uint64_t *used, uint64_t *total, uint32_t *allocations);
/* Copies with bounds checks; what a read finds uninitialised is copied and stays so at the other
 * side. */
enum sim_status sim_write(struct sim_device *d, uint64_t to, const void *from, uint64_t bytes);
enum sim_status sim_read(struct sim_device *d, void *to, uint64_t from, uint64_t bytes);
enum sim_status sim_move(struct sim_device *d, uint64_t to, uint64_t from, uint64_t bytes);
/* `count` elements of `size` (1, 2, 4) bytes. */
enum sim_status sim_set(struct sim_device *d, uint64_t to, uint32_t value, uint32_t size,
                        uint64_t count);
/* For host code that works on device memory itself (cuBLAS): checks the range and marks it read or
 * written. NULL: out of bounds. */
void *sim_touch(struct sim_device *d, uint64_t at, uint64_t bytes, bool write);

/* ---- modules ---- */
struct sim_module;
struct sim_kernel;
/* text need not end in 0. `log` (may be NULL) gets at most log_bytes - 1 characters and a 0: errors
 * with PTX lines. Globals are allocated and initialised. */
enum sim_status sim_module_load(struct sim_device *d, const char *text, size_t bytes,
                                struct sim_module **m, char *log, size_t log_bytes);
void sim_module_unload(struct sim_module *m);
enum sim_status sim_module_kernel(struct sim_module *m, const char *name, struct sim_kernel **k);
enum sim_status sim_module_global(struct sim_module *m, const char *name, uint64_t *at,
                                  uint64_t *bytes);
size_t sim_module_kernels(const struct sim_module *m); /* how many, and the i-th */
struct sim_kernel *sim_module_kernel_at(const struct sim_module *m, size_t i);

struct sim_param {
    uint32_t offset, bytes, align;
};
struct sim_kernel_facts {
    const char *name;
    uint32_t param_count, param_bytes;
    const struct sim_param *param;
    uint32_t shared_static, local_bytes, const_bytes;
    uint32_t registers;           /* an estimate, a bound by .maxnreg */
    uint32_t max_threads;         /* by .maxntid, .reqntid, else the chip's */
    uint32_t required[3];         /* .reqntid; 0: none */
    uint32_t cluster[3];          /* .reqnctapercluster; 0: none */
    uint32_t max_cluster;         /* .maxclusterrank; 0: none */
    bool explicit_cluster;        /* it wants to be launched in clusters */
    uint32_t ptx_version, target; /* 80 for 8.0; 90 for sm_90 */
    /* NULL: it runs. Else the PTX line and what there, in it or in a function that it calls, is not
     * simulated: the rest of the module runs, this kernel's launch is SIM_UNSUPPORTED. Of the other
     * facts only name and parameters hold. */
    const char *refused;
};
const struct sim_kernel_facts *sim_kernel_facts(const struct sim_kernel *k);

/* ---- launches ---- */
enum sim_fault_kind {
    SIM_FAULT_NONE,
    SIM_FAULT_BOUNDS, /* outside of every allocation, or of the shared, local, param space */
    SIM_FAULT_FREED,  /* inside of one that was freed */
    SIM_FAULT_ALIGN,
    SIM_FAULT_UNINIT, /* a value that was never written decides something or is stored … see docs */
    SIM_FAULT_RACE,   /* two threads, no barrier between, at least one write */
    SIM_FAULT_BARRIER, /* part of a block at a barrier, or threads at different ones for ever */
    SIM_FAULT_SHUFFLE, /* a source lane that is not active, or a mask that leaves out the caller */
    SIM_FAULT_READ_ONLY,   /* a store to constant or param space */
    SIM_FAULT_TRAP,        /* trap, or a failed assertion */
    SIM_FAULT_UNSUPPORTED, /* met an instruction form that is not simulated */
    SIM_FAULT_HANG,        /* the instruction limit was reached */
};
struct sim_fault {
    enum sim_fault_kind kind;
    const char *kernel; /* belongs to the module */
    uint32_t ptx_line, source_line;
    const char *source_file;                /* from .loc; NULL: none */
    uint32_t block[3], thread[3], other[3]; /* other: of a race, the thread before */
    uint64_t address;
    char text[512]; /* the whole report in one or a few lines */
};
struct sim_counters {
    uint64_t instructions; /* of threads: a warp's instruction counts its active lanes */
    uint64_t warp_instructions;
    uint64_t alu, fma, special, control, memory, mma;   /* warp instructions by class */
    uint64_t global_load_bytes, global_store_bytes;     /* as asked for */
    uint64_t global_load_sectors, global_store_sectors; /* of 32 bytes, by warp access */
    uint64_t unique_load_bytes,
        unique_store_bytes;                     /* distinct bytes of global memory in the launch */
    uint64_t shared_accesses, shared_conflicts; /* conflicts: extra wavefronts */
    uint64_t atomics, barriers, shuffles, async_copies;
    uint64_t divergent_branches;
    double seconds;
};
struct sim_launch {
    uint32_t grid[3], block[3];
    uint32_t cluster[3]; /* of blocks; 0: as the kernel's directive says, else of one block */
    uint32_t shared;     /* dynamic bytes */
    const void *params;  /* param_bytes of the kernel, laid out as sim_param says */
    bool unchecked;      /* no race and no uninitialised checks: speed only */
    uint64_t limit;      /* of thread instructions; 0: none */
    bool cooperative;    /* blocks may wait for each other: all are under way at once */
    /* What the kernel's printf writes, one call at a time; NULL: it goes nowhere. */
    void (*print)(const char *text, size_t bytes);
    uint32_t shared_allowed; /* dynamic + static must not pass it; 0: 48 KB */
};
/* Runs the kernel. SIM_FAULT: *fault is filled (may be NULL); SIM_BAD_LAUNCH: its text says why.
 * counters (may be NULL) are added to. */
enum sim_status sim_run(struct sim_device *d, struct sim_kernel *k, const struct sim_launch *l,
                        struct sim_counters *counters, struct sim_fault *fault);

#endif
