/* What the files of loop/ share and nobody else needs. */
#ifndef NNC_LOOP_PRIVATE_H
#define NNC_LOOP_PRIVATE_H

#include "loop/loop.h"
#include <math.h>

#define LO_I64 ((struct lo_type){NN_i64, 1})
#define LO_MAX_LANES 32
#define LO_MAX_COUNT ((int64_t)1 << 56) /* elements of a buffer */
#define LO_WORDS 160                    /* room for a complaint */
#define LO_MAX_DEPTH 60                 /* blocks inside blocks, in a text */

/* Names of the text form: letters, digits, `_`, `.`; the first is no digit. */
static inline bool lo_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static inline bool lo_name_char(char c)
{
    return lo_name_start(c) || (c >= '0' && c <= '9') || c == '.';
}

/* ---- scalar.c ---- n lanes in memory form; false: no such operator on this type. */
bool lo_lanes_op(enum ir_op op, enum nn_dtype from, enum nn_dtype to, uint32_t n,
                 const void *const in[3], void *out);
void lo_lanes_fma(enum nn_dtype t, uint32_t n, const void *const in[3], void *out);
void lo_lanes_bit(enum lo_bit op, enum nn_dtype from, enum nn_dtype to, uint32_t n,
                  const void *const in[3], void *out);
/* Constant folding; false where the bits could differ from those at run time. */
bool lo_fold_op(enum ir_op op, enum nn_dtype from, enum nn_dtype to, const union lo_num v[3],
                union lo_num *r);
bool lo_fold_fma(enum nn_dtype t, const union lo_num v[3], union lo_num *r);
bool lo_fold_bit(enum lo_bit op, enum nn_dtype from, enum nn_dtype to, const union lo_num v[2],
                 union lo_num *r);

enum ir_op lo_monoid_op(enum ir_monoid m); /* what folds two values */

/* ---- build.c ---- */
uint32_t lo_buffer_find(const struct lo_kernel *k, const char *name); /* 0: none */
uint32_t lo_block_new(struct lo_kernel *k);
lo_id lo_insn_new(struct lo_kernel *k, struct lo_insn in); /* in no block */
lo_id lo_append(struct lo_builder *b, struct lo_insn in);  /* origin: the builder's */
bool lo_is_chunk(const struct lo_kernel *k, lo_id v);      /* a phase's chunk or thread number */
lo_id lo_const(struct lo_builder *b, struct lo_type t, union lo_num v);
bool lo_const_value(const struct lo_kernel *k, lo_id id,
                    union lo_num *v); /* false: not an LO_CONST */

/* Appends the instruction, or gives the value that it folds to. No bodies. */
lo_id lo_append_folded(struct lo_builder *b, struct lo_insn in);
void lo_open(struct lo_builder *b,
             uint32_t block); /* further instructions go there, until lo_end */

/* ---- rewrite.c ---- */
#define LO_MAX_UNROLL 4096
struct lo_rewrite;
/* What becomes of old instruction `id`: builds into r->b and gives the new value (0: none). */
typedef lo_id lo_rewrite_fn(struct lo_rewrite *r, lo_id id);
struct lo_rewrite {
    struct lo_kernel *k;  /* being built */
    struct lo_kernel old; /* its arrays as they were */
    struct lo_builder b;
    lo_id *map; /* of old values */
    lo_rewrite_fn *each;
    void *own;
};
void lo_rewrite(struct lo_kernel *k, lo_rewrite_fn *each, void *own);
lo_id lo_rewrite_copy(struct lo_rewrite *r, lo_id id); /* folded, with its blocks */
void lo_rewrite_block(struct lo_rewrite *r, uint32_t block);
struct lo_insn lo_rewrite_operands(struct lo_rewrite *r, const struct lo_insn *old);
struct lo_lin lo_rewrite_lin(struct lo_rewrite *r, struct lo_lin l);
/* The number of trips, if the bounds differ by a constant. */
bool lo_trips(struct lo_builder *b, struct lo_lin from, struct lo_lin to, int64_t step, int64_t *n);

/* ---- range.c: the integers that a value can be, in every lane ---- */
struct lo_range {
    bool known;
    int64_t lo, hi; /* inclusive, both far from overflow */
};
typedef struct lo_range lo_range_fn(void *own, lo_id v); /* what was found of an operand */
struct lo_range lo_range(const struct lo_insn *in, lo_range_fn *of, void *own);
/* Whether ranges alone decide the instruction: `*same` is the operand that it gives, else (0)
 * *value. */
bool lo_range_decides(const struct lo_insn *in, lo_range_fn *of, void *own, int64_t *value,
                      lo_id *same);

/* ---- dead.c ---- */
void lo_drop_dead(struct lo_kernel *k);

/* ---- transpose.c ---- false: nothing was to be done */
bool lo_transpose(struct lo_kernel *k);

/* ---- maths.c, maths_f32.c, maths_f64.c ---- */
struct lo_maths {
    struct lo_builder *b;
    uint16_t lanes;
    bool fma, gpu;
    uint32_t reg[2][6]; /* f32, i32 by the logarithm of lanes: made on demand, shared */
};
uint32_t lo_maths_reg(struct lo_maths *m, enum nn_dtype t);
/* The function's value; 0 if the operator is none of them. */
lo_id lo_maths_f32(struct lo_maths *m, enum ir_op op, lo_id x, lo_id y);
lo_id lo_maths_f64(struct lo_maths *m, enum ir_op op, lo_id x, lo_id y);
/* C's special cases of pow upon `r`, what is right for a finite x > 0. */
lo_id lo_maths_pow_cases(struct lo_maths *m, lo_id x, lo_id y, lo_id r);

/* ---- verify.c ---- what is wrong with an instruction on its own (operands' types, buffer,
 * ranges); NULL if sound. `words` holds the message. */
const char *lo_check_insn(const struct lo_kernel *k, lo_id id, char words[LO_WORDS]);
const char *lo_check_buffer(const struct lo_buffer *b);
bool lo_has_value(enum lo_kind kind); /* a store, set, if, trap, barrier and the like have none */

/* ---- print.c ---- */
extern const char *const lo_bit_names[LO_BIT_COUNT];
extern const char *const lo_space_names[LO_REG + 1];
extern const char *const lo_loop_names[LO_UNROLL + 1];
extern const char *const lo_mma_names[LO_MMA_COUNT], *const lo_approx_names[LO_APPROX_COUNT];
/* One line without its body. `raw`: of a kernel that may be broken, with ids for names (%#12). */
void lo_print_insn(const struct lo_kernel *k, lo_id id, bool raw, struct text *out);

#endif
