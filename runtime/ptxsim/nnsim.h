/* What libnncsim.so exports beside the Driver API and cuBLAS: choosing the chip, and what only a
 * simulator knows. A program finds these with dlsym; a real driver does not have them. */
#ifndef NNSIM_H
#define NNSIM_H

#include "sim.h"

#pragma GCC visibility push(default)

/* The chip (or a comma-separated list, one a device) of the devices to come: call it before cuInit.
 * False: no such chip, or the driver is initialised already with another. */
bool nnsim_select(const char *chip);
const char *nnsim_chips(void); /* all there are, by commas */

/* The counters of the kernels launched since the start or the last reset: false if there is no
 * i-th. They are kept while counting is on: nnsim_count(true), or NN_SIM_COUNTERS set. */
void nnsim_count(bool on);
bool nnsim_counters(size_t i, const char **name, uint64_t *launches, struct sim_counters *counters);
void nnsim_counters_reset(void);

/* Faults go to `f` instead of stderr; NULL: to stderr again. Called in the launching thread. */
void nnsim_on_fault(void (*f)(void *data, const struct sim_fault *fault), void *data);

/* Allocations of device, pinned and managed memory that are alive, of all devices; their bytes. */
size_t nnsim_alive(uint64_t *bytes);

/* The n-th call from now on fails with `code` (a CUresult); 0: none. As NN_SIM_FAIL does. */
void nnsim_fail(uint64_t n, int code);

#pragma GCC visibility pop

#endif
