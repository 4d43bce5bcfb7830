/* The text form, read: recursive descent over one line at a time, since a statement is a line. A
 * line in error is reported and skipped, and nodes that name it are skipped silently; so every
 * mistake of a text is found in one run. A node is verified as soon as it is read, which locates
 * the message.
 *
 * Any bytes are input: lengths, nesting, sizes and factors are bounded, and nothing is trusted. */
#include "image.h"
#include "ir/ir.h"
#include <errno.h>

#define MAX_FACTOR ((int64_t)1 << 40) /* of an index's parts */
#define MAX_PARTS 64
#define MAX_NESTING 32
#define MAX_ERRORS 20
#define POISON UINT32_MAX /* a label whose line was in error */

struct label {
    const char *name; /* interned */
    ir_id id;
};

struct reader {
    struct diag *d;
    uint32_t file;
    const char *text;
    uint32_t size, at, end; /* the cursor; the line's end (a comment is beyond it) */
    uint32_t comment, eol;  /* where the comment starts; the line end proper */
    struct ir_module *m;
    struct ir_graph *g;   /* NULL outside a graph */
    struct label *labels; /* a hash table; its size is a power of two */
    uint32_t nlabels, label_room;
    bool silent; /* the line names a poisoned node */
    /* of the node being read */
    uint32_t nd;
    struct ir_axis axis[IR_MAX_AXES];
    int64_t dim[IR_MAX_AXES];
};

NNC_PRINTF(3, 4) static bool fail(struct reader *r, uint32_t lo, const char *fmt, ...)
{
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    uint32_t hi = r->at > lo ? r->at : lo + 1;
    if (!r->silent)
        diag_error(r->d, ((struct loc){r->file, lo, hi}), "%s", message);
    return false;
}

/* ---- characters and words ---- */

static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

static bool digit(char c) { return c >= '0' && c <= '9'; }

static void skip(struct reader *r)
{
    while (r->at < r->end && strchr(" \t\r", r->text[r->at]) && r->text[r->at])
        r->at++;
}

static char peek(struct reader *r)
{
    skip(r);
    return r->at < r->end ? r->text[r->at] : 0;
}

static bool accept(struct reader *r, const char *s)
{
    size_t n = strlen(s);
    skip(r);
    if (r->end - r->at < n || memcmp(r->text + r->at, s, n) != 0)
        return false;
    r->at += (uint32_t)n;
    return true;
}

static bool expect(struct reader *r, const char *s)
{
    if (accept(r, s))
        return true;
    return fail(r, r->at, "expected `%s`", s);
}

/* Letters, digits, points: a word that may be a name with points, a number, a keyword. */
static uint32_t word_length(struct reader *r)
{
    skip(r);
    uint32_t n = 0;
    while (r->at + n < r->end) {
        char c = r->text[r->at + n];
        if (!letter(c) && !digit(c) && c != '.')
            break;
        n++;
    }
    return n;
}

static bool ahead(struct reader *r, const char *s)
{
    uint32_t n = word_length(r);
    return n == strlen(s) && !memcmp(r->text + r->at, s, n);
}

static bool keyword(struct reader *r, const char *s)
{
    if (!ahead(r, s))
        return false;
    r->at += (uint32_t)strlen(s);
    return true;
}

/* The next word in a fixed buffer, for tables' names. */
static bool word(struct reader *r, char *buf, size_t room, const char *what)
{
    uint32_t n = word_length(r);
    if (!n || n >= room) {
        r->at += n;
        return fail(r, r->at - n, "expected %s", what);
    }
    memcpy(buf, r->text + r->at, n);
    buf[n] = 0;
    r->at += n;
    return true;
}

/* "text with \" and \x0a", after its opening quote. */
static bool quoted(struct reader *r, uint32_t lo, const char **name)
{
    char buf[512];
    size_t n = 0;
    while (r->at < r->end && r->text[r->at] != '"') {
        char c = r->text[r->at++];
        unsigned code;
        if (c == '\\' && r->at < r->end) {
            c = r->text[r->at++];
            if (c == 'x') {
                char hex[3] = {r->at < r->end ? r->text[r->at] : (char)0,
                               r->at + 1 < r->end ? r->text[r->at + 1] : (char)0, 0};
                if (sscanf(hex, "%2x", &code) != 1 || !code)
                    return fail(r, lo, "a bad escape in a quoted name");
                c = (char)code;
                r->at += 2;
            }
        }
        if (n + 1 >= sizeof buf || !c)
            return fail(r, lo, "a quoted name is too long or holds a zero byte");
        buf[n++] = c;
    }
    if (r->at >= r->end)
        return fail(r, lo, "a quoted name has no end");
    r->at++;
    *name = intern_n(r->m->names, buf, n);
    return true;
}

