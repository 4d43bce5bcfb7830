/* tensor: mma and wmma, ldmatrix and its kin, cp.async. Products of halves and of tf32 are exact in
 * f32, so that a sum of products here is a chain of fused steps in the order of k; the hardware's
 * order is its own. */
#include "tensor.h"
#include "access.h"
#include "number.h"
#include "taint.h"
#include <fenv.h>
#include <math.h>
#include <stdlib.h>

/* ---- fragments ---- */
static float narrow(uint8_t e, uint32_t word, int part)
{
    uint32_t h = word >> sim_element_bits(e) * part;
    switch ((enum element)e) {
    case EL_F16: return sim_from_f16(h & 0xFFFF);
    case EL_BF16: return sim_from_bf16(h & 0xFFFF);
    case EL_TF32: return sim_f32(word & 0xFFFFE000);
    case EL_S8: return (float)(int8_t)h;
    case EL_U8: return (float)(uint8_t)h;
    case EL_E4M3: return sim_from_e4m3(h & 255);
    case EL_E5M2: return sim_from_e5m2(h & 255);
    case EL_F32:
    case EL_F64:
    case EL_S32: break;
    }
    return sim_f32(word);
}

struct tile {
    float a[32][32], b[32][32], c[32][32]; /* a: m k, b: k n */
    uint32_t bad_a, bad_b;                 /* rows of a, columns of b with undefined bits */
};

/* The place of element `part` of register `r` in lane `l`. */
static void place_a(const struct mma *m, int l, int r, int part, int per, int *row, int *col)
{
    if (m->wmma) {
        int index = (l * m->a_count * per + r * per + part) % (m->m * m->k);
        *row = index / m->k, *col = index % m->k;
        return;
    }
    int halves = m->m / 8;
    *row = l / 4 + 8 * (r % halves);
    *col = r / halves * 4 * per + l % 4 * per + part;
}
static void place_b(const struct mma *m, int l, int r, int part, int per, int *row, int *col)
{
    if (m->wmma) {
        int index = (l * m->b_count * per + r * per + part) % (m->k * m->n);
        *row = index / m->n, *col = index % m->n;
        return;
    }
    *row = r * 4 * per + l % 4 * per + part;
    *col = l / 4;
}
/* Element j of a lane's part of c or d. */
static void place_c(const struct mma *m, int l, int j, int *row, int *col)
{
    if (m->wmma) {
        int index = l * (m->m * m->n / SIM_LANES) + j;
        *row = index / m->n, *col = index % m->n;
        return;
    }
    *row = l / 4 + 8 * (j / 2);
    *col = l % 4 * 2 + j % 2;
}

static void gather(struct sim_warp *w, const struct mma *m, struct tile *t)
{
    const uint32_t *ext = w->frame->f->ext;
    int pa = 32 / sim_element_bits(m->a), pb = 32 / sim_element_bits(m->b), row, col;
    int na = m->wmma ? m->a_count : m->m * m->k / SIM_LANES / pa,
        nb = m->wmma ? m->b_count : m->n * m->k / SIM_LANES / pb;
    for (int r = 0; r < na; r++) {
        const uint32_t *v = sim_row32(w, ext[m->a_at + (uint32_t)r]);
        for (int l = 0; l < SIM_LANES; l++)
            for (int p = 0; p < pa; p++) {
                place_a(m, l, r, p, pa, &row, &col);
                t->a[row][col] = narrow(m->a, v[l], p);
                if (w->tainted && sim_taint_get(w, ext[m->a_at + (uint32_t)r], 4, l))
                    t->bad_a |= 1u << row;
            }
    }
    for (int r = 0; r < nb; r++) {
        const uint32_t *v = sim_row32(w, ext[m->b_at + (uint32_t)r]);
        for (int l = 0; l < SIM_LANES; l++)
            for (int p = 0; p < pb; p++) {
                place_b(m, l, r, p, pb, &row, &col);
                t->b[row][col] = narrow(m->b, v[l], p);
                if (w->tainted && sim_taint_get(w, ext[m->b_at + (uint32_t)r], 4, l))
                    t->bad_b |= 1u << col;
            }
    }
}

