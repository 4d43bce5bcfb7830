/* Random graphs. A node's operands are read through random accesses (shifted, strided, divided,
 * guarded, gathered), index-notation bodies and conditions on indices are among them.
 *
 * Values are kept such that executors can be compared: `most` bounds their size, and `exact` says
 * that every one is a small multiple of a power of two, the same in any order of sums and any
 * precision; only such values meet operators that jump (floor, comparisons, argmax, casts to
 * integers). */
#include "tool.h"
#include <math.h>

struct value {
    ir_id id;
    double most;  /* |v| <= most */
    int fraction; /* v is a multiple of 2^-fraction; -1: not exact */
};

struct gen {
    struct ir_graph *g;
    struct arena *mem;
    uint64_t state;
    enum nn_dtype real; /* the graph's float type */
    VEC(struct value) pool;
    int inputs;
};

static uint32_t below(struct gen *r, uint32_t n)
{
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    uint32_t x = (uint32_t)(r->state >> 33);
    return n ? x % n : 0;
}

static bool chance(struct gen *r, uint32_t percent) { return below(r, 100) < percent; }

static const struct ir_node *at(struct gen *r, struct value v) { return ir_at(r->g, v.id); }

static void keep(struct gen *r, ir_id id, double most, int fraction)
{
    if (most * ldexp(1, fraction > 0 ? fraction : 0) > 0x1p22)
        fraction = -1;
    vec_push(&r->pool, ((struct value){id, most, fraction}));
}

enum want { ANY, REAL, INT, BOOL };

static bool suits(struct gen *r, struct value v, enum want want)
{
    enum nn_dtype t = at(r, v)->dtype;
    if (v.most > 1e6)
        return false;
    switch (want) {
    case ANY: return true;
    case REAL: return t == r->real;
    case INT: return t == NN_i32;
    case BOOL: return t == NN_bool;
    }
    return false;
}

static struct value make_leaf(struct gen *r, enum want want);

static struct value pick(struct gen *r, enum want want)
{
    for (int tries = 0; tries < 12; tries++) {
        uint32_t n = r->pool.n, recent = n > 5 && chance(r, 60) ? n - 5 : 0;
        struct value v = r->pool.p[recent + below(r, n - recent)];
        if (suits(r, v, want))
            return v;
    }
    return make_leaf(r, want);
}

/* A value exact enough for an operator that jumps. */
static struct value pick_exact(struct gen *r, enum want want)
{
    for (int tries = 0; tries < 8; tries++) {
        struct value v = pick(r, want);
        if (v.fraction >= 0)
            return v;
    }
    return make_leaf(r, want);
}

static uint32_t random_axes(struct gen *r, uint32_t most, struct ir_axis *ax)
{
    static const int64_t sizes[] = {1, 2, 2, 3, 3, 4, 5, 7};
    static const char *const names[] = {"i", "j", "k", "l", "m"};
    uint32_t n = below(r, most + 1);
    for (uint32_t i = 0; i < n; i++)
        ax[i] = (struct ir_axis){names[i], sizes[below(r, COUNT(sizes))], NULL};
    if (n && chance(r, 1))
        ax[below(r, n)].n = 0;
    return n;
}

/* ---- leaves ---- */

static ir_id constant(struct gen *r, enum nn_dtype t, double v)
{
    struct ir_builder b = {.g = r->g};
    return nn_is_float(t) ? ir_const_f(&b, t, v) : ir_const_i(&b, t, (int64_t)v);
}

static struct value make_const(struct gen *r, enum want want)
{
    static const double reals[] = {0, 1, -1, 2, 0.5, -0.5, 3, 4, 0.25};
    enum nn_dtype t = want == INT ? NN_i32 : want == BOOL ? NN_bool : r->real;
    double v = reals[below(r, COUNT(reals))];
    v = t == NN_i32 ? (double)below(r, 6) - 1 : t == NN_bool ? (double)below(r, 2) : v;
    keep(r, constant(r, t, v), fabs(v), t == r->real ? 2 : 0);
    return vec_last(&r->pool);
}

