/* builtin: the functions of the device's runtime that compiled CUDA C calls by name: printf, a
 * failed assertion, malloc and free. Arguments lie in the caller's .param space, lane by lane. */
#include "access.h"
#include <stdlib.h>

#define TEXT_MOST 4096

static const struct {
    const char *name;
    enum sim_builtin_code code;
    uint32_t args, results;
} builtins[] = {
    {"vprintf", BUILTIN_PRINTF, 2, 1},
    {"__assertfail", BUILTIN_ASSERT, 5, 0},
    {"malloc", BUILTIN_MALLOC, 1, 1},
    {"free", BUILTIN_FREE, 1, 0},
};

bool sim_builtin_find(const char *name, const struct sim_call *c, enum sim_builtin_code *code)
{
    for (size_t i = 0; i < sizeof builtins / sizeof builtins[0]; i++)
        if (!strcmp(builtins[i].name, name)) {
            *code = builtins[i].code;
            return c->arg_count == builtins[i].args && c->result_count == builtins[i].results;
        }
    return false;
}

/* ---- memory of a lane ---- */
static uint8_t *local_at(struct sim_warp *w, int lane, uint64_t at)
{
    return w->local + (size_t)lane * w->worker->job->local_stride + at;
}

static uint64_t argument(struct sim_warp *w, const struct sim_call *c, uint32_t n, int lane)
{
    const uint32_t *pair = w->frame->f->ext + c->args + 2 * n;
    uint64_t v = 0;
    memcpy(&v, local_at(w, lane, w->frame->local_base + pair[0]), pair[1] < 8 ? pair[1] : 8);
    return v;
}

static void give(struct sim_warp *w, const struct sim_call *c, uint64_t v, int lane)
{
    const uint32_t *pair = w->frame->f->ext + c->results;
    size_t n = pair[1] < 8 ? pair[1] : 8, at = w->frame->local_base + pair[0];
    memcpy(local_at(w, lane, at), &v, n);
    memset(w->local_known + (size_t)lane * w->worker->job->local_stride + at, 1, n);
    w->local_dirty = true;
}

/* The bytes at a generic address up to the end of what holds it. NULL: reported. */
static const uint8_t *bytes_at(struct sim_warp *w, uint64_t at, uint64_t *left, int lane)
{
    uint64_t window = at & SIM_WINDOW_MASK, place = at & ~SIM_WINDOW_MASK;
    if (window == SIM_WINDOW_LOCAL && place < w->worker->job->local_stride) {
        *left = w->worker->job->local_stride - place;
        return local_at(w, lane, place);
    }
    const char *why;
    const struct sim_block_state *b =
        window == SIM_WINDOW_SHARED ? sim_shared_block(w, &place, &why) : NULL;
    if (b && place < b->shared_bytes) {
        *left = b->shared_bytes - place;
        return b->shared + place;
    }
    struct sim_region r = window ? (struct sim_region){0} : sim_global_region(w, at);
    if (!r.host) {
        sim_report(w, SIM_FAULT_BOUNDS, lane,
                   "an argument of the runtime's function points to 0x%llx",
                   (unsigned long long)at);
        return NULL;
    }
    *left = r.hi - at;
    return r.host + (at - r.lo);
}

/* A copy of at most size - 1 characters. False: reported. */
static bool string_at(struct sim_warp *w, uint64_t at, char *to, size_t size, int lane)
{
    uint64_t left;
    const uint8_t *from = bytes_at(w, at, &left, lane);
    if (!from)
        return false;
    size_t n = strnlen((const char *)from, left < size - 1 ? (size_t)left : size - 1);
    memcpy(to, from, n);
    to[n] = 0;
    return true;
}

/* ---- printf ---- */
struct printing {
    struct sim_warp *w;
    int lane;
    const uint8_t *args;
    uint64_t at, left; /* in args */
    char text[TEXT_MOST];
    size_t used;
};

/* The next argument, at its alignment. */
static bool next(struct printing *p, void *to, size_t n)
{
    p->at = (p->at + n - 1) / n * n;
    if (p->at > p->left || n > p->left - p->at)
        return false;
    memcpy(to, p->args + p->at, n);
    p->at += n;
    return true;
}

