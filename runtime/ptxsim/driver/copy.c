/* Copies and memsets: every form of the API becomes one of two descriptions, which run row by row
 * through the simulator's checked reads and writes. Where an address lies decides what a copy does,
 * as unified addressing has it; a "device" address must lie in device or mapped memory. */
#include "driver.h"
#include <string.h>

/* ---- running, without the lock ---- */

struct sim_device *sim_around(struct context *c, uint64_t at)
{
    struct sim_allocation a;
    if (sim_find(c->device->sim, at, &a))
        return a.host ? NULL : c->device->sim;
    for (int i = 0; i < device_count; i++)
        if (sim_find(devices[i].sim, at, &a))
            return a.host ? NULL : devices[i].sim;
    return NULL;
}

/* Between two devices' memories: by way of the host. */
static enum sim_status across(struct sim_device *d, uint64_t to, struct sim_device *s,
                              uint64_t from, uint64_t bytes)
{
    unsigned char part[65536];
    while (bytes) {
        uint64_t n = bytes < sizeof part ? bytes : sizeof part;
        enum sim_status r = sim_read(s, part, from, n);
        if (r == SIM_OK)
            r = sim_write(d, to, part, n);
        if (r != SIM_OK)
            return r;
        to += n;
        from += n;
        bytes -= n;
    }
    return SIM_OK;
}

/* d, s: whose memory the sides are, NULL: the host's. */
static enum sim_status move(struct sim_device *d, uint64_t to, struct sim_device *s, uint64_t from,
                            uint64_t bytes)
{
    void *host_to = (void *)(uintptr_t)to;
    const void *host_from = (const void *)(uintptr_t)from;
    if (!bytes)
        return SIM_OK;
    if (d && s)
        return d == s ? sim_move(d, to, from, bytes) : across(d, to, s, from, bytes);
    if (d)
        return sim_write(d, to, host_from, bytes);
    if (s)
        return sim_read(s, host_to, from, bytes);
    memmove(host_to, host_from, bytes);
    return SIM_OK;
}

/* One side of a 3-D copy: where row (y, z) begins. */
struct side {
    uint64_t at, pitch, slice;
};

static struct side source(const CUDA_MEMCPY3D *p)
{
    struct side s = {.pitch = p->srcPitch, .slice = p->srcPitch * p->srcHeight};
    s.at = p->srcMemoryType == CU_MEMORYTYPE_HOST ? (uint64_t)(uintptr_t)p->srcHost : p->srcDevice;
    s.at += p->srcXInBytes + p->srcY * s.pitch + p->srcZ * s.slice;
    return s;
}

static struct side target(const CUDA_MEMCPY3D *p)
{
    struct side s = {.pitch = p->dstPitch, .slice = p->dstPitch * p->dstHeight};
    s.at = p->dstMemoryType == CU_MEMORYTYPE_HOST ? (uint64_t)(uintptr_t)p->dstHost : p->dstDevice;
    s.at += p->dstXInBytes + p->dstY * s.pitch + p->dstZ * s.slice;
    return s;
}

/* By where the copy begins; what is called a device address is never read or written unchecked. */
static struct sim_device *owner(struct context *c, CUmemorytype type, uint64_t at)
{
    struct sim_device *d = sim_around(c, at);
    return d || type != CU_MEMORYTYPE_DEVICE ? d : c->device->sim;
}

CUresult copy_run(struct context *c, const CUDA_MEMCPY3D *p)
{
    struct side from = source(p), to = target(p);
    struct sim_device *s = owner(c, p->srcMemoryType, from.at),
                      *d = owner(c, p->dstMemoryType, to.at);
    uint64_t width = p->WidthInBytes, height = p->Height;
    if (from.pitch == width && to.pitch == width) { /* rows without gaps are one */
        width *= height;
        height = 1;
    }
    for (uint64_t z = 0; z < p->Depth; z++)
        for (uint64_t y = 0; y < height; y++) {
            enum sim_status r = move(d, to.at + y * to.pitch + z * to.slice, s,
                                     from.at + y * from.pitch + z * from.slice, width);
            if (r != SIM_OK)
                return from_status(r);
        }
    return CUDA_SUCCESS;
}

CUresult set_run(struct context *c, const CUDA_MEMSET_NODE_PARAMS *p)
{
    struct sim_device *d = sim_around(c, p->dst);
    d = d ? d : c->device->sim;
    for (size_t y = 0; y < p->height; y++) {
        enum sim_status s = sim_set(d, p->dst + y * p->pitch, p->value, p->elementSize, p->width);
        if (s != SIM_OK)
            return from_status(s);
    }
    return CUDA_SUCCESS;
}

/* ---- checking ---- */

static bool known_address(uint64_t at)
{
    struct sim_allocation a;
    for (int i = 0; i < device_count; i++)
        if (sim_find(devices[i].sim, at, &a))
            return true;
    return false;
}

