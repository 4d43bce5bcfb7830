/* decode: from the tree of a module to tables. Variables get addresses, every function a window of
 * rows (registers, constants, special registers) and an array of instructions. */
#include "decode.h"
#include "number.h"
#include <stdlib.h>

static void *need(struct decoder *d, size_t bytes)
{
    void *p = ptx_alloc(d->mem, bytes);
    if (!p && !d->out_of_memory) {
        d->out_of_memory = true;
        FAIL(d, "the module is too large");
    }
    return p;
}

/* The first reason counts. */
static void refuse(struct decoder *d, const char *reason)
{
    size_t n = strlen(reason) + 1;
    char *text = d->f->refused ? NULL : need(d, n);
    if (text)
        d->f->refused = memcpy(text, reason, n);
}

bool dec_unsupported(struct decoder *d, const char *what)
{
    char text[384];
    if (!d->f) {
        d->log->unsupported = true;
        return FAIL(d, "%s is not simulated", what);
    }
    int n = snprintf(text, sizeof text, "ptx line %d: ", d->line);
    if (d->ins) {
        n += snprintf(text + n, sizeof text - (size_t)n, "`%.64s", d->ins->name);
        for (const struct ptx_word *w = d->ins->s->words; w && n < 200; w = w->next)
            n += snprintf(text + n, sizeof text - (size_t)n, ".%.32s", w->text);
        n += snprintf(text + n, sizeof text - (size_t)n, what ? "`: " : "`");
    }
    snprintf(text + n, sizeof text - (size_t)n, "%.100s is not simulated", what ? what : "");
    refuse(d, text);
    return false;
}

/* Doubles an array of the arena. */
static bool grow(struct decoder *d, void *array, uint32_t *cap, size_t element)
{
    uint32_t more = *cap ? *cap * 2 : 256;
    void *p = more > 1u << 28 ? NULL : need(d, more * element);
    if (!p)
        return false;
    void *old;
    memcpy(&old, array, sizeof old);
    if (old)
        memcpy(p, old, *cap * element);
    memcpy(array, &p, sizeof p);
    *cap = more;
    return true;
}

static uint32_t hash_of(const char *s, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)s[i]) * 16777619u;
    return h ^ h >> 15;
}

/* ---- symbols ---- */
static struct symbol *lookup(struct decoder *d, const char *name, size_t n, bool range)
{
    struct symbol *s = d->bucket[(hash_of(name, n) + range) % SYMBOL_BUCKETS];
    for (; s; s = s->next)
        if (!s->dead && s->length == n && (s->kind == SYM_RANGE) == range &&
            !memcmp(s->name, name, n))
            return s;
    return NULL;
}

static struct symbol *symbol_add(struct decoder *d, enum symbol_kind k, const char *name,
                                 uint32_t depth)
{
    static struct symbol nowhere;
    size_t n = strlen(name);
    struct symbol *s = lookup(d, name, n, k == SYM_RANGE);
    if (s && s->depth == depth && d->depth == depth)
        FAIL(d, "`%s` is declared twice", name);
    if ((d->stacked == d->stack_cap && !grow(d, &d->stack, &d->stack_cap, sizeof *d->stack)) ||
        !(s = need(d, sizeof *s))) {
        nowhere = (struct symbol){.kind = k, .name = name};
        return &nowhere;
    }
    struct symbol **b = &d->bucket[(hash_of(name, n) + (k == SYM_RANGE)) % SYMBOL_BUCKETS];
    *s = (struct symbol){
        .kind = k, .name = name, .length = n, .depth = depth, .next = *b, .line = d->line};
    *b = s;
    d->stack[d->stacked++] = s;
    return s;
}

static void scope_close(struct decoder *d, uint32_t depth)
{
    uint32_t kept = 0, from = 0;
    for (uint32_t i = from; i < d->stacked; i++) {
        if (d->stack[i]->depth > depth)
            d->stack[i]->dead = true;
        else
            d->stack[kept++] = d->stack[i];
    }
    d->stacked = kept;
    d->depth = depth;
}

