/* The self-test: the same probe that the compiler ran, its results compared. */
#include "model/context.h"
#include "model/probe.h"

#include <math.h>

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

/* What result i may differ by. `size`: the largest of its output or slot, `family`: of all alike. A
 * kernel that does nothing is all of its output's size away; half of it is for gradients, which
 * deep networks make of rounding errors too; the family's share is for those that are 0 but for
 * rounding. */
static double allowed(const struct nn_probe_rec *want, const struct nn_probe_result *r, double size,
                      double family)
{
    double part = bound(want, (enum nn_dtype)r->dtype);
    if (!r->loose)
        return part * size;
    part = part > want->tolerance ? part : want->tolerance;
    return 0.5 * size + part / 10 * family + r->rounding;
}

/* The largest magnitude among the stored results from `first` on that belong to one output or slot;
 * where the next begins. */
static double magnitude(const struct nn_probe *p, const double *want, uint32_t first, uint32_t *end)
{
    double most = 0;
    *end = first;
    for (; *end < p->count && p->result[*end].group == p->result[first].group; ++*end)
        most = fabs(want[*end]) > most ? fabs(want[*end]) : most;
    return most;
}

static double family_magnitude(const struct nn_probe *p, const double *want, uint64_t family)
{
    double most = 0;
    for (uint32_t i = 0; i < p->count; i++)
        if (p->result[i].family == family && p->result[i].loose && fabs(want[i]) > most)
            most = fabs(want[i]);
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
        double family = family_magnitude(p, want->result, p->result[first].family);
        for (uint32_t i = first; i < end; i++) {
            const struct nn_probe_result *r = &p->result[i];
            double d = fabs(r->value - want->result[i]), most = allowed(want, r, size, family);
            if (d <= most || isnan(want->result[i])) {
                worst = d > 0 && !r->loose && d / size > worst ? d / size : worst;
                continue;
            }
            return nn_fail(m, NN_REFUSED,
                           "self-test failed on %s: result %u, of %s, is %.9g; the compiler's "
                           "machine had %.9g, and %.1e off is the most that is right",
                           c->level->target, i, r->of, r->value, want->result[i], most);
        }
    }
    nn_context_log(c, "%s: self-test passed on %s: %u results, the largest deviation %.1e",
                   c->model->name, c->level->target, p->count, worst);
    return NN_OK;
}

enum nn_status nn_context_selftest(struct nn_context *c)
{
    enum nn_status s = nn_context_given(c, c, "the context");
    if (s)
        return s;
    const struct nn_probe_rec *want = c->model->probe;
    struct nn_message *m = &c->message;
    if (!want->count)
        return nn_fail(m, NN_USAGE, "%s was built without a self-test", c->model->name);
    struct nn_probe p = {.forward_limit = want->forward_limit, .step_limit = want->step_limit};
    struct nn_exec *e = NULL;
    struct nn_gpu_device gpu = {0};
    s = nn_context_settle(c);
    if (!s)
        s = nn_level_exec(c, &e, &gpu, m);
    if (!s)
        s = nn_probe_run(e, &p, m);
    if (!s)
        s = compare(c, &p, m);
    nn_exec_close(e);
    if (gpu.device)
        c->model->gpu->close(&gpu);
    nn_probe_close(&p);
    return s;
}