static struct value make_leaf(struct gen *r, enum want want)
{
    struct ir_builder b = {.g = r->g};
    struct ir_axis ax[4];
    char name[8];
    if (chance(r, 20))
        return make_const(r, want);
    uint32_t n = random_axes(r, 3, ax);
    if (want == INT && n && chance(r, 60)) {
        uint32_t axis = below(r, n);
        keep(r, ir_iota(&b, NN_i32, axis, n, ax), (double)ax[axis].n, 0);
        return vec_last(&r->pool);
    }
    snprintf(name, sizeof name, "grid%d", r->inputs++ % 100);
    enum nn_dtype t = want == INT ? NN_i32 : want == BOOL ? NN_bool : r->real;
    keep(r, ir_input(&b, name, t, n, ax), want == INT ? 7 : 3, t == r->real ? 2 : 0);
    return vec_last(&r->pool);
}

/* ---- accesses ---- */

static const struct ix *random_index(struct gen *r, int64_t n, uint32_t nd,
                                     const struct ir_axis *dom, const int64_t *dim)
{
    struct arena *a = r->mem;
    uint32_t axis = below(r, nd), fit = nd;
    for (uint32_t i = 0; i < nd; i++)
        if (dom[(axis + i) % nd].n == n)
            fit = (axis + i) % nd;
    if (!nd || chance(r, 5))
        return ix_const(a, (int64_t)below(r, (uint32_t)(n > 0 ? n : 1)));
    if (fit < nd && chance(r, 70))
        return ix_axis(a, fit);
    const struct ix *x = ix_axis(a, axis), *y = ix_axis(a, below(r, nd));
    int64_t c = (int64_t)below(r, 5) - 2;
    switch (below(r, 6)) {
    case 0: return ix_add(a, x, ix_const(a, c));
    case 1: return ix_add(a, ix_mul(a, x, -1), ix_const(a, n - 1));
    case 2: return ix_add(a, ix_add(a, ix_mul(a, x, 2), y), ix_const(a, c));
    case 3: return ix_div(a, ix_add(a, ix_add(a, x, y), ix_const(a, c + 2)), 2, dim);
    case 4: return ix_mod(a, ix_add(a, x, ix_const(a, c)), n > 1 ? n : 2, dim);
    }
    return ix_add(a, ix_add(a, x, ix_mul(a, y, -1)), ix_const(a, c));
}

static struct ir_access random_access(struct gen *r, ir_id x, uint32_t nd,
                                      const struct ir_axis *dom, double fill)
{
    const struct ir_node *n = ir_at(r->g, x);
    uint32_t rank = ir_rank(n);
    int64_t dim[IR_MAX_AXES];
    struct ir_term *t = ARENA_ARRAY(r->mem, struct ir_term, rank), *guard = NULL;
    for (uint32_t i = 0; i < nd; i++)
        dim[i] = dom[i].n;
    for (uint32_t i = 0; i < rank; i++) {
        const struct ix *e = random_index(r, ir_axes(n)[i].n, nd, dom, dim);
        t[i] = ir_term_make(r->mem, e, chance(r, 6) ? 2 : 1, ir_axes(n)[i].n);
    }
    struct ir_access a = {.rank = rank, .at = t, .fill = fill};
    if (nd && chance(r, 10)) {
        guard = ARENA_ARRAY(r->mem, struct ir_term, 1);
        *guard = ir_term_make(r->mem, random_index(r, 3, nd, dom, dim), chance(r, 30) ? 2 : 1, 3);
        a.nguard = 1;
        a.guard = guard;
    }
    return a;
}

static double random_fill(struct gen *r)
{
    static const double fills[] = {0, 0, 0, 0, 1, -2, 1.5};
    return fills[below(r, COUNT(fills))];
}

/* A domain that suits x: mostly its own axes (some dropped into reductions' part, one added). */
static uint32_t domain_for(struct gen *r, struct value x, struct ir_axis *dom)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    const struct ir_node *n = at(r, x);
    uint32_t rank = ir_rank(n), nd = 0;
    if (rank > 4 || chance(r, 15))
        return random_axes(r, 3, dom);
    for (uint32_t i = 0; i < rank; i++)
        dom[nd++] = ir_axes(n)[i];
    if (nd < 4 && chance(r, 20))
        dom[nd++] = (struct ir_axis){NULL, 1 + below(r, 3), NULL};
    for (uint32_t i = 0; i < nd; i++)
        dom[i].name = names[i];
    return nd;
}

