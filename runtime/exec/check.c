/* Checks an image before anything of it is used: any bytes give a message, never a crash. */
#include "common.h"
#include "exec/exec.h"

#include <string.h>

struct check {
    const unsigned char *base;
    size_t bytes;
    const struct nn_image *i;
    struct nn_message *m;
};

static enum nn_status damaged(const struct check *c, const char *what, uint64_t which)
{
    return nn_fail(c->m, NN_REFUSED, "the image is damaged: %s %llu", what,
                   (unsigned long long)which);
}

static bool span(const struct check *c, uint32_t at, uint32_t count, size_t size)
{
    return at % 8 == 0 && at <= c->bytes && count <= (c->bytes - at) / size;
}

static bool text(const struct check *c, uint32_t at)
{
    return at < c->bytes && memchr(c->base + at, 0, c->bytes - at);
}

static bool tensor(uint8_t dtype, uint8_t rank, const int64_t *dim, uint64_t bytes)
{
    size_t n;
    return dtype < NN_DTYPE_COUNT && rank <= NN_MAX_RANK &&
           nn_tensor_bytes((enum nn_dtype)dtype, rank, dim, &n) && n == bytes;
}

static bool inside(uint64_t offset, uint64_t bytes, uint64_t whole)
{
    return offset <= whole && bytes <= whole - offset;
}

static enum nn_status check_header(const struct check *c)
{
    const struct nn_image *i = c->i;
    if (c->bytes < sizeof *i || (uintptr_t)c->base % 8)
        return nn_fail(c->m, NN_REFUSED, "not an image: too short or not aligned");
    if (i->magic != NN_IMAGE_MAGIC)
        return nn_fail(c->m, NN_REFUSED, "not an image: the first bytes are others");
    if (i->version != NN_IMAGE_VERSION)
        return nn_fail(c->m, NN_REFUSED, "the image has version %u, this runtime runs version %d",
                       i->version, NN_IMAGE_VERSION);
    if (i->bytes != c->bytes)
        return nn_fail(c->m, NN_REFUSED, "the image has %zu bytes and says %llu", c->bytes,
                       (unsigned long long)i->bytes);
    if (!text(c, i->model))
        return damaged(c, "model name", 0);
    if (i->target && !text(c, i->target))
        return damaged(c, "target name", 0);
    if (!span(c, i->slots_at, i->slot_count, sizeof(struct nn_slot_rec)) ||
        !span(c, i->graphs_at, i->graph_count, sizeof(struct nn_graph_rec)) ||
        !span(c, i->kernels_at, i->kernel_count, sizeof(struct nn_kernel_rec)) ||
        !span(c, i->origins_at, i->origin_count, sizeof(struct nn_origin_rec)) ||
        !span(c, i->rules_at, i->rule_count, sizeof(struct nn_rule_rec)))
        return damaged(c, "a table ends beyond the image", 0);
    return NN_OK;
}

static bool is_size(const struct check *c, uint32_t slot)
{
    return slot && slot <= c->i->slot_count && nn_image_slots(c->i)[slot - 1].kind == NN_SLOT_SIZE;
}

static bool near_zero(int64_t v) { return v >= -INT32_MAX && v <= INT32_MAX; }

static bool rule(const struct check *c, const struct nn_rule_rec *r)
{
    return r->slot < c->i->slot_count && is_size(c, r->slot + 1) && r->op > NN_SIZE_GIVEN &&
           r->op <= NN_SIZE_QUOTIENT && (!r->left || is_size(c, r->left)) &&
           (!r->right || is_size(c, r->right)) && near_zero(r->left_n) && near_zero(r->right_n) &&
           near_zero(r->least) && near_zero(r->most) && r->least <= r->most;
}

static enum nn_status check_tables(const struct check *c)
{
    const struct nn_image *i = c->i;
    const struct nn_slot_rec *slot = nn_image_slots(i);
    for (uint32_t s = 0; s < i->slot_count; s++)
        if (!text(c, slot[s].name) || slot[s].kind > NN_SLOT_SIZE ||
            (slot[s].kind == NN_SLOT_SIZE && (slot[s].dtype != NN_i64 || slot[s].rank)) ||
            slot[s].offset % NN_IMAGE_ALIGN ||
            !tensor(slot[s].dtype, slot[s].rank, slot[s].dim, slot[s].bytes) ||
            !inside(slot[s].offset, slot[s].bytes, i->slot_bytes))
            return damaged(c, "slot", s);
    const struct nn_kernel_rec *k = nn_image_kernels(i);
    for (uint32_t n = 0; n < i->kernel_count; n++)
        if (!text(c, k[n].name))
            return damaged(c, "kernel", n);
    const struct nn_origin_rec *o = nn_image_origins(i);
    for (uint32_t n = 0; n < i->origin_count; n++)
        if (!text(c, o[n].text) || (o[n].file && !text(c, o[n].file)))
            return damaged(c, "origin", n);
    const struct nn_rule_rec *r = nn_image_rules(i);
    for (uint32_t n = 0; n < i->rule_count; n++)
        if (!rule(c, &r[n]))
            return damaged(c, "rule of sizes", n);
    return NN_OK;
}

