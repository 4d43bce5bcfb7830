/* Along which axis consecutive threads stand, and how many of its elements a thread takes at once:
 * what moves the fewest 32-byte sectors, then the fewest instructions. */
#include "lower/gpu.h"

enum { SECTOR = 32, WARP = 32 };

static double points(const struct gpu *g, uint32_t axes)
{
    double p = 1;
    for (uint32_t i = 0; i < g->s->c->outer + g->s->c->inner; i++)
        p *= axes >> i & 1 ? (double)g->n.trip[i] : 1;
    return p;
}

/* Elements between neighbours along the axis; 0: the same one; INT64_MAX: anywhere. */
static int64_t step(const struct gpu *g, const struct ix *e, uint32_t axis)
{
    int stride = sk_stride(g->s, e, axis);
    if (stride >= 0)
        return stride;
    int64_t c = ix_coef(e, axis);
    for (uint32_t i = 0; i < e->n; i++)
        if (e->part[i].a.kind != IX_AXIS && (fx_ix_axes(&g->s->x, e) >> axis & 1) && c == 0)
            return INT64_MAX;
    return c < 0 ? -c : c;
}

/* Bytes that an access moves, in whole sectors, with consecutive threads along the axis. */
static double bytes_moved(const struct gpu *g, const struct nest_access *a, uint32_t axis)
{
    double p = points(g, fx_ix_axes(&g->s->x, a->e)), trip = (double)g->n.trip[axis];
    double run = trip < WARP ? trip : WARP;
    int64_t by = step(g, a->e, axis);
    if (by == 0)
        return p * SECTOR / WARP;
    if (by >= SECTOR / (int64_t)a->bytes)
        return p * SECTOR;
    return p * ((double)by * a->bytes + (trip < WARP ? SECTOR / run : 0));
}

/* Every multiple of `lanes` along the axis lies at a multiple of `lanes` in memory. */
static bool aligned(const struct gpu *g, const struct ix *e, uint32_t axis, int64_t lanes)
{
    if (e->c0 % lanes)
        return false;
    for (uint32_t i = 0; i < e->n; i++) {
        const struct ix_atom *a = &e->part[i].a;
        bool moves = a->kind != IX_AXIS || (a->v != axis && g->n.trip[a->v] > 1);
        bool along = a->kind == IX_MOD && (fx_ix_axes(&g->s->x, a->e) >> axis & 1);
        if (moves && !along && e->part[i].c % lanes)
            return false;
    }
    return true;
}

/* Lines of aligned vectors gain; elements a little apart, which neighbouring threads would take
 * from the same sectors, lose. */
static bool lanes_pay(const struct gpu *g, uint32_t axis, int64_t lanes)
{
    double good = 0, bad = 0;
    if (g->n.trip[axis] % lanes)
        return false;
    for (uint32_t i = 0; i < g->n.access.n; i++) {
        const struct nest_access *a = &g->n.access.p[i];
        int64_t by = a->memory ? step(g, a->e, axis) : 0;
        double p = points(g, fx_ix_axes(&g->s->x, a->e));
        if (by == 1 && sk_stride(g->s, a->e, axis) == 1 && aligned(g, a->e, axis, lanes))
            good += p;
        else if (by && by < SECTOR / (int64_t)a->bytes)
            bad += p;
    }
    return good > bad;
}

static uint32_t most_lanes(const struct gpu *g)
{
    uint32_t least = 8;
    for (uint32_t i = 0; i < g->n.access.n; i++)
        if (g->n.access.p[i].memory && g->n.access.p[i].bytes < least)
            least = g->n.access.p[i].bytes;
    return least == 8 ? 2 : 4;
}

void gpu_choose_axis(struct gpu *g)
{
    const struct fuse_cluster *c = g->s->c;
    uint32_t first =
        gpu_has_role(g, FUSE_ACROSS) ? c->outer : 0; /* a thread keeps to its columns */
    double best = 0;
    g->x = -1;
    for (uint32_t i = c->outer + c->inner; i-- > first;) {
        double t = 0;
        for (uint32_t k = 0; k < g->n.access.n; k++)
            if (g->n.access.p[k].memory)
                t += bytes_moved(g, &g->n.access.p[k], i);
        if (g->n.trip[i] < 2 || (g->x >= 0 && t >= best))
            continue;
        best = t;
        g->x = (int)i;
    }
    g->lanes = 1;
    if (g->x < 0)
        return;
    for (uint32_t lanes = most_lanes(g); lanes > 1 && g->lanes == 1; lanes /= 2)
        if (lanes_pay(g, (uint32_t)g->x, lanes))
            g->lanes = lanes;
}

static void add_axes(struct gpu *g, struct gpu_axes *list, uint32_t from, uint32_t to)
{
    if (g->x >= (int)from && g->x < (int)to)
        list->axis[list->n++] = (uint32_t)g->x;
    for (uint32_t i = to; i-- > from;)
        if ((int)i != g->x && (int)i != g->loop && g->n.trip[i] != 1)
            list->axis[list->n++] = i;
}

void gpu_list_axes(struct gpu *g)
{
    const struct fuse_cluster *c = g->s->c;
    g->outer.n = g->inner.n = 0;
    add_axes(g, &g->outer, 0, c->outer);
    add_axes(g, &g->inner, c->outer, c->outer + c->inner);
    g->tasks = g->points = 1;
    for (uint32_t i = 0; i < g->outer.n; i++)
        g->tasks *= gpu_trip(g, g->outer.axis[i]);
    for (uint32_t i = 0; i < g->inner.n; i++)
        g->points *= gpu_trip(g, g->inner.axis[i]);
}
