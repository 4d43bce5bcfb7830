/* Launches: what the chip, the kernel's directives and the function's attributes allow, parameters
 * packed from pointers or from a buffer, and the run; and how many blocks a multiprocessor would
 * hold. */
#include "driver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- checking and packing ---- */

static CUresult limits(const struct function *f, const struct launch *l)
{
    static const uint32_t grid[3] = {2147483647, 65535, 65535}, block[3] = {1024, 1024, 64};
    const struct sim_kernel_facts *k = f->facts;
    const struct sim_chip *chip = f->o.context->device->chip;
    uint64_t threads = 1;
    for (int i = 0; i < 3; i++) {
        if (!l->grid[i] || l->grid[i] > grid[i] || !l->block[i] || l->block[i] > block[i])
            return CUDA_ERROR_INVALID_VALUE;
        threads *= l->block[i];
    }
    if (threads > 1024)
        return CUDA_ERROR_INVALID_VALUE;
    if (k->required[0])
        for (int i = 0; i < 3; i++)
            if (l->block[i] != (k->required[i] ? k->required[i] : 1))
                return CUDA_ERROR_INVALID_VALUE;
    if (threads > k->max_threads)
        return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    if (l->shared > f->dynamic)
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t warps = (threads + 31) / 32;
    if (warps * ((k->registers * 32 + 255) / 256 * 256) > chip->regs_block)
        return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    return CUDA_SUCCESS;
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

/* Registers are given to warps by 256, shared memory to blocks by 128 bytes, with 1 KB of the
 * system's. */
static int active_blocks(const struct function *f, uint64_t threads, uint64_t dynamic)
{
    const struct sim_chip *chip = f->o.context->device->chip;
    const struct sim_kernel_facts *k = f->facts;
    if (threads > k->max_threads || dynamic + k->shared_static > chip->shared_optin)
        return 0;
    uint64_t warps = (threads + 31) / 32;
    uint64_t n = least(chip->blocks_sm, chip->threads_sm / 32 / warps);
    uint64_t warp_registers = round_up((uint64_t)k->registers * 32, 256);
    if (warp_registers)
        n = least(n, chip->regs_sm / warp_registers / warps);
    uint64_t shared = round_up(k->shared_static + dynamic + (chip->major >= 8 ? 1024 : 0), 128);
    return (int)(shared ? least(n, chip->shared_sm / shared) : n);
}

CUresult cooperative_fits(const struct function *f, const uint32_t *grid, const uint32_t *block,
                          uint32_t shared)
{
    uint64_t blocks = (uint64_t)grid[0] * grid[1] * grid[2];
    uint64_t threads = (uint64_t)block[0] * block[1] * block[2];
    uint64_t each = (uint64_t)active_blocks(f, threads, shared);
    return blocks <= each * f->o.context->device->chip->sms
               ? CUDA_SUCCESS
               : CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
}

enum { PORTABLE_CLUSTER = 8, LARGEST_CLUSTER = 16, SMS_TOGETHER = 16 };

/* The blocks of a cluster: as the launch says, or was set for the function, or the kernel's text
 * says; 0: nobody says. */
static CUresult cluster_of(const struct function *f, const uint32_t *given, const uint32_t *grid,
                           uint32_t *cluster)
{
    const struct sim_kernel_facts *k = f->facts;
    const uint32_t *from = given[0] ? given : f->cluster[0] ? f->cluster : k->cluster;
    uint32_t most = f->nonportable ? LARGEST_CLUSTER : PORTABLE_CLUSTER, size = 1;
    memset(cluster, 0, 3 * sizeof *cluster);
    if (!from[0])
        return k->explicit_cluster ? CUDA_ERROR_INVALID_CLUSTER_SIZE : CUDA_SUCCESS;
    most = k->max_cluster && k->max_cluster < most ? k->max_cluster : most;
    for (int i = 0; i < 3; i++) {
        if (!from[i] || from[i] > most || grid[i] % from[i] ||
            (k->cluster[0] && k->cluster[i] != from[i]))
            return CUDA_ERROR_INVALID_CLUSTER_SIZE;
        size *= cluster[i] = from[i];
    }
    bool ok = size <= most && (size == 1 || f->o.context->device->chip->major >= 9);
    return ok ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CLUSTER_SIZE;
}

CUresult launch_cluster(const struct function *f, const uint32_t *given, struct op_kernel *k)
{
    uint32_t cluster[3];
    CUresult r = cluster_of(f, given, k->grid, cluster);
    if (!r)
        memcpy(k->cluster, cluster, sizeof cluster);
    return r;
}

/* `extra` is a list of names and values up to CU_LAUNCH_PARAM_END. */
static CUresult from_buffer(const struct sim_kernel_facts *k, void **extra, void *params)
{
    const void *buffer = NULL;
    const size_t *bytes = NULL;
    for (int i = 0; extra[i] != CU_LAUNCH_PARAM_END; i += 2) {
        if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER)
            buffer = extra[i + 1];
        else if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE)
            bytes = extra[i + 1];
        else
            return CUDA_ERROR_INVALID_VALUE;
    }
    if (!k->param_bytes)
        return CUDA_SUCCESS;
    if (!buffer || !bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (*bytes < k->param_bytes || *bytes > ((size_t)k->param_bytes + 15) / 16 * 16) {
        say("launch of %s: its parameters are %u bytes, the buffer has %zu", k->name,
            k->param_bytes, *bytes);
        return CUDA_ERROR_INVALID_VALUE;
    }
    memcpy(params, buffer, k->param_bytes);
    return CUDA_SUCCESS;
}

