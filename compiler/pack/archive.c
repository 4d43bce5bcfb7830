/* A static library in the common `ar` format, GNU variant: a magic line, then members behind
 * 60-byte headers of text, padded to even places. The first member `/` is the index: how many
 * symbols, where the member of each begins (32 bits, big-endian), their names. The member `//`
 * holds names that are longer than 15 bytes; `/N` refers to byte N of it. */
#include "pack/pack.h"

enum { HEADER = 60, SHORT = 15 };

static void header(struct text *out, const char *name, size_t size, bool times)
{
    char h[HEADER + 16];
    snprintf(h, sizeof h, "%-16s%-12s%-6s%-6s%-8s%-10zu`\n", name, times ? "0" : "",
             times ? "0" : "", times ? "0" : "", times ? "100644" : "", size);
    text_write(out, h, HEADER);
}

static void big_endian(struct text *out, uint64_t v)
{
    CHECK(v <= UINT32_MAX, "pack: the library is too large for its format");
    char b[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    text_write(out, b, 4);
}

static size_t even(size_t n) { return n + n % 2; }

static void member(struct text *out, const char *p, size_t n)
{
    text_write(out, p, n);
    if (n % 2)
        text_write(out, "\n", 1);
}

/* Names as the headers have them: `name/`, or `/N` with the name added to `longer`. */
static void member_name(const char *name, struct text *longer, char *out, size_t size)
{
    if (strlen(name) <= SHORT) {
        snprintf(out, size, "%s/", name);
        return;
    }
    snprintf(out, size, "/%zu", longer->n);
    text_printf(longer, "%s/\n", name);
}

void pack_archive(const struct pack_file *file, size_t n, struct text *out)
{
    struct text names = {0}, longer = {0}, index = {0};
    size_t symbols = 0;
    char(*name)[SHORT + 2] = xcalloc(n ? n : 1, sizeof *name);
    for (size_t i = 0; i < n; i++) {
        member_name(file[i].name, &longer, name[i], sizeof name[i]);
        for (size_t k = 0; k < file[i].symbols; k++, symbols++)
            text_write(&names, file[i].symbol[k], strlen(file[i].symbol[k]) + 1);
    }
    size_t index_size = even(4 + 4 * symbols + names.n);
    size_t at = 8 + HEADER + index_size + (longer.n ? HEADER + even(longer.n) : 0);
    big_endian(&index, symbols);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < file[i].symbols; k++)
            big_endian(&index, at);
        at += HEADER + even(file[i].bytes.n);
    }
    text_write(&index, names.p, names.n);
    if (index.n < index_size)
        text_write(&index, "", 1);
    text_printf(out, "!<arch>\n");
    header(out, "/", index.n, true);
    text_write(out, index.p, index.n);
    if (longer.n) {
        header(out, "//", longer.n, false);
        member(out, longer.p, longer.n);
    }
    for (size_t i = 0; i < n; i++) {
        header(out, name[i], file[i].bytes.n, true);
        member(out, file[i].bytes.p, file[i].bytes.n);
    }
    free(name);
    text_free(&names);
    text_free(&longer);
    text_free(&index);
}
