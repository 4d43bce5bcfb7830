/* The text form, read: recursive descent over one line at a time, since a statement is a line. A
 * line in error is reported and skipped, and nodes that name it are skipped silently; so every
 * mistake of a text is found in one run. A node is verified as soon as it is read, which locates
 * the message.
 *
 * Any bytes are input: lengths, nesting, sizes and factors are bounded, and nothing is trusted. */
#include "ir/read.h"
#include "image.h"
#include <errno.h>

#define MAX_ERRORS 20

static bool domain_axis(struct reader *r, struct ir_axis x)
{
    if (r->nd == IR_MAX_AXES)
        return read_fail(r, r->at, "more than %d axes", IR_MAX_AXES);
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
    return read_fail(r, r->end, "expected `: ` and the node's type");
}

static bool type(struct reader *r, enum nn_dtype *t, uint32_t *n, struct ir_axis *ax)
{
    *n = 0;
    return read_dtype(r, t) && (!read_accept(r, "[") || read_axes(r, "]", n, ax));
}

/* What follows the type. */
static bool flags(struct reader *r, struct ir_node *n)
{
    int64_t v;
    n->inlined = read_keyword(r, "inline");
    if (read_keyword(r, "checkpoint")) {
        if (!read_natural(r, &v, UINT32_MAX, "a checkpoint's number"))
            return false;
        n->checkpoint = (uint32_t)v;
    }
    n->again = read_keyword(r, "again");
    return !read_peek(r) || read_fail(r, r->at, "unexpected text");
}

static bool value_of_const(struct reader *r, struct ir_node *n)
{
    uint32_t lo = (read_skip(r), r->at);
    if (nn_is_float(n->dtype))
        return read_real(r, &n->attr.f, "a number");
    if (n->dtype == NN_bool) {
        n->attr.i = read_keyword(r, "true");
        return n->attr.i || read_keyword(r, "false") || read_fail(r, lo, "expected true or false");
    }
    if (!read_integer(r, &n->attr.i, "an integer"))
        return false;
    int bits = (int)nn_dtype_size(n->dtype) * 8;
    bool fits = bits == 64 || (n->dtype == NN_u8 ? n->attr.i >= 0 && n->attr.i < 256
                                                 : n->attr.i >= -((int64_t)1 << (bits - 1)) &&
                                                       n->attr.i < (int64_t)1 << (bits - 1));
    return fits || read_fail(r, lo, "%lld is no %s", (long long)n->attr.i, nn_dtype_name(n->dtype));
}

static bool slot_use(struct reader *r, uint32_t *slot)
{
    const char *s;
    uint32_t lo = (read_skip(r), r->at);
    if (!read_name(r, &s, "a slot's name"))
        return false;
    *slot = ir_slot_find(r->m, s);
    return *slot != UINT32_MAX || read_fail(r, lo, "no slot `%s`", s);
}

static bool reduce_head(struct reader *r, struct ir_node *n)
{
    char buf[16];
    enum ir_monoid m;
    struct ir_axis ax[IR_MAX_AXES];
    uint32_t count, lo = (read_skip(r), r->at);
    if (!read_word(r, buf, sizeof buf, "a reduction, like sum"))
        return false;
    if (!ir_monoid_find(buf, &m))
        return read_fail(r, lo, "`%s` is no reduction", buf);
    if (!read_expect(r, "(") || !read_axes(r, ")", &count, ax))
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
    if (!read_keyword(r, "stream"))
        return read_fail(r, lo, "expected `stream`");
    lo = (read_skip(r), r->at);
    if (!read_word(r, buf, sizeof buf, "a stream's number"))
        return false;
    errno = 0;
    unsigned long long v = strtoull(buf, &end, 10);
    if (*end || errno || !read_digit(buf[0]))
        return read_fail(r, lo, "`%s` is no stream's number", buf);
    n->attr.i = (int64_t)v;
    if (!read_keyword(r, "word"))
        return read_fail(r, r->at, "expected `word`");
    if (!read_natural(r, &w, 1, "the word"))
        return false;
    n->word = (uint8_t)w;
    return true;
}

