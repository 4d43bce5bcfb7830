// Inclusive prefix sums of a block: shuffles up, then the warps' totals.
extern "C" __global__ void scan_warp(const int *x, int *y)
{
    __shared__ int total[32];
    int t = threadIdx.x, lane = t & 31, v = x[t];
    for (int d = 1; d < 32; d *= 2) {
        int u = __shfl_up_sync(0xFFFFFFFF, v, d);
        v += lane >= d ? u : 0;
    }
    if (lane == 31)
        total[t / 32] = v;
    __syncthreads();
    for (int k = 0; k < t / 32; k++)
        v += total[k];
    y[t] = v;
}
