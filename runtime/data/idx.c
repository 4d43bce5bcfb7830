/* IDX, the format of MNIST: 0 0 type rank, then big-endian dims and elements; plain or gzip. The
 * header says the size: no more than that is unpacked, and no more is taken than the file could
 * hold. */
#include "common.h"
#include "data/data.h"
#include "data/file.h"

#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { DEFLATE_MOST = 1032 }; /* output bytes for an input byte, at most (zlib's technical notes) */

struct idx_type {
    unsigned char code;
    enum nn_dtype dtype;
    unsigned char bytes; /* in the file */
};
static const struct idx_type types[] = {
    {0x08, NN_u8, 1},  {0x09, NN_i8, 1},  {0x0b, NN_i32, 2},
    {0x0c, NN_i32, 4}, {0x0d, NN_f32, 4}, {0x0e, NN_f64, 8},
};

static enum nn_status read_exactly(gzFile f, const char *path, void *p, size_t n,
                                   struct nn_message *m)
{
    for (size_t done = 0; done < n;) {
        unsigned some = n - done < 1u << 30 ? (unsigned)(n - done) : 1u << 30;
        int got = gzread(f, (char *)p + done, some);
        if (got <= 0) {
            int code;
            const char *why = gzerror(f, &code);
            if (got == 0 || code == Z_BUF_ERROR)
                return nn_fail(m, NN_REFUSED, "%s is truncated: it ends after %zu of %zu bytes",
                               path, done, n);
            return nn_fail(m, NN_REFUSED, "%s is damaged: %s", path, why);
        }
        done += (size_t)got;
    }
    return NN_OK;
}

static uint32_t big32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static enum nn_status read_header(gzFile f, const char *path, struct nn_array *a,
                                  const struct idx_type **type, struct nn_message *m)
{
    unsigned char h[4], d[4];
    enum nn_status s = read_exactly(f, path, h, 4, m);
    if (s)
        return s;
    for (size_t i = 0; i < NN_COUNT(types); i++)
        if (types[i].code == h[2])
            *type = &types[i];
    if (h[0] || h[1] || !*type)
        return nn_fail(m, NN_REFUSED, "%s is not an IDX file: it begins with %02x %02x %02x %02x",
                       path, h[0], h[1], h[2], h[3]);
    if (h[3] == 0 || h[3] > NN_MAX_RANK)
        return nn_fail(m, NN_REFUSED, "%s has %d axes; 1 to %d are possible", path, h[3],
                       NN_MAX_RANK);
    a->dtype = (*type)->dtype;
    a->rank = h[3];
    for (uint32_t i = 0; i < a->rank; i++) {
        s = read_exactly(f, path, d, 4, m);
        if (s)
            return s;
        a->dim[i] = big32(d);
    }
    return NN_OK;
}

/* The elements stand at the end of the array's memory, if they are narrower than its own. */
static void to_host(struct nn_array *a, const struct idx_type *t, const unsigned char *p)
{
    size_t n = a->bytes / nn_dtype_size(a->dtype);
    unsigned char *out = a->data;
    for (size_t i = 0; t->bytes == 2 && i < n; i++)
        ((int32_t *)a->data)[i] = (int16_t)(p[2 * i] << 8 | p[2 * i + 1]);
    for (size_t i = 0; t->bytes == 4 && i < n; i++) {
        uint32_t v = big32(p + 4 * i);
        memcpy(out + 4 * i, &v, 4);
    }
    for (size_t i = 0; t->bytes == 8 && i < n; i++) {
        uint64_t v = (uint64_t)big32(p + 8 * i) << 32 | big32(p + 8 * i + 4);
        memcpy(out + 8 * i, &v, 8);
    }
}

/* gzip's checksum is read, and compared, only here. */
static enum nn_status expect_end(gzFile f, const char *path, struct nn_message *m)
{
    char more;
    int got = gzread(f, &more, 1), code;
    gzerror(f, &code);
    if (got > 0)
        return nn_fail(m, NN_REFUSED, "%s has bytes beyond what its header says", path);
    if (code == Z_BUF_ERROR)
        return nn_fail(m, NN_REFUSED, "%s is truncated at its end", path);
    return code ? nn_fail(m, NN_REFUSED, "%s is damaged: its checksum is wrong", path) : NN_OK;
}

static enum nn_status read_elements(gzFile f, const char *path, uint64_t file_bytes,
                                    const struct idx_type *t, struct nn_array *a,
                                    struct nn_message *m)
{
    size_t host, stored;
    if (!nn_tensor_bytes(a->dtype, a->rank, a->dim, &host))
        return nn_fail(m, NN_REFUSED, "%s claims an impossible shape", path);
    stored = host / nn_dtype_size(a->dtype) * t->bytes;
    uint64_t most = gzdirect(f) ? file_bytes : file_bytes * DEFLATE_MOST;
    if (stored > most)
        return nn_fail(m, NN_REFUSED,
                       "%s is truncated: it claims %zu bytes of elements, its %llu bytes cannot "
                       "hold them",
                       path, stored, (unsigned long long)file_bytes);
    enum nn_status s = nn_array_alloc(a, m);
    if (s)
        return s;
    unsigned char *p = (unsigned char *)a->data + (host - stored);
    s = read_exactly(f, path, p, stored, m);
    if (!s)
        s = expect_end(f, path, m);
    if (!s)
        to_host(a, t, p);
    return s;
}

enum nn_status nn_idx_read(const char *path, const struct nn_schema *schema, struct nn_array *a,
                           struct nn_message *m)
{
    int fd;
    uint64_t bytes;
    *a = (struct nn_array){0};
    enum nn_status s = nn_file_open(path, &fd, &bytes, m);
    if (s)
        return s;
    gzFile f = gzdopen(fd, "rb");
    if (!f) {
        close(fd);
        return nn_fail(m, NN_MACHINE, "out of memory");
    }
    gzbuffer(f, 1 << 17);
    const struct idx_type *type = NULL;
    s = read_header(f, path, a, &type, m);
    if (!s)
        s = nn_schema_check(schema, a, path, m);
    if (!s)
        s = read_elements(f, path, bytes, type, a, m);
    gzclose(f);
    if (s)
        nn_array_free(a);
    return s;
}
