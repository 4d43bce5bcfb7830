/* The loop. After each step: its line in the log; if due, an evaluation (and the epoch's line); if
 * due, a save. What the run has to remember is in `position` and the slots, so that going on from a
 * saved state repeats what an unbroken run does, bit for bit. */
#include "train/run.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run {
    const struct nn_train_options *o;
    struct nn_exec *e;
    int64_t per_epoch, total; /* steps */
    struct binding step;
    struct values loss;     /* the step's outputs */
    struct nn_metric *mean; /* the epoch's mean losses */
    int lr;                 /* output, or -1 */
    struct nn_loader *loader;
    struct nn_evaluator *eval; /* NULL: no test or valid split */
    enum nn_split judge;       /* the split whose metric chooses the best */
    const char *best_name;
    double best_sign;
    struct position at; /* of the steps that are done */
    int64_t begun;      /* steps: a device may be ahead of what is done */
    bool stepped;       /* a step of this run is done */
    struct checkpoints files;
    struct log log;
    struct progress progress;
    double started, epoch_started;
};

int64_t nn_steps_per_epoch(const struct nn_data *d, int64_t batch)
{
    return batch > 0 ? nn_data_count(d, NN_TRAIN) / batch : 0;
}

/* ---- opening ---- */

static enum nn_status check_options(struct run *r, struct nn_message *m)
{
    const struct nn_train_options *o = r->o;
    r->per_epoch = nn_steps_per_epoch(o->data, o->batch);
    if (o->batch <= 0)
        return nn_fail(m, NN_REFUSED, "the batch is %lld", (long long)o->batch);
    if (!r->per_epoch)
        return nn_fail(m, NN_REFUSED,
                       "the training split has %lld samples, fewer than one batch of %lld",
                       (long long)nn_data_count(o->data, NN_TRAIN), (long long)o->batch);
    if (o->steps <= 0 && o->epochs <= 0)
        return nn_fail(m, NN_REFUSED, "neither epochs nor steps are given");
    const int64_t most = (int64_t)1 << 40;
    if (o->steps > most || (o->steps <= 0 && o->epochs > most / r->per_epoch))
        return nn_fail(m, NN_REFUSED, "the training would take too many steps");
    r->total = o->steps > 0 ? o->steps : o->epochs * r->per_epoch;
    return NN_OK;
}

static enum nn_status open_step(struct run *r, struct nn_message *m)
{
    int step = nn_exec_graph(r->e, "step");
    if (step < 0 || nn_exec_graph(r->e, "init") < 0)
        return nn_fail(m, NN_USAGE, "the image has no graphs `init` and `step`");
    enum nn_status s = binding_open(&r->step, r->e, r->o->data, step, r->o->batch, m);
    if (!s)
        s = values_open(&r->loss, r->e, step, m);
    if (s)
        return s;
    r->loss.n = r->loss.losses; /* other outputs of the step are not logged */
    if (!r->loss.n)
        return nn_fail(m, NN_USAGE, "the graph `step` has no output `loss`");
    r->lr = nn_exec_find_output(r->e, step, "lr");
    r->at.losses = r->loss.n;
    r->at.loss_sum = calloc(r->loss.n, sizeof(double));
    r->mean = calloc(r->loss.n, sizeof *r->mean);
    if (!r->at.loss_sum || !r->mean)
        return nn_fail(m, NN_MACHINE, "out of memory");
    for (uint32_t i = 0; i < r->loss.n; i++)
        r->mean[i].name = r->loss.v[i].name;
    return NN_OK;
}

NN_PRINTF(2, 3) static void note(const struct run *r, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (r->o->line)
        r->o->line(r->o->user, NN_LINE_NOTE, text);
}

/* Where data sets differ in length, what that means for the figures. */
static void note_lengths(const struct run *r, enum nn_split k)
{
    const struct nn_data *d = r->o->data;
    char text[1024] = "";
    bool differ = false;
    for (uint32_t i = 0; i < nn_data_fields(d); i++)
        differ |= nn_data_field_count(d, i, k) != nn_data_count(d, k);
    nn_append_samples(text, sizeof text, d, k, false);
    if (differ)
        note(r, "%s: %s; what reads several is measured on the first %lld", nn_split_name(k), text,
             (long long)nn_data_count(d, k));
}

