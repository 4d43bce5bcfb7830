// Conversions and arithmetic with directed roundings and saturation.
extern "C" __global__ void roundings(const float *x, int *y, float *z)
{
    int t = threadIdx.x, n = blockDim.x;
    float a = x[t] * 1000;
    y[t] = __float2int_rd(a), y[t + n] = __float2int_ru(a), y[t + 2 * n] = __float2int_rn(a), y[t + 3 * n] = (int)(a * 1e9f);
    z[t] = __fadd_rz(a, 1e-5f), z[t + n] = __fmul_ru(a, 1.1f), z[t + 2 * n] = __saturatef(a);
    z[t + 3 * n] = __fmaf_rd(a, a, 0.1f), z[t + 4 * n] = __int2float_rz(y[t] * 65537), z[t + 5 * n] = __fdividef(1, a + 2000);
}
