/* A kernel for a GPU, through LLVM's NVPTX backend: an entry for each phase, its parameters, its
 * shared memory, and what must be so that LLVM does not abort the process.
 *
 * Arguments that the kernel does not write are noalias and readonly, so that they are read through
 * ld.global.nc. Those that it writes are neither: the memory plan may put one in the place of an
 * input. The launch bounds stand as annotations (LLVM 19) and as attributes (22): each version
 * ignores the other's. */
#include "back/gen.h"
#include <llvm-c/DebugInfo.h>
#include <llvm/Config/llvm-config.h>

#define STATIC_SHARED 49152 /* more is given at the launch */
#define SHARED_ALIGN 128
#define MOST_ARGUMENTS 511   /* pointers in an entry's 4 KiB, and the fault's */
#define KERNEL_CONVENTION 71 /* CallingConv::PTX_Kernel */

/* ---- shared memory ---- */

static void note_uses(const struct lo_kernel *k, uint32_t block, bool *used)
{
    for (uint32_t i = 0; i < k->blocks.p[block].insn.n; i++) {
        const struct lo_insn *in = &k->insns.p[k->blocks.p[block].insn.p[i]];
        used[in->buf] = true;
        if (in->body)
            note_uses(k, in->body, used);
        if (in->other)
            note_uses(k, in->other, used);
    }
}

static uint64_t buffer_bytes(const struct lo_buffer *b)
{
    return (uint64_t)b->count * nn_dtype_size((enum nn_dtype)b->type.dtype) * b->type.lanes;
}

uint64_t nvptx_shared(const struct lo_kernel *k, uint32_t phase, uint32_t buf)
{
    bool *used = xcalloc(k->buffers.n, sizeof *used);
    uint64_t at = 0;
    note_uses(k, k->phases.p[phase].body, used);
    for (uint32_t i = 1; i < k->buffers.n && (!buf || i < buf); i++)
        if (used[i] && k->buffers.p[i].space == LO_SHARED)
            at += (buffer_bytes(&k->buffers.p[i]) + SHARED_ALIGN - 1) / SHARED_ALIGN * SHARED_ALIGN;
    free(used);
    return at;
}

uint32_t back_shared(const struct lo_kernel *k, uint32_t phase)
{
    uint64_t n = nvptx_shared(k, phase, 0);
    return n > STATIC_SHARED ? (uint32_t)n : 0;
}

/* The phase's shared memory, one array. */
static LLVMValueRef shared_array(struct gen *g, uint32_t phase, const char *name)
{
    uint64_t n = nvptx_shared(g->k, phase, 0);
    bool dynamic = n > STATIC_SHARED;
    char symbol[320];
    if (!n)
        return NULL;
    snprintf(symbol, sizeof symbol, "%.300s_%s", name, dynamic ? "dynamic" : "shared");
    LLVMTypeRef type = LLVMArrayType2(g->i8, dynamic ? 0 : n);
    LLVMValueRef v = LLVMAddGlobalInAddressSpace(g->m, type, symbol, 3);
    LLVMSetAlignment(v, SHARED_ALIGN);
    if (!dynamic) {
        LLVMSetInitializer(v, LLVMGetUndef(type));
        LLVMSetLinkage(v, LLVMInternalLinkage);
    }
    return v;
}

/* ---- what LLVM and the target do not take ---- */

