/* access: loads, stores and atomics of a warp. An access is resolved to one region (an allocation,
 * or the block's shared memory) where all lanes lie in one, else lane by lane; then it is checked,
 * counted and done. Contiguous and uniform accesses have ways of their own. */
#include "access.h"
#include "number.h"

void sim_addresses(struct sim_warp *w, const struct sim_inst *i, uint64_t *to)
{
    uint64_t add = (uint64_t)i->imm;
    if (i->sub == 8) {
        const uint64_t *a = sim_row64(w, i->a);
        for (int l = 0; l < SIM_LANES; l++)
            to[l] = a[l] + add;
    } else {
        const uint32_t *a = sim_row32(w, i->a);
        for (int l = 0; l < SIM_LANES; l++)
            to[l] = (uint32_t)(a[l] + (uint32_t)add);
    }
}

static const char *space_name(enum ptx_space s)
{
    switch (s) {
    case PTX_SHARED: return "shared";
    case PTX_LOCAL: return "local";
    case PTX_CONST: return "constant";
    case PTX_PARAM: return "parameter";
    case PTX_NO_SPACE:
    case PTX_REG:
    case PTX_GLOBAL: break;
    }
    return "global";
}

/* ---- reports ---- */
static void report_shared(struct sim_warp *w, int lane, uint64_t at, uint32_t n, const char *what)
{
    const char *why = NULL;
    const struct sim_block_state *b = sim_shared_block(w, &at, &why);
    if (b == w->block)
        sim_report(w, SIM_FAULT_BOUNDS, lane,
                   "%s of %u bytes at shared address %llu, outside of the block's %u bytes", what,
                   n, (unsigned long long)at, b->shared_bytes);
    else if (b)
        sim_report(w, SIM_FAULT_BOUNDS, lane,
                   "%s of %u bytes at shared address %llu of the cluster's block %u, %s", what, n,
                   (unsigned long long)at, b->rank,
                   at < b->shared_bytes ? "which shared::cta does not reach"
                                        : "outside of its bytes");
    else
        sim_report(w, why == sim_block_has_ended ? SIM_FAULT_FREED : SIM_FAULT_BOUNDS, lane,
                   "%s of %u bytes at shared address %llu %s", what, n, (unsigned long long)at,
                   why);
}

static void report_bounds(struct sim_warp *w, enum ptx_space space, int lane, uint64_t at,
                          uint32_t n, bool write)
{
    const char *what = write ? "store" : "load";
    w->worker->fault.address = at;
    if (space == PTX_SHARED) {
        report_shared(w, lane, at, n, what);
        return;
    }
    if (space == PTX_LOCAL || space == PTX_PARAM) {
        sim_report(w, SIM_FAULT_BOUNDS, lane,
                   "%s of %u bytes at %s address %llu, outside of its space", what, n,
                   space_name(space), (unsigned long long)at);
        return;
    }
    struct sim_device *d = w->worker->job->device;
    pthread_mutex_lock(&d->table);
    const sim_mem *m = sim_mem_find(d, at), *b = m ? m : sim_mem_nearest(d, at);
    if (m && (m->freed || m->gone))
        sim_report(
            w, SIM_FAULT_FREED, lane,
            "%s of %u bytes at 0x%llx, byte %llu of an allocation of %llu bytes that was freed",
            what, n, (unsigned long long)at, (unsigned long long)(at - m->at),
            (unsigned long long)m->bytes);
    else if (b)
        sim_report(
            w, SIM_FAULT_BOUNDS, lane,
            "%s of %u bytes at 0x%llx, %llu bytes %s the %sallocation of %llu bytes at 0x%llx",
            what, n, (unsigned long long)at,
            (unsigned long long)(m            ? at + n - (b->at + b->bytes)
                                 : at < b->at ? b->at - at
                                              : at - (b->at + b->bytes)),
            m            ? "of it beyond"
            : at < b->at ? "before"
                         : "after the end of",
            b->freed ? "freed " : "", (unsigned long long)b->bytes, (unsigned long long)b->at);
    else
        sim_report(w, SIM_FAULT_BOUNDS, lane, "%s of %u bytes at 0x%llx, where no allocation is",
                   what, n, (unsigned long long)at);
    pthread_mutex_unlock(&d->table);
}

