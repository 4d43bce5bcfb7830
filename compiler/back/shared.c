/* Loop IR to LLVM IR, what is the same on every machine: types, addresses, structured control,
 * loads and stores. Loops are emitted in the form that LLVM's passes would rotate them into,
 * unrolled ones as straight code, so that few passes need to run afterwards. No fast-math flag is
 * ever set: the order and rounding of everything is what the loop IR says. */
#include "back/gen.h"

/* ---- types ---- */
LLVMTypeRef gen_scalar(const struct gen *g, enum nn_dtype t)
{
    switch (t) {
    case NN_f64: return g->f64;
    case NN_f32: return g->f32;
    case NN_f16:
    case NN_bf16: return g->i16;
    case NN_i64: return g->i64;
    case NN_i32: return g->i32;
    case NN_i8:
    case NN_u8: return g->i8;
    case NN_bool: return g->i1;
    case NN_DTYPE_COUNT: break;
    }
    BUG("back: dtype %d", (int)t);
}

LLVMTypeRef gen_memory(const struct gen *g, enum nn_dtype t)
{
    return t == NN_bool ? g->i8 : gen_scalar(g, t);
}

LLVMTypeRef gen_wide(LLVMTypeRef scalar, uint32_t lanes)
{
    return lanes > 1 ? LLVMVectorType(scalar, lanes) : scalar;
}

LLVMTypeRef gen_type(const struct gen *g, struct lo_type t)
{
    return gen_wide(gen_scalar(g, (enum nn_dtype)t.dtype), t.lanes);
}

/* ---- small helpers ---- */
LLVMValueRef gen_intrinsic(struct gen *g, const char *name, LLVMTypeRef type, LLVMValueRef *arg,
                           unsigned n)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    CHECK(id, "back: LLVM has no intrinsic %s", name);
    CHECK(!!LLVMIntrinsicIsOverloaded(id) == !!type, "back: overloading of %s", name);
    unsigned over = type ? 1 : 0;
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(g->m, id, &type, over);
    return LLVMBuildCall2(g->b, LLVMIntrinsicGetType(g->cx, id, &type, over), fn, arg, n, "");
}

LLVMValueRef gen_splat(struct gen *g, LLVMValueRef scalar, uint32_t lanes)
{
    if (lanes == 1)
        return scalar;
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), lanes);
    LLVMValueRef zero = LLVMConstInt(g->i32, 0, false);
    LLVMValueRef one = LLVMBuildInsertElement(g->b, LLVMGetPoison(type), scalar, zero, "");
    LLVMValueRef mask = LLVMConstNull(LLVMVectorType(g->i32, lanes));
    return LLVMBuildShuffleVector(g->b, one, LLVMGetPoison(type), mask, "");
}

