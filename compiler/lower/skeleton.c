/* The context that skeletons lower in: arguments, where the axes stand, values emitted once. What
 * was emitted is remembered until an axis that it depends on moves, a reduction under it is bound
 * anew, or the block that it was emitted in ends. */
#include "lower/skeleton.h"

/* ---- setting up ---- */

static uint32_t argument(struct sk *s, ir_id node, bool write)
{
    const struct ir_node *n = ir_at(s->plan->g, node);
    const char *name = write ? "y" : "x";
    if (n->op == IR_slot)
        name = s->plan->g->m->slots.p[n->attr.i].name;
    else if (n->op == IR_input)
        name = n->name;
    struct lo_type t = {n->dtype, 1};
    uint32_t buf = lo_buffer(s->b.k, LO_ARG, name, t, ir_count(n));
    vec_push(&s->launch->args, ((struct low_arg){.node = node, .write = write}));
    return buf;
}

static char *kernel_name(const struct sk *s)
{
    static const char *const skeleton[] = {"map",     "row",    "column", "contract",
                                           "scatter", "prefix", "chain"};
    const struct ir_node *n = ir_at(s->plan->g, s->c->anchor);
    const struct ir_origin *o = &s->plan->g->m->origins.p[n->origin];
    struct text t = {0};
    if (o->path && *o->path)
        text_printf(&t, "%s_%s", o->path, o->role ? o->role : "");
    else
        text_printf(&t, "%s_%u", ir_op_name(n->op), s->c->anchor);
    text_printf(&t, "_%s", skeleton[s->c->skeleton]);
    for (char *p = t.p; *p; p++)
        if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') && !(*p >= '0' && *p <= '9'))
            *p = '_';
    return t.p;
}

static void begin_values(struct sk *s)
{
    s->mode = fuse_modes(s->plan, s->c);
    fuse_fx_begin(&s->x, s->plan, s->c, s->mode);
    s->member = xcalloc(s->c->members.n, sizeof *s->member);
}

static void end_values(struct sk *s)
{
    fx_end(&s->x);
    free(s->mode);
    free(s->member);
}

static void begin(struct sk *s)
{
    begin_values(s);
    s->buf = xcalloc(s->plan->g->nodes.n, sizeof *s->buf);
    s->out = xcalloc(s->plan->g->nodes.n, sizeof *s->out);
    s->binding = xcalloc(s->plan->g->nodes.n, sizeof *s->binding);
}

struct fuse_cluster *sk_space(struct sk *s, const struct ix ***through)
{
    uint32_t n = s->c->outer + s->c->inner;
    s->spaces = s->spaces ? s->spaces : arena_new();
    struct fuse_cluster *c = arena_dup(s->spaces, s->c, sizeof *c);
    *through = ARENA_ARRAY(s->spaces, const struct ix *, n);
    for (uint32_t i = 0; i < n; i++)
        (*through)[i] = ix_axis(s->spaces, i);
    c->through = *through;
    return c;
}

void sk_enter(struct sk *s, const struct fuse_cluster *space)
{
    sk_close(s, 0);
    s->stands = 0;
    memset(s->placed, 0, sizeof s->placed);
    end_values(s);
    s->c = space;
    begin_values(s);
    memset(s->limit, 0, sizeof s->limit);
    if (s->b.depth) /* within a phase */
        sk_live(s);
}

void sk_begin(struct sk *s, const struct fuse_plan *p, const struct fuse_cluster *c,
              struct low_launch *launch)
{
    *s = (struct sk){.plan = p, .c = c, .t = p->target, .launch = launch, .vaxis = -1, .lanes = 1};
    begin(s);
    char *name = kernel_name(s);
    s->b = (struct lo_builder){.k = lo_kernel_new(name), .origin = ir_at(p->g, c->anchor)->origin};
    free(name);
    launch->kernel = s->b.k;
    launch->origin = s->b.origin;
    for (uint32_t i = 0; i < c->inputs.n; i++)
        s->buf[c->inputs.p[i]] = argument(s, c->inputs.p[i], false);
    for (uint32_t i = 0; i < c->members.n; i++)
        if (c->members.p[i].stored)
            s->out[c->members.p[i].node] = argument(s, c->members.p[i].node, true);
}

