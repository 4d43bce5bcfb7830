/* loop: the loop IR. A kernel is a list of phases; a phase is a number of chunks and a body that
 * runs once a chunk, with its chunk number. Bodies are blocks of instructions; an instruction's
 * number is its value (SSA), usable in the rest of its block and in blocks inside. Mutable are only
 * registers, local arrays, scratch, shared and global buffers. Vectors are explicit; what orders a
 * sum is written here.
 *
 * A phase with threads is a GPU's: a chunk is a block of the grid, its body is run by each of the
 * block's threads, values and registers are a thread's own. A warp is 32 threads in a row. A kernel
 * has phases of one sort only.
 *
 * The element-wise operators are ir/ops.def's. Index values are i64. Transcendentals (exp, log,
 * sin, cos, tanh, sigmoid, erf, pow) and `random` on floats are replaced by maths.c before back/
 * sees them.
 *
 * Sections: scalar.c, build.c, verify.c, uniform.c, print.c, read.c, rewrite.c, simplify.c,
 * maths.c, hash.c, interp.c. */
#ifndef NNC_LOOP_H
#define NNC_LOOP_H

#include "base/base.h"
#include "ir/ir.h"

typedef uint32_t lo_id; /* an instruction; 0 is none */

struct lo_type {
    uint8_t dtype;  /* enum nn_dtype; f16, bf16 only in loads, stores, casts */
    uint16_t lanes; /* 1: a scalar; else 2, 4, 8, 16, 32 */
};

/* Where a buffer lives. */
enum lo_space {
    LO_ARG,     /* a kernel argument: global memory */
    LO_SCRATCH, /* CPU: the thread's scratch, kept for one chunk */
    LO_LOCAL,   /* the chunk's stack; GPU: a thread's own memory */
    LO_SHARED,  /* GPU: a block's shared memory, kept for one chunk; begins at a multiple of 128
                   bytes */
    LO_REG, /* an array of registers of `type`; indices become constants once loops are unrolled */
};
struct lo_buffer {
    const char *name;
    enum lo_space space;
    struct lo_type type; /* lanes > 1 only for LO_REG */
    int64_t count;       /* elements (registers for LO_REG) */
    bool written;        /* LO_ARG: some store writes it */
};

/* An affine sum of values: c0 + Σ c·value (i64 scalars). */
struct lo_part {
    int64_t c;
    lo_id v;
};
struct lo_lin {
    int64_t c0;
    uint32_t n;
    const struct lo_part *part;
};

