/* The operators of expressions: on compile-time numbers they compute, on tensors they make nodes.
 */
#include "front/elab.h"
#include <math.h>

/* ---- compile-time ---- */

static val number_error(struct elab *e, enum tree_op op, val l, val r, struct loc at)
{
    if (v_bad(l) || v_bad(r))
        return v_poison(e);
    if (elab_error(e, at, "`%s` does not take %s and %s", tree_op_text(op), v_text(e, l),
                   v_text(e, r)))
        elab_called(e);
    return v_poison(e);
}

static bool of_batch(struct elab *e, val v)
{
    return v->kind == V_FLOAT ? v->f.of_batch
                              : v->kind == V_INT && e->batch && dim_uses(e->dims, v->i, e->batch);
}

static val int_power(struct elab *e, val l, int64_t n, struct loc at)
{
    const struct dim *p = dim_const(e->dims, 1);
    for (int64_t i = 0; i < n && i < 64; i++)
        p = dim_mul(e->dims, p, l->i);
    return v_int(e, p, at);
}

static val ints(struct elab *e, enum tree_op op, val l, val r, struct loc at)
{
    const struct dim *zero = dim_const(e->dims, 0);
    bool divides = op == TREE_IDIV || op == TREE_MOD;
    if (divides && r->i == zero) {
        if (elab_error(e, at, "`%s` by zero", tree_op_text(op)))
            elab_called(e);
        return v_poison(e);
    }
    const struct dim *v = op == TREE_ADD    ? dim_add(e->dims, l->i, r->i)
                          : op == TREE_SUB  ? dim_sub(e->dims, l->i, r->i)
                          : op == TREE_MUL  ? dim_mul(e->dims, l->i, r->i)
                          : op == TREE_IDIV ? dim_div(e->dims, l->i, r->i)
                                            : dim_mod(e->dims, l->i, r->i);
    return v_int(e, v, at);
}

static enum ir_op arith_op(enum tree_op op)
{
    switch (op) {
    case TREE_ADD: return IR_add;
    case TREE_SUB: return IR_sub;
    case TREE_MUL: return IR_mul;
    case TREE_DIV: return IR_div;
    case TREE_IDIV: return IR_idiv;
    case TREE_MOD: return IR_mod;
    default: BUG("%s is no arithmetic", tree_op_text(op));
    }
}

static val floats(struct elab *e, enum tree_op op, val l, val r, struct loc at)
{
    bool kl, kr;
    double a = v_double(e, l, &kl), b = v_double(e, r, &kr), v = 0;
    if (op == TREE_ADD)
        v = a + b;
    else if (op == TREE_SUB)
        v = a - b;
    else if (op == TREE_MUL)
        v = a * b;
    else if (op == TREE_POW)
        v = pow(a, b);
    else if (op == TREE_DIV)
        v = a / b;
    else
        v = op == TREE_IDIV ? floor(a / b) : a - b * floor(a / b);
    if ((op == TREE_DIV || op == TREE_IDIV || op == TREE_MOD) && kr && b == 0) {
        if (elab_error(e, at, "division by zero"))
            elab_called(e);
        return v_poison(e);
    }
    val f = v_float(e, v, kl && kr, at);
    f->f.of_batch = of_batch(e, l) || of_batch(e, r);
    return live_float(e, f, op == TREE_POW ? IR_pow : arith_op(op), l, r);
}

static val arithmetic(struct elab *e, enum tree_op op, val l, val r, struct loc at)
{
    int64_t n;
    if (l->kind == V_BOOL || r->kind == V_BOOL)
        return number_error(e, op, l, r, at);
    if (l->kind == V_INT && r->kind == V_INT) {
        if (op == TREE_POW && v_is_const_int(r, &n) && n >= 0 && n < 64)
            return int_power(e, l, n, at);
        if (op != TREE_DIV && op != TREE_POW)
            return ints(e, op, l, r, at);
    }
    return floats(e, op, l, r, at);
}

