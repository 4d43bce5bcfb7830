/* Calls compiled functions from a program of its own: nothing but the header, the library and libm.
 * Each once in this thread, and once in stages on two threads.
 *
 *   nnc build kernels.nn --kernels --with-gradient -o lib
 *   cc cpu.c -I lib lib/libkernels.a -lm -pthread -o cpu */
#include "kernels.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static float x[ADD_RMSNORM_X_SIZE], branch[ADD_RMSNORM_BRANCH_SIZE], gain[ADD_RMSNORM_GAIN_SIZE];
static float sum[ADD_RMSNORM_SUM_SIZE], y[ADD_RMSNORM_Y_SIZE], again[ADD_RMSNORM_Y_SIZE];
static float d_y[ADD_RMSNORM_Y_SIZE], d_x[ADD_RMSNORM_X_SIZE], d_branch[ADD_RMSNORM_X_SIZE];
static float d_gain[ADD_RMSNORM_GAIN_SIZE];

static void *scratch(size_t bytes)
{
    void *p = bytes ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
    if (bytes && !p)
        exit(1);
    return p;
}

/* ---- the caller's own threads ---- */

struct work {
    pthread_t thread;
    int32_t stage;
    int64_t first, last;
    void *shared, *own;
};

static void *run(void *work)
{
    struct work *w = work;
    add_rmsnorm_stage(w->stage, w->first, w->last, x, branch, gain, sum, again, w->shared, w->own);
    return NULL;
}

static void on_two_threads(void)
{
    struct work w[2];
    w[0].shared = w[1].shared = scratch(ADD_RMSNORM_SHARED_BYTES);
    w[0].own = scratch(ADD_RMSNORM_OWN_BYTES);
    w[1].own = scratch(ADD_RMSNORM_OWN_BYTES);
    for (int32_t stage = 0; stage < ADD_RMSNORM_STAGES; stage++) {
        int64_t chunks = add_rmsnorm_chunks[stage];
        for (int i = 0; i < 2; i++) {
            w[i].stage = stage;
            w[i].first = chunks * i / 2;
            w[i].last = chunks * (i + 1) / 2;
            if (pthread_create(&w[i].thread, NULL, run, &w[i]))
                exit(1);
        }
        for (int i = 0; i < 2; i++)
            pthread_join(w[i].thread, NULL);
    }
    free(w[0].shared);
    free(w[0].own);
    free(w[1].own);
}

int main(void)
{
    void *memory = scratch(ADD_RMSNORM_SCRATCH_BYTES + ADD_RMSNORM_GRAD_SCRATCH_BYTES);
    for (int i = 0; i < ADD_RMSNORM_X_SIZE; i++) {
        x[i] = (float)(i % 13) - 6;
        branch[i] = (float)(i % 7) / 7;
        d_y[i] = (float)(i % 5) - 2;
    }
    for (int i = 0; i < ADD_RMSNORM_GAIN_SIZE; i++)
        gain[i] = 1 + (float)(i % 3);

    add_rmsnorm(x, branch, gain, sum, y, memory);
    on_two_threads();
    printf("y[0] = %g, y[1] = %g\n", (double)y[0], (double)y[1]);
    printf("on two threads: %s\n", memcmp(y, again, sizeof y) ? "other bits" : "the same bits");

    memset(sum, 0, sizeof sum); /* the loss depends on y alone */
    add_rmsnorm_grad(x, branch, gain, sum, d_y, d_x, d_branch, d_gain, memory);
    printf("d_x[0] = %g, d_gain[0] = %g\n", (double)d_x[0], (double)d_gain[0]);

    softmax_rows(x, y, NULL);
    printf("softmax_rows: out[0] = %g\n", (double)y[0]);
    free(memory);
    return 0;
}
