/* Inputs from names, results compared, graphs read and copied, passes run by name. */
#include "tool.h"
#include <errno.h>
#include <math.h>

void tool_values_free(struct tool_values *v)
{
    for (uint32_t i = 0; i < v->p.n; i++)
        free(v->p.p[i].v);
    vec_free(&v->p);
}

double *tool_data(const char *name, enum nn_dtype t, int64_t count)
{
    double *v = xcalloc((size_t)count, sizeof *v);
    uint64_t stream = hash_bytes(0, name, strlen(name));
    for (int64_t i = 0; i < count; i++) {
        double u = (double)ir_random_uniform(1, 0, stream, 0, (uint64_t)i);
        v[i] = nn_is_float(t) ? floor(u * 25 - 12) / 4 : t == NN_bool ? u < 0.5 : floor(u * 8);
    }
    return v;
}

/* What a graph's parts leave in slots: slot s has v[s] where that is not NULL. */
struct left {
    double **v;
    uint32_t part, parts;
};

static void give(const struct ir_graph *g, struct ir_eval *e, struct tool_values *data,
                 const struct left *left)
{
    for (ir_id id = 1; id < g->nodes.n; id++) {
        const struct ir_node *n = ir_at(g, id);
        if (n->op != IR_input && n->op != IR_slot)
            continue;
        if (n->op == IR_slot && left->v[n->attr.i]) {
            ir_eval_slot(e, (uint32_t)n->attr.i, left->v[n->attr.i]);
            continue;
        }
        struct tool_value x = {.count = ir_count(n)};
        x.name = n->op == IR_input ? n->name : g->m->slots.p[n->attr.i].name;
        bool whole = n->op == IR_input && n->attr.i == IR_INPUT_WHOLE;
        bool each = n->op == IR_input && !whole;
        x.v = tool_data(x.name, n->dtype, each ? x.count * left->parts : x.count);
        vec_push(&data->p, x);
        if (whole)
            ir_eval_whole(e, x.name, x.v);
        else if (each)
            ir_eval_input(e, x.name, x.v + left->part * x.count);
        else
            ir_eval_slot(e, (uint32_t)n->attr.i, x.v);
    }
}

static void take(const struct ir_graph *g, struct ir_eval *e, const char *name, ir_id id,
                 struct tool_values *out)
{
    const struct ir_node *n = ir_at(g, id);
    struct tool_value x = {name, n->dtype, ir_count(n), NULL};
    x.v = xcalloc((size_t)x.count, sizeof *x.v);
    memcpy(x.v, ir_eval_value(e, id), (size_t)x.count * sizeof *x.v);
    vec_push(&out->p, x);
}

static char *evaluate(const struct ir_graph *g, const struct left *left, struct tool_values *out)
{
    struct ir_eval *e = ir_eval_new(g, false);
    struct tool_values data = {0};
    char *message;
    give(g, e, &data, left);
    if (ir_eval_run(e, &message)) {
        for (uint32_t i = 0; i < g->outputs.n; i++)
            take(g, e, g->outputs.p[i].name, g->outputs.p[i].node, out);
        for (uint32_t i = 0; i < g->updates.n; i++)
            take(g, e, g->m->slots.p[g->updates.p[i].slot].name, g->updates.p[i].node, out);
    }
    ir_eval_free(e);
    tool_values_free(&data);
    return message;
}

/* One part: what it updates takes the place of what was left. */
static char *evaluate_part(const struct ir_graph *g, struct left *left)
{
    struct tool_values out = {0};
    char *wrong = evaluate(g, left, &out);
    for (uint32_t i = 0; !wrong && i < out.p.n; i++) {
        uint32_t slot = g->updates.p[i].slot;
        free(left->v[slot]);
        left->v[slot] = out.p.p[i].v;
        out.p.p[i].v = NULL;
    }
    tool_values_free(&out);
    return wrong;
}

