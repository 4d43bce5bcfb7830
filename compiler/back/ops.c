/* The element-wise operators of ir/ops.def, casts, bit operators and folds across lanes, in LLVM
 * IR. What they mean is what the loop IR's interpreter computes, to the bit. */
#include "back/gen.h"

LLVMValueRef gen_real_like(LLVMValueRef x, double v)
{
    LLVMTypeRef t = LLVMTypeOf(x);
    if (LLVMGetTypeKind(t) != LLVMVectorTypeKind)
        return LLVMConstReal(t, v);
    LLVMValueRef all[64];
    unsigned n = LLVMGetVectorSize(t);
    for (unsigned i = 0; i < n; i++)
        all[i] = LLVMConstReal(LLVMGetElementType(t), v);
    return LLVMConstVector(all, n);
}

LLVMValueRef gen_int_like(LLVMValueRef x, int64_t v)
{
    LLVMTypeRef t = LLVMTypeOf(x);
    if (LLVMGetTypeKind(t) != LLVMVectorTypeKind)
        return LLVMConstInt(t, (unsigned long long)v, true);
    LLVMValueRef all[64];
    unsigned n = LLVMGetVectorSize(t);
    for (unsigned i = 0; i < n; i++)
        all[i] = LLVMConstInt(LLVMGetElementType(t), (unsigned long long)v, true);
    return LLVMConstVector(all, n);
}

static uint32_t lanes_of(LLVMValueRef x)
{
    LLVMTypeRef t = LLVMTypeOf(x);
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? LLVMGetVectorSize(t) : 1;
}

static LLVMTypeRef like(LLVMValueRef x, LLVMTypeRef scalar)
{
    return gen_wide(scalar, lanes_of(x));
}

static LLVMValueRef unary_intrinsic(struct gen *g, const char *name, LLVMValueRef x)
{
    return gen_intrinsic(g, name, LLVMTypeOf(x), &x, 1);
}

/* ---- the C library's functions, lane by lane ---- */
static LLVMValueRef libm_call(struct gen *g, const char *name, LLVMValueRef x, LLVMValueRef y)
{
    CHECK(g->machine->libm, "back: %s: %s was not expanded", g->k->name, name);
    LLVMTypeRef t = LLVMTypeOf(x);
    bool vector = LLVMGetTypeKind(t) == LLVMVectorTypeKind;
    LLVMTypeRef s = vector ? LLVMGetElementType(t) : t, arg[2] = {s, s};
    char symbol[32];
    snprintf(symbol, sizeof symbol, "%s%s", name, s == g->f32 ? "f" : "");
    unsigned n = y ? 2 : 1;
    LLVMTypeRef ft = LLVMFunctionType(s, arg, n, false);
    LLVMValueRef fn = LLVMGetNamedFunction(g->m, symbol);
    if (!fn)
        fn = LLVMAddFunction(g->m, symbol, ft);
    if (!vector)
        return LLVMBuildCall2(g->b, ft, fn, (LLVMValueRef[]){x, y}, n, "");
    LLVMValueRef r = LLVMGetPoison(t);
    for (unsigned i = 0; i < LLVMGetVectorSize(t); i++) {
        LLVMValueRef at = LLVMConstInt(g->i32, i, false), e[2];
        e[0] = LLVMBuildExtractElement(g->b, x, at, "");
        e[1] = y ? LLVMBuildExtractElement(g->b, y, at, "") : NULL;
        r = LLVMBuildInsertElement(g->b, r, LLVMBuildCall2(g->b, ft, fn, e, n, ""), at, "");
    }
    return r;
}

/* ---- arithmetic ---- */

/* A constant that is a number, in all lanes alike. */
static bool number_const(LLVMValueRef x)
{
    if (!LLVMIsConstant(x))
        return false;
    if (lanes_of(x) > 1)
        x = LLVMGetAggregateElement(x, 0);
    LLVMBool loses;
    return x && LLVMIsAConstantFP(x) &&
           LLVMConstRealGetDouble(x, &loses) == LLVMConstRealGetDouble(x, &loses);
}

/* `x is NaN ? x : x > y ? x : y` (scalar.c). Against a constant number one comparison says
 * both. */
