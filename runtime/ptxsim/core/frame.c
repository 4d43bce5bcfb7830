/* frame: the registers of a function under way, of which recursion has several; and what stands in
 * them when it begins: special registers, parameters, addresses. */
#include "exec.h"
#include <stdlib.h>

static uint64_t special(const struct sim_warp *w, enum sim_special s, uint32_t lane)
{
    const struct sim_job *j = w->worker->job;
    const struct sim_launch *l = j->launch;
    uint32_t id[3];
    sim_thread_id(w, w->index * SIM_LANES + lane, id);
    switch (s) {
    case SP_TID_X: return id[0];
    case SP_TID_Y: return id[1];
    case SP_TID_Z: return id[2];
    case SP_NTID_X: return l->block[0];
    case SP_NTID_Y: return l->block[1];
    case SP_NTID_Z: return l->block[2];
    case SP_CTAID_X: return w->block->id[0];
    case SP_CTAID_Y: return w->block->id[1];
    case SP_CTAID_Z: return w->block->id[2];
    case SP_NCTAID_X: return l->grid[0];
    case SP_NCTAID_Y: return l->grid[1];
    case SP_NCTAID_Z: return l->grid[2];
    case SP_LANEID: return lane;
    case SP_WARPID: return w->index;
    case SP_NWARPID: return j->warps;
    case SP_SMID: return w->block->index % j->device->chip->sms;
    case SP_NSMID: return j->device->chip->sms;
    case SP_GRIDID: return 1;
    case SP_LT: return (1u << lane) - 1;
    case SP_LE: return (2u << lane) - 1;
    case SP_GT: return ~((2u << lane) - 1);
    case SP_GE: return ~((1u << lane) - 1);
    case SP_EQ: return 1u << lane;
    case SP_DYNAMIC_SHARED: return w->block->window + j->dynamic_at;
    case SP_DYNAMIC_BYTES: return l->shared;
    case SP_WORKSPACE: return j->workspace >> 32;
    case SP_WORKSPACE_LO: return (uint32_t)j->workspace;
    case SP_TOTAL_SHARED: return j->shared_user;
    case SP_ALL_SHARED:
        return j->shared_user + (j->device->chip->major >= 8 ? SIM_RESERVED_SHARED : 0);
    case SP_RESERVED: return j->shared_bytes - SIM_RESERVED_SHARED;
    case SP_RESERVED_END: return j->shared_bytes;
    case SP_RESERVED_CAP: return SIM_RESERVED_SHARED;
    case SP_RESERVED_1: return j->shared_bytes - SIM_RESERVED_SHARED + 128;
    case SP_CLUSTERID_X: return w->block->id[0] / j->cluster[0];
    case SP_CLUSTERID_Y: return w->block->id[1] / j->cluster[1];
    case SP_CLUSTERID_Z: return w->block->id[2] / j->cluster[2];
    case SP_NCLUSTERID_X: return l->grid[0] / j->cluster[0];
    case SP_NCLUSTERID_Y: return l->grid[1] / j->cluster[1];
    case SP_NCLUSTERID_Z: return l->grid[2] / j->cluster[2];
    case SP_CLUSTER_CTAID_X: return w->block->id[0] % j->cluster[0];
    case SP_CLUSTER_CTAID_Y: return w->block->id[1] % j->cluster[1];
    case SP_CLUSTER_CTAID_Z: return w->block->id[2] % j->cluster[2];
    case SP_CLUSTER_NCTAID_X: return j->cluster[0];
    case SP_CLUSTER_NCTAID_Y: return j->cluster[1];
    case SP_CLUSTER_NCTAID_Z: return j->cluster[2];
    case SP_CLUSTER_RANK: return w->block->rank;
    case SP_CLUSTER_SIZE: return j->cluster_size;
    case SP_EXPLICIT_CLUSTER: return j->explicit_cluster ? SIM_ALL : 0;
    case SP_ZERO:
    case SP_CLOCK:
    case SP_CLOCK_HI:
    case SP_CLOCK64:
    case SP_TIMER:
    case SP_TIMER_LO:
    case SP_TIMER_HI: break;
    }
    return 0;
}

static uint64_t param_value(const struct sim_job *j, const struct sim_preset *p)
{
    uint64_t v = 0;
    memcpy(&v, (const uint8_t *)j->launch->params + p->value, p->bytes);
    if (p->sign && p->bytes < 8)
        v = (uint64_t)((int64_t)(v << (64 - 8 * p->bytes)) >> (64 - 8 * p->bytes));
    return p->size == 2 ? v & 0xFFFF : v;
}

static void fill(uint8_t *regs, const struct sim_preset *p, uint64_t v)
{
    if (p->size == 8)
        for (int l = 0; l < SIM_LANES; l++)
            ((uint64_t *)(void *)(regs + p->at))[l] = v;
    else
        for (int l = 0; l < SIM_LANES; l++)
            ((uint32_t *)(void *)(regs + p->at))[l] = (uint32_t)v;
}

/* Fills the rows that the function expects; `varying` only those that change with block or warp. */
void sim_fill_presets(struct sim_warp *w, struct sim_frame *fr, bool varying)
{
    const struct sim_function *f = fr->f;
    for (uint32_t i = 0; i < f->preset_count; i++) {
        const struct sim_preset *p = &f->presets[i];
        switch ((enum sim_preset_kind)p->kind) {
        case PRESET_32:
        case PRESET_64:
            if (!varying)
                fill(fr->regs, p, p->value);
            break;
        case PRESET_PARAM:
            if (!varying)
                fill(fr->regs, p, param_value(w->worker->job, p));
            break;
        case PRESET_LOCAL:
            if (!varying)
                fill(fr->regs, p, fr->local_base + p->value);
            break;
        case PRESET_SHARED:
            if (!varying || w->worker->job->cluster_size > 1)
                fill(fr->regs, p, w->block->window + p->value);
            break;
        case PRESET_SPECIAL:
            for (uint32_t l = 0; l < SIM_LANES; l++) {
                uint64_t v = special(w, (enum sim_special)p->value, l);
                if (p->size == 8)
                    ((uint64_t *)(void *)(fr->regs + p->at))[l] = v;
                else
                    ((uint32_t *)(void *)(fr->regs + p->at))[l] = (uint32_t)v;
            }
            break;
        }
    }
}

struct sim_frame *sim_frame_new(struct sim_warp *w, const struct sim_function *f)
{
    struct sim_frame **at = &w->spare, *fr;
    for (; *at; at = &(*at)->next_free)
        if ((*at)->capacity >= f->window && (*at)->capacity <= 2 * f->window + 4096)
            break;
    fr = *at;
    if (fr) {
        *at = fr->next_free;
    } else {
        fr = calloc(1, sizeof *fr);
        uint8_t *regs = aligned_alloc(128, (f->window + 127) & ~(size_t)127);
        if (!fr || !regs) {
            free(fr);
            free(regs);
            return NULL;
        }
        memset(regs, 0, f->window);
        *fr = (struct sim_frame){.regs = regs, .capacity = f->window};
    }
    fr->f = f;
    if (fr->undef)
        memset(fr->undef, 0, fr->capacity);
    return fr;
}

void sim_frame_delete(struct sim_frame *fr)
{
    if (fr) {
        free(fr->regs);
        free(fr->undef);
        free(fr);
    }
}

void sim_frame_drop(struct sim_warp *w, struct sim_frame *fr)
{
    fr->next_free = w->spare;
    w->spare = fr;
}
