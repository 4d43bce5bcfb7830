/* Modes over graph files. */
#include "tool.h"

int mode_same(int argc, char **argv)
{
    struct ir_module *m = argc == 3 ? tool_read(argv[2]) : NULL;
    if (!m)
        return 1;
    int failed = !m->graphs.n;
    for (uint32_t i = 0; i < m->graphs.n; i++) {
        struct ir_graph *g = m->graphs.p[i];
        struct tool_values before = {0}, after = {0};
        char *wrong = tool_evaluate(g, &before);
        if (!wrong)
            wrong = tool_passes(g, argv[1]);
        if (!wrong)
            wrong = tool_evaluate(g, &after);
        if (!wrong)
            wrong = tool_compare(&before, &after, 1e-6);
        if (wrong)
            printf("graph %s: %s\n", g->name, wrong);
        failed |= wrong != NULL;
        free(wrong);
        tool_values_free(&before);
        tool_values_free(&after);
    }
    ir_module_free(m);
    return failed;
}

int mode_parts(int argc, char **argv)
{
    struct ir_module *m = argc == 3 ? tool_read(argv[2]) : NULL;
    if (!m)
        return 1;
    int failed = !m->graphs.n;
    for (uint32_t i = 0; i < m->graphs.n; i++) {
        struct ir_graph *g = m->graphs.p[i];
        struct tool_values before = {0}, after = {0};
        struct pass_refusal why = {0};
        char *wrong = tool_passes(g, argv[1]);
        if (!wrong)
            wrong = tool_evaluate(g, &before);
        bool split = !wrong && pass_split(g, &why);
        if (split)
            wrong = ir_verify(g);
        if (split && !wrong)
            wrong = tool_evaluate(g, &after);
        if (split && !wrong)
            wrong = tool_compare(&before, &after, 1e-12);
        if (!split || wrong)
            printf("graph %s: %s\n", g->name, wrong ? wrong : why.why);
        failed |= !split || wrong;
        free(wrong);
        tool_values_free(&before);
        tool_values_free(&after);
    }
    ir_module_free(m);
    return failed;
}
