/* Reads the text form (docs/loop-ir.md). By recursive descent; the first mistake is reported at its
 * place and ends the reading. Each instruction is checked as it is made, so what is returned is
 * sound. */
#include "loop/private.h"
#include <errno.h>

enum token { T_END, T_NAME, T_VALUE, T_INT, T_FLOAT, T_DOTS, T_SIGN, T_BAD };

struct bound { /* a name that stands for a value */
    const char *name;
    lo_id id;
    uint32_t next; /* 1 + the older one in its bucket */
};

struct reader {
    struct diag *d;
    uint32_t file;
    const char *text;
    uint32_t size, end; /* end: of the token before */
    struct lexeme {
        enum token token;
        uint32_t lo, hi; /* its bytes */
        char sign;       /* T_SIGN: which */
        uint64_t i;      /* T_INT */
        double f;        /* T_FLOAT, T_INT */
    } t;
    bool failed;
    uint32_t depth;
    struct lo_builder b;
    struct intern *names;
    VEC(struct bound) bound;
    uint32_t bucket[256];
};

/* ---- messages ---- */

static bool complain(struct reader *r, uint32_t lo, uint32_t hi, const char *fmt, ...)
    NNC_PRINTF(4, 5);
static bool complain(struct reader *r, uint32_t lo, uint32_t hi, const char *fmt, ...)
{
    char words[LO_WORDS + 60];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    if (!r->failed)
        diag_error(r->d, ((struct loc){r->file, lo, hi}), "%s", words);
    r->failed = true;
    return false;
}

static bool expected(struct reader *r, const char *what)
{
    uint32_t n = r->t.hi - r->t.lo;
    if (r->t.token == T_END)
        return complain(r, r->t.lo, r->t.hi, "the text ends where %s is expected", what);
    return complain(r, r->t.lo, r->t.hi, "`%.*s` where %s is expected", (int)(n > 40 ? 40 : n),
                    r->text + r->t.lo, what);
}

/* ---- tokens ---- */

static char peek(const struct reader *r, uint32_t at) { return at < r->size ? r->text[at] : 0; }

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static void skip_space(struct reader *r)
{
    for (; r->t.hi < r->size; r->t.hi++) {
        char c = r->text[r->t.hi];
        if (c == '#')
            while (r->t.hi + 1 < r->size && r->text[r->t.hi + 1] != '\n')
                r->t.hi++;
        else if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return;
    }
}

/* A number without a sign; `0..3` begins with the number 0. */
static void number(struct reader *r)
{
    uint32_t p = r->t.lo;
    bool real = false;
    while (is_digit(peek(r, p)))
        p++;
    if (peek(r, p) == '.' && is_digit(peek(r, p + 1)))
        for (real = true, p++; is_digit(peek(r, p));)
            p++;
    uint32_t e = p + 1 + (peek(r, p + 1) == '-' || peek(r, p + 1) == '+');
    if (peek(r, p) == 'e' && is_digit(peek(r, e)))
        for (real = true, p = e; is_digit(peek(r, p));)
            p++;
    char s[64] = {0};
    if (p - r->t.lo >= sizeof s) {
        r->t.hi = p;
        r->t.token = T_BAD;
        return;
    }
    memcpy(s, r->text + r->t.lo, p - r->t.lo);
    errno = 0;
    r->t.f = strtod(s, NULL);
    r->t.i = real ? 0 : strtoull(s, NULL, 10);
    r->t.token = real ? T_FLOAT : errno ? T_BAD : T_INT;
    r->t.hi = p;
}

