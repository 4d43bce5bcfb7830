/* Contractions that a library (cuBLAS) computes as well: two stored factors read as they lie, and
 * of what follows the sum what its epilogue holds: a factor, a stored matrix and a vector added,
 * relu or gelu. Which of them are left to it is decided here, before clusters are merged for good:
 * its factors are then stored, and nothing else joins its product (fuse_store_greedy, fuse_merge).
 *
 * Contractions within a chain are not asked: their results are never in memory. */
#include "fuse/private.h"
#include "target/matmul.h"

/* ---- matrices ---- */

/* Steps in elements of a row's (column's) flat number, of the batch's, of the groups', and where it
 * all begins. */
struct matrix {
    int64_t row, col, batch, group, at;
};

/* The axes of rows, columns, the batch, and groups of batches. */
struct classes {
    uint32_t row, col, batch, group;
};

/* The factor of the axes' flat number (the last axis fastest) in e; false if it has none. */
static bool step_of(const struct fx *x, const struct ix *e, uint32_t mask, int64_t *step)
{
    int64_t size = 1;
    bool first = true;
    *step = 0;
    for (uint32_t i = x->n; i-- > 0;) {
        if (!(mask >> i & 1))
            continue;
        if (first)
            *step = ix_coef(e, i);
        if (ix_coef(e, i) != *step * size)
            return false;
        size *= x->dim[i];
        first = false;
    }
    return *step >= 0;
}

static bool matrix_of(const struct fx *x, const struct ix *e, struct classes s, struct matrix *m)
{
    m->at = e->c0;
    return ix_is_affine(e) && e->c0 >= 0 && step_of(x, e, s.row, &m->row) &&
           step_of(x, e, s.col, &m->col) && step_of(x, e, s.batch, &m->batch) &&
           step_of(x, e, s.group, &m->group);
}

static int64_t size_of(const struct fx *x, uint32_t mask)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < x->n; i++)
        n *= mask >> i & 1 ? x->dim[i] : 1;
    return n;
}

/* Stored by rows (rows of `cols` elements, a stride apart) or by columns. */
static bool stored(const struct matrix *m, int64_t rows, int64_t cols, uint8_t *trans, int64_t *ld)
{
    *trans = m->col != 1;
    *ld = *trans ? m->col : m->row;
    return (*trans ? m->row == 1 : true) && *ld >= (*trans ? rows : cols) && *ld <= INT32_MAX;
}

/* ---- factors ---- */

/* A factor that is a stored value as it lies: its load; an exact cast to f32 does not matter, and
 * rounding to tf32 the library does itself. */
static const struct fx_val *factor(const struct fx *x, fx_id id, bool *tf32)
{
    const struct fx_val *v = &x->val.p[id];
    *tf32 = v->kind == FX_OP && v->op == IR_round_tf32;
    if (*tf32)
        v = &x->val.p[v->in[0]];
    if (v->kind == FX_OP && v->op == IR_cast && v->dtype == NN_f32 &&
        (x->val.p[v->in[0]].dtype == NN_bf16 || x->val.p[v->in[0]].dtype == NN_f16))
        v = &x->val.p[v->in[0]];
    if (v->kind != FX_LOAD || v->cond)
        return NULL;
    *tf32 = *tf32 || ir_at(x->g, v->node)->op == IR_round_tf32;
    return v;
}

static bool types(const struct target *t, struct nn_gemm_rec *g, bool tf32)
{
    enum nn_dtype a = (enum nn_dtype)g->type_a;
    bool half = a == NN_bf16 || a == NN_f16;
    bool known = half || tf32 ? matmul_unit(t, a, tf32) != MATMUL_FMA : a == NN_f32 || a == NN_f64;
    g->compute = a == NN_f64 ? NN_GEMM_F64 : tf32 ? NN_GEMM_TF32 : NN_GEMM_F32;
    return known && g->type_a == g->type_b &&
           (g->type_c == g->type_a || (half && g->type_c == NN_f32));
}

