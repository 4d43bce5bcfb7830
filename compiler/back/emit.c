/* LLVM's own side: target machines, the passes that run, and modules as text, assembly or objects.
 * The loop IR comes simplified and vectorised, so a few cheap passes do; LLVM's vectorisers,
 * inliner and unroller never run. */
#include "back/gen.h"
#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>

static char *heap_text(const char *fmt, const char *a, const char *b)
{
    struct text t = {0};
    text_printf(&t, fmt, a, b);
    return t.p;
}

static void initialise(void)
{
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
}

LLVMTargetMachineRef gen_target_machine(const struct target *t, char **message)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialise);
    LLVMTargetRef target;
    char *why = NULL;
    if (LLVMGetTargetFromTriple(t->triple, &target, &why)) {
        *message = heap_text("LLVM has no target %s: %s", t->triple, why);
        LLVMDisposeMessage(why);
        return NULL;
    }
    LLVMTargetMachineRef tm =
        LLVMCreateTargetMachine(target, t->triple, t->cpu, t->features, LLVMCodeGenLevelDefault,
                                LLVMRelocPIC, LLVMCodeModelDefault);
    if (!tm)
        *message = heap_text("LLVM makes no code for %s (%s)", t->triple, t->cpu);
    return tm;
}

bool gen_optimise(struct gen *g, LLVMTargetMachineRef tm, char **message)
{
    LLVMSetTarget(g->m, g->target->triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tm);
    LLVMSetModuleDataLayout(g->m, layout);
    LLVMDisposeTargetData(layout);
    char *why = NULL;
    if (LLVMVerifyModule(g->m, LLVMReturnStatusAction, &why))
        BUG("back: LLVM's verifier: %s", why);
    LLVMDisposeMessage(why);
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    LLVMErrorRef e = LLVMRunPasses(
        g->m,
        "function(sroa,early-cse,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm))", tm,
        o);
    LLVMDisposePassBuilderOptions(o);
    if (!e)
        return true;
    why = LLVMGetErrorMessage(e);
    *message = heap_text("LLVM's passes: %s%s", why, "");
    LLVMDisposeErrorMessage(why);
    return false;
}

LLVMMemoryBufferRef gen_file(struct gen *g, LLVMTargetMachineRef tm, LLVMCodeGenFileType type,
                             char **message)
{
    char *why = NULL;
    LLVMMemoryBufferRef out = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(tm, g->m, type, &why, &out)) {
        *message =
            heap_text("LLVM refuses to make code: %s %s", why, g->errors.n ? g->errors.p : "");
        LLVMDisposeMessage(why);
        return NULL;
    }
    if (g->errors.n) {
        *message = heap_text("LLVM: %s%s", g->errors.p, "");
        LLVMDisposeMemoryBuffer(out);
        return NULL;
    }
    return out;
}

/* An alias of the first of equal kernels. */
static void add_alias(struct gen *g, const char *name, const char *of)
{
    LLVMValueRef first = LLVMGetNamedFunction(g->m, of);
    LLVMValueRef alias = LLVMAddAlias2(g->m, LLVMGlobalGetValueType(first), 0, first, name);
    LLVMSetVisibility(alias, LLVMHiddenVisibility);
}

/* The module's kernels. On a CPU hidden where it is linked, and equal ones are aliases of the
 * first; a GPU has neither, equal ones share back_symbols' symbol unless entries have names. */
