/* What is better differentiated as a whole than operator by operator.
 *
 * Sums: a picked element (cross-entropy's) summed over the axis it is picked from is the element;
 * what does not depend on an axis is multiplied by its size; centred values (x - mean x) sum to 0,
 * so that the two reductions in the gradient of a norm do not wait for each other.
 *
 * Softmax, y = e/s with e = exp x, s = sum e: dx = y*(g - sum g*y). Where y, or y
 * under dropout, is only a factor of a contraction o = sum y*v, sum g*y over y's row is sum do*o
 * over o's row, known without g: attention's backward then needs no reduction over the score
 * matrix. A number that all of x's row is less or more by (its maximum) has no gradient. */
#include "pass/gradient.h"
#include <math.h>

/* ---- reading past moves ---- */

/* What operand k of n reads, past copies and reshapes, over n's domain. */
static struct ir_in see(const struct gradient *s, const struct ir_node *n, uint32_t k)
{
    struct ir_in in = n->in[k];
    int64_t dim[IR_MAX_AXES];
    ir_dims(n, dim);
    while (pass_see_through(s->g, dim, &in))
        ;
    return in;
}

/* The access maps each coordinate to an axis of its own: axis[i] of coordinate i. Coordinates of
 * size 1 may be 0: UINT32_MAX. */
static bool permutes(const struct ir_access *a, uint32_t *axis)
{
    if (a->nguard)
        return false;
    for (uint32_t i = 0; i < a->rank; i++) {
        if (a->at[i].n == 1) {
            axis[i] = UINT32_MAX;
            continue;
        }
        if (a->at[i].q != 1 || !ix_is_axis(a->at[i].e, &axis[i]))
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (axis[j] == axis[i])
                return false;
    }
    return true;
}

static bool identity(const struct ir_node *n, uint32_t k)
{
    return n->in[k].a.rank == n->nd && ir_access_is_identity(&n->in[k].a, n);
}

/* `in`, over n's domain, is the sum of node x over some of its axes, and n reads x through `own`:
 * the axes of n along which it reads what is summed, as a mask; 0 if it is not so. */
static uint32_t reduced_axes(const struct gradient *s, struct ir_in in, ir_id x,
                             const struct ir_access *own)
{
    const struct ir_node *r = ir_at(s->g, in.node);
    uint32_t kept[IR_MAX_AXES], from[IR_MAX_AXES], at[IR_MAX_AXES], mask = 0;
    if (r->op != IR_reduce || r->monoid != IRM_sum || r->nin != 1 || !permutes(&in.a, kept) ||
        !permutes(own, at))
        return 0;
    int64_t dim[IR_MAX_AXES];
    struct ir_in summed = r->in[0];
    ir_dims(r, dim);
    while (summed.node != x && pass_see_through(s->g, dim, &summed))
        ;
    if (summed.node != x || !permutes(&summed.a, from))
        return 0;
    for (uint32_t i = 0; i < own->rank; i++) {
        if (own->at[i].n == 1)
            continue;
        if (from[i] >= ir_rank(r))
            mask |= 1u << at[i];
        else if (kept[from[i]] != at[i])
            return 0;
    }
    return mask;
}

/* ---- sums ---- */

/* n is x - mean(x); the axes that the mean is over, as a mask. */
static uint32_t centred(const struct gradient *s, const struct ir_node *n)
{
    if (n->op != IR_sub || n->nin != 2)
        return 0;
    struct ir_in x = see(s, n, 0), in = see(s, n, 1);
    const struct ir_node *mean = ir_at(s->g, in.node);
    if ((mean->op != IR_div && mean->op != IR_mul) || !identity(mean, 0))
        return 0;
    const struct ir_node *c = ir_at(s->g, mean->in[1].node);
    struct ir_in sum = {mean->in[0].node, in.a};
    uint32_t mask = reduced_axes(s, sum, x.node, &x.a);
    double count = 1;
    for (uint32_t i = 0; i < n->nd; i++)
        count *= mask >> i & 1 ? (double)n->dom[i].n : 1;
    double by = c->op != IR_const ? 0 : mean->op == IR_div ? c->attr.f : 1 / c->attr.f;
    return by > count * (1 - 1e-6) && by < count * (1 + 1e-6) ? mask : 0;
}

