/* Exported functions as objects: for the CPU each a routine that calls its graph's kernels in
 * order; for a GPU the PTX of all as constant data. What an image says of a graph (launches, their
 * arguments, phases) is all that is needed: nothing of the runtime is linked. */
#include "common.h"
#include "exec/exec.h"
#include "pack/pack.h"

/* A launch's kernel of a level, phase by phase. */
struct launch {
    const struct nn_launch_rec *rec;
    const struct nn_phase_rec *phase;
    const struct nn_arg_rec *arg;
};

static struct launch launch_of(const struct nn_image *i, const struct nn_graph_rec *g, uint32_t l)
{
    const struct nn_launch_rec *r =
        (const struct nn_launch_rec *)nn_image_at(i, g->launches_at) + l;
    return (struct launch){r, nn_image_at(i, r->phases_at), nn_image_at(i, r->args_at)};
}

/* ---- names ---- */

const char *const *const *pack_entries(const struct pack_kernels *k, struct arena *mem)
{
    const struct nn_image *i = k->gpu->image;
    const char ***entry = ARENA_ARRAY(mem, const char **, k->gpu->kernels);
    for (uint32_t f = 0; f < k->n; f++) {
        const struct nn_graph_rec *g = pack_graph(i, k->fn[f].graph);
        uint32_t entries = 0, at = 0;
        for (uint32_t l = 0; l < g->launch_count; l++)
            entries += launch_of(i, g, l).rec->phase_count;
        for (uint32_t l = 0; l < g->launch_count; l++) {
            struct launch x = launch_of(i, g, l);
            const char **name = ARENA_ARRAY(mem, const char *, x.rec->phase_count);
            for (uint32_t p = 0; p < x.rec->phase_count; p++, at++)
                name[p] =
                    entries == 1 ? k->fn[f].name : arena_printf(mem, "%s_%u", k->fn[f].name, at);
            entry[x.rec->kernel] = name;
        }
    }
    return (const char *const *const *)entry;
}

void pack_kernels_names(const struct pack_kernels *k, struct arena *mem, pack_names *out)
{
    static const char *const own[] = {"load", "unload", "run", "gpu", "ptx"};
    static const char *const of[] = {"stage", "chunks", "launch"};
    for (uint32_t f = 0; f < k->n; f++) {
        vec_push(out, k->fn[f].name);
        for (size_t i = 0; i < COUNT(of); i++)
            vec_push(out, arena_printf(mem, "%s_%s", k->fn[f].name, of[i]));
    }
    for (size_t i = 0; i < COUNT(own); i++)
        vec_push(out, arena_printf(mem, "%s_%s", k->prefix, own[i]));
}

/* ---- faults ---- */

bool pack_faults(const struct pack_level *l, const struct nn_graph_rec *g)
{
    const struct nn_launch_rec *r = nn_image_at(l->image, g->launches_at);
    bool any = false;
    for (uint32_t i = 0; i < g->launch_count; i++)
        any |= back_traps(l->kernel[r[i].kernel]);
    return any;
}

static void name_lines(const struct pack_level *l)
{
    const struct nn_origin_rec *o = nn_image_at(l->image, l->image->origins_at);
    int32_t *line = xcalloc(l->image->origin_count + 1u, sizeof *line);
    for (uint32_t i = 0; i < l->image->origin_count; i++)
        line[i] = o[i].line ? (int32_t)o[i].line : 1;
    for (size_t i = 0; i < l->kernels; i++)
        back_trap_codes(l->kernel[i], line);
    free(line);
}

void pack_kernels_prepare(const struct pack_kernels *k)
{
    if (k->cpu)
        name_lines(k->cpu);
    if (k->gpu)
        name_lines(k->gpu);
}

/* ---- objects ---- */

/* Where an argument is: one of the function's parameters, or in its scratch. */
static struct back_place place(const struct pack_export *x, const struct nn_image *i,
                               const struct nn_graph_rec *g, const struct nn_arg_rec *a)
{
    bool out = a->space == NN_SPACE_OUTPUT;
    if (a->space == NN_SPACE_ARENA)
        return (struct back_place){-1, a->offset};
    CHECK(out || a->space == NN_SPACE_INPUT, "pack: %s reads what lasts", x->name);
    const struct nn_value_rec *v = nn_image_at(i, out ? g->outputs_at : g->inputs_at);
    for (uint32_t n = out ? x->inputs : 0; n < x->values; n++)
        if (!strcmp(x->value[n].of, nn_image_text(i, v[a->offset].name)))
            return (struct back_place){(int32_t)n, 0};
    BUG("pack: %s has no parameter for an argument", x->name);
}

