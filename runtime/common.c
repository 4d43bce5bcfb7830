/* Failures, time, memory, conversions: the small things that every room needs. */
#include "common.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { HUGE_PAGE = 2 << 20, LARGE = 4 << 20 };

/* Names come from files of any bytes, and are cut: what is not UTF-8 becomes '?', and
 * what moves a terminal's cursor. */
static void keep_utf8(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c;) {
        bool ascii = *c < 0x80;
        int more = *c >= 0xf0 ? 3 : *c >= 0xe0 ? 2 : ascii ? 0 : 1, n = 0;
        while (n < more && (c[n + 1] & 0xc0) == 0x80)
            n++;
        bool bad = ascii ? (*c < ' ' && *c != '\n' && *c != '\t') || *c == 0x7f
                         : *c < 0xc2 || *c > 0xf4 || n != more;
        bad |= (*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] > 0x9f) ||
               (*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] > 0x8f);
        if (bad)
            *c = '?';
        c += bad ? 1 : more + 1;
    }
}

enum nn_status nn_fail(struct nn_message *m, enum nn_status s, const char *fmt, ...)
{
    if (m) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(m->text, sizeof m->text, fmt, ap);
        va_end(ap);
        keep_utf8(m->text);
    }
    return s;
}

void nn_message_prefix(struct nn_message *m, const char *fmt, ...)
{
    if (!m)
        return;
    struct nn_message whole;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(whole.text, sizeof whole.text, fmt, ap);
    va_end(ap);
    nn_append(whole.text, sizeof whole.text, "%s", m->text);
    *m = whole;
}

void nn_append(char *text, size_t size, const char *fmt, ...)
{
    size_t n = strlen(text);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text + n, size - n, fmt, ap);
    va_end(ap);
}

void nn_append_number(char *text, size_t size, double v)
{
    char number[40] = "null";
    int most = (double)(float)v == v ? 9 : 17;
    for (int digits = 6; isfinite(v) && digits <= most; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, v);
        if (most == 9 ? strtof(number, NULL) == (float)v : strtod(number, NULL) == v)
            break;
    }
    nn_append(text, size, "%s", number);
}

double nn_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Large blocks begin at a huge page and ask for such pages: fewer misses when matrices are walked.
 * calloc knows which pages are new and need no clearing; what it gave stands in front of the block.
 */
static void *own_alloc(size_t bytes)
{
    size_t align = bytes >= LARGE ? HUGE_PAGE : 64;
    char *all = calloc(1, bytes + align);
    if (!all)
        return NULL;
    char *p = all + (align - (uintptr_t)all % align); /* malloc's alignment, 16, is the least gap */
    if (align == HUGE_PAGE)
        madvise(p, bytes, MADV_HUGEPAGE);
    memcpy(p - sizeof all, &all, sizeof all);
    return p;
}

void *nn_alloc_any(const struct nn_allocator *a, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = bytes ? nn_round_up(bytes, 64) : 64;
    return a ? a->alloc(a->user, bytes) : own_alloc(bytes);
}

void *nn_alloc(const struct nn_allocator *a, size_t bytes)
{
    void *p = nn_alloc_any(a, bytes);
    if (p && a)
        memset(p, 0, bytes);
    return p;
}

void nn_release(const struct nn_allocator *a, void *p, size_t bytes)
{
    if (!p)
        return;
    if (a) {
        a->release(a->user, p, bytes ? nn_round_up(bytes, 64) : 64);
        return;
    }
    void *all;
    memcpy(&all, (char *)p - sizeof all, sizeof all);
    free(all);
}

bool nn_mul(size_t count, size_t size, size_t *product)
{
    if (size && count > SIZE_MAX / size)
        return false;
    *product = count * size;
    return true;
}

bool nn_tensor_bytes(enum nn_dtype t, uint32_t rank, const int64_t *dim, size_t *bytes)
{
    size_t n = nn_dtype_size(t);
    bool empty = false;
    for (uint32_t i = 0; i < rank; i++) {
        if (dim[i] < 0)
            return false;
        empty |= dim[i] == 0;
        if (dim[i] && !nn_mul(n, (size_t)dim[i], &n))
            return false;
    }
    *bytes = empty ? 0 : n;
    return n <= SIZE_MAX / 4;
}

void nn_type_text(char *text, size_t size, enum nn_dtype t, uint32_t rank, const int64_t *dim)
{
    text[0] = 0;
    nn_append(text, size, "%s", nn_dtype_name(t));
    for (uint32_t i = 0; i < rank; i++)
        nn_append(text, size, "%s%lld%s", i ? ", " : "[", (long long)dim[i],
                  i + 1 == rank ? "]" : "");
}

/* ---- numbers ---- */

static float float_of_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static uint32_t bits_of_float(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

float nn_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = (h >> 10) & 31, m = h & 0x3ffu;
    if (e == 31)
        return float_of_bits(sign | 0x7f800000u | m << 13);
    if (e == 0) { /* zero or subnormal: m * 2^-24, exact */
        float f = (float)m * 0x1p-24f;
        return sign ? -f : f;
    }
    return float_of_bits(sign | (e + 112) << 23 | m << 13);
}

