// Each block sums its part; the cluster's first block reads the others' sums where they lie.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
extern "C" __global__ void __cluster_dims__(4, 1, 1) cluster_reduce(const float *x, float *sums)
{
    namespace cg = cooperative_groups;
    __shared__ float warps[8], total;
    auto cluster = cg::this_cluster();
    auto block = cg::this_thread_block();
    auto warp = cg::tiled_partition<32>(block);
    float s = cg::reduce(warp, x[blockIdx.x * blockDim.x + threadIdx.x], cg::plus<float>());
    if (warp.thread_rank() == 0)
        warps[warp.meta_group_rank()] = s;
    block.sync();
    if (threadIdx.x == 0) {
        total = 0;
        for (int i = 0; i < blockDim.x / 32; i++)
            total += warps[i];
    }
    cluster.sync();
    if (cluster.block_rank() == 0 && threadIdx.x == 0) {
        float all = 0;
        for (int r = 0; r < cluster.num_blocks(); r++)
            all += *cluster.map_shared_rank(&total, r);
        sums[blockIdx.x / 4] = all;
    }
    cluster.sync();
}
