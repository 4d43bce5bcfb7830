/* safetensors, read: u64 header length, a JSON object of name -> {dtype, shape, data_offsets}, then
 * the tensors, one behind the other without gaps. All of that is checked at opening, and the hash
 * of the tensors that nnc's own files carry. */
#include "common.h"
#include "data/data.h"
#include "data/file.h"
#include "data/json.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER_MOST = 16 << 20, DEPTH_MOST = 32 };

struct nn_tensors {
    int fd;
    uint32_t count, room;
    char *path;
    char *text; /* the header; the names stand in it */
    struct nn_tensor *tensor;
    bool hashed; /* the header has a hash of the tensors, as they lie: */
    uint64_t hash;
};

static const struct {
    const char *name;
    enum nn_dtype dtype;
} types[] = {
    {"F64", NN_f64}, {"F32", NN_f32}, {"F16", NN_f16}, {"BF16", NN_bf16}, {"I64", NN_i64},
    {"I32", NN_i32}, {"I8", NN_i8},   {"U8", NN_u8},   {"BOOL", NN_bool},
};

static enum nn_status bad(const struct nn_tensors *t, const char *name, const char *why,
                          struct nn_message *m)
{
    return nn_fail(m, NN_REFUSED, "%s: tensor %.200s: %s", t->path, name, why);
}

/* Up to `most` whole numbers; -1 if it is another value or holds more or others. */
static int read_list(struct nn_json *j, int64_t *v, int most)
{
    bool first = true, good = true;
    int n = 0;
    if (nn_json_next(j) != '[') {
        nn_json_skip(j, DEPTH_MOST);
        return -1;
    }
    nn_json_enter(j, '[');
    while (nn_json_more(j, ']', &first)) {
        good = good && n < most;
        if (nn_json_next(j) == '0')
            good = nn_json_whole(j, good ? &v[n] : &(int64_t){0}) && good;
        else
            good = (nn_json_skip(j, DEPTH_MOST), false);
        n += good;
    }
    return good ? n : -1;
}

static enum nn_dtype read_dtype(struct nn_json *j)
{
    if (nn_json_next(j) != '"') {
        nn_json_skip(j, DEPTH_MOST);
        return NN_DTYPE_COUNT;
    }
    const char *name = nn_json_string(j);
    for (size_t i = 0; name && i < NN_COUNT(types); i++)
        if (!strcmp(name, types[i].name))
            return types[i].dtype;
    return NN_DTYPE_COUNT;
}

/* Room for one more tensor. */
static bool grow(struct nn_tensors *t)
{
    if (t->count < t->room)
        return true;
    uint32_t room = t->room ? 2 * t->room : 16;
    struct nn_tensor *more = realloc(t->tensor, room * sizeof *more);
    if (more) {
        t->tensor = more;
        t->room = room;
    }
    return more;
}

static enum nn_status read_entry(struct nn_tensors *t, struct nn_json *j, const char *name,
                                 uint64_t data_at, struct nn_message *m)
{
    struct nn_tensor x = {.name = name, .dtype = NN_DTYPE_COUNT};
    int64_t range[2];
    int rank = -1, ranges = -1;
    bool first = true, object = nn_json_next(j) == '{';
    if (object)
        nn_json_enter(j, '{');
    else
        nn_json_skip(j, DEPTH_MOST);
    while (object && nn_json_more(j, '}', &first)) {
        const char *key = nn_json_key(j);
        if (key && !strcmp(key, "dtype"))
            x.dtype = read_dtype(j);
        else if (key && !strcmp(key, "shape"))
            rank = read_list(j, x.dim, NN_MAX_RANK);
        else if (key && !strcmp(key, "data_offsets"))
            ranges = read_list(j, range, 2);
        else
            nn_json_skip(j, DEPTH_MOST);
    }
    if (j->bad)
        return NN_OK; /* said by the caller, of the whole */
    if (x.dtype == NN_DTYPE_COUNT)
        return bad(t, name, "its dtype is not supported", m);
    if (rank < 0)
        return bad(t, name, "its shape is not a list of at most 8 numbers", m);
    if (ranges != 2 || range[1] < range[0])
        return bad(t, name, "its data_offsets are not two ascending numbers", m);
    x.rank = (uint32_t)rank;
    if (!nn_tensor_bytes(x.dtype, x.rank, x.dim, &x.bytes) ||
        x.bytes != (size_t)(range[1] - range[0]))
        return bad(t, name, "its shape does not fit its data_offsets", m);
    x.offset = data_at + (uint64_t)range[0];
    if (!grow(t))
        return nn_fail(m, NN_MACHINE, "out of memory");
    t->tensor[t->count++] = x;
    return NN_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct nn_tensor *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b)
{
    const struct nn_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* The hash; files of other programs have none. */
static enum nn_status read_metadata(struct nn_tensors *t, struct nn_json *j, struct nn_message *m)
{
    bool first = true;
    if (nn_json_next(j) != '{') {
        nn_json_skip(j, DEPTH_MOST);
        return NN_OK;
    }
    nn_json_enter(j, '{');
    while (nn_json_more(j, '}', &first)) {
        const char *key = nn_json_key(j);
        if (!key || strcmp(key, NN_TENSORS_HASH) != 0) {
            nn_json_skip(j, DEPTH_MOST);
            continue;
        }
        const char *text = nn_json_next(j) == '"' ? nn_json_string(j) : NULL;
        t->hashed = text && strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16;
        if (!t->hashed)
            return nn_fail(m, NN_REFUSED,
                           "%s is damaged: its " NN_TENSORS_HASH " is not 16 hexadecimal digits",
                           t->path);
        t->hash = strtoull(text, NULL, 16);
    }
    return NN_OK;
}

/* In the order in which they lie. */
static enum nn_status check_hash(const struct nn_tensors *t, struct nn_message *m)
{
    enum { PIECE = 1 << 20 };
    uint64_t sum = NN_SUM;
    enum nn_status s = NN_OK;
    char *piece = t->hashed ? malloc(PIECE) : NULL;
    if (t->hashed && !piece)
        return nn_fail(m, NN_MACHINE, "out of memory");
    for (uint32_t i = 0; piece && !s && i < t->count; i++)
        for (size_t at = 0; !s && at < t->tensor[i].bytes; at += PIECE) {
            size_t left = t->tensor[i].bytes - at, n = left < PIECE ? left : PIECE;
            s = nn_file_read(t->fd, t->path, t->tensor[i].offset + at, piece, n, m);
            sum = nn_sum(sum, piece, n);
        }
    free(piece);
    if (!s && t->hashed && sum != t->hash)
        return nn_fail(m, NN_REFUSED,
                       "%s is damaged: its tensors have another hash than when it was written",
                       t->path);
    return s;
}

static enum nn_status check_cover(struct nn_tensors *t, uint64_t data_at, uint64_t size,
                                  struct nn_message *m)
{
    uint64_t at = data_at;
    if (t->count)
        qsort(t->tensor, t->count, sizeof *t->tensor, by_offset);
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->tensor[i].offset != at)
            return bad(t, t->tensor[i].name, "it overlaps another or leaves a gap", m);
        at += t->tensor[i].bytes;
    }
    if (at != size)
        return nn_fail(m, NN_REFUSED, "%s is %s: its tensors end at byte %llu, the file at %llu",
                       t->path, at > size ? "truncated" : "too long", (unsigned long long)at,
                       (unsigned long long)size);
    enum nn_status s = check_hash(t, m);
    if (s)
        return s;
    if (t->count)
        qsort(t->tensor, t->count, sizeof *t->tensor, by_name);
    for (uint32_t i = 1; i < t->count; i++)
        if (!strcmp(t->tensor[i - 1].name, t->tensor[i].name))
            return bad(t, t->tensor[i].name, "it is there twice", m);
    return NN_OK;
}