static bool name(struct reader *r, const char **out, const char *what)
{
    uint32_t lo = (skip(r), r->at);
    if (accept(r, "\""))
        return quoted(r, lo, out);
    uint32_t n = word_length(r);
    if (!n || n > 500 || !letter(r->text[r->at])) {
        r->at += n;
        return fail(r, lo, "expected %s", what);
    }
    *out = intern_n(r->m->names, r->text + r->at, n);
    r->at += n;
    return true;
}

/* ---- numbers ---- */

static bool integer(struct reader *r, int64_t *v, const char *what)
{
    uint32_t lo = (skip(r), r->at);
    bool minus = accept(r, "-");
    char buf[40];
    uint32_t n = word_length(r);
    if (!n || n >= sizeof buf - 1 || !digit(r->text[r->at])) {
        r->at += n;
        return fail(r, lo, "expected %s", what);
    }
    buf[0] = minus ? '-' : '+';
    memcpy(buf + 1, r->text + r->at, n);
    buf[n + 1] = 0;
    r->at += n;
    char *end;
    errno = 0;
    *v = strtoll(buf, &end, 10);
    return (!*end && !errno) || fail(r, lo, "`%s` is no integer", buf + !minus);
}

/* A number from 0 to `limit`. */
static bool natural(struct reader *r, int64_t *v, int64_t limit, const char *what)
{
    uint32_t lo = (skip(r), r->at);
    if (!integer(r, v, what))
        return false;
    return (*v >= 0 && *v <= limit) ||
           fail(r, lo, "%s must be from 0 to %lld", what, (long long)limit);
}

static bool real(struct reader *r, double *v, const char *what)
{
    uint32_t lo = (skip(r), r->at), n = 0;
    char buf[64];
    while (r->at + n < r->end && n < sizeof buf - 1) {
        char c = r->text[r->at + n];
        bool sign = (c == '-' || c == '+') && (!n || strchr("eEpP", buf[n - 1]));
        if (!sign && !letter(c) && !digit(c) && c != '.')
            break;
        buf[n++] = c;
    }
    buf[n] = 0;
    r->at += n;
    char *end;
    *v = strtod(buf, &end);
    return (n && !*end) || fail(r, lo, "expected %s", what);
}

/* ---- labels of nodes ---- */

static struct label *label_slot(struct label *table, uint32_t room, const char *s)
{
    uint32_t i = (uint32_t)hash_bytes(0, &s, sizeof s) & (room - 1);
    while (table[i].name && table[i].name != s)
        i = (i + 1) & (room - 1);
    return &table[i];
}

static void label_set(struct reader *r, const char *s, ir_id id)
{
    if (2 * r->nlabels >= r->label_room) {
        uint32_t room = r->label_room ? 2 * r->label_room : 64;
        struct label *table = xcalloc(room, sizeof *table);
        for (uint32_t i = 0; i < r->label_room; i++)
            if (r->labels[i].name)
                *label_slot(table, room, r->labels[i].name) = r->labels[i];
        free(r->labels);
        r->labels = table;
        r->label_room = room;
    }
    struct label *l = label_slot(r->labels, r->label_room, s);
    r->nlabels += !l->name;
    *l = (struct label){s, id};
}

static ir_id label_get(const struct reader *r, const char *s)
{
    return r->label_room ? label_slot(r->labels, r->label_room, s)->id : 0;
}

static bool label(struct reader *r, const char **s)
{
    uint32_t lo = (skip(r), r->at);
    if (!expect(r, "%"))
        return false;
    uint32_t n = r->at < r->end && !strchr(" \t\r", r->text[r->at]) ? word_length(r) : 0;
    if (!n || n > 200) {
        r->at += n;
        return fail(r, lo, "expected a node, like %%1 or %%w");
    }
    *s = intern_n(r->m->names, r->text + r->at, n);
    r->at += n;
    return true;
}

