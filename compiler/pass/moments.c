/* moments: after fold_moves. A sum of squares about the mean, Σ (x - Σx/n)², becomes Σx² - (Σx)²/n
 * in f64, so that a batch may go through in parts: both sums are of single samples, and f64 has the
 * digits that the difference costs (of f32 values whose mean is 10⁵ times their spread, seven are
 * left). Breaks nothing; what was about the mean alone is left for dce. */
#include "pass/pass.h"

/* A sum of squares about a mean and what it is made of. */
struct spread {
    const struct ir_node *squares, *sum, *centre; /* reduces, reduce, x - mean */
    double count;
};

static bool plain(const struct ir_term *t, uint32_t *axis)
{
    return t->q == 1 && ix_is_axis(t->e, axis);
}

/* Each axis of what is read is one of the domain's: to[i] is it. */
static bool axes_of(const struct ir_access *a, uint32_t *to)
{
    if (a->nguard)
        return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (!plain(&a->at[i], &to[i]))
            return false;
    return true;
}

static bool is_sum(const struct ir_node *n)
{
    return n->op == IR_reduce && n->monoid == IRM_sum && n->nred;
}

static double folded(const struct ir_node *n)
{
    double k = 1;
    for (uint32_t i = (uint32_t)n->nd - n->nred; i < n->nd; i++)
        k *= (double)n->dom[i].n;
    return k;
}

/* Operand k of the mean is the sum, element by element, the other what divides it by how many it
 * adds: a quotient by a power of two has become a product. */
static bool divides(const struct ir_graph *g, const struct ir_node *m, uint32_t k, struct spread *s)
{
    const struct ir_node *by = ir_at(g, m->in[1 - k].node);
    const struct ir_access *a = &m->in[k].a;
    uint32_t axis;
    s->sum = ir_at(g, m->in[k].node);
    if (!is_sum(s->sum) || by->op != IR_const || a->nguard)
        return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (!plain(&a->at[i], &axis) || axis != i)
            return false;
    s->count = folded(s->sum);
    return m->op == IR_div ? by->attr.f == s->count : by->attr.f * s->count == 1;
}

static bool is_mean(const struct ir_graph *g, const struct ir_node *m, struct spread *s)
{
    return (m->op == IR_div && divides(g, m, 0, s)) ||
           (m->op == IR_mul && (divides(g, m, 0, s) || divides(g, m, 1, s)));
}

/* The axis of x - mean for each of the sum's: those that stay by where the mean is read, those that
 * are folded in order. */
static bool match_axes(const struct spread *s, uint32_t *to)
{
    const struct ir_node *sq = s->squares, *c = s->centre;
    uint32_t stays = (uint32_t)s->sum->nd - s->sum->nred, at[IR_MAX_AXES], n = stays;
    bool folds[IR_MAX_AXES] = {false};
    if (s->sum->nred != sq->nred || !axes_of(&sq->in[0].a, at) || !axes_of(&c->in[1].a, to))
        return false;
    for (uint32_t i = 0; i < sq->in[0].a.rank; i++)
        folds[i] = at[i] >= (uint32_t)sq->nd - sq->nred;
    for (uint32_t i = 0; i < stays; i++)
        if (folds[to[i]])
            return false;
    for (uint32_t i = 0; i < c->nd; i++)
        if (folds[i] && n < s->sum->nd)
            to[n++] = i;
    for (uint32_t i = stays; i < n; i++)
        if (s->sum->dom[i].n != c->dom[to[i]].n)
            return false;
    return n == s->sum->nd;
}

