/* bench-gpu_matmul: matrix products by the GPU's own kernels, counted by the software GPU: bytes of
 * global memory beside what the tiling implies and beside the least possible, bank conflicts, mma;
 * registers and spills where ptxas is found (PATH). Of their machine code: bench/sass.sh.
 * Usage: bench-gpu_matmul [TARGET [M N K]] */
#include "../tests/simulate.h"
#include "lower/skeleton.h"
#include <ctype.h>
#include <inttypes.h>
#include <unistd.h>

static const char *const body =
    "%%a = input a : %s[i %d, k %d]\n%%b = input b : %s[k %d, j %d]\n"
    "%%u = %s %%a[i, k] : %s[i %d, k %d] inline\n%%v = %s %%b[k, j] : %s[k %d, j %d] inline\n"
    "%%p = mul %%u[i, k] %%v[k, j] : %s[i %d, j %d, k %d] inline\n"
    "%%y = reduce sum(k %d) %%p[i, j, k] : %s[i %d, j %d]\noutput y %%y";

/* ---- what the assembler makes of it ---- */

static bool shell(const char *command, char *out, size_t size)
{
    FILE *f = popen(command, "r");
    size_t n = f ? fread(out, 1, size - 1, f) : 0;
    out[n] = 0;
    return f && pclose(f) == 0 && n > 0;
}

static void assembled(const struct text *ptx, const struct target *t)
{
    char file[] = "/tmp/bench-gpu-XXXXXX", command[600], out[4000];
    int fd = mkstemp(file);
    if (fd < 0 || !shell("command -v ptxas", out, sizeof out))
        return;
    if (write(fd, ptx->p, ptx->n) == (ssize_t)ptx->n) {
        snprintf(command, sizeof command,
                 "ptxas -v --gpu-name %s %s -o %s.cubin 2>&1 | grep -E 'spill|Used' | "
                 "sed 's/ptxas info *: //; s/^ */  /'",
                 t->name, file, file);
        if (shell(command, out, sizeof out))
            fputs(out, stdout);
        snprintf(command, sizeof command, "%s.cubin", file);
        unlink(command);
    }
    close(fd);
    unlink(file);
}

/* ---- counters ---- */

/* Whole tiles of both operands for every block, the result once, partial sums twice. */
static double implied(const char *words, double m, double n, double k, double size, double out)
{
    int tm = 1, tn = 1, tk = 1, parts = 1;
    const char *tile = strstr(words, "tile "), *split = strstr(words, "k in ");
    if (tile)
        sscanf(tile, "tile %d x %d x %d", &tm, &tn, &tk);
    if (split)
        sscanf(split, "k in %d", &parts);
    double sums = parts > 1 ? 2.0 * 4 * m * n * parts : 0;
    return (m * n / tn + m * n / tm) * k * size + m * n * out + sums;
}

static void run(const struct target *t, const char *type, int m, int n, int k)
{
    bool tf32 = !strcmp(type, "tf32");
    const char *d = tf32 ? "f32" : type, *op = tf32 ? "round_tf32" : "copy";
    struct text s = {0}, words = {0}, ptx = {0};
    text_printf(&s, "graph g {\n");
    text_printf(&s, body, d, m, k, d, k, n, op, d, m, k, op, d, k, n, d, m, n, k, k, d, m, n);
    text_printf(&s, "\n}\n");
    struct diag *diag = diag_new();
    struct ir_module *mod = ir_read(diag, diag_add_file(diag, "matmul", s.p, s.n));
    diag_print(diag, stdout);
    struct fuse_plan *plan = fuse_graph(mod->graphs.p[0], t, "greedy", FUSE_GEMM_OWN);
    lower_print(plan, &words);
    printf("%s\n%s", type, words.p);
    struct low_launches *l = lower_plan(plan);
    struct lo_kernel *kernel = l->p.p[0].kernel;
    int64_t count[] = {(int64_t)m * k, (int64_t)k * n, (int64_t)m * n, 0};
    void *buf[4];
    size_t bytes[4];
    bool given[] = {true, true, false, false};
    for (uint32_t i = 0; i < l->p.p[0].args.n; i++) {
        size_t size = nn_dtype_size(kernel->buffers.p[i + 1].type.dtype);
        bytes[i] = i < 3 ? (size_t)count[i] * size : (size_t)l->p.p[0].args.p[i].bytes;
        buf[i] = xcalloc(bytes[i], 1);
    }
    struct simulated sim;
    if (simulate(&sim, t, kernel, buf, bytes, given, &ptx)) {
        const struct sim_counters *c = &sim.counters;
        double size = tf32 || !strcmp(type, "f32") ? 4 : 2;
        double moved = 32.0 * (double)(c->global_load_sectors + c->global_store_sectors);
        double least = size * ((double)count[0] + (double)count[1] + (double)count[2]);
        double tiling = implied(words.p, m, n, k, size, size);
        printf("  %.2f MB of global memory: %.3f of what the tiling implies, %.2f of the least\n"
               "  %" PRIu64 " bank conflicts in %" PRIu64 " accesses, %" PRIu64 " mma, %" PRIu64
               " warp instructions, %.2f s\n",
               moved * 1e-6, moved / tiling, moved / least, c->shared_conflicts, c->shared_accesses,
               c->mma, c->warp_instructions, c->seconds);
        assembled(&ptx, t);
    }
    simulated_end(&sim);
    for (uint32_t i = 0; i < l->p.p[0].args.n; i++)
        free(buf[i]);
    text_free(&ptx);
    text_free(&words);
    text_free(&s);
    lower_free(l);
    fuse_free(plan);
    ir_module_free(mod);
    diag_free(diag);
}

int main(int argc, char **argv)
{
    static const char *const types[] = {"f32", "tf32", "bf16", "f16"};
    const struct target *t = target_find(argc > 1 ? argv[1] : "sm_80");
    int m = 1024, n = 1024, k = 1024;
    if (!t || t->kind != TARGET_GPU || (argc > 2 && argc < 5)) {
        fprintf(stderr, "usage: bench-gpu_matmul [sm_80 [M N K]]\n");
        return 2;
    }
    if (argc > 4) {
        m = atoi(argv[2]);
        n = atoi(argv[3]);
        k = atoi(argv[4]);
    }
    printf("%d x %d x %d, %s\n", m, n, k, t->name);
    for (size_t i = 0; i < COUNT(types); i++)
        run(t, types[i], m, n, k);
    return 0;
}