/* A node that is defined already. */
static bool node_use(struct reader *r, ir_id *id)
{
    const char *s;
    uint32_t lo = (skip(r), r->at);
    if (!label(r, &s))
        return false;
    *id = label_get(r, s);
    if (*id == POISON)
        r->silent = true;
    return (*id && *id != POISON) || fail(r, lo, "%%%s is not defined before this line", s);
}

/* ---- types ---- */

static bool dtype(struct reader *r, enum nn_dtype *t)
{
    char buf[16];
    uint32_t lo = (skip(r), r->at);
    if (!word(r, buf, sizeof buf, "a type, like f32"))
        return false;
    return ir_dtype_find(buf, t) || fail(r, lo, "`%s` is no type", buf);
}

/* `n 128, 28` up to the closing bracket. */
static bool axes(struct reader *r, const char *close, uint32_t *n, struct ir_axis *ax)
{
    *n = 0;
    if (accept(r, close))
        return true;
    do {
        uint32_t lo = (skip(r), r->at);
        struct ir_axis x = {0};
        if (letter(peek(r)) && !name(r, &x.name, "an axis"))
            return false;
        if (!natural(r, &x.n, INT64_MAX, "an axis's size"))
            return false;
        if (*n == IR_MAX_AXES)
            return fail(r, lo, "more than %d axes", IR_MAX_AXES);
        ax[(*n)++] = x;
    } while (accept(r, ","));
    return expect(r, close);
}

/* ---- indices ---- */

static bool bounded(struct reader *r, uint32_t lo, const struct ix *e)
{
    bool ok = e->n <= MAX_PARTS && e->c0 <= MAX_FACTOR && e->c0 >= -MAX_FACTOR;
    for (uint32_t i = 0; i < e->n && ok; i++)
        ok = e->part[i].c <= MAX_FACTOR && e->part[i].c >= -MAX_FACTOR;
    return ok || fail(r, lo, "the index is too large");
}

static const struct ix *scaled(struct reader *r, uint32_t lo, const struct ix *e, int64_t c)
{
    int64_t t;
    bool ok = !__builtin_mul_overflow(e->c0, c, &t);
    for (uint32_t i = 0; i < e->n && ok; i++)
        ok = !__builtin_mul_overflow(e->part[i].c, c, &t);
    if (!ok) {
        fail(r, lo, "the index is too large");
        return NULL;
    }
    e = ix_mul(r->m->mem, e, c);
    return bounded(r, lo, e) ? e : NULL;
}

static const struct ix *sum(struct reader *r, int depth);

static const struct ix *axis_use(struct reader *r, uint32_t lo)
{
    uint32_t n = word_length(r);
    for (uint32_t i = 0; i < r->nd; i++) {
        const char *s = r->axis[i].name;
        if (s && strlen(s) == n && !memcmp(s, r->text + r->at, n)) {
            r->at += n;
            return ix_axis(r->m->mem, i);
        }
    }
    r->at += n;
    fail(r, lo, "no axis `%.*s` in the node's domain", (int)n, r->text + lo);
    return NULL;
}

static const struct ix *primary(struct reader *r, int depth)
{
    struct arena *a = r->m->mem;
    uint32_t lo = (skip(r), r->at);
    int64_t v;
    if (accept(r, "(")) {
        const struct ix *e = sum(r, depth + 1);
        return e && expect(r, ")") ? e : NULL;
    }
    if (accept(r, "@"))
        return natural(r, &v, UINT16_MAX, "an operand's number") ? ix_operand(a, (uint32_t)v)
                                                                 : NULL;
    if (digit(peek(r)))
        return natural(r, &v, MAX_FACTOR, "a number in an index") ? ix_const(a, v) : NULL;
    if (letter(peek(r)))
        return axis_use(r, lo);
    fail(r, lo, "expected an index");
    return NULL;
}

