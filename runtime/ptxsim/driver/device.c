/* Devices: how many, which chips, their attributes. NN_SIM_CHIP (one name, or a list by commas),
 * NN_SIM_DEVICES, NN_SIM_MEMORY and NN_SIM_WORKERS are read at cuInit. */
#include "driver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct device *devices;
int device_count;

static char chosen[256]; /* by nnsim_select */

static const struct sim_chip *chip_of(const char *list, int ordinal)
{
    const char *s = list, *last = list;
    for (int i = 0; *s && i <= ordinal; i++) {
        last = s;
        s += strcspn(s, ",");
        s += *s == ',';
    }
    char name[32];
    size_t n = strcspn(last, ",");
    if (!n || n >= sizeof name)
        return NULL;
    memcpy(name, last, n);
    name[n] = 0;
    return sim_chip_find(name);
}

static int names_in(const char *list)
{
    int n = 1;
    for (const char *s = list; *s; s++)
        n += *s == ',';
    return n;
}

bool nnsim_select(const char *chip)
{
    bool ok = chip && strlen(chip) < sizeof chosen;
    for (int i = 0; ok && i < names_in(chip); i++)
        ok = chip_of(chip, i) != NULL;
    if (!ok)
        return false;
    lock_acquire();
    for (int i = 0; devices && i < device_count; i++)
        ok = ok && devices[i].chip == chip_of(chip, i);
    if (ok && !devices)
        strcpy(chosen, chip);
    lock_release();
    return ok;
}

const char *nnsim_chips(void)
{
#define CHIP(id, ...) ", " #id
    static const char names[] =
#include "../core/chips.def"
        ;
#undef CHIP
    return names + 2;
}

static const char *list_of_chips(void)
{
    const char *s = getenv("NN_SIM_CHIP");
    return chosen[0] ? chosen : s && *s ? s : "sm_80";
}

CUresult devices_open(void)
{
    const char *list = list_of_chips();
    uint64_t n = setting_number("NN_SIM_DEVICES", (uint64_t)names_in(list));
    if (n > 64) {
        say("NN_SIM_DEVICES: %llu devices are too many (64)", (unsigned long long)n);
        return CUDA_ERROR_NO_DEVICE;
    }
    if (!n)
        return CUDA_ERROR_NO_DEVICE;
    struct device *d = calloc(n, sizeof *d);
    if (!d)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult r = CUDA_SUCCESS;
    for (int i = 0; !r && i < (int)n; i++) {
        d[i].ordinal = i;
        d[i].chip = chip_of(list, i);
        if (!d[i].chip) {
            say("NN_SIM_CHIP=%s names a chip that is not known", list);
            r = CUDA_ERROR_NO_DEVICE;
        } else if (!(d[i].sim = sim_device_new(d[i].chip, setting_number("NN_SIM_MEMORY", 0),
                                               (int)setting_number("NN_SIM_WORKERS", 0)))) {
            r = CUDA_ERROR_OUT_OF_MEMORY;
        } else {
            r = pools_open(&d[i]);
        }
    }
    if (r) {
        for (int i = 0; i < (int)n; i++)
            sim_device_free(d[i].sim);
        free(d);
        return r;
    }
    devices = d;
    device_count = (int)n;
    memory_open();
    return CUDA_SUCCESS;
}

struct device *device_get(CUdevice ordinal)
{
    return ordinal >= 0 && ordinal < device_count ? &devices[ordinal] : NULL;
}

/* ---- the API ---- */

