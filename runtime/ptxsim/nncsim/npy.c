/* npy: arrays of any little-endian type, as NumPy's files; what the elements mean does not matter
 * here. */
#include "nncsim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool bad(char *why, size_t size, const char *path, const char *text)
{
    snprintf(why, size, "%s: %s", path, text);
    return false;
}

/* The header's text: a dict with descr, fortran_order, shape. */
static bool header(struct ns_arg *a, const char *h, const char *path, char *why, size_t size)
{
    const char *d = strstr(h, "'descr'"), *s = strstr(h, "'shape'");
    d = d ? strchr(d + 7, '\'') : NULL;
    s = s ? strchr(s, '(') : NULL;
    if (!d || !s || strstr(h, "'fortran_order': True"))
        return bad(why, size, path, "no header of an array in C order");
    size_t n = strcspn(d + 1, "'");
    if (n != 3 || !strchr("<|", d[1]) || !strchr("iufb", d[2]) || !strchr("1248", d[3]))
        return bad(why, size, path,
                   "the type is none of little-endian numbers of 1, 2, 4, 8 bytes");
    memcpy(a->descr, d + 1, 3);
    uint32_t e = (uint32_t)(d[3] - '0');
    a->type = e == 1 ? NS_U8 : e == 2 ? NS_U16 : e == 4 ? NS_U32 : NS_U64;
    a->count = 1;
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
    ok = header(a, text, path, why, size);
    if (ok) {
        size_t bytes = (size_t)a->count * ns_size(a->type);
        a->data = malloc(bytes);
        ok = a->data && fread(a->data, 1, bytes, f) == bytes;
        if (!ok)
            bad(why, size, path, "shorter than its header says");
    }
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
