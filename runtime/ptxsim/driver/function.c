/* What is known of a function or kernel, and what may be set. */
#include "driver.h"

/* ---- attributes ---- */

static CUresult attribute_get(int *value, CUfunction_attribute attribute, const struct function *f)
{
    const struct sim_chip *chip = f->o.context->device->chip;
    CUresult r = function_runs(f);
    if (r)
        return r;
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        *value = (int)f->facts->max_threads;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
        *value = (int)f->facts->shared_static;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
        *value = (int)f->facts->const_bytes;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
        *value = (int)f->facts->local_bytes;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = (int)f->facts->registers; return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION: *value = (int)f->facts->target; return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
        *value = chip->major * 10 + chip->minor;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        *value = (int)f->dynamic;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        *value = f->carveout;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
        *value = f->nonportable;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        *value = f->policy;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
        *value = f->facts->explicit_cluster;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH: {
        int i = (int)attribute - CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH;
        *value = (int)(f->cluster[0] ? f->cluster[i] : f->facts->cluster[i]);
        return CUDA_SUCCESS;
    }
    case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA: *value = 0; return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_MAX: break;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

static CUresult attribute_set(struct function *f, CUfunction_attribute attribute, int value)
{
    const struct sim_chip *chip = f->o.context->device->chip;
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        if (value < 0 || (uint64_t)value + f->facts->shared_static > chip->shared_optin)
            return CUDA_ERROR_INVALID_VALUE;
        f->dynamic = (uint32_t)value;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        if (value < -1 || value > 100)
            return CUDA_ERROR_INVALID_VALUE;
        f->carveout = value;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
        f->nonportable = value != 0;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        if (value < 0 || value > 2)
            return CUDA_ERROR_INVALID_VALUE;
        f->policy = value;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
        if (value < 0 || value > 16 || f->facts->cluster[0]) /* compiled in: it stays */
            return CUDA_ERROR_INVALID_VALUE;
        f->cluster[attribute - CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH] = (uint32_t)value;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
    case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
    case CU_FUNC_ATTRIBUTE_MAX: break;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction function)
{
    ENTER(NEED_CONTEXT);
    struct function *f = function_get(call.context, function);
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    return f ? attribute_get(value, attribute, f) : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value)
{
    ENTER(NEED_CONTEXT);
    struct function *f = function_get(call.context, function);
    return f ? attribute_set(f, attribute, value) : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config)
{
    ENTER(NEED_CONTEXT);
    struct function *f = function_get(call.context, function);
    if (config > CU_FUNC_CACHE_PREFER_EQUAL)
        return CUDA_ERROR_INVALID_VALUE;
    if (!f)
        return CUDA_ERROR_INVALID_HANDLE;
    f->cache = (int)config;
    return CUDA_SUCCESS;
}

CUresult cuFuncSetSharedMemConfig(CUfunction function, CUsharedconfig config)
{
    ENTER(NEED_CONTEXT);
    if (config > CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE)
        return CUDA_ERROR_INVALID_VALUE;
    return function_get(call.context, function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuFuncGetModule(CUmodule *module, CUfunction function)
{
    ENTER(NEED_CONTEXT);
    struct function *f = function_get(call.context, function);
    if (!module)
        return CUDA_ERROR_INVALID_VALUE;
    if (!f)
        return CUDA_ERROR_INVALID_HANDLE;
    *module = f->module->o.handle;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetName(const char **name, CUfunction function)
{
    ENTER(NEED_CONTEXT);
    struct function *f = function_get(call.context, function);
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!f)
        return CUDA_ERROR_INVALID_HANDLE;
    *name = f->facts->name;
    return CUDA_SUCCESS;
}

static CUresult param_info(const struct function *f, size_t i, size_t *offset, size_t *bytes)
{
    if (!offset || i >= f->facts->param_count)
        return CUDA_ERROR_INVALID_VALUE;
    *offset = f->facts->param[i].offset;
    if (bytes)
        *bytes = f->facts->param[i].bytes;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetParamInfo(CUfunction function, size_t i, size_t *offset, size_t *bytes)
{
    ENTER(NEED_CONTEXT);
    struct function *f = function_get(call.context, function);
    return f ? param_info(f, i, offset, bytes) : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuFuncIsLoaded(CUfunctionLoadingState *state, CUfunction function)
{
    ENTER(NEED_CONTEXT);
    if (!state)
        return CUDA_ERROR_INVALID_VALUE;
    if (!function_get(call.context, function))
        return CUDA_ERROR_INVALID_HANDLE;
    *state = CU_FUNCTION_LOADING_STATE_LOADED;
    return CUDA_SUCCESS;
}

CUresult cuFuncLoad(CUfunction function)
{
    ENTER(NEED_CONTEXT);
    return function_get(call.context, function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

/* Kernels' attributes are set for a device: here in the current context, which must be that
 * device's. */
static CUresult kernel_for(struct context *c, CUkernel kernel, CUdevice device, struct function **f)
{
    if (!device_get(device))
        return CUDA_ERROR_INVALID_DEVICE;
    if (c->device->ordinal != device)
        return not_simulated("cuKernel attributes", "the device is not the current context's");
    return kernel_function(c, kernel, f);
}

CUresult cuKernelGetAttribute(int *value, CUfunction_attribute attribute, CUkernel kernel,
                              CUdevice device)
{
    ENTER(NEED_CONTEXT);
    struct function *f;
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = kernel_for(call.context, kernel, device, &f);
    return r ? r : attribute_get(value, attribute, f);
}

CUresult cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel,
                              CUdevice device)
{
    ENTER(NEED_CONTEXT);
    struct function *f;
    CUresult r = kernel_for(call.context, kernel, device, &f);
    return r ? r : attribute_set(f, attribute, value);
}

CUresult cuKernelSetCacheConfig(CUkernel kernel, CUfunc_cache config, CUdevice device)
{
    ENTER(NEED_CONTEXT);
    struct function *f;
    if (config > CU_FUNC_CACHE_PREFER_EQUAL)
        return CUDA_ERROR_INVALID_VALUE;
    return kernel_for(call.context, kernel, device, &f);
}

CUresult cuKernelGetParamInfo(CUkernel kernel, size_t i, size_t *offset, size_t *bytes)
{
    ENTER(NEED_CONTEXT);
    struct function *f;
    CUresult r = kernel_function(call.context, kernel, &f);
    return r ? r : param_info(f, i, offset, bytes);
}
