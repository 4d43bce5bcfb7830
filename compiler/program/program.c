/* A graph's launches become a launch table: where each value lives, when, and at which offset. */
#include "back/back.h"
#include "program/program_internal.h"
#include <ctype.h>

struct program *program_new(struct ir_module *m)
{
    struct program *p = xcalloc(1, sizeof *p);
    p->m = m;
    p->mem = arena_new();
    return p;
}

void program_free(struct program *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->taken.n; i++)
        lower_free(p->taken.p[i]);
    for (uint32_t i = 0; i < p->graphs.n; i++) {
        vec_free(&p->graphs.p[i].launches);
        vec_free(&p->graphs.p[i].inputs);
        vec_free(&p->graphs.p[i].holders);
    }
    vec_free(&p->taken);
    vec_free(&p->graphs);
    vec_free(&p->kernels);
    arena_free(p->mem);
    free(p);
}

void program_for(struct program *p, const struct target *t)
{
    p->target = t->name;
    p->block = t->block;
}

struct lo_kernel *const *program_kernels(const struct program *p, size_t *n)
{
    *n = p->kernels.n;
    return p->kernels.p;
}

struct back_lines program_lines(const struct program *p)
{
    const struct ir_module *m = p->m;
    struct back_line *of = ARENA_ARRAY(p->mem, struct back_line, m->origins.n + 1);
    for (uint32_t i = 1; i < m->origins.n && m->diag; i++) {
        struct loc at = m->origins.p[i].at;
        uint32_t column;
        if (at.file)
            of[i] = (struct back_line){diag_file_name(m->diag, at.file),
                                       diag_line(m->diag, at, &column)};
    }
    return (struct back_lines){m->origins.n, of};
}

uint64_t program_slot_bytes(const struct ir_slot *s)
{
    uint64_t n = nn_dtype_size(s->dtype);
    for (uint32_t i = 0; i < s->rank; i++)
        n *= (uint64_t)s->dim[i];
    return n;
}

static uint64_t node_bytes(const struct ir_node *n)
{
    return (uint64_t)ir_count(n) * nn_dtype_size(n->dtype);
}

/* Where one graph's values live while it is being planned. */
struct plan {
    struct program *p;
    const struct ir_graph *g;
    struct low_launches *l;
    uint32_t *order;
    struct nn_arg_rec *home; /* for each node; arena: the number of its buffer in `buffers` */
    bool *has_home;
    VEC(struct program_buffer) buffers;
    uint64_t *slot_at;
    uint32_t own;         /* launches that lower/ made; copies come after them */
    VEC(uint32_t) copied; /* the slot that the i-th copy writes */
};

static void set_home(struct plan *q, ir_id id, enum nn_space space, uint64_t at)
{
    q->home[id] = (struct nn_arg_rec){.space = (uint32_t)space, .offset = at};
    q->has_home[id] = true;
}

/* The graph's input of that name, a new one if there is none yet. */
static uint32_t input_number(const struct ir_graph *g, struct program_graph *pg, ir_id id)
{
    uint32_t i = 0;
    while (i < pg->inputs.n && strcmp(ir_at(g, pg->inputs.p[i])->name, ir_at(g, id)->name) != 0)
        i++;
    if (i == pg->inputs.n)
        vec_push(&pg->inputs, id);
    return i;
}

/* Inputs, slots read, outputs and what is updated in place have homes outside the arena. */
static void fixed_homes(struct plan *q, const bool *direct, struct program_graph *pg)
{
    const struct ir_graph *g = q->g;
    for (ir_id i = 1; i < g->nodes.n; i++) {
        const struct ir_node *n = ir_at(g, i);
        if (n->op == IR_input) {
            set_home(q, i, NN_SPACE_INPUT, input_number(g, pg, i));
            q->home[i].whole = n->attr.i == IR_INPUT_WHOLE;
        } else if (n->op == IR_slot) {
            set_home(q, i, NN_SPACE_SLOT, q->slot_at[n->attr.i]);
        }
    }
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        CHECK(!q->has_home[g->outputs.p[i].node], "output %s has no node of its own",
              g->outputs.p[i].name);
        set_home(q, g->outputs.p[i].node, NN_SPACE_OUTPUT, i);
    }
    for (uint32_t u = 0; u < g->updates.n; u++) {
        CHECK(!q->has_home[g->updates.p[u].node], "update of %s has no node of its own",
              g->m->slots.p[g->updates.p[u].slot].name);
        if (direct[u])
            set_home(q, g->updates.p[u].node, NN_SPACE_SLOT, q->slot_at[g->updates.p[u].slot]);
    }
}

