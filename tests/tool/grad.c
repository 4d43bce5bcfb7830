/* Gradients against central differences, in f64 by the evaluator. The loss is the sum of every
 * float output times weights that are made up; its gradient is asked of every float input and slot.
 * An element where two step widths disagree (a kink, a jump) is left out. */
#include "tool.h"
#include <math.h>

struct leaf { /* an input or slot */
    const char *name;
    ir_id node;
    int64_t count;
    uint32_t slot; /* UINT32_MAX: an input */
    bool real;
    double *v;
};

struct probe {
    struct ir_graph *g;    /* output 0: the loss; then the gradients, of the real leaves in order */
    struct ir_graph *loss; /* the loss alone */
    VEC(struct leaf) leaves;
};

/* Irregular numbers, away from 0: kinks at round numbers are not met. */
static double *irregular(const char *name, enum nn_dtype t, int64_t count)
{
    double *v = tool_data(name, t, count);
    uint64_t stream = hash_bytes(0, name, strlen(name));
    for (int64_t i = 0; i < count && nn_is_float(t); i++)
        v[i] += 0.03 + 0.17 * (double)ir_random_uniform(2, 0, stream, 0, (uint64_t)i);
    return v;
}

static void add_leaf(struct probe *p, ir_id id)
{
    const struct ir_node *n = ir_at(p->g, id);
    bool slot = n->op == IR_slot;
    struct leaf x = {slot ? p->g->m->slots.p[n->attr.i].name : n->name,
                     id,
                     ir_count(n),
                     slot ? (uint32_t)n->attr.i : UINT32_MAX,
                     nn_is_float(n->dtype),
                     NULL};
    for (uint32_t i = 0; i < p->leaves.n; i++)
        if (!strcmp(p->leaves.p[i].name, x.name))
            return;
    x.v = irregular(x.name, n->dtype, x.count);
    vec_push(&p->leaves, x);
}

static void find_leaves(struct probe *p)
{
    for (ir_id id = 1; id < p->g->nodes.n; id++)
        if (ir_at(p->g, id)->op == IR_input || ir_at(p->g, id)->op == IR_slot)
            add_leaf(p, id);
}

/* sum of y * w over all axes */
static ir_id weighted(struct ir_builder *b, ir_id y, uint32_t number, enum nn_dtype to)
{
    char name[24];
    uint32_t axes[IR_MAX_AXES], rank = ir_rank(ir_at(b->g, y));
    enum nn_dtype t = ir_at(b->g, y)->dtype;
    snprintf(name, sizeof name, "weight%u", number);
    ir_id w = ir_input(b, name, t, rank, ir_axes(ir_at(b->g, y)));
    for (uint32_t i = 0; i < rank; i++)
        axes[i] = i;
    ir_id sum = ir_reduce(b, IRM_sum, ir_binary(b, IR_mul, y, w), rank, axes);
    return ir_cast(b, to, sum);
}

/* False where there is nothing to differentiate. */
static bool prepare(struct probe *p, const struct ir_graph *forward)
{
    struct ir_builder b;
    ir_id loss = 0;
    p->g = tool_clone(forward);
    p->g->updates.n = 0;
    b = (struct ir_builder){.g = p->g};
    find_leaves(p);
    uint32_t given = p->leaves.n;
    for (uint32_t i = 0; i < forward->outputs.n; i++) {
        ir_id y = forward->outputs.p[i].node;
        if (!nn_is_float(ir_at(p->g, y)->dtype))
            continue;
        ir_id term = weighted(&b, y, i, ir_at(p->g, loss ? loss : y)->dtype);
        loss = loss ? ir_binary(&b, IR_add, loss, term) : term;
    }
    p->g->outputs.n = 0;
    if (!loss)
        return false;
    vec_push(&p->g->outputs, ((struct ir_named){"loss", loss}));
    find_leaves(p);
    p->loss = tool_clone(p->g);
    for (uint32_t i = 0; i < p->leaves.n; i++) {
        p->leaves.p[i].real = p->leaves.p[i].real && i < given;
        if (p->leaves.p[i].real)
            vec_push(&p->g->outputs, ((struct ir_named){p->leaves.p[i].name,
                                                        ir_grad(&b, loss, p->leaves.p[i].node)}));
    }
    return true;
}

