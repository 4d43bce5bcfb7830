/* The story of a compile: text to front, front to graphs, graphs through the passes to clusters,
 * loops, a program, machine code, an image. */
#include "common.h"
#include "nnc/nnc.h"
#include "pack/pack.h"
#include "pass/pass.h"

#define CACHE_BYTES ((uint64_t)256 << 20)

struct front *nnc_front(struct diag *d, const struct nnc_options *o)
{
    VEC(struct front_define) define = {0};
    for (uint32_t i = 0; i < o->define.n; i++) {
        if (!o->define.p[i].name) {
            fprintf(stderr, "nnc: -D %s: NAME=VALUE is wanted\n", o->define.p[i].value);
            exit(EXIT_USAGE);
        }
        vec_push(&define, ((struct front_define){o->define.p[i].name, o->define.p[i].value}));
    }
    struct front_options fo = {.include = o->include.p,
                               .include_count = o->include.n,
                               .define = define.p,
                               .define_count = define.n,
                               .model = o->model,
                               .batch = o->batch > 0 ? o->batch : 0,
                               .epochs = o->epochs,
                               .steps = o->steps,
                               .seed = o->seed};
    struct front *f = front_open(d, vec_last(&o->args), &fo);
    vec_free(&define);
    if (f && !front_check(f)) {
        front_close(f);
        f = NULL;
    }
    diag_print(d, stderr);
    return f;
}

bool nnc_compile_begin(struct nnc_compiled *c, struct diag *d, const struct nnc_options *o,
                       const struct target *t, const char *name)
{
    t = t ? t : nnc_target(o);
    if (!t)
        return false;
    *c = (struct nnc_compiled){.diag = d, .target = t, .m = ir_module_new(name, d)};
    /* A NaN is found behind a launch: to name the operator each has a launch of its own. */
    c->policy = o->policy ? o->policy : o->check_nan ? "none" : "greedy";
    c->program = program_new(c->m);
    program_for(c->program, t);
    c->quiet = o->quiet;
    if (o->budget)
        nnc_parse_bytes(o->budget, &c->budget); /* options.c has checked it */
    return true;
}

static struct low_launches *lower(struct nnc_compiled *c, struct ir_graph *g, bool code)
{
    struct fuse_plan *plan = fuse_graph(g, c->target, c->policy, c->gemm);
    struct low_launches *l = code ? lower_plan(plan) : lower_arguments(plan);
    if (code)
        nnc_note_matrices(c, plan);
    fuse_free(plan);
    return l;
}

void nnc_add_graph(struct nnc_compiled *c, struct program *p, struct ir_graph *g, bool code)
{
    struct low_launches *part = g->part ? lower(c, g->part, code) : NULL;
    program_add(p, g, part, lower(c, g, code));
}

void nnc_compile_graph(struct nnc_compiled *c, struct ir_graph *g)
{
    pass_pipeline(g);
    if (c->budget)
        vec_push(&c->waiting, g);
    else
        nnc_add_graph(c, c->program, g, true);
}

bool nnc_compile_fit(struct nnc_compiled *c)
{
    if (c->waiting.n && !nnc_budget_fit(c, c->waiting.p, c->waiting.n))
        return false;
    for (uint32_t i = 0; i < c->waiting.n; i++)
        nnc_add_graph(c, c->program, c->waiting.p[i], true);
    CHECK(!c->waiting.n || c->over || program_peak(program_memory(c->program)) <= c->budget,
          "the program takes more than the budget that its plans fit");
    c->waiting.n = 0;
    nnc_warn_matrices(c);
    return true;
}

static bool refused(char *message)
{
    fprintf(stderr, "nnc: %s\n", message ? message : "LLVM failed");
    free(message);
    return false;
}

/* The functions of a CPU's kernels. */
static bool link_functions(struct nnc_compiled *c, struct lo_kernel *const *kernels, size_t n)
{
    char *message = NULL;
    c->kernel = xcalloc(n, sizeof *c->kernel);
    c->jit = back_jit_new(c->target, &message);
    if (c->jit && c->store.find)
        back_jit_store(c->jit, &c->store);
    return (c->jit && back_jit_add(c->jit, kernels, n, c->kernel, &message)) || refused(message);
}

/* Kernels of a GPU are found by name: equal ones have one. */
static void name_symbols(struct lo_kernel *const *kernels, size_t n)
{
    const char **symbol = xcalloc(n, sizeof *symbol);
    back_symbols(kernels, n, symbol);
    for (size_t i = 0; i < n; i++)
        kernels[i]->name = symbol[i];
    free(symbol);
}

/* A GPU's kernels as one text. */
static bool link_text(struct nnc_compiled *c, struct lo_kernel *const *kernels, size_t n)
{
    char *message = NULL;
    struct back_lines lines = program_lines(c->program);
    uint64_t key[2];
    back_key(c->target, kernels, n, key);
    key[1] ^= nn_hash(c->image, c->image->bytes); /* the lines are in the text */
    bool stored = c->store.find && c->store.find(c->store.user, key, &c->ptx);
    if (!stored && !back_emit_lines(c->target, kernels, n, BACK_ASM, &lines, &c->ptx, &message))
        return refused(message);
    if (!stored && c->store.keep)
        c->store.keep(c->store.user, key, c->ptx.p, c->ptx.n);
    c->code = (struct nn_code){c->ptx.p, c->ptx.n, c->target->name, NULL};
    return true;
}

bool nnc_link(struct nnc_compiled *c)
{
    size_t n;
    CHECK(!c->waiting.n, "graphs wait for nnc_compile_fit");
    struct lo_kernel *const *kernels = program_kernels(c->program, &n);
    bool cpu = c->target->kind == TARGET_CPU;
    if (!cpu)
        name_symbols(kernels, n);
    c->image = program_image(c->program);
    c->cache = pack_cache_open(NNC_VERSION, CACHE_BYTES);
    if (c->cache)
        c->store = (struct back_store){pack_cache_find, pack_cache_keep, c->cache};
    return cpu ? link_functions(c, kernels, n) : link_text(c, kernels, n);
}

void nnc_compile_end(struct nnc_compiled *c)
{
    free(c->image);
    vec_free(&c->waiting);
    vec_free(&c->matrices);
    free(c->kernel);
    text_free(&c->ptx);
    back_jit_free(c->jit);
    pack_cache_close(c->cache);
    program_free(c->program);
    ir_module_free(c->m);
    *c = (struct nnc_compiled){0};
}
