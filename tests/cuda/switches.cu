// A switch that becomes a table of branches.
extern "C" __global__ void switches(const int *x, int *y)
{
    int t = threadIdx.x, v = x[t], r;
    switch (v) {
    case 0: r = 17 + t; break;
    case 1: r = x[t ^ 1] * 3; break;
    case 2: r = x[t ^ 2] - 9; break;
    case 3: r = x[t ^ 3] ^ 5; break;
    case 4: r = t / 3; break;
    case 5: r = x[t ^ 4] % 7; break;
    case 6: r = t * t; break;
    case 7: r = -t; break;
    default: r = -1000;
    }
    y[t] = r;
}