struct symbol *dec_symbol_find(struct decoder *d, const char *name)
{
    size_t n = strlen(name), k = n;
    struct symbol *s = lookup(d, name, n, false);
    while (k && name[k - 1] >= '0' && name[k - 1] <= '9')
        k--;
    if (k == n || n - k > 9 || (name[k] == '0' && n - k > 1))
        return s;
    struct symbol *r = lookup(d, name, k, true);
    if (!r || (s && s->depth >= r->depth) || strtol(name + k, NULL, 10) >= r->range)
        return s;
    uint32_t depth = d->depth;
    d->depth = UINT32_MAX;
    s = symbol_add(d, SYM_REGISTER, name, r->depth);
    d->depth = depth;
    s->size = r->size;
    s->is_float = r->is_float;
    return s;
}

/* ---- rows ---- */
uint32_t dec_row_alloc(struct decoder *d, uint8_t size)
{
    if (d->window > 16u << 20) {
        if (!d->out_of_memory)
            FAIL(d, "too many registers");
        d->out_of_memory = true;
        return 0;
    }
    if (!size) {
        if (!(d->pred_at & 127)) {
            d->pred_at = d->window;
            d->window += 128;
        }
        d->pred_at += 4;
        return d->pred_at - 4;
    }
    uint32_t at = d->window;
    d->window += size == 8 ? 256 : 128;
    return at;
}

void dec_span(struct decoder *d, struct symbol *s)
{
    if (!s->span) {
        if (d->spans == d->span_cap && !grow(d, &d->span, &d->span_cap, sizeof *d->span))
            return;
        d->span[d->spans++] = (struct span){.first = d->count, .size = s->size};
        s->span = d->spans;
    }
    d->span[s->span - 1].last = d->count;
}

static uint32_t preset_hash(const struct sim_preset *p)
{
    uint64_t v =
        (p->value ^ (uint64_t)p->kind << 56 ^ (uint64_t)p->size << 48 ^ (uint64_t)p->bytes << 40) *
        0x9E3779B97F4A7C15u;
    return (uint32_t)(v >> 32);
}

static bool preset_rehash(struct decoder *d)
{
    d->preset_hash_size = d->preset_cap * 2;
    d->preset_hash = need(d, d->preset_hash_size * sizeof *d->preset_hash);
    if (!d->preset_hash)
        return false;
    for (uint32_t i = 0; i < d->preset_count; i++) {
        uint32_t h = preset_hash(&d->preset[i]) % d->preset_hash_size;
        while (d->preset_hash[h])
            h = (h + 1) % d->preset_hash_size;
        d->preset_hash[h] = i + 1;
    }
    return true;
}

uint32_t dec_preset(struct decoder *d, enum sim_preset_kind k, uint8_t size, uint64_t value,
                    uint8_t bytes, bool sign)
{
    struct sim_preset p = {
        .kind = (uint8_t)k, .size = size, .bytes = bytes, .sign = sign, .value = value};
    if (d->preset_count == d->preset_cap) {
        if (!grow(d, &d->preset, &d->preset_cap, sizeof *d->preset) || !preset_rehash(d))
            return 0;
    }
    uint32_t h = preset_hash(&p) % d->preset_hash_size;
    for (; d->preset_hash[h]; h = (h + 1) % d->preset_hash_size) {
        const struct sim_preset *q = &d->preset[d->preset_hash[h] - 1];
        if (q->kind == p.kind && q->size == size && q->value == value && q->bytes == bytes &&
            q->sign == sign)
            return q->at;
    }
    p.at = dec_row_alloc(d, size);
    d->preset[d->preset_count++] = p;
    d->preset_hash[h] = d->preset_count;
    return p.at;
}

uint32_t dec_constant(struct decoder *d, uint8_t size, uint64_t value)
{
    return dec_preset(d, size == 8 ? PRESET_64 : PRESET_32, size == 8 ? 8 : 4,
                      size == 8 ? value : value & SIM_ALL, 0, false);
}

uint32_t dec_ext_add(struct decoder *d, const uint32_t *v, uint32_t n)
{
    while (d->ext_count + n > d->ext_cap)
        if (!grow(d, &d->ext, &d->ext_cap, sizeof *d->ext))
            return 0;
    memcpy(d->ext + d->ext_count, v, n * sizeof *v);
    d->ext_count += n;
    return d->ext_count - n;
}

