/* Which levels of machine code this processor runs. */
#include "cpu/pool.h"

#include <string.h>

#if defined(__x86_64__)
/* What the levels of the x86-64 psABI name beyond AVX-512 and AVX2 comes with every processor that
 * has these; the operating system's part (saved registers) is in __builtin_cpu_supports. */
static int own_level(void)
{
    __builtin_cpu_init();
    int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
             __builtin_cpu_supports("popcnt");
    int v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
    return v4 ? 2 : v3 ? 1 : 0;
}
static const char *const levels[] = {"x86-64", "x86-64-v3", "x86-64-v4"};
#elif defined(__aarch64__)
static int own_level(void) { return 0; }
static const char *const levels[] = {"aarch64"};
#else
#error "no CPU level for this machine: add its row to targets.def and its detection here"
#endif

const char *nn_cpu_level(void) { return levels[own_level()]; }

bool nn_cpu_runs(const char *level)
{
    for (int i = own_level(); i >= 0; i--)
        if (!strcmp(levels[i], level))
            return true;
    return false;
}
