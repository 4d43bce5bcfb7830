/* Allocations: device, pinned, registered and managed memory, stream-ordered pools; and what may be
 * asked about a pointer. The table of them, sorted by address, knows what the simulator does not:
 * whose they are. Managed memory is host memory that every device may touch. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

static struct memory *table;
static size_t count, room;

/* The first that ends behind `at`. */
static size_t place(uint64_t at)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table[middle].at + table[middle].bytes > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

struct memory *memory_find(uint64_t at)
{
    size_t i = place(at);
    return i < count && table[i].at <= at ? &table[i] : NULL;
}

static bool insert(const struct memory *m)
{
    if (count == room) {
        size_t n = room ? room * 2 : 64;
        struct memory *grown = realloc(table, n * sizeof *grown);
        if (!grown)
            return false;
        table = grown;
        room = n;
    }
    size_t i = place(m->at);
    memmove(table + i + 1, table + i, (count - i) * sizeof *table);
    table[i] = *m;
    count++;
    return true;
}

/* Host memory is reachable from every device. */
static enum sim_status map_everywhere(void *p, uint64_t bytes, uint32_t kind)
{
    for (int i = 0; i < device_count; i++) {
        enum sim_status s = sim_map_host(devices[i].sim, p, bytes, kind);
        if (s != SIM_OK) {
            while (i-- > 0)
                sim_unmap_host(devices[i].sim, p);
            return s;
        }
    }
    return SIM_OK;
}

static void unmap_everywhere(void *p)
{
    for (int i = 0; i < device_count; i++)
        sim_unmap_host(devices[i].sim, p);
}

bool memory_of_host(uint32_t kind)
{
    return kind == MEMORY_HOST || kind == MEMORY_REGISTERED || kind == MEMORY_MANAGED;
}

/* What stands behind an allocation of the kind; *at is given for registered memory. */
static enum sim_status back(struct context *c, uint32_t kind, uint64_t bytes, uint64_t *at)
{
    if (!memory_of_host(kind))
        return sim_alloc(c->device->sim, bytes, kind, at);
    void *p = (void *)(uintptr_t)*at;
    if (kind != MEMORY_REGISTERED &&
        (bytes > SIZE_MAX / 2 || posix_memalign(&p, 4096, (size_t)bytes)))
        return SIM_NO_MEMORY;
    enum sim_status s = map_everywhere(p, bytes, kind);
    if (s != SIM_OK && kind != MEMORY_REGISTERED)
        free(p);
    *at = (uint64_t)(uintptr_t)p;
    return s;
}

static void unback(const struct memory *m)
{
    void *p = (void *)(uintptr_t)m->at;
    if (!memory_of_host(m->kind)) {
        sim_free(m->context->device->sim, m->at);
        return;
    }
    unmap_everywhere(p);
    if (m->kind != MEMORY_REGISTERED)
        free(p);
}

CUresult memory_new(struct context *c, uint32_t kind, uint64_t bytes, unsigned flags,
                    struct pool *pool, uint64_t *at)
{
    static uint64_t ids;
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    launches_done();
    enum sim_status s = back(c, kind, bytes, at);
    if (s != SIM_OK)
        return from_status(s);
    struct memory m = {.at = *at,
                       .bytes = bytes,
                       .id = ++ids,
                       .kind = kind,
                       .flags = flags,
                       .context = c,
                       .pool = pool};
    if (!insert(&m)) {
        unback(&m);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (pool) {
        pool->used += bytes;
        pool->high = pool->used > pool->high ? pool->used : pool->high;
    }
    return CUDA_SUCCESS;
}

static void drop(size_t i)
{
    if (table[i].pool)
        table[i].pool->used -= table[i].bytes;
    unback(&table[i]);
    memmove(table + i, table + i + 1, (count - i - 1) * sizeof *table);
    count--;
}

CUresult memory_release(uint64_t at, unsigned kinds)
{
    launches_done();
    struct memory *m = memory_find(at);
    if (!m || m->at != at || !(kinds >> m->kind & 1))
        return CUDA_ERROR_INVALID_VALUE;
    drop((size_t)(m - table));
    return CUDA_SUCCESS;
}

void memory_forget_pool(const struct pool *p)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].pool == p)
            table[i].pool = NULL;
}

size_t memory_alive(uint64_t *bytes)
{
    *bytes = 0;
    for (size_t i = 0; i < count; i++)
        *bytes += table[i].bytes;
    return count;
}

