/* taint: what was never written. A load of such bytes is no fault by itself (vectors have padding):
 * the bits are followed through registers, as Memcheck does it. Moves, bit operations, shifts,
 * conversions of integers, shuffles and stores pass them on exactly; any other arithmetic on them
 * gives a result that is wholly undefined. A value is strict if arithmetic made it, or if nothing
 * was ever written of what its lane loaded from global or shared memory (else the bits are padding,
 * which may be copied). Reported is: an address, a condition or a table's index that is undefined,
 * an undefined operand of an atomic, and a strict undefined value that is stored to global memory.
 * All of it costs nothing while no warp has met an undefined bit. */
#include "taint.h"
#include "access.h"
#include <stdlib.h>

#define ALL64 UINT64_MAX

/* ---- the shadow of a window: bits of each row, then a mask of lanes for each row: strict ---- */
static bool shadow(struct sim_warp *w)
{
    struct sim_frame *fr = w->frame;
    if (!fr->undef)
        fr->undef = calloc(1, fr->capacity + fr->capacity / 32 + 64);
    return fr->undef != NULL;
}

static uint32_t *strict_lanes(struct sim_warp *w, uint32_t row)
{
    return (uint32_t *)(void *)(w->frame->undef + w->frame->capacity + row / 128 * 4);
}

uint64_t sim_taint_get(struct sim_warp *w, uint32_t row, uint8_t size, int lane)
{
    const uint8_t *u = w->frame->undef;
    if (!u)
        return 0;
    return size == 8 ? ((const uint64_t *)(const void *)(u + row))[lane]
                     : ((const uint32_t *)(const void *)(u + row))[lane];
}

static bool is_strict(struct sim_warp *w, uint32_t row, int lane)
{
    return w->frame->undef && *strict_lanes(w, row) >> lane & 1;
}

static void put(struct sim_warp *w, uint32_t row, uint8_t size, int lane, uint64_t bits,
                bool strict)
{
    if (!w->frame->undef) {
        if (!bits || !shadow(w))
            return;
    }
    uint8_t *u = w->frame->undef;
    if (size == 8)
        ((uint64_t *)(void *)(u + row))[lane] = bits;
    else
        ((uint32_t *)(void *)(u + row))[lane] =
            size == 2 ? (uint32_t)bits & 0xFFFF : (uint32_t)bits;
    uint32_t *c = strict_lanes(w, row), bit = 1u << lane;
    *c = bits && strict ? *c | bit : *c & ~bit;
    w->tainted = w->tainted || bits;
}

void sim_taint_set(struct sim_warp *w, uint32_t row, uint8_t size, int lane, uint64_t bits)
{
    put(w, row, size, lane, bits, bits != 0);
}

/* Passed on, not strict. */
void sim_taint_copy(struct sim_warp *w, uint32_t row, uint8_t size, int lane, uint64_t bits)
{
    put(w, row, size, lane, bits, false);
}

void sim_taint_clear(struct sim_warp *w, uint32_t row, uint8_t size, uint32_t mask)
{
    for (int l = 0; l < SIM_LANES && w->frame->undef; l++)
        if (mask >> l & 1)
            put(w, row, size, l, 0, false);
}

uint32_t sim_taint_lanes(struct sim_warp *w, uint32_t row, uint8_t size, uint32_t mask)
{
    uint32_t m = 0;
    for (int l = 0; l < SIM_LANES && w->frame->undef; l++)
        m |= (mask >> l & 1 && sim_taint_get(w, row, size, l) ? 1u : 0u) << l;
    return m;
}

/* A predicate's shadow is the mask of lanes where it is undefined, at the same place. */
uint32_t sim_taint_pred(struct sim_warp *w, uint32_t at, uint32_t mask)
{
    return w->frame->undef ? *(uint32_t *)(void *)(w->frame->undef + at) & mask : 0;
}

static void set_pred(struct sim_warp *w, uint32_t at, uint32_t mask, uint32_t lanes)
{
    if (!w->frame->undef) {
        if (!lanes || !shadow(w))
            return;
    }
    uint32_t *u = (uint32_t *)(void *)(w->frame->undef + at);
    *u = (*u & ~mask) | (lanes & mask);
    w->tainted = w->tainted || lanes;
}