static CUresult from_pointers(const struct sim_kernel_facts *k, void **given, char *params)
{
    for (uint32_t i = 0; i < k->param_count; i++) {
        if (!given || !given[i]) {
            say("launch of %s: no pointer to parameter %u", k->name, i);
            return CUDA_ERROR_INVALID_VALUE;
        }
        memcpy(params + k->param[i].offset, given[i], k->param[i].bytes);
    }
    return CUDA_SUCCESS;
}

static CUresult pack(const struct sim_kernel_facts *k, const struct launch *l, struct op_kernel *to)
{
    if (l->params && l->extra)
        return CUDA_ERROR_INVALID_VALUE;
    to->param_count = k->param_count;
    to->param_bytes = k->param_bytes;
    to->params = calloc(1, (size_t)k->param_bytes + 1);
    to->pointers = calloc((size_t)k->param_count + 1, sizeof *to->pointers);
    if (!to->params || !to->pointers)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < k->param_count; i++)
        to->pointers[i] = (char *)to->params + k->param[i].offset;
    return l->extra ? from_buffer(k, l->extra, to->params)
                    : from_pointers(k, l->params, to->params);
}

CUresult launch_op(struct context *c, const struct launch *l, struct op *op)
{
    struct function *f = function_get(c, l->function);
    *op = (struct op){.kind = OP_KERNEL, .context = c, .context_handle = c->o.handle};
    if (!f)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = function_runs(f);
    if (!r)
        r = limits(f, l);
    if (!r && l->cooperative)
        r = cooperative_fits(f, l->grid, l->block, l->shared);
    if (!r)
        r = pack(f->facts, l, &op->kernel);
    if (r) {
        op_free(op);
        return r;
    }
    op->kernel.function = f;
    op->kernel.handle = f->o.handle;
    op->kernel.shared = l->shared;
    op->kernel.cooperative = l->cooperative;
    memcpy(op->kernel.grid, l->grid, sizeof l->grid);
    memcpy(op->kernel.block, l->block, sizeof l->block);
    r = launch_cluster(f, l->cluster, &op->kernel);
    if (r)
        op_free(op);
    return r;
}

/* ---- running, without the lock ---- */

/* While kernels run the simulator's table of allocations stays as it is. */
static unsigned running;

void launches_done(void)
{
    while (running)
        lock_wait();
}

static struct {
    bool unchecked;
    uint64_t limit;
} settings;

static void read_settings(void)
{
    settings.unchecked = !setting_on("NN_SIM_CHECK", true);
    settings.limit = setting_number("NN_SIM_LIMIT", 0);
}

static void print(const char *text, size_t bytes) { fwrite(text, 1, bytes, stdout); }

/* A fault shows as hardware's do: the launch succeeded, the context's next call fails; with
 * CUDA_LAUNCH_BLOCKING the launch itself does. */
