/* Contexts: created ones and each device's primary one, and the stack of current contexts that each
 * thread has. A primary context keeps its handle when it ends and begins again, as drivers do. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

#define STACK 128
static _Thread_local CUcontext stack[STACK];
static _Thread_local int depth;

struct context *context_get(CUcontext handle)
{
    struct context *c = object_get(KIND_CONTEXT, handle);
    return c && c->active ? c : NULL;
}

struct context *context_current(void) { return depth ? context_get(stack[depth - 1]) : NULL; }

bool context_current_stale(void) { return depth && stack[depth - 1]; }

static CUresult push(CUcontext handle)
{
    if (depth == STACK)
        return CUDA_ERROR_OUT_OF_MEMORY;
    stack[depth++] = handle;
    return CUDA_SUCCESS;
}

/* The top is replaced; without one it is pushed. */
CUresult context_set_current(struct context *c)
{
    if (depth && c)
        stack[depth - 1] = c->o.handle;
    else if (depth)
        depth--;
    else if (c)
        return push(c->o.handle);
    return CUDA_SUCCESS;
}

/* ---- beginning and end ---- */

static CUresult start(struct context *c)
{
    static uint64_t ids;
    static const size_t limits[LIMITS] = {
        [CU_LIMIT_STACK_SIZE] = 1024,
        [CU_LIMIT_PRINTF_FIFO_SIZE] = 1 << 20,
        [CU_LIMIT_MALLOC_HEAP_SIZE] = 8 << 20,
        [CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH] = 2,
        [CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT] = 2048,
        [CU_LIMIT_MAX_L2_FETCH_GRANULARITY] = 64,
    };
    c->id = ++ids;
    c->sticky = CUDA_SUCCESS;
    c->cache = CU_FUNC_CACHE_PREFER_NONE;
    c->bank = CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE;
    memcpy(c->limit, limits, sizeof limits);
    c->legacy = stream_new(c, CU_STREAM_DEFAULT, 0);
    c->active = c->legacy != NULL;
    return c->active ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

void objects_end(struct context *c)
{
    while (c->objects) {
        struct object *o = c->objects;
        switch (o->kind) {
        case KIND_STREAM: stream_end((struct stream *)o); break;
        case KIND_EVENT: event_end((struct event *)o); break;
        case KIND_MODULE: module_end((struct module *)o); break;
        case KIND_FUNCTION: function_end((struct function *)o); break;
        case KIND_NONE:
        case KIND_CONTEXT:
        case KIND_LIBRARY:
        case KIND_KERNEL:
        case KIND_GRAPH:
        case KIND_NODE:
        case KIND_EXEC:
        case KIND_POOL:
        case KIND_LINK:
        case KIND_USER:
        case KIND_BLAS:
        case KIND_BLAS_LT:
            object_remove(o); /* not of contexts */
            break;
        }
    }
}

static void stop(struct context *c)
{
    c->active = false;
    objects_end(c);
    c->legacy = NULL;
    memory_end(c);
}

static CUresult create(CUcontext *handle, unsigned flags, CUdevice ordinal)
{
    struct device *d = device_get(ordinal);
    if (!handle || flags & ~(unsigned)CU_CTX_FLAGS_MASK)
        return CUDA_ERROR_INVALID_VALUE;
    if (!d)
        return CUDA_ERROR_INVALID_DEVICE;
    struct context *c = calloc(1, sizeof *c);
    if (!c)
        return CUDA_ERROR_OUT_OF_MEMORY;
    c->device = d;
    c->flags = flags;
    CUresult r = object_add(&c->o, KIND_CONTEXT, NULL) ? start(c) : CUDA_ERROR_OUT_OF_MEMORY;
    if (!r)
        r = push(c->o.handle);
    if (r) {
        if (c->active)
            stop(c);
        object_remove(&c->o);
        free(c);
        return r;
    }
    *handle = c->o.handle;
    return CUDA_SUCCESS;
}

CUresult cuCtxCreate_v2(CUcontext *handle, unsigned flags, CUdevice device)
{
    ENTER(NEED_INIT);
    return create(handle, flags, device);
}

CUresult cuCtxCreate_v3(CUcontext *handle, void *affinity, int count, unsigned flags,
                        CUdevice device)
{
    ENTER(NEED_INIT);
    if (affinity || count)
        return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
    return create(handle, flags, device);
}

CUresult cuCtxCreate_v4(CUcontext *handle, CUctxCreateParams *p, unsigned flags, CUdevice device)
{
    ENTER(NEED_INIT);
    if (p && p->cigParams)
        return not_simulated("cuCtxCreate", "graphics contexts are not simulated");
    if (p && p->numExecAffinityParams)
        return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
    return create(handle, flags, device);
}

CUresult cuCtxDestroy_v2(CUcontext handle)
{
    ENTER(NEED_INIT);
    struct context *c = object_get(KIND_CONTEXT, handle);
    if (!handle)
        return CUDA_ERROR_INVALID_VALUE;
    if (!c || c->primary)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (depth && stack[depth - 1] == handle)
        depth--;
    stop(c);
    object_remove(&c->o);
    free(c);
    return CUDA_SUCCESS;
}

CUresult cuCtxDetach(CUcontext handle) { return cuCtxDestroy_v2(handle); }

/* ---- the primary context ---- */

/* Made once; it becomes active when it is retained, and keeps its flags while it is not. */
static struct context *primary(struct device *d)
{
    if (d->primary)
        return d->primary;
    struct context *c = calloc(1, sizeof *c);
    if (!c || !object_add(&c->o, KIND_CONTEXT, NULL)) {
        free(c);
        return NULL;
    }
    c->device = d;
    c->primary = true;
    d->primary = c;
    return c;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *handle, CUdevice device)
{
    ENTER(NEED_INIT);
    struct device *d = device_get(device);
    if (!handle)
        return CUDA_ERROR_INVALID_VALUE;
    if (!d)
        return CUDA_ERROR_INVALID_DEVICE;
    struct context *c = primary(d);
    if (!c)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult r = c->active ? CUDA_SUCCESS : start(c);
    if (r)
        return r;
    c->references++;
    *handle = c->o.handle;
    return c->sticky;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    ENTER(NEED_INIT);
    struct device *d = device_get(device);
    if (!d)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!d->primary || !d->primary->references)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!--d->primary->references && d->primary->active)
        stop(d->primary);
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice device)
{
    ENTER(NEED_INIT);
    struct device *d = device_get(device);
    if (!d)
        return CUDA_ERROR_INVALID_DEVICE;
    if (d->primary && d->primary->active) {
        stop(d->primary);
        if (d->primary->references)
            return start(d->primary);
    }
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags)
{
    ENTER(NEED_INIT);
    struct device *d = device_get(device);
    if (!d)
        return CUDA_ERROR_INVALID_DEVICE;
    if (flags & ~(unsigned)CU_CTX_FLAGS_MASK)
        return CUDA_ERROR_INVALID_VALUE;
    struct context *c = primary(d);
    if (!c)
        return CUDA_ERROR_OUT_OF_MEMORY;
    c->flags = flags;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active)
{
    ENTER(NEED_INIT);
    struct device *d = device_get(device);
    if (!flags || !active)
        return CUDA_ERROR_INVALID_VALUE;
    if (!d)
        return CUDA_ERROR_INVALID_DEVICE;
    *flags = d->primary ? d->primary->flags : 0;
    *active = d->primary && d->primary->active;
    return CUDA_SUCCESS;
}

