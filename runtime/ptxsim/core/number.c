/* number: see number.h. */
#include "number.h"

static double round_whole(double q, enum sim_rounding r)
{
    double down = floor(q), rest = q - down;
    switch (r) {
    case SIM_RZ: return trunc(q);
    case SIM_RM: return down;
    case SIM_RP: return ceil(q);
    case SIM_RNA: return q < 0 ? -floor(-q + 0.5) : floor(q + 0.5);
    case SIM_RN:
    case SIM_RNI: break;
    }
    if (rest != 0.5)
        return rest < 0.5 ? down : down + 1;
    return fmod(down, 2) == 0 ? down : down + 1;
}

double sim_round_to(double x, int bits, int emin, enum sim_rounding r)
{
    if (x == 0 || !isfinite(x))
        return x;
    int e = ilogb(x);
    int lsb = (e < emin ? emin : e) - (bits - 1);
    double y = ldexp(round_whole(ldexp(x, -lsb), r), lsb);
    return copysign(y, x);
}

double sim_fma_odd(double a, double b, double c)
{
    double p = a * b; /* exact: the factors are halves */
    double s = p + c, t = s - p, rest = (p - (s - t)) + (c - t);
    if (rest != 0 && isfinite(s) && !(sim_bits64(s) & 1)) {
        /* s is even and inexact: step towards the true value, to the odd neighbour */
        uint64_t u = sim_bits64(s);
        bool away = (rest > 0) == (s > 0);
        return sim_f64(away ? u + 1 : u - 1);
    }
    return s;
}

/* Packs a value that was rounded to the format already. */
static uint32_t pack(double y, int ebits, int mbits, enum sim_rounding r)
{
    int bias = (1 << (ebits - 1)) - 1;
    uint32_t sign = signbit(y) ? 1u << (ebits + mbits) : 0;
    double m = fabs(y);
    uint32_t inf = (uint32_t)((1 << ebits) - 1) << mbits;
    if (m != m)
        return inf | ((1u << mbits) - 1);
    if (m >= ldexp(1, bias + 1)) {
        bool down = !isinf(y) && (r == SIM_RZ || (r == SIM_RM && !sign) || (r == SIM_RP && sign));
        return sign | (down ? inf - 1 : inf);
    }
    if (m < ldexp(1, 1 - bias))
        return sign | (uint32_t)ldexp(m, bias - 1 + mbits);
    int e = ilogb(m);
    return sign | (uint32_t)(e + bias) << mbits |
           ((uint32_t)ldexp(m, mbits - e) & ((1u << mbits) - 1));
}

uint32_t sim_f16_of(double x, enum sim_rounding r)
{
    return pack(sim_round_to(x, 11, -14, r), 5, 10, r);
}
uint32_t sim_bf16_of(double x, enum sim_rounding r)
{
    return pack(sim_round_to(x, 8, -126, r), 8, 7, r);
}

uint32_t sim_e5m2_of(double x)
{
    if (x != x)
        return 0x7F;
    double y = sim_round_to(x, 3, -14, SIM_RN);
    return fabs(y) > 57344 ? (signbit(y) ? 0xFBu : 0x7Bu) : pack(y, 5, 2, SIM_RN);
}

uint32_t sim_e4m3_of(double x)
{
    if (x != x)
        return 0x7F;
    double y = sim_round_to(x, 4, -6, SIM_RN), m = fabs(y);
    uint32_t sign = signbit(y) ? 0x80 : 0;
    if (m >= 448)
        return sign | 0x7E;
    if (m < 0x1p-6)
        return sign | (uint32_t)(m * 512);
    int e = ilogb(m);
    return sign | (uint32_t)(e + 7) << 3 | ((uint32_t)ldexp(m, 3 - e) & 7);
}

float sim_from_e5m2(uint32_t b) { return sim_from_f16((b & 255) << 8); }

float sim_from_e4m3(uint32_t b)
{
    uint32_t e = b >> 3 & 15, m = b & 7;
    float v = (b & 0x7F) == 0x7F ? NAN
              : e                ? ldexpf((float)(8 + m), (int)e - 10)
                                 : ldexpf((float)m, -9);
    return b & 0x80 ? -v : v;
}

float sim_f32_of(double x, enum sim_rounding r)
{
    if (r == SIM_RN)
        return (float)x;
    double y = sim_round_to(x, 24, -126, r);
    if (fabs(y) <= 3.4028234663852886e38 || !isfinite(y))
        return (float)y;
    bool down = r == SIM_RZ || (r == SIM_RM && y > 0) || (r == SIM_RP && y < 0);
    return copysignf(down ? 3.402823466e38f : INFINITY, (float)y);
}
