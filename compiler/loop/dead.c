/* Drops what has no effect: values nobody uses, stores to own memory that nobody loads, empty loops
 * and ifs, buffers of the kernel's own that are not touched. Leaves ids in the order of the text.
 */
#include "loop/private.h"

struct live {
    const struct lo_kernel *k;
    bool *live;   /* of each instruction */
    lo_id *owner; /* the for or if that holds each instruction; 0: a phase */
    bool *read;   /* of each buffer: a live instruction reads it */
    VEC(lo_id) work;
};

static void mark(struct live *l, lo_id id)
{
    if (id && !l->live[id]) {
        l->live[id] = true;
        vec_push(&l->work, id);
    }
}

static void find_owners(struct live *l, uint32_t block, lo_id owner)
{
    const struct lo_block *b = &l->k->blocks.p[block];
    for (uint32_t i = 0; i < b->insn.n; i++) {
        const struct lo_insn *in = &l->k->insns.p[b->insn.p[i]];
        l->owner[b->insn.p[i]] = owner;
        if (in->body)
            find_owners(l, in->body, b->insn.p[i]);
        if (in->other)
            find_owners(l, in->other, b->insn.p[i]);
    }
}

/* Instructions with an effect, given what is read so far. */
static bool has_effect(const struct live *l, const struct lo_insn *in)
{
    if (in->kind == LO_STORE || in->kind == LO_SET || in->kind == LO_COPY)
        return l->read[in->buf] || l->k->buffers.p[in->buf].space == LO_ARG;
    return in->kind == LO_TRAP || in->kind == LO_BARRIER || in->kind == LO_COMMIT ||
           in->kind == LO_WAIT;
}

static void mark_lin(struct live *l, struct lo_lin lin)
{
    for (uint32_t i = 0; i < lin.n; i++)
        mark(l, lin.part[i].v);
}

/* What a live instruction needs; true if it is the first to read a buffer. */
static bool follow(struct live *l, lo_id id)
{
    const struct lo_insn *in = &l->k->insns.p[id];
    for (int i = 0; i < 3; i++)
        mark(l, in->in[i]);
    mark_lin(l, in->lin);
    mark_lin(l, in->hi);
    mark(l, l->owner[id]);
    bool reads = in->kind == LO_LOAD || in->kind == LO_GET || in->kind == LO_LDMATRIX;
    if (!reads || l->read[in->buf])
        return false;
    l->read[in->buf] = true;
    return true;
}

static void mark_all(struct live *l)
{
    for (bool again = true; again;) {
        again = false;
        for (uint32_t b = 1; b < l->k->blocks.n; b++)
            for (uint32_t i = 0; i < l->k->blocks.p[b].insn.n; i++)
                if (has_effect(l, &l->k->insns.p[l->k->blocks.p[b].insn.p[i]]))
                    mark(l, l->k->blocks.p[b].insn.p[i]);
        while (l->work.n) {
            lo_id id = vec_last(&l->work);
            l->work.n--;
            again = follow(l, id) || again;
        }
    }
}

/* ---- sets of registers that are set again before they are read ---- */

struct sets {
    const struct lo_kernel *k;
    bool *dead;    /* of each instruction */
    bool **unread; /* of each register: nothing reads what it holds now */
};

static void reads_all(const struct sets *s, uint32_t buf)
{
    for (int64_t i = 0; s->unread[buf] && i < s->k->buffers.p[buf].count; i++)
        s->unread[buf][i] = false;
}

/* A place that is known; false: any. */
static bool place_of(const struct sets *s, const struct lo_insn *in)
{
    return !in->lin.n && in->lin.c0 >= 0 && in->lin.c0 < s->k->buffers.p[in->buf].count;
}

