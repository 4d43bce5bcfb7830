// A padded tile in dynamic shared memory.
extern "C" __global__ void transpose(const float *x, float *y, int n)
{
    extern __shared__ float tile[];
    int a = blockIdx.x * 32, b = blockIdx.y * 32;
    for (int r = threadIdx.y; r < 32; r += blockDim.y)
        tile[r * 33 + threadIdx.x] = x[(b + r) * n + a + threadIdx.x];
    __syncthreads();
    for (int r = threadIdx.y; r < 32; r += blockDim.y)
        y[(a + r) * n + b + threadIdx.x] = tile[threadIdx.x * 33 + r];
}
