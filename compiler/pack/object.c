/* The library's objects: for each level its kernels; one more with the images, the tables of
 * kernels (runtime/package.h, word by word) and the functions of the header. */
#include "common.h"
#include "pack/pack.h"
#include "package.h"

struct packing {
    const struct pack_model *m;
    struct arena *mem;
    enum back_form form;
    char **message;
    struct back_object *o;
    VEC(const char *) symbols;  /* of the object in work */
    VEC(struct pack_code) code; /* by level */
};

/* x86-64-v3 as part of a symbol. */
static const char *level_word(struct arena *mem, const struct pack_level *l)
{
    char *s = arena_printf(mem, "%s", l->target->name);
    for (char *c = s; *c; c++)
        *c = *c == '-' ? '_' : *c;
    return s;
}

static const char *named(struct packing *p, const char *fmt, const char *a, const char *b)
{
    const char *s = arena_printf(p->mem, fmt, p->m->prefix, a, b);
    vec_push(&p->symbols, s);
    return s;
}

static void finish_file(struct packing *p, const char *name, struct text bytes, pack_files *out)
{
    struct pack_file f = {.name = name, .bytes = bytes, .symbols = p->symbols.n};
    f.symbol = arena_dup(p->mem, p->symbols.p, p->symbols.n * sizeof *p->symbols.p);
    p->symbols.n = 0;
    vec_push(out, f);
}

const char *pack_extension(enum back_form form)
{
    switch (form) {
    case BACK_LLVM: return "ll";
    case BACK_ASM: return "s";
    case BACK_OBJECT: break;
    }
    return "o";
}

/* Renames the kernels: several levels and several models meet in one program. */
static bool level_object(struct packing *p, const struct pack_level *l, pack_files *out)
{
    const char *start = arena_printf(p->mem, "%s.%s.", p->m->prefix, level_word(p->mem, l));
    for (size_t i = 0; i < l->kernels; i++) {
        struct lo_kernel *k = l->kernel[i];
        if (strncmp(k->name, start, strlen(start))) /* else named before, for another form */
            k->name = arena_printf(k->mem, "%s%s", start, k->name);
        vec_push(&p->symbols, k->name);
    }
    struct text bytes = {0};
    if (!back_emit(l->target, l->kernel, l->kernels, p->form, &bytes, p->message))
        return false;
    struct pack_code code = {0};
    if (p->m->hash_code && p->form == BACK_OBJECT && l->kernels)
        pack_read_code(&bytes, l->kernel[0]->name, p->mem, &code);
    vec_push(&p->code, code);
    finish_file(
        p, arena_printf(p->mem, "%s.%s.%s", p->m->prefix, l->target->name, pack_extension(p->form)),
        bytes, out);
    return true;
}

/* NULL: a null pointer. */
static struct back_word at(const char *symbol) { return (struct back_word){symbol, 0}; }
static struct back_word number(uint64_t v) { return (struct back_word){NULL, v}; }

static const char *string(struct packing *p, const char *what, const char *s)
{
    const char *symbol = named(p, "%s.text.%s%s", what, "");
    back_object_bytes(p->o, symbol, s, strlen(s) + 1);
    return symbol;
}

/* A CPU level's kernels in the image's order. */
static const char *kernel_table(struct packing *p, const struct pack_level *l, const char *word)
{
    const char *table = named(p, "%s.%s.kernels%s", word, "");
    struct back_word *w = xcalloc(l->kernels + 1, sizeof *w);
    for (size_t i = 0; i < l->kernels; i++)
        w[i] = at(l->kernel[i]->name);
    back_object_words(p->o, table, w, l->kernels);
    free(w);
    return table;
}

/* A struct nn_level; `x`: code of a CPU's, all zero where there is no hash. */
static const char *level_words(struct packing *p, const struct pack_level *l,
                               const struct pack_code *x)
{
    const char *word = level_word(p->mem, l);
    const char *image = named(p, "%s.%s.image%s", word, "");
    const char *symbol = named(p, "%s.%s.level%s", word, "");
    const char *table = l->code ? NULL : kernel_table(p, l, word);
    const char *code = l->code ? named(p, "%s.%s.code%s", word, "") : NULL;
    bool machine = code && l->cubin && l->cubin->n;
    const char *cubin = machine ? named(p, "%s.%s.cubin%s", word, "") : NULL;
    back_object_bytes(p->o, image, l->image, l->image->bytes);
    if (code)
        back_object_bytes(p->o, code, l->code->p, l->code->n + 1);
    if (machine)
        back_object_bytes(p->o, cubin, l->cubin->p, l->cubin->n);
    const char *skip = x->skips ? named(p, "%s.%s.skip%s", word, "") : NULL;
    if (skip)
        back_object_bytes(p->o, skip, x->skip, x->skips * sizeof *x->skip);
    struct back_word level[] = {
        at(string(p, word, l->target->name)),
        at(image),
        number(l->image->bytes),
        number(nn_hash(l->image, l->image->bytes)),
        at(table),
        number(table ? l->kernels : 0),
        at(code),
        number(code ? l->code->n : 0),
        number(code ? nn_hash(l->code->p, l->code->n) : 0),
        at(cubin),
        number(machine ? l->cubin->n : 0),
        number(machine ? nn_hash(l->cubin->p, l->cubin->n) : 0),
        at(x->symbol),
        number(x->symbol_at),
        number(x->bytes),
        number(x->hash),
        at(skip),
        number(x->skips),
    };
    back_object_words(p->o, symbol, level, COUNT(level));
    return symbol;
}