enum lo_kind {
    LO_CONST,  /* f or i, splat over the lanes */
    LO_OP,     /* op: an element-wise operator of ir/ops.def (select, cast among them) */
    LO_FMA,    /* a*b + c, one rounding */
    LO_BIT,    /* bit: integer operator of enum lo_bit */
    LO_SPLAT,  /* a scalar to all lanes */
    LO_LANES,  /* lin, lin+1, …: i64 or i32 vector of `type` */
    LO_LIN,    /* lin as an i64 scalar */
    LO_LOAD,   /* buf[lin .. lin+lanes), or a gather buf[lin + in[2]] with an integer vector in[2];
                  in[0]: mask (bool, same lanes; 0 none), in[1]: what masked lanes give (0: zero) */
    LO_STORE,  /* in[0] value, in[1] mask, in[2] vector index (scatter; lanes must not collide) */
    LO_GET,    /* register buf[lin] */
    LO_SET,    /* register buf[lin] = in[0] */
    LO_FOR,    /* value: the loop variable, i64, from lin to hi by step; body */
    LO_IF,     /* in[0] scalar bool; body, other (block 0: none) */
    LO_ACROSS, /* folds the lanes of in[0] by `monoid` (sum prod max min any all): a fixed tree,
                  halves added pairwise: lane i with lane i + n/2, then n/4, … */
    LO_RANDOM, /* f32: ir_random_uniform(in[0] seed, in[1] step, stream i, word, in[2] index i64) */
    LO_TRAP,   /* where a lane of in[0] (bool) holds: fault code i, value in[1] (i64, the first such
                  lane's); the run's first fault is kept, what follows in the chunk may still run */
    LO_EXTRACT, /* lane i of vector in[0] as a scalar */
    LO_TRADE,   /* half of exchanging blocks of i lanes between in[0] and in[1], a step of a
                   transposition:   op 0: lane j is in[0][j], but in[1][j - i] where bit i of j is
                   set;   op 1: lane j is in[1][j], but in[0][j + i] where bit i of j is clear */
    /* GPU only. What a warp does together (*) must be reached by all of its 32 threads. */
    LO_BARRIER,  /* all threads of the block: what they wrote before is read after */
    LO_SHUFFLE,  /* * in[0] (a scalar of 32 or 64 bits) of the thread of the warp that op says: enum
                    lo_shfl */
    LO_MMA,      /* * f32x4 C += A B on fragments as the PTX manual lays them out, A by rows, B by
                    columns: op: enum lo_mma; in[0] A, in[1] B: packed bits, in[2] C */
    LO_LDMATRIX, /* * i32 of 1, 2, 4 lanes: as many 8x8 matrices of 16-bit elements from shared buf;
                   the threads 8j .. 8j+7 give at lin where the rows of matrix j begin (16 bytes
                   each, aligned so); op 1: transposed. Of an f32 buffer a row is 4 elements, op 0
                 */
    LO_COPY,     /* asynchronously i = 4, 8, 16 bytes, aligned so, to shared buf[lin] from argument
                    from[hi];     where the mask in[0] (bool scalar; 0 none) is false nothing is read
                    and     zeros written */
    LO_COMMIT,   /* the thread's copies since the last commit become a group */
    LO_WAIT,   /* until at most i of the thread's groups are under way; their data is there for the
                  thread, after a barrier for the block */
    LO_PACK,   /* i32: in[0], in[1] (f32) as 16-bit floats of dtype op, in[0] in the low half */
    LO_UNPACK, /* f32: half i (0: low) of in[0] (i32), a 16-bit float of dtype op */
    LO_APPROX, /* f32: the processor's approximation of a function: enum lo_approx */
    LO_KIND_COUNT
};
enum lo_bit {
    LO_AND,
    LO_OR,
    LO_XOR,
    LO_SHL,
    LO_SHR,
    LO_SAR,
    LO_MULHI /* unsigned */,
    LO_BITCAST /* i32<->f32, i64<->f64, to `type` */,
    LO_ROUND_INT /* f32->i32, f64->i64,
half to even; out of range: unspecified */
    ,
    LO_TF32 /* f32->i32: the bits, rounded to
tf32 (11 significant bits, half away from zero) */
    ,
    LO_BIT_COUNT
}; /* the others: i32, i64 */
static inline bool lo_bit_unary(enum lo_bit op)
{
    return op == LO_BITCAST || op == LO_ROUND_INT || op == LO_TF32;
}
enum lo_loop { LO_SERIAL, LO_UNROLL };
enum lo_shfl { LO_SHFL_XOR /* lane ^ i */, LO_SHFL_IDX /* lane in[1] & 31, i32 */ };
/* Error bounds as the PTX manual states them; denormals count as 0. ex2 2 ulp; lg2 2^-22 absolute
 * in [0.5, 2], else relative; rsqrt, rcp 2, 1 ulp; tanh 2^-11 relative; sin, cos 2^-20.5 absolute
 * in [-pi, pi]. */
enum lo_approx { LO_EX2, LO_LG2, LO_RSQRT, LO_RCP, LO_TANH, LO_SIN, LO_COS, LO_APPROX_COUNT };
enum lo_mma {                       /* C and the result: f32x4 */
              LO_MMA_M16N8K8_TF32,  /* A i32x4, B i32x2 */
              LO_MMA_M16N8K16_BF16, /* A i32x4, B i32x2 */
              LO_MMA_M16N8K16_F16,  /* A i32x4, B i32x2 */
              LO_MMA_M16N8K8_F16,   /* A i32x2, B i32 */
              LO_MMA_COUNT
};

