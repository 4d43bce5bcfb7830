/* Teams of threads: where a thread stands in its team and block, and how values of a team's threads
 * meet: within a warp by shuffles, past it (or where a team's threads lie apart) in shared memory
 * around one barrier for all values that meet at once. */
#include "lower/gpu.h"

lo_id gpu_below(struct sk *s, struct lo_lin x, int64_t n)
{
    struct lo_builder *b = &s->b;
    return lo_op(b, IR_lt, GPU_I64, lo_value(b, x), lo_const_i(b, GPU_I64, n), 0);
}

void gpu_split(struct sk *s, struct lo_lin x, int64_t n, struct lo_lin *hi, struct lo_lin *lo)
{
    struct lo_builder *b = &s->b;
    if (n == 1) {
        *hi = x;
        *lo = lo_lin_c(0);
        return;
    }
    lo_id v = lo_value(b, x);
    *hi = lo_lin_v(b, sk_divide(s, IX_DIV, GPU_I64, v, n));
    *lo = lo_lin_v(b, sk_divide(s, IX_MOD, GPU_I64, v, n));
}

struct gpu_team gpu_team(struct sk *s, lo_id thread, uint32_t threads, bool along, int64_t count)
{
    struct gpu_team t = {.along = along, .count = count, .group = (int64_t)threads / count};
    struct lo_lin all = lo_lin_v(&s->b, thread);
    if (t.group == 1) {
        t.t = all;
        t.g = lo_lin_c(0);
    } else if (count == 1) {
        t.t = lo_lin_c(0);
        t.g = all;
    } else if (along) {
        gpu_split(s, all, count, &t.g, &t.t);
    } else {
        gpu_split(s, all, t.group, &t.t, &t.g);
    }
    return t;
}

/* ---- meeting ---- */

/* Small integers meet as i32, where `any` is a maximum and `all` a minimum. */
static enum nn_dtype widened(enum nn_dtype t) { return nn_dtype_size(t) < 4 ? NN_i32 : t; }

static enum ir_monoid widened_monoid(enum ir_monoid m)
{
    return m == IRM_any ? IRM_max : m == IRM_all ? IRM_min : m;
}

static enum nn_dtype type_of(const struct sk *s, lo_id v) { return s->b.k->insns.p[v].type.dtype; }

static uint32_t meeting_place(struct sk *s, lo_id v, int64_t count)
{
    struct lo_type t = {type_of(s, v), 1};
    return lo_buffer(s->b.k, LO_SHARED, "meet", t, count);
}

/* A warp's sum at its number; all warps of the team then fold them by shuffles again. */
static void meet_along(struct sk *s, lo_id thread, const struct gpu_team *team, struct gpu_meet *p,
                       uint32_t n)
{
    struct lo_builder *b = &s->b;
    int64_t count = team->count < 32 ? team->count : 32, warps = team->count / 32;
    for (uint32_t i = 0; i < n; i++)
        p[i].v = lo_warp_fold(b, p[i].m, p[i].v, (int)count);
    if (warps < 2)
        return;
    struct lo_lin warp, lane, first, turn, place;
    gpu_split(s, lo_lin_v(b, thread), 32, &warp, &lane);
    gpu_split(s, lane, warps, &first, &turn);
    uint32_t *buf = xcalloc(n, sizeof *buf);
    for (uint32_t i = 0; i < n; i++)
        buf[i] = meeting_place(s, p[i].v, team->group * warps);
    lo_if(b, lo_op(b, IR_eq, GPU_I64, lo_value(b, lane), lo_const_i(b, GPU_I64, 0), 0));
    for (uint32_t i = 0; i < n; i++)
        lo_store(b, buf[i], warp, p[i].v, 0);
    lo_end(b);
    lo_barrier(b);
    place = lo_lin_add(b, lo_lin_mul(b, team->g, warps), turn);
    for (uint32_t i = 0; i < n; i++)
        p[i].v = lo_warp_fold(b, p[i].m, lo_load(b, buf[i], place, 1, 0, 0), (int)warps);
    free(buf);
}

/* Every thread adds the values of its team's, in order. */
static void meet_across(struct sk *s, lo_id thread, const struct gpu_team *team, struct gpu_meet *p,
                        uint32_t n)
{
    struct lo_builder *b = &s->b;
    uint32_t *buf = xcalloc(n, sizeof *buf);
    for (uint32_t i = 0; i < n; i++) {
        int64_t lanes = b->k->insns.p[p[i].v].type.lanes;
        buf[i] = meeting_place(s, p[i].v, team->count * team->group * lanes);
        lo_store(b, buf[i], lo_lin_mul(b, lo_lin_v(b, thread), lanes), p[i].v, 0);
    }
    lo_barrier(b);
    for (uint32_t i = 0; i < n; i++) {
        int64_t lanes = b->k->insns.p[p[i].v].type.lanes;
        lo_id sum = 0;
        for (int64_t t = 0; t < team->count; t++) {
            struct lo_lin at = lo_lin_add(b, team->g, lo_lin_c(t * team->group));
            lo_id v = lo_load(b, buf[i], lo_lin_mul(b, at, lanes), (uint32_t)lanes, 0, 0);
            sum = sum ? sk_combine(s, p[i].m, sum, v) : v;
        }
        p[i].v = sum;
    }
    free(buf);
}

void gpu_meet(struct sk *s, lo_id thread, const struct gpu_team *team, struct gpu_meet *p,
              uint32_t n)
{
    if (team->count == 1 || n == 0)
        return;
    struct gpu_meet *wide = xcalloc(n, sizeof *wide);
    for (uint32_t i = 0; i < n; i++) {
        bool small = nn_dtype_size(type_of(s, p[i].v)) < 4;
        wide[i].m = small ? widened_monoid(p[i].m) : p[i].m;
        wide[i].v = lo_cast(&s->b, widened(type_of(s, p[i].v)), p[i].v);
    }
    (team->along ? meet_along : meet_across)(s, thread, team, wide, n);
    for (uint32_t i = 0; i < n; i++)
        p[i].v = lo_cast(&s->b, type_of(s, p[i].v), wide[i].v);
    free(wide);
}
