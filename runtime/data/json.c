/* RFC 8259, read in place: strings shrink as they are decoded, so nothing is allocated. */
#include "data/json.h"

#include <stdio.h>
#include <string.h>

static void blanks(struct nn_json *j)
{
    while (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r')
        j->p++;
}

static bool fail(struct nn_json *j)
{
    j->bad = true;
    return false;
}

static bool pass(struct nn_json *j, char c)
{
    blanks(j);
    if (j->bad || *j->p != c)
        return fail(j);
    j->p++;
    return true;
}

char nn_json_next(struct nn_json *j)
{
    blanks(j);
    char c = j->bad ? 0 : *j->p;
    if (c == '-' || (c >= '0' && c <= '9'))
        return '0';
    if (c == 't' || c == 'f' || c == 'n')
        return 't';
    return c == '{' || c == '[' || c == '"' ? c : 0;
}

bool nn_json_enter(struct nn_json *j, char open) { return pass(j, open); }

bool nn_json_more(struct nn_json *j, char close, bool *first)
{
    blanks(j);
    bool begins = *first;
    *first = false;
    if (j->bad)
        return false;
    if (*j->p == close) {
        j->p++;
        return false;
    }
    return begins || pass(j, ',');
}

bool nn_json_end(struct nn_json *j)
{
    blanks(j);
    return !j->bad && !*j->p;
}

/* ---- strings ---- */

static bool hex4(const char *p, uint32_t *v)
{
    *v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i], low = (char)(c | 32);
        bool digit = c >= '0' && c <= '9';
        if (!digit && !(low >= 'a' && low <= 'f'))
            return false;
        *v = *v * 16 + (uint32_t)(digit ? c - '0' : low - 'a' + 10);
    }
    return true;
}

static char *utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    *to++ = (char)((0xf00 >> more & 0xff) | c >> 6 * more);
    while (more-- > 0)
        *to++ = (char)(0x80 | (c >> 6 * more & 0x3f));
    return to;
}

/* \uXXXX, two of them for what lies beyond 16 bits; j->p stands behind the u. NULL: malformed. */
static char *unicode(struct nn_json *j, char *to)
{
    uint32_t c, low;
    if (!hex4(j->p, &c) || !c)
        return NULL;
    j->p += 4;
    if (c >= 0xd800 && c < 0xe000) {
        if (c >= 0xdc00 || j->p[0] != '\\' || j->p[1] != 'u' || !hex4(j->p + 2, &low) ||
            low < 0xdc00 || low >= 0xe000)
            return NULL;
        j->p += 6;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    return utf8(to, c);
}

static char *escape(struct nn_json *j, char *to)
{
    static const char from[] = "\"\\/bfnrt", is[] = "\"\\/\b\f\n\r\t";
    char c = *j->p;
    const char *at = c ? strchr(from, c) : NULL;
    if (c)
        j->p++;
    if (c == 'u')
        return unicode(j, to);
    if (!at)
        return NULL;
    *to = is[at - from];
    return to + 1;
}

char *nn_json_string(struct nn_json *j)
{
    if (!pass(j, '"'))
        return NULL;
    char *begin = j->p, *to = begin;
    while (to && *j->p != '"') {
        if ((unsigned char)*j->p < ' ')
            to = NULL; /* the text's end, too */
        else if (*j->p == '\\')
            j->p++, to = escape(j, to);
        else
            *to++ = *j->p++;
    }
    if (!to) {
        fail(j);
        return NULL;
    }
    j->p++;
    *to = 0;
    return begin;
}

char *nn_json_key(struct nn_json *j)
{
    char *key = nn_json_string(j);
    return key && pass(j, ':') ? key : NULL;
}

/* ---- the rest ---- */

static bool digits(struct nn_json *j)
{
    char *begin = j->p;
    while (*j->p >= '0' && *j->p <= '9')
        j->p++;
    return j->p > begin || fail(j);
}

bool nn_json_whole(struct nn_json *j, int64_t *v)
{
    const int64_t most = (int64_t)1 << 53;
    blanks(j);
    char *begin = j->p;
    bool plain = true;
    if (*j->p == '-')
        j->p++;
    if (!digits(j))
        return false;
    if (*j->p == '.')
        plain = false, j->p++, digits(j);
    if (*j->p == 'e' || *j->p == 'E') {
        plain = false;
        j->p += j->p[1] == '-' || j->p[1] == '+' ? 2 : 1;
        digits(j);
    }
    if (j->bad || !plain || *begin == '-')
        return false;
    *v = 0;
    for (char *c = begin; c < j->p && *v <= most; c++)
        *v = *v * 10 + (*c - '0');
    return *v <= most;
}

static void word(struct nn_json *j)
{
    static const char *const words[] = {"true", "false", "null"};
    for (int i = 0; i < 3; i++)
        if (!strncmp(j->p, words[i], strlen(words[i]))) {
            j->p += strlen(words[i]);
            return;
        }
    fail(j);
}

void nn_json_skip(struct nn_json *j, int depth)
{
    int64_t v;
    bool first = true;
    char c = nn_json_next(j);
    if (!c || !depth) {
        fail(j);
    } else if (c == '"') {
        nn_json_string(j);
    } else if (c == '0') {
        nn_json_whole(j, &v);
    } else if (c == 't') {
        word(j);
    } else {
        nn_json_enter(j, c);
        while (nn_json_more(j, c == '{' ? '}' : ']', &first)) {
            if (c == '{')
                nn_json_key(j);
            nn_json_skip(j, depth - 1);
        }
    }
}

size_t nn_json_quote(char *out, const char *s)
{
    static const char is[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    char *p = out;
    *p++ = '"';
    for (; *s; s++) {
        const char *at = strchr(is, *s);
        if (at) {
            *p++ = '\\';
            *p++ = to[at - is];
        } else if ((unsigned char)*s < ' ') {
            p += sprintf(p, "\\u%04x", (unsigned)(unsigned char)*s);
        } else {
            *p++ = *s;
        }
    }
    *p++ = '"';
    return (size_t)(p - out);
}
