/* loop: what the builder folds, how a kernel prints, what the verifier refuses, what the hash sees.
 */
#include "loop/loop.h"
#include "test.h"

static const struct lo_type F = {NN_f32, 1}, V = {NN_f32, 16}, I = {NN_i64, 1};

/* y = x / sum(x) over rows of 1000, 32 rows a chunk. */
static struct lo_kernel *rows(const char *name, int64_t n, uint32_t origin)
{
    struct lo_kernel *k = lo_kernel_new(name);
    uint32_t x = lo_buffer(k, LO_ARG, "x", F, 128 * n), y = lo_buffer(k, LO_ARG, "y", F, 128 * n);
    uint32_t s = lo_buffer(k, LO_REG, "s", V, 1);
    struct lo_builder b = {.k = k, .origin = origin};
    struct lo_lin c = lo_lin_mul(&b, lo_lin_v(&b, lo_phase(&b, 4)), 32);
    lo_id i = lo_for(&b, LO_SERIAL, c, lo_lin_add(&b, c, lo_lin_c(32)), 1);
    struct lo_lin row = lo_lin_mul(&b, lo_lin_v(&b, i), n);
    lo_set(&b, s, lo_lin_c(0), lo_const_f(&b, V, 0));
    for (int pass = 0; pass < 2; pass++) {
        lo_id scale = pass ? lo_across(&b, IRM_sum, lo_get(&b, s, lo_lin_c(0))) : 0;
        lo_id j = lo_for(&b, LO_SERIAL, lo_lin_c(0), lo_lin_c(n), 16);
        struct lo_lin at = lo_lin_add(&b, row, lo_lin_v(&b, j));
        lo_id lane = lo_lanes(&b, (struct lo_type){NN_i64, 16}, lo_lin_v(&b, j));
        lo_id mask = lo_op(&b, IR_lt, (struct lo_type){NN_bool, 16}, lane, lo_const_i(&b, I, n), 0);
        lo_id v = lo_load(&b, x, at, 16, mask, 0);
        if (pass)
            lo_store(&b, y, at, lo_op(&b, IR_div, V, v, scale, 0), mask);
        else
            lo_set(&b, s, lo_lin_c(0), lo_op(&b, IR_add, V, lo_get(&b, s, lo_lin_c(0)), v, 0));
        lo_end(&b);
    }
    lo_end(&b);
    lo_end(&b);
    return k;
}

static void text(void)
{
    struct lo_kernel *k = rows("rows", 1000, 0);
    struct text t = {0};
    lo_print(k, &t);
    test(!lo_verify(k));
    test_text(t.p, "kernel rows(x f32[128000], y f32[128000])\n"
                   "reg s f32x16[1]\n"
                   "phase 4 %c {\n"
                   "  for %i = %c*32 .. %c*32 + 32 {\n"
                   "    %1 = const 0 : f32x16\n"
                   "    set s[0] %1\n"
                   "    for %j = 0 .. 1000 step 16 {\n"
                   "      %2 = lanes %j : i64x16\n"
                   "      %3 = const 1000 : i64\n"
                   "      %4 = const 1000 : i64x16\n"
                   "      %5 = lt %2 %4 : boolx16\n"
                   "      %6 = load x[%i*1000 + %j] mask %5 : f32x16\n"
                   "      %7 = get s[0] : f32x16\n"
                   "      %8 = add %7 %6 : f32x16\n"
                   "      set s[0] %8\n"
                   "    }\n"
                   "    %9 = get s[0] : f32x16\n"
                   "    %10 = across sum %9 : f32\n"
                   "    for %j = 0 .. 1000 step 16 {\n"
                   "      %11 = lanes %j : i64x16\n"
                   "      %12 = const 1000 : i64\n"
                   "      %13 = const 1000 : i64x16\n"
                   "      %14 = lt %11 %13 : boolx16\n"
                   "      %15 = load x[%i*1000 + %j] mask %14 : f32x16\n"
                   "      %16 = splat %10 : f32x16\n"
                   "      %17 = div %15 %16 : f32x16\n"
                   "      store y[%i*1000 + %j] %17 mask %14\n"
                   "    }\n"
                   "  }\n"
                   "}\n");
    text_free(&t);
    lo_kernel_free(k);
}

static void hashes(void)
{
    struct lo_kernel *k[3] = {rows("a", 1000, 0), rows("b", 1000, 7), rows("a", 999, 0)};
    test(lo_hash(k[0]) == lo_hash(k[1]) && lo_equal(k[0], k[1]));
    test(lo_hash(k[0]) != lo_hash(k[2]) && !lo_equal(k[0], k[2]));
    for (int i = 0; i < 3; i++)
        lo_kernel_free(k[i]);
}

