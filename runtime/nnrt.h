/* nnrt: the runtime's public header. C11 and C++.
 * A function that can fail returns a status; the text of the failure is in the context or in the
 * buffer that the call names. The library never exits, and prints nothing. */
#ifndef NNRT_H
#define NNRT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum nn_status {
    NN_OK = 0,
    NN_REFUSED = 1,     /* the input is wrong: file, shape, value; see the message */
    NN_USAGE = 2,       /* the call's arguments are wrong */
    NN_MACHINE = 3,     /* memory, disk or device failed */
    NN_INTERRUPTED = 4, /* stopped by the caller's wish; the state was saved */
};

const char *nn_status_text(enum nn_status s);

/* Element types, in the order of promotion among integers. Name, C type, bytes. */
#define NN_DTYPES(X)                                                                               \
    X(f64, double, 8)                                                                              \
    X(f32, float, 4)                                                                               \
    X(f16, uint16_t, 2)                                                                            \
    X(bf16, uint16_t, 2)                                                                           \
    X(i64, int64_t, 8)                                                                             \
    X(i32, int32_t, 4)                                                                             \
    X(i8, int8_t, 1)                                                                               \
    X(u8, uint8_t, 1)                                                                              \
    X(bool, uint8_t, 1)
enum nn_dtype {
#define X(name, ctype, bytes) NN_##name,
    NN_DTYPES(X)
#undef X
        NN_DTYPE_COUNT
};
static inline size_t nn_dtype_size(enum nn_dtype t)
{
    static const unsigned char size[] = {
#define X(name, ctype, bytes) bytes,
        NN_DTYPES(X)
#undef X
    };
    return size[t];
}
static inline const char *nn_dtype_name(enum nn_dtype t)
{
    static const char *const name[] = {
#define X(name, ctype, bytes) #name,
        NN_DTYPES(X)
#undef X
    };
    return name[t];
}

#define NN_MAX_RANK 8

/* Where a failing call leaves its text: one line or a few, no newline at the end, cut if too long.
 */
struct nn_message {
    char text[1024];
};

/* The caller's memory, for what the runtime keeps for long: slots, arenas, outputs. `alloc` returns
 * 64-byte aligned memory or NULL. NULL in place of an allocator: the C library's. */
struct nn_allocator {
    void *(*alloc)(void *user, size_t bytes);
    void (*release)(void *user, void *p, size_t bytes);
    void *user;
};

/* ---- compiled models ----
 * `nnc build mlp.nn` writes a library that holds a model, compiled, and a header whose typed
 * functions (mlp_open, mlp_train_step, …) call those below; this library runs it.
 *
 * A context is one copy of the model's parameters with the memory to work in. Contexts are
 * independent: any number of them, of one model or of several, at once. Each is used by one thread
 * at a time. Opening takes all memory; training, evaluating and inferring take none. */
struct nn_model;   /* what was compiled: constant data of the model's library */
struct nn_context; /* of one model */

/* A context's settings. All zeros, or NULL for the whole: the defaults. They are copied, the
 * device's name too; what `allocator`, `log` and `log_user` point to must outlive the context. */
struct nn_options {
    uint32_t threads; /* that share a call's work, the caller among them; 0: all of the process */
    /* `cpu` or NULL: the highest level in the library that this machine runs (of a library with
     * levels for GPUs only: `cuda`). Or a level's name; `cuda`, `cuda:1`: a GPU, by its driver;
     * `sim`: the software GPU, where it is installed. On a GPU a step whose loss is not asked for
     * is under way when the call returns, and a later call may report its failure. */
    const char *device;
    /* How long training will be, for schedules of the learning rate: steps in all, and in an epoch.
     * 0: as the model file says. */
    int64_t steps, steps_per_epoch;
    const struct nn_allocator *allocator; /* NULL: the C library's */
    void (*log)(void *user,
                const char *line); /* what was opened, found out, skipped; NULL: nothing */
    void *log_user;
};

/* A tensor in the context's memory. The layout is that of DLPack's DLTensor (dlpack.h, version 0.8
 * and 1): the pointer may be cast. Strides count elements. */
