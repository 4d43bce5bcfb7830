/* The interpreter of a GPU's phases. A block's threads run in lockstep: each instruction is done
 * for all of them at once, an if or a loop narrows the set of threads that take part. What a value
 * holds for threads that do not is never looked at, so element-wise operators run over all.
 *
 * An epoch lasts from one barrier to the next. Two threads that touch an element of shared or
 * global memory in one epoch, one of them writing, race: the order would be the hardware's. An
 * asynchronous copy writes when its thread waits for it; between, its destination must not be
 * touched. */
#include "loop/interp.h"
#include <inttypes.h>

#define WARP 32
#define STAMP(epoch, thread) ((epoch) << 12 | (uint64_t)((thread) + 1))
#define MANY 4000 /* more threads than one read it */
#define WARP_READS 4001

struct mask {
    uint32_t n; /* of them are on */
    bool on[LO_MAX_THREADS];
};

static int64_t eval(const struct sum *l, uint32_t t)
{
    uint64_t v = (uint64_t)l->c0;
    for (uint32_t i = 0; i < l->n; i++)
        v += (uint64_t)l->part[i].c * (uint64_t)l->part[i].v[t];
    return (int64_t)v;
}

static char *out_of(const struct step *s, uint32_t t)
{
    return s->out + (size_t)t * s->lanes * s->size;
}

/* ---- memory ---- */

static uint32_t toucher(uint64_t stamp) { return (uint32_t)(stamp & 4095) - 1; }

static bool race(struct interp *x, const struct step *s, const struct memory *m, int64_t at,
                 uint64_t stamp, const char *did)
{
    uint32_t other = toucher(stamp);
    if (other >= MANY)
        return interp_fault(x, s, "%s[%" PRId64 "] is %s by several threads since the last barrier",
                            m->b->name, at, did);
    return interp_fault(x, s, "%s[%" PRId64 "] is %s by thread %u since the last barrier",
                        m->b->name, at, did, other);
}

/* `who`: the thread, or WARP_READS. */
static bool may_read(struct interp *x, const struct step *s, struct memory *m, int64_t at,
                     uint32_t who)
{
    if (!interp_may_read(x, s, m, at))
        return false;
    if (!m->wrote)
        return true;
    uint64_t now = STAMP(x->epoch, who), *r = &m->read[at];
    if (m->under_way[at])
        return interp_fault(x, s, "%s[%" PRId64 "] is read while a copy to it is under way",
                            m->b->name, at);
    if (m->wrote[at] >> 12 == x->epoch && m->wrote[at] != now)
        return race(x, s, m, at, m->wrote[at], "written");
    *r = *r >> 12 == x->epoch && *r != now ? STAMP(x->epoch, MANY) : now;
    return true;
}

static bool may_write(struct interp *x, const struct step *s, struct memory *m, int64_t at,
                      uint32_t who)
{
    if (!interp_may_write(x, s, m, at))
        return false;
    uint64_t now = STAMP(x->epoch, who);
    if (!m->wrote)
        return true;
    if (m->under_way[at])
        return interp_fault(x, s, "%s[%" PRId64 "] is written while a copy to it is under way",
                            m->b->name, at);
    if (m->wrote[at] >> 12 == x->epoch && m->wrote[at] != now)
        return race(x, s, m, at, m->wrote[at], "also written");
    if (m->read[at] >> 12 == x->epoch && m->read[at] != now)
        return race(x, s, m, at, m->read[at], "read");
    m->wrote[at] = now;
    return true;
}

/* Element `at` of the thread's own array, or of what all share. A thread's own array ends before
 * the next thread's: interp_may_* check `at` only against the whole. */
static bool place(struct interp *x, const struct step *s, uint32_t t, int64_t *at)
{
    const struct lo_buffer *b = s->buf->b;
    if (b->space != LO_LOCAL)
        return true;
    if (*at < 0 || *at >= b->count)
        return interp_outside(x, s, s->buf, *at);
    *at += (int64_t)t * b->count;
    return true;
}