void gen_attribute(struct gen *g, LLVMValueRef fn, const char *name, const char *value)
{
    LLVMAttributeRef a = LLVMCreateStringAttribute(g->cx, name, (unsigned)strlen(name), value,
                                                   (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

static LLVMValueRef index_const(const struct gen *g, int64_t v)
{
    return LLVMConstInt(g->i64, (unsigned long long)v, true);
}

/* ---- affine sums and addresses ---- */

/* The sum without its constant, which goes to *c; in 32 bits if `narrow`. Parts stand in the order
 * of their definition, outer loops first, so that what an inner loop does not change is a value of
 * its own. NULL: no parts. */
static LLVMValueRef variable_part(struct gen *g, const struct lo_lin *l, bool narrow, int64_t *c)
{
    LLVMValueRef sum = NULL;
    LLVMTypeRef type = narrow ? g->i32 : g->i64;
    *c = l->c0;
    for (lo_id done = 0;;) {
        const struct lo_part *next = NULL;
        for (uint32_t i = 0; i < l->n; i++)
            if (l->part[i].v > done && (!next || l->part[i].v < next->v))
                next = &l->part[i];
        if (!next)
            return sum;
        done = next->v;
        LLVMValueRef v = g->value[next->v];
        CHECK(v, "back: %s: %%%u is used before it is made", g->k->name, next->v);
        if (LLVMIsAConstantInt(v)) {
            *c += next->c * LLVMConstIntGetSExtValue(v);
            continue;
        }
        v = narrow ? gen_narrow(g, v) : v;
        if (next->c != 1)
            v = LLVMBuildNSWMul(g->b, v, LLVMConstInt(type, (unsigned long long)next->c, true), "");
        sum = sum ? LLVMBuildNSWAdd(g->b, sum, v, "") : v;
    }
}

LLVMValueRef gen_lin(struct gen *g, const struct lo_lin *l)
{
    int64_t c;
    bool narrow = gen_lin_fits(g, l);
    LLVMValueRef v = variable_part(g, l, narrow, &c);
    if (!v)
        return index_const(g, c);
    LLVMValueRef rest = LLVMConstInt(LLVMTypeOf(v), (unsigned long long)c, true);
    v = c ? LLVMBuildNSWAdd(g->b, v, rest, "") : v;
    return narrow ? gen_widen(g, v) : v;
}

/* The constant comes last: it ends as a displacement. */
LLVMValueRef gen_address(struct gen *g, uint32_t buf, const struct lo_lin *l, LLVMTypeRef elem)
{
    int64_t c;
    bool narrow = gen_lin_fits(g, l);
    LLVMValueRef p = g->base[buf], v = variable_part(g, l, narrow, &c);
    if (v) {
        v = narrow ? gen_widen(g, v) : v;
        p = LLVMBuildInBoundsGEP2(g->b, elem, p, &v, 1, "");
    }
    LLVMValueRef off = index_const(g, c);
    return c ? LLVMBuildInBoundsGEP2(g->b, elem, p, &off, 1, "") : p;
}

/* ---- loads and stores ---- */
LLVMBasicBlockRef gen_new_block(struct gen *g, const char *name)
{
    return LLVMAppendBasicBlockInContext(g->cx, g->fn, name);
}

/* llvm.masked.{load,store,gather,scatter}: until LLVM 21 the alignment is an argument behind the
 * pointer, later an attribute of the pointer. `first` is the stored value, or NULL. */
static LLVMValueRef masked_call(struct gen *g, const char *name, LLVMTypeRef type,
                                LLVMValueRef first, LLVMValueRef p, LLVMValueRef mask,
                                LLVMValueRef fill, unsigned align)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    CHECK(id, "back: LLVM has no intrinsic %s", name);
    LLVMTypeRef over[2] = {type, LLVMTypeOf(p)};
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(g->m, id, over, 2), arg[4];
    unsigned n = 0, want = first || fill ? 3 : 2;
    if (first)
        arg[n++] = first;
    unsigned at = n;
    arg[n++] = p;
    bool argument = LLVMCountParams(fn) > want;
    if (argument)
        arg[n++] = LLVMConstInt(g->i32, align, false);
    arg[n++] = mask;
    if (fill)
        arg[n++] = fill;
    LLVMTypeRef ft = LLVMIntrinsicGetType(g->cx, id, over, 2);
    LLVMValueRef call = LLVMBuildCall2(g->b, ft, fn, arg, n, "");
    if (!argument)
        LLVMSetInstrParamAlignment(call, at + 1, align);
    return call;
}

/* From an element of memory to a value, and back: only bool differs. */
LLVMValueRef gen_from_memory(struct gen *g, enum nn_dtype t, LLVMValueRef v)
{
    if (t != NN_bool)
        return v;
    return LLVMBuildICmp(g->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
}

LLVMValueRef gen_to_memory(struct gen *g, struct lo_type t, LLVMValueRef v)
{
    return t.dtype == NN_bool ? LLVMBuildZExt(g->b, v, gen_wide(g->i8, t.lanes), "") : v;
}

static LLVMValueRef scalar_masked_load(struct gen *g, LLVMTypeRef type, LLVMValueRef p,
                                       LLVMValueRef mask, LLVMValueRef fill, unsigned align)
{
    LLVMBasicBlockRef from = LLVMGetInsertBlock(g->b), then = gen_new_block(g, "load");
    LLVMBasicBlockRef end = gen_new_block(g, "loaded");
    LLVMBuildCondBr(g->b, mask, then, end);
    LLVMPositionBuilderAtEnd(g->b, then);
    LLVMValueRef v = LLVMBuildLoad2(g->b, type, p, "");
    LLVMSetAlignment(v, align);
    LLVMBuildBr(g->b, end);
    LLVMPositionBuilderAtEnd(g->b, end);
    LLVMValueRef phi = LLVMBuildPhi(g->b, type, "");
    LLVMAddIncoming(phi, (LLVMValueRef[]){v, fill}, (LLVMBasicBlockRef[]){then, from}, 2);
    return phi;
}

static LLVMValueRef gen_load(struct gen *g, const struct lo_insn *in)
{
    if (g->machine->load)
        return g->machine->load(g, in);
    enum nn_dtype t = (enum nn_dtype)in->type.dtype;
    LLVMTypeRef elem = gen_memory(g, t), type = gen_wide(elem, in->type.lanes);
    LLVMValueRef p = gen_address(g, in->buf, &in->lin, elem);
    LLVMValueRef mask = in->in[0] ? g->value[in->in[0]] : NULL;
    LLVMValueRef fill =
        in->in[1] ? gen_to_memory(g, in->type, g->value[in->in[1]]) : LLVMConstNull(type);
    unsigned align = (unsigned)nn_dtype_size(t);
    LLVMValueRef v;
    if (in->in[2]) {
        LLVMValueRef index = g->value[in->in[2]];
        if (in->type.lanes > 1 &&
            (v = gen_near_gather(g, elem, in->type.lanes, p, index, mask, fill, align)))
            return gen_from_memory(g, t, v);
        p = LLVMBuildInBoundsGEP2(g->b, elem, p, &index, 1, "");
        if (!mask)
            mask = LLVMConstAllOnes(gen_wide(g->i1, in->type.lanes));
    }
    if (in->in[2] && in->type.lanes > 1) {
        v = masked_call(g, "llvm.masked.gather", type, NULL, p, mask, fill, align);
    } else if (!mask || (LLVMIsConstant(mask) && in->type.lanes == 1)) {
        if (mask && LLVMIsNull(mask))
            return gen_from_memory(g, t, fill);
        v = LLVMBuildLoad2(g->b, type, p, "");
        LLVMSetAlignment(v, align);
    } else if (in->type.lanes == 1) {
        v = scalar_masked_load(g, type, p, mask, fill, align);
    } else {
        v = masked_call(g, "llvm.masked.load", type, NULL, p, mask, fill, align);
    }
    return gen_from_memory(g, t, v);
}

static void scalar_masked_store(struct gen *g, LLVMValueRef v, LLVMValueRef p, LLVMValueRef mask,
                                unsigned align)
{
    LLVMBasicBlockRef then = gen_new_block(g, "store"), end = gen_new_block(g, "stored");
    LLVMBuildCondBr(g->b, mask, then, end);
    LLVMPositionBuilderAtEnd(g->b, then);
    LLVMSetAlignment(LLVMBuildStore(g->b, v, p), align);
    LLVMBuildBr(g->b, end);
    LLVMPositionBuilderAtEnd(g->b, end);
}

static void gen_store(struct gen *g, const struct lo_insn *in)
{
    if (g->machine->store) {
        g->machine->store(g, in);
        return;
    }
    struct lo_type vt = g->k->insns.p[in->in[0]].type;
    enum nn_dtype t = (enum nn_dtype)vt.dtype;
    LLVMTypeRef elem = gen_memory(g, t), type = gen_wide(elem, vt.lanes);
    LLVMValueRef p = gen_address(g, in->buf, &in->lin, elem);
    LLVMValueRef mask = in->in[1] ? g->value[in->in[1]] : NULL;
    LLVMValueRef v = gen_to_memory(g, vt, g->value[in->in[0]]);
    unsigned align = (unsigned)nn_dtype_size(t);
    if (in->in[2]) {
        LLVMValueRef index = g->value[in->in[2]];
        p = LLVMBuildInBoundsGEP2(g->b, elem, p, &index, 1, "");
    }
    if (in->in[2] && vt.lanes > 1) {
        if (!mask)
            mask = LLVMConstAllOnes(gen_wide(g->i1, vt.lanes));
        masked_call(g, "llvm.masked.scatter", type, v, p, mask, NULL, align);
    } else if (!mask) {
        LLVMSetAlignment(LLVMBuildStore(g->b, v, p), align);
    } else if (vt.lanes == 1) {
        scalar_masked_store(g, v, p, mask, align);
    } else {
        masked_call(g, "llvm.masked.store", type, v, p, mask, NULL, align);
    }
}

/* A register of a register array: memory that SROA takes apart, its indices being constants. */
static LLVMValueRef register_address(struct gen *g, const struct lo_insn *in)
{
    return gen_address(g, in->buf, &in->lin, gen_type(g, g->k->buffers.p[in->buf].type));
}

/* ---- structured control ---- */
static void serial_for(struct gen *g, lo_id id, const struct lo_insn *in)
{
    LLVMValueRef from = gen_lin(g, &in->lin), to = gen_lin(g, &in->hi);
    bool narrow = g->fact && gen_fits(g, id) && gen_lin_fits(g, &in->lin) &&
                  gen_lin_fits(g, &in->hi) && g->fact[id].hi + in->step <= INT32_MAX;
    if (narrow) {
        from = gen_narrow(g, from);
        to = gen_narrow(g, to);
    }
    LLVMTypeRef type = LLVMTypeOf(from);
    LLVMValueRef step = LLVMConstInt(type, (unsigned long long)in->step, false);
    LLVMBasicBlockRef body = gen_new_block(g, "for"), end = gen_new_block(g, "end");
    if (LLVMIsConstant(from) && LLVMIsConstant(to))
        LLVMBuildBr(g->b, body);
    else
        LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, from, to, ""), body, end);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(g->b);
    LLVMPositionBuilderAtEnd(g->b, body);
    LLVMValueRef i = LLVMBuildPhi(g->b, type, "i");
    LLVMValueRef at = g->machine->index ? g->machine->index(g, in, i) : i;
    g->value[id] = narrow ? gen_widen(g, at) : at;
    gen_block(g, in->body);
    LLVMValueRef next = LLVMBuildNSWAdd(g->b, i, step, "");
    LLVMValueRef more = LLVMBuildICmp(g->b, LLVMIntSLT, next, to, "");
    LLVMValueRef branch = LLVMBuildCondBr(g->b, more, body, end);
    if (g->machine->loop)
        g->machine->loop(g, in, branch);
    LLVMAddIncoming(i, (LLVMValueRef[]){from, next},
                    (LLVMBasicBlockRef[]){before, LLVMGetInsertBlock(g->b)}, 2);
    LLVMPositionBuilderAtEnd(g->b, end);
}

static void gen_for(struct gen *g, lo_id id, const struct lo_insn *in)
{
    LLVMValueRef from = gen_lin(g, &in->lin), to = gen_lin(g, &in->hi);
    if (!LLVMIsAConstantInt(from) || !LLVMIsAConstantInt(to)) {
        serial_for(g, id, in);
        return;
    }
    int64_t lo = LLVMConstIntGetSExtValue(from), hi = LLVMConstIntGetSExtValue(to);
    if (lo < hi && in->op != LO_UNROLL && hi - lo > in->step) {
        serial_for(g, id, in);
        return;
    }
    for (int64_t i = lo; i < hi; i += in->step) {
        g->value[id] = index_const(g, i);
        gen_block(g, in->body);
    }
}

static void gen_if(struct gen *g, const struct lo_insn *in)
{
    LLVMValueRef cond = g->value[in->in[0]];
    if (LLVMIsAConstantInt(cond)) {
        uint32_t taken = LLVMConstIntGetZExtValue(cond) ? in->body : in->other;
        if (taken)
            gen_block(g, taken);
        return;
    }
    LLVMBasicBlockRef then = gen_new_block(g, "then"), end = NULL;
    LLVMBasicBlockRef other = in->other ? gen_new_block(g, "else") : NULL;
    end = gen_new_block(g, "endif");
    LLVMBuildCondBr(g->b, cond, then, other ? other : end);
    LLVMPositionBuilderAtEnd(g->b, then);
    gen_block(g, in->body);
    LLVMBuildBr(g->b, end);
    if (other) {
        LLVMPositionBuilderAtEnd(g->b, other);
        gen_block(g, in->other);
        LLVMBuildBr(g->b, end);
    }
    LLVMPositionBuilderAtEnd(g->b, end);
}

/* The lane of the trap's value that counts: the first one whose condition holds. */
static LLVMValueRef trapping_value(struct gen *g, const struct lo_insn *in, LLVMValueRef cond)
{
    uint32_t lanes = g->k->insns.p[in->in[0]].type.lanes;
    LLVMValueRef v = g->value[in->in[1]];
    if (lanes == 1 || g->k->insns.p[in->in[1]].type.lanes == 1)
        return v;
    if (g->machine->any) {
        LLVMValueRef r = NULL;
        for (uint32_t i = lanes; i-- > 0;) {
            LLVMValueRef at = LLVMConstInt(g->i32, i, false);
            LLVMValueRef lane = LLVMBuildExtractElement(g->b, v, at, "");
            LLVMValueRef here = LLVMBuildExtractElement(g->b, cond, at, "");
            r = r ? LLVMBuildSelect(g->b, here, lane, r, "") : lane;
        }
        return r;
    }
    LLVMValueRef bits = LLVMBuildBitCast(g->b, cond, LLVMIntTypeInContext(g->cx, lanes), "");
    bits = LLVMBuildZExt(g->b, bits, g->i64, "");
    LLVMValueRef lane = gen_intrinsic(g, "llvm.cttz", g->i64,
                                      (LLVMValueRef[]){bits, LLVMConstInt(g->i1, 1, false)}, 2);
    return LLVMBuildExtractElement(g->b, v, lane, "");
}

/* The first fault wins, by compare-exchange on its code; then the function returns. A GPU's thread
 * goes on: the others of its warp and block count on it, and what the condition guards is masked by
 * it. */
static void gen_trap(struct gen *g, const struct lo_insn *in)
{
    LLVMValueRef cond = g->value[in->in[0]], any = cond;
    uint32_t lanes = g->k->insns.p[in->in[0]].type.lanes;
    if (lanes > 1 && g->machine->any) {
        any = g->machine->any(g, cond, lanes);
    } else if (lanes > 1) {
        LLVMTypeRef bits = LLVMIntTypeInContext(g->cx, lanes);
        any = LLVMBuildICmp(g->b, LLVMIntNE, LLVMBuildBitCast(g->b, cond, bits, ""),
                            LLVMConstNull(bits), "");
    }
    LLVMBasicBlockRef trap = gen_new_block(g, "trap"), first = gen_new_block(g, "first"),
                      leave = gen_new_block(g, "leave"), on = gen_new_block(g, "on");
    LLVMBuildCondBr(g->b, any, trap, on);
    LLVMPositionBuilderAtEnd(g->b, trap);
    LLVMValueRef none = LLVMConstInt(g->i32, 0, false);
    LLVMValueRef code = LLVMConstInt(g->i32, (unsigned long long)in->i, true);
    LLVMAtomicOrdering order = g->target->kind == TARGET_GPU
                                   ? LLVMAtomicOrderingMonotonic
                                   : LLVMAtomicOrderingSequentiallyConsistent;
    LLVMValueRef old = LLVMBuildAtomicCmpXchg(g->b, g->fault, none, code, order, order, false);
    LLVMBuildCondBr(g->b, LLVMBuildExtractValue(g->b, old, 1, ""), first, leave);
    LLVMPositionBuilderAtEnd(g->b, first);
    LLVMValueRef at = index_const(g, (int64_t)offsetof(struct nn_fault, value));
    LLVMValueRef p = LLVMBuildInBoundsGEP2(g->b, g->i8, g->fault, &at, 1, "");
    LLVMBuildStore(g->b, trapping_value(g, in, cond), p);
    LLVMBuildBr(g->b, leave);
    LLVMPositionBuilderAtEnd(g->b, leave);
    if (g->target->kind == TARGET_GPU)
        LLVMBuildBr(g->b, on);
    else
        LLVMBuildRetVoid(g->b);
    LLVMPositionBuilderAtEnd(g->b, on);
}

/* ---- instructions ---- */
static LLVMValueRef gen_const(const struct gen *g, const struct lo_insn *in)
{
    enum nn_dtype t = (enum nn_dtype)in->type.dtype;
    LLVMTypeRef s = gen_scalar(g, t);
    LLVMValueRef c = NULL;
    if (t == NN_f16 || t == NN_bf16)
        c = LLVMConstInt(s, lo_num_from_f(t, in->f).h, false);
    else if (nn_is_float(t))
        c = LLVMConstReal(s, in->f);
    else
        c = LLVMConstInt(s, (unsigned long long)in->i, true);
    if (in->type.lanes == 1)
        return c;
    LLVMValueRef all[64];
    for (uint32_t i = 0; i < in->type.lanes; i++)
        all[i] = c;
    return LLVMConstVector(all, in->type.lanes);
}

static LLVMValueRef gen_lanes(struct gen *g, const struct lo_insn *in)
{
    LLVMTypeRef s = gen_scalar(g, (enum nn_dtype)in->type.dtype);
    LLVMValueRef from = gen_lin(g, &in->lin), step[64];
    bool narrow = in->type.dtype == NN_i64 && gen_fits(g, (lo_id)(in - g->k->insns.p));
    if (in->type.dtype == NN_i32 || narrow) {
        from = gen_narrow(g, from);
        s = g->i32;
    }
    if (in->type.lanes == 1)
        return narrow ? gen_widen(g, from) : from;
    for (uint32_t i = 0; i < in->type.lanes; i++)
        step[i] = LLVMConstInt(s, i, false);
    LLVMValueRef v = LLVMBuildAdd(g->b, gen_splat(g, from, in->type.lanes),
                                  LLVMConstVector(step, in->type.lanes), "");
    return narrow ? gen_widen(g, v) : v;
}

static LLVMValueRef gen_fma(struct gen *g, const struct lo_insn *in)
{
    LLVMValueRef arg[3] = {g->value[in->in[0]], g->value[in->in[1]], g->value[in->in[2]]};
    return gen_intrinsic(g, "llvm.fma", gen_type(g, in->type), arg, 3);
}

static void gen_insn(struct gen *g, lo_id id)
{
    const struct lo_insn *in = &g->k->insns.p[id];
    LLVMValueRef *v = &g->value[id];
    switch ((enum lo_kind)in->kind) {
    case LO_CONST: *v = gen_const(g, in); return;
    case LO_OP: *v = gen_op(g, in); return;
    case LO_FMA: *v = gen_fma(g, in); return;
    case LO_BIT: *v = gen_bit(g, in); return;
    case LO_SPLAT:
        *v = g->value[in->in[0]];
        if (in->type.dtype == NN_i64 && gen_fits(g, id))
            *v = gen_widen(g, gen_splat(g, gen_narrow(g, *v), in->type.lanes));
        else
            *v = gen_splat(g, *v, in->type.lanes);
        return;
    case LO_LANES: *v = gen_lanes(g, in); return;
    case LO_LIN: *v = gen_lin(g, &in->lin); return;
    case LO_LOAD: *v = gen_load(g, in); return;
    case LO_STORE: gen_store(g, in); return;
    case LO_GET:
        *v = LLVMBuildLoad2(g->b, gen_type(g, in->type), register_address(g, in), "");
        return;
    case LO_SET: LLVMBuildStore(g->b, g->value[in->in[0]], register_address(g, in)); return;
    case LO_FOR: gen_for(g, id, in); return;
    case LO_IF: gen_if(g, in); return;
    case LO_ACROSS: *v = gen_across(g, in); return;
    case LO_RANDOM: BUG("back: %s: random was not expanded", g->k->name);
    case LO_TRAP: gen_trap(g, in); return;
    case LO_TRADE: *v = gen_trade(g, in); return;
    case LO_EXTRACT:
        *v = LLVMBuildExtractElement(g->b, g->value[in->in[0]],
                                     LLVMConstInt(g->i32, (unsigned long long)in->i, false), "");
        return;
    case LO_BARRIER:
    case LO_SHUFFLE:
    case LO_MMA:
    case LO_LDMATRIX:
    case LO_COPY:
    case LO_COMMIT:
    case LO_WAIT:
    case LO_PACK:
    case LO_UNPACK:
    case LO_APPROX:
        CHECK(g->machine->gpu, "back: %s: an instruction of a GPU on a CPU", g->k->name);
        *v = g->machine->gpu(g, in);
        return;
    case LO_KIND_COUNT: break;
    }
    BUG("back: %s: instruction %u has kind %d", g->k->name, id, in->kind);
}

void gen_block(struct gen *g, uint32_t block)
{
    for (uint32_t i = 0; i < g->k->blocks.p[block].insn.n; i++) {
        lo_id id = g->k->blocks.p[block].insn.p[i];
        gen_lines_at(g, g->k->insns.p[id].origin);
        gen_insn(g, id);
    }
}

/* ---- modules and kernels ---- */

/* Without a handler LLVM prints errors, and ends the process after some. */
static void on_diagnostic(LLVMDiagnosticInfoRef info, void *context)
{
    struct gen *g = context;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError)
        return;
    char *what = LLVMGetDiagInfoDescription(info);
    text_printf(&g->errors, "%s%s", g->errors.n ? "; " : "", what);
    LLVMDisposeMessage(what);
}

