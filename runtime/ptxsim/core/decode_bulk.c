/* decode_bulk: mbarrier, bulk copies, wgmma. */
#include "decode.h"
#include "tensor.h"

/* Words of order and scope that change nothing here. */
static void order(struct ins *x)
{
    dec_has_any(x, "acquire release relaxed");
    dec_has_any(x, "cta cluster");
}

static void pending_count(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1)
            sim_row32(w, i->d)[l] = (uint32_t)sim_row64(w, i->a)[l] & 0xFFFFF;
}

/* ---- mbarrier: sub says which, ext is a count or NO_OPERAND ---- */
static bool barrier_at(struct decoder *d, struct ptx_operand *o, struct sim_inst *i)
{
    struct symbol *sym;
    uint32_t number = (uint32_t)(i - d->code);
    struct sim_inst a = *i;
    if (!dec_address(d, o, &a, &sym))
        return false;
    d->code[number].a = a.a, d->code[number].size = a.sub, d->code[number].imm = a.imm;
    return true;
}

static bool wait(struct decoder *d, struct ins *x)
{
    struct sim_inst *i = dec_emit(d, sim_mbar_wait, RUN_WAIT, SIM_MEMORY);
    uint32_t number = (uint32_t)(i - d->code);
    bool parity = dec_has(x, "parity");
    order(x);
    if (!dec_has(x, "b64") || !dec_operands_are(d, x, 3, 4))
        return FAIL(d, "a wait has a predicate, an mbarrier, and a phase");
    i->count = parity;
    if (!barrier_at(d, x->op[1], i))
        return false;
    return dec_target(d, x->op[0], 'p', &d->code[number].d) &&
           dec_source(d, x->op[2], parity ? 'w' : 'l', &d->code[number].b);
}

static bool arrive(struct decoder *d, struct ins *x, enum mbar_op op)
{
    struct sim_inst *i = dec_emit(d, sim_mbar, RUN_ACCESS, SIM_MEMORY);
    uint32_t number = (uint32_t)(i - d->code);
    if (dec_has(x, "expect_tx"))
        op = op == MBAR_DROP ? MBAR_DROP_EXPECT : MBAR_ARRIVE_EXPECT;
    dec_has(x, "noComplete");
    order(x);
    if (!dec_has(x, "b64"))
        return FAIL(d, "an mbarrier is of type b64");
    i->sub = (uint8_t)op;
    i->b = NO_OPERAND;
    int at = x->ops && x->op[0]->kind != PTX_MEM ? 1 : 0;
    if (x->ops <= at || !barrier_at(d, x->op[at], i))
        return FAIL(d, "an mbarrier in [ ] is wanted");
    if (at && x->op[0]->kind != PTX_SINK && !dec_target(d, x->op[0], 'l', &d->code[number].d))
        return false;
    if (x->ops > at + 1)
        return dec_source(d, x->op[at + 1], 'w', &d->code[number].b) &&
               dec_operands_are(d, x, at + 2, at + 2);
    return (op != MBAR_ARRIVE_EXPECT && op != MBAR_DROP_EXPECT) ||
           FAIL(d, "expect_tx needs a count of bytes");
}

bool decode_landed(struct decoder *d, struct ins *x, uint32_t bytes)
{
    struct sim_inst *i = dec_emit(d, sim_mbar, RUN_ACCESS, SIM_MEMORY);
    i->sub = MBAR_LANDED;
    i->b = NO_OPERAND;
    i->ext = bytes;
    return barrier_at(d, x->op[2], i);
}

