/* One walk over the kernel, in the order of its text, that builds it anew: constants are folded,
 * loops of no or one trip and ifs with a known condition dissolve, LO_UNROLL loops are written out,
 * comparisons and quotients that the bounds of loops decide become constants (and their masks go),
 * a value computed twice is computed once, a register's value is taken from its last set, and what
 * does not change in a loop moves before it. Then what nobody reads is dropped (dead.c).
 *
 * No bit of a result changes: float identities that would (x + 0) stay. Memory that the kernel
 * writes keeps its order: a load is shared with an earlier one only if no store to its buffer lies
 * between, and moves before a loop only from a buffer never written, out of loops known to run. */
#include "loop/private.h"

/* ---- what is known of the kernel being built ---- */

struct known { /* a value that a later instruction like it can take */
    uint64_t hash;
    lo_id insn, value; /* a set of a register makes its value known to a get */
    uint32_t version;  /* of the memory read; 0: none */
    uint32_t block;    /* while it is open */
    uint32_t next;     /* 1 + the older one in its bucket */
};

struct open { /* a block being filled */
    uint32_t block;
    bool loop; /* a loop's body: values may move before it */
    bool runs; /* the loop has a trip, whatever happens */
};

struct value {     /* what is known of a new value */
    uint8_t depth; /* of the block that defines it */
    struct lo_range range;
};

struct assumed { /* a condition's value inside an if */
    lo_id cond;
    bool value;
};

struct store {    /* of a buffer: when it last changed, by a clock */
    uint32_t any; /* at all */
    uint32_t all; /* in a place unknown, or in all */
    uint32_t *at; /* of registers, each by constant index */
};

struct simplify {
    struct lo_rewrite *r;
    struct open
        open[COUNT(((struct lo_builder *)0)->stack) + 1]; /* outermost first: 1 .. b.depth */
    VEC(struct value) value;
    VEC(struct known) known;
    VEC(struct assumed) assumed;
    uint32_t bucket[1024];
    struct store *store;
    uint32_t clock, buffers;
    uint8_t *stored; /* buffers that an old block stores to: stored[block * buffers + buf] */
    uint32_t *size;  /* instructions of an old block, with those inside */
};

static void set_value(struct simplify *s, lo_id id, uint32_t depth, struct lo_range range)
{
    while (s->value.n <= id)
        vec_push(&s->value, (struct value){0});
    s->value.p[id] = (struct value){(uint8_t)depth, range};
}

/* ---- equal instructions ---- */

static uint64_t hash_insn(const struct lo_insn *in, uint32_t version)
{
    uint64_t head[9] = {in->kind | (uint64_t)in->op << 8 | (uint64_t)in->type.dtype << 16 |
                            (uint64_t)in->type.lanes << 32,
                        in->buf,
                        version,
                        (uint64_t)in->i,
                        in->in[0] | (uint64_t)in->in[1] << 32,
                        in->in[2],
                        0,
                        (uint64_t)in->lin.c0,
                        in->lin.n};
    memcpy(&head[6], &in->f, sizeof in->f);
    uint64_t h = hash_words(0, head, COUNT(head));
    for (uint32_t i = 0; i < in->lin.n; i++) {
        uint64_t part[] = {(uint64_t)in->lin.part[i].c, in->lin.part[i].v};
        h = hash_words(h, part, COUNT(part));
    }
    return h;
}

static bool equal_lin(struct lo_lin a, struct lo_lin b)
{
    if (a.c0 != b.c0 || a.n != b.n)
        return false;
    for (uint32_t i = 0; i < a.n; i++)
        if (a.part[i].c != b.part[i].c || a.part[i].v != b.part[i].v)
            return false;
    return true;
}

static bool equal_insn(const struct lo_insn *a, const struct lo_insn *b)
{
    return a->kind == b->kind && a->op == b->op && a->type.dtype == b->type.dtype &&
           a->type.lanes == b->type.lanes && a->buf == b->buf && a->i == b->i &&
           !memcmp(&a->f, &b->f, sizeof a->f) && !memcmp(a->in, b->in, sizeof a->in) &&
           equal_lin(a->lin, b->lin);
}

