/* Sizes of a model's free dims, as -D and --max give them. */
#include "nnc/nnc.h"

#include <ctype.h>
#include <string.h>

enum { LARGEST = 1 << 24 };

static void bad(const char *command, const char *max)
{
    fprintf(stderr, "nnc %s: --max %s: names and bounds from 1 to %d, as in batch=64,seq=1024\n",
            command, max, LARGEST);
    exit(EXIT_USAGE);
}

static void twice(const char *command, const char *name)
{
    fprintf(stderr, "nnc %s: --max: %s is given twice\n", command, name);
    exit(EXIT_USAGE);
}

/* `NAME=N`, and moves behind the comma. */
static struct front_dim read_bound(const char *command, const char *max, const char **at,
                                   struct arena *mem)
{
    const char *s = *at;
    size_t n = 0;
    char *end;
    while (isalnum((unsigned char)s[n]) || s[n] == '_')
        n++;
    if (!n || s[n] != '=' || !isdigit((unsigned char)s[n + 1]))
        bad(command, max);
    long long v = strtoll(s + n + 1, &end, 10);
    if (v < 1 || v > LARGEST || (*end && (*end != ',' || !end[1])))
        bad(command, max);
    *at = *end ? end + 1 : end;
    return (struct front_dim){arena_strndup(mem, s, n), v, true, 0};
}

uint32_t nnc_dims(const char *command, const struct nnc_options *o, struct arena *mem,
                  struct front_dim *dim)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->define.n && n < NNC_DIMS; i++)
        if (o->define.p[i].name && isdigit((unsigned char)*o->define.p[i].value))
            dim[n++] =
                (struct front_dim){o->define.p[i].name, atoll(o->define.p[i].value), false, 0};
    if (o->max && !*o->max)
        bad(command, o->max);
    uint32_t given = n;
    for (const char *at = o->max ? o->max : ""; *at && n < NNC_DIMS; n++) {
        dim[n] = read_bound(command, o->max, &at, mem);
        for (uint32_t i = given; i < n; i++)
            if (!strcmp(dim[i].name, dim[n].name))
                twice(command, dim[n].name);
    }
    return n;
}

void nnc_sizes(struct ir_graph *g, const struct front_dim *dim, size_t dims)
{
    for (size_t i = 0; i < dims; i++) {
        uint32_t slot = ir_slot_find(g->m, arena_printf(g->m->mem, "dim.%s", dim[i].name));
        if (dim[i].live)
            vec_push(&g->sizes, ((struct ir_size){dim[i].name, slot + 1, dim[i].n}));
    }
}
