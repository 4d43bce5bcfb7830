/* One unit of a stream's or a graph's work: copied with what it points to, and run. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

static CUresult kernel_copy(struct op_kernel *to, const struct op_kernel *from)
{
    *to = *from;
    to->params = malloc((size_t)from->param_bytes + 1);
    to->pointers = calloc((size_t)from->param_count + 1, sizeof *to->pointers);
    if (!to->params || !to->pointers)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(to->params, from->params, from->param_bytes);
    for (uint32_t i = 0; i < from->param_count; i++)
        to->pointers[i] = (char *)to->params + ((char *)from->pointers[i] - (char *)from->params);
    return CUDA_SUCCESS;
}

CUresult op_copy(struct op *to, const struct op *from)
{
    CUresult r = CUDA_SUCCESS;
    *to = *from;
    switch (from->kind) {
    case OP_KERNEL: r = kernel_copy(&to->kernel, &from->kernel); break;
    case OP_CODE:
        to->code.data = malloc(from->code.bytes + 1);
        if (to->code.data)
            memcpy(to->code.data, from->code.data, from->code.bytes);
        else
            r = CUDA_ERROR_OUT_OF_MEMORY;
        break;
    case OP_CHILD: r = graph_clone(from->child, &to->child); break;
    case OP_EMPTY:
    case OP_COPY:
    case OP_SET:
    case OP_HOST:
    case OP_RECORD:
    case OP_WAIT: break;
    }
    if (r) {
        op_free(to);
        to->kind = OP_EMPTY;
    }
    return r;
}

void op_free(struct op *op)
{
    switch (op->kind) {
    case OP_KERNEL:
        free(op->kernel.params);
        free(op->kernel.pointers);
        op->kernel.params = NULL;
        op->kernel.pointers = NULL;
        break;
    case OP_CODE:
        free(op->code.data);
        op->code.data = NULL;
        break;
    case OP_CHILD:
        if (op->child)
            graph_end(op->child);
        op->child = NULL;
        break;
    case OP_EMPTY:
    case OP_COPY:
    case OP_SET:
    case OP_HOST:
    case OP_RECORD:
    case OP_WAIT: break;
    }
}

CUresult op_ready(const struct op *op)
{
    if (op->kind == OP_CHILD)
        return CUDA_SUCCESS; /* its own operations are looked at as they come */
    if (context_get(op->context_handle) != op->context || !op->context)
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    if (op->kind == OP_KERNEL &&
        object_get(KIND_FUNCTION, op->kernel.handle) != op->kernel.function)
        return CUDA_ERROR_INVALID_HANDLE;
    return op->context->sticky;
}

static CUresult record(const struct op *op)
{
    lock_acquire();
    struct event *e = object_get(KIND_EVENT, op->event);
    CUresult r = e ? event_record(e) : CUDA_ERROR_INVALID_HANDLE;
    lock_release();
    return r;
}

static CUresult host(const struct op *op)
{
    in_host_function(true);
    if (op->host.callback)
        op->host.callback(op->host.stream, op->context->sticky, op->host.data);
    else
        op->host.function(op->host.data);
    in_host_function(false);
    return CUDA_SUCCESS;
}

CUresult op_run(const struct op *op)
{
    switch (op->kind) {
    case OP_EMPTY:
    case OP_WAIT: /* what it waits for is done */ return CUDA_SUCCESS;
    case OP_KERNEL: return launch_run(op->context, &op->kernel);
    case OP_COPY: return copy_run(op->context, &op->copy);
    case OP_SET: return set_run(op->context, &op->set);
    case OP_HOST: return host(op);
    case OP_RECORD: return record(op);
    case OP_CHILD: return graph_run(op->child);
    case OP_CODE: return op->code.run(op->context, op->code.data);
    }
    return CUDA_ERROR_UNKNOWN;
}
