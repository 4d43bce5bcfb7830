/* Entering a call of the driver: the lock, the current context, errors that stick, injected
 * failures; and the table of handles. A handle is a number that no address of the process can be,
 * with a generation in it, so that one that was destroyed, or never was, is told from one that
 * lives. */
#include "driver.h"
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

void lock_release(void) { pthread_mutex_unlock(&lock); }

void lock_acquire(void) { pthread_mutex_lock(&lock); }

void lock_wait(void) { pthread_cond_wait(&changed, &lock); }

void lock_signal(void) { pthread_cond_broadcast(&changed); }

/* ---- small things ---- */

void say(const char *format, ...)
{
    char line[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    fprintf(stderr, "nncsim: %s\n", line);
}

CUresult not_simulated(const char *call, const char *what)
{
    say("%s: %s", call, what);
    return CUDA_ERROR_NOT_SUPPORTED;
}

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

uint64_t thread_number(void)
{
    static _Atomic uint64_t count;
    static _Thread_local uint64_t mine;
    if (!mine)
        mine = atomic_fetch_add(&count, 1) + 1;
    return mine;
}

bool setting_on(const char *name, bool otherwise)
{
    const char *s = getenv(name);
    return s && *s ? strcmp(s, "0") != 0 : otherwise;
}

uint64_t setting_number(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);
    if (!s || !*s)
        return otherwise;
    char *end;
    errno = 0;
    uint64_t n = strtoull(s, &end, 10);
    unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (end == s || *s == '-' || errno || end[shift ? 1 : 0] || n > UINT64_MAX >> shift) {
        say("%s=%s is not a number (with K, M or G): it is ignored", name, s);
        return otherwise;
    }
    return n << shift;
}

CUresult from_status(enum sim_status s)
{
    switch (s) {
    case SIM_OK: return CUDA_SUCCESS;
    case SIM_NO_MEMORY: return CUDA_ERROR_OUT_OF_MEMORY;
    case SIM_BAD_ADDRESS: return CUDA_ERROR_INVALID_VALUE;
    case SIM_BAD_PTX: return CUDA_ERROR_INVALID_PTX;
    case SIM_UNSUPPORTED: return CUDA_ERROR_NOT_SUPPORTED;
    case SIM_NEWER_PTX: return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    case SIM_NOT_FOUND: return CUDA_ERROR_NOT_FOUND;
    case SIM_BAD_LAUNCH: return CUDA_ERROR_INVALID_VALUE;
    case SIM_FAULT: return CUDA_ERROR_LAUNCH_FAILED;
    }
    return CUDA_ERROR_UNKNOWN;
}

/* ---- injected failures ---- */

static struct {
    uint64_t left; /* calls until the failing one, 0: none */
    CUresult code; /* CUDA_SUCCESS: by the kind of the call */
    char name[64]; /* only calls of this name count; "": all */
} planned;

/* NN_SIM_FAIL=[name:]n[=code] */
static void plan_from_environment(void)
{
    const char *s = getenv("NN_SIM_FAIL");
    if (!s || !*s)
        return;
    const char *colon = strchr(s, ':');
    size_t name = colon ? (size_t)(colon - s) : 0;
    char *end;
    uint64_t n = strtoull(colon ? colon + 1 : s, &end, 10);
    unsigned long code = *end == '=' ? strtoul(end + 1, &end, 10) : 0;
    if (!n || *end || name >= sizeof planned.name || code > 999) {
        say("NN_SIM_FAIL=%s is not [name:]n[=code]: it is ignored", s);
        return;
    }
    memcpy(planned.name, s, name);
    planned.name[name] = 0;
    planned.left = n;
    planned.code = (CUresult)code;
}

void nnsim_fail(uint64_t n, int code)
{
    lock_acquire();
    planned.left = n;
    planned.code = (CUresult)code;
    planned.name[0] = 0;
    lock_release();
}

static CUresult planned_failure(const char *name)
{
    if (!planned.left || (planned.name[0] && strcmp(name, planned.name)))
        return CUDA_SUCCESS;
    if (--planned.left)
        return CUDA_SUCCESS;
    CUresult r = planned.code;
    if (!r)
        r = strstr(name, "Alloc") || strstr(name, "Create") ? CUDA_ERROR_OUT_OF_MEMORY
                                                            : CUDA_ERROR_UNKNOWN;
    say("%s fails as NN_SIM_FAIL asks", name);
    return r;
}

/* ---- entering ---- */

static bool initialised, trace;
static _Thread_local bool host_function;

void in_host_function(bool in) { host_function = in; }

static void read_environment(void)
{
    plan_from_environment();
    trace = setting_on("NN_SIM_TRACE", false);
}

