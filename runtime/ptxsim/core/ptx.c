/* ptx: the arena, the messages and the builders behind grammar/ptx.y. A builder that finds no
 * memory says so once and returns nothing; the parser then stops. */
#include "ptx.h"
#include "ptx.tab.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ptx_scan_open(struct ptx_parser *p, const char *s, size_t n);
void ptx_scan_close(struct ptx_parser *p);

/* ---- the arena ---- */
struct ptx_chunk {
    struct ptx_chunk *before;
    max_align_t data[];
};

void *ptx_alloc(struct ptx_arena *a, size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (bytes > a->left) {
        size_t size = bytes > 65536 ? bytes : 65536;
        if (bytes > a->limit || a->held + size > a->limit)
            return NULL;
        struct ptx_chunk *c = calloc(1, sizeof *c + size);
        if (!c)
            return NULL;
        c->before = a->last;
        a->last = c;
        a->left = size;
        a->held += size;
        if (bytes == size) {
            a->left = 0;
            return c->data;
        }
    }
    size_t size = a->last ? 65536 : 0;
    char *p = (char *)a->last->data + (size - a->left);
    a->left -= bytes;
    return p;
}

void ptx_arena_free(struct ptx_arena *a)
{
    for (struct ptx_chunk *c = a->last, *before; c; c = before) {
        before = c->before;
        free(c);
    }
    *a = (struct ptx_arena){0};
}

/* ---- messages ---- */
bool ptx_error(struct ptx_log *log, int line, const char *fmt, ...)
{
    if (log->errors++ >= PTX_MAX_ERRORS)
        return false;
    char text[512];
    int n = line > 0 ? snprintf(text, sizeof text, "ptx line %d: ", line) : 0;
    va_list args;
    va_start(args, fmt);
    n += vsnprintf(text + n, sizeof text - (size_t)n - 2, fmt, args);
    va_end(args);
    if (n > (int)sizeof text - 3)
        n = (int)sizeof text - 3;
    text[n] = '\n';
    text[n + 1] = 0;
    if (!log->text || log->used + 1 >= log->size)
        return false;
    size_t k = strlen(text), room = log->size - 1 - log->used;
    k = k < room ? k : room;
    memcpy(log->text + log->used, text, k);
    log->used += k;
    log->text[log->used] = 0;
    return false;
}

void ptx_syntax(struct ptx_parser *p, int line, const char *text)
{
    if (!strncmp(text, "syntax error, ", 14))
        text += 14;
    ptx_error(p->log, line, "%s", text);
}

static void *make(struct ptx_parser *p, size_t bytes)
{
    void *m = ptx_alloc(p->mem, bytes);
    if (!m && !p->out_of_memory) {
        p->out_of_memory = true;
        ptx_error(p->log, p->line, "the text is too large");
    }
    return m;
}

char *ptx_text(struct ptx_parser *p, const char *s, size_t n)
{
    char *t = make(p, n + 1);
    if (t)
        memcpy(t, s, n);
    return t;
}

/* ---- operands ---- */
struct ptx_operand *ptx_operand(struct ptx_parser *p, enum ptx_operand_kind k, int line)
{
    struct ptx_operand *o = make(p, sizeof *o);
    if (o)
        *o = (struct ptx_operand){.kind = k, .line = line};
    return o;
}

struct ptx_operand *ptx_name(struct ptx_parser *p, const char *name, const char *part, int64_t add,
                             int line)
{
    struct ptx_operand *o = ptx_operand(p, PTX_NAME, line);
    if (o) {
        o->name = name;
        o->part = part;
        o->value = add;
    }
    return o;
}

struct ptx_operand *ptx_number(struct ptx_parser *p, enum ptx_operand_kind k, int64_t v, int line)
{
    struct ptx_operand *o = ptx_operand(p, k, line);
    if (o)
        o->value = v;
    return o;
}

struct ptx_operand *ptx_group(struct ptx_parser *p, enum ptx_operand_kind k,
                              struct ptx_operands items, int line)
{
    struct ptx_operand *o = ptx_operand(p, k, line);
    if (o) {
        o->items = items.first;
        o->count = items.count;
    }
    return o;
}

struct ptx_operands ptx_operands_add(struct ptx_operands l, struct ptx_operand *o)
{
    if (!o)
        return l;
    if (l.last)
        l.last->next = o;
    else
        l.first = o;
    l.last = o;
    l.count++;
    return l;
}

struct ptx_words ptx_words_add(struct ptx_parser *p, struct ptx_words l, const char *text)
{
    struct ptx_word *w = make(p, sizeof *w);
    if (!w)
        return l;
    *w = (struct ptx_word){.text = text};
    if (l.last)
        l.last->next = w;
    else
        l.first = w;
    l.last = w;
    return l;
}

