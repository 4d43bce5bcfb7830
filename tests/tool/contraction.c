/* Random contractions, as index notation gives them: up to four pairs of an axis of the result and
 * a folded one that one factor reads by their sum or difference (windows with strides, dilation and
 * padding, their gradients with exact division, quotients, remainders), channels, groups, images,
 * axes of one factor alone; diagonals, conditions on indices, factors that are computed, broadcast
 * or gathered, something computed from the sum. Made as text. */
#include "tool.h"

enum { LISTS = 12, MOST_POINTS = 60000 };

struct axis {
    char name[8];
    int64_t n;
};
/* A list of axes or of coordinates. */
struct axes {
    uint32_t n;
    struct axis p[LISTS];
};
/* A factor as it is read: one coordinate and size for each of its axes. */
struct factor {
    uint32_t n;
    char at[LISTS][64];
    int64_t size[LISTS];
    char name[16];  /* its node */
    char guard[96]; /* "" or " where …" */
};
struct gen {
    uint64_t state;
    const char *real;
    struct axes outer, inner;
    struct factor x, f;
    struct text t;
};

static int64_t below(struct gen *r, int64_t n)
{
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)(r->state >> 33) % n;
}

static bool chance(struct gen *r, int64_t percent) { return below(r, 100) < percent; }

#define ANY_OF(r, list) (list)[below(r, (int64_t)COUNT(list))]

/* ---- axes ---- */

static int64_t points(const struct gen *r)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < r->outer.n; i++)
        n *= r->outer.p[i].n;
    for (uint32_t i = 0; i < r->inner.n; i++)
        n *= r->inner.p[i].n;
    return n;
}

/* As large as is wanted, or as there is room for. */
static const struct axis *add_axis(struct gen *r, struct axes *list, const char *name, int number,
                                   int64_t n)
{
    struct axis *a = &list->p[list->n];
    int64_t room = MOST_POINTS / points(r);
    snprintf(a->name, sizeof a->name, "%.1s%d", name, number % 100);
    a->n = n < room ? n : room > 1 ? room : 1;
    list->n++;
    return a;
}

static void add_coordinate(struct factor *f, int64_t size, const char *at)
{
    snprintf(f->at[f->n], sizeof f->at[f->n], "%s", at);
    f->size[f->n++] = size;
}

static void shuffle_axes(struct gen *r, struct axes *list)
{
    for (uint32_t i = list->n; i > 1; i--) {
        uint32_t k = (uint32_t)below(r, i);
        struct axis t = list->p[k];
        list->p[k] = list->p[i - 1];
        list->p[i - 1] = t;
    }
}

static void shuffle_factor(struct gen *r, struct factor *f)
{
    for (uint32_t i = f->n; i > 1; i--) {
        uint32_t k = (uint32_t)below(r, i);
        char at[64];
        memcpy(at, f->at[k], sizeof at);
        memcpy(f->at[k], f->at[i - 1], sizeof at);
        memcpy(f->at[i - 1], at, sizeof at);
        int64_t n = f->size[k];
        f->size[k] = f->size[i - 1];
        f->size[i - 1] = n;
    }
}

/* ---- what the factors read ---- */

static char sign(int64_t n) { return n < 0 ? '-' : '+'; }

/* x reads `a*outer + b*inner + c`, all of it, its quotient or its remainder; what lies outside of
 * the tensor is read, too. */
