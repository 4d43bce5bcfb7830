/* decode_operand: words (modifiers) and operands of an instruction. */
#include "decode.h"
#include "number.h"
#include <stdlib.h>

bool dec_has(struct ins *x, const char *word)
{
    for (int i = 0; i < x->words; i++)
        if (!x->used[i] && !strcmp(x->word[i], word)) {
            x->used[i] = true;
            return true;
        }
    return false;
}

const char *dec_has_any(struct ins *x, const char *words)
{
    for (int i = 0; i < x->words; i++) {
        size_t n = strlen(x->word[i]);
        if (x->used[i])
            continue;
        for (const char *w = words; *w;) {
            size_t k = strcspn(w, " ");
            if (k == n && !memcmp(w, x->word[i], n)) {
                x->used[i] = true;
                return x->word[i];
            }
            w += k + (w[k] == ' ');
        }
    }
    return NULL;
}

bool dec_type_of(const char *word, struct type *t)
{
    static const struct type types[] = {
        {'b', 1, 1, "b8"},     {'b', 2, 1, "b16"},   {'b', 4, 1, "b32"},    {'b', 8, 1, "b64"},
        {'b', 16, 1, "b128"},  {'u', 1, 1, "u8"},    {'u', 2, 1, "u16"},    {'u', 4, 1, "u32"},
        {'u', 8, 1, "u64"},    {'s', 1, 1, "s8"},    {'s', 2, 1, "s16"},    {'s', 4, 1, "s32"},
        {'s', 8, 1, "s64"},    {'f', 4, 1, "f32"},   {'f', 8, 1, "f64"},    {'h', 2, 1, "f16"},
        {'h', 4, 2, "f16x2"},  {'g', 2, 1, "bf16"},  {'g', 4, 2, "bf16x2"}, {'t', 4, 1, "tf32"},
        {'p', 1, 1, "pred"},   {'8', 1, 1, "e4m3"},  {'8', 2, 2, "e4m3x2"}, {'9', 1, 1, "e5m2"},
        {'9', 2, 2, "e5m2x2"}, {'u', 4, 2, "u16x2"}, {'s', 4, 2, "s16x2"},  {'f', 8, 2, "f32x2"},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (!strcmp(types[i].text, word)) {
            *t = types[i];
            return true;
        }
    return false;
}

bool dec_take_type(struct ins *x, struct type *t)
{
    for (int i = 0; i < x->words; i++)
        if (!x->used[i] && dec_type_of(x->word[i], t)) {
            x->used[i] = true;
            return true;
        }
    return false;
}

/* Words of PTX 9 beside types and those with `::`. */
static const char words_of_ptx[] =
    " 1d 2d 3d 4d 5d a1d a2d acube cube a2dms 2dms abs acq_rel acquire add address aligned all "
    "alloc and any approx arrive arrive_drop async atom b1024 b128 b1 b4x16_p64 b6x16_p32 "
    "b8x16 ballot bfly block16 block32 block_scale bulk bulk_group ca cas cc cg clamp cluster "
    "col commit commit_group complete_tx const cp cp_mask cs cta cv dealloc dec down e2m1 "
    "e2m1x2 e2m1x4 e2m3 e2m3x2 e2m3x4 e3m2 e3m2x2 e3m2x4 e4m3x4 e5m2x4 elect entry eq equ "
    "exch exit expect_tx f4e full fence finite ftz ge geu global gpu gt gtu hi hs i8x4 idx "
    "ignore_oob im2col inc infinite init inval ld le leu level lo local ls lt ltu lu m16n16 "
    "m16n8 m64n8 m8n16 m8n8 masked max min mma mma_async mmio mul nan nc ne neu noComplete "
    "noftz noinc normal notanumber num oob op or pack param pending_count popc prefetch "
    "prefetchu proxy r red reduce relaxed release relu relinquish_alloc_permit rm rmi rn rna "
    "rni row rp rpi rs rz rzi s2f6x2 s4 s8x4 sat satfinite scatter shared shift sp spin st "
    "subnormal sync sys tensor test_wait tile to trans try_wait tryget transA u4 u8x4 ue4m3 "
    "ue8m0 ue8m0x2 uni unified unordered_metadata up v2 v4 v8 volatile wait wait_group warp "
    "weak wide wrap write wt x1 x2 x4 xor xorsign ";

static bool word_known(const char *word)
{
    char padded[40];
    struct type t;
    if (strstr(word, "::") || dec_type_of(word, &t))
        return true;
    if (strlen(word) > sizeof padded - 3)
        return false;
    snprintf(padded, sizeof padded, " %s ", word);
    return strstr(words_of_ptx, padded);
}

bool dec_unknown_form(struct decoder *d, struct ins *x)
{
    for (int i = 0; i < x->words; i++)
        if (!word_known(x->word[i]))
            return FAIL(d, "`.%s` of `%s` is not known", x->word[i], x->name);
    return dec_unsupported(d, "this form");
}

bool dec_words_done(struct decoder *d, struct ins *x)
{
    for (int i = 0; i < x->words; i++)
        if (!x->used[i])
            return dec_unknown_form(d, x);
    return true;
}

bool dec_operands_are(struct decoder *d, struct ins *x, int least, int most)
{
    if (x->ops >= least && x->ops <= most)
        return true;
    return FAIL(d, "`%s` has %d operands, not %d", x->name, x->ops, x->ops < least ? least : most);
}

char dec_letter_of(uint8_t size) { return size == 8 ? 'l' : size == 4 ? 'w' : 'h'; }
static uint8_t size_of_letter(char letter)
{
    return letter == 'l' || letter == 'D' ? 8 : letter == 'h' || letter == 'H' ? 2 : 4;
}

/* ---- special registers ---- */
struct special {
    const char *name, *part;
    enum sim_special code;
    uint8_t size;
};
static const struct special specials[] = {
    {"%tid", "x", SP_TID_X, 4},
    {"%tid", "y", SP_TID_Y, 4},
    {"%tid", "z", SP_TID_Z, 4},
    {"%ntid", "x", SP_NTID_X, 4},
    {"%ntid", "y", SP_NTID_Y, 4},
    {"%ntid", "z", SP_NTID_Z, 4},
    {"%ctaid", "x", SP_CTAID_X, 4},
    {"%ctaid", "y", SP_CTAID_Y, 4},
    {"%ctaid", "z", SP_CTAID_Z, 4},
    {"%nctaid", "x", SP_NCTAID_X, 4},
    {"%nctaid", "y", SP_NCTAID_Y, 4},
    {"%nctaid", "z", SP_NCTAID_Z, 4},
    {"%laneid", NULL, SP_LANEID, 4},
    {"%warpid", NULL, SP_WARPID, 4},
    {"%nwarpid", NULL, SP_NWARPID, 4},
    {"%smid", NULL, SP_SMID, 4},
    {"%nsmid", NULL, SP_NSMID, 4},
    {"%gridid", NULL, SP_GRIDID, 8},
    {"%lanemask_lt", NULL, SP_LT, 4},
    {"%lanemask_le", NULL, SP_LE, 4},
    {"%lanemask_gt", NULL, SP_GT, 4},
    {"%lanemask_ge", NULL, SP_GE, 4},
    {"%lanemask_eq", NULL, SP_EQ, 4},
    {"%dynamic_smem_size", NULL, SP_DYNAMIC_BYTES, 4},
    {"%envreg1", NULL, SP_WORKSPACE, 4},
    {"%envreg2", NULL, SP_WORKSPACE_LO, 4},
    {"%total_smem_size", NULL, SP_TOTAL_SHARED, 4},
    {"%aggr_smem_size", NULL, SP_ALL_SHARED, 4},
    {"%reserved_smem_offset_begin", NULL, SP_RESERVED, 4},
    {"%reserved_smem_offset_end", NULL, SP_RESERVED_END, 4},
    {"%reserved_smem_offset_cap", NULL, SP_RESERVED_CAP, 4},
    {"%reserved_smem_offset_0", NULL, SP_RESERVED, 4},
    {"%reserved_smem_offset_1", NULL, SP_RESERVED_1, 4},
    {"%current_graph_exec", NULL, SP_ZERO, 8},
    {"%clusterid", "x", SP_CLUSTERID_X, 4},
    {"%clusterid", "y", SP_CLUSTERID_Y, 4},
    {"%clusterid", "z", SP_CLUSTERID_Z, 4},
    {"%nclusterid", "x", SP_NCLUSTERID_X, 4},
    {"%nclusterid", "y", SP_NCLUSTERID_Y, 4},
    {"%nclusterid", "z", SP_NCLUSTERID_Z, 4},
    {"%cluster_ctaid", "x", SP_CLUSTER_CTAID_X, 4},
    {"%cluster_ctaid", "y", SP_CLUSTER_CTAID_Y, 4},
    {"%cluster_ctaid", "z", SP_CLUSTER_CTAID_Z, 4},
    {"%cluster_nctaid", "x", SP_CLUSTER_NCTAID_X, 4},
    {"%cluster_nctaid", "y", SP_CLUSTER_NCTAID_Y, 4},
    {"%cluster_nctaid", "z", SP_CLUSTER_NCTAID_Z, 4},
    {"%cluster_ctarank", NULL, SP_CLUSTER_RANK, 4},
    {"%cluster_nctarank", NULL, SP_CLUSTER_SIZE, 4},
    {"%clock", NULL, SP_CLOCK, 4},
    {"%clock_hi", NULL, SP_CLOCK_HI, 4},
    {"%clock64", NULL, SP_CLOCK64, 8},
    {"%globaltimer", NULL, SP_TIMER, 8},
    {"%globaltimer_lo", NULL, SP_TIMER_LO, 4},
    {"%globaltimer_hi", NULL, SP_TIMER_HI, 4},
};

static const struct special *special_find(const struct ptx_operand *o)
{
    for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++)
        if (!strcmp(specials[i].name, o->name) &&
            (o->part ? specials[i].part && !strcmp(specials[i].part, o->part) : !specials[i].part))
            return &specials[i];
    static const struct special zero = {"%envreg", NULL, SP_ZERO, 4};
    const char *digits = o->name + 7;
    bool number = !strncmp(o->name, "%envreg", 7) && digits[strspn(digits, "0123456789")] == 0;
    return number && *digits && strtol(digits, NULL, 10) < 32 && !o->part ? &zero : NULL;
}

