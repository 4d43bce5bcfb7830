/* --budget: what a context takes in memory, at most. Each graph that is too large is planned again
 * (passes, fusion, lowering, arena; no machine code) with something done to it, until all fit: some
 * of the forward pass is computed again in the backward pass (pass/extent.c), or the batch goes
 * through in parts (pass/microbatch.c), of which each may compute again, too; what costs least is
 * taken. */
#include "nnc/nnc.h"
#include "pass/pass.h"

/* What is done to a graph: the batch in so many parts; of a forward pass in so many segments the
 * first `extent` steps are computed again. */
struct way {
    uint32_t parts, segments, extent;
};
struct outcome {
    struct way way;
    uint64_t arena, slots; /* slots: of its accumulators */
    double more;           /* work, as a share */
    uint64_t choice;       /* as pass_extent has it; 0: no extent */
};
struct plan {
    struct ir_graph *g; /* passes done, and nothing else */
    VEC(struct outcome) tried;
    struct outcome now;       /* of those tried, what is taken */
    uint64_t outputs, inputs; /* as struct program_memory has them, whatever the way */
    double work;
    struct pass_refusal refusal;
    bool refused;      /* it does not go through in parts */
    bool done;         /* all its ways were tried */
    uint32_t segments; /* with which least is reached; 0: not known yet */
};
struct budget {
    struct nnc_compiled *c;
    uint32_t n;
    struct plan *plan;
    struct program_memory fixed; /* the slots that the model has; outputs; inputs */
};

static struct program_memory module_memory(struct ir_module *m)
{
    struct program *p = program_new(m);
    struct program_memory memory = program_memory(p);
    program_free(p);
    return memory;
}

/* ---- one way ---- */

static const char *const tidy[] = {"simplify", "cse", "dce"};

/* Does o->way to the graph and says what it costs. False: it does not go through in parts. */
static bool carry_out(struct ir_graph *g, struct outcome *o, struct pass_refusal *why)
{
    struct way w = o->way;
    o->more = 0;
    o->choice = 0;
    g->parts = w.parts;
    if (w.parts > 1 && !pass_split(g, why)) {
        g->parts = 0;
        return false;
    }
    for (size_t i = 0; g->part && i < COUNT(tidy); i++)
        pass_run(pass_find(tidy[i]), g);
    struct ir_graph *h = g->part ? g->part : g;
    if (w.extent) {
        struct ir_graph *whole = ir_graph_copy(h);
        struct pass_extents *x = pass_extents_new(whole, w.segments);
        o->more = pass_extent(x, h, w.extent, &o->choice);
        pass_extents_free(x);
        ir_graph_free(whole);
    }
    return true;
}

/* What came of another way to the same graph; NULL: none has. */
static const struct outcome *same_graph(const struct plan *p, const struct outcome *o)
{
    for (uint32_t i = 0; i < p->tried.n; i++)
        if (p->tried.p[i].way.parts == o->way.parts && p->tried.p[i].choice == o->choice)
            return &p->tried.p[i];
    return NULL;
}

/* Plans a copy of the graph. False: refused. `holders`: what is alive where most is, if wanted. */
static bool plan(struct budget *b, struct plan *p, struct outcome *o, struct text *holders)
{
    struct ir_module *m = b->c->m;
    struct ir_graph *g = ir_graph_copy(p->g);
    uint32_t slots = m->slots.n;
    bool good = carry_out(g, o, &p->refusal);
    const struct outcome *same = good && !holders ? same_graph(p, o) : NULL;
    if (same) {
        o->arena = same->arena;
        o->slots = same->slots;
    } else if (good) {
        struct program *program = program_new(m);
        program_for(program, b->c->target);
        nnc_add_graph(b->c, program, g, false);
        struct program_memory memory = program_memory(program);
        o->arena = memory.arena;
        o->slots = memory.slots - b->fixed.slots;
        p->outputs = memory.outputs;
        p->inputs = memory.inputs;
        if (holders)
            nnc_list_holders(b->c, program, holders);
        program_free(program);
    }
    m->slots.n = slots;
    ir_graph_free(g);
    return good;
}

/* What comes of a way; NULL: it does not go through in parts. */
static const struct outcome *attempt(struct budget *b, struct plan *p, struct way w)
{
    for (uint32_t i = 0; i < p->tried.n; i++)
        if (!memcmp(&p->tried.p[i].way, &w, sizeof w))
            return &p->tried.p[i];
    struct outcome o = {.way = w};
    if (!plan(b, p, &o, NULL)) {
        p->refused = true;
        return NULL;
    }
    vec_push(&p->tried, o);
    return &vec_last(&p->tried);
}

