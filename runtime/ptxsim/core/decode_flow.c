/* decode_flow: branches, calls, barriers, and instructions of a whole warp. */
#include "decode.h"
#include "exec.h"
#include "taint.h"

bool decode_bra(struct decoder *d, struct ins *x)
{
    dec_has(x, "uni");
    if (!dec_operands_are(d, x, 1, 1))
        return false;
    struct symbol *s = x->op[0]->kind == PTX_NAME ? dec_symbol_find(d, x->op[0]->name) : NULL;
    if (x->op[0]->kind != PTX_NAME)
        return FAIL(d, "a branch needs a label");
    if (!s || s->kind != SYM_LABEL)
        return FAIL(d, "unknown label `%s`", x->op[0]->name);
    struct sim_inst *i = dec_emit(d, NULL, RUN_BRANCH, SIM_CONTROL);
    i->imm = (int64_t)(uintptr_t)s;
    return true;
}

bool decode_brx(struct decoder *d, struct ins *x)
{
    dec_has(x, "uni");
    if (!dec_has(x, "idx") || !dec_operands_are(d, x, 2, 2))
        return FAIL(d, "brx.idx needs an index and a table");
    struct symbol *s = x->op[1]->kind == PTX_NAME ? dec_symbol_find(d, x->op[1]->name) : NULL;
    if (!s || s->kind != SYM_TARGETS)
        return FAIL(d, "unknown table of branch targets");
    struct sim_inst *i = dec_emit(d, NULL, RUN_INDEXED, SIM_CONTROL);
    i->imm = (int64_t)(uintptr_t)s;
    return dec_source(d, x->op[0], 'w', &i->a);
}

/* Arguments and results are variables of this function's .param space, which is local memory. */
static bool call_list(struct decoder *d, struct ptx_operand *list, uint32_t *first, uint32_t *count)
{
    *first = d->ext_count;
    *count = 0;
    for (struct ptx_operand *o = list ? list->items : NULL; o; o = o->next) {
        struct symbol *s = o->kind == PTX_NAME ? dec_symbol_find(d, o->name) : NULL;
        if (!s || s->kind != SYM_VARIABLE || s->space != PTX_LOCAL)
            return s && s->kind == SYM_REGISTER
                       ? dec_unsupported(d, "a call with registers as arguments")
                       : FAIL(d, "an argument of a call must be a .param variable");
        uint32_t pair[2] = {(uint32_t)s->address, (uint32_t)s->bytes};
        dec_ext_add(d, pair, 2);
        ++*count;
    }
    return true;
}

static bool call_matches(struct decoder *d, const struct sim_call *c, const struct ptx_decl *args,
                         const struct ptx_decl *results)
{
    uint32_t a = 0, r = 0;
    for (; args; args = args->next)
        a++;
    for (; results; results = results->next)
        r++;
    return (a == c->arg_count && r == c->result_count) ||
           FAIL(d, "the call has other arguments than its function");
}

static struct ptx_function *tree_function(struct decoder *d, const char *name)
{
    struct ptx_function *found = NULL;
    for (struct ptx_function *t = d->m->tree->functions; t; t = t->next)
        if (!strcmp(t->name, name) && (!found || t->defined))
            found = t;
    return found;
}

static struct sim_call *call_add(struct decoder *d)
{
    if (d->call_count == d->call_cap) {
        uint32_t cap = d->call_cap ? d->call_cap * 2 : 8;
        struct sim_call *more = ptx_alloc(d->mem, cap * sizeof *more);
        if (!more)
            return NULL;
        if (d->call)
            memcpy(more, d->call, d->call_count * sizeof *more);
        d->call = more;
        d->call_cap = cap;
    }
    return &d->call[d->call_count++];
}

