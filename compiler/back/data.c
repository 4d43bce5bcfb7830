/* Constant data and small functions as an object: what stands around the kernels in a library. */
#include "back/gen.h"

struct back_object {
    struct gen g;
    LLVMTargetMachineRef tm;
};

struct back_object *back_object_new(const struct target *t, const char *name, char **message)
{
    LLVMTargetMachineRef tm = gen_target_machine(t, message);
    if (!tm)
        return NULL;
    struct back_object *o = xcalloc(1, sizeof *o);
    o->tm = tm;
    gen_open(&o->g, t, name);
    return o;
}

void back_object_free(struct back_object *o)
{
    if (!o)
        return;
    gen_close(&o->g);
    LLVMDisposeTargetMachine(o->tm);
    free(o);
}

static void constant(struct back_object *o, const char *symbol, LLVMValueRef value, unsigned align)
{
    LLVMValueRef v = LLVMGetNamedGlobal(o->g.m, symbol);
    if (v) { /* named before: its real type is known now */
        LLVMValueRef old = v;
        LLVMSetValueName2(old, "", 0);
        v = LLVMAddGlobal(o->g.m, LLVMTypeOf(value), symbol);
        LLVMReplaceAllUsesWith(old, v);
        LLVMDeleteGlobal(old);
    } else {
        v = LLVMAddGlobal(o->g.m, LLVMTypeOf(value), symbol);
    }
    LLVMSetInitializer(v, value);
    LLVMSetGlobalConstant(v, true);
    LLVMSetAlignment(v, align);
    LLVMSetVisibility(v, LLVMHiddenVisibility);
}

void back_object_bytes(struct back_object *o, const char *symbol, const void *p, size_t n)
{
    CHECK(n <= UINT32_MAX, "back: %s is too large", symbol);
    constant(o, symbol, LLVMConstStringInContext(o->g.cx, p, (unsigned)n, true), 64);
}

/* Whatever stands under the name, here or in another object. */
static LLVMValueRef address(struct back_object *o, const char *symbol)
{
    LLVMValueRef v = LLVMGetNamedGlobal(o->g.m, symbol);
    if (!v)
        v = LLVMGetNamedFunction(o->g.m, symbol);
    if (!v) {
        v = LLVMAddGlobal(o->g.m, o->g.i8, symbol);
        LLVMSetVisibility(v, LLVMHiddenVisibility);
    }
    return v;
}

