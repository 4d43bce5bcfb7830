/* race: who touched which word, and whether that is ordered. Each word has a cell for its last read
 * and one for its last write. Within a block an access is ordered before another where barriers lie
 * between: the block has a clock that grows at each, a warp remembers up to which clock it knows of
 * each other warp (where parts of it met, each lane of each lane). Without a barrier, also between
 * blocks, it is ordered where a fence and then an atomic (or a store that releases) of the one came
 * before an atomic (or a load that is volatile or acquires) of the other; between blocks those of
 * scope .cta do not count.
 */
#include "access.h"
#include <stdlib.h>

/* A cell: thread of the block 10 bits, clock 17, block 25, bytes of the last access 4, of all
 * accesses of the launch 4, and four flags. 0: not touched. */
#define CELL_CLOCK_AT 10
#define CELL_CLOCK_MAX 0x1FFFFu
#define CELL_BLOCK_AT 27
#define CELL_BLOCK_MASK 0x1FFFFFFu
#define CELL_NARROW ((uint64_t)1 << 52) /* strong, but of scope .cta */
#define CELL_BYTES_AT 53
#define CELL_UNION_AT 57
#define CELL_UNION ((uint64_t)15 << CELL_UNION_AT)
#define CELL_STRONG ((uint64_t)1 << 61)
#define CELL_THREADS ((uint64_t)1 << 62) /* several threads, none ordered before the last */
#define CELL_BLOCKS ((uint64_t)1 << 63)  /* several blocks */
#define CELL_SHARED_BY_ALL (CELL_BLOCKS | CELL_UNION)
/* What does not say who and when. */
#define CELL_DROP (CELL_NARROW | (uint64_t)0xFF << CELL_BYTES_AT | CELL_STRONG | CELL_THREADS)

static inline uint32_t cell_thread(uint64_t c) { return (uint32_t)c & 1023; }
static inline uint32_t cell_clock(uint64_t c)
{
    return (uint32_t)(c >> CELL_CLOCK_AT) & CELL_CLOCK_MAX;
}
static inline uint32_t cell_block(uint64_t c)
{
    return (uint32_t)(c >> CELL_BLOCK_AT) & CELL_BLOCK_MASK;
}
static inline uint32_t cell_bytes(uint64_t c) { return (uint32_t)(c >> CELL_BYTES_AT) & 15; }

#define load(p) atomic_load_explicit(p, memory_order_relaxed)
#define store(p, v) atomic_store_explicit(p, v, memory_order_relaxed)

/* ---- releases between blocks ---- */
/* A release of a block: what its releasing warp did at clocks below, all accesses below base, and
 * where that warp knows more of the others, theirs below `seen`. */
struct release {
    uint32_t block, below, base, warp;
    uint32_t *seen;  /* by warp, or NULL */
    uint32_t before; /* the block's release before, index + 1 */
    uint64_t at;     /* when: the log's time */
};
struct sim_sync {
    struct release *log;
    uint32_t count, cap;
    uint32_t *head; /* by block: the latest release, index + 1 */
    uint32_t head_size;
    uint64_t time;
    uint32_t views; /* how many have `seen` */
    bool full;
};
#define MAX_RELEASES (1u << 22)
#define MAX_VIEWS (1u << 18)

static uint32_t block_number(const struct sim_warp *w)
{
    return (uint32_t)w->block->index & CELL_BLOCK_MASK;
}

static struct sim_sync *sync_of(struct sim_job *j)
{
    if (!j->sync) {
        struct sim_sync *s = calloc(1, sizeof *s);
        uint64_t blocks = j->blocks < CELL_BLOCK_MASK ? j->blocks : CELL_BLOCK_MASK;
        if (s && !(s->head = calloc((size_t)blocks + 1, sizeof *s->head))) {
            free(s);
            s = NULL;
        }
        if (s)
            s->head_size = (uint32_t)blocks + 1;
        j->sync = s;
    }
    return j->sync;
}