/* A set makes its value known as what the get of its place would give. */
static struct lo_insn as_get(struct lo_insn in)
{
    if (in.kind == LO_SET) {
        in.kind = LO_GET;
        in.in[0] = 0;
    }
    in.origin = 0;
    return in;
}

static lo_id find_known(const struct simplify *s, const struct lo_insn *in, uint32_t version)
{
    const struct lo_kernel *k = s->r->k;
    uint64_t h = hash_insn(in, version);
    for (uint32_t i = s->bucket[h % COUNT(s->bucket)]; i; i = s->known.p[i - 1].next) {
        const struct known *e = &s->known.p[i - 1];
        if (e->hash != h || e->version != version)
            continue;
        struct lo_insn other = as_get(k->insns.p[e->insn]);
        for (uint32_t d = 1; d <= s->r->b.depth; d++)
            if (s->open[d].block == e->block && equal_insn(in, &other))
                return e->value;
    }
    return 0;
}

static void make_known(struct simplify *s, const struct lo_insn *in, lo_id insn, lo_id value,
                       uint32_t version, uint32_t block)
{
    uint64_t h = hash_insn(in, version);
    uint32_t *head = &s->bucket[h % COUNT(s->bucket)];
    vec_push(&s->known, ((struct known){h, insn, value, version, block, *head}));
    *head = s->known.n;
}

/* ---- placing a value ---- */

static uint32_t operands_depth(const struct simplify *s, const struct lo_insn *in)
{
    uint32_t d = 1;
    for (int i = 0; i < 3; i++)
        if (in->in[i] && s->value.p[in->in[i]].depth > d)
            d = s->value.p[in->in[i]].depth;
    for (uint32_t i = 0; i < in->lin.n; i++)
        if (s->value.p[in->lin.part[i].v].depth > d)
            d = s->value.p[in->lin.part[i].v].depth;
    return d;
}

/* Before the for or if that is the last of the block at depth d, or at the end of the innermost. */
static void insert(struct simplify *s, lo_id id, uint32_t d)
{
    struct lo_block *b = &s->r->k->blocks.p[s->open[d].block];
    vec_push(&b->insn, id);
    if (d < s->r->b.depth) {
        b->insn.p[b->insn.n - 1] = b->insn.p[b->insn.n - 2];
        b->insn.p[b->insn.n - 2] = id;
    }
}

static bool reads_memory(const struct lo_insn *in)
{
    return in->kind == LO_LOAD || in->kind == LO_GET || in->kind == LO_LDMATRIX;
}

/* What a whole warp does moves only to where the warp is known to come. */
static bool of_warp(const struct lo_insn *in)
{
    return in->kind == LO_SHUFFLE || in->kind == LO_MMA || in->kind == LO_LDMATRIX;
}

/* When what the instruction reads last changed; 0: never. */
static uint32_t version_of(const struct simplify *s, const struct lo_insn *in)
{
    const struct lo_buffer *b = &s->r->k->buffers.p[in->buf];
    const struct store *m = &s->store[in->buf];
    if (!reads_memory(in) || (b->space == LO_ARG && !b->written))
        return 0;
    if (!m->at || in->lin.n || in->lin.c0 < 0 || in->lin.c0 >= b->count)
        return m->any;
    return m->at[in->lin.c0] > m->all ? m->at[in->lin.c0] : m->all;
}

static struct lo_range range_of(void *own, lo_id v)
{
    struct simplify *s = own;
    return s->value.p[v].range;
}

