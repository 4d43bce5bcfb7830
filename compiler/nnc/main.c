/* The command: finds the subcommand in commands.def and runs it. */
#include "nnc/nnc.h"
#include <errno.h>
#include <signal.h>

static const struct {
    const char *name, *synopsis, *help;
    int (*run)(int argc, char **argv);
} commands[] = {
#define COMMAND(name, synopsis, help) {#name, synopsis, help, cmd_##name},
#include "nnc/commands.def"
#undef COMMAND
};

static void usage(FILE *out)
{
    fprintf(out, "usage: nnc COMMAND …    (nnc COMMAND --help says more)\n");
    for (size_t i = 0; i < COUNT(commands); i++) {
        char left[80];
        snprintf(left, sizeof left, "%s %s", commands[i].name, commands[i].synopsis);
        fprintf(out, "  %-46s %s\n", left, commands[i].help);
    }
}

/* What was printed must have arrived: a full disk is a failure. */
static int flushed(int status)
{
    if (!fflush(stdout) && !ferror(stdout))
        return status;
    fprintf(stderr, "nnc: cannot write the output: %s\n", strerror(errno));
    return EXIT_MACHINE;
}

int main(int argc, char **argv)
{
    const char *names[COUNT(commands)];
    signal(SIGXFSZ, SIG_IGN); /* a file's size limit is an error of the write */
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help") || !strcmp(argv[1], "-h")) {
        usage(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("nnc %s\n", NNC_VERSION);
        return 0;
    }
    for (size_t i = 0; i < COUNT(commands); i++) {
        if (!strcmp(argv[1], commands[i].name))
            return flushed(commands[i].run(argc - 2, argv + 2));
        names[i] = commands[i].name;
    }
    const char *near = nearest_name(argv[1], names, COUNT(names));
    fprintf(stderr, "nnc: unknown command %s", argv[1]);
    if (near)
        fprintf(stderr, "; did you mean %s?", near);
    fputs("\n", stderr);
    usage(stderr);
    return EXIT_USAGE;
}
