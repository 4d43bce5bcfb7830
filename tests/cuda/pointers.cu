// Calls through a table of functions; lanes of a warp call different ones.
typedef float function(float);
__device__ __noinline__ float twice(float x) { return 2 * x; }
__device__ __noinline__ float square(float x) { return x * x; }
__device__ __noinline__ float less_one(float x) { return x - 1; }
__device__ function *const table[3] = {twice, square, less_one};
extern "C" __global__ void pointers(const int *which, const float *x, float *y)
{
    int t = threadIdx.x;
    y[t] = table[which[t]](x[t]);
}
