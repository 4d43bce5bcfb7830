/* A context's slots as safetensors files. */
#include "data/data.h"
#include "model/context.h"

#include <stdlib.h>
#include <string.h>

/* Weights: parameters and states; the state: every slot but accumulators, as `slot/NAME`. */
static enum nn_status save(struct nn_context *c, const char *path, bool state)
{
    if (nn_context_given(c, path, "the path"))
        return NN_USAGE;
    uint32_t slots = nn_exec_image(c->exec)->slot_count;
    struct nn_save_item *item = calloc(slots + 1u, sizeof *item);
    char **name = calloc(slots + 1u, sizeof *name);
    enum nn_status s =
        item && name ? nn_context_settle(c) : nn_fail(&c->message, NN_MACHINE, "out of memory");
    if (!s)
        s = nn_exec_fetch(c->exec, &c->message);
    size_t n = 0;
    for (uint32_t i = 0; !s && i < slots; i++) {
        const struct nn_slot_rec *r = nn_exec_slot_rec(c->exec, (int)i);
        const char *own = nn_exec_text(c->exec, r->name);
        bool lasts = r->kind == NN_SLOT_PARAM || r->kind == NN_SLOT_STATE;
        if (!lasts && !(state && (r->kind == NN_SLOT_OPT || r->kind == NN_SLOT_SYS)))
            continue;
        size_t size = strlen(own) + 6;
        name[n] = calloc(1, size);
        if (!name[n]) {
            s = nn_fail(&c->message, NN_MACHINE, "out of memory");
            break;
        }
        nn_append(name[n], size, "%s%s", state ? "slot/" : "", own);
        item[n] = (struct nn_save_item){name[n], (enum nn_dtype)r->dtype, r->rank, r->dim,
                                        nn_exec_slot(c->exec, (int)i)};
        n++;
    }
    struct nn_saver *saver = NULL;
    if (!s)
        s = nn_saver_open(&saver, path, state ? "nnc state" : "pt", item, n, &c->message);
    if (!s)
        s = nn_saver_write(saver, &c->message);
    nn_saver_close(saver);
    for (size_t i = 0; name && i < n; i++)
        free(name[i]);
    free(name);
    free(item);
    return s;
}

enum nn_status nn_context_save(struct nn_context *c, const char *path)
{
    return save(c, path, false);
}

enum nn_status nn_context_save_state(struct nn_context *c, const char *path)
{
    return save(c, path, true);
}

enum nn_status nn_context_load(struct nn_context *c, const char *path)
{
    enum nn_status s = nn_context_given(c, path, "the path");
    if (s)
        return s;
    s = nn_context_settle(c);
    if (!s)
        s = c->model->part ? nn_weights_load_part(c->exec, path, c->model->part, &c->message)
                           : nn_weights_load(c->exec, path, "", &c->message);
    c->filled |= !s;
    return s;
}

enum nn_status nn_context_load_state(struct nn_context *c, const char *path)
{
    struct nn_tensors *t;
    enum nn_status s = nn_context_given(c, path, "the path");
    if (!s)
        s = nn_context_settle(c);
    if (!s)
        s = nn_tensors_open(&t, path, &c->message);
    if (s)
        return s;
    s = nn_state_load(c->exec, t, path, &c->message);
    nn_tensors_close(t);
    nn_context_set_length(c);
    c->filled |= !s;
    return s;
}