/* Backwards, from what holds at the end of the block. */
static void find_dead_sets(struct sets *s, uint32_t block)
{
    const struct lo_block *b = &s->k->blocks.p[block];
    for (uint32_t i = b->insn.n; i-- > 0;) {
        const struct lo_insn *in = &s->k->insns.p[b->insn.p[i]];
        bool *unread = in->kind == LO_GET || in->kind == LO_SET ? s->unread[in->buf] : NULL;
        if (unread && in->kind == LO_SET && place_of(s, in)) {
            s->dead[b->insn.p[i]] = unread[in->lin.c0];
            unread[in->lin.c0] = true;
        } else if (unread && in->kind == LO_GET && place_of(s, in)) {
            unread[in->lin.c0] = false;
        } else if (unread && in->kind == LO_GET) {
            reads_all(s, in->buf);
        }
        const uint32_t inner[] = {in->body, in->other};
        for (int j = 0; j < 2; j++) {
            if (!inner[j])
                continue;
            for (uint32_t r = 1; r < s->k->buffers.n; r++) /* what follows may read all, or again */
                reads_all(s, r);
            find_dead_sets(s, inner[j]);
            for (uint32_t r = 1; r < s->k->buffers.n; r++)
                reads_all(s, r);
        }
    }
}

static lo_id keep_needed(struct lo_rewrite *r, lo_id id)
{
    const bool *dead = r->own;
    return dead[id] ? 0 : lo_rewrite_copy(r, id);
}

static void drop_dead_sets(struct lo_kernel *k)
{
    struct sets s = {k, xcalloc(k->insns.n, sizeof *s.dead),
                     xcalloc(k->buffers.n, sizeof *s.unread)};
    for (uint32_t i = 1; i < k->buffers.n; i++)
        if (k->buffers.p[i].space == LO_REG && k->buffers.p[i].count <= LO_MAX_UNROLL)
            s.unread[i] = xcalloc((size_t)k->buffers.p[i].count, sizeof **s.unread);
    for (uint32_t i = 0; i < k->phases.n; i++) {
        for (uint32_t b = 1; b < k->buffers.n; b++) /* a register ends with its chunk */
            if (s.unread[b])
                memset(s.unread[b], 1, (size_t)k->buffers.p[b].count);
        find_dead_sets(&s, k->phases.p[i].body);
    }
    lo_rewrite(k, keep_needed, s.dead);
    for (uint32_t i = 1; i < k->buffers.n; i++)
        free(s.unread[i]);
    free(s.unread);
    free(s.dead);
}

static lo_id keep_live(struct lo_rewrite *r, lo_id id)
{
    const struct live *l = r->own;
    return l->live[id] ? lo_rewrite_copy(r, id) : 0;
}

/* An else of nothing is none. */
static void drop_empty_else(struct lo_kernel *k)
{
    for (uint32_t i = 1; i < k->insns.n; i++)
        if (k->insns.p[i].other && !k->blocks.p[k->insns.p[i].other].insn.n)
            k->insns.p[i].other = 0;
}

static void drop_buffers(struct lo_kernel *k)
{
    uint32_t *to = xcalloc(k->buffers.n, sizeof *to), n = 1;
    for (uint32_t i = 1; i < k->insns.n; i++)
        to[k->insns.p[i].buf] = 1; /* what COPY reads is an argument */
    for (uint32_t i = 1; i < k->buffers.n; i++)
        if (to[i] || k->buffers.p[i].space == LO_ARG) {
            k->buffers.p[n] = k->buffers.p[i];
            to[i] = n++;
        }
    to[0] = 0;
    k->buffers.n = n;
    for (uint32_t i = 1; i < k->insns.n; i++) {
        k->insns.p[i].buf = to[k->insns.p[i].buf];
        k->insns.p[i].from = to[k->insns.p[i].from];
    }
    free(to);
}

void lo_drop_dead(struct lo_kernel *k)
{
    drop_dead_sets(k);
    struct live l = {.k = k};
    l.live = xcalloc(k->insns.n, sizeof *l.live);
    l.owner = xcalloc(k->insns.n, sizeof *l.owner);
    l.read = xcalloc(k->buffers.n, sizeof *l.read);
    for (uint32_t i = 0; i < k->phases.n; i++)
        find_owners(&l, k->phases.p[i].body, 0);
    mark_all(&l);
    lo_rewrite(k, keep_live, &l);
    drop_empty_else(k);
    drop_buffers(k);
    free(l.live);
    free(l.owner);
    free(l.read);
    vec_free(&l.work);
}
