/* The launch of a product that is left to the library: no kernel, a record and its arguments. */
#include "lower/skeleton.h"

struct low_launch low_gemm(const struct fuse_plan *p, const struct fuse_cluster *c,
                           const struct fuse_product *x)
{
    struct low_launch l = {.origin = ir_at(p->g, c->anchor)->origin};
    l.gemm = xmalloc(sizeof *l.gemm);
    *l.gemm = x->rec;
    vec_push(&l.args, ((struct low_arg){.node = x->a}));
    vec_push(&l.args, ((struct low_arg){.node = x->b}));
    vec_push(&l.args, ((struct low_arg){.node = x->c, .write = true}));
    if (x->rec.epilogue & NN_GEMM_ADD) /* the result may take its place */
        vec_push(&l.args, ((struct low_arg){.node = x->add, .pointwise = true}));
    if (x->rec.epilogue & NN_GEMM_BIAS)
        vec_push(&l.args, ((struct low_arg){.node = x->bias}));
    if (x->rec.epilogue & NN_GEMM_AUX)
        vec_push(&l.args, ((struct low_arg){.node = x->aux, .write = true}));
    return l;
}

void low_print_gemm(const struct fuse_product *x, struct text *out)
{
    const struct nn_gemm_rec *g = &x->rec;
    text_printf(out, "cublas %d x %d x %d, batch %lld", g->m, g->n, g->k,
                (long long)g->batch * g->groups);
    if (g->groups > 1)
        text_printf(out, " in %d calls", g->groups);
    if (g->alpha != 1)
        text_printf(out, ", times %g", (double)g->alpha);
    if (g->epilogue & NN_GEMM_ADD)
        text_printf(out, ", plus %%%u", x->add);
    if (g->epilogue & NN_GEMM_BIAS)
        text_printf(out, ", bias %%%u", x->bias);
    if (g->epilogue & NN_GEMM_RELU)
        text_printf(out, ", relu");
    if (g->epilogue & NN_GEMM_GELU)
        text_printf(out, ", gelu");
    if (g->epilogue & NN_GEMM_AUX)
        text_printf(out, " of %%%u", x->aux);
}
