/* exec: a block of a launch. Its warps run in turn, each until all of its lanes wait or are done. A
 * warp's lanes form groups that are at one place; of those that can run, the one deepest in calls
 * and at the lowest place goes on until it comes to where another waits. An instruction of a whole
 * warp waits until the lanes that it names are there. */
#include "exec.h"
#include <stdlib.h>

#define SLICE 262144 /* instructions of a warp before the block's next one has a turn */
#define SLICE_COOPERATIVE 4096
#define MAX_DEPTH 512
#define IDLE_ROUNDS 2000

/* ---- groups ---- */
static struct sim_group *group_add(struct sim_warp *w, uint32_t mask, uint32_t pc,
                                   struct sim_frame *fr)
{
    struct sim_group *g = &w->group[w->groups++];
    *g = (struct sim_group){.mask = mask, .pc = pc, .frame = fr};
    return g;
}

static void group_remove(struct sim_warp *w, uint32_t i) { w->group[i] = w->group[--w->groups]; }

/* Lanes that are at the same place, running or waiting for others to come there, are one group. */
static void merge(struct sim_warp *w)
{
    for (uint32_t i = 0; i + 1 < w->groups; i++)
        for (uint32_t j = i + 1; j < w->groups;) {
            struct sim_group *a = &w->group[i], *b = &w->group[j];
            bool same = a->pc == b->pc && a->frame == b->frame && a->state <= SIM_AT_SYNC &&
                        b->state <= SIM_AT_SYNC;
            if (same) {
                a->mask |= b->mask;
                a->state = SIM_RUN;
                group_remove(w, j);
            } else {
                j++;
            }
        }
}

static bool before(const struct sim_group *a, const struct sim_group *b)
{
    return a->frame->depth != b->frame->depth ? a->frame->depth > b->frame->depth : a->pc < b->pc;
}

/* The group to run, or -1; `turn` of the others go first where one has run for long. */
static int pick(struct sim_warp *w, uint32_t skip)
{
    int best = -1;
    for (uint32_t i = 0; i < w->groups; i++)
        if (w->group[i].state == SIM_RUN && !(w->group[i].mask & skip) &&
            (best < 0 || before(&w->group[i], &w->group[best])))
            best = (int)i;
    return best;
}

/* Where the group has to stop: the lowest place above its own at which others are or wait. */
static uint32_t stop_of(const struct sim_warp *w, int g)
{
    uint32_t stop = UINT32_MAX;
    for (uint32_t i = 0; i < w->groups; i++) {
        const struct sim_group *o = &w->group[i];
        if ((int)i != g && o->frame == w->group[g].frame && o->state <= SIM_AT_SYNC &&
            o->pc > w->group[g].pc && o->pc < stop)
            stop = o->pc;
    }
    return stop;
}

/* ---- calls ---- */
static void copy_local(struct sim_warp *w, uint32_t mask, uint32_t to, uint32_t from,
                       uint32_t bytes)
{
    size_t stride = w->worker->job->local_stride;
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1) {
            uint8_t *base = w->local + (size_t)l * stride,
                    *known = w->local_known + (size_t)l * stride;
            w->local_dirty = true;
            memmove(base + to, base + from, bytes);
            memmove(known + to, known + from, bytes);
        }
}