/* Instruction `id` was appended: it stays, moves out, or gives way to one that is there already. */
static lo_id place(struct simplify *s, lo_id id)
{
    struct lo_kernel *k = s->r->k;
    struct lo_insn in = as_get(k->insns.p[id]);
    bool reads = reads_memory(&in), careful = reads || of_warp(&in);
    uint32_t version = version_of(s, &in);
    struct lo_block *b = &k->blocks.p[s->r->b.block];
    CHECK(vec_last(&b->insn) == id && id == k->insns.n - 1, "simplify: a value out of order");
    b->insn.n--;
    lo_id same = find_known(s, &in, version);
    if (same) {
        k->insns.n--;
        return same;
    }
    uint32_t least = operands_depth(s, &in), d = s->r->b.depth;
    while (d > least && s->open[d].loop && (!careful || (!version && s->open[d].runs)))
        d--;
    insert(s, id, d);
    set_value(s, id, d, lo_range(&in, range_of, s));
    make_known(s, &in, id, id, version, s->open[d].block);
    return id;
}

/* ---- the walk ---- */

static lo_id append_placed(struct simplify *s, struct lo_insn in)
{
    lo_id id = lo_append_folded(&s->r->b, in);
    bool made = id == s->r->k->insns.n - 1 && s->value.n <= id;
    return made ? place(s, id) : id;
}

static lo_id constant(struct simplify *s, struct lo_type t, int64_t v)
{
    return append_placed(s, (struct lo_insn){.kind = LO_CONST, .type = t, .i = v});
}

static void touch(struct simplify *s, uint32_t buf)
{
    s->store[buf].any = s->store[buf].all = ++s->clock;
}

/* What other threads, or copies on their way, may have written. */
static void touch_shared(struct simplify *s, bool global)
{
    for (uint32_t i = 1; i < s->buffers; i++) {
        const struct lo_buffer *b = &s->r->k->buffers.p[i];
        if (b->space == LO_SHARED || (global && b->space == LO_ARG && b->written))
            touch(s, i);
    }
}

static void touch_stored(struct simplify *s, uint32_t old_block)
{
    for (uint32_t i = 1; i < s->buffers; i++)
        if (s->stored[old_block * s->buffers + i])
            touch(s, i);
}

/* Inside an if the condition, and what follows from it, is constant. */
static void assume(struct simplify *s, lo_id cond, bool value)
{
    const struct lo_insn *in = &s->r->k->insns.p[cond];
    vec_push(&s->assumed, ((struct assumed){cond, value}));
    if (in->kind != LO_OP)
        return;
    if (in->op == IR_not)
        assume(s, in->in[0], !value);
    if (in->op == (value ? IR_and : IR_or)) {
        lo_id x = in->in[0], y = in->in[1];
        assume(s, x, value);
        assume(s, y, value);
    }
}

static lo_id under_assumption(struct simplify *s, lo_id v)
{
    const struct lo_insn *in = &s->r->k->insns.p[v];
    lo_id scalar = in->kind == LO_SPLAT ? in->in[0] : v;
    struct lo_type t = in->type;
    for (uint32_t i = 0; v && t.dtype == NN_bool && i < s->assumed.n; i++)
        if (s->assumed.p[i].cond == scalar)
            return constant(s, t, s->assumed.p[i].value);
    return v;
}

static struct lo_insn operands(struct simplify *s, const struct lo_insn *old)
{
    struct lo_insn in = lo_rewrite_operands(s->r, old);
    for (int i = 0; i < 3 && s->assumed.n; i++)
        in.in[i] = under_assumption(s, in.in[i]);
    return in;
}

static void fill(struct simplify *s, uint32_t old, lo_id owner, bool other, struct open how)
{
    struct lo_rewrite *r = s->r;
    how.block = lo_block_new(r->k);
    if (other)
        r->k->insns.p[owner].other = how.block;
    else
        r->k->insns.p[owner].body = how.block;
    touch_stored(s, old);
    lo_open(&r->b, how.block);
    s->open[r->b.depth] = how;
    if (how.loop)
        set_value(s, owner, r->b.depth, lo_range(&r->k->insns.p[owner], range_of, s));
    lo_rewrite_block(r, old);
    lo_end(&r->b);
    touch_stored(s, old);
}

static lo_id index_value(struct simplify *s, struct lo_lin l)
{
    return append_placed(s, (struct lo_insn){.kind = LO_LIN, .type = LO_I64, .lin = l});
}