bool decode_call(struct decoder *d, struct ins *x)
{
    dec_has(x, "uni");
    int at = 0;
    struct ptx_operand *results = x->ops && x->op[0]->kind == PTX_LIST ? x->op[at++] : NULL;
    if (at >= x->ops || x->op[at]->kind != PTX_NAME)
        return FAIL(d, "call needs a function");
    struct ptx_operand *callee = x->op[at++];
    struct ptx_operand *args = at < x->ops && x->op[at]->kind == PTX_LIST ? x->op[at++] : NULL;
    struct ptx_operand *proto = at < x->ops ? x->op[at++] : NULL;
    struct symbol *s = dec_symbol_find(d, callee->name);
    struct sim_call *c = call_add(d);
    if (!c)
        return FAIL(d, "the module is too large");
    uint32_t number = d->call_count - 1;
    if (!call_list(d, results, &c->results, &c->result_count) ||
        !call_list(d, args, &c->args, &c->arg_count))
        return false;
    struct sim_inst *i = dec_emit(d, NULL, RUN_CALL, SIM_CONTROL);
    i->imm = number;
    if (s && s->kind == SYM_FUNCTION) {
        struct ptx_function *t = tree_function(d, callee->name);
        if (!t || t->entry)
            return FAIL(d, "`%s` cannot be called", callee->name);
        enum sim_builtin_code code;
        if (!s->function->defined && sim_builtin_find(callee->name, c, &code)) {
            i->kind = RUN_ACCESS;
            i->fn = sim_builtin;
            i->sub = (uint8_t)code;
            return true;
        }
        if (!s->function->defined) {
            char what[100];
            snprintf(what, sizeof what, "the external function `%.70s`", callee->name);
            return dec_unsupported(d, what);
        }
        c->callee = s->function;
        return call_matches(d, c, t->params, t->results);
    }
    struct symbol *p = proto && proto->kind == PTX_NAME ? dec_symbol_find(d, proto->name) : NULL;
    if (!s || s->kind != SYM_REGISTER || !p || p->kind != SYM_PROTO)
        return FAIL(d, "unknown function `%s`", callee->name);
    return call_matches(d, c, p->stmt->params, p->stmt->decls) && dec_source(d, callee, 'l', &i->a);
}

bool decode_ret(struct decoder *d, struct ins *x)
{
    dec_has(x, "uni");
    dec_emit(d, NULL, d->tree->entry ? RUN_EXIT : RUN_RETURN, SIM_CONTROL);
    return dec_operands_are(d, x, 0, 0);
}

bool decode_exit(struct decoder *d, struct ins *x)
{
    dec_emit(d, NULL, RUN_EXIT, SIM_CONTROL);
    return dec_operands_are(d, x, 0, 0);
}

bool decode_trap(struct decoder *d, struct ins *x)
{
    dec_emit(d, NULL, RUN_TRAP, SIM_CONTROL);
    return dec_operands_are(d, x, 0, 0);
}

/* sub: 0 arrive, 1 wait; MOD_PAIR: not aligned. */
static bool cluster_bar(struct decoder *d, struct ins *x)
{
    bool arrive = dec_has(x, "arrive"), relaxed = arrive && dec_has(x, "relaxed");
    struct sim_inst *i = dec_emit(d, NULL, RUN_CLUSTER, SIM_CONTROL);
    if (!arrive && !dec_has(x, "wait"))
        return FAIL(d, "a barrier of the cluster needs .arrive or .wait");
    dec_has(x, arrive ? "release" : "acquire");
    i->sub = !arrive;
    i->mods = (dec_has(x, "aligned") ? 0 : MOD_PAIR) | (!arrive   ? MOD_ACQUIRE
                                                        : relaxed ? 0
                                                                  : MOD_RELEASE);
    return dec_operands_are(d, x, 0, 0);
}

/* sub: 0 sync, 1 arrive, 2 red.and, 3 red.or, 4 red.popc; a: number, b: threads (or NO_OPERAND);
 * MOD_PAIR: not aligned (barrier without .aligned). */
