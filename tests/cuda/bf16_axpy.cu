// bf16: fused multiply-add, conversions, pairs.
#include <cuda_bf16.h>
extern "C" __global__ void bf16_axpy(const __nv_bfloat16 *x, __nv_bfloat16 *y, float *wide)
{
    int i = threadIdx.x;
    y[i] = __hfma(__float2bfloat16(1.5f), x[i], y[i]);
    __nv_bfloat162 p = __floats2bfloat162_rn(__bfloat162float(x[i]), 3.0f);
    p = __hadd2(p, p);
    wide[i] = __low2float(p) + __high2float(p);
}