struct sim_inst *dec_emit(struct decoder *d, sim_handler *fn, enum sim_kind kind,
                          enum sim_class cls)
{
    static struct sim_inst nowhere;
    if (d->count == d->cap) {
        uint32_t cap = d->cap;
        if (!grow(d, &d->code, &cap, sizeof *d->code) ||
            !grow(d, &d->lines, &d->cap, sizeof *d->lines))
            return &nowhere;
    }
    d->here.ptx = (uint32_t)d->line;
    d->lines[d->count] = d->here;
    struct sim_inst *i = &d->code[d->count++];
    *i = (struct sim_inst){
        .fn = fn, .kind = (uint8_t)kind, .cls = (uint8_t)cls, .d = NO_OPERAND, .e = NO_OPERAND};
    return i;
}

const struct sim_row *dec_row_find(struct decoder *d, const char *key)
{
    uint32_t h = hash_of(key, strlen(key)) % d->row_hash_size;
    for (; d->row_hash[h]; h = (h + 1) % d->row_hash_size)
        if (!strcmp(d->row_hash[h]->key, key))
            return d->row_hash[h];
    return NULL;
}

static bool rows_init(struct decoder *d)
{
    d->rows = sim_rows();
    d->row_hash_size = (uint32_t)d->rows.count * 3;
    d->row_hash = need(d, d->row_hash_size * sizeof *d->row_hash);
    for (size_t i = 1; d->row_hash && i < d->rows.count; i++) {
        uint32_t h = hash_of(d->rows.row[i].key, strlen(d->rows.row[i].key)) % d->row_hash_size;
        while (d->row_hash[h])
            h = (h + 1) % d->row_hash_size;
        d->row_hash[h] = &d->rows.row[i];
    }
    return d->row_hash != NULL;
}

/* ---- declarations ---- */
static uint32_t element_size(const char *type)
{
    struct type t;
    return type && dec_type_of(type, &t) ? t.size : 0;
}

/* Bytes and alignment of a variable; false where it is too large or has no type. */
static bool extent(struct decoder *d, const struct ptx_decl *v, uint64_t *bytes, uint32_t *align)
{
    uint32_t e = element_size(v->type) * (uint32_t)v->vector;
    if (!e || !strcmp(v->type, "pred"))
        return FAIL(d, "`%s` has no size", v->name);
    if (v->align == UINT32_MAX || (v->align & (v->align - 1)))
        return FAIL(d, "the alignment of `%s` is not a power of two", v->name);
    *align = v->align ? v->align : e;
    *bytes = (uint64_t)v->elements * e;
    if (v->elements < 0 || *bytes > (uint64_t)1 << 36)
        return FAIL(d, "`%s` is too large", v->name);
    return true;
}

static void declare_register(struct decoder *d, const struct ptx_decl *v)
{
    struct type t;
    if (!v->type || !dec_type_of(v->type, &t) || v->range < 0) {
        FAIL(d, "`%s` has no type of a register", v->name);
        return;
    }
    if (t.size > 8 || v->vector != 1) {
        dec_unsupported(d,
                        t.size > 8 ? "a register of 128 bits" : "a register of several elements");
        return;
    }
    struct symbol *s = symbol_add(d, v->range ? SYM_RANGE : SYM_REGISTER, v->name, d->depth);
    s->range = v->range;
    s->size = t.letter == 'p' ? 0 : t.size < 4 ? 2 : t.size;
    s->is_float = t.letter == 'f';
}

static uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

static struct symbol *variable_add(struct decoder *d, const struct ptx_decl *v, uint32_t depth)
{
    struct symbol *s = symbol_add(d, SYM_VARIABLE, v->name, depth);
    s->element = element_size(v->type) * (uint32_t)v->vector;
    return s;
}

static struct symbol *declare_local(struct decoder *d, const struct ptx_decl *v, uint64_t bytes,
                                    uint32_t align)
{
    struct symbol *s = variable_add(d, v, d->depth);
    uint64_t at = round_up(d->local, align > 16 ? align : align ? align : 1);
    if (at + bytes > 512 << 10) {
        FAIL(d, "`%s`: more than 512 KB of local memory", v->name);
        return s;
    }
    s->space = PTX_LOCAL;
    s->address = at;
    s->bytes = bytes;
    d->local = (uint32_t)(at + bytes);
    return s;
}

