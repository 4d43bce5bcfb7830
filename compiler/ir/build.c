/* Modules, graphs and the builders of nodes. Builders trust their callers: what a user can get
 * wrong was refused by front/ or by the reader; a slip here is a BUG, and verify.c finds the rest.
 */
#include "ir/ir.h"

struct ir_module *ir_module_new(const char *name, struct diag *d)
{
    struct ir_module *m = xcalloc(1, sizeof *m);
    m->mem = arena_new();
    m->names = intern_new();
    m->diag = d;
    m->name = intern(m->names, name);
    vec_push(&m->origins, (struct ir_origin){0});
    return m;
}

void ir_module_free(struct ir_module *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->graphs.n; i++)
        ir_graph_free(m->graphs.p[i]);
    vec_free(&m->graphs);
    vec_free(&m->slots);
    vec_free(&m->origins);
    intern_free(m->names);
    arena_free(m->mem);
    free(m);
}

struct ir_graph *ir_graph_loose(struct ir_module *m, const char *name)
{
    struct ir_graph *g = xcalloc(1, sizeof *g);
    g->name = intern(m->names, name);
    g->m = m;
    vec_push(&g->nodes, (struct ir_node){0});
    return g;
}

struct ir_graph *ir_graph_new(struct ir_module *m, const char *name)
{
    struct ir_graph *g = ir_graph_loose(m, name);
    vec_push(&m->graphs, g);
    return g;
}

void ir_graph_free(struct ir_graph *g)
{
    if (!g)
        return;
    vec_free(&g->nodes);
    vec_free(&g->outputs);
    vec_free(&g->updates);
    vec_free(&g->sizes);
    vec_free(&g->ranges);
    ir_graph_free(g->part);
    free(g);
}

struct ir_graph *ir_graph_copy(const struct ir_graph *g)
{
    struct ir_graph *c = ir_graph_loose(g->m, g->name);
    c->precision = g->precision;
    c->parts = g->parts;
    for (ir_id id = 1; id < g->nodes.n; id++)
        vec_push(&c->nodes, *ir_at(g, id));
    for (uint32_t i = 0; i < g->outputs.n; i++)
        vec_push(&c->outputs, g->outputs.p[i]);
    for (uint32_t i = 0; i < g->updates.n; i++)
        vec_push(&c->updates, g->updates.p[i]);
    for (uint32_t i = 0; i < g->sizes.n; i++)
        vec_push(&c->sizes, g->sizes.p[i]);
    for (uint32_t i = 0; i < g->ranges.n; i++)
        vec_push(&c->ranges, g->ranges.p[i]);
    return c;
}

struct ir_graph *ir_graph_find(struct ir_module *m, const char *name)
{
    for (uint32_t i = 0; i < m->graphs.n; i++)
        if (!strcmp(m->graphs.p[i]->name, name))
            return m->graphs.p[i];
    return NULL;
}

uint32_t ir_slot_add(struct ir_module *m, struct ir_slot s)
{
    CHECK(s.rank <= NN_MAX_RANK, "slot %s of rank %u", s.name, s.rank);
    s.name = intern(m->names, s.name);
    s.dim = arena_dup(m->mem, s.dim, s.rank * sizeof *s.dim);
    vec_push(&m->slots, s);
    return m->slots.n - 1;
}

uint32_t ir_slot_find(const struct ir_module *m, const char *name)
{
    for (uint32_t i = 0; i < m->slots.n; i++)
        if (!strcmp(m->slots.p[i].name, name))
            return i;
    return UINT32_MAX;
}

uint32_t ir_origin_add(struct ir_module *m, struct loc at, const char *path, const char *role)
{
    struct ir_origin o = {at, intern(m->names, path ? path : ""),
                          intern(m->names, role ? role : "")};
    const struct ir_origin *last = &vec_last(&m->origins);
    if (last->path == o.path && last->role == o.role && !memcmp(&last->at, &at, sizeof at))
        return m->origins.n - 1;
    vec_push(&m->origins, o);
    return m->origins.n - 1;
}

bool ir_live_equal(const struct ir_live *x, const struct ir_live *y)
{
    if (!x || !y)
        return x == y;
    return x->slot == y->slot && x->by == y->by && x->plus == y->plus && x->over == y->over &&
           x->times == y->times && x->more == y->more;
}

static const struct ir_axis *copy_axes(struct ir_module *m, uint32_t n, const struct ir_axis *ax)
{
    struct ir_axis *p = ARENA_ARRAY(m->mem, struct ir_axis, n);
    for (uint32_t i = 0; i < n; i++)
        p[i] =
            (struct ir_axis){ax[i].name ? intern(m->names, ax[i].name) : NULL, ax[i].n,
                             ax[i].live ? arena_dup(m->mem, ax[i].live, sizeof *ax[i].live) : NULL};
    return p;
}

