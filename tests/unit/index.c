/* ir/index.c and ir/access.c: random expressions, simplified, against their plain meaning point by
 * point; the forms that must cancel; composed accesses against one read through the other. */
#include "ir/ir.h"
#include "test.h"

#define AXES 4

static uint64_t state = 1;
static int64_t pick(int64_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)n);
}

static int64_t floor_div(int64_t x, int64_t q) { return x / q - (x % q < 0); }

/* An expression as a tree, not simplified. */
struct tree {
    char kind; /* c x + * / % */
    int64_t c;
    const struct tree *l, *r;
};

static int64_t tree_eval(const struct tree *t, const int64_t *axis)
{
    switch (t->kind) {
    case 'c': return t->c;
    case 'x': return axis[t->c];
    case '+': return tree_eval(t->l, axis) + tree_eval(t->r, axis);
    case '*': return tree_eval(t->l, axis) * t->c;
    case '/': return floor_div(tree_eval(t->l, axis), t->c);
    default: return tree_eval(t->l, axis) - t->c * floor_div(tree_eval(t->l, axis), t->c);
    }
}

static const struct tree *random_tree(struct arena *a, int depth)
{
    struct tree *t = ARENA_NEW(a, struct tree);
    int64_t k = depth ? pick(7) : pick(2);
    switch (k) {
    case 0: t->kind = 'c', t->c = pick(13) - 6; return t;
    case 1: t->kind = 'x', t->c = pick(AXES); return t;
    case 2:
    case 3:
        t->kind = '+';
        t->l = random_tree(a, depth - 1);
        t->r = random_tree(a, depth - 1);
        return t;
    case 4: t->kind = '*', t->c = pick(9) - 3; break;
    case 5: t->kind = '/', t->c = 1 + pick(8); break;
    default: t->kind = '%', t->c = 1 + pick(8); break;
    }
    t->l = random_tree(a, depth - 1);
    return t;
}

static const struct ix *build(struct arena *a, const struct tree *t, const int64_t *dim)
{
    switch (t->kind) {
    case 'c': return ix_const(a, t->c);
    case 'x': return ix_axis(a, (uint32_t)t->c);
    case '+': return ix_add(a, build(a, t->l, dim), build(a, t->r, dim));
    case '*': return ix_mul(a, build(a, t->l, dim), t->c);
    case '/': return ix_div(a, build(a, t->l, dim), t->c, dim);
    default: return ix_mod(a, build(a, t->l, dim), t->c, dim);
    }
}

static bool next_point(int64_t *x, const int64_t *dim, uint32_t n)
{
    while (n--) {
        if (++x[n] < dim[n])
            return true;
        x[n] = 0;
    }
    return false;
}

static void random_expressions(void)
{
    for (int round = 0; round < 4000; round++) {
        struct arena *a = arena_new();
        int64_t dim[AXES];
        for (int i = 0; i < AXES; i++)
            dim[i] = 1 + pick(6);
        const struct tree *t = random_tree(a, 5);
        const struct ix *x = build(a, t, dim);
        const struct ix *sub[AXES];
        const struct tree *subt[AXES];
        for (int i = 0; i < AXES; i++) {
            subt[i] = random_tree(a, 1);
            sub[i] = build(a, subt[i], dim);
        }
        const struct ix *y = ix_subst(a, build(a, t, NULL), sub, NULL, dim);
        struct ix_range r = ix_range(x, dim);
        int64_t at[AXES] = {0};
        bool same = true, inside = true, replaced = true;
        do {
            int64_t v = tree_eval(t, at), inner[AXES];
            same &= ix_eval(x, at, NULL) == v;
            inside &= r.lo <= v && v <= r.hi;
            bool valid = true; /* an axis is never negative: build without sizes relies on it */
            for (int i = 0; i < AXES; i++)
                valid &= (inner[i] = tree_eval(subt[i], at)) >= 0;
            replaced &= !valid || ix_eval(y, at, NULL) == tree_eval(t, inner);
        } while (next_point(at, dim, AXES));
        test(same && inside && replaced);
        arena_free(a);
    }
}

