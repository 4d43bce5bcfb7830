/* nnc-test-tool MODE FILE: see tests/run. */
#include "tool.h"

struct mode {
    const char *name, *help;
    int (*run)(const char *path);
};
static const struct mode mode[] = {
    {"exec", "fuse by each policy, lower, run in every executor, compare with the evaluator", tool_exec},
    {"fuse", "print the clusters of the greedy plan", tool_fuse},
    {"loops", "print the kernels of the greedy plan", tool_loops},
    {"time", "time the kernels of the greedy plan", tool_time},
};

struct ir_module *tool_read_graph(struct diag *d, const char *path)
{
    size_t size;
    char *text = file_read(path, 1 << 24, &size);
    if (!text) {
        perror(path);
        return NULL;
    }
    struct ir_module *m = ir_read(d, diag_add_file(d, path, text, size));
    free(text);
    diag_print(d, stdout);
    return m;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < COUNT(mode); i++)
        if (!strcmp(mode[i].name, argv[1]))
            return mode[i].run(argv[2]);
    fprintf(stderr, "usage: nnc-test-tool MODE FILE\n");
    for (size_t i = 0; i < COUNT(mode); i++)
        fprintf(stderr, "  %-8s %s\n", mode[i].name, mode[i].help);
    return 2;
}