static void window(struct gen *r, int number, bool folds_window)
{
    static const int64_t step[] = {1, 1, 1, 2, 2, 3}, apart[] = {1, 1, 1, 2, 3};
    const struct axis *i = add_axis(r, &r->outer, "i", number, 1 + below(r, 8));
    const struct axis *k = add_axis(r, &r->inner, "k", number, 1 + below(r, 4));
    int64_t a = ANY_OF(r, step), b = ANY_OF(r, apart), q = 1, c = -below(r, 4);
    char e[48], at[64], alone[64];
    int way = (int)below(r, 10);
    if (!folds_window) { /* a filter's gradient: strides go with the folded axis */
        int64_t t = a;
        a = b;
        b = t;
    }
    if (way < 3) { /* an input's gradient */
        q = a;
        a = chance(r, 85) ? 1 : 2;
        b = -b;
        c = below(r, 4);
    } else if (way == 3) {
        a = -a;
        c += a * (1 - i->n);
    }
    int64_t low = c + (a < 0 ? a * (i->n - 1) : 0) + (b < 0 ? b * (k->n - 1) : 0);
    int64_t high = c + (a > 0 ? a * (i->n - 1) : 0) + (b > 0 ? b * (k->n - 1) : 0);
    int64_t size = high / q + 1 - below(r, 3);
    snprintf(e, sizeof e, "%d*%s %c %d*%s %c %d", (int)a, i->name, sign(b), abs((int)b), k->name,
             sign(c), abs((int)c));
    if (q > 1)
        snprintf(at, sizeof at, "(%s)/%d", e, (int)q);
    else if (way == 4)
        snprintf(at, sizeof at, "(%s)//%d", e, (int)(q = 2 + below(r, 2)));
    else if (way == 5 && high - low > 1)
        snprintf(at, sizeof at, "(%s)%%%d", e, (int)(high - low));
    else
        snprintf(at, sizeof at, "%s", e);
    add_coordinate(&r->x, size > 0 ? size : 1, at);
    if (chance(r, 8)) {
        snprintf(alone, sizeof alone, "%s - 1", k->name);
        add_coordinate(&r->f, k->n, alone);
    } else {
        add_coordinate(&r->f, k->n, k->name);
    }
}

static void plain_axes(struct gen *r)
{
    static const int64_t few[] = {1, 2, 2, 3, 4, 5, 9},
                         many[] = {1, 2, 3, 5, 8, 11, 16, 17, 20, 33, 40},
                         deep[] = {1, 2, 3, 4, 8, 9, 16, 17, 33, 40, 130, 700, 1300};
    const struct axis *a;
    int extra = chance(r, 20) ? 2 : 1;
    for (int i = 0; i < extra; i++) {
        a = add_axis(r, &r->outer, "o", i, ANY_OF(r, many));
        add_coordinate(&r->f, a->n, a->name);
    }
    if (chance(r, 70)) {
        a = add_axis(r, &r->outer, "n", 0, chance(r, 20) ? 16 + below(r, 5) : ANY_OF(r, few));
        add_coordinate(&r->x, a->n, a->name);
        if (chance(r, 6)) /* a diagonal */
            add_coordinate(&r->x, a->n, a->name);
    }
    if (chance(r, 20)) {
        a = add_axis(r, &r->outer, "g", 0, ANY_OF(r, few));
        add_coordinate(&r->x, a->n, a->name);
        add_coordinate(&r->f, a->n, a->name);
    }
    int folded = chance(r, 75) ? 1 : chance(r, 50) ? 2 : 0;
    for (int i = 0; i < folded; i++) {
        a = add_axis(r, &r->inner, "c", i, ANY_OF(r, deep));
        add_coordinate(&r->x, a->n, a->name);
        add_coordinate(&r->f, a->n, a->name);
    }
}

/* A condition on one or two of the axes: " where …", empty if it is to be none. */
static void condition(struct gen *r, const struct axes *list, const struct axes *more, char *out,
                      size_t size, const char *otherwise)
{
    const struct axis *a = list->n ? &list->p[below(r, list->n)] : NULL;
    const struct axis *b = more->n ? &more->p[below(r, more->n)] : NULL;
    out[0] = 0;
    if (!a || !b)
        return;
    int n = (int)(1 + below(r, a->n + b->n)), c = (int)below(r, 3) - 1, q = 2 + (int)below(r, 2);
    switch (below(r, 4)) {
    case 0:
        snprintf(out, size, " where %s - %s %c %d in %d", a->name, b->name, sign(c), abs(c), n);
        break;
    case 1:
        snprintf(out, size, " where %s + %s %c %d in %d", a->name, b->name, sign(c), abs(c), n);
        break;
    case 2: snprintf(out, size, " where (%s + %s)/%d in %d", a->name, b->name, q, n); break;
    case 3:
        snprintf(out, size, " where (%s %c %d)//%d in %d", b->name, sign(c), abs(c), q, n / q + 1);
        break;
    }
    strncat(out, otherwise, size - strlen(out) - 1);
}

