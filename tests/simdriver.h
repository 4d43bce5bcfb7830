/* For tests of the software GPU's driver: a call that succeeds, a call that gives a certain error;
 * a device with a context; PTX of small kernels. */
#ifndef NNC_SIMDRIVER_TEST_H
#define NNC_SIMDRIVER_TEST_H

#include "ptxsim/driver/cuda_calls.h"
#include "ptxsim/nnsim.h"
#include "test.h"
#include <stdlib.h>

static inline void gives_at(const char *file, int line, CUresult got, CUresult wanted,
                            const char *call)
{
    const char *a = "?", *b = "?";
    test_at(file, line, got == wanted, call);
    if (got != wanted) {
        cuGetErrorName(got, &a);
        cuGetErrorName(wanted, &b);
        printf("gave %s (%d), wanted %s\n", a, (int)got, b);
    }
}
#define gives(call, error) gives_at(__FILE__, __LINE__, call, error, #call)
#define ok(call) gives(call, CUDA_SUCCESS)
#define INVALID CUDA_ERROR_INVALID_VALUE
#define BAD_HANDLE CUDA_ERROR_INVALID_HANDLE

static inline CUcontext context_here(void)
{
    CUcontext c = NULL;
    ok(cuInit(0));
    ok(cuCtxCreate_v2(&c, 0, 0));
    return c;
}

/* out[i] = a[i] + b[i] for i < n; blocks of one dimension */
static const char *const ptx_add =
    ".version 7.0\n.target sm_70\n.address_size 64\n"
    ".visible .entry add(.param .u64 a, .param .u64 b, .param .u64 out, .param .u32 n)\n"
    "{\n"
    "  .reg .pred %p<2>; .reg .f32 %f<4>; .reg .b32 %r<6>; .reg .b64 %rd<11>;\n"
    "  ld.param.u64 %rd1, [a];\n  ld.param.u64 %rd2, [b];\n"
    "  ld.param.u64 %rd3, [out];\n  ld.param.u32 %r2, [n];\n"
    "  mov.u32 %r3, %ctaid.x;\n  mov.u32 %r4, %ntid.x;\n  mov.u32 %r5, %tid.x;\n"
    "  mad.lo.s32 %r1, %r3, %r4, %r5;\n  setp.ge.s32 %p1, %r1, %r2;\n"
    "  @%p1 bra DONE;\n"
    "  cvta.to.global.u64 %rd4, %rd1;\n  mul.wide.s32 %rd5, %r1, 4;\n"
    "  add.s64 %rd6, %rd4, %rd5;\n  cvta.to.global.u64 %rd7, %rd2;\n"
    "  add.s64 %rd8, %rd7, %rd5;\n  ld.global.f32 %f1, [%rd6];\n"
    "  ld.global.f32 %f2, [%rd8];\n  add.f32 %f3, %f1, %f2;\n"
    "  cvta.to.global.u64 %rd9, %rd3;\n  add.s64 %rd10, %rd9, %rd5;\n"
    "  st.global.f32 [%rd10], %f3;\n"
    "DONE:\n  ret;\n}\n"
    ".visible .global .align 4 .f32 scale = 0f40000000;\n";

#endif
