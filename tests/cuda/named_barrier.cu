// A producer warp and a consumer warp with barriers of their own.
extern "C" __global__ void named_barrier(const int *x, int *y, int rounds)
{
    __shared__ int box[32];
    int t = threadIdx.x & 31;
    if (threadIdx.x < 32) {
        for (int r = 0; r < rounds; r++) {
            box[t] = x[r * 32 + t] * 2;
            asm volatile("bar.arrive 1, 64;" ::: "memory");
            asm volatile("bar.sync 2, 64;" ::: "memory");
        }
    } else {
        int sum = 0;
        for (int r = 0; r < rounds; r++) {
            asm volatile("bar.sync 1, 64;" ::: "memory");
            sum += box[31 - t];
            asm volatile("bar.arrive 2, 64;" ::: "memory");
        }
        y[t] = sum;
    }
}