static bool own_element(struct interp *x, const struct step *s, bool write, int64_t at, uint32_t t)
{
    struct memory *m = s->buf;
    if (write)
        m->writer[at] = x->chunk;
    return m->writer[at] == x->chunk ||
           interp_fault(x, s, "%s[%" PRId64 "] is read before it is written", m->b->name,
                        at - (int64_t)t * m->b->count);
}

static bool touch(struct interp *x, const struct step *s, bool write, int64_t at, uint32_t t)
{
    if (s->buf->b->space == LO_LOCAL)
        return own_element(x, s, write, at, t);
    return write ? may_write(x, s, s->buf, at, t) : may_read(x, s, s->buf, at, t);
}

static int64_t index_of(const struct step *s, uint32_t t, uint32_t lane)
{
    size_t i = (size_t)t * s->lanes + lane;
    if (!s->arg[2])
        return lane;
    return s->narrow ? ((const int32_t *)s->arg[2])[i] : ((const int64_t *)s->arg[2])[i];
}

static bool load(struct interp *x, const struct step *s, uint32_t t)
{
    int64_t from = eval(&s->lin, t);
    const bool *mask = s->arg[0];
    size_t first = (size_t)t * s->lanes;
    for (uint32_t i = 0; i < s->lanes; i++) {
        char *out = out_of(s, t) + (size_t)i * s->size;
        int64_t at = (int64_t)((uint64_t)from + (uint64_t)index_of(s, t, i));
        if (mask && !mask[first + i]) {
            memset(out, 0, s->size);
            if (s->arg[1])
                memcpy(out, (const char *)s->arg[1] + (first + i) * s->size, s->size);
            continue;
        }
        if (!place(x, s, t, &at) || !touch(x, s, false, at, t))
            return false;
        memcpy(out, s->buf->p + (size_t)at * s->size, s->size);
    }
    return true;
}

static bool store(struct interp *x, const struct step *s, uint32_t t)
{
    int64_t from = eval(&s->lin, t);
    const bool *mask = s->arg[1];
    size_t first = (size_t)t * s->lanes;
    for (uint32_t i = 0; i < s->lanes; i++) {
        int64_t at = (int64_t)((uint64_t)from + (uint64_t)index_of(s, t, i));
        if (mask && !mask[first + i])
            continue;
        if (!place(x, s, t, &at) || !touch(x, s, true, at, t))
            return false;
        memcpy(s->buf->p + (size_t)at * s->size, (const char *)s->arg[0] + (first + i) * s->size,
               s->size);
    }
    return true;
}

static bool reg(struct interp *x, const struct step *s, uint32_t t)
{
    int64_t at = eval(&s->lin, t);
    struct memory *m = s->buf;
    size_t size = (size_t)s->lanes * s->size;
    if (at < 0 || at >= m->b->count)
        return interp_outside(x, s, m, at);
    size_t own = (size_t)t * (size_t)m->b->count + (size_t)at;
    if (s->in->kind == LO_SET) {
        memcpy(m->p + own * size, (const char *)s->arg[0] + t * size, size);
        m->writer[own] = x->chunk;
        return true;
    }
    if (m->writer[own] != x->chunk)
        return interp_fault(x, s, "%s[%" PRId64 "] is read before it is set", m->b->name, at);
    memcpy(out_of(s, t), m->p + own * size, size);
    return true;
}

/* ---- asynchronous copies ---- */

static bool copy(struct interp *x, const struct step *s, uint32_t t)
{
    struct memory *m = s->buf, *from = s->source;
    size_t size = nn_dtype_size(m->b->type.dtype);
    struct copy c = {.to = m, .at = eval(&s->lin, t), .thread = t, .group = x->committed[t]};
    int64_t at = eval(&s->hi, t);
    const bool *mask = s->arg[0];
    bool reads = !mask || mask[t];
    c.n = (uint32_t)((size_t)s->in->i / size);
    if ((uint64_t)c.at * size % (uint64_t)s->in->i ||
        (reads && (uint64_t)at * size % (uint64_t)s->in->i))
        return interp_fault(x, s, "a copy of %" PRId64 " bytes that is not aligned", s->in->i);
    for (uint32_t i = 0; i < c.n; i++) {
        if (reads && !may_read(x, s, from, at + i, t))
            return false;
        if (!may_write(x, s, m, c.at + i, t))
            return false;
        m->under_way[c.at + i] = 1;
    }
    if (reads)
        memcpy(c.bytes, from->p + (size_t)at * size, (size_t)s->in->i);
    vec_push(&x->copies, c);
    return true;
}

