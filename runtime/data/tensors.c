/* safetensors, read: u64 header length, a JSON object of name -> {dtype, shape, data_offsets}, then
 * the tensors, one behind the other without gaps. All of that is checked at opening. */
#include "common.h"
#include "data/data.h"
#include "data/file.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER_MOST = 16 << 20 };

struct nn_tensors {
    int fd;
    uint32_t count;
    char *path;
    cJSON *json; /* owns the names */
    struct nn_tensor *tensor;
};

static const struct {
    const char *name;
    enum nn_dtype dtype;
} types[] = {
    {"F64", NN_f64}, {"F32", NN_f32}, {"F16", NN_f16}, {"BF16", NN_bf16}, {"I64", NN_i64},
    {"I32", NN_i32}, {"I8", NN_i8},   {"U8", NN_u8},   {"BOOL", NN_bool},
};

/* A whole number in [0, 2^53]. */
static bool whole(const cJSON *j, int64_t *v)
{
    if (!cJSON_IsNumber(j) || !(j->valuedouble >= 0 && j->valuedouble <= 0x1p53))
        return false;
    *v = (int64_t)j->valuedouble;
    return (double)*v == j->valuedouble;
}

static enum nn_status bad(const struct nn_tensors *t, const char *name, const char *why,
                          struct nn_message *m)
{
    return nn_fail(m, NN_REFUSED, "%s: tensor %.200s: %s", t->path, name, why);
}

static enum nn_status read_entry(struct nn_tensors *t, const cJSON *j, uint64_t data_at,
                                 struct nn_message *m)
{
    struct nn_tensor *x = &t->tensor[t->count];
    const char *dtype = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, "dtype"));
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(j, "shape");
    const cJSON *range = cJSON_GetObjectItemCaseSensitive(j, "data_offsets");
    int64_t from, to;
    *x = (struct nn_tensor){.name = j->string, .dtype = NN_DTYPE_COUNT};
    for (size_t i = 0; dtype && i < NN_COUNT(types); i++)
        if (!strcmp(dtype, types[i].name))
            x->dtype = types[i].dtype;
    if (x->dtype == NN_DTYPE_COUNT)
        return bad(t, x->name, "its dtype is not supported", m);
    if (!cJSON_IsArray(shape) || cJSON_GetArraySize(shape) > NN_MAX_RANK)
        return bad(t, x->name, "its shape is not a list of at most 8 numbers", m);
    for (const cJSON *d = shape->child; d; d = d->next)
        if (!whole(d, &x->dim[x->rank++]))
            return bad(t, x->name, "its shape is not a list of at most 8 numbers", m);
    if (!cJSON_IsArray(range) || cJSON_GetArraySize(range) != 2 || !whole(range->child, &from) ||
        !whole(range->child->next, &to) || to < from)
        return bad(t, x->name, "its data_offsets are not two ascending numbers", m);
    if (!nn_tensor_bytes(x->dtype, x->rank, x->dim, &x->bytes) || x->bytes != (size_t)(to - from))
        return bad(t, x->name, "its shape does not fit its data_offsets", m);
    x->offset = data_at + (uint64_t)from;
    t->count++;
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

static enum nn_status check_cover(struct nn_tensors *t, uint64_t data_at, uint64_t size,
                                  struct nn_message *m)
{
    uint64_t at = data_at;
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
    char *text = malloc(n + 1);
    if (!text)
        return nn_fail(m, NN_MACHINE, "out of memory");
    text[n] = 0;
    enum nn_status s = nn_file_read(t->fd, t->path, 8, text, n, m);
    if (!s && text[0] == '{')
        t->json = cJSON_ParseWithLengthOpts(text, n + 1, NULL, 1);
    free(text);
    if (s)
        return s;
    if (!cJSON_IsObject(t->json))
        return nn_fail(m, NN_REFUSED, "%s is not a safetensors file: its header is not JSON",
                       t->path);
    t->tensor = calloc((size_t)cJSON_GetArraySize(t->json) + 1, sizeof *t->tensor);
    if (!t->tensor)
        return nn_fail(m, NN_MACHINE, "out of memory");
    for (const cJSON *j = t->json->child; !s && j; j = j->next)
        if (strcmp(j->string, "__metadata__"))
            s = read_entry(t, j, 8 + n, m);
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
    cJSON_Delete(t->json);
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
