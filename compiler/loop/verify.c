/* Whether a kernel is sound: the shape of blocks, values used where they are defined, types,
 * buffers. */
#include "loop/private.h"

/* ---- one instruction ---- */

struct check {
    const struct lo_kernel *k;
    const struct lo_insn *in;
    char *words;
};

static bool fail(const struct check *c, const char *fmt, ...) NNC_PRINTF(2, 3);
static bool fail(const struct check *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->words, LO_WORDS, fmt, ap);
    va_end(ap);
    return false;
}

static bool check_type(const struct check *c, struct lo_type t, bool storage)
{
    if (t.dtype >= NN_DTYPE_COUNT || !t.lanes || t.lanes > LO_MAX_LANES ||
        (t.lanes & (t.lanes - 1)))
        return fail(c, "no type has %u lanes of dtype %u", t.lanes, t.dtype);
    if (!storage && (t.dtype == NN_f16 || t.dtype == NN_bf16))
        return fail(c, "%s is for loads, stores and casts only", nn_dtype_name(t.dtype));
    return true;
}

/* Operand i must be there and of this type. */
static bool want(const struct check *c, int i, enum nn_dtype dtype, uint32_t lanes)
{
    lo_id v = c->in->in[i];
    if (!v || v >= c->k->insns.n)
        return fail(c, "operand %d is missing", i + 1);
    struct lo_type t = c->k->insns.p[v].type;
    if (t.dtype != dtype || t.lanes != lanes)
        return fail(c, "operand %d is %sx%u, wanted is %sx%u", i + 1, nn_dtype_name(t.dtype),
                    t.lanes, nn_dtype_name(dtype), lanes);
    return true;
}

static bool want_none(const struct check *c, int from)
{
    for (int i = from; i < 3; i++)
        if (c->in->in[i])
            return fail(c, "operand %d is one too many", i + 1);
    return true;
}

static struct lo_type operand_type(const struct check *c, int i)
{
    lo_id v = c->in->in[i];
    return v && v < c->k->insns.n ? c->k->insns.p[v].type : (struct lo_type){NN_DTYPE_COUNT, 0};
}

static bool check_lin(const struct check *c, struct lo_lin l)
{
    for (uint32_t i = 0; i < l.n; i++) {
        lo_id v = l.part[i].v;
        if (!v || v >= c->k->insns.n)
            return fail(c, "an index of no value");
        struct lo_type t = c->k->insns.p[v].type;
        if (t.dtype != NN_i64 || t.lanes != 1)
            return fail(c, "an index that is no i64 scalar");
        if (!l.part[i].c || (i && l.part[i - 1].v >= v))
            return fail(c, "an index whose parts are not in order");
    }
    return true;
}

static bool check_index(const struct check *c, uint32_t lanes)
{
    struct lo_type t = operand_type(c, 2);
    if (!c->in->in[2])
        return true;
    if ((t.dtype != NN_i32 && t.dtype != NN_i64) || t.lanes != lanes)
        return fail(c, "the vector of indices must be i32x%u or i64x%u", lanes, lanes);
    return true;
}

static bool check_buffer_use(const struct check *c, bool reg)
{
    if (!c->in->buf || c->in->buf >= c->k->buffers.n)
        return fail(c, "no such buffer");
    const struct lo_buffer *b = &c->k->buffers.p[c->in->buf];
    if ((b->space == LO_REG) != reg)
        return fail(c, reg ? "%s is no register" : "%s is a register", b->name);
    if (b->type.dtype != c->in->type.dtype || (reg && b->type.lanes != c->in->type.lanes))
        return fail(c, "%s holds %sx%u", b->name, nn_dtype_name(b->type.dtype), b->type.lanes);
    if (!c->in->lin.n && !c->in->in[2]) {
        int64_t at = c->in->lin.c0, n = reg ? 1 : c->in->type.lanes;
        bool masked =
            c->in->kind == LO_LOAD ? c->in->in[0] : c->in->kind == LO_STORE && c->in->in[1];
        if (!masked && (at < 0 || at > b->count - n))
            return fail(c, "%s has %lld elements", b->name, (long long)b->count);
    }
    return true;
}

