/* Arrays of a run's sizes: a caller's are dense, the graph's are laid out for the largest. */
#include "common.h"
#include "exec/exec.h"

#include <string.h>

size_t nn_extents(const struct nn_exec *e, const struct nn_value_rec *v, int64_t *n)
{
    const struct nn_extent_rec *x =
        v->extents_at ? nn_image_at(nn_exec_image(e), v->extents_at) : NULL;
    size_t count = 1;
    for (uint32_t k = 0; k < v->rank; k++) {
        int64_t size;
        n[k] = v->dim[k];
        if (x && x[k].slot) {
            memcpy(&size, nn_exec_slot(e, (int)x[k].slot - 1), sizeof size);
            n[k] = nn_extent(&x[k], size);
        }
        count *= (size_t)n[k];
    }
    return count;
}

struct copy {
    size_t element;
    uint32_t rank;
    const int64_t *whole;
    int64_t live[NN_MAX_RANK]; /* elements of each axis */
};

/* From dense into laid out, or back; `at`: the axis to walk. */
static void copy_axis(const struct copy *x, uint32_t at, char *wide, char *dense, bool in)
{
    size_t wide_step = x->element, dense_step = x->element;
    bool line = true; /* what is behind the axis is whole */
    for (uint32_t k = at + 1; k < x->rank; k++) {
        wide_step *= (size_t)x->whole[k];
        dense_step *= (size_t)x->live[k];
        line = line && x->whole[k] == x->live[k];
    }
    if (line) {
        size_t n = at < x->rank ? dense_step * (size_t)x->live[at] : x->element;
        memcpy(in ? wide : dense, in ? dense : wide, n);
        return;
    }
    for (int64_t i = 0; i < x->live[at]; i++)
        copy_axis(x, at + 1, wide + (size_t)i * wide_step, dense + (size_t)i * dense_step, in);
}

static void copy_value(const struct nn_exec *e, const struct nn_value_rec *v, void *wide,
                       void *dense, bool in)
{
    struct copy x = {nn_dtype_size((enum nn_dtype)v->dtype), v->rank, v->dim, {0}};
    nn_extents(e, v, x.live);
    copy_axis(&x, 0, wide, dense, in);
}

void nn_lay_out(const struct nn_exec *e, const struct nn_value_rec *v, void *wide,
                const void *dense)
{
    copy_value(e, v, wide, (void *)(uintptr_t)dense, true);
}

void nn_take_out(const struct nn_exec *e, const struct nn_value_rec *v, const void *wide,
                 void *dense)
{
    copy_value(e, v, (void *)(uintptr_t)wide, dense, false);
}
