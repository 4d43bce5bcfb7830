/* front: from source text to graphs. Sections: tree.h (what the grammar builds), names, types and
 * dims, elaboration. All mistakes go to diag; a function that returns false or NULL has reported.
 */
#ifndef NNC_FRONT_H
#define NNC_FRONT_H

#include "ir/ir.h"

struct front_define { /* -D k=v */
    const char *name, *value;
};
struct front_options {
    const char *const *include; /* -I folders, then the stdlib's */
    size_t include_count;
    const struct front_define *define;
    size_t define_count;
    const char *model;           /* --model NAME, or NULL */
    int64_t batch;               /* --batch, or 0 */
    int64_t epochs, steps, seed; /* --epochs --steps --seed, or -1 */
};
struct front;
/* Parses the file and what it uses. NULL if a file cannot be read or parsed. */
struct front *front_open(struct diag *d, const char *path, const struct front_options *o);
void front_close(struct front *f);
/* Checks everything, for all sizes: every function, layer and model where used, the train block. */
bool front_check(struct front *f);
/* Warns of models that it left out, for want of a configuration's value. */
void front_warn_unchecked(struct front *f);

/* What the train block and its dataset say; owned by the front. */
enum front_source { FRONT_IDX, FRONT_NPY, FRONT_BYTES, FRONT_CSV, FRONT_IMAGES, FRONT_FOLDERS };
struct front_file {
    enum front_source source;
    const char *file; /* as written */
    bool windows;
    int64_t stride;    /* windows; 0: the window's own length */
    uint32_t ncolumns; /* csv: `ncolumns` names, or from `column_first` on where there are none */
    int64_t column_first;
    const char *const *column_names;
    const char *fit; /* images: "crop"; NULL */
    struct loc at;
};
struct front_field {
    const char *name; /* image; a.image where a train block has several datasets */
    const char *own;  /* image */
    enum nn_dtype dtype;
    uint32_t rank;
    int64_t dim[NN_MAX_RANK]; /* one sample's */
    int64_t limit;            /* exclusive bound of integers that index or label; 0 none */
    bool spares;              /* `spare` may be among them: the model leaves it out */
    int64_t spare;
    struct front_file train, test, valid; /* test.file, valid.file: NULL if none */
    double test_share, valid_share;       /* of the train file; 0: none */
    uint32_t set;                         /* its dataset's number */
    struct loc at;
};
struct front_train {
    bool present;
    struct loc at;
    int64_t batch, epochs, steps; /* epochs or steps: -1 where the other is given */
    int64_t seed;
    bool shuffle;
    int64_t evaluate, save; /* steps; 0: each epoch */
    const char *best;       /* a metric's name, "-loss", or NULL */
    struct loc best_at;
    const char *precision; /* "bf16", …; NULL: f32 */
    struct loc precision_at;
    int64_t accumulate;
    uint32_t nfields, nsets, nlosses, nmetrics, ninstances;
    const struct front_field *field;
    const char *const *set;      /* names of the datasets: `on a, b` */
    const char *const *metric;   /* names, in order; "loss" is not among them */
    const char *const *instance; /* one name each of the models trained: `train G, D` */
    bool named_losses;           /* loss[G], loss[D]: outputs loss.G, loss.D; else loss */
};
const struct front_train *front_train(struct front *f);
/* Whether the train block trains a model declared or named so. */
bool front_trains(struct front *f, const char *model);

/* Graphs. Each is added to the module under its name; all share the module's slots (params, states,
 * optimiser states, acc, and sys slots named step, steps, steps_per_epoch, seed).
 *   init     no input; an update for every param, state and opt slot. Reads seed.
 *   step     inputs: the fields with `batch` in front. Outputs loss (loss.G …), lr. Updates
 * everything trained, states, and step <- step + 1. Has grad nodes: run pass gradient. eval inputs:
 * the fields, batch of `batch`. training = false. Updates the acc slots. metrics  no input; outputs
 * loss, then each metric, from the acc slots. grad     inputs as step. Outputs loss; output or
 * output.0 …, of the models behind the first NAME.output …; grad.NAME for each param; state.NAME
 * for each state after the step. No updates. training unless `eval`. forward  inputs: the model's
 * own, each free dim from `dim`. Outputs: output or output.0, …; the names that the result type
 * gives are kept as output.NAME. */
struct front_dim { /* a model's free dim */
    const char *name;
    int64_t n;
    bool live;     /* n is the most that it may be: a run chooses, by the slot dim.NAME */
    int64_t parts; /* 2 or more: live samples, of which runs take so many parts of at most n: the
                    * slot first.NAME says where each begins, and random numbers are those of all */
};
enum front_graph {
    FRONT_INIT,
    FRONT_STEP,
    FRONT_EVAL,
    FRONT_METRICS,
    FRONT_GRAD,
    FRONT_GRAD_EVAL,
    FRONT_FORWARD
};
/* `name`: the graph's (eval, eval.tail). `batch`: of step, eval, grad; 0: the train block's. */
struct ir_graph *front_build(struct front *f, struct ir_module *m, enum front_graph which,
                             const char *name, int64_t batch, const struct front_dim *dim,
                             size_t dims);

/* With several datasets a loss or metric is measured over the samples of those that it reads: of
 * one all of them, of more as many as the smallest has. Which combinations there are, bit by
 * dataset; NULL after a report. */
const uint64_t *front_eval_sets(struct front *f, uint32_t *n);
/* FRONT_EVAL of what reads exactly these datasets. */
struct ir_graph *front_build_eval(struct front *f, struct ir_module *m, const char *name,
                                  int64_t batch, uint64_t sets);

/* Exported functions, for `nnc build --kernels`: those of the file itself, in its order. */
struct tree_decl;
struct front_export {
    const char *name, *doc; /* doc: its `##` lines; NULL */
    struct loc at;
    const struct tree_decl *decl;
};
const struct front_export *front_exports(struct front *f, uint32_t *n);
/* Its graph, sizes and configuration as -D says. Inputs: its tensors. Outputs: out, or of a tuple
 * out.0, … or the names in its type. With `gradient` the inputs are followed by a cotangent for
 * each output of float dtype (d_out, d_NAME), and the outputs are d_NAME for each input of float
 * dtype: grad nodes. The first `own` definitions of -D must mean something to this function. NULL
 * after a report; after a mere warning, where there is no gradient. */
struct ir_graph *front_build_export(struct front *f, struct ir_module *m,
                                    const struct front_export *x, const char *name, size_t own,
                                    bool gradient);

/* A model's signature, for `nnc run`: inputs with symbolic dims. */
struct front_param {
    const char *name;
    enum nn_dtype dtype; /* NN_DTYPE_COUNT: generic */
    uint32_t rank;
    const char *dim[NN_MAX_RANK]; /* text: "28", "batch", "8*h" */
};
struct front_model {
    const char *name;
    uint32_t ninputs;
    const struct front_param *input;
};
const struct front_model *front_model(struct front *f);
/* Solves the model's free dims from concrete input shapes; reports what does not fit. */
bool front_solve(struct front *f, const int64_t *const *shape, const uint32_t *rank,
                 struct front_dim *dim, size_t *dims /* in: capacity */);

/* Whether the model's outputs are one sample behind the other along the free dim `name` (of which
 * `dim` has two or more), each computed from its own: then a run may go in parts. Where not, why is
 * reported if wanted. */
bool front_apart(struct front *f, const char *name, const struct front_dim *dim, size_t dims,
                 bool report);

#endif
