/* What sm_90 adds: mbarriers with bulk copies, tensor maps with swizzles, wgmma in several layouts.
 */
#include "simgpu.h"
#include "tensormap.h"

static const char text[] =
    ".version 8.3\n.target sm_90a\n.address_size 64\n"
    /* One thread copies; all wait; each reads what another's part was; the result goes back in
       bulk. */
    ".visible .entry flat(.param .u64 x, .param .u64 y) {\n"
    " .reg .pred %p<4>; .reg .b32 %r<16>; .reg .b64 %d<8>;\n"
    " .shared .align 16 .b8 buf[512];\n .shared .align 8 .b64 bar;\n"
    " mov.u32 %r1, %tid.x; mov.u32 %r2, bar; mov.u32 %r3, buf;\n"
    " ld.param.u64 %d1, [x]; ld.param.u64 %d2, [y];\n"
    " setp.ne.u32 %p1, %r1, 0;\n"
    " @%p1 bra INIT;\n mbarrier.init.shared::cta.b64 [%r2], 1;\n "
    "fence.proxy.async.shared::cta;\nINIT:\n bar.sync 0;\n"
    " @%p1 bra WAIT;\n mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 512;\n"
    " cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r3], [%d1], 512, [%r2];\n"
    "WAIT:\n mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r2], 0;\n @!%p2 bra WAIT;\n"
    " xor.b32 %r4, %r1, 127; shl.b32 %r4, %r4, 2; add.u32 %r5, %r3, %r4;\n"
    " ld.shared.u32 %r6, [%r5]; add.u32 %r6, %r6, 1;\n bar.sync 0;\n"
    " shl.b32 %r4, %r1, 2; add.u32 %r5, %r3, %r4; st.shared.u32 [%r5], %r6;\n "
    "fence.proxy.async.shared::cta;\n bar.sync 0;\n"
    " @%p1 ret;\n cp.async.bulk.global.shared::cta.bulk_group [%d2], [%r3], 512;\n"
    " cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0;\n ret;\n}\n"
    /* The same without the wait: the readers are not ordered after the copy. */
    ".visible .entry early(.param .u64 x, .param .u64 y) {\n"
    " .reg .pred %p<4>; .reg .b32 %r<16>; .reg .b64 %d<8>;\n"
    " .shared .align 16 .b8 buf[512];\n .shared .align 8 .b64 bar;\n"
    " mov.u32 %r1, %tid.x; mov.u32 %r2, bar; mov.u32 %r3, buf;\n ld.param.u64 %d1, [x];\n "
    "setp.ne.u32 %p1, %r1, 0;\n"
    " @%p1 bra INIT;\n mbarrier.init.shared::cta.b64 [%r2], 1;\nINIT:\n bar.sync 0;\n"
    " @%p1 bra READ;\n mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 512;\n"
    " cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r3], [%d1], 512, [%r2];\n"
    "READ:\n shl.b32 %r4, %r1, 2; add.u32 %r5, %r3, %r4;\n ld.shared.u32 %r6, [%r5];\n ret;\n}\n"
    /* A box of a tensor comes in with its swizzle and goes out again as it lies. */
    ".visible .entry box(.param .align 64 .b8 map[128], .param .u64 y, .param .u32 column, .param "
    ".u32 row) {\n"
    " .reg .pred %p<4>; .reg .b32 %r<16>; .reg .b64 %d<8>;\n"
    " .shared .align 1024 .b8 buf[1024];\n .shared .align 8 .b64 bar;\n"
    " mov.u32 %r2, bar; mov.u32 %r3, buf; mov.b64 %d1, map; cvta.param.u64 %d2, %d1;\n"
    " ld.param.u64 %d3, [y]; ld.param.u32 %r4, [column]; ld.param.u32 %r5, [row];\n"
    " mbarrier.init.shared::cta.b64 [%r2], 1;\n mbarrier.arrive.expect_tx.shared::cta.b64 %d4, "
    "[%r2], 1024;\n"
    " cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r3], "
    "[%d2, {%r4, %r5}], [%r2];\n"
    "WAIT:\n mbarrier.test_wait.shared::cta.b64 %p2, [%r2], %d4;\n @!%p2 bra WAIT;\n"
    " cp.async.bulk.global.shared::cta.bulk_group [%d3], [%r3], 1024;\n ret;\n}\n"
    ".visible .entry unbox(.param .align 64 .b8 map[128], .param .u64 x, .param .u32 column, "
    ".param .u32 row) {\n"
    " .reg .pred %p<4>; .reg .b32 %r<16>; .reg .b64 %d<8>;\n"
    " .shared .align 1024 .b8 buf[1024];\n .shared .align 8 .b64 bar;\n"
    " mov.u32 %r2, bar; mov.u32 %r3, buf;\n"
    " ld.param.u64 %d3, [x]; ld.param.u32 %r4, [column]; ld.param.u32 %r5, [row];\n"
    " mbarrier.init.shared::cta.b64 [%r2], 1;\n mbarrier.arrive.expect_tx.shared::cta.b64 %d4, "
    "[%r2], 1024;\n"
    " cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r3], [%d3], 1024, "
    "[%r2];\n"
    "WAIT:\n mbarrier.test_wait.shared::cta.b64 %p2, [%r2], %d4;\n @!%p2 bra WAIT;\n"
    " cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [map, {%r4, %r5}], [%r3];\n "
    "ret;\n}\n";