/* The data of groups before the last `s->in->i` of each thread lands. */
static bool await(struct interp *x, const struct step *s, const struct mask *m)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < x->copies.n; i++) {
        struct copy *c = &x->copies.p[i];
        size_t size = nn_dtype_size(c->to->b->type.dtype);
        if (!m->on[c->thread] || c->group + (uint64_t)s->in->i >= x->committed[c->thread]) {
            x->copies.p[left++] = *c;
            continue;
        }
        x->thread = (int32_t)c->thread;
        for (uint32_t e = 0; e < c->n; e++) {
            c->to->under_way[c->at + e] = 0;
            if (!may_write(x, s, c->to, c->at + e, c->thread))
                return false;
        }
        memcpy(c->to->p + (size_t)c->at * size, c->bytes, c->n * size);
    }
    x->copies.n = left;
    return true;
}

/* ---- what warps do together ---- */

static bool whole_warps(struct interp *x, const struct step *s, const struct mask *m)
{
    for (uint32_t w = 0; w < x->threads; w += WARP) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < WARP; i++)
            n += m->on[w + i];
        for (uint32_t i = 0; n && n < WARP && i < WARP; i++)
            if (!m->on[w + i]) {
                x->thread = (int32_t)(w + i);
                return interp_fault(x, s, "the thread is not there with its warp");
            }
    }
    return true;
}

static void shuffle(const struct step *s, uint32_t t)
{
    uint32_t lane = (uint32_t)s->in->i ^ (t % WARP);
    if (s->in->op == LO_SHFL_IDX)
        lane = (uint32_t)((const int32_t *)s->arg[1])[t] % WARP;
    uint32_t from = t / WARP * WARP + lane;
    memcpy(out_of(s, t), (const char *)s->arg[0] + (size_t)from * s->size, s->size);
}

/* A fragment's numbers as f32: register r of lane l of the warp, its half. */
static float fragment(const struct step *s, int operand, uint32_t regs, uint32_t lane, uint32_t r,
                      uint32_t half)
{
    uint32_t bits = ((const uint32_t *)s->arg[operand])[(size_t)lane * regs + r];
    float v;
    if (s->in->op == LO_MMA_M16N8K8_TF32) {
        bits &= ~(uint32_t)0x1fff;
        memcpy(&v, &bits, sizeof v);
        return v;
    }
    uint16_t h = (uint16_t)(half ? bits >> 16 : bits);
    return s->in->op == LO_MMA_M16N8K16_BF16 ? lo_bf16_to_f32(h) : lo_f16_to_f32(h);
}

/* A warp's product; the layouts are the PTX manual's. Lane = 4 * group + pair: A has rows group and
 * group + 8, B column group; of 16-bit types a register holds two k side by side, k = 2 * pair, of
 * tf32 one, k = pair; the next registers are half of k's extent on. */
static void mma(const struct step *s, uint32_t warp)
{
    bool tf32 = s->in->op == LO_MMA_M16N8K8_TF32, small = s->in->op == LO_MMA_M16N8K8_F16;
    uint32_t depth = tf32 || small ? 8 : 16, per = tf32 ? 1 : 2, wide = small ? 8 : depth / 2;
    uint32_t regs_a = small ? 2 : 4, regs_b = small ? 1 : 2;
    float a[16][16], b[16][8];
    for (uint32_t l = 0; l < WARP; l++)
        for (uint32_t r = 0; r < regs_a; r++)
            for (uint32_t h = 0; h < per; h++)
                a[l / 4 + r % 2 * 8][r / 2 * wide + l % 4 * per + h] =
                    fragment(s, 0, regs_a, warp + l, r, h);
    for (uint32_t l = 0; l < WARP; l++)
        for (uint32_t r = 0; r < regs_b; r++)
            for (uint32_t h = 0; h < per; h++)
                b[r * wide + l % 4 * per + h][l / 4] = fragment(s, 1, regs_b, warp + l, r, h);
    for (uint32_t l = 0; l < WARP; l++) {
        const float *c = (const float *)s->arg[2] + (size_t)(warp + l) * 4;
        for (uint32_t i = 0; i < 4; i++) {
            float sum = c[i];
            for (uint32_t k = 0; k < depth; k++)
                sum = fmaf(a[l / 4 + i / 2 * 8][k], b[k][l % 4 * 2 + i % 2], sum);
            memcpy(out_of(s, warp + l) + i * 4, &sum, 4);
        }
    }
}