bool decode_bar(struct decoder *d, struct ins *x)
{
    bool barrier = !strcmp(x->name, "barrier");
    if (dec_has(x, "warp")) {
        struct sim_inst *i = dec_emit(d, NULL, RUN_WARPBAR, SIM_CONTROL);
        return dec_has(x, "sync") && dec_operands_are(d, x, 1, 1) &&
               dec_source(d, x->op[0], 'w', &i->a);
    }
    if (dec_has(x, "cluster"))
        return cluster_bar(d, x);
    dec_has(x, "cta");
    bool aligned = dec_has(x, "aligned") || !barrier;
    struct sim_inst *i = dec_emit(d, NULL, RUN_BARRIER, SIM_CONTROL);
    i->mods = aligned ? 0 : MOD_PAIR;
    i->b = NO_OPERAND;
    int first = 0;
    bool negated = false;
    if (dec_has(x, "red")) {
        const char *op = dec_has_any(x, "and or popc");
        dec_has_any(x, "pred u32");
        if (!op || !dec_operands_are(d, x, 3, 4))
            return FAIL(d, "bar.red needs an operation, a result, a barrier and a predicate");
        i->sub = *op == 'a' ? 2 : *op == 'o' ? 3 : 4;
        if (!dec_target(d, x->op[0], i->sub == 4 ? 'w' : 'p', &i->d) ||
            !dec_pred_source(d, x->op[x->ops - 1], &i->c, &negated))
            return false;
        i->mods |= negated ? MOD_NOT : 0;
        first = 1;
        x->ops--;
    } else if (dec_has(x, "arrive")) {
        i->sub = 1;
    } else if (!dec_has(x, "sync")) {
        return FAIL(d, "a barrier needs .sync, .arrive or .red");
    }
    if (x->ops <= first || !dec_source(d, x->op[first], 'w', &i->a))
        return FAIL(d, "a barrier needs its number");
    if (x->ops > first + 1)
        return dec_source(d, x->op[first + 1], 'w', &i->b);
    return i->sub != 1 || FAIL(d, "bar.arrive needs the number of threads");
}

/* ---- of a warp ---- */
static struct sim_inst *sync_inst(struct decoder *d, sim_handler *fn, enum sim_class cls)
{
    return dec_emit(d, fn, RUN_SYNC, cls);
}

/* e: the row with the member mask. */
bool decode_shfl(struct decoder *d, struct ins *x)
{
    static const char *const modes[] = {"up", "down", "bfly", "idx"};
    struct sim_inst *i = sync_inst(d, sim_shfl, SIM_ALU);
    const char *mode = dec_has_any(x, "up down bfly idx");
    if (!dec_has(x, "sync") || !mode || !dec_has(x, "b32") || !dec_operands_are(d, x, 5, 5))
        return FAIL(d, "shfl.sync needs a mode, .b32 and five operands");
    for (uint8_t k = 0; k < 4; k++)
        if (!strcmp(mode, modes[k]))
            i->sub = k;
    struct ptx_operand *to = x->op[0];
    i->ext = NO_OPERAND;
    if (to->kind == PTX_PAIR) {
        if (!dec_target(d, to->items->next, 'p', &i->ext))
            return false;
        to = to->items;
    }
    return dec_target(d, to, 'w', &i->d) && dec_source(d, x->op[1], 'w', &i->a) &&
           dec_source(d, x->op[2], 'w', &i->b) && dec_source(d, x->op[3], 'w', &i->c) &&
           dec_source(d, x->op[4], 'w', &i->e);
}

bool decode_vote(struct decoder *d, struct ins *x)
{
    static const char *const modes[] = {"all", "any", "uni", "ballot"};
    struct sim_inst *i = sync_inst(d, sim_vote, SIM_ALU);
    bool negated;
    const char *mode = dec_has_any(x, "all any uni ballot");
    if (!dec_has(x, "sync") || !mode || !dec_operands_are(d, x, 3, 3))
        return FAIL(d, "vote.sync needs a mode and three operands");
    for (uint8_t k = 0; k < 4; k++)
        if (!strcmp(mode, modes[k]))
            i->sub = k;
    dec_has_any(x, "pred b32");
    if (!dec_target(d, x->op[0], i->sub == 3 ? 'w' : 'p', &i->d) ||
        !dec_pred_source(d, x->op[1], &i->a, &negated))
        return false;
    i->mods = negated ? MOD_NOT : 0;
    return dec_source(d, x->op[2], 'w', &i->e);
}