static double metric(const struct nn_metric *v, uint32_t n, const char *name)
{
    double sum = 0;
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(v[i].name, name) ||
            (!strcmp(name, "loss") && !strncmp(v[i].name, "loss.", 5))) {
            sum += v[i].value;
            found++;
        }
    return found ? sum : NAN;
}

static bool has_metric(const struct nn_metric *v, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(v[i].name, name) || (!strcmp(name, "loss") && !strncmp(v[i].name, "loss.", 5)))
            return true;
    return false;
}

static enum nn_status open_evaluation(struct run *r, struct nn_message *m)
{
    const struct nn_train_options *o = r->o;
    const char *best = o->best ? o->best : "-loss";
    r->best_sign = best[0] == '-' ? -1 : 1;
    r->best_name = best + (best[0] == '-');
    r->judge = nn_data_count(o->data, NN_VALID) ? NN_VALID : NN_TEST;
    uint32_t n = r->loss.n;
    const struct nn_metric *v = r->loss.v;
    if (nn_data_count(o->data, r->judge)) {
        enum nn_status s = nn_evaluator_open(&r->eval, r->e, o->data, o->batch, r->loader, m);
        for (enum nn_split k = NN_TEST; !s && k < NN_SPLITS; k++)
            if (nn_data_count(o->data, k)) {
                note_lengths(r, k);
                s = nn_evaluator_check(r->eval, k, m);
            }
        if (s)
            return s;
        v = nn_evaluator_metrics(r->eval, &n);
    }
    if (has_metric(v, n, r->best_name))
        return NN_OK;
    return nn_fail(m, NN_REFUSED, "best = \"%s\": there is no metric %s%s", best, r->best_name,
                   r->eval ? "" : " without a test or valid split");
}

static enum nn_status open_files(struct run *r, struct nn_message *m)
{
    const char *out = r->o->out;
    if (!out)
        return NN_OK;
    enum nn_status s = nn_make_folder(out, m);
    char *path = path_in(out, "log.jsonl");
    if (!s && !path)
        s = nn_fail(m, NN_MACHINE, "out of memory");
    if (!s)
        s = log_open(&r->log, path, m);
    free(path);
    return s ? s : checkpoints_open(&r->files, r->e, &r->at, out, m);
}

/* The slots that the runtime owns; a model that reads none of them has none. */
static void set_system_slots(struct run *r)
{
    nn_exec_set_scalar(r->e, "steps", (double)r->total);
    nn_exec_set_scalar(r->e, "steps_per_epoch", (double)r->per_epoch);
    int seed = nn_exec_find_slot(r->e, "seed");
    if (seed >= 0 && nn_exec_slot_rec(r->e, seed)->dtype == NN_i64)
        nn_exec_set_i64(r->e, seed, r->o->seed);
}

static enum nn_status begin_anew(struct run *r, struct nn_message *m)
{
    const struct nn_train_options *o = r->o;
    nn_exec_set_scalar(r->e, "step", 0);
    set_system_slots(r);
    enum nn_status s = nn_exec_run(r->e, nn_exec_graph(r->e, "init"), NULL, m);
    for (size_t i = 0; !s && i < o->inits; i++)
        s = nn_weights_load(r->e, o->init[i].path, o->init[i].prefix, m);
    if (!s && o->out)
        s = checkpoints_renew(&r->files, m);
    if (!s && o->out && o->resume) {
        note(r, "%s holds no state yet: starting from the beginning", o->out);
        return log_resume(&r->log, -1, false, m);
    }
    return !s && o->out ? log_renew(&r->log, m) : s;
}

static enum nn_status go_on(struct run *r, struct nn_message *m)
{
    enum nn_status s = checkpoints_load(&r->files, r->e, &r->at, m);
    bool has_best = !isnan(r->at.best);
    if (!s)
        s = checkpoints_complete(&r->files, m);
    if (s)
        return s;
    if (has_best && isnan(r->at.best))
        note(r, "%s is gone: the next evaluation's weights are kept as the best", r->files.path[1]);
    nn_exec_set_scalar(r->e, "step", (double)r->at.step);
    set_system_slots(r);
    note(r, "going on after step %lld of %lld", (long long)r->at.step, (long long)r->total);
    return log_resume(&r->log, r->at.step, r->at.evaluated == r->at.step, m);
}