static struct ir_access copy_access(struct ir_module *m, struct ir_access a)
{
    a.at = arena_dup(m->mem, a.at, a.rank * sizeof *a.at);
    a.guard = arena_dup(m->mem, a.guard, a.nguard * sizeof *a.guard);
    return a;
}

ir_id ir_append(struct ir_graph *g, const struct ir_node *n)
{
    struct ir_module *m = g->m;
    struct ir_node c = *n;
    c.dom = copy_axes(m, n->nd, n->dom);
    struct ir_in *in = ARENA_ARRAY(m->mem, struct ir_in, n->nin);
    for (uint32_t i = 0; i < n->nin; i++)
        in[i] = (struct ir_in){n->in[i].node, copy_access(m, n->in[i].a)};
    c.in = in;
    c.name = n->name ? intern(m->names, n->name) : NULL;
    if (n->out) {
        c.val = copy_axes(m, n->nval, n->val);
        struct ir_access out = copy_access(m, *n->out);
        c.out = arena_dup(m->mem, &out, sizeof out);
    }
    return ir_append_shared(g, &c);
}

ir_id ir_append_shared(struct ir_graph *g, const struct ir_node *n)
{
    struct ir_node c = *n; /* n may point into the array that grows */
    for (uint32_t i = 0; i < c.nin; i++)
        CHECK(c.in[i].node && c.in[i].node < g->nodes.n, "%s: operand %u comes after its user",
              ir_op_name(c.op), i);
    vec_push(&g->nodes, c);
    return g->nodes.n - 1;
}

uint32_t ir_rank(const struct ir_node *n)
{
    return n->op == IR_scatter ? n->nval : (uint32_t)n->nd - n->nred;
}

const struct ir_axis *ir_axes(const struct ir_node *n)
{
    return n->op == IR_scatter ? n->val : n->dom;
}

int64_t ir_count(const struct ir_node *n)
{
    int64_t count = 1;
    const struct ir_axis *ax = ir_axes(n);
    for (uint32_t i = 0, rank = ir_rank(n); i < rank; i++)
        count *= ax[i].n;
    return count;
}

void ir_dims(const struct ir_node *n, int64_t *dim)
{
    for (uint32_t i = 0; i < n->nd; i++)
        dim[i] = n->dom[i].n;
}

/* ---- conveniences ---- */

static ir_id append(struct ir_builder *b, struct ir_node n)
{
    n.origin = b->origin;
    n.checkpoint = b->checkpoint;
    n.inlined = b->inlined;
    return ir_append(b->g, &n);
}

static struct ir_node domain(enum ir_op op, enum nn_dtype t, uint32_t rank,
                             const struct ir_axis *ax)
{
    CHECK(rank <= IR_MAX_AXES, "%s: %u axes", ir_op_name(op), rank);
    return (struct ir_node){
        .op = (uint8_t)op, .dtype = (uint8_t)t, .nd = (uint16_t)rank, .dom = ax};
}

ir_id ir_const_f(struct ir_builder *b, enum nn_dtype t, double v)
{
    CHECK(nn_is_float(t), "a float constant of type %s", nn_dtype_name(t));
    struct ir_node n = domain(IR_const, t, 0, NULL);
    n.attr.f = v;
    return append(b, n);
}

ir_id ir_const_i(struct ir_builder *b, enum nn_dtype t, int64_t v)
{
    CHECK(!nn_is_float(t), "an integer constant of type %s", nn_dtype_name(t));
    struct ir_node n = domain(IR_const, t, 0, NULL);
    n.attr.i = v;
    return append(b, n);
}

ir_id ir_input(struct ir_builder *b, const char *name, enum nn_dtype t, uint32_t rank,
               const struct ir_axis *ax)
{
    struct ir_node n = domain(IR_input, t, rank, ax);
    n.name = name;
    return append(b, n);
}

ir_id ir_slot_read(struct ir_builder *b, uint32_t slot)
{
    const struct ir_slot *s = &b->g->m->slots.p[slot];
    struct ir_axis ax[NN_MAX_RANK] = {{0}};
    for (uint32_t i = 0; i < s->rank; i++)
        ax[i].n = s->dim[i];
    struct ir_node n = domain(IR_slot, s->dtype, s->rank, ax);
    n.attr.i = slot;
    return append(b, n);
}

/* One axis of a broadcast: 1 gives way; the first name stays. */
static void join_axis(struct ir_axis *to, struct ir_axis from, enum ir_op op)
{
    CHECK(to->n == from.n || to->n == 1 || from.n == 1,
          "%s: axes of %lld and %lld do not broadcast", ir_op_name(op), (long long)to->n,
          (long long)from.n);
    if (!to->name || (to->n == 1 && from.n != 1 && from.name))
        to->name = from.name;
    if (to->n == 1)
        to->n = from.n;
}

