/* What a GPU does in instructions of its own. They are written as inline assembly: its text is the
 * PTX manual's on every version of LLVM, while the intrinsics' names and types change. What threads
 * of a warp do together is marked convergent, so that no pass moves it to where fewer of them come.
 */
#include "back/gen.h"

static LLVMValueRef lane(struct gen *g, LLVMValueRef v, uint32_t i)
{
    if (LLVMGetTypeKind(LLVMTypeOf(v)) != LLVMVectorTypeKind)
        return v;
    return LLVMBuildExtractElement(g->b, v, LLVMConstInt(g->i32, i, false), "");
}

static uint32_t lanes_of(LLVMValueRef v)
{
    LLVMTypeRef t = LLVMTypeOf(v);
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? LLVMGetVectorSize(t) : 1;
}

static LLVMValueRef with_lane(struct gen *g, LLVMValueRef v, LLVMValueRef x, uint32_t i)
{
    if (LLVMGetTypeKind(LLVMTypeOf(v)) != LLVMVectorTypeKind)
        return x;
    return LLVMBuildInsertElement(g->b, v, x, LLVMConstInt(g->i32, i, false), "");
}

static void mark(struct gen *g, LLVMValueRef call, const char *name)
{
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    CHECK(kind, "back: LLVM has no attribute %s", name);
    LLVMAddCallSiteAttribute(call, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                             LLVMCreateEnumAttribute(g->cx, kind, 0));
}

LLVMValueRef nvptx_asm(struct gen *g, enum nvptx_effect e, LLVMTypeRef type, const char *text,
                       const char *constraints, LLVMValueRef *arg, unsigned n)
{
    LLVMTypeRef in[16];
    CHECK(n <= COUNT(in), "back: %u operands of assembly", n);
    for (unsigned i = 0; i < n; i++)
        in[i] = LLVMTypeOf(arg[i]);
    bool memory = e == NVPTX_MEMORY || e == NVPTX_BLOCK;
    char all[128];
    snprintf(all, sizeof all, "%s%s%s", constraints, memory && *constraints ? "," : "",
             memory ? "~{memory}" : "");
    LLVMTypeRef ft = LLVMFunctionType(type, in, n, false);
    LLVMValueRef fn = LLVMGetInlineAsm(ft, text, strlen(text), all, strlen(all), memory, false,
                                       LLVMInlineAsmDialectATT, false);
    LLVMValueRef call = LLVMBuildCall2(g->b, ft, fn, arg, n, "");
    mark(g, call, "nounwind");
    mark(g, call, "willreturn");
    if (!memory)
        mark(g, call, "memory"); /* 0: touches none */
    if (e == NVPTX_WARP || e == NVPTX_BLOCK)
        mark(g, call, "convergent");
    return call;
}

static LLVMTypeRef none(struct gen *g) { return LLVMVoidTypeInContext(g->cx); }

/* ---- warps ---- */

static LLVMValueRef shuffle32(struct gen *g, const struct lo_insn *in, LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(v);
    char text[80];
    LLVMValueRef arg[2] = {LLVMBuildBitCast(g->b, v, g->i32, ""), NULL};
    LLVMValueRef r;
    if (in->op == LO_SHFL_XOR) {
        snprintf(text, sizeof text, "shfl.sync.bfly.b32 $0, $1, %d, 0x1f, 0xffffffff;", (int)in->i);
        r = nvptx_asm(g, NVPTX_WARP, g->i32, text, "=r,r", arg, 1);
    } else {
        arg[1] = g->value[in->in[1]];
        r = nvptx_asm(g, NVPTX_WARP, g->i32, "shfl.sync.idx.b32 $0, $1, $2, 0x1f, 0xffffffff;",
                      "=r,r,r", arg, 2);
    }
    return LLVMBuildBitCast(g->b, r, type, "");
}

static LLVMValueRef shuffle(struct gen *g, const struct lo_insn *in)
{
    LLVMValueRef v = g->value[in->in[0]], half[2];
    LLVMTypeRef pair = LLVMVectorType(g->i32, 2);
    if (nn_dtype_size((enum nn_dtype)in->type.dtype) == 4)
        return shuffle32(g, in, v);
    if (gen_fits(g, in->in[0])) /* an i64 of 32 bits */
        return gen_widen(g, shuffle32(g, in, gen_narrow(g, v)));
    v = LLVMBuildBitCast(g->b, v, pair, "");
    for (uint32_t i = 0; i < 2; i++)
        half[i] = shuffle32(g, in, lane(g, v, i));
    v = with_lane(g, LLVMGetPoison(pair), half[0], 0);
    return LLVMBuildBitCast(g->b, with_lane(g, v, half[1], 1), gen_type(g, in->type), "");
}

