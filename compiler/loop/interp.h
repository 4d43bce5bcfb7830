/* What the interpreter's files share: a kernel decoded for a run, its memory, faults. A value holds
 * its lanes for one thread after the other: of a CPU's phase there is one thread. */
#ifndef NNC_LOOP_INTERP_H
#define NNC_LOOP_INTERP_H

#include "loop/private.h"

struct sum { /* a decoded lo_lin */
    int64_t c0;
    uint32_t n;
    struct {
        int64_t c;
        const int64_t *v;
    } * part;
};

struct code;
struct step { /* a decoded instruction */
    const struct lo_insn *in;
    lo_id id;
    uint32_t lanes, size; /* of the value or what is stored; size: of one lane */
    char *out;
    const void *arg[3];
    enum nn_dtype from; /* the first operand's */
    bool narrow;        /* arg[2] holds i32 */
    struct sum lin, hi;
    struct code *body, *other;
    struct memory *buf, *source; /* source: of a copy */
};
struct code {
    uint32_t n;
    struct step *step;
};

/* A buffer. Stamps are the serial numbers of chunks, counted from 1 over all phases. */
struct memory {
    const struct lo_buffer *b;
    char *p;
    uint32_t *writer, *reader; /* of each element; of own memory only the writer; NULL: unwatched */
    /* What a GPU's threads share: who touched an element last, and when (interp_gpu.c). */
    uint64_t *wrote, *read;
    uint8_t *under_way; /* an asynchronous copy will write it */
};

struct copy { /* under way */
    struct memory *to;
    int64_t at;
    uint32_t thread, group, n; /* n: elements */
    char bytes[16];
};

struct interp {
    const struct lo_kernel *k;
    struct lo_run *run;
    struct arena *mem;
    char **value; /* of each instruction, in the frame */
    struct memory *memory;
    uint32_t phase, chunk, base; /* serial numbers: this chunk's, and the last before this phase */
    bool stopped;                /* by a trap */
    /* of a GPU's phase */
    uint32_t threads; /* a value's; 1 on a CPU */
    int32_t thread;   /* in work, for messages; -1: none */
    uint64_t epoch;   /* counts barriers and chunks */
    uint32_t committed[LO_MAX_THREADS];
    VEC(struct copy) copies;
};

bool interp_fault(struct interp *x, const struct step *s, const char *fmt, ...) NNC_PRINTF(3, 4);
bool interp_outside(struct interp *x, const struct step *s, const struct memory *m, int64_t at);
/* Whether the chunk may touch element `at` of m; notes that it did. */
bool interp_may_read(struct interp *x, const struct step *s, struct memory *m, int64_t at);
bool interp_may_write(struct interp *x, const struct step *s, struct memory *m, int64_t at);
void interp_across(enum ir_monoid m, enum nn_dtype t, uint32_t lanes, const void *in, void *out);

/* One chunk of a phase with threads. */
bool interp_block(struct interp *x, const struct code *c);

#endif
