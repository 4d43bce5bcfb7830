/* The transcendentals of f32, as operations on any number of lanes. The polynomials are own minimax
 * fits (relative error, coefficients rounded to f32 one after the other); the reductions are the
 * classical ones of Cody and Waite, and Payne and Hanek for large angles. Measured errors:
 * tests/unit/maths.c.
 *
 * Denormal inputs count as 0, results below the least normal number are 0. No branch but one:
 * angles past 32768 take the long way, if any lane has one. */
#include "loop/maths.h"

#define LN2_HI 0.693359375 /* 10 bits: times an exponent it is exact */
#define LN2_LO (-0x1.bd0106p-13)

/* x, which is not negative, with the sign of `from`. */
static lo_id with_sign(struct lo_maths *m, lo_id x, lo_id from)
{
    return bits(m, bit(m, LO_OR, bits(m, x), bit(m, LO_AND, bits(m, from), I(m, INT32_MIN))));
}

/* ---- exp, sigmoid, tanh ---- */

/* 2^(x log2 e), the product in two parts: 2^high (1 + low ln 2). Where the first x overflows, which
 * is the upper bound, low is positive: infinity stays. */
static lo_id gpu_exp(struct lo_maths *m, lo_id x)
{
    lo_id a = at_least(m, at_most(m, x, 0x1.62e43p+6), -104), log2_e = F(m, 0x1.715476p+0);
    lo_id high = mul(m, a, log2_e), low = mad(m, a, log2_e, op(m, IR_neg, high, 0));
    low = mul(m, mad(m, a, F(m, 0x1.4ae0bfp-26), low), F(m, 0x1.62e43p-1));
    lo_id e = approx(m, LO_EX2, high);
    return mad(m, e, low, e);
}

/* e^x = 2^n e^r, |r| <= ln 2 / 2; n goes into the exponent's bits. */
static lo_id f32_exp(struct lo_maths *m, lo_id x)
{
    static const double c[] = {0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558acp-5, 0x1.12397cp-7,
                               0x1.6a511ap-10};
    if (m->gpu)
        return gpu_exp(m, x);
    lo_id t = mad(m, x, F(m, 0x1.715476p+0), F(m, MAGIC)), n = sub(m, t, F(m, MAGIC));
    lo_id r = mad(m, n, F(m, -LN2_LO), mad(m, n, F(m, -LN2_HI), x));
    lo_id p = add(m, mad(m, mul(m, r, r), POLY(m, r, c), r), F(m, 1));
    lo_id y = bits(m, add(m, bits(m, p), bit(m, LO_SHL, bits(m, t), I(m, 23))));
    y = pick(m, op(m, IR_lt, x, F(m, -0x1.5d589ep+6)), F(m, 0), y);
    return pick(m, op(m, IR_le, x, F(m, 0x1.62e42ep+6)), y, add(m, x, F(m, INFINITY)));
}

static lo_id f32_sigmoid(struct lo_maths *m, lo_id x)
{
    lo_id one = F(m, 1);
    return divide(m, one, add(m, one, f32_exp(m, op(m, IR_neg, x, 0))));
}

/* With e = (exp(2|x|) - 1) / 2, tanh |x| is e / (e + 1). No digit is lost near 0, as e is made of
 * (exp(2r) - 1) / 2, |r| <= ln 2 / 4, and of (2^n - 1) / 2. */
static lo_id f32_tanh(struct lo_maths *m, lo_id x)
{
    static const double c[] = {0x1.fffffep-1, 0x1.5554b4p-1, 0x1.5556f2p-2, 0x1.122560p-3,
                               0x1.6b9caap-5};
    lo_id a = at_most(m, magnitude(m, x), 10);
    lo_id t = mad(m, a, F(m, 0x1.715476p+1), F(m, MAGIC)), n = sub(m, t, F(m, MAGIC));
    lo_id r = mad(m, n, F(m, -LN2_LO / 2), mad(m, n, F(m, -LN2_HI / 2), a));
    lo_id h = mad(m, mul(m, r, r), POLY(m, r, c), r);
    lo_id s = bits(m, add(m, bit(m, LO_SHL, bits(m, t), I(m, 23)), I(m, 0x3f800000)));
    lo_id e = mad(m, s, h, mad(m, s, F(m, 0.5), F(m, -0.5)));
    return with_sign(m, divide(m, e, add(m, e, F(m, 1))), x);
}

