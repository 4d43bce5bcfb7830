/* image: the flat, relocatable form of a compiled program, written by compiler/program and run by
 * runtime/exec. Every `..._at` is a byte offset from the image's start to an array of records,
 * every `name` one to a 0-terminated string. Little-endian; records are naturally aligned. */
#ifndef NN_IMAGE_H
#define NN_IMAGE_H

#include "nnrt.h"

#define NN_IMAGE_MAGIC 0x31474d494e4eu /* "NNIMG1" */
#define NN_IMAGE_VERSION 8
#define NN_IMAGE_ALIGN 256 /* of every argument's memory */

/* The ABI of a CPU kernel: phase `phase` of it over the chunks [chunk0, chunk1). Phases run in
 * order with a join between them; chunks of a phase in any order, on any threads. */
struct nn_fault {
    int32_t code; /* 0: none; else 1 + the launch's origin (nn_origin_rec) */
    int32_t pad;
    int64_t value; /* the offending index */
};
struct nn_args {
    void *const *buf; /* one pointer an argument, in the kernel's order */
    void *scratch;    /* this thread's scratch, 64-byte aligned, NULL if the kernel wants none */
    struct nn_fault *fault; /* the first fault wins; written by any thread */
    const int64_t *dims;    /* run-time values of symbolic dims */
};
typedef void nn_kernel(const struct nn_args *args, int32_t phase, int64_t chunk0, int64_t chunk1);

/* The code of a GPU program: PTX text for all kernels of an image, beside it. Phase p of kernel
 * SYMBOL is the entry `SYMBOL_p<p>`; its parameters are one pointer an argument, in the kernel's
 * order, and a pointer to a struct nn_fault in global memory. Its grid is (chunks, 1, 1), its block
 * (threads, 1, 1).
 */
struct nn_code {
    const char *text;
    size_t bytes;       /* without a 0 at the end, which follows */
    const char *target; /* sm_80: the image's own */
    const void *cubin;  /* machine code of the same for the target, an ELF file; NULL: none */
};

/* Where an argument lives. */
enum nn_space {
    NN_SPACE_SLOT,   /* offset into the slots' allocation: lasting */
    NN_SPACE_ARENA,  /* offset into the step's arena */
    NN_SPACE_INPUT,  /* offset is the input's number: the caller's or the loader's buffer */
    NN_SPACE_OUTPUT, /* offset is the output's number: a buffer that the runtime keeps */
};

enum nn_slot_kind {
    NN_SLOT_PARAM, /* trained, saved under its name */
    NN_SLOT_STATE, /* saved under its name, no gradient (running_mean) */
    NN_SLOT_OPT,   /* optimiser state: saved in the resumable state only */
    NN_SLOT_ACC,  /* a metric's running sum: zeroed (or set to its identity) before an evaluation */
    NN_SLOT_SYS,  /* step, steps, steps_per_epoch (i64), seed (i64): set by the runtime at start */
    NN_SLOT_SIZE, /* one i64: a size that each run may choose; starts as the largest */
};

struct nn_slot_rec {
    uint32_t name;
    uint8_t dtype, rank, kind, pad;
    uint64_t offset, bytes; /* offset into the slots' allocation, NN_IMAGE_ALIGN-byte aligned */
    double identity;        /* NN_SLOT_ACC: what it starts from */
    int64_t dim[NN_MAX_RANK];
};

/* A size that follows from others: left OP right, brought into [least, most]. */
enum nn_size_op {
    NN_SIZE_GIVEN, /* none: each run may choose it */
    NN_SIZE_SUM,
    NN_SIZE_PRODUCT,
    NN_SIZE_QUOTIENT, /* towards minus infinity; by 0: 0 */
};
struct nn_rule_rec {
    uint32_t slot, op;    /* the slot's number, of NN_SLOT_SIZE; enum nn_size_op, not GIVEN */
    uint32_t left, right; /* 1 + the number of a slot of NN_SLOT_SIZE; 0: the number below */
    int64_t left_n, right_n;
    int64_t least, most;
};

/* How far an axis goes in a run: times * ((by * the slot's value + plus) // over) + more. */
struct nn_extent_rec {
    uint32_t slot; /* 1 + the number of a slot of NN_SLOT_SIZE; 0: all of it, in every run */
    uint32_t pad;
    int64_t by, plus, over, times, more;
};

struct nn_value_rec { /* an input or an output of a graph */
    uint32_t name;
    uint8_t dtype, rank;
    uint8_t spares; /* `spare` may be among integers with a limit */
    uint8_t pad;
    uint32_t extents_at; /* nn_extent_rec, one an axis; 0: all axes are whole */
    uint32_t pad2;
    int64_t limit; /* integers must be in [0, limit); 0: unchecked */
    int64_t spare;
    uint64_t bytes;
    int64_t dim[NN_MAX_RANK];
};

