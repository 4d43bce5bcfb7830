/* nnc build --emit so: a shared library by the system's compiler, or by one for the other kind of
 * processor that the library is for. */
#include "nnc/build.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static bool native(const struct build *b)
{
    return !strcmp(b->base->triple, target_host()->triple);
}

/* aarch64-linux-gnu, of aarch64-unknown-linux-gnu: what compilers and folders are called by. */
static const char *system_name(const struct build *b)
{
    const char *t = b->base->triple, *vendor = strchr(t, '-'), *rest = strchr(vendor + 1, '-');
    return arena_printf(b->mem, "%.*s%s", (int)(vendor - t), t, rest);
}

/* ---- what links ---- */

/* Whether the command is there and compiles for this kind of processor. */
static bool compiles_for(const struct build *b, const char *command)
{
    const char *triple = b->base->triple;
    size_t n = strcspn(triple, "-") + 1;
    char says[100] = "";
    FILE *f = popen(arena_printf(b->mem, "%s -dumpmachine 2>/dev/null", command), "r");
    if (!f)
        return false;
    if (!fgets(says, sizeof says, f))
        says[0] = 0;
    return !pclose(f) && !strncmp(says, triple, n);
}

/* CC, else `cc`; for another kind of processor the first that is for it. */
static const char *find_linker(const struct build *b)
{
    const char *cc = getenv("CC"), *name = system_name(b);
    const char *command[] = {cc && *cc ? cc : "cc", arena_printf(b->mem, "%s-gcc", name),
                             arena_printf(b->mem, "clang --target=%s", name)};
    if (native(b))
        return command[0];
    for (size_t i = 0; i < COUNT(command); i++)
        if (compiles_for(b, command[i]))
            return command[i];
    fprintf(stderr,
            "nnc build: --emit so for %s: no compiler is found that links for it: install %s-gcc, "
            "or name one in CC\n",
            b->base->name, name);
    return NULL;
}

/* --runtime, else libnnrt.a beside the program, as installed or, for this machine, as built. */
static const char *find_runtime(const struct build *b)
{
    const char *places[] = {"../" NNC_LIBDIR, "../lib", "."};
    char exe[PATH_MAX + 1];
    ssize_t n = readlink("/proc/self/exe", exe, PATH_MAX);
    char *slash = n > 0 ? memrchr(exe, '/', (size_t)n) : NULL;
    const char *path = b->o.runtime;
    if (slash)
        *slash = 0;
    if (!native(b))
        places[0] = arena_printf(b->mem, "../lib/%s", system_name(b));
    for (size_t i = 0; slash && !b->o.runtime && i < (native(b) ? COUNT(places) : 1); i++) {
        path = arena_printf(b->mem, "%s/%s/libnnrt.a", exe, places[i]);
        if (!access(path, R_OK))
            break;
    }
    if (path && !access(path, R_OK))
        return path;
    if (b->o.runtime)
        fprintf(stderr, "nnc build: --runtime %s: %s\n", path, strerror(errno));
    else
        fprintf(stderr,
                "nnc build: --emit so for %s: libnnrt.a for it is not where it is installed: give "
                "it with --runtime\n",
                b->base->name);
    return NULL;
}

int build_find_linker(struct build *b)
{
    bool shared = b->parts & PART_SO;
    if (b->o.runtime && (!shared || b->o.functions)) {
        fprintf(stderr, "nnc build: --runtime is for a model's --emit so\n");
        return EXIT_USAGE;
    }
    if (shared && !(b->linker = find_linker(b)))
        return EXIT_MACHINE;
    if (shared && !b->o.functions && !(b->runtime = find_runtime(b)))
        return EXIT_MACHINE;
    return 0;
}

/* ---- linking ---- */

static int run(char *const *argv)
{
    pid_t child;
    int status = -1;
    if (posix_spawnp(&child, argv[0], NULL, NULL, argv, environ)) {
        fprintf(stderr, "nnc build: cannot run %s to link the shared library\n", argv[0]);
        return EXIT_MACHINE;
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        return 0;
    fprintf(stderr, "nnc build: %s could not link the shared library\n", argv[0]);
    return EXIT_MACHINE;
}

int build_link_shared(struct build *b, const pack_files *f)
{
    static const char *const options[] = {
        "-Wl,--exclude-libs,ALL", "-Wl,--gc-sections", "-Wl,-z,defs", "-lm", "-ldl", "-pthread"};
    VEC(char *) argv = {0};
    for (const char *c = b->linker; *c; c += strspn(c, " ")) {
        size_t n = strcspn(c, " ");
        vec_push(&argv, arena_strndup(b->mem, c, n));
        c += n;
    }
    vec_push(&argv, arena_printf(b->mem, "-shared"));
    vec_push(&argv, arena_printf(b->mem, "-o"));
    vec_push(&argv, arena_printf(b->mem, "%s/lib%s.so", b->o.out, b->prefix));
    for (uint32_t i = 0; i < f->n; i++)
        vec_push(&argv, arena_printf(b->mem, "%s/%s", b->o.out, f->p[i].name));
    if (b->runtime)
        vec_push(&argv, arena_printf(b->mem, "%s", b->runtime));
    for (size_t i = 0; i < COUNT(options); i++)
        vec_push(&argv, arena_printf(b->mem, "%s", options[i]));
    vec_push(&argv, NULL);
    int bad = run(argv.p);
    vec_free(&argv);
    return bad;
}
