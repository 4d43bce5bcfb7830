/* The transcendentals of f64 for a GPU, which has no C library: plain series long enough for the
 * reduced arguments, with fused multiply-adds. Within 4 units of the last place
 * (tests/unit/maths_gpu.c); sin and cos up to 2^45. Slow, and rarely met. */
#include "loop/maths.h"

#define LN2_HI 0x1.62e42feep-1 /* 33 bits: times an exponent it is exact */
#define LN2_LO 0x1.a39ef35793c76p-33

/* Σ x^k / (first + k)!, k in 0..n-1: what is left of e^x's series from a term on. */
static lo_id exp_series(struct lo_maths *m, lo_id x, int first, int n)
{
    double factorial = 1;
    for (int i = 2; i < first + n; i++)
        factorial *= i;
    lo_id r = D(m, 1 / factorial);
    for (int i = first + n - 1; i > first; i--) {
        factorial /= i;
        r = mad(m, r, x, D(m, 1 / factorial));
    }
    return r;
}

/* 2^n as an f64, n an i64 in the exponent's range. */
static lo_id power_of_two(struct lo_maths *m, lo_id n)
{
    return bits(m, bit(m, LO_SHL, add(m, n, L(m, 1023)), L(m, 52)));
}

/* x = n ln 2 + r, |r| <= ln 2 / 2. */
static lo_id reduce_exp(struct lo_maths *m, lo_id x, lo_id *n)
{
    lo_id t = mad(m, x, D(m, 0x1.71547652b82fep+0), D(m, MAGIC64)), f = sub(m, t, D(m, MAGIC64));
    *n = sub(m, bits(m, t), bits(m, D(m, MAGIC64)));
    return mad(m, f, D(m, -LN2_LO), mad(m, f, D(m, -LN2_HI), x));
}

/* e^(x + low); the power of two in two factors, so that neither overflows. */
static lo_id f64_exp(struct lo_maths *m, lo_id x, lo_id low)
{
    lo_id n, a = at_least(m, at_most(m, x, 710), -746), r = reduce_exp(m, a, &n);
    if (low)
        r = add(m, r, low);
    lo_id p = mad(m, mul(m, r, r), exp_series(m, r, 2, 13), r);
    lo_id half = bit(m, LO_SAR, n, L(m, 1));
    lo_id y = mul(m, add(m, p, D(m, 1)), power_of_two(m, half));
    y = mul(m, y, power_of_two(m, sub(m, n, half)));
    return pick(m, op(m, IR_eq, x, x), y, x);
}

static lo_id f64_sigmoid(struct lo_maths *m, lo_id x)
{
    lo_id one = D(m, 1);
    return op(m, IR_div, one, add(m, one, f64_exp(m, op(m, IR_neg, x, 0), 0)));
}

/* With e = exp(2|x|) - 1, tanh |x| is e / (e + 2); e = 2^n (exp(r) - 1) + (2^n - 1) loses no digit.
 */
static lo_id f64_tanh(struct lo_maths *m, lo_id x)
{
    lo_id n, a = at_most(m, magnitude(m, x), 22), two = D(m, 2), sign = L(m, INT64_MIN);
    lo_id r = reduce_exp(m, mul(m, a, two), &n), s = power_of_two(m, n);
    lo_id q = mad(m, mul(m, r, r), exp_series(m, r, 2, 13), r);
    lo_id e = mad(m, s, q, sub(m, s, D(m, 1))), y = op(m, IR_div, e, add(m, e, two));
    y = bits(m, bit(m, LO_OR, bits(m, y), bit(m, LO_AND, bits(m, x), sign)));
    return pick(m, op(m, IR_eq, x, x), y, x);
}

/* x + y and what the sum lost, whichever is larger. */
static lo_id two_sum(struct lo_maths *m, lo_id x, lo_id y, lo_id *lost)
{
    lo_id sum = add(m, x, y), back = sub(m, sum, x);
    *lost = add(m, sub(m, x, sub(m, sum, back)), sub(m, y, back));
    return sum;
}

/* x y and what the product lost. */
static lo_id two_product(struct lo_maths *m, lo_id x, lo_id y, lo_id *lost)
{
    lo_id p = mul(m, x, y);
    *lost = mad(m, x, y, op(m, IR_neg, p, 0));
    return p;
}

