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

#ifdef __cplusplus
}
#endif
#endif
