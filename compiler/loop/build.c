/* Building loop IR: buffers, phases, affine sums, and instructions appended at the builder's block.
 * What is built is already folded where that cannot be told from the unfolded form. */
#include "loop/private.h"

/* ---- kernels, buffers, phases ---- */

struct lo_kernel *lo_kernel_new(const char *name)
{
    struct lo_kernel *k = xcalloc(1, sizeof *k);
    k->mem = arena_new();
    k->name = arena_strndup(k->mem, name, strlen(name));
    vec_push(&k->buffers, (struct lo_buffer){0});
    vec_push(&k->insns, (struct lo_insn){0});
    vec_push(&k->blocks, (struct lo_block){0});
    return k;
}

void lo_kernel_free(struct lo_kernel *k)
{
    if (!k)
        return;
    for (uint32_t i = 0; i < k->blocks.n; i++)
        vec_free(&k->blocks.p[i].insn);
    vec_free(&k->blocks);
    vec_free(&k->buffers);
    vec_free(&k->insns);
    vec_free(&k->phases);
    arena_free(k->mem);
    free(k);
}

uint32_t lo_buffer_find(const struct lo_kernel *k, const char *name)
{
    for (uint32_t i = 1; i < k->buffers.n; i++)
        if (!strcmp(k->buffers.p[i].name, name))
            return i;
    return 0;
}

/* An identifier of the text form that no other buffer has. */
static const char *buffer_name(struct lo_kernel *k, const char *wanted)
{
    char *s = arena_printf(k->mem, "%s%s", lo_name_start(wanted[0]) ? "" : "b", wanted);
    for (char *p = s; *p; p++)
        if (!lo_name_char(*p))
            *p = '_';
    if (!lo_buffer_find(k, s))
        return s;
    return arena_printf(k->mem, "%s.%u", s, k->buffers.n);
}

uint32_t lo_buffer(struct lo_kernel *k, enum lo_space s, const char *name, struct lo_type t,
                   int64_t count)
{
    CHECK(s != LO_ARG || k->buffers.n == 1 || vec_last(&k->buffers).space == LO_ARG,
          "%s: argument %s after a buffer that is none", k->name, name);
    struct lo_buffer b = {buffer_name(k, name ? name : "b"), s, t, count, false};
    vec_push(&k->buffers, b);
    return k->buffers.n - 1;
}

uint32_t lo_block_new(struct lo_kernel *k)
{
    vec_push(&k->blocks, (struct lo_block){0});
    return k->blocks.n - 1;
}

lo_id lo_insn_new(struct lo_kernel *k, struct lo_insn in)
{
    vec_push(&k->insns, in);
    return k->insns.n - 1;
}

lo_id lo_append(struct lo_builder *b, struct lo_insn in)
{
    CHECK(b->block, "%s: an instruction outside of a phase", b->k->name);
    in.origin = b->origin;
    lo_id id = lo_insn_new(b->k, in);
    vec_push(&b->k->blocks.p[b->block].insn, id);
    return id;
}

void lo_open(struct lo_builder *b, uint32_t block)
{
    CHECK(b->depth < COUNT(b->stack), "%s: blocks nest too deep", b->k->name);
    b->stack[b->depth++].block = b->block;
    b->block = block;
}

lo_id lo_phase_gpu(struct lo_builder *b, int64_t chunks, int32_t threads)
{
    CHECK(!b->depth, "%s: a phase inside of a block", b->k->name);
    struct lo_insn number = {.kind = LO_LIN, .type = LO_I64, .origin = b->origin};
    struct lo_phase p = {.chunks = chunks, .threads = threads, .body = lo_block_new(b->k)};
    p.chunk = lo_insn_new(b->k, number);
    p.thread = threads ? lo_insn_new(b->k, number) : 0;
    vec_push(&b->k->phases, p);
    lo_open(b, p.body);
    return p.chunk;
}

