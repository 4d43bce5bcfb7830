/* Weights from a safetensors file into a context's slots: all of them or none. */
#include "exec/exec.h"
#include "common.h"
#include "data/data.h"

#include <stdlib.h>
#include <string.h>

struct misfits { /* the first few names of each kind, as text */
    char text[700];
    int shown, more;
};

static void add(struct misfits *f, const char *fmt, const char *name, const char *detail)
{
    if (f->shown == 5) {
        f->more++;
        return;
    }
    nn_append(f->text, sizeof f->text, f->shown++ ? "; " : "");
    nn_append(f->text, sizeof f->text, fmt, name, detail);
}

static bool saved_slot(const struct nn_slot_rec *r)
{
    return r->kind == NN_SLOT_PARAM || r->kind == NN_SLOT_STATE;
}

/* The name within the file of a slot, or NULL if it is none of the prefix's. */
static const char *file_name(const struct nn_exec *e, int slot, const char *prefix)
{
    const struct nn_slot_rec *r = nn_exec_slot_rec(e, slot);
    const char *name = nn_exec_text(e, r->name);
    size_t n = strlen(prefix);
    return saved_slot(r) && !strncmp(name, prefix, n) ? name + n : NULL;
}

static bool fits(const struct nn_slot_rec *r, const struct nn_tensor *x)
{
    enum nn_dtype t = (enum nn_dtype)r->dtype;
    return r->rank == x->rank && !memcmp(r->dim, x->dim, r->rank * sizeof *r->dim) &&
           (t == x->dtype || (nn_dtype_float(t) && nn_dtype_float(x->dtype)));
}

static void check_slot(const struct nn_exec *e, struct nn_tensors *t, int slot, const char *name,
                       struct misfits *f)
{
    const struct nn_slot_rec *r = nn_exec_slot_rec(e, slot);
    const struct nn_tensor *x = nn_tensors_find(t, name);
    if (!x) {
        add(f, "%s is missing%s", name, "");
    } else if (!fits(r, x)) {
        char have[128], want[128], both[300] = "";
        nn_type_text(have, sizeof have, x->dtype, x->rank, x->dim);
        nn_type_text(want, sizeof want, (enum nn_dtype)r->dtype, r->rank, r->dim);
        nn_append(both, sizeof both, "%s, the model has %s", have, want);
        add(f, "%s is %s", name, both);
    }
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

static bool wanted(const struct nn_exec *e, const char *prefix, const char *name)
{
    int slots = (int)nn_exec_image(e)->slot_count;
    for (int i = 0; i < slots; i++) {
        const char *own = file_name(e, i, prefix);
        if (own && !strcmp(own, name))
            return true;
    }
    return ends_with(name, "num_batches_tracked");
}

static enum nn_status check_all(const struct nn_exec *e, struct nn_tensors *t, const char *path,
                                const char *prefix, struct nn_message *m)
{
    struct misfits f = {0};
    int slots = (int)nn_exec_image(e)->slot_count;
    for (int i = 0; i < slots; i++) {
        const char *name = file_name(e, i, prefix);
        if (name)
            check_slot(e, t, i, name, &f);
    }
    for (uint32_t i = 0; i < nn_tensors_count(t); i++) {
        const char *name = nn_tensors_at(t, i)->name;
        if (!wanted(e, prefix, name))
            add(&f, "%s is not in the model%s", name, "");
    }
    if (!f.shown)
        return NN_OK;
    if (f.more) {
        char n[32] = "";
        nn_append(n, sizeof n, "%d", f.more);
        nn_append(f.text, sizeof f.text, "; and %s more", n);
    }
    return nn_fail(m, NN_REFUSED, "%s does not belong to this model: %s", path, f.text);
}

static enum nn_status read_slot(struct nn_exec *e, struct nn_tensors *t, int slot,
                                const struct nn_tensor *x, struct nn_message *m)
{
    const struct nn_slot_rec *r = nn_exec_slot_rec(e, slot);
    enum nn_dtype to = (enum nn_dtype)r->dtype;
    if (to == x->dtype)
        return nn_tensors_read(t, x, nn_exec_slot(e, slot), m);
    void *p = malloc(x->bytes + 1);
    if (!p)
        return nn_fail(m, NN_MACHINE, "out of memory: %zu bytes", x->bytes);
    enum nn_status s = nn_tensors_read(t, x, p, m);
    if (!s)
        nn_convert(to, nn_exec_slot(e, slot), x->dtype, p, r->bytes / nn_dtype_size(to));
    free(p);
    return s;
}

enum nn_status nn_weights_load(struct nn_exec *e, const char *path, const char *prefix,
                               struct nn_message *m)
{
    struct nn_tensors *t;
    enum nn_status s = nn_tensors_open(&t, path, m);
    if (s)
        return s;
    s = check_all(e, t, path, prefix, m);
    int slots = (int)nn_exec_image(e)->slot_count;
    for (int i = 0; !s && i < slots; i++) {
        const char *name = file_name(e, i, prefix);
        if (name)
            s = read_slot(e, t, i, nn_tensors_find(t, name), m);
    }
    nn_tensors_close(t);
    return s;
}