/* Whether l op r holds: by bounds for all sizes, else by the values that the sizes have. */
static val compare_ints(struct elab *e, enum ir_op op, val l, val r, struct loc at)
{
    int64_t lo, hi, a, b;
    dim_range(e->dims, dim_sub(e->dims, l->i, r->i), &lo, &hi);
    bool eq = lo == 0 && hi == 0, ne = lo > 0 || hi < 0;
    if (op == IR_eq || op == IR_ne) {
        if (eq || ne)
            return v_bool(e, op == IR_eq ? eq : ne, true, at);
    } else if (op == IR_lt || op == IR_ge) {
        if (hi < 0 || lo >= 0)
            return v_bool(e, (op == IR_lt) == (hi < 0), true, at);
    } else if (hi <= 0 || lo > 0) {
        return v_bool(e, (op == IR_le) == (hi <= 0), true, at);
    }
    if (!dim_value(e->dims, l->i, &a) || !dim_value(e->dims, r->i, &b))
        return v_bool(e, false, false, at);
    bool v = op == IR_eq   ? a == b
             : op == IR_ne ? a != b
             : op == IR_lt ? a < b
             : op == IR_le ? a <= b
             : op == IR_gt ? a > b
                           : a >= b;
    return v_bool(e, v, true, at);
}

static val compare_floats(struct elab *e, enum ir_op op, val l, val r, struct loc at)
{
    bool kl, kr;
    double a = v_double(e, l, &kl), b = v_double(e, r, &kr);
    bool v = op == IR_eq   ? a == b
             : op == IR_ne ? a != b
             : op == IR_lt ? a < b
             : op == IR_le ? a <= b
             : op == IR_gt ? a > b
                           : a >= b;
    return v_bool(e, v, kl && kr, at);
}

static bool same_value(val l, val r, bool *known)
{
    *known = true;
    if (l->kind != r->kind)
        return false;
    switch (l->kind) {
    case V_STRING: return !strcmp(l->string, r->string);
    case V_DTYPE: return l->dtype == r->dtype;
    case V_NONE: return true;
    case V_FN:
    case V_DEF: return l->def.decl == r->def.decl;
    case V_INST: return l->inst == r->inst;
    case V_BUILTIN: return l->builtin == r->builtin;
    case V_INT: return l->i == r->i;
    case V_LIST:
    case V_TUPLE:
        for (uint32_t i = 0; l->list.n == r->list.n && i < l->list.n; i++)
            if (!same_value(l->list.p[i], r->list.p[i], known))
                return false;
        return l->list.n == r->list.n;
    case V_BOOL: *known = l->b.known && r->b.known; return l->b.v == r->b.v;
    case V_FLOAT: *known = l->f.known && r->f.known; return l->f.v == r->f.v;
    case V_POISON:
    case V_TENSOR:
    case V_RANGE:
    case V_MODULE:
    case V_DATASET: break;
    }
    *known = false;
    return false;
}

/* ---- tensors ---- */

static bool widen(enum nn_dtype *t)
{
    bool narrow = *t == NN_i8 || *t == NN_u8;
    if (narrow)
        *t = NN_i32;
    return narrow;
}

/* A bool or integers below i32 have their arithmetic in i32. */
static enum nn_dtype arith_dtype(enum nn_dtype t)
{
    widen(&t);
    return t == NN_bool ? NN_i32 : t;
}

static bool tensor_like(val v) { return v_is_tensor(v) || v_is_number(v); }

/* Both as tensors of dtype t, computed. */
static void both_to(struct elab *e, val *v, enum nn_dtype t, struct loc at)
{
    for (int k = 0; k < 2; k++) {
        bool weak = !v_is_tensor(v[k]) || v[k]->t.weak;
        val c = to_dtype(e, v[k], t, at);
        if (v_is_tensor(v[k]))
            c->at = v[k]->at;
        emit_node_of(e, c);
        c->t.weak = weak;
        v[k] = c;
    }
}