static LLVMValueRef mma(struct gen *g, const struct lo_insn *in)
{
    static const struct {
        const char *shape;
        uint32_t a, b;
    } row[LO_MMA_COUNT] = {
        [LO_MMA_M16N8K8_TF32] = {"m16n8k8.row.col.f32.tf32.tf32.f32", 4, 2},
        [LO_MMA_M16N8K16_BF16] = {"m16n8k16.row.col.f32.bf16.bf16.f32", 4, 2},
        [LO_MMA_M16N8K16_F16] = {"m16n8k16.row.col.f32.f16.f16.f32", 4, 2},
        [LO_MMA_M16N8K8_F16] = {"m16n8k8.row.col.f32.f16.f16.f32", 2, 1},
    };
    uint32_t a = row[in->op].a, b = row[in->op].b, n = 0;
    LLVMTypeRef four[4] = {g->f32, g->f32, g->f32, g->f32};
    LLVMValueRef arg[10];
    for (uint32_t i = 0; i < a; i++)
        arg[n++] = lane(g, g->value[in->in[0]], i);
    for (uint32_t i = 0; i < b; i++)
        arg[n++] = lane(g, g->value[in->in[1]], i);
    for (uint32_t i = 0; i < 4; i++)
        arg[n++] = lane(g, g->value[in->in[2]], i);
    char text[160];
    bool full = a == 4;
    snprintf(text, sizeof text, "mma.sync.aligned.%s {$0, $1, $2, $3}, %s;", row[in->op].shape,
             full ? "{$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13}"
                  : "{$4, $5}, {$6}, {$7, $8, $9, $10}");
    LLVMValueRef r =
        nvptx_asm(g, NVPTX_WARP, LLVMStructTypeInContext(g->cx, four, 4, false), text,
                  full ? "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f" : "=f,=f,=f,=f,r,r,r,f,f,f,f", arg, n);
    LLVMValueRef v = LLVMGetPoison(LLVMVectorType(g->f32, 4));
    for (uint32_t i = 0; i < 4; i++)
        v = with_lane(g, v, LLVMBuildExtractValue(g->b, r, i, ""), i);
    return v;
}

/* A place in shared memory as the 32-bit address that assembly takes. */
static LLVMValueRef shared_address(struct gen *g, uint32_t buf, const struct lo_lin *l)
{
    LLVMTypeRef elem = gen_memory(g, (enum nn_dtype)g->k->buffers.p[buf].type.dtype);
    return LLVMBuildPtrToInt(g->b, gen_address(g, buf, l, elem), g->i32, "");
}

static LLVMValueRef ldmatrix(struct gen *g, const struct lo_insn *in)
{
    static const char *const out[] = {"", "{$0}, [$1]", "{$0, $1}, [$2]", "",
                                      "{$0, $1, $2, $3}, [$4]"};
    static const char *const constraints[] = {"", "=r,r", "=r,=r,r", "", "=r,=r,=r,=r,r"};
    uint32_t n = in->type.lanes;
    LLVMTypeRef word[4] = {g->i32, g->i32, g->i32, g->i32};
    LLVMTypeRef type = n == 1 ? g->i32 : LLVMStructTypeInContext(g->cx, word, n, false);
    LLVMValueRef at = shared_address(g, in->buf, &in->lin);
    char text[100];
    snprintf(text, sizeof text, "ldmatrix.sync.aligned.m8n8.x%u%s.shared.b16 %s;", n,
             in->op ? ".trans" : "", out[n]);
    LLVMValueRef r = nvptx_asm(g, NVPTX_BLOCK, type, text, constraints[n], &at, 1);
    if (n == 1)
        return r;
    LLVMValueRef v = LLVMGetPoison(LLVMVectorType(g->i32, n));
    for (uint32_t i = 0; i < n; i++)
        v = with_lane(g, v, LLVMBuildExtractValue(g->b, r, i, ""), i);
    return v;
}

/* ---- copies ---- */

