/* decode_move: mov (with packing and special registers), cvt, cvta, isspacep. */
#include "decode.h"
#include "exec.h"
#include "number.h"
#include "taint.h"
#include <fenv.h>

/* ---- mov ---- */
/* Puts parts of `size` bytes together: d from the rows of the list; or takes them apart. */
static void pack_lanes(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    const uint32_t *part = w->frame->f->ext + i->ext;
    for (int l = 0; l < SIM_LANES; l++) {
        uint64_t v = 0;
        if (!(mask >> l & 1))
            continue;
        for (unsigned k = 0; k < i->count; k++) {
            uint64_t p = i->size == 8 ? 0 : sim_row32(w, part[k])[l];
            v |= (i->size == 4 ? p : p & (i->size == 2 ? 0xFFFF : 0xFF)) << 8 * i->size * k;
        }
        if (i->size * i->count == 8)
            sim_row64(w, i->d)[l] = v;
        else
            sim_row32(w, i->d)[l] = (uint32_t)v;
    }
}

static void unpack_lanes(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    const uint32_t *part = w->frame->f->ext + i->ext;
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        uint64_t v = i->size * i->count == 8 ? sim_row64(w, i->a)[l] : sim_row32(w, i->a)[l];
        for (unsigned k = 0; k < i->count; k++) {
            uint64_t p = v >> 8 * i->size * k;
            sim_row32(w, part[k])[l] =
                (uint32_t)(i->size == 4 ? p : p & (i->size == 2 ? 0xFFFF : 0xFF));
        }
    }
}

static bool mov_vector(struct decoder *d, struct ins *x, const struct type *t, bool pack)
{
    struct ptx_operand *v = x->op[pack ? 1 : 0];
    int n = v->count, size = n ? t->size / n : 0;
    if ((n != 2 && n != 4) || size * n != t->size || (size != 2 && size != 4 && size != 1))
        return FAIL(d, "the parts of this mov do not make up %d bits", t->size * 8);
    uint32_t part[4];
    int k = 0;
    for (struct ptx_operand *o = v->items; o; o = o->next, k++) {
        char letter = size == 4 ? 'w' : 'h';
        if (!(pack ? dec_source(d, o, letter, &part[k]) : dec_target(d, o, letter, &part[k])))
            return false;
    }
    struct sim_inst *i = dec_emit(d, pack ? pack_lanes : unpack_lanes, RUN_LANES, SIM_ALU);
    i->ext = dec_ext_add(d, part, (uint32_t)n);
    i->count = (uint8_t)n;
    i->size = (uint8_t)size;
    i->op = pack ? SIM_OP_PACK : SIM_OP_UNPACK;
    return pack ? dec_target(d, x->op[0], dec_letter_of(t->size), &i->d)
                : dec_source(d, x->op[1], dec_letter_of(t->size), &i->a);
}

static void mov_pred(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint32_t *d = sim_pred(w, i->d), a = *sim_pred(w, i->a);
    a ^= i->mods & MOD_NOT ? SIM_ALL : 0;
    *d = (*d & ~mask) | (a & mask);
}

static int clock_of(const struct ptx_operand *o)
{
    static const char *const names[] = {"%clock",       "%clock_hi",       "%clock64",
                                        "%globaltimer", "%globaltimer_lo", "%globaltimer_hi"};
    for (int i = 0; o->kind == PTX_NAME && i < 6; i++)
        if (!strcmp(o->name, names[i]))
            return i;
    return -1;
}

