/* memory: the device's allocations. Each is a mapping of its own, so that an address is never used
 * again soon and pages are backed only when they are touched; beside the bytes lie their shadows.
 */
#include "core.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define QUARANTINE 512 /* freed allocations that are remembered */

struct sim_device *sim_device_new(const struct sim_chip *chip, uint64_t memory, int workers)
{
    struct sim_device *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *d = (struct sim_device){.chip = chip,
                             .total = memory ? memory : chip->memory,
                             .workers = workers > 0 ? workers
                                        : cores > 0 ? (int)cores
                                                    : 1};
    if (pthread_mutex_init(&d->table, NULL) || pthread_mutex_init(&d->run, NULL)) {
        free(d);
        return NULL;
    }
    return d;
}

static void release(sim_mem *m)
{
    if (m->map)
        munmap(m->map, m->map_bytes);
    if (m->shadow)
        munmap(m->shadow, m->shadow_bytes);
    free(m);
}

void sim_device_free(struct sim_device *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->mems; i++)
        release(d->mem[i]);
    free(d->mem);
    pthread_mutex_destroy(&d->table);
    pthread_mutex_destroy(&d->run);
    free(d);
}

const struct sim_chip *sim_device_chip(const struct sim_device *d) { return d->chip; }

/* ---- the table ---- */
/* The index of the first allocation that begins after the address. */
static size_t after(const struct sim_device *d, uint64_t address)
{
    size_t lo = 0, hi = d->mems;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (d->mem[mid]->at <= address)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

sim_mem *sim_mem_find(struct sim_device *d, uint64_t address)
{
    size_t i = after(d, address);
    sim_mem *m = i ? d->mem[i - 1] : NULL;
    return m && address - m->at < m->bytes ? m : NULL;
}

sim_mem *sim_mem_nearest(struct sim_device *d, uint64_t address)
{
    const uint64_t far = 16u << 20;
    size_t i = after(d, address);
    sim_mem *below = i ? d->mem[i - 1] : NULL, *above = i < d->mems ? d->mem[i] : NULL;
    uint64_t from = below ? address - (below->at + below->bytes) : far,
             to = above ? above->at - address : far;
    return from < far && from <= to ? below : to < far ? above : NULL;
}

static void table_remove(struct sim_device *d, size_t i)
{
    release(d->mem[i]);
    d->mems--;
    memmove(d->mem + i, d->mem + i + 1, (d->mems - i) * sizeof *d->mem);
}

static bool table_add(struct sim_device *d, sim_mem *m)
{
    if (d->mems == d->mem_cap) {
        size_t cap = d->mem_cap ? 2 * d->mem_cap : 64;
        sim_mem **grown = realloc(d->mem, cap * sizeof *grown);
        if (!grown)
            return false;
        d->mem = grown;
        d->mem_cap = cap;
    }
    size_t i = after(d, m->at);
    memmove(d->mem + i + 1, d->mem + i, (d->mems - i) * sizeof *d->mem);
    d->mem[i] = m;
    d->mems++;
    return true;
}

static void *map_pages(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static bool map_shadow(sim_mem *m)
{
    uint64_t words = (m->bytes + (m->at & 3) + 3) / 4 + 64;
    uint64_t pages = m->bytes / SIM_PAGE + 3;
    words = (words + 63) & ~(uint64_t)63;
    m->shadow_bytes = words + 2 * words * sizeof(uint64_t) + pages;
    m->shadow = map_pages(m->shadow_bytes);
    if (!m->shadow)
        return false;
    m->reads = m->shadow;
    m->writes = m->reads + words;
    m->known = (uint8_t *)(m->writes + words);
    m->pages = m->known + words;
    return true;
}

/* Whether [at, at + bytes) touches a live allocation. */
static bool overlaps(struct sim_device *d, uint64_t at, uint64_t bytes)
{
    for (size_t i = after(d, at + bytes - 1); i; i--) {
        sim_mem *m = d->mem[i - 1];
        if (!m->freed && m->at + m->bytes > at)
            return true;
        if (!m->freed)
            return false;
    }
    return false;
}

enum sim_status sim_alloc(struct sim_device *d, uint64_t bytes, uint32_t kind, uint64_t *at)
{
    *at = 0;
    if (!bytes || bytes > d->total)
        return SIM_NO_MEMORY;
    sim_mem *m = calloc(1, sizeof *m);
    if (!m)
        return SIM_NO_MEMORY;
    pthread_mutex_lock(&d->table);
    uint64_t rounded = (bytes + 255) & ~(uint64_t)255;
    bool ok = rounded <= d->total - d->used;
    if (ok) {
        m->bytes = bytes;
        m->kind = kind;
        m->map_bytes = (bytes / SIM_PAGE + 2) * SIM_PAGE;
        m->map = map_pages(m->map_bytes);
        m->at = (uint64_t)(uintptr_t)m->map;
        ok = m->map && map_shadow(m) && table_add(d, m);
    }
    if (ok) {
        d->used += rounded;
        d->live++;
        *at = m->at;
    } else {
        release(m);
    }
    pthread_mutex_unlock(&d->table);
    return ok ? SIM_OK : SIM_NO_MEMORY;
}

/* Forgets the oldest freed allocations beyond the quarantine: in the order of the table, which is
 * near enough. */
static void shrink_quarantine(struct sim_device *d)
{
    for (size_t i = 0; i < d->mems && d->freed > QUARANTINE; i++)
        if (d->mem[i]->freed) {
            table_remove(d, i--);
            d->freed--;
        }
}

/* Its bytes count no more. */
static void uncount(struct sim_device *d, const sim_mem *m)
{
    d->used -= (m->bytes + 255) & ~(uint64_t)255;
    d->live--;
}

/* The addresses stay taken, the pages go. */
static void bury(struct sim_device *d, sim_mem *m)
{
    m->freed = true;
    mmap(m->map, m->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
         -1, 0);
    munmap(m->shadow, m->shadow_bytes);
    m->shadow = NULL;
    d->freed++;
}

bool sim_heap_free(struct sim_device *d, uint64_t at, bool *twice)
{
    pthread_mutex_lock(&d->table);
    sim_mem *m = sim_mem_find(d, at);
    bool ok = m && m->at == at && m->kind == SIM_KIND_HEAP;
    *twice = ok && (m->freed || m->gone);
    if (ok && !*twice) {
        uncount(d, m);
        m->gone = true;
        /* Another warp may be about to touch it: it stays mapped, without contents. */
        madvise(m->map, m->map_bytes, MADV_DONTNEED);
        madvise(m->shadow, m->shadow_bytes, MADV_DONTNEED);
    }
    pthread_mutex_unlock(&d->table);
    return ok;
}

void sim_heap_settle(struct sim_device *d)
{
    pthread_mutex_lock(&d->table);
    for (size_t i = 0; i < d->mems; i++)
        if (d->mem[i]->gone && !d->mem[i]->freed)
            bury(d, d->mem[i]);
    if (d->freed > 2 * QUARANTINE)
        shrink_quarantine(d);
    pthread_mutex_unlock(&d->table);
}

enum sim_status sim_free(struct sim_device *d, uint64_t at)
{
    pthread_mutex_lock(&d->run);
    pthread_mutex_lock(&d->table);
    sim_mem *m = sim_mem_find(d, at);
    bool ok = m && m->at == at && !m->freed && !m->host;
    if (ok) {
        uncount(d, m);
        bury(d, m);
        if (d->freed > 2 * QUARANTINE)
            shrink_quarantine(d);
    }
    pthread_mutex_unlock(&d->table);
    pthread_mutex_unlock(&d->run);
    return ok ? SIM_OK : SIM_BAD_ADDRESS;
}

/* ---- host memory ---- */
enum sim_status sim_map_host(struct sim_device *d, void *p, uint64_t bytes, uint32_t kind)
{
    if (!p || !bytes)
        return SIM_BAD_ADDRESS;
    sim_mem *m = calloc(1, sizeof *m);
    if (!m)
        return SIM_NO_MEMORY;
    *m = (sim_mem){
        .at = (uint64_t)(uintptr_t)p, .bytes = bytes, .kind = kind, .host = true, .whole = true};
    pthread_mutex_lock(&d->table);
    enum sim_status s = SIM_OK;
    if (overlaps(d, m->at, bytes))
        s = SIM_BAD_ADDRESS;
    else if (!map_shadow(m) || !table_add(d, m))
        s = SIM_NO_MEMORY;
    if (s)
        release(m);
    pthread_mutex_unlock(&d->table);
    return s;
}

enum sim_status sim_unmap_host(struct sim_device *d, void *p)
{
    uint64_t at = (uint64_t)(uintptr_t)p;
    enum sim_status s = SIM_BAD_ADDRESS;
    pthread_mutex_lock(&d->run);
    pthread_mutex_lock(&d->table);
    for (size_t i = after(d, at); i; i--) {
        sim_mem *m = d->mem[i - 1];
        if (m->at != at)
            break;
        if (m->host && !m->freed) {
            table_remove(d, i - 1);
            s = SIM_OK;
            break;
        }
    }
    pthread_mutex_unlock(&d->table);
    pthread_mutex_unlock(&d->run);
    return s;
}

/* ---- shadows ---- */
void sim_known_set(sim_mem *m, uint64_t at, uint64_t bytes)
{
    if (m->whole || !bytes)
        return;
    uint64_t from = at - m->at, to = from + bytes, first = (from + 3) / 4, last = to / 4;
    if (!from && to == m->bytes) {
        memset(m->known, 15, (size_t)((m->bytes + 3) / 4));
        m->whole = true;
        return;
    }
    for (uint64_t b = from; b < to && b < first * 4; b++)
        m->known[b / 4] = (uint8_t)(m->known[b / 4] | 1u << (b & 3));
    if (last > first)
        memset(m->known + first, 15, (size_t)(last - first));
    for (uint64_t b = last * 4 > first * 4 ? last * 4 : first * 4; b < to; b++)
        m->known[b / 4] = (uint8_t)(m->known[b / 4] | 1u << (b & 3));
}

bool sim_known_all(const sim_mem *m, uint64_t at, uint64_t bytes)
{
    if (m->whole)
        return true;
    for (uint64_t b = at - m->at, to = b + bytes; b < to;) {
        if (!(b & 3) && to - b >= 4) {
            if (m->known[b / 4] != 15)
                return false;
            b += 4;
        } else {
            if (!(m->known[b / 4] >> (b & 3) & 1))
                return false;
            b++;
        }
    }
    return true;
}

void sim_mem_settle(sim_mem *m)
{
    uint64_t words = m->bytes / 4;
    if (m->whole || m->freed)
        return;
    while (m->settled < words && m->known[m->settled] == 15)
        m->settled++;
    m->whole = m->settled == words && sim_known_all(m, m->at + 4 * words, m->bytes - 4 * words);
}

/* ---- what the host does ---- */
bool sim_find(struct sim_device *d, uint64_t address, struct sim_allocation *a)
{
    pthread_mutex_lock(&d->table);
    sim_mem *m = sim_mem_find(d, address);
    bool found = m && !m->freed;
    if (found)
        *a = (struct sim_allocation){
            .at = m->at, .bytes = m->bytes, .kind = m->kind, .host = m->host};
    pthread_mutex_unlock(&d->table);
    return found;
}

void sim_usage(struct sim_device *d, uint64_t *used, uint64_t *total, uint32_t *allocations)
{
    pthread_mutex_lock(&d->table);
    *used = d->used;
    *total = d->total;
    *allocations = d->live;
    pthread_mutex_unlock(&d->table);
}

/* The live allocation around a range; the caller holds the table. */
static sim_mem *range(struct sim_device *d, uint64_t at, uint64_t bytes)
{
    sim_mem *m = sim_mem_find(d, at);
    return m && !m->freed && bytes <= m->bytes - (at - m->at) ? m : NULL;
}

enum sim_status sim_write(struct sim_device *d, uint64_t to, const void *from, uint64_t bytes)
{
    if (!bytes)
        return SIM_OK;
    pthread_mutex_lock(&d->table);
    sim_mem *m = range(d, to, bytes);
    if (m)
        sim_known_set(m, to, bytes);
    pthread_mutex_unlock(&d->table);
    if (!m)
        return SIM_BAD_ADDRESS;
    memcpy((void *)(uintptr_t)to, from, (size_t)bytes);
    return SIM_OK;
}

enum sim_status sim_read(struct sim_device *d, void *to, uint64_t from, uint64_t bytes)
{
    if (!bytes)
        return SIM_OK;
    pthread_mutex_lock(&d->table);
    sim_mem *m = range(d, from, bytes);
    pthread_mutex_unlock(&d->table);
    if (!m)
        return SIM_BAD_ADDRESS;
    memcpy(to, (const void *)(uintptr_t)from, (size_t)bytes);
    return SIM_OK;
}

/* Byte by byte: `known` goes along with what is copied. */
static void move_known(sim_mem *to_mem, uint64_t to, const sim_mem *from_mem, uint64_t from,
                       uint64_t bytes)
{
    if (sim_known_all(from_mem, from, bytes)) {
        sim_known_set(to_mem, to, bytes);
        return;
    }
    if (to_mem->whole && !to_mem->host) {
        memset(to_mem->known, 15, (size_t)((to_mem->bytes + 3) / 4));
        to_mem->whole = false;
    }
    to_mem->settled = 0;
    for (uint64_t i = 0; i < bytes && !to_mem->whole; i++) {
        uint64_t k = to <= from ? i : bytes - 1 - i;
        uint64_t t = to - to_mem->at + k, f = from - from_mem->at + k;
        unsigned bit = from_mem->known[f / 4] >> (f & 3) & 1;
        to_mem->known[t / 4] =
            (uint8_t)((to_mem->known[t / 4] & ~(1u << (t & 3))) | bit << (t & 3));
    }
}

enum sim_status sim_move(struct sim_device *d, uint64_t to, uint64_t from, uint64_t bytes)
{
    if (!bytes)
        return SIM_OK;
    pthread_mutex_lock(&d->table);
    sim_mem *t = range(d, to, bytes), *f = range(d, from, bytes);
    if (t && f)
        move_known(t, to, f, from, bytes);
    pthread_mutex_unlock(&d->table);
    if (!t || !f)
        return SIM_BAD_ADDRESS;
    memmove((void *)(uintptr_t)to, (const void *)(uintptr_t)from, (size_t)bytes);
    return SIM_OK;
}

enum sim_status sim_set(struct sim_device *d, uint64_t to, uint32_t value, uint32_t size,
                        uint64_t count)
{
    if (!count)
        return SIM_OK;
    if ((size != 1 && size != 2 && size != 4) || count > UINT64_MAX / size)
        return SIM_BAD_ADDRESS;
    pthread_mutex_lock(&d->table);
    sim_mem *m = range(d, to, count * size);
    if (m)
        sim_known_set(m, to, count * size);
    pthread_mutex_unlock(&d->table);
    if (!m || to % size)
        return SIM_BAD_ADDRESS;
    uint8_t *p = (uint8_t *)(uintptr_t)to;
    if (size == 1)
        memset(p, (int)(value & 255), (size_t)count);
    else
        for (uint64_t i = 0; i < count; i++)
            memcpy(p + i * size, &value, size);
    return SIM_OK;
}

void *sim_touch(struct sim_device *d, uint64_t at, uint64_t bytes, bool write)
{
    pthread_mutex_lock(&d->table);
    sim_mem *m = range(d, at, bytes ? bytes : 1);
    if (m && write && bytes)
        sim_known_set(m, at, bytes);
    pthread_mutex_unlock(&d->table);
    return m ? (void *)(uintptr_t)at : NULL;
}
