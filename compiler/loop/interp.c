/* The interpreter: the strict executor that the compiled ones are compared with. A kernel is
 * decoded once into operations that point at their operands; then each chunk runs over one frame of
 * values. It reports what a processor would not: accesses out of bounds, registers and local memory
 * read before they are written, and chunks of one phase that touch the same element while one of
 * them writes it. */
#include "loop/interp.h"
#include "cpu/pool.h"
#include <inttypes.h>

#define MAX_BYTES ((uint64_t)1 << 31) /* of a kernel's own buffers */

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
        x->value[id] = s->out = arena_alloc(x->mem, (size_t)s->lanes * s->size * x->threads);
    for (int i = 0; i < 3; i++)
        s->arg[i] = in->in[i] ? x->value[in->in[i]] : NULL;
    s->from = in->in[0] ? x->k->insns.p[in->in[0]].type.dtype : in->type.dtype;
    s->narrow = in->in[2] && x->k->insns.p[in->in[2]].type.dtype == NN_i32;
    if (in->kind == LO_TRAP)
        s->lanes = x->k->insns.p[in->in[0]].type.lanes;
    s->lin = decode_lin(x, in->lin);
    s->hi = decode_lin(x, in->hi);
    s->buf = in->buf ? &x->memory[in->buf] : NULL;
    s->source = in->from ? &x->memory[in->from] : NULL;
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

