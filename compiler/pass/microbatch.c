/* microbatch: requires gradients expanded; moves may be folded. Carries out a graph's wish for
 * `parts`: what hangs on single samples becomes the graph's part, which runs once for each share of
 * the batch and adds what it folds over the samples to accumulators; what is left (clipping, the
 * optimizer, the metrics' end) reads those and runs once. Breaks nothing.
 *
 * A value is one of four kinds. EACH has an axis of samples: sample s at its places q*s … q*s + q-1
 * (a [b, t] that became one axis has q = t). SUM is a sum of the parts' values: a reduction over
 * the samples, or linear in such. WHOLE needs all parts, EVEN hangs on no sample. SUM and other
 * folds are accumulated where WHOLE reads them; EVEN is computed on both sides, where needed. The
 * result is that of the whole batch up to the order of sums: within a part an index that means a
 * sample counts from the part's first one, so that `random` draws the same numbers.
 *
 * A fold that each sample needs (the number of labels that count, by which the mean's gradient
 * divides) is computed ahead where it hangs on inputs and no parameter: every part reads those
 * inputs whole, once more, and computes it from them, as an EVEN value. A variance over the batch
 * is made of two sums (moments.c) where parts are refused otherwise.
 *
 * A random tensor whose leading axis has the batch's size, or a multiple, is EACH: each part reads
 * its share of the whole batch's numbers. Where that is refused (a generator's noise in a loss that
 * sees the other model's update) such a tensor becomes EVEN, whole in every part.
 *
 * Refused, with the node's origin: WHOLE beside EACH (a batch norm), two axes of samples in one
 * node (a contrastive loss), order among samples (cumsum, argmax), a batch that each run chooses.
 */
#include "image.h"
#include "pass/pass.h"

enum kind { EVEN, EACH, SUM, WHOLE };
enum { NO_AXIS = UINT16_MAX };

struct fact {
    uint8_t kind;
    bool fold;        /* a reduction of samples: SUM, or of another monoid WHOLE */
    bool kept;        /* accumulated, or written by each part, for the rest to read */
    bool ahead;       /* a fold, computed ahead */
    bool needed;      /* by what comes after the parts */
    bool early;       /* hangs on inputs, none of it on a parameter, and is no product */
    uint16_t dom;     /* EACH and folds: the samples' axis of the domain */
    uint16_t axis;    /* EACH: of the value */
    uint32_t uses;    /* EVEN: the axes of its value on which it depends, a mask */
    ir_id part, rest; /* the node in each of the new graphs; 0: not there (yet) */
    ir_id wide;       /* in `part`, of the whole batch: early, where folds are computed ahead; of a
                       * random tensor that is EACH */
};
struct split {
    const struct ir_graph *g;
    struct ir_module *m;
    struct fact *f;
    int64_t batch, parts;
    bool ahead; /* early folds are computed ahead */
    struct ir_graph *part, *rest;
    uint32_t slot; /* of the part's number */
    ir_id number;  /* its read in `part` */
    bool *even;    /* of random nodes: refused as EACH */
    ir_id refused;
    struct pass_refusal *why;
};

static bool refuse(struct split *s, ir_id id, const char *text)
{
    *s->why = (struct pass_refusal){ir_at(s->g, id)->origin, text, 0};
    s->refused = id;
    return false;
}

/* ---- which axis has the samples ---- */

/* The expression with axis a written as q*s + u, s being the axis nd and u axis nd + 1. */
static const struct ix *by_sample(struct split *s, const struct ir_node *n, uint32_t a,
                                  const struct ix *e, int64_t *dim)
{
    struct arena *mem = s->m->mem;
    const struct ix *to[IR_MAX_AXES];
    int64_t q = n->dom[a].n / s->batch;
    ir_dims(n, dim);
    dim[n->nd] = s->batch;
    dim[n->nd + 1] = q;
    for (uint32_t i = 0; i < n->nd; i++)
        to[i] = ix_axis(mem, i);
    to[a] = ix_add(mem, ix_mul(mem, ix_axis(mem, n->nd), q), ix_axis(mem, n->nd + 1u));
    return ix_subst(mem, e, to, NULL, dim);
}