bool decode_mbarrier(struct decoder *d, struct ins *x)
{
    static const struct {
        const char *word;
        enum mbar_op op;
        int operands;
    } simple[] = {{"init", MBAR_INIT, 2},
                  {"inval", MBAR_INVAL, 1},
                  {"expect_tx", MBAR_EXPECT, 2},
                  {"complete_tx", MBAR_COMPLETE, 2}};
    enum ptx_space space;
    dec_space_of(x, &space);
    if (dec_has(x, "test_wait") || dec_has(x, "try_wait"))
        return wait(d, x);
    if (dec_has(x, "arrive"))
        return arrive(d, x, MBAR_ARRIVE);
    if (dec_has(x, "arrive_drop"))
        return arrive(d, x, MBAR_DROP);
    for (size_t k = 0; k < sizeof simple / sizeof simple[0]; k++) {
        if (!dec_has(x, simple[k].word))
            continue;
        struct sim_inst *i = dec_emit(d, sim_mbar, RUN_ACCESS, SIM_MEMORY);
        uint32_t number = (uint32_t)(i - d->code);
        order(x);
        i->sub = (uint8_t)simple[k].op;
        i->b = NO_OPERAND;
        if (!dec_has(x, "b64") || !dec_operands_are(d, x, simple[k].operands, simple[k].operands) ||
            !barrier_at(d, x->op[0], i))
            return FAIL(d, "an mbarrier of type b64 is wanted");
        return simple[k].operands == 1 || dec_source(d, x->op[1], 'w', &d->code[number].b);
    }
    if (dec_has(x, "pending_count")) { /* a state begins with it */
        struct sim_inst *i = dec_emit(d, pending_count, RUN_LANES, SIM_ALU);
        return dec_has(x, "b64") && dec_operands_are(d, x, 2, 2) &&
               dec_target(d, x->op[0], 'w', &i->d) && dec_source(d, x->op[1], 'l', &i->a);
    }
    return dec_unsupported(d, "this mbarrier");
}

bool decode_cp_mbarrier(struct decoder *d, struct ins *x)
{
    enum ptx_space space;
    struct sim_inst *i = dec_emit(d, sim_mbar, RUN_ACCESS, SIM_MEMORY);
    i->sub = MBAR_CP_ASYNC;
    bool arrives = dec_has(x, "arrive");
    i->count = dec_has(x, "noinc");
    i->b = NO_OPERAND;
    dec_space_of(x, &space);
    return arrives && dec_has(x, "b64") && dec_operands_are(d, x, 1, 1) &&
           barrier_at(d, x->op[0], i);
}

/* ---- bulk copies: a description in ext ---- */
static bool place(struct decoder *d, struct ptx_operand *o, struct bulk_place *p)
{
    struct sim_inst a = {0};
    struct symbol *sym;
    if (!dec_address(d, o, &a, &sym))
        return false;
    if (sym && sym->entry_param) /* a tensor map that is a parameter */
        a.imm += (int64_t)SIM_WINDOW_PARAM;
    p->row = a.a, p->width = a.sub;
    p->low = (uint32_t)a.imm, p->high = (uint32_t)((uint64_t)a.imm >> 32);
    return true;
}

/* `description`: `bytes` of it, which become the instruction's ext. */
static bool finish(struct decoder *d, const void *description, size_t bytes, sim_handler *fn)
{
    uint32_t words[sizeof(struct bulk) / 4];
    memcpy(words, description, bytes);
    uint32_t at = dec_ext_add(d, words, (uint32_t)bytes / 4);
    struct sim_inst *i = dec_emit(d, fn, RUN_ACCESS, SIM_MEMORY);
    i->ext = at;
    return true;
}

/* The spaces in the order to, from; false: neither form. */
static bool direction(struct ins *x, bool *to_shared, bool *from_shared)
{
    int shared = 0, global = 0, first = 0;
    for (int k = 0; k < x->words; k++) {
        if (!strncmp(x->word[k], "shared::", 8)) {
            x->used[k] = true;
            first = first ? first : 1;
            shared++;
        } else if (!strcmp(x->word[k], "global")) {
            x->used[k] = true;
            first = first ? first : 2;
            global++;
        }
    }
    *to_shared = first == 1;
    *from_shared = first == 2 || shared == 2;
    return shared + global == 2 && shared;
}

/* cp.reduce: the operation; 0: a copy. */
static uint32_t reduction(struct ins *x, bool reduces)
{
    static const char *const names[] = {"add", "min", "max", "inc", "dec",
                                        "",    "",    "and", "or",  "xor"};
    for (uint32_t k = 0; k < 10 && reduces; k++)
        if (*names[k] && dec_has(x, names[k]))
            return k + 1;
    return 0;
}

/* .multicast::cluster: which blocks get the copy. */
static bool block_mask(struct decoder *d, struct ins *x, bool to_shared, int at, struct bulk *b)
{
    if (!to_shared || x->ops <= at)
        return FAIL(d, "a copy to several blocks goes to shared memory and has their mask");
    return dec_source(d, x->op[at], 'h', &b->mask);
}

