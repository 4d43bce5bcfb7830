/* nnc build: what its files share: build.c asks and compiles a model, build_kernels.c functions
 * (--kernels), build_name.c names, build_link.c links, build_write.c writes. */
#ifndef NNC_BUILD_H
#define NNC_BUILD_H

#include "nnc/nnc.h"
#include "pack/pack.h"

enum { LEVELS = 8 };

enum part {
    PART_HEADER = 1,
    PART_LIB = 2,
    PART_OBJ = 4,
    PART_ASM = 8,
    PART_LLVM = 16,
    PART_SO = 32,
    PART_PTX = 64,
    PART_CUBIN = 128,
};
struct build {
    struct nnc_options o;
    struct diag *diag;
    struct arena *mem;
    struct front *front;
    const struct front_train *train; /* NULL: inference only */
    const struct front_model *model;
    struct front_dim dim[NNC_DIMS + 1]; /* of the model: -D numbers, bounds */
    uint32_t dims;
    const char *size[NNC_DIMS]; /* those with a bound: a forward call says them, in this order */
    uint32_t sizes;
    const struct target *target[LEVELS];
    struct nnc_compiled c[LEVELS];
    struct text cubin[LEVELS]; /* of a GPU's level, where it was made */
    uint32_t levels;
    const struct target *base; /* the least of the CPU's levels; else this machine's */
    bool gpu;                  /* some target is a GPU's */
    enum fuse_gemm gemm;
    unsigned parts;
    struct nn_probe probe;
    bool probed;
    const char *prefix;
    const char *linker, *runtime;       /* of a shared library: a command, libnnrt.a; else NULL */
    const struct pack_kernels *kernels; /* --kernels; NULL: a model */
};

/* ---- build.c ---- The next of a list `a,b,c`, in the arena; NULL at its end. */
const char *build_next_word(struct arena *mem, const char **list);
int build_read_parts(struct build *b);
int build_read_targets(struct build *b);

/* ---- build_name.c ---- b->prefix: --prefix; else mlp.nn gives mlp, and where --model chooses
 * among several its name does. 0 or the exit status. */
int build_read_prefix(struct build *b);

/* ---- build_kernels.c ---- All of `nnc build --kernels`: 0 or the exit status. */
int build_kernels(struct build *b);

/* ---- build_link.c ---- For --emit so: before anything is compiled, what links, and libnnrt.a for
 * a model. 0 or the exit status. */
int build_find_linker(struct build *b);
/* Links the objects, which stand in the folder, with libnnrt inside where a model needs it; exports
 * the header's functions. */
int build_link_shared(struct build *b, const pack_files *f);

/* ---- build_write.c ---- What a result of f32 may differ by, relative to its output's largest. */
double build_tolerance(const struct build *b);
int build_write_kernels(struct build *b, const struct pack_kernels *k);

/* Writes what --emit names. 0 or the exit status, after printing why. */
int build_write(struct build *b);

#endif
