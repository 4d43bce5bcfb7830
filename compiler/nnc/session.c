/* A session: the model file compiled, its data files open, an execution context over both. */
#include "nnc/nnc.h"
#include <pthread.h>
#include <unistd.h>

int nnc_fail(enum nn_status status, const struct nn_message *m)
{
    fprintf(stderr, "nnc: %s\n", m->text);
    return (int)status;
}

static volatile sig_atomic_t stop_wanted, running;
static const char *empty_folder;

static void on_signal(int number)
{
    static const char text[] = "nnc: stopped before the first step; nothing was saved\n";
    if (!running) {
        ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
        (void)written;
        if (empty_folder)
            rmdir(empty_folder);
        _exit(128 + SIGINT);
    }
    if (stop_wanted)
        _exit(128 + number);
    stop_wanted = 1;
}

void nnc_catch_signals(const char *folder)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    empty_folder = folder;
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

const volatile sig_atomic_t *nnc_stop_wanted(void)
{
    running = 1;
    return &stop_wanted;
}

/* ---- data ---- */

static bool source(struct diag *d, const struct front_file *from, struct nn_source *to)
{
    to->file = from->file;
    to->windows = from->windows;
    to->stride = from->stride;
    if (!from->file)
        return true;
    switch (from->source) {
    case FRONT_IDX: to->kind = NN_SOURCE_IDX; return true;
    case FRONT_NPY: to->kind = NN_SOURCE_NPY; return true;
    case FRONT_BYTES: to->kind = NN_SOURCE_BYTES; return true;
    case FRONT_CSV:
    case FRONT_IMAGES:
    case FRONT_FOLDERS: break;
    }
    diag_error(d, from->at,
               "this version reads idx, npy and bytes; it cannot read this source yet");
    return false;
}

/* The folder of the data: --data, else the model file's own, else its folder `data` where the first
 * file is found there only. */
static char *data_folder(const struct front_train *t, const struct nnc_options *o)
{
    struct text dir = {0}, path = {0};
    if (o->data) {
        text_printf(&dir, "%s", o->data);
        return dir.p;
    }
    const char *file = vec_last(&o->args), *slash = strrchr(file, '/');
    text_printf(&dir, "%.*s", slash ? (int)(slash - file) : 1, slash ? file : ".");
    const char *first = t->nfields ? t->field[0].train.file : NULL;
    if (first) {
        text_printf(&path, "%s/%s", dir.p, first);
        bool beside = !access(path.p, F_OK);
        path.n = 0;
        text_printf(&path, "%s/data/%s", dir.p, first);
        if (!beside && !access(path.p, F_OK))
            text_printf(&dir, "/data");
    }
    text_free(&path);
    return dir.p;
}

/* Reads the files beside the compile. */
struct reading {
    pthread_t thread;
    bool running;
    struct nn_field *field;
    char *dir;
    struct nn_data_options o;
    struct nn_data *data;
    enum nn_status status;
    struct nn_message m;
};

static void *read_files(void *arg)
{
    struct reading *r = arg;
    r->status = nn_data_open(&r->data, &r->o, &r->m);
    return NULL;
}

/* False after printing which source cannot be read. */
static bool begin_reading(struct nnc_session *s, const struct nnc_options *o, struct reading *r)
{
    const struct front_train *t = s->train;
    bool ok = true;
    r->field = xcalloc(t->nfields, sizeof *r->field);
    for (uint32_t i = 0; i < t->nfields; i++) {
        const struct front_field *f = &t->field[i];
        struct nn_field *to = &r->field[i];
        *to = (struct nn_field){.name = f->name,
                                .dtype = f->dtype,
                                .rank = f->rank,
                                .limit = f->limit,
                                .spares = f->spares,
                                .spare = f->spare};
        to->share[NN_TEST] = f->test_share;
        to->share[NN_VALID] = f->valid_share;
        memcpy(to->dim, f->dim, sizeof to->dim);
        ok &= source(s->diag, &f->train, &to->source[NN_TRAIN]) &&
              source(s->diag, &f->test, &to->source[NN_TEST]) &&
              source(s->diag, &f->valid, &to->source[NN_VALID]);
    }
    diag_print(s->diag, stderr);
    if (!ok)
        return false;
    r->dir = data_folder(t, o);
    r->o = (struct nn_data_options){.dir = r->dir, .field = r->field, .fields = t->nfields};
    r->running = !pthread_create(&r->thread, NULL, read_files, r);
    if (!r->running)
        read_files(r);
    return true;
}

