/* nnc build FILE -o DIR: a C library of the model: header, objects for each level, archive. */
#include "nnc/build.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *name;
    enum part part;
} parts[] = {{"header", PART_HEADER}, {"lib", PART_LIB}, {"obj", PART_OBJ}, {"asm", PART_ASM},
             {"llvm", PART_LLVM},     {"so", PART_SO},   {"ptx", PART_PTX}, {"cubin", PART_CUBIN}};

/* ---- what is asked for ---- */

const char *build_next_word(struct arena *mem, const char **list)
{
    size_t n = strcspn(*list, ",");
    if (!**list)
        return NULL;
    const char *word = arena_strndup(mem, *list, n);
    *list += n + ((*list)[n] == ',');
    return word;
}

static const struct target *least_level(void)
{
    const struct target *host = target_host();
    for (size_t i = 0; i < target_count; i++)
        if (!strcmp(target_table[i].triple, host->triple))
            return &target_table[i];
    return host;
}

static int bad_target(const char *word)
{
    fprintf(stderr,
            *word ? "nnc build: unknown target %s; known are"
                  : "nnc build: --target%s: a level is wanted; known are",
            word);
    for (size_t i = 0; i < target_count; i++)
        fprintf(stderr, "%s %s", i ? "," : "", target_table[i].name);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

/* CPUs first, the best level first: the rows of a family ascend in targets.def. */
static int by_row(const void *a, const void *b)
{
    const struct target *x = *(const struct target *const *)a,
                        *y = *(const struct target *const *)b;
    return x->kind != y->kind ? (int)x->kind - (int)y->kind : (x < y) - (x > y);
}

int build_read_targets(struct build *b)
{
    const char *list = b->o.target ? b->o.target : "host", *word;
    while ((word = build_next_word(b->mem, &list))) {
        const struct target *t = target_find(word);
        bool known = false;
        if (!t)
            return bad_target(word);
        if (t->kind == TARGET_CPU && b->base && strcmp(t->triple, b->base->triple)) {
            fprintf(stderr,
                    "nnc build: one library is for one kind of processor: %s and %s want a build "
                    "each\n",
                    b->base->name, t->name);
            return EXIT_USAGE;
        }
        if (t->kind == TARGET_CPU && (!b->base || t < b->base))
            b->base = t;
        b->gpu |= t->kind == TARGET_GPU;
        for (uint32_t i = 0; i < b->levels; i++)
            known |= b->target[i] == t;
        if (!known && b->levels < LEVELS)
            b->target[b->levels++] = t;
    }
    if (!b->levels)
        return bad_target("");
    b->base = b->base ? b->base : least_level();
    qsort(b->target, b->levels, sizeof *b->target, by_row);
    return 0;
}

int build_read_parts(struct build *b)
{
    const char *list = b->o.emit ? b->o.emit : "header,lib", *word;
    while ((word = build_next_word(b->mem, &list))) {
        unsigned part = 0;
        for (size_t i = 0; i < COUNT(parts); i++)
            if (!strcmp(parts[i].name, word))
                part = parts[i].part;
        if (!part) {
            fprintf(stderr, "nnc build: --emit %s: known are", word);
            for (size_t i = 0; i < COUNT(parts); i++)
                fprintf(stderr, "%s %s", i ? "," : "", parts[i].name);
            fputc('\n', stderr);
            return EXIT_USAGE;
        }
        if (part & (PART_PTX | PART_CUBIN) && !b->gpu) {
            fprintf(stderr, "nnc build: --emit %s: no GPU is among the targets\n", word);
            return EXIT_USAGE;
        }
        b->parts |= part;
    }
    if (b->parts)
        return 0;
    fprintf(stderr, "nnc build: --emit: nothing is to be written\n");
    return EXIT_USAGE;
}

static bool defined(const struct build *b, const char *name)
{
    for (uint32_t i = 0; i < b->o.define.n; i++)
        if (b->o.define.p[i].name && !strcmp(b->o.define.p[i].name, name))
            return true;
    return false;
}

/* What --max says of the dim; NULL: nothing. */
static struct front_dim *bound_of(struct build *b, const char *name)
{
    for (uint32_t i = 0; i < b->dims; i++)
        if (!strcmp(b->dim[i].name, name) && !defined(b, name))
            return &b->dim[i];
    return NULL;
}

/* A name in an input's dims becomes a size of the forward call, up to its bound; the first that is
 * all of a dim takes, without any, the train block's batch. */
static void add_size(struct build *b, const char *name, bool bare)
{
    for (uint32_t i = 0; i < b->sizes; i++)
        if (!strcmp(b->size[i], name))
            return;
    if (bare && !defined(b, name) && !bound_of(b, name) && !b->sizes)
        b->dim[b->dims++] = (struct front_dim){name, b->train ? b->train->batch : 64, true, 0};
    if (bound_of(b, name) && b->sizes < NNC_DIMS)
        b->size[b->sizes++] = name;
}

/* The names in `2*(h + 1)`. */
static void add_names(struct build *b, const char *dim)
{
    for (const char *at = dim; *at;) {
        size_t n = 0;
        while (isalnum((unsigned char)at[n]) || at[n] == '_')
            n++;
        if (n && !isdigit((unsigned char)*at))
            add_size(b, arena_strndup(b->mem, at, n), at == dim && !at[n]);
        at += n ? n : 1;
    }
}

static int read_sizes(struct build *b)
{
    b->dims = nnc_dims("build", &b->o, b->mem, b->dim);
    for (uint32_t i = 0; i < b->model->ninputs; i++)
        for (uint32_t k = 0; k < b->model->input[i].rank; k++)
            add_names(b, b->model->input[i].dim[k]);
    for (uint32_t i = 0; i < b->dims; i++) {
        bool used = !b->dim[i].live;
        for (uint32_t k = 0; k < b->sizes; k++)
            used |= !strcmp(b->dim[i].name, b->size[k]);
        if (used)
            continue;
        fprintf(stderr, "nnc build: --max %s: no input of %s has a dim %s that is free\n",
                b->dim[i].name, b->model->name, b->dim[i].name);
        return EXIT_USAGE;
    }
    return 0;
}

static int read_file(struct build *b)
{
    b->front = nnc_front(b->diag, &b->o);
    if (!b->front)
        return EXIT_REFUSED;
    const struct front_train *t = front_train(b->front);
    b->train = t && t->present && !b->o.inference ? t : NULL;
    b->model = front_model(b->front);
    diag_print(b->diag, stderr);
    if (!b->model) {
        uint32_t exports;
        front_exports(b->front, &exports);
        fprintf(stderr, "nnc build: %s has no model to choose%s\n", b->o.args.p[0],
                exports ? "; its functions are built with --kernels" : "");
        return EXIT_REFUSED;
    }
    return read_sizes(b);
}

/* ---- compiling ---- */

/* NULL: refused. */
static struct ir_graph *build_graph(struct build *b, struct nnc_compiled *c, enum front_graph which,
                                    const char *name, int64_t batch)
{
    struct ir_graph *g = front_build(b->front, c->m, which, name, batch, b->dim, b->dims);
    diag_print(b->diag, stderr);
    for (uint32_t i = 0; g && which == FRONT_FORWARD && i < b->sizes; i++) {
        const struct front_dim *d = bound_of(b, b->size[i]);
        uint32_t slot = ir_slot_find(c->m, arena_printf(b->mem, "dim.%s", d->name));
        vec_push(&g->sizes, ((struct ir_size){d->name, d->live ? slot + 1 : 0, d->n}));
    }
    return g;
}

static int graph(struct build *b, struct nnc_compiled *c, enum front_graph which, const char *name,
                 int64_t batch)
{
    struct ir_graph *g = build_graph(b, c, which, name, batch);
    if (g)
        nnc_compile_graph(c, g);
    return g ? 0 : EXIT_REFUSED;
}

/* For all sizes up to the bounds; before it, since one sample is asked for most, one with the first
 * size at 1, where the model takes that. */
static int forward_graphs(struct build *b, struct nnc_compiled *c)
{
    struct front_dim *first = b->sizes ? bound_of(b, b->size[0]) : NULL, bound;
    struct ir_graph *any = build_graph(b, c, FRONT_FORWARD, "forward", 0);
    int bad = any ? 0 : EXIT_REFUSED;
    if (any && first && first->n > 1 && c->m->slots.p[any->sizes.p[0].slot - 1].least <= 1) {
        bound = *first;
        *first = (struct front_dim){first->name, 1, false, 0};
        bad = graph(b, c, FRONT_FORWARD, "forward.1", 0);
        *first = bound;
    }
    if (!bad)
        nnc_compile_graph(c, any);
    return bad;
}

/* init, step, eval for whole batches and for single samples, metrics. */
static int train_graphs(struct build *b, struct nnc_compiled *c)
{
    if (!b->train)
        return 0;
    int64_t n = b->train->batch;
    int bad = graph(b, c, FRONT_INIT, "init", n);
    if (!bad)
        bad = graph(b, c, FRONT_STEP, "step", n);
    if (!bad)
        bad = graph(b, c, FRONT_EVAL, "eval", n);
    if (!bad)
        bad = graph(b, c, FRONT_EVAL, "eval.1", 1);
    if (!bad)
        bad = graph(b, c, FRONT_METRICS, "metrics", n);
    return bad;
}

/* What the train block's fields may hold becomes part of the image: the calls that take them look
 * before they begin. */
static void limit_inputs(const struct build *b, struct nn_image *image)
{
    static const char *const graphs[] = {"step", "eval", "eval.1"};
    for (size_t i = 0; b->train && i < COUNT(graphs); i++) {
        const struct nn_graph_rec *g = pack_graph(image, graphs[i]);
        struct nn_value_rec *v = (void *)((char *)image + (g ? g->inputs_at : 0));
        for (uint32_t k = 0; g && k < g->input_count; k++)
            for (uint32_t f = 0; f < b->train->nfields; f++) {
                const struct front_field *x = &b->train->field[f];
                if (strcmp(nn_image_text(image, v[k].name), x->name) != 0)
                    continue;
                v[k].limit = x->limit;
                v[k].spares = x->spares;
                v[k].spare = x->spare;
            }
    }
}

static int compile_level(struct build *b, uint32_t i)
{
    struct nnc_options o = b->o;
    o.target = b->target[i]->name;
    if (!nnc_compile_begin(&b->c[i], b->diag, &o, NULL, b->model->name))
        return EXIT_USAGE;
    b->c[i].gemm = b->gemm;
    int bad = train_graphs(b, &b->c[i]);
    if (!bad)
        bad = forward_graphs(b, &b->c[i]);
    if (!bad && !nnc_compile_fit(&b->c[i])) {
        if (b->levels > 1)
            fprintf(stderr, "nnc build: that is the level %s\n", b->target[i]->name);
        return EXIT_REFUSED;
    }
    if (!bad && b->target[i]->kind == TARGET_GPU)
        bad = nnc_link(&b->c[i]) ? 0 : EXIT_MACHINE; /* PTX, and the image with its names */
    else if (!bad)
        b->c[i].image = program_image(b->c[i].program);
    if (!bad)
        limit_inputs(b, b->c[i].image);
    return bad;
}

/* ---- the self-test's results, from this machine's least level ---- */

/* Labels and indices must be in a range that only the kernels know: smaller ones are tried. */
static enum nn_status probe(struct build *b, struct nn_exec *e, struct nn_message *m)
{
    static const uint64_t limits[] = {256, 100, 10, 2, 1};
    enum nn_status s = NN_REFUSED;
    for (size_t f = 0; s == NN_REFUSED && f < COUNT(limits); f++)
        for (size_t t = f; s == NN_REFUSED && t < COUNT(limits); t++) {
            b->probe.forward_limit = limits[f];
            b->probe.step_limit = limits[t];
            s = nn_probe_run(e, &b->probe, m);
        }
    struct nn_probe shaken = {.shake = build_tolerance(b) / 100,
                              .forward_limit = b->probe.forward_limit,
                              .step_limit = b->probe.step_limit};
    if (!s)
        s = nn_probe_run(e, &shaken, m);
    if (!s)
        nn_probe_blur(&b->probe, &shaken, fmin(10 * build_tolerance(b), 1e-2));
    nn_probe_close(&shaken);
    return s;
}

static int make_probe(struct build *b)
{
    struct nnc_compiled c;
    struct nnc_options o = b->o;
    struct nn_message m;
    struct nn_exec *e = NULL;
    o.target = least_level()->name;
    if (!nnc_compile_begin(&c, b->diag, &o, NULL, b->model->name))
        return EXIT_MACHINE;
    int bad = train_graphs(b, &c);
    if (!bad)
        bad = forward_graphs(b, &c);
    c.quiet = c.over = true; /* the budget is of those who use the library */
    if (!bad && !nnc_compile_fit(&c))
        bad = EXIT_REFUSED;
    if (!bad && !nnc_link(&c))
        bad = EXIT_MACHINE;
    if (!bad) {
        size_t n;
        limit_inputs(b, c.image);
        program_kernels(c.program, &n);
        enum nn_status s = nn_exec_open(&e, c.image, c.image->bytes, c.kernel, n, NULL, &m);
        if (!s)
            s = probe(b, e, &m);
        bad = s ? nnc_fail(s, &m) : 0;
    }
    b->probed = !bad && b->probe.count;
    nn_exec_close(e);
    nnc_compile_end(&c);
    return bad;
}

/* --gemm: of GPUs' levels. */
static int read_gemm(struct build *b)
{
    int bad = nnc_gemm(&b->o, &b->gemm);
    if (!bad && b->o.gemm && !b->gpu) {
        fprintf(stderr, "nnc build: --gemm %s: no GPU is among the targets\n", b->o.gemm);
        bad = EXIT_USAGE;
    }
    return bad;
}

static int build(struct build *b)
{
    int bad = build_read_targets(b);
    if (!bad)
        bad = build_read_parts(b);
    if (!bad)
        bad = build_find_linker(b);
    if (!bad)
        bad = read_gemm(b);
    if (!bad)
        bad = read_file(b);
    for (uint32_t i = 0; !bad && i < b->levels; i++)
        bad = compile_level(b, i);
    diag_print(b->diag, stderr);
    if (!bad)
        bad = make_probe(b);
    return bad ? bad : build_write(b);
}

/* Before anything is compiled: whether the folder can be written to, or made. */
static int check_folder(const struct build *b)
{
    struct stat st;
    const char *out = b->o.out, *slash = strrchr(out, '/');
    bool there = !stat(out, &st);
    const char *in = there                ? out
                     : slash && !slash[1] ? NULL /* mkdir will say */
                     : slash == out       ? "/"
                     : slash              ? arena_strndup(b->mem, out, (size_t)(slash - out))
                                          : ".";
    errno = ENOTDIR;
    if ((there && !S_ISDIR(st.st_mode)) || (in && access(in, W_OK | X_OK))) {
        fprintf(stderr, "nnc build: cannot %s %s: %s\n", there ? "write to" : "make the folder",
                out, strerror(errno));
        return EXIT_MACHINE;
    }
    return 0;
}

/* What is for functions alone, and what for models alone. */
static int check_options(const struct nnc_options *o)
{
    const char *wrong = NULL;
    if (!o->functions)
        wrong = o->with_gradient ? "with-gradient" : o->instance.n ? "instance" : NULL;
    else
        wrong = o->model          ? "model"
                : o->batch >= 0   ? "batch"
                : o->epochs >= 0  ? "epochs"
                : o->steps >= 0   ? "steps"
                : o->seed >= 0    ? "seed"
                : o->max          ? "max"
                : o->inference    ? "inference"
                : o->gemm         ? "gemm"
                : o->budget       ? "budget"
                : o->no_code_hash ? "no-code-hash"
                                  : NULL;
    if (wrong)
        fprintf(stderr, "nnc build: --%s is for %s\n", wrong,
                o->functions ? "models, not for --kernels" : "functions: with --kernels");
    return wrong ? EXIT_USAGE : 0;
}

static int make(struct build *b)
{
    if (!b->o.out) {
        fprintf(stderr, "nnc build: -o DIR is missing\n");
        return EXIT_USAGE;
    }
    int bad = check_folder(b);
    if (bad)
        return bad;
    return b->o.functions ? build_kernels(b) : build(b);
}

int cmd_build(int argc, char **argv)
{
    struct build b = {.diag = diag_new(), .mem = arena_new()};
    nnc_parse_options(
        &b.o, "build", argc, argv,
        "define include_opt model target gemm policy budget batch epochs steps seed folder emit "
        "prefix print_prefix no_code_hash runtime max inference depfile functions with_gradient "
        "instance",
        1);
    b.o.out = b.o.folder;
    int bad = check_options(&b.o);
    if (!bad)
        bad = build_read_prefix(&b);
    bool name_only = !bad && b.o.print_prefix;
    if (name_only)
        puts(b.prefix);
    if (!bad && !name_only)
        bad = make(&b);
    for (uint32_t i = 0; i < b.levels; i++) {
        if (b.c[i].m)
            nnc_compile_end(&b.c[i]);
        text_free(&b.cubin[i]);
    }
    nn_probe_close(&b.probe);
    front_close(b.front);
    arena_free(b.mem);
    diag_free(b.diag);
    nnc_free_options(&b.o);
    return bad;
}