/* ---- text ---- */

static void type_of(struct gen *r, const char *t, const int64_t *size, uint32_t n)
{
    text_printf(&r->t, " : %s%s", t, n ? "[" : "");
    for (uint32_t i = 0; i < n; i++)
        text_printf(&r->t, "%sa%u %d", i ? ", " : "", i, (int)size[i]);
    text_printf(&r->t, n ? "]" : "");
}

static void own_axes(struct gen *r, const char *node, uint32_t n)
{
    text_printf(&r->t, " %%%s[", node);
    for (uint32_t i = 0; i < n; i++)
        text_printf(&r->t, "%sa%u", i ? ", " : "", i);
    text_printf(&r->t, "]");
}

static void end_line(struct gen *r, bool may_inline)
{
    text_printf(&r->t, "%s\n", may_inline && chance(r, 50) ? " inline" : "");
}

/* The node of the factor's values: an input, read as it is, cast, looked up or computed from. */
static void value(struct gen *r, struct factor *f, const char *name)
{
    static const char *const other[] = {"u8", "bf16", "f16", "i8"};
    int way = (int)below(r, 12);
    int64_t line = f->n ? f->size[0] : 1;
    text_printf(&r->t, "%%%s = input grid%s", name, name);
    type_of(r, way == 0 ? ANY_OF(r, other) : r->real, f->size, f->n);
    text_printf(&r->t, "\n");
    snprintf(f->name, sizeof f->name, "%s%s", name, way < 4 ? "v" : "");
    if (way == 0) {
        text_printf(&r->t, "%%%sv = cast", name);
        own_axes(r, name, f->n);
    } else if (way == 1) {
        text_printf(&r->t, "%%%sh = const 0.5 : %s\n%%%sv = mul", name, r->real, name);
        own_axes(r, name, f->n);
        text_printf(&r->t, " %%%sh", name);
    } else if (way == 2 &&
               f->n) { /* plus one for each place of the first axis, and no less than 0 */
        text_printf(&r->t, "%%%sb = input grid%sb : %s[a0 %d]\n%%%sz = const 0 : %s\n%%%sw = add",
                    name, name, r->real, (int)line, name, r->real, name);
        own_axes(r, name, f->n);
        text_printf(&r->t, " %%%sb[a0]", name);
        type_of(r, r->real, f->size, f->n);
        end_line(r, true);
        char sum[16];
        snprintf(sum, sizeof sum, "%sw", name);
        text_printf(&r->t, "%%%sv = max", name);
        own_axes(r, sum, f->n);
        text_printf(&r->t, " %%%sz", name);
    } else if (way == 3 && f->n) { /* places of the first axis that a table names */
        text_printf(&r->t, "%%%si = input grid%si : i32[a0 %d]\n%%%sv = copy %%%s[@1", name, name,
                    (int)line, name, name);
        for (uint32_t i = 1; i < f->n; i++)
            text_printf(&r->t, ", a%u", i);
        text_printf(&r->t, "] %%%si[a0]", name);
    } else {
        snprintf(f->name, sizeof f->name, "%s", name);
        return;
    }
    type_of(r, r->real, f->size, f->n);
    end_line(r, true);
}

static void read_factor(struct gen *r, const struct factor *f)
{
    text_printf(&r->t, " %%%s[", f->name);
    for (uint32_t i = 0; i < f->n; i++)
        text_printf(&r->t, "%s%s", i ? ", " : "", f->at[i]);
    text_printf(&r->t, "%s]", f->guard);
}

static void list_axes(struct gen *r, const struct axes *list, bool sizes, const char *between)
{
    for (uint32_t i = 0; i < list->n; i++) {
        text_printf(&r->t, "%s%s", i ? ", " : between, list->p[i].name);
        if (sizes)
            text_printf(&r->t, " %d", (int)list->p[i].n);
    }
}

