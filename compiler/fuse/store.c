/* Which nodes are stored. Inputs, slots, outputs, updates and everything that is not computed point
 * by point always are; of the rest a policy chooses. The greedy one stores what would be costly to
 * compute again, keeps what contractions read cheap, and moves the store behind a reduction down
 * its chain of element-wise users, so that they become its epilogue. */
#include "fuse/private.h"

bool fuse_computed(const struct ir_node *n) { return n->op != IR_input && n->op != IR_slot; }

bool fuse_is_root(const struct fuse_plan *p, ir_id id)
{
    for (uint32_t i = 0; i < p->g->outputs.n; i++)
        if (p->g->outputs.p[i].node == id)
            return true;
    for (uint32_t i = 0; i < p->g->updates.n; i++)
        if (p->g->updates.p[i].node == id)
            return true;
    return false;
}

static bool is_shape(const struct ir_node *n)
{
    return n->op == IR_reduce || n->op == IR_cumsum || n->op == IR_scatter;
}

struct fuse_users fuse_users(const struct ir_graph *g)
{
    uint32_t n = g->nodes.n, total = 0;
    struct fuse_users u = {xcalloc(n + 1, sizeof *u.first), NULL};
    for (ir_id i = 1; i < n; i++)
        for (uint32_t k = 0; k < g->nodes.p[i].nin; k++, total++)
            u.first[g->nodes.p[i].in[k].node + 1]++;
    for (uint32_t i = 0; i < n; i++)
        u.first[i + 1] += u.first[i];
    u.user = xcalloc(total, sizeof *u.user);
    uint32_t *at = xmalloc(n * sizeof *at);
    memcpy(at, u.first, n * sizeof *at);
    for (ir_id i = 1; i < n; i++)
        for (uint32_t k = 0; k < g->nodes.p[i].nin; k++)
            u.user[at[g->nodes.p[i].in[k].node]++] = i;
    free(at);
    return u;
}

void fuse_users_free(struct fuse_users *u)
{
    free(u->first);
    free(u->user);
}

/* Roots and shapes; the rest is inline. */
static uint8_t *must_store(struct fuse_plan *p)
{
    uint8_t *must = xcalloc(p->g->nodes.n, 1);
    for (ir_id i = 1; i < p->g->nodes.n; i++)
        must[i] = is_shape(ir_at(p->g, i)) || !fuse_computed(ir_at(p->g, i));
    for (uint32_t i = 0; i < p->g->outputs.n; i++)
        must[p->g->outputs.p[i].node] = 1;
    for (uint32_t i = 0; i < p->g->updates.n; i++)
        must[p->g->updates.p[i].node] = 1;
    return must;
}

void fuse_store_all(struct fuse_plan *p)
{
    uint8_t *must = must_store(p);
    for (ir_id i = 1; i < p->g->nodes.n; i++) {
        const struct ir_node *n = ir_at(p->g, i);
        bool leaf = n->op == IR_const || n->op == IR_iota;
        p->mode[i] = must[i] || (!n->inlined && !leaf) ? FX_STORED : FX_INLINE;
    }
    free(must);
}

/* ---- greedy ---- */

static double node_cost(const struct ir_node *n)
{
    switch (ir_op_class(n->op)) {
    case IRC_FLOAT:
        if (n->op == IR_floor || n->op == IR_ceil || n->op == IR_round)
            return 1;
        return n->op == IR_div || n->op == IR_sqrt || n->op == IR_rsqrt ? 3
               : n->op == IR_round_tf32                                 ? 1
                                                                        : 12;
    case IRC_ARITH: return n->op == IR_idiv || n->op == IR_mod ? 6 : 1;
    case IRC_LEAF: return n->op == IR_random ? 10 : 0;
    case IRC_ELEM: return n->op == IR_copy ? 0 : 1;
    case IRC_CMP:
    case IRC_LOGIC: return 1;
    case IRC_SHAPE:
    case IRC_MARK: break;
    }
    return 0;
}