static struct ir_eval *open_eval(const struct probe *p, const struct ir_graph *g)
{
    struct ir_eval *e = ir_eval_new(g, false);
    for (uint32_t i = 0; i < p->leaves.n; i++) {
        const struct leaf *x = &p->leaves.p[i];
        if (x->slot == UINT32_MAX)
            ir_eval_input(e, x->name, x->v);
        else
            ir_eval_slot(e, x->slot, x->v);
    }
    return e;
}

static double loss_at(const struct probe *p, struct ir_eval *e, double *spot, double v)
{
    char *message;
    double old = *spot;
    *spot = v;
    bool ok = ir_eval_run(e, &message);
    *spot = old;
    free(message);
    return ok ? ir_eval_value(e, p->loss->outputs.p[0].node)[0] : NAN;
}

static double slope(const struct probe *p, struct ir_eval *e, double *spot, double h)
{
    double up = loss_at(p, e, spot, *spot + h), down = loss_at(p, e, spot, *spot - h);
    return (up - down) / (2 * h);
}

static char *check_leaf(const struct probe *p, struct ir_eval *e, const struct leaf *x,
                        const double *got)
{
    double largest = 0;
    for (int64_t i = 0; i < x->count; i++)
        largest = isfinite(got[i]) && fabs(got[i]) > largest ? fabs(got[i]) : largest;
    for (int64_t i = 0; i < x->count; i++) {
        double bound = 1e-5 * (1 + largest), wide = slope(p, e, &x->v[i], 1e-4);
        if (fabs(got[i] - wide) <= bound)
            continue;
        double narrow = slope(p, e, &x->v[i], 1e-6);
        if (fabs(got[i] - narrow) <= 10 * bound || fabs(wide - narrow) > bound || isnan(narrow))
            continue;
        struct text t = {0};
        text_printf(&t, "d loss / d %s[%lld] is %.12g, by differences %.12g", x->name, (long long)i,
                    got[i], narrow);
        return t.p;
    }
    return NULL;
}

static char *compare_all(struct probe *p)
{
    char *wrong;
    struct ir_eval *gradients = open_eval(p, p->g), *e = open_eval(p, p->loss);
    uint32_t output = 1;
    if (ir_eval_run(e, &wrong) && ir_eval_run(gradients, &wrong))
        for (uint32_t i = 0; i < p->leaves.n && !wrong; i++)
            if (p->leaves.p[i].real)
                wrong = check_leaf(p, e, &p->leaves.p[i],
                                   ir_eval_value(gradients, p->g->outputs.p[output++].node));
    ir_eval_free(gradients);
    ir_eval_free(e);
    return wrong;
}

static void close_probe(struct probe *p)
{
    for (uint32_t i = 0; i < p->leaves.n; i++)
        free(p->leaves.p[i].v);
    vec_free(&p->leaves);
    ir_graph_free(p->g);
    ir_graph_free(p->loss);
}

struct ir_graph *tool_backward(const struct ir_graph *forward)
{
    struct probe p = {0};
    struct ir_graph *g = NULL;
    if (prepare(&p, forward)) {
        pass_gradient(p.g);
        g = p.g;
        p.g = NULL;
        g->outputs.n--;
        memmove(g->outputs.p, g->outputs.p + 1, g->outputs.n * sizeof *g->outputs.p);
    }
    close_probe(&p);
    return g;
}

char *tool_gradients(const struct ir_graph *forward, const char *passes)
{
    struct probe p = {0};
    char *wrong = NULL;
    if (prepare(&p, forward)) {
        wrong = tool_passes(p.g, passes);
        if (!wrong)
            wrong = compare_all(&p);
    }
    close_probe(&p);
    return wrong;
}

int mode_grad(int argc, char **argv)
{
    static const char *const lists[] = {"gradient", "simplify,cse,gradient,simplify,cse,fold_moves,"
                                                    "simplify,cse,dce"};
    struct ir_module *m = argc == 2 ? tool_read(argv[1]) : NULL;
    int failed = !m || !m->graphs.n;
    for (uint32_t i = 0; m && i < m->graphs.n; i++)
        for (size_t k = 0; k < COUNT(lists); k++) {
            char *wrong = tool_gradients(m->graphs.p[i], lists[k]);
            if (wrong)
                printf("graph %s, passes %s: %s\n", m->graphs.p[i]->name, lists[k], wrong);
            failed |= wrong != NULL;
            free(wrong);
        }
    ir_module_free(m);
    return failed;
}
