/* nnc eval FILE --weights W: loss and metrics over every sample of test and valid. */
#include "nnc/nnc.h"

static int evaluate(struct nnc_session *s, const struct nnc_options *o)
{
    struct nn_message m;
    struct nn_evaluator *ev;
    const char *before = "{";
    enum nn_status status = nn_evaluator_open(&ev, s->exec, s->data, s->batch, NULL, &m);
    for (enum nn_split k = NN_TEST; !status && k < NN_SPLITS; k++) {
        uint32_t n;
        if (!nn_data_count(s->data, k) || (status = nn_evaluate(ev, k, NULL, &m)))
            continue;
        const struct nn_metric *v = nn_evaluator_metrics(ev, &n);
        char text[4096] = "", samples[1024] = "";
        nn_append_samples(samples, sizeof samples, s->data, k, o->json);
        if (o->json) {
            nn_append_metrics(text, sizeof text, v, n);
            printf("%s\"%s\":{%s,\"samples\":%s}", before, nn_split_name(k), text, samples);
        } else {
            printf("%s, %s:", nn_split_name(k), samples);
            for (uint32_t i = 0; i < n; i++)
                printf("  %s %.5g", v[i].name, v[i].value);
            puts("");
        }
        before = ",";
    }
    if (!status && o->json)
        puts("}");
    nn_evaluator_close(ev);
    return status ? nnc_fail(status, &m) : 0;
}

int cmd_eval(int argc, char **argv)
{
    struct nnc_options o;
    struct nnc_session s;
    nnc_parse_options(&o, "eval", argc, argv,
                      "define include_opt model device target gemm policy threads batch seed data "
                      "weights json check_nan",
                      1);
    int bad = nnc_session_open(&s, &o, NNC_EVAL);
    if (!bad && !nn_data_count(s.data, NN_TEST) && !nn_data_count(s.data, NN_VALID)) {
        fprintf(stderr, "nnc: the data set has neither a test nor a valid split\n");
        bad = EXIT_REFUSED;
    }
    if (!bad)
        bad = nnc_wanted_weights(&s, &o);
    if (!bad)
        bad = evaluate(&s, &o);
    nnc_session_close(&s);
    nnc_free_options(&o);
    return bad;
}
