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
};
struct plan {
    struct ir_graph *g; /* passes done, and nothing else */
    struct outcome now; /* of the way taken */
    VEC(struct outcome) tried;
    struct pass_refusal refusal;
    bool refused;      /* it does not go through in parts */
    uint32_t segments; /* with which least is reached; 0: not known yet */
};
struct budget {
    struct nnc_compiled *c;
    uint32_t n;
    struct plan *plan;
};

static uint64_t slot_bytes(struct ir_module *m)
{
    struct program *p = program_new(m);
    uint64_t bytes = program_memory(p).slots;
    program_free(p);
    return bytes;
}

/* ---- one way ---- */

static const char *const tidy[] = {"simplify", "cse", "dce"};

/* Does it to the graph. False: it does not go through in parts. */
static bool carry_out(struct ir_graph *g, struct way w, double *more, struct pass_refusal *why)
{
    *more = 0;
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
        *more = pass_extent(x, h, w.extent);
        pass_extents_free(x);
        ir_graph_free(whole);
    }
    return true;
}

/* Plans a copy of the graph. False: refused. `holders`: what is alive where most is, if wanted. */
static bool plan(struct budget *b, struct plan *p, struct way w, struct text *holders)
{
    struct ir_module *m = b->c->m;
    struct ir_graph *g = ir_graph_copy(p->g);
    uint32_t slots = m->slots.n;
    uint64_t before = slot_bytes(m);
    p->now.way = w;
    p->refused = !carry_out(g, w, &p->now.more, &p->refusal);
    if (!p->refused) {
        struct program *program = program_new(m);
        program_for(program, b->c->target);
        nnc_add_graph(b->c, program, g);
        struct program_memory memory = program_memory(program);
        p->now.arena = memory.arena;
        p->now.slots = memory.slots - before;
        vec_push(&p->tried, p->now);
        if (holders)
            nnc_list_holders(b->c, program, holders);
        program_free(program);
    }
    m->slots.n = slots;
    ir_graph_free(g);
    return !p->refused;
}

/* The same, but what has been tried is known. */
static bool attempt(struct budget *b, struct plan *p, struct way w)
{
    for (uint32_t i = 0; i < p->tried.n; i++)
        if (!memcmp(&p->tried.p[i].way, &w, sizeof w)) {
            p->now = p->tried.p[i];
            p->refused = false;
            return true;
        }
    return plan(b, p, w, NULL);
}

static uint64_t bytes_of(const struct outcome *o) { return o->arena + o->slots; }

/* Of all that was tried, what takes least. */
static const struct outcome *least(const struct plan *p)
{
    const struct outcome *o = &p->tried.p[0];
    for (uint32_t i = 1; i < p->tried.n; i++)
        if (bytes_of(&p->tried.p[i]) < bytes_of(o))
            o = &p->tried.p[i];
    return o;
}

/* ---- the search ---- */

static int64_t batch_of(const struct ir_graph *g)
{
    for (ir_id id = 1; id < g->nodes.n; id++)
        if (ir_at(g, id)->op == IR_input && ir_at(g, id)->nd)
            return ir_at(g, id)->dom[0].n;
    return 1;
}

static uint32_t extents(const struct ir_graph *g, uint32_t segments)
{
    struct pass_extents *x = pass_extents_new(g, segments);
    uint32_t n = pass_extents_count(x);
    pass_extents_free(x);
    return n;
}

static bool fits(struct budget *b, struct plan *p, struct way w, uint64_t room)
{
    return attempt(b, p, w) && bytes_of(&p->now) <= room;
}

/* How many segments leave least if everything in them is computed again. */
static uint32_t best_segments(struct budget *b, struct plan *p, uint32_t parts)
{
    static const uint32_t counts[] = {2, 4, 8, 16, 32};
    uint64_t best = UINT64_MAX;
    uint32_t segments = 1;
    for (size_t i = 0; i < COUNT(counts); i++) {
        struct way w = {parts, counts[i], extents(p->g, counts[i])};
        if (!attempt(b, p, w))
            break;
        if (bytes_of(&p->now) < best) {
            best = bytes_of(&p->now);
            segments = counts[i];
        } else if (bytes_of(&p->now) > best + best / 4) {
            break; /* more of them only keep more */
        }
    }
    return segments;
}

