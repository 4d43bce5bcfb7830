/* The header: what the model is, its sizes as constants, its functions. */
#include "common.h"
#include "exec/exec.h"
#include "pack/pack.h"

#include <ctype.h>
#include <inttypes.h>

struct header {
    const struct pack_model *m;
    const struct nn_image *i; /* of the best level: names and shapes are alike on all */
    struct arena *mem;
    const char *upper; /* MLP, for constants */
    struct text *out;
};

const char *pack_upper(struct arena *mem, const char *s)
{
    char *u = arena_printf(mem, "%s", s);
    for (char *c = u; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    return u;
}

static void type_text(struct text *out, uint8_t dtype, uint8_t rank, const int64_t *dim)
{
    char t[200] = "";
    nn_type_text(t, sizeof t, (enum nn_dtype)dtype, rank, dim);
    text_printf(out, "%s", t);
}

/* ---- the comment at the head ---- */

/* `2*(seq + 1)//2 - 1`, as far as each part does something. */
static void extent_text(struct header *h, const struct nn_extent_rec *x)
{
    const char *size = nn_image_text(h->i, nn_image_slots(h->i)[x->slot - 1].name);
    size += strncmp(size, "dim.", 4) ? 0 : 4;
    bool grouped = x->over != 1 && x->plus;
    if (x->times != 1)
        text_printf(h->out, "%" PRId64 "*(", x->times);
    text_printf(h->out, grouped ? "(" : "");
    if (x->by != 1)
        text_printf(h->out, "%" PRId64 "*", x->by);
    text_printf(h->out, "%s", size);
    if (x->plus)
        text_printf(h->out, " %c %lld", x->plus < 0 ? '-' : '+', llabs((long long)x->plus));
    text_printf(h->out, grouped ? ")" : "");
    if (x->over != 1)
        text_printf(h->out, "//%" PRId64, x->over);
    if (x->times != 1)
        text_printf(h->out, ")");
    if (x->more)
        text_printf(h->out, " %c %lld", x->more < 0 ? '-' : '+', llabs((long long)x->more));
}

static void value_text(struct header *h, const struct nn_value_rec *v)
{
    if (!v->extents_at) {
        type_text(h->out, v->dtype, v->rank, v->dim);
        return;
    }
    const struct nn_extent_rec *x = nn_image_at(h->i, v->extents_at);
    text_printf(h->out, "%s[", nn_dtype_name((enum nn_dtype)v->dtype));
    for (uint32_t k = 0; k < v->rank; k++) {
        text_printf(h->out, k ? ", " : "");
        if (x[k].slot)
            extent_text(h, &x[k]);
        else
            text_printf(h->out, "%" PRId64, v->dim[k]);
    }
    text_printf(h->out, "]");
}

static void value_list(struct header *h, uint32_t at, uint32_t n)
{
    const struct nn_value_rec *v = nn_image_at(h->i, at);
    for (uint32_t k = 0; k < n; k++) {
        text_printf(h->out, "%s%s ", k ? ", " : "", nn_image_text(h->i, v[k].name));
        value_text(h, &v[k]);
    }
}

static void begin_line(struct header *h, const struct nn_graph_rec *g, const char *what)
{
    text_printf(h->out, " *   %-12s ", what);
    value_list(h, g->inputs_at, g->input_count);
    text_printf(h->out, " -> ");
}

/* What the step puts out beside its losses is for the training loop's log. */
static void step_line(struct header *h, const struct nn_graph_rec *g)
{
    const struct nn_value_rec *v = nn_image_at(h->i, g->outputs_at);
    const char *between = "";
    begin_line(h, g, "train_step");
    for (uint32_t k = 0; k < g->output_count; k++) {
        const char *name = nn_image_text(h->i, v[k].name);
        if (!pack_is_loss(name))
            continue;
        text_printf(h->out, "%s%s f32", between, name);
        between = ", ";
    }
    text_printf(h->out, "\n");
}

static void forward_line(struct header *h, const struct nn_graph_rec *g)
{
    begin_line(h, g, "forward");
    value_list(h, g->outputs_at, g->output_count);
    text_printf(h->out, "\n");
}

/* ` *   with past + seq from 2 to 1024`, of sizes that a call may not choose each by itself. */
static void ranges(struct header *h, const struct nn_graph_rec *g)
{
    const uint32_t *range = nn_image_at(h->i, g->ranges_at);
    for (uint32_t k = 0; k < g->range_count; k++) {
        const struct nn_rule_rec *r = nn_image_rules(h->i) + range[k];
        const char *name = nn_image_text(h->i, nn_image_slots(h->i)[r->slot].name);
        text_printf(h->out, " *   %-12s with %s from %" PRId64 " to %" PRId64 "\n", "",
                    name + strlen("dim."), r->least, r->most);
    }
}

static void shapes(struct header *h)
{
    const struct nn_graph_rec *step = pack_graph(h->i, "step");
    text_printf(
        h->out,
        " *\n * Arrays are dense and row-major, f16 and bf16 as their bits in uint16_t, bool "
        "as bytes 0 and 1:\n");
    if (step)
        step_line(h, step);
    const struct nn_graph_rec *forward = pack_graph(h->i, "forward");
    if (forward) {
        forward_line(h, forward);
        ranges(h, forward);
    }
}

static void parameters(struct header *h)
{
    const struct nn_slot_rec *s = nn_image_slots(h->i);
    bool any = false;
    for (uint32_t k = 0; k < h->i->slot_count; k++) {
        if (s[k].kind != NN_SLOT_PARAM && s[k].kind != NN_SLOT_STATE)
            continue;
        text_printf(h->out, "%s *   %-28s ", any ? "" : " *\n * Parameters and states:\n",
                    nn_image_text(h->i, s[k].name));
        type_text(h->out, s[k].dtype, s[k].rank, s[k].dim);
        text_printf(h->out, "\n");
        any = true;
    }
}

static void head(struct header *h)
{
    const struct pack_model *m = h->m;
    text_printf(h->out,
                "/* %s.h: the model %s of %s as a C library. Written by nnc %s; C11 and C++.\n"
                " *\n * Link with lib%s.a, libnnrt, libm and threads:\n"
                " *   cc prog.c -I DIR DIR/lib%s.a $(pkg-config --cflags --libs nnrt)\n *\n",
                m->prefix, m->name, m->source, m->version, m->prefix, m->prefix);
    text_printf(h->out, " * Levels in it, of which the processor chooses:");
    for (uint32_t k = 0; k < m->levels; k++)
        text_printf(h->out, " %s", m->level[k].target->name);
    text_printf(
        h->out,
        "\n *\n * A function that can fail returns a status, NN_OK being 0; %s_error has its "
        "text. Opening takes all\n * memory, the others take none but to read and write "
        "files. Contexts are independent of each other;\n * each is used by one thread at a "
        "time. nnrt.h says more, of the options above all.\n",
        m->prefix);
    shapes(h);
    parameters(h);
    text_printf(h->out, " */\n");
}

/* ---- constants ---- */

static void constant(struct header *h, const char *name, int64_t v, const char *what)
{
    char left[80];
    snprintf(left, sizeof left, "#define %s_%s %" PRId64, h->upper, name, v);
    text_printf(h->out, "%-40s /* %s */\n", left, what);
}

static void sample_size(struct header *h, const struct nn_value_rec *v, int64_t batch)
{
    int64_t count = (int64_t)(v->bytes / nn_dtype_size((enum nn_dtype)v->dtype));
    const char *name = pack_upper(h->mem, pack_identifier(h->mem, nn_image_text(h->i, v->name)));
    const char *macro = arena_printf(h->mem, "#define %s_%s_SIZE ", h->upper, name);
    if (!strstr(h->out->p, macro))
        constant(h, arena_printf(h->mem, "%s_SIZE", name), count / batch, "elements of one sample");
}

/* Elements of one sample of every input that has a batch in front. */
static void sample_sizes(struct header *h, uint32_t at, uint32_t n, int64_t batch)
{
    const struct nn_value_rec *v = nn_image_at(h->i, at);
    for (uint32_t k = 0; k < n; k++)
        if (v[k].rank && v[k].dim[0] == batch && batch)
            sample_size(h, &v[k], batch);
}

/* Whether the value is so many samples, and nothing else of it is chosen by a run. */
static bool by_samples(const struct header *h, const struct nn_graph_rec *g,
                       const struct nn_value_rec *v)
{
    const struct nn_extent_rec *x = v->extents_at ? nn_image_at(h->i, v->extents_at) : NULL;
    const struct nn_size_rec *z = nn_image_at(h->i, g->sizes_at);
    bool given = false;
    for (uint32_t k = 0; x && k < g->size_count; k++)
        given = given || (x[0].slot && x[0].slot == z[k].slot);
    if (!given || x[0].by != 1 || x[0].plus || x[0].over != 1)
        return false;
    for (uint32_t k = 1; k < v->rank; k++)
        if (x[k].slot)
            return false;
    return true;
}

static void forward_constants(struct header *h, const struct nn_graph_rec *g)
{
    const struct nn_size_rec *z = nn_image_at(h->i, g->sizes_at);
    for (uint32_t k = 0; k < g->size_count; k++) {
        const char *name =
            pack_upper(h->mem, pack_identifier(h->mem, nn_image_text(h->i, z[k].name)));
        constant(h, arena_printf(h->mem, "MAX_%s", name), z[k].most,
                 arena_printf(h->mem, "the largest %s of a forward call",
                              nn_image_text(h->i, z[k].name)));
        if (z[k].least > 1)
            constant(h, arena_printf(h->mem, "MIN_%s", name), z[k].least, "and the least");
    }
    for (int out = 0; out < 2; out++) {
        const struct nn_value_rec *v = nn_image_at(h->i, out ? g->outputs_at : g->inputs_at);
        for (uint32_t k = 0; k < (out ? g->output_count : g->input_count); k++)
            if (by_samples(h, g, &v[k]))
                sample_size(h, &v[k], v[k].dim[0]);
    }
}

/* The most of all levels. */
static void memory(struct header *h)
{
    uint64_t peak = 0, scratch = 0, params = 0;
    for (uint32_t k = 0; k < h->m->levels; k++) {
        const struct pack_level *l = &h->m->level[k];
        peak = l->peak > peak ? l->peak : peak;
        for (uint32_t g = 0; g < l->image->graph_count; g++) {
            uint64_t own = nn_round_up(nn_image_graphs(l->image)[g].scratch_bytes, 128);
            scratch = own > scratch ? own : scratch;
        }
    }
    for (uint32_t k = 0; k < h->i->slot_count; k++)
        if (nn_image_slots(h->i)[k].kind == NN_SLOT_PARAM)
            params += nn_image_slots(h->i)[k].bytes;
    constant(h, "PARAM_BYTES", (int64_t)params, "of the parameters");
    constant(h, "PEAK_BYTES", (int64_t)peak, "that a context takes, the parameters among them");
    constant(h, "SCRATCH_BYTES", (int64_t)scratch, "more for each thread");
}

static void constants(struct header *h)
{
    const struct nn_graph_rec *step = pack_graph(h->i, "step");
    text_printf(h->out, "\n");
    if (step) {
        constant(h, "BATCH", h->m->batch, "samples of a training step");
        sample_sizes(h, step->inputs_at, step->input_count, h->m->batch);
    }
    const struct nn_graph_rec *forward = pack_graph(h->i, "forward");
    if (forward)
        forward_constants(h, forward);
    memory(h);
}

/* ---- functions ---- */

static void metrics_struct(struct header *h)
{
    const struct nn_graph_rec *g = pack_graph(h->i, "metrics");
    if (!g)
        return;
    const struct nn_value_rec *v = nn_image_at(h->i, g->outputs_at);
    text_printf(h->out, "\nstruct %s_measured {\n", h->m->prefix);
    for (uint32_t k = 0; k < g->output_count; k++)
        text_printf(h->out, "    float %s;\n",
                    pack_identifier(h->mem, nn_image_text(h->i, v[k].name)));
    text_printf(h->out, "};\n");
}

static void comment(struct text *out, const char *doc)
{
    if (!*doc)
        return;
    text_printf(out, "/* ");
    for (const char *c = doc; *c; c++)
        text_printf(out, *c == '\n' ? "\n * " : "%c", *c);
    text_printf(out, " */\n");
}

void pack_prototype(struct text *out, const char *left, const char *params, const char *end)
{
    enum { WIDTH = 100 };
    size_t column = strlen(left) + 1;
    text_printf(out, "%s(", left);
    for (const char *p = params; *p;) {
        size_t n = strcspn(p, ",");
        if (p != params && column + n + 3 > WIDTH) {
            text_printf(out, ",\n    ");
            column = 4;
        } else if (p != params) {
            text_printf(out, ", ");
            column += 2;
        }
        text_write(out, p, n);
        column += n;
        p += n + (p[n] == ',') + (p[n] == ',' && p[n + 1] == ' ');
    }
    text_printf(out, ")%s\n", end);
}

static void functions(struct header *h)
{
    pack_functions f = {0};
    pack_api(h->m, h->mem, &f);
    text_printf(h->out, "\nstruct %s; /* a context */\n\n", h->m->prefix);
    for (uint32_t k = 0; k < f.n; k++) {
        const char *result = f.p[k].result;
        comment(h->out, f.p[k].doc);
        pack_prototype(h->out,
                       arena_printf(h->mem, "%s%s%s_%s", result, strchr(result, '*') ? "" : " ",
                                    h->m->prefix, f.p[k].suffix),
                       f.p[k].params, ";");
    }
    vec_free(&f);
}

void pack_header(const struct pack_model *m, struct text *out)
{
    struct header h = {.m = m, .i = m->level[0].image, .mem = arena_new(), .out = out};
    h.upper = pack_upper(h.mem, m->prefix);
    head(&h);
    text_printf(out, "#ifndef NNC_%s_H\n#define NNC_%s_H\n\n#include <nnrt.h>\n\n", h.upper,
                h.upper);
    text_printf(out, "#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    constants(&h);
    metrics_struct(&h);
    functions(&h);
    text_printf(out, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
    arena_free(h.mem);
}
