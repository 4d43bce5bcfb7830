/* Gradients against central differences, in f64 through the evaluator: every operator, every form
 * of access, and gradients of gradients. A case is a graph whose output is y; the loss is y times
 * fixed weights, summed. Inputs: p… positive, z… with zeros, i…
 * indices below 3, others of both signs and away from 0. */
#include "pass/pass.h"
#include "test.h"

struct sample {
    const char *name;
    bool once; /* kinks or integers: no second derivative is checked */
    const char *text;
};

/* clang-format off */
#define ELEM1(op, input) {#op, false, "%x = input " input " : f64[i 5] %y = " #op " %x[i] : f64[i 5]"}
#define ELEM2(op, a, b)                                                                            \
    {#op, false, "%a = input " a " : f64[i 3, j 4] %b = input " b " : f64[j 4]\n"                  \
                 "%y = " #op " %a[i, j] %b[j] : f64[i 3, j 4]"}
static const struct sample samples[] = {
    ELEM1(neg, "x"), ELEM1(abs, "x"), ELEM1(sign, "x"), ELEM1(floor, "x"), ELEM1(ceil, "x"),
    ELEM1(round, "x"), ELEM1(sqrt, "p"), ELEM1(rsqrt, "p"), ELEM1(exp, "x"), ELEM1(log, "p"),
    ELEM1(sin, "x"), ELEM1(cos, "x"), ELEM1(tanh, "x"), ELEM1(sigmoid, "x"), ELEM1(erf, "x"),
    ELEM2(add, "a", "b"), ELEM2(sub, "a", "b"), ELEM2(mul, "a", "b"), ELEM2(div, "a", "b"),
    ELEM2(idiv, "p", "b"), ELEM2(mod, "p", "b"), ELEM2(pow, "p", "b"), ELEM2(min, "a", "b"),
    ELEM2(max, "a", "b"),
    {"square", false, "%x = input x : f64[i 5] %y = mul %x[i] %x[i] : f64[i 5]"},
    {"cube", false, "%x = input x : f64[i 5] %c = const 3 : f64 %y = pow %x[i] %c[] : f64[i 5]"},
    {"pow 2", false, "%x = input x : f64[i 5] %c = const 2 : f64 %y = pow %x[i] %c[] : f64[i 5]"},
    {"pow -1.5", false,
     "%x = input p : f64[i 5] %c = const -1.5 : f64 %y = pow %x[i] %c[] : f64[i 5]"},
    {"relu", false, "%x = input x : f64[i 9] %c = const 0 : f64 %y = max %x[i] %c[] : f64[i 9]"},
    {"select", false,
     "%a = input a : f64[i 6] %b = input b : f64[i 6] %c = input c : f64[i 6]\n"
     "%l = lt %a[i] %b[i] : bool[i 6] %y = select %l[i] %c[i] %a[i] : f64[i 6]"},
    /* reductions */
    {"sum", false, "%x = input x : f64[i 3, j 4] %y = reduce sum(j 4) %x[i, j] : f64[i 3]"},
    {"max", false, "%x = input x : f64[i 3, j 4] %y = reduce max(j 4) %x[i, j] : f64[i 3]"},
    {"min", false, "%x = input x : f64[i 3, j 4] %y = reduce min(i 3) %x[i, j] : f64[j 4]"},
    {"prod", false, "%x = input x : f64[i 3, j 4] %y = reduce prod(j 4) %x[i, j] : f64[i 3]"},
    {"prod zeros", true, "%x = input z : f64[i 6, j 4] %y = reduce prod(j 4) %x[i, j] : f64[i 6]"},
    {"cumsum", false, "%x = input x : f64[i 3, j 4] %y = cumsum 1 %x[i, j] : f64[i 3, j 4]"},
    {"cumsum back", false,
     "%x = input x : f64[i 3, j 4] %y = cumsum 0 reverse %x[j, i] : f64[i 4, j 3]"},
    {"argmax", true,
     "%x = input x : f64[i 3, j 4] %a = reduce argmax(j 4) %x[i, j] : i32[i 3]\n"
     "%y = copy %x[i, @1] strict %a[i] : f64[i 3]"},
    /* moves */
    {"reshape split", false,
     "%x = input x : f64[i 3, k 8] %r = reshape %x : f64[i 3, a 2, b 4]\n"
     "%y = mul %r[i, a, b] %r[i, 1 - a, b] : f64[i 3, a 2, b 4]"},
    {"reshape merge", false,
     "%x = input x : f64[i 3, a 2, b 4] %r = reshape %x : f64[k 24]\n"
     "%y = mul %r[k] %r[23 - k] : f64[k 24]"},
    {"reshape of a broadcast", false,
     "%x = input x : f64[i 3] %b = copy %x[i] : f64[i 3, j 4] %r = reshape %b : f64[k 12]\n"
     "%y = mul %r[k] %r[k] : f64[k 12]"},
    {"slice", false, "%x = input x : f64[i 9] %y = copy %x[2*i + 1] : f64[i 4]"},
    {"flip", false, "%x = input x : f64[i 9] %y = copy %x[8 - i] : f64[i 9]"},
    {"backward step", false, "%x = input x : f64[i 9] %y = copy %x[8 - 3*i] : f64[i 3]"},
    {"pad", false, "%x = input x : f64[i 4] %y = copy %x[i - 2 else 0.5] : f64[i 9]"},
    {"concat", false,
     "%a = input a : f64[i 3, j 2] %b = input b : f64[i 3, j 4]\n"
     "%p = copy %a[i, j] : f64[i 3, j 6] %q = copy %b[i, j - 2] : f64[i 3, j 6]\n"
     "%y = add %p[i, j] %q[i, j] : f64[i 3, j 6]"},
    {"transposed", false, "%x = input x : f64[i 3, j 4] %y = copy %x[j, i] : f64[i 4, j 3]"},
    {"diagonal", false, "%x = input x : f64[i 4, j 4] %y = copy %x[i, i] : f64[i 4]"},
    {"trace", false, "%x = input x : f64[i 4, j 4] %y = reduce sum(i 4) %x[i, i] : f64"},
    {"antidiagonals", false, "%x = input x : f64[i 4, j 4] %y = copy %x[i, j - i] : f64[i 4, j 7]"},
    {"whole quotient", false, "%x = input x : f64[i 3] %y = copy %x[i//4] : f64[i 11]"},
    {"remainder", false, "%x = input x : f64[i 3] %y = copy %x[i%3] : f64[i 11]"},
    {"quotient and remainder", false,
     "%x = input x : f64[i 3, j 4] %y = copy %x[i//4, i%4] : f64[i 12]"},
    {"shifted quotient", false, "%x = input x : f64[i 5] %y = copy %x[(i + 3)//2 - 1] : f64[i 7]"},
    {"nested", false, "%x = input x : f64[i 2] %y = copy %x[(i%6)//3] : f64[i 14]"},
    {"two quotients", false, "%x = input x : f64[i 4] %y = copy %x[i//3 + j//2] : f64[i 6, j 5]"},
    {"merged axes", false, "%x = input x : f64[i 12] %y = copy %x[4*i + j] : f64[i 3, j 4]"},
    {"merged, a gap", false, "%x = input x : f64[i 14] %y = copy %x[5*i + j] : f64[i 3, j 4]"},
    {"exact", false, "%x = input x : f64[i 5] %y = copy %x[(i - 1)/2] : f64[i 12]"},
    {"guarded", false, "%x = input x : f64[i 5] %y = copy %x[i where i - j in 3] : f64[i 5, j 4]"},
    {"equal by a guard", false,
     "%x = input x : f64[i 5] %y = reduce sum(j 5) %x[j where i - j in 1] : f64[i 7]"},
    /* gathers */
    {"embedding", false,
     "%x = input x : f64[v 4, d 3] %i = input i : i32[b 2, t 3]\n"
     "%y = copy %x[@1, d] strict %i[b, t] : f64[b 2, t 3, d 3]"},
    {"picked", false,
     "%x = input x : f64[b 2, t 3, v 4] %i = input i : i32[b 2, t 3]\n"
     "%y = copy %x[b, t, @1] strict %i[b, t] : f64[b 2, t 3]"},
    {"picked, reversed", false,
     "%x = input x : f64[b 5, v 4] %i = input i : i64[b 5]\n"
     "%y = copy %x[b, 3 - @1] strict %i[b] : f64[b 5]"},
    {"picked by a half", false,
     "%x = input x : f64[b 5, v 4] %i = input i : i64[b 5]\n"
     "%y = copy %x[b, @1//2 + b%2] strict %i[b] : f64[b 5]"},
    {"crop", false,
     "%x = input x : f64[n 2, h 5] %i = input i : i32[n 2]\n"
     "%y = copy %x[n, h + @1 - 1] %i[n] : f64[n 2, h 4]"},
    {"crop by the place itself", false,
     "%x = input x : f64[h 5] %i = input i : i32[h 4]\n"
     "%y = copy %x[h + @1 - 1] %i[h] : f64[h 4]"},
    {"two gathers", false,
     "%x = input x : f64[a 3, b 4] %i = input i : i32[n 6] %j = input i2 : i32[n 6]\n"
     "%y = copy %x[@1, @2] strict %i[n] %j[n] : f64[n 6]"},
    {"gather of a gather", false,
     "%x = input x : f64[a 4, d 2] %i = input i : i32[n 3] %j = input i2 : i32[m 6]\n"
     "%y = copy %x[@1, d] strict %i[@2] %j[m] : f64[m 6, d 2]"},
    {"gathered factor", false,
     "%x = input x : f64[a 4, d 2] %i = input i : i32[n 5] %w = input w : f64[d 2]\n"
     "%y = mul %x[@2, d] %w[d] %i[n] : f64[n 5, d 2]"},
    {"scatter", false,
     "%x = input x : f64[n 6, d 2] %i = input i : i32[n 6]\n"
     "%y = scatter [@1, d] %x[n, d] %i[n] over (n 6, d 2) : f64[v 3, d 2]"},
    {"scatter, affine", false,
     "%x = input x : f64[n 6, d 2] %y = scatter [n + d - 1] %x[n, d] over (n 6, d 2) : f64[v 5]"},
    /* contractions */
    {"matmul", false,
     "%a = input a : f64[i 3, k 4] %b = input b : f64[k 4, j 2]\n"
     "%m = mul %a[i, k] %b[k, j] : f64[i 3, j 2, k 4] inline\n"
     "%y = reduce sum(k 4) %m[i, j, k] : f64[i 3, j 2]"},
    {"strided convolution", false,
     "%x = input x : f64[n 2, c 2, h 7, w 6] %f = input f : f64[o 2, c 2, r 3, s 2]\n"
     "%m = mul %x[n, c, 2*i + r - 1, 2*j + s - 1] %f[o, c, r, s]\n"
     "  : f64[n 2, o 2, i 4, j 4, c 2, r 3, s 2] inline\n"
     "%y = reduce sum(c 2, r 3, s 2) %m[n, o, i, j, c, r, s] : f64[n 2, o 2, i 4, j 4]"},
    {"dilated convolution", false,
     "%x = input x : f64[c 2, h 9] %f = input f : f64[o 2, c 2, r 3]\n"
     "%m = mul %x[c, i + 2*r] %f[o, c, r] : f64[o 2, i 5, c 2, r 3] inline\n"
     "%y = reduce sum(c 2, r 3) %m[o, i, c, r] : f64[o 2, i 5]"},
    {"grouped convolution", false,
     "%x = input x : f64[c 6, h 5] %f = input f : f64[o 4, q 3, r 2]\n"
     "%m = mul %x[3*(o//2) + q, i + r] %f[o, q, r] : f64[o 4, i 4, q 3, r 2] inline\n"
     "%y = reduce sum(q 3, r 2) %m[o, i, q, r] : f64[o 4, i 4]"},
    {"transposed convolution", false,
     "%x = input x : f64[c 2, h 4] %f = input f : f64[c 2, o 3, r 3]\n"
     "%m = mul %x[c, (i + 1 - r)/2] %f[c, o, r] : f64[o 3, i 8, c 2, r 3] inline\n"
     "%y = reduce sum(c 2, r 3) %m[o, i, c, r] : f64[o 3, i 8]"},
    {"max pool", false,
     "%x = input x : f64[n 2, h 6, w 4]\n"
     "%y = reduce max(r 2, s 2) %x[n, 2*i + r, 2*j + s else -inf] : f64[n 2, i 3, j 2, r 2, s 2]"},
    {"overlapping max pool", false,
     "%x = input x : f64[n 2, h 7, w 5]\n"
     "%y = reduce max(r 3, s 3) %x[n, 2*i + r - 1, 2*j + s - 1 else -inf] : f64[n 2, i 4, j 3]"},
    {"average pool", false,
     "%x = input x : f64[n 2, h 6]\n%y = reduce sum(r 2) %x[n, 2*i + r] : f64[n 2, i 3]"},
    {"product left out", false,
     "%x = input x : f64[h 5] %y = reduce prod(r 3) %x[i + r - 1 else 1] : f64[i 5]"},
    {"inlined chain", false,
     "%a = input a : f64[i 3, k 4] %b = input b : f64[k 4, j 2]\n"
     "%d = sub %a[i, k] %b[k, j] : f64[i 3, j 2, k 4] inline\n"
     "%e = exp %d[i, j, k] : f64[i 3, j 2, k 4] inline\n"
     "%f = mul %e[i, j, k] %d[i, j, k] : f64[i 3, j 2, k 4] inline\n"
     "%y = reduce sum(k 4) %f[i, j, k] : f64[i 3, j 2]"},
    {"softmax", false,
     "%x = input x : f64[i 3, j 4] %m = reduce max(j 4) %x[i, j] : f64[i 3] %t = stop %m[i] : "
     "f64[i 3]\n"
     "%d = sub %x[i, j] %t[i] : f64[i 3, j 4] %e = exp %d[i, j] : f64[i 3, j 4]\n"
     "%s = reduce sum(j 4) %e[i, j] : f64[i 3] %y = div %e[i, j] %s[i] : f64[i 3, j 4]"},
    {"cross entropy", false,
     "%x = input x : f64[i 3, j 4] %k = input i : i32[i 3]\n"
     "%m = reduce max(j 4) %x[i, j] : f64[i 3] %t = stop %m[i] : f64[i 3]\n"
     "%d = sub %x[i, j] %t[i] : f64[i 3, j 4] %e = exp %d[i, j] : f64[i 3, j 4]\n"
     "%s = reduce sum(j 4) %e[i, j] : f64[i 3] %l = log %s[i] : f64[i 3]\n"
     "%z = add %l[i] %t[i] : f64[i 3] %q = sub %x[i, j] %z[i] : f64[i 3, j 4]\n"
     "%y = copy %q[i, @1] strict %k[i] : f64[i 3]"},
    {"smoothed cross entropy", false,
     "%x = input x : f64[i 3, j 4] %k = input i : i32[i 3]\n"
     "%m = reduce max(j 4) %x[i, j] : f64[i 3] %t = stop %m[i] : f64[i 3]\n"
     "%d = sub %x[i, j] %t[i] : f64[i 3, j 4] %e = exp %d[i, j] : f64[i 3, j 4]\n"
     "%s = reduce sum(j 4) %e[i, j] : f64[i 3] %l = log %s[i] : f64[i 3]\n"
     "%z = add %l[i] %t[i] : f64[i 3] %q = sub %x[i, j] %z[i] : f64[i 3, j 4]\n"
     "%p = copy %q[i, @1] strict %k[i] : f64[i 3] %a = reduce sum(j 4) %q[i, j] : f64[i 3]\n"
     "%c = const 0.1 : f64 %f = mul %a[i] %c[] : f64[i 3] %y = sub %p[i] %f[i] : f64[i 3]"},
    {"layer norm", false,
     "%x = input x : f64[i 3, j 4] %w = input w : f64[j 4] %n = const 4 : f64\n"
     "%s = reduce sum(j 4) %x[i, j] : f64[i 3] %m = div %s[i] %n[] : f64[i 3]\n"
     "%k = reshape %m : f64[i 3, o 1] %c = sub %x[i, j] %k[i, 0] : f64[i 3, j 4]\n"
     "%q = mul %c[i, j] %c[i, j] : f64[i 3, j 4] %p = reduce sum(j 4) %q[i, j] : f64[i 3]\n"
     "%v = div %p[i] %n[] : f64[i 3] %r = rsqrt %v[i] : f64[i 3]\n"
     "%h = mul %c[i, j] %r[i] : f64[i 3, j 4] %y = mul %h[i, j] %w[j] : f64[i 3, j 4]"},
    {"batch norm", false,
     "%x = input x : f64[n 3, c 2, h 2, k 2] %w = input w : f64[c 2] %o = const 0.08333333333333333 : f64\n"
     "%f = reshape %x : f64[n 3, c 2, s 4] %s = reduce sum(n 3, s 4) %f[n, c, s] : f64[c 2]\n"
     "%m = mul %s[c] %o[] : f64[c 2] %mm = reshape %m : f64[c 2, a 1]\n"
     "%d = sub %f[n, c, s] %mm[c, 0] : f64[n 3, c 2, s 4]\n"
     "%q = mul %d[n, c, s] %d[n, c, s] : f64[n 3, c 2, s 4]\n"
     "%p = reduce sum(n 3, s 4) %q[n, c, s] : f64[c 2] %v = mul %p[c] %o[] : f64[c 2]\n"
     "%r = rsqrt %v[c] : f64[c 2] %g = mul %r[c] %w[c] : f64[c 2]\n"
     "%e = mul %d[n, c, s] %g[c] : f64[n 3, c 2, s 4] %y = reshape %e : f64[n 3, c 2, h 2, k 2]"},
    {"attention", false,
     "%q = input q : f64[b 2, i 3, d 2] %k = input k : f64[b 2, j 3, d 2] %v = input v : f64[b 2, j 3, d 2]\n"
     "%qk = mul %q[b, i, d] %k[b, j, d] : f64[b 2, i 3, j 3, d 2] inline\n"
     "%s = reduce sum(d 2) %qk[b, i, j, d] : f64[b 2, i 3, j 3]\n"
     "%c = copy %s[b, i, j where i - j in 3 else -inf] : f64[b 2, i 3, j 3]\n"
     "%m = reduce max(j 3) %c[b, i, j] : f64[b 2, i 3] %t = stop %m[b, i] : f64[b 2, i 3]\n"
     "%z = sub %c[b, i, j] %t[b, i] : f64[b 2, i 3, j 3] %e = exp %z[b, i, j] : f64[b 2, i 3, j 3]\n"
     "%r = reduce sum(j 3) %e[b, i, j] : f64[b 2, i 3] %p = div %e[b, i, j] %r[b, i] : f64[b 2, i 3, j 3]\n"
     "%pv = mul %p[b, i, j] %v[b, j, d] : f64[b 2, d 2, i 3, j 3] inline\n"
     "%y = reduce sum(j 3) %pv[b, d, i, j] : f64[b 2, d 2, i 3]"},
    {"custom", true,
     "%x = input x : f64[i 4] %v = mul %x[i] %x[i] : f64[i 4] %h = hole : f64[i 4]\n"
     "%t = mul %h[i] %x[i] : f64[i 4] %u = add %t[i] %t[i] : f64[i 4]\n"
     "%y = custom %v %x %h %u : f64[i 4]"},
};
/* clang-format on */

#define STEP 1e-5

/* A line of the text form begins at each `%name =`. */
static struct ir_module *parse(const char *body)
{
    struct text t = {0};
    text_printf(&t, "graph g {");
    for (const char *p = body; *p; p++) {
        size_t word = *p == '%' ? strcspn(p, " ") : 0;
        bool starts = word && !strncmp(p + word, " = ", 3);
        text_printf(&t, starts ? "\n%c" : "%c", *p == '\n' ? ' ' : *p);
    }
    text_printf(&t, "\noutput y %%y\n}\n");
    struct diag *d = diag_new();
    struct ir_module *m = ir_read(d, diag_add_file(d, "sample", t.p, t.n));
    if (m)
        m->diag = NULL;
    diag_print(d, stdout);
    diag_free(d);
    text_free(&t);
    return m;
}

static double noise(uint64_t stream, int64_t i)
{
    return (double)ir_random_uniform(1, 2, stream, 0, (uint64_t)i);
}

/* The value of element i of input k. */
static double value(const char *name, uint64_t k, int64_t i)
{
    double u = noise(k, i), v = 0.3 + 0.05 * (double)k + u;
    switch (name[0]) {
    case 'i': return floor(3 * u);
    case 'p': return v;
    case 'z': return i % 3 == 0 || i == 5 ? 0 : v;
    default: return noise(k + 100, i) < 0.5 ? v : -v;
    }
}

/* inputs and their arrays */
struct world {
    uint32_t n;
    const char *name[8];
    ir_id node[8];
    int64_t count[8];
    double *v[8];
};

static void add_input(struct world *w, const char *name, ir_id id, int64_t count)
{
    uint32_t k = w->n++;
    w->name[k] = name;
    w->node[k] = id;
    w->count[k] = count;
    w->v[k] = xcalloc((size_t)count, sizeof(double));
    for (int64_t i = 0; i < count; i++)
        w->v[k][i] = value(name, k, i);
}

static ir_id weighted_sum(struct ir_graph *g, struct world *w, ir_id y, const char *name)
{
    struct ir_builder b = {.g = g};
    struct ir_node n = *ir_at(g, y);
    uint32_t axes[IR_MAX_AXES];
    for (uint32_t i = 0; i < ir_rank(&n); i++)
        axes[i] = i;
    ir_id weight = ir_input(&b, name, NN_f64, ir_rank(&n), ir_axes(&n));
    add_input(w, name, weight, ir_count(&n));
    return ir_reduce(&b, IRM_sum, ir_binary(&b, IR_mul, y, weight), ir_rank(&n), axes);
}

static double loss_at(const struct ir_graph *g, const struct world *w, ir_id loss)
{
    struct ir_eval *e = ir_eval_new(g, false);
    for (uint32_t k = 0; k < w->n; k++)
        ir_eval_input(e, w->name[k], w->v[k]);
    char *message = NULL;
    double v = ir_eval_run(e, &message) ? ir_eval_value(e, loss)[0] : (double)NAN;
    if (message)
        printf("%s\n", message);
    free(message);
    ir_eval_free(e);
    return v;
}

static ir_id output(const struct ir_graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->outputs.n; i++)
        if (!strcmp(g->outputs.p[i].name, name))
            return g->outputs.p[i].node;
    return 0;
}