static LLVMValueRef extreme(struct gen *g, bool max, enum nn_dtype t, LLVMValueRef x,
                            LLVMValueRef y)
{
    LLVMBuilderRef b = g->b;
    if (!nn_is_float(t)) {
        bool uns = t == NN_u8 || t == NN_bool;
        LLVMIntPredicate p =
            max ? (uns ? LLVMIntUGT : LLVMIntSGT) : (uns ? LLVMIntULT : LLVMIntSLT);
        return LLVMBuildSelect(b, LLVMBuildICmp(b, p, x, y, ""), x, y, "");
    }
    if (number_const(y))
        return LLVMBuildSelect(b, LLVMBuildFCmp(b, max ? LLVMRealOLE : LLVMRealOGE, x, y, ""), y, x,
                               "");
    LLVMValueRef r =
        LLVMBuildSelect(b, LLVMBuildFCmp(b, max ? LLVMRealOGT : LLVMRealOLT, x, y, ""), x, y, "");
    return LLVMBuildSelect(b, LLVMBuildFCmp(b, LLVMRealUNO, x, x, ""), x, r, "");
}

static LLVMValueRef sign(struct gen *g, enum nn_dtype t, LLVMValueRef x)
{
    if (nn_is_float(t)) {
        LLVMValueRef zero = gen_real_like(x, 0);
        LLVMValueRef up = LLVMBuildFCmp(g->b, LLVMRealOGT, x, zero, "");
        LLVMValueRef down = LLVMBuildFCmp(g->b, LLVMRealOLT, x, zero, "");
        LLVMValueRef r = LLVMBuildSelect(g->b, down, gen_real_like(x, -1), x, "");
        return LLVMBuildSelect(g->b, up, gen_real_like(x, 1), r, "");
    }
    LLVMValueRef zero = gen_int_like(x, 0);
    LLVMValueRef up = LLVMBuildICmp(g->b, t == NN_u8 ? LLVMIntUGT : LLVMIntSGT, x, zero, "");
    LLVMValueRef one = LLVMBuildSelect(g->b, up, gen_int_like(x, 1), zero, "");
    if (t == NN_u8)
        return one;
    LLVMValueRef down = LLVMBuildICmp(g->b, LLVMIntSLT, x, zero, "");
    return LLVMBuildSelect(g->b, down, gen_int_like(x, -1), one, "");
}

static LLVMValueRef absolute(struct gen *g, enum nn_dtype t, LLVMValueRef x)
{
    if (nn_is_float(t))
        return unary_intrinsic(g, "llvm.fabs", x);
    if (t == NN_u8)
        return x;
    LLVMValueRef down = LLVMBuildICmp(g->b, LLVMIntSLT, x, gen_int_like(x, 0), "");
    return LLVMBuildSelect(g->b, down, LLVMBuildNeg(g->b, x, ""), x, "");
}

/* Floor division or modulus of integers: by zero 0; by -1 apart, since the least integer / -1 does
 * not exist in LLVM. */
static LLVMValueRef int_floor(struct gen *g, bool mod, enum nn_dtype t, LLVMValueRef x,
                              LLVMValueRef y)
{
    LLVMBuilderRef b = g->b;
    LLVMValueRef zero = gen_int_like(x, 0), one = gen_int_like(x, 1), minus = gen_int_like(x, -1);
    LLVMValueRef by0 = LLVMBuildICmp(b, LLVMIntEQ, y, zero, "");
    if (t == NN_u8) {
        LLVMValueRef d = LLVMBuildSelect(b, by0, one, y, "");
        LLVMValueRef r = mod ? LLVMBuildURem(b, x, d, "") : LLVMBuildUDiv(b, x, d, "");
        return LLVMBuildSelect(b, by0, zero, r, "");
    }
    LLVMValueRef by1 = LLVMBuildICmp(b, LLVMIntEQ, y, minus, "");
    LLVMValueRef d = LLVMBuildSelect(b, LLVMBuildOr(b, by0, by1, ""), one, y, "");
    LLVMValueRef q = LLVMBuildSDiv(b, x, d, "");
    LLVMValueRef r = LLVMBuildSub(b, x, LLVMBuildMul(b, q, d, ""), "");
    LLVMValueRef some = LLVMBuildICmp(b, LLVMIntNE, r, zero, "");
    LLVMValueRef differ = LLVMBuildICmp(b, LLVMIntSLT, LLVMBuildXor(b, r, d, ""), zero, "");
    LLVMValueRef down = LLVMBuildAnd(b, some, differ, "");
    if (mod) {
        r = LLVMBuildAdd(b, r, LLVMBuildSelect(b, down, d, zero, ""), "");
        return LLVMBuildSelect(b, by0, zero, r, "");
    }
    q = LLVMBuildSub(b, q, LLVMBuildSelect(b, down, one, zero, ""), "");
    q = LLVMBuildSelect(b, by1, LLVMBuildNeg(b, x, ""), q, "");
    return LLVMBuildSelect(b, by0, zero, q, "");
}

