/* The table of passes, made from passes.def, and the run of one with the verifier behind it. */
#include "pass/pass.h"

const struct pass pass_table[] = {
#define PASS(name, help) {#name, help, pass_##name},
#include "pass/passes.def"
#undef PASS
};
const size_t pass_count = COUNT(pass_table);

const struct pass *pass_find(const char *name)
{
    for (size_t i = 0; i < pass_count; i++)
        if (!strcmp(pass_table[i].name, name))
            return &pass_table[i];
    return NULL;
}

void pass_run(const struct pass *p, struct ir_graph *g)
{
    if (g->part)
        pass_run(p, g->part);
    p->run(g);
    char *message = ir_verify(g);
    if (!message)
        return;
    struct text dump = {0};
    ir_print_graph(g, &dump);
    fprintf(stderr, "%s\n", dump.p);
    BUG("pass %s broke the graph: %s", p->name, message);
}

void pass_pipeline(struct ir_graph *g)
{
    static const char *const names[] = {
        "cse",       "simplify",   "gradient", "recompute", "cse",        "simplify", "dce",
        "precision", "fold_moves", "simplify", "cse",       "axis_order", "dce"};
    for (size_t i = 0; i < COUNT(names); i++)
        pass_run(pass_find(names[i]), g);
}