static void declare_shared(struct decoder *d, const struct ptx_decl *v, uint64_t bytes,
                           uint32_t align)
{
    struct symbol *s = variable_add(d, v, d->depth);
    s->space = PTX_SHARED;
    s->bytes = bytes;
    if (d->shared_align < align)
        d->shared_align = align;
    if (v->is_extern || !v->elements) {
        s->address = UINT64_MAX; /* after all static ones: known at the end */
        return;
    }
    uint64_t at = round_up(d->shared, align ? align : 1);
    if (at + bytes > 1 << 20) {
        FAIL(d, "`%s`: more shared memory than any chip has", v->name);
        return;
    }
    s->address = at;
    d->shared = (uint32_t)(at + bytes);
}

static void declare(struct decoder *d, const struct ptx_decl *list)
{
    for (const struct ptx_decl *v = list; v; v = v->next) {
        uint64_t bytes;
        uint32_t align;
        d->line = v->line;
        if (v->space == PTX_REG)
            declare_register(d, v);
        else if (!extent(d, v, &bytes, &align))
            return;
        else if (v->space == PTX_LOCAL || v->space == PTX_PARAM)
            declare_local(d, v, bytes, align);
        else if (v->space == PTX_SHARED)
            declare_shared(d, v, bytes, align);
        else
            FAIL(d, "`%s` cannot be declared inside a function", v->name);
    }
}

/* ---- statements ---- */
static const char *file_name(const struct ptx_module *t, int number)
{
    for (const struct ptx_file *f = t->files; f; f = f->next)
        if (f->number == number)
            return f->name;
    return NULL;
}

/* Labels may be used before they stand: first all those of the scope that begins here. */
static void collect_labels(struct decoder *d, struct ptx_stmt *body)
{
    int inside = 0;
    for (struct ptx_stmt *s = body; s && inside >= 0; s = s->next) {
        enum symbol_kind k = s->kind == PTX_LABEL     ? SYM_LABEL
                             : s->kind == PTX_TARGETS ? SYM_TARGETS
                                                      : SYM_PROTO;
        inside += (s->kind == PTX_OPEN) - (s->kind == PTX_CLOSE);
        if (inside || (s->kind != PTX_LABEL && s->kind != PTX_TARGETS && s->kind != PTX_PROTO))
            continue;
        d->line = s->line;
        struct symbol *y = symbol_add(d, k, s->name, d->depth);
        y->stmt = s;
        y->at = NO_OPERAND;
    }
}

static void body(struct decoder *d, struct ptx_stmt *first)
{
    uint32_t base = d->depth;
    collect_labels(d, first);
    for (struct ptx_stmt *s = first; s && d->log->errors < PTX_MAX_ERRORS && !d->out_of_memory;
         s = s->next) {
        d->line = s->line;
        switch (s->kind) {
        case PTX_INSTRUCTION: dec_instruction(d, s); break;
        case PTX_LABEL: {
            struct symbol *y = lookup(d, s->name, strlen(s->name), false);
            if (y && y->kind == SYM_LABEL && y->stmt == s)
                y->at = d->count;
            break;
        }
        case PTX_OPEN:
            d->depth++;
            collect_labels(d, s->next);
            break;
        case PTX_CLOSE: scope_close(d, d->depth - 1); break;
        case PTX_DECL: {
            bool before = d->f->refused;
            declare(d, s->decls);
            if (d->f->refused && !before)
                return; /* what names it would seem wrong */
            break;
        }
        case PTX_LOC:
            if (s->source_line) {
                d->here.source = (uint32_t)s->source_line;
                d->here.file = file_name(d->m->tree, s->file);
            }
            break;
        case PTX_TARGETS:
        case PTX_PROTO: break;
        }
    }
    d->depth = base;
}