bool decode_mov(struct decoder *d, struct ins *x)
{
    struct type t;
    bool negated;
    if (!dec_take_type(x, &t) || !dec_operands_are(d, x, 2, 2))
        return FAIL(d, "mov needs a type and two operands");
    if (t.letter == 'p') {
        struct sim_inst *i = dec_emit(d, mov_pred, RUN_LANES, SIM_ALU);
        i->op = SIM_OP_MOV_PRED;
        bool ok =
            dec_target(d, x->op[0], 'p', &i->d) && dec_pred_source(d, x->op[1], &i->a, &negated);
        i->mods = ok && negated ? MOD_NOT : 0;
        return ok;
    }
    if (x->op[1]->kind == PTX_VECTOR || x->op[0]->kind == PTX_VECTOR)
        return mov_vector(d, x, &t, x->op[1]->kind == PTX_VECTOR);
    if (t.size > 8 || t.size < 2)
        return dec_unsupported(d, "mov of this type");
    int clock = clock_of(x->op[1]);
    if (clock >= 0) {
        struct sim_inst *i = dec_emit(d, sim_clock, RUN_LANES, SIM_ALU);
        i->op = SIM_OP_FRESH;
        i->sub = (uint8_t)clock;
        i->size = t.size;
        return dec_target(d, x->op[0], dec_letter_of(t.size), &i->d);
    }
    const struct sim_row *r = dec_row_find(d, t.size == 8   ? "mov.b64"
                                              : t.size == 4 ? "mov.b32"
                                                            : "mov.b16");
    struct sim_inst *i = dec_emit(d, r->fn, RUN_LANES, SIM_ALU);
    i->op = (uint16_t)(r - d->rows.row);
    char letter = t.letter == 'f' ? (t.size == 8 ? 'D' : 'F') : dec_letter_of(t.size);
    return dec_target(d, x->op[0], letter, &i->d) && dec_source(d, x->op[1], letter, &i->a);
}

/* ---- cvt ---- */
/* What i->sub (from) and i->space (to) say. */
enum format {
    FMT_U8,
    FMT_U16,
    FMT_U32,
    FMT_U64,
    FMT_S8,
    FMT_S16,
    FMT_S32,
    FMT_S64,
    FMT_F16,
    FMT_BF16,
    FMT_F32,
    FMT_F64,
    FMT_TF32
};

static enum format format_of(const struct type *t)
{
    int size = t->size == 1 ? 0 : t->size == 2 ? 1 : t->size == 4 ? 2 : 3;
    switch (t->letter) {
    case 's': return (enum format)(FMT_S8 + size);
    case 'f': return t->size == 8 ? FMT_F64 : FMT_F32;
    case 'h': return FMT_F16;
    case 'g': return FMT_BF16;
    case 't': return FMT_TF32;
    }
    return (enum format)(FMT_U8 + size);
}
static bool is_int(enum format f) { return f <= FMT_S64; }

static double read_float(enum format f, uint64_t v)
{
    switch (f) {
    case FMT_F16: return sim_from_f16((uint32_t)v & 0xFFFF);
    case FMT_BF16: return sim_from_bf16((uint32_t)v & 0xFFFF);
    case FMT_F64: return sim_f64(v);
    default: return sim_f32((uint32_t)v);
    }
}

static uint64_t extend(enum format f, uint64_t v)
{
    switch (f) {
    case FMT_U8: return (uint8_t)v;
    case FMT_U16: return (uint16_t)v;
    case FMT_U32: return (uint32_t)v;
    case FMT_S8: return (uint64_t)(int64_t)(int8_t)v;
    case FMT_S16: return (uint64_t)(int64_t)(int16_t)v;
    case FMT_S32: return (uint64_t)(int64_t)(int32_t)v;
    default: return v;
    }
}

static const int64_t int_low[] = {0, 0, 0, 0, INT8_MIN, INT16_MIN, INT32_MIN, INT64_MIN};
static const uint64_t int_high[] = {UINT8_MAX, UINT16_MAX, UINT32_MAX, UINT64_MAX,
                                    INT8_MAX,  INT16_MAX,  INT32_MAX,  INT64_MAX};

/* An integer, kept as 64 bits and the sign of its format, clamped to another's range. */
static uint64_t clamp_int(enum format from, enum format to, uint64_t v)
{
    bool negative = from >= FMT_S8 && (int64_t)v < 0;
    if (negative)
        return (int64_t)v < int_low[to] ? (uint64_t)int_low[to] : v;
    return v > int_high[to] ? int_high[to] : v;
}