void sk_begin_stage(struct sk *s, const struct sk *chain, const struct fuse_cluster *stage,
                    const uint32_t *buf)
{
    *s = (struct sk){.plan = chain->plan,
                     .c = stage,
                     .t = chain->t,
                     .launch = chain->launch,
                     .within = true,
                     .b = chain->b,
                     .vaxis = -1,
                     .lanes = 1};
    begin(s);
    for (uint32_t i = 0; i < stage->inputs.n; i++) {
        ir_id x = stage->inputs.p[i];
        s->buf[x] = buf[x] ? buf[x] : chain->out[x] ? chain->out[x] : chain->buf[x];
    }
    for (uint32_t i = 0; i < stage->members.n; i++) {
        ir_id x = stage->members.p[i].node;
        if (stage->members.p[i].stored)
            s->out[x] = buf[x] ? buf[x] : chain->out[x];
    }
    if (s->t->kind == TARGET_CPU) /* a GPU's ends whole blocks */
        sk_live(s);
}

void sk_end_stage(struct sk *s, struct sk *chain)
{
    chain->b = s->b;
    sk_end(s);
}

void sk_end(struct sk *s)
{
    end_values(s);
    if (s->spaces)
        arena_free(s->spaces);
    free(s->buf);
    free(s->out);
    free(s->memo);
    free(s->cond_memo);
    free(s->binding);
    free(s->held);
    vec_free(&s->journal);
}

uint32_t sk_temporary(struct sk *s, const char *name, enum nn_dtype t, int64_t count)
{
    uint32_t buf = lo_buffer(s->b.k, LO_ARG, name, (struct lo_type){(uint8_t)t, 1}, count);
    int64_t bytes = count * (int64_t)nn_dtype_size(t);
    vec_push(&s->launch->args, ((struct low_arg){.bytes = bytes, .write = true}));
    return buf;
}

fx_id sk_member(struct sk *s, uint32_t member)
{
    if (!s->member[member])
        s->member[member] = fuse_member_value(&s->x, s->c, member);
    return s->member[member];
}

void sk_make_members(struct sk *s)
{
    for (uint32_t i = 0; i < s->c->members.n; i++)
        sk_member(s, i);
}

enum nn_dtype sk_compute_type(enum nn_dtype t) { return t == NN_f16 || t == NN_bf16 ? NN_f32 : t; }

struct lo_type sk_type(const struct sk *s, enum nn_dtype t, bool vector)
{
    return (struct lo_type){(uint8_t)sk_compute_type(t), (uint16_t)(vector ? s->lanes : 1)};
}

/* ---- what was emitted ---- */

/* An entry of the journal: 0 where it is void. */
enum entry { VALUE, CONDITION, PLACE };

static void note(struct sk *s, enum entry kind, uint32_t id)
{
    vec_push(&s->journal, 4 * id + kind);
}

static lo_id *grown(lo_id *p, uint32_t *n, uint32_t want)
{
    if (want <= *n)
        return p;
    want = want < 2 * *n ? 2 * *n : want + 64;
    p = xrealloc(p, want * sizeof *p);
    memset(p + *n, 0, (want - *n) * sizeof *p);
    *n = want;
    return p;
}

static lo_id remember(struct sk *s, fx_id id, lo_id v)
{
    s->memo = grown(s->memo, &s->memo_n, id + 1);
    s->memo[id] = v;
    note(s, VALUE, id);
    return v;
}

void sk_remember_condition(struct sk *s, uint32_t cond, lo_id v)
{
    s->cond_memo = grown(s->cond_memo, &s->cond_n, cond + 1);
    s->cond_memo[cond] = v;
    note(s, CONDITION, cond);
}

