/* The training run's parts, shared by the files of this room. */
#ifndef NN_RUN_H
#define NN_RUN_H

#include "common.h"
#include "train/train.h"

/* ---- evaluate.c ---- The fields that a graph's inputs take, in the graph's order. */
struct binding {
    int graph;
    uint32_t inputs;
    uint32_t *field; /* of input i */
    const void **in; /* scratch for a run */
};
/* Finds every input among the fields and checks its type for `batch` samples. */
enum nn_status binding_open(struct binding *b, const struct nn_exec *e, const struct nn_data *d,
                            int graph, int64_t batch, struct nn_message *m);
void binding_close(struct binding *b);
/* Begins a run (nn_exec_start) on the fields' data. */
enum nn_status binding_start(struct binding *b, struct nn_exec *e, const void *const *fields,
                             struct nn_message *m);

/* The outputs of a graph that are named `loss` or `loss.…`, then the others but `lr`. */
struct values {
    uint32_t n, losses;
    struct nn_metric *v; /* names are the image's */
    int *output;
};
enum nn_status values_open(struct values *v, const struct nn_exec *e, int graph,
                           struct nn_message *m);
void values_close(struct values *v);
void values_read(struct values *v, const struct nn_exec *e, int graph);
double values_loss(const struct values *v); /* the sum of the losses */

/* ---- log.c ---- log.jsonl: one object a line, written at once. */
struct log {
    int fd; /* -1: none */
    char *path, *text;
    size_t size;
    bool first; /* no member yet */
};
/* Opens the file as it is and locks it against other runs. */
enum nn_status log_open(struct log *l, const char *path, struct nn_message *m);
/* For a new run: what is there is set aside. */
enum nn_status log_renew(struct log *l, struct nn_message *m);
/* For a run that goes on after `step`: drops the lines that it will write again. */
enum nn_status log_resume(struct log *l, int64_t step, bool evaluated, struct nn_message *m);
void log_close(struct log *l);
void log_begin(struct log *l, const char *event);
void log_int(struct log *l, const char *key, int64_t v);
void log_number(struct log *l, const char *key, double v);
/* key NULL: the members stand in the line's own object. Losses by name become an object. */
void log_values(struct log *l, const char *key, const struct nn_metric *v, uint32_t n);
enum nn_status log_end(struct log *l, struct nn_message *m);
enum nn_status log_sync(struct log *l, struct nn_message *m);

/* ---- checkpoint.c ---- What a run must know to go on, beside the slots. */
struct position {
    int64_t step;
    int64_t evaluated; /* the last step whose evaluation is done */
    int64_t best_step;
    double best;        /* NaN: none yet */
    int64_t loss_count; /* steps in this epoch */
    double *loss_sum;   /* of this epoch, one a loss */
    int64_t losses;
    /* must be the same in the run that goes on */
    int64_t seed, batch, samples, shuffle;
};
struct checkpoints {
    struct nn_saver *last, *best, *state;
    char *path[3]; /* last, best, state */
    struct position *at;
};
enum nn_status checkpoints_open(struct checkpoints *c, struct nn_exec *e, struct position *p,
                                const char *out, struct nn_message *m);
void checkpoints_close(struct checkpoints *c);
/* For a new run: what an older one left is set aside. */
enum nn_status checkpoints_renew(struct checkpoints *c, struct nn_message *m);
enum nn_status checkpoints_save_best(struct checkpoints *c, struct nn_message *m);
/* First the weights, then the state: a state never speaks of weights that are not on the disk. */
enum nn_status checkpoints_save(struct checkpoints *c, struct nn_message *m);
bool checkpoints_exist(const struct checkpoints *c);
/* Slots and position from the state file. */
enum nn_status checkpoints_load(struct checkpoints *c, struct nn_exec *e, struct position *p,
                                struct nn_message *m);
/* After loading: `last` is written anew if it is missing; a missing `best` is forgotten, and the
 * next evaluation's is kept. */
enum nn_status checkpoints_complete(struct checkpoints *c, struct nn_message *m);
/* `DIR/NAME`, heap memory or NULL. */
char *path_in(const char *dir, const char *name);
/* Renames the file, if it exists, to `PATH.old`. */
enum nn_status set_aside(const char *path, struct nn_message *m);

/* ---- progress.c ---- */
struct progress {
    const struct nn_train_options *o;
    int64_t first, total, per_epoch; /* steps */
    double started, shown, stepped;  /* when; stepped: the last step ended */
    double paused;                   /* seconds spent evaluating and saving */
    double loss;                     /* smoothed */
    bool has_loss;
    char metric[80]; /* "  test accuracy 0.9760", of the last evaluation */
};
void progress_start(struct progress *p, const struct nn_train_options *o, int64_t first,
                    int64_t total, int64_t per_epoch);
void progress_step(struct progress *p, int64_t step, double loss);
/* After an epoch or an evaluation. `split` NULL: no evaluation. */
void progress_epoch(struct progress *p, int64_t step, double loss, const char *split,
                    const struct nn_metric *v, uint32_t n);
double progress_rate(const struct progress *p, int64_t step); /* steps a second */

#endif