static uint64_t float_to_int(enum format to, double x, enum sim_rounding r)
{
    if (x != x)
        return 0;
    double y = r == SIM_RZ   ? trunc(x)
               : r == SIM_RM ? floor(x)
               : r == SIM_RP ? ceil(x)
                             : nearbyint(x);
    if (to >= FMT_S8) {
        if (y >= (double)int_high[to])
            return int_high[to];
        return y <= (double)int_low[to] ? (uint64_t)int_low[to] : (uint64_t)(int64_t)y;
    }
    return y <= 0 ? 0 : y >= (double)int_high[to] ? int_high[to] : (uint64_t)y;
}

static double round_integral(double x, enum sim_rounding r)
{
    double y = r == SIM_RZ   ? trunc(x)
               : r == SIM_RM ? floor(x)
               : r == SIM_RP ? ceil(x)
                             : nearbyint(x);
    return copysign(y, x);
}

/* An integer to a float: 64 bits may not fit a double, so the sticky bit comes along. */
static double int_to_double(enum format from, uint64_t v)
{
    bool negative = from >= FMT_S8 && (int64_t)v < 0;
    uint64_t m = negative ? 0 - v : v;
    if (m >> 53)
        m = (m & ~(uint64_t)0x7FF) | ((m & 0x7FF) ? 0x400 | (m & 0x400 ? 0x400 : 0) : 0);
    return negative ? -(double)m : (double)m;
}

static uint64_t write_float(enum format to, double x, uint32_t mods, enum sim_rounding r)
{
    if (mods & MOD_SAT)
        x = x > 0 ? (x < 1 ? x : 1) : 0;
    if ((mods & MOD_RELU) && !(x > 0) && x == x)
        x = 0;
    switch (to) {
    case FMT_F16: return sim_f16_of(x, r);
    case FMT_BF16: return sim_bf16_of(x, r);
    case FMT_TF32:
        if (x != x)
            return 0x7FFFFFFF;
        return sim_bits32((float)sim_round_to(x, 11, -126, r));
    case FMT_F64: return sim_bits64(x);
    default: {
        float f = sim_f32_of(x, r);
        if ((mods & MOD_FTZ) && fabsf(f) < 1.17549435e-38f)
            f = copysignf(0, f);
        return f != f ? 0x7FFFFFFF : sim_bits32(f);
    }
    }
}

static uint64_t int_to_float(enum format from, enum format to, uint64_t v, uint32_t mods,
                             enum sim_rounding r)
{
    bool negative = from >= FMT_S8 && (int64_t)v < 0;
    uint64_t m = negative ? 0 - v : v;
    if (!(m >> 53))
        return write_float(to, negative ? -(double)m : (double)m, mods, r);
    if (to == FMT_F64) {
        static const int mode[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
        fesetround(mode[r & 3]);
        volatile uint64_t in = v;
        volatile double out = from >= FMT_S8 ? (double)(int64_t)in : (double)in;
        fesetround(FE_TONEAREST);
        return sim_bits64(out);
    }
    return write_float(to, int_to_double(from, v), mods, r);
}

static uint64_t convert(const struct sim_inst *i, uint64_t v)
{
    enum format from = (enum format)i->sub, to = (enum format)i->space;
    enum sim_rounding r = i->mods & MOD_RNA ? SIM_RNA : (enum sim_rounding)(i->mods & MOD_RND);
    if (is_int(from)) {
        v = extend(from, v);
        if (is_int(to))
            return i->mods & MOD_SAT ? clamp_int(from, to, v) : extend(to, v);
        return int_to_float(from, to, v, i->mods, r);
    }
    double x = read_float(from, v);
    if ((i->mods & MOD_FTZ) && from == FMT_F32 && fabs(x) < 1.17549435e-38)
        x = copysign(0, x);
    if (is_int(to))
        return float_to_int(to, x, r);
    if (i->imm)
        x = round_integral(x, r);
    return write_float(to, x, i->mods, r);
}

static void cvt_lanes(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        uint64_t v = convert(i, i->count == 8 ? sim_row64(w, i->a)[l] : sim_row32(w, i->a)[l]);
        if (i->size == 8)
            sim_row64(w, i->d)[l] = v;
        else
            sim_row32(w, i->d)[l] = i->size == 2 ? (uint32_t)v & 0xFFFF : (uint32_t)v;
    }
}