static uint64_t bytes_of(const struct outcome *o) { return o->arena + o->slots; }

/* What a way costs, as a share of the work. Each part more reads the parameters and adds to the
 * accumulators, at some operations a byte, and starts all kernels once more. */
static double price(const struct plan *p, const struct outcome *o)
{
    const double a_byte = 10, start = 0.01;
    return (o->way.parts - 1) * (start + 3 * (double)o->slots * a_byte / p->work) + o->more;
}

/* ---- a graph's ways ---- a list that hangs on the graph alone, so that what some budget is met
 * with is found for every larger one. It is short, since each way is a plan: numbers of parts of
 * which each is half as many again as the one before or more, and of a number of parts some
 * extents. */

static int64_t batch_of(const struct ir_graph *g)
{
    for (ir_id id = 1; id < g->nodes.n; id++)
        if (ir_at(g, id)->op == IR_input && ir_at(g, id)->nd)
            return ir_at(g, id)->dom[0].n;
    return 1;
}

/* The number of parts after this one; 0: there is none. */
static uint32_t next_parts(const struct plan *p, uint32_t parts)
{
    int64_t batch = batch_of(p->g);
    for (uint32_t n = parts + (parts + 1) / 2; n <= batch && n < UINT16_MAX; n++)
        if (batch % n == 0)
            return n;
    return 0;
}

static uint32_t extents(const struct ir_graph *g, uint32_t segments)
{
    struct pass_extents *x = pass_extents_new(g, segments);
    uint32_t n = pass_extents_count(x);
    pass_extents_free(x);
    return n;
}

/* How many segments leave least if everything in them is computed again, the batch being whole. */
static uint32_t best_segments(struct budget *b, struct plan *p)
{
    static const uint32_t counts[] = {2, 4, 8, 16, 32};
    uint64_t best = UINT64_MAX;
    uint32_t segments = p->segments;
    if (segments)
        return segments;
    for (size_t i = 0; i < COUNT(counts); i++) {
        struct way w = {1, counts[i], extents(p->g, counts[i])};
        uint64_t bytes = bytes_of(attempt(b, p, w));
        if (bytes < best) {
            best = bytes;
            segments = counts[i];
        } else if (bytes > best + best / 4) {
            break; /* more of them only keep more */
        }
    }
    p->segments = segments;
    return segments;
}

/* The extents of a number of parts, the least first: way `i`, counted from 0; false behind the last
 * one. */
static bool extent_way(struct budget *b, struct plan *p, uint32_t parts, uint32_t i, struct way *w)
{
    uint32_t steps = parts == 1 ? 8 : 4;
    *w = (struct way){parts, 1, 1};
    if (!i)
        return extents(p->g, 1);
    w->segments = best_segments(b, p);
    uint32_t all = extents(p->g, w->segments);
    w->extent = all * i / steps;
    w->extent = w->extent > 1 ? w->extent : 2;
    return i <= steps && all > 1;
}

/* Tries all of them. */
static void exhaust(struct budget *b, struct plan *p)
{
    struct way w;
    for (uint32_t parts = 1; parts && attempt(b, p, (struct way){parts, 1, 0});
         parts = next_parts(p, parts))
        for (uint32_t i = 0; extent_way(b, p, parts, i, &w); i++)
            attempt(b, p, w);
    p->done = true;
}

/* ---- likely ways ---- */

static bool fits(struct budget *b, struct plan *p, struct way w, uint64_t room)
{
    const struct outcome *o = attempt(b, p, w);
    return o && bytes_of(o) <= room;
}

/* Looks for the least extent that fits. */
static bool fit_extent(struct budget *b, struct plan *p, uint32_t parts, uint64_t room)
{
    struct way w;
    if (!extent_way(b, p, parts, 0, &w))
        return false;
    if (fits(b, p, w, room))
        return true;
    uint32_t low = 0, high = 0;
    for (struct way next; extent_way(b, p, parts, high + 1, &next); high++)
        w = next;
    if (!high || !fits(b, p, w, room))
        return false;
    while (low + 1 < high) { /* low does not fit, high does */
        uint32_t middle = low + (high - low) / 2;
        if (extent_way(b, p, parts, middle, &w) && fits(b, p, w, room))
            high = middle;
        else
            low = middle;
    }
    return true;
}

/* Of what was tried and leaves arena and accumulators in the room, the cheapest; NULL: nothing. */
static const struct outcome *cheapest(const struct plan *p, uint64_t room)
{
    const struct outcome *best = NULL;
    for (uint32_t i = 0; i < p->tried.n; i++) {
        const struct outcome *o = &p->tried.p[i];
        if (bytes_of(o) <= room && (!best || price(p, o) < price(p, best)))
            best = o;
    }
    return best;
}

