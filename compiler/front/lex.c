/* Between the words of grammar/nn.l and the grammar: where a statement ends, and which bracket
 * closes what. A statement ends at `;` or at the end of a line, but not inside ( and [, after an
 * operator or a comma, or before a line that starts with no word or with `and or else gradient`.
 *
 * Brackets are balanced here, so that the parser never meets one that is missing: the missing one
 * is reported at the bracket that wants it, and put in where the text shows that it should have
 * been: before a declaration in column one, before a `}`, before a line that begins a statement.
 * That keeps the mistakes of one run independent of each other. */
#include "front/parser.h"
#include "nn.tab.h"

static bool among(int kind, const int *set, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (set[i] == kind)
            return true;
    return false;
}
#define AMONG(kind, set) among(kind, set, COUNT(set))

/* Words of which none goes on with the line before, as `and or else gradient` do. */
static const int words[] = {NN_NAME,  NN_USE,    NN_AS,        NN_CONST,   NN_EXPORT,     NN_FN,
                            NN_LAYER, NN_MODEL,  NN_OPTIMIZER, NN_DATASET, NN_TRAIN,      NN_ON,
                            NN_FROM,  NN_METRIC, NN_PARAM,     NN_STATE,   NN_RETURN,     NN_YIELD,
                            NN_IF,    NN_FOR,    NN_IN,        NN_SCAN,    NN_CHECKPOINT, NN_NOT,
                            NN_TRUE,  NN_FALSE};
/* Words that stand nowhere but at the start of a statement. */
static const int statement_words[] = {NN_PARAM, NN_STATE, NN_METRIC,    NN_RETURN,
                                      NN_YIELD, NN_IF,    NN_CHECKPOINT};
static const int declaration_words[] = {NN_USE,   NN_CONST,     NN_EXPORT,  NN_FN,   NN_LAYER,
                                        NN_MODEL, NN_OPTIMIZER, NN_DATASET, NN_TRAIN};
/* Operators, commas and opening brackets: the end of the line after them means nothing. */
static const int unfinished[] = {'=',         ',',     ':',      '.',        '{',
                                 '(',         '[',     NN_PIPE,  NN_COMPARE, NN_ARROW,
                                 NN_ELLIPSIS, NN_DOTS, NN_POWER, NN_PLUS,    NN_MINUS,
                                 NN_TIMES,    NN_AND,  NN_OR,    NN_NOT};

static uint32_t column(const struct nn_parser *p, uint32_t offset)
{
    uint32_t lo = offset;
    while (lo && p->text[lo - 1] != '\n')
        lo--;
    return offset - lo;
}

static struct nn_open *top(struct nn_parser *p)
{
    return p->open_count ? &p->open[p->open_count - 1] : NULL;
}

static bool inside_round(struct nn_parser *p) { return top(p) && top(p)->kind != '{'; }

static uint32_t open_braces(const struct nn_parser *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->open_count; i++)
        n += p->open[i].kind == '{';
    return n;
}

void nn_recover(struct nn_parser *p)
{
    if (!p->recovering) /* the brackets open in front of the token that was wrong */
        p->recover_braces = open_braces(p) - (p->now.kind == '{') + (p->now.kind == '}');
    p->recovering = true;
}

void nn_resync(struct nn_parser *p) { p->recovering = false; }

static int closer(int open) { return open == '(' ? ')' : open == '[' ? ']' : '}'; }

static void put(struct nn_parser *p, struct nn_token t)
{
    CHECK(p->queue_tail < COUNT(p->queue), "the lexer's queue is full");
    p->queue[p->queue_tail++] = t;
    p->last = t.kind;
    p->last_hi = t.at.hi;
}

/* A token that the text does not show, right behind what stands before it. */
static void put_made(struct nn_parser *p, int kind, bool repairs)
{
    struct loc at = {p->file, p->last_hi, p->last_hi};
    put(p, (struct nn_token){.kind = kind, .at = at, .made = repairs});
}

/* The end of a statement. While the parser skips the rest of a bad one, the ends within its blocks
 * are none. */
static void put_end(struct nn_parser *p)
{
    if (p->last == NN_END || p->last == '{' || p->last == 0)
        return;
    if (p->recovering && open_braces(p) > p->recover_braces)
        return;
    put_made(p, NN_END, false);
}

static void never_closed(struct nn_parser *p, const struct nn_open *o, struct loc before)
{
    nn_mistake(p, o->at, "this `%c` is never closed", o->kind);
    if (o->misfit.file) {
        nn_note(p, o->misfit, "this `}` closes a block that is indented otherwise");
    } else if (before.lo < p->size) {
        nn_note(p, before, "`%c` is missing before this", closer(o->kind));
    }
}

/* Closes the innermost bracket, which the text forgot. */
static void close_forgotten(struct nn_parser *p, struct loc before)
{
    struct nn_open o = *top(p);
    if (!p->recovering || o.kind == '{')
        never_closed(p, &o, before);
    if (o.kind == '{')
        put_end(p);
    put_made(p, closer(o.kind), true);
    p->open_count--;
}