static void drop(struct sk *s, uint32_t entry)
{
    uint32_t id = entry / 4;
    switch ((enum entry)(entry % 4)) {
    case VALUE: s->memo[id] = 0; break;
    case CONDITION: s->cond_memo[id] = 0; break;
    case PLACE:
        s->stands &= ~(1u << id);
        s->placed[id] = 0;
        break;
    }
}

static bool depends(const struct sk *s, uint32_t entry, uint32_t axes, bool bound)
{
    uint32_t id = entry / 4;
    switch ((enum entry)(entry % 4)) {
    case VALUE: return (s->x.val.p[id].axes & axes) || (bound && s->x.val.p[id].bound);
    case CONDITION: return (s->x.cond.p[id].axes & axes) || bound;
    case PLACE: break;
    }
    return false;
}

/* Entries stay in the journal, as 0, so that marks hold. */
static void forget(struct sk *s, uint32_t axes, bool bound)
{
    for (uint32_t i = 0; i < s->journal.n; i++) {
        uint32_t e = s->journal.p[i];
        if (e && depends(s, e, axes, bound)) {
            drop(s, e);
            s->journal.p[i] = 0;
        }
    }
}

uint32_t sk_open(struct sk *s) { return s->scope = s->journal.n; }

void sk_close(struct sk *s, uint32_t mark)
{
    while (s->journal.n > mark) {
        uint32_t e = vec_last(&s->journal);
        if (e)
            drop(s, e);
        s->journal.n--;
    }
    s->scope = mark;
}

/* An axis is written down once in a scope, however often it moves there. */
void sk_axis(struct sk *s, uint32_t axis, struct lo_lin at)
{
    forget(s, 1u << axis, false);
    s->axis[axis] = at;
    s->stands |= 1u << axis;
    if (s->placed[axis] > s->scope)
        return;
    note(s, PLACE, axis);
    s->placed[axis] = s->journal.n;
}

struct lo_lin sk_at(const struct sk *s, uint32_t axis)
{
    CHECK(s->stands >> axis & 1, "%s: axis %u is read before it stands", s->b.k->name, axis);
    return s->axis[axis];
}

void sk_vector(struct sk *s, uint32_t axis, struct lo_lin at, uint32_t lanes, lo_id mask)
{
    if (s->vaxis >= 0)
        forget(s, 1u << s->vaxis, false);
    s->vaxis = (int)axis;
    s->lanes = lanes;
    s->mask = mask;
    sk_axis(s, axis, at);
}

/* The axis stands at no one point then. */
void sk_scalar(struct sk *s)
{
    if (s->vaxis >= 0) {
        forget(s, 1u << s->vaxis, false);
        s->stands &= ~(1u << s->vaxis);
    }
    s->vaxis = -1;
    s->lanes = 1;
    s->mask = 0;
}

lo_id sk_for(struct sk *s, uint32_t axis, enum lo_loop how, struct lo_lin from, struct lo_lin to,
             int64_t step)
{
    lo_id v = lo_for(&s->b, how, from, to, step);
    sk_axis(s, axis, lo_lin_v(&s->b, v));
    return v;
}

void sk_bind(struct sk *s, ir_id node, lo_id value)
{
    forget(s, 0, true);
    s->binding[node] = value;
}

/* ---- values ---- */

static lo_id number_constant(struct sk *s, enum nn_dtype t, double f, int64_t i)
{
    struct lo_type type = sk_type(s, t, false);
    return nn_is_float(t) ? lo_const_f(&s->b, type, f) : lo_const_i(&s->b, type, i);
}

/* A pick's fill in the type of its buffer or, for computed values, in the compute type. */
static lo_id fill_constant(struct sk *s, enum nn_dtype t, double f)
{
    struct lo_type type = {(uint8_t)t, 1};
    if (nn_is_float(t))
        return lo_const_f(&s->b, type, f);
    int64_t limit = t == NN_i64 ? INT64_MAX : INT32_MAX;
    int64_t i = f >= (double)limit    ? limit
                : f <= -(double)limit ? -limit - 1
                : f != f              ? 0
                                      : (int64_t)f;
    if (t == NN_i8)
        i = i > 127 ? 127 : i < -128 ? -128 : i;
    if (t == NN_u8)
        i = i > 255 ? 255 : i < 0 ? 0 : i;
    if (t == NN_bool)
        i = f != 0;
    return lo_const_i(&s->b, type, i);
}