bool decode_match(struct decoder *d, struct ins *x)
{
    struct type t;
    struct sim_inst *i = sync_inst(d, sim_match, SIM_ALU);
    const char *mode = dec_has_any(x, "any all");
    if (!dec_has(x, "sync") || !mode || !dec_take_type(x, &t) || !dec_operands_are(d, x, 3, 3))
        return FAIL(d, "match.sync needs a mode, a type and three operands");
    i->sub = mode[1] == 'l';
    i->size = t.size;
    i->ext = NO_OPERAND;
    struct ptx_operand *to = x->op[0];
    if (to->kind == PTX_PAIR) {
        if (!dec_target(d, to->items->next, 'p', &i->ext))
            return false;
        to = to->items;
    }
    return dec_target(d, to, 'w', &i->d) && dec_source(d, x->op[1], dec_letter_of(t.size), &i->a) &&
           dec_source(d, x->op[2], 'w', &i->e);
}

bool decode_redux(struct decoder *d, struct ins *x)
{
    static const char *const ops[] = {"add", "min", "max", "and", "or", "xor"};
    struct type t;
    struct sim_inst *i = sync_inst(d, sim_redux, SIM_ALU);
    const char *op = dec_has_any(x, "add min max and or xor");
    if (!dec_has(x, "sync") || !op)
        return FAIL(d, "redux.sync needs an operation");
    i->mods |= dec_has(x, "abs") ? MOD_ABS : 0;
    i->mods |= dec_has(x, "NaN") ? MOD_NAN : 0;
    if (!dec_take_type(x, &t) || t.size != 4 || !dec_operands_are(d, x, 3, 3))
        return FAIL(d, "redux.sync needs a type of 32 bits and three operands");
    for (uint8_t k = 0; k < 6; k++)
        if (!strcmp(op, ops[k]))
            i->sub = k;
    i->mods |= t.letter == 's' ? MOD_SIGNED : 0;
    i->count = t.letter == 'f';
    if (i->count && i->sub != 1 && i->sub != 2)
        return FAIL(d, "no such redux on floats");
    return dec_target(d, x->op[0], 'w', &i->d) && dec_source(d, x->op[1], 'w', &i->a) &&
           dec_source(d, x->op[2], 'w', &i->e);
}

bool decode_activemask(struct decoder *d, struct ins *x)
{
    struct sim_inst *i = dec_emit(d, sim_activemask, RUN_LANES, SIM_ALU);
    i->op = SIM_OP_FRESH;
    i->size = 4;
    return dec_has(x, "b32") && dec_operands_are(d, x, 1, 1) && dec_target(d, x->op[0], 'w', &i->d);
}

bool decode_elect(struct decoder *d, struct ins *x)
{
    struct sim_inst *i = sync_inst(d, sim_elect, SIM_ALU);
    if (!dec_has(x, "sync") || !dec_operands_are(d, x, 2, 2) || x->op[0]->kind != PTX_PAIR)
        return FAIL(d, "elect.sync gives d|p");
    return dec_target(d, x->op[0]->items, 'w', &i->d) &&
           dec_target(d, x->op[0]->items->next, 'p', &i->ext) &&
           dec_source(d, x->op[1], 'w', &i->e);
}

bool decode_nanosleep(struct decoder *d, struct ins *x)
{
    dec_emit(d, NULL, RUN_WAIT, SIM_CONTROL);
    return dec_has(x, "u32") && dec_operands_are(d, x, 1, 1);
}

bool decode_griddep(struct decoder *d, struct ins *x)
{
    (void)d;
    return dec_has_any(x, "launch_dependents wait") && dec_operands_are(d, x, 0, 0);
}
