/* Chains in place of the clusters that they compute: how many rows a block has, what it keeps, and
 * which chains are worth it. Values that some kernel has to do with together are one *group*; the
 * chains of a group are placed all or none, since a square value that one of them needs stored
 * costs what the others save. One attention that cannot be a chain leaves those that it shares
 * nothing with as they are. Where one value of a backward pass is wanted beside the chains (a
 * gradient that is a sum along diagonals: of a bias by distance), a further chain stores that one,
 * for as long as the sum takes; the forward pass and all other values stay out of memory. */
#include "fuse/chain.h"

enum {
    BLOCK_BYTES = 256 << 10, /* of all that a block keeps */
    MOST_ROWS = 128,
    GPU_BYTES = 32 << 10, /* the same in a GPU's shared memory */
    MOST_GPU_ROWS = 64,
    LEAST_ROWS = 4,
};

/* ---- a chain as a cluster ---- */

/* The buffers' sizes, for a block of one row, in bytes. */
static double row_bytes(const struct chains *w, const struct chain *c)
{
    double sum = 0;
    for (uint32_t i = 0; i < c->local.n; i++) {
        double bytes = chain_bytes(ir_at(w->p->g, c->local.p[i].node));
        for (uint32_t k = 0; k < c->rows; k++)
            bytes /= (double)c->dim[k];
        sum += bytes;
    }
    return sum;
}

/* On a GPU a block is in shared memory, beside the tiles of its contractions: so that some blocks
 * share a multiprocessor, but of 16 rows where they fit. */
static int64_t most_rows(const struct chains *w, const struct chain *c)
{
    const struct target *t = w->p->target;
    double row = row_bytes(w, c);
    if (t->kind == TARGET_CPU)
        return BLOCK_BYTES / row > MOST_ROWS ? MOST_ROWS : (int64_t)(BLOCK_BYTES / row);
    double all = ((double)t->shared_block - FUSE_TILE_BYTES) / row, rows = GPU_BYTES / row;
    if (rows < 16)
        rows = all < 16 ? all : 16;
    return rows > MOST_GPU_ROWS ? MOST_GPU_ROWS : (int64_t)(rows < all ? rows : all);
}

static int64_t block_of(const struct chains *w, const struct chain *c)
{
    int64_t n = c->dim[c->rows - 1], rows = most_rows(w, c);
    rows = rows < LEAST_ROWS ? LEAST_ROWS : rows;
    if (rows >= n)
        return n;
    for (int64_t i = rows; 2 * i >= rows; i--) /* without a short block at the end */
        if (n % i == 0)
            return i;
    return rows > 8 ? rows / 8 * 8 : rows;
}

static struct fx_local *make_locals(const struct chains *w, const struct chain *c, int64_t block)
{
    struct fx_local *l = ARENA_ARRAY(w->p->g->m->mem, struct fx_local, c->local.n);
    for (uint32_t i = 0; i < c->local.n; i++) {
        const struct ir_node *n = ir_at(w->p->g, c->local.p[i].node);
        l[i].node = c->local.p[i].node;
        for (uint32_t k = 0; k < ir_rank(n); k++)
            l[i].dim[k] = ir_axes(n)[k].n;
        for (uint32_t k = 0; k + 1 < c->rows; k++) {
            l[i].apart |= 1u << c->local.p[i].row[k];
            l[i].dim[c->local.p[i].row[k]] = 1;
        }
        l[i].split = c->local.p[i].row[c->rows - 1];
        l[i].dim[l[i].split] = block;
    }
    return l;
}

static int by_id(const void *x, const void *y)
{
    ir_id a = *(const ir_id *)x, b = *(const ir_id *)y;
    return (a > b) - (a < b);
}

static void add_inputs(struct chain *from, struct fuse_cluster *c, const struct fuse_cluster *stage)
{
    for (uint32_t k = 0; k < stage->inputs.n; k++) {
        bool have = chain_local(from, stage->inputs.p[k]) != NULL;
        for (uint32_t i = 0; i < c->inputs.n; i++)
            have = have || c->inputs.p[i] == stage->inputs.p[k];
        for (uint32_t i = 0; i < from->stage.n; i++)
            have = have || chain_has_member(&from->stage.p[i], stage->inputs.p[k]);
        if (!have)
            vec_push(&c->inputs, stage->inputs.p[k]);
    }
}