static int end_reading(struct nnc_session *s, struct reading *r)
{
    if (r->running)
        pthread_join(r->thread, NULL);
    s->data = r->data;
    free(r->field);
    free(r->dir);
    return r->status ? nnc_fail(r->status, &r->m) : 0;
}

/* ---- graphs ---- */

static int compiled(struct nnc_session *s, struct ir_graph *g)
{
    diag_print(s->diag, stderr);
    if (!g)
        return EXIT_REFUSED;
    nnc_compile_graph(&s->c, g);
    return 0;
}

int nnc_session_graph(struct nnc_session *s, enum front_graph which, const char *name,
                      int64_t batch, const struct front_dim *dim, size_t dims)
{
    struct ir_graph *g = front_build(s->front, s->c.m, which, name, batch, dim, dims);
    if (g)
        nnc_sizes(g, dim, dims);
    return compiled(s, g);
}

static bool add(struct nnc_session *s, enum front_graph which, const char *name, int64_t batch)
{
    return !nnc_session_graph(s, which, name, batch, NULL, 0);
}

/* The samples of a split in the smallest of the datasets. */
static int64_t count_sets(const struct nnc_session *s, uint64_t sets, enum nn_split split)
{
    int64_t n = INT64_MAX;
    for (uint32_t i = 0; i < s->train->nfields; i++) {
        int64_t own = nn_data_field_count(s->data, i, split);
        if (sets >> s->train->field[i].set & 1 && own < n)
            n = own;
    }
    return n;
}

static bool add_eval(struct nnc_session *s, uint64_t sets, int64_t batch, bool tail)
{
    struct text name = {0};
    text_printf(&name, "eval");
    if (tail)
        text_printf(&name, ".tail.%lld", (long long)batch);
    for (uint32_t i = 0; s->train->nsets > 1 && i < s->train->nsets; i++)
        if (sets >> i & 1)
            text_printf(&name, ".%s", s->train->set[i]);
    bool good = !compiled(s, front_build_eval(s->front, s->c.m, name.p, batch, sets));
    text_free(&name);
    return good;
}

static bool evaluates(const struct front_train *t)
{
    for (uint32_t i = 0; i < t->nfields; i++) {
        const struct front_field *f = &t->field[i];
        if (f->test.file || f->valid.file || f->test_share > 0 || f->valid_share > 0)
            return true;
    }
    return false;
}

/* The combinations of datasets that are evaluated together; one graph for whole batches of each.
 * The names are train.h's. */
static bool add_evals(struct nnc_session *s, const uint64_t **sets, uint32_t *n)
{
    *n = 0;
    if (!evaluates(s->train))
        return true;
    *sets = front_eval_sets(s->front, n);
    diag_print(s->diag, stderr);
    for (uint32_t i = 0; i < *n; i++)
        if (!add_eval(s, (*sets)[i], s->batch, false))
            return false;
    return *n > 0;
}

/* One more graph for each size that the last samples of a split have; then the metrics. */
static bool add_tails(struct nnc_session *s, const uint64_t *sets, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        int64_t test = count_sets(s, sets[i], NN_TEST) % s->batch,
                valid = count_sets(s, sets[i], NN_VALID) % s->batch;
        if ((test && !add_eval(s, sets[i], test, true)) ||
            (valid && valid != test && !add_eval(s, sets[i], valid, true)))
            return false;
    }
    return !n || add(s, FRONT_METRICS, "metrics", s->batch);
}

/* The sizes of the last batches come from the data: those graphs wait for it. */
static int add_graphs(struct nnc_session *s, const struct nnc_options *o, enum nnc_need need)
{
    struct reading r = {0};
    const uint64_t *sets = NULL;
    uint32_t n = 0;
    bool trains = need == NNC_TRAIN;
    bool ok = begin_reading(s, o, &r);
    ok = ok && (!trains ||
                (add(s, FRONT_STEP, "step", s->batch) && add(s, FRONT_INIT, "init", s->batch)));
    ok = ok && add_evals(s, &sets, &n);
    nnc_timing("whole batches are lowered");
    int status = end_reading(s, &r);
    nnc_timing("the data is read");
    ok = ok && !status && add_tails(s, sets, n);
    nnc_timing("the last batches are lowered");
    return status ? status : ok ? 0 : EXIT_REFUSED;
}

