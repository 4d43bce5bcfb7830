/* The table of machines, look-up by name, and which row this machine is. */
#include "target/target.h"

const struct target target_table[] = {
#define TARGET(name, kind, triple, cpu, features, vbytes, vregs, fma, mr, nr, kc, mc, nc, l1, l2,  \
               l3, chunks, launch, fork)                                                           \
    {name, TARGET_##kind, triple, cpu, features, vbytes, vregs, fma, mr, nr, kc, mc, nc, l1, l2,   \
     l3,   chunks,        launch, fork},
#include "target/targets.def"
#undef TARGET
};
const size_t target_count = COUNT(target_table);

static const struct target *find_row(const char *name) {
    for (size_t i = 0; i < target_count; i++)
        if (!strcmp(target_table[i].name, name))
            return &target_table[i];
    return NULL;
}

const struct target *target_find(const char *name) {
    return strcmp(name, "host") ? find_row(name) : target_host();
}

#if defined(__x86_64__)
/* What the levels of the x86-64 psABI name beyond AVX-512 and AVX2 comes with every processor that
 * has these; the operating system's part (saved registers) is in __builtin_cpu_supports. */
static const char *host_name(void) {
    __builtin_cpu_init();
    bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
              __builtin_cpu_supports("popcnt");
    bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl");
    return v4 ? "x86-64-v4" : v3 ? "x86-64-v3" : "x86-64";
}
#elif defined(__aarch64__)
static const char *host_name(void) {
    return "aarch64";
}
#else
#error "no CPU target for this machine: add a row to targets.def and its detection here"
#endif

const struct target *target_host(void) {
    const struct target *t = find_row(host_name());
    CHECK(t, "target: this machine's row is missing from targets.def");
    return t;
}
