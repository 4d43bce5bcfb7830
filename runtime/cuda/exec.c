/* Runs: each graph of the image is captured once a set of buffers and then replayed. A run is:
 * inputs staged in pinned memory and copied by the stream for copies, then, in the stream for
 * computing, the fault cleared, the launches, small outputs and the fault back to pinned memory.
 * The set's event `done` ends it; no run takes a set before that. */
#include "cuda/private.h"

#include <stdlib.h>
#include <string.h>

static bool in_ring(const struct nn_graph *g)
{
    return g->output_bytes && g->output_bytes <= NN_RING_BYTES;
}

/* ---- opening ---- */

enum nn_status cuda_prepare(struct nn_device *x, const struct nn_program *c, struct nn_message *m)
{
    struct cuda *d = cuda_of(x);
    size_t in = nn_round_up(c->memory.input_bytes, 64), out = 0;
    d->graphs = c->image->graph_count;
    for (uint32_t g = 0; g < d->graphs; g++)
        if (in_ring(&c->graph[g]) && c->graph[g].output_bytes > out)
            out = c->graph[g].output_bytes;
    size_t bytes = in + nn_round_up(out, 64) + 64;
    void *pinned = NULL;
    enum nn_status s = CU(d->c, m, cuMemHostAlloc, &pinned, NN_RUNS * bytes, 0);
    if (s)
        return s;
    d->pinned = pinned;
    for (int k = 0; !s && k < NN_RUNS; k++) {
        d->set[k].in = d->pinned + (size_t)k * bytes;
        d->set[k].out = d->set[k].in + in;
        d->set[k].fault = (struct nn_fault *)(void *)(d->set[k].in + bytes - 64);
        d->set[k].exec = calloc(d->graphs + 1u, sizeof *d->set[k].exec);
        s = d->set[k].exec ? NN_OK : nn_fail(m, NN_MACHINE, "out of memory");
        if (!s)
            s = CU(d->c, m, cuEventCreate, &d->set[k].copied, CU_EVENT_DISABLE_TIMING);
        if (!s)
            s = CU(d->c, m, cuEventCreate, &d->set[k].done, CU_EVENT_DISABLE_TIMING);
    }
    if (!s)
        s = CU(d->c, m, cuEventCreate, &d->from, CU_EVENT_DEFAULT);
    if (!s)
        s = CU(d->c, m, cuEventCreate, &d->to, CU_EVENT_DEFAULT);
    if (!s && d->blas)
        s = blas_workspace(d->blas, c->memory.own, c->memory.own_bytes, m);
    return s;
}

void cuda_end_runs(struct cuda *d)
{
    for (int k = 0; k < NN_RUNS; k++) {
        for (uint32_t g = 0; d->set[k].exec && g < d->graphs; g++)
            if (d->set[k].exec[g])
                d->c->cuGraphExecDestroy(d->set[k].exec[g]);
        free(d->set[k].exec);
        if (d->set[k].copied)
            d->c->cuEventDestroy(d->set[k].copied);
        if (d->set[k].done)
            d->c->cuEventDestroy(d->set[k].done);
    }
    memset(d->set, 0, sizeof d->set);
    if (d->from)
        d->c->cuEventDestroy(d->from);
    if (d->to)
        d->c->cuEventDestroy(d->to);
    if (d->pinned)
        d->c->cuMemFreeHost(d->pinned);
    d->from = d->to = NULL;
    d->pinned = NULL;
}

/* ---- launches ---- */