static bool sizes(const struct check *c, const struct nn_graph_rec *g)
{
    if (!span(c, g->sizes_at, g->size_count, sizeof(struct nn_size_rec)))
        return false;
    const struct nn_size_rec *z = nn_image_at(c->i, g->sizes_at);
    for (uint32_t n = 0; n < g->size_count; n++)
        if (!text(c, z[n].name) || z[n].least < 1 || z[n].least > z[n].most ||
            z[n].most > INT32_MAX || (z[n].slot ? !is_size(c, z[n].slot) : z[n].least != z[n].most))
            return false;
    if (!span(c, g->ranges_at, g->range_count, sizeof(uint32_t)))
        return false;
    const uint32_t *range = nn_image_at(c->i, g->ranges_at);
    for (uint32_t n = 0; n < g->range_count; n++)
        if (range[n] >= c->i->rule_count)
            return false;
    return true;
}

/* The extent at the largest size, where all of it fits; smaller ones then fit too. */
static bool most_of(const struct nn_extent_rec *x, int64_t size, int64_t *v)
{
    return !__builtin_mul_overflow(x->by, size, v) && !__builtin_add_overflow(*v, x->plus, v) &&
           !__builtin_mul_overflow(*v / x->over, x->times, v) &&
           !__builtin_add_overflow(*v, x->more, v);
}

/* The least and the largest value of a slot of sizes: what the graph takes, or what follows. */
static bool range_of(const struct check *c, const struct nn_graph_rec *g, uint32_t slot,
                     int64_t *least, int64_t *most)
{
    const struct nn_size_rec *z = nn_image_at(c->i, g->sizes_at);
    const struct nn_rule_rec *r = nn_image_rules(c->i);
    for (uint32_t n = 0; n < g->size_count; n++)
        if (z[n].slot == slot) {
            *least = z[n].least;
            *most = z[n].most;
            return true;
        }
    for (uint32_t n = 0; n < c->i->rule_count; n++)
        if (r[n].slot + 1 == slot) {
            *least = r[n].least;
            *most = r[n].most;
            return true;
        }
    return false;
}

/* For every size that the graph takes an axis ends within its dim. */
static bool extents(const struct check *c, const struct nn_graph_rec *g,
                    const struct nn_value_rec *v)
{
    enum { LARGEST = 1 << 30 };
    if (!v->extents_at)
        return true;
    if (!span(c, v->extents_at, v->rank, sizeof(struct nn_extent_rec)))
        return false;
    const struct nn_extent_rec *x = nn_image_at(c->i, v->extents_at);
    for (uint32_t k = 0; k < v->rank; k++) {
        int64_t least, largest, most;
        if (!x[k].slot)
            continue;
        if (!range_of(c, g, x[k].slot, &least, &largest) || x[k].by < 1 || x[k].over < 1 ||
            x[k].times < 1 || x[k].plus > LARGEST || x[k].plus < -LARGEST || x[k].more > LARGEST ||
            x[k].more < -LARGEST || !most_of(&x[k], largest, &most) || most > v->dim[k] ||
            nn_extent(&x[k], least) < 0)
            return false;
    }
    return true;
}

static enum nn_status check_values(const struct check *c, const struct nn_graph_rec *g, uint32_t at,
                                   uint32_t count)
{
    if (!span(c, at, count, sizeof(struct nn_value_rec)))
        return damaged(c, "a list of inputs or outputs ends beyond the image", 0);
    const struct nn_value_rec *v = nn_image_at(c->i, at);
    for (uint32_t n = 0; n < count; n++)
        if (!text(c, v[n].name) || v[n].limit < 0 ||
            !tensor(v[n].dtype, v[n].rank, v[n].dim, v[n].bytes) || !extents(c, g, &v[n]))
            return damaged(c, "input or output", n);
    return NN_OK;
}

