/* The software GPU's Driver API, inside. Objects are reached by handles that are checked at every
 * use; one lock guards all of them and is released while an operation (a kernel, a copy, a host
 * function) runs.
 *
 *   core.c      entering a call: lock, current context, sticky errors, injected failures; handles
 *   device.c    devices and attributes          context.c   contexts and the current-context stack
 *   memory.c    allocations                     pool.c      memory pools
 *   pointer.c   what a pointer is               copy.c      copies and memsets
 *   image.c     what a module's bytes are       module.c    modules
 *   function.c  attributes of functions         library.c   libraries, kernels, the linker
 *   launch.c    launches and occupancy          stream.c    streams, events, host functions
 *   capture.c   stream capture                  op.c        one unit of work, of a stream or graph
 *   graph.c     graphs and their edges          node.c      nodes and their parameters
 *   exec.c      graphs that run                 proc.c      cuGetProcAddress
 *   tensor.c    tensor maps                     report.c    faults, counters
 *   threads.c   variants for the per-thread default stream
 *   blas.c, blas_lt.c, gemm.c                   cuBLAS, cuBLASLt
 *
 * Execution is synchronous: an operation is done when the call that asked for it returns. */
#ifndef NN_SIM_DRIVER_H
#define NN_SIM_DRIVER_H

#include "../nnsim.h"
#include "cuda_calls.h"
#include <pthread.h>

/* ---- objects ---- */
enum kind {
    KIND_NONE,
    KIND_CONTEXT,
    KIND_MODULE,
    KIND_FUNCTION,
    KIND_LIBRARY,
    KIND_KERNEL,
    KIND_STREAM,
    KIND_EVENT,
    KIND_GRAPH,
    KIND_NODE,
    KIND_EXEC,
    KIND_POOL,
    KIND_LINK,
    KIND_USER,
    KIND_BLAS,
    KIND_BLAS_LT,
};

/* Begins every object. Objects of a context are in its list and end with it. */
struct object {
    enum kind kind;
    void *handle;
    struct context *context; /* NULL: of none */
    struct object *next, *previous;
};

struct device {
    int ordinal;
    const struct sim_chip *chip;
    struct sim_device *sim;
    struct context *primary;
    struct pool *default_pool, *pool;
};

struct stream {
    struct object o;
    unsigned flags;
    int priority;
    uint64_t id, thread; /* thread: of a per-thread stream */
    bool busy, dead;     /* dead: destroyed while another thread's work ran on it */
    struct capture *capture;
    struct node **last; /* the nodes that what is captured next depends on */
    size_t last_count;
    CUgraphNode *shown; /* their handles, as cuStreamGetCaptureInfo gave them */
};

struct event {
    struct object o;
    unsigned flags;
    bool recorded;
    double time;             /* seconds */
    struct capture *capture; /* last recorded in a capturing stream */
    struct node **last;
    size_t last_count;
};

#define LIMITS CU_LIMIT_MAX
struct context {
    struct object o;
    struct device *device;
    unsigned flags, references; /* references: cuDevicePrimaryCtxRetain's */
    bool primary, active;
    uint64_t id;
    CUresult sticky; /* after a fault every call gives it */
    size_t limit[LIMITS];
    CUfunc_cache cache;
    CUsharedconfig bank;
    struct object *objects;
    struct stream *legacy;
};

struct module {
    struct object o;
    struct sim_module *sim;
    struct function **function; /* by the kernel's number, NULL until asked for */
    size_t functions;
    struct library *library;
};

struct function {
    struct object o;
    struct module *module;
    struct sim_kernel *sim;
    const struct sim_kernel_facts *facts;
    uint32_t dynamic; /* the most dynamic shared memory that a launch may ask for */
    int carveout, cache, nonportable, policy;
    uint32_t cluster[3]; /* that was set for it; 0: none */
};

struct pool {
    struct object o;
    struct device *device;
    bool default_of_device;
    size_t max;
    uint64_t threshold, used, high;
    int reuse[3];
};

