/* nnc sample FILE --weights W --prompt TEXT [--tokens N] [--temperature T] [--seed N]: writes text
 * with a causal model over bytes. The model sees the last `seq` bytes, seq being the train block's
 * window less the one byte that is only predicted; what stands behind the text so far cannot change
 * it. */
#include "common.h"
#include "nnc/nnc.h"

#include <math.h>

struct sampler {
    struct nnc_session s;
    struct nnc_options o;
    int64_t seq, vocab;
    int graph;
    unsigned char *text; /* prompt and what was written */
    size_t n;
    void *tokens; /* the input */
    enum nn_dtype type;
    double temperature;
};

static int refuse(const char *what)
{
    fprintf(stderr, "nnc: %s\n", what);
    return EXIT_REFUSED;
}

static int window(struct sampler *x)
{
    const struct front_train *t = x->s.train;
    const struct front_model *m = front_model(x->s.front);
    bool bytes = t && t->present && t->nfields == 1 && t->field[0].rank == 1 &&
                 nn_is_int(t->field[0].dtype) && t->field[0].dim[0] > 1;
    if (!bytes || !m || m->ninputs != 1 || m->input[0].rank != 2)
        return refuse("sampling wants a model of tokens[batch, seq] and a train block on one "
                      "stream of integers");
    x->seq = t->field[0].dim[0] - 1;
    return 0;
}

static int compile(struct sampler *x)
{
    const int64_t shape[2] = {1, x->seq}, *shapes[1] = {shape};
    const uint32_t rank = 2;
    struct front_dim dim[16];
    size_t dims = COUNT(dim);
    bool solved = front_solve(x->s.front, shapes, &rank, dim, &dims);
    diag_print(x->s.diag, stderr);
    if (!solved)
        return EXIT_REFUSED;
    int bad = nnc_session_graph(&x->s, FRONT_FORWARD, "forward", 0, dim, dims);
    return bad ? bad : nnc_session_link(&x->s, &x->o);
}

static int check_shapes(struct sampler *x)
{
    x->graph = nn_exec_graph(x->s.exec, "forward");
    const struct nn_graph_rec *g = nn_exec_graph_rec(x->s.exec, x->graph);
    const struct nn_value_rec *in = nn_exec_inputs(x->s.exec, x->graph),
                              *out = nn_exec_outputs(x->s.exec, x->graph);
    if (g->input_count != 1 || g->output_count != 1 || out->rank != 3 || out->dim[1] != x->seq ||
        out->dim[2] > 256 || !nn_dtype_float((enum nn_dtype)out->dtype))
        return refuse("the model does not give logits[batch, seq, 256]");
    x->vocab = out->dim[2];
    x->type = (enum nn_dtype)in->dtype;
    x->tokens = nn_alloc(NULL, in->bytes);
    return x->tokens ? 0 : EXIT_MACHINE;
}

/* softmax at temperature; the likeliest at 0. `u` is uniform in [0, 1). */
static int pick(const struct sampler *x, const void *logits, enum nn_dtype t, size_t at, double u)
{
    double most = -INFINITY, sum = 0;
    int best = 0;
    for (int i = 0; i < x->vocab; i++) {
        double v = nn_get(t, logits, at + (size_t)i);
        if (v > most) {
            most = v;
            best = i;
        }
    }
    if (x->temperature <= 0)
        return best;
    for (int i = 0; i < x->vocab; i++)
        sum += exp((nn_get(t, logits, at + (size_t)i) - most) / x->temperature);
    u *= sum;
    for (int i = 0; i < x->vocab; i++) {
        u -= exp((nn_get(t, logits, at + (size_t)i) - most) / x->temperature);
        if (u < 0)
            return i;
    }
    return best;
}

static int next(struct sampler *x, uint64_t seed, int64_t k)
{
    size_t seq = (size_t)x->seq, n = x->n < seq ? x->n : seq;
    for (size_t i = 0; i < seq; i++)
        nn_set(x->type, x->tokens, i, i < n ? x->text[x->n - n + i] : 0);
    const void *in[] = {x->tokens};
    struct nn_message m;
    enum nn_status status = nn_exec_run(x->s.exec, x->graph, in, &m);
    if (status)
        return nnc_fail(status, &m);
    const struct nn_value_rec *out = nn_exec_outputs(x->s.exec, x->graph);
    int c = pick(x, nn_exec_output(x->s.exec, x->graph, 0), (enum nn_dtype)out->dtype,
                 (n - 1) * (size_t)x->vocab, (double)(nn_mix(seed, (uint64_t)k) >> 11) * 0x1p-53);
    x->text[x->n++] = (unsigned char)c;
    putchar(c);
    fflush(stdout);
    return 0;
}

static int run(struct sampler *x)
{
    const struct nnc_options *o = &x->o;
    int64_t tokens = o->tokens >= 0 ? o->tokens : 256;
    const char *prompt = o->prompt ? o->prompt : "\n";
    size_t n = strlen(prompt);
    if (!n || tokens > 1 << 24) {
        refuse(n ? "--tokens: 16777216 at most" : "--prompt: at least one byte");
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)prompt[i] >= x->vocab)
            return refuse("--prompt: a byte is beyond the model's tokens");
    x->temperature = o->temperature >= 0 ? o->temperature : 0.8;
    x->text = xmalloc(n + (size_t)tokens + 1);
    memcpy(x->text, prompt, n);
    x->n = n;
    fwrite(prompt, 1, n, stdout);
    int bad = 0;
    for (int64_t k = 0; !bad && k < tokens; k++)
        bad = next(x, (uint64_t)(o->seed >= 0 ? o->seed : 0), k);
    putchar('\n');
    return bad;
}

int cmd_sample(int argc, char **argv)
{
    struct sampler x = {0};
    nnc_parse_options(
        &x.o, "sample", argc, argv,
        "define include_opt model device target gemm policy threads weights prompt tokens "
        "temperature seed",
        1);
    int bad = nnc_session_open(&x.s, &x.o, NNC_GRAPH);
    if (!bad)
        bad = window(&x);
    if (!bad)
        bad = compile(&x);
    if (!bad)
        bad = nnc_wanted_weights(&x.s, &x.o);
    if (!bad)
        bad = check_shapes(&x);
    if (!bad)
        bad = run(&x);
    free(x.text);
    nn_release(NULL, x.tokens, 0);
    nnc_session_close(&x.s);
    nnc_free_options(&x.o);
    return bad;
}