#define CVT(name, DT, AT, D, A, expr)                                                              \
    static void name(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)                  \
    {                                                                                              \
        DT *d = (DT *)(void *)D(w, i->d);                                                          \
        const AT *pa = (const AT *)(const void *)A(w, i->a);                                       \
        for (int l = 0; l < SIM_LANES; l++) {                                                      \
            AT a = pa[l];                                                                          \
            d[l] = mask >> l & 1 ? (DT)(expr) : d[l];                                              \
        }                                                                                          \
    }
CVT(cvt_u64_u32, uint64_t, uint32_t, sim_row64, sim_row32, a)
CVT(cvt_s64_s32, int64_t, int32_t, sim_row64, sim_row32, a)
CVT(cvt_u32_u64, uint32_t, uint64_t, sim_row32, sim_row64, a)
CVT(cvt_f32_s32, float, int32_t, sim_row32, sim_row32, a)
CVT(cvt_f32_f16, float, uint32_t, sim_row32, sim_row32, sim_from_f16(a & 0xFFFF))
CVT(cvt_f32_bf16, float, uint32_t, sim_row32, sim_row32, sim_from_bf16(a & 0xFFFF))
CVT(cvt_f16_f32, uint32_t, float, sim_row32, sim_row32, sim_to_f16(a))
CVT(cvt_bf16_f32, uint32_t, float, sim_row32, sim_row32, sim_to_bf16(a))
CVT(cvt_tf32_rna, uint32_t, float, sim_row32, sim_row32, sim_to_tf32(a))
CVT(cvt_f64_f32, double, float, sim_row64, sim_row32, a)
CVT(cvt_f32_f64, float, double, sim_row32, sim_row64, a)

struct quick {
    enum format to, from;
    sim_handler *fn;
};
static const struct quick quicks[] = {
    {FMT_U64, FMT_U32, cvt_u64_u32},   {FMT_S64, FMT_U32, cvt_u64_u32},
    {FMT_S64, FMT_S32, cvt_s64_s32},   {FMT_U64, FMT_S32, cvt_s64_s32},
    {FMT_U32, FMT_U64, cvt_u32_u64},   {FMT_U32, FMT_S64, cvt_u32_u64},
    {FMT_S32, FMT_U64, cvt_u32_u64},   {FMT_S32, FMT_S64, cvt_u32_u64},
    {FMT_F32, FMT_S32, cvt_f32_s32},   {FMT_F32, FMT_F16, cvt_f32_f16},
    {FMT_F32, FMT_BF16, cvt_f32_bf16}, {FMT_F16, FMT_F32, cvt_f16_f32},
    {FMT_BF16, FMT_F32, cvt_bf16_f32}, {FMT_F64, FMT_F32, cvt_f64_f32},
    {FMT_F32, FMT_F64, cvt_f32_f64},
};

/* cvt.rn.f16x2.f32 d, a, b: a goes to the high half. */
static void cvt_pair(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    const float *a = (const float *)(const void *)sim_row32(w, i->a),
                *b = (const float *)(const void *)sim_row32(w, i->b);
    enum sim_rounding r = (enum sim_rounding)(i->mods & MOD_RND);
    enum format to = (enum format)i->space;
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1) {
            uint32_t hi = (uint32_t)write_float(to, a[l], i->mods & ~(uint32_t)MOD_SAT, r);
            uint32_t lo = (uint32_t)write_float(to, b[l], i->mods & ~(uint32_t)MOD_SAT, r);
            sim_row32(w, i->d)[l] = hi << 16 | lo;
        }
}

