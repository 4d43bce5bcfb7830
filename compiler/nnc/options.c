/* Options: one table for all commands; a command names those it takes. */
#include "nnc/nnc.h"
#include <errno.h>
#include <limits.h>
#include <unistd.h>

enum kind { FLAG_K, STRING_K, INTEGER_K, REAL_K, PAIRS_K };
struct option {
    const char *field, *name, *arg, *help;
    enum kind kind;
    size_t offset;
};
#define AT(f) offsetof(struct nnc_options, f)
static const struct option options[] = {
#define FLAG(f, name, help) {#f, name, NULL, help, FLAG_K, AT(f)},
#define STRING(f, name, arg, help) {#f, name, arg, help, STRING_K, AT(f)},
#define INTEGER(f, name, arg, help) {#f, name, arg, help, INTEGER_K, AT(f)},
#define REAL(f, name, arg, help) {#f, name, arg, help, REAL_K, AT(f)},
#define PAIRS(f, name, arg, help) {#f, name, arg, help, PAIRS_K, AT(f)},
#include "nnc/options.def"
#undef FLAG
#undef STRING
#undef INTEGER
#undef REAL
#undef PAIRS
};

struct parse {
    struct nnc_options *o;
    const char *command, *allowed;
    int argc, at;
    char **argv;
};

static const struct {
    const char *name, *synopsis, *help;
} commands[] = {
#define COMMAND(name, synopsis, help) {#name, synopsis, help},
#include "nnc/commands.def"
#undef COMMAND
};

static bool is_allowed(const struct parse *p, const struct option *o)
{
    size_t n = strlen(o->field);
    for (const char *s = p->allowed; (s = strstr(s, o->field)); s += n)
        if ((s == p->allowed || s[-1] == ' ') && (!s[n] || s[n] == ' '))
            return true;
    return false;
}

static void usage(const struct parse *p, FILE *out)
{
    for (size_t i = 0; i < COUNT(commands); i++)
        if (!strcmp(commands[i].name, p->command))
            fprintf(out, "usage: nnc %s %s [options]\n%s\n", p->command, commands[i].synopsis,
                    commands[i].help);
    for (size_t i = 0; i < COUNT(options); i++) {
        char left[40];
        if (!is_allowed(p, &options[i]))
            continue;
        snprintf(left, sizeof left, "%s%s %s", options[i].name[1] ? "--" : " -", options[i].name,
                 options[i].arg ? options[i].arg : "");
        fprintf(out, "  %-24s %s\n", left, options[i].help);
    }
}

NNC_NORETURN static void refuse(const struct parse *p, const char *what, const char *name)
{
    fprintf(stderr, "nnc %s: %s%s\n", p->command, what, name);
    usage(p, stderr);
    exit(EXIT_USAGE);
}

NNC_NORETURN static void refuse_unknown(const struct parse *p, const char *name)
{
    const char *names[COUNT(options)];
    size_t n = 0;
    for (size_t i = 0; i < COUNT(options); i++)
        if (is_allowed(p, &options[i]))
            names[n++] = options[i].name;
    const char *near = nearest_name(name, names, n);
    fprintf(stderr, "nnc %s: unknown option --%s", p->command, name);
    if (near)
        fprintf(stderr, "; did you mean --%s?", near);
    fprintf(stderr, "\n(nnc %s --help lists them)\n", p->command);
    exit(EXIT_USAGE);
}

static void set_number(const struct parse *p, const struct option *o, const char *value)
{
    char *end;
    errno = 0;
    if (o->kind == INTEGER_K) {
        bool positive = o->offset == AT(batch) || o->offset == AT(threads) ||
                        o->offset == AT(epochs) || o->offset == AT(steps);
        long long v = strtoll(value, &end, 10);
        if (!*end && end != value && errno == ERANGE && v > 0)
            refuse(p, "the number is larger than 9223372036854775807: --", o->name);
        if (errno || *end || end == value || v < positive)
            refuse(p,
                   positive ? "a number of 1 or more is wanted for --"
                            : "a number of 0 or more is wanted for --",
                   o->name);
        *(int64_t *)(void *)((char *)p->o + o->offset) = v;
    } else {
        double v = strtod(value, &end);
        if (errno || *end || end == value || !(v >= 0))
            refuse(p, "a number of 0 or more is wanted for --", o->name);
        *(double *)(void *)((char *)p->o + o->offset) = v;
    }
}