static bool is_f(struct lo_builder *b, lo_id id, double v)
{
    return b->k->insns.p[id].kind == LO_CONST && b->k->insns.p[id].f == v;
}

static void folds(void)
{
    struct lo_builder b = {.k = lo_kernel_new("folds")};
    uint32_t x = lo_buffer(b.k, LO_ARG, "x", F, 16);
    lo_phase(&b, 1);
    lo_id v = lo_load(&b, x, lo_lin_c(0), 1, 0, 0), one = lo_const_f(&b, F, 1);
    lo_id third = lo_op(&b, IR_div, F, one, lo_const_f(&b, F, 3), 0);
    lo_id zero = lo_const_f(&b, F, 0), tiny = lo_const_f(&b, F, 1e-20);
    test(is_f(&b, third, (double)(1.0f / 3)));
    test(lo_op(&b, IR_mul, F, v, one, 0) == v);
    test(lo_op(&b, IR_sub, F, v, zero, 0) == v);
    test(lo_op(&b, IR_add, F, v, zero, 0) != v); /* -0 + 0 is 0 */
    test(lo_op(&b, IR_add, F, v, lo_const_f(&b, F, -0.0), 0) == v);
    test(b.k->insns.p[lo_op(&b, IR_mul, F, tiny, tiny, 0)].kind ==
         LO_OP); /* a denormal: left to run time */
    test(b.k->insns.p[lo_op(&b, IR_exp, F, one, 0, 0)].kind == LO_OP);
    lo_id yes = lo_op(&b, IR_lt, F, zero, one, 0);
    test(b.k->insns.p[yes].kind == LO_CONST && b.k->insns.p[yes].i == 1);
    test(lo_op(&b, IR_select, F, yes, v, one) == v);
    lo_id minus = lo_const_i(&b, I, -7);
    lo_id q = lo_op(&b, IR_idiv, I, minus, lo_const_i(&b, I, 2), 0);
    lo_id m = lo_op(&b, IR_mod, I, minus, lo_const_i(&b, I, 2), 0);
    test(b.k->insns.p[q].i == -4 && b.k->insns.p[m].i == 1);
    test(b.k->insns.p[lo_op(&b, IR_idiv, I, minus, lo_const_i(&b, I, 0), 0)].i == 0);
    test(b.k->insns.p[lo_cast(&b, NN_u8, lo_const_f(&b, F, 300))].i == 255);
    test(b.k->insns.p[lo_cast(&b, NN_u8, minus)].i == 249);
    struct lo_lin l = lo_lin_add(&b, lo_lin_c(3), lo_lin_v(&b, lo_cast(&b, NN_i64, v)));
    l = lo_lin_mul(&b, lo_lin_v(&b, lo_value(&b, l)), 4);
    test(l.c0 == 12 && l.n == 1 && l.part[0].c == 4);
    test(!lo_lin_add(&b, l, lo_lin_mul(&b, l, -1)).n);
    lo_end(&b);
    lo_kernel_free(b.k);
}

/* Every f16 goes through f32 and back; ties to even, overflow, denormals. */
static void halves(void)
{
    uint32_t wrong = 0;
    for (uint32_t h = 0; h < 0x10000; h++) {
        bool nan = (h & 0x7c00) == 0x7c00 && (h & 0x3ff);
        wrong += !nan && lo_f32_to_f16(lo_f16_to_f32((uint16_t)h)) != h;
        nan = (h & 0x7f80) == 0x7f80 && (h & 0x7f);
        wrong += !nan && lo_f32_to_bf16(lo_bf16_to_f32((uint16_t)h)) != h;
    }
    test(!wrong);
    test(lo_f32_to_f16(65519.99f) == 0x7bff && lo_f32_to_f16(65520.0f) == 0x7c00);
    test(lo_f32_to_f16(1 + 0x1p-11f) == 0x3c00 && lo_f32_to_f16(1 + 0x3p-11f) == 0x3c02);
    test(lo_f32_to_f16(0x1p-25f) == 0 && lo_f32_to_f16(0x1.8p-25f) == 1);
    test(lo_f32_to_f16(0x1.ffcp-15f) == 0x3ff + 1 && lo_f32_to_f16(NAN) == 0x7e00);
    test(lo_f32_to_bf16(1 + 0x1p-8f) == 0x3f80 && lo_f32_to_bf16(1 + 0x3p-8f) == 0x3f82);
}