enum { MEMORY_DEVICE = 1, MEMORY_HOST, MEMORY_REGISTERED, MEMORY_MANAGED, MEMORY_POOL };
struct memory {
    uint64_t at, bytes, id;
    uint32_t kind;
    unsigned flags;
    bool sync;
    struct context *context;
    struct pool *pool;
};

/* ---- core.c ---- */
enum need { NEED_NOTHING, NEED_INIT, NEED_CONTEXT };
struct call {
    const char *name;
    CUresult result;
    struct context *context; /* the current one */
    bool locked;
};
struct call call_begin(const char *name, enum need need);
void call_end(struct call *c);
/* Opens every exported function: what it needs is checked, then the lock is held to its end. */
#define ENTER(need)                                                                                \
    struct call call __attribute__((cleanup(call_end))) = call_begin(__func__, need);              \
    if (call.result)                                                                               \
    return call.result

/* Around work that may take time: another thread's calls go on. */
void lock_release(void);
void lock_acquire(void);
void lock_wait(void); /* until lock_signal */
void lock_signal(void);

/* Puts o in the table and in the context's list; false: out of memory. */
bool object_add(struct object *o, enum kind kind, struct context *c);
void object_remove(struct object *o);
/* The object of a handle, NULL if it is none of this kind (any more). */
void *object_get(enum kind kind, const void *handle);

void say(const char *format, ...) __attribute__((format(printf, 1, 2))); /* one line on stderr */
/* A line on stderr and CUDA_ERROR_NOT_SUPPORTED. */
CUresult not_simulated(const char *call, const char *what);
double now(void);
void in_host_function(bool in); /* calls of this thread are refused while it is */
uint64_t thread_number(void);
bool setting_on(const char *name, bool otherwise);
uint64_t setting_number(const char *name, uint64_t otherwise); /* with a suffix K, M or G */
CUresult from_status(enum sim_status s);

/* ---- device.c ---- */
extern struct device *devices;
extern int device_count;
CUresult devices_open(void);
struct device *device_get(CUdevice ordinal); /* NULL: none */

/* ---- context.c ---- */
struct context *context_current(void); /* NULL: none, or one that has ended */
bool context_current_stale(void);
CUresult context_set_current(struct context *c);
struct context *context_get(CUcontext handle); /* active ones only */
void objects_end(struct context *c);

/* ---- memory.c ---- */
struct memory *memory_find(uint64_t at); /* the allocation around it; valid until the next change */
CUresult memory_new(struct context *c, uint32_t kind, uint64_t bytes, unsigned flags,
                    struct pool *pool, uint64_t *at);
void memory_open(void);             /* once */
void memory_end(struct context *c); /* frees what the context still has, reporting it if asked to */
size_t memory_alive(uint64_t *bytes);
/* Frees what begins at `at`, if its kind is one of `kinds`: a bit for each. */
CUresult memory_release(uint64_t at, unsigned kinds);
bool memory_of_host(uint32_t kind);
void memory_forget_pool(const struct pool *p);

/* ---- pool.c ---- */
CUresult pools_open(struct device *d);

/* ---- copy.c: run without the lock ---- */
CUresult copy_check(const CUDA_MEMCPY3D *p);
CUresult copy_run(struct context *c, const CUDA_MEMCPY3D *p);
CUresult set_check(const CUDA_MEMSET_NODE_PARAMS *p);
CUresult set_run(struct context *c, const CUDA_MEMSET_NODE_PARAMS *p);
struct sim_device *sim_around(struct context *c,
                              uint64_t at); /* whose memory it is; NULL: the host's */

/* ---- image.c ---- */
/* Finds the PTX in an image: text as it is, or the best fit of a fat binary, which is decompressed
 * into *owned (free it). bytes 0: ends with a 0 or says its own size. `why` has IMAGE_WHY bytes:
 * what is wrong where it fails. */
