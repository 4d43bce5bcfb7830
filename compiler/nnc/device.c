/* --device and --target: where a command computes, and the level that it compiles for. */
#include "common.h"
#include "cpu/pool.h"
#include "cuda/cuda.h"
#include "nnc/nnc.h"

static void list_targets(FILE *out, enum target_kind kind)
{
    const char *before = "";
    for (size_t i = 0; i < target_count; i++)
        if (target_table[i].kind == kind) {
            fprintf(out, "%s%s", before, target_table[i].name);
            before = ", ";
        }
    fputc('\n', out);
}

const struct target *nnc_target(const struct nnc_options *o)
{
    const struct target *t = target_find(o->target ? o->target : "host");
    if (t)
        return t;
    fprintf(stderr, "nnc: unknown target %s; known are ", o->target);
    list_targets(stderr, TARGET_CPU);
    fprintf(stderr, "nnc: and for GPUs ");
    list_targets(stderr, TARGET_GPU);
    return NULL;
}

/* ---- levels and capabilities ---- */

/* A level's capability times 10, and whether it is of that one only (sm_90a). False: no GPU's. */
static bool capability(const struct target *t, int *value, bool *only)
{
    char *end;
    if (t->kind != TARGET_GPU || strncmp(t->name, "sm_", 3))
        return false;
    *value = (int)strtol(t->name + 3, &end, 10);
    *only = *end == 'a';
    return true;
}

static bool runs_on(const struct target *t, int device)
{
    int value;
    bool only;
    return capability(t, &value, &only) && (only ? value == device : value <= device);
}

const struct target *nnc_best_level(int device)
{
    const struct target *best = NULL;
    int value, most = -1;
    bool only;
    for (size_t i = 0; i < target_count; i++)
        if (back_knows(&target_table[i]) && runs_on(&target_table[i], device) &&
            capability(&target_table[i], &value, &only) && value >= most) {
            best = &target_table[i];
            most = value;
        }
    return best;
}

/* ---- the option ---- */

enum kind { WANT_AUTO, WANT_CPU, WANT_CUDA, WANT_SIM };
struct wish {
    enum kind kind;
    bool told; /* the option was given */
    int ordinal;
    const char *chip; /* of sim; NULL: not told */
};

static bool parse_wish(const char *text, struct wish *w)
{
    *w = (struct wish){.told = text != NULL};
    if (!text || !strcmp(text, "auto"))
        return true;
    if (!strcmp(text, "cpu")) {
        w->kind = WANT_CPU;
        return true;
    }
    if (!strncmp(text, "sim", 3) && (!text[3] || (text[3] == ':' && text[4]))) {
        w->kind = WANT_SIM;
        w->chip = text[3] ? text + 4 : NULL;
        return true;
    }
    if (strncmp(text, "cuda", 4) || (text[4] && text[4] != ':'))
        return false;
    w->kind = WANT_CUDA;
    char *end = NULL;
    long n = text[4] ? strtol(text + 5, &end, 10) : 0;
    w->ordinal = (int)n;
    return !text[4] || (end != text + 5 && !*end && n >= 0 && n < 1 << 16);
}

static int fail(const struct nn_message *m, enum nn_status status)
{
    fprintf(stderr, "nnc: %s\n", m->text);
    return (int)status;
}

/* The GPU's level: --target if it runs there, else the best that does. */
static int choose_level(struct nnc_device *d, const struct nnc_options *o)
{
    struct nn_cuda_info i;
    struct nn_message m;
    enum nn_status status = nn_cuda_info(d->cuda, d->ordinal, &i, &m);
    if (status)
        return fail(&m, status);
    int device = i.major * 10 + i.minor;
    snprintf(d->title, sizeof d->title, "%s", i.name);
    d->target = o->target ? nnc_target(o) : nnc_best_level(device);
    if (o->target && !d->target)
        return EXIT_USAGE;
    if (d->target && runs_on(d->target, device))
        return 0;
    if (d->target)
        fprintf(stderr, "nnc: --target %s does not run on %s of compute capability %d.%d\n",
                d->target->name, i.name, i.major, i.minor);
    else
        fprintf(stderr, "nnc: %s has compute capability %d.%d; 7.5 or more is wanted\n", i.name,
                i.major, i.minor);
    return EXIT_REFUSED;
}

