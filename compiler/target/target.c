/* The table of machines, look-up by name, and which row this machine is. */
#include "target/target.h"
#include "cpu/pool.h"

const struct target target_table[] = {
#define CPU(name_, triple_, cpu_, features_, vbytes_, vregs_, fma_, mr_, nr_, kc_, mc_, nc_, l1_,  \
            l2_, l3_, chunks_, launch_, fork_)                                                     \
    {.name = name_,                                                                                \
     .kind = TARGET_CPU,                                                                           \
     .triple = triple_,                                                                            \
     .cpu = cpu_,                                                                                  \
     .features = features_,                                                                        \
     .vector_bytes = vbytes_,                                                                      \
     .vector_registers = vregs_,                                                                   \
     .fma = fma_,                                                                                  \
     .mr = mr_,                                                                                    \
     .nr = nr_,                                                                                    \
     .kc = kc_,                                                                                    \
     .mc = mc_,                                                                                    \
     .nc = nc_,                                                                                    \
     .l1 = l1_,                                                                                    \
     .l2 = l2_,                                                                                    \
     .l3 = l3_,                                                                                    \
     .max_chunks = chunks_,                                                                        \
     .launch_us = launch_,                                                                         \
     .fork_us = fork_},
#define GPU(name_, cpu_, features_, ptx_, block_, regs_, shared_, shared_sm_, sms_, l2_, async_,   \
            tensor_, tensor_tflops_, f32_tflops_, gbps_, launch_)                                  \
    {.name = name_,                                                                                \
     .kind = TARGET_GPU,                                                                           \
     .triple = "nvptx64-nvidia-cuda",                                                              \
     .cpu = cpu_,                                                                                  \
     .features = features_,                                                                        \
     .vector_bytes = 16,                                                                           \
     .vector_registers = regs_,                                                                    \
     .fma = true,                                                                                  \
     .l2 = l2_,                                                                                    \
     .max_chunks = 1 << 20,                                                                        \
     .launch_us = launch_,                                                                         \
     .ptx = ptx_,                                                                                  \
     .block = block_,                                                                              \
     .thread_registers = regs_,                                                                    \
     .shared_block = shared_,                                                                      \
     .shared_sm = shared_sm_,                                                                      \
     .sms = sms_,                                                                                  \
     .async = async_,                                                                              \
     .tensor = tensor_,                                                                            \
     .tensor_tflops = tensor_tflops_,                                                              \
     .f32_tflops = f32_tflops_,                                                                    \
     .gbps = gbps_},
#include "target/targets.def"
#undef CPU
#undef GPU
};
const size_t target_count = COUNT(target_table);

static const struct target *find_row(const char *name)
{
    for (size_t i = 0; i < target_count; i++)
        if (!strcmp(target_table[i].name, name))
            return &target_table[i];
    return NULL;
}

const struct target *target_find(const char *name)
{
    return strcmp(name, "host") ? find_row(name) : target_host();
}

const struct target *target_host(void)
{
    const struct target *t = find_row(nn_cpu_level());
    CHECK(t, "target: this machine's row is missing from targets.def");
    return t;
}
