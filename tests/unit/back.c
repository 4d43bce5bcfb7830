/* Machine code against the interpreter, bit for bit: every operator and cast on every dtype with
 * the values that matter, bits, folds, masks, gathers, scatters, control, scratch, traps; at the
 * least level and at this machine's. Every CPU target makes an object. */
#include "back/back.h"
#include "cpu/pool.h"
#include "test.h"

#define N 96

static const struct target *target;
static struct back_jit *jit;

struct kernel {
    struct lo_kernel *k;
    struct lo_builder b;
};

static void begin(struct kernel *t, const char *name)
{
    t->k = lo_kernel_new(name);
    t->b = (struct lo_builder){.k = t->k};
}

/* Whether two elements agree: the same bits, two NaNs, or denormals (of f32, f64, bf16) that one
 * executor has flushed and the other handed on. */
static bool agree(enum nn_dtype t, const void *p, const void *q)
{
    union lo_num x = {0}, y = {0};
    if (!memcmp(p, q, nn_dtype_size(t)))
        return true;
    if (!nn_is_float(t))
        return false;
    memcpy(&x, p, nn_dtype_size(t));
    memcpy(&y, q, nn_dtype_size(t));
    double a = lo_num_f(t, x), b = lo_num_f(t, y), least = t == NN_f64 ? 2.3e-308 : 1.2e-38;
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    return t != NN_f16 && fabs(a) < least && fabs(b) < least && !signbit(a) == !signbit(b);
}

/* A kernel and two copies of its buffers, to be run in both executors. */
struct pending {
    struct lo_kernel *k;
    void *mine[4], *theirs[4];
    size_t bytes[4], n;
};
static VEC(struct pending) pending;

/* Takes the kernel over; it is run at the next flush, so that many are compiled at once. */
static void same_in_both(struct lo_kernel *k, void *const *buf, const size_t *bytes, size_t n)
{
    struct pending p = {.k = k, .n = n};
    char *wrong = lo_verify(k);
    if (wrong)
        printf("%s: %s\n", k->name, wrong);
    test(!wrong);
    free(wrong);
    for (size_t i = 0; i < n; i++) {
        p.bytes[i] = bytes[i];
        p.mine[i] = memcpy(xmalloc(bytes[i] + 64), buf[i], bytes[i]);
        p.theirs[i] = memcpy(xmalloc(bytes[i] + 64), buf[i], bytes[i]);
    }
    vec_push(&pending, p);
}

/* The interpreter runs first, on the kernel as it was built. */
static void interpret(struct pending *p, struct lo_run *run)
{
    *run = (struct lo_run){.buf = p->theirs};
    bool ok = lo_interpret(p->k, run);
    test(ok);
    if (!ok)
        printf("%s: %s\n", p->k->name, run->message);
    free(run->message);
}

static void run_compiled(const struct pending *p, nn_kernel *fn, const struct lo_run *run)
{
    struct nn_fault fault = {0};
    void *scratch = aligned_alloc(64, (size_t)back_scratch(p->k) + 64);
    struct nn_args args = {.buf = p->mine, .scratch = scratch, .fault = &fault};
    uint64_t before = nn_denormals_flush();
    for (uint32_t i = 0; i < p->k->phases.n; i++)
        fn(&args, (int32_t)i, 0, p->k->phases.p[i].chunks);
    nn_denormals_restore(before);
    free(scratch);
    bool ok = fault.code == run->fault_code && (!fault.code || fault.value == run->fault_value);
    test(ok);
    if (!ok)
        printf("%s: fault %d of %lld, wanted %d of %lld\n", p->k->name, fault.code,
               (long long)fault.value, run->fault_code, (long long)run->fault_value);
}

