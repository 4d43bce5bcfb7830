/* tensor_async: mbarrier objects and bulk copies. A bulk copy is done where it is issued; that a
 * reader waits for it is what the order of accesses (race.c) checks: the barrier carries what its
 * arrivers knew. An mbarrier here: pending arrivals 20 bits, arrivals of a phase 20 bits, bytes
 * that are awaited 22 bits with an offset, the phase in the last bit. */
#include "../tensormap.h"
#include "access.h"
#include "tensor.h"
#include <stdlib.h>

#define COUNT_MASK 0xFFFFFu
#define TX_AT 40
#define TX_ZERO 0x200000
#define PHASE_AT 63

struct mbar_state {
    int32_t pending, count, tx;
    bool phase;
};

struct sim_mbar_clock {
    uint64_t at;
    uint32_t coming[SIM_LANES], done[SIM_LANES]; /* of this phase's arrivers; of complete phases */
    bool far; /* other blocks of the cluster have arrived at it too */
};

static struct mbar_state unpack(uint64_t v)
{
    return (struct mbar_state){(int32_t)(v & COUNT_MASK), (int32_t)(v >> 20 & COUNT_MASK),
                               (int32_t)(v >> TX_AT & 0x3FFFFF) - TX_ZERO, v >> PHASE_AT};
}
static uint64_t pack(struct mbar_state s)
{
    return (uint64_t)(uint32_t)s.pending | (uint64_t)(uint32_t)s.count << 20 |
           (uint64_t)(uint32_t)(s.tx + TX_ZERO) << TX_AT | (uint64_t)s.phase << PHASE_AT;
}

static uint64_t place_of(struct sim_warp *w, uint32_t row, uint32_t width, uint64_t add, int lane)
{
    uint64_t a = width == 8 ? sim_row64(w, row)[lane] + add
                            : (uint32_t)(sim_row32(w, row)[lane] + (uint32_t)add);
    return (a & SIM_WINDOW_MASK) == SIM_WINDOW_SHARED ? a & ~SIM_WINDOW_MASK : a;
}

/* An mbarrier of the block, or of another one of the cluster. */
struct mbar {
    struct sim_block_state *block;
    uint64_t at; /* in its shared memory */
    uint8_t *p;
};

/* False: reported. */
static bool object(struct sim_warp *w, uint64_t at, int lane, bool init, bool far, struct mbar *m)
{
    const char *why = "which is of another block";
    struct sim_block_state *b = sim_shared_block(w, &at, &why);
    if (!b || (b != w->block && !far)) {
        sim_report(w, SIM_FAULT_BOUNDS, lane, "an mbarrier at shared address %llu %s",
                   (unsigned long long)at, why);
        return false;
    }
    if (at & 7 || at > b->shared_bytes || b->shared_bytes - at < 8) {
        w->worker->fault.address = at;
        sim_report(w, at & 7 ? SIM_FAULT_ALIGN : SIM_FAULT_BOUNDS, lane,
                   "an mbarrier at shared address %llu of the block's %u bytes",
                   (unsigned long long)at, b->shared_bytes);
        return false;
    }
    if (b->shared_known && init)
        memset(b->shared_known + at / 4, 15, 2);
    if (b->shared_known && (b->shared_known[at / 4] != 15 || b->shared_known[at / 4 + 1] != 15)) {
        sim_report(w, SIM_FAULT_UNINIT, lane,
                   "the mbarrier at shared address %llu was not initialised",
                   (unsigned long long)at);
        return false;
    }
    *m = (struct mbar){b, at, b->shared + at};
    return true;
}

/* NULL: no memory, or nothing is checked. */
static struct sim_mbar_clock *clock_of(struct sim_warp *w, const struct mbar *m)
{
    struct sim_block_state *b = m->block;
    if (!w->worker->job->checked)
        return NULL;
    for (uint32_t i = 0; i < b->mbars; i++)
        if (b->mbar[i].at == m->at)
            return &b->mbar[i];
    if (b->mbars == b->mbar_cap) {
        uint32_t cap = b->mbar_cap ? 2 * b->mbar_cap : 16;
        struct sim_mbar_clock *more = realloc(b->mbar, cap * sizeof *more);
        if (!more)
            return NULL;
        b->mbar = more, b->mbar_cap = cap;
    }
    b->mbar[b->mbars] = (struct sim_mbar_clock){.at = m->at};
    return &b->mbar[b->mbars++];
}