/* Branches hold labels' symbols as pointers in imm until here (and in ext for tables). */
static bool resolve(struct decoder *d)
{
    for (uint32_t k = 0; k < d->count; k++) {
        struct sim_inst *i = &d->code[k];
        if (i->kind == RUN_BRANCH) {
            struct symbol *y = (struct symbol *)(uintptr_t)i->imm;
            if (y->at == NO_OPERAND)
                return FAIL(d, "label `%s` does not stand in this function", y->name);
            i->imm = y->at;
        } else if (i->kind == RUN_INDEXED) {
            struct symbol *t = (struct symbol *)(uintptr_t)i->imm;
            uint32_t n = 0;
            for (struct ptx_word *w = t->stmt->words; w; w = w->next, n++) {
                struct symbol *y = lookup(d, w->text, strlen(w->text), false);
                if (!y || y->kind != SYM_LABEL || y->at == NO_OPERAND) {
                    d->line = t->stmt->line;
                    return FAIL(d, "unknown label `%s`", w->text);
                }
                uint32_t at = dec_ext_add(d, &y->at, 1);
                i->ext = n ? i->ext : at;
            }
            i->imm = n;
        }
    }
    return true;
}

static void declare_params(struct decoder *d, struct ptx_function *t, bool results)
{
    struct sim_function *f = d->f;
    uint32_t n = 0;
    for (struct ptx_decl *v = results ? t->results : t->params; v; v = v->next)
        n++;
    struct sim_param_slot *slot = need(d, (n + 1) * sizeof *slot);
    if (!slot)
        return;
    uint32_t k = 0;
    for (struct ptx_decl *v = results ? t->results : t->params; v; v = v->next, k++) {
        uint64_t bytes;
        uint32_t align;
        d->line = v->line;
        if (v->space == PTX_REG)
            dec_unsupported(d, "a parameter in a register");
        else if (v->space != PTX_PARAM)
            FAIL(d, "`%s` is not in .param", v->name);
        else if (extent(d, v, &bytes, &align)) {
            struct symbol *s = declare_local(d, v, bytes, align);
            s->argument = true;
            slot[k] = (struct sim_param_slot){(uint32_t)s->address, (uint32_t)bytes};
        }
    }
    if (results)
        f->results = slot, f->result_count = n;
    else
        f->args = slot, f->arg_count = n;
}

static void declare_entry_params(struct decoder *d, struct sim_kernel *k, struct ptx_function *t)
{
    uint32_t n = 0;
    for (struct ptx_decl *v = t->params; v; v = v->next)
        n++;
    struct sim_param *p = need(d, (n + 1) * sizeof *p);
    uint64_t at = 0;
    n = 0;
    for (struct ptx_decl *v = t->params; v && p; v = v->next, n++) {
        uint64_t bytes;
        uint32_t align;
        d->line = v->line;
        if (!extent(d, v, &bytes, &align))
            return;
        at = round_up(at, align);
        struct symbol *s = variable_add(d, v, d->depth);
        s->space = PTX_PARAM;
        s->entry_param = true;
        s->address = at;
        s->bytes = bytes;
        p[n] = (struct sim_param){(uint32_t)at, (uint32_t)bytes, align};
        at += bytes;
        if (at > 32764) {
            FAIL(d, "the parameters of `%s` take more than 32764 bytes", t->name);
            return;
        }
    }
    k->facts.param = p;
    k->facts.param_count = n;
    k->facts.param_bytes = (uint32_t)at;
}

static void patch_dynamic_shared(struct decoder *d)
{
    /* Presets that ask for the begin of dynamic shared memory. */
    uint32_t align = d->shared_align < 16 ? 16 : d->shared_align;
    for (uint32_t i = 0; i < d->preset_count; i++) {
        struct sim_preset *p = &d->preset[i];
        if (p->kind == PRESET_SPECIAL && p->value == SP_DYNAMIC_SHARED)
            d->f->dynamic_shared = true;
        if (p->kind == PRESET_SPECIAL && p->value >= SP_RESERVED && p->value <= SP_RESERVED_1)
            d->m->reserved_shared = true;
    }
    d->f->shared_align = align;
    d->f->shared_bytes = d->shared;
}

