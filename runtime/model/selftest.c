/* The self-test: the same probe that the compiler ran, its results compared. */
#include "model/context.h"
#include "model/probe.h"

#include <math.h>
#include <stdlib.h>

/* Levels sum in different orders: results differ in their last digits. What is compared is the
 * distance against the size of the results around. */
static enum nn_status compare(const struct nn_context *c, const struct nn_probe *p,
                              struct nn_message *m)
{
    const struct nn_probe_rec *want = c->model->probe;
    double square = 0, worst = 0;
    uint32_t at = 0;
    if (p->count != want->count)
        return nn_fail(m, NN_REFUSED, "self-test: %u results, %llu were expected", p->count,
                       (unsigned long long)want->count);
    for (uint32_t i = 0; i < p->count; i++)
        square += want->result[i] * want->result[i];
    double size = sqrt(square / p->count);
    for (uint32_t i = 0; i < p->count; i++) {
        double d = fabs(p->result[i] - want->result[i]) / (size + fabs(want->result[i]) + 1e-30);
        if (!(d <= worst)) {
            worst = d;
            at = i;
        }
        if (isnan(d))
            break;
    }
    if (!(worst <= want->tolerance))
        return nn_fail(m, NN_REFUSED,
                       "self-test failed on %s: result %u is %.9g, the compiler's machine had %.9g",
                       c->level->target, at, p->result[at], want->result[at]);
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