static bool tensor(struct decoder *d, struct ins *x, bool reduces)
{
    struct bulk b = {.reduce = reduction(x, reduces), .mask = NO_OPERAND};
    static const char *const dims[] = {"1d", "2d", "3d", "4d", "5d"};
    bool to_shared, from_shared;
    for (uint32_t k = 0; k < 5; k++)
        if (dec_has(x, dims[k]))
            b.rank = k + 1;
    dec_has(x, "tile");
    bool several = dec_has(x, "multicast::cluster");
    bool barrier = dec_has(x, "mbarrier::complete_tx::bytes"), group = dec_has(x, "bulk_group");
    if (reduces != (b.reduce != 0) || (reduces && barrier) || !b.rank ||
        !direction(x, &to_shared, &from_shared) || to_shared == from_shared ||
        to_shared != barrier || group == barrier)
        return dec_unsupported(d, "this bulk tensor copy");
    if (!dec_operands_are(d, x, to_shared ? 3 : 2, to_shared ? 5 : 3))
        return false;
    struct ptx_operand *map = x->op[to_shared ? 1 : 0], *memory = x->op[to_shared ? 0 : 1];
    struct ptx_operand *at = map->kind == PTX_MEM && map->items ? map->items->next : NULL;
    if (!at || at->kind != PTX_VECTOR || at->count != (int)b.rank)
        return FAIL(d, "a tensor map and %u coordinates are wanted", b.rank);
    uint32_t k = 0;
    for (struct ptx_operand *o = at->items; o; o = o->next)
        if (!dec_source(d, o, 'w', &b.at[k++]))
            return false;
    b.to_shared = to_shared;
    if (!place(d, memory, &b.shared) || !place(d, map, &b.global) ||
        (to_shared && !place(d, x->op[2], &b.barrier)))
        return false;
    if (several && !block_mask(d, x, to_shared, 3, &b))
        return false;
    return finish(d, &b, sizeof b, sim_bulk_tensor);
}

static bool flat(struct decoder *d, struct ins *x, bool reduces)
{
    struct bulk b = {.reduce = reduction(x, reduces), .mask = NO_OPERAND};
    bool to_shared, from_shared;
    struct type t;
    dec_has(x, "noftz");
    bool several = dec_has(x, "multicast::cluster");
    if (reduces && (!b.reduce || !dec_take_type(x, &t)))
        return FAIL(d, "a reduction needs an operation and a type");
    if (reduces)
        b.type = (uint32_t)t.letter, b.size = t.size, b.lanes = t.lanes;
    bool barrier = dec_has(x, "mbarrier::complete_tx::bytes"), group = dec_has(x, "bulk_group");
    if (!direction(x, &to_shared, &from_shared) || group == barrier || to_shared != barrier ||
        (reduces && (barrier || t.size < 2 || t.size > 8)))
        return dec_unsupported(d, "this bulk copy");
    if (!dec_operands_are(d, x, to_shared ? 4 : 3, to_shared ? 6 : 4))
        return false;
    b.to_shared = to_shared;
    b.from_shared = from_shared;
    if (!place(d, x->op[0], to_shared ? &b.shared : &b.global) ||
        !place(d, x->op[1], to_shared ? &b.global : &b.shared) ||
        !dec_source(d, x->op[2], 'w', &b.bytes) || (to_shared && !place(d, x->op[3], &b.barrier)))
        return false;
    if (several && !block_mask(d, x, to_shared, 4, &b))
        return false;
    return finish(d, &b, sizeof b, sim_bulk_flat);
}

bool decode_bulk(struct decoder *d, struct ins *x)
{
    int64_t n;
    bool reduces = dec_has(x, "reduce");
    for (int k = 0; k < x->words; k++)
        if (!strncmp(x->word[k], "L2::", 4))
            x->used[k] = true;
    if (dec_has(x, "prefetch")) {
        for (int k = 0; k < x->words; k++)
            x->used[k] = true;
        return true;
    }
    if (dec_has(x, "commit_group"))
        return dec_operands_are(d, x, 0, 0);
    if (dec_has(x, "wait_group")) {
        dec_has(x, "read");
        return dec_operands_are(d, x, 1, 1) && dec_integer_of(d, x->op[0], 0, 1 << 20, &n);
    }
    return dec_has(x, "tensor") ? tensor(d, x, reduces) : flat(d, x, reduces);
}

