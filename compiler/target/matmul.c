/* Tiles of a GPU's matrix products and their prices: the cheapest tile and number of parts of k for
 * a shape, by a table of what a multiprocessor does in a cycle. */
#include "target/matmul.h"

static int64_t ceiling(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Of a block: rows, columns, a step of k; of a thread (fma) or warp (tensor cores): rows, columns.
 * Of equal prices the first is taken. */
/* clang-format off */
static const struct matmul_tile fma_tiles[] = {
    {128, 128, 8, 8, 8}, {128, 64, 8, 8, 8}, {64, 128, 8, 8, 8}, {64, 64, 16, 8, 4},
    {64, 64, 16, 4, 4},   {32, 128, 16, 4, 8}, {128, 32, 16, 8, 4}, {32, 64, 16, 4, 4},
    {64, 32, 16, 4, 4},   {32, 32, 16, 4, 4},  {16, 128, 16, 4, 4}, {128, 16, 16, 4, 4},
    {16, 64, 16, 4, 4},   {64, 16, 16, 4, 4},  {8, 128, 16, 4, 4},  {128, 8, 16, 4, 4},
    {8, 64, 16, 4, 4},    {64, 8, 16, 4, 4},
};
static const struct matmul_tile half_tiles[] = {
    {128, 256, 32, 64, 64}, {128, 128, 32, 64, 64}, {128, 128, 32, 64, 32}, {128, 64, 32, 64, 32},
    {64, 128, 32, 32, 64},  {64, 64, 32, 32, 32},   {32, 128, 32, 32, 32},  {128, 32, 32, 32, 32},
    {32, 64, 32, 16, 32},   {64, 32, 32, 32, 16},   {32, 32, 32, 16, 16},   {16, 128, 32, 16, 32},
    {128, 16, 32, 32, 16},  {16, 64, 32, 16, 16},   {64, 16, 32, 16, 16},
};
static const struct matmul_tile tf32_tiles[] = {
    {128, 256, 16, 64, 64}, {128, 128, 16, 64, 64}, {128, 128, 16, 64, 32}, {128, 64, 16, 64, 32},
    {64, 128, 16, 32, 64},  {64, 64, 16, 32, 32},   {32, 128, 16, 32, 32},  {128, 32, 16, 32, 32},
    {32, 64, 16, 16, 32},   {64, 32, 16, 32, 16},   {32, 32, 16, 16, 16},   {16, 128, 16, 16, 32},
    {128, 16, 16, 32, 16},  {16, 64, 16, 16, 16},   {64, 16, 16, 16, 16},
};
/* clang-format on */
struct tiles {
    const struct matmul_tile *p;
    size_t n;
};

static struct tiles tiles_of(enum matmul_unit u)
{
    switch (u) {
    case MATMUL_FMA: return (struct tiles){fma_tiles, COUNT(fma_tiles)};
    case MATMUL_TF32: return (struct tiles){tf32_tiles, COUNT(tf32_tiles)};
    case MATMUL_BF16:
    case MATMUL_F16:
    case MATMUL_F16_K8: break;
    }
    return (struct tiles){half_tiles, COUNT(half_tiles)};
}

enum matmul_unit matmul_unit(const struct target *t, enum nn_dtype factor, bool tf32)
{
    uint32_t have = t->tensor;
    if (factor == NN_bf16 && have & TARGET_BF16)
        return MATMUL_BF16;
    if (factor == NN_f16 && have & (TARGET_F16 | TARGET_F16_K8))
        return have & TARGET_F16 ? MATMUL_F16 : MATMUL_F16_K8;
    return factor == NN_f32 && tf32 && have & TARGET_TF32 ? MATMUL_TF32 : MATMUL_FMA;
}

int64_t matmul_element(enum matmul_unit u) { return u == MATMUL_FMA || u == MATMUL_TF32 ? 4 : 2; }

int64_t matmul_threads(enum matmul_unit u, const struct matmul_tile *t)
{
    return t->m / t->tm * (t->n / t->tn) * (u == MATMUL_FMA ? 1 : 32);
}

int64_t matmul_shared(enum matmul_unit u, const struct matmul_tile *t, int64_t stages)
{
    int64_t tiles = stages * (t->m + t->n) * t->k * matmul_element(u);
    int64_t slab = matmul_element(u) == 2 ? t->m / t->tm * 16 * (t->n + 8) * 4 : 0;
    return tiles + slab;
}

/* By tensor cores four steps on their way, or three, so that two blocks share a multiprocessor. */
static int64_t stages_of(const struct matmul *p, const struct matmul_tile *t)
{
    if (p->unit == MATMUL_FMA || !p->t->async)
        return 2;
    return matmul_shared(p->unit, t, 4) <= p->t->shared_sm / 2 - 1024 ? 4 : 3;
}

/* Of a thread, for `n` elements of an operand on their way. */
static int64_t staging(enum matmul_way way, int64_t n)
{
    return way == MATMUL_COPIED ? 0 : way == MATMUL_STAGED ? n : 2 * n;
}

/* Whether a thread's registers hold its sums, fragments of the factors, what is on its way to
 * shared memory, and 60 of addresses. */
static bool registers_do(const struct matmul *p, const struct matmul_tile *t)
{
    enum { OTHERS = 60, MOST = 255 };
    bool fma = p->unit == MATMUL_FMA;
    int64_t sums = t->tm * t->tn / (fma ? 1 : 32);
    int64_t fragments = fma ? t->tm + t->tn : t->tn / 4 + 4;
    int64_t threads = matmul_threads(p->unit, t);
    int64_t staged = staging(p->way_a, t->m * t->k / threads);
    staged += staging(p->way_b, t->n * t->k / threads);
    return sums + fragments + staged + OTHERS <= MOST;
}

/* ---- prices ---- in cycles of a multiprocessor or in what goes through one in a cycle. */

enum { FMA = 128 };
#define TILE_CYCLES 1500.0  /* a block's begin and end */
#define PHASE_CYCLES 4000.0 /* another phase: a launch, and waiting for the last block */
#define MEMORY 12.0         /* bytes of memory */
#define CACHE 40.0          /* bytes of the second cache */
#define CLOCK 1.5e9

/* Products a cycle and multiprocessor. */
static double speed(const struct matmul *p)
{
    double half = p->t->tensor_tflops * 1e12 / 2 / CLOCK / p->t->sms;
    return p->unit == MATMUL_FMA ? FMA : p->unit == MATMUL_TF32 ? half / 2 : half;
}

/* Cycles that a multiprocessor spends on a step of k of `blocks` blocks at once: the products,
 * reads of shared memory (by fma 16 bytes a thread, some 2.5 cycles a warp; by tensor cores 128
 * bytes a cycle), what comes from the second cache; more where warps are too few to hide waiting.
 */
static double step_cycles(const struct matmul *p, const struct matmul_tile *t, double blocks)
{
    double warps = blocks * (double)matmul_threads(p->unit, t) / 32;
    double products = blocks * t->m * t->n * t->k / speed(p);
    double reads = warps * (t->tm + t->tn) * t->k;
    double element = (double)matmul_element(p->unit);
    reads = p->unit == MATMUL_FMA ? reads / 4 * 2.5 : reads * element / 128;
    double fills = blocks * (t->m + t->n) * t->k * element / CACHE;
    double busy = products > reads ? products + reads / 8 : reads + products / 8;
    busy = busy > fills ? busy : fills;
    return busy * (warps < 4 ? 4 / warps : 1) * (warps < 8 ? 1.3 : 1);
}

/* Cycles of the whole with this tile and so many parts of k. */
static double cycles(const struct matmul *p, const struct matmul_tile *t, int64_t parts)
{
    double sms = p->t->sms, m = (double)ceiling(p->m, t->m), n = (double)ceiling(p->n, t->n);
    double blocks = m * n * (double)p->batch * (double)parts;
    double steps = (double)ceiling(ceiling(p->k, t->k), parts);
    int64_t whole = (int64_t)(blocks / sms), rest = (double)whole * sms < blocks;
    double total = 0;
    if (whole) /* blocks of a multiprocessor overlap */
        total = steps * step_cycles(p, t, (double)(whole < 4 ? whole : 4)) * (double)whole /
                (double)(whole < 4 ? whole : 4);
    total += (double)rest * steps * step_cycles(p, t, 1);
    total += TILE_CYCLES * (double)(whole / 4 + 1);
    double result = (double)p->m * (double)p->n * (double)p->batch;
    if (parts > 1)
        total += PHASE_CYCLES + 8 * result * (double)parts / sms / MEMORY;
    return total;
}

struct matmul_choice matmul_choose(const struct matmul *p)
{
    struct tiles all = tiles_of(p->unit);
    struct matmul_choice best = {.cycles = -1};
    for (uint32_t i = 0; i < all.n; i++)
        for (int64_t parts = 1; parts <= 64; parts *= 2) {
            const struct matmul_tile *t = &all.p[i];
            int64_t stages = stages_of(p, t);
            if ((parts > 1 && p->k / parts < 4 * t->k) || !registers_do(p, t) ||
                matmul_shared(p->unit, t, stages) > p->t->shared_block)
                continue;
            double now = cycles(p, t, parts);
            if (best.cycles < 0 || now < best.cycles)
                best = (struct matmul_choice){*t, parts, stages, now};
        }
    return best;
}

struct matmul_choice matmul_choose_within(const struct matmul *p, int32_t threads, int64_t bytes)
{
    struct tiles all = tiles_of(p->unit);
    struct matmul_choice best = {.cycles = -1};
    for (uint32_t i = 0; i < all.n; i++) {
        const struct matmul_tile *t = &all.p[i];
        if (matmul_threads(p->unit, t) != threads || matmul_shared(p->unit, t, 2) > bytes)
            continue;
        double tiles = (double)ceiling(p->m, t->m) * (double)ceiling(p->n, t->n);
        double now = tiles * ((double)ceiling(p->k, t->k) * step_cycles(p, t, 1) + TILE_CYCLES / 8);
        if (best.cycles < 0 || now < best.cycles)
            best = (struct matmul_choice){*t, 1, 2, now};
    }
    return best;
}

/* ---- times ---- */

/* Own kernels reach about 4/5 of what the cycles promise, and on tensor cores from sm_90 on the
 * half that mma.sync has. */
double matmul_own_us(const struct matmul *p, const struct matmul_choice *c)
{
    bool warpgroups = p->unit != MATMUL_FMA && p->t->shared_block > 200000;
    return c->cycles / (warpgroups ? 0.55 : 0.8) / CLOCK * 1e6;
}

/* The library's reach nine tenths, with the tile and parts that are best; calling it takes longer
 * than a launch. */
double matmul_library_us(const struct matmul *p)
{
    return (matmul_choose(p).cycles / 0.9 + PHASE_CYCLES / 2) / CLOCK * 1e6;
}
