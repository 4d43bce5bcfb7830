/* loop: what simplify makes of small kernels, text against text. */
#include "loop/loop.h"
#include "test.h"

/* `text` and `wanted` stand in a phase of 4 chunks. */
static void becomes(const char *text, const char *wanted)
{
    static const char head[] = "kernel k(x f32[64], y f32[64])\n";
    struct text in = {0}, out = {0}, want = {0};
    text_printf(&in, "%slocal m f32[16]\nreg r f32x4[2]\nphase 4 %%c {\n%s}\n", head, text);
    text_printf(&want, "phase 4 %%c {\n%s}\n", wanted);
    struct diag *d = diag_new();
    struct lo_kernel *k = lo_read(d, diag_add_file(d, "k", in.p, in.n));
    diag_print(d, stdout);
    test(k);
    if (k) {
        lo_simplify(k);
        lo_print(k, &out);
        test_text(strstr(out.p, "phase"), want.p);
    }
    lo_kernel_free(k);
    diag_free(d);
    text_free(&in);
    text_free(&out);
    text_free(&want);
}

int main(void)
{
    /* computed once, before the loop; the load too, as x is never written and the loop runs */
    becomes("for %i = 0 .. 4 {\n  %1 = const 2 : f32\n  %2 = load x[%c] : f32\n"
            "  %3 = mul %2 %1 : f32\n  %4 = load x[%c] : f32\n  %5 = mul %4 %1 : f32\n"
            "  %6 = add %3 %5 : f32\n  store y[%c*16 + %i] %6\n}\n",
            "  %1 = const 2 : f32\n  %2 = load x[%c] : f32\n  %3 = mul %2 %1 : f32\n"
            "  %4 = add %3 %3 : f32\n  for %i = 0 .. 4 {\n    store y[%c*16 + %i] %4\n  }\n");
    /* a loop that may not run keeps its load; so does an if */
    becomes("for %i = %c .. 2 {\n  %1 = load x[60] : f32\n  %2 = neg %1 : f32\n"
            "  store y[%c*16 + %i] %2\n}\n",
            "  for %i = %c .. 2 {\n    %1 = load x[60] : f32\n    %2 = neg %1 : f32\n"
            "    store y[%c*16 + %i] %2\n  }\n");
    /* one trip, no trip, known conditions */
    becomes("for %i = %c .. %c + 1 {\n  %1 = load x[%i*2] : f32\n  store y[%i] %1\n}\n"
            "for %i = %c + 2 .. %c + 2 {\n  %1 = load x[%i*2] : f32\n  store y[%i] %1\n}\n"
            "%1 = const 3 : i64\n%2 = lt %c %1 : bool\n%3 = const 4 : i64\n%4 = lt %c %3 : bool\n"
            "if %4 {\n  %5 = load x[1] : f32\n  store y[%c + 4] %5\n} else {\n  trap %4 code 1 "
            "value %1\n}\n",
            "  %1 = load x[%c*2] : f32\n  store y[%c] %1\n  %2 = load x[1] : f32\n"
            "  store y[%c + 4] %2\n");
    /* masks that loop bounds decide; the last is real */
    becomes("for %i = 0 .. 16 step 4 {\n  %1 = lanes %i : i64x4\n  %2 = const 16 : i64x4\n"
            "  %3 = lt %1 %2 : boolx4\n  %4 = load x[%i] mask %3 : f32x4\n"
            "  %5 = ge %1 %2 : boolx4\n  store y[%c*16 + %i] %4 mask %3\n"
            "  store y[%i] %4 mask %5\n  %6 = const 15 : i64x4\n  %7 = lt %1 %6 : boolx4\n"
            "  store y[%c*16 + %i] %4 mask %7\n}\n",
            "  %1 = const 15 : i64x4\n  for %i = 0 .. 16 step 4 {\n    %2 = lanes %i : i64x4\n"
            "    %3 = load x[%i] : f32x4\n    store y[%c*16 + %i] %3\n    %4 = lt %2 %1 : boolx4\n"
            "    store y[%c*16 + %i] %3 mask %4\n  }\n");
    /* a register's value is known after its set, unless a loop sets it; dead memory goes */
    becomes("%1 = load x[0] : f32x4\nset r[0] %1\n%2 = get r[0] : f32x4\n"
            "store m[0] %2\nfor %i = 0 .. 2 {\n  %3 = get r[0] : f32x4\n  %4 = add %3 %2 : f32x4\n"
            "  set r[0] %4\n}\n%5 = get r[0] : f32x4\nstore y[%c*4] %5\n",
            "  %1 = load x[0] : f32x4\n  set r[0] %1\n  for %i = 0 .. 2 {\n"
            "    %2 = get r[0] : f32x4\n    %3 = add %2 %1 : f32x4\n    set r[0] %3\n  }\n"
            "  %4 = get r[0] : f32x4\n  store y[%c*4] %4\n");
    /* a store lies between: two loads; x + 0 is no x, as -0 + 0 is 0 */
    becomes("%1 = load y[%c] : f32\n%2 = const 0 : f32\n%3 = add %1 %2 : f32\nstore y[%c] %3\n"
            "%4 = load y[%c] : f32\n%5 = load y[%c] : f32\n%6 = mul %4 %5 : f32\n"
            "store y[%c + 4] %6\n",
            "  %1 = load y[%c] : f32\n  %2 = const 0 : f32\n  %3 = add %1 %2 : f32\n"
            "  store y[%c] %3\n  %4 = load y[%c] : f32\n  %5 = mul %4 %4 : f32\n"
            "  store y[%c + 4] %5\n");
    /* indices through values: one affine sum, and quotients bounded */
    becomes("%1 = lin %c*3 + 1 : i64\n%2 = const 4 : i64\n%3 = mod %1 %2 : i64\n"
            "%4 = lt %3 %2 : bool\n%5 = splat %4 : boolx4\n%6 = lin %1*2 - %c : i64\n"
            "%7 = load x[%6 + 1] mask %5 : f32x4\nstore y[%c*4] %7\n",
            "  %1 = load x[%c*5 + 3] : f32x4\n  store y[%c*4] %1\n");
    /* inside an if its condition holds, and its parts; in the else it does not */
    becomes(
        "%1 = const 2 : i64\n%2 = lt %c %1 : bool\n%3 = load x[0] : f32x4\n%4 = const 0 : f32x4\n"
        "%5 = eq %3 %4 : boolx4\n%6 = across any %5 : bool\n%7 = and %2 %6 : bool\n"
        "if %7 {\n  %8 = splat %2 : boolx4\n  store y[0] %3 mask %8\n  if %6 {\n"
        "    store y[4] %3\n  }\n} else {\n  %9 = splat %7 : boolx4\n  store y[8] %3 mask %9\n}\n",
        "  %1 = const 2 : i64\n  %2 = lt %c %1 : bool\n  %3 = load x[0] : f32x4\n"
        "  %4 = const 0 : f32x4\n  %5 = eq %3 %4 : boolx4\n  %6 = across any %5 : bool\n"
        "  %7 = and %2 %6 : bool\n  if %7 {\n    store y[0] %3\n    store y[4] %3\n  }\n");
    /* written out: registers by constant index are values; edges decided by the trip */
    becomes(
        "%0 = const 0 : f32x4\n%n = const 5 : i32x4\nset r[0] %0\nset r[1] %0\n"
        "for %i = 0 .. 2 unroll {\n  %1 = lanes 4*%i - 1 : i32x4\n  %2 = ge %1 %n : boolx4\n"
        "  %3 = get r[%i] : f32x4\n  %4 = load x[4*%i] mask %2 : f32x4\n"
        "  %5 = add %3 %4 : f32x4\n  set r[%i] %5\n}\n"
        "%6 = get r[0] : f32x4\n%7 = get r[1] : f32x4\n%8 = sub %6 %7 : f32x4\nstore y[%c*4] %8\n",
        "  %1 = const 0 : f32x4\n  %2 = const 5 : i32x4\n  %3 = lanes 3 : i32x4\n"
        "  %4 = ge %3 %2 : boolx4\n  %5 = load x[4] mask %4 : f32x4\n  %6 = add %1 %5 : f32x4\n"
        "  %7 = sub %1 %6 : f32x4\n  store y[%c*4] %7\n");
    /* columns become rows, exchanged */
    becomes(
        "%1 = lanes 0 : i32x4\n%2 = const 16 : i32x4\n%3 = mul %1 %2 : i32x4\n"
        "for %i = 0 .. 4 {\n  %4 = gather x[%i + 12, %3] : f32x4\n  store y[%c*16 + 4*%i] %4\n}\n",
        "  %1 = load x[12] : f32x4\n  %2 = load x[28] : f32x4\n  %3 = load x[44] : f32x4\n"
        "  %4 = load x[60] : f32x4\n"
        "  %5 = trade low %1 %3 block 2 : f32x4\n  %6 = trade high %1 %3 block 2 : f32x4\n"
        "  %7 = trade low %2 %4 block 2 : f32x4\n  %8 = trade high %2 %4 block 2 : f32x4\n"
        "  %9 = trade low %5 %7 block 1 : f32x4\n  %10 = trade high %5 %7 block 1 : f32x4\n"
        "  %11 = trade low %6 %8 block 1 : f32x4\n  %12 = trade high %6 %8 block 1 : f32x4\n"
        "  store y[%c*16] %9\n  store y[%c*16 + 4] %10\n  store y[%c*16 + 8] %11\n"
        "  store y[%c*16 + 12] %12\n");
    return test_done();
}
