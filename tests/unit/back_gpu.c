/* PTX of every operator, cast and instruction of the loop IR on every dtype, for every GPU target:
 * LLVM takes it without aborting, ptxas (where found) takes the text, without a spill. */
#include "back/back.h"
#include "cpu/pool.h"
#include "ptxas.h"
#include "simrun.h"
#include "test.h"

static VEC(struct lo_kernel *) kernels;
static uint32_t serial;

static void add(const char *text)
{
    struct diag *d = diag_new();
    struct lo_kernel *k = lo_read(d, diag_add_file(d, "k", text, strlen(text)));
    diag_print(d, stdout);
    diag_free(d);
    test(k != NULL);
    if (k)
        vec_push(&kernels, k);
}

/* y = WHAT of x, z, w, four lanes a thread, the last block masked. */
static void value(const char *from, const char *to, const char *what)
{
    struct text t = {0};
    text_printf(&t,
                "kernel %s%u.%.*s(x %s[1000], z %s[1000], w %s[1000], p bool[1000], y %s[1000])\n"
                "phase 4 %%c threads 64 %%t {\n  %%n = const 1000 : i64x4\n"
                "  %%l = lanes %%c*256 + %%t*4 : i64x4\n  %%m = lt %%l %%n : boolx4\n"
                "  %%x = load x[%%c*256 + %%t*4] mask %%m : %sx4\n"
                "  %%z = load z[%%c*256 + %%t*4] mask %%m : %sx4\n"
                "  %%w = load w[%%c*256 + %%t*4] mask %%m : %sx4\n"
                "  %%p = load p[%%c*256 + %%t*4] mask %%m : boolx4\n"
                "  %%y = %s : %sx4\n  store y[%%c*256 + %%t*4] %%y mask %%m\n}\n",
                strstr(from, "64") ? "wide" : "k", serial++, (int)strcspn(what, " "), what, from,
                from, from, to, from, from, from, what, to);
    add(t.p);
    text_free(&t);
}

static bool half(enum nn_dtype t) { return t == NN_f16 || t == NN_bf16; }

static bool takes(enum ir_op op, enum nn_dtype t)
{
    switch (ir_op_class(op)) {
    case IRC_ARITH: return t != NN_bool && !half(t);
    case IRC_FLOAT: return t == NN_f32 || t == NN_f64;
    case IRC_CMP: return !half(t);
    case IRC_LOGIC: return t == NN_bool;
    case IRC_ELEM: return op == IR_select && !half(t);
    case IRC_LEAF:
    case IRC_SHAPE:
    case IRC_MARK: break;
    }
    return false;
}

static void operators(void)
{
    for (int op = 0; op < IR_OP_COUNT; op++)
        for (int d = 0; d < NN_DTYPE_COUNT; d++) {
            enum nn_dtype t = (enum nn_dtype)d;
            if (!takes((enum ir_op)op, t) || (t == NN_f64 && op == IR_round_tf32))
                continue;
            bool cmp = ir_op_class((enum ir_op)op) == IRC_CMP;
            int n = ir_op_arity((enum ir_op)op);
            char what[64];
            snprintf(what, sizeof what, "%s%s%s%s", ir_op_name((enum ir_op)op),
                     op == IR_select ? " %p" : "", n > 0 ? " %x" : "", n > 1 ? " %z" : "");
            value(nn_dtype_name(t), cmp ? "bool" : nn_dtype_name(t), what);
        }
}

static void casts(void)
{
    for (int f = 0; f < NN_DTYPE_COUNT; f++)
        for (int t = 0; t < NN_DTYPE_COUNT; t++)
            if (f != t)
                value(nn_dtype_name((enum nn_dtype)f), nn_dtype_name((enum nn_dtype)t), "cast %x");
}

