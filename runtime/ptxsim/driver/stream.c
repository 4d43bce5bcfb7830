/* Streams and events. Work is done when it is submitted, in the submitting thread: a stream is held
 * meanwhile, so that two threads' work in one stream, or in the legacy stream and one that it
 * synchronises with, does not run at once. What capture changes is in capture.c. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

/* ---- order ---- */

/* The legacy stream and the context's blocking streams exclude each other. */
static bool may_start(const struct stream *s)
{
    if (s->busy)
        return false;
    const struct context *c = s->o.context;
    if (s->flags & CU_STREAM_NON_BLOCKING)
        return true;
    if (s != c->legacy)
        return !c->legacy->busy;
    for (const struct object *o = c->objects; o; o = o->next) {
        const struct stream *other = (const struct stream *)o;
        if (o->kind == KIND_STREAM && !(other->flags & CU_STREAM_NON_BLOCKING) && other->busy)
            return false;
    }
    return true;
}

void stream_enter(struct stream *s)
{
    while (!may_start(s))
        lock_wait();
    s->busy = true;
    lock_release();
}

void stream_leave(struct stream *s)
{
    lock_acquire();
    s->busy = false;
    if (s->dead)
        free(s);
    lock_signal();
}

CUresult stream_submit(struct stream *s, const struct op *op)
{
    if (s->capture)
        return capture_add(s, op);
    CUresult r = capture_implicit(s);
    if (r)
        return r;
    struct context *c = s->o.context;
    stream_enter(s);
    r = c->sticky ? c->sticky : op_run(op);
    stream_leave(s);
    return r;
}

/* ---- streams ---- */

struct stream *stream_new(struct context *c, unsigned flags, int priority)
{
    static uint64_t ids;
    struct stream *s = calloc(1, sizeof *s);
    if (!s || !object_add(&s->o, KIND_STREAM, c)) {
        free(s);
        return NULL;
    }
    s->flags = flags;
    s->priority = priority;
    s->id = ++ids;
    return s;
}

void stream_end(struct stream *s)
{
    capture_forget_stream(s);
    object_remove(&s->o);
    free(s->last);
    free(s->shown);
    s->last = NULL;
    if (s->busy)
        s->dead = true;
    else
        free(s);
}

static struct stream *thread_stream(struct context *c)
{
    uint64_t me = thread_number();
    for (struct object *o = c->objects; o; o = o->next)
        if (o->kind == KIND_STREAM && ((struct stream *)o)->thread == me)
            return (struct stream *)o;
    struct stream *s = stream_new(c, CU_STREAM_DEFAULT, 0);
    if (s)
        s->thread = me;
    return s;
}

CUresult stream_get(struct context *c, CUstream handle, struct stream **s)
{
    if (!handle || handle == CU_STREAM_LEGACY)
        *s = c->legacy;
    else if (handle == CU_STREAM_PER_THREAD)
        *s = thread_stream(c);
    else
        *s = object_get(KIND_STREAM, handle);
    if (*s)
        return CUDA_SUCCESS;
    return handle == CU_STREAM_PER_THREAD ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult create(struct context *c, CUstream *handle, unsigned flags, int priority)
{
    if (!handle || flags > CU_STREAM_NON_BLOCKING)
        return CUDA_ERROR_INVALID_VALUE;
    priority = priority > 0 ? 0 : priority < -5 ? -5 : priority;
    struct stream *s = stream_new(c, flags, priority);
    if (!s)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *handle = s->o.handle;
    return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *stream, unsigned flags)
{
    ENTER(NEED_CONTEXT);
    return create(call.context, stream, flags, 0);
}

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority)
{
    ENTER(NEED_CONTEXT);
    return create(call.context, stream, flags, priority);
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
    ENTER(NEED_INIT);
    struct stream *s = object_get(KIND_STREAM, stream);
    if (!s || s == s->o.context->legacy || s->thread)
        return CUDA_ERROR_INVALID_HANDLE;
    stream_end(s);
    return CUDA_SUCCESS;
}

