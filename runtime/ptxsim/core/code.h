/* code: what a module is after decoding, and the state of a warp that runs it. */
#ifndef SIM_CODE_H
#define SIM_CODE_H

#include "core.h"
#include "ptx.h"

struct sim_warp;
struct sim_inst;
typedef void sim_handler(struct sim_warp *w, const struct sim_inst *i, uint32_t mask);

/* How the executor's loop treats an instruction. */
enum sim_kind {
    RUN_LANES,   /* fn, cannot fail */
    RUN_ACCESS,  /* fn may report a fault */
    RUN_SYNC,    /* fn, once all lanes that the mask row names are there; may report */
    RUN_WARPBAR, /* bar.warp.sync */
    RUN_BARRIER, /* bar, barrier */
    RUN_CLUSTER, /* barrier.cluster */
    RUN_BRANCH,
    RUN_INDEXED, /* brx.idx */
    RUN_CALL,
    RUN_RETURN,
    RUN_EXIT,
    RUN_TRAP,
    RUN_WAIT, /* spins: mbarrier.try_wait, nanosleep: lets other warps run */
};
enum sim_class { SIM_ALU, SIM_FMA, SIM_SPECIAL, SIM_CONTROL, SIM_MEMORY, SIM_MMA, SIM_CLASSES };
/* sim_inst.mods */
enum {
    MOD_RND = 3, /* 0 nearest even, 1 zero, 2 down, 3 up */
    MOD_FTZ = 4,
    MOD_SAT = 8,
    MOD_RELU = 16,
    MOD_SET_INT = 32,   /* set: 0 or all ones */
    MOD_SET_FLOAT = 64, /* set: 0 or 1.0 */
    MOD_AND = 128,      /* setp: combine with predicate c */
    MOD_OR = 256,
    MOD_XOR = 512,
    MOD_NOT = 1024,  /* the predicate operand is negated */
    MOD_PAIR = 2048, /* a second destination in e */
    MOD_SIGNED = 4096,
    MOD_STRONG =
        8192, /* volatile, relaxed, acquire, release, mmio: synchronises, no race among such */
    MOD_ACQUIRE = 16384,
    MOD_RELEASE = 32768,
    MOD_NAN = 65536,
    MOD_ABS = 131072,
    MOD_BFLOAT = 262144,
    MOD_RNA = 524288,
    MOD_SHARED_TO = 1 << 20,
    MOD_NARROW = 1 << 21,     /* of scope .cta */
    MOD_IN_CLUSTER = 1 << 22, /* of scope .cluster */
    MOD_REACH = 1 << 23,      /* shared::cluster: other blocks' shared memory too */
    MOD_GUESS = 1 << 24,      /* a plain load for a compare and swap (decode_cas.c) */
    MOD_BLIND = 1 << 25,      /* an atomic whose result is not used */
};
#define SIM_RESERVED_SHARED 1024u /* bytes; the first part is hardware's */
#define NO_OPERAND 0xFFFFFFFFu

/* d, a, b, c, e: byte offsets of rows in the window (or of a predicate's word). */
struct sim_inst {
    sim_handler *fn;
    int64_t imm;
    uint32_t d, a, b, c, e;
    uint32_t guard;
    uint32_t mods;
    uint32_t ext; /* first of a list in the function's ext */
    uint16_t op;  /* row of sim_rows, for taint; 0: the handler does it */
    uint8_t kind, cls;
    uint8_t guarded, guard_not;
    uint8_t space, size, count, sub;
};

/* One instruction of the table lanes.def: its name with the modifiers that choose the code, the
 * shape of its operands (destination first: h w l 16, 32, 64 bits, H F D floats, p a predicate, q a
 * row of two words), the code, the code that looks at rounding, ftz and sat too, and how undefined
 * bits travel. */
enum sim_taint {
    TAINT_ALL,
    TAINT_AND,
    TAINT_OR,
    TAINT_COPY,
    TAINT_SHL,
    TAINT_SHR,
    TAINT_SELECT,
    TAINT_PRMT,
    TAINT_BFE,
    TAINT_XOR
};
struct sim_row {
    const char *key, *shape;
    sim_handler *fn, *general;
    uint8_t cls, taint;
};
/* What race.c asks of a row of its cells (with bits `drop` left out): is each untouched, of this
 * block (`lo`, in units of CELL_CLOCK) and before clock `base`, or of the very thread that comes
 * now (`mine` + k >> shift, as far as `who` tells)? */
typedef bool sim_quiet_fn(const uint64_t *cell, uint64_t words, uint64_t drop, uint64_t lo,
                          uint64_t base, uint64_t mine, uint64_t who, unsigned shift);
struct sim_rows {
    const struct sim_row *row;
    size_t count;
    sim_quiet_fn *quiet;
};
struct sim_rows sim_rows_plain(void);
struct sim_rows sim_rows_avx2(void);
struct sim_rows sim_rows(void); /* the best that this machine runs */

