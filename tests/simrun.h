/* Kernels as PTX on the software GPU, for tests: one module is loaded, then its kernels run on
 * buffers of the host, with all checks on. */
#ifndef NNC_TEST_SIMRUN_H
#define NNC_TEST_SIMRUN_H

#include "back/back.h"
#include "sim.h"

struct simrun {
    struct sim_device *d;
    struct sim_module *m;
    char words[1024]; /* what went wrong */
};

static inline void simrun_close(struct simrun *r)
{
    if (r->m)
        sim_module_unload(r->m);
    if (r->d)
        sim_device_free(r->d);
    r->m = NULL;
    r->d = NULL;
}

static inline bool simrun_open(struct simrun *r, const struct target *t, const struct text *ptx)
{
    const struct sim_chip *chip = sim_chip_find(t->name);
    *r = (struct simrun){.d = chip ? sim_device_new(chip, 0, 0) : NULL};
    if (!r->d) {
        snprintf(r->words, sizeof r->words, "no chip %s", t->name);
        return false;
    }
    return sim_module_load(r->d, ptx->p, ptx->n, &r->m, r->words, sizeof r->words) == SIM_OK;
}

static inline bool simrun_phase(struct simrun *r, const struct lo_kernel *k, uint32_t phase,
                                const char *symbol, const uint64_t *params)
{
    const struct lo_phase *p = &k->phases.p[phase];
    struct sim_kernel *entry;
    struct sim_fault fault = {0};
    char name[320];
    struct sim_launch l = {.grid = {(uint32_t)p->chunks, 1, 1},
                           .block = {(uint32_t)p->threads, 1, 1},
                           .shared = back_shared(k, phase),
                           .params = params,
                           .shared_allowed = sim_device_chip(r->d)->shared_optin};
    snprintf(name, sizeof name, "%.300s_p%u", symbol, phase);
    if (!p->chunks)
        return true;
    enum sim_status s = sim_module_kernel(r->m, name, &entry);
    if (s == SIM_OK)
        s = sim_run(r->d, entry, &l, NULL, &fault);
    snprintf(r->words, sizeof r->words, "%s: status %d: %s", name, (int)s, fault.text);
    return s == SIM_OK;
}

/* buf[i]: the i-th argument; what the kernel writes is copied back. */
static inline bool simrun_kernel(struct simrun *r, const struct lo_kernel *k, const char *symbol,
                                 void *const *buf, struct nn_fault *fault)
{
    uint64_t params[64] = {0};
    uint32_t n = 0;
    bool ok = true;
    for (uint32_t i = 1; i < k->buffers.n && k->buffers.p[i].space == LO_ARG && ok; i++, n++) {
        const struct lo_buffer *b = &k->buffers.p[i];
        uint64_t bytes = (uint64_t)b->count * nn_dtype_size((enum nn_dtype)b->type.dtype);
        CHECK(n < 62, "too many arguments");
        ok = sim_alloc(r->d, bytes ? bytes : 1, 0, &params[n]) == SIM_OK &&
             sim_write(r->d, params[n], buf[n], bytes) == SIM_OK;
    }
    *fault = (struct nn_fault){0};
    ok = ok && sim_alloc(r->d, sizeof *fault, 0, &params[n]) == SIM_OK &&
         sim_write(r->d, params[n], fault, sizeof *fault) == SIM_OK;
    for (uint32_t p = 0; p < k->phases.n && ok; p++)
        ok = simrun_phase(r, k, p, symbol, params);
    if (ok)
        sim_read(r->d, fault, params[n], sizeof *fault);
    for (uint32_t i = 0; i < n; i++) {
        const struct lo_buffer *b = &k->buffers.p[i + 1];
        uint64_t bytes = (uint64_t)b->count * nn_dtype_size((enum nn_dtype)b->type.dtype);
        if (ok && b->written)
            ok = sim_read(r->d, buf[i], params[i], bytes) == SIM_OK;
        sim_free(r->d, params[i]);
    }
    sim_free(r->d, params[n]);
    return ok;
}

#endif
