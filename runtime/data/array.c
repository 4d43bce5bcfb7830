/* Arrays in memory, schemas, and files read whole. */
#include "common.h"
#include "data/data.h"
#include "data/file.h"

#include <unistd.h>

enum nn_status nn_array_alloc(struct nn_array *a, struct nn_message *m)
{
    a->data = NULL;
    if (!nn_tensor_bytes(a->dtype, a->rank, a->dim, &a->bytes))
        return nn_fail(m, NN_REFUSED, "the shape is impossible");
    a->data = nn_alloc(NULL, a->bytes);
    return a->data ? NN_OK : nn_fail(m, NN_MACHINE, "out of memory: %zu bytes", a->bytes);
}

void nn_array_free(struct nn_array *a)
{
    nn_release(NULL, a->data, a->bytes);
    *a = (struct nn_array){0};
}

enum nn_status nn_schema_check(const struct nn_schema *s, const struct nn_array *a,
                               const char *path, struct nn_message *m)
{
    if (!s)
        return NN_OK;
    bool shape = a->rank == s->rank + 1;
    for (uint32_t i = 0; shape && i < s->rank; i++)
        shape = a->dim[i + 1] == s->dim[i];
    if (shape && nn_widens(a->dtype, s->dtype))
        return NN_OK;
    char file[256], field[256];
    nn_type_text(file, sizeof file, a->dtype, a->rank, a->dim);
    nn_type_text(field, sizeof field, s->dtype, s->rank, s->dim);
    if (shape)
        return nn_fail(m, NN_REFUSED,
                       "%s holds %s, but %s is declared %s a sample: %s does not "
                       "widen to %s",
                       path, file, s->field, field, nn_dtype_name(a->dtype),
                       nn_dtype_name(s->dtype));
    return nn_fail(m, NN_REFUSED, "%s holds %s, but %s is declared %s a sample", path, file,
                   s->field, field);
}

enum nn_status nn_bytes_read(const char *path, struct nn_array *a, struct nn_message *m)
{
    int fd;
    uint64_t size;
    *a = (struct nn_array){0};
    enum nn_status s = nn_file_open(path, &fd, &size, m);
    if (s)
        return s;
    *a = (struct nn_array){.dtype = NN_u8, .rank = 1, .dim = {(int64_t)size}};
    s = nn_array_alloc(a, m);
    if (!s)
        s = nn_file_read(fd, path, 0, a->data, a->bytes, m);
    close(fd);
    if (s)
        nn_array_free(a);
    return s;
}