void back_object_words(struct back_object *o, const char *symbol, const struct back_word *w,
                       size_t n)
{
    LLVMValueRef *v = xcalloc(n ? n : 1, sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = w[i].symbol ? address(o, w[i].symbol) : LLVMConstInt(o->g.i64, w[i].value, false);
    constant(o, symbol, LLVMConstStructInContext(o->g.cx, v, (unsigned)n, false), 8);
    free(v);
}

/* ---- functions ---- */

static LLVMTypeRef type(const struct back_object *o, char letter)
{
    switch (letter) {
    case 'p': return o->g.ptr;
    case 'l': return o->g.i64;
    case 'i': return o->g.i32;
    case 'v': return LLVMVoidTypeInContext(o->g.cx);
    }
    BUG("back: no parameter is of type %c", letter);
}

static LLVMValueRef pack(struct back_object *o, LLVMValueRef fn, const struct back_arg *a)
{
    LLVMValueRef array =
        LLVMBuildAlloca(o->g.b, LLVMArrayType2(o->g.ptr, a->n ? a->n : 1), "packed");
    for (uint32_t i = 0; i < a->n; i++) {
        LLVMValueRef at = LLVMConstInt(o->g.i64, i, false);
        LLVMBuildStore(o->g.b, LLVMGetParam(fn, (unsigned)a->at + i),
                       LLVMBuildInBoundsGEP2(o->g.b, o->g.ptr, array, &at, 1, ""));
    }
    return array;
}

static LLVMValueRef argument(struct back_object *o, LLVMValueRef fn, const struct back_arg *a)
{
    switch (a->kind) {
    case BACK_PARAM: return LLVMGetParam(fn, (unsigned)a->at);
    case BACK_PACK: return pack(o, fn, a);
    case BACK_SYMBOL: return address(o, a->symbol);
    }
    BUG("back: no such argument");
}

void back_object_call(struct back_object *o, const char *symbol, const char *param, char result,
                      const char *callee, const struct back_arg *arg, uint32_t n)
{
    LLVMTypeRef t[64], ct[64];
    LLVMValueRef v[64];
    size_t params = strlen(param);
    CHECK(params <= COUNT(t) && n <= COUNT(v), "back: %s has too many parameters", symbol);
    for (size_t i = 0; i < params; i++)
        t[i] = type(o, param[i]);
    LLVMValueRef fn = LLVMAddFunction(
        o->g.m, symbol, LLVMFunctionType(type(o, result), t, (unsigned)params, false));
    LLVMPositionBuilderAtEnd(o->g.b, LLVMAppendBasicBlockInContext(o->g.cx, fn, "entry"));
    for (uint32_t i = 0; i < n; i++) {
        v[i] = argument(o, fn, &arg[i]);
        ct[i] = LLVMTypeOf(v[i]);
    }
    LLVMTypeRef call = LLVMFunctionType(type(o, result), ct, n, false);
    LLVMValueRef to = LLVMGetNamedFunction(o->g.m, callee);
    if (!to)
        to = LLVMAddFunction(o->g.m, callee, call);
    LLVMValueRef r = LLVMBuildCall2(o->g.b, call, to, v, n, "");
    if (result == 'v')
        LLVMBuildRetVoid(o->g.b);
    else
        LLVMBuildRet(o->g.b, r);
}

/* ---- kernels one after the other ---- */

static LLVMValueRef member(struct back_object *o, LLVMValueRef p, uint64_t offset)
{
    LLVMValueRef at = LLVMConstInt(o->g.i64, offset, false);
    return LLVMBuildInBoundsGEP2(o->g.b, o->g.i8, p, &at, 1, "");
}

static LLVMValueRef new_function(struct back_object *o, const char *symbol, const LLVMTypeRef *t,
                                 unsigned n, bool faults)
{
    LLVMTypeRef result = faults ? o->g.i32 : LLVMVoidTypeInContext(o->g.cx);
    LLVMTypeRef type = LLVMFunctionType(result, (LLVMTypeRef *)(uintptr_t)t, n, false);
    LLVMValueRef fn = LLVMAddFunction(o->g.m, symbol, type);
    LLVMPositionBuilderAtEnd(o->g.b, LLVMAppendBasicBlockInContext(o->g.cx, fn, "entry"));
    return fn;
}

/* The struct nn_args of a call, on the stack; `bufs` has room for the most arguments. */
static LLVMValueRef call_args(struct back_object *o, LLVMValueRef bufs, LLVMValueRef own,
                              LLVMValueRef fault)
{
    LLVMBuilderRef b = o->g.b;
    LLVMValueRef args =
        LLVMBuildAlloca(b, LLVMArrayType2(o->g.i64, sizeof(struct nn_args) / 8), "args");
    LLVMBuildStore(b, bufs, member(o, args, offsetof(struct nn_args, buf)));
    LLVMBuildStore(b, own, member(o, args, offsetof(struct nn_args, scratch)));
    LLVMBuildStore(b, fault, member(o, args, offsetof(struct nn_args, fault)));
    LLVMBuildStore(b, LLVMConstNull(o->g.ptr), member(o, args, offsetof(struct nn_args, dims)));
    return args;
}

enum { STAGE, FIRST, LAST, PARAMS }; /* parameters of SYMBOL_stage; then shared, own */

static void call_stage(struct back_object *o, LLVMValueRef fn, const struct back_stage *s,
                       uint32_t params, LLVMValueRef bufs, LLVMValueRef args)
{
    LLVMBuilderRef b = o->g.b;
    for (uint32_t k = 0; k < s->args; k++) {
        const struct back_place *a = &s->arg[k];
        LLVMValueRef p = LLVMGetParam(fn, PARAMS + (a->param < 0 ? params : (uint32_t)a->param));
        LLVMBuildStore(b, member(o, p, a->offset), member(o, bufs, k * sizeof(void *)));
    }
    LLVMTypeRef t[] = {o->g.ptr, o->g.i32, o->g.i64, o->g.i64};
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(o->g.cx), t, COUNT(t), false);
    LLVMValueRef kernel = LLVMGetNamedFunction(o->g.m, s->kernel);
    if (!kernel) {
        kernel = LLVMAddFunction(o->g.m, s->kernel, type);
        LLVMSetVisibility(kernel, LLVMHiddenVisibility);
    }
    LLVMValueRef v[] = {args, LLVMConstInt(o->g.i32, (unsigned)s->phase, false),
                        LLVMGetParam(fn, FIRST), LLVMGetParam(fn, LAST)};
    LLVMBuildCall2(b, type, kernel, v, COUNT(v), "");
}

