// The textbook's matmul: tiles of 16 by 16 in shared memory.
extern "C" __global__ void matmul_tiled(const float *a, const float *b, float *c, int n)
{
    __shared__ float s[16][16], t[16][17];
    int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * 16 + y, col = blockIdx.x * 16 + x;
    float sum = 0;
    for (int k = 0; k < n; k += 16) {
        s[y][x] = a[row * n + k + x];
        t[y][x] = b[(k + y) * n + col];
        __syncthreads();
        for (int q = 0; q < 16; q++)
            sum += s[y][q] * t[q][x];
        __syncthreads();
    }
    c[row * n + col] = sum;
}