/* ---- regions ---- */
/* `lo`: the address of its first byte. */
static void shared_region(struct sim_block_state *b, uint64_t lo, struct sim_region *r)
{
    *r = (struct sim_region){.host = b->shared,
                             .lo = lo,
                             .hi = lo + b->shared_bytes,
                             .known = b->shared_known,
                             .reads = b->reads,
                             .writes = b->writes};
}

/* Where the address is one of another block of the cluster, or without a rank. */
static bool far_region(struct sim_warp *w, uint64_t at, struct sim_region *r)
{
    const char *why;
    uint64_t offset = at;
    struct sim_block_state *b = sim_shared_block(w, &offset, &why);
    if (b && (b == w->block || w->reaches))
        shared_region(b, at - offset, r);
    return b && (b == w->block || w->reaches);
}

static bool global_region(struct sim_warp *w, uint64_t lo, uint64_t hi, struct sim_region *r)
{
    struct sim_device *d = w->worker->job->device;
    pthread_mutex_lock(&d->table);
    sim_mem *m = sim_mem_find(d, lo);
    bool ok = m && !m->freed && !m->gone && hi - m->at <= m->bytes;
    if (ok)
        *r = (struct sim_region){.host = (uint8_t *)(uintptr_t)m->at,
                                 .lo = m->at,
                                 .hi = m->at + m->bytes,
                                 .known = m->whole ? NULL : m->known,
                                 .reads = m->reads,
                                 .writes = m->writes,
                                 .pages = m->pages,
                                 .mem = m};
    pthread_mutex_unlock(&d->table);
    return ok;
}

static void shape(struct sim_shape *s, const uint64_t *at, uint32_t mask, uint32_t n)
{
    uint64_t first = at[sim_first(mask)], row = 0, one = 0, lo = first, hi = first;
    *s = (struct sim_shape){.at = at, .mask = mask, .n = n, .lo = first, .hi = first};
    if (mask == SIM_ALL) {
        for (uint64_t l = 0; l < SIM_LANES; l++) {
            row |= at[l] - first - l * n;
            one |= at[l] ^ first;
        }
        if (!row) {
            s->pattern = SIM_IN_A_ROW;
            s->hi = at[SIM_LANES - 1];
            return;
        }
        if (!one) {
            s->pattern = SIM_UNIFORM;
            return;
        }
        for (int l = 0; l < SIM_LANES; l++) {
            lo = at[l] < lo ? at[l] : lo;
            hi = at[l] > hi ? at[l] : hi;
        }
    } else {
        for (int l = 0; l < SIM_LANES; l++) {
            uint64_t x = mask >> l & 1 ? at[l] : first;
            lo = x < lo ? x : lo;
            hi = x > hi ? x : hi;
        }
        s->pattern = lo == hi ? SIM_UNIFORM : SIM_SCATTERED;
    }
    s->lo = lo, s->hi = hi;
}

const struct sim_shape *sim_shape_of(struct sim_warp *w, const uint64_t *at, uint32_t mask,
                                     uint32_t n)
{
    struct sim_shape *s = &w->worker->shape;
    if (s->at != at || s->mask != mask || s->n != n)
        shape(s, at, mask, n);
    return s;
}

/* The region of one lane; reports where there is none. */
static struct sim_region *lane_region(struct sim_warp *w, enum ptx_space space, int lane,
                                      uint64_t at, uint32_t n, bool write, struct sim_region *r)
{
    bool ok = false;
    if (space == PTX_SHARED)
        ok = far_region(w, at, r) && at <= r->hi && n <= r->hi - at;
    else if (at < UINT64_MAX - n)
        ok = global_region(w, at, at + n, r);
    if (ok && write && r->mem && r->mem->read_only) {
        w->worker->fault.address = at;
        sim_report(w, SIM_FAULT_READ_ONLY, lane, "store to constant memory at 0x%llx",
                   (unsigned long long)at);
        return NULL;
    }
    if (!ok)
        report_bounds(w, space, lane, at, n, write);
    return ok ? r : NULL;
}

