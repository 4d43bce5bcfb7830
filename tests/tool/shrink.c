/* A failing graph made small: outputs dropped, nodes replaced by inputs or by one of their
 * operands, guards, fills and flags taken away, as long as it fails. */
#include "tool.h"
#include <sys/wait.h>
#include <unistd.h>

struct shrink {
    struct ir_graph *g;
    tool_check *fails;
};

/* Keeps the changed clone if it still fails; frees it otherwise. */
static bool attempt(struct shrink *s, struct ir_graph *clone)
{
    pass_dce(clone);
    char *broken = ir_verify(clone), *message = broken ? NULL : s->fails(clone);
    bool better = message != NULL;
    if (better) {
        struct ir_graph t = *s->g;
        s->g->nodes.p = clone->nodes.p;
        s->g->nodes.n = clone->nodes.n;
        s->g->nodes.cap = clone->nodes.cap;
        s->g->outputs.p = clone->outputs.p;
        s->g->outputs.n = clone->outputs.n;
        s->g->outputs.cap = clone->outputs.cap;
        clone->nodes.p = t.nodes.p;
        clone->outputs.p = t.outputs.p;
    }
    free(broken);
    free(message);
    ir_graph_free(clone);
    return better;
}

static bool fewer_outputs(struct shrink *s)
{
    for (uint32_t i = 0; i < s->g->outputs.n && s->g->outputs.n > 1; i++) {
        struct ir_graph *c = tool_clone(s->g);
        c->outputs.p[0] = c->outputs.p[i];
        c->outputs.n = 1;
        if (attempt(s, c))
            return true;
    }
    return false;
}

static bool node_to_input(struct shrink *s, ir_id id)
{
    struct ir_graph *c = tool_clone(s->g);
    struct ir_node *n = &c->nodes.p[id];
    struct ir_node input = {.op = IR_input, .dtype = n->dtype, .nd = (uint16_t)ir_rank(n)};
    input.dom = ir_axes(n);
    input.name = intern(c->m->names, arena_printf(c->m->mem, "grid_%u", id));
    *n = input;
    return attempt(s, c);
}

static bool same_type(const struct ir_node *x, const struct ir_node *y)
{
    bool same = x->dtype == y->dtype && ir_rank(x) == ir_rank(y);
    for (uint32_t i = 0; same && i < ir_rank(x); i++)
        same = ir_axes(x)[i].n == ir_axes(y)[i].n;
    return same;
}

static bool node_to_operand(struct shrink *s, ir_id id)
{
    for (uint32_t k = 0; k < ir_at(s->g, id)->nin; k++) {
        ir_id by = ir_at(s->g, id)->in[k].node;
        if (!same_type(ir_at(s->g, by), ir_at(s->g, id)))
            continue;
        struct ir_graph *c = tool_clone(s->g);
        for (ir_id user = id + 1; user < c->nodes.n; user++) {
            struct ir_node *n = &c->nodes.p[user];
            struct ir_in *in = arena_dup(c->m->mem, n->in, n->nin * sizeof *in);
            for (uint32_t i = 0; i < n->nin; i++)
                in[i].node = in[i].node == id ? by : in[i].node;
            n->in = in;
        }
        for (uint32_t i = 0; i < c->outputs.n; i++)
            c->outputs.p[i].node = c->outputs.p[i].node == id ? by : c->outputs.p[i].node;
        if (attempt(s, c))
            return true;
    }
    return false;
}

/* what: 0 guards, 1 fill, 2 the inline flag */
static bool plainer(struct shrink *s, ir_id id, int what)
{
    const struct ir_node *old = ir_at(s->g, id);
    bool any = what == 2 && old->inlined;
    for (uint32_t k = 0; k < old->nin; k++)
        any |= what == 0 ? old->in[k].a.nguard > 0 : what == 1 && old->in[k].a.fill != 0;
    if (!any)
        return false;
    struct ir_graph *c = tool_clone(s->g);
    struct ir_node *n = &c->nodes.p[id];
    struct ir_in *in = arena_dup(c->m->mem, n->in, n->nin * sizeof *in);
    for (uint32_t k = 0; k < n->nin; k++) {
        if (what == 0)
            in[k].a.nguard = 0;
        if (what == 1)
            in[k].a.fill = 0;
    }
    n->in = in;
    if (what == 2)
        n->inlined = false;
    return attempt(s, c);
}

static bool smaller(struct shrink *s)
{
    if (fewer_outputs(s))
        return true;
    for (ir_id id = s->g->nodes.n; id-- > 1;) {
        bool leaf = !ir_at(s->g, id)->nin;
        if (!leaf && (node_to_operand(s, id) || node_to_input(s, id)))
            return true;
        if (plainer(s, id, 0) || plainer(s, id, 1) || plainer(s, id, 2))
            return true;
    }
    return false;
}

void tool_shrink(struct ir_graph *g, tool_check *fails)
{
    struct shrink s = {g, fails};
    while (smaller(&s))
        ;
}

/* ---- the mode ---- */

