/* The image: records of fixed layout, appended to one growing block; offsets, never pointers. */
#include "back/back.h"
#include "program/program_internal.h"

struct out {
    struct text t;
};

/* Room for n records at a multiple of 8, zeroed; its offset. */
static uint32_t room(struct out *o, size_t n, size_t size)
{
    static const char zero[64];
    size_t at = (o->t.n + 7) & ~(size_t)7, end = at + n * size;
    while (o->t.n < end)
        text_write(&o->t, zero, end - o->t.n < sizeof zero ? end - o->t.n : sizeof zero);
    CHECK(end < UINT32_MAX, "the image is too large");
    return (uint32_t)at;
}

static void put(struct out *o, uint32_t at, const void *p, size_t n)
{
    if (n)
        memcpy(o->t.p + at, p, n);
}

static uint32_t string(struct out *o, const char *s)
{
    size_t n = strlen(s) + 1;
    uint32_t at = room(o, n, 1);
    put(o, at, s, n);
    return at;
}

/* The sizes that follow from others; they stand behind those in the module. */
static void put_rules(struct out *o, const struct ir_module *m, struct nn_image *h)
{
    for (uint32_t i = 0; i < m->slots.n; i++)
        h->rule_count += m->slots.p[i].rule.op != NN_SIZE_GIVEN;
    h->rules_at = room(o, h->rule_count, sizeof(struct nn_rule_rec));
    for (uint32_t i = 0, n = 0; i < m->slots.n; i++) {
        const struct ir_slot *s = &m->slots.p[i];
        struct nn_rule_rec r = {.slot = i,
                                .op = s->rule.op,
                                .left = s->rule.left,
                                .right = s->rule.right,
                                .left_n = s->rule.left_n,
                                .right_n = s->rule.right_n,
                                .least = s->least,
                                .most = s->most};
        if (r.op != NN_SIZE_GIVEN)
            put(o, h->rules_at + n++ * (uint32_t)sizeof r, &r, sizeof r);
    }
}

static void put_slots(struct out *o, const struct ir_module *m, struct nn_image *h)
{
    uint64_t offset = 0;
    h->slot_count = m->slots.n;
    h->slots_at = room(o, m->slots.n, sizeof(struct nn_slot_rec));
    for (uint32_t i = 0; i < m->slots.n; i++) {
        const struct ir_slot *s = &m->slots.p[i];
        CHECK(s->rank <= NN_MAX_RANK, "slot %s has rank %u", s->name, s->rank);
        struct nn_slot_rec r = {.name = string(o, s->name),
                                .dtype = (uint8_t)s->dtype,
                                .rank = (uint8_t)s->rank,
                                .kind = s->kind,
                                .offset = offset,
                                .bytes = program_slot_bytes(s),
                                .identity = s->identity};
        for (uint32_t k = 0; k < s->rank; k++)
            r.dim[k] = s->dim[k];
        put(o, h->slots_at + i * (uint32_t)sizeof r, &r, sizeof r);
        offset += program_round(r.bytes);
    }
    h->slot_bytes = offset;
}

/* 0 where all axes are whole. */
static uint32_t put_extents(struct out *o, const struct ir_node *n)
{
    uint32_t rank = ir_rank(n), at;
    bool any = false;
    for (uint32_t k = 0; k < rank; k++)
        any = any || ir_axes(n)[k].live;
    if (!any)
        return 0;
    at = room(o, rank, sizeof(struct nn_extent_rec));
    for (uint32_t k = 0; k < rank; k++) {
        const struct ir_live *l = ir_axes(n)[k].live;
        struct nn_extent_rec r = {0};
        if (l)
            r = (struct nn_extent_rec){.slot = l->slot + 1,
                                       .by = l->by,
                                       .plus = l->plus,
                                       .over = l->over,
                                       .times = l->times,
                                       .more = l->more};
        put(o, at + k * (uint32_t)sizeof r, &r, sizeof r);
    }
    return at;
}

static void put_sizes(struct out *o, const struct ir_graph *g, struct nn_graph_rec *r)
{
    r->size_count = g->sizes.n;
    r->sizes_at = room(o, g->sizes.n, sizeof(struct nn_size_rec));
    for (uint32_t i = 0; i < g->sizes.n; i++) {
        const struct ir_size *x = &g->sizes.p[i];
        const struct ir_slot *s = x->slot ? &g->m->slots.p[x->slot - 1] : NULL;
        struct nn_size_rec z = {.name = string(o, x->name),
                                .slot = x->slot,
                                .least = s ? s->least : x->n,
                                .most = s ? s->most : x->n};
        put(o, r->sizes_at + i * (uint32_t)sizeof z, &z, sizeof z);
    }
}