static uint32_t new_buffer(struct plan *q, uint64_t bytes, uint32_t when, uint32_t origin, bool own)
{
    struct program_buffer b = {program_round(bytes), 0, when, when, origin, own};
    vec_push(&q->buffers, b);
    return q->buffers.n - 1;
}

/* The last launch (in the order) that touches each node. */
static uint32_t *last_uses(const struct plan *q)
{
    uint32_t *last = xcalloc(q->g->nodes.n, sizeof *last);
    for (uint32_t i = 0; i < q->l->p.n; i++) {
        const struct low_launch *l = &q->l->p.p[q->order[i]];
        for (uint32_t k = 0; k < l->args.n; k++)
            if (l->args.p[k].node)
                last[l->args.p[k].node] = i;
    }
    return last;
}

/* A value written here may take the place of one of its size that is read for the last time here,
 * element by element. */
static uint32_t reuse(struct plan *q, const struct low_launch *l, const uint32_t *last,
                      uint32_t when, uint64_t bytes)
{
    for (uint32_t k = 0; k < l->args.n; k++) {
        const struct low_arg *a = &l->args.p[k];
        if (!a->node || a->write || !a->pointwise || last[a->node] != when)
            continue;
        const struct nn_arg_rec *h = &q->home[a->node];
        if (!q->has_home[a->node] || h->space != NN_SPACE_ARENA)
            continue;
        struct program_buffer *b = &q->buffers.p[h->offset];
        if (b->to == when && b->from < when && b->bytes == program_round(bytes) &&
            node_bytes(ir_at(q->g, a->node)) == bytes)
            return (uint32_t)h->offset;
    }
    return UINT32_MAX;
}

/* Buffers for what the launches write, in order; `temp[i][k]` are launch i's temporaries. */
static void arena_homes(struct plan *q, uint32_t **temp)
{
    uint32_t *last = last_uses(q);
    for (uint32_t i = 0; i < q->l->p.n; i++) {
        const struct low_launch *l = &q->l->p.p[q->order[i]];
        temp[i] = xcalloc(l->args.n, sizeof **temp);
        for (uint32_t k = 0; k < l->args.n; k++) {
            const struct low_arg *a = &l->args.p[k];
            if (!a->node) {
                temp[i][k] = new_buffer(q, (uint64_t)a->bytes, i, l->origin, true);
                continue;
            }
            if (!a->write || q->has_home[a->node])
                continue;
            uint64_t bytes = node_bytes(ir_at(q->g, a->node));
            uint32_t b = reuse(q, l, last, i, bytes);
            if (b == UINT32_MAX)
                b = new_buffer(q, bytes, i, ir_at(q->g, a->node)->origin, false);
            q->buffers.p[b].to = last[a->node];
            set_home(q, a->node, NN_SPACE_ARENA, b);
        }
    }
    free(last);
}

/* By a GPU's blocks of `block` threads, four elements each. */
static void copy_block(struct lo_builder *b, uint32_t from, uint32_t to, int64_t count,
                       uint32_t block)
{
    struct lo_type index = {NN_i64, 4};
    lo_id chunk = lo_phase_gpu(b, (count + 4 * block - 1) / (4 * block), (int32_t)block);
    struct lo_lin at = lo_lin_add(b, lo_lin_mul(b, lo_lin_v(b, chunk), 4 * block),
                                  lo_lin_mul(b, lo_lin_v(b, lo_thread(b)), 4));
    lo_id mask = lo_op(b, IR_lt, index, lo_lanes(b, index, at), lo_const_i(b, index, count), 0);
    lo_store(b, to, at, lo_load(b, from, at, 4, mask, 0), mask);
    lo_end(b);
}

/* A kernel that copies `count` elements, for an update that could not be made in place. */
static struct lo_kernel *copy_kernel(const struct program *p, enum nn_dtype t, int64_t count)
{
    struct lo_kernel *k = lo_kernel_new("copy");
    struct lo_builder b = {.k = k};
    struct lo_type type = {(uint8_t)t, 1};
    uint32_t from = lo_buffer(k, LO_ARG, "from", type, count);
    uint32_t to = lo_buffer(k, LO_ARG, "to", type, count);
    if (p->block) {
        copy_block(&b, from, to, count, p->block);
        return k;
    }
    lo_phase(&b, 1);
    lo_id i = lo_for(&b, LO_SERIAL, lo_lin_c(0), lo_lin_c(count), 1);
    lo_store(&b, to, lo_lin_v(&b, i), lo_load(&b, from, lo_lin_v(&b, i), 1, 0, 0), 0);
    lo_end(&b);
    lo_end(&b);
    return k;
}