/* What the warp did is there for those that wait for the mbarrier. */
static void give(struct sim_warp *w, const struct mbar *m, struct sim_mbar_clock *c)
{
    if (c && m->block == w->block)
        sim_race_give(w, c->coming);
    if (c && m->block->cluster->size > 1) {
        c->far = c->far || m->block != w->block;
        if (m->block != w->block)
            sim_race_far_release(w, NULL);
    }
}

/* A phase is complete when nobody and nothing is awaited. */
static void settle(struct mbar_state *s, struct sim_mbar_clock *c)
{
    if (s->pending || s->tx)
        return;
    s->phase = !s->phase;
    s->pending = s->count;
    for (int k = 0; c && k < SIM_LANES; k++) {
        c->done[k] = c->coming[k] > c->done[k] ? c->coming[k] : c->done[k];
        c->coming[k] = 0;
    }
}

static bool arrive(struct sim_warp *w, struct mbar_state *s, const struct mbar *m, uint32_t count,
                   uint32_t drop, int lane)
{
    struct sim_mbar_clock *c = clock_of(w, m);
    if ((uint32_t)s->pending < count) {
        sim_report(w, SIM_FAULT_BARRIER, lane,
                   "%u arrivals at the mbarrier at shared address %llu, which awaits %d", count,
                   (unsigned long long)m->at, s->pending);
        return false;
    }
    give(w, m, c);
    s->pending -= (int32_t)count;
    s->count -= (int32_t)drop;
    settle(s, c);
    return true;
}

void sim_mbar(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    for (int l = 0; l < SIM_LANES && !w->worker->failed; l++) {
        if (!(mask >> l & 1))
            continue;
        struct mbar m;
        uint64_t v;
        bool far = i->sub != MBAR_INIT && i->sub != MBAR_INVAL && i->sub != MBAR_CP_ASYNC;
        if (!object(w, place_of(w, i->a, i->size, (uint64_t)i->imm, l), l, i->sub == MBAR_INIT, far,
                    &m))
            return;
        memcpy(&v, m.p, 8);
        struct mbar_state s = unpack(v);
        uint32_t n = i->b == NO_OPERAND ? 1 : sim_row32(w, i->b)[l];
        switch ((enum mbar_op)i->sub) {
        case MBAR_INIT:
            if (!n || n > COUNT_MASK)
                sim_report(w, SIM_FAULT_BARRIER, l, "an mbarrier of %u arrivals", n);
            s = (struct mbar_state){(int32_t)n, (int32_t)n, 0, false};
            break;
        case MBAR_INVAL:
            if (w->block->shared_known)
                memset(w->block->shared_known + m.at / 4, 0, 2);
            break;
        case MBAR_EXPECT: s.tx += (int32_t)n; break;
        case MBAR_COMPLETE:
            s.tx -= (int32_t)n;
            settle(&s, clock_of(w, &m));
            break;
        case MBAR_LANDED:
            give(w, &m, clock_of(w, &m));
            s.tx -= (int32_t)i->ext;
            settle(&s, clock_of(w, &m));
            break;
        case MBAR_ARRIVE: arrive(w, &s, &m, n, 0, l); break;
        case MBAR_ARRIVE_EXPECT:
            s.tx += (int32_t)n;
            arrive(w, &s, &m, 1, 0, l);
            break;
        case MBAR_DROP: arrive(w, &s, &m, n, n, l); break;
        case MBAR_DROP_EXPECT:
            s.tx += (int32_t)n;
            arrive(w, &s, &m, 1, 1, l);
            break;
        case MBAR_CP_ASYNC:
            sim_cp_land(w, l);
            if (i->count)
                arrive(w, &s, &m, 1, 0, l);
            break;
        }
        if (i->d != NO_OPERAND)
            sim_row64(w, i->d)[l] = v;
        v = pack(s);
        memcpy(m.p, &v, 8);
    }
}