lo_id lo_phase(struct lo_builder *b, int64_t chunks) { return lo_phase_gpu(b, chunks, 0); }

lo_id lo_thread(const struct lo_builder *b)
{
    return b->k->phases.n ? vec_last(&b->k->phases).thread : 0;
}

bool lo_is_chunk(const struct lo_kernel *k, lo_id v)
{
    for (uint32_t i = 0; v && i < k->phases.n; i++)
        if (k->phases.p[i].chunk == v || k->phases.p[i].thread == v)
            return true;
    return false;
}

/* ---- affine sums: parts distinct, ascending by value, no factor 0 ---- */

struct lo_lin lo_lin_c(int64_t c) { return (struct lo_lin){c, 0, NULL}; }

/* Indices wrap around, like all integers. */
static int64_t sum(int64_t x, int64_t y) { return (int64_t)((uint64_t)x + (uint64_t)y); }
static int64_t product(int64_t x, int64_t y) { return (int64_t)((uint64_t)x * (uint64_t)y); }

struct lo_lin lo_lin_v(struct lo_builder *b, lo_id v)
{
    const struct lo_insn *in = &b->k->insns.p[v];
    CHECK(in->type.dtype == NN_i64 && in->type.lanes == 1, "%s: an index that is no i64 scalar",
          b->k->name);
    if (in->kind == LO_CONST)
        return lo_lin_c(in->i);
    if (in->kind == LO_LIN && !lo_is_chunk(b->k, v))
        return in->lin;
    struct lo_part *p = ARENA_NEW(b->k->mem, struct lo_part);
    *p = (struct lo_part){1, v};
    return (struct lo_lin){0, 1, p};
}

struct lo_lin lo_lin_add(struct lo_builder *b, struct lo_lin x, struct lo_lin y)
{
    int64_t c0 = sum(x.c0, y.c0);
    if (!x.n || !y.n)
        return (struct lo_lin){c0, x.n + y.n, x.n ? x.part : y.part};
    struct lo_part *p = ARENA_ARRAY(b->k->mem, struct lo_part, x.n + y.n);
    uint32_t n = 0, i = 0, j = 0;
    while (i < x.n || j < y.n) {
        if (j == y.n || (i < x.n && x.part[i].v < y.part[j].v)) {
            p[n++] = x.part[i++];
        } else if (i == x.n || y.part[j].v < x.part[i].v) {
            p[n++] = y.part[j++];
        } else {
            int64_t c = sum(x.part[i].c, y.part[j++].c);
            if (c)
                p[n++] = (struct lo_part){c, x.part[i].v};
            i++;
        }
    }
    return (struct lo_lin){c0, n, p};
}

struct lo_lin lo_lin_mul(struct lo_builder *b, struct lo_lin x, int64_t c)
{
    if (!c)
        return lo_lin_c(0);
    if (c == 1)
        return x;
    struct lo_part *p = ARENA_ARRAY(b->k->mem, struct lo_part, x.n);
    uint32_t n = 0;
    for (uint32_t i = 0; i < x.n; i++) {
        p[n] = (struct lo_part){product(x.part[i].c, c), x.part[i].v};
        n += p[n].c != 0;
    }
    return (struct lo_lin){product(x.c0, c), n, p};
}

lo_id lo_value(struct lo_builder *b, struct lo_lin l)
{
    if (!l.n)
        return lo_const_i(b, LO_I64, l.c0);
    if (l.n == 1 && !l.c0 && l.part[0].c == 1)
        return l.part[0].v;
    return lo_append(b, (struct lo_insn){.kind = LO_LIN, .type = LO_I64, .lin = l});
}

/* ---- constants ---- */

lo_id lo_const_f(struct lo_builder *b, struct lo_type t, double v)
{
    CHECK(nn_is_float(t.dtype), "a float constant of %s", nn_dtype_name(t.dtype));
    v = lo_num_f(t.dtype, lo_num_from_f(t.dtype, v));
    return lo_append(b, (struct lo_insn){.kind = LO_CONST, .type = t, .f = v});
}