struct sim_region *sim_access_region(struct sim_warp *w, enum ptx_space space, const uint64_t *at,
                                     uint32_t mask, uint32_t n, bool write, uint32_t *part)
{
    struct sim_region *r = &w->worker->last[w->pc & 63];
    shape(&w->worker->shape, at, mask, n);
    uint64_t lo = w->worker->shape.lo, hi = w->worker->shape.hi;
    if (space != PTX_SHARED && r->mem && lo >= r->lo && hi < r->hi && n <= r->hi - hi &&
        !(write && r->mem->read_only) &&
        !atomic_load_explicit(&r->mem->gone, memory_order_relaxed)) {
        *part = mask;
        return r;
    }
    if (hi < UINT64_MAX - n) {
        if (space == PTX_SHARED) {
            static _Thread_local struct sim_region shared;
            shared_region(w->block, w->block->window, &shared);
            if (lo >= shared.lo && hi <= shared.hi && n <= shared.hi - hi) {
                *part = mask;
                return &shared;
            }
        } else if (global_region(w, lo, hi + n, r) && !(write && r->mem->read_only)) {
            *part = mask;
            return r;
        }
    }
    /* Several allocations, or a fault: the first lane, and what lies beside it. */
    int lane = sim_first(mask);
    static _Thread_local struct sim_region one;
    if (!lane_region(w, space, lane, at[lane], n, write, &one))
        return NULL;
    *part = 0;
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1 && at[l] >= one.lo && at[l] < one.hi && n <= one.hi - at[l])
            *part |= 1u << l;
    return &one;
}

/* ---- alignment ---- */
bool sim_aligned(struct sim_warp *w, enum ptx_space space, const uint64_t *at, uint32_t mask,
                 uint32_t n, bool write)
{
    uint64_t any = 0;
    if (mask == SIM_ALL)
        for (int l = 0; l < SIM_LANES; l++)
            any |= at[l];
    else
        for (int l = 0; l < SIM_LANES; l++)
            any |= mask >> l & 1 ? at[l] : 0;
    if (!(any & (n - 1)))
        return true;
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1 && at[l] & (n - 1)) {
            w->worker->fault.address = at[l];
            sim_report(w, SIM_FAULT_ALIGN, l,
                       "%s of %u bytes at %s address 0x%llx, which is not a multiple of %u",
                       write ? "store" : "load", n, space_name(space), (unsigned long long)at[l],
                       n);
            return false;
        }
    return true;
}

/* ---- counters ---- */
static uint32_t sectors(struct sim_warp *w, const uint64_t *at, uint32_t mask, uint32_t n)
{
    const struct sim_shape *s = sim_shape_of(w, at, mask, n);
    uint64_t bits = 0, first = s->lo / 32, last = (s->hi + n - 1) / 32;
    if (s->pattern != SIM_SCATTERED)
        return (uint32_t)(last - first + 1);
    if (last - first < 64) {
        if (mask == SIM_ALL) /* no access crosses a sector: it is aligned to its size */
            for (int l = 0; l < SIM_LANES; l++)
                bits |= (uint64_t)1 << (at[l] / 32 - first);
        else
            for (int l = 0; l < SIM_LANES; l++)
                bits |= (mask >> l & 1 ? (uint64_t)1 : 0) << ((at[l] / 32 - first) & 63);
        return (uint32_t)__builtin_popcountll(bits);
    }
    uint64_t seen[64];
    uint32_t count = 0;
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        for (uint64_t x = at[l] / 32; x <= (at[l] + n - 1) / 32; x++) {
            bool have = false;
            for (uint32_t k = count; k-- > 0 && !have;)
                have = seen[k] == x;
            if (!have && count < 64)
                seen[count++] = x;
        }
    }
    return count;
}

void sim_count_global(struct sim_warp *w, const uint64_t *at, uint32_t mask, uint32_t n, bool write)
{
    struct sim_counters *c = &w->worker->n;
    uint64_t bytes = (uint64_t)n * (uint64_t)__builtin_popcount(mask);
    if (write) {
        c->global_store_bytes += bytes;
        c->global_store_sectors += sectors(w, at, mask, n);
    } else {
        c->global_load_bytes += bytes;
        c->global_load_sectors += sectors(w, at, mask, n);
    }
}

