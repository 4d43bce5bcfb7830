/* decode_memory: ld, st, atom, red, fences, prefetches. */
#include "decode.h"
#include "exec.h"
#include "tensor.h"

/* Words that do not change what is loaded: caches, priorities, non-coherence. */
static void cache_words(struct ins *x)
{
    for (int i = 0; i < x->words; i++)
        if (!strncmp(x->word[i], "L1::", 4) || !strncmp(x->word[i], "L2::", 4) ||
            !strncmp(x->word[i], "level::", 7))
            x->used[i] = true;
    dec_has_any(x, "ca cg cs lu cv wb wt");
    dec_has(x, "nc");
    dec_has(x, "unified");
}

static uint32_t scope_of(const char *word)
{
    return !word                      ? 0
           : !strcmp(word, "cta")     ? MOD_NARROW
           : !strcmp(word, "cluster") ? MOD_IN_CLUSTER
                                      : 0;
}

static uint32_t order_words(struct ins *x)
{
    uint32_t m = 0;
    dec_has(x, "weak");
    if (dec_has(x, "volatile") || dec_has(x, "mmio"))
        m |= MOD_STRONG;
    if (dec_has(x, "relaxed"))
        m |= MOD_STRONG;
    if (dec_has(x, "acquire"))
        m |= MOD_STRONG | MOD_ACQUIRE;
    if (dec_has(x, "release"))
        m |= MOD_STRONG | MOD_RELEASE;
    if (dec_has(x, "acq_rel") || dec_has(x, "sc"))
        m |= MOD_STRONG | MOD_ACQUIRE | MOD_RELEASE;
    const char *scope = dec_has_any(x, "cta cluster gpu sys");
    for (int k = 0; k < x->words; k++)
        m |= strcmp(x->word[k], "shared::cluster") ? 0 : MOD_REACH;
    return m | scope_of(scope);
}

/* The values of ld and st: one register or a vector, any register that is wide enough. */
static bool values(struct decoder *d, struct ptx_operand *o, const struct type *t, int n, bool load,
                   struct sim_inst *i)
{
    uint32_t row[8];
    struct ptx_operand *v = o->kind == PTX_VECTOR ? o->items : o;
    if ((o->kind == PTX_VECTOR ? o->count : 1) != n)
        return FAIL(d, "%d values are wanted", n);
    uint8_t reg = 0;
    for (int k = 0; k<n; k++, v = n> 1 || o->kind == PTX_VECTOR ? v->next : v) {
        int have = dec_register_size(d, v);
        uint8_t size = have > 0 ? (uint8_t)have : t->size < 2 ? 2 : t->size;
        if (v->kind == PTX_SINK || have <= 0)
            size = reg ? reg : size;
        if ((reg && size != reg) || size < t->size)
            return FAIL(d, "the register of a value has %d bits", size * 8);
        reg = size;
        char letter =
            t->letter == 'f' && size == t->size ? (size == 8 ? 'D' : 'F') : dec_letter_of(size);
        if (!(load ? dec_target(d, v, letter, &row[k]) : dec_source(d, v, letter, &row[k])))
            return false;
    }
    i->ext = dec_ext_add(d, row, (uint32_t)n);
    i->d = load ? row[0] : NO_OPERAND;
    i->b = row[0];
    i->count = (uint8_t)n;
    i->size = t->size;
    i->c = reg; /* bytes of a register */
    i->mods |= t->letter == 's' ? MOD_SIGNED : 0;
    return true;
}

static int vector_of(struct ins *x)
{
    const char *v = dec_has_any(x, "v2 v4 v8");
    return v ? v[1] - '0' : 1;
}

/* A load of a kernel's parameter at a known place is a move from a preset row. */
static bool load_param(struct decoder *d, struct ins *x, const struct type *t,
                       const struct symbol *s, int n)
{
    struct ptx_operand *v = x->op[0]->kind == PTX_VECTOR ? x->op[0]->items : x->op[0];
    int64_t at = x->op[1]->items->value;
    if ((x->op[0]->kind == PTX_VECTOR ? x->op[0]->count : 1) != n)
        return FAIL(d, "%d values are wanted", n);
    if (at < 0 || (uint64_t)at + (uint64_t)t->size * (uint64_t)n > s->bytes)
        return FAIL(d, "outside of parameter `%s`", s->name);
    for (int k = 0; k < n; k++, v = v->next) {
        int have = dec_register_size(d, v);
        uint8_t size = have > 0 ? (uint8_t)have : t->size < 2 ? 2 : t->size;
        if (size < t->size)
            return FAIL(d, "the register of a value has %d bits", size * 8);
        const struct sim_row *r = dec_row_find(d, size == 8   ? "mov.b64"
                                                  : size == 4 ? "mov.b32"
                                                              : "mov.b16");
        struct sim_inst *i = dec_emit(d, r->fn, RUN_LANES, SIM_MEMORY);
        i->op = (uint16_t)(r - d->rows.row);
        i->a = dec_preset(d, PRESET_PARAM, size, s->address + (uint64_t)at + (uint64_t)k * t->size,
                          t->size, t->letter == 's');
        if (!dec_target(d, v, dec_letter_of(size), &i->d))
            return false;
    }
    return true;
}

