/* cuda: NVIDIA GPUs as devices of an execution context, by the Driver API, which is opened at run
 * time: no header or library of CUDA is needed to build or to start. A program links this folder
 * only if it calls it. The software GPU (libnncsim) is the same interface by another library.
 *
 *     struct nn_cuda *cuda;
 *     struct nn_device *device;
 *     nn_cuda_open(&cuda, NULL, &m);
 *     nn_cuda_device(&device, cuda, 0, &m);
 *     nn_exec_open(&exec, image, bytes, NULL, 0, &(struct nn_exec_options){.device = device, .code
 * = code}, &m); … nn_exec_close(exec); nn_device_close(device); nn_cuda_close(cuda);
 *
 * One stream computes, one copies; a graph of the image is captured as a CUDA graph once for each
 * of two sets of input buffers and then replayed, so that the next batch is copied while one is
 * computed. Sections: driver.c, device.c, module.c, ptxas.c, exec.c, blas.c. */
#ifndef NN_CUDA_H
#define NN_CUDA_H

#include "exec/device.h"

/* ---- driver.c ---- */
struct nn_cuda; /* an open driver */
struct nn_cuda_options {
    bool sim;         /* the software GPU in place of a driver */
    const char *chip; /* of the software GPU: sm_90; NULL: its own choice */
};
/* Opens libcuda.so.1, or libnncsim.so: that of the environment's NNC_SIM_LIBRARY, else the one
 * beside the program, in its lib or build folder, or in the loader's path. NN_MACHINE: there is no
 * driver or it has no device; the message says what was looked for. `o` NULL: all zero. */
enum nn_status nn_cuda_open(struct nn_cuda **c, const struct nn_cuda_options *o,
                            struct nn_message *m);
void nn_cuda_close(struct nn_cuda *c); /* NULL is fine */
bool nn_cuda_is_sim(const struct nn_cuda *c);
const char *nn_cuda_library(const struct nn_cuda *c); /* what was opened */
int nn_cuda_version(const struct nn_cuda *c);         /* 12040: the driver's CUDA is 12.4 */
int nn_cuda_count(const struct nn_cuda *c);           /* devices */

/* What the software GPU counted of a kernel (an entry of the PTX), over all its launches. */
struct nn_cuda_work {
    const char *kernel;
    uint64_t launches, instructions;              /* of threads */
    uint64_t load_bytes, store_bytes;             /* of global memory, as the threads asked */
    uint64_t load_sectors, store_sectors;         /* of 32 bytes, as the warps moved them */
    uint64_t least_load_bytes, least_store_bytes; /* every byte that a launch touches once */
    uint64_t conflicts, mma; /* extra turns at shared memory; warps' tensor-core instructions */
};
/* Begins counting anew; false: it is a real driver. */
bool nn_cuda_count_work(const struct nn_cuda *c);
/* The i-th kernel that was launched since; false after the last. */
bool nn_cuda_work(const struct nn_cuda *c, size_t i, struct nn_cuda_work *w);

/* ---- device.c ---- */
struct nn_cuda_info {
    char name[128];
    int major, minor; /* compute capability */
    int sms, clock_khz;
    size_t memory;       /* bytes */
    size_t shared_block; /* the most that a block may have */
};
enum nn_status nn_cuda_info(const struct nn_cuda *c, int ordinal, struct nn_cuda_info *i,
                            struct nn_message *m);
/* Takes the device's primary context. Close it by nn_device_close, before the driver. */
enum nn_status nn_cuda_device(struct nn_device **d, struct nn_cuda *c, int ordinal,
                              struct nn_message *m);

/* ---- blas.c ---- */
/* The file name of the cuBLAS that would be used (of the software GPU: its own; NULL: of no
 * driver). NN_MACHINE: none is found; the message says what was looked for. */
enum nn_status nn_cuda_blas(const struct nn_cuda *c, char *name, size_t size, struct nn_message *m);

/* ---- ptxas.c ---- The assembler's path: that of PATH, of CUDA_HOME/bin, of /usr/local/cuda/bin.
 * False: there is none. */
bool nn_cuda_find_ptxas(char *path, size_t size);
/* PTX as machine code for the chip `arch` (sm_80), heap memory, n bytes; kept in the compile cache.
 * False: there is no assembler, or it refuses: then its first words are in `why` (empty: there is
 * none). */
bool nn_cuda_assemble(const char *ptx, size_t bytes, const char *arch, void **cubin, size_t *n,
                      char *why, size_t size);

#endif