static const struct ix *product(struct reader *r, int depth)
{
    struct arena *a = r->m->mem;
    uint32_t lo = (skip(r), r->at);
    const struct ix *e = primary(r, depth);
    while (e) {
        int64_t q, c;
        if (accept(r, "*")) {
            const struct ix *y = primary(r, depth);
            if (!y || (!ix_is_const(e, &c) && !ix_is_const(y, &c))) {
                if (y)
                    fail(r, lo, "a product of two indices");
                return NULL;
            }
            e = scaled(r, lo, ix_is_const(e, NULL) ? y : e, c);
        } else if (accept(r, "//")) {
            if (!natural(r, &q, MAX_FACTOR, "a divisor"))
                return NULL;
            e = q ? ix_div(a, e, q, r->dim) : (fail(r, lo, "a division by 0"), NULL);
        } else if (accept(r, "%")) {
            if (!natural(r, &q, MAX_FACTOR, "a divisor"))
                return NULL;
            e = q ? ix_mod(a, e, q, r->dim) : (fail(r, lo, "a division by 0"), NULL);
        } else
            break;
    }
    return e;
}

static const struct ix *sum(struct reader *r, int depth)
{
    uint32_t lo = (skip(r), r->at);
    if (depth > MAX_NESTING) {
        fail(r, lo, "the index is nested too deeply");
        return NULL;
    }
    bool minus = accept(r, "-");
    const struct ix *e = product(r, depth);
    if (e && minus)
        e = ix_mul(r->m->mem, e, -1);
    while (e && (peek(r) == '+' || peek(r) == '-')) {
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
        if (!depth && i + 1 < r->at && !letter(c) && !digit(c) && c != '@')
            return false;
    }
    return true;
}

static bool term(struct reader *r, int64_t n, struct ir_term *t)
{
    uint32_t lo = (skip(r), r->at);
    const struct ix *e = sum(r, 0);
    int64_t q = 1;
    if (!e)
        return false;
    bool alone = one_primary(r, lo);
    if (accept(r, "/")) {
        if (!alone)
            return fail(r, lo, "an exact division `/` takes a whole coordinate: write (…)/2");
        if (!natural(r, &q, MAX_FACTOR, "a divisor"))
            return false;
        if (!q)
            return fail(r, lo, "a division by 0");
    }
    *t = ir_term_make(r->m->mem, e, q, n);
    return true;
}

static bool guards(struct reader *r, struct ir_access *a)
{
    struct ir_term guard[MAX_PARTS];
    uint32_t n = 0;
    do {
        uint32_t lo = (skip(r), r->at);
        if (n == COUNT(guard))
            return fail(r, lo, "more than %zu conditions", COUNT(guard));
        if (!term(r, 0, &guard[n]))
            return false;
        if (!keyword(r, "in"))
            return fail(r, r->at, "expected `in`");
        if (!natural(r, &guard[n].n, INT64_MAX, "a range"))
            return false;
        n++;
    } while (accept(r, ","));
    a->nguard = n;
    a->guard = arena_dup(r->m->mem, guard, n * sizeof *guard);
    return true;
}

/* `[i, 2*j where i + j in 7 else -inf] strict`, after its opening bracket. */
static bool access(struct reader *r, uint32_t rank, const struct ir_axis *ax, struct ir_access *a)
{
    struct ir_term at[IR_MAX_AXES];
    uint32_t lo = r->at - 1, n = 0;
    *a = (struct ir_access){0};
    while (peek(r) != ']' && !ahead(r, "where") && !ahead(r, "else")) {
        if (n && !expect(r, ","))
            return false;
        if (n == rank)
            return fail(r, lo, "more indices than the %u axes of what is read", rank);
        if (!term(r, ax[n].n, &at[n]))
            return false;
        n++;
    }
    if (keyword(r, "where") && !guards(r, a))
        return false;
    if (keyword(r, "else") && !real(r, &a->fill, "a number"))
        return false;
    if (!expect(r, "]"))
        return false;
    if (n != rank)
        return fail(r, lo, "%u indices for the %u axes of what is read", n, rank);
    a->rank = n;
    a->at = arena_dup(r->m->mem, at, n * sizeof *at);
    a->strict = keyword(r, "strict");
    return true;
}