static void bits(void)
{
    static const char *const two[] = {"bitand", "bitor", "xor", "shl", "shr", "sar", "mulhi"};
    char what[32];
    for (size_t i = 0; i < COUNT(two); i++) {
        snprintf(what, sizeof what, "%s %%x %%z", two[i]);
        value("i32", "i32", what);
        value("i64", "i64", what);
    }
    value("f32", "i32", "bitcast %x");
    value("i64", "f64", "bitcast %x");
    value("f32", "i32", "roundint %x");
    value("f64", "i64", "roundint %x");
    value("f32", "i32", "tf32 %x");
    value("f32", "f32", "fma %x %z %w");
    value("f64", "f64", "fma %x %z %w");
    value("f32", "f32", "trade low %x %z block 2");
    value("f32", "f32", "trade high %x %z block 1");
}

static void gpu_values(void)
{
    static const char *const functions[] = {"ex2", "lg2", "rsqrt", "rcp", "tanh", "sin", "cos"};
    char what[32];
    for (size_t i = 0; i < COUNT(functions); i++) {
        snprintf(what, sizeof what, "approx %s %%x", functions[i]);
        value("f32", "f32", what);
    }
    value("f32", "i32", "pack f16 %x %z");
    value("f32", "i32", "pack bf16 %x %z");
    value("i32", "f32", "unpack f16 %x half 0");
    value("i32", "f32", "unpack f16 %x half 1");
    value("i32", "f32", "unpack bf16 %x half 0");
    value("i32", "f32", "unpack bf16 %x half 1");
}

/* Folds, shuffles, lone lanes, indices, loops, faults, local memory, of scalars and vectors. */
static void others(void)
{
    static const char *const fold[] = {"sum", "prod", "max", "min"};
    for (size_t i = 0; i < COUNT(fold); i++)
        for (int d = 0; d < NN_DTYPE_COUNT; d++) {
            const char *t = nn_dtype_name((enum nn_dtype)d);
            struct text s = {0};
            if (d == NN_bool || half((enum nn_dtype)d))
                continue;
            text_printf(&s,
                        "kernel fold%u(x %s[512], y %s[64])\nphase 1 %%c threads 64 %%t {\n"
                        "  %%x = load x[%%t*8] : %sx8\n  %%y = across %s %%x : %s\n"
                        "  store y[%%t] %%y\n}\n",
                        serial++, t, t, t, fold[i], t);
            add(s.p);
            text_free(&s);
        }
    add("kernel shuffles(x f64[64], y f64[64], z i64[192])\nphase 1 %c threads 64 %t {\n"
        "  %x = load x[%t] : f64\n  %a = shuffle xor %x 5 : f64\n  %one = const 1 : i32\n"
        "  %b = shuffle idx %a %one : f64\n  store y[%t] %b\n  %c1 = lin %t*3 : i64\n"
        "  %d = shuffle xor %c1 1 : i64\n  store z[%d] %t\n}\n");
    add("kernel faults(x i64[256], y f32[256], z f32[256])\nlocal own f32[8]\n"
        "phase 2 %c threads 32 %t {\n  %x = load x[%c*128 + %t*4] : i64x4\n"
        "  %n = const 256 : i64x4\n  %p = ge %x %n : boolx4\n  trap %p code 7 value %x @3\n"
        "  %v = gather y[0, %x] : f32x4\n  store own[0] %v\n  %m = not %p : boolx4\n"
        "  for %i = 0 .. %c + 3 {\n    %e = load own[%i] : f32\n    store z[%c*128 + %t*4] %e\n  "
        "}\n"
        "  %l = lanes %c*128 + %t*4 : i64x4\n  scatter z[0, %l] %v mask %m\n}\n");
    add("kernel any.of(x bool[256], y bool[64])\nphase 1 %c threads 64 %t {\n"
        "  %x = load x[%t*4] : boolx4\n  %a = across any %x : bool\n  %b = across all %x : bool\n"
        "  %d = and %a %b : bool\n  store y[%t] %d\n}\n");
}

/* ---- the software GPU against the interpreter ---- */