/* Whether no two lanes from `first` on want different words of a bank; accesses are aligned. */
static bool no_conflict(const uint64_t *at, uint32_t mask, uint32_t n, int first, int group)
{
    uint64_t found[SIM_LANES], seen = 0;
    int shift = n <= 4 ? 2 : n == 8 ? 3 : 4;
    for (int l = first; l < first + group; l++) {
        uint64_t x = at[l] >> shift, bank = x & (uint64_t)(group - 1);
        if (!(mask >> l & 1))
            continue;
        if (seen >> bank & 1 && found[bank] != x)
            return false;
        seen |= (uint64_t)1 << bank;
        found[bank] = x;
    }
    return true;
}

/* Wavefronts beyond the least: wide accesses go by half or quarter warps. */
void sim_count_shared(struct sim_warp *w, const uint64_t *at, uint32_t mask, uint32_t n)
{
    struct sim_counters *c = &w->worker->n;
    c->shared_accesses++;
    if (sim_shape_of(w, at, mask, n)->pattern != SIM_SCATTERED)
        return;
    int group = n <= 4 ? 32 : n == 8 ? 16 : 8;
    for (int first = 0; first < SIM_LANES; first += group) {
        uint32_t most = 0;
        if (no_conflict(at, mask, n, first, group))
            continue;
        uint32_t count[32] = {0};
        uint64_t word[32][32];
        for (int l = first; l < first + group; l++) {
            if (!(mask >> l & 1))
                continue;
            for (uint64_t x = at[l] / 4; x <= (at[l] + n - 1) / 4; x++) {
                uint32_t b = x & 31, k = 0;
                while (k < count[b] && word[b][k] != x)
                    k++;
                if (k == count[b] && k < 32) {
                    word[b][count[b]++] = x;
                    most = count[b] > most ? count[b] : most;
                }
            }
        }
        c->shared_conflicts += most > 1 ? most - 1 : 0;
    }
}

/* ---- the bytes ---- */
/* Element k of n-byte lanes, `size` bytes each, into a row. */
SIM_NO_TSAN static void get(struct sim_warp *w, const struct sim_inst *i, uint32_t row,
                            uintptr_t base, const uint64_t *at, uint32_t mask)
{
#define GATHER(T, D, R)                                                                            \
    for (int l = 0; l < SIM_LANES; l++)                                                            \
        if (mask >> l & 1) {                                                                       \
            T v;                                                                                   \
            memcpy(&v, (const void *)(base + at[l]), sizeof v);                                    \
            R(w, row)[l] = (__typeof__(*R(w, row)))(D)v;                                           \
        }
    bool sign = i->mods & MOD_SIGNED, wide = i->c == 8;
    if (i->size == 4 && !wide && mask == SIM_ALL) {
        uint32_t *d = sim_row32(w, row);
        for (int l = 0; l < SIM_LANES; l++)
            memcpy(&d[l], (const void *)(base + at[l]), 4);
    } else if (i->size == 4 && !wide) {
        GATHER(uint32_t, uint32_t, sim_row32)
    } else if (i->size == 8) {
        GATHER(uint64_t, uint64_t, sim_row64)
    } else if (i->size == 2 && i->c == 2) {
        GATHER(uint16_t, uint32_t, sim_row32)
    } else if (i->size == 1 && i->c == 2) {
        if (sign) {
            GATHER(int8_t, uint16_t, sim_row32)
        } else {
            GATHER(uint8_t, uint16_t, sim_row32)
        }
    } else if (wide) {
        for (int l = 0; l < SIM_LANES; l++)
            if (mask >> l & 1) {
                uint64_t v = 0;
                memcpy(&v, (const void *)(base + at[l]), i->size);
                uint32_t up = 64 - 8u * i->size;
                sim_row64(w, row)[l] = sign ? (uint64_t)((int64_t)(v << up) >> up) : v;
            }
    } else {
        for (int l = 0; l < SIM_LANES; l++)
            if (mask >> l & 1) {
                uint32_t v = 0, up = 32 - 8u * i->size;
                memcpy(&v, (const void *)(base + at[l]), i->size);
                sim_row32(w, row)[l] = sign ? (uint32_t)((int32_t)(v << up) >> up) : v;
            }
    }
#undef GATHER
}