static void compare(const struct pending *p)
{
    for (size_t i = 0; i < p->n; i++) {
        enum nn_dtype t = (enum nn_dtype)p->k->buffers.p[i + 1].type.dtype;
        size_t size = nn_dtype_size(t), at = 0, count = p->bytes[i] / size;
        while (at < count &&
               agree(t, (char *)p->mine[i] + at * size, (char *)p->theirs[i] + at * size))
            at++;
        test(at == count);
        if (at < count)
            printf("%s on %s: buffer %zu (%s) differs at %zu\n", p->k->name, target->name, i,
                   nn_dtype_name(t), at);
    }
}

static void flush(void)
{
    size_t n = pending.n;
    struct lo_kernel **k = xcalloc(n + 1, sizeof *k);
    struct lo_run *run = xcalloc(n + 1, sizeof *run);
    nn_kernel **fn = xcalloc(n + 1, sizeof *fn);
    char *message = NULL;
    for (size_t i = 0; i < n; i++) {
        k[i] = pending.p[i].k;
        interpret(&pending.p[i], &run[i]);
    }
    bool ok = back_jit_add(jit, k, n, fn, &message);
    test(ok);
    if (!ok)
        printf("%s: %s\n", target->name, message);
    free(message);
    for (size_t i = 0; i < n; i++) {
        struct pending *p = &pending.p[i];
        if (ok) {
            run_compiled(p, fn[i], &run[i]);
            compare(p);
        }
        for (size_t b = 0; b < p->n; b++) {
            free(p->mine[b]);
            free(p->theirs[b]);
        }
        lo_kernel_free(p->k);
    }
    vec_free(&pending);
    free(k);
    free(run);
    free(fn);
}

/* Values of a dtype: the extremes, then a mix. */
static void fill(enum nn_dtype t, void *p, uint64_t seed)
{
    static const double f[] = {0,     -0.0,  1,    -1,    0.5,   -0.5,     1.5,       2.5,   -2.5,
                               3e9,   -3e9,  1e19, -1e19, 1e300, INFINITY, -INFINITY, NAN,   127.5,
                               255.7, 1e-40, -7,   65519, 65520, 1e-5,     6e-8,      2.9e-8};
    static const int64_t n[] = {0,    1,   -1,    2,         -2,        7,         -7,        127,
                                -128, 255, 32767, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 3};
    for (size_t i = 0; i < N; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        union lo_num v;
        if (nn_is_float(t))
            v = lo_num_from_f(t, t == NN_bf16     ? (double)(int32_t)(seed >> 32) / 1e8
                                 : seed >> 60 < 9 ? f[(seed >> 33) % COUNT(f)]
                                                  : (double)(int32_t)(seed >> 32) / 1e8);
        else if (t == NN_bool)
            v = lo_num_from_i(t, (int64_t)(seed >> 63));
        else
            v = lo_num_from_i(t, seed >> 60 < 9 ? n[(seed >> 33) % COUNT(n)]
                                                : (int64_t)(seed >> 57) - 60);
        memcpy((char *)p + i * nn_dtype_size(t), &v, nn_dtype_size(t));
    }
}

static bool half(enum nn_dtype t) { return t == NN_f16 || t == NN_bf16; }

static bool takes(enum ir_op op, enum nn_dtype t)
{
    switch (ir_op_class(op)) {
    case IRC_ARITH: return t != NN_bool && !half(t);
    case IRC_FLOAT: return t == NN_f32 || (t == NN_f64 && op != IR_round_tf32);
    case IRC_CMP: return !half(t);
    case IRC_LOGIC: return t == NN_bool;
    case IRC_ELEM: return op == IR_select && !half(t);
    case IRC_LEAF:
    case IRC_SHAPE:
    case IRC_MARK: break;
    }
    return false;
}

/* Of f64 the C library's own: its bits are its own. */
static bool transcendental(enum ir_op op)
{
    return op == IR_exp || op == IR_log || op == IR_sin || op == IR_cos || op == IR_tanh ||
           op == IR_sigmoid || op == IR_erf || op == IR_pow;
}