static bool special_source(struct decoder *d, const struct special *s, char letter, uint32_t *at)
{
    if (s->code >= SP_CLOCK)
        return FAIL(d, "`%s` is read by mov only", s->name);
    uint8_t size = size_of_letter(letter);
    if (size < 4)
        return FAIL(d, "`%s` has %d bits", s->name, s->size * 8);
    *at = dec_preset(d, PRESET_SPECIAL, size, s->code, 0, false);
    return true;
}

/* ---- registers and values ---- */
static bool register_row(struct decoder *d, struct symbol *s, uint32_t *at)
{
    if (!s->allocated) {
        s->at = dec_row_alloc(d, s->size);
        s->allocated = true;
    }
    dec_span(d, s);
    *at = s->at;
    return true;
}

int dec_register_size(struct decoder *d, struct ptx_operand *o)
{
    if (o->kind != PTX_NAME || o->part)
        return -1;
    struct symbol *s = dec_symbol_find(d, o->name);
    return s && s->kind == SYM_REGISTER ? s->size : -1;
}

uint64_t dec_symbol_address(const struct symbol *s)
{
    if (s->kind == SYM_FUNCTION)
        return SIM_WINDOW_CODE + 16 * (s->address + 1);
    switch (s->space) {
    case PTX_SHARED: return SIM_WINDOW_SHARED + s->address;
    case PTX_LOCAL: return SIM_WINDOW_LOCAL + s->address;
    case PTX_PARAM: return SIM_WINDOW_PARAM + s->address;
    case PTX_NO_SPACE:
    case PTX_REG:
    case PTX_GLOBAL:
    case PTX_CONST: break;
    }
    return s->address;
}