static const struct form *form_operate(struct elab *e, enum tree_op op, val l, val r)
{
    bool affine = (v_is_tensor(l) && l->t.form) || (v_is_tensor(r) && r->t.form);
    const struct form *a = affine ? form_of(e, l) : NULL, *b = affine ? form_of(e, r) : NULL;
    if (!a || !b)
        return NULL;
    if (op == TREE_ADD || op == TREE_SUB)
        return form_add(e, a, b, op == TREE_ADD ? 1 : -1);
    if (op == TREE_MUL)
        return form_mul(e, a, b);
    if (op == TREE_IDIV || op == TREE_MOD)
        return form_div(e, a, b, op == TREE_MOD);
    return NULL;
}

/* An integer that subscripts take as it is: made of indices and numbers. */
static bool is_affine(val v) { return v->kind == V_INT || (v_is_tensor(v) && v->t.form); }

static val tensor_arith(struct elab *e, enum tree_op op, val l, val r, struct loc at)
{
    val v[2] = {l, r};
    enum nn_dtype t;
    bool weak;
    if (!tensor_like(l) || !tensor_like(r))
        return number_error(e, op, l, r, at);
    if (!common_dtype(e, at, tree_op_text(op), 2, v, &t, &weak))
        return v_poison(e);
    t = arith_dtype(t);
    if (op == TREE_DIV && !nn_is_float(t))
        t = NN_f32;
    const struct form *f = form_operate(e, op, l, r);
    bool bent = !f && nn_is_int(t) && is_affine(l) && is_affine(r);
    struct shape s;
    if (f) {
        if (!shape_join(e, at, tree_op_text(op), 2, v, &s))
            return v_poison(e);
        val x = v_tensor(e, t, s, at);
        x->t.weak = weak;
        x->t.form = f;
        guards_join(e, x, 2, v);
        return x;
    }
    emit_origin(e, at, ir_op_name(arith_op(op)));
    both_to(e, v, t, at);
    if (!shape_join(e, at, tree_op_text(op), 2, v, &s))
        return v_poison(e);
    val x = emit_binary(e, arith_op(op), v[0], v[1], at);
    x->t.weak = weak;
    x->t.bent = bent;
    return x;
}

/* A field's elements beside a number, which way round ever. */
static struct field_mark mark_compared(enum ir_op op, val l, val r)
{
    const struct field_mark none = {0};
    val x = v_is_tensor(l) ? l : r, n = v_is_tensor(l) ? r : l;
    int64_t v;
    if (!v_is_tensor(x) || !x->t.of.field || x->t.of.how != MARK_AS_IS || !v_is_const_int(n, &v))
        return none;
    return (struct field_mark){x->t.of.field, op == IR_eq ? MARK_EQUAL : MARK_DIFFERS, v,
                               x->t.of.stamp};
}

val compare(struct elab *e, enum ir_op op, val l, val r, struct loc at)
{
    bool known;
    if (v_bad(l) || v_bad(r))
        return v_poison(e);
    if (l->kind == V_INT && r->kind == V_INT)
        return compare_ints(e, op, l, r, at);
    if (v_is_number(l) && v_is_number(r))
        return compare_floats(e, op, l, r, at);
    if (!tensor_like(l) || !tensor_like(r)) {
        if (op != IR_eq && op != IR_ne) {
            if (elab_error(e, at, "%s and %s have no order", v_text(e, l), v_text(e, r)))
                elab_called(e);
            return v_poison(e);
        }
        bool same = same_value(l, r, &known);
        return v_bool(e, same == (op == IR_eq), known, at);
    }
    val v[2] = {l, r};
    enum nn_dtype t;
    bool weak;
    if (!common_dtype(e, at, "a comparison", 2, v, &t, &weak))
        return v_poison(e);
    widen(&t);
    emit_origin(e, at, ir_op_name(op));
    both_to(e, v, t, at);
    val c = emit_binary(e, op, v[0], v[1], at);
    if (!v_bad(c) && (op == IR_eq || op == IR_ne))
        c->t.of = mark_compared(op, l, r);
    return c;
}