lo_id lo_const_i(struct lo_builder *b, struct lo_type t, int64_t v)
{
    CHECK(!nn_is_float(t.dtype), "an integer constant of %s", nn_dtype_name(t.dtype));
    v = lo_num_i(t.dtype, lo_num_from_i(t.dtype, v));
    return lo_append(b, (struct lo_insn){.kind = LO_CONST, .type = t, .i = v});
}

lo_id lo_const(struct lo_builder *b, struct lo_type t, union lo_num v)
{
    return nn_is_float(t.dtype) ? lo_const_f(b, t, lo_num_f(t.dtype, v))
                                : lo_const_i(b, t, lo_num_i(t.dtype, v));
}

bool lo_const_value(const struct lo_kernel *k, lo_id id, union lo_num *v)
{
    const struct lo_insn *in = &k->insns.p[id];
    if (!id || in->kind != LO_CONST)
        return false;
    *v = nn_is_float(in->type.dtype) ? lo_num_from_f(in->type.dtype, in->f)
                                     : lo_num_from_i(in->type.dtype, in->i);
    return true;
}

/* ---- element-wise operators ---- */

static struct lo_type type_of(const struct lo_builder *b, lo_id x)
{
    CHECK(x && x < b->k->insns.n, "%s: an operand that is no value", b->k->name);
    return b->k->insns.p[x].type;
}

/* Whether x is the constant v in its own type. */
static bool is_const(const struct lo_builder *b, lo_id x, double v)
{
    union lo_num got;
    if (!lo_const_value(b->k, x, &got))
        return false;
    enum nn_dtype t = b->k->insns.p[x].type.dtype;
    if (!nn_is_float(t))
        return lo_num_i(t, got) == (int64_t)v;
    double f = lo_num_f(t, got);
    return f == v && signbit(f) == signbit(v);
}

/* The operand that the operator leaves as it is; 0 if it does something. */
static lo_id identity(const struct lo_builder *b, enum ir_op op, struct lo_type t, lo_id x, lo_id y,
                      lo_id z)
{
    bool is_float = nn_is_float(t.dtype), keeps = !is_float || !b->exact; /* flushes a denormal */
    union lo_num c;
    if (op == IR_copy)
        return x;
    if (op == IR_add && keeps)
        return is_const(b, y, is_float ? -0.0 : 0)   ? x
               : is_const(b, x, is_float ? -0.0 : 0) ? y
                                                     : 0;
    if (op == IR_sub && keeps)
        return is_const(b, y, 0) ? x : 0;
    if (op == IR_mul && keeps)
        return is_const(b, y, 1) ? x : is_const(b, x, 1) ? y : 0;
    if ((op == IR_div && keeps) || (op == IR_idiv && !is_float))
        return is_const(b, y, 1) ? x : 0;
    if (op == IR_and && (is_const(b, x, 1) || is_const(b, y, 0)))
        return y;
    if (op == IR_and)
        return is_const(b, y, 1) || is_const(b, x, 0) ? x : 0;
    if (op == IR_or && (is_const(b, x, 0) || is_const(b, y, 1)))
        return y;
    if (op == IR_or)
        return is_const(b, y, 0) || is_const(b, x, 1) ? x : 0;
    if (op == IR_select)
        return y == z ? y : lo_const_value(b->k, x, &c) ? (c.u8 ? y : z) : 0;
    return 0;
}

