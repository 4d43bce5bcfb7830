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
 * the launches (lower_free is not to be called). */
void program_add(struct program *p, struct ir_graph *g, struct low_launches *l);
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