static bool may_be_samples(const struct split *s, const struct ir_node *n, uint32_t a)
{
    return n->nd + 2 <= IR_MAX_AXES && n->dom[a].n % s->batch == 0;
}

/* Whether term t reads sample s of an axis of `size` where axis a of the domain stands at s. */
static bool same_sample(struct split *s, const struct ir_node *n, uint32_t a,
                        const struct ir_term *t, int64_t size)
{
    int64_t dim[IR_MAX_AXES], q = size / s->batch;
    if (t->q != 1 || !may_be_samples(s, n, a))
        return false;
    const struct ix *e = by_sample(s, n, a, t->e, dim);
    e = ix_add(s->m->mem, e, ix_mul(s->m->mem, ix_axis(s->m->mem, n->nd), -q));
    if (ix_uses_axis(e, n->nd))
        return false;
    struct ix_range r = ix_range(e, dim);
    return r.lo >= 0 && r.hi < q;
}

static uint16_t find_axis(struct split *s, const struct ir_node *n, const struct ir_term *t,
                          int64_t size)
{
    for (uint16_t a = 0; a < n->nd; a++)
        if (same_sample(s, n, a, t, size))
            return a;
    return NO_AXIS;
}

/* Reshaping keeps the samples together if their axis leads. */
static uint16_t leading(const struct split *s, uint32_t rank, const struct ir_axis *ax)
{
    for (uint16_t a = 0; a < rank; a++)
        if (ax[a].n != 1)
            return ax[a].n % s->batch == 0 ? a : (uint16_t)NO_AXIS;
    return NO_AXIS;
}

/* ---- what each node is ---- */

static const struct ir_axis *value_axes(const struct split *s, ir_id id)
{
    return ir_axes(ir_at(s->g, id));
}

/* The samples' axis of the domain, by the operands that have one; NO_AXIS: none has. */
static bool domain_axis(struct split *s, ir_id id, uint16_t *axis)
{
    const struct ir_node *n = ir_at(s->g, id);
    *axis = NO_AXIS;
    for (uint32_t k = 0; k < n->nin; k++) {
        const struct fact *x = &s->f[n->in[k].node];
        const struct ir_axis *ax = value_axes(s, n->in[k].node);
        if (x->kind != EACH)
            continue;
        uint16_t a = n->op == IR_reshape
                         ? (leading(s, ir_rank(ir_at(s->g, n->in[k].node)), ax) == x->axis
                                ? leading(s, n->nd, n->dom)
                                : (uint16_t)NO_AXIS)
                         : find_axis(s, n, &n->in[k].a.at[x->axis], ax[x->axis].n);
        if (a == NO_AXIS)
            return refuse(s, id, "reads other samples than its own");
        if (*axis != NO_AXIS && *axis != a)
            return refuse(s, id, "sets samples against each other");
        *axis = a;
    }
    return true;
}

/* The axis of a scatter's value on which its samples stay apart. */
static uint16_t scattered_axis(struct split *s, const struct ir_node *n, uint16_t a)
{
    for (uint16_t v = 0; v < n->nval; v++)
        if (n->val[v].n % s->batch == 0 && same_sample(s, n, a, &n->out->at[v], n->val[v].n))
            return v;
    return NO_AXIS;
}

static bool each(struct split *s, ir_id id, uint16_t a)
{
    const struct ir_node *n = ir_at(s->g, id);
    struct fact *f = &s->f[id];
    f->kind = EACH;
    f->dom = f->axis = a;
    if (n->op == IR_reduce && a >= n->nd - n->nred) {
        if (n->monoid == IRM_argmax || n->monoid == IRM_argmin)
            return refuse(s, id, "takes an argmax over the batch");
        f->fold = true;
        f->kind = n->monoid == IRM_sum ? SUM : WHOLE;
    } else if (n->op == IR_cumsum && a == n->attr.i) {
        return refuse(s, id, "takes a running sum over the batch");
    } else if (n->op == IR_scatter) {
        f->axis = scattered_axis(s, n, a);
        f->fold = f->axis == NO_AXIS;
        f->kind = f->fold ? SUM : EACH;
    }
    return true;
}

