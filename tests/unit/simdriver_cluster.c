/* The software GPU's driver on a chip with clusters: launches by attribute, by the kernel's
 * directive and by a function's attribute; what is refused; occupancy; nodes of graphs. */
#include "simdriver.h"

static const char text[] =
    ".version 8.0\n.target sm_90\n.address_size 64\n"
#define BODY                                                                                       \
    "{\n  .reg .b32 %r<8>; .reg .b64 %d<4>;\n  mov.u32 %r1, %cluster_nctarank;\n"                  \
    "  mov.u32 %r2, %cluster_ctarank;\n  mad.lo.u32 %r1, %r1, 100, %r2;\n"                         \
    "  ld.param.u64 %d1, [p];\n  mov.u32 %r3, %ctaid.x;\n  mul.wide.u32 %d2, %r3, 4;\n"            \
    "  add.u64 %d1, %d1, %d2;\n  st.global.u32 [%d1], %r1;\n  ret;\n}\n"
    ".visible .entry open(.param .u64 p)\n" BODY
    ".visible .entry pairs(.param .u64 p) .explicitcluster .reqnctapercluster 2, 1, 1\n" BODY
    ".visible .entry asks(.param .u64 p) .explicitcluster\n" BODY
    ".visible .entry few(.param .u64 p) .maxclusterrank 2\n" BODY;

static CUdeviceptr out;
static void *params[] = {&out};

static bool ranks_are(unsigned size)
{
    unsigned v[32];
    bool same = true;
    ok(cuMemcpyDtoH_v2(v, out, sizeof v));
    for (unsigned i = 0; i < 32; i++)
        same = same && v[i] == size * 100 + i % size;
    return same;
}

static CUresult launch(CUfunction f, unsigned size)
{
    CUlaunchAttribute a = {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
                           .value.clusterDim = {size, 1, 1}};
    CUlaunchConfig c = {.gridDimX = 32,
                        .gridDimY = 1,
                        .gridDimZ = 1,
                        .blockDimX = 1,
                        .blockDimY = 1,
                        .blockDimZ = 1,
                        .attrs = &a,
                        .numAttrs = 1};
    return cuLaunchKernelEx(&c, f, params, NULL);
}

static CUresult plain(CUfunction f, unsigned blocks)
{
    return cuLaunchKernel(f, blocks, 1, 1, 1, 1, 1, 0, NULL, params, NULL);
}

static void launches(CUfunction open, CUfunction pairs, CUfunction asks, CUfunction few)
{
    int value;
    ok(launch(open, 4));
    test(ranks_are(4));
    ok(launch(open, 1));
    test(ranks_are(1));
    ok(plain(open, 32));
    test(ranks_are(1));
    ok(plain(pairs, 32));
    test(ranks_are(2));
    gives(plain(pairs, 31), CUDA_ERROR_INVALID_CLUSTER_SIZE);
    gives(launch(pairs, 4), CUDA_ERROR_INVALID_CLUSTER_SIZE);
    gives(plain(asks, 32), CUDA_ERROR_INVALID_CLUSTER_SIZE);
    ok(launch(asks, 8));
    test(ranks_are(8));
    gives(launch(few, 4), CUDA_ERROR_INVALID_CLUSTER_SIZE);
    gives(launch(open, 0), CUDA_ERROR_INVALID_CLUSTER_SIZE);
    gives(launch(open, 16), CUDA_ERROR_INVALID_CLUSTER_SIZE);
    ok(cuFuncSetAttribute(open, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1));
    ok(launch(open, 16));
    test(ranks_are(16));
    gives(launch(open, 32), CUDA_ERROR_INVALID_CLUSTER_SIZE);
    ok(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH, pairs));
    test(value == 2);
    ok(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET, asks));
    test(value == 1);
    gives(cuFuncSetAttribute(pairs, CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH, 4), INVALID);
    gives(cuFuncSetAttribute(open, CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH, 17), INVALID);
    for (int i = 0; i < 3; i++)
        ok(cuFuncSetAttribute(
            asks, (CUfunction_attribute)(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH + i), i ? 1 : 4));
    ok(plain(asks, 32));
    test(ranks_are(4));
}