static LLVMValueRef floor_op(struct gen *g, bool mod, enum nn_dtype t, LLVMValueRef x,
                             LLVMValueRef y)
{
    if (!nn_is_float(t))
        return int_floor(g, mod, t, x, y);
    LLVMValueRef q = unary_intrinsic(g, "llvm.floor", LLVMBuildFDiv(g->b, x, y, ""));
    return mod ? LLVMBuildFSub(g->b, x, LLVMBuildFMul(g->b, y, q, ""), "") : q;
}

static LLVMValueRef compare(struct gen *g, enum nn_dtype t, LLVMRealPredicate f, LLVMIntPredicate s,
                            LLVMIntPredicate u, LLVMValueRef x, LLVMValueRef y)
{
    if (nn_is_float(t))
        return LLVMBuildFCmp(g->b, f, x, y, "");
    return LLVMBuildICmp(g->b, t == NN_u8 || t == NN_bool ? u : s, x, y, "");
}

/* ---- casts ---- */
static LLVMValueRef shift(struct gen *g, LLVMValueRef x, int by)
{ /* left; negative: right */
    return by > 0 ? LLVMBuildShl(g->b, x, gen_int_like(x, by), "")
                  : LLVMBuildLShr(g->b, x, gen_int_like(x, -by), "");
}

static LLVMValueRef pick(struct gen *g, LLVMIntPredicate p, LLVMValueRef x, int64_t c,
                         LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, p, x, gen_int_like(x, c), ""), a, b, "");
}

static LLVMValueRef masked(struct gen *g, LLVMValueRef x, int64_t mask)
{
    return LLVMBuildAnd(g->b, x, gen_int_like(x, mask), "");
}

static LLVMValueRef plus(struct gen *g, LLVMValueRef x, int64_t c)
{
    return LLVMBuildAdd(g->b, x, gen_int_like(x, c), "");
}

static LLVMValueRef bf16_to_f32(struct gen *g, LLVMValueRef h)
{
    LLVMValueRef x = LLVMBuildZExt(g->b, h, like(h, g->i32), "");
    return LLVMBuildBitCast(g->b, shift(g, x, 16), like(h, g->f32), "");
}

/* Half to even; a NaN stays one. */
static LLVMValueRef f32_to_bf16(struct gen *g, LLVMValueRef x)
{
    LLVMValueRef u = LLVMBuildBitCast(g->b, x, like(x, g->i32), "");
    LLVMValueRef odd = masked(g, shift(g, u, -16), 1);
    LLVMValueRef r = LLVMBuildAdd(g->b, plus(g, u, 0x7fff), odd, "");
    LLVMValueRef nan = LLVMBuildOr(g->b, u, gen_int_like(u, 0x400000), "");
    LLVMValueRef is_nan = LLVMBuildFCmp(g->b, LLVMRealUNO, x, x, "");
    r = LLVMBuildSelect(g->b, is_nan, nan, r, "");
    return LLVMBuildTrunc(g->b, shift(g, r, -16), like(x, g->i16), "");
}