static void add_kernels(struct gen *g, struct lo_kernel *const *k, size_t n,
                        const char *const *const *entry)
{
    bool gpu = g->target->kind == TARGET_GPU;
    uint64_t *hash = xcalloc(n ? n : 1, sizeof *hash);
    const char **symbol = xcalloc(n ? n : 1, sizeof *symbol);
    if (gpu)
        back_symbols(k, n, symbol);
    for (size_t i = 0; i < n; i++) {
        hash[i] = lo_hash(k[i]);
        size_t same = 0;
        while (hash[same] != hash[i] && !entry)
            same++;
        if (same < i && !gpu)
            add_alias(g, k[i]->name, k[same]->name);
        if (same < i && !entry)
            continue;
        g->entry = entry ? entry[i] : NULL;
        if (gpu)
            lo_expand_maths_gpu(k[i]);
        else
            lo_expand_maths(k[i], g->target->fma);
        gen_kernel(g, k[i], gpu ? symbol[i] : k[i]->name);
        if (!gpu)
            LLVMSetVisibility(LLVMGetNamedFunction(g->m, k[i]->name), LLVMHiddenVisibility);
    }
    free(hash);
    free(symbol);
}

bool back_traps(const struct lo_kernel *k)
{
    for (uint32_t i = 1; i < k->insns.n; i++)
        if (k->insns.p[i].kind == LO_TRAP)
            return true;
    return false;
}

void back_trap_codes(struct lo_kernel *k, const int32_t *code)
{
    for (uint32_t i = 1; i < k->insns.n; i++)
        if (k->insns.p[i].kind == LO_TRAP)
            k->insns.p[i].i = code[k->insns.p[i].i - 1];
}

/* Why the target cannot have one of the kernels; NULL: it can have all. */
static char *refuses(const struct target *t, struct lo_kernel *const *k, size_t n)
{
    char *why = NULL;
    for (size_t i = 0; i < n && !why && t->kind == TARGET_GPU; i++)
        why = nvptx_refuses(t, k[i]);
    return why;
}

bool gen_emit(struct gen *g, LLVMTargetMachineRef tm, enum back_form form, struct text *out,
              char **message)
{
    if (!gen_optimise(g, tm, message))
        return false;
    if (form == BACK_LLVM) {
        char *s = LLVMPrintModuleToString(g->m);
        text_printf(out, "%s", s);
        LLVMDisposeMessage(s);
        return true;
    }
    LLVMSetTargetMachineAsmVerbosity(tm, g->target->kind == TARGET_CPU);
    LLVMMemoryBufferRef b =
        gen_file(g, tm, form == BACK_ASM ? LLVMAssemblyFile : LLVMObjectFile, message);
    if (!b)
        return false;
    text_write(out, LLVMGetBufferStart(b), LLVMGetBufferSize(b));
    LLVMDisposeMemoryBuffer(b);
    return true;
}

bool back_emit(const struct target *t, struct lo_kernel *const *k, size_t n, enum back_form form,
               struct text *out, char **message)
{
    return back_emit_lines(t, k, n, form, NULL, out, message);
}

static bool emit(const struct target *t, struct lo_kernel *const *k, size_t n, enum back_form form,
                 const struct back_lines *lines, const char *const *const *entry, struct text *out,
                 char **message)
{
    *message = refuses(t, k, n);
    if (*message)
        return false;
    LLVMTargetMachineRef tm = gen_target_machine(t, message);
    if (!tm)
        return false;
    struct gen g;
    gen_open(&g, t, "nnc");
    g.lines = lines && t->kind == TARGET_GPU ? gen_lines_open(&g, lines) : NULL;
    add_kernels(&g, k, n, entry);
    gen_lines_close(&g);
    bool ok = gen_emit(&g, tm, form, out, message);
    gen_close(&g);
    LLVMDisposeTargetMachine(tm);
    return ok;
}

bool back_emit_lines(const struct target *t, struct lo_kernel *const *k, size_t n,
                     enum back_form form, const struct back_lines *lines, struct text *out,
                     char **message)
{
    return emit(t, k, n, form, lines, NULL, out, message);
}

bool back_emit_entries(const struct target *t, struct lo_kernel *const *k, size_t n,
                       const char *const *const *entry, const struct back_lines *lines,
                       struct text *out, char **message)
{
    CHECK(t->kind == TARGET_GPU, "back: %s has no entries", t->name);
    return emit(t, k, n, BACK_ASM, lines, entry, out, message);
}