void sim_taint_set_pred(struct sim_warp *w, uint32_t at, uint32_t mask, uint32_t lanes)
{
    set_pred(w, at, mask, lanes);
}

/* ---- instructions of lanes ---- */
static uint8_t size_of(char letter)
{
    return letter == 'l' || letter == 'D' ? 8 : letter == 'h' || letter == 'H' ? 2 : 4;
}

struct operands {
    uint64_t value[4], undef[4];
    bool strict;
    int count;
};

/* Values and undefined bits of the sources in one lane. */
static struct operands operands(struct sim_warp *w, const struct sim_inst *i, const char *shape,
                                int lane)
{
    const uint32_t at[4] = {i->a, i->b, i->c, i->e};
    struct operands o = {.count = (int)strlen(shape) - 1};
    for (int k = 0; k < o.count && k < 4; k++) {
        if (shape[k + 1] == 'p') {
            uint32_t p = *sim_pred(w, at[k]);
            o.value[k] = (i->mods & MOD_NOT ? ~p : p) >> lane & 1;
            o.undef[k] = sim_taint_pred(w, at[k], 1u << lane) ? 1 : 0;
            continue;
        }
        uint8_t size = size_of(shape[k + 1]);
        o.value[k] = size == 8 ? sim_row64(w, at[k])[lane] : sim_row32(w, at[k])[lane];
        o.undef[k] = sim_taint_get(w, at[k], size, lane);
        o.strict = o.strict || (o.undef[k] && is_strict(w, at[k], lane));
    }
    return o;
}

static uint64_t shifted(const struct operands *o, unsigned bits, bool left)
{
    uint64_t by = o->value[1];
    if (o->undef[1])
        return ALL64;
    if (by >= bits)
        return 0;
    return left ? o->undef[0] << by : o->undef[0] >> by;
}

static uint64_t permuted(const struct operands *o)
{
    uint64_t pool = o->undef[1] << 32 | o->undef[0], r = 0;
    if (o->undef[2])
        return ALL64;
    for (unsigned k = 0; k < 4; k++) {
        unsigned s = (unsigned)(o->value[2] >> 4 * k) & 15;
        uint64_t byte = pool >> 8 * (s & 7) & 255;
        if (s & 8)
            byte = byte & 0x80 ? 255 : 0;
        r |= byte << 8 * k;
    }
    return r;
}

static uint64_t extracted(const struct operands *o, unsigned bits)
{
    uint64_t at = o->value[1] & 255, n = o->value[2] & 255;
    if (o->undef[1] || o->undef[2])
        return ALL64;
    uint64_t u = at >= bits ? 0 : o->undef[0] >> at;
    return n >= 64 ? u : u & (((uint64_t)1 << n) - 1);
}

/* The result's undefined bits. *strict: arithmetic made it, or a source is. */
static uint64_t result(const struct sim_row *row, const struct operands *o, bool *strict)
{
    uint64_t any = 0;
    unsigned bits = 8u * size_of(row->shape[1]);
    for (int k = 0; k < o->count; k++)
        any |= o->undef[k];
    *strict = o->strict;
    switch ((enum sim_taint)row->taint) {
    case TAINT_COPY:
    case TAINT_XOR: return any;
    case TAINT_AND:
        return (o->undef[0] | o->undef[1]) & (o->value[0] | o->undef[0]) &
               (o->value[1] | o->undef[1]);
    case TAINT_OR:
        return (o->undef[0] | o->undef[1]) & (~o->value[0] | o->undef[0]) &
               (~o->value[1] | o->undef[1]);
    case TAINT_SHL: return shifted(o, bits, true);
    case TAINT_SHR: return shifted(o, bits, false);
    case TAINT_PRMT: return permuted(o);
    case TAINT_BFE: return extracted(o, bits);
    case TAINT_SELECT:
        if (o->undef[2])
            break;
        return o->value[2] ? o->undef[0] : o->undef[1];
    case TAINT_ALL: break;
    }
    *strict = any != 0;
    return any ? ALL64 : 0;
}

