/* module: PTX texts as modules of a device. */
#include "code.h"
#include <stdlib.h>

#define MAX_TEXT ((size_t)256 << 20)

#define PTX_NEWEST 99 /* 9.9: what 10.0 changes is not known */

static bool newer(struct sim_module *m, struct ptx_log *log)
{
    if (m->tree->version > PTX_NEWEST) {
        ptx_error(log, 1, "PTX %d.%d is newer than %d.%d, the last that is known",
                  m->tree->version / 10, m->tree->version % 10, PTX_NEWEST / 10, PTX_NEWEST % 10);
        return true;
    }
    const struct sim_chip *c = m->device->chip;
    int have = c->major * 10 + c->minor;
    if (m->tree->target <= have &&
        (!m->tree->family ||
         (m->tree->family == 'a' && m->tree->target == have && c->family == 'a') ||
         (m->tree->family == 'f' && m->tree->target / 10 == c->major)))
        return false;
    ptx_error(log, 0, "the text is for sm_%d%.1s, the chip is %s", m->tree->target,
              m->tree->family ? &m->tree->family : "", c->name);
    return true;
}

static enum sim_status load(struct sim_module *m, const char *text, size_t bytes,
                            struct ptx_log *log)
{
    m->tree = ptx_read(&m->mem, text, bytes, log);
    if (!m->tree)
        return SIM_BAD_PTX;
    if (!m->tree->version || !m->tree->target) {
        ptx_error(log, 1, "a PTX text begins with .version and .target");
        return SIM_BAD_PTX;
    }
    if (m->tree->address_bits && m->tree->address_bits != 64) {
        ptx_error(log, 0, "addresses of 32 bits are not simulated");
        return SIM_UNSUPPORTED;
    }
    if (newer(m, log))
        return SIM_NEWER_PTX;
    if (sim_decode(m, log))
        return SIM_OK;
    return log->unsupported ? SIM_UNSUPPORTED : SIM_BAD_PTX;
}

enum sim_status sim_module_load(struct sim_device *d, const char *text, size_t bytes,
                                struct sim_module **out, char *log_text, size_t log_bytes)
{
    struct ptx_log log = {.text = log_bytes ? log_text : NULL, .size = log_bytes};
    if (log.text)
        log.text[0] = 0;
    *out = NULL;
    struct sim_module *m = calloc(1, sizeof *m);
    if (!m)
        return SIM_NO_MEMORY;
    m->device = d;
    /* A hostile text must not take memory out of proportion to its size. */
    m->mem.limit = ((size_t)64 << 20) + (bytes < MAX_TEXT ? bytes : 0) * 400;
    enum sim_status s = SIM_BAD_PTX;
    if (bytes > MAX_TEXT)
        ptx_error(&log, 0, "a text of more than 256 MB");
    else
        s = load(m, text, bytes, &log);
    if (s) {
        sim_module_unload(m);
        return s;
    }
    *out = m;
    return SIM_OK;
}

void sim_module_unload(struct sim_module *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->vars; i++)
        sim_free(m->device, m->var[i].at);
    ptx_arena_free(&m->mem);
    free(m);
}

enum sim_status sim_module_kernel(struct sim_module *m, const char *name, struct sim_kernel **k)
{
    for (size_t i = 0; i < m->kernels; i++)
        if (!strcmp(m->kernel[i].f->name, name)) {
            *k = &m->kernel[i];
            return SIM_OK;
        }
    return SIM_NOT_FOUND;
}

enum sim_status sim_module_global(struct sim_module *m, const char *name, uint64_t *at,
                                  uint64_t *bytes)
{
    for (size_t i = 0; i < m->vars; i++)
        if (!strcmp(m->var[i].name, name)) {
            *at = m->var[i].at;
            *bytes = m->var[i].bytes;
            return SIM_OK;
        }
    return SIM_NOT_FOUND;
}

size_t sim_module_kernels(const struct sim_module *m) { return m->kernels; }
struct sim_kernel *sim_module_kernel_at(const struct sim_module *m, size_t i)
{
    return i < m->kernels ? &m->kernel[i] : NULL;
}
const struct sim_kernel_facts *sim_kernel_facts(const struct sim_kernel *k) { return &k->facts; }