static val logic(struct elab *e, enum tree_op op, val l, val r, struct loc at)
{
    if (l->kind == V_BOOL && r->kind == V_BOOL) {
        bool v = op == TREE_AND ? l->b.v && r->b.v : l->b.v || r->b.v;
        bool known = l->b.known && r->b.known;
        return v_bool(e, v, known, at);
    }
    val v[2] = {to_tensor(e, l, NN_DTYPE_COUNT, at), to_tensor(e, r, NN_DTYPE_COUNT, at)};
    for (int k = 0; k < 2; k++) {
        if (v_bad(v[k]))
            return v[k];
        if (v[k]->t.dtype != NN_bool)
            return number_error(e, op, l, r, at);
    }
    emit_origin(e, at, tree_op_text(op));
    return emit_binary(e, op == TREE_AND ? IR_and : IR_or, v[0], v[1], at);
}

/* ---- powers ---- */

static val power_int(struct elab *e, val x, int64_t n, struct loc at)
{
    val r = NULL, square = x;
    for (int64_t k = n; k; k >>= 1) {
        if (k & 1)
            r = r ? emit_binary(e, IR_mul, r, square, at) : square;
        if (k > 1)
            square = emit_binary(e, IR_mul, square, square, at);
    }
    return r;
}

val power(struct elab *e, val x, val y, struct loc at)
{
    val v[2] = {x, y};
    enum nn_dtype t;
    bool weak, known;
    if (!tensor_like(x) || !tensor_like(y))
        return number_error(e, TREE_POW, x, y, at);
    if (!common_dtype(e, at, "**", 2, v, &t, &weak))
        return v_poison(e);
    double n = v_is_number(y) ? v_double(e, y, &known) : NAN;
    bool whole = v_is_number(y) && known && n == floor(n) && n >= 1 && n <= 8;
    emit_origin(e, at, "pow");
    if (whole && v_is_tensor(x)) {
        t = arith_dtype(x->t.weak ? t : x->t.dtype);
        val b = to_dtype(e, x, t, at);
        emit_node_of(e, b);
        val r = power_int(e, b, (int64_t)n, at);
        r = r == x ? v_moved(e, r, at) : r;
        r->t.weak = x->t.weak;
        return r;
    }
    if (!nn_is_float(t))
        t = NN_f32;
    both_to(e, v, t, at);
    if (n == 0.5 || n == -0.5)
        return emit_unary(e, n > 0 ? IR_sqrt : IR_rsqrt, v[0], at);
    val r = emit_binary(e, IR_pow, v[0], v[1], at);
    if (!v_bad(r))
        r->t.weak = weak;
    return r;
}

/* ---- where ---- */

/* 1 where no read of v is outside, as a bool; NULL if none can be. */
static val validity(struct elab *e, val v, struct loc at)
{
    val all = v_is_tensor(v) ? v->t.valid : NULL;
    for (uint32_t i = 0; v_is_tensor(v) && i < v->t.nguard; i++) {
        val n = v_tensor(e, NN_i32, shape_scalar(), at);
        n->t.form = v->t.guard[i].e;
        n->t.s = v->t.s;
        emit_node_of(e, n);
        val zero = to_tensor(e, v_number(e, 0, at), NN_i32, at);
        val end = to_tensor(e, v_int(e, v->t.guard[i].n, at), NN_i32, at);
        val in = emit_binary(e, IR_and, emit_binary(e, IR_ge, n, zero, at),
                             emit_binary(e, IR_lt, n, end, at), at);
        all = all ? emit_binary(e, IR_and, all, in, at) : in;
    }
    return all;
}