static void next(struct reader *r)
{
    r->end = r->t.hi;
    skip_space(r);
    r->t.lo = r->t.hi;
    char c = peek(r, r->t.hi);
    if (r->t.hi >= r->size) {
        r->t.token = T_END;
    } else if (is_digit(c)) {
        number(r);
        return;
    } else if (lo_name_start(c)) {
        r->t.token = T_NAME;
        while (lo_name_char(peek(r, r->t.hi)))
            r->t.hi++;
    } else if (c == '%') {
        r->t.hi++;
        while (lo_name_char(peek(r, r->t.hi)) && peek(r, r->t.hi) != '.')
            r->t.hi++;
        r->t.token = r->t.hi - r->t.lo > 1 && r->t.hi - r->t.lo < 64 ? T_VALUE : T_BAD;
    } else if (c == '.' && peek(r, r->t.hi + 1) == '.') {
        r->t.hi += 2;
        r->t.token = T_DOTS;
    } else {
        r->t.hi++;
        r->t.token = c && strchr("()[]{},:=+-*@", c) ? T_SIGN : T_BAD;
        r->t.sign = c;
    }
}

static bool is_sign(const struct reader *r, char c)
{
    return r->t.token == T_SIGN && r->t.sign == c;
}

static bool take_sign(struct reader *r, char c)
{
    char words[4] = {'`', c, '`', 0};
    if (!is_sign(r, c))
        return expected(r, words);
    next(r);
    return true;
}

static bool is_word(const struct reader *r, const char *word)
{
    size_t n = strlen(word);
    return r->t.token == T_NAME && r->t.hi - r->t.lo == n && !memcmp(r->text + r->t.lo, word, n);
}

static bool accept(struct reader *r, const char *word)
{
    if (!is_word(r, word))
        return false;
    next(r);
    return true;
}

static bool take_word(struct reader *r, const char *word)
{
    char words[32];
    snprintf(words, sizeof words, "`%s`", word);
    return accept(r, word) || expected(r, words);
}

static bool take_name(struct reader *r, const char **name)
{
    if (r->t.token != T_NAME || r->t.hi - r->t.lo > 200)
        return expected(r, "a name");
    *name = intern_n(r->names, r->text + r->t.lo, r->t.hi - r->t.lo);
    next(r);
    return true;
}

static bool take_int(struct reader *r, int64_t least, int64_t most, int64_t *v)
{
    bool minus = is_sign(r, '-');
    uint32_t lo = r->t.lo;
    if (minus)
        next(r);
    if (r->t.token != T_INT)
        return expected(r, "an integer");
    uint64_t limit = (uint64_t)INT64_MAX + minus;
    *v = minus ? (int64_t)(0 - r->t.i) : (int64_t)r->t.i;
    if (r->t.i > limit || *v < least || *v > most)
        return complain(r, lo, r->t.hi, "the number must be in %lld to %lld", (long long)least,
                        (long long)most);
    next(r);
    return true;
}

static bool take_float(struct reader *r, double *v)
{
    bool minus = is_sign(r, '-');
    if (minus)
        next(r);
    if (is_word(r, "inf"))
        *v = INFINITY;
    else if (is_word(r, "nan"))
        *v = NAN;
    else if (r->t.token == T_INT || r->t.token == T_FLOAT)
        *v = r->t.f;
    else
        return expected(r, "a number");
    *v = minus ? -*v : *v;
    next(r);
    return true;
}

/* ---- values by name ---- */

static const char *token_name(struct reader *r)
{
    return intern_n(r->names, r->text + r->t.lo, r->t.hi - r->t.lo);
}

static uint32_t *bucket(struct reader *r, const char *name)
{
    return &r->bucket[hash_bytes(0, name, strlen(name)) % COUNT(r->bucket)];
}

static lo_id find(struct reader *r, const char *name)
{
    for (uint32_t i = *bucket(r, name); i; i = r->bound.p[i - 1].next)
        if (r->bound.p[i - 1].name == name)
            return r->bound.p[i - 1].id;
    return 0;
}

/* The value's name stands for id from here to the end of its block. */
static bool take_definition(struct reader *r, const char **name)
{
    if (r->t.token != T_VALUE)
        return expected(r, "a new value's name");
    *name = token_name(r);
    if (find(r, *name))
        return complain(r, r->t.lo, r->t.hi, "%s is defined already", *name);
    next(r);
    return true;
}

static void define(struct reader *r, const char *name, lo_id id)
{
    uint32_t *head = bucket(r, name);
    vec_push(&r->bound, ((struct bound){name, id, *head}));
    *head = r->bound.n;
}