/* e4m3x2 and e5m2x2 from two f32 or an f16x2, and back to f16x2; imm: 5 or 4 bits of exponent. */
static void cvt_to_f8(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    for (int l = 0; l < SIM_LANES; l++) {
        double hi, lo;
        if (!(mask >> l & 1))
            continue;
        if (i->sub) {
            uint32_t v = sim_row32(w, i->a)[l];
            hi = sim_from_f16(v >> 16), lo = sim_from_f16(v & 0xFFFF);
        } else {
            hi = sim_f32(sim_row32(w, i->a)[l]), lo = sim_f32(sim_row32(w, i->b)[l]);
        }
        if (i->mods & MOD_RELU)
            hi = hi > 0 || hi != hi ? hi : 0, lo = lo > 0 || lo != lo ? lo : 0;
        sim_row32(w, i->d)[l] = i->imm == 5 ? sim_e5m2_of(hi) << 8 | sim_e5m2_of(lo)
                                            : sim_e4m3_of(hi) << 8 | sim_e4m3_of(lo);
    }
}

static void cvt_from_f8(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    for (int l = 0; l < SIM_LANES; l++) {
        if (!(mask >> l & 1))
            continue;
        uint32_t v = sim_row32(w, i->a)[l];
        float hi = i->imm == 5 ? sim_from_e5m2(v >> 8 & 255) : sim_from_e4m3(v >> 8 & 255);
        float lo = i->imm == 5 ? sim_from_e5m2(v & 255) : sim_from_e4m3(v & 255);
        if (i->mods & MOD_RELU)
            hi = hi < 0 ? 0 : hi, lo = lo < 0 ? 0 : lo;
        sim_row32(w, i->d)[l] = sim_to_f16(hi) << 16 | sim_to_f16(lo);
    }
}

static bool cvt_f8(struct decoder *d, struct ins *x, const struct type *to, const struct type *from,
                   uint32_t mods)
{
    bool back = from->letter == '8' || from->letter == '9';
    const struct type *f8 = back ? from : to;
    dec_has(x, "satfinite");
    struct sim_inst *i = dec_emit(d, back ? cvt_from_f8 : cvt_to_f8, RUN_LANES, SIM_ALU);
    i->mods = mods;
    i->imm = f8->letter == '9' ? 5 : 4;
    i->size = back ? 4 : 2;
    i->op = back || from->letter == 'h' ? SIM_OP_CVT_ONE : SIM_OP_CVT_PAIR;
    if (f8->lanes != 2)
        return dec_unsupported(d, "cvt of a single 8-bit float");
    if (back)
        return dec_operands_are(d, x, 2, 2) && dec_target(d, x->op[0], 'w', &i->d) &&
               dec_source(d, x->op[1], 'h', &i->a);
    i->sub = from->letter == 'h';
    if (i->sub)
        return dec_operands_are(d, x, 2, 2) && dec_target(d, x->op[0], 'h', &i->d) &&
               dec_source(d, x->op[1], 'w', &i->a);
    return dec_operands_are(d, x, 3, 3) && dec_target(d, x->op[0], 'h', &i->d) &&
           dec_source(d, x->op[1], 'F', &i->a) && dec_source(d, x->op[2], 'F', &i->b);
}

static void cvt_mods(struct ins *x, uint32_t *mods, bool *integral)
{
    static const char *const words[] = {"rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi"};
    *integral = false;
    for (uint32_t r = 0; r < 8; r++)
        if (dec_has(x, words[r])) {
            *mods |= r & 3;
            *integral = r >= 4;
        }
    *mods |= dec_has(x, "rna") ? MOD_RNA : 0;
    *mods |= dec_has(x, "ftz") ? MOD_FTZ : 0;
    *mods |= dec_has(x, "sat") ? MOD_SAT : 0;
    *mods |= dec_has(x, "relu") ? MOD_RELU : 0;
}