static int64_t points(uint32_t nd, const struct ir_axis *dom)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < nd; i++)
        n *= dom[i].n;
    return n;
}

static ir_id append(struct gen *r, enum ir_op op, enum nn_dtype t, uint32_t nd,
                    const struct ir_axis *dom, uint32_t nin, const struct ir_in *in, bool inlined)
{
    struct ir_node n = {.op = (uint8_t)op,
                        .dtype = (uint8_t)t,
                        .nd = (uint16_t)nd,
                        .dom = dom,
                        .nin = (uint16_t)nin,
                        .in = in,
                        .inlined = inlined};
    return ir_append(r->g, &n);
}

static struct ir_in operand(struct gen *r, struct value v, uint32_t nd, const struct ir_axis *dom)
{
    if (chance(r, 70)) { /* trailing axes, where they fit */
        const struct ir_node *n = at(r, v);
        uint32_t rank = ir_rank(n);
        bool fits = rank <= nd;
        struct ir_term *t = ARENA_ARRAY(r->mem, struct ir_term, rank);
        for (uint32_t i = 0; i < rank && fits; i++) {
            int64_t size = ir_axes(n)[i].n;
            fits = size == 1 || size == dom[nd - rank + i].n;
            t[i] = (struct ir_term){
                size == 1 ? ix_const(r->mem, 0) : ix_axis(r->mem, nd - rank + i), 1, size};
        }
        if (fits)
            return (struct ir_in){v.id, {.rank = rank, .at = t}};
    }
    double fill = at(r, v)->dtype == r->real ? random_fill(r) : 0;
    return (struct ir_in){v.id, random_access(r, v.id, nd, dom, fill)};
}

/* ---- element-wise ---- */

static void unary(struct gen *r)
{
    static const enum ir_op ops[] = {IR_neg,  IR_neg,   IR_abs,  IR_sign,    IR_floor,
                                     IR_ceil, IR_round, IR_sqrt, IR_exp,     IR_log,
                                     IR_sin,  IR_cos,   IR_tanh, IR_sigmoid, IR_erf,
                                     IR_copy, IR_neg,   IR_copy, IR_rsqrt,   IR_rsqrt};
    enum ir_op op = ops[below(r, COUNT(ops))];
    bool jumps = op == IR_sign || op == IR_floor || op == IR_ceil || op == IR_round;
    struct value x = jumps ? pick_exact(r, REAL) : pick(r, REAL);
    struct ir_axis dom[IR_MAX_AXES];
    uint32_t nd = domain_for(r, x, dom);
    struct ir_in in = operand(r, x, nd, dom);
    double most = x.most > 2 ? x.most : 2;
    int fraction = jumps ? 0 : op == IR_neg || op == IR_abs || op == IR_copy ? x.fraction : -1;
    if ((op == IR_exp && most > 8) || ((op == IR_sin || op == IR_cos) && most > 32))
        return;
    if (op == IR_sqrt || op == IR_log || op == IR_rsqrt) { /* of |x| + 1/2 */
        struct ir_in plus[] = {{append(r, IR_abs, r->real, nd, dom, 1, &in, chance(r, 50)),
                                ir_identity(r->g->m, nd, dom)},
                               {.node = constant(r, r->real, 0.5)}};
        in = (struct ir_in){append(r, IR_add, r->real, nd, dom, 2, plus, chance(r, 50)),
                            ir_identity(r->g->m, nd, dom)};
    }
    keep(r, append(r, op, r->real, nd, dom, 1, &in, chance(r, 40)),
         op == IR_exp ? exp(most) : most + 1, fraction);
}

