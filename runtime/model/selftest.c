/* The self-test: the same probe that the compiler ran, its results compared. */
#include "model/context.h"
#include "model/probe.h"

#include <math.h>
#include <stdlib.h>

/* What a result may differ by, relative to the largest magnitude of its output: levels and devices
 * sum in different orders, so that the last digits differ, through as many operators as a model is
 * deep. The library's own figure is for f32, and larger where contractions multiply in fewer bits.
 */
static double bound(const struct nn_probe_rec *want, enum nn_dtype t)
{
    switch (t) {
    case NN_f64: return 1e-9;
    case NN_f32: return want->tolerance;
    case NN_f16: return want->tolerance > 4e-3 ? want->tolerance : 4e-3;
    case NN_bf16: return want->tolerance > 3e-2 ? want->tolerance : 3e-2;
    case NN_i64:
    case NN_i32:
    case NN_i8:
    case NN_u8:
    case NN_bool:
    case NN_DTYPE_COUNT: break;
    }
    return 0;
}

/* The largest of the results from `first` on that belong to one output; where the next begins. */
static double magnitude(const struct nn_probe *p, const double *want, uint32_t first, uint32_t *end)
{
    double most = 0;
    *end = first;
    for (; *end < p->count && p->group[*end] == p->group[first]; ++*end)
        most = fabs(want[*end]) > most ? fabs(want[*end]) : most;
    return most;
}

static enum nn_status compare(const struct nn_context *c, const struct nn_probe *p,
                              struct nn_message *m)
{
    const struct nn_probe_rec *want = c->model->probe;
    double worst = 0;
    if (p->count != want->count)
        return nn_fail(m, NN_REFUSED, "self-test: %u results, %llu were expected", p->count,
                       (unsigned long long)want->count);
    for (uint32_t first = 0, end; first < p->count; first = end) {
        double size = magnitude(p, want->result, first, &end);
        for (uint32_t i = first; i < end; i++) {
            double d = fabs(p->result[i] - want->result[i]) / (size + 1e-30);
            double most = bound(want, (enum nn_dtype)p->dtype[i]);
            if (!(d <= most))
                return nn_fail(m, NN_REFUSED,
                               "self-test failed on %s: result %u is %.9g, the compiler's machine "
                               "had %.9g: %.1e of the output's largest, at most %.0e is right",
                               c->level->target, i, p->result[i], want->result[i], d, most);
            worst = d > worst ? d : worst;
        }
    }
    nn_context_log(c, "%s: self-test passed on %s: %u results, the largest deviation %.1e",
                   c->model->name, c->level->target, p->count, worst);
    return NN_OK;
}

enum nn_status nn_context_selftest(struct nn_context *c)
{
    const struct nn_probe_rec *want = c->model->probe;
    struct nn_message *m = &c->message;
    if (!want->count)
        return nn_fail(m, NN_USAGE, "%s was built without a self-test", c->model->name);
    struct nn_probe *p = calloc(1, sizeof *p);
    struct nn_exec *e = NULL;
    struct nn_gpu_device gpu = {0};
    enum nn_status s = p ? nn_context_settle(c) : nn_fail(m, NN_MACHINE, "out of memory");
    if (!s)
        s = nn_level_exec(c, &e, &gpu, m);
    if (!s) {
        p->forward_limit = want->forward_limit;
        p->step_limit = want->step_limit;
        s = nn_probe_run(e, p, m);
    }
    if (!s)
        s = compare(c, p, m);
    nn_exec_close(e);
    if (gpu.device)
        c->model->gpu->close(&gpu);
    free(p);
    return s;
}