static enum nn_status enqueue(struct cuda *d, const struct nn_launch *l, struct nn_fault *fault,
                              struct nn_message *m)
{
    if (l->gemm)
        return blas_gemm(d->blas, l->gemm, l->arg, m);
    enum nn_status s = NN_OK;
    uint32_t n = l->rec->arg_count;
    for (uint32_t i = 0; i < n; i++)
        d->param[i] = &l->arg[i];
    d->param[n] = &fault;
    for (uint32_t p = 0; !s && p < l->rec->phase_count; p++) {
        const struct nn_phase_rec *ph = &l->phase[p];
        if (ph->chunks)
            s = CU(d->c, m, cuLaunchKernel, d->function[d->first[l->rec->kernel] + p],
                   (unsigned)ph->chunks, 1, 1, ph->threads, 1, 1, ph->shared, d->compute, d->param,
                   NULL);
    }
    return s;
}

static enum nn_status clear_fault(struct cuda *d, struct nn_fault *fault, struct nn_message *m)
{
    return CU(d->c, m, cuMemsetD8Async, cu_at(fault), 0, sizeof *fault, d->compute);
}

static enum nn_status fetch_fault(struct cuda *d, int set, const struct nn_fault *fault,
                                  struct nn_message *m)
{
    return CU(d->c, m, cuMemcpyDtoHAsync, d->set[set].fault, cu_at(fault), sizeof *fault,
              d->compute);
}

enum nn_status cuda_launch(struct nn_device *x, const struct nn_program *c,
                           const struct nn_launch *l, struct nn_fault *fault, double *seconds,
                           struct nn_message *m)
{
    struct cuda *d = cuda_of(x);
    float ms = 0;
    enum nn_status s = CU(d->c, m, cuCtxSetCurrent, d->context);
    if (!s)
        s = clear_fault(d, c->memory.fault[0], m);
    if (!s && seconds)
        s = CU(d->c, m, cuEventRecord, d->from, d->compute);
    if (!s)
        s = enqueue(d, l, c->memory.fault[0], m);
    if (!s && seconds)
        s = CU(d->c, m, cuEventRecord, d->to, d->compute);
    if (!s)
        s = fetch_fault(d, 0, c->memory.fault[0], m);
    if (!s)
        s = CU(d->c, m, cuStreamSynchronize, d->compute);
    if (!s)
        *fault = *d->set[0].fault;
    if (!s && seconds) {
        s = CU(d->c, m, cuEventElapsedTime, &ms, d->from, d->to);
        *seconds = (double)ms * 1e-3;
    }
    return s;
}

/* ---- graphs ---- */

/* The launches of one part of the batch: its inputs, its number. */
static enum nn_status enqueue_part(struct cuda *d, const struct nn_program *c,
                                   const struct nn_graph *g, int set, uint32_t part,
                                   struct nn_message *m)
{
    enum nn_status s = NN_OK;
    for (uint32_t i = 0; i < g->patches; i++)
        *g->patch[i].at = c->memory.inputs[set] + nn_patch_at(g, &g->patch[i], part);
    if (g->rec->parts > 1)
        s = CU(d->c, m, cuMemsetD32Async, cu_at(c->memory.slots + g->rec->part_at), part, 1,
               d->compute);
    for (uint32_t i = 0; !s && i < g->rec->part_launches; i++)
        s = enqueue(d, &g->launch[i], c->memory.fault[set], m);
    return s;
}

static enum nn_status enqueue_all(struct cuda *d, const struct nn_program *c,
                                  const struct nn_graph *g, int set, struct nn_message *m)
{
    struct nn_fault *fault = c->memory.fault[set];
    enum nn_status s = clear_fault(d, fault, m);
    for (uint32_t p = 0; !s && p < nn_graph_parts(g); p++)
        s = enqueue_part(d, c, g, set, p, m);
    for (uint32_t i = g->rec->part_launches; !s && i < g->rec->launch_count; i++)
        s = enqueue(d, &g->launch[i], fault, m);
    if (!s && in_ring(g))
        s = CU(d->c, m, cuMemcpyDtoHAsync, d->set[set].out, cu_at(g->output), g->output_bytes,
               d->compute);
    return s ? s : fetch_fault(d, set, fault, m);
}