static lo_id load_value(struct sk *s, const struct fx_val *v, uint32_t cond, lo_id fill,
                        bool vector)
{
    uint32_t buf = s->buf[v->node];
    CHECK(buf, "%s: %%%u is read but no argument", s->b.k->name, v->node);
    lo_id mask = sk_condition(s, cond, 0);
    lo_id r = sk_load(s, buf, v->at, vector, mask, mask ? fill : 0);
    return lo_cast(&s->b, sk_compute_type(v->dtype), r);
}

static lo_id pick_value(struct sk *s, const struct fx_val *v, bool vector)
{
    sk_traps(s, v->pick, v->cond);
    const struct fx_val in = s->x.val.p[v->in[0]];
    if (in.kind == FX_LOAD && in.cond == v->pick)
        return load_value(s, &in, in.cond, fill_constant(s, in.dtype, v->f), vector);
    struct lo_type t = sk_type(s, v->dtype, vector);
    lo_id value = vector ? sk_lanes(s, v->in[0]) : sk_value(s, v->in[0]);
    lo_id ok = sk_condition(s, v->pick, v->cond);
    lo_id fill = lo_cast(&s->b, t.dtype, fill_constant(s, v->dtype, v->f));
    return ok ? lo_op(&s->b, IR_select, t, ok, value, fill) : value;
}

static lo_id random_value(struct sk *s, const struct fx_val *v)
{
    lo_id seed = lo_cast(&s->b, NN_i64, sk_value(s, v->in[0]));
    lo_id step = lo_cast(&s->b, NN_i64, sk_value(s, v->in[1]));
    return lo_random(&s->b, seed, step, (uint64_t)v->i, v->op, sk_number(s, v->at, NN_i64));
}

static lo_id op_value(struct sk *s, const struct fx_val *v, bool vector)
{
    lo_id in[3] = {0};
    int arity = ir_op_arity(v->op);
    for (int i = 0; i < arity; i++)
        in[i] = vector ? sk_lanes(s, v->in[i]) : sk_value(s, v->in[i]);
    struct lo_type t = sk_type(s, v->dtype, vector);
    if (v->op == IR_cast) { /* to half precision: rounded, and computed with in f32 */
        lo_id r = lo_cast(&s->b, v->dtype, in[0]);
        return lo_cast(&s->b, t.dtype, r);
    }
    return lo_op(&s->b, v->op, t, in[0], in[1], in[2]);
}

static struct lo_lin held_address(struct sk *s)
{
    struct lo_lin at = lo_lin_c(0);
    for (uint32_t i = 0; i < s->x.n; i++)
        if (s->held_stride[i])
            at = lo_lin_add(&s->b, at, lo_lin_mul(&s->b, sk_at(s, i), s->held_stride[i]));
    return at;
}

static lo_id held_load(struct sk *s, struct sk_held h)
{
    enum lo_space space = s->b.k->buffers.p[h.buf].space;
    if (space == LO_REG)
        return lo_get(&s->b, h.buf, s->held_at[h.at]);
    struct lo_lin at = space == LO_SHARED ? s->held_at[h.at] : held_address(s);
    return lo_load(&s->b, h.buf, at, s->lanes, 0, 0);
}

static void held_store(struct sk *s, struct sk_held h, lo_id v)
{
    enum lo_space space = s->b.k->buffers.p[h.buf].space;
    v = lo_splat(&s->b, v, s->lanes);
    if (space == LO_REG)
        lo_set(&s->b, h.buf, s->held_at[h.at], v);
    else
        lo_store(&s->b, h.buf, space == LO_SHARED ? s->held_at[h.at] : held_address(s), v, 0);
}

