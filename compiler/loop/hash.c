/* A kernel's canonical bytes: what its machine code depends on, in the order of its text, with
 * values numbered as met. Names, origins and the figures for reports are left out. */
#include "loop/private.h"

struct canon {
    const struct lo_kernel *k;
    uint32_t *number; /* of each value met */
    uint32_t next;
    struct text out;
};

static void put(struct canon *c, int64_t v) { text_write(&c->out, (const char *)&v, sizeof v); }

static void put_type(struct canon *c, struct lo_type t) { put(c, t.dtype * 256 + t.lanes); }

/* The parts in the order of their numbers: ids may be in another. */
static void put_lin(struct canon *c, struct lo_lin l)
{
    put(c, l.c0);
    put(c, l.n);
    uint32_t last = 0;
    for (uint32_t i = 0; i < l.n; i++) {
        uint32_t best = 0;
        for (uint32_t j = 0; j < l.n; j++) {
            uint32_t v = c->number[l.part[j].v];
            if (v > last && (!best || v < c->number[l.part[best - 1].v]))
                best = j + 1;
        }
        CHECK(best, "kernel %s: a value is used before it is defined", c->k->name);
        last = c->number[l.part[best - 1].v];
        put(c, last);
        put(c, l.part[best - 1].c);
    }
}

static void put_block(struct canon *c, uint32_t block)
{
    const struct lo_block *b = &c->k->blocks.p[block];
    put(c, b->insn.n);
    for (uint32_t i = 0; i < b->insn.n; i++) {
        const struct lo_insn *in = &c->k->insns.p[b->insn.p[i]];
        c->number[b->insn.p[i]] = ++c->next;
        put(c, in->kind * 256 + in->op);
        put_type(c, in->type);
        put(c, in->buf);
        put(c, in->from);
        for (int j = 0; j < 3; j++)
            put(c, in->in[j] ? c->number[in->in[j]] : 0);
        put_lin(c, in->lin);
        put_lin(c, in->hi);
        put(c, in->step);
        put(c, in->i);
        text_write(&c->out, (const char *)&in->f, sizeof in->f);
        if (in->kind == LO_FOR || in->kind == LO_IF)
            put_block(c, in->body);
        put(c, in->other != 0);
        if (in->other)
            put_block(c, in->other);
    }
}

static struct text canonical(const struct lo_kernel *k)
{
    struct canon c = {.k = k, .number = xcalloc(k->insns.n, sizeof *c.number)};
    for (uint32_t i = 1; i < k->buffers.n; i++) {
        const struct lo_buffer *b = &k->buffers.p[i];
        put(&c, b->space * 2 + b->written);
        put_type(&c, b->type);
        put(&c, b->count);
    }
    for (uint32_t i = 0; i < k->phases.n; i++) {
        put(&c, k->phases.p[i].chunks);
        put(&c, k->phases.p[i].threads);
        c.number[k->phases.p[i].chunk] = ++c.next;
        if (k->phases.p[i].thread)
            c.number[k->phases.p[i].thread] = ++c.next;
        put_block(&c, k->phases.p[i].body);
    }
    free(c.number);
    return c.out;
}

uint64_t lo_hash(const struct lo_kernel *k)
{
    struct text t = canonical(k);
    uint64_t h = hash_bytes(0, t.p, t.n);
    text_free(&t);
    return h;
}

bool lo_equal(const struct lo_kernel *x, const struct lo_kernel *y)
{
    struct text a = canonical(x), b = canonical(y);
    bool same = a.n == b.n && !memcmp(a.p ? a.p : "", b.p ? b.p : "", a.n);
    text_free(&a);
    text_free(&b);
    return same;
}
