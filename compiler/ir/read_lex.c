/* The reader's characters: words, names, numbers, labels of nodes, axes. */
#include "ir/read.h"
#include <errno.h>

bool read_fail(struct reader *r, uint32_t lo, const char *fmt, ...)
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

bool read_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

bool read_digit(char c) { return c >= '0' && c <= '9'; }

void read_skip(struct reader *r)
{
    while (r->at < r->end && strchr(" \t\r", r->text[r->at]) && r->text[r->at])
        r->at++;
}

char read_peek(struct reader *r)
{
    read_skip(r);
    return r->at < r->end ? r->text[r->at] : 0;
}

bool read_accept(struct reader *r, const char *s)
{
    size_t n = strlen(s);
    read_skip(r);
    if (r->end - r->at < n || memcmp(r->text + r->at, s, n) != 0)
        return false;
    r->at += (uint32_t)n;
    return true;
}

bool read_expect(struct reader *r, const char *s)
{
    if (read_accept(r, s))
        return true;
    return read_fail(r, r->at, "expected `%s`", s);
}

uint32_t read_word_length(struct reader *r)
{
    read_skip(r);
    uint32_t n = 0;
    while (r->at + n < r->end) {
        char c = r->text[r->at + n];
        if (!read_letter(c) && !read_digit(c) && c != '.')
            break;
        n++;
    }
    return n;
}

bool read_ahead(struct reader *r, const char *s)
{
    uint32_t n = read_word_length(r);
    return n == strlen(s) && !memcmp(r->text + r->at, s, n);
}

bool read_keyword(struct reader *r, const char *s)
{
    if (!read_ahead(r, s))
        return false;
    r->at += (uint32_t)strlen(s);
    return true;
}

/* The next word in a fixed buffer, for tables' names. */
bool read_word(struct reader *r, char *buf, size_t room, const char *what)
{
    uint32_t n = read_word_length(r);
    if (!n || n >= room) {
        r->at += n;
        return read_fail(r, r->at - n, "expected %s", what);
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
                    return read_fail(r, lo, "a bad escape in a quoted name");
                c = (char)code;
                r->at += 2;
            }
        }
        if (n + 1 >= sizeof buf || !c)
            return read_fail(r, lo, "a quoted name is too long or holds a zero byte");
        buf[n++] = c;
    }
    if (r->at >= r->end)
        return read_fail(r, lo, "a quoted name has no end");
    r->at++;
    *name = intern_n(r->m->names, buf, n);
    return true;
}

bool read_name(struct reader *r, const char **out, const char *what)
{
    uint32_t lo = (read_skip(r), r->at);
    if (read_accept(r, "\""))
        return quoted(r, lo, out);
    uint32_t n = read_word_length(r);
    if (!n || n > 500 || !read_letter(r->text[r->at])) {
        r->at += n;
        return read_fail(r, lo, "expected %s", what);
    }
    *out = intern_n(r->m->names, r->text + r->at, n);
    r->at += n;
    return true;
}

/* ---- numbers ---- */

bool read_integer(struct reader *r, int64_t *v, const char *what)
{
    uint32_t lo = (read_skip(r), r->at);
    bool minus = read_accept(r, "-");
    char buf[40];
    uint32_t n = read_word_length(r);
    if (!n || n >= sizeof buf - 1 || !read_digit(r->text[r->at])) {
        r->at += n;
        return read_fail(r, lo, "expected %s", what);
    }
    buf[0] = minus ? '-' : '+';
    memcpy(buf + 1, r->text + r->at, n);
    buf[n + 1] = 0;
    r->at += n;
    char *end;
    errno = 0;
    *v = strtoll(buf, &end, 10);
    return (!*end && !errno) || read_fail(r, lo, "`%s` is no integer", buf + !minus);
}

bool read_natural(struct reader *r, int64_t *v, int64_t limit, const char *what)
{
    uint32_t lo = (read_skip(r), r->at);
    if (!read_integer(r, v, what))
        return false;
    return (*v >= 0 && *v <= limit) ||
           read_fail(r, lo, "%s must be from 0 to %lld", what, (long long)limit);
}

