/* ptxas for tests: found in PATH, CUDA_HOME or /usr/local/cuda; where there is none, what it would
 * check is skipped, and said so once. */
#ifndef NNC_TEST_PTXAS_H
#define NNC_TEST_PTXAS_H

#include "base/base.h"
#include <unistd.h>

/* NULL: there is none. */
static inline const char *ptxas_path(void)
{
    static char path[512];
    static int found = -1;
    if (found >= 0)
        return found ? path : NULL;
    const char *home = getenv("CUDA_HOME");
    char *dirs = NULL, *rest;
    struct text t = {0};
    text_printf(&t, "%s:%s%s:/usr/local/cuda/bin", getenv("PATH") ? getenv("PATH") : "",
                home ? home : "", home ? "/bin" : "");
    found = 0;
    rest = dirs = t.p;
    for (char *d; !found && (d = strsep(&rest, ":"));) {
        snprintf(path, sizeof path, "%.400s/ptxas", d);
        found = *d && !access(path, X_OK);
    }
    free(dirs);
    if (!found)
        printf(
            "no ptxas in PATH, CUDA_HOME or /usr/local/cuda/bin: what it would check is skipped\n");
    return found ? path : NULL;
}

/* What `ptxas -v` says of the text; *ok: whether it takes it. Heap; NULL: there is none, or no file
 * could be made. */
static inline char *ptxas_run(const char *target, const char *ptx, bool *ok)
{
    const char *ptxas = ptxas_path();
    char name[] = "/tmp/nnc-ptx-XXXXXX", line[512];
    int fd = ptxas ? mkstemp(name) : -1;
    if (fd < 0)
        return NULL;
    struct text command = {0}, out = {0};
    FILE *f = fdopen(fd, "w");
    fputs(ptx, f);
    fclose(f);
    text_printf(&command, "'%s' -v -arch=%s -o /dev/null %s 2>&1", ptxas, target, name);
    text_printf(&out, "%s", "");
    FILE *p = popen(command.p, "r");
    while (p && fgets(line, sizeof line, p))
        text_printf(&out, "%s", line);
    *ok = p && pclose(p) == 0;
    unlink(name);
    text_free(&command);
    return out.p;
}

#endif