/* 2 s^3 / 3 as a sum of two. */
static lo_id split_cube(struct lo_maths *m, lo_id s, lo_id *low)
{
    lo_id third = D(m, 2.0 / 3), lost[3], u = two_product(m, s, s, &lost[0]);
    lo_id c = two_product(m, u, s, &lost[1]), t = two_product(m, c, third, &lost[2]);
    lo_id more = mad(m, lost[0], s, lost[1]);
    *low = mad(m, c, D(m, 0x1.5555555555555p-55), mad(m, more, third, lost[2]));
    return t;
}

/* log x as a sum of two: x = 2^e v, v in [sqrt(1/2), sqrt(2)); with s = (v - 1) / (v + 1) log v is
 * 2 (s + s^3/3 + s^5/5 + …). s and the cube too are sums of two. */
static lo_id split_log(struct lo_maths *m, lo_id x, lo_id *low)
{
    lo_id root = L(m, 0x3fe6a09e667f3bcd), i = sub(m, bits(m, x), root);
    lo_id e = cast(m, NN_f64, bit(m, LO_SAR, i, L(m, 52))), one = D(m, 1), two = D(m, 2);
    lo_id v = bits(m, add(m, bit(m, LO_AND, i, L(m, ((int64_t)1 << 52) - 1)), root));
    lo_id f = sub(m, v, one), d = add(m, v, one), lost = sub(m, v, sub(m, d, one));
    lo_id s = op(m, IR_div, f, d), minus = op(m, IR_neg, s, 0);
    lo_id rest = op(m, IR_div, mad(m, minus, lost, mad(m, minus, d, f)), d), u = mul(m, s, s);
    rest = mad(m, mul(m, rest, u), add(m, one, u), rest); /* as 1 / (1 - s^2), the slope */
    lo_id p = D(m, 1 / 25.0), part[3], cube = split_cube(m, s, &part[2]);
    for (int k = 23; k >= 5; k -= 2)
        p = mad(m, p, u, D(m, 1.0 / k));
    lo_id tail = mul(m, two, mad(m, mul(m, mul(m, s, u), u), p, rest));
    lo_id high = two_sum(m, mul(m, e, D(m, LN2_HI)), mul(m, two, s), &part[0]);
    high = two_sum(m, high, cube, &part[1]);
    lo_id small = mad(m, e, D(m, LN2_LO), add(m, tail, part[2]));
    small = add(m, small, add(m, part[0], part[1]));
    return two_sum(m, high, small, low);
}

static lo_id f64_log(struct lo_maths *m, lo_id x)
{
    lo_id low, high = split_log(m, x, &low), least = D(m, 0x1p-1022);
    lo_id y = high, none = D(m, NAN);
    y = pick(m, op(m, IR_lt, x, D(m, INFINITY)), y, x); /* infinity, NaN */
    lo_id zero = op(m, IR_lt, magnitude(m, x), least);
    return pick(m, zero, D(m, -INFINITY), pick(m, op(m, IR_lt, x, D(m, 0)), none, y));
}

/* e^(y log |x|), the product too a sum of two. */
static lo_id f64_pow(struct lo_maths *m, lo_id x, lo_id y)
{
    lo_id a = magnitude(m, x), low, high = split_log(m, a, &low), inf = D(m, INFINITY);
    lo_id p = mul(m, y, high), rest = mad(m, y, low, mad(m, y, high, op(m, IR_neg, p, 0)));
    rest = pick(m, op(m, IR_lt, magnitude(m, p), D(m, 800)), rest, D(m, 0));
    lo_id zero = op(m, IR_lt, a, D(m, 0x1p-1022)), one = D(m, 1);
    lo_id odd_one = op(m, IR_or, zero, op(m, IR_ge, a, inf));
    lo_id ends = mul(m, y, pick(m, zero, D(m, -INFINITY), inf)); /* of 0 and infinity */
    lo_id r = f64_exp(m, pick(m, odd_one, ends, p), pick(m, odd_one, D(m, 0), rest));
    return lo_maths_pow_cases(m, x, y, pick(m, op(m, IR_eq, a, one), one, r));
}

/* Cody and Waite: pi/2 in three parts of 53 bits; each fused step is exact, or rounded in what is
 * left. */