static bool check_op(const struct check *c)
{
    enum ir_op op = c->in->op;
    struct lo_type t = c->in->type, x = operand_type(c, 0);
    if (op >= IR_OP_COUNT || !ir_op_elementwise(op))
        return fail(c, "no element-wise operator");
    if (!want_none(c, ir_op_arity(op)))
        return false;
    if (op == IR_cast)
        return want(c, 0, x.dtype, t.lanes);
    if (op == IR_select)
        return check_type(c, t, false) && want(c, 0, NN_bool, t.lanes) &&
               want(c, 1, t.dtype, t.lanes) && want(c, 2, t.dtype, t.lanes);
    if (op == IR_copy)
        return want(c, 0, t.dtype, t.lanes);
    enum nn_dtype dtype = t.dtype;
    switch (ir_op_class(op)) {
    case IRC_ARITH:
        if (t.dtype == NN_bool)
            return fail(c, "arithmetic on bool");
        break;
    case IRC_FLOAT:
        if (!nn_is_float(t.dtype))
            return fail(c, "for floats only");
        if (op == IR_round_tf32 && t.dtype != NN_f32)
            return fail(c, "for f32 only");
        break;
    case IRC_CMP:
        dtype = x.dtype;
        if (t.dtype != NN_bool)
            return fail(c, "a comparison gives bool");
        break;
    case IRC_LOGIC:
        if (t.dtype != NN_bool)
            return fail(c, "for bool only");
        break;
    case IRC_ELEM:
    case IRC_LEAF:
    case IRC_SHAPE:
    case IRC_MARK: return fail(c, "no element-wise operator");
    }
    for (int i = 0; i < ir_op_arity(op); i++)
        if (!want(c, i, dtype, t.lanes))
            return false;
    return check_type(c, (struct lo_type){(uint8_t)dtype, t.lanes}, false);
}

static bool check_bit(const struct check *c)
{
    struct lo_type t = c->in->type, x = operand_type(c, 0);
    enum nn_dtype from = x.dtype, to = t.dtype;
    if (c->in->op >= LO_BIT_COUNT)
        return fail(c, "no operator on bits");
    if (lo_bit_unary(c->in->op)) {
        bool ok = (from == NN_f32 && to == NN_i32) ||
                  (from == NN_f64 && to == NN_i64 && c->in->op != LO_TF32);
        if (c->in->op == LO_BITCAST)
            ok = ok || (from == NN_i32 && to == NN_f32) || (from == NN_i64 && to == NN_f64);
        return ok ? want(c, 0, from, t.lanes) && want_none(c, 1)
                  : fail(c, "from %s to %s", from < NN_DTYPE_COUNT ? nn_dtype_name(from) : "none",
                         nn_dtype_name(to));
    }
    if (to != NN_i32 && to != NN_i64)
        return fail(c, "for i32 and i64 only");
    return want(c, 0, to, t.lanes) && want(c, 1, to, t.lanes) && want_none(c, 2);
}

static bool check_memory(const struct check *c)
{
    bool load = c->in->kind == LO_LOAD;
    struct lo_type t = c->in->type;
    int mask = load ? 0 : 1;
    if (!check_lin(c, c->in->lin) || !check_index(c, t.lanes) || !check_buffer_use(c, false))
        return false;
    if (c->in->in[mask] && !want(c, mask, NN_bool, t.lanes))
        return false;
    if (!load)
        return c->k->buffers.p[c->in->buf].written ? want(c, 0, t.dtype, t.lanes)
                                                   : fail(c, "the buffer is not marked as written");
    if (c->in->in[1] && !c->in->in[0])
        return fail(c, "a fill without a mask");
    return !c->in->in[1] || want(c, 1, t.dtype, t.lanes);
}

