/* nnc: the command. One file a subcommand; commands.def is their list.
 * Sections: main.c, options.c, dims.c, timings.c, device.c, compile.c, matrices.c, budget.c,
 * session.c, arrays.c. */
#ifndef NNC_NNC_H
#define NNC_NNC_H

#include "back/back.h"
#include "front/front.h"
#include "program/program.h"
#include "train/train.h"

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

/* ---- timings.c: --timings ---- */
/* Called once, early: the processor time that is spent by then counts as the time since the process
 * began. */
void nnc_timings(bool on);
void nnc_timing(const char *what); /* on stderr, where wanted: what is done now, and when */

/* ---- compile.c: the story of a compile. ---- */
/* The file's front, opened with the options and checked; NULL after its mistakes were printed. */
struct front *nnc_front(struct diag *d, const struct nnc_options *o);

/* ---- dims.c: sizes of a model's free dims, by -D numbers and --max; the count. A mistake ends the
 * process with EXIT_USAGE. */
enum { NNC_DIMS = 32 };
uint32_t nnc_dims(const char *command, const struct nnc_options *o, struct arena *mem,
                  struct front_dim *dim);

/* Those that a run chooses become sizes that the graph's caller says. */
void nnc_sizes(struct ir_graph *g, const struct front_dim *dim, size_t dims);

/* ---- device.c: --device and --target ---- */
struct nnc_device {
    struct nn_cuda *cuda;     /* NULL: none was opened */
    struct nn_device *device; /* NULL: the CPU */
    int ordinal;
    const struct target *target; /* what to compile for */
    enum fuse_gemm gemm;
    char title[128]; /* the GPU's name; cpu */
};
/* --gemm's word, own by default; EXIT_USAGE after a message if it is none. */
int nnc_gemm(const struct nnc_options *o, enum fuse_gemm *gemm);
/* The level of --target, by default this machine's; NULL after printing the known ones. */
const struct target *nnc_target(const struct nnc_options *o);
/* The highest level (that LLVM knows) that a GPU of this compute capability (80: 8.0) runs; NULL:
 * it is too old. */
const struct target *nnc_best_level(int capability);
/* Opens the device and chooses the level. 0, or the exit status after the mistake was printed. */
int nnc_device_open(struct nnc_device *d, const struct nnc_options *o);
void nnc_device_close(struct nnc_device *d); /* all zero is fine */

struct nnc_matrix {    /* of a plan's matrices one, with what is said of it */
    struct loc at, of; /* what keeps it in memory; what makes it */
    bool gradient;     /* `at` is where that is the gradient of */
    const char *shape;
    enum fuse_reason why, untiled;
    double bytes;
};
struct nnc_compiled {
    struct diag *diag;
    struct ir_module *m;
    struct program *program;
    const struct target *target;
    const char *policy;
    enum fuse_gemm gemm;
    uint64_t budget; /* bytes; 0: none */
    bool quiet;      /* says nothing of how it was kept, nor of matrices */
    bool over;       /* where it cannot be kept, what takes least is no mistake */
    VEC(struct nnc_matrix) matrices;
    VEC(struct ir_graph *) waiting; /* with a budget: passes done, until all graphs are there */
    struct nn_image *image;         /* set by nnc_link, with the kernels' functions */
    nn_kernel **kernel;
    struct back_jit *jit;
    struct text ptx; /* for a GPU, in place of functions */
    struct nn_code code;
    struct pack_cache *cache; /* NULL: none */
    struct back_store store;
};
/* A module with no graph yet, for the target (NULL: the options'). False after printing what is
 * wrong. */
bool nnc_compile_begin(struct nnc_compiled *c, struct diag *d, const struct nnc_options *o,
                       const struct target *t, const char *name);
/* passes, fusion, lowering, memory plan: the graph becomes part of the program; with a budget it
 * waits for nnc_compile_fit. */
void nnc_compile_graph(struct nnc_compiled *c, struct ir_graph *g);
/* After the last graph: what waits is made to fit the budget. False after printing why it cannot.
 * Warnings are left in c->diag. */