struct match {
    const struct fuse_plan *p;
    const struct fuse_cluster *c;
    struct fx x;
    const struct ix *to; /* where the result is stored */
    uint32_t columns;    /* axes */
    ir_id sum;
    struct fuse_product *out;
};

static const struct ix *place(struct match *m, const struct fuse_member *member)
{
    const struct ix *at[IR_MAX_AXES];
    fuse_member_coords(&m->x, m->c, member, at);
    return fx_place(&m->x, member->node, at);
}

/* The axes of the batch that are stored in steps of their own are groups, the last one apart. */
static bool matrices(struct match *m, const struct fuse_contraction *f, bool turned,
                     const struct fx_val *va, const struct fx_val *vb)
{
    struct nn_gemm_rec *g = &m->out->rec;
    struct fx *x = &m->x;
    struct matrix a, b, c;
    uint32_t rows = turned ? f->n : f->m, cols = m->columns, last = 0;
    for (uint32_t i = 0; i < x->n; i++)
        last = f->batch >> i & 1 ? 1u << i : last;
    for (int grouped = 0;; grouped++) {
        uint32_t batch = grouped ? last : f->batch, group = f->batch & ~batch;
        if (grouped && !group)
            return false;
        if (!matrix_of(x, va->at, (struct classes){rows, f->k, batch, group}, &a) ||
            !matrix_of(x, vb->at, (struct classes){f->k, cols, batch, group}, &b) ||
            !matrix_of(x, m->to, (struct classes){rows, cols, batch, group}, &c)) {
            if (grouped)
                return false;
            continue;
        }
        int64_t size[] = {size_of(x, rows), size_of(x, cols), size_of(x, f->k), size_of(x, batch),
                          size_of(x, group)};
        for (size_t i = 0; i < COUNT(size); i++)
            if (size[i] < 1 || size[i] > INT32_MAX)
                return false;
        *g = (struct nn_gemm_rec){.at_a = a.at,
                                  .at_b = b.at,
                                  .at_c = c.at,
                                  .stride_a = a.batch,
                                  .stride_b = b.batch,
                                  .stride_c = c.batch,
                                  .jump_a = a.group,
                                  .jump_b = b.group,
                                  .jump_c = c.group,
                                  .m = (int32_t)size[0],
                                  .n = (int32_t)size[1],
                                  .k = (int32_t)size[2],
                                  .batch = (int32_t)size[3],
                                  .groups = (int32_t)size[4],
                                  .alpha = 1};
        break;
    }
    uint8_t trans_c;
    return stored(&a, g->m, g->k, &g->trans_a, &g->lda) &&
           stored(&b, g->k, g->n, &g->trans_b, &g->ldb) &&
           stored(&c, g->m, g->n, &trans_c, &g->ldc) && !trans_c;
}

/* ---- the epilogue ---- */

static const struct fx_val *operator(const struct fx *x, fx_id id, enum ir_op op)
{
    const struct fx_val *v = &x->val.p[id];
    return v->kind == FX_OP && v->op == op ? v : NULL;
}

/* The other operand where one of op's is the constant; 0: it is not so. */
static fx_id beside(const struct fx *x, fx_id id, enum ir_op op, double constant)
{
    const struct fx_val *v = operator(x, id, op);
    for (int i = 0; v && i < 2; i++) {
        const struct fx_val *c = &x->val.p[v->in[i]];
        if (c->kind == FX_CONST && nn_is_float(c->dtype) && (float)c->f == (float)constant)
            return v->in[1 - i];
    }
    return 0;
}

static bool is_cube(const struct fx *x, fx_id id, fx_id u)
{
    const struct fx_val *v = operator(x, id, IR_mul), *w;
    for (int i = 0; v && i < 2; i++)
        if (v->in[i] == u && (w = operator(x, v->in[1 - i], IR_mul)) && w->in[0] == u &&
            w->in[1] == u)
            return true;
    return false;
}

