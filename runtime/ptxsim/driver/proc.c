/* cuGetProcAddress, and a stub for each entry of the Driver API that is not simulated: it says so
 * in a line and returns CUDA_ERROR_NOT_SUPPORTED. */
#include "driver.h"
#include <string.h>

/* Stubs have no prototypes: they look at no argument. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#define API(name, version, symbol)
#define APT(name, version, symbol, own)
#define NOT(name, version, symbol)                                                                 \
    __attribute__((visibility("default"))) CUresult symbol(void);                                  \
    CUresult symbol(void) { return not_simulated(#symbol, "is not simulated"); }
#include "api.def"
#undef API
#undef APT
#undef NOT

typedef void (*entry)(void);
static const struct row {
    const char *name;
    int version;
    entry plain, own; /* own: for the thread's default stream, NULL: the same */
} rows[] = {
#define API(name, version, symbol) {#name, version, (entry)symbol, NULL},
#define APT(name, version, symbol, own) {#name, version, (entry)symbol, (entry)own},
#define NOT(name, version, symbol) {#name, version, (entry)symbol, NULL},
#include "api.def"
#undef API
#undef APT
#undef NOT
};

/* The newest form that `version` knows. */
static const struct row *find(const char *name, int version, bool *newer)
{
    const struct row *best = NULL;
    *newer = false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, name))
            continue;
        if (rows[i].version > version)
            *newer = true;
        else if (!best || rows[i].version > best->version)
            best = &rows[i];
    }
    return best;
}

static CUresult proc_address(const char *symbol, void **function, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *status)
{
    bool newer;
    if (!symbol || !function || flags > 2)
        return CUDA_ERROR_INVALID_VALUE;
    const struct row *r = find(symbol, version, &newer);
    *function = NULL;
    if (r) {
        entry e =
            flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM && r->own ? r->own : r->plain;
        memcpy(function, &e, sizeof *function);
    }
    if (status)
        *status = r       ? CU_GET_PROC_ADDRESS_SUCCESS
                  : newer ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                          : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return r || status ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *status)
{
    return proc_address(symbol, function, version, flags, status);
}

CUresult cuGetProcAddress(const char *symbol, void **function, int version, cuuint64_t flags)
{
    return proc_address(symbol, function, version, flags, NULL);
}

/* Private tables of functions. The vendor's runtime library asks for them, and for a proof that the
 * driver is the vendor's: it cannot run here, which is said in the first table's place. */
CUresult cuGetExportTable(const void **table, const CUuuid *id)
{
    static const uint8_t runtime[16] = {0x6b, 0xd5, 0xfb, 0x6c, 0x5b, 0xf4, 0xe7, 0x4a,
                                        0x89, 0x87, 0xd9, 0x39, 0x12, 0xfd, 0x9d, 0xf9};
    static bool said;
    ENTER(NEED_NOTHING);
    if (!table || !id)
        return CUDA_ERROR_INVALID_VALUE;
    *table = NULL;
    if (memcmp(id, runtime, sizeof runtime))
        return CUDA_ERROR_NOT_FOUND;
    if (!said)
        say("this program runs with the vendor's CUDA runtime, which takes only the vendor's "
            "driver: "
            "where it is linked in, build with `nvcc -cudart shared` (or "
            "NVCC_APPEND_FLAGS=\"-cudart shared\") and run with lib/nncsim in LD_LIBRARY_PATH; "
            "where "
            "it is a library of its own (a package's), put lib/nncsim/libcudart.so.13 in "
            "LD_PRELOAD");
    said = true;
    return CUDA_ERROR_NOT_SUPPORTED;
}

CUresult cuProfilerStart(void)
{
    ENTER(NEED_CONTEXT);
    return CUDA_SUCCESS;
}

CUresult cuProfilerStop(void)
{
    ENTER(NEED_CONTEXT);
    return CUDA_SUCCESS;
}