CUresult cuStreamGetPriority(CUstream stream, int *priority)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r || !priority)
        return r ? r : CUDA_ERROR_INVALID_VALUE;
    *priority = s->priority;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetFlags(CUstream stream, unsigned *flags)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r || !flags)
        return r ? r : CUDA_ERROR_INVALID_VALUE;
    *flags = s->flags;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetId(CUstream stream, unsigned long long *id)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r || !id)
        return r ? r : CUDA_ERROR_INVALID_VALUE;
    *id = s->id;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetCtx(CUstream stream, CUcontext *context)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r || !context)
        return r ? r : CUDA_ERROR_INVALID_VALUE;
    *context = s->o.context->o.handle;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetCtx_v2(CUstream stream, CUcontext *context, CUgreenCtx *green)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r || !context)
        return r ? r : CUDA_ERROR_INVALID_VALUE;
    *context = s->o.context->o.handle;
    if (green)
        *green = NULL;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetDevice(CUstream stream, CUdevice *device)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r || !device)
        return r ? r : CUDA_ERROR_INVALID_VALUE;
    *device = s->o.context->device->ordinal;
    return CUDA_SUCCESS;
}

/* Nothing is ever under way but another thread's call. */
CUresult cuStreamSynchronize(CUstream stream)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r)
        return r;
    if (s->capture)
        return capture_refuse(s);
    r = capture_implicit(s);
    if (r)
        return r;
    stream_enter(s);
    stream_leave(s);
    return call.context->sticky;
}

CUresult cuStreamQuery(CUstream stream)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r)
        return r;
    if (s->capture)
        return capture_refuse(s);
    r = capture_implicit(s);
    return r ? r : may_start(s) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

/* ---- host functions ---- */

static CUresult host_op(struct context *c, CUstream stream, struct op *op)
{
    struct stream *s;
    CUresult r = stream_get(c, stream, &s);
    op->kind = OP_HOST;
    op->context = c;
    op->context_handle = c->o.handle;
    op->host.stream = stream;
    return r ? r : stream_submit(s, op);
}

CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void *data)
{
    ENTER(NEED_CONTEXT);
    struct op op = {.host = {.function = function, .data = data}};
    return function ? host_op(call.context, stream, &op) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuStreamAddCallback(CUstream stream, CUstreamCallback callback, void *data, unsigned flags)
{
    ENTER(NEED_CONTEXT);
    struct op op = {.host = {.callback = callback, .data = data}};
    struct stream *s;
    if (!callback || flags)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = stream_get(call.context, stream, &s);
    if (r)
        return r;
    return s->capture ? capture_refuse(s) : host_op(call.context, stream, &op);
}

/* ---- attributes: hints, of which only the priority is kept ---- */

CUresult cuStreamGetAttribute(CUstream stream, CUlaunchAttributeID attribute,
                              CUlaunchAttributeValue *value)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r || !value || (int)attribute < 0 ||
        attribute > CU_LAUNCH_ATTRIBUTE_NVLINK_UTIL_CENTRIC_SCHEDULING)
        return r ? r : CUDA_ERROR_INVALID_VALUE;
    memset(value, 0, sizeof *value);
    if (attribute == CU_LAUNCH_ATTRIBUTE_PRIORITY)
        value->priority = s->priority;
    if (attribute == CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY)
        value->syncPolicy = 1;
    return CUDA_SUCCESS;
}

CUresult cuStreamSetAttribute(CUstream stream, CUlaunchAttributeID attribute,
                              const CUlaunchAttributeValue *value)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r || !value || (int)attribute < 0 ||
        attribute > CU_LAUNCH_ATTRIBUTE_NVLINK_UTIL_CENTRIC_SCHEDULING)
        return r ? r : CUDA_ERROR_INVALID_VALUE;
    if (attribute == CU_LAUNCH_ATTRIBUTE_PRIORITY)
        s->priority = value->priority > 0 ? 0 : value->priority < -5 ? -5 : value->priority;
    return CUDA_SUCCESS;
}

CUresult cuStreamCopyAttributes(CUstream to, CUstream from)
{
    ENTER(NEED_CONTEXT);
    struct stream *t, *f;
    CUresult r = stream_get(call.context, to, &t);
    if (!r)
        r = stream_get(call.context, from, &f);
    if (!r)
        t->priority = f->priority;
    return r;
}

/* ---- events ---- */

void event_end(struct event *e)
{
    capture_forget_event(e);
    object_remove(&e->o);
    free(e);
}