/* What it is known of others beyond the block's last barrier: a copy. False: no memory. */
static bool view_of(struct sim_sync *s, const struct sim_warp *w, const uint32_t *knew,
                    uint32_t **seen)
{
    const struct sim_block_state *b = w->block;
    bool more = false;
    for (uint32_t k = 0; k < b->warps; k++)
        more = more || ((k != w->index || knew != w->seen) && knew[k] > b->base);
    *seen = NULL;
    if (!more)
        return true;
    *seen = s->views < MAX_VIEWS ? malloc(b->warps * sizeof **seen) : NULL;
    if (*seen)
        memcpy(*seen, knew, b->warps * sizeof **seen);
    s->views++;
    return *seen;
}

static bool log_room(struct sim_sync *s)
{
    if (s->count < s->cap)
        return true;
    uint32_t cap = s->cap ? 2 * s->cap : 256;
    struct release *log = cap > MAX_RELEASES ? NULL : realloc(s->log, cap * sizeof *log);
    if (log)
        s->log = log, s->cap = cap;
    return log;
}

static void job_release(struct sim_warp *w, uint32_t below, const uint32_t *knew)
{
    struct sim_job *j = w->worker->job;
    struct sim_block_state *b = w->block;
    struct release r = {
        .block = block_number(w), .below = below, .base = b->base, .warp = w->index};
    pthread_mutex_lock(&j->lock);
    struct sim_sync *s = sync_of(j);
    if (s && r.block < s->head_size && !s->full) {
        s->full = !view_of(s, w, knew, &r.seen) || !log_room(s);
        r.before = s->head[r.block];
        r.at = ++s->time;
        const struct release *last = r.before ? &s->log[r.before - 1] : NULL;
        bool news =
            !last || r.seen || last->below != below || last->base != r.base || last->warp != r.warp;
        if (news && !s->full) {
            s->log[s->count++] = r;
            s->head[r.block] = s->count;
        } else {
            free(r.seen);
        }
    }
    pthread_mutex_unlock(&j->lock);
}

static void job_acquire(struct sim_warp *w)
{
    struct sim_job *j = w->worker->job;
    pthread_mutex_lock(&j->lock);
    if (j->sync)
        w->block->acquired = j->sync->time + 1;
    pthread_mutex_unlock(&j->lock);
}

/* Whether this block has acquired since another released what the cell tells of. */
static bool released(struct sim_warp *w, uint64_t cell)
{
    struct sim_job *j = w->worker->job;
    bool ok = false;
    if (!w->block->acquired)
        return false;
    if (cell & CELL_BLOCKS)
        return true; /* which blocks is not known any more */
    pthread_mutex_lock(&j->lock);
    struct sim_sync *s = j->sync;
    uint32_t n = cell_block(cell), clock = cell_clock(cell);
    ok = !s || s->full || n >= s->head_size;
    for (uint32_t at = ok ? 0 : s->head[n]; at && !ok; at = s->log[at - 1].before) {
        const struct release *r = &s->log[at - 1];
        uint32_t warp = cell_thread(cell) / SIM_LANES;
        ok = r->at < w->block->acquired &&
             (clock < r->base || (warp == r->warp && clock < r->below) ||
              (r->seen && clock < r->seen[warp]));
    }
    pthread_mutex_unlock(&j->lock);
    return ok;
}

void sim_race_free(struct sim_sync *s)
{
    if (s) {
        for (uint32_t i = 0; i < s->count; i++)
            free(s->log[i].seen);
        free(s->log);
        free(s->head);
        free(s);
    }
}

/* ---- clocks within a block ---- */
static void tick(struct sim_block_state *b) { b->clock += b->clock < CELL_CLOCK_MAX; }

static void step(struct sim_warp *w)
{
    tick(w->block);
    w->clock = w->block->clock;
}

static void join(const struct sim_warp *w, uint32_t *know)
{
    for (uint32_t k = 0; k < w->block->warps; k++)
        know[k] = w->seen[k] > know[k] ? w->seen[k] : know[k];
    know[w->index] = know[w->index] > w->clock ? know[w->index] : w->clock + 1;
}

void sim_race_arrive(struct sim_warp *w, uint32_t *know, bool goes_on)
{
    join(w, know);
    if (goes_on)
        step(w);
    else
        w->fenced |=
            ~w->stored & (SIM_NEAR | SIM_FAR); /* the fence serves for the others' stores */
}