static void operators(uint32_t lanes)
{
    for (int op = 0; op < IR_OP_COUNT; op++)
        for (int d = 0; d < NN_DTYPE_COUNT; d++) {
            enum nn_dtype t = (enum nn_dtype)d;
            if (!takes((enum ir_op)op, t) || transcendental((enum ir_op)op))
                continue;
            struct kernel x;
            begin(&x, ir_op_name((enum ir_op)op));
            bool cmp = ir_op_class((enum ir_op)op) == IRC_CMP;
            struct lo_type s = {(uint8_t)t, 1}, r = {cmp ? NN_bool : (uint8_t)t, 1};
            uint32_t c = lo_buffer(x.k, LO_ARG, "c", (struct lo_type){NN_bool, 1}, N);
            uint32_t a = lo_buffer(x.k, LO_ARG, "a", s, N), b = lo_buffer(x.k, LO_ARG, "b", s, N);
            uint32_t y = lo_buffer(x.k, LO_ARG, "y", r, N);
            lo_phase(&x.b, 1);
            struct lo_lin i =
                lo_lin_v(&x.b, lo_for(&x.b, LO_SERIAL, lo_lin_c(0), lo_lin_c(N), (int64_t)lanes));
            lo_id in[3] = {lo_load(&x.b, a, i, lanes, 0, 0), lo_load(&x.b, b, i, lanes, 0, 0), 0};
            if (op == IR_select) {
                in[2] = in[1];
                in[1] = in[0];
                in[0] = lo_load(&x.b, c, i, lanes, 0, 0);
            }
            struct lo_type vt = {(uint8_t)t, (uint16_t)lanes};
            lo_store(&x.b, y, i, lo_op(&x.b, (enum ir_op)op, vt, in[0], in[1], in[2]), 0);
            lo_end(&x.b);
            lo_end(&x.b);
            char buf[4][N * 8];
            void *p[4] = {buf[0], buf[1], buf[2], buf[3]};
            size_t size = nn_dtype_size(t), bytes[4] = {N, N * size, N * size, cmp ? N : N * size};
            fill(NN_bool, p[0], 5);
            fill(t, p[1], 1);
            fill(t, p[2], 2);
            memset(p[3], 0, sizeof buf[3]);
            same_in_both(x.k, p, bytes, 4);
        }
}

static void casts(uint32_t lanes)
{
    for (int from = 0; from < NN_DTYPE_COUNT; from++)
        for (int to = 0; to < NN_DTYPE_COUNT; to++) {
            struct kernel x;
            char name[40];
            snprintf(name, sizeof name, "cast %s to %s", nn_dtype_name((enum nn_dtype)from),
                     nn_dtype_name((enum nn_dtype)to));
            begin(&x, name);
            uint32_t a = lo_buffer(x.k, LO_ARG, "a", (struct lo_type){(uint8_t)from, 1}, N);
            uint32_t y = lo_buffer(x.k, LO_ARG, "y", (struct lo_type){(uint8_t)to, 1}, N);
            lo_phase(&x.b, 1);
            struct lo_lin i =
                lo_lin_v(&x.b, lo_for(&x.b, LO_SERIAL, lo_lin_c(0), lo_lin_c(N), (int64_t)lanes));
            lo_id v = lo_load(&x.b, a, i, lanes, 0, 0);
            lo_store(&x.b, y, i, lo_cast(&x.b, (enum nn_dtype)to, v), 0);
            lo_end(&x.b);
            lo_end(&x.b);
            char buf[2][N * 8];
            void *p[2] = {buf[0], buf[1]};
            size_t bytes[2] = {N * nn_dtype_size((enum nn_dtype)from),
                               N * nn_dtype_size((enum nn_dtype)to)};
            fill((enum nn_dtype)from, p[0], 3);
            memset(p[1], 0, sizeof buf[1]);
            same_in_both(x.k, p, bytes, 2);
        }
}