static void binary_real(struct gen *r)
{
    static const enum ir_op ops[] = {IR_add, IR_add, IR_sub, IR_sub, IR_mul,
                                     IR_mul, IR_min, IR_max, IR_div, IR_pow};
    enum ir_op op = ops[below(r, COUNT(ops))];
    static const double powers[] = {2, 3, 0.5, -0.5, 1, 0, -1, 1.5};
    static const double divisors[] = {2, 0.5, 3, 1, -4, 10};
    struct value x = pick(r, REAL), y = pick(r, REAL);
    struct ir_axis dom[IR_MAX_AXES];
    uint32_t nd = domain_for(r, x, dom);
    double most = 2 + x.most + y.most;
    int fraction = x.fraction < 0 || y.fraction < 0 ? -1
                   : x.fraction > y.fraction        ? x.fraction
                                                    : y.fraction;
    struct ir_in in[2] = {operand(r, x, nd, dom), operand(r, y, nd, dom)};
    if (op == IR_div || op == IR_pow) { /* by a constant; of |x| + 1/2 */
        double c =
            op == IR_div ? divisors[below(r, COUNT(divisors))] : powers[below(r, COUNT(powers))];
        in[1] = (struct ir_in){.node = constant(r, r->real, c)};
        fraction = -1;
        most = op == IR_div ? 2 * x.most + 4 : (x.most + 2) * (x.most + 2) * (x.most + 2);
    }
    if (op == IR_pow) {
        struct ir_in plus[] = {{append(r, IR_abs, r->real, nd, dom, 1, in, chance(r, 50)),
                                ir_identity(r->g->m, nd, dom)},
                               {.node = constant(r, r->real, 0.5)}};
        in[0] = (struct ir_in){append(r, IR_add, r->real, nd, dom, 2, plus, chance(r, 50)),
                               ir_identity(r->g->m, nd, dom)};
    }
    if (op == IR_mul) {
        most = (x.most + 2) * (y.most + 2);
        fraction = fraction < 0 ? -1 : x.fraction + y.fraction;
    }
    if (most > 1e4)
        return;
    keep(r, append(r, op, r->real, nd, dom, 2, in, chance(r, 40)), most, fraction);
}

static void binary_int(struct gen *r)
{
    static const enum ir_op ops[] = {IR_add,  IR_add, IR_sub, IR_mul,
                                     IR_idiv, IR_mod, IR_min, IR_max};
    enum ir_op op = ops[below(r, COUNT(ops))];
    struct value x = pick(r, INT), y = pick(r, INT);
    struct ir_axis dom[IR_MAX_AXES];
    uint32_t nd = domain_for(r, x, dom);
    struct ir_in in[2] = {operand(r, x, nd, dom), operand(r, y, nd, dom)};
    if ((op == IR_idiv || op == IR_mod || op == IR_mul) && chance(r, 70))
        in[1] = (struct ir_in){.node = constant(r, NN_i32, 1 + below(r, 3))};
    double most = op == IR_mul ? x.most * (y.most + 3) : x.most + y.most;
    if (most > 1e5)
        return;
    keep(r, append(r, op, NN_i32, nd, dom, 2, in, chance(r, 40)), most, 0);
}

static void compare(struct gen *r)
{
    static const enum ir_op ops[] = {IR_eq, IR_ne, IR_lt, IR_le, IR_gt, IR_ge};
    enum want want = chance(r, 60) ? INT : REAL;
    struct value x = pick_exact(r, want), y = pick_exact(r, want);
    struct ir_axis dom[IR_MAX_AXES];
    uint32_t nd = domain_for(r, x, dom);
    struct ir_in in[2] = {operand(r, x, nd, dom), operand(r, y, nd, dom)};
    keep(r, append(r, ops[below(r, COUNT(ops))], NN_bool, nd, dom, 2, in, chance(r, 40)), 1, 0);
}

static void logic(struct gen *r)
{
    static const enum ir_op ops[] = {IR_and, IR_or, IR_not};
    enum ir_op op = ops[below(r, COUNT(ops))];
    struct value x = pick(r, BOOL), y = pick(r, BOOL);
    struct ir_axis dom[IR_MAX_AXES];
    uint32_t nd = domain_for(r, x, dom);
    struct ir_in in[2] = {operand(r, x, nd, dom), operand(r, y, nd, dom)};
    keep(r, append(r, op, NN_bool, nd, dom, op == IR_not ? 1 : 2, in, chance(r, 40)), 1, 0);
}

