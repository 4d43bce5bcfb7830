/* Map, row and column clusters on a GPU: how tasks are shared among threads and blocks, the phases.
 * Rows whose values a team's registers or shared memory hold are read once; blocks that keep
 * something for every row (a norm's weights) or leave parts of folds take several runs of rows,
 * others one; a few long rows are split among blocks. */
#include "lower/gpu.h"

enum {
    WARP = 32,
    SECTOR = 32,          /* bytes that memory moves at least */
    MOST_TURNS = 8,       /* of a thread whose values are kept, before the team grows */
    KEPT_REGISTERS = 96,  /* of a thread, in blocks of 256 */
    OWN_REGISTERS = 96,   /* of a thread, for what it has in work */
    WRITTEN_OUT = 32,     /* points of a row of its own at most */
    TAIL_THREADS = 512,   /* of a block that keeps in registers what shared memory does not hold: */
    TAIL_REGISTERS = 104, /* of a thread, of which what is on its way wants some, and an address: */
    TAIL_ADDRESS = 6,
    SHIFT_STEPS = 512, /* of a row that is worth a shift */
    SM_THREADS = 1024, /* that keep a multiprocessor busy */
    SM_BLOCKS = 4,
    MOST_RUN = 16,
    ACROSS = 8,  /* a team's threads past each other */
    ROOM = 4096, /* bytes of shared memory for what meets */
    EVERY_BYTES = 32768,
    PART = 5, /* of a row that is worth keeping */
};

static int64_t power_from(int64_t n) /* the least power of two that is at least n */
{
    int64_t p = 1;
    while (p < n)
        p *= 2;
    return p;
}

static int64_t busy(const struct gpu *g) { return (int64_t)g->s->t->sms * SM_THREADS; }

/* ---- a walk along an axis ---- */

/* Bytes of reads that depend on some axis but not on this one. */
static double bytes_without(const struct gpu *g, uint32_t axis, double *all)
{
    double saved = 0;
    for (uint32_t i = 0; i < g->n.access.n; i++) {
        const struct nest_access *a = &g->n.access.p[i];
        uint32_t axes = a->memory ? fx_ix_axes(&g->s->x, a->e) : 0;
        bool once = g->x >= 0 && !(axes >> g->x & 1);
        double bytes = a->memory ? (double)a->bytes * (once ? 0.25 : 1) : 0;
        *all += bytes;
        saved += axes >> axis & 1 ? 0 : bytes;
    }
    return saved;
}

/* In a map a thread walks along an outer axis by itself where that spares it reads. */
static void choose_loop(struct gpu *g)
{
    double most = 0.04;
    g->loop = -1;
    g->run = g->runs = 1;
    if (g->s->c->inner || gpu_has_role(g, FUSE_FOLD))
        return;
    for (uint32_t i = 0; i < g->s->c->outer; i++) {
        double all = 0, saved = bytes_without(g, i, &all);
        if ((int)i == g->x || g->n.trip[i] < 2 || saved <= most * all)
            continue;
        most = saved / all;
        g->loop = (int)i;
    }
    if (g->loop < 0)
        return;
    gpu_list_axes(g);
    int64_t trip = g->n.trip[g->loop], run = g->tasks * trip / busy(g);
    g->run = run < 1 ? 1 : run > MOST_RUN ? MOST_RUN : run;
    g->runs = gpu_ceil(trip, g->run);
    g->run = gpu_ceil(trip, g->runs);
    if (g->run == 1)
        g->loop = -1;
    g->runs = g->run == 1 ? 1 : gpu_ceil(trip, g->run);
}

/* ---- teams ---- */

static void set_team(struct gpu *g, bool along, int64_t count)
{
    int64_t block = g->s->t->block;
    g->team = (struct gpu_team){.along = along, .count = count};
    g->threads = (uint32_t)(count > block ? count : block);
    g->team.group = g->threads / count;
}

/* Registers that what is kept would take of each thread. */
static int64_t kept_registers(const struct gpu *g, int64_t count)
{
    return gpu_ceil(gpu_steps(g), count) * g->lanes * gpu_kept_most(g);
}

