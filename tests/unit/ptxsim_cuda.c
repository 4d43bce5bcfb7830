/* Kernels that nvcc compiles from ordinary CUDA C (tests/cuda) run on the software GPU with checks
 * on, and give what they give when they are computed here. One call of the compiler for all of
 * them; skipped without it. */
#include "simcuda.h"

static float from_half(uint16_t h)
{
    float v = ldexpf((float)(h & 0x3FF) + (h & 0x7C00 ? 1024 : 0),
                     (h >> 10 & 31) - 25 + (h & 0x7C00 ? 0 : 1));
    return h & 0x8000 ? -v : v;
}
static uint16_t to_half(float f) /* normal numbers only */
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return (uint16_t)((u >> 16 & 0x8000) |
                      (((u & 0x7FFFFFFF) + 0xFFF + (u >> 13 & 1) - 0x38000000) >> 13 & 0x7FFF));
}
static float from_bf16(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static uint16_t to_bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return (uint16_t)((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

static void sums(struct gpu *g)
{
    static float x[1024], y[4];
    float total[1] = {0};
    double want[4] = {0}, all = 0;
    int n = 1024;
    for (int i = 0; i < 1024; i++)
        want[i / 256] += x[i] = (float)number_at((uint64_t)i);
    g->l.shared = 1024;
    LAUNCH(g, "reduce_shared", 4, 256, IN(x), FRESH(y));
    for (int i = 0; i < 4; i++) {
        test_near(y[i], want[i], 1e-4);
        all += want[i];
    }
    LAUNCH(g, "reduce_warp", 2, 128, IN(x), OUT(total), BY_VALUE(n));
    test_near(total[0], all, 1e-4);
    static float part[32];
    unsigned count[1] = {0};
    total[0] = 0;
    LAUNCH(g, "last_block", 32, 32, IN(x), FRESH(part), OUT(count), FRESH(total));
    test_near(total[0], all, 1e-4);
}

static void matmul(struct gpu *g)
{
    static float a[64 * 64], b[64 * 64], c[64 * 64], t[64 * 64];
    int n = 64;
    for (int i = 0; i < n * n; i++)
        a[i] = (float)number_at((uint64_t)i), b[i] = (float)number_at((uint64_t)i + 9999);
    g->l.grid[1] = 4, g->l.block[1] = 16;
    LAUNCH(g, "matmul_tiled", 4, 16, IN(a), IN(b), FRESH(c), BY_VALUE(n));
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double s = 0;
            for (int k = 0; k < n; k++)
                s += a[i * n + k] * b[k * n + j];
            test_near(c[i * n + j], s, 1e-5);
        }
    g->l.grid[1] = 2, g->l.block[1] = 8, g->l.shared = 33 * 32 * 4;
    LAUNCH(g, "transpose", 2, 32, IN(a), FRESH(t), BY_VALUE(n));
    int wrong = 0;
    for (int i = 0; i < n * n; i++)
        wrong += t[i] != a[i % n * n + i / n];
    test(!wrong);
}

static void warps(struct gpu *g)
{
    int x[128], y[128], bounded[32], want = 0, wrong = 0;
    for (int i = 0; i < 128; i++)
        x[i] = (int)(number_at((uint64_t)i) * 50 + 50);
    LAUNCH(g, "scan_warp", 1, 128, IN(x), FRESH(y));
    for (int i = 0; i < 128; i++)
        wrong += y[i] != (want += x[i]);
    test(!wrong);
    int sum8[16], odd[4] = {0};
    LAUNCH(g, "groups", 1, 128, IN(x), FRESH(sum8), OUT(odd));
    for (int i = 0; i < 16; i++) {
        int s = 0;
        for (int k = 0; k < 8; k++)
            s += x[i * 8 + k];
        test(sum8[i] == s);
    }
    int first_odd = 0;
    for (int i = 0; i < 32; i++) {
        bounded[i] = x[i];
        first_odd += x[i] & 1;
    }
    test(odd[0] == first_odd);
    unsigned v[128];
    LAUNCH(g, "votes", 1, 32, IN(bounded), FRESH(v));
    int above = 0, any = 0;
    for (int i = 0; i < 32; i++)
        above += bounded[i] > 50, any |= bounded[i] > 98;
    for (unsigned i = 0; i < 32; i++) {
        unsigned same = 0;
        for (unsigned k = 0; k < 32; k++)
            same |= (unsigned)(bounded[k] % 4 == bounded[i] % 4) << k;
        test(v[i] == (unsigned)above + 100 * (unsigned)any + 1000 && v[i + 32] == same);
        test(v[i + 64] ==
             (unsigned)__builtin_ffs((int)same) + 256 * (unsigned)__builtin_popcount(same) + 65536);
        test(v[i + 96] == (unsigned)bounded[i / 8 * 8 + 5]);
    }
    int r[128], sum = 0, most = 0, least = 0, bits = 0;
    LAUNCH(g, "redux", 1, 32, IN(bounded), FRESH(r));
    for (int i = 0; i < 32; i++) {
        sum += bounded[i], bits ^= bounded[i];
        most = bounded[i] > most ? bounded[i] : most;
        least = bounded[i] - 200 < least ? bounded[i] - 200 : least;
    }
    test(r[3] == sum && r[35] == most && r[67] == least && r[99] == bits);
    LAUNCH(g, "barrier_votes", 1, 128, IN(x), FRESH(y));
    int over = 0;
    for (int i = 0; i < 128; i++)
        over += x[i] > 50;
    test(y[0] == over + 1000 && y[127] == y[0]);
    LAUNCH(g, "named_barrier", 1, 64, IN(x), FRESH(bounded), BY_VALUE((int){4}));
    for (int t = 0; t < 32; t++)
        test(bounded[t] == 2 * (x[31 - t] + x[63 - t] + x[95 - t] + x[127 - t]));
}

static void atomic_kernels(struct gpu *g)
{
    static uint8_t x[4096];
    static unsigned bins[256], want[256];
    int n = 4096, wrong = 0;
    for (int i = 0; i < n; i++)
        want[x[i] = (uint8_t)(number_at((uint64_t)i) * 127 + 128)]++;
    LAUNCH(g, "histogram", 3, 256, IN(x), OUT(bins), BY_VALUE(n));
    for (int i = 0; i < 256; i++)
        wrong += bins[i] != want[i];
    test(!wrong);
    int v[128], least[1] = {1000}, low = 1000;
    unsigned long long sum[1] = {5}, all = 5;
    double most[1] = {-1}, high = -1;
    unsigned ring[1] = {0}, bits[1] = {0}, or = 0;
    for (int i = 0; i < 128; i++) {
        v[i] = (int)(number_at((uint64_t)i + 77) * 400 + 500);
        all += (unsigned long long)v[i] << 20;
        high = v[i] > high ? v[i] : high, low = v[i] < low ? v[i] : low, or |= 1u << (v[i] & 31);
    }
    LAUNCH(g, "atomics", 2, 64, IN(v), OUT(sum), OUT(most), OUT(ring), OUT(least), OUT(bits));
    test(sum[0] == all && most[0] == high && ring[0] == 128 % 10 && least[0] == low &&
             bits[0] == or);
}

/* Loops that begin with a plain load of what they compare and swap: no races. */
static void swap_loops(struct gpu *g)
{
    double sum[1] = {0};
    uint16_t halves[2] = {0}, pair[2] = {0};
    float most[1] = {0};
    LAUNCH(g, "swap_loops", 2, 64, OUT(sum), OUT(halves), OUT(pair), OUT(most));
    test(sum[0] == 127 * 64 && most[0] == 127);
    test(from_bf16(halves[0]) == 64 && from_bf16(halves[1]) == 64);
    test(from_bf16(pair[0]) == 128 && from_bf16(pair[1]) == 256);
}

static void halves(struct gpu *g)
{
    uint16_t x[64], y[64], was[64];
    float wide[64];
    for (int i = 0; i < 64; i++) {
        x[i] = to_bf16((float)number_at((uint64_t)i));
        was[i] = y[i] = to_bf16((float)number_at((uint64_t)i + 64));
    }
    LAUNCH(g, "bf16_axpy", 1, 64, IN(x), OUT(y), FRESH(wide));
    for (int i = 0; i < 64; i++) {
        test(y[i] == to_bf16((float)(1.5 * from_bf16(x[i]) + from_bf16(was[i]))));
        test_near(wide[i], 2 * from_bf16(x[i]) + 6, 0.001);
    }
    uint16_t p[64], q[64];
    unsigned greater[32];
    for (int i = 0; i < 64; i++)
        p[i] = to_half((float)number_at((uint64_t)i));
    LAUNCH(g, "half2_poly", 1, 32, IN(p), FRESH(q), FRESH(greater));
    for (int i = 0; i < 64; i++) {
        float v = from_half(p[i]);
        test_near(from_half(q[i]), (v * v + 1) * (v - 1), 0.004);
        test((greater[i / 2] >> i % 2 & 1) == (v > 0));
    }
}

static void tensor_cores(struct gpu *g)
{
    static uint16_t a[32 * 32], b[32 * 32];
    static float c[32 * 32];
    int n = 32;
    for (int i = 0; i < n * n; i++)
        a[i] = to_half((float)number_at((uint64_t)i)),
        b[i] = to_half((float)number_at((uint64_t)i + 5000));
    g->l.grid[1] = 2;
    LAUNCH(g, "wmma_f16", 2, 32, IN(a), IN(b), FRESH(c), BY_VALUE(n));
    for (int i = 0; i < n * n; i++) {
        double s = 0;
        for (int k = 0; k < n; k++)
            s += from_half(a[i / n * n + k]) * from_half(b[i % n * n + k]);
        test_near(c[i], 2 * s, 1e-4);
    }
    uint16_t p[16 * 16], q[16 * 8];
    float d[16 * 8], fa[16 * 8], fb[8 * 8];
    for (int i = 0; i < 256; i++)
        p[i] = to_bf16((float)number_at((uint64_t)i)),
        q[i % 128] = to_bf16((float)number_at((uint64_t)i + 7));
    LAUNCH(g, "mma_bf16", 1, 32, IN(p), IN(q), FRESH(d));
    for (int i = 0; i < 128; i++) {
        double s = 0;
        for (int k = 0; k < 16; k++)
            s += from_bf16(p[i / 8 * 16 + k]) * from_bf16(q[k * 8 + i % 8]);
        test_near(d[i], s, 1e-5);
    }
    for (int i = 0; i < 128; i++)
        fa[i] = (float)number_at((uint64_t)i), fb[i % 64] = (float)number_at((uint64_t)i + 200);
    LAUNCH(g, "mma_tf32", 1, 32, IN(fa), IN(fb), FRESH(d));
    for (int i = 0; i < 128; i++) {
        double s = 1;
        for (int k = 0; k < 8; k++)
            s += fa[i / 8 * 8 + k] * fb[k * 8 + i % 8];
        test_near(d[i], s, 4e-3);
    }
    int8_t u[16 * 32], v[8 * 32];
    int e[16 * 8];
    for (int i = 0; i < 512; i++)
        u[i] = (int8_t)(number_at((uint64_t)i) * 127),
        v[i % 256] = (int8_t)(number_at((uint64_t)i + 1000) * 127);
    LAUNCH(g, "mma_s8", 1, 32, IN(u), IN(v), FRESH(e));
    for (int i = 0; i < 128; i++) {
        int s = 0;
        for (int k = 0; k < 32; k++)
            s += u[i / 8 * 32 + k] * v[i % 8 * 32 + k];
        test(e[i] == s);
    }
    static float x[2 * 5 * 256], sum[128];
    for (int i = 0; i < 2560; i++)
        x[i] = (float)number_at((uint64_t)i);
    LAUNCH(g, "cp_async", 2, 64, IN(x), FRESH(sum), BY_VALUE((int){5}));
    for (int i = 0; i < 128; i++) {
        double s = 0;
        for (int k = 0; k < 5; k++)
            for (int j = 0; j < 4; j++)
                s += x[(i / 64 * 5 + k) * 256 + (63 - i % 64) * 4 + j];
        test_near(sum[i], s, 1e-5);
    }
    test(g->n.mma && g->n.async_copies);
}

static int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

static void calls(struct gpu *g)
{
    int x[32], y[32], which[32];
    float z[32], v[32];
    for (int i = 0; i < 32; i++)
        x[i] = i % 12, which[i] = i % 3, v[i] = (float)i + 0.5f;
    LAUNCH(g, "recursion", 1, 32, IN(x), FRESH(y), FRESH(z));
    for (int i = 0; i < 32; i++)
        test(y[i] == fibonacci(x[i]) && z[i] == 231 * (float)i);
    LAUNCH(g, "pointers", 1, 32, IN(which), IN(v), FRESH(z));
    for (int i = 0; i < 32; i++)
        test(z[i] == (i % 3 == 0 ? 2 * v[i] : i % 3 == 1 ? v[i] * v[i] : v[i] - 1));
    int s[64], t[64];
    for (int i = 0; i < 64; i++)
        s[i] = (int)(number_at((uint64_t)i) * 5 + 5) - 1;
    LAUNCH(g, "switches", 1, 64, IN(s), FRESH(t));
    for (int i = 0; i < 64; i++) {
        int w[9] = {17 + i,       s[i ^ 1] * 3, s[i ^ 2] - 9, s[i ^ 3] ^ 5, i / 3,
                    s[i ^ 4] % 7, i * i,        -i,           -1000};
        test(t[i] == w[s[i] < 0 || s[i] > 7 ? 8 : s[i]]);
    }
    static int a[512], b[512];
    for (int i = 0; i < 512; i++)
        a[i] = (int)(number_at((uint64_t)i) * 1000);
    LAUNCH(g, "local_sort", 1, 32, IN(a), FRESH(b));
    long sa = 0, sb = 0;
    for (int i = 0; i < 512; i++) {
        sa += a[i], sb += b[i];
        test(i % 16 == 0 || b[i - 1] <= b[i]);
    }
    test(sa == sb);
    unsigned u[100], m[100];
    for (unsigned i = 0; i < 100; i++)
        u[i] = i * 37 % 91;
    LAUNCH(g, "collatz", 2, 64, IN(u), FRESH(m), BY_VALUE((int){100}));
    unsigned steps[128] = {0};
    for (int i = 0; i < 100; i++) {
        unsigned c = u[i] + 1;
        if (c % 7 == 0)
            c = 1, steps[i] = 7777;
        for (; c != 1 && steps[i] < 200; steps[i]++)
            c = c & 1 ? 3 * c + 1 : c / 2;
    }
    for (int i = 0; i < 100; i++) {
        unsigned most = 0;
        for (int k = i / 32 * 32; k < i / 32 * 32 + 32; k++)
            most = steps[k] > most ? steps[k] : most;
        test(m[i] == steps[i] + 100000 * most);
    }
}

static void constants(struct gpu *g)
{
    float x[64], y[64];
    int last[1];
    for (int i = 0; i < 64; i++)
        x[i] = (float)number_at((uint64_t)i);
    LAUNCH(g, "constants", 1, 64, IN(x), FRESH(y), FRESH(last));
    for (int i = 0; i < 64; i++)
        test_near(y[i], 1 + x[i] * (-2 + x[i] * (3.5 + x[i] * (-4.25 + x[i] * 5.0))), 2e-6);
    uint64_t at, bytes;
    int calls_now = 0;
    test(last[0] == 64 && !sim_module_global(g->m, "calls", &at, &bytes) && bytes == 4);
    test(!sim_read(g->d, &calls_now, at, 4) && calls_now == 64);
}

static void maths(struct gpu *g)
{
    float x[64], y[64 * 8];
    double u[64], v[64 * 8];
    for (int i = 0; i < 64; i++)
        x[i] = (float)(u[i] = number_at((uint64_t)i) * 2), u[i] = number_at((uint64_t)i + 64) * 2;
    LAUNCH(g, "maths", 1, 64, IN(x), FRESH(y), IN(u), FRESH(v));
    for (int i = 0; i < 64; i++) {
        double a = x[i], d = u[i];
        double f[8] = {sin(a),  exp(a), log(fabs(a) + 1),      pow(fabs(a), 1.5),
                       tanh(a), erf(a), 1 / sqrt(fabs(a) + 1), cos((double)(1e6f * x[i]))};
        double w[8] = {sin(d),  exp(d), log(fabs(d) + 1), pow(fabs(d) + 0.5, 2.5),
                       tanh(d), erf(d), 1 / (d + 3),      cbrt(d)};
        for (int k = 0; k < 8; k++) {
            test_near(y[i + 64 * k], f[k], 1e-6 * (1 + fabs(f[k])));
            test_near(v[i + 64 * k], w[k], 1e-14 * (1 + fabs(w[k])));
        }
    }
    double e[32], z[32 * 3];
    long long q[32 * 2];
    for (int i = 0; i < 32; i++)
        e[i] = number_at((uint64_t)i) * 3;
    LAUNCH(g, "doubles", 1, 32, IN(e), FRESH(z), FRESH(q));
    for (int i = 0; i < 32; i++) {
        double a = e[i];
        test(z[i] == a / 3.0 + sqrt(fma(a, a, 1)) && z[i + 32] == nextafter(a, 10));
        test(z[i + 64] == floor(a) + ceil(a * 2) + rint(a * 4) + trunc(a * 8));
        test(q[i] == llrint(a * 1e9) &&
             q[i + 32] == (long long)(int)(a * 100) / 7 + (long long)(1e15 * a) % 1000);
    }
    float r[32], s[32 * 6];
    int t[32 * 4];
    for (int i = 0; i < 32; i++)
        r[i] = (float)number_at((uint64_t)i);
    LAUNCH(g, "roundings", 1, 32, IN(r), FRESH(t), FRESH(s));
    for (int i = 0; i < 32; i++) {
        float a = r[i] * 1000;
        test(t[i] == (int)floorf(a) && t[i + 32] == (int)ceilf(a) && t[i + 64] == (int)rintf(a));
        test(t[i + 96] == (fabsf(a * 1e9f) < 2147483647.0f ? (int)(a * 1e9f)
                           : a > 0                         ? INT32_MAX
                                                           : INT32_MIN));
        double exact = (double)a + (double)1e-5f, up = (double)a * (double)1.1f;
        test(fabs(s[i]) <= fabs(exact) &&
             fabsf(nextafterf(s[i], a > 0 ? 1e9f : -1e9f)) > fabs(exact));
        test(s[i + 32] >= up && nextafterf(s[i + 32], -1e9f) < up);
        test(s[i + 64] == (a > 1 ? 1 : a > 0 ? a : 0));
        test_near(s[i + 160], 1 / (a + 2000), 1e-9);
    }
}

__extension__ typedef unsigned __int128 wide;
static uint64_t high(uint64_t a, uint64_t b) { return (uint64_t)((wide)a * b >> 64); }

static void integers(struct gpu *g)
{
    uint32_t x[64], y[32 * 6];
    int64_t z[64];
    for (int i = 0; i < 64; i++)
        x[i] = (uint32_t)(int64_t)(number_at((uint64_t)i) * 4e9);
    LAUNCH(g, "integers", 1, 32, IN(x), FRESH(y), FRESH(z));
    for (int i = 0; i < 32; i++) {
        uint32_t a = x[i], b = x[i + 32], dot = 7, reversed = 0;
        for (int k = 0; k < 4; k++)
            dot += (uint32_t)((int8_t)(a >> 8 * k) * (int8_t)(b >> 8 * k));
        for (int k = 0; k < 32; k++)
            reversed |= (a >> k & 1) << (31 - k);
        test(y[i] == dot && y[i + 32] == (((a & 0xFFFF) | b << 16) ^ (b << 11 | a >> 21)));
        test(y[i + 64] == reversed + (uint32_t)(b ? __builtin_clz(b) : 32) +
                              (uint32_t)__builtin_popcount(a) + (uint32_t)__builtin_ffs((int)b));
        test(y[i + 96] == (uint32_t)((uint64_t)a * b >> 32) +
                              (uint32_t)((uint64_t)((int64_t)(int32_t)a * (int32_t)b) >> 32));
        test(y[i + 128] == a / (b | 1) + a % (b | 1) + (uint32_t)((int32_t)a / (int32_t)(b | 1)));
        int64_t p = (int64_t)(int32_t)a * (int32_t)b, q = (int64_t)((uint64_t)a << 20 | b);
        test(z[i] == p / 12345 + q % 9999991 &&
             (uint64_t)z[i + 32] == high((uint64_t)q, 0x9E3779B97F4A7C15u));
    }
    uint64_t u[64], v[96];
    for (int i = 0; i < 64; i++)
        u[i] = (uint64_t)(number_at((uint64_t)i) * 9e18) * 2 + 1;
    LAUNCH(g, "wide_integers", 1, 32, IN(u), FRESH(v));
    for (int i = 0; i < 32; i++) {
        uint64_t low = u[i] * u[i + 32], sum = low + u[i];
        test(v[i] == sum && v[i + 32] == high(u[i], u[i + 32]) + (sum < low));
        wide p = (wide)u[i] * u[i + 32] + u[i];
        test(v[i + 64] == (uint64_t)(p / (u[i + 32] / 2 + 1)));
    }
    float f[128], h[64];
    uint8_t c[128];
    int16_t s[64];
    for (int i = 0; i < 128; i++)
        f[i] = (float)i - 50, c[i] = (uint8_t)(i * 7);
    LAUNCH(g, "vectors", 1, 32, IN(f), FRESH(h), IN(c), FRESH(s));
    for (int i = 0; i < 32; i++) {
        test(h[2 * i] == f[4 * i] + f[4 * i + 2] && h[2 * i + 1] == f[4 * i + 1] * f[4 * i + 3]);
        test(s[2 * i] == c[4 * i] - c[4 * i + 1] &&
             s[2 * i + 1] == (int16_t)(c[4 * i + 2] * c[4 * i + 3]));
    }
}

/* All forms of wmma, on the whole numbers that wmma_forms.cu makes. */
static void wmma_forms(struct gpu *g)
{
    static const struct {
        const char *name;
        int shape; /* of m: 0 all three */
        int k;
    } forms[] = {
        {"wmma_f32_f16_f32", 0, 16},  {"wmma_f16_f16_f16", 0, 16},  {"wmma_f32_f16_f16", 16, 16},
        {"wmma_f16_f16_f32", 16, 16}, {"wmma_f32_bf16_f32", 0, 16}, {"wmma_s32_s8_s32", 0, 16},
        {"wmma_s32_u8_s32", 0, 16},   {"wmma_tf32", 16, 8},         {"wmma_f64", 8, 4}};
    static float out[4 * 256];
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        for (int shape = 8; shape <= 32; shape *= 2) {
            char name[32];
            int m = shape, n = forms[i].k == 4 ? 8 : 256 / m, wrong = 0;
            if (forms[i].shape && forms[i].shape != shape)
                continue;
            snprintf(name, sizeof name, forms[i].shape ? "%s" : "%s_%d", forms[i].name, shape);
            LAUNCH(g, name, 1, 32, OUT(out));
            for (int x = 0; x < 4 * m * n; x++) {
                int r = x % (m * n) / n, c = x % n, s = x % (m * n) % 13 - 6;
                for (int k = 0; k < forms[i].k; k++)
                    s += (r * 7 + k * 3) % 11 * ((k * 5 + c * 2) % 7);
                wrong += out[x] != (float)s;
            }
            test(!wrong);
        }
}

int main(void)
{
    static struct gpu g;
    char *text = cuda_compile("tests/cuda", "sm_80");
    if (!text) {
        printf("skipped: nvcc is not found\n");
        return 77;
    }
    test(gpu_open(&g, "sm_80", 2));
    if (gpu_load(&g, text)) {
        sums(&g);
        wmma_forms(&g);
        matmul(&g);
        warps(&g);
        atomic_kernels(&g);
        swap_loops(&g);
        halves(&g);
        tensor_cores(&g);
        calls(&g);
        constants(&g);
        maths(&g);
        integers(&g);
    } else {
        test(!"the text is loaded");
    }
    free(text);
    gpu_close(&g);
    return test_done();
}
