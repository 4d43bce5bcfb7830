// Barriers that count and vote.
extern "C" __global__ void barrier_votes(const int *x, int *y)
{
    int v = x[threadIdx.x];
    int count = __syncthreads_count(v > 50), all = __syncthreads_and(v < 100), any = __syncthreads_or(v == 1000);
    y[threadIdx.x] = count + 1000 * (all != 0) + 10000 * (any != 0);
}
