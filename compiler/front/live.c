/* Sizes that a run chooses, up to a bound. Axes are laid out for the bound; how far one goes in a
 * run is computed from a slot. The values beyond may be anything, so nothing may take them in:
 * - a reduction over such an axis folds the identity there (a sum of products: zeros in both);
 * - a read that may go beyond finds what lies outside of its tensor;
 * - a tensor of indices is 0 beyond, so that no read of a table fails there.
 * A size used as a number is computed from the slot. One of several sizes, and one that is no line
 * of its one, is a slot too, which the runtime computes. Where elements move to places that hang on
 * a size, live_moves.c says from where. */
#include "front/elab.h"
#include "image.h"

/* ---- the sizes ---- */

void live_symbol(struct elab *e, struct dim_sym *y, int64_t most)
{
    const char *name = arena_printf(e->mem, "dim.%s", y->name);
    uint32_t slot = ir_slot_find(e->m, name);
    if (slot == UINT32_MAX)
        slot = ir_slot_add(
            e->m,
            (struct ir_slot){
                .name = name, .dtype = NN_i64, .kind = NN_SLOT_SIZE, .least = 1, .most = most});
    y->most = most;
    y->slot = slot;
    e->lives++;
}

void live_parts(struct elab *e, struct dim_sym *y, int64_t parts)
{
    e->parts.y = y;
    e->parts.n = parts;
    e->parts.first =
        ir_slot_add(e->m, (struct ir_slot){.name = arena_printf(e->mem, "first.%s", y->name),
                                           .dtype = NN_i64,
                                           .kind = NN_SLOT_SYS});
}

/* The slot's value, read once. */
static ir_id slot_node(struct elab *e, uint32_t slot)
{
    for (uint32_t i = 0; i < e->live.n; i++)
        if (e->live.p[i].slot == slot)
            return e->live.p[i].node;
    uint32_t origin = e->b->origin;
    bool inlined = e->b->inlined;
    e->b->origin = 0;
    e->b->inlined = false;
    ir_id node = ir_slot_read(e->b, slot);
    e->b->origin = origin;
    e->b->inlined = inlined;
    vec_push(&e->live, ((struct live){slot, node}));
    return node;
}

static void refuse(struct elab *e, const struct dim *d, const char *what)
{
    struct dim_sym *y[8];
    uint32_t n = dim_symbols(e->dims, d, y, COUNT(y)), k = 0;
    while (k + 1 < n && !y[k]->most)
        k++;
    if (elab_error(e, e->place, "%s: %s, which a run chooses up to a bound", what,
                   v_dim_text(e, d))) {
        diag_label(e->d, "it must be fixed: -D %s=…", n ? y[k]->name : "NAME");
        elab_called(e);
    }
}

int64_t emit_number(struct elab *e, const struct dim *d)
{
    if (live_dim(e, d))
        refuse(e, d, "an index or a move is made of a size");
    return emit_size(e, d);
}

/* ---- as numbers ---- */

static uint32_t number_const(void *ctx, int64_t v)
{
    return ir_const_i(((struct elab *)ctx)->b, NN_i64, v);
}

static uint32_t number_symbol(void *ctx, const struct dim_sym *y)
{
    struct elab *e = ctx;
    return y->known ? ir_const_i(e->b, NN_i64, y->value) : slot_node(e, y->slot);
}

static uint32_t number_add(void *ctx, uint32_t a, uint32_t b)
{
    return ir_binary(((struct elab *)ctx)->b, IR_add, a, b);
}

static uint32_t number_mul(void *ctx, uint32_t a, uint32_t b)
{
    return ir_binary(((struct elab *)ctx)->b, IR_mul, a, b);
}

static uint32_t number_div(void *ctx, uint32_t a, uint32_t b)
{
    return ir_binary(((struct elab *)ctx)->b, IR_idiv, a, b);
}

bool live_value(struct elab *e, val v)
{
    return v->kind == V_INT ? live_dim(e, v->i) : v->kind == V_FLOAT && !v->f.known && v->f.node;
}