/* Of all that was tried, what takes least. */
static uint64_t least(const struct plan *p)
{
    uint64_t bytes = UINT64_MAX;
    for (uint32_t i = 0; i < p->tried.n; i++)
        bytes = bytes_of(&p->tried.p[i]) < bytes ? bytes_of(&p->tried.p[i]) : bytes;
    return bytes;
}

/* Tries ways among which the cheapest that fits is, or one that costs little more. */
static void look(struct budget *b, struct plan *p, uint64_t room)
{
    uint64_t whole = 0; /* bytes, at the least, with the batch in one part */
    for (uint32_t parts = 1, next; parts; parts = next) {
        next = next_parts(p, parts);
        if (next && whole / parts / 2 > room)
            continue; /* far from it */
        const struct outcome *o = attempt(b, p, (struct way){parts, 1, 0}),
                             *found = cheapest(p, room);
        if (!o || bytes_of(o) <= room || (found && price(p, o) >= price(p, found)))
            return;
        fit_extent(b, p, parts, room);
        whole = whole ? whole : least(p);
    }
}

/* ---- all graphs together ---- */

/* Slots, outputs, inputs of sizes that calls say, and the largest arena. `of`: each graph's way. */
static uint64_t peak(const struct budget *b, const struct outcome *of)
{
    struct program_memory m = b->fixed;
    for (uint32_t i = 0; i < b->n; i++) {
        m.slots += of[i].slots;
        m.arena = of[i].arena > m.arena ? of[i].arena : m.arena;
    }
    return program_peak(m);
}

/* For each graph what was tried and has an arena of this size at most: the cheapest, or what has
 * least accumulators. */
static bool pick(const struct budget *b, uint64_t arena, bool small, struct outcome *of,
                 double *cost)
{
    *cost = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct plan *p = &b->plan[i];
        const struct outcome *best = NULL;
        for (uint32_t k = 0; k < p->tried.n; k++) {
            const struct outcome *o = &p->tried.p[k];
            if (o->arena > arena)
                continue;
            bool by_slots = best && small && o->slots != best->slots;
            if (!best || (by_slots ? o->slots < best->slots : price(p, o) < price(p, best)))
                best = o;
        }
        if (!best)
            return false;
        of[i] = *best;
        *cost += price(p, best);
    }
    return true;
}

/* Chooses among what was tried: the cheapest that fits, or if nothing does what takes least. */
static bool choose(struct budget *b)
{
    struct outcome *of = xcalloc(b->n + 1, sizeof *of);
    uint64_t bytes = UINT64_MAX, budget = b->c->budget;
    double cost, paid = 0;
    for (uint32_t i = 0; i < b->n; i++)
        for (uint32_t k = 0; k < b->plan[i].tried.n; k++)
            for (int small = 0; small < 2; small++) {
                if (!pick(b, b->plan[i].tried.p[k].arena, small, of, &cost))
                    continue;
                uint64_t now = peak(b, of);
                bool fit = now <= budget, had = bytes <= budget;
                if (fit != had ? had : fit ? cost >= paid : now >= bytes)
                    continue;
                bytes = now;
                paid = cost;
                for (uint32_t j = 0; j < b->n; j++)
                    b->plan[j].now = of[j];
            }
    free(of);
    return bytes <= budget;
}

static struct plan *largest(const struct budget *b)
{
    struct plan *p = &b->plan[0];
    for (uint32_t i = 1; i < b->n; i++)
        p = b->plan[i].now.arena > p->now.arena ? &b->plan[i] : p;
    return p;
}

static uint64_t peak_now(const struct budget *b)
{
    struct program_memory m = b->fixed;
    for (uint32_t i = 0; i < b->n; i++)
        m.slots += b->plan[i].now.slots;
    m.arena = largest(b)->now.arena;
    return program_peak(m);
}

/* The smallest arena that was reached. */
static uint64_t least_arena(const struct plan *p)
{
    uint64_t arena = UINT64_MAX;
    for (uint32_t i = 0; i < p->tried.n; i++)
        arena = p->tried.p[i].arena < arena ? p->tried.p[i].arena : arena;
    return arena;
}

/* The next graph of which every way must have been tried before a budget is refused: one whose
 * arena, as it is, is larger than the others' at the least. NULL: there is none. */
