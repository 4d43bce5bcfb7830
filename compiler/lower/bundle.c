/* Several kernels into one: their arguments one after another (what they share once), in each phase
 * a range of chunks for each. Their instructions are copied as they are. */
#include "lower/skeleton.h"

struct copy {
    const struct lo_kernel *from;
    struct lo_builder *b;
    uint32_t *buffer; /* of the source kernel's buffers */
    lo_id *value;     /* of its instructions */
};

static struct lo_lin copy_lin(struct copy *c, struct lo_lin l)
{
    struct lo_lin r = lo_lin_c(l.c0);
    for (uint32_t i = 0; i < l.n; i++) {
        struct lo_lin v = lo_lin_v(c->b, c->value[l.part[i].v]);
        r = lo_lin_add(c->b, r, lo_lin_mul(c->b, v, l.part[i].c));
    }
    return r;
}

static void copy_block(struct copy *c, uint32_t block);

static void copy_insn(struct copy *c, lo_id id)
{
    struct lo_insn in = c->from->insns.p[id];
    struct lo_builder *b = c->b;
    in.lin = copy_lin(c, in.lin);
    in.hi = copy_lin(c, in.hi);
    b->origin = in.origin;
    if (in.kind == LO_FOR) {
        c->value[id] = lo_for(b, in.op, in.lin, in.hi, in.step);
        copy_block(c, in.body);
        lo_end(b);
        return;
    }
    for (int i = 0; i < 3; i++)
        in.in[i] = in.in[i] ? c->value[in.in[i]] : 0;
    if (in.kind == LO_IF) {
        lo_if(b, in.in[0]);
        copy_block(c, in.body);
        if (in.other) {
            lo_else(b);
            copy_block(c, in.other);
        }
        lo_end(b);
        return;
    }
    in.buf = in.buf ? c->buffer[in.buf] : 0;
    in.from = in.from ? c->buffer[in.from] : 0;
    vec_push(&b->k->insns, in);
    c->value[id] = b->k->insns.n - 1;
    vec_push(&b->k->blocks.p[b->block].insn, c->value[id]);
}

static void copy_block(struct copy *c, uint32_t block)
{
    for (uint32_t i = 0; i < c->from->blocks.p[block].insn.n; i++)
        copy_insn(c, c->from->blocks.p[block].insn.p[i]);
}

/* ---- buffers ---- */

static uint32_t add_buffer(struct lo_kernel *k, const struct lo_buffer *from)
{
    uint32_t buf = lo_buffer(k, from->space, from->name, from->type, from->count);
    k->buffers.p[buf].written = from->written;
    return buf;
}

/* The argument that already stands for what this one reads, or 0. In place of what a segment reads
 * only a slot's own update may be written: other values go where another segment may still read. */
static void add_argument(const struct ir_graph *g, struct low_launch *to, struct low_arg a,
                         const struct lo_buffer *from, uint32_t *buf)
{
    for (uint32_t i = 0; a.node && !a.write && i < to->args.n; i++)
        if (to->args.p[i].node == a.node) {
            *buf = i + 1;
            to->args.p[i].pointwise = false;
            return;
        }
    a.pointwise = a.pointwise && a.node && ir_at(g, a.node)->op == IR_slot;
    *buf = add_buffer(to->kernel, from);
    vec_push(&to->args, a);
}

/* ---- phases ---- */

/* One kernel's part in a phase: its chunks from `from` on. */
struct part {
    struct copy *c;
    const struct lo_phase *phase;
    int64_t from;
};

/* The bodies of n parts, one of which the chunk is in: found by halves. */
static void copy_parts(struct lo_builder *b, const struct part *p, uint32_t n, lo_id chunk)
{
    struct lo_type i64 = {NN_i64, 1};
    if (n == 1) {
        struct lo_lin own = lo_lin_add(b, lo_lin_v(b, chunk), lo_lin_c(-p->from));
        p->c->value[p->phase->chunk] = lo_value(b, own);
        p->c->value[p->phase->thread] = lo_thread(b);
        copy_block(p->c, p->phase->body);
        return;
    }
    uint32_t half = n / 2;
    lo_if(b, lo_op(b, IR_lt, i64, chunk, lo_const_i(b, i64, p[half].from), 0));
    copy_parts(b, p, half, chunk);
    lo_else(b);
    copy_parts(b, p + half, n - half, chunk);
    lo_end(b);
}

static void copy_phase(struct copy *c, uint32_t n, uint32_t phase)
{
    struct lo_builder *b = c[0].b;
    struct part *p = xcalloc(n, sizeof *p);
    uint32_t parts = 0;
    int64_t total = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (phase >= c[i].from->phases.n)
            continue;
        p[parts++] = (struct part){&c[i], &c[i].from->phases.p[phase], total};
        total += c[i].from->phases.p[phase].chunks;
    }
    copy_parts(b, p, parts, lo_phase_gpu(b, total, p[0].phase->threads));
    lo_end(b);
    free(p);
}

bool low_may_bundle(const struct lo_kernel *k, const struct lo_kernel *first)
{
    if (!k || !first)
        return false;
    for (uint32_t i = 0; i < k->phases.n && i < first->phases.n; i++)
        if (k->phases.p[i].threads != first->phases.p[i].threads)
            return false;
    for (uint32_t i = 1; i < k->buffers.n; i++)
        if (k->buffers.p[i].space == LO_SCRATCH)
            return false;
    return true;
}

struct low_launch low_bundle(const struct ir_graph *g, const struct low_launch *l, uint32_t n)
{
    struct low_launch r = {.origin = l[0].origin};
    struct text name = {0};
    text_printf(&name, "%s_and_%u", l[0].kernel->name, n - 1);
    r.kernel = lo_kernel_new(name.p);
    text_free(&name);
    struct lo_builder b = {.k = r.kernel};
    struct copy *c = xcalloc(n, sizeof *c);
    uint32_t phases = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct lo_kernel *k = l[i].kernel;
        c[i] = (struct copy){k, &b, xcalloc(k->buffers.n, sizeof(uint32_t)),
                             xcalloc(k->insns.n, sizeof(lo_id))};
        phases = k->phases.n > phases ? k->phases.n : phases;
        r.kernel->flops += k->flops;
        r.kernel->bytes += k->bytes;
        for (uint32_t a = 0; a < l[i].args.n; a++)
            add_argument(g, &r, l[i].args.p[a], &k->buffers.p[a + 1], &c[i].buffer[a + 1]);
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = l[i].args.n + 1; k < l[i].kernel->buffers.n; k++)
            c[i].buffer[k] = add_buffer(r.kernel, &l[i].kernel->buffers.p[k]);
    for (uint32_t p = 0; p < phases; p++)
        copy_phase(c, n, p);
    for (uint32_t i = 0; i < n; i++) {
        free(c[i].buffer);
        free(c[i].value);
    }
    free(c);
    return r;
}
