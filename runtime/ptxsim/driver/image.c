/* What the bytes of a module are: PTX text, a fat binary (nvcc's container of several images,
 * compressed as a rule), or machine code, which only hardware can run. Of a fat binary the PTX for
 * the highest architecture that the chip covers is taken. A container's sizes are checked against
 * each other; that the container itself is as long as it says must be believed, as the API gives no
 * length. */
#include "driver.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRAPPER_MAGIC 0x466243b1u
#define CONTAINER_MAGIC 0xba55ed50u
#define TEXT_MOST (256u << 20)

struct wrapper {
    uint32_t magic, version;
    const void *data;
    void *more;
};
struct container {
    uint32_t magic;
    uint16_t version, header;
    uint64_t bytes; /* of the entries that follow */
};
struct entry {
    uint16_t kind, version; /* kind 1: PTX, 2: ELF */
    uint32_t header;
    uint64_t bytes; /* that follow the header */
    uint32_t packed, options;
    uint16_t minor, major;
    uint32_t architecture;
    uint64_t names;
    uint64_t flags; /* FLAG_… */
    uint64_t unused;
    uint64_t unpacked;
};
enum { ENTRY_PTX = 1, ENTRY_LEAST = 64, FLAG_LZ4 = 0x2000, FLAG_ZSTD = 0x8000 };
_Static_assert(sizeof(struct container) == 16 && sizeof(struct entry) == 64,
               "layouts of the container");

/* ---- decompression ---- */

/* A length of 15 goes on in bytes up to one below 255; false: the data end. */
static bool long_length(const uint8_t *in, size_t n, size_t *i, size_t *length)
{
    uint8_t more;
    do {
        if (*i >= n)
            return false;
        more = in[(*i)++];
        *length += more;
    } while (more == 255);
    return true;
}

/* An LZ4 block; the number of bytes written, 0 if it is damaged. */
static size_t lz4(const uint8_t *in, size_t n, char *out, size_t room)
{
    size_t i = 0, o = 0;
    while (i < n) {
        unsigned token = in[i++];
        size_t literal = token >> 4, match = token & 15;
        if (literal == 15 && !long_length(in, n, &i, &literal))
            return 0;
        if (literal > n - i || literal > room - o)
            return 0;
        memcpy(out + o, in + i, literal);
        o += literal;
        i += literal;
        if (i == n)
            return o; /* the last sequence has no match */
        if (n - i < 2)
            return 0;
        size_t distance = in[i] | (size_t)in[i + 1] << 8;
        i += 2;
        if (match == 15 && !long_length(in, n, &i, &match))
            return 0;
        match += 4;
        if (!distance || distance > o || match > room - o)
            return 0;
        for (; match; match--, o++)
            out[o] = out[o - distance];
    }
    return o;
}

static CUresult refuse(char *why, CUresult code, const char *text)
{
    snprintf(why, IMAGE_WHY, "%s", text);
    return code;
}

static CUresult damaged(char *why)
{
    return refuse(why, CUDA_ERROR_INVALID_IMAGE, "a damaged fat binary");
}

/* By the system's libzstd, which this library does without where there is none. */
static size_t zstd(const uint8_t *in, size_t n, char *out, size_t room, char *why)
{
    void *library = dlopen("libzstd.so.1", RTLD_NOW);
    size_t (*decompress)(void *, size_t, const void *, size_t) = NULL;
    if (library)
        *(void **)&decompress = dlsym(library, "ZSTD_decompress");
    if (!decompress) {
        refuse(why, CUDA_SUCCESS,
               "this fat binary is compressed by Zstandard and libzstd.so.1 is not found: build "
               "with nvcc --compress-mode=speed");
        return 0;
    }
    size_t got = decompress(out, room, in, n);
    dlclose(library);
    return got <= room ? got : 0;
}

