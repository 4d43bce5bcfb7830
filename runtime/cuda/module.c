/* The image's code into the device: the cubin that a library carries, else one by ptxas where it is
 * found, else the PTX by the driver's own compiler; then the entry of each kernel's phases. */
#include "cuda/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_BYTES = 8192, DEFAULT_SHARED = 48 << 10 };

/* The compiler's first complaints, without its empty lines. */
static void append_log(struct nn_message *m, const char *log)
{
    char line[400];
    for (int lines = 0; *log && lines < 6;) {
        size_t n = strcspn(log, "\n");
        if (n) {
            snprintf(line, sizeof line, "%.*s", (int)n, log);
            nn_append(m->text, sizeof m->text, "\n  %s", line);
            lines++;
        }
        log += n + (log[n] == '\n');
    }
}

static enum nn_status load_ptx(struct cuda *d, const struct nn_code *code, const char *why,
                               struct nn_message *m)
{
    char *log = calloc(1, LOG_BYTES);
    int option[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *value[] = {log, (void *)(uintptr_t)LOG_BYTES};
    if (!log)
        return nn_fail(m, NN_MACHINE, "out of memory");
    enum nn_status s = CU(d->c, m, cuModuleLoadDataEx, &d->module, code->text, 2, option, value);
    log[LOG_BYTES - 1] = 0;
    if (s && m) {
        nn_message_prefix(m, "the kernels for %s were refused: ", code->target);
        append_log(m, log);
        if (*why)
            nn_append(m->text, sizeof m->text, "\n  and by ptxas: %s", why);
    }
    if (s)
        d->module = NULL;
    free(log);
    return s;
}

/* Machine code of the chip itself, but for levels that exist on one chip only (sm_90a). */
static void architecture(const struct cuda *d, const char *target, char *arch, size_t size)
{
    size_t n = strlen(target);
    if (n && target[n - 1] == 'a')
        snprintf(arch, size, "%s", target);
    else
        snprintf(arch, size, "sm_%d%d", d->info.major, d->info.minor);
}

/* Machine code for 8.0 runs on 8.6 too, for 9.0a on 9.0 alone. */
static bool fits(const struct cuda *d, const char *target)
{
    char *end;
    long level = !strncmp(target, "sm_", 3) ? strtol(target + 3, &end, 10) : 0;
    long have = 10 * d->info.major + d->info.minor;
    return level > 0 && (*end ? level == have : level / 10 == have / 10 && level <= have);
}

static bool load_cubin(struct cuda *d, const void *cubin)
{
    char log[256] = ""; /* not of interest, and so not for stderr */
    int option[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *value[] = {log, (void *)(uintptr_t)sizeof log};
    if (!d->c->cuModuleLoadDataEx(&d->module, cubin, 2, option, value))
        return true;
    d->module = NULL; /* an assembler newer than the driver: its own compiler decides */
    return false;
}

static enum nn_status load_code(struct cuda *d, const struct nn_code *code, struct nn_message *m)
{
    char arch[32], why[400] = "";
    void *cubin;
    size_t n;
    if (!d->c->sim && code->cubin && fits(d, code->target) && load_cubin(d, code->cubin))
        return NN_OK;
    architecture(d, code->target, arch, sizeof arch);
    if (!d->c->sim &&
        nn_cuda_assemble(code->text, code->bytes, arch, &cubin, &n, why, sizeof why)) {
        bool loaded = load_cubin(d, cubin);
        free(cubin);
        if (loaded)
            return NN_OK;
    }
    return load_ptx(d, code, why, m);
}

/* ---- entries ---- */

static const char *kernel_name(const struct nn_program *c, uint32_t k)
{
    return nn_image_text(c->image, nn_image_kernels(c->image)[k].name);
}

/* Whether every launch is a GPU's; first[k + 1] becomes the phases of kernel k, *params the most
 * parameters of one. */
static enum nn_status survey(struct cuda *d, const struct nn_program *c, uint32_t *params,
                             struct nn_message *m)
{
    for (uint32_t g = 0; g < c->image->graph_count; g++) {
        const struct nn_launch_rec *l = nn_image_at(c->image, c->graph[g].rec->launches_at);
        for (uint32_t i = 0; i < c->graph[g].rec->launch_count; i++, l++) {
            const struct nn_phase_rec *p = nn_image_at(c->image, l->phases_at);
            *params = l->arg_count + 1 > *params ? l->arg_count + 1 : *params;
            if (l->kind != NN_LAUNCH_KERNEL)
                continue;
            if (l->phase_count > d->first[l->kernel + 1])
                d->first[l->kernel + 1] = l->phase_count;
            for (uint32_t k = 0; k < l->phase_count; k++) {
                if (!p[k].threads)
                    return nn_fail(m, NN_USAGE, "the image is for a CPU: no device runs %s",
                                   kernel_name(c, l->kernel));
                if (p[k].shared > d->info.shared_block)
                    return nn_fail(
                        m, NN_MACHINE, "%s wants %u bytes of shared memory, %s has %zu for a block",
                        kernel_name(c, l->kernel), p[k].shared, d->info.name, d->info.shared_block);
            }
        }
    }
    return NN_OK;
}

static enum nn_status find_entries(struct cuda *d, const struct nn_program *c, struct nn_message *m)
{
    enum nn_status s = NN_OK;
    for (uint32_t k = 0; !s && k < c->image->kernel_count; k++)
        for (uint32_t p = d->first[k]; !s && p < d->first[k + 1]; p++) {
            char name[400];
            snprintf(name, sizeof name, "%.360s_p%u", kernel_name(c, k), p - d->first[k]);
            s = CU(d->c, m, cuModuleGetFunction, &d->function[p], d->module, name);
            if (s)
                nn_message_prefix(m, "%s: ", name);
        }
    return s;
}

/* More than 48 KB of dynamic shared memory must be asked for. */
static enum nn_status allow_shared(struct cuda *d, const struct nn_program *c, struct nn_message *m)
{
    enum nn_status s = NN_OK;
    for (uint32_t g = 0; g < c->image->graph_count; g++) {
        const struct nn_launch_rec *l = nn_image_at(c->image, c->graph[g].rec->launches_at);
        for (uint32_t i = 0; i < c->graph[g].rec->launch_count; i++) {
            const struct nn_phase_rec *p = nn_image_at(c->image, l[i].phases_at);
            for (uint32_t k = 0; !s && k < l[i].phase_count; k++)
                if (p[k].shared > DEFAULT_SHARED)
                    s = CU(d->c, m, cuFuncSetAttribute, d->function[d->first[l[i].kernel] + k],
                           CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)p[k].shared);
        }
    }
    return s;
}

enum nn_status module_load(struct cuda *d, const struct nn_program *c, struct nn_message *m)
{
    uint32_t kernels = c->image->kernel_count, params = 1;
    d->first = calloc(kernels + 1u, sizeof *d->first);
    enum nn_status s =
        d->first ? survey(d, c, &params, m) : nn_fail(m, NN_MACHINE, "out of memory");
    if (s)
        return s;
    for (uint32_t k = 0; k < kernels; k++)
        d->first[k + 1] += d->first[k];
    d->function = calloc(d->first[kernels] + 1u, sizeof *d->function);
    d->param = calloc(params, sizeof *d->param);
    if (!d->function || !d->param)
        return nn_fail(m, NN_MACHINE, "out of memory");
    if (!d->first[kernels])
        return NN_OK; /* nothing but a library's products */
    if (!c->code || !c->code->text || !c->code->target)
        return nn_fail(m, NN_USAGE, "the image's code for the GPU is missing");
    s = load_code(d, c->code, m);
    if (!s)
        s = find_entries(d, c, m);
    return s ? s : allow_shared(d, c, m);
}

void module_unload(struct cuda *d)
{
    if (d->module)
        d->c->cuModuleUnload(d->module);
    free(d->function);
    free(d->first);
    free(d->param);
    d->module = NULL;
    d->function = d->param = NULL;
    d->first = NULL;
}
