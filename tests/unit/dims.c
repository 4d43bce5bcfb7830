/* dims: canonical polynomials, floor division with multiples taken out, solving, bounds, text. */
#include "front/dims.h"
#include "test.h"

static struct dims *s;
static const struct dim *h, *n, *k;

static const struct dim *c(int64_t v) { return dim_const(s, v); }

static void text_is(const struct dim *d, const char *wanted)
{
    struct text t = {0};
    dim_print(s, d, &t);
    test_text(t.p, wanted);
    text_free(&t);
}

static void division(void)
{
    const struct dim *h8 = dim_mul(s, c(8), h);
    test(dim_add(s, dim_div(s, dim_sub(s, h8, c(1)), c(2)), c(1)) == dim_mul(s, c(4), h));
    test(dim_div(s, dim_mul(s, n, k), k) == n);
    test(dim_div(s, dim_mul(s, n, k), dim_mul(s, c(2), k)) == dim_div(s, n, c(2)));
    test(dim_div(s, dim_div(s, n, c(3)), c(4)) == dim_div(s, n, c(12)));
    test(dim_mod(s, dim_add(s, h8, c(3)), c(4)) == c(3));
    test(dim_div(s, c(-7), c(2)) == c(-4));
    test(dim_mod(s, c(-7), c(2)) == c(1));
    test(dim_div(s, c(7), c(-2)) == c(-4));
    test(dim_div(s, n, c(2)) != n);
    text_is(dim_div(s, dim_add(s, n, c(3)), c(2)), "(n + 1)//2 + 1");
    text_is(dim_sub(s, dim_mul(s, h8, n), c(1)), "8*h*n - 1");
    text_is(dim_mul(s, n, n), "n**2");
    text_is(dim_const(s, -3), "-3");
    text_is(c(0), "0");
}

static void solving(struct dim_sym *hs)
{
    bool linear;
    const struct dim *p = dim_mul(s, c(16), h);
    test(dim_solve(s, p, hs, c(64), &linear) == c(4) && linear);
    test(!dim_solve(s, p, hs, c(30), &linear) && linear);
    test(!dim_solve(s, dim_div(s, h, c(2)), hs, c(30), &linear) && !linear);
    test(dim_solve(s, dim_add(s, h, c(1)), hs, n, &linear) == dim_sub(s, n, c(1)));
    hs->solution = dim_mul(s, c(3), n);
    test(dim_subst(s, dim_div(s, dim_add(s, h, c(1)), c(3))) == n);
    hs->solution = NULL;
}

static void bounds(struct dim_sym *ns)
{
    test(dim_shown_ge(s, n, c(1)) && !dim_shown_ge(s, n, c(2)));
    test(dim_shown_ge(s, dim_mul(s, n, k), c(1)));
    test(!dim_shown_ge(s, dim_sub(s, n, k), c(0)));
    test(dim_div(s, c(1), dim_add(s, n, c(1))) == c(0));
    int64_t v;
    test(!dim_value(s, dim_div(s, n, c(2)), &v));
    ns->known = true;
    ns->value = 9;
    test(dim_value(s, dim_div(s, n, c(2)), &v) && v == 4);
    const struct dim *big = c(INT64_MAX);
    test(!dims_overflow(s));
    dim_mul(s, big, c(2));
    test(dims_overflow(s) && !dims_overflow(s));
}

/* ---- quotients against each other ---- */

struct quotient { /* times*((by*n + plus)//over) */
    int64_t times, by, plus, over;
};

static const struct dim *quotient_dim(struct quotient q, const struct dim *x)
{
    const struct dim *num = dim_add(s, dim_mul(s, c(q.by), x), c(q.plus));
    return dim_mul(s, c(q.times), dim_div(s, num, c(q.over)));
}

static int64_t quotient_value(struct quotient q, int64_t x)
{
    return q.times * floor_div(q.by * x + q.plus, q.over);
}

/* a + b of one size, up to a bound: its range takes in all values. Whether it is exact. */
static bool ranged(struct quotient a, struct quotient b, const struct dim *x, int64_t most)
{
    int64_t lo, hi, least = INT64_MAX, greatest = INT64_MIN;
    dim_range(s, dim_add(s, quotient_dim(a, x), quotient_dim(b, x)), &lo, &hi);
    for (int64_t v = 1; v <= most; v++) {
        int64_t y = quotient_value(a, v) + quotient_value(b, v);
        least = y < least ? y : least;
        greatest = y > greatest ? y : greatest;
    }
    test(lo <= least && hi >= greatest);
    return lo == least && hi == greatest;
}

/* All pairs of small numbers: sound always; where one quotient is never below the other, shown. */
static void quotients(struct dim_sym *xs)
{
    const struct dim *x = dim_of_symbol(s, xs);
    uint32_t exact = 0, all = 0;
    xs->most = 40;
    for (int64_t p = 1; p <= 5; p++)
        for (int64_t q = 1; q <= 5; q++)
            for (int64_t i = -3; i <= 3; i++)
                for (int64_t j = 1; j <= 3; j++) {
                    struct quotient a = {j, 1, i, p}, b = {-1, j, 2 - i, q};
                    all++;
                    exact += ranged(a, b, x, xs->most);
                    struct quotient up = {1, j, i + 3, p}, down = {1, j, i, p};
                    test(dim_shown_ge(s, quotient_dim(up, x), quotient_dim(down, x)));
                }
    test(3 * exact > 2 * all);
    xs->most = 0;
    /* for every size */
    const struct dim *half = dim_div(s, x, c(2)), *rest = dim_div(s, dim_add(s, x, c(1)), c(2));
    test(dim_shown_ge(s, rest, half) && !dim_shown_ge(s, half, rest));
    test(dim_shown_ge(s, x, dim_add(s, half, half)) && dim_shown_ge(s, dim_add(s, rest, rest), x));
    test(dim_shown_ge(s, dim_add(s, half, rest), x) && dim_shown_ge(s, x, dim_add(s, half, rest)));
    test(dim_shown_ge(s, half, dim_div(s, x, c(3))) && !dim_shown_ge(s, dim_div(s, x, c(3)), half));
    test(!dim_shown_ge(s, half, c(1)) &&
         !dim_shown_ge(s, dim_div(s, n, c(2)), dim_div(s, k, c(2))));
    /* numbers beyond an i64 give no bound, and no overflow */
    struct quotient far = {INT64_MAX, 1, 0, 3};
    test(!dim_shown_ge(s, quotient_dim(far, x), x) && !dims_overflow(s));
}

int main(void)
{
    s = dims_new();
    struct dim_sym *hs = dim_symbol(s, "h"), *ns = dim_symbol(s, "n");
    h = dim_of_symbol(s, hs);
    n = dim_of_symbol(s, ns);
    k = dim_of_symbol(s, dim_symbol(s, "k"));
    division();
    solving(hs);
    bounds(ns);
    quotients(dim_symbol(s, "x"));
    dims_free(s);
    return test_done();
}