/* The address of a variable, within its space, as a value. */
static bool variable_source(struct decoder *d, const struct symbol *s, int64_t add, uint8_t size,
                            uint32_t *at)
{
    if (s->kind == SYM_VARIABLE && !s->space)
        return dec_unsupported(d, "a texture, sampler or surface");
    if (size < 4)
        return FAIL(d, "the address of `%s` does not fit 16 bits", s->name);
    if (s->kind == SYM_FUNCTION) {
        *at = dec_constant(d, size, dec_symbol_address(s));
    } else if (s->space == PTX_LOCAL) {
        *at = dec_preset(d, PRESET_LOCAL, size, s->address + (uint64_t)add, 0, false);
    } else if (s->space == PTX_SHARED && s->address == UINT64_MAX) {
        if (add)
            return FAIL(d, "an offset to `%s` in a value", s->name);
        *at = dec_preset(d, PRESET_SPECIAL, size, SP_DYNAMIC_SHARED, 0, false);
    } else if ((s->space == PTX_GLOBAL || s->space == PTX_CONST) && size < 8) {
        return FAIL(d, "the address of `%s` does not fit 32 bits", s->name);
    } else if (s->space == PTX_SHARED) {
        *at = dec_preset(d, PRESET_SHARED, size, s->address + (uint64_t)add, 0, false);
    } else {
        *at = dec_constant(d, size, s->address + (uint64_t)add);
    }
    return true;
}