static void step_row(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    const struct sim_row *row = &sim_rows().row[i->op];
    bool sets = (i->mods & (MOD_SET_INT | MOD_SET_FLOAT)) || row->shape[0] != 'p';
    uint32_t bad = 0;
    uint64_t und[SIM_LANES] = {0};
    uint32_t stricts = 0;
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        struct operands o = operands(w, i, row->shape, l);
        bool strict;
        if (i->mods & (MOD_AND | MOD_OR | MOD_XOR) && row->shape[0] == 'p' &&
            sim_taint_pred(w, i->c, 1u << l))
            o.undef[0] |= 1;
        und[l] = result(row, &o, &strict);
        stricts |= (strict ? 1u : 0u) << l;
        bad |= (und[l] ? 1u : 0u) << l;
    }
    if (!sets) {
        set_pred(w, i->d, mask, bad);
        if (i->mods & MOD_PAIR)
            set_pred(w, i->e, mask, bad);
        return;
    }
    uint8_t size = row->shape[0] == 'p' ? 4 : size_of(row->shape[0]);
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1)
            put(w, i->d, size, l, und[l], stricts >> l & 1);
}

static void step_lop3(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        struct operands o = operands(w, i, "wwww", l);
        uint64_t u = 0;
        for (unsigned bit = 0; bit < 32;
             bit++) { /* undefined where a change of undefined inputs changes it */
            unsigned v = 0, m = 0;
            for (int k = 0; k < 3; k++) {
                v |= (unsigned)(o.value[k] >> bit & 1) << (2 - k);
                m |= (unsigned)(o.undef[k] >> bit & 1) << (2 - k);
            }
            bool differs = false;
            for (unsigned flip = m; flip && !differs; flip = (flip - 1) & m)
                differs = (i->imm >> v & 1) != (i->imm >> (v ^ flip) & 1);
            u |= (uint64_t)(differs ? 1 : 0) << bit;
        }
        put(w, i->d, 4, l, u, o.strict);
    }
}

static void step_logic(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint32_t a = *sim_pred(w, i->a), b = *sim_pred(w, i->b);
    uint32_t ua = sim_taint_pred(w, i->a, SIM_ALL), ub = sim_taint_pred(w, i->b, SIM_ALL),
             u = ua | ub;
    if (i->mods & MOD_AND)
        u &= (a | ua) & (b | ub);
    else if (i->mods & MOD_OR)
        u &= (~a | ua) & (~b | ub);
    set_pred(w, i->d, mask, u);
}

static void step_parts(struct sim_warp *w, const struct sim_inst *i, uint32_t mask, bool pack)
{
    const uint32_t *part = w->frame->f->ext + i->ext;
    unsigned bits = 8u * i->size;
    uint64_t all = bits == 32 ? 0xFFFFFFFF : ((uint64_t)1 << bits) - 1;
    uint8_t whole = i->size * i->count == 8 ? 8 : 4;
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        uint64_t u = pack ? 0 : sim_taint_get(w, i->a, whole, l);
        bool strict = !pack && is_strict(w, i->a, l);
        for (unsigned k = 0; k < i->count; k++) {
            if (!pack) {
                put(w, part[k], 4, l, u >> bits * k & all, strict);
                continue;
            }
            uint64_t p = sim_taint_get(w, part[k], 4, l) & all;
            u |= p << bits * k;
            strict = strict || (p && is_strict(w, part[k], l));
        }
        if (pack)
            put(w, i->d, whole, l, u, strict);
    }
}

/* Integers to integers keep their bits; all else is arithmetic. */
static void step_cvt(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    static const uint8_t bytes[8] = {1, 2, 4, 8, 1, 2, 4, 8};
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        uint64_t u = sim_taint_get(w, i->a, i->count, l);
        bool ints = i->sub < 8 && i->space < 8 && !(i->mods & MOD_SAT),
             strict = u && (!ints || is_strict(w, i->a, l));
        if (ints) {
            unsigned have = 8u * bytes[i->sub], want = 8u * bytes[i->space];
            unsigned keep = have < want ? have : want;
            uint64_t low = keep == 64 ? ALL64 : ((uint64_t)1 << keep) - 1;
            u &= low;
            if (u >> (keep - 1) & 1 && (have < want ? i->sub : i->space) >= 4)
                u |= ~low;
        } else {
            u = u ? ALL64 : 0;
        }
        put(w, i->d, i->size, l, u, strict);
    }
}

