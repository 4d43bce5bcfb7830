/* lanes_avx2: the same arithmetic, compiled for AVX2 and FMA where the machine may have them. */
#if defined(__x86_64__)
#define SIM_ROWS_NAME sim_rows_avx2
#include "lanes.inc"
#else
typedef int sim_nothing_here;
#endif
