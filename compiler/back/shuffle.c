/* Shuffles: the steps of transpositions, and gathers whose indices are constants close together
 * (every second element of a pooling window, each element twice): loads of neighbours, shuffled,
 * where the machine's gather would fetch lane by lane. Nothing outside the elements from the first
 * to the last wanted is read. */
#include "back/gen.h"

enum { REACH = 4 /* vectors, at most */, LANES = 32 };

struct wanted {
    uint32_t lanes;
    int64_t at[LANES]; /* the element of each lane */
    bool on[LANES];    /* not masked */
    int64_t lo, hi;    /* of the lanes that are on; hi < lo: none */
};

static bool read_constants(struct wanted *w, LLVMValueRef index, LLVMValueRef mask)
{
    if (w->lanes > LANES || !LLVMIsConstant(index) || (mask && !LLVMIsConstant(mask)))
        return false;
    w->lo = INT64_MAX;
    w->hi = INT64_MIN;
    for (uint32_t i = 0; i < w->lanes; i++) {
        LLVMValueRef at = LLVMGetAggregateElement(index, i);
        LLVMValueRef on = mask ? LLVMGetAggregateElement(mask, i) : NULL;
        if (!at || !LLVMIsAConstantInt(at) || (mask && (!on || !LLVMIsAConstantInt(on))))
            return false;
        w->at[i] = LLVMConstIntGetSExtValue(at);
        w->on[i] = !mask || LLVMConstIntGetZExtValue(on);
        w->lo = w->on[i] && w->at[i] < w->lo ? w->at[i] : w->lo;
        w->hi = w->on[i] && w->at[i] > w->hi ? w->at[i] : w->hi;
    }
    return w->hi < w->lo || w->hi - w->lo < (int64_t)REACH * w->lanes;
}

static LLVMValueRef load(struct gen *g, LLVMTypeRef elem, uint32_t size, LLVMValueRef p, int64_t at,
                         unsigned align)
{
    LLVMValueRef offset = LLVMConstInt(g->i64, (unsigned long long)at, true);
    p = LLVMBuildInBoundsGEP2(g->b, elem, p, &offset, 1, "");
    LLVMValueRef v = LLVMBuildLoad2(g->b, LLVMVectorType(elem, size), p, "");
    LLVMSetAlignment(v, align);
    return v;
}

/* Lane i of the result is of x (where[i] < its size) or of y behind it. */
static LLVMValueRef shuffle(struct gen *g, LLVMValueRef x, LLVMValueRef y, const uint32_t *where,
                            uint32_t lanes)
{
    LLVMValueRef c[LANES];
    for (uint32_t i = 0; i < lanes; i++)
        c[i] = LLVMConstInt(g->i32, where[i], false);
    return LLVMBuildShuffleVector(g->b, x, y, LLVMConstVector(c, lanes), "");
}

LLVMValueRef gen_near_gather(struct gen *g, LLVMTypeRef elem, uint32_t lanes, LLVMValueRef p,
                             LLVMValueRef index, LLVMValueRef mask, LLVMValueRef fill,
                             unsigned align)
{
    struct wanted w = {.lanes = lanes};
    if (!read_constants(&w, index, mask))
        return NULL;
    if (w.hi < w.lo)
        return fill;
    int64_t span = w.hi - w.lo + 1, from[REACH + 1];
    uint32_t size = 1, n = 0;
    while (2 * (int64_t)size <= span && size < lanes)
        size *= 2;
    LLVMValueRef part[REACH + 1], r = NULL;
    for (int64_t at = w.lo; at <= w.hi; at += size, n++) { /* the last ends with the last element */
        from[n] = at + size - 1 <= w.hi ? at : w.hi - size + 1;
        part[n] = load(g, elem, size, p, from[n], align);
    }
    for (uint32_t k = 1; k < n || !r; k++) { /* parts 0 and 1 at once, then one by one */
        uint32_t where[LANES], second = k < n ? k : 0;
        for (uint32_t i = 0; i < lanes; i++) {
            int64_t a = w.at[i] - from[0], b = w.at[i] - from[second];
            where[i] = r ? i : w.on[i] && a >= 0 && a < size ? (uint32_t)a : 0;
            bool in_first = !r && a >= 0 && a < size;
            if (w.on[i] && !in_first && b >= 0 && b < size)
                where[i] = (r ? lanes : size) + (uint32_t)b;
        }
        r = shuffle(g, r ? r : part[0], part[second], where, lanes);
    }
    return mask ? LLVMBuildSelect(g->b, mask, r, fill, "") : r;
}

LLVMValueRef gen_trade(struct gen *g, const struct lo_insn *in)
{
    uint32_t lanes = in->type.lanes, block = (uint32_t)in->i, where[LANES];
    for (uint32_t j = 0; j < lanes; j++)
        where[j] = in->op ? (j & block ? lanes + j : j + block) : j & block ? lanes + j - block : j;
    return shuffle(g, g->value[in->in[0]], g->value[in->in[1]], where, lanes);
}