/* Updates that are not direct: their values are copied into the slots after all launches. */
static void append_copies(struct plan *q, bool *direct)
{
    for (uint32_t u = 0; u < q->g->updates.n; u++) {
        if (direct[u])
            continue;
        ir_id id = q->g->updates.p[u].node;
        const struct ir_node *n = ir_at(q->g, id);
        struct low_launch l = {.kernel = copy_kernel(q->p, n->dtype, ir_count(n)),
                               .origin = n->origin};
        vec_push(&l.args, ((struct low_arg){.node = id}));
        vec_push(&l.args, ((struct low_arg){.write = true}));
        vec_push(&q->l->p, l);
        vec_push(&q->copied, q->g->updates.p[u].slot);
    }
}

/* What the runtime's search for NaN asks: temporaries are written in parts only, it leaves them
 * out. */
static void describe(struct nn_arg_rec *r, const struct low_launch *l, uint32_t k)
{
    const struct low_arg *a = &l->args.p[k];
    const struct nn_gemm_rec *g = l->gemm;
    r->dtype = g ? (k == 0   ? g->type_a
                    : k == 1 ? g->type_b
                             : g->type_c)
                 : l->kernel->buffers.p[k + 1].type.dtype;
    r->written = a->write && (a->node || r->space == NN_SPACE_SLOT);
}

/* The kernel becomes one of the program's, under a name of its own that is a symbol everywhere. */
static uint32_t take_kernel(struct program *p, struct lo_kernel *k)
{
    char *name = arena_printf(k->mem, "k%u_%s", p->kernels.n, k->name);
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c))
            *c = '_';
    k->name = name;
    vec_push(&p->kernels, k);
    return p->kernels.n - 1;
}

static void emit_launches(struct plan *q, uint32_t *const *temp, struct program_graph *pg)
{
    for (uint32_t i = 0; i < q->l->p.n; i++) {
        struct low_launch *l = &q->l->p.p[q->order[i]];
        struct program_launch out = {.gemm = l->gemm, .origin = l->origin, .nargs = l->args.n};
        out.arg = ARENA_ARRAY(q->p->mem, struct nn_arg_rec, l->args.n);
        if (l->kernel)
            out.kernel = take_kernel(q->p, l->kernel);
        for (uint32_t k = 0; k < l->args.n; k++) {
            const struct low_arg *a = &l->args.p[k];
            if (q->order[i] >= q->own && a->write) {
                uint32_t slot = q->copied.p[q->order[i] - q->own];
                out.arg[k] =
                    (struct nn_arg_rec){.space = NN_SPACE_SLOT,
                                        .offset = q->slot_at[slot],
                                        .bytes = program_slot_bytes(&q->p->m->slots.p[slot])};
                describe(&out.arg[k], l, k);
                continue;
            }
            CHECK(!a->node || q->has_home[a->node], "graph %s: %%%u is read and never written",
                  q->g->name, a->node);
            out.arg[k] = a->node
                             ? q->home[a->node]
                             : (struct nn_arg_rec){.space = NN_SPACE_ARENA, .offset = temp[i][k]};
            out.arg[k].bytes = a->node ? node_bytes(ir_at(q->g, a->node)) : (uint64_t)a->bytes;
            if (out.arg[k].space == NN_SPACE_ARENA)
                out.arg[k].offset = q->buffers.p[out.arg[k].offset].offset;
            describe(&out.arg[k], l, k);
        }
        uint64_t scratch = l->kernel ? back_scratch(l->kernel) : 0;
        if (scratch > pg->scratch_bytes)
            pg->scratch_bytes = scratch;
        vec_push(&pg->launches, out);
    }
}

static int larger_first(const void *x, const void *y)
{
    const struct program_holder *a = x, *b = y;
    return (a->bytes < b->bytes) - (a->bytes > b->bytes);
}

