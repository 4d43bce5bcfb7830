/* Kernels of clusters that nvcc compiles from CUDA C (tests/cuda/sm_90) run on the software GPU
 * with checks on and give what is computed here; skipped without the compiler. */
#include "simcuda.h"

static void cluster_is(struct gpu *g, uint32_t x, uint32_t y)
{
    g->l.cluster[0] = x, g->l.cluster[1] = y, g->l.cluster[2] = x ? 1 : 0;
}

static void histogram(struct gpu *g)
{
    static int x[1000];
    static unsigned bins[120], want[120];
    int n = 1000, each = 40;
    for (int i = 0; i < n; i++)
        want[x[i] = (int)(number_at((uint64_t)i) * 60 + 60)]++;
    cluster_is(g, 3, 1);
    g->l.shared = 160;
    LAUNCH(g, "cluster_histogram", 6, 64, IN(x), BY_VALUE(n), OUT(bins), BY_VALUE(each));
    test(!memcmp(bins, want, sizeof want));
    cluster_is(g, 0, 0);
}

static void reduce(struct gpu *g)
{
    static float x[2048], sums[2];
    double want[2] = {0};
    for (int i = 0; i < 2048; i++)
        want[i / 1024] += x[i] = (float)number_at((uint64_t)i);
    LAUNCH(g, "cluster_reduce", 8, 256, IN(x), FRESH(sums)); /* the kernel says its clusters */
    test_near(sums[0], want[0], 1e-4);
    test_near(sums[1], want[1], 1e-4);
    struct gpu_arg args[] = {IN(x), FRESH(sums)};
    g->l.grid[0] = 6; /* no whole clusters of 4 */
    test(gpu_run(g, "cluster_reduce", args, 2) == SIM_BAD_LAUNCH);
    g->l.grid[0] = 8;
    cluster_is(g, 2, 1); /* not what the kernel says */
    test(gpu_run(g, "cluster_reduce", args, 2) == SIM_BAD_LAUNCH);
    cluster_is(g, 0, 0);
}

static void ring(struct gpu *g)
{
    static int y[16 * 96];
    static unsigned facts[16][12];
    cluster_is(g, 2, 2);
    g->l.grid[1] = 4;
    LAUNCH(g, "cluster_ring", 4, 32, FRESH(y), FRESH(facts));
    cluster_is(g, 0, 0);
    for (unsigned at = 0; at < 16; at++) {
        unsigned x = at % 4, z = at / 4, rank = x % 2 + z % 2 * 2, from = (rank + 1) % 4;
        unsigned other = (z / 2 * 2 + from / 2) * 4 + x / 2 * 2 + from % 2;
        unsigned want[12] = {other * 10 + 3, rank, 4,     x % 2, z % 2,    2, 2,
                             3 - rank,       rank, x / 2, 2,     rank * 32};
        test(!memcmp(facts[at], want, sizeof want));
    }
}

static void async(struct gpu *g)
{
    static int x[128], y[8 * 128];
    for (int i = 0; i < 128; i++)
        x[i] = (int)(number_at((uint64_t)i) * 1000);
    LAUNCH(g, "cluster_async", 8, 32, IN(x), FRESH(y));
    int wrong = 0;
    for (int b = 0; b < 8; b++)
        for (int t = 0; t < 32; t++) {
            int *to = y + b * 128, from = (b + 3) % 4;
            wrong += to[t] != x[from * 32 + t] + from * 100 + t;
            wrong += to[32 + t] != 31 * 32 / 2;
            wrong += to[64 + t] != x[t] + x[32 + t] + x[64 + t] + x[96 + t];
            wrong += to[96 + t] != (b % 4 ? 0 : 6000 + 4 * t);
        }
    test(!wrong);
}

int main(void)
{
    static struct gpu g;
    char *text = cuda_compile("tests/cuda/sm_90", "sm_90a");
    if (!text) {
        printf("skipped: nvcc is not found\n");
        return 77;
    }
    for (int workers = 1; workers <= 2; workers++) {
        test(gpu_open(&g, "sm_90a", workers));
        if (gpu_load(&g, text)) {
            histogram(&g);
            reduce(&g);
            ring(&g);
            async(&g);
        } else {
            test(!"loaded");
        }
        gpu_close(&g);
    }
    free(text);
    return test_done();
}
