/* decode_alu: arithmetic, comparisons, logic: the instruction's name with the words that choose
 * code is a key of lanes.def; the other words are flags. */
#include "decode.h"
#include "taint.h"
#include <stdio.h>

/* Rows for operands in the order of the shape. */
static bool operands_of(struct decoder *d, struct ins *x, const char *shape, struct sim_inst *i)
{
    uint32_t *const place[4] = {&i->a, &i->b, &i->c, &i->e};
    int n = (int)strlen(shape);
    if (!dec_operands_are(d, x, n, n))
        return false;
    if (!dec_target(d, x->op[0], shape[0], &i->d))
        return false;
    for (int k = 1; k < n; k++) {
        bool negated = false;
        bool ok = shape[k] == 'p' ? dec_pred_source(d, x->op[k], place[k - 1], &negated)
                                  : dec_source(d, x->op[k], shape[k], place[k - 1]);
        if (!ok)
            return false;
        if (negated)
            i->mods |= MOD_NOT;
    }
    return true;
}

static uint32_t rounding_of(struct ins *x)
{
    static const char *const words[] = {"rn", "rz", "rm", "rp"};
    for (uint32_t r = 0; r < 4; r++)
        if (dec_has(x, words[r]))
            return r;
    return 4;
}

static void append(char *key, size_t size, const char *word)
{
    size_t n = strlen(key);
    snprintf(key + n, size - n, ".%s", word);
}

static struct sim_inst *emit_row(struct decoder *d, const struct sim_row *r, uint32_t mods)
{
    bool general = (mods & (MOD_RND | MOD_FTZ | MOD_SAT)) && r->general;
    struct sim_inst *i =
        dec_emit(d, general ? r->general : r->fn, RUN_LANES, (enum sim_class)r->cls);
    i->op = (uint16_t)(r - d->rows.row);
    i->mods = mods;
    return i;
}

/* The words that stay, in their order, with the type last; sign-insensitive types as b. */
static const struct sim_row *row_of(struct decoder *d, struct ins *x, const char *name,
                                    const struct type *t, int ops)
{
    char head[64], key[96];
    snprintf(head, sizeof head, "%s", name);
    for (int i = 0; i < x->words; i++)
        if (!x->used[i]) {
            append(head, sizeof head, x->word[i]);
            x->used[i] = true;
        }
    snprintf(key, sizeof key, "%s.%s%s", head, t->text,
             ops == 4 && (t->letter == 'f') && (!strcmp(name, "min") || !strcmp(name, "max")) ? ".3"
                                                                                              : "");
    const struct sim_row *r = dec_row_find(d, key);
    if (!r && (t->letter == 's' || t->letter == 'u' || !strcmp(name, "selp"))) {
        snprintf(key, sizeof key, "%s.b%d", head, t->size * 8);
        r = dec_row_find(d, key);
    }
    if (!r)
        dec_unknown_form(d, x);
    return r;
}

/* The type that counts: the last; dp4a and dp2a have two, which stay words. */
static bool last_type(struct decoder *d, struct ins *x, struct type *t)
{
    for (int i = x->words; i-- > 0;)
        if (!x->used[i] && dec_type_of(x->word[i], t)) {
            x->used[i] = true;
            return true;
        }
    return FAIL(d, "`%s` has no type", x->name);
}

/* add, sub, fma of halves (`t`) into f32: the last operand is one too. */
static bool mixed(struct decoder *d, struct ins *x, const struct type *t)
{
    struct type f = {'f', 4, 1, "f32"};
    uint32_t r = rounding_of(x), at[3] = {0}, mods = r < 4 ? r : 0;
    bool fma = !strcmp(x->name, "fma");
    int n = fma ? 3 : 2;
    mods |= dec_has(x, "sat") ? MOD_SAT : 0;
    const struct sim_row *row = row_of(d, x, x->name, &f, n + 1);
    if (!row || !dec_operands_are(d, x, n + 1, n + 1))
        return false;
    for (int k = 0; k < n; k++)
        if (k < n - 1 ? !dec_half_as_float(d, x->op[k + 1], t->letter == 'g', &at[k])
                      : !dec_source(d, x->op[k + 1], 'F', &at[k]))
            return false;
    struct sim_inst *i = emit_row(d, row, mods);
    i->count = 1;
    i->a = at[0], i->b = at[1], i->c = at[2];
    return dec_target(d, x->op[0], 'F', &i->d);
}