SIM_NO_TSAN static void put(struct sim_warp *w, const struct sim_inst *i, uint32_t row,
                            uintptr_t base, const uint64_t *at, uint32_t mask)
{
    if (i->c == 8) {
        for (int l = 0; l < SIM_LANES; l++)
            if (mask >> l & 1)
                memcpy((void *)(base + at[l]), &sim_row64(w, row)[l], i->size);
        return;
    }
    if (i->size == 4) {
        for (int l = 0; l < SIM_LANES; l++)
            if (mask >> l & 1)
                memcpy((void *)(base + at[l]), &sim_row32(w, row)[l], 4);
        return;
    }
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1)
            memcpy((void *)(base + at[l]), &sim_row32(w, row)[l], i->size);
}

SIM_NO_TSAN static void load_part(struct sim_warp *w, const struct sim_inst *i,
                                  struct sim_region *r, const uint64_t *at, uint32_t mask,
                                  uint32_t n)
{
    const uint32_t *row = w->frame->f->ext + i->ext;
    uintptr_t base = (uintptr_t)r->host - r->lo;
    if (w->worker->job->checked) {
        sim_race_access(w, r, at, mask, n, false, i->mods);
        sim_taint_load(w, i, r, at, mask);
    }
    if (i->size == 4 && i->c == 4 && sim_shape_of(w, at, mask, n)->pattern == SIM_IN_A_ROW) {
        const uint8_t *p = (const uint8_t *)(base + at[0]);
        if (i->count == 1) {
            memcpy(sim_row32(w, row[0]), p, 128);
            return;
        }
        for (uint32_t k = 0; k < i->count; k++) {
            uint32_t *d = sim_row32(w, row[k]);
            for (uint32_t l = 0; l < SIM_LANES; l++)
                memcpy(&d[l], p + l * n + 4 * k, 4);
        }
        return;
    }
    for (uint32_t k = 0; k < i->count; k++)
        get(w, i, row[k], base + k * i->size, at, mask);
}

SIM_NO_TSAN static void store_part(struct sim_warp *w, const struct sim_inst *i,
                                   struct sim_region *r, const uint64_t *at, uint32_t mask,
                                   uint32_t n)
{
    const uint32_t *row = w->frame->f->ext + i->ext;
    uintptr_t base = (uintptr_t)r->host - r->lo;
    if (w->worker->job->checked) {
        sim_race_store(w, i, r, at, mask, n);
        sim_taint_store(w, i, r, at, mask);
        if (w->worker->failed)
            return;
    }
    if (i->size == 4 && i->c == 4 && i->count == 1 &&
        sim_shape_of(w, at, mask, n)->pattern == SIM_IN_A_ROW) {
        memcpy((void *)(base + at[0]), sim_row32(w, row[0]), 128);
        return;
    }
    for (uint32_t k = 0; k < i->count; k++)
        put(w, i, row[k], base + k * i->size, at, mask);
}

/* ---- local memory and parameters: of a lane alone ---- */
static void access_local(struct sim_warp *w, const struct sim_inst *i, const uint64_t *at,
                         uint32_t mask, uint32_t n, bool write)
{
    const uint32_t *row = w->frame->f->ext + i->ext;
    size_t stride = w->worker->job->local_stride;
    w->local_dirty = true;
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        if (at[l] > stride || n > stride - at[l]) {
            report_bounds(w, PTX_LOCAL, l, at[l], n, write);
            return;
        }
        uintptr_t base = (uintptr_t)(w->local + (size_t)l * stride);
        uint8_t *known = w->local_known + (size_t)l * stride + at[l];
        uint64_t where[SIM_LANES];
        where[l] = at[l];
        for (uint32_t k = 0; k < i->count; k++)
            if (write)
                put(w, i, row[k], base + k * i->size, where, 1u << l);
            else
                get(w, i, row[k], base + k * i->size, where, 1u << l);
        if (!w->worker->job->checked)
            continue;
        if (write)
            sim_taint_local_store(w, i, known, l);
        else
            sim_taint_local_load(w, i, known, l);
    }
}

