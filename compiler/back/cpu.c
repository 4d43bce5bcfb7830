/* A kernel for a CPU: one function a phase, which walks the chunks it is given, and the entry of
 * the runtime's ABI (image.h, nn_kernel) that chooses the phase.
 *
 * Arguments are not marked noalias: the memory plan may put an output in the place of an input that
 * its kernel reads point by point. Scratch and stack arrays alias nothing. */
#include "back/gen.h"

static uint64_t buffer_bytes(const struct lo_buffer *b)
{
    return (uint64_t)b->count * nn_dtype_size((enum nn_dtype)b->type.dtype) * b->type.lanes;
}

static uint64_t scratch_bytes(const struct lo_buffer *b)
{
    return (buffer_bytes(b) + 63) & ~(uint64_t)63;
}

uint64_t back_scratch(const struct lo_kernel *k)
{
    uint64_t n = 0;
    for (uint32_t i = 1; i < k->buffers.n; i++)
        if (k->buffers.p[i].space == LO_SCRATCH)
            n += scratch_bytes(&k->buffers.p[i]);
    return n;
}

/* The member of struct nn_args at this byte offset: a pointer. */
static LLVMValueRef args_member(struct gen *g, LLVMValueRef args, size_t offset)
{
    LLVMValueRef at = LLVMConstInt(g->i64, offset, false);
    return LLVMBuildLoad2(g->b, g->ptr, LLVMBuildInBoundsGEP2(g->b, g->i8, args, &at, 1, ""), "");
}

static LLVMValueRef stack_array(struct gen *g, const struct lo_buffer *b)
{
    LLVMTypeRef elem =
        b->space == LO_REG ? gen_type(g, b->type) : gen_memory(g, (enum nn_dtype)b->type.dtype);
    LLVMTypeRef type = LLVMArrayType2(elem, (uint64_t)b->count);
    LLVMValueRef p = LLVMBuildAlloca(g->b, type, b->name ? b->name : "");
    LLVMSetAlignment(p, 64);
    return p;
}

/* In the phase's entry block: where every buffer begins. */
static void place_buffers(struct gen *g, LLVMValueRef args, LLVMValueRef scratch)
{
    LLVMValueRef bufs = args_member(g, args, offsetof(struct nn_args, buf));
    uint64_t argument = 0, offset = 0;
    for (uint32_t i = 1; i < g->k->buffers.n; i++) {
        const struct lo_buffer *b = &g->k->buffers.p[i];
        LLVMValueRef at;
        switch (b->space) {
        case LO_ARG:
            at = LLVMConstInt(g->i64, argument++, false);
            at = LLVMBuildInBoundsGEP2(g->b, g->ptr, bufs, &at, 1, "");
            g->base[i] = LLVMBuildLoad2(g->b, g->ptr, at, b->name ? b->name : "");
            break;
        case LO_SCRATCH:
            at = LLVMConstInt(g->i64, offset, false);
            g->base[i] =
                LLVMBuildInBoundsGEP2(g->b, g->i8, scratch, &at, 1, b->name ? b->name : "");
            offset += scratch_bytes(b);
            break;
        case LO_LOCAL:
        case LO_REG: g->base[i] = stack_array(g, b); break;
        case LO_SHARED: BUG("back: %s: shared memory on a CPU", g->k->name);
        }
    }
}

static LLVMValueRef new_function(struct gen *g, const char *name, LLVMTypeRef type)
{
    LLVMValueRef fn = LLVMAddFunction(g->m, name, type);
    unsigned kind = LLVMGetEnumAttributeKindForName("nounwind", 8);
    LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(g->cx, kind, 0));
    gen_attribute(g, fn, "denormal-fp-math", "preserve-sign,preserve-sign");
    if (g->target->vector_bytes == 64)
        gen_attribute(g, fn, "prefer-vector-width", "512");
    g->fn = fn;
    LLVMPositionBuilderAtEnd(g->b, LLVMAppendBasicBlockInContext(g->cx, fn, "entry"));
    return fn;
}