static void call(struct sim_warp *w, struct sim_group *g, const struct sim_inst *i, uint32_t mask)
{
    struct sim_frame *from = g->frame;
    const struct sim_call *c = &from->f->call[i->imm];
    const struct sim_function *f = c->callee;
    int lane = sim_first(mask);
    if (!f) { /* by pointer: lanes with another one go later */
        uint64_t p = sim_row64(w, i->a)[lane], n = (p - SIM_WINDOW_CODE) / 16 - 1;
        const struct sim_module *m = from->f->module;
        if ((p & SIM_WINDOW_MASK) != SIM_WINDOW_CODE || n >= m->functions ||
            !m->function[n]->defined || m->function[n]->arg_count != c->arg_count ||
            m->function[n]->result_count != c->result_count) {
            sim_report(w, SIM_FAULT_BOUNDS, lane,
                       "a call through 0x%llx, which is no function of this kind",
                       (unsigned long long)p);
            return;
        }
        f = m->function[n];
        if (f->refused) {
            sim_report(w, SIM_FAULT_UNSUPPORTED, lane, "a call of `%s`, %s", f->name, f->refused);
            return;
        }
        uint32_t same = 0;
        for (int l = 0; l < SIM_LANES; l++)
            same |= (mask >> l & 1 && sim_row64(w, i->a)[l] == p ? 1u : 0u) << l;
        if (same != mask) {
            group_add(w, mask & ~same, g->pc, from);
            mask = same;
        }
    }
    uint32_t base = from->local_base + from->f->local_bytes;
    if (from->depth >= MAX_DEPTH || base + f->local_bytes > w->worker->job->local_stride) {
        sim_report(w, SIM_FAULT_BOUNDS, lane, "the stack is exhausted: %u calls deep", from->depth);
        return;
    }
    struct sim_frame *fr = sim_frame_new(w, f);
    if (!fr) {
        sim_report(w, SIM_FAULT_UNSUPPORTED, lane, "out of memory for a call");
        return;
    }
    fr->caller = from, fr->call = c, fr->depth = from->depth + 1, fr->inside = mask;
    fr->local_base = base, fr->return_pc = g->pc + 1;
    sim_fill_presets(w, fr, false);
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1)
            memset(w->local_known + (size_t)l * w->worker->job->local_stride + base, 0,
                   f->local_bytes);
    for (uint32_t k = 0; k < c->arg_count; k++) {
        const uint32_t *pair = from->f->ext + c->args + 2 * k;
        uint32_t n = pair[1] < f->args[k].bytes ? pair[1] : f->args[k].bytes;
        copy_local(w, mask, base + f->args[k].offset, from->local_base + pair[0], n);
    }
    g->mask = mask, g->frame = fr, g->pc = 0;
}

static void return_from(struct sim_warp *w, struct sim_group *g, uint32_t mask)
{
    struct sim_frame *fr = g->frame, *to = fr->caller;
    const struct sim_call *c = fr->call;
    for (uint32_t k = 0; k < c->result_count; k++) {
        const uint32_t *pair = to->f->ext + c->results + 2 * k;
        uint32_t n = pair[1] < fr->f->results[k].bytes ? pair[1] : fr->f->results[k].bytes;
        copy_local(w, mask, to->local_base + pair[0], fr->local_base + fr->f->results[k].offset, n);
    }
    fr->inside &= ~mask;
    uint32_t rest = g->mask & ~mask, pc = g->pc + 1;
    g->mask = mask, g->frame = to, g->pc = fr->return_pc;
    if (rest)
        group_add(w, rest, pc, fr);
    if (!fr->inside)
        sim_frame_drop(w, fr);
}

/* Lanes that exit inside of a call leave all frames. */
static void exit_lanes(struct sim_warp *w, struct sim_group *g, uint32_t mask)
{
    w->exited |= mask;
    sim_cluster_exit(w, mask);
    for (struct sim_frame *fr = g->frame, *up; fr && fr->caller; fr = up) {
        up = fr->caller;
        fr->inside &= ~mask;
        if (!fr->inside)
            sim_frame_drop(w, fr);
    }
    g->mask &= ~mask;
}

/* ---- barriers ---- */
/* Lanes that do not exist come with the last one that does. */
static uint32_t weight(const struct sim_warp *w, uint32_t mask)
{
    uint32_t n = (uint32_t)__builtin_popcount(mask), exist = (uint32_t)__builtin_popcount(w->lanes);
    return n + (mask >> (exist - 1) & 1 ? SIM_LANES - exist : 0);
}

static void barrier_done(struct sim_worker *k, uint32_t number)
{
    struct sim_block_state *b = &k->block;
    struct sim_barrier *x = &b->barrier[number];
    for (uint32_t i = 0; i < b->warps; i++) {
        struct sim_warp *w = &b->warp[i];
        for (uint32_t j = 0; j < w->groups; j++) {
            struct sim_group *g = &w->group[j];
            if (g->state != SIM_AT_BARRIER || g->barrier != number)
                continue;
            const struct sim_inst *in = &g->frame->f->code[g->pc];
            w->r = g->frame->regs;
            if (in->sub == 4)
                for (int l = 0; l < SIM_LANES; l++) {
                    uint32_t *d = &sim_row32(w, in->d)[l];
                    *d = g->mask >> l & 1 ? x->reduce : *d;
                }
            else if (in->sub >= 2) {
                uint32_t *d = sim_pred(w, in->d);
                bool yes =
                    in->sub == 2 ? !x->any : x->any; /* and: none was false; or: one was true */
                *d = (*d & ~g->mask) | (yes ? g->mask : 0);
            }
            g->state = SIM_RUN;
            g->pc++;
        }
    }
    if (k->job->checked)
        sim_race_barrier(b, x);
    k->n.barriers++;
    *x = (struct sim_barrier){.generation = x->generation + 1};
}