/* ---- log ---- */

/* x = 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt(2)). */
static lo_id f32_log(struct lo_maths *m, lo_id x)
{
    static const double c[] = {0x1.555554p-2, -0x1.000228p-2, 0x1.99a028p-3, -0x1.54720cp-3,
                               0x1.22d792p-3, -0x1.0d854cp-3, 0x1.056c1ep-3, -0x1.38dc2cp-4};
    lo_id root = I(m, 0x3f3504f3), i = sub(m, bits(m, x), root);
    lo_id e = cast(m, NN_f32, bit(m, LO_SAR, i, I(m, 23)));
    lo_id f = sub(m, bits(m, add(m, bit(m, LO_AND, i, I(m, 0x7fffff)), root)), F(m, 1));
    lo_id ff = mul(m, f, f);
    lo_id y = mad(m, mul(m, ff, f), POLY(m, f, c), mul(m, e, F(m, LN2_LO)));
    y = mad(m, e, F(m, LN2_HI), add(m, f, mad(m, ff, F(m, -0.5), y)));
    lo_id zero = F(m, 0), inf = F(m, INFINITY);
    lo_id low = pick(m, op(m, IR_eq, x, zero), F(m, -INFINITY), F(m, NAN));
    return pick(m, op(m, IR_gt, x, zero), pick(m, op(m, IR_lt, x, inf), y, x), low);
}

/* ---- sin, cos ---- */

/* A word of zeros, then 1 / (2 pi), 32 bits a word. */
static const uint32_t turns[] = {0,          0x28be60db, 0x9391054a, 0x7f09d5f4,
                                 0x7d4d3770, 0x36d8a566, 0x4f10e410, 0x7f9458ea};

/* Words j, j + 1 of `turns` as 64 bits, j = first + k, k in 0..4 in every lane. */
static lo_id turns_at(struct lo_maths *m, const lo_id *is, int first)
{
    lo_id r = 0;
    for (int k = 0; k < 5; k++) {
        uint64_t pair = (uint64_t)turns[first + k] << 32;
        pair |= first + k + 1 < (int)COUNT(turns) ? turns[first + k + 1] : 0;
        r = k ? pick(m, is[k], L(m, (int64_t)pair), r) : L(m, (int64_t)pair);
    }
    return r;
}

/* Payne and Hanek: |x| = v 2^e with an integer v of 24 bits, e in -8..104. Of v 2^e / (2 pi) the
 * whole turns are dropped by beginning at bit e of 1 / (2 pi); 64 bits of the fraction are kept. */