#define IMAGE_WHY 256
CUresult image_ptx(const struct sim_chip *chip, const void *image, size_t bytes, const char **text,
                   size_t *length, char **owned, char *why);

/* ---- module.c ---- */
struct jit {
    char *error, *info;
    size_t error_bytes, info_bytes;
    int error_size_at, info_size_at,
        time_at; /* numbers of the options that are written, -1: none */
    void **values;
};
CUresult jit_options(struct jit *j, unsigned n, const CUjit_option *options, void **values);
/* Writes the logs that the options ask for, and a line on stderr where it failed. */
void jit_finish(struct jit *j, const char *log, double seconds, bool failed);
CUresult module_new(struct context *c, const void *image, size_t bytes, struct jit *j,
                    struct module **m);
void module_end(struct module *m);
void function_end(struct function *f);
CUresult function_of(struct module *m, size_t kernel, struct function **f);
CUresult function_named(struct module *m, const char *name, struct function **f);
CUresult function_runs(const struct function *f); /* else a line on stderr */
char *file_read(const char *path,
                size_t *bytes); /* with a 0 behind it; NULL if it cannot be read */

/* ---- library.c ---- */
CUresult kernel_function(struct context *c, CUkernel handle, struct function **f);
struct function *function_get(struct context *c, CUfunction handle); /* a CUkernel is taken too */
void library_forget(struct library *l, const struct module *m);

/* ---- op.c ---- */
enum op_kind {
    OP_EMPTY,
    OP_KERNEL,
    OP_COPY,
    OP_SET,
    OP_HOST,
    OP_RECORD,
    OP_WAIT,
    OP_CHILD,
    OP_CODE
};
struct op_kernel {
    struct function *function;
    CUfunction handle;
    uint32_t grid[3], block[3], cluster[3], shared;
    bool cooperative;
    uint32_t param_count, param_bytes;
    void *params;
    void **pointers; /* into params, for cuGraphKernelNodeGetParams */
};
struct op_host {
    CUhostFn function;
    CUstreamCallback callback; /* in place of function */
    CUstream stream;
    void *data;
};
/* Work of this library's own (cuBLAS): run gets a copy of `data`. Shown as a kernel node. */
struct op_code {
    CUresult (*run)(struct context *c, const void *data);
    void *data;
    size_t bytes;
};
struct op {
    enum op_kind kind;
    struct context *context;
    CUcontext context_handle; /* the context may have ended when a graph runs */
    union {
        struct op_kernel kernel;
        CUDA_MEMCPY3D copy;
        CUDA_MEMSET_NODE_PARAMS set;
        struct op_host host;
        CUevent event;
        struct graph *child;
        struct op_code code;
    };
};
CUresult op_copy(struct op *to, const struct op *from); /* with what it points to */
void op_free(struct op *op);
CUresult op_ready(const struct op *op); /* what it needs is still there; with the lock */
CUresult op_run(const struct op *op);   /* without the lock */

/* ---- launch.c ---- */
struct launch {
    CUfunction function;
    uint32_t grid[3], block[3], cluster[3], shared; /* cluster 0: not said */
    void **params, **extra;
    bool cooperative;
};
/* Checks a launch as cuLaunchKernel does and packs its parameters: op_free the op. */
CUresult launch_op(struct context *c, const struct launch *l, struct op *op);
CUresult launch_run(struct context *c, const struct op_kernel *k);
/* Blocks that wait for each other must all be there at once. */
CUresult cooperative_fits(const struct function *f, const uint32_t *grid, const uint32_t *block,
                          uint32_t shared);
/* Sets the kernel's cluster, as the launch's `given` or the function says. */
CUresult launch_cluster(const struct function *f, const uint32_t *given, struct op_kernel *k);
void launches_done(void); /* waits until none runs: before memory and modules come and go */

/* ---- stream.c ---- */
CUresult stream_get(struct context *c, CUstream handle, struct stream **s);
/* Runs op in the stream's order, or adds it to the graph that the stream captures. Both contexts of
 * op are given. */
