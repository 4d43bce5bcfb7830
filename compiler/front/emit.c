/* Nodes from values. Every node of the graph goes through emit_append, which also notes what the
 * metrics need to know: which axes of its domain have the batch size in them. */
#include "front/elab.h"

#define MAX_POINTS ((int64_t)1 << 55) /* of a domain: beyond, products of sizes would overflow */

int64_t emit_size(struct elab *e, const struct dim *d)
{
    int64_t least, most;
    CHECK(dim_bounds(e->dims, d, &least, &most), "a size without a value: %s", v_dim_text(e, d));
    return most;
}

/* ---- origins ---- */

/* The outermost function between the running layer and here, else the operator. */
static const char *origin_label(const struct elab *e, const char *op)
{
    const char *label = op;
    for (const struct frame *f = e->frame; f && f->decl && f->decl->kind == TREE_FN; f = f->up)
        label = f->decl->name.s;
    return label;
}

void emit_origin(struct elab *e, struct loc at, const char *op)
{
    const struct activation *act = e->frame ? e->frame->act : NULL;
    const char *inst = e->initial         ? e->initial_path
                       : e->optimized     ? e->optimized->path
                       : act && act->inst ? act->inst->path
                                          : "";
    const char *label = origin_label(e, op);
    emit_place(e, at, inst && *inst ? arena_printf(e->mem, "%s.%s", inst, label) : label);
}

void emit_place(struct elab *e, struct loc at, const char *path)
{
    e->place = at;
    if (e->b)
        e->b->origin = ir_origin_add(e->m, elab_user_loc(e, at), path, e->role ? e->role : "fwd");
}

/* ---- the one way in ---- */

ir_id emit_append(struct elab *e, const struct ir_node *n, const struct dim *const *axes)
{
    struct ir_node c = *n;
    c.inlined = n->op != IR_reduce && (n->inlined || e->b->inlined);
    c.checkpoint = e->b->checkpoint;
    c.origin = e->b->origin;
    if (e->lives)
        live_node(e, &c, axes);
    ir_id id = ir_append(e->b->g, &c);
    struct node_fact fact = {0};
    fact.dims = e->lives ? arena_dup(e->mem, axes, c.nd * sizeof *axes) : NULL;
    for (uint32_t i = 0; e->batch && i < c.nd; i++)
        if (dim_uses(e->dims, axes[i], e->batch)) {
            const struct dim *times = dim_exact(e->dims, axes[i], dim_of_symbol(e->dims, e->batch));
            fact.batch_axes |= 1u << i;
            if (!times || dim_uses(e->dims, times, e->batch))
                fact.uneven_axes |= 1u << i;
        }
    while (e->fact.n < id)
        vec_push(&e->fact, ((struct node_fact){0}));
    vec_push(&e->fact, fact);
    return id;
}

struct ir_axis *emit_axes(struct elab *e, const struct shape *s, const struct dim ***dims)
{
    uint32_t n = s->nix + s->rank;
    CHECK(n <= IR_MAX_AXES, "%u axes", n);
    struct ir_axis *ax = ARENA_ARRAY(e->mem, struct ir_axis, n);
    const struct dim **d = ARENA_ARRAY(e->mem, const struct dim *, n);
    for (uint32_t i = 0; i < n; i++) {
        d[i] = i < s->nix ? s->ix[i]->n : s->dim[i - s->nix];
        struct dim_sym *y;
        ax[i].n = emit_size(e, d[i]);
        if (i < s->nix)
            ax[i].name = s->ix[i]->name;
        else if (dim_symbols(e->dims, d[i], &y, 1) && dim_of_symbol(e->dims, y) == d[i])
            ax[i].name = y->name;
    }
    int64_t count = 1;
    for (uint32_t i = 0; i < n; i++) {
        count *= ax[i].n ? ax[i].n : 1;
        if (count > MAX_POINTS || ax[i].n > MAX_POINTS) {
            elab_error(e, e->place, "this has more than 2**55 points");
            count = 1;
        }
    }
    if (dims)
        *dims = d;
    return ax;
}

/* What a notation's reduction is made of is never stored; what names none of its indices may be. */
static bool under_reduction(const struct elab *e, const struct shape *dom)
{
    return e->in_reduction && dom->nix;
}

static uint32_t index_position(const struct shape *dom, const struct index *ix)
{
    for (uint32_t i = 0; i < dom->nix; i++)
        if (dom->ix[i] == ix)
            return i;
    BUG("index %s is not in the domain", ix->name);
}

/* How a value is read over `dom`: indices by themselves, own axes from the right; `at`: the terms
 * of its own axes instead. */
