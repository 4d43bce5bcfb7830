/* The arena: every value that lives within one run of a graph gets an offset so that values alive
 * at the same time never overlap. Greedy by size: the largest first, each at the lowest free gap.
 */
#include "program/program_internal.h"

struct placed {
    uint64_t at, end;
    uint32_t from, to;
};

static int larger_first(const void *x, const void *y)
{
    const struct program_buffer *a = *(struct program_buffer *const *)x;
    const struct program_buffer *b = *(struct program_buffer *const *)y;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    return a < b ? -1 : a > b;
}

static int lower_first(const void *x, const void *y)
{
    const struct placed *a = x, *b = y;
    return a->at < b->at ? -1 : a->at > b->at;
}

/* The lowest offset where `bytes` fit beside everything placed that is alive at the same time. */
static uint64_t gap(const struct placed *p, uint32_t n, const struct program_buffer *b)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (p[i].from > b->to || p[i].to < b->from)
            continue;
        if (p[i].at >= at + b->bytes)
            break;
        if (p[i].end > at)
            at = p[i].end;
    }
    return at;
}

uint64_t program_plan_arena(struct program_buffer *buffer, uint32_t n)
{
    struct program_buffer **order = xmalloc(n * sizeof *order);
    struct placed *p = xmalloc(n * sizeof *p);
    uint64_t peak = 0;
    for (uint32_t i = 0; i < n; i++)
        order[i] = &buffer[i];
    qsort(order, n, sizeof *order, larger_first);
    for (uint32_t i = 0; i < n; i++) {
        struct program_buffer *b = order[i];
        b->offset = gap(p, i, b);
        p[i] = (struct placed){b->offset, b->offset + b->bytes, b->from, b->to};
        if (p[i].end > peak)
            peak = p[i].end;
        qsort(p, i + 1, sizeof *p, lower_first);
    }
    free(p);
    free(order);
    return peak;
}
