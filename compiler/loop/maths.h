/* What the expansions of maths share: shorthand for building operations on m's lanes. */
#ifndef NNC_LOOP_MATHS_H
#define NNC_LOOP_MATHS_H

#include "loop/private.h"

#define MAGIC 0x1.8p23 /* adding it leaves the rounded integer in the low bits */
#define MAGIC64 0x1.8p52

/* ---- shorthand: m's lanes of f32 (F), i32 (I), f64 (D), i64 (L), bool (B) ---- */

static inline struct lo_type of(const struct lo_maths *m, enum nn_dtype t)
{
    return (struct lo_type){(uint8_t)t, m->lanes};
}
static inline lo_id F(struct lo_maths *m, double v) { return lo_const_f(m->b, of(m, NN_f32), v); }
static inline lo_id D(struct lo_maths *m, double v) { return lo_const_f(m->b, of(m, NN_f64), v); }
static inline lo_id I(struct lo_maths *m, int64_t v) { return lo_const_i(m->b, of(m, NN_i32), v); }
static inline lo_id L(struct lo_maths *m, int64_t v) { return lo_const_i(m->b, of(m, NN_i64), v); }

static inline enum nn_dtype dtype(const struct lo_maths *m, lo_id x)
{
    return m->b->k->insns.p[x].type.dtype;
}
static inline lo_id C(struct lo_maths *m, lo_id like, double v) /* of a value's type */
{
    return lo_const_f(m->b, of(m, dtype(m, like)), v);
}
static inline lo_id op(struct lo_maths *m, enum ir_op o, lo_id x, lo_id y)
{
    return lo_op(m->b, o, of(m, dtype(m, x)), x, y, 0);
}
static inline lo_id add(struct lo_maths *m, lo_id x, lo_id y) { return op(m, IR_add, x, y); }
static inline lo_id sub(struct lo_maths *m, lo_id x, lo_id y) { return op(m, IR_sub, x, y); }
static inline lo_id mul(struct lo_maths *m, lo_id x, lo_id y) { return op(m, IR_mul, x, y); }
static inline lo_id mad(struct lo_maths *m, lo_id x, lo_id y, lo_id z)
{
    return m->fma ? lo_fma(m->b, x, y, z) : add(m, mul(m, x, y), z);
}
static inline lo_id pick(struct lo_maths *m, lo_id c, lo_id x, lo_id y)
{
    return lo_op(m->b, IR_select, of(m, dtype(m, x)), c, x, y);
}
static inline lo_id bit(struct lo_maths *m, enum lo_bit o, lo_id x, lo_id y)
{
    return lo_bit(m->b, o, of(m, dtype(m, x)), x, y);
}
static inline lo_id bits(struct lo_maths *m, lo_id x)
{ /* float to integer of its width, and back */
    enum nn_dtype t = dtype(m, x);
    enum nn_dtype to = t == NN_f32 ? NN_i32 : t == NN_i32 ? NN_f32 : t == NN_f64 ? NN_i64 : NN_f64;
    return lo_bit(m->b, LO_BITCAST, of(m, to), x, 0);
}
static inline lo_id cast(struct lo_maths *m, enum nn_dtype t, lo_id x)
{
    return lo_cast(m->b, t, x);
}

static inline lo_id approx(struct lo_maths *m, enum lo_approx f, lo_id x)
{
    return lo_approx(m->b, f, x);
}

/* A GPU takes the approximate reciprocal; of f64 two of Newton's steps double its digits each. */
static inline lo_id divide(struct lo_maths *m, lo_id x, lo_id y)
{
    if (!m->gpu)
        return op(m, IR_div, x, y);
    if (dtype(m, x) == NN_f32)
        return mul(m, x, approx(m, LO_RCP, y));
    lo_id r = cast(m, NN_f64, approx(m, LO_RCP, cast(m, NN_f32, y))), minus = op(m, IR_neg, y, 0);
    for (int i = 0; i < 2; i++)
        r = mad(m, r, mad(m, minus, r, D(m, 1)), r);
    return mul(m, x, r);
}

/* The lesser of x and bound; NaN stays. */
static inline lo_id at_most(struct lo_maths *m, lo_id x, double bound)
{
    lo_id c = C(m, x, bound);
    if (m->gpu && dtype(m, x) == NN_f32)
        return op(m, IR_min, x, c);
    return pick(m, op(m, IR_lt, c, x), c, x);
}
static inline lo_id at_least(struct lo_maths *m, lo_id x, double bound)
{
    lo_id c = C(m, x, bound);
    if (m->gpu && dtype(m, x) == NN_f32)
        return op(m, IR_max, x, c);
    return pick(m, op(m, IR_gt, c, x), c, x);
}

/* c[0] + c[1] x + … by Horner's rule, in x's type. */
static inline lo_id poly(struct lo_maths *m, lo_id x, const double *c, uint32_t n)
{
    bool wide = dtype(m, x) == NN_f64;
    lo_id r = wide ? D(m, c[n - 1]) : F(m, c[n - 1]);
    while (--n)
        r = mad(m, r, x, wide ? D(m, c[n - 1]) : F(m, c[n - 1]));
    return r;
}
#define POLY(m, x, c) poly(m, x, c, COUNT(c))

static inline lo_id magnitude(struct lo_maths *m, lo_id x) { return op(m, IR_abs, x, 0); }

#endif