static bool check_across(const struct check *c)
{
    struct lo_type t = c->in->type, x = operand_type(c, 0);
    if (!want_none(c, 1) || t.lanes != 1 || !check_type(c, t, false))
        return t.lanes == 1 ? false : fail(c, "the result is a scalar");
    switch ((enum ir_monoid)c->in->op) {
    case IRM_sum:
    case IRM_prod:
    case IRM_max:
    case IRM_min:
        return t.dtype == NN_bool ? fail(c, "arithmetic on bool") : want(c, 0, t.dtype, x.lanes);
    case IRM_any:
    case IRM_all:
        return t.dtype == NN_bool ? want(c, 0, NN_bool, x.lanes) : fail(c, "for bool only");
    case IRM_argmax:
    case IRM_argmin:
    case IRM_COUNT: break;
    }
    return fail(c, "no monoid that folds lanes");
}

static bool check_control(const struct check *c)
{
    const struct lo_insn *in = c->in;
    struct lo_type x = operand_type(c, 0);
    switch ((enum lo_kind)in->kind) {
    case LO_FOR:
        if (in->op > LO_UNROLL || in->step <= 0)
            return fail(c, "the step must be positive");
        return want_none(c, 0) && check_lin(c, in->lin) && check_lin(c, in->hi);
    case LO_IF: return want(c, 0, NN_bool, 1) && want_none(c, 1);
    case LO_TRAP:
        if (in->i < 1 || in->i > INT32_MAX)
            return fail(c, "the code must be positive");
        return want(c, 0, NN_bool, x.lanes) && want(c, 1, NN_i64, x.lanes) && want_none(c, 2);
    case LO_RANDOM:
        x = operand_type(c, 2);
        if (in->type.dtype != NN_f32 || in->op > 1)
            return fail(c, "random gives f32, its word is 0 or 1");
        return want(c, 0, NN_i64, 1) && want(c, 1, NN_i64, 1) && want(c, 2, NN_i64, in->type.lanes);
    case LO_TRADE:
        if (in->op > 1 || in->i < 1 || in->i >= in->type.lanes || (in->i & (in->i - 1)))
            return fail(c, "the block is half the lanes, a quarter, …, or 1");
        return want(c, 0, in->type.dtype, in->type.lanes) &&
               want(c, 1, in->type.dtype, in->type.lanes) && want_none(c, 2);
    case LO_EXTRACT:
        if (in->i < 0 || in->i >= x.lanes || in->type.lanes != 1)
            return fail(c, "no such lane");
        return want(c, 0, in->type.dtype, x.lanes) && want_none(c, 1);
    case LO_CONST:
    case LO_OP:
    case LO_FMA:
    case LO_BIT:
    case LO_SPLAT:
    case LO_LANES:
    case LO_LIN:
    case LO_LOAD:
    case LO_STORE:
    case LO_GET:
    case LO_SET:
    case LO_ACROSS:
    case LO_BARRIER:
    case LO_SHUFFLE:
    case LO_MMA:
    case LO_LDMATRIX:
    case LO_COPY:
    case LO_COMMIT:
    case LO_WAIT:
    case LO_PACK:
    case LO_UNPACK:
    case LO_APPROX:
    case LO_KIND_COUNT: break;
    }
    return want_none(c, 0);
}

/* ---- the GPU's ---- */

static bool check_shuffle(const struct check *c)
{
    const struct lo_insn *in = c->in;
    struct lo_type t = in->type;
    if (t.lanes != 1 || nn_dtype_size(t.dtype) < 4)
        return fail(c, "for scalars of 32 and 64 bits only");
    if (in->op == LO_SHFL_XOR && (in->i < 1 || in->i > 31))
        return fail(c, "the mask of lanes is 1 to 31");
    if (in->op > LO_SHFL_IDX)
        return fail(c, "no shuffle");
    return want(c, 0, t.dtype, 1) &&
           (in->op == LO_SHFL_XOR ? want_none(c, 1) : want(c, 1, NN_i32, 1) && want_none(c, 2));
}

