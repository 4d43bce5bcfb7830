/* data: files of tensors, and data sets made of them.
 * Readers trust no byte of a file: they refuse with a message that names it. Shapes are checked
 * before memory is taken, and no more is taken than the file can hold. Sections: array.c, idx.c,
 * npy.c, tensors.c and saver.c (safetensors), dataset.c, order.c, loader.c. */
#ifndef NN_DATA_H
#define NN_DATA_H

#include "nnrt.h"
#include <stdbool.h>

/* ---- array.c ---- A dense, row-major tensor in memory of its own. */
struct nn_array {
    enum nn_dtype dtype;
    uint32_t rank;
    int64_t dim[NN_MAX_RANK];
    size_t bytes;
    void *data; /* 64-byte aligned */
};
/* What a file must hold, checked before its contents are read. */
struct nn_schema {
    enum nn_dtype dtype; /* the file's may be a narrower integer */
    uint32_t rank;       /* of one sample; the file has one axis more, in front */
    const int64_t *dim;
    const char *field; /* for messages */
};
/* Memory for the array's dtype and dims. */
enum nn_status nn_array_alloc(struct nn_array *a, struct nn_message *m);
void nn_array_free(struct nn_array *a); /* an array of zeros is fine */
/* Whether an array of this type fits the schema (NULL: always). */
enum nn_status nn_schema_check(const struct nn_schema *s, const struct nn_array *a,
                               const char *path, struct nn_message *m);

/* ---- idx.c ---- The format of MNIST; gzip is recognised by its first bytes. i16 becomes i32. */
enum nn_status nn_idx_read(const char *path, const struct nn_schema *s, struct nn_array *a,
                           struct nn_message *m);
/* ---- npy.c ---- Versions 1 to 3, C order, either byte order. bool, i1, u1, i2, u2 (as i32), i4,
 * u4 (as i64), i8, f2, f4, f8, and bf16 as 2-byte void (`|V2`), as ml_dtypes writes it. */
enum nn_status nn_npy_read(const char *path, const struct nn_schema *s, struct nn_array *a,
                           struct nn_message *m);
/* Written beside and renamed, so that the path never holds half a file. */
enum nn_status nn_npy_write(const char *path, enum nn_dtype t, uint32_t rank, const int64_t *dim,
                            const void *data, struct nn_message *m);
/* A file's bytes as u8[n]. */
enum nn_status nn_bytes_read(const char *path, struct nn_array *a, struct nn_message *m);

/* ---- tensors.c: reading safetensors ---- */
struct nn_tensor {
    const char *name;
    enum nn_dtype dtype;
    uint32_t rank;
    int64_t dim[NN_MAX_RANK];
    size_t bytes;
    uint64_t offset; /* in the file */
};
struct nn_tensors; /* an open file */
/* In the header's __metadata__: 16 hexadecimal digits, nn_sum over the tensors as they lie, each
 * begun at eight bytes. The saver writes it; opening a file that has it reads all of it once. */
#define NN_TENSORS_HASH "nnc.hash"
enum nn_status nn_tensors_open(struct nn_tensors **t, const char *path, struct nn_message *m);
void nn_tensors_close(struct nn_tensors *t); /* NULL is fine */
uint32_t nn_tensors_count(const struct nn_tensors *t);
const struct nn_tensor *nn_tensors_at(const struct nn_tensors *t, uint32_t i); /* by name */
const struct nn_tensor *nn_tensors_find(const struct nn_tensors *t, const char *name);
/* The tensor's contents as they stand into `out`, of x->bytes bytes. */
enum nn_status nn_tensors_read(struct nn_tensors *t, const struct nn_tensor *x, void *out,
                               struct nn_message *m);

/* ---- saver.c: writing safetensors, again and again, the same tensors, without allocating ---- */
struct nn_save_item {
    const char *name;
    enum nn_dtype dtype;
    uint32_t rank;
    const int64_t *dim;
    const void *data; /* read at each write */
};
struct nn_saver;
/* `format` becomes the header's __metadata__ "format" ("pt": what PyTorch's tools look for). Names
 * must be distinct. Everything but the items' data is copied. */
enum nn_status nn_saver_open(struct nn_saver **s, const char *path, const char *format,
                             const struct nn_save_item *item, size_t items, struct nn_message *m);
