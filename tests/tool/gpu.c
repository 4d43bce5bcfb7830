/* Launches on the software GPU, by its own interface: the PTX of a plan's kernels is loaded,
 * buffers are copied to the device, every phase is run with all checks on, what was written is
 * copied back. Memory that no launch has written yet counts as such, so reads before writes are
 * found. */
#include "back/back.h"
#include "lower/lower.h"
#include "sim.h"
#include "tool.h"

struct tool_gpu {
    const struct target *t;
    struct sim_device *d;
};

struct tool_gpu *tool_gpu_open(const struct target *t)
{
    const struct sim_chip *chip = sim_chip_find(t->name);
    struct sim_device *d = chip ? sim_device_new(chip, 0, 0) : NULL;
    if (!d) {
        tool_complain("the software GPU has no chip %s\n", t->name);
        return NULL;
    }
    struct tool_gpu *g = xcalloc(1, sizeof *g);
    *g = (struct tool_gpu){t, d};
    return g;
}

void tool_gpu_close(struct tool_gpu *g)
{
    if (g)
        sim_device_free(g->d);
    free(g);
}

/* ---- buffers: one on the device for each on the host ---- */

struct copy {
    void *host;
    uint64_t at, bytes;
    bool written;
};
struct run {
    struct tool_gpu *g;
    const struct low_launches *l;
    void *const *const *arg;
    VEC(struct copy) copies;
    struct sim_module *module;
    uint64_t fault;
};

static uint64_t arg_bytes(const struct low_launch *l, uint32_t k)
{
    uint32_t n = 0;
    for (uint32_t i = 1; i < l->kernel->buffers.n; i++) {
        const struct lo_buffer *b = &l->kernel->buffers.p[i];
        if (b->space == LO_ARG && n++ == k)
            return (uint64_t)b->count * nn_dtype_size((enum nn_dtype)b->type.dtype) * b->type.lanes;
    }
    return 0;
}

static struct copy *find_copy(struct run *r, const void *host)
{
    for (uint32_t i = 0; i < r->copies.n; i++)
        if (r->copies.p[i].host == host)
            return &r->copies.p[i];
    return NULL;
}

/* What is read before any launch writes it comes from the host. */
static bool copy_in(struct run *r)
{
    for (uint32_t i = 0; i < r->l->p.n; i++)
        for (uint32_t k = 0; k < r->l->p.p[i].args.n; k++) {
            const struct low_launch *l = &r->l->p.p[i];
            struct copy *c = find_copy(r, r->arg[i][k]);
            if (!c) {
                struct copy one = {.host = r->arg[i][k], .bytes = arg_bytes(l, k)};
                if (sim_alloc(r->g->d, one.bytes ? one.bytes : 1, 0, &one.at))
                    return false;
                if (!l->args.p[k].write && sim_write(r->g->d, one.at, one.host, one.bytes))
                    return false;
                vec_push(&r->copies, one);
                c = &r->copies.p[r->copies.n - 1];
            }
            c->written |= l->args.p[k].write;
        }
    struct nn_fault none = {0};
    return !sim_alloc(r->g->d, sizeof none, 0, &r->fault) &&
           !sim_write(r->g->d, r->fault, &none, sizeof none);
}

static bool copy_out(struct run *r, struct nn_fault *fault)
{
    bool ok = true;
    for (uint32_t i = 0; i < r->copies.n; i++) {
        const struct copy *c = &r->copies.p[i];
        if (c->written)
            ok &= !sim_read(r->g->d, c->host, c->at, c->bytes);
    }
    return ok && !sim_read(r->g->d, fault, r->fault, sizeof *fault);
}

static void free_copies(struct run *r)
{
    for (uint32_t i = 0; i < r->copies.n; i++)
        sim_free(r->g->d, r->copies.p[i].at);
    if (r->fault)
        sim_free(r->g->d, r->fault);
    vec_free(&r->copies);
}

/* ---- launches ---- */

static bool run_phase(struct run *r, uint32_t i, uint32_t p, const char *symbol)
{
    const struct low_launch *l = &r->l->p.p[i];
    const struct lo_phase *ph = &l->kernel->phases.p[p];
    char name[400];
    struct sim_kernel *kernel;
    struct sim_fault fault = {0};
    uint64_t *params = xcalloc(l->args.n + 1, sizeof *params);
    struct sim_launch launch = {.grid = {(uint32_t)ph->chunks, 1, 1},
                                .block = {(uint32_t)ph->threads, 1, 1},
                                .shared = back_shared(l->kernel, p),
                                .params = params,
                                .shared_allowed = r->g->t->shared_block};
    snprintf(name, sizeof name, "%.360s_p%u", symbol, p);
    for (uint32_t k = 0; k < l->args.n; k++)
        params[k] = find_copy(r, r->arg[i][k])->at;
    params[l->args.n] = r->fault;
    enum sim_status s = sim_module_kernel(r->module, name, &kernel);
    if (s)
        tool_complain("the PTX has no entry %s\n", name);
    else if ((s = sim_run(r->g->d, kernel, &launch, NULL, &fault)))
        tool_complain("%s: %s\n", name, s == SIM_FAULT ? fault.text : "the launch was refused");
    free(params);
    return s == SIM_OK;
}

static bool run_all(struct run *r, const char *const *symbol)
{
    for (uint32_t i = 0; i < r->l->p.n; i++)
        for (uint32_t p = 0; p < r->l->p.p[i].kernel->phases.n; p++)
            if (r->l->p.p[i].kernel->phases.p[p].chunks && !run_phase(r, i, p, symbol[i]))
                return false;
    return true;
}

/* The kernels' PTX, and the symbol of each launch's. */
static bool load(struct run *r, const char **symbol)
{
    uint32_t n = r->l->p.n;
    struct lo_kernel **k = xcalloc(n + 1, sizeof *k);
    struct text ptx = {0};
    char *message = NULL, log[2000] = "";
    for (uint32_t i = 0; i < n; i++) {
        k[i] = r->l->p.p[i].kernel;
        k[i]->name = arena_printf(k[i]->mem, "k%u_%s", i, k[i]->name);
    }
    back_symbols(k, n, symbol);
    bool ok = back_emit(r->g->t, k, n, BACK_ASM, &ptx, &message);
    if (!ok)
        tool_complain("%s\n", message);
    else if (n && sim_module_load(r->g->d, ptx.p, ptx.n, &r->module, log, sizeof log)) {
        tool_complain("the PTX was refused: %s\n", log);
        ok = false;
    }
    free(message);
    text_free(&ptx);
    free(k);
    return ok;
}

bool tool_gpu_run(struct tool_gpu *g, const struct low_launches *l, void *const *const *arg,
                  struct nn_fault *fault)
{
    struct run r = {.g = g, .l = l, .arg = arg};
    const char **symbol = xcalloc(l->p.n + 1, sizeof *symbol);
    bool ok = load(&r, symbol);
    if (ok && !copy_in(&r)) {
        tool_complain("no memory on the device\n");
        ok = false;
    }
    ok = ok && run_all(&r, symbol);
    if (ok && !copy_out(&r, fault)) {
        tool_complain("results could not be read\n");
        ok = false;
    }
    free_copies(&r);
    if (r.module)
        sim_module_unload(r.module);
    free(symbol);
    return ok;
}