static void reduce_large(struct lo_maths *m, lo_id x, lo_id *r, lo_id *q)
{
    lo_id u = bit(m, LO_AND, bits(m, x), I(m, INT32_MAX));
    lo_id e = sub(m, bit(m, LO_SHR, u, I(m, 23)), I(m, 150 - 32));
    e = pick(m, op(m, IR_gt, e, I(m, 0)), e, I(m, 0));
    lo_id v = bit(m, LO_OR, bit(m, LO_AND, u, I(m, 0x7fffff)), I(m, 0x800000));
    lo_id k = bit(m, LO_SHR, e, I(m, 5)), is[5] = {0};
    for (int i = 1; i < 5; i++)
        is[i] = op(m, IR_eq, k, I(m, i));
    lo_id s = cast(m, NN_i64, bit(m, LO_AND, e, I(m, 31))), half = L(m, 32), w[3];
    v = cast(m, NN_i64, v);
    for (int i = 0; i < 3; i++)
        w[i] = mul(m, v, bit(m, LO_SHR, bit(m, LO_SHL, turns_at(m, is, i), s), half));
    lo_id turn = add(m, add(m, bit(m, LO_SHL, w[0], half), w[1]), bit(m, LO_SHR, w[2], half));
    lo_id n = bit(m, LO_SHR, add(m, turn, L(m, (int64_t)1 << 61)), L(m, 62));
    lo_id rest = cast(m, NN_f64, sub(m, turn, bit(m, LO_SHL, n, L(m, 62))));
    lo_id angle = cast(m, NN_f32, mul(m, rest, D(m, 0x1.921fb54442d18p+2 * 0x1p-64)));
    lo_id minus = op(m, IR_lt, x, F(m, 0));
    n = cast(m, NN_i32, n);
    *q = pick(m, minus, op(m, IR_neg, n, 0), n);
    *r = pick(m, minus, op(m, IR_neg, angle, 0), angle);
    *r = pick(m, op(m, IR_lt, magnitude(m, x), F(m, INFINITY)), *r, F(m, NAN));
}

/* Cody and Waite, |x| <= 32768; without fma the products would not be exact, and f64 is used. The
 * parts of pi/2 have one sign, so that -0 stays. */
static void reduce_small(struct lo_maths *m, lo_id x, lo_id *r, lo_id *q)
{
    if (m->fma) {
        lo_id t = mad(m, x, F(m, 0x1.45f306p-1), F(m, MAGIC)), n = sub(m, t, F(m, MAGIC));
        *r = mad(m, n, F(m, -0x1.921fb4p+0), x);
        *r = mad(m, n, F(m, -0x1.4442d0p-24), *r);
        *r = mad(m, n, F(m, -0x1.846988p-48), *r);
        *q = bits(m, t);
        return;
    }
    lo_id d = cast(m, NN_f64, x), t = mad(m, d, D(m, 0x1.45f306dc9c883p-1), D(m, MAGIC64));
    lo_id n = sub(m, t, D(m, MAGIC64));
    d = mad(m, n, D(m, -0x1.921fb544p+0), d);
    *r = cast(m, NN_f32, mad(m, n, D(m, -0x1.0b4611a626331p-34), d));
    *q = cast(m, NN_i32, bits(m, t));
}

/* x = q pi/2 + r, |r| <= pi/4; only q's last two bits count. */
static void reduce_angle(struct lo_maths *m, lo_id x, lo_id *r, lo_id *q)
{
    struct lo_lin at = lo_lin_c(0);
    uint32_t reg_r = lo_maths_reg(m, NN_f32), reg_q = lo_maths_reg(m, NN_i32);
    lo_id large = op(m, IR_gt, magnitude(m, x), F(m, 32768)), slow_r, slow_q;
    reduce_small(m, x, r, q);
    lo_set(m->b, reg_r, at, *r);
    lo_set(m->b, reg_q, at, *q);
    lo_if(m->b, lo_across(m->b, IRM_any, large));
    reduce_large(m, x, &slow_r, &slow_q);
    lo_set(m->b, reg_r, at, pick(m, large, slow_r, *r));
    lo_set(m->b, reg_q, at, pick(m, large, slow_q, *q));
    lo_end(m->b);
    *r = lo_get(m->b, reg_r, at);
    *q = lo_get(m->b, reg_q, at);
}

/* sin(x + turn pi/2) */
static lo_id f32_sin(struct lo_maths *m, lo_id x, int turn)
{
    static const double s[] = {1, -0x1.555556p-3, 0x1.111174p-7, -0x1.a0595ap-13, 0x1.7c30eep-19};
    static const double c[] = {-0.5, 0x1.55554ap-5, -0x1.6c0c2ap-10, 0x1.99e904p-16};
    lo_id r, q;
    reduce_angle(m, x, &r, &q);
    lo_id u = mul(m, r, r), odd = mul(m, r, POLY(m, u, s)),
          even = mad(m, u, POLY(m, u, c), F(m, 1));
    q = add(m, q, I(m, turn));
    lo_id swap = op(m, IR_ne, bit(m, LO_AND, q, I(m, 1)), I(m, 0));
    lo_id sign = bit(m, LO_SHL, bit(m, LO_AND, q, I(m, 2)), I(m, 30));
    return bits(m, bit(m, LO_XOR, bits(m, pick(m, swap, even, odd)), sign));
}

