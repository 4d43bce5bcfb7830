// Loops of compare and swap that begin with a plain load, as the Programming Guide and the CUDA headers have
// them: sums of doubles and of 16-bit floats on chips without such an atomic, the largest of floats.
#include <cuda_bf16.h>
__device__ double add_by_swap(double *address, double value)
{
    unsigned long long *word = (unsigned long long *)address, old = *word, assumed;
    do {
        assumed = old;
        old = atomicCAS(word, assumed, __double_as_longlong(value + __longlong_as_double(assumed)));
    } while (assumed != old);
    return __longlong_as_double(old);
}
extern "C" __global__ void swap_loops(double *sum, __nv_bfloat16 *halves, __nv_bfloat162 *pair, int *most)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    float v = x;
    add_by_swap(sum, x);
    atomicAdd(halves + x % 2, __float2bfloat16(1));
    atomicAdd(pair, __floats2bfloat162_rn(1, 2));
    int old = *most;
    while (v > __int_as_float(old)) {
        int assumed = old;
        old = atomicCAS(most, assumed, __float_as_int(v));
        if (old == assumed)
            break;
    }
}