static LLVMValueRef copy_async(struct gen *g, const struct lo_insn *in)
{
    LLVMTypeRef elem = gen_memory(g, (enum nn_dtype)g->k->buffers.p[in->from].type.dtype);
    LLVMValueRef arg[3] = {shared_address(g, in->buf, &in->lin),
                           gen_address(g, in->from, &in->hi, elem), NULL};
    char text[100];
    snprintf(text, sizeof text, "cp.async.%s.shared.global [$0], [$1], %d%s;",
             in->i == 16 ? "cg" : "ca", (int)in->i, in->in[0] ? ", $2" : "");
    if (in->in[0])
        arg[2] = LLVMBuildSelect(g->b, g->value[in->in[0]],
                                 LLVMConstInt(g->i32, (unsigned long long)in->i, false),
                                 LLVMConstInt(g->i32, 0, false), "");
    nvptx_asm(g, NVPTX_MEMORY, none(g), text, in->in[0] ? "r,l,r" : "r,l", arg, in->in[0] ? 3 : 2);
    return NULL;
}

/* Without asynchronous copies: a load and a store, at once. */
static LLVMValueRef copy_now(struct gen *g, const struct lo_insn *in)
{
    LLVMTypeRef elem = gen_memory(g, (enum nn_dtype)g->k->buffers.p[in->from].type.dtype);
    LLVMTypeRef type = in->i == 4 ? g->i32 : LLVMVectorType(g->i32, (unsigned)in->i / 4);
    LLVMValueRef from = gen_address(g, in->from, &in->hi, elem), v;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(g->b), end = NULL;
    if (in->in[0]) {
        LLVMBasicBlockRef then = gen_new_block(g, "copy");
        end = gen_new_block(g, "copied");
        LLVMBuildCondBr(g->b, g->value[in->in[0]], then, end);
        LLVMPositionBuilderAtEnd(g->b, then);
    }
    v = LLVMBuildLoad2(g->b, type, from, "");
    LLVMSetAlignment(v, (unsigned)in->i);
    if (end) {
        LLVMBasicBlockRef then = LLVMGetInsertBlock(g->b);
        LLVMBuildBr(g->b, end);
        LLVMPositionBuilderAtEnd(g->b, end);
        LLVMValueRef phi = LLVMBuildPhi(g->b, type, "");
        LLVMAddIncoming(phi, (LLVMValueRef[]){v, LLVMConstNull(type)},
                        (LLVMBasicBlockRef[]){then, before}, 2);
        v = phi;
    }
    LLVMSetAlignment(LLVMBuildStore(g->b, v, gen_address(g, in->buf, &in->lin, elem)),
                     (unsigned)in->i);
    return NULL;
}

static LLVMValueRef wait(struct gen *g, const struct lo_insn *in)
{
    char text[40];
    snprintf(text, sizeof text, "cp.async.wait_group %d;", (int)in->i);
    if (g->target->async)
        nvptx_asm(g, NVPTX_MEMORY, none(g), text, "", NULL, 0);
    return NULL;
}

/* ---- conversions ---- */

static LLVMValueRef to_half(struct gen *g, enum nn_dtype t, LLVMValueRef x)
{
    return gen_cast(g, NN_f32, t, x);
}

/* Two f32 in one register, the first in the low half. */
static LLVMValueRef pack_pair(struct gen *g, enum nn_dtype t, LLVMValueRef low, LLVMValueRef high)
{
    if (g->target->async) /* sm_80 and later */
        return nvptx_asm(g, NVPTX_PURE, g->i32,
                         t == NN_f16 ? "cvt.rn.f16x2.f32 $0, $1, $2;"
                                     : "cvt.rn.bf16x2.f32 $0, $1, $2;",
                         "=r,f,f", (LLVMValueRef[]){high, low}, 2);
    LLVMValueRef lo = LLVMBuildZExt(g->b, to_half(g, t, low), g->i32, "");
    LLVMValueRef hi = LLVMBuildZExt(g->b, to_half(g, t, high), g->i32, "");
    return LLVMBuildOr(g->b, lo, LLVMBuildShl(g->b, hi, LLVMConstInt(g->i32, 16, false), ""), "");
}

static LLVMValueRef pack(struct gen *g, const struct lo_insn *in)
{
    LLVMValueRef x = g->value[in->in[0]], y = g->value[in->in[1]];
    LLVMValueRef r = LLVMGetPoison(gen_type(g, in->type));
    for (uint32_t i = 0; i < in->type.lanes; i++)
        r = with_lane(g, r, pack_pair(g, (enum nn_dtype)in->op, lane(g, x, i), lane(g, y, i)), i);
    return r;
}

