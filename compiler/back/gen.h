/* gen: what back/'s own files share: one LLVM module under construction, and one kernel of it.
 * A machine (cpu.c, later nvptx.c) makes the functions and says where buffers are; shared.c walks
 * the blocks; ops.c translates element-wise operators.
 *
 * Value forms: bool is i1 (a byte in memory), f16 and bf16 are their i16 bits, u8 is i8. */
#ifndef NNC_BACK_GEN_H
#define NNC_BACK_GEN_H

#include "back/back.h"
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

struct gen;

struct gen_machine {
    /* Emits one kernel: its functions, with gen_block called for every phase's body. */
    void (*kernel)(struct gen *g, const char *symbol);
    /* NULL on a CPU: shared.c's and ops.c's own ways are taken. */
    LLVMValueRef (*load)(struct gen *g, const struct lo_insn *in);
    void (*store)(struct gen *g, const struct lo_insn *in);
    /* A GPU's own instructions; the value, if it has one. */
    LLVMValueRef (*gpu)(struct gen *g, const struct lo_insn *in);
    /* An operator that the machine does in its own way; NULL: in the common one. */
    LLVMValueRef (*op)(struct gen *g, const struct lo_insn *in);
    LLVMValueRef (*bit)(struct gen *g, const struct lo_insn *in);
    LLVMValueRef (*cast)(struct gen *g, enum nn_dtype from, enum nn_dtype to, LLVMValueRef x);
    LLVMValueRef (*any)(struct gen *g, LLVMValueRef mask, uint32_t lanes); /* of lanes > 1: an i1 */
    /* A loop's index, as its body is to see it; what else is to be known of a loop is said at its
     * branch back. */
    LLVMValueRef (*index)(struct gen *g, const struct lo_insn *in, LLVMValueRef i);
    void (*loop)(struct gen *g, const struct lo_insn *in, LLVMValueRef branch);
    bool libm; /* the C library's functions can be called */
};
extern const struct gen_machine gen_cpu, gen_nvptx;

struct gen {
    const struct target *target;
    const struct gen_machine *machine;
    bool half;      /* the level converts between f16 and f32 */
    bool roundeven; /* the level rounds floats to integers */
    LLVMContextRef cx;
    LLVMModuleRef m;
    LLVMBuilderRef b;
    LLVMTypeRef ptr, i1, i8, i16, i32, i64, f32, f64;
    struct text errors; /* what LLVM reported through the context's handler */
    /* of the kernel in work */
    const struct lo_kernel *k;
    LLVMValueRef fn;          /* the function being filled */
    LLVMValueRef fault;       /* pointer to its struct nn_fault */
    const char *const *entry; /* GPU: names of its phases' entries; NULL: SYMBOL_p<phase> */
    LLVMValueRef *value;      /* by lo_id */
    LLVMValueRef *base;       /* by buffer: where it begins */
    /* GPU: what is known of values, by lo_id; integers that fit are computed in 32 bits, their i64
     * form is a sign extension (gen_narrow). NULL on a CPU. */
    struct lo_fact *fact;
    struct gen_lines *lines; /* debug locations; NULL: none are wanted */
};

/* ---- shared.c ---- */
/* A module for the target; g is filled. gen_close frees all of it but what the caller took over. */
void gen_open(struct gen *g, const struct target *t, const char *name);
void gen_close(struct gen *g);
/* Translates a kernel whose maths is expanded. */
void gen_kernel(struct gen *g, const struct lo_kernel *k, const char *symbol);
void gen_block(struct gen *g, uint32_t block);
LLVMTypeRef gen_scalar(const struct gen *g, enum nn_dtype t); /* as a value */
LLVMTypeRef gen_memory(const struct gen *g, enum nn_dtype t); /* as an element of a buffer */
LLVMTypeRef gen_type(const struct gen *g, struct lo_type t);
LLVMTypeRef gen_wide(LLVMTypeRef scalar, uint32_t lanes); /* the scalar itself for 1 lane */
LLVMValueRef gen_splat(struct gen *g, LLVMValueRef scalar, uint32_t lanes);
/* A call of the intrinsic `name`, overloaded on `type` (NULL: not overloaded). */
LLVMValueRef gen_intrinsic(struct gen *g, const char *name, LLVMTypeRef type, LLVMValueRef *arg,
                           unsigned n);
void gen_attribute(struct gen *g, LLVMValueRef fn, const char *name, const char *value);

/* The sum as an i64. */
LLVMValueRef gen_lin(struct gen *g, const struct lo_lin *l);
/* Element `l` of the buffer, `elem` its type. */
LLVMValueRef gen_address(struct gen *g, uint32_t buf, const struct lo_lin *l, LLVMTypeRef elem);
LLVMBasicBlockRef gen_new_block(struct gen *g, const char *name);
/* From an element of memory to a value, and back: only bool differs. */
LLVMValueRef gen_from_memory(struct gen *g, enum nn_dtype t, LLVMValueRef v);
LLVMValueRef gen_to_memory(struct gen *g, struct lo_type t, LLVMValueRef v);