/* x, over r's domain, is a product of centred values with what does not change along the axes
 * summed. */
static bool sums_to_zero(const struct rule *r, struct ref x, uint32_t rank)
{
    const struct ir_node *m = ir_at(r->g, x.node);
    uint32_t to[IR_MAX_AXES], from[IR_MAX_AXES];
    if (m->op != IR_mul || m->nin != 2 || !permutes(&x.a, to))
        return false;
    for (uint32_t k = 0; k < 2; k++) {
        const struct ir_in *in = &m->in[k];
        uint32_t mask = centred(r->s, ir_at(r->g, in->node)), found = 0, wanted = 0;
        if (!mask || !permutes(&in->a, from))
            continue;
        bool good = true;
        for (uint32_t i = 0; i < in->a.rank; i++) {
            bool summed = from[i] != UINT32_MAX && to[from[i]] != UINT32_MAX && to[from[i]] >= rank;
            good = good && summed == (mask >> i & 1);
            good = good && !(summed && rule_uses_axis(&m->in[1 - k].a, from[i]));
            found += summed;
        }
        for (uint32_t i = rank; i < r->nd; i++)
            wanted += r->dom[i].n != 1;
        if (good && found == wanted)
            return true;
    }
    return false;
}

/* The pick that x sums to: `summed` says which axis. */
static bool sum_pick(struct rule *r, struct ref *x, uint32_t rank, uint32_t *summed)
{
    struct gradient *s = r->s;
    for (uint32_t i = 0; i < s->picks.n; i++) {
        const struct pick *p = &s->picks.p[i];
        uint32_t axis, times = 0;
        if (p->node != x->node || x->a.nguard || x->a.at[p->axis].q != 1 ||
            !ix_is_axis(x->a.at[p->axis].e, &axis) || axis < rank ||
            r->dom[axis].n != x->a.at[p->axis].n)
            continue;
        for (uint32_t j = 0; j < x->a.rank; j++)
            times += ix_uses_axis(x->a.at[j].e, axis);
        if (times != 1)
            continue;
        *summed = axis;
        *x = rule_compose(r, &x->a, p->value, r->nd, r->dom);
        return true;
    }
    return false;
}

static bool constant_along(const struct rule *r, const struct ir_access *a, uint32_t rank)
{
    for (uint32_t i = rank; i < r->nd; i++)
        if (rule_uses_axis(a, i))
            return false;
    return true;
}

/* The factors of x, through products that are not inlined: those are contractions and stay. */
static uint32_t factors_of(struct rule *r, struct ref x, struct ref *factor, uint32_t n,
                           uint32_t max)
{
    const struct ir_node m = *ir_at(r->g, x.node);
    int64_t dim[2 * IR_MAX_AXES];
    rule_dims(r->nd, r->dom, dim);
    if (m.op != IR_mul || m.inlined || m.nin != 2 || !ir_access_total(&x.a, dim) || n + 2 > max ||
        !isfinite(m.in[0].a.fill) || !isfinite(m.in[1].a.fill)) {
        factor[n] = x;
        return n + 1;
    }
    for (uint32_t k = 0; k < 2; k++) {
        struct ref in = {m.in[k].node, m.in[k].a};
        n = factors_of(r, rule_compose(r, &x.a, in, r->nd, r->dom), factor, n, max - 1 + k);
    }
    return n;
}

/* What is the same along the axes summed comes out of the sum: it is returned, and x is what it
 * multiplies. */
