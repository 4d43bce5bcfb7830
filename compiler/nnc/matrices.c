/* Attention that keeps its matrix in memory, where that is much of what a program takes: a warning
 * at what keeps it, for it grows with the square of a length. */
#include "nnc/nnc.h"

enum {
    LEAST_BYTES = 8000000, /* less is never worth a word, nor is */
    LEAST_SHARE = 4,       /* less than this part of the largest arena */
};

static const struct ir_origin *origin_of(const struct ir_graph *g, ir_id id)
{
    return &g->m->origins.p[ir_at(g, id)->origin];
}

static const char *shape_of(const struct ir_graph *g, ir_id id)
{
    const struct ir_node *n = ir_at(g, id);
    struct text t = {0};
    text_printf(&t, "%s[", nn_dtype_name((enum nn_dtype)n->dtype));
    for (uint32_t i = 0; i < ir_rank(n); i++)
        text_printf(&t, "%s%lld", i ? ", " : "", (long long)ir_axes(n)[i].n);
    text_printf(&t, "]");
    const char *shape = intern(g->m->names, t.p);
    text_free(&t);
    return shape;
}

static double bytes_of(const struct ir_graph *g, ir_id id)
{
    const struct ir_node *n = ir_at(g, id);
    return (double)ir_count(n) * (double)nn_dtype_size((enum nn_dtype)n->dtype);
}

/* One of them for each place in the source, the largest: step and eval have the same. */
void nnc_note_matrices(struct nnc_compiled *c, const struct fuse_plan *plan)
{
    for (uint32_t i = 0; i < plan->matrices.n; i++) {
        const struct fuse_matrix *m = &plan->matrices.p[i];
        const struct ir_origin *by = origin_of(plan->g, m->by);
        struct nnc_matrix one = {.at = by->at,
                                 .of = origin_of(plan->g, m->node)->at,
                                 .gradient = by->role && !strncmp(by->role, "d.", 2),
                                 .shape = shape_of(plan->g, m->node),
                                 .why = m->why,
                                 .untiled = m->untiled,
                                 .bytes = bytes_of(plan->g, m->node)};
        uint32_t k = 0;
        while (k < c->matrices.n &&
               (c->matrices.p[k].at.file != one.at.file || c->matrices.p[k].at.lo != one.at.lo))
            k++;
        if (k == c->matrices.n)
            vec_push(&c->matrices, one);
        else if (one.bytes > c->matrices.p[k].bytes)
            c->matrices.p[k] = one;
    }
}

void nnc_warn_matrices(const struct nnc_compiled *c)
{
    double arena = (double)program_memory(c->program).arena;
    for (uint32_t i = 0; i < c->matrices.n && !c->quiet; i++) {
        const struct nnc_matrix *m = &c->matrices.p[i];
        if (m->bytes < LEAST_BYTES || m->bytes * LEAST_SHARE < arena)
            continue;
        diag_warn(c->diag, m->at,
                  "attention keeps its matrix in memory: %s, %.1f MB in an arena of %.1f MB",
                  m->shape, m->bytes / 1e6, arena / 1e6);
        if (m->why == FUSE_ROWS)
            diag_label(c->diag, "rows too long for shared memory, and none by tiles: %s",
                       fuse_reason_text(m->untiled));
        else
            diag_label(c->diag, "%sreads it beside the softmax",
                       m->gradient ? "its gradient " : "");
        diag_note(c->diag, m->of, "the matrix is made here");
    }
}