void sim_race_barrier(struct sim_block_state *b, const struct sim_barrier *x)
{
    tick(b);
    for (uint32_t i = 0; i < b->warps; i++) {
        struct sim_warp *w = &b->warp[i];
        if (!(x->waits >> i & 1))
            continue;
        for (uint32_t k = 0; k < b->warps; k++)
            w->seen[k] = x->know[k] > w->seen[k] ? x->know[k] : w->seen[k];
        w->seen[i] = w->clock = b->clock;
    }
    if (x->expected == b->warps * SIM_LANES && x->waits == x->warps)
        b->base = b->clock;
}

/* By lane of the warp, what it knows of each other one: NULL without memory. */
static uint32_t (*lanes_of(struct sim_warp *w))[SIM_LANES]
{
    if (!w->by_lane)
        w->by_lane = malloc(SIM_LANES * sizeof *w->by_lane);
    if (w->by_lane && !w->parted)
        memset(w->by_lane, 0, SIM_LANES * sizeof *w->by_lane);
    w->parted = w->by_lane;
    return w->by_lane;
}

void sim_race_warp_sync(struct sim_warp *w, uint32_t mask)
{
    uint32_t(*known)[SIM_LANES] = w->lanes & ~mask ? lanes_of(w) : NULL;
    tick(w->block);
    w->clock = w->block->clock;
    if (!known) {
        w->seen[w->index] = w->clock;
        return;
    }
    uint32_t all[SIM_LANES] = {0};
    for (int l = 0; l < SIM_LANES; l++)
        for (int k = 0; k < SIM_LANES && mask >> l & 1; k++)
            all[k] = known[l][k] > all[k] ? known[l][k] : all[k];
    for (int k = 0; k < SIM_LANES; k++)
        all[k] = mask >> k & 1 ? w->clock : all[k];
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1)
            memcpy(known[l], all, sizeof all);
}

/* The thread's clock below which accesses of thread `other` of its block are ordered before. */
static uint32_t known(const struct sim_warp *w, uint32_t thread, uint32_t other)
{
    uint32_t of = other / SIM_LANES, all = w->seen[of];
    if (of != w->index || !w->parted)
        return all;
    uint32_t lane = w->by_lane[thread % SIM_LANES][other % SIM_LANES];
    return lane > all ? lane : all;
}

void sim_race_give(struct sim_warp *w, uint32_t *know)
{
    join(w, know);
    sim_race_warp_sync(w, SIM_ALL);
}

void sim_race_take(struct sim_warp *w, const uint32_t *know)
{
    for (uint32_t k = 0; k < w->block->warps; k++)
        if (k != w->index && know[k] > w->seen[k])
            w->seen[k] = know[k];
}

/* ---- releases within a block ---- */
/* What follows is no longer what the fence, or the release, was for. */
static void part(struct sim_warp *w)
{
    if (w->fenced & SIM_NEAR)
        w->fenced_below = w->clock + 1;
    if (w->fenced & SIM_FAR)
        w->fenced_far = w->clock + 1;
    w->fenced = 0;
    step(w);
}

/* What the warp did at clocks below is there for the warps that acquire; its own lanes must do so
 * too. */
static void block_release(struct sim_warp *w, uint32_t below)
{
    struct sim_block_state *b = w->block;
    for (uint32_t k = 0; k < b->warps; k++)
        b->released[k] = w->seen[k] > b->released[k] ? w->seen[k] : b->released[k];
    if (b->released[w->index] < below)
        b->released[w->index] = below;
    b->releases = true;
}

static void block_acquire(struct sim_warp *w)
{
    struct sim_block_state *b = w->block;
    bool news = false;
    for (uint32_t k = 0; k < b->warps; k++)
        if (b->released[k] > w->seen[k]) {
            w->seen[k] = b->released[k];
            news = news || k != w->index;
        }
    if (news) {
        step(w);
        w->learned = w->clock;
    }
}

/* ---- accesses ---- */
struct access {
    struct sim_warp *w;
    struct sim_region *r;
    uint64_t mine;   /* block and clock as a cell */
    uint64_t strong; /* CELL_STRONG, with CELL_NARROW where it is; 0 */
    uint32_t block, base;
    bool write, blind; /* blind: MOD_BLIND */
};

