/* log.jsonl: one JSON object a line. A line is built in a fixed buffer and written with one call,
 * so a killed run leaves at most one broken line at the end, which going on removes. */
#include "train/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { LINE_MOST = 16384 };

/* Whether the run that goes on after `step` keeps this line; not if the line is broken or comes
 * again. */
static bool keep(const char *line, size_t n, int64_t step, bool evaluated)
{
    const char *key = strstr(line, "\"step\":");
    if (line[n - 1] != '\n' || !key || strstr(line, "\"event\":\"done\""))
        return false;
    long long at = strtoll(key + 7, NULL, 10);
    return at < step || (at == step && (evaluated || strstr(line, "\"event\":\"step\"")));
}

static off_t kept_bytes(FILE *f, int64_t step, bool evaluated)
{
    char *line = NULL;
    size_t cap = 0;
    off_t kept = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, f)) > 0 && keep(line, (size_t)n, step, evaluated))
        kept += n;
    free(line);
    return kept;
}

static int cut(struct log *l, int64_t step, bool evaluated)
{
    FILE *f = fopen(l->path, "r");
    if (!f)
        return -1;
    off_t kept = kept_bytes(f, step, evaluated);
    fclose(f);
    return ftruncate(l->fd, kept) || lseek(l->fd, 0, SEEK_END) < 0 ? -1 : 0;
}

static enum nn_status open_locked(struct log *l, struct nn_message *m)
{
    l->fd = open(l->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (l->fd < 0)
        return nn_fail(m, NN_MACHINE, "cannot write %s: %s", l->path, strerror(errno));
    if (flock(l->fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return nn_fail(m, NN_REFUSED, "%s is being written by another run", l->path);
    return NN_OK;
}

enum nn_status log_open(struct log *l, const char *path, struct nn_message *m)
{
    *l = (struct log){.fd = -1, .size = LINE_MOST, .path = strdup(path), .text = malloc(LINE_MOST)};
    if (!l->path || !l->text)
        return nn_fail(m, NN_MACHINE, "out of memory");
    return open_locked(l, m);
}

enum nn_status log_renew(struct log *l, struct nn_message *m)
{
    if (lseek(l->fd, 0, SEEK_END) == 0)
        return NN_OK;
    enum nn_status s = set_aside(l->path, m);
    if (s)
        return s;
    close(l->fd);
    return open_locked(l, m);
}

enum nn_status log_resume(struct log *l, int64_t step, bool evaluated, struct nn_message *m)
{
    if (cut(l, step, evaluated))
        return nn_fail(m, NN_MACHINE, "cannot write %s: %s", l->path, strerror(errno));
    return NN_OK;
}

void log_close(struct log *l)
{
    if (l->fd >= 0)
        close(l->fd);
    free(l->path);
    free(l->text);
    *l = (struct log){.fd = -1};
}

static void key_text(struct log *l, const char *key)
{
    nn_append(l->text, l->size, "%s\"%s\":", l->first ? "" : ",", key);
    l->first = false;
}

void log_begin(struct log *l, const char *event)
{
    if (l->fd < 0)
        return;
    snprintf(l->text, l->size, "{\"event\":\"%s\"", event);
    l->first = false;
}

void log_int(struct log *l, const char *key, int64_t v)
{
    if (l->fd < 0)
        return;
    key_text(l, key);
    nn_append(l->text, l->size, "%lld", (long long)v);
}

void log_number(struct log *l, const char *key, double v)
{
    if (l->fd < 0)
        return;
    key_text(l, key);
    nn_append_number(l->text, l->size, v);
}

void log_values(struct log *l, const char *key, const struct nn_metric *v, uint32_t n)
{
    if (l->fd < 0)
        return;
    if (key) {
        key_text(l, key);
        nn_append(l->text, l->size, "{");
    } else if (!l->first) {
        nn_append(l->text, l->size, ",");
    }
    nn_append_metrics(l->text, l->size, v, n);
    if (key)
        nn_append(l->text, l->size, "}");
    l->first = false;
}

enum nn_status log_end(struct log *l, struct nn_message *m)
{
    if (l->fd < 0)
        return NN_OK;
    nn_append(l->text, l->size, "}\n");
    size_t n = strlen(l->text);
    for (size_t done = 0; done < n;) {
        ssize_t put = write(l->fd, l->text + done, n - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return nn_fail(m, NN_MACHINE, "cannot write %s: %s", l->path, strerror(errno));
        done += (size_t)put;
    }
    return NN_OK;
}

enum nn_status log_sync(struct log *l, struct nn_message *m)
{
    if (l->fd >= 0 && fdatasync(l->fd) && errno != EINVAL)
        return nn_fail(m, NN_MACHINE, "cannot write %s: %s", l->path, strerror(errno));
    return NN_OK;
}
