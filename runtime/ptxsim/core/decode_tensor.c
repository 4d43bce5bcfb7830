/* decode_tensor: mma, wmma, ldmatrix and its kin, asynchronous copies. */
#include "decode.h"
#include "number.h"
#include "tensor.h"

/* Rows of a vector operand, or of one register. False where there are not just n. */
static bool rows(struct decoder *d, struct ptx_operand *o, char letter, int n, bool result,
                 uint32_t *first)
{
    uint32_t row[64];
    struct ptx_operand *v = o->kind == PTX_VECTOR ? o->items : o;
    int have = o->kind == PTX_VECTOR ? o->count : 1;
    if (have != n || n > 64)
        return FAIL(d, "%d registers are wanted here, not %d", n, have);
    for (int k = 0; k < n; k++, v = v->next)
        if (!(result ? dec_target(d, v, letter, &row[k]) : dec_source(d, v, letter, &row[k])))
            return false;
    *first = dec_ext_add(d, row, (uint32_t)n);
    return true;
}

static struct sim_inst *warp_inst(struct decoder *d, sim_handler *fn, enum sim_class cls)
{
    struct sim_inst *i = dec_emit(d, fn, RUN_SYNC, cls);
    uint32_t number = d->count - 1;
    uint32_t all = dec_constant(d, 4, SIM_ALL);
    i = number < d->count && d->code ? &d->code[number] : i;
    i->e = all;
    return i;
}

/* ---- mma ---- */
static const struct mma_shape shapes[] = {
    {"m16n8k16", 16, 8, 16},   {"m16n8k8", 16, 8, 8},   {"m16n8k4", 16, 8, 4},
    {"m8n8k4", 8, 8, 4},       {"m16n8k32", 16, 8, 32}, {"m8n8k16", 8, 8, 16},
    {"m16n16k16", 16, 16, 16}, {"m32n8k16", 32, 8, 16}, {"m8n32k16", 8, 32, 16},
    {"m16n16k8", 16, 16, 8},
};

static const struct mma_shape *shape_of(struct ins *x)
{
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        if (dec_has(x, shapes[k].text))
            return &shapes[k];
    return NULL;
}

static bool element(const struct type *t, uint8_t *e)
{
    if (t->lanes != 1)
        return false;
    switch (t->letter) {
    case 'h': *e = EL_F16; return true;
    case 'g': *e = EL_BF16; return true;
    case 't': *e = EL_TF32; return true;
    case 'f': *e = t->size == 8 ? EL_F64 : EL_F32; return true;
    case 's': *e = t->size == 1 ? EL_S8 : EL_S32; return t->size == 1 || t->size == 4;
    case 'u': *e = EL_U8; return t->size == 1;
    case '8': *e = EL_E4M3; return true;
    case '9': *e = EL_E5M2; return true;
    }
    return false;
}

static int registers(int elements, uint8_t e)
{
    return e == EL_F64 ? elements : elements * sim_element_bits(e) / 32;
}
static char letter(uint8_t e) { return e == EL_F64 ? 'l' : 'w'; }

static bool mma_sound(const struct mma_shape *s, const struct mma *m)
{
    bool ints = (m->a == EL_S8 || m->a == EL_U8) && (m->b == EL_S8 || m->b == EL_U8) &&
                m->c == EL_S32 && m->d == EL_S32;
    bool f8 = (m->a == EL_E4M3 || m->a == EL_E5M2) && (m->b == EL_E4M3 || m->b == EL_E5M2);
    bool f32 = m->c == EL_F32 && m->d == EL_F32;
    int k = s->k, big = s->m == 16 && s->n == 8;
    if (ints)
        return (big && (k == 16 || k == 32)) || (s->m == 8 && s->n == 8 && k == 16);
    if (f8)
        return big && k == 32 && f32;
    if (m->a != m->b)
        return false;
    switch ((enum element)m->a) {
    case EL_F16: return big && (k == 8 || k == 16) && (f32 || (m->c == EL_F16 && m->d == EL_F16));
    case EL_BF16: return big && (k == 8 || k == 16) && f32;
    case EL_TF32: return big && (k == 4 || k == 8) && f32;
    case EL_F64:
        return m->c == EL_F64 && m->d == EL_F64 && ((s->m == 8 && k == 4) || (big && k <= 16));
    case EL_F32:
    case EL_S32:
    case EL_S8:
    case EL_U8:
    case EL_E4M3:
    case EL_E5M2: break;
    }
    return false;
}