ir_id live_number(struct elab *e, val v, enum nn_dtype t)
{
    const struct dim_arithmetic by = {e,          number_const, number_symbol,
                                      number_add, number_mul,   number_div};
    bool known, inlined = e->b->inlined;
    double d = v_double(e, v, &known);
    ir_id n = 0;
    e->b->inlined = true;
    if (v->kind == V_INT)
        n = dim_compute(e->dims, v->i, &by);
    else if (known)
        n = ir_const_f(e->b, NN_f64, d);
    else if (v->kind == V_FLOAT)
        n = v->f.node;
    if (n && v->kind == V_INT && nn_is_float(t))
        n = ir_cast(e->b, NN_f64, n);
    if (n)
        n = ir_cast(e->b, t, n);
    e->b->inlined = inlined;
    return n;
}

val live_float(struct elab *e, val result, enum ir_op op, val x, val y)
{
    if (result->kind != V_FLOAT || result->f.known || !e->b ||
        (!live_value(e, x) && !(y && live_value(e, y))))
        return result;
    ir_id in[2] = {live_number(e, x, NN_f64), y ? live_number(e, y, NN_f64) : 0};
    bool inlined = e->b->inlined;
    e->b->inlined = true;
    if (in[0] && (in[1] || !y))
        result->f.node = ir_elem(e->b, op, y ? 2 : 1, in);
    e->b->inlined = inlined;
    return result;
}

/* ---- where an access stays inside ---- */

/* The largest value of x over axes of these sizes, as a polynomial; NULL: not known. */
static const struct dim *largest(struct elab *e, const struct ix *x, const struct dim *const *axes)
{
    const struct dim *sum = dim_const(e->dims, x->c0), *one = dim_const(e->dims, 1);
    for (uint32_t i = 0; i < x->n; i++) {
        const struct ix_part *p = &x->part[i];
        const struct dim *most = NULL;
        switch (p->a.kind) {
        case IX_AXIS: most = dim_sub(e->dims, axes[p->a.v], one); break;
        case IX_MOD: most = dim_const(e->dims, p->a.q - 1); break;
        case IX_DIV:
            most = p->c > 0 ? largest(e, p->a.e, axes) : NULL;
            most = most ? dim_div(e->dims, most, dim_const(e->dims, p->a.q)) : NULL;
            break;
        case IX_OPERAND: break;
        }
        if (!most)
            return NULL;
        if (p->c > 0) /* else it is largest where the axis is at 0 */
            sum = dim_add(e->dims, sum, dim_mul(e->dims, most, dim_const(e->dims, p->c)));
    }
    return sum;
}

bool live_inside(struct elab *e, const struct ix *x, const struct dim *const *axes,
                 const struct dim *n)
{
    const struct dim *most = largest(e, x, axes);
    return most && dim_shown_ge(e->dims, n, dim_add(e->dims, most, dim_const(e->dims, 1)));
}

/* ---- nodes ---- */

/* A number or a slot on the way to a size that follows from others. */
struct side {
    uint32_t slot; /* 1 + its number; 0: n */
    int64_t n, least, most;
    const char *text;
};
struct rules {
    struct elab *e;
    bool far; /* a number or a size is beyond 31 bits */
    VEC(struct side) side;
};

static uint32_t side_new(struct rules *r, struct side x)
{
    r->far = r->far || x.least < -INT32_MAX || x.most > INT32_MAX;
    x.least = x.least < -INT32_MAX ? -INT32_MAX : x.least;
    x.most = x.most > INT32_MAX ? INT32_MAX : x.most;
    vec_push(&r->side, x);
    return r->side.n; /* 0 is none */
}

static uint32_t side_number(void *ctx, int64_t v)
{
    struct rules *r = ctx;
    return side_new(r, (struct side){0, v, v, v, arena_printf(r->e->mem, "%lld", (long long)v)});
}

static uint32_t side_symbol(void *ctx, const struct dim_sym *y)
{
    return side_new(ctx, (struct side){y->slot + 1, 0, 1, y->most, y->name});
}

/* In parentheses where it is a sum, or a product under a division. */
static const char *grouped(struct rules *r, const char *text, bool tight)
{
    bool group = strchr(text, ' ') || (tight && strpbrk(text, "*/"));
    return group ? arena_printf(r->e->mem, "(%s)", text) : text;
}

