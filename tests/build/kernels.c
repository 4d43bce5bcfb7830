/* Functions of kernels.nn, several instances of one among them, against values computed here in
 * double; gradients in f64 against differences; stages against whole calls; a fault. */
#include "kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(x) ((x) ? (void)0 : exit(printf("%s:%d: %s\n", __FILE__, __LINE__, #x)))
#define COUNT(a) ((int)(sizeof(a) / sizeof(a)[0]))

static double value(int i, int seed) { return sin(i * 1.7 + seed) + 0.1; }

static void fill(double *p, int n, int seed)
{
    for (int i = 0; i < n; i++)
        p[i] = value(i, seed);
}

static float from_bf16(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint16_t to_bf16(double v) /* of numbers that bf16 has */
{
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static void *scratch(size_t bytes)
{
    void *p = aligned_alloc(64, bytes + 64 - bytes % 64);
    CHECK(p);
    return p;
}

/* ---- values ---- */

enum { ROWS = 6, N = 5 };

static void norm_by_hand(const double *x, const double *r, const double *gain, double *sum,
                         double *y)
{
    for (int i = 0; i < ROWS; i++) {
        double square = 0;
        for (int j = 0; j < N; j++) {
            sum[i * N + j] = x[i * N + j] + r[i * N + j];
            square += sum[i * N + j] * sum[i * N + j] / N;
        }
        for (int j = 0; j < N; j++)
            y[i * N + j] = sum[i * N + j] / sqrt(square + 1e-3) * gain[j];
    }
}

static double x[ROWS * N], r[ROWS * N], gain[N], sum[ROWS * N], y[ROWS * N], want[ROWS * N],
    want_sum[ROWS * N];

static void values(void)
{
    static uint16_t bx[ROWS * N], bg[N], bsum[ROWS * N], by[ROWS * N];
    CHECK(COUNT(x) == NORM64_X_SIZE && COUNT(gain) == NORM64_GAIN_SIZE &&
          COUNT(bx) == NORM16_Y_SIZE);
    void *s = scratch(NORM64_SCRATCH_BYTES + NORM16_SCRATCH_BYTES);
    fill(x, COUNT(x), 1);
    fill(r, COUNT(r), 2);
    fill(gain, COUNT(gain), 3);
    norm64(x, r, gain, sum, y, s);
    norm_by_hand(x, r, gain, want_sum, want);
    for (int i = 0; i < COUNT(y); i++)
        CHECK(fabs(y[i] - want[i]) < 1e-12 && sum[i] == want_sum[i]);
    for (int i = 0; i < COUNT(x); i++)
        bx[i] = to_bf16(x[i] = r[i] = (i % 9) / 4.0);
    for (int j = 0; j < N; j++)
        bg[j] = to_bf16(gain[j] = 1 + j % 2);
    norm16(bx, bx, bg, bsum, by, s);
    norm_by_hand(x, r, gain, want_sum, want);
    for (int i = 0; i < COUNT(y); i++)
        CHECK(fabs((double)from_bf16(by[i]) - want[i]) < 0.02 &&
              (double)from_bf16(bsum[i]) == want_sum[i]);
    free(s);
}

static void several_results(void)
{
    float in[3] = {1, -2, 3}, total;
    int32_t positive[3];
    void *s = scratch(HALF_SCRATCH_BYTES);
    half(in, &total, positive, s);
    CHECK(total == 1.0f && positive[0] == 1 && positive[1] == 0 && positive[2] == 1);
    free(s);
}

/* ---- gradients ---- */

static double loss_of_norm(void *s)
{
    double l = 0;
    norm64(x, r, gain, sum, y, s);
    for (int i = 0; i < COUNT(y); i++)
        l += sum[i] * value(i, 7) + y[i] * value(i, 8);
    return l;
}

static void differences(double *p, const double *d, int n, void *s)
{
    const double h = 1e-5;
    for (int i = 0; i < n; i++) {
        double was = p[i];
        p[i] = was + h;
        double up = loss_of_norm(s);
        p[i] = was - h;
        double down = loss_of_norm(s);
        p[i] = was;
        CHECK(fabs((up - down) / (2 * h) - d[i]) < 1e-7);
    }
}

static void gradients(void)
{
    static double d_sum[ROWS * N], d_y[ROWS * N], d_x[ROWS * N], d_r[ROWS * N], d_gain[N];
    void *s = scratch(NORM64_SCRATCH_BYTES + NORM64_GRAD_SCRATCH_BYTES + CUBE_GRAD_SCRATCH_BYTES);
    fill(x, COUNT(x), 4);
    fill(r, COUNT(r), 5);
    fill(gain, COUNT(gain), 6);
    fill(d_sum, COUNT(d_sum), 7);
    fill(d_y, COUNT(d_y), 8);
    norm64_grad(x, r, gain, d_sum, d_y, d_x, d_r, d_gain, s);
    differences(x, d_x, COUNT(x), s);
    differences(r, d_r, COUNT(r), s);
    differences(gain, d_gain, COUNT(gain), s);

    float at[CUBE_X_SIZE], unused[CUBE_X_SIZE], g[CUBE_X_SIZE], d[CUBE_X_SIZE], zero[CUBE_X_SIZE];
    for (int i = 0; i < CUBE_X_SIZE; i++) {
        at[i] = (float)i;
        g[i] = unused[i] = 2;
    }
    cube_grad(at, unused, g, d, zero, s);
    for (int i = 0; i < CUBE_X_SIZE; i++) /* as its author says, by = 2 */
        CHECK(d[i] == (float)(3 * 2 * i * i * 2) && zero[i] == 0);
    free(s);
}

/* ---- stages ---- */

static void stages(void)
{
    static float a[PRODUCT_X_SIZE], w[PRODUCT_W_SIZE], g[PRODUCT_OUT_SIZE];
    static float d[2][PRODUCT_X_SIZE + PRODUCT_W_SIZE];
    for (int i = 0; i < COUNT(a); i++)
        a[i] = (float)value(i, 1) / 8;
    for (int i = 0; i < COUNT(w); i++)
        w[i] = (float)value(i, 2) / 8;
    for (int i = 0; i < COUNT(g); i++)
        g[i] = (float)value(i, 3);
    void *s = scratch(PRODUCT_GRAD_SCRATCH_BYTES), *own = scratch(PRODUCT_GRAD_OWN_BYTES);
    product_grad(a, w, g, d[0], d[0] + COUNT(a), s);
    memset(s, 0xff, PRODUCT_GRAD_SCRATCH_BYTES);
    CHECK(PRODUCT_GRAD_STAGES > 1 && PRODUCT_GRAD_SHARED_BYTES > 0);
    for (int32_t k = 0; k < PRODUCT_GRAD_STAGES; k++)
        for (int64_t c = product_grad_chunks[k]; c-- > 0;)
            product_grad_stage(k, c, c + 1, a, w, g, d[1], d[1] + COUNT(a), s, own);
    CHECK(!memcmp(d[0], d[1], sizeof d[0]));
    double sum0 = 0, product = 0; /* d_x[0, 0] by hand: M x K times K x N */
    const int K = PRODUCT_X_SIZE / 40, N_ = PRODUCT_W_SIZE / K;
    for (int j = 0; j < N_; j++) {
        product = 0;
        for (int k = 0; k < K; k++)
            product += (double)a[k] * (double)w[k * N_ + j];
        sum0 += (double)g[j] * (1 - tanh(product) * tanh(product)) * (double)w[j];
    }
    CHECK(fabs(sum0 - (double)d[0][0]) < 1e-4);
    free(s);
    free(own);
}

static void fault(void)
{
    static float table[LOOKUP_TABLE_SIZE], more[LOOKUP_OUT_SIZE], out[LOOKUP_OUT__SIZE];
    int32_t ids[LOOKUP_IDS_SIZE] = {3, 1};
    void *s = scratch(LOOKUP_SCRATCH_BYTES);
    for (int i = 0; i < COUNT(table); i++)
        table[i] = (float)i;
    more[1] = 0.5f;
    CHECK(lookup(table, ids, more, out, s) == 0);
    CHECK(out[0] == table[3 * N] && out[1] == table[3 * N + 1] + 0.5f && out[N] == table[N]);
    ids[1] = LOOKUP_TABLE_SIZE / N;
    CHECK(lookup(table, ids, more, out, s) == 7); /* the line of kernels.nn */
    ids[1] = 0;
    CHECK(lookup(table, ids, more, out, s) == 0);
    free(s);
}

int main(void)
{
    values();
    several_results();
    gradients();
    stages();
    fault();
    return 0;
}