static CUresult side_check(CUmemorytype type, const void *host, CUdeviceptr device, size_t lod,
                           size_t x, size_t pitch, size_t height, const CUDA_MEMCPY3D *p,
                           uint64_t begin)
{
    if (type == CU_MEMORYTYPE_ARRAY)
        return not_simulated("a copy", "arrays are not simulated");
    if (type < CU_MEMORYTYPE_HOST || type > CU_MEMORYTYPE_UNIFIED || lod)
        return CUDA_ERROR_INVALID_VALUE;
    if ((p->Height > 1 || p->Depth > 1) &&
        (x > SIZE_MAX - p->WidthInBytes || pitch < x + p->WidthInBytes))
        return CUDA_ERROR_INVALID_VALUE;
    if (p->Depth > 1 && height < p->Height)
        return CUDA_ERROR_INVALID_VALUE;
    if (type == CU_MEMORYTYPE_HOST ? !host : !device)
        return CUDA_ERROR_INVALID_VALUE;
    return type == CU_MEMORYTYPE_DEVICE && !known_address(begin) ? CUDA_ERROR_INVALID_VALUE
                                                                 : CUDA_SUCCESS;
}

CUresult copy_check(const CUDA_MEMCPY3D *p)
{
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    if (!p->WidthInBytes || !p->Height || !p->Depth)
        return CUDA_SUCCESS;
    if (p->WidthInBytes > SIZE_MAX / p->Height)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = side_check(p->srcMemoryType, p->srcHost, p->srcDevice, p->srcLOD, p->srcXInBytes,
                            p->srcPitch, p->srcHeight, p, source(p).at);
    return r ? r
             : side_check(p->dstMemoryType, p->dstHost, p->dstDevice, p->dstLOD, p->dstXInBytes,
                          p->dstPitch, p->dstHeight, p, target(p).at);
}

CUresult set_check(const CUDA_MEMSET_NODE_PARAMS *p)
{
    if (!p || (p->elementSize != 1 && p->elementSize != 2 && p->elementSize != 4))
        return CUDA_ERROR_INVALID_VALUE;
    if (!p->width || !p->height)
        return CUDA_SUCCESS;
    if (p->width > SIZE_MAX / 4 || p->dst % p->elementSize || !known_address(p->dst))
        return CUDA_ERROR_INVALID_VALUE;
    if (p->height > 1 && (p->pitch < p->width * p->elementSize || p->pitch % p->elementSize))
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

/* ---- submitting ---- */

/* What waits for its end is not for streams being captured. */
static CUresult submit(struct context *c, CUstream handle, bool wait, struct op *op)
{
    struct stream *s;
    CUresult r = wait ? capture_unsafe(c) : CUDA_SUCCESS;
    if (!r)
        r = stream_get(c, handle, &s);
    op->context = c;
    op->context_handle = c->o.handle;
    return r ? r : stream_submit(s, op);
}

static CUresult copy3(struct context *c, const CUDA_MEMCPY3D *p, CUstream stream, bool wait)
{
    CUresult r = copy_check(p);
    if (r)
        return r;
    struct op op = {.kind = OP_COPY, .copy = *p};
    return submit(c, stream, wait, &op);
}

static CUresult copy1(struct context *c, CUmemorytype to_type, uint64_t to, CUmemorytype from_type,
                      uint64_t from, size_t bytes, CUstream stream, bool wait)
{
    CUDA_MEMCPY3D p = {
        .srcMemoryType = from_type,
        .srcHost = (const void *)(uintptr_t)from,
        .srcDevice = from,
        .srcPitch = bytes,
        .srcHeight = 1,
        .dstMemoryType = to_type,
        .dstHost = (void *)(uintptr_t)to,
        .dstDevice = to,
        .dstPitch = bytes,
        .dstHeight = 1,
        .WidthInBytes = bytes,
        .Height = 1,
        .Depth = 1,
    };
    return copy3(c, &p, stream, wait);
}

#define DEVICE CU_MEMORYTYPE_DEVICE
#define HOST CU_MEMORYTYPE_HOST
#define EITHER CU_MEMORYTYPE_UNIFIED
#define NUMBER(p) ((uint64_t)(uintptr_t)(p))

CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    ENTER(NEED_CONTEXT);
    return copy1(call.context, EITHER, to, EITHER, from, bytes, NULL, true);
}

CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return copy1(call.context, EITHER, to, EITHER, from, bytes, stream, false);
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes)
{
    ENTER(NEED_CONTEXT);
    return copy1(call.context, DEVICE, to, HOST, NUMBER(from), bytes, NULL, true);
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return copy1(call.context, DEVICE, to, HOST, NUMBER(from), bytes, stream, false);
}

CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes)
{
    ENTER(NEED_CONTEXT);
    return copy1(call.context, HOST, NUMBER(to), DEVICE, from, bytes, NULL, true);
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return copy1(call.context, HOST, NUMBER(to), DEVICE, from, bytes, stream, false);
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    ENTER(NEED_CONTEXT);
    return copy1(call.context, DEVICE, to, DEVICE, from, bytes, NULL, true);
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return copy1(call.context, DEVICE, to, DEVICE, from, bytes, stream, false);
}

