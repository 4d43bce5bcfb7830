/* The header of exported functions: what each takes and gives, its sizes, how to call it on a CPU
 * and how to launch it on a GPU. It needs no other header of ours. */
#include "common.h"
#include "exec/exec.h"
#include "pack/pack.h"

#include <inttypes.h>

struct header {
    const struct pack_kernels *k;
    struct arena *mem;
    struct text *out;
    const char *const *const *entry;
    uint32_t most_args; /* of one entry */
    struct text table;  /* of the entries, in C */
    uint32_t entries;
};

static const struct nn_launch_rec *launches(const struct pack_level *l,
                                            const struct nn_graph_rec *g)
{
    return nn_image_at(l->image, g->launches_at);
}

/* ---- what a function is ---- */

static void value_list(struct header *h, const struct pack_value *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        char t[200] = "";
        nn_type_text(t, sizeof t, v[i].dtype, v[i].rank, v[i].dim);
        text_printf(h->out, "%s%s: %s", i ? ", " : "", v[i].name, t);
    }
}

/* A text of the source between comment marks: nothing in it ends the comment. */
static void doc_lines(struct text *out, const char *doc)
{
    text_printf(out, " * ");
    for (const char *c = doc; *c; c++)
        if (*c == '\n')
            text_printf(out, "\n * ");
        else
            text_printf(out, c[0] == '*' && c[1] == '/' ? "* " : "%c", *c);
    text_printf(out, "\n");
}

static void constant(struct header *h, const struct pack_export *x, const char *name, uint64_t v,
                     const char *what)
{
    char left[160];
    snprintf(left, sizeof left, "#define %s_%s %" PRIu64, pack_upper(h->mem, x->name), name, v);
    text_printf(h->out, "%-44s /* %s */\n", left, what);
}

static const char *params(struct header *h, const struct pack_export *x, const char *first,
                          const char *last)
{
    const char *s = first;
    for (uint32_t i = 0; i < x->values; i++)
        s = arena_printf(h->mem, "%s%s%s%s *%s", s, *s ? ", " : "", i < x->inputs ? "const " : "",
                         pack_ctype(x->value[i].dtype), x->value[i].name);
    return arena_printf(h->mem, "%s, %s", s, last);
}

static void sizes(struct header *h, const struct pack_export *x)
{
    for (uint32_t i = 0; i < x->values; i++) {
        uint64_t n = 1;
        for (uint32_t k = 0; k < x->value[i].rank; k++)
            n *= (uint64_t)x->value[i].dim[k];
        constant(h, x, arena_printf(h->mem, "%s_SIZE", pack_upper(h->mem, x->value[i].name)), n,
                 "elements");
    }
}

/* ---- on the CPU ---- */

static void cpu_function(struct header *h, const struct pack_export *x)
{
    const struct pack_level *l = h->k->cpu;
    const struct nn_graph_rec *g = pack_graph(l->image, x->graph);
    uint64_t shared = nn_round_up(g->arena_bytes, 64), own = nn_round_up(g->scratch_bytes, 64);
    const char *result = pack_faults(l, g) ? "int32_t" : "void";
    uint32_t stages = 0;
    constant(h, x, "SCRATCH_BYTES", shared + own, "of scratch");
    pack_prototype(h->out, arena_printf(h->mem, "%s %s", result, x->name),
                   params(h, x, "", "void *scratch"), ";");
    text_printf(h->out, "\n/* The same for threads of your own. */\n");
    for (uint32_t i = 0; i < g->launch_count; i++)
        stages += launches(l, g)[i].phase_count;
    constant(h, x, "STAGES", stages, "one after the other");
    constant(h, x, "SHARED_BYTES", shared, "of scratch, for all threads");
    constant(h, x, "OWN_BYTES", own, "more for each thread");
    text_printf(h->out, "static const int64_t %s_chunks[%s_STAGES] = {", x->name,
                pack_upper(h->mem, x->name));
    for (uint32_t i = 0, at = 0; i < g->launch_count; i++) {
        const struct nn_phase_rec *p = nn_image_at(l->image, launches(l, g)[i].phases_at);
        for (uint32_t f = 0; f < launches(l, g)[i].phase_count; f++, at++)
            text_printf(h->out, "%s%" PRId64, at ? ", " : "", p[f].chunks);
    }
    text_printf(h->out, "};\n");
    pack_prototype(
        h->out, arena_printf(h->mem, "%s %s_stage", result, x->name),
        params(h, x, "int32_t stage, int64_t first, int64_t last", "void *shared, void *own"), ";");
}

