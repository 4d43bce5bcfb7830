/* Element-wise built-in functions. On numbers they compute at compile time. */
#include "front/elab.h"
#include <math.h>

static bool whole_result(enum ir_op op)
{
    return op == IR_floor || op == IR_ceil || op == IR_round;
}

static val fold_unary(struct elab *e, enum ir_op op, val x, struct loc at)
{
    bool known;
    int64_t i;
    double d = v_double(e, x, &known);
    if (v_is_const_int(x, &i) && (op == IR_abs || op == IR_sign || whole_result(op)))
        return v_number(e,
                        op == IR_abs    ? (i < 0 ? -i : i)
                        : op == IR_sign ? (i > 0) - (i < 0)
                                        : i,
                        at);
    if (x->kind == V_INT && (op == IR_abs || whole_result(op)) &&
        (op != IR_abs || dim_shown_ge(e->dims, x->i, dim_const(e->dims, 0))))
        return x;
    double v = known ? ir_scalar(op, NN_f64, NN_f64, &d) : 0;
    if (known && whole_result(op) && fabs(v) < 0x1p53)
        return v_number(e, (int64_t)v, at);
    val f = v_float(e, v, known, at);
    f->f.of_batch = x->kind == V_FLOAT
                        ? x->f.of_batch
                        : x->kind == V_INT && e->batch && dim_uses(e->dims, x->i, e->batch);
    return live_float(e, f, op, x, NULL);
}

static val weakly(val v, bool weak)
{
    if (!v_bad(v))
        v->t.weak = weak;
    return v;
}

val builtin_unary(struct builtin_call *c)
{
    struct elab *e = c->e;
    enum ir_op op = (enum ir_op)c->row->sub;
    val x;
    if (c->arg[0] && (c->arg[0]->kind == V_INT || c->arg[0]->kind == V_FLOAT))
        return fold_unary(e, op, c->arg[0], c->at);
    if (!want_tensor(c, 0, &x))
        return v_poison(e);
    bool weak = x->t.weak;
    enum nn_dtype t = x->t.dtype;
    if (!nn_is_float(t)) {
        if (whole_result(op))
            return v_moved(e, x, c->at);
        bool arith = ir_op_class(op) == IRC_ARITH;
        x = to_dtype(e, x, !arith ? NN_f32 : t == NN_i64 ? NN_i64 : NN_i32, c->at);
    }
    return weakly(emit_unary(e, op, x, c->at), weak);
}

static val fold_binary(struct elab *e, enum ir_op op, val x, val y, struct loc at)
{
    bool kx, ky;
    if (x->kind == V_INT && y->kind == V_INT) {
        bool ge = dim_shown_ge(e->dims, x->i, y->i), le = dim_shown_ge(e->dims, y->i, x->i);
        if (ge || le)
            return ge == (op == IR_max) ? x : y;
    }
    double a = v_double(e, x, &kx), b = v_double(e, y, &ky);
    bool first = op == IR_max ? a >= b : a <= b;
    if (kx && ky)
        return first ? x : y;
    return live_float(e, v_float(e, 0, false, at), op, x, y);
}

/* Both operands as tensors of one dtype, as arithmetic would have them. */
static bool pair(struct elab *e, const char *what, val *v, struct loc at, bool *weak)
{
    enum nn_dtype t;
    if (!common_dtype(e, at, what, 2, v, &t, weak))
        return false;
    if (t == NN_bool || t == NN_i8 || t == NN_u8)
        t = NN_i32;
    for (int k = 0; k < 2; k++) {
        bool own = !v_is_tensor(v[k]) || v[k]->t.weak;
        val x = to_dtype(e, v[k], t, at);
        if (v_bad(x))
            return false;
        emit_node_of(e, x);
        x->t.weak = own;
        v[k] = x;
    }
    return true;
}

static val binary(struct elab *e, enum ir_op op, const char *what, val x, val y, struct loc at)
{
    val v[2] = {x, y};
    bool weak;
    if ((x->kind == V_INT || x->kind == V_FLOAT) && (y->kind == V_INT || y->kind == V_FLOAT))
        return fold_binary(e, op, x, y, at);
    if (!pair(e, what, v, at, &weak))
        return v_poison(e);
    return weakly(emit_binary(e, op, v[0], v[1], at), weak);
}

static bool tensor_or_number(struct builtin_call *c, uint32_t i)
{
    val unused;
    if (c->arg[i] && (c->arg[i]->kind == V_INT || c->arg[i]->kind == V_FLOAT))
        return true;
    return want_tensor(c, i, &unused);
}

val builtin_binary(struct builtin_call *c)
{
    if (!tensor_or_number(c, 0) || !tensor_or_number(c, 1))
        return v_poison(c->e);
    return binary(c->e, (enum ir_op)c->row->sub, c->row->name, c->arg[0], c->arg[1], c->at);
}

val builtin_pow(struct builtin_call *c)
{
    if (!tensor_or_number(c, 0) || !tensor_or_number(c, 1))
        return v_poison(c->e);
    return operate(c->e, TREE_POW, c->arg[0], c->arg[1], c->at);
}

val builtin_matmul(struct builtin_call *c)
{
    val x, y;
    if (!want_tensor(c, 0, &x) || !want_tensor(c, 1, &y))
        return v_poison(c->e);
    return matmul(c->e, x, y, c->at);
}

val builtin_clamp(struct builtin_call *c)
{
    val v = c->arg[0];
    if (!tensor_or_number(c, 0) || (c->arg[1] && !tensor_or_number(c, 1)) ||
        (c->arg[2] && !tensor_or_number(c, 2)))
        return v_poison(c->e);
    if (c->arg[1])
        v = binary(c->e, IR_max, c->row->name, v, c->arg[1], c->at);
    if (c->arg[2] && !v_bad(v))
        v = binary(c->e, IR_min, c->row->name, v, c->arg[2], c->at);
    return v;
}

val builtin_where(struct builtin_call *c)
{
    val v[3];
    for (int i = 0; i < 3; i++)
        v[i] = c->arg[i] ? c->arg[i] : v_none(c->e, c->at);
    return select_value(c->e, v[0], v[1], v[2], c->at);
}

val builtin_isnan(struct builtin_call *c)
{
    val x;
    if (!want_tensor(c, 0, &x))
        return v_poison(c->e);
    return compare(c->e, IR_ne, x, x, c->at);
}

val builtin_isfinite(struct builtin_call *c)
{
    struct elab *e = c->e;
    val x;
    if (!want_tensor(c, 0, &x))
        return v_poison(e);
    if (!nn_is_float(x->t.dtype))
        return compare(e, IR_eq, x, x, c->at);
    return compare(e, IR_lt, emit_unary(e, IR_abs, x, c->at),
                   v_float(e, (double)INFINITY, true, c->at), c->at);
}

val builtin_stop(struct builtin_call *c)
{
    val x;
    if (!want_tensor(c, 0, &x))
        return v_poison(c->e);
    return emit_unary(c->e, IR_stop, x, c->at);
}