/* All 65536 values of a half precision, to f32 and back. */
static void halves(enum nn_dtype t)
{
    enum { ALL = 65536 };
    struct kernel x;
    begin(&x, "halves");
    uint32_t a = lo_buffer(x.k, LO_ARG, "a", (struct lo_type){(uint8_t)t, 1}, ALL);
    uint32_t f = lo_buffer(x.k, LO_ARG, "f", (struct lo_type){NN_f32, 1}, ALL);
    uint32_t y = lo_buffer(x.k, LO_ARG, "y", (struct lo_type){(uint8_t)t, 1}, ALL);
    lo_phase(&x.b, 1);
    struct lo_lin i = lo_lin_v(&x.b, lo_for(&x.b, LO_SERIAL, lo_lin_c(0), lo_lin_c(ALL), 16));
    lo_id v = lo_cast(&x.b, NN_f32, lo_load(&x.b, a, i, 16, 0, 0));
    lo_store(&x.b, f, i, v, 0);
    lo_store(&x.b, y, i, lo_cast(&x.b, t, v), 0);
    lo_end(&x.b);
    lo_end(&x.b);
    uint16_t *in = xmalloc(2 * ALL), *out = xcalloc(ALL, 2);
    float *mid = xcalloc(ALL, 4);
    for (uint32_t k = 0; k < ALL; k++)
        in[k] = (uint16_t)k;
    void *p[3] = {in, mid, out};
    size_t bytes[3] = {2 * ALL, 4 * ALL, 2 * ALL};
    same_in_both(x.k, p, bytes, 3);
    free(in);
    free(out);
    free(mid);
}

static void bits(uint32_t lanes)
{
    static const enum nn_dtype type[] = {NN_i32, NN_i64};
    for (int op = 0; op < LO_BIT_COUNT; op++)
        for (size_t d = 0; d < COUNT(type); d++) {
            enum nn_dtype t = type[d], f = t == NN_i32 ? NN_f32 : NN_f64;
            bool unary = op == LO_BITCAST || op == LO_ROUND_INT || op == LO_TF32;
            if (op == LO_TF32 && t != NN_i32)
                continue;
            struct lo_type in = {(uint8_t)(unary ? f : t), 1}, v = {(uint8_t)t, (uint16_t)lanes};
            struct kernel x;
            begin(&x, "bits");
            uint32_t a = lo_buffer(x.k, LO_ARG, "a", in, N);
            uint32_t y = lo_buffer(x.k, LO_ARG, "y", (struct lo_type){(uint8_t)t, 1}, N);
            lo_phase(&x.b, 1);
            struct lo_lin i =
                lo_lin_v(&x.b, lo_for(&x.b, LO_SERIAL, lo_lin_c(0), lo_lin_c(N), (int64_t)lanes));
            lo_id p = lo_load(&x.b, a, i, lanes, 0, 0), q = 0;
            if (op == LO_SHL || op == LO_SHR || op == LO_SAR)
                q = lo_bit(&x.b, LO_AND, v, p, lo_const_i(&x.b, v, 31));
            else if (!unary)
                q = lo_bit(&x.b, LO_XOR, v, p, lo_const_i(&x.b, v, 0x5a5a5a5));
            lo_store(&x.b, y, i, lo_bit(&x.b, (enum lo_bit)op, v, p, q), 0);
            lo_end(&x.b);
            lo_end(&x.b);
            char buf[2][N * 8];
            void *m[2] = {buf[0], buf[1]};
            size_t bytes[2] = {N * nn_dtype_size(t), N * nn_dtype_size(t)};
            fill((enum nn_dtype)in.dtype, m[0], 4);
            for (int k = 0; k < N && op == LO_ROUND_INT; k++) /* in range: halves and others */
                if (t == NN_i32)
                    ((float *)m[0])[k] = (float)(k - 48) * (k % 3 ? 0.5f : 1e5f + 0.25f);
                else
                    ((double *)m[0])[k] = (k - 48) * (k % 3 ? 0.5 : 1e9 + 0.25);
            memset(m[1], 0, sizeof buf[1]);
            same_in_both(x.k, m, bytes, 2);
        }
}