static bool kept_fits(const struct gpu *g, int64_t count)
{
    int64_t room = count <= 256 ? KEPT_REGISTERS : count <= 512 ? KEPT_REGISTERS / 2 : 32;
    return kept_registers(g, count) <= room;
}

/* Without room for it nothing is kept for every row. */
static void forget_always(struct gpu *g)
{
    for (uint32_t i = 0; i < g->kept.n; i++) {
        g->kept.p[i].on = g->kept.p[i].last > g->kept.p[i].first;
        g->kept.p[i].always = false;
    }
}

/* Rows may be cut where nothing waits for a whole one. */
static bool may_split(const struct gpu *g)
{
    return g->n.sweeps == 1 && g->tasks && !gpu_has_role(g, FUSE_FOLD) &&
           !gpu_has_role(g, FUSE_ACROSS) && gpu_has_role(g, FUSE_REDUCE);
}

/* Rows along x: the least team that keeps what it wants, then more threads while the machine has
 * room. What no register holds goes to shared memory. */
static void team_along(struct gpu *g)
{
    int64_t most = g->points <= WARP ? power_from(g->points) : 1024;
    int64_t full = power_from(g->points) < most ? power_from(g->points) : most;
    int64_t count = full < WARP ? full : WARP;
    if (!gpu_kept_most(g)) {
        int64_t turns = power_from(gpu_ceil(g->points, MOST_TURNS));
        count = turns > 256 ? 256 : turns > count ? turns : count;
    }
    bool columns = gpu_has_role(g, FUSE_ACROSS); /* turns are what they are kept by */
    bool keep = gpu_kept_most(g) && (kept_fits(g, full) || columns);
    while (keep && count < full &&
           (!kept_fits(g, count) || gpu_ceil(gpu_steps(g), count) > MOST_TURNS))
        count *= 2;
    if (gpu_kept_most(g) && !keep)
        count = full > 512 ? 512 : full;
    bool splits = may_split(g); /* then blocks make up for it */
    int64_t end = splits && full > g->s->t->block ? g->s->t->block : full;
    while (count < end && g->tasks * count < busy(g))
        count *= 2;
    set_team(g, true, count);
    if (keep)
        g->turns = gpu_ceil(gpu_steps(g), count);
}

static void team_across(struct gpu *g)
{
    int64_t count = g->points < 2 * ACROSS || g->tasks >= busy(g) ? 1 : ACROSS;
    bool keep = gpu_kept_most(g) > 0;
    while (keep && count > 1 && count < 4 * ACROSS && !kept_fits(g, count))
        count *= 2;
    if (g->n.sweeps > 1 && count > 1)
        while (count < 4 * ACROSS && g->tasks * count < busy(g) && g->points >= 4 * count)
            count *= 2;
    set_team(g, false, count);
    if (keep && count > 1 && kept_fits(g, count))
        g->turns = gpu_ceil(g->points, count);
}

/* Turns of a thread for which registers keep `by` each, beside what others have on their way. */
static int64_t tail_turns(struct gpu *g, int64_t by)
{
    int64_t addresses = 0;
    for (uint32_t i = 0; i < g->n.access.n; i++)
        addresses += g->n.access.p[i].memory;
    int64_t room = TAIL_REGISTERS - TAIL_ADDRESS * addresses - gpu_registers(g, GPU_NEAR);
    return room < by ? 0 : room / by;
}

/* What registers do not hold may fit shared memory, or the begin of the row does; then registers
 * take what follows, as far as they go. */
static void try_shared(struct gpu *g)
{
    if (!g->team.along || !gpu_kept_most(g) || !g->points)
        return;
    uint32_t *place = xcalloc(g->kept.n + 1, sizeof *place);
    int64_t room = (int64_t)g->s->t->shared_block - gpu_always_bytes(g) - ROOM;
    g->held = gpu_steps(g);
    int64_t bytes = gpu_find_places(g, place);
    free(place);
    if (bytes <= room) {
        g->shared = true;
        return;
    }
    if (g->team.count > TAIL_THREADS)
        set_team(g, true, TAIL_THREADS);
    int64_t count = g->team.count, by = g->lanes * gpu_kept_most(g);
    g->held = (int64_t)((double)room / (double)bytes * (double)g->held) / count * count;
    int64_t left = gpu_ceil(gpu_steps(g) - g->held, count);
    int64_t most = tail_turns(g, by);
    g->tail = left < most ? left : most;
    g->shared = g->held && g->held + g->tail * count >= g->points / PART;
}