static uint32_t c_bits(struct sim_warp *w, const struct mma *m, uint8_t e, uint32_t at, int l,
                       int j)
{
    uint32_t row = w->frame->f->ext[at + (uint32_t)(e == EL_F16 ? j / 2 : j)];
    (void)m;
    uint32_t v = sim_row32(w, row)[l];
    return e == EL_F16 ? v >> 16 * (j & 1) & 0xFFFF : v;
}

static void put_d(struct sim_warp *w, const struct mma *m, int l, int j, uint32_t bits)
{
    uint32_t row = w->frame->f->ext[m->d_at + (uint32_t)(m->d == EL_F16 ? j / 2 : j)],
             *d = &sim_row32(w, row)[l];
    if (m->d == EL_F16)
        *d = j & 1 ? (*d & 0xFFFF) | bits << 16 : (*d & 0xFFFF0000) | bits;
    else
        *d = bits;
}

static void taint_d(struct sim_warp *w, const struct mma *m, const struct tile *t, int l, int j,
                    int row, int col)
{
    const uint32_t *ext = w->frame->f->ext;
    bool bad = t->bad_a >> row & 1 || t->bad_b >> col & 1 ||
               sim_taint_get(w, ext[m->c_at + (uint32_t)(m->c == EL_F16 ? j / 2 : j)], 4, l);
    uint32_t at = ext[m->d_at + (uint32_t)(m->d == EL_F16 ? j / 2 : j)];
    if (bad || m->d != EL_F16 || !(j & 1))
        sim_taint_set(w, at, 4, l, bad ? 0xFFFFFFFF : 0);
}

static void mma_float(struct sim_warp *w, const struct mma *m)
{
    struct tile t;
    int per = m->m * m->n / SIM_LANES, row, col;
    t.bad_a = t.bad_b = 0;
    gather(w, m, &t);
    for (int l = 0; l < SIM_LANES; l++)
        for (int j = 0; j < per; j++) {
            place_c(m, l, j, &row, &col);
            uint32_t v = c_bits(w, m, m->c, m->c_at, l, j);
            t.c[row][col] = m->c == EL_F16 ? sim_from_f16(v) : sim_f32(v);
        }
    for (int r = 0; r < m->m; r++)
        for (int k = 0; k < m->k; k++) {
            float a = t.a[r][k];
            for (int c = 0; c < m->n; c++)
                t.c[r][c] += a * t.b[k][c];
        }
    for (int l = 0; l < SIM_LANES; l++)
        for (int j = 0; j < per; j++) {
            place_c(m, l, j, &row, &col);
            if (w->tainted)
                taint_d(w, m, &t, l, j, row, col);
            put_d(w, m, l, j,
                  m->d == EL_F16 ? sim_to_f16(t.c[row][col]) : sim_bits32(t.c[row][col]));
        }
}

/* Sums of products of bytes fit f32 exactly up to 2^24, but not with the accumulator: in integers.
 */
static void mma_int(struct sim_warp *w, const struct mma *m)
{
    struct tile t;
    int per = m->m * m->n / SIM_LANES, row, col;
    t.bad_a = t.bad_b = 0;
    gather(w, m, &t);
    uint32_t r[SIM_LANES][16];
    for (int l = 0; l < SIM_LANES; l++)
        for (int j = 0; j < per; j++) {
            place_c(m, l, j, &row, &col);
            float sum = 0;
            for (int k = 0; k < m->k; k++)
                sum += t.a[row][k] * t.b[k][col];
            int64_t v = (int64_t)(int32_t)c_bits(w, m, m->c, m->c_at, l, j) + (int64_t)sum;
            if (m->satfinite)
                v = v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : v;
            r[l][j] = (uint32_t)v;
            if (w->tainted)
                taint_d(w, m, &t, l, j, row, col);
        }
    for (int l = 0; l < SIM_LANES; l++)
        for (int j = 0; j < per; j++)
            put_d(w, m, l, j, r[l][j]);
}