CUresult cuMemcpyPeer(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
                      CUcontext from_context, size_t bytes)
{
    ENTER(NEED_CONTEXT);
    if (!context_get(to_context) || !context_get(from_context))
        return CUDA_ERROR_INVALID_CONTEXT;
    return copy1(call.context, DEVICE, to, DEVICE, from, bytes, NULL, true);
}

CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
                           CUcontext from_context, size_t bytes, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    if (!context_get(to_context) || !context_get(from_context))
        return CUDA_ERROR_INVALID_CONTEXT;
    return copy1(call.context, DEVICE, to, DEVICE, from, bytes, stream, false);
}

static CUresult copy2(struct context *c, const CUDA_MEMCPY2D *p, CUstream stream, bool wait)
{
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_MEMCPY3D q = {
        .srcXInBytes = p->srcXInBytes,
        .srcY = p->srcY,
        .srcMemoryType = p->srcMemoryType,
        .srcHost = p->srcHost,
        .srcDevice = p->srcDevice,
        .srcPitch = p->srcPitch ? p->srcPitch : p->WidthInBytes + p->srcXInBytes,
        .dstXInBytes = p->dstXInBytes,
        .dstY = p->dstY,
        .dstMemoryType = p->dstMemoryType,
        .dstHost = p->dstHost,
        .dstDevice = p->dstDevice,
        .dstPitch = p->dstPitch ? p->dstPitch : p->WidthInBytes + p->dstXInBytes,
        .WidthInBytes = p->WidthInBytes,
        .Height = p->Height,
        .Depth = 1,
    };
    return copy3(c, &q, stream, wait);
}

CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D *p)
{
    ENTER(NEED_CONTEXT);
    return copy2(call.context, p, NULL, true);
}

CUresult cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D *p)
{
    ENTER(NEED_CONTEXT);
    return copy2(call.context, p, NULL, true);
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *p, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return copy2(call.context, p, stream, false);
}

CUresult cuMemcpy3D_v2(const CUDA_MEMCPY3D *p)
{
    ENTER(NEED_CONTEXT);
    return copy3(call.context, p, NULL, true);
}

CUresult cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D *p, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return copy3(call.context, p, stream, false);
}

/* ---- memsets: asynchronous in effect on device memory, all of them ---- */

static CUresult set(struct context *c, CUdeviceptr to, size_t pitch, unsigned value, unsigned size,
                    size_t width, size_t height, CUstream stream)
{
    struct op op = {.kind = OP_SET};
    op.set = (CUDA_MEMSET_NODE_PARAMS){.dst = to,
                                       .pitch = pitch,
                                       .value = value,
                                       .elementSize = size,
                                       .width = width,
                                       .height = height};
    CUresult r = set_check(&op.set);
    return r ? r : submit(c, stream, false, &op);
}

CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t n)
{
    ENTER(NEED_CONTEXT);
    return set(call.context, to, n, value, 1, n, 1, NULL);
}

CUresult cuMemsetD16_v2(CUdeviceptr to, unsigned short value, size_t n)
{
    ENTER(NEED_CONTEXT);
    return set(call.context, to, 0, value, 2, n, 1, NULL);
}

CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t n)
{
    ENTER(NEED_CONTEXT);
    return set(call.context, to, 0, value, 4, n, 1, NULL);
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t n, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return set(call.context, to, 0, value, 1, n, 1, stream);
}

CUresult cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t n, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return set(call.context, to, 0, value, 2, n, 1, stream);
}

CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t n, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return set(call.context, to, 0, value, 4, n, 1, stream);
}

CUresult cuMemsetD2D8_v2(CUdeviceptr to, size_t pitch, unsigned char value, size_t width,
                         size_t height)
{
    ENTER(NEED_CONTEXT);
    return set(call.context, to, pitch, value, 1, width, height, NULL);
}

CUresult cuMemsetD2D16_v2(CUdeviceptr to, size_t pitch, unsigned short value, size_t width,
                          size_t height)
{
    ENTER(NEED_CONTEXT);
    return set(call.context, to, pitch, value, 2, width, height, NULL);
}

CUresult cuMemsetD2D32_v2(CUdeviceptr to, size_t pitch, unsigned value, size_t width, size_t height)
{
    ENTER(NEED_CONTEXT);
    return set(call.context, to, pitch, value, 4, width, height, NULL);
}

CUresult cuMemsetD2D8Async(CUdeviceptr to, size_t pitch, unsigned char value, size_t width,
                           size_t height, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return set(call.context, to, pitch, value, 1, width, height, stream);
}

CUresult cuMemsetD2D16Async(CUdeviceptr to, size_t pitch, unsigned short value, size_t width,
                            size_t height, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return set(call.context, to, pitch, value, 2, width, height, stream);
}

CUresult cuMemsetD2D32Async(CUdeviceptr to, size_t pitch, unsigned value, size_t width,
                            size_t height, CUstream stream)
{
    ENTER(NEED_CONTEXT);
    return set(call.context, to, pitch, value, 4, width, height, stream);
}