/* ---- rows that begin within a sector ---- */

/* Elements of a sector beside the access, by which rows begin elsewhere; 0: all begin with one. */
static int64_t apart(const struct gpu *g, const struct nest_access *a)
{
    if (!a->memory || !ix_is_affine(a->e) || sk_stride(g->s, a->e, (uint32_t)g->x) != 1)
        return 0;
    int64_t sector = SECTOR / (int64_t)a->bytes;
    bool moved = a->e->c0 % sector != 0;
    for (uint32_t i = 0; i < g->s->c->outer; i++)
        moved = moved || (g->n.trip[i] > 1 && ix_coef(a->e, i) % sector);
    return moved ? sector : 0;
}

/* By the access with the least elements: sectors of the others begin with some of its. */
static void choose_shift(struct gpu *g)
{
    int64_t most = 0;
    if (g->inner.n != 1 || (int)g->inner.axis[0] != g->x || g->points < SHIFT_STEPS ||
        (gpu_has_always(g) && !g->every) || gpu_has_role(g, FUSE_ACROSS))
        return;
    for (uint32_t i = 0; i < g->n.access.n; i++)
        if (apart(g, &g->n.access.p[i]) > most) {
            most = apart(g, &g->n.access.p[i]);
            g->shift_of = g->n.access.p[i].e;
        }
    if (most > g->lanes)
        g->pad = most / g->lanes - 1;
}

/* ---- blocks ---- */

static void choose_splits(struct gpu *g)
{
    int64_t want = (int64_t)g->s->t->sms * SM_BLOCKS, least = g->team.count * MOST_TURNS * 2;
    g->splits = 1;
    g->split = g->points;
    if (!may_split(g) || g->team.count == 1 || g->turns || 2 * g->blocks >= want)
        return;
    int64_t splits = want / g->blocks, most = g->points / least;
    splits = splits < most ? splits : most;
    if (splits < 2)
        return;
    g->split = gpu_ceil(gpu_ceil(g->points, splits), 4 * g->team.count) * 4 * g->team.count;
    g->splits = gpu_ceil(g->points, g->split);
    g->pad = 0;
}

/* Something is the same for all points: a thread that takes several reads it once. */
static bool reads_scalars(const struct gpu *g)
{
    for (uint32_t i = 0; i < g->n.access.n; i++)
        if (g->n.access.p[i].memory && !fx_ix_axes(&g->s->x, g->n.access.p[i].e))
            return g->team.count == 1;
    return false;
}

static void choose_blocks(struct gpu *g)
{
    int64_t runs = gpu_ceil(g->tasks * g->runs, g->team.group), most = g->s->t->max_chunks;
    int64_t want = (int64_t)g->s->t->sms * SM_BLOCKS;
    bool fold = gpu_has_role(g, FUSE_FOLD);
    bool columns = gpu_has_role(g, FUSE_ACROSS);
    want = columns ? want / 2 : want;
    g->per = 1;
    if (fold && g->team.count == 1 && runs <= 4)
        g->per = runs;
    else if ((fold || columns || gpu_has_always(g)) && runs > want)
        g->per = gpu_ceil(runs, want);
    else if (reads_scalars(g) && runs > 2 * want)
        g->per = runs / want < 8 ? runs / want / 2 : 4;
    g->per = g->per < 1 ? 1 : g->per;
    if (gpu_ceil(runs, g->per) > most)
        g->per = gpu_ceil(runs, most);
    g->blocks = gpu_ceil(runs, g->per);
    g->blocks = g->blocks < 1 ? 1 : g->blocks;
    choose_splits(g);
}

