/* Errors in units of the last place, for tests of f32 functions. */
#ifndef NNC_TEST_ULP_H
#define NNC_TEST_ULP_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline float from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline double ulps(float got, double exact)
{
    if (isnan(exact) || isnan(got))
        return isnan(exact) && isnan(got) ? 0 : INFINITY;
    if ((double)got == exact || (isinf(got) && got == (float)exact))
        return 0;
    if (fabs(exact) < 0x1p-126) /* flushed, or just not */
        return fabs(got) <= 0x1p-126f ? 0 : INFINITY;
    int e;
    frexp(exact, &e);
    return fabs(got - exact) / ldexp(1, (e > 128 ? 128 : e) - 24);
}

/* Infinities, NaNs (with odd payloads), zeros of both signs and some numbers, in all pairs, those
 * of one x beside each other. */
enum { SPECIALS = 18 };
static inline void special_pairs(float *x, float *z)
{
    const float v[SPECIALS] = {0.0f,  -0.0f, INFINITY, -INFINITY, NAN,    from_bits(0x7fa001ff),
                               1.0f,  -1.0f, 2.0f,     -2.0f,     3.0f,   0.5f,
                               -0.5f, -3.0f, 1e30f,    -1e30f,    1e-30f, from_bits(0xffc12345)};
    for (int i = 0; i < SPECIALS * SPECIALS; i++)
        x[i] = v[i / SPECIALS], z[i] = v[i % SPECIALS];
}

static inline bool same(float a, float b)
{
    return (isnan(a) && isnan(b)) || (a == b && !signbit(a) == !signbit(b));
}

/* Infinities, NaNs, zeros and their signs and 1 are exact, the rest is within `bound`. */
static inline bool as_wanted(float got, float want, double bound)
{
    if (isnan(want) || isinf(want) || want == 0 || want == 1)
        return same(got, want);
    return ulps(got, (double)want) <= bound;
}

#endif
