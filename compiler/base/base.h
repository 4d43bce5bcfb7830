/* base: what every room of the compiler stands on.
 * Sections: arena.c, vector (here), intern.c, diag.c, text.c. */
#ifndef NNC_BASE_H
#define NNC_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
#define NNC_PRINTF(a, b) __attribute__((format(printf, a, b)))
#define NNC_NORETURN __attribute__((noreturn))
#else
#define NNC_PRINTF(a, b)
#define NNC_NORETURN
#endif

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Exit statuses of the tool (docs/language.md). */
enum { EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_MACHINE = 3 };

/* A broken invariant of the compiler itself: prints where and aborts. Never for a user's mistake.
 */
NNC_NORETURN void base_bug(const char *file, int line, const char *fmt, ...) NNC_PRINTF(3, 4);
#define BUG(...) base_bug(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond))                                                                               \
            BUG(__VA_ARGS__);                                                                      \
    } while (0)

/* malloc family that ends the process with EXIT_MACHINE and one line when memory is out.
 * For the compiler only; the runtime has its own and returns a status. */
void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);

/* ---- arena.c: everything of one lifetime, freed at once. Memory is zeroed, 16-byte aligned. ----
 */
struct arena;
struct arena *arena_new(void);
void arena_free(struct arena *a);
void *arena_alloc(struct arena *a, size_t n);
void *arena_dup(struct arena *a, const void *p, size_t n);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) NNC_PRINTF(2, 3);
#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (size_t)(n)))

/* ---- vector: `VEC(int) v = {0}; vec_push(&v, 3); v.p[0]; vec_free(&v);` heap memory. ---- */
#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *p;                                                                                   \
        uint32_t n, cap;                                                                           \
    }
void *vec_grow(void *p, uint32_t *cap, uint32_t need, size_t size);
#define vec_reserve(v, k)                                                                          \
    ((v)->n + (uint32_t)(k) > (v)->cap                                                             \
         ? ((v)->p = vec_grow((v)->p, &(v)->cap, (v)->n + (uint32_t)(k), sizeof *(v)->p), (void)0) \
         : (void)0)
#define vec_push(v, x) (vec_reserve(v, 1), (void)((v)->p[(v)->n++] = (x)))
#define vec_last(v) ((v)->p[(v)->n - 1])
#define vec_free(v) (free((v)->p), (v)->p = NULL, (void)((v)->n = (v)->cap = 0))

/* ---- intern.c: equal strings become equal pointers. ---- */
struct intern;
struct intern *intern_new(void);
void intern_free(struct intern *t);
const char *intern_n(struct intern *t, const char *s, size_t n);
const char *intern(struct intern *t, const char *s);

/* ---- diag.c: source files and the user's mistakes, collected, located, printed with a caret. ----
 * A location is a byte range of one file; line and column are computed only when printing. */
struct loc {
    uint32_t file; /* 1-based; 0 is no place */
    uint32_t lo, hi;
};
enum severity { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE };
struct diag;

struct diag *diag_new(void);
void diag_free(struct diag *d);
/* Adds a source text (copied); `name` is what messages show. Returns the file's number. */
uint32_t diag_add_file(struct diag *d, const char *name, const char *text, size_t size);
const char *diag_file_name(const struct diag *d, uint32_t file);
const char *diag_file_text(const struct diag *d, uint32_t file, size_t *size);
uint32_t diag_line(const struct diag *d, struct loc at, uint32_t *column); /* both 1-based */

void diag_report(struct diag *d, enum severity s, struct loc at, const char *fmt, ...)
    NNC_PRINTF(4, 5);
/* The text under the caret of the last report: `^~~~ left is f32[128, 784]`. */
void diag_label(struct diag *d, const char *fmt, ...) NNC_PRINTF(2, 3);
#define diag_error(d, at, ...) diag_report(d, DIAG_ERROR, at, __VA_ARGS__)
#define diag_warn(d, at, ...) diag_report(d, DIAG_WARNING, at, __VA_ARGS__)
#define diag_note(d, at, ...)                                                                      \
    diag_report(d, DIAG_NOTE, at, __VA_ARGS__) /* belongs to the last error */
uint32_t diag_errors(const struct diag *d);
/* Prints all in source order (notes stay behind their error; exact repeats once) and forgets them;
 * the count of errors stays. */
void diag_print(struct diag *d, FILE *out);

/* ---- text.c: growing strings, whole files, the nearest name. ---- */
struct text {
    char *p; /* always terminated once anything was written */
    size_t n, cap;
};
void text_printf(struct text *t, const char *fmt, ...) NNC_PRINTF(2, 3);
void text_write(struct text *t, const char *p, size_t n);
void text_free(struct text *t);
/* A double so that it reads back the same: `0.1`, `1e-05`, `inf`, `-inf`, `nan`. */
void text_double(struct text *t, double v);
/* Reads a whole file of at most `limit` bytes into heap memory, terminated by a 0 beyond its size.
 * NULL on failure, with errno set (EFBIG past the limit). */
char *file_read(const char *path, size_t limit, size_t *size);
/* Temporary name beside `path`, write, fsync, rename. 0, or -1 with errno. */
int file_write_atomic(const char *path, const void *p, size_t n);
/* The candidate nearest to `name` by edit distance, or NULL if none is near enough to suggest. */
const char *nearest_name(const char *name, const char *const *candidates, size_t n);

static inline uint64_t hash_bytes(uint64_t h, const void *p, size_t n) /* FNV-1a; start with 0 */
{
    const unsigned char *s = p;
    h = h ? h : 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ s[i]) * 0x100000001b3u;
    return h;
}
/* For tables within a process: quicker. */
static inline uint64_t hash_words(uint64_t h, const uint64_t *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        h = (h ^ w[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return h;
}

#endif
