/* Libraries and their kernels, which belong to no context, and the linker, which for PTX puts texts
 * together. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

/* ---- libraries: modules that are loaded into a context when it first asks ---- */

#define CONTEXTS 64
struct library {
    struct object o;
    char *text;
    size_t bytes;
    struct kernel *kernel;
    struct module *loaded[CONTEXTS];
    uint64_t of_context[CONTEXTS]; /* their numbers, 0: free */
};
struct kernel {
    struct object o;
    struct library *library;
    struct kernel *next;
    char name[];
};

static CUresult library_module(struct library *l, struct context *c, struct jit *given,
                               struct module **m)
{
    size_t spare = CONTEXTS;
    for (size_t i = 0; i < CONTEXTS; i++) {
        if (l->of_context[i] == c->id) {
            *m = l->loaded[i];
            return CUDA_SUCCESS;
        }
        if (!l->of_context[i])
            spare = i;
    }
    if (spare == CONTEXTS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct jit j;
    jit_options(&j, 0, NULL, NULL);
    CUresult r = module_new(c, l->text, l->bytes, given ? given : &j, m);
    if (!r) {
        (*m)->library = l;
        l->loaded[spare] = *m;
        l->of_context[spare] = c->id;
    }
    return r;
}

void library_forget(struct library *l, const struct module *m)
{
    for (size_t i = 0; i < CONTEXTS; i++)
        if (l->of_context[i] && l->loaded[i] == m)
            l->of_context[i] = 0;
}

static void library_end(struct library *l)
{
    for (size_t i = 0; i < CONTEXTS; i++)
        if (l->of_context[i])
            module_end(l->loaded[i]);
    while (l->kernel) {
        struct kernel *k = l->kernel;
        l->kernel = k->next;
        object_remove(&k->o);
        free(k);
    }
    object_remove(&l->o);
    free(l->text);
    free(l);
}

static CUresult library_load(struct context *c, CUlibrary *handle, const void *image, size_t bytes,
                             struct jit *j)
{
    if (!handle || !image)
        return CUDA_ERROR_INVALID_VALUE;
    const struct sim_chip *chip = c ? c->device->chip : devices[0].chip;
    const char *text;
    size_t length;
    char *owned, why[IMAGE_WHY];
    CUresult r = image_ptx(chip, image, bytes, &text, &length, &owned, why);
    if (r) {
        jit_finish(j, why, 0, true);
        return r;
    }
    struct library *l = calloc(1, sizeof *l);
    if (l && !owned && (owned = malloc(length + 1))) {
        memcpy(owned, text, length);
        owned[length] = 0;
    }
    if (!l || !owned || !length || !object_add(&l->o, KIND_LIBRARY, NULL)) {
        free(l);
        free(owned);
        return length ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_IMAGE;
    }
    l->text = owned;
    l->bytes = length;
    struct module *m;
    r = c ? library_module(l, c, j, &m) : CUDA_SUCCESS; /* so that errors show at once */
    if (r) {
        library_end(l);
        return r;
    }
    *handle = l->o.handle;
    return CUDA_SUCCESS;
}

CUresult cuLibraryLoadData(CUlibrary *library, const void *code, CUjit_option *options,
                           void **values, unsigned n, CUlibraryOption *library_options,
                           void **library_values, unsigned library_n)
{
    ENTER(NEED_INIT);
    struct jit j;
    (void)library_values;
    if (library_n && !library_options)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = jit_options(&j, n, options, values);
    return r ? r : library_load(call.context, library, code, 0, &j);
}

CUresult cuLibraryLoadFromFile(CUlibrary *library, const char *path, CUjit_option *options,
                               void **values, unsigned n, CUlibraryOption *library_options,
                               void **library_values, unsigned library_n)
{
    ENTER(NEED_INIT);
    struct jit j;
    (void)library_values;
    if (!path || (library_n && !library_options))
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = jit_options(&j, n, options, values);
    if (r)
        return r;
    size_t bytes;
    char *data = file_read(path, &bytes);
    if (!data)
        return CUDA_ERROR_FILE_NOT_FOUND;
    r = bytes ? library_load(call.context, library, data, bytes, &j) : CUDA_ERROR_INVALID_IMAGE;
    free(data);
    return r;
}

CUresult cuLibraryUnload(CUlibrary library)
{
    ENTER(NEED_INIT);
    struct library *l = object_get(KIND_LIBRARY, library);
    if (!l)
        return CUDA_ERROR_INVALID_HANDLE;
    library_end(l);
    return CUDA_SUCCESS;
}

CUresult cuLibraryGetModule(CUmodule *module, CUlibrary library)
{
    ENTER(NEED_CONTEXT);
    struct library *l = object_get(KIND_LIBRARY, library);
    struct module *m;
    if (!module)
        return CUDA_ERROR_INVALID_VALUE;
    if (!l)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = library_module(l, call.context, NULL, &m);
    if (!r)
        *module = m->o.handle;
    return r;
}

static CUresult kernel_of(struct library *l, const char *name, CUkernel *handle)
{
    struct kernel *k = l->kernel;
    while (k && strcmp(k->name, name))
        k = k->next;
    if (!k) {
        size_t n = strlen(name) + 1;
        k = calloc(1, sizeof *k + n);
        if (!k || !object_add(&k->o, KIND_KERNEL, NULL)) {
            free(k);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        memcpy(k->name, name, n);
        k->library = l;
        k->next = l->kernel;
        l->kernel = k;
    }
    *handle = k->o.handle;
    return CUDA_SUCCESS;
}

/* Any context's module knows the names; without one the primary context of the first device would
 * have to be made, so that the name is believed and checked at its use. */
static CUresult any_module(struct library *l, struct context *c, struct module **m)
{
    *m = NULL;
    for (size_t i = 0; i < CONTEXTS; i++)
        if (l->of_context[i])
            *m = l->loaded[i];
    return *m || !c ? CUDA_SUCCESS : library_module(l, c, NULL, m);
}

CUresult cuLibraryGetKernel(CUkernel *kernel, CUlibrary library, const char *name)
{
    ENTER(NEED_INIT);
    struct library *l = object_get(KIND_LIBRARY, library);
    struct module *m;
    struct function *f;
    if (!kernel || !name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!l)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = any_module(l, call.context, &m);
    if (!r && m)
        r = function_named(m, name, &f);
    if (!r && m)
        r = function_runs(f);
    return r ? r : kernel_of(l, name, kernel);
}

CUresult cuLibraryGetKernelCount(unsigned *count, CUlibrary library)
{
    ENTER(NEED_CONTEXT);
    struct library *l = object_get(KIND_LIBRARY, library);
    struct module *m;
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    if (!l)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = any_module(l, call.context, &m);
    if (!r)
        *count = (unsigned)m->functions;
    return r;
}

CUresult cuLibraryEnumerateKernels(CUkernel *kernels, unsigned n, CUlibrary library)
{
    ENTER(NEED_CONTEXT);
    struct library *l = object_get(KIND_LIBRARY, library);
    struct module *m;
    if (!kernels)
        return CUDA_ERROR_INVALID_VALUE;
    if (!l)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = any_module(l, call.context, &m);
    for (unsigned i = 0; !r && i < n; i++)
        if (i < m->functions)
            r = kernel_of(l, sim_kernel_facts(sim_module_kernel_at(m->sim, i))->name, &kernels[i]);
        else
            kernels[i] = NULL;
    return r;
}

CUresult kernel_function(struct context *c, CUkernel handle, struct function **f)
{
    struct kernel *k = object_get(KIND_KERNEL, handle);
    struct module *m;
    if (!k)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = library_module(k->library, c, NULL, &m);
    return r ? r : function_named(m, k->name, f);
}

CUresult cuKernelGetFunction(CUfunction *function, CUkernel kernel)
{
    ENTER(NEED_CONTEXT);
    struct function *f;
    if (!function)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = kernel_function(call.context, kernel, &f);
    if (!r)
        r = function_runs(f);
    if (!r)
        *function = f->o.handle;
    return r;
}

CUresult cuKernelGetLibrary(CUlibrary *library, CUkernel kernel)
{
    ENTER(NEED_INIT);
    struct kernel *k = object_get(KIND_KERNEL, kernel);
    if (!library)
        return CUDA_ERROR_INVALID_VALUE;
    if (!k)
        return CUDA_ERROR_INVALID_HANDLE;
    *library = k->library->o.handle;
    return CUDA_SUCCESS;
}

CUresult cuKernelGetName(const char **name, CUkernel kernel)
{
    ENTER(NEED_INIT);
    struct kernel *k = object_get(KIND_KERNEL, kernel);
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!k)
        return CUDA_ERROR_INVALID_HANDLE;
    *name = k->name;
    return CUDA_SUCCESS;
}

CUresult cuLibraryGetGlobal(CUdeviceptr *at, size_t *bytes, CUlibrary library, const char *name)
{
    ENTER(NEED_CONTEXT);
    struct library *l = object_get(KIND_LIBRARY, library);
    struct module *m;
    uint64_t a, n;
    if (!name || (!at && !bytes))
        return CUDA_ERROR_INVALID_VALUE;
    if (!l)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = library_module(l, call.context, NULL, &m);
    if (!r)
        r = from_status(sim_module_global(m->sim, name, &a, &n));
    if (r)
        return r;
    if (at)
        *at = a;
    if (bytes)
        *bytes = n;
    return CUDA_SUCCESS;
}

struct function *function_get(struct context *c, CUfunction handle)
{
    struct function *f = object_get(KIND_FUNCTION, handle);
    if (f)
        return f->o.context == c ? f : NULL;
    return kernel_function(c, (CUkernel)handle, &f) == CUDA_SUCCESS ? f : NULL;
}

/* ---- linking ---- */

struct link {
    struct object o;
    struct jit jit;
    char *text;
    size_t bytes;
};

CUresult cuLinkCreate_v2(unsigned n, CUjit_option *options, void **values, CUlinkState *state)
{
    ENTER(NEED_CONTEXT);
    struct jit j;
    if (!state)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = jit_options(&j, n, options, values);
    if (r)
        return r;
    struct link *l = calloc(1, sizeof *l);
    if (!l || !object_add(&l->o, KIND_LINK, NULL)) {
        free(l);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    l->jit = j;
    *state = l->o.handle;
    return CUDA_SUCCESS;
}

/* Where a line's directive may not come twice, as it does not from the second text on. */
static bool heads_module(const char *s, size_t n)
{
    static const char *const words[] = {".version", ".target", ".address_size"};
    while (n && (*s == ' ' || *s == '\t')) {
        s++;
        n--;
    }
    for (size_t i = 0; i < 3; i++)
        if (n >= strlen(words[i]) && !memcmp(s, words[i], strlen(words[i])))
            return true;
    return false;
}

static CUresult link_add(struct link *l, struct context *c, CUjitInputType type, const void *data,
                         size_t bytes)
{
    const char *text;
    size_t length;
    char *owned, why[IMAGE_WHY];
    if (type >= CU_JIT_NUM_INPUT_TYPES || !data || !bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (type != CU_JIT_INPUT_PTX && type != CU_JIT_INPUT_FATBINARY)
        return not_simulated("cuLinkAddData", "only PTX can be linked");
    CUresult r = image_ptx(c->device->chip, data, bytes, &text, &length, &owned, why);
    if (r) {
        jit_finish(&l->jit, why, 0, true);
        return r;
    }
    char *grown = realloc(l->text, l->bytes + length + 2);
    if (!grown) {
        free(owned);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    bool first = !l->bytes;
    l->text = grown;
    for (size_t i = 0, n; i < length; i += n) {
        const char *end = memchr(text + i, '\n', length - i);
        n = end ? (size_t)(end - text) - i + 1 : length - i;
        if (!first && heads_module(text + i, n))
            continue;
        memcpy(l->text + l->bytes, text + i, n);
        l->bytes += n;
    }
    l->text[l->bytes++] = '\n';
    l->text[l->bytes] = 0;
    free(owned);
    return CUDA_SUCCESS;
}

CUresult cuLinkAddData_v2(CUlinkState state, CUjitInputType type, void *data, size_t bytes,
                          const char *name, unsigned n, CUjit_option *options, void **values)
{
    ENTER(NEED_CONTEXT);
    struct link *l = object_get(KIND_LINK, state);
    struct jit j;
    (void)name;
    if (!l)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = jit_options(&j, n, options, values);
    return r ? r : link_add(l, call.context, type, data, bytes);
}

CUresult cuLinkAddFile_v2(CUlinkState state, CUjitInputType type, const char *path, unsigned n,
                          CUjit_option *options, void **values)
{
    ENTER(NEED_CONTEXT);
    struct link *l = object_get(KIND_LINK, state);
    struct jit j;
    if (!path)
        return CUDA_ERROR_INVALID_VALUE;
    if (!l)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = jit_options(&j, n, options, values);
    if (r)
        return r;
    size_t bytes;
    char *data = file_read(path, &bytes);
    if (!data)
        return CUDA_ERROR_FILE_NOT_FOUND;
    r = link_add(l, call.context, type, data, bytes);
    free(data);
    return r;
}

/* The result is PTX: what is called a cubin is whatever cuModuleLoadData takes. */
CUresult cuLinkComplete(CUlinkState state, void **image, size_t *bytes)
{
    ENTER(NEED_CONTEXT);
    struct link *l = object_get(KIND_LINK, state);
    struct module *m;
    if (!image)
        return CUDA_ERROR_INVALID_VALUE;
    if (!l)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!l->bytes)
        return CUDA_ERROR_INVALID_IMAGE;
    CUresult r = module_new(call.context, l->text, l->bytes, &l->jit, &m);
    if (r)
        return r;
    module_end(m);
    *image = l->text;
    if (bytes)
        *bytes = l->bytes + 1;
    return CUDA_SUCCESS;
}

CUresult cuLinkDestroy(CUlinkState state)
{
    ENTER(NEED_INIT);
    struct link *l = object_get(KIND_LINK, state);
    if (!l)
        return CUDA_ERROR_INVALID_HANDLE;
    object_remove(&l->o);
    free(l->text);
    free(l);
    return CUDA_SUCCESS;
}