/* Arguments into slots and arena must fit there; inputs and outputs are whole values, of inputs
 * that go through in parts one part's, unless it is read whole. `rest`: launches that follow the
 * parts. */
static bool argument(const struct check *c, const struct nn_graph_rec *g, bool rest,
                     const struct nn_arg_rec *a)
{
    const struct nn_value_rec *in = nn_image_at(c->i, g->inputs_at);
    const struct nn_value_rec *out = nn_image_at(c->i, g->outputs_at);
    bool divided = g->parts > 1 && !a->whole;
    if (a->dtype >= NN_DTYPE_COUNT || a->written > 1 || a->whole > 1 ||
        (a->whole && a->space != NN_SPACE_INPUT))
        return false;
    switch ((enum nn_space)a->space) {
    case NN_SPACE_SLOT:
        return a->offset % NN_IMAGE_ALIGN == 0 && inside(a->offset, a->bytes, c->i->slot_bytes);
    case NN_SPACE_ARENA:
        return a->offset % NN_IMAGE_ALIGN == 0 && inside(a->offset, a->bytes, g->arena_bytes);
    case NN_SPACE_INPUT:
        return a->offset < g->input_count && !a->written && !rest &&
               a->bytes <= in[a->offset].bytes / (divided ? g->parts : 1);
    case NN_SPACE_OUTPUT: return a->offset < g->output_count && a->bytes <= out[a->offset].bytes;
    }
    return false;
}

/* How matrices of rows x columns elements lie: from row to row, in a batch, in groups of batches.
 */
struct extent {
    int64_t rows, columns, ld, stride, batch, jump, groups, at;
};

/* Takes `count` - 1 steps off what is left; false: it is too little. */
static bool take(uint64_t *left, int64_t count, int64_t step)
{
    if (step < 0 || (step && (uint64_t)(count - 1) > *left / (uint64_t)step))
        return false;
    *left -= (uint64_t)(count - 1) * (uint64_t)step;
    return true;
}

static bool matrix(struct extent e, uint8_t dtype, uint64_t bytes)
{
    uint64_t left = bytes / nn_dtype_size((enum nn_dtype)dtype);
    if (!e.rows || !e.columns || !e.batch || !e.groups)
        return true;
    return e.ld >= e.columns && e.at >= 0 && (uint64_t)e.columns <= left &&
           (left -= (uint64_t)e.columns, (uint64_t)e.at <= left) &&
           (left -= (uint64_t)e.at, take(&left, e.rows, e.ld)) && take(&left, e.batch, e.stride) &&
           take(&left, e.groups, e.jump);
}

/* C and what lies as C does; the bias is one row. */
static bool results(const struct nn_gemm_rec *g, const struct nn_arg_rec *a)
{
    struct extent c = {g->m, g->n, g->ldc, g->stride_c, g->batch, g->jump_c, g->groups, g->at_c};
    struct extent row = {1, g->n, g->n, 0, 1, 0, 1, g->at_bias};
    uint32_t next = 3;
    bool ok = a[2].written && matrix(c, g->type_c, a[2].bytes);
    for (int bit = NN_GEMM_ADD; ok && bit <= NN_GEMM_AUX; bit *= 2) {
        if (!(g->epilogue & bit))
            continue;
        ok = a[next].dtype == g->type_c && a[next].written == (bit == NN_GEMM_AUX) &&
             matrix(bit == NN_GEMM_BIAS ? row : c, g->type_c, a[next].bytes);
        next++;
    }
    return ok;
}

static uint32_t arguments(const struct nn_gemm_rec *g)
{
    return 3u + !!(g->epilogue & NN_GEMM_ADD) + !!(g->epilogue & NN_GEMM_BIAS) +
           !!(g->epilogue & NN_GEMM_AUX);
}