static void set(const struct parse *p, const struct option *o, char *value)
{
    void *field = (char *)p->o + o->offset;
    switch (o->kind) {
    case FLAG_K: *(bool *)field = true; break;
    case STRING_K: *(const char **)field = value; break;
    case INTEGER_K:
    case REAL_K: set_number(p, o, value); break;
    case PAIRS_K: {
        char *eq = strchr(value, '=');
        struct nnc_pair pair = {eq ? value : NULL, eq ? eq + 1 : value};
        if (eq)
            *eq = 0;
        vec_push((nnc_pairs *)field, pair);
        break;
    }
    }
}

/* One argument that begins with '-': --name, --name=value, --name value, -Dk=v, -D k=v. */
static void parse_one(struct parse *p)
{
    char *s = p->argv[p->at], *value = NULL;
    bool longer = s[1] == '-';
    char *name = s + (longer ? 2 : 1);
    size_t n = longer ? strcspn(name, "=") : 1;
    if (longer && name[n])
        value = name + n + 1;
    else if (!longer && name[1])
        value = name + 1;
    if ((longer && !strcmp(name, "help")) || (!longer && *name == 'h' && !value)) {
        usage(p, stdout);
        exit(0);
    }
    for (size_t i = 0; i < COUNT(options); i++) {
        const struct option *o = &options[i];
        if (strlen(o->name) != n || memcmp(o->name, name, n) || !is_allowed(p, o) ||
            longer != (o->name[1] != 0))
            continue;
        if (o->kind == FLAG_K && value)
            refuse(p, "no value belongs to --", o->name);
        if (o->kind != FLAG_K && !value) {
            if (p->at + 1 >= p->argc)
                refuse(p, "a value is missing after ", s);
            value = p->argv[++p->at];
        }
        set(p, o, value);
        return;
    }
    name[n] = 0;
    refuse_unknown(p, name);
}

/* NNC_STDLIB; else the installed one, found from the program's own place; else the source tree's.
 */
static const char *stdlib_folder(void)
{
    static char path[PATH_MAX + 32];
    const char *env = getenv("NNC_STDLIB");
    if (env)
        return env;
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
    char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;
    if (slash) {
        strcpy(slash, "/../share/nnc/stdlib");
        if (!access(path, R_OK | X_OK))
            return path;
    }
    return NNC_STDLIB_BUILD;
}

static void check_policy(const struct parse *p)
{
    struct text known = {0};
    const char *name;
    if (!p->o->policy)
        return;
    for (size_t i = 0; (name = fuse_policy_name(i)); i++) {
        if (!strcmp(name, p->o->policy))
            return;
        text_printf(&known, "%s%s", i ? ", " : "", name);
    }
    fprintf(stderr, "nnc %s: unknown policy %s; known are %s\n", p->command, p->o->policy, known.p);
    exit(EXIT_USAGE);
}

static void check_budget(const struct parse *p)
{
    uint64_t bytes;
    if (!p->o->budget || nnc_parse_bytes(p->o->budget, &bytes))
        return;
    fprintf(stderr, "nnc %s: --budget %s: bytes are wanted, 1 to 1e18, as in 200MB, 1.5G, 64MiB\n",
            p->command, p->o->budget);
    exit(EXIT_USAGE);
}

void nnc_parse_options(struct nnc_options *o, const char *command, int argc, char **argv,
                       const char *allowed, uint32_t nargs)
{
    struct parse p = {o, command, allowed, argc, 0, argv};
    *o = (struct nnc_options){0};
    for (size_t i = 0; i < COUNT(options); i++)
        if (options[i].kind == INTEGER_K)
            *(int64_t *)(void *)((char *)o + options[i].offset) = -1;
        else if (options[i].kind == REAL_K)
            *(double *)(void *)((char *)o + options[i].offset) = -1;
    bool only_args = false;
    for (; p.at < argc; p.at++) {
        char *s = argv[p.at];
        if (!only_args && !strcmp(s, "--"))
            only_args = true;
        else if (!only_args && s[0] == '-' && s[1])
            parse_one(&p);
        else
            vec_push(&o->args, s);
    }
    if (o->args.n < nargs)
        refuse(&p, "an argument is missing", "");
    if (o->args.n > nargs)
        refuse(&p, "one argument too many: ", o->args.p[nargs]);
    check_policy(&p);
    check_budget(&p);
    for (uint32_t i = 0; i < o->include_opt.n; i++)
        vec_push(&o->include, o->include_opt.p[i].value);
    vec_push(&o->include, stdlib_folder());
}

void nnc_free_options(struct nnc_options *o)
{
    vec_free(&o->define);
    vec_free(&o->include_opt);
    vec_free(&o->init);
    vec_free(&o->input);
    vec_free(&o->instance);
    vec_free(&o->args);
    vec_free(&o->include);
}
