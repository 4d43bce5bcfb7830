/* args: `f32:65536` is a buffer with numbers from the seed, `@file.npy` one from a file, `i32=256`
 * a number. */
#include "nncsim.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const ns_names[NS_TYPES] = {"i8",  "i16", "i32", "i64",  "u8",  "u16",
                                        "u32", "u64", "f16", "bf16", "f32", "f64"};
static const uint8_t sizes[NS_TYPES] = {1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8};
static const char *const descrs[NS_TYPES] = {"|i1", "<i2", "<i4", "<i8", "|u1", "<u2",
                                             "<u4", "<u8", "<f2", "<u2", "<f4", "<f8"};

uint32_t ns_size(enum ns_type t) { return sizes[t]; }

static uint16_t half(double v, int ebits, int mbits)
{
    int bias = (1 << (ebits - 1)) - 1;
    uint32_t sign = signbit(v) ? 0x8000 : 0;
    double m = fabs(v), limit = ldexp(2 - ldexp(1, -mbits - 1), bias);
    if (m != m)
        return 0x7FFF;
    if (m >= limit)
        return (uint16_t)(sign | (uint32_t)((1 << ebits) - 1) << mbits);
    int e = m == 0 ? 1 - bias : ilogb(m);
    e = e < 1 - bias ? 1 - bias : e;
    double q = nearbyint(ldexp(m, mbits - e)); /* may be the next power: the sum carries over */
    return (uint16_t)(sign | (((uint32_t)(e + bias - 1) << mbits) + (uint32_t)q));
}

static void put(uint8_t *to, enum ns_type t, double f, int64_t i)
{
    float s = (float)f;
    uint16_t h;
    switch (t) {
    case NS_F16:
        h = half(f, 5, 10);
        memcpy(to, &h, 2);
        break;
    case NS_BF16:
        h = half(f, 8, 7);
        memcpy(to, &h, 2);
        break;
    case NS_F32: memcpy(to, &s, 4); break;
    case NS_F64: memcpy(to, &f, 8); break;
    case NS_I8:
    case NS_I16:
    case NS_I32:
    case NS_I64:
    case NS_U8:
    case NS_U16:
    case NS_U32:
    case NS_U64: memcpy(to, &i, sizes[t]); break;
    case NS_TYPES: break;
    }
}

static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static bool fill(struct ns_arg *a, uint64_t seed, char *why, size_t size)
{
    if (a->count > ((uint64_t)1 << 40) / sizes[a->type] ||
        !(a->data = malloc(a->count * sizes[a->type]))) {
        snprintf(why, size, "no memory for a buffer of %llu elements",
                 (unsigned long long)a->count);
        return false;
    }
    for (uint64_t k = 0; k < a->count; k++) {
        uint64_t r = mix(seed ^ mix(k));
        put(a->data + k * sizes[a->type], a->type, (double)(int64_t)(r >> 11) * 0x1p-52 - 1,
            (int64_t)(r % 100));
    }
    a->rank = 1;
    a->shape[0] = a->count;
    snprintf(a->descr, sizeof a->descr, "%s", descrs[a->type]);
    return true;
}

static bool scalar(struct ns_arg *a, const char *text, char *why, size_t size)
{
    char *end;
    errno = 0;
    bool floats = a->type >= NS_F16;
    double f = floats ? strtod(text, &end) : 0;
    int64_t i = 0;
    if (!floats)
        i = *text == '-' ? strtoll(text, &end, 0) : (int64_t)strtoull(text, &end, 0);
    if (end == text || *end || errno) {
        snprintf(why, size, "`%s` is no number of type %s", text, ns_names[a->type]);
        return false;
    }
    int bits = 8 * sizes[a->type];
    bool sign = a->type <= NS_I64, below = *text == '-' && i, above = *text != '-' && i < 0;
    int64_t least = sign ? -(INT64_MAX >> (64 - bits)) - 1 : 0,
            most = bits == 64 ? INT64_MAX : ((int64_t)1 << (bits - sign)) - 1;
    bool fits =
        floats || (bits == 64 ? !(sign ? above : below) : !above && i >= least && i <= most);
    if (!fits)
        snprintf(why, size, "%s does not fit %s", text, ns_names[a->type]);
    put(a->scalar, a->type, f, i);
    return fits;
}

static double from_half(uint16_t h, int ebits, int mbits)
{
    int bias = (1 << (ebits - 1)) - 1, e = h >> mbits & ((1 << ebits) - 1),
        m = h & ((1 << mbits) - 1);
    double v = e == (1 << ebits) - 1 ? (m ? NAN : INFINITY)
                                     : ldexp(e ? m + (1 << mbits) : m, (e ? e : 1) - bias - mbits);
    return h & 0x8000 ? -v : v;
}

void ns_print(const struct ns_arg *a, uint64_t k)
{
    const uint8_t *p = a->data + k * ns_size(a->type);
    int64_t i = 0;
    uint16_t h;
    float f;
    double d;
    memcpy(&h, p, ns_size(a->type) < 2 ? 1 : 2);
    memcpy(&i, p, ns_size(a->type));
    switch (a->type) {
    case NS_F16: printf(" %.5g", from_half(h, 5, 10)); break;
    case NS_BF16: printf(" %.4g", from_half(h, 8, 7)); break;
    case NS_F32:
        memcpy(&f, p, 4);
        printf(" %.9g", (double)f);
        break;
    case NS_F64:
        memcpy(&d, p, 8);
        printf(" %.17g", d);
        break;
    case NS_I8: printf(" %d", (int8_t)i); break;
    case NS_I16: printf(" %d", (int16_t)i); break;
    case NS_I32: printf(" %d", (int32_t)i); break;
    case NS_I64: printf(" %lld", (long long)i); break;
    case NS_U8:
    case NS_U16:
    case NS_U32:
    case NS_U64: printf(" %llu", (unsigned long long)i); break;
    case NS_TYPES: break;
    }
}

bool ns_parse_arg(struct ns_arg *a, const char *word, uint64_t seed, char *why, size_t size)
{
    *a = (struct ns_arg){0};
    if (*word == '@') {
        a->buffer = a->file = true;
        return ns_read_npy(a, word + 1, why, size);
    }
    size_t n = strcspn(word, ":=");
    int t = 0;
    while (t < NS_TYPES && (strlen(ns_names[t]) != n || memcmp(ns_names[t], word, n)))
        t++;
    if (t == NS_TYPES || !word[n]) {
        snprintf(why, size,
                 "`%s` is none of type:count, type=value, @file.npy (types: i8 to u64, f16, bf16, "
                 "f32, f64)",
                 word);
        return false;
    }
    a->type = (enum ns_type)t;
    if (word[n] == '=')
        return scalar(a, word + n + 1, why, size);
    char *end;
    a->buffer = true;
    errno = 0;
    a->count = strtoull(word + n + 1, &end, 10);
    if (!a->count || *end || errno || word[n + 1] == '-') {
        snprintf(why, size, "`%s` has no count of elements", word);
        return false;
    }
    return fill(a, seed, why, size);
}
