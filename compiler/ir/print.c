/* The text form, written. read.c reads it back, node for node; the sketch is in ir.h.
 *
 * Axes are printed under names that are unique in their node, so that indices can name them: an
 * axis's own name where it is an identifier and free, else one made from its position. */
#include "image.h"
#include "ir/ir.h"
#include <math.h>

struct names {
    char made[IR_MAX_AXES][16];
    const char *of[IR_MAX_AXES];
};

static bool identifier(const char *s)
{
    static const char *const words[] = {"where", "in", "else", "strict", "over", "inline"};
    if (!s || !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", s[0]) || !s[0])
        return false;
    for (const char *p = s; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789", *p))
            return false;
    for (size_t i = 0; i < COUNT(words); i++)
        if (!strcmp(s, words[i]))
            return false;
    return true;
}

static bool taken(const struct names *names, uint32_t n, const char *s)
{
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(names->of[i], s))
            return true;
    return false;
}

static void name_axes(struct names *names, uint32_t n, const struct ir_axis *ax)
{
    for (uint32_t i = 0; i < n; i++) {
        names->of[i] = ax[i].name;
        if (identifier(ax[i].name) && !taken(names, i, ax[i].name))
            continue;
        snprintf(names->made[i], sizeof names->made[i], "d%u", i);
        while (taken(names, i, names->made[i]))
            strcat(names->made[i], "_");
        names->of[i] = names->made[i];
    }
}

/* Names of slots, inputs, outputs: bare if like `fc1.weight`, else quoted. */
static void print_name(struct text *out, const char *s)
{
    bool bare = s[0] && !strchr("0123456789.", s[0]);
    for (const char *p = s; *p && bare; p++)
        bare = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.", *p);
    if (bare) {
        text_printf(out, "%s", s);
        return;
    }
    text_printf(out, "\"");
    for (const unsigned char *p = (const unsigned char *)s; *p; p++)
        if (*p == '"' || *p == '\\')
            text_printf(out, "\\%c", *p);
        else if (*p < ' ' || *p == 127)
            text_printf(out, "\\x%02x", *p);
        else
            text_printf(out, "%c", *p);
    text_printf(out, "\"");
}

/* `live dim.batch*2+1//4*3-1`, from left to right, each part where it does something. */
static void print_live(struct text *out, const struct ir_live *l, const struct ir_module *m)
{
    text_printf(out, " live ");
    print_name(out, m->slots.p[l->slot].name);
    if (l->by != 1)
        text_printf(out, "*%lld", (long long)l->by);
    if (l->plus)
        text_printf(out, "%+lld", (long long)l->plus);
    if (l->over != 1)
        text_printf(out, "//%lld", (long long)l->over);
    if (l->times != 1)
        text_printf(out, "*%lld", (long long)l->times);
    if (l->more)
        text_printf(out, "%+lld", (long long)l->more);
}

static void print_axes(struct text *out, const struct ir_module *m, uint32_t n,
                       const struct ir_axis *ax, const struct names *names, uint32_t first)
{
    for (uint32_t i = 0; i < n; i++) {
        text_printf(out, "%s%s %lld", i ? ", " : "", names->of[first + i], (long long)ax[i].n);
        if (ax[i].live)
            print_live(out, ax[i].live, m);
    }
}

/* ---- indices ---- */

static void print_ix(struct text *out, const struct ix *e, const struct names *names);

static bool simple(const struct ix *e)
{
    return (!e->n && e->c0 >= 0) ||
           (e->n == 1 && !e->c0 && e->part[0].c == 1 &&
            (e->part[0].a.kind == IX_AXIS || e->part[0].a.kind == IX_OPERAND));
}

static void print_grouped(struct text *out, const struct ix *e, const struct names *names)
{
    bool bare = simple(e);
    text_printf(out, "%s", bare ? "" : "(");
    print_ix(out, e, names);
    text_printf(out, "%s", bare ? "" : ")");
}

/* `factor`: a number is multiplied by it, so that it must hold together. */
static void print_atom(struct text *out, const struct ix_atom *a, const struct names *names,
                       bool factor)
{
    bool group = factor && (a->kind == IX_DIV || a->kind == IX_MOD);
    text_printf(out, "%s", group ? "(" : "");
    switch (a->kind) {
    case IX_AXIS: text_printf(out, "%s", names->of[a->v]); break;
    case IX_OPERAND: text_printf(out, "@%u", a->v); break;
    case IX_DIV:
    case IX_MOD:
        print_grouped(out, a->e, names);
        text_printf(out, "%s%lld", a->kind == IX_DIV ? "//" : "%", (long long)a->q);
        break;
    }
    text_printf(out, "%s", group ? ")" : "");
}

/* `2*i + r - 1`; the constant comes first only where that saves a leading minus: `3 - i`. */
static void print_ix(struct text *out, const struct ix *e, const struct names *names)
{
    bool constant_first = !e->n || (e->c0 > 0 && e->part[0].c < 0);
    if (constant_first)
        text_printf(out, "%lld", (long long)e->c0);
    for (uint32_t i = 0; i < e->n; i++) {
        int64_t c = e->part[i].c;
        uint64_t size = c < 0 ? -(uint64_t)c : (uint64_t)c;
        bool first = !i && !constant_first;
        text_printf(out, "%s", first ? (c < 0 ? "-" : "") : c < 0 ? " - " : " + ");
        if (size != 1)
            text_printf(out, "%llu*", (unsigned long long)size);
        print_atom(out, &e->part[i].a, names, size != 1);
    }
    if (!constant_first && e->c0)
        text_printf(out, " %c %lld", e->c0 < 0 ? '-' : '+', llabs((long long)e->c0));
}

static void print_term(struct text *out, const struct ir_term *t, const struct names *names)
{
    if (t->q == 1) {
        print_ix(out, t->e, names);
        return;
    }
    print_grouped(out, t->e, names);
    text_printf(out, "/%lld", (long long)t->q);
}

static void print_access(struct text *out, const struct ir_access *a, const struct names *names)
{
    text_printf(out, "[");
    for (uint32_t i = 0; i < a->rank; i++) {
        text_printf(out, "%s", i ? ", " : "");
        print_term(out, &a->at[i], names);
    }
    for (uint32_t i = 0; i < a->nguard; i++) {
        text_printf(out, "%s", i ? ", " : a->rank ? " where " : "where ");
        print_term(out, &a->guard[i], names);
        text_printf(out, " in %lld", (long long)a->guard[i].n);
    }
    if (a->fill != 0 || signbit(a->fill)) {
        text_printf(out, "%s", a->rank || a->nguard ? " else " : "else ");
        text_double(out, a->fill);
    }
    text_printf(out, "]%s", a->strict ? " strict" : "");
}

/* ---- nodes ---- */

static void print_const(struct text *out, const struct ir_node *n)
{
    if (nn_is_float(n->dtype)) {
        text_printf(out, " ");
        text_double(out, n->attr.f);
    } else if (n->dtype == NN_bool)
        text_printf(out, n->attr.i ? " true" : " false");
    else
        text_printf(out, " %lld", (long long)n->attr.i);
}

/* What stands between the operator and its operands. */
static void print_attr(const struct ir_graph *g, struct text *out, const struct ir_node *n,
                       const struct names *names)
{
    switch ((enum ir_op)n->op) {
    case IR_const: print_const(out, n); break;
    case IR_iota: text_printf(out, " %lld", (long long)n->attr.i); break;
    case IR_cumsum:
        text_printf(out, " %lld%s", (long long)n->attr.i, n->reverse ? " reverse" : "");
        break;
    case IR_random:
        text_printf(out, " stream %llu word %u", (unsigned long long)n->attr.i, n->word);
        break;
    case IR_input:
        text_printf(out, " ");
        print_name(out, n->name);
        text_printf(out, n->attr.i == IR_INPUT_WHOLE ? " whole" : "");
        break;
    case IR_slot:
        text_printf(out, " ");
        print_name(out, g->m->slots.p[n->attr.i].name);
        break;
    case IR_reduce:
        text_printf(out, " %s(", ir_monoid_name(n->monoid));
        print_axes(out, g->m, n->nred, n->dom + n->nd - n->nred, names, (uint32_t)n->nd - n->nred);
        text_printf(out, ")");
        break;
    case IR_scatter:
        text_printf(out, " ");
        print_access(out, n->out, names);
        break;
#define OP(name, arity, class) PRINT_##class(IR_##name)
#define PRINT_ARITH(op) case op:
#define PRINT_FLOAT(op) case op:
#define PRINT_CMP(op) case op:
#define PRINT_LOGIC(op) case op:
#define PRINT_ELEM(op) case op:
#define PRINT_MARK(op) case op:
#define PRINT_LEAF(op)
#define PRINT_SHAPE(op)
#include "ir/ops.def"
#undef OP
    case IR_reshape:
    case IR_OP_COUNT: break;
    }
}

static void print_origin(const struct ir_graph *g, struct text *out, uint32_t origin)
{
    const struct ir_origin *o = &g->m->origins.p[origin];
    const char *space = "";
    if (!origin)
        return;
    text_printf(out, "  # ");
    if (o->at.file && g->m->diag) {
        uint32_t column, line = diag_line(g->m->diag, o->at, &column);
        text_printf(out, "%s:%u", diag_file_name(g->m->diag, o->at.file), line);
        space = " ";
    }
    if (o->path[0] || o->role[0])
        text_printf(out, "%s%s:%s", space, o->path, o->role);
}

void ir_print_node(const struct ir_graph *g, ir_id id, struct text *out)
{
    const struct ir_node *n = ir_at(g, id);
    struct names names, value;
    name_axes(&names, n->nd, n->dom);
    text_printf(out, "%%%u = %s", id, ir_op_name(n->op));
    print_attr(g, out, n, &names);
    for (uint32_t i = 0; i < n->nin; i++) {
        text_printf(out, " %%%u", n->in[i].node);
        if (!ir_op_whole(n->op))
            print_access(out, &n->in[i].a, &names);
    }
    if (n->op == IR_scatter) {
        text_printf(out, " over (");
        print_axes(out, g->m, n->nd, n->dom, &names, 0);
        text_printf(out, ")");
        name_axes(&value, n->nval, n->val);
    }
    text_printf(out, " : %s", nn_dtype_name(n->dtype));
    if (ir_rank(n)) {
        text_printf(out, "[");
        print_axes(out, g->m, ir_rank(n), ir_axes(n), n->op == IR_scatter ? &value : &names, 0);
        text_printf(out, "]");
    }
    text_printf(out, "%s", n->inlined ? " inline" : "");
    if (n->checkpoint)
        text_printf(out, " checkpoint %u", n->checkpoint);
    text_printf(out, "%s", n->again ? " again" : "");
    print_origin(g, out, n->origin);
}

void ir_print_graph(const struct ir_graph *g, struct text *out)
{
    if (g->part)
        ir_print_graph(g->part, out);
    text_printf(out, "graph ");
    print_name(out, g->name);
    if (g->precision)
        text_printf(out, " precision %s", ir_precision_name(g->precision));
    if (g->parts > 1)
        text_printf(out, " parts %u", g->parts);
    if (g->part) {
        text_printf(out, " of ");
        print_name(out, g->part->name);
    }
    text_printf(out, " {\n");
    for (ir_id id = 1; id < g->nodes.n; id++) {
        text_printf(out, "  ");
        ir_print_node(g, id, out);
        text_printf(out, "\n");
    }
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        text_printf(out, "  output ");
        print_name(out, g->outputs.p[i].name);
        text_printf(out, " %%%u\n", g->outputs.p[i].node);
    }
    for (uint32_t i = 0; i < g->updates.n; i++) {
        text_printf(out, "  update ");
        print_name(out, g->m->slots.p[g->updates.p[i].slot].name);
        text_printf(out, " <- %%%u\n", g->updates.p[i].node);
    }
    text_printf(out, "}\n");
}

