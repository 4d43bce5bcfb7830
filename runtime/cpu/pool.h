/* cpu: the threads that run kernels.
 * A fork-join pool. The caller works too; chunks are handed out as threads come for them, so
 * nothing that runs here may depend on which thread ran what. Waiting threads spin for a moment,
 * then sleep. */
#ifndef NN_POOL_H
#define NN_POOL_H

#include "nnrt.h"
#include <stdbool.h>

struct nn_pool;

/* Threads that this process may use: its CPU affinity, at least 1. */
int nn_pool_cores(void);
/* A pool of `threads` in all (0: nn_pool_cores()), the caller among them. */
enum nn_status nn_pool_open(struct nn_pool **pool, int threads, struct nn_message *m);
void nn_pool_close(struct nn_pool *pool); /* NULL is fine */
int nn_pool_threads(const struct nn_pool *pool);

/* Chunks [chunk0, chunk1) on thread `thread` of the pool, 0 being the caller. */
typedef void nn_pool_work(void *user, int thread, int64_t chunk0, int64_t chunk1);
/* Calls `work` for all of 0..chunks and returns when all are done. One caller at a time. */
void nn_pool_run(struct nn_pool *pool, nn_pool_work *work, void *user, int64_t chunks);

/* Sets the calling thread to flush denormals to zero; returns what to hand back afterwards. The
 * pool's own threads always do. */
uint64_t nn_denormals_flush(void);
void nn_denormals_restore(uint64_t before);

/* ---- level.c ---- Names of compiler/target's levels: the highest that this processor runs, and
 * whether it runs one. */
const char *nn_cpu_level(void);
bool nn_cpu_runs(const char *level);

/* ---- peak.c ---- Measures the f32 multiply-adds that all threads of the pool (NULL: the caller)
 * reach together in registers, in GFLOP/s; takes some tens of milliseconds. */
double nn_peak_gflops(struct nn_pool *pool);

#endif