int nnc_gemm(const struct nnc_options *o, enum fuse_gemm *gemm)
{
    static const char *const words[] = {"own", "auto", "cublas"};
    size_t word = 0;
    while (o->gemm && word < COUNT(words) && strcmp(o->gemm, words[word]))
        word++;
    if (word == COUNT(words)) {
        fprintf(stderr, "nnc: --gemm %s: own, cublas or auto is wanted\n", o->gemm);
        return EXIT_USAGE;
    }
    *gemm = (enum fuse_gemm)word;
    return 0;
}

/* --gemm, by default own kernels on the software GPU, else by price where cuBLAS is found. */
static int choose_gemm(struct nnc_device *d, const struct nnc_options *o)
{
    char name[256];
    struct nn_message m;
    int bad = nnc_gemm(o, &d->gemm);
    if (bad)
        return bad;
    if (!o->gemm && d->cuda && !nn_cuda_is_sim(d->cuda))
        d->gemm = FUSE_GEMM_AUTO;
    if (d->gemm == FUSE_GEMM_OWN || !d->device || !nn_cuda_blas(d->cuda, name, sizeof name, &m))
        return 0;
    if (d->gemm == FUSE_GEMM_LIBRARY)
        return fail(&m, NN_MACHINE);
    d->gemm = FUSE_GEMM_OWN;
    return 0;
}

static int open_gpu(struct nnc_device *d, const struct wish *w, const struct nnc_options *o)
{
    struct nn_message m;
    struct nn_cuda_options co = {.sim = w->kind == WANT_SIM, .chip = w->chip};
    const struct target *t = o->target ? target_find(o->target) : NULL;
    if (co.sim && !co.chip && t && t->kind == TARGET_GPU)
        co.chip = t->name; /* a chip that runs what is asked for */
    enum nn_status status = d->cuda ? NN_OK : nn_cuda_open(&d->cuda, &co, &m);
    if (status)
        return fail(&m, status);
    d->ordinal = w->ordinal;
    int bad = choose_level(d, o);
    if (!bad && (status = nn_cuda_device(&d->device, d->cuda, w->ordinal, &m)))
        bad = fail(&m, status);
    return bad;
}

static int use_cpu(struct nnc_device *d, const struct nnc_options *o)
{
    d->target = nnc_target(o);
    if (!d->target)
        return EXIT_USAGE;
    snprintf(d->title, sizeof d->title, "cpu");
    if (d->target->kind == TARGET_CPU && nn_cpu_runs(d->target->name))
        return 0;
    if (d->target->kind == TARGET_CPU) {
        fprintf(stderr, "nnc: --target %s does not run here: this processor runs %s\n",
                d->target->name, nn_cpu_level());
        return EXIT_REFUSED;
    }
    fprintf(stderr, "nnc: --target %s is a GPU's: --device cuda or --device sim runs it\n",
            d->target->name);
    return EXIT_USAGE;
}

int nnc_device_open(struct nnc_device *d, const struct nnc_options *o)
{
    struct wish w;
    struct nn_message m;
    *d = (struct nnc_device){0};
    if (!parse_wish(o->device, &w)) {
        fprintf(stderr, "nnc: --device %s: auto, cpu, cuda, cuda:N, sim or sim:CHIP is wanted\n",
                o->device);
        return EXIT_USAGE;
    }
    const struct target *t = o->target ? target_find(o->target) : NULL;
    if (w.kind == WANT_AUTO && (!t || t->kind == TARGET_GPU)) {
        enum nn_status status = nn_cuda_open(&d->cuda, NULL, &m);
        if (status && t)
            return fail(&m, status);
        if (status && w.told)
            fprintf(stderr, "nnc: computing on the CPU: %s\n", m.text);
        w.kind = status ? WANT_CPU : WANT_CUDA;
    }
    int bad = w.kind == WANT_CUDA || w.kind == WANT_SIM ? open_gpu(d, &w, o) : use_cpu(d, o);
    return bad ? bad : choose_gemm(d, o);
}

void nnc_device_close(struct nnc_device *d)
{
    nn_device_close(d->device);
    nn_cuda_close(d->cuda);
    *d = (struct nnc_device){0};
}
