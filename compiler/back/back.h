/* back: loop IR to machine code, through LLVM. Sees no graph. */
#ifndef NNC_BACK_H
#define NNC_BACK_H

#include "image.h"
#include "loop/loop.h"
#include "target/target.h"

/* Compiles kernels (verified, simplified, maths expanded here) for a CPU target into this process.
 * Equal kernels (lo_hash) are compiled once; two threads share the work. */
struct back_jit;
struct back_jit *back_jit_new(const struct target *t, char **message);
void back_jit_free(struct back_jit *j);
/* The functions of all `n` kernels, in order. False: LLVM refused, *message says why (heap). */
bool back_jit_add(struct back_jit *j, struct lo_kernel *const *k, size_t n, nn_kernel **fn,
                  char **message);

/* LLVM IR, assembly, or an object of the kernels as text or bytes: `nnc emit llvm|asm`, `nnc
 * build`. */
enum back_form { BACK_LLVM, BACK_ASM, BACK_OBJECT };
bool back_emit(const struct target *t, struct lo_kernel *const *k, size_t n, enum back_form form,
               struct text *out, char **message);

/* Bytes of scratch a thread that the kernel wants. */
uint64_t back_scratch(const struct lo_kernel *k);

#endif
