// Blocks of a cluster of two dimensions hand numbers round, with the barrier in two halves; and what a
// cluster says of itself.
#include <cooperative_groups.h>
extern "C" __global__ void cluster_ring(int *y, unsigned *facts)
{
    namespace cg = cooperative_groups;
    __shared__ int held[2];
    auto cluster = cg::this_cluster();
    unsigned rank = cluster.block_rank(), n = cluster.num_blocks();
    int at = blockIdx.y * gridDim.x + blockIdx.x;
    if (threadIdx.x == 0)
        held[0] = at * 10;
    cluster.sync();
    for (int step = 0; step < 3; step++) {
        int *next = cluster.map_shared_rank(held, (rank + 1) % n);
        if (threadIdx.x == 0)
            next[(step + 1) & 1] = held[step & 1] + 1;
        auto token = cluster.barrier_arrive();
        y[at * 96 + step * 32 + threadIdx.x] = threadIdx.x;
        cluster.barrier_wait(std::move(token));
    }
    if (threadIdx.x == 0) {
        unsigned *f = facts + at * 12;
        dim3 b = cluster.block_index(), d = cluster.dim_blocks();
        f[0] = held[1], f[1] = rank, f[2] = n, f[3] = b.x, f[4] = b.y, f[5] = d.x, f[6] = d.y;
        f[7] = cluster.query_shared_rank(cluster.map_shared_rank(held, n - 1 - rank));
        f[8] = cluster.query_shared_rank(held);
        unsigned id, ids;
        asm("mov.u32 %0, %%clusterid.x;" : "=r"(id));
        asm("mov.u32 %0, %%nclusterid.y;" : "=r"(ids));
        f[9] = id, f[10] = ids, f[11] = cluster.thread_rank();
    }
}
