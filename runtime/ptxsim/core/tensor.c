/* tensor: mma, ldmatrix, asynchronous copies. */
#include "access.h"

void sim_tensor_free(struct sim_warp *w) { (void)w; }
