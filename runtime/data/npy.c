/* NumPy's npy: "\x93NUMPY", version, header length, a Python dict of descr, fortran_order, shape,
 * data. The dict is read by a small strict reader: only what numpy.lib.format writes is accepted.
 */
#include "common.h"
#include "data/data.h"
#include "data/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER_MOST = 65536 };

struct npy_type {
    char kind;
    unsigned char bytes; /* in the file */
    enum nn_dtype dtype;
};
/* The first row of a dtype is the one written. */
static const struct npy_type types[] = {
    {'f', 8, NN_f64},  {'f', 4, NN_f32}, {'f', 2, NN_f16}, {'V', 2, NN_bf16},
    {'i', 8, NN_i64},  {'i', 4, NN_i32}, {'i', 1, NN_i8},  {'u', 1, NN_u8},
    {'b', 1, NN_bool}, {'i', 2, NN_i32}, {'u', 2, NN_i32}, {'u', 4, NN_i64},
};

/* ---- the header ---- */

struct header {
    const char *p, *end;
    const struct npy_type *type;
    bool big, fortran;
    uint32_t rank;
    int64_t dim[NN_MAX_RANK];
    unsigned seen; /* bits of the three keys */
    char why[96];
};

static bool refuse(struct header *h, const char *why)
{
    snprintf(h->why, sizeof h->why, "%s", why);
    return false;
}

static void blanks(struct header *h)
{
    while (h->p < h->end && (*h->p == ' ' || *h->p == '\n'))
        h->p++;
}

static bool accept(struct header *h, char c)
{
    blanks(h);
    if (h->p == h->end || *h->p != c)
        return false;
    h->p++;
    return true;
}

static bool quoted(struct header *h, char *out, size_t size)
{
    blanks(h);
    if (h->p == h->end || (*h->p != '\'' && *h->p != '"'))
        return false;
    char quote = *h->p++;
    const char *close = memchr(h->p, quote, (size_t)(h->end - h->p));
    if (!close || (size_t)(close - h->p) >= size)
        return false;
    memcpy(out, h->p, (size_t)(close - h->p));
    out[close - h->p] = 0;
    h->p = close + 1;
    return true;
}

static bool word(struct header *h, const char *w)
{
    blanks(h);
    size_t n = strlen(w);
    if ((size_t)(h->end - h->p) < n || memcmp(h->p, w, n))
        return false;
    h->p += n;
    return true;
}

static bool read_descr(struct header *h)
{
    char d[32];
    if (!quoted(h, d, sizeof d))
        return refuse(h, "its element type is not a simple one");
    const char *t = strchr("<>|=", d[0]) && d[0] ? d + 1 : d;
    h->big = d[0] == '>';
    for (size_t i = 0; i < NN_COUNT(types) && !h->type; i++)
        if (t[0] == types[i].kind && t[1] == '0' + types[i].bytes && !t[2])
            h->type = &types[i];
    if (!h->type)
        snprintf(h->why, sizeof h->why, "its element type '%s' is not supported", d);
    return h->type;
}

static bool read_shape(struct header *h)
{
    if (!accept(h, '('))
        return refuse(h, "its shape is not a tuple");
    while (!accept(h, ')')) {
        int64_t n = 0, digits = 0;
        blanks(h);
        for (; h->p < h->end && *h->p >= '0' && *h->p <= '9' && digits < 18; h->p++, digits++)
            n = n * 10 + (*h->p - '0');
        if (!digits)
            return refuse(h, "its shape is not a tuple of numbers");
        if (h->rank == NN_MAX_RANK)
            return refuse(h, "it has more than 8 axes");
        h->dim[h->rank++] = n;
        blanks(h);
        if (!accept(h, ',') && (h->p == h->end || *h->p != ')'))
            return refuse(h, "its shape is not a tuple of numbers");
    }
    return true;
}

