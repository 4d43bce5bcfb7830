/* probe: runs a model on made-up weights and inputs and notes some results. The compiler's machine
 * does it once and stores them, every later machine compares. The same code on both. */
#ifndef NN_PROBE_H
#define NN_PROBE_H

#include "exec/exec.h"

enum { NN_PROBE_MOST = 1024 }; /* results */

struct nn_probe {
    uint64_t forward_limit, step_limit; /* integer inputs are drawn from [0, limit) */
    uint32_t count;
    double result[NN_PROBE_MOST];
    /* Of each: its output, numbered over all that were noted, and that one's dtype. */
    uint16_t group[NN_PROBE_MOST];
    uint8_t dtype[NN_PROBE_MOST];
    uint16_t groups;
};
/* Overwrites the context's slots; runs its smallest `forward…` graph and two times `step`, as far
 * as it has them. NN_REFUSED: an index was out of range, a smaller limit may help. */
enum nn_status nn_probe_run(struct nn_exec *e, struct nn_probe *p, struct nn_message *m);

#endif