static LLVMValueRef unpack(struct gen *g, const struct lo_insn *in)
{
    LLVMValueRef x = g->value[in->in[0]], sixteen = gen_int_like(x, 16);
    LLVMTypeRef type = gen_type(g, in->type);
    if (in->op == NN_bf16) {
        x = in->i ? LLVMBuildAnd(g->b, x, gen_int_like(x, 0xffff0000), "")
                  : LLVMBuildShl(g->b, x, sixteen, "");
        return LLVMBuildBitCast(g->b, x, type, "");
    }
    x = in->i ? LLVMBuildLShr(g->b, x, sixteen, "") : x;
    x = LLVMBuildTrunc(g->b, x, gen_wide(g->i16, in->type.lanes), "");
    return gen_cast(g, NN_f16, NN_f32, x);
}

/* Lane by lane through one instruction of PTX. */
static LLVMValueRef each_lane(struct gen *g, LLVMTypeRef scalar, const char *text,
                              const char *constraints, LLVMValueRef x)
{
    uint32_t n = lanes_of(x);
    LLVMValueRef r = LLVMGetPoison(gen_wide(scalar, n));
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef v = lane(g, x, i);
        r = with_lane(g, r, nvptx_asm(g, NVPTX_PURE, scalar, text, constraints, &v, 1), i);
    }
    return r;
}

static LLVMValueRef approximate(struct gen *g, const struct lo_insn *in)
{
    static const char *const text[LO_APPROX_COUNT] = {
        [LO_EX2] = "ex2.approx.ftz.f32 $0, $1;",     [LO_LG2] = "lg2.approx.ftz.f32 $0, $1;",
        [LO_RSQRT] = "rsqrt.approx.ftz.f32 $0, $1;", [LO_RCP] = "rcp.approx.ftz.f32 $0, $1;",
        [LO_TANH] = "tanh.approx.f32 $0, $1;",       [LO_SIN] = "sin.approx.ftz.f32 $0, $1;",
        [LO_COS] = "cos.approx.ftz.f32 $0, $1;"};
    return each_lane(g, g->f32, text[in->op], "=f,f", g->value[in->in[0]]);
}

LLVMValueRef nvptx_gpu(struct gen *g, const struct lo_insn *in)
{
    switch ((enum lo_kind)in->kind) {
    case LO_BARRIER: nvptx_asm(g, NVPTX_BLOCK, none(g), "bar.sync 0;", "", NULL, 0); return NULL;
    case LO_SHUFFLE: return shuffle(g, in);
    case LO_MMA: return mma(g, in);
    case LO_LDMATRIX: return ldmatrix(g, in);
    case LO_COPY: return g->target->async ? copy_async(g, in) : copy_now(g, in);
    case LO_COMMIT:
        if (g->target->async)
            nvptx_asm(g, NVPTX_MEMORY, none(g), "cp.async.commit_group;", "", NULL, 0);
        return NULL;
    case LO_WAIT: return wait(g, in);
    case LO_PACK: return pack(g, in);
    case LO_UNPACK: return unpack(g, in);
    case LO_APPROX: return approximate(g, in);
    case LO_CONST:
    case LO_OP:
    case LO_FMA:
    case LO_BIT:
    case LO_SPLAT:
    case LO_LANES:
    case LO_LIN:
    case LO_LOAD:
    case LO_STORE:
    case LO_GET:
    case LO_SET:
    case LO_FOR:
    case LO_IF:
    case LO_ACROSS:
    case LO_RANDOM:
    case LO_TRAP:
    case LO_EXTRACT:
    case LO_TRADE:
    case LO_KIND_COUNT: break;
    }
    BUG("back: %s: kind %d", g->k->name, in->kind);
}

/* ---- operators ---- */

/* max.NaN and min.NaN order the zeros (-0 < +0); the loop IR lets a GPU do so. */
static LLVMValueRef extreme(struct gen *g, bool max, LLVMValueRef x, LLVMValueRef y)
{
    uint32_t n = lanes_of(x);
    LLVMValueRef r = LLVMGetPoison(gen_wide(g->f32, n));
    const char *text = max ? "max.NaN.ftz.f32 $0, $1, $2;" : "min.NaN.ftz.f32 $0, $1, $2;";
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef v[2] = {lane(g, x, i), lane(g, y, i)};
        r = with_lane(g, r, nvptx_asm(g, NVPTX_PURE, g->f32, text, "=f,f,f", v, 2), i);
    }
    return r;
}