bool decode_mma(struct decoder *d, struct ins *x)
{
    struct type t[4];
    struct mma m = {0};
    if (dec_has(x, "sp") || dec_has(x, "sp::ordered_metadata"))
        return dec_unsupported(d, "mma.sp");
    if (!dec_has(x, "sync") || !dec_has(x, "aligned"))
        return FAIL(d, "mma needs .sync.aligned");
    const struct mma_shape *s = shape_of(x);
    dec_has_any(x, "row");
    if (!s || !dec_has(x, "col"))
        return dec_unsupported(d, "this shape or layout of mma");
    dec_has(x, "kind::f8f6f4");
    m.satfinite = dec_has(x, "satfinite");
    if (dec_has_any(x, "s4 u4 b1 e2m1 e3m2 e2m3"))
        return dec_unsupported(d, "mma of elements of less than 8 bits");
    for (int k = 0; k < 4; k++)
        if (!dec_take_type(x, &t[k]))
            return FAIL(d, "mma has four types");
    if (!element(&t[0], &m.d) || !element(&t[1], &m.a) || !element(&t[2], &m.b) ||
        !element(&t[3], &m.c) || !mma_sound(s, &m))
        return dec_unsupported(d, "this mma");
    m.m = (uint8_t)s->m, m.n = (uint8_t)s->n, m.k = (uint8_t)s->k;
    if (!dec_operands_are(d, x, 4, 4))
        return false;
    struct sim_inst *i = warp_inst(d, sim_mma, SIM_MMA);
    uint32_t at[4], number = (uint32_t)(i - d->code);
    int per = s->m * s->n / SIM_LANES;
    if (!rows(d, x->op[0], letter(m.d), registers(per, m.d), true, &at[0]) ||
        !rows(d, x->op[1], letter(m.a), registers(s->m * s->k / SIM_LANES, m.a), false, &at[1]) ||
        !rows(d, x->op[2], letter(m.b), registers(s->n * s->k / SIM_LANES, m.b), false, &at[2]) ||
        !rows(d, x->op[3], letter(m.c), registers(per, m.c), false, &at[3]))
        return false;
    m.d_at = at[0], m.a_at = at[1], m.b_at = at[2], m.c_at = at[3];
    uint32_t words[sizeof m / 4];
    memcpy(words, &m, sizeof m);
    d->code[number].ext = dec_ext_add(d, words, sizeof m / 4);
    return true;
}

/* ---- wmma: fragments whose layout is ours ---- */
static int wmma_elements(const struct mma_shape *s, char which)
{
    return which == 'a' ? s->m * s->k : which == 'b' ? s->k * s->n : s->m * s->n;
}

/* What element types the fragments of a shape may have: d, a, b, c. */
static bool wmma_sound(const struct mma_shape *s, const struct mma *m)
{
    int mn = s->m * s->n;
    if (m->a != m->b)
        return false;
    switch ((enum element)m->a) {
    case EL_F16:
        return mn == 256 && s->k == 16 && (m->c == EL_F16 || m->c == EL_F32) &&
               (m->d == EL_F16 || m->d == EL_F32);
    case EL_BF16: return mn == 256 && s->k == 16 && m->c == EL_F32 && m->d == EL_F32;
    case EL_S8:
    case EL_U8: return mn == 256 && s->k == 16 && m->c == EL_S32 && m->d == EL_S32;
    case EL_TF32: return mn == 256 && s->k == 8 && m->c == EL_F32 && m->d == EL_F32;
    case EL_F64: return mn == 64 && s->k == 4 && m->c == EL_F64 && m->d == EL_F64;
    case EL_F32:
    case EL_S32:
    case EL_E4M3:
    case EL_E5M2: break;
    }
    return false;
}