/* The least extent that fits, with the batch in so many parts. */
static bool fit_extent(struct budget *b, struct plan *p, uint32_t parts, uint64_t room)
{
    if (!extents(p->g, 1))
        return false;
    if (fits(b, p, (struct way){parts, 1, 1}, room))
        return true;
    if (p->refused)
        return false;
    p->segments = p->segments ? p->segments : best_segments(b, p, parts);
    uint32_t low = 1, high = extents(p->g, p->segments);
    if (!fits(b, p, (struct way){parts, p->segments, high}, room))
        return false;
    while (low + 1 < high) { /* low does not fit, high does */
        uint32_t middle = low + (high - low) / 2;
        if (fits(b, p, (struct way){parts, p->segments, middle}, room))
            high = middle;
        else
            low = middle;
    }
    return fits(b, p, (struct way){parts, p->segments, high}, room);
}

/* What going through in parts costs, as a share of the work: each one more reads the parameters and
 * adds to the accumulators, at some operations a byte, and starts all kernels once more. */
static double price(const struct plan *p, uint32_t parts)
{
    const double a_byte = 10, start = 0.01;
    return (parts - 1) * (start + 3 * (double)p->now.slots * a_byte / pass_work(p->g));
}

/* The cheapest way that leaves arena and accumulators in the room. */
static bool fit(struct budget *b, struct plan *p, uint64_t room)
{
    int64_t batch = batch_of(p->g);
    bool found = false, refused = false;
    struct way best = {1, 1, 0};
    double cheapest = 0;
    uint64_t whole = 0; /* bytes, at the least, with the batch in one part */
    for (uint32_t parts = 1; parts <= batch && parts < UINT16_MAX; parts++) {
        bool far = whole / parts / 2 > room && parts < batch;
        if (batch % parts || far)
            continue;
        bool as_it_is = fits(b, p, (struct way){parts, 1, 0}, room);
        if (p->refused) {
            refused = true;
            break;
        }
        if (found && price(p, parts) >= cheapest)
            break;
        if (as_it_is || fit_extent(b, p, parts, room)) {
            double cost = price(p, parts) + p->now.more;
            if (!found || cost < cheapest) {
                best = p->now.way;
                cheapest = cost;
            }
            found = true;
        }
        if (as_it_is)
            break;
        whole = whole ? whole : bytes_of(least(p));
    }
    if (found)
        attempt(b, p, best);
    p->refused = refused && !found;
    return found;
}

/* ---- what is said ---- */

