// 64-bit carries: products, sums and quotients of 128 bits.
extern "C" __global__ void wide_integers(const unsigned long long *x, unsigned long long *y)
{
    int t = threadIdx.x, n = blockDim.x;
    unsigned __int128 p = (unsigned __int128)x[t] * x[t + n] + x[t];
    y[t] = (unsigned long long)p;
    y[t + n] = (unsigned long long)(p >> 64);
    y[t + 2 * n] = (unsigned long long)(p / (x[t + n] / 2 + 1));
}