static enum kind operand(const struct split *s, const struct ir_node *n, uint32_t k)
{
    return (enum kind)s->f[n->in[k].node].kind;
}

/* Operand k is the same number for all elements. */
static bool factor(const struct split *s, const struct ir_node *n, uint32_t k)
{
    return operand(s, n, k) == EVEN && ir_count(ir_at(s->g, n->in[k].node)) == 1;
}

/* Whether the value of a node with a SUM among its operands is one too: the parts' values add up to
 * it. Not where it would have more elements to accumulate. */
static bool linear(const struct split *s, const struct ir_node *n)
{
    for (uint32_t k = 0; k < n->nin; k++)
        if (operand(s, n, k) == SUM &&
            (ir_count(n) > ir_count(ir_at(s->g, n->in[k].node)) || n->in[k].a.fill != 0))
            return false;
    switch ((enum ir_op)n->op) {
    case IR_add:
    case IR_sub: return operand(s, n, 0) == SUM && operand(s, n, 1) == SUM && n->nin == 2;
    case IR_mul: return n->nin == 2 && (factor(s, n, 0) || factor(s, n, 1));
    case IR_div: return n->nin == 2 && factor(s, n, 1);
    case IR_neg:
    case IR_copy: return n->nin == 1;
    case IR_reshape: return true;
    case IR_reduce: return n->monoid == IRM_sum && n->nin == 1;
    default: /* not linear */ return false;
    }
}

/* The axes of an EVEN node's value on which it depends: a fill or a broadcast has none. */
static uint32_t depends(const struct split *s, const struct ir_node *n)
{
    int64_t dim[IR_MAX_AXES];
    uint32_t uses = 0;
    ir_dims(n, dim);
    if (n->op == IR_const)
        return 0;
    if (n->op == IR_iota)
        return 1u << n->attr.i;
    if (!ir_op_elementwise((enum ir_op)n->op))
        return UINT32_MAX;
    for (uint32_t i = 0; i < n->nd; i++)
        for (uint32_t k = 0; k < n->nin; k++) {
            const struct ir_access *a = &n->in[k].a;
            bool any = false;
            for (uint32_t t = 0; t < a->rank; t++)
                any |= ix_uses_axis(a->at[t].e, i) &&
                       (s->f[n->in[k].node].uses >> t & 1 || !ir_term_total(&a->at[t], dim));
            for (uint32_t t = 0; t < a->nguard; t++)
                any |= ix_uses_axis(a->guard[t].e, i);
            uses |= any ? 1u << i : 0;
        }
    return uses;
}

static bool is_early(const struct split *s, const struct ir_node *n)
{
    bool early =
        !n->inlined && (n->op != IR_slot || s->m->slots.p[n->attr.i].kind != NN_SLOT_PARAM);
    for (uint32_t k = 0; k < n->nin; k++)
        early = early && s->f[n->in[k].node].early;
    return early;
}

/* Computed ahead, the same in all parts. */
static void fold_ahead(struct fact *f)
{
    f->kind = EVEN;
    f->fold = false;
    f->ahead = true;
    f->dom = f->axis = NO_AXIS;
    f->uses = UINT32_MAX;
}

static bool has_role(const struct split *s, ir_id id, const char *role)
{
    const char *own = s->m->origins.p[ir_at(s->g, id)->origin].role;
    return own && !strcmp(own, role);
}

/* The last value of the forward pass among those of the whole batch on which the node hangs; 0: all
 * are of the backward pass. */
static ir_id whole_cause(const struct split *s, ir_id id)
{
    ir_id cause = 0;
    bool *reached = xcalloc(id + 1u, sizeof *reached);
    reached[id] = true;
    for (ir_id at = id; !cause && at; at--) {
        const struct ir_node *n = ir_at(s->g, at);
        if (reached[at] && at != id && !pass_is_backward(s->m, n))
            cause = at;
        for (uint32_t k = 0; reached[at] && k < n->nin; k++)
            reached[n->in[k].node] |= operand(s, n, k) == SUM || operand(s, n, k) == WHOLE;
    }
    free(reached);
    return cause;
}

