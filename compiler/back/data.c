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
    case BACK_NUMBER: return LLVMConstInt(o->g.i64, (unsigned long long)a->at, true);
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

bool back_object_emit(struct back_object *o, enum back_form form, struct text *out, char **message)
{
    return gen_emit(&o->g, o->tm, form, out, message);
}