static void bytes_text(struct text *t, uint64_t bytes)
{
    if (bytes < 1000000)
        text_printf(t, "%.1f KB", (double)bytes / 1e3);
    else
        text_printf(t, "%.1f MB", (double)bytes / 1e6);
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

static void slots_text(struct ir_module *m, struct text *t)
{
    uint64_t params = 0, opt = 0, all = slot_bytes(m);
    for (uint32_t i = 0; i < m->slots.n; i++) {
        const struct ir_slot *s = &m->slots.p[i];
        uint64_t n = nn_dtype_size(s->dtype);
        for (uint32_t k = 0; k < s->rank; k++)
            n *= (uint64_t)s->dim[k];
        params += s->kind == NN_SLOT_PARAM ? n : 0;
        opt += s->kind == NN_SLOT_OPT ? n : 0;
    }
    bytes_text(t, all);
    text_printf(t, " of slots (parameters ");
    bytes_text(t, params);
    text_printf(t, ", the optimizer's ");
    bytes_text(t, opt);
    text_printf(t, ")");
}

/* Not even what is fixed fits. */
static bool too_small(const struct budget *b)
{
    struct text t = {0};
    bytes_text(&t, b->c->budget);
    text_printf(&t, " is less than what is fixed: ");
    slots_text(b->c->m, &t);
    fprintf(stderr, "nnc: --budget: %s\n", t.p);
    text_free(&t);
    return false;
}

/* Why the graph does not fit, and where its memory is at the least. */
static bool complain(struct budget *b, struct plan *p, uint64_t fixed)
{
    struct text t = {0}, holders = {0};
    struct pass_refusal why = p->refusal;
    bool refused = p->refused && batch_of(p->g) > 1;
    text_printf(&t, "nnc: --budget: %s does not fit into ", p->g->name);
    bytes_text(&t, b->c->budget);
    text_printf(&t, "; the least is ");
    bytes_text(&t, fixed + bytes_of(least(p)));
    text_printf(&t, " with ");
    slots_text(b->c->m, &t);
    plan(b, p, least(p)->way, &holders);
    if (p->now.slots) {
        text_printf(&t, " and ");
        bytes_text(&t, p->now.slots);
        text_printf(&t, " of sums over the parts");
    }
    text_printf(&t, "; then these are alive at once:\n%s", holders.p ? holders.p : "");
    if (refused) {
        text_printf(&t, "  The batch does not go through in parts: ");
        place_text(b->c, why.origin, &t);
        text_printf(&t, " %s\n", why.why);
    }
    fprintf(stderr, "%s", t.p);
    text_free(&t);
    text_free(&holders);
    return false;
}

static void report(const struct budget *b, uint64_t peak)
{
    struct text t = {0};
    uint32_t changed = 0;
    text_printf(&t, "budget ");
    bytes_text(&t, b->c->budget);
    text_printf(&t, ", peak ");
    bytes_text(&t, peak);
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

/* ---- all graphs together ---- */

/* Slots, outputs, and the largest arena; *largest: whose it is. */
static uint64_t peak(const struct budget *b, uint64_t fixed, struct plan **largest)
{
    uint64_t arena = 0;
    *largest = &b->plan[0];
    for (uint32_t i = 0; i < b->n; i++) {
        fixed += b->plan[i].now.slots;
        if (b->plan[i].now.arena > arena) {
            arena = b->plan[i].now.arena;
            *largest = &b->plan[i];
        }
    }
    return fixed + arena;
}

static bool search(struct budget *b, uint64_t fixed)
{
    struct plan *p;
    for (uint32_t i = 0; i < b->n; i++)
        attempt(b, &b->plan[i], (struct way){1, 1, 0});
    /* One graph's accumulators leave less room for the others: until all fit. */
    for (uint32_t round = 0; peak(b, fixed, &p) > b->c->budget; round++) {
        uint64_t others = fixed;
        for (uint32_t i = 0; i < b->n; i++)
            others += &b->plan[i] == p ? 0 : b->plan[i].now.slots;
        if (others >= b->c->budget)
            return too_small(b);
        if (round > 4 * b->n || !fit(b, p, b->c->budget - others))
            return complain(b, p, others);
    }
    return true;
}

bool nnc_budget_fit(struct nnc_compiled *c, struct ir_graph *const *g, uint32_t n)
{
    struct budget b = {c, n, xcalloc(n + 1, sizeof *b.plan)};
    uint64_t fixed = slot_bytes(c->m);
    for (uint32_t i = 0; i < n; i++) {
        b.plan[i].g = g[i];
        for (uint32_t k = 0; k < g[i]->outputs.n; k++) {
            const struct ir_node *o = ir_at(g[i], g[i]->outputs.p[k].node);
            fixed += ((uint64_t)ir_count(o) * nn_dtype_size(o->dtype) + 63) / 64 * 64;
        }
    }
    struct plan *largest;
    bool good = search(&b, fixed);
    if (good && !c->quiet)
        report(&b, peak(&b, fixed, &largest));
    for (uint32_t i = 0; good && i < n; i++)
        good = carry_out(g[i], b.plan[i].now.way, &b.plan[i].now.more, &b.plan[i].refusal);
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
    if (end == text || !(*text >= '0' && *text <= '9'))
        return false;
    for (size_t i = 0; i < COUNT(unit); i++)
        if (!strcmp(unit[i].name, end) && v * unit[i].factor >= 1 && v * unit[i].factor < 1e18) {
            *bytes = (uint64_t)(v * unit[i].factor);
            return true;
        }
    return false;
}