static bool read_key(struct header *h)
{
    char key[32];
    if (!quoted(h, key, sizeof key) || !accept(h, ':'))
        return refuse(h, "its header is not a dictionary");
    unsigned bit = !strcmp(key, "descr")           ? 1
                   : !strcmp(key, "fortran_order") ? 2
                   : !strcmp(key, "shape")         ? 4
                                                   : 0;
    if (!bit || (h->seen & bit))
        return refuse(h, "its header has a key too many");
    h->seen |= bit;
    if (bit == 1)
        return read_descr(h);
    if (bit == 4)
        return read_shape(h);
    h->fortran = word(h, "True");
    return h->fortran || word(h, "False") || refuse(h, "its fortran_order is not a bool");
}

static bool read_dict(struct header *h)
{
    if (!accept(h, '{'))
        return refuse(h, "its header is not a dictionary");
    while (!accept(h, '}')) {
        if (!read_key(h))
            return false;
        blanks(h);
        if (!accept(h, ',') && (h->p == h->end || *h->p != '}'))
            return refuse(h, "its header is not a dictionary");
    }
    blanks(h);
    if (h->p != h->end)
        return refuse(h, "its header goes on after the dictionary");
    if (h->seen != 7)
        return refuse(h, "its header lacks descr, fortran_order or shape");
    return true;
}

/* ---- reading ---- */

static enum nn_status read_head(int fd, const char *path, uint64_t size, struct header *h,
                                char **text, uint64_t *data_at, struct nn_message *m)
{
    unsigned char fix[12];
    if (size < 10 || nn_file_read(fd, path, 0, fix, 10, m) || memcmp(fix, "\x93NUMPY", 6))
        return nn_fail(m, NN_REFUSED, "%s is not an npy file", path);
    if (fix[6] < 1 || fix[6] > 3 || fix[7])
        return nn_fail(m, NN_REFUSED, "%s is npy version %d.%d; 1.0 to 3.0 are supported", path,
                       fix[6], fix[7]);
    size_t wide = fix[6] == 1 ? 2 : 4, n = (size_t)(fix[8] | fix[9] << 8);
    if (wide == 4) {
        enum nn_status s = nn_file_read(fd, path, 8, fix + 8, 4, m);
        if (s)
            return s;
        n |= (size_t)fix[10] << 16 | (size_t)fix[11] << 24;
    }
    if (n > HEADER_MOST || 8 + wide + n > size)
        return nn_fail(m, NN_REFUSED, "%s is truncated in its header", path);
    *text = malloc(n + 1);
    if (!*text)
        return nn_fail(m, NN_MACHINE, "out of memory");
    enum nn_status s = nn_file_read(fd, path, 8 + wide, *text, n, m);
    if (s)
        return s;
    *data_at = 8 + wide + n;
    h->p = *text;
    h->end = *text + n;
    if (!read_dict(h))
        return nn_fail(m, NN_REFUSED, "cannot read %s: %s", path, h->why);
    return NN_OK;
}

static void swap(unsigned char *p, size_t n, size_t bytes)
{
    for (size_t i = 0; i < n; i++, p += bytes)
        for (size_t k = 0; k < bytes / 2; k++) {
            unsigned char t = p[k];
            p[k] = p[bytes - 1 - k];
            p[bytes - 1 - k] = t;
        }
}

/* From the elements at the end of the array's memory to the array's dtype. */
static void widen(struct nn_array *a, const struct npy_type *t, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int16_t i2;
        uint16_t u2;
        uint32_t u4;
        if (t->bytes == 2 && t->kind == 'i') {
            memcpy(&i2, p + 2 * i, 2);
            ((int32_t *)a->data)[i] = i2;
        } else if (t->bytes == 2) {
            memcpy(&u2, p + 2 * i, 2);
            ((int32_t *)a->data)[i] = u2;
        } else {
            memcpy(&u4, p + 4 * i, 4);
            ((int64_t *)a->data)[i] = u4;
        }
    }
}

static void only_truth(unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = p[i] != 0;
}

