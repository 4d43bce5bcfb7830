/* nnc: the command. One file a subcommand; commands.def is their list.
 * Sections: main.c, options.c, compile.c. */
#ifndef NNC_NNC_H
#define NNC_NNC_H

#include "back/back.h"
#include "front/front.h"
#include "program/program.h"

#define COMMAND(name, synopsis, help) int cmd_##name(int argc, char **argv);
#include "nnc/commands.def"
#undef COMMAND

/* ---- options.c: what options.def lists, each command allowing some. ---- */
struct nnc_pair { /* -D hidden=512, --input image=x.npy; name is NULL where there is no `=` */
    const char *name, *value;
};
typedef VEC(struct nnc_pair) nnc_pairs;
struct nnc_options {
#define FLAG(field, name, help) bool field;
#define STRING(field, name, arg, help) const char *field;
#define INTEGER(field, name, arg, help) int64_t field; /* -1: not given */
#define REAL(field, name, arg, help) double field;     /* -1: not given */
#define PAIRS(field, name, arg, help) nnc_pairs field;
#include "nnc/options.def"
#undef FLAG
#undef STRING
#undef INTEGER
#undef REAL
#undef PAIRS
    VEC(const char *) args;    /* what is not an option */
    VEC(const char *) include; /* -I, then the file's stdlib */
};
/* Parses; on a mistake prints it with the command's usage and exits with EXIT_USAGE. `allowed`:
 * names of options.def separated by blanks. --help prints the command's help and exits with 0.
 * `nargs`: how many arguments are wanted. */
void nnc_parse_options(struct nnc_options *o, const char *command, int argc, char **argv,
                       const char *allowed, uint32_t nargs);
void nnc_free_options(struct nnc_options *o);

/* ---- compile.c: the story of a compile. ---- */
/* The file's front, opened with the options and checked; NULL after its mistakes were printed. */
struct front *nnc_front(struct diag *d, const struct nnc_options *o);

struct nnc_compiled {
    struct diag *diag;
    struct ir_module *m;
    struct program *program;
    const struct target *target;
    const char *policy;
    struct nn_image *image; /* set by nnc_link, with the kernels' functions */
    nn_kernel **kernel;
    struct back_jit *jit;
};
/* A module with no graph yet, for the options' target. False after printing what is wrong. */
bool nnc_compile_begin(struct nnc_compiled *c, struct diag *d, const struct nnc_options *o,
                       const char *name);
/* The passes of the pipeline, in order, up to where fusion begins. */
void nnc_optimise(struct ir_graph *g);
/* passes, fusion, lowering, memory plan: the graph becomes part of the program. */
void nnc_compile_graph(struct nnc_compiled *c, struct ir_graph *g);
/* Machine code for all kernels, and the image. False after printing LLVM's complaint. */
bool nnc_link(struct nnc_compiled *c);
void nnc_compile_end(struct nnc_compiled *c);

#endif