static struct plan *next_to_exhaust(const struct budget *b)
{
    struct plan *next = NULL;
    uint64_t reached = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        struct plan *p = &b->plan[i];
        uint64_t arena = p->done ? least_arena(p) : 0;
        reached = arena > reached ? arena : reached;
        if (!p->done && (!next || p->tried.p[0].arena > next->tried.p[0].arena))
            next = p;
    }
    return next && next->tried.p[0].arena > reached ? next : NULL;
}

/* The graph that keeps the others from a smaller peak. */
static struct plan *culprit(const struct budget *b)
{
    struct plan *p = &b->plan[0];
    for (uint32_t i = 1; i < b->n; i++)
        p = least_arena(&b->plan[i]) > least_arena(p) ? &b->plan[i] : p;
    return p;
}

/* ---- what is said ---- */

static void bytes_text(struct text *t, uint64_t bytes)
{
    if (bytes < 100 && bytes)
        text_printf(t, "%u bytes", (unsigned)bytes);
    else if (bytes < 1000000)
        text_printf(t, "%.1f KB", (double)bytes / 1e3);
    else
        text_printf(t, "%.1f MB", (double)bytes / 1e6);
}

/* Rounded up, so that a budget of what is said is enough. */
static void enough_text(struct text *t, uint64_t bytes)
{
    if (bytes < 1000000)
        text_printf(t, "%.1f KB", (double)((bytes + 99) / 100) / 10);
    else
        text_printf(t, "%.2f MB", (double)((bytes + 9999) / 10000) / 100);
}

static void place_text(const struct nnc_compiled *c, uint32_t origin, struct text *t)
{
    const struct ir_origin *o = &c->m->origins.p[origin];
    uint32_t column;
    if (o->at.file)
        text_printf(t, "%s:%u: ", diag_file_name(c->diag, o->at.file),
                    diag_line(c->diag, o->at, &column));
    text_printf(t, "%s", o->path ? o->path : "");
    if (o->role && !strncmp(o->role, "d.", 2))
        text_printf(t, " (gradient)");
}

void nnc_list_holders(const struct nnc_compiled *c, const struct program *p, struct text *out)
{
    enum { MOST = 6 };
    size_t n;
    const struct program_holder *h = program_holders(p, &n);
    uint64_t rest = 0;
    for (size_t i = 0; i < n; i++) {
        if (i >= MOST) {
            rest += h[i].bytes;
            continue;
        }
        text_printf(out, "  ");
        bytes_text(out, h[i].bytes);
        text_printf(out, "  ");
        place_text(c, h[i].origin, out);
        text_printf(out, "%s\n", h[i].own ? " (working space)" : "");
    }
    if (n > MOST) {
        text_printf(out, "  ");
        bytes_text(out, rest);
        text_printf(out, "  %zu more\n", n - MOST);
    }
}

static void slots_text(const struct budget *b, struct text *t)
{
    const struct ir_module *m = b->c->m;
    uint64_t params = 0, opt = 0;
    for (uint32_t i = 0; i < m->slots.n; i++) {
        const struct ir_slot *s = &m->slots.p[i];
        uint64_t n = nn_dtype_size(s->dtype);
        for (uint32_t k = 0; k < s->rank; k++)
            n *= (uint64_t)s->dim[k];
        params += s->kind == NN_SLOT_PARAM ? n : 0;
        opt += s->kind == NN_SLOT_OPT ? n : 0;
    }
    bytes_text(t, b->fixed.slots);
    text_printf(t, " of slots (parameters ");
    bytes_text(t, params);
    text_printf(t, ", the optimizer's ");
    bytes_text(t, opt);
    text_printf(t, ")");
    if (b->fixed.inputs) {
        text_printf(t, ", ");
        bytes_text(t, b->fixed.inputs);
        text_printf(t, " of inputs as large as --max says");
    }
    if (b->fixed.outputs * 16 >= b->fixed.slots) {
        text_printf(t, ", ");
        bytes_text(t, b->fixed.outputs);
        text_printf(t, " of outputs%s",
                    b->fixed.inputs ? ", likewise: a smaller --max takes less" : "");
    }
}

/* Not even what is fixed fits. */
static bool too_small(const struct budget *b)
{
    struct text t = {0};
    bytes_text(&t, b->c->budget);
    text_printf(&t, " is less than what is fixed: ");
    slots_text(b, &t);
    fprintf(stderr, "nnc: --budget: %s\n", t.p);
    text_free(&t);
    return false;
}

