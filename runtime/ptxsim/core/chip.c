/* chip: the table of simulated chips, from chips.def. */
#include "core.h"
#include <string.h>

#define GIB ((uint64_t)1 << 30)
#define MIB ((uint64_t)1 << 20)
#define CHIP(id, text, maj, min, fam, sm, thr, blk, regs, shsm, shopt, mem, l2m, clk, mclk, bus)   \
    {.name = #id,                                                                                  \
     .title = text,                                                                                \
     .major = maj,                                                                                 \
     .minor = min,                                                                                 \
     .family = fam,                                                                                \
     .sms = sm,                                                                                    \
     .threads_sm = thr,                                                                            \
     .blocks_sm = blk,                                                                             \
     .regs_sm = regs,                                                                              \
     .regs_block = 65536,                                                                          \
     .shared_sm = shsm,                                                                            \
     .shared_block = 49152,                                                                        \
     .shared_optin = shopt,                                                                        \
     .memory = mem * GIB,                                                                          \
     .l2 = l2m * MIB,                                                                              \
     .clock_khz = clk,                                                                             \
     .mem_clock_khz = mclk,                                                                        \
     .bus_bits = bus},
const struct sim_chip sim_chips[] = {
#include "chips.def"
};
#undef CHIP
const size_t sim_chip_count = sizeof sim_chips / sizeof sim_chips[0];

const struct sim_chip *sim_chip_find(const char *name)
{
    for (size_t i = 0; i < sim_chip_count; i++)
        if (!strcmp(sim_chips[i].name, name))
            return &sim_chips[i];
    return NULL;
}
