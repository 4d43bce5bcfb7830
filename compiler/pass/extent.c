/* How much of the forward pass is computed again in the backward pass, for less memory. Works on a
 * graph that all passes have been over.
 *
 * The forward pass is cut into segments where least is alive. What crosses from one to the next is
 * kept. Of the rest the backward pass reads what a minimum cut over bytes says: each value is kept,
 * at the cost of its size, or computed again from kept ones, if its operator may be. Element-wise
 * ones always may; reductions (contractions first of all) by their work an element, the cheapest in
 * all segments before dearer ones in any, the first segments first, since theirs are held longest.
 * So extents are numbered: 1 computes again element-wise values only, each next one allows one
 * class of work in one more segment. Results are the same, to the bit where fusion cuts the kernels
 * alike: it keeps repeated reductions from others (fuse/merge.c). */
#include "pass/pass.h"
#include <math.h>

struct pass_extents {
    const struct ir_graph *g;
    uint32_t segments, classes;
    uint32_t *segment; /* of each node */
    uint8_t *class;    /* 0: element-wise; of reductions 1 and up */
    bool *forward;     /* computed in the forward pass, and not a leaf */
    bool *forced;      /* kept: results, what crosses a segment's end */
};

static uint64_t bytes_of(const struct ir_node *n)
{
    return (uint64_t)ir_count(n) * nn_dtype_size(n->dtype);
}

/* Points of its domain. */
static double work(const struct ir_node *n)
{
    double w = n->op == IR_input || n->op == IR_slot || n->op == IR_const ? 0 : 1;
    for (uint32_t i = 0; i < n->nd; i++)
        w *= (double)n->dom[i].n;
    return w;
}

double pass_work(const struct ir_graph *g)
{
    double sum = 0;
    for (ir_id id = 1; id < g->nodes.n; id++)
        sum += work(ir_at(g, id));
    return sum;
}

/* ---- what there is ---- */

static void find_forward(struct pass_extents *x)
{
    const struct ir_graph *g = x->g;
    pass_keep_leaves(g, x->forced);
    for (ir_id id = 1; id < g->nodes.n; id++) {
        const struct ir_node *n = ir_at(g, id);
        bool back = pass_is_backward(g->m, n) && !n->checkpoint;
        bool leaf = !n->nin && n->op != IR_random;
        x->forward[id] = !back && !n->again && !leaf;
        x->forced[id] |= leaf || n->again;
        /* Clones of `checkpoint` blocks read what stands there. */
        for (uint32_t k = 0; n->again && k < n->nin; k++)
            x->forced[n->in[k].node] = true;
    }
}

/* Classes of work an element, each four times the one before; as many as there are. */
static void find_classes(struct pass_extents *x)
{
    enum { MOST = 32 };
    bool any[MOST] = {0};
    uint8_t number[MOST];
    for (int pass = 0; pass < 2; pass++) {
        for (ir_id id = 1; id < x->g->nodes.n; id++) {
            const struct ir_node *n = ir_at(x->g, id);
            bool shape = n->op == IR_reduce || n->op == IR_scatter || n->op == IR_cumsum;
            if (!x->forward[id] || !shape)
                continue;
            int c = (int)(log2(1 + work(n) / (1 + (double)ir_count(n))) / 2);
            c = c < MOST ? c : MOST - 1;
            any[c] = true;
            if (pass)
                x->class[id] = number[c];
        }
        x->classes = 0;
        for (int c = 0; c < MOST; c++)
            number[c] = any[c] ? (uint8_t)++x->classes : 0;
    }
}