LLVMValueRef nvptx_op(struct gen *g, const struct lo_insn *in)
{
    LLVMValueRef v = gen_narrow_op(g, in);
    bool f32 = in->type.dtype == NN_f32;
    if (v)
        return v;
    if (f32 && g->target->async && (in->op == IR_max || in->op == IR_min))
        return extreme(g, in->op == IR_max, g->value[in->in[0]], g->value[in->in[1]]);
    return NULL;
}

LLVMValueRef nvptx_bit(struct gen *g, const struct lo_insn *in)
{
    if (in->op == LO_TF32 && g->target->tensor & TARGET_TF32)
        return each_lane(g, g->i32, "cvt.rna.tf32.f32 $0, $1;", "=r,f", g->value[in->in[0]]);
    if (in->op == LO_ROUND_INT && in->type.dtype == NN_i32)
        return each_lane(g, g->i32, "cvt.rni.s32.f32 $0, $1;", "=r,f", g->value[in->in[0]]);
    return gen_narrow_bit(g, in);
}

/* To 16-bit floats two by two. */
static LLVMValueRef pairs(struct gen *g, enum nn_dtype to, LLVMValueRef x)
{
    uint32_t n = lanes_of(x);
    LLVMValueRef r = LLVMGetPoison(gen_wide(g->i32, n / 2));
    for (uint32_t i = 0; i < n; i += 2)
        r = with_lane(g, r, pack_pair(g, to, lane(g, x, i), lane(g, x, i + 1)), i / 2);
    return LLVMBuildBitCast(g->b, r, LLVMVectorType(g->i16, n), "");
}

/* A float to an integer: cvt.rzi saturates and makes 0 of NaN, but for 64-bit integers and of f64.
 */
static LLVMValueRef to_int(struct gen *g, enum nn_dtype from, enum nn_dtype to, LLVMValueRef x)
{
    bool wide = to == NN_i64 || from == NN_f64;
    char text[40], constraints[8];
    snprintf(text, sizeof text, "cvt.rzi.%s.%s $0, $1;", to == NN_i64 ? "s64" : "s32",
             from == NN_f64 ? "f64" : "f32");
    snprintf(constraints, sizeof constraints, "=%c,%c", to == NN_i64 ? 'l' : 'r',
             from == NN_f64 ? 'd' : 'f');
    LLVMValueRef r = each_lane(g, to == NN_i64 ? g->i64 : g->i32, text, constraints, x);
    if (wide) {
        LLVMValueRef nan = LLVMBuildFCmp(g->b, LLVMRealUNO, x, x, "");
        r = LLVMBuildSelect(g->b, nan, LLVMConstNull(LLVMTypeOf(r)), r, "");
    }
    if (to == NN_i64 || to == NN_i32)
        return r;
    LLVMValueRef least = gen_int_like(r, to == NN_i8 ? INT8_MIN : 0);
    LLVMValueRef most = gen_int_like(r, to == NN_i8 ? INT8_MAX : UINT8_MAX);
    r = LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, r, least, ""), least, r, "");
    r = LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntSGT, r, most, ""), most, r, "");
    return LLVMBuildTrunc(g->b, r, gen_wide(g->i8, lanes_of(x)), "");
}

LLVMValueRef nvptx_cast(struct gen *g, enum nn_dtype from, enum nn_dtype to, LLVMValueRef x)
{
    bool half = to == NN_f16 || to == NN_bf16;
    if ((from == NN_f32 || from == NN_f64) && nn_is_int(to))
        return to_int(g, from, to, x);
    if (from == NN_f16 && to == NN_f32) /* LLVM would compare f16 itself, and flush its denormals */
        return each_lane(g, g->f32, "cvt.f32.f16 $0, $1;", "=f,h", x);
    if (from != NN_f32 || !half || !g->target->async)
        return NULL;
    if (lanes_of(x) > 1)
        return pairs(g, to, x);
    return to == NN_f16
               ? NULL
               : nvptx_asm(g, NVPTX_PURE, g->i16, "cvt.rn.bf16.f32 $0, $1;", "=h,f", &x, 1);
}

LLVMValueRef nvptx_any(struct gen *g, LLVMValueRef mask, uint32_t lanes)
{
    LLVMValueRef r = lane(g, mask, 0);
    for (uint32_t i = 1; i < lanes; i++)
        r = LLVMBuildOr(g->b, r, lane(g, mask, i), "");
    return r;
}
