/* What the simulator has to say beyond results: faults, counters of kernels, and at the end of the
 * process leaks and counters, where they were asked for. */
#include "driver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void (*listener)(void *data, const struct sim_fault *fault);
static void *listener_data;

void nnsim_on_fault(void (*f)(void *data, const struct sim_fault *fault), void *data)
{
    lock_acquire();
    listener = f;
    listener_data = data;
    lock_release();
}

static CUresult fault_code(const struct sim_fault *f)
{
    switch (f->kind) {
    case SIM_FAULT_NONE: return CUDA_SUCCESS;
    case SIM_FAULT_BOUNDS:
    case SIM_FAULT_FREED: return CUDA_ERROR_ILLEGAL_ADDRESS;
    case SIM_FAULT_ALIGN: return CUDA_ERROR_MISALIGNED_ADDRESS;
    case SIM_FAULT_READ_ONLY: return CUDA_ERROR_INVALID_ADDRESS_SPACE;
    case SIM_FAULT_TRAP:
        return strstr(f->text, "assert") ? CUDA_ERROR_ASSERT : CUDA_ERROR_LAUNCH_FAILED;
    case SIM_FAULT_UNSUPPORTED: return CUDA_ERROR_ILLEGAL_INSTRUCTION;
    case SIM_FAULT_HANG: return CUDA_ERROR_LAUNCH_TIMEOUT;
    case SIM_FAULT_UNINIT: /* what hardware lets pass */
    case SIM_FAULT_RACE:
    case SIM_FAULT_BARRIER:
    case SIM_FAULT_SHUFFLE: return CUDA_ERROR_LAUNCH_FAILED;
    }
    return CUDA_ERROR_LAUNCH_FAILED;
}

void report_fault(struct context *c, const struct sim_fault *f)
{
    lock_acquire();
    c->sticky = fault_code(f);
    void (*to)(void *, const struct sim_fault *) = listener;
    void *data = listener_data;
    lock_release();
    if (to) {
        to(data, f);
        return;
    }
    size_t n = strlen(f->text);
    fprintf(stderr, "nncsim: %s%s", f->text, n && f->text[n - 1] == '\n' ? "" : "\n");
}

/* ---- counters ---- */

static struct row {
    char *name;
    uint64_t launches;
    struct sim_counters sum;
} * rows;
static size_t row_count, row_room;
static int counting_on = -1;

static void print_counters(void)
{
    for (size_t i = 0; i < row_count; i++) {
        const struct sim_counters *c = &rows[i].sum;
        fprintf(stderr,
                "nncsim: %s: %llu launches, %.3g s, %llu instructions, global %llu B read %llu B "
                "written "
                "(distinct %llu, %llu), %llu shared conflicts, %llu mma\n",
                rows[i].name, (unsigned long long)rows[i].launches, c->seconds,
                (unsigned long long)c->instructions, (unsigned long long)c->global_load_bytes,
                (unsigned long long)c->global_store_bytes, (unsigned long long)c->unique_load_bytes,
                (unsigned long long)c->unique_store_bytes, (unsigned long long)c->shared_conflicts,
                (unsigned long long)c->mma);
    }
}

bool counting(void)
{
    lock_acquire();
    if (counting_on < 0) {
        counting_on = setting_on("NN_SIM_COUNTERS", false);
        if (counting_on)
            atexit(print_counters);
    }
    bool on = counting_on > 0;
    lock_release();
    return on;
}

void nnsim_count(bool on)
{
    lock_acquire();
    counting_on = on;
    lock_release();
}

static struct row *row_of(const char *name)
{
    for (size_t i = 0; i < row_count; i++)
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    if (row_count == row_room) {
        size_t room = row_room ? row_room * 2 : 32;
        struct row *grown = realloc(rows, room * sizeof *grown);
        if (!grown)
            return NULL;
        rows = grown;
        row_room = room;
    }
    char *copy = strdup(name);
    if (!copy)
        return NULL;
    rows[row_count] = (struct row){.name = copy};
    return &rows[row_count++];
}

void report_counters(const char *kernel, const struct sim_counters *c)
{
    lock_acquire();
    struct row *r = row_of(kernel);
    if (r) {
        r->launches++;
#define SUM(field) r->sum.field += c->field
        SUM(instructions), SUM(warp_instructions), SUM(alu), SUM(fma), SUM(special), SUM(control);
        SUM(memory), SUM(mma), SUM(global_load_bytes), SUM(global_store_bytes);
        SUM(global_load_sectors), SUM(global_store_sectors), SUM(unique_load_bytes);
        SUM(unique_store_bytes), SUM(shared_accesses), SUM(shared_conflicts), SUM(atomics);
        SUM(barriers), SUM(shuffles), SUM(async_copies), SUM(divergent_branches), SUM(seconds);
#undef SUM
    }
    lock_release();
}

bool nnsim_counters(size_t i, const char **name, uint64_t *launches, struct sim_counters *counters)
{
    lock_acquire();
    bool there = i < row_count;
    if (there) {
        if (name)
            *name = rows[i].name;
        if (launches)
            *launches = rows[i].launches;
        if (counters)
            *counters = rows[i].sum;
    }
    lock_release();
    return there;
}

void nnsim_counters_reset(void)
{
    lock_acquire();
    for (size_t i = 0; i < row_count; i++)
        free(rows[i].name);
    row_count = 0;
    lock_release();
}