/* `over (b 4, t 8)`: the domain of a scatter, wherever it stands before the type. */
static bool scatter_domain(struct reader *r)
{
    uint32_t lo = r->at, n = 0;
    struct ir_axis ax[IR_MAX_AXES];
    while (r->at < r->end && !read_ahead(r, "over"))
        r->at += read_word_length(r) ? read_word_length(r) : 1;
    if (!read_keyword(r, "over"))
        return read_fail(r, lo, "expected `over (…)`, the domain");
    if (!read_expect(r, "(") || !read_axes(r, ")", &n, ax))
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
    if (!read_expect(r, "[") || !read_access(r, rank, ax, &out))
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
        if (!read_natural(r, &v, IR_MAX_AXES, "an axis"))
            return false;
        n->attr.i = v;
        n->reverse = n->op == IR_cumsum && read_keyword(r, "reverse");
        return true;
    case IR_random: return random_head(r, n);
    case IR_input:
        if (!read_name(r, &n->name, "an input's name"))
            return false;
        n->attr.i = read_keyword(r, "whole") ? IR_INPUT_WHOLE : 0;
        return true;
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
    while (ok && read_peek(r) == '%') {
        struct ir_in x = {0};
        uint32_t lo = r->at;
        ok = read_node_use(r, &x.node);
        if (ok && !ir_op_whole(n->op)) {
            struct ir_node from = *ir_at(r->g, x.node);
            ok = read_accept(r, "[")
                     ? read_access(r, ir_rank(&from), ir_axes(&from), &x.a)
                     : read_plain_access(r, lo, ir_rank(&from), ir_axes(&from), &x.a);
        }
        if (ok && ir_op_whole(n->op) && read_accept(r, "["))
            ok = read_expect(r, "]");
        if (ok && list.n == UINT16_MAX)
            ok = read_fail(r, lo, "too many operands");
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
    uint32_t rank, lo = (read_skip(r), r->at);
    if (!read_word(r, buf, sizeof buf, "an operator"))
        return false;
    if (!ir_op_find(buf, &op))
        return read_fail(r, lo, "`%s` is no operator", buf);
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
        if (!read_keyword(r, "over") || !find_type(r))
            return read_fail(r, r->at, "expected `over (…)`, the domain");
    } else if (!read_expect(r, ":"))
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
    if (!read_label(r, &s))
        return false;
    if (read_label_get(r, s))
        return read_fail(r, lo, "%%%s is defined twice", s);
    bool ok = read_expect(r, "=") && node_body(r, &n, &in);
    char *message = NULL;
    if (ok) {
        ir_id id = ir_append(r->g, &n);
        message = ir_verify_node(r->g, id);
        if (message)
            r->g->nodes.n--;
        else
            read_label_set(r, s, id);
    }
    if (message) {
        r->at = r->end;
        ok = read_fail(r, lo, "%%%s = %s", s, message);
    }
    if (!ok)
        read_label_set(r, s, POISON);
    r->at = r->end;
    free(message);
    free(in);
    return ok;
}

/* ---- statements ---- */

static bool within_31_bits(int64_t v) { return v >= -INT32_MAX && v <= INT32_MAX; }

/* A slot of sizes, or a number. */
static bool rule_side(struct reader *r, uint32_t *slot, int64_t *n)
{
    const char *s;
    uint32_t lo = (read_skip(r), r->at);
    if (read_peek(r) == '-' || read_digit(read_peek(r)))
        return read_integer(r, n, "a number");
    if (!read_name(r, &s, "a slot's name or a number"))
        return false;
    *slot = ir_slot_find(r->m, s) + 1;
    return (*slot && r->m->slots.p[*slot - 1].kind == NN_SLOT_SIZE) ||
           read_fail(r, lo, "no size `%s`", s);
}

/* `dim.past + dim.seq` behind `=`. */
static bool size_rule(struct reader *r, struct ir_rule *x)
{
    if (!rule_side(r, &x->left, &x->left_n))
        return false;
    uint32_t lo = (read_skip(r), r->at);
    x->op = read_accept(r, "+")    ? NN_SIZE_SUM
            : read_accept(r, "*")  ? NN_SIZE_PRODUCT
            : read_accept(r, "//") ? NN_SIZE_QUOTIENT
                                   : NN_SIZE_GIVEN;
    if (x->op == NN_SIZE_GIVEN)
        return read_fail(r, lo, "expected `+`, `*` or `//`");
    if (!rule_side(r, &x->right, &x->right_n))
        return false;
    return (within_31_bits(x->left_n) && within_31_bits(x->right_n)) ||
           read_fail(r, lo, "a number beyond 2**31");
}

/* `1 to 64` behind `size`, and what the size follows from. */
static bool size_range(struct reader *r, struct ir_slot *s)
{
    uint32_t lo = (read_skip(r), r->at);
    if (s->dtype != NN_i64 || s->rank)
        return read_fail(r, lo, "a size is one i64");
    if (!read_integer(r, &s->least, "the least size"))
        return false;
    if (!read_keyword(r, "to"))
        return read_fail(r, r->at, "expected `to`");
    if (!read_integer(r, &s->most, "the largest size") ||
        (read_accept(r, "=") && !size_rule(r, &s->rule)))
        return false;
    return ((s->least > 0 || s->rule.op != NN_SIZE_GIVEN) && s->least <= s->most &&
            within_31_bits(s->least) && within_31_bits(s->most)) ||
           read_fail(r, lo, "no size is in that range");
}