CUresult launch_run(struct context *c, const struct op_kernel *k)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_settings);
    struct sim_launch l = {
        .grid = {k->grid[0], k->grid[1], k->grid[2]},
        .block = {k->block[0], k->block[1], k->block[2]},
        .cluster = {k->cluster[0], k->cluster[1], k->cluster[2]},
        .shared = k->shared,
        .params = k->params,
        .unchecked = settings.unchecked,
        .limit = settings.limit,
        .cooperative = k->cooperative,
        .print = print,
        .shared_allowed = c->device->chip->shared_optin,
    };
    struct sim_counters counters = {0};
    struct sim_fault fault = {0};
    bool count = counting();
    lock_acquire();
    running++;
    lock_release();
    enum sim_status s =
        sim_run(c->device->sim, k->function->sim, &l, count ? &counters : NULL, &fault);
    lock_acquire();
    running--;
    lock_signal();
    lock_release();
    if (count)
        report_counters(k->function->facts->name, &counters);
    if (s != SIM_FAULT)
        return from_status(s);
    report_fault(c, &fault);
    return setting_on("CUDA_LAUNCH_BLOCKING", false) ? c->sticky : CUDA_SUCCESS;
}

/* ---- the API ---- */

static CUresult launch(struct context *c, const struct launch *l, CUstream stream)
{
    struct stream *s;
    struct op op;
    CUresult r = stream_get(c, stream, &s);
    if (!r && s->o.context != c)
        r = CUDA_ERROR_INVALID_HANDLE;
    if (!r)
        r = launch_op(c, l, &op);
    if (r)
        return r;
    r = stream_submit(s, &op);
    op_free(&op);
    return r;
}