/* Where the gradient of a value needs it, the line is the value's. */
static bool refuse_whole(struct split *s, ir_id id)
{
    const struct ir_node *n = ir_at(s->g, id);
    bool back = pass_is_backward(s->m, n), updated = false;
    ir_id cause = back ? whole_cause(s, id) : 0;
    for (uint32_t k = 0; k < n->nin; k++)
        updated |= operand(s, n, k) != EVEN && has_role(s, n->in[k].node, "upd");
    refuse(s, id,
           cause     ? "is of the whole batch, and each sample's gradient needs it"
           : updated ? "reads what the whole batch has updated"
                     : "needs a value of the whole batch for each sample");
    if (cause)
        s->why->origin = ir_at(s->g, cause)->origin;
    return false;
}

/* A random tensor's samples. */
static bool sown(const struct split *s, ir_id id, uint16_t *axis)
{
    const struct ir_node *n = ir_at(s->g, id);
    *axis = n->op == IR_random && !s->even[id] ? leading(s, n->nd, n->dom) : (uint16_t)NO_AXIS;
    return *axis != NO_AXIS;
}

static bool classify(struct split *s, ir_id id)
{
    const struct ir_node *n = ir_at(s->g, id);
    struct fact *f = &s->f[id];
    bool sum = false, whole = false;
    uint16_t a;
    f->dom = f->axis = NO_AXIS;
    f->early = is_early(s, n);
    if (n->op == IR_input) {
        f->kind = EACH;
        f->dom = f->axis = 0;
        return true;
    }
    if (sown(s, id, &a)) {
        f->kind = EACH;
        f->dom = f->axis = a;
        return true;
    }
    if (!domain_axis(s, id, &a))
        return false;
    for (uint32_t k = 0; k < n->nin; k++) {
        sum = sum || operand(s, n, k) == SUM;
        whole = whole || operand(s, n, k) == WHOLE;
    }
    if (a != NO_AXIS && (sum || whole))
        return refuse_whole(s, id);
    if (a != NO_AXIS && !each(s, id, a))
        return false;
    if (a != NO_AXIS && f->fold && f->early && s->ahead)
        fold_ahead(f);
    if (a != NO_AXIS)
        return true;
    f->kind = whole || (sum && !linear(s, n)) ? WHOLE : sum ? SUM : EVEN;
    f->uses = f->kind == EVEN ? depends(s, n) : 0;
    return true;
}

/* The samples' count: all inputs have it in front. */
static bool find_batch(struct split *s)
{
    for (ir_id id = 1; id < s->g->nodes.n; id++) {
        const struct ir_node *n = ir_at(s->g, id);
        if (n->op != IR_input)
            continue;
        if (!n->nd || (s->batch && n->dom[0].n != s->batch))
            return refuse(s, id, "has no batch in front");
        if (n->dom[0].live)
            return refuse(s, id, "is as long as a call says: a smaller --max takes less");
        s->batch = n->dom[0].n;
    }
    s->why->why = "has no inputs";
    if (!s->batch)
        return false;
    s->why->why = "has a batch that does not divide into so many parts";
    return s->parts > 1 && s->batch % s->parts == 0;
}

/* ---- what is accumulated ---- */

/* True if that is new. */
static bool keep(struct split *s, ir_id id)
{
    struct fact *f = &s->f[id];
    bool had = f->kept;
    f->kept = had || f->kind == SUM || f->fold;
    return f->kept != had;
}

/* A WHOLE node that is computed after the parts, from their folds. */
static bool after(const struct fact *f) { return f->kind == WHOLE && !f->fold; }

/* What is computed after the parts; what of it was computed ahead is kept from them. */
static void choose_needed(struct split *s)
{
    for (uint32_t i = 0; i < s->g->outputs.n; i++)
        s->f[s->g->outputs.p[i].node].needed = true;
    for (uint32_t i = 0; i < s->g->updates.n; i++)
        s->f[s->g->updates.p[i].node].needed = true;
    for (ir_id id = s->g->nodes.n; id-- > 1;) {
        const struct ir_node *n = ir_at(s->g, id);
        struct fact *f = &s->f[id];
        f->kept = f->kept || (f->ahead && f->needed);
        bool rest = f->needed && (after(f) || f->kind == EVEN) && !f->ahead;
        for (uint32_t k = 0; rest && k < n->nin; k++)
            s->f[n->in[k].node].needed = true;
    }
}