static uint64_t double_word(double v)
{
    uint64_t w;
    memcpy(&w, &v, sizeof w);
    return w;
}

/* A struct nn_probe_rec. */
static const char *probe_words(struct packing *p)
{
    const struct nn_probe *q = p->m->probe;
    uint32_t n = q ? q->count : 0;
    const char *results = named(p, "%s.probe.results%s%s", "", "");
    const char *symbol = named(p, "%s.probe%s%s", "", "");
    double *value = xcalloc(n + 1u, sizeof *value);
    for (uint32_t i = 0; i < n; i++)
        value[i] = q->result[i].value;
    back_object_bytes(p->o, results, value, n * sizeof *value);
    free(value);
    struct back_word w[] = {number(n), at(results), number(q ? q->forward_limit : 0),
                            number(q ? q->step_limit : 0), number(double_word(p->m->tolerance))};
    back_object_words(p->o, symbol, w, COUNT(w));
    return symbol;
}

/* A struct nn_model. */
static const char *model_words(struct packing *p)
{
    const struct pack_model *m = p->m;
    struct back_word *l = xcalloc(m->levels, sizeof *l);
    static const struct pack_code none;
    for (uint32_t i = 0; i < m->levels; i++)
        l[i] = at(level_words(p, &m->level[i], i < p->code.n ? &p->code.p[i] : &none));
    const char *levels = named(p, "%s.levels%s%s", "", "");
    back_object_words(p->o, levels, l, m->levels);
    free(l);
    struct back_word w[] = {number(NN_PACKAGE_VERSION),
                            at(string(p, "name", m->name)),
                            at(m->part ? string(p, "part", m->part) : NULL),
                            number(m->levels),
                            at(levels),
                            number((uint64_t)m->epochs),
                            number((uint64_t)m->steps),
                            number((uint64_t)m->seed),
                            number((uint64_t)m->batch),
                            at(probe_words(p)),
                            at(m->level[m->levels - 1].code ? "nn_gpu" : NULL)};
    const char *symbol = named(p, "%s.model%s%s", "", "");
    back_object_words(p->o, symbol, w, COUNT(w));
    return symbol;
}

static bool table_object(struct packing *p, pack_files *out)
{
    pack_functions f = {0};
    p->o = back_object_new(p->m->base, p->m->prefix, p->message);
    if (!p->o)
        return false;
    const char *model = model_words(p);
    pack_api(p->m, p->mem, &f);
    for (uint32_t i = 0; i < f.n; i++) {
        for (uint32_t k = 0; k < f.p[i].args; k++)
            if (f.p[i].arg[k].kind == BACK_SYMBOL)
                f.p[i].arg[k].symbol = model;
        back_object_call(p->o, named(p, "%s_%s%s", f.p[i].suffix, ""), f.p[i].letters,
                         f.p[i].letter, f.p[i].callee, f.p[i].arg, f.p[i].args);
    }
    vec_free(&f);
    struct text bytes = {0};
    bool ok = back_object_emit(p->o, p->form, &bytes, p->message);
    back_object_free(p->o);
    if (ok)
        finish_file(p, arena_printf(p->mem, "%s.%s", p->m->prefix, pack_extension(p->form)), bytes,
                    out);
    return ok;
}

bool pack_objects(const struct pack_model *m, enum back_form form, struct arena *mem,
                  pack_files *out, char **message)
{
    struct packing p = {.m = m, .mem = mem, .form = form, .message = message};
    bool ok = true;
    for (uint32_t i = 0; ok && i < m->levels; i++)
        ok = m->level[i].code || level_object(&p, &m->level[i], out);
    ok = ok && table_object(&p, out);
    vec_free(&p.symbols);
    vec_free(&p.code);
    return ok;
}

void pack_free(pack_files *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        text_free(&f->p[i].bytes);
    vec_free(f);
}