static bool check_mma(const struct check *c)
{
    static const struct {
        uint8_t a, b;
    } lanes[LO_MMA_COUNT] = {[LO_MMA_M16N8K8_TF32] = {4, 2},
                             [LO_MMA_M16N8K16_BF16] = {4, 2},
                             [LO_MMA_M16N8K16_F16] = {4, 2},
                             [LO_MMA_M16N8K8_F16] = {2, 1}};
    struct lo_type t = c->in->type;
    if (c->in->op >= LO_MMA_COUNT || t.dtype != NN_f32 || t.lanes != 4)
        return fail(c, "no such product");
    return want(c, 0, NN_i32, lanes[c->in->op].a) && want(c, 1, NN_i32, lanes[c->in->op].b) &&
           want(c, 2, NN_f32, 4);
}

static const struct lo_buffer *shared_buffer(const struct check *c)
{
    uint32_t b = c->in->buf;
    bool ok = b && b < c->k->buffers.n && c->k->buffers.p[b].space == LO_SHARED;
    if (!ok)
        fail(c, "the buffer must be shared memory");
    return ok ? &c->k->buffers.p[b] : NULL;
}

static bool check_ldmatrix(const struct check *c)
{
    struct lo_type t = c->in->type;
    const struct lo_buffer *b = shared_buffer(c);
    if (!b)
        return false;
    if (t.dtype != NN_i32 || (t.lanes != 1 && t.lanes != 2 && t.lanes != 4) || c->in->op > 1)
        return fail(c, "1, 2 or 4 matrices, packed in i32");
    if (nn_dtype_size(b->type.dtype) != 2 && (b->type.dtype != NN_f32 || c->in->op))
        return fail(c, "of f16, bf16, or, not transposed, f32");
    return check_lin(c, c->in->lin) && want_none(c, 0);
}

static bool check_copy(const struct check *c)
{
    const struct lo_insn *in = c->in;
    const struct lo_buffer *b = shared_buffer(c);
    if (!b)
        return false;
    if (!in->from || in->from >= c->k->buffers.n || c->k->buffers.p[in->from].space != LO_ARG)
        return fail(c, "a copy reads an argument");
    if (c->k->buffers.p[in->from].type.dtype != b->type.dtype)
        return fail(c, "%s and %s differ in type", b->name, c->k->buffers.p[in->from].name);
    if (in->i != 4 && in->i != 8 && in->i != 16)
        return fail(c, "4, 8 or 16 bytes");
    if (!b->written)
        return fail(c, "the buffer is not marked as written");
    return check_lin(c, in->lin) && check_lin(c, in->hi) && want_none(c, 1) &&
           (!in->in[0] || want(c, 0, NN_bool, 1));
}

static bool is_half(uint8_t dtype) { return dtype == NN_f16 || dtype == NN_bf16; }

static bool check_gpu(const struct check *c)
{
    const struct lo_insn *in = c->in;
    uint32_t lanes = in->type.lanes;
    switch ((enum lo_kind)in->kind) {
    case LO_BARRIER:
    case LO_COMMIT: return want_none(c, 0);
    case LO_WAIT: return in->i < 0 || in->i > 255 ? fail(c, "0 to 255 groups") : want_none(c, 0);
    case LO_SHUFFLE: return check_shuffle(c);
    case LO_MMA: return check_mma(c);
    case LO_LDMATRIX: return check_ldmatrix(c);
    case LO_COPY: return check_copy(c);
    case LO_PACK:
        if (in->type.dtype != NN_i32 || !is_half(in->op))
            return fail(c, "packs f16 or bf16 into i32");
        return want(c, 0, NN_f32, lanes) && want(c, 1, NN_f32, lanes) && want_none(c, 2);
    case LO_UNPACK:
        if (in->type.dtype != NN_f32 || !is_half(in->op) || in->i < 0 || in->i > 1)
            return fail(c, "unpacks half 0 or 1 of f16 or bf16 to f32");
        return want(c, 0, NN_i32, lanes) && want_none(c, 1);
    case LO_APPROX:
        if (in->type.dtype != NN_f32 || in->op >= LO_APPROX_COUNT)
            return fail(c, "for f32 only");
        return want(c, 0, NN_f32, lanes) && want_none(c, 1);
    case LO_CONST:
    case LO_OP:
    case LO_FMA:
    case LO_BIT:
    case LO_SPLAT:
    case LO_LANES:
    case LO_LIN:
    case LO_LOAD:
    case LO_STORE:
    case LO_GET:
    case LO_SET:
    case LO_FOR:
    case LO_IF:
    case LO_ACROSS:
    case LO_RANDOM:
    case LO_TRAP:
    case LO_EXTRACT:
    case LO_TRADE:
    case LO_KIND_COUNT: break;
    }
    return fail(c, "no kind of instruction");
}

