/* report: what a kernel did wrong, in words, with its place; and why a block that stands still
 * does. */
#include "exec.h"
#include <stdarg.h>

void sim_thread_id(const struct sim_warp *w, uint32_t thread, uint32_t id[3])
{
    const uint32_t *b = w->worker->job->launch->block;
    id[0] = thread % b[0];
    id[1] = thread / b[0] % b[1];
    id[2] = thread / b[0] / b[1];
}

static const char *kind_words(enum sim_fault_kind kind)
{
    switch (kind) {
    case SIM_FAULT_BOUNDS: return "out of bounds: ";
    case SIM_FAULT_FREED: return "use after free: ";
    case SIM_FAULT_ALIGN: return "misaligned access: ";
    case SIM_FAULT_UNINIT: return "uninitialised read: ";
    case SIM_FAULT_RACE: return "data race: ";
    case SIM_FAULT_SHUFFLE: return "warp: ";
    case SIM_FAULT_READ_ONLY: return "read-only memory: ";
    case SIM_FAULT_UNSUPPORTED: return "not simulated: ";
    case SIM_FAULT_HANG: return "hang: ";
    case SIM_FAULT_BARRIER:
    case SIM_FAULT_TRAP: /* these say so themselves */
    case SIM_FAULT_NONE: break;
    }
    return "";
}