void gen_open(struct gen *g, const struct target *t, const char *name)
{
    bool gpu = t->kind == TARGET_GPU;
    *g = (struct gen){
        .target = t, .machine = gpu ? &gen_nvptx : &gen_cpu, .cx = LLVMContextCreate()};
    bool least = !strcmp(t->name, "x86-64");
    g->half = g->roundeven = !least;
    LLVMContextSetDiagnosticHandler(g->cx, on_diagnostic, g);
    g->m = LLVMModuleCreateWithNameInContext(name, g->cx);
    g->b = LLVMCreateBuilderInContext(g->cx);
    g->ptr = LLVMPointerTypeInContext(g->cx, 0);
    g->i1 = LLVMInt1TypeInContext(g->cx);
    g->i8 = LLVMInt8TypeInContext(g->cx);
    g->i16 = LLVMInt16TypeInContext(g->cx);
    g->i32 = LLVMInt32TypeInContext(g->cx);
    g->i64 = LLVMInt64TypeInContext(g->cx);
    g->f32 = LLVMFloatTypeInContext(g->cx);
    g->f64 = LLVMDoubleTypeInContext(g->cx);
}

void gen_close(struct gen *g)
{
    LLVMDisposeBuilder(g->b);
    LLVMDisposeModule(g->m);
    LLVMContextDispose(g->cx);
    text_free(&g->errors);
}

void gen_kernel(struct gen *g, const struct lo_kernel *k, const char *symbol)
{
    g->k = k;
    g->value = xcalloc(k->insns.n, sizeof *g->value);
    g->base = xcalloc(k->buffers.n, sizeof *g->base);
    g->fact = g->target->kind == TARGET_GPU ? lo_facts(k) : NULL;
    g->machine->kernel(g, symbol);
    free(g->value);
    free(g->base);
    free(g->fact);
    g->fact = NULL;
    g->k = NULL;
    g->value = g->base = NULL;
}
