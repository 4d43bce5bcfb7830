/* loop: random kernels. Simplified, unrolled and with maths expanded they give the same bits as
 * before, in both orders of chunks, interpreted and compiled; their text reads back. */
#include "back/back.h"
#include "cpu/pool.h"
#include "loop/loop.h"
#include "test.h"

enum { CHUNKS = 3, ROOM = 64, KERNELS = 150 };

static const struct lo_type F = {NN_f32, 1}, V = {NN_f32, 4}, I = {NN_i64, 1}, W = {NN_i64, 4};
static const struct lo_type M = {NN_bool, 4}, B = {NN_bool, 1};

struct gen {
    struct lo_builder b;
    uint64_t seed;
    uint32_t x, y, reg, local, z;
    lo_id chunk;
    VEC(lo_id) pool; /* values that may be used here */
};

static uint32_t pick(struct gen *g, uint32_t n)
{
    g->seed = g->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(g->seed >> 33) % n;
}

/* A value of the type from the pool, or a constant. */
static lo_id any(struct gen *g, struct lo_type t)
{
    uint32_t from = g->pool.n ? pick(g, g->pool.n) : 0;
    for (uint32_t i = 0; i < g->pool.n; i++) {
        lo_id v = g->pool.p[(from + i) % g->pool.n];
        struct lo_type u = g->b.k->insns.p[v].type;
        if (u.dtype == t.dtype && u.lanes == t.lanes && pick(g, 8))
            return v;
    }
    if (t.dtype == NN_f32)
        return lo_const_f(&g->b, t, (double)pick(g, 9) / 4 - 1);
    return lo_const_i(&g->b, t, t.dtype == NN_bool ? pick(g, 2) : pick(g, 7) - 3);
}

static void keep(struct gen *g, lo_id v) { vec_push(&g->pool, v); }

/* An index of [0, n), affine in what is around where that fits. */
static struct lo_lin index_in(struct gen *g, int64_t n)
{
    lo_id v = any(g, I);
    v = lo_op(&g->b, IR_mod, I, v, lo_const_i(&g->b, I, n), 0);
    return lo_lin_v(&g->b, v);
}

/* The chunk's own part of y. */
static struct lo_lin own(struct gen *g, struct lo_lin at)
{
    return lo_lin_add(&g->b, lo_lin_mul(&g->b, lo_lin_v(&g->b, g->chunk), ROOM), at);
}

static lo_id arithmetic(struct gen *g)
{
    static const uint8_t floats[] = {IR_add, IR_sub, IR_mul,   IR_min,   IR_max, IR_div,
                                     IR_neg, IR_abs, IR_floor, IR_round, IR_exp, IR_tanh};
    static const uint8_t ints[] = {IR_add,  IR_sub, IR_mul, IR_min,
                                   IR_idiv, IR_mod, IR_neg, IR_sign};
    static const uint8_t compares[] = {IR_eq, IR_ne, IR_lt, IR_le, IR_gt, IR_ge};
    struct lo_type t = pick(g, 2) ? V : F, j = pick(g, 2) ? W : I, p = pick(g, 2) ? M : B;
    switch (pick(g, 8)) {
    case 0: return lo_op(&g->b, ints[pick(g, COUNT(ints))], j, any(g, j), any(g, j), 0);
    case 1: return lo_op(&g->b, compares[pick(g, 6)], M, any(g, W), any(g, W), 0);
    case 2:
        return lo_op(&g->b, compares[pick(g, 6)], p, any(g, p.lanes == 4 ? V : F),
                     any(g, p.lanes == 4 ? V : F), 0);
    case 3: return lo_op(&g->b, IR_select, V, any(g, M), any(g, V), any(g, V));
    case 4: return lo_fma(&g->b, any(g, t), any(g, t), any(g, t));
    case 5:
        return pick(g, 2) ? lo_splat(&g->b, any(g, F), 4) : lo_across(&g->b, IRM_sum, any(g, V));
    case 6: return lo_cast(&g->b, NN_f32, any(g, j));
    default: return lo_op(&g->b, floats[pick(g, COUNT(floats))], t, any(g, t), any(g, t), 0);
    }
}

