/* The compile cache: machine code in files named by what it was made from. A file is written under
 * another name, synced and renamed, so that a reader sees all of it or nothing; it says what it
 * holds and hashes it, so that a damaged one is a miss. What was used last stays when the folder
 * grows too large; several processes may do all of this at once. */
#include "common.h"
#include "pack/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x31454843414e4eu /* "NNCACHE1" without its last */
enum { ENTRY_MOST = 256 << 20, STALE_SECONDS = 3600 };

struct pack_cache {
    char *dir;
    uint64_t identity, limit;
};

struct entry {
    uint64_t magic, identity, key[2], bytes, hash;
};

/* ---- opening ---- */

/* Makes the folder and those above it. */
static bool make_folder(char *path)
{
    for (char *c = path + 1; *c; c++)
        if (*c == '/') {
            *c = 0;
            mkdir(path, 0777);
            *c = '/';
        }
    return !mkdir(path, 0700) || errno == EEXIST;
}

/* Code from there will run: nobody else may have written it. */
static bool own(const struct stat *st)
{
    return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static char *default_folder(void)
{
    const char *set = getenv("NNC_CACHE"), *cache = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    struct text t = {0};
    if (set)
        text_printf(&t, "%s", set);
    else if (cache && *cache == '/')
        text_printf(&t, "%s/nnc", cache);
    else if (home && *home)
        text_printf(&t, "%s/.cache/nnc", home);
    return t.p;
}

/* This program: another build of it may make other code. */
static bool identify(const char *version, uint64_t *identity)
{
    struct stat st;
    if (stat("/proc/self/exe", &st))
        return false;
    int64_t v[] = {st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
    *identity = hash_bytes(hash_bytes(0, version, strlen(version)), v, sizeof v);
    return true;
}

struct pack_cache *pack_cache_open(const char *version, uint64_t limit)
{
    struct stat st;
    struct pack_cache *c = xcalloc(1, sizeof *c);
    c->dir = default_folder();
    c->limit = limit;
    if (!c->dir || !*c->dir || !strcmp(c->dir, "off") || !identify(version, &c->identity) ||
        !make_folder(c->dir) || stat(c->dir, &st) || !S_ISDIR(st.st_mode) || !own(&st)) {
        pack_cache_close(c);
        return NULL;
    }
    return c;
}

void pack_cache_close(struct pack_cache *c)
{
    if (!c)
        return;
    free(c->dir);
    free(c);
}

/* ---- finding ---- */

static char *entry_path(const struct pack_cache *c, const uint64_t key[2])
{
    struct text t = {0};
    text_printf(&t, "%s/%016llx%016llx.nnc", c->dir, (unsigned long long)(key[0] ^ c->identity),
                (unsigned long long)key[1]);
    return t.p;
}

static struct entry describe(const struct pack_cache *c, const uint64_t key[2], const void *p,
                             size_t n)
{
    return (struct entry){MAGIC, c->identity, {key[0], key[1]}, n, nn_hash(p, n)};
}

static bool read_all(int fd, char *p, size_t n)
{
    while (n) {
        ssize_t got = read(fd, p, n);
        if (got <= 0 && !(got < 0 && errno == EINTR))
            return false;
        p += got > 0 ? got : 0;
        n -= got > 0 ? (size_t)got : 0;
    }
    return true;
}

static bool read_entry(const struct pack_cache *c, int fd, const uint64_t key[2], struct text *out)
{
    struct stat st;
    struct entry e;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        st.st_size < (off_t)sizeof e || st.st_size > ENTRY_MOST ||
        !read_all(fd, (char *)&e, sizeof e))
        return false;
    size_t n = (size_t)st.st_size - sizeof e;
    char *p = xmalloc(n + 1);
    bool good = read_all(fd, p, n);
    struct entry want = describe(c, key, p, good ? n : 0);
    good = good && !memcmp(&e, &want, sizeof e);
    if (good)
        text_write(out, p, n);
    free(p);
    return good;
}

bool pack_cache_find(void *cache, const uint64_t key[2], struct text *out)
{
    const struct pack_cache *c = cache;
    char *path = entry_path(c, key);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool found = fd >= 0 && read_entry(c, fd, key, out);
    if (found)
        futimens(fd, NULL); /* used now */
    else if (fd >= 0)
        unlink(path); /* damaged */
    if (fd >= 0)
        close(fd);
    free(path);
    return found;
}

/* ---- keeping ---- */

struct file {
    char *name;
    uint64_t bytes;
    struct timespec used;
};

static int by_age(const void *a, const void *b)
{
    const struct file *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec)
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    return (x->used.tv_nsec > y->used.tv_nsec) - (x->used.tv_nsec < y->used.tv_nsec);
}

/* Removes the entries that were not used for the longest time, until three quarters of the limit
 * are left, and what broken-off writers left. */
static void trim(const struct pack_cache *c)
{
    DIR *d = opendir(c->dir);
    VEC(struct file) f = {0};
    uint64_t sum = 0;
    time_t now = time(NULL);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (!strstr(e->d_name, ".nnc") || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue;
        if (strstr(e->d_name, ".tmp.") && now - st.st_mtim.tv_sec > STALE_SECONDS)
            unlinkat(dirfd(d), e->d_name, 0);
        vec_push(&f, ((struct file){strdup(e->d_name), (uint64_t)st.st_size, st.st_mtim}));
        sum += (uint64_t)st.st_size;
    }
    if (f.n)
        qsort(f.p, f.n, sizeof *f.p, by_age);
    bool over = sum > c->limit;
    for (uint32_t i = 0; i < f.n; i++) {
        if (d && over && f.p[i].name && sum > c->limit / 4 * 3) {
            unlinkat(dirfd(d), f.p[i].name, 0);
            sum -= f.p[i].bytes;
        }
        free(f.p[i].name);
    }
    vec_free(&f);
    if (d)
        closedir(d);
}

void pack_cache_keep(void *cache, const uint64_t key[2], const void *p, size_t n)
{
    const struct pack_cache *c = cache;
    if (n + sizeof(struct entry) > ENTRY_MOST || n > c->limit / 2)
        return;
    struct entry e = describe(c, key, p, n);
    struct text whole = {0};
    char *path = entry_path(c, key);
    text_write(&whole, (const char *)&e, sizeof e);
    text_write(&whole, p, n);
    if (!file_write_atomic(path, whole.p, whole.n)) /* a full disk is no failure of the compile */
        trim(c);
    text_free(&whole);
    free(path);
}
