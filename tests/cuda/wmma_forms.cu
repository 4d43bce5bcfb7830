// Every form of the wmma interface but those of fewer than 8 bits: shapes, element types, layouts. The
// elements are small whole numbers, so that all sums are exact.
#include <mma.h>
#include <cuda_bf16.h>
using namespace nvcuda::wmma;

template <class In, class Stored, class C, class D, int M, int N, int K, class A_layout, class B_layout>
__device__ void product(float *out, bool c_by_columns)
{
    __shared__ alignas(32) Stored a[M * K], b[K * N];
    __shared__ alignas(32) C c[M * N];
    __shared__ alignas(32) D d[M * N];
    constexpr bool ac = __is_same(A_layout, col_major), bc = __is_same(B_layout, col_major);
#pragma unroll 1
    for (int x = threadIdx.x; x < M * K; x += 32)
        a[ac ? x % K * M + x / K : x] = Stored(float((x / K * 7 + x % K * 3) % 11));
#pragma unroll 1
    for (int x = threadIdx.x; x < K * N; x += 32)
        b[bc ? x % N * K + x / N : x] = Stored(float((x / N * 5 + x % N * 2) % 7));
#pragma unroll 1
    for (int x = threadIdx.x; x < M * N; x += 32)
        c[c_by_columns ? x % N * M + x / N : x] = C(float(x % 13) - 6);
    __syncwarp();
    layout_t layout = c_by_columns ? mem_col_major : mem_row_major;
    fragment<matrix_a, M, N, K, In, A_layout> fa;
    fragment<matrix_b, M, N, K, In, B_layout> fb;
    fragment<accumulator, M, N, K, C> fc;
    fragment<accumulator, M, N, K, D> fd;
    load_matrix_sync(fa, a, ac ? M : K);
    load_matrix_sync(fb, b, bc ? K : N);
    load_matrix_sync(fc, c, c_by_columns ? M : N, layout);
    mma_sync(fd, fa, fb, fc);
    store_matrix_sync(d, fd, c_by_columns ? M : N, layout);
    __syncwarp();
#pragma unroll 1
    for (int x = threadIdx.x; x < M * N; x += 32)
        out[x] = float(d[c_by_columns ? x % N * M + x / N : x]);
    __syncwarp();
}

// Each factor and the sum by rows and by columns, one behind the other in `out`.
template <class In, class Stored, class C, class D, int M, int N, int K> __device__ void form(float *out)
{
#pragma unroll 1
    for (int k = 0; k < 2; k++, out += 2 * M * N) {
        product<In, Stored, C, D, M, N, K, row_major, col_major>(out, k);
        product<In, Stored, C, D, M, N, K, col_major, row_major>(out + M * N, k);
    }
}

#define FORM(name, In, Stored, C, D, M, N, K) \
    extern "C" __global__ void name(float *out) { form<In, Stored, C, D, M, N, K>(out); }
#define SHAPES(name, In, C, D) \
    FORM(name##_16, In, In, C, D, 16, 16, 16) \
    FORM(name##_32, In, In, C, D, 32, 8, 16) \
    FORM(name##_8, In, In, C, D, 8, 32, 16)
SHAPES(wmma_f32_f16_f32, __half, float, float)
SHAPES(wmma_f16_f16_f16, __half, __half, __half)
FORM(wmma_f32_f16_f16, __half, __half, __half, float, 16, 16, 16)
FORM(wmma_f16_f16_f32, __half, __half, float, __half, 16, 16, 16)
SHAPES(wmma_f32_bf16_f32, __nv_bfloat16, float, float)
SHAPES(wmma_s32_s8_s32, signed char, int, int)
SHAPES(wmma_s32_u8_s32, unsigned char, int, int)
FORM(wmma_tf32, precision::tf32, float, float, float, 16, 16, 8)
FORM(wmma_f64, double, double, double, double, 8, 8, 4)