bool decode_arith(struct decoder *d, struct ins *x)
{
    struct type t;
    if (!last_type(d, x, &t))
        return false;
    if ((t.letter == 'h' || t.letter == 'g') && t.lanes == 1 &&
        (!strcmp(x->name, "add") || !strcmp(x->name, "sub") || !strcmp(x->name, "fma")) &&
        dec_has(x, "f32"))
        return mixed(d, x, &t);
    const char *name = x->name;
    uint32_t mods = 0;
    bool half = t.letter == 'h' || t.letter == 'g', floats = half || t.letter == 'f';
    if (floats) {
        uint32_t r = rounding_of(x);
        mods |= r < 4 ? r : 0;
        if (!(t.size == 8 && dec_has(x, "approx")) && dec_has(x, "ftz"))
            mods |= MOD_FTZ;
        else
            for (int i = 0; i < x->words; i++) /* approx of f64 stays part of the key */
                if (t.size == 8 && !strcmp(x->word[i], "approx"))
                    x->used[i] = false;
        mods |= dec_has(x, "sat") ? MOD_SAT : 0;
        if (!strcmp(name, "mad"))
            name = "fma";
        if (half) {
            mods |= t.letter == 'g' ? MOD_BFLOAT : 0;
            mods |= dec_has(x, "relu") ? MOD_RELU : 0;
            mods |= dec_has(x, "NaN") ? MOD_NAN : 0;
            mods |= dec_has(x, "xorsign") && dec_has(x, "abs") ? MOD_ABS : 0;
            if (mods & MOD_RND)
                return dec_unsupported(d, "this rounding of a half");
        }
    }
    if (dec_has(x, "oob"))
        return dec_unsupported(d, "fma.oob");
    const struct sim_row *r = row_of(d, x, name, &t, x->ops);
    if (!r)
        return false;
    if ((mods & (MOD_RND | MOD_FTZ | MOD_SAT)) && !half && !r->general)
        return dec_unsupported(d, "a rounding, .ftz or .sat here");
    struct sim_inst *i = emit_row(d, r, mods);
    i->count = t.lanes;
    return operands_of(d, x, r->shape, i);
}

/* ---- comparisons ---- */
static bool comparison(struct decoder *d, struct ins *x, const struct type *t,
                       const struct sim_row **r, bool *boolean, uint32_t *mods)
{
    const char *cmp =
        dec_has_any(x, "eq ne lt le gt ge equ neu ltu leu gtu geu num nan lo ls hi hs");
    if (!cmp)
        return FAIL(d, "`%s` has no comparison", x->name);
    cmp = !strcmp(cmp, "lo")   ? "lt"
          : !strcmp(cmp, "ls") ? "le"
          : !strcmp(cmp, "hi") ? "gt"
          : !strcmp(cmp, "hs") ? "ge"
                               : cmp;
    *mods |= dec_has(x, "ftz") ? MOD_FTZ : 0;
    *mods |= t->letter == 'g' ? MOD_BFLOAT : 0;
    *boolean = true;
    if (dec_has(x, "and"))
        *mods |= MOD_AND;
    else if (dec_has(x, "or"))
        *mods |= MOD_OR;
    else if (dec_has(x, "xor"))
        *mods |= MOD_XOR;
    else
        *boolean = false;
    char key[48];
    snprintf(key, sizeof key, "setp.%s.%s%d", cmp,
             t->letter == 'b'   ? "u"
             : t->letter == 's' ? "s"
             : t->letter == 'u' ? "u"
             : t->letter == 'g' ? "bf"
                                : "f",
             t->size * 8);
    *r = dec_row_find(d, key);
    return *r || FAIL(d, "unknown comparison `%s`", key);
}

static bool compare_operands(struct decoder *d, struct ins *x, const char *shape, bool boolean,
                             struct sim_inst *i)
{
    bool negated = false;
    if (!dec_operands_are(d, x, boolean ? 4 : 3, boolean ? 4 : 3) ||
        !dec_source(d, x->op[1], shape[1], &i->a) || !dec_source(d, x->op[2], shape[2], &i->b))
        return false;
    if (!boolean)
        return true;
    if (!dec_pred_source(d, x->op[3], &i->c, &negated))
        return false;
    i->mods |= negated ? MOD_NOT : 0;
    return true;
}

/* Comparisons of pairs of halves, one after the other: rows with the low and the high halves are
 * made, then the single comparison runs on each; the halves of the result (or two predicates) come
 * out. */
