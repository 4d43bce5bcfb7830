/* bench-traffic: what kernels of a GPU read and write of global memory, by the counters of the
 * software GPU, beside the least possible: every input of the graph read once, every output written
 * once. Usage: bench-traffic [TARGET] FILE.graph… (bench/traffic/, which bench/traffic.sh runs);
 * -k: by kernel.
 *
 *   asked    bytes that loads and stores ask for
 *   sectors  32-byte pieces that warps' accesses touch, in bytes: what leaves the multiprocessor
 *            if its own cache holds nothing
 *   tiling   the same over what the kernels' tilings imply, where one has such (attention)
 *   banks    extra accesses of shared memory for conflicts of banks, per access */
#include "back/back.h"
#include "lower/lower.h"
#include "pass/pass.h"
#include "sim.h"
#include <errno.h>

struct graph {
    struct ir_graph *g;
    struct fuse_plan *plan;
    struct low_launches *l;
    struct sim_device *d;
    struct sim_module *m;
    const char **symbol;
    uint64_t *at; /* device memory of each node */
    uint64_t fault;
    bool kernels; /* a line for each */
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-traffic: %s: %s\n", what, why);
    exit(1);
}

static uint64_t bytes_of(const struct ir_node *n)
{
    return (uint64_t)ir_count(n) * nn_dtype_size(n->dtype);
}

/* ---- the least ---- */

static uint64_t least(const struct graph *x)
{
    uint64_t bytes = 0;
    uint8_t *read = xcalloc(x->g->nodes.n, 1);
    for (uint32_t i = 0; i < x->l->p.n; i++)
        for (uint32_t k = 0; k < x->l->p.p[i].args.n; k++)
            read[x->l->p.p[i].args.p[k].node] = 1;
    for (ir_id i = 1; i < x->g->nodes.n; i++) {
        const struct ir_node *n = ir_at(x->g, i);
        bytes += read[i] && (n->op == IR_input || n->op == IR_slot) ? bytes_of(n) : 0;
    }
    for (uint32_t i = 0; i < x->g->outputs.n; i++)
        bytes += bytes_of(ir_at(x->g, x->g->outputs.p[i].node));
    for (uint32_t i = 0; i < x->g->updates.n; i++)
        bytes += bytes_of(ir_at(x->g, x->g->updates.p[i].node));
    free(read);
    return bytes;
}

/* ---- memory ---- */

static uint64_t allocate(struct graph *x, uint64_t bytes)
{
    uint64_t at;
    if (sim_alloc(x->d, bytes ? bytes : 1, 0, &at) != SIM_OK)
        die(x->g->name, "no device memory");
    return at;
}

/* Floats in [0.5, 1.5); integers 0 to 6. */
static void fill(struct graph *x, ir_id node)
{
    const struct ir_node *n = ir_at(x->g, node);
    uint64_t bytes = bytes_of(n), size = nn_dtype_size(n->dtype), state = node;
    char *p = xmalloc(bytes + 8);
    for (uint64_t i = 0; i < bytes; i += size) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        double u = (double)(state >> 40) * 0x1p-24;
        union lo_num v = nn_is_float(n->dtype) ? lo_num_from_f(n->dtype, u + 0.5)
                                               : lo_num_from_i(n->dtype, (int64_t)(u * 7));
        memcpy(p + i, &v, size);
    }
    sim_write(x->d, x->at[node], p, bytes);
    free(p);
}

static void make_memory(struct graph *x)
{
    x->at = xcalloc(x->g->nodes.n, sizeof *x->at);
    x->fault = allocate(x, sizeof(struct nn_fault));
    sim_set(x->d, x->fault, 0, 1, sizeof(struct nn_fault));
    for (uint32_t i = 0; i < x->l->p.n; i++)
        for (uint32_t k = 0; k < x->l->p.p[i].args.n; k++) {
            ir_id node = x->l->p.p[i].args.p[k].node;
            if (!node || x->at[node])
                continue;
            x->at[node] = allocate(x, bytes_of(ir_at(x->g, node)));
            if (ir_at(x->g, node)->op == IR_input || ir_at(x->g, node)->op == IR_slot)
                fill(x, node);
        }
}

