/* Interned strings: an open-addressing table over an arena. */
#include "base.h"

struct intern {
    struct arena *mem;
    const char **slot;
    size_t n, cap;
};

struct intern *intern_new(void)
{
    struct intern *t = xcalloc(1, sizeof *t);
    t->mem = arena_new();
    return t;
}

void intern_free(struct intern *t)
{
    if (!t)
        return;
    arena_free(t->mem);
    free(t->slot);
    free(t);
}

static size_t find(const char *const *slot, size_t cap, const char *s, size_t n)
{
    size_t i = hash_bytes(0, s, n) & (cap - 1);
    while (slot[i] && (strncmp(slot[i], s, n) != 0 || slot[i][n]))
        i = (i + 1) & (cap - 1);
    return i;
}

static void grow(struct intern *t)
{
    size_t cap = t->cap ? t->cap * 2 : 64;
    const char **slot = xcalloc(cap, sizeof *slot);
    for (size_t i = 0; i < t->cap; i++)
        if (t->slot[i])
            slot[find(slot, cap, t->slot[i], strlen(t->slot[i]))] = t->slot[i];
    free(t->slot);
    t->slot = slot;
    t->cap = cap;
}

const char *intern_n(struct intern *t, const char *s, size_t n)
{
    if (2 * t->n >= t->cap)
        grow(t);
    size_t i = find(t->slot, t->cap, s, n);
    if (!t->slot[i]) {
        t->slot[i] = arena_strndup(t->mem, s, n);
        t->n++;
    }
    return t->slot[i];
}

const char *intern(struct intern *t, const char *s) { return intern_n(t, s, strlen(s)); }
