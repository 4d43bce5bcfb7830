/* nnc-test-tool MODE ARGUMENT… : the test modes by name. tests/run gives the mode and its arguments
 * as one word with blanks, from a file's first line. */
#include "tool.h"

static const struct {
    const char *name, *synopsis, *help;
    int (*run)(int argc, char **argv);
} modes[] = {
#define MODE(name, synopsis, help) {#name, synopsis, help, mode_##name},
#include "modes.def"
#undef MODE
};

static int usage(void)
{
    fprintf(stderr, "usage: nnc-test-tool MODE …\n");
    for (size_t i = 0; i < COUNT(modes); i++)
        fprintf(stderr, "  %-8s %-20s %s\n", modes[i].name, modes[i].synopsis, modes[i].help);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    char *words[32], *rest, *copy;
    int n = 0, status = -1;
    if (argc < 2)
        return usage();
    rest = copy = xmalloc(strlen(argv[1]) + 1);
    strcpy(copy, argv[1]);
    for (char *word; (word = strsep(&rest, " ")) && n < 16;)
        if (*word)
            words[n++] = word;
    for (int i = 2; i < argc && n < 31; i++)
        words[n++] = argv[i];
    words[n] = NULL;
    for (size_t i = 0; i < COUNT(modes) && n; i++)
        if (!strcmp(modes[i].name, words[0]))
            status = modes[i].run(n, words);
    free(copy);
    return status < 0 ? usage() : status;
}
