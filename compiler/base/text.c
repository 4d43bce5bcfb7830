/* Growing strings, whole files read and written safely, and the nearest name for suggestions. */
#include "base.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

static void text_reserve(struct text *t, size_t more)
{
    if (t->n + more + 1 <= t->cap)
        return;
    size_t cap = t->cap ? t->cap : 256;
    while (cap < t->n + more + 1)
        cap *= 2;
    t->p = xrealloc(t->p, cap);
    t->cap = cap;
}

void text_write(struct text *t, const char *p, size_t n)
{
    text_reserve(t, n);
    if (n)
        memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = 0;
}

void text_printf(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    text_reserve(t, (size_t)n);
    va_start(ap, fmt);
    vsnprintf(t->p + t->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->n += (size_t)n;
}

void text_free(struct text *t)
{
    free(t->p);
    *t = (struct text){0};
}

void text_double(struct text *t, double v)
{
    char s[40];
    if (isnan(v) || isinf(v)) {
        text_printf(t, "%s", isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, v);
        if (strtod(s, NULL) == v)
            break;
    }
    text_printf(t, "%s", s);
}

char *file_read(const char *path, size_t limit, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    size_t n = 0, cap = 1 << 16;
    char *p = xmalloc(cap + 1);
    for (size_t got; (got = fread(p + n, 1, cap - n, f)) > 0;) {
        n += got;
        if (n > limit) {
            errno = EFBIG;
            goto fail;
        }
        if (n == cap)
            p = xrealloc(p, (cap *= 2) + 1);
    }
    if (ferror(f))
        goto fail;
    fclose(f);
    p[n] = 0;
    *size = n;
    return p;
fail:;
    int e = errno;
    fclose(f);
    free(p);
    errno = e;
    return NULL;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -1;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

int file_write_atomic(const char *path, const void *p, size_t n)
{
    size_t len = strlen(path);
    char *tmp = xmalloc(len + 32);
    snprintf(tmp, len + 32, "%s.tmp.%ld", path, (long)getpid());
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int bad = fd < 0 || write_all(fd, p, n) || fsync(fd);
    int e = errno;
    if (fd >= 0 && close(fd) && !bad) {
        bad = 1;
        e = errno;
    }
    if (!bad && rename(tmp, path)) {
        bad = 1;
        e = errno;
    }
    if (bad && fd >= 0)
        unlink(tmp);
    free(tmp);
    errno = e;
    return bad ? -1 : 0;
}

static size_t edit_distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t row[65];
    if (n > 64 || m > 64)
        return 64;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t up = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            best = up + 1 < best ? up + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = up;
            row[j] = best;
        }
    }
    return row[m];
}

const char *nearest_name(const char *name, const char *const *candidates, size_t n)
{
    size_t len = strlen(name), best = len / 3 + 2;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = edit_distance(name, len, candidates[i], strlen(candidates[i]));
        if (d < best && d < len) {
            best = d;
            found = candidates[i];
        }
    }
    return found;
}