size_t nnsim_alive(uint64_t *bytes)
{
    uint64_t sum;
    lock_acquire();
    size_t n = memory_alive(&sum);
    lock_release();
    if (bytes)
        *bytes = sum;
    return n;
}

static void leak(const struct memory *m)
{
    static const char *const names[] = {"", "device", "pinned", "registered", "managed", "pool"};
    say("leak: %llu bytes of %s memory at %#llx (allocation %llu)", (unsigned long long)m->bytes,
        names[m->kind], (unsigned long long)m->at, (unsigned long long)m->id);
}

void memory_end(struct context *c)
{
    bool report = setting_on("NN_SIM_LEAKS", false);
    size_t leaked = 0;
    uint64_t bytes = 0;
    launches_done();
    for (size_t i = count; i-- > 0;) {
        if (table[i].context != c)
            continue;
        if (report)
            leak(&table[i]);
        leaked++;
        bytes += table[i].bytes;
        drop(i);
    }
    if (report && leaked)
        say("leaks of the context: %zu allocations, %llu bytes", leaked, (unsigned long long)bytes);
}

/* At the end of the process, for contexts that have not ended. */
static void leaks_at_exit(void)
{
    uint64_t bytes;
    for (size_t i = 0; i < count; i++)
        leak(&table[i]);
    if (memory_alive(&bytes))
        say("leaks of the process: %zu allocations, %llu bytes", count, (unsigned long long)bytes);
}

void memory_open(void)
{
    if (setting_on("NN_SIM_LEAKS", false))
        atexit(leaks_at_exit);
}

/* ---- device memory ---- */

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
    ENTER(NEED_CONTEXT);
    if (!free_bytes || !total)
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t used, all;
    uint32_t allocations;
    sim_usage(call.context->device->sim, &used, &all, &allocations);
    *free_bytes = used < all ? all - used : 0;
    *total = all;
    return CUDA_SUCCESS;
}

static CUresult device_memory(struct context *c, CUdeviceptr *at, size_t bytes)
{
    CUresult r = capture_unsafe(c);
    if (r)
        return r;
    uint64_t address = 0;
    r = memory_new(c, MEMORY_DEVICE, bytes, 0, NULL, &address);
    if (!r)
        *at = address;
    return r;
}

CUresult cuMemAlloc_v2(CUdeviceptr *at, size_t bytes)
{
    ENTER(NEED_CONTEXT);
    return at ? device_memory(call.context, at, bytes) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *at, size_t *pitch, size_t width, size_t height,
                            unsigned element)
{
    ENTER(NEED_CONTEXT);
    if (!at || !pitch || !width || !height || (element != 4 && element != 8 && element != 16) ||
        width > SIZE_MAX / 2)
        return CUDA_ERROR_INVALID_VALUE;
    size_t row = (width + 511) & ~(size_t)511;
    if (height > SIZE_MAX / row)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult r = device_memory(call.context, at, row * height);
    if (!r)
        *pitch = row;
    return r;
}

CUresult cuMemFree_v2(CUdeviceptr at)
{
    ENTER(NEED_CONTEXT);
    CUresult r = capture_unsafe(call.context);
    return r ? r
             : memory_release(at, 1u << MEMORY_DEVICE | 1u << MEMORY_MANAGED | 1u << MEMORY_POOL);
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *bytes, CUdeviceptr at)
{
    ENTER(NEED_CONTEXT);
    struct memory *m = memory_find(at);
    struct sim_allocation a;
    if (m) {
        a.at = m->at;
        a.bytes = m->bytes;
    } else if (!sim_find(call.context->device->sim, at, &a)) { /* a module's variable */
        return CUDA_ERROR_NOT_FOUND;
    }
    if (base)
        *base = a.at;
    if (bytes)
        *bytes = a.bytes;
    return CUDA_SUCCESS;
}

CUresult cuMemAllocManaged(CUdeviceptr *at, size_t bytes, unsigned flags)
{
    ENTER(NEED_CONTEXT);
    if (!at || (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST))
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = capture_unsafe(call.context);
    uint64_t address = 0;
    if (!r)
        r = memory_new(call.context, MEMORY_MANAGED, bytes, flags, NULL, &address);
    if (!r)
        *at = address;
    return r;
}

