/* nnc run FILE --weights W --input image=x.npy --output y.npy: one forward pass; the inputs' shapes
 * give the model's free dims their sizes. Those of --max stay free in the compiled graph, up to the
 * bound; more samples than the bound go through it in parts. */
#include "common.h"
#include "nnc/nnc.h"

#include <ctype.h>
#include <string.h>

enum { DIMS = 64, INPUTS = 64, PART = 64 }; /* PART: samples, where no train block says more */

struct inputs {
    const struct front_model *model;
    const char *file[INPUTS];
    struct nn_array array[INPUTS];
    struct nn_array *of[INPUTS]; /* by the graph's own numbers */
    struct nn_array wide[INPUTS], *output;
    uint32_t outputs;
    struct front_dim dim[DIMS]; /* as the graph takes them */
    int64_t size[DIMS];         /* as the inputs have them */
    size_t dims;
    int cut; /* the dim that goes through in parts; -1: none */
};

static int read_inputs(struct nnc_session *s, const struct nnc_options *o, struct inputs *x)
{
    x->model = front_model(s->front);
    if (!x->model || x->model->ninputs > INPUTS) {
        fprintf(stderr, "nnc: %s has no model with up to %d inputs\n", o->args.p[0], INPUTS);
        return EXIT_REFUSED;
    }
    const char *names[INPUTS];
    for (uint32_t i = 0; i < x->model->ninputs; i++)
        names[i] = x->model->input[i].name;
    int bad = nnc_check_inputs(o, names, x->model->ninputs);
    if (bad)
        return bad;
    for (uint32_t i = 0; i < x->model->ninputs; i++) {
        struct nn_message m;
        x->file[i] = nnc_input_file(o, x->model->input[i].name, x->model->ninputs == 1);
        if (!x->file[i])
            return EXIT_USAGE;
        enum nn_status status = nn_npy_read(x->file[i], NULL, &x->array[i], &m);
        if (status)
            return nnc_fail(status, &m);
    }
    return 0;
}

/* ---- sizes ---- */

/* Where `name` stands in the dim's text, as in `2*h + 1`; the text's begin: it is all of it. */
static const char *mention(const char *dim, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = dim; (at = strstr(at, name)); at += n) {
        bool begins = at == dim || !(isalnum((unsigned char)at[-1]) || at[-1] == '_');
        if (begins && !isalnum((unsigned char)at[n]) && at[n] != '_')
            return at;
    }
    return NULL;
}

/* Every input that has the dim has it as all of its first axis. */
static bool leads(const struct front_model *m, const char *name)
{
    for (uint32_t i = 0; i < m->ninputs; i++)
        for (uint32_t k = 0; k < m->input[i].rank; k++)
            if (mention(m->input[i].dim[k], name) && (k || strcmp(m->input[i].dim[k], name) != 0))
                return false;
    return true;
}

/* Whether the inputs may go through dim i in parts. */
static bool apart(struct nnc_session *s, const struct inputs *x, int i, bool report)
{
    struct front_dim dim[DIMS];
    for (size_t k = 0; k < x->dims; k++)
        dim[k] = (struct front_dim){x->dim[k].name, (int)k == i ? 2 : x->size[k], false, 0};
    return leads(x->model, dim[i].name) && front_apart(s->front, dim[i].name, dim, x->dims, report);
}

static int refuse_cut(struct nnc_session *s, const struct inputs *x, int i)
{
    const struct front_dim *d = &x->dim[i];
    long long have = (long long)x->size[i];
    fprintf(stderr, "nnc run: --max %s=%lld: the inputs have %lld", d->name, (long long)d->n, have);
    if (x->cut >= 0)
        fprintf(stderr, ", and %s goes in parts already: -D %s=%lld would do\n", x->dim[x->cut].name,
                d->name, have);
    else
        fprintf(stderr, ", which cannot go in parts: -D %s=%lld would do\n", d->name, have);
    if (x->cut < 0 && !leads(x->model, d->name))
        fprintf(stderr, "nnc run: %s is not the first axis of every input that has it\n", d->name);
    diag_print(s->diag, stderr);
    return EXIT_REFUSED;
}

