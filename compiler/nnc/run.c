/* nnc run FILE --weights W --input image=x.npy --output y.npy: one forward pass; the inputs' shapes
 * give the model's free dims their sizes. */
#include "nnc/nnc.h"

enum { DIMS = 64, INPUTS = 64 };

struct inputs {
    const struct front_model *model;
    const char *file[INPUTS];
    struct nn_array array[INPUTS];
    const void *in[INPUTS];
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

static int compile(struct nnc_session *s, const struct nnc_options *o, const struct inputs *x)
{
    const int64_t *shape[INPUTS];
    uint32_t rank[INPUTS];
    struct front_dim dim[DIMS];
    size_t dims = DIMS;
    for (uint32_t i = 0; i < x->model->ninputs; i++) {
        shape[i] = x->array[i].dim;
        rank[i] = x->array[i].rank;
    }
    bool solved = front_solve(s->front, shape, rank, dim, &dims);
    diag_print(s->diag, stderr);
    if (!solved)
        return EXIT_REFUSED;
    int bad = nnc_session_graph(s, FRONT_FORWARD, "forward", 0, dim, dims);
    return bad ? bad : nnc_session_link(s, o);
}

static int bind(struct nnc_session *s, struct inputs *x, int graph)
{
    const struct nn_value_rec *v = nn_exec_inputs(s->exec, graph);
    for (uint32_t k = 0; k < nn_exec_graph_rec(s->exec, graph)->input_count; k++)
        for (uint32_t i = 0; i < x->model->ninputs; i++) {
            if (strcmp(nn_exec_text(s->exec, v[k].name), x->model->input[i].name))
                continue;
            int bad = nnc_fit(x->file[i], &x->array[i], &v[k], s);
            if (bad)
                return bad;
            x->in[k] = x->array[i].data;
        }
    return 0;
}

/* `y.npy` for one output; `y.mu.npy`, `y.1.npy` for the parts of a tuple. */
static int write_outputs(struct nnc_session *s, const char *path, int graph)
{
    const struct nn_value_rec *v = nn_exec_outputs(s->exec, graph);
    uint32_t n = nn_exec_graph_rec(s->exec, graph)->output_count;
    const char *end = strrchr(path, '.');
    int stem = (int)(end && !strcmp(end, ".npy") ? (size_t)(end - path) : strlen(path)), bad = 0;
    for (uint32_t i = 0; !bad && i < n; i++) {
        const char *part = nn_exec_text(s->exec, v[i].name);
        part += strncmp(part, "output.", 7) ? 0 : 7;
        struct text t = {0};
        if (n == 1)
            text_printf(&t, "%s", path);
        else
            text_printf(&t, "%.*s.%s.npy", stem, path, part);
        bad = nnc_write_output(s, graph, (int)i, t.p);
        text_free(&t);
    }
    return bad;
}

static int run(struct nnc_session *s, const struct nnc_options *o, struct inputs *x)
{
    struct nn_message m;
    int bad = read_inputs(s, o, x);
    if (!bad)
        bad = compile(s, o, x);
    if (!bad)
        bad = nnc_wanted_weights(s, o);
    int graph = bad ? -1 : nn_exec_graph(s->exec, "forward");
    if (!bad)
        bad = bind(s, x, graph);
    if (bad)
        return bad;
    enum nn_status status = nn_exec_run(s->exec, graph, x->in, &m);
    return status ? nnc_fail(status, &m) : write_outputs(s, o->output, graph);
}

int cmd_run(int argc, char **argv)
{
    struct nnc_options o;
    struct nnc_session s;
    struct inputs x = {0};
    nnc_parse_options(
        &o, "run", argc, argv,
        "define include_opt model device target gemm policy threads weights input output "
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
    for (size_t i = 0; i < INPUTS; i++)
        nn_array_free(&x.array[i]);
    nnc_session_close(&s);
    nnc_free_options(&o);
    return bad;
}