/* The space an access names, and the one its variable lies in, must agree. */
static bool access_space(struct decoder *d, enum ptx_space named, const struct symbol *s,
                         struct sim_inst *i)
{
    enum ptx_space space = named;
    if (s && s->space == PTX_LOCAL && named == PTX_PARAM)
        space = PTX_LOCAL; /* of a device function or a call */
    else if (s && named && s->space != named && !(named == PTX_GLOBAL && s->space == PTX_CONST))
        return FAIL(d, "`%s` lies in another state space", s->name);
    else if (s && !named)
        return FAIL(d, "`%s` needs a state space in the instruction", s->name);
    i->space = (uint8_t)space;
    return true;
}

bool decode_ld(struct decoder *d, struct ins *x)
{
    struct type t;
    enum ptx_space space;
    struct symbol *s;
    cache_words(x);
    uint32_t mods = order_words(x);
    dec_space_of(x, &space);
    int n = vector_of(x);
    if (!dec_take_type(x, &t) || !dec_operands_are(d, x, 2, 3))
        return FAIL(d, "ld needs a type");
    if (t.size > 8 || (t.size * n > 32))
        return dec_unsupported(d, "a load this wide");
    struct ptx_operand *m = x->op[1]->kind == PTX_MEM ? x->op[1]->items : NULL;
    if (space == PTX_PARAM && m && m->kind == PTX_NAME && (s = dec_symbol_find(d, m->name)) &&
        s->kind == SYM_VARIABLE && s->entry_param)
        return load_param(d, x, &t, s, n);
    struct sim_inst *i = dec_emit(d, sim_load, RUN_ACCESS, SIM_MEMORY);
    i->mods = mods;
    return dec_address(d, x->op[1], i, &s) && access_space(d, space, s, i) &&
           values(d, x->op[0], &t, n, true, i);
}

bool decode_st(struct decoder *d, struct ins *x)
{
    struct type t;
    enum ptx_space space;
    struct symbol *s;
    bool async = dec_has(x, "async");
    if (async && !dec_has(x, "mbarrier::complete_tx::bytes")) /* to global memory */
        return dec_unsupported(d, NULL);
    cache_words(x);
    uint32_t mods = order_words(x);
    dec_space_of(x, &space);
    int n = vector_of(x);
    if (!dec_take_type(x, &t) || !dec_operands_are(d, x, async ? 3 : 2, 3))
        return FAIL(d, "st needs a type");
    if (t.size > 8 || (t.size * n > 32))
        return dec_unsupported(d, "a store this wide");
    struct sim_inst *i = dec_emit(d, sim_store, RUN_ACCESS, SIM_MEMORY);
    i->mods = mods;
    if (!dec_address(d, x->op[0], i, &s) || !access_space(d, space, s, i))
        return false;
    if (i->space == PTX_CONST || (i->space == PTX_PARAM))
        return FAIL(d, "a store to a space that is read only");
    return values(d, x->op[1], &t, n, false, i) &&
           (!async || decode_landed(d, x, (uint32_t)n * t.size));
}

static const char *const atom_words = "add min max inc dec cas exch and or xor";

static bool atom_values(struct decoder *d, struct ins *x, const struct type *t, int first,
                        struct sim_inst *i, bool cas)
{
    char letter = t->letter == 'f' ? (t->size == 8 ? 'D' : 'F') : dec_letter_of(t->size);
    if (!dec_source(d, x->op[first], letter, &i->b))
        return false;
    return !cas || dec_source(d, x->op[first + 1], letter, &i->c);
}

struct atomic {
    struct type t;
    enum ptx_space space;
    uint32_t mods;
    uint8_t op;
    bool result, cas;
};

/* One element, `offset` bytes behind the address. i->space: state space; i->count: which operation;
 * i->size, i->ext: the type's size and letter. */
static bool atomic_element(struct decoder *d, struct ins *x, const struct atomic *a, int64_t offset)
{
    struct symbol *s;
    struct sim_inst *i = dec_emit(d, sim_atomic, RUN_ACCESS, SIM_MEMORY);
    i->mods = a->mods | MOD_STRONG;
    i->count = a->op;
    i->size = a->t.size;
    i->ext = (uint32_t)a->t.letter;
    i->e = a->t.lanes;
    if (!dec_address(d, x->op[a->result ? 1 : 0], i, &s) || !access_space(d, a->space, s, i))
        return false;
    i->imm += offset;
    if (a->result && x->op[0]->kind != PTX_SINK &&
        !dec_target(d, x->op[0], dec_letter_of(a->t.size), &i->d))
        return false;
    if (a->result && x->op[0]->kind == PTX_SINK)
        i->d = NO_OPERAND;
    return atom_values(d, x, &a->t, a->result ? 2 : 1, i, a->cas);
}

