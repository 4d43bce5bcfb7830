// A histogram whose bins are spread over the shared memory of a cluster's blocks.
#include <cooperative_groups.h>
extern "C" __global__ void cluster_histogram(const int *x, int n, unsigned *bins, int bins_a_block)
{
    namespace cg = cooperative_groups;
    extern __shared__ unsigned mine[];
    auto cluster = cg::this_cluster();
    for (int i = threadIdx.x; i < bins_a_block; i += blockDim.x)
        mine[i] = 0;
    cluster.sync();
    for (int i = cg::this_grid().thread_rank(); i < n; i += blockDim.x * gridDim.x) {
        int b = x[i];
        unsigned *there = cluster.map_shared_rank(mine, b / bins_a_block);
        atomicAdd(there + b % bins_a_block, 1u);
    }
    cluster.sync();
    unsigned *to = bins + cluster.block_rank() * bins_a_block;
    for (int i = threadIdx.x; i < bins_a_block; i += blockDim.x)
        atomicAdd(&to[i], mine[i]);
}