/* The inputs' dim of this name, -1: there is none. */
static int dim_of(const struct inputs *x, const char *name)
{
    for (size_t k = 0; k < x->dims; k++)
        if (!strcmp(x->dim[k].name, name))
            return (int)k;
    return -1;
}

/* -D of a dim that the inputs have says the same or is refused. */
static int check_fixed(const struct inputs *x, const struct front_dim *given, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        int k = dim_of(x, given[i].name);
        if (given[i].live || k < 0)
            continue;
        if (x->size[k] != given[i].n) {
            fprintf(stderr, "nnc run: -D %s=%lld: the inputs have %lld\n", given[i].name,
                    (long long)given[i].n, (long long)x->size[k]);
            return EXIT_REFUSED;
        }
        for (uint32_t j = 0; j < n; j++)
            if (given[j].live && !strcmp(given[j].name, given[i].name)) {
                fprintf(stderr, "nnc run: --max %s: -D %s=%lld fixes it\n", given[i].name,
                        given[i].name, (long long)given[i].n);
                return EXIT_USAGE;
            }
    }
    return 0;
}

/* What --max leaves free, and -D does not. */
static int set_bounds(struct nnc_session *s, const struct nnc_options *o, struct inputs *x)
{
    struct front_dim given[NNC_DIMS];
    uint32_t n = nnc_dims("run", o, s->c.m->mem, given);
    int bad = check_fixed(x, given, n);
    for (uint32_t i = 0; !bad && i < n; i++) {
        int k = dim_of(x, given[i].name);
        if (!given[i].live)
            continue;
        if (k < 0) {
            fprintf(stderr, "nnc run: --max %s: no input of %s has a dim %s that is free\n",
                    given[i].name, x->model->name, given[i].name);
            return EXIT_USAGE;
        }
        x->dim[k] = given[i];
        if (x->size[k] <= given[i].n)
            continue;
        if (x->cut >= 0 || !apart(s, x, k, true))
            return refuse_cut(s, x, k);
        x->cut = k;
    }
    return bad;
}

/* Without --max, many samples that stand by themselves go in parts as large as training's. */
static void divide(struct nnc_session *s, struct inputs *x)
{
    int64_t most = s->train && s->train->present ? s->train->batch : PART;
    if (!x->dims || x->size[0] <= most || !x->model->ninputs || !x->model->input[0].rank ||
        strcmp(x->model->input[0].dim[0], x->dim[0].name) != 0 || !apart(s, x, 0, false))
        return;
    x->dim[0] = (struct front_dim){.name = x->dim[0].name, .n = most, .live = true};
    x->cut = 0;
}

static int compile(struct nnc_session *s, const struct nnc_options *o, struct inputs *x)
{
    const int64_t *shape[INPUTS];
    uint32_t rank[INPUTS];
    x->dims = DIMS;
    for (uint32_t i = 0; i < x->model->ninputs; i++) {
        shape[i] = x->array[i].dim;
        rank[i] = x->array[i].rank;
    }
    bool solved = front_solve(s->front, shape, rank, x->dim, &x->dims);
    diag_print(s->diag, stderr);
    if (!solved)
        return EXIT_REFUSED;
    for (size_t i = 0; i < x->dims; i++)
        x->size[i] = x->dim[i].n;
    int bad = set_bounds(s, o, x);
    if (!bad && !o->max)
        divide(s, x);
    if (x->cut >= 0) {
        struct front_dim *d = &x->dim[x->cut];
        d->parts = (x->size[x->cut] + d->n - 1) / d->n;
    }
    if (!bad)
        bad = nnc_session_graph(s, FRONT_FORWARD, "forward", 0, x->dim, x->dims);
    return bad ? bad : nnc_session_link(s, o);
}

/* ---- the run ---- */