/* What is kept, and the team that does. */
static void choose_team(struct gpu *g)
{
    bool along = g->x >= (int)g->s->c->outer;
    g->kept.n = 0;
    g->turns = g->held = g->tail = g->pad = 0;
    g->shared = false;
    gpu_find_kept(g);
    for (uint32_t i = 0; i < g->kept.n; i++)
        g->kept.p[i].on = g->kept.p[i].always ? along : g->kept.p[i].last > g->kept.p[i].first;
    g->every = along && gpu_has_always(g) && gpu_always_bytes(g) <= EVERY_BYTES;
    if (!g->every && gpu_always_bytes(g) > EVERY_BYTES)
        forget_always(g);
    if (along) {
        choose_shift(g);
        team_along(g);
    } else {
        team_across(g);
    }
    if (!g->turns)
        try_shared(g);
}

/* Nothing of a row is read twice. */
static bool whole_row(const struct gpu *g)
{
    return g->turns || !gpu_kept_most(g) ||
           (g->shared && g->held + g->tail * g->team.count >= gpu_steps(g));
}

static void set_lanes(struct gpu *g, uint32_t lanes)
{
    g->lanes = lanes;
    g->n.v = lanes > 1 ? g->x : -1;
    g->n.lanes = lanes;
}

static void plan_team(struct gpu *g)
{
    choose_loop(g);
    gpu_list_axes(g);
    choose_team(g);
    bool own = g->team.count == 1 && g->x < (int)g->s->c->outer;
    g->written_out = own && g->points <= WRITTEN_OUT;
}

/* As many lanes as a thread has registers for: with its whole row written out, so that its sweeps
 * share what they read and compute, else at a point. */
static void choose_lanes(struct gpu *g)
{
    uint32_t wide = g->lanes;
    for (uint32_t lanes = wide; lanes; lanes /= 2) {
        set_lanes(g, lanes);
        plan_team(g);
        if (g->written_out && gpu_registers(g, g->points) <= OWN_REGISTERS)
            return;
    }
    for (uint32_t lanes = wide; lanes; lanes /= 2) {
        set_lanes(g, lanes);
        plan_team(g);
        g->written_out = false;
        if (gpu_registers(g, 1) <= OWN_REGISTERS)
            return;
    }
}

static void plan(struct gpu *g)
{
    choose_lanes(g);
    if (g->team.along && !whole_row(g) && gpu_find_online(g))
        choose_team(g);
    for (uint32_t i = 0; i < g->kept.n; i++)
        g->kept.p[i].on = g->kept.p[i].on && (g->kept.p[i].always || g->turns || g->shared);
    choose_blocks(g);
}

/* ---- the main phase ---- */

/* Threads that each walk a run of points along an axis. */
static void walk_axis(struct gpu *g)
{
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    struct lo_lin flat = lo_lin_add(b, lo_lin_mul(b, lo_lin_v(b, g->chunk), g->threads * g->per),
                                    lo_lin_v(b, g->thread));
    struct lo_lin run = lo_lin_c(0), task = flat;
    uint32_t axis = (uint32_t)g->loop, mark = sk_open(s);
    bool guard = g->tasks * g->runs % (g->threads * g->per) != 0;
    lo_id turn = 0;
    if (g->per > 1) {
        turn = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(g->per), 1);
        flat = lo_lin_add(b, flat, lo_lin_mul(b, lo_lin_v(b, turn), g->threads));
        task = flat;
    }
    if (guard)
        lo_if(b, gpu_below(s, flat, g->tasks * g->runs));
    if (g->runs > 1)
        gpu_split(s, flat, g->tasks, &run, &task);
    gpu_stand(g, &g->outer, task);
    gpu_prefetch(g, 1u << axis, UINT32_MAX);
    struct lo_lin from = lo_lin_mul(b, run, g->run), to = lo_lin_add(b, from, lo_lin_c(g->run));
    if (g->n.trip[axis] % g->run)
        to = lo_lin_v(b, lo_op(b, IR_min, GPU_I64, lo_value(b, to),
                               lo_const_i(b, GPU_I64, g->n.trip[axis]), 0));
    const struct ir_live *l = fuse_axis_live(s->plan, s->c, axis);
    if (l)
        to = lo_lin_v(b,
                      lo_op(b, IR_min, GPU_I64, lo_value(b, to), lo_value(b, sk_extent(s, l)), 0));
    uint32_t inside = sk_open(s);
    sk_for(s, axis, LO_SERIAL, from, to, 1);
    gpu_row(g);
    sk_close(s, inside);
    lo_end(b);
    sk_close(s, mark);
    if (guard)
        lo_end(b);
    if (turn)
        lo_end(b);
}