static sim_handler *quick_cvt(enum format to, enum format from, uint32_t mods, bool integral)
{
    if (to == FMT_TF32 && from == FMT_F32 && mods == MOD_RNA)
        return cvt_tf32_rna;
    for (size_t k = 0; k < sizeof quicks / sizeof quicks[0]; k++)
        if (quicks[k].to == to && quicks[k].from == from && !mods && !integral)
            return quicks[k].fn;
    return cvt_lanes;
}

/* Registers may be wider than the type: any width that holds it. */
static bool cvt_operand(struct decoder *d, struct ptx_operand *o, const struct type *t, bool to,
                        uint32_t *at, uint8_t *size)
{
    int have = dec_register_size(d, o);
    *size = have > 0 ? (uint8_t)have : t->size < 2 ? 2 : t->size;
    if (have > 0 && have < t->size)
        return FAIL(d, "register `%s` does not hold %d bits", o->name, t->size * 8);
    return to ? dec_target(d, o, dec_letter_of(*size), at)
              : dec_source(d, o, dec_letter_of(*size), at);
}

bool dec_half_as_float(struct decoder *d, struct ptx_operand *o, bool bfloat, uint32_t *at)
{
    uint32_t from;
    if (!dec_source(d, o, 'h', &from))
        return false;
    struct sim_inst *i = dec_emit(d, cvt_lanes, RUN_LANES, SIM_ALU);
    i->op = SIM_OP_CVT;
    i->space = FMT_F32;
    i->sub = bfloat ? FMT_BF16 : FMT_F16;
    i->a = from;
    i->count = 2;
    i->size = 4;
    i->d = *at = dec_row_alloc(d, 4);
    return true;
}

/* cvt.pack.sat: a and b, saturated, side by side; of bytes before what c had in its low half. */
static void cvt_pack(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    unsigned bits = i->count;
    bool sign = i->mods & MOD_SIGNED;
    int64_t top = sign ? ((int64_t)1 << (bits - 1)) - 1 : ((int64_t)1 << bits) - 1,
            low = sign ? -top - 1 : 0;
    for (int l = 0; l < SIM_LANES; l++) {
        int64_t v[2] = {(int32_t)sim_row32(w, i->a)[l], (int32_t)sim_row32(w, i->b)[l]};
        uint32_t r = bits == 8 ? sim_row32(w, i->c)[l] << 16 : 0;
        for (int k = 0; k < 2; k++) {
            v[k] = v[k] > top ? top : v[k] < low ? low : v[k];
            r |= ((uint32_t)v[k] & ((1u << bits) - 1)) << (k ? 0 : bits);
        }
        if (mask >> l & 1)
            sim_row32(w, i->d)[l] = r;
    }
}

static bool decode_cvt_pack(struct decoder *d, struct ins *x)
{
    struct type to, from, rest;
    if (!dec_has(x, "sat") || !dec_take_type(x, &to) || !dec_take_type(x, &from))
        return FAIL(d, "cvt.pack.sat needs two types");
    bool bytes = to.size == 1;
    if (from.letter != 's' || from.size != 4 || to.size > 2 || to.lanes != 1 ||
        (to.letter != 'u' && to.letter != 's') || bytes != dec_take_type(x, &rest))
        return dec_unsupported(d, "this cvt.pack");
    struct sim_inst *i = dec_emit(d, cvt_pack, RUN_LANES, SIM_ALU);
    i->op = SIM_OP_CVT_PAIR;
    i->size = 4;
    i->count = (uint8_t)(8 * to.size);
    i->mods = to.letter == 's' ? MOD_SIGNED : 0;
    i->c = dec_constant(d, 4, 0);
    return dec_operands_are(d, x, bytes ? 4 : 3, bytes ? 4 : 3) &&
           dec_target(d, x->op[0], 'w', &i->d) && dec_source(d, x->op[1], 'w', &i->a) &&
           dec_source(d, x->op[2], 'w', &i->b) && (!bytes || dec_source(d, x->op[3], 'w', &i->c));
}