/* 1 + tanh(sqrt(2/pi) (u + 0.044715 u**3)) */
static bool is_gate(const struct fx *x, fx_id id, fx_id u)
{
    fx_id t = beside(x, id, IR_add, 1);
    const struct fx_val *v = operator(x, t, IR_tanh);
    v = v ? operator(x, beside(x, v->in[0], IR_mul, 0.7978845608028654), IR_add) : NULL;
    for (int i = 0; v && i < 2; i++)
        if (v->in[i] == u && is_cube(x, beside(x, v->in[1 - i], IR_mul, 0.044715), u))
            return true;
    return false;
}

/* What gelu's tanh form is applied to; 0: it is none. */
static fx_id gelu_of(const struct fx *x, fx_id id)
{
    const struct fx_val *v = operator(x, id, IR_mul);
    for (int i = 0; v && i < 2; i++) {
        fx_id u = beside(x, v->in[i], IR_mul, 0.5);
        if (u && is_gate(x, v->in[1 - i], u))
            return u;
    }
    return 0;
}

/* A vector along the columns. */
static bool is_bias(const struct match *m, const struct fx_val *v)
{
    int64_t step;
    return v->kind == FX_LOAD && !v->cond && v->dtype == NN_f32 && v->axes &&
           !(v->axes & ~m->columns) && ix_is_affine(v->at) && v->at->c0 >= 0 &&
           step_of(&m->x, v->at, m->columns, &step) && step == 1;
}

static bool is_matrix(const struct match *m, const struct fx_val *v)
{
    return v->kind == FX_LOAD && !v->cond && v->dtype == NN_f32 && ix_equal(v->at, m->to);
}

static bool is_sum(const struct match *m, fx_id id)
{
    return m->x.val.p[id].kind == FX_BOUND && m->x.val.p[id].node == m->sum;
}

/* The sum itself, or times a constant. */
static bool scaled(struct match *m, fx_id id)
{
    const struct fx_val *v = &m->x.val.p[id], *c;
    bool over = v->kind == FX_OP && v->op == IR_div;
    for (int i = 0; v->kind == FX_OP && (v->op == IR_mul || over) && i < (over ? 1 : 2); i++) {
        c = &m->x.val.p[v->in[1 - i]];
        if (is_sum(m, v->in[i]) && c->kind == FX_CONST) {
            m->out->rec.alpha = (float)(over ? 1 / c->f : c->f);
            return true;
        }
    }
    return is_sum(m, id);
}

/* alpha sum + matrix + vector, in any order. */
static bool linear(struct match *m, fx_id id)
{
    const struct fx_val *v = operator(&m->x, id, IR_add);
    struct fuse_product *o = m->out;
    for (int i = 0; v && i < 2; i++) {
        const struct fx_val *w = &m->x.val.p[v->in[1 - i]];
        bool bias = !(o->rec.epilogue & NN_GEMM_BIAS) && is_bias(m, w);
        bool matrix = !bias && !(o->rec.epilogue & NN_GEMM_ADD) && is_matrix(m, w);
        struct fuse_product before = *o;
        if (!bias && !matrix)
            continue;
        o->rec.epilogue |= bias ? NN_GEMM_BIAS : NN_GEMM_ADD;
        if (bias) {
            o->bias = w->node;
            o->rec.at_bias = w->at->c0;
        } else {
            o->add = w->node;
        }
        if (linear(m, v->in[i]))
            return true;
        *o = before;
    }
    return scaled(m, id);
}

/* The value of what is stored at last; `before` (0: nothing) is stored too, as gelu's argument. */
static bool epilogue(struct match *m, fx_id last, fx_id before)
{
    struct nn_gemm_rec *g = &m->out->rec;
    fx_id gelu = gelu_of(&m->x, last), relu = beside(&m->x, last, IR_max, 0);
    if (before && (before != gelu || g->n % 8)) /* the library's demand on an auxiliary matrix */
        return false;
    g->epilogue = gelu ? NN_GEMM_GELU : relu ? NN_GEMM_RELU : 0;
    g->epilogue |= before ? NN_GEMM_AUX : 0;
    return linear(m, gelu ? gelu : relu ? relu : last);
}