static lo_id walk_for(struct simplify *s, const struct lo_insn *old, lo_id id)
{
    struct lo_rewrite *r = s->r;
    struct lo_insn in = operands(s, old);
    int64_t trips;
    bool counted = lo_trips(&r->b, in.lin, in.hi, in.step, &trips);
    bool unroll = old->op == LO_UNROLL && trips <= LO_MAX_UNROLL &&
                  trips * s->size[old->body] <= LO_MAX_UNROLL;
    if (counted && (trips <= 1 || unroll)) {
        for (int64_t i = 0; i < trips; i++) {
            r->map[id] = index_value(s, lo_lin_add(&r->b, in.lin, lo_lin_c(i * in.step)));
            lo_rewrite_block(r, old->body);
        }
        return 0;
    }
    lo_id made = lo_append(&r->b, in);
    r->map[id] = made;
    fill(s, old->body, made, false, (struct open){.loop = true, .runs = counted});
    return made;
}

static lo_id walk_if(struct simplify *s, const struct lo_insn *old)
{
    struct lo_rewrite *r = s->r;
    struct lo_insn in = operands(s, old);
    union lo_num cond;
    if (lo_const_value(r->k, in.in[0], &cond)) {
        if (cond.u8)
            lo_rewrite_block(r, old->body);
        else if (old->other)
            lo_rewrite_block(r, old->other);
        return 0;
    }
    lo_id made = lo_append(&r->b, in);
    uint32_t n = s->assumed.n;
    assume(s, in.in[0], true);
    fill(s, old->body, made, false, (struct open){0});
    s->assumed.n = n;
    if (old->other) {
        assume(s, in.in[0], false);
        fill(s, old->other, made, true, (struct open){0});
        s->assumed.n = n;
    }
    return 0;
}

/* Masks that always or never hold. */
static lo_id walk_memory(struct simplify *s, struct lo_insn in)
{
    int mask = in.kind == LO_LOAD ? 0 : 1;
    union lo_num c;
    if (lo_const_value(s->r->k, in.in[mask], &c)) {
        if (in.kind == LO_STORE && !c.u8)
            return 0;
        if (in.kind == LO_LOAD && !c.u8 && in.in[1])
            return in.in[1];
        if (in.kind == LO_LOAD && !c.u8)
            return append_placed(s, (struct lo_insn){.kind = LO_CONST, .type = in.type}); /* 0 */
        in.in[mask] = 0;
        if (in.kind == LO_LOAD)
            in.in[1] = 0;
    }
    if (in.kind == LO_LOAD)
        return append_placed(s, in);
    touch(s, in.buf);
    lo_append(&s->r->b, in);
    return 0;
}

static lo_id walk_set(struct simplify *s, struct lo_insn in)
{
    struct store *m = &s->store[in.buf];
    bool fixed =
        m->at && !in.lin.n && in.lin.c0 >= 0 && in.lin.c0 < s->r->k->buffers.p[in.buf].count;
    m->any = ++s->clock;
    if (fixed)
        m->at[in.lin.c0] = s->clock;
    else
        m->all = s->clock;
    lo_id id = lo_append(&s->r->b, in);
    struct lo_insn get = as_get(in);
    make_known(s, &get, id, in.in[0], version_of(s, &get), s->r->b.block);
    return 0;
}

/* The chunk number's depth and range; of a single chunk it is 0. */
static void begin_phase(struct simplify *s)
{
    struct lo_rewrite *r = s->r;
    const struct lo_phase *p = &vec_last(&r->k->phases);
    s->open[1] = (struct open){.block = r->b.block};
    set_value(s, p->chunk, 1, (struct lo_range){p->chunks > 0, 0, p->chunks - 1});
    if (p->thread)
        set_value(s, p->thread, 1, (struct lo_range){true, 0, p->threads - 1});
    if (p->chunks == 1)
        r->map[r->old.phases.p[r->k->phases.n - 1].chunk] = constant(s, LO_I64, 0);
}