static void memory(struct gen *g)
{
    lo_id mask = pick(g, 2) ? any(g, M) : 0;
    struct lo_lin at = lo_lin_mul(&g->b, index_in(g, ROOM / 4), 4);
    switch (pick(g, 9)) {
    case 0: keep(g, lo_load(&g->b, g->x, at, 4, mask, mask && pick(g, 2) ? any(g, V) : 0)); return;
    case 1: keep(g, lo_load(&g->b, g->y, own(g, at), 4, mask, 0)); return;
    case 2: keep(g, lo_load(&g->b, g->local, at, 4, mask, 0)); return;
    case 3: lo_store(&g->b, g->local, at, any(g, V), mask); return;
    case 4: keep(g, lo_get(&g->b, g->reg, index_in(g, 3))); return;
    case 5: lo_set(&g->b, g->reg, index_in(g, 3), any(g, V)); return;
    case 6: keep(g, lo_lanes(&g->b, W, index_in(g, 40))); return;
    case 7: keep(g, lo_load(&g->b, g->x, index_in(g, ROOM), 1, 0, 0)); return;
    default: lo_store(&g->b, g->y, own(g, at), any(g, V), mask);
    }
}

static void block(struct gen *g, int depth);

static void nested(struct gen *g, int depth)
{
    uint32_t n = g->pool.n;
    if (pick(g, 3)) {
        static const uint8_t trips[] = {0, 1, 2, 3, 5};
        struct lo_lin from = pick(g, 2) ? lo_lin_c(pick(g, 5)) : index_in(g, 6);
        int64_t step = 1 + pick(g, 4);
        struct lo_lin to = lo_lin_add(&g->b, from, lo_lin_c(trips[pick(g, 5)] * step - pick(g, 2)));
        if (!pick(g, 4))
            to = lo_lin_c(pick(g, 9));
        keep(g, lo_for(&g->b, pick(g, 3) ? LO_SERIAL : LO_UNROLL, from, to, step));
        block(g, depth + 1);
    } else {
        lo_if(&g->b, any(g, B));
        block(g, depth + 1);
        g->pool.n = n;
        if (pick(g, 2)) {
            lo_else(&g->b);
            block(g, depth + 1);
        }
    }
    lo_end(&g->b);
    g->pool.n = n;
}

static void block(struct gen *g, int depth)
{
    for (uint32_t n = 3 + pick(g, 12); n; n--) {
        uint32_t what = pick(g, 10);
        if (what < 5)
            keep(g, arithmetic(g));
        else if (what < 9 || depth == 4)
            memory(g);
        else
            nested(g, depth);
    }
}

static struct lo_kernel *kernel(uint64_t seed)
{
    struct gen g = {.b = {.k = lo_kernel_new("random")}, .seed = seed * 0x9e3779b97f4a7c15u + 1};
    g.x = lo_buffer(g.b.k, LO_ARG, "x", F, ROOM);
    g.y = lo_buffer(g.b.k, LO_ARG, "y", F, (int64_t)CHUNKS * ROOM);
    g.local = lo_buffer(g.b.k, pick(&g, 2) ? LO_LOCAL : LO_SCRATCH, "m", F, ROOM);
    g.reg = lo_buffer(g.b.k, LO_REG, "r", V, 3);
    for (int phase = 0; phase < 2; phase++) {
        g.pool.n = 0;
        g.chunk = lo_phase(&g.b, CHUNKS);
        keep(&g, g.chunk);
        for (int i = 0; i < 3; i++)
            lo_set(&g.b, g.reg, lo_lin_c(i), lo_const_f(&g.b, V, i));
        lo_id i = lo_for(&g.b, LO_SERIAL, lo_lin_c(0), lo_lin_c(ROOM), 4);
        lo_store(&g.b, g.local, lo_lin_v(&g.b, i), lo_const_f(&g.b, V, 0.5), 0);
        lo_end(&g.b);
        for (int n = 0; n < 6; n++) {
            block(&g, 1);
            nested(&g, 1);
        }
        lo_store(&g.b, g.y, own(&g, lo_lin_c(0)), any(&g, V), 0);
        lo_end(&g.b);
    }
    vec_free(&g.pool);
    return g.b.k;
}

static bool same_bits(const float *a, const float *b)
{
    for (int i = 0; i < CHUNKS * ROOM; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) && !(isnan(a[i]) && isnan(b[i])))
            return false;
    return true;
}