lo_id sk_value(struct sk *s, fx_id id)
{
    if (id < s->memo_n && s->memo[id])
        return s->memo[id];
    struct sk_held held = id < s->held_n ? s->held[id] : (struct sk_held){0};
    if (held.buf && held.ready)
        return remember(s, id, held_load(s, held));
    const struct fx_val v = s->x.val.p[id];
    bool vector = sk_is_vector(s, id);
    lo_id r = 0;
    uint32_t outer = s->b.origin;
    s->b.origin = v.origin ? v.origin : outer;
    switch ((enum fx_kind)v.kind) {
    case FX_LOAD: r = load_value(s, &v, v.cond, 0, vector); break;
    case FX_BOUND:
        r = s->binding[v.node];
        CHECK(r, "%s: %%%u is used before it is known", s->b.k->name, v.node);
        s->b.origin = outer;
        return vector ? lo_splat(&s->b, r, s->lanes) : r;
    case FX_CONST: r = number_constant(s, v.dtype, v.f, v.i); break;
    case FX_INDEX: r = sk_number(s, v.at, v.dtype); break;
    case FX_RANDOM: r = random_value(s, &v); break;
    case FX_OP: r = op_value(s, &v, vector); break;
    case FX_PICK: r = pick_value(s, &v, vector); break;
    }
    if (held.buf)
        held_store(s, held, r);
    s->b.origin = outer;
    return remember(s, id, r);
}

lo_id sk_lanes(struct sk *s, fx_id v)
{
    lo_id r = sk_value(s, v);
    return s->vaxis >= 0 ? lo_splat(&s->b, r, s->lanes) : r;
}

void sk_known(struct sk *s, fx_id v, lo_id value) { remember(s, v, value); }

void sk_store(struct sk *s, uint32_t member, lo_id value)
{
    const struct fuse_member *m = &s->c->members.p[member];
    sk_store_at(s, s->out[m->node], sk_member_address(s, member), value);
}

void sk_finish(struct sk *s, uint32_t member, lo_id sum)
{
    ir_id node = s->c->members.p[member].node;
    enum nn_dtype t = (enum nn_dtype)ir_at(s->plan->g, node)->dtype;
    enum nn_dtype acc = (enum nn_dtype)s->b.k->insns.p[sum].type.dtype;
    sum = lo_cast(&s->b, acc,
                  lo_cast(&s->b, t, sum)); /* as a reader of the stored sum would see it */
    sk_bind(s, node, sum);
    lo_id *value = xcalloc(s->c->members.n, sizeof *value);
    for (uint32_t i = 0; i < s->c->members.n; i++)
        if (s->c->members.p[i].stored)
            value[i] = i == member ? sum : sk_lanes(s, sk_member(s, i));
    for (uint32_t i = 0; i < s->c->members.n; i++)
        if (value[i])
            sk_store(s, i, value[i]);
    free(value);
}

const struct ix *sk_member_address(struct sk *s, uint32_t member)
{
    const struct fuse_member *m = &s->c->members.p[member];
    const struct ix *at[IR_MAX_AXES];
    fuse_member_coords(&s->x, s->c, m, at);
    return fx_place(&s->x, m->node, at);
}

/* ---- folding ---- */

lo_id sk_identity(struct sk *s, enum ir_monoid m, enum nn_dtype t, uint32_t lanes)
{
    struct lo_type type = {(uint8_t)sk_compute_type(t), (uint16_t)lanes};
    double v = ir_monoid_identity(m, t);
    if (nn_is_float(t))
        return lo_const_f(&s->b, type, v);
    return lo_const_i(&s->b, type, v >= 9.2e18 ? INT64_MAX : v <= -9.2e18 ? INT64_MIN : (int64_t)v);
}

lo_id sk_combine(struct sk *s, enum ir_monoid m, lo_id x, lo_id y)
{
    struct lo_type t = s->b.k->insns.p[x].type, u = s->b.k->insns.p[y].type;
    return lo_op(&s->b, ir_monoid_combine(m), t.lanes > u.lanes ? t : u, x, y, 0);
}

