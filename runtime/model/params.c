/* Parameters and states by name, as views and DLPack tensors over the slots. */
#include "model/context.h"

#include <stdlib.h>
#include <string.h>

static bool is_param(const struct nn_slot_rec *s)
{
    return s->kind == NN_SLOT_PARAM || s->kind == NN_SLOT_STATE;
}

enum nn_status nn_params_open(struct nn_context *c, struct nn_message *m)
{
    uint32_t slots = nn_exec_image(c->exec)->slot_count;
    c->param = calloc(slots + 1u, sizeof *c->param);
    if (!c->param)
        return nn_fail(m, NN_MACHINE, "out of memory");
    for (uint32_t i = 0; i < slots; i++) {
        const struct nn_slot_rec *s = nn_exec_slot_rec(c->exec, (int)i);
        if (!is_param(s))
            continue;
        struct param *p = &c->param[c->params++];
        p->slot = i;
        int64_t stride = 1;
        for (uint32_t k = s->rank; k-- > 0;) {
            p->shape[k] = s->dim[k];
            p->strides[k] = stride;
            stride *= s->dim[k];
        }
    }
    return NN_OK;
}

uint32_t nn_context_params(const struct nn_context *c) { return c ? c->params : 0; }

const char *nn_context_param_name(const struct nn_context *c, uint32_t i)
{
    return c && i < c->params
               ? nn_exec_text(c->exec, nn_exec_slot_rec(c->exec, (int)c->param[i].slot)->name)
               : NULL;
}

static uint8_t type_code(enum nn_dtype t)
{
    switch (t) {
    case NN_f64:
    case NN_f32:
    case NN_f16: return 2;
    case NN_bf16: return 4;
    case NN_i64:
    case NN_i32:
    case NN_i8: return 0;
    case NN_u8: return 1;
    case NN_bool: return 6;
    case NN_DTYPE_COUNT: break;
    }
    return 3; /* DLPack's opaque handle */
}

/* The memory where it computes, with no step under way. */
static enum nn_status view_of(struct nn_context *c, struct param *p, struct nn_dltensor *view)
{
    const struct nn_slot_rec *s = nn_exec_slot_rec(c->exec, (int)p->slot);
    enum nn_dtype t = (enum nn_dtype)s->dtype;
    void *at = NULL;
    enum nn_status status = nn_context_settle(c);
    if (!status)
        status = nn_exec_slot_device(c->exec, (int)p->slot, &at, &c->message);
    if (status)
        return status;
    *view = (struct nn_dltensor){.data = at,
                                 .device = {c->gpu.device ? 2 : 1, c->gpu.ordinal},
                                 .rank = s->rank,
                                 .dtype = {type_code(t), (uint8_t)(8 * nn_dtype_size(t)), 1},
                                 .shape = p->shape,
                                 .strides = p->strides};
    c->filled = true; /* the caller may write through it */
    return NN_OK;
}

enum nn_status nn_context_param(struct nn_context *c, const char *name, struct nn_dltensor *view)
{
    enum nn_status s = nn_context_given(c, name, "the parameter's name");
    if (!s)
        s = nn_context_given(c, view, "the place for the view");
    if (s)
        return s;
    *view = (struct nn_dltensor){0};
    for (uint32_t i = 0; i < c->params; i++)
        if (!strcmp(nn_context_param_name(c, i), name))
            return view_of(c, &c->param[i], view);
    return nn_fail(&c->message, NN_USAGE, "%s has no parameter or state %.200s", c->model->name,
                   name);
}

static void release(struct nn_dlmanaged *t)
{
    nn_context_release(t->context);
    free(t);
}

struct nn_dlmanaged *nn_context_param_dlpack(struct nn_context *c, const char *name)
{
    struct nn_dltensor view;
    if (nn_context_param(c, name, &view))
        return NULL;
    struct nn_dlmanaged *t = malloc(sizeof *t);
    if (!t) {
        nn_fail(&c->message, NN_MACHINE, "out of memory");
        return NULL;
    }
    *t = (struct nn_dlmanaged){.tensor = view, .context = c, .deleter = release};
    atomic_fetch_add(&c->holders, 1);
    return t;
}