/* Without the hardware's conversion, in integers, so that flushed denormals do not matter. */
static LLVMValueRef f16_to_f32(struct gen *g, LLVMValueRef h)
{
    LLVMTypeRef i32 = like(h, g->i32), f32 = like(h, g->f32);
    if (g->half) {
        LLVMTypeRef half = like(h, LLVMHalfTypeInContext(g->cx));
        return LLVMBuildFPExt(g->b, LLVMBuildBitCast(g->b, h, half, ""), f32, "");
    }
    LLVMValueRef w = LLVMBuildZExt(g->b, h, i32, "");
    LLVMValueRef a = masked(g, w, 0x7fff), s = shift(g, masked(g, w, 0x8000), 16);
    LLVMValueRef up = shift(g, a, 13);
    LLVMValueRef tiny = LLVMBuildSIToFP(g->b, a, f32, "");
    tiny = LLVMBuildFMul(g->b, tiny, gen_real_like(tiny, 0x1p-24), "");
    tiny = LLVMBuildBitCast(g->b, tiny, i32, "");
    LLVMValueRef r = pick(g, LLVMIntULT, a, 0x400, tiny, plus(g, up, 112 << 23));
    LLVMValueRef huge = LLVMBuildOr(g->b, up, gen_int_like(up, 0x7f800000), "");
    LLVMValueRef quiet = LLVMBuildOr(g->b, huge, gen_int_like(up, 0x400000), "");
    r = pick(g, LLVMIntUGE, a, 0x7c00, pick(g, LLVMIntUGT, a, 0x7c00, quiet, huge), r);
    return LLVMBuildBitCast(g->b, LLVMBuildOr(g->b, r, s, ""), f32, "");
}

static LLVMValueRef f32_to_f16(struct gen *g, LLVMValueRef x)
{
    LLVMTypeRef i32 = like(x, g->i32), i16 = like(x, g->i16);
    if (g->half) {
        LLVMValueRef h = LLVMBuildFPTrunc(g->b, x, like(x, LLVMHalfTypeInContext(g->cx)), "");
        return LLVMBuildBitCast(g->b, h, i16, "");
    }
    LLVMValueRef w = LLVMBuildBitCast(g->b, x, i32, "");
    LLVMValueRef a = masked(g, w, 0x7fffffff), s = shift(g, masked(g, w, 0x80000000), -16);
    /* Denormal results: the sum's unit in the last place is theirs, so the addition rounds. */
    LLVMValueRef tiny = LLVMBuildBitCast(g->b, a, LLVMTypeOf(x), "");
    tiny = LLVMBuildFAdd(g->b, tiny, gen_real_like(tiny, 0.5), "");
    tiny = plus(g, LLVMBuildBitCast(g->b, tiny, i32, ""), -0x3f000000);
    LLVMValueRef odd = masked(g, shift(g, a, -13), 1);
    LLVMValueRef r = LLVMBuildAdd(g->b, plus(g, a, 0xfff - (112 << 23)), odd, "");
    r = pick(g, LLVMIntULT, a, 0x38800000, tiny, shift(g, r, -13));
    r = pick(g, LLVMIntUGE, a, 0x47800000, gen_int_like(a, 0x7c00), r);
    LLVMValueRef nan =
        LLVMBuildOr(g->b, masked(g, shift(g, a, -13), 0x3ff), gen_int_like(a, 0x7e00), "");
    r = pick(g, LLVMIntUGT, a, 0x7f800000, nan, r);
    return LLVMBuildTrunc(g->b, LLVMBuildOr(g->b, r, s, ""), i16, "");
}

static int bits_of(enum nn_dtype t) { return t == NN_bool ? 1 : 8 * (int)nn_dtype_size(t); }

static LLVMValueRef float_to(struct gen *g, enum nn_dtype from, enum nn_dtype to, LLVMValueRef x)
{
    LLVMTypeRef type = like(x, gen_scalar(g, to));
    if (to == NN_bool)
        return LLVMBuildFCmp(g->b, LLVMRealUNE, x, gen_real_like(x, 0), "");
    if (nn_is_float(to))
        return from == to     ? x
               : to == NN_f64 ? LLVMBuildFPExt(g->b, x, type, "")
                              : LLVMBuildFPTrunc(g->b, x, type, "");
    const char *name = to == NN_u8 ? "llvm.fptoui.sat" : "llvm.fptosi.sat";
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMTypeRef over[2] = {type, LLVMTypeOf(x)};
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(g->m, id, over, 2);
    return LLVMBuildCall2(g->b, LLVMIntrinsicGetType(g->cx, id, over, 2), fn, &x, 1, "");
}

static LLVMValueRef int_to(struct gen *g, enum nn_dtype from, enum nn_dtype to, LLVMValueRef x)
{
    LLVMTypeRef type = like(x, gen_scalar(g, to));
    bool uns = from == NN_u8 || from == NN_bool;
    if (to == NN_bool)
        return LLVMBuildICmp(g->b, LLVMIntNE, x, gen_int_like(x, 0), "");
    if (nn_is_float(to))
        return uns ? LLVMBuildUIToFP(g->b, x, type, "") : LLVMBuildSIToFP(g->b, x, type, "");
    if (bits_of(from) == bits_of(to))
        return x;
    if (bits_of(from) > bits_of(to))
        return LLVMBuildTrunc(g->b, x, type, "");
    return uns ? LLVMBuildZExt(g->b, x, type, "") : LLVMBuildSExt(g->b, x, type, "");
}