static uint32_t missing(const struct sim_warp *w, uint32_t mask)
{
    return w->lanes & ~w->exited & ~mask;
}

/* True: the group goes on at once (arrive). */
static bool barrier(struct sim_warp *w, struct sim_group *g, const struct sim_inst *i,
                    uint32_t mask)
{
    struct sim_block_state *b = w->block;
    int lane = sim_first(mask);
    uint32_t number = sim_row32(w, i->a)[lane];
    uint32_t expected = i->b == NO_OPERAND ? b->warps * SIM_LANES : sim_row32(w, i->b)[lane];
    if (number > 15 || !expected || expected % SIM_LANES || expected > b->warps * SIM_LANES) {
        sim_report(w, SIM_FAULT_BARRIER, lane,
                   "barrier %u of %u threads: there are 16 barriers, of whole warps", number,
                   expected);
        return false;
    }
    struct sim_barrier *x = &b->barrier[number];
    if (x->expected && x->expected != expected) {
        sim_report(w, SIM_FAULT_BARRIER, lane, "barrier %u with %u threads, where others said %u",
                   number, expected, x->expected);
        return false;
    }
    x->expected = expected;
    x->arrived += weight(w, mask);
    x->warps |= 1u << w->index;
    x->waits |= i->sub == 1 ? 0 : 1u << w->index;
    if (w->worker->job->checked)
        sim_race_arrive(w, x->know, i->sub == 1 || missing(w, mask));
    if (i->sub >= 2) {
        uint32_t p = *sim_pred(w, i->c);
        p = (i->mods & MOD_NOT ? ~p : p) & mask;
        x->reduce += (uint32_t)__builtin_popcount(p);
        x->any = x->any || (i->sub == 2 ? p != mask : p != 0);
    }
    if (x->arrived > expected) {
        sim_report(w, SIM_FAULT_BARRIER, lane, "more threads arrive at barrier %u than its %u",
                   number, expected);
        return false;
    }
    bool arrive = i->sub == 1;
    if (!arrive) {
        g->state = SIM_AT_BARRIER;
        g->barrier = number;
    }
    if (x->arrived == expected)
        barrier_done(w->worker, number);
    return arrive;
}

static void warp_barrier_check(struct sim_warp *w)
{
    for (uint32_t i = 0; i < w->groups; i++) {
        uint32_t need = w->group[i].members, have = 0;
        if (w->group[i].state != SIM_AT_WARPBAR)
            continue;
        for (uint32_t j = 0; j < w->groups; j++)
            if (w->group[j].state == SIM_AT_WARPBAR && w->group[j].members == need)
                have |= w->group[j].mask;
        if (need & w->lanes & ~w->exited & ~have)
            continue;
        for (uint32_t j = 0; j < w->groups; j++)
            if (w->group[j].state == SIM_AT_WARPBAR && w->group[j].members == need) {
                w->group[j].state = SIM_RUN;
                w->group[j].pc++;
            }
        if (w->worker->job->checked)
            sim_race_warp_sync(w, need);
    }
}

/* ---- the loop ---- */
/* The lanes of `mask` that can go on with an instruction of the warp, and the members they name:
 * lanes that name different sets do so set by set. 0: none has all of its members there (*m: those
 * of the first lane), or something is wrong and reported. */