/* What a window holds before its function runs. */
enum sim_preset_kind {
    PRESET_32,
    PRESET_64,
    PRESET_PARAM,
    PRESET_SPECIAL,
    PRESET_LOCAL,
    PRESET_SHARED /* an address of the block's shared memory */
};
enum sim_special {
    SP_TID_X,
    SP_TID_Y,
    SP_TID_Z,
    SP_NTID_X,
    SP_NTID_Y,
    SP_NTID_Z,
    SP_CTAID_X,
    SP_CTAID_Y,
    SP_CTAID_Z,
    SP_NCTAID_X,
    SP_NCTAID_Y,
    SP_NCTAID_Z,
    SP_LANEID,
    SP_WARPID,
    SP_NWARPID,
    SP_SMID,
    SP_NSMID,
    SP_GRIDID,
    SP_LT,
    SP_LE,
    SP_GT,
    SP_GE,
    SP_EQ,
    SP_DYNAMIC_SHARED, /* where it begins */
    SP_DYNAMIC_BYTES,
    SP_TOTAL_SHARED,
    SP_ALL_SHARED, /* with what the system takes */
    SP_RESERVED,   /* the system's own part: where it begins and ends, how large it is */
    SP_RESERVED_END,
    SP_RESERVED_CAP,
    SP_RESERVED_1,
    SP_WORKSPACE, /* of a cooperative launch: its address's upper and lower half */
    SP_WORKSPACE_LO,
    SP_CLUSTERID_X,
    SP_CLUSTERID_Y,
    SP_CLUSTERID_Z,
    SP_NCLUSTERID_X,
    SP_NCLUSTERID_Y,
    SP_NCLUSTERID_Z,
    SP_CLUSTER_CTAID_X,
    SP_CLUSTER_CTAID_Y,
    SP_CLUSTER_CTAID_Z,
    SP_CLUSTER_NCTAID_X,
    SP_CLUSTER_NCTAID_Y,
    SP_CLUSTER_NCTAID_Z,
    SP_CLUSTER_RANK,
    SP_CLUSTER_SIZE,
    SP_EXPLICIT_CLUSTER, /* a predicate */
    SP_ZERO,
    SP_CLOCK,
    SP_CLOCK_HI,
    SP_CLOCK64,
    SP_TIMER,
    SP_TIMER_LO,
    SP_TIMER_HI,
};
struct sim_preset {
    uint8_t kind, size; /* bytes of a lane: 4, 8 */
    uint8_t bytes;      /* of a parameter */
    bool sign;
    uint32_t at; /* offset in the window */
    uint64_t value;
};

struct sim_line {
    uint32_t ptx, source;
    const char *file;
};
struct sim_copy { /* of call arguments: bytes of the local frame */
    uint32_t from, to, bytes;
};
struct sim_function;
struct sim_call {
    struct sim_function *callee; /* NULL: by pointer in a */
    const struct sim_prototype *proto;
    uint32_t args, results; /* first in ext: caller's local offsets and bytes, in pairs */
    uint32_t arg_count, result_count;
};

struct sim_param_slot {
    uint32_t offset, bytes;
};
struct sim_function {
    const char *name;
    struct sim_module *module;
    bool entry, defined;
    const char *refused; /* what it has, or a function that it calls, that is not simulated */
    struct sim_inst *code;
    struct sim_line *lines;
    uint32_t count;
    uint32_t *ext;
    uint32_t ext_count;
    struct sim_preset *presets;
    uint32_t preset_count;
    uint32_t window;      /* bytes */
    uint32_t local_bytes; /* of a lane: variables and call parameters, 16-aligned */
    uint32_t shared_bytes, shared_align;
    bool dynamic_shared;
    uint32_t stack; /* bytes of local memory of a lane, with all that it calls */
    struct sim_call *call;
    uint32_t call_count;
    struct sim_param_slot *args, *results; /* places in its local frame (device functions) */
    uint32_t arg_count, result_count;
    uint32_t registers;
};

struct sim_kernel {
    struct sim_function *f;
    struct sim_kernel_facts facts;
};

struct sim_module {
    struct sim_device *device;
    struct ptx_arena mem;
    struct ptx_module *tree;
    struct sim_kernel *kernel;
    size_t kernels;
    struct sim_function **function; /* all */
    size_t functions;
    struct sim_variable *var;
    size_t vars;
    struct sim_inst *all_code;
    bool reserved_shared; /* some function looks at the system's part of shared memory */
};
struct sim_variable {
    const char *name;
    enum ptx_space space;
    uint64_t at, bytes;
    uint32_t align;
    struct ptx_decl *decl;
};

/* ---- addresses: generic ones of the windows; below 2^47 they are global ---- */
#define SIM_WINDOW_SHARED ((uint64_t)0x0100 << 48)
#define SIM_WINDOW_LOCAL ((uint64_t)0x0200 << 48)
#define SIM_WINDOW_PARAM ((uint64_t)0x0300 << 48)
#define SIM_WINDOW_CODE ((uint64_t)0x0400 << 48)
#define SIM_WINDOW_MASK ((uint64_t)0xFF00 << 48)
/* Shared addresses in a cluster of several blocks: above these bits the block's rank and 1; with 0
 * there, as in a cluster of one block, the executing block's own. */
#define SIM_RANK_AT 24
#define SIM_OFFSET_MASK (((uint64_t)1 << SIM_RANK_AT) - 1)
#define SIM_MAX_CLUSTER 16

/* ---- decode.c ---- */
/* Decodes the tree: symbols, presets, instructions. Errors are in the log. */
bool sim_decode(struct sim_module *m, struct ptx_log *log);

#endif
