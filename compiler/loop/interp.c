/* The interpreter: the strict executor that the compiled ones are compared with. A kernel is
 * decoded once into operations that point at their operands; then each chunk runs over one frame of
 * values. It reports what a processor would not: accesses out of bounds, registers and local memory
 * read before they are written, and chunks of one phase that touch the same element while one of
 * them writes it. */
#include "cpu/pool.h"
#include "loop/private.h"
#include <inttypes.h>

#define MAX_BYTES ((uint64_t)1 << 31) /* of a kernel's own buffers */

struct sum { /* a decoded lo_lin */
    int64_t c0;
    uint32_t n;
    struct {
        int64_t c;
        const int64_t *v;
    } * part;
};

struct code;
struct step { /* a decoded instruction */
    const struct lo_insn *in;
    lo_id id;
    uint32_t lanes, size; /* of the value or what is stored; size: of one lane */
    char *out;
    const void *arg[3];
    enum nn_dtype from; /* the first operand's */
    bool narrow;        /* arg[2] holds i32 */
    struct sum lin, hi;
    struct code *body, *other;
    struct memory *buf;
};
struct code {
    uint32_t n;
    struct step *step;
};

/* A buffer. Stamps are the serial numbers of chunks, counted from 1 over all phases. */
struct memory {
    const struct lo_buffer *b;
    char *p;
    uint32_t *writer, *reader; /* of each element; of own memory only the writer; NULL: unwatched */
};

struct interp {
    const struct lo_kernel *k;
    struct lo_run *run;
    struct arena *mem;
    char **value; /* of each instruction, in the frame */
    struct memory *memory;
    uint32_t phase, chunk, base; /* serial numbers: this chunk's, and the last before this phase */
    bool stopped;                /* by a trap */
};

/* ---- decoding ---- */

static struct sum decode_lin(struct interp *x, struct lo_lin l)
{
    struct sum s = {l.c0, l.n, NULL};
    if (l.n)
        s.part = arena_alloc(x->mem, l.n * sizeof *s.part);
    for (uint32_t i = 0; i < l.n; i++) {
        s.part[i].c = l.part[i].c;
        s.part[i].v = (const int64_t *)(const void *)x->value[l.part[i].v];
    }
    return s;
}

static struct code *decode_block(struct interp *x, uint32_t block);

static void decode(struct interp *x, lo_id id, struct step *s)
{
    const struct lo_insn *in = &x->k->insns.p[id];
    bool sized = lo_has_value(in->kind) || in->kind == LO_STORE || in->kind == LO_SET;
    *s = (struct step){.in = in, .id = id, .lanes = sized ? in->type.lanes : 0};
    s->size = sized ? (uint32_t)nn_dtype_size(in->type.dtype) : 0;
    if (lo_has_value(in->kind))
        x->value[id] = s->out = arena_alloc(x->mem, (size_t)s->lanes * s->size);
    for (int i = 0; i < 3; i++)
        s->arg[i] = in->in[i] ? x->value[in->in[i]] : NULL;
    s->from = in->in[0] ? x->k->insns.p[in->in[0]].type.dtype : in->type.dtype;
    s->narrow = in->in[2] && x->k->insns.p[in->in[2]].type.dtype == NN_i32;
    if (in->kind == LO_TRAP)
        s->lanes = x->k->insns.p[in->in[0]].type.lanes;
    s->lin = decode_lin(x, in->lin);
    s->hi = decode_lin(x, in->hi);
    s->buf = in->buf ? &x->memory[in->buf] : NULL;
    if (in->kind == LO_FOR || in->kind == LO_IF)
        s->body = decode_block(x, in->body);
    if (in->other)
        s->other = decode_block(x, in->other);
}

static struct code *decode_block(struct interp *x, uint32_t block)
{
    const struct lo_block *b = &x->k->blocks.p[block];
    struct code *c = ARENA_NEW(x->mem, struct code);
    c->n = b->insn.n;
    c->step = ARENA_ARRAY(x->mem, struct step, b->insn.n);
    for (uint32_t i = 0; i < b->insn.n; i++)
        decode(x, b->insn.p[i], &c->step[i]);
    return c;
}

/* ---- faults ---- */

