/* lanes_plain: arithmetic for any machine. */
#define SIM_ROWS_NAME sim_rows_plain
#include "lanes.inc"

struct sim_rows sim_rows(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return sim_rows_avx2();
#endif
    return sim_rows_plain();
}