/* Whether both are atomics, or the like, of a scope that holds the other. */
static bool both_strong(const struct access *a, uint64_t cell, bool far)
{
    return a->strong && cell & CELL_STRONG && !(far && (a->strong | cell) & CELL_NARROW);
}

/* Whether what the cell tells of may happen at the same time as an access of this thread. */
static bool concurrent(const struct access *a, uint64_t cell, uint32_t thread)
{
    const struct sim_warp *w = a->w;
    if ((cell & CELL_BLOCKS) || cell_block(cell) != a->block)
        return !both_strong(a, cell, true) && !released(a->w, cell);
    uint32_t clock = cell_clock(cell);
    if (clock < a->base || clock == CELL_CLOCK_MAX || both_strong(a, cell, false))
        return false;
    /* Which threads read with this one is not known: they may be those it has heard of since. */
    if (cell_thread(cell) == thread && (!(cell & CELL_THREADS) || clock < w->learned))
        return false;
    return clock >= known(w, thread, cell_thread(cell));
}

static void report(const struct access *a, uint64_t cell, int lane, uint64_t at, bool wrote)
{
    struct sim_worker *k = a->w->worker;
    struct sim_warp *w = a->w;
    const uint32_t *grid = k->job->launch->grid;
    uint32_t id[3], b = cell_block(cell);
    sim_thread_id(w, cell_thread(cell), id);
    k->fault.address = at;
    memcpy(k->fault.other, id, sizeof id);
    bool far = b != a->block || cell & CELL_BLOCKS;
    char where[64] = "";
    if (far)
        snprintf(where, sizeof where, " of block (%u,%u,%u)", b % grid[0], b / grid[0] % grid[1],
                 b / grid[0] / grid[1]);
    const char *several = cell & CELL_BLOCKS    ? "threads of several blocks, last "
                          : cell & CELL_THREADS ? "several threads, last "
                                                : "";
    sim_report(w, SIM_FAULT_RACE, lane,
               "%s of %s memory at 0x%llx, which %sthread (%u,%u,%u)%s%s %s with nothing between "
               "that orders the two",
               a->write ? (a->strong ? "atomic" : "store") : "load",
               a->r->mem ? "global" : "shared", (unsigned long long)at, several, id[0], id[1],
               id[2], where, *several ? "," : "", wrote ? "wrote" : "read");
}

static uint64_t merged(const struct access *a, uint64_t old, uint32_t thread, uint32_t bytes)
{
    uint64_t cell = a->mine | thread | (uint64_t)bytes << CELL_BYTES_AT |
                    (uint64_t)bytes << CELL_UNION_AT | (old & CELL_UNION) | a->strong;
    if (!(cell_bytes(old) &
          bytes)) /* other bytes of the word: of these the cell knows one reader only */
        return cell;
    /* With a plain reader among them several are plain. */
    uint64_t all = a->write || old & CELL_STRONG ? cell : cell & ~(CELL_STRONG | CELL_NARROW);
    if (old & CELL_BLOCKS)
        return all | CELL_BLOCKS | (old & CELL_STRONG ? 0 : CELL_THREADS);
    if (cell_block(old) != a->block)
        return all | CELL_BLOCKS;
    if (cell_clock(old) >= a->base && (cell_thread(old) != thread || old & CELL_THREADS) &&
        cell_clock(old) >= known(a->w, thread, cell_thread(old)))
        return all | CELL_THREADS;
    return cell;
}

/* Whether the warp's own plain store, of which no other warp knows yet, stays on record when one of
 * its atomics follows: others' atomics race with it. */
static bool stays(const struct access *a, uint64_t wrote, uint32_t bytes)
{
    const struct sim_block_state *b = a->w->block;
    uint32_t clock = cell_clock(wrote), warp = cell_thread(wrote) / SIM_LANES;
    if (!a->strong || !wrote || wrote & CELL_STRONG || bytes & ~cell_bytes(wrote) ||
        cell_block(wrote) != a->block || warp != a->w->index || clock < a->base)
        return false;
    for (uint32_t k = 0; k < b->warps; k++)
        if (k != warp && b->warp[k].seen[warp] > clock)
            return false;
    return true;
}