/* Bytes alive behind each node, by the forward pass's own uses. */
static uint64_t *live_bytes(const struct pass_extents *x, ir_id *last)
{
    const struct ir_graph *g = x->g;
    uint64_t *live = xcalloc(g->nodes.n, sizeof *live);
    for (ir_id id = 1; id < g->nodes.n; id++)
        for (uint32_t k = 0; x->forward[id] && k < ir_at(g, id)->nin; k++)
            last[ir_at(g, id)->in[k].node] = id;
    for (ir_id id = 1; id < g->nodes.n; id++)
        for (ir_id at = id; x->forward[id] && at < last[id]; at++)
            live[at] += ir_at(g, id)->inlined ? UINT32_MAX : bytes_of(ir_at(g, id));
    return live;
}

static double stored_bytes(const struct pass_extents *x, ir_id id)
{
    const struct ir_node *n = ir_at(x->g, id);
    return x->forward[id] && !n->inlined ? (double)bytes_of(n) : 0;
}

/* The ends of the segments: near each share of all bytes, where least is alive. */
static void find_segments(struct pass_extents *x)
{
    const struct ir_graph *g = x->g;
    ir_id *last = xcalloc(g->nodes.n, sizeof *last);
    ir_id *cut = xcalloc(x->segments + 1u, sizeof *cut);
    uint64_t *live = live_bytes(x, last);
    double all = 0, sum = 0;
    for (ir_id id = 1; id < g->nodes.n; id++)
        all += stored_bytes(x, id);
    for (ir_id id = 1; id < g->nodes.n; id++) {
        sum += stored_bytes(x, id);
        uint32_t near = (uint32_t)(sum / all * x->segments + 0.5);
        if (x->forward[id] && near > 0 && near < x->segments &&
            (!cut[near] || live[id] < live[cut[near]]))
            cut[near] = id;
    }
    for (uint32_t s = 1; s < x->segments; s++)
        for (ir_id id = 1; cut[s] && id < g->nodes.n; id++) {
            x->segment[id] += id > cut[s];
            x->forced[id] |=
                x->forward[id] && id <= cut[s] && last[id] > cut[s] && !ir_at(g, id)->inlined;
        }
    free(cut);
    free(live);
    free(last);
}

struct pass_extents *pass_extents_new(const struct ir_graph *g, uint32_t segments)
{
    struct pass_extents *x = xcalloc(1, sizeof *x);
    uint32_t n = g->nodes.n;
    *x = (struct pass_extents){.g = g,
                               .segments = segments,
                               .segment = xcalloc(n, sizeof *x->segment),
                               .class = xcalloc(n, sizeof *x->class),
                               .forward = xcalloc(n, sizeof *x->forward),
                               .forced = xcalloc(n, sizeof *x->forced)};
    find_forward(x);
    find_classes(x);
    find_segments(x);
    return x;
}

void pass_extents_free(struct pass_extents *x)
{
    if (!x)
        return;
    free(x->segment);
    free(x->class);
    free(x->forward);
    free(x->forced);
    free(x);
}

uint32_t pass_extents_count(const struct pass_extents *x)
{
    bool any = false;
    for (ir_id id = 1; id < x->g->nodes.n; id++)
        any |= pass_is_backward(x->g->m, ir_at(x->g, id));
    return any ? 1 + x->classes * x->segments : 0;
}

/* ---- the cut ---- by Dinic's algorithm. Node v of the graph is two of the network's, 2v and 2v +
 * 1, its value being kept or not; 0 is the forward pass's side, 1 the backward pass's. */

#define ENDLESS (INT64_MAX / 4)
struct edge {
    uint32_t to, next; /* next: of the same node; 0 none */
    int64_t room;
};
struct flow {
    VEC(struct edge) edge; /* pairs: i and i ^ 1 are each other's reverse; 0 and 1 unused */
    uint32_t n, *first, *at, *level, *queue;
};

static void connect(struct flow *f, uint32_t from, uint32_t to, int64_t room)
{
    vec_push(&f->edge, ((struct edge){to, f->first[from], room}));
    f->first[from] = f->edge.n - 1;
    vec_push(&f->edge, ((struct edge){from, f->first[to], 0}));
    f->first[to] = f->edge.n - 1;
}

