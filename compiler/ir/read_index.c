/* The reader's indices and accesses: `[2*i + r - 1, (j + 3)/2 where i//2 in 7 else -inf] strict`.
 */
#include "ir/read.h"

#define MAX_PARTS 64
#define MAX_NESTING 32

static bool bounded(struct reader *r, uint32_t lo, const struct ix *e)
{
    bool ok = e->n <= MAX_PARTS && e->c0 <= MAX_FACTOR && e->c0 >= -MAX_FACTOR;
    for (uint32_t i = 0; i < e->n && ok; i++)
        ok = e->part[i].c <= MAX_FACTOR && e->part[i].c >= -MAX_FACTOR;
    return ok || read_fail(r, lo, "the index is too large");
}

static const struct ix *scaled(struct reader *r, uint32_t lo, const struct ix *e, int64_t c)
{
    int64_t t;
    bool ok = !__builtin_mul_overflow(e->c0, c, &t);
    for (uint32_t i = 0; i < e->n && ok; i++)
        ok = !__builtin_mul_overflow(e->part[i].c, c, &t);
    if (!ok) {
        read_fail(r, lo, "the index is too large");
        return NULL;
    }
    e = ix_mul(r->m->mem, e, c);
    return bounded(r, lo, e) ? e : NULL;
}

static const struct ix *sum(struct reader *r, int depth);

static const struct ix *axis_use(struct reader *r, uint32_t lo)
{
    uint32_t n = read_word_length(r);
    for (uint32_t i = 0; i < r->nd; i++) {
        const char *s = r->axis[i].name;
        if (s && strlen(s) == n && !memcmp(s, r->text + r->at, n)) {
            r->at += n;
            return ix_axis(r->m->mem, i);
        }
    }
    r->at += n;
    read_fail(r, lo, "no axis `%.*s` in the node's domain", (int)n, r->text + lo);
    return NULL;
}

static const struct ix *primary(struct reader *r, int depth)
{
    struct arena *a = r->m->mem;
    uint32_t lo = (read_skip(r), r->at);
    int64_t v;
    if (read_accept(r, "(")) {
        const struct ix *e = sum(r, depth + 1);
        return e && read_expect(r, ")") ? e : NULL;
    }
    if (read_accept(r, "@"))
        return read_natural(r, &v, UINT16_MAX, "an operand's number") ? ix_operand(a, (uint32_t)v)
                                                                      : NULL;
    if (read_digit(read_peek(r)))
        return read_natural(r, &v, MAX_FACTOR, "a number in an index") ? ix_const(a, v) : NULL;
    if (read_letter(read_peek(r)))
        return axis_use(r, lo);
    read_fail(r, lo, "expected an index");
    return NULL;
}

static const struct ix *product(struct reader *r, int depth)
{
    struct arena *a = r->m->mem;
    uint32_t lo = (read_skip(r), r->at);
    const struct ix *e = primary(r, depth);
    while (e) {
        int64_t q, c;
        if (read_accept(r, "*")) {
            const struct ix *y = primary(r, depth);
            if (!y || (!ix_is_const(e, &c) && !ix_is_const(y, &c))) {
                if (y)
                    read_fail(r, lo, "a product of two indices");
                return NULL;
            }
            e = scaled(r, lo, ix_is_const(e, NULL) ? y : e, c);
        } else if (read_accept(r, "//")) {
            if (!read_natural(r, &q, MAX_FACTOR, "a divisor"))
                return NULL;
            e = q ? ix_div(a, e, q, r->dim) : (read_fail(r, lo, "a division by 0"), NULL);
        } else if (read_accept(r, "%")) {
            if (!read_natural(r, &q, MAX_FACTOR, "a divisor"))
                return NULL;
            e = q ? ix_mod(a, e, q, r->dim) : (read_fail(r, lo, "a division by 0"), NULL);
        } else
            break;
    }
    return e;
}

static const struct ix *sum(struct reader *r, int depth)
{
    uint32_t lo = (read_skip(r), r->at);
    if (depth > MAX_NESTING) {
        read_fail(r, lo, "the index is nested too deeply");
        return NULL;
    }
    bool minus = read_accept(r, "-");
    const struct ix *e = product(r, depth);
    if (e && minus)
        e = ix_mul(r->m->mem, e, -1);
    while (e && (read_peek(r) == '+' || read_peek(r) == '-')) {
        minus = r->text[r->at++] == '-';
        const struct ix *y = product(r, depth);
        if (!y)
            return NULL;
        e = ix_add(r->m->mem, e, minus ? ix_mul(r->m->mem, y, -1) : y);
        if (!bounded(r, lo, e))
            return NULL;
    }
    return e;
}