lo_id lo_op(struct lo_builder *b, enum ir_op op, struct lo_type t, lo_id x, lo_id y, lo_id z)
{
    CHECK(ir_op_elementwise(op), "%s is not element-wise", ir_op_name(op));
    if (op == IR_cast)
        return lo_cast(b, t.dtype, lo_splat(b, x, t.lanes));
    if (ir_op_class(op) == IRC_CMP)
        t.dtype = NN_bool;
    int n = ir_op_arity(op);
    lo_id in[3] = {lo_splat(b, x, t.lanes), n > 1 ? lo_splat(b, y, t.lanes) : 0,
                   n > 2 ? lo_splat(b, z, t.lanes) : 0};
    lo_id same = identity(b, op, t, in[0], in[1], in[2]);
    if (same)
        return same;
    union lo_num v[3] = {{0}}, r;
    bool known = true;
    for (int i = 0; i < n; i++)
        known = known && lo_const_value(b->k, in[i], &v[i]);
    if (known && lo_fold_op(op, type_of(b, in[0]).dtype, t.dtype, v, &r))
        return lo_const(b, t, r);
    return lo_append(
        b,
        (struct lo_insn){.kind = LO_OP, .op = (uint8_t)op, .type = t, .in = {in[0], in[1], in[2]}});
}

lo_id lo_cast(struct lo_builder *b, enum nn_dtype dtype, lo_id x)
{
    struct lo_type from = type_of(b, x), t = {(uint8_t)dtype, from.lanes};
    if (from.dtype == dtype)
        return x;
    union lo_num v[3] = {{0}}, r;
    if (lo_const_value(b->k, x, v) && lo_fold_op(IR_cast, from.dtype, dtype, v, &r))
        return lo_const(b, t, r);
    return lo_append(b, (struct lo_insn){.kind = LO_OP, .op = IR_cast, .type = t, .in = {x, 0, 0}});
}

lo_id lo_fma(struct lo_builder *b, lo_id x, lo_id y, lo_id z)
{
    uint32_t lanes = type_of(b, x).lanes;
    lanes = type_of(b, y).lanes > lanes ? type_of(b, y).lanes : lanes;
    lanes = type_of(b, z).lanes > lanes ? type_of(b, z).lanes : lanes;
    struct lo_type t = {type_of(b, x).dtype, (uint16_t)lanes};
    struct lo_insn in = {.kind = LO_FMA, .type = t};
    in.in[0] = lo_splat(b, x, lanes);
    in.in[1] = lo_splat(b, y, lanes);
    in.in[2] = lo_splat(b, z, lanes);
    union lo_num v[3], r;
    if (lo_const_value(b->k, in.in[0], &v[0]) && lo_const_value(b->k, in.in[1], &v[1]) &&
        lo_const_value(b->k, in.in[2], &v[2]) && lo_fold_fma(t.dtype, v, &r))
        return lo_const(b, t, r);
    return lo_append(b, in);
}

lo_id lo_bit(struct lo_builder *b, enum lo_bit op, struct lo_type t, lo_id x, lo_id y)
{
    bool unary = lo_bit_unary(op);
    lo_id in[2] = {lo_splat(b, x, t.lanes), unary ? 0 : lo_splat(b, y, t.lanes)};
    union lo_num v[2] = {{0}}, r;
    if (lo_const_value(b->k, in[0], &v[0]) && (unary || lo_const_value(b->k, in[1], &v[1])) &&
        lo_fold_bit(op, type_of(b, in[0]).dtype, t.dtype, v, &r))
        return lo_const(b, t, r);
    return lo_append(
        b, (struct lo_insn){.kind = LO_BIT, .op = (uint8_t)op, .type = t, .in = {in[0], in[1], 0}});
}

lo_id lo_splat(struct lo_builder *b, lo_id x, uint32_t lanes)
{
    struct lo_type t = type_of(b, x);
    if (t.lanes == lanes)
        return x;
    CHECK(t.lanes == 1, "%s: %u lanes where %u are wanted", b->k->name, t.lanes, lanes);
    struct lo_insn in = {.kind = LO_SPLAT, .in = {x, 0, 0}};
    if (b->k->insns.p[x].kind == LO_CONST)
        in = b->k->insns.p[x];
    in.type = (struct lo_type){t.dtype, (uint16_t)lanes};
    return lo_append(b, in);
}

