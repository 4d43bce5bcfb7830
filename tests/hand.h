/* Builds images by hand, for tests of the runtime: records are appended, `image_done` fills the
 * header. */
#ifndef NNC_TEST_HAND_H
#define NNC_TEST_HAND_H

#include "image.h"
#include "test.h"

struct image_builder {
    struct text t;
    struct nn_slot_rec slot[16];
    struct nn_graph_rec graph[8];
    struct nn_launch_rec launch[8][16];
    uint32_t slots, graphs;
    uint64_t slot_bytes;
    const char *kernel_name[16]; /* NULL: hand */
    const char *target;          /* NULL: not told */
};

static inline uint32_t image_put(struct image_builder *b, const void *p, size_t n)
{
    static const char zero[8];
    if (!b->t.n) {
        struct nn_image header = {0};
        text_write(&b->t, (const char *)&header, sizeof header);
    }
    text_write(&b->t, zero, (8 - b->t.n % 8) % 8);
    uint32_t at = (uint32_t)b->t.n;
    text_write(&b->t, p, n);
    return at;
}

static inline uint32_t image_text(struct image_builder *b, const char *s)
{
    return image_put(b, s, strlen(s) + 1);
}

/* dim: up to two; 0 ends. Returns the slot's offset. */
static inline uint64_t image_slot(struct image_builder *b, const char *name, enum nn_slot_kind kind,
                                  enum nn_dtype t, int64_t d0, int64_t d1)
{
    struct nn_slot_rec *s = &b->slot[b->slots++];
    s->name = image_text(b, name);
    s->dtype = (uint8_t)t;
    s->kind = (uint8_t)kind;
    s->rank = (uint8_t)((d0 > 0) + (d1 > 0));
    s->dim[0] = d0;
    s->dim[1] = d1;
    s->bytes = nn_dtype_size(t) * (uint64_t)(d0 ? d0 : 1) * (uint64_t)(d1 ? d1 : 1);
    s->offset = b->slot_bytes;
    b->slot_bytes = (s->offset + s->bytes + NN_IMAGE_ALIGN - 1) / NN_IMAGE_ALIGN * NN_IMAGE_ALIGN;
    return s->offset;
}

static inline struct nn_value_rec image_value(struct image_builder *b, const char *name,
                                              enum nn_dtype t, int64_t d0, int64_t d1)
{
    struct nn_value_rec v = {0};
    v.name = image_text(b, name);
    v.dtype = (uint8_t)t;
    v.rank = (uint8_t)((d0 > 0) + (d1 > 0));
    v.dim[0] = d0;
    v.dim[1] = d1;
    v.bytes = nn_dtype_size(t) * (uint64_t)(d0 ? d0 : 1) * (uint64_t)(d1 ? d1 : 1);
    return v;
}

static inline uint32_t image_graph(struct image_builder *b, const char *name,
                                   const struct nn_value_rec *in, uint32_t ins,
                                   const struct nn_value_rec *out, uint32_t outs,
                                   uint64_t arena_bytes, uint64_t scratch_bytes)
{
    uint32_t n = b->graphs++;
    struct nn_graph_rec *g = &b->graph[n];
    g->name = image_text(b, name);
    g->input_count = ins;
    g->inputs_at = image_put(b, in, ins * sizeof *in);
    g->output_count = outs;
    g->outputs_at = image_put(b, out, outs * sizeof *out);
    g->arena_bytes = arena_bytes;
    g->scratch_bytes = scratch_bytes;
    return n;
}

static inline void image_launch(struct image_builder *b, uint32_t graph, uint32_t kernel,
                                const struct nn_arg_rec *arg, uint32_t args, int64_t chunks0,
                                int64_t chunks1)
{
    struct nn_phase_rec phase[] = {{.chunks = chunks0}, {.chunks = chunks1}};
    struct nn_graph_rec *g = &b->graph[graph];
    struct nn_launch_rec *l = &b->launch[graph][g->launch_count++];
    l->kernel = kernel;
    l->origin = 1;
    l->arg_count = args;
    l->args_at = image_put(b, arg, args * sizeof *arg);
    l->phase_count = chunks1 > 0 ? 2 : 1;
    l->phases_at = image_put(b, phase, l->phase_count * sizeof *phase);
    l->flops = 1e9; /* long enough for the pool */
}

/* The last launch of the graph becomes a GPU's. */
static inline void image_gpu(struct image_builder *b, uint32_t graph, uint32_t threads,
                             uint32_t shared)
{
    struct nn_launch_rec *l = &b->launch[graph][b->graph[graph].launch_count - 1];
    struct nn_phase_rec *p = (struct nn_phase_rec *)(void *)(b->t.p + l->phases_at);
    for (uint32_t i = 0; i < l->phase_count; i++) {
        p[i].threads = threads;
        p[i].shared = shared;
    }
}

/* The last launch of the graph becomes a product. */
static inline void image_gemm(struct image_builder *b, uint32_t graph, const struct nn_gemm_rec *g)
{
    struct nn_launch_rec *l = &b->launch[graph][b->graph[graph].launch_count - 1];
    l->kind = NN_LAUNCH_GEMM;
    l->kernel = l->phase_count = 0;
    l->gemm_at = image_put(b, g, sizeof *g);
}

static inline struct nn_arg_rec image_arg(enum nn_space space, uint64_t offset, enum nn_dtype t,
                                          uint64_t count, bool written)
{
    struct nn_arg_rec a = {.space = (uint32_t)space, .dtype = (uint8_t)t, .offset = offset};
    a.bytes = count * nn_dtype_size(t);
    a.written = written;
    return a;
}

/* The finished image, heap memory; one origin, number 1, is "model.nn:7: layer.op". */
static inline struct nn_image *image_done(struct image_builder *b, uint32_t kernels, size_t *bytes)
{
    struct nn_kernel_rec kernel[16] = {0};
    struct nn_origin_rec origin[2] = {0};
    struct nn_image h = {.magic = NN_IMAGE_MAGIC, .version = NN_IMAGE_VERSION};
    h.model = origin[0].text = image_text(b, "hand");
    origin[1].text = image_text(b, "model.nn:7: layer.op");
    h.target = b->target ? image_text(b, b->target) : 0;
    for (uint32_t k = 0; k < kernels; k++)
        kernel[k].name = b->kernel_name[k] ? image_text(b, b->kernel_name[k]) : h.model;
    for (uint32_t g = 0; g < b->graphs; g++)
        b->graph[g].launches_at =
            image_put(b, b->launch[g], b->graph[g].launch_count * sizeof b->launch[g][0]);
    h.slot_bytes = b->slot_bytes;
    h.slot_count = b->slots;
    h.slots_at = image_put(b, b->slot, b->slots * sizeof b->slot[0]);
    h.graph_count = b->graphs;
    h.graphs_at = image_put(b, b->graph, b->graphs * sizeof b->graph[0]);
    h.kernel_count = kernels;
    h.kernels_at = image_put(b, kernel, kernels * sizeof kernel[0]);
    h.origin_count = 2;
    h.origins_at = image_put(b, origin, sizeof origin);
    h.bytes = *bytes = b->t.n;
    memcpy(b->t.p, &h, sizeof h);
    return (struct nn_image *)(void *)b->t.p;
}

#endif
