/* nnc build: what functions, header and library are called. */
#include "nnc/build.h"

#include <ctype.h>

/* Headers and libraries of C and POSIX, which prefix.h and libprefix.a would stand before; and
 * those of whose functions one would be called as ours are: sem_open, mtx_init, res_init. */
static const char *const of_the_system[] = {
    "aio",         "anl",    "assert",    "c",         "cnd",    "complex", "cpio",     "crypt",
    "ctype",       "dirent", "dl",        "dlfcn",     "errno",  "fcntl",   "fenv",     "fmtmsg",
    "fnmatch",     "ftw",    "gcc",       "glob",      "grp",    "iconv",   "inttypes", "iso646",
    "langinfo",    "libgen", "limits",    "locale",    "m",      "malloc",  "math",     "memory",
    "monetary",    "mq",     "mqueue",    "mtx",       "mvec",   "ndbm",    "netdb",    "nl_types",
    "nnrt",        "poll",   "pthread",   "pwd",       "regex",  "res",     "resolv",   "rt",
    "sched",       "search", "sem",       "semaphore", "setjmp", "shm",     "signal",   "spawn",
    "stdalign",    "stdarg", "stdatomic", "stdbool",   "stddef", "stdint",  "stdio",    "stdlib",
    "stdnoreturn", "string", "strings",   "stropts",   "syslog", "tar",     "termios",  "tgmath",
    "threads",     "time",   "trace",     "uchar",     "ulimit", "unistd",  "util",     "utime",
    "utmpx",       "wchar",  "wctype",    "wordexp",   "z",
};

static bool taken(const char *name)
{
    for (size_t i = 0; i < COUNT(of_the_system); i++)
        if (!strcmp(name, of_the_system[i]))
            return true;
    return false;
}

/* --prefix, as it is. */
static int given(struct build *b)
{
    const char *name = b->o.prefix;
    b->prefix = name;
    if (strcmp(pack_identifier(b->mem, name), name) || !*name) {
        fprintf(stderr, "nnc build: --prefix %s: no name in C\n", name);
        return EXIT_USAGE;
    }
    if (taken(name)) {
        fprintf(stderr,
                "nnc build: --prefix %s: %s.h, lib%s.a or %s_… are the system's: another name is "
                "wanted\n",
                name, name, name, name);
        return EXIT_USAGE;
    }
    return 0;
}

int build_read_prefix(struct build *b)
{
    const char *file = b->o.args.p[0], *slash = strrchr(file, '/'),
               *stem = slash ? slash + 1 : file;
    const char *dot = strrchr(stem, '.');
    if (b->o.prefix)
        return given(b);
    char *s = b->o.model ? arena_printf(b->mem, "%s", b->o.model)
                         : arena_strndup(b->mem, stem, dot ? (size_t)(dot - stem) : strlen(stem));
    for (char *c = s; *c; c++) {
        if (!isascii((unsigned char)*c) || !(isalnum((unsigned char)*c) || strchr("_-. ", *c))) {
            fprintf(stderr, "nnc build: %s gives no name in C: give one with --prefix NAME\n", s);
            return EXIT_USAGE;
        }
        *c = (char)tolower((unsigned char)*c);
    }
    b->prefix = pack_identifier(b->mem, s);
    if (taken(b->prefix))
        b->prefix = arena_printf(b->mem, "%s_", b->prefix);
    return 0;
}