static void add_routine(struct back_object *o, const struct pack_level *l,
                        const struct pack_export *x, struct arena *mem)
{
    const struct nn_graph_rec *g = pack_graph(l->image, x->graph);
    VEC(struct back_stage) stage = {0};
    for (uint32_t n = 0; n < g->launch_count; n++) {
        struct launch a = launch_of(l->image, g, n);
        struct back_place *p = ARENA_ARRAY(mem, struct back_place, a.rec->arg_count);
        for (uint32_t k = 0; k < a.rec->arg_count; k++)
            p[k] = place(x, l->image, g, &a.arg[k]);
        for (uint32_t f = 0; f < a.rec->phase_count; f++) {
            struct back_stage s = {l->kernel[a.rec->kernel]->name, (int32_t)f, a.phase[f].chunks,
                                   a.rec->arg_count, p};
            vec_push(&stage, s);
        }
    }
    struct back_routine r = {.symbol = x->name,
                             .params = x->values,
                             .stages = stage.n,
                             .stage = stage.p,
                             .own_at = nn_round_up(g->arena_bytes, 64),
                             .faults = pack_faults(l, g)};
    back_object_routine(o, &r);
    vec_free(&stage);
}

static void add_file(const struct pack_kernels *k, struct arena *mem, const char *part,
                     enum back_form form, struct text bytes, const pack_names *symbols,
                     pack_files *out)
{
    struct pack_file f = {.name =
                              arena_printf(mem, "%s%s.%s", k->prefix, part, pack_extension(form)),
                          .bytes = bytes,
                          .symbol = arena_dup(mem, symbols->p, symbols->n * sizeof *symbols->p),
                          .symbols = symbols->n};
    vec_push(out, f);
}

/* The functions, and the PTX. Before the kernels become code: that changes them. */
static bool routine_object(const struct pack_kernels *k, enum back_form form, struct arena *mem,
                           pack_files *out, char **message)
{
    pack_names symbols = {0};
    struct text bytes = {0};
    struct back_object *o = back_object_new(k->base, k->prefix, message);
    if (!o)
        return false;
    for (uint32_t f = 0; k->cpu && f < k->n; f++) {
        add_routine(o, k->cpu, &k->fn[f], mem);
        vec_push(&symbols, k->fn[f].name);
        vec_push(&symbols, arena_printf(mem, "%s_stage", k->fn[f].name));
    }
    if (k->gpu) {
        const char *ptx = arena_printf(mem, "%s_ptx", k->prefix);
        back_object_bytes(o, ptx, k->gpu->code->p, k->gpu->code->n + 1);
        back_object_export(o, ptx);
        vec_push(&symbols, ptx);
    }
    bool ok = back_object_emit(o, form, &bytes, message);
    back_object_free(o);
    if (ok)
        add_file(k, mem, "", form, bytes, &symbols, out);
    vec_free(&symbols);
    return ok;
}

static bool kernel_object(const struct pack_kernels *k, enum back_form form, struct arena *mem,
                          pack_files *out, char **message)
{
    const struct pack_level *l = k->cpu;
    pack_names symbols = {0};
    struct text bytes = {0};
    for (size_t i = 0; i < l->kernels; i++)
        vec_push(&symbols, l->kernel[i]->name);
    bool ok = back_emit(l->target, l->kernel, l->kernels, form, &bytes, message);
    if (ok)
        add_file(k, mem, arena_printf(mem, ".%s", l->target->name), form, bytes, &symbols, out);
    vec_free(&symbols);
    return ok;
}

/* Under names that meet no others in a program. */
static void name_kernels(const struct pack_kernels *k)
{
    const char *start = k->fn[0].name;
    for (size_t i = 0; i < k->cpu->kernels; i++) {
        struct lo_kernel *x = k->cpu->kernel[i];
        if (!strchr(x->name, '.')) /* else named before, for another form */
            x->name = arena_printf(x->mem, "%s.%s.%s", k->prefix, start, x->name);
    }
}

bool pack_kernels_objects(const struct pack_kernels *k, enum back_form form, struct arena *mem,
                          pack_files *out, char **message)
{
    if (k->cpu)
        name_kernels(k);
    return routine_object(k, form, mem, out, message) &&
           (!k->cpu || kernel_object(k, form, mem, out, message));
}
