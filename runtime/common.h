/* common: what every room of the runtime uses: failures, time, memory, numbers of every dtype. */
#ifndef NN_COMMON_H
#define NN_COMMON_H

#include "nnrt.h"
#include <stdbool.h>

#if defined(__GNUC__)
#define NN_PRINTF(a, b) __attribute__((format(printf, a, b)))
#else
#define NN_PRINTF(a, b)
#endif

#define NN_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Writes the text (m may be NULL) and returns s: `return nn_fail(m, NN_REFUSED, "…", …);`. */
enum nn_status nn_fail(struct nn_message *m, enum nn_status s, const char *fmt, ...)
    NN_PRINTF(3, 4);
/* Puts text before what is there. */
void nn_message_prefix(struct nn_message *m, const char *fmt, ...) NN_PRINTF(2, 3);
/* Appends to a text of `size` bytes, cut if too long; the text stays terminated. */
void nn_append(char *text, size_t size, const char *fmt, ...) NN_PRINTF(3, 4);

/* Appends a number as short as reads back the same (as a float, if it is one); `null` for NaN and
 * infinities, which JSON lacks. Allocates nothing. */
void nn_append_number(char *text, size_t size, double v);

double nn_now(void); /* seconds, monotonic */

/* 64-byte aligned, zeroed, at least one byte; NULL if there is no memory. `a` NULL: the C
 * library's, whose new pages cost nothing until they are touched. nn_release gives it back. */
void *nn_alloc(const struct nn_allocator *a, size_t bytes);
/* The same, but what comes from the caller's allocator is as it came. */
void *nn_alloc_any(const struct nn_allocator *a, size_t bytes);
void nn_release(const struct nn_allocator *a, void *p, size_t bytes); /* told to `a` alone */
/* count * size, false where it does not fit size_t. */
bool nn_mul(size_t count, size_t size, size_t *product);
static inline uint64_t nn_round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }
/* Bytes of a dense tensor; false if a dim is negative or it does not fit. */
bool nn_tensor_bytes(enum nn_dtype t, uint32_t rank, const int64_t *dim, size_t *bytes);
/* "f32[128, 784]" */
void nn_type_text(char *text, size_t size, enum nn_dtype t, uint32_t rank, const int64_t *dim);

static inline bool nn_dtype_float(enum nn_dtype t) { return t <= NN_bf16; }
float nn_from_f16(uint16_t h);
float nn_from_bf16(uint16_t h);
uint16_t nn_to_f16(float f); /* to nearest, ties to even */
uint16_t nn_to_bf16(float f);
/* Element i as a double; exact but for i64 beyond 2^53. */
double nn_get(enum nn_dtype t, const void *p, size_t i);
int64_t nn_get_int(enum nn_dtype t, const void *p, size_t i); /* integers and bool */
void nn_set(enum nn_dtype t, void *p, size_t i, double v);
/* n elements from one dtype to another: floats to floats (rounded), integers to wider ones. */
void nn_convert(enum nn_dtype to, void *out, enum nn_dtype from, const void *in, size_t n);
/* The same dtype, or an integer (or bool) whose every value is one of `to`. */
bool nn_widens(enum nn_dtype from, enum nn_dtype to);

/* A counter-based mixing function: 64 good bits from two words. */
uint64_t nn_mix(uint64_t key, uint64_t counter);
/* FNV-1a (Fowler, Noll, Vo) over bytes: the content hash of images. */
uint64_t nn_hash(const void *p, size_t n);
/* A faster one, eight bytes at a time, of tensors; goes on from `sum` (NN_SUM at first) where the
 * bytes before were a multiple of eight. */
#define NN_SUM 0x9e3779b97f4a7c15u
uint64_t nn_sum(uint64_t sum, const void *p, size_t n);
/* Of `n` bytes of machine code but for the NN_CODE_SKIP at each of `skip`, ascending offsets, which
 * linking fills in. */
#define NN_CODE_SKIP 4
uint64_t nn_hash_code(const void *p, size_t n, const uint32_t *skip, size_t skips);

#endif
