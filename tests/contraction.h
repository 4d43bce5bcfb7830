/* What tests of contraction kernels share: a launch with buffers of small whole numbers, of which
 * the products' sums are exact, and their comparison with the evaluator, bit for bit. */
#ifndef NNC_TESTS_CONTRACTION_H
#define NNC_TESTS_CONTRACTION_H

#include "lower/skeleton.h"
#include "test.h"

struct run {
    struct ir_graph *g;
    struct low_launch launch;
    void **buf;
};

static inline double small(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)((int)(*state >> 33) % 5) - 2;
}

static inline void fill_from(enum nn_dtype t, void *p, const double *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        union lo_num x = nn_is_float(t) ? lo_num_from_f(t, v[i]) : lo_num_from_i(t, (int64_t)v[i]);
        memcpy((char *)p + (size_t)i * nn_dtype_size(t), &x, nn_dtype_size(t));
    }
}

static inline double number_at(enum nn_dtype t, const void *p, int64_t i)
{
    union lo_num x = {0};
    memcpy(&x, (const char *)p + (size_t)i * nn_dtype_size(t), nn_dtype_size(t));
    return nn_is_float(t) ? lo_num_f(t, x) : (double)lo_num_i(t, x);
}

static inline void *poisoned(size_t n)
{
    void *p = aligned_alloc(256, (n + 511) / 256 * 256);
    CHECK(p, "no memory");
    memset(p, 0xff, (n + 511) / 256 * 256);
    return p;
}

/* Buffers of the kernel: what it reads from the evaluator, others poisoned. */
static inline void make_buffers(struct run *r, struct ir_eval *e)
{
    uint32_t n = r->launch.args.n;
    r->buf = xcalloc(n, sizeof *r->buf);
    for (uint32_t i = 0; i < n; i++) {
        const struct low_arg *a = &r->launch.args.p[i];
        if (!a->node) {
            r->buf[i] = poisoned((size_t)a->bytes);
            continue;
        }
        const struct ir_node *d = ir_at(r->g, a->node);
        r->buf[i] = poisoned((size_t)ir_count(d) * nn_dtype_size(d->dtype));
        if (!a->write)
            fill_from(d->dtype, r->buf[i], ir_eval_value(e, a->node), ir_count(d));
    }
}

static inline void free_buffers(struct run *r)
{
    for (uint32_t i = 0; i < r->launch.args.n; i++)
        free(r->buf[i]);
    free(r->buf);
}

static inline void compare(const struct run *r, struct ir_eval *e, const char *what)
{
    for (uint32_t i = 0; i < r->launch.args.n; i++) {
        const struct low_arg *a = &r->launch.args.p[i];
        if (!a->node || !a->write)
            continue;
        const struct ir_node *d = ir_at(r->g, a->node);
        const double *want = ir_eval_value(e, a->node);
        int64_t bad = 0, first = -1;
        for (int64_t k = 0; k < ir_count(d); k++)
            if (number_at(d->dtype, r->buf[i], k) != want[k]) {
                first = first < 0 ? k : first;
                bad++;
            }
        test(bad == 0);
        if (bad)
            printf("%s: %s: %lld of %lld differ, first at %lld: got %g, wanted %g\n",
                   r->launch.kernel->name, what, (long long)bad, (long long)ir_count(d),
                   (long long)first, number_at(d->dtype, r->buf[i], first), want[first]);
    }
}

#endif
