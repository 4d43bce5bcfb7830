// Device functions that are called, one by itself.
__device__ __noinline__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
__device__ __noinline__ float3 rotate(float3 v, float s) { return make_float3(v.y * s, v.z * s, v.x * s); }
extern "C" __global__ void recursion(const int *x, int *y, float *z)
{
    int t = threadIdx.x;
    y[t] = fibonacci(x[t]);
    float3 r = rotate(make_float3(1, 2, 3), (float)t);
    z[t] = r.x * 100 + r.y * 10 + r.z;
}
