/* How many registers of 32 bits the values of a GPU's phase want at once: each from where it is
 * made to its last use, and the addresses that loops go through, which are kept from trip to trip.
 * An estimate: the assembler orders instructions anew. */
#include "back/gen.h"

struct span {
    lo_id v;
    uint32_t loop; /* the outermost that the value is older than */
};

/* Differs from another by a constant alone: one address. */
struct place {
    uint32_t buf;
    struct lo_lin at;
};

struct pressure {
    const struct lo_kernel *k;
    uint32_t now, depth;      /* the instruction's place in the phase; loops around it */
    uint32_t loop[64];        /* where each of these begins */
    uint32_t *made, *last;    /* places, by lo_id */
    VEC(lo_id) values;        /* with a place */
    VEC(struct span) waiting; /* uses in loops that have not ended */
    VEC(struct place) places; /* of memory, in loops */
    uint32_t addresses;       /* registers for them */
};

/* What is no more than another name of a value. */
static lo_id origin_of(const struct pressure *p, lo_id v)
{
    const struct lo_insn *in = &p->k->insns.p[v];
    while (in->kind == LO_SPLAT || in->kind == LO_EXTRACT) {
        v = in->in[0];
        in = &p->k->insns.p[v];
    }
    return v;
}

static void use(struct pressure *p, lo_id v)
{
    if (!v)
        return;
    v = origin_of(p, v);
    if (!p->made[v])
        return;
    p->last[v] = p->now;
    for (uint32_t i = 0; i < p->depth; i++)
        if (p->loop[i] > p->made[v]) {
            vec_push(&p->waiting, ((struct span){v, i}));
            return;
        }
}

static void use_lin(struct pressure *p, struct lo_lin l)
{
    for (uint32_t i = 0; i < l.n; i++)
        use(p, l.part[i].v);
}

static bool same_place(const struct place *x, const struct place *y)
{
    if (x->buf != y->buf || x->at.n != y->at.n)
        return false;
    for (uint32_t i = 0; i < x->at.n; i++)
        if (x->at.part[i].v != y->at.part[i].v || x->at.part[i].c != y->at.part[i].c)
            return false;
    return true;
}

static void note_place(struct pressure *p, uint32_t buf, struct lo_lin at)
{
    enum { MOST = 128 };
    struct place new = {buf, at};
    for (uint32_t i = 0; i < p->places.n; i++)
        if (same_place(&p->places.p[i], &new))
            return;
    enum lo_space space = p->k->buffers.p[buf].space;
    if (p->places.n == MOST || (space != LO_ARG && space != LO_SHARED))
        return;
    vec_push(&p->places, new);
    p->addresses += space == LO_ARG ? 2 : 1;
}

static void walk(struct pressure *p, uint32_t block);

static void walk_loop(struct pressure *p, const struct lo_insn *in)
{
    CHECK(p->depth < COUNT(p->loop), "%s: loops in loops", p->k->name);
    p->loop[p->depth++] = p->now;
    walk(p, in->body);
    p->depth--;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->waiting.n; i++) {
        struct span s = p->waiting.p[i];
        if (s.loop == p->depth)
            p->last[s.v] = p->now;
        else
            p->waiting.p[kept++] = s;
    }
    p->waiting.n = kept;
}

static void walk(struct pressure *p, uint32_t block)
{
    for (uint32_t i = 0; i < p->k->blocks.p[block].insn.n; i++) {
        lo_id id = p->k->blocks.p[block].insn.p[i];
        const struct lo_insn *in = &p->k->insns.p[id];
        p->now++;
        for (int k = 0; k < 3; k++)
            use(p, in->in[k]);
        use_lin(p, in->lin);
        use_lin(p, in->hi);
        if (in->kind != LO_CONST && in->kind != LO_SPLAT && in->kind != LO_EXTRACT) {
            p->made[id] = p->last[id] = p->now;
            vec_push(&p->values, id);
        }
        if (p->depth && in->buf)
            note_place(p, in->buf, in->lin);
        if (p->depth && in->from)
            note_place(p, in->from, in->hi);
        if (in->kind == LO_FOR) {
            walk_loop(p, in);
            continue;
        }
        if (in->body)
            walk(p, in->body);
        if (in->other)
            walk(p, in->other);
    }
}

/* Indices are of 32 bits, mostly. Predicates are few, so a bool takes a register, and so does what
 * a guarded read is guarded by. */
static uint32_t registers_of(const struct lo_insn *in)
{
    bool guarded = in->kind == LO_LOAD && in->in[0];
    return in->type.lanes * (in->type.dtype == NN_f64 ? 2u : 1u) + guarded;
}

static uint32_t most_live(struct pressure *p)
{
    uint32_t n = p->now + 2, most = 0, live = 0;
    uint32_t *begin = xcalloc(n, sizeof *begin), *end = xcalloc(n, sizeof *end);
    for (uint32_t i = 0; i < p->values.n; i++) {
        lo_id v = p->values.p[i];
        if (p->last[v] == p->made[v])
            continue;
        begin[p->made[v]] += registers_of(&p->k->insns.p[v]);
        end[p->last[v]] += registers_of(&p->k->insns.p[v]);
    }
    for (uint32_t i = 0; i < n; i++) {
        live += begin[i];
        most = live > most ? live : most;
        live -= end[i];
    }
    free(begin);
    free(end);
    return most;
}

uint32_t nvptx_pressure(const struct lo_kernel *k, uint32_t phase)
{
    struct pressure p = {.k = k};
    p.made = xcalloc(k->insns.n, sizeof *p.made);
    p.last = xcalloc(k->insns.n, sizeof *p.last);
    walk(&p, k->phases.p[phase].body);
    uint32_t most = most_live(&p) + p.addresses;
    free(p.made);
    free(p.last);
    vec_free(&p.values);
    vec_free(&p.waiting);
    vec_free(&p.places);
    return most;
}

void nvptx_trip(const struct lo_kernel *k, uint32_t block, struct nvptx_trip *trip)
{
    for (uint32_t i = 0; block && i < k->blocks.p[block].insn.n; i++) {
        const struct lo_insn *in = &k->insns.p[k->blocks.p[block].insn.p[i]];
        bool global = in->buf && k->buffers.p[in->buf].space == LO_ARG;
        uint32_t before = trip->reads;
        if (in->kind == LO_LOAD && global)
            trip->reads += registers_of(in);
        trip->stores = trip->stores || (in->kind == LO_STORE && global);
        trip->waits = trip->waits || in->kind == LO_BARRIER;
        nvptx_trip(k, in->body, trip);
        nvptx_trip(k, in->other, trip);
        if (in->kind == LO_FOR)
            trip->reads = before;
    }
}
