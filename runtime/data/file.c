/* Plain files. One is replaced as a whole or not at all: temporary file, fsync, rename, fsync of
 * the folder. */
#include "data/file.h"
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum nn_status nn_file_open(const char *path, int *fd, uint64_t *size, struct nn_message *m)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return nn_fail(m, NN_REFUSED, "cannot open %s: %s", path, strerror(errno));
    if (fstat(*fd, &st) || !S_ISREG(st.st_mode)) {
        close(*fd);
        return nn_fail(m, NN_REFUSED, "%s is not a regular file", path);
    }
    *size = (uint64_t)st.st_size;
    return NN_OK;
}

enum nn_status nn_file_read(int fd, const char *path, uint64_t at, void *p, size_t n,
                            struct nn_message *m)
{
    for (size_t done = 0; done < n;) {
        size_t some = n - done < (size_t)1 << 30 ? n - done : (size_t)1 << 30;
        ssize_t got = pread(fd, (char *)p + done, some, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return nn_fail(m, NN_MACHINE, "cannot read %s: %s", path, strerror(errno));
        if (got == 0)
            return nn_fail(m, NN_REFUSED, "%s is truncated at byte %llu", path,
                           (unsigned long long)(at + done));
        done += (size_t)got;
    }
    return NN_OK;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n) {
        size_t some = n < (size_t)1 << 30 ? n : (size_t)1 << 30;
        ssize_t put = write(fd, p, some);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        p += put;
        n -= (size_t)put;
    }
    return 0;
}

/* Some file systems cannot sync a folder: that is no failure. */
static void sync_folder(const char *path)
{
    char dir[PATH_MAX];
    size_t n = strlen(path);
    while (n && path[n - 1] != '/')
        n--;
    if (n >= sizeof dir)
        return;
    memcpy(dir, path, n);
    dir[n] = 0;
    int fd = open(n ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* What the path stands for: a link's target, and nothing that is no ordinary file. */
static enum nn_status settle(const char *path, char *real, struct nn_message *m)
{
    struct stat st;
    if (!stat(path, &st) && !S_ISREG(st.st_mode))
        return nn_fail(m, NN_REFUSED, "cannot write %s: it is not an ordinary file", path);
    if (strlen(path) >= PATH_MAX)
        return nn_fail(m, NN_REFUSED, "cannot write %s: the name is too long", path);
    if (lstat(path, &st) || !S_ISLNK(st.st_mode) || !realpath(path, real))
        memcpy(real, path, strlen(path) + 1);
    return NN_OK;
}

enum nn_status nn_file_replace(const char *path, const char *tmp, const struct iovec *part,
                               size_t parts, struct nn_message *m)
{
    char real[PATH_MAX];
    enum nn_status s = settle(path, real, m);
    if (s)
        return s;
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return nn_fail(m, NN_MACHINE, "cannot write %s: %s", tmp, strerror(errno));
    int bad = 0;
    for (size_t i = 0; !bad && i < parts; i++)
        bad = write_all(fd, part[i].iov_base, part[i].iov_len);
    bad = bad || fsync(fd);
    int why = errno;
    if (close(fd) && !bad) {
        bad = 1;
        why = errno;
    }
    if (!bad && rename(tmp, real)) {
        bad = 1;
        why = errno;
    }
    if (bad) {
        unlink(tmp);
        return nn_fail(m, NN_MACHINE, "cannot write %s: %s", path, strerror(why));
    }
    sync_folder(real);
    return NN_OK;
}
