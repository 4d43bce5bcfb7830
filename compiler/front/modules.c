/* Files and the names in them: `use`, declarations, constants, -D. */
#include "front/elab.h"
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

/* ---- reading files ---- */

static struct module *load(struct front *f, const char *path, struct loc from);

static const char *folder_of(struct front *f, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? arena_strndup(f->mem, path, (size_t)(slash - path)) : NULL;
}

static const char *stem_of(struct front *f, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return intern_n(f->names, name, dot ? (size_t)(dot - name) : strlen(name));
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The .nn files of a folder, sorted; false if it cannot be read. */
static bool folder_files(struct front *f, const char *path, const char ***file, uint32_t *n)
{
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    VEC(const char *) found = {0};
    for (struct dirent *x; (x = readdir(dir));) {
        size_t len = strlen(x->d_name);
        if (len > 3 && x->d_name[0] != '.' && !strcmp(x->d_name + len - 3, ".nn"))
            vec_push(&found, arena_printf(f->mem, "%s/%s", path, x->d_name));
    }
    closedir(dir);
    if (found.n)
        qsort(found.p, found.n, sizeof *found.p, by_text);
    *n = found.n;
    *file = arena_dup(f->mem, found.p ? (const void *)found.p : "", found.n * sizeof *found.p);
    vec_free(&found);
    return true;
}

static bool load_found(struct front *f, struct module_use *u, const char *base, const char *rel,
                       struct loc at, bool *good)
{
    struct stat st;
    const char *file = arena_printf(f->mem, "%s%s%s.nn", base ? base : "", base ? "/" : "", rel);
    const char **files = &file;
    uint32_t n = 1;
    if (stat(file, &st) || !S_ISREG(st.st_mode)) {
        const char *dir = arena_printf(f->mem, "%s%s%s", base ? base : "", base ? "/" : "", rel);
        if (stat(dir, &st) || !S_ISDIR(st.st_mode) || !folder_files(f, dir, &files, &n) || !n)
            return false;
    }
    u->mod = ARENA_ARRAY(f->mem, struct module *, n);
    for (uint32_t i = 0; i < n; i++) {
        struct module *m = load(f, files[i], at);
        *good = *good && m;
        if (m)
            u->mod[u->n++] = m;
    }
    return true;
}

static bool load_use(struct front *f, struct module *m, const struct tree_decl *d,
                     struct module_use *u)
{
    const struct tree_names *part = &d->use;
    struct text rel = {0};
    for (uint32_t i = 0; i < part->n; i++)
        text_printf(&rel, "%s%s", i ? "/" : "", part->p[i].s);
    const char *name = arena_strndup(f->mem, rel.p, rel.n);
    text_free(&rel);
    u->name = d->name.s ? d->name.s : part->p[part->n - 1].s;
    bool good = true;
    if (load_found(f, u, m->folder, name, d->at, &good))
        return good;
    for (size_t i = 0; i < f->o.include_count; i++)
        if (load_found(f, u, f->o.include[i], name, d->at, &good))
            return good;
    diag_error(f->d, d->at, "no module `%s`: neither %s.nn nor a folder %s of .nn files is found",
               name, name, name);
    diag_label(f->d, "looked beside %s, in each -I, in the standard library", m->path);
    return false;
}

static bool load_uses(struct front *f, struct module *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->tree->decls.n; i++)
        n += m->tree->decls.p[i]->kind == TREE_USE;
    m->use = ARENA_ARRAY(f->mem, struct module_use, n);
    bool good = true;
    for (uint32_t i = 0; i < m->tree->decls.n; i++)
        if (m->tree->decls.p[i]->kind == TREE_USE)
            good = load_use(f, m, m->tree->decls.p[i], &m->use[m->nuse++]) && good;
    return good;
}

static bool unique_names(struct front *f, struct module *m)
{
    bool good = true;
    for (uint32_t i = 0; i < m->tree->decls.n; i++)
        for (uint32_t j = 0; j < i; j++) {
            const struct tree_decl *a = m->tree->decls.p[j], *b = m->tree->decls.p[i];
            if (!a->name.s || a->name.s != b->name.s || a->kind == TREE_USE || b->kind == TREE_USE)
                continue;
            diag_error(f->d, b->name.at, "`%s` is declared twice", b->name.s);
            diag_note(f->d, a->name.at, "first here");
            good = false;
        }
    return good;
}

/* Within the standard library's folder, the last to be searched: what follows the folder's name,
 * which is what messages show. NULL elsewhere. */
static const char *in_library(struct front *f, const char *path)
{
    const char *dir = f->o.include_count ? f->o.include[f->o.include_count - 1] : NULL;
    size_t n = dir ? strlen(dir) : 0;
    return n && !strncmp(path, dir, n) && path[n] == '/' ? path + n + 1 : NULL;
}