void sim_mbar_wait(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint32_t yes = 0, *d = sim_pred(w, i->d);
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        struct mbar m;
        uint64_t v;
        if (!object(w, place_of(w, i->a, i->size, (uint64_t)i->imm, l), l, false, false, &m))
            return;
        memcpy(&v, m.p, 8);
        bool phase = i->count ? sim_row32(w, i->b)[l] & 1 : sim_row64(w, i->b)[l] >> PHASE_AT;
        bool done = (bool)(v >> PHASE_AT) != phase;
        yes |= (done ? 1u : 0u) << l;
        struct sim_mbar_clock *c = done ? clock_of(w, &m) : NULL;
        if (c)
            sim_race_take(w, c->done);
        if (c && c->far)
            sim_race_far_acquire(w);
    }
    *d = (*d & ~mask) | yes;
    w->yield = w->awaits = yes != mask;
}

/* ---- bulk copies ---- */
static uint64_t bulk_address(struct sim_warp *w, const struct bulk_place *p, int lane)
{
    return place_of(w, p->row, p->width, (uint64_t)p->high << 32 | p->low, lane);
}

/* Checks n bytes for a lane, 16 at a time: region out. mods: MOD_STRONG as atomics do. */
static bool check_as(struct sim_warp *w, bool shared, uint64_t at, uint64_t n, bool write,
                     uint32_t mods, int lane)
{
    uint64_t where[SIM_LANES];
    w->reaches = true;
    for (uint64_t k = 0; k < n; k += 16) {
        uint32_t part, step = n - k < 16 ? (uint32_t)(n - k) : 16;
        where[lane] = at + k;
        struct sim_region *r = sim_access_region(w, shared ? PTX_SHARED : PTX_GLOBAL, where,
                                                 1u << lane, step, write, &part);
        if (!r)
            return false;
        if (w->worker->job->checked)
            sim_race_access(w, r, where, 1u << lane, step, write, mods);
        if (w->worker->failed)
            return false;
        if (write && r->known)
            for (uint64_t b = where[lane] - r->lo, to = b + step; b < to; b++)
                __atomic_fetch_or(&r->known[b / 4], (uint8_t)(1u << (b & 3)), __ATOMIC_RELAXED);
    }
    if (!shared) {
        w->worker->n.global_load_bytes += write ? 0 : n;
        w->worker->n.global_store_bytes += write ? n : 0;
        uint64_t s = n ? (at + n - 1) / 32 - at / 32 + 1 : 0;
        w->worker->n.global_load_sectors += write ? 0 : s;
        w->worker->n.global_store_sectors += write ? s : 0;
    }
    return true;
}

static bool check(struct sim_warp *w, bool shared, uint64_t at, uint64_t n, bool write, int lane)
{
    return check_as(w, shared, at, n, write, 0, lane);
}

/* Elements are combined with what memory holds. */
static void reduce(const struct bulk *b, uint8_t *to, const uint8_t *from, uint64_t bytes)
{
    const struct sim_inst i = {
        .count = (uint8_t)(b->reduce - 1), .size = (uint8_t)b->size, .ext = b->type, .e = b->lanes};
    for (uint64_t k = 0; k + b->size <= bytes; k += b->size) {
        uint64_t v = 0;
        memcpy(&v, from + k, b->size);
        sim_atomic_apply(&i, to + k, v);
    }
}

/* The bytes have come: the barrier awaits fewer. */
static void complete(struct sim_warp *w, uint64_t at, uint64_t bytes, int lane)
{
    struct mbar m;
    uint64_t v;
    if (!object(w, at, lane, false, true, &m))
        return;
    memcpy(&v, m.p, 8);
    struct mbar_state s = unpack(v);
    struct sim_mbar_clock *c = clock_of(w, &m);
    give(w, &m, c);
    s.tx -= (int32_t)bytes;
    settle(&s, c);
    v = pack(s);
    memcpy(m.p, &v, 8);
}

/* The byte at a shared address that was checked. */
static uint8_t *shared_byte(struct sim_warp *w, uint64_t at)
{
    const char *why;
    struct sim_block_state *b = sim_shared_block(w, &at, &why);
    return b->shared + at;
}

/* The blocks that the copy goes to, by rank: those of its mask, or 1 << 16: just where it says. 0:
 * reported. */