/* An operand without brackets: its axes are the domain's last ones, an axis of 1 is read at 0. */
static bool plain_access(struct reader *r, uint32_t lo, uint32_t rank, const struct ir_axis *ax,
                         struct ir_access *a)
{
    struct ir_term *at = ARENA_ARRAY(r->m->mem, struct ir_term, rank);
    if (rank > r->nd)
        return fail(r, lo, "an operand of %u axes in a domain of %u", rank, r->nd);
    for (uint32_t i = 0; i < rank; i++) {
        uint32_t axis = r->nd - rank + i;
        bool one = ax[i].n == 1 && r->dim[axis] != 1;
        if (!one && ax[i].n != r->dim[axis])
            return fail(r, lo, "axis %u has %lld elements, the domain's %lld", i,
                        (long long)ax[i].n, (long long)r->dim[axis]);
        at[i] =
            (struct ir_term){one ? ix_const(r->m->mem, 0) : ix_axis(r->m->mem, axis), 1, ax[i].n};
    }
    *a = (struct ir_access){.rank = rank, .at = at};
    return true;
}

/* ---- nodes ---- */

static bool domain_axis(struct reader *r, struct ir_axis x)
{
    if (r->nd == IR_MAX_AXES)
        return fail(r, r->at, "more than %d axes", IR_MAX_AXES);
    r->axis[r->nd] = x;
    r->dim[r->nd++] = x.n;
    return true;
}

/* Moves the cursor to the `:` that starts the type. */
static bool find_type(struct reader *r)
{
    bool quote = false;
    for (; r->at < r->end; r->at++) {
        char c = r->text[r->at];
        if (c == '"')
            quote = !quote;
        if (c == '\\' && quote)
            r->at++;
        if (c == ':' && !quote) {
            r->at++;
            return true;
        }
    }
    return fail(r, r->end, "expected `: ` and the node's type");
}

static bool type(struct reader *r, enum nn_dtype *t, uint32_t *n, struct ir_axis *ax)
{
    *n = 0;
    return dtype(r, t) && (!accept(r, "[") || axes(r, "]", n, ax));
}

/* What follows the type. */
static bool flags(struct reader *r, struct ir_node *n)
{
    int64_t v;
    n->inlined = keyword(r, "inline");
    if (keyword(r, "checkpoint")) {
        if (!natural(r, &v, UINT32_MAX, "a checkpoint's number"))
            return false;
        n->checkpoint = (uint32_t)v;
    }
    return !peek(r) || fail(r, r->at, "unexpected text");
}

static bool value_of_const(struct reader *r, struct ir_node *n)
{
    uint32_t lo = (skip(r), r->at);
    if (nn_is_float(n->dtype))
        return real(r, &n->attr.f, "a number");
    if (n->dtype == NN_bool) {
        n->attr.i = keyword(r, "true");
        return n->attr.i || keyword(r, "false") || fail(r, lo, "expected true or false");
    }
    if (!integer(r, &n->attr.i, "an integer"))
        return false;
    int bits = (int)nn_dtype_size(n->dtype) * 8;
    bool fits = bits == 64 || (n->dtype == NN_u8 ? n->attr.i >= 0 && n->attr.i < 256
                                                 : n->attr.i >= -((int64_t)1 << (bits - 1)) &&
                                                       n->attr.i < (int64_t)1 << (bits - 1));
    return fits || fail(r, lo, "%lld is no %s", (long long)n->attr.i, nn_dtype_name(n->dtype));
}

static bool slot_use(struct reader *r, uint32_t *slot)
{
    const char *s;
    uint32_t lo = (skip(r), r->at);
    if (!name(r, &s, "a slot's name"))
        return false;
    *slot = ir_slot_find(r->m, s);
    return *slot != UINT32_MAX || fail(r, lo, "no slot `%s`", s);
}

static bool reduce_head(struct reader *r, struct ir_node *n)
{
    char buf[16];
    enum ir_monoid m;
    struct ir_axis ax[IR_MAX_AXES];
    uint32_t count, lo = (skip(r), r->at);
    if (!word(r, buf, sizeof buf, "a reduction, like sum"))
        return false;
    if (!ir_monoid_find(buf, &m))
        return fail(r, lo, "`%s` is no reduction", buf);
    if (!expect(r, "(") || !axes(r, ")", &count, ax))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!domain_axis(r, ax[i]))
            return false;
    n->monoid = (uint8_t)m;
    n->nred = (uint16_t)count;
    return true;
}