static bool fault(struct interp *x, const struct step *s, const char *fmt, ...) NNC_PRINTF(3, 4);
static bool fault(struct interp *x, const struct step *s, const char *fmt, ...)
{
    char words[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    struct text t = {0};
    text_printf(&t, "kernel %s: phase %u, chunk %u: `", x->k->name, x->phase,
                x->chunk - x->base - 1);
    lo_print_insn(x->k, s->id, false, &t);
    text_printf(&t, "`: %s", words);
    x->run->message = t.p;
    return false;
}

static bool outside(struct interp *x, const struct step *s, int64_t at)
{
    return fault(x, s, "%s[%" PRId64 "] is outside of its %" PRId64 " elements", s->buf->b->name,
                 at, s->buf->b->count);
}

/* ---- memory ---- */

static int64_t eval(const struct sum *l)
{
    uint64_t v = (uint64_t)l->c0;
    for (uint32_t i = 0; i < l->n; i++)
        v += (uint64_t)l->part[i].c * (uint64_t)*l->part[i].v;
    return (int64_t)v;
}

/* Lane i's element, and whether the lane takes part at all. */
static bool lane_place(const struct step *s, int64_t at, const uint8_t *mask, uint32_t i,
                       int64_t *place)
{
    if (mask && !mask[i])
        return false;
    const void *index = s->arg[2];
    uint64_t more = i;
    if (index)
        more = s->narrow ? (uint64_t)((const int32_t *)index)[i]
                         : (uint64_t)((const int64_t *)index)[i];
    *place = (int64_t)((uint64_t)at + more);
    return true;
}

static bool may_read(struct interp *x, const struct step *s, int64_t at)
{
    struct memory *m = s->buf;
    if (at < 0 || at >= m->b->count)
        return outside(x, s, at);
    if (!m->writer)
        return true;
    uint32_t w = m->writer[at];
    if (!m->reader)
        return w == x->chunk ||
               fault(x, s, "%s[%" PRId64 "] is read before it is written", m->b->name, at);
    if (w > x->base && w != x->chunk)
        return fault(x, s, "%s[%" PRId64 "] is written by chunk %u of the same phase", m->b->name,
                     at, w - x->base - 1);
    if (m->reader[at] <= x->base) /* the phase's first reader stays */
        m->reader[at] = x->chunk;
    return true;
}

static bool may_write(struct interp *x, const struct step *s, int64_t at)
{
    struct memory *m = s->buf;
    if (at < 0 || at >= m->b->count)
        return outside(x, s, at);
    uint32_t w = m->writer[at], r = m->reader ? m->reader[at] : 0;
    m->writer[at] = x->chunk;
    if (!m->reader)
        return true;
    if (w > x->base && w != x->chunk)
        return fault(x, s, "%s[%" PRId64 "] is also written by chunk %u", m->b->name, at,
                     w - x->base - 1);
    if (r > x->base && r != x->chunk)
        return fault(x, s, "%s[%" PRId64 "] is read by chunk %u of the same phase", m->b->name, at,
                     r - x->base - 1);
    return true;
}

static bool load(struct interp *x, const struct step *s)
{
    int64_t at = eval(&s->lin), place;
    const uint8_t *mask = s->arg[0];
    if (!mask && !s->arg[2] && !s->buf->writer) {
        if (at < 0 || at > s->buf->b->count - s->lanes)
            return outside(x, s, at < 0 ? at : at + s->lanes - 1);
        memcpy(s->out, s->buf->p + (size_t)at * s->size, (size_t)s->lanes * s->size);
        return true;
    }
    for (uint32_t i = 0; i < s->lanes; i++) {
        char *out = s->out + i * s->size;
        if (!lane_place(s, at, mask, i, &place)) {
            memset(out, 0, s->size);
            if (s->arg[1])
                memcpy(out, (const char *)s->arg[1] + i * s->size, s->size);
            continue;
        }
        if (!may_read(x, s, place))
            return false;
        memcpy(out, s->buf->p + (size_t)place * s->size, s->size);
    }
    return true;
}

static bool store(struct interp *x, const struct step *s)
{
    int64_t at = eval(&s->lin), place, seen[LO_MAX_LANES];
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->lanes; i++) {
        if (!lane_place(s, at, s->arg[1], i, &place))
            continue;
        if (!may_write(x, s, place))
            return false;
        for (uint32_t j = 0; s->arg[2] && j < n; j++)
            if (seen[j] == place)
                return fault(x, s, "two lanes write %s[%" PRId64 "]", s->buf->b->name, place);
        seen[n++] = place;
        memcpy(s->buf->p + (size_t)place * s->size, (const char *)s->arg[0] + i * s->size, s->size);
    }
    return true;
}