static struct ref take_factor(struct rule *r, struct ref *x, uint32_t rank)
{
    enum nn_dtype t = (enum nn_dtype)ir_at(r->g, x->node)->dtype;
    struct ref factor[8], by = {0}, rest = {0};
    uint32_t n = factors_of(r, *x, factor, 0, COUNT(factor)), constant = 0;
    for (uint32_t k = 0; k < n; k++)
        constant += constant_along(r, &factor[k].a, rank);
    if (!constant || constant == n)
        return by;
    struct rule inside = *r;
    inside.inlined = true; /* only the sum reads it */
    for (uint32_t k = 0; k < n; k++) {
        bool outside = constant_along(r, &factor[k].a, rank);
        struct ref *to = outside ? &by : &rest;
        struct ref both[] = {*to, factor[k]};
        *to = to->node ? rule_emit(outside ? r : &inside, IR_mul, t, 2, both) : factor[k];
    }
    *x = rest;
    return by;
}

/* Sums one part over the axes from `rank` on, as a node over those of the others that it uses. */
static struct ref sum_one(struct rule *r, struct ref x, uint32_t rank)
{
    struct arena *mem = r->s->m->mem;
    enum nn_dtype t = (enum nn_dtype)ir_at(r->g, x.node)->dtype;
    struct ir_axis *dom = ARENA_ARRAY(mem, struct ir_axis, r->nd);
    struct ir_term *at = ARENA_ARRAY(mem, struct ir_term, r->nd);
    const struct ix **to = ARENA_ARRAY(mem, const struct ix *, r->nd);
    uint32_t nd = 0, kept = 0, picked = UINT32_MAX;
    double times = 1;
    struct ref by = take_factor(r, &x, rank);
    sum_pick(r, &x, rank, &picked);
    for (uint32_t i = 0; i < r->nd; i++) {
        bool used = i != picked && rule_uses_axis(&x.a, i);
        to[i] = used ? ix_axis(mem, nd) : ix_const(mem, 0);
        if (!used && i >= rank && i != picked)
            times *= (double)r->dom[i].n;
        if (!used)
            continue;
        if (i < rank)
            at[kept++] = (struct ir_term){ix_axis(mem, i), 1, r->dom[i].n};
        dom[nd++] = r->dom[i];
    }
    if (nd > kept) {
        CHECK(nd <= IR_MAX_AXES, "a gradient over %u axes", nd);
        int64_t dim[2 * IR_MAX_AXES];
        rule_dims(nd, dom, dim);
        struct ir_in in = {x.node, ir_access_subst(r->s->m, x.a, to, NULL, dim)};
        struct ir_node n = {.op = IR_reduce,
                            .dtype = (uint8_t)t,
                            .monoid = IRM_sum,
                            .nd = (uint16_t)nd,
                            .nred = (uint16_t)(nd - kept),
                            .dom = dom,
                            .nin = 1,
                            .in = &in};
        x = (struct ref){rule_append(r, n).node, {.rank = kept, .at = at}};
    }
    r->nd = rank;
    r->inlined = false;
    x = rule_emit(r, IR_mul, t, 2, (struct ref[]){x, rule_num(r, t, times)});
    return by.node ? rule_emit(r, IR_mul, t, 2, (struct ref[]){x, by}) : x;
}

static bool is_special(struct rule *r, struct ref x, uint32_t rank)
{
    uint32_t axis;
    return sums_to_zero(r, x, rank) || sum_pick(r, &x, rank, &axis);
}

/* Does not depend on some axis that is summed. */
static bool is_flat(const struct rule *r, struct ref x, uint32_t rank)
{
    for (uint32_t i = rank; i < r->nd; i++)
        if (!rule_uses_axis(&x.a, i))
            return true;
    return false;
}

/* x as a sum of parts over the domain, if some part sums by itself to something simple and the
 * others need not be added anew just for this. */
