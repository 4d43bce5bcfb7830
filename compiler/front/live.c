/* Sizes that a run chooses, up to a bound. Axes are laid out for the bound; how far one goes in a
 * run is computed from a slot. The values beyond may be anything, so nothing may take them in:
 * - a reduction over such an axis folds the identity there (a sum of products: zeros in both);
 * - a read that may go beyond finds what lies outside of its tensor;
 * - a tensor of indices is 0 beyond, so that no read of a table fails there.
 * A size used as a number is computed from the slot. What would put elements at places that hang on
 * the size in another way than by the first axis of a reshape is refused. */
#include "front/elab.h"

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
    vec_push(&e->live, ((struct live){y, 0}));
}

/* The slot's value, read once. */
static ir_id slot_node(struct elab *e, const struct dim_sym *y)
{
    uint32_t i = 0;
    while (e->live.p[i].y != y)
        i++;
    if (!e->live.p[i].node) {
        uint32_t origin = e->b->origin;
        bool inlined = e->b->inlined;
        e->b->origin = 0;
        e->b->inlined = false;
        e->live.p[i].node = ir_slot_read(e->b, y->slot);
        e->b->origin = origin;
        e->b->inlined = inlined;
    }
    return e->live.p[i].node;
}

static void refuse(struct elab *e, const struct dim *d, const char *what)
{
    struct dim_sym *y[8];
    uint32_t n = dim_symbols(e->dims, d, y, COUNT(y)), k = 0;
    while (k + 1 < n && !y[k]->most)
        k++;
    if (elab_error(e, e->place, "%s: %s, which a run chooses up to a bound", what,
                   v_dim_text(e, d))) {
        diag_label(e->d, "-D %s=… fixes it", n ? y[k]->name : "NAME");
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
    return y->known ? ir_const_i(e->b, NN_i64, y->value) : slot_node(e, y);
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

static const struct ir_live *extent(struct elab *e, const struct dim *d)
{
    struct dim_line l;
    if (!dim_line(e->dims, d, &l)) {
        refuse(e, d, "no bound can stand for a size of an axis");
        return NULL;
    }
    struct ir_live *x = ARENA_NEW(e->m->mem, struct ir_live);
    *x = (struct ir_live){l.y->slot, l.by, l.plus, l.over, l.times, l.more};
    return x;
}

/* The operand of the node that is the slot's value, made its last one where there is none. */
static uint32_t slot_operand(struct elab *e, struct ir_node *n, const struct dim_sym *y)
{
    ir_id slot = slot_node(e, y);
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
    struct dim_line l;
    if (!dim_line(e->dims, d, &l))
        return; /* refused where the axis was made */
    const struct ix *size = ix_mul(mem, ix_operand(mem, slot_operand(e, n, l.y)), l.by);
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

/* One group of axes of a reshape: only the first may be live, or elements would move. */
static void check_group(struct elab *e, const struct dim *const *d, uint32_t from, uint32_t to)
{
    const struct dim *one = dim_const(e->dims, 1);
    bool first = true;
    for (uint32_t i = from; i < to; i++) {
        if (live_dim(e, d[i]) && !first)
            refuse(e, d[i], "a reshape counts elements by a size that is not the first");
        first = first && d[i] == one;
    }
}

/* Axes of both sides in the smallest groups of equal products. */
static void check_reshape(struct elab *e, const struct ir_node *n, const struct dim *const *to)
{
    const struct ir_node *x = ir_at(e->b->g, n->in[0].node);
    const struct dim *const *from = dims_of(e, n->in[0].node);
    uint32_t nf = ir_rank(x), i = 0, j = 0;
    const struct dim *number[IR_MAX_AXES];
    for (uint32_t k = 0; !from && k < nf; k++)
        number[k] = dim_const(e->dims, ir_axes(x)[k].n);
    from = from ? from : number;
    while (i < nf || j < n->nd) {
        uint32_t i0 = i, j0 = j;
        const struct dim *p = i < nf ? from[i++] : dim_const(e->dims, 1);
        const struct dim *q = j < n->nd ? to[j++] : dim_const(e->dims, 1);
        while (p != q && (i < nf || j < n->nd)) {
            bool left = j == n->nd || (i < nf && emit_size(e, p) < emit_size(e, q));
            if (left)
                p = dim_mul(e->dims, p, from[i++]);
            else
                q = dim_mul(e->dims, q, to[j++]);
        }
        check_group(e, from, i0, i);
        check_group(e, to, j0, j);
    }
}

/* The same numbers as in a graph of that very size: they are counted along the flat domain. */
static void check_random(struct elab *e, const struct ir_node *n, const struct dim *const *axes)
{
    for (uint32_t i = 1; i < n->nd; i++)
        if (live_dim(e, axes[i]))
            refuse(e, axes[i], "random numbers are counted by a size that is not the first");
}

void live_node(struct elab *e, struct ir_node *n, const struct dim *const *axes)
{
    struct ir_axis *dom = arena_dup(e->m->mem, n->dom, n->nd * sizeof *dom);
    for (uint32_t i = 0; i < n->nd; i++)
        dom[i].live = live_dim(e, axes[i]) ? extent(e, axes[i]) : NULL;
    n->dom = dom;
    if (n->op == IR_reshape)
        check_reshape(e, n, axes);
    else if (n->op == IR_random)
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

static bool entry_holds(struct elab *e, const struct entry_check *c)
{
    const struct dim *d = dim_sub(e->dims, c->hi, c->lo), *zero = dim_const(e->dims, 0);
    struct dim_line l;
    int64_t v;
    if (!live_dim(e, d) || dim_shown_ge(e->dims, d, zero))
        return true;
    if (dim_line(e->dims, dim_sub(e->dims, zero, d), &l))
        return dim_at_most(e->dims, d, &v) && v >= 0;
    if (!dim_line(e->dims, d, &l) || least_of(&l) > l.y->most)
        return false;
    struct ir_slot *s = &e->m->slots.p[l.y->slot];
    s->least = least_of(&l) > s->least ? least_of(&l) : s->least;
    return true;
}

bool live_entry(struct elab *e)
{
    for (uint32_t i = 0; i < e->entry.n; i++) {
        const struct entry_check *c = &e->entry.p[i];
        int64_t lo, hi;
        if (entry_holds(e, c))
            continue;
        bool both = dim_at_most(e->dims, c->lo, &lo) && dim_at_most(e->dims, c->hi, &hi);
        if (elab_error(e, c->at, "%s",
                       both && lo > hi
                           ? bound_text(e, c->what, dim_const(e->dims, lo), dim_const(e->dims, hi))
                           : bound_text(e, c->what, c->lo, c->hi)))
            diag_label(e->d, "for some size up to the bound");
        return false;
    }
    return true;
}
