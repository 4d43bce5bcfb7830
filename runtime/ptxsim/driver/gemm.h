/* One matrix product on the simulator's memory, as cuBLAS and cuBLASLt ask for it. */
#ifndef NN_SIM_GEMM_H
#define NN_SIM_GEMM_H

#include "blas_types.h"
#include "driver.h"

/* Element (i, j) of batch b is at + (i·row + j·column + b·batch) elements; row or column is 1. */
struct gemm_matrix {
    uint64_t at;
    cudaDataType type;
    int64_t row, column, batch;
};
/* d = f(alpha a b + beta c + bias): a is m × k, b k × n, c and d m × n, bias has m elements. Where
 * alpha and beta are in device memory they are read when it runs. Plain data: it is copied into
 * graphs. */
struct gemm {
    const char *call;
    struct gemm_matrix a, b, c, d;
    int64_t m, n, k, batch;
    cublasComputeType_t compute;
    cudaDataType scale;
    double alpha, beta;
    uint64_t alpha_at, beta_at; /* 0: alpha, beta hold them */
    int epilogue;               /* CUBLASLT_EPILOGUE_… */
    uint64_t bias;
    cudaDataType bias_type;
    int64_t bias_batch;
    struct gemm_matrix aux; /* of GELU_AUX, DGELU: what goes into the function */
};

size_t gemm_bytes(cudaDataType type); /* of an element; 0: not simulated */
/* The combinations of types that cuBLAS documents, as far as they are simulated. */
bool gemm_types(cublasComputeType_t compute, cudaDataType scale, cudaDataType a, cudaDataType b,
                cudaDataType c, cudaDataType d);
double gemm_scalar(cudaDataType scale, const void *p);
CUresult gemm_run(struct context *c, const void *job); /* a struct gemm */
/* Into the stream's order, or its capture. The lock is held. */
cublasStatus_t gemm_submit(struct stream *s, const struct gemm *g);
cublasStatus_t blas_status(CUresult r);
void blas_context(void); /* makes one current, without the lock */

#endif
