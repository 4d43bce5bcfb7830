// Integer instructions: dot products of bytes, permutations, funnel shifts, counts, wide products, division.
extern "C" __global__ void integers(const unsigned *x, unsigned *y, long long *z)
{
    int t = threadIdx.x, n = blockDim.x;
    unsigned a = x[t], b = x[t + n];
    y[t] = __dp4a((int)a, (int)b, 7);
    y[t + n] = __byte_perm(a, b, 0x5410) ^ __funnelshift_l(a, b, 11);
    y[t + 2 * n] = __brev(a) + __clz(b) + __popc(a) + __ffs(b);
    y[t + 3 * n] = __umulhi(a, b) + (unsigned)__mulhi((int)a, (int)b);
    y[t + 4 * n] = a / (b | 1) + a % (b | 1) + (unsigned)((int)a / ((int)b | 1));
    y[t + 5 * n] = __vadd2(a, b) ^ (unsigned)abs((int)a) ^ max((int)a, (int)b) ^ ((a >> 7 & 31) << 3);
    long long p = (long long)(int)a * (int)b, q = (long long)a << 20 | b;
    z[t] = p / 12345 + q % 9999991;
    z[t + n] = (long long)__umul64hi((unsigned long long)q, 0x9E3779B97F4A7C15ull);
}