static char *refusal(const struct lo_kernel *k, const char *fmt, ...) NNC_PRINTF(2, 3);
static char *refusal(const struct lo_kernel *k, const char *fmt, ...)
{
    struct text t = {0};
    char words[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    text_printf(&t, "kernel %s: %s", k->name, words);
    return t.p;
}

static bool has_product(const struct target *t, enum lo_mma op)
{
    static const uint32_t flag[LO_MMA_COUNT] = {[LO_MMA_M16N8K8_TF32] = TARGET_TF32,
                                                [LO_MMA_M16N8K16_BF16] = TARGET_BF16,
                                                [LO_MMA_M16N8K16_F16] = TARGET_F16,
                                                [LO_MMA_M16N8K8_F16] = TARGET_F16_K8};
    return t->tensor & flag[op];
}

bool back_knows(const struct target *t)
{
    return t->kind == TARGET_CPU || t->ptx <= 85 || LLVM_VERSION_MAJOR >= 20;
}

static uint32_t arguments(const struct lo_kernel *k)
{
    uint32_t n = 0;
    while (n + 1 < k->buffers.n && k->buffers.p[n + 1].space == LO_ARG)
        n++;
    return n;
}

char *nvptx_refuses(const struct target *t, const struct lo_kernel *k)
{
    if (!back_knows(t))
        return refusal(k, "LLVM %d knows no %s, 20 and later do", LLVM_VERSION_MAJOR, t->name);
    if (!lo_is_gpu(k) && k->phases.n)
        return refusal(k, "a CPU's kernel for %s", t->name);
    for (uint32_t i = 1; i < k->insns.n; i++) {
        const struct lo_insn *in = &k->insns.p[i];
        if (in->kind == LO_MMA && !has_product(t, (enum lo_mma)in->op))
            return refusal(k, "%s has no such tensor cores", t->name);
    }
    if (arguments(k) > MOST_ARGUMENTS)
        return refusal(k, "%u arguments; an entry takes %d", arguments(k), MOST_ARGUMENTS);
    for (uint32_t i = 0; i < k->phases.n; i++)
        if (k->phases.p[i].chunks > INT32_MAX)
            return refusal(k, "a grid of %lld blocks", (long long)k->phases.p[i].chunks);
    for (uint32_t i = 0; i < k->phases.n; i++)
        if (nvptx_shared(k, i, 0) > t->shared_block)
            return refusal(k, "%llu bytes of shared memory; a block of %s has %u",
                           (unsigned long long)nvptx_shared(k, i, 0), t->name, t->shared_block);
    return NULL;
}

/* ---- symbols ---- */

static void put_symbol(struct text *t, const char *name)
{
    for (const char *s = name; *s && s < name + 200; s++) {
        bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                     (*s >= '0' && *s <= '9') || *s == '_';
        text_printf(t, "%c", plain ? *s : '_');
    }
}

void back_symbols(struct lo_kernel *const *k, size_t n, const char **symbol)
{
    uint64_t *hash = xcalloc(n ? n : 1, sizeof *hash);
    struct text t = {0};
    for (size_t i = 0; i < n; i++) {
        hash[i] = lo_hash(k[i]);
        size_t same = 0;
        while (hash[same] != hash[i])
            same++;
        if (same < i) {
            symbol[i] = symbol[same];
            continue;
        }
        t.n = 0;
        put_symbol(&t, k[i]->name);
        bool taken = false;
        for (size_t j = 0; j < i && !taken; j++)
            taken = !strcmp(symbol[j], t.p);
        if (taken)
            text_printf(&t, "_%zu_", i); /* no name ends so twice: i is the kernel's own */
        symbol[i] = arena_strndup(k[i]->mem, t.p, t.n);
    }
    text_free(&t);
    free(hash);
}

/* ---- an entry ---- */

static void enum_attribute(struct gen *g, unsigned at, const char *name, uint64_t value)
{
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    CHECK(kind, "back: LLVM has no attribute %s", name);
    LLVMAddAttributeAtIndex(g->fn, at, LLVMCreateEnumAttribute(g->cx, kind, value));
}

static void annotate(struct gen *g, const char *key, uint32_t value)
{
    LLVMMetadataRef node[3] = {LLVMValueAsMetadata(g->fn),
                               LLVMMDStringInContext2(g->cx, key, strlen(key)),
                               LLVMValueAsMetadata(LLVMConstInt(g->i32, value, false))};
    LLVMValueRef v = LLVMMetadataAsValue(g->cx, LLVMMDNodeInContext2(g->cx, node, 3));
    LLVMAddNamedMetadataOperand(g->m, "nvvm.annotations", v);
}

/* A block's or a thread's number, below `limit`. */
static LLVMValueRef special_register(struct gen *g, const char *name, int64_t limit)
{
    LLVMValueRef v = gen_intrinsic(g, name, NULL, NULL, 0);
    if (limit <= 0 || limit > INT32_MAX)
        return v;
    LLVMMetadataRef bound[2] = {
        LLVMValueAsMetadata(LLVMConstInt(g->i32, 0, false)),
        LLVMValueAsMetadata(LLVMConstInt(g->i32, (unsigned long long)limit, false))};
    LLVMSetMetadata(v, LLVMGetMDKindIDInContext(g->cx, "range", 5),
                    LLVMMetadataAsValue(g->cx, LLVMMDNodeInContext2(g->cx, bound, 2)));
    return v;
}

static LLVMValueRef own_array(struct gen *g, const struct lo_buffer *b)
{
    LLVMTypeRef elem =
        b->space == LO_REG ? gen_type(g, b->type) : gen_memory(g, (enum nn_dtype)b->type.dtype);
    LLVMTypeRef type = LLVMArrayType2(elem, (uint64_t)b->count);
    LLVMValueRef p = LLVMBuildAlloca(g->b, type, b->name ? b->name : "");
    LLVMSetAlignment(p, 16);
    return p;
}

static void place_buffers(struct gen *g, uint32_t phase, const char *name)
{
    LLVMValueRef shared = shared_array(g, phase, name);
    uint32_t argument = 0;
    for (uint32_t i = 1; i < g->k->buffers.n; i++) {
        const struct lo_buffer *b = &g->k->buffers.p[i];
        LLVMValueRef at;
        switch (b->space) {
        case LO_ARG: g->base[i] = LLVMGetParam(g->fn, argument++); break;
        case LO_SHARED:
            at = LLVMConstInt(g->i64, nvptx_shared(g->k, phase, i), false);
            g->base[i] = shared ? LLVMConstInBoundsGEP2(g->i8, shared, &at, 1) : NULL;
            break;
        case LO_LOCAL:
        case LO_REG: g->base[i] = own_array(g, b); break;
        case LO_SCRATCH: BUG("back: %s: scratch on a GPU", g->k->name);
        }
    }
}

/* How many blocks a multiprocessor is to hold, told the assembler: left to itself it spills a few
 * bytes where that makes room for one more. A guess: the phase's arrays of registers (tiles of
 * sums), and beside them 88 for operands, what is on its way and addresses, or more where more
 * values are wanted at once. */
static uint32_t blocks_wanted(const struct lo_kernel *k, uint32_t phase)
{
    enum { OTHERS = 88, MORE = 24, FILE_SIZE = 65536, MOST_BLOCKS = 16 };
    uint32_t held = 0, live = nvptx_pressure(k, phase) + MORE;
    bool *used = xcalloc(k->buffers.n, sizeof *used);
    note_uses(k, k->phases.p[phase].body, used);
    for (uint32_t i = 1; i < k->buffers.n; i++)
        if (used[i] && k->buffers.p[i].space == LO_REG)
            held += (uint32_t)(buffer_bytes(&k->buffers.p[i]) / 4);
    free(used);
    uint32_t most = held + (live > OTHERS ? live : OTHERS);
    most = most <= 128 ? most : 255;
    uint32_t blocks = FILE_SIZE / (most * (uint32_t)k->phases.p[phase].threads);
    return blocks > MOST_BLOCKS ? MOST_BLOCKS : blocks ? blocks : 1;
}

static void declare(struct gen *g, uint32_t phase, const char *name)
{
    uint32_t args = arguments(g->k), threads = (uint32_t)g->k->phases.p[phase].threads;
    bool fault = !g->entry || back_traps(g->k);
    LLVMTypeRef global = LLVMPointerTypeInContext(g->cx, 1), none = LLVMVoidTypeInContext(g->cx);
    LLVMTypeRef *type = xcalloc(args + 1, sizeof *type);
    for (uint32_t i = 0; i <= args; i++)
        type[i] = global;
    g->fn = LLVMAddFunction(g->m, name, LLVMFunctionType(none, type, args + fault, false));
    free(type);
    LLVMSetFunctionCallConv(g->fn, KERNEL_CONVENTION);
    enum_attribute(g, (unsigned)LLVMAttributeFunctionIndex, "nounwind", 0);
    gen_attribute(g, g->fn, "denormal-fp-math-f32", "preserve-sign,preserve-sign");
    char words[32];
    snprintf(words, sizeof words, "%u,1,1", threads);
    gen_attribute(g, g->fn, "nvvm.reqntid", words);
    annotate(g, "reqntidx", threads);
    annotate(g, "reqntidy", 1);
    annotate(g, "reqntidz", 1);
    uint32_t blocks = blocks_wanted(g->k, phase);
    snprintf(words, sizeof words, "%u", blocks);
    gen_attribute(g, g->fn, "nvvm.minctasm", words);
    annotate(g, "minctasm", blocks);
    for (uint32_t i = 0; i < args + fault; i++) {
        const struct lo_buffer *b = i < args ? &g->k->buffers.p[i + 1] : NULL;
        enum_attribute(g, i + 1, "align", b ? 256 : 8);
        if (!b || b->written)
            continue;
        enum_attribute(g, i + 1, "noalias", 0);
        enum_attribute(g, i + 1, "readonly", 0);
    }
    g->fault = fault ? LLVMGetParam(g->fn, args) : NULL;
}

static void entry(struct gen *g, const char *symbol, uint32_t phase)
{
    const struct lo_phase *p = &g->k->phases.p[phase];
    char name[300];
    if (g->entry)
        snprintf(name, sizeof name, "%.290s", g->entry[phase]);
    else
        snprintf(name, sizeof name, "%.260s_p%u", symbol, phase);
    declare(g, phase, name);
    LLVMPositionBuilderAtEnd(g->b, gen_new_block(g, "entry"));
    gen_lines_function(g, name);
    place_buffers(g, phase, name);
    g->value[p->chunk] =
        gen_widen(g, special_register(g, "llvm.nvvm.read.ptx.sreg.ctaid.x", p->chunks));
    g->value[p->thread] =
        gen_widen(g, special_register(g, "llvm.nvvm.read.ptx.sreg.tid.x", p->threads));
    gen_block(g, p->body);
    LLVMBuildRetVoid(g->b);
}

static void nvptx_kernel(struct gen *g, const char *symbol)
{
    for (uint32_t i = 0; i < g->k->phases.n; i++)
        entry(g, symbol, i);
}

/* A loop over rows or tiles, with results in each trip: LLVM would step a pointer for every buffer
 * from trip to trip, which are more registers than the multiplications are worth. Of an index that
 * comes by assembly it knows nothing. */
static LLVMValueRef nvptx_index(struct gen *g, const struct lo_insn *in, LLVMValueRef i)
{
    struct nvptx_trip trip = {0};
    nvptx_trip(g->k, in->body, &trip);
    if (!trip.stores || !trip.waits || LLVMTypeOf(i) != g->i32)
        return i;
    return nvptx_asm(g, NVPTX_PURE, g->i32, "mov.u32 $0, $1;", "=r,r", &i, 1);
}

/* The assembler likes to put trips of a loop beside each other, which hides waiting. Where one trip
 * reads much already, it is told not to: the registers would not do. */
static void nvptx_loop(struct gen *g, const struct lo_insn *in, LLVMValueRef branch)
{
    enum { MUCH = 16 };
    struct nvptx_trip trip = {0};
    nvptx_trip(g->k, in->body, &trip);
    if (trip.reads < MUCH)
        return;
    static const char key[] = "llvm.loop.unroll.disable";
    LLVMMetadataRef word = LLVMMDStringInContext2(g->cx, key, sizeof key - 1);
    LLVMMetadataRef self =
        LLVMTemporaryMDNode(g->cx, NULL, 0); /* a loop's node begins with itself */
    LLVMMetadataRef part[2] = {self, LLVMMDNodeInContext2(g->cx, &word, 1)};
    LLVMMetadataRef node = LLVMMDNodeInContext2(g->cx, part, 2);
    LLVMMetadataReplaceAllUsesWith(self, node);
    LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(g->cx, "llvm.loop", 9),
                    LLVMMetadataAsValue(g->cx, node));
}

const struct gen_machine gen_nvptx = {.kernel = nvptx_kernel,
                                      .load = nvptx_load,
                                      .store = nvptx_store,
                                      .gpu = nvptx_gpu,
                                      .op = nvptx_op,
                                      .bit = nvptx_bit,
                                      .cast = nvptx_cast,
                                      .any = nvptx_any,
                                      .index = nvptx_index,
                                      .loop = nvptx_loop};