static void forget(struct reader *r, uint32_t n)
{
    while (r->bound.n > n) {
        *bucket(r, vec_last(&r->bound).name) = vec_last(&r->bound).next;
        r->bound.n--;
    }
}

static bool take_value(struct reader *r, lo_id *id)
{
    if (r->t.token != T_VALUE)
        return expected(r, "a value");
    *id = find(r, token_name(r));
    if (!*id)
        return complain(r, r->t.lo, r->t.hi, "%s is not defined here", token_name(r));
    next(r);
    return true;
}

/* ---- types, sums, places ---- */

static bool take_type(struct reader *r, struct lo_type *t)
{
    if (r->t.token != T_NAME)
        return expected(r, "a type");
    const char *s = r->text + r->t.lo;
    size_t n = r->t.hi - r->t.lo;
    for (int d = 0; d < NN_DTYPE_COUNT; d++) {
        const char *name = nn_dtype_name((enum nn_dtype)d);
        size_t len = strlen(name);
        if (n < len || memcmp(s, name, len))
            continue;
        uint32_t lanes = 0;
        if (n > len + 1 && n < len + 4 && s[len] == 'x')
            for (size_t i = len + 1; i < n; i++)
                lanes = is_digit(s[i]) ? lanes * 10 + (uint32_t)(s[i] - '0') : LO_MAX_LANES + 1;
        if (n == len || (lanes > 1 && lanes <= LO_MAX_LANES && !(lanes & (lanes - 1)))) {
            *t = (struct lo_type){(uint8_t)d, (uint16_t)(n == len ? 1 : lanes)};
            next(r);
            return true;
        }
    }
    return expected(r, "a type");
}

/* 3, %v, %v*3, 3*%v */
static bool take_term(struct reader *r, struct lo_lin *l)
{
    int64_t c = 1;
    bool number_first = r->t.token == T_INT;
    if (number_first && !take_int(r, 0, INT64_MAX, &c))
        return false;
    if (number_first && !is_sign(r, '*')) {
        *l = lo_lin_c(c);
        return true;
    }
    if (number_first)
        next(r);
    uint32_t lo = r->t.lo, hi = r->t.hi;
    lo_id v;
    if (!take_value(r, &v))
        return false;
    struct lo_type t = r->b.k->insns.p[v].type;
    if (t.dtype != NN_i64 || t.lanes != 1)
        return complain(r, lo, hi, "an index must be an i64 scalar");
    if (!number_first && is_sign(r, '*')) {
        next(r);
        if (!take_int(r, INT64_MIN, INT64_MAX, &c))
            return false;
    }
    *l = lo_lin_mul(&r->b, lo_lin_v(&r->b, v), c);
    return true;
}

static bool take_lin(struct reader *r, struct lo_lin *sum)
{
    struct lo_lin l;
    bool minus = is_sign(r, '-');
    if (minus)
        next(r);
    *sum = lo_lin_c(0);
    for (;;) {
        if (!take_term(r, &l))
            return false;
        *sum = lo_lin_add(&r->b, *sum, minus ? lo_lin_mul(&r->b, l, -1) : l);
        minus = is_sign(r, '-');
        if (!minus && !is_sign(r, '+'))
            return true;
        next(r);
    }
}

/* NAME[sum] or, if `index`, NAME[sum, %vector] */
static bool take_at(struct reader *r, uint32_t *buf, struct lo_lin *at, lo_id *index)
{
    const char *name;
    uint32_t lo = r->t.lo, hi = r->t.hi;
    if (!take_name(r, &name))
        return false;
    *buf = lo_buffer_find(r->b.k, name);
    if (!*buf)
        return complain(r, lo, hi, "no buffer is called %.100s", name);
    if (!take_sign(r, '[') || !take_lin(r, at))
        return false;
    if (index && (!take_sign(r, ',') || !take_value(r, index)))
        return false;
    return take_sign(r, ']');
}

static bool take_place(struct reader *r, struct lo_insn *in, lo_id *index)
{
    return take_at(r, &in->buf, &in->lin, index);
}