/* c[64, 8] = a[64, 16] b[16, 8]: both operands lie in shared memory as the host laid them out. */
static const char product_text[] =
    ".version 8.3\n.target sm_90a\n.address_size 64\n"
    ".visible .entry product(.param .u64 x, .param .u64 y, .param .u64 da, .param .u64 db, .param "
    ".u32 bytes) {\n"
    " .reg .pred %p<4>; .reg .b32 %r<16>; .reg .f32 %f<8>; .reg .b64 %d<12>;\n"
    " .shared .align 1024 .b8 buf[16384];\n"
    " mov.u32 %r1, %tid.x; mov.u32 %r3, buf; ld.param.u64 %d1, [x]; ld.param.u64 %d2, [y];\n"
    " ld.param.u64 %d3, [da]; ld.param.u64 %d4, [db]; ld.param.u32 %r4, [bytes];\n shl.b32 %r5, "
    "%r1, 2;\n"
    "COPY:\n setp.ge.u32 %p1, %r5, %r4;\n @%p1 bra DONE;\n cvt.u64.u32 %d5, %r5; add.s64 %d6, %d1, "
    "%d5; ld.global.u32 %r6, [%d6];\n"
    " add.u32 %r7, %r3, %r5; st.shared.u32 [%r7], %r6; add.u32 %r5, %r5, 512; bra COPY;\nDONE:\n "
    "bar.sync 0;\n"
    " setp.eq.u32 %p2, %r1, 9999; mov.f32 %f1, 0f00000000;\n"
    " wgmma.fence.sync.aligned;\n"
    " wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1,%f2,%f3,%f4}, %d3, %d4, %p2, 1, 1, "
    "TRANS_A, TRANS_B;\n"
    " wgmma.commit_group.sync.aligned;\n wgmma.wait_group.sync.aligned 0;\n"
    " mul.wide.u32 %d7, %r1, 16; add.s64 %d8, %d2, %d7; st.global.v4.f32 [%d8], "
    "{%f1,%f2,%f3,%f4};\n ret;\n}\n";