void sk_open_run(struct sk *s, int64_t run, int64_t step, struct lo_lin *from, struct lo_lin *to)
{
    struct lo_builder *b = &s->b;
    bool whole = !from->n && !to->n && (to->c0 - from->c0) % (run * step) == 0;
    struct lo_type i64 = {NN_i64, 1};
    lo_id at = lo_for(b, LO_SERIAL, *from, *to, run * step);
    struct lo_lin end = lo_lin_add(b, lo_lin_v(b, at), lo_lin_c(run * step));
    if (!whole)
        end = lo_lin_v(b, lo_op(b, IR_min, i64, lo_value(b, end), lo_value(b, *to), 0));
    *from = lo_lin_v(b, at);
    *to = end;
}

int64_t sk_run_length(int64_t trip, int64_t each, int64_t most)
{
    int64_t run = most / each < 1 ? 1 : most / each;
    for (int64_t r = run; r > run / 2; r--)
        if (trip % r == 0)
            return r;
    return run;
}

struct sk_chunks sk_chunks(const struct sk *s, int64_t n, int64_t least)
{
    int64_t most = s->within ? 1 : s->t->max_chunks;
    int64_t per = (n + most - 1) / most;
    per = per < least ? least : per;
    per = per < 1 ? 1 : per;
    int64_t chunks = (n + per - 1) / per;
    return (struct sk_chunks){n, per < n || !n ? per : n, chunks < 1 ? 1 : chunks};
}

lo_id sk_phase(struct sk *s, struct sk_chunks k, struct lo_lin *from, struct lo_lin *to)
{
    lo_id chunk = s->within ? 0 : lo_phase(&s->b, k.chunks);
    if (!s->within)
        sk_live(s);
    if (k.chunks == 1) {
        *from = lo_lin_c(0);
        *to = lo_lin_c(k.n);
        return chunk;
    }
    *from = lo_lin_mul(&s->b, lo_lin_v(&s->b, chunk), k.per);
    *to = lo_lin_add(&s->b, *from, lo_lin_c(k.per));
    if (k.n % k.per) {
        lo_id end = lo_op(&s->b, IR_min, (struct lo_type){NN_i64, 1}, lo_value(&s->b, *to),
                          lo_const_i(&s->b, (struct lo_type){NN_i64, 1}, k.n), 0);
        *to = lo_lin_v(&s->b, end);
    }
    return chunk;
}

void sk_phase_end(struct sk *s)
{
    if (!s->within)
        lo_end(&s->b);
}

void sk_limited(struct sk *s, uint32_t axis, int64_t size, struct lo_lin *from, struct lo_lin *to)
{
    struct lo_builder *b = &s->b;
    const struct sk_limit *l = &s->limit[axis];
    struct lo_type t = {NN_i64, 1};
    if (!l->on)
        return;
    lo_id n = lo_const_i(b, t, size), first = lo_value(b, l->from);
    lo_id last = lo_value(b, lo_lin_add(b, l->to, lo_lin_c(size - 1)));
    first = lo_op(b, IR_max, t, lo_value(b, *from), lo_op(b, IR_idiv, t, first, n, 0), 0);
    last = lo_op(b, IR_min, t, lo_value(b, *to), lo_op(b, IR_idiv, t, last, n, 0), 0);
    *from = lo_lin_v(b, first);
    *to = lo_lin_v(b, last);
}

struct lo_lin sk_extent(struct sk *s, const struct ir_live *l)
{
    struct lo_builder *b = &s->b;
    struct lo_type t = {NN_i64, 1};
    uint32_t buf = s->buf[fuse_size_node(s->plan->g, l->slot)];
    CHECK(buf, "%s: a size that is no argument", b->k->name);
    lo_id size = lo_load(b, buf, lo_lin_c(0), 1, 0, 0);
    struct lo_lin x = lo_lin_mul(b, lo_lin_v(b, size), l->by);
    x = lo_lin_add(b, x, lo_lin_c(l->plus));
    if (l->over != 1)
        x = lo_lin_v(b, lo_op(b, IR_idiv, t, lo_value(b, x), lo_const_i(b, t, l->over), 0));
    return lo_lin_add(b, lo_lin_mul(b, x, l->times), lo_lin_c(l->more));
}

