/* Several threads use one simulated device: allocations and modules come and go, buffers are
 * written and read, while kernels run. */
#include "sim.h"
#include "test.h"
#include <pthread.h>
#include <string.h>

enum { THREADS = 3, ROUNDS = 12, COUNT = 256 };

static const char ptx[] =
    ".version 8.0\n.target sm_80\n.address_size 64\n"
    ".global .u32 total = 5;\n"
    ".visible .entry add(.param .u64 x, .param .u32 n) {\n"
    ".reg .b32 %r<6>; .reg .b64 %d<4>; .reg .pred %p<2>;\n"
    "ld.param.u64 %d1, [x]; ld.param.u32 %r1, [n];\n"
    "mov.u32 %r2, %ctaid.x; mov.u32 %r3, %tid.x; mad.lo.u32 %r2, %r2, 32, %r3;\n"
    "mul.wide.u32 %d2, %r2, 4; add.s64 %d1, %d1, %d2;\n"
    "ld.global.u32 %r4, [%d1]; add.u32 %r4, %r4, %r1; st.global.u32 [%d1], %r4;\n"
    "atom.global.add.u32 %r5, [total], 1;\n"
    "ret; }\n";

static struct sim_device *device;
#define need(condition) (bad += !(condition))

static void *work(void *arg)
{
    uint32_t mine = *(uint32_t *)arg, data[COUNT];
    uintptr_t bad = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct sim_module *m;
        struct sim_kernel *k;
        uint64_t at, other, total, bytes;
        char log[256];
        need(!sim_module_load(device, ptx, sizeof ptx - 1, &m, log, sizeof log));
        need(!sim_module_kernel(m, "add", &k) && !sim_module_global(m, "total", &total, &bytes));
        need(!sim_alloc(device, sizeof data, mine, &at) && !sim_alloc(device, 64, mine, &other));
        for (uint32_t i = 0; i < COUNT; i++)
            data[i] = mine * 1000 + i;
        need(!sim_write(device, at, data, sizeof data));
        struct {
            uint64_t x;
            uint32_t n;
        } params = {at, round};
        struct sim_launch l = {.grid = {COUNT / 32, 1, 1}, .block = {32, 1, 1}, .params = &params};
        need(!sim_run(device, k, &l, NULL, NULL));
        need(!sim_free(device, other));
        need(!sim_read(device, data, at, sizeof data));
        for (uint32_t i = 0; i < COUNT; i++)
            need(data[i] == mine * 1000 + i + round);
        need(!sim_read(device, data, total, 4) && data[0] == 5 + COUNT);
        need(!sim_free(device, at));
        sim_module_unload(m);
    }
    return (void *)bad;
}

int main(void)
{
    pthread_t thread[THREADS];
    uint32_t number[THREADS], allocations;
    uint64_t used, all;
    void *bad;
    device = sim_device_new(sim_chip_find("sm_80"), 1 << 24, 2);
    for (uint32_t i = 0; i < THREADS; i++) {
        number[i] = i;
        test(!pthread_create(&thread[i], NULL, work, &number[i]));
    }
    for (uint32_t i = 0; i < THREADS; i++)
        test(!pthread_join(thread[i], &bad) && !bad);
    sim_usage(device, &used, &all, &allocations);
    test(!used && !allocations);
    sim_device_free(device);
    return test_done();
}