static bool drop_member(struct fuse_cluster *stage, ir_id node)
{
    uint32_t members = 0, had = stage->members.n;
    for (uint32_t m = 0; m < had; m++)
        if (stage->members.p[m].node != node)
            stage->members.p[members++] = stage->members.p[m];
    stage->members.n = members;
    return members < had;
}

/* The stage's other members would read the node if it were none. */
static bool reads_own(const struct chains *w, const struct fuse_cluster *stage, ir_id node)
{
    struct fuse_cluster rest = *stage;
    struct square_reads r;
    bool found = false;
    rest.members.p = NULL;
    rest.members.n = rest.members.cap = 0;
    for (uint32_t m = 0; m < stage->members.n; m++)
        vec_push(&rest.members, stage->members.p[m]);
    if (drop_member(&rest, node)) {
        chain_read_squares(w, &rest, &r);
        for (uint32_t i = 0; i < r.p.n; i++)
            found = found || r.p.p[i].node == node;
        vec_free(&r.p);
    }
    vec_free(&rest.members);
    return found;
}

/* What a softmax's loops gave for other chains, which compute it again. */
static void drop_unread(const struct chains *w, struct chain *c)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->local.n; i++) {
        struct square s = c->local.p[i];
        for (uint32_t k = 0; k < c->stage.n && !s.read; k++)
            s.read = reads_own(w, &c->stage.p[k], s.node);
        for (uint32_t k = 0; k < c->stage.n && !s.read; k++)
            drop_member(&c->stage.p[k], s.node);
        if (s.read)
            c->local.p[kept++] = s;
    }
    c->local.n = kept;
}

/* The sizes at which its rows end. */
static void add_sizes(const struct fuse_plan *p, struct fuse_cluster *c)
{
    for (uint32_t i = 0; i < c->outer; i++) {
        const struct ir_live *l = fuse_axis_live(p, c, i);
        ir_id size = l ? fuse_size_node(p->g, l->slot) : 0;
        bool have = !size;
        for (uint32_t k = 0; k < c->inputs.n; k++)
            have = have || c->inputs.p[k] == size;
        if (!have)
            vec_push(&c->inputs, size);
    }
}

/* The chain as a cluster, in place of those that it computes. */
static struct fuse_cluster assemble(struct chains *w, struct chain *from)
{
    drop_unread(w, from);
    int64_t block = block_of(w, from);
    struct fx_local *local = make_locals(w, from, block);
    ir_id last = w->p->clusters.p[vec_last(&from->final)].anchor;
    struct fuse_cluster c = {.skeleton = FUSE_CHAIN,
                             .anchor = from->stored ? from->stored : last,
                             .outer = from->rows,
                             .block = block,
                             .local = local,
                             .nlocal = from->local.n};
    memcpy(c.dim, from->dim, from->rows * sizeof *c.dim);
    for (uint32_t i = 0; i < from->stage.n; i++) {
        struct fuse_cluster stage = from->stage.p[i];
        stage.dim[stage.split] = block;
        stage.dim[stage.outer + stage.inner + stage.fixed - 1] += 1 - block;
        stage.local = local;
        stage.nlocal = from->local.n;
        fuse_read_inputs(w->p, &stage);
        add_inputs(from, &c, &stage);
        vec_push(&c.stages, stage);
    }
    from->stage.n = 0;
    add_sizes(w->p, &c);
    if (c.inputs.n)
        qsort(c.inputs.p, c.inputs.n, sizeof *c.inputs.p, by_id);
    for (uint32_t i = 0; i < from->final.n; i++) {
        const struct fuse_cluster *old = &w->p->clusters.p[from->final.p[i]];
        for (uint32_t k = 0; k < old->members.n; k++) {
            ir_id node = old->members.p[k].node;
            if (from->stored ? node == from->stored : !w->square[node])
                vec_push(&c.members, old->members.p[k]);
        }
    }
    if (w->p->target->kind == TARGET_GPU) {
        c.untiled = (uint8_t)fuse_streams(w->p, &c);
        c.streams = c.untiled == FUSE_LEGAL;
    }
    return c;
}