/* The gradients that the graph gives, against differences of its own loss. Returns whether they
 * agree. */
static bool compare(const struct ir_graph *g, struct world *w, const char *loss, uint32_t nwanted,
                    const uint32_t *wanted, const char *prefix)
{
    struct ir_eval *e = ir_eval_new(g, false);
    bool same = true;
    for (uint32_t k = 0; k < w->n; k++)
        ir_eval_input(e, w->name[k], w->v[k]);
    char *message = NULL;
    if (!ir_eval_run(e, &message))
        printf("%s\n", message);
    for (uint32_t j = 0; j < nwanted && !message; j++) {
        uint32_t k = wanted[j];
        char name[64];
        snprintf(name, sizeof name, "%s%s", prefix, w->name[k]);
        const double *d = ir_eval_value(e, output(g, name));
        for (int64_t i = 0; i < w->count[k]; i++) {
            double was = w->v[k][i];
            w->v[k][i] = was + STEP;
            double up = loss_at(g, w, output(g, loss));
            w->v[k][i] = was - STEP;
            double slope = (up - loss_at(g, w, output(g, loss))) / (2 * STEP);
            w->v[k][i] = was;
            if (fabs(slope - d[i]) <= 2e-7 * (1 + fabs(slope) + fabs(d[i])))
                continue;
            printf("%s[%lld]: gradient %.9g, difference %.9g\n", name, (long long)i, d[i], slope);
            same = false;
        }
    }
    same = same && !message;
    free(message);
    ir_eval_free(e);
    return same;
}

