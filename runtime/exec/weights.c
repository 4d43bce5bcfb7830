/* Slots from a safetensors file: the weights of a model, or the whole state of a run; all or none.
 */
#include "common.h"
#include "data/data.h"
#include "exec/exec.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_MOST = 1024 }; /* bytes of a slot's name */

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

struct rule {
    const char *path;        /* of the file, for messages */
    const char *slot_prefix; /* which slots, and what their names in the file lack */
    const char *file_prefix; /* what the names in the file have in front */
    const char *part; /* tensors of the file without this in front do not matter; NULL: all do */
    bool state;       /* every kind of slot, types exactly; other tensors are welcome */
};

/* The name within the file of a slot, into `name`; false if the rule does not speak of the slot. */
static bool file_name(const struct nn_exec *e, int slot, const struct rule *r, char *name,
                      size_t size)
{
    const struct nn_slot_rec *x = nn_exec_slot_rec(e, slot);
    const char *own = nn_exec_text(e, x->name);
    size_t n = strlen(r->slot_prefix);
    bool lasts = x->kind == NN_SLOT_PARAM || x->kind == NN_SLOT_STATE;
    bool kind = lasts || (r->state && (x->kind == NN_SLOT_OPT || x->kind == NN_SLOT_SYS));
    name[0] = 0;
    nn_append(name, size, "%s%s", r->file_prefix, strncmp(own, r->slot_prefix, n) ? "" : own + n);
    return kind && !strncmp(own, r->slot_prefix, n);
}

static bool fits(const struct nn_slot_rec *r, const struct nn_tensor *x, bool exact)
{
    enum nn_dtype t = (enum nn_dtype)r->dtype;
    return r->rank == x->rank && !memcmp(r->dim, x->dim, r->rank * sizeof *r->dim) &&
           (t == x->dtype || (!exact && nn_dtype_float(t) && nn_dtype_float(x->dtype)));
}

static void check_slot(const struct nn_exec *e, struct nn_tensors *t, int slot, const char *name,
                       bool exact, struct misfits *f)
{
    const struct nn_slot_rec *r = nn_exec_slot_rec(e, slot);
    const struct nn_tensor *x = nn_tensors_find(t, name);
    if (!x) {
        add(f, "%s is missing%s", name, "");
    } else if (!fits(r, x, exact)) {
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

static bool wanted(const struct nn_exec *e, const struct rule *r, const char *name)
{
    char own[NAME_MOST];
    int slots = (int)nn_exec_image(e)->slot_count;
    if (r->part && strncmp(name, r->part, strlen(r->part)))
        return true; /* another model's */
    for (int i = 0; i < slots; i++)
        if (file_name(e, i, r, own, sizeof own) && !strcmp(own, name))
            return true;
    return ends_with(name, "num_batches_tracked");
}

static enum nn_status check_all(const struct nn_exec *e, struct nn_tensors *t, const struct rule *r,
                                struct nn_message *m)
{
    struct misfits f = {0};
    char name[NAME_MOST];
    int slots = (int)nn_exec_image(e)->slot_count;
    for (int i = 0; i < slots; i++)
        if (file_name(e, i, r, name, sizeof name))
            check_slot(e, t, i, name, r->state, &f);
    for (uint32_t i = 0; !r->state && i < nn_tensors_count(t); i++) {
        const char *other = nn_tensors_at(t, i)->name;
        if (!wanted(e, r, other))
            add(&f, "%s is not in the model%s", other, "");
    }
    if (!f.shown)
        return NN_OK;
    if (f.more) {
        char n[32] = "";
        nn_append(n, sizeof n, "%d", f.more);
        nn_append(f.text, sizeof f.text, "; and %s more", n);
    }
    return nn_fail(m, NN_REFUSED, "%s does not belong to this model: %s", r->path, f.text);
}

static enum nn_status read_slot(struct nn_exec *e, struct nn_tensors *t, int slot,
                                const struct nn_tensor *x, struct nn_message *m)
{
    const struct nn_slot_rec *r = nn_exec_slot_rec(e, slot);
    enum nn_dtype to = (enum nn_dtype)r->dtype;
    nn_exec_changed(e, slot);
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

static enum nn_status load(struct nn_exec *e, struct nn_tensors *t, const struct rule *r,
                           struct nn_message *m)
{
    char name[NAME_MOST];
    enum nn_status s = check_all(e, t, r, m);
    int slots = (int)nn_exec_image(e)->slot_count;
    for (int i = 0; !s && i < slots; i++)
        if (file_name(e, i, r, name, sizeof name))
            s = read_slot(e, t, i, nn_tensors_find(t, name), m);
    return s;
}

static enum nn_status open_and_load(struct nn_exec *e, const struct rule *r, struct nn_message *m)
{
    struct nn_tensors *t;
    enum nn_status s = nn_tensors_open(&t, r->path, m);
    if (s)
        return s;
    s = load(e, t, r, m);
    nn_tensors_close(t);
    return s;
}

enum nn_status nn_weights_load(struct nn_exec *e, const char *path, const char *prefix,
                               struct nn_message *m)
{
    struct rule r = {.path = path, .slot_prefix = prefix, .file_prefix = ""};
    return open_and_load(e, &r, m);
}

enum nn_status nn_weights_load_part(struct nn_exec *e, const char *path, const char *part,
                                    struct nn_message *m)
{
    struct rule r = {.path = path, .slot_prefix = "", .file_prefix = "", .part = part};
    return open_and_load(e, &r, m);
}

enum nn_status nn_state_load(struct nn_exec *e, struct nn_tensors *t, const char *path,
                             struct nn_message *m)
{
    struct rule r = {.path = path, .slot_prefix = "", .file_prefix = "slot/", .state = true};
    return load(e, t, &r, m);
}
