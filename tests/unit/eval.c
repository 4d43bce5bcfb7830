/* The reference evaluator: accesses, gathers, reductions, scatter, cumsum, random, rounding,
 * faults. */
#include "ir/ir.h"
#include "test.h"

static struct ir_module *parse(const char *text)
{
    struct diag *d = diag_new();
    struct ir_module *m = ir_read(d, diag_add_file(d, "t.graph", text, strlen(text)));
    diag_print(d, stdout);
    diag_free(d);
    test(m != NULL);
    return m;
}

/* The first output of a graph over x = 1, 2, 3, … and ids, in text. */
static void shows(const char *body, bool round, const char *want)
{
    struct text source = {0}, got = {0};
    static const double x[] = {1, 2, 3, 4, 5, 6}, ids[] = {2, 0, 7}, nan[] = {1, NAN, 3};
    text_printf(&source,
                "graph g {\n%%x = input x : f32[i 2, j 3]\n%%ids = input ids : i32[n 3]\n"
                "%%nan = input nan : f32[n 3]\n%s\noutput y %%y\n}\n",
                body);
    struct ir_module *m = parse(source.p);
    if (m) {
        struct ir_eval *e = ir_eval_new(m->graphs.p[0], round);
        char *message;
        ir_id y = m->graphs.p[0]->outputs.p[0].node;
        ir_eval_input(e, "x", x);
        ir_eval_input(e, "ids", ids);
        ir_eval_input(e, "nan", nan);
        if (!ir_eval_run(e, &message))
            text_printf(&got, "%s", message);
        else
            for (int64_t i = 0; i < ir_count(ir_at(m->graphs.p[0], y)); i++) {
                text_printf(&got, "%s", i ? " " : "");
                text_double(&got, ir_eval_value(e, y)[i]);
            }
        free(message);
        ir_eval_free(e);
    }
    test_text(got.p ? got.p : "", want);
    text_free(&got);
    text_free(&source);
    ir_module_free(m);
}

static void accesses(void)
{
    shows("%y = copy %x[j, i] : f32[i 3, j 2]", false, "1 4 2 5 3 6");
    shows("%y = copy %x[0, i - 1 else -inf] : f32[i 5]", false, "-inf 1 2 3 -inf");
    shows("%y = copy %x[0, (i)/2] : f32[i 6]", false, "1 0 2 0 3 0");
    shows("%y = copy %x[0, i where i - 1 in 1 else 9] : f32[i 3]", false, "9 2 9");
    shows("%y = copy %x[i//3, i%3] : f32[i 6]", false, "1 2 3 4 5 6");
    shows("%y = copy %x[0, @1 else 8] %ids[n] : f32[n 3]", false, "3 1 8");
    shows("%y = copy %x[0, @1] strict %ids[n] : f32[n 3]", false,
          "a gather's index is out of range: %4 = copy %1[0, @1] strict %2[n] : f32[n 3]");
    shows("%y = copy %x[0, @1 where 1 - n in 2 else 5] strict %ids[n] : f32[n 3]", false, "3 1 5");
    shows("%y = copy %ids[n + 2 else -inf] : i32[n 2]", false, "7 -2147483648");
    shows("%y = reshape %x : f32[n 6]", false, "1 2 3 4 5 6");
    shows("%y = add %x[i, j] %x[0, j] : f32[i 2, j 3]", false, "2 4 6 5 7 9");
}

