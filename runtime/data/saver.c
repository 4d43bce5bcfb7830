/* safetensors, written. The header depends on names and shapes alone: it is made once, and a write
 * is nothing but system calls, so a checkpoint costs no memory and its bytes follow from the
 * tensors. */
#include "common.h"
#include "data/data.h"
#include "data/file.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nn_saver {
    char *path, *tmp;
    char *header; /* with its length in front */
    struct iovec *part;
    size_t parts;
};

static const char *type_name(enum nn_dtype t)
{
    switch (t) {
    case NN_f64: return "F64";
    case NN_f32: return "F32";
    case NN_f16: return "F16";
    case NN_bf16: return "BF16";
    case NN_i64: return "I64";
    case NN_i32: return "I32";
    case NN_i8: return "I8";
    case NN_u8: return "U8";
    case NN_bool: return "BOOL";
    case NN_DTYPE_COUNT: break;
    }
    return "U8";
}

static bool add_item(cJSON *root, const struct nn_save_item *x, size_t from, size_t to)
{
    cJSON *j = cJSON_CreateObject(), *shape = cJSON_CreateArray(), *range = cJSON_CreateArray();
    bool ok = j && shape && range && cJSON_AddStringToObject(j, "dtype", type_name(x->dtype));
    for (uint32_t i = 0; ok && i < x->rank; i++)
        ok = cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)x->dim[i]));
    ok = ok && cJSON_AddItemToArray(range, cJSON_CreateNumber((double)from)) &&
         cJSON_AddItemToArray(range, cJSON_CreateNumber((double)to));
    if (ok && cJSON_AddItemToObject(j, "shape", shape))
        shape = NULL;
    if (ok && cJSON_AddItemToObject(j, "data_offsets", range))
        range = NULL;
    ok = ok && !shape && !range && cJSON_AddItemToObject(root, x->name, j);
    if (!ok) {
        cJSON_Delete(shape);
        cJSON_Delete(range);
        cJSON_Delete(j);
    }
    return ok;
}

/* The header as JSON text; NULL if memory is out. The parts' sizes and places are filled in. */
static char *header_text(struct nn_saver *s, const char *format, const struct nn_save_item *item,
                         size_t items)
{
    cJSON *root = cJSON_CreateObject(),
          *meta = root ? cJSON_AddObjectToObject(root, "__metadata__") : NULL;
    bool ok = meta && cJSON_AddStringToObject(meta, "format", format);
    size_t at = 0, bytes = 0;
    for (size_t i = 0; ok && i < items; i++) {
        ok = nn_tensor_bytes(item[i].dtype, item[i].rank, item[i].dim, &bytes);
        union {
            const void *c;
            void *p;
        } data = {item[i].data};
        s->part[i + 1] = (struct iovec){data.p, bytes};
        ok = ok && add_item(root, &item[i], at, at + bytes);
        at += bytes;
    }
    char *text = ok ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    return text;
}

static bool prepare(struct nn_saver *s, const char *path, const char *format,
                    const struct nn_save_item *item, size_t items)
{
    s->path = strdup(path);
    s->tmp = malloc(strlen(path) + 5);
    s->part = calloc(items + 1, sizeof *s->part);
    s->parts = items + 1;
    if (!s->path || !s->tmp || !s->part)
        return false;
    sprintf(s->tmp, "%s.tmp", path);
    char *text = header_text(s, format, item, items);
    if (!text)
        return false;
    size_t n = strlen(text), padded = nn_round_up(n, 8);
    s->header = malloc(8 + padded);
    if (s->header) {
        for (int i = 0; i < 8; i++)
            s->header[i] = (char)(padded >> 8 * i & 255);
        memcpy(s->header + 8, text, n);
        memset(s->header + 8 + n, ' ', padded - n);
        s->part[0] = (struct iovec){s->header, 8 + padded};
    }
    cJSON_free(text);
    return s->header;
}

enum nn_status nn_saver_open(struct nn_saver **out, const char *path, const char *format,
                             const struct nn_save_item *item, size_t items, struct nn_message *m)
{
    *out = NULL;
    struct nn_saver *s = calloc(1, sizeof *s);
    if (!s || !prepare(s, path, format, item, items)) {
        nn_saver_close(s);
        return nn_fail(m, NN_MACHINE, "out of memory");
    }
    *out = s;
    return NN_OK;
}

void nn_saver_close(struct nn_saver *s)
{
    if (!s)
        return;
    free(s->path);
    free(s->tmp);
    free(s->header);
    free(s->part);
    free(s);
}

enum nn_status nn_saver_write(struct nn_saver *s, struct nn_message *m)
{
    return nn_file_replace(s->path, s->tmp, s->part, s->parts, m);
}
