/* NVIDIA's assembler, where it is installed: newer than the driver's compiler as a rule, and its
 * work can be kept. It runs as a process of its own over files in the folder for temporary ones.
 * What it made is kept in the folder of the compile cache (NNC_CACHE, else nnc/ in the user's
 * cache), under a name that holds the text, the chip and the assembler. NNC_CACHE=off keeps
 * nothing. */
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
static char *read_whole(const char *path, size_t most, size_t *bytes)
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
    *bytes = p ? (size_t)st.st_size : 0;
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

/* ---- what was made before ---- */

/* Makes the folder and those above it, as far as they are missing. */
static bool make_folders(char *path)
{
    for (char *c = path + 1; *c; c++)
        if (*c == '/') {
            *c = 0;
            mkdir(path, 0777);
            *c = '/';
        }
    return !mkdir(path, 0777) || errno == EEXIST;
}

/* Machine code is taken from a folder only if nobody else can write there. */
static bool own_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* Where the cubin is kept; false: nowhere. */
static bool kept_at(char *at, size_t size, const char *ptxas, const char *ptx, size_t bytes,
                    const char *arch)
{
    const char *own = getenv("NNC_CACHE"), *cache = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    struct stat st;
    char folder[PATH_MAX / 2] = "", key[PATH_MAX + 128];
    if (own)
        snprintf(folder, sizeof folder, "%s", own);
    else if (cache && *cache == '/')
        snprintf(folder, sizeof folder, "%s/nnc", cache);
    else if (home && *home)
        snprintf(folder, sizeof folder, "%s/.cache/nnc", home);
    if (!*folder || !strcmp(folder, "off") || !make_folders(folder) || !own_folder(folder) ||
        stat(ptxas, &st))
        return false;
    snprintf(key, sizeof key, "%s %s %lld %lld", arch, ptxas, (long long)st.st_size,
             (long long)st.st_mtime);
    snprintf(at, size, "%s/%016llx%016llx.nnc.cubin", folder,
             (unsigned long long)nn_hash(key, strlen(key)),
             (unsigned long long)nn_hash(ptx, bytes));
    return true;
}

/* Whole or not at all, whatever else does the same. */
static void keep(const char *at, const void *cubin, size_t bytes)
{
    char part[PATH_MAX + 32];
    snprintf(part, sizeof part, "%s.%ld", at, (long)getpid());
    if (!write_file(part, cubin, bytes) || rename(part, at))
        unlink(part);
}

/* ---- a run of it ---- */

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

/* What it makes of the text, heap memory; NULL: it refuses. */
static char *assemble(char *path, const char *ptx, size_t bytes, const char *arch, size_t *size,
                      char *why, size_t why_size)
{
    char option[64], output[] = "-o";
    struct files f;
    if (!make_files(&f))
        return NULL;
    snprintf(option, sizeof option, "-arch=%s", arch);
    char *const argv[] = {path, option, output, f.cubin, f.ptx, NULL};
    char *cubin = NULL;
    if (write_file(f.ptx, ptx, bytes) && run(argv, f.log))
        cubin = read_whole(f.cubin, CUBIN_MOST, size);
    size_t n;
    char *said = cubin ? NULL : read_whole(f.log, 1 << 20, &n);
    snprintf(why, why_size, "%s", said ? said : "");
    why[strcspn(why, "\n")] = 0;
    free(said);
    drop_files(&f);
    return cubin;
}

bool nn_cuda_assemble(const char *ptx, size_t bytes, const char *arch, void **cubin, size_t *n,
                      char *why, size_t size)
{
    char path[PATH_MAX], at[PATH_MAX];
    why[0] = 0;
    *cubin = NULL;
    if (!nn_cuda_find_ptxas(path, sizeof path))
        return false;
    bool kept = kept_at(at, sizeof at, path, ptx, bytes, arch);
    if (kept && (*cubin = read_whole(at, CUBIN_MOST, n)))
        return true;
    char *made = assemble(path, ptx, bytes, arch, n, why, size);
    if (made && kept)
        keep(at, made, *n);
    *cubin = made;
    return made != NULL;
}
