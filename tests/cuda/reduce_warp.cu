// A sum by shuffles and one float atomic a warp.
extern "C" __global__ void reduce_warp(const float *x, float *sum, int n)
{
    float v = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        v += x[i];
    for (int d = 16; d; d /= 2)
        v += __shfl_down_sync(0xFFFFFFFF, v, d);
    if (threadIdx.x % 32 == 0)
        atomicAdd(sum, v);
}