/* Inputs of sizes that a run chooses are laid out in arrays of their own. */
static int bind(struct nnc_session *s, struct inputs *x, int graph)
{
    struct nn_message m;
    const struct nn_value_rec *v = nn_exec_inputs(s->exec, graph);
    for (uint32_t k = 0; k < nn_exec_graph_rec(s->exec, graph)->input_count; k++)
        for (uint32_t i = 0; i < x->model->ninputs; i++) {
            struct nn_array *a = &x->array[i];
            if (strcmp(nn_exec_text(s->exec, v[k].name), x->model->input[i].name))
                continue;
            x->of[k] = a;
            int bad = nnc_fit(x->file[i], a, &v[k], v[k].extents_at ? a->dim : v[k].dim, s);
            if (bad)
                return bad;
            x->wide[k] = (struct nn_array){.dtype = (enum nn_dtype)v[k].dtype, .rank = v[k].rank};
            memcpy(x->wide[k].dim, v[k].dim, sizeof v[k].dim);
            enum nn_status status = v[k].extents_at ? nn_array_alloc(&x->wide[k], &m) : NN_OK;
            if (status)
                return nnc_fail(status, &m);
        }
    return 0;
}

/* In the slots dim.NAME and first.NAME, where the graph asks. */
static void set_slot(struct nnc_session *s, const char *kind, const char *name, int64_t v)
{
    struct text t = {0};
    text_printf(&t, "%s.%s", kind, name);
    int slot = nn_exec_find_slot(s->exec, t.p);
    if (slot >= 0)
        nn_exec_set_i64(s->exec, slot, v);
    text_free(&t);
}

static void set_size(struct nnc_session *s, const struct inputs *x, size_t i, int64_t n)
{
    if (x->dim[i].live)
        set_slot(s, "dim", x->dim[i].name, n);
}

/* Where the samples from `at` on begin in a dense array, in bytes; `n` samples are set. */
static size_t begin(const struct nnc_session *s, const struct inputs *x,
                    const struct nn_value_rec *v, int64_t at, int64_t n)
{
    int64_t dim[NN_MAX_RANK];
    const struct nn_extent_rec *r =
        v->extents_at ? nn_image_at(nn_exec_image(s->exec), v->extents_at) : NULL;
    if (x->cut < 0 || !r || !v->rank || !r[0].slot)
        return 0;
    const char *name = nn_exec_text(s->exec, nn_exec_slot_rec(s->exec, (int)r[0].slot - 1)->name);
    if (strcmp(name + strlen("dim."), x->dim[x->cut].name) != 0)
        return 0;
    return nn_extents(s->exec, v, dim) / (size_t)n * (size_t)at *
           nn_dtype_size((enum nn_dtype)v->dtype);
}

/* The output's array for all parts, `n` of the samples being set. */
static enum nn_status new_output(const struct nnc_session *s, const struct inputs *x,
                                 const struct nn_value_rec *v, int64_t n, struct nn_array *a,
                                 struct nn_message *m)
{
    *a = (struct nn_array){.dtype = (enum nn_dtype)v->dtype, .rank = v->rank};
    nn_extents(s->exec, v, a->dim);
    if (begin(s, x, v, n, n))
        a->dim[0] = x->size[x->cut];
    return nn_array_alloc(a, m);
}

static enum nn_status run_part(struct nnc_session *s, struct inputs *x, int graph, int64_t at,
                               int64_t n, struct nn_message *m)
{
    const struct nn_value_rec *in = nn_exec_inputs(s->exec, graph),
                              *out = nn_exec_outputs(s->exec, graph);
    const void *data[INPUTS] = {NULL};
    for (uint32_t k = 0; k < nn_exec_graph_rec(s->exec, graph)->input_count; k++) {
        data[k] = in[k].extents_at ? x->wide[k].data : x->of[k]->data;
        if (in[k].extents_at)
            nn_lay_out(s->exec, &in[k], x->wide[k].data,
                       (const char *)x->of[k]->data + begin(s, x, &in[k], at, n));
    }
    enum nn_status status = nn_exec_run(s->exec, graph, data, m);
    for (uint32_t k = 0; !status && k < x->outputs; k++) {
        if (!at)
            status = new_output(s, x, &out[k], n, &x->output[k], m);
        if (!status)
            nn_take_out(s->exec, &out[k], nn_exec_output(s->exec, graph, (int)k),
                        (char *)x->output[k].data + begin(s, x, &out[k], at, n));
    }
    return status;
}