static void function(struct decoder *d, struct sim_function *f, struct ptx_function *t,
                     struct sim_kernel *k)
{
    d->f = f;
    d->tree = t;
    d->code = NULL, d->lines = NULL, d->ext = NULL, d->preset = NULL, d->preset_hash = NULL,
    d->call = NULL;
    d->count = d->cap = d->ext_count = d->ext_cap = d->preset_count = d->preset_cap =
        d->call_count = d->call_cap = 0;
    d->window = 0, d->pred_at = 0, d->local = 0;
    d->span = NULL, d->spans = d->span_cap = 0;
    d->here = (struct sim_line){0};
    d->line = t->line;
    if (t->blocks_are_clusters)
        dec_unsupported(d, "`.blocksareclusters`");
    d->depth = 1;
    if (k) {
        declare_entry_params(d, k, t);
    } else {
        declare_params(d, t, true);
        declare_params(d, t, false);
    }
    d->depth = 2;
    if (!f->refused)
        body(d, t->body);
    d->line = t->end_line;
    dec_emit(d, NULL, k ? RUN_EXIT : RUN_RETURN, SIM_CONTROL);
    if (!d->log->errors && !f->refused && resolve(d)) {
        f->code = d->code, f->lines = d->lines, f->count = d->count;
        f->ext = d->ext, f->ext_count = d->ext_count;
        f->presets = d->preset, f->preset_count = d->preset_count;
        f->call = d->call, f->call_count = d->call_count;
        f->window = d->window ? d->window : 128;
        f->local_bytes = (d->local + 15) & ~15u;
        patch_dynamic_shared(d);
        dec_atomics(d);
        f->registers = dec_registers(d);
    }
    scope_close(d, 0);
    d->f = NULL;
}

/* What calls a refused function is refused. */
static void refuse_callers(struct decoder *d)
{
    struct sim_module *m = d->m;
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < m->functions; i++)
            for (uint32_t c = 0; c < m->function[i]->call_count; c++) {
                const struct sim_function *to = m->function[i]->call[c].callee;
                if (m->function[i]->refused || !to || !to->refused)
                    continue;
                char text[480];
                snprintf(text, sizeof text, "%.300s%s%.100s%s", to->refused,
                         strchr(to->refused, '(') ? "" : " (in `",
                         strchr(to->refused, '(') ? "" : to->name,
                         strchr(to->refused, '(') ? "" : "`, which it calls)");
                d->f = m->function[i];
                refuse(d, text);
                d->f = NULL;
                changed = changed || m->function[i]->refused;
            }
    }
}

/* ---- module scope ---- */
static bool put_init(struct decoder *d, uint8_t *to, uint64_t room, const struct ptx_decl *v,
                     const struct ptx_init *i, uint64_t *at, uint32_t e)
{
    if (i->list) {
        for (const struct ptx_init *c = i->items; c; c = c->next)
            if (!put_init(d, to, room, v, c, at, e))
                return false;
        return true;
    }
    if (*at + e > room)
        return FAIL(d, "`%s` has more initial values than elements", v->name);
    uint64_t value = (uint64_t)i->value;
    if (i->name) {
        struct symbol *s = dec_symbol_find(d, i->name);
        if (!s || (s->kind != SYM_VARIABLE && s->kind != SYM_FUNCTION))
            return FAIL(d, "unknown name `%s` in an initial value", i->name);
        value += s->kind == SYM_FUNCTION || i->generic ? dec_symbol_address(s) : s->address;
        if (i->masked)
            value >>= i->mask_shift;
    }
    if (i->real && e == 4)
        value = sim_bits32((float)sim_f64(value));
    memcpy(to + *at, &value, e);
    *at += e;
    return true;
}

static void init_variable(struct decoder *d, struct sim_variable *v)
{
    uint8_t *to = (uint8_t *)(uintptr_t)v->at;
    uint64_t at = 0; /* fresh pages are zero */
    d->line = v->decl->line;
    if (v->decl->init)
        put_init(d, to, v->bytes, v->decl, v->decl->init, &at, element_size(v->decl->type));
}