CUresult stream_submit(struct stream *s, const struct op *op);
void stream_enter(
    struct stream *s); /* waits its turn and holds the stream; the lock is held before and after */
void stream_leave(struct stream *s);
void stream_end(struct stream *s);
void event_end(struct event *e);
struct stream *stream_new(struct context *c, unsigned flags, int priority);
CUresult event_record(struct event *e); /* outside of captures */

/* ---- capture.c ---- */
struct capture {
    uint64_t id, thread;
    CUstreamCaptureMode mode;
    bool invalid, owned; /* owned: the graph is the capture's until it ends */
    struct graph *graph;
    struct stream *origin;
    struct capture *next;
};
/* A call that captures do not allow: CUDA_SUCCESS if none minds. */
CUresult capture_unsafe(struct context *c);
/* For work on the legacy stream: an error if a blocking stream of the context is being captured. */
CUresult capture_implicit(struct stream *s);
CUresult capture_add(struct stream *s, const struct op *op);
CUresult capture_record(struct stream *s, struct event *e);
CUresult capture_wait(struct stream *s, struct event *e);
CUresult capture_refuse(
    struct stream *s); /* the call is not for a capturing stream: ends the capture's validity */
void capture_forget_event(struct event *e);
void capture_forget_stream(struct stream *s);

/* ---- graph.c ---- */
struct node {
    struct object o;
    struct graph *graph;
    uint64_t id;
    struct op op;
    struct node **on; /* depends on */
    size_t on_count;
    uint64_t original; /* id of the node that it is a clone of */
    size_t index;      /* scratch: its place in an order */
    uint64_t seen;     /* scratch: the walk that was here last */
};
struct graph {
    struct object o;
    struct node **node;
    size_t nodes, room;
    bool child; /* owned by a child graph node */
    unsigned capturing;
};
struct graph *graph_new(void);
/* Handles become nodes, which must be of g; free the array. */
CUresult nodes_of(struct graph *g, const CUgraphNode *handles, size_t n, struct node ***nodes);
void graph_end(struct graph *g);
CUresult graph_clone(struct graph *from, struct graph **to);
/* op is copied. on: checked nodes of the same graph. */
CUresult node_new(struct graph *g, const struct op *op, struct node *const *on, size_t on_count,
                  struct node **n);
CUresult node_depend(struct node *n, struct node *on);
bool node_reaches(struct node *from, const struct node *to); /* from depends on `to`, however far */
/* The nodes so that each comes after what it depends on; NULL and *cycle if there is no such order.
 */
struct node **graph_order(struct graph *g, bool *cycle);
CUgraphNodeType node_type(const struct op *op);

/* ---- node.c: operations from nodes' parameters; current: the context that counts where none is
 * given. A child's graph stays the caller's until the operation is copied. ---- */
CUresult kernel_node_op(struct context *current, const CUDA_KERNEL_NODE_PARAMS *p, struct op *op);
CUresult copy_node_op(struct context *current, const CUDA_MEMCPY3D *p, CUcontext context,
                      struct op *op);
CUresult set_node_op(struct context *current, const CUDA_MEMSET_NODE_PARAMS *p, CUcontext context,
                     struct op *op);
CUresult host_node_op(struct context *c, const CUDA_HOST_NODE_PARAMS *p, struct op *op);
CUresult event_node_op(struct context *c, CUevent event, enum op_kind kind, struct op *op);
CUresult child_node_op(struct context *c, CUgraph child, struct op *op);
CUresult node_op(struct context *c, const CUgraphNodeParams *p, struct op *op);

/* ---- exec.c ---- */
CUresult graph_run(struct graph *g); /* a child graph, without the lock */

/* ---- report.c ---- */
/* Tells of it; its code is what the context says from now on. */
void report_fault(struct context *c, const struct sim_fault *f);
void report_counters(const char *kernel, const struct sim_counters *c);
bool counting(void);

#endif
