// Reductions of a warp in one instruction.
extern "C" __global__ void redux(const int *x, int *y)
{
    int t = threadIdx.x, v = x[t];
    y[t] = __reduce_add_sync(0xFFFFFFFF, v);
    y[t + 32] = __reduce_max_sync(0xFFFFFFFF, v);
    y[t + 64] = __reduce_min_sync(0xFFFFFFFF, v - 200);
    y[t + 96] = __reduce_xor_sync(0xFFFFFFFF, (unsigned)v);
}