#define AS_IT_SAYS (1u << SIM_MAX_CLUSTER)
static uint32_t targets(struct sim_warp *w, const struct bulk *b, int lane)
{
    uint32_t size = w->block->cluster->size;
    if (b->mask == NO_OPERAND)
        return AS_IT_SAYS;
    uint32_t mask = sim_row32(w, b->mask)[lane] & 0xFFFF;
    if (!mask || mask >> size)
        sim_report(w, SIM_FAULT_BOUNDS, lane,
                   "a copy to the blocks of mask %04x in a cluster of %u", mask, size);
    return !mask || mask >> size ? 0 : size == 1 ? AS_IT_SAYS : mask;
}

/* The same place in the block of this rank. */
static uint64_t place_in(uint64_t at, uint32_t rank)
{
    return rank == SIM_MAX_CLUSTER ? at
                                   : (at & SIM_OFFSET_MASK) | (uint64_t)(rank + 1) << SIM_RANK_AT;
}

static bool flat_copy(struct sim_warp *w, const struct bulk *b, uint64_t shared, uint64_t global,
                      uint64_t n, int lane)
{
    bool both = b->to_shared && b->from_shared;
    if (!check(w, true, shared, n, b->to_shared, lane) ||
        !check_as(w, both, global, n, !b->to_shared, b->reduce ? MOD_STRONG : 0, lane))
        return false;
    if (!n)
        return true;
    uint8_t *s = shared_byte(w, shared),
            *g = both ? shared_byte(w, global) : (uint8_t *)(uintptr_t)global;
    if (b->reduce)
        reduce(b, g, s, n);
    else
        memcpy(b->to_shared ? s : g, b->to_shared ? g : s, (size_t)n);
    return true;
}

void sim_bulk_flat(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    struct bulk b;
    memcpy(&b, w->frame->f->ext + i->ext, sizeof b);
    for (int l = 0; l < SIM_LANES && !w->worker->failed; l++) {
        if (!(mask >> l & 1))
            continue;
        uint64_t shared = bulk_address(w, &b.shared, l), global = bulk_address(w, &b.global, l),
                 n = sim_row32(w, b.bytes)[l];
        if ((shared | global | n) & 15) {
            sim_report(w, SIM_FAULT_ALIGN, l,
                       "a bulk copy of %llu bytes whose addresses or size are not multiples of 16",
                       (unsigned long long)n);
            return;
        }
        for (uint32_t to = targets(w, &b, l); to; to &= to - 1) {
            uint32_t rank = (uint32_t)sim_first(to);
            if (!flat_copy(w, &b, place_in(shared, rank), global, n, l))
                return;
            if (b.to_shared)
                complete(w, place_in(bulk_address(w, &b.barrier, l), rank), n, l);
        }
        w->worker->n.async_copies++;
    }
}

/* The map that a lane names: a parameter, or in global or constant memory. */
static bool tensor_map(struct sim_warp *w, const struct bulk *b, int lane, struct sim_tensor_map *m)
{
    uint64_t at = bulk_address(w, &b->global, lane);
    const struct sim_job *j = w->worker->job;
    bool ok = true;
    if ((at & SIM_WINDOW_MASK) == SIM_WINDOW_PARAM) {
        uint64_t from = at & ~SIM_WINDOW_MASK;
        ok = from <= j->kernel->facts.param_bytes &&
             j->kernel->facts.param_bytes - from >= sizeof *m;
        if (ok)
            memcpy(m, (const uint8_t *)j->launch->params + from, sizeof *m);
    } else {
        if (!check(w, false, at, sizeof *m, false, lane))
            return false;
        memcpy(m, (const void *)(uintptr_t)at, sizeof *m);
    }
    ok = ok && m->magic == SIM_TENSOR_MAP_MAGIC && m->rank == b->rank && m->element &&
         !m->interleave;
    if (!ok)
        sim_report(w, SIM_FAULT_UNSUPPORTED, lane,
                   "no tensor map of %u dimensions (tiled, not interleaved) at 0x%llx", b->rank,
                   (unsigned long long)at);
    return ok;
}

static uint64_t swizzled(uint8_t mode, uint64_t at)
{
    static const uint64_t bits[4] = {0, 1, 3, 7};
    return at ^ (at >> 7 & bits[mode & 3]) << 4;
}

/* One element of the box: its place in the tensor, or false where it lies outside. */
static bool element_at(const struct sim_tensor_map *m, const int32_t *at, const uint32_t *k,
                       uint64_t *address)
{
    uint64_t a = m->address;
    for (uint32_t d = 0; d < m->rank; d++) {
        int64_t x = (int64_t)at[d] + (int64_t)k[d] * m->step[d];
        if (x < 0 || x > m->last[d])
            return false;
        a += (uint64_t)x * (d ? m->stride[d - 1] : m->element);
    }
    *address = a;
    return true;
}

