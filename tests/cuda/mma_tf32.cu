// mma.sync of tf32: c[16, 8] = a[16, 8] b[8, 8].
extern "C" __global__ void mma_tf32(const float *a, const float *b, float *c)
{
    int l = threadIdx.x, g = l / 4, t = l % 4;
    unsigned fa[4], fb[2];
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(fa[0]) : "f"(a[g * 8 + t]));
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(fa[1]) : "f"(a[(g + 8) * 8 + t]));
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(fa[2]) : "f"(a[g * 8 + t + 4]));
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(fa[3]) : "f"(a[(g + 8) * 8 + t + 4]));
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(fb[0]) : "f"(b[t * 8 + g]));
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(fb[1]) : "f"(b[(t + 4) * 8 + g]));
    float d[4];
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%10,%10,%10};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(fa[0]), "r"(fa[1]), "r"(fa[2]), "r"(fa[3]), "r"(fb[0]), "r"(fb[1]), "f"(1.0f));
    for (int i = 0; i < 4; i++)
        c[(g + 8 * (i / 2)) * 8 + t * 2 + i % 2] = d[i];
}