/* Folds and sums that what comes after reads. A sum of sums one of which is accumulated anyway
 * comes after, too: until nothing changes. */
static bool choose_kept(struct split *s)
{
    for (uint32_t i = 0; i < s->g->outputs.n; i++)
        keep(s, s->g->outputs.p[i].node);
    for (uint32_t i = 0; i < s->g->updates.n; i++)
        keep(s, s->g->updates.p[i].node);
    for (bool again = true; again;) {
        again = false;
        for (ir_id id = 1; id < s->g->nodes.n; id++) {
            const struct ir_node *n = ir_at(s->g, id);
            bool kept = false;
            for (uint32_t k = 0; k < n->nin; k++) {
                if (after(&s->f[id]) && keep(s, n->in[k].node))
                    again = true;
                kept = kept || s->f[n->in[k].node].kept || operand(s, n, k) == WHOLE;
            }
            if (kept && s->f[id].kind == SUM && !s->f[id].fold) {
                s->f[id].kind = WHOLE;
                s->f[id].kept = false;
                again = true;
            }
        }
    }
    for (uint32_t i = 0; i < s->g->outputs.n; i++)
        if (s->f[s->g->outputs.p[i].node].kind == EACH)
            return refuse(s, s->g->outputs.p[i].node, "is a result for each sample");
    for (uint32_t i = 0; i < s->g->updates.n; i++)
        if (s->f[s->g->updates.p[i].node].kind == EACH)
            return refuse(s, s->g->updates.p[i].node, "is kept for each sample");
    choose_needed(s);
    return true;
}

/* ---- the part ---- */

/* Term t with axis a counted from the part's first sample; `number` is the operand with its number.
 */
static struct ir_term moved(struct split *s, const struct ir_node *n, uint16_t a, struct ir_term t,
                            const int64_t *dim, uint32_t number, bool *any)
{
    struct arena *mem = s->m->mem;
    int64_t old[IR_MAX_AXES];
    if (!ix_uses_axis(t.e, a) || !ix_uses_axis(by_sample(s, n, a, t.e, old), n->nd))
        return t;
    const struct ix *to[IR_MAX_AXES], *part = ix_operand(mem, number);
    for (uint32_t i = 0; i < n->nd; i++)
        to[i] = ix_axis(mem, i);
    /* so that the number is seen to be in its range */
    part = ix_mod(mem, part, s->parts, dim);
    to[a] = ix_add(mem, to[a], ix_mul(mem, part, n->dom[a].n / s->parts));
    t.e = ix_subst(mem, t.e, to, NULL, dim);
    *any = true;
    return t;
}

/* An access of an EACH node (or fold), its domain being one part's. `own`: the axis of what is read
 * that has the part's samples only, else NO_AXIS. `uses`: the axes that matter. */
static struct ir_access part_access(struct split *s, const struct ir_node *n, uint16_t a,
                                    const struct ir_access *x, uint16_t own, uint32_t uses,
                                    const int64_t *dim, bool *any)
{
    struct ir_access y = *x;
    struct ir_term *at = ARENA_ARRAY(s->m->mem, struct ir_term, x->rank);
    struct ir_term *guard = ARENA_ARRAY(s->m->mem, struct ir_term, x->nguard);
    for (uint32_t i = 0; i < x->rank; i++) {
        at[i] = x->at[i];
        if (i == own)
            at[i].n /= s->parts;
        else if (uses >> i & 1)
            at[i] = moved(s, n, a, at[i], dim, n->nin, any);
    }
    for (uint32_t i = 0; i < x->nguard; i++)
        guard[i] = moved(s, n, a, x->guard[i], dim, n->nin, any);
    y.at = at;
    y.guard = guard;
    return y;
}

static const struct ir_axis *shortened(struct split *s, const struct ir_axis *ax, uint32_t n,
                                       uint16_t a)
{
    struct ir_axis *y = arena_dup(s->m->mem, ax, n * sizeof *y);
    y[a].n /= s->parts;
    return y;
}

