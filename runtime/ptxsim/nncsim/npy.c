/* npy: arrays of numbers as NumPy's files. A kernel finds the elements as the machine has them
 * (big-endian files are turned round) in C order (Fortran's is changed), and so they are written.
 */
#include "nncsim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool bad(char *why, size_t size, const char *path, const char *text)
{
    snprintf(why, size, "%s: %s", path, text);
    return false;
}

/* "<f4": order, kind, bytes. A complex number is two units of half its bytes; of raw bytes (V, as
 * bfloat16 arrays are saved) only the size counts. */
static bool element(struct ns_arg *a, const char *d, size_t n, bool *swap)
{
    static const enum ns_type types[3][4] = {{NS_I8, NS_I16, NS_I32, NS_I64},
                                             {NS_U8, NS_U16, NS_U32, NS_U64},
                                             {NS_U8, NS_F16, NS_F32, NS_F64}};
    char *end;
    unsigned long bytes = n > 2 ? strtoul(d + 2, &end, 10) : 0;
    bool complex = n > 2 && d[1] == 'c';
    if (n < 3 || n >= sizeof a->descr || end != d + n || !strchr("<>|=", d[0]) ||
        !strchr("iufbcV", d[1]))
        return false;
    a->unit = complex ? 2 : 1;
    bytes /= (unsigned long)a->unit;
    int log = bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : bytes == 8 ? 3 : -1;
    if (log < 0 || ((complex || d[1] == 'f') && (!log || (complex && log == 1))))
        return false;
    a->type = types[d[1] == 'i' ? 0 : d[1] == 'f' || complex ? 2 : 1][log];
    *swap = d[0] == '>' && log;
    memcpy(a->descr, d, n);
    a->descr[0] = d[0] == '>' ? '<' : d[0];
    return true;
}

/* The header's text: a dict with descr, fortran_order, shape. */
static bool header(struct ns_arg *a, const char *h, const char *path, bool *swap, char *why,
                   size_t size)
{
    const char *d = strstr(h, "'descr'"), *s = strstr(h, "'shape'");
    d = d ? strchr(d + 7, '\'') : NULL;
    s = s ? strchr(s, '(') : NULL;
    if (!d || !s)
        return bad(why, size, path, "no header of an array");
    if (!element(a, d + 1, strcspn(d + 1, "'"), swap))
        return bad(why, size, path, "the elements are no numbers of 1, 2, 4 or 8 bytes");
    a->count = a->unit;
    for (s++; *s && *s != ')';) {
        char *end;
        uint64_t v = strtoull(s, &end, 10);
        if (end == s || a->rank == 8 || (v && a->count > ((uint64_t)1 << 40) / v))
            return bad(why, size, path, "a shape that is not read");
        a->shape[a->rank++] = v;
        a->count *= v;
        s = end + strspn(end, ", ");
    }
    return a->count ? true : bad(why, size, path, "an array without elements");
}

static void turn_round(uint8_t *p, uint64_t count, uint32_t size)
{
    for (uint64_t k = 0; k < count; k++, p += size)
        for (uint32_t b = 0; b < size / 2; b++) {
            uint8_t t = p[b];
            p[b] = p[size - 1 - b];
            p[size - 1 - b] = t;
        }
}

/* From Fortran's order, where the first index runs fastest, to C's. */
static bool to_c_order(struct ns_arg *a)
{
    uint64_t size = (uint64_t)ns_size(a->type) * a->unit, n = a->count / a->unit, at[8] = {0};
    uint8_t *c = malloc(n * size);
    if (!c)
        return false;
    for (uint64_t k = 0; k < n; k++) {
        uint64_t to = 0;
        for (int d = 0; d < a->rank; d++)
            to = to * a->shape[d] + at[d];
        memcpy(c + to * size, a->data + k * size, size);
        for (int d = 0; d < a->rank && ++at[d] == a->shape[d]; d++)
            at[d] = 0;
    }
    free(a->data);
    a->data = c;
    return true;
}

bool ns_read_npy(struct ns_arg *a, const char *path, char *why, size_t size)
{
    FILE *f = fopen(path, "rb");
    uint8_t head[12];
    char text[4096];
    if (!f)
        return bad(why, size, path, "cannot be opened");
    size_t got = fread(head, 1, 10, f), n = head[8] | (size_t)head[9] << 8;
    bool ok = got == 10 && !memcmp(head, "\x93NUMPY", 6);
    if (ok && head[6] >= 2) {
        ok = fread(head + 10, 1, 2, f) == 2;
        n |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    }
    ok = ok && n < sizeof text && fread(text, 1, n, f) == n;
    if (!ok) {
        fclose(f);
        return bad(why, size, path, "not an npy file");
    }
    text[n] = 0;
    bool swap = false;
    ok = header(a, text, path, &swap, why, size);
    if (ok) {
        size_t bytes = (size_t)a->count * ns_size(a->type);
        a->data = malloc(bytes);
        ok = a->data && fread(a->data, 1, bytes, f) == bytes;
        if (!ok)
            bad(why, size, path, "shorter than its header says");
    }
    if (ok && swap)
        turn_round(a->data, a->count, ns_size(a->type));
    if (ok && strstr(text, "'fortran_order': True") && !(ok = to_c_order(a)))
        bad(why, size, path, "no memory");
    fclose(f);
    return ok;
}

bool ns_write_npy(const struct ns_arg *a, const char *path)
{
    char text[256], shape[200] = "";
    for (int i = 0; i < a->rank; i++)
        snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%llu, ",
                 (unsigned long long)a->shape[i]);
    int n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
                     a->descr, shape);
    int padded = (n + 1 + 10 + 63) / 64 * 64 - 10;
    FILE *f = fopen(path, "wb");
    if (!f)
        return false;
    uint8_t head[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)padded, (uint8_t)(padded >> 8)};
    fwrite(head, 1, 10, f);
    fprintf(f, "%s%*s\n", text, padded - 1 - n, "");
    fwrite(a->data, ns_size(a->type), (size_t)a->count, f);
    bool ok = !ferror(f);
    return !fclose(f) && ok;
}
