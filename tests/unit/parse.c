/* The grammar on every .nn file of the tree: what parses prints and parses again to the same text;
 * and on thousands of damaged copies of them: a report or a tree, never a crash or a hang. */
#include "front/tree.h"
#include "test.h"
#include <glob.h>

static uint64_t rng = 0x9E3779B97F4A7C15u;

static uint32_t below(size_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return n ? (uint32_t)((rng >> 16) % n) : 0;
}

/* Parses; the printed tree, or NULL after reports, which go to *messages. Heap memory. */
static char *parsed(const char *text, size_t size, char **messages)
{
    struct diag *d = diag_new();
    struct intern *names = intern_new();
    struct arena *mem = arena_new();
    uint32_t file = diag_add_file(d, "a.nn", text, size);
    struct tree_file *t = front_parse(d, file, names, mem);
    size_t n = 0;
    FILE *out = open_memstream(messages, &n);
    test((t == NULL) == (diag_errors(d) > 0));
    diag_print(d, out);
    fclose(out);
    struct text s = {0};
    text_write(&s, "", 0);
    if (t)
        tree_print(t, &s);
    else
        text_free(&s);
    arena_free(mem);
    intern_free(names);
    diag_free(d);
    return s.p;
}

static void round_trip(const char *text, size_t size)
{
    char *messages, *more;
    char *once = parsed(text, size, &messages);
    if (once) {
        char *twice = parsed(once, strlen(once), &more);
        test_text(twice, once);
        free(twice);
        free(more);
    }
    free(once);
    free(messages);
}

struct source {
    char *text;
    size_t size;
};

/* One to four damages: a byte changed, a run dropped, a run of another file put in, an end cut off.
 */
static char *damaged(const struct source *a, const struct source *b, size_t *size)
{
    char *t = xmalloc(a->size + 4 * 64 + 1);
    size_t n = a->size;
    memcpy(t, a->text, n);
    for (uint32_t k = 1 + below(4); k; k--) {
        uint32_t at = below(n), len = 1 + below(40);
        switch (below(4)) {
        case 0:
            if (n)
                t[at] = below(3) ? "(){}[]:,=.#\";\n"[below(14)] : (char)below(256);
            break;
        case 1:
            len = len > n - at ? (uint32_t)(n - at) : len;
            memmove(t + at, t + at + len, n - at - len);
            n -= len;
            break;
        case 2:
            len = len > b->size ? (uint32_t)b->size : len;
            memmove(t + at + len, t + at, n - at);
            memcpy(t + at, b->text + below(b->size - len + 1), len);
            n += len;
            break;
        case 3: n = below(8) ? n : at; break;
        }
    }
    *size = n;
    return t;
}

static void repeated(const char *head, const char *unit, const char *tail, int times)
{
    struct text t = {0};
    text_printf(&t, "%s", head);
    for (int i = 0; i < times; i++)
        text_printf(&t, "%s", unit);
    text_printf(&t, "%s", tail);
    round_trip(t.p, t.n);
    text_free(&t);
}

static void extremes(void)
{
    static const char *const unit[] = {"(",
                                       "[",
                                       "{",
                                       "-",
                                       "not ",
                                       "2**",
                                       "1+",
                                       "x.",
                                       "x(",
                                       "x[",
                                       "{ if x ",
                                       "if x {\n",
                                       "else if x {} ",
                                       "[i: ",
                                       "f(a=",
                                       "\n",
                                       "\"",
                                       "#",
                                       ")",
                                       "]",
                                       "}",
                                       "fn f(",
                                       "##\n",
                                       "a, ",
                                       "a = b\n",
                                       ";",
                                       "\\"};
    for (size_t i = 0; i < COUNT(unit); i++)
        for (int times = 150; times <= 20000; times *= 20) {
            repeated("const x = ", unit[i], "1", times);
            repeated("fn f(x: T) -> T { y = ", unit[i], "x\n", times);
            repeated("fn f(x: T) -> T {\n", unit[i], "\n}\n", times);
            repeated("", unit[i], "", times);
        }
}

static void must_refuse(const char *text, const char *wanted)
{
    char *messages;
    test(parsed(text, strlen(text), &messages) == NULL);
    test_text(messages, wanted);
    free(messages);
}

int main(void)
{
    static const char *const pattern[] = {TEST_SOURCE "/stdlib/*.nn", TEST_SOURCE "/stdlib/*/*.nn",
                                          TEST_SOURCE "/examples/*/*.nn",
                                          TEST_SOURCE "/tests/*/*.nn"};
    glob_t g = {0};
    VEC(struct source) files = {0};
    for (size_t i = 0; i < COUNT(pattern); i++)
        glob(pattern[i], i ? GLOB_APPEND : 0, NULL, &g);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        struct source s;
        s.text = file_read(g.gl_pathv[i], TREE_MAX_SOURCE, &s.size);
        test(s.text != NULL);
        round_trip(s.text, s.size);
        vec_push(&files, s);
    }
    test(files.n > 0);
    for (uint32_t i = 0; i < 4000; i++) {
        size_t size;
        char *t = damaged(&files.p[below(files.n)], &files.p[below(files.n)], &size);
        round_trip(t, size);
        free(t);
    }
    extremes();
    must_refuse("const a = 1 $ 2\n", "a.nn:1:13: error: `$` is no part of the language\n"
                                     "    1 | const a = 1 $ 2\n"
                                     "      |             ^\n");
    for (uint32_t i = 0; i < files.n; i++)
        free(files.p[i].text);
    vec_free(&files);
    globfree(&g);
    return test_done();
}