/* Folds of lanes, every monoid and width. */
static void folds(void)
{
    static const enum ir_monoid m[] = {IRM_sum, IRM_prod, IRM_max, IRM_min};
    for (size_t i = 0; i < COUNT(m); i++)
        for (uint32_t lanes = 2; lanes <= 32; lanes *= 2) {
            struct kernel x;
            begin(&x, "fold");
            struct lo_type s = {NN_f32, 1};
            uint32_t a = lo_buffer(x.k, LO_ARG, "a", s, N);
            uint32_t y = lo_buffer(x.k, LO_ARG, "y", s, 1);
            lo_phase(&x.b, 1);
            lo_id v = lo_load(&x.b, a, lo_lin_c(1), lanes, 0, 0);
            lo_store(&x.b, y, lo_lin_c(0), lo_across(&x.b, m[i], v), 0);
            lo_end(&x.b);
            float in[N], out = 0;
            for (int k = 0; k < N; k++)
                in[k] = 1 + (float)(k * k % 17) / 16;
            void *p[2] = {in, &out};
            size_t bytes[2] = {sizeof in, sizeof out};
            same_in_both(x.k, p, bytes, 2);
        }
}

/* Masks, gather, scatter, a scratch, a stack array, registers, branches, two phases, several
 * chunks. */
static void memory(enum nn_dtype t, uint32_t lanes)
{
    struct kernel x;
    begin(&x, "memory");
    struct lo_type s = {(uint8_t)t, 1}, v = {(uint8_t)t, (uint16_t)lanes};
    struct lo_type i32 = {NN_i32, (uint16_t)lanes}, one = {NN_i64, 1};
    uint32_t a = lo_buffer(x.k, LO_ARG, "a", s, N), y = lo_buffer(x.k, LO_ARG, "y", s, N);
    uint32_t z = lo_buffer(x.k, LO_ARG, "z", s, N);
    uint32_t scratch = lo_buffer(x.k, LO_SCRATCH, "s", s, 32);
    uint32_t local = lo_buffer(x.k, LO_LOCAL, "l", s, 32);
    uint32_t reg = lo_buffer(x.k, LO_REG, "r", v, 2);
    struct lo_lin c = lo_lin_mul(&x.b, lo_lin_v(&x.b, lo_phase(&x.b, 3)), 32);
    lo_id l = lo_lanes(&x.b, i32, lo_lin_c(0));
    lo_id mask = lo_op(&x.b, IR_lt, i32, l, lo_const_i(&x.b, i32, lanes - 1), 0);
    lo_set(&x.b, reg, lo_lin_c(0), lo_load(&x.b, a, c, lanes, mask, 0));
    lo_set(&x.b, reg, lo_lin_c(1), lo_load(&x.b, a, c, lanes, 0, 0));
    lo_store(&x.b, scratch, lo_lin_c(0), lo_get(&x.b, reg, lo_lin_c(0)), 0);
    lo_store(&x.b, local, lo_lin_c(0), lo_get(&x.b, reg, lo_lin_c(1)), 0);
    lo_id back = lo_op(&x.b, IR_sub, i32, lo_const_i(&x.b, i32, lanes - 1), l, 0);
    lo_id g = lo_gather(&x.b, scratch, lo_lin_c(0), back, mask,
                        lo_load(&x.b, local, lo_lin_c(0), 1, 0, 0));
    lo_scatter(&x.b, y, c, back, g, mask);
    lo_id k = lo_for(&x.b, LO_UNROLL, lo_lin_c(0), lo_lin_c(2), 1);
    lo_if(&x.b, lo_op(&x.b, IR_eq, one, k, lo_const_i(&x.b, one, 1), 0));
    lo_store(&x.b, z, c, lo_get(&x.b, reg, lo_lin_v(&x.b, k)), mask);
    lo_else(&x.b);
    lo_store(&x.b, z, lo_lin_add(&x.b, c, lo_lin_c(16)),
             lo_load(&x.b, local, lo_lin_v(&x.b, k), 1, 0, 0), 0);
    lo_end(&x.b);
    lo_end(&x.b);
    lo_end(&x.b);
    lo_id chunk = lo_phase(&x.b, 2); /* scalars under a mask that is only known at run time */
    lo_id odd = lo_op(&x.b, IR_eq, one, chunk, lo_const_i(&x.b, one, 1), 0);
    lo_id m = lo_load(&x.b, y, lo_lin_v(&x.b, chunk), 1, odd, 0);
    lo_store(&x.b, z, lo_lin_add(&x.b, lo_lin_v(&x.b, chunk), lo_lin_c(90)), m, odd);
    lo_end(&x.b);
    char buf[3][N * 8];
    void *p[3] = {buf[0], buf[1], buf[2]};
    size_t bytes[3] = {N * nn_dtype_size(t), N * nn_dtype_size(t), N * nn_dtype_size(t)};
    fill(t, p[0], 9);
    memset(p[1], 0, sizeof buf[1]);
    memset(p[2], 0, sizeof buf[2]);
    same_in_both(x.k, p, bytes, 3);
}