static bool slot(struct reader *r)
{
    struct ir_slot s = {0};
    struct ir_axis ax[IR_MAX_AXES];
    int64_t dim[NN_MAX_RANK], count = 1;
    char kind[8];
    uint32_t lo = (read_skip(r), r->at), of;
    if (!read_name(r, &s.name, "a slot's name"))
        return false;
    if (ir_slot_find(r->m, s.name) != UINT32_MAX)
        return read_fail(r, lo, "two slots `%s`", s.name);
    if (!type(r, &s.dtype, &s.rank, ax))
        return false;
    if (s.rank > NN_MAX_RANK)
        return read_fail(r, lo, "a slot of %u axes; at most %d", s.rank, NN_MAX_RANK);
    for (uint32_t i = 0; i < s.rank; i++) {
        dim[i] = ax[i].n;
        if (__builtin_mul_overflow(count, dim[i] ? dim[i] : 1, &count) || count > (int64_t)1 << 56)
            return read_fail(r, lo, "the slot is too large");
    }
    s.dim = dim;
    lo = (read_skip(r), r->at);
    if (!read_word(r, kind, sizeof kind, "param, state, opt, acc, sys or size"))
        return false;
    while (s.kind <= NN_SLOT_SIZE && strcmp(kind, ir_slot_kind_name(s.kind)) != 0)
        s.kind++;
    if (s.kind > NN_SLOT_SIZE)
        return read_fail(r, lo, "`%s` is not param, state, opt, acc, sys or size", kind);
    if (s.kind == NN_SLOT_SIZE && !size_range(r, &s))
        return false;
    if (read_keyword(r, "identity") && !read_real(r, &s.identity, "a number"))
        return false;
    if (read_keyword(r, "of")) {
        if (!slot_use(r, &of))
            return false;
        s.of = of + 1;
    }
    ir_slot_add(r->m, s);
    return true;
}

static bool graph_precision(struct reader *r)
{
    const char *s;
    uint32_t lo = (read_skip(r), r->at);
    if (!read_name(r, &s, "a precision"))
        return false;
    return ir_precision_find(s, &r->g->precision) ||
           read_fail(r, lo, "`%s` is no precision: f32, tf32, bf16 or f16", s);
}

/* The graph before this one, which now belongs to it. */
static bool part_of(struct reader *r)
{
    const char *s;
    uint32_t lo = (read_skip(r), r->at), n = r->m->graphs.n - 1;
    if (!read_name(r, &s, "the name of the graph before it"))
        return false;
    struct ir_graph *part = n ? r->m->graphs.p[n - 1] : NULL;
    if (!part || strcmp(part->name, s) != 0)
        return read_fail(r, lo, "`%s` is not the graph before this one", s);
    r->m->graphs.p[n - 1] = r->g;
    r->m->graphs.n = n;
    r->g->part = part;
    return true;
}

static bool parts(struct reader *r)
{
    int64_t n;
    uint32_t lo = (read_skip(r), r->at);
    if (!read_natural(r, &n, UINT32_MAX, "how many parts"))
        return false;
    if (n < 2)
        return read_fail(r, lo, "a batch goes through in two parts or more");
    r->g->parts = (uint32_t)n;
    return !read_keyword(r, "of") || part_of(r);
}

static bool graph(struct reader *r)
{
    const char *s;
    uint32_t lo = (read_skip(r), r->at);
    if (!read_name(r, &s, "a graph's name"))
        return false;
    if (ir_graph_find(r->m, s))
        return read_fail(r, lo, "two graphs `%s`", s);
    r->g = ir_graph_new(r->m, s);
    if (r->label_room)
        memset(r->labels, 0, r->label_room * sizeof *r->labels);
    r->nlabels = 0;
    if (read_keyword(r, "precision") && !graph_precision(r))
        return false;
    if (read_keyword(r, "parts") && !parts(r))
        return false;
    return read_expect(r, "{");
}

static bool output(struct reader *r)
{
    struct ir_named o;
    if (!read_name(r, &o.name, "an output's name") || !read_node_use(r, &o.node))
        return false;
    vec_push(&r->g->outputs, o);
    return true;
}

static bool update(struct reader *r)
{
    struct ir_update u;
    if (!slot_use(r, &u.slot) || !read_expect(r, "<-") || !read_node_use(r, &u.node))
        return false;
    vec_push(&r->g->updates, u);
    return true;
}

static bool close(struct reader *r, uint32_t lo)
{
    char *message = ir_verify(r->g);
    bool ok = !message || read_fail(r, lo, "%s", message);
    free(message);
    r->g = NULL;
    return ok;
}

static bool statement(struct reader *r)
{
    uint32_t lo = (read_skip(r), r->at);
    if (r->g) {
        if (read_peek(r) == '%')
            return node(r);
        if (read_keyword(r, "output"))
            return output(r);
        if (read_keyword(r, "update"))
            return update(r);
        if (read_accept(r, "}"))
            return close(r, lo);
        return read_fail(r, lo, "expected a node `%%N = …`, `output`, `update` or `}`");
    }
    if (read_keyword(r, "slot"))
        return slot(r);
    if (read_keyword(r, "graph"))
        return graph(r);
    if (read_keyword(r, "module"))
        return read_name(r, &r->m->name, "the module's name");
    return read_fail(r, lo, "expected `module`, `slot` or `graph`");
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
        if (read_peek(&r) && statement(&r) && read_peek(&r))
            read_fail(&r, r.at, "unexpected text");
        opened = r.g && r.g != inside ? start : opened;
        r.at = r.eol + 1;
    }
    r.silent = false;
    if (r.g && diag_errors(d) == before)
        read_fail(&r, opened, "the graph has no closing `}`");
    free(r.labels);
    if (diag_errors(d) == before)
        return r.m;
    ir_module_free(r.m);
    return NULL;
}
