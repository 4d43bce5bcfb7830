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
    /* A GPU's own instruction; its value, if it has one. NULL on a CPU. */
    LLVMValueRef (*gpu)(struct gen *g, const struct lo_insn *in);
    bool libm; /* the C library's functions can be called */
};
extern const struct gen_machine gen_cpu;

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
    LLVMValueRef fn;     /* the function being filled */
    LLVMValueRef fault;  /* pointer to its struct nn_fault */
    LLVMValueRef *value; /* by lo_id */
    LLVMValueRef *base;  /* by buffer: where it begins */
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

/* ---- ops.c ---- */
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
