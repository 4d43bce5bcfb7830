/* nnc emit STAGE FILE: every stage of the compile as text. */
#include "front/tree.h"
#include "nnc/nnc.h"
#include "pass/pass.h"
#include <errno.h>

/* An exported function, or its gradient: `softmax`, `softmax.grad`. */
static const struct front_export *find_export(struct front *f, const char *name, bool *gradient)
{
    uint32_t n;
    const struct front_export *x = front_exports(f, &n);
    for (uint32_t i = 0; i < n; i++) {
        size_t length = strlen(x[i].name);
        *gradient = !strcmp(name + (strncmp(name, x[i].name, length) ? 0 : length), ".grad");
        if (!strncmp(name, x[i].name, length) && (!name[length] || *gradient))
            return &x[i];
    }
    return NULL;
}

static struct ir_graph *build(struct nnc_compiled *c, struct front *f, const struct nnc_options *o)
{
    static const char *const names[] = {"init", "step",      "eval",   "metrics",
                                        "grad", "grad-eval", "forward"};
    const struct front_train *t = front_train(f);
    const char *name = o->graph ? o->graph : t && t->present ? "step" : "forward";
    struct front_dim dim[NNC_DIMS];
    uint32_t dims = nnc_dims("emit", o, c->m->mem, dim);
    for (size_t i = 0; i < COUNT(names); i++)
        if (!strcmp(names[i], name))
            return front_build(f, c->m, (enum front_graph)i, name, 0, dim, dims);
    bool gradient;
    const struct front_export *x = find_export(f, name, &gradient);
    if (x)
        return front_build_export(f, c->m, x, name, 0, gradient);
    fprintf(stderr, "nnc emit: no graph is called %s\n", name);
    exit(EXIT_USAGE);
}

static bool emit_code(struct nnc_compiled *c, enum back_form form, struct text *out)
{
    size_t n;
    char *message = NULL;
    struct lo_kernel *const *k = program_kernels(c->program, &n);
    struct back_lines lines = program_lines(c->program);
    if (back_emit_lines(c->target, k, n, form, &lines, out, &message))
        return true;
    fprintf(stderr, "nnc: %s\n", message ? message : "LLVM failed");
    free(message);
    return false;
}

static void print_plan(struct fuse_plan *plan, struct text *out)
{
    fuse_print(plan, out);
    lower_print(plan, out);
    fuse_free(plan);
}

/* The graph and its part, then the clusters of each. */
static void print_fused(const struct nnc_compiled *c, struct ir_graph *g, struct text *out)
{
    struct fuse_plan *part = g->part ? fuse_graph(g->part, c->target, c->policy, c->gemm) : NULL;
    struct fuse_plan *plan = fuse_graph(g, c->target, c->policy, c->gemm);
    ir_print_graph(g, out);
    if (part)
        print_plan(part, out);
    print_plan(plan, out);
}

/* The stages after the front end, each a prefix of the same story. */
static bool emit_compiled(struct nnc_compiled *c, struct ir_graph *g, const char *stage,
                          struct text *out)
{
    if (!strcmp(stage, "graph")) {
        ir_print(c->m, out);
        return true;
    }
    if (!strcmp(stage, "fused")) {
        pass_pipeline(g);
        if (c->budget && !nnc_budget_fit(c, &g, 1))
            return false;
        print_fused(c, g, out);
        return true;
    }
    nnc_compile_graph(c, g);
    if (!nnc_compile_fit(c))
        return false;
    if (!strcmp(stage, "llvm"))
        return emit_code(c, BACK_LLVM, out);
    if (!strcmp(stage, "asm") || !strcmp(stage, "ptx"))
        return emit_code(c, BACK_ASM, out);
    size_t n;
    struct lo_kernel *const *k = program_kernels(c->program, &n);
    for (size_t i = 0; i < n; i++)
        lo_print(k[i], out);
    return true;
}

static bool emit(const char *stage, struct diag *d, const struct nnc_options *o, struct text *out)
{
    struct nnc_compiled c;
    struct front *f = nnc_front(d, o);
    bool ok = false;
    if (!f)
        return false;
    if (nnc_compile_begin(&c, d, o, NULL, "module")) {
        int bad = nnc_gemm(o, &c.gemm);
        if (bad)
            exit(bad);
        struct ir_graph *g = build(&c, f, o);
        ok = g && emit_compiled(&c, g, stage, out);
        nnc_compile_end(&c);
    }
    diag_print(d, stderr);
    front_close(f);
    return ok;
}

static bool emit_ast(struct diag *d, const char *path, struct text *out)
{
    size_t size;
    char *source = file_read(path, TREE_MAX_SOURCE, &size);
    if (!source) {
        diag_error(d, (struct loc){0}, "%s: %s", path, strerror(errno));
        return false;
    }
    struct arena *mem = arena_new();
    struct intern *names = intern_new();
    struct tree_file *t = front_parse(d, diag_add_file(d, path, source, size), names, mem);
    free(source);
    if (t)
        tree_print(t, out);
    intern_free(names);
    arena_free(mem);
    return t != NULL;
}

static bool has_stage(const struct target *t, const char *stage)
{
    if (t && !strcmp(stage, "ptx") && t->kind != TARGET_GPU) {
        fprintf(stderr, "nnc: %s has no PTX; give a GPU's level: --target sm_80\n", t->name);
        return false;
    }
    return t;
}

int cmd_emit(int argc, char **argv)
{
    static const char *const stages[] = {"ast", "graph", "fused", "loops", "llvm", "asm", "ptx"};
    struct nnc_options o;
    nnc_parse_options(&o, "emit", argc, argv,
                      "define include_opt model target gemm policy budget batch graph max", 2);
    const char *stage = o.args.p[0], *near = nearest_name(stage, stages, COUNT(stages));
    bool known = false;
    for (size_t i = 0; i < COUNT(stages); i++)
        known |= !strcmp(stage, stages[i]);
    if (!known)
        fprintf(stderr, "nnc emit: unknown stage %s%s%s\n", stage, near ? "; did you mean " : "",
                near ? near : "");
    if (!known || !has_stage(nnc_target(&o), stage)) {
        nnc_free_options(&o);
        return EXIT_USAGE;
    }
    struct text out = {0};
    struct diag *d = diag_new();
    bool ok = !strcmp(stage, "ast") ? emit_ast(d, o.args.p[1], &out) : emit(stage, d, &o, &out);
    diag_print(d, stderr);
    if (ok && out.p)
        fputs(out.p, stdout);
    text_free(&out);
    diag_free(d);
    nnc_free_options(&o);
    return ok ? 0 : EXIT_REFUSED;
}