static bool reg(struct interp *x, const struct step *s)
{
    int64_t at = eval(&s->lin);
    struct memory *m = s->buf;
    size_t size = (size_t)s->lanes * s->size;
    if (at < 0 || at >= m->b->count)
        return outside(x, s, at);
    if (s->in->kind == LO_SET) {
        memcpy(m->p + (size_t)at * size, s->arg[0], size);
        m->writer[at] = x->chunk;
        return true;
    }
    if (m->writer[at] != x->chunk)
        return fault(x, s, "%s[%" PRId64 "] is read before it is set", m->b->name, at);
    memcpy(s->out, m->p + (size_t)at * size, size);
    return true;
}

/* ---- values ---- */

static void fill(const struct step *s, const void *one)
{
    for (uint32_t i = 0; i < s->lanes; i++)
        memcpy(s->out + i * s->size, one, s->size);
}

static void constant(const struct step *s)
{
    enum nn_dtype t = s->in->type.dtype;
    union lo_num v = nn_is_float(t) ? lo_num_from_f(t, s->in->f) : lo_num_from_i(t, s->in->i);
    fill(s, &v);
}

static void lanes(const struct step *s)
{
    int64_t from = eval(&s->lin);
    for (uint32_t i = 0; i < s->lanes; i++) {
        union lo_num v = lo_num_from_i(s->in->type.dtype, (int64_t)((uint64_t)from + i));
        memcpy(s->out + i * s->size, &v, s->size);
    }
}

/* Halves are folded pairwise until one lane is left. */
static void across(struct interp *x, const struct step *s)
{
    enum ir_op op = lo_monoid_op(s->in->op);
    uint32_t n = x->k->insns.p[s->in->in[0]].type.lanes;
    union {
        char byte[LO_MAX_LANES * 8];
        double aligned;
    } v;
    memcpy(v.byte, s->arg[0], (size_t)n * s->size);
    while ((n /= 2))
        lo_lanes_op(op, s->from, s->from, n,
                    (const void *const[3]){v.byte, v.byte + n * s->size, NULL}, v.byte);
    memcpy(s->out, v.byte, s->size);
}

static void random_lanes(const struct step *s)
{
    const int64_t *seed = s->arg[0], *step = s->arg[1], *index = s->arg[2];
    for (uint32_t i = 0; i < s->lanes; i++)
        ((float *)(void *)s->out)[i] =
            ir_random_uniform(*seed, *step, (uint64_t)s->in->i, s->in->op, (uint64_t)index[i]);
}

static void trade(const struct step *s)
{
    const char *x = s->arg[0], *y = s->arg[1];
    uint32_t block = (uint32_t)s->in->i;
    for (uint32_t j = 0; j < s->lanes; j++) {
        const char *from = s->in->op ? (j & block ? y + j * s->size : x + (j + block) * s->size)
                                     : (j & block ? y + (j - block) * s->size : x + j * s->size);
        memcpy(s->out + j * s->size, from, s->size);
    }
}

static void trap(struct interp *x, const struct step *s)
{
    const uint8_t *cond = s->arg[0];
    for (uint32_t i = 0; i < s->lanes && !x->stopped; i++)
        if (cond[i]) {
            x->stopped = true;
            x->run->fault_code = (int32_t)s->in->i;
            x->run->fault_value = ((const int64_t *)s->arg[1])[i];
        }
}

/* ---- control ---- */

static bool run_code(struct interp *x, const struct code *c);

static bool loop(struct interp *x, const struct step *s)
{
    int64_t to = eval(&s->hi), *v = (int64_t *)(void *)s->out;
    for (int64_t i = eval(&s->lin); i < to && !x->stopped; i += s->in->step) {
        *v = i;
        if (!run_code(x, s->body))
            return false;
        if (i > INT64_MAX - s->in->step)
            break;
    }
    return true;
}