static void result_type(struct gen *r)
{
    text_printf(&r->t, " : %s[", r->real);
    list_axes(r, &r->outer, true, "");
    text_printf(&r->t, "]\n");
}

static void result(struct gen *r, const char *name)
{
    text_printf(&r->t, " %%%s[", name);
    list_axes(r, &r->outer, false, "");
    text_printf(&r->t, "]");
}

static void sum(struct gen *r)
{
    char guard[96] = "";
    if (chance(r, 15))
        condition(r, &r->outer, &r->inner, guard, sizeof guard, "");
    bool turned = chance(r, 50);
    text_printf(&r->t, "%%p = mul");
    read_factor(r, turned ? &r->f : &r->x);
    read_factor(r, turned ? &r->x : &r->f);
    text_printf(&r->t, " : %s[", r->real);
    list_axes(r, &r->outer, true, "");
    list_axes(r, &r->inner, true, ", ");
    text_printf(&r->t, "] inline\n%%s = reduce sum(");
    list_axes(r, &r->inner, true, "");
    text_printf(&r->t, ") %%p[");
    list_axes(r, &r->outer, false, "");
    list_axes(r, &r->inner, false, ", ");
    text_printf(&r->t, "%s]", guard);
    result_type(r);
}

/* What follows from the sum; its last line is the output y. */
static void epilogue(struct gen *r)
{
    const struct axis *a = &r->outer.p[below(r, r->outer.n)];
    switch (below(r, 5)) {
    case 0:
        text_printf(&r->t, "%%b = input gridb : %s[a0 %d]\n%%y = add", r->real, (int)a->n);
        result(r, "s");
        text_printf(&r->t, " %%b[%s]", a->name);
        result_type(r);
        break;
    case 1:
        text_printf(&r->t, "%%z = const 0 : %s\n%%y = max", r->real);
        result(r, "s");
        text_printf(&r->t, " %%z");
        result_type(r);
        break;
    case 2:
        text_printf(&r->t, "%%b = input gridb");
        result_type(r);
        text_printf(&r->t, "%%y = add");
        result(r, "s");
        result(r, "b");
        result_type(r);
        text_printf(&r->t, chance(r, 50) ? "output s %%s\n" : "");
        break;
    default: text_printf(&r->t, "output y %%s\n}\n"); return;
    }
    text_printf(&r->t, "output y %%y\n}\n");
}

struct ir_module *tool_random_contraction(uint64_t seed, int size)
{
    struct gen r = {.state = seed * 2654435761u + 1};
    below(&r, 2);
    r.real = chance(&r, 85) ? "f32" : "f64";
    int windows = size % 5;
    bool folds_window = chance(&r, 75);
    for (int i = 0; i < windows; i++)
        window(&r, i, folds_window);
    plain_axes(&r);
    if (!r.inner.n) {
        const struct axis *a = add_axis(&r, &r.inner, "c", 9, 8 + below(&r, 9));
        add_coordinate(&r.x, a->n, a->name);
        add_coordinate(&r.f, a->n, a->name);
    }
    shuffle_axes(&r, &r.outer);
    if (chance(&r, 50))
        shuffle_axes(&r, &r.inner);
    if (chance(&r, 40))
        shuffle_factor(&r, &r.x);
    if (chance(&r, 40))
        shuffle_factor(&r, &r.f);
    if (chance(&r, 20)) /* of what x may read, all axes */
        condition(&r, chance(&r, 50) ? &r.outer : &r.inner, &r.inner, r.x.guard, sizeof r.x.guard,
                  chance(&r, 15) ? " else 1" : "");
    if (chance(&r, 10))
        condition(&r, &r.inner, &r.inner, r.f.guard, sizeof r.f.guard, "");
    bool rounds = !strcmp(r.real, "f32") && chance(&r, 8);
    text_printf(&r.t, "graph g%s {\n", rounds ? " precision bf16" : "");
    value(&r, &r.x, "x");
    value(&r, &r.f, "f");
    sum(&r);
    epilogue(&r);
    struct ir_module *m = tool_read_text("contraction", r.t.p, r.t.n);
    if (!m)
        printf("%s", r.t.p);
    text_free(&r.t);
    return m;
}