static bool ldmatrix(struct interp *x, const struct step *s, uint32_t warp)
{
    size_t size = nn_dtype_size(s->buf->b->type.dtype);
    char row[4][8][16];
    for (uint32_t l = 0; l < s->lanes * 8; l++) {
        int64_t at = eval(&s->lin, warp + l);
        x->thread = (int32_t)(warp + l);
        if ((uint64_t)at * size % 16)
            return interp_fault(x, s, "a row that is not aligned to 16 bytes");
        for (uint32_t i = 0; i < 16 / size; i++)
            if (!may_read(x, s, s->buf, at + i, WARP_READS))
                return false;
        memcpy(row[l / 8][l % 8], s->buf->p + (size_t)at * size, 16);
    }
    for (uint32_t l = 0; l < WARP; l++)
        for (uint32_t j = 0; j < s->lanes; j++) {
            char *out = out_of(s, warp + l) + j * 4;
            if (!s->in->op)
                memcpy(out, row[j][l / 4] + l % 4 * 4, 4);
            for (uint32_t h = 0; s->in->op && h < 2; h++)
                memcpy(out + h * 2, row[j][l % 4 * 2 + h] + l / 4 * 2, 2);
        }
    return true;
}

static bool barrier(struct interp *x, const struct step *s, const struct mask *m)
{
    for (uint32_t t = 0; t < x->threads; t++)
        if (!m->on[t]) {
            x->thread = (int32_t)t;
            return interp_fault(x, s, "the thread is not there");
        }
    x->epoch++;
    return true;
}

/* ---- values ---- */

static float approximate(enum lo_approx op, float v)
{
    switch (op) {
    case LO_EX2: return exp2f(v);
    case LO_LG2: return log2f(v);
    case LO_RSQRT: return 1 / sqrtf(v);
    case LO_RCP: return 1 / v;
    case LO_TANH: return tanhf(v);
    case LO_SIN: return sinf(v);
    case LO_COS: return cosf(v);
    case LO_APPROX_COUNT: break;
    }
    BUG("interpreter: approximation %d", op);
}

static void constant(const struct step *s, uint32_t n)
{
    enum nn_dtype t = s->in->type.dtype;
    union lo_num v = nn_is_float(t) ? lo_num_from_f(t, s->in->f) : lo_num_from_i(t, s->in->i);
    for (uint32_t i = 0; i < n; i++)
        memcpy(s->out + (size_t)i * s->size, &v, s->size);
}

static void convert(const struct step *s, uint32_t n)
{
    const float *x = s->arg[0], *y = s->arg[1];
    bool f16 = s->in->op == NN_f16;
    for (uint32_t i = 0; i < n && s->in->kind == LO_PACK; i++) {
        uint32_t lo = f16 ? lo_f32_to_f16(x[i]) : lo_f32_to_bf16(x[i]);
        uint32_t hi = f16 ? lo_f32_to_f16(y[i]) : lo_f32_to_bf16(y[i]);
        ((uint32_t *)(void *)s->out)[i] = lo | hi << 16;
    }
    for (uint32_t i = 0; i < n && s->in->kind == LO_UNPACK; i++) {
        uint16_t h = (uint16_t)(((const uint32_t *)s->arg[0])[i] >> (s->in->i ? 16 : 0));
        ((float *)(void *)s->out)[i] = f16 ? lo_f16_to_f32(h) : lo_bf16_to_f32(h);
    }
    for (uint32_t i = 0; i < n && s->in->kind == LO_APPROX; i++)
        ((float *)(void *)s->out)[i] = approximate(s->in->op, x[i]);
}