static struct ir_access align(struct elab *e, const struct shape *dom, val v,
                              const struct ir_term *at)
{
    const struct shape *s = &v->t.s;
    struct arena *mem = e->m->mem;
    struct ir_term *t = ARENA_ARRAY(mem, struct ir_term, s->nix + s->rank);
    for (uint32_t i = 0; i < s->nix; i++)
        t[i] = (struct ir_term){ix_axis(mem, index_position(dom, s->ix[i])), 1,
                                emit_size(e, s->ix[i]->n)};
    for (uint32_t i = 0; i < s->rank; i++) {
        uint32_t axis = dom->nix + dom->rank - s->rank + i;
        int64_t n = emit_size(e, s->dim[i]);
        bool stretched = !at && s->dim[i] != dom->dim[dom->rank - s->rank + i];
        t[s->nix + i] = at          ? at[i]
                        : stretched ? (struct ir_term){ix_const(mem, 0), 1, n}
                                    : (struct ir_term){ix_axis(mem, axis), 1, n};
    }
    return (struct ir_access){.rank = s->nix + s->rank, .at = t};
}

ir_id emit_elem(struct elab *e, enum ir_op op, enum nn_dtype t, const struct shape *dom, uint32_t n,
                val const *v)
{
    static const struct ir_term *const none[3] = {NULL, NULL, NULL};
    return emit_elem_at(e, op, t, dom, n, v, none);
}

ir_id emit_elem_at(struct elab *e, enum ir_op op, enum nn_dtype t, const struct shape *dom,
                   uint32_t n, val const *v, const struct ir_term *const *at)
{
    if (!e->b)
        return 0;
    const struct dim **dims;
    struct ir_axis *ax = emit_axes(e, dom, &dims);
    struct ir_in in[3];
    CHECK(n <= COUNT(in), "%u operands", n);
    for (uint32_t i = 0; i < n; i++) {
        in[i].node = emit_node_of(e, v[i]);
        in[i].a = align(e, dom, v[i], at[i]);
    }
    struct ir_node node = {.op = (uint8_t)op,
                           .dtype = (uint8_t)t,
                           .nd = (uint16_t)(dom->nix + dom->rank),
                           .dom = ax,
                           .nin = (uint16_t)n,
                           .in = in,
                           .inlined = under_reduction(e, dom)};
    return emit_append(e, &node, dims);
}

ir_id emit_const(struct elab *e, enum nn_dtype t, val number)
{
    if (!e->b)
        return 0;
    bool known;
    double v = v_double(e, number, &known);
    if (live_value(e, number))
        return live_number(e, number, t);
    if (!known) {
        elab_error(e, e->place, "this number hangs on a size that has no value here");
        v = 0;
    }
    struct ir_node n = {.op = IR_const, .dtype = (uint8_t)t};
    if (nn_is_float(t))
        n.attr.f = v;
    else if (number->kind == V_INT && known)
        n.attr.i = emit_size(e, number->i);
    else
        n.attr.i = (int64_t)v;
    ir_id id = emit_append(e, &n, NULL);
    if (number->kind == V_INT && e->batch && dim_uses(e->dims, number->i, e->batch))
        e->fact.p[id].batch_size = number->i;
    e->fact.p[id].batch_fraction = number->kind == V_FLOAT && number->f.of_batch;
    return id;
}

ir_id emit_iota(struct elab *e, enum nn_dtype t, const struct shape *dom, uint32_t axis)
{
    if (!e->b)
        return 0;
    const struct dim **dims;
    struct ir_axis *ax = emit_axes(e, dom, &dims);
    struct ir_node n = {.op = IR_iota,
                        .dtype = (uint8_t)t,
                        .nd = (uint16_t)(dom->nix + dom->rank),
                        .dom = ax,
                        .attr.i = axis,
                        .inlined = under_reduction(e, dom)};
    return emit_append(e, &n, dims);
}

ir_id emit_random(struct elab *e, const struct shape *dom, uint64_t stream, int word)
{
    if (!e->b)
        return 0;
    const struct dim **dims;
    struct ir_axis *ax = emit_axes(e, dom, &dims);
    struct ir_in in[2] = {{.node = emit_node_of(e, sys_value(e, SYS_SEED))},
                          {.node = emit_node_of(e, sys_value(e, SYS_STEP))}};
    struct ir_node n = {.op = IR_random,
                        .dtype = NN_f32,
                        .nd = (uint16_t)(dom->nix + dom->rank),
                        .dom = ax,
                        .nin = 2,
                        .in = in,
                        .word = (uint8_t)word,
                        .attr.i = (int64_t)stream};
    return live_random(e, &n, dims);
}