/* .v2, .v4, .v8: an atomic for each element. */
static bool atomic_vector(struct decoder *d, struct ins *x, struct atomic *a, int n)
{
    int from = a->result ? 2 : 1;
    struct ptx_operand *to = a->result ? x->op[0] : NULL, *v = x->op[from];
    if (v->kind != PTX_VECTOR || v->count != n ||
        (to && to->kind != PTX_SINK && (to->kind != PTX_VECTOR || to->count != n)))
        return FAIL(d, "vectors of %d elements are wanted", n);
    struct ptx_operand *d_item = to && to->kind == PTX_VECTOR ? to->items : NULL, *item = v->items;
    for (int k = 0; k < n; k++, item = item->next) {
        struct ins one = *x;
        one.op[from] = item;
        if (d_item) {
            one.op[0] = d_item;
            d_item = d_item->next;
        }
        if (!atomic_element(d, &one, a, (int64_t)k * a->t.size))
            return false;
    }
    return true;
}

static bool atomic(struct decoder *d, struct ins *x, bool result)
{
    struct atomic a = {.result = result};
    static const char *const names[] = {"add", "min",  "max", "inc", "dec",
                                        "cas", "exch", "and", "or",  "xor"};
    cache_words(x);
    a.mods = order_words(x);
    dec_space_of(x, &a.space);
    dec_has(x, "noftz");
    const char *op = dec_has_any(x, atom_words), *vector = dec_has_any(x, "v2 v4 v8");
    if (!op || !dec_take_type(x, &a.t))
        return FAIL(d, "`%s` needs an operation and a type", x->name);
    if (a.t.size > 8 || a.t.size < 2)
        return dec_unsupported(d, "an atomic of this width");
    a.cas = !strcmp(op, "cas");
    int need = (result ? 1 : 0) + 2 + (a.cas ? 1 : 0);
    if (!dec_operands_are(d, x, need, need + 1))
        return false;
    for (uint8_t k = 0; k < 10; k++)
        if (!strcmp(names[k], op))
            a.op = k;
    bool floats = a.t.letter == 'f' || a.t.letter == 'h' || a.t.letter == 'g';
    if (floats && a.op > 2 && !(a.cas || !strcmp(op, "exch")))
        return FAIL(d, "no such atomic on floats");
    if (!vector)
        return atomic_element(d, x, &a, 0);
    int n = vector[1] - '0';
    if (!floats || a.op > 2 || n * a.t.size > 16)
        return FAIL(d, "no such atomic on vectors");
    return atomic_vector(d, x, &a, n);
}

bool decode_atom(struct decoder *d, struct ins *x) { return atomic(d, x, true); }

bool decode_red(struct decoder *d, struct ins *x)
{
    if (!dec_has(x, "async"))
        return atomic(d, x, false);
    if (!dec_has(x, "mbarrier::complete_tx::bytes"))
        return dec_unsupported(d, NULL);
    struct type t;
    bool typed = false;
    for (int k = 0; k < x->words && !typed; k++)
        typed = dec_type_of(x->word[k], &t);
    return dec_operands_are(d, x, 3, 3) && atomic(d, x, false) && decode_landed(d, x, t.size);
}

bool decode_fence(struct decoder *d, struct ins *x)
{
    dec_has_any(x, "sc acq_rel acquire release");
    bool proxy = false;
    for (int k = 0; k < x->words; k++)
        if (!strncmp(x->word[k], "proxy", 5) || !strncmp(x->word[k], "async", 5) ||
            !strcmp(x->word[k], "alias") || !strncmp(x->word[k], "tensormap", 9) ||
            !strcmp(x->word[k], "mbarrier_init") || !strncmp(x->word[k], "sync_restrict", 13) ||
            !strncmp(x->word[k], "op_restrict", 11))
            x->used[k] = proxy = true;
    const char *scope = dec_has_any(x, "cta gl sys cluster gpu global");
    dec_has_any(x, "shared::cta shared::cluster");
    const char *within = dec_has_any(x, "cta cluster");
    struct sim_inst *i = dec_emit(d, sim_fence, RUN_ACCESS, SIM_MEMORY);
    i->mods = scope_of(scope) | scope_of(within);
    i->count = proxy;
    return true;
}

bool decode_prefetch(struct decoder *d, struct ins *x)
{
    for (int k = 0; k < x->words; k++)
        x->used[k] = true;
    (void)d;
    return true;
}

bool decode_nothing(struct decoder *d, struct ins *x)
{
    for (int k = 0; k < x->words; k++)
        x->used[k] = true;
    (void)d;
    return true;
}