lo_id lo_lanes(struct lo_builder *b, struct lo_type t, struct lo_lin from)
{
    return lo_append(b, (struct lo_insn){.kind = LO_LANES, .type = t, .lin = from});
}

lo_id lo_across(struct lo_builder *b, enum ir_monoid m, lo_id x)
{
    struct lo_type t = type_of(b, x);
    if (t.lanes == 1)
        return x;
    t.lanes = 1;
    return lo_append(
        b, (struct lo_insn){.kind = LO_ACROSS, .op = (uint8_t)m, .type = t, .in = {x, 0, 0}});
}

lo_id lo_random(struct lo_builder *b, lo_id seed, lo_id step, uint64_t stream, int word,
                lo_id index)
{
    struct lo_type t = {NN_f32, type_of(b, index).lanes};
    return lo_append(b, (struct lo_insn){.kind = LO_RANDOM,
                                         .op = (uint8_t)word,
                                         .type = t,
                                         .in = {seed, step, index},
                                         .i = (int64_t)stream});
}

lo_id lo_extract(struct lo_builder *b, lo_id x, int lane)
{
    struct lo_type t = type_of(b, x);
    if (t.lanes == 1)
        return x;
    t.lanes = 1;
    return lo_append(b,
                     (struct lo_insn){.kind = LO_EXTRACT, .type = t, .in = {x, 0, 0}, .i = lane});
}

/* ---- memory ---- */

static struct lo_buffer *buffer_of(struct lo_builder *b, uint32_t buf)
{
    CHECK(buf && buf < b->k->buffers.n, "%s: no such buffer", b->k->name);
    return &b->k->buffers.p[buf];
}

static lo_id load(struct lo_builder *b, uint32_t buf, struct lo_lin at, lo_id index, uint32_t lanes,
                  lo_id mask, lo_id fill)
{
    struct lo_type t = {buffer_of(b, buf)->type.dtype, (uint16_t)lanes};
    struct lo_insn in = {.kind = LO_LOAD, .type = t, .buf = buf, .lin = at};
    in.in[0] = mask ? lo_splat(b, mask, lanes) : 0;
    in.in[1] = mask && fill ? lo_splat(b, fill, lanes) : 0;
    in.in[2] = index;
    return lo_append(b, in);
}

lo_id lo_load(struct lo_builder *b, uint32_t buf, struct lo_lin at, uint32_t lanes, lo_id mask,
              lo_id fill)
{
    return load(b, buf, at, 0, lanes, mask, fill);
}

lo_id lo_gather(struct lo_builder *b, uint32_t buf, struct lo_lin at, lo_id index, lo_id mask,
                lo_id fill)
{
    return load(b, buf, at, index, type_of(b, index).lanes, mask, fill);
}

void lo_scatter(struct lo_builder *b, uint32_t buf, struct lo_lin at, lo_id index, lo_id value,
                lo_id mask)
{
    struct lo_type t = type_of(b, value);
    buffer_of(b, buf)->written = true;
    lo_append(b, (struct lo_insn){.kind = LO_STORE,
                                  .type = t,
                                  .buf = buf,
                                  .in = {value, mask ? lo_splat(b, mask, t.lanes) : 0, index},
                                  .lin = at});
}

void lo_store(struct lo_builder *b, uint32_t buf, struct lo_lin at, lo_id value, lo_id mask)
{
    lo_scatter(b, buf, at, 0, value, mask);
}

lo_id lo_get(struct lo_builder *b, uint32_t reg, struct lo_lin at)
{
    return lo_append(
        b,
        (struct lo_insn){.kind = LO_GET, .type = buffer_of(b, reg)->type, .buf = reg, .lin = at});
}