static void folds(void)
{
    shows("%y = reduce sum(j 3) %x[i, j] : f32[i 2]", false, "6 15");
    shows("%y = reduce prod(i 2) %x[i, j] : f32[j 3]", false, "4 10 18");
    shows("%y = reduce max(n 3) %nan[n] : f32", false, "nan");
    shows("%y = reduce argmax(n 3) %nan[n] : i32", false, "1");
    shows("%y = reduce argmin(i 2, j 3) %x[1 - i, j] : i32", false, "3");
    shows("%y = reduce sum(j 0) %x[i, j] : f32[i 2]", false, "0 0");
    shows("%y = reduce min(j 0) %x[i, j] : f32[i 2]", false, "inf inf");
    shows("%y = reduce min(n 0) %ids[n] : i32", false, "2147483647");
    shows("%m = mul %x[i, k] %x[j, k] : f32[i 2, j 2, k 3] inline\n"
          "%y = reduce sum(k 3) %m[i, j, k] : f32[i 2, j 2]",
          false, "14 32 32 77");
    shows("%y = cumsum 1 %x[i, j] : f32[i 2, j 3]", false, "1 3 6 4 9 15");
    shows("%y = cumsum 1 reverse %x[i, j] : f32[i 2, j 3]", false, "6 5 3 15 11 6");
    shows("%y = cumsum 0 reverse %x[i, j] : f32[i 2, j 3]", false, "5 7 9 4 5 6");
    shows("%y = scatter [@1] %x[0, n] %ids[n] over (n 3) : f32[v 3]", false, "2 0 1");
    shows("%y = scatter [n//2] %x[1, n] over (n 3) : f32[v 2]", false, "9 6");
}

static void scalars(void)
{
    shows("%a = const 200 : u8\n%y = add %a %a : u8", false, "144");
    shows("%a = const -7 : i32\n%b = const 2 : i32\n%y = idiv %a %b : i32", false, "-4");
    shows("%a = const -7 : i32\n%b = const 0 : i32\n%y = mod %a %b : i32", false, "0");
    shows("%a = const -7.5 : f32\n%y = cast %a : u8", false, "0");
    shows("%a = const nan : f32\n%y = cast %a : i32", false, "0");
    shows("%a = const 1e30 : f32\n%y = cast %a : i8", false, "127");
    shows("%a = const 2.5 : f32\n%y = round %a : f32", false, "2");
    shows("%a = const nan : f32\n%b = const 1 : f32\n%y = max %b %a : f32", false, "nan");
    shows("%a = const 0.1 : f32\n%y = copy %a : f32", true, "0.10000000149011612");
    shows("%a = const 0.1 : bf16\n%y = copy %a : bf16", true, "0.10009765625");
    shows("%a = const 65519 : f16\n%y = copy %a : f16", true, "65504");
    shows("%a = const 65520 : f16\n%y = copy %a : f16", true, "inf");
    shows("%a = const 3e-8 : f16\n%y = copy %a : f16", true, "5.9604644775390625e-08");
    shows("%y = iota 1 : i32[i 2, j 3]", false, "0 1 2 0 1 2");
}

/* Philox2x32-10's published vectors (Random123, kat_vectors); then the uniforms' first moments. */
static void random_numbers(void)
{
    test(ir_random_bits(0, 0, 0, 0) == 0xff1dae59 && ir_random_bits(0, 0, 0, 1) == 0x6cd10df2);
    test(ir_random_bits(0xffffffff, 0xffffffff, 0xffffffff, 0) == 0x2c3f628b &&
         ir_random_bits(0xffffffff, 0xffffffff, 0xffffffff, 1) == 0xab4fd7ad);
    test(ir_random_bits(0x13198a2e, 0x243f6a88, 0x85a308d3, 0) == 0xdd7ce038 &&
         ir_random_bits(0x13198a2e, 0x243f6a88, 0x85a308d3, 1) == 0xf62a4c12);
    test(ir_random_uniform(1, 2, 3, 0, 4) == ir_random_uniform(1, 2, 3, 0, 4));
    test(ir_random_uniform(1, 2, 3, 0, 4) != ir_random_uniform(1, 2, 3, 1, 4));
    test(ir_random_uniform(1, 2, 3, 0, 4) != ir_random_uniform(2, 2, 3, 0, 4));
    double sum = 0, square = 0, lag = 0, last = 0.5;
    int n = 100000;
    for (int i = 0; i < n; i++) {
        double u = (double)ir_random_uniform(42, 7, 99, 0, (uint64_t)i);
        test(u >= 0 && u < 1);
        sum += u;
        square += (u - 0.5) * (u - 0.5);
        lag += (u - 0.5) * (last - 0.5);
        last = u;
    }
    test_near(sum / n, 0.5, 0.004);
    test_near(square / n, 1.0 / 12, 0.001);
    test_near(lag / n, 0, 0.001);
}

int main(void)
{
    accesses();
    folds();
    scalars();
    random_numbers();
    return test_done();
}
