/* A GPU: its figures, its primary context, two streams, memory and copies. */
#include "cuda/private.h"

#include <stdlib.h>

/* ---- figures ---- */

static enum nn_status read_info(const struct nn_cuda *c, int device, struct nn_cuda_info *i,
                                struct nn_message *m)
{
    int shared = 0;
    const struct {
        int attribute, *value;
    } wanted[] = {
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &i->major},
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, &i->minor},
        {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &i->sms},
        {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, &i->clock_khz},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, &shared},
    };
    *i = (struct nn_cuda_info){0};
    enum nn_status s = CU(c, m, cuDeviceGetName, i->name, (int)sizeof i->name - 1, device);
    if (!s)
        s = CU(c, m, cuDeviceTotalMem, &i->memory, device);
    for (size_t k = 0; !s && k < NN_COUNT(wanted); k++)
        s = CU(c, m, cuDeviceGetAttribute, wanted[k].value, wanted[k].attribute, device);
    i->shared_block = (size_t)(shared > 0 ? shared : 0);
    return s;
}

static enum nn_status find_device(const struct nn_cuda *c, int ordinal, int *device,
                                  struct nn_message *m)
{
    if (ordinal < 0 || ordinal >= c->count)
        return nn_fail(m, NN_MACHINE, "there is no GPU %d: %d %s found", ordinal, c->count,
                       c->count == 1 ? "is" : "are");
    return CU(c, m, cuDeviceGet, device, ordinal);
}

enum nn_status nn_cuda_info(const struct nn_cuda *c, int ordinal, struct nn_cuda_info *i,
                            struct nn_message *m)
{
    int device;
    enum nn_status s = find_device(c, ordinal, &device, m);
    return s ? s : read_info(c, device, i, m);
}

/* ---- opening and closing ---- */

static void close_device(struct nn_device *x)
{
    struct cuda *d = cuda_of(x);
    if (d->context)
        d->c->cuCtxSetCurrent(d->context);
    if (d->compute)
        d->c->cuStreamDestroy(d->compute);
    if (d->copy)
        d->c->cuStreamDestroy(d->copy);
    if (d->context)
        d->c->cuDevicePrimaryCtxRelease(d->device);
    free(d);
}

enum nn_status nn_cuda_device(struct nn_device **out, struct nn_cuda *c, int ordinal,
                              struct nn_message *m)
{
    *out = NULL;
    struct cuda *d = calloc(1, sizeof *d);
    if (!d)
        return nn_fail(m, NN_MACHINE, "out of memory");
    d->d.ops = &cuda_ops;
    d->c = c;
    enum nn_status s = find_device(c, ordinal, &d->device, m);
    if (!s)
        s = read_info(c, d->device, &d->info, m);
    if (!s)
        s = CU(c, m, cuDevicePrimaryCtxRetain, &d->context, d->device);
    if (!s)
        s = CU(c, m, cuCtxSetCurrent, d->context);
    if (!s)
        s = CU(c, m, cuStreamCreate, &d->compute, CU_STREAM_NON_BLOCKING);
    if (!s)
        s = CU(c, m, cuStreamCreate, &d->copy, CU_STREAM_NON_BLOCKING);
    if (s)
        close_device(&d->d);
    else
        *out = &d->d;
    return s;
}

/* ---- serving a context ---- */

/* Whether a launch is a product by cuBLAS; *epilogues: one of them by cuBLASLt. */
static bool wants_blas(const struct nn_program *c, bool *epilogues)
{
    bool any = false;
    *epilogues = false;
    for (uint32_t g = 0; g < c->image->graph_count; g++) {
        const struct nn_launch_rec *l = nn_image_at(c->image, c->graph[g].rec->launches_at);
        for (uint32_t i = 0; i < c->graph[g].rec->launch_count; i++)
            if (l[i].kind == NN_LAUNCH_GEMM) {
                const struct nn_gemm_rec *r = nn_image_at(c->image, l[i].gemm_at);
                any = true;
                *epilogues = *epilogues || r->epilogue;
            }
    }
    return any;
}

static enum nn_status load(struct nn_device *x, const struct nn_program *c, size_t *own_bytes,
                           struct nn_message *m)
{
    struct cuda *d = cuda_of(x);
    bool epilogues;
    *own_bytes = 0;
    enum nn_status s = CU(d->c, m, cuCtxSetCurrent, d->context);
    if (!s)
        s = module_load(d, c, m);
    if (!s && wants_blas(c, &epilogues)) {
        s = blas_open(&d->blas, d->c, d->compute, epilogues, m);
        *own_bytes = BLAS_WORKSPACE;
    }
    return s;
}

static enum nn_status alloc(struct nn_device *x, size_t bytes, void **at, struct nn_message *m)
{
    struct cuda *d = cuda_of(x);
    size_t unused = 0, total = 0;
    cu_address p = 0;
    enum nn_status s = CU(d->c, m, cuMemGetInfo, &unused, &total);
    if (!s && bytes > unused)
        s = nn_fail(
            m, NN_MACHINE,
            "out of memory: the model needs %.1f MB on the GPU; %s has %.1f MB free of %.1f MB",
            (double)bytes / 1e6, d->info.name, (double)unused / 1e6, (double)total / 1e6);
    if (!s)
        s = CU(d->c, m, cuMemAlloc, &p, bytes ? bytes : 1);
    *at = (void *)(uintptr_t)p;
    return s;
}

static void unload(struct nn_device *x, struct nn_program *c)
{
    struct cuda *d = cuda_of(x);
    d->c->cuCtxSetCurrent(d->context);
    d->c->cuStreamSynchronize(d->copy);
    d->c->cuStreamSynchronize(d->compute);
    cuda_end_runs(d);
    blas_close(d->blas);
    d->blas = NULL;
    if (c->memory.base)
        d->c->cuMemFree(cu_at(c->memory.base));
    c->memory.base = NULL;
    module_unload(d);
}

static enum nn_status copy_in(struct nn_device *x, void *to, const void *from, size_t bytes,
                              struct nn_message *m)
{
    struct cuda *d = cuda_of(x);
    enum nn_status s = CU(d->c, m, cuCtxSetCurrent, d->context);
    if (!s)
        s = CU(d->c, m, cuMemcpyHtoDAsync, cu_at(to), from, bytes, d->compute);
    return s ? s : CU(d->c, m, cuStreamSynchronize, d->compute);
}

static enum nn_status copy_out(struct nn_device *x, void *to, const void *from, size_t bytes,
                               struct nn_message *m)
{
    struct cuda *d = cuda_of(x);
    enum nn_status s = CU(d->c, m, cuCtxSetCurrent, d->context);
    if (!s)
        s = CU(d->c, m, cuMemcpyDtoHAsync, to, cu_at(from), bytes, d->compute);
    return s ? s : CU(d->c, m, cuStreamSynchronize, d->compute);
}

const struct nn_device_ops cuda_ops = {
    .apart = true,
    .alignment = NN_IMAGE_ALIGN,
    .load = load,
    .alloc = alloc,
    .prepare = cuda_prepare,
    .unload = unload,
    .write = copy_in,
    .read = copy_out,
    .launch = cuda_launch,
    .start = cuda_start,
    .finish = cuda_finish,
    .close = close_device,
};
