// A block's sum by halving in dynamic shared memory.
extern "C" __global__ void reduce_shared(const float *x, float *sum)
{
    extern __shared__ float part[];
    unsigned t = threadIdx.x;
    part[t] = x[blockIdx.x * blockDim.x + t];
    __syncthreads();
    for (unsigned s = blockDim.x / 2; s; s /= 2) {
        if (t < s)
            part[t] += part[t + s];
        __syncthreads();
    }
    if (!t)
        sum[blockIdx.x] = part[0];
}