/* Register indices become constants, masks of full vectors fold away, inner bounds may vary
 * together. */
static void unrolled(void)
{
    struct lo_builder b = {.k = lo_kernel_new("unrolled")};
    uint32_t x = lo_buffer(b.k, LO_ARG, "x", F, 64), acc = lo_buffer(b.k, LO_REG, "acc", F, 2);
    struct lo_lin c = lo_lin_v(&b, lo_phase(&b, 4));
    lo_id i = lo_for(&b, LO_UNROLL, c, lo_lin_add(&b, c, lo_lin_c(2)), 1);
    lo_id j = lo_for(&b, LO_UNROLL, lo_lin_c(0), lo_lin_c(3), 2);
    lo_id n = lo_op(&b, IR_idiv, I, j, lo_const_i(&b, I, 2), 0);
    lo_id v = lo_load(&b, x, lo_lin_add(&b, lo_lin_mul(&b, lo_lin_v(&b, i), 4), lo_lin_v(&b, j)), 1,
                      0, 0);
    lo_set(&b, acc, lo_lin_v(&b, n), v);
    lo_end(&b);
    lo_end(&b);
    lo_end(&b);
    test(!lo_verify(b.k));
    lo_unroll(b.k);
    test(!lo_verify(b.k));
    struct text t = {0};
    lo_print(b.k, &t);
    const char *const wanted[] = {"load x[%c*4] :",     "load x[%c*4 + 2] :", "load x[%c*4 + 4] :",
                                  "load x[%c*4 + 6] :", "set acc[0]",         "set acc[1]"};
    for (uint32_t w = 0; w < COUNT(wanted); w++)
        test(strstr(t.p, wanted[w]));
    test(!strstr(t.p, "for"));
    text_free(&t);
    lo_kernel_free(b.k);
}

/* Breaks a sound kernel in one place and expects a complaint that says `words`. */
static void refuse(void (*damage)(struct lo_kernel *), const char *words)
{
    struct lo_kernel *k = rows("rows", 1000, 0);
    damage(k);
    char *m = lo_verify(k);
    test(m && strstr(m, words));
    if (!m || !strstr(m, words))
        printf("message: %s\nwanted: %s\n", m ? m : "none", words);
    free(m);
    lo_kernel_free(k);
}

static lo_id first(const struct lo_kernel *k, enum lo_kind kind)
{
    lo_id id = 1;
    while (k->insns.p[id].kind != kind)
        id++;
    return id;
}
static void cut_operand(struct lo_kernel *k) { k->insns.p[first(k, LO_SET)].in[0] = 0; }
static void wild_operand(struct lo_kernel *k) { k->insns.p[first(k, LO_ACROSS)].in[0] = 9999; }
static void wrong_type(struct lo_kernel *k) { k->insns.p[first(k, LO_LANES)].type.dtype = NN_f32; }
static void later_value(struct lo_kernel *k)
{
    k->insns.p[first(k, LO_SET)].in[0] = first(k, LO_SPLAT);
}
static void bad_lanes(struct lo_kernel *k) { k->insns.p[first(k, LO_LOAD)].type.lanes = 12; }
static void bad_buffer(struct lo_kernel *k) { k->insns.p[first(k, LO_LOAD)].buf = 3; }
static void unmarked(struct lo_kernel *k) { k->buffers.p[2].written = false; }
static void shared_block(struct lo_kernel *k)
{
    k->insns.p[first(k, LO_FOR)].body = k->phases.p[0].body;
}
static void no_step(struct lo_kernel *k) { k->insns.p[first(k, LO_FOR)].step = 0; }
static void out_of_reg(struct lo_kernel *k) { k->insns.p[first(k, LO_SET)].lin.c0 = 1; }
static void twice(struct lo_kernel *k)
{
    struct lo_block *b = &k->blocks.p[k->phases.p[0].body];
    vec_push(&b->insn, b->insn.p[0]);
}

int main(void)
{
    text();
    hashes();
    folds();
    halves();
    unrolled();
    refuse(cut_operand, "set s[0] %none`: operand 1 is missing");
    refuse(wild_operand, "operand 1 is missing");
    refuse(wrong_type, "the type must be i64 or i32");
    refuse(later_value, "an operand is not defined here");
    refuse(bad_lanes, "no type has 12 lanes");
    refuse(bad_buffer, "s is a register");
    refuse(unmarked, "not marked as written");
    refuse(shared_block, "in two places");
    refuse(no_step, "step must be positive");
    refuse(out_of_reg, "s has 1 elements");
    refuse(twice, "in two places");
    return test_done();
}