static const char *rule_text(struct rules *r, enum nn_size_op op, const struct side *x,
                             const struct side *y)
{
    switch (op) {
    case NN_SIZE_GIVEN: break;
    case NN_SIZE_SUM:
        return y->slot || y->n >= 0
                   ? arena_printf(r->e->mem, "%s + %s", x->text, y->text)
                   : arena_printf(r->e->mem, "%s - %lld", x->text, -(long long)y->n);
    case NN_SIZE_PRODUCT:
        return arena_printf(r->e->mem, "%s*%s", grouped(r, x->text, false),
                            grouped(r, y->text, false));
    case NN_SIZE_QUOTIENT:
        return arena_printf(r->e->mem, "%s//%s", grouped(r, x->text, false),
                            grouped(r, y->text, true));
    }
    BUG("size op %d", op);
}

/* The slot that is x op y, of values between these. */
static uint32_t side_rule(struct rules *r, enum nn_size_op op, uint32_t left, uint32_t right,
                          int64_t least, int64_t most)
{
    struct side x = r->side.p[left - 1], y = r->side.p[right - 1];
    struct ir_module *m = r->e->m;
    uint32_t id = side_new(r, (struct side){0, 0, least, most, NULL});
    struct side *own = &r->side.p[id - 1];
    if (op != NN_SIZE_QUOTIENT && !x.slot && y.slot) { /* numbers come last in a text */
        struct side t = x;
        x = y;
        y = t;
    }
    own->text = rule_text(r, op, &x, &y);
    const char *name = arena_printf(r->e->mem, "dim.%s", own->text);
    uint32_t slot = ir_slot_find(m, name);
    if (slot == UINT32_MAX)
        slot = ir_slot_add(m, (struct ir_slot){.name = name,
                                               .dtype = NN_i64,
                                               .kind = NN_SLOT_SIZE,
                                               .least = own->least,
                                               .most = own->most,
                                               .rule = {op, x.slot, y.slot, x.n, y.n}});
    own->slot = slot + 1;
    return id;
}

static uint32_t side_add(void *ctx, uint32_t a, uint32_t b)
{
    struct rules *r = ctx;
    const struct side *x = &r->side.p[a - 1], *y = &r->side.p[b - 1];
    return side_rule(r, NN_SIZE_SUM, a, b, x->least + y->least, x->most + y->most);
}

static void corners(const int64_t v[4], int64_t *least, int64_t *most)
{
    *least = *most = v[0];
    for (int i = 1; i < 4; i++) {
        *least = v[i] < *least ? v[i] : *least;
        *most = v[i] > *most ? v[i] : *most;
    }
}

static uint32_t side_mul(void *ctx, uint32_t a, uint32_t b)
{
    struct rules *r = ctx;
    const struct side *x = &r->side.p[a - 1], *y = &r->side.p[b - 1];
    int64_t least, most;
    corners(
        (int64_t[]){x->least * y->least, x->least * y->most, x->most * y->least, x->most * y->most},
        &least, &most);
    return side_rule(r, NN_SIZE_PRODUCT, a, b, least, most);
}

static uint32_t side_div(void *ctx, uint32_t a, uint32_t b)
{
    struct rules *r = ctx;
    const struct side *x = &r->side.p[a - 1], *y = &r->side.p[b - 1];
    int64_t q = y->least < 1 ? 1 : y->least, least, most;
    corners((int64_t[]){floor_div(x->least, q), floor_div(x->least, y->most), floor_div(x->most, q),
                        floor_div(x->most, y->most)},
            &least, &most);
    return side_rule(r, NN_SIZE_QUOTIENT, a, b, least, most);
}

/* The slot of a size that no line gives. */
static uint32_t rule_slot(struct elab *e, const struct dim *d)
{
    struct rules r = {.e = e};
    const struct dim_arithmetic by = {&r, side_number, side_symbol, side_add, side_mul, side_div};
    uint32_t side = dim_compute(e->dims, dim_known(e->dims, d), &by);
    uint32_t slot = r.side.p[side - 1].slot - 1;
    if (r.far)
        refuse(e, d, "no bound can stand for a size of an axis");
    vec_free(&r.side);
    return slot;
}

static struct ir_live extent(struct elab *e, const struct dim *d)
{
    struct dim_line l;
    if (dim_line(e->dims, d, &l))
        return (struct ir_live){l.y->slot, l.by, l.plus, l.over, l.times, l.more};
    uint32_t slot = rule_slot(e, d);
    struct ir_slot *s = &e->m->slots.p[slot];
    s->least = s->least < 0 ? 0 : s->least; /* the entry sees to it */
    return (struct ir_live){slot, 1, 0, 1, 1, 0};
}