/* ---- running ---- */

static void load(struct graph *x, const struct target *t)
{
    uint32_t n = x->l->p.n;
    struct lo_kernel **k = xcalloc(n + 1, sizeof *k);
    struct text ptx = {0};
    char *message = NULL, log[2048];
    for (uint32_t i = 0; i < n; i++)
        k[i] = x->l->p.p[i].kernel;
    x->symbol = xcalloc(n + 1, sizeof *x->symbol);
    back_symbols(k, n, x->symbol);
    if (!back_emit(t, k, n, BACK_ASM, &ptx, &message))
        die(x->g->name, message);
    if (sim_module_load(x->d, ptx.p, ptx.n, &x->m, log, sizeof log) != SIM_OK)
        die(x->g->name, log);
    text_free(&ptx);
    free(k);
}

static void run_phase(struct graph *x, uint32_t i, uint32_t phase, const uint64_t *params,
                      struct sim_counters *c)
{
    const struct lo_kernel *k = x->l->p.p[i].kernel;
    const struct lo_phase *p = &k->phases.p[phase];
    struct sim_kernel *kernel;
    struct sim_fault fault;
    struct text name = {0};
    if (!p->chunks)
        return;
    text_printf(&name, "%s_p%u", x->symbol[i], phase);
    if (sim_module_kernel(x->m, name.p, &kernel) != SIM_OK)
        die(name.p, "no such entry");
    struct sim_launch l = {.grid = {(uint32_t)p->chunks, 1, 1},
                           .block = {(uint32_t)p->threads, 1, 1},
                           .shared = back_shared(k, phase),
                           .shared_allowed = x->plan->target->shared_block,
                           .params = params,
                           .unchecked = true};
    enum sim_status s = sim_run(x->d, kernel, &l, c, &fault);
    if (s != SIM_OK)
        die(name.p, s == SIM_FAULT ? fault.text : "the launch was refused");
    text_free(&name);
}

/* What counts of the ratios: over the tiling where there is one, else over the least. */
static double print_row(const char *name, uint32_t launches, uint64_t floor, double tiled,
                        const struct sim_counters *c)
{
    uint64_t asked = c->global_load_bytes + c->global_store_bytes;
    double least = (double)floor;
    double sectors = 32.0 * (double)(c->global_load_sectors + c->global_store_sectors);
    printf("%-26s %3u %9.2f %9.2f %6.3f %9.2f %6.3f", name, launches, least * 1e-6,
           (double)asked * 1e-6, (double)asked / least, sectors * 1e-6, sectors / least);
    if (tiled > 0)
        printf(" %6.3f", sectors / tiled);
    if (tiled > 0 && c->shared_accesses)
        printf(" %6.3f", (double)c->shared_conflicts / (double)c->shared_accesses);
    printf("\n");
    return sectors / (tiled > 0 ? tiled : least);
}