/* The text from `lo` to the cursor is one primary: what an exact division may stand behind. */
static bool one_primary(const struct reader *r, uint32_t lo)
{
    int depth = 0;
    for (uint32_t i = lo; i < r->at; i++) {
        char c = r->text[i];
        depth += (c == '(') - (c == ')');
        if (!depth && i + 1 < r->at && !read_letter(c) && !read_digit(c) && c != '@')
            return false;
    }
    return true;
}

static bool term(struct reader *r, int64_t n, struct ir_term *t)
{
    uint32_t lo = (read_skip(r), r->at);
    const struct ix *e = sum(r, 0);
    int64_t q = 1;
    if (!e)
        return false;
    bool alone = one_primary(r, lo);
    if (read_accept(r, "/")) {
        if (!alone)
            return read_fail(r, lo, "an exact division `/` takes a whole coordinate: write (…)/2");
        if (!read_natural(r, &q, MAX_FACTOR, "a divisor"))
            return false;
        if (!q)
            return read_fail(r, lo, "a division by 0");
    }
    *t = ir_term_make(r->m->mem, e, q, n);
    return true;
}

static bool guards(struct reader *r, struct ir_access *a)
{
    struct ir_term guard[MAX_PARTS];
    uint32_t n = 0;
    do {
        uint32_t lo = (read_skip(r), r->at);
        if (n == COUNT(guard))
            return read_fail(r, lo, "more than %zu conditions", COUNT(guard));
        if (!term(r, 0, &guard[n]))
            return false;
        if (!read_keyword(r, "in"))
            return read_fail(r, r->at, "expected `in`");
        if (!read_natural(r, &guard[n].n, INT64_MAX, "a range"))
            return false;
        n++;
    } while (read_accept(r, ","));
    a->nguard = n;
    a->guard = arena_dup(r->m->mem, guard, n * sizeof *guard);
    return true;
}

bool read_access(struct reader *r, uint32_t rank, const struct ir_axis *ax, struct ir_access *a)
{
    struct ir_term at[IR_MAX_AXES];
    uint32_t lo = r->at - 1, n = 0;
    *a = (struct ir_access){0};
    while (read_peek(r) != ']' && !read_ahead(r, "where") && !read_ahead(r, "else")) {
        if (n && !read_expect(r, ","))
            return false;
        if (n == rank)
            return read_fail(r, lo, "more indices than the %u axes of what is read", rank);
        if (!term(r, ax[n].n, &at[n]))
            return false;
        n++;
    }
    if (read_keyword(r, "where") && !guards(r, a))
        return false;
    if (read_keyword(r, "else") && !read_real(r, &a->fill, "a number"))
        return false;
    if (!read_expect(r, "]"))
        return false;
    if (n != rank)
        return read_fail(r, lo, "%u indices for the %u axes of what is read", n, rank);
    a->rank = n;
    a->at = arena_dup(r->m->mem, at, n * sizeof *at);
    a->strict = read_keyword(r, "strict");
    return true;
}

bool read_plain_access(struct reader *r, uint32_t lo, uint32_t rank, const struct ir_axis *ax,
                       struct ir_access *a)
{
    struct ir_term *at = ARENA_ARRAY(r->m->mem, struct ir_term, rank);
    if (rank > r->nd)
        return read_fail(r, lo, "an operand of %u axes in a domain of %u", rank, r->nd);
    for (uint32_t i = 0; i < rank; i++) {
        uint32_t axis = r->nd - rank + i;
        bool one = ax[i].n == 1 && r->dim[axis] != 1;
        if (!one && ax[i].n != r->dim[axis])
            return read_fail(r, lo, "axis %u has %lld elements, the domain's %lld", i,
                             (long long)ax[i].n, (long long)r->dim[axis]);
        at[i] =
            (struct ir_term){one ? ix_const(r->m->mem, 0) : ix_axis(r->m->mem, axis), 1, ax[i].n};
    }
    *a = (struct ir_access){.rank = rank, .at = at};
    return true;
}