struct nn_dltensor {
    void *data;
    struct {
        int32_t type, id; /* 1: CPU; 2: CUDA */
    } device;
    int32_t rank;
    struct {
        uint8_t code, bits; /* 0: signed, 1: unsigned, 2: float, 4: bfloat, 6: bool */
        uint16_t lanes;     /* 1 */
    } dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset; /* 0 */
};
/* DLPack's DLManagedTensor: whoever takes it calls `deleter(itself)` once, from any thread; the
 * context's memory lives on until then, also when the context was closed. */
struct nn_dlmanaged {
    struct nn_dltensor tensor;
    void *context;
    void (*deleter)(struct nn_dlmanaged *self);
};

/* Opens a context; weights are those of the model file's initialisers and seed, where it can be
 * trained. On failure *c is NULL and nn_context_error(NULL) tells why, in the calling thread. */
enum nn_status nn_context_open(const struct nn_model *model, const struct nn_options *o,
                               struct nn_context **c);
void nn_context_close(struct nn_context *c); /* NULL is fine */
/* The text of the context's last failure; for NULL of the thread's last failed opening, or call
 * whose context was NULL: such a call gives NN_USAGE, or NULL or 0 where it has no status. */
const char *nn_context_error(const struct nn_context *c);
const char *nn_context_device(const struct nn_context *c); /* the level that it runs: x86-64-v3 */

/* Gives parameters and optimiser their first values, drawn from `seed`, and sets the step to 0. */
enum nn_status nn_context_init(struct nn_context *c, int64_t seed);
/* One step of training on one batch. in[i] is the step's input i, dense and row-major, aligned as
 * its elements are. *loss[i] receives the loss i; where loss[i] is NULL nothing waits for it.
 * Labels and indices that are out of range are refused before anything is done. */
enum nn_status nn_context_step(struct nn_context *c, const void *const *in, float *const *loss);
/* Adds `count` samples (any number) to the evaluation's sums; parameters stay as they are. */
enum nn_status nn_context_evaluate(struct nn_context *c, int64_t count, const void *const *in);
/* The losses and metrics over all samples since the last call, in the header's order; sets the sums
 * back. NN_USAGE without samples. */
enum nn_status nn_context_metrics(struct nn_context *c, float *value);
/* Inference. size[i] is the model's free size i, in the header's order (batch, mostly), up to what
 * the library was built for. in[i], out[i] are the input and output i of that size, dense and
 * row-major; an output that is NULL is skipped. */
enum nn_status nn_context_forward(struct nn_context *c, const int64_t *size, const void *const *in,
                                  void *const *out);

/* Parameters and states as safetensors, under PyTorch's names. Loading changes nothing unless all
 * fits. A file is replaced as a whole or not at all. */
enum nn_status nn_context_save(struct nn_context *c, const char *path);
enum nn_status nn_context_load(struct nn_context *c, const char *path);
/* The same with the optimiser's state and the step: from there training goes on as if unbroken. */
enum nn_status nn_context_save_state(struct nn_context *c, const char *path);
enum nn_status nn_context_load_state(struct nn_context *c, const char *path);

/* Parameters and states (running means): how many, their names, their memory to read and write. A
 * view lasts as long as the context; `name` unknown: NN_USAGE, NULL. Of a context on a GPU the
 * memory is the GPU's, in its primary context (DLPack's kDLCUDA): asking for a view waits for the
 * steps under way; work of your own on it belongs between calls, done before the next one, and a
 * step whose loss is not asked for is still running when the call returns: ask for a view again, or
 * for the loss, to wait. */
uint32_t nn_context_params(const struct nn_context *c);
const char *nn_context_param_name(const struct nn_context *c,
                                  uint32_t i); /* NULL beyond the last */
enum nn_status nn_context_param(struct nn_context *c, const char *name, struct nn_dltensor *view);
struct nn_dlmanaged *nn_context_param_dlpack(struct nn_context *c, const char *name);

/* Whether the library is whole and this device computes what the compiler's machine did: runs the
 * model on made-up weights and inputs, beside the context's own, and compares with the results that
 * the library carries. Takes as much memory as the context, for its duration. */
enum nn_status nn_context_selftest(struct nn_context *c);

#ifdef __cplusplus
}
#endif
#endif
