// mma.sync with ldmatrix: c[16, 8] = a[16, 16] b[16, 8] of one warp.
extern "C" __global__ void mma_bf16(const unsigned *a, const unsigned *b, float *c)
{
    __shared__ __align__(16) unsigned s[16 * 8], t[16 * 4];
    int l = threadIdx.x;
    for (int i = l; i < 128; i += 32)
        s[i] = a[i];
    for (int i = l; i < 64; i += 32)
        t[i] = b[i];
    __syncwarp();
    unsigned fa[4], fb[2];
    unsigned pa = (unsigned)__cvta_generic_to_shared(&s[(l % 16) * 8 + (l / 16) * 4]);
    unsigned pb = (unsigned)__cvta_generic_to_shared(&t[(l % 16) * 4]);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(fa[0]), "=r"(fa[1]), "=r"(fa[2]), "=r"(fa[3]) : "r"(pa));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];" : "=r"(fb[0]), "=r"(fb[1]) : "r"(pb));
    float d[4] = {0, 0, 0, 0};
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(fa[0]), "r"(fa[1]), "r"(fa[2]), "r"(fa[3]), "r"(fb[0]), "r"(fb[1]));
    int row = l / 4, col = l % 4 * 2;
    c[row * 8 + col] = d[0];
    c[row * 8 + col + 1] = d[1];
    c[(row + 8) * 8 + col] = d[2];
    c[(row + 8) * 8 + col + 1] = d[3];
}
