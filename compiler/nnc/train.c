/* nnc train FILE: compile and train. */
#include "common.h"
#include "nnc/nnc.h"
#include <inttypes.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

/* Progress on a terminal replaces itself; notes and everything elsewhere are lines. */
struct screen {
    bool terminal, dirty;
    int width;
};

static void line(void *user, enum nn_line kind, const char *text)
{
    struct screen *s = user;
    if (s->terminal && kind == NN_LINE_PROGRESS) {
        printf("\r%-*s", s->width, text);
        s->dirty = true;
    } else {
        printf("%s%s%s\n", s->dirty ? "\r" : "", text, s->terminal ? "\033[K" : "");
        s->dirty = false;
    }
    int n = (int)strlen(text);
    s->width = n > s->width ? n : s->width;
    fflush(stdout);
}

static void first_step(void *user)
{
    (void)user;
    nnc_timing("the first step is done");
}

static void describe(const struct nnc_session *s)
{
    struct nn_exec_memory b = nn_exec_memory(s->exec);
    uint32_t params = 0;
    int64_t count = 0;
    for (uint32_t i = 0; i < s->c.m->slots.n; i++) {
        const struct ir_slot *slot = &s->c.m->slots.p[i];
        int64_t n = 1;
        for (uint32_t k = 0; k < slot->rank; k++)
            n *= slot->dim[k];
        if (slot->kind == NN_SLOT_PARAM) {
            params++;
            count += n;
        }
    }
    const struct nn_graph_rec *g = nn_exec_graph_rec(s->exec, nn_exec_graph(s->exec, "step"));
    printf("%s: %" PRId64 " parameters in %u tensors, %u kernels a step\n", s->c.m->name, count,
           params, g->launch_count);
    printf("%s %s, memory: %.1f MB slots, %.1f MB arena (the peak of a step), %.1f MB %s\n",
           s->device.title, s->c.target->name, (double)b.slots / 1e6, (double)b.arena / 1e6,
           (double)(b.scratch + b.inputs) / 1e6,
           s->device.device ? "batches and workspace" : "scratch");
}

static void print_end(const struct nn_train_options *to, const struct nn_train_result *r)
{
    printf("%" PRId64 " steps in %.1f s", r->step, r->seconds);
    if (r->steps_per_second > 0)
        printf(", %.3g steps/s", r->steps_per_second);
    if (!isnan(r->best))
        printf("; best %s %.4f", to->best ? to->best + (*to->best == '-') : "loss", r->best);
    printf("; weights in %s/best.safetensors\n", to->out);
}

/* The message with what to do about it; the exit status. */
static int report(enum nn_status status, struct nn_message *m, const struct nn_train_options *to,
                  const struct nnc_options *o)
{
    if (status == NN_REFUSED && strstr(m->text, " is NaN at step") && !o->check_nan)
        nn_append(m->text, sizeof m->text, "; --check-nan names the operator");
    if (status != NN_INTERRUPTED)
        return nnc_fail(status, m);
    fprintf(stderr, "nnc: %s; --resume %s goes on\n", m->text, to->out);
    return 128 + SIGINT; /* as a shell says of it */
}

static const char *folder(const struct nnc_options *o)
{
    return o->resume ? o->resume : o->out ? o->out : "out";
}

/* The run's folder, before anything else takes time: from then on --resume finds it. */
static int prepare(const struct nnc_options *o, bool *made)
{
    struct nn_message m;
    struct stat st;
    nnc_catch_signals(NULL);
    if (!o->resume) {
        *made = access(folder(o), F_OK) != 0;
        nnc_catch_signals(*made ? folder(o) : NULL);
        enum nn_status status = nn_make_folder(folder(o), &m);
        return status ? nnc_fail(status, &m) : 0;
    }
    if (stat(o->resume, &st) || !S_ISDIR(st.st_mode)) {
        fprintf(stderr, "nnc: --resume %s: there is no such folder\n", o->resume);
        return EXIT_REFUSED;
    }
    struct text state = {0};
    text_printf(&state, "%s/state.safetensors", o->resume);
    bool saved = !access(state.p, F_OK);
    text_free(&state);
    if (!saved || !o->init.n)
        return 0;
    fprintf(stderr,
            "nnc train: --resume %s goes on with the weights saved there; --init is for a "
            "new run\n",
            o->resume);
    return EXIT_USAGE;
}