static void select_guards(struct elab *e, val out, val c, val x, val y, struct loc at)
{
    val in[2] = {validity(e, x, at), validity(e, y, at)};
    out->t.nguard = 0;
    out->t.valid = NULL;
    if (!in[0] && !in[1])
        return;
    for (int k = 0; k < 2; k++)
        if (!in[k])
            in[k] = to_tensor(e, v_bool(e, true, true, at), NN_bool, at);
    val v[3] = {c, in[0], in[1]};
    struct shape s;
    if (!shape_join(e, at, "where", 3, v, &s))
        return;
    out->t.valid = v_tensor(e, NN_bool, s, at);
    out->t.valid->t.node = emit_elem(e, IR_select, NN_bool, &s, 3, v);
}

static bool fits_narrow(val v)
{
    int64_t i;
    return v_is_tensor(v) || (v_is_const_int(v, &i) && i >= 0 && i < 128);
}

/* where(y != c, y, 0) and where(y == c, 0, y): y's elements, but those that are c. */
static struct field_mark mark_selected(val c, val x, val y)
{
    const struct field_mark none = {0}, *of = &c->t.of;
    int64_t n;
    val kept = of->how == MARK_DIFFERS ? x : y, other = of->how == MARK_DIFFERS ? y : x;
    if (!of->field || !v_is_tensor(kept) || kept->t.of.field != of->field ||
        kept->t.of.how != MARK_AS_IS || kept->t.of.stamp != of->stamp || !v_is_const_int(other, &n))
        return none;
    return (struct field_mark){of->field, MARK_SPARED, of->value, of->stamp};
}

val select_value(struct elab *e, val c, val x, val y, struct loc at)
{
    if (v_bad(c) || v_bad(x) || v_bad(y))
        return v_poison(e);
    if (c->kind == V_BOOL && c->b.known)
        return c->b.v ? x : y;
    if (c->kind == V_BOOL) {
        if (elab_error(e, at, "where: the condition is not decided for all sizes"))
            elab_called(e);
        return v_poison(e);
    }
    if (!v_is_tensor(c) || c->t.dtype != NN_bool) {
        if (elab_error(e, at, "where: the condition is a bool, not %s", v_text(e, c))) {
            if (c->at.file && (c->at.lo < at.lo || c->at.hi > at.hi))
                diag_note(e->d, c->at, "it is from here");
            elab_called(e);
        }
        return v_poison(e);
    }
    val v[3] = {x, y, NULL};
    enum nn_dtype t;
    bool weak;
    if (!tensor_like(x) || !tensor_like(y)) {
        if (elab_error(e, at, "where: cannot choose between %s and %s by element", v_text(e, x),
                       v_text(e, y)))
            elab_called(e);
        return v_poison(e);
    }
    if (!common_dtype(e, at, "where", 2, v, &t, &weak))
        return v_poison(e);
    if (!fits_narrow(x) || !fits_narrow(y))
        widen(&t);
    emit_origin(e, at, "where");
    both_to(e, v, t, at);
    emit_node_of(e, c);
    val all[3] = {c, v[0], v[1]};
    struct shape s;
    if (!shape_join(e, at, "where", 3, all, &s))
        return v_poison(e);
    val r = v_tensor(e, t, s, at);
    r->t.weak = weak;
    r->t.of = mark_selected(c, x, y);
    r->t.node = emit_elem(e, IR_select, t, &s, 3, all);
    if (e->b && e->leaves_out)
        select_guards(e, r, c, v[0], v[1], at);
    return r;
}

/* ---- @ ---- */

static bool matmul_fits(struct elab *e, val x, val y, struct loc at)
{
    for (int k = 0; k < 2; k++) {
        val v = k ? y : x;
        if (!v_is_tensor(v) || !v->t.s.rank) {
            if (elab_error(e, at, "matmul: %s is no matrix or vector", v_text(e, v)))
                elab_called(e);
            return false;
        }
    }
    const struct dim *l = x->t.s.dim[x->t.s.rank - 1];
    const struct dim *r = y->t.s.dim[y->t.s.rank < 2 ? 0 : y->t.s.rank - 2];
    if (l == r)
        return true;
    if (elab_error(e, at, "matmul: inner dimensions differ: %s and %s", v_dim_text(e, l),
                   v_dim_text(e, r))) {
        diag_label(e->d, "left is %s", v_text(e, x));
        diag_note(e->d, y->at, "right is %s, from here", v_text(e, y));
        elab_called(e);
    }
    return false;
}