/* What evaluating a node anew takes, down to what is stored. */
enum { MOST_READS = 4 };
struct price {
    double cost; /* operations an element */
    uint32_t n;  /* stored tensors of about its size that are read; MOST_READS + 1: many */
    ir_id read[MOST_READS];
    bool narrow; /* one of them has smaller elements */
};
struct weigh {
    struct price *price;
    uint8_t *operand; /* OPERAND, WINDOWED, LIBRARY: how a contraction reads it */
};

static void add_read(struct price *p, ir_id id)
{
    for (uint32_t i = 0; i < p->n && i < MOST_READS; i++)
        if (p->read[i] == id)
            return;
    if (p->n < MOST_READS)
        p->read[p->n] = id;
    p->n += p->n <= MOST_READS;
}

/* Operand k of n is the same along so much of n's domain that a loop computes it once for many
 * points. Where it stands beside others (concat) it is computed at all of them, though it counts
 * at few. */
static bool repeats(const struct ir_node *n, uint32_t k)
{
    const struct ir_access *a = &n->in[k].a;
    double often = 1;
    for (uint32_t i = 0; i < n->nd; i++) {
        bool used = false;
        for (uint32_t t = 0; t < a->rank; t++)
            used = used || ix_uses_axis(a->at[t].e, i);
        often *= used ? 1 : (double)n->dom[i].n;
    }
    return often >= 2;
}

static void weigh(const struct fuse_plan *p, struct weigh *w, ir_id id)
{
    const struct ir_node *n = ir_at(p->g, id);
    struct price *own = &w->price[id];
    *own = (struct price){.cost = node_cost(n)};
    for (uint32_t k = 0; k < n->nin; k++) {
        ir_id in = n->in[k].node;
        const struct ir_node *from = ir_at(p->g, in);
        bool few = ir_count(from) * 2 <= ir_count(n);
        if (few && p->mode[in] != FX_STORED && !repeats(n, k))
            own->cost += w->price[in].cost;
        if (few)
            continue;
        if (p->mode[in] == FX_STORED) {
            add_read(own, in);
            own->narrow = own->narrow || nn_dtype_size(from->dtype) < nn_dtype_size(n->dtype);
            continue;
        }
        const struct price *x = &w->price[in];
        own->cost += x->cost;
        own->narrow = own->narrow || x->narrow;
        for (uint32_t i = 0; i < x->n && i < MOST_READS; i++)
            add_read(own, x->read[i]);
        own->n = x->n > MOST_READS ? x->n : own->n;
    }
}

enum { OPERAND = 1, WINDOWED = 2, LIBRARY = 4 };

struct heads {
    const struct fuse_plan *p;
    uint8_t *operand;
};

/* A contraction's load: windowed if it reads every element more than once by itself. */
static void note_head(void *ctx, const struct fx *x, fx_id id)
{
    struct heads *h = ctx;
    const struct fx_val *v = &x->val.p[id];
    if (v->kind != FX_LOAD)
        return;
    double points = 1;
    for (uint32_t i = 0; i < x->n; i++)
        points *= v->axes >> i & 1 ? (double)x->dim[i] : 1;
    bool often = points >= 2 * (double)ir_count(ir_at(h->p->g, v->node));
    h->operand[v->node] |= often ? OPERAND | WINDOWED : OPERAND;
}

/* With everything stored, what a contraction loads are the heads of its operands. */
static void find_operands(const struct fuse_plan *p, uint8_t *operand)
{
    struct heads h = {p, operand};
    for (uint32_t i = 0; i < p->clusters.n; i++) {
        const struct fuse_cluster *c = &p->clusters.p[i];
        if (c->skeleton != FUSE_CONTRACT)
            continue;
        struct fx x;
        uint8_t *mode;
        fuse_fx(&x, p, c, &mode);
        fx_id v = fuse_member_value(&x, c, 0);
        uint8_t *seen = xcalloc(x.val.n, 1);
        fx_walk(&x, v, seen, note_head, &h);
        free(seen);
        fx_end(&x);
        free(mode);
        struct fuse_product product;
        if (fuse_library(p, c, &product)) {
            operand[fuse_library_reads(p, product.a)] |= LIBRARY;
            operand[fuse_library_reads(p, product.b)] |= LIBRARY;
        }
    }
}