static void mma_double(struct sim_warp *w, const struct mma *m)
{
    const uint32_t *ext = w->frame->f->ext;
    static const int modes[4] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
    double a[16][16], b[16][8], c[16][8];
    int row, col, per = m->m * m->n / SIM_LANES;
    bool bad = false;
    for (int r = 0; r < m->m * m->k / SIM_LANES; r++)
        for (int l = 0; l < SIM_LANES; l++) {
            place_a(m, l, r, 0, 1, &row, &col);
            a[row][col] = sim_f64(sim_row64(w, ext[m->a_at + (uint32_t)r])[l]);
            bad = bad || (w->tainted && sim_taint_get(w, ext[m->a_at + (uint32_t)r], 8, l));
        }
    for (int r = 0; r < m->n * m->k / SIM_LANES; r++)
        for (int l = 0; l < SIM_LANES; l++) {
            place_b(m, l, r, 0, 1, &row, &col);
            b[row][col] = sim_f64(sim_row64(w, ext[m->b_at + (uint32_t)r])[l]);
            bad = bad || (w->tainted && sim_taint_get(w, ext[m->b_at + (uint32_t)r], 8, l));
        }
    for (int l = 0; l < SIM_LANES; l++)
        for (int j = 0; j < per; j++) {
            place_c(m, l, j, &row, &col);
            c[row][col] = sim_f64(sim_row64(w, ext[m->c_at + (uint32_t)j])[l]);
        }
    fesetround(modes[m->rounding]);
    for (row = 0; row < m->m; row++)
        for (col = 0; col < m->n; col++) {
            volatile double sum = c[row][col]; /* kept between the two changes of rounding */
            for (int k = 0; k < m->k; k++)
                sum = fma(a[row][k], b[k][col], sum);
            c[row][col] = sum;
        }
    fesetround(FE_TONEAREST);
    for (int l = 0; l < SIM_LANES; l++)
        for (int j = 0; j < per; j++) {
            place_c(m, l, j, &row, &col);
            uint32_t at = ext[m->d_at + (uint32_t)j];
            if (w->tainted)
                sim_taint_set(w, at, 8, l,
                              bad || sim_taint_get(w, ext[m->c_at + (uint32_t)j], 8, l) ? UINT64_MAX
                                                                                        : 0);
            sim_row64(w, at)[l] = sim_bits64(c[row][col]);
        }
}

static bool whole_warp(struct sim_warp *w, uint32_t mask, const char *what)
{
    if (mask == SIM_ALL)
        return true;
    sim_report(w, SIM_FAULT_SHUFFLE, sim_first(mask),
               "%s is executed by lanes %08x, not by a whole warp", what, mask);
    return false;
}

void sim_mma(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    struct mma m;
    memcpy(&m, w->frame->f->ext + i->ext, sizeof m);
    if (!whole_warp(w, mask, "mma"))
        return;
    if (m.a == EL_F64)
        mma_double(w, &m);
    else if (m.d == EL_S32)
        mma_int(w, &m);
    else
        mma_float(w, &m);
}

/* ---- bytes of memory outside of ld and st ---- */
/* A row of `n` bytes at each lane of the mask, in one space; host pointers out. False: reported. */
static bool rows_at(struct sim_warp *w, enum ptx_space space, uint64_t *at, uint32_t mask,
                    uint32_t n, bool write, uint8_t **host, struct sim_region **region)
{
    w->reaches = false;
    if (!space) {
        uint32_t part = sim_generic(at, mask, &space);
        if (part != mask) {
            sim_report(w, SIM_FAULT_BOUNDS, sim_first(mask),
                       "addresses of several state spaces in one instruction of the warp");
            return false;
        }
    }
    if (!sim_aligned(w, space, at, mask, n, write))
        return false;
    if (space != PTX_SHARED && space != PTX_GLOBAL) {
        sim_report(w, SIM_FAULT_BOUNDS, sim_first(mask),
                   "an access of the warp outside of global and shared memory");
        return false;
    }
    for (uint32_t left = mask, part; left; left &= ~part) {
        struct sim_region *r = sim_access_region(w, space, at, left, n, write, &part);
        if (!r)
            return false;
        region[sim_first(left)] = r;
        for (int l = 0; l < SIM_LANES; l++)
            if (part >> l & 1)
                host[l] = r->host + (at[l] - r->lo);
        if (part != left && region) {
            sim_report(w, SIM_FAULT_BOUNDS, sim_first(left & ~part),
                       "an access of the warp to several allocations");
            return false;
        }
        if (w->worker->job->checked) {
            sim_race_access(w, r, at, part, n, write, 0);
            if (w->worker->failed)
                return false;
        }
    }
    if (space == PTX_SHARED)
        sim_count_shared(w, at, mask, n);
    else
        sim_count_global(w, at, mask, n, write);
    return true;
}

