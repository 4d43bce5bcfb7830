/* base: text of doubles, interned strings, nearest names, diagnostics with carets. */
#include "test.h"

static void carets(void)
{
    struct diag *d = diag_new();
    uint32_t f = diag_add_file(d, "a.nn", "one\ntwo three\n", 14);
    diag_error(d, ((struct loc){f, 8, 13}), "bad %s", "word");
    diag_label(d, "here");
    diag_note(d, ((struct loc){f, 0, 3}), "from here");
    diag_error(d, ((struct loc){f, 4, 7}), "earlier");
    char *p = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&p, &n);
    diag_print(d, out);
    fclose(out);
    test_text(p, "a.nn:2:1: error: earlier\n    2 | two three\n      | ^~~\n"
                 "a.nn:2:5: error: bad word\n    2 | two three\n      |     ^~~~~ here\n"
                 "a.nn:1:1: note: from here\n    1 | one\n      | ^~~\n");
    test(diag_errors(d) == 2);
    free(p);
    diag_free(d);
}

int main(void)
{
    struct text t = {0};
    text_double(&t, 0.1);
    text_double(&t, 1.0 / 3);
    test_text(t.p, "0.10.3333333333333333");
    text_free(&t);

    struct intern *names = intern_new();
    test(intern(names, "abc") == intern_n(names, "abcd", 3));
    test(intern(names, "abc") != intern(names, "abd"));
    intern_free(names);

    const char *const words[] = {"epochs", "batch", "optimizer"};
    test_text(nearest_name("epoch", words, 3), "epochs");
    test(!nearest_name("zzz", words, 3));
    carets();
    return test_done();
}
