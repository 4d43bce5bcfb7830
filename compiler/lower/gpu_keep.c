/* What a thread keeps, so that memory is read once: values that several sweeps over a row want
 * (what is read, and what is costly to compute) stay in registers, or in shared memory where the
 * row is too long for them; what every row wants (a norm's weights) is read before the first. */
#include "lower/gpu.h"

enum { COSTLY = 10, WORTH_MOVING = 5 };

/* A read, or a guarded one. */
static bool is_read(const struct gpu *g, const struct fx_val *v)
{
    if (v->kind == FX_PICK)
        return g->s->x.val.p[v->in[0]].kind == FX_LOAD;
    return v->kind == FX_LOAD && !v->cond;
}

static bool may_keep(const struct gpu *g, const struct fx_val *v)
{
    bool worth =
        is_read(g, v) || v->kind == FX_RANDOM || (v->kind == FX_OP && sk_value_cost(v) >= COSTLY);
    bool lanes = g->lanes == 1 || (v->axes >> g->x & 1);
    return worth && lanes && (v->axes & gpu_inner_mask(g)) && v->dtype != NN_bool;
}

static enum nn_dtype type_of(const struct gpu *g, fx_id id)
{
    return sk_compute_type(g->s->x.val.p[id].dtype);
}

/* ---- registers ---- */

struct wants {
    const struct gpu *g;
    uint8_t *early, *seen; /* of each value: earlier sweeps compute it; it is counted */
    int64_t each, once;    /* registers for each point, for all */
};

static void want(struct wants *w, fx_id id)
{
    const struct fx_val *v = &w->g->s->x.val.p[id];
    bool along = w->g->x >= 0 && (v->axes >> w->g->x & 1);
    int64_t words = nn_dtype_size(type_of(w->g, id)) > 4 ? 2 : 1, n = along ? w->g->lanes : 1;
    bool guarded = v->kind == FX_LOAD && v->cond; /* by one more */
    *(v->axes & gpu_inner_mask(w->g) ? &w->each : &w->once) += words * n + guarded;
}

static void want_read(void *ctx, const struct fx *x, fx_id id)
{
    if (x->val.p[id].kind == FX_LOAD)
        want(ctx, id);
}

/* What is there already of what the value is computed from. */
static void want_early(struct wants *w, fx_id id)
{
    const struct fx_val *v = &w->g->s->x.val.p[id];
    if (!id || w->seen[id])
        return;
    w->seen[id] = 1;
    if (!w->early[id])
        for (uint32_t k = 0; k < COUNT(v->in); k++)
            want_early(w, v->in[k]);
    else if (v->kind != FX_CONST && v->kind != FX_INDEX && v->kind != FX_BOUND)
        want(w, id);
}

/* The walk itself marks what it comes by. */
static void mark(void *ctx, const struct fx *x, fx_id id)
{
    (void)ctx;
    (void)x;
    (void)id;
}

int64_t gpu_registers(struct gpu *g, int64_t points)
{
    struct sk *s = g->s;
    uint32_t count = s->c->members.n;
    for (uint32_t i = 0; i < count; i++)
        sk_member(s, i);
    struct wants w = {g, xcalloc(s->x.val.n, 1), xcalloc(s->x.val.n, 1), 0, 0};
    for (uint32_t i = 0; i < count; i++)
        fx_walk(&s->x, sk_member(s, i), w.seen, want_read, &w);
    int64_t most = w.once + points * w.each;
    for (uint32_t sweep = 0; sweep < g->n.sweeps; sweep++) {
        memset(w.seen, 0, s->x.val.n);
        w.once = w.each = 0;
        for (uint32_t i = 0; i < count; i++)
            if (nest_in_sweep(&g->n, i, sweep))
                want_early(&w, sk_member(s, i));
        most = w.once + points * w.each > most ? w.once + points * w.each : most;
        for (uint32_t i = 0; i < count; i++)
            if (nest_in_sweep(&g->n, i, sweep))
                fx_walk(&s->x, sk_member(s, i), w.early, mark, NULL);
    }
    free(w.early);
    free(w.seen);
    return most;
}

/* ---- which ---- */

struct wanted {
    struct gpu *g;
    uint32_t sweep;
    uint8_t *by;     /* how many sweeps want a value */
    uint32_t *first; /* of them the first */
};

static void count_value(void *ctx, const struct fx *x, fx_id id)
{
    struct wanted *w = ctx;
    (void)x;
    if (!w->by[id])
        w->first[id] = w->sweep;
    w->by[id]++;
}