/* What is stored: at most the argument of gelu, and the result. */
static bool results(struct match *m, const struct fuse_member **last,
                    const struct fuse_member **before)
{
    *last = *before = NULL;
    m->sum = 0;
    for (uint32_t i = 0; i < m->c->members.n; i++) {
        const struct fuse_member *x = &m->c->members.p[i];
        if (x->role != FUSE_KEPT && (x->role != FUSE_REDUCE || m->sum))
            return false;
        m->sum = x->role == FUSE_REDUCE ? x->node : m->sum;
        if (!x->stored)
            continue;
        if (*before)
            return false;
        *before = *last;
        *last = x;
    }
    return *last && m->sum;
}

static fx_id value(struct match *m, const struct fuse_member *x)
{
    return fuse_member_value(&m->x, m->c, (uint32_t)(x - m->c->members.p));
}

static bool match(struct match *m)
{
    const struct fuse_member *last, *before;
    struct fuse_contraction f;
    struct fuse_product *o = m->out;
    uint32_t sum = 0;
    bool tf32_a, tf32_b;
    if (!results(m, &last, &before))
        return false;
    while (m->c->members.p[sum].role != FUSE_REDUCE)
        sum++;
    if (!fuse_contraction(&m->x, m->c, fuse_member_value(&m->x, m->c, sum), &f) || f.ka || f.kb)
        return false;
    bool turned = f.m > f.n; /* the result's last axis is a row's: C' = B' A' */
    m->columns = turned ? f.m : f.n;
    m->to = place(m, last);
    if (before && !ix_equal(place(m, before), m->to))
        return false;
    const struct fx_val *va = factor(&m->x, turned ? f.b : f.a, &tf32_a);
    const struct fx_val *vb = factor(&m->x, turned ? f.a : f.b, &tf32_b);
    if (!va || !vb || tf32_a != tf32_b || !matrices(m, &f, turned, va, vb))
        return false;
    *o = (struct fuse_product){.rec = o->rec, .a = va->node, .b = vb->node, .c = last->node};
    o->rec.type_a = va->dtype;
    o->rec.type_b = vb->dtype;
    o->rec.type_c = ir_at(m->x.g, last->node)->dtype;
    if (!types(m->p->target, &o->rec, tf32_a))
        return false;
    if (last->node == m->sum)
        return true;
    o->aux = before ? before->node : 0;
    return o->rec.type_c == NN_f32 && ir_at(m->x.g, m->sum)->dtype == NN_f32 &&
           epilogue(m, value(m, last), before ? value(m, before) : 0);
}

bool fuse_product(const struct fuse_plan *p, const struct fuse_cluster *c, struct fuse_product *out)
{
    uint8_t *mode;
    struct match m = {.p = p, .c = c, .out = out};
    *out = (struct fuse_product){0};
    if (p->target->kind != TARGET_GPU || c->skeleton != FUSE_CONTRACT || c->fixed)
        return false;
    fuse_fx(&m.x, p, c, &mode);
    bool yes = match(&m);
    fx_end(&m.x);
    free(mode);
    return yes;
}

bool fuse_library(const struct fuse_plan *p, const struct fuse_cluster *c, struct fuse_product *out)
{
    return p->library && p->library[c->anchor] && fuse_product(p, c, out);
}

bool fuse_holds(const struct fuse_plan *p, ir_id sum, ir_id next, struct fuse_product *out)
{
    struct fuse_cluster c = fuse_own_cluster(p, sum);
    struct fuse_member m = {.node = next, .role = FUSE_KEPT, .stored = true};
    memcpy(m.axis, c.members.p[0].axis, sizeof m.axis);
    c.members.p[0].stored = false;
    vec_push(&c.members, m);
    bool yes = fuse_product(p, &c, out);
    fuse_cluster_free(&c);
    return yes;
}