static enum nn_status open_run(struct run *r, struct nn_message *m)
{
    const struct nn_train_options *o = r->o;
    r->at = (struct position){.best = NAN,
                              .seed = o->seed,
                              .batch = o->batch,
                              .samples = nn_data_count(o->data, NN_TRAIN),
                              .shuffle = o->shuffle};
    if (o->resume && !o->out)
        return nn_fail(m, NN_USAGE, "to go on, the run's folder must be named");
    enum nn_status s = check_options(r, m);
    if (!s)
        s = open_step(r, m);
    if (!s)
        s = nn_loader_open(&r->loader, o->data, o->batch, m);
    if (!s)
        s = open_evaluation(r, m);
    if (!s)
        s = open_files(r, m);
    if (s)
        return s;
    return o->resume && checkpoints_exist(&r->files) ? go_on(r, m) : begin_anew(r, m);
}

static void close_run(struct run *r)
{
    binding_close(&r->step);
    values_close(&r->loss);
    nn_evaluator_close(r->eval);
    nn_loader_close(r->loader);
    checkpoints_close(&r->files);
    log_close(&r->log);
    free(r->at.loss_sum);
    free(r->mean);
}

/* ---- after a step ---- */

static bool epoch_ends(const struct run *r)
{
    return r->at.step % r->per_epoch == 0 || r->at.step == r->total;
}

static bool due(const struct run *r, int64_t every)
{
    if (r->at.step == r->total)
        return true;
    return every > 0 ? r->at.step % every == 0 : r->at.step % r->per_epoch == 0;
}

static int64_t epoch_of(const struct run *r)
{
    return r->at.step ? (r->at.step - 1) / r->per_epoch + 1 : 0;
}

/* Since then, in whole milliseconds. */
static void log_seconds(struct run *r, double since)
{
    log_number(&r->log, "seconds", round((nn_now() - since) * 1e3) / 1e3);
}

static enum nn_status log_step(struct run *r, struct nn_message *m)
{
    log_begin(&r->log, "step");
    log_int(&r->log, "step", r->at.step);
    log_int(&r->log, "epoch", epoch_of(r));
    log_values(&r->log, NULL, r->loss.v, r->loss.n);
    if (r->lr >= 0) {
        const struct nn_value_rec *o = nn_exec_outputs(r->e, r->step.graph) + r->lr;
        log_number(&r->log, "lr",
                   nn_get((enum nn_dtype)o->dtype, nn_exec_output(r->e, r->step.graph, r->lr), 0));
    }
    return log_end(&r->log, m);
}

static enum nn_status check_loss(const struct run *r, struct nn_message *m)
{
    for (uint32_t i = 0; i < r->loss.n; i++)
        if (!isfinite(r->loss.v[i].value))
            return nn_fail(m, NN_REFUSED,
                           "%s is %s at step %lld (epoch %lld); what was saved "
                           "before stays",
                           r->loss.v[i].name, isnan(r->loss.v[i].value) ? "NaN" : "infinite",
                           (long long)r->at.step, (long long)epoch_of(r));
    return NN_OK;
}

static enum nn_status failed_step(int64_t step, enum nn_status s, struct nn_message *m)
{
    nn_message_prefix(m, "step %lld: ", (long long)step);
    return s;
}

static enum nn_status begin_step(struct run *r, struct nn_message *m)
{
    enum nn_status s = binding_start(&r->step, r->e, nn_loader_next(r->loader), m);
    r->begun++;
    return s ? failed_step(r->begun, s, m) : NN_OK;
}

/* Waits for the oldest step that was begun. */
static enum nn_status end_step(struct run *r, struct nn_message *m)
{
    enum nn_status s = nn_exec_finish(r->e, m);
    r->at.step++;
    if (s)
        return failed_step(r->at.step, s, m);
    if (!r->stepped && r->o->first)
        r->o->first(r->o->user);
    r->stepped = true;
    values_read(&r->loss, r->e, r->step.graph);
    s = log_step(r, m);
    if (!s)
        s = check_loss(r, m);
    for (uint32_t i = 0; i < r->loss.n; i++)
        r->at.loss_sum[i] += r->loss.v[i].value;
    r->at.loss_count++;
    if (!s)
        progress_step(&r->progress, r->at.step, values_loss(&r->loss));
    return s;
}