static struct ir_access scalar_access(void) { return (struct ir_access){0}; }

static ir_id part_number(struct split *s)
{
    struct ir_builder b = {.g = s->part};
    if (!s->number)
        s->number = ir_slot_read(&b, s->slot);
    return s->number;
}

/* A node that has samples, over those of one part. */
static struct ir_node part_node(struct split *s, ir_id id)
{
    struct ir_node n = *ir_at(s->g, id);
    const struct fact *f = &s->f[id];
    int64_t dim[IR_MAX_AXES];
    bool any = false;
    ir_dims(&n, dim);
    dim[f->dom] /= s->parts;
    struct ir_in *in = ARENA_ARRAY(s->m->mem, struct ir_in, n.nin + 1u);
    for (uint32_t k = 0; k < n.nin; k++) {
        const struct fact *x = &s->f[n.in[k].node];
        uint16_t own = x->kind == EACH ? x->axis : (uint16_t)NO_AXIS;
        uint32_t uses = x->kind == EACH ? UINT32_MAX : x->uses;
        in[k].node = x->part;
        in[k].a = ir_op_whole((enum ir_op)n.op)
                      ? n.in[k].a
                      : part_access(s, &n, f->dom, &n.in[k].a, own, uses, dim, &any);
    }
    if (n.op == IR_scatter) {
        struct ir_access *out = ARENA_NEW(s->m->mem, struct ir_access);
        *out = part_access(s, &n, f->dom, n.out, f->axis, UINT32_MAX, dim, &any);
        n.out = out;
        if (f->axis != NO_AXIS)
            n.val = shortened(s, n.val, n.nval, f->axis);
    }
    if (any)
        in[n.nin++] = (struct ir_in){part_number(s), scalar_access()};
    n.in = in;
    n.dom = shortened(s, n.dom, n.nd, f->dom);
    return n;
}

/* The node as it is, of the whole batch, with its operands in one of the new graphs. */
static struct ir_node copied(struct split *s, ir_id id, bool part)
{
    struct ir_node n = *ir_at(s->g, id);
    struct ir_in *in = arena_dup(s->m->mem, n.in, n.nin * sizeof *in);
    for (uint32_t k = 0; k < n.nin; k++) {
        const struct fact *x = &s->f[in[k].node];
        in[k].node = !part ? x->rest : x->wide ? x->wide : x->part;
    }
    n.in = in;
    if (n.op == IR_input)
        n.attr.i = IR_INPUT_WHOLE;
    return n;
}

/* Sums of few bits are accumulated in f32. */
static enum nn_dtype accumulator_type(enum nn_dtype t)
{
    return t == NN_f16 || t == NN_bf16 ? NN_f32 : t;
}

static enum ir_monoid monoid_of(const struct split *s, ir_id id)
{
    const struct ir_node *n = ir_at(s->g, id);
    bool other = s->f[id].fold && n->op == IR_reduce;
    return other ? (enum ir_monoid)n->monoid : IRM_sum;
}

static uint32_t accumulator(struct split *s, const struct ir_node *n, enum nn_dtype t,
                            double identity)
{
    uint32_t rank = ir_rank(n);
    int64_t *dim = ARENA_ARRAY(s->m->mem, int64_t, rank + 1);
    for (uint32_t i = 0; i < rank; i++)
        dim[i] = ir_axes(n)[i].n;
    struct ir_slot slot = {.name =
                               arena_printf(s->m->mem, "%s.%u", s->part->name, s->part->updates.n),
                           .dtype = t,
                           .kind = NN_SLOT_ACC,
                           .rank = rank,
                           .dim = dim,
                           .identity = identity};
    return ir_slot_add(s->m, slot);
}

/* The slot <- what each part computes of the whole batch; then it is read in the rest. */
static void pass_on(struct split *s, ir_id id)
{
    const struct ir_node *n = ir_at(s->g, id);
    struct fact *f = &s->f[id];
    struct ir_update u = {accumulator(s, n, (enum nn_dtype)n->dtype, 0), f->part};
    struct ir_builder r = {.g = s->rest, .origin = n->origin};
    vec_push(&s->part->updates, u);
    f->rest = ir_slot_read(&r, u.slot);
}