/* ---- on a GPU ---- */

/* The parameter that an argument is, as an expression. */
static const char *argument(struct header *h, const struct pack_export *x,
                            const struct nn_graph_rec *g, const struct nn_arg_rec *a)
{
    bool out = a->space == NN_SPACE_OUTPUT;
    const struct nn_value_rec *v =
        nn_image_at(h->k->gpu->image, out ? g->outputs_at : g->inputs_at);
    if (a->space == NN_SPACE_ARENA)
        return a->offset ? arena_printf(h->mem, "scratch + %" PRIu64, a->offset) : "scratch";
    for (uint32_t n = out ? x->inputs : 0; n < x->values; n++)
        if (!strcmp(x->value[n].of, nn_image_text(h->k->gpu->image, v[a->offset].name)))
            return x->value[n].name;
    BUG("pack: %s has no parameter for an argument", x->name);
}

static void entry_lines(struct header *h, const struct pack_export *x, const struct nn_graph_rec *g,
                        void (*line)(struct header *, const struct pack_export *,
                                     const struct nn_graph_rec *, const struct nn_launch_rec *,
                                     uint32_t phase, const char *name))
{
    for (uint32_t i = 0; i < g->launch_count; i++) {
        const struct nn_launch_rec *r = &launches(h->k->gpu, g)[i];
        for (uint32_t f = 0; f < r->phase_count; f++)
            line(h, x, g, r, f, h->entry[r->kernel][f]);
    }
}

static bool traps(const struct header *h, const struct nn_launch_rec *r)
{
    return back_traps(h->k->gpu->kernel[r->kernel]);
}

/* In the comment: softmax(x, out): grid 64, block 256, 0 bytes of dynamic shared memory. */
static void describe(struct header *h, const struct pack_export *x, const struct nn_graph_rec *g,
                     const struct nn_launch_rec *r, uint32_t phase, const char *name)
{
    const struct nn_phase_rec *p =
        (const struct nn_phase_rec *)nn_image_at(h->k->gpu->image, r->phases_at) + phase;
    const struct nn_arg_rec *a = nn_image_at(h->k->gpu->image, r->args_at);
    text_printf(h->out, " *   %s(", name);
    for (uint32_t k = 0; k < r->arg_count; k++)
        text_printf(h->out, "%s%s", k ? ", " : "", argument(h, x, g, &a[k]));
    text_printf(h->out, "%s): grid %" PRId64 ", block %u, %u bytes of dynamic shared memory\n",
                traps(h, r) ? ", fault" : "", p->chunks, p->threads, p->shared);
}

static void launch_entry(struct header *h, const struct pack_export *x,
                         const struct nn_graph_rec *g, const struct nn_launch_rec *r,
                         uint32_t phase, const char *name)
{
    const struct nn_phase_rec *p =
        (const struct nn_phase_rec *)nn_image_at(h->k->gpu->image, r->phases_at) + phase;
    const struct nn_arg_rec *a = nn_image_at(h->k->gpu->image, r->args_at);
    uint32_t n = r->arg_count + traps(h, r);
    text_printf(h->out, "    if (!status) {\n        CUdeviceptr arg[] = {");
    for (uint32_t k = 0; k < r->arg_count; k++)
        text_printf(h->out, "%s%s", k ? ", " : "", argument(h, x, g, &a[k]));
    text_printf(h->out,
                "%s};\n        status = %s_run(gpu->entry[%u], %" PRId64 ", %u, %u, stream, "
                "arg, %u);\n    }\n",
                traps(h, r) ? ", fault" : "", h->k->prefix, h->entries, p->chunks, p->threads,
                p->shared, n);
    text_printf(&h->table, "        {\"%s\", %u},\n", name, p->shared);
    h->most_args = n > h->most_args ? n : h->most_args;
    h->entries++;
}