static uint32_t parts_of(struct rule *r, struct ref x, uint32_t rank, struct ref *part,
                         uint32_t max)
{
    struct gradient *s = r->s;
    part[0] = x;
    for (uint32_t i = 0; i < s->sums.n; i++) {
        const struct sum *sum = &s->sums.p[i];
        uint32_t special = 0, flat = 0;
        if (sum->node != x.node || sum->n > max)
            continue;
        for (uint32_t k = 0; k < sum->n; k++) {
            part[k] = rule_compose(r, &x.a, sum->part[k], r->nd, r->dom);
            if (is_special(r, part[k], rank))
                special++;
            else
                flat += is_flat(r, part[k], rank);
        }
        if (special + flat == sum->n || (special && special + flat + 1 >= sum->n))
            return sum->n;
        part[0] = x;
        break;
    }
    return 1;
}

static struct ref plus(struct rule *r, struct ref x, struct ref y)
{
    enum nn_dtype t = (enum nn_dtype)ir_at(r->g, y.node)->dtype;
    return x.node ? rule_emit(r, IR_add, t, 2, (struct ref[]){x, y}) : y;
}

struct ref rule_sum(struct rule *r, struct ref x, uint32_t rank)
{
    struct ref part[16], sum = {0}, rest = {0};
    struct rule after = *r; /* the domain: the axes that stay */
    if (r->nd == rank)
        return x;
    uint32_t n = parts_of(r, x, rank, part, COUNT(part));
    after.nd = rank;
    after.inlined = false;
    for (uint32_t k = 0; k < n; k++) {
        struct rule one = *r;
        if (sums_to_zero(r, part[k], rank))
            continue;
        if (n == 1 || is_special(r, part[k], rank) || is_flat(r, part[k], rank))
            sum = plus(&after, sum, sum_one(&one, part[k], rank));
        else
            rest = plus(r, rest, part[k]);
    }
    if (rest.node) {
        struct rule one = *r;
        sum = plus(&after, sum, sum_one(&one, rest, rank));
    }
    *r = after;
    return sum;
}

/* ---- softmax ---- */

/* The only node through which the loss depends on `id`; 0: none, or several. */
static ir_id only_user(const struct gradient *s, ir_id id)
{
    ir_id user = 0;
    for (ir_id i = id + 1; i <= s->loss; i++) {
        const struct ir_node *n = ir_at(s->g, i);
        bool reads = false;
        for (uint32_t k = 0; k < n->nin && s->adjoint[i]; k++)
            reads = reads || n->in[k].node == id;
        if (reads && user)
            return 0;
        user = reads ? i : user;
    }
    return user;
}

static bool is_zero(const struct gradient *s, const struct ir_in *in)
{
    const struct ir_node *n = ir_at(s->g, in->node);
    return n->op == IR_const && n->attr.f == 0;
}

/* n is linear in its operand `id`, point by point: a factor, a mask. */
static bool is_linear_in(const struct gradient *s, const struct ir_node *n, ir_id id)
{
    uint32_t at = 0, times = 0;
    for (uint32_t k = 0; k < n->nin; k++)
        if (n->in[k].node == id) {
            at = k;
            times++;
        }
    if (times != 1 || n->inlined || !identity(n, at))
        return false;
    return n->op == IR_mul || n->op == IR_neg || (n->op == IR_div && at == 0) ||
           (n->op == IR_select && at && is_zero(s, &n->in[3 - at]));
}

/* The reduction o = sum of z*v, where z is y or y times something, if the loss depends on y only
 * through it; `in`: how the product reads z, which has y's axes. */