void lo_set(struct lo_builder *b, uint32_t reg, struct lo_lin at, lo_id value)
{
    struct lo_type t = buffer_of(b, reg)->type;
    lo_id in = lo_splat(b, value, t.lanes);
    lo_append(b,
              (struct lo_insn){.kind = LO_SET, .type = t, .buf = reg, .in = {in, 0, 0}, .lin = at});
}

/* ---- control ---- */

lo_id lo_for(struct lo_builder *b, enum lo_loop how, struct lo_lin from, struct lo_lin to,
             int64_t step)
{
    uint32_t body = lo_block_new(b->k);
    lo_id v = lo_append(b, (struct lo_insn){.kind = LO_FOR,
                                            .op = (uint8_t)how,
                                            .type = LO_I64,
                                            .lin = from,
                                            .hi = to,
                                            .step = step,
                                            .body = body});
    lo_open(b, body);
    return v;
}

void lo_if(struct lo_builder *b, lo_id cond)
{
    uint32_t body = lo_block_new(b->k);
    lo_append(b, (struct lo_insn){.kind = LO_IF, .in = {cond, 0, 0}, .body = body});
    lo_open(b, body);
}

void lo_else(struct lo_builder *b)
{
    CHECK(b->depth > 1, "%s: else without if", b->k->name);
    uint32_t other = lo_block_new(b->k);
    const struct lo_block *outer = &b->k->blocks.p[b->stack[b->depth - 1].block];
    struct lo_insn *in = outer->insn.n ? &b->k->insns.p[vec_last(&outer->insn)] : NULL;
    CHECK(in && in->kind == LO_IF && !in->other, "%s: else without if", b->k->name);
    in->other = other;
    b->block = other;
}

void lo_end(struct lo_builder *b)
{
    CHECK(b->depth, "%s: end without a block", b->k->name);
    b->block = b->stack[--b->depth].block;
}

void lo_trap(struct lo_builder *b, lo_id cond, lo_id value, uint32_t origin)
{
    lo_id v = lo_splat(b, value, type_of(b, cond).lanes);
    lo_append(b, (struct lo_insn){.kind = LO_TRAP, .in = {cond, v, 0}, .i = (int64_t)origin + 1});
}

lo_id lo_trade(struct lo_builder *b, lo_id x, lo_id y, uint32_t block, bool second)
{
    return lo_append(
        b, (struct lo_insn){
               .kind = LO_TRADE, .op = second, .type = type_of(b, x), .in = {x, y, 0}, .i = block});
}

/* ---- GPU ---- */

void lo_barrier(struct lo_builder *b) { lo_append(b, (struct lo_insn){.kind = LO_BARRIER}); }

lo_id lo_shuffle_xor(struct lo_builder *b, lo_id x, int mask)
{
    return lo_append(b, (struct lo_insn){.kind = LO_SHUFFLE,
                                         .op = LO_SHFL_XOR,
                                         .type = type_of(b, x),
                                         .in = {x, 0, 0},
                                         .i = mask});
}

lo_id lo_shuffle_idx(struct lo_builder *b, lo_id x, lo_id lane)
{
    return lo_append(
        b, (struct lo_insn){
               .kind = LO_SHUFFLE, .op = LO_SHFL_IDX, .type = type_of(b, x), .in = {x, lane, 0}});
}

lo_id lo_warp_fold(struct lo_builder *b, enum ir_monoid m, lo_id x, int width)
{
    for (int mask = width / 2; mask; mask /= 2)
        x = lo_op(b, lo_monoid_op(m), type_of(b, x), x, lo_shuffle_xor(b, x, mask), 0);
    return x;
}

lo_id lo_mma(struct lo_builder *b, enum lo_mma op, lo_id a, lo_id bb, lo_id c)
{
    return lo_append(
        b,
        (struct lo_insn){.kind = LO_MMA, .op = (uint8_t)op, .type = {NN_f32, 4}, .in = {a, bb, c}});
}