#define SIM_KIND_GLOBAL 0x474C4F42u /* the tag of a module's variables */
static void module_variable(struct decoder *d, struct ptx_decl *v, struct sim_variable *out)
{
    uint64_t bytes;
    uint32_t align;
    d->line = v->line;
    if (v->space == PTX_SHARED && extent(d, v, &bytes, &align)) {
        declare_shared(d, v, bytes, align);
        return;
    }
    if (v->type && strstr(v->type, "ref")) { /* what names it is refused */
        symbol_add(d, SYM_VARIABLE, v->name, 0);
        return;
    }
    if (v->space != PTX_GLOBAL && v->space != PTX_CONST) {
        FAIL(d, "`%s` cannot stand outside of a function", v->name);
        return;
    }
    if (v->array && !v->elements && v->init && v->init->list) /* as many as the list has */
        for (struct ptx_init *i = v->init->items; i && !i->list; i = i->next)
            v->elements++;
    if (!extent(d, v, &bytes, &align))
        return;
    if (v->is_extern) {
        struct symbol *have = lookup(d, v->name, strlen(v->name), false);
        if (!have)
            dec_unsupported(d, "an external variable (linking)");
        return;
    }
    if (!bytes)
        FAIL(d, "`%s` has no elements", v->name);
    struct symbol *s = variable_add(d, v, 0);
    *out = (struct sim_variable){
        .name = v->name, .space = v->space, .bytes = bytes, .align = align, .decl = v};
    if (bytes && sim_alloc(d->m->device, bytes, SIM_KIND_GLOBAL, &out->at)) {
        out->at = 0;
        FAIL(d, "device memory does not hold `%s`", v->name);
    }
    s->space = v->space;
    s->address = out->at;
    s->bytes = bytes;
}

static void module_variables(struct decoder *d)
{
    size_t n = 0;
    for (struct ptx_decl *v = d->m->tree->vars; v; v = v->next)
        n++;
    d->m->var = need(d, (n + 1) * sizeof *d->m->var);
    for (struct ptx_decl *v = d->m->tree->vars; v && d->m->var && d->log->errors < PTX_MAX_ERRORS;
         v = v->next) {
        module_variable(d, v, &d->m->var[d->m->vars]);
        if (d->m->var[d->m->vars].at)
            d->m->vars++;
    }
}

static void init_variables(struct decoder *d)
{
    for (size_t i = 0; i < d->m->vars && !d->log->errors; i++) {
        struct sim_variable *v = &d->m->var[i];
        init_variable(d, v);
        pthread_mutex_lock(&d->m->device->table);
        sim_mem *m = sim_mem_find(d->m->device, v->at);
        m->whole = true;
        m->read_only = v->space == PTX_CONST;
        pthread_mutex_unlock(&d->m->device->table);
    }
}

static void declare_functions(struct decoder *d)
{
    size_t n = 0;
    for (struct ptx_function *t = d->m->tree->functions; t; t = t->next)
        n++;
    d->m->function = need(d, (n + 1) * sizeof *d->m->function);
    d->m->kernel = need(d, (n + 1) * sizeof *d->m->kernel);
    for (struct ptx_function *t = d->m->tree->functions; t && d->m->kernel; t = t->next) {
        d->line = t->line;
        struct symbol *s = lookup(d, t->name, strlen(t->name), false);
        if (s && (s->kind != SYM_FUNCTION || s->function->entry != t->entry ||
                  (s->function->defined && t->defined))) {
            FAIL(d, "`%s` is declared twice", t->name);
            continue;
        }
        struct sim_function *f = s ? s->function : need(d, sizeof *f);
        if (!f)
            return;
        if (!s) {
            s = symbol_add(d, SYM_FUNCTION, t->name, 0);
            s->function = f;
            s->address = d->m->functions;
            *f = (struct sim_function){.name = t->name, .module = d->m, .entry = t->entry};
            d->m->function[d->m->functions++] = f;
        }
        f->defined = f->defined || t->defined;
        if (t->entry && t->defined)
            d->m->kernel[d->m->kernels++].f = f;
    }
}

#define DEEP_STACK 16384 /* bytes a lane for recursion and calls through pointers */
/* Bytes of local memory that a call of each function needs at most: grows until nothing changes,
 * which recursion never lets happen. */