static void access_param(struct sim_warp *w, const struct sim_inst *i, const uint64_t *at,
                         uint32_t mask, uint32_t n, bool write)
{
    const uint32_t *row = w->frame->f->ext + i->ext;
    const struct sim_job *j = w->worker->job;
    uint64_t bytes = j->kernel->facts.param_bytes;
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1 && (write || at[l] > bytes || n > bytes - at[l])) {
            if (write)
                sim_report(w, SIM_FAULT_READ_ONLY, l, "store to a kernel's parameter");
            else
                report_bounds(w, PTX_PARAM, l, at[l], n, write);
            return;
        }
    for (uint32_t k = 0; k < i->count; k++)
        get(w, i, row[k], (uintptr_t)j->launch->params + k * i->size, at, mask);
}

/* ---- generic addresses ---- */
static enum ptx_space space_at(uint64_t a)
{
    uint64_t window = a & SIM_WINDOW_MASK;
    return window == SIM_WINDOW_SHARED  ? PTX_SHARED
           : window == SIM_WINDOW_LOCAL ? PTX_LOCAL
           : window == SIM_WINDOW_PARAM ? PTX_PARAM
                                        : PTX_GLOBAL;
}

uint32_t sim_generic(uint64_t *at, uint32_t mask, enum ptx_space *space)
{
    uint64_t any = 0;
    for (int l = 0; l < SIM_LANES; l++)
        any |= mask >> l & 1 ? at[l] & SIM_WINDOW_MASK : 0;
    *space = PTX_GLOBAL;
    if (!any)
        return mask;
    uint32_t part = 0;
    *space = space_at(at[sim_first(mask)]);
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1 && space_at(at[l]) == *space) {
            part |= 1u << l;
            if (*space != PTX_GLOBAL)
                at[l] &= ~SIM_WINDOW_MASK;
        }
    return part;
}

/* One space: checks alignment, counts, and goes region by region. */
static void access(struct sim_warp *w, const struct sim_inst *i, enum ptx_space space,
                   const uint64_t *at, uint32_t mask, bool write)
{
    uint32_t n = (uint32_t)i->size * i->count;
    if (!sim_aligned(w, space, at, mask, n, write))
        return;
    if (space == PTX_LOCAL) {
        access_local(w, i, at, mask, n, write);
        return;
    }
    if (space == PTX_PARAM) {
        access_param(w, i, at, mask, n, write);
        return;
    }
    for (uint32_t left = mask, part; left && !w->worker->failed; left &= ~part) {
        struct sim_region *r = sim_access_region(w, space, at, left, n, write, &part);
        if (!r)
            return;
        if (write)
            store_part(w, i, r, at, part, n);
        else
            load_part(w, i, r, at, part, n);
    }
    if (space == PTX_SHARED)
        sim_count_shared(w, at, mask, n);
    else
        sim_count_global(w, at, mask, n, write);
}

/* ---- waiting for memory ---- */
#define SPINS 8 /* loads of the same value before others have their turn */

/* A strong load, or an atomic that left memory as it was, found this. */
static void found(struct sim_warp *w, uint64_t what)
{
    if (w->spin_pc != w->pc || w->spin_found != what) {
        w->spin_pc = w->pc;
        w->spin_found = what;
        w->spun = 0;
    } else if (++w->spun >= SPINS) {
        w->spins = w->yield = true;
    }
}

static uint64_t hash_row(const struct sim_warp *w, uint32_t row, uint32_t size, uint32_t mask,
                         uint64_t h)
{
    for (int l = 0; l < SIM_LANES; l++) {
        uint64_t v = 0;
        memcpy(&v, w->r + row + (size_t)l * size, size);
        h = (h ^ (mask >> l & 1 ? v + 1 : 0)) * 0x9E3779B97F4A7C15u;
        h ^= h >> 29;
    }
    return h;
}

static void found_values(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    const uint32_t *row = w->frame->f->ext + i->ext;
    uint64_t h = mask;
    for (uint32_t k = 0; k < i->count; k++)
        h = hash_row(w, row[k], i->c == 8 ? 8 : 4, mask, h);
    found(w, h);
}

