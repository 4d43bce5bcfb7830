/* How the reads of a factor, or of what follows a contraction, lie in memory: along the flat number
 * of a group of axes, several at once, aligned, under conditions or not. */
#include "lower/gpu_contract.h"

/* The axes of the group stand in e as a factor of their flat number, and nowhere else (or not at
 * all): then neighbours may cross from one axis to the next. */
static bool linear(const struct fx *x, const struct ix *e, const struct gc_group *g)
{
    for (uint32_t i = 0; i < e->n; i++) {
        const struct ix_atom *a = &e->part[i].a;
        if (a->kind == IX_OPERAND ? (x->val.p[a->v].axes & g->mask) != 0
                                  : a->e && (fx_ix_axes(x, a->e) & g->mask))
            return false;
    }
    int64_t step = ix_coef(e, g->axis[g->n - 1]), size = 1;
    for (uint32_t i = g->n; i-- > 0;) {
        if (ix_coef(e, g->axis[i]) != step * size)
            return false;
        size *= x->dim[g->axis[i]];
    }
    return true;
}

struct reads {
    const struct gc *c;
    const struct gc_group *g;
    int64_t vec;
    uint32_t axes;                        /* for `guarded` */
    bool crooked, apart, narrow, guarded; /* not linear; not neighbours; not aligned */
    bool moves;                           /* some read goes on by one */
};

static uint32_t vector_axis(const struct gc_group *g) { return g->axis[g->n - 1]; }

static bool inside_axis(const struct reads *r)
{
    return r->g->n == 1 || r->c->s->x.dim[vector_axis(r->g)] % r->vec == 0;
}

/* What stands beside the vector axis in e is a multiple of vec. */
static bool others_aligned(const struct reads *r, const struct ix *e)
{
    for (uint32_t i = 0; i < e->n; i++) {
        const struct ix_part *p = &e->part[i];
        if (p->c % r->vec && !(p->a.kind == IX_AXIS && p->a.v == vector_axis(r->g)))
            return false;
    }
    return e->c0 % r->vec == 0;
}

/* The rest of the vector axis by a multiple of vec, from a multiple of vec on: goes on along the
 * lanes as the axis does. */
static bool goes_on(const struct reads *r, const struct ix_atom *a)
{
    return a->kind == IX_MOD && a->q % r->vec == 0 && ix_coef(a->e, vector_axis(r->g)) == 1 &&
           others_aligned(r, a->e);
}

/* All of the address but what moves along the lanes is a multiple of vec. */
static bool aligned(const struct reads *r, const struct ix *at)
{
    bool flat = linear(&r->c->s->x, at, r->g);
    if (at->c0 % r->vec)
        return false;
    for (uint32_t i = 0; i < at->n; i++) {
        const struct ix_part *p = &at->part[i];
        bool mine = p->a.kind == IX_AXIS
                        ? p->a.v == vector_axis(r->g) || (flat && r->g->mask >> p->a.v & 1)
                        : goes_on(r, &p->a);
        if (!mine && p->c % r->vec)
            return false;
    }
    return true;
}

static void look_at(struct reads *r, const struct ix *at)
{
    const struct fx *x = &r->c->s->x;
    r->crooked = r->crooked || !linear(x, at, r->g);
    int step = sk_stride(r->c->s, at, vector_axis(r->g));
    r->apart = r->apart || step < 0;
    r->moves = r->moves || step == 1;
    r->narrow = r->narrow || (step != 0 && !aligned(r, at));
}

static void look_cond(struct reads *r, uint32_t cond)
{
    const struct fx *x = &r->c->s->x;
    for (uint32_t i = cond; i; i = x->cond.p[i].up) {
        uint32_t axes = fx_ix_axes(x, x->cond.p[i].g.e);
        r->guarded = r->guarded || (axes & r->axes);
        if (axes & r->g->mask)
            r->crooked = true;
    }
}

static void look(void *ctx, const struct fx *x, fx_id id)
{
    struct reads *r = ctx;
    const struct fx_val *v = &x->val.p[id];
    look_cond(r, v->cond);
    look_cond(r, v->pick);
    if (v->kind == FX_LOAD)
        look_at(r, v->at);
    if (v->kind == FX_INDEX || v->kind == FX_RANDOM)
        r->crooked = r->crooked || !linear(x, v->at, r->g);
}

static struct reads walk(const struct gc *c, fx_id v, const struct gc_group *g, int64_t vec,
                         uint32_t axes)
{
    struct reads r = {.c = c, .g = g, .vec = vec, .axes = axes};
    uint8_t *seen = xcalloc(c->s->x.val.n, 1);
    fx_walk(&c->s->x, v, seen, look, &r);
    free(seen);
    return r;
}

bool gc_may_vector(const struct gc *c, fx_id v, const struct gc_group *g, int64_t vec)
{
    struct reads r = walk(c, v, g, vec, 0);
    return g->size % vec == 0 && (inside_axis(&r) || !r.crooked);
}

bool gc_wide(const struct gc *c, fx_id v, const struct gc_group *g, int64_t vec)
{
    struct reads r = walk(c, v, g, vec, 1u << vector_axis(g));
    return g->size % vec == 0 && (inside_axis(&r) || !r.crooked) && !r.apart && !r.narrow &&
           !r.guarded;
}

bool gc_wide_address(const struct gc *c, const struct ix *at, const struct gc_group *g, int64_t vec)
{
    struct reads r = {.c = c, .g = g, .vec = vec};
    look_at(&r, at);
    return g->size % vec == 0 && (inside_axis(&r) || !r.crooked) && !r.apart && !r.narrow &&
           sk_stride(c->s, at, vector_axis(g)) == 1;
}

bool gc_contiguous(const struct gc *c, fx_id v, const struct gc_group *g)
{
    struct reads r = walk(c, v, g, 1, 0);
    return r.moves && !r.apart;
}

bool gc_guarded(const struct gc *c, fx_id v) { return walk(c, v, &c->k, 1, ~0u).guarded; }

/* What the way to the products does anyway: a cast to the type of shared memory, or from a narrow
 * one to f32; the rounding of fragments. */
static bool cast_on_the_way(const struct gc *c, const struct fx_val *v)
{
    enum nn_dtype from = (enum nn_dtype)c->s->x.val.p[v->in[0]].dtype;
    if (v->kind == FX_OP && v->op == IR_round_tf32)
        return c->unit == MATMUL_TF32;
    if (v->kind != FX_OP || v->op != IR_cast)
        return false;
    if (v->dtype == NN_f32)
        return from == NN_f16 || from == NN_bf16;
    return from == NN_f32 && v->dtype == gc_shared_type(c);
}

const struct fx_val *gc_plain_load(const struct gc *c, fx_id id, uint32_t *cond)
{
    const struct fx_val *v = &c->s->x.val.p[id];
    *cond = v->cond;
    for (;;) {
        if (v->kind == FX_PICK && v->f == 0)
            *cond = v->pick;
        else if (v->kind != FX_OP || !cast_on_the_way(c, v))
            break;
        v = &c->s->x.val.p[v->in[0]];
    }
    return v->kind == FX_LOAD && v->cond == *cond ? v : NULL;
}

bool gc_plain(const struct gc *c, fx_id id)
{
    uint32_t cond;
    const struct fx_val *v = gc_plain_load(c, id, &cond);
    if (!v || !nn_is_float(v->dtype) || ix_uses_operand(v->at))
        return false;
    for (uint32_t i = cond; i; i = c->s->x.cond.p[i].up)
        if (c->s->x.cond.p[i].g.strict || ix_uses_operand(c->s->x.cond.p[i].g.e))
            return false;
    return true;
}