bool decode_cvt(struct decoder *d, struct ins *x)
{
    if (dec_has(x, "pack"))
        return decode_cvt_pack(d, x);
    if (dec_has_any(x, "rs ue8m0x2 e2m1x2 e2m3x2 e3m2x2 e2m1x4 e4m3x4 e5m2x4"))
        return dec_unsupported(d, "this cvt");
    struct type to, from;
    if (!dec_take_type(x, &to) || !dec_take_type(x, &from) || !x->ops)
        return FAIL(d, "cvt needs two types");
    uint32_t mods = 0;
    bool integral;
    cvt_mods(x, &mods, &integral);
    if (to.letter == '8' || to.letter == '9' || from.letter == '8' || from.letter == '9')
        return cvt_f8(d, x, &to, &from, mods);
    if (to.lanes == 2) {
        struct sim_inst *i = dec_emit(d, cvt_pair, RUN_LANES, SIM_ALU);
        i->op = SIM_OP_CVT_PAIR;
        i->space = (uint8_t)(to.letter == 'g' ? FMT_BF16 : FMT_F16);
        i->mods = mods;
        if (from.letter != 'f' || from.size != 4 || (to.letter != 'g' && to.letter != 'h') ||
            (mods & MOD_RNA))
            return dec_unsupported(d, "this cvt to a pair");
        return dec_operands_are(d, x, 3, 3) && dec_target(d, x->op[0], 'w', &i->d) &&
               dec_source(d, x->op[1], 'F', &i->a) && dec_source(d, x->op[2], 'F', &i->b);
    }
    if (from.lanes == 2 || to.letter == 'p' || from.letter == 'p' || to.size > 8 || from.size > 8 ||
        from.letter == 't' || !dec_operands_are(d, x, 2, 2))
        return dec_unsupported(d, "this cvt");
    enum format t = format_of(&to), f = format_of(&from);
    struct sim_inst *i = dec_emit(d, NULL, RUN_LANES, SIM_ALU);
    i->op = SIM_OP_CVT;
    uint8_t from_size;
    i->mods = mods;
    i->space = (uint8_t)t;
    i->sub = (uint8_t)f;
    i->imm = integral;
    if (!cvt_operand(d, x->op[0], &to, true, &i->d, &i->size) ||
        !cvt_operand(d, x->op[1], &from, false, &i->a, &from_size))
        return false;
    bool exact =
        i->size == (to.size < 2 ? 2 : to.size) && from_size == (from.size < 2 ? 2 : from.size);
    i->fn = exact ? quick_cvt(t, f, mods, integral) : cvt_lanes;
    i->count = from_size;
    return true;
}

/* ---- addresses ---- */
static void cvta_lanes(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1) {
            uint64_t v =
                (i->sub == 8 ? sim_row64(w, i->a)[l] : sim_row32(w, i->a)[l]) + (uint64_t)i->imm;
            if (i->size == 8)
                sim_row64(w, i->d)[l] = v;
            else
                sim_row32(w, i->d)[l] = (uint32_t)v;
        }
}

static uint64_t window_of(enum ptx_space s)
{
    return s == PTX_SHARED  ? SIM_WINDOW_SHARED
           : s == PTX_LOCAL ? SIM_WINDOW_LOCAL
           : s == PTX_PARAM ? SIM_WINDOW_PARAM
                            : 0;
}

bool decode_cvta(struct decoder *d, struct ins *x)
{
    struct type t;
    enum ptx_space s;
    bool to = dec_has(x, "to");
    if (!dec_space_of(x, &s) || !dec_take_type(x, &t) || t.letter != 'u' ||
        !dec_operands_are(d, x, 2, 2))
        return FAIL(d, "cvta needs a state space and a type");
    if (t.size != 8)
        return dec_unsupported(d, "an address of 32 bits in cvta");
    uint64_t window = window_of(s);
    if (!window) {
        const struct sim_row *r = dec_row_find(d, "mov.b64");
        struct sim_inst *i = dec_emit(d, r->fn, RUN_LANES, SIM_ALU);
        i->op = (uint16_t)(r - d->rows.row);
        return dec_target(d, x->op[0], 'l', &i->d) && dec_source(d, x->op[1], 'l', &i->a);
    }
    struct sim_inst *i = dec_emit(d, cvta_lanes, RUN_LANES, SIM_ALU);
    i->op = SIM_OP_ADDRESS;
    i->size = i->sub = 8;
    i->imm = (int64_t)(to ? 0 - window : window);
    return dec_target(d, x->op[0], 'l', &i->d) && dec_source(d, x->op[1], 'l', &i->a);
}