/* What is alive at the launch where most is. */
static void note_holders(const struct plan *q, struct program_graph *pg)
{
    uint64_t most = 0;
    uint32_t when = 0;
    for (uint32_t i = 0; i < q->l->p.n; i++) {
        uint64_t sum = 0;
        for (uint32_t k = 0; k < q->buffers.n; k++)
            if (q->buffers.p[k].from <= i && i <= q->buffers.p[k].to)
                sum += q->buffers.p[k].bytes;
        when = sum > most ? i : when;
        most = sum > most ? sum : most;
    }
    pg->holders.n = 0;
    for (uint32_t k = 0; k < q->buffers.n; k++) {
        const struct program_buffer *b = &q->buffers.p[k];
        if (b->from <= when && when <= b->to)
            vec_push(&pg->holders, ((struct program_holder){b->bytes, b->origin, b->own}));
    }
    qsort(pg->holders.p, pg->holders.n, sizeof *pg->holders.p, larger_first);
}

/* Adds the launches of g: the program's graph itself, or its part. */
static void plan_launches(struct program *p, struct ir_graph *g, struct low_launches *l,
                          struct program_graph *pg)
{
    struct plan q = {.p = p, .g = g, .l = l, .own = l->p.n};
    bool *direct = xcalloc(g->updates.n, sizeof *direct);
    q.order = program_order(g, l, direct);
    append_copies(&q, direct);
    q.order = xrealloc(q.order, l->p.n * sizeof *q.order);
    for (uint32_t i = q.own; i < l->p.n; i++)
        q.order[i] = i;
    q.home = xcalloc(g->nodes.n, sizeof *q.home);
    q.has_home = xcalloc(g->nodes.n, sizeof *q.has_home);
    q.slot_at = xcalloc(p->m->slots.n + 1, sizeof *q.slot_at);
    for (uint32_t i = 0; i < p->m->slots.n; i++)
        q.slot_at[i + 1] = q.slot_at[i] + program_round(program_slot_bytes(&p->m->slots.p[i]));
    uint32_t **temp = xcalloc(l->p.n, sizeof *temp);
    fixed_homes(&q, direct, pg);
    arena_homes(&q, temp);
    uint64_t arena = program_plan_arena(q.buffers.p, q.buffers.n);
    emit_launches(&q, temp, pg);
    if (arena > pg->arena_bytes)
        note_holders(&q, pg);
    pg->arena_bytes = arena > pg->arena_bytes ? arena : pg->arena_bytes;
    vec_push(&p->taken, l);
    for (uint32_t i = 0; i < l->p.n; i++)
        free(temp[i]);
    free(temp);
    free(q.order);
    free(direct);
    free(q.home);
    free(q.has_home);
    free(q.slot_at);
    vec_free(&q.buffers);
    vec_free(&q.copied);
}

void program_add(struct program *p, struct ir_graph *g, struct low_launches *part,
                 struct low_launches *l)
{
    struct program_graph pg = {.g = g};
    if (part)
        plan_launches(p, g->part, part, &pg);
    pg.part_launches = pg.launches.n;
    plan_launches(p, g, l, &pg);
    vec_push(&p->graphs, pg);
}

/* Of the inputs that are copied into memory laid out for the largest sizes. */
static uint64_t sized_inputs(const struct program_graph *pg)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < pg->inputs.n; i++) {
        const struct ir_node *n = ir_at(pg->g->part ? pg->g->part : pg->g, pg->inputs.p[i]);
        bool sized = false;
        for (uint32_t k = 0; k < n->nd; k++)
            sized = sized || n->dom[k].live;
        bytes += sized ? (node_bytes(n) + 63) / 64 * 64 : 0;
    }
    return bytes;
}

struct program_memory program_memory(const struct program *p)
{
    struct program_memory m = {0};
    for (uint32_t i = 0; i < p->m->slots.n; i++)
        m.slots += program_round(program_slot_bytes(&p->m->slots.p[i]));
    for (uint32_t i = 0; i < p->graphs.n; i++) {
        const struct program_graph *pg = &p->graphs.p[i];
        m.arena = pg->arena_bytes > m.arena ? pg->arena_bytes : m.arena;
        for (uint32_t k = 0; k < pg->g->outputs.n; k++)
            m.outputs += (node_bytes(ir_at(pg->g, pg->g->outputs.p[k].node)) + 63) / 64 * 64;
        uint64_t inputs = sized_inputs(pg);
        m.inputs = inputs > m.inputs ? inputs : m.inputs;
    }
    return m;
}

const struct program_holder *program_holders(const struct program *p, size_t *n)
{
    const struct program_graph *pg = p->graphs.n ? &vec_last(&p->graphs) : NULL;
    *n = pg ? pg->holders.n : 0;
    return pg ? pg->holders.p : NULL;
}
