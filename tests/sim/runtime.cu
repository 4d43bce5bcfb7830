// A program as somebody would write it for a GPU: kernels with templates, shared memory, atomics, constants, a
// device function pointer's worth of control; streams, events, pinned memory, a graph. It prints what it finds wrong.
#include <cstdio>
#include <cstdlib>
#include <cooperative_groups.h>
#include <cuda_runtime.h>

#define CHECK(call)                                                                                 \
    do {                                                                                            \
        cudaError_t e_ = (call);                                                                    \
        if (e_ != cudaSuccess) {                                                                    \
            printf("line %d: %s: %s\n", __LINE__, cudaGetErrorName(e_), cudaGetErrorString(e_));    \
            return 1;                                                                               \
        }                                                                                           \
    } while (0)
#define TEST(condition)                                                                             \
    do {                                                                                            \
        if (!(condition)) {                                                                         \
            printf("line %d: %s is not so\n", __LINE__, #condition);                                \
            return 1;                                                                               \
        }                                                                                           \
    } while (0)

__constant__ float factor[2];
__device__ int counter;
__managed__ int tally[4] = {1, 2, 3, 4};

__global__ void count_up() { tally[threadIdx.x] += 10 * threadIdx.x; }

template <class T> __global__ void scale(const T *in, T *out, int n)
{
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        out[i] = in[i] * factor[0] + factor[1];
}

__global__ void sum(const float *in, float *out, int n)
{
    extern __shared__ float part[];
    float s = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        s += in[i];
    part[threadIdx.x] = s;
    __syncthreads();
    for (int k = blockDim.x / 2; k >= 32; k /= 2) {
        if (threadIdx.x < k)
            part[threadIdx.x] += part[threadIdx.x + k];
        __syncthreads();
    }
    if (threadIdx.x < 32) {
        s = part[threadIdx.x];
        for (int k = 16; k; k /= 2)
            s += __shfl_xor_sync(0xffffffff, s, k);
        if (!threadIdx.x) {
            atomicAdd(out, s);
            atomicAdd(&counter, 1);
        }
    }
}

__global__ void big_shared(int *out)
{
    extern __shared__ int words[];
    words[threadIdx.x * 64] = threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = words[(255 - threadIdx.x) * 64];
}

__global__ void mirror(int *from, int *to)
{
    cooperative_groups::grid_group grid = cooperative_groups::this_grid();
    int i = grid.thread_rank(), n = grid.size();
    for (int round = 0; round < 3; round++) {
        from[i] = i + round;
        grid.sync();
        to[i] = from[n - 1 - i];
        grid.sync();
    }
}

int main()
{
    const int n = 10000;
    int devices = 0, count = -1;
    CHECK(cudaGetDeviceCount(&devices));
    TEST(devices == 2);
    cudaDeviceProp prop;
    CHECK(cudaGetDeviceProperties(&prop, 0));
    TEST(prop.warpSize == 32 && prop.major == 8 && prop.multiProcessorCount > 1 && prop.maxGridSize[1] == 65535);
    float *host, *a, *b, *total, result = 0, f[2] = {2, 1};
    CHECK(cudaMallocHost(&host, n * sizeof(float)));
    CHECK(cudaMalloc(&a, n * sizeof(float)));
    CHECK(cudaMalloc(&b, n * sizeof(float)));
    CHECK(cudaMalloc(&total, sizeof(float)));
    for (int i = 0; i < n; i++)
        host[i] = i % 7;
    CHECK(cudaMemcpyToSymbol(factor, f, sizeof f));
    cudaStream_t s;
    cudaEvent_t begin, end;
    CHECK(cudaStreamCreate(&s));
    CHECK(cudaEventCreate(&begin));
    CHECK(cudaEventCreate(&end));
    CHECK(cudaEventRecord(begin, s));
    CHECK(cudaMemcpyAsync(a, host, n * sizeof(float), cudaMemcpyHostToDevice, s));
    CHECK(cudaMemsetAsync(total, 0, sizeof(float), s));
    scale<float><<<20, 128, 0, s>>>(a, b, n);
    sum<<<8, 256, 256 * sizeof(float), s>>>(b, total, n);
    CHECK(cudaGetLastError());
    CHECK(cudaEventRecord(end, s));
    CHECK(cudaMemcpyAsync(&result, total, sizeof result, cudaMemcpyDeviceToHost, s));
    CHECK(cudaStreamSynchronize(s));
    float wanted = 0, ms = -1;
    for (int i = 0; i < n; i++)
        wanted += i % 7 * 2 + 1;
    TEST(result == wanted);
    CHECK(cudaEventElapsedTime(&ms, begin, end));
    TEST(ms > 0);
    CHECK(cudaMemcpyFromSymbol(&count, counter, sizeof count));
    TEST(count == 8);

    cudaGraph_t graph; // the same, captured
    cudaGraphExec_t exec;
    CHECK(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
    CHECK(cudaMemsetAsync(total, 0, sizeof(float), s));
    sum<<<8, 256, 256 * sizeof(float), s>>>(b, total, n);
    CHECK(cudaStreamEndCapture(s, &graph));
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    for (int i = 0; i < 3; i++)
        CHECK(cudaGraphLaunch(exec, s));
    CHECK(cudaStreamSynchronize(s));
    CHECK(cudaMemcpy(&result, total, sizeof result, cudaMemcpyDefault));
    TEST(result == wanted);
    CHECK(cudaMemcpyFromSymbol(&count, counter, sizeof count));
    TEST(count == 32);

    tally[1] = 5; // both sides see a managed variable
    count_up<<<1, 4>>>();
    CHECK(cudaDeviceSynchronize());
    TEST(tally[0] == 1 && tally[1] == 15 && tally[2] == 23 && tally[3] == 34);
    CHECK(cudaMemcpyFromSymbol(&count, tally, sizeof count, 4));
    TEST(count == 15);
    CHECK(cudaSetDevice(1)); // which would have variables of its own
    count_up<<<1, 4>>>();
    TEST(cudaGetLastError() == cudaErrorNotSupported);
    CHECK(cudaSetDevice(0));

    int *words; // shared memory beyond 48 KB only after asking
    CHECK(cudaMalloc(&words, 256 * sizeof(int)));
    big_shared<<<1, 256, 65536>>>(words);
    TEST(cudaGetLastError() == cudaErrorInvalidValue);
    CHECK(cudaFuncSetAttribute(big_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 65536));
    big_shared<<<1, 256, 65536>>>(words);
    CHECK(cudaDeviceSynchronize());
    int got[256];
    CHECK(cudaMemcpy(got, words, sizeof got, cudaMemcpyDeviceToHost));
    TEST(got[0] == 255 && got[255] == 0);
    int *back; // blocks that wait for each other
    CHECK(cudaMalloc(&back, 256 * sizeof(int)));
    void *both[] = {&words, &back};
    CHECK(cudaLaunchCooperativeKernel((void *)mirror, dim3(8), dim3(32), both, 0, 0));
    CHECK(cudaMemcpy(got, back, sizeof got, cudaMemcpyDeviceToHost));
    TEST(got[0] == 257 && got[255] == 2);
    TEST(cudaLaunchCooperativeKernel((void *)mirror, dim3(100000), dim3(32), both, 0, 0) ==
         cudaErrorCooperativeLaunchTooLarge);
    TEST(cudaGetLastError() == cudaErrorCooperativeLaunchTooLarge);
    size_t limit = 0; // what programs ask for beside
    int can = -1, priority = -1, now = -1;
    cudaMemPool_t pool;
    unsigned flags = 9;
    CHECK(cudaDeviceSetLimit(cudaLimitPrintfFifoSize, 1 << 16));
    CHECK(cudaDeviceGetLimit(&limit, cudaLimitPrintfFifoSize));
    CHECK(cudaDeviceCanAccessPeer(&can, 0, 0));
    TEST(limit == 1 << 16 && can == 0);
    CHECK(cudaDeviceGetDefaultMemPool(&pool, 0));
    CHECK(cudaMallocFromPoolAsync((void **)&back, 64, pool, s));
    CHECK(cudaMemset2DAsync(back, 16, 1, 4, 4, s));
    CHECK(cudaFreeAsync(back, s));
    CHECK(cudaStreamGetFlags(s, &flags));
    CHECK(cudaStreamGetPriority(s, &priority));
    CHECK(cudaGetDevice(&now));
    TEST(flags == 0 && priority == 0 && now == 0);
    cudaArray_t array;
    cudaChannelFormatDesc format = {32, 0, 0, 0, cudaChannelFormatKindFloat};
    TEST(cudaMallocArray(&array, &format, 4, 4, 0) == cudaErrorNotSupported);
    TEST(cudaGetLastError() == cudaErrorNotSupported);
    sum<<<0, 256>>>(b, total, n);
    TEST(cudaGetLastError() == cudaErrorInvalidConfiguration);
    cudaFuncAttributes attributes;
    CHECK(cudaFuncGetAttributes(&attributes, sum));
    TEST(attributes.maxThreadsPerBlock == 1024 && attributes.numRegs > 0);
    TEST(cudaMemcpy(a, host, n * 8, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    cudaGetLastError();

    scale<float><<<20, 128>>>(a, b, n + 1); // one too many: the error comes later, and stays
    CHECK(cudaGetLastError());
    TEST(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
    TEST(cudaMalloc(&a, 4) == cudaErrorIllegalAddress);
    CHECK(cudaDeviceReset());
    cudaGetLastError();
    CHECK(cudaMalloc(&a, 4));
    puts("all is well");
    return 0;
}