/* Axes i 5, h 4, r 8, w 6. */
static void cancels(void)
{
    struct arena *a = arena_new();
    const int64_t dim[] = {5, 4, 8, 6};
    const struct ix *i = ix_axis(a, 0), *h = ix_axis(a, 1), *r = ix_axis(a, 2), *w = ix_axis(a, 3);
    const struct ix *hr = ix_add(a, ix_mul(a, h, 8), r);
    test(ix_equal(ix_div(a, hr, 8, dim), h));
    test(ix_equal(ix_mod(a, hr, 8, dim), r));
    /* a flat index split again, whatever was merged */
    const struct ix *flat =
        ix_add(a, ix_mul(a, ix_add(a, ix_mul(a, i, 4), h), 48), ix_add(a, ix_mul(a, r, 6), w));
    test(ix_equal(ix_div(a, flat, 4 * 48, dim), i));
    test(ix_equal(ix_mod(a, ix_div(a, flat, 48, dim), 4, dim), h));
    test(ix_equal(ix_mod(a, ix_div(a, flat, 6, dim), 8, dim), r));
    test(ix_equal(ix_mod(a, flat, 6, dim), w));
    test(ix_equal(ix_div(a, ix_mod(a, flat, 48, dim), 6, dim), r));
    /* and an axis split in three and merged */
    const int64_t big[] = {1000};
    const struct ix *x = ix_axis(a, 0);
    const struct ix *merged = ix_add(
        a, ix_add(a, ix_mod(a, x, 5, big), ix_mul(a, ix_mod(a, ix_div(a, x, 5, big), 10, big), 5)),
        ix_mul(a, ix_div(a, x, 50, big), 50));
    test(ix_equal(merged, x));
    test(ix_equal(ix_div(a, ix_div(a, x, 4, big), 6, big), ix_div(a, x, 24, big)));
    test(ix_equal(ix_mod(a, ix_mod(a, x, 24, big), 6, big), ix_mod(a, x, 6, big)));
    test(ix_equal(ix_div(a, ix_mod(a, x, 24, big), 6, big),
                  ix_mod(a, ix_div(a, x, 6, big), 4, big)));
    int64_t c;
    test(ix_is_const(ix_div(a, r, 8, dim), &c) && c == 0);
    test(ix_is_const(ix_add(a, i, ix_mul(a, i, -1)), &c) && c == 0);
    arena_free(a);
}

/* What an access reads: -1 where it fails, else the flat place. */
static int64_t place(const struct ir_access *x, const int64_t *axis)
{
    int64_t flat = 0;
    for (uint32_t i = 0; i < x->rank + x->nguard; i++) {
        const struct ir_term *t = i < x->rank ? &x->at[i] : &x->guard[i - x->rank];
        int64_t v = ix_eval(t->e, axis, NULL);
        if (v % t->q || v / t->q < 0 || v / t->q >= t->n)
            return -1;
        if (i < x->rank)
            flat = flat * t->n + v / t->q;
    }
    return flat;
}

static struct ir_access random_access(struct arena *a, const int64_t *dim, uint32_t rank,
                                      const int64_t *value)
{
    struct ir_term *at = ARENA_ARRAY(a, struct ir_term, rank);
    struct ir_term *guard = ARENA_ARRAY(a, struct ir_term, 1);
    for (uint32_t i = 0; i < rank; i++) {
        const struct ix *e = build(a, random_tree(a, 2), dim);
        int64_t q = pick(3) ? 1 : 1 + pick(3), wrap = q * (value[i] + pick(2));
        at[i] = ir_term_make(a, pick(2) ? ix_mod(a, e, wrap, dim) : e, q, value[i]);
    }
    guard[0] = ir_term_make(a, build(a, random_tree(a, 2), dim), 1 + pick(2), 1 + pick(9));
    return (struct ir_access){.rank = rank, .at = at, .nguard = (uint32_t)pick(2), .guard = guard};
}

static void compositions(void)
{
    struct ir_module m = {.mem = arena_new()};
    int hits = 0;
    for (int round = 0; round < 3000; round++) {
        int64_t dim[AXES], mid[AXES] = {0}, value[2] = {1 + pick(6), 1 + pick(6)};
        for (int i = 0; i < AXES; i++)
            dim[i] = 1 + pick(5);
        for (int i = 0; i < AXES; i++)
            mid[i] = 1 + pick(8);
        struct ir_access outer = random_access(m.mem, dim, AXES, mid);
        struct ir_access inner = random_access(m.mem, mid, 2, value), both;
        test(ir_compose(&m, &outer, &inner, dim, 0, &both));
        int64_t at[AXES] = {0};
        bool same = true;
        do {
            int64_t f = place(&outer, at), p = -1;
            if (f >= 0) {
                int64_t axis[AXES];
                for (int i = AXES; i--; f /= mid[i])
                    axis[i] = f % mid[i];
                p = place(&inner, axis);
            }
            same &= place(&both, at) == p;
            hits += p >= 0;
        } while (next_point(at, dim, AXES));
        test(same);
    }
    test(hits > 10000);
    arena_free(m.mem);
}

int main(void)
{
    random_expressions();
    cancels();
    compositions();
    return test_done();
}
