/* pack: a compiled model as a C library: header, objects, archive; and the compile cache.
 * Sections: api.c (the functions, described once for the header and for the object), header.c,
 * object.c, code.c, kernels.c (functions without a model), kernels_header.c, archive.c, cache.c. */
#ifndef NNC_PACK_H
#define NNC_PACK_H

#include "back/back.h"
#include "model/probe.h"

struct pack_level {
    const struct target *target;
    const struct nn_image
        *image; /* graphs init, step, eval, eval.1, metrics; forward and its variants */
    struct lo_kernel *const *kernel;
    size_t kernels;
    const struct text *code;  /* of a GPU: PTX for the image's kernels, under their names */
    const struct text *cubin; /* and the same as machine code; n 0: there is none */
    uint64_t peak;            /* of a model: bytes that a context takes */
};
struct pack_model {
    const char *name;   /* MLP */
    const char *part;   /* "G.": one of several models in files of weights; NULL: the only one */
    const char *prefix; /* mlp: of the functions and files */
    const char *source; /* mlp.nn */
    const char *version;
    int64_t batch, epochs, steps, seed; /* batch 0: inference only */
    const struct pack_level *level;     /* the CPU's, the best first; then GPUs'; at least one */
    uint32_t levels;
    const struct target *base;    /* the processor that the functions are for */
    const struct nn_probe *probe; /* NULL: no self-test */
    double tolerance;
    bool hash_code; /* of the CPU's levels; see code.c */
};

/* ---- api.c ---- The library's functions: how they are declared, and what they call. */
struct pack_function {
    const char *suffix; /* train_step, of mlp_train_step */
    const char *doc;    /* the comment's text, lines separated by \n */
    const char *result; /* enum nn_status */
    const char *params; /* struct mlp *ctx, … */
    const char *letters;
    char letter; /* of params and result: see back_object_call */
    const char *callee;
    struct back_arg arg[8];
    uint32_t args;
};
typedef VEC(struct pack_function) pack_functions;
void pack_api(const struct pack_model *m, struct arena *mem, pack_functions *out);
/* A name that C and C++ take: `a.b` becomes a_b, `class` becomes class_. */
const char *pack_identifier(struct arena *mem, const char *name);
const char *pack_ctype(enum nn_dtype t);
/* A graph of an image by name; NULL if there is none. */
const struct nn_graph_rec *pack_graph(const struct nn_image *i, const char *name);
/* Whether the step's output is one of the losses, which the caller gets. */
bool pack_is_loss(const char *output);

/* ---- header.c ---- */
void pack_header(const struct pack_model *m, struct text *out);
const char *pack_upper(struct arena *mem, const char *s); /* for constants: MLP */
/* `left(params);`, broken between parameters where a line would be too long. */
void pack_prototype(struct text *out, const char *left, const char *params, const char *end);

/* ---- object.c ---- A level's kernels, named for the library; then the tables and functions. */
struct pack_file {
    const char *name; /* mlp.x86-64-v3.o */
    struct text bytes;
    const char *const *symbol; /* that it defines, for the archive's index */
    size_t symbols;
};
typedef VEC(struct pack_file) pack_files;
/* False: LLVM refused, *message says why (heap). Names and symbols live in `mem`. */
bool pack_objects(const struct pack_model *m, enum back_form form, struct arena *mem,
                  pack_files *out, char **message);
void pack_free(pack_files *f);
const char *pack_extension(enum back_form form); /* ll, s, o */

/* ---- code.c ---- What a level's object holds of code, for its hash. */
struct pack_code {
    const char *symbol; /* a function in it, NULL: no hash can be told */
    uint64_t symbol_at, bytes, hash;
    const uint32_t *skip; /* offsets of what a linker fills in, NN_CODE_SKIP bytes each */
    size_t skips;
};
void pack_read_code(const struct text *object, const char *symbol, struct arena *mem,
                    struct pack_code *out);

/* ---- kernels.c, kernels_header.c ---- Exported functions without a model: each a graph of the
 * levels' images, called on the CPU and launched on a GPU with nothing of the runtime. */
struct pack_value {
    const char *name; /* in C */
    const char *of;   /* the graph's input or output */
    enum nn_dtype dtype;
    uint32_t rank;
    int64_t dim[NN_MAX_RANK];
};
struct pack_export {
    const char *name;  /* in C: softmax, softmax_grad */
    const char *graph; /* in the images */
    const char *doc;   /* of the source; NULL */
    const char
        *about; /* a line of what it is, beside its shapes: "the gradient of softmax"; NULL */
    uint32_t inputs, values;
    const struct pack_value *value; /* inputs, then outputs */
};
struct pack_kernels {
    const char *prefix; /* of the files, and of what belongs to none of the functions */
    const char *source, *version;
    uint32_t n;
    const struct pack_export *fn;
    const struct pack_level *cpu, *gpu; /* NULL: not for one */
    const struct target *base;          /* the object's processor */
};
/* Before the levels' kernels become code: their traps tell the line in the source. */
void pack_kernels_prepare(const struct pack_kernels *k);
/* The names of the GPU's entries: softmax, or softmax_0, … where it takes several launches. In
 * `mem`, by kernel and phase. */
const char *const *const *pack_entries(const struct pack_kernels *k, struct arena *mem);
bool pack_kernels_objects(const struct pack_kernels *k, enum back_form form, struct arena *mem,
                          pack_files *out, char **message);
void pack_kernels_header(const struct pack_kernels *k, struct text *out);
/* Every symbol of the library, to find two alike. */
typedef VEC(const char *) pack_names;
void pack_kernels_names(const struct pack_kernels *k, struct arena *mem, pack_names *out);
/* Whether a launch of the graph may leave a fault. */
bool pack_faults(const struct pack_level *l, const struct nn_graph_rec *g);

/* ---- archive.c ---- Static library of the files, with its index. */
void pack_archive(const struct pack_file *file, size_t n, struct text *out);

/* ---- cache.c ---- Machine code from earlier runs, in $NNC_CACHE, else $XDG_CACHE_HOME/nnc, else
 * ~/.cache/nnc. NULL: there is no such folder, others may write to it, or NNC_CACHE is `off`. */
struct pack_cache;
/* `version`: what beside the program itself decides about code. `limit`: bytes of all entries. */
struct pack_cache *pack_cache_open(const char *version, uint64_t limit);
void pack_cache_close(struct pack_cache *c); /* NULL is fine */
/* Appends the entry to `out`; false if there is none. As a back_store's functions. */
bool pack_cache_find(void *cache, const uint64_t key[2], struct text *out);
void pack_cache_keep(void *cache, const uint64_t key[2], const void *p, size_t n);

#endif
