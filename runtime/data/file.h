/* Plain files, read and written whole; the room's own. */
#ifndef NN_FILE_H
#define NN_FILE_H

#include "nnrt.h"
#include <sys/uio.h>

enum nn_status nn_file_open(const char *path, int *fd, uint64_t *size, struct nn_message *m);
/* Exactly n bytes from offset `at`. */
enum nn_status nn_file_read(int fd, const char *path, uint64_t at, void *p, size_t n,
                            struct nn_message *m);
/* Writes the parts to `tmp`, syncs, renames it to `path`, syncs the folder. On failure `tmp` is
 * gone and `path` as it was. Allocates nothing. */
enum nn_status nn_file_replace(const char *path, const char *tmp, const struct iovec *part,
                               size_t parts, struct nn_message *m);

#endif