static bool check_value(const struct check *c)
{
    const struct lo_insn *in = c->in;
    struct lo_type t = in->type;
    switch ((enum lo_kind)in->kind) {
    case LO_CONST: return want_none(c, 0);
    case LO_OP: return check_op(c);
    case LO_FMA:
        if (t.dtype != NN_f32 && t.dtype != NN_f64)
            return fail(c, "for f32 and f64 only");
        return want(c, 0, t.dtype, t.lanes) && want(c, 1, t.dtype, t.lanes) &&
               want(c, 2, t.dtype, t.lanes);
    case LO_BIT: return check_bit(c);
    case LO_SPLAT: return want(c, 0, t.dtype, 1) && want_none(c, 1);
    case LO_LANES:
    case LO_LIN:
        if (t.dtype != NN_i64 && (in->kind == LO_LIN || t.dtype != NN_i32))
            return fail(c, "the type must be i64%s", in->kind == LO_LIN ? "" : " or i32");
        if (in->kind == LO_LIN && t.lanes != 1)
            return fail(c, "a sum is a scalar");
        return check_lin(c, in->lin) && want_none(c, 0);
    case LO_LOAD:
    case LO_STORE: return check_memory(c);
    case LO_GET: return check_lin(c, in->lin) && check_buffer_use(c, true) && want_none(c, 0);
    case LO_SET:
        return check_lin(c, in->lin) && check_buffer_use(c, true) && want(c, 0, t.dtype, t.lanes) &&
               want_none(c, 1);
    case LO_ACROSS: return check_across(c);
    case LO_FOR:
    case LO_IF:
    case LO_RANDOM:
    case LO_TRAP:
    case LO_TRADE:
    case LO_EXTRACT: return check_control(c);
    case LO_BARRIER:
    case LO_SHUFFLE:
    case LO_MMA:
    case LO_LDMATRIX:
    case LO_COPY:
    case LO_COMMIT:
    case LO_WAIT:
    case LO_PACK:
    case LO_UNPACK:
    case LO_APPROX: return check_gpu(c);
    case LO_KIND_COUNT: break;
    }
    return fail(c, "no kind of instruction");
}

bool lo_has_value(enum lo_kind kind)
{
    return kind != LO_STORE && kind != LO_SET && kind != LO_IF && kind != LO_TRAP &&
           kind != LO_BARRIER && kind != LO_COPY && kind != LO_COMMIT && kind != LO_WAIT;
}

const char *lo_check_insn(const struct lo_kernel *k, lo_id id, char words[LO_WORDS])
{
    struct check c = {k, &k->insns.p[id], words};
    enum lo_kind kind = c.in->kind;
    bool typed = kind < LO_KIND_COUNT && (lo_has_value(kind) || kind == LO_STORE || kind == LO_SET);
    bool ok = (!typed || check_type(&c, c.in->type, true)) && check_value(&c);
    return ok ? NULL : words;
}

