/* nnc grad FILE --weights W --input FIELD=x.npy … --output-dir D [--eval]: the train block's loss
 * on one batch, the model's outputs, every parameter's gradient, states after the step; for
 * comparing with other frameworks. */
#include "nnc/nnc.h"

#include <errno.h>
#include <sys/stat.h>

struct batch {
    const char **file; /* of each field */
    struct nn_array *array;
    const void **in;
};

/* A field's own name is enough where one dataset only has it: the full one takes its place. */
static void full_names(const struct front_train *t, const struct nnc_options *o)
{
    for (uint32_t i = 0; i < o->input.n; i++) {
        const char *given = o->input.p[i].name, *full = NULL;
        uint32_t found = 0;
        for (uint32_t k = 0; given && k < t->nfields; k++)
            if (!strcmp(t->field[k].own, given)) {
                full = t->field[k].name;
                found++;
            }
        if (found == 1)
            o->input.p[i].name = full;
    }
}

static int read_batch(const struct front_train *t, const struct nnc_options *o, struct batch *b)
{
    const char **names = xcalloc(t->nfields + 1, sizeof *names);
    for (uint32_t i = 0; i < t->nfields; i++)
        names[i] = t->field[i].name;
    full_names(t, o);
    int bad = nnc_check_inputs(o, names, t->nfields);
    free(names);
    if (bad)
        return bad;
    for (uint32_t i = 0; i < t->nfields; i++) {
        struct nn_message m;
        b->file[i] = nnc_input_file(o, t->field[i].name, t->nfields == 1);
        if (!b->file[i])
            return EXIT_USAGE;
        struct nn_schema schema = {t->field[i].dtype, t->field[i].rank, t->field[i].dim,
                                   t->field[i].name};
        enum nn_status status = nn_npy_read(b->file[i], &schema, &b->array[i], &m);
        if (status)
            return nnc_fail(status, &m);
        if (b->array[i].dim[0] != b->array[0].dim[0] || !b->array[0].dim[0]) {
            fprintf(stderr, "nnc: %s holds %lld samples, %s %lld\n", b->file[0],
                    (long long)b->array[0].dim[0], b->file[i], (long long)b->array[i].dim[0]);
            return EXIT_REFUSED;
        }
    }
    return 0;
}

static int bind(struct nnc_session *s, struct batch *b, int graph)
{
    const struct nn_value_rec *v = nn_exec_inputs(s->exec, graph);
    for (uint32_t k = 0; k < nn_exec_graph_rec(s->exec, graph)->input_count; k++)
        for (uint32_t i = 0; i < s->train->nfields; i++) {
            if (strcmp(nn_exec_text(s->exec, v[k].name), s->train->field[i].name))
                continue;
            int bad = nnc_fit(b->file[i], &b->array[i], &v[k], v[k].dim, s);
            if (bad)
                return bad;
            b->in[k] = b->array[i].data;
        }
    return 0;
}

static int folder(const char *dir, const char *part)
{
    struct text t = {0};
    text_printf(&t, "%s%s", dir, part);
    int bad = mkdir(t.p, 0777) && errno != EEXIST ? EXIT_MACHINE : 0;
    if (bad)
        fprintf(stderr, "nnc: cannot make the folder %s: %s\n", t.p, strerror(errno));
    text_free(&t);
    return bad;
}

/* loss, output…: D/NAME.npy; grad.NAME: D/grad/NAME.npy; state.NAME: D/state/NAME.npy. A named loss
 * that is the only one is D/loss.npy too. */
static int write_all(struct nnc_session *s, const char *dir, int graph)
{
    const struct nn_value_rec *v = nn_exec_outputs(s->exec, graph);
    int bad = folder(dir, "");
    if (!bad)
        bad = folder(dir, "/grad");
    if (!bad)
        bad = folder(dir, "/state");
    for (uint32_t i = 0; !bad && i < nn_exec_graph_rec(s->exec, graph)->output_count; i++) {
        const char *name = nn_exec_text(s->exec, v[i].name);
        struct text t = {0};
        if (!strncmp(name, "grad.", 5))
            text_printf(&t, "%s/grad/%s.npy", dir, name + 5);
        else if (!strncmp(name, "state.", 6))
            text_printf(&t, "%s/state/%s.npy", dir, name + 6);
        else
            text_printf(&t, "%s/%s.npy", dir, name);
        bad = nnc_write_output(s, graph, (int)i, t.p);
        if (!bad && s->train->nlosses == 1 && !strncmp(name, "loss.", 5)) {
            t.n = 0;
            text_printf(&t, "%s/loss.npy", dir);
            bad = nnc_write_output(s, graph, (int)i, t.p);
        }
        text_free(&t);
    }
    return bad;
}

static int run(struct nnc_session *s, const struct nnc_options *o, struct batch *b)
{
    struct nn_message m;
    int bad = read_batch(s->train, o, b);
    if (!bad)
        bad = nnc_session_graph(s, o->eval_mode ? FRONT_GRAD_EVAL : FRONT_GRAD, "grad",
                                b->array[0].dim[0], NULL, 0);
    if (!bad)
        bad = nnc_session_link(s, o);
    if (!bad)
        bad = nnc_wanted_weights(s, o);
    int graph = bad ? -1 : nn_exec_graph(s->exec, "grad");
    if (!bad)
        bad = bind(s, b, graph);
    if (bad)
        return bad;
    nn_exec_set_scalar(s->exec, "seed", (double)s->train->seed);
    enum nn_status status = nn_exec_run(s->exec, graph, b->in, &m);
    return status ? nnc_fail(status, &m) : write_all(s, o->output_dir, graph);
}

static int open_and_run(struct nnc_session *s, const struct nnc_options *o)
{
    int bad = nnc_session_open(s, o, NNC_GRAPH);
    if (bad)
        return bad;
    if (!s->train || !s->train->present) {
        fprintf(stderr, "nnc: the file has no train block\n");
        return EXIT_REFUSED;
    }
    uint32_t n = s->train->nfields;
    struct batch b = {xcalloc(n + 1, sizeof *b.file), xcalloc(n + 1, sizeof *b.array),
                      xcalloc(n + 1, sizeof *b.in)};
    bad = run(s, o, &b);
    for (uint32_t i = 0; i < n; i++)
        nn_array_free(&b.array[i]);
    free(b.file);
    free(b.array);
    free(b.in);
    return bad;
}

int cmd_grad(int argc, char **argv)
{
    struct nnc_options o;
    struct nnc_session s;
    nnc_parse_options(
        &o, "grad", argc, argv,
        "define include_opt model device target gemm policy threads seed weights input "
        "output_dir eval_mode check_nan",
        1);
    if (!o.output_dir) {
        fprintf(stderr, "nnc grad: --output-dir DIR is missing\n");
        nnc_free_options(&o);
        return EXIT_USAGE;
    }
    int bad = open_and_run(&s, &o);
    nnc_session_close(&s);
    nnc_free_options(&o);
    return bad;
}
