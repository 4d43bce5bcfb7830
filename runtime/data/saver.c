/* safetensors, written. The header depends on names and shapes alone, but for a hash of the
 * tensors: it is made once, so a checkpoint costs no memory and its bytes follow from the tensors.
 */
#include "common.h"
#include "data/data.h"
#include "data/file.h"
#include "data/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nn_saver {
    char *path, *tmp;
    char *header; /* with its length in front */
    char *hash;   /* in it: 16 digits, of what each write writes */
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

/* Appends a list of numbers. */
static char *put_list(char *p, const int64_t *v, uint32_t n)
{
    *p++ = '[';
    for (uint32_t i = 0; i < n; i++)
        p += sprintf(p, "%s%lld", i ? "," : "", (long long)v[i]);
    *p++ = ']';
    return p;
}

static char *put_text(char *p, const char *s)
{
    size_t n = strlen(s);
    memcpy(p, s, n);
    return p + n;
}

/* One entry of the header. */
static char *put_item(char *p, const struct nn_save_item *x, size_t from, size_t to)
{
    int64_t range[2] = {(int64_t)from, (int64_t)to};
    *p++ = ',';
    p += nn_json_quote(p, x->name);
    p += sprintf(p, ":{\"dtype\":\"%s\",\"shape\":", type_name(x->dtype));
    p = put_list(p, x->dim, x->rank);
    p = put_text(p, ",\"data_offsets\":");
    p = put_list(p, range, 2);
    *p++ = '}';
    return p;
}

/* The header as JSON text; NULL if memory is out. The parts' sizes and places are filled in. */
static char *header_text(struct nn_saver *s, const char *format, const struct nn_save_item *item,
                         size_t items)
{
    enum { FIXED = 120, NUMBER = 22 };
    size_t at = 0, bytes, room = FIXED + 6 * strlen(format);
    for (size_t i = 0; i < items; i++)
        room += FIXED + 6 * strlen(item[i].name) + NUMBER * (item[i].rank + 2);
    char *text = malloc(room), *p = text;
    if (!text)
        return NULL;
    p = put_text(p, "{\"__metadata__\":{\"format\":");
    p += nn_json_quote(p, format);
    p = put_text(p, ",\"" NN_TENSORS_HASH "\":\"0000000000000000\"}");
    for (size_t i = 0; i < items; i++) {
        if (!nn_tensor_bytes(item[i].dtype, item[i].rank, item[i].dim, &bytes)) {
            free(text);
            return NULL;
        }
        union {
            const void *c;
            void *p;
        } data = {item[i].data};
        s->part[i + 1] = (struct iovec){data.p, bytes};
        p = put_item(p, &item[i], at, at + bytes);
        at += bytes;
    }
    memcpy(p, "}", 2);
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
        s->hash = strstr(s->header + 8, NN_TENSORS_HASH "\":\"");
        s->hash += sizeof NN_TENSORS_HASH - 1 + 3;
        memset(s->header + 8 + n, ' ', padded - n);
        s->part[0] = (struct iovec){s->header, 8 + padded};
    }
    free(text);
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
    uint64_t sum = NN_SUM;
    for (size_t i = 1; i < s->parts; i++)
        sum = nn_sum(sum, s->part[i].iov_base, s->part[i].iov_len);
    for (int i = 0; i < 16; i++)
        s->hash[i] = "0123456789abcdef"[sum >> (60 - 4 * i) & 15];
    return nn_file_replace(s->path, s->tmp, s->part, s->parts, m);
}