static void put_fill(uint8_t *to, const struct sim_tensor_map *m)
{
    uint32_t nan = m->element == 2 ? (m->type == 9 ? 0x7FFF : 0x7FFF) : 0x7FFFFFFF;
    memset(to, 0, m->element);
    if (m->fill && m->element <= 4)
        memcpy(to, &nan, m->element);
    else if (m->fill)
        memset(to, 0x7F, m->element);
}

/* What the map says of the elements that are combined. */
static bool reduced_type(struct bulk *b, const struct sim_tensor_map *m)
{
    static const char types[] = {0, 0, 'u', 's', 'u', 's', 'h', 'f', 0, 'g', 'f', 0, 0};
    b->size = m->element;
    b->lanes = 1;
    b->type = m->type < sizeof types ? (uint32_t)types[m->type] : 0;
    return b->type != 0;
}

static bool copy_box(struct sim_warp *w, const struct bulk *b, const struct sim_tensor_map *m,
                     const int32_t *at, uint64_t shared, int lane)
{
    uint32_t k[5] = {0}, rows = 1, strong = b->reduce ? MOD_STRONG : 0;
    for (uint32_t d = 1; d < m->rank; d++)
        rows *= m->box[d];
    uint64_t inner = m->box[0], n = inner * rows * m->element;
    if (!check(w, true, shared, (n + 15) & ~(uint64_t)15, b->to_shared, lane))
        return false;
    for (uint32_t r = 0; r < rows; r++) {
        uint64_t run = UINT64_MAX, count = 0; /* what of this row lies inside, in one run */
        for (k[0] = 0; k[0] < inner; k[0]++) {
            uint64_t g,
                s = swizzled(m->swizzle, shared + ((uint64_t)r * inner + k[0]) * m->element);
            bool inside = element_at(m, at, k, &g);
            if (inside && m->step[0] == 1) {
                run = run == UINT64_MAX ? g : run;
                count++;
            }
            if (inside && m->step[0] != 1 &&
                !check_as(w, false, g, m->element, !b->to_shared, strong, lane))
                return false;
            if (!inside && b->to_shared)
                put_fill(shared_byte(w, s), m);
        }
        if (count && !check_as(w, false, run, count * m->element, !b->to_shared, strong, lane))
            return false;
        for (k[0] = 0; k[0] < inner; k[0]++) {
            uint64_t g,
                s = swizzled(m->swizzle, shared + ((uint64_t)r * inner + k[0]) * m->element);
            if (!element_at(m, at, k, &g))
                continue;
            uint8_t *in = shared_byte(w, s), *out = (uint8_t *)(uintptr_t)g;
            if (b->reduce)
                reduce(b, out, in, m->element);
            else
                memcpy(b->to_shared ? in : out, b->to_shared ? out : in, m->element);
        }
        for (uint32_t d = 1; d < m->rank && ++k[d] == m->box[d]; d++)
            k[d] = 0;
    }
    return true;
}

void sim_bulk_tensor(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    struct bulk b;
    memcpy(&b, w->frame->f->ext + i->ext, sizeof b);
    for (int l = 0; l < SIM_LANES && !w->worker->failed; l++) {
        struct sim_tensor_map m;
        int32_t at[5] = {0};
        uint64_t n = 1, shared = bulk_address(w, &b.shared, l);
        if (!(mask >> l & 1))
            continue;
        if (!tensor_map(w, &b, l, &m))
            return;
        for (uint32_t d = 0; d < b.rank; d++) {
            at[d] = (int32_t)sim_row32(w, b.at[d])[l];
            n *= m.box[d];
        }
        if (shared & 127 || n * m.element > w->block->shared_bytes) {
            sim_report(w, shared & 127 ? SIM_FAULT_ALIGN : SIM_FAULT_BOUNDS, l,
                       "a bulk tensor copy of %llu bytes at shared address %llu",
                       (unsigned long long)(n * m.element), (unsigned long long)shared);
            return;
        }
        if (b.reduce && !reduced_type(&b, &m)) {
            sim_report(w, SIM_FAULT_UNSUPPORTED, l, "a reduction of such elements");
            return;
        }
        for (uint32_t to = targets(w, &b, l); to; to &= to - 1) {
            uint32_t rank = (uint32_t)sim_first(to);
            if (!copy_box(w, &b, &m, at, place_in(shared, rank), l))
                return;
            if (b.to_shared)
                complete(w, place_in(bulk_address(w, &b.barrier, l), rank), n * m.element, l);
        }
        w->worker->n.async_copies++;
    }
}