/* NumPy's rule: trailing axes are aligned. */
static uint32_t join_axes(const struct ir_graph *g, enum ir_op op, uint32_t n, const ir_id *in,
                          struct ir_axis *ax)
{
    uint32_t rank = 0;
    for (uint32_t k = 0; k < n; k++)
        rank = ir_rank(ir_at(g, in[k])) > rank ? ir_rank(ir_at(g, in[k])) : rank;
    CHECK(rank <= IR_MAX_AXES, "%s: %u axes", ir_op_name(op), rank);
    for (uint32_t i = 0; i < rank; i++)
        ax[i] = (struct ir_axis){NULL, 1, NULL};
    for (uint32_t k = 0; k < n; k++) {
        const struct ir_node *x = ir_at(g, in[k]);
        uint32_t r = ir_rank(x);
        for (uint32_t i = 0; i < r; i++)
            join_axis(&ax[rank - r + i], ir_axes(x)[i], op);
    }
    return rank;
}

/* Reads x, aligned to the trailing ones of `rank` axes; an axis of 1 is read at 0. */
static struct ir_access broadcast_access(struct ir_builder *b, ir_id x, uint32_t rank,
                                         const struct ir_axis *ax)
{
    const struct ir_node *n = ir_at(b->g, x);
    struct arena *mem = b->g->m->mem;
    uint32_t r = ir_rank(n);
    CHECK(r <= rank, "broadcast to fewer axes");
    struct ir_term *at = ARENA_ARRAY(mem, struct ir_term, r);
    for (uint32_t i = 0; i < r; i++) {
        int64_t size = ir_axes(n)[i].n;
        bool one = size == 1 && ax[rank - r + i].n != 1;
        at[i] = (struct ir_term){one ? ix_const(mem, 0) : ix_axis(mem, rank - r + i), 1, size};
    }
    return (struct ir_access){.rank = r, .at = at};
}

static enum nn_dtype elem_dtype(const struct ir_graph *g, enum ir_op op, const ir_id *in)
{
    if (ir_op_class(op) == IRC_CMP)
        return NN_bool;
    return ir_at(g, in[op == IR_select ? 1 : 0])->dtype;
}

static ir_id elem(struct ir_builder *b, enum ir_op op, enum nn_dtype t, uint32_t n, const ir_id *in)
{
    struct ir_axis ax[IR_MAX_AXES];
    struct ir_in operand[3];
    CHECK(n <= COUNT(operand) && (int)n == ir_op_arity(op), "%s of %u operands", ir_op_name(op), n);
    uint32_t rank = join_axes(b->g, op, n, in, ax);
    for (uint32_t k = 0; k < n; k++)
        operand[k] = (struct ir_in){in[k], broadcast_access(b, in[k], rank, ax)};
    struct ir_node node = domain(op, t, rank, ax);
    node.nin = (uint16_t)n;
    node.in = operand;
    return append(b, node);
}

ir_id ir_elem(struct ir_builder *b, enum ir_op op, uint32_t n, const ir_id *in)
{
    return elem(b, op, elem_dtype(b->g, op, in), n, in);
}

ir_id ir_unary(struct ir_builder *b, enum ir_op op, ir_id x) { return ir_elem(b, op, 1, &x); }

ir_id ir_binary(struct ir_builder *b, enum ir_op op, ir_id x, ir_id y)
{
    return ir_elem(b, op, 2, (ir_id[]){x, y});
}

ir_id ir_select(struct ir_builder *b, ir_id c, ir_id x, ir_id y)
{
    return ir_elem(b, IR_select, 3, (ir_id[]){c, x, y});
}

ir_id ir_cast(struct ir_builder *b, enum nn_dtype t, ir_id x)
{
    return ir_at(b->g, x)->dtype == t ? x : elem(b, IR_cast, t, 1, &x);
}

static enum nn_dtype reduce_dtype(enum ir_monoid m, enum nn_dtype t)
{
    return m == IRM_argmax || m == IRM_argmin ? NN_i32 : t;
}

ir_id ir_reduce(struct ir_builder *b, enum ir_monoid m, ir_id x, uint32_t n, const uint32_t *axes)
{
    const struct ir_node *from = ir_at(b->g, x);
    struct arena *mem = b->g->m->mem;
    uint32_t rank = ir_rank(from), kept = 0, folded = rank - n;
    struct ir_axis ax[IR_MAX_AXES];
    struct ir_term at[IR_MAX_AXES];
    for (uint32_t i = 0, k = 0; i < rank; i++) {
        bool fold = k < n && axes[k] == i;
        uint32_t to = fold ? folded++ : kept++;
        k += fold;
        ax[to] = ir_axes(from)[i];
        at[i] = (struct ir_term){ix_axis(mem, to), 1, ax[to].n};
    }
    CHECK(kept + n == rank, "reduce: axes out of order or out of range");
    struct ir_in in = {x, {.rank = rank, .at = at}};
    struct ir_node node = domain(IR_reduce, reduce_dtype(m, from->dtype), rank, ax);
    node.monoid = (uint8_t)m;
    node.nred = (uint16_t)n;
    node.nin = 1;
    node.in = &in;
    return append(b, node);
}