/* ---- opening ---- */

static int threads(const struct nnc_options *o)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return o->threads > 0 ? (int)(o->threads > 256 ? 256 : o->threads) : n > 0 ? (int)n : 1;
}

int nnc_session_link(struct nnc_session *s, const struct nnc_options *o)
{
    struct nn_message m;
    bool fits = nnc_compile_fit(&s->c);
    diag_print(s->diag, stderr);
    if (!fits)
        return EXIT_REFUSED;
    if (!nnc_link(&s->c))
        return EXIT_MACHINE;
    nnc_timing("the machine code is there");
    size_t kernels;
    program_kernels(s->c.program, &kernels);
    enum nn_status status = s->device.device ? NN_OK : nn_pool_open(&s->pool, threads(o), &m);
    struct nn_exec_options eo = {
        .pool = s->pool, .check_nan = o->check_nan, .device = s->device.device, .code = &s->c.code};
    if (!status)
        status =
            nn_exec_open(&s->exec, s->c.image, s->c.image->bytes, s->c.kernel, kernels, &eo, &m);
    nnc_timing("the context is open");
    return status ? nnc_fail(status, &m) : 0;
}

static int wants_train(struct nnc_session *s)
{
    if (s->train && s->train->present)
        return 0;
    fprintf(stderr, "nnc: the file has no train block\n");
    return EXIT_REFUSED;
}

/* The names in --model and in --init NAME=W, as the train block has them. */
static int check_names(struct nnc_session *s, const struct nnc_options *o)
{
    const struct front_train *t = s->train;
    const char *option = "--model", *name = o->model;
    bool known = !name || front_trains(s->front, name);
    for (uint32_t i = 0; known && i < o->init.n; i++) {
        option = "--init";
        name = o->init.p[i].name;
        known = !name;
        for (uint32_t k = 0; k < t->ninstances; k++)
            known = known || !strcmp(name, t->instance[k]);
    }
    if (known)
        return 0;
    const char *near = nearest_name(name, t->instance, t->ninstances);
    fprintf(stderr, "nnc: %s %s: the train block has no model of this name", option, name);
    if (near)
        fprintf(stderr, ", did you mean `%s`?\n", near);
    else
        for (uint32_t k = 0; k < t->ninstances; k++)
            fprintf(stderr, "%s%s%s", k ? ", " : "; it has ", t->instance[k],
                    k + 1 == t->ninstances ? "\n" : "");
    return EXIT_REFUSED;
}

int nnc_session_open(struct nnc_session *s, const struct nnc_options *o, enum nnc_need need)
{
    *s = (struct nnc_session){.diag = diag_new()};
    int status = nnc_device_open(&s->device, o);
    if (status)
        return status;
    s->front = nnc_front(s->diag, o);
    if (!s->front)
        return EXIT_REFUSED;
    s->train = front_train(s->front);
    nnc_timing("the file is checked");
    if (need != NNC_GRAPH && (status = wants_train(s)))
        return status;
    if (need != NNC_GRAPH && (status = check_names(s, o)))
        return status;
    s->batch = s->train && s->train->present ? s->train->batch : 0;
    const struct front_model *model = front_model(s->front);
    diag_print(s->diag, stderr);
    if (!model)
        return EXIT_REFUSED;
    if (!nnc_compile_begin(&s->c, s->diag, o, s->device.target, model->name))
        return EXIT_REFUSED;
    s->c.gemm = s->device.gemm;
    if (need == NNC_GRAPH)
        return 0;
    status = add_graphs(s, o, need);
    return status ? status : nnc_session_link(s, o);
}

void nnc_session_close(struct nnc_session *s)
{
    nn_exec_close(s->exec);
    nnc_device_close(&s->device);
    nn_pool_close(s->pool);
    nn_data_close(s->data);
    if (s->c.m)
        nnc_compile_end(&s->c);
    if (s->front)
        front_close(s->front);
    diag_free(s->diag);
}
