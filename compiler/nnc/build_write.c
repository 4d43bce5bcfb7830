/* nnc build, the files: header, archive, loose objects, a shared library, a rule for make. */
#include "cuda/cuda.h"
#include "nnc/build.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_file(const struct build *b, const char *name, const struct text *t)
{
    const char *path = arena_printf(b->mem, "%s/%s", b->o.out, name);
    if (!file_write_atomic(path, t->p, t->n))
        return 0;
    fprintf(stderr, "nnc build: cannot write %s: %s\n", path, strerror(errno));
    return EXIT_MACHINE;
}

/* The objects in one form, each a file. */
static int write_loose(const struct build *b, const pack_files *f)
{
    int bad = 0;
    for (uint32_t i = 0; !bad && i < f->n; i++)
        bad = write_file(b, f->p[i].name, &f->p[i].bytes);
    return bad;
}

static void remove_loose(const struct build *b, const pack_files *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        unlink(arena_printf(b->mem, "%s/%s", b->o.out, f->p[i].name));
}

static int write_archive(const struct build *b, const pack_files *f)
{
    struct text t = {0};
    pack_archive(f->p, f->n, &t);
    int bad = write_file(b, arena_printf(b->mem, "lib%s.a", b->prefix), &t);
    text_free(&t);
    return bad;
}

/* A module found in a folder of -I or in the standard library is named relative to that. */
static const char *source_path(const struct build *b, const char *name)
{
    for (uint32_t i = 0; access(name, F_OK) && i < b->o.include.n; i++) {
        const char *path = arena_printf(b->mem, "%s/%s", b->o.include.p[i], name);
        if (!access(path, F_OK))
            return path;
    }
    return name;
}

/* A rule in make's language: the library, then every source file. */
static int write_depfile(const struct build *b)
{
    struct text t = {0};
    text_printf(&t, "%s/lib%s.a %s/%s.h:", b->o.out, b->prefix, b->o.out, b->prefix);
    for (uint32_t i = 1; *diag_file_name(b->diag, i); i++) {
        text_printf(&t, " \\\n ");
        for (const char *c = source_path(b, diag_file_name(b->diag, i)); *c; c++)
            text_printf(&t, *c == ' ' || *c == '#' ? "\\%c" : *c == '$' ? "$%c" : "%c", *c);
    }
    text_printf(&t, "\n");
    int bad = file_write_atomic(b->o.depfile, t.p, t.n);
    if (bad)
        fprintf(stderr, "nnc build: cannot write %s: %s\n", b->o.depfile, strerror(errno));
    text_free(&t);
    return bad ? EXIT_MACHINE : 0;
}

/* ---- all ---- */

/* The objects of the model or of --kernels in one form, as the parts want them. */
static int write_code(struct build *b, const struct pack_model *m, enum back_form form)
{
    pack_files f = {0};
    char *message = NULL;
    int bad = 0;
    bool objects = form == BACK_OBJECT, keep = !objects || b->parts & PART_OBJ;
    bool made = b->kernels ? pack_kernels_objects(b->kernels, form, b->mem, &f, &message)
                           : pack_objects(m, form, b->mem, &f, &message);
    if (!made) {
        fprintf(stderr, "nnc build: %s\n", message ? message : "LLVM failed");
        bad = EXIT_MACHINE;
    }
    if (!bad && (keep || b->parts & PART_SO))
        bad = write_loose(b, &f);
    if (!bad && objects && b->parts & PART_LIB)
        bad = write_archive(b, &f);
    if (!bad && objects && b->parts & PART_SO)
        bad = build_link_shared(b, &f);
    if (!keep && b->parts & PART_SO)
        remove_loose(b, &f);
    free(message);
    pack_free(&f);
    return bad;
}

/* Machine code of the GPUs' levels by NVIDIA's assembler: into the library where it is found, and
 * as files, which must be. */
static int assemble(struct build *b)
{
    bool files = b->parts & PART_CUBIN, library = b->parts & (PART_LIB | PART_OBJ | PART_SO);
    for (uint32_t i = 0; i < b->levels; i++) {
        const struct text *ptx = &b->c[i].ptx;
        const char *chip = b->target[i]->name;
        char why[400];
        void *cubin;
        size_t n;
        if (b->target[i]->kind != TARGET_GPU || !(files || (library && !b->kernels)))
            continue;
        if (nn_cuda_assemble(ptx->p, ptx->n, chip, &cubin, &n, why, sizeof why)) {
            text_write(&b->cubin[i], cubin, n);
            free(cubin);
        } else if (files && !*why) {
            fprintf(stderr, "nnc build: --emit cubin needs ptxas, which is not found\n");
            return EXIT_MACHINE;
        } else if (*why) {
            fprintf(stderr, "nnc build: ptxas makes no machine code for %s: %s\n", chip, why);
            if (files)
                return EXIT_MACHINE;
        }
    }
    return 0;
}