static void occupancy(CUfunction open, CUfunction few)
{
    int one = 0, eight = 0, most = 0;
    CUlaunchAttribute a = {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
                           .value.clusterDim = {8, 1, 1}};
    CUlaunchConfig c = {.gridDimX = 32,
                        .gridDimY = 1,
                        .gridDimZ = 1,
                        .blockDimX = 1024,
                        .blockDimY = 1,
                        .blockDimZ = 1,
                        .attrs = &a};
    ok(cuOccupancyMaxActiveClusters(&one, open, &c));
    c.numAttrs = 1;
    ok(cuOccupancyMaxActiveClusters(&eight, open, &c));
    test(eight > 0 && one >= 8 * eight);
    gives(cuOccupancyMaxActiveClusters(&eight, few, &c), CUDA_ERROR_INVALID_CLUSTER_SIZE);
    gives(cuOccupancyMaxActiveClusters(NULL, open, &c), INVALID);
    gives(cuOccupancyMaxActiveClusters(&one, open, NULL), INVALID);
    ok(cuOccupancyMaxPotentialClusterSize(&most, few, &c));
    test(most == 8);
    ok(cuOccupancyMaxPotentialClusterSize(&most, open, &c)); /* the larger ones are allowed */
    test(most == 16);
    c.sharedMemBytes = 1 << 20;
    ok(cuOccupancyMaxActiveClusters(&one, open, &c));
    test(one == 0);
}

static void graph(CUfunction open)
{
    CUgraph g;
    CUgraphNode n;
    CUgraphExec e;
    CUlaunchAttributeValue v = {.clusterDim = {4, 1, 1}}, w;
    CUDA_KERNEL_NODE_PARAMS p = {.func = open,
                                 .gridDimX = 32,
                                 .gridDimY = 1,
                                 .gridDimZ = 1,
                                 .blockDimX = 1,
                                 .blockDimY = 1,
                                 .blockDimZ = 1,
                                 .kernelParams = params};
    ok(cuGraphCreate(&g, 0));
    ok(cuGraphAddKernelNode_v2(&n, g, NULL, 0, &p));
    ok(cuGraphKernelNodeSetAttribute(n, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, &v));
    v.clusterDim.x = 5; /* 32 blocks are no whole number of them */
    gives(cuGraphKernelNodeSetAttribute(n, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, &v),
          CUDA_ERROR_INVALID_CLUSTER_SIZE);
    ok(cuGraphKernelNodeGetAttribute(n, CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, &w));
    test(w.clusterDim.x == 4 && w.clusterDim.y == 1);
    ok(cuGraphInstantiateWithFlags(&e, g, 0));
    ok(cuGraphLaunch(e, NULL));
    test(ranks_are(4));
    ok(cuGraphExecDestroy(e));
    ok(cuGraphDestroy(g));
}

int main(void)
{
    CUmodule m;
    CUfunction open, pairs, asks, few;
    int have = 0;
    test(nnsim_select("sm_90a"));
    CUcontext c = context_here();
    ok(cuDeviceGetAttribute(&have, CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH, 0));
    test(have == 1);
    ok(cuMemAlloc_v2(&out, 128));
    ok(cuModuleLoadData(&m, text));
    ok(cuModuleGetFunction(&open, m, "open"));
    ok(cuModuleGetFunction(&pairs, m, "pairs"));
    ok(cuModuleGetFunction(&asks, m, "asks"));
    ok(cuModuleGetFunction(&few, m, "few"));
    launches(open, pairs, asks, few);
    occupancy(open, few);
    graph(open);
    ok(cuCtxDestroy_v2(c));
    return test_done();
}