/* void SYMBOL.PHASE(ptr args, ptr scratch, i64 chunk0, i64 chunk1) */
static LLVMValueRef phase_function(struct gen *g, const char *symbol, uint32_t phase,
                                   LLVMTypeRef type)
{
    char name[300];
    snprintf(name, sizeof name, "%.240s.%u", symbol, phase);
    LLVMValueRef fn = new_function(g, name, type);
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    unsigned kind = LLVMGetEnumAttributeKindForName("noalias", 7);
    LLVMAddAttributeAtIndex(fn, 2, LLVMCreateEnumAttribute(g->cx, kind, 0));
    LLVMValueRef args = LLVMGetParam(fn, 0), scratch = LLVMGetParam(fn, 1);
    LLVMValueRef from = LLVMGetParam(fn, 2), to = LLVMGetParam(fn, 3);
    LLVMSetValueName2(args, "args", 4);
    LLVMSetValueName2(scratch, "scratch", 7);
    place_buffers(g, args, scratch);
    g->fault = args_member(g, args, offsetof(struct nn_args, fault));

    LLVMBasicBlockRef entry = LLVMGetInsertBlock(g->b);
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(g->cx, fn, "chunk");
    LLVMBasicBlockRef end = LLVMAppendBasicBlockInContext(g->cx, fn, "done");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, from, to, ""), body, end);
    LLVMPositionBuilderAtEnd(g->b, body);
    LLVMValueRef chunk = LLVMBuildPhi(g->b, g->i64, "c"), one = LLVMConstInt(g->i64, 1, false);
    g->value[g->k->phases.p[phase].chunk] = chunk;
    gen_block(g, g->k->phases.p[phase].body);
    LLVMValueRef next = LLVMBuildNSWAdd(g->b, chunk, one, "");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntSLT, next, to, ""), body, end);
    LLVMAddIncoming(chunk, (LLVMValueRef[]){from, next},
                    (LLVMBasicBlockRef[]){entry, LLVMGetInsertBlock(g->b)}, 2);
    LLVMPositionBuilderAtEnd(g->b, end);
    LLVMBuildRetVoid(g->b);
    return fn;
}

static void cpu_kernel(struct gen *g, const char *symbol)
{
    LLVMTypeRef none = LLVMVoidTypeInContext(g->cx);
    LLVMTypeRef phase_type =
        LLVMFunctionType(none, (LLVMTypeRef[]){g->ptr, g->ptr, g->i64, g->i64}, 4, false);
    uint32_t n = g->k->phases.n;
    LLVMValueRef *phase = xcalloc(n ? n : 1, sizeof *phase);
    for (uint32_t i = 0; i < n; i++)
        phase[i] = phase_function(g, symbol, i, phase_type);

    LLVMTypeRef type =
        LLVMFunctionType(none, (LLVMTypeRef[]){g->ptr, g->i32, g->i64, g->i64}, 4, false);
    LLVMValueRef fn = new_function(g, symbol, type);
    LLVMValueRef args = LLVMGetParam(fn, 0);
    LLVMValueRef call[4] = {args, args_member(g, args, offsetof(struct nn_args, scratch)),
                            LLVMGetParam(fn, 2), LLVMGetParam(fn, 3)};
    LLVMBasicBlockRef end = LLVMAppendBasicBlockInContext(g->cx, fn, "end");
    LLVMValueRef choice = LLVMBuildSwitch(g->b, LLVMGetParam(fn, 1), end, n);
    for (uint32_t i = 0; i < n; i++) {
        LLVMBasicBlockRef at = LLVMInsertBasicBlockInContext(g->cx, end, "phase");
        LLVMAddCase(choice, LLVMConstInt(g->i32, i, false), at);
        LLVMPositionBuilderAtEnd(g->b, at);
        LLVMBuildCall2(g->b, phase_type, phase[i], call, 4, "");
        LLVMBuildRetVoid(g->b);
    }
    LLVMPositionBuilderAtEnd(g->b, end);
    LLVMBuildRetVoid(g->b);
    free(phase);
}

const struct gen_machine gen_cpu = {.kernel = cpu_kernel, .libm = true};
