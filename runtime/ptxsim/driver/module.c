/* Modules: PTX that is read into a context, its functions and variables. */
#include "driver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the options of the just-in-time compiler ---- */

CUresult jit_options(struct jit *j, unsigned n, const CUjit_option *options, void **values)
{
    *j = (struct jit){.error_size_at = -1, .info_size_at = -1, .time_at = -1, .values = values};
    if (n && (!options || !values))
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < n; i++) {
        size_t number = (size_t)(uintptr_t)values[i] & 0xffffffff; /* callers cast from unsigned */
        if (options[i] >= CU_JIT_NUM_OPTIONS)
            return CUDA_ERROR_INVALID_VALUE;
        if (options[i] == CU_JIT_ERROR_LOG_BUFFER) {
            j->error = values[i];
        } else if (options[i] == CU_JIT_INFO_LOG_BUFFER) {
            j->info = values[i];
        } else if (options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) {
            j->error_bytes = number;
            j->error_size_at = (int)i;
        } else if (options[i] == CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES) {
            j->info_bytes = number;
            j->info_size_at = (int)i;
        } else if (options[i] == CU_JIT_WALL_TIME) {
            j->time_at = (int)i;
        } /* the others ask for code that is better or other: there is none here */
    }
    return CUDA_SUCCESS;
}

static void put_number(struct jit *j, int at, const void *value, size_t bytes)
{
    if (at >= 0) {
        j->values[at] = NULL;
        memcpy(&j->values[at], value, bytes);
    }
}

void jit_finish(struct jit *j, const char *log, double seconds, bool failed)
{
    uintptr_t error = 0, info = 0;
    float ms = (float)(seconds * 1e3);
    if (j->error && j->error_bytes) {
        snprintf(j->error, j->error_bytes, "%s", failed ? log : "");
        error = strlen(j->error);
    }
    if (failed && !error) /* who asks for the log reports it */
        say("a module is not loaded: %.*s", (int)strcspn(log, "\n"), log);
    if (j->info && j->info_bytes) {
        snprintf(j->info, j->info_bytes, "%s", failed ? "" : "nncsim: PTX was read\n");
        info = strlen(j->info);
    }
    put_number(j, j->error_size_at, &error, sizeof error);
    put_number(j, j->info_size_at, &info, sizeof info);
    put_number(j, j->time_at, &ms, sizeof ms);
}

/* ---- modules ---- */

/* The chip's or the driver's newest is not enough: which, by the number in .target. */
static CUresult newer(const struct sim_chip *chip, const char *text, size_t length)
{
    for (size_t i = 0; i + 12 < length; i++)
        if (!memcmp(text + i, ".target", 7)) {
            size_t k = i + 7;
            while (k + 5 < length && (text[k] == ' ' || text[k] == '\t'))
                k++;
            int sm = 0;
            if (!memcmp(text + k, "sm_", 3))
                for (k += 3; k < length && text[k] >= '0' && text[k] <= '9' && sm < 1000; k++)
                    sm = sm * 10 + (text[k] - '0');
            return sm > chip->major * 10 + chip->minor ? CUDA_ERROR_INVALID_PTX
                                                       : CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
        }
    return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
}

static CUresult load(struct context *c, const void *image, size_t bytes, struct jit *j,
                     struct sim_module **sim)
{
    const char *text;
    size_t length;
    char *owned, log[4096] = "";
    const struct sim_chip *chip = c->device->chip;
    CUresult r = image_ptx(chip, image, bytes, &text, &length, &owned, log);
    if (r) {
        jit_finish(j, log, 0, true);
        return r;
    }
    double begin = now();
    launches_done();
    enum sim_status s = sim_module_load(c->device->sim, text, length, sim, log, sizeof log);
    r = s == SIM_NEWER_PTX ? newer(chip, text, length) : from_status(s);
    jit_finish(j, log, now() - begin, r != CUDA_SUCCESS);
    free(owned);
    return r;
}

CUresult module_new(struct context *c, const void *image, size_t bytes, struct jit *j,
                    struct module **m)
{
    if (!image)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = capture_unsafe(c);
    if (r)
        return r;
    struct module *n = calloc(1, sizeof *n);
    if (!n)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = load(c, image, bytes, j, &n->sim);
    if (!r) {
        n->functions = sim_module_kernels(n->sim);
        n->function = calloc(n->functions + 1, sizeof *n->function);
        if (n->function && object_add(&n->o, KIND_MODULE, c)) {
            *m = n;
            return CUDA_SUCCESS;
        }
        sim_module_unload(n->sim);
        r = CUDA_ERROR_OUT_OF_MEMORY;
    }
    free(n->function);
    free(n);
    return r;
}

void function_end(struct function *f)
{
    if (f->module)
        for (size_t i = 0; i < f->module->functions; i++)
            if (f->module->function[i] == f)
                f->module->function[i] = NULL;
    object_remove(&f->o);
    free(f);
}

void module_end(struct module *m)
{
    launches_done();
    if (m->library)
        library_forget(m->library, m);
    for (size_t i = 0; i < m->functions; i++)
        if (m->function[i])
            function_end(m->function[i]);
    sim_module_unload(m->sim);
    object_remove(&m->o);
    free(m->function);
    free(m);
}

static CUresult module_load(struct context *c, CUmodule *module, const void *image, struct jit *j)
{
    struct module *m;
    if (!module)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = module_new(c, image, 0, j, &m);
    if (!r)
        *module = m->o.handle;
    return r;
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned n, CUjit_option *options,
                            void **values)
{
    ENTER(NEED_CONTEXT);
    struct jit j;
    CUresult r = jit_options(&j, n, options, values);
    return r ? r : module_load(call.context, module, image, &j);
}

CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    ENTER(NEED_CONTEXT);
    struct jit j;
    jit_options(&j, 0, NULL, NULL);
    return module_load(call.context, module, image, &j);
}

CUresult cuModuleLoadFatBinary(CUmodule *module, const void *image)
{
    ENTER(NEED_CONTEXT);
    struct jit j;
    jit_options(&j, 0, NULL, NULL);
    return module_load(call.context, module, image, &j);
}

char *file_read(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    char *data = NULL;
    size_t room = 0, n = 0, got;
    do {
        if (n + 65536 + 1 > room) {
            char *grown = realloc(data, room = room * 2 + 65536 + 1);
            if (!grown)
                break;
            data = grown;
        }
        got = fread(data + n, 1, 65536, f);
        n += got;
    } while (got && n < 1u << 30);
    bool bad = ferror(f) || !data;
    fclose(f);
    if (bad) {
        free(data);
        return NULL;
    }
    data[n] = 0;
    *bytes = n;
    return data;
}

CUresult cuModuleLoad(CUmodule *module, const char *path)
{
    ENTER(NEED_CONTEXT);
    if (!module || !path)
        return CUDA_ERROR_INVALID_VALUE;
    size_t bytes;
    char *data = file_read(path, &bytes);
    if (!data)
        return CUDA_ERROR_FILE_NOT_FOUND;
    struct jit j;
    struct module *m;
    jit_options(&j, 0, NULL, NULL);
    CUresult r = bytes ? module_new(call.context, data, bytes, &j, &m) : CUDA_ERROR_INVALID_IMAGE;
    free(data);
    if (!r)
        *module = m->o.handle;
    return r;
}

CUresult cuModuleUnload(CUmodule module)
{
    ENTER(NEED_CONTEXT);
    struct module *m = object_get(KIND_MODULE, module);
    if (!m || m->library)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = capture_unsafe(call.context);
    if (!r)
        module_end(m);
    return r;
}

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode *mode)
{
    ENTER(NEED_INIT);
    if (!mode)
        return CUDA_ERROR_INVALID_VALUE;
    *mode = CU_MODULE_EAGER_LOADING;
    return CUDA_SUCCESS;
}

/* ---- functions ---- */

CUresult function_of(struct module *m, size_t i, struct function **found)
{
    struct function *f = m->function[i];
    if (!f) {
        f = calloc(1, sizeof *f);
        if (!f || !object_add(&f->o, KIND_FUNCTION, m->o.context)) {
            free(f);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        const struct sim_chip *chip = m->o.context->device->chip;
        f->module = m;
        f->sim = sim_module_kernel_at(m->sim, i);
        f->facts = sim_kernel_facts(f->sim);
        f->carveout = -1;
        f->dynamic = f->facts->shared_static < chip->shared_block
                         ? chip->shared_block - f->facts->shared_static
                         : 0;
        m->function[i] = f;
    }
    *found = f;
    return CUDA_SUCCESS;
}

CUresult function_runs(const struct function *f)
{
    if (!f->facts->refused)
        return CUDA_SUCCESS;
    say("kernel %s is not run: %s", f->facts->name, f->facts->refused);
    return CUDA_ERROR_NOT_SUPPORTED;
}

CUresult function_named(struct module *m, const char *name, struct function **f)
{
    for (size_t i = 0; i < m->functions; i++)
        if (!strcmp(sim_kernel_facts(sim_module_kernel_at(m->sim, i))->name, name))
            return function_of(m, i, f);
    return CUDA_ERROR_NOT_FOUND;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{
    ENTER(NEED_CONTEXT);
    struct module *m = object_get(KIND_MODULE, module);
    struct function *f;
    if (!function || !name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!m)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = function_named(m, name, &f);
    if (!r)
        r = function_runs(f);
    if (!r)
        *function = f->o.handle;
    return r;
}

CUresult cuModuleGetFunctionCount(unsigned *count, CUmodule module)
{
    ENTER(NEED_CONTEXT);
    struct module *m = object_get(KIND_MODULE, module);
    if (!count || !m)
        return CUDA_ERROR_INVALID_VALUE;
    *count = (unsigned)m->functions;
    return CUDA_SUCCESS;
}

CUresult cuModuleEnumerateFunctions(CUfunction *functions, unsigned n, CUmodule module)
{
    ENTER(NEED_CONTEXT);
    struct module *m = object_get(KIND_MODULE, module);
    if (!functions || !m)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < n; i++) {
        struct function *f = NULL;
        CUresult r = i < m->functions ? function_of(m, i, &f) : CUDA_SUCCESS;
        if (r)
            return r;
        functions[i] = f ? f->o.handle : NULL;
    }
    return CUDA_SUCCESS;
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *at, size_t *bytes, CUmodule module, const char *name)
{
    ENTER(NEED_CONTEXT);
    struct module *m = object_get(KIND_MODULE, module);
    uint64_t a, n;
    if (!name || (!at && !bytes))
        return CUDA_ERROR_INVALID_VALUE;
    if (!m)
        return CUDA_ERROR_INVALID_HANDLE;
    enum sim_status s = sim_module_global(m->sim, name, &a, &n);
    if (s != SIM_OK)
        return from_status(s);
    if (at)
        *at = a;
    if (bytes)
        *bytes = n;
    return CUDA_SUCCESS;
}