/* Whether memory holds already what a lane stores. */
typedef bool same_fn(void *with, int lane, uint64_t at);

/* Whether plain readers of several blocks are on record of all bytes: there is nothing to add.
 * all, any: what these cells have all, and any, of. */
static inline bool shared_by_all(uint64_t all, uint64_t any)
{
    return (all & CELL_SHARED_BY_ALL) == CELL_SHARED_BY_ALL && !(any & CELL_STRONG);
}

/* One lane's access to one word; `same` may be NULL. False: reported. */
static bool word(const struct access *a, uint64_t index, int lane, uint32_t thread, uint32_t bytes,
                 uint64_t at, same_fn *same, void *with)
{
    uint64_t wrote = load(&a->r->writes[index]);
    if (wrote && cell_bytes(wrote) & bytes && concurrent(a, wrote, thread) &&
        !(same && same(with, lane, at))) {
        report(a, wrote, lane, at, true);
        return false;
    }
    uint64_t read = load(&a->r->reads[index]);
    if (!a->write) {
        if (!shared_by_all(read, read))
            store(&a->r->reads[index], merged(a, read, thread, bytes));
        return true;
    }
    if (read && cell_bytes(read) & bytes && concurrent(a, read, thread) &&
        !(same && same(with, lane, at))) {
        report(a, read, lane, at, false);
        return false;
    }
    if (stays(a, wrote, bytes))
        return true;
    uint64_t cell = a->mine | thread | (uint64_t)bytes << CELL_BYTES_AT |
                    (uint64_t)bytes << CELL_UNION_AT | (wrote & CELL_UNION) | a->strong;
    /* Who came before in a row of atomics, only one with a result tells. */
    store(&a->r->writes[index], wrote && a->blind ? merged(a, wrote, thread, bytes) : cell);
    return true;
}

static void touch_pages(struct sim_region *r, uint64_t from, uint64_t to)
{
    if (r->pages)
        for (uint64_t p = from / SIM_PAGE; p <= to / SIM_PAGE; p++)
            if (!__atomic_load_n(&r->pages[p], __ATOMIC_RELAXED))
                __atomic_store_n(&r->pages[p], 1, __ATOMIC_RELAXED);
}

static bool quiet_row(const struct access *a, const uint64_t *cell, uint64_t words, uint64_t mine)
{
    static const uint64_t who =
        CELL_THREADS | CELL_BLOCKS | (uint64_t)CELL_BLOCK_MASK << CELL_BLOCK_AT | 1023;
    unsigned shift = words == SIM_LANES       ? 0
                     : words == 2 * SIM_LANES ? 1
                     : words == 4 * SIM_LANES ? 2
                                              : 3;
    return a->w->worker->job->quiet(cell, words, CELL_DROP,
                                    (uint64_t)a->block << (CELL_BLOCK_AT - CELL_CLOCK_AT), a->base,
                                    mine, who, shift);
}

/* All lanes, one behind the other, whole words: true if it is done. */
SIM_NO_TSAN static bool in_a_row(const struct access *a, const uint64_t *at, uint32_t mask,
                                 uint32_t n)
{
    if (n & 3 || (at[0] & 3) || sim_shape_of(a->w, at, mask, n)->pattern != SIM_IN_A_ROW)
        return false;
    uint64_t first = (at[0] - a->r->lo) / 4, per = n / 4, words = per * SIM_LANES;
    /* Whole rows of cells at once; other threads may store single cells meanwhile, which is as if
     * they came a little later. */
    uint64_t *reads = (uint64_t *)(void *)(a->r->reads + first),
             *writes = (uint64_t *)(void *)(a->r->writes + first);
    uint64_t any_write = 0, any_read = 0, all_read = UINT64_MAX;
    for (uint64_t k = 0; k < words; k++) {
        any_write |= writes[k];
        any_read |= reads[k];
        all_read &= reads[k];
    }
    uint64_t cell = a->mine | (uint64_t)a->w->index * SIM_LANES | (uint64_t)15 << CELL_BYTES_AT |
                    CELL_UNION | a->strong;
    if (any_write && ((a->write && a->strong) || !quiet_row(a, writes, words, cell)))
        return false;
    if (!a->write && shared_by_all(all_read, any_read))
        return true;
    if (any_read && !quiet_row(a, reads, words, cell))
        return false;
    touch_pages(a->r, at[0] - a->r->lo, at[0] - a->r->lo + words * 4 - 1);
    uint64_t *to = a->write ? writes : reads;
    if (per == 1)
        for (uint64_t k = 0; k < SIM_LANES; k++)
            to[k] = cell | k;
    else
        for (uint64_t k = 0; k < words; k++)
            to[k] = cell | k / per;
    return true;
}