bool interp_fault(struct interp *x, const struct step *s, const char *fmt, ...)
{
    char words[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    struct text t = {0};
    text_printf(&t, "kernel %s: phase %u, chunk %u", x->k->name, x->phase, x->chunk - x->base - 1);
    if (x->thread >= 0)
        text_printf(&t, ", thread %d", x->thread);
    text_printf(&t, ": `");
    lo_print_insn(x->k, s->id, false, &t);
    text_printf(&t, "`: %s", words);
    x->run->message = t.p;
    return false;
}

bool interp_outside(struct interp *x, const struct step *s, const struct memory *m, int64_t at)
{
    return interp_fault(x, s, "%s[%" PRId64 "] is outside of its %" PRId64 " elements", m->b->name,
                        at, m->b->count);
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

bool interp_may_read(struct interp *x, const struct step *s, struct memory *m, int64_t at)
{
    if (at < 0 || at >= m->b->count)
        return interp_outside(x, s, m, at);
    if (!m->writer)
        return true;
    uint32_t w = m->writer[at];
    if (!m->reader)
        return w == x->chunk ||
               interp_fault(x, s, "%s[%" PRId64 "] is read before it is written", m->b->name, at);
    if (w > x->base && w != x->chunk)
        return interp_fault(x, s, "%s[%" PRId64 "] is written by chunk %u of the same phase",
                            m->b->name, at, w - x->base - 1);
    if (m->reader[at] <= x->base) /* the phase's first reader stays */
        m->reader[at] = x->chunk;
    return true;
}

bool interp_may_write(struct interp *x, const struct step *s, struct memory *m, int64_t at)
{
    if (at < 0 || at >= m->b->count)
        return interp_outside(x, s, m, at);
    uint32_t w = m->writer[at], r = m->reader ? m->reader[at] : 0;
    m->writer[at] = x->chunk;
    if (!m->reader)
        return true;
    if (w > x->base && w != x->chunk)
        return interp_fault(x, s, "%s[%" PRId64 "] is also written by chunk %u", m->b->name, at,
                            w - x->base - 1);
    if (r > x->base && r != x->chunk)
        return interp_fault(x, s, "%s[%" PRId64 "] is read by chunk %u of the same phase",
                            m->b->name, at, r - x->base - 1);
    return true;
}

static bool load(struct interp *x, const struct step *s)
{
    int64_t at = eval(&s->lin), place;
    const uint8_t *mask = s->arg[0];
    if (!mask && !s->arg[2] && !s->buf->writer) {
        if (at < 0 || at > s->buf->b->count - s->lanes)
            return interp_outside(x, s, s->buf, at < 0 ? at : at + s->lanes - 1);
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
        if (!interp_may_read(x, s, s->buf, place))
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
        if (!interp_may_write(x, s, s->buf, place))
            return false;
        for (uint32_t j = 0; s->arg[2] && j < n; j++)
            if (seen[j] == place)
                return interp_fault(x, s, "two lanes write %s[%" PRId64 "]", s->buf->b->name,
                                    place);
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
        return interp_outside(x, s, m, at);
    if (s->in->kind == LO_SET) {
        memcpy(m->p + (size_t)at * size, s->arg[0], size);
        m->writer[at] = x->chunk;
        return true;
    }
    if (m->writer[at] != x->chunk)
        return interp_fault(x, s, "%s[%" PRId64 "] is read before it is set", m->b->name, at);
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
void interp_across(enum ir_monoid m, enum nn_dtype t, uint32_t n, const void *in, void *out)
{
    enum ir_op op = lo_monoid_op(m);
    size_t size = nn_dtype_size(t);
    union {
        char byte[LO_MAX_LANES * 8];
        double aligned;
    } v;
    memcpy(v.byte, in, n * size);
    while ((n /= 2))
        lo_lanes_op(op, t, t, n, (const void *const[3]){v.byte, v.byte + n * size, NULL}, v.byte);
    memcpy(out, v.byte, size);
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
        return interp_fault(x, s, "no such operator on %s", nn_dtype_name(s->from));
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
    case LO_ACROSS:
        interp_across(in->op, s->from, x->k->insns.p[in->in[0]].type.lanes, s->arg[0], s->out);
        return true;
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
    case LO_APPROX: return interp_fault(x, s, "in a phase without threads");
    case LO_KIND_COUNT: break;
    }
    return interp_fault(x, s, "no kind of instruction");
}

static bool run_code(struct interp *x, const struct code *c)
{
    for (uint32_t i = 0; i < c->n && !x->stopped; i++)
        if (!run_step(x, &c->step[i]))
            return false;
    return true;
}

/* ---- a run ---- */

/* A buffer's copies: one, or one for each thread. */
static size_t copies_of(const struct lo_kernel *k, const struct lo_buffer *b)
{
    size_t most = 1;
    for (uint32_t i = 0; i < k->phases.n; i++)
        if (most < (size_t)k->phases.p[i].threads)
            most = (size_t)k->phases.p[i].threads;
    return b->space == LO_REG || b->space == LO_LOCAL ? most : 1;
}

static bool open_memory(struct interp *x)
{
    uint64_t own = 0;
    for (uint32_t i = 1; i < x->k->buffers.n; i++) {
        struct memory *m = &x->memory[i];
        m->b = &x->k->buffers.p[i];
        size_t n = (size_t)m->b->count * copies_of(x->k, m->b);
        bool arg = m->b->space == LO_ARG, watched = !arg || m->b->written;
        own += arg ? 0 : n * nn_dtype_size(m->b->type.dtype) * m->b->type.lanes;
        if (own > MAX_BYTES) {
            struct text t = {0};
            text_printf(&t, "kernel %s: its own buffers are too large", x->k->name);
            x->run->message = t.p;
            return false;
        }
        if (arg && watched)
            m->reader = xcalloc(n, sizeof *m->reader);
        if (watched)
            m->writer = xcalloc(n, sizeof *m->writer);
        if (lo_is_gpu(x->k) && watched && (arg || m->b->space == LO_SHARED)) {
            m->wrote = xcalloc(n, sizeof *m->wrote);
            m->read = xcalloc(n, sizeof *m->read);
            m->under_way = xcalloc(n, 1);
        }
        m->p = arg ? x->run->buf[i - 1]
                   : xcalloc(n, nn_dtype_size(m->b->type.dtype) * m->b->type.lanes);
    }
    return true;
}

static void close_memory(struct interp *x)
{
    for (uint32_t i = 1; i < x->k->buffers.n; i++) {
        struct memory *m = &x->memory[i];
        if (m->b && m->b->space != LO_ARG)
            free(m->p);
        free(m->writer);
        free(m->reader);
        free(m->wrote);
        free(m->read);
        free(m->under_way);
    }
}

/* Room for the value of a phase's chunk or thread number. */
static int64_t *number(struct interp *x, lo_id id)
{
    int64_t *v = ARENA_ARRAY(x->mem, int64_t, x->threads);
    x->value[id] = (char *)v;
    return v;
}

static bool run_phase(struct interp *x, uint32_t phase)
{
    const struct lo_phase *p = &x->k->phases.p[phase];
    x->threads = p->threads ? (uint32_t)p->threads : 1;
    int64_t *chunk = number(x, p->chunk), *thread = p->threads ? number(x, p->thread) : NULL;
    for (uint32_t t = 0; thread && t < x->threads; t++)
        thread[t] = t;
    const struct code *c = decode_block(x, p->body);
    x->phase = phase;
    for (int64_t i = 0; i < p->chunks && !x->stopped; i++) {
        int64_t at = x->run->descending ? p->chunks - 1 - i : i;
        for (uint32_t t = 0; t < x->threads; t++)
            chunk[t] = at;
        x->chunk = x->base + 1 + (uint32_t)at;
        if (!(p->threads ? interp_block(x, c) : run_code(x, c)))
            return false;
    }
    x->base += (uint32_t)p->chunks;
    return true;
}

bool lo_interpret(const struct lo_kernel *k, struct lo_run *run)
{
    struct interp x = {.k = k, .run = run, .mem = arena_new(), .thread = -1};
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
    vec_free(&x.copies);
    arena_free(x.mem);
    return ok;
}
