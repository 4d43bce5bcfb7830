/* nnc opt --passes=a,b [--print-after=a] [--stop-after=a] FILE.graph: runs passes by name over
 * every graph of a module's text and prints the module. */
#include "nnc/nnc.h"
#include "pass/pass.h"
#include <errno.h>

struct options {
    const char *passes, *print_after, *stop_after, *file;
};

static int usage(void)
{
    fprintf(stderr, "usage: nnc opt --passes=NAME,NAME [--print-after=NAME] [--stop-after=NAME] "
                    "FILE.graph\npasses:\n");
    for (size_t i = 0; i < pass_count; i++)
        fprintf(stderr, "  %-12s %s\n", pass_table[i].name, pass_table[i].help);
    return EXIT_USAGE;
}

static bool option(const char *arg, const char *name, const char **value)
{
    size_t n = strlen(name);
    if (strncmp(arg, name, n) != 0 || arg[n] != '=')
        return false;
    *value = arg + n + 1;
    return true;
}

static const struct pass *find(const char *name)
{
    const struct pass *p = pass_find(name);
    if (p)
        return p;
    const char **names = xcalloc(pass_count, sizeof *names);
    for (size_t i = 0; i < pass_count; i++)
        names[i] = pass_table[i].name;
    const char *near = nearest_name(name, names, pass_count);
    fprintf(stderr, "nnc opt: no pass `%s`%s%s%s\n", name, near ? "; did you mean `" : "",
            near ? near : "", near ? "`?" : "");
    free(names);
    return NULL;
}

/* The passes of the comma-separated list, up to stop_after. False: a name is unknown. */
static bool parse_list(const struct options *o, const struct pass **list, size_t room, size_t *n)
{
    char *copy = xmalloc(strlen(o->passes) + 1), *rest = copy;
    strcpy(copy, o->passes);
    bool ok = true, stop = false;
    *n = 0;
    for (char *name; ok && (name = strsep(&rest, ","));) {
        const struct pass *p = *name ? find(name) : NULL;
        ok = (p || !*name) && *n < room;
        if (ok && p && !stop)
            list[(*n)++] = p;
        stop = stop || (p && o->stop_after && !strcmp(p->name, o->stop_after));
    }
    free(copy);
    return ok;
}

static void print(const struct ir_module *m)
{
    struct text t = {0};
    ir_print(m, &t);
    fwrite(t.p, 1, t.n, stdout);
    text_free(&t);
}

static void run(struct ir_module *m, const struct options *o, const struct pass *const *list,
                size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (uint32_t g = 0; g < m->graphs.n; g++)
            pass_run(list[i], m->graphs.p[g]);
        if (o->print_after && !strcmp(o->print_after, list[i]->name)) {
            printf("# after %s\n", list[i]->name);
            print(m);
        }
    }
    print(m);
}

static int run_file(const struct options *o, const struct pass *const *list, size_t n)
{
    size_t size;
    char *text = file_read(o->file, (size_t)1 << 30, &size);
    if (!text) {
        fprintf(stderr, "nnc opt: %s: %s\n", o->file, strerror(errno));
        return EXIT_REFUSED;
    }
    struct diag *d = diag_new();
    struct ir_module *m = ir_read(d, diag_add_file(d, o->file, text, size));
    free(text);
    if (m)
        run(m, o, list, n);
    else
        diag_print(d, stderr);
    bool ok = m != NULL;
    ir_module_free(m);
    diag_free(d);
    return ok ? 0 : EXIT_REFUSED;
}

int cmd_opt(int argc, char **argv)
{
    struct options o = {.passes = ""};
    const struct pass *list[256];
    size_t n;
    for (int i = 1; i < argc; i++) {
        if (option(argv[i], "--passes", &o.passes) ||
            option(argv[i], "--print-after", &o.print_after) ||
            option(argv[i], "--stop-after", &o.stop_after))
            continue;
        if (argv[i][0] == '-' || o.file)
            return usage();
        o.file = argv[i];
    }
    if (!o.file)
        return usage();
    if (!parse_list(&o, list, COUNT(list), &n) || (o.print_after && !find(o.print_after)) ||
        (o.stop_after && !find(o.stop_after)))
        return EXIT_USAGE;
    return run_file(&o, list, n);
}