static uint32_t members(struct sim_warp *w, uint32_t row, uint32_t mask, uint32_t *m)
{
    const uint32_t *e = sim_row32(w, row);
    *m = e[sim_first(mask)];
    for (uint32_t left = mask; left;) {
        uint32_t want = e[sim_first(left)], same = 0;
        for (int l = 0; l < SIM_LANES; l++)
            same |= (left >> l & 1 && e[l] == want ? 1u : 0u) << l;
        if (same & ~want) {
            int l = sim_first(same & ~want);
            sim_report(w, SIM_FAULT_SHUFFLE, l,
                       "the member mask %08x leaves out lane %d, which executes it", want, l);
            return 0;
        }
        if (!(want & w->lanes & ~w->exited & ~same)) {
            *m = want;
            return same;
        }
        left &= ~same;
    }
    return 0;
}

static bool limit_reached(struct sim_worker *k, uint64_t lanes)
{
    struct sim_job *j = k->job;
    if (!j->launch->limit)
        return false;
    return atomic_fetch_add_explicit(&j->executed, lanes, memory_order_relaxed) + lanes >
           j->launch->limit;
}

/* bar.warp.sync: lanes that name different sets become groups that wait each for its own. True: a
 * report. */
static bool warpbar_masks(struct sim_warp *w, const struct sim_inst *i, struct sim_group *g,
                          uint32_t m)
{
    const uint32_t *e = sim_row32(w, i->a);
    uint32_t first = 0;
    for (uint32_t left = m, same; left; left &= ~same) {
        uint32_t want = e[sim_first(left)];
        same = 0;
        for (int l = 0; l < SIM_LANES; l++)
            same |= (left >> l & 1 && e[l] == want ? 1u : 0u) << l;
        if (same & ~want) {
            int l = sim_first(same & ~want);
            sim_report(w, SIM_FAULT_SHUFFLE, l,
                       "the member mask %08x leaves out lane %d, which executes it", want, l);
            return true;
        }
        struct sim_group *to = first ? group_add(w, same, g->pc, g->frame) : g;
        to->state = SIM_AT_WARPBAR;
        to->members = want;
        first = first ? first : same;
    }
    g->mask = first;
    return false;
}

static void cluster_barrier(struct sim_warp *w, struct sim_group *g, const struct sim_inst *i,
                            uint32_t m)
{
    if (!i->sub) {
        if (sim_cluster_arrive(w, i, m))
            g->pc++;
        return;
    }
    uint32_t go = sim_cluster_wait(w, i, m);
    if (go && go != m)
        group_add(w, m & ~go, g->pc, g->frame);
    if (go) {
        g->mask = go;
        g->pc++;
    } else if (!w->worker->failed) {
        g->state = SIM_AT_CLUSTER;
    }
}

enum outcome { GO_ON, RESCHEDULE };