/* The first lane that fails is named, and nothing after it is stored. */
static void traps(uint32_t lanes)
{
    struct kernel x;
    begin(&x, "trap");
    struct lo_type s = {NN_i64, 1}, v = {NN_i64, (uint16_t)lanes};
    uint32_t a = lo_buffer(x.k, LO_ARG, "a", s, N);
    lo_phase(&x.b, 1);
    lo_id i = lo_load(&x.b, a, lo_lin_c(0), lanes, 0, 0);
    lo_trap(&x.b, lo_op(&x.b, IR_ge, v, i, lo_const_i(&x.b, v, 7), 0), i, 41);
    lo_end(&x.b);
    int64_t in[N] = {0};
    in[lanes - 1] = 9;
    in[lanes / 2] = 1000;
    void *p[1] = {in};
    size_t bytes[1] = {sizeof in};
    nn_kernel *fn;
    char *message = NULL;
    test(back_jit_add(jit, &x.k, 1, &fn, &message));
    struct nn_fault fault = {0};
    struct nn_args args = {.buf = p, .fault = &fault};
    fn(&args, 0, 0, 1);
    test(fault.code == 42 && fault.value == 1000);
    fault = (struct nn_fault){.code = 3, .value = 5}; /* an earlier fault stays */
    fn(&args, 0, 0, 1);
    test(fault.code == 3 && fault.value == 5);
    same_in_both(x.k, p, bytes, 1);
}

static double at_one(enum ir_op op, double x)
{
    struct kernel t;
    begin(&t, ir_op_name(op));
    struct lo_type s = {NN_f64, 1}, v = {NN_f64, 4};
    uint32_t a = lo_buffer(t.k, LO_ARG, "a", s, 8);
    lo_phase(&t.b, 1);
    lo_id p = lo_load(&t.b, a, lo_lin_c(0), 4, 0, 0);
    lo_store(&t.b, a, lo_lin_c(4), lo_op(&t.b, op, v, p, p, 0), 0);
    lo_end(&t.b);
    double io[8] = {x, x, x, x, 0, 0, 0, 0};
    void *buf[1] = {io};
    struct nn_args args = {.buf = buf};
    nn_kernel *fn;
    char *message = NULL;
    test(back_jit_add(jit, &t.k, 1, &fn, &message));
    if (message)
        printf("%s\n", message);
    free(message);
    fn(&args, 0, 0, 1);
    test(io[4] == io[7]);
    lo_kernel_free(t.k);
    return io[6];
}

