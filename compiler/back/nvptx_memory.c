/* Loads and stores of a GPU. Elements in a row are moved 16 bytes at a time where the address is
 * known to be so aligned, else in the largest pieces that it allows. A mask on which all lanes
 * agree guards the whole; lanes of any other mask, and of gathers, go one by one. Guards are
 * branches around one access, which ptxas turns into predicates. */
#include "back/gen.h"

/* What is moved: `lanes` elements from p on. */
struct move {
    const struct lo_buffer *b;
    LLVMTypeRef elem, type; /* of memory: one element, all lanes */
    uint32_t lanes, size, align;
    LLVMValueRef p;
};

static uint32_t least(uint32_t x, uint32_t y) { return x < y ? x : y; }

static LLVMValueRef lane_number(const struct gen *g, uint32_t i)
{
    return LLVMConstInt(g->i32, i, false);
}

static LLVMValueRef get_lane(struct gen *g, LLVMValueRef v, uint32_t i)
{
    if (LLVMGetTypeKind(LLVMTypeOf(v)) != LLVMVectorTypeKind)
        return v;
    return LLVMBuildExtractElement(g->b, v, lane_number(g, i), "");
}

static LLVMValueRef set_lane(struct gen *g, LLVMValueRef v, LLVMValueRef x, uint32_t i)
{
    if (LLVMGetTypeKind(LLVMTypeOf(v)) != LLVMVectorTypeKind)
        return x;
    return LLVMBuildInsertElement(g->b, v, x, lane_number(g, i), "");
}

/* A power of two that divides the place, in elements. Values that are constants by now (of loops
 * written out) count as such. */
static uint32_t place_multiple(const struct gen *g, const struct lo_lin *l)
{
    struct lo_lin left = *l, one = {0, 1, NULL};
    uint32_t m = 1 << 20;
    for (uint32_t i = 0; i < l->n; i++) {
        LLVMValueRef v = g->value[l->part[i].v];
        if (LLVMIsAConstantInt(v)) {
            left.c0 += l->part[i].c * LLVMConstIntGetSExtValue(v);
            continue;
        }
        one.part = &l->part[i];
        m = least(m, lo_lin_multiple(one, g->fact));
    }
    left.n = 0;
    return least(m, lo_lin_multiple(left, g->fact));
}

static struct move open_move(struct gen *g, const struct lo_insn *in, struct lo_type t)
{
    struct move m = {.b = &g->k->buffers.p[in->buf], .lanes = t.lanes};
    m.elem = gen_memory(g, (enum nn_dtype)t.dtype);
    m.type = gen_wide(m.elem, t.lanes);
    m.size = (uint32_t)nn_dtype_size((enum nn_dtype)t.dtype);
    m.align = m.size * least(place_multiple(g, &in->lin), 16);
    m.align = least(m.align, 16);
    m.p = gen_address(g, in->buf, &in->lin, m.elem);
    return m;
}

static LLVMValueRef offset(struct gen *g, const struct move *m, uint32_t element)
{
    LLVMValueRef at = LLVMConstInt(g->i64, element, false);
    return element ? LLVMBuildInBoundsGEP2(g->b, m->elem, m->p, &at, 1, "") : m->p;
}

/* n elements as LLVM loads and stores them best: small ones packed in integers. */
static LLVMTypeRef piece_type(struct gen *g, const struct move *m, uint32_t n)
{
    uint32_t bytes = n * m->size;
    if (n == 1 || m->size >= 4)
        return gen_wide(m->elem, n);
    return bytes < 4 ? LLVMIntTypeInContext(g->cx, bytes * 8) : gen_wide(g->i32, bytes / 4);
}

/* ---- masks ---- */

/* Whether a comparison `lanes < bound` has one answer for all lanes: both at multiples of their
 * number. */
static LLVMValueRef uniform_less(struct gen *g, lo_id lanes, lo_id bound, uint32_t n)
{
    const struct lo_insn *x = &g->k->insns.p[lanes], *y = &g->k->insns.p[bound];
    if (x->kind != LO_LANES || lo_lin_multiple(x->lin, g->fact) % n)
        return NULL;
    if (g->fact[bound].multiple % n || (y->kind != LO_CONST && y->kind != LO_SPLAT))
        return NULL;
    LLVMValueRef first = get_lane(g, g->value[lanes], 0), limit = get_lane(g, g->value[bound], 0);
    if (gen_fits(g, lanes) && gen_fits(g, bound)) {
        first = get_lane(g, gen_narrow(g, g->value[lanes]), 0);
        limit = get_lane(g, gen_narrow(g, g->value[bound]), 0);
    }
    return LLVMBuildICmp(g->b, LLVMIntSLT, first, limit, "");
}