/* A GPU has no room for rows that are long, unless they come by tiles. */
static bool fits(const struct chains *w, const struct chain *c, const struct fuse_cluster *made)
{
    return w->p->target->kind == TARGET_CPU || made->streams || most_rows(w, c) >= LEAST_ROWS;
}

/* ---- groups ---- */

struct groups {
    struct chains *w;
    VEC(struct fuse_cluster) made; /* of each chain */
    ir_id *up;                     /* of each square value: another one of its group, or itself */
    bool *apart;                   /* of a group, at the value that is its own `up`: no chains */
    bool *kept;                    /* of a value: some chain stores it */
};

static ir_id group_of(const struct groups *g, ir_id square)
{
    while (g->up[square] != square)
        square = g->up[square];
    return square;
}

/* *first: a value of the group, 0 none yet. */
static void unite(struct groups *g, ir_id *first, ir_id node)
{
    if (!g->w->square[node])
        return;
    if (*first)
        g->up[group_of(g, node)] = group_of(g, *first);
    *first = node;
}

static void find_groups(struct groups *g)
{
    const struct fuse_plan *p = g->w->p;
    for (ir_id i = 1; i < p->g->nodes.n; i++)
        g->up[i] = i;
    for (uint32_t i = 0; i < p->clusters.n; i++) {
        const struct fuse_cluster *c = &p->clusters.p[i];
        ir_id first = 0;
        for (uint32_t k = 0; k < c->members.n; k++)
            unite(g, &first, c->members.p[k].node);
        for (uint32_t k = 0; k < c->inputs.n; k++)
            unite(g, &first, c->inputs.p[k]);
    }
    for (uint32_t i = 0; i < g->w->all.n; i++) {
        ir_id first = g->w->all.p[i].square;
        for (uint32_t k = 0; k < g->w->all.p[i].local.n; k++)
            unite(g, &first, g->w->all.p[i].local.p[k].node);
    }
}

static bool is_placed(const struct groups *g, uint32_t chain)
{
    return !g->apart[group_of(g, g->w->all.p[chain].square)];
}

static bool is_final(const struct groups *g, uint32_t cluster)
{
    for (uint32_t i = 0; i < g->w->all.n; i++)
        for (uint32_t k = 0; is_placed(g, i) && k < g->w->all.p[i].final.n; k++)
            if (g->w->all.p[i].final.p[k] == cluster)
                return true;
    return false;
}

static void keep_alive(const struct groups *g, uint8_t *alive, uint32_t cluster)
{
    const struct chains *w = g->w;
    const struct fuse_cluster *c = &w->p->clusters.p[cluster];
    if (alive[cluster] || is_final(g, cluster))
        return;
    alive[cluster] = 1;
    for (uint32_t i = 0; i < c->inputs.n; i++)
        if (w->owner[c->inputs.p[i]] != UINT32_MAX)
            keep_alive(g, alive, w->owner[c->inputs.p[i]]);
}

/* Which clusters are still needed with the chains in place. */
static void find_alive(const struct groups *g, uint8_t *alive)
{
    const struct fuse_plan *p = g->w->p;
    const uint32_t *owner = g->w->owner;
    for (uint32_t i = 0; i < p->clusters.n; i++)
        for (uint32_t k = 0; k < p->clusters.p[i].members.n; k++)
            if (fuse_is_root(p, p->clusters.p[i].members.p[k].node))
                keep_alive(g, alive, i);
    for (uint32_t i = 0; i < g->w->all.n; i++)
        for (uint32_t k = 0; is_placed(g, i) && k < g->made.p[i].inputs.n; k++)
            if (owner[g->made.p[i].inputs.p[k]] != UINT32_MAX)
                keep_alive(g, alive, owner[g->made.p[i].inputs.p[k]]);
}

static bool has_softmax(const struct groups *g, ir_id group)
{
    for (uint32_t i = 0; i < g->w->all.n; i++)
        if (g->w->all.p[i].softmax && group_of(g, g->w->all.p[i].square) == group)
            return true;
    return false;
}

/* The group stays apart; for people, if it has a softmax: why. */
static void part(struct groups *g, struct fuse_matrix why)
{
    ir_id group = group_of(g, why.node);
    g->apart[group] = true;
    if (has_softmax(g, group))
        vec_push(&g->w->p->matrices, why);
}