/* What the kernel makes of fixed inputs. */
static bool interpret(const struct lo_kernel *k, bool descending, float *y)
{
    float x[ROOM];
    for (int i = 0; i < ROOM; i++)
        x[i] = (float)(i * 37 % 64) / 8 - 3;
    for (int i = 0; i < CHUNKS * ROOM; i++)
        y[i] = (float)i;
    struct lo_run run = {.buf = (void *const[]){x, y}, .descending = descending};
    bool ok = lo_interpret(k, &run);
    if (!ok)
        printf("%s\n", run.message);
    free(run.message);
    return ok;
}

static void compile_and_run(struct back_jit *j, struct lo_kernel *k, float *y)
{
    static char scratch[ROOM * 4 + 64];
    float x[ROOM];
    void *buf[] = {x, y};
    for (int i = 0; i < ROOM; i++)
        x[i] = (float)(i * 37 % 64) / 8 - 3;
    for (int i = 0; i < CHUNKS * ROOM; i++)
        y[i] = (float)i;
    nn_kernel *fn = NULL;
    char *message = NULL;
    test(back_jit_add(j, &k, 1, &fn, &message));
    free(message);
    struct nn_fault fault = {0};
    struct nn_args args = {.buf = buf, .fault = &fault};
    args.scratch = scratch + (64 - (uintptr_t)scratch % 64) % 64;
    uint64_t mode = nn_denormals_flush();
    for (int32_t phase = 0; phase < 2; phase++)
        fn(&args, phase, 0, CHUNKS);
    nn_denormals_restore(mode);
}

static char *text_of(const struct lo_kernel *k)
{
    struct text t = {0};
    lo_print(k, &t);
    return t.p;
}

static bool sound(const struct lo_kernel *k)
{
    char *wrong = lo_verify(k);
    if (wrong)
        printf("%s\n", wrong);
    free(wrong);
    return !wrong;
}

static bool reads_back(const struct lo_kernel *k)
{
    char *a = text_of(k), *b = NULL;
    struct diag *d = diag_new();
    struct lo_kernel *again = lo_read(d, diag_add_file(d, "k", a, strlen(a)));
    diag_print(d, stdout);
    diag_free(d);
    if (again)
        b = text_of(again);
    bool ok = b && !strcmp(a, b) && lo_equal(k, again);
    lo_kernel_free(again);
    free(a);
    free(b);
    return ok;
}

static bool step(bool ok, uint64_t seed, const char *what)
{
    test(ok);
    if (!ok)
        printf("seed %llu: %s\n", (unsigned long long)seed, what);
    return ok;
}

static bool gives(const struct lo_kernel *k, const float *want)
{
    static float y[2][CHUNKS * ROOM];
    return sound(k) && interpret(k, false, y[0]) && interpret(k, true, y[1]) &&
           same_bits(want, y[0]) && same_bits(want, y[1]);
}

/* One kernel, up to its first difference. */
static void check(struct lo_kernel *k, uint64_t seed, bool fma, struct back_jit *j)
{
    static float want[CHUNKS * ROOM], y[CHUNKS * ROOM];
    if (!step(sound(k) && interpret(k, false, want) && gives(k, want), seed, "as made") ||
        !step(reads_back(k), seed, "text"))
        return;
    lo_simplify(k);
    if (!step(gives(k, want), seed, "simplified") || !step(reads_back(k), seed, "text, simplified"))
        return;
    lo_unroll(k);
    if (!step(gives(k, want), seed, "unrolled"))
        return;
    lo_expand_maths(k, fma);
    if (!step(sound(k) && interpret(k, false, want), seed, "expanded"))
        return;
    lo_simplify(k);
    if (!step(gives(k, want), seed, "simplified again") || seed % 10)
        return;
    compile_and_run(j, k, y);
    step(same_bits(want, y), seed, "compiled");
}

int main(void)
{
    char *message = NULL;
    struct back_jit *j = back_jit_new(target_host(), &message);
    uint32_t before = 0, after = 0;
    test(j);
    for (uint64_t seed = 0; j && seed < KERNELS; seed++) {
        struct lo_kernel *k = kernel(seed);
        before += k->insns.n;
        check(k, seed, target_host()->fma, j);
        lo_kernel_free(k);
        k = kernel(seed);
        lo_simplify(k);
        after += k->insns.n;
        lo_kernel_free(k);
    }
    printf("%u instructions, %u when simplified\n", before, after);
    test(after < before / 2);
    back_jit_free(j);
    free(message);
    return test_done();
}
