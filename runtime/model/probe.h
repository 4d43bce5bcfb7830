/* probe: runs a model on made-up weights and inputs and notes some results. The compiler's machine
 * does it once and stores them, every later machine compares. The same code on both. */
#ifndef NN_PROBE_H
#define NN_PROBE_H

#include "exec/exec.h"

struct nn_probe_result {
    const char *of; /* the output's or slot's name, in the image */
    double value;
    double rounding; /* what storing may have rounded off, in all */
    uint64_t family; /* of results of one unit: the parameters' changes, all slots `….exp_avg` */
    uint32_t group;  /* its output or slot, numbered over all that were noted */
    uint8_t dtype;   /* enum nn_dtype, of that one */
    /* What hangs on comparisons (relu's, a metric's argmax) or on small differences of large
     * numbers (gradients, changes of weights): one that differs in the last digit may move it. */
    bool loose;
};
struct nn_probe {
    double shake; /* how far made-up floats are off, relative; 0 but to find what that moves */
    uint64_t forward_limit, step_limit; /* integer inputs are drawn from [0, limit) */
    uint32_t count, room, groups;
    uint32_t
        fillings; /* each has other weights and inputs: what one run left behind fits no other */
    struct nn_probe_result *result; /* see nn_probe_close */
};
/* Overwrites the context's slots; runs all of its graphs as far as it has them: `init` (its values
 * are noted), each `forward…` at few samples, `eval…` and `metrics`, two times `step`, noting
 * losses, what it left in the optimiser's states and how far it moved parameters and states.
 * NN_REFUSED: an index was out of range, a smaller limit may help. */
enum nn_status nn_probe_run(struct nn_exec *e, struct nn_probe *p, struct nn_message *m);
/* Makes NAN, which compares with nothing, of the loose results of outputs and slots that chance
 * decides: one of theirs differs from the same probe's with a shake by more than `part` of the
 * largest. */
void nn_probe_blur(struct nn_probe *p, const struct nn_probe *shaken, double part);
void nn_probe_close(struct nn_probe *p); /* frees the results; all zero is fine */

#endif