static CUresult check(const char *name, enum need need, struct context **c)
{
    if (host_function)
        return CUDA_ERROR_NOT_PERMITTED;
    CUresult r = planned_failure(name);
    if (r)
        return r;
    if (need == NEED_NOTHING)
        return CUDA_SUCCESS;
    if (!initialised)
        return CUDA_ERROR_NOT_INITIALIZED;
    *c = context_current();
    if (need == NEED_INIT)
        return CUDA_SUCCESS;
    if (!*c)
        return context_current_stale() ? CUDA_ERROR_CONTEXT_IS_DESTROYED
                                       : CUDA_ERROR_INVALID_CONTEXT;
    return (*c)->sticky;
}

struct call call_begin(const char *name, enum need need)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_environment);
    struct call c = {.name = name, .locked = true};
    lock_acquire();
    c.result = check(name, need, &c.context);
    if (trace)
        say("%s%s", name, c.result ? " refused" : "");
    return c;
}

void call_end(struct call *c)
{
    if (c->locked)
        lock_release();
}

CUresult cuInit(unsigned flags)
{
    ENTER(NEED_NOTHING);
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (initialised)
        return CUDA_SUCCESS;
    CUresult r = devices_open();
    initialised = r == CUDA_SUCCESS;
    return r;
}

/* ---- handles ---- */

#define HANDLE_TOP 0x4e4eull /* bits 48 and up: no address of x86-64 or AArch64 */
#define INDEX_BITS 24

static struct slot {
    struct object *object;
    uint32_t generation, next_free; /* next_free: index + 1 */
} * slots;
static uint32_t slot_count, slot_room, first_free;

static bool slot_take(uint32_t *i)
{
    if (first_free) {
        *i = first_free - 1;
        first_free = slots[*i].next_free;
        return true;
    }
    if (slot_count == slot_room) {
        uint32_t room = slot_room ? slot_room * 2 : 256;
        struct slot *s = room <= 1u << INDEX_BITS ? realloc(slots, room * sizeof *s) : NULL;
        if (!s)
            return false;
        slots = s;
        slot_room = room;
    }
    *i = slot_count++;
    slots[*i] = (struct slot){.generation = 1};
    return true;
}

static uint32_t slot_of(const void *handle)
{
    uint64_t h = (uint64_t)(uintptr_t)handle;
    uint32_t i = (uint32_t)(h & ((1u << INDEX_BITS) - 1));
    uint32_t generation = (uint32_t)(h >> INDEX_BITS & 0xffffff);
    if (h >> 48 != HANDLE_TOP || i >= slot_count || slots[i].generation != generation)
        return UINT32_MAX;
    return i;
}

bool object_add(struct object *o, enum kind kind, struct context *c)
{
    uint32_t i;
    if (!slot_take(&i))
        return false;
    slots[i].object = o;
    o->kind = kind;
    o->context = c;
    o->handle =
        (void *)(uintptr_t)(HANDLE_TOP << 48 | (uint64_t)slots[i].generation << INDEX_BITS | i);
    o->previous = NULL;
    o->next = NULL;
    if (c && c->o.handle != o->handle) {
        o->next = c->objects;
        if (o->next)
            o->next->previous = o;
        c->objects = o;
    }
    return true;
}

void object_remove(struct object *o)
{
    uint32_t i = slot_of(o->handle);
    if (i == UINT32_MAX)
        return;
    slots[i].object = NULL;
    slots[i].generation = (slots[i].generation + 1) & 0xffffff;
    slots[i].next_free = first_free;
    first_free = i + 1;
    if (o->next)
        o->next->previous = o->previous;
    if (o->previous)
        o->previous->next = o->next;
    else if (o->context && o->context->objects == o)
        o->context->objects = o->next;
    o->handle = NULL;
}

void *object_get(enum kind kind, const void *handle)
{
    uint32_t i = slot_of(handle);
    struct object *o = i == UINT32_MAX ? NULL : slots[i].object;
    return o && o->kind == kind ? o : NULL;
}

/* ---- errors as text ---- */

CUresult cuGetErrorName(CUresult error, const char **text)
{
    if (!text)
        return CUDA_ERROR_INVALID_VALUE;
    switch ((int)error) {
#define ERROR(number, name, words)                                                                 \
    case number:                                                                                   \
        *text = #name;                                                                             \
        return CUDA_SUCCESS;
#include "errors.def"
#undef ERROR
    }
    *text = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char **text)
{
    if (!text)
        return CUDA_ERROR_INVALID_VALUE;
    switch ((int)error) {
#define ERROR(number, name, words)                                                                 \
    case number:                                                                                   \
        *text = words;                                                                             \
        return CUDA_SUCCESS;
#include "errors.def"
#undef ERROR
    }
    *text = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}
