// half2 arithmetic and comparison.
#include <cuda_fp16.h>
extern "C" __global__ void half2_poly(const __half2 *x, __half2 *y, unsigned *greater)
{
    int i = threadIdx.x;
    __half2 v = x[i], one = __float2half2_rn(1.0f);
    __half2 r = __hfma2(v, v, one);
    y[i] = __hmul2(r, __hsub2(v, one));
    __half2 g = __hgt2(v, __float2half2_rn(0.0f));
    greater[i] = (__low2float(g) != 0) + 2 * (__high2float(g) != 0);
}