/* ---- tensor maps in memory ---- */
/* PTX's numbers of element types, as the API has them: f32.ftz and f64 stand the other way. */
static bool map_type(struct sim_tensor_map *m, uint64_t value)
{
    static const uint8_t type[] = {0, 1, 2, 3, 4, 5, 6, 7, 10, 8, 9, 11, 12},
                         bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 4, 8, 2, 4, 4};
    if (value >= sizeof type)
        return false;
    m->type = type[value];
    m->element = bytes[value];
    return true;
}

/* False: a value that is not simulated or makes no sense. */
static bool map_set(struct sim_tensor_map *m, const struct map_change *c, uint64_t v)
{
    m->magic = SIM_TENSOR_MAP_MAGIC;
    switch ((enum map_field)c->field) {
    case MAP_ADDRESS: m->address = v; return !(v & 15);
    case MAP_RANK: m->rank = (uint8_t)(v + 1); return v < 5;
    case MAP_BOX: m->box[c->dimension] = (uint16_t)v; return v && v <= 256;
    case MAP_SIZE: m->last[c->dimension] = (uint32_t)v - 1; return v != 0;
    case MAP_STRIDE: m->stride[c->dimension & 3] = v; return !(v & 15) && c->dimension < 4;
    case MAP_STEP: m->step[c->dimension] = (uint8_t)v; return v && v <= 8;
    case MAP_TYPE: return map_type(m, v);
    case MAP_INTERLEAVE: m->interleave = (uint8_t)v; return v == 0;
    case MAP_SWIZZLE: m->swizzle = (uint8_t)v; return v <= 3;
    case MAP_FILL: m->fill = (uint8_t)v; return v <= 1;
    }
    return false;
}

/* The bytes of a map for a lane; NULL: reported. */
static uint8_t *map_bytes(struct sim_warp *w, bool shared, uint64_t at, bool write, int lane)
{
    if (at & 127) {
        sim_report(w, SIM_FAULT_ALIGN, lane,
                   "a tensor map at 0x%llx, which is not a multiple of 128",
                   (unsigned long long)at);
        return NULL;
    }
    if (!check(w, shared, at, sizeof(struct sim_tensor_map), write, lane))
        return NULL;
    return shared ? shared_byte(w, at) : (uint8_t *)(uintptr_t)at;
}

void sim_map_replace(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    struct map_change c;
    memcpy(&c, w->frame->f->ext + i->ext, sizeof c);
    for (int l = 0; l < SIM_LANES; l++) {
        struct sim_tensor_map m;
        if (!(mask >> l & 1))
            continue;
        uint64_t at = bulk_address(w, &c.map, l);
        uint64_t v = c.wide ? sim_row64(w, c.value)[l] : sim_row32(w, c.value)[l];
        uint8_t *p = map_bytes(w, c.shared, at, true, l);
        if (!p)
            return;
        memcpy(&m, p, sizeof m);
        if (!map_set(&m, &c, v)) {
            sim_report(w, SIM_FAULT_UNSUPPORTED, l, "%llu in this field of a tensor map",
                       (unsigned long long)v);
            return;
        }
        memcpy(p, &m, sizeof m);
    }
}

/* All lanes name the same maps. */
void sim_map_copy(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    struct map_copy c;
    int l = sim_first(mask);
    memcpy(&c, w->frame->f->ext + i->ext, sizeof c);
    uint64_t to = bulk_address(w, &c.to, l), from = bulk_address(w, &c.from, l);
    const uint8_t *p = map_bytes(w, true, from, false, l);
    uint8_t *q = p ? map_bytes(w, false, to, true, l) : NULL;
    if (!q)
        return;
    memcpy(q, p, sizeof(struct sim_tensor_map));
    if (w->worker->job->checked)
        sim_race_fence(w, 0);
}
