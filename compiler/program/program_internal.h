/* program: what its files share. */
#ifndef NNC_PROGRAM_INTERNAL_H
#define NNC_PROGRAM_INTERNAL_H

#include "program/program.h"

/* A range of the arena, alive from launch `from` to launch `to`, both inclusive. */
struct program_buffer {
    uint64_t bytes, offset; /* multiples of PROGRAM_ALIGN */
    uint32_t from, to;
    uint32_t origin; /* of the value that came here first, or the launch */
    bool own;        /* a launch's temporary */
};
#define PROGRAM_ALIGN NN_IMAGE_ALIGN
static inline uint64_t program_round(uint64_t n)
{
    n = n ? n : 1;
    return (n + PROGRAM_ALIGN - 1) / PROGRAM_ALIGN * PROGRAM_ALIGN;
}

/* ---- arena.c: sets every buffer's offset; the arena's size. ---- */
uint64_t program_plan_arena(struct program_buffer *buffer, uint32_t n);

/* One graph, planned: launches in the order in which they run. */
struct program_launch {
    uint32_t kernel;                /* into program.kernels; of a GEMM 0 */
    const struct nn_gemm_rec *gemm; /* NULL: a kernel */
    uint32_t origin;
    uint32_t nargs;
    struct nn_arg_rec *arg;
};
struct program_graph {
    const struct ir_graph *g;
    VEC(struct program_launch) launches;
    uint32_t part_launches; /* of them the first so many are of g->part */
    VEC(ir_id) inputs;      /* of g->part, or of g */
    uint64_t arena_bytes, scratch_bytes;
    VEC(struct program_holder) holders;
};
struct program {
    struct ir_module *m;
    struct arena *mem;
    VEC(struct lo_kernel *) kernels;
    VEC(struct program_graph) graphs;
    VEC(struct low_launches *) taken;
    const char *target; /* NULL until program_for */
    uint32_t block;     /* threads of a GPU's block; 0 on a CPU */
};

/* ---- order.c: a launch order in which a slot is read before it is overwritten. `direct[u]` says
 * of update u whether its value is computed in the slot itself; where that would need a cycle it
 * becomes false, and the value is copied at the end. Returns the order (n launch numbers, heap).
 * ---- */
uint32_t *program_order(const struct ir_graph *g, const struct low_launches *l, bool *direct);

/* ---- program.c ---- */
uint64_t program_slot_bytes(const struct ir_slot *s);

#endif