/* ---- erf ---- */

/* Below 1.75 an odd polynomial, its even factor about x^2 = 1.5; above, 1 minus one about 2.84. */
static lo_id f32_erf(struct lo_maths *m, lo_id x)
{
    static const double low[] = {0x1.7f3ce2p-1,  -0x1.531ae6p-3,  0x1.4e742ep-5,
                                 -0x1.1ce3dcp-7, 0x1.9cb632p-10,  -0x1.01001cp-12,
                                 0x1.1981c2p-15, -0x1.1bd184p-18, 0x1.bbf69ep-22};
    static const double high[] = {0x1.efc2f4p-15, -0x1.737900p-12, 0x1.07f534p-10, -0x1.d5c47cp-10,
                                  0x1.20a04cp-9,  -0x1.fe488cp-10, 0x1.4f00bep-10, -0x1.3e2cfep-11,
                                  0x1.047fa8p-13, 0x1.1c2194p-14,  -0x1.401a26p-15};
    lo_id a = at_most(m, magnitude(m, x), 3.93);
    lo_id odd = mul(m, x, poly(m, mad(m, a, a, F(m, -1.5)), low, COUNT(low)));
    lo_id far = sub(m, F(m, 1), POLY(m, sub(m, a, F(m, 2.84)), high));
    return pick(m, op(m, IR_lt, a, F(m, 1.75)), odd, with_sign(m, far, x));
}

/* ---- pow ---- */

/* log2 of a finite positive number in f64, by s = (v - 1) / (v + 1). */
static lo_id f64_log2(struct lo_maths *m, lo_id x)
{
    static const double c[] = {0x1.71547652b8251p+1, 0x1.ec709dc53dd91p-1, 0x1.2776c291481bbp-1,
                               0x1.a61a308d46108p-2, 0x1.4795061e9ba2ap-2, 0x1.21b5c59d278dbp-2};
    lo_id root = L(m, 0x3fe6a09e667f3bcd), i = sub(m, bits(m, x), root);
    lo_id e = cast(m, NN_f64, cast(m, NN_i32, bit(m, LO_SAR, i, L(m, 52))));
    lo_id v = bits(m, add(m, bit(m, LO_AND, i, L(m, ((int64_t)1 << 52) - 1)), root));
    lo_id s = divide(m, sub(m, v, D(m, 1)), add(m, v, D(m, 1)));
    return mad(m, s, POLY(m, mul(m, s, s), c), e);
}

static lo_id f64_exp2(struct lo_maths *m, lo_id x)
{ /* |x| <= 1000 */
    static const double c[] = {0x1.ffffffffab121p-1,  0x1.62e42ff11928cp-1, 0x1.ebfbe0a5c573cp-3,
                               0x1.c6b08aaae0172p-5,  0x1.3b29db6248bf8p-7, 0x1.5d8a731dad200p-10,
                               0x1.446ad3ac49a80p-13, 0x1.fe168c7559a00p-17};
    lo_id t = add(m, x, D(m, MAGIC64)), p = POLY(m, sub(m, x, sub(m, t, D(m, MAGIC64))), c);
    return bits(m, add(m, bits(m, p), bit(m, LO_SHL, bits(m, t), L(m, 52))));
}

