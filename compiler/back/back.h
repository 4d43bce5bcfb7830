/* back: loop IR to machine code, through LLVM. Sees no graph. */
#ifndef NNC_BACK_H
#define NNC_BACK_H

#include "image.h"
#include "loop/loop.h"
#include "target/target.h"

/* Compiles kernels (verified, simplified, maths expanded here) for a CPU target into this process.
 * Equal kernels (lo_hash) are compiled once; two threads share the work. */
struct back_jit;
/* Where machine code of earlier runs may be found, by what it was made from. */
struct back_store {
    bool (*find)(void *user, const uint64_t key[2], struct text *out);
    void (*keep)(void *user, const uint64_t key[2], const void *p, size_t n);
    void *user;
};
/* What the code of these kernels for the target depends on: their hashes and names, the target, the
 * version of LLVM. */
void back_key(const struct target *t, struct lo_kernel *const *k, size_t n, uint64_t key[2]);
struct back_jit *back_jit_new(const struct target *t, char **message);
void back_jit_free(struct back_jit *j);
/* From now on kernels are looked for there first, and kept there. */
void back_jit_store(struct back_jit *j, const struct back_store *s);
/* The functions of all `n` kernels, in order. False: LLVM refused, *message says why (heap). */
bool back_jit_add(struct back_jit *j, struct lo_kernel *const *k, size_t n, nn_kernel **fn,
                  char **message);

/* LLVM IR, assembly, or an object of the kernels as text or bytes: `nnc emit llvm|asm|ptx`, `nnc
 * build`. For a GPU's target BACK_ASM gives PTX, one module with an entry SYMBOL_p<phase> for every
 * phase of every kernel (those without chunks too); equal kernels are written once, see
 * back_symbol. The entry's parameters are a pointer for each argument, then one to a struct
 * nn_fault, all to global memory, arguments 256-byte aligned; grid (chunks, 1, 1), block (threads,
 * 1, 1), back_shared dynamic bytes. */
enum back_form { BACK_LLVM, BACK_ASM, BACK_OBJECT };
bool back_emit(const struct target *t, struct lo_kernel *const *k, size_t n, enum back_form form,
               struct text *out, char **message);
/* With the places of the source that the instructions' origins are, for .loc lines. */
struct back_line {
    const char *file; /* NULL: no place */
    uint32_t line;
};
struct back_lines {
    uint32_t n;
    const struct back_line *of; /* by origin */
};
bool back_emit_lines(const struct target *t, struct lo_kernel *const *k, size_t n,
                     enum back_form form, const struct back_lines *lines, struct text *out,
                     char **message);

/* For a GPU, as PTX, with names for the entries: entry[i][p] for phase p of kernel i; every kernel
 * is written, equal ones too. One without traps has no parameter for a fault. */
bool back_emit_entries(const struct target *t, struct lo_kernel *const *k, size_t n,
                       const char *const *const *entry, const struct back_lines *lines,
                       struct text *out, char **message);
bool back_traps(const struct lo_kernel *k); /* whether it can leave a fault */
/* From here on the code of a trap is code[origin], not 1 + origin. To be called once. */
void back_trap_codes(struct lo_kernel *k, const int32_t *code);

/* ---- data.c: an object of constant data and of functions that call on, for libraries. ----
 * Symbols are hidden unless exported: seen inside what they are linked into. */
struct back_object;
struct back_object *back_object_new(const struct target *t, const char *name, char **message);
void back_object_free(struct back_object *o);
void back_object_bytes(struct back_object *o, const char *symbol, const void *p, size_t n);
struct back_word { /* the address of `symbol`; NULL: the number */
    const char *symbol;
    uint64_t value;
};
void back_object_words(struct back_object *o, const char *symbol, const struct back_word *w,
                       size_t n);
/* An exported function `symbol` with the parameters `param` ('p' a pointer, 'l' an int64_t, each;
 * 'i' an int32_t) and result `result` ('v': none), which returns what `callee` does with `arg`. */
enum back_arg_kind {
    BACK_PARAM,  /* parameter `at` */
    BACK_PACK,   /* a pointer to an array of the `n` parameters from `at` on, of 8 bytes each */
    BACK_SYMBOL, /* the address of `symbol` */
};
struct back_arg {
    enum back_arg_kind kind;
    int64_t at;
    uint32_t n;
    const char *symbol;
};
void back_object_call(struct back_object *o, const char *symbol, const char *param, char result,
                      const char *callee, const struct back_arg *arg, uint32_t n);
/* Seen from outside of a shared library too. */
void back_object_export(struct back_object *o, const char *symbol);
/* Kernels one after the other, as two exported functions. SYMBOL_stage(int32_t stage, int64_t
 * first, int64_t last, the parameters (pointers), shared, own) runs the chunks [first, last) of one
 * phase of one kernel; SYMBOL(the parameters, scratch) all of all, `own` being scratch +
 * `own_at`. With `faults` both return an int32_t, the fault's code, else nothing. */
struct back_place {
    int32_t param; /* the parameter's number; -1: in `shared` */
    uint64_t offset;
};
struct back_stage {
    const char *kernel; /* the symbol of a nn_kernel */
    int32_t phase;
    int64_t chunks;
    uint32_t args;
    const struct back_place *arg;
};
struct back_routine {
    const char *symbol;
    uint32_t params, stages;
    const struct back_stage *stage;
    uint64_t own_at;
    bool faults;
};
void back_object_routine(struct back_object *o, const struct back_routine *r);
/* BACK_LLVM, BACK_ASM or BACK_OBJECT, once. */
bool back_object_emit(struct back_object *o, enum back_form form, struct text *out, char **message);

/* The symbols that back_emit gives the kernels for a GPU, in order: letters, digits, `_`; equal
 * kernels share one. To be called before back_emit, which changes the kernels. The text is k[i]'s.
 */
void back_symbols(struct lo_kernel *const *k, size_t n, const char **symbol);
/* Dynamic shared memory of a block in a phase: 0 where it is static (up to 48 KiB). */
uint32_t back_shared(const struct lo_kernel *k, uint32_t phase);

/* Whether the LLVM in use makes code for the target at all. */
bool back_knows(const struct target *t);
/* Bytes of scratch a thread that the kernel wants. */
uint64_t back_scratch(const struct lo_kernel *k);

#endif