static void walk_sweep(struct gpu *g, uint32_t sweep, uint8_t *seen,
                       void (*fn)(void *, const struct fx *, fx_id), void *ctx)
{
    for (uint32_t i = 0; i < g->s->c->members.n; i++)
        if (nest_in_sweep(&g->n, i, sweep))
            fx_walk(&g->s->x, sk_member(g->s, i), seen, fn, ctx);
}

struct reach {
    fx_id id;
    bool met;
};

static void note_met(void *ctx, const struct fx *x, fx_id id)
{
    struct reach *r = ctx;
    (void)x;
    r->met = r->met || id == r->id;
}

/* Whether the sweep still wants the value, with all others that are kept at hand. */
static bool reached(struct gpu *g, fx_id id, uint32_t sweep)
{
    struct reach r = {id, false};
    uint8_t *seen = xcalloc(g->s->x.val.n, 1);
    for (uint32_t i = 0; i < g->kept.n; i++)
        if (g->kept.p[i].id != id && g->kept.p[i].first < sweep)
            seen[g->kept.p[i].id] = 1;
    walk_sweep(g, sweep, seen, note_met, &r);
    free(seen);
    return r.met;
}

void gpu_find_kept(struct gpu *g)
{
    struct sk *s = g->s;
    uint32_t n = s->x.val.n, outer = gpu_mask(0, s->c->outer);
    struct wanted w = {g, 0, xcalloc(n, 1), xcalloc(n, sizeof *w.first)};
    for (; w.sweep < g->n.sweeps; w.sweep++) {
        uint8_t *seen = xcalloc(n, 1);
        walk_sweep(g, w.sweep, seen, count_value, &w);
        free(seen);
    }
    for (fx_id id = 1; id < n; id++) {
        const struct fx_val *v = &s->x.val.p[id];
        bool always = is_read(g, v) && !(v->axes & outer);
        if (!may_keep(g, v) || (w.by[id] < 2 && !(always && w.by[id])))
            continue;
        struct gpu_kept k = {.id = id, .first = w.first[id], .last = w.first[id], .always = always};
        vec_push(&g->kept, k);
    }
    for (uint32_t i = 0; i < g->kept.n; i++)
        for (uint32_t k = g->kept.p[i].first + 1; k < g->n.sweeps; k++)
            if (reached(g, g->kept.p[i].id, k))
                g->kept.p[i].last = k;
    free(w.by);
    free(w.first);
}

uint32_t gpu_kept_most(const struct gpu *g)
{
    uint32_t most = 0, always = 0;
    for (uint32_t i = 0; i < g->kept.n; i++)
        always += g->kept.p[i].on && g->kept.p[i].always && !g->every;
    for (uint32_t i = 0; i < g->s->c->members.n; i++)
        always += gpu_member(g, i)->role == FUSE_ACROSS;
    for (uint32_t sweep = 0; sweep < g->n.sweeps; sweep++) {
        uint32_t stand = 0;
        for (uint32_t i = 0; i < g->kept.n; i++) {
            const struct gpu_kept *k = &g->kept.p[i];
            stand += k->on && !k->always && k->first <= sweep && sweep < k->last;
        }
        most = stand > most ? stand : most;
    }
    return most + always;
}

bool gpu_has_always(const struct gpu *g)
{
    for (uint32_t i = 0; i < g->kept.n; i++)
        if (g->kept.p[i].always && g->kept.p[i].on)
            return true;
    return false;
}

/* ---- where ---- */

int64_t gpu_always_bytes(const struct gpu *g)
{
    int64_t bytes = 0, count = g->points * g->lanes;
    for (uint32_t i = 0; i < g->kept.n; i++)
        if (g->kept.p[i].on && g->kept.p[i].always)
            bytes += count * (int64_t)nn_dtype_size(type_of(g, g->kept.p[i].id));
    return bytes;
}

/* Shared memory of one that nobody wants any more by the sweep that computes k, or a new place. */
static uint32_t place_of(const struct gpu *g, uint32_t k, const uint32_t *place, uint32_t *places)
{
    const struct gpu_kept *own = &g->kept.p[k];
    for (uint32_t p = 0; p < *places; p++) {
        bool fits = true;
        for (uint32_t i = 0; i < g->kept.n; i++) {
            const struct gpu_kept *o = &g->kept.p[i];
            bool over = o->last <= own->first || own->last <= o->first;
            if (i < k && o->on && !o->always && place[i] == p)
                fits = fits && over && type_of(g, o->id) == type_of(g, own->id);
        }
        if (fits)
            return p;
    }
    return (*places)++;
}