static enum nn_status read_header(struct nn_tensors *t, uint64_t size, struct nn_message *m)
{
    unsigned char fix[8];
    uint64_t n = 0;
    if (size < 8 || nn_file_read(t->fd, t->path, 0, fix, 8, m))
        return nn_fail(m, NN_REFUSED, "%s is not a safetensors file: it is too short", t->path);
    for (int i = 0; i < 8; i++)
        n |= (uint64_t)fix[i] << 8 * i;
    if (n < 2 || n > HEADER_MOST || n > size - 8)
        return nn_fail(m, NN_REFUSED, "%s is not a safetensors file, or truncated in its header",
                       t->path);
    t->text = malloc(n + 1);
    if (!t->text)
        return nn_fail(m, NN_MACHINE, "out of memory");
    t->text[n] = 0;
    enum nn_status s = nn_file_read(t->fd, t->path, 8, t->text, n, m);
    struct nn_json j = {.p = t->text};
    bool first = true;
    if (!s)
        nn_json_enter(&j, '{');
    while (!s && nn_json_more(&j, '}', &first)) {
        const char *name = nn_json_key(&j);
        if (name && strcmp(name, "__metadata__"))
            s = read_entry(t, &j, name, 8 + n, m);
        else if (name)
            s = read_metadata(t, &j, m);
        else
            nn_json_skip(&j, DEPTH_MOST);
    }
    if (!s && !nn_json_end(&j))
        return nn_fail(m, NN_REFUSED, "%s is not a safetensors file: its header is not JSON",
                       t->path);
    return s ? s : check_cover(t, 8 + n, size, m);
}

enum nn_status nn_tensors_open(struct nn_tensors **out, const char *path, struct nn_message *m)
{
    *out = NULL;
    struct nn_tensors *t = calloc(1, sizeof *t);
    char *copy = strdup(path);
    if (!t || !copy) {
        free(t);
        free(copy);
        return nn_fail(m, NN_MACHINE, "out of memory");
    }
    *t = (struct nn_tensors){.fd = -1, .path = copy};
    uint64_t size;
    enum nn_status s = nn_file_open(path, &t->fd, &size, m);
    if (!s)
        s = read_header(t, size, m);
    if (s)
        nn_tensors_close(t);
    else
        *out = t;
    return s;
}

void nn_tensors_close(struct nn_tensors *t)
{
    if (!t)
        return;
    if (t->fd >= 0)
        close(t->fd);
    free(t->text);
    free(t->tensor);
    free(t->path);
    free(t);
}

uint32_t nn_tensors_count(const struct nn_tensors *t) { return t->count; }

const struct nn_tensor *nn_tensors_at(const struct nn_tensors *t, uint32_t i)
{
    return &t->tensor[i];
}

const struct nn_tensor *nn_tensors_find(const struct nn_tensors *t, const char *name)
{
    struct nn_tensor key = {.name = name};
    return bsearch(&key, t->tensor, t->count, sizeof *t->tensor, by_name);
}

enum nn_status nn_tensors_read(struct nn_tensors *t, const struct nn_tensor *x, void *out,
                               struct nn_message *m)
{
    return nn_file_read(t->fd, t->path, x->offset, out, x->bytes, m);
}