void sk_live(struct sk *s)
{
    for (uint32_t i = 0; i < s->c->outer + s->c->inner; i++) {
        const struct ir_live *l = fuse_axis_live(s->plan, s->c, i);
        if (l && !(s->c->fixed && i == s->c->split)) /* a block's rows are not counted from 0 */
            s->limit[i] = (struct sk_limit){true, lo_lin_c(0), sk_extent(s, l)};
    }
}

lo_id sk_reaches(struct sk *s, const uint32_t *axis, const int64_t *places, uint32_t n,
                 uint32_t whole, struct lo_lin at, int64_t span, lo_id before)
{
    struct lo_builder *b = &s->b;
    struct lo_type t = {NN_i64, 1}, bit = {NN_bool, 1};
    int64_t stride = 1;
    for (uint32_t i = n; i-- > 0; stride *= places[i]) {
        const struct ir_live *l = fuse_axis_live(s->plan, s->c, axis[i]);
        int64_t turn = stride * places[i]; /* numbers until the axis is at 0 again */
        if (!l || whole >> axis[i] & 1 || (i && span >= turn))
            continue;
        lo_id from = lo_value(b, at), end = lo_value(b, lo_lin_mul(b, sk_extent(s, l), stride));
        if (i)
            from = lo_op(b, IR_mod, t, from, lo_const_i(b, t, turn), 0);
        lo_id in = lo_op(b, IR_lt, t, from, end, 0);
        if (i && turn % span)
            in = lo_op(b, IR_or, bit, in,
                       lo_op(b, IR_gt, t, from, lo_const_i(b, t, turn - span), 0), 0);
        before = before ? lo_op(b, IR_and, bit, before, in, 0) : in;
    }
    return before;
}

lo_id sk_wanted(struct sk *s, uint32_t axes)
{
    struct lo_builder *b = &s->b;
    lo_id all = 0;
    for (uint32_t i = 0; i < s->c->outer + s->c->inner; i++) {
        if (!s->limit[i].on || !(axes >> i & 1))
            continue;
        lo_id one = lo_op(b, IR_lt, (struct lo_type){NN_i64, 1}, lo_value(b, sk_at(s, i)),
                          lo_value(b, s->limit[i].to), 0);
        all = all ? lo_op(b, IR_and, (struct lo_type){NN_bool, 1}, all, one, 0) : one;
    }
    return all;
}

static double op_cost(enum ir_op op)
{
    switch (ir_op_class(op)) {
    case IRC_FLOAT:
        if (op == IR_floor || op == IR_ceil || op == IR_round)
            return 1;
        return op == IR_div || op == IR_sqrt || op == IR_rsqrt ? 5 : op == IR_round_tf32 ? 2 : 12;
    case IRC_ARITH: return op == IR_idiv || op == IR_mod ? 8 : 1;
    case IRC_CMP:
    case IRC_LOGIC:
    case IRC_ELEM:
    case IRC_LEAF:
    case IRC_SHAPE:
    case IRC_MARK: break;
    }
    return 1;
}

double sk_value_cost(const struct fx_val *v)
{
    switch ((enum fx_kind)v->kind) {
    case FX_LOAD: return 1;
    case FX_OP: return op_cost(v->op);
    case FX_RANDOM: return 25;
    case FX_PICK: return 2;
    case FX_BOUND:
    case FX_CONST:
    case FX_INDEX: break;
    }
    return 0.2;
}

static void add_cost(void *ctx, const struct fx *x, fx_id id)
{
    *(double *)ctx += sk_value_cost(&x->val.p[id]);
}

double sk_cost(const struct sk *s, fx_id v)
{
    double cost = 0;
    uint8_t *seen = xcalloc(s->x.val.n, 1);
    fx_walk(&s->x, v, seen, add_cost, &cost);
    free(seen);
    return cost;
}
