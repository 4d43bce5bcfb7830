// st.async and red.async to the next block, an arrival at its mbarrier, and a copy to all blocks at once.
#include <stdint.h>
static __device__ uint32_t here(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
static __device__ uint32_t map(uint32_t a, uint32_t rank)
{
    uint32_t r;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(rank));
    return r;
}
static __device__ void wait(uint32_t bar)
{
    asm volatile("{\n.reg .pred p;\nW:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%0], 0;\n"
                 "@!p bra W;\n}" ::"r"(bar) : "memory");
}
extern "C" __global__ void __cluster_dims__(4, 1, 1) cluster_async(const int *x, int *y)
{
    __shared__ __align__(16) int part[64], copy[4][32];
    __shared__ int sum;
    __shared__ __align__(8) uint64_t bar[3];
    uint32_t rank, t = threadIdx.x;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    if (t == 0) {
        sum = 0;
        asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(here(&bar[0])));
        asm volatile("mbarrier.init.shared.b64 [%0], 4;" ::"r"(here(&bar[1])));
        asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(here(&bar[2])));
        asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], 384;" ::"r"(here(&bar[0])));
        asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], 512;" ::"r"(here(&bar[2])));
    }
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
    uint32_t next = (rank + 1) & 3;
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.s32 [%0], {%1, %2}, [%3];" ::"r"(
                     map(here(&part[2 * t]), next)), "r"(x[rank * 32 + t]), "r"((int)(rank * 100 + t)),
                 "r"(map(here(&bar[0]), next)) : "memory");
    asm volatile("red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u32 [%0], %1, [%2];" ::"r"(
                     map(here(&sum), next)), "r"(t), "r"(map(here(&bar[0]), next)) : "memory");
    if (t == 0)
        asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
                     "[%0], [%1], 128, [%2], %3;" ::"r"(here(copy[rank])), "l"(x + rank * 32),
                     "r"(here(&bar[2])), "h"((unsigned short)15) : "memory");
    wait(here(&bar[0]));
    wait(here(&bar[2]));
    int *to = y + blockIdx.x * 128;
    to[t] = part[2 * t] + part[2 * t + 1];
    to[32 + t] = sum;
    to[64 + t] = copy[0][t] + copy[1][t] + copy[2][t] + copy[3][t];
    // Everybody tells the first block, which alone waits.
    __syncthreads();
    part[t] = 1000 * rank + t;
    __syncthreads();
    if (t == 0)
        asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(map(here(&bar[1]), 0)) : "memory");
    if (rank == 0) {
        wait(here(&bar[1]));
        int all = 0;
        for (uint32_t r = 0; r < 4; r++) {
            int v;
            asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(v) : "r"(map(here(&part[t]), r)) : "memory");
            all += v;
        }
        to[96 + t] = all;
    } else {
        to[96 + t] = 0;
    }
    asm volatile("barrier.cluster.arrive.relaxed;\nbarrier.cluster.wait;" ::: "memory");
}