static void isspacep_lanes(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint32_t yes = 0, *d = sim_pred(w, i->d);
    for (int l = 0; l < SIM_LANES; l++) {
        uint64_t a = sim_row64(w, i->a)[l], rank = (a & ~SIM_WINDOW_MASK) >> SIM_RANK_AT;
        bool own = !i->sub || !rank || rank == w->block->window >> SIM_RANK_AT;
        yes |= ((a & SIM_WINDOW_MASK) == (uint64_t)i->imm && own ? 1u : 0u) << l;
    }
    *d = (*d & ~mask) | (yes & mask);
}

bool decode_isspacep(struct decoder *d, struct ins *x)
{
    enum ptx_space s;
    bool far = dec_has(x, "shared::cluster");
    s = PTX_SHARED;
    if ((!far && !dec_space_of(x, &s)) || !dec_operands_are(d, x, 2, 2))
        return FAIL(d, "isspacep needs a state space");
    struct sim_inst *i = dec_emit(d, isspacep_lanes, RUN_LANES, SIM_ALU);
    i->sub = s == PTX_SHARED && !far;
    i->op = SIM_OP_SPACE;
    i->imm = (int64_t)window_of(s);
    return dec_target(d, x->op[0], 'p', &i->d) && dec_source(d, x->op[1], 'l', &i->a);
}

bool decode_mapa(struct decoder *d, struct ins *x)
{
    struct type t;
    enum ptx_space s;
    dec_space_of(x, &s);
    if (!dec_take_type(x, &t) || t.letter != 'u' || t.size < 4 || !dec_operands_are(d, x, 3, 3))
        return FAIL(d, "mapa needs a type and three operands");
    struct sim_inst *i = dec_emit(d, sim_mapa, RUN_ACCESS, SIM_ALU);
    i->op = SIM_OP_RANK;
    i->size = t.size;
    return dec_target(d, x->op[0], dec_letter_of(t.size), &i->d) &&
           dec_source(d, x->op[1], dec_letter_of(t.size), &i->a) &&
           dec_source(d, x->op[2], 'w', &i->b);
}

bool decode_getctarank(struct decoder *d, struct ins *x)
{
    struct type t;
    enum ptx_space s;
    dec_space_of(x, &s);
    if (!dec_take_type(x, &t) || t.letter != 'u' || t.size < 4 || !dec_operands_are(d, x, 2, 2))
        return FAIL(d, "getctarank needs a type and two operands");
    struct sim_inst *i = dec_emit(d, sim_getctarank, RUN_LANES, SIM_ALU);
    i->op = SIM_OP_RANK;
    i->size = t.size;
    return dec_target(d, x->op[0], 'w', &i->d) &&
           dec_source(d, x->op[1], dec_letter_of(t.size), &i->a);
}

/* A cache's policy is a number that nothing looks at. */
bool decode_createpolicy(struct decoder *d, struct ins *x)
{
    for (int k = 0; k < x->words; k++)
        x->used[k] = true;
    const struct sim_row *r = dec_row_find(d, "mov.b64");
    struct sim_inst *i = dec_emit(d, r->fn, RUN_LANES, SIM_ALU);
    i->op = (uint16_t)(r - d->rows.row);
    uint32_t zero = dec_constant(d, 8, 0);
    i->a = zero;
    return dec_operands_are(d, x, 1, 5) && dec_target(d, x->op[0], 'l', &i->d);
}