static union lo_num special(enum nn_dtype t, uint64_t u)
{
    static const double f[] = {0,     -0.0,  1,    -1,    0.5,   -0.5,     1.5,       2.5,   -2.5,
                               3e9,   -3e9,  1e19, -1e19, 1e300, INFINITY, -INFINITY, NAN,   127.5,
                               255.7, 1e-40, -7,   65519, 65520, 1e-5,     6e-8,      2.9e-8};
    static const int64_t n[] = {0,    1,   -1,    2,         -2,        7,         -7,        127,
                                -128, 255, 32767, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 3};
    double small = (double)(int32_t)(u >> 32) / 1e8;
    if (nn_is_float(t))
        return lo_num_from_f(t, t != NN_bf16 && u >> 60 < 9 ? f[(u >> 33) % COUNT(f)] : small);
    if (t == NN_bool)
        return lo_num_from_i(t, (int64_t)(u >> 63));
    return lo_num_from_i(t, u >> 60 < 9 ? n[(u >> 33) % COUNT(n)] : (int64_t)(u >> 57) - 60);
}

/* Arguments of values that matter; small integers where they are indices or shifts, no NaN and
 * nothing huge where the result would be unspecified. */
static void **arguments(const struct lo_kernel *k)
{
    void **buf = xcalloc(k->buffers.n, sizeof *buf);
    uint64_t u = 5;
    bool small = strstr(k->name, "faults") || strstr(k->name, ".sh") || strstr(k->name, ".sar");
    bool finite =
        strstr(k->name, "roundint") || strstr(k->name, ".tf32") || strstr(k->name, "pack");
    for (uint32_t i = 1; i < k->buffers.n && k->buffers.p[i].space == LO_ARG; i++) {
        enum nn_dtype t = (enum nn_dtype)k->buffers.p[i].type.dtype;
        size_t size = nn_dtype_size(t);
        buf[i - 1] = xcalloc((size_t)k->buffers.p[i].count, size);
        for (int64_t e = 0; e < k->buffers.p[i].count; e++) {
            u = u * 6364136223846793005u + 1442695040888963407u;
            union lo_num v = special(t, u);
            if (small && nn_is_int(t))
                v = lo_num_from_i(t, (int64_t)(u >> 60));
            else if (finite && nn_is_float(t))
                v = lo_num_from_f(t, (double)(int32_t)(u >> 32) / 1e8);
            memcpy((char *)buf[i - 1] + (size_t)e * size, &v, size);
        }
    }
    return buf;
}

static void release(void **buf, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        free(buf[i]);
    free(buf);
}

/* The same number: zeros of any sign, NaNs of any bits, denormals that one of both has flushed, and
 * what an approximation may differ by. */
static bool agree(enum nn_dtype t, const void *p, const void *q, bool near)
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
    return a == b || (fabs(a) < least && fabs(b) < least) ||
           (near && fabs(a - b) <= 2e-6 * (1 + fabs(a)));
}

static bool approximates(const struct lo_kernel *k)
{
    for (uint32_t i = 1; i < k->insns.n; i++)
        if (k->insns.p[i].kind == LO_APPROX)
            return true;
    return false;
}