static CUresult unpack(const struct entry *e, const uint8_t *data, const char **text,
                       size_t *length, char **owned, char *why)
{
    damaged(why);
    if (!(e->flags & (FLAG_LZ4 | FLAG_ZSTD))) {
        *text = (const char *)data;
        *length = strnlen(*text, e->bytes);
        return CUDA_SUCCESS;
    }
    if (e->packed > e->bytes || !e->unpacked || e->unpacked > TEXT_MOST)
        return CUDA_ERROR_INVALID_IMAGE;
    char *out = malloc(e->unpacked);
    if (!out)
        return CUDA_ERROR_OUT_OF_MEMORY;
    size_t n = e->flags & FLAG_ZSTD ? zstd(data, e->packed, out, e->unpacked, why)
                                    : lz4(data, e->packed, out, e->unpacked);
    if (!n) {
        free(out);
        return CUDA_ERROR_INVALID_IMAGE;
    }
    *text = *owned = out;
    *length = strnlen(out, n);
    return CUDA_SUCCESS;
}

/* ---- containers ---- */

static CUresult of_container(const struct sim_chip *chip, const uint8_t *base, size_t limit,
                             const char **text, size_t *length, char **owned, char *why)
{
    struct container c;
    memcpy(&c, base, sizeof c);
    if (c.header < sizeof c || c.bytes > UINT32_MAX ||
        (limit && (c.header > limit || c.bytes > limit - c.header)))
        return damaged(why);
    uint32_t mine = (uint32_t)(chip->major * 10 + chip->minor), best = 0;
    const uint8_t *at = base + c.header, *end = at + c.bytes, *best_at = NULL;
    bool machine_code = false;
    struct entry e;
    while ((size_t)(end - at) >= sizeof e) {
        memcpy(&e, at, sizeof e);
        if (e.header < ENTRY_LEAST || e.header > (size_t)(end - at) ||
            e.bytes > (size_t)(end - at) - e.header)
            return damaged(why);
        if (e.kind == ENTRY_PTX && e.architecture <= mine && e.architecture >= best) {
            best = e.architecture;
            best_at = at;
        }
        machine_code = machine_code || e.kind != ENTRY_PTX;
        at += e.header + e.bytes;
    }
    if (!best_at) {
        snprintf(why, IMAGE_WHY, "a fat binary has no PTX for %s%s", chip->name,
                 machine_code
                     ? " (machine code cannot be simulated): build with -gencode arch=compute_XX,"
                       "code=compute_XX"
                     : "");
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    }
    memcpy(&e, best_at, sizeof e);
    return unpack(&e, best_at + e.header, text, length, owned, why);
}

/* PTX begins with blank, comments, then its version. */
static bool looks_like_ptx(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        if (s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r') {
            i++;
        } else if (n - i >= 2 && s[i] == '/' && s[i + 1] == '/') {
            while (i < n && s[i] != '\n')
                i++;
        } else if (n - i >= 2 && s[i] == '/' && s[i + 1] == '*') {
            for (i += 2; i + 1 < n && (s[i] != '*' || s[i + 1] != '/');)
                i++;
            i += 2;
        } else {
            return n - i > 8 && !memcmp(s + i, ".version", 8);
        }
    }
    return false;
}

CUresult image_ptx(const struct sim_chip *chip, const void *image, size_t bytes, const char **text,
                   size_t *length, char **owned, char *why)
{
    const uint8_t *b = image;
    *owned = NULL;
    uint32_t magic = 0;
    if (!bytes || bytes >= 4)
        for (int i = 0; i < 4 && (i == 0 || b[i - 1]); i++) /* text may be shorter */
            magic |= (uint32_t)b[i] << 8 * i;
    if (magic == WRAPPER_MAGIC && !((uintptr_t)image & 7)) {
        const struct wrapper *w = image;
        if (!w->data)
            return damaged(why);
        b = w->data;
        bytes = 0;
        memcpy(&magic, b, sizeof magic);
    }
    if (magic == CONTAINER_MAGIC) {
        if (bytes && bytes < sizeof(struct container))
            return damaged(why);
        return of_container(chip, b, bytes, text, length, owned, why);
    }
    if (magic == 0x464c457f) /* ELF */
        return refuse(why, CUDA_ERROR_NO_BINARY_FOR_GPU,
                      "a cubin holds machine code, which cannot be simulated: load PTX");
    *text = (const char *)b;
    *length = bytes ? strnlen(*text, bytes) : strlen(*text);
    if (looks_like_ptx(*text, *length))
        return CUDA_SUCCESS;
    return refuse(why, CUDA_ERROR_INVALID_IMAGE, "an image that is neither PTX nor a fat binary");
}