static enum nn_status read_data(int fd, const char *path, uint64_t at, uint64_t size,
                                const struct header *h, struct nn_array *a, struct nn_message *m)
{
    size_t host;
    if (!nn_tensor_bytes(a->dtype, a->rank, a->dim, &host))
        return nn_fail(m, NN_REFUSED, "%s claims an impossible shape", path);
    size_t n = host / nn_dtype_size(a->dtype), stored = n * h->type->bytes;
    if (stored != size - at)
        return nn_fail(
            m, NN_REFUSED, "%s is %s: its header says %zu bytes of elements, it has %llu", path,
            stored > size - at ? "truncated" : "too long", stored, (unsigned long long)(size - at));
    enum nn_status s = nn_array_alloc(a, m);
    if (s)
        return s;
    unsigned char *p = (unsigned char *)a->data + (host - stored);
    s = nn_file_read(fd, path, at, p, stored, m);
    if (!s && h->big)
        swap(p, n, h->type->bytes);
    if (!s && stored != host)
        widen(a, h->type, p, n);
    if (!s && a->dtype == NN_bool)
        only_truth(p, n);
    return s;
}

enum nn_status nn_npy_read(const char *path, const struct nn_schema *schema, struct nn_array *a,
                           struct nn_message *m)
{
    int fd;
    uint64_t size, at = 0;
    struct header h = {0};
    char *text = NULL;
    *a = (struct nn_array){0};
    enum nn_status s = nn_file_open(path, &fd, &size, m);
    if (s)
        return s;
    s = read_head(fd, path, size, &h, &text, &at, m);
    free(text);
    if (!s && h.fortran && h.rank > 1)
        s = nn_fail(m, NN_REFUSED, "%s is in Fortran order; save it with numpy.ascontiguousarray",
                    path);
    if (!s) {
        a->dtype = h.type->dtype;
        a->rank = h.rank;
        memcpy(a->dim, h.dim, sizeof a->dim);
        s = nn_schema_check(schema, a, path, m);
    }
    if (!s)
        s = read_data(fd, path, at, size, &h, a, m);
    close(fd);
    if (s)
        nn_array_free(a);
    return s;
}

/* ---- writing ---- */

enum nn_status nn_npy_write(const char *path, enum nn_dtype t, uint32_t rank, const int64_t *dim,
                            const void *data, struct nn_message *m)
{
    size_t bytes, i = 0;
    if (!nn_tensor_bytes(t, rank, dim, &bytes))
        return nn_fail(m, NN_USAGE, "cannot write %s: the shape is impossible", path);
    while (types[i].dtype != t)
        i++;
    char head[512] = "\x93NUMPY\x01", dict[400] = "", *tmp = malloc(strlen(path) + 5);
    if (!tmp)
        return nn_fail(m, NN_MACHINE, "out of memory");
    nn_append(dict, sizeof dict, "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (",
              types[i].bytes == 1 || types[i].kind == 'V' ? '|' : '<', types[i].kind,
              types[i].bytes);
    for (uint32_t k = 0; k < rank; k++)
        nn_append(dict, sizeof dict, "%s%lld%s", k ? " " : "", (long long)dim[k],
                  rank == 1 || k + 1 < rank ? "," : "");
    nn_append(dict, sizeof dict, "), }");
    size_t n = strlen(dict), whole = nn_round_up(10 + n + 1, 64);
    memset(head + 10, ' ', whole - 10);
    memcpy(head + 10, dict, n);
    head[whole - 1] = '\n';
    head[8] = (char)((whole - 10) & 255);
    head[9] = (char)((whole - 10) >> 8);
    sprintf(tmp, "%s.tmp", path);
    union {
        const void *c;
        void *p;
    } elements = {data};
    struct iovec part[] = {{head, whole}, {elements.p, bytes}};
    enum nn_status s = nn_file_replace(path, tmp, part, 2, m);
    free(tmp);
    return s;
}
