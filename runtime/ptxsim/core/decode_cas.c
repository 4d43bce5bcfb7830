/* decode_cas: what a function's own atomics say of its other instructions. A loop of compare and
 * swap begins with a plain load of the word, as in the CUDA headers: that a loaded value is old
 * does no harm, as the swap finds out. Such a load is marked MOD_GUESS: race.c takes it for a
 * relaxed one. An atomic whose result nobody uses is marked MOD_BLIND: it does not tell its thread
 * who came before. */
#include "decode.h"
#include "taint.h"
#include <stdlib.h>
#include <string.h>

#define CAS 5 /* of atomics' operations */

/* Registers that hold the same value at some time, as moves and conversions tell: a forest over
 * rows, each row's number its place in the window. */
struct row {
    uint32_t parent;
    /* A constant or the like: what is moved from there are no copies of one another. */
    const struct sim_preset *preset;
    /* Of a class: it is class `from` plus `by`, if that is not 0. */
    uint32_t from;
    int64_t by;
};

static uint32_t root(struct row *r, uint32_t at)
{
    uint32_t k = at / 128;
    while (r[k].parent != k)
        k = r[k].parent = r[r[k].parent].parent;
    return k;
}

static void unite(struct row *r, uint32_t a, uint32_t b)
{
    if (!r[a / 128].preset && !r[b / 128].preset)
        r[root(r, a)].parent = root(r, b);
}

static void follow(struct decoder *d, struct row *r, const struct sim_inst *i)
{
    bool move = i->op < SIM_OP_FIRST && !strncmp(d->rows.row[i->op].key, "mov.", 4);
    if (i->kind == RUN_LANES && (move || i->op == SIM_OP_CVT || i->op == SIM_OP_ADDRESS))
        unite(r, i->d, i->a);
    for (uint32_t k = 0; i->op == SIM_OP_PACK && k < i->count; k++)
        unite(r, i->d, d->ext[i->ext + k]);
    for (uint32_t k = 0; i->op == SIM_OP_UNPACK && k < i->count; k++)
        unite(r, d->ext[i->ext + k], i->a);
}

/* Addresses that differ by constants. */
static void follow_add(struct decoder *d, struct row *r, const struct sim_inst *i)
{
    if (i->kind != RUN_LANES || i->op >= SIM_OP_FIRST ||
        (strcmp(d->rows.row[i->op].key, "add.b64") != 0 &&
         strcmp(d->rows.row[i->op].key, "add.b32") != 0))
        return;
    const struct sim_preset *b = r[i->b / 128].preset;
    uint32_t to = root(r, i->d), from = root(r, i->a);
    if (b && to != from && !r[to].by && (b->kind == PRESET_64 || b->kind == PRESET_32)) {
        r[to].from = from;
        r[to].by = b->kind == PRESET_64 ? (int64_t)b->value : (int32_t)b->value;
    }
}

/* Where a word lies, and what is loaded from or compared with it: classes of registers. */
struct place {
    int64_t imm;
    uint32_t at, value, bytes;
};

static int place_order(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->imm != y->imm       ? (x->imm < y->imm ? -1 : 1)
           : x->at != y->at       ? (x->at < y->at ? -1 : 1)
           : x->value != y->value ? (x->value < y->value ? -1 : 1)
                                  : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static bool is_swap(const struct sim_inst *i) { return i->fn == sim_atomic && i->count == CAS; }
static bool is_plain_load(const struct sim_inst *i)
{
    return i->fn == sim_load && !(i->mods & MOD_STRONG);
}

static struct place place(struct row *r, const struct sim_inst *i, uint32_t value)
{
    struct place p = {i->imm, root(r, i->a), root(r, value), (uint32_t)i->size * i->count};
    for (int k = 0; k < 4 && r[p.at].by; k++) {
        p.imm = (int64_t)((uint64_t)p.imm + (uint64_t)r[p.at].by);
        p.at = r[p.at].from;
    }
    return p;
}

static void mark_guesses(struct decoder *d, struct row *r, struct place *swap, size_t swaps)
{
    size_t n = 0;
    for (uint32_t k = 0; k < d->preset_count; k++)
        r[d->preset[k].at / 128].preset = &d->preset[k];
    for (uint32_t k = 0; k < d->count; k++)
        follow(d, r, &d->code[k]);
    for (uint32_t k = 0; k < d->count; k++)
        follow_add(d, r, &d->code[k]);
    for (uint32_t k = 0; k < d->count; k++) {
        const struct sim_inst *i = &d->code[k];
        if (is_swap(i)) {
            swap[n] = place(r, i, i->b);
            swap[n++].bytes = i->size;
        }
    }
    qsort(swap, swaps, sizeof *swap, place_order);
    for (uint32_t k = 0; k < d->count; k++) {
        struct sim_inst *i = &d->code[k];
        for (uint32_t e = 0; is_plain_load(i) && e < i->count; e++) {
            struct place p = place(r, i, d->ext[i->ext + e]);
            if (bsearch(&p, swap, swaps, sizeof *swap, place_order))
                i->mods |= MOD_GUESS;
        }
    }
}

void dec_atomics(struct decoder *d)
{
    size_t swaps = 0;
    for (uint32_t k = 0; k < d->spans; k++) { /* a register that only an atomic mentions */
        uint32_t at = d->span[k].first - 1;
        if (d->span[k].first == d->span[k].last && at < d->count && d->code[at].fn == sim_atomic)
            d->code[at].d = NO_OPERAND;
    }
    for (uint32_t k = 0; k < d->count; k++) {
        struct sim_inst *i = &d->code[k];
        swaps += is_swap(i);
        i->mods |= i->fn == sim_atomic && i->d == NO_OPERAND ? MOD_BLIND : 0;
    }
    if (!swaps)
        return;
    uint32_t rows = d->window / 128 + 1;
    struct row *r = calloc(rows, sizeof *r);
    struct place *swap = malloc(swaps * sizeof *swap);
    for (uint32_t k = 0; r && k < rows; k++)
        r[k].parent = k;
    if (r && swap)
        mark_guesses(d, r, swap, swaps);
    else
        FAIL(d, "out of memory");
    free(r);
    free(swap);
}

void dec_guesses_of_debug(struct sim_module *m)
{
    bool any = false;
    for (size_t f = 0; f < m->functions; f++)
        for (uint32_t k = 0; k < m->function[f]->count; k++)
            any = any || is_swap(&m->function[f]->code[k]);
    for (size_t f = 0; any && f < m->functions; f++)
        for (uint32_t k = 0; k < m->function[f]->count; k++)
            if (is_plain_load(&m->function[f]->code[k]))
                m->function[f]->code[k].mods |= MOD_GUESS;
}