static bool run_step(struct interp *x, const struct step *s)
{
    const struct lo_insn *in = s->in;
    switch ((enum lo_kind)in->kind) {
    case LO_CONST: constant(s); return true;
    case LO_OP:
        if (lo_lanes_op(in->op, s->from, in->type.dtype, s->lanes, s->arg, s->out))
            return true;
        return fault(x, s, "no such operator on %s", nn_dtype_name(s->from));
    case LO_FMA: lo_lanes_fma(in->type.dtype, s->lanes, s->arg, s->out); return true;
    case LO_BIT:
        lo_lanes_bit(in->op, s->from, in->type.dtype, s->lanes, s->arg, s->out);
        return true;
    case LO_SPLAT: fill(s, s->arg[0]); return true;
    case LO_LANES: lanes(s); return true;
    case LO_LIN: *(int64_t *)(void *)s->out = eval(&s->lin); return true;
    case LO_LOAD: return load(x, s);
    case LO_STORE: return store(x, s);
    case LO_GET:
    case LO_SET: return reg(x, s);
    case LO_FOR: return loop(x, s);
    case LO_IF:
        if (*(const uint8_t *)s->arg[0])
            return run_code(x, s->body);
        return !s->other || run_code(x, s->other);
    case LO_ACROSS: across(x, s); return true;
    case LO_RANDOM: random_lanes(s); return true;
    case LO_TRAP: trap(x, s); return true;
    case LO_TRADE: trade(s); return true;
    case LO_EXTRACT:
        memcpy(s->out, (const char *)s->arg[0] + (size_t)in->i * s->size, s->size);
        return true;
    case LO_BARRIER:
    case LO_SHUFFLE:
    case LO_MMA:
    case LO_LDMATRIX:
    case LO_COPY:
    case LO_COMMIT:
    case LO_WAIT:
    case LO_PACK:
    case LO_UNPACK:
    case LO_APPROX: return fault(x, s, "in a phase without threads");
    case LO_KIND_COUNT: break;
    }
    return fault(x, s, "no kind of instruction");
}

static bool run_code(struct interp *x, const struct code *c)
{
    for (uint32_t i = 0; i < c->n && !x->stopped; i++)
        if (!run_step(x, &c->step[i]))
            return false;
    return true;
}

/* ---- a run ---- */

static bool open_memory(struct interp *x)
{
    uint64_t own = 0;
    for (uint32_t i = 1; i < x->k->buffers.n; i++) {
        struct memory *m = &x->memory[i];
        m->b = &x->k->buffers.p[i];
        size_t n = (size_t)m->b->count;
        own += m->b->space == LO_ARG ? 0 : n * nn_dtype_size(m->b->type.dtype) * m->b->type.lanes;
        if (own > MAX_BYTES) {
            struct text t = {0};
            text_printf(&t, "kernel %s: its own buffers are too large", x->k->name);
            x->run->message = t.p;
            return false;
        }
        if (m->b->space == LO_ARG && m->b->written)
            m->reader = xcalloc(n, sizeof *m->reader);
        if (m->b->space != LO_ARG || m->b->written)
            m->writer = xcalloc(n, sizeof *m->writer);
        m->p = m->b->space == LO_ARG
                   ? x->run->buf[i - 1]
                   : xcalloc(n, nn_dtype_size(m->b->type.dtype) * m->b->type.lanes);
    }
    return true;
}

static void close_memory(struct interp *x)
{
    for (uint32_t i = 1; i < x->k->buffers.n; i++) {
        if (x->memory[i].b && x->memory[i].b->space != LO_ARG)
            free(x->memory[i].p);
        free(x->memory[i].writer);
        free(x->memory[i].reader);
    }
}

static bool run_phase(struct interp *x, uint32_t phase)
{
    const struct lo_phase *p = &x->k->phases.p[phase];
    int64_t *chunk = arena_alloc(x->mem, sizeof *chunk);
    x->value[p->chunk] = (char *)chunk;
    const struct code *c = decode_block(x, p->body);
    x->phase = phase;
    for (int64_t i = 0; i < p->chunks && !x->stopped; i++) {
        *chunk = x->run->descending ? p->chunks - 1 - i : i;
        x->chunk = x->base + 1 + (uint32_t)*chunk;
        if (!run_code(x, c))
            return false;
    }
    x->base += (uint32_t)p->chunks;
    return true;
}

bool lo_interpret(const struct lo_kernel *k, struct lo_run *run)
{
    struct interp x = {.k = k, .run = run, .mem = arena_new()};
    x.value = ARENA_ARRAY(x.mem, char *, k->insns.n);
    x.memory = ARENA_ARRAY(x.mem, struct memory, k->buffers.n);
    run->fault_code = 0;
    run->message = NULL;
    bool ok = open_memory(&x);
    uint64_t mode = nn_denormals_flush();
    for (uint32_t i = 0; ok && i < k->phases.n && !x.stopped; i++)
        ok = run_phase(&x, i);
    nn_denormals_restore(mode);
    close_memory(&x);
    arena_free(x.mem);
    return ok;
}
