/* --timings: when each part of the start was done. */
#include "nnc/nnc.h"
#include <time.h>

static bool wanted;
static double began; /* ms */

static double milliseconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

void nnc_timings(bool on)
{
    wanted = on;
    began = milliseconds(CLOCK_MONOTONIC) - milliseconds(CLOCK_PROCESS_CPUTIME_ID);
    nnc_timing("the program is loaded");
}

void nnc_timing(const char *what)
{
    if (wanted)
        fprintf(stderr, "%8.1f ms  %s\n", milliseconds(CLOCK_MONOTONIC) - began, what);
}