/* All of the sources in `shape` or nothing. */
static void step_any(struct sim_warp *w, const struct sim_inst *i, uint32_t mask, const char *shape)
{
    uint32_t bad = 0;
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        struct operands o = operands(w, i, shape, l);
        bool any = o.undef[0] | o.undef[1] | o.undef[2];
        bad |= (any ? 1u : 0u) << l;
        if (shape[0] != 'p')
            put(w, i->d, size_of(shape[0]), l, any ? ALL64 : 0, any);
    }
    if (shape[0] == 'p')
        set_pred(w, i->d, mask, bad);
}

static void step_shift_half(struct sim_warp *w, const struct sim_inst *i, uint32_t mask, bool join)
{
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1) {
            uint64_t a = sim_taint_get(w, i->a, 4, l), b = join ? sim_taint_get(w, i->b, 4, l) : 0;
            put(w, i->d, 4, l, join ? a | b << 16 : a >> i->count & 0xFFFF,
                is_strict(w, i->a, l) || (join && is_strict(w, i->b, l)));
        }
}

void sim_taint_step(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    if (!w->worker->job->checked || !w->frame->undef)
        return;
    if (i->op && i->op < SIM_OP_FIRST) {
        step_row(w, i, mask);
        return;
    }
    switch (i->op) {
    case SIM_OP_LOP3: step_lop3(w, i, mask); break;
    case SIM_OP_LOGIC: step_logic(w, i, mask); break;
    case SIM_OP_PACK: step_parts(w, i, mask, true); break;
    case SIM_OP_UNPACK: step_parts(w, i, mask, false); break;
    case SIM_OP_MOV_PRED: set_pred(w, i->d, mask, sim_taint_pred(w, i->a, SIM_ALL)); break;
    case SIM_OP_CVT: step_cvt(w, i, mask); break;
    case SIM_OP_CVT_PAIR: step_any(w, i, mask, i->size == 2 ? "hww" : "www"); break;
    case SIM_OP_CVT_ONE: step_any(w, i, mask, i->size == 2 ? "hw" : "ww"); break;
    case SIM_OP_ADDRESS: step_any(w, i, mask, "ll"); break;
    case SIM_OP_RANK:
        step_any(w, i, mask,
                 i->fn == sim_mapa ? (i->size == 8 ? "llw" : "www")
                 : i->size == 8    ? "wl"
                                   : "ww");
        break;
    case SIM_OP_SPACE: step_any(w, i, mask, "pl"); break;
    case SIM_OP_LOW_HALF: step_shift_half(w, i, mask, false); break;
    case SIM_OP_JOIN: step_shift_half(w, i, mask, true); break;
    case SIM_OP_FRESH: sim_taint_clear(w, i->d, i->size, mask); break;
    }
}

/* ---- memory ---- */
/* Undefined bits of n bytes whose known bits begin at byte `b` of the array. */
static uint64_t undefined_bits(const uint8_t *known, uint64_t b, unsigned n)
{
    uint64_t u = 0;
    for (unsigned k = 0; k < n; k++)
        if (!(known[(b + k) / 4] >> ((b + k) & 3) & 1))
            u |= (uint64_t)255 << 8 * k;
    return u;
}

static uint64_t sign_extended(const struct sim_inst *i, uint64_t u)
{
    unsigned bits = 8u * i->size;
    return bits < 64 && i->mods & MOD_SIGNED && u >> (bits - 1) & 1 ? u | ALL64 << bits : u;
}

static bool known_in_a_row(struct sim_warp *w, const struct sim_region *r, const uint64_t *at,
                           uint32_t mask, uint32_t n, uint64_t *first)
{
    *first = (at[0] - r->lo) / 4;
    return !(n & 3) && sim_shape_of(w, at, mask, n)->pattern == SIM_IN_A_ROW && !(at[0] & 3);
}

/* Whether nothing that a lane loads was ever written. Bytes and halves may be padding that is
 * copied piece by piece: they are seen in the 8 bytes around them. */