/* Reads of words of which several blocks have read all bytes and nobody wrote any: nothing to note.
 */
SIM_NO_TSAN static bool only_read(const struct access *a, const uint64_t *at, uint32_t mask,
                                  uint32_t n)
{
    uint64_t wrote = 0, all = UINT64_MAX, any = 0;
    if (a->write || n != 4 || mask != SIM_ALL)
        return false;
    const uint64_t *reads = (const uint64_t *)(const void *)a->r->reads,
                   *writes = (const uint64_t *)(const void *)a->r->writes;
    for (int l = 0; l < SIM_LANES; l++) {
        uint64_t x = (at[l] - a->r->lo) / 4;
        wrote |= writes[x];
        all &= reads[x];
        any |= reads[x];
    }
    return !wrote && shared_by_all(all, any);
}

/* Whether this scope ends with the block. */
static bool is_narrow(const struct sim_warp *w, uint32_t mods)
{
    return mods & MOD_NARROW || (mods & MOD_IN_CLUSTER && w->worker->job->cluster_size == 1);
}

static struct access begin(struct sim_warp *w, struct sim_region *r, bool write, uint32_t mods)
{
    uint32_t block = block_number(w);
    return (struct access){.w = w,
                           .r = r,
                           .block = block,
                           .base = w->block->base,
                           .write = write,
                           .blind = mods & MOD_BLIND,
                           .strong = (mods & (MOD_STRONG | MOD_GUESS) ? CELL_STRONG : 0) |
                                     (mods & MOD_STRONG && is_narrow(w, mods) ? CELL_NARROW : 0),
                           .mine = (uint64_t)block << CELL_BLOCK_AT | (uint64_t)w->clock
                                                                          << CELL_CLOCK_AT};
}

/* Lanes that load from the same place. */
struct readers {
    uint64_t from[SIM_LANES];
    uint32_t lanes[SIM_LANES];
    int count;
};

/* Not all that are the same are found: of two places with the same slot the first is forgotten. */
static void readers_of(struct readers *r, const struct access *a, const uint64_t *at, uint32_t mask,
                       uint32_t n)
{
    uint8_t slot[64];
    int shift = __builtin_ctz(n), at_last = 0;
    uint64_t last = UINT64_MAX;
    memset(slot, 0xFF, sizeof slot);
    r->count = 0;
    for (uint32_t m = mask; m; m &= m - 1) {
        int l = sim_first(m);
        uint64_t from = at[l] - a->r->lo;
        if (from != last) {
            uint8_t *k = &slot[from >> shift & 63];
            if (*k == 0xFF || r->from[*k] != from) {
                *k = (uint8_t)r->count;
                r->from[r->count] = from;
                r->lanes[r->count++] = 0;
            }
            at_last = *k;
            last = from;
        }
        r->lanes[at_last] |= 1u << l;
    }
}

/* Of this block, and ordered before all that it does now. */
static inline bool past(const struct access *a, uint64_t cell)
{
    return ((cell & ~CELL_DROP) >> CELL_CLOCK_AT) -
               ((uint64_t)a->block << (CELL_BLOCK_AT - CELL_CLOCK_AT)) <
           a->base;
}

/* Loads of whole words where nothing can be wrong: what was written is past, what was read is past
 * or of this block. The lanes that are left are looked at one by one. */
