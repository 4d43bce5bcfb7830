/* dims: sizes and compile-time integers as polynomials over symbols with integer coefficients;
 * floor division that does not come out even is an atom (`%` is written with it). Polynomials are
 * canonical and interned: equal ones are the same pointer, which is the language's equality of
 * dims. */
#ifndef NNC_FRONT_DIMS_H
#define NNC_FRONT_DIMS_H

#include "base/base.h"

struct dims; /* owns symbols, atoms and polynomials */
struct dim;  /* a polynomial */

/* A name without a polynomial of its own. `lo` is the least value that it can have. */
struct dim_sym {
    const char *name;
    int64_t lo;
    bool free;     /* a model's free name: no parameter may have it in its shape */
    bool known;    /* has a value for the graph that is being built */
    int64_t most;  /* or a bound, up to which a run chooses it; 0: neither */
    uint32_t slot; /* then: where the run finds it */
    bool solved;   /* an input's size gives it */
    int64_t value;
    const struct dim *solution; /* of a signature's new name, once bound; else NULL */
    uint32_t atom;
};

static inline int64_t floor_div(int64_t a, int64_t b) /* b > 0 */ { return a / b - (a % b < 0); }

struct dims *dims_new(void);
void dims_free(struct dims *s);
/* A result overflowed or grew out of hand since the last call of this: the caller reports it. */
bool dims_overflow(struct dims *s);

struct dim_sym *dim_symbol(struct dims *s, const char *name);
const struct dim *dim_of_symbol(struct dims *s, struct dim_sym *y);
const struct dim *dim_const(struct dims *s, int64_t v);
const struct dim *dim_add(struct dims *s, const struct dim *a, const struct dim *b);
const struct dim *dim_sub(struct dims *s, const struct dim *a, const struct dim *b);
const struct dim *dim_mul(struct dims *s, const struct dim *a, const struct dim *b);
/* Floor division and modulus. b must not be the constant 0. */
const struct dim *dim_div(struct dims *s, const struct dim *a, const struct dim *b);
const struct dim *dim_mod(struct dims *s, const struct dim *a, const struct dim *b);
/* a / b as a polynomial, or NULL where it is not shown to be one. */
const struct dim *dim_exact(struct dims *s, const struct dim *a, const struct dim *b);

bool dim_is_const(const struct dim *a, int64_t *v);
int64_t dim_at_zero(const struct dim *a); /* its constant term */
/* Its value when all symbols are known. */
bool dim_value(struct dims *s, const struct dim *a, int64_t *v);
const struct dim *dim_known(struct dims *s,
                            const struct dim *a); /* with the values of known ones */
/* Whether it is made of symbols with a bound. */
bool dim_is_live(struct dims *s, const struct dim *a);
/* Between what its values lie where symbols have theirs or go up to their bounds; false: there is
 * a symbol with neither. */
bool dim_bounds(struct dims *s, const struct dim *a, int64_t *lo, int64_t *hi);
/* times * ((by*y + plus) // over) + more, of a symbol y with a bound, growing with it; where over
 * is 1, so is times, and more is 0. False if it is nothing of the kind. */
struct dim_line {
    struct dim_sym *y;
    int64_t by, plus, over, times, more;
};
bool dim_line(struct dims *s, const struct dim *a, struct dim_line *l);
/* The polynomial computed by the caller's own arithmetic; a value is what its functions give. */
struct dim_arithmetic {
    void *ctx;
    uint32_t (*number)(void *ctx, int64_t v);
    uint32_t (*symbol)(void *ctx, const struct dim_sym *y);
    uint32_t (*add)(void *ctx, uint32_t a, uint32_t b);
    uint32_t (*mul)(void *ctx, uint32_t a, uint32_t b);
    uint32_t (*div)(void *ctx, uint32_t a, uint32_t b);
};
uint32_t dim_compute(struct dims *s, const struct dim *a, const struct dim_arithmetic *by);
/* Bounds by the symbols' least values and bounds; INT64_MIN, INT64_MAX where unbounded. */
void dim_range(struct dims *s, const struct dim *a, int64_t *lo, int64_t *hi);
bool dim_shown_ge(struct dims *s, const struct dim *a,
                  const struct dim *b); /* a >= b for all sizes */

/* Symbols that a polynomial is made of, at most n of them written; the count is returned. */
uint32_t dim_symbols(struct dims *s, const struct dim *a, struct dim_sym **out, uint32_t n);
bool dim_uses(struct dims *s, const struct dim *a, const struct dim_sym *y);
bool dim_has_free(struct dims *s, const struct dim *a, const struct dim_sym **which);
/* With each symbol that has a solution replaced by it. */
const struct dim *dim_subst(struct dims *s, const struct dim *a);
/* The symbol's value that makes a equal to `actual`. NULL, with *linear false where a is not linear
 * in the symbol, or true where the division does not come out even. */
const struct dim *dim_solve(struct dims *s, const struct dim *a, const struct dim_sym *y,
                            const struct dim *actual, bool *linear);

void dim_print(struct dims *s, const struct dim *a, struct text *out);

#endif
