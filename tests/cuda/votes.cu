// Ballots, votes, matches, masks of lanes.
extern "C" __global__ void votes(const int *x, unsigned *y)
{
    int t = threadIdx.x, v = x[t];
    unsigned all = 0xFFFFFFFF;
    unsigned b = __ballot_sync(all, v > 50);
    int any = __any_sync(all, v > 98), every = __all_sync(all, v >= 0);
    unsigned same = __match_any_sync(all, v % 4);
    unsigned turn = __shfl_xor_sync(all, b, 1), from = __shfl_sync(all, v, 5, 8);
    y[t] = __popc(b) + 100 * any + 1000 * every;
    y[t + 32] = same;
    y[t + 64] = __ffs(same) + 256 * __popc(same) + (turn == b ? 65536 : 0);
    y[t + 96] = from;
}