static bool gemm(const struct check *c, const struct nn_launch_rec *l)
{
    if (!span(c, l->gemm_at, 1, sizeof(struct nn_gemm_rec)) || l->phase_count)
        return false;
    const struct nn_gemm_rec *g = nn_image_at(c->i, l->gemm_at);
    const struct nn_arg_rec *a = nn_image_at(c->i, l->args_at);
    if (g->m < 0 || g->n < 0 || g->k < 0 || g->batch < 0 || g->groups < 0 || g->trans_a > 1 ||
        g->trans_b > 1 || g->compute > NN_GEMM_F64 || g->epilogue > NN_GEMM_ALL ||
        l->arg_count != arguments(g) || (g->epilogue && g->type_c != NN_f32) ||
        g->type_a != a[0].dtype || g->type_b != a[1].dtype || g->type_c != a[2].dtype)
        return false;
    struct extent x = {g->trans_a ? g->k : g->m,
                       g->trans_a ? g->m : g->k,
                       g->lda,
                       g->stride_a,
                       g->batch,
                       g->jump_a,
                       g->groups,
                       g->at_a};
    struct extent y = {g->trans_b ? g->n : g->k,
                       g->trans_b ? g->k : g->n,
                       g->ldb,
                       g->stride_b,
                       g->batch,
                       g->jump_b,
                       g->groups,
                       g->at_b};
    return matrix(x, g->type_a, a[0].bytes) && matrix(y, g->type_b, a[1].bytes) && results(g, a);
}

/* A block that every GPU might run: whole warps, at most 1024 threads; a grid's blocks fit 31 bits.
 */
static bool phase(const struct nn_phase_rec *p)
{
    enum { THREADS = 1024, SHARED = 1 << 20 };
    if (p->chunks < 0)
        return false;
    return p->threads ? p->threads % 32 == 0 && p->threads <= THREADS && p->shared <= SHARED &&
                            p->chunks <= INT32_MAX
                      : p->shared == 0;
}

static enum nn_status check_launch(const struct check *c, const struct nn_graph_rec *g, uint32_t n)
{
    const struct nn_launch_rec *l = nn_image_at(c->i, g->launches_at);
    l += n;
    if (l->kind > NN_LAUNCH_GEMM || (l->origin && l->origin >= c->i->origin_count) ||
        (l->kind == NN_LAUNCH_KERNEL ? l->kernel >= c->i->kernel_count : l->kernel != 0) ||
        !span(c, l->args_at, l->arg_count, sizeof(struct nn_arg_rec)) ||
        !span(c, l->phases_at, l->phase_count, sizeof(struct nn_phase_rec)))
        return damaged(c, "launch", n);
    const struct nn_arg_rec *a = nn_image_at(c->i, l->args_at);
    for (uint32_t k = 0; k < l->arg_count; k++)
        if (!argument(c, g, g->parts > 1 && n >= g->part_launches, &a[k]))
            return damaged(c, "an argument of launch", n);
    if (l->kind == NN_LAUNCH_GEMM && !gemm(c, l))
        return damaged(c, "the matrix product of launch", n);
    const struct nn_phase_rec *p = nn_image_at(c->i, l->phases_at);
    for (uint32_t k = 0; k < l->phase_count; k++)
        if (!phase(&p[k]))
            return damaged(c, "a phase of launch", n);
    return NN_OK;
}

/* Every input divides into the parts; the part's number has its place. */
static bool parts(const struct check *c, const struct nn_graph_rec *g)
{
    const struct nn_value_rec *in = nn_image_at(c->i, g->inputs_at);
    if (g->parts <= 1)
        return !g->part_launches && !g->part_at;
    for (uint32_t i = 0; i < g->input_count; i++)
        if (!in[i].rank || in[i].dim[0] < 1 || in[i].dim[0] % (int64_t)g->parts)
            return false;
    return g->input_count && g->parts <= INT32_MAX && g->part_launches <= g->launch_count &&
           g->part_at % 4 == 0 && inside(g->part_at, sizeof(int32_t), c->i->slot_bytes);
}

static enum nn_status check_graph(const struct check *c, uint32_t n)
{
    const struct nn_graph_rec *g = nn_image_graphs(c->i) + n;
    if (!text(c, g->name) ||
        !span(c, g->launches_at, g->launch_count, sizeof(struct nn_launch_rec)))
        return damaged(c, "graph", n);
    if (!sizes(c, g))
        return damaged(c, "the sizes of graph", n);
    enum nn_status s = check_values(c, g, g->inputs_at, g->input_count);
    if (!s)
        s = check_values(c, g, g->outputs_at, g->output_count);
    if (!s && !parts(c, g))
        s = damaged(c, "the parts of graph", n);
    for (uint32_t l = 0; !s && l < g->launch_count; l++)
        s = check_launch(c, g, l);
    return s;
}

enum nn_status nn_image_check(const void *image, size_t bytes, struct nn_message *m)
{
    struct check c = {.base = image, .bytes = bytes, .i = image, .m = m};
    enum nn_status s = check_header(&c);
    if (!s)
        s = check_tables(&c);
    for (uint32_t g = 0; !s && g < c.i->graph_count; g++)
        s = check_graph(&c, g);
    return s;
}
