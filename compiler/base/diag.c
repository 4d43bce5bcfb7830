/* Source files and diagnostics. A report is kept with its byte range; the line, the column and the
 * caret are computed only when it is printed. */
#include "base.h"

struct file {
    char *name, *text;
    size_t size;
};

struct report {
    enum severity severity;
    struct loc at;
    uint32_t group; /* the error a note belongs to: reports of a group print together */
    char *message, *label;
};

struct diag {
    VEC(struct file) files;
    VEC(struct report) reports;
    uint32_t errors, groups;
};

struct diag *diag_new(void) { return xcalloc(1, sizeof(struct diag)); }

static void forget(struct diag *d)
{
    for (uint32_t i = 0; i < d->reports.n; i++) {
        free(d->reports.p[i].message);
        free(d->reports.p[i].label);
    }
    d->reports.n = 0;
}

void diag_free(struct diag *d)
{
    if (!d)
        return;
    forget(d);
    vec_free(&d->reports);
    for (uint32_t i = 0; i < d->files.n; i++) {
        free(d->files.p[i].name);
        free(d->files.p[i].text);
    }
    vec_free(&d->files);
    free(d);
}

uint32_t diag_add_file(struct diag *d, const char *name, const char *text, size_t size)
{
    struct file f = {xmalloc(strlen(name) + 1), xmalloc(size + 1), size};
    strcpy(f.name, name);
    memcpy(f.text, text, size);
    f.text[size] = 0;
    vec_push(&d->files, f);
    return d->files.n;
}

const char *diag_file_name(const struct diag *d, uint32_t file)
{
    return file && file <= d->files.n ? d->files.p[file - 1].name : "";
}

const char *diag_file_text(const struct diag *d, uint32_t file, size_t *size)
{
    CHECK(file && file <= d->files.n, "no source file %u", file);
    *size = d->files.p[file - 1].size;
    return d->files.p[file - 1].text;
}

uint32_t diag_line(const struct diag *d, struct loc at, uint32_t *column)
{
    size_t size;
    const char *text = diag_file_text(d, at.file, &size);
    uint32_t line = 1, start = 0, end = at.lo < size ? at.lo : (uint32_t)size;
    for (uint32_t i = 0; i < end; i++)
        if (text[i] == '\n') {
            line++;
            start = i + 1;
        }
    *column = end - start + 1;
    return line;
}

void diag_report(struct diag *d, enum severity s, struct loc at, const char *fmt, ...)
{
    char message[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (s != DIAG_NOTE)
        d->groups++;
    d->errors += s == DIAG_ERROR;
    struct report r = {s, at, d->groups, xmalloc(strlen(message) + 1), NULL};
    strcpy(r.message, message);
    vec_push(&d->reports, r);
}

void diag_label(struct diag *d, const char *fmt, ...)
{
    char label[512];
    if (!d->reports.n)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(label, sizeof label, fmt, ap);
    va_end(ap);
    struct report *r = &vec_last(&d->reports);
    free(r->label);
    r->label = xmalloc(strlen(label) + 1);
    strcpy(r->label, label);
}

uint32_t diag_errors(const struct diag *d) { return d->errors; }

/* One source line with its number, and the caret under the range (tabs keep their width). */
static void print_caret(const struct diag *d, const struct report *r, FILE *out)
{
    size_t size;
    const char *text = diag_file_text(d, r->at.file, &size);
    uint32_t column, line = diag_line(d, r->at, &column);
    size_t lo = r->at.lo < size ? r->at.lo : size, start = lo + 1 - column, end = lo;
    while (end < size && text[end] != '\n')
        end++;
    const char *cut = ""; /* of a very long line the part around the place */
    if (lo - start > 120) {
        for (start = lo - 100; ((unsigned char)text[start] & 0xC0) == 0x80;)
            start++;
        cut = "…";
    }
    if (end - start > 200)
        for (end = start + 200; ((unsigned char)text[end] & 0xC0) == 0x80;)
            end--;
    fprintf(out, "%5u | %s%.*s\n      | %s", line, cut, (int)(end - start), text + start,
            *cut ? " " : "");
    for (size_t i = start; i < lo; i++)
        if (((unsigned char)text[i] & 0xC0) != 0x80)
            fputc(text[i] == '\t' ? '\t' : ' ', out);
    fputc('^', out);
    size_t hi = r->at.hi < end ? r->at.hi : end;
    for (size_t i = lo + 1; i < hi; i++)
        if (((unsigned char)text[i] & 0xC0) != 0x80)
            fputc('~', out);
    fprintf(out, "%s%s\n", r->label ? " " : "", r->label ? r->label : "");
}

static void print_one(const struct diag *d, const struct report *r, FILE *out)
{
    static const char *const word[] = {"error", "warning", "note"};
    if (!r->at.file) {
        fprintf(out, "nnc: %s: %s\n", word[r->severity], r->message);
        return;
    }
    uint32_t column, line = diag_line(d, r->at, &column);
    fprintf(out, "%s:%u:%u: %s: %s\n", diag_file_name(d, r->at.file), line, column,
            word[r->severity], r->message);
    print_caret(d, r, out);
}

/* The groups' order in the output: by file and place of their first report, else as reported. */
struct order {
    struct loc at;
    uint32_t first, n;
};

static int by_place(const void *x, const void *y)
{
    const struct order *a = x, *b = y;
    if (a->at.file != b->at.file)
        return a->at.file < b->at.file ? -1 : 1;
    if (a->at.lo != b->at.lo)
        return a->at.lo < b->at.lo ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

static bool same(const struct diag *d, const struct order *a, const struct order *b)
{
    const struct report *r = &d->reports.p[a->first], *s = &d->reports.p[b->first];
    return !memcmp(&r->at, &s->at, sizeof r->at) && !strcmp(r->message, s->message);
}

void diag_print(struct diag *d, FILE *out)
{
    VEC(struct order) groups = {0};
    for (uint32_t i = 0; i < d->reports.n; i++)
        if (groups.n && d->reports.p[i].group == d->reports.p[vec_last(&groups).first].group)
            vec_last(&groups).n++;
        else
            vec_push(&groups, ((struct order){d->reports.p[i].at, i, 1}));
    if (groups.n)
        qsort(groups.p, groups.n, sizeof *groups.p, by_place);
    for (uint32_t g = 0; g < groups.n; g++) {
        if (g && same(d, &groups.p[g - 1], &groups.p[g]))
            continue;
        for (uint32_t i = 0; i < groups.p[g].n; i++)
            print_one(d, &d->reports.p[groups.p[g].first + i], out);
    }
    vec_free(&groups);
    forget(d);
}