/* The GPUs' levels as files. */
static int write_gpu(struct build *b)
{
    int bad = 0;
    for (uint32_t i = 0; !bad && i < b->levels; i++) {
        const char *name = arena_printf(b->mem, "%s.%s", b->prefix, b->target[i]->name);
        if (b->target[i]->kind == TARGET_GPU && b->parts & PART_PTX)
            bad = write_file(b, arena_printf(b->mem, "%s.ptx", name), &b->c[i].ptx);
        if (!bad && b->target[i]->kind == TARGET_GPU && b->parts & PART_CUBIN)
            bad = write_file(b, arena_printf(b->mem, "%s.cubin", name), &b->cubin[i]);
    }
    return bad;
}

static int write_header(const struct build *b, const struct pack_model *m)
{
    struct text t = {0};
    if (b->kernels)
        pack_kernels_header(b->kernels, &t);
    else
        pack_header(m, &t);
    int bad = write_file(b, arena_printf(b->mem, "%s.h", b->prefix), &t);
    text_free(&t);
    return bad;
}

/* `m`: NULL with --kernels. */
static int write_all(struct build *b, const struct pack_model *m)
{
    int bad = 0;
    if (mkdir(b->o.out, 0777) && errno != EEXIST) {
        fprintf(stderr, "nnc build: cannot make the folder %s: %s\n", b->o.out, strerror(errno));
        return EXIT_MACHINE;
    }
    if (b->parts & PART_HEADER)
        bad = write_header(b, m);
    if (!bad && b->parts & (PART_OBJ | PART_LIB | PART_SO))
        bad = write_code(b, m, BACK_OBJECT);
    if (!bad && b->parts & PART_ASM)
        bad = write_code(b, m, BACK_ASM);
    if (!bad && b->parts & PART_LLVM)
        bad = write_code(b, m, BACK_LLVM);
    if (!bad && b->parts & (PART_PTX | PART_CUBIN))
        bad = write_gpu(b);
    if (!bad && b->o.depfile)
        bad = write_depfile(b);
    return bad;
}

int build_write_kernels(struct build *b, const struct pack_kernels *k)
{
    b->kernels = k;
    int bad = assemble(b);
    return bad ? bad : write_all(b, NULL);
}

/* Whether all that is saved belongs to one of the train block's several models: its name with a dot
 * is in front, as in the weights that training saves. */
static const char *part(const struct build *b)
{
    const struct front_train *t = front_train(b->front);
    const struct ir_module *m = b->c[0].m;
    for (uint32_t k = 0; t && t->ninstances > 1 && k < t->ninstances; k++) {
        const char *start = arena_printf(b->mem, "%s.", t->instance[k]);
        bool any = false, all = true;
        for (uint32_t i = 0; i < m->slots.n; i++) {
            bool saved = m->slots.p[i].kind == NN_SLOT_PARAM || m->slots.p[i].kind == NN_SLOT_STATE;
            any |= saved;
            all &= !saved || !strncmp(m->slots.p[i].name, start, strlen(start));
        }
        if (any && all)
            return start;
    }
    return NULL;
}

/* Of the self-test's f32 results: contractions that multiply in fewer bits round what differs. */
double build_tolerance(const struct build *b)
{
    const char *precision = b->train ? b->train->precision : NULL;
    if (!precision)
        return 1e-4;
    return !strcmp(precision, "bf16") ? 3e-2 : 4e-3;
}

int build_write(struct build *b)
{
    struct pack_level level[LEVELS];
    int bad = assemble(b);
    if (bad)
        return bad;
    for (uint32_t i = 0; i < b->levels; i++) {
        level[i] = (struct pack_level){.target = b->target[i],
                                       .image = b->c[i].image,
                                       .peak = program_peak(program_memory(b->c[i].program))};
        if (b->target[i]->kind == TARGET_GPU) {
            level[i].code = &b->c[i].ptx;
            level[i].cubin = &b->cubin[i];
        }
        level[i].kernel = program_kernels(b->c[i].program, &level[i].kernels);
    }
    const char *file = b->o.args.p[0], *slash = strrchr(file, '/');
    struct pack_model m = {.name = b->model->name,
                           .part = part(b),
                           .prefix = b->prefix,
                           .source = slash ? slash + 1 : file,
                           .version = NNC_VERSION,
                           .batch = b->train ? b->train->batch : 0,
                           .epochs = b->train ? b->train->epochs : -1,
                           .steps = b->train ? b->train->steps : -1,
                           .seed = b->train ? b->train->seed : 0,
                           .level = level,
                           .levels = b->levels,
                           .base = b->base,
                           .probe = b->probed ? &b->probe : NULL,
                           .tolerance = build_tolerance(b),
                           .hash_code = !b->o.no_code_hash};
    return write_all(b, &m);
}