static bool byte_known(const struct sim_region *r, uint64_t at)
{
    uint64_t b = at - r->lo;
    return !r->known || r->known[b / 4] >> (b & 3) & 1;
}
static void byte_know(struct sim_region *r, uint64_t at, bool known)
{
    uint64_t b = at - r->lo;
    uint8_t bit = (uint8_t)(1u << (b & 3));
    if (!r->known)
        return;
    if (known)
        __atomic_fetch_or(&r->known[b / 4], bit, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&r->known[b / 4], (uint8_t)~bit, __ATOMIC_RELAXED);
}

/* ---- ldmatrix ---- */
void sim_ldmatrix(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint64_t at[SIM_LANES];
    uint8_t *host[SIM_LANES];
    struct sim_region *region[SIM_LANES], *r;
    uint32_t use = i->count == 4 ? SIM_ALL : (1u << 8 * i->count) - 1;
    const uint32_t *row = w->frame->f->ext + i->ext;
    bool trans = i->mods & MOD_NOT;
    if (!whole_warp(w, mask, "ldmatrix"))
        return;
    sim_addresses(w, i, at);
    if ((w->tainted && !sim_taint_address(w, i, use)) ||
        !rows_at(w, (enum ptx_space)i->space, at, use, 16, false, host, region))
        return;
    r = region[0];
    for (int m = 0; m < i->count; m++) {
        uint32_t *d = sim_row32(w, row[m]);
        for (int l = 0; l < SIM_LANES; l++) {
            int r0 = trans ? l % 4 * 2 : l / 4, c0 = trans ? l / 4 : l % 4 * 2,
                r1 = trans ? r0 + 1 : r0, c1 = trans ? c0 : c0 + 1;
            uint16_t x, y;
            memcpy(&x, host[8 * m + r0] + 2 * c0, 2);
            memcpy(&y, host[8 * m + r1] + 2 * c1, 2);
            d[l] = (uint32_t)x | (uint32_t)y << 16;
            if (w->worker->job->checked && (r->known || w->tainted)) {
                uint64_t a = at[8 * m + r0] + 2 * (unsigned)c0,
                         b = at[8 * m + r1] + 2 * (unsigned)c1, u = 0;
                u |= byte_known(r, a) && byte_known(r, a + 1) ? 0 : 0xFFFF;
                u |= byte_known(r, b) && byte_known(r, b + 1) ? 0 : 0xFFFF0000;
                if (u || w->tainted)
                    sim_taint_copy(w, row[m], 4, l, u);
            }
        }
    }
}