static bool never_written(const struct sim_region *r, uint64_t b, uint32_t n)
{
    uint64_t end = r->hi - r->lo, to = b + n;
    if (n < 4) {
        b &= ~(uint64_t)7;
        to = b + 8 < end ? b + 8 : end;
    }
    for (; b < to; b++)
        if (r->known[b / 4] >> (b & 3) & 1)
            return false;
    return true;
}

static bool all_known(const struct sim_region *r, const uint64_t *at, uint32_t mask, uint32_t n)
{
    for (; mask; mask &= mask - 1) {
        uint64_t b = at[sim_first(mask)] - r->lo;
        uint32_t four = 0;
        if (n < 4 && undefined_bits(r->known, b, n))
            return false;
        if (n == 16)
            memcpy(&four, r->known + b / 4, 4);
        if (n == 16 && four == 0x0F0F0F0F)
            continue;
        for (uint64_t x = b / 4; n >= 4 && x < (b + n) / 4; x++)
            if (r->known[x] != 15)
                return false;
    }
    return true;
}

void sim_taint_load(struct sim_warp *w, const struct sim_inst *i, struct sim_region *r,
                    const uint64_t *at, uint32_t mask)
{
    const uint32_t *row = w->frame->f->ext + i->ext;
    uint32_t n = (uint32_t)i->size * i->count;
    uint64_t first;
    bool clean = !r->known;
    if (!clean && known_in_a_row(w, r, at, mask, n, &first)) {
        uint8_t all = 15;
        for (uint64_t k = 0; k < (uint64_t)n * 8; k++)
            all &= r->known[first + k];
        clean = all == 15;
    } else if (!clean) {
        clean = all_known(r, at, mask, n);
    }
    if (clean && !w->tainted)
        return;
    if (!clean)
        w->undef_line = w->frame->f->lines[w->pc].ptx;
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        uint64_t b = at[l] - r->lo;
        bool strict = !clean && never_written(r, b, n);
        for (uint32_t k = 0; k < i->count; k++) {
            uint64_t u = clean ? 0 : undefined_bits(r->known, b + k * i->size, i->size);
            put(w, row[k], (uint8_t)i->c, l, sign_extended(i, u), strict);
        }
    }
}

static void know(const struct sim_region *r, uint64_t b, unsigned n, uint64_t undef)
{
    uint8_t *known = r->known;
    if (undef && r->mem)
        __atomic_store_n(&r->mem->settled, 0, __ATOMIC_RELAXED);
    if (!(b & 3) && !(n & 3) && !undef) {
        memset(known + b / 4, 15, n / 4);
        return;
    }
    for (unsigned k = 0; k < n; k++) {
        uint8_t bit = (uint8_t)(1u << ((b + k) & 3));
        if (undef >> 8 * k & 255)
            __atomic_fetch_and(&known[(b + k) / 4], (uint8_t)~bit, __ATOMIC_RELAXED);
        else
            __atomic_fetch_or(&known[(b + k) / 4], bit, __ATOMIC_RELAXED);
    }
}

void sim_taint_store(struct sim_warp *w, const struct sim_inst *i, struct sim_region *r,
                     const uint64_t *at, uint32_t mask)
{
    const uint32_t *row = w->frame->f->ext + i->ext;
    uint32_t n = (uint32_t)i->size * i->count;
    uint64_t first, low = i->size == 8 ? ALL64 : ((uint64_t)1 << 8 * i->size) - 1;
    bool tainted = w->tainted && w->frame->undef;
    if (!tainted && !r->known)
        return;
    if (!tainted && known_in_a_row(w, r, at, mask, n, &first)) {
        memset(r->known + first, 15, (size_t)n * 8);
        return;
    }
    for (int l = 0; l < SIM_LANES; l++)
        for (uint32_t k = 0; k < i->count && mask >> l & 1; k++) {
            uint64_t u = tainted ? sim_taint_get(w, row[k], (uint8_t)i->c, l) & low : 0;
            if (u && r->mem && is_strict(w, row[k], l) && !w->worker->later.kind) {
                w->worker->fault.address = at[l];
                sim_report(w, SIM_FAULT_UNINIT, l,
                           "a value from memory that was never written is stored to global "
                           "memory at 0x%llx",
                           (unsigned long long)at[l]);
                sim_report_later(w->worker);
            }
            if (r->known)
                know(r, at[l] - r->lo + k * i->size, i->size, u);
        }
}