/* A run too short for one update. */
static void warn_short(const struct nnc_session *s)
{
    const struct front_train *t = s->train;
    int64_t each = nn_steps_per_epoch(s->data, s->batch);
    bool few = t->steps > 0 ? t->steps < t->accumulate
                            : each > 0 && t->epochs <= (t->accumulate - 1) / each;
    if (few)
        fprintf(stderr,
                "nnc: warning: no update will happen: `accumulate` is %" PRId64
                ", more than the run's steps\n",
                t->accumulate);
}

static int train(struct nnc_session *s, const struct nnc_options *o)
{
    const struct front_train *t = s->train;
    struct screen screen = {.terminal = isatty(STDOUT_FILENO)};
    VEC(struct nn_train_init) init = {0};
    struct arena *mem = arena_new();
    for (uint32_t i = 0; i < o->init.n; i++) {
        const char *name = t->ninstances > 1 ? o->init.p[i].name : NULL;
        vec_push(&init, ((struct nn_train_init){name ? arena_printf(mem, "%s.", name) : "",
                                                o->init.p[i].value}));
    }
    struct nn_train_options to = {.exec = s->exec,
                                  .data = s->data,
                                  .batch = s->batch,
                                  .epochs = t->epochs,
                                  .steps = t->steps,
                                  .seed = t->seed,
                                  .shuffle = t->shuffle && !o->no_shuffle,
                                  .evaluate = t->evaluate,
                                  .save = t->save,
                                  .best = t->best,
                                  .out = folder(o),
                                  .resume = o->resume != NULL,
                                  .init = init.p,
                                  .inits = init.n,
                                  .terminal = screen.terminal,
                                  .stop = nnc_stop_wanted(),
                                  .line = o->quiet ? NULL : line,
                                  .first = first_step,
                                  .user = &screen};
    struct nn_message m;
    struct nn_train_result r;
    if (!o->quiet)
        describe(s);
    warn_short(s);
    enum nn_status status = nn_train(&to, &r, &m);
    vec_free(&init);
    arena_free(mem);
    if (screen.dirty)
        fputc('\n', stdout);
    if (!status && !o->quiet)
        print_end(&to, &r);
    return status ? report(status, &m, &to, o) : 0;
}

static bool fits_together(const struct nnc_options *o)
{
    if (o->out && o->resume && strcmp(o->out, o->resume) != 0) {
        fprintf(stderr, "nnc train: --resume DIR goes on in DIR; --out names another folder\n");
        return false;
    }
    if (o->epochs >= 0 && o->steps >= 0) {
        fprintf(stderr,
                "nnc train: --epochs and --steps are both given: one says how long to train\n");
        return false;
    }
    return true;
}

int cmd_train(int argc, char **argv)
{
    struct nnc_options o;
    struct nnc_session s;
    nnc_parse_options(
        &o, "train", argc, argv,
        "define include_opt model device target gemm policy budget threads batch epochs steps seed "
        "data out resume init no_shuffle check_nan timings quiet",
        1);
    nnc_timings(o.timings);
    bool made = false;
    int status = fits_together(&o) ? prepare(&o, &made) : EXIT_USAGE;
    if (!status) {
        status = nnc_session_open(&s, &o, NNC_TRAIN);
        if (!status)
            status = train(&s, &o);
        nnc_session_close(&s);
    }
    if (status && made)
        rmdir(folder(&o)); /* if nothing was put there */
    nnc_free_options(&o);
    return status;
}