void sim_stmatrix(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint64_t at[SIM_LANES];
    uint8_t *host[SIM_LANES];
    struct sim_region *region[SIM_LANES];
    uint32_t use = i->count == 4 ? SIM_ALL : (1u << 8 * i->count) - 1;
    const uint32_t *row = w->frame->f->ext + i->ext;
    bool trans = i->mods & MOD_NOT;
    if (!whole_warp(w, mask, "stmatrix"))
        return;
    sim_addresses(w, i, at);
    if ((w->tainted && !sim_taint_address(w, i, use)) ||
        !rows_at(w, (enum ptx_space)i->space, at, use, 16, true, host, region))
        return;
    for (int m = 0; m < i->count; m++)
        for (int l = 0; l < SIM_LANES; l++)
            for (int k = 0; k < 2; k++) {
                int r = trans ? l % 4 * 2 + k : l / 4, c = trans ? l / 4 : l % 4 * 2 + k;
                uint16_t v = (uint16_t)(sim_row32(w, row[m])[l] >> 16 * k);
                memcpy(host[8 * m + r] + 2 * c, &v, 2);
                bool known = !w->tainted || !(sim_taint_get(w, row[m], 4, l) >> 16 * k & 0xFFFF);
                byte_know(region[0], at[8 * m + r] + 2 * (unsigned)c, known);
                byte_know(region[0], at[8 * m + r] + 2 * (unsigned)c + 1, known);
            }
}

void sim_movmatrix(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint16_t m[8][8];
    uint32_t bad = 0;
    if (!whole_warp(w, mask, "movmatrix"))
        return;
    const uint32_t *a = sim_row32(w, i->a);
    for (int l = 0; l < SIM_LANES; l++) {
        m[l / 4][l % 4 * 2] = (uint16_t)a[l];
        m[l / 4][l % 4 * 2 + 1] = (uint16_t)(a[l] >> 16);
        bad |= w->tainted && sim_taint_get(w, i->a, 4, l) ? 1 : 0;
    }
    for (int l = 0; l < SIM_LANES; l++) {
        sim_row32(w, i->d)[l] = m[l % 4 * 2][l / 4] | (uint32_t)m[l % 4 * 2 + 1][l / 4] << 16;
        if (w->tainted)
            sim_taint_set(w, i->d, 4, l, bad ? 0xFFFFFFFF : 0);
    }
}

/* ---- wmma in memory ---- */
/* Element j of a lane's fragment: where it stands in a register, and what moves it. */
struct wmma_element {
    uint32_t row;
    uint8_t size; /* of the register */
    unsigned bytes, bit;
    uint64_t field;
};

static void wmma_get(struct sim_warp *w, const struct wmma_element *e, int lane,
                     const struct sim_region *r, uint64_t at, const uint8_t *host)
{
    uint64_t v = 0;
    bool known = true;
    for (unsigned b = 0; b < e->bytes; b++)
        known = known && byte_known(r, at + b);
    memcpy(&v, host, e->bytes);
    if (e->size == 8)
        sim_row64(w, e->row)[lane] = v;
    else
        sim_row32(w, e->row)[lane] =
            (sim_row32(w, e->row)[lane] & (uint32_t)~e->field) | (uint32_t)v << e->bit;
    if (known && !w->tainted)
        return;
    uint64_t undef = sim_taint_get(w, e->row, e->size, lane) & ~e->field;
    sim_taint_copy(w, e->row, e->size, lane, known ? undef : undef | e->field);
}

static void wmma_put(struct sim_warp *w, const struct wmma_element *e, int lane,
                     struct sim_region *r, uint64_t at, uint8_t *host)
{
    uint64_t v = e->size == 8 ? sim_row64(w, e->row)[lane] : sim_row32(w, e->row)[lane] >> e->bit;
    memcpy(host, &v, e->bytes);
    bool undef = w->tainted && sim_taint_get(w, e->row, e->size, lane) & e->field;
    if (undef && r->mem && !w->worker->later.kind) {
        sim_report(w, SIM_FAULT_UNINIT, lane,
                   "a value from memory that was never written is stored to global memory");
        sim_report_later(w->worker);
    }
    for (unsigned b = 0; b < e->bytes; b++)
        byte_know(r, at + b, !undef);
}