CUresult cuLaunchKernel(CUfunction f, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                        unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                        CUstream stream, void **params, void **extra)
{
    ENTER(NEED_CONTEXT);
    struct launch l = {
        f,    {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, {0}, shared, params, extra,
        false};
    return launch(call.context, &l, stream);
}

CUresult cuLaunchCooperativeKernel(CUfunction f, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                   unsigned block_x, unsigned block_y, unsigned block_z,
                                   unsigned shared, CUstream stream, void **params)
{
    ENTER(NEED_CONTEXT);
    struct launch l = {
        f, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, {0}, shared, params, NULL, true};
    return launch(call.context, &l, stream);
}

/* Hints are without effect, what changes the launch's meaning is refused. */
static CUresult launch_attribute(struct launch *l, const CUlaunchAttribute *a)
{
    switch (a->id) {
    case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
        l->cooperative = a->value.cooperative != 0;
        return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
        l->cluster[0] = a->value.clusterDim.x;
        l->cluster[1] = a->value.clusterDim.y;
        l->cluster[2] = a->value.clusterDim.z;
        return l->cluster[0] && l->cluster[1] && l->cluster[2] ? CUDA_SUCCESS
                                                               : CUDA_ERROR_INVALID_CLUSTER_SIZE;
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
    case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
        return not_simulated("cuLaunchKernelEx", "events within a launch are not simulated");
    case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
        return not_simulated("cuLaunchKernelEx",
                             "graph nodes that kernels change are not simulated");
    case CU_LAUNCH_ATTRIBUTE_IGNORE:
    case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
    case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
    case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
    case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
    case CU_LAUNCH_ATTRIBUTE_NVLINK_UTIL_CENTRIC_SCHEDULING: return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

static CUresult launch_from(struct launch *l, const CUlaunchConfig *config, CUfunction f)
{
    if (!config || (config->numAttrs && !config->attrs))
        return CUDA_ERROR_INVALID_VALUE;
    *l = (struct launch){.function = f,
                         .grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
                         .block = {config->blockDimX, config->blockDimY, config->blockDimZ},
                         .shared = config->sharedMemBytes};
    CUresult r = CUDA_SUCCESS;
    for (unsigned i = 0; !r && i < config->numAttrs; i++)
        r = launch_attribute(l, &config->attrs[i]);
    return r;
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction f, void **params, void **extra)
{
    ENTER(NEED_CONTEXT);
    struct launch l;
    CUresult r = launch_from(&l, config, f);
    l.params = params;
    l.extra = extra;
    return r ? r : launch(call.context, &l, config->hStream);
}

/* ---- occupancy ---- */

static CUresult occupancy(struct context *c, int *blocks, CUfunction function, int threads,
                          size_t dynamic, unsigned flags)
{
    struct function *f = function_get(c, function);
    if (!blocks || threads <= 0 || flags > CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE)
        return CUDA_ERROR_INVALID_VALUE;
    if (!f)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = function_runs(f);
    if (r)
        return r;
    *blocks = active_blocks(f, (uint64_t)threads, dynamic);
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction f, int threads,
                                                     size_t dynamic)
{
    ENTER(NEED_CONTEXT);
    return occupancy(call.context, blocks, f, threads, dynamic, 0);
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, CUfunction f,
                                                              int threads, size_t dynamic,
                                                              unsigned flags)
{
    ENTER(NEED_CONTEXT);
    return occupancy(call.context, blocks, f, threads, dynamic, flags);
}

/* The size that keeps most threads of a multiprocessor busy, the largest of equals. */
static CUresult best_block(struct context *c, int *grid, int *block, CUfunction function,
                           CUoccupancyB2DSize dynamic_of, size_t dynamic, int limit, unsigned flags)
{
    struct function *f = function_get(c, function);
    if (!grid || !block || limit < 0 || flags > CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE)
        return CUDA_ERROR_INVALID_VALUE;
    if (!f)
        return CUDA_ERROR_INVALID_HANDLE;
    int most = (int)f->facts->max_threads, best = 0;
    most = limit && limit < most ? limit : most;
    for (int n = most; n > 0; n = (n - 1) / 32 * 32) {
        int blocks = active_blocks(f, (uint64_t)n, dynamic_of ? dynamic_of(n) : dynamic);
        if (blocks * n > best) {
            best = blocks * n;
            *block = n;
            *grid = blocks * (int)c->device->chip->sms;
        }
    }
    return best ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuOccupancyMaxPotentialBlockSize(int *grid, int *block, CUfunction f,
                                          CUoccupancyB2DSize dynamic_of, size_t dynamic, int limit)
{
    ENTER(NEED_CONTEXT);
    return best_block(call.context, grid, block, f, dynamic_of, dynamic, limit, 0);
}

CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int *grid, int *block, CUfunction f,
                                                   CUoccupancyB2DSize dynamic_of, size_t dynamic,
                                                   int limit, unsigned flags)
{
    ENTER(NEED_CONTEXT);
    return best_block(call.context, grid, block, f, dynamic_of, dynamic, limit, flags);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t *bytes, CUfunction function, int blocks,
                                                 int threads)
{
    ENTER(NEED_CONTEXT);
    struct function *f = function_get(call.context, function);
    if (!bytes || blocks <= 0 || threads <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!f)
        return CUDA_ERROR_INVALID_HANDLE;
    const struct sim_chip *chip = call.context->device->chip;
    uint64_t each = chip->shared_sm / (uint64_t)blocks / 128 * 128;
    uint64_t taken = f->facts->shared_static + (chip->major >= 8 ? 1024u : 0u);
    *bytes = each > taken ? least(each - taken, chip->shared_optin - f->facts->shared_static) : 0;
    return CUDA_SUCCESS;
}

/* A cluster lies within a group of multiprocessors, which is taken to have 16. */
static uint64_t active_clusters(const struct function *f, const struct launch *l, uint64_t size)
{
    uint64_t threads = (uint64_t)l->block[0] * l->block[1] * l->block[2];
    uint64_t each = threads ? (uint64_t)active_blocks(f, threads, l->shared) : 0;
    uint64_t sms = f->o.context->device->chip->sms;
    return each * least(sms, SMS_TOGETHER) / size * (sms > SMS_TOGETHER ? sms / SMS_TOGETHER : 1);
}

CUresult cuOccupancyMaxActiveClusters(int *clusters, CUfunction function,
                                      const CUlaunchConfig *config)
{
    ENTER(NEED_CONTEXT);
    struct function *f = function_get(call.context, function);
    struct launch l;
    uint32_t c[3];
    CUresult r = clusters ? launch_from(&l, config, function) : CUDA_ERROR_INVALID_VALUE;
    if (r)
        return r;
    if (!f)
        return CUDA_ERROR_INVALID_HANDLE;
    if ((r = function_runs(f)) || (r = cluster_of(f, l.cluster, l.grid, c)))
        return r;
    *clusters = (int)active_clusters(f, &l, c[0] ? (uint64_t)c[0] * c[1] * c[2] : 1);
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxPotentialClusterSize(int *size, CUfunction function,
                                            const CUlaunchConfig *config)
{
    ENTER(NEED_CONTEXT);
    struct function *f = function_get(call.context, function);
    struct launch l;
    CUresult r = size ? launch_from(&l, config, function) : CUDA_ERROR_INVALID_VALUE;
    if (r)
        return r;
    if (!f)
        return CUDA_ERROR_INVALID_HANDLE;
    if ((r = function_runs(f)))
        return r;
    uint64_t n = call.context->device->chip->major < 9 ? 1
                 : f->nonportable                      ? LARGEST_CLUSTER
                                                       : PORTABLE_CLUSTER;
    while (n > 1 && !active_clusters(f, &l, n))
        n /= 2;
    *size = (int)n;
    return CUDA_SUCCESS;
}
