/* For tests of kernels: a kernel of loop IR as PTX on the software GPU. */
#ifndef NNC_SIMULATE_H
#define NNC_SIMULATE_H

#include "back/back.h"
#include "loop/loop.h"
#include "ptxsim/sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct simulated {
    struct sim_device *d;
    uint64_t at[64]; /* the arguments, then the fault record */
    size_t bytes[64];
    uint32_t n;
    struct sim_counters counters; /* of all phases */
};

static inline bool sim_says(bool ok, const char *what, const char *text)
{
    if (!ok)
        printf("%s: %s\n", what, text);
    return ok;
}

/* Compiles the kernel (which changes it) and runs its phases on device memory filled from buf[i],
 * `bytes[i]` of it where `given[i]`, the rest uninitialised. What was not given is read back. The
 * PTX goes to *ptx, the caller's. False after a message. */
static inline bool simulate(struct simulated *s, const struct target *t, struct lo_kernel *k,
                            void *const *buf, const size_t *bytes, const bool *given,
                            struct text *ptx)
{
    char *message = NULL, log[2000] = "", entry[300];
    const char *symbol;
    struct sim_module *m = NULL;
    struct sim_kernel *kernel;
    struct sim_fault fault = {0};
    uint32_t shared[16];
    bool ok = true;
    memset(s, 0, sizeof *s);
    for (uint32_t p = 0; p < k->phases.n && p < 16; p++)
        shared[p] = back_shared(k, p);
    lo_expand_maths(k, true);
    back_symbols(&k, 1, &symbol);
    if (!sim_says(back_emit(t, &k, 1, BACK_ASM, ptx, &message), "back", message ? message : ""))
        return false;
    s->d = sim_device_new(sim_chip_find(t->name), 0, 0);
    for (uint32_t i = 1; i < k->buffers.n && k->buffers.p[i].space == LO_ARG; i++) {
        s->bytes[s->n] = bytes[i - 1];
        ok = ok && sim_alloc(s->d, bytes[i - 1], 0, &s->at[s->n]) == SIM_OK;
        if (ok && given[i - 1])
            ok = sim_write(s->d, s->at[s->n], buf[i - 1], bytes[i - 1]) == SIM_OK;
        s->n++;
    }
    struct nn_fault none = {0};
    ok = ok && sim_alloc(s->d, sizeof none, 0, &s->at[s->n]) == SIM_OK &&
         sim_write(s->d, s->at[s->n], &none, sizeof none) == SIM_OK;
    ok = sim_says(ok, k->name, "device memory") &&
         sim_says(sim_module_load(s->d, ptx->p, ptx->n, &m, log, sizeof log) == SIM_OK, k->name,
                  log);
    for (uint32_t p = 0; ok && p < k->phases.n; p++) {
        snprintf(entry, sizeof entry, "%s_p%u", symbol, p);
        struct sim_launch l = {.grid = {(uint32_t)k->phases.p[p].chunks, 1, 1},
                               .block = {(uint32_t)k->phases.p[p].threads, 1, 1},
                               .shared = shared[p],
                               .params = s->at,
                               .shared_allowed = t->shared_block};
        ok = sim_says(sim_module_kernel(m, entry, &kernel) == SIM_OK, entry, "no such entry") &&
             sim_says(sim_run(s->d, kernel, &l, &s->counters, &fault) == SIM_OK, entry, fault.text);
    }
    for (uint32_t i = 0; ok && i < s->n; i++)
        if (!given[i])
            ok = sim_read(s->d, buf[i], s->at[i], bytes[i]) == SIM_OK;
    sim_module_unload(m);
    return ok;
}

static inline void simulated_end(struct simulated *s) { sim_device_free(s->d); }

#endif