/* The operand of the node that is the slot's value, made its last one where there is none. */
static uint32_t slot_operand(struct elab *e, struct ir_node *n, uint32_t of)
{
    ir_id slot = slot_node(e, of);
    uint32_t first = (uint32_t)ir_op_arity(n->op);
    for (uint32_t i = n->nin; i-- > first;)
        if (n->in[i].node == slot)
            return i;
    struct ir_in *in = ARENA_ARRAY(e->m->mem, struct ir_in, n->nin + 1u);
    memcpy(in, n->in, n->nin * sizeof *in);
    in[n->nin] = (struct ir_in){.node = slot};
    n->in = in;
    return n->nin++;
}

/* Operand k is read only where x, over the node's domain, is below the extent of d. */
static void guard(struct elab *e, struct ir_node *n, uint32_t k, const struct ix *x,
                  const struct dim *d)
{
    struct arena *mem = e->m->mem;
    struct ir_live l = extent(e, d);
    const struct ix *size = ix_mul(mem, ix_operand(mem, slot_operand(e, n, l.slot)), l.by);
    size = ix_div(mem, ix_add(mem, size, ix_const(mem, l.plus)), l.over, NULL);
    size = ix_add(mem, ix_mul(mem, size, l.times), ix_const(mem, l.more - 1));
    struct ir_in *in = arena_dup(mem, n->in, n->nin * sizeof *in);
    struct ir_access *a = &in[k].a;
    struct ir_term one = {ix_add(mem, size, ix_mul(mem, x, -1)), 1, emit_size(e, d)};
    for (uint32_t i = 0; i < a->nguard; i++)
        if (ir_term_equal(&a->guard[i], &one))
            return;
    struct ir_term *g = ARENA_ARRAY(mem, struct ir_term, a->nguard + 1);
    if (a->nguard)
        memcpy(g, a->guard, a->nguard * sizeof *g);
    g[a->nguard++] = one;
    a->guard = g;
    n->in = in;
}

static const struct dim *const *dims_of(const struct elab *e, ir_id id)
{
    return id < e->fact.n ? e->fact.p[id].dims : NULL;
}

static void guard_reads(struct elab *e, struct ir_node *n, const struct dim *const *axes)
{
    for (uint32_t k = 0, count = n->nin; k < count; k++) {
        const struct dim *const *dims = dims_of(e, n->in[k].node);
        for (uint32_t i = 0; dims && i < n->in[k].a.rank; i++)
            if (live_dim(e, dims[i]) && !live_inside(e, n->in[k].a.at[i].e, axes, dims[i]))
                guard(e, n, k, n->in[k].a.at[i].e, dims[i]);
    }
}

/* What reads with strict bounds are indexed by. */
static void guard_indices(struct elab *e, struct ir_node *n, const struct dim *const *axes)
{
    uint32_t arity = (uint32_t)ir_op_arity(n->op), count = n->nin;
    bool strict = false;
    for (uint32_t k = 0; k < count; k++)
        strict = strict || n->in[k].a.strict;
    for (uint32_t k = arity; strict && k < count; k++)
        for (uint32_t i = 0; ir_rank(ir_at(e->b->g, n->in[k].node)) && i < n->nd; i++)
            if (live_dim(e, axes[i]))
                guard(e, n, k, ix_axis(e->m->mem, i), axes[i]);
}

/* The axis of the operand that stands at exactly this axis of the node; UINT32_MAX: none. */
static uint32_t plain_axis(const struct ir_access *a, uint32_t axis)
{
    for (uint32_t p = 0, at; p < a->rank; p++)
        if (a->at[p].q == 1 && ix_is_axis(a->at[p].e, &at) && at == axis)
            return p;
    return UINT32_MAX;
}

/* The product that a sum folds, with both factors 0 beyond the folded axes' ends; 0: no product. */
static ir_id guarded_product(struct elab *e, const struct ir_node *n, const struct dim *const *axes)
{
    ir_id from = n->in[0].node;
    struct ir_node mul = *ir_at(e->b->g, from);
    const struct dim *const *dims = dims_of(e, from), *whole[IR_MAX_AXES];
    bool sum = n->monoid == IRM_sum && nn_is_float(n->dtype);
    if (!sum || mul.op != IR_mul || !dims || n->in[0].a.nguard)
        return 0;
    memcpy(whole, dims, mul.nd * sizeof *whole);
    for (uint32_t i = n->nd - n->nred; i < n->nd; i++) {
        uint32_t p = plain_axis(&n->in[0].a, i);
        if (!live_dim(e, axes[i]))
            continue;
        if (p == UINT32_MAX)
            return 0;
        whole[p] = dim_const(e->dims, mul.dom[p].n); /* the zeros are wanted too */
        for (uint32_t k = 0; k < 2; k++)
            guard(e, &mul, k, ix_axis(e->m->mem, p), axes[i]);
    }
    return emit_append(e, &mul, whole);
}