/* Hints: there is one memory. */
static CUresult managed_range(CUdeviceptr at, size_t bytes)
{
    struct memory *m = memory_find(at);
    bool inside = m && m->kind == MEMORY_MANAGED && bytes && bytes <= m->at + m->bytes - at;
    return inside ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemAdvise(CUdeviceptr at, size_t bytes, int advice, CUdevice device)
{
    ENTER(NEED_INIT);
    if (device != CU_DEVICE_CPU && !device_get(device))
        return CUDA_ERROR_INVALID_DEVICE;
    return advice >= 1 && advice <= 6 ? managed_range(at, bytes) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemAdvise_v2(CUdeviceptr at, size_t bytes, int advice, CUmemLocation location)
{
    ENTER(NEED_INIT);
    (void)location;
    return advice >= 1 && advice <= 6 ? managed_range(at, bytes) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemPrefetchAsync(CUdeviceptr at, size_t bytes, CUdevice device, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r)
        return r;
    if (device != CU_DEVICE_CPU && !device_get(device))
        return CUDA_ERROR_INVALID_DEVICE;
    return managed_range(at, bytes);
}

CUresult cuMemPrefetchAsync_v2(CUdeviceptr at, size_t bytes, CUmemLocation location, unsigned flags,
                               CUstream stream)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r)
        return r;
    if (flags || (location.type == 1 && !device_get(location.id)))
        return CUDA_ERROR_INVALID_VALUE;
    return managed_range(at, bytes);
}

CUresult cuStreamAttachMemAsync(CUstream stream, CUdeviceptr at, size_t bytes, unsigned flags)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r)
        return r;
    if (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST &&
        flags != CU_MEM_ATTACH_SINGLE)
        return CUDA_ERROR_INVALID_VALUE;
    return managed_range(at, bytes ? bytes : 1);
}

/* ---- host memory ---- */

static CUresult host_memory(struct context *c, void **p, size_t bytes, unsigned flags)
{
    uint64_t address = 0;
    if (!p || flags > 7)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = capture_unsafe(c);
    if (!r)
        r = memory_new(c, MEMORY_HOST, bytes, flags, NULL, &address);
    if (!r)
        *p = (void *)(uintptr_t)address;
    return r;
}

CUresult cuMemAllocHost_v2(void **p, size_t bytes)
{
    ENTER(NEED_CONTEXT);
    return host_memory(call.context, p, bytes, 0);
}

CUresult cuMemHostAlloc(void **p, size_t bytes, unsigned flags)
{
    ENTER(NEED_CONTEXT);
    return host_memory(call.context, p, bytes, flags);
}

CUresult cuMemFreeHost(void *p)
{
    ENTER(NEED_CONTEXT);
    CUresult r = capture_unsafe(call.context);
    return r ? r : memory_release((uint64_t)(uintptr_t)p, 1u << MEMORY_HOST);
}

CUresult cuMemHostRegister_v2(void *p, size_t bytes, unsigned flags)
{
    ENTER(NEED_CONTEXT);
    uint64_t at = (uint64_t)(uintptr_t)p;
    if (!p || !bytes || flags > 15 || bytes > UINT64_MAX - at)
        return CUDA_ERROR_INVALID_VALUE;
    if (flags & CU_MEMHOSTREGISTER_IOMEMORY)
        return CUDA_ERROR_NOT_SUPPORTED;
    size_t i = place(at);
    if (i < count && table[i].at < at + bytes)
        return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    return memory_new(call.context, MEMORY_REGISTERED, bytes, flags, NULL, &at);
}

CUresult cuMemHostUnregister(void *p)
{
    ENTER(NEED_CONTEXT);
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = memory_release((uint64_t)(uintptr_t)p, 1u << MEMORY_REGISTERED);
    return r ? CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED : CUDA_SUCCESS;
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *at, void *p, unsigned flags)
{
    ENTER(NEED_CONTEXT);
    struct memory *m = memory_find((uint64_t)(uintptr_t)p);
    if (!at || flags || !m || (m->kind != MEMORY_HOST && m->kind != MEMORY_REGISTERED))
        return CUDA_ERROR_INVALID_VALUE;
    *at = (CUdeviceptr)(uintptr_t)p;
    return CUDA_SUCCESS;
}

CUresult cuMemHostGetFlags(unsigned *flags, void *p)
{
    ENTER(NEED_CONTEXT);
    struct memory *m = memory_find((uint64_t)(uintptr_t)p);
    if (!flags || !m || m->kind != MEMORY_HOST)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = m->flags | CU_MEMHOSTALLOC_DEVICEMAP;
    return CUDA_SUCCESS;
}