/* The C library's functions are found. */
static void library(void)
{
    test_near(at_one(IR_exp, 0.75), exp(0.75), 1e-14);
    test_near(at_one(IR_log, 0.75), log(0.75), 1e-14);
    test_near(at_one(IR_sin, 0.75), sin(0.75), 1e-14);
    test_near(at_one(IR_cos, 0.75), cos(0.75), 1e-14);
    test_near(at_one(IR_tanh, 0.75), tanh(0.75), 1e-14);
    test_near(at_one(IR_erf, 0.75), erf(0.75), 1e-14);
    test_near(at_one(IR_pow, 0.75), pow(0.75, 0.75), 1e-14);
    test_near(at_one(IR_sigmoid, 0.75), 1 / (1 + exp(-0.75)), 1e-14);
}

static struct lo_kernel *copy_kernel(const char *name, int64_t n)
{
    struct kernel x;
    begin(&x, name);
    struct lo_type s = {NN_f32, 1};
    uint32_t a = lo_buffer(x.k, LO_ARG, "a", s, n), y = lo_buffer(x.k, LO_ARG, "y", s, n);
    lo_phase(&x.b, 1);
    struct lo_lin i = lo_lin_v(&x.b, lo_for(&x.b, LO_SERIAL, lo_lin_c(0), lo_lin_c(n), 4));
    lo_store(&x.b, y, i, lo_load(&x.b, a, i, 4, 0, 0), 0);
    lo_end(&x.b);
    lo_end(&x.b);
    return x.k;
}

/* Equal kernels are one function, now and in later calls; objects and texts come for every target.
 */
static void modules(void)
{
    struct lo_kernel *k[4] = {copy_kernel("one", 40), copy_kernel("two", 80),
                              copy_kernel("three", 40), copy_kernel("four", 80)};
    nn_kernel *fn[4], *again;
    char *message = NULL;
    test(back_jit_add(jit, k, 3, fn, &message));
    test(fn[0] == fn[2] && fn[0] != fn[1]);
    test(back_jit_add(jit, &k[3], 1, &again, &message) && again == fn[1]);
    for (size_t t = 0; t < target_count; t++) {
        if (target_table[t].kind != TARGET_CPU)
            continue;
        struct text llvm = {0}, assembly = {0}, object = {0};
        test(back_emit(&target_table[t], k, 4, BACK_LLVM, &llvm, &message));
        test(back_emit(&target_table[t], k, 4, BACK_ASM, &assembly, &message));
        test(back_emit(&target_table[t], k, 4, BACK_OBJECT, &object, &message));
        test(llvm.p && strstr(llvm.p, "define hidden void @one(") &&
             strstr(llvm.p, "@three = hidden alias"));
        test(assembly.p && strstr(assembly.p, "three"));
        test(object.n > 100 && !memcmp(object.p, "\177ELF", 4));
        text_free(&llvm);
        text_free(&assembly);
        text_free(&object);
    }
    for (int i = 0; i < 4; i++)
        lo_kernel_free(k[i]);
}

static void all(const char *name)
{
    char *message = NULL;
    target = target_find(name);
    jit = back_jit_new(target, &message);
    test(jit != NULL);
    if (!jit) {
        printf("%s: %s\n", name, message);
        return;
    }
    operators(8);
    operators(1);
    casts(8);
    halves(NN_f16);
    halves(NN_bf16);
    bits(8);
    folds();
    memory(NN_f32, 8);
    memory(NN_bf16, 8);
    memory(NN_bool, 8);
    memory(NN_f64, 1);
    traps(1);
    traps(8);
    flush();
    library();
    modules();
    back_jit_free(jit);
}

int main(void)
{
    all("host");
#if defined(__x86_64__)
    all("x86-64");
#endif
    return test_done();
}