/* The slot <- what it had (in the first part: the identity) and the part's own value; then it is
 * read in the rest. */
static void accumulate(struct split *s, ir_id id)
{
    const struct ir_node *n = ir_at(s->g, id);
    struct fact *f = &s->f[id];
    enum ir_monoid m = monoid_of(s, id);
    enum nn_dtype t = accumulator_type((enum nn_dtype)n->dtype), own = (enum nn_dtype)n->dtype;
    double none = ir_monoid_identity(m, t);
    uint32_t at = accumulator(s, n, t, none);
    struct ir_builder b = {.g = s->part, .origin = n->origin},
                      r = {.g = s->rest, .origin = n->origin};
    ir_id identity = nn_is_float(t) ? ir_const_f(&b, t, none) : ir_const_i(&b, t, (int64_t)none);
    ir_id first = ir_binary(&b, IR_eq, part_number(s), ir_const_i(&b, NN_i32, 0));
    ir_id had = ir_select(&b, first, identity, ir_slot_read(&b, at));
    ir_id now = ir_binary(&b, ir_monoid_combine(m), had, ir_cast(&b, t, f->part));
    struct ir_update u = {at, now};
    vec_push(&s->part->updates, u);
    f->rest = ir_cast(&r, own, ir_slot_read(&r, at));
}

/* The part's share of a random tensor: it is read where it is of the whole batch, so that the
 * numbers are the same. */
static ir_id random_share(struct split *s, ir_id id)
{
    const struct ir_node *n = ir_at(s->g, id);
    struct ir_node copy = {
        .op = IR_copy, .dtype = n->dtype, .inlined = true, .nd = n->nd, .origin = n->origin};
    int64_t dim[IR_MAX_AXES];
    bool any = false;
    uint16_t a = s->f[id].dom;
    copy.dom = shortened(s, n->dom, n->nd, a);
    copy.nin = 1;
    ir_dims(&copy, dim);
    struct ir_node user = copy; /* over the whole batch */
    user.dom = n->dom;
    struct ir_access x = ir_identity(s->m, n->nd, n->dom);
    struct ir_in in[] = {
        {s->f[id].wide, part_access(s, &user, a, &x, NO_AXIS, UINT32_MAX, dim, &any)},
        {part_number(s), scalar_access()}};
    copy.in = in;
    copy.nin = 2;
    return ir_append(s->part, &copy);
}

/* Both graphs, in the order of the old one; what neither needs goes with dce. */
static void build(struct split *s)
{
    for (ir_id id = 1; id < s->g->nodes.n; id++) {
        struct fact *f = &s->f[id];
        if (f->kind == EACH && ir_at(s->g, id)->op == IR_random) {
            struct ir_node n = copied(s, id, true);
            f->wide = ir_append_shared(s->part, &n);
            f->part = random_share(s, id);
        } else if (f->kind == EACH || f->fold) {
            struct ir_node n = part_node(s, id);
            f->part = ir_append_shared(s->part, &n);
            if (s->ahead && f->early) {
                n = copied(s, id, true);
                f->wide = ir_append_shared(s->part, &n);
            }
        } else if (f->kind != WHOLE) {
            struct ir_node n = copied(s, id, true);
            f->part = ir_append_shared(s->part, &n);
        }
        if (f->kept && f->kind == EVEN) {
            pass_on(s, id);
        } else if (f->kept) {
            accumulate(s, id);
        } else if (f->needed && (f->kind == EVEN || after(f))) {
            struct ir_node n = copied(s, id, false);
            f->rest = ir_append_shared(s->rest, &n);
        }
    }
}

static struct ir_graph *new_graph(const struct split *s, const char *name)
{
    struct ir_graph *g = ir_graph_loose(s->m, name);
    g->precision = s->g->precision;
    return g;
}

/* For the part and the slot of its number: step.part, if the model has no slot of that name. */
static const char *part_name(const struct split *s)
{
    const char *name = arena_printf(s->m->mem, "%s.part", s->g->name);
    while (ir_slot_find(s->m, name) != UINT32_MAX)
        name = arena_printf(s->m->mem, "%s_", name);
    return name;
}