static void put(struct ir_graph *g, const char *prefix, const char *name, ir_id id)
{
    struct ir_named o = {intern(g->m->names, arena_printf(g->m->mem, "%s%s", prefix, name)), id};
    vec_push(&g->outputs, o);
}

static void check(const struct sample *s)
{
    struct ir_module *m = parse(s->text);
    test(m != NULL);
    if (!m)
        return;
    struct ir_graph *g = m->graphs.p[0];
    struct ir_builder b = {.g = g};
    struct world w = {0};
    uint32_t wanted[8], n = 0;
    for (ir_id id = 1; id < g->nodes.n; id++)
        if (ir_at(g, id)->op == IR_input) {
            if (ir_at(g, id)->dtype == NN_f64)
                wanted[n++] = w.n;
            add_input(&w, ir_at(g, id)->name, id, ir_count(ir_at(g, id)));
        }
    ir_id loss = weighted_sum(g, &w, output(g, "y"), "w0"), second = 0;
    put(g, "", "loss", loss);
    for (uint32_t k = 0; k < n; k++) {
        ir_id d = ir_grad(&b, loss, w.node[wanted[k]]);
        put(g, "d.", w.name[wanted[k]], d);
        char name[16];
        snprintf(name, sizeof name, "w%u", k + 1);
        ir_id part = weighted_sum(g, &w, d, intern(m->names, name));
        second = second ? ir_binary(&b, IR_add, second, part) : part;
    }
    put(g, "", "second", second);
    for (uint32_t k = 0; k < n && !s->once; k++)
        put(g, "dd.", w.name[wanted[k]], ir_grad(&b, second, w.node[wanted[k]]));
    pass_run(pass_find("gradient"), g);
    for (ir_id id = 1; id < g->nodes.n; id++)
        test(ir_op_class(ir_at(g, id)->op) != IRC_MARK);
    bool same = compare(g, &w, "loss", n, wanted, "d.");
    same = (s->once || compare(g, &w, "second", n, wanted, "dd.")) && same;
    test(same);
    if (!same) {
        struct text t = {0};
        ir_print_graph(g, &t);
        printf("%s:\n%s", s->name, t.p);
        text_free(&t);
    }
    for (uint32_t k = 0; k < w.n; k++)
        free(w.v[k]);
    ir_module_free(m);
}

