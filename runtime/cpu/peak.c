/* The machine's peak, measured: independent chains of fused multiply-adds in registers, with the
 * widest vectors that the processor has. What a kernel reaches is set against it. */
#include "common.h"
#include "cpu/pool.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CHAINS = 12, ROUNDS = 200000, REPEATS = 9 };

typedef double chains(float seed); /* ROUNDS rounds of all chains; returns their flops */

/* Twelve chains of `vec`, FMA(x, m, c) each round. The result goes through a volatile, so that
 * nothing is left out. */
#define PEAK(name, attribute, vec, SPLAT, FMA)                                                     \
    attribute static double name(float seed)                                                       \
    {                                                                                              \
        vec m = SPLAT(0.999f), c = SPLAT(seed), x[CHAINS];                                         \
        for (int i = 0; i < CHAINS; i++)                                                           \
            x[i] = SPLAT(seed * (float)i);                                                         \
        for (int r = 0; r < ROUNDS; r++) {                                                         \
            x[0] = FMA(x[0], m, c), x[1] = FMA(x[1], m, c), x[2] = FMA(x[2], m, c);                \
            x[3] = FMA(x[3], m, c), x[4] = FMA(x[4], m, c), x[5] = FMA(x[5], m, c);                \
            x[6] = FMA(x[6], m, c), x[7] = FMA(x[7], m, c), x[8] = FMA(x[8], m, c);                \
            x[9] = FMA(x[9], m, c), x[10] = FMA(x[10], m, c), x[11] = FMA(x[11], m, c);            \
        }                                                                                          \
        float out[CHAINS * sizeof(vec) / sizeof(float)];                                           \
        volatile float keep;                                                                       \
        memcpy(out, x, sizeof out);                                                                \
        for (size_t i = 0; i < NN_COUNT(out); i++)                                                 \
            keep = out[i];                                                                         \
        (void)keep;                                                                                \
        return 2.0 * NN_COUNT(out) * ROUNDS;                                                       \
    }

#if defined(__x86_64__)
PEAK(peak_512, __attribute__((target("avx512f"))), __m512, _mm512_set1_ps, _mm512_fmadd_ps)
PEAK(peak_256, __attribute__((target("avx2,fma"))), __m256, _mm256_set1_ps, _mm256_fmadd_ps)
#define MUL_ADD(x, m, c) _mm_add_ps(_mm_mul_ps(x, m), c)
PEAK(peak_base, , __m128, _mm_set1_ps, MUL_ADD)
#else
typedef float base_vec __attribute__((vector_size(16)));
#define BASE_SPLAT(v) ((base_vec){(v), (v), (v), (v)})
#define MUL_ADD(x, m, c) ((x) * (m) + (c))
PEAK(peak_base, , base_vec, BASE_SPLAT, MUL_ADD)
#endif

static chains *widest(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return peak_512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return peak_256;
#endif
    return peak_base;
}

struct job {
    chains *run;
    double flops[4096]; /* a thread */
};

static void measure(void *user, int thread, int64_t c0, int64_t c1)
{
    struct job *j = user;
    for (int64_t c = c0; c < c1; c++)
        j->flops[thread] += j->run(1e-3f);
}

double nn_peak_gflops(struct nn_pool *pool)
{
    static struct job j;
    int threads = pool ? nn_pool_threads(pool) : 1;
    double best = 0;
    for (int r = 0; r < REPEATS; r++) {
        j = (struct job){.run = widest()};
        double t = nn_now(), flops = 0;
        if (pool)
            nn_pool_run(pool, measure, &j, 4 * threads);
        else
            measure(&j, 0, 0, 4);
        t = nn_now() - t;
        for (int i = 0; i < threads; i++)
            flops += j.flops[i];
        best = flops / t > best ? flops / t : best;
    }
    return best * 1e-9;
}
