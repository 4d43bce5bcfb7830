// Atomics of 64 bits, compare and swap, float maximum by a loop, inc.
extern "C" __global__ void atomics(const int *x, unsigned long long *sum, double *most, unsigned *ring, int *least, unsigned *bits)
{
    int v = x[blockIdx.x * blockDim.x + threadIdx.x];
    atomicAdd(sum, (unsigned long long)v << 20);
    unsigned long long *m = (unsigned long long *)most, old = *(volatile unsigned long long *)m;
    while (__longlong_as_double(old) < v) {
        unsigned long long seen = atomicCAS(m, old, __double_as_longlong((double)v));
        if (seen == old)
            break;
        old = seen;
    }
    atomicInc(ring, 9);
    atomicMin(least, v);
    atomicOr(bits, 1u << (v & 31));
}