static void replace(struct split *s, struct ir_graph *g)
{
    s->part = new_graph(s, part_name(s));
    s->rest = new_graph(s, s->g->name);
    s->slot = ir_slot_add(
        s->m, (struct ir_slot){.name = s->part->name, .dtype = NN_i32, .kind = NN_SLOT_ACC});
    build(s);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        g->outputs.p[i].node = s->f[g->outputs.p[i].node].rest;
    for (uint32_t i = 0; i < g->updates.n; i++)
        g->updates.p[i].node = s->f[g->updates.p[i].node].rest;
    vec_free(&g->nodes);
    g->nodes.p = s->rest->nodes.p;
    g->nodes.n = s->rest->nodes.n;
    g->nodes.cap = s->rest->nodes.cap;
    s->rest->nodes.p = NULL;
    ir_graph_free(s->rest);
    g->part = s->part;
    pass_dce(g->part);
    pass_dce(g);
}

/* What each node is and what is kept. */
static bool sort_out(struct split *s)
{
    bool good = true;
    memset(s->f, 0, s->g->nodes.n * sizeof *s->f);
    for (ir_id id = 1; good && id < s->g->nodes.n; id++)
        good = classify(s, id);
    return good && choose_kept(s);
}

/* The random tensors on which the refused node hangs become EVEN: those whose samples it reads,
 * without any all of them. One of them; 0: there is none. */
static ir_id give_up(struct split *s)
{
    ir_id random = 0;
    bool *reached = xcalloc(s->refused + 1u, sizeof *reached);
    for (int all = 0; !random && all < 2; all++) {
        reached[s->refused] = true;
        for (ir_id id = s->refused; id; id--) {
            const struct ir_node *n = ir_at(s->g, id);
            uint16_t axis;
            if (reached[id] && sown(s, id, &axis)) {
                s->even[id] = true;
                random = id;
            }
            for (uint32_t k = 0; reached[id] && k < n->nin; k++)
                reached[n->in[k].node] |= all || operand(s, n, k) == EACH;
        }
    }
    free(reached);
    return random;
}

/* With random tensors in parts, as many as can be. */
static bool sort_out_random(struct split *s)
{
    struct pass_refusal first = {0};
    memset(s->even, 0, s->g->nodes.n * sizeof *s->even);
    while (!sort_out(s)) {
        ir_id random = give_up(s);
        if (!random)
            return false;
        first = first.random ? first : *s->why;
        first.random = first.random ? first.random : ir_at(s->g, random)->origin;
    }
    *s->why = first;
    return true;
}

static bool try_split(struct ir_graph *g, struct pass_refusal *why)
{
    struct split s = {.g = g,
                      .m = g->m,
                      .f = xcalloc(g->nodes.n, sizeof *s.f),
                      .even = xcalloc(g->nodes.n, sizeof *s.even),
                      .parts = g->parts,
                      .why = why};
    *why = (struct pass_refusal){0};
    bool good = find_batch(&s);
    for (int ahead = 0; good && ahead < 2; ahead++) {
        s.ahead = ahead;
        if (sort_out_random(&s))
            break;
        good = !ahead;
    }
    if (good)
        replace(&s, g);
    free(s.f);
    free(s.even);
    return good;
}

bool pass_split(struct ir_graph *g, struct pass_refusal *why)
{
    if (try_split(g, why))
        return true;
    struct ir_graph *h = ir_graph_copy(g);
    pass_moments(h);
    pass_dce(h);
    bool good = try_split(h, why);
    if (good) {
        struct ir_graph old = *g;
        *g = *h;
        *h = old;
    }
    ir_graph_free(h);
    return good;
}

void pass_microbatch(struct ir_graph *g)
{
    struct pass_refusal why;
    if (g->parts < 2 || g->part || pass_split(g, &why))
        return;
    const struct ir_origin *o = &g->m->origins.p[why.origin];
    diag_error(g->m->diag, o->at, "graph %s does not go through in %u parts: %s %s", g->name,
               g->parts, o->path ? o->path : "it", why.why);
}