static void close_round(struct nn_parser *p, struct loc before)
{
    while (inside_round(p))
        close_forgotten(p, before);
}

/* A keyword of a declaration in column one with a word behind it (`optimizer = …` is none). */
static bool starts_declaration(const struct nn_parser *p, const struct nn_token *t)
{
    if (!t->line_start || !AMONG(t->kind, declaration_words) || column(p, t->at.lo) != 0)
        return false;
    const char *s = p->text + t->at.hi;
    while (*s == ' ' || *s == '\t')
        s++;
    return (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || *s == '_';
}

/* Inside ( or [: does this line begin a statement, so that the bracket was forgotten? A word that
 * goes on with a list stands further right than the line that opened it, or behind a comma. */
static bool starts_statement(struct nn_parser *p, const struct nn_token *t)
{
    if (!t->line_start)
        return false;
    if (AMONG(t->kind, statement_words))
        return true;
    if (t->kind == NN_FOR && top(p)->kind == '[' && !p->recovering)
        return false; /* [value for name in list] */
    if (t->kind != NN_NAME && t->kind != NN_FOR && t->kind != NN_OPTIMIZER)
        return false;
    if (AMONG(p->last, unfinished) && !p->recovering)
        return false;
    uint32_t i = p->open_count;
    while (i && p->open[i - 1].kind != '{')
        i--;
    return column(p, t->at.lo) <= p->open[i].indent;
}

static void push_open(struct nn_parser *p, const struct nn_token *t)
{
    if (p->open_count == PARSE_MAX_OPEN) {
        if (!p->give_up)
            nn_mistake(p, t->at, "more than %d brackets in each other", PARSE_MAX_OPEN);
        p->give_up = true;
        return;
    }
    p->open[p->open_count++] = (struct nn_open){t->kind, t->at, p->indent, {0}};
}

/* ) or ]. False: the token closes nothing and is dropped. */
static bool close_paren(struct nn_parser *p, struct nn_token *t)
{
    if (!inside_round(p)) {
        if (!p->recovering)
            nn_mistake(p, t->at, "this `%c` closes nothing", t->kind);
        return false;
    }
    if (closer(top(p)->kind) != t->kind) {
        bool below = p->open_count > 1 && closer(p->open[p->open_count - 2].kind) == t->kind;
        if (below) {
            close_forgotten(p, t->at);
        } else {
            if (!p->recovering) {
                nn_mistake(p, t->at, "`%c` is wanted here, not `%c`", closer(top(p)->kind),
                           t->kind);
                nn_note(p, top(p)->at, "it closes this one");
            }
            t->kind = closer(top(p)->kind);
        }
    }
    p->open_count--;
    return true;
}

static bool close_brace(struct nn_parser *p, struct nn_token *t)
{
    close_round(p, t->at);
    if (!top(p)) {
        nn_mistake(p, t->at, "this `}` closes nothing");
        return false;
    }
    put_end(p);
    struct nn_open o = *top(p);
    p->open_count--;
    if (top(p) && t->line_start && column(p, t->at.lo) != o.indent && !top(p)->misfit.file)
        top(p)->misfit = t->at;
    else if (top(p) && o.misfit.file && !top(p)->misfit.file)
        top(p)->misfit = o.misfit;
    return true;
}

/* What has to go out before this token: forgotten brackets, the end of the line before. */
static void before_token(struct nn_parser *p, const struct nn_token *t)
{
    if (t->line_start)
        p->indent = column(p, t->at.lo);
    if (t->kind == NN_YYEOF || starts_declaration(p, t)) {
        while (top(p))
            close_forgotten(p, t->at);
        put_end(p);
        nn_resync(p);
    } else if (inside_round(p)) {
        if (t->kind == '{' || t->kind == NN_END || starts_statement(p, t)) {
            close_round(p, t->at);
            if (t->kind != '{')
                put_end(p);
        }
    } else if (t->line_start && AMONG(t->kind, words) && !AMONG(p->last, unfinished)) {
        put_end(p);
    }
}

static void next(struct nn_parser *p)
{
    struct nn_token t = nn_scan_token(p);
    if (p->give_up)
        t.kind = NN_YYEOF;
    before_token(p, &t);
    switch (t.kind) {
    case '(':
    case '[':
    case '{':
        push_open(p, &t);
        put(p, t);
        return;
    case ')':
    case ']':
        if (close_paren(p, &t))
            put(p, t);
        return;
    case '}':
        if (close_brace(p, &t))
            put(p, t);
        return;
    case NN_END: put_end(p); return;
    default: put(p, t); return;
    }
}

int nn_lex(union nn_value *value, struct loc *at, struct nn_parser *p)
{
    if (p->queue_head == p->queue_tail) {
        p->queue_head = p->queue_tail = 0;
        while (!p->queue_tail)
            next(p);
    }
    p->earlier = p->before;
    p->before = p->now;
    p->now = p->queue[p->queue_head++];
    if (p->now.kind == NN_NN_error)
        nn_recover(p);
    *value = p->now.value;
    *at = p->now.at;
    return p->now.kind;
}