struct lo_insn {
    uint8_t kind;
    uint8_t op; /* LO_OP: enum ir_op; LO_BIT: enum lo_bit; LO_ACROSS: enum ir_monoid; LO_FOR: enum
                   lo_loop; LO_RANDOM: word; LO_TRADE: which half; the GPU's: see there */
    struct lo_type type;
    uint32_t buf;  /* LOAD STORE GET SET LDMATRIX COPY */
    uint32_t from; /* COPY: an argument */
    lo_id in[3];
    struct lo_lin lin; /* LOAD STORE GET SET LANES LIN LDMATRIX COPY; FOR: from */
    struct lo_lin hi;  /* FOR: to (exclusive); COPY: place in `from` */
    int64_t step;      /* FOR: > 0 */
    int64_t i; /* CONST of an integer or bool; TRAP code; RANDOM stream; EXTRACT lane; TRADE block;
                  SHUFFLE lane mask; COPY bytes; WAIT groups; UNPACK half */
    double f;  /* CONST of a float */
    uint32_t body, other; /* FOR, IF */
    uint32_t origin;      /* into the module's origins */
};
struct lo_block {
    VEC(lo_id) insn;
};
struct lo_phase {
    int64_t chunks;
    int32_t threads; /* 0: of a CPU; else of a block: a multiple of 32, at most LO_MAX_THREADS */
    uint32_t body;
    lo_id chunk, thread; /* their numbers' values: empty LO_LINs that stand in no block; thread: 0
                            on a CPU */
};
#define LO_MAX_THREADS 1024
struct lo_kernel {
    const char *name;
    struct arena *mem;             /* the kernel's own */
    VEC(struct lo_buffer) buffers; /* p[0] unused; the LO_ARGs first, in the order of nn_args.buf */
    VEC(struct lo_insn) insns;     /* p[0] unused */
    VEC(struct lo_block) blocks;   /* p[0] unused */
    VEC(struct lo_phase) phases;
    double flops, bytes; /* least work and traffic of one launch, for reports */
    double
        tiled; /* traffic that the kernel's tiling implies, in bytes; 0: it has none. Not printed */
};

/* ---- scalar.c: what an operator does to a lane, in every executor ----
 * Arithmetic is IEEE, rounded to nearest even, in the operands' type; f32 and f64 denormals count
 * as 0 and are flushed in results (interp.c and the runtime set the processor so; f16 denormals
 * stay). min, max   a is NaN ? a : a < b ? a : b (so of two zeros the second, on a
 *              GPU -0 is less than 0); NaN if either is
 *   sign       x > 0 ? 1 : x < 0 ? -1 : x (zeros and NaN stay)
 *   round      half to even; floor, ceil, round keep -0
 *   rsqrt      1 / sqrt(x), both rounded; on a GPU within 2 units of the last place
 *   idiv, mod  floats: floor(a / b), a - b * floor(a / b), every step rounded; integers: floor, by
 *              zero 0
 *   integers   wrap around; abs and neg of the least value are itself; u8 is unsigned in all
 *   compare    NaN: all false but ne; bool compares as 0 and 1
 *   cast       float to integer truncates and saturates, NaN is 0; to bool: is not 0 (NaN is true);
 *              integers wrap; integer to f16, bf16 and f64 to f16, bf16 by way of f32; f32 to bf16
 *              half to even, by bits
 *   shifts     by 0 to width - 1 only
 * A NaN's sign and payload are unspecified everywhere. */
union lo_num { /* one lane in its type's memory form */
    double f64;
    float f32;
    uint16_t h; /* f16, bf16 */
    int64_t i64;
    int32_t i32;
    int8_t i8;
    uint8_t u8; /* u8, bool */
};
double lo_num_f(enum nn_dtype t, union lo_num v);
int64_t lo_num_i(enum nn_dtype t, union lo_num v);
union lo_num lo_num_from_f(enum nn_dtype t, double f);
union lo_num lo_num_from_i(enum nn_dtype t, int64_t i);
union lo_num lo_cast_num(enum nn_dtype from, enum nn_dtype to, union lo_num v);
float lo_f16_to_f32(uint16_t h);
uint16_t lo_f32_to_f16(float v);
float lo_bf16_to_f32(uint16_t h);
uint16_t lo_f32_to_bf16(float v);

/* ---- build.c: a builder appends at a block; for and if are opened and closed. ---- */
struct lo_builder {
    struct lo_kernel *k;
    uint32_t block, origin;
    bool exact; /* fold only what keeps every bit, denormals too: for passes */
    struct {
        uint32_t block;
    } stack[64];
    uint32_t depth;
};
struct lo_kernel *lo_kernel_new(const char *name);
void lo_kernel_free(struct lo_kernel *k);
uint32_t lo_buffer(struct lo_kernel *k, enum lo_space s, const char *name, struct lo_type t,
                   int64_t count);