/* Whether a fragment of such elements belongs to a shape. */
static bool wmma_fragment(const struct mma_shape *s, char which, uint8_t e)
{
    static const uint8_t inputs[] = {EL_F16, EL_BF16, EL_S8, EL_U8, EL_TF32, EL_F64};
    for (size_t k = 0; k < sizeof inputs; k++) {
        uint8_t in = inputs[k], sum = in == EL_F64                  ? EL_F64
                                      : in == EL_S8 || in == EL_U8  ? EL_S32
                                      : in == EL_F16 && e == EL_F16 ? EL_F16
                                                                    : EL_F32;
        struct mma m = {.a = in, .b = in, .c = sum, .d = sum};
        if ((which <= 'b' ? in : sum) == e && wmma_sound(s, &m))
            return true;
    }
    return false;
}

/* Registers that the manual gives a fragment. */
static int wmma_registers(const struct mma_shape *s, char which, uint8_t e)
{
    int n = wmma_elements(s, which) / SIM_LANES;
    if (e == EL_F16 && which <= 'b')
        return 8;
    return registers(n ? n : 1, e) ? registers(n ? n : 1, e) : 1;
}

static bool wmma_memory(struct decoder *d, struct ins *x, bool load)
{
    struct type t;
    struct wmma_copy c = {0};
    enum ptx_space space;
    struct symbol *sym;
    const char *which = load ? dec_has_any(x, "a b c") : dec_has(x, "d") ? "d" : NULL;
    if (!which || !dec_has(x, "sync") || !dec_has(x, "aligned"))
        return FAIL(d, "wmma needs a fragment and .sync.aligned");
    c.which = (uint8_t)*which;
    c.col = dec_has(x, "col");
    dec_has(x, "row");
    const struct mma_shape *s = shape_of(x);
    dec_space_of(x, &space);
    if (!s || !dec_take_type(x, &t) || !element(&t, &c.type) ||
        !wmma_fragment(s, *which == 'd' ? 'c' : *which, c.type))
        return dec_unsupported(d, "this wmma");
    if (!dec_operands_are(d, x, 2, 3))
        return false;
    c.rows = (uint8_t)(*which == 'b' ? s->k : s->m);
    c.cols = (uint8_t)(*which == 'a' ? s->k : s->n);
    c.count = (uint8_t)wmma_registers(s, *which == 'd' ? 'c' : *which, c.type);
    struct sim_inst *i = warp_inst(d, load ? sim_wmma_load : sim_wmma_store, SIM_MEMORY);
    uint32_t number = (uint32_t)(i - d->code), stride = NO_OPERAND;
    if (!dec_address(d, x->op[load ? 1 : 0], &d->code[number], &sym))
        return false;
    d->code[number].space = (uint8_t)space;
    if (x->ops == 3 && !dec_source(d, x->op[2], 'w', &stride))
        return false;
    c.stride = stride;
    if (!rows(d, x->op[load ? 0 : 1], letter(c.type), c.count, load, &c.at))
        return false;
    uint32_t words[sizeof c / 4];
    memcpy(words, &c, sizeof c);
    d->code[number].ext = dec_ext_add(d, words, sizeof c / 4);
    return true;
}

