/* The machine's peak: a generated kernel of independent fused multiply-adds in registers, timed.
 * What the share of peak in `nnc bench` and bench/ is measured against. */
#include "back/back.h"
#include <time.h>

enum { ROUNDS = 200000, TIMES = 8 };

/* acc[i] = acc[i] * 1 + x, for as many registers as hide the latency. Without fma: a product, a
 * sum. */
static struct lo_kernel *peak_kernel(const struct target *t, uint32_t regs)
{
    struct lo_type v = {NN_f32, (uint16_t)target_lanes(t, 4)}, scalar = {NN_f32, 1};
    struct lo_kernel *k = lo_kernel_new("peak");
    struct lo_builder b = {.k = k};
    uint32_t io = lo_buffer(k, LO_ARG, "io", scalar, 2);
    uint32_t acc = lo_buffer(k, LO_REG, "acc", v, regs);
    lo_phase(&b, 1);
    lo_id x = lo_splat(&b, lo_load(&b, io, lo_lin_c(0), 1, 0, 0), v.lanes);
    for (uint32_t i = 0; i < regs; i++)
        lo_set(&b, acc, lo_lin_c(i), lo_const_f(&b, v, i));
    lo_for(&b, LO_SERIAL, lo_lin_c(0), lo_lin_c(ROUNDS), 1);
    for (uint32_t i = 0; i < regs; i++) {
        lo_id a = lo_get(&b, acc, lo_lin_c(i));
        lo_set(&b, acc, lo_lin_c(i),
               t->fma ? lo_fma(&b, a, x, x)
                      : lo_op(&b, IR_add, v, lo_op(&b, IR_mul, v, a, x, 0), x, 0));
    }
    lo_end(&b);
    lo_id sum = lo_get(&b, acc, lo_lin_c(0));
    for (uint32_t i = 1; i < regs; i++)
        sum = lo_op(&b, IR_add, v, sum, lo_get(&b, acc, lo_lin_c(i)), 0);
    lo_store(&b, io, lo_lin_c(1), lo_across(&b, IRM_sum, sum), 0);
    lo_end(&b);
    return k;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double back_peak_gflops(struct back_jit *j, const struct target *t)
{
    uint32_t regs = t->vector_registers > 16 ? 16 : 12;
    struct lo_kernel *k = peak_kernel(t, regs);
    char *message = NULL;
    nn_kernel *fn;
    double best = 0;
    if (back_jit_add(j, &k, 1, &fn, &message)) {
        float io[2] = {0.5f, 0};
        void *buf[1] = {io};
        struct nn_fault fault = {0};
        struct nn_args args = {.buf = buf, .fault = &fault};
        for (int i = 0; i < TIMES; i++) {
            double from = seconds();
            fn(&args, 0, 0, 1);
            double flops = 2.0 * ROUNDS * regs * target_lanes(t, 4);
            double got = flops / (seconds() - from) * 1e-9;
            best = got > best ? got : best;
        }
    }
    free(message);
    lo_kernel_free(k);
    return best;
}