/* An instruction that is not a plain function. `m`: lanes whose guard holds; g->pc is here. */
static enum outcome control(struct sim_warp *w, int at, const struct sim_inst *i, uint32_t m)
{
    struct sim_group *g = &w->group[at];
    uint32_t rest = g->mask & ~m, pc = g->pc, members_mask;
    w->pc = pc;
    w->active = g->mask;
    switch ((enum sim_kind)i->kind) {
    case RUN_BRANCH:
        w->worker->n.divergent_branches++;
        g->pc = (uint32_t)i->imm;
        g->mask = m;
        group_add(w, rest, pc + 1, g->frame);
        return RESCHEDULE;
    case RUN_INDEXED: {
        const uint32_t *index = sim_row32(w, i->a);
        uint32_t left = m;
        if (w->tainted && sim_taint_lanes(w, i->a, 4, m)) {
            sim_report(w, SIM_FAULT_UNINIT, sim_first(sim_taint_lanes(w, i->a, 4, m)),
                       "a branch depends on memory that was never written");
            return RESCHEDULE;
        }
        g->mask = 0;
        if (rest)
            g->mask = rest, g->pc = pc + 1;
        while (left) {
            int lane = sim_first(left);
            uint32_t same = 0;
            if (index[lane] >= (uint64_t)i->imm) {
                sim_report(w, SIM_FAULT_BOUNDS, lane, "brx.idx with index %u of a table of %lld",
                           index[lane], (long long)i->imm);
                return RESCHEDULE;
            }
            for (int l = 0; l < SIM_LANES; l++)
                same |= (left >> l & 1 && index[l] == index[lane] ? 1u : 0u) << l;
            uint32_t to = g->frame->f->ext[i->ext + index[lane]];
            if (!g->mask)
                g->mask = same, g->pc = to;
            else
                group_add(w, same, to, g->frame);
            left &= ~same;
        }
        return RESCHEDULE;
    }
    case RUN_CALL:
        g->mask = m;
        if (rest)
            group_add(w, rest, pc + 1, g->frame);
        call(w, &w->group[at], i, m);
        return RESCHEDULE;
    case RUN_RETURN: return_from(w, g, m); return RESCHEDULE;
    case RUN_EXIT:
        exit_lanes(w, g, m);
        g->pc++;
        if (!g->mask)
            group_remove(w, (uint32_t)at);
        warp_barrier_check(w);
        for (uint32_t k = 0; k < w->groups; k++) /* who waited for these lanes may have all now */
            if (w->group[k].state == SIM_AT_SYNC)
                w->group[k].state = SIM_RUN;
        return RESCHEDULE;
    case RUN_TRAP: sim_report(w, SIM_FAULT_TRAP, sim_first(m), "trap"); return RESCHEDULE;
    case RUN_SYNC: {
        uint32_t ready = members(w, i->e, m, &members_mask);
        if (ready == m) {
            i->fn(w, i, m);
            g->pc++;
            return w->worker->failed ? RESCHEDULE : GO_ON;
        }
        if (w->worker->failed)
            return RESCHEDULE;
        if (rest)
            group_add(w, rest, pc + 1, g->frame);
        g->mask = ready ? ready : m;
        if (ready) {
            group_add(w, m & ~ready, pc, g->frame);
            i->fn(w, i, ready);
            g->pc++;
        } else {
            g->state = SIM_AT_SYNC;
            g->members = members_mask;
        }
        return RESCHEDULE;
    }
    case RUN_WARPBAR:
        if (warpbar_masks(w, i, g, m))
            return RESCHEDULE;
        if (rest)
            group_add(w, rest, pc + 1, w->frame);
        warp_barrier_check(w);
        return RESCHEDULE;
    case RUN_BARRIER:
        if (rest) {
            group_add(w, rest, pc + 1, g->frame);
            g->mask = m;
        }
        if (!(i->mods & MOD_PAIR) && missing(w, m)) { /* aligned: the whole warp comes here */
            g->state = SIM_AT_SYNC;
            g->members = SIM_ALL;
            return RESCHEDULE;
        }
        if (barrier(w, g, i, m))
            g->pc++;
        return RESCHEDULE;
    case RUN_CLUSTER:
        if (rest) {
            group_add(w, rest, pc + 1, g->frame);
            g->mask = m;
        }
        if (!(i->mods & MOD_PAIR) && missing(w, m)) { /* aligned */
            g->state = SIM_AT_SYNC;
            g->members = SIM_ALL;
            return RESCHEDULE;
        }
        cluster_barrier(w, g, i, m);
        return RESCHEDULE;
    case RUN_WAIT:
        w->yield = true;
        if (i->fn)
            i->fn(w, i, m);
        if (rest || w->groups > 1 || w->yield || w->worker->failed) {
            g->pc++;
            return RESCHEDULE;
        }
        return GO_ON;
    case RUN_LANES:
    case RUN_ACCESS: break;
    }
    return GO_ON;
}

static void report_guard(struct sim_warp *w, uint32_t pc, uint32_t bad)
{
    w->pc = pc;
    sim_report(w, SIM_FAULT_UNINIT, sim_first(bad),
               "a condition depends on memory that was never written");
}