static void choose(struct gen *r)
{
    enum want want = chance(r, 80) ? REAL : INT;
    struct value c = pick(r, BOOL), x = pick(r, want),
                 y = chance(r, 50) ? make_const(r, want) : pick(r, want);
    struct ir_axis dom[IR_MAX_AXES];
    uint32_t nd = domain_for(r, chance(r, 50) ? c : x, dom);
    struct ir_in in[3] = {operand(r, c, nd, dom), operand(r, x, nd, dom), operand(r, y, nd, dom)};
    int fraction = x.fraction < 0 || y.fraction < 0 ? -1
                   : x.fraction > y.fraction        ? x.fraction
                                                    : y.fraction;
    keep(r, append(r, IR_select, at(r, x)->dtype, nd, dom, 3, in, chance(r, 40)),
         2 + (x.most > y.most ? x.most : y.most), fraction);
}

static void cast(struct gen *r)
{
    struct value x = chance(r, 50)   ? pick_exact(r, REAL)
                     : chance(r, 70) ? pick(r, INT)
                                     : pick(r, BOOL);
    enum nn_dtype t = at(r, x)->dtype == r->real || chance(r, 30) ? NN_i32 : r->real;
    struct ir_axis dom[IR_MAX_AXES];
    uint32_t nd = domain_for(r, x, dom);
    struct ir_in in = operand(r, x, nd, dom);
    keep(r, append(r, IR_cast, t, nd, dom, 1, &in, chance(r, 40)), x.most + 2,
         t == r->real ? x.fraction : 0);
}

/* ---- moves, gathers ---- */

static void move(struct gen *r)
{
    struct value x = pick(r, ANY);
    struct ir_axis dom[IR_MAX_AXES];
    uint32_t nd = domain_for(r, x, dom);
    double fill = at(r, x)->dtype == r->real ? random_fill(r) : 0;
    struct ir_in in = {x.id, random_access(r, x.id, nd, dom, fill)};
    keep(r, append(r, IR_copy, at(r, x)->dtype, nd, dom, 1, &in, chance(r, 30)), x.most + 2,
         x.fraction);
}

static void reshape(struct gen *r)
{
    struct value x = pick(r, ANY);
    const struct ir_node *n = at(r, x);
    int64_t left = ir_count(n);
    struct ir_axis ax[6];
    uint32_t rank = 0;
    while (rank < 5 && left > 1) {
        int64_t size = chance(r, 20) ? 1 : 2 + below(r, 3);
        if (rank == 4 || left % size != 0)
            size = left;
        ax[rank++] = (struct ir_axis){NULL, size, NULL};
        left /= size;
    }
    if (left == 0)
        return;
    struct ir_builder b = {.g = r->g};
    keep(r, ir_reshape(&b, x.id, rank, ax), x.most, x.fraction);
}

static void gather(struct gen *r)
{
    struct value x = pick(r, REAL), i = pick(r, INT);
    uint32_t rank = ir_rank(at(r, x));
    struct ir_axis dom[IR_MAX_AXES];
    uint32_t nd = domain_for(r, i, dom);
    if (!rank)
        return;
    struct ir_in in[2] = {{x.id, random_access(r, x.id, nd, dom, random_fill(r))},
                          operand(r, i, nd, dom)};
    uint32_t axis = below(r, rank);
    struct ir_term *t = arena_dup(r->mem, in[0].a.at, rank * sizeof *t);
    t[axis].e = ix_operand(r->mem, 1);
    t[axis].q = 1;
    if (chance(r, 30))
        t[axis].e = ix_add(r->mem, t[axis].e, ix_const(r->mem, -1));
    else if (t[axis].n && chance(r, 40)) { /* one that must not fail, and does not */
        struct ir_in mod[] = {in[1], {.node = constant(r, NN_i32, (double)t[axis].n)}};
        ir_id index = append(r, IR_mod, NN_i32, nd, dom, 2, mod, chance(r, 50));
        in[1] = (struct ir_in){index, ir_identity(r->g->m, nd, dom)};
        in[0].a.strict = true;
    }
    in[0].a.at = t;
    keep(r, append(r, IR_copy, r->real, nd, dom, 2, in, chance(r, 30)), x.most + 2, x.fraction);
}