static struct module *load(struct front *f, const char *path, struct loc from)
{
    for (uint32_t i = 0; i < f->module.n; i++)
        if (!strcmp(f->module.p[i]->path, path))
            return f->module.p[i];
    size_t size;
    char *text = file_read(path, TREE_MAX_SOURCE, &size);
    if (!text) {
        if (errno == EFBIG)
            diag_error(f->d, from, "%s is larger than 4 MiB, which no model file is", path);
        else
            diag_error(f->d, from, "cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    struct module *m = ARENA_NEW(f->mem, struct module);
    m->path = arena_strndup(f->mem, path, strlen(path));
    m->folder = folder_of(f, path);
    m->name = stem_of(f, path);
    vec_push(&f->module, m);
    const char *shown = in_library(f, path);
    m->library = shown != NULL;
    m->tree =
        front_parse(f->d, diag_add_file(f->d, shown ? shown : path, text, size), f->names, f->mem);
    free(text);
    if (!m->tree)
        return NULL;
    bool unique = unique_names(f, m);
    return load_uses(f, m) && unique ? m : NULL;
}

struct front *front_open(struct diag *d, const char *path, const struct front_options *o)
{
    struct front *f = xcalloc(1, sizeof *f);
    f->d = d;
    f->mem = arena_new();
    f->names = intern_new();
    f->o = *o;
    f->o.define = arena_dup(f->mem, o->define, o->define_count * sizeof *o->define);
    f->o.include = arena_dup(f->mem, o->include, o->include_count * sizeof *o->include);
    f->define = ARENA_ARRAY(f->mem, struct tree_expr *, o->define_count);
    f->defined = ARENA_ARRAY(f->mem, bool, o->define_count);
    if (load(f, path, (struct loc){0}))
        return f;
    front_close(f);
    return NULL;
}

void front_close(struct front *f)
{
    if (!f)
        return;
    elab_free(f->of_model);
    vec_free(&f->reported);
    vec_free(&f->module);
    intern_free(f->names);
    arena_free(f->mem);
    free(f);
}

/* ---- names ---- */

const struct tree_decl *module_own(const struct module *m, const char *name)
{
    for (uint32_t i = 0; m->tree && i < m->tree->decls.n; i++) {
        const struct tree_decl *d = m->tree->decls.p[i];
        if (d->name.s == name && d->kind != TREE_USE && d->kind != TREE_TRAIN)
            return d;
    }
    return NULL;
}

const struct tree_decl *module_decl(struct module *m, const char *name, struct module **in)
{
    const struct tree_decl *d = module_own(m, name);
    *in = m;
    for (uint32_t u = 0; !d && u < m->nuse; u++)
        for (uint32_t i = 0; !d && i < m->use[u].n; i++) {
            d = module_own(m->use[u].mod[i], name);
            *in = m->use[u].mod[i];
        }
    return d;
}

static val constant_value(struct elab *e, struct module *m, const struct tree_decl *d,
                          struct loc at)
{
    for (uint32_t i = 0; i < e->constants.n; i++)
        if (e->constants.p[i].decl == d) {
            if (e->constants.p[i].v)
                return e->constants.p[i].v;
            if (elab_error(e, at, "the constant `%s` needs its own value", d->name.s))
                diag_note(e->d, d->at, "it is declared here");
            return v_poison(e);
        }
    uint32_t k = e->constants.n;
    vec_push(&e->constants, ((struct constant){d, NULL}));
    val v = front_defined(e, d->name.s, d->value->kind == TREE_STRING);
    if (!v) {
        struct frame f;
        frame_push(e, &f, m, NULL, (struct loc){0});
        v = eval(e, d->value, NULL);
        frame_pop(e, &f);
    }
    if (v->kind == V_TENSOR) {
        if (elab_error(e, d->value->at,
                       "a constant is a number, bool, string or list known at "
                       "compile time, not %s",
                       v_text(e, v)))
            elab_called(e);
        v = v_poison(e);
    }
    return e->constants.p[k].v = v;
}

static val decl_value(struct elab *e, struct module *m, const struct tree_decl *d, struct loc at)
{
    val v = NULL;
    switch (d->kind) {
    case TREE_CONST: return constant_value(e, m, d, at);
    case TREE_FN: v = v_new(e, V_FN, d->name.at); break;
    case TREE_LAYER:
    case TREE_MODEL:
    case TREE_OPTIMIZER: v = v_new(e, V_DEF, d->name.at); break;
    case TREE_DATASET:
        v = v_new(e, V_DATASET, d->name.at);
        v->dataset = d->name;
        return v;
    case TREE_USE:
    case TREE_TRAIN: return NULL;
    }
    v->def.decl = d;
    v->def.mod = m;
    return v;
}

/* Two used modules may both have the name: then it must be said which. One used twice is one. */
static void check_ambiguous(struct elab *e, struct module *m, const char *name, struct loc at)
{
    const struct module_use *first = NULL;
    const struct module *found = NULL;
    for (uint32_t u = 0; u < m->nuse; u++)
        for (uint32_t i = 0; i < m->use[u].n; i++) {
            if (found == m->use[u].mod[i] || !module_own(m->use[u].mod[i], name))
                continue;
            if (first)
                elab_error(e, at, "`%s` is in %s and in %s: write %s.%s or %s.%s", name,
                           first->name, m->use[u].name, first->name, name, m->use[u].name, name);
            first = &m->use[u];
            found = m->use[u].mod[i];
        }
}

val module_lookup(struct elab *e, struct module *m, const char *name, struct loc at)
{
    struct module *in;
    const struct tree_decl *d = module_decl(m, name, &in);
    if (d) {
        if (in != m)
            check_ambiguous(e, m, name, at);
        return decl_value(e, in, d, at);
    }
    for (uint32_t u = 0; u < m->nuse; u++)
        if (m->use[u].name == name) {
            val v = v_new(e, V_MODULE, at);
            v->module = &m->use[u];
            return v;
        }
    const struct builtin *b = builtin_find(name);
    if (!b)
        return NULL;
    val v = v_new(e, V_BUILTIN, at);
    v->builtin = b;
    return v;
}

val module_member(struct elab *e, const struct module_use *u, const char *name, struct loc at)
{
    const char *seen[256];
    uint32_t n = 0;
    for (uint32_t i = 0; i < u->n; i++) {
        const struct tree_decl *d = module_own(u->mod[i], name);
        if (d)
            return decl_value(e, u->mod[i], d, at);
        for (uint32_t k = 0; k < u->mod[i]->tree->decls.n && n < COUNT(seen); k++)
            if (u->mod[i]->tree->decls.p[k]->name.s)
                seen[n++] = u->mod[i]->tree->decls.p[k]->name.s;
    }
    elab_error(e, at, "the module %s has no `%s`%s", u->name, name, elab_suggest(e, name, seen, n));
    return v_poison(e);
}

static uint32_t own_names(const struct module *m, const char **out, uint32_t n, uint32_t cap)
{
    for (uint32_t i = 0; m->tree && i < m->tree->decls.n && n < cap; i++)
        if (m->tree->decls.p[i]->name.s)
            out[n++] = m->tree->decls.p[i]->name.s;
    return n;
}

uint32_t module_names(const struct module *m, const char **out, uint32_t cap)
{
    uint32_t n = own_names(m, out, 0, cap);
    for (uint32_t u = 0; u < m->nuse; u++)
        for (uint32_t i = 0; i < m->use[u].n; i++)
            n = own_names(m->use[u].mod[i], out, n, cap);
    return n + builtin_names(out + n, cap - n);
}

bool module_std_has(struct elab *e, const struct module *m, const char *name)
{
    struct front *f = e->f;
    struct module_use std = {0};
    bool good = true, has = false;
    struct loc nowhere = {0};
    for (uint32_t u = 0; u < m->nuse; u++)
        if (!strcmp(m->use[u].name, "std"))
            return false;
    if (m->library || !f->o.include_count ||
        !load_found(f, &std, f->o.include[f->o.include_count - 1], "std", nowhere, &good))
        return false;
    for (uint32_t i = 0; i < std.n; i++)
        has = has || module_own(std.mod[i], name);
    return has;
}

/* ---- -D ---- */

val front_defined(struct elab *e, const char *name, bool text_wanted)
{
    struct front *f = e->f;
    for (size_t i = 0; i < f->o.define_count; i++) {
        if (strcmp(f->o.define[i].name, name))
            continue;
        f->defined[i] = true;
        if (text_wanted && *f->o.define[i].value != '"')
            return v_string(e, f->o.define[i].value, (struct loc){0});
        if (!f->define[i]) {
            const char *text = arena_printf(f->mem, "const value = %s\n", f->o.define[i].value);
            const char *file = arena_printf(f->mem, "-D %s", name);
            struct tree_file *t =
                front_parse(f->d, diag_add_file(f->d, file, text, strlen(text)), f->names, f->mem);
            if (!t || t->decls.n != 1 || t->decls.p[0]->kind != TREE_CONST) {
                e->failed = true;
                return v_poison(e);
            }
            f->define[i] = t->decls.p[0]->value;
        }
        struct frame fr;
        frame_push(e, &fr, f->module.p[0], NULL, (struct loc){0});
        val v = eval(e, f->define[i], NULL);
        frame_pop(e, &fr);
        return v;
    }
    return NULL;
}