static void stack_needs(struct decoder *d)
{
    struct sim_module *m = d->m;
    bool changed = true;
    for (size_t round = 0; changed && round <= m->functions; round++) {
        changed = false;
        for (size_t i = 0; i < m->functions; i++) {
            struct sim_function *f = m->function[i];
            uint32_t most = 0;
            for (uint32_t c = 0; c < f->call_count; c++) {
                uint32_t n = f->call[c].callee ? f->call[c].callee->stack : DEEP_STACK;
                most = n > most ? n : most;
            }
            uint32_t n = f->local_bytes + most;
            if (n > f->stack) {
                f->stack = n > DEEP_STACK + f->local_bytes ? DEEP_STACK + f->local_bytes : n;
                changed = changed || f->stack == n;
            }
        }
    }
}

static void facts(struct decoder *d, struct sim_kernel *k, const struct ptx_function *t)
{
    struct sim_kernel_facts *x = &k->facts;
    struct sim_function *f = k->f;
    x->name = f->name;
    x->shared_static = f->shared_bytes;
    x->local_bytes = f->stack;
    for (size_t i = 0; i < d->m->vars; i++)
        if (d->m->var[i].space == PTX_CONST)
            x->const_bytes += (uint32_t)d->m->var[i].bytes;
    x->registers = f->registers > 255 ? 255 : f->registers < 8 ? 8 : f->registers;
    if (t->max_registers && x->registers > (uint32_t)t->max_registers)
        x->registers = (uint32_t)t->max_registers;
    uint64_t most = 1024;
    const int *limit = t->req_ntid[0] ? t->req_ntid : t->max_ntid;
    if (limit[0]) {
        uint64_t n = (uint64_t)limit[0] * (uint64_t)limit[1] * (uint64_t)limit[2];
        most = n < most ? n : most;
    }
    x->max_threads = (uint32_t)most;
    if (limit[0] && x->registers > 65536 / most / 8 * 8) /* the assembler would make them fit */
        x->registers = (uint32_t)(65536 / most / 8 * 8);
    for (int i = 0; i < 3; i++)
        x->required[i] = (uint32_t)t->req_ntid[i];
    for (int i = 0; i < 3; i++)
        x->cluster[i] = (uint32_t)t->cluster[i];
    x->max_cluster = (uint32_t)t->max_cluster;
    x->explicit_cluster = t->explicit_cluster;
    x->ptx_version = (uint32_t)d->m->tree->version;
    x->target = (uint32_t)d->m->tree->target;
    x->refused = f->refused;
}

static struct ptx_function *definition(struct ptx_module *m, const char *name)
{
    for (struct ptx_function *t = m->functions; t; t = t->next)
        if (t->defined && !strcmp(t->name, name))
            return t;
    return NULL;
}

static void decode_functions(struct decoder *d, bool entries)
{
    struct sim_module *m = d->m;
    uint32_t shared = d->shared, align = d->shared_align;
    for (size_t i = 0; i < m->functions && d->log->errors < PTX_MAX_ERRORS && !d->out_of_memory;
         i++) {
        struct ptx_function *t = definition(m->tree, m->function[i]->name);
        if (!t || t->entry != entries)
            continue;
        struct sim_kernel *k = NULL;
        for (size_t j = 0; j < m->kernels; j++)
            if (m->kernel[j].f == m->function[i])
                k = &m->kernel[j];
        if (k)
            d->shared = shared, d->shared_align = align;
        function(d, m->function[i], t, k);
    }
}

bool sim_decode(struct sim_module *m, struct ptx_log *log)
{
    struct decoder *d = calloc(1, sizeof *d);
    if (!d)
        return FAIL(&(struct decoder){.log = log}, "out of memory");
    *d = (struct decoder){.m = m, .mem = &m->mem, .log = log};
    if (!rows_init(d)) {
        free(d);
        return false;
    }
    module_variables(d);
    declare_functions(d);
    decode_functions(d, false); /* first: their shared variables lie beside all others' */
    uint32_t module_shared = d->shared;
    decode_functions(d, true);
    if (m->tree->debug)
        dec_guesses_of_debug(m);
    refuse_callers(d);
    if (!log->errors)
        init_variables(d);
    stack_needs(d);
    for (size_t j = 0; j < m->kernels && !log->errors; j++) {
        struct sim_kernel *k = &m->kernel[j];
        if (k->f->shared_bytes < module_shared)
            k->f->shared_bytes = module_shared;
        facts(d, k, definition(m->tree, k->f->name));
    }
    free(d);
    return !log->errors;
}
