/* number: conversions between the number formats of PTX, one value at a time, correctly rounded. */
#ifndef SIM_NUMBER_H
#define SIM_NUMBER_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum sim_rounding { SIM_RN, SIM_RZ, SIM_RM, SIM_RP, SIM_RNA, SIM_RNI };

static inline float sim_f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static inline uint32_t sim_bits32(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
static inline double sim_f64(uint64_t u)
{
    double f;
    memcpy(&f, &u, 8);
    return f;
}
static inline uint64_t sim_bits64(double f)
{
    uint64_t u;
    memcpy(&u, &f, 8);
    return u;
}
/* Half to float, exactly; without branches, so that loops over it become vectors. */
static inline float sim_from_f16(uint32_t h)
{
    uint32_t magnitude = (h & 0x7FFF) << 13;
    float scaled = sim_f32(magnitude) * 0x1p112f;
    uint32_t special = (h & 0x7C00) == 0x7C00 ? 0x7F800000u : 0;
    return sim_f32(sim_bits32(scaled) | special | (h & 0x8000) << 16);
}
static inline float sim_from_bf16(uint32_t h) { return sim_f32(h << 16); }
/* To nearest, ties to even; NaN becomes 0x7FFF as on the hardware. */
static inline uint32_t sim_to_f16(float f)
{
    uint32_t u = sim_bits32(f), sign = u >> 16 & 0x8000, m = u & 0x7FFFFFFF;
    uint32_t normal = (m + 0xFFF + (m >> 13 & 1) - 0x38000000u) >> 13;
    uint32_t small = sim_bits32(sim_f32(m) + 0.5f) - 0x3F000000u;
    uint32_t r = m < 0x38800000u ? small : normal;
    r = m >= 0x477FF000u ? 0x7C00 : r;
    return m > 0x7F800000u ? 0x7FFF : r | sign;
}
static inline uint32_t sim_to_bf16(float f)
{
    uint32_t u = sim_bits32(f);
    return (u & 0x7FFFFFFF) > 0x7F800000u ? 0x7FFF : (u + 0x7FFF + (u >> 16 & 1)) >> 16;
}
/* tf32 keeps ten bits: to nearest, ties away. */
static inline uint32_t sim_to_tf32(float f)
{
    uint32_t u = sim_bits32(f);
    return (u & 0x7FFFFFFF) >= 0x7F800000u ? ((u & 0x7FFFFFFF) > 0x7F800000u ? 0x7FFFFFFF : u)
                                           : (u + 0x1000) & 0xFFFFE000u;
}

/* x rounded to `bits` bits of significand, exponents not below emin (of the value 1.f * 2^emin). */
double sim_round_to(double x, int bits, int emin, enum sim_rounding r);
/* A double rounded so that a second rounding to far fewer bits is right: a*b+c for halves. */
double sim_fma_odd(double a, double b, double c);
uint32_t sim_f16_of(double x, enum sim_rounding r);
uint32_t sim_bf16_of(double x, enum sim_rounding r);
/* e4m3 and e5m2 with saturation to the largest finite value. */
uint32_t sim_e4m3_of(double x);
uint32_t sim_e5m2_of(double x);
float sim_from_e4m3(uint32_t b);
float sim_from_e5m2(uint32_t b);
float sim_f32_of(double x, enum sim_rounding r);

#endif