static void wmma_move(struct sim_warp *w, const struct sim_inst *i, uint32_t mask, bool load)
{
    struct wmma_copy c;
    memcpy(&c, w->frame->f->ext + i->ext, sizeof c);
    const uint32_t *row = w->frame->f->ext + c.at;
    uint64_t base[SIM_LANES];
    unsigned bytes = (unsigned)sim_element_bits(c.type) / 8, size = bytes == 8 ? 8 : 4,
             per = size / bytes, n = c.count * per, total = (unsigned)c.rows * c.cols;
    if (!whole_warp(w, mask, "wmma"))
        return;
    sim_addresses(w, i, base);
    uint32_t stride =
        c.stride == NO_OPERAND ? (c.col ? c.rows : c.cols) : sim_row32(w, c.stride)[0];
    for (unsigned j = 0; j < n; j++) {
        struct wmma_element e = {row[j / per], (uint8_t)size, bytes, 8 * bytes * (j % per),
                                 UINT64_MAX >> (64 - 8 * bytes) << (8 * bytes * (j % per))};
        uint64_t at[SIM_LANES];
        uint8_t *host[SIM_LANES];
        struct sim_region *region[SIM_LANES];
        uint32_t use = 0;
        for (unsigned l = 0; l < SIM_LANES; l++) {
            unsigned index = l * n + j, k = index % total, r = k / c.cols, q = k % c.cols;
            use |= (load || index < total ? 1u : 0u) << l;
            at[l] = base[0] +
                    (uint64_t)bytes * (c.col ? (uint64_t)q * stride + r : (uint64_t)r * stride + q);
        }
        if (!use || !rows_at(w, (enum ptx_space)i->space, at, use, bytes, !load, host, region))
            return;
        for (int l = 0; l < SIM_LANES; l++)
            if (use >> l & 1 && load)
                wmma_get(w, &e, l, region[sim_first(use)], at[l], host[l]);
            else if (use >> l & 1)
                wmma_put(w, &e, l, region[sim_first(use)], at[l], host[l]);
    }
}

void sim_wmma_load(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    wmma_move(w, i, mask, true);
}
void sim_wmma_store(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    wmma_move(w, i, mask, false);
}

/* ---- cp.async: what is copied lands where it is waited for, and is undefined until then ---- */
struct copy {
    uint64_t to, from;
    uint8_t lane, bytes, real; /* real: bytes that are read, the rest becomes zero */
    uint32_t group;
};
struct sim_copies {
    struct copy *list;
    uint32_t count, cap;
    uint32_t group[SIM_LANES]; /* under way; complete ones are below */
};

static struct sim_copies *copies_of(struct sim_warp *w)
{
    if (!w->copies)
        w->copies = calloc(1, sizeof *w->copies);
    return w->copies;
}

void sim_tensor_free(struct sim_warp *w)
{
    if (w->copies)
        free(w->copies->list);
    free(w->copies);
    w->copies = NULL;
}

void sim_tensor_begin(struct sim_warp *w)
{
    if (w->copies) {
        w->copies->count = 0;
        memset(w->copies->group, 0, sizeof w->copies->group);
    }
}

static bool copy_add(struct sim_copies *c, struct copy x)
{
    if (c->count == c->cap) {
        uint32_t cap = c->cap ? 2 * c->cap : 256;
        struct copy *list = cap > 1u << 20 ? NULL : realloc(c->list, cap * sizeof *list);
        if (!list)
            return false;
        c->list = list;
        c->cap = cap;
    }
    c->list[c->count++] = x;
    return true;
}

