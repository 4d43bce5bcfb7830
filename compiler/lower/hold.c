/* Rows that fit are held: a transcendental or random number that several sweeps over a row want is
 * computed by the first and kept in a local buffer of the row's size. */
#include "lower/nest.h"

enum { MOST_BYTES = 16384 };

static bool costly(const struct fx_val *v)
{
    return v->kind == FX_RANDOM || (v->kind == FX_OP && sk_value_cost(v) >= 10);
}

struct users {
    struct nest *n;
    uint32_t sweep;
    uint8_t *wanted; /* by how many sweeps */
};

static void note(void *ctx, const struct fx *x, fx_id id)
{
    struct users *u = ctx;
    const struct fx_val *v = &x->val.p[id];
    if (!costly(v) || !(v->axes >> u->n->v & 1))
        return;
    if (!u->wanted[id])
        u->n->first[id] = u->sweep;
    u->wanted[id]++;
}

/* Inner points, the vector axis innermost and rounded up to whole vectors. */
static int64_t layout(struct nest *n)
{
    struct sk *s = n->s;
    int64_t size = (n->trip[n->v] + n->lanes - 1) / n->lanes * n->lanes;
    s->held_stride[n->v] = 1;
    for (uint32_t i = s->c->outer; i < s->c->outer + s->c->inner; i++) {
        if ((int)i == n->v)
            continue;
        s->held_stride[i] = size;
        size *= n->trip[i];
    }
    return size;
}

static void count_uses(struct nest *n, uint8_t *wanted)
{
    struct sk *s = n->s;
    for (uint32_t sweep = 0; sweep < n->sweeps; sweep++) {
        struct users u = {n, sweep, wanted};
        uint8_t *seen = xcalloc(s->x.val.n, 1);
        for (uint32_t i = 0; i < s->c->members.n; i++)
            if (nest_in_sweep(n, i, sweep))
                fx_walk(&s->x, sk_member(s, i), seen, note, &u);
        free(seen);
    }
}

void nest_hold(struct nest *n)
{
    struct sk *s = n->s;
    if (!nest_v_inner(n) || n->sweeps < 2)
        return;
    int64_t size = layout(n), left = MOST_BYTES;
    uint8_t *wanted = xcalloc(s->x.val.n, 1);
    n->first = xcalloc(s->x.val.n, sizeof *n->first);
    s->held = xcalloc(s->x.val.n, sizeof *s->held);
    s->held_n = s->x.val.n;
    count_uses(n, wanted);
    for (fx_id id = 1; id < s->x.val.n; id++) {
        struct lo_type t = {(uint8_t)sk_compute_type(s->x.val.p[id].dtype), 1};
        int64_t bytes = size * (int64_t)nn_dtype_size(t.dtype);
        if (wanted[id] < 2 || bytes > left)
            continue;
        left -= bytes;
        s->held[id].buf = lo_buffer(s->b.k, LO_LOCAL, "row", t, size);
    }
    free(wanted);
}