void sim_report(struct sim_warp *w, enum sim_fault_kind kind, int lane, const char *fmt, ...)
{
    struct sim_worker *k = w->worker;
    if (k->failed)
        return;
    k->failed = true;
    struct sim_fault *x = &k->fault;
    const struct sim_function *f = w->frame->f;
    struct sim_line line = w->pc < f->count ? f->lines[w->pc] : (struct sim_line){0};
    uint64_t address = x->address;
    uint32_t other[3] = {x->other[0], x->other[1], x->other[2]};
    *x = (struct sim_fault){.kind = kind,
                            .kernel = k->job->kernel->f->name,
                            .ptx_line = line.ptx,
                            .source_line = line.source,
                            .source_file = line.file,
                            .address = address};
    memcpy(x->other, other, sizeof other);
    memcpy(x->block, w->block->id, sizeof x->block);
    sim_thread_id(w, w->index * SIM_LANES + (uint32_t)lane, x->thread);
    char what[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    int n = snprintf(x->text, sizeof x->text, "kernel %s: %s%s\n  ptx line %u", x->kernel,
                     kind_words(kind), what, x->ptx_line);
    if (x->source_file && n < (int)sizeof x->text)
        n += snprintf(x->text + n, sizeof x->text - (size_t)n, ", %s:%u", x->source_file,
                      x->source_line);
    if (n < (int)sizeof x->text)
        n += snprintf(x->text + n, sizeof x->text - (size_t)n,
                      ", block (%u,%u,%u), thread (%u,%u,%u)", x->block[0], x->block[1],
                      x->block[2], x->thread[0], x->thread[1], x->thread[2]);
    if (kind == SIM_FAULT_UNINIT && w->undef_line && w->undef_line != x->ptx_line &&
        n < (int)sizeof x->text)
        snprintf(x->text + n, sizeof x->text - (size_t)n,
                 "\n  such bytes were last loaded at ptx line %u", w->undef_line);
}

void sim_report_later(struct sim_worker *k)
{
    if (!k->later.kind)
        k->later = k->fault;
    k->failed = false;
}

void sim_report_settle(struct sim_worker *k)
{
    bool explained =
        k->failed && (k->fault.kind == SIM_FAULT_RACE || k->fault.kind == SIM_FAULT_BARRIER ||
                      k->fault.kind == SIM_FAULT_SHUFFLE);
    if (!k->later.kind || explained)
        return;
    k->fault = k->later;
    k->failed = true;
}

static void describe_rest(struct sim_warp *w, uint32_t mask, char *text, size_t size)
{
    uint32_t gone = w->lanes & w->exited & mask;
    if (gone) {
        snprintf(text, size, "lane %d has left the kernel", sim_first(gone));
        return;
    }
    for (uint32_t i = 0; i < w->groups; i++)
        if (w->group[i].mask & mask) {
            const struct sim_function *f = w->group[i].frame->f;
            snprintf(text, size, "lane %d waits at ptx line %u", sim_first(w->group[i].mask & mask),
                     f->lines[w->group[i].pc].ptx);
            return;
        }
    snprintf(text, size, "no lane can come");
}

/* Nothing of the block moves any more: say why, by the first warp that waits. */
static void block_stuck(struct sim_worker *k)
{
    struct sim_block_state *b = &k->block;
    char rest[128];
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < b->warps; i++) {
            struct sim_warp *w = &b->warp[i];
            for (uint32_t j = 0; j < w->groups; j++) {
                struct sim_group *g = &w->group[j];
                const struct sim_inst *in = &g->frame->f->code[g->pc];
                w->frame = g->frame;
                w->pc = g->pc;
                int lane = sim_first(g->mask);
                if (!pass && (g->state == SIM_AT_SYNC || g->state == SIM_AT_WARPBAR)) {
                    describe_rest(w, g->members & w->lanes & ~g->mask, rest, sizeof rest);
                    bool bar = in->kind == RUN_BARRIER || in->kind == RUN_CLUSTER;
                    if (bar)
                        sim_report(
                            w, SIM_FAULT_BARRIER, lane,
                            "divergent barrier: it is reached by part of a warp (lanes %08x): %s",
                            g->mask, rest);
                    else
                        sim_report(w, SIM_FAULT_SHUFFLE, lane,
                                   "an instruction of the warp waits with lanes %08x for those of "
                                   "%08x: %s",
                                   g->mask, g->members, rest);
                    return;
                }
                if (pass && g->state == SIM_AT_BARRIER) {
                    struct sim_barrier *x = &b->barrier[g->barrier];
                    uint32_t away = UINT32_MAX;
                    for (uint32_t q = 0; q < b->warps && away == UINT32_MAX; q++)
                        if (b->warp[q].exited || !(x->warps >> q & 1))
                            away = q;
                    struct sim_warp *o = away == UINT32_MAX ? w : &b->warp[away];
                    uint32_t id[3], lanes = o->exited ? o->exited : o->lanes;
                    sim_thread_id(o, o->index * SIM_LANES + (uint32_t)sim_first(lanes), id);
                    memcpy(k->fault.other, id, sizeof id);
                    sim_report(w, SIM_FAULT_BARRIER, lane,
                               "divergent barrier: barrier %u is reached by %u of %u threads: "
                               "thread (%u,%u,%u) %s",
                               g->barrier, x->arrived, x->expected, id[0], id[1], id[2],
                               o->exited ? "has left the kernel" : "is not there");
                    return;
                }
            }
        }
}

/* Who waits for the cluster's barrier alone is held up by another block. */
void sim_report_stuck(struct sim_cluster *c)
{
    for (uint32_t r = 0; r < c->size && !c->failed; r++) {
        block_stuck(c->block[r]);
        c->failed = c->block[r]->failed;
    }
}

/* All warps ask for mbarriers again and again, and nothing that could complete one is under way. */
void sim_report_idle(struct sim_cluster *c)
{
    for (uint32_t i = 0; i < c->size * c->block[0]->block.warps && !c->failed; i++) {
        struct sim_worker *k = c->block[i / c->block[0]->block.warps];
        struct sim_warp *w = &k->block.warp[i % c->block[0]->block.warps];
        if (!w->groups || !w->awaits)
            continue;
        w->frame = w->group[0].frame;
        w->pc = w->group[0].pc;
        sim_report(w, SIM_FAULT_BARRIER, sim_first(w->group[0].mask),
                   "an mbarrier is waited for that nobody completes");
        c->failed = true;
    }
}
