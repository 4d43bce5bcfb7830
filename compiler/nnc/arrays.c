/* Weights in, npy files in and out. */
#include "common.h"
#include "nnc/nnc.h"

/* Whether all that the session's graphs save belongs to one of the train block's several models:
 * its name with a dot is then in front of the slots' names, as in the weights that training saves.
 */
static bool one_of_several(struct nnc_session *s, char *part, size_t size)
{
    for (uint32_t k = 0; s->train && k < s->train->ninstances; k++) {
        bool any = false, all = true;
        snprintf(part, size, "%s.", s->train->instance[k]);
        for (uint32_t i = 0; i < s->c.m->slots.n; i++) {
            const struct ir_slot *slot = &s->c.m->slots.p[i];
            bool saved = slot->kind == NN_SLOT_PARAM || slot->kind == NN_SLOT_STATE;
            any |= saved;
            all &= !saved || !strncmp(slot->name, part, strlen(part));
        }
        if (any && all)
            return true;
    }
    return false;
}

int nnc_wanted_weights(struct nnc_session *s, const struct nnc_options *o)
{
    struct nn_message m;
    bool any = false;
    for (uint32_t i = 0; i < s->c.m->slots.n; i++)
        any |= s->c.m->slots.p[i].kind == NN_SLOT_PARAM;
    if (o->weights) {
        char part[256];
        enum nn_status status = one_of_several(s, part, sizeof part)
                                    ? nn_weights_load_part(s->exec, o->weights, part, &m)
                                    : nn_weights_load(s->exec, o->weights, "", &m);
        return status ? nnc_fail(status, &m) : 0;
    }
    if (!any)
        return 0;
    fprintf(stderr, "nnc: the model has parameters: --weights FILE is wanted\n");
    return EXIT_USAGE;
}

int nnc_check_inputs(const struct nnc_options *o, const char *const *names, uint32_t n)
{
    for (uint32_t i = 0; i < o->input.n; i++) {
        const char *name = o->input.p[i].name;
        bool known = false, twice = false;
        for (uint32_t k = 0; name && k < n; k++)
            known = known || !strcmp(names[k], name);
        for (uint32_t k = 0; name && k < i; k++)
            twice = twice || (o->input.p[k].name && !strcmp(o->input.p[k].name, name));
        if (name ? known && !twice : n == 1 && o->input.n == 1)
            continue;
        if (!name) {
            fprintf(stderr, "nnc: --input %s: of several inputs each is named, NAME=FILE.npy\n",
                    o->input.p[i].value);
            return EXIT_USAGE;
        }
        const char *near = known ? NULL : nearest_name(name, names, n);
        fprintf(stderr, "nnc: --input %s: %s", name,
                known ? "given twice" : "no input has this name");
        for (uint32_t k = 0; !known && !near && k < n; k++)
            fprintf(stderr, "%s%s", k ? ", " : "; there are: ", names[k]);
        fprintf(stderr, near ? ", did you mean `%s`?\n" : "%s\n", near ? near : "");
        return EXIT_USAGE;
    }
    return 0;
}

const char *nnc_input_file(const struct nnc_options *o, const char *name, bool only)
{
    for (uint32_t i = 0; i < o->input.n; i++) {
        const struct nnc_pair *p = &o->input.p[i];
        if (p->name ? !strcmp(p->name, name) : only)
            return p->value;
    }
    fprintf(stderr, "nnc: --input %s=FILE.npy is missing\n", name);
    return NULL;
}

int nnc_fit(const char *file, struct nn_array *a, const struct nn_value_rec *v, const int64_t *dim,
            const struct nnc_session *s)
{
    enum nn_dtype to = (enum nn_dtype)v->dtype;
    bool shape = a->rank == v->rank && !memcmp(a->dim, dim, a->rank * sizeof *a->dim);
    if (!shape || !nn_widens(a->dtype, to)) {
        char have[256], want[256];
        nn_type_text(have, sizeof have, a->dtype, a->rank, a->dim);
        nn_type_text(want, sizeof want, to, v->rank, dim);
        fprintf(stderr, "nnc: %s holds %s, but %s is %s\n", file, have,
                nn_exec_text(s->exec, v->name), want);
        return EXIT_REFUSED;
    }
    if (a->dtype == to)
        return 0;
    struct nn_message m;
    struct nn_array wide = *a;
    wide.dtype = to;
    enum nn_status status = nn_array_alloc(&wide, &m);
    if (status)
        return nnc_fail(status, &m);
    nn_convert(to, wide.data, a->dtype, a->data, a->bytes / nn_dtype_size(a->dtype));
    nn_array_free(a);
    *a = wide;
    return 0;
}

int nnc_write_output(const struct nnc_session *s, int graph, int output, const char *path)
{
    struct nn_message m;
    const struct nn_value_rec *v = &nn_exec_outputs(s->exec, graph)[output];
    enum nn_status status = nn_npy_write(path, (enum nn_dtype)v->dtype, v->rank, v->dim,
                                         nn_exec_output(s->exec, graph, output), &m);
    return status ? nnc_fail(status, &m) : 0;
}