static ir_id move(struct elab *e, val x, const struct shape *dom, const struct ir_term *at,
                  uint32_t nval, val const *gathered, const struct ir_term *const *gathered_at,
                  double fill)
{
    if (!e->b)
        return 0;
    const struct dim **dims;
    struct ir_axis *ax = emit_axes(e, dom, &dims);
    struct ir_in *in = ARENA_ARRAY(e->mem, struct ir_in, 1 + nval);
    in[0].node = emit_node_of(e, x);
    in[0].a = align(e, dom, x, at);
    in[0].a.fill = fill;
    for (uint32_t i = 0; i < nval; i++) {
        in[0].a.strict = in[0].a.strict || !gathered[i]->t.size;
        in[1 + i].node = emit_node_of(e, gathered[i]);
        in[1 + i].a = align(e, dom, gathered[i], gathered_at ? gathered_at[i] : NULL);
    }
    struct ir_node n = {.op = IR_copy,
                        .dtype = (uint8_t)x->t.dtype,
                        .nd = (uint16_t)(dom->nix + dom->rank),
                        .dom = ax,
                        .nin = (uint16_t)(1 + nval),
                        .in = in,
                        .inlined = under_reduction(e, dom)};
    return emit_append(e, &n, dims);
}

ir_id emit_move(struct elab *e, val x, const struct shape *dom, const struct ir_term *at,
                uint32_t nval, val const *gathered, const struct ir_term *const *gathered_at)
{
    return move(e, x, dom, at, nval, gathered, gathered_at, 0);
}

ir_id emit_move_filled(struct elab *e, val x, const struct shape *dom, const struct ir_term *at,
                       uint32_t nval, val const *gathered, const struct ir_term *const *gathered_at,
                       double fill)
{
    return move(e, x, dom, at, nval, gathered, gathered_at, fill);
}

ir_id emit_reshape(struct elab *e, val x, const struct shape *to)
{
    if (!e->b)
        return 0;
    const struct dim **dims;
    struct ir_axis *ax = emit_axes(e, to, &dims);
    struct ir_in in = {.node = emit_node_of(e, x)};
    ir_id moved = e->lives ? live_reshape(e, x, to) : 0;
    if (moved)
        return moved;
    struct ir_node n = {.op = IR_reshape,
                        .dtype = (uint8_t)x->t.dtype,
                        .nd = (uint16_t)(to->nix + to->rank),
                        .dom = ax,
                        .nin = 1,
                        .in = &in,
                        .inlined = under_reduction(e, to)};
    return emit_append(e, &n, dims);
}

/* ---- reductions ---- */

static ir_id reduce(struct elab *e, enum ir_monoid m, val x, struct ir_axis *ax,
                    const struct dim **dims, uint32_t nd, uint32_t nred, struct ir_access a)
{
    bool arg = m == IRM_argmax || m == IRM_argmin;
    struct ir_in in = {.node = emit_node_of(e, x), .a = a};
    struct ir_node n = {.op = IR_reduce,
                        .dtype = (uint8_t)(arg ? NN_i32 : x->t.dtype),
                        .monoid = (uint8_t)m,
                        .nd = (uint16_t)nd,
                        .nred = (uint16_t)nred,
                        .dom = ax,
                        .nin = 1,
                        .in = &in};
    return emit_append(e, &n, dims);
}

ir_id emit_reduce(struct elab *e, enum ir_monoid m, val x, const bool *fold)
{
    if (!e->b)
        return 0;
    const struct shape *s = &x->t.s;
    struct arena *mem = e->m->mem;
    uint32_t n = s->nix + s->rank, at = 0, nred = 0;
    const struct dim **dims;
    struct ir_axis *ax = emit_axes(e, s, &dims), *to = ARENA_ARRAY(e->mem, struct ir_axis, n);
    const struct dim **to_dims = ARENA_ARRAY(e->mem, const struct dim *, n);
    struct ir_term *term = ARENA_ARRAY(mem, struct ir_term, n);
    for (int folded = 0; folded < 2; folded++)
        for (uint32_t i = 0; i < n; i++) {
            if ((i >= s->nix && fold[i - s->nix]) != (folded == 1))
                continue;
            to[at] = ax[i];
            to_dims[at] = dims[i];
            term[i] = (struct ir_term){ix_axis(mem, at), 1, ax[i].n};
            at++;
            nred += folded == 1;
        }
    return reduce(e, m, x, to, to_dims, n, nred, (struct ir_access){.rank = n, .at = term});
}