void sim_cp_async(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    uint64_t to[SIM_LANES], from[SIM_LANES];
    uint8_t *host[SIM_LANES];
    struct sim_region *region[SIM_LANES];
    struct sim_copies *c = copies_of(w);
    uint32_t real[SIM_LANES], reads = 0;
    sim_addresses(w, i, to);
    uint32_t ignore =
        i->mods & MOD_RELU ? *sim_pred(w, i->c) ^ (i->mods & MOD_NOT ? SIM_ALL : 0) : 0;
    for (int l = 0; l < SIM_LANES; l++) {
        from[l] = (i->count == 8 ? sim_row64(w, i->b)[l] : sim_row32(w, i->b)[l]) +
                  (uint64_t)(int64_t)(int32_t)i->e;
        uint32_t n = i->mods & MOD_RELU   ? (ignore >> l & 1 ? 0 : i->size)
                     : i->c == NO_OPERAND ? i->size
                                          : sim_row32(w, i->c)[l];
        real[l] = n;
        reads |= (mask >> l & 1 && n ? 1u : 0u) << l;
        if (mask >> l & 1 && n > i->size) {
            sim_report(w, SIM_FAULT_BOUNDS, l, "cp.async of %u bytes with %u bytes of source",
                       i->size, n);
            return;
        }
    }
    if (w->tainted && (!sim_taint_address(w, i, mask) || !sim_taint_row(w, i->b, i->count, reads)))
        return;
    w->worker->n.async_copies += (uint64_t)__builtin_popcount(mask);
    if (reads) { /* the source, byte by byte where it is cut short */
        bool whole = true;
        for (int l = 0; l < SIM_LANES; l++)
            whole = whole && (!(reads >> l & 1) || real[l] == i->size);
        if (!sim_aligned(w, PTX_GLOBAL, from, reads, i->size, false))
            return;
        if (whole) {
            if (!sim_read_rows(w, from, reads, i->size))
                return;
        } else {
            for (int l = 0; l < SIM_LANES; l++)
                if (reads >> l & 1 && !sim_read_rows(w, from, 1u << l, real[l]))
                    return;
        }
    }
    if (!rows_at(w, PTX_SHARED, to, mask, i->size, true, host, region))
        return;
    for (int l = 0; l < SIM_LANES; l++)
        if (mask >> l & 1) {
            for (unsigned b = 0; b < i->size; b++)
                byte_know(region[sim_first(mask)], to[l] + b, false);
            if (!c || !copy_add(c, (struct copy){to[l], from[l], (uint8_t)l, i->size,
                                                 (uint8_t)real[l], c->group[l]})) {
                sim_report(w, SIM_FAULT_UNSUPPORTED, l, "too many asynchronous copies under way");
                return;
            }
        }
}

void sim_cp_commit(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    struct sim_copies *c = copies_of(w);
    (void)i;
    for (int l = 0; c && l < SIM_LANES; l++)
        c->group[l] += mask >> l & 1;
}

static void land(struct sim_warp *w, const struct copy *x)
{
    struct sim_block_state *b = w->block;
    uint64_t place = x->to & SIM_OFFSET_MASK;
    struct sim_region to = {.host = b->shared,
                            .lo = 0,
                            .hi = b->shared_bytes,
                            .known = b->shared_known,
                            .reads = b->reads,
                            .writes = b->writes};
    memcpy(b->shared + place, (const void *)(uintptr_t)x->from, x->real);
    memset(b->shared + place + x->real, 0, (size_t)(x->bytes - x->real));
    if (!w->worker->job->checked)
        return;
    uint64_t at[SIM_LANES];
    at[x->lane] = place;
    sim_race_access(w, &to, at, 1u << x->lane, x->bytes, true, 0);
    struct sim_region from = sim_global_region(w, x->from);
    for (unsigned k = 0; k < x->bytes; k++)
        byte_know(&to, place + k, k >= x->real || !from.mem || byte_known(&from, x->from + k));
}

void sim_cp_land(struct sim_warp *w, int lane)
{
    struct sim_copies *c = w->copies;
    uint32_t kept = 0;
    for (uint32_t k = 0; c && k < c->count; k++)
        if (c->list[k].lane == lane)
            land(w, &c->list[k]);
        else
            c->list[kept++] = c->list[k];
    if (c)
        c->count = kept;
}

void sim_cp_wait(struct sim_warp *w, const struct sim_inst *i, uint32_t mask)
{
    struct sim_copies *c = w->copies;
    uint32_t kept = 0;
    for (uint32_t k = 0; c && k < c->count && !w->worker->failed; k++) {
        const struct copy *x = &c->list[k];
        bool mine = mask >> x->lane & 1,
             done = i->imm < 0 || x->group + (uint64_t)i->imm < c->group[x->lane];
        if (mine && done)
            land(w, x);
        else
            c->list[kept++] = *x;
    }
    if (c)
        c->count = kept;
}
