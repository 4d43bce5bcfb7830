/* The plan as text: a line a cluster with its space, then its members and what becomes of them.
 *   cluster 2 row over (n 128 | v 10): reads %5 %2
 *     %7 reduce max level 0
 *     %9 exp level 1
 *     %12 div level 2 stored */
#include "fuse/fuse.h"

static const char *const skeleton_name[] = {"map",     "row",    "column", "contract",
                                            "scatter", "prefix", "chain"};
static const char *const role_name[] = {"elem",   "kept",  "reduce", "fold",
                                        "finish", "alone", "across", "after"};

/* A name for an axis of the space: some member's. */
static const char *axis_name(const struct fuse_plan *p, const struct fuse_cluster *c, uint32_t axis)
{
    for (uint32_t i = 0; i < c->members.n; i++) {
        const struct ir_node *n = ir_at(p->g, c->members.p[i].node);
        for (uint32_t k = 0; k < n->nd; k++)
            if (c->members.p[i].axis[k] == axis && n->dom[k].name)
                return n->dom[k].name;
    }
    return NULL;
}

static void print_space(const struct fuse_plan *p, const struct fuse_cluster *c, struct text *out)
{
    text_printf(out, "(");
    for (uint32_t i = 0; i < c->outer + c->inner; i++) {
        const char *name = axis_name(p, c, i);
        const char *before = i == c->outer ? (i ? " | " : "| ") : i ? ", " : "";
        if (name)
            text_printf(out, "%s%s %lld", before, name, (long long)c->dim[i]);
        else
            text_printf(out, "%s%lld", before, (long long)c->dim[i]);
    }
    text_printf(out, ")");
}

static void print_origin(const struct fuse_plan *p, ir_id id, struct text *out)
{
    const struct ir_origin *o = &p->g->m->origins.p[ir_at(p->g, id)->origin];
    if (o->path && *o->path)
        text_printf(out, "  # %s%s%s", o->path, o->role && *o->role ? ":" : "",
                    o->role ? o->role : "");
}

static void print_member(const struct fuse_plan *p, const struct fuse_member *m, struct text *out)
{
    const struct ir_node *n = ir_at(p->g, m->node);
    text_printf(out, "  %%%u %s", m->node, ir_op_name(n->op));
    if (n->op == IR_reduce)
        text_printf(out, " %s", ir_monoid_name(n->monoid));
    text_printf(out, " %s", role_name[m->role]);
    if (m->level)
        text_printf(out, " level %u", m->level);
    if (m->stored)
        text_printf(out, " stored");
    print_origin(p, m->node, out);
    text_printf(out, "\n");
}

static void print_cluster(const struct fuse_plan *p, const struct fuse_cluster *c, struct text *out)
{
    text_printf(out, "%s over ", skeleton_name[c->skeleton]);
    print_space(p, c, out);
    if (c->segment)
        text_printf(out, " in launch %u", c->segment);
    if (c->skeleton == FUSE_CHAIN && c->streams)
        text_printf(out, " by tiles");
    else if (c->skeleton == FUSE_CHAIN)
        text_printf(out, " by %lld", (long long)c->block);
    if (c->skeleton == FUSE_CHAIN && c->untiled)
        text_printf(out, " rows (%s)", fuse_reason_text(c->untiled));
    text_printf(out, c->inputs.n ? ": reads" : "");
    for (uint32_t k = 0; k < c->inputs.n; k++)
        text_printf(out, " %%%u", c->inputs.p[k]);
    text_printf(out, "\n");
    for (uint32_t k = 0; k < c->members.n && c->skeleton != FUSE_CHAIN; k++)
        print_member(p, &c->members.p[k], out);
    for (uint32_t k = 0; k < c->stages.n; k++) {
        text_printf(out, " stage ");
        print_cluster(p, &c->stages.p[k], out);
    }
}

static void print_matrix(const struct fuse_plan *p, const struct fuse_matrix *m, struct text *out)
{
    text_printf(out, "matrix %%%u stored: %%%u: %s", m->node, m->by, fuse_reason_text(m->why));
    if (m->untiled)
        text_printf(out, "; not by tiles: %s", fuse_reason_text(m->untiled));
    print_origin(p, m->by, out);
    text_printf(out, "\n");
}

void fuse_print(const struct fuse_plan *p, struct text *out)
{
    text_printf(out, "graph %s: %u clusters, policy %s\n", p->g->name, p->clusters.n, p->policy);
    for (uint32_t i = 0; i < p->clusters.n; i++) {
        text_printf(out, "cluster %u ", i);
        print_cluster(p, &p->clusters.p[i], out);
    }
    for (uint32_t i = 0; i < p->matrices.n; i++)
        print_matrix(p, &p->matrices.p[i], out);
    for (uint32_t i = 0; i < p->refusals.n; i++)
        text_printf(out, "apart %%%u %%%u: %s\n", p->refusals.p[i].a, p->refusals.p[i].b,
                    fuse_reason_text(p->refusals.p[i].why));
}
