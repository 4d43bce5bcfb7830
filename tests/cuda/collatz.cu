// Loops whose lanes leave at different times, with an early return inside of a condition.
extern "C" __global__ void collatz(const unsigned *x, unsigned *y, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned steps = 0;
    if (i < n) {
        unsigned v = x[i] + 1;
        if (v % 7 == 0) {
            y[i] = 7777;
            v = 1;
            steps = 7777;
        }
        while (v != 1) {
            if (v & 1)
                v = 3 * v + 1;
            else
                v /= 2;
            if (++steps == 200)
                break;
        }
    }
    unsigned most = steps;
    for (int d = 16; d; d /= 2)
        most = max(most, __shfl_xor_sync(0xFFFFFFFF, most, d));
    if (i < n)
        y[i] = steps + 100000 * most;
}