/* ---- statements ---- */
struct ptx_stmts ptx_stmts_join(struct ptx_stmts a, struct ptx_stmts b)
{
    if (!a.last)
        return b;
    if (!b.last)
        return a;
    a.last->next = b.first;
    a.last = b.last;
    return a;
}

struct ptx_stmts ptx_stmt(struct ptx_parser *p, enum ptx_stmt_kind k, const char *name, int line)
{
    struct ptx_stmt *s = make(p, sizeof *s);
    if (s)
        *s = (struct ptx_stmt){.kind = k, .name = name, .line = line};
    return (struct ptx_stmts){s, s};
}

struct ptx_stmts ptx_instruction(struct ptx_parser *p, const char *name, struct ptx_words mods,
                                 struct ptx_operands ops, int line)
{
    struct ptx_stmts l = ptx_stmt(p, PTX_INSTRUCTION, name, line);
    if (l.first) {
        l.first->words = mods.first;
        l.first->operands = ops.first;
        l.first->count = ops.count;
    }
    return l;
}

struct ptx_stmts ptx_loc(struct ptx_parser *p, int64_t file, int64_t source_line, int line)
{
    struct ptx_stmts l = ptx_stmt(p, PTX_LOC, NULL, line);
    if (l.first) {
        l.first->file = (int)(file & 0x7FFFFFFF);
        l.first->source_line = (int)(source_line & 0x7FFFFFFF);
    }
    return l;
}

/* ---- declarations ---- */
struct ptx_decls ptx_decls_join(struct ptx_decls a, struct ptx_decls b)
{
    if (!a.last)
        return b;
    if (!b.last)
        return a;
    a.last->next = b.first;
    a.last = b.last;
    return a;
}

struct ptx_decl *ptx_decl(struct ptx_parser *p, const char *name, int line)
{
    struct ptx_decl *d = make(p, sizeof *d);
    if (d)
        *d = (struct ptx_decl){.name = name, .line = line, .elements = 1, .vector = 1};
    return d;
}

void ptx_dims(struct ptx_parser *p, struct ptx_decl *d, int64_t dim, bool sized)
{
    if (!d)
        return;
    if (!sized && d->array)
        ptx_syntax(p, d->line, "only the first dimension may be without a size");
    d->array = true;
    if (!sized)
        d->elements = 0;
    else if (dim < 0 || (dim && d->elements > ((int64_t)1 << 40) / dim))
        ptx_syntax(p, d->line, "an array that is too large");
    else
        d->elements *= dim;
}

void ptx_qual_word(struct ptx_parser *p, struct ptx_decl *q, const char *word, int line)
{
    static const char *const spaces[] = {NULL,    "reg",   "global", "shared",
                                         "local", "const", "param"};
    static const char *const types[] = {"b8",     "b16",  "b32",    "b64",        "b128",   "u8",
                                        "u16",    "u32",  "u64",    "s8",         "s16",    "s32",
                                        "s64",    "f16",  "f32",    "f64",        "f16x2",  "bf16",
                                        "bf16x2", "pred", "texref", "samplerref", "surfref"};
    for (int i = 1; i < 7; i++)
        if (!strcmp(word, spaces[i])) {
            if (q->space && !q->pointer)
                ptx_syntax(p, line, "two state spaces");
            if (!q->pointer)
                q->space = (enum ptx_space)i;
            return;
        }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (!strcmp(word, types[i])) {
            q->type = types[i];
            return;
        }
    if (!strcmp(word, "v2") || !strcmp(word, "v4"))
        q->vector = word[1] - '0';
    else if (!strcmp(word, "extern"))
        q->is_extern = true;
    else if (!strcmp(word, "visible") || !strcmp(word, "common"))
        q->visible = true;
    else if (!strcmp(word, "weak"))
        q->weak = true;
    else if (strcmp(word, "managed") && strcmp(word, "unified") && strcmp(word, "noalias"))
        ptx_error(p->log, line, "`.%s` is not known in a declaration", word);
}

struct ptx_decls ptx_apply_quals(struct ptx_decl q, struct ptx_decls l)
{
    for (struct ptx_decl *d = l.first; d; d = d->next) {
        d->space = q.space;
        d->type = q.type;
        d->vector = q.vector ? q.vector : 1;
        d->align = q.align;
        d->is_extern = q.is_extern;
        d->visible = q.visible;
        d->weak = q.weak;
        d->pointer = q.pointer;
    }
    return l;
}

struct ptx_init *ptx_init(struct ptx_parser *p, int64_t v)
{
    struct ptx_init *i = make(p, sizeof *i);
    if (i)
        *i = (struct ptx_init){.value = v};
    return i;
}

uint8_t ptx_mask_shift(int64_t mask)
{
    uint8_t shift = 0;
    for (uint64_t m = (uint64_t)mask; m && !(m & 255) && shift < 56; m >>= 8)
        shift = (uint8_t)(shift + 8);
    return shift;
}