char *tool_evaluate(const struct ir_graph *g, struct tool_values *out)
{
    struct left left = {xcalloc(g->m->slots.n, sizeof *left.v), 0, g->part ? g->parts : 1};
    double number = 0;
    uint32_t slot = g->part ? ir_slot_find(g->m, g->part->name) : 0;
    char *wrong = NULL;
    if (g->part)
        left.v[slot] = &number;
    for (; g->part && !wrong && left.part < left.parts; left.part++) {
        number = left.part;
        wrong = evaluate_part(g->part, &left);
    }
    if (!wrong)
        wrong = evaluate(g, &left, out);
    if (g->part)
        left.v[slot] = NULL;
    for (uint32_t i = 0; i < g->m->slots.n; i++)
        free(left.v[i]);
    free(left.v);
    return wrong;
}

static char *message(const char *fmt, ...) NNC_PRINTF(1, 2);
static char *message(const char *fmt, ...)
{
    char buf[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    struct text t = {0};
    text_printf(&t, "%s", buf);
    return t.p;
}

static char *compare_value(const struct tool_value *x, const struct tool_value *y, double bound)
{
    double largest = 0;
    if (x->count != y->count || x->dtype != y->dtype)
        return message("%s: %lld elements of %s, and %lld of %s", x->name, (long long)x->count,
                       nn_dtype_name(x->dtype), (long long)y->count, nn_dtype_name(y->dtype));
    for (int64_t i = 0; i < x->count; i++)
        if (isfinite(x->v[i]) && fabs(x->v[i]) > largest)
            largest = fabs(x->v[i]);
    for (int64_t i = 0; i < x->count; i++) {
        double a = x->v[i], b = y->v[i];
        bool same = a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= bound * (1 + largest);
        if (!same)
            return message("%s[%lld]: %.17g and %.17g (largest %g)", x->name, (long long)i, a, b,
                           largest);
    }
    return NULL;
}

char *tool_compare(const struct tool_values *x, const struct tool_values *y, double bound)
{
    if (x->p.n != y->p.n)
        return message("%u values and %u", x->p.n, y->p.n);
    for (uint32_t i = 0; i < x->p.n; i++) {
        if (strcmp(x->p.p[i].name, y->p.p[i].name) != 0)
            return message("values %s and %s", x->p.p[i].name, y->p.p[i].name);
        char *m = compare_value(&x->p.p[i], &y->p.p[i], bound);
        if (m)
            return m;
    }
    return NULL;
}

static struct text complaints;

void tool_complain(const char *fmt, ...)
{
    char buf[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    text_printf(&complaints, "%s", buf);
}

char *tool_complaints(void)
{
    text_printf(&complaints, "%s", "");
    char *p = complaints.p;
    complaints = (struct text){0};
    return p;
}

struct ir_module *tool_read_text(const char *name, const char *text, size_t size)
{
    struct diag *d = diag_new();
    struct ir_module *m = ir_read(d, diag_add_file(d, name, text, size));
    diag_print(d, stdout);
    if (m)
        m->diag = NULL;
    diag_free(d);
    return m;
}

struct ir_module *tool_read(const char *file)
{
    size_t size;
    char *text = file_read(file, (size_t)1 << 24, &size);
    if (!text) {
        printf("%s: %s\n", file, strerror(errno));
        return NULL;
    }
    struct ir_module *m = tool_read_text(file, text, size);
    free(text);
    return m;
}

struct ir_graph *tool_clone(const struct ir_graph *g)
{
    struct ir_graph *c = ir_graph_loose(g->m, g->name);
    for (ir_id id = 1; id < g->nodes.n; id++)
        ir_append_shared(c, ir_at(g, id));
    for (uint32_t i = 0; i < g->outputs.n; i++)
        vec_push(&c->outputs, g->outputs.p[i]);
    for (uint32_t i = 0; i < g->updates.n; i++)
        vec_push(&c->updates, g->updates.p[i]);
    return c;
}

char *tool_passes(struct ir_graph *g, const char *list)
{
    char *copy = xmalloc(strlen(list) + 1), *rest = copy, *wrong = NULL;
    strcpy(copy, list);
    for (char *name; !wrong && (name = strsep(&rest, ","));) {
        const struct pass *p = pass_find(name);
        if (!p) {
            wrong = message("no pass %s", name);
            break;
        }
        p->run(g);
        char *broken = ir_verify(g);
        if (broken)
            wrong = message("pass %s broke the graph: %s", name, broken);
        free(broken);
    }
    free(copy);
    return wrong;
}
