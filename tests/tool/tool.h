/* nnc-test-tool: what tests need from the compiler's inside. A mode is a row of modes.def:
 * main.c finds it; data.c makes inputs and compares results; random.c, contraction.c, shrink.c make
 * and reduce graphs. */
#ifndef NNC_TEST_TOOL_H
#define NNC_TEST_TOOL_H

#include "ir/ir.h"
#include "pass/pass.h"
#include "target/target.h"

/* A mode: args[0] is the mode's name, the words after it are its arguments, then the file. 0:
 * passed. */
#define MODE(name, synopsis, help) int mode_##name(int argc, char **argv);
#include "modes.def"
#undef MODE

/* ---- data.c ---- */
struct tool_value {
    const char *name; /* an output's, or the slot's that is updated */
    enum nn_dtype dtype;
    int64_t count;
    double *v;
};
struct tool_values {
    VEC(struct tool_value) p;
};
void tool_values_free(struct tool_values *v);

/* Data for an input or slot of that name: the same for the same name, type and size. Floats are
 * multiples of 1/4 in [-3, 3], integers in [0, 7]. Heap. */
double *tool_data(const char *name, enum nn_dtype t, int64_t count);

/* What the evaluator makes of the graph, not rounded to the nodes' types. NULL, or what is wrong
 * (heap). */
char *tool_evaluate(const struct ir_graph *g, struct tool_values *out);
/* NULL, or the first difference (heap). Numbers agree if |x - y| <= bound * (1 + the largest |x| of
 * that value), or both are NaN or the same infinity. bound 0: the same but for the sign of zero. */
char *tool_compare(const struct tool_values *x, const struct tool_values *y, double bound);

/* The module of a file, NULL after printing what is wrong. */
struct ir_module *tool_read(const char *file);
struct ir_module *tool_read_text(const char *name, const char *text, size_t size);
/* A copy of the graph in the same module that is not in its list: ir_graph_free. */
struct ir_graph *tool_clone(const struct ir_graph *g);
/* The passes of a list by name, "cse,simplify"; after each the verifier. NULL, or what is wrong
 * (heap). */
char *tool_passes(struct ir_graph *g, const char *list);

/* What checks have to say, collected. */
void tool_complain(const char *fmt, ...) NNC_PRINTF(1, 2);
char *tool_complaints(void); /* and forgets them; heap, "" if there are none */

/* ---- exec.c ---- by each policy, with and without the passes: the interpreter of the loops that
 * are lowered for the target (NULL: for this machine, and its machine code; ptx: in place of it the
 * software GPU) agrees with the evaluator. NULL, or the complaints (heap). */
char *tool_execute(const struct ir_graph *g, const struct target *t, bool ptx);

/* ---- gpu.c ---- launches for a GPU's target as PTX on the software GPU, all checks on. arg[i][k]:
 * the host's memory of launch i's argument k; what launches write is written there. False after
 * complaints. */
struct tool_gpu;
struct target;
struct low_launches;
struct nn_fault;
struct tool_gpu *tool_gpu_open(const struct target *t); /* NULL after complaints */
void tool_gpu_close(struct tool_gpu *g);                /* NULL is fine */
bool tool_gpu_run(struct tool_gpu *g, const struct low_launches *l, void *const *const *arg,
                  struct nn_fault *fault);

/* ---- grad.c ---- a weighted sum of the float outputs, differentiated by pass gradient (in
 * `passes`) and by central differences. NULL, or the first difference (heap). */
char *tool_gradients(const struct ir_graph *g, const char *passes);
/* The gradients of that loss as outputs (the loss itself is a sum that cancels), expanded; not in
 * the module's list. NULL: no float output. */
struct ir_graph *tool_backward(const struct ir_graph *g);

/* ---- random.c ---- a graph of about `size` nodes, in a module of its own. */
struct ir_module *tool_random_graph(uint64_t seed, int size);

/* ---- contraction.c ---- one contraction with size % 5 axes of windows, and what is computed before
 * and after it. */
struct ir_module *tool_random_contraction(uint64_t seed, int size);

/* ---- shrink.c ---- the smallest graph found for which `fails` still gives a message. */
typedef char *tool_check(const struct ir_graph *g);
void tool_shrink(struct ir_graph *g, tool_check *fails);

#endif
