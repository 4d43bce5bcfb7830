/* npy: arrays of numbers as NumPy's files. A kernel finds the elements as the machine has them
 * (big-endian files are turned round) in C order (Fortran's is changed), and so they are written.
 */
#include "nncsim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER ((size_t)1 << 20)

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

/* The header's text: a dict in Python's words, with descr, fortran_order and shape, each once. */
struct header {
    const char *path;
    const char *at;
    bool swap, fortran;
    char *why;
    size_t size;
};

static bool wrong(struct header *h, const char *text)
{
    return bad(h->why, h->size, h->path, text);
}

static bool mark(struct header *h, char c)
{
    h->at += strspn(h->at, " \n\t");
    if (*h->at != c)
        return false;
    h->at++;
    return true;
}

/* 'text': from *from, n characters. */
static bool quoted(struct header *h, const char **from, size_t *n)
{
    char quote = mark(h, '\'') ? '\'' : '"';
    if (quote == '"' && !mark(h, '"'))
        return false;
    *from = h->at;
    *n = strcspn(h->at, quote == '"' ? "\"" : "'");
    h->at += *n;
    return mark(h, quote);
}

static bool descr(struct header *h, struct ns_arg *a)
{
    const char *d;
    size_t n;
    return (quoted(h, &d, &n) && element(a, d, n, &h->swap)) ||
           wrong(h, "the elements are no numbers of 1, 2, 4 or 8 bytes");
}

static bool fortran_order(struct header *h, struct ns_arg *a)
{
    (void)a;
    h->at += strspn(h->at, " \n\t");
    h->fortran = !strncmp(h->at, "True", 4);
    if (!h->fortran && strncmp(h->at, "False", 5) != 0)
        return wrong(h, "fortran_order is neither True nor False");
    h->at += h->fortran ? 4 : 5;
    return true;
}

/* (3, 4): numbers alone. */
static bool shape(struct header *h, struct ns_arg *a)
{
    bool open = mark(h, '('), more = true;
    while (open && !mark(h, ')')) {
        char *end;
        uint64_t v = *h->at >= '0' && *h->at <= '9' ? strtoull(h->at, &end, 10) : 0;
        if (!more || *h->at < '0' || *h->at > '9' || a->rank == 8 || v > (uint64_t)1 << 40)
            return wrong(h, "a shape that is not read");
        a->shape[a->rank++] = v;
        h->at = end;
        more = mark(h, ',');
    }
    return open || wrong(h, "a shape that is not read");
}

static bool header(struct header *h, struct ns_arg *a)
{
    static const struct {
        const char *key;
        bool (*read)(struct header *, struct ns_arg *);
    } keys[3] = {{"descr", descr}, {"fortran_order", fortran_order}, {"shape", shape}};
    const char *key;
    size_t n, k;
    unsigned seen = 0;
    bool more = mark(h, '{');
    while (more && quoted(h, &key, &n) && mark(h, ':')) {
        for (k = 0; k < 3 && (strlen(keys[k].key) != n || memcmp(keys[k].key, key, n) != 0); k++)
            ;
        if (k == 3 || seen >> k & 1)
            return wrong(h, k == 3 ? "its header has more than descr, fortran_order and shape"
                                   : "its header says one thing twice");
        seen |= 1u << k;
        if (!keys[k].read(h, a))
            return false;
        more = mark(h, ',');
    }
    if (!mark(h, '}') || h->at[strspn(h->at, " \n\t")] || seen != 7)
        return wrong(h, "no header of an array");
    a->count = a->unit;
    for (int d = 0; d < a->rank; d++) {
        if (a->shape[d] && a->count > ((uint64_t)1 << 40) / a->shape[d])
            return wrong(h, "a shape that is not read");
        a->count *= a->shape[d];
    }
    return a->count ? true : wrong(h, "an array without elements");
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

/* The header's text, to be freed; NULL: this is no npy file. */
static char *header_text(FILE *f)
{
    uint8_t head[12] = {0};
    if (fread(head, 1, 10, f) != 10 || memcmp(head, "\x93NUMPY", 6) != 0 || head[6] < 1 ||
        head[6] > 3 || head[7] || (head[6] > 1 && fread(head + 10, 1, 2, f) != 2))
        return NULL;
    size_t n = head[8] | (size_t)head[9] << 8 | (size_t)head[10] << 16 | (size_t)head[11] << 24;
    char *text = n <= MAX_HEADER ? malloc(n + 1) : NULL;
    if (text && fread(text, 1, n, f) == n) {
        text[n] = 0;
        if (strlen(text) == n)
            return text;
    }
    free(text);
    return NULL;
}

static bool data(struct header *h, struct ns_arg *a, FILE *f)
{
    size_t bytes = (size_t)a->count * ns_size(a->type);
    a->data = malloc(bytes);
    if (!a->data || fread(a->data, 1, bytes, f) != bytes)
        return wrong(h, "shorter than its header says");
    if (h->swap)
        turn_round(a->data, a->count, ns_size(a->type));
    return !h->fortran || to_c_order(a) || wrong(h, "no memory");
}

bool ns_read_npy(struct ns_arg *a, const char *path, char *why, size_t size)
{
    struct header h = {.path = path, .why = why, .size = size};
    FILE *f = fopen(path, "rb");
    if (!f)
        return bad(why, size, path, "cannot be opened");
    char *text = header_text(f);
    h.at = text;
    bool ok = text ? header(&h, a) && data(&h, a, f) : wrong(&h, "not an npy file");
    free(text);
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
