/* train: the training loop over an image, evaluation, checkpoints.
 *
 * The image's graphs, as front/ builds them: `init` (no input), `step` (the fields, `batch`
 * samples; outputs `loss` or `loss.NAME` …, and `lr`), `eval` (the same fields; updates
 * accumulators), `eval.tail.N` (the same for the last N samples of a split; one graph for each size
 * needed), `metrics` (no input; outputs the loss or losses, then each metric). With several data
 * sets there are `eval.a`, `eval.tail.N.a.b` … instead, each over the samples of the sets that it
 * names: of several as many as the smallest has. Inputs are found by field name.
 *
 * Sections: evaluate.c, checkpoint.c, log.c, progress.c, train.c. */
#ifndef NN_TRAIN_H
#define NN_TRAIN_H

#include "data/data.h"
#include "exec/exec.h"

#include <signal.h>

/* ---- evaluate.c ---- */
struct nn_evaluator;
struct nn_metric {
    const char *name; /* `loss`, `loss.G`, `accuracy` */
    double value;
};
/* Batches of `batch`, which is what the graph `eval` takes. Context and data must outlive it.
 * `loader` is borrowed, for batches of that size at least; NULL: one is made. */
enum nn_status nn_evaluator_open(struct nn_evaluator **ev, struct nn_exec *e,
                                 const struct nn_data *d, int64_t batch, struct nn_loader *loader,
                                 struct nn_message *m);
void nn_evaluator_close(struct nn_evaluator *ev); /* NULL is fine */
/* Whether the image can evaluate the split: it exists, and so does the graph for its last samples.
 */
enum nn_status nn_evaluator_check(const struct nn_evaluator *ev, enum nn_split split,
                                  struct nn_message *m);
/* Every sample of the split once. `stop` (may be NULL): NN_INTERRUPTED soon after it is set. */
enum nn_status nn_evaluate(struct nn_evaluator *ev, enum nn_split split,
                           const volatile sig_atomic_t *stop, struct nn_message *m);
/* The results of the last evaluation, `*n` of them. */
const struct nn_metric *nn_evaluator_metrics(const struct nn_evaluator *ev, uint32_t *n);
/* Appends `"loss":0.1,"accuracy":0.9`; losses by name become an object, `"loss":{"G":0.1,"D":0.2}`.
 */
void nn_append_metrics(char *text, size_t size, const struct nn_metric *v, uint32_t n);
/* Appends how many samples a split has: `1000 samples`, of several data sets `5 samples of a, 7 of
 * b`; as JSON `1000`, `{"a":5,"b":7}`. */
void nn_append_samples(char *text, size_t size, const struct nn_data *d, enum nn_split split,
                       bool json);

/* ---- train.c ---- */
enum nn_line {
    NN_LINE_PROGRESS, /* on a terminal the next line may replace it */
    NN_LINE_NOTE,     /* stays */
};
struct nn_train_init {  /* --init [NAME=]W.safetensors */
    const char *prefix; /* "" or "G." */
    const char *path;
};
struct nn_train_options {
    struct nn_exec *exec;
    const struct nn_data *data;
    int64_t batch;
    int64_t epochs, steps; /* the one that is > 0 says how long */
    int64_t seed;
    bool shuffle;
    int64_t evaluate, save; /* steps; 0: at the end of each epoch */
    const char *best; /* the metric to maximise, or to minimise: `accuracy`, `-loss`; NULL: -loss */
    const char *out;  /* folder, made if needed; NULL: nothing is saved */
    bool resume;      /* go on from what `out` holds; from the start if it holds no state yet */
    const struct nn_train_init *init;
    size_t inits;
    bool terminal;                     /* frequent progress lines */
    const volatile sig_atomic_t *stop; /* set: save and return; may be NULL */
    void (*line)(void *user, enum nn_line kind, const char *text); /* NULL: quiet */
    void (*first)(void *user); /* after the run's first step; may be NULL */
    void *user;
};
struct nn_train_result {
    int64_t step, epoch;              /* done */
    double loss;                      /* of the last step; of several the sum */
    double best;                      /* NaN: none yet */
    double seconds, steps_per_second; /* of this run */
};
/* Trains to the end. NN_INTERRUPTED: stopped by `stop`, the state is saved. NN_REFUSED: data, a
 * checkpoint or the loss is wrong. NN_MACHINE: disk or memory. What was saved before stays whole.
 * `r` may be NULL. */
enum nn_status nn_train(const struct nn_train_options *o, struct nn_train_result *r,
                        struct nn_message *m);

/* Makes the folder and those above it, for a run that is to come. */
enum nn_status nn_make_folder(const char *path, struct nn_message *m);

/* Steps in one epoch: whole batches of the train split. */
int64_t nn_steps_per_epoch(const struct nn_data *d, int64_t batch);

#endif