/* Values that follow from a thread's own, lane by lane. */
static void per_thread(struct interp *x, const struct step *s, uint32_t t)
{
    const struct lo_insn *in = s->in;
    size_t first = (size_t)t * s->lanes;
    char *out = out_of(s, t);
    uint32_t lanes = in->in[0] ? x->k->insns.p[in->in[0]].type.lanes : 1;
    const char *arg = (const char *)s->arg[0] + (size_t)t * lanes * s->size;
    if (in->kind == LO_EXTRACT) {
        memcpy(out, arg + (size_t)in->i * s->size, s->size);
    } else if (in->kind == LO_ACROSS) {
        interp_across(in->op, s->from, lanes, arg, out);
    } else if (in->kind == LO_LIN) {
        *(int64_t *)(void *)out = eval(&s->lin, t);
    } else if (in->kind == LO_LANES) {
        for (uint32_t i = 0; i < s->lanes; i++) {
            union lo_num v =
                lo_num_from_i(in->type.dtype, (int64_t)((uint64_t)eval(&s->lin, t) + i));
            memcpy(out + (size_t)i * s->size, &v, s->size);
        }
    } else if (in->kind == LO_SPLAT) {
        for (uint32_t i = 0; i < s->lanes; i++)
            memcpy(out + (size_t)i * s->size, arg, s->size);
    } else if (in->kind == LO_RANDOM) {
        for (uint32_t i = 0; i < s->lanes; i++)
            ((float *)(void *)out)[i] = ir_random_uniform(
                ((const int64_t *)s->arg[0])[t], ((const int64_t *)s->arg[1])[t], (uint64_t)in->i,
                in->op, (uint64_t)((const int64_t *)s->arg[2])[first + i]);
    } else if (in->kind == LO_TRADE) {
        const char *y = (const char *)s->arg[1] + first * s->size;
        for (uint32_t j = 0, block = (uint32_t)in->i; j < s->lanes; j++) {
            bool odd = j & block;
            const char *from = in->op ? (odd ? y + j * s->size : arg + (j + block) * s->size)
                                      : (odd ? y + (j - block) * s->size : arg + j * s->size);
            memcpy(out + (size_t)j * s->size, from, s->size);
        }
    }
}

static void trap(struct interp *x, const struct step *s, uint32_t t)
{
    const bool *cond = (const bool *)s->arg[0] + (size_t)t * s->lanes;
    for (uint32_t i = 0; i < s->lanes && !x->stopped; i++)
        if (cond[i]) {
            x->stopped = true;
            x->run->fault_code = (int32_t)s->in->i;
            x->run->fault_value = ((const int64_t *)s->arg[1])[(size_t)t * s->lanes + i];
        }
}

/* ---- control ---- */

static bool run_code(struct interp *x, const struct code *c, const struct mask *m);

/* Threads leave the loop one by one; it ends with the last. */
static bool loop(struct interp *x, const struct step *s, const struct mask *outer)
{
    struct mask m = {0};
    int64_t *v = (int64_t *)(void *)s->out, *to = xmalloc(x->threads * sizeof *to);
    bool ok = true;
    for (uint32_t t = 0; t < x->threads; t++) {
        v[t] = eval(&s->lin, t);
        to[t] = eval(&s->hi, t);
        m.on[t] = outer->on[t] && v[t] < to[t];
        m.n += m.on[t];
    }
    while (m.n && ok && !x->stopped) {
        ok = run_code(x, s->body, &m);
        m.n = 0;
        for (uint32_t t = 0; t < x->threads; t++) {
            m.on[t] = m.on[t] && v[t] <= INT64_MAX - s->in->step && v[t] + s->in->step < to[t];
            v[t] += m.on[t] ? s->in->step : 0;
            m.n += m.on[t];
        }
    }
    free(to);
    return ok;
}

static bool branch(struct interp *x, const struct step *s, const struct mask *outer)
{
    const bool *cond = s->arg[0];
    for (int taken = 1; taken >= 0; taken--) {
        const struct code *c = taken ? s->body : s->other;
        struct mask m = {0};
        for (uint32_t t = 0; t < x->threads; t++) {
            m.on[t] = outer->on[t] && cond[t] == taken;
            m.n += m.on[t];
        }
        if (c && m.n && !x->stopped && !run_code(x, c, &m))
            return false;
    }
    return true;
}