static ir_id contraction_of(const struct gradient *s, ir_id y, struct ir_in *in)
{
    ir_id z = y, last = y;
    for (int i = 0; i < 8; i++) {
        ir_id user = only_user(s, last);
        const struct ir_node *n = ir_at(s->g, user);
        if (!user)
            return 0;
        if (n->op == IR_mul && n->inlined) {
            struct ir_in a = see(s, n, 0), b = see(s, n, 1);
            if ((a.node == z) == (b.node == z))
                return 0;
            *in = a.node == z ? a : b;
            ir_id o = only_user(s, user);
            const struct ir_node *sum = ir_at(s->g, o);
            bool good = o && sum->op == IR_reduce && sum->monoid == IRM_sum && identity(sum, 0);
            return good ? o : 0;
        }
        bool moved = n->op == IR_copy && n->nin == 1;
        if (!moved && (last != z || !is_linear_in(s, n, z)))
            return 0;
        last = user;
        if (!moved)
            z = user;
    }
    return 0;
}

/* o's axes in the order: those of y outside of its row, then the rest. False if o is not one row of
 * y for each point of the former. `axis`: of each of y's coordinates, o's axis (or beyond, if o
 * sums it). */
static bool rows_first(const struct rule *r, const struct ir_node *o, uint32_t mask,
                       const uint32_t *axis, struct ir_axis *dom, uint32_t *outer, uint32_t *of)
{
    uint32_t rank = ir_rank(o), nd = 0;
    for (uint32_t i = 0; i < rank; i++)
        of[i] = UINT32_MAX;
    for (uint32_t i = 0; i < r->n.nd; i++) {
        if (r->n.dom[i].n == 1 || (mask >> i & 1))
            continue;
        if (axis[i] >= rank)
            return false;
        of[axis[i]] = nd;
        dom[nd++] = r->n.dom[i];
    }
    *outer = nd;
    for (uint32_t i = 0; i < rank; i++)
        if (of[i] == UINT32_MAX) {
            of[i] = nd;
            dom[nd++] = o->dom[i];
        }
    return true;
}

/* sum over y's row of grad*y, from the contraction that y is a factor of. `mask`: the axes of a
 * row. */
static struct ref row_dot(struct rule *r, uint32_t mask)
{
    struct gradient *s = r->s;
    struct arena *mem = s->m->mem;
    uint32_t axis[IR_MAX_AXES], of[IR_MAX_AXES], outer;
    struct ir_axis dom[IR_MAX_AXES];
    struct ir_in in;
    ir_id o = contraction_of(s, r->id, &in);
    if (!o || !permutes(&in.a, axis))
        return (struct ref){0};
    const struct ir_node sum = *ir_at(s->g, o);
    uint32_t rank = ir_rank(&sum);
    if (!rows_first(r, &sum, mask, axis, dom, &outer, of))
        return (struct ref){0};
    struct ir_term *at = ARENA_ARRAY(mem, struct ir_term, rank);
    for (uint32_t i = 0; i < rank; i++)
        at[i] = (struct ir_term){ix_axis(mem, of[i]), 1, sum.dom[i].n};
    struct ir_access a = {.rank = rank, .at = at};
    struct rule row = *r;
    row.nd = rank;
    row.dom = dom;
    struct ref both[] = {{o, a}, rule_compose(&row, &a, s->pool.p[s->adjoint[o]].r, rank, dom)};
    struct ref dot = rule_emit(&row, IR_mul, (enum nn_dtype)r->n.dtype, 2, both);
    dot = rule_sum(&row, dot, outer);
    struct ir_term *back = ARENA_ARRAY(mem, struct ir_term, outer); /* over y's axes */
    for (uint32_t i = 0, k = 0; i < r->n.nd; i++)
        if (r->n.dom[i].n != 1 && !(mask >> i & 1))
            back[k++] = (struct ir_term){ix_axis(mem, i), 1, r->n.dom[i].n};
    struct ir_access b = {.rank = outer, .at = back};
    return rule_compose(r, &b, dot, r->nd, r->dom);
}