/* Returns what its tiling implies, or else the least. */
static double run_launch(struct graph *x, uint32_t i, struct sim_counters *all)
{
    const struct low_launch *l = &x->l->p.p[i];
    uint64_t *params = xcalloc(l->args.n + 1, sizeof *params), floor = 0;
    struct sim_counters c = {0};
    for (uint32_t k = 0; k < l->args.n; k++) {
        ir_id node = l->args.p[k].node;
        params[k] = node ? x->at[node] : allocate(x, (uint64_t)l->args.p[k].bytes);
        floor += node ? bytes_of(ir_at(x->g, node)) : 0;
    }
    params[l->args.n] = x->fault;
    for (uint32_t p = 0; p < l->kernel->phases.n; p++)
        run_phase(x, i, p, params, &c);
    for (uint32_t k = 0; k < l->args.n; k++)
        if (!l->args.p[k].node)
            sim_free(x->d, params[k]);
    if (x->kernels)
        print_row(l->kernel->name, (uint32_t)l->kernel->phases.n, floor, l->kernel->tiled, &c);
    all->global_load_bytes += c.global_load_bytes;
    all->global_store_bytes += c.global_store_bytes;
    all->global_load_sectors += c.global_load_sectors;
    all->global_store_sectors += c.global_store_sectors;
    all->shared_accesses += c.shared_accesses;
    all->shared_conflicts += c.shared_conflicts;
    free(params);
    return l->kernel->tiled > 0 ? l->kernel->tiled : (double)floor;
}

static bool has_marks(const struct ir_graph *g)
{
    for (ir_id i = 1; i < g->nodes.n; i++)
        if (ir_op_class(ir_at(g, i)->op) == IRC_MARK)
            return true;
    return false;
}

/* How many times the least it moves, or what its tiling implies. */
static double measure(struct ir_graph *g, const struct target *t, bool kernels)
{
    struct graph x = {.g = g, .kernels = kernels};
    struct sim_counters c = {0};
    uint32_t phases = 0;
    double tiled = 0;
    bool tiling = false;
    if (has_marks(g)) {
        pass_run(pass_find("simplify"), g);
        pass_run(pass_find("gradient"), g);
    }
    pass_pipeline(g);
    x.plan = fuse_graph(g, t, "greedy", FUSE_GEMM_OWN);
    x.l = lower_plan(x.plan);
    x.d = sim_device_new(sim_chip_find(t->name), 0, 0);
    if (!x.d)
        die(t->name, "not simulated");
    load(&x, t);
    make_memory(&x);
    for (uint32_t i = 0; i < x.l->p.n; i++) {
        tiling = tiling || x.l->p.p[i].kernel->tiled > 0;
        tiled += run_launch(&x, i, &c);
        phases += x.l->p.p[i].kernel->phases.n;
    }
    double ratio = print_row(g->name, phases, least(&x), tiling ? tiled : 0, &c);
    free(x.symbol);
    free(x.at);
    sim_module_unload(x.m);
    sim_device_free(x.d);
    lower_free(x.l);
    fuse_free(x.plan);
    return ratio;
}

static struct ir_module *read_module(const char *file)
{
    size_t size;
    char *text = file_read(file, (size_t)1 << 24, &size);
    if (!text)
        die(file, strerror(errno));
    struct diag *d = diag_new();
    struct ir_module *m = ir_read(d, diag_add_file(d, file, text, size));
    diag_print(d, stderr);
    if (!m)
        die(file, "no graph");
    m->diag = NULL;
    free(text);
    diag_free(d);
    return m;
}

int main(int argc, char **argv)
{
    const struct target *t = target_find("sm_80");
    bool kernels = false;
    double most = 0, worst = 0;
    printf("%-26s %3s %9s %9s %6s %9s %6s %6s %6s\n", "MB of global memory", "run", "least",
           "asked", "ratio", "sectors", "ratio", "tiling", "banks");
    for (int i = 1; i < argc; i++) {
        if (target_find(argv[i])) {
            t = target_find(argv[i]);
            continue;
        }
        if (!strcmp(argv[i], "-k")) {
            kernels = true;
            continue;
        }
        if (!strcmp(argv[i], "--most") && i + 1 < argc) {
            most = strtod(argv[++i], NULL);
            continue;
        }
        struct ir_module *m = read_module(argv[i]);
        for (uint32_t k = 0; k < m->graphs.n; k++) {
            double ratio = measure(m->graphs.p[k], t, kernels);
            worst = ratio > worst ? ratio : worst;
        }
        ir_module_free(m);
    }
    return most > 0 && worst > most;
}
