/* front_parse, and the wording of what the parser did not expect: the tokens that would do are put
 * in classes (a value, a type, a statement) and common slips of the hand get a hint of their own.
 */
#include "front/parser.h"
#include "nn.tab.h"

struct tree_file *front_parse(struct diag *d, uint32_t file, struct intern *names,
                              struct arena *mem)
{
    size_t size;
    const char *text = diag_file_text(d, file, &size);
    if (size > TREE_MAX_SOURCE) {
        diag_error(d, ((struct loc){file, 0, 0}), "the file is larger than %u MiB",
                   TREE_MAX_SOURCE >> 20);
        return NULL;
    }
    struct nn_parser *p = xcalloc(1, sizeof *p);
    p->diag = d;
    p->names = names;
    p->mem = mem;
    p->tree = ARENA_NEW(mem, struct tree_file);
    p->tree->file = p->file = file;
    p->text = text;
    p->size = (uint32_t)size;
    nn_scan_open(p);
    nn_parse(p);
    nn_scan_close(p);
    struct tree_file *tree = p->errors ? NULL : p->tree;
    free(p);
    return tree;
}

void nn_mistake(struct nn_parser *p, struct loc at, const char *fmt, ...)
{
    char message[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (p->give_up)
        return;
    if (p->errors++ == PARSE_MAX_ERRORS) {
        diag_error(p->diag, at, "too many mistakes, the rest of the file is not looked at");
        p->give_up = true;
        return;
    }
    diag_error(p->diag, at, "%s", message);
}

void nn_note(struct nn_parser *p, struct loc at, const char *fmt, ...)
{
    char message[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (!p->give_up)
        diag_note(p->diag, at, "%s", message);
}

/* Bison's own reports: its stack is full. */
void nn_error(const struct loc *at, struct nn_parser *p, const char *message)
{
    (void)message;
    nn_mistake(p, *at, "too many parts in each other: name some of them");
}

/* ---- the expected tokens, by class ---- */

struct expected {
    const int *kind;
    int n;
};

static bool has(const struct expected *e, int kind)
{
    for (int i = 0; i < e->n; i++)
        if (e->kind[i] == kind)
            return true;
    return false;
}

static bool begins_value(int kind)
{
    static const int set[] = {NN_INT,  NN_FLOAT, NN_STRING, NN_TRUE, NN_FALSE,
                              NN_NAME, NN_NOT,   NN_MINUS,  '(',     '['};
    for (size_t i = 0; i < COUNT(set); i++)
        if (set[i] == kind)
            return true;
    return false;
}

/* Could stand there after any value, so naming it helps nobody. */
static bool goes_on(int kind)
{
    static const int set[] = {NN_PIPE,  NN_OR,    NN_AND,   NN_COMPARE, NN_DOTS, NN_PLUS,
                              NN_MINUS, NN_TIMES, NN_POWER, '.',        '(',     '['};
    for (size_t i = 0; i < COUNT(set); i++)
        if (set[i] == kind)
            return true;
    return false;
}

struct words {
    const char *word[8];
    size_t n;
};

static void add_word(struct words *w, const char *word)
{
    if (w->n < COUNT(w->word))
        w->word[w->n++] = word;
}

static void print_words(const struct words *w, struct text *t)
{
    for (size_t i = 0; i < w->n; i++)
        text_printf(t, "%s%s", i == 0 ? "" : i + 1 < w->n ? ", " : " or ", w->word[i]);
}

static void list_expected(const struct expected *e, struct words *t)
{
    bool value = has(e, NN_INT), statement = has(e, NN_PARAM), declaration = has(e, NN_USE);
    bool type = !value && has(e, NN_FN) && has(e, '[') && !declaration;
    if (declaration)
        add_word(t, "a declaration");
    else if (statement)
        add_word(t, "a statement");
    else if (value)
        add_word(t, "a value");
    else if (type)
        add_word(t, "a type");
    else if (has(e, NN_NAME))
        add_word(t, "a name");
    if (has(e, ',') && !declaration && !statement)
        add_word(t, nn_token_text(','));
    for (int i = 0; i < e->n && !declaration && !statement; i++) {
        int k = e->kind[i];
        if (k == NN_END || k == NN_NAME || k == ',' || (value && begins_value(k)) || goes_on(k) ||
            (type && (k == NN_FN || k == NN_LAYER)))
            continue;
        if (k == NN_YYEOF || k == NN_NN_error || k == NN_NN_UNDEF)
            continue;
        add_word(t, nn_token_text(k));
    }
    if (e->n == 1 && goes_on(e->kind[0]))
        add_word(t, nn_token_text(e->kind[0]));
    if (has(e, '(') && !t->n)
        add_word(t, nn_token_text('('));
    if (has(e, NN_END) && !statement && !declaration)
        add_word(t, "the end of the statement");
}

/* ---- hints ---- */

/* Words that other languages have. */
static const struct {
    const char *word, *hint;
} foreign[] = {
    {"def", "a function is written `fn name(x: T[n]) -> T[n] { … }`"},
    {"func", "a function is written `fn name(x: T[n]) -> T[n] { … }`"},
    {"function", "a function is written `fn name(x: T[n]) -> T[n] { … }`"},
    {"class", "a layer is written `layer Name(width: int)(x: T[n, k]) { … }`"},
    {"import", "a module is used by `use name`"},
    {"include", "a module is used by `use name`"},
    {"let", "a name is bound by `x = …` alone"},
    {"var", "a name is bound by `x = …` alone"},
    {"elif", "write `else if`"},
    {"while", "there is `for i in 0..n { … }` only: the compiler unrolls it"},
    {"lambda", "functions are declared: `fn name(x: T[n]) -> T[n] = …`"},
    {"assert", "what must hold for a shape is said in the signature"},
    {"input", "a model's inputs stand in its signature"},
};

static const char *foreign_hint(const struct nn_token *t)
{
    if (t->kind == NN_NAME)
        for (size_t i = 0; i < COUNT(foreign); i++)
            if (!strcmp(foreign[i].word, t->value.name.s))
                return foreign[i].hint;
    return NULL;
}

static bool is_keyword(const struct nn_parser *p, const struct nn_token *t)
{
    char c = p->text[t->at.lo];
    return t->at.lo < t->at.hi && c >= 'a' && c <= 'z' && t->kind != NN_NAME;
}

/* What is probably meant; NULL: no idea. Written for the commonest slips, the rest gets the list.
 */
static const char *hint(const struct nn_parser *p, const struct expected *e)
{
    int now = p->now.kind;
    const char *word = foreign_hint(&p->before);
    bool after_value = has(e, NN_AND), at_binding = has(e, '=') && has(e, ':') && has(e, '[');
    if (word && p->before.line_start)
        return word;
    if ((word = foreign_hint(&p->now)) && (p->now.line_start || at_binding))
        return word;
    if (now == '=' && has(e, NN_COMPARE))
        return "`=` binds a name; a comparison is written `==`";
    if (now == NN_COMPARE && after_value)
        return "comparisons do not chain: write `a < b and b < c`";
    if (now == NN_IF && after_value)
        return "there is no `a if c else b`: write `where(c, a, b)`";
    if (now == NN_ELSE)
        return "this `else` belongs to no `if`";
    if (now == '=' && e->n == 1 && e->kind[0] == ':')
        return "a parameter needs its type: `param weight: f32[n, k] = …`";
    if (now == ':' && has(e, '{'))
        return "a block stands in braces: `{ … }`";
    if (now == ':' && has(e, NN_FROM))
        return "here the field has its type already: `image from …`";
    if (at_binding && (goes_on(now) || now == NN_END))
        return "a statement binds a name, `y = …`: a value alone does nothing";
    if (has(e, NN_USE) && now == NN_NAME)
        return "only declarations stand here: a constant is written `const n = …`";
    if (has(e, NN_PARAM) && (begins_value(now) || now == NN_ELLIPSIS))
        return "a statement starts with a word: `y = …`, `return …`";
    return NULL;
}

/* `name =` where no statement may begin: the mistake lies before. False: something else. */
static bool wrong_before_binding(struct nn_parser *p)
{
    const struct nn_token *name = &p->before, *end = &p->earlier;
    if (p->now.kind != '=' || !name->line_start)
        return false;
    if (is_keyword(p, name))
        nn_mistake(p, name->at, "`%.*s` is a reserved word: choose another name",
                   (int)(name->at.hi - name->at.lo), p->text + name->at.lo);
    else if (name->kind == NN_NAME && end->kind != NN_END && end->kind != '{' &&
             end->at.hi > end->at.lo) {
        nn_mistake(p, end->at, "this `%.*s` goes on with its statement in the next line",
                   (int)(end->at.hi - end->at.lo), p->text + end->at.lo);
        nn_note(p, name->at, "which begins a statement of its own");
    } else
        return false;
    return true;
}

static void describe(const struct nn_parser *p, const struct expected *e, struct text *out)
{
    const struct nn_token *t = &p->now;
    if (t->kind == NN_END)
        text_printf(out, "the statement ends here");
    else if (t->kind == NN_YYEOF)
        text_printf(out, "the file ends here");
    else if (is_keyword(p, t) && has(e, NN_NAME))
        text_printf(out, "`%.*s` is a reserved word", (int)(t->at.hi - t->at.lo),
                    p->text + t->at.lo);
    else
        text_printf(out, "`%.*s` cannot stand here",
                    (int)(t->at.hi - t->at.lo > 40 ? 40 : t->at.hi - t->at.lo), p->text + t->at.lo);
}

void nn_unexpected(struct nn_parser *p, const int *kinds, int n)
{
    struct expected e = {kinds, n < 0 ? 0 : n};
    struct text found = {0}, wanted = {0};
    struct words list = {.n = 0};
    if (!p->now.made) { /* else: the forgotten bracket before it has been reported */
        const char *why = hint(p, &e);
        describe(p, &e, &found);
        list_expected(&e, &list);
        print_words(&list, &wanted);
        if (wrong_before_binding(p))
            ;
        else if (why)
            nn_mistake(p, p->now.at, "%s", why);
        else if (wanted.n)
            nn_mistake(p, p->now.at, "%s; expected: %s", found.p, wanted.p);
        else
            nn_mistake(p, p->now.at, "%s", found.p);
    }
    nn_recover(p);
    text_free(&found);
    text_free(&wanted);
}