ir_id ir_reshape(struct ir_builder *b, ir_id x, uint32_t rank, const struct ir_axis *ax)
{
    struct ir_in in = {.node = x};
    struct ir_node node = domain(IR_reshape, ir_at(b->g, x)->dtype, rank, ax);
    node.nin = 1;
    node.in = &in;
    CHECK(ir_count(&node) == ir_count(ir_at(b->g, x)), "reshape of %lld elements to %lld",
          (long long)ir_count(ir_at(b->g, x)), (long long)ir_count(&node));
    return append(b, node);
}

ir_id ir_move(struct ir_builder *b, ir_id x, uint32_t rank, const struct ir_axis *ax,
              struct ir_access a)
{
    CHECK(a.rank == ir_rank(ir_at(b->g, x)), "move: an access of rank %u", a.rank);
    struct ir_in in = {x, a};
    struct ir_node node = domain(IR_copy, ir_at(b->g, x)->dtype, rank, ax);
    node.nin = 1;
    node.in = &in;
    return append(b, node);
}

ir_id ir_transpose(struct ir_builder *b, ir_id x, const uint32_t *perm)
{
    const struct ir_node *from = ir_at(b->g, x);
    uint32_t rank = ir_rank(from);
    struct ir_axis ax[IR_MAX_AXES];
    struct ir_term at[IR_MAX_AXES];
    for (uint32_t i = 0; i < rank; i++) {
        CHECK(perm[i] < rank, "transpose: axis %u of %u", perm[i], rank);
        ax[i] = ir_axes(from)[perm[i]];
        at[perm[i]] = (struct ir_term){ix_axis(b->g->m->mem, i), 1, ax[i].n};
    }
    return ir_move(b, x, rank, ax, (struct ir_access){.rank = rank, .at = at});
}

ir_id ir_broadcast(struct ir_builder *b, ir_id x, uint32_t rank, const struct ir_axis *ax)
{
    return ir_move(b, x, rank, ax, broadcast_access(b, x, rank, ax));
}

ir_id ir_iota(struct ir_builder *b, enum nn_dtype t, uint32_t axis, uint32_t rank,
              const struct ir_axis *ax)
{
    struct ir_node node = domain(IR_iota, t, rank, ax);
    node.attr.i = axis;
    return append(b, node);
}

ir_id ir_random(struct ir_builder *b, ir_id seed, ir_id step, uint64_t stream, int word,
                uint32_t rank, const struct ir_axis *ax)
{
    struct ir_in in[] = {{.node = seed}, {.node = step}};
    struct ir_node node = domain(IR_random, NN_f32, rank, ax);
    node.nin = 2;
    node.in = in;
    node.word = (uint8_t)word;
    node.attr.i = (int64_t)stream;
    return append(b, node);
}

/* custom and grad name their operands as wholes: no accesses. */
static ir_id mark(struct ir_builder *b, enum ir_op op, ir_id like, uint32_t n, const ir_id *operand)
{
    const struct ir_node *x = ir_at(b->g, like);
    struct ir_in *in = xcalloc(n, sizeof *in);
    for (uint32_t i = 0; i < n; i++)
        in[i].node = operand[i];
    struct ir_node node = domain(op, x->dtype, ir_rank(x), ir_axes(x));
    node.nin = (uint16_t)n;
    node.in = in;
    ir_id id = append(b, node);
    free(in);
    return id;
}

ir_id ir_hole(struct ir_builder *b, ir_id like) { return mark(b, IR_hole, like, 0, NULL); }

ir_id ir_grad(struct ir_builder *b, ir_id loss, ir_id x)
{
    return mark(b, IR_grad, x, 2, (ir_id[]){loss, x});
}

ir_id ir_custom(struct ir_builder *b, ir_id value, uint32_t k, const ir_id *inputs, ir_id hole,
                const ir_id *derivatives)
{
    ir_id *in = xcalloc(2 * (size_t)k + 2, sizeof *in);
    in[0] = value;
    in[k + 1] = hole;
    for (uint32_t i = 0; i < k; i++) {
        in[1 + i] = inputs[i];
        in[k + 2 + i] = derivatives[i];
    }
    ir_id id = mark(b, IR_custom, value, 2 * k + 2, in);
    free(in);
    return id;
}