static void put_ranges(struct out *o, const struct ir_graph *g, struct nn_graph_rec *r)
{
    r->range_count = g->ranges.n;
    r->ranges_at = room(o, g->ranges.n, sizeof(uint32_t));
    for (uint32_t i = 0; i < g->ranges.n; i++) {
        uint32_t rule = 0;
        for (uint32_t k = 0; k < g->ranges.p[i]; k++)
            rule += g->m->slots.p[k].rule.op != NN_SIZE_GIVEN;
        put(o, r->ranges_at + i * (uint32_t)sizeof rule, &rule, sizeof rule);
    }
}

static struct nn_value_rec value(struct out *o, const struct ir_node *n, const char *name)
{
    struct nn_value_rec r = {.name = string(o, name),
                             .dtype = n->dtype,
                             .rank = (uint8_t)ir_rank(n),
                             .bytes = (uint64_t)ir_count(n) * nn_dtype_size(n->dtype)};
    CHECK(ir_rank(n) <= NN_MAX_RANK, "%s has rank %u", name, ir_rank(n));
    for (uint32_t k = 0; k < ir_rank(n); k++)
        r.dim[k] = ir_axes(n)[k].n;
    r.extents_at = put_extents(o, n);
    return r;
}

/* A kernel's phases and figures. */
static void describe_kernel(struct out *o, const struct lo_kernel *k, struct nn_launch_rec *r)
{
    r->phase_count = k->phases.n;
    r->flops = k->flops;
    r->bytes = k->bytes;
    r->phases_at = room(o, k->phases.n, sizeof(struct nn_phase_rec));
    for (uint32_t f = 0; f < k->phases.n; f++) {
        struct nn_phase_rec ph = {.chunks = k->phases.p[f].chunks,
                                  .threads = (uint32_t)k->phases.p[f].threads,
                                  .shared = back_shared(k, f)};
        put(o, r->phases_at + f * (uint32_t)sizeof ph, &ph, sizeof ph);
    }
}

/* A library's matrix product has no phases. */
static void describe_gemm(struct out *o, const struct nn_gemm_rec *g, struct nn_launch_rec *r)
{
    double m = g->m, n = g->n, k = g->k, batch = (double)g->batch * g->groups;
    double result = m * n * (double)nn_dtype_size((enum nn_dtype)g->type_c);
    int results = 1 + !!(g->epilogue & NN_GEMM_ADD) + !!(g->epilogue & NN_GEMM_AUX);
    r->kind = NN_LAUNCH_GEMM;
    r->flops = 2 * m * n * k * batch;
    r->bytes = batch * (m * k * (double)nn_dtype_size((enum nn_dtype)g->type_a) +
                        k * n * (double)nn_dtype_size((enum nn_dtype)g->type_b) + result * results);
    r->gemm_at = room(o, 1, sizeof *g);
    put(o, r->gemm_at, g, sizeof *g);
    r->phases_at = room(o, 0, 1);
}

static void put_launches(struct out *o, const struct program *p, const struct program_graph *pg,
                         struct nn_graph_rec *r)
{
    r->launch_count = pg->launches.n;
    r->launches_at = room(o, pg->launches.n, sizeof(struct nn_launch_rec));
    for (uint32_t i = 0; i < pg->launches.n; i++) {
        const struct program_launch *l = &pg->launches.p[i];
        struct nn_launch_rec lr = {.kernel = l->kernel, .origin = l->origin, .arg_count = l->nargs};
        if (l->gemm)
            describe_gemm(o, l->gemm, &lr);
        else
            describe_kernel(o, p->kernels.p[l->kernel], &lr);
        lr.args_at = room(o, l->nargs, sizeof *l->arg);
        put(o, lr.args_at, l->arg, l->nargs * sizeof *l->arg);
        put(o, r->launches_at + i * (uint32_t)sizeof lr, &lr, sizeof lr);
    }
}