/* ---- tensor maps in memory ---- */
/* A dimension stands before the new value of what each dimension has. */
static bool map_replace(struct decoder *d, struct ins *x, enum ptx_space space)
{
    static const struct {
        const char *name;
        enum map_field field;
        bool dimension, wide;
    } fields[] = {
        {"global_address", MAP_ADDRESS, false, true},
        {"rank", MAP_RANK, false, false},
        {"box_dim", MAP_BOX, true, false},
        {"global_dim", MAP_SIZE, true, false},
        {"global_stride", MAP_STRIDE, true, true},
        {"element_stride", MAP_STEP, true, false},
        {"elemtype", MAP_TYPE, false, false},
        {"swizzle_mode", MAP_SWIZZLE, false, false},
        {"interleave_layout", MAP_INTERLEAVE, false, false},
        {"fill_mode", MAP_FILL, false, false},
    };
    struct map_change c = {.shared = space == PTX_SHARED};
    int64_t dimension = 0;
    dec_has(x, "tile");
    for (size_t k = 0; k < sizeof fields / sizeof fields[0]; k++) {
        if (!dec_has(x, fields[k].name))
            continue;
        int ops = fields[k].dimension ? 3 : 2;
        c.field = fields[k].field;
        c.wide = fields[k].wide;
        if (!dec_has(x, "b1024") || !dec_has(x, c.wide ? "b64" : "b32"))
            return FAIL(d, "a tensor map is of type b1024, this field of b%d", c.wide ? 64 : 32);
        if (!dec_operands_are(d, x, ops, ops) || !place(d, x->op[0], &c.map) ||
            (ops == 3 && !dec_integer_of(d, x->op[1], 0, 4, &dimension)) ||
            !dec_source(d, x->op[ops - 1], c.wide ? 'l' : 'w', &c.value))
            return false;
        c.dimension = (uint32_t)dimension;
        return finish(d, &c, sizeof c, sim_map_replace);
    }
    return dec_unsupported(d, "this field of a tensor map");
}

bool decode_tensormap(struct decoder *d, struct ins *x)
{
    bool replace = dec_has(x, "replace");
    if (!replace && !dec_has(x, "cp_fenceproxy"))
        return FAIL(d, "unknown form of `%s`", x->name);
    if (replace) {
        enum ptx_space space;
        dec_space_of(x, &space);
        return map_replace(d, x, space);
    }
    struct map_copy c = {0};
    int64_t n;
    bool to_shared, from_shared;
    if (!direction(x, &to_shared, &from_shared) || to_shared)
        return FAIL(d, "a tensor map is copied from shared to global memory");
    dec_has(x, "tensormap::generic"), dec_has(x, "release"), dec_has(x, "sync");
    dec_has(x, "aligned"), dec_has_any(x, "cta cluster gpu sys");
    return dec_operands_are(d, x, 3, 3) && dec_integer_of(d, x->op[2], 128, 128, &n) &&
           place(d, x->op[0], &c.to) && place(d, x->op[1], &c.from) &&
           finish(d, &c, sizeof c, sim_map_copy);
}

/* ---- wgmma ---- */
static bool wgmma_shape(struct ins *x, struct wgmma *m)
{
    for (int k = 0; k < x->words; k++) {
        int rows, n, depth, end = 0;
        if (sscanf(x->word[k], "m%dn%dk%d%n", &rows, &n, &depth, &end) != 3 || x->word[k][end])
            continue;
        x->used[k] = true;
        m->n = (uint16_t)n, m->k = (uint8_t)depth;
        return rows == 64 && n >= 8 && n <= 256 && n % 8 == 0 &&
               (depth == 8 || depth == 16 || depth == 32);
    }
    return false;
}

