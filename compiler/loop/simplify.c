/* One walk over the kernel, in the order of its text, that builds it anew: constants are folded, loops of
 * no or one trip and ifs with a known condition dissolve, comparisons that loop bounds decide become
 * constants (and their masks go), a value computed twice is computed once, and what does not change in a
 * loop moves before it. Then what nobody reads is dropped (dead.c).
 *
 * No bit of a result changes: float identities that would (x + 0) stay. Memory that the kernel writes
 * keeps its order: a load is shared with an earlier one only if no store to its buffer lies between, and
 * moves before a loop only from a buffer never written, out of loops known to run. */
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

struct simplify {
    struct lo_rewrite *r;
    struct open
        open[COUNT(((struct lo_builder *)0)->stack) + 1]; /* outermost first: [1 .. b.depth] */
    VEC(uint8_t) depth;                                   /* of the block that defines a value */
    VEC(struct known) known;
    uint32_t bucket[1024];
    uint32_t *version, clock; /* of each buffer */
    uint8_t *stored; /* buffers that old block `at` stores to: stored[block * buffers + buf] */
    uint32_t buffers;
};

static void set_depth(struct simplify *s, lo_id id, uint32_t depth)
{
    while (s->depth.n <= id)
        vec_push(&s->depth, 0);
    s->depth.p[id] = (uint8_t)depth;
}

/* ---- ranges of indices ---- */

struct range {
    bool known;
    int64_t lo, hi; /* inclusive */
};
#define LIMIT ((int64_t)1 << 60)

static struct range lin_range(const struct lo_kernel *k, struct lo_lin l, int depth);

static struct range value_range(const struct lo_kernel *k, lo_id v, int depth)
{
    const struct lo_insn *in = &k->insns.p[v];
    struct range r = {0};
    union lo_num c;
    if (depth > 8)
        return r;
    for (uint32_t i = 0; i < k->phases.n; i++)
        if (k->phases.p[i].chunk == v)
            return (struct range){k->phases.p[i].chunks > 0, 0, k->phases.p[i].chunks - 1};
    if (in->kind == LO_FOR) {
        struct range from = lin_range(k, in->lin, depth + 1), to = lin_range(k, in->hi, depth + 1);
        r = (struct range){from.known && to.known && from.lo < to.hi, from.lo, to.hi - 1};
        if (r.known && from.lo == from.hi)
            r.hi = r.lo + (r.hi - r.lo) / in->step * in->step;
    } else if (in->kind == LO_LIN) {
        r = lin_range(k, in->lin, depth + 1);
    } else if (in->kind == LO_CONST) {
        r = (struct range){in->i > -LIMIT && in->i < LIMIT, in->i, in->i};
    } else if (in->kind == LO_OP && (in->op == IR_idiv || in->op == IR_mod) &&
               lo_const_value(k, in->in[1], &c) && c.i64 > 0 && c.i64 < LIMIT) {
        if (in->op == IR_mod)
            return (struct range){true, 0, c.i64 - 1};
        r = value_range(k, in->in[0], depth + 1);
        union lo_num q[3] = {{.i64 = r.lo}, c}, lo, hi;
        r.known = r.known && lo_fold_op(IR_idiv, NN_i64, NN_i64, q, &lo);
        q[0].i64 = r.hi;
        if (r.known && lo_fold_op(IR_idiv, NN_i64, NN_i64, q, &hi))
            r = (struct range){true, lo.i64, hi.i64};
    }
    return r;
}

static struct range lin_range(const struct lo_kernel *k, struct lo_lin l, int depth)
{
    struct range r = {l.c0 > -LIMIT && l.c0 < LIMIT, l.c0, l.c0};
    for (uint32_t i = 0; i < l.n && r.known; i++) {
        struct range v = value_range(k, l.part[i].v, depth);
        int64_t c = l.part[i].c, a, b;
        if (!v.known || __builtin_mul_overflow(c, v.lo, &a) ||
            __builtin_mul_overflow(c, v.hi, &b) || a <= -LIMIT || a >= LIMIT || b <= -LIMIT ||
            b >= LIMIT)
            return (struct range){0};
        r.lo += a < b ? a : b;
        r.hi += a < b ? b : a;
        r.known = r.lo > -LIMIT && r.hi < LIMIT;
    }
    return r;
}