static void put_parts(const struct ir_module *m, const struct ir_graph *g, uint32_t launches,
                      struct nn_graph_rec *r)
{
    if (!g->part)
        return;
    uint32_t slot = ir_slot_find(m, g->part->name);
    r->parts = g->parts;
    r->part_launches = launches;
    for (uint32_t i = 0; i < slot; i++)
        r->part_at += program_round(program_slot_bytes(&m->slots.p[i]));
}

static void put_graphs(struct out *o, const struct program *p, struct nn_image *h)
{
    h->graph_count = p->graphs.n;
    h->graphs_at = room(o, p->graphs.n, sizeof(struct nn_graph_rec));
    for (uint32_t i = 0; i < p->graphs.n; i++) {
        const struct program_graph *pg = &p->graphs.p[i];
        const struct ir_graph *g = pg->g;
        struct nn_graph_rec r = {.name = string(o, g->name),
                                 .input_count = pg->inputs.n,
                                 .output_count = g->outputs.n,
                                 .arena_bytes = pg->arena_bytes,
                                 .scratch_bytes = pg->scratch_bytes};
        put_parts(p->m, g, pg->part_launches, &r);
        r.inputs_at = room(o, pg->inputs.n, sizeof(struct nn_value_rec));
        for (uint32_t k = 0; k < pg->inputs.n; k++) {
            const struct ir_node *n = ir_at(g->part ? g->part : g, pg->inputs.p[k]);
            struct nn_value_rec v = value(o, n, n->name);
            if (g->part && n->attr.i != IR_INPUT_WHOLE) { /* all parts' samples */
                v.dim[0] *= g->parts;
                v.bytes *= g->parts;
            }
            put(o, r.inputs_at + k * (uint32_t)sizeof v, &v, sizeof v);
        }
        r.outputs_at = room(o, g->outputs.n, sizeof(struct nn_value_rec));
        for (uint32_t k = 0; k < g->outputs.n; k++) {
            struct nn_value_rec v = value(o, ir_at(g, g->outputs.p[k].node), g->outputs.p[k].name);
            put(o, r.outputs_at + k * (uint32_t)sizeof v, &v, sizeof v);
        }
        put_sizes(o, g, &r);
        put_ranges(o, g, &r);
        put_launches(o, p, pg, &r);
        put(o, h->graphs_at + i * (uint32_t)sizeof r, &r, sizeof r);
    }
}

static void put_origins(struct out *o, const struct ir_module *m, struct nn_image *h)
{
    h->origin_count = m->origins.n;
    h->origins_at = room(o, m->origins.n, sizeof(struct nn_origin_rec));
    for (uint32_t i = 0; i < m->origins.n; i++) {
        const struct ir_origin *g = &m->origins.p[i];
        bool placed = m->diag && g->at.file;
        uint32_t column;
        struct nn_origin_rec r = {.line = placed ? diag_line(m->diag, g->at, &column) : 0};
        const char *file = placed ? diag_file_name(m->diag, g->at.file) : "";
        struct text t = {0};
        text_printf(&t, "%s", "");
        if (placed)
            text_printf(&t, "%s:%u: ", file, r.line);
        text_printf(&t, "%s", g->path ? g->path : "");
        r.text = string(o, t.p);
        r.file = string(o, file);
        text_free(&t);
        put(o, h->origins_at + i * (uint32_t)sizeof r, &r, sizeof r);
    }
}

struct nn_image *program_image(const struct program *p)
{
    struct out o = {{0}};
    struct nn_image h = {.magic = NN_IMAGE_MAGIC, .version = NN_IMAGE_VERSION};
    room(&o, 1, sizeof h);
    h.model = string(&o, p->m->name);
    h.target = p->target ? string(&o, p->target) : 0;
    put_slots(&o, p->m, &h);
    put_rules(&o, p->m, &h);
    put_graphs(&o, p, &h);
    h.kernel_count = p->kernels.n;
    h.kernels_at = room(&o, p->kernels.n, sizeof(struct nn_kernel_rec));
    for (uint32_t i = 0; i < p->kernels.n; i++) {
        struct nn_kernel_rec r = {.name = string(&o, p->kernels.p[i]->name)};
        put(&o, h.kernels_at + i * (uint32_t)sizeof r, &r, sizeof r);
    }
    put_origins(&o, p->m, &h);
    h.bytes = o.t.n;
    put(&o, 0, &h, sizeof h);
    return (struct nn_image *)(void *)o.t.p;
}