static bool take_mask(struct reader *r, lo_id *mask, lo_id *fill)
{
    if (accept(r, "mask") && !take_value(r, mask))
        return false;
    return !fill || !accept(r, "else") || take_value(r, fill);
}

/* ---- instructions ---- */

static bool take_block(struct reader *r, uint32_t block);

static bool take_operands(struct reader *r, struct lo_insn *in)
{
    for (int i = 0; r->t.token == T_VALUE; i++) {
        if (i == 3)
            return complain(r, r->t.lo, r->t.hi, "more than three operands");
        if (!take_value(r, &in->in[i]))
            return false;
    }
    return true;
}

/* An operator by its name: of ops.def, on bits, fma, splat. */
static bool find_operator(struct reader *r, struct lo_insn *in)
{
    for (int op = 0; op < IR_OP_COUNT; op++)
        if (ir_op_elementwise((enum ir_op)op) && is_word(r, ir_op_name((enum ir_op)op))) {
            in->kind = LO_OP;
            in->op = (uint8_t)op;
            return true;
        }
    for (int op = 0; op < LO_BIT_COUNT; op++)
        if (is_word(r, lo_bit_names[op])) {
            in->kind = LO_BIT;
            in->op = (uint8_t)op;
            return true;
        }
    in->kind = is_word(r, "fma") ? LO_FMA : LO_SPLAT;
    return in->kind == LO_FMA || is_word(r, "splat");
}

static bool take_random(struct reader *r, struct lo_insn *in)
{
    int64_t word = 0;
    in->kind = LO_RANDOM;
    if (!take_value(r, &in->in[0]) || !take_value(r, &in->in[1]) || !take_word(r, "stream"))
        return false;
    if (r->t.token != T_INT)
        return expected(r, "the stream's number");
    in->i = (int64_t)r->t.i;
    next(r);
    if (!take_word(r, "word") || !take_int(r, 0, 1, &word) || !take_word(r, "at"))
        return false;
    in->op = (uint8_t)word;
    return take_value(r, &in->in[2]);
}

static bool take_across(struct reader *r, struct lo_insn *in)
{
    in->kind = LO_ACROSS;
    for (int m = 0; m < IRM_COUNT; m++)
        if (accept(r, ir_monoid_name((enum ir_monoid)m))) {
            in->op = (uint8_t)m;
            return take_value(r, &in->in[0]);
        }
    return expected(r, "sum, prod, max, min, any or all");
}

static bool take_trade(struct reader *r, struct lo_insn *in)
{
    in->kind = LO_TRADE;
    in->op = accept(r, "high");
    if (!in->op && !take_word(r, "low"))
        return false;
    return take_value(r, &in->in[0]) && take_value(r, &in->in[1]) && take_word(r, "block") &&
           take_int(r, 1, LO_MAX_LANES / 2, &in->i);
}

/* ---- the GPU's ---- */

/* One of the names; `what` says in a message what they are. */
static bool take_choice(struct reader *r, const char *const *names, uint32_t count, uint8_t *choice,
                        const char *what)
{
    for (uint32_t i = 0; i < count; i++)
        if (accept(r, names[i])) {
            *choice = (uint8_t)i;
            return true;
        }
    return expected(r, what);
}

static bool take_half(struct reader *r, uint8_t *dtype)
{
    *dtype = is_word(r, "f16") ? NN_f16 : NN_bf16;
    return accept(r, "f16") || accept(r, "bf16") || expected(r, "f16 or bf16");
}

static bool take_shuffle(struct reader *r, struct lo_insn *in)
{
    in->kind = LO_SHUFFLE;
    in->op = is_word(r, "idx") ? LO_SHFL_IDX : LO_SHFL_XOR;
    if (!accept(r, "idx") && !accept(r, "xor"))
        return expected(r, "xor or idx");
    if (!take_value(r, &in->in[0]))
        return false;
    return in->op == LO_SHFL_IDX ? take_value(r, &in->in[1]) : take_int(r, 1, 31, &in->i);
}

