/* Which values may differ between the threads of a block: what the thread's number reaches, through
 * operands, through registers and local memory, and through the branches and loops that a register
 * is set in. Memory that threads share gives the same to all that read the same place. */
#include "loop/private.h"

struct spread {
    const struct lo_kernel *k;
    bool *value; /* of each instruction */
    bool *own;   /* of each buffer: a thread's own memory holds what may differ */
    bool changed;
};

static bool lin_differs(const struct spread *s, struct lo_lin l)
{
    for (uint32_t i = 0; i < l.n; i++)
        if (s->value[l.part[i].v])
            return true;
    return false;
}

static void raise_flag(struct spread *s, bool *flag)
{
    s->changed = s->changed || !*flag;
    *flag = true;
}

static void walk(struct spread *s, uint32_t block, bool apart)
{
    const struct lo_block *b = &s->k->blocks.p[block];
    for (uint32_t i = 0; i < b->insn.n; i++) {
        lo_id id = b->insn.p[i];
        const struct lo_insn *in = &s->k->insns.p[id];
        enum lo_space space = in->buf ? s->k->buffers.p[in->buf].space : LO_ARG;
        bool own = in->buf && (space == LO_REG || space == LO_LOCAL);
        bool differs = lin_differs(s, in->lin) || lin_differs(s, in->hi) ||
                       in->kind == LO_LDMATRIX || in->kind == LO_MMA;
        for (int j = 0; j < 3; j++)
            differs = differs || (in->in[j] && s->value[in->in[j]]);
        if (own && (in->kind == LO_SET || in->kind == LO_STORE)) {
            if (differs || apart)
                raise_flag(s, &s->own[in->buf]);
            continue;
        }
        differs = differs || (own && s->own[in->buf]);
        if (differs)
            raise_flag(s, &s->value[id]);
        if (in->body)
            walk(s, in->body, apart || differs);
        if (in->other)
            walk(s, in->other, apart || differs);
    }
}

bool *lo_divergent(const struct lo_kernel *k)
{
    struct spread s = {k, xcalloc(k->insns.n, sizeof(bool)), xcalloc(k->buffers.n, sizeof(bool)),
                       true};
    for (uint32_t i = 0; i < k->phases.n; i++)
        s.value[k->phases.p[i].thread] = k->phases.p[i].threads > 0;
    while (s.changed && lo_is_gpu(k)) {
        s.changed = false;
        for (uint32_t i = 0; i < k->phases.n; i++)
            walk(&s, k->phases.p[i].body, false);
    }
    free(s.own);
    return s.value;
}