/* Of every lane of an i64 or i32 operand of a comparison. */
static struct range operand_range(const struct lo_kernel *k, lo_id v)
{
    const struct lo_insn *in = &k->insns.p[v];
    struct range r = {0};
    if (in->kind == LO_LANES) {
        r = lin_range(k, in->lin, 0);
        r.hi += in->type.lanes - 1;
        if (in->type.dtype == NN_i32) /* else it wraps */
            r.known = r.known && r.lo >= INT32_MIN && r.hi <= INT32_MAX;
    } else if (in->kind == LO_SPLAT) {
        r = operand_range(k, in->in[0]);
    } else if (in->kind == LO_CONST && nn_is_int(in->type.dtype)) {
        r = (struct range){in->i > -LIMIT && in->i < LIMIT, in->i, in->i};
    } else if (in->type.dtype == NN_i64 && in->type.lanes == 1) {
        r = value_range(k, v, 0);
    }
    return r;
}

/* 1 or 0 if the bounds of the operands decide the comparison in every lane, else -1. */
static int decided(const struct lo_kernel *k, const struct lo_insn *in)
{
    if (in->kind != LO_OP || ir_op_class(in->op) != IRC_CMP)
        return -1;
    struct range x = operand_range(k, in->in[0]), y = operand_range(k, in->in[1]);
    if (!x.known || !y.known)
        return -1;
    bool below = x.hi < y.lo;
    bool above = x.lo > y.hi;
    bool at_most = x.hi <= y.lo;
    bool at_least = x.lo >= y.hi;
    bool same = at_most && at_least, apart = below || above;
    struct {
        enum ir_op op;
        bool yes, no;
    } row[] = {{IR_lt, below, at_least}, {IR_le, at_most, above}, {IR_gt, above, at_most},
               {IR_ge, at_least, below}, {IR_eq, same, apart},    {IR_ne, apart, same}};
    for (uint32_t i = 0; i < COUNT(row); i++)
        if (row[i].op == (enum ir_op)in->op)
            return row[i].yes ? 1 : row[i].no ? 0 : -1;
    return -1;
}

/* ---- equal instructions ---- */