/* A builder starts as {.k = kernel}. Opens a phase; the chunk number's value. */
lo_id lo_phase(struct lo_builder *b, int64_t chunks);
lo_id lo_phase_gpu(struct lo_builder *b, int64_t chunks, int32_t threads);
lo_id lo_thread(
    const struct lo_builder *b); /* the thread number in the phase opened last; 0: on a CPU */
static inline bool lo_is_gpu(const struct lo_kernel *k)
{
    return k->phases.n && k->phases.p[0].threads;
}

struct lo_lin lo_lin_c(int64_t c);
struct lo_lin lo_lin_v(struct lo_builder *b, lo_id v);
struct lo_lin lo_lin_add(struct lo_builder *b, struct lo_lin x, struct lo_lin y);
struct lo_lin lo_lin_mul(struct lo_builder *b, struct lo_lin x, int64_t c);

lo_id lo_const_f(struct lo_builder *b, struct lo_type t, double v);
lo_id lo_const_i(struct lo_builder *b, struct lo_type t, int64_t v);
/* Appends, folding constants and plain identities that cost no bit (x + -0, x * 1, select of a
 * constant). t is the result's type (for comparisons its dtype is made bool). Scalar operands are
 * splat to its lanes, here and below wherever lanes must agree. */
lo_id lo_op(struct lo_builder *b, enum ir_op op, struct lo_type t, lo_id x, lo_id y, lo_id z);
lo_id lo_cast(struct lo_builder *b, enum nn_dtype t, lo_id x); /* lanes stay */
lo_id lo_fma(struct lo_builder *b, lo_id x, lo_id y, lo_id z);
lo_id lo_bit(struct lo_builder *b, enum lo_bit op, struct lo_type t, lo_id x, lo_id y);
lo_id lo_splat(struct lo_builder *b, lo_id x, uint32_t lanes); /* x itself where lanes agree */
lo_id lo_lanes(struct lo_builder *b, struct lo_type t, struct lo_lin from);
lo_id lo_value(struct lo_builder *b, struct lo_lin l); /* i64 */
lo_id lo_load(struct lo_builder *b, uint32_t buf, struct lo_lin at, uint32_t lanes, lo_id mask,
              lo_id fill);
lo_id lo_gather(struct lo_builder *b, uint32_t buf, struct lo_lin at, lo_id index, lo_id mask,
                lo_id fill);
void lo_store(struct lo_builder *b, uint32_t buf, struct lo_lin at, lo_id value, lo_id mask);
void lo_scatter(struct lo_builder *b, uint32_t buf, struct lo_lin at, lo_id index, lo_id value,
                lo_id mask);
lo_id lo_get(struct lo_builder *b, uint32_t reg, struct lo_lin at);
void lo_set(struct lo_builder *b, uint32_t reg, struct lo_lin at, lo_id value);
lo_id lo_for(struct lo_builder *b, enum lo_loop how, struct lo_lin from, struct lo_lin to,
             int64_t step);                   /* opens; the variable */
void lo_if(struct lo_builder *b, lo_id cond); /* opens */
void lo_else(struct lo_builder *b);
void lo_end(struct lo_builder *b); /* closes the innermost for, if or phase */
lo_id lo_across(struct lo_builder *b, enum ir_monoid m, lo_id x);
lo_id lo_random(struct lo_builder *b, lo_id seed, lo_id step, uint64_t stream, int word,
                lo_id index);
lo_id lo_extract(struct lo_builder *b, lo_id x, int lane);
void lo_trap(struct lo_builder *b, lo_id cond, lo_id value, uint32_t origin); /* code: 1 + origin */
lo_id lo_trade(struct lo_builder *b, lo_id x, lo_id y, uint32_t block, bool second);
void lo_barrier(struct lo_builder *b);
lo_id lo_shuffle_xor(struct lo_builder *b, lo_id x, int mask);
lo_id lo_shuffle_idx(struct lo_builder *b, lo_id x, lo_id lane);
/* x of `width` (2, 4, …, 32) neighbouring threads folded, the same bits in each of them: a
 * butterfly by lane ^ width/2, …, lane ^ 1 (so lane i with lane i + width/2, as LO_ACROSS). */
lo_id lo_warp_fold(struct lo_builder *b, enum ir_monoid m, lo_id x, int width);
lo_id lo_mma(struct lo_builder *b, enum lo_mma op, lo_id a, lo_id bb, lo_id c);
lo_id lo_ldmatrix(struct lo_builder *b, uint32_t shared, struct lo_lin at, int n, bool trans);
void lo_copy(struct lo_builder *b, uint32_t shared, struct lo_lin at, uint32_t from,
             struct lo_lin from_at, int bytes, lo_id mask);