/* The reads that may be outside become guards, with what is folded where one fails. */
static void add_guards(struct elab *e, val x, const struct shape *dom, struct ir_access *a,
                       double fill)
{
    struct ir_term *g = ARENA_ARRAY(e->m->mem, struct ir_term, x->t.nguard);
    val gathered[1];
    for (uint32_t i = 0; i < x->t.nguard; i++) {
        uint32_t n = 0;
        g[i] = (struct ir_term){form_ix(e, x->t.guard[i].e, dom, gathered, &n), 1,
                                emit_size(e, x->t.guard[i].n)};
        if (live_dim(e, x->t.guard[i].e->c0))
            emit_number(e, x->t.guard[i].e->c0);
        else
            CHECK(!n, "a gather among the guards");
    }
    a->guard = g;
    a->nguard = x->t.nguard;
    a->fill = fill;
}

static ir_id fold_indices(struct elab *e, enum ir_monoid m, val x, uint32_t n,
                          struct index *const *ix, bool leave_out)
{
    if (!e->b)
        return 0;
    CHECK(!x->t.s.rank, "an axis without an index");
    struct index **all = ARENA_ARRAY(e->mem, struct index *, x->t.s.nix + n);
    struct shape dom = {0, 0, all, NULL};
    double fill = ir_monoid_identity(m, (enum nn_dtype)x->t.dtype);
    for (uint32_t i = 0; i < x->t.s.nix; i++)
        if (x->t.s.ix[i]->id < ix[0]->id)
            all[dom.nix++] = x->t.s.ix[i];
    for (uint32_t i = 0; i < n; i++)
        all[dom.nix++] = ix[i];
    if (x->t.valid && leave_out) {
        val id = v_tensor(e, x->t.dtype, shape_scalar(), x->at);
        id->t.node = emit_const(e, x->t.dtype, v_float(e, fill, true, x->at));
        val c[3] = {x->t.valid, x, id}, r = v_tensor(e, x->t.dtype, dom, x->at);
        r->t.node = emit_elem(e, IR_select, x->t.dtype, &dom, 3, c);
        r->t.nguard = x->t.nguard;
        r->t.guard = x->t.guard;
        x = r;
    }
    const struct dim **dims;
    struct ir_axis *ax = emit_axes(e, &dom, &dims);
    emit_node_of(e, x);
    struct ir_access a = align(e, &dom, x, NULL);
    if (leave_out && x->t.nguard)
        add_guards(e, x, &dom, &a, fill);
    return reduce(e, m, x, ax, dims, dom.nix, n, a);
}

/* max, min and their like leave out a term whose reads are outside: 0 is no value of theirs. */
ir_id emit_reduce_indices(struct elab *e, enum ir_monoid m, val x, uint32_t n,
                          struct index *const *ix)
{
    bool by_value = m == IRM_sum || m == IRM_prod || m == IRM_any || m == IRM_all;
    return fold_indices(e, m, x, n, ix, !by_value);
}

ir_id emit_sum_guarded(struct elab *e, val x, uint32_t n, struct index *const *ix)
{
    return fold_indices(e, IRM_sum, x, n, ix, true);
}

ir_id emit_cumsum(struct elab *e, val x, uint32_t axis)
{
    if (!e->b)
        return 0;
    const struct dim **dims;
    struct ir_axis *ax = emit_axes(e, &x->t.s, &dims);
    struct ir_in in = {.node = emit_node_of(e, x), .a = align(e, &x->t.s, x, NULL)};
    struct ir_node n = {.op = IR_cumsum,
                        .dtype = (uint8_t)x->t.dtype,
                        .nd = (uint16_t)(x->t.s.nix + x->t.s.rank),
                        .dom = ax,
                        .nin = 1,
                        .in = &in,
                        .attr.i = x->t.s.nix + axis};
    return emit_append(e, &n, dims);
}

/* ---- forms as nodes ---- */

static val form_node(struct elab *e, const struct form *f, enum nn_dtype t, struct loc at);

static val constant(struct elab *e, const struct dim *d, enum nn_dtype t, struct loc at)
{
    val v = v_tensor(e, t, shape_scalar(), at);
    v->t.node = emit_const(e, t, v_int(e, d, at));
    return v;
}