/* The leading axes of both, broadcast. */
static bool matmul_batch(struct elab *e, val x, val y, struct loc at, struct shape *out)
{
    val v[2];
    for (int k = 0; k < 2; k++) {
        v[k] = v_moved(e, k ? y : x, k ? y->at : x->at);
        uint32_t cut = v[k]->t.s.rank < 2 ? 1 : 2;
        v[k]->t.s.rank -= cut;
    }
    return shape_join(e, at, "matmul", 2, v, out);
}

/* Terms of an operand's own axes over [batch…, rows, columns, k]; SIZE_MAX axes are absent. */
static const struct ir_term *matmul_terms(struct elab *e, val x, const struct shape *dom,
                                          uint32_t nbatch, const uint32_t *last, uint32_t nlast)
{
    struct ir_term *t = ARENA_ARRAY(e->m->mem, struct ir_term, x->t.s.rank);
    uint32_t own = x->t.s.rank - nlast;
    for (uint32_t i = 0; i < x->t.s.rank; i++) {
        uint32_t axis = i < own ? nbatch - own + i : last[i - own];
        bool stretched = i < own && x->t.s.dim[i] != dom->dim[axis];
        const struct ix *ix =
            stretched ? ix_const(e->m->mem, 0) : ix_axis(e->m->mem, dom->nix + axis);
        t[i] = (struct ir_term){ix, 1, emit_size(e, x->t.s.dim[i])};
    }
    return t;
}

val matmul(struct elab *e, val x, val y, struct loc at)
{
    val v[2] = {x, y};
    enum nn_dtype t;
    bool weak;
    struct shape s;
    if (!matmul_fits(e, x, y, at) || !common_dtype(e, at, "matmul", 2, v, &t, &weak) ||
        !matmul_batch(e, x, y, at, &s))
        return v_poison(e);
    t = arith_dtype(t);
    emit_origin(e, at, "matmul");
    both_to(e, v, t, at);
    const struct dim *dim[NN_MAX_RANK + 3];
    uint32_t nbatch = s.rank, n = nbatch, last[2][2] = {{0}}, nlast[2] = {0, 0};
    memcpy(dim, s.dim, nbatch * sizeof *dim);
    if (x->t.s.rank > 1) {
        last[0][nlast[0]++] = n;
        dim[n++] = x->t.s.dim[x->t.s.rank - 2];
    }
    uint32_t column = n;
    if (y->t.s.rank > 1)
        dim[n++] = y->t.s.dim[y->t.s.rank - 1];
    last[0][nlast[0]++] = last[1][nlast[1]++] = n;
    if (y->t.s.rank > 1)
        last[1][nlast[1]++] = column;
    dim[n] = x->t.s.dim[x->t.s.rank - 1];
    struct shape dom = shape_with(e, s, n + 1, dim), out = shape_with(e, s, n, dim);
    val r = v_tensor(e, t, out, at), product = v_tensor(e, t, dom, at);
    r->t.weak = weak;
    if (!e->b)
        return r;
    const struct ir_term *terms[2] = {matmul_terms(e, v[0], &dom, nbatch, last[0], nlast[0]),
                                      matmul_terms(e, v[1], &dom, nbatch, last[1], nlast[1])};
    bool was = e->b->inlined;
    e->b->inlined = true;
    product->t.node = emit_elem_at(e, IR_mul, t, &dom, 2, v, terms);
    e->b->inlined = was;
    bool fold[NN_MAX_RANK + 3] = {false};
    fold[n] = true;
    r->t.node = emit_reduce(e, IRM_sum, product, fold);
    return r;
}