static void load_or_store(struct sim_warp *w, const struct sim_inst *i, uint32_t mask, bool write)
{
    uint64_t at[SIM_LANES];
    sim_addresses(w, i, at);
    if (w->tainted && !sim_taint_address(w, i, mask))
        return;
    enum ptx_space space = (enum ptx_space)i->space;
    w->reaches = !space || i->mods & MOD_REACH;
    if (write && i->mods & MOD_STRONG && w->worker->job->checked)
        sim_race_release(w, i);
    if (space) {
        access(w, i, space, at, mask, write);
    } else {
        for (uint32_t left = mask, part; left && !w->worker->failed; left &= ~part) {
            part = sim_generic(at, left, &space);
            access(w, i, space, at, part, write);
        }
    }
    if (write)
        w->spun = 0;
    else if (i->mods & MOD_STRONG && !w->worker->failed) {
        found_values(w, i, mask);
        if (w->worker->job->checked)
            sim_race_acquire(w, i);
    }
}

void sim_load(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    load_or_store(w, i, mask, false);
}
void sim_store(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    load_or_store(w, i, mask, true);
}

bool sim_read_rows(struct sim_warp *w, const uint64_t *at, uint32_t mask, uint32_t n)
{
    for (uint32_t left = mask, part; left; left &= ~part) {
        struct sim_region *r = sim_access_region(w, PTX_GLOBAL, at, left, n, false, &part);
        if (!r)
            return false;
        if (w->worker->job->checked)
            sim_race_access(w, r, at, part, n, false, 0);
        if (w->worker->failed)
            return false;
    }
    sim_count_global(w, at, mask, n, false);
    return true;
}

struct sim_region sim_global_region(struct sim_warp *w, uint64_t at)
{
    struct sim_region r = {0};
    global_region(w, at, at + 1, &r);
    return r;
}

/* ---- atomics ---- */
enum { AT_ADD, AT_MIN, AT_MAX, AT_INC, AT_DEC, AT_CAS, AT_EXCH, AT_AND, AT_OR, AT_XOR };

static uint32_t half_op(int op, char letter, uint32_t x, uint32_t y)
{
    bool bf = letter == 'g';
    float a = bf ? sim_from_bf16(x) : sim_from_f16(x), b = bf ? sim_from_bf16(y) : sim_from_f16(y);
    double r = op == AT_ADD ? (double)a + b : op == AT_MIN ? fmin(a, b) : fmax(a, b);
    return bf ? sim_bf16_of(r, SIM_RN) : sim_f16_of(r, SIM_RN);
}

/* What memory holds after. */
static uint64_t atomic_value(const struct sim_inst *i, uint64_t old, uint64_t b, uint64_t c)
{
    char t = (char)i->ext;
    int op = i->count;
    bool wide = i->size == 8;
    if (op <= AT_MAX && t == 'f') {
        if (!wide) {
            float x = sim_f32((uint32_t)old), y = sim_f32((uint32_t)b);
            return sim_bits32(op == AT_ADD ? x + y : op == AT_MIN ? fminf(x, y) : fmaxf(x, y));
        }
        double x = sim_f64(old), y = sim_f64(b);
        return sim_bits64(op == AT_ADD ? x + y : op == AT_MIN ? fmin(x, y) : fmax(x, y));
    }
    if (op <= AT_MAX && (t == 'h' || t == 'g')) {
        uint32_t r = half_op(op, t, (uint32_t)old & 0xFFFF, (uint32_t)b & 0xFFFF);
        return i->e == 2 ? r | half_op(op, t, (uint32_t)old >> 16, (uint32_t)b >> 16) << 16 : r;
    }
    bool less = t == 's' ? (wide ? (int64_t)old < (int64_t)b : (int32_t)old < (int32_t)b) : old < b;
    switch (op) {
    case AT_ADD: return old + b;
    case AT_MIN: return less ? old : b;
    case AT_MAX: return less ? b : old;
    case AT_INC: return (uint32_t)old >= (uint32_t)b ? 0 : old + 1;
    case AT_DEC: return !(uint32_t)old || (uint32_t)old > (uint32_t)b ? b : old - 1;
    case AT_CAS: return old == b ? c : old;
    case AT_EXCH: return b;
    case AT_AND: return old & b;
    case AT_OR: return old | b;
    }
    return old ^ b;
}