/* To f16 and bf16 everything goes by way of f32, from them too. */
LLVMValueRef gen_cast(struct gen *g, enum nn_dtype from, enum nn_dtype to, LLVMValueRef x)
{
    if (from == to)
        return x;
    LLVMValueRef own = g->machine->cast ? g->machine->cast(g, from, to, x) : NULL;
    if (own)
        return own;
    if (to == NN_f32 && (from == NN_f16 || from == NN_bf16))
        return from == NN_f16 ? f16_to_f32(g, x) : bf16_to_f32(g, x);
    if (from == NN_f16 || from == NN_bf16)
        return gen_cast(g, NN_f32, to, gen_cast(g, from, NN_f32, x));
    if (to == NN_f16 || to == NN_bf16) {
        x = gen_cast(g, from, NN_f32, x);
        return to == NN_f16 ? f32_to_f16(g, x) : f32_to_bf16(g, x);
    }
    return nn_is_float(from) ? float_to(g, from, to, x) : int_to(g, from, to, x);
}

/* ---- operators ---- */
static LLVMValueRef sigmoid(struct gen *g, LLVMValueRef x)
{
    LLVMValueRef e = libm_call(g, "exp", LLVMBuildFNeg(g->b, x, ""), NULL),
                 one = gen_real_like(x, 1);
    return LLVMBuildFDiv(g->b, one, LLVMBuildFAdd(g->b, one, e, ""), "");
}

/* `t` is the operands' dtype; for select and cast: the result's. */
LLVMValueRef gen_apply(struct gen *g, enum ir_op op, enum nn_dtype t, LLVMValueRef x,
                       LLVMValueRef y, LLVMValueRef z)
{
    bool f = nn_is_float(t);
    LLVMBuilderRef b = g->b;
    switch (op) {
    case IR_neg: return f ? LLVMBuildFNeg(b, x, "") : LLVMBuildNeg(b, x, "");
    case IR_abs: return absolute(g, t, x);
    case IR_sign: return sign(g, t, x);
    case IR_floor: return unary_intrinsic(g, "llvm.floor", x);
    case IR_ceil: return unary_intrinsic(g, "llvm.ceil", x);
    case IR_round: return unary_intrinsic(g, "llvm.roundeven", x);
    case IR_sqrt: return unary_intrinsic(g, "llvm.sqrt", x);
    case IR_rsqrt:
        return LLVMBuildFDiv(b, gen_real_like(x, 1), unary_intrinsic(g, "llvm.sqrt", x), "");
    case IR_exp: return libm_call(g, "exp", x, NULL);
    case IR_log: return libm_call(g, "log", x, NULL);
    case IR_sin: return libm_call(g, "sin", x, NULL);
    case IR_cos: return libm_call(g, "cos", x, NULL);
    case IR_tanh: return libm_call(g, "tanh", x, NULL);
    case IR_erf: return libm_call(g, "erf", x, NULL);
    case IR_sigmoid: return sigmoid(g, x);
    case IR_add: return f ? LLVMBuildFAdd(b, x, y, "") : LLVMBuildAdd(b, x, y, "");
    case IR_sub: return f ? LLVMBuildFSub(b, x, y, "") : LLVMBuildSub(b, x, y, "");
    case IR_mul: return f ? LLVMBuildFMul(b, x, y, "") : LLVMBuildMul(b, x, y, "");
    case IR_div: return LLVMBuildFDiv(b, x, y, "");
    case IR_idiv: return floor_op(g, false, t, x, y);
    case IR_mod: return floor_op(g, true, t, x, y);
    case IR_pow: return libm_call(g, "pow", x, y);
    case IR_min: return extreme(g, false, t, x, y);
    case IR_max: return extreme(g, true, t, x, y);
    case IR_eq: return compare(g, t, LLVMRealOEQ, LLVMIntEQ, LLVMIntEQ, x, y);
    case IR_ne: return compare(g, t, LLVMRealUNE, LLVMIntNE, LLVMIntNE, x, y);
    case IR_lt: return compare(g, t, LLVMRealOLT, LLVMIntSLT, LLVMIntULT, x, y);
    case IR_le: return compare(g, t, LLVMRealOLE, LLVMIntSLE, LLVMIntULE, x, y);
    case IR_gt: return compare(g, t, LLVMRealOGT, LLVMIntSGT, LLVMIntUGT, x, y);
    case IR_ge: return compare(g, t, LLVMRealOGE, LLVMIntSGE, LLVMIntUGE, x, y);
    case IR_not: return LLVMBuildNot(b, x, "");
    case IR_and: return LLVMBuildAnd(b, x, y, "");
    case IR_or: return LLVMBuildOr(b, x, y, "");
    case IR_select: return LLVMBuildSelect(b, x, y, z, "");
    case IR_copy: return x;
    case IR_round_tf32:
    case IR_cast:
    case IR_const:
    case IR_iota:
    case IR_random:
    case IR_input:
    case IR_slot:
    case IR_reduce:
    case IR_cumsum:
    case IR_reshape:
    case IR_scatter:
    case IR_stop:
    case IR_custom:
    case IR_hole:
    case IR_grad:
    case IR_OP_COUNT: break;
    }
    BUG("back: %s: operator %s", g->k->name, ir_op_name(op));
}

