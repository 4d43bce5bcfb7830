/* target: look-up by name, the host's row, and what every row promises to lowering. */
#include "target/target.h"
#include "test.h"

int main(void)
{
    test(target_find("x86-64-v3") && !strcmp(target_find("x86-64-v3")->cpu, "x86-64-v3"));
    test(!target_find("x86-64-v9") && !target_find(""));
    test(target_find("host") == target_host());
    for (size_t i = 0; i < target_count; i++) {
        const struct target *t = &target_table[i];
        test(target_find(t->name) == t);
        if (t->kind != TARGET_CPU)
            continue;
        uint32_t lanes = target_lanes(t, 4);
        test(t->nr % lanes == 0);
        /* The accumulators, a row of B and an element of A are registers at once. */
        test(t->mr * (t->nr / lanes) + t->nr / lanes + 1 <= t->vector_registers);
        test(t->mc % t->mr == 0);
    }
    return test_done();
}
