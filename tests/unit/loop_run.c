/* loop: the interpreter's values and its complaints. */
#include "loop/loop.h"
#include "test.h"

static struct lo_kernel *read(const char *text)
{
    struct diag *d = diag_new();
    struct lo_kernel *k = lo_read(d, diag_add_file(d, "k.loop", text, strlen(text)));
    diag_print(d, stdout);
    diag_free(d);
    test(k);
    return k;
}

static const char *const softmax =
    "kernel softmax(x f32[80], y f32[80])\n"
    "local e f32[10]\nreg m f32x4[1]\nreg s f32x4[1]\n"
    "phase 4 %c {\n"
    "  %low = const -inf : f32x4\n  %zero = const 0 : f32x4\n  %n = const 10 : i64x4\n"
    "  for %i = 2*%c .. 2*%c + 2 {\n"
    "    set m[0] %low\n"
    "    for %j = 0 .. 10 step 4 {\n"
    "      %l = lanes %j : i64x4\n      %p = lt %l %n : boolx4\n"
    "      %x = load x[10*%i + %j] mask %p else %low : f32x4\n"
    "      %o = get m[0] : f32x4\n      %b = max %o %x : f32x4\n      set m[0] %b\n"
    "    }\n"
    "    %mv = get m[0] : f32x4\n    %ms = across max %mv : f32\n    %top = splat %ms : f32x4\n"
    "    set s[0] %zero\n"
    "    for %j = 0 .. 10 step 4 {\n"
    "      %l = lanes %j : i64x4\n      %p = lt %l %n : boolx4\n"
    "      %x = load x[10*%i + %j] mask %p else %low : f32x4\n"
    "      %d = sub %x %top : f32x4\n      %e = exp %d : f32x4\n      store e[%j] %e mask %p\n"
    "      %o = get s[0] : f32x4\n      %t = add %o %e : f32x4\n      set s[0] %t\n"
    "    }\n"
    "    %sv = get s[0] : f32x4\n    %ss = across sum %sv : f32\n    %total = splat %ss : f32x4\n"
    "    for %j = 0 .. 10 step 4 {\n"
    "      %l = lanes %j : i64x4\n      %p = lt %l %n : boolx4\n"
    "      %e = load e[%j] mask %p : f32x4\n      %q = div %e %total : f32x4\n"
    "      store y[10*%i + %j] %q mask %p\n"
    "    }\n"
    "  }\n"
    "}\n";

static void values(void)
{
    struct lo_kernel *k = read(softmax);
    float x[80], y[2][80];
    for (int i = 0; i < 80; i++)
        x[i] = (float)(i * 7 % 13) / 4;
    for (int way = 0; way < 2; way++) {
        struct lo_run run = {.buf = (void *const[]){x, y[way]}, .descending = way};
        test(lo_interpret(k, &run));
        test(!run.message && !run.fault_code);
    }
    test(!memcmp(y[0], y[1], sizeof y[0]));
    for (int row = 0; row < 8; row++) {
        double sum = 0;
        for (int j = 0; j < 10; j++)
            sum += exp(x[row * 10 + j]);
        for (int j = 0; j < 10; j++)
            test_near(y[0][row * 10 + j], exp(x[row * 10 + j]) / sum, 1e-7);
    }
    lo_kernel_free(k);
}

/* Runs `body` in two chunks over x, y f32[8] (x[i] = i) and n i64[4] = 3 9 1 1. */
static bool run_body(const char *body, float *y, struct lo_run *run)
{
    float x[8];
    int64_t n[4] = {3, 9, 1, 1};
    struct text t = {0};
    text_printf(&t,
                "kernel k(x f32[8], y f32[8], n i64[4])\nreg r f32[2]\nlocal a f32[4]\n"
                "phase 2 %%c {\n%s\n}\n",
                body);
    struct lo_kernel *k = read(t.p);
    for (int i = 0; i < 8; i++)
        x[i] = (float)i;
    *run = (struct lo_run){.buf = (void *const[]){x, y, n}};
    bool ok = k && lo_interpret(k, run);
    lo_kernel_free(k);
    text_free(&t);
    return ok;
}

static void complains(const char *body, const char *wanted)
{
    float y[8] = {0};
    struct lo_run run;
    test(!run_body(body, y, &run));
    test(run.message && strstr(run.message, wanted));
    if (!run.message || !strstr(run.message, wanted))
        printf("message: %s\nwanted: %s\n", run.message ? run.message : "none", wanted);
    free(run.message);
}

