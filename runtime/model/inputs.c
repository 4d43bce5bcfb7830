/* Whether a call can take its caller's arrays: before anything is computed. */
#include "model/context.h"

static enum nn_status aligned(struct nn_context *c, const struct nn_value_rec *v, const void *p)
{
    size_t size = nn_dtype_size((enum nn_dtype)v->dtype);
    return (uintptr_t)p % size
               ? nn_fail(&c->message, NN_USAGE, "the array for `%s` is not aligned to %zu bytes",
                         nn_exec_text(c->exec, v->name), size)
               : NN_OK;
}

/* Integers that index or label, `n` of them. */
static enum nn_status within(struct nn_context *c, const struct nn_value_rec *v, const void *p,
                             size_t n)
{
    enum nn_dtype t = (enum nn_dtype)v->dtype;
    if (!v->limit || nn_dtype_float(t) || (t == NN_u8 && v->limit > UINT8_MAX))
        return NN_OK;
    for (size_t i = 0; i < n; i++) {
        int64_t x = nn_get_int(t, p, i);
        if ((x >= 0 && x < v->limit) || (v->spares && x == v->spare))
            continue;
        nn_fail(&c->message, NN_REFUSED, "%s: element %zu is %lld; it must be in 0..%lld",
                nn_exec_text(c->exec, v->name), i, (long long)x, (long long)v->limit);
        if (v->spares && (v->spare >= 0 || (t != NN_u8 && t != NN_bool)))
            nn_append(c->message.text, sizeof c->message.text, " or %lld", (long long)v->spare);
        return NN_REFUSED;
    }
    return NN_OK;
}

enum nn_status nn_inputs_given(struct nn_context *c, int graph, int64_t samples, int64_t count,
                               const void *const *in)
{
    const struct nn_value_rec *v = nn_exec_inputs(c->exec, graph);
    uint32_t inputs = nn_exec_graph_rec(c->exec, graph)->input_count;
    enum nn_status s = inputs ? nn_context_given(c, in, "the inputs' list") : NN_OK;
    for (uint32_t i = 0; !s && i < inputs; i++) {
        size_t n = v[i].bytes / nn_dtype_size((enum nn_dtype)v[i].dtype) / (size_t)samples;
        s = in[i] ? aligned(c, &v[i], in[i])
                  : nn_fail(&c->message, NN_USAGE, "the array for `%s` is NULL",
                            nn_exec_text(c->exec, v[i].name));
        if (!s)
            s = within(c, &v[i], in[i], n * (size_t)count);
    }
    return s;
}

enum nn_status nn_outputs_given(struct nn_context *c, int graph, void *const *out)
{
    const struct nn_value_rec *v = nn_exec_outputs(c->exec, graph);
    enum nn_status s = nn_context_given(c, out, "the outputs' list");
    for (uint32_t i = 0; !s && i < nn_exec_graph_rec(c->exec, graph)->output_count; i++)
        s = aligned(c, &v[i], out[i]);
    return s;
}