/* ---- narrow.c: 32-bit index arithmetic ---- */
bool gen_fits(const struct gen *g, lo_id v); /* an i64 known to fit */
LLVMValueRef gen_narrow(struct gen *g,
                        LLVMValueRef v); /* such a value, or a vector of them, as i32 */
LLVMValueRef gen_widen(struct gen *g, LLVMValueRef v);          /* back to i64 */
bool gen_lin_fits(const struct gen *g, const struct lo_lin *l); /* and every partial sum */
/* An operator on integers in 32 bits, or unsigned; NULL: it cannot be. */
LLVMValueRef gen_narrow_op(struct gen *g, const struct lo_insn *in);
LLVMValueRef gen_narrow_bit(struct gen *g, const struct lo_insn *in);

/* ---- ops.c ---- */
LLVMValueRef gen_apply(struct gen *g, enum ir_op op, enum nn_dtype t, LLVMValueRef x,
                       LLVMValueRef y, LLVMValueRef z);
LLVMValueRef gen_apply_bit(struct gen *g, enum lo_bit op, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef gen_cast(struct gen *g, enum nn_dtype from, enum nn_dtype to, LLVMValueRef x);
LLVMValueRef gen_real_like(LLVMValueRef x, double v); /* in all of x's lanes */
LLVMValueRef gen_int_like(LLVMValueRef x, int64_t v);
LLVMValueRef gen_op(struct gen *g, const struct lo_insn *in);
LLVMValueRef gen_bit(struct gen *g, const struct lo_insn *in);
LLVMValueRef gen_across(struct gen *g, const struct lo_insn *in);

/* ---- shuffle.c ---- */
/* The gather p[index] without a gather, where index and mask (NULL: none) are constants and
 * near each other; else NULL. */
LLVMValueRef gen_near_gather(struct gen *g, LLVMTypeRef elem, uint32_t lanes, LLVMValueRef p,
                             LLVMValueRef index, LLVMValueRef mask, LLVMValueRef fill,
                             unsigned align);

LLVMValueRef gen_trade(struct gen *g, const struct lo_insn *in);

/* ---- nvptx.c, nvptx_memory.c, nvptx_ops.c ---- */
/* Why the target cannot have the kernel (heap); NULL: it can. */
char *nvptx_refuses(const struct target *t, const struct lo_kernel *k);
/* A buffer's first byte in the phase's shared memory; all of it for buf 0. */
uint64_t nvptx_shared(const struct lo_kernel *k, uint32_t phase, uint32_t buf);
/* pressure.c: registers of 32 bits that the phase's values want at once; arrays of registers are
 * not among them. */
uint32_t nvptx_pressure(const struct lo_kernel *k, uint32_t phase);
/* What a trip of a loop does; of what loops in it do: whether they store or wait. */
struct nvptx_trip {
    uint32_t reads;     /* registers for what it reads of global memory */
    bool stores, waits; /* there; for all threads */
};
void nvptx_trip(const struct lo_kernel *k, uint32_t block, struct nvptx_trip *trip);
LLVMValueRef nvptx_load(struct gen *g, const struct lo_insn *in);
void nvptx_store(struct gen *g, const struct lo_insn *in);
LLVMValueRef nvptx_gpu(struct gen *g, const struct lo_insn *in);
LLVMValueRef nvptx_op(struct gen *g, const struct lo_insn *in);
LLVMValueRef nvptx_bit(struct gen *g, const struct lo_insn *in);
LLVMValueRef nvptx_cast(struct gen *g, enum nn_dtype from, enum nn_dtype to, LLVMValueRef x);
LLVMValueRef nvptx_any(struct gen *g, LLVMValueRef mask, uint32_t lanes);
/* What inline assembly does beside giving its value. */
enum nvptx_effect {
    NVPTX_PURE,
    NVPTX_WARP /* with its warp */,
    NVPTX_MEMORY,
    NVPTX_BLOCK /* both */
};
LLVMValueRef nvptx_asm(struct gen *g, enum nvptx_effect e, LLVMTypeRef type, const char *text,
                       const char *constraints, LLVMValueRef *arg, unsigned n);

/* ---- lines.c ---- */
struct gen_lines *gen_lines_open(struct gen *g, const struct back_lines *lines);
void gen_lines_close(struct gen *g); /* before the module is verified */
void gen_lines_function(struct gen *g,
                        const char *name);         /* g->fn; begins at the kernel's first place */
void gen_lines_at(struct gen *g, uint32_t origin); /* what follows is of this origin */

/* ---- emit.c ---- */
/* NULL: LLVM does not know the triple or the processor; *message says so (heap). */
LLVMTargetMachineRef gen_target_machine(const struct target *t, char **message);
/* Verifies and optimises the module for the machine. False: *message (heap). */
bool gen_optimise(struct gen *g, LLVMTargetMachineRef tm, char **message);
/* The verified, optimised module in that form. False: *message (heap). */
bool gen_emit(struct gen *g, LLVMTargetMachineRef tm, enum back_form form, struct text *out,
              char **message);
/* Assembly or an object of the optimised module. NULL: *message (heap). */
LLVMMemoryBufferRef gen_file(struct gen *g, LLVMTargetMachineRef tm, LLVMCodeGenFileType type,
                             char **message);

#endif