CUresult cuDriverGetVersion(int *version)
{
    ENTER(NEED_NOTHING);
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    *version = CUDA_VERSION;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
    ENTER(NEED_INIT);
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    *count = device_count;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    ENTER(NEED_INIT);
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice device)
{
    ENTER(NEED_INIT);
    struct device *d = device_get(device);
    if (!name || length <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!d)
        return CUDA_ERROR_INVALID_DEVICE;
    snprintf(name, (size_t)length, "%s", d->chip->title);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device)
{
    ENTER(NEED_INIT);
    struct device *d = device_get(device);
    if (!uuid)
        return CUDA_ERROR_INVALID_VALUE;
    if (!d)
        return CUDA_ERROR_INVALID_DEVICE;
    memset(uuid, 0, sizeof *uuid);
    memcpy(uuid->bytes, "nncsim", 6);
    uuid->bytes[13] = (char)d->chip->major;
    uuid->bytes[14] = (char)d->chip->minor;
    uuid->bytes[15] = (char)d->ordinal;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device) { return cuDeviceGetUuid_v2(uuid, device); }

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
    ENTER(NEED_INIT);
    struct device *d = device_get(device);
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (!d)
        return CUDA_ERROR_INVALID_DEVICE;
    uint64_t used, total;
    uint32_t count;
    sim_usage(d->sim, &used, &total, &count);
    *bytes = total;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
    ENTER(NEED_INIT);
    struct device *d = device_get(device);
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    if (!d)
        return CUDA_ERROR_INVALID_DEVICE;
    const struct sim_chip *c = d->chip;
    int ordinal = d->ordinal;
    switch ((int)attribute) {
#define ATTRIBUTE(number, name, given)                                                             \
    case number:                                                                                   \
        *value = given;                                                                            \
        return CUDA_SUCCESS;
#include "attributes.def"
#undef ATTRIBUTE
    }
    say("cuDeviceGetAttribute: attribute %d is not known", (int)attribute);
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device)
{
    ENTER(NEED_INIT);
    struct device *d = device_get(device);
    if (!major || !minor)
        return CUDA_ERROR_INVALID_VALUE;
    if (!d)
        return CUDA_ERROR_INVALID_DEVICE;
    *major = d->chip->major;
    *minor = d->chip->minor;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetProperties(CUdevprop *p, CUdevice device)
{
    ENTER(NEED_INIT);
    struct device *d = device_get(device);
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    if (!d)
        return CUDA_ERROR_INVALID_DEVICE;
    *p = (CUdevprop){
        .maxThreadsPerBlock = 1024,
        .maxThreadsDim = {1024, 1024, 64},
        .maxGridSize = {2147483647, 65535, 65535},
        .sharedMemPerBlock = (int)d->chip->shared_block,
        .totalConstantMemory = 65536,
        .SIMDWidth = 32,
        .memPitch = 2147483647,
        .regsPerBlock = (int)d->chip->regs_block,
        .clockRate = (int)d->chip->clock_khz,
        .textureAlign = 512,
    };
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetPCIBusId(char *id, int length, CUdevice device)
{
    ENTER(NEED_INIT);
    if (!id || length < 13)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(device))
        return CUDA_ERROR_INVALID_DEVICE;
    snprintf(id, (size_t)length, "0000:%02X:00.0", (unsigned)(device + 1) & 0xff);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetByPCIBusId(CUdevice *device, const char *id)
{
    ENTER(NEED_INIT);
    if (!device || !id)
        return CUDA_ERROR_INVALID_VALUE;
    unsigned domain = 0, bus, slot;
    if (sscanf(id, "%x:%x:%x", &domain, &bus, &slot) != 3) {
        domain = 0;
        if (sscanf(id, "%x:%x", &bus, &slot) != 2)
            return CUDA_ERROR_INVALID_VALUE;
    }
    if (domain || slot || !bus || !device_get((int)bus - 1))
        return CUDA_ERROR_INVALID_DEVICE;
    *device = (int)bus - 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetExecAffinitySupport(int *supported, CUexecAffinityType type, CUdevice device)
{
    ENTER(NEED_INIT);
    if (!supported || type != CU_EXEC_AFFINITY_TYPE_SM_COUNT)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(device))
        return CUDA_ERROR_INVALID_DEVICE;
    *supported = 0;
    return CUDA_SUCCESS;
}

/* ---- peers: none ---- */

CUresult cuDeviceCanAccessPeer(int *can, CUdevice device, CUdevice peer)
{
    ENTER(NEED_INIT);
    if (!can)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(device) || !device_get(peer))
        return CUDA_ERROR_INVALID_DEVICE;
    *can = 0;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetP2PAttribute(int *value, CUdevice_P2PAttribute attribute, CUdevice from,
                                 CUdevice to)
{
    ENTER(NEED_INIT);
    if (!value || attribute < CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK ||
        attribute > CU_DEVICE_P2P_ATTRIBUTE_ONLY_PARTIAL_NATIVE_ATOMIC_SUPPORTED)
        return CUDA_ERROR_INVALID_VALUE;
    if (!device_get(from) || !device_get(to) || from == to)
        return CUDA_ERROR_INVALID_DEVICE;
    *value = 0;
    return CUDA_SUCCESS;
}

CUresult cuCtxEnablePeerAccess(CUcontext peer, unsigned flags)
{
    ENTER(NEED_CONTEXT);
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    struct context *p = context_get(peer);
    return p && p != call.context ? CUDA_ERROR_PEER_ACCESS_UNSUPPORTED : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuCtxDisablePeerAccess(CUcontext peer)
{
    ENTER(NEED_CONTEXT);
    return context_get(peer) ? CUDA_ERROR_PEER_ACCESS_NOT_ENABLED : CUDA_ERROR_INVALID_CONTEXT;
}
