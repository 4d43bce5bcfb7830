/* Building a kernel anew, instruction by instruction, in the order of its text. A pass gives a
 * function that says what becomes of an instruction; what it leaves is copied with its operands
 * mapped. */
#include "loop/private.h"

struct lo_lin lo_rewrite_lin(struct lo_rewrite *r, struct lo_lin l)
{
    struct lo_lin s = lo_lin_c(l.c0);
    for (uint32_t i = 0; i < l.n; i++)
        s = lo_lin_add(&r->b, s,
                       lo_lin_mul(&r->b, lo_lin_v(&r->b, r->map[l.part[i].v]), l.part[i].c));
    return s;
}

struct lo_insn lo_rewrite_operands(struct lo_rewrite *r, const struct lo_insn *old)
{
    struct lo_insn in = *old;
    for (int i = 0; i < 3; i++)
        in.in[i] = r->map[in.in[i]];
    in.lin = lo_rewrite_lin(r, in.lin);
    in.hi = lo_rewrite_lin(r, in.hi);
    in.body = in.other = 0;
    return in;
}

void lo_rewrite_block(struct lo_rewrite *r, uint32_t block)
{
    for (uint32_t i = 0; i < r->old.blocks.p[block].insn.n; i++) {
        lo_id id = r->old.blocks.p[block].insn.p[i];
        r->b.origin = r->old.insns.p[id].origin;
        r->map[id] = r->each(r, id);
    }
}

/* Opens the block that a new for or if begins with, copies the old one into it, closes it. */
static void copy_body(struct lo_rewrite *r, uint32_t old, lo_id owner, bool other)
{
    uint32_t block = lo_block_new(r->k);
    if (other)
        r->k->insns.p[owner].other = block;
    else
        r->k->insns.p[owner].body = block;
    lo_open(&r->b, block);
    lo_rewrite_block(r, old);
    lo_end(&r->b);
}

lo_id lo_rewrite_copy(struct lo_rewrite *r, lo_id id)
{
    const struct lo_insn *old = &r->old.insns.p[id];
    struct lo_insn in = lo_rewrite_operands(r, old);
    lo_id made =
        in.kind == LO_FOR || in.kind == LO_IF ? lo_append(&r->b, in) : lo_append_folded(&r->b, in);
    if (in.kind == LO_FOR || in.kind == LO_IF) {
        r->map[id] = made;
        copy_body(r, old->body, made, false);
        if (old->other)
            copy_body(r, old->other, made, true);
    }
    return made;
}

void lo_rewrite(struct lo_kernel *k, lo_rewrite_fn *each, void *own)
{
    struct lo_rewrite r = {
        .k = k, .old = *k, .b = {.k = k, .exact = true}, .each = each, .own = own};
    r.map = xcalloc(k->insns.n, sizeof *r.map);
    memset(&k->insns, 0, sizeof k->insns);
    memset(&k->blocks, 0, sizeof k->blocks);
    memset(&k->phases, 0, sizeof k->phases);
    vec_push(&k->insns, (struct lo_insn){0});
    vec_push(&k->blocks, (struct lo_block){0});
    for (uint32_t i = 0; i < r.old.phases.n; i++) {
        const struct lo_phase *p = &r.old.phases.p[i];
        r.map[p->chunk] = lo_phase_gpu(&r.b, p->chunks, p->threads);
        r.map[p->thread] = lo_thread(&r.b);
        lo_rewrite_block(&r, p->body);
        lo_end(&r.b);
    }
    for (uint32_t i = 0; i < r.old.blocks.n; i++)
        vec_free(&r.old.blocks.p[i].insn);
    vec_free(&r.old.blocks);
    vec_free(&r.old.insns);
    vec_free(&r.old.phases);
    free(r.map);
}

/* ---- unrolling ---- */

bool lo_trips(struct lo_builder *b, struct lo_lin from, struct lo_lin to, int64_t step, int64_t *n)
{
    struct lo_lin l = lo_lin_add(b, to, lo_lin_mul(b, from, -1));
    *n = l.c0 <= 0 ? 0 : (l.c0 - 1) / step + 1;
    return !l.n;
}

static lo_id unroll(struct lo_rewrite *r, lo_id id)
{
    const struct lo_insn *old = &r->old.insns.p[id];
    int64_t n;
    if (old->kind != LO_FOR || old->op != LO_UNROLL)
        return lo_rewrite_copy(r, id);
    struct lo_lin from = lo_rewrite_lin(r, old->lin), to = lo_rewrite_lin(r, old->hi);
    if (!lo_trips(&r->b, from, to, old->step, &n) || n > LO_MAX_UNROLL)
        return lo_rewrite_copy(r, id);
    for (int64_t i = 0; i < n; i++) {
        r->map[id] = lo_value(&r->b, lo_lin_add(&r->b, from, lo_lin_c(i * old->step)));
        lo_rewrite_block(r, old->body);
    }
    return 0;
}

void lo_unroll(struct lo_kernel *k) { lo_rewrite(k, unroll, NULL); }