static bool random_head(struct reader *r, struct ir_node *n)
{
    int64_t w;
    char buf[24], *end;
    uint32_t lo = r->at;
    if (!keyword(r, "stream"))
        return fail(r, lo, "expected `stream`");
    lo = (skip(r), r->at);
    if (!word(r, buf, sizeof buf, "a stream's number"))
        return false;
    errno = 0;
    unsigned long long v = strtoull(buf, &end, 10);
    if (*end || errno || !digit(buf[0]))
        return fail(r, lo, "`%s` is no stream's number", buf);
    n->attr.i = (int64_t)v;
    if (!keyword(r, "word"))
        return fail(r, r->at, "expected `word`");
    if (!natural(r, &w, 1, "the word"))
        return false;
    n->word = (uint8_t)w;
    return true;
}

/* `over (b 4, t 8)`: the domain of a scatter, wherever it stands before the type. */
static bool scatter_domain(struct reader *r)
{
    uint32_t lo = r->at, n = 0;
    struct ir_axis ax[IR_MAX_AXES];
    while (r->at < r->end && !ahead(r, "over"))
        r->at += word_length(r) ? word_length(r) : 1;
    if (!keyword(r, "over"))
        return fail(r, lo, "expected `over (…)`, the domain");
    if (!expect(r, "(") || !axes(r, ")", &n, ax))
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!domain_axis(r, ax[i]))
            return false;
    r->at = lo;
    return true;
}

static bool scatter_head(struct reader *r, struct ir_node *n, uint32_t rank,
                         const struct ir_axis *ax)
{
    struct ir_access out;
    if (!expect(r, "[") || !access(r, rank, ax, &out))
        return false;
    n->val = ax;
    n->nval = (uint16_t)rank;
    n->out = arena_dup(r->m->mem, &out, sizeof out);
    return true;
}

/* What stands between the operator and its operands. */
static bool head(struct reader *r, struct ir_node *n, uint32_t rank, const struct ir_axis *ax)
{
    int64_t v;
    uint32_t slot;
    switch ((enum ir_op)n->op) {
    case IR_const: return value_of_const(r, n);
    case IR_iota:
    case IR_cumsum:
        if (!natural(r, &v, IR_MAX_AXES, "an axis"))
            return false;
        n->attr.i = v;
        n->reverse = n->op == IR_cumsum && keyword(r, "reverse");
        return true;
    case IR_random: return random_head(r, n);
    case IR_input: return name(r, &n->name, "an input's name");
    case IR_slot:
        if (!slot_use(r, &slot))
            return false;
        n->attr.i = slot;
        return true;
    case IR_reduce: return reduce_head(r, n);
    case IR_scatter: return scatter_head(r, n, rank, ax);
#define OP(name, arity, class) READ_##class(IR_##name)
#define READ_ARITH(op) case op:
#define READ_FLOAT(op) case op:
#define READ_CMP(op) case op:
#define READ_LOGIC(op) case op:
#define READ_ELEM(op) case op:
#define READ_MARK(op) case op:
#define READ_LEAF(op)
#define READ_SHAPE(op)
#include "ir/ops.def"
#undef OP
    case IR_reshape:
    case IR_OP_COUNT: return true;
    }
    return true;
}

static bool operands(struct reader *r, struct ir_node *n, struct ir_in **in)
{
    VEC(struct ir_in) list = {0};
    bool ok = true;
    while (ok && peek(r) == '%') {
        struct ir_in x = {0};
        uint32_t lo = r->at;
        ok = node_use(r, &x.node);
        if (ok && !ir_op_whole(n->op)) {
            struct ir_node from = *ir_at(r->g, x.node);
            ok = accept(r, "[") ? access(r, ir_rank(&from), ir_axes(&from), &x.a)
                                : plain_access(r, lo, ir_rank(&from), ir_axes(&from), &x.a);
        }
        if (ok && ir_op_whole(n->op) && accept(r, "["))
            ok = expect(r, "]");
        if (ok && list.n == UINT16_MAX)
            ok = fail(r, lo, "too many operands");
        if (ok)
            vec_push(&list, x);
    }
    *in = list.p;
    n->nin = (uint16_t)list.n;
    n->in = list.p;
    return ok;
}

/* `# file.nn:19 fc1.matmul:fwd`: path and role are read back; the place is of a text that is not
 * here. */