static const struct {
    const char *passes;
    double bound;
} lists[] = {
    {"cse", 0},
    {"dce", 0},
    {"simplify", 1e-6},
    {"fold_moves", 0},
    {"axis_order", 0},
    {"recompute", 0},
    {"anchor", 0},
    {"moments", 1e-6},
    {"simplify,cse,fold_moves,simplify,cse,axis_order,dce,anchor", 1e-6},
};

static char *check_passes(const struct ir_graph *g)
{
    struct tool_values want = {0};
    char *stopped = tool_evaluate(g, &want), *wrong = NULL;
    for (size_t i = 0; i < COUNT(lists) && !wrong && !stopped; i++) {
        struct tool_values got = {0};
        struct ir_graph *c = tool_clone(g);
        char *what = tool_passes(c, lists[i].passes);
        if (!what)
            what = tool_evaluate(c, &got);
        if (!what)
            what = tool_compare(&want, &got, lists[i].bound);
        if (what) {
            struct text t = {0};
            text_printf(&t, "%s: %s", lists[i].passes, what);
            wrong = t.p;
        }
        free(what);
        ir_graph_free(c);
        tool_values_free(&got);
    }
    tool_values_free(&want);
    free(stopped);
    return wrong;
}

static const struct target *target; /* whose loops are interpreted; NULL: machine code */
static bool as_ptx;                 /* run as PTX instead */

/* In a process of its own: an internal error or a crash is a failure to be shrunk like any other.
 */
static char *apart(const struct ir_graph *g, const struct target *t)
{
    int to[2], status;
    char buf[4096];
    struct text said = {0};
    CHECK(!pipe(to), "no pipe");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        dup2(to[1], STDERR_FILENO);
        char *wrong = tool_execute(g, t, as_ptx);
        if (wrong)
            dprintf(STDERR_FILENO, "%s", wrong);
        _exit(0);
    }
    close(to[1]);
    for (ssize_t n; (n = read(to[0], buf, sizeof buf)) > 0;)
        text_write(&said, buf, (size_t)n);
    close(to[0]);
    waitpid(child, &status, 0);
    if (status)
        text_printf(&said, "ended with status %d", status);
    return said.p;
}

static char *check_interpreter(const struct ir_graph *g) { return apart(g, target); }
static char *check_machine(const struct ir_graph *g) { return apart(g, NULL); }

static char *check_gradient(const struct ir_graph *g)
{
    char *wrong = tool_gradients(g, "gradient");
    return wrong
               ? wrong
               : tool_gradients(g, "simplify,cse,gradient,simplify,fold_moves,axis_order,cse,dce");
}

static char *check_backward(const struct ir_graph *g)
{
    struct ir_graph *b = tool_backward(g);
    char *wrong = b ? apart(b, target) : NULL;
    ir_graph_free(b);
    return wrong;
}

typedef struct ir_module *generator(uint64_t seed, int size);

static bool passed(uint64_t seed, generator *make, tool_check *check)
{
    struct ir_module *m = make(seed, 4 + (int)(seed % 24));
    if (!m)
        return false;
    struct ir_graph *g = m->graphs.p[0];
    char *wrong = ir_verify(g);
    if (wrong)
        printf("seed %llu: the generator: %s\n", (unsigned long long)seed, wrong);
    else if ((wrong = check(g))) {
        printf("seed %llu: %s\n", (unsigned long long)seed, wrong);
        tool_shrink(g, check);
        char *small = check(g);
        struct text t = {0};
        ir_print_graph(g, &t);
        printf("shrunk: %s\n%s", small, t.p);
        free(small);
        text_free(&t);
    }
    bool ok = !wrong;
    free(wrong);
    ir_module_free(m);
    return ok;
}

int mode_random(int argc, char **argv)
{
    static const struct {
        const char *name;
        generator *make;
        tool_check *check;
    } what[] = {{"passes", tool_random_graph, check_passes},
                {"gradient", tool_random_graph, check_gradient},
                {"interpreter", tool_random_graph, check_interpreter},
                {"backward", tool_random_graph, check_backward},
                {"ptx", tool_random_graph, check_interpreter},
                {"ptx_backward", tool_random_graph, check_backward},
                {"machine", tool_random_graph, check_machine},
                {"contraction", tool_random_contraction, check_interpreter},
                {"contraction_backward", tool_random_contraction, check_backward},
                {"ptx_contraction", tool_random_contraction, check_interpreter},
                {"ptx_contraction_backward", tool_random_contraction, check_backward},
                {"machine_contraction", tool_random_contraction, check_machine}};
    target = argc == 5 ? target_find(argv[4]) : target_host();
    if (argc < 4 || !target)
        return -1;
    as_ptx = !strncmp(argv[1], "ptx", 3);
    uint64_t seed = strtoull(argv[2], NULL, 10), count = strtoull(argv[3], NULL, 10);
    int failures = 0;
    size_t is = 0;
    while (is < COUNT(what) && strcmp(what[is].name, argv[1]))
        is++;
    if (is == COUNT(what))
        return -1;
    for (uint64_t i = 0; i < count && failures < 3; i++)
        failures += !passed(seed + i, what[is].make, what[is].check);
    return failures > 0;
}