static void guard_folds(struct elab *e, struct ir_node *n, const struct dim *const *axes)
{
    uint32_t first = n->nd - n->nred;
    bool any = false, arg = n->monoid == IRM_argmax || n->monoid == IRM_argmin;
    for (uint32_t i = first; i < n->nd; i++) {
        any = any || live_dim(e, axes[i]);
        if (arg && i > first && live_dim(e, axes[i]))
            refuse(e, axes[i], "an argmax over several axes counts by a size");
    }
    if (!any)
        return;
    ir_id product = guarded_product(e, n, axes);
    if (product) {
        struct ir_in *in = arena_dup(e->m->mem, n->in, n->nin * sizeof *in);
        in[0].node = product;
        n->in = in;
        return;
    }
    if (!n->in[0].a.nguard) {
        struct ir_in *in = arena_dup(e->m->mem, n->in, n->nin * sizeof *in);
        in[0].a.fill = ir_monoid_identity(n->monoid, ir_at(e->b->g, in[0].node)->dtype);
        n->in = in;
    }
    for (uint32_t i = first; i < n->nd; i++)
        if (live_dim(e, axes[i]))
            guard(e, n, 0, ix_axis(e->m->mem, i), axes[i]);
}

/* The same numbers as in a graph of that very size: they are counted along the flat domain. */
static void check_random(struct elab *e, const struct ir_node *n, const struct dim *const *axes)
{
    for (uint32_t i = 1; i < n->nd; i++)
        if (live_dim(e, axes[i]))
            refuse(e, axes[i], "random numbers are counted by a size that is not the first");
}

/* The numbers of all samples, made only where the part reads them. */
static ir_id all_random(struct elab *e, const struct ir_node *n)
{
    struct ir_axis *all = arena_dup(e->m->mem, n->dom, n->nd * sizeof *all);
    struct ir_node whole = *n;
    all[0].n *= e->parts.n;
    whole.dom = all;
    whole.inlined = true;
    whole.checkpoint = e->b->checkpoint;
    whole.origin = e->b->origin;
    return ir_append(e->b->g, &whole);
}

ir_id live_random(struct elab *e, const struct ir_node *n, const struct dim *const *axes)
{
    const struct dim *times = NULL;
    int64_t places;
    if (!e->parts.y || !n->nd || !dim_uses(e->dims, axes[0], e->parts.y))
        return emit_append(e, n, axes);
    times = dim_exact(e->dims, axes[0], dim_of_symbol(e->dims, e->parts.y));
    check_random(e, n, axes);
    if (!times || !dim_value(e->dims, times, &places)) {
        refuse(e, axes[0], "random numbers of samples that go in parts are counted by more");
        return emit_append(e, n, axes);
    }
    struct arena *mem = e->m->mem;
    struct ir_access a = ir_identity(e->m, n->nd, n->dom);
    struct ir_term *at = arena_dup(mem, a.at, a.rank * sizeof *at);
    at[0].e = ix_add(mem, at[0].e, ix_mul(mem, ix_operand(mem, 1), places));
    at[0].n *= e->parts.n;
    a.at = at;
    struct ir_in in[] = {{.node = all_random(e, n), .a = a},
                         {.node = slot_node(e, e->parts.first)}};
    struct ir_node share = {
        .op = IR_copy, .dtype = n->dtype, .nd = n->nd, .dom = n->dom, .nin = 2, .in = in};
    return emit_append(e, &share, axes);
}

