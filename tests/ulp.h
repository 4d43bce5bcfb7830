/* Errors in units of the last place, for tests of f32 functions. */
#ifndef NNC_TEST_ULP_H
#define NNC_TEST_ULP_H

#include <math.h>
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

#endif