SIM_NO_TSAN static uint32_t read_words(const struct access *a, const uint64_t *at, uint32_t mask,
                                       uint32_t n)
{
    struct readers r;
    uint32_t left = 0;
    uint64_t *reads = (uint64_t *)(void *)a->r->reads, *writes = (uint64_t *)(void *)a->r->writes;
    readers_of(&r, a, at, mask, n);
    for (int k = 0; k < r.count; k++) {
        uint64_t thread = a->w->index * SIM_LANES + (uint64_t)sim_first(r.lanes[k]);
        uint64_t cell = a->mine | thread | (uint64_t)15 << CELL_BYTES_AT | CELL_UNION |
                        (r.lanes[k] & (r.lanes[k] - 1) ? CELL_THREADS : 0);
        uint64_t x = r.from[k] / 4, end = x + n / 4;
        touch_pages(a->r, r.from[k], r.from[k] + n - 1);
        for (; x < end; x++) {
            uint64_t read = reads[x], to = cell;
            if (writes[x] && !past(a, writes[x]))
                break;
            if (read == cell || read == (cell | CELL_THREADS))
                continue;
            if (read && !past(a, read)) {
                if (shared_by_all(read, read))
                    continue;
                if (((read ^ cell) & ~(uint64_t)(1023 | CELL_THREADS)) != 0)
                    break;
                to |= CELL_THREADS; /* of the same clock */
            }
            reads[x] = to;
        }
        left |= x < end ? r.lanes[k] : 0;
    }
    return left;
}

SIM_NO_TSAN static void each(const struct access *a, const uint64_t *at, uint32_t mask, uint32_t n,
                             same_fn *same, void *with)
{
    uint64_t last = UINT64_MAX;
    if (!a->write && !a->strong && !(n & 3))
        mask = read_words(a, at, mask, n);
    for (; mask; mask &= mask - 1) {
        int l = sim_first(mask);
        uint64_t from = at[l] - a->r->lo;
        uint32_t thread = a->w->index * SIM_LANES + (uint32_t)l;
        if (from != last)
            touch_pages(a->r, from, from + n - 1);
        if (from == last && !a->write) { /* the lane before read the same */
            if (n >= 4) {
                for (uint64_t x = from / 4; x < (from + n) / 4; x++) {
                    uint64_t c = load(&a->r->reads[x]);
                    if (!(c & CELL_THREADS))
                        store(&a->r->reads[x], c | CELL_THREADS);
                }
                continue;
            }
        }
        last = from;
        for (uint64_t x = from / 4; x <= (from + n - 1) / 4; x++) {
            uint64_t lo = x * 4 > from ? x * 4 : from,
                     hi = x * 4 + 4 < from + n ? x * 4 + 4 : from + n;
            uint32_t bytes = ((1u << (hi - lo)) - 1) << (lo & 3);
            if (!word(a, x, l, thread, bytes, a->r->lo + lo, same, with))
                return;
        }
    }
}

void sim_race_access(struct sim_warp *w, struct sim_region *r, const uint64_t *at, uint32_t mask,
                     uint32_t n, bool write, uint32_t mods)
{
    struct access a = begin(w, r, write, mods);
    if (!in_a_row(&a, at, mask, n) && !only_read(&a, at, mask, n))
        each(&a, at, mask, n, NULL, NULL);
}

/* ---- stores: two that store the same value do no harm ---- */
struct stored {
    struct sim_warp *w;
    const struct sim_inst *i;
    const struct sim_region *r;
    const uint64_t *at;
    uint32_t mask;
};

/* The byte that a lane stores at `offset` of its access. */
static uint8_t byte_of(const struct stored *s, uint64_t offset, int lane)
{
    uint32_t row = s->w->frame->f->ext[s->i->ext + offset / s->i->size];
    uint64_t v = s->i->c == 8 ? sim_row64(s->w, row)[lane] : sim_row32(s->w, row)[lane];
    return (uint8_t)(v >> 8 * (offset % s->i->size));
}