/* ---- the choice ---- */

/* What the library reads: rounding to tf32 is its own business. */
ir_id fuse_library_reads(const struct fuse_plan *p, ir_id factor)
{
    const struct ir_node *n = ir_at(p->g, factor);
    bool rounds = n->op == IR_round_tf32 && ir_access_is_identity(&n->in[0].a, n);
    return rounds ? n->in[0].node : factor;
}

static double bytes_of(const struct fuse_plan *p, ir_id id)
{
    const struct ir_node *n = ir_at(p->g, id);
    return (double)ir_count(n) * (double)nn_dtype_size(n->dtype);
}

/* A kernel that writes so many bytes for another to read. */
static double detour_us(const struct target *t, double bytes)
{
    return t->launch_us + 2 * bytes / (t->gbps * 1e3);
}

/* All that was fused with the product is held by the library's epilogue. */
static bool holds_all(const struct fuse_plan *p, uint32_t cluster)
{
    struct fuse_cluster c = p->clusters.p[cluster];
    struct fuse_product whole;
    c.members.p = xmalloc(c.members.n * sizeof *c.members.p);
    for (uint32_t i = 0; i < c.members.n; i++) {
        c.members.p[i] = p->clusters.p[cluster].members.p[i];
        c.members.p[i].stored = fuse_wanted(p, cluster, cluster, c.members.p[i].node);
    }
    bool yes = fuse_product(p, &c, &whole);
    free(c.members.p);
    return yes;
}

/* Own: with all that was fused. The library: what it cannot hold goes by way of memory. */
static struct fuse_price price(const struct fuse_plan *p, uint32_t cluster,
                               const struct fuse_product *plain)
{
    const struct fuse_cluster *c = &p->clusters.p[cluster];
    const struct target *t = p->target;
    const struct nn_gemm_rec *g = &plain->rec;
    enum matmul_unit unit = matmul_unit(t, (enum nn_dtype)g->type_a, g->compute == NN_GEMM_TF32);
    struct matmul m = {.t = t,
                       .unit = unit,
                       .m = g->m,
                       .n = g->n,
                       .k = g->k,
                       .batch = (int64_t)g->batch * g->groups};
    struct matmul_choice own = matmul_choose(&m);
    struct fuse_price r = {c->anchor, matmul_own_us(&m, &own), matmul_library_us(&m)};
    ir_id factor[] = {fuse_library_reads(p, plain->a), fuse_library_reads(p, plain->b)};
    for (int i = 0; i < 2; i++)
        if (p->mode[factor[i]] != FX_STORED)
            r.library += detour_us(t, bytes_of(p, factor[i]));
    if (c->members.n > 1 && !holds_all(p, cluster))
        r.library += detour_us(t, bytes_of(p, c->anchor));
    return r;
}

void fuse_choose_library(struct fuse_plan *p)
{
    struct fuse_plan all = *p;
    struct fuse_product plain;
    all.mode = xcalloc(p->g->nodes.n, 1);
    fuse_store_all(&all);
    p->library = xcalloc(p->g->nodes.n, 1);
    for (uint32_t i = 0; i < p->clusters.n; i++) {
        const struct fuse_cluster *c = &p->clusters.p[i];
        if (c->skeleton != FUSE_CONTRACT)
            continue;
        struct fuse_cluster own = fuse_own_cluster(&all, c->anchor);
        if (fuse_product(&all, &own, &plain)) {
            struct fuse_price x = price(p, i, &plain);
            p->library[c->anchor] = p->gemm == FUSE_GEMM_LIBRARY || x.library < x.own;
            vec_push(&p->prices, x);
        }
        fuse_cluster_free(&own);
    }
    free(all.mode);
}
