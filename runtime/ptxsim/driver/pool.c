/* Memory pools and allocation in a stream's order, which is that of the calls: nothing is held
 * back. */
#include "driver.h"
#include <stdlib.h>

static struct pool *pool_new(struct device *d)
{
    struct pool *p = calloc(1, sizeof *p);
    if (!p || !object_add(&p->o, KIND_POOL, NULL)) {
        free(p);
        return NULL;
    }
    p->device = d;
    for (int i = 0; i < 3; i++)
        p->reuse[i] = 1;
    return p;
}

CUresult pools_open(struct device *d)
{
    d->pool = d->default_pool = pool_new(d);
    if (!d->pool)
        return CUDA_ERROR_OUT_OF_MEMORY;
    d->pool->default_of_device = true;
    return CUDA_SUCCESS;
}

static CUresult device_pool(CUmemoryPool *pool, CUdevice device, bool the_default)
{
    struct device *d = device_get(device);
    if (!pool)
        return CUDA_ERROR_INVALID_VALUE;
    if (!d)
        return CUDA_ERROR_INVALID_DEVICE;
    *pool = (the_default ? d->default_pool : d->pool)->o.handle;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device)
{
    ENTER(NEED_INIT);
    return device_pool(pool, device, true);
}

CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice device)
{
    ENTER(NEED_INIT);
    return device_pool(pool, device, false);
}

CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool handle)
{
    ENTER(NEED_INIT);
    struct device *d = device_get(device);
    struct pool *p = object_get(KIND_POOL, handle);
    if (!d)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!p || p->device != d)
        return CUDA_ERROR_INVALID_VALUE;
    d->pool = p;
    return CUDA_SUCCESS;
}

CUresult cuMemPoolCreate(CUmemoryPool *handle, const CUmemPoolProps *p)
{
    ENTER(NEED_INIT);
    if (!handle || !p || p->allocType != 1 || p->location.type != 1)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(p->location.id))
        return CUDA_ERROR_INVALID_DEVICE;
    if (p->handleTypes)
        return not_simulated("cuMemPoolCreate", "memory cannot be shared between processes");
    struct pool *pool = pool_new(device_get(p->location.id));
    if (!pool)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pool->max = p->maxSize;
    *handle = pool->o.handle;
    return CUDA_SUCCESS;
}

CUresult cuMemPoolDestroy(CUmemoryPool handle)
{
    ENTER(NEED_INIT);
    struct pool *p = object_get(KIND_POOL, handle);
    if (!p || p->default_of_device)
        return CUDA_ERROR_INVALID_VALUE;
    if (p->device->pool == p)
        p->device->pool = p->device->default_pool;
    memory_forget_pool(p);
    object_remove(&p->o);
    free(p);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolTrimTo(CUmemoryPool handle, size_t keep)
{
    ENTER(NEED_INIT);
    (void)keep; /* nothing is held back */
    return object_get(KIND_POOL, handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemPoolSetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
    ENTER(NEED_INIT);
    struct pool *p = object_get(KIND_POOL, handle);
    if (!p || !value)
        return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        p->reuse[attribute - 1] = *(const int *)value;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        p->threshold = *(const cuuint64_t *)value;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        if (*(const cuuint64_t *)value)
            return CUDA_ERROR_INVALID_VALUE;
        p->high = p->used;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemPoolGetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
    ENTER(NEED_INIT);
    struct pool *p = object_get(KIND_POOL, handle);
    if (!p || !value)
        return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        *(int *)value = p->reuse[attribute - 1];
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        *(cuuint64_t *)value = p->threshold;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH: *(cuuint64_t *)value = p->high; return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT: *(cuuint64_t *)value = p->used; return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemPoolSetAccess(CUmemoryPool handle, const CUmemAccessDesc *access, size_t n)
{
    ENTER(NEED_INIT);
    struct pool *p = object_get(KIND_POOL, handle);
    if (!p || (n && !access))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++) {
        if (access[i].location.type != 1 || !device_get(access[i].location.id))
            return CUDA_ERROR_INVALID_VALUE;
        if (access[i].location.id != p->device->ordinal && access[i].flags)
            return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
    }
    return CUDA_SUCCESS;
}

CUresult cuMemPoolGetAccess(int *flags, CUmemoryPool handle, CUmemLocation *location)
{
    ENTER(NEED_INIT);
    struct pool *p = object_get(KIND_POOL, handle);
    if (!p || !flags || !location || location->type != 1 || !device_get(location->id))
        return CUDA_ERROR_INVALID_VALUE;
    *flags = location->id == p->device->ordinal ? 3 : 0;
    return CUDA_SUCCESS;
}

static CUresult pool_memory(struct context *c, CUdeviceptr *at, size_t bytes, struct pool *p,
                            CUstream stream)
{
    struct stream *s;
    CUresult r = stream_get(c, stream, &s);
    if (r)
        return r;
    if (!at || !p || p->device != c->device)
        return CUDA_ERROR_INVALID_VALUE;
    if (s->capture) {
        say("memory nodes of graphs are not simulated: allocate before the capture");
        return capture_refuse(s);
    }
    if (p->max && (p->used > p->max || bytes > p->max - p->used))
        return CUDA_ERROR_OUT_OF_MEMORY;
    uint64_t address = 0;
    r = memory_new(c, MEMORY_POOL, bytes, 0, p, &address);
    if (!r)
        *at = address;
    return r;
}

CUresult cuMemAllocAsync(CUdeviceptr *at, size_t bytes, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return pool_memory(call.context, at, bytes, call.context->device->pool, stream);
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *at, size_t bytes, CUmemoryPool pool, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return pool_memory(call.context, at, bytes, object_get(KIND_POOL, pool), stream);
}

CUresult cuMemFreeAsync(CUdeviceptr at, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r)
        return r;
    if (s->capture)
        return capture_refuse(s);
    return memory_release(at, 1u << MEMORY_POOL | 1u << MEMORY_DEVICE);
}
