/* The driver's library: opened, its entry points looked up, asked how many devices it has. It stays
 * open until the process ends: a driver does not like to be unloaded. */
#include "cuda/private.h"
#include "ptxsim/nnsim.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum nn_status cu_check(const struct nn_cuda *c, int result, const char *call, struct nn_message *m)
{
    if (!result)
        return NN_OK;
    const char *name = NULL, *text = NULL;
    c->cuGetErrorName(result, &name);
    c->cuGetErrorString(result, &text);
    return nn_fail(m, NN_MACHINE, "%s: %s fails with %s (%d)%s%s",
                   c->sim ? "the software GPU" : "the GPU", call, name ? name : "an unknown error",
                   result, text ? ": " : "", text ? text : "");
}

/* ---- opening ---- */

/* The library where `path` is, if it can be opened; what was tried is appended to `tried`. */
static bool try_path(struct nn_cuda *c, const char *path, char *tried, size_t size)
{
    c->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!c->library) {
        nn_append(tried, size, "%s%s", *tried ? ", " : "", path);
        return false;
    }
    c->name[0] = 0;
    nn_append(c->name, sizeof c->name, "%s", path);
    return true;
}

static bool try_beside(struct nn_cuda *c, const char *folder, const char *sub, char *tried,
                       size_t size)
{
    char path[PATH_MAX + 64] = "";
    nn_append(path, sizeof path, "%s/%slibnncsim.so", folder, sub);
    return !access(path, F_OK) && try_path(c, path, tried, size);
}

static bool find_sim(struct nn_cuda *c, char *tried, size_t size)
{
    const char *env = getenv("NNC_SIM_LIBRARY");
    if (env)
        return try_path(c, env, tried, size);
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    static const char *const sub[] = {"", "../lib/", "../"};
    for (size_t i = 0; slash && i < NN_COUNT(sub); i++)
        if (try_beside(c, self, sub[i], tried, size))
            return true;
    return try_path(c, "libnncsim.so", tried, size);
}

/* POSIX gives functions as void *. */
static bool look_up(void *library, const char *symbol, void *function)
{
    void *p = dlsym(library, symbol);
    memcpy(function, &p, sizeof p);
    return p != NULL;
}

static enum nn_status find_calls(struct nn_cuda *c, struct nn_message *m)
{
    const char *missing = NULL;
#define CALL(call, symbol, params)                                                                 \
    if (!look_up(c->library, symbol, &c->call))                                                    \
        missing = symbol;
#include "cuda/driver.def"
#undef CALL
    return missing
               ? nn_fail(m, NN_MACHINE, "%s has no %s: a driver of CUDA 11.4 or later is wanted",
                         c->name, missing)
               : NN_OK;
}

static enum nn_status select_chip(struct nn_cuda *c, const char *chip, struct nn_message *m)
{
    bool (*choose)(const char *) = NULL;
    const char *(*chips)(void) = NULL;
    if (!chip)
        return NN_OK;
    if (!look_up(c->library, "nnsim_select", &choose) ||
        !look_up(c->library, "nnsim_chips", &chips))
        return nn_fail(m, NN_USAGE, "%s is not the software GPU: it has no chip %s", c->name, chip);
    if (!strchr(chip, ',') && choose(chip)) /* a list would be of several devices */
        return NN_OK;
    for (const char *s = chips(); s; s = strstr(s, ", "), s = s ? s + 2 : NULL)
        if (strlen(chip) == strcspn(s, ",") && !strncmp(chip, s, strlen(chip)))
            return nn_fail(m, NN_USAGE,
                           "this process has a software GPU of another chip already: %s would need "
                           "a process of its own",
                           chip);
    return nn_fail(m, NN_USAGE, "the software GPU has no chip %s; it has %s", chip, chips());
}

static enum nn_status start(struct nn_cuda *c, struct nn_message *m)
{
    enum nn_status s = CU(c, m, cuInit, 0);
    if (!s)
        s = CU(c, m, cuDriverGetVersion, &c->version);
    if (!s)
        s = CU(c, m, cuDeviceGetCount, &c->count);
    if (!s && c->count <= 0)
        s = nn_fail(m, NN_MACHINE, "there is no GPU");
    if (s)
        nn_message_prefix(m, "%s was found, but ", c->name);
    return s;
}

enum nn_status nn_cuda_open(struct nn_cuda **out, const struct nn_cuda_options *o,
                            struct nn_message *m)
{
    static const struct nn_cuda_options none = {0};
    char tried[800] = "";
    o = o ? o : &none;
    *out = NULL;
    struct nn_cuda *c = calloc(1, sizeof *c);
    if (!c)
        return nn_fail(m, NN_MACHINE, "out of memory");
    c->sim = o->sim;
    enum nn_status s = NN_OK;
    if (o->sim && !find_sim(c, tried, sizeof tried))
        s = nn_fail(m, NN_MACHINE, "the software GPU is not there; looked for %s", tried);
    else if (!o->sim && !try_path(c, "libcuda.so.1", tried, sizeof tried))
        s = nn_fail(m, NN_MACHINE, "no driver of an NVIDIA GPU; looked for %s: %s", tried,
                    dlerror());
    if (!s)
        s = find_calls(c, m);
    if (!s)
        s = select_chip(c, o->chip, m);
    if (!s)
        s = start(c, m);
    if (s)
        nn_cuda_close(c);
    else
        *out = c;
    return s;
}

/* ---- what only the software GPU knows ---- */

bool nn_cuda_count_work(const struct nn_cuda *c)
{
    void (*count)(bool) = NULL, (*reset)(void) = NULL;
    if (!c->sim || !look_up(c->library, "nnsim_count", &count) ||
        !look_up(c->library, "nnsim_counters_reset", &reset))
        return false;
    count(true);
    reset();
    return true;
}

bool nn_cuda_work(const struct nn_cuda *c, size_t i, struct nn_cuda_work *w)
{
    bool (*read)(size_t, const char **, uint64_t *, struct sim_counters *) = NULL;
    struct sim_counters n = {0};
    *w = (struct nn_cuda_work){0};
    if (!look_up(c->library, "nnsim_counters", &read) || !read(i, &w->kernel, &w->launches, &n))
        return false;
    w->instructions = n.instructions;
    w->load_bytes = n.global_load_bytes;
    w->store_bytes = n.global_store_bytes;
    w->load_sectors = n.global_load_sectors;
    w->store_sectors = n.global_store_sectors;
    w->least_load_bytes = n.unique_load_bytes;
    w->least_store_bytes = n.unique_store_bytes;
    w->conflicts = n.shared_conflicts;
    w->mma = n.mma;
    return true;
}

void nn_cuda_close(struct nn_cuda *c) { free(c); }
bool nn_cuda_is_sim(const struct nn_cuda *c) { return c->sim; }
const char *nn_cuda_library(const struct nn_cuda *c) { return c->name; }
int nn_cuda_version(const struct nn_cuda *c) { return c->version; }
int nn_cuda_count(const struct nn_cuda *c) { return c->count; }