void lo_commit(struct lo_builder *b);
void lo_wait(struct lo_builder *b, int groups);
lo_id lo_pack(struct lo_builder *b, enum nn_dtype t, lo_id low, lo_id high);
lo_id lo_unpack(struct lo_builder *b, enum nn_dtype t, lo_id x, int half);
lo_id lo_approx(struct lo_builder *b, enum lo_approx op, lo_id x);

/* ---- verify.c ---- NULL if sound, else a message that quotes the instruction (heap, the caller
 * frees). f16 and bf16 values may only be loaded, stored, cast, constants, splat and extracted. */
char *lo_verify(const struct lo_kernel *k);

/* ---- uniform.c: which values may differ between the threads of a block, by lo_id (heap, the
 * caller frees); of a CPU kernel none. ---- */
bool *lo_divergent(const struct lo_kernel *k);

/* ---- print.c, read.c: text form; print(read(t)) is t. Syntax: docs/loop-ir.md. ---- */
void lo_print(const struct lo_kernel *k, struct text *out);
struct lo_kernel *lo_read(struct diag *d, uint32_t file); /* one kernel; NULL after errors */

/* ---- simplify.c: loops of one trip, dead code, common subexpressions, hoisting of invariants,
 * masks decided by ranges (range.c), columns read as rows (transpose.c); never changes a bit of the
 * result. ---- */
void lo_simplify(struct lo_kernel *k);

/* ---- rewrite.c: LO_UNROLL loops whose bounds differ by a constant are written out, so that
 * register indices become constants; bodies are folded as they are copied. back/ calls it before
 * emission. ---- */
void lo_unroll(struct lo_kernel *k);

/* ---- facts.c: what is known of each integer value, in every lane; by lo_id (heap, the caller
 * frees) ---- */
struct lo_fact {
    bool known;     /* its range: */
    int64_t lo, hi; /* inclusive, both far from overflow */
    uint32_t
        multiple; /* a power of two that divides it; of a vector 1 unless its lanes are alike */
};
struct lo_fact *lo_facts(const struct lo_kernel *k);
uint32_t lo_lin_multiple(struct lo_lin l, const struct lo_fact *facts);

/* ---- maths.c: transcendentals and random become arithmetic, bits and selects (own polynomials).
 * f64 transcendentals stay: back/ calls libm for them (sigmoid becomes 1 / (1 + exp(-x))). `fma`:
 * the target has the instruction; without it only plain products and sums are made. ---- */
void lo_expand_maths(struct lo_kernel *k, bool fma);
/* For a GPU: exp, sigmoid, tanh, rsqrt are made of its ex2, rcp and rsqrt. With the PTX manual's
 * bounds for these exp is within 3 units of the last place, tanh and rsqrt 4, sigmoid 5; the others
 * as on a CPU. f64 too is expanded, within 4 units; sin and cos of it lose their digits past 2^45.
 */
void lo_expand_maths_gpu(struct lo_kernel *k);

/* ---- hash.c: of all but names, origins and the figures for reports, whatever the numbering. ----
 */
uint64_t lo_hash(const struct lo_kernel *k);
bool lo_equal(const struct lo_kernel *x, const struct lo_kernel *y); /* what equal hashes promise */

/* ---- interp.c: runs a kernel on ordinary memory. Checks bounds of every access, uninitialised
 * registers, scratch read before written in the chunk. f32 arithmetic is done in f32, fma is fused.
 * buf[i]: the i-th LO_ARG, with `count` elements. False with *message (heap) on a fault of the
 * kernel; a trap sets *fault_code and returns true. Chunks run in ascending order, or descending if
 * asked (a second order must give the same bits). Of a GPU's phase the threads run in lockstep, the
 * chunks one by one; reported are also threads missing at a barrier or from their warp, shared
 * memory read before it is written, memory that two threads touch with no barrier between, one of
 * them writing, and what an asynchronous copy has under way. Copies land at the wait; mma sums in
 * f32, k ascending. ---- */
struct lo_run {
    void *const *buf;
    bool descending;
    int32_t fault_code;
    int64_t fault_value;
    char *message;
};
bool lo_interpret(const struct lo_kernel *k, struct lo_run *run);

#endif
