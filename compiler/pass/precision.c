/* precision: after gradient, so that the backward pass's contractions are among them. A contraction
 * is a sum of products of f32 whose one factor has an axis of the result that the other has not,
 * and the other way round, and which share an axis that is summed. Both factors are rounded to what
 * the graph's precision says and the products added up in f32, which holds them exactly; a
 * softmax's total divides what is summed, not the factor (late.c). All else stays as it is. The
 * wish is carried out then: the graph's precision is f32. */
#include "pass/pass.h"

static uint32_t axes_of(const struct ix *e)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < IR_MAX_AXES; i++)
        mask |= (uint32_t)ix_uses_axis(e, i) << i;
    return mask;
}

/* The axes of n that its operand k is read along, places in it that other operands say among them:
 * of a move in place (one under a size that the run chooses is not composed away) those that the
 * move's reads depend on. */
static uint32_t axes_read(const struct ir_graph *g, const struct ir_node *n, uint32_t k)
{
    const struct ir_access *a = &n->in[k].a;
    const struct ir_node *x = ir_at(g, n->in[k].node);
    uint32_t inner = UINT32_MAX, mask = 0;
    if (x->op == IR_copy && x->inlined)
        for (uint32_t i = inner = 0; i < x->nin; i++) {
            inner |= axes_read(g, x, i);
            for (uint32_t c = 0; c < x->in[i].a.nguard; c++)
                inner |= axes_of(x->in[i].a.guard[c].e);
        }
    for (uint32_t i = 0; i < a->rank; i++) {
        mask |= inner >> i & 1 ? axes_of(a->at[i].e) : 0;
        for (uint32_t p = k + 1; p < n->nin; p++)
            mask |= ix_mentions_operand(a->at[i].e, p) ? axes_read(g, n, p) : 0;
    }
    return mask;
}

/* The axes of `sum` on which the product's operand k depends. */
static uint32_t factor_axes(const struct ir_graph *g, const struct ir_node *sum,
                            const struct ir_node *product, uint32_t k)
{
    uint32_t inner = axes_read(g, product, k), mask = 0;
    for (uint32_t i = 0; i < product->nd; i++)
        if (inner >> i & 1)
            mask |= axes_of(sum->in[0].a.at[i].e);
    return mask;
}

/* Of a sum of products: the axes of the result that one factor alone has, and what both share. */
struct axes {
    uint32_t a, b, shared;
};

static bool product_axes(const struct ir_graph *g, const struct ir_node *n, struct axes *x)
{
    if (n->op != IR_reduce || n->monoid != IRM_sum || n->dtype != NN_f32)
        return false;
    const struct ir_node *product = ir_at(g, n->in[0].node);
    if (product->op != IR_mul)
        return false;
    uint32_t a = factor_axes(g, n, product, 0), b = factor_axes(g, n, product, 1);
    uint32_t outer = (1u << (n->nd - n->nred)) - 1;
    *x = (struct axes){a & ~b & outer, b & ~a & outer, a & b & ~outer};
    return true;
}

/* The paths of the places where contractions are. */
struct places {
    VEC(const char *) path;
};

static bool known_place(const struct ir_graph *g, const struct places *p, const struct ir_node *n)
{
    const char *path = g->m->origins.p[n->origin].path;
    for (uint32_t i = 0; path && i < p->path.n; i++)
        if (!strcmp(p->path.p[i], path))
            return true;
    return false;
}

static void find_places(const struct ir_graph *g, struct places *p)
{
    for (ir_id id = 1; id < g->nodes.n; id++) {
        const struct ir_node *n = ir_at(g, id);
        struct axes x;
        const char *path = g->m->origins.p[n->origin].path;
        if (path && *path && product_axes(g, n, &x) && x.a && x.b && x.shared &&
            !known_place(g, p, n))
            vec_push(&p->path, path);
    }
}

static bool is_contraction(const struct ir_graph *g, const struct places *p,
                           const struct ir_node *n)
{
    struct axes x;
    if (!product_axes(g, n, &x) || !x.shared)
        return false;
    return (x.a && x.b) || ((x.a || x.b) && known_place(g, p, n));
}

static ir_id unary(struct ir_graph *g, ir_id x, enum ir_op op, enum nn_dtype t)
{
    struct ir_in in = pass_identity(g, x);
    return pass_element(g, x, op, t, &in);
}

/* x in f32, with the fewer bits of the precision. The narrow form may be stored, as x might. */
static ir_id rounded(struct ir_graph *g, ir_id x)
{
    bool inlined = ir_at(g, x)->inlined, half = g->precision != IR_TF32;
    enum nn_dtype t = !half ? NN_f32 : g->precision == IR_BF16 ? NN_bf16 : NN_f16;
    x = unary(g, x, half ? IR_cast : IR_round_tf32, t);
    g->nodes.p[x].inlined = inlined;
    if (half) {
        x = unary(g, x, IR_cast, NN_f32);
        g->nodes.p[x].inlined = true;
    }
    return x;
}

/* The contraction of rounded factors. narrow: of each old node, its rounded form; 0: none yet. */
static ir_id round_factors(struct pass_rewrite *r, ir_id id, ir_id *narrow)
{
    struct ir_graph *g = r->g;
    ir_id from = ir_at(&r->old, id)->in[0].node;
    struct ir_node sum = pass_rewrite_map(r, id), product = pass_rewrite_map(r, from);
    struct ir_in *in = arena_dup(g->m->mem, product.in, product.nin * sizeof *in);
    struct ir_in *of = arena_dup(g->m->mem, sum.in, sum.nin * sizeof *of);
    struct pass_late late;
    bool is_late = pass_find_late(r, id, &late);
    for (uint32_t k = 0; k < 2; k++) {
        ir_id old = ir_at(&r->old, from)->in[k].node;
        bool own = is_late && late.factor == k;
        if (!own && !narrow[old])
            narrow[old] = rounded(g, in[k].node);
        in[k].node = own ? rounded(g, late.value) : narrow[old];
    }
    product.in = in;
    of[0].node = ir_append_shared(g, &product);
    sum.in = of;
    ir_id whole = ir_append_shared(g, &sum);
    return is_late ? pass_divide_late(g, whole, &late) : whole;
}

void pass_precision(struct ir_graph *g)
{
    if (g->precision == IR_F32)
        return;
    struct pass_rewrite r;
    struct places places = {0};
    find_places(g, &places);
    pass_rewrite_begin(&r, g);
    ir_id *narrow = xcalloc(r.old.nodes.n, sizeof *narrow);
    for (ir_id id = 1; id < r.old.nodes.n; id++)
        if (is_contraction(&r.old, &places, ir_at(&r.old, id)))
            r.map[id] = round_factors(&r, id, narrow);
        else
            pass_rewrite_copy(&r, id);
    free(narrow);
    vec_free(&places.path);
    pass_rewrite_end(&r);
    g->precision = IR_F32;
}