/* name[3]: the address of an element. */
static struct symbol *element(struct decoder *d, const struct ptx_operand *o, int64_t *add)
{
    struct symbol *s = dec_symbol_find(d, o->name);
    if (!s || s->kind != SYM_VARIABLE) {
        FAIL(d, "`%s` is no variable that has elements", o->name);
        return NULL;
    }
    *add = (int64_t)((uint64_t)o->value * s->element);
    return s;
}

static bool immediate(struct decoder *d, const struct ptx_operand *o, char letter, uint32_t *at)
{
    uint8_t size = size_of_letter(letter);
    uint64_t v = (uint64_t)o->value;
    if (o->kind == PTX_F32) {
        if (size == 8)
            v = sim_bits64((double)sim_f32((uint32_t)v));
        else if (size != 4)
            return FAIL(d, "a float where 16 bits are wanted");
    } else if (o->kind == PTX_F64) {
        if (size == 4)
            v = sim_bits32((float)sim_f64(v));
        else if (size != 8)
            return FAIL(d, "a float where 16 bits are wanted");
    } else if (letter == 'F' || letter == 'D') {
        v = letter == 'F' ? sim_bits32((float)o->value) : sim_bits64((double)o->value);
    } else if (size == 2) {
        v &= 0xFFFF;
    }
    *at = dec_constant(d, size, v);
    return true;
}

bool dec_source(struct decoder *d, struct ptx_operand *o, char letter, uint32_t *at)
{
    if (letter == 'p') {
        bool negated = false;
        return dec_pred_source(d, o, at, &negated) &&
               (!negated || FAIL(d, "`!` is not possible here"));
    }
    if (o->kind == PTX_INT || o->kind == PTX_F32 || o->kind == PTX_F64)
        return immediate(d, o, letter, at);
    if (o->kind == PTX_ELEMENT) {
        int64_t add;
        struct symbol *s = element(d, o, &add);
        return s && variable_source(d, s, add, size_of_letter(letter), at);
    }
    if (o->kind != PTX_NAME || o->negated)
        return FAIL(d, "this operand must be a register or a number");
    uint8_t size = size_of_letter(letter);
    struct symbol *s = o->part ? NULL : dec_symbol_find(d, o->name);
    if (s && s->kind == SYM_REGISTER) {
        if (o->value || o->minus)
            return FAIL(d, "arithmetic on register `%s` in an operand", o->name);
        if (s->size != size)
            return FAIL(d, "register `%s` has %d bits, not %d", o->name, s->size ? s->size * 8 : 1,
                        size * 8);
        return register_row(d, s, at);
    }
    if (s && (s->kind == SYM_VARIABLE || s->kind == SYM_FUNCTION) && !o->minus)
        return variable_source(d, s, o->value, size, at);
    const struct special *sp = special_find(o);
    if (sp)
        return special_source(d, sp, letter, at);
    if (!strcmp(o->name, "WARP_SZ") && !o->part) {
        *at = dec_constant(d, size, SIM_LANES);
        return true;
    }
    if (!strncmp(o->name, "%pm", 3))
        return dec_unsupported(d, o->name);
    return FAIL(d, "unknown register `%s%s%s`", o->name, o->part ? "." : "",
                o->part ? o->part : "");
}

