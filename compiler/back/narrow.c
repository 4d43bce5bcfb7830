/* Index arithmetic in 32 bits where the ranges of values allow it. Such a value's i64 form is a
 * sign extension; who can do with 32 bits takes what was extended. */
#include "back/gen.h"

bool gen_fits(const struct gen *g, lo_id v)
{
    const struct lo_fact *f = g->fact ? &g->fact[v] : NULL;
    return f && f->known && f->lo >= INT32_MIN && f->hi <= INT32_MAX;
}

static LLVMTypeRef like(LLVMValueRef v, LLVMTypeRef scalar)
{
    LLVMTypeRef t = LLVMTypeOf(v);
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? LLVMVectorType(scalar, LLVMGetVectorSize(t))
                                                    : scalar;
}

LLVMValueRef gen_narrow(struct gen *g, LLVMValueRef v)
{
    LLVMTypeRef type = like(v, g->i32);
    if (LLVMTypeOf(v) == type)
        return v;
    if (LLVMIsASExtInst(v) && LLVMTypeOf(LLVMGetOperand(v, 0)) == type)
        return LLVMGetOperand(v, 0);
    return LLVMBuildTrunc(g->b, v, type, "");
}

LLVMValueRef gen_widen(struct gen *g, LLVMValueRef v)
{
    return LLVMBuildSExt(g->b, v, like(v, g->i64), "");
}

bool gen_lin_fits(const struct gen *g, const struct lo_lin *l)
{
    uint64_t sum = l->c0 < 0 ? 0 - (uint64_t)l->c0 : (uint64_t)l->c0;
    for (uint32_t i = 0; i < l->n; i++) {
        const struct lo_fact *f = g->fact ? &g->fact[l->part[i].v] : NULL;
        int64_t c = l->part[i].c;
        if (!f || !gen_fits(g, l->part[i].v) || c > INT32_MAX || c < INT32_MIN)
            return false;
        uint64_t most = (uint64_t)(f->hi > -f->lo ? f->hi : -f->lo);
        sum += most * (c < 0 ? 0 - (uint64_t)c : (uint64_t)c);
        if (sum > INT32_MAX)
            return false;
    }
    return g->fact && sum <= INT32_MAX;
}

static bool never_negative(const struct gen *g, lo_id v)
{
    return gen_fits(g, v) && g->fact[v].lo >= 0;
}

LLVMValueRef gen_narrow_bit(struct gen *g, const struct lo_insn *in)
{
    lo_id id = (lo_id)(in - g->k->insns.p), x = in->in[0], y = in->in[1];
    if (in->type.dtype != NN_i64 || lo_bit_unary(in->op) || in->op == LO_MULHI)
        return NULL;
    if (!gen_fits(g, id) || !gen_fits(g, x) || !gen_fits(g, y))
        return NULL;
    bool shifts = in->op == LO_SHL || in->op == LO_SHR || in->op == LO_SAR;
    if (shifts && (g->fact[y].lo < 0 || g->fact[y].hi > 31))
        return NULL;
    if (in->op == LO_SHR && !never_negative(g, x))
        return NULL;
    LLVMValueRef a = gen_narrow(g, g->value[x]), b = gen_narrow(g, g->value[y]);
    return gen_widen(g, gen_apply_bit(g, (enum lo_bit)in->op, a, b));
}

LLVMValueRef gen_narrow_op(struct gen *g, const struct lo_insn *in)
{
    lo_id id = (lo_id)(in - g->k->insns.p), x = in->in[0], y = in->in[1], z = in->in[2];
    enum ir_op op = (enum ir_op)in->op;
    enum nn_dtype t = (enum nn_dtype)g->k->insns.p[op == IR_select ? y : x].type.dtype;
    bool divides = op == IR_idiv || op == IR_mod, compares = ir_op_class(op) == IRC_CMP;
    if ((t != NN_i64 && (t != NN_i32 || !divides)) || op == IR_cast || !g->fact)
        return NULL;
    bool fits = (op == IR_select || gen_fits(g, x)) && (!y || gen_fits(g, y)) &&
                (!z || gen_fits(g, z)) && (compares || gen_fits(g, id));
    if (!fits)
        return NULL;
    LLVMValueRef v[3] = {g->value[x], y ? g->value[y] : NULL, z ? g->value[z] : NULL};
    for (int i = op == IR_select; i < 3; i++)
        v[i] = v[i] ? gen_narrow(g, v[i]) : NULL;
    LLVMValueRef r;
    if (divides && never_negative(g, x) && never_negative(g, y) && g->fact[y].lo > 0)
        r = op == IR_idiv ? LLVMBuildUDiv(g->b, v[0], v[1], "")
                          : LLVMBuildURem(g->b, v[0], v[1], "");
    else
        r = gen_apply(g, op, NN_i32, v[0], v[1], v[2]);
    return compares || t == NN_i32 ? r : gen_widen(g, r);
}