static bool wmma_mma(struct decoder *d, struct ins *x)
{
    struct type t[4];
    struct mma m = {.wmma = 1};
    int n = 0;
    if (!dec_has(x, "sync") || !dec_has(x, "aligned"))
        return FAIL(d, "wmma needs .sync.aligned");
    int layouts = 0;
    for (int k = 0; k < x->words; k++)
        if (!strcmp(x->word[k], "row") || !strcmp(x->word[k], "col"))
            x->used[k] = true, layouts++;
    if (layouts != 2)
        return FAIL(d, "wmma.mma has two layouts");
    const struct mma_shape *s = shape_of(x);
    m.satfinite = dec_has(x, "satfinite");
    const char *rounding = dec_has_any(x, "rn rz rm rp");
    while (n < 4 && dec_take_type(x, &t[n]))
        n++;
    if (n == 2) { /* f16: types of d and c */
        t[3] = t[1];
        dec_type_of("f16", &t[1]);
        t[2] = t[1];
    }
    if (!s || (n != 2 && n != 4) || !element(&t[0], &m.d) || !element(&t[1], &m.a) ||
        !element(&t[2], &m.b) || !element(&t[3], &m.c) || !wmma_sound(s, &m) ||
        (rounding && m.a != EL_F64))
        return dec_unsupported(d, "this wmma.mma");
    if (!dec_operands_are(d, x, 4, 4))
        return false;
    char to = rounding ? rounding[1] : 'n';
    m.rounding = to == 'z' ? SIM_RZ : to == 'm' ? SIM_RM : to == 'p' ? SIM_RP : SIM_RN;
    m.m = (uint8_t)s->m, m.n = (uint8_t)s->n, m.k = (uint8_t)s->k;
    struct sim_inst *i = warp_inst(d, sim_mma, SIM_MMA);
    uint32_t number = (uint32_t)(i - d->code);
    m.a_count = (uint8_t)wmma_registers(s, 'a', m.a),
    m.b_count = (uint8_t)wmma_registers(s, 'b', m.b);
    if (!rows(d, x->op[0], letter(m.d), wmma_registers(s, 'c', m.d), true, &m.d_at) ||
        !rows(d, x->op[1], letter(m.a), m.a_count, false, &m.a_at) ||
        !rows(d, x->op[2], letter(m.b), m.b_count, false, &m.b_at) ||
        !rows(d, x->op[3], letter(m.c), wmma_registers(s, 'c', m.c), false, &m.c_at))
        return false;
    uint32_t words[sizeof m / 4];
    memcpy(words, &m, sizeof m);
    d->code[number].ext = dec_ext_add(d, words, sizeof m / 4);
    return true;
}

bool decode_wmma(struct decoder *d, struct ins *x)
{
    if (dec_has(x, "load"))
        return wmma_memory(d, x, true);
    if (dec_has(x, "store"))
        return wmma_memory(d, x, false);
    return dec_has(x, "mma") ? wmma_mma(d, x) : dec_unsupported(d, "this wmma");
}

/* ---- ldmatrix, stmatrix, movmatrix ---- */
static bool matrices(struct decoder *d, struct ins *x, bool load)
{
    enum ptx_space space;
    struct symbol *sym;
    uint32_t at;
    const char *many;
    if (!dec_has(x, "sync") || !dec_has(x, "aligned") || !dec_has(x, "m8n8") ||
        !(many = dec_has_any(x, "x1 x2 x4")))
        return dec_unsupported(d, "this form of ldmatrix or stmatrix");
    int n = many[1] - '0';
    bool trans = dec_has(x, "trans");
    dec_space_of(x, &space);
    if (!dec_has(x, "b16") || !dec_operands_are(d, x, 2, 2))
        return dec_unsupported(d, "ldmatrix of another type than b16");
    struct sim_inst *i = warp_inst(d, load ? sim_ldmatrix : sim_stmatrix, SIM_MEMORY);
    uint32_t number = (uint32_t)(i - d->code);
    if (!dec_address(d, x->op[load ? 1 : 0], &d->code[number], &sym) ||
        !rows(d, x->op[load ? 0 : 1], 'w', n, load, &at))
        return false;
    i = &d->code[number];
    i->space = (uint8_t)(space ? space : PTX_NO_SPACE);
    i->count = (uint8_t)n;
    i->size = 16;
    i->mods = trans ? MOD_NOT : 0;
    i->ext = at;
    return true;
}

bool decode_ldmatrix(struct decoder *d, struct ins *x) { return matrices(d, x, true); }
bool decode_stmatrix(struct decoder *d, struct ins *x) { return matrices(d, x, false); }