lo_id lo_ldmatrix(struct lo_builder *b, uint32_t shared, struct lo_lin at, int n, bool trans)
{
    return lo_append(b, (struct lo_insn){.kind = LO_LDMATRIX,
                                         .op = trans,
                                         .type = {NN_i32, (uint16_t)n},
                                         .buf = shared,
                                         .lin = at});
}

void lo_copy(struct lo_builder *b, uint32_t shared, struct lo_lin at, uint32_t from,
             struct lo_lin from_at, int bytes, lo_id mask)
{
    buffer_of(b, shared)->written = true;
    lo_append(b, (struct lo_insn){.kind = LO_COPY,
                                  .buf = shared,
                                  .lin = at,
                                  .from = from,
                                  .hi = from_at,
                                  .i = bytes,
                                  .in = {mask, 0, 0}});
}

void lo_commit(struct lo_builder *b) { lo_append(b, (struct lo_insn){.kind = LO_COMMIT}); }

void lo_wait(struct lo_builder *b, int groups)
{
    lo_append(b, (struct lo_insn){.kind = LO_WAIT, .i = groups});
}

lo_id lo_pack(struct lo_builder *b, enum nn_dtype t, lo_id low, lo_id high)
{
    uint16_t lanes = type_of(b, low).lanes;
    return lo_append(
        b, (struct lo_insn){
               .kind = LO_PACK, .op = (uint8_t)t, .type = {NN_i32, lanes}, .in = {low, high, 0}});
}

lo_id lo_unpack(struct lo_builder *b, enum nn_dtype t, lo_id x, int half)
{
    return lo_append(b, (struct lo_insn){.kind = LO_UNPACK,
                                         .op = (uint8_t)t,
                                         .type = {NN_f32, type_of(b, x).lanes},
                                         .in = {x, 0, 0},
                                         .i = half});
}

lo_id lo_approx(struct lo_builder *b, enum lo_approx op, lo_id x)
{
    return lo_append(
        b, (struct lo_insn){
               .kind = LO_APPROX, .op = (uint8_t)op, .type = type_of(b, x), .in = {x, 0, 0}});
}

/* ---- any instruction ---- */

static lo_id extract_folded(struct lo_builder *b, struct lo_insn in)
{
    const struct lo_insn *x = &b->k->insns.p[in.in[0]];
    union lo_num v;
    if (x->kind == LO_SPLAT)
        return x->in[0];
    return lo_const_value(b->k, in.in[0], &v) ? lo_const(b, in.type, v) : lo_append(b, in);
}

/* Folding equal lanes gives the lane, but for sums and products. */
static lo_id across_folded(struct lo_builder *b, struct lo_insn in)
{
    if (type_of(b, in.in[0]).lanes == 1)
        return in.in[0];
    return in.op == IRM_sum || in.op == IRM_prod ? lo_append(b, in) : extract_folded(b, in);
}

lo_id lo_append_folded(struct lo_builder *b, struct lo_insn in)
{
    switch ((enum lo_kind)in.kind) {
    case LO_OP: return lo_op(b, in.op, in.type, in.in[0], in.in[1], in.in[2]);
    case LO_FMA: return lo_fma(b, in.in[0], in.in[1], in.in[2]);
    case LO_BIT: return lo_bit(b, in.op, in.type, in.in[0], in.in[1]);
    case LO_SPLAT: return lo_splat(b, in.in[0], in.type.lanes);
    case LO_LIN: return lo_value(b, in.lin);
    case LO_EXTRACT: return type_of(b, in.in[0]).lanes == 1 ? in.in[0] : extract_folded(b, in);
    case LO_ACROSS: return across_folded(b, in);
    case LO_CONST:
    case LO_LANES:
    case LO_LOAD:
    case LO_STORE:
    case LO_GET:
    case LO_SET:
    case LO_FOR:
    case LO_IF:
    case LO_RANDOM:
    case LO_TRAP:
    case LO_TRADE:
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
    return lo_append(b, in);
}