CUresult event_record(struct event *e)
{
    capture_forget_event(e);
    e->recorded = true;
    e->time = now();
    return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent *handle, unsigned flags)
{
    ENTER(NEED_CONTEXT);
    unsigned all = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
    if (!handle || flags & ~all)
        return CUDA_ERROR_INVALID_VALUE;
    if (flags & CU_EVENT_INTERPROCESS)
        return flags & CU_EVENT_DISABLE_TIMING
                   ? not_simulated("cuEventCreate", "events cannot be shared between processes")
                   : CUDA_ERROR_INVALID_VALUE;
    struct event *e = calloc(1, sizeof *e);
    if (!e || !object_add(&e->o, KIND_EVENT, call.context)) {
        free(e);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    e->flags = flags;
    *handle = e->o.handle;
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event)
{
    ENTER(NEED_INIT);
    struct event *e = object_get(KIND_EVENT, event);
    if (!e)
        return CUDA_ERROR_INVALID_HANDLE;
    event_end(e);
    return CUDA_SUCCESS;
}

static CUresult record(struct context *c, CUevent event, CUstream stream, unsigned flags)
{
    struct stream *s;
    struct event *e = object_get(KIND_EVENT, event);
    if (!e)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = stream_get(c, stream, &s);
    if (r)
        return r;
    if (e->o.context != s->o.context)
        return CUDA_ERROR_INVALID_HANDLE;
    if (flags & CU_EVENT_RECORD_EXTERNAL) {
        if (!s->capture)
            return CUDA_ERROR_ILLEGAL_STATE;
    } else if (s->capture) {
        return capture_record(s, e);
    }
    struct op op = {.kind = OP_RECORD, .context = c, .context_handle = c->o.handle, .event = event};
    return stream_submit(s, &op);
}

CUresult cuEventRecord(CUevent event, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return record(call.context, event, stream, 0);
}

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags)
{
    ENTER(NEED_CONTEXT);
    if (flags > CU_EVENT_RECORD_EXTERNAL)
        return CUDA_ERROR_INVALID_VALUE;
    return record(call.context, event, stream, flags);
}

static CUresult event_done(CUevent event)
{
    struct event *e = object_get(KIND_EVENT, event);
    if (!e)
        return CUDA_ERROR_INVALID_HANDLE;
    return e->capture ? CUDA_ERROR_CAPTURED_EVENT : e->o.context->sticky;
}

CUresult cuEventQuery(CUevent event)
{
    ENTER(NEED_INIT);
    return event_done(event);
}

CUresult cuEventSynchronize(CUevent event)
{
    ENTER(NEED_INIT);
    return event_done(event);
}

static CUresult elapsed(float *ms, CUevent begin, CUevent end)
{
    struct event *a = object_get(KIND_EVENT, begin), *b = object_get(KIND_EVENT, end);
    if (!ms)
        return CUDA_ERROR_INVALID_VALUE;
    if (!a || !b || (a->flags | b->flags) & CU_EVENT_DISABLE_TIMING || !a->recorded ||
        !b->recorded || a->capture || b->capture || a->o.context != b->o.context)
        return CUDA_ERROR_INVALID_HANDLE;
    *ms = (float)((b->time - a->time) * 1e3);
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime_v2(float *ms, CUevent begin, CUevent end)
{
    ENTER(NEED_INIT);
    return elapsed(ms, begin, end);
}

CUresult cuEventElapsedTime(float *ms, CUevent begin, CUevent end)
{
    ENTER(NEED_INIT);
    return elapsed(ms, begin, end);
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    struct event *e = object_get(KIND_EVENT, event);
    CUresult r = stream_get(call.context, stream, &s);
    if (flags > CU_EVENT_WAIT_EXTERNAL)
        return CUDA_ERROR_INVALID_VALUE;
    if (r || !e)
        return r ? r : CUDA_ERROR_INVALID_HANDLE;
    if (flags & CU_EVENT_WAIT_EXTERNAL) {
        if (!s->capture)
            return CUDA_ERROR_ILLEGAL_STATE;
        struct op op = {.kind = OP_WAIT,
                        .context = call.context,
                        .context_handle = call.context->o.handle,
                        .event = event};
        return capture_add(s, &op);
    }
    if (s->capture || e->capture)
        return capture_wait(s, e);
    return capture_implicit(s);
}

CUresult cuCtxRecordEvent(CUcontext handle, CUevent event)
{
    ENTER(NEED_INIT);
    struct context *c = handle ? context_get(handle) : call.context;
    struct event *e = object_get(KIND_EVENT, event);
    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!e || e->o.context != c)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = capture_unsafe(c);
    return r ? r : event_record(e);
}

CUresult cuCtxWaitEvent(CUcontext handle, CUevent event)
{
    ENTER(NEED_INIT);
    struct context *c = handle ? context_get(handle) : call.context;
    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    return object_get(KIND_EVENT, event) ? capture_unsafe(c) : CUDA_ERROR_INVALID_HANDLE;
}
