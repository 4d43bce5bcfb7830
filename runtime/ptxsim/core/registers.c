/* registers: how many registers of hardware a function would need, estimated: the most that are
 * live at once when every register lives from its first to its last mention, and through a loop
 * that it is used in and set before. It serves launch limits and occupancy; execution has no use
 * for it. */
#include "decode.h"
#include <stdlib.h>

#define MAX_WORK ((uint64_t)1 << 26) /* spans times loops */

/* A register that is set before a loop and used in it lives to the loop's end. */
static void extend(const struct decoder *d, struct span *span)
{
    uint32_t loops = 0;
    for (uint32_t j = 0; j < d->count; j++)
        loops += d->code[j].kind == RUN_BRANCH && (uint64_t)d->code[j].imm <= j;
    if ((uint64_t)loops * d->spans > MAX_WORK)
        return;
    for (uint32_t j = 0; j < d->count; j++) {
        uint64_t begin = (uint64_t)d->code[j].imm;
        if (d->code[j].kind != RUN_BRANCH || begin > j)
            continue;
        for (uint32_t k = 0; k < d->spans; k++)
            if (span[k].first < begin && span[k].last >= begin && span[k].last < j)
                span[k].last = j;
    }
}

uint32_t dec_registers(const struct decoder *d)
{
    int32_t *change = calloc(d->count + 2, sizeof *change);
    int32_t now = 0, most = 0;
    if (!change)
        return 255;
    extend(d, d->span);
    for (uint32_t k = 0; k < d->spans; k++) {
        const struct span *s = &d->span[k];
        int32_t n = s->size == 8 ? 2 : s->size ? 1 : 0; /* predicates have a file of their own */
        uint32_t last = s->last < d->count ? s->last : d->count;
        change[s->first < d->count ? s->first : d->count] += n;
        change[last + 1] -= n;
    }
    for (uint32_t k = 0; k <= d->count; k++) {
        now += change[k];
        most = now > most ? now : most;
    }
    free(change);
    uint32_t n = ((uint32_t)most + 4 + 7) / 8 * 8; /* addresses and the like; given out by eight */
    return n < 16 ? 16 : n > 255 ? 255 : n;
}