/* ---- the stack ---- */

CUresult cuCtxPushCurrent_v2(CUcontext handle)
{
    ENTER(NEED_INIT);
    if (!handle)
        return CUDA_ERROR_INVALID_VALUE;
    return context_get(handle) ? push(handle) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuCtxPopCurrent_v2(CUcontext *handle)
{
    ENTER(NEED_INIT);
    if (!depth)
        return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    if (handle)
        *handle = stack[depth];
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext handle)
{
    ENTER(NEED_INIT);
    struct context *c = context_get(handle);
    if (handle && !c)
        return CUDA_ERROR_INVALID_CONTEXT;
    return context_set_current(c);
}

CUresult cuCtxGetCurrent(CUcontext *handle)
{
    ENTER(NEED_INIT);
    if (!handle)
        return CUDA_ERROR_INVALID_VALUE;
    *handle = depth ? stack[depth - 1] : NULL;
    return CUDA_SUCCESS;
}

CUresult cuCtxAttach(CUcontext *handle, unsigned flags)
{
    ENTER(NEED_CONTEXT);
    if (!handle || flags)
        return CUDA_ERROR_INVALID_VALUE;
    *handle = call.context->o.handle;
    return CUDA_SUCCESS;
}

/* ---- queries ---- */

CUresult cuCtxGetDevice(CUdevice *device)
{
    ENTER(NEED_INIT);
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    if (!call.context)
        return CUDA_ERROR_INVALID_CONTEXT;
    *device = call.context->device->ordinal;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice_v2(CUdevice *device, CUcontext handle)
{
    ENTER(NEED_INIT);
    struct context *c = handle ? context_get(handle) : call.context;
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    *device = c->device->ordinal;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetFlags(unsigned *flags)
{
    ENTER(NEED_CONTEXT);
    if (!flags)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = call.context->flags;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetFlags(unsigned flags)
{
    ENTER(NEED_CONTEXT);
    if (flags & ~(unsigned)CU_CTX_FLAGS_MASK)
        return CUDA_ERROR_INVALID_VALUE;
    call.context->flags = flags;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetId(CUcontext handle, unsigned long long *id)
{
    ENTER(NEED_INIT);
    struct context *c = handle ? context_get(handle) : call.context;
    if (!id)
        return CUDA_ERROR_INVALID_VALUE;
    if (!c)
        return handle ? CUDA_ERROR_CONTEXT_IS_DESTROYED : CUDA_ERROR_INVALID_CONTEXT;
    *id = c->id;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetApiVersion(CUcontext handle, unsigned *version)
{
    ENTER(NEED_INIT);
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    if (handle ? !context_get(handle) : !call.context)
        return CUDA_ERROR_INVALID_CONTEXT;
    *version = 3020;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    ENTER(NEED_CONTEXT);
    if (least)
        *least = 0;
    if (greatest)
        *greatest = -5;
    return CUDA_SUCCESS;
}

static bool limit_known(CUlimit limit, const struct context *c)
{
    switch (limit) {
    case CU_LIMIT_STACK_SIZE:
    case CU_LIMIT_PRINTF_FIFO_SIZE:
    case CU_LIMIT_MALLOC_HEAP_SIZE:
    case CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT:
    case CU_LIMIT_MAX_L2_FETCH_GRANULARITY:
    case CU_LIMIT_PERSISTING_L2_CACHE_SIZE: return true;
    case CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH: return c->device->chip->major < 9;
    case CU_LIMIT_SHMEM_SIZE:
    case CU_LIMIT_CIG_ENABLED:
    case CU_LIMIT_CIG_SHMEM_FALLBACK_ENABLED:
    case CU_LIMIT_MAX: return false;
    }
    return false;
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value)
{
    ENTER(NEED_CONTEXT);
    if (limit >= CU_LIMIT_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    if (!limit_known(limit, call.context))
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    call.context->limit[limit] = value;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetLimit(size_t *value, CUlimit limit)
{
    ENTER(NEED_CONTEXT);
    if (!value || limit >= CU_LIMIT_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    if (!limit_known(limit, call.context))
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    *value = call.context->limit[limit];
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCacheConfig(CUfunc_cache *config)
{
    ENTER(NEED_CONTEXT);
    if (!config)
        return CUDA_ERROR_INVALID_VALUE;
    *config = call.context->cache;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCacheConfig(CUfunc_cache config)
{
    ENTER(NEED_CONTEXT);
    if (config > CU_FUNC_CACHE_PREFER_EQUAL)
        return CUDA_ERROR_INVALID_VALUE;
    call.context->cache = config;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetSharedMemConfig(CUsharedconfig *config)
{
    ENTER(NEED_CONTEXT);
    if (!config)
        return CUDA_ERROR_INVALID_VALUE;
    *config = call.context->bank;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetSharedMemConfig(CUsharedconfig config)
{
    ENTER(NEED_CONTEXT);
    if (config > CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE)
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS; /* a hint that chips since Maxwell do not follow */
}

CUresult cuCtxResetPersistingL2Cache(void)
{
    ENTER(NEED_CONTEXT);
    return CUDA_SUCCESS;
}

/* Everything that was asked for is done already. */
CUresult cuCtxSynchronize(void)
{
    ENTER(NEED_CONTEXT);
    return capture_unsafe(call.context);
}

CUresult cuCtxSynchronize_v2(CUcontext handle)
{
    ENTER(NEED_INIT);
    struct context *c = handle ? context_get(handle) : call.context;
    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    return c->sticky ? c->sticky : capture_unsafe(c);
}