static uint32_t read_origin(struct reader *r)
{
    const char *s = r->text + r->comment, *end = r->text + r->eol, *from, *colon;
    while (end > s && strchr(" \t\r", end[-1]))
        end--;
    for (from = end; from > s && !strchr(" \t#", from[-1]);)
        from--;
    for (colon = end; colon > from && colon[-1] != ':';)
        colon--;
    if (colon - from < 2 || colon == end || end - from > 400)
        return 0;
    const char *path = intern_n(r->m->names, from, (size_t)(colon - 1 - from));
    const char *role = intern_n(r->m->names, colon, (size_t)(end - colon));
    bool place = strspn(role, "0123456789") == strlen(role);
    return place ? 0 : ir_origin_add(r->m, (struct loc){0}, path, role);
}

/* `OP … : TYPE`: the type first, since indices name its axes. */
static bool node_body(struct reader *r, struct ir_node *n, struct ir_in **in)
{
    char buf[16];
    enum ir_op op;
    enum nn_dtype t;
    struct ir_axis ax[IR_MAX_AXES];
    uint32_t rank, lo = (skip(r), r->at);
    if (!word(r, buf, sizeof buf, "an operator"))
        return false;
    if (!ir_op_find(buf, &op))
        return fail(r, lo, "`%s` is no operator", buf);
    n->op = (uint8_t)op;
    uint32_t after_op = r->at;
    if (!find_type(r) || !type(r, &t, &rank, ax) || !flags(r, n))
        return false;
    r->at = after_op;
    n->dtype = (uint8_t)t;
    r->nd = 0;
    for (uint32_t i = 0; i < rank && op != IR_scatter; i++)
        domain_axis(r, ax[i]);
    if (op == IR_scatter && !scatter_domain(r))
        return false;
    const struct ir_axis *val = arena_dup(r->m->mem, ax, sizeof ax);
    if (!head(r, n, rank, val) || !operands(r, n, in))
        return false;
    if (op == IR_scatter) {
        if (!keyword(r, "over") || !find_type(r))
            return fail(r, r->at, "expected `over (…)`, the domain");
    } else if (!expect(r, ":"))
        return false;
    n->nd = (uint16_t)r->nd;
    n->dom = r->axis;
    n->origin = read_origin(r);
    return true;
}

static bool node(struct reader *r)
{
    struct ir_node n = {0};
    struct ir_in *in = NULL;
    const char *s;
    uint32_t lo = r->at;
    if (!label(r, &s))
        return false;
    if (label_get(r, s))
        return fail(r, lo, "%%%s is defined twice", s);
    bool ok = expect(r, "=") && node_body(r, &n, &in);
    char *message = NULL;
    if (ok) {
        ir_id id = ir_append(r->g, &n);
        message = ir_verify_node(r->g, id);
        if (message)
            r->g->nodes.n--;
        else
            label_set(r, s, id);
    }
    if (message) {
        r->at = r->end;
        ok = fail(r, lo, "%%%s = %s", s, message);
    }
    if (!ok)
        label_set(r, s, POISON);
    r->at = r->end;
    free(message);
    free(in);
    return ok;
}

/* ---- statements ---- */

static bool slot(struct reader *r)
{
    struct ir_slot s = {0};
    struct ir_axis ax[IR_MAX_AXES];
    int64_t dim[NN_MAX_RANK], count = 1;
    char kind[8];
    uint32_t lo = (skip(r), r->at), of;
    if (!name(r, &s.name, "a slot's name"))
        return false;
    if (ir_slot_find(r->m, s.name) != UINT32_MAX)
        return fail(r, lo, "two slots `%s`", s.name);
    if (!type(r, &s.dtype, &s.rank, ax))
        return false;
    if (s.rank > NN_MAX_RANK)
        return fail(r, lo, "a slot of %u axes; at most %d", s.rank, NN_MAX_RANK);
    for (uint32_t i = 0; i < s.rank; i++) {
        dim[i] = ax[i].n;
        if (__builtin_mul_overflow(count, dim[i] ? dim[i] : 1, &count) || count > (int64_t)1 << 56)
            return fail(r, lo, "the slot is too large");
    }
    s.dim = dim;
    lo = (skip(r), r->at);
    if (!word(r, kind, sizeof kind, "param, state, opt, acc or sys"))
        return false;
    while (s.kind <= NN_SLOT_SYS && strcmp(kind, ir_slot_kind_name(s.kind)) != 0)
        s.kind++;
    if (s.kind > NN_SLOT_SYS)
        return fail(r, lo, "`%s` is not param, state, opt, acc or sys", kind);
    if (keyword(r, "identity") && !real(r, &s.identity, "a number"))
        return false;
    if (keyword(r, "of")) {
        if (!slot_use(r, &of))
            return false;
        s.of = of + 1;
    }
    ir_slot_add(r->m, s);
    return true;
}

