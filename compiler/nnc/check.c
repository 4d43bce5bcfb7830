/* nnc check FILE: diagnostics only; --verbose lists the parameters, --budget plans a training's
 * memory.
 */
#include "nnc/nnc.h"
#include <inttypes.h>

static void list_parameters(struct front *f, struct diag *d)
{
    struct ir_module *m = ir_module_new("check", d);
    int64_t total = 0;
    if (front_build(f, m, FRONT_INIT, "init", 0, NULL, 0))
        for (uint32_t i = 0; i < m->slots.n; i++) {
            const struct ir_slot *s = &m->slots.p[i];
            int64_t n = 1;
            if (s->kind != NN_SLOT_PARAM)
                continue;
            printf("%s %s[", s->name, nn_dtype_name(s->dtype));
            for (uint32_t k = 0; k < s->rank; k++) {
                printf("%s%" PRId64, k ? ", " : "", s->dim[k]);
                n *= s->dim[k];
            }
            printf("]\n");
            total += n;
        }
    printf("parameters: %" PRId64 "\n", total);
    diag_print(d, stderr);
    ir_module_free(m);
}

/* --budget: whether what training takes fits. */
static bool fits(struct front *f, struct diag *d, const struct nnc_options *o)
{
    static const enum front_graph which[] = {FRONT_INIT, FRONT_STEP, FRONT_EVAL};
    static const char *const name[] = {"init", "step", "eval"};
    struct nnc_compiled c;
    const struct front_train *t = front_train(f);
    if (!t || !t->present) {
        fprintf(stderr, "nnc check: --budget is of a training, and the file has no train block\n");
        return false;
    }
    bool good = nnc_compile_begin(&c, d, o, NULL, "check");
    if (!good)
        return false;
    for (size_t i = 0; good && i < COUNT(which); i++) {
        struct ir_graph *g = front_build(f, c.m, which[i], name[i], 0, NULL, 0);
        good = g != NULL;
        if (good)
            nnc_compile_graph(&c, g);
    }
    good = good && nnc_compile_fit(&c);
    nnc_compile_end(&c);
    diag_print(d, stderr);
    return good;
}

int cmd_check(int argc, char **argv)
{
    struct nnc_options o;
    nnc_parse_options(&o, "check", argc, argv,
                      "define include_opt model verbose target policy budget batch", 1);
    struct diag *d = diag_new();
    struct front *f = nnc_front(d, &o);
    if (f)
        front_warn_unchecked(f);
    diag_print(d, stderr);
    if (f && o.verbose)
        list_parameters(f, d);
    bool good = f && (!o.budget || fits(f, d, &o));
    front_close(f);
    int status = diag_errors(d) || !good ? EXIT_REFUSED : 0;
    diag_free(d);
    nnc_free_options(&o);
    return status;
}