/* The next step after which something else is to be done: until then a device may run ahead. */
static int64_t next_pause(const struct run *r)
{
    const int64_t every[] = {r->per_epoch, r->o->evaluate, r->o->save};
    int64_t next = r->total;
    for (size_t i = 0; i < NN_COUNT(every); i++)
        if (every[i] > 0 && (r->at.step / every[i] + 1) * every[i] < next)
            next = (r->at.step / every[i] + 1) * every[i];
    return next;
}

static enum nn_status one_step(struct run *r, struct nn_message *m)
{
    int64_t pause = next_pause(r);
    int depth = nn_exec_depth(r->e, r->step.graph);
    enum nn_status s = NN_OK;
    while (!s && r->begun < pause && nn_exec_under_way(r->e) < depth)
        s = begin_step(r, m);
    return s ? s : end_step(r, m);
}

/* A finite loss may have a gradient that is none: weights that became NaN replace nothing. */
static enum nn_status look_at_weights(const struct run *r, struct nn_message *m)
{
    int slots = (int)nn_exec_image(r->e)->slot_count;
    enum nn_status s = nn_exec_fetch(r->e, m);
    for (int i = 0; !s && i < slots; i++) {
        const struct nn_slot_rec *x = nn_exec_slot_rec(r->e, i);
        enum nn_dtype t = (enum nn_dtype)x->dtype;
        if (x->kind != NN_SLOT_PARAM || !nn_dtype_float(t))
            continue;
        for (size_t k = 0; k < x->bytes / nn_dtype_size(t); k++)
            if (isnan(nn_get(t, nn_exec_slot(r->e, i), k)))
                return nn_fail(m, NN_REFUSED,
                               "%s is NaN after step %lld: its gradient was; what was saved before "
                               "stays; --check-nan names the operator",
                               nn_exec_text(r->e, x->name), (long long)r->at.step);
    }
    return s;
}

static enum nn_status consider_best(struct run *r, double value, struct nn_message *m)
{
    if (isnan(value) || (!isnan(r->at.best) && r->best_sign * (value - r->at.best) <= 0))
        return NN_OK;
    r->at.best = value;
    r->at.best_step = r->at.step;
    enum nn_status s = look_at_weights(r, m);
    return s ? s : checkpoints_save_best(&r->files, m);
}

/* Evaluates test and valid into the open line of the log. */
static enum nn_status evaluate(struct run *r, double loss, struct nn_message *m)
{
    for (enum nn_split k = NN_TEST; k < NN_SPLITS; k++) {
        if (!nn_data_count(r->o->data, k))
            continue;
        enum nn_status s = nn_evaluate(r->eval, k, r->o->stop, m);
        if (s && s != NN_INTERRUPTED)
            nn_message_prefix(m, "%s after step %lld: ", nn_split_name(k), (long long)r->at.step);
        if (s)
            return s;
        uint32_t n;
        const struct nn_metric *v = nn_evaluator_metrics(r->eval, &n);
        log_values(&r->log, nn_split_name(k), v, n);
        progress_epoch(&r->progress, r->at.step, loss, nn_split_name(k), v, n);
        if (k == r->judge)
            s = consider_best(r, metric(v, n, r->best_name), m);
        if (s)
            return s;
    }
    return NN_OK;
}

static void mean_losses(struct run *r)
{
    for (uint32_t i = 0; i < r->loss.n; i++)
        r->mean[i].value = r->at.loss_count ? r->at.loss_sum[i] / (double)r->at.loss_count : NAN;
}

/* The evaluation and the epoch's line, where due; then the next epoch's sums begin. */
static enum nn_status end_of_epoch(struct run *r, struct nn_message *m)
{
    bool evaluates = r->eval && due(r, r->o->evaluate), ends = epoch_ends(r);
    if (r->at.evaluated == r->at.step || (!ends && !evaluates))
        return NN_OK;
    mean_losses(r);
    double loss = metric(r->mean, r->loss.n, "loss");
    log_begin(&r->log, ends ? "epoch" : "eval");
    log_int(&r->log, "epoch", epoch_of(r));
    log_int(&r->log, "step", r->at.step);
    log_values(&r->log, NULL, r->mean, r->loss.n);
    enum nn_status s = NN_OK;
    if (evaluates)
        s = evaluate(r, loss, m);
    else
        progress_epoch(&r->progress, r->at.step, loss, NULL, NULL, 0);
    if (!s && !r->eval)
        s = consider_best(r, metric(r->mean, r->loss.n, r->best_name), m);
    if (s)
        return s;
    log_seconds(r, r->epoch_started);
    r->at.evaluated = r->at.step;
    if (ends) {
        memset(r->at.loss_sum, 0, r->loss.n * sizeof(double));
        r->at.loss_count = 0;
        r->epoch_started = nn_now();
    }
    return log_end(&r->log, m);
}

