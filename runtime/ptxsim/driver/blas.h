/* What the files of cuBLAS's calls share: the handle, and how a call begins. */
#ifndef NN_SIM_BLAS_H
#define NN_SIM_BLAS_H

#include "blas_calls.h"
#include "gemm.h"

struct blas {
    struct object o;
    CUcontext context; /* that it was made in */
    CUstream stream;
    cublasPointerMode_t pointers;
    cublasMath_t math;
    cublasAtomicsMode_t atomics;
};

#define BLAS_ENTER(need)                                                                           \
    struct call call __attribute__((cleanup(call_end))) = call_begin(__func__, need);              \
    if (call.result)                                                                               \
    return blas_status(call.result)

#define HANDLE(b)                                                                                  \
    struct blas *b = object_get(KIND_BLAS, handle);                                                \
    if (!b)                                                                                        \
    return CUBLAS_STATUS_NOT_INITIALIZED

cublasStatus_t blas_not_supported(const char *what); /* says so */

#endif