static uint64_t atomic_lane(const struct sim_inst *i, uint8_t *p, uint64_t b, uint64_t c)
{
    if (i->size == 8) {
        uint64_t old = __atomic_load_n((uint64_t *)(void *)p, __ATOMIC_SEQ_CST);
        while (!__atomic_compare_exchange_n((uint64_t *)(void *)p, &old, atomic_value(i, old, b, c),
                                            false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            ;
        return old;
    }
    if (i->size == 2) {
        uint16_t old = __atomic_load_n((uint16_t *)(void *)p, __ATOMIC_SEQ_CST);
        while (!__atomic_compare_exchange_n((uint16_t *)(void *)p, &old,
                                            (uint16_t)atomic_value(i, old, b, c), false,
                                            __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            ;
        return old;
    }
    uint32_t old = __atomic_load_n((uint32_t *)(void *)p, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n((uint32_t *)(void *)p, &old,
                                        (uint32_t)atomic_value(i, old, b, c), false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
    return old;
}

void sim_atomic_apply(const struct sim_inst *i, uint8_t *p, uint64_t b) { atomic_lane(i, p, b, 0); }

static uint64_t lane_value(struct sim_warp *w, uint32_t row, uint8_t size, int l)
{
    return size == 8 ? sim_row64(w, row)[l] : sim_row32(w, row)[l];
}

static void atomic_part(struct sim_warp *w, const struct sim_inst *i, struct sim_region *r,
                        const uint64_t *at, uint32_t mask)
{
    uintptr_t base = (uintptr_t)r->host - r->lo;
    if (w->worker->job->checked) {
        sim_race_access(w, r, at, mask, i->size, true, i->mods);
        sim_taint_atomic(w, i, r, at, mask);
        if (w->worker->failed)
            return;
    }
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        uint64_t c = i->count == AT_CAS ? lane_value(w, i->c, i->size, l) : 0;
        uint64_t b = lane_value(w, i->b, i->size, l);
        uint64_t old = atomic_lane(i, (uint8_t *)(base + at[l]), b, c);
        w->changes = w->changes || atomic_value(i, old, b, c) != old;
        if (i->d == NO_OPERAND)
            continue;
        if (i->size == 8)
            sim_row64(w, i->d)[l] = old;
        else
            sim_row32(w, i->d)[l] = (uint32_t)old;
    }
}

static void atomic_space(struct sim_warp *w, const struct sim_inst *i, enum ptx_space space,
                         const uint64_t *at, uint32_t mask)
{
    if (!sim_aligned(w, space, at, mask, i->size, true))
        return;
    if (space == PTX_LOCAL || space == PTX_PARAM) {
        sim_report(w, SIM_FAULT_BOUNDS, sim_first(mask), "an atomic on %s memory",
                   space_name(space));
        return;
    }
    for (uint32_t left = mask, part; left && !w->worker->failed; left &= ~part) {
        struct sim_region *r = sim_access_region(w, space, at, left, i->size, true, &part);
        if (!r)
            return;
        atomic_part(w, i, r, at, part);
    }
    if (space == PTX_SHARED) {
        sim_count_shared(w, at, mask, i->size);
    } else {
        sim_count_global(w, at, mask, i->size, false);
        sim_count_global(w, at, mask, i->size, true);
    }
}

void sim_atomic(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint64_t at[SIM_LANES];
    enum ptx_space space = (enum ptx_space)i->space;
    sim_addresses(w, i, at);
    if (w->tainted && !sim_taint_address(w, i, mask))
        return;
    w->worker->n.atomics += (uint64_t)__builtin_popcount(mask);
    w->reaches = !space || i->mods & MOD_REACH;
    w->changes = false;
    bool checked = w->worker->job->checked;
    if (checked)
        sim_race_release(w, i);
    if (space) {
        atomic_space(w, i, space, at, mask);
    } else {
        for (uint32_t left = mask, part; left && !w->worker->failed; left &= ~part) {
            part = sim_generic(at, left, &space);
            atomic_space(w, i, space, at, part);
        }
    }
    if (w->changes)
        w->spun = 0;
    else if (!w->worker->failed)
        found(w, i->d == NO_OPERAND ? mask : hash_row(w, i->d, i->size == 8 ? 8 : 4, mask, mask));
    if (checked && !w->worker->failed)
        sim_race_acquire(w, i);
}

void sim_fence(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    static _Atomic uint32_t order; /* in the place of a fence, which TSan does not know */
    (void)mask;
    if (!i->count && w->worker->job->checked)
        sim_race_fence(w, i->mods);
    order |= 0;
}