static void add(struct printing *p, const char *format, ...) SIM_PRINTF(2, 3);
static void add(struct printing *p, const char *format, ...)
{
    size_t room = sizeof p->text - p->used;
    va_list list;
    va_start(list, format);
    int n = vsnprintf(p->text + p->used, room, format, list);
    va_end(list);
    p->used += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

/* One conversion, from behind its %: flags, width and precision are the host's. */
static const char *convert(struct printing *p, const char *s)
{
    char spec[32] = "%", text[TEXT_MOST];
    size_t n = 1;
    int longs = 0, number;
    uint64_t v = 0;
    double d = 0;
    for (; *s && strchr("-+ #0123456789.*hlzjt", *s) && n < sizeof spec - 16; s++) {
        longs += *s == 'l' || *s == 'z' || *s == 'j' || *s == 't';
        if (*s == '*' && next(p, &number, 4))
            n += (size_t)snprintf(spec + n, 12, "%d", number < 999 && number > -999 ? number : 0);
        else if (!strchr("*hlzjt", *s))
            spec[n++] = *s;
    }
    if (!*s)
        return s;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
    if (strchr("diuoxXc", *s)) {
        next(p, &v, longs ? 8 : 4);
        snprintf(spec + n, 8, longs ? "ll%c" : "%c", *s);
        if (longs)
            add(p, spec, v);
        else
            add(p, spec, (unsigned)v);
    } else if (strchr("fFeEgGaA", *s)) {
        next(p, &d, 8);
        spec[n] = *s;
        add(p, spec, d);
    } else if (*s == 's' && next(p, &v, 8)) {
        spec[n] = 's';
        if (string_at(p->w, v, text, sizeof text, p->lane))
            add(p, spec, text);
    } else if (*s == 'p' && next(p, &v, 8)) {
        add(p, "0x%llx", (unsigned long long)v);
    } else {
        add(p, "%s", *s == '%' ? "%" : "");
    }
#pragma GCC diagnostic pop
    return s + 1;
}

static bool print(struct sim_warp *w, const struct sim_call *c, int lane)
{
    char format[TEXT_MOST];
    struct printing p = {.w = w, .lane = lane};
    uint64_t list = argument(w, c, 1, lane);
    if (!string_at(w, argument(w, c, 0, lane), format, sizeof format, lane) ||
        (list && !(p.args = bytes_at(w, list, &p.left, lane))))
        return false;
    for (const char *s = format; *s && !w->worker->failed;) {
        if (*s == '%')
            s = convert(&p, s + 1);
        else
            add(&p, "%c", *s++);
    }
    const struct sim_launch *l = w->worker->job->launch;
    if (l->print) {
        pthread_mutex_lock(&w->worker->job->lock);
        l->print(p.text, p.used);
        pthread_mutex_unlock(&w->worker->job->lock);
    }
    return !w->worker->failed;
}

static void fail_assertion(struct sim_warp *w, const struct sim_call *c, int lane)
{
    char what[100], file[80], function[60];
    if (string_at(w, argument(w, c, 0, lane), what, sizeof what, lane) &&
        string_at(w, argument(w, c, 1, lane), file, sizeof file, lane) &&
        string_at(w, argument(w, c, 3, lane), function, sizeof function, lane))
        sim_report(w, SIM_FAULT_TRAP, lane, "assertion `%s` failed in %s, %s:%u", what, function,
                   file, (unsigned)argument(w, c, 2, lane));
}

/* ---- the device's heap ---- */
static uint64_t heap_take(struct sim_warp *w, uint64_t bytes)
{
    uint64_t at = 0;
    return bytes && sim_alloc(w->worker->job->device, bytes, SIM_KIND_HEAP, &at) == SIM_OK ? at : 0;
}

static void heap_give(struct sim_warp *w, uint64_t at, int lane)
{
    bool twice;
    if (!sim_heap_free(w->worker->job->device, at, &twice))
        sim_report(w, SIM_FAULT_BOUNDS, lane, "free of 0x%llx, which malloc did not give",
                   (unsigned long long)at);
    else if (twice)
        sim_report(w, SIM_FAULT_FREED, lane, "free of 0x%llx, which was freed before",
                   (unsigned long long)at);
}

void sim_builtin(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    const struct sim_call *c = &w->frame->f->call[i->imm];
    for (int l = 0; l < SIM_LANES && !w->worker->failed; l++) {
        if (!(mask >> l & 1))
            continue;
        switch ((enum sim_builtin_code)i->sub) {
        case BUILTIN_PRINTF: give(w, c, print(w, c, l), l); break;
        case BUILTIN_ASSERT: fail_assertion(w, c, l); break;
        case BUILTIN_MALLOC: give(w, c, heap_take(w, argument(w, c, 0, l)), l); break;
        case BUILTIN_FREE: {
            uint64_t at = argument(w, c, 0, l);
            if (at)
                heap_give(w, at, l);
            break;
        }
        }
    }
}