/* The sum adds the same elements of x as are set against the mean. */
static bool same_elements(const struct ir_graph *g, const struct spread *s, const uint32_t *to)
{
    const struct ir_access *x = &s->centre->in[0].a, *y = &s->sum->in[0].a;
    const struct ix *axis[IR_MAX_AXES];
    int64_t dim[IR_MAX_AXES];
    if (s->sum->in[0].node != s->centre->in[0].node || x->nguard || y->nguard || s->sum->nin != 1 ||
        s->centre->nin != 2)
        return false;
    ir_dims(s->centre, dim);
    for (uint32_t i = 0; i < s->sum->nd; i++)
        axis[i] = ix_axis(g->m->mem, to[i]);
    for (uint32_t i = 0; i < x->rank; i++) {
        const struct ix *e = ix_subst(g->m->mem, y->at[i].e, axis, NULL, dim);
        if (x->at[i].q != 1 || y->at[i].q != 1 || !ix_equal(e, x->at[i].e))
            return false;
    }
    return true;
}

static bool find_spread(const struct ir_graph *g, ir_id id, struct spread *s)
{
    uint32_t to[IR_MAX_AXES], other[IR_MAX_AXES];
    s->squares = ir_at(g, id);
    if (!is_sum(s->squares) || s->squares->nin != 1 || s->squares->dtype == NN_f64 ||
        !nn_is_float(s->squares->dtype))
        return false;
    const struct ir_node *p = ir_at(g, s->squares->in[0].node);
    if (p->op != IR_mul || p->in[0].node != p->in[1].node || !axes_of(&p->in[0].a, to) ||
        !axes_of(&p->in[1].a, other))
        return false;
    for (uint32_t i = 0; i < p->in[0].a.rank; i++)
        if (to[i] != i || other[i] != i)
            return false;
    s->centre = ir_at(g, p->in[0].node);
    return s->centre->op == IR_sub && p->nd == s->centre->nd &&
           is_mean(g, ir_at(g, s->centre->in[1].node), s) && match_axes(s, to) &&
           same_elements(g, s, to);
}

/* A node over the domain of `like`, of `k` operands read by `a`. */
static ir_id over(struct pass_rewrite *r, const struct ir_node *like, enum ir_op op, uint16_t k,
                  ir_id x, const struct ir_access *a)
{
    struct ir_in *in = ARENA_ARRAY(r->g->m->mem, struct ir_in, k);
    struct ir_node n = *like;
    for (uint32_t i = 0; i < k; i++)
        in[i] = (struct ir_in){x, *a};
    n.op = (uint8_t)op;
    n.dtype = NN_f64;
    n.nin = k;
    n.in = in;
    return ir_append_shared(r->g, &n);
}

static ir_id as_moments(struct pass_rewrite *r, const struct spread *s)
{
    const struct ir_node *p = ir_at(&r->old, s->squares->in[0].node);
    struct ir_builder b = {.g = r->g, .origin = s->squares->origin};
    ir_id x = r->map[s->centre->in[0].node];
    x = over(r, s->centre, IR_cast, 1, x, &s->centre->in[0].a);
    ir_id square = over(r, p, IR_mul, 2, x, &p->in[0].a);
    ir_id squares = over(r, s->squares, IR_reduce, 1, square, &s->squares->in[0].a);
    ir_id sum = over(r, s->squares, IR_reduce, 1, x, &s->squares->in[0].a);
    ir_id mean = ir_binary(&b, IR_div, sum, ir_const_f(&b, NN_f64, s->count));
    ir_id apart = ir_binary(&b, IR_sub, squares, ir_binary(&b, IR_mul, sum, mean));
    apart = ir_binary(&b, IR_max, apart, ir_const_f(&b, NN_f64, 0));
    return ir_cast(&b, (enum nn_dtype)s->squares->dtype, apart);
}

void pass_moments(struct ir_graph *g)
{
    struct pass_rewrite r;
    pass_rewrite_begin(&r, g);
    for (ir_id id = 1; id < r.old.nodes.n; id++) {
        struct spread s;
        if (find_spread(&r.old, id, &s))
            r.map[id] = as_moments(&r, &s);
        else
            pass_rewrite_copy(&r, id);
    }
    pass_rewrite_end(&r);
}