const char *ir_slot_kind_name(unsigned kind)
{
    static const char *const name[] = {"param", "state", "opt", "acc", "sys", "size"};
    CHECK(kind < COUNT(name), "slot kind %u", kind);
    return name[kind];
}

static void print_size(const struct ir_module *m, uint32_t slot, int64_t n, struct text *out)
{
    if (slot)
        print_name(out, m->slots.p[slot - 1].name);
    else
        text_printf(out, "%lld", (long long)n);
}

/* ` 1 to 72 = dim.past + dim.seq` */
static void print_range(const struct ir_module *m, const struct ir_slot *s, struct text *out)
{
    text_printf(out, " %lld to %lld", (long long)s->least, (long long)s->most);
    if (s->rule.op == NN_SIZE_GIVEN)
        return;
    text_printf(out, " = ");
    print_size(m, s->rule.left, s->rule.left_n, out);
    text_printf(out, " %s ",
                s->rule.op == NN_SIZE_SUM       ? "+"
                : s->rule.op == NN_SIZE_PRODUCT ? "*"
                                                : "//");
    print_size(m, s->rule.right, s->rule.right_n, out);
}

static void print_slot(const struct ir_module *m, const struct ir_slot *s, struct text *out)
{
    text_printf(out, "slot ");
    print_name(out, s->name);
    text_printf(out, " %s", nn_dtype_name(s->dtype));
    for (uint32_t k = 0; k < s->rank; k++)
        text_printf(out, "%s%lld", k ? ", " : "[", (long long)s->dim[k]);
    text_printf(out, "%s %s", s->rank ? "]" : "", ir_slot_kind_name(s->kind));
    if (s->identity != 0 || signbit(s->identity)) {
        text_printf(out, " identity ");
        text_double(out, s->identity);
    }
    if (s->kind == NN_SLOT_SIZE)
        print_range(m, s, out);
    if (s->of) {
        text_printf(out, " of ");
        print_name(out, m->slots.p[s->of - 1].name);
    }
    text_printf(out, "\n");
}

void ir_print(const struct ir_module *m, struct text *out)
{
    text_printf(out, "module ");
    print_name(out, m->name);
    text_printf(out, "\n");
    for (uint32_t i = 0; i < m->slots.n; i++)
        print_slot(m, &m->slots.p[i], out);
    for (uint32_t i = 0; i < m->graphs.n; i++)
        ir_print_graph(m->graphs.p[i], out);
}