static uint16_t bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return (uint16_t)(u >> 16);
}
static float wide(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static void bulk(struct gpu *g)
{
    uint32_t x[128], y[128];
    for (uint32_t i = 0; i < 128; i++)
        x[i] = i * i;
    LAUNCH(g, "flat", 1, 128, IN(x), FRESH(y));
    for (uint32_t i = 0; i < 128; i++)
        test(y[i] == (127 - i) * (127 - i) + 1);
    struct gpu_arg a[2] = {IN(x), FRESH(y)};
    test(gpu_run(g, "early", a, 2) == SIM_FAULT && g->fault.kind == SIM_FAULT_RACE);
    test(strstr(g->fault.text, "of shared memory") != NULL);
}

/* 48 rows of 50 columns of u16; a box of 64 rows would be too many: 8 rows of 64 columns are taken
 * at (-3, 44). */
static void boxes(struct gpu *g)
{
    static uint16_t in[48 * 56], out[512], back[48 * 56];
    for (int i = 0; i < 48 * 56; i++)
        in[i] = (uint16_t)i;
    uint64_t at = 0;
    test(!sim_alloc(g->d, sizeof in, 0, &at) && !sim_write(g->d, at, in, sizeof in));
    struct sim_tensor_map m = {.magic = SIM_TENSOR_MAP_MAGIC,
                               .type = 1,
                               .rank = 2,
                               .swizzle = 3,
                               .address = at,
                               .stride = {112},
                               .last = {49, 47},
                               .box = {64, 8},
                               .step = {1, 1},
                               .element = 2};
    int32_t column = -3, row = 44;
    LAUNCH(g, "box", 1, 1, BY_VALUE(m), FRESH(out), BY_VALUE(column), BY_VALUE(row));
    int wrong = 0;
    for (int r = 0; r < 8; r++)
        for (int c = 0; c < 64; c++) {
            int x = c + column, y = r + row, place = r * 128 + c * 2;
            uint16_t want = x < 0 || x > 49 || y > 47 ? 0 : in[y * 56 + x];
            wrong += out[(place ^ (place >> 7 & 7) << 4) / 2] != want;
        }
    test(!wrong);
    m.swizzle = 0;
    LAUNCH(g, "unbox", 1, 1, BY_VALUE(m), IN(out), BY_VALUE(column), BY_VALUE(row));
    test(!sim_read(g->d, back, at, sizeof back));
    for (int y = 0; y < 48; y++)
        for (int x = 0; x < 56; x++) {
            bool inside = y >= 44 && x <= 49 && x + 3 < 64;
            wrong += back[y * 56 + x] != (inside ? out[(y - 44) * 64 + x + 3] : in[y * 56 + x]);
        }
    test(!wrong);
    sim_free(g->d, at);
}

static uint64_t descriptor(uint32_t start, uint32_t leading, uint32_t stride, uint64_t swizzle)
{
    return start >> 4 | (uint64_t)(leading >> 4) << 16 | (uint64_t)(stride >> 4) << 32 |
           swizzle << 62;
}

/* layout 0: by k, no swizzle; 1: by k, 32 bytes; 2: by rows and columns (transposed), 128 and no
 * swizzle. */
static void product(struct gpu *g, int layout)
{
    static uint16_t mem[4096];
    static float a[64][16], b[16][8], c[128 * 4];
    uint64_t da, db;
    uint32_t bytes = sizeof mem;
    memset(mem, 0, sizeof mem);
    for (int i = 0; i < 64; i++)
        for (int k = 0; k < 16; k++) {
            uint32_t at, u = (uint32_t)i, v = (uint32_t)k;
            uint16_t h = bf16((float)number_at((uint64_t)(i * 16 + k)));
            a[i][k] = wide(h);
            if (layout == 0)
                at = u / 8 * 256 + v / 8 * 128 + u % 8 * 16 + v % 8 * 2;
            else if (layout == 1)
                at = u / 8 * 256 + u % 8 * 32 + v * 2, at ^= (at >> 7 & 1) << 4;
            else
                at = v / 8 * 1024 + v % 8 * 128 + u * 2, at ^= (at >> 7 & 7) << 4;
            mem[at / 2] = h;
        }
    for (int j = 0; j < 8; j++)
        for (int k = 0; k < 16; k++) {
            uint32_t at, u = (uint32_t)j, v = (uint32_t)k;
            uint16_t h = bf16((float)number_at((uint64_t)(5000 + j * 16 + k)));
            b[k][j] = wide(h);
            if (layout == 0)
                at = v / 8 * 128 + u * 16 + v % 8 * 2;
            else if (layout == 1)
                at = u * 32 + v * 2, at ^= (at >> 7 & 1) << 4;
            else
                at = v / 8 * 128 + v % 8 * 16 + u * 2;
            mem[2048 + at / 2] = h;
        }
    da = layout == 0   ? descriptor(0, 128, 256, 0)
         : layout == 1 ? descriptor(0, 16, 256, 3)
                       : descriptor(0, 0, 1024, 1);
    db = layout == 0   ? descriptor(4096, 128, 256, 0)
         : layout == 1 ? descriptor(4096, 16, 256, 3)
                       : descriptor(4096, 128, 0, 0);
    LAUNCH(g, "product", 1, 128, IN(mem), FRESH(c), BY_VALUE(da), BY_VALUE(db), BY_VALUE(bytes));
    for (int t = 0; t < 128; t++)
        for (int q = 0; q < 4; q++) {
            int row = t / 32 * 16 + t % 32 / 4 + 8 * (q / 2), col = t % 4 * 2 + q % 2;
            double s = 0;
            for (int k = 0; k < 16; k++)
                s += a[row][k] * b[k][col];
            test_near(c[t * 4 + q], s, 1e-5);
        }
}

static char *with(const char *from, const char *name, const char *to)
{
    char *copy = calloc(1, strlen(from) + 64);
    const char *at = strstr(from, name);
    sprintf(copy, "%.*s%s%s", (int)(at - from), from, to, at + strlen(name));
    return copy;
}

int main(void)
{
    static struct gpu g;
    test(gpu_open(&g, "sm_90a", 1));
    for (int part = 0; part < 3;
         part++) { /* bulk copies; operands by k; operands by rows and columns */
        char *once = with(product_text, "TRANS_A", part == 2 ? "1" : "0"),
             *twice = with(once, "TRANS_B", part == 2 ? "1" : "0");
        bool loaded = gpu_load(&g, part ? twice : text);
        test(loaded);
        if (loaded && !part) {
            bulk(&g);
            boxes(&g);
        }
        if (loaded && part)
            product(&g, part == 2 ? 2 : 0);
        if (loaded && part == 1)
            product(&g, 1);
        sim_module_unload(g.m);
        g.m = NULL;
        free(once);
        free(twice);
    }
    gpu_close(&g);
    return test_done();
}
