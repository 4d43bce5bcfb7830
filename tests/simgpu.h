/* What tests of the software GPU share: one device, buffers in host memory that travel there and
 * back, launches that must succeed or must give a report. */
#ifndef NNC_TEST_SIMGPU_H
#define NNC_TEST_SIMGPU_H

#include "sim.h"
#include "test.h"

struct gpu {
    struct sim_device *d;
    struct sim_module *m;
    struct sim_counters n;
    struct sim_fault fault;
    struct sim_launch l;
    char log[4096];
};

static inline bool gpu_open(struct gpu *g, const char *chip, int workers)
{
    memset(g, 0, sizeof *g);
    g->d = sim_device_new(sim_chip_find(chip), (uint64_t)1 << 32, workers);
    return g->d != NULL;
}

static inline bool gpu_load(struct gpu *g, const char *text)
{
    enum sim_status s = sim_module_load(g->d, text, strlen(text), &g->m, g->log, sizeof g->log);
    if (s)
        printf("not loaded (%d):\n%s", s, g->log);
    return !s;
}

static inline void gpu_close(struct gpu *g)
{
    sim_module_unload(g->m);
    sim_device_free(g->d);
}

/* One parameter of a launch: a buffer, or bytes by value. */
struct gpu_arg {
    void *host;
    size_t bytes;
    bool buffer, out, fresh; /* out: comes back; fresh: nothing is written to it before */
    uint64_t at;
};
#define IN(p)                                                                                      \
    {                                                                                              \
        (void *)(p), sizeof(p), true, false, false, 0                                              \
    }
#define OUT(p)                                                                                     \
    {                                                                                              \
        (p), sizeof(p), true, true, false, 0                                                       \
    }
#define FRESH(p)                                                                                   \
    {                                                                                              \
        (p), sizeof(p), true, true, true, 0                                                        \
    }
#define BY_VALUE(v)                                                                                \
    {                                                                                              \
        &(v), sizeof(v), false, false, false, 0                                                    \
    }

static inline enum sim_status gpu_run(struct gpu *g, const char *name, struct gpu_arg *a, size_t n)
{
    struct sim_kernel *k;
    uint8_t params[4096] = {0};
    if (sim_module_kernel(g->m, name, &k)) {
        printf("no kernel %s\n", name);
        return SIM_NOT_FOUND;
    }
    const struct sim_kernel_facts *f = sim_kernel_facts(k);
    for (size_t i = 0; i < n && i < f->param_count; i++) {
        if (a[i].buffer) {
            sim_alloc(g->d, a[i].bytes, 0, &a[i].at);
            if (!a[i].fresh)
                sim_write(g->d, a[i].at, a[i].host, a[i].bytes);
        }
        memcpy(params + f->param[i].offset, a[i].buffer ? (void *)&a[i].at : a[i].host,
               f->param[i].bytes);
    }
    g->l.params = params;
    g->l.shared_allowed = sim_device_chip(g->d)->shared_optin;
    enum sim_status s =
        n == f->param_count ? sim_run(g->d, k, &g->l, &g->n, &g->fault) : SIM_BAD_LAUNCH;
    for (size_t i = 0; i < n; i++) {
        if (a[i].out && !s)
            sim_read(g->d, a[i].host, a[i].at, a[i].bytes);
        if (a[i].at)
            sim_free(g->d, a[i].at);
    }
    return s;
}

#define LAUNCH(g, name, gx, bx, ...)                                                               \
    launch_1d(g, name, gx, bx, (struct gpu_arg[]){__VA_ARGS__},                                    \
              sizeof((struct gpu_arg[]){__VA_ARGS__}) / sizeof(struct gpu_arg))

/* Succeeds, or prints the report and fails the test. */
static inline bool launch_1d(struct gpu *g, const char *name, uint32_t grid, uint32_t block,
                             struct gpu_arg *a, size_t n)
{
    g->l.grid[0] = grid;
    g->l.block[0] = block;
    for (int i = 1; i < 3; i++) {
        g->l.grid[i] = g->l.grid[i] ? g->l.grid[i] : 1;
        g->l.block[i] = g->l.block[i] ? g->l.block[i] : 1;
    }
    enum sim_status s = gpu_run(g, name, a, n);
    if (s)
        printf("%s: status %d: %s\n", name, s, s == SIM_FAULT ? g->fault.text : "");
    test(!s);
    g->l.grid[1] = g->l.grid[2] = g->l.block[1] = g->l.block[2] = 1;
    g->l.shared = 0;
    return !s;
}

/* Numbers in [-1, 1), the same each time. */
static inline double number_at(uint64_t i)
{
    uint64_t x = i * 0x9E3779B97F4A7C15u + 12345;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return (double)(int64_t)((x ^ x >> 31) >> 11) * 0x1p-52 - 1;
}

#endif