static void low_halves(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    const uint32_t *a = sim_row32(w, i->a);
    uint32_t *d = sim_row32(w, i->d);
    for (int l = 0; l < SIM_LANES; l++)
        d[l] = mask >> l & 1 ? a[l] >> i->count & 0xFFFF : d[l];
}
static void join_halves(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    const uint32_t *a = sim_row32(w, i->a), *b = sim_row32(w, i->b);
    uint32_t *d = sim_row32(w, i->d);
    for (int l = 0; l < SIM_LANES; l++)
        d[l] = mask >> l & 1 ? a[l] | b[l] << 16 : d[l];
}

static uint32_t half_of(struct decoder *d, uint32_t pair, uint8_t shift)
{
    struct sim_inst *i = dec_emit(d, low_halves, RUN_LANES, SIM_ALU);
    i->op = SIM_OP_LOW_HALF;
    i->a = pair;
    i->count = shift;
    i->d = dec_row_alloc(d, 4);
    return i->d;
}

/* set.CMP.TYPEx2 d, a, b   and   setp.CMP.TYPEx2 p|q, a, b */
static bool compare_pairs(struct decoder *d, struct ins *x, const struct sim_row *r, uint32_t mods,
                          uint32_t one)
{
    uint32_t a, b, to[2] = {0, 0};
    if (!dec_operands_are(d, x, 3, 3) || !dec_source(d, x->op[1], 'w', &a) ||
        !dec_source(d, x->op[2], 'w', &b))
        return false;
    bool preds = !(mods & (MOD_SET_INT | MOD_SET_FLOAT));
    if (preds && (x->op[0]->kind != PTX_PAIR || !dec_target(d, x->op[0]->items, 'p', &to[0]) ||
                  !dec_target(d, x->op[0]->items->next, 'p', &to[1])))
        return FAIL(d, "a comparison of pairs gives p|q");
    for (uint8_t k = 0; k < 2; k++) {
        uint32_t ha = half_of(d, a, (uint8_t)(16 * k)), hb = half_of(d, b, (uint8_t)(16 * k));
        struct sim_inst *i = emit_row(d, r, mods);
        i->a = ha, i->b = hb, i->imm = one & 0xFFFF;
        i->d = preds ? to[k] : (to[k] = dec_row_alloc(d, 4));
    }
    if (preds)
        return true;
    struct sim_inst *i = dec_emit(d, join_halves, RUN_LANES, SIM_ALU);
    i->op = SIM_OP_JOIN;
    i->a = to[0], i->b = to[1];
    return dec_target(d, x->op[0], 'w', &i->d);
}

bool decode_set(struct decoder *d, struct ins *x)
{
    struct type to, t;
    const struct sim_row *r;
    uint32_t mods = 0;
    bool boolean;
    if (!last_type(d, x, &t) || !last_type(d, x, &to))
        return false;
    struct type single = t;
    if (t.lanes == 2) {
        if (t.letter != 'h' && t.letter != 'g')
            return dec_unsupported(d, "set of pairs of integers");
        single.size = 2;
    }
    if (!comparison(d, x, &single, &r, &boolean, &mods))
        return false;
    bool floats = to.letter == 'f' || to.letter == 'h' || to.letter == 'g';
    mods |= floats ? MOD_SET_FLOAT : MOD_SET_INT;
    uint32_t one = to.letter == 'f'   ? 0x3F800000
                   : to.letter == 'h' ? 0x3C00
                   : to.letter == 'g' ? 0x3F80
                                      : SIM_ALL;
    if (t.lanes == 2)
        return boolean ? dec_unsupported(d, "set of pairs with a predicate")
                       : compare_pairs(d, x, r, mods, one);
    struct sim_inst *i = emit_row(d, r, mods);
    i->imm = to.size == 2 || to.lanes == 2 ? one & 0xFFFF : one;
    return compare_operands(d, x, r->shape, boolean, i) &&
           dec_target(d, x->op[0], dec_letter_of(to.size), &i->d);
}

bool decode_setp(struct decoder *d, struct ins *x)
{
    struct type t;
    const struct sim_row *r;
    uint32_t mods = 0;
    bool boolean;
    if (!last_type(d, x, &t))
        return false;
    struct type single = t;
    single.size = t.lanes == 2 ? 2 : t.size;
    if (t.letter == 'p' || (t.lanes == 2 && t.letter != 'h' && t.letter != 'g'))
        return dec_unsupported(d, "this comparison");
    if (!comparison(d, x, &single, &r, &boolean, &mods))
        return false;
    if (t.lanes == 2)
        return boolean ? dec_unsupported(d, "setp of pairs with a predicate")
                       : compare_pairs(d, x, r, mods, 0);
    struct sim_inst *i = emit_row(d, r, mods);
    struct ptx_operand *to = x->ops ? x->op[0] : NULL;
    if (to && to->kind == PTX_PAIR) {
        i->mods |= MOD_PAIR;
        if (!dec_target(d, to->items->next, 'p', &i->e))
            return false;
        to = to->items;
    }
    return compare_operands(d, x, r->shape, boolean, i) && dec_target(d, to, 'p', &i->d);
}