static LLVMValueRef stage_function(struct back_object *o, const struct back_routine *r,
                                   const LLVMTypeRef *type)
{
    LLVMBuilderRef b = o->g.b;
    struct text name = {0};
    uint32_t most = 1;
    text_printf(&name, "%s_stage", r->symbol);
    LLVMValueRef fn = new_function(o, name.p, type, PARAMS + r->params + 2, r->faults);
    text_free(&name);
    for (uint32_t i = 0; i < r->stages; i++)
        most = r->stage[i].args > most ? r->stage[i].args : most;
    LLVMValueRef bufs = LLVMBuildAlloca(b, LLVMArrayType2(o->g.ptr, most), "bufs");
    LLVMValueRef fault =
        LLVMBuildAlloca(b, LLVMArrayType2(o->g.i64, sizeof(struct nn_fault) / 8), "fault");
    LLVMBuildStore(b, LLVMConstInt(o->g.i32, 0, false),
                   member(o, fault, offsetof(struct nn_fault, code)));
    LLVMValueRef args = call_args(o, bufs, LLVMGetParam(fn, PARAMS + r->params + 1), fault);
    LLVMBasicBlockRef end = LLVMAppendBasicBlockInContext(o->g.cx, fn, "end");
    LLVMValueRef choice = LLVMBuildSwitch(b, LLVMGetParam(fn, STAGE), end, r->stages);
    for (uint32_t i = 0; i < r->stages; i++) {
        LLVMBasicBlockRef at = LLVMInsertBasicBlockInContext(o->g.cx, end, "stage");
        LLVMAddCase(choice, LLVMConstInt(o->g.i32, i, false), at);
        LLVMPositionBuilderAtEnd(b, at);
        call_stage(o, fn, &r->stage[i], r->params, bufs, args);
        LLVMBuildBr(b, end);
    }
    LLVMPositionBuilderAtEnd(b, end);
    if (r->faults)
        LLVMBuildRet(
            b, LLVMBuildLoad2(b, o->g.i32, member(o, fault, offsetof(struct nn_fault, code)), ""));
    else
        LLVMBuildRetVoid(b);
    return fn;
}

/* After a stage that left a fault nothing else runs. */
static void leave_on_fault(struct back_object *o, LLVMValueRef fn, LLVMValueRef code)
{
    LLVMBasicBlockRef on = LLVMAppendBasicBlockInContext(o->g.cx, fn, "on"),
                      leave = LLVMAppendBasicBlockInContext(o->g.cx, fn, "leave");
    LLVMBuildCondBr(o->g.b, LLVMBuildICmp(o->g.b, LLVMIntEQ, code, LLVMConstNull(o->g.i32), ""), on,
                    leave);
    LLVMPositionBuilderAtEnd(o->g.b, leave);
    LLVMBuildRet(o->g.b, code);
    LLVMPositionBuilderAtEnd(o->g.b, on);
}

void back_object_routine(struct back_object *o, const struct back_routine *r)
{
    uint32_t n = PARAMS + r->params + 2;
    LLVMTypeRef *type = xcalloc(n, sizeof *type);
    LLVMValueRef *v = xcalloc(n, sizeof *v);
    for (uint32_t i = 0; i < n; i++)
        type[i] = i == STAGE ? o->g.i32 : i < PARAMS ? o->g.i64 : o->g.ptr;
    LLVMValueRef stage = stage_function(o, r, type);
    LLVMValueRef fn = new_function(o, r->symbol, type + PARAMS, r->params + 1, r->faults);
    for (uint32_t i = 0; i <= r->params; i++)
        v[PARAMS + i] = LLVMGetParam(fn, i);
    v[n - 1] = member(o, v[n - 2], r->own_at);
    for (uint32_t i = 0; i < r->stages; i++) {
        v[STAGE] = LLVMConstInt(o->g.i32, i, false);
        v[FIRST] = LLVMConstInt(o->g.i64, 0, false);
        v[LAST] = LLVMConstInt(o->g.i64, (unsigned long long)r->stage[i].chunks, false);
        LLVMValueRef code = LLVMBuildCall2(o->g.b, LLVMGlobalGetValueType(stage), stage, v, n, "");
        if (r->faults)
            leave_on_fault(o, fn, code);
    }
    if (r->faults)
        LLVMBuildRet(o->g.b, LLVMConstNull(o->g.i32));
    else
        LLVMBuildRetVoid(o->g.b);
    free(type);
    free(v);
}

void back_object_export(struct back_object *o, const char *symbol)
{
    LLVMSetVisibility(LLVMGetNamedGlobal(o->g.m, symbol), LLVMDefaultVisibility);
}

bool back_object_emit(struct back_object *o, enum back_form form, struct text *out, char **message)
{
    return gen_emit(&o->g, o->tm, form, out, message);
}