/* sum of grad*y over the row, as the node that sums e does it. */
static struct ref row_sum(struct rule *r, struct ir_in in)
{
    struct gradient *s = r->s;
    struct ref gy = rule_emit(r, IR_mul, (enum nn_dtype)r->n.dtype, 2,
                              (struct ref[]){rule_grad(r), rule_out(r)});
    struct ir_node sum = *ir_at(s->g, in.node);
    struct ir_in from = sum.in[0];
    int64_t dim[IR_MAX_AXES];
    ir_dims(&sum, dim);
    while (from.node != r->n.in[0].node && pass_see_through(s->g, dim, &from))
        ;
    gy = rule_compose(r, &from.a, gy, sum.nd, sum.dom);
    struct ir_in folded = {gy.node, gy.a};
    sum.in = &folded;
    sum.inlined = false;
    struct ref t = rule_append(r, sum);
    return rule_compose(r, &in.a, t, r->nd, r->dom);
}

/* Its gradient is asked for: no contribution may pass it by. */
static bool is_asked(const struct gradient *s, ir_id id)
{
    for (ir_id i = 1; i < s->nold; i++)
        if (s->old[i].op == IR_grad && s->map[s->old[i].in[1].node] == id)
            return true;
    return false;
}

/* Operand k of n, over y's axes, is one value for each of y's rows. */
static bool is_of_row(const struct gradient *s, const struct ir_node *n, uint32_t k, uint32_t mask)
{
    struct ir_in in = see(s, n, k);
    if (in.a.nguard || rule_uses_operand(&in.a))
        return false;
    for (uint32_t i = 0; i < n->nd; i++)
        if ((mask >> i & 1) && rule_uses_axis(&in.a, i))
            return false;
    return true;
}

/* What moves a whole row by one number (its maximum, mostly) leaves y as it is: over a row the
 * gradient d of exp's argument sums to 0, so that the number's own is 0. d goes past it to what is
 * moved; factors of a row, without a gradient, may stand between. */
static void past_shift(struct rule *r, uint32_t mask, ir_id *to, struct ref *d)
{
    struct gradient *s = r->s;
    struct ref scaled = *d;
    for (ir_id id = *to; !is_asked(s, id);) {
        const struct ir_node n = *ir_at(s->g, id);
        bool shift = n.op == IR_add || n.op == IR_sub, scale = n.op == IR_mul || n.op == IR_div;
        uint32_t k = 0;
        if ((!shift && !scale) || n.nin != 2)
            return;
        if ((n.op == IR_add || n.op == IR_mul) && is_of_row(s, &n, 0, mask))
            k = 1;
        struct ref number = {n.in[1 - k].node, n.in[1 - k].a};
        if (!identity(&n, k) || !is_of_row(s, &n, 1 - k, mask) || (scale && s->wanted[number.node]))
            return;
        id = n.in[k].node;
        if (scale)
            scaled = rule_emit(r, (enum ir_op)n.op, (enum nn_dtype)n.dtype, 2,
                               (struct ref[]){scaled, number});
        if (shift) {
            *to = id;
            *d = scaled;
        }
    }
}

bool rule_softmax(struct rule *r)
{
    struct gradient *s = r->s;
    if (r->n.op != IR_div || !identity(&r->n, 0) || r->n.nin != 2)
        return false;
    ir_id e = r->n.in[0].node;
    const struct ir_node exponential = *ir_at(s->g, e);
    struct ir_in in = see(s, &r->n, 1);
    uint32_t mask = reduced_axes(s, in, e, &r->n.in[0].a);
    if (exponential.op != IR_exp || !mask || !identity(&exponential, 0) || !s->wanted[e])
        return false;
    enum nn_dtype t = (enum nn_dtype)r->n.dtype;
    struct ref dot = row_dot(r, mask);
    if (!dot.node)
        dot = row_sum(r, in);
    struct ref less = rule_emit(r, IR_sub, t, 2, (struct ref[]){rule_grad(r), dot});
    struct ref d = rule_emit(r, IR_mul, t, 2, (struct ref[]){rule_out(r), less});
    ir_id to = exponential.in[0].node;
    past_shift(r, mask, &to, &d);
    if (s->wanted[to])
        gradient_contribute(s, to, d);
    return true;
}