/* Values of the GPU; *found is false if the word is none of theirs. */
static bool take_gpu_right(struct reader *r, struct lo_insn *in, bool *found)
{
    *found = true;
    if (accept(r, "shuffle"))
        return take_shuffle(r, in);
    in->kind = LO_MMA;
    if (accept(r, "mma"))
        return take_choice(r, lo_mma_names, LO_MMA_COUNT, &in->op, "a tensor core's product") &&
               take_operands(r, in);
    in->kind = LO_LDMATRIX;
    if (accept(r, "ldmatrix")) {
        in->op = accept(r, "trans");
        return take_place(r, in, NULL);
    }
    in->kind = LO_PACK;
    if (accept(r, "pack"))
        return take_half(r, &in->op) && take_operands(r, in);
    in->kind = LO_UNPACK;
    if (accept(r, "unpack"))
        return take_half(r, &in->op) && take_value(r, &in->in[0]) && take_word(r, "half") &&
               take_int(r, 0, 1, &in->i);
    in->kind = LO_APPROX;
    if (accept(r, "approx"))
        return take_choice(r, lo_approx_names, LO_APPROX_COUNT, &in->op, "a function") &&
               take_operands(r, in);
    *found = false;
    return true;
}

static bool take_gpu_effect(struct reader *r, struct lo_insn *in, bool *found)
{
    *found = true;
    in->kind = LO_BARRIER;
    if (accept(r, "barrier"))
        return true;
    in->kind = LO_COMMIT;
    if (accept(r, "commit"))
        return true;
    in->kind = LO_WAIT;
    if (accept(r, "wait"))
        return take_int(r, 0, 255, &in->i);
    in->kind = LO_COPY;
    if (accept(r, "copy")) {
        if (!take_place(r, in, NULL) || !take_at(r, &in->from, &in->hi, NULL) ||
            !take_word(r, "bytes") || !take_int(r, 4, 16, &in->i))
            return false;
        r->b.k->buffers.p[in->buf].written = true;
        return take_mask(r, &in->in[0], NULL);
    }
    *found = false;
    return true;
}

/* A constant's number is read before its type is known: `const -0.5 : f32`. */
static bool take_const(struct reader *r, struct lo_insn *in)
{
    struct lexeme before = r->t, after;
    in->kind = LO_CONST;
    if (!take_float(r, &in->f) || !take_sign(r, ':') || !take_type(r, &in->type))
        return false;
    if (nn_is_float(in->type.dtype)) {
        in->f = lo_num_f(in->type.dtype, lo_num_from_f(in->type.dtype, in->f));
        return true;
    }
    int64_t least[] = {INT64_MIN, INT32_MIN, INT8_MIN, 0, 0};
    int64_t most[] = {INT64_MAX, INT32_MAX, INT8_MAX, UINT8_MAX, 1};
    in->f = 0;
    int d = in->type.dtype - NN_i64;
    after = r->t;
    r->t = before; /* back to the number */
    if (!take_int(r, least[d], most[d], &in->i))
        return false;
    r->t = after;
    return true;
}

/* What stands right of `=`, up to its type. */
static bool take_right(struct reader *r, struct lo_insn *in)
{
    if (find_operator(r, in)) {
        next(r);
        return take_operands(r, in);
    }
    if (accept(r, "lanes")) {
        in->kind = LO_LANES;
        return take_lin(r, &in->lin);
    }
    if (accept(r, "lin")) {
        in->kind = LO_LIN;
        return take_lin(r, &in->lin);
    }
    in->kind = LO_LOAD;
    if (accept(r, "load"))
        return take_place(r, in, NULL) && take_mask(r, &in->in[0], &in->in[1]);
    if (accept(r, "gather"))
        return take_place(r, in, &in->in[2]) && take_mask(r, &in->in[0], &in->in[1]);
    in->kind = LO_GET;
    if (accept(r, "get"))
        return take_place(r, in, NULL);
    if (accept(r, "across"))
        return take_across(r, in);
    if (accept(r, "random"))
        return take_random(r, in);
    if (accept(r, "trade"))
        return take_trade(r, in);
    bool found;
    if (!take_gpu_right(r, in, &found) || found)
        return found && !r->failed;
    in->kind = LO_EXTRACT;
    if (accept(r, "extract"))
        return take_value(r, &in->in[0]) && take_sign(r, '[') &&
               take_int(r, 0, LO_MAX_LANES - 1, &in->i) && take_sign(r, ']');
    return expected(r, "an operator");
}

