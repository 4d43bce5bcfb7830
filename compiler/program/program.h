/* program: clusters' launches to a program: order, lives, offsets, launch table; written as an
 * image. */
#ifndef NNC_PROGRAM_H
#define NNC_PROGRAM_H

#include "back/back.h"
#include "image.h"
#include "lower/lower.h"

/* A module whose graphs are lowered one after the other; kernels are numbered over all of them. */
struct program;
struct program *program_new(struct ir_module *m);
void program_free(struct program *p);
/* Orders the launches so that a slot is read before it is overwritten, plans the arena, takes over
 * the launches (lower_free is not to be called). A graph's part comes before it: its launches
 * `part` (NULL: it has none) are those of g->part. */
void program_add(struct program *p, struct ir_graph *g, struct low_launches *part,
                 struct low_launches *l);
/* What a context over the program takes, in bytes: all slots, the largest arena, all outputs; where
 * calls say sizes, a graph's inputs, laid out for the largest (of the graph that takes most). */
struct program_memory {
    uint64_t slots, arena, outputs, inputs;
};
struct program_memory program_memory(const struct program *p);
static inline uint64_t program_peak(struct program_memory m)
{
    return m.slots + m.arena + m.outputs + m.inputs;
}
/* Where the arena of the last graph is fullest: the values alive there, the largest first. */
struct program_holder {
    uint64_t bytes;
    uint32_t origin;
    bool own; /* a launch's working space, not a value */
};
const struct program_holder *program_holders(const struct program *p, size_t *n);
/* The level that the kernels are lowered for: the image tells it. */
void program_for(struct program *p, const struct target *t);
/* All kernels so far, for back/. */
struct lo_kernel *const *program_kernels(const struct program *p, size_t *n);
/* Where in the source the kernels' origins are; the program's. */
struct back_lines program_lines(const struct program *p);
/* The image, heap memory of image->bytes. To be made before back/ has the kernels: it changes
 * them. */
struct nn_image *program_image(const struct program *p);

#endif