static bool wgmma_types(struct ins *x, struct wgmma *m)
{
    struct type t[3];
    static const char letters[] = "hgtsu89";
    static const uint8_t elements[] = {EL_F16, EL_BF16, EL_TF32, EL_S8, EL_U8, EL_E4M3, EL_E5M2};
    for (int k = 0; k < 3; k++)
        if (!dec_take_type(x, &t[k]))
            return false;
    const char *a = strchr(letters, t[1].letter), *b = strchr(letters, t[2].letter);
    if (!a || !b || t[1].lanes != 1 || t[2].lanes != 1)
        return false;
    m->a = elements[a - letters], m->b = elements[b - letters];
    m->d = t[0].letter == 'h' ? EL_F16 : t[0].letter == 's' ? EL_S32 : EL_F32;
    bool bytes = m->a == EL_S8 || m->a == EL_U8;
    int bits = sim_element_bits(m->a) * m->k;
    return sim_element_bits(m->b) == sim_element_bits(m->a) && bits == 256 &&
           bytes == (m->d == EL_S32) && t[0].size <= 4;
}

static bool wgmma_mma(struct decoder *d, struct ins *x)
{
    struct wgmma m = {0};
    int64_t sa = 1, sb = 1, ta = 0, tb = 0;
    bool negated = false;
    m.satfinite = dec_has(x, "satfinite");
    if (!wgmma_shape(x, &m) || !wgmma_types(x, &m))
        return dec_unsupported(d, "this wgmma");
    bool ints = m.d == EL_S32, half = m.a == EL_F16 || m.a == EL_BF16;
    int count = m.d == EL_F16 ? m.n / 4 : m.n / 2;
    uint32_t row[128], a_row[4];
    if (x->ops < 4 || x->op[0]->kind != PTX_VECTOR || x->op[0]->count != count)
        return FAIL(d, "%d registers are wanted for the result", count);
    int k = 0;
    for (struct ptx_operand *o = x->op[0]->items; o; o = o->next)
        if (!dec_target(d, o, 'w', &row[k++]))
            return false;
    m.a_registers = x->op[1]->kind == PTX_VECTOR;
    if (m.a_registers) {
        if (x->op[1]->count != 4)
            return FAIL(d, "4 registers are wanted for A");
        k = 0;
        for (struct ptx_operand *o = x->op[1]->items; o; o = o->next)
            if (!dec_source(d, o, 'w', &a_row[k++]))
                return false;
    } else if (!dec_source(d, x->op[1], 'l', &a_row[0])) {
        return false;
    }
    if (!dec_source(d, x->op[2], 'l', &m.b_at) ||
        !dec_pred_source(d, x->op[3], &m.scale_d, &negated))
        return false;
    m.scale_not = negated;
    int next = 4;
    if (!ints && (x->ops < 6 || !dec_integer_of(d, x->op[next++], -1, 1, &sa) ||
                  !dec_integer_of(d, x->op[next++], -1, 1, &sb)))
        return FAIL(d, "the signs of A and B are wanted");
    if (half && !m.a_registers && next < x->ops && !dec_integer_of(d, x->op[next++], 0, 1, &ta))
        return false;
    if (half && next < x->ops && !dec_integer_of(d, x->op[next++], 0, 1, &tb))
        return false;
    if (next != x->ops)
        return FAIL(d, "operands that wgmma does not have");
    m.negative = (uint8_t)((sa < 0) != (sb < 0));
    m.trans_a = (uint8_t)ta, m.trans_b = (uint8_t)tb;
    m.a_at = dec_ext_add(d, a_row, m.a_registers ? 4 : 1);
    m.d_at = dec_ext_add(d, row, (uint32_t)count);
    uint32_t words[sizeof m / 4], all = dec_constant(d, 4, SIM_ALL);
    memcpy(words, &m, sizeof m);
    uint32_t at = dec_ext_add(d, words, sizeof m / 4);
    struct sim_inst *i = dec_emit(d, sim_wgmma, RUN_SYNC, SIM_MMA);
    i->ext = at;
    i->e = all;
    return true;
}

bool decode_wgmma(struct decoder *d, struct ins *x)
{
    int64_t n;
    if (!dec_has(x, "sync") || !dec_has(x, "aligned"))
        return FAIL(d, "wgmma needs .sync.aligned");
    if (dec_has(x, "fence") || dec_has(x, "commit_group"))
        return dec_operands_are(d, x, 0, 0);
    if (dec_has(x, "wait_group"))
        return dec_operands_are(d, x, 1, 1) && dec_integer_of(d, x->op[0], 0, 7, &n);
    return dec_has(x, "mma_async") ? wgmma_mma(d, x) : dec_unsupported(d, "this wgmma");
}