/* ---- dispatch ---- */

static val range(struct elab *e, val l, val r, struct loc at)
{
    if (l->kind != V_INT || r->kind != V_INT)
        return number_error(e, TREE_RANGE, l, r, at);
    val v = v_new(e, V_RANGE, at);
    v->range.lo = l->i;
    v->range.hi = r->i;
    return v;
}

static val concat_lists(struct elab *e, val l, val r, struct loc at)
{
    uint32_t n = l->list.n + r->list.n;
    val *p = ARENA_ARRAY(e->mem, val, n);
    memcpy(p, l->list.p, l->list.n * sizeof *p);
    memcpy(p + l->list.n, r->list.p, r->list.n * sizeof *p);
    return v_list(e, l->kind, p, n, at);
}

static bool is_list(val v) { return v->kind == V_LIST || v->kind == V_TUPLE; }

val operate(struct elab *e, enum tree_op op, val l, val r, struct loc at)
{
    if (v_bad(l) || v_bad(r))
        return v_poison(e);
    switch (op) {
    case TREE_EQ: return compare(e, IR_eq, l, r, at);
    case TREE_NE: return compare(e, IR_ne, l, r, at);
    case TREE_LT: return compare(e, IR_lt, l, r, at);
    case TREE_LE: return compare(e, IR_le, l, r, at);
    case TREE_GT: return compare(e, IR_gt, l, r, at);
    case TREE_GE: return compare(e, IR_ge, l, r, at);
    case TREE_AND:
    case TREE_OR: return logic(e, op, l, r, at);
    case TREE_RANGE: return range(e, l, r, at);
    case TREE_MATMUL: return matmul(e, l, r, at);
    case TREE_ADD:
        if (is_list(l) && is_list(r))
            return concat_lists(e, l, r, at);
        break;
    case TREE_POW:
        if (v_is_tensor(l) || v_is_tensor(r))
            return power(e, l, r, at);
        break;
    case TREE_SUB:
    case TREE_MUL:
    case TREE_DIV:
    case TREE_IDIV:
    case TREE_MOD: break;
    case TREE_NEG:
    case TREE_NOT:
    case TREE_PIPE:
    case TREE_OP_COUNT: BUG("%s is no binary operator here", tree_op_text(op));
    }
    if (v_is_number(l) && v_is_number(r))
        return arithmetic(e, op, l, r, at);
    return tensor_arith(e, op, l, r, at);
}

val operate_unary(struct elab *e, enum tree_op op, val x, struct loc at)
{
    if (v_bad(x))
        return x;
    if (op == TREE_NOT) {
        if (x->kind == V_BOOL)
            return v_bool(e, !x->b.v, x->b.known, at);
        if (v_is_tensor(x) && x->t.dtype == NN_bool) {
            emit_origin(e, at, "not");
            return emit_unary(e, IR_not, x, at);
        }
    } else if (x->kind == V_INT) {
        return v_int(e, dim_sub(e->dims, dim_const(e->dims, 0), x->i), at);
    } else if (x->kind == V_FLOAT) {
        val f = v_float(e, -x->f.v, x->f.known, at);
        f->f.of_batch = x->f.of_batch;
        return live_float(e, f, IR_neg, x, NULL);
    } else if (v_is_tensor(x)) {
        if (x->t.form)
            return tensor_arith(e, TREE_MUL, v_number(e, -1, at), x, at);
        emit_origin(e, at, "neg");
        val c = to_dtype(e, x, arith_dtype(x->t.dtype), at);
        bool weak = x->t.weak;
        val r = emit_unary(e, IR_neg, c, at);
        r->t.weak = weak;
        return r;
    }
    if (elab_error(e, at, "`%s` does not take %s", tree_op_text(op), v_text(e, x)))
        elab_called(e);
    return v_poison(e);
}