/* ---- logic ---- */
static void lop3_lanes(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    const uint32_t *a = sim_row32(w, i->a), *b = sim_row32(w, i->b), *c = sim_row32(w, i->c);
    uint32_t *d = sim_row32(w, i->d), k[8];
    for (int t = 0; t < 8; t++)
        k[t] = i->imm >> t & 1 ? SIM_ALL : 0;
    for (int l = 0; l < SIM_LANES; l++) {
        uint32_t x = a[l], y = b[l], z = c[l];
        uint32_t low = (((k[0] & ~z) | (k[1] & z)) & ~y) | (((k[2] & ~z) | (k[3] & z)) & y);
        uint32_t high = (((k[4] & ~z) | (k[5] & z)) & ~y) | (((k[6] & ~z) | (k[7] & z)) & y);
        uint32_t r = (low & ~x) | (high & x);
        d[l] = mask >> l & 1 ? r : d[l];
    }
}

bool decode_lop3(struct decoder *d, struct ins *x)
{
    int64_t lut;
    if (!dec_has(x, "b32"))
        return FAIL(d, "lop3 is of type b32");
    if (dec_has_any(x, "and or"))
        return dec_unsupported(d, "lop3 with a predicate");
    struct sim_inst *i = dec_emit(d, lop3_lanes, RUN_LANES, SIM_ALU);
    i->op = SIM_OP_LOP3;
    if (!dec_operands_are(d, x, 5, 5) || !dec_target(d, x->op[0], 'w', &i->d) ||
        !dec_source(d, x->op[1], 'w', &i->a) || !dec_source(d, x->op[2], 'w', &i->b) ||
        !dec_source(d, x->op[3], 'w', &i->c) || !dec_integer_of(d, x->op[4], 0, 255, &lut))
        return false;
    i->imm = lut;
    i->count = 3;
    return true;
}

bool decode_slct(struct decoder *d, struct ins *x)
{
    struct type by, t;
    if (!last_type(d, x, &by) || !last_type(d, x, &t) || (by.letter != 's' && by.letter != 'f') ||
        by.size != 4)
        return FAIL(d, "slct has two types, the second s32 or f32");
    uint32_t mods = dec_has(x, "ftz") ? MOD_FTZ : 0;
    char key[32];
    snprintf(key, sizeof key, "slct.%s.%d", by.text, t.size * 8);
    const struct sim_row *r = dec_row_find(d, key);
    if (!r)
        return FAIL(d, "unknown form of slct");
    return operands_of(d, x, r->shape, emit_row(d, r, mods));
}

static void pred_and(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint32_t a = *sim_pred(w, i->a), b = *sim_pred(w, i->b), *d = sim_pred(w, i->d);
    a ^= i->mods & MOD_NOT ? SIM_ALL : 0;
    uint32_t r = i->mods & MOD_AND ? a & b : i->mods & MOD_OR ? a | b : a ^ b;
    *d = (*d & ~mask) | (r & mask);
}

bool decode_pred_logic(struct decoder *d, struct ins *x)
{
    bool negated;
    if (!dec_has(x, "pred"))
        return decode_arith(d, x);
    bool one = !strcmp(x->name, "not");
    struct sim_inst *i = dec_emit(d, pred_and, RUN_LANES, SIM_ALU);
    i->op = SIM_OP_LOGIC;
    i->mods = one               ? MOD_NOT | MOD_XOR
              : *x->name == 'a' ? MOD_AND
              : *x->name == 'o' ? MOD_OR
                                : MOD_XOR;
    if (!dec_operands_are(d, x, one ? 2 : 3, one ? 2 : 3) || !dec_target(d, x->op[0], 'p', &i->d) ||
        !dec_pred_source(d, x->op[1], &i->a, &negated))
        return false;
    if (negated)
        return FAIL(d, "`!` is not possible here");
    if (one) {
        i->b = dec_constant(d, 4, 0);
        return true;
    }
    return dec_pred_source(d, x->op[2], &i->b, &negated) &&
           (!negated || FAIL(d, "`!` is not possible here"));
}