uint16_t nn_to_f16(float f)
{
    uint32_t u = bits_of_float(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffffu;
    if (a > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00);
    if (a >= 0x477ff000u) /* rounds to infinity from 65520 on */
        return (uint16_t)(sign | 0x7c00);
    if (a < 0x38800000u) { /* below the least normal: a whole number of 2^-24 */
        float scaled = float_of_bits(a) * 0x1p24f;
        return (uint16_t)(sign | (uint32_t)nearbyintf(scaled));
    }
    uint32_t r = a - 0x38000000u;
    r += 0xfff + (r >> 13 & 1);
    return (uint16_t)(sign | r >> 13);
}

float nn_from_bf16(uint16_t h) { return float_of_bits((uint32_t)h << 16); }

uint16_t nn_to_bf16(float f)
{
    uint32_t u = bits_of_float(f);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(u >> 16 | 0x40);
    u += 0x7fff + (u >> 16 & 1);
    return (uint16_t)(u >> 16);
}

double nn_get(enum nn_dtype t, const void *p, size_t i)
{
    switch (t) {
    case NN_f64: return ((const double *)p)[i];
    case NN_f32: return (double)((const float *)p)[i];
    case NN_f16: return (double)nn_from_f16(((const uint16_t *)p)[i]);
    case NN_bf16: return (double)nn_from_bf16(((const uint16_t *)p)[i]);
    case NN_i64:
    case NN_i32:
    case NN_i8:
    case NN_u8:
    case NN_bool: return (double)nn_get_int(t, p, i);
    case NN_DTYPE_COUNT: break;
    }
    return 0;
}

int64_t nn_get_int(enum nn_dtype t, const void *p, size_t i)
{
    switch (t) {
    case NN_i64: return ((const int64_t *)p)[i];
    case NN_i32: return ((const int32_t *)p)[i];
    case NN_i8: return ((const int8_t *)p)[i];
    case NN_u8:
    case NN_bool: return ((const uint8_t *)p)[i];
    case NN_f64:
    case NN_f32:
    case NN_f16:
    case NN_bf16:
    case NN_DTYPE_COUNT: break;
    }
    return 0;
}

void nn_set(enum nn_dtype t, void *p, size_t i, double v)
{
    switch (t) {
    case NN_f64: ((double *)p)[i] = v; break;
    case NN_f32: ((float *)p)[i] = (float)v; break;
    case NN_f16: ((uint16_t *)p)[i] = nn_to_f16((float)v); break;
    case NN_bf16: ((uint16_t *)p)[i] = nn_to_bf16((float)v); break;
    case NN_i64: ((int64_t *)p)[i] = (int64_t)v; break;
    case NN_i32: ((int32_t *)p)[i] = (int32_t)v; break;
    case NN_i8: ((int8_t *)p)[i] = (int8_t)v; break;
    case NN_u8: ((uint8_t *)p)[i] = (uint8_t)v; break;
    case NN_bool: ((uint8_t *)p)[i] = v != 0; break;
    case NN_DTYPE_COUNT: break;
    }
}

void nn_convert(enum nn_dtype to, void *out, enum nn_dtype from, const void *in, size_t n)
{
    if (to == from) {
        memcpy(out, in, n * nn_dtype_size(to));
    } else if (from == NN_u8 && to == NN_i32) {
        for (size_t i = 0; i < n; i++)
            ((int32_t *)out)[i] = ((const uint8_t *)in)[i];
    } else if (!nn_dtype_float(from) && to == NN_i64) {
        for (size_t i = 0; i < n; i++)
            ((int64_t *)out)[i] = nn_get_int(from, in, i);
    } else {
        for (size_t i = 0; i < n; i++)
            nn_set(to, out, i, nn_get(from, in, i));
    }
}

bool nn_widens(enum nn_dtype from, enum nn_dtype to)
{
    if (from == to)
        return true;
    switch (from) {
    case NN_i32: return to == NN_i64;
    case NN_i8:
    case NN_u8: return to == NN_i64 || to == NN_i32;
    case NN_bool: return to == NN_u8 || to == NN_i8 || to == NN_i32 || to == NN_i64;
    case NN_f64:
    case NN_f32:
    case NN_f16:
    case NN_bf16:
    case NN_i64:
    case NN_DTYPE_COUNT: break;
    }
    return false;
}

/* Two rounds of the finaliser of splitmix64 (Steele, Lea, Flood 2014), keyed between. */
static uint64_t finalise(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t nn_mix(uint64_t key, uint64_t counter)
{
    return finalise(finalise(counter + 0x9e3779b97f4a7c15u) ^ finalise(key + 0xd1342543de82ef95u));
}

uint64_t nn_sum(uint64_t sum, const void *p, size_t n)
{
    for (const char *c = p; n;) {
        uint64_t word = 0;
        size_t k = n < sizeof word ? n : sizeof word;
        memcpy(&word, c, k);
        sum = (sum ^ word) * 0xff51afd7ed558ccdu;
        sum ^= sum >> 32;
        c += k;
        n -= k;
    }
    return sum;
}

uint64_t nn_hash(const void *p, size_t n)
{
    const unsigned char *c = p;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ c[i]) * 0x100000001b3u;
    return h;
}

uint64_t nn_hash_code(const void *p, size_t n, const uint32_t *skip, size_t skips)
{
    const char *c = p;
    uint64_t h = NN_SUM;
    size_t at = 0;
    for (size_t i = 0; i < skips; i++) {
        h = nn_sum(h, c + at, skip[i] - at);
        at = skip[i] + NN_CODE_SKIP;
    }
    return nn_sum(h, c + at, n - at);
}