/* `k`: its maths is expanded, as the compiled one's. */
static void run_both(struct simrun *r, const struct target *t, const struct lo_kernel *k,
                     const char *symbol)
{
    void **mine = arguments(k), **theirs = arguments(k);
    struct lo_run run = {.buf = theirs};
    struct nn_fault fault;
    bool ok = lo_interpret(k, &run), near = approximates(k);
    test(ok);
    ok = ok && simrun_kernel(r, k, symbol, mine, &fault);
    test(ok);
    if (!ok)
        printf("%s: %s %s\n", t->name, run.message ? run.message : "", r->words);
    test(!ok || fault.code == run.fault_code);
    for (uint32_t i = 1; ok && i < k->buffers.n && k->buffers.p[i].space == LO_ARG; i++) {
        enum nn_dtype d = (enum nn_dtype)k->buffers.p[i].type.dtype;
        size_t size = nn_dtype_size(d), at = 0, count = (size_t)k->buffers.p[i].count;
        while (at < count &&
               agree(d, (char *)mine[i - 1] + at * size, (char *)theirs[i - 1] + at * size, near))
            at++;
        test(at == count);
        if (at < count) {
            struct text w = {0};
            union lo_num x = {0}, y = {0};
            memcpy(&x, (char *)mine[i - 1] + at * size, size);
            memcpy(&y, (char *)theirs[i - 1] + at * size, size);
            lo_print(k, &w);
            printf("%s, %s: %s[%zu] is %.17g (%#llx), wanted %.17g (%#llx)\n%.1200s\n", t->name,
                   k->name, k->buffers.p[i].name, at, nn_is_float(d) ? lo_num_f(d, x) : 0,
                   (unsigned long long)x.i64, nn_is_float(d) ? lo_num_f(d, y) : 0,
                   (unsigned long long)y.i64, w.p);
            text_free(&w);
        }
    }
    free(run.message);
    release(mine, k->buffers.n);
    release(theirs, k->buffers.n);
}

static struct lo_kernel *copy(const struct lo_kernel *k)
{
    struct text t = {0};
    struct diag *d = diag_new();
    lo_print(k, &t);
    struct lo_kernel *c = lo_read(d, diag_add_file(d, "k", t.p, t.n));
    diag_free(d);
    text_free(&t);
    return c;
}

static void compile(const struct target *t)
{
    struct text out = {0};
    char *message = NULL;
    struct lo_kernel **k = xcalloc(kernels.n, sizeof *k);
    const char **symbol = xcalloc(kernels.n, sizeof *symbol);
    for (uint32_t i = 0; i < kernels.n; i++)
        k[i] = copy(kernels.p[i]);
    back_symbols(k, kernels.n, symbol);
    bool made = back_emit(t, k, kernels.n, BACK_ASM, &out, &message), taken = false;
    if (!made && strstr(message, "knows no sm_"))
        printf("%s\n", message);
    else
        test(made);
    bool checked = strcmp(t->name, "sm_86") && strcmp(t->name, "sm_89"); /* as sm_80 */
    char *said = made && checked ? ptxas_run(t->name, out.p, &taken) : NULL;
    if (said && !taken)
        printf("%s: %.3000s\n", t->name, said);
    test(!said || taken);
    for (char *at = said; at && (at = strstr(at, "bytes spill stores")); at++) {
        char *kernel = at;
        while (kernel > said && strncmp(kernel, "function '", 10))
            kernel--;
        bool spills =
            (at[-2] != '0' || at[-3] != ' ') && strncmp(kernel, "function 'wide", 14) != 0;
        test(!spills);
        if (spills)
            printf("%s: %.300s\n", t->name, kernel);
    }
    struct simrun r = {0};
    if (made && checked) {
        bool loaded = simrun_open(&r, t, &out), pairs = strstr(r.words, "f32x2");
        test(loaded || pairs); /* Blackwell's pairs of f32, of LLVM 22, are not simulated */
        if (!loaded)
            printf("%s: %s\n", t->name, r.words);
        for (uint32_t i = 0; i < kernels.n && loaded; i++) {
            struct lo_kernel *c = copy(kernels.p[i]);
            lo_expand_maths_gpu(c);
            run_both(&r, t, c, symbol[i]);
            lo_kernel_free(c);
        }
    }
    simrun_close(&r);
    free(symbol);
    free(said);
    free(message);
    text_free(&out);
    for (uint32_t i = 0; i < kernels.n; i++)
        lo_kernel_free(k[i]);
    free(k);
}

int main(void)
{
    operators();
    casts();
    bits();
    gpu_values();
    others();
    for (size_t i = 0; i < target_count; i++)
        if (target_table[i].kind == TARGET_GPU)
            compile(&target_table[i]);
    for (uint32_t i = 0; i < kernels.n; i++)
        lo_kernel_free(kernels.p[i]);
    vec_free(&kernels);
    return test_done();
}
