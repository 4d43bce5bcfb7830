/* The operators' and the monoids' tables, as data: names, classes, arities, identities. */
#include "ir/ir.h"
#include <math.h>

static const struct {
    const char *name;
    int8_t arity;
    uint8_t class;
} ops[] = {
#define ARITY_0 0
#define ARITY_1 1
#define ARITY_2 2
#define ARITY_3 3
#define ARITY_N -1
#define OP(name, arity, class) {#name, ARITY_##arity, IRC_##class},
#include "ir/ops.def"
#undef OP
};

static const struct {
    const char *name;
    double identity;
    uint8_t combine;
} monoids[] = {
#define MONOID(name, identity, combine) {#name, identity, IR_##combine},
#include "ir/monoids.def"
#undef MONOID
};

const char *ir_op_name(enum ir_op op) { return ops[op].name; }
enum ir_class ir_op_class(enum ir_op op) { return ops[op].class; }
int ir_op_arity(enum ir_op op) { return ops[op].arity; }

bool ir_op_elementwise(enum ir_op op) { return ops[op].class <= IRC_ELEM; }

bool ir_op_whole(enum ir_op op)
{
    return op == IR_reshape || op == IR_random || op == IR_custom || op == IR_grad;
}

bool ir_op_find(const char *name, enum ir_op *op)
{
    for (size_t i = 0; i < IR_OP_COUNT; i++)
        if (!strcmp(ops[i].name, name)) {
            *op = (enum ir_op)i;
            return true;
        }
    return false;
}

static const char *const precisions[IR_PRECISION_COUNT] = {
    [IR_F32] = "f32", [IR_TF32] = "tf32", [IR_BF16] = "bf16", [IR_F16] = "f16"};
const char *ir_precision_name(enum ir_precision p) { return precisions[p]; }

bool ir_precision_find(const char *name, enum ir_precision *p)
{
    for (size_t i = 0; i < IR_PRECISION_COUNT; i++)
        if (!strcmp(precisions[i], name)) {
            *p = (enum ir_precision)i;
            return true;
        }
    return false;
}

const char *ir_monoid_name(enum ir_monoid m) { return monoids[m].name; }
enum ir_op ir_monoid_combine(enum ir_monoid m) { return monoids[m].combine; }

bool ir_monoid_find(const char *name, enum ir_monoid *m)
{
    for (size_t i = 0; i < IRM_COUNT; i++)
        if (!strcmp(monoids[i].name, name)) {
            *m = (enum ir_monoid)i;
            return true;
        }
    return false;
}

/* The least and the greatest value of an integer type that a double holds. */
static double int_extreme(enum nn_dtype t, bool greatest)
{
    if (t == NN_u8 || t == NN_bool)
        return greatest ? (t == NN_u8 ? 255 : 1) : 0;
    int bits = (int)nn_dtype_size(t) * 8 - 1;
    if (!greatest)
        return -ldexp(1, bits);
    return t == NN_i64 ? nextafter(0x1p63, 0) : ldexp(1, bits) - 1;
}

double ir_monoid_identity(enum ir_monoid m, enum nn_dtype t)
{
    double v = monoids[m].identity;
    return nn_is_float(t) || !isinf(v) ? v : int_extreme(t, v > 0);
}

bool ir_dtype_find(const char *name, enum nn_dtype *t)
{
    for (int i = 0; i < NN_DTYPE_COUNT; i++)
        if (!strcmp(nn_dtype_name((enum nn_dtype)i), name)) {
            *t = (enum nn_dtype)i;
            return true;
        }
    return false;
}
