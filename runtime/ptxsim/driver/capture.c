/* Stream capture: what streams are asked to do becomes nodes of a graph. A stream in a capture
 * remembers the nodes that its next one depends on; an event recorded there remembers them, and a
 * stream that waits for it joins the capture. Errors are those of the API's documentation, and a
 * forbidden call makes the capture invalid. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

static struct capture *captures; /* under way */
static _Thread_local CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

/* ---- lists of nodes ---- */

static bool has(struct node *const *list, size_t n, const struct node *x)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == x)
            return true;
    return false;
}

static CUresult add(struct node ***list, size_t *n, struct node *const *more, size_t more_n)
{
    if (!more_n)
        return CUDA_SUCCESS;
    struct node **grown = realloc(*list, (*n + more_n) * sizeof(struct node *));
    if (!grown)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *list = grown;
    for (size_t i = 0; i < more_n; i++)
        if (!has(grown, *n, more[i]))
            grown[(*n)++] = more[i];
    return CUDA_SUCCESS;
}

static CUresult replace(struct node ***list, size_t *n, struct node *const *by, size_t by_n)
{
    *n = 0;
    return add(list, n, by, by_n);
}

/* ---- what captures forbid ---- */

CUresult capture_unsafe(struct context *c)
{
    uint64_t me = thread_number();
    (void)c;
    if (thread_mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_SUCCESS;
    for (struct capture *k = captures; k; k = k->next) {
        bool minds = k->mode == CU_STREAM_CAPTURE_MODE_RELAXED ? false
                     : k->thread == me                         ? true
                                       : k->mode == CU_STREAM_CAPTURE_MODE_GLOBAL &&
                                             thread_mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
        if (minds) {
            k->invalid = true;
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
    }
    return CUDA_SUCCESS;
}

CUresult capture_implicit(struct stream *s)
{
    struct context *c = s->o.context;
    if (s != c->legacy)
        return CUDA_SUCCESS;
    for (struct object *o = c->objects; o; o = o->next) {
        struct stream *other = (struct stream *)o;
        if (o->kind == KIND_STREAM && other->capture && !(other->flags & CU_STREAM_NON_BLOCKING)) {
            other->capture->invalid = true;
            return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
        }
    }
    return CUDA_SUCCESS;
}

CUresult capture_refuse(struct stream *s)
{
    s->capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

/* ---- growing ---- */

CUresult capture_add(struct stream *s, const struct op *op)
{
    struct capture *k = s->capture;
    struct node *n;
    if (k->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    CUresult r = node_new(k->graph, op, s->last, s->last_count, &n);
    if (!r)
        r = replace(&s->last, &s->last_count, &n, 1);
    k->invalid = r != CUDA_SUCCESS;
    return r;
}

CUresult capture_record(struct stream *s, struct event *e)
{
    if (s->capture->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    CUresult r = replace(&e->last, &e->last_count, s->last, s->last_count);
    e->capture = r ? NULL : s->capture;
    return r;
}

CUresult capture_wait(struct stream *s, struct event *e)
{
    if (e->capture && e->o.context != s->o.context) {
        e->capture->invalid = true;
        return not_simulated("cuStreamWaitEvent", "a capture that goes through several contexts");
    }
    if (!s->capture) { /* joins the event's */
        if (s == s->o.context->legacy) {
            e->capture->invalid = true;
            return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
        }
        if (e->capture->invalid)
            return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        s->capture = e->capture;
        return replace(&s->last, &s->last_count, e->last, e->last_count);
    }
    if (s->capture->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (!e->capture) {
        if (!e->recorded)
            return CUDA_SUCCESS; /* nothing to wait for */
        s->capture->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    }
    if (e->capture != s->capture) {
        s->capture->invalid = e->capture->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_MERGE;
    }
    return add(&s->last, &s->last_count, e->last, e->last_count);
}

/* ---- beginning and end ---- */

void capture_forget_event(struct event *e)
{
    free(e->last);
    e->last = NULL;
    e->last_count = 0;
    e->capture = NULL;
}

/* Streams and events that were in it are free again. */
static void leave(struct capture *k)
{
    struct object *o = k->origin->o.context->objects;
    for (; o; o = o->next) {
        if (o->kind == KIND_STREAM && ((struct stream *)o)->capture == k) {
            ((struct stream *)o)->capture = NULL;
            ((struct stream *)o)->last_count = 0;
        } else if (o->kind == KIND_EVENT && ((struct event *)o)->capture == k) {
            capture_forget_event((struct event *)o);
        }
    }
    struct capture **at = &captures;
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    k->graph->capturing--;
}

void capture_forget_stream(struct stream *s)
{
    struct capture *k = s->capture;
    if (!k)
        return;
    k->invalid = true;
    s->capture = NULL;
    if (k->origin == s) {
        struct graph *g = k->graph;
        leave(k);
        if (k->owned)
            graph_end(g);
        free(k);
    }
}

static CUresult begin(struct context *c, CUstream stream, struct graph *to, struct node **on,
                      size_t n, CUstreamCaptureMode mode)
{
    static uint64_t ids;
    struct stream *s;
    if (mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = stream_get(c, stream, &s);
    if (r)
        return r;
    if (s == s->o.context->legacy)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (s->capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    struct capture *k = calloc(1, sizeof *k);
    if (!k)
        return CUDA_ERROR_OUT_OF_MEMORY;
    k->owned = !to;
    k->graph = to ? to : graph_new();
    r = k->graph ? replace(&s->last, &s->last_count, on, n) : CUDA_ERROR_OUT_OF_MEMORY;
    if (r) {
        if (k->owned && k->graph)
            graph_end(k->graph);
        free(k);
        return r;
    }
    k->id = ++ids;
    k->thread = thread_number();
    k->mode = mode;
    k->origin = s;
    k->next = captures;
    k->graph->capturing++;
    captures = k;
    s->capture = k;
    return CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
    ENTER(NEED_CONTEXT);
    return begin(call.context, stream, NULL, NULL, 0, mode);
}

CUresult cuStreamBeginCapture(CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return begin(call.context, stream, NULL, NULL, 0, CU_STREAM_CAPTURE_MODE_GLOBAL);
}

CUresult cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph, const CUgraphNode *on,
                                     const CUgraphEdgeData *edges, size_t n,
                                     CUstreamCaptureMode mode)
{
    ENTER(NEED_CONTEXT);
    struct graph *g = object_get(KIND_GRAPH, graph);
    struct node **nodes;
    (void)edges;
    if (!g || g->child)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = nodes_of(g, on, n, &nodes);
    if (r)
        return r;
    r = begin(call.context, stream, g, nodes, n, mode);
    free(nodes);
    return r;
}

/* All that was captured leads to where the origin stream is. */
static bool joined(struct capture *k)
{
    struct stream *origin = k->origin;
    for (struct object *o = origin->o.context->objects; o; o = o->next) {
        struct stream *s = (struct stream *)o;
        if (o->kind != KIND_STREAM || s->capture != k || s == origin)
            continue;
        for (size_t i = 0; i < s->last_count; i++) {
            bool found = false;
            for (size_t j = 0; j < origin->last_count && !found; j++)
                found = node_reaches(origin->last[j], s->last[i]);
            if (!found)
                return false;
        }
    }
    return true;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
    ENTER(NEED_CONTEXT);
    struct stream *s;
    CUresult r = stream_get(call.context, stream, &s);
    if (r || !graph)
        return r ? r : CUDA_ERROR_INVALID_VALUE;
    *graph = NULL;
    struct capture *k = s->capture;
    if (!k)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (k->origin != s) {
        k->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    }
    if (k->mode != CU_STREAM_CAPTURE_MODE_RELAXED && k->thread != thread_number())
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    if (k->invalid)
        r = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    else if (!joined(k))
        r = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    leave(k);
    if (!r)
        *graph = k->graph->o.handle;
    else if (k->owned)
        graph_end(k->graph);
    free(k);
    return r;
}

/* ---- queries ---- */

static CUresult info(struct context *c, CUstream stream, CUstreamCaptureStatus *status,
                     cuuint64_t *id, CUgraph *graph, const CUgraphNode **on, size_t *n)
{
    struct stream *s;
    CUresult r = stream_get(c, stream, &s);
    if (r || !status)
        return r ? r : CUDA_ERROR_INVALID_VALUE;
    struct capture *k = s->capture;
    if (!k)
        r = capture_implicit(s);
    *status = !k           ? CU_STREAM_CAPTURE_STATUS_NONE
              : k->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                           : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    if (r || !k || k->invalid)
        return r;
    if (id)
        *id = k->id;
    if (graph)
        *graph = k->graph->o.handle;
    if (n)
        *n = s->last_count;
    if (on) {
        CUgraphNode *shown = realloc(s->shown, (s->last_count + 1) * sizeof *shown);
        if (!shown)
            return CUDA_ERROR_OUT_OF_MEMORY;
        for (size_t i = 0; i < s->last_count; i++)
            shown[i] = s->last[i]->o.handle;
        *on = s->shown = shown;
    }
    return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status)
{
    ENTER(NEED_CONTEXT);
    return info(call.context, stream, status, NULL, NULL, NULL, NULL);
}

CUresult cuStreamGetCaptureInfo(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id)
{
    ENTER(NEED_CONTEXT);
    return info(call.context, stream, status, id, NULL, NULL, NULL);
}

CUresult cuStreamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id,
                                   CUgraph *graph, const CUgraphNode **on, size_t *n)
{
    ENTER(NEED_CONTEXT);
    return info(call.context, stream, status, id, graph, on, n);
}

CUresult cuStreamGetCaptureInfo_v3(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id,
                                   CUgraph *graph, const CUgraphNode **on,
                                   const CUgraphEdgeData **edges, size_t *n)
{
    ENTER(NEED_CONTEXT);
    if (edges)
        *edges = NULL;
    return info(call.context, stream, status, id, graph, on, n);
}

static CUresult update(struct context *c, CUstream stream, CUgraphNode *on, size_t n,
                       unsigned flags)
{
    struct stream *s;
    struct node **nodes;
    CUresult r = stream_get(c, stream, &s);
    if (r || flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES)
        return r ? r : CUDA_ERROR_INVALID_VALUE;
    if (!s->capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (s->capture->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    r = nodes_of(s->capture->graph, on, n, &nodes);
    if (r)
        return r;
    r = flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES ? replace(&s->last, &s->last_count, nodes, n)
                                                    : add(&s->last, &s->last_count, nodes, n);
    free(nodes);
    return r;
}

CUresult cuStreamUpdateCaptureDependencies(CUstream stream, CUgraphNode *on, size_t n,
                                           unsigned flags)
{
    ENTER(NEED_CONTEXT);
    return update(call.context, stream, on, n, flags);
}

CUresult cuStreamUpdateCaptureDependencies_v2(CUstream stream, CUgraphNode *on,
                                              const CUgraphEdgeData *edges, size_t n,
                                              unsigned flags)
{
    ENTER(NEED_CONTEXT);
    (void)edges;
    return update(call.context, stream, on, n, flags);
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    ENTER(NEED_NOTHING);
    if (!mode || *mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    CUstreamCaptureMode old = thread_mode;
    thread_mode = *mode;
    *mode = old;
    return CUDA_SUCCESS;
}
