/* nnc check FILE: diagnostics only; --verbose lists the parameters, --budget plans the memory of
 * the training, and with --max, or where there is none, of forward calls up to those sizes. */
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

/* Whether every name of --max is a free dim of the forward graph. */
static bool known_sizes(const struct ir_module *m, const struct front_dim *dim, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!dim[i].live ||
            ir_slot_find(m, arena_printf(m->mem, "dim.%s", dim[i].name)) != UINT32_MAX)
            continue;
        fprintf(stderr, "nnc check: --max %s: the model has no free dim of that name\n",
                dim[i].name);
        return false;
    }
    return true;
}

/* --budget: whether what is to be run fits. */
static bool fits(struct front *f, struct diag *d, const struct nnc_options *o)
{
    static const enum front_graph which[] = {FRONT_INIT, FRONT_STEP, FRONT_EVAL, FRONT_FORWARD};
    static const char *const name[] = {"init", "step", "eval", "forward"};
    struct nnc_compiled c;
    struct front_dim dim[NNC_DIMS];
    const struct front_train *t = front_train(f);
    bool trains = t && t->present;
    if (!trains && !front_model(f)) {
        fprintf(stderr, "nnc check: --budget: the file has no model to choose\n");
        return false;
    }
    if (!nnc_compile_begin(&c, d, o, NULL, "check"))
        return false;
    uint32_t dims = nnc_dims("check", o, c.m->mem, dim);
    bool good = true;
    for (size_t i = 0; good && i < COUNT(which); i++) {
        bool forward = which[i] == FRONT_FORWARD;
        if (forward ? trains && !o->max : !trains)
            continue;
        struct ir_graph *g =
            front_build(f, c.m, which[i], name[i], 0, forward ? dim : NULL, forward ? dims : 0);
        good = g && (!forward || known_sizes(c.m, dim, dims));
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
                      "define include_opt model verbose target policy budget batch max", 1);
    if (o.max && !o.budget) {
        fprintf(stderr,
                "nnc check: --max is of forward calls, of which --budget plans the memory\n");
        nnc_free_options(&o);
        return EXIT_USAGE;
    }
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