static bool meets_in_shared(const struct gpu *g)
{
    return g->team.count > (g->team.along ? WARP : 1) && gpu_has_role(g, FUSE_REDUCE);
}

/* Whether one of the teams of run `at` has a task that the run's sizes want; 0: always. */
static lo_id run_wanted(struct gpu *g, struct lo_lin at)
{
    uint32_t axis[IR_MAX_AXES];
    int64_t places[IR_MAX_AXES];
    for (uint32_t i = 0; i < g->outer.n; i++) {
        axis[i] = g->outer.axis[g->outer.n - 1 - i];
        places[i] = gpu_trip(g, axis[i]);
    }
    struct lo_lin first = lo_lin_mul(&g->s->b, at, g->team.group);
    uint32_t vector = g->x < 0 ? 0 : 1u << g->x;
    return sk_reaches(g->s, axis, places, g->outer.n, vector, first, g->team.group, 0);
}

/* One run of teams: number `at` of all. */
static void one_run(struct gpu *g, struct lo_lin at)
{
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    uint32_t outside = sk_open(s);
    lo_id wanted = run_wanted(g, at);
    if (wanted)
        lo_if(b, wanted);
    bool guard = g->tasks % (g->team.group * g->per * g->blocks) != 0;
    bool alone = g->team.count == 1 || g->team.group == 1; /* all threads agree on a barrier */
    struct lo_lin task = lo_lin_add(b, lo_lin_mul(b, at, g->team.group), g->team.g);
    lo_id valid = guard ? gpu_below(s, task, g->tasks) : 0;
    uint32_t mark = sk_open(s);
    g->valid = 0;
    if (valid && alone) {
        lo_if(b, valid);
    } else if (valid) {
        g->valid = valid;
        task = lo_lin_v(b, lo_op(b, IR_min, GPU_I64, lo_value(b, task),
                                 lo_const_i(b, GPU_I64, g->tasks - 1), 0));
    }
    g->task = task;
    gpu_stand(g, &g->outer, task);
    gpu_find_shift(g);
    gpu_row(g);
    sk_close(s, mark);
    if (valid && alone)
        lo_end(b);
    if (wanted)
        lo_end(b);
    sk_close(s, outside);
}

static void run_blocks(struct gpu *g)
{
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    struct lo_lin block = lo_lin_v(b, g->chunk);
    if (g->splits > 1)
        gpu_split(s, block, g->blocks, &g->at_split, &block);
    gpu_prefetch(g, UINT32_MAX, UINT32_MAX);
    for (uint32_t i = 0; i < g->kept.n; i++)
        if (g->kept.p[i].on)
            s->held[g->kept.p[i].id].ready = false;
    gpu_load_always(g);
    if (g->per == 1) {
        one_run(g, block);
        return;
    }
    lo_id i = lo_for(b, LO_SERIAL, lo_lin_c(0), lo_lin_c(g->per), 1);
    one_run(g, lo_lin_add(b, lo_lin_mul(b, block, g->per), lo_lin_v(b, i)));
    if (meets_in_shared(g))
        lo_barrier(b);
    lo_end(b);
}

static void start_columns(struct gpu *g)
{
    struct sk *s = g->s;
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        const struct ir_node *node = ir_at(s->plan->g, gpu_member(g, i)->node);
        for (int64_t k = 0; g->column[i] && k < g->turns; k++)
            lo_set(&s->b, g->column[i], lo_lin_c(k),
                   sk_identity(s, node->monoid, node->dtype, g->lanes));
    }
}

static void make_columns(struct gpu *g)
{
    struct sk *s = g->s;
    g->column = xcalloc(s->c->members.n, sizeof *g->column);
    for (uint32_t i = 0; i < s->c->members.n; i++) {
        struct lo_type t = {(uint8_t)nest_folded_type(&g->n, i), (uint16_t)g->lanes};
        if (gpu_member(g, i)->role == FUSE_ACROSS)
            g->column[i] = lo_buffer(s->b.k, LO_REG, "column", t, g->turns);
    }
}