static val part_node(struct elab *e, const struct form_part *p, enum nn_dtype t, struct loc at)
{
    val v;
    switch (p->kind) {
    case PART_INDEX: {
        struct index **ix = arena_dup(e->mem, &p->ix, sizeof p->ix);
        v = v_tensor(e, t, (struct shape){1, 0, ix, NULL}, at);
        v->t.node = emit_iota(e, t, &v->t.s, 0);
        return v;
    }
    case PART_VALUE: return to_dtype(e, p->v, t, at);
    case PART_DIV:
    case PART_MOD:
        v = form_node(e, p->of, t, at);
        return emit_binary(e, p->kind == PART_DIV ? IR_idiv : IR_mod, v, constant(e, p->q, t, at),
                           at);
    }
    BUG("part kind %d", p->kind);
}

static val form_node(struct elab *e, const struct form *f, enum nn_dtype t, struct loc at)
{
    val sum = NULL;
    const struct dim *one = dim_const(e->dims, 1), *zero = dim_const(e->dims, 0);
    for (uint32_t i = 0; i < f->n; i++) {
        val p = part_node(e, &f->part[i], t, at);
        if (f->part[i].c != one)
            p = emit_binary(e, IR_mul, p, constant(e, f->part[i].c, t, at), at);
        sum = sum ? emit_binary(e, IR_add, sum, p, at) : p;
    }
    if (!sum)
        return constant(e, f->c0, t, at);
    return f->c0 == zero ? sum : emit_binary(e, IR_add, sum, constant(e, f->c0, t, at), at);
}

ir_id emit_node_of(struct elab *e, val v)
{
    if (!e->b)
        return 0;
    if (!v->t.node) {
        CHECK(v->t.form, "a tensor without a node, from %s:%u", diag_file_name(e->d, v->at.file),
              v->at.lo);
        val n = form_node(e, v->t.form, v->t.dtype, v->at);
        v->t.node = n->t.node;
        v->t.s = n->t.s; /* indices that cancelled are gone */
    }
    return v->t.node;
}

val emit_unary(struct elab *e, enum ir_op op, val x, struct loc at)
{
    emit_node_of(e, x);
    bool logic = ir_op_class(op) == IRC_LOGIC;
    val r = v_tensor(e, logic ? NN_bool : x->t.dtype, x->t.s, at);
    r->t.weak = x->t.weak;
    r->t.nguard = x->t.nguard;
    r->t.guard = x->t.guard;
    r->t.valid = x->t.valid;
    r->t.node = emit_elem(e, op, r->t.dtype, &r->t.s, 1, &x);
    return r;
}

val emit_binary(struct elab *e, enum ir_op op, val x, val y, struct loc at)
{
    val v[2] = {x, y};
    struct shape s;
    emit_node_of(e, x);
    emit_node_of(e, y);
    if (!shape_join(e, at, ir_op_name(op), 2, v, &s))
        return v_poison(e);
    bool cmp = ir_op_class(op) == IRC_CMP || ir_op_class(op) == IRC_LOGIC;
    val r = v_tensor(e, cmp ? NN_bool : x->t.dtype, s, at);
    r->t.weak = x->t.weak && y->t.weak && !cmp;
    r->t.node = emit_elem(e, op, r->t.dtype, &s, 2, v);
    guards_join(e, r, 2, v);
    return r;
}

/* ---- equality ---- */

static bool same_terms(uint32_t n, const struct ir_term *a, const struct ir_term *b)
{
    for (uint32_t i = 0; i < n; i++)
        if (!ir_term_equal(&a[i], &b[i]))
            return false;
    return true;
}

static bool same_access(const struct ir_access *a, const struct ir_access *b)
{
    return a->rank == b->rank && a->nguard == b->nguard && a->strict == b->strict &&
           !memcmp(&a->fill, &b->fill, sizeof a->fill) && same_terms(a->rank, a->at, b->at) &&
           same_terms(a->nguard, a->guard, b->guard);
}

bool emit_same(const struct ir_graph *g, ir_id a, ir_id b, uint32_t *fuel)
{
    if (a == b)
        return true;
    if (!*fuel)
        return false;
    --*fuel;
    const struct ir_node *x = ir_at(g, a), *y = ir_at(g, b);
    if (x->op != y->op || x->op == IR_hole || x->dtype != y->dtype || x->monoid != y->monoid ||
        x->word != y->word || x->nd != y->nd || x->nred != y->nred || x->nin != y->nin ||
        x->name != y->name || memcmp(&x->attr, &y->attr, sizeof x->attr) != 0)
        return false;
    for (uint32_t i = 0; i < x->nd; i++)
        if (x->dom[i].n != y->dom[i].n)
            return false;
    for (uint32_t k = 0; k < x->nin; k++)
        if (!same_access(&x->in[k].a, &y->in[k].a) ||
            !emit_same(g, x->in[k].node, y->in[k].node, fuel))
            return false;
    return true;
}