bool decode_movmatrix(struct decoder *d, struct ins *x)
{
    struct sim_inst *i = warp_inst(d, sim_movmatrix, SIM_ALU);
    return dec_has(x, "sync") && dec_has(x, "aligned") && dec_has(x, "m8n8") &&
           dec_has(x, "trans") && dec_has(x, "b16") && dec_operands_are(d, x, 2, 2) &&
           dec_target(d, x->op[0], 'w', &i->d) && dec_source(d, x->op[1], 'w', &i->a);
}

/* ---- cp.async ---- */
static void hints(struct ins *x)
{
    for (int k = 0; k < x->words; k++)
        if (!strncmp(x->word[k], "L2::", 4))
            x->used[k] = true;
}

static bool cp_async(struct decoder *d, struct ins *x)
{
    struct sim_inst to = {0}, from = {0};
    struct symbol *sym;
    int64_t size;
    bool ca = dec_has(x, "ca"), cg = dec_has(x, "cg");
    hints(x);
    if (!(ca || cg) || !(dec_has(x, "shared") || dec_has(x, "shared::cta")) ||
        !dec_has(x, "global") || !dec_operands_are(d, x, 3, 5))
        return FAIL(d, "cp.async goes from .global to .shared");
    if (!dec_address(d, x->op[0], &to, &sym) || !dec_address(d, x->op[1], &from, &sym) ||
        !dec_integer_of(d, x->op[2], 4, 16, &size))
        return false;
    if ((size != 4 && size != 8 && size != 16) || (cg && size != 16))
        return FAIL(d, "cp.async copies 4, 8 or 16 bytes, with .cg 16");
    struct sim_inst *i = dec_emit(d, sim_cp_async, RUN_ACCESS, SIM_MEMORY);
    uint32_t number = (uint32_t)(i - d->code);
    i->a = to.a, i->sub = to.sub, i->imm = to.imm;
    i->b = from.a, i->count = from.sub;
    i->size = (uint8_t)size;
    i->c = NO_OPERAND;
    i->e = (uint32_t)(int32_t)from.imm;
    if (from.imm != (int32_t)from.imm)
        return FAIL(d, "an offset that large");
    if (x->ops >= 4 && dec_register_size(d, x->op[3]) == 0) {
        bool negated;
        i->mods = MOD_RELU; /* a predicate: ignore the source */
        if (!dec_pred_source(d, x->op[3], &d->code[number].c, &negated))
            return false;
        d->code[number].mods |= negated ? MOD_NOT : 0;
        return true;
    }
    bool policy = x->ops >= 4 && dec_register_size(d, x->op[3]) == 8;
    uint32_t row;
    if (x->ops >= 4 && !policy) {
        if (!dec_source(d, x->op[3], 'w', &row))
            return false;
        d->code[number].c = row;
    }
    return true;
}

bool decode_cp(struct decoder *d, struct ins *x)
{
    int64_t n;
    if (!dec_has(x, "async"))
        return dec_unsupported(d, "cp without .async");
    if (dec_has(x, "bulk"))
        return decode_bulk(d, x);
    if (dec_has(x, "commit_group")) {
        dec_emit(d, sim_cp_commit, RUN_ACCESS, SIM_MEMORY);
        return dec_operands_are(d, x, 0, 0);
    }
    if (dec_has(x, "wait_all")) {
        struct sim_inst *i = dec_emit(d, sim_cp_wait, RUN_ACCESS, SIM_MEMORY);
        i->imm = -1;
        return dec_operands_are(d, x, 0, 0);
    }
    if (dec_has(x, "wait_group")) {
        struct sim_inst *i = dec_emit(d, sim_cp_wait, RUN_ACCESS, SIM_MEMORY);
        if (!dec_operands_are(d, x, 1, 1) || !dec_integer_of(d, x->op[0], 0, 1 << 20, &n))
            return false;
        i->imm = n;
        return true;
    }
    if (dec_has(x, "mbarrier"))
        return decode_cp_mbarrier(d, x);
    return cp_async(d, x);
}