bool dec_pred_source(struct decoder *d, struct ptx_operand *o, uint32_t *at, bool *negated)
{
    struct symbol *s = o->kind == PTX_NAME ? dec_symbol_find(d, o->name) : NULL;
    *negated = o->negated;
    if (o->kind == PTX_INT) {
        *at = dec_constant(d, 4, o->value ? SIM_ALL : 0);
        return true;
    }
    if (o->kind == PTX_NAME && !strcmp(o->name, "%is_explicit_cluster")) {
        *at = dec_preset(d, PRESET_SPECIAL, 4, SP_EXPLICIT_CLUSTER, 0, false);
        return true;
    }
    if (!s || s->kind != SYM_REGISTER || s->size)
        return FAIL(d, "a predicate register is wanted here");
    return register_row(d, s, at);
}

bool dec_target(struct decoder *d, struct ptx_operand *o, char letter, uint32_t *at)
{
    uint8_t size = letter == 'p' ? 0 : size_of_letter(letter);
    if (o->kind == PTX_SINK) {
        *at = dec_row_alloc(d, size);
        return true;
    }
    int have =
        o->kind == PTX_NAME && !o->negated && !o->minus && !o->value ? dec_register_size(d, o) : -1;
    if (have < 0)
        return FAIL(d, "the result must be a register");
    if (have != size)
        return FAIL(d, "register `%s` has %d bits, not %d", o->name, have ? have * 8 : 1,
                    size ? size * 8 : 1);
    return register_row(d, dec_symbol_find(d, o->name), at);
}

bool dec_guard_of(struct decoder *d, struct ins *x, struct sim_inst *i)
{
    if (!x->s->guard)
        return true;
    struct ptx_operand o = {.kind = PTX_NAME, .name = x->s->guard};
    bool negated;
    i->guarded = 1;
    i->guard_not = x->s->guard_negated;
    return dec_pred_source(d, &o, &i->guard, &negated);
}

bool dec_address(struct decoder *d, struct ptx_operand *o, struct sim_inst *i, struct symbol **sym)
{
    *sym = NULL;
    if (o->kind == PTX_ELEMENT) { /* stands for an address without [ ] */
        i->sub = 8;
        *sym = element(d, o, &i->imm);
        return *sym && variable_source(d, *sym, 0, 8, &i->a);
    }
    if (o->kind != PTX_MEM || !o->items)
        return FAIL(d, "an address in [ ] is wanted");
    struct ptx_operand *a = o->items;
    if (a->kind == PTX_INT) {
        i->a = dec_constant(d, 8, 0);
        i->sub = 8;
        i->imm = a->value;
        return true;
    }
    if (a->kind != PTX_NAME || a->part || a->minus)
        return FAIL(d, "an address is a register or a variable, and a number added");
    struct symbol *s = dec_symbol_find(d, a->name);
    i->imm = a->value;
    if (s && s->kind == SYM_REGISTER) {
        if (s->size != 8 && s->size != 4)
            return FAIL(d, "register `%s` does not hold an address", a->name);
        i->sub = s->size;
        return register_row(d, s, &i->a);
    }
    if (!s || s->kind != SYM_VARIABLE)
        return FAIL(d, "unknown variable `%s`", a->name);
    *sym = s;
    i->sub = 8;
    return variable_source(d, s, 0, 8, &i->a);
}

bool dec_space_of(struct ins *x, enum ptx_space *s)
{
    static const struct {
        const char *word;
        enum ptx_space space;
    } spaces[] = {{"global", PTX_GLOBAL},      {"shared", PTX_SHARED},
                  {"shared::cta", PTX_SHARED}, {"shared::cluster", PTX_SHARED},
                  {"local", PTX_LOCAL},        {"const", PTX_CONST},
                  {"param", PTX_PARAM},        {"param::entry", PTX_PARAM},
                  {"param::func", PTX_PARAM}};
    *s = PTX_NO_SPACE;
    for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++)
        if (dec_has(x, spaces[i].word)) {
            *s = spaces[i].space;
            return true;
        }
    return false;
}

bool dec_integer_of(struct decoder *d, struct ptx_operand *o, int64_t lo, int64_t hi, int64_t *v)
{
    if (o->kind != PTX_INT || o->value < lo || o->value > hi)
        return FAIL(d, "a number from %lld to %lld is wanted here", (long long)lo, (long long)hi);
    *v = o->value;
    return true;
}