static lo_id f64_sin(struct lo_maths *m, lo_id x, int turn)
{
    lo_id t = mad(m, x, D(m, 0x1.45f306dc9c883p-1), D(m, MAGIC64)), n = sub(m, t, D(m, MAGIC64));
    lo_id r = mad(m, n, D(m, -0x1.921fb54442d18p+0), x), q = add(m, bits(m, t), L(m, turn));
    r = mad(m, n, D(m, -0x1.1a62633145c07p-54), r);
    r = mad(m, n, D(m, 0x1.f1976b7ed8fbcp-110), r);
    lo_id u = mul(m, r, r), odd = D(m, -1 / 121645100408832000.0),
          even = D(m, 1 / 20922789888000.0);
    double fo = 121645100408832000.0, fe = 20922789888000.0;
    for (int k = 17, s = 1; k >= 3; k -= 2, s = -s) { /* r - r^3/3! + … - r^19/19! */
        fo /= (k + 1) * (k + 2);
        odd = mad(m, odd, u, D(m, s / fo));
    }
    for (int k = 14, s = -1; k >= 2; k -= 2, s = -s) { /* 1 - r^2/2! + … + r^16/16! */
        fe /= (k + 1) * (k + 2);
        even = mad(m, even, u, D(m, s / fe));
    }
    odd = mad(m, mul(m, r, u), odd, r);
    even = mad(m, even, u, D(m, 1));
    lo_id swap = op(m, IR_ne, bit(m, LO_AND, q, L(m, 1)), L(m, 0));
    lo_id sign = bit(m, LO_SHL, bit(m, LO_AND, q, L(m, 2)), L(m, 62));
    lo_id y = bits(m, bit(m, LO_XOR, bits(m, pick(m, swap, even, odd)), sign));
    y = pick(m, op(m, IR_eq, x, D(m, 0)), turn ? D(m, 1) : x, y);
    return pick(m, op(m, IR_lt, magnitude(m, x), D(m, INFINITY)), y, D(m, NAN));
}

/* Below 1 the series; above, 1 - exp(-x^2) P((x - 3) / (x + 3)), P a fit of exp(x^2) erfc(x) to 6.
 */
static lo_id f64_erf(struct lo_maths *m, lo_id x)
{
    static const double far[] = {
        0x1.6e9827d229d2dp-3,   -0x1.4e102b9cf8513p-2, 0x1.f6ff204105976p-3,
        -0x1.336ffbef08b18p-3,  0x1.258b13b017934p-4,  -0x1.8fa58eb5e1d42p-6,
        0x1.17c838eec7b56p-8,   0x1.73101ea1b3803p-11, -0x1.39084c8034bb3p-11,
        0x1.7ba0ce14ddbbep-15,  0x1.0cac3a11fe28fp-14, -0x1.af7cf3e087bcfp-17,
        -0x1.0bafe44deb848p-17, 0x1.1b86fc353f5b6p-19, 0x1.4e75dccc737abp-20,
        -0x1.20ffd2643b2abp-22, -0x1.b521f5e62b937p-23};
    double factorial = 6402373705728000.0; /* 18! */
    lo_id a = at_most(m, magnitude(m, x), 6), u = mul(m, x, x), three = D(m, 3);
    lo_id p = D(m, 0x1.20dd750429b6dp+0 / (factorial * 37));
    for (int n = 17, s = -1; n >= 0; n--, s = -s) {
        factorial /= n + 1;
        p = mad(m, p, u, D(m, s * 0x1.20dd750429b6dp+0 / (factorial * (2 * n + 1))));
    }
    lo_id near = mul(m, x, p), t = op(m, IR_div, sub(m, a, three), add(m, a, three));
    lo_id e = f64_exp(m, op(m, IR_neg, mul(m, a, a), 0), 0);
    lo_id y = sub(m, D(m, 1), mul(m, e, POLY(m, t, far)));
    y = bits(m, bit(m, LO_OR, bits(m, y), bit(m, LO_AND, bits(m, x), L(m, INT64_MIN))));
    y = pick(m, op(m, IR_lt, a, D(m, 1)), near, y);
    return pick(m, op(m, IR_eq, x, x), y, x);
}

lo_id lo_maths_f64(struct lo_maths *m, enum ir_op o, lo_id x, lo_id y)
{
    if (o == IR_exp)
        return f64_exp(m, x, 0);
    if (o == IR_log)
        return f64_log(m, x);
    if (o == IR_sin || o == IR_cos)
        return f64_sin(m, x, o == IR_cos);
    if (o == IR_tanh)
        return f64_tanh(m, x);
    if (o == IR_sigmoid)
        return f64_sigmoid(m, x);
    if (o == IR_erf)
        return f64_erf(m, x);
    return o == IR_pow ? f64_pow(m, x, y) : 0;
}
