// f64 with divisions, roots and roundings.
extern "C" __global__ void doubles(const double *x, double *y, long long *z)
{
    int t = threadIdx.x, n = blockDim.x;
    double a = x[t];
    y[t] = a / 3.0 + sqrt(a * a + 1);
    y[t + n] = __dadd_ru(a, 1e-30);
    y[t + 2 * n] = floor(a) + ceil(a * 2) + rint(a * 4) + trunc(a * 8);
    z[t] = __double2ll_rn(a * 1e9);
    z[t + n] = (long long)(int)(a * 100) / 7 + (long long)(1e15 * a) % 1000;
}