int64_t gpu_find_places(const struct gpu *g, uint32_t *place)
{
    uint32_t places = 0;
    int64_t bytes = 0, count = g->team.group * g->held * g->lanes;
    for (uint32_t i = 0; i < g->kept.n; i++) {
        uint32_t before = places;
        if (!g->kept.p[i].on || g->kept.p[i].always)
            continue;
        place[i] = place_of(g, i, place, &places);
        if (places > before)
            bytes += count * (int64_t)nn_dtype_size(type_of(g, g->kept.p[i].id));
    }
    return bytes;
}

/* Behind what shared memory holds: registers of a thread's turns. */
static void make_tail(struct gpu *g)
{
    struct sk *s = g->s;
    g->held_tail = xmalloc(s->held_n * sizeof *s->held);
    memcpy(g->held_tail, s->held, s->held_n * sizeof *s->held);
    for (uint32_t i = 0; i < g->kept.n; i++) {
        const struct gpu_kept *k = &g->kept.p[i];
        struct lo_type t = {(uint8_t)type_of(g, k->id), (uint16_t)g->lanes};
        if (k->on && !k->always)
            g->held_tail[k->id].buf = lo_buffer(s->b.k, LO_REG, "tail", t, g->tail);
    }
}

void gpu_make_kept(struct gpu *g)
{
    struct sk *s = g->s;
    uint32_t *place = xcalloc(g->kept.n + 1, sizeof *place);
    uint32_t *buf = xcalloc(g->kept.n + 1, sizeof *buf);
    s->held_n = s->x.val.n;
    s->held = xcalloc(s->held_n, sizeof *s->held);
    gpu_find_places(g, place);
    for (uint32_t i = 0; i < g->kept.n; i++) {
        const struct gpu_kept *k = &g->kept.p[i];
        struct sk_held *h = &s->held[k->id];
        bool every = k->always && g->every, shared = every || g->shared;
        struct lo_type t = {(uint8_t)type_of(g, k->id), (uint16_t)(shared ? 1 : g->lanes)};
        if (!k->on)
            continue;
        uint32_t *b = shared && !every ? &buf[place[i]] : &h->buf;
        int64_t count = g->lanes * (every ? g->points : g->held * g->team.group);
        if (!*b)
            *b = lo_buffer(s->b.k, shared ? LO_SHARED : LO_REG, every ? "every" : "row", t,
                           shared ? count : g->turns);
        h->buf = *b;
        h->at = every ? GPU_EVERY : GPU_OWN;
    }
    free(place);
    free(buf);
    if (g->tail)
        make_tail(g);
}

static void set_ready(struct gpu *g, const struct gpu_kept *k, bool ready)
{
    g->s->held[k->id].ready = ready;
    if (g->held_tail)
        g->held_tail[k->id].ready = ready;
}

void gpu_row_starts(struct gpu *g)
{
    for (uint32_t i = 0; i < g->kept.n; i++)
        if (g->kept.p[i].on)
            set_ready(g, &g->kept.p[i], g->kept.p[i].always);
}

void gpu_kept_ready(struct gpu *g, uint32_t sweep)
{
    for (uint32_t i = 0; i < g->kept.n; i++)
        if (g->kept.p[i].on && g->kept.p[i].first == sweep)
            set_ready(g, &g->kept.p[i], true);
}

/* ---- what loops need not compute ---- */

struct steady {
    const struct gpu *g;
    uint32_t moving;
    bool bound; /* results of reductions are known */
    VEC(fx_id) id;
};

static void note_steady(void *ctx, const struct fx *x, fx_id id)
{
    struct steady *f = ctx;
    const struct fx_val *v = &x->val.p[id];
    bool worth = is_read(f->g, v) || v->kind == FX_RANDOM ||
                 (v->kind == FX_OP && sk_value_cost(v) >= WORTH_MOVING);
    if (worth && !(v->axes & f->moving) && (f->bound || !v->bound))
        vec_push(&f->id, id);
}

void gpu_prefetch(struct gpu *g, uint32_t moving, uint32_t sweep)
{
    struct sk *s = g->s;
    struct steady f = {.g = g, .moving = moving, .bound = sweep != UINT32_MAX};
    sk_make_members(s);
    uint8_t *seen = xcalloc(s->x.val.n, 1);
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        bool last = gpu_member(g, i)->role == FUSE_FINISH;
        if (sweep == UINT32_MAX ? !last : nest_in_sweep(&g->n, i, sweep))
            fx_walk(&s->x, sk_member(s, i), seen, note_steady, &f);
    }
    free(seen);
    for (uint32_t i = 0; i < f.id.n; i++)
        sk_value(s, f.id.p[i]);
    vec_free(&f.id);
}