struct ptx_inits ptx_inits_add(struct ptx_inits l, struct ptx_init *i)
{
    if (!i)
        return l;
    if (l.last)
        l.last->next = i;
    else
        l.first = i;
    l.last = i;
    return l;
}

void ptx_add_vars(struct ptx_parser *p, struct ptx_decls l)
{
    if (!l.first)
        return;
    *p->vars_end = l.first;
    p->vars_end = &l.last->next;
}

/* ---- functions ---- */
void ptx_function_begin(struct ptx_parser *p, struct ptx_decl q, bool entry,
                        struct ptx_decls results, const char *name, int line)
{
    static struct ptx_function nowhere;
    struct ptx_function *f = make(p, sizeof *f);
    if (!f) {
        p->current = &nowhere;
        return;
    }
    *f = (struct ptx_function){.name = name,
                               .entry = entry,
                               .is_extern = q.is_extern,
                               .visible = q.visible,
                               .weak = q.weak,
                               .line = line,
                               .results = results.first};
    if (q.space || q.type)
        ptx_syntax(p, line, "a function has no state space and no type");
    p->current = f;
}

void ptx_function_directive(struct ptx_parser *p, const char *word, struct ptx_ints v, int line)
{
    struct ptx_function *f = p->current;
    int *to = !strcmp(word, "maxntid")             ? f->max_ntid
              : !strcmp(word, "reqntid")           ? f->req_ntid
              : !strcmp(word, "reqnctapercluster") ? f->cluster
                                                   : NULL;
    for (int i = 0; i < v.count; i++)
        if (v.v[i] < 0 || v.v[i] > 1 << 24) {
            ptx_syntax(p, line, "a size that no chip has");
            return;
        }
    for (int i = 0; to && i < 3; i++)
        to[i] = i < v.count ? (int)v.v[i] : 1;
    if (to && !v.count)
        ptx_syntax(p, line, "this directive needs sizes");
    if (!strcmp(word, "maxnreg") && v.count)
        f->max_registers = (int)v.v[0];
    if (!strcmp(word, "maxclusterrank") && v.count)
        f->max_cluster = (int)v.v[0];
    f->explicit_cluster = f->explicit_cluster || !strcmp(word, "explicitcluster");
    f->blocks_are_clusters = f->blocks_are_clusters || !strcmp(word, "blocksareclusters");
}

void ptx_function_end(struct ptx_parser *p, bool defined, struct ptx_stmts body, int line)
{
    struct ptx_function *f = p->current;
    if (p->out_of_memory)
        return;
    f->defined = defined;
    f->body = body.first;
    f->end_line = line;
    *p->functions_end = f;
    p->functions_end = &f->next;
}

void ptx_target(struct ptx_parser *p, const char *name, int line)
{
    if (strncmp(name, "sm_", 3)) {
        p->module->debug = p->module->debug || !strcmp(name, "debug");
        if (strcmp(name, "texmode_independent") && strcmp(name, "texmode_unified") &&
            strcmp(name, "debug") && strcmp(name, "map_f64_to_f32"))
            ptx_error(p->log, line, "unknown target `%s`", name);
        return;
    }
    char *end;
    long n = strtol(name + 3, &end, 10);
    bool ok =
        end > name + 3 && n > 0 && n < 1000 && (!*end || ((*end == 'a' || *end == 'f') && !end[1]));
    if (!ok)
        ptx_error(p->log, line, "unknown target `%s`", name);
    p->module->target = ok ? (int)n : 0;
    p->module->family = ok ? *end : 0;
}

void ptx_add_file(struct ptx_parser *p, int64_t number, const char *name)
{
    struct ptx_file *f = make(p, sizeof *f);
    if (!f)
        return;
    *f = (struct ptx_file){
        .number = (int)(number & 0x7FFFFFFF), .name = name, .next = p->module->files};
    p->module->files = f;
}

struct ptx_module *ptx_read(struct ptx_arena *a, const char *text, size_t bytes,
                            struct ptx_log *log)
{
    struct ptx_parser p = {.mem = a, .log = log, .line = 1};
    while (bytes && !text[bytes - 1])
        bytes--;
    p.module = make(&p, sizeof *p.module);
    if (!p.module || !ptx_scan_open(&p, text, bytes)) {
        ptx_error(log, 0, "out of memory");
        return NULL;
    }
    *p.module = (struct ptx_module){.address_bits = 0};
    p.vars_end = &p.module->vars;
    p.functions_end = &p.module->functions;
    int status = ptx_yyparse(&p);
    ptx_scan_close(&p);
    if (status && !log->errors)
        ptx_error(log, p.line, "syntax error");
    return log->errors ? NULL : p.module;
}
