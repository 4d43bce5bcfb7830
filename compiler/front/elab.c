/* The elaborator's own state, and how it reports. */
#include "front/elab.h"

struct elab *elab_new(struct front *f)
{
    struct elab *e = xcalloc(1, sizeof *e);
    e->f = f;
    e->d = f->d;
    e->names = f->names;
    e->mem = arena_new();
    e->dims = dims_new();
    return e;
}

void elab_free(struct elab *e)
{
    if (!e)
        return;
    vec_free(&e->params);
    vec_free(&e->insts);
    vec_free(&e->entry);
    vec_free(&e->memo);
    vec_free(&e->stream);
    vec_free(&e->fact);
    for (uint32_t i = 0; i < e->reported.n; i++)
        vec_push(&e->f->reported, e->reported.p[i]);
    vec_free(&e->reported);
    vec_free(&e->constants);
    vec_free(&e->acc);
    vec_free(&e->given);
    vec_free(&e->live);
    train_free(e->train);
    dims_free(e->dims);
    arena_free(e->mem);
    free(e);
}

struct loc elab_user_loc(const struct elab *e, struct loc at)
{
    uint32_t root = e->f->module.p[0]->tree ? e->f->module.p[0]->tree->file : 0;
    if (at.file == root)
        return at;
    for (const struct frame *f = e->frame; f; f = f->up)
        if (f->call.file == root)
            return f->call;
    return at;
}

static bool same_loc(struct loc a, struct loc b)
{
    return a.file == b.file && a.lo == b.lo && a.hi == b.hi;
}

static bool in_library(const struct elab *e, uint32_t file)
{
    for (uint32_t i = 0; i < e->f->module.n; i++) {
        const struct module *m = e->f->module.p[i];
        if (m->tree && m->tree->file == file)
            return m->library;
    }
    return false;
}

/* What is wrong within the standard library is the call's mistake: the innermost call from outside
 * of it, and the name of what was called. */
static struct loc outside_library(const struct elab *e, struct loc at, const char **name)
{
    *name = NULL;
    if (!in_library(e, at.file))
        return at;
    for (const struct frame *f = e->frame; f; f = f->up)
        if (f->call.file && !in_library(e, f->call.file)) {
            *name = f->decl ? f->decl->name.s : NULL;
            return f->call;
        }
    return at;
}

static bool among(const struct elab *e, const struct loc *pair, uint32_t n, struct loc at,
                  struct loc shown, struct loc user)
{
    for (uint32_t i = 0; i + 1 < n; i += 2) {
        if (!same_loc(pair[i + 1], user))
            continue;
        if (same_loc(pair[i], at) || (!same_loc(at, shown) && in_library(e, pair[i].file)))
            return true;
    }
    return false;
}

/* By this elab, or, as the file is checked, by one for another of its parts: a model for all sizes,
 * then in the train block. */
static bool said(const struct elab *e, struct loc at, struct loc shown, struct loc user)
{
    const struct front *f = e->f;
    return among(e, e->reported.p, e->reported.n, at, shown, user) ||
           (!f->checked && among(e, f->reported.p, f->reported.n, at, shown, user));
}