static void scatter(struct gen *r)
{
    struct value x = pick_exact(r, REAL), i = pick(r, INT);
    struct ir_axis dom[IR_MAX_AXES], val[4];
    uint32_t nd = domain_for(r, i, dom), nval = random_axes(r, 2, val);
    struct ir_term *t = ARENA_ARRAY(r->mem, struct ir_term, 4);
    int64_t dim[IR_MAX_AXES];
    for (uint32_t k = 0; k < nd; k++)
        dim[k] = dom[k].n;
    for (uint32_t k = 0; k < nval; k++)
        t[k] = (struct ir_term){k || chance(r, 20) ? random_index(r, val[k].n, nd, dom, dim)
                                                   : ix_operand(r->mem, 1),
                                1, val[k].n};
    struct ir_in in[2] = {operand(r, x, nd, dom), operand(r, i, nd, dom)};
    struct ir_access out = {.rank = nval, .at = t};
    struct ir_node n = {.op = IR_scatter,
                        .dtype = (uint8_t)r->real,
                        .nd = (uint16_t)nd,
                        .dom = dom,
                        .nin = 2,
                        .in = in,
                        .nval = (uint16_t)nval,
                        .val = val,
                        .out = &out};
    double most = (x.most + 2) * (double)points(nd, dom);
    if (most < 1e4)
        keep(r, ir_append(r->g, &n), most, x.fraction);
}

/* ---- folds ---- */

static void fold(struct gen *r)
{
    enum ir_monoid m = (enum ir_monoid)below(r, IRM_COUNT);
    bool predicate = m == IRM_any || m == IRM_all, which = m == IRM_argmax || m == IRM_argmin;
    enum want want = predicate ? BOOL : chance(r, 85) ? REAL : INT;
    struct value x = which ? pick_exact(r, want) : pick(r, want);
    struct ir_axis dom[IR_MAX_AXES];
    uint32_t nd = domain_for(r, x, dom), nred = nd ? 1 + below(r, nd) : 0;
    int64_t count = points(nred, dom + nd - nred);
    struct ir_in in = operand(r, x, nd, dom);
    enum nn_dtype t = which ? NN_i32 : at(r, x)->dtype;
    double most = m == IRM_sum ? (x.most + 2) * (double)(count + 1) : x.most + 2;
    int fraction = which ? 0 : x.fraction;
    if (m == IRM_prod) {
        most = pow(x.most + 2, (double)(count > 8 ? 99 : count));
        fraction = x.fraction < 0 ? -1 : x.fraction * (int)(count > 8 ? 8 : count);
    }
    if ((m == IRM_max || m == IRM_min) && chance(r, 50))
        in.a.fill = ir_monoid_identity(m, t);
    if (most > 1e4)
        return;
    struct ir_node n = {.op = IR_reduce,
                        .dtype = (uint8_t)t,
                        .monoid = (uint8_t)m,
                        .nd = (uint16_t)nd,
                        .nred = (uint16_t)nred,
                        .dom = dom,
                        .nin = 1,
                        .in = &in};
    if ((m == IRM_max || m == IRM_min) && (count == 0 || isinf(in.a.fill)))
        most = INFINITY; /* an empty extreme: an output perhaps, no operand */
    keep(r, ir_append(r->g, &n), most > (double)count ? most : (double)count, fraction);
}

/* sum over some axes of x[…] * y[…], under a condition on indices at times */
static void contraction(struct gen *r)
{
    struct value x = pick(r, REAL), y = pick(r, REAL);
    struct ir_axis dom[6];
    uint32_t nd = domain_for(r, x, dom);
    if (nd > 4 || !nd)
        return;
    dom[nd++] = (struct ir_axis){"t", 1 + below(r, 5), NULL};
    uint32_t nred = 1 + below(r, nd);
    int64_t count = points(nred, dom + nd - nred);
    struct ir_in in[2] = {operand(r, x, nd, dom), operand(r, y, nd, dom)};
    double most = (x.most + 2) * (y.most + 2) * (double)(count + 1);
    if (most > 1e4)
        return;
    ir_id body = append(r, IR_mul, r->real, nd, dom, 2, in, true);
    struct ir_access whole = ir_identity(r->g->m, nd, dom);
    if (chance(r, 40)) {
        struct ir_in c[3] = {
            operand(r, pick(r, BOOL), nd, dom), {body, whole}, {.node = constant(r, r->real, 0)}};
        body = append(r, IR_select, r->real, nd, dom, 3, c, true);
    }
    struct ir_in sum = {body, chance(r, 80) ? whole : random_access(r, body, nd, dom, 0)};
    struct ir_node n = {.op = IR_reduce,
                        .dtype = (uint8_t)r->real,
                        .monoid = IRM_sum,
                        .nd = (uint16_t)nd,
                        .nred = (uint16_t)nred,
                        .dom = dom,
                        .nin = 1,
                        .in = &sum};
    int fraction = x.fraction < 0 || y.fraction < 0 ? -1 : x.fraction + y.fraction;
    keep(r, ir_append(r->g, &n), most, fraction);
}