static lo_id walk(struct lo_rewrite *r, lo_id id)
{
    struct simplify *s = r->own;
    const struct lo_insn *old = &r->old.insns.p[id];
    s->r = r;
    if (r->b.depth == 1 && s->open[1].block != r->b.block)
        begin_phase(s);
    if (old->kind == LO_FOR)
        return walk_for(s, old, id);
    if (old->kind == LO_IF)
        return walk_if(s, old);
    struct lo_insn in = operands(s, old);
    union lo_num c;
    lo_id same;
    if (in.kind == LO_LOAD || in.kind == LO_STORE)
        return walk_memory(s, in);
    if (in.kind == LO_SET)
        return walk_set(s, in);
    if (in.kind == LO_TRAP && lo_const_value(r->k, in.in[0], &c) && !c.u8)
        return 0;
    if (in.kind == LO_COPY && lo_const_value(r->k, in.in[0], &c) && c.u8)
        in.in[0] = 0;
    if (in.kind == LO_COPY)
        touch(s, in.buf);
    if (in.kind == LO_BARRIER || in.kind == LO_WAIT)
        touch_shared(s, in.kind == LO_BARRIER);
    if (in.kind == LO_TRAP || in.kind == LO_BARRIER || in.kind == LO_COPY || in.kind == LO_COMMIT ||
        in.kind == LO_WAIT) {
        lo_append(&r->b, in);
        return 0;
    }
    int64_t known;
    if (lo_range_decides(&in, range_of, s, &known, &same))
        return same ? same : constant(s, in.type, known);
    return append_placed(s, in);
}

/* Which buffers each block, with those inside, stores to; its size. */
static void note_block(struct simplify *s, const struct lo_kernel *k, uint32_t block)
{
    uint8_t *stored = &s->stored[block * s->buffers];
    s->size[block] = k->blocks.p[block].insn.n;
    for (uint32_t i = 0; i < k->blocks.p[block].insn.n; i++) {
        const struct lo_insn *in = &k->insns.p[k->blocks.p[block].insn.p[i]];
        if (in->kind == LO_STORE || in->kind == LO_SET || in->kind == LO_COPY)
            stored[in->buf] = 1;
        for (uint32_t b = 1; in->kind == LO_WAIT && b < s->buffers; b++)
            if (k->buffers.p[b].space == LO_SHARED)
                stored[b] = 1;
        const uint32_t inner[] = {in->body, in->other};
        for (int j = 0; j < 2; j++) {
            if (!inner[j])
                continue;
            note_block(s, k, inner[j]);
            s->size[block] += s->size[inner[j]];
            for (uint32_t b = 0; b < s->buffers; b++)
                stored[b] |= s->stored[inner[j] * s->buffers + b];
        }
    }
}

static void simplify_once(struct lo_kernel *k)
{
    struct simplify s = {.buffers = k->buffers.n};
    s.store = xcalloc(k->buffers.n, sizeof *s.store);
    s.stored = xcalloc((size_t)k->blocks.n * k->buffers.n, 1);
    s.size = xcalloc(k->blocks.n, sizeof *s.size);
    for (uint32_t i = 0; i < k->phases.n; i++)
        note_block(&s, k, k->phases.p[i].body);
    for (uint32_t i = 1; i < k->buffers.n; i++) {
        const struct lo_buffer *b = &k->buffers.p[i];
        touch(&s, i);
        if (b->space == LO_REG && b->count <= LO_MAX_UNROLL)
            s.store[i].at = xcalloc((size_t)b->count, sizeof *s.store->at);
    }
    lo_rewrite(k, walk, &s);
    for (uint32_t i = 1; i < s.buffers; i++)
        free(s.store[i].at);
    free(s.store);
    free(s.stored);
    free(s.size);
    vec_free(&s.value);
    vec_free(&s.known);
    vec_free(&s.assumed);
    lo_drop_dead(k);
}

void lo_simplify(struct lo_kernel *k)
{
    simplify_once(k);
    if (lo_transpose(k))
        simplify_once(k);
}