static bool take_for(struct reader *r, struct lo_insn *in, const char **name)
{
    in->kind = LO_FOR;
    in->type = LO_I64;
    in->step = 1;
    if (!take_definition(r, name) || !take_sign(r, '=') || !take_lin(r, &in->lin))
        return false;
    if (r->t.token != T_DOTS)
        return expected(r, "`..`");
    next(r);
    if (!take_lin(r, &in->hi))
        return false;
    if (accept(r, "step") && !take_int(r, 1, INT64_MAX, &in->step))
        return false;
    for (int how = LO_UNROLL; how <= LO_UNROLL; how++)
        if (accept(r, lo_loop_names[how])) {
            in->op = (uint8_t)how;
            break;
        }
    return true;
}

static bool take_trap(struct reader *r, struct lo_insn *in)
{
    in->kind = LO_TRAP;
    return take_value(r, &in->in[0]) && take_word(r, "code") && take_int(r, 1, INT32_MAX, &in->i) &&
           take_word(r, "value") && take_value(r, &in->in[1]);
}

/* Instructions without a value, and loops. */
static bool take_effect(struct reader *r, struct lo_insn *in, const char **name)
{
    if (accept(r, "for"))
        return take_for(r, in, name);
    in->kind = LO_IF;
    if (accept(r, "if"))
        return take_value(r, &in->in[0]);
    if (accept(r, "trap"))
        return take_trap(r, in);
    bool found;
    if (!take_gpu_effect(r, in, &found) || found)
        return found && !r->failed;
    bool scatter = is_word(r, "scatter"), set = is_word(r, "set");
    if (!scatter && !set && !is_word(r, "store"))
        return expected(r, "an instruction");
    next(r);
    in->kind = set ? LO_SET : LO_STORE;
    if (!take_place(r, in, scatter ? &in->in[2] : NULL) || !take_value(r, &in->in[0]))
        return false;
    in->type = r->b.k->insns.p[in->in[0]].type;
    if (set)
        return true;
    r->b.k->buffers.p[in->buf].written = true;
    return take_mask(r, &in->in[1], NULL);
}

static bool take_blocks(struct reader *r, lo_id id, const char *variable)
{
    bool is_if = r->b.k->insns.p[id].kind == LO_IF;
    uint32_t body = lo_block_new(r->b.k), names = r->bound.n;
    r->b.k->insns.p[id].body = body;
    if (variable)
        define(r, variable, id);
    if (!take_block(r, body))
        return false;
    forget(r, names);
    if (!is_if || !accept(r, "else"))
        return true;
    uint32_t other = lo_block_new(r->b.k);
    r->b.k->insns.p[id].other = other;
    return take_block(r, other);
}

static bool take_insn(struct reader *r)
{
    struct lo_insn in = {0};
    const char *name = NULL;
    uint32_t lo = r->t.lo, hi;
    int64_t origin = 0;
    char words[LO_WORDS];
    bool value = r->t.token == T_VALUE;
    if (value && (!take_definition(r, &name) || !take_sign(r, '=')))
        return false;
    if (value && accept(r, "const")) {
        if (!take_const(r, &in))
            return false;
    } else if (value) {
        if (!take_right(r, &in) || !take_sign(r, ':') || !take_type(r, &in.type))
            return false;
    } else if (!take_effect(r, &in, &name)) {
        return false;
    }
    hi = r->end;
    if (is_sign(r, '@')) {
        next(r);
        if (!take_int(r, 0, UINT32_MAX, &origin))
            return false;
    }
    r->b.origin = (uint32_t)origin;
    lo_id id = lo_append(&r->b, in);
    if (lo_check_insn(r->b.k, id, words))
        return complain(r, lo, hi, "%s", words);
    if (in.kind == LO_FOR || in.kind == LO_IF)
        return take_blocks(r, id, name);
    if (name)
        define(r, name, id);
    return true;
}