/* Runs a group until it meets another, waits, splits, or has had its slice. */
static void run_group(struct sim_warp *w, int at, uint32_t stop, uint32_t *slice)
{
    struct sim_group *g = &w->group[at];
    struct sim_worker *k = w->worker;
    const struct sim_inst *code = g->frame->f->code;
    uint32_t pc = g->pc, mask = g->mask, left = *slice;
    uint64_t threads = 0, lanes = (uint64_t)__builtin_popcount(mask), steps = 0;
    w->frame = g->frame;
    w->r = g->frame->regs;
    for (;;) {
        if (pc == stop)
            break;
        const struct sim_inst *i = code + pc;
        uint32_t m = mask;
        steps++;
        k->classes[i->cls]++;
        if (i->guarded) {
            m &= i->guard_not ? ~*sim_pred(w, i->guard) : *sim_pred(w, i->guard);
            if (w->tainted && k->job->checked) {
                uint32_t bad = sim_taint_pred(w, i->guard, mask);
                if (bad) {
                    report_guard(w, pc, bad);
                    break;
                }
            }
            threads += (uint64_t)__builtin_popcount(m);
            if (!m) {
                pc++;
                continue;
            }
        } else {
            threads += lanes;
        }
        if (i->kind == RUN_LANES) {
            if (w->tainted)
                sim_taint_step(w, i, m);
            i->fn(w, i, m);
            pc++;
            continue;
        }
        if (i->kind == RUN_ACCESS) {
            w->pc = pc;
            w->active = mask;
            if (w->tainted)
                sim_taint_step(w, i, m);
            i->fn(w, i, m);
            if (k->failed)
                break;
            pc++;
            if (w->yield)
                break;
            continue;
        }
        if (i->kind == RUN_BRANCH && m == mask) {
            bool back = (uint32_t)i->imm <= pc;
            pc = (uint32_t)i->imm;
            if (w->groups > 1)
                break;
            if (back && steps >= left)
                break;
            continue;
        }
        g->pc = pc;
        if (control(w, at, i, m) == RESCHEDULE) {
            pc = UINT32_MAX;
            break;
        }
        pc++;
    }
    if (pc != UINT32_MAX)
        g->pc = pc;
    k->n.warp_instructions += steps;
    k->n.instructions += threads;
    k->steps += threads;
    *slice = steps < left ? left - (uint32_t)steps : 0;
}

/* Counts what was executed towards the limit of the launch. */
static void check_limit(struct sim_warp *w, uint32_t pc, uint32_t mask)
{
    struct sim_worker *k = w->worker;
    if (limit_reached(k, k->steps)) {
        w->pc = pc;
        sim_report(w, SIM_FAULT_HANG, sim_first(mask),
                   "the limit of %llu thread instructions is reached",
                   (unsigned long long)k->job->launch->limit);
    }
    k->steps = 0;
}

/* True: something was done. */
static bool run_warp(struct sim_warp *w)
{
    struct sim_worker *k = w->worker;
    const uint32_t most =
        k->job->launch->cooperative || k->job->cluster_size > 1 ? SLICE_COOPERATIVE : SLICE;
    uint32_t slice = most;
    w->awaits = w->spins = false;
    bool ran = false;
    while (w->groups && !k->failed) {
        if (w->groups > 1)
            merge(w);
        int g = pick(w, w->skip);
        if (g < 0 && w->skip) {
            w->skip = 0;
            continue;
        }
        if (g < 0 || !slice)
            break;
        ran = true;
        uint32_t before_pc = w->group[g].pc, mask = w->group[g].mask, had = slice;
        run_group(w, g, stop_of(w, g), &slice);
        bool yields = w->yield;
        if (yields) {
            w->yield = false;
            slice = 0;
        }
        if (k->job->launch->limit && (k->steps > 65536 || !w->groups))
            check_limit(w, before_pc, mask);
        /* Lanes that spin at a low place must not starve those they wait for. */
        if (w->groups > 1 && had - slice > 0 && slice < most / 2)
            w->skip = w->skip && !yields ? 0 : mask;
    }
    return ran;
}

static void block_place(struct sim_block_state *b, const struct sim_job *j, uint64_t number,
                        uint32_t rank)
{
    const uint32_t *grid = j->launch->grid, *c = j->cluster;
    uint32_t across = grid[0] / c[0], down = grid[1] / c[1];
    b->id[0] = (uint32_t)(number % across) * c[0] + rank % c[0];
    b->id[1] = (uint32_t)(number / across % down) * c[1] + rank / c[0] % c[1];
    b->id[2] = (uint32_t)(number / across / down) * c[2] + rank / c[0] / c[1];
    b->index = ((uint64_t)b->id[2] * grid[1] + b->id[1]) * grid[0] + b->id[0];
    b->order = number * j->cluster_size + rank;
    b->rank = rank;
    b->window = j->cluster_size > 1 ? (rank + 1) << SIM_RANK_AT : 0;
}