static bool has_square(const struct chains *w, const struct fuse_cluster *c)
{
    for (uint32_t k = 0; k < c->members.n; k++)
        if (w->square[c->members.p[k].node])
            return true;
    return false;
}

static bool stores_some(const struct groups *g, ir_id group)
{
    for (uint32_t i = 0; i < g->w->all.n; i++)
        if (g->w->all.p[i].stored && group_of(g, g->w->all.p[i].square) == group)
            return true;
    return false;
}

/* One more chain, that stores the value. */
static bool keep(struct groups *g, ir_id node)
{
    struct chains *w = g->w;
    struct chain one;
    bool found = false;
    if (stores_some(g, group_of(g, node)))
        return false;
    for (uint32_t i = 0; i < w->all.n && !found; i++)
        found = chain_store(w, &w->all.p[i], node, &one);
    if (!found)
        return false;
    struct fuse_cluster made = assemble(w, &one);
    if (w->p->target->kind == TARGET_GPU && !made.streams) {
        fuse_cluster_free(&made);
        chain_free(w, &one);
        return false;
    }
    vec_push(&w->all, one);
    vec_push(&g->made, made);
    g->kept[node] = true;
    return true;
}

/* Groups of which some value would be stored nonetheless stay apart; true: there was one. `first`:
 * those only where what reads it is no such value itself, which is the cause. */
static bool part_stored(struct groups *g, bool first)
{
    struct fuse_plan *p = g->w->p;
    uint8_t *alive = xcalloc(p->clusters.n, 1);
    bool any = false;
    find_alive(g, alive);
    for (uint32_t i = 0; i < p->clusters.n; i++) {
        const struct fuse_cluster *c = &p->clusters.p[i];
        if (!alive[i] || (first && has_square(g->w, c)))
            continue;
        for (uint32_t k = 0; k < c->inputs.n; k++) {
            ir_id node = c->inputs.p[k];
            struct fuse_matrix why = {.node = node, .by = c->anchor, .why = FUSE_WANTED};
            if (!g->w->square[node] || g->apart[group_of(g, node)] || g->kept[node])
                continue;
            if (first && keep(g, node)) {
                vec_push(&p->matrices, why);
                continue;
            }
            part(g, why);
            any = true;
        }
    }
    free(alive);
    return any;
}

static void part_large(struct groups *g)
{
    for (uint32_t i = 0; i < g->w->all.n; i++) {
        const struct chain *c = &g->w->all.p[i];
        if (fits(g->w, c, &g->made.p[i]) || !is_placed(g, i))
            continue;
        part(g, (struct fuse_matrix){.node = c->square,
                                     .by = g->made.p[i].anchor,
                                     .why = FUSE_ROWS,
                                     .untiled = g->made.p[i].untiled});
    }
}

/* ---- in place ---- */

static void place(struct chains *w, const struct chain *from, struct fuse_cluster made)
{
    for (uint32_t i = 0; i < from->final.n; i++) {
        struct fuse_cluster *old = &w->p->clusters.p[from->final.p[i]];
        fuse_cluster_free(old);
        *old = (struct fuse_cluster){0};
    }
    w->p->clusters.p[vec_last(&from->final)] = made;
}

void chain_place_all(struct chains *w)
{
    uint32_t nodes = w->p->g->nodes.n;
    struct groups g = {.w = w,
                       .up = xcalloc(nodes, sizeof *g.up),
                       .apart = xcalloc(nodes, sizeof *g.apart),
                       .kept = xcalloc(nodes, sizeof *g.kept)};
    find_groups(&g);
    for (uint32_t i = 0; i < w->all.n; i++)
        vec_push(&g.made, assemble(w, &w->all.p[i]));
    part_stored(&g, true);
    part_large(&g);
    while (part_stored(&g, false))
        ;
    for (uint32_t i = 0; i < w->all.n; i++) {
        if (is_placed(&g, i))
            place(w, &w->all.p[i], g.made.p[i]);
        else
            fuse_cluster_free(&g.made.p[i]);
        chain_free(w, &w->all.p[i]);
    }
    for (ir_id i = 1; i < nodes; i++)
        w->square[i] = w->square[i] && !g.apart[group_of(&g, i)];
    vec_free(&g.made);
    free(g.up);
    free(g.apart);
    free(g.kept);
}
