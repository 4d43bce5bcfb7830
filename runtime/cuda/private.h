/* cuda: what its files share. */
#ifndef NN_CUDA_PRIVATE_H
#define NN_CUDA_PRIVATE_H

#include "common.h"
#include "cuda/cuda.h"

typedef unsigned long long cu_address; /* CUdeviceptr */

/* Values of the Driver API's enums, under their names. */
enum {
    CU_DEVICE_ATTRIBUTE_CLOCK_RATE = 13,
    CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
    CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
    CU_STREAM_NON_BLOCKING = 1,
    CU_EVENT_DEFAULT = 0,
    CU_EVENT_DISABLE_TIMING = 2,
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1,
    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
    CU_JIT_ERROR_LOG_BUFFER = 5,
    CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6,
};

/* ---- driver.c ---- */
struct nn_cuda {
    void *library;
    char name[512]; /* its path or name */
    bool sim;
    int version, count;
#define CALL(name, symbol, params) int(*name) params;
#include "cuda/driver.def"
#undef CALL
};
/* NN_OK of 0; else the message: the call, the error's name and text. */
enum nn_status cu_check(const struct nn_cuda *c, int result, const char *call,
                        struct nn_message *m);
/* CU(c, m, cuInit, 0): a checked call. */
#define CU(c, m, name, ...) cu_check((c), (c)->name(__VA_ARGS__), #name, (m))

/* ---- blas.c ---- */
struct blas;
#define BLAS_WORKSPACE ((size_t)32 << 20)
/* epilogues: cuBLASLt is wanted too. */
enum nn_status blas_open(struct blas **b, const struct nn_cuda *c, void *stream, bool epilogues,
                         struct nn_message *m);
void blas_close(struct blas *b); /* NULL is fine */
enum nn_status blas_workspace(struct blas *b, void *workspace, size_t bytes, struct nn_message *m);
enum nn_status blas_gemm(struct blas *b, const struct nn_gemm_rec *g, void *const *arg,
                         struct nn_message *m);

/* ---- device.c ---- */
struct cuda { /* a device; below the line, what it holds for the context that it serves */
    struct nn_device d;
    const struct nn_cuda *c;
    int device;
    struct nn_cuda_info info;
    void *context;
    void *compute, *copy; /* streams */
    /* --- */
    void *module;
    void **function;       /* of kernel k, phase p: function[first[k] + p] */
    uint32_t *first;       /* kernel_count + 1 */
    void **param;          /* room for the most parameters that a launch has */
    struct blas *blas;     /* NULL: no launch wants it */
    unsigned char *pinned; /* both sets: inputs, outputs, the fault */
    struct {
        unsigned char *in, *out;
        struct nn_fault *fault;
        void *copied, *done; /* events */
        bool pending;        /* `done` was recorded and not waited for */
        void **exec;         /* of each graph: the captured one, or NULL */
    } set[NN_RUNS];
    void *from, *to; /* events with times */
    uint32_t graphs;
};
extern const struct nn_device_ops cuda_ops;
static inline struct cuda *cuda_of(struct nn_device *d) { return (struct cuda *)(void *)d; }
static inline cu_address cu_at(const void *p) { return (cu_address)(uintptr_t)p; }

/* ---- module.c ---- The context's code into the device, its entries looked up. */
enum nn_status module_load(struct cuda *d, const struct nn_program *c, struct nn_message *m);
void module_unload(struct cuda *d);

/* ---- exec.c ---- the operations that run things */
enum nn_status cuda_prepare(struct nn_device *d, const struct nn_program *c, struct nn_message *m);
enum nn_status cuda_launch(struct nn_device *d, const struct nn_program *c,
                           const struct nn_launch *l, struct nn_fault *fault, double *seconds,
                           struct nn_message *m);
enum nn_status cuda_start(struct nn_device *d, const struct nn_program *c, struct nn_graph *g,
                          int set, const void *const *inputs, struct nn_message *m);
enum nn_status cuda_finish(struct nn_device *d, const struct nn_program *c, struct nn_graph *g,
                           int set, struct nn_fault *fault, unsigned char *outputs,
                           struct nn_message *m);
void cuda_end_runs(struct cuda *d); /* what cuda_prepare and the runs made */

#endif