/* Some launch reads the input. */
static bool reads(const struct nn_image *i, const struct nn_graph_rec *g, const char *input)
{
    const struct nn_value_rec *v = nn_image_at(i, g->inputs_at);
    for (uint32_t k = 0; k < g->input_count; k++)
        if (!strcmp(nn_image_text(i, v[k].name), input))
            return true;
    return false;
}

static void launch_function(struct header *h, struct text *out, const struct pack_export *x)
{
    const struct nn_graph_rec *g = pack_graph(h->k->gpu->image, x->graph);
    struct text *file = h->out;
    const char *s = arena_printf(h->mem, "const struct %s_gpu *gpu, CUstream stream", h->k->prefix);
    bool scratch = g->arena_bytes, fault = pack_faults(h->k->gpu, g);
    for (uint32_t i = 0; i < x->values; i++)
        s = arena_printf(h->mem, "%s, CUdeviceptr %s", s, x->value[i].name);
    s = arena_printf(h->mem, "%s%s%s", s, scratch ? ", CUdeviceptr scratch" : "",
                     fault ? ", CUdeviceptr fault" : "");
    h->out = out;
    text_printf(out, "\n/* %s:\n", x->name);
    entry_lines(h, x, g, describe);
    text_printf(out, " */\n");
    if (scratch)
        constant(h, x, "GPU_SCRATCH_BYTES", g->arena_bytes, "of scratch on the GPU");
    pack_prototype(out, arena_printf(h->mem, "static inline CUresult %s_launch", x->name), s,
                   "\n{\n    CUresult status = CUDA_SUCCESS;");
    for (uint32_t i = 0; i < x->inputs; i++)
        if (!reads(h->k->gpu->image, g, x->value[i].of))
            text_printf(out, "    (void)%s; /* not needed */\n", x->value[i].name);
    entry_lines(h, x, g, launch_entry);
    text_printf(out, "    return status;\n}\n");
    h->out = file;
}

/* Of PTX written for one architecture only, else for it and all later ones. */
static const char *which_gpus(struct header *h)
{
    const char *name = h->k->gpu->target->name;
    bool one = name[strlen(name) - 1] == 'a';
    return arena_printf(h->mem, one ? "%s" : "%s or later", name);
}

static void gpu_begin(struct header *h)
{
    const char *p = h->k->prefix;
    text_printf(
        h->out,
        "\n/* On a GPU, %s, for programs that include <cuda.h> before. %s_ptx is the code,\n"
        " * in lib%s.a; --emit ptx,cubin writes it as files. Pointers are to the GPU's memory and\n"
        " * multiples of 256, as cuMemAlloc gives them. A launch returns when it is queued. What "
        "an\n"
        " * entry takes in a cuLaunchKernel of your own stands above each launch; where there are\n"
        " * several they run in that order. */\n"
        "extern const char %s_ptx[];\n"
        "#ifdef CUDA_VERSION\n"
        "struct %s_gpu {\n    CUmodule module;\n    CUfunction entry[%u];\n};\n\n",
        which_gpus(h), p, p, p, p, h->entries);
    text_printf(h->out,
                "static inline CUresult %s_unload(struct %s_gpu *gpu)\n{\n"
                "    return cuModuleUnload(gpu->module);\n}\n\n"
                "/* Into the current context; `image`: the PTX or a cubin of it. */\n"
                "static inline CUresult %s_load(struct %s_gpu *gpu, const void *image)\n{\n"
                "    static const struct {\n        const char *name;\n        int shared;\n"
                "    } entry[] = {\n%s    };\n"
                "    CUresult status = cuModuleLoadData(&gpu->module, image);\n"
                "    if (status)\n        return status;\n"
                "    for (int i = 0; !status && i < %u; i++) {\n"
                "        status = cuModuleGetFunction(&gpu->entry[i], gpu->module, "
                "entry[i].name);\n"
                "        if (!status && entry[i].shared)\n"
                "            status = cuFuncSetAttribute(\n"
                "                gpu->entry[i], CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,\n"
                "                entry[i].shared);\n"
                "    }\n"
                "    if (status)\n        cuModuleUnload(gpu->module);\n"
                "    return status;\n}\n\n",
                p, p, p, p, h->table.p, h->entries);
    text_printf(h->out,
                "static inline CUresult %s_run(CUfunction f, unsigned grid, unsigned block, "
                "unsigned shared,\n    CUstream stream, CUdeviceptr *arg, int n)\n{\n"
                "    void *param[%u];\n"
                "    for (int i = 0; i < n; i++) {\n"
                "        if (arg[i] %% 256)\n            return CUDA_ERROR_MISALIGNED_ADDRESS;\n"
                "        param[i] = &arg[i];\n    }\n"
                "    return cuLaunchKernel(f, grid, 1, 1, block, 1, 1, shared, stream, param, "
                "NULL);\n}\n",
                p, h->most_args ? h->most_args : 1);
}

