/* A library's levels for GPUs: the driver opened at run time, the best level that the GPU runs. */
#include "common.h"
#include "cuda/cuda.h"
#include "package.h"

#include <stdlib.h>
#include <string.h>

/* sm_80 runs on 8.0 and later, sm_90a on 9.0 alone. */
static bool runs(const struct nn_level *l, const struct nn_cuda_info *i)
{
    char *end;
    long level = l->code && !strncmp(l->target, "sm_", 3) ? strtol(l->target + 3, &end, 10) : 0;
    long have = 10 * i->major + i->minor;
    return level > 0 && (*end == 'a' ? level == have : level <= have);
}

static enum nn_status choose(struct nn_gpu_device *d, const struct nn_model *model, int ordinal,
                             struct nn_message *m)
{
    struct nn_cuda_info i;
    enum nn_status s = nn_cuda_info(d->cuda, ordinal, &i, m);
    for (uint64_t k = 0; !s && k < model->levels && !d->level; k++)
        if (runs(model->level[k], &i))
            d->level = model->level[k];
    if (s || d->level)
        return s;
    return nn_fail(m, NN_REFUSED, "%s has no level that runs on %s, of compute capability %d.%d",
                   model->name, i.name, i.major, i.minor);
}

static void gpu_close(struct nn_gpu_device *d)
{
    nn_device_close(d->device);
    nn_cuda_close(d->cuda);
    *d = (struct nn_gpu_device){0};
}

static enum nn_status gpu_open(struct nn_gpu_device *d, const struct nn_model *model,
                               const char *device, struct nn_message *m)
{
    *d = (struct nn_gpu_device){0};
    const char *colon = strchr(device, ':');
    bool sim = !strncmp(device, "sim", 3);
    char *end = NULL;
    long ordinal = colon && !sim ? strtol(colon + 1, &end, 10) : 0;
    if ((end && (*end || end == colon + 1)) || ordinal < 0 || ordinal > 1 << 16)
        return nn_fail(m, NN_USAGE, "device %.100s: cuda:NUMBER is wanted", device);
    d->ordinal = (int)ordinal;
    struct nn_cuda_options o = {.sim = sim, .chip = colon && sim ? colon + 1 : NULL};
    enum nn_status s = nn_cuda_open(&d->cuda, &o, m);
    if (!s)
        s = choose(d, model, (int)ordinal, m);
    if (!s)
        s = nn_cuda_device(&d->device, d->cuda, (int)ordinal, m);
    if (s)
        gpu_close(d);
    return s;
}

const struct nn_gpu_ops nn_gpu = {gpu_open, gpu_close};
