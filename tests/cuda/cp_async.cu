// A pipeline of two stages with cp.async: each block sums its rows.
#include <cuda_pipeline.h>
extern "C" __global__ void cp_async(const float4 *x, float *sum, int steps)
{
    __shared__ float4 stage[2][64];
    int t = threadIdx.x;
    const float4 *from = x + blockIdx.x * steps * 64;
    float v = 0;
    __pipeline_memcpy_async(&stage[0][t], &from[t], 16);
    __pipeline_commit();
    for (int k = 0; k < steps; k++) {
        if (k + 1 < steps)
            __pipeline_memcpy_async(&stage[(k + 1) & 1][t], &from[(k + 1) * 64 + t], 16);
        __pipeline_commit();
        __pipeline_wait_prior(1);
        __syncthreads();
        float4 f = stage[k & 1][63 - t];
        v += f.x + f.y + f.z + f.w;
        __syncthreads();
    }
    sum[blockIdx.x * 64 + t] = v;
}