LLVMValueRef gen_op(struct gen *g, const struct lo_insn *in)
{
    enum nn_dtype from = (enum nn_dtype)g->k->insns.p[in->in[0]].type.dtype;
    LLVMValueRef v[3] = {NULL, NULL, NULL};
    for (int i = 0; i < 3; i++)
        if (in->in[i])
            v[i] = g->value[in->in[i]];
    LLVMValueRef own = g->machine->op ? g->machine->op(g, in) : NULL;
    if (own)
        return own;
    if (in->op == IR_cast)
        return gen_cast(g, from, (enum nn_dtype)in->type.dtype, v[0]);
    return gen_apply(g, (enum ir_op)in->op, from, v[0], v[1], v[2]);
}

/* ---- bits ---- */

/* Half to even. Without an instruction for rounding: truncate, then mend by the exact remainder. */
static LLVMValueRef round_to_int(struct gen *g, LLVMValueRef x, LLVMTypeRef type)
{
    LLVMBuilderRef b = g->b;
    if (g->roundeven)
        return LLVMBuildFreeze(
            b, LLVMBuildFPToSI(b, unary_intrinsic(g, "llvm.roundeven", x), type, ""), "");
    LLVMValueRef n = LLVMBuildFreeze(b, LLVMBuildFPToSI(b, x, type, ""), "");
    LLVMValueRef rest = LLVMBuildFSub(b, x, LLVMBuildSIToFP(b, n, LLVMTypeOf(x), ""), "");
    LLVMValueRef half = gen_real_like(x, 0.5), minus = gen_real_like(x, -0.5);
    LLVMValueRef odd = LLVMBuildICmp(b, LLVMIntNE, masked(g, n, 1), gen_int_like(n, 0), "");
    LLVMValueRef up =
        LLVMBuildOr(b, LLVMBuildFCmp(b, LLVMRealOGT, rest, half, ""),
                    LLVMBuildAnd(b, odd, LLVMBuildFCmp(b, LLVMRealOEQ, rest, half, ""), ""), "");
    LLVMValueRef down =
        LLVMBuildOr(b, LLVMBuildFCmp(b, LLVMRealOLT, rest, minus, ""),
                    LLVMBuildAnd(b, odd, LLVMBuildFCmp(b, LLVMRealOEQ, rest, minus, ""), ""), "");
    n = LLVMBuildAdd(b, n, LLVMBuildZExt(b, up, type, ""), "");
    return LLVMBuildSub(b, n, LLVMBuildZExt(b, down, type, ""), "");
}

static LLVMValueRef high_product(struct gen *g, LLVMValueRef x, LLVMValueRef y)
{
    LLVMTypeRef s = LLVMTypeOf(x);
    if (LLVMGetTypeKind(s) == LLVMVectorTypeKind)
        s = LLVMGetElementType(s);
    unsigned bits = LLVMGetIntTypeWidth(s);
    LLVMTypeRef wide = like(x, LLVMIntTypeInContext(g->cx, 2 * bits));
    LLVMValueRef p =
        LLVMBuildMul(g->b, LLVMBuildZExt(g->b, x, wide, ""), LLVMBuildZExt(g->b, y, wide, ""), "");
    return LLVMBuildTrunc(g->b, shift(g, p, -(int)bits), LLVMTypeOf(x), "");
}