const char *lo_check_buffer(const struct lo_buffer *b)
{
    uint32_t lanes = b->type.lanes;
    if (!b->name || !lo_name_start(b->name[0]))
        return "a name starts with a letter";
    if (b->space > LO_REG)
        return "no such space";
    if (b->type.dtype >= NN_DTYPE_COUNT || !lanes || lanes > LO_MAX_LANES || (lanes & (lanes - 1)))
        return "no such type";
    if (b->space != LO_REG && lanes != 1)
        return "only registers hold vectors";
    if (b->count < 0 || b->count > LO_MAX_COUNT)
        return "too many elements";
    return NULL;
}

/* ---- the whole kernel ---- */

enum { UNSEEN, LIVE, DEAD }; /* of a value: not reached, usable here, out of scope */

struct walk {
    const struct lo_kernel *k;
    uint8_t *value; /* of each instruction */
    bool *block;    /* reached */
    bool gpu;       /* the phase's */
    char *message;
};

static void complain(struct walk *w, lo_id id, const char *words)
{
    struct text t = {0};
    text_printf(&t, "kernel %s: ", w->k->name);
    if (id) {
        text_printf(&t, "`");
        lo_print_insn(w->k, id, true, &t);
        text_printf(&t, "`: ");
    }
    text_printf(&t, "%s", words);
    w->message = t.p;
}

static bool lin_live(const struct walk *w, struct lo_lin l)
{
    for (uint32_t i = 0; i < l.n; i++)
        if (w->value[l.part[i].v] != LIVE)
            return false;
    return true;
}

static bool operands_live(const struct walk *w, const struct lo_insn *in)
{
    for (int i = 0; i < 3; i++)
        if (in->in[i] && w->value[in->in[i]] != LIVE)
            return false;
    return lin_live(w, in->lin) && lin_live(w, in->hi);
}

static void walk_block(struct walk *w, uint32_t block);

static void walk_insn(struct walk *w, lo_id id)
{
    const struct lo_insn *in = &w->k->insns.p[id];
    char words[LO_WORDS];
    const char *wrong = lo_check_insn(w->k, id, words);
    if (!wrong && !operands_live(w, in))
        wrong = "an operand is not defined here";
    if (!wrong && !w->gpu && in->kind >= LO_BARRIER)
        wrong = "in a phase without threads";
    for (int i = 0; !wrong && i < 3; i++)
        if (in->in[i] && !lo_has_value(w->k->insns.p[in->in[i]].kind))
            wrong = "an operand has no value";
    if (!wrong && w->value[id] != UNSEEN)
        wrong = "stands in two places";
    if (wrong) {
        complain(w, id, wrong);
        return;
    }
    w->value[id] = in->kind == LO_FOR ? LIVE : UNSEEN; /* a loop's variable: in its body only */
    if (in->kind == LO_FOR || in->kind == LO_IF)
        walk_block(w, in->body);
    if (in->kind == LO_IF && in->other && !w->message)
        walk_block(w, in->other);
    w->value[id] = in->kind == LO_FOR ? DEAD : LIVE;
}

static void walk_block(struct walk *w, uint32_t block)
{
    if (!block || block >= w->k->blocks.n || w->block[block]) {
        complain(w, 0, "a block that is none, or in two places");
        return;
    }
    w->block[block] = true;
    const struct lo_block *b = &w->k->blocks.p[block];
    for (uint32_t i = 0; i < b->insn.n && !w->message; i++) {
        lo_id id = b->insn.p[i];
        if (!id || id >= w->k->insns.n)
            complain(w, 0, "a block holds no instruction");
        else
            walk_insn(w, id);
    }
    for (uint32_t i = 0; i < b->insn.n && !w->message; i++)
        w->value[b->insn.p[i]] = DEAD;
}