static uint64_t hash_insn(const struct lo_insn *in, uint32_t version)
{
    uint64_t head[] = {in->kind, in->op,  in->type.dtype, in->type.lanes,
                       in->buf,  version, (uint64_t)in->i};
    uint64_t h = hash_bytes(0, head, sizeof head);
    h = hash_bytes(h, in->in, sizeof in->in);
    h = hash_bytes(h, &in->f, sizeof in->f);
    h = hash_bytes(h, &in->lin.c0, sizeof in->lin.c0);
    for (uint32_t i = 0; i < in->lin.n; i++) {
        uint64_t part[] = {(uint64_t)in->lin.part[i].c, in->lin.part[i].v};
        h = hash_bytes(h, part, sizeof part);
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
        if (in->in[i] && s->depth.p[in->in[i]] > d)
            d = s->depth.p[in->in[i]];
    for (uint32_t i = 0; i < in->lin.n; i++)
        if (s->depth.p[in->lin.part[i].v] > d)
            d = s->depth.p[in->lin.part[i].v];
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
    return in->kind == LO_LOAD || in->kind == LO_GET;
}

/* Instruction `id` was appended: it stays, moves out, or gives way to one that is there already. */
static lo_id place(struct simplify *s, lo_id id)
{
    struct lo_kernel *k = s->r->k;
    struct lo_insn in = as_get(k->insns.p[id]);
    bool reads = reads_memory(&in);
    bool constant = reads && k->buffers.p[in.buf].space == LO_ARG && !k->buffers.p[in.buf].written;
    uint32_t version = reads && !constant ? s->version[in.buf] : 0;
    struct lo_block *b = &k->blocks.p[s->r->b.block];
    CHECK(vec_last(&b->insn) == id && id == k->insns.n - 1, "simplify: a value out of order");
    b->insn.n--;
    lo_id same = find_known(s, &in, version);
    if (same) {
        k->insns.n--;
        return same;
    }
    uint32_t least = operands_depth(s, &in), d = s->r->b.depth;
    while (d > least && s->open[d].loop && (!reads || (constant && s->open[d].runs)))
        d--;
    insert(s, id, d);
    set_depth(s, id, d);
    make_known(s, &in, id, id, version, s->open[d].block);
    return id;
}

/* ---- the walk ---- */

static void touch(struct simplify *s, uint32_t buf) { s->version[buf] = ++s->clock; }

static void touch_stored(struct simplify *s, uint32_t old_block)
{
    for (uint32_t i = 1; i < s->buffers; i++)
        if (s->stored[old_block * s->buffers + i])
            touch(s, i);
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
        set_depth(s, owner, r->b.depth);
    lo_rewrite_block(r, old);
    lo_end(&r->b);
    touch_stored(s, old);
}

static lo_id append_placed(struct simplify *s, struct lo_insn in)
{
    lo_id id = lo_append_folded(&s->r->b, in);
    bool made = id == s->r->k->insns.n - 1 && s->depth.n <= id;
    return made ? place(s, id) : id;
}

static lo_id index_value(struct simplify *s, struct lo_lin l)
{
    return append_placed(s, (struct lo_insn){.kind = LO_LIN, .type = LO_I64, .lin = l});
}

static lo_id walk_for(struct simplify *s, const struct lo_insn *old, lo_id id)
{
    struct lo_rewrite *r = s->r;
    struct lo_insn in = lo_rewrite_operands(r, old);
    int64_t trips;
    bool counted = lo_trips(&r->b, in.lin, in.hi, in.step, &trips);
    if (counted && !trips)
        return 0;
    if (counted && trips == 1) {
        r->map[id] = index_value(s, in.lin);
        lo_rewrite_block(r, old->body);
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
    struct lo_insn in = lo_rewrite_operands(r, old);
    union lo_num cond;
    if (lo_const_value(r->k, in.in[0], &cond)) {
        if (cond.u8)
            lo_rewrite_block(r, old->body);
        else if (old->other)
            lo_rewrite_block(r, old->other);
        return 0;
    }
    lo_id made = lo_append(&r->b, in);
    fill(s, old->body, made, false, (struct open){0});
    if (old->other)
        fill(s, old->other, made, true, (struct open){0});
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
            return append_placed(s, (struct lo_insn){.kind = LO_CONST, .type = in.type});
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
    touch(s, in.buf);
    lo_id id = lo_append(&s->r->b, in);
    struct lo_insn get = as_get(in);
    make_known(s, &get, id, in.in[0], s->version[in.buf], s->r->b.block);
    return 0;
}

static lo_id walk(struct lo_rewrite *r, lo_id id)
{
    struct simplify *s = r->own;
    const struct lo_insn *old = &r->old.insns.p[id];
    s->r = r;
    if (r->b.depth == 1 && s->open[1].block != r->b.block) { /* a phase begins */
        s->open[1] = (struct open){.block = r->b.block};
        set_depth(s, vec_last(&r->k->phases).chunk, 1);
    }
    if (old->kind == LO_FOR)
        return walk_for(s, old, id);
    if (old->kind == LO_IF)
        return walk_if(s, old);
    struct lo_insn in = lo_rewrite_operands(r, old);
    union lo_num c;
    if (in.kind == LO_LOAD || in.kind == LO_STORE)
        return walk_memory(s, in);
    if (in.kind == LO_SET)
        return walk_set(s, in);
    if (in.kind == LO_TRAP && lo_const_value(r->k, in.in[0], &c) && !c.u8)
        return 0;
    if (in.kind == LO_TRAP || in.kind == LO_BARRIER) {
        for (uint32_t i = 1; in.kind == LO_BARRIER && i < s->buffers; i++)
            touch(s, i);
        lo_append(&r->b, in);
        return 0;
    }
    int known = decided(r->k, &in);
    if (known >= 0)
        return append_placed(s, (struct lo_insn){.kind = LO_CONST, .type = in.type, .i = known});
    return append_placed(s, in);
}

/* Which buffers each block, with those inside, stores to. */
static void note_stores(struct simplify *s, const struct lo_kernel *k, uint32_t block)
{
    uint8_t *stored = &s->stored[block * s->buffers];
    for (uint32_t i = 0; i < k->blocks.p[block].insn.n; i++) {
        const struct lo_insn *in = &k->insns.p[k->blocks.p[block].insn.p[i]];
        if (in->kind == LO_STORE || in->kind == LO_SET)
            stored[in->buf] = 1;
        const uint32_t inner[] = {in->body, in->other};
        for (int j = 0; j < 2; j++) {
            if (!inner[j])
                continue;
            note_stores(s, k, inner[j]);
            for (uint32_t b = 0; b < s->buffers; b++)
                stored[b] |= s->stored[inner[j] * s->buffers + b];
        }
    }
}

void lo_simplify(struct lo_kernel *k)
{
    struct simplify s = {.buffers = k->buffers.n};
    s.version = xcalloc(k->buffers.n, sizeof *s.version);
    s.stored = xcalloc((size_t)k->blocks.n * k->buffers.n, 1);
    for (uint32_t i = 0; i < k->phases.n; i++)
        note_stores(&s, k, k->phases.p[i].body);
    for (uint32_t i = 1; i < k->buffers.n; i++)
        touch(&s, i);
    lo_rewrite(k, walk, &s);
    free(s.version);
    free(s.stored);
    vec_free(&s.depth);
    vec_free(&s.known);
    lo_drop_dead(k);
}