/* The mask as one bit, if all of its lanes agree; else NULL. */
static LLVMValueRef uniform_mask(struct gen *g, lo_id mask)
{
    const struct lo_insn *in = &g->k->insns.p[mask];
    uint32_t n = in->type.lanes;
    if (n == 1)
        return g->value[mask];
    if (in->kind == LO_CONST)
        return LLVMConstInt(g->i1, (unsigned long long)in->i, false);
    if (in->kind == LO_SPLAT)
        return g->value[in->in[0]];
    if (in->kind != LO_OP)
        return NULL;
    if (in->op == IR_and || in->op == IR_or) {
        LLVMValueRef x = uniform_mask(g, in->in[0]), y = x ? uniform_mask(g, in->in[1]) : NULL;
        if (!y)
            return NULL;
        return in->op == IR_and ? LLVMBuildAnd(g->b, x, y, "") : LLVMBuildOr(g->b, x, y, "");
    }
    if (in->op == IR_not) {
        LLVMValueRef x = uniform_mask(g, in->in[0]);
        return x ? LLVMBuildNot(g->b, x, "") : NULL;
    }
    if (in->op == IR_lt || in->op == IR_gt)
        return uniform_less(g, in->in[in->op == IR_gt], in->in[in->op == IR_lt], n);
    if (in->op == IR_ge || in->op == IR_le) {
        LLVMValueRef x = uniform_less(g, in->in[in->op == IR_le], in->in[in->op == IR_ge], n);
        return x ? LLVMBuildNot(g->b, x, "") : NULL;
    }
    return NULL;
}

/* Between open_guard and close_guard the mask holds. `always`: no branch is needed. */
struct guard {
    LLVMBasicBlockRef from, then, end;
};

static struct guard open_guard(struct gen *g, LLVMValueRef mask)
{
    struct guard u = {0};
    if (!mask)
        return u;
    u.from = LLVMGetInsertBlock(g->b);
    u.then = gen_new_block(g, "do");
    u.end = gen_new_block(g, "done");
    LLVMBuildCondBr(g->b, mask, u.then, u.end);
    LLVMPositionBuilderAtEnd(g->b, u.then);
    return u;
}

/* `v` where the mask held, else `fill`; both may be NULL. */
static LLVMValueRef close_guard(struct gen *g, struct guard u, LLVMValueRef v, LLVMValueRef fill)
{
    if (!u.end)
        return v;
    LLVMBasicBlockRef last = LLVMGetInsertBlock(g->b);
    LLVMBuildBr(g->b, u.end);
    LLVMPositionBuilderAtEnd(g->b, u.end);
    if (!v)
        return NULL;
    LLVMValueRef phi = LLVMBuildPhi(g->b, LLVMTypeOf(v), "");
    LLVMAddIncoming(phi, (LLVMValueRef[]){v, fill}, (LLVMBasicBlockRef[]){last, u.from}, 2);
    return phi;
}

/* ---- elements in a row ---- */

static LLVMValueRef load_piece(struct gen *g, const struct move *m, uint32_t first, uint32_t n)
{
    LLVMValueRef v = LLVMBuildLoad2(g->b, piece_type(g, m, n), offset(g, m, first), "");
    LLVMSetAlignment(v, least(m->align, n * m->size));
    if (m->b->space == LO_ARG && !m->b->written)
        LLVMSetMetadata(v, LLVMGetMDKindIDInContext(g->cx, "invariant.load", 14),
                        LLVMMetadataAsValue(g->cx, LLVMMDNodeInContext2(g->cx, NULL, 0)));
    return LLVMBuildBitCast(g->b, v, gen_wide(m->elem, n), "");
}

