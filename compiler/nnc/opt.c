/* nnc opt --passes=a,b [--print-after=a] [--stop-after=a] FILE.graph: runs passes by name over
 * every graph of a module's text and prints the module. */
#include "nnc/nnc.h"
#include "pass/pass.h"
#include <errno.h>

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
static bool parse_list(const struct nnc_options *o, const struct pass **list, size_t room,
                       size_t *n)
{
    const char *passes = o->passes ? o->passes : "";
    char *copy = xmalloc(strlen(passes) + 1), *rest = copy;
    strcpy(copy, passes);
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

static void run(struct ir_module *m, const struct nnc_options *o, const struct pass *const *list,
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

static int run_file(const struct nnc_options *o, const struct pass *const *list, size_t n)
{
    size_t size;
    char *text = file_read(o->args.p[0], (size_t)1 << 30, &size);
    if (!text) {
        fprintf(stderr, "nnc opt: %s: %s\n", o->args.p[0], strerror(errno));
        return EXIT_REFUSED;
    }
    struct diag *d = diag_new();
    struct ir_module *m = ir_read(d, diag_add_file(d, o->args.p[0], text, size));
    free(text);
    if (m)
        run(m, o, list, n);
    diag_print(d, stderr);
    bool ok = m && !diag_errors(d);
    ir_module_free(m);
    diag_free(d);
    return ok ? 0 : EXIT_REFUSED;
}

int cmd_opt(int argc, char **argv)
{
    struct nnc_options o;
    const struct pass *list[256];
    size_t n;
    int status = EXIT_USAGE;
    nnc_parse_options(&o, "opt", argc, argv, "passes print_after stop_after", 1);
    if (parse_list(&o, list, COUNT(list), &n) && (!o.print_after || find(o.print_after)) &&
        (!o.stop_after || find(o.stop_after)))
        status = run_file(&o, list, n);
    nnc_free_options(&o);
    return status;
}
