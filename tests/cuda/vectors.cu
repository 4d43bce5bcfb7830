// Vector loads and stores of several widths.
extern "C" __global__ void vectors(const float4 *x, float2 *y, const uchar4 *b, short2 *s)
{
    int t = threadIdx.x;
    float4 v = x[t];
    y[t] = make_float2(v.x + v.z, v.y * v.w);
    uchar4 c = b[t];
    s[t] = make_short2((short)(c.x - c.y), (short)(c.z * c.w));
}