static LLVMValueRef load_row(struct gen *g, const struct move *m)
{
    uint32_t n = least(m->align / m->size ? m->align / m->size : 1, m->lanes);
    if (n == m->lanes)
        return load_piece(g, m, 0, n);
    LLVMValueRef r = LLVMGetPoison(m->type);
    for (uint32_t i = 0; i < m->lanes; i += n) {
        LLVMValueRef piece = load_piece(g, m, i, n);
        for (uint32_t j = 0; j < n; j++)
            r = set_lane(g, r, get_lane(g, piece, j), i + j);
    }
    return r;
}

static void store_row(struct gen *g, const struct move *m, LLVMValueRef v)
{
    uint32_t n = least(m->align / m->size ? m->align / m->size : 1, m->lanes);
    for (uint32_t i = 0; i < m->lanes; i += n) {
        LLVMValueRef piece = n == m->lanes ? v : LLVMGetPoison(gen_wide(m->elem, n));
        for (uint32_t j = 0; j < n && n < m->lanes; j++)
            piece = set_lane(g, piece, get_lane(g, v, i + j), j);
        piece = LLVMBuildBitCast(g->b, piece, piece_type(g, m, n), "");
        LLVMValueRef st = LLVMBuildStore(g->b, piece, offset(g, m, i));
        LLVMSetAlignment(st, least(m->align, n * m->size));
    }
}

/* ---- lane by lane ---- */

/* Lane i's place: the i-th in the row, or by an index of its own. */
static struct move lane_move(struct gen *g, const struct lo_insn *in, const struct move *m,
                             uint32_t i)
{
    struct move one = *m;
    one.lanes = 1;
    one.type = m->elem;
    one.align = m->size;
    if (!in->in[2]) {
        one.p = offset(g, m, i);
        return one;
    }
    LLVMValueRef index = g->value[in->in[2]];
    if (g->k->insns.p[in->in[2]].type.dtype == NN_i64 && gen_fits(g, in->in[2]))
        index = gen_narrow(g, index);
    index = get_lane(g, index, i);
    if (LLVMTypeOf(index) == g->i32)
        index = gen_widen(g, index);
    one.p = LLVMBuildInBoundsGEP2(g->b, m->elem, m->p, &index, 1, "");
    return one;
}

LLVMValueRef nvptx_load(struct gen *g, const struct lo_insn *in)
{
    struct move m = open_move(g, in, in->type);
    enum nn_dtype t = (enum nn_dtype)in->type.dtype;
    LLVMValueRef fill =
        in->in[1] ? gen_to_memory(g, in->type, g->value[in->in[1]]) : LLVMConstNull(m.type);
    LLVMValueRef whole = in->in[0] ? uniform_mask(g, in->in[0]) : NULL;
    if ((!in->in[0] || whole) && !in->in[2]) {
        struct guard u = open_guard(g, whole);
        return gen_from_memory(g, t, close_guard(g, u, load_row(g, &m), fill));
    }
    struct guard all = open_guard(g, whole);
    LLVMValueRef r = LLVMGetPoison(m.type);
    for (uint32_t i = 0; i < m.lanes; i++) {
        bool own = in->in[0] && !whole;
        struct move one = lane_move(g, in, &m, i);
        struct guard u = open_guard(g, own ? get_lane(g, g->value[in->in[0]], i) : NULL);
        LLVMValueRef v = close_guard(g, u, load_row(g, &one), own ? get_lane(g, fill, i) : NULL);
        r = set_lane(g, r, v, i);
    }
    return gen_from_memory(g, t, close_guard(g, all, r, fill));
}

void nvptx_store(struct gen *g, const struct lo_insn *in)
{
    struct lo_type t = g->k->insns.p[in->in[0]].type;
    struct move m = open_move(g, in, t);
    LLVMValueRef v = gen_to_memory(g, t, g->value[in->in[0]]);
    LLVMValueRef whole = in->in[1] ? uniform_mask(g, in->in[1]) : NULL;
    struct guard all = open_guard(g, whole);
    if ((!in->in[1] || whole) && !in->in[2]) {
        store_row(g, &m, v);
        close_guard(g, all, NULL, NULL);
        return;
    }
    for (uint32_t i = 0; i < m.lanes; i++) {
        struct move one = lane_move(g, in, &m, i);
        bool own = in->in[1] && !whole;
        struct guard u = open_guard(g, own ? get_lane(g, g->value[in->in[1]], i) : NULL);
        store_row(g, &one, get_lane(g, v, i));
        close_guard(g, u, NULL, NULL);
    }
    close_guard(g, all, NULL, NULL);
}