/* What differences cannot show: y summed, the input x and its gradient. */
struct exact {
    const char *text;
    double x[8], d[8];
};
static const struct exact exacts[] = {
    {"%x = input x : f64[i 2] %s = stop %x[i] : f64[i 2] %y = mul %s[i] %x[i] : f64[i 2]",
     {3, 4},
     {3, 4}},
    {"%x = input x : f64[i 5] %y = reduce max(i 5) %x[i] : f64", {1, 7, 3, 7, 7}, {0, 1, 0, 0, 0}},
    {"%x = input x : f64[i 5] %y = reduce min(i 5) %x[4 - i] : f64",
     {1, 2, 1, 7, 7},
     {0, 0, 1, 0, 0}},
    {"%x = input x : f64[i 3] %y = reduce max(r 3) %x[i + r - 1 else -inf] : f64[i 3]",
     {-5, -5, -6},
     {2, 1, 0}},
    {"%x = input x : f64[i 4] %c = const 0 : f64 %y = max %x[i] %c[] : f64[i 4]",
     {-1, 0, 2, -0.0},
     {0, 0, 1, 0}},
    {"%x = input x : f64[i 2] %y = max %x[i] %x[1 - i] : f64[i 2]", {3, 3}, {1, 1}},
    {"%x = input x : f64[i 3] %y = abs %x[i] : f64[i 3]", {-2, 0, 3}, {-1, 0, 1}},
    {"%x = input x : f64[i 4] %y = reduce prod(i 4) %x[i] : f64", {2, 0, 3, 5}, {0, 30, 0, 0}},
    {"%x = input x : f64[i 4] %y = reduce prod(i 4) %x[i] : f64", {2, 0, 3, 0}, {0, 0, 0, 0}},
    {"%x = input x : f64[i 2] %c = const 0 : f64 %y = pow %c[] %x[i] : f64[i 2]", {0, 2}, {0, 0}},
    {"%x = input x : f64[i 3] %c = iota 0 : i32[i 3] %e = cast %c[i] : f64[i 3]\n"
     "%y = pow %x[i] %e[i] : f64[i 3]",
     {0, 0, 0},
     {0, 1, 0}},
    {"%x = input x : f64[i 2] %v = floor %x[i] : f64[i 2] %h = hole : f64[i 2]\n"
     "%t = mul %h[i] %x[i] : f64[i 2] %y = custom %v %x %h %t : f64[i 2]",
     {2.5, 3.5},
     {2.5, 3.5}},
};

static void check_exact(const struct exact *x)
{
    struct ir_module *m = parse(x->text);
    struct ir_graph *g = m->graphs.p[0];
    struct ir_builder b = {.g = g};
    ir_id y = output(g, "y");
    uint32_t axes[] = {0, 1, 2, 3}, n = ir_rank(ir_at(g, y));
    put(g, "", "d", ir_grad(&b, ir_reduce(&b, IRM_sum, y, n, axes), 1));
    pass_run(pass_find("gradient"), g);
    struct ir_eval *e = ir_eval_new(g, false);
    ir_eval_input(e, "x", x->x);
    char *message = NULL;
    bool ran = ir_eval_run(e, &message);
    test(ran);
    for (int64_t i = 0; ran && i < ir_count(ir_at(g, 1)); i++)
        test_near(ir_eval_value(e, output(g, "d"))[i], x->d[i], 0);
    free(message);
    ir_eval_free(e);
    ir_module_free(m);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < COUNT(samples); i++)
        if (argc < 2 || !strcmp(argv[1], samples[i].name))
            check(&samples[i]);
    for (size_t i = 0; i < COUNT(exacts) && argc < 2; i++)
        check_exact(&exacts[i]);
    return test_done();
}