static void gpu_part(struct header *h)
{
    struct text functions = {0};
    h->entry = pack_entries(h->k, h->mem);
    for (uint32_t f = 0; f < h->k->n; f++)
        launch_function(h, &functions, &h->k->fn[f]);
    gpu_begin(h);
    text_write(h->out, functions.p, functions.n);
    text_printf(h->out, "#endif\n");
    text_free(&functions);
    text_free(&h->table);
}

/* ---- all ---- */

static void head(struct header *h)
{
    const struct pack_kernels *k = h->k;
    bool faults = false;
    for (uint32_t f = 0; f < k->n; f++) {
        const struct pack_level *l = k->cpu ? k->cpu : k->gpu;
        faults |= pack_faults(l, pack_graph(l->image, k->fn[f].graph));
    }
    text_printf(h->out,
                "/* %s.h: functions of %s. Written by nnc %s; C11 and C++.\n"
                " *\n"
                " * Link with lib%s.a and libm; nothing else is needed. Arrays are dense and\n"
                " * row-major, f16 and bf16 as their bits in uint16_t, bool as bytes 0 and 1, a\n"
                " * scalar a pointer to one. Results overlap no other array.\n",
                k->prefix, k->source, k->version, k->prefix);
    if (k->cpu)
        text_printf(
            h->out,
            " *\n"
            " * On the CPU (level %s) a call runs in the calling thread and may run in any number\n"
            " * of them. `scratch` is memory to work in, its content never matters: so many bytes\n"
            " * as its constant says, a multiple of 64 as address, NULL where it says 0. For\n"
            " * threads of your own each function comes in stages too: stage 0, 1, … one after "
            "the\n"
            " * other; of a stage the chunks [0, chunks), in any order and on any threads, each\n"
            " * thread with an `own` that no other uses. The result has the same bits either "
            "way.\n",
            k->cpu->target->name);
    if (faults)
        text_printf(
            h->out,
            " *\n"
            " * A function whose result is an int32_t gives 0, or the line of %s where an index\n"
            " * was outside; its results are then not to be used. On a GPU `fault` is 16 bytes in\n"
            " * its memory, zero before: there the line (int32_t) is left, and behind it, at byte\n"
            " * 8, the index (int64_t).\n",
            k->source);
    text_printf(h->out, " */\n");
}

void pack_kernels_header(const struct pack_kernels *k, struct text *out)
{
    struct header h = {.k = k, .mem = arena_new(), .out = out};
    const char *guard = pack_upper(h.mem, k->prefix);
    head(&h);
    text_printf(out,
                "#ifndef NNC_%s_H\n#define NNC_%s_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n"
                "#ifdef __cplusplus\nextern \"C\" {\n#endif\n",
                guard, guard);
    for (uint32_t f = 0; f < k->n; f++) {
        const struct pack_export *x = &k->fn[f];
        text_printf(out, "\n/* %s(", x->name);
        value_list(&h, x->value, x->inputs);
        text_printf(out, ") -> ");
        value_list(&h, x->value + x->inputs, x->values - x->inputs);
        text_printf(out, "\n");
        if (x->about)
            doc_lines(out, x->about);
        if (x->doc)
            doc_lines(out, x->doc);
        text_printf(out, " */\n");
        sizes(&h, x);
        if (k->cpu)
            cpu_function(&h, x);
    }
    if (k->gpu)
        gpu_part(&h);
    text_printf(out, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
    arena_free(h.mem);
}