struct nn_arg_rec {
    uint32_t space;  /* enum nn_space */
    uint8_t dtype;   /* of its elements */
    uint8_t written; /* the kernel writes it; --check-nan looks here */
    uint8_t whole;   /* of an input that goes through in parts: all its samples, in every part */
    uint8_t pad;
    uint64_t offset; /* NN_IMAGE_ALIGN-byte aligned for slots and the arena */
    uint64_t bytes;  /* what the kernel may touch from there: checked at opening */
};

struct nn_phase_rec {
    int64_t chunks;
    uint32_t threads; /* of a chunk's block; 0: a CPU's phase */
    uint32_t shared;  /* dynamic shared memory of a block, in bytes */
};

/* A matrix product by a library: C[m, n] = f(alpha A[m, k] B[k, n] + matrix + vector), row-major,
 * `batch` times, and all that `groups` times; a transposed operand is stored the other way round.
 * lda, ldb, ldc are the strides between stored rows, stride_a … those between the matrices of a
 * batch, jump_a … those between groups, at_a … where the first matrix begins, all in elements. The
 * arguments are A, B, C, then those that the epilogue names, in its order. */
enum nn_gemm_compute {
    NN_GEMM_F32,  /* multiplied and added in f32 */
    NN_GEMM_TF32, /* f32 operands rounded to tf32, added in f32 */
    NN_GEMM_F64,
};
enum nn_gemm_epilogue {                  /* f32 only */
                        NN_GEMM_ADD = 1, /* a matrix of C's type and layout is added */
                        NN_GEMM_BIAS =
                            2, /* a vector of n f32 that begins at at_bias is added to every row */
                        NN_GEMM_AUX = 4,   /* with GELU: what it is applied to is stored as C is */
                        NN_GEMM_RELU = 8,  /* f is max(x, 0) */
                        NN_GEMM_GELU = 16, /* f is gelu's tanh form */
                        NN_GEMM_ALL = 31,
};
struct nn_gemm_rec {
    int64_t lda, ldb, ldc, stride_a, stride_b, stride_c;
    int64_t jump_a, jump_b, jump_c, at_a, at_b, at_c, at_bias;
    int32_t m, n, k, batch, groups;
    float alpha; /* f32 */
    uint8_t trans_a, trans_b;
    uint8_t type_a, type_b, type_c; /* enum nn_dtype */
    uint8_t compute;                /* enum nn_gemm_compute */
    uint8_t epilogue;               /* enum nn_gemm_epilogue */
    uint8_t pad;
};

enum nn_launch_kind { NN_LAUNCH_KERNEL, NN_LAUNCH_GEMM };
struct nn_launch_rec {
    uint32_t kind;                   /* enum nn_launch_kind */
    uint32_t kernel;                 /* index into the kernel table; of a GEMM 0 */
    uint32_t gemm_at;                /* nn_gemm_rec; of a kernel 0 */
    uint32_t origin;                 /* index into origins: what to name in messages */
    uint32_t arg_count, args_at;     /* nn_arg_rec */
    uint32_t phase_count, phases_at; /* nn_phase_rec */
    double flops, bytes;             /* least work and traffic, for reports */
};

/* A size of a graph that its caller says. Memory is laid out for the largest. */
struct nn_size_rec {
    uint32_t name;       /* batch */
    uint32_t slot;       /* 1 + its number; 0: least and most are the same */
    int64_t least, most; /* 0 < least <= most <= INT32_MAX */
};

struct nn_graph_rec {
    uint32_t name;                     /* init, step, eval, eval.tail.5, metrics, forward, grad */
    uint32_t input_count, inputs_at;   /* nn_value_rec */
    uint32_t output_count, outputs_at; /* nn_value_rec */
    uint32_t launch_count, launches_at;
    uint32_t size_count, sizes_at; /* nn_size_rec */
    /* u32: numbers of rules; a call whose sizes give a value outside of their range is refused. */
    uint32_t range_count, ranges_at;
    /* The first `part_launches` run `parts` times before the others run once: an input's argument
     * is then the next so many of its samples, or all (`whole`), and an i32 in the slots, at
     * part_at, holds which part it is. parts 1: no launch repeats, part_at is 0. Only those
     * launches read inputs. */
    uint32_t parts, part_launches;
    uint32_t pad;
    uint64_t part_at;
    uint64_t arena_bytes, scratch_bytes; /* scratch a thread */
};

struct nn_kernel_rec {
    uint32_t name; /* the symbol */
    uint32_t pad;
};

struct nn_origin_rec {
    uint32_t text; /* "mlp.nn:19: fc1.matmul" */
    uint32_t file, line;
    uint32_t pad;
};

struct nn_image {
    uint64_t magic;
    uint32_t version;
    uint32_t pad;
    uint64_t bytes; /* of the whole image */
    uint64_t slot_bytes;
    uint32_t model; /* its name, as in the source */
    uint32_t slot_count, slots_at;
    uint32_t graph_count, graphs_at;
    uint32_t kernel_count, kernels_at;
    uint32_t origin_count, origins_at;
    uint32_t rule_count, rules_at; /* nn_rule_rec, each behind those that it needs */
    uint32_t target;               /* the name of the level that the kernels are for; 0: not told */
};

#endif