static void prefix(struct gen *r)
{
    struct value x = pick(r, REAL);
    struct ir_axis dom[IR_MAX_AXES];
    uint32_t nd = domain_for(r, x, dom);
    if (!nd)
        return;
    struct ir_in in = operand(r, x, nd, dom);
    struct ir_node n = {.op = IR_cumsum,
                        .dtype = (uint8_t)r->real,
                        .nd = (uint16_t)nd,
                        .dom = dom,
                        .nin = 1,
                        .in = &in,
                        .reverse = chance(r, 50)};
    n.attr.i = below(r, nd);
    double most = (x.most + 2) * (double)(dom[n.attr.i].n + 1);
    if (most < 1e4)
        keep(r, ir_append(r->g, &n), most, x.fraction);
}

/* a comparison of two axes, as `j <= i` or `(i - j) % 2 == 0` */
static void condition(struct gen *r)
{
    static const enum ir_op ops[] = {IR_eq, IR_lt, IR_le, IR_gt, IR_ge, IR_ne};
    struct ir_builder b = {.g = r->g, .inlined = chance(r, 50)};
    struct ir_axis ax[4];
    uint32_t n = random_axes(r, 3, ax);
    if (!n)
        return;
    ir_id i = ir_iota(&b, NN_i32, below(r, n), n, ax), j = ir_iota(&b, NN_i32, below(r, n), n, ax);
    ir_id d = ir_binary(&b, IR_sub, i, chance(r, 60) ? j : ir_const_i(&b, NN_i32, below(r, 3)));
    if (chance(r, 50))
        d = ir_binary(&b, IR_mod, d, ir_const_i(&b, NN_i32, 2 + below(r, 2)));
    ir_id c = ir_binary(&b, ops[below(r, 6)], d, ir_const_i(&b, NN_i32, (int64_t)below(r, 3) - 1));
    keep(r, c, 1, 0);
}

static void noise(struct gen *r)
{
    struct ir_builder b = {.g = r->g};
    struct ir_axis ax[4];
    uint32_t n = random_axes(r, 3, ax);
    ir_id seed = ir_const_i(&b, NN_i64, 5), step = ir_const_i(&b, NN_i64, below(r, 3));
    ir_id u = ir_random(&b, seed, step, below(r, 4), (int)below(r, 2), n, ax);
    keep(r, ir_cast(&b, r->real, u), 1, -1);
}

static void (*const makers[])(struct gen *r) = {
    unary,       unary,   unary,     binary_real, binary_real, binary_real, binary_real,
    binary_int,  compare, logic,     choose,      choose,      cast,        move,
    move,        reshape, gather,    scatter,     fold,        fold,        contraction,
    contraction, prefix,  condition, condition,   noise,
};

struct ir_module *tool_random_graph(uint64_t seed, int size)
{
    struct ir_module *m = ir_module_new("random", NULL);
    struct gen r = {.g = ir_graph_new(m, "g"), .mem = m->mem, .state = seed * 2654435761u + 1};
    static const char *const names[] = {"y0", "y1", "y2", "y3"};
    below(&r, 2);
    r.real = chance(&r, 80) ? NN_f32 : NN_f64;
    for (int i = 0; i < 3; i++)
        make_leaf(&r, REAL);
    for (int i = 0; i < size; i++) {
        makers[below(&r, COUNT(makers))](&r);
        if (r.pool.n &&
            points(ir_rank(at(&r, vec_last(&r.pool))), ir_axes(at(&r, vec_last(&r.pool)))) > 300)
            r.pool.n--;
    }
    for (uint32_t i = 0; i < COUNT(names) && i < r.pool.n; i++)
        vec_push(&r.g->outputs, ((struct ir_named){names[i], r.pool.p[r.pool.n - 1 - i].id}));
    vec_free(&r.pool);
    return m;
}
