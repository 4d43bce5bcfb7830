/* What blas.c and blas_lt.c share: cuBLAS and cuBLASLt, opened at run time. */
#ifndef NN_CUDA_BLAS_H
#define NN_CUDA_BLAS_H

#include "cuda/private.h"

enum {
    CUBLAS_OP_N = 0,
    CUBLAS_OP_T = 1,
    CUDA_R_32F = 0,
    CUDA_R_64F = 1,
    CUDA_R_16F = 2,
    CUDA_R_16BF = 14,
    CUBLAS_COMPUTE_32F = 68,
    CUBLAS_COMPUTE_64F = 70,
    CUBLAS_COMPUTE_32F_FAST_TF32 = 77,
    CUBLAS_GEMM_DEFAULT = -1,
};

struct blas {
    void *library, *handle;
    const char *name;
    void *lt_library, *lt_handle; /* NULL: no launch wants it */
    const char *lt_name;
    void *stream, *workspace;
    size_t workspace_bytes;
#define CALL(name, symbol, params) int(*name) params;
#include "cuda/blas.def"
#include "cuda/blas_lt.def"
#undef CALL
};

/* NN_OK of 0; else the message: library, call, status. */
enum nn_status blas_check(const char *library, int status, const char *call, struct nn_message *m);
bool blas_look_up(void *library, const char *symbol, void *function);
int blas_type(uint8_t dtype); /* CUDA_R_…; -1: none */
int blas_compute(uint8_t compute);

/* ---- blas_lt.c ---- */
enum nn_status blas_lt_find(struct blas *b, const struct nn_cuda *c, struct nn_message *m);
enum nn_status blas_lt_open(struct blas *b, const struct nn_cuda *c, struct nn_message *m);
void blas_lt_close(struct blas *b);
/* A record with an epilogue; at: A, B, C of one group, then what the epilogue names. */
enum nn_status blas_lt_gemm(struct blas *b, const struct nn_gemm_rec *g, void *const *at,
                            struct nn_message *m);

#endif