static enum nn_status save(struct run *r, struct nn_message *m)
{
    enum nn_status s = look_at_weights(r, m);
    s = s ? s : log_sync(&r->log, m);
    return s ? s : checkpoints_save(&r->files, m);
}

static bool stopped(const struct run *r) { return r->o->stop && *r->o->stop; }

static enum nn_status interrupted(struct run *r, struct nn_message *m)
{
    enum nn_status s = save(r, m);
    if (s)
        return s;
    if (!r->o->out)
        return nn_fail(m, NN_INTERRUPTED, "stopped after step %lld; nothing was to be saved",
                       (long long)r->at.step);
    return nn_fail(m, NN_INTERRUPTED, "stopped after step %lld, saved in %s", (long long)r->at.step,
                   r->o->out);
}

static void start_loader(struct run *r)
{
    struct nn_plan p = {.walk = {NN_TRAIN, r->o->shuffle, (uint64_t)r->o->seed, 0},
                        .first = r->at.step,
                        .batches = r->per_epoch,
                        .epochs = true};
    nn_loader_start(r->loader, &p);
}

static enum nn_status finish(struct run *r, struct nn_message *m)
{
    log_begin(&r->log, "done");
    log_int(&r->log, "epoch", epoch_of(r));
    log_int(&r->log, "step", r->at.step);
    if (!isnan(r->at.best)) {
        log_number(&r->log, "best", r->at.best);
        log_int(&r->log, "best_step", r->at.best_step);
    }
    log_seconds(r, r->started);
    return log_end(&r->log, m);
}

/* What is due at the position that has been reached: a run that goes on may find it undone. */
static enum nn_status settle(struct run *r, bool stepped, struct nn_message *m)
{
    double before = nn_now();
    bool evaluated = r->at.evaluated == r->at.step;
    enum nn_status s = end_of_epoch(r, m);
    bool was_due = !evaluated && r->at.evaluated == r->at.step;
    if (!s && (was_due || stepped) && due(r, r->o->save))
        s = save(r, m);
    if (was_due && r->eval)
        start_loader(r);
    r->progress.paused += nn_now() - before;
    return s;
}

static enum nn_status loop(struct run *r, struct nn_message *m)
{
    r->started = r->epoch_started = nn_now();
    progress_start(&r->progress, r->o, r->at.step, r->total, r->per_epoch);
    start_loader(r);
    r->begun = r->at.step;
    enum nn_status s = r->at.step ? settle(r, false, m) : NN_OK;
    while (!s && r->at.step < r->total && !stopped(r)) {
        s = one_step(r, m);
        if (!s && !nn_exec_under_way(r->e))
            s = settle(r, true, m);
    }
    while (!s && nn_exec_under_way(r->e))
        s = end_step(r, m);
    if (s == NN_INTERRUPTED || (!s && r->at.step < r->total))
        return interrupted(r, m);
    return s ? s : finish(r, m);
}

static double rate(const struct run *r)
{
    return r->progress.o ? progress_rate(&r->progress, r->at.step) : 0;
}

enum nn_status nn_train(const struct nn_train_options *o, struct nn_train_result *result,
                        struct nn_message *m)
{
    struct run r = {.o = o, .e = o->exec, .log = {.fd = -1}};
    enum nn_status s = open_run(&r, m);
    if (!s)
        s = loop(&r, m);
    if (result)
        *result = (struct nn_train_result){
            .step = r.at.step,
            .epoch = r.per_epoch ? epoch_of(&r) : 0,
            .loss = r.loss.v ? values_loss(&r.loss) : NAN,
            .best = r.at.best,
            .seconds = r.progress.o ? nn_now() - r.started : 0,
            .steps_per_second = rate(&r),
        };
    close_run(&r);
    return s;
}