bool elab_error(struct elab *e, struct loc at, const char *fmt, ...)
{
    e->failed = true;
    if (e->quiet)
        return false;
    struct loc user = elab_user_loc(e, at);
    const char *called;
    struct loc shown = outside_library(e, at, &called);
    if (said(e, at, shown, user))
        return false;
    vec_push(&e->reported, at);
    vec_push(&e->reported, user);
    char message[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (called && !strncmp(message, called, strlen(called)) && message[strlen(called)] == ':')
        called = NULL; /* the message names it already */
    diag_error(e->d, shown, "%s%s%s", called ? called : "", called ? ": " : "", message);
    e->last = at;
    e->last_shown = shown;
    return true;
}

void elab_overflow(struct elab *e, struct loc at)
{
    if (dims_overflow(e->dims))
        elab_error(e, at, "a size in here does not fit in 64 bits");
}

void elab_called(struct elab *e)
{
    struct loc user = elab_user_loc(e, e->last);
    if (!same_loc(e->last, e->last_shown))
        diag_note(e->d, e->last, "found here, in the standard library");
    else if (!same_loc(user, e->last))
        diag_note(e->d, user, "in the call from here");
    else if (e->frame && e->frame->decl && e->frame->call.file &&
             !same_loc(e->frame->call, e->last))
        diag_note(e->d, e->frame->call, "in the call from here");
}

const char *elab_suggest(struct elab *e, const char *name, const char *const *p, uint32_t n)
{
    const char *near = nearest_name(name, p, n);
    return near ? arena_printf(e->mem, ", did you mean `%s`?", near) : "";
}

/* ---- looks ---- */

void look_begin(struct elab *e, struct look *l)
{
    const struct activation *act = e->frame->act;
    *l = (struct look){.b = e->b,
                       .init = e->init,
                       .failed = e->failed,
                       .names = act ? act->names.n : 0,
                       .memo = e->memo.n,
                       .insts = e->insts.n,
                       .streams = e->stream.n,
                       .params = e->params.n};
    l->stream = ARENA_ARRAY(e->mem, struct stream, l->streams);
    for (uint32_t i = 0; i < l->streams; i++)
        l->stream[i] = e->stream.p[i];
    l->value = arena_alloc(e->mem, l->params * sizeof *l->value);
    for (uint32_t i = 0; i < l->params; i++) {
        l->value[i][0] = e->params.p[i]->first;
        l->value[i][1] = e->params.p[i]->now;
    }
    memcpy(l->sys, e->sys, sizeof l->sys);
    e->b = e->init = NULL;
    e->quiet++;
}

void look_end(struct elab *e, const struct look *l)
{
    struct activation *act = e->frame->act;
    e->quiet--;
    e->b = l->b;
    e->init = l->init;
    e->failed = l->failed;
    if (act)
        act->names.n = l->names;
    e->memo.n = l->memo;
    e->insts.n = l->insts;
    e->params.n = l->params;
    e->stream.n = l->streams;
    for (uint32_t i = 0; i < l->streams; i++)
        e->stream.p[i] = l->stream[i];
    for (uint32_t i = 0; i < l->params; i++) {
        e->params.p[i]->first = l->value[i][0];
        e->params.p[i]->now = l->value[i][1];
    }
    memcpy(e->sys, l->sys, sizeof l->sys);
}

/* ---- what the runtime sets ---- */

uint32_t sys_slot(struct elab *e, enum sys which)
{
    static const char *const name[] = {"step", "steps", "steps_per_epoch", "seed"};
    uint32_t slot = ir_slot_find(e->m, name[which]);
    if (slot != UINT32_MAX)
        return slot;
    struct ir_slot s = {.name = name[which], .dtype = NN_i64, .kind = NN_SLOT_SYS};
    return ir_slot_add(e->m, s);
}

val sys_value(struct elab *e, enum sys which)
{
    if (e->b && e->b == e->init) { /* an initial value is at step 0, and reads the seed only */
        val v = v_tensor(e, NN_i64, shape_scalar(), (struct loc){0});
        v->t.node = which == SYS_SEED ? ir_slot_read(e->b, sys_slot(e, which))
                                      : ir_const_i(e->b, NN_i64, 0);
        return v;
    }
    if (e->sys[which])
        return e->sys[which];
    val v = v_tensor(e, NN_i64, shape_scalar(), (struct loc){0});
    v->t.weak = true;
    v->t.init = true;
    if (e->b) {
        uint32_t origin = e->b->origin, checkpoint = e->b->checkpoint;
        bool inlined = e->b->inlined;
        e->b->checkpoint = e->b->origin = 0;
        e->b->inlined = false;
        v->t.node = ir_slot_read(e->b, sys_slot(e, which));
        e->b->origin = origin;
        e->b->checkpoint = checkpoint;
        e->b->inlined = inlined;
    }
    return e->sys[which] = v;
}

val sys_epoch(struct elab *e, struct loc at)
{
    val r = emit_binary(e, IR_idiv, sys_value(e, SYS_STEP), sys_value(e, SYS_STEPS_PER_EPOCH), at);
    r->t.init = true;
    return r;
}