bool nnc_compile_fit(struct nnc_compiled *c);
/* The graph (its passes done) and its part, fused, lowered and planned as one more of p's; without
 * `code` for its memory alone. */
void nnc_add_graph(struct nnc_compiled *c, struct program *p, struct ir_graph *g, bool code);
/* Machine code for all kernels, and the image. False after printing LLVM's complaint. */
bool nnc_link(struct nnc_compiled *c);
void nnc_compile_end(struct nnc_compiled *c);

/* ---- matrices.c: attention's matrices that are not kept out of memory ---- */
void nnc_note_matrices(struct nnc_compiled *c, const struct fuse_plan *plan);
void nnc_warn_matrices(const struct nnc_compiled *c); /* once all graphs are there */

/* ---- budget.c: --budget ---- */
/* Makes all graphs of a program, their passes done, fit c->budget together. False after printing
 * why they cannot; else says what was done, unless c->quiet. */
bool nnc_budget_fit(struct nnc_compiled *c, struct ir_graph *const *g, uint32_t n);
/* The values alive where the last graph's arena is fullest, the largest first, a line each: bytes,
 * source line, name. */
void nnc_list_holders(const struct nnc_compiled *c, const struct program *p, struct text *out);
/* 200000, 200K, 1.5GB, 64MiB. False: it is none. */
bool nnc_parse_bytes(const char *text, uint64_t *bytes);

/* ---- session.c: a compiled model, its data and an execution context, for the commands that run.
 * ---- */
struct nnc_session {
    struct diag *diag;
    struct front *front;
    const struct front_train *train;
    struct nnc_compiled c;
    struct nn_data *data;
    struct nnc_device device;
    struct nn_pool *pool; /* NULL on a GPU */
    struct nn_exec *exec;
    int64_t batch;
};
/* What a session needs of the file. */
enum nnc_need {
    NNC_TRAIN, /* the data; init, step, eval, metrics */
    NNC_EVAL,  /* the data; eval, metrics */
    NNC_GRAPH, /* no data; graphs are added by the caller, then nnc_session_run */
};
/* 0, or the exit status after the mistake was printed. */
int nnc_session_open(struct nnc_session *s, const struct nnc_options *o, enum nnc_need need);
int nnc_session_graph(struct nnc_session *s, enum front_graph which, const char *name,
                      int64_t batch, const struct front_dim *dim, size_t dims);
int nnc_session_link(struct nnc_session *s, const struct nnc_options *o); /* after NNC_GRAPH */
void nnc_session_close(struct nnc_session *s);
/* Prints `nnc: message` and gives the exit status. */
int nnc_fail(enum nn_status status, const struct nn_message *m);
/* From here on Ctrl-C (SIGINT, SIGTERM) ends the process with status 130 and a message, and removes
 * the folder (NULL: none) if it is empty. */
void nnc_catch_signals(const char *folder);
/* From here on it sets this flag, and a second one ends the process at once. */
const volatile sig_atomic_t *nnc_stop_wanted(void);

/* ---- arrays.c: weights and npy files for the commands that run one graph. ---- */
/* --weights into the slots; required where the model has parameters. 0 or the exit status. */
int nnc_wanted_weights(struct nnc_session *s, const struct nnc_options *o);
/* Whether each --input names one of these, once, or is the only one. 0 or the exit status. */
int nnc_check_inputs(const struct nnc_options *o, const char *const *names, uint32_t n);
/* The file of `--input NAME=FILE`; a lone input needs no name. NULL after printing. */
const char *nnc_input_file(const struct nnc_options *o, const char *name, bool only);
/* Makes of the file's array what the graph's input wants: of these dims, integers widened. */
int nnc_fit(const char *file, struct nn_array *a, const struct nn_value_rec *v, const int64_t *dim,
            const struct nnc_session *s);
/* Writes an output of a graph as npy. */
int nnc_write_output(const struct nnc_session *s, int graph, int output, const char *path);

#endif