static int run_all(struct nnc_session *s, struct inputs *x, int graph)
{
    struct nn_message m;
    enum nn_status status = NN_OK;
    int64_t all = x->cut < 0 ? 1 : x->size[x->cut], most = x->cut < 0 ? 1 : x->dim[x->cut].n;
    x->outputs = nn_exec_graph_rec(s->exec, graph)->output_count;
    x->output = xcalloc(x->outputs + 1u, sizeof *x->output);
    for (size_t i = 0; i < x->dims; i++)
        if ((int)i != x->cut)
            set_size(s, x, i, x->size[i]);
    for (int64_t at = 0; !status && at < all; at += most) {
        int64_t n = all - at < most ? all - at : most;
        if (x->cut >= 0) {
            set_size(s, x, (size_t)x->cut, n);
            set_slot(s, "first", x->dim[x->cut].name, at);
        }
        status = run_part(s, x, graph, at, n, &m);
    }
    return status ? nnc_fail(status, &m) : 0;
}

/* `y.npy` for one output; `y.mu.npy`, `y.1.npy` for the parts of a tuple. */
static int write_outputs(struct nnc_session *s, const struct inputs *x, const char *path, int graph)
{
    const struct nn_value_rec *v = nn_exec_outputs(s->exec, graph);
    const char *end = strrchr(path, '.');
    int stem = (int)(end && !strcmp(end, ".npy") ? (size_t)(end - path) : strlen(path)), bad = 0;
    for (uint32_t i = 0; !bad && i < x->outputs; i++) {
        const struct nn_array *a = &x->output[i];
        const char *part = nn_exec_text(s->exec, v[i].name);
        struct nn_message m;
        struct text t = {0};
        part += strncmp(part, "output.", 7) ? 0 : 7;
        if (x->outputs == 1)
            text_printf(&t, "%s", path);
        else
            text_printf(&t, "%.*s.%s.npy", stem, path, part);
        enum nn_status status = nn_npy_write(t.p, a->dtype, a->rank, a->dim, a->data, &m);
        bad = status ? nnc_fail(status, &m) : 0;
        text_free(&t);
    }
    return bad;
}

static int run(struct nnc_session *s, const struct nnc_options *o, struct inputs *x)
{
    int bad = read_inputs(s, o, x);
    if (!bad)
        bad = compile(s, o, x);
    if (!bad)
        bad = nnc_wanted_weights(s, o);
    int graph = bad ? -1 : nn_exec_graph(s->exec, "forward");
    if (!bad)
        bad = bind(s, x, graph);
    if (!bad)
        bad = run_all(s, x, graph);
    return bad ? bad : write_outputs(s, x, o->output, graph);
}

int cmd_run(int argc, char **argv)
{
    struct nnc_options o;
    struct nnc_session s;
    struct inputs x = {.cut = -1};
    nnc_parse_options(
        &o, "run", argc, argv,
        "define include_opt model device target gemm policy threads weights input output max "
        "check_nan",
        1);
    if (!o.output) {
        fprintf(stderr, "nnc run: --output FILE.npy is missing\n");
        nnc_free_options(&o);
        return EXIT_USAGE;
    }
    int bad = nnc_session_open(&s, &o, NNC_GRAPH);
    if (!bad)
        bad = run(&s, &o, &x);
    for (size_t i = 0; i < INPUTS; i++) {
        nn_array_free(&x.array[i]);
        nn_array_free(&x.wide[i]);
    }
    for (uint32_t i = 0; i < x.outputs; i++)
        nn_array_free(&x.output[i]);
    free(x.output);
    nnc_session_close(&s);
    nnc_free_options(&o);
    return bad;
}
