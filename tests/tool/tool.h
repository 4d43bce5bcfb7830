/* tool: test modes that need the compiler's inside. A mode is a function and a row of main.c's table;
 * 0 is passed. */
#ifndef NNC_TEST_TOOL_H
#define NNC_TEST_TOOL_H

#include "ir/ir.h"

/* Reads a graph file; prints what is wrong with it. NULL after errors. */
struct ir_module *tool_read_graph(struct diag *d, const char *path);

int tool_exec(const char *path); /* exec.c: every executor agrees with the evaluator */
int tool_fuse(const char *path); /* exec.c: prints the greedy plan's clusters, for goldens */
int tool_loops(const char *path); /* exec.c: prints the greedy plan's kernels */
int tool_time(const char *path); /* exec.c: time of each kernel */

#endif