void sim_taint_atomic(struct sim_warp *w, const struct sim_inst *i, struct sim_region *r,
                      const uint64_t *at, uint32_t mask)
{
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        bool plain = i->count == 6; /* exch writes without reading */
        if (w->tainted && (sim_taint_get(w, i->b, i->size, l) ||
                           (i->count == 5 && sim_taint_get(w, i->c, i->size, l)))) {
            sim_report(w, SIM_FAULT_UNINIT, l,
                       "an atomic's operand comes from memory that was never written");
            return;
        }
        uint64_t u = r->known ? undefined_bits(r->known, at[l] - r->lo, i->size) : 0;
        if (u && !plain) {
            w->worker->fault.address = at[l];
            sim_report(w, SIM_FAULT_UNINIT, l,
                       "an atomic on memory at 0x%llx that was never written",
                       (unsigned long long)at[l]);
            return;
        }
        if (r->known)
            know(r, at[l] - r->lo, i->size, 0);
        if (i->d != NO_OPERAND && (w->tainted || u))
            put(w, i->d, i->size, l, u, false);
    }
}

void sim_taint_local_load(struct sim_warp *w, const struct sim_inst *i, const uint8_t *known,
                          int lane)
{
    const uint32_t *row = w->frame->f->ext + i->ext;
    for (uint32_t k = 0; k < i->count; k++) {
        uint64_t u = 0;
        for (unsigned b = 0; b < i->size; b++)
            u |= known[k * i->size + b] ? 0 : (uint64_t)255 << 8 * b;
        if (u)
            w->undef_line = w->frame->f->lines[w->pc].ptx;
        if (u || w->tainted)
            put(w, row[k], (uint8_t)i->c, lane, sign_extended(i, u), false);
    }
}

void sim_taint_local_store(struct sim_warp *w, const struct sim_inst *i, uint8_t *known, int lane)
{
    const uint32_t *row = w->frame->f->ext + i->ext;
    for (uint32_t k = 0; k < i->count; k++) {
        uint64_t u = w->tainted ? sim_taint_get(w, row[k], (uint8_t)i->c, lane) : 0;
        for (unsigned b = 0; b < i->size; b++)
            known[k * i->size + b] = !(u >> 8 * b & 255);
    }
}

bool sim_taint_address(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    return sim_taint_row(w, i->a, i->sub, mask);
}

bool sim_taint_row(struct sim_warp *w, uint32_t row, uint8_t size, uint32_t mask)
{
    uint32_t bad = w->worker->job->checked ? sim_taint_lanes(w, row, size, mask) : 0;
    if (bad)
        sim_report(w, SIM_FAULT_UNINIT, sim_first(bad),
                   "an address depends on memory that was never written");
    return !bad;
}

void sim_taint_shfl(struct sim_warp *w, const struct sim_inst *i, const int *source, uint32_t mask)
{
    uint64_t u[SIM_LANES];
    uint32_t strict = 0;
    if (!w->tainted || !w->frame->undef)
        return;
    for (int l = 0; l < SIM_LANES; l++) {
        u[l] = mask >> l & 1 ? sim_taint_get(w, i->a, 4, source[l]) : 0;
        strict |= (mask >> l & 1 && is_strict(w, i->a, source[l]) ? 1u : 0u) << l;
    }
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1)
            put(w, i->d, 4, l, u[l], strict >> l & 1);
    if (i->ext != NO_OPERAND)
        set_pred(w, i->ext, mask, 0);
}

void sim_taint_warp_result(struct sim_warp *w, const struct sim_inst *i, uint32_t mask,
                           bool undefined, bool pred)
{
    if (!w->tainted && !undefined)
        return;
    if (pred)
        set_pred(w, i->d, mask, undefined ? mask : 0);
    for (int l = 0; l < SIM_LANES && !pred; l++)
        if (mask >> l & 1)
            put(w, i->d, 4, l, undefined ? ALL64 : 0, undefined);
}
