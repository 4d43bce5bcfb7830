/* NVIDIA's assembler, where it is installed: newer than the driver's compiler as a rule, and its
 * work can be kept. It runs as a process of its own over files in the folder for temporary ones. */
#include "cuda/private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { CUBIN_MOST = 1 << 28 };

static bool runs(const char *folder, size_t n, char *path, size_t size)
{
    struct stat st;
    snprintf(path, size, "%.*s/ptxas", (int)n, folder);
    return n && !access(path, X_OK) && !stat(path, &st) && S_ISREG(st.st_mode);
}

bool nn_cuda_find_ptxas(char *path, size_t size)
{
    const char *home = getenv("CUDA_HOME");
    char bin[PATH_MAX];
    for (const char *p = getenv("PATH"); p && *p;) {
        size_t n = strcspn(p, ":");
        if (runs(p, n, path, size))
            return true;
        p += n + (p[n] == ':');
    }
    snprintf(bin, sizeof bin, "%s/bin", home ? home : "");
    return (home && runs(bin, strlen(bin), path, size)) ||
           runs("/usr/local/cuda/bin", strlen("/usr/local/cuda/bin"), path, size);
}

static bool write_file(const char *path, const void *p, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(p, 1, bytes, f) == bytes;
    return f && !fclose(f) && ok;
}

/* The file's bytes, heap memory with a 0 behind them; NULL if there is none. */
static char *read_whole(const char *path, size_t most)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    char *p = NULL;
    if (f && !fstat(fileno(f), &st) && st.st_size >= 0 && (size_t)st.st_size < most)
        p = calloc(1, (size_t)st.st_size + 1);
    if (p && fread(p, 1, (size_t)st.st_size, f) != (size_t)st.st_size) {
        free(p);
        p = NULL;
    }
    if (f)
        fclose(f);
    return p;
}

/* Runs it with what it says in the file `log`. */
static bool run(char *const *argv, const char *log)
{
    posix_spawn_file_actions_t files;
    pid_t pid;
    int status = -1;
    if (posix_spawn_file_actions_init(&files))
        return false;
    bool ok =
        !posix_spawn_file_actions_addopen(&files, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600) &&
        !posix_spawn_file_actions_adddup2(&files, 1, 2) &&
        !posix_spawn(&pid, argv[0], &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    if (!ok)
        return false;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && !WEXITSTATUS(status);
}

struct files {
    char folder[PATH_MAX], ptx[PATH_MAX + 16], cubin[PATH_MAX + 16], log[PATH_MAX + 16];
};

static bool make_files(struct files *f)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(f->folder, sizeof f->folder, "%s/nnc-ptxas-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(f->folder))
        return false;
    snprintf(f->ptx, sizeof f->ptx, "%s/a.ptx", f->folder);
    snprintf(f->cubin, sizeof f->cubin, "%s/a.cubin", f->folder);
    snprintf(f->log, sizeof f->log, "%s/log", f->folder);
    return true;
}

static void drop_files(const struct files *f)
{
    unlink(f->ptx);
    unlink(f->cubin);
    unlink(f->log);
    rmdir(f->folder);
}

bool ptxas_compile(const char *ptx, size_t bytes, const char *arch, void **cubin, char *why,
                   size_t size)
{
    char path[PATH_MAX], option[64];
    struct files f;
    why[0] = 0;
    *cubin = NULL;
    if (!nn_cuda_find_ptxas(path, sizeof path) || !make_files(&f))
        return false;
    snprintf(option, sizeof option, "-arch=%s", arch);
    char output[] = "-o";
    char *const argv[] = {path, option, output, f.cubin, f.ptx, NULL};
    if (write_file(f.ptx, ptx, bytes) && run(argv, f.log))
        *cubin = read_whole(f.cubin, CUBIN_MOST);
    char *said = *cubin ? NULL : read_whole(f.log, 1 << 20);
    snprintf(why, size, "%s", said ? said : "");
    why[strcspn(why, "\n")] = 0;
    free(said);
    drop_files(&f);
    return *cubin != NULL;
}