void sim_block_begin(struct sim_worker *k, struct sim_cluster *c, uint64_t number, uint32_t rank)
{
    struct sim_job *j = k->job;
    struct sim_block_state *b = &k->block;
    block_place(b, j, number, rank);
    b->cluster = c;
    b->threads = (uint32_t)j->threads;
    k->waits = false;
    k->spins = 0;
    memset(b->coming, 0, sizeof b->coming);
    memset(b->came, 0, sizeof b->came);
    b->clock = b->base = 1;
    b->acquired = 0;
    b->releases = false;
    memset(b->released, 0, sizeof b->released);
    b->mbars = 0;
    memset(b->barrier, 0, sizeof b->barrier);
    uint32_t words = (j->shared_bytes + 3) / 4;
    if (b->shared_known)
        memset(b->shared_known, 0, words);
    if (j->kernel->f->module->reserved_shared) { /* hardware gives it zeroed */
        uint32_t at = j->shared_bytes - SIM_RESERVED_SHARED;
        memset(b->shared + at, 0, SIM_RESERVED_SHARED);
        if (b->shared_known)
            memset(b->shared_known + at / 4, 15, SIM_RESERVED_SHARED / 4);
    }
    if (j->checked) {
        memset((void *)b->reads, 0, words * sizeof *b->reads);
        memset((void *)b->writes, 0, words * sizeof *b->writes);
    }
    for (uint32_t i = 0; i < b->warps; i++) {
        struct sim_warp *w = &b->warp[i];
        struct sim_frame *fr = w->frame = w->entry;
        w->clock = 1;
        w->exited = w->came = w->may_go = 0;
        w->skip = w->spun = 0;
        w->fenced = 0;
        w->parted = false;
        w->stored = SIM_NEAR | SIM_FAR;
        w->fenced_below = w->fenced_far = w->learned = 0;
        sim_tensor_begin(w);
        if (j->checked) {
            memset(w->seen, 0, b->warps * sizeof *w->seen);
            w->seen[i] = 1;
        }
        if (w->tainted && fr->undef)
            memset(fr->undef, 0, fr->capacity);
        w->tainted = false;
        w->undef_line = 0;
        w->r = fr->regs;
        fr->inside = w->lanes;
        if (w->local_dirty)
            memset(w->local_known, 0, (size_t)j->local_stride * SIM_LANES);
        w->local_dirty = false;
        sim_fill_presets(w, fr, true);
        w->groups = 0;
        group_add(w, w->lanes, 0, fr);
    }
}

/* Files the block's fault with the launch. */
static void block_end(struct sim_worker *k)
{
    struct sim_job *j = k->job;
    sim_report_settle(k);
    if (!k->failed)
        return;
    k->block.cluster->failed = true;
    pthread_mutex_lock(&j->lock);
    if (k->block.order < atomic_load(&j->faulty)) {
        atomic_store(&j->faulty, k->block.order);
        j->fault = k->fault;
    }
    pthread_mutex_unlock(&j->lock);
}

/* Another block's fault ends this one: the report is of the lowest block, and nobody waits for one
 * that is gone. */
static bool in_vain(const struct sim_worker *k)
{
    uint64_t faulty = atomic_load_explicit(&k->job->faulty, memory_order_relaxed);
    return faulty < k->block.order || k->block.cluster->failed ||
           (faulty != UINT64_MAX && (k->waits || k->job->launch->cooperative));
}

bool sim_block_turn(struct sim_worker *k)
{
    struct sim_block_state *b = &k->block;
    struct sim_cluster *c = b->cluster;
    bool left = false, moved = false, awaits = true, spins = true;
    for (uint32_t i = 0; i < b->warps && !k->failed && !c->failed; i++) {
        if (!b->warp[i].groups)
            continue;
        left = true;
        if (run_warp(&b->warp[i])) {
            moved = true;
            awaits = awaits && b->warp[i].awaits;
            spins = spins && b->warp[i].spins;
        }
    }
    c->still = left && !moved ? c->still + 1 : 0;
    if (c->still >= c->live && !k->failed)
        sim_report_stuck(c);
    c->idle = left && awaits ? c->idle + 1 : 0;
    if (c->idle > IDLE_ROUNDS * c->live && !k->failed)
        sim_report_idle(c);
    k->spins = left && spins ? k->spins + (k->spins < UINT32_MAX) : 0;
    bool end = !left || k->failed || in_vain(k);
    if (end)
        block_end(k);
    return end;
}