static bool same_shape(const struct ir_node *x, const struct ir_node *y)
{
    if (ir_rank(x) != ir_rank(y))
        return false;
    for (uint32_t i = 0; i < ir_rank(x); i++)
        if (ir_axes(x)[i].n != ir_axes(y)[i].n)
            return false;
    return true;
}

/* The only user of id, if it is element-wise, may be stored and reads id point for point; else 0.
 */
static ir_id only_user(const struct fuse_plan *p, const struct fuse_users *u, ir_id id)
{
    uint32_t lo = u->first[id], hi = u->first[id + 1];
    for (uint32_t i = lo; i < hi; i++)
        if (u->user[i] != u->user[lo])
            return 0;
    if (lo == hi || fuse_is_root(p, id))
        return 0;
    ir_id user = u->user[lo];
    const struct ir_node *n = ir_at(p->g, user), *x = ir_at(p->g, id);
    if (n->inlined || !ir_op_elementwise(n->op) || !same_shape(n, x))
        return 0;
    for (uint32_t k = 0; k < n->nin; k++)
        if (n->in[k].node == id && !ir_access_is_identity(&n->in[k].a, n))
            return 0;
    return user;
}

/* The last of the chain; behind a product of the library's, the last that its epilogue holds (what
 * comes before it is seen through meanwhile). A matrix that it adds is to be stored. */
static ir_id chain_end(struct fuse_plan *p, const struct fuse_users *u, ir_id sum, uint8_t *operand)
{
    bool library = p->library && p->library[sum];
    struct fuse_product product = {0}, held = {0};
    ir_id end = sum, next = only_user(p, u, sum);
    while (next && (!library || fuse_holds(p, sum, next, &product))) {
        held = product;
        end = next;
        p->mode[end] = FX_INLINE;
        next = only_user(p, u, end);
    }
    for (ir_id i = sum; i != end;) {
        i = only_user(p, u, i);
        p->mode[i] = FX_STORED;
    }
    if (held.add)
        operand[held.add] |= LIBRARY;
    return end;
}

static void sink(struct fuse_plan *p, const struct fuse_users *u, uint8_t *operand, uint8_t *must)
{
    for (ir_id i = 1; i < p->g->nodes.n; i++)
        if (ir_at(p->g, i)->op == IR_reduce)
            must[chain_end(p, u, i, operand)] = 1;
}

/* Computing a few dozen operations again is cheaper than memory; reading two tensors again is not.
 * What contractions read is best plain: they would copy anything else. */
static bool keep(const struct fuse_plan *p, const struct fuse_users *u, const struct weigh *w,
                 ir_id id)
{
    const struct ir_node *n = ir_at(p->g, id);
    const struct price *x = &w->price[id];
    uint32_t users = u->first[id + 1] - u->first[id];
    if (n->inlined || n->op == IR_const || n->op == IR_iota || n->op == IR_random)
        return false;
    if (n->op == IR_round_tf32 && w->operand[n->in[0].node] & LIBRARY)
        return false; /* the library rounds */
    if (w->operand[id] & (WINDOWED | LIBRARY))
        return true;
    if (w->operand[id])
        return x->cost > 4 || x->n > 1 || (users > 1 && x->cost > 0 && !x->narrow);
    if (ir_count(n) <= 64)
        return users > 1 && x->cost >= 8;
    return users > 1 && (x->cost >= 40 || x->n > 1);
}

void fuse_store_greedy(struct fuse_plan *p)
{
    uint32_t n = p->g->nodes.n;
    struct weigh w = {xcalloc(n, sizeof *w.price), xcalloc(n, 1)};
    fuse_store_all(p);
    fuse_cluster_each(p);
    find_operands(p, w.operand);
    for (uint32_t i = 0; i < p->clusters.n; i++)
        fuse_cluster_free(&p->clusters.p[i]);
    p->clusters.n = 0;
    struct fuse_users u = fuse_users(p->g);
    uint8_t *must = must_store(p);
    sink(p, &u, w.operand, must);
    for (ir_id i = 1; i < n; i++) {
        weigh(p, &w, i);
        p->mode[i] = must[i] || keep(p, &u, &w, i) ? FX_STORED : FX_INLINE;
    }
    fuse_users_free(&u);
    free(must);
    free(w.price);
    free(w.operand);
}