static void complaints(void)
{
    complains("%1 = load x[%c*8] : f32",
              "kernel k: phase 0, chunk 1: `%1 = load x[%c*8] : f32`: x[8] is outside of its 8");
    complains("%1 = load x[%c*8 - 1] : f32", "x[-1] is outside");
    complains("%1 = load n[%c] : i64\n%2 = gather x[0, %1] : f32", "x[9] is outside");
    complains("%1 = get r[%c] : f32", "r[0] is read before it is set");
    complains("%1 = const 1 : f32\n%2 = const 0 : i64\n%3 = eq %2 %c : bool\nif %3 {\n"
              "  set r[0] %1\n  store a[2] %1\n}\n%4 = load a[2] : f32",
              "chunk 1: `%4 = load a[2] : f32`: a[2] is read before it is written");
    complains("%1 = const 1 : f32\nstore y[4] %1", "y[4] is also written by chunk 0");
    complains("%1 = const 1 : f32\nstore y[%c] %1\n%2 = load y[0] : f32",
              "y[0] is written by chunk 0 of the same phase");
    complains("%1 = load y[1] : f32\nstore y[%c] %1", "y[1] is read by chunk 0 of the same phase");
    complains("%1 = load n[0] : i64x4\n%2 = load x[0] : f32x4\n%3 = const 8 : i64x4\n"
              "%4 = lt %1 %3 : boolx4\nscatter y[0, %1] %2 mask %4",
              "two lanes write y[1]");
}

static void effects(void)
{
    float y[8] = {0};
    struct lo_run run;
    /* a masked lane touches nothing; what it gives is the fill */
    test(run_body("%1 = load n[0] : i64x4\n%2 = const 8 : i64x4\n%3 = lt %1 %2 : boolx4\n"
                  "%4 = const 7 : f32x4\n%5 = gather x[0, %1] mask %3 else %4 : f32x4\n"
                  "store y[%c*4] %5",
                  y, &run));
    test(y[0] == 3 && y[1] == 7 && y[2] == 1 && y[4] == 3 && y[5] == 7);
    /* a trap ends the run at the first lane that holds */
    test(run_body("%1 = load n[0] : i64x4\n%2 = const 8 : i64x4\n%3 = gt %1 %2 : boolx4\n"
                  "trap %3 code 5 value %1\n%4 = load x[99 - %c] : f32",
                  y, &run));
    test(run.fault_code == 5 && run.fault_value == 9 && !run.message);
    /* denormals count as 0, here and not after */
    test(run_body("%1 = const 1e-20 : f32\n%2 = mul %1 %1 : f32\nstore y[%c] %2", y, &run));
    test(y[0] == 0);
    volatile float tiny = 1e-20f;
    test(tiny * tiny > 0);
    /* the tree of a sum: ((x0 + x2) + (x1 + x3)) */
    test(run_body("%1 = load n[0] : i64x4\n%2 = cast %1 : f32x4\n%3 = const 1e8 : f32x4\n"
                  "%4 = load x[0] : f32x4\n%5 = fma %2 %3 %4 : f32x4\n%6 = across sum %5 : f32\n"
                  "store y[%c] %6",
                  y, &run));
    test(y[0] == (fmaf(3, 1e8f, 0) + fmaf(1, 1e8f, 2)) + (fmaf(9, 1e8f, 1) + fmaf(1, 1e8f, 3)));
}

/* random against ir/, before and after it becomes arithmetic. */
static void random_numbers(void)
{
    struct lo_kernel *k = read("kernel k(y f32[64], n i64[2])\nphase 2 %c {\n"
                               "  %1 = load n[0] : i64\n  %2 = load n[1] : i64\n"
                               "  %3 = lanes 4294967290 + 32*%c : i64x16\n"
                               "  %4 = random %1 %2 stream 77 word 0 at %3 : f32x16\n"
                               "  %5 = random %1 %2 stream 77 word 1 at %3 : f32x16\n"
                               "  store y[32*%c] %4\n  store y[32*%c + 16] %5\n}\n");
    int64_t n[2] = {-42, 1ll << 40};
    for (int expanded = 0; expanded < 2; expanded++) {
        float y[64];
        struct lo_run run = {.buf = (void *const[]){y, n}};
        test(lo_interpret(k, &run));
        for (int i = 0; i < 64; i++)
            test(y[i] == ir_random_uniform(n[0], n[1], 77, i / 16 % 2,
                                           4294967290u + (uint64_t)(i / 32 * 32 + i % 16)));
        lo_expand_maths(k, true);
        char *wrong = lo_verify(k);
        test(!wrong);
        free(wrong);
    }
    lo_kernel_free(k);
}

int main(void)
{
    values();
    complaints();
    effects();
    random_numbers();
    return test_done();
}