/* 11 significant bits, half away from zero: the carry may run into the exponent. Of an infinity or
 * a NaN only the low bits go. */
static LLVMValueRef tf32_bits(struct gen *g, LLVMValueRef x)
{
    LLVMValueRef u = LLVMBuildBitCast(g->b, x, like(x, g->i32), "");
    LLVMValueRef nan = LLVMBuildOr(g->b, u, gen_int_like(u, 0x400000), "");
    LLVMValueRef up = plus(g, u, 0x1000), size = masked(g, u, 0x7fffffff);
    LLVMValueRef r =
        pick(g, LLVMIntULT, size, 0x7f800000, up, pick(g, LLVMIntEQ, size, 0x7f800000, u, nan));
    return masked(g, r, ~(int64_t)0x1fff);
}

LLVMValueRef gen_apply_bit(struct gen *g, enum lo_bit op, LLVMValueRef x, LLVMValueRef y)
{
    LLVMBuilderRef b = g->b;
    switch (op) {
    case LO_AND: return LLVMBuildAnd(b, x, y, "");
    case LO_OR: return LLVMBuildOr(b, x, y, "");
    case LO_XOR: return LLVMBuildXor(b, x, y, "");
    case LO_SHL: return LLVMBuildShl(b, x, y, "");
    case LO_SHR: return LLVMBuildLShr(b, x, y, "");
    case LO_SAR: return LLVMBuildAShr(b, x, y, "");
    case LO_MULHI: return high_product(g, x, y);
    case LO_TF32: return tf32_bits(g, x);
    case LO_BITCAST:
    case LO_ROUND_INT:
    case LO_BIT_COUNT: break;
    }
    BUG("back: %s: bit operator %d", g->k->name, op);
}

LLVMValueRef gen_bit(struct gen *g, const struct lo_insn *in)
{
    LLVMValueRef x = g->value[in->in[0]], y = in->in[1] ? g->value[in->in[1]] : NULL;
    LLVMTypeRef type = gen_type(g, in->type);
    LLVMValueRef own = g->machine->bit ? g->machine->bit(g, in) : NULL;
    if (own)
        return own;
    if (in->op == LO_BITCAST)
        return LLVMBuildBitCast(g->b, x, type, "");
    if (in->op == LO_ROUND_INT)
        return round_to_int(g, x, type);
    return gen_apply_bit(g, (enum lo_bit)in->op, x, y);
}

/* ---- folds across lanes ---- */
static enum ir_op combine_of(enum ir_monoid m)
{
    static const enum ir_op combine[] = {
#define MONOID(name, identity, op) [IRM_##name] = IR_##op,
#include "ir/monoids.def"
#undef MONOID
    };
    return combine[m];
}

LLVMValueRef gen_across(struct gen *g, const struct lo_insn *in)
{
    enum nn_dtype t = (enum nn_dtype)in->type.dtype;
    enum ir_op op = combine_of((enum ir_monoid)in->op);
    LLVMValueRef x = g->value[in->in[0]], lane[32];
    for (unsigned n = lanes_of(x); n > 1; n /= 2) {
        LLVMValueRef none = LLVMGetPoison(LLVMTypeOf(x)), low, high;
        for (unsigned i = 0; i < n / 2; i++)
            lane[i] = LLVMConstInt(g->i32, i, false);
        low = LLVMBuildShuffleVector(g->b, x, none, LLVMConstVector(lane, n / 2), "");
        for (unsigned i = 0; i < n / 2; i++)
            lane[i] = LLVMConstInt(g->i32, i + n / 2, false);
        high = LLVMBuildShuffleVector(g->b, x, none, LLVMConstVector(lane, n / 2), "");
        x = gen_apply(g, op, t, low, high, NULL);
    }
    if (LLVMGetTypeKind(LLVMTypeOf(x)) == LLVMVectorTypeKind)
        x = LLVMBuildExtractElement(g->b, x, LLVMConstInt(g->i32, 0, false), "");
    return x;
}