/* Levels by breadth from node 0; whether node 1 is reached. */
static bool levels(struct flow *f)
{
    uint32_t n = 0;
    memset(f->level, 0, f->n * sizeof *f->level);
    f->level[0] = 1;
    f->queue[n++] = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t e = f->first[f->queue[i]]; e; e = f->edge.p[e].next)
            if (f->edge.p[e].room > 0 && !f->level[f->edge.p[e].to]) {
                f->level[f->edge.p[e].to] = f->level[f->queue[i]] + 1;
                f->queue[n++] = f->edge.p[e].to;
            }
    return f->level[1];
}

static int64_t push(struct flow *f, uint32_t from, int64_t most)
{
    if (from == 1)
        return most;
    for (; f->at[from]; f->at[from] = f->edge.p[f->at[from]].next) {
        uint32_t e = f->at[from], to = f->edge.p[e].to;
        if (f->edge.p[e].room <= 0 || f->level[to] != f->level[from] + 1)
            continue;
        int64_t room = f->edge.p[e].room, sent = push(f, to, most < room ? most : room);
        if (!sent)
            continue;
        f->edge.p[e].room -= sent;
        f->edge.p[e ^ 1].room += sent;
        return sent;
    }
    return 0;
}

static bool may_repeat(const struct pass_extents *x, ir_id id, uint32_t extent)
{
    if (!x->class[id])
        return true;
    uint32_t nth = (x->class[id] - 1u) * x->segments + x->segment[id];
    return nth + 1 < extent;
}

/* The values of the forward pass that the backward pass wants, and what they need. */
static void network(const struct pass_extents *x, uint32_t extent, struct flow *f)
{
    const struct ir_graph *g = x->g;
    for (ir_id id = g->nodes.n; id-- > 1;) {
        const struct ir_node *n = ir_at(g, id);
        bool back = pass_is_backward(g->m, n) && !n->checkpoint;
        if (x->forward[id]) {
            int64_t price = x->forced[id] ? 0 : n->inlined ? ENDLESS : (int64_t)bytes_of(n) + 1;
            connect(f, 2 * id, 2 * id + 1, price);
            if (!may_repeat(x, id, extent))
                connect(f, 0, 2 * id, ENDLESS);
        }
        for (uint32_t k = 0; (x->forward[id] || back) && k < n->nin; k++) {
            ir_id from = n->in[k].node;
            if (x->forward[from])
                connect(f, 2 * from + 1, back ? 1 : 2 * id, ENDLESS);
            else if (!back && !x->forced[from])
                connect(f, 0, 2 * id, ENDLESS); /* hangs on the backward pass: stays */
        }
    }
}

double pass_extent(const struct pass_extents *x, struct ir_graph *g, uint32_t extent,
                   uint64_t *choice)
{
    uint32_t n = x->g->nodes.n;
    struct flow f = {.n = 2 * n};
    f.first = xcalloc(f.n, sizeof *f.first);
    f.at = xcalloc(f.n, sizeof *f.at);
    f.level = xcalloc(f.n, sizeof *f.level);
    f.queue = xcalloc(f.n, sizeof *f.queue);
    vec_push(&f.edge, (struct edge){0});
    vec_push(&f.edge, (struct edge){0});
    network(x, extent, &f);
    while (levels(&f)) {
        memcpy(f.at, f.first, f.n * sizeof *f.at);
        while (push(&f, 0, ENDLESS))
            continue;
    }
    bool *kept = xcalloc(n, sizeof *kept);
    for (ir_id id = 1; id < n; id++)
        kept[id] = !x->forward[id] || x->forced[id] || f.level[2 * id];
    *choice = hash_bytes(0, kept, n * sizeof *kept);
    pass_recompute_all(g, kept);
    pass_run(pass_find("dce"), g);
    free(kept);
    vec_free(&f.edge);
    free(f.first);
    free(f.at);
    free(f.level);
    free(f.queue);
    return pass_work(g) / pass_work(x->g) - 1;
}