void live_node(struct elab *e, struct ir_node *n, const struct dim *const *axes)
{
    struct ir_axis *dom = arena_dup(e->m->mem, n->dom, n->nd * sizeof *dom);
    for (uint32_t i = 0; i < n->nd; i++) {
        struct ir_live l = live_dim(e, axes[i]) ? extent(e, axes[i]) : (struct ir_live){0};
        dom[i].live = live_dim(e, axes[i]) ? arena_dup(e->m->mem, &l, sizeof l) : NULL;
    }
    n->dom = dom;
    if (n->op == IR_random)
        check_random(e, n, axes);
    else if (!ir_op_whole(n->op) && ir_op_arity(n->op) > 0) {
        guard_indices(e, n, axes);
        guard_reads(e, n, axes);
        if (n->op == IR_reduce)
            guard_folds(e, n, axes);
    }
}

/* ---- the entry ---- */

/* The least value of its symbol from which on l is not negative. */
static int64_t least_of(const struct dim_line *l)
{
    int64_t need = -l->more, k = need <= 0 ? -(-need / l->times) : (need + l->times - 1) / l->times;
    int64_t room = k * l->over - l->plus;
    return room <= 0 ? 0 : (room + l->by - 1) / l->by;
}

/* d >= 0 of several sizes becomes a range of what it says of them: past + seq <= 1024. False: for
 * all of them it is not so, or no slot can say it. */
static bool range_holds(struct elab *e, const struct dim *d)
{
    struct dim_sym *y[8];
    uint32_t n = dim_symbols(e->dims, d, y, COUNT(y)), live = 0;
    const struct dim *zero = dim_const(e->dims, 0);
    int64_t least, most, c0 = dim_at_zero(dim_known(e->dims, d));
    for (uint32_t i = 0; i < n; i++)
        live += y[i]->most > 0;
    d = dim_sub(e->dims, dim_known(e->dims, d), dim_const(e->dims, c0));
    if (live < 2 || !dim_bounds(e->dims, d, &least, &most) || most + c0 < 0)
        return false;
    bool below = most <= 0; /* it is its negative that grows */
    uint32_t slot = rule_slot(e, below ? dim_sub(e->dims, zero, d) : d);
    struct ir_slot *s = &e->m->slots.p[slot];
    if (below && c0 < s->most)
        s->most = c0;
    if (!below && -c0 > s->least)
        s->least = -c0;
    vec_push(&e->b->g->ranges, slot);
    return s->least <= s->most && !e->failed;
}

static bool entry_holds(struct elab *e, const struct entry_check *c)
{
    const struct dim *d = dim_sub(e->dims, c->hi, c->lo);
    struct dim_line l;
    int64_t least, most;
    if (!live_dim(e, d) || (dim_bounds(e->dims, d, &least, &most) && least >= 0))
        return true;
    if (!dim_line(e->dims, d, &l))
        return range_holds(e, d);
    if (least_of(&l) > l.y->most)
        return false;
    struct ir_slot *s = &e->m->slots.p[l.y->slot];
    s->least = least_of(&l) > s->least ? least_of(&l) : s->least;
    return true;
}

/* The largest value of its symbol up to which l is not positive. */
static int64_t most_of(const struct dim_line *l)
{
    int64_t k = floor_div(-l->more, l->times);
    return floor_div(k * l->over + l->over - 1 - l->plus, l->by);
}

const char *live_better(struct elab *e, const struct dim *lo, const struct dim *hi)
{
    const struct dim *d = dim_sub(e->dims, hi, lo);
    struct dim_line l;
    int64_t most = 0;
    if (!live_dim(e, d))
        return NULL;
    if (dim_line(e->dims, d, &l))
        most = least_of(&l);
    else if (dim_line(e->dims, dim_sub(e->dims, dim_const(e->dims, 0), d), &l))
        most = most_of(&l);
    if (most < 1)
        return NULL;
    return arena_printf(e->mem, "--max %s=%lld would do", l.y->name, (long long)most);
}

bool live_entry(struct elab *e)
{
    for (uint32_t i = 0; i < e->entry.n; i++) {
        const struct entry_check *c = &e->entry.p[i];
        int64_t lo, hi, least;
        if (entry_holds(e, c))
            continue;
        const char *better = live_better(e, c->lo, c->hi);
        bool both =
            dim_bounds(e->dims, c->lo, &least, &lo) && dim_bounds(e->dims, c->hi, &least, &hi);
        if (elab_error(e, c->at, "%s",
                       both && lo > hi
                           ? bound_text(e, c->what, dim_const(e->dims, lo), dim_const(e->dims, hi))
                           : bound_text(e, c->what, c->lo, c->hi)))
            diag_label(e->d, "%s", better ? better : "for some size up to the bound");
        return false;
    }
    return true;
}
