/* A file is replaced as a whole or not at all: temporary file, fsync, rename, fsync of the folder.
 */
#include "common.h"
#include "data/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

enum nn_status nn_file_replace(const char *path, const char *tmp, const struct iovec *part,
                               size_t parts, struct nn_message *m)
{
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
    if (!bad && rename(tmp, path)) {
        bad = 1;
        why = errno;
    }
    if (bad) {
        unlink(tmp);
        return nn_fail(m, NN_MACHINE, "cannot write %s: %s", path, strerror(why));
    }
    sync_folder(path);
    return NN_OK;
}
