// Cooperative groups: tiles of 8 and of a warp, a coalesced group in divergent code.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
extern "C" __global__ void groups(const int *x, int *sums, int *odd)
{
    namespace cg = cooperative_groups;
    auto block = cg::this_thread_block();
    auto tile = cg::tiled_partition<8>(block);
    int v = x[block.thread_rank()];
    int s = cg::reduce(tile, v, cg::plus<int>());
    if (tile.thread_rank() == 0)
        sums[block.thread_rank() / 8] = s;
    block.sync();
    if (v & 1) {
        auto active = cg::coalesced_threads();
        int n = active.size();
        if (active.thread_rank() == 0)
            odd[block.thread_rank() / 32] = n;
    }
}