/* Instructions that each thread does on its own, and can fail at. */
static bool each_thread(struct interp *x, const struct step *s, const struct mask *m)
{
    bool ok = true;
    for (uint32_t t = 0; t < x->threads && ok && !x->stopped; t++) {
        if (!m->on[t])
            continue;
        x->thread = (int32_t)t;
        switch ((enum lo_kind)s->in->kind) {
        case LO_LOAD: ok = load(x, s, t); break;
        case LO_STORE: ok = store(x, s, t); break;
        case LO_GET:
        case LO_SET: ok = reg(x, s, t); break;
        case LO_COPY: ok = copy(x, s, t); break;
        case LO_COMMIT: x->committed[t]++; break;
        case LO_SHUFFLE: shuffle(s, t); break;
        case LO_TRAP: trap(x, s, t); break;
        case LO_LDMATRIX: ok = t % WARP || ldmatrix(x, s, t); break;
        case LO_MMA:
            if (t % WARP == 0)
                mma(s, t);
            break;
        case LO_LIN:
        case LO_LANES:
        case LO_SPLAT:
        case LO_EXTRACT:
        case LO_ACROSS:
        case LO_RANDOM:
        case LO_TRADE: per_thread(x, s, t); break;
        case LO_CONST:
        case LO_OP:
        case LO_FMA:
        case LO_BIT:
        case LO_FOR:
        case LO_IF:
        case LO_BARRIER:
        case LO_WAIT:
        case LO_PACK:
        case LO_UNPACK:
        case LO_APPROX:
        case LO_KIND_COUNT: BUG("interpreter: kind %d", s->in->kind);
        }
    }
    x->thread = ok ? -1 : x->thread;
    return ok;
}

static bool run_step(struct interp *x, const struct step *s, const struct mask *m)
{
    const struct lo_insn *in = s->in;
    uint32_t all = s->lanes * x->threads;
    switch ((enum lo_kind)in->kind) {
    case LO_CONST: constant(s, all); return true;
    case LO_OP:
        return lo_lanes_op(in->op, s->from, in->type.dtype, all, s->arg, s->out) ||
               interp_fault(x, s, "no such operator on %s", nn_dtype_name(s->from));
    case LO_FMA: lo_lanes_fma(in->type.dtype, all, s->arg, s->out); return true;
    case LO_BIT: lo_lanes_bit(in->op, s->from, in->type.dtype, all, s->arg, s->out); return true;
    case LO_PACK:
    case LO_UNPACK:
    case LO_APPROX: convert(s, all); return true;
    case LO_FOR: return loop(x, s, m);
    case LO_IF: return branch(x, s, m);
    case LO_BARRIER: return barrier(x, s, m);
    case LO_WAIT: return await(x, s, m);
    case LO_SHUFFLE:
    case LO_MMA:
    case LO_LDMATRIX: return whole_warps(x, s, m) && each_thread(x, s, m);
    case LO_SPLAT:
    case LO_LANES:
    case LO_LIN:
    case LO_LOAD:
    case LO_STORE:
    case LO_GET:
    case LO_SET:
    case LO_ACROSS:
    case LO_RANDOM:
    case LO_TRAP:
    case LO_TRADE:
    case LO_EXTRACT:
    case LO_COPY:
    case LO_COMMIT: return each_thread(x, s, m);
    case LO_KIND_COUNT: break;
    }
    return interp_fault(x, s, "no kind of instruction");
}

static bool run_code(struct interp *x, const struct code *c, const struct mask *m)
{
    for (uint32_t i = 0; i < c->n && !x->stopped; i++)
        if (!run_step(x, &c->step[i], m))
            return false;
    return true;
}

bool interp_block(struct interp *x, const struct code *c)
{
    struct mask m = {.n = x->threads};
    memset(m.on, true, x->threads);
    memset(x->committed, 0, sizeof x->committed);
    for (uint32_t i = 1; i < x->k->buffers.n; i++)
        if (x->memory[i].under_way && x->copies.n)
            memset(x->memory[i].under_way, 0, (size_t)x->memory[i].b->count);
    x->copies.n = 0;
    x->epoch++;
    return run_code(x, c, &m);
}