/* The value of a phase's chunk or thread number. */
static bool begin_number(struct walk *w, lo_id id)
{
    if (!id || id >= w->k->insns.n || w->value[id] != UNSEEN) {
        complain(w, 0, "a phase without numbers");
        return false;
    }
    const struct lo_insn *in = &w->k->insns.p[id];
    if (in->kind != LO_LIN || in->lin.n || in->lin.c0 || in->type.dtype != NN_i64)
        complain(w, id, "a chunk or thread number is an empty sum");
    w->value[id] = LIVE;
    return !w->message;
}

static void walk_phase(struct walk *w, const struct lo_phase *p)
{
    w->gpu = p->threads != 0;
    if (p->chunks < 0 || p->threads < 0 || p->threads > LO_MAX_THREADS || p->threads % 32)
        complain(w, 0, "a phase has 0 or more chunks, of 32, 64, … 1024 threads or none");
    else if (w->gpu != lo_is_gpu(w->k) || w->gpu != !!p->thread)
        complain(w, 0, "phases with threads and phases without");
    else if (begin_number(w, p->chunk) && (!w->gpu || begin_number(w, p->thread)))
        walk_block(w, p->body);
    if (w->message)
        return;
    w->value[p->chunk] = DEAD;
    if (w->gpu)
        w->value[p->thread] = DEAD;
}

/* Barriers where every thread of the block comes: `apart` is inside of an if or loop on which the
 * threads do not agree. */
static void check_barriers(struct walk *w, const bool *divergent, uint32_t block, bool apart)
{
    const struct lo_block *b = &w->k->blocks.p[block];
    for (uint32_t i = 0; i < b->insn.n && !w->message; i++) {
        lo_id id = b->insn.p[i];
        const struct lo_insn *in = &w->k->insns.p[id];
        if (in->kind == LO_BARRIER && apart)
            complain(w, id, "in a branch or loop on which the block's threads do not agree");
        bool inner = apart || (in->kind == LO_IF && divergent[in->in[0]]);
        for (uint32_t l = 0; in->kind == LO_FOR && l < in->lin.n; l++)
            inner = inner || divergent[in->lin.part[l].v];
        for (uint32_t l = 0; in->kind == LO_FOR && l < in->hi.n; l++)
            inner = inner || divergent[in->hi.part[l].v];
        if (in->body)
            check_barriers(w, divergent, in->body, inner);
        if (in->other)
            check_barriers(w, divergent, in->other, inner);
    }
}

static void check_buffers(struct walk *w)
{
    for (uint32_t i = 1; i < w->k->buffers.n && !w->message; i++) {
        const struct lo_buffer *b = &w->k->buffers.p[i];
        const char *wrong = lo_check_buffer(b);
        if (!wrong && b->space == LO_ARG && i > 1 && w->k->buffers.p[i - 1].space != LO_ARG)
            wrong = "an argument after another buffer";
        if (!wrong && b->space == LO_SHARED && !lo_is_gpu(w->k))
            wrong = "shared memory of a kernel without threads";
        if (!wrong && b->space == LO_SCRATCH && lo_is_gpu(w->k))
            wrong = "scratch of a kernel with threads";
        if (!wrong && lo_buffer_find(w->k, b->name) != i)
            wrong = "two buffers of one name";
        char words[LO_WORDS + 64];
        snprintf(words, sizeof words, "buffer %.60s: %s", b->name ? b->name : "?",
                 wrong ? wrong : "");
        if (wrong)
            complain(w, 0, words);
    }
}

char *lo_verify(const struct lo_kernel *k)
{
    struct walk w = {
        .k = k, .value = xcalloc(k->insns.n, 1), .block = xcalloc(k->blocks.n, sizeof(bool))};
    check_buffers(&w);
    for (uint32_t i = 0; i < k->phases.n && !w.message; i++)
        walk_phase(&w, &k->phases.p[i]);
    bool *divergent = !w.message && lo_is_gpu(k) ? lo_divergent(k) : NULL;
    for (uint32_t i = 0; divergent && i < k->phases.n && !w.message; i++)
        check_barriers(&w, divergent, k->phases.p[i].body, false);
    free(divergent);
    free(w.value);
    free(w.block);
    return w.message;
}