/* Why it does not fit, and where the memory is at the least. */
static bool complain(struct budget *b)
{
    struct text t = {0}, holders = {0};
    struct plan *p = culprit(b);
    struct pass_refusal why = p->refusal;
    struct outcome o = p->now;
    text_printf(&t, "nnc: --budget: %s does not fit into ", p->g->name);
    bytes_text(&t, b->c->budget);
    text_printf(&t, "; the least is ");
    enough_text(&t, peak_now(b));
    text_printf(&t, " with ");
    slots_text(b, &t);
    plan(b, p, &o, &holders);
    if (o.slots) {
        text_printf(&t, " and ");
        bytes_text(&t, o.slots);
        text_printf(&t, " of sums over the parts");
    }
    text_printf(&t, "; then these are alive at once:\n%s", holders.p ? holders.p : "");
    if (!p->refused && why.random) {
        text_printf(&t, "  Parts save little: each computes for the whole batch what hangs on ");
        place_text(b->c, why.random, &t);
        text_printf(&t, ", since ");
    } else if (p->refused) {
        text_printf(&t, "  The batch does not go through in parts: ");
    }
    if (p->refused || why.random) {
        place_text(b->c, why.origin, &t);
        text_printf(&t, " %s\n", why.why);
    }
    fprintf(stderr, "%s", t.p);
    text_free(&t);
    text_free(&holders);
    return false;
}

static void report(const struct budget *b)
{
    struct text t = {0};
    uint32_t changed = 0;
    text_printf(&t, "budget ");
    enough_text(&t, b->c->budget);
    text_printf(&t, ", peak ");
    enough_text(&t, peak_now(b));
    for (uint32_t i = 0; i < b->n; i++) {
        const struct plan *p = &b->plan[i];
        struct way w = p->now.way;
        if (w.parts < 2 && !w.extent)
            continue;
        changed++;
        text_printf(&t, "; %s:", p->g->name);
        if (w.parts > 1)
            text_printf(&t, " the batch in %u parts%s", w.parts, w.extent ? "," : "");
        if (w.extent)
            text_printf(&t, " computes again in the backward pass, %.1f %% more work",
                        100 * p->now.more);
    }
    fprintf(stderr, "%s%s\n", t.p, changed ? "" : ": it fits as it is");
    text_free(&t);
}

/* ---- the search ---- */

/* Likely ways first, since each takes its time; before it refuses, every way. */
static bool search(struct budget *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        struct plan *p = &b->plan[i];
        p->work = pass_work(p->g);
        attempt(b, p, (struct way){1, 1, 0});
        b->fixed.outputs += p->outputs;
        b->fixed.inputs = p->inputs > b->fixed.inputs ? p->inputs : b->fixed.inputs;
    }
    if (program_peak(b->fixed) >= b->c->budget && !b->c->over)
        return too_small(b);
    while (!choose(b)) {
        struct plan *p = largest(b), *next;
        uint64_t others = peak_now(b) - bytes_of(&p->now);
        uint32_t tried = p->tried.n;
        if (others < b->c->budget)
            look(b, p, b->c->budget - others);
        if (p->tried.n > tried)
            continue;
        next = next_to_exhaust(b);
        if (!next)
            return b->c->over || complain(b);
        exhaust(b, next);
    }
    return true;
}

bool nnc_budget_fit(struct nnc_compiled *c, struct ir_graph *const *g, uint32_t n)
{
    struct budget b = {c, n, xcalloc(n + 1, sizeof *b.plan), module_memory(c->m)};
    for (uint32_t i = 0; i < n; i++)
        b.plan[i].g = g[i];
    bool good = search(&b);
    if (good && !c->quiet)
        report(&b);
    for (uint32_t i = 0; good && i < n; i++)
        good = carry_out(g[i], &b.plan[i].now, &b.plan[i].refusal);
    for (uint32_t i = 0; i < n; i++)
        vec_free(&b.plan[i].tried);
    free(b.plan);
    return good;
}

/* ---- the option ---- */

bool nnc_parse_bytes(const char *text, uint64_t *bytes)
{
    static const struct {
        const char *name;
        double factor;
    } unit[] = {{"", 1},       {"B", 1},         {"K", 1e3},      {"KB", 1e3},
                {"M", 1e6},    {"MB", 1e6},      {"G", 1e9},      {"GB", 1e9},
                {"KiB", 1024}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
    char *end;
    double v = strtod(text, &end);
    bool decimal = *text >= '0' && *text <= '9' && text[1] != 'x' && text[1] != 'X';
    if (!decimal)
        return false;
    for (size_t i = 0; i < COUNT(unit); i++)
        if (!strcmp(unit[i].name, end) && v * unit[i].factor >= 1 && v * unit[i].factor < 1e18) {
            *bytes = (uint64_t)(v * unit[i].factor + 0.5);
            return true;
        }
    return false;
}
