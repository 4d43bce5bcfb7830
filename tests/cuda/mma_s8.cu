// mma.sync of bytes: c[16, 8] = a[16, 32] b[32, 8], b stored by columns.
extern "C" __global__ void mma_s8(const unsigned *a, const unsigned *b, int *c)
{
    int l = threadIdx.x, g = l / 4, t = l % 4, d[4] = {0, 0, 0, 0};
    unsigned a0 = a[g * 8 + t], a1 = a[(g + 8) * 8 + t], a2 = a[g * 8 + t + 4], a3 = a[(g + 8) * 8 + t + 4];
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b[g * 8 + t]), "r"(b[g * 8 + t + 4]));
    for (int i = 0; i < 4; i++)
        c[(g + 8 * (i / 2)) * 8 + t * 2 + i % 2] = d[i];
}