static bool graph(struct reader *r)
{
    const char *s;
    uint32_t lo = (skip(r), r->at);
    if (!name(r, &s, "a graph's name"))
        return false;
    if (ir_graph_find(r->m, s))
        return fail(r, lo, "two graphs `%s`", s);
    r->g = ir_graph_new(r->m, s);
    if (r->label_room)
        memset(r->labels, 0, r->label_room * sizeof *r->labels);
    r->nlabels = 0;
    return expect(r, "{");
}

static bool output(struct reader *r)
{
    struct ir_named o;
    if (!name(r, &o.name, "an output's name") || !node_use(r, &o.node))
        return false;
    vec_push(&r->g->outputs, o);
    return true;
}

static bool update(struct reader *r)
{
    struct ir_update u;
    if (!slot_use(r, &u.slot) || !expect(r, "<-") || !node_use(r, &u.node))
        return false;
    vec_push(&r->g->updates, u);
    return true;
}

static bool close(struct reader *r, uint32_t lo)
{
    char *message = ir_verify(r->g);
    bool ok = !message || fail(r, lo, "%s", message);
    free(message);
    r->g = NULL;
    return ok;
}

static bool statement(struct reader *r)
{
    uint32_t lo = (skip(r), r->at);
    if (r->g) {
        if (peek(r) == '%')
            return node(r);
        if (keyword(r, "output"))
            return output(r);
        if (keyword(r, "update"))
            return update(r);
        if (accept(r, "}"))
            return close(r, lo);
        return fail(r, lo, "expected a node `%%N = …`, `output`, `update` or `}`");
    }
    if (keyword(r, "slot"))
        return slot(r);
    if (keyword(r, "graph"))
        return graph(r);
    if (keyword(r, "module"))
        return name(r, &r->m->name, "the module's name");
    return fail(r, lo, "expected `module`, `slot` or `graph`");
}

/* Sets end, comment and eol for the line at the cursor. */
static void open_line(struct reader *r)
{
    bool quote = false;
    r->eol = r->at;
    r->end = UINT32_MAX;
    for (; r->eol < r->size && r->text[r->eol] != '\n'; r->eol++) {
        char c = r->text[r->eol];
        if (r->end != UINT32_MAX)
            continue;
        if (c == '"')
            quote = !quote;
        if (c == '\\' && quote && r->eol + 1 < r->size && r->text[r->eol + 1] != '\n')
            r->eol++;
        if (c == '#' && !quote)
            r->end = r->eol;
    }
    if (r->end == UINT32_MAX)
        r->end = r->eol;
    r->comment = r->end;
    r->silent = false;
}

struct ir_module *ir_read(struct diag *d, uint32_t file)
{
    size_t size;
    struct reader r = {.d = d, .file = file, .text = diag_file_text(d, file, &size)};
    uint32_t before = diag_errors(d), opened = 0;
    if (size >= UINT32_MAX) {
        diag_error(d, ((struct loc){file, 0, 1}), "the text is too large");
        return NULL;
    }
    r.size = (uint32_t)size;
    r.m = ir_module_new("module", d);
    while (r.at < r.size && diag_errors(d) - before < MAX_ERRORS) {
        uint32_t start = r.at;
        struct ir_graph *inside = r.g;
        open_line(&r);
        if (peek(&r) && statement(&r) && peek(&r))
            fail(&r, r.at, "unexpected text");
        opened = r.g && r.g != inside ? start : opened;
        r.at = r.eol + 1;
    }
    r.silent = false;
    if (r.g && diag_errors(d) == before)
        fail(&r, opened, "the graph has no closing `}`");
    free(r.labels);
    if (diag_errors(d) == before)
        return r.m;
    ir_module_free(r.m);
    return NULL;
}
