/* pack: the cache is bounded, what was used last stays; contents come back as they were kept. */
#include "pack/pack.h"
#include "test.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRY = 40000, ENTRIES = 30, LIMIT = 10 * ENTRY };

static char dir[] = "/tmp/nnc-cache-XXXXXX";

static uint64_t folder_bytes(bool remove_all)
{
    DIR *d = opendir(dir);
    uint64_t sum = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, 0))
            continue;
        sum += (uint64_t)st.st_size;
        if (remove_all)
            unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
    return sum;
}

static bool find(struct pack_cache *c, uint64_t i)
{
    struct text t = {0};
    uint64_t key[2] = {i, ~i};
    bool found = pack_cache_find(c, key, &t);
    test(!found || (t.n == ENTRY && t.p[7] == (char)i && t.p[ENTRY - 1] == (char)i));
    text_free(&t);
    return found;
}

int main(void)
{
    static char bytes[ENTRY];
    test(mkdtemp(dir) != NULL);
    setenv("NNC_CACHE", dir, 1);
    struct pack_cache *c = pack_cache_open("one", LIMIT), *other = pack_cache_open("two", LIMIT);
    test(c && other);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        uint64_t key[2] = {i, ~i};
        test(!find(c, i));
        memset(bytes, (int)i, sizeof bytes);
        pack_cache_keep(c, key, bytes, sizeof bytes);
        test(find(c, i) && find(c, 0)); /* the first is used again and again */
        test(folder_bytes(false) <= LIMIT + ENTRY);
    }
    test(!find(other, 0));
    uint32_t left = 0;
    for (uint64_t i = 0; i < ENTRIES; i++)
        left += find(c, i);
    test(left >= 5 && left <= 11);
    uint64_t key[2] = {99, 99};
    pack_cache_keep(c, key, bytes, LIMIT); /* too large for the whole */
    test(!find(c, 99));
    pack_cache_close(c);
    pack_cache_close(other);
    setenv("NNC_CACHE", "off", 1);
    test(!pack_cache_open("one", LIMIT));
    folder_bytes(true);
    test(rmdir(dir) == 0);
    return test_done();
}
