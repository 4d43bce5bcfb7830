/* warp: instructions in which lanes exchange values. All sources are read before a result is
 * written. */
#include "access.h"
#include "number.h"
#include "taint.h"
#include <math.h>

void sim_shfl(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint32_t from[SIM_LANES], *d = sim_row32(w, i->d), in_range = 0;
    const uint32_t *b = sim_row32(w, i->b), *c = sim_row32(w, i->c);
    int source[SIM_LANES];
    memcpy(from, sim_row32(w, i->a), sizeof from);
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        int segment = (int)(c[l] >> 8 & 31), clamp = (int)(c[l] & 31), by = (int)(b[l] & 31);
        int high = (l & segment) | (clamp & ~segment), low = l & segment, s = l;
        bool ok = false;
        switch (i->sub) {
        case 0:
            s = l - by;
            ok = s >= high;
            break;
        case 1:
            s = l + by;
            ok = s <= high;
            break;
        case 2:
            s = l ^ by;
            ok = s <= high;
            break;
        case 3:
            s = low | (by & ~segment);
            ok = s <= high;
            break;
        }
        s = ok ? s : l;
        in_range |= (ok ? 1u : 0u) << l;
        source[l] = s;
        if (!(mask >> s & 1)) {
            sim_report(w, SIM_FAULT_SHUFFLE, l, "shfl.sync reads lane %d, which %s", s,
                       w->exited >> s & 1  ? "has left the kernel"
                       : w->lanes >> s & 1 ? "is not active"
                                           : "does not exist");
            return;
        }
    }
    for (int l = 0; l < SIM_LANES; l++)
        d[l] = mask >> l & 1 ? from[source[l]] : d[l];
    sim_taint_shfl(w, i, source, mask);
    if (i->ext != NO_OPERAND) {
        uint32_t *p = sim_pred(w, i->ext);
        *p = (*p & ~mask) | (in_range & mask);
    }
    w->worker->n.shuffles++;
}

void sim_vote(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint32_t p = *sim_pred(w, i->a);
    p = (i->mods & MOD_NOT ? ~p : p) & mask;
    w->worker->n.shuffles++;
    if (w->tainted)
        sim_taint_warp_result(w, i, mask, sim_taint_pred(w, i->a, mask) != 0, i->sub != 3);
    if (i->sub == 3) {
        uint32_t *d = sim_row32(w, i->d);
        for (int l = 0; l < SIM_LANES; l++)
            d[l] = mask >> l & 1 ? p : d[l];
        return;
    }
    bool yes = i->sub == 0 ? p == mask : i->sub == 1 ? p != 0 : p == mask || !p;
    uint32_t *d = sim_pred(w, i->d);
    *d = (*d & ~mask) | (yes ? mask : 0);
}

void sim_match(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint64_t v[SIM_LANES];
    for (int l = 0; l < SIM_LANES; l++)
        v[l] = i->size == 8 ? sim_row64(w, i->a)[l] : sim_row32(w, i->a)[l];
    if (w->tainted)
        sim_taint_warp_result(w, i, mask, sim_taint_lanes(w, i->a, i->size, mask) != 0, false);
    uint32_t *d = sim_row32(w, i->d), same_all = 0;
    for (int l = 0; l < SIM_LANES; l++) {
        uint32_t same = 0;
        if (!(mask >> l & 1))
            continue;
        for (int k = 0; k < SIM_LANES; k++)
            same |= (mask >> k & 1 && v[k] == v[l] ? 1u : 0u) << k;
        same_all = same == mask ? mask : same_all;
        d[l] = i->sub ? (same == mask ? mask : 0) : same;
    }
    if (i->ext != NO_OPERAND) {
        uint32_t *p = sim_pred(w, i->ext);
        *p = (*p & ~mask) | same_all;
    }
    w->worker->n.shuffles++;
}

void sim_redux(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    const uint32_t *a = sim_row32(w, i->a);
    int first = sim_first(mask);
    uint32_t r = a[first];
    if (i->count && i->mods & MOD_ABS)
        r &= 0x7FFFFFFF;
    bool nan = false;
    for (int l = first; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        uint32_t v = a[l];
        if (i->count) {
            float x = sim_f32(r), y = sim_f32(i->mods & MOD_ABS ? v & 0x7FFFFFFF : v);
            nan = nan || y != y;
            r = sim_bits32(i->sub == 1 ? fminf(x, y) : fmaxf(x, y));
            continue;
        }
        if (l == first)
            continue;
        bool less = i->mods & MOD_SIGNED ? (int32_t)v < (int32_t)r : v < r;
        switch (i->sub) {
        case 0: r += v; break;
        case 1: r = less ? v : r; break;
        case 2: r = less ? r : v; break;
        case 3: r &= v; break;
        case 4: r |= v; break;
        case 5: r ^= v; break;
        }
    }
    if (i->count && ((nan && i->mods & MOD_NAN) || sim_f32(r) != sim_f32(r)))
        r = 0x7FFFFFFF;
    if (w->tainted)
        sim_taint_warp_result(w, i, mask, sim_taint_lanes(w, i->a, 4, mask) != 0, false);
    uint32_t *d = sim_row32(w, i->d);
    for (int l = 0; l < SIM_LANES; l++)
        d[l] = mask >> l & 1 ? r : d[l];
    w->worker->n.shuffles++;
}

void sim_activemask(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint32_t *d = sim_row32(w, i->d);
    for (int l = 0; l < SIM_LANES; l++)
        d[l] = mask >> l & 1 ? mask : d[l];
}

void sim_elect(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint32_t lane = (uint32_t)sim_first(mask), *d = sim_row32(w, i->d), *p = sim_pred(w, i->ext);
    for (int l = 0; l < SIM_LANES; l++)
        d[l] = mask >> l & 1 ? lane : d[l];
    *p = (*p & ~mask) | 1u << lane;
}
