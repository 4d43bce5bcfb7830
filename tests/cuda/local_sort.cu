// An array of each thread's own, indexed at run time.
extern "C" __global__ void local_sort(const int *x, int *y)
{
    int a[16], t = threadIdx.x;
    for (int i = 0; i < 16; i++)
        a[i] = x[t * 16 + i];
    for (int i = 1; i < 16; i++) {
        int v = a[i], k = i;
        while (k > 0 && a[k - 1] > v) {
            a[k] = a[k - 1];
            k--;
        }
        a[k] = v;
    }
    for (int i = 0; i < 16; i++)
        y[t * 16 + i] = a[i];
}
