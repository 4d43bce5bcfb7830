/* Denormals are flushed, in results and operands, so that small values cost no time and mean the
 * same on every thread. */
#include "pool.h"

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
enum { FLUSH = 1 << 15 | 1 << 6 }; /* FTZ, DAZ of MXCSR */

uint64_t nn_denormals_flush(void)
{
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | FLUSH);
    return before;
}

void nn_denormals_restore(uint64_t before) { _mm_setcsr((unsigned)before); }
#elif defined(__aarch64__)
uint64_t nn_denormals_flush(void)
{
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" ::"r"(before | (uint64_t)1 << 24)); /* FZ */
    return before;
}

void nn_denormals_restore(uint64_t before) { __asm__ volatile("msr fpcr, %0" ::"r"(before)); }
#else
uint64_t nn_denormals_flush(void) { return 0; }

void nn_denormals_restore(uint64_t before) { (void)before; }
#endif