static bool take_block(struct reader *r, uint32_t block)
{
    uint32_t names = r->bound.n;
    if (!take_sign(r, '{'))
        return false;
    if (r->b.depth == LO_MAX_DEPTH)
        return complain(r, r->t.lo, r->t.hi, "blocks nest more than %d deep", LO_MAX_DEPTH);
    lo_open(&r->b, block);
    while (!is_sign(r, '}'))
        if (!take_insn(r))
            return false;
    next(r);
    lo_end(&r->b);
    forget(r, names);
    return true;
}

/* ---- the kernel ---- */

static bool take_buffer(struct reader *r, enum lo_space space)
{
    const char *name;
    struct lo_type t;
    int64_t count;
    uint32_t lo = r->t.lo, hi = r->t.hi;
    if (!take_name(r, &name) || !take_type(r, &t) || !take_sign(r, '[') ||
        !take_int(r, 0, LO_MAX_COUNT, &count) || !take_sign(r, ']'))
        return false;
    if (lo_buffer_find(r->b.k, name))
        return complain(r, lo, hi, "two buffers are called %.100s", name);
    struct lo_buffer b = {name, space, t, count, false};
    if (lo_check_buffer(&b))
        return complain(r, lo, hi, "%s", lo_check_buffer(&b));
    lo_buffer(r->b.k, space, name, t, count);
    return true;
}

static bool take_buffers(struct reader *r)
{
    const char *name;
    if (!take_word(r, "kernel") || !take_name(r, &name) || !take_sign(r, '('))
        return false;
    r->b.k->name = arena_strndup(r->b.k->mem, name, strlen(name));
    while (!is_sign(r, ')')) {
        if (r->b.k->buffers.n > 1 && !take_sign(r, ','))
            return false;
        if (!take_buffer(r, LO_ARG))
            return false;
    }
    next(r);
    for (int space = LO_SCRATCH; space <= LO_REG;) {
        if (!accept(r, lo_space_names[space]))
            space++;
        else if (!take_buffer(r, (enum lo_space)space))
            return false;
        else
            space = LO_SCRATCH;
    }
    if (!accept(r, "work"))
        return true;
    return take_word(r, "flops") && take_float(r, &r->b.k->flops) && take_word(r, "bytes") &&
           take_float(r, &r->b.k->bytes);
}

static bool take_phase(struct reader *r)
{
    int64_t chunks, threads = 0;
    const char *name, *thread = NULL;
    if (!take_word(r, "phase") || !take_int(r, 0, INT32_MAX, &chunks) || !take_definition(r, &name))
        return false;
    if (accept(r, "threads") &&
        (!take_int(r, 1, LO_MAX_THREADS, &threads) || !take_definition(r, &thread)))
        return false;
    r->b.origin = 0;
    define(r, name, lo_phase_gpu(&r->b, chunks, (int32_t)threads));
    if (thread)
        define(r, thread, lo_thread(&r->b));
    uint32_t body = r->b.block;
    lo_end(&r->b);
    if (!take_block(r, body))
        return false;
    forget(r, 0);
    return true;
}

struct lo_kernel *lo_read(struct diag *d, uint32_t file)
{
    struct reader r = {.d = d, .file = file, .names = intern_new()};
    size_t size;
    r.text = diag_file_text(d, file, &size);
    r.size = size > UINT32_MAX - 2 ? UINT32_MAX - 2 : (uint32_t)size;
    r.b.k = lo_kernel_new("");
    next(&r);
    bool ok = take_buffers(&r);
    while (ok && r.t.token != T_END)
        ok = take_phase(&r);
    char *wrong = ok ? lo_verify(r.b.k) : NULL;
    if (wrong)
        complain(&r, 0, 0, "%s", wrong);
    free(wrong);
    if (r.failed) {
        lo_kernel_free(r.b.k);
        r.b.k = NULL;
    }
    intern_free(r.names);
    vec_free(&r.bound);
    return r.b.k;
}