bool read_real(struct reader *r, double *v, const char *what)
{
    uint32_t lo = (read_skip(r), r->at), n = 0;
    char buf[64];
    while (r->at + n < r->end && n < sizeof buf - 1) {
        char c = r->text[r->at + n];
        bool sign = (c == '-' || c == '+') && (!n || strchr("eEpP", buf[n - 1]));
        if (!sign && !read_letter(c) && !read_digit(c) && c != '.')
            break;
        buf[n++] = c;
    }
    buf[n] = 0;
    r->at += n;
    char *end;
    *v = strtod(buf, &end);
    return (n && !*end) || read_fail(r, lo, "expected %s", what);
}

/* ---- labels of nodes ---- */

static struct label *label_slot(struct label *table, uint32_t room, const char *s)
{
    uint32_t i = (uint32_t)hash_bytes(0, &s, sizeof s) & (room - 1);
    while (table[i].name && table[i].name != s)
        i = (i + 1) & (room - 1);
    return &table[i];
}

void read_label_set(struct reader *r, const char *s, ir_id id)
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

ir_id read_label_get(const struct reader *r, const char *s)
{
    return r->label_room ? label_slot(r->labels, r->label_room, s)->id : 0;
}

bool read_label(struct reader *r, const char **s)
{
    uint32_t lo = (read_skip(r), r->at);
    if (!read_expect(r, "%"))
        return false;
    uint32_t n = r->at < r->end && !strchr(" \t\r", r->text[r->at]) ? read_word_length(r) : 0;
    if (!n || n > 200) {
        r->at += n;
        return read_fail(r, lo, "expected a node, like %%1 or %%w");
    }
    *s = intern_n(r->m->names, r->text + r->at, n);
    r->at += n;
    return true;
}

bool read_node_use(struct reader *r, ir_id *id)
{
    const char *s;
    uint32_t lo = (read_skip(r), r->at);
    if (!read_label(r, &s))
        return false;
    *id = read_label_get(r, s);
    if (*id == POISON)
        r->silent = true;
    return (*id && *id != POISON) || read_fail(r, lo, "%%%s is not defined before this line", s);
}

/* ---- types ---- */

bool read_dtype(struct reader *r, enum nn_dtype *t)
{
    char buf[16];
    uint32_t lo = (read_skip(r), r->at);
    if (!read_word(r, buf, sizeof buf, "a type, like f32"))
        return false;
    return ir_dtype_find(buf, t) || read_fail(r, lo, "`%s` is no type", buf);
}

/* The number behind the operator, if that is next; else *v stays. */
static bool live_part(struct reader *r, const char *op, int64_t *v)
{
    return !read_accept(r, op) || read_natural(r, v, MAX_FACTOR, "a number");
}

static bool live_sum(struct reader *r, int64_t *v)
{
    bool minus = read_peek(r) == '-';
    if (!live_part(r, minus ? "-" : "+", v))
        return false;
    *v = minus ? -*v : *v;
    return true;
}

/* `dim.batch*2+1//4*3-1` behind `live`. */
static bool read_live(struct reader *r, struct ir_axis *x)
{
    struct ir_live l = {.by = 1, .over = 1, .times = 1};
    const char *s;
    uint32_t lo = (read_skip(r), r->at);
    if (!read_name(r, &s, "a slot's name"))
        return false;
    l.slot = ir_slot_find(r->m, s);
    if (l.slot == UINT32_MAX)
        return read_fail(r, lo, "no slot `%s`", s);
    if (!live_part(r, "*", &l.by) || !live_sum(r, &l.plus) || !live_part(r, "//", &l.over))
        return false;
    if (l.over != 1 && (!live_part(r, "*", &l.times) || !live_sum(r, &l.more)))
        return false;
    x->live = arena_dup(r->m->mem, &l, sizeof l);
    return true;
}

bool read_axes(struct reader *r, const char *close, uint32_t *n, struct ir_axis *ax)
{
    *n = 0;
    if (read_accept(r, close))
        return true;
    do {
        uint32_t lo = (read_skip(r), r->at);
        struct ir_axis x = {0};
        if (read_letter(read_peek(r)) && !read_name(r, &x.name, "an axis"))
            return false;
        if (!read_natural(r, &x.n, INT64_MAX, "an axis's size") ||
            (read_keyword(r, "live") && !read_live(r, &x)))
            return false;
        if (*n == IR_MAX_AXES)
            return read_fail(r, lo, "more than %d axes", IR_MAX_AXES);
        ax[(*n)++] = x;
    } while (read_accept(r, ","));
    return read_expect(r, close);
}