static enum nn_status capture(struct cuda *d, const struct nn_program *c, const struct nn_graph *g,
                              int set, struct nn_message *m)
{
    void *graph = NULL, **exec = &d->set[set].exec[g->number];
    enum nn_status s =
        CU(d->c, m, cuStreamBeginCapture, d->compute, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    if (s)
        return s;
    s = enqueue_all(d, c, g, set, m);
    int ended = d->c->cuStreamEndCapture(d->compute, &graph);
    if (ended) /* a stream that goes on capturing could not even be closed */
        d->c->cuStreamEndCapture(d->compute, &graph);
    if (!s)
        s = cu_check(d->c, ended, "cuStreamEndCapture", m);
    if (!s)
        s = CU(d->c, m, cuGraphInstantiate, exec, graph, 0);
    if (s)
        *exec = NULL;
    if (graph)
        d->c->cuGraphDestroy(graph);
    return s;
}

static enum nn_status wait_for(struct cuda *d, int set, struct nn_message *m)
{
    if (!d->set[set].pending)
        return NN_OK;
    d->set[set].pending = false;
    return CU(d->c, m, cuEventSynchronize, d->set[set].done);
}

/* The inputs by way of pinned memory, while the run before still computes. */
static enum nn_status stage(struct cuda *d, const struct nn_program *c, const struct nn_graph *g,
                            int set, const void *const *inputs, struct nn_message *m)
{
    const struct nn_value_rec *v = nn_image_at(c->image, g->rec->inputs_at);
    if (!g->input_bytes)
        return NN_OK;
    for (uint32_t i = 0; i < g->rec->input_count; i++) {
        size_t bytes = v[i].bytes / nn_graph_parts(g);
        for (uint32_t p = 0; p < nn_graph_parts(g); p++)
            memcpy(d->set[set].in + g->input_at[i] + p * g->input_step[i],
                   (const char *)inputs[i] + p * bytes, bytes);
        if (g->input_whole[i].read)
            memcpy(d->set[set].in + g->input_whole[i].at, inputs[i], v[i].bytes);
    }
    enum nn_status s = CU(d->c, m, cuMemcpyHtoDAsync, cu_at(c->memory.inputs[set]), d->set[set].in,
                          g->input_bytes, d->copy);
    if (!s)
        s = CU(d->c, m, cuEventRecord, d->set[set].copied, d->copy);
    return s ? s : CU(d->c, m, cuStreamWaitEvent, d->compute, d->set[set].copied, 0);
}

enum nn_status cuda_start(struct nn_device *x, const struct nn_program *c, struct nn_graph *g,
                          int set, const void *const *inputs, struct nn_message *m)
{
    struct cuda *d = cuda_of(x);
    enum nn_status s = CU(d->c, m, cuCtxSetCurrent, d->context);
    if (!s)
        s = wait_for(d, set, m);
    if (!s && !d->set[set].exec[g->number])
        s = capture(d, c, g, set, m);
    if (!s)
        s = stage(d, c, g, set, inputs, m);
    if (!s)
        s = CU(d->c, m, cuGraphLaunch, d->set[set].exec[g->number], d->compute);
    if (!s)
        s = CU(d->c, m, cuEventRecord, d->set[set].done, d->compute);
    d->set[set].pending = !s;
    return s;
}

enum nn_status cuda_finish(struct nn_device *x, const struct nn_program *c, struct nn_graph *g,
                           int set, struct nn_fault *fault, unsigned char *outputs,
                           struct nn_message *m)
{
    (void)c;
    struct cuda *d = cuda_of(x);
    enum nn_status s = CU(d->c, m, cuCtxSetCurrent, d->context);
    if (!s)
        s = wait_for(d, set, m);
    if (s)
        return s;
    *fault = *d->set[set].fault;
    if (in_ring(g))
        memcpy(outputs, d->set[set].out, g->output_bytes);
    else if (g->output_bytes)
        s = x->ops->read(x, outputs, g->output, g->output_bytes, m);
    return s;
}