/* Of the word around `at`. A lane before of the same instruction has stored already. */
static bool holds(void *with, int lane, uint64_t at)
{
    const struct stored *s = with;
    uint64_t n = (uint64_t)s->i->size * s->i->count, end = (at | 3) + 1;
    for (; at < end && at < s->at[lane] + n; at++) {
        uint8_t have = s->r->host[at - s->r->lo];
        for (int l = lane - 1; l >= 0; l--)
            if (s->mask >> l & 1 && at - s->at[l] < n) {
                have = byte_of(s, at - s->at[l], l);
                break;
            }
        if (have != byte_of(s, at - s->at[lane], lane))
            return false;
    }
    return true;
}

void sim_race_store(struct sim_warp *w, const struct sim_inst *i, struct sim_region *r,
                    const uint64_t *at, uint32_t mask, uint32_t n)
{
    bool strong = i->mods & MOD_STRONG;
    if (w->fenced && !strong)
        part(w);
    w->stored |= strong ? 0 : SIM_NEAR | SIM_FAR;
    struct access a = begin(w, r, true, i->mods);
    struct stored s = {w, i, r, at, mask};
    if (!in_a_row(&a, at, mask, n))
        each(&a, at, mask, n, holds, &s);
}

/* ---- what synchronises ---- */
static uint32_t scopes(bool narrow) { return narrow ? SIM_NEAR : SIM_NEAR | SIM_FAR; }

void sim_race_fence(struct sim_warp *w, uint32_t mods)
{
    uint32_t s = scopes(is_narrow(w, mods));
    w->fenced |= s;
    w->stored &= ~s;
}

void sim_race_release(struct sim_warp *w, const struct sim_inst *i)
{
    bool narrow = is_narrow(w, i->mods);
    w->fenced |= i->mods & MOD_RELEASE ? scopes(narrow) : 0;
    if (w->fenced)
        part(w);
    if (!narrow && w->fenced_far && w->worker->job->blocks > 1) {
        job_release(w, w->fenced_far, w->seen);
        w->fenced_far = 0;
    }
    if (w->fenced_below)
        block_release(w, w->fenced_below);
    w->fenced_below = 0;
}

void sim_race_acquire(struct sim_warp *w, const struct sim_inst *i)
{
    if (w->worker->job->sync && !is_narrow(w, i->mods))
        job_acquire(w);
    if (w->block->releases)
        block_acquire(w);
}

void sim_race_far_release(struct sim_warp *w, const uint32_t *knew)
{
    job_release(w, knew ? 0 : w->clock + 1, knew ? knew : w->seen);
    if (!knew)
        step(w);
}

void sim_race_far_acquire(struct sim_warp *w)
{
    if (w->worker->job->sync)
        job_acquire(w);
}

/* ---- after a launch ---- */
static void sweep_page(sim_mem *m, uint64_t page, uint64_t *reads, uint64_t *writes)
{
    uint64_t words = (m->bytes + 3) / 4, from = page * (SIM_PAGE / 4), to = from + SIM_PAGE / 4;
    to = to < words ? to : words;
    uint64_t r = 0, w = 0;
    for (uint64_t k = from; k < to; k++) {
        uint64_t c = load(&m->reads[k]) >> CELL_UNION_AT & 15,
                 d = load(&m->writes[k]) >> CELL_UNION_AT & 15;
        r += (0x4332322132212110u >> 4 * c) & 15;
        w += (0x4332322132212110u >> 4 * d) & 15;
    }
    *reads += r;
    *writes += w;
    memset((void *)(m->reads + from), 0, (size_t)(to - from) * sizeof *m->reads);
    memset((void *)(m->writes + from), 0, (size_t)(to - from) * sizeof *m->writes);
}

void sim_race_sweep(sim_mem *m, struct sim_counters *n)
{
    uint64_t pages = (m->bytes + SIM_PAGE - 1) / SIM_PAGE, reads = 0, writes = 0;
    for (uint64_t p = 0; p < pages;) {
        if (!m->pages[p]) {
            uint8_t *next = memchr(m->pages + p, 1, (size_t)(pages - p));
            if (!next)
                break;
            p = (uint64_t)(next - m->pages);
        }
        m->pages[p] = 0;
        sweep_page(m, p++, &reads, &writes);
    }
    if (!n)
        return;
    n->unique_load_bytes += reads;
    n->unique_store_bytes += writes;
}