static void main_phase(struct gpu *g)
{
    struct sk *s = g->s;
    struct lo_builder *b = &s->b;
    g->chunk = lo_phase_gpu(b, g->blocks * g->splits, (int32_t)g->threads);
    g->thread = lo_thread(b);
    struct gpu_team team = gpu_team(s, g->thread, g->threads, g->team.along, g->team.count);
    g->team.t = team.t;
    g->team.g = team.g;
    uint32_t mark = sk_open(s);
    for (uint32_t i = 0; i < s->c->members.n; i++)
        if (gpu_member(g, i)->role == FUSE_FOLD)
            nest_start_fold(&g->n, i, 1);
    start_columns(g);
    if (g->tasks && g->loop >= 0)
        walk_axis(g);
    else if (g->tasks)
        run_blocks(g);
    gpu_end_folds(g);
    gpu_store_columns(g);
    sk_close(s, mark);
    lo_end(b);
    sk_scalar(s);
    s->held_n = 0; /* gone with the blocks */
}

static void all_phases(struct gpu *g)
{
    nest_assign_sweeps(&g->n);
    plan(g);
    gpu_make_parts(g);
    nest_make_folds(&g->n);
    gpu_make_kept(g);
    make_columns(g);
    main_phase(g);
    if (g->splits > 1)
        gpu_finish_splits(g);
    else if (nest_has_folds(&g->n) && g->blocks > 1)
        gpu_finish_folds(g);
    if (gpu_has_role(g, FUSE_ACROSS))
        gpu_finish_columns(g);
}

/* What a map reads that is the same along a row (a row's maximum and sum) is worth a team a row,
 * whose threads read it once: then the last axis becomes the row's. */
static bool has_rows(const struct gpu *g)
{
    const struct fuse_cluster *c = g->s->c;
    double once = 0, all = 0;
    if (c->skeleton != FUSE_MAP || g->x < 0 || g->x != (int)c->outer - 1 ||
        gpu_trip(g, (uint32_t)g->x) < WARP)
        return false;
    for (uint32_t i = 0; i < g->n.access.n; i++) {
        const struct nest_access *a = &g->n.access.p[i];
        uint32_t axes = a->memory ? fx_ix_axes(&g->s->x, a->e) : 0;
        if (a->memory && axes && !(axes >> g->x & 1))
            once += SECTOR;
        all += a->memory ? (double)a->bytes * g->lanes * WARP : 0;
    }
    return once > 0.03 * all;
}

static void as_rows(struct fuse_cluster *c)
{
    c->outer--;
    c->inner = 1;
    c->skeleton = FUSE_ROW;
    for (uint32_t i = 0; i < c->members.n; i++)
        c->members.p[i].role = FUSE_ELEM;
}

static void look(struct gpu *g)
{
    g->n.access.n = g->n.work.n = 0;
    nest_survey(&g->n);
    nest_merge_axes(&g->n);
    gpu_choose_axis(g);
    set_lanes(g, g->lanes);
}

void sk_gpu_nest(struct sk *s)
{
    struct gpu g = {.s = s, .n = {.s = s, .v = -1, .lanes = 1, .copies = 1}, .splits = 1};
    struct fuse_cluster own = *s->c;
    const struct fuse_cluster *given = s->c;
    own.members.p = xmalloc((own.members.n + 1) * sizeof *own.members.p);
    memcpy(own.members.p, given->members.p, own.members.n * sizeof *own.members.p);
    g.n.fold = xcalloc(own.members.n, sizeof *g.n.fold);
    look(&g);
    bool tiles = gpu_tiles(&g);
    if (!tiles && has_rows(&g)) {
        as_rows(&own);
        s->c = &own;
        look(&g);
    }
    if (!tiles)
        all_phases(&g);
    s->c = given;
    free(own.members.p);
    vec_free(&g.n.access);
    vec_free(&g.n.work);
    vec_free(&g.kept);
    free(g.n.sweep);
    free(g.n.fold);
    free(g.part);
    free(g.column);
    free(g.held_tail);
}