lo_id lo_maths_pow_cases(struct lo_maths *m, lo_id x, lo_id y, lo_id r)
{
    bool wide = dtype(m, x) == NN_f64;
    lo_id zero = C(m, x, 0), one = C(m, x, 1), a = magnitude(m, x), half = mul(m, y, C(m, x, 0.5));
    lo_id whole = op(m, IR_eq, op(m, IR_floor, y, 0), y), none = wide ? L(m, 0) : I(m, 0);
    lo_id odd = op(m, IR_and, whole, op(m, IR_ne, op(m, IR_floor, half, 0), half));
    lo_id minus = op(m, IR_lt, bits(m, x), none);
    lo_id below = op(m, IR_and, op(m, IR_lt, x, zero), op(m, IR_lt, a, C(m, x, INFINITY)));
    r = pick(m, op(m, IR_and, minus, odd), op(m, IR_neg, r, 0), r);
    r = pick(m, op(m, IR_and, below, op(m, IR_not, whole, 0)), C(m, x, NAN), r);
    r = pick(m, op(m, IR_eq, y, y), r, y);
    lo_id is_one = op(m, IR_or, op(m, IR_eq, x, one), op(m, IR_eq, y, zero));
    return pick(m, is_one, one, pick(m, op(m, IR_eq, x, x), r, x));
}

/* 2^(y log2 |x|) in f64, so that all but the last rounding is out of sight; then C's special cases.
 */
static lo_id f32_pow(struct lo_maths *m, lo_id x, lo_id y)
{
    lo_id zero = F(m, 0), one = F(m, 1), a = magnitude(m, x);
    lo_id log = f64_log2(m, cast(m, NN_f64, a));
    log = pick(m, op(m, IR_lt, a, F(m, INFINITY)), log, cast(m, NN_f64, a)); /* inf and NaN */
    log = pick(m, op(m, IR_eq, a, zero), D(m, -INFINITY), log);
    lo_id t = at_least(m, at_most(m, mul(m, log, cast(m, NN_f64, y)), 1000), -1000);
    lo_id r = cast(m, NN_f32, f64_exp2(m, t));
    r = pick(m, op(m, IR_eq, a, one), one, pick(m, op(m, IR_eq, t, t), r, F(m, NAN)));
    return lo_maths_pow_cases(m, x, y, r);
}

/* The exponents that people write: a product, a quotient or a root; 0 for any other. */
static lo_id constant_pow(struct lo_maths *m, lo_id x, lo_id y)
{
    union lo_num c;
    if (!lo_const_value(m->b->k, y, &c))
        return 0;
    lo_id one = F(m, 1), xx = mul(m, x, x);
    if (c.f32 == 0)
        return one;
    if (c.f32 == 1)
        return x;
    if (c.f32 == 2)
        return xx;
    if (c.f32 == 3)
        return mul(m, xx, x);
    if (c.f32 == 4)
        return mul(m, xx, xx);
    if (c.f32 == -1)
        return divide(m, one, x);
    if (c.f32 != 0.5f && c.f32 != -0.5f)
        return 0;
    lo_id root = op(m, IR_sqrt, add(m, x, F(m, 0)), 0); /* of -0 as of 0 */
    root = pick(m, op(m, IR_eq, x, F(m, -INFINITY)), F(m, INFINITY), root);
    return c.f32 > 0 ? root : divide(m, one, root);
}

lo_id lo_maths_f32(struct lo_maths *m, enum ir_op o, lo_id x, lo_id y)
{
    if (o == IR_exp)
        return f32_exp(m, x);
    if (o == IR_log)
        return f32_log(m, x);
    if (o == IR_sin || o == IR_cos)
        return f32_sin(m, x, o == IR_cos);
    if (o == IR_tanh)
        return f32_tanh(m, x);
    if (o == IR_sigmoid)
        return f32_sigmoid(m, x);
    if (o == IR_erf)
        return f32_erf(m, x);
    if (o == IR_rsqrt && m->gpu)
        return approx(m, LO_RSQRT, x);
    if (o == IR_round_tf32)
        return bits(m, lo_bit(m->b, LO_TF32, of(m, NN_i32), x, 0));
    if (o != IR_pow)
        return 0;
    lo_id simple = constant_pow(m, x, y);
    return simple ? simple : f32_pow(m, x, y);
}