void nn_saver_close(struct nn_saver *s); /* NULL is fine */
/* Writes `path.tmp`, syncs it, renames it to `path`, syncs the folder. On failure what `path` held
 * is untouched and the temporary file is gone. */
enum nn_status nn_saver_write(struct nn_saver *s, struct nn_message *m);

/* ---- order.c ---- A permutation of 0..n that needs no memory: where position i of the order `key`
 * comes from. A pure function of its arguments, on every machine. */
int64_t nn_order(uint64_t key, int64_t n, int64_t i);

/* ---- dataset.c ---- */
enum nn_source_kind { NN_SOURCE_IDX, NN_SOURCE_NPY, NN_SOURCE_BYTES };
struct nn_source {
    enum nn_source_kind kind;
    const char *file; /* NULL: none; relative to the data set's folder */
    bool windows;     /* a sample is a run of the stream, as long as the field's first dim */
    int64_t stride;   /* of windows; 0: the window's length */
};
enum nn_split { NN_TRAIN, NN_TEST, NN_VALID, NN_SPLITS };
const char *nn_split_name(enum nn_split s);
struct nn_field {
    const char *name; /* `image`; `a.image` belongs to the data set `a` of several */
    enum nn_dtype dtype;
    uint32_t rank;
    int64_t dim[NN_MAX_RANK]; /* one sample's */
    int64_t limit;            /* integers must be in [0, limit); 0: unchecked */
    bool spares;              /* or be `spare` */
    int64_t spare;
    struct nn_source source[NN_SPLITS];
    /* Shares of the training file that become test and valid, 0 for none: a fixed draw, whatever
     * the seed; of a stream its end, whose windows then do not overlap. */
    double share[NN_SPLITS]; /* [NN_TRAIN] is not read */
};
struct nn_data_options {
    const char *dir; /* NULL: the working folder */
    const struct nn_field *field;
    uint32_t fields;
};
struct nn_data;
/* Reads all files, checks them against the fields and each other, and every limited integer. */
enum nn_status nn_data_open(struct nn_data **d, const struct nn_data_options *o,
                            struct nn_message *m);
void nn_data_close(struct nn_data *d); /* NULL is fine */
/* Samples of a split; 0 if the split does not exist. With several data sets the fewest of them. */
int64_t nn_data_count(const struct nn_data *d, enum nn_split s);
uint32_t nn_data_fields(const struct nn_data *d);
const struct nn_field *nn_data_field(const struct nn_data *d, uint32_t i);
/* Samples of a split in the field's own data set. */
int64_t nn_data_field_count(const struct nn_data *d, uint32_t field, enum nn_split s);
int nn_data_find(const struct nn_data *d, const char *name); /* a field's number, or -1 */
size_t nn_data_sample_bytes(const struct nn_data *d, uint32_t field);
/* The order in which a split is walked. */
struct nn_walk {
    enum nn_split split;
    bool shuffle;
    uint64_t seed;
    int64_t epoch; /* another order each */
};
/* Samples first .. first+n of the walk into `out`, widened to the field's dtype. */
void nn_data_gather(const struct nn_data *d, uint32_t field, const struct nn_walk *w, int64_t first,
                    int64_t n, void *out);

/* ---- loader.c ---- A thread that gathers batches ahead into two sets of buffers. */
struct nn_loader;
/* For batches of at most `batch` samples. The data must outlive the loader. */
enum nn_status nn_loader_open(struct nn_loader **l, const struct nn_data *d, int64_t batch,
                              struct nn_message *m);
void nn_loader_close(struct nn_loader *l); /* NULL is fine */
/* Begins a walk: batches of the opened size from batch number `first` on, `batches` in all counted
 * from 0; then, if `epochs`, on through the next epoch, without end. With `tail` > 0 one more batch
 * of so many samples follows. What was gathered ahead is dropped. */
struct nn_plan {
    struct nn_walk walk;
    const bool *field; /* one flag each: those to gather; NULL: all. Copied at the start */
    int64_t first, batches, tail;
    bool epochs;
};
void nn_loader_start(struct nn_loader *l, const struct nn_plan *p);
/* The next batch: one pointer a field, valid until the next call. NULL after the last. */
const void *const *nn_loader_next(struct nn_loader *l);

#endif
