/* nnc check FILE: diagnostics only; --verbose lists the parameters. */
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

int cmd_check(int argc, char **argv)
{
    struct nnc_options o;
    nnc_parse_options(&o, "check", argc, argv, "define include_opt model verbose", 1);
    struct diag *d = diag_new();
    struct front *f = nnc_front(d, &o);
    if (f)
        front_warn_unchecked(f);
    diag_print(d, stderr);
    if (f && o.verbose)
        list_parameters(f, d);
    front_close(f);
    int status = diag_errors(d) || !f ? EXIT_REFUSED : 0;
    diag_free(d);
    nnc_free_options(&o);
    return status;
}
